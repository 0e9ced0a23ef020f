"""How long the journal keeps a month: by calendar, and longer where a legal hold covers it. Decides; deletes nothing.

PPP 1.6.2.B.1.c and 1.7.1.A: all traffic for three years. A month goes whole, once its last record is that old. The
period is one of calendar years, so that leap days are right, and it is always rounded in favour of keeping.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import date, timedelta
from enum import StrEnum
from typing import Any, Final

import orjson

from msc import clock
from msc.errors import JournalError
from msc.journal.criteria import Criteria
from msc.journal.database.layout import Hold, JournalReading, Month
from msc.journal.process import Part
from msc.journal.proof.checkpoint import Checkpoint, Statement, read_checkpoint
from msc.settings import RetentionSettings

MatchesIn = Callable[[Month, Criteria], Awaitable[bool]]
"""Tells whether a month holds a message that matches; raises `JournalError` where it cannot be searched."""

_DAY: Final = timedelta(days=1)


class Verdict(StrEnum):
    """What becomes of a month."""

    OPEN = "open"
    """It is not over, or not all of it stands in blocks yet."""
    KEPT = "kept"
    """It goes on a day to come."""
    HELD = "held"
    """It would go, but a legal hold covers it."""
    DUE = "due"
    """It goes."""
    BY_HAND = "by hand"
    """It would go, but the journal has not lived through the months since: perhaps the clock is wrong. A person may
    delete it."""
    IN_DOUBT = "in doubt"
    """The checkpoint that sealed it is not there or does not fit it: verify the journal first."""
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Outlook:
    """What becomes of a month, and why.

    Attributes:
        goes_on: The first day (UTC) on which it may go; None while it is open.
        holds: The legal holds that cover it. Holds by criteria are only looked at once it would go.
        seal: The checkpoint that sealed it, of a month that would go.
        why: More, for people.
    """

    month: Month
    verdict: Verdict
    goes_on: date | None = None
    holds: tuple[Hold, ...] = ()
    seal: Checkpoint | None = None
    why: str = ""


def years_after(day: date, years: int) -> date:
    """Return the same day some years later; after 29 February comes 1 March where there is none."""
    try:
        return day.replace(year=day.year + years)
    except ValueError:
        return date(day.year + years, 3, 1)


def goes_on(month: Month, years: int) -> date:
    """Return the first day (UTC) on which a month may go: every moment of its last day is that many years past."""
    return years_after(clock.day_of(month.last_at), years) + _DAY


def month_before(month: int) -> int:
    """Return the month before one: 202512 before 202601."""
    return month - 1 if month % 100 > 1 else month - 89


def months_from(first: int, last: int) -> list[int]:
    """Return the months from one to another, both included.

    Raises:
        ValueError: One of them is none, or they stand the wrong way round.
    """
    for month in (first, last):
        if not (1970 <= month // 100 <= 9999 and 1 <= month % 100 <= 12):
            raise ValueError(f"{month} is not a month such as 202611")
    if first > last:
        raise ValueError(f"{first} comes after {last}")
    months = [last]
    while months[-1] > first:
        months.append(month_before(months[-1]))
    return months[::-1]


def criteria_of(hold: Hold) -> Criteria:
    """Return what a hold by criteria covers.

    Raises:
        JournalError: It cannot be read.
    """
    try:
        members: Any = orjson.loads(hold.criteria)
        if not isinstance(members, dict):
            raise ValueError
    except ValueError as exc:
        raise JournalError(f"what hold {hold.number} covers cannot be read") from exc
    return Criteria.from_json(members)


def within(criteria: Criteria, month: Month) -> Criteria | None:
    """Return criteria confined to the times of a month's records; None where nothing can match there."""
    since, until = month.first_at, month.last_at + 1
    if criteria.since_us is not None:
        since = max(since, criteria.since_us)
    if criteria.until_us is not None:
        until = min(until, criteria.until_us)
    return replace(criteria, since_us=since, until_us=until) if since < until else None


def asking(ask: Callable[[str, dict[str, Any]], AsyncGenerator[Part, None]]) -> MatchesIn:
    """Look for matches by asking the process that searches, off the traffic's path."""

    async def matches_in(month: Month, criteria: Criteria) -> bool:
        confined = within(criteria, month)
        if confined is None:
            return False
        found = False
        async with aclosing(ask("search", {"criteria": confined.as_json(), "limit": 1})) as parts:
            async for part in parts:
                found = found or part.items > 0
                if part.end is not None and not found and not part.end.get("complete"):
                    raise JournalError(f"the journal's month {month.month} could not be searched whole")
        return found

    return matches_in


async def plan(
    journal: JournalReading, today: date, settings: RetentionSettings, matches_in: MatchesIn
) -> list[Outlook]:
    """Say what becomes of each month that holds or held records, in order.

    Args:
        today: UTC.
        matches_in: Asked only for months that would go, and only where there is a hold by criteria.

    Raises:
        JournalError: The database cannot be read.
    """
    months = [month for month in await journal.months() if month.first]
    holds = [hold for hold in await journal.holds() if not hold.released_at]
    outlooks = []
    for place, month in enumerate(months):
        by_month = tuple(hold for hold in holds if hold.month == month.month)
        if month.deleted:
            outlooks.append(Outlook(month, Verdict.DELETED))
            continue
        if not month.sealed or not month.last:
            outlooks.append(Outlook(month, Verdict.OPEN, holds=by_month))
            continue
        day = goes_on(month, settings.years)
        if today < day:
            outlooks.append(Outlook(month, Verdict.KEPT, day, by_month))
            continue
        before = months[place - 1] if place else None
        covering = await holds_over(month, before, holds, matches_in)
        if covering:
            outlooks.append(Outlook(month, Verdict.HELD, day, covering))
            continue
        outlooks.append(await _due(journal, month, day, months[place + 1 :], settings))
    return outlooks


async def holds_over(
    month: Month, before: Month | None, holds: Sequence[Hold], matches_in: MatchesIn
) -> tuple[Hold, ...]:
    """Return which of the holds that last cover a month.

    A hold by criteria covers a month with a match and the month after it: what became of a message that came in the
    last minutes of a month stands there. Where it cannot be found out, the month is held.

    Args:
        before: The month before it in the journal.
    """
    looked_in = [month]
    if before is not None and not before.deleted and before.month == month_before(month.month):
        looked_in.append(before)
    covering = []
    for hold in holds:
        if hold.month:
            if hold.month == month.month:
                covering.append(hold)
            continue
        try:
            criteria = criteria_of(hold)
            for each in looked_in:
                if await matches_in(each, criteria):
                    covering.append(hold)
                    break
        except JournalError:
            covering.append(hold)
    return tuple(covering)


async def _due(
    journal: JournalReading, month: Month, day: date, after: Sequence[Month], settings: RetentionSettings
) -> Outlook:
    """Judge a month whose time is over and that nothing holds."""
    seal = await seal_of(journal, month)
    if seal is None:
        why = f"checkpoint {month.sealed}, which sealed it, is not there or does not fit: `msc journal verify`"
        return Outlook(month, Verdict.IN_DOUBT, day, why=why)
    if seal.seq > month.last:
        return Outlook(month, Verdict.OPEN, day, why="not all of it has been archived")
    # A clock that has leapt ahead would make everything look expired. Months do not lie: where the switch ran through
    # the whole period, each month since left records.
    lived, needed = len(after), settings.years * 12
    if lived < needed:
        why = f"the journal has records of {lived} months since, not of {needed}: is the clock right?"
        return Outlook(month, Verdict.BY_HAND, day, seal=seal, why=why)
    return Outlook(month, Verdict.DUE, day, seal=seal)


async def seal_of(journal: JournalReading, month: Month) -> Checkpoint | None:
    """Return the checkpoint that sealed a month; None where it is not there or does not speak of this month."""
    for row in await journal.checkpoints(month.sealed - 1, 1):
        if row.number != month.sealed:
            continue
        try:
            seal = read_checkpoint(row.body)
        except JournalError:
            continue
        if (seal.number, seal.statement, seal.month, seal.first) == (
            row.number,
            Statement.SEALED,
            month.month,
            month.first,
        ) and seal.seq >= month.last:
            return seal
    return None
