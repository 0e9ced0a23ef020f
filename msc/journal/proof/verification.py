"""Verifies a whole journal, also while it is written, archived and expires.

Order makes it safe to read what moves: the last checkpoint first, then the tail, then the months, then the blocks.
All the last checkpoint speaks of stands in the tail as it was read, or in a block that was there before.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final, NamedTuple

from msc import clock
from msc.journal.database.layout import (
    Block,
    CheckpointRow,
    JournalReading,
    Month,
    MonthUnreadable,
    TailRow,
)
from msc.journal.proof.chain import leaf_of
from msc.journal.proof.checkpoint import Signatories
from msc.journal.proof.continuity import Continuity
from msc.journal.proof.finding import Finding, Kind, Report, Stretch, numeral, span
from msc.journal.proof.follower import LATE_US, Follower
from msc.journal.proof.index_content import look_at_index
from msc.journal.proof.inspection import Inspected, inspect_block, inspect_tail, msn_of, read_row
from msc.journal.proof.loss import Losses
from msc.journal.proof.standing import Standing
from msc.journal.proof.statement import StatementReader, genuine
from msc.journal.proof.testimony import Testimony

_PAGE: Final = 64
"""Blocks read at once: a few megabytes."""
_MERGED_TEXT: Final = {
    Kind.LINKS_CHANGED: "links that stand beside {} were changed; the records themselves agree with checkpoints",
    Kind.MARKS_CHANGED: "marks that stand beside {} were changed; the records themselves agree with checkpoints",
    Kind.BLOCK_KEY_CHANGED: "what stands beside the blocks of {} on messages and times is not what they hold",
}
"""What does not concern the records themselves, and is told once for many blocks."""
_LOST: Final = frozenset({Kind.MONTH_UNREADABLE, Kind.MONTH_REMOVED})
"""What makes a month's index no matter."""


class Progress(NamedTuple):
    """How far a verification is.

    Attributes:
        records: Looked at so far.
        total: How many there are.
        month: Where it is; 0 where the index is held against the records.
    """

    records: int
    total: int
    month: int


async def verify(
    reading: JournalReading,
    signatories: Signatories,
    *,
    testimony: Testimony | None = None,
    index: bool = False,
    progress: Callable[[Progress], None] | None = None,
    now_us: int | None = None,
) -> Report:
    """Hold a journal against its signed checkpoints, record by record; and look whether its index is whole.

    Args:
        reading: The journal; it may be written meanwhile.
        signatories: Whose signatures count.
        testimony: What witnesses heard, read before this is called.
        index: Hold the index against the records as well, term by term.
        progress: Called now and then.
        now_us: Wall time, microseconds, if not now.

    Raises:
        JournalError: The journal cannot be read at all.
    """
    return await _Verification(
        reading,
        signatories,
        testimony or Testimony(),
        progress or (lambda _: None),
        clock.wall_us() if now_us is None else now_us,
    ).run(index=index)


class _Verification:
    def __init__(
        self,
        reading: JournalReading,
        signatories: Signatories,
        testimony: Testimony,
        progress: Callable[[Progress], None],
        now_us: int,
    ) -> None:
        self.report = Report(began_at=now_us)
        self._reading, self._signatories, self._testimony = reading, signatories, testimony
        self._progress, self._now_us = progress, now_us
        self._last: CheckpointRow | None = None
        self._tail: list[TailRow] = []
        self._copies: dict[int, bytes] = {}
        """Rows of the tail by `seq`, to be compared with blocks that hold them too."""
        self._end = 0
        self._blocks_end = 0
        self._follower = Follower(self._note)
        self._continuity = Continuity(self._note)
        self._standing = Standing(reading, signatories, self.report)

    def _note(self, finding: Finding) -> None:
        self.report.note(finding)

    async def run(self, *, index: bool) -> Report:
        began = clock.monotonic()
        report = self.report
        await self._standing.hold_state()
        self._last = last = self._standing.last
        self._tail = await self._reading.tail()
        months = await self._reading.months()
        self._copies = {row.seq: row.body for row in self._tail}
        self._end = max(
            last.seq if last else 0, self._tail[-1].seq if self._tail else 0, *(month.last for month in months), 0
        )
        self._statements = StatementReader(
            self._reading, self._signatories, last.number if last else 0, self._testimony.digests, self._note
        )
        self._losses = Losses(
            self._reading, self._signatories, self._statements, self._follower, self._continuity, report, months
        )
        self._follower.meet_first(await self._statements.until(0))
        for month in months:
            await self._month(month)
        await self._rows([row for row in self._tail if row.seq > self._follower.seq])
        await self._finish(months)
        lost = {finding.month for finding in report.findings if finding.kind in _LOST}
        for finding in await look_at_index(self._reading, months, content=index, told=self._tell_index):
            # Perhaps it was deleted a moment ago.
            if finding.month not in lost and not await self._losses.is_deleted(finding.month):
                self._note(finding)
        report.checkpoints = self._statements.read
        report.findings = _in_order(self._credible(report.findings))
        report.seconds = clock.monotonic() - began
        return report

    # --- blocks ---------------------------------------------------------------------------------

    async def _month(self, month: Month) -> None:
        if month.deleted and await self._losses.pass_deleted_month(month):
            return
        self.report.months += 1
        begun = False
        first_block: Block | None = None
        lows: list[tuple[int, int, int, int]] = []
        async for block in self._month_blocks(month.month):
            if self._follower.seq >= self._end:
                break
            if not begun:
                begun, first_block = True, block
                if block.key.first > self._follower.seq + 1:
                    await self._losses.catch_up(block.key.first - 1)
                self._follower.begin_month(month.month, self._follower.seq + 1)
            await self._block(block, month.month)
            lows.append(block.key[2:])
        if first_block is not None:
            await self._hold_month(month, first_block.key.first, lows)

    async def _month_blocks(self, month: int) -> AsyncIterator[Block]:
        """Yield a month's blocks. What cannot be read is left out, and told when the next one has come."""
        after = 0
        while True:
            try:
                page = await self._reading.blocks_after(month, after, _PAGE)
            except MonthUnreadable:
                break
            for block in page:
                yield block
            if len(page) < _PAGE:
                return
            after = page[-1].key.first
        try:
            keys = await self._reading.block_keys(month)
        except MonthUnreadable as exc:
            if not await self._losses.is_deleted(month):
                self._losses.cannot_read(month, exc)
            return
        for key in keys:
            if key.first <= after or key.first <= self._follower.seq:
                continue
            try:
                for block in await self._reading.blocks(month, [key.first]):
                    yield block
            except MonthUnreadable as exc:
                self._losses.cannot_read(month, exc)

    async def _block(self, block: Block, month: int) -> None:
        follower, first, last = self._follower, block.key.first, block.key.last
        if first > follower.seq + 1:
            await self._losses.catch_up(first - 1)
        if first <= follower.seq or last < first:
            follower.wrong(Finding(
                Kind.RECORDS_INSERTED, f"a block of {span(first, last)} stands where these were read already",
                first, last, block.key.first_msn or None, month,
            ))  # fmt: skip
            return
        found = inspect_block(block, month)
        for finding in found.wrong:
            if finding.msn is None and finding.kind is not Kind.BLOCK_KEY_CHANGED:
                finding.msn = self._losses.next_msn()
            follower.wrong(finding) if finding.kind not in _MERGED_TEXT else self._note(finding)
        if not found.leaves:
            last = min(last, max(first, self._end), first + len(block.marks) // 8)
            follower.pass_gap(last, await self._statements.until(last), block.link)
            self._continuity.reset()
            return
        self._losses.resume(found.rows)
        last = first + len(found.leaves) - 1
        self._compare_copies(first, found.leaves, month)
        self._look(found.rows, month, await self._pass(found, last, block.link))
        self._blocks_end = last
        if clock.month_of(found.last_at) > month:
            self._note(Finding(
                Kind.RECORD_MISPLACED, f"among {span(first, last)} of month {month} some are of a later month",
                first, last, block.key.first_msn or None, month,
            ))  # fmt: skip
        self._progress(Progress(self.report.records, self._end, month))

    def _compare_copies(self, first: int, leaves: Sequence[bytes], month: int) -> None:
        """Compare what stands both in the block and, for a moment, still in the tail."""
        if not self._tail or first + len(leaves) <= self._tail[0].seq:
            return
        for seq, leaf in enumerate(leaves, first):
            copy = self._copies.get(seq)
            if copy is not None and leaf_of(copy) != leaf:
                self._note(Finding(
                    Kind.RECORD_CHANGED, f"record {seq} in the tail is not what stands in its block", seq, seq,
                    msn_of(read_row(copy)), month,
                ))  # fmt: skip

    async def _pass(self, found: Inspected, last: int, link: bytes, msn: int | None = None) -> bool:
        """Pass records; tells whether nothing looked wrong."""
        for finding in found.doubts:
            if finding.msn is None:
                finding.msn = self._losses.next_msn()
            self._follower.doubt(finding)
        clean = self._follower.pass_records(found.leaves, found.times, await self._statements.until(last), link, msn)
        self.report.records += len(found.leaves)
        return clean and not found.wrong

    def _look(self, rows: list[list[Any]], month: int, clean: bool) -> None:
        try:
            if clean:
                self._continuity.look(rows, month)
                return
        except (TypeError, IndexError):
            pass  # they have not the form of records; the chain says whether they had
        self._continuity.reset()

    async def _hold_month(self, month: Month, first: int, keys: list[tuple[int, int, int, int]]) -> None:
        """Compare a month's row with its blocks: searches rely on it."""
        if not month.sealed or (self._tail and self._tail[0].seq <= self._blocks_end):
            # The archivist may be at it: what the row says now must be what stood in the blocks, or more.
            rows = {row.month: row for row in await self._reading.months()}
            month = rows.get(month.month, month)
            if month.last != self._blocks_end or month.deleted:
                return
        msns = [key for key in keys if key[1]]
        holds = (
            first, self._blocks_end, msns[0][0] if msns else 0, max((key[1] for key in msns), default=0),
            min(key[2] for key in keys), max(key[3] for key in keys),
        )  # fmt: skip
        if holds != month[1:7]:
            self._note(Finding(
                Kind.MONTH_ROW_CHANGED, f"what the list of months says of {month.month} is not what it holds",
                first, self._blocks_end, None, month.month,
            ))  # fmt: skip

    # --- the tail -------------------------------------------------------------------------------

    async def _rows(self, rows: list[TailRow]) -> None:
        """Pass the rows of the tail that stand in no block. Each has its own link."""
        follower = self._follower
        if not rows:
            return
        found, before = inspect_tail(rows, follower.month), self._continuity.msn
        doubts = {finding.first: finding for finding in found.doubts}
        by_seq = {row[1]: row for row in found.rows}
        clean = True
        for place, row in enumerate(rows):
            if row.seq > follower.seq + 1:
                await self._losses.catch_up(row.seq - 1)
                self._losses.resume(r for r in found.rows if r[1] >= row.seq)
                clean = False
            decoded = by_seq.get(row.seq)
            if decoded is not None:
                month = clock.month_of(decoded[4] if decoded[0] == "a" else decoded[5])
                if month > follower.month:
                    follower.begin_month(month, row.seq)
            if found.wrong and row.seq == found.wrong[0].first:
                follower.wrong(found.wrong[0])
                clean = False
            one = found._replace(
                leaves=[found.leaves[place]],
                times=[found.times[place]],
                doubts=[doubts[row.seq]] if row.seq in doubts else [],
                wrong=[],
            )
            msn = msn_of(decoded) or self._losses.next_msn()
            clean = await self._pass(one, row.seq, row.link, msn) and clean
            if decoded is not None and decoded[0] == "m":
                self._continuity.msn = decoded[4]
        self._continuity.msn = before
        self._look(found.rows, follower.month, clean)
        self._progress(Progress(self.report.records, self._end, follower.month))

    # --- the end --------------------------------------------------------------------------------

    async def _hold_seals(self, months: list[Month]) -> None:
        """Compare what the list of months says of seals with the checkpoints."""
        upto = self._last.number if self._last is not None else 0
        for month in months:
            if not 0 < month.sealed <= upto or self._statements.sealed.get(month.month) == month.sealed:
                continue
            rows = await self._reading.checkpoints(month.sealed - 1, 1)
            if rows and isinstance(genuine(rows[0], self._signatories), str):
                continue  # told already
            self._note(Finding(
                Kind.MONTH_ROW_CHANGED,
                f"the list of months says that checkpoint {month.sealed} sealed {month.month}, which it did not",
                month.first, month.last, None, month.month,
            ))  # fmt: skip

    async def _finish(self, months: list[Month]) -> None:
        follower, report = self._follower, self.report
        last = await self._statements.last_genuine()
        if last is not None and last.seq > follower.seq:
            await self._losses.catch_up(last.seq, at_end=True)
        follower.meet_first(await self._statements.rest())
        follower.finish()
        await self._hold_seals(months)
        report.proven, report.unproven = follower.proven, follower.unproven
        if (last.number if last is not None else 0) < report.last_checkpoint and follower.seq > follower.stated:
            # Their checkpoints are none.
            report.unproven.append(Stretch(
                follower.stated + 1, follower.seq, follower.stated_msn + 1, self._losses.next_msn() - 1, 0, 0
            ))  # fmt: skip
        report.not_stated = max(0, follower.seq - follower.stated)
        waiting = [at for row in self._tail if row.seq > follower.stated and (at := _written_at(row))]
        if waiting and self._now_us - waiting[0] > LATE_US:
            self._note(Finding(
                Kind.NOT_STATED,
                f"no checkpoint speaks of the records after {numeral(follower.stated)}; the first of them is of "
                f"{clock.rfc3339(waiting[0])}",
                follower.stated + 1, follower.seq, None, follower.month,
            ))  # fmt: skip
        await self._standing.hold_newest(months, self._blocks_end, follower.stated, self._losses.next_msn())
        self._standing.hear(self._testimony, self._statements, follower.seq)

    def _tell_index(self, records: int) -> None:
        self._progress(Progress(records, self._end, 0))

    def _credible(self, findings: list[Finding]) -> list[Finding]:
        """Leave out gaps and clocks among records that cannot be relied on anyway."""
        bad = [(stretch.first, stretch.last) for stretch in self.report.unproven]
        soft = (Kind.NUMBER_GAP, Kind.CLOCK_STEPPED)
        return [
            f for f in findings if f.kind not in soft or not any(first <= f.first <= last + 1 for first, last in bad)
        ]


def _written_at(row: TailRow) -> int:
    """Return when a row was written; 0 where it does not tell."""
    decoded = read_row(row.body)
    return decoded[5] if decoded is not None and decoded[0] != "a" else 0


def _in_order(findings: list[Finding]) -> list[Finding]:
    """Sort findings by record, and tell what repeats from block to block once."""
    merged: list[Finding] = []
    for finding in sorted(findings, key=lambda f: (f.first == 0, f.first, f.checkpoint, f.month)):
        before = merged[-1] if merged else None
        if before is not None and finding.kind in _MERGED_TEXT and before.kind is finding.kind:
            before.last = max(before.last, finding.last)
            before.text = _MERGED_TEXT[finding.kind].format(span(before.first, before.last))
        else:
            merged.append(finding)
    return merged
