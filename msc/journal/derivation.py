"""Derives the index of months from their blocks, as if the archivist saw them for the first time.

Months are taken from the newest to the oldest: an event may stand in a later month than its message, but never in an
earlier one, so that all that is said of a month's messages is known when its turn comes. A month's index is made in
runs that are packed as they are made; unpacked, only one of them is in memory, and which messages the month has.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Final

from msc.journal.database.layout import Block, JournalReading, MonthUnreadable, Page
from msc.journal.index.indexer import Indexer
from msc.journal.index.segment import FAST, PageWriter, SegmentBuilder
from msc.journal.proof.canonical import NotCanonical, Stored, decode
from msc.journal.proof.inspection import unpack_block
from msc.journal.record import StepsRecord
from msc.transit.message import MessageRecord

RUN: Final = 200_000
"""Records that are indexed at once: some 200 MB."""
_AT_ONCE: Final = 64
"""Blocks read at once."""
Told = Callable[[int], None]
"""Takes how many records were looked at since it was last called."""


class Derivation:
    """Derives indexes of one journal. Each month is given once, the newest first, and none but deleted ones left out.

    Args:
        reading: The journal.
        told: Called after every block.

    Attributes:
        last: The last record that was read.
        unread: Records that could not be.
        unreadable: Months of which not even that is known.
    """

    def __init__(self, reading: JournalReading, told: Told = lambda _: None) -> None:
        self.last = 0
        self.unread = 0
        self.unreadable: list[int] = []
        self._reading, self._told = reading, told
        self._late: list[tuple[StepsRecord, int]] = []

    @property
    def complete(self) -> bool:
        """Whether all of the months that were given could be read."""
        return not self.unread and not self.unreadable

    async def month(self, month: int) -> list[list[Page]]:
        """Return a month's index: segments, each by its pages.

        Raises:
            MonthUnreadable: Its blocks cannot be read.
            JournalError: The journal cannot be.
        """
        carried: list[tuple[StepsRecord, int]] = []
        indexer = Indexer(lambda steps, first: carried.append((steps, first)))
        runs: list[list[Page]] = []
        waiting = 0
        async for first, records in self._records(month):
            indexer.add(first, records)
            waiting += len(records)
            if waiting >= RUN:
                runs.append(_finished(indexer.take(), len(runs)))
                waiting = 0
        self._late += carried
        self._index_late(indexer)
        runs.append(_finished(indexer.take(), len(runs)))
        return [run for run in runs if run]

    async def pass_month(self, month: int) -> None:
        """Look at a month only for what it says of messages of earlier months.

        Raises:
            MonthUnreadable: Its blocks cannot be read.
            JournalError: The journal cannot be.
        """
        first_msn: int | None = None
        async for first, records in self._records(month):
            for stored in records:
                record = stored.record
                if isinstance(record, MessageRecord):
                    first_msn = record.msn if first_msn is None else first_msn
                elif isinstance(record, StepsRecord) and (first_msn is None or record.msn < first_msn):
                    self._late.append((record, first))

    def _index_late(self, indexer: Indexer) -> None:
        """Index what later months say of this month's messages; the rest is of earlier ones."""
        if not indexer.places:
            return
        low, high = min(indexer.places), max(indexer.places)
        left = []
        for steps, first in self._late:
            if low <= steps.msn <= high:
                indexer.add_late(steps, first)
            else:
                left.append((steps, first))
        self._late = left

    async def _records(self, month: int) -> AsyncIterator[tuple[int, list[Stored]]]:
        """Yield the records of each block, with the first's `seq`; what cannot be read is left out and counted."""
        try:
            async for block in blocks_of(self._reading, month):
                records = records_of(block, month)
                held = block.key.last - block.key.first + 1
                self.unread += max(0, held - len(records))
                self.last = max(self.last, block.key.last)
                yield block.key.first, records
                self._told(len(records))
        except MonthUnreadable:
            self.unreadable.append(month)
            raise


async def blocks_of(reading: JournalReading, month: int, after: int = 0) -> AsyncIterator[Block]:
    """Yield the blocks of a month whose first record is after a `seq`, in order.

    Raises:
        MonthUnreadable: They cannot be read.
    """
    while page := await reading.blocks_after(month, after, _AT_ONCE):
        for block in page:
            yield block
        after = page[-1].key.first


def records_of(block: Block, month: int) -> list[Stored]:
    """Return the records of a block that can be read."""
    records = []
    for body in unpack_block(block, month)[0]:
        try:
            records.append(decode(body))
        except NotCanonical:
            continue
    return records


def _finished(builder: SegmentBuilder, number: int) -> list[Page]:
    return builder.finish(PageWriter(number, FAST))
