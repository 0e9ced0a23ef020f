"""Periods of a forward: on which days, from when until when, by the clock on the wall of a time zone.

A period holds while that clock shows a time within it; nothing else decides. So two periods that meet at 06:00 leave
no moment to neither and none to both, on whatever day. For the two nights on which the clock is changed this means:

- spring, the clock jumps from 02:00 to 03:00: a period that begins at 02:30 begins at the jump, one that ends at
  02:30 ends there. One that lies within the missing hour does not occur: no moment bears its times.
- autumn, the clock goes back from 02:00 to 01:00: a period that names times within the repeated hour holds in both
  passes. 22:00 to 01:30 ends at 01:30, holds again when the clock shows 01:00 a second time, and ends at 01:30.

`days` and dates are those on which a period begins: Friday's 22:00 to 06:00 ends on Saturday.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from msc.local_time import DAY_FIRST, DAY_LAST, DAYS, MINUTES_PER_DAY, day_text, local_minute, minute_text, weekday_of

EVERY_DAY: Final = frozenset(range(len(DAYS)))
_DAY_MASK: Final = (1 << MINUTES_PER_DAY) - 1
_WEEK_MASK: Final = (1 << MINUTES_PER_DAY * len(DAYS)) - 1
_MIXED: Final = "several zones"


@dataclass(frozen=True, slots=True)
class Period:
    """When a forward holds.

    Attributes:
        zone: Whose clock decides: a name for which `is_zone`.
        days: On which it begins; 0 is Monday.
        begins, ends: Minutes of the day, the end not included. An end that is not after the beginning is the next
            day's; where they are equal it lasts a whole day.
        first_day, last_day: The first and the last day on which it begins, numbered as `LocalMinute.day`.
    """

    zone: str
    days: frozenset[int] = EVERY_DAY
    begins: int = 0
    ends: int = 0
    first_day: int = DAY_FIRST
    last_day: int = DAY_LAST

    def holds(self, at_us: int) -> bool:
        """Tell whether it holds at a wall time."""
        day, minute = local_minute(self.zone, at_us)
        if self.begins < self.ends:
            return self.begins <= minute < self.ends and self._begins_on(day)
        return (minute >= self.begins and self._begins_on(day)) or (minute < self.ends and self._begins_on(day - 1))

    def _begins_on(self, day: int) -> bool:
        return self.first_day <= day <= self.last_day and weekday_of(day) in self.days

    def spans(self) -> list[Span]:
        """Return when it holds, as what can be held against other periods: empty if it never does."""
        return [span for span in self._spans() if span is not None]

    def _spans(self) -> Iterator[Span | None]:
        overnight = self.ends <= self.begins
        week = _week_mask(self.days, self.begins, MINUTES_PER_DAY if overnight else self.ends)
        yield _span(self.zone, week, self.first_day, self.last_day)
        if overnight:
            week = _week_mask(frozenset((day + 1) % len(DAYS) for day in self.days), 0, self.ends)
            # A first or last day that is not set stays so.
            first = self.first_day + (self.first_day > DAY_FIRST)
            last = self.last_day + (self.last_day < DAY_LAST)
            yield _span(self.zone, week, first, last)


def _week_mask(days: frozenset[int], begins: int, ends: int) -> int:
    """Return the minutes of a week, from Monday, as the bits of a number."""
    of_day = (1 << ends) - (1 << begins)
    return sum(of_day << day * MINUTES_PER_DAY for day in days)


@dataclass(frozen=True, slots=True)
class Span:
    """Some minutes of each week, between two days: what a clock shows while one or several periods hold.

    Attributes:
        zone: Whose clock; None is whichever, and `several zones` where those of several would have to be compared:
            then only days are looked at.
        week: A bit for each minute of the week, from Monday; never 0.
        first, last: Days, as `LocalMinute.day`.
    """

    zone: str | None
    week: int
    first: int
    last: int

    def meet(self, other: Span) -> Span | None:
        """Return when both hold, or None if never.

        Times of different zones are not compared: such spans are taken to meet wherever their days do. They may be
        said to meet where they do not, and never the other way round.
        """
        ours, theirs = self, other
        if ours.zone is not None and theirs.zone is not None and ours.zone != theirs.zone:
            ours, theirs = ours._without_times(), theirs._without_times()
        first, last = max(ours.first, theirs.first), min(ours.last, theirs.last)
        return _span(theirs.zone if ours.zone is None else ours.zone, ours.week & theirs.week, first, last)

    def _without_times(self) -> Span:
        if self.zone == _MIXED:
            return self
        # No two calendars are ever more than two days apart; each side gives way by one.
        first, last = max(self.first - 1, DAY_FIRST), min(self.last + 1, DAY_LAST)
        return Span(_MIXED, _WEEK_MASK, first, last)

    def example(self) -> str:
        """Name a moment within it, for people: `fri 22:00 America/Los_Angeles`, `2026-07-01 06:00 UTC`."""
        if self.zone == _MIXED:
            return "perhaps: their zones differ, and only their days were compared; write them in one zone"
        if self.first > DAY_FIRST:
            days = range(self.first, min(self.first + 6, self.last) + 1)
        elif self.last < DAY_LAST:
            days = range(self.last, max(self.last - 6, self.first) - 1, -1)
        elif self.week == _WEEK_MASK:
            return "at any time"
        else:
            # The first seven days there are begin with a Monday.
            days = range(DAY_FIRST, DAY_FIRST + 7)
        day, minutes = next((day, minutes) for day in days if (minutes := self._minutes_of(day)))
        dated = self.first > DAY_FIRST or self.last < DAY_LAST
        name = day_text(day) if dated else DAYS[weekday_of(day)]
        first_minute = (minutes & -minutes).bit_length() - 1
        return " ".join(filter(None, (name, minute_text(first_minute), self.zone)))

    def _minutes_of(self, day: int) -> int:
        return self.week >> weekday_of(day) * MINUTES_PER_DAY & _DAY_MASK


ALWAYS: Final = Span(None, _WEEK_MASK, DAY_FIRST, DAY_LAST)


def _span(zone: str | None, week: int, first: int, last: int) -> Span | None:
    """Make a span of what is left of a week between two days, or None if nothing is."""
    if last - first < len(DAYS) - 1:
        within = frozenset(weekday_of(day) for day in range(first, last + 1))
        week &= _week_mask(within, 0, MINUTES_PER_DAY)
    return Span(zone, week, first, last) if week else None


def together(spans: list[Span], others: list[Span]) -> list[Span]:
    """Return when one of the spans and one of the others hold at the same moment."""
    return list(dict.fromkeys(met for span in spans for other in others if (met := span.meet(other))))
