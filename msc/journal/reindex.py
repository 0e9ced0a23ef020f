"""Makes the index of months anew from their blocks: where it was damaged, or is not what the records say.

Nobody else may archive meanwhile; searches go on with the old index until the new one stands in its place, all of it
in one transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NamedTuple

from msc.errors import JournalError
from msc.journal.archive import LAST_TIER
from msc.journal.database.layout import JournalArchiving, Month, MonthUnreadable, Segment
from msc.journal.derivation import Derivation
from msc.journal.index.segment import SMALL, PageWriter, merge


class NoSuchMonth(JournalError):
    """A month whose index should be made anew holds nothing."""


class Reindexed(NamedTuple):
    """A month whose index was made anew.

    Attributes:
        month: 202611.
        pages, entries: Of the new index.
        replaced: Segments that went.
    """

    month: int
    pages: int
    entries: int
    replaced: int


class Reindexing(NamedTuple):
    """What came of making indexes anew.

    Attributes:
        months: Those that were made, the newest first.
        failed: Months whose blocks or index cannot be read or written, with why.
        unread: Records that could not be read; no index knows them.
    """

    months: list[Reindexed]
    failed: dict[int, str]
    unread: int


async def reindex(
    archiving: JournalArchiving,
    wanted: Collection[int] = (),
    told: Callable[[int, int], None] = lambda _month, _records: None,
) -> Reindexing:
    """Make the index of months anew.

    Args:
        archiving: The journal; its site's lock is held.
        wanted: 202611; none means all.
        told: Called after every block, with its month and how many records it held.

    Raises:
        NoSuchMonth: A month that is wanted has no records here.
        JournalError: The journal cannot be read or written, or an archivist is at it; months that were done are.
    """
    # That of a switch that was killed may still be at its last run.
    await archiving.claim()
    months = {month.month: month for month in await archiving.months() if month.last and not month.deleted}
    strange = sorted(set(wanted) - set(months))
    if strange:
        raise NoSuchMonth(f"the journal has no records of {', '.join(map(str, strange))}")
    oldest = min(wanted or months, default=0)
    current = 0
    derivation = Derivation(archiving, lambda records: told(current, records))
    done, failed = [], {}
    # Later months as well: they may hold events of the messages of those that are wanted.
    for current in sorted((number for number in months if number >= oldest), reverse=True):
        try:
            if wanted and current not in wanted:
                await derivation.pass_month(current)
            else:
                done.append(await _make(archiving, months[current], derivation))
        except MonthUnreadable as exc:
            failed[current] = str(exc)
    return Reindexing(done, failed, derivation.unread)


async def _make(archiving: JournalArchiving, month: Month, derivation: Derivation) -> Reindexed:
    runs = await derivation.month(month.month)
    segments = {segment.number for segment in await archiving.segments(month.month)}
    # Pages whose segment's row is gone go as well.
    old = segments | {segment for segment, _, _ in await archiving.first_terms(month.month)}
    writer = PageWriter(max(old, default=0) + 1, SMALL)
    pages = list(merge(runs, writer))
    # What an open month gets besides is merged with this one when it is sealed.
    tier = LAST_TIER if month.sealed else LAST_TIER - 1
    made = [Segment(writer.segment, tier, writer.pages, writer.entries)] if pages else []
    await archiving.store(month, (), made, pages, sorted(old))
    return Reindexed(month.month, writer.pages, writer.entries, len(old))
