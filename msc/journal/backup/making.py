"""Makes a backup of a journal that goes on meanwhile: it only reads, and holds up neither writer nor archivist.

The journal only grows, so a backup is whole if it is read in the right order:

    1  each month, the newest first: which blocks there are and the index over them, then both of them. The index of a
       month also knows where later blocks hold events of its messages, so it is read when these are settled; what it
       knows of blocks that are not in the backup leads nowhere, and is known again once they are archived anew
    2  what the months are now; the last checkpoint and the state that belongs to it; the tail
    3  what was archived between 1 and 2 and has left the tail, taken out of its blocks again

So a backup ends with what was in the journal at 2, moments before it is finished; what was committed later is not in
it. It is always all of the journal: there is no backup of changes only. Memory is bounded by a block, a page of an
index and the tail, which the switch itself holds when it starts.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

from msc.errors import JournalError
from msc.journal.backup.content import ContentWriter, End
from msc.journal.backup.sealed import SealedWriter
from msc.journal.block import unpack, wall_time
from msc.journal.database.layout import (
    BlockKey,
    CheckpointRow,
    JournalReading,
    Month,
    MonthUnreadable,
    Segment,
    TailRow,
)
from msc.journal.proof.canonical import read
from msc.journal.proof.chain import FIRST_LINK, leaf_of, link_after
from msc.journal.proof.checkpoint import read_checkpoint
from msc.journal.record import msn_after
from msc.journal.retention import seal_of

_BLOCKS_READ: Final = 64
_PAGES_READ: Final = 64
_CHECKPOINTS_READ: Final = 1_000
_ATTEMPTS: Final = 50
"""How often something is read again because it changed while it was read. The archivist changes a month every few
seconds at most, and reading one takes about as long."""


class NotSteady(JournalError):
    """The journal changed faster than it could be read, or in a way it should not."""


class BackupReport(NamedTuple):
    """What was backed up.

    Attributes:
        end: Where it ends.
        months: How many months it holds records of.
        checkpoints: How many it holds.
        size: Of the file, bytes.
    """

    end: End
    months: int
    checkpoints: int
    size: int


class _Changed(Exception):
    """The month that is being read is no longer what it was."""


async def back_up(journal: JournalReading, file: Path, keys: Sequence[X25519PublicKey]) -> BackupReport:
    """Write a backup of a journal.

    Args:
        journal: Any reading end of it.
        file: May not be there yet; it appears once it is whole.
        keys: Whose private keys open it.

    Raises:
        BadBackup: The file is there already, or cannot be written.
        JournalError: The journal cannot be read, or is empty.
    """
    with SealedWriter(file, keys) as to:
        report = await _Making(journal, ContentWriter(to)).run()
        to.finish()
        return report._replace(size=to.size)


class _Making:
    def __init__(self, journal: JournalReading, to: ContentWriter) -> None:
        self._journal = journal
        self._to = to
        self._kept: dict[int, Month] = {}
        """Months as they are in the backup, without what is found out at the end."""
        self._covered, self._link = 0, FIRST_LINK
        """The last record that stands in the backup's blocks, and the chain's value after it."""
        self._last_first = 0
        self._records = 0

    async def run(self) -> BackupReport:
        if await self._journal.last_checkpoint() is None:
            raise JournalError("there is nothing to back up: the journal has no checkpoint yet")
        for month in reversed(await self._journal.months()):
            if month.first and not month.deleted:
                await self._put_month(month.month)
        months = await self._journal.months()
        checkpoint, state, tail = await self._moment()
        for month in months:
            self._to.month(self._as_kept(month))
        for hold in await self._journal.holds():
            self._to.hold(hold)
        checkpoints = await self._put_checkpoints(checkpoint.number)
        end = await self._put_tail(tail, checkpoint)
        self._to.state(state)
        self._to.end(end)
        return BackupReport(end, len(self._kept), checkpoints, 0)

    # --- months ---------------------------------------------------------------------------------

    async def _put_month(self, number: int) -> None:
        """Put a month's index and blocks, and begin again if it changed meanwhile."""
        for _ in range(_ATTEMPTS):
            try:
                keys, segments = await self._unchanging(number)
                await self._put_index(number, segments)
                await self._put_blocks(number, keys)
            except _Changed:
                self._to.forget_index(number)
            except MonthUnreadable:
                # Retention may have deleted it under our hands; anything else is for a person to look at.
                if not any(month.month == number and month.deleted for month in await self._journal.months()):
                    raise
                return
            else:
                return
        raise NotSteady(f"the journal's month {number} changed {_ATTEMPTS} times while it was read; try again")

    async def _unchanging(self, number: int) -> tuple[list[BlockKey], list[Segment]]:
        """Return what blocks there are and the index over just these: blocks and index are stored together."""
        keys = await self._journal.block_keys(number)
        for _ in range(_ATTEMPTS):
            segments = await self._journal.segments(number)
            again = await self._journal.block_keys(number)
            if again == keys:
                return keys, segments
            keys = again
        raise _Changed

    async def _put_index(self, number: int, segments: Sequence[Segment]) -> None:
        for segment in segments:
            self._to.segment(number, segment)
            for first in range(0, segment.pages, _PAGES_READ):
                wanted = [(segment.number, page) for page in range(first, min(first + _PAGES_READ, segment.pages))]
                pages = await self._journal.pages(number, wanted)
                if len(pages) < len(wanted):
                    raise _Changed
                for page in pages:
                    self._to.page(number, page)

    async def _put_blocks(self, number: int, keys: Sequence[BlockKey]) -> None:
        link = FIRST_LINK
        for at in range(0, len(keys), _BLOCKS_READ):
            wanted = keys[at : at + _BLOCKS_READ]
            blocks = await self._journal.blocks(number, [key.first for key in wanted])
            if [block.key for block in blocks] != wanted:
                raise _Changed
            for block in blocks:
                self._to.block(number, block)
                link = block.link
        if keys:
            if keys[-1].last > self._covered:
                self._covered, self._link, self._last_first = keys[-1].last, link, keys[-1].first
            self._kept[number] = _month_of(number, keys)
            self._records += keys[-1].last - keys[0].first + 1

    def _as_kept(self, month: Month) -> Month:
        """Return a month's row as it fits what is in the backup."""
        kept = self._kept.get(month.month)
        if month.deleted:
            if kept is not None:
                del self._kept[month.month]
                self._records -= kept.last - kept.first + 1
            return month
        if kept is None:
            return Month(month.month)
        # Where more of it has been archived since, the rest goes into the tail and is archived anew.
        return kept._replace(first=month.first, sealed=month.sealed if month.last == kept.last else 0)

    # --- the moment the backup is of --------------------------------------------------------------

    async def _moment(self) -> tuple[CheckpointRow, bytes, list[TailRow]]:
        """Return the last checkpoint, the state that was stored with it, and a tail that continues from it."""
        for _ in range(_ATTEMPTS):
            checkpoint = await self._journal.last_checkpoint()
            state = await self._journal.state()
            between = await self._journal.last_checkpoint()
            if checkpoint is None or state is None or between is None:
                raise JournalError("the journal's state is missing; `msc journal verify` says more")
            if between.number != checkpoint.number:
                continue
            tail = await self._journal.tail()
            # Only what a checkpoint speaks of leaves the tail. So what this one does not speak of is still there, if
            # there was none after it; or if what is there reaches back to it.
            after = await self._journal.last_checkpoint()
            steady = after is not None and after.number == checkpoint.number
            if steady or (tail and tail[0].seq <= checkpoint.seq + 1):
                return checkpoint, state, tail
        raise NotSteady("the journal's state changed each time it was read; try again")

    async def _put_checkpoints(self, last: int) -> int:
        count = after = 0
        while after < last:
            rows = await self._journal.checkpoints(after, _CHECKPOINTS_READ)
            if not rows:
                break
            for row in rows:
                if row.number <= last:
                    self._to.checkpoint(row)
                    count += 1
            after = rows[-1].number
        return count

    async def _put_tail(self, tail: Sequence[TailRow], checkpoint: CheckpointRow) -> End:
        """Put every record that is in none of the backup's blocks."""
        end = tail[-1].seq if tail else checkpoint.seq
        last: bytes | None = None
        msn, before_tail = read_checkpoint(checkpoint.body).msn, tail[0].seq if tail else end + 1
        async for row in self._archived_meanwhile(before_tail):
            self._to.tail(row)
            last = row.body
            self._records += 1
        if self._covered < before_tail - 1:
            raise NotSteady(f"records {self._covered + 1} to {before_tail - 1} are missing: `msc journal verify`")
        for row in tail:
            if row.seq > self._covered:
                self._to.tail(row)
                last = row.body
                self._records += 1
            if row.seq > checkpoint.seq:
                msn = msn_after(msn, read(row.seq, row.body).record)
        at = wall_time(read(end, last)) if last else None
        at = at or max((month.last_at for month in self._kept.values()), default=0)
        return End(end, msn, at, self._records)

    async def _archived_meanwhile(self, before: int) -> AsyncIterator[TailRow]:
        """Yield records that left the tail before it was read and are in blocks we have not read."""
        link, covered = self._link, self._covered
        for month in await self._journal.months():
            if month.deleted and month.last > covered and (seal := await seal_of(self._journal, month)) is not None:
                link, covered = seal.link, seal.seq
            # The last block we have may have grown since, so it is looked at again.
            after = max(self._last_first, month.first) - 1
            while covered < before - 1 and month.first and not month.deleted:
                blocks = await self._journal.blocks_after(month.month, after, _BLOCKS_READ)
                for block in blocks:
                    after = block.key.first
                    if block.key.last <= covered or after >= before:
                        continue
                    for seq, body in enumerate(unpack(block), after):
                        if seq == covered + 1 and seq < before:
                            link, covered = link_after(link, leaf_of(body)), seq
                            yield TailRow(seq, body, link)
                if not blocks:
                    break
        self._covered = max(self._covered, covered)


def _month_of(number: int, keys: Sequence[BlockKey]) -> Month:
    """Return the row of a month that holds these blocks."""
    msns = [(key.first_msn, key.last_msn) for key in keys if key.first_msn]
    return Month(
        number,
        keys[0].first,
        keys[-1].last,
        msns[0][0] if msns else 0,
        msns[-1][1] if msns else 0,
        min(key.first_at for key in keys),
        max(key.last_at for key in keys),
    )
