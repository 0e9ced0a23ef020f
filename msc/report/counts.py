"""Counts made ready to be drawn: gaps filled with zeros, days put together, small ones gathered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

ORDERED: Final = ("hour", "day", "week", "month")
"""What has an order of its own; everything else stands by size."""
MOST: Final = 25
"""Rows of a chart by size; what is smaller is gathered in one."""
DAYS_MOST: Final = 62
"""Days that are still drawn one by one where each takes a line."""
_WEEKS_MOST: Final = 62


@dataclass(frozen=True, slots=True)
class Counts:
    """Counts as they are drawn.

    Attributes:
        by: What is counted by: `day`, `week`, `month`, `hour`, `key`, `agency` …
        rows: What, and how many; in the order of the chart.
        gathered: How many others stand in the last row together; 0 if there is none such.
    """

    by: str
    rows: tuple[tuple[str, int], ...]
    gathered: int = 0

    @property
    def total(self) -> int:
        """How many in all."""
        return sum(count for _, count in self.rows)

    @property
    def largest(self) -> int:
        """The largest row that is not a gathering; 0 if there is none."""
        own = self.rows[: len(self.rows) - bool(self.gathered)]
        return max((count for _, count in own), default=0)


def ready(by: str, rows: Sequence[tuple[str, int]], *, most: int = MOST, days_most: int | None = None) -> Counts:
    """Make counts ready to be drawn.

    Nothing is lost: the total stays the same. Days and hours without a message are there with 0.

    Args:
        by: `day` (rows of `2026-01-31`), `hour` (of the day: `0` to `23`), or what else rows are counted by.
        rows: In any order; an empty name is shown as `(none)`.
        most: Rows of what has no order of its own.
        days_most: More days than these are put together to weeks, and more weeks to months; None: never.
    """
    if by == "hour":
        counts = {int(name): count for name, count in rows}
        return Counts(by, tuple((f"{hour:02}", counts.get(hour, 0)) for hour in range(24)))
    if by == "day":
        return _days(rows, days_most)
    if by == "month":
        return Counts(by, tuple(sorted(rows)))
    named = sorted(((name or "(none)", count) for name, count in rows), key=lambda row: (-row[1], row[0]))
    if len(named) <= most:
        return Counts(by, tuple(named))
    rest = named[most - 1 :]
    others = (f"{len(rest)} others", sum(count for _, count in rest))
    return Counts(by, (*named[: most - 1], others), len(rest))


def _days(rows: Sequence[tuple[str, int]], days_most: int | None) -> Counts:
    counts = {date.fromisoformat(name): count for name, count in rows}
    if not counts:
        return Counts("day", ())
    first, last = min(counts), max(counts)
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    if days_most is None or len(days) <= days_most:
        return Counts("day", tuple((day.isoformat(), counts.get(day, 0)) for day in days))
    if len(days) <= 7 * (_WEEKS_MOST - 1):  # they may begin and end in the middle of a week
        return _together("week", days, counts, lambda day: (day - timedelta(days=day.weekday())).isoformat())
    return _together("month", days, counts, lambda day: day.isoformat()[:7])


def _together(by: str, days: list[date], counts: dict[date, int], name: Callable[[date], str]) -> Counts:
    sums: dict[str, int] = {}
    for day in days:
        sums[name(day)] = sums.get(name(day), 0) + counts.get(day, 0)
    return Counts(by, tuple(sums.items()))
