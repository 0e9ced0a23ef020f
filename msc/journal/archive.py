"""The archivist: packs what the tail holds into the blocks of its month, and keeps the month's index.

It runs in a process of its own, beside the traffic. What it is about to do is always safe to do again: blocks and
index are stored first, and only then does the writer drop the tail's rows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Final

from msc import clock
from msc.errors import JournalError
from msc.journal import block as blocks
from msc.journal.database.layout import Block, JournalArchiving, Month, Segment, TailRow
from msc.journal.index.indexer import Indexer
from msc.journal.index.segment import FAST, SMALL, PageWriter, merge
from msc.journal.proof.canonical import Stored, read
from msc.journal.proof.checkpoint import Statement
from msc.journal.record import StepsRecord
from msc.log import get_logger

log = get_logger("archive")

RUN_MIN: Final = 4_096
"""Records are packed once this many are covered by a checkpoint: fewer would make many small segments. A search reads
the tail as well, so nothing waits for it."""
RUN_MAX: Final = 400_000
"""Records of one run at most, for memory: some 400 MB while they are indexed."""
FAN_OUT: Final = 8
"""So many segments of one tier are merged into one of the next: a term is looked up in few places, and written again
few times."""


@dataclass(slots=True)
class _Work:
    """What a run makes of one month."""

    indexer: Indexer
    packed: list[Block] = field(default_factory=list)
    month: Month | None = None
    """What the month holds after it; None where the run adds to its index alone."""


class Archivist:
    """Packs and indexes.

    Args:
        database: Its archiving side.
    """

    def __init__(self, database: JournalArchiving) -> None:
        self._database = database
        self._months: dict[int, Month] = {}
        self._sealed: dict[int, int] = {}
        """The last record of each month that was sealed since the start, and the checkpoint that says so."""
        self._checked = 0
        self._ahead = 0
        self._made: set[int] = set()
        """Months there is room for."""

    async def step(self, *, at_least: int = RUN_MIN) -> int:
        """Pack one run, if there is enough for one.

        Args:
            at_least: Records it takes.

        Returns:
            The last record that stands in a block; the tail may be dropped up to it.

        Raises:
            JournalError: The database cannot be read or written, or another archivist is at work; the next step
                begins where this one began.
        """
        # Two at once would each store what a month holds by their own count, and the lower one could come last.
        await self._database.claim()
        months = {month.month: month for month in await self._database.months()}
        self._months = months
        self._made |= set(months)
        archived = max((month.last for month in months.values()), default=0)
        await self._make_ahead()
        last = await self._database.last_checkpoint()
        if last is None or last.seq - archived < max(at_least, 1):
            return archived
        # The checkpoints first: the seal of a month is stored with the first record after it.
        await self._find_seals()
        for month in [m for m in months.values() if m.last in self._sealed and not m.sealed]:
            # Its last record was packed before anybody knew that it was the last.
            months[month.month] = sealed = month._replace(sealed=self._sealed[month.last])
            await self._database.put_month(sealed)
            await self._merge(month.month)
        rows = await self._database.tail(archived, min(last.seq - archived, RUN_MAX))
        rows = [row for row in rows if row.seq <= last.seq]
        if not rows or rows[0].seq != archived + 1 or rows[-1].seq - rows[0].seq + 1 != len(rows):
            raise JournalError(f"the tail does not go on from record {archived}; `msc journal verify` says more")
        await self._store(self._pack(rows))
        return rows[-1].seq

    async def _make_ahead(self) -> None:
        """Make this month and the next, so that no record waits for it."""
        month = clock.month_of(clock.wall_us())
        if self._ahead == month:
            return
        for wanted in (month, month_after(month)):
            if wanted not in self._months:
                await self._database.make_month(wanted)
                self._made.add(wanted)
        self._ahead = month

    async def _find_seals(self) -> None:
        if not self._checked:
            self._checked = max((month.sealed for month in self._months.values()), default=0)
        while found := await self._database.checkpoints(self._checked):
            self._sealed |= {row.seq: row.number for row in found if row.statement == Statement.SEALED}
            self._checked = found[-1].number

    # --- packing ----------------------------------------------------------------------------------

    def _pack(self, rows: Sequence[TailRow]) -> dict[int, _Work]:
        """Pack rows that follow on each other into blocks of their months, and index them."""
        works: dict[int, _Work] = {}
        current = max((number for number, month in self._months.items() if month.last), default=0)

        def late(steps: StepsRecord, first: int) -> None:
            number = self._month_of_msn(steps.msn)
            if number is not None:
                work(number).indexer.add_late(steps, first)

        def work(number: int) -> _Work:
            if number not in works:
                works[number] = _Work(Indexer(late))
            return works[number]

        def month_of(pair: tuple[TailRow, Stored]) -> int:
            nonlocal current
            # A clock that is set back does not reopen a month.
            if (at := blocks.wall_time(pair[1])) is not None:
                current = max(current, clock.month_of(at))
            return current

        decoded = [(row, read(row.seq, row.body)) for row in rows]
        for number, group in groupby(decoded, month_of):
            month = work(number).month = self._pack_month(number, list(group), work(number))
            self._months[number] = month
        return works

    def _pack_month(self, number: int, pairs: Sequence[tuple[TailRow, Stored]], work: _Work) -> Month:
        for start in range(0, len(pairs), blocks.RECORDS):
            part = pairs[start : start + blocks.RECORDS]
            records = [stored for _, stored in part]
            block = blocks.pack([row.body for row, _ in part], records, part[-1][0].link)
            work.packed.append(block)
            work.indexer.add(block.key.first, records)
        return self._grown(self._months.get(number) or Month(number), work.packed)

    def _month_of_msn(self, msn: int) -> int | None:
        """Return the month a message stands in, the newest first; None if it is gone."""
        for month in reversed(self._months.values()):
            if month.first_msn <= msn <= month.last_msn:
                return None if month.deleted else month.month
        return None

    def _grown(self, month: Month, packed: Sequence[Block]) -> Month:
        """Return what a month holds with more blocks."""
        keys = [block.key for block in packed]
        with_messages = [key for key in keys if key.first_msn]
        times = [key.first_at for key in keys] + ([month.first_at] if month.last else [])
        return month._replace(
            first=month.first or keys[0].first,
            last=keys[-1].last,
            first_msn=month.first_msn or (with_messages[0].first_msn if with_messages else 0),
            last_msn=with_messages[-1].last_msn if with_messages else month.last_msn,
            first_at=min(times),
            last_at=max(month.last_at, *(key.last_at for key in keys)),
            sealed=self._sealed.get(keys[-1].last, 0),
        )

    async def _store(self, works: dict[int, _Work]) -> None:
        # What is added to the index of earlier months comes first: were it interrupted, it would be done again, and
        # a place that stands twice stands once.
        for number, work in sorted(works.items(), key=lambda item: (item[1].month is not None, item[0])):
            month = work.month or self._months[number]
            if number not in self._made:
                await self._database.make_month(number)
                self._made.add(number)
            writer = PageWriter(await self._next_segment(number), FAST)
            pages = work.indexer.builder.finish(writer)
            made = [Segment(writer.segment, 0, writer.pages, writer.entries)] if pages else []
            await self._database.store(month, work.packed, made, pages)
        for number in works:
            await self._merge(number)

    # --- the index --------------------------------------------------------------------------------

    async def _next_segment(self, month: int) -> int:
        return max((segment.number for segment in await self._database.segments(month)), default=0) + 1

    async def _merge(self, number: int) -> None:
        """Merge segments where a tier has enough of them, and all of a month that is over."""
        month = self._months[number]
        while True:
            segments = await self._database.segments(number)
            tiers: dict[int, list[Segment]] = defaultdict(list)
            for segment in segments:
                tiers[segment.tier].append(segment)
            due = next((tiers[tier] for tier in sorted(tiers) if len(tiers[tier]) >= FAN_OUT), None)
            if due is None and month.sealed and len(segments) > 1 and all(s.tier < LAST_TIER for s in segments):
                due = segments
                tier = LAST_TIER
            elif due is None:
                return
            else:
                tier = due[0].tier + 1
            await self._merge_into(month, due, max(segment.number for segment in segments) + 1, tier)

    async def _merge_into(self, month: Month, due: Sequence[Segment], number: int, tier: int) -> None:
        sources = []
        for segment in due:
            wanted = [(segment.number, page) for page in range(segment.pages)]
            sources.append(await self._database.pages(month.month, wanted))
        writer = PageWriter(number, SMALL)
        pages = list(merge(sources, writer))
        made = Segment(number, tier, writer.pages, writer.entries)
        await self._database.store(month, (), [made], pages, [segment.number for segment in due])


LAST_TIER: Final = 99
"""Of the one segment a month that is over has."""


def month_after(month: int) -> int:
    """Return the month that follows: 202701 after 202612."""
    return month + 1 if month % 100 < 12 else month + 89
