"""Filling a journal: synthetic records through the ledger and the database, as the writer brings real ones.

Only an empty journal is filled, or one that ends with a filling: nobody may take these records for real ones, and
real ones must not stand among them.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Coroutine, Iterable, Iterator
from typing import Any, Final, NamedTuple

from msc import clock
from msc.errors import JournalError
from msc.journal.block import unpack
from msc.journal.database.layout import JournalReading, JournalWriting, Opened
from msc.journal.database.opening import open_reading, open_writing
from msc.journal.ledger import Ledger
from msc.journal.proof.canonical import Stored, decode
from msc.journal.proof.checkpoint import Signer, load_signer
from msc.journal.record import AuditRecord, Record
from msc.lab.filling.packing import Packing
from msc.lab.filling.stream import CHUNK, ENDED, YEAR_US, generate
from msc.limits import CHECKPOINT_RECORDS_MAX
from msc.lock import lock_site
from msc.settings import Settings
from msc.transit.message import MessageRecord

_SINCE_BOOT_US: Final = 600_000_000
"""Monotonic mark of a filling's first record: the machine has been up for ten minutes."""


class NotFillable(JournalError):
    """A journal holds records that no filling made, or later ones than those that would be filled in."""


class Filled(NamedTuple):
    """What a filling has come to so far.

    Attributes:
        records: Of all kinds.
        messages: Those among them that are messages.
        at_us: Wall time of the last one.
    """

    records: int = 0
    messages: int = 0
    at_us: int = 0


Told = Callable[[Filled], None]


class Filling:
    """A filling under way.

    Args:
        writing: Open.
        ledger: The journal's growing end.
        packing: Packs and indexes meanwhile; without it everything stays in the tail.
    """

    def __init__(self, writing: JournalWriting, ledger: Ledger, packing: Packing | None = None) -> None:
        self._writing = writing
        self._ledger = ledger
        self._packing = packing
        self._first_us = 0
        self.filled = Filled()

    async def enter(self, records: list[Record]) -> None:
        """Commit records as one batch, with a checkpoint where one is due.

        Raises:
            JournalError: The database failed.
        """
        ledger = self._ledger
        if not self._first_us:
            self._first_us = time_of(records[0]) - _SINCE_BOOT_US
            if not ledger.number:
                # As the writer: a journal begins by stating that it is there, and empty.
                await self._state(time_of(records[0]))
        first_us = self._first_us
        rows, checkpoints = ledger.enter((time_of(record) - first_us, record) for record in records)
        done, at_us, state = self.filled, time_of(records[-1]), None
        if checkpoints or ledger.seq - ledger.stated >= CHECKPOINT_RECORDS_MAX:
            checkpoints.append(ledger.checkpoint(at_us))
            state = ledger.state()
        archived = self._packing.archived if self._packing is not None else 0
        await self._writing.commit(rows, checkpoints=checkpoints, state=state, drop_to=archived)
        messages = sum(type(record) is MessageRecord for record in records)
        self.filled = Filled(done.records + len(records), done.messages + messages, at_us)

    async def room(self) -> None:
        """Wait while the archivist is too far behind.

        Raises:
            JournalError: It does not move any more.
        """
        if self._packing is not None:
            await self._packing.room(self._ledger.seq)

    async def settle(self) -> None:
        """Commit a checkpoint over all of it, and wait until the archivist has packed and indexed it.

        What is too little for a run of the archivist stays in the tail.

        Raises:
            JournalError: The database failed, or the archivist does not move any more.
        """
        if self._ledger.seq > self._ledger.stated:
            await self._state(self.filled.at_us)
        if self._packing is not None:
            await self._packing.caught_up(self._ledger.seq)

    async def finish(self) -> None:
        """Commit a checkpoint over all of it; then all of it is packed, and leaves the tail.

        Raises:
            JournalError: The database failed.
        """
        if self._ledger.seq > self._ledger.stated:
            await self._state(self.filled.at_us)
        if self._packing is not None:
            await self._packing.finish()
            # A commit drops so many rows and no more.
            while await self._packing.tail_left():
                await self._writing.commit((), drop_to=self._packing.archived)

    async def _state(self, at_us: int) -> None:
        row = self._ledger.checkpoint(at_us)
        await self._writing.commit((), checkpoints=[row], state=self._ledger.state())


def time_of(record: Record) -> int:
    """Return a record's wall time."""
    return record.received if isinstance(record, MessageRecord) else record.at


async def begin(writing: JournalWriting, reading: JournalReading, signer: Signer) -> tuple[Ledger, int]:
    """Open a journal for filling.

    Returns:
        Its growing end, and the wall time of its last record; 0 where it is empty.

    Raises:
        NotFillable: It does not end with a filling.
        JournalError: It cannot be opened.
    """
    opened = await writing.open()
    ledger = Ledger.of(opened, signer, secrets.token_bytes(16))
    if ledger.seq == 0:
        return ledger, 0
    last = await _last(opened, reading)
    record = last.record if last is not None and last.seq == ledger.seq else None
    if not isinstance(record, AuditRecord) or record.event != ENDED:
        raise NotFillable("the journal holds records that no filling made; synthetic ones must not stand among them")
    return ledger, record.at


async def _last(opened: Opened, reading: JournalReading) -> Stored | None:
    """Return a journal's last record."""
    if opened.tail:
        return decode(opened.tail[-1].body)
    for month in reversed(await reading.months()):
        if month.last and not month.deleted:
            keys = await reading.block_keys(month.month)
            (block,) = await reading.blocks(month.month, [keys[-1].first])
            return decode(unpack(block)[-1])
    return None


def records_after(
    last_us: int, after_msn: int, *, records: int, years: float, seed: int, end_us: int, chunk: int = CHUNK
) -> Iterator[list[Record]]:
    """Make the records of a filling that comes after a journal's last record.

    Raises:
        NotFillable: The journal's last record is later than the first of these would be.
        JournalError: See `generate`.
    """
    begin_us = end_us - int(years * YEAR_US)
    if last_us >= begin_us:
        raise NotFillable(
            f"the journal ends at {clock.rfc3339(last_us)}, and {years:g} years before {clock.rfc3339(end_us)} is "
            "earlier: records can only be added at the end; take a shorter time, or a new journal"
        )
    return generate(records, years, seed, end_us, after_msn=after_msn, chunk=chunk)


async def fill(filling: Filling, chunks: Iterable[list[Record]], told: Told = lambda _filled: None) -> Filled:
    """Enter all records.

    Args:
        told: Called after each commit.

    Raises:
        JournalError: The database failed; what was committed is a journal.

    Cancellation:
        Safe: what was committed stays, and is marked as an interrupted filling.
    """
    try:
        for chunk in chunks:
            await _whole(filling.enter(chunk))
            told(filling.filled)
            await filling.room()
    except asyncio.CancelledError:
        await _interrupted(filling)
        raise
    await filling.finish()
    return filling.filled


async def _whole(work: Coroutine[Any, Any, None]) -> None:
    """Run something to its end, even where who waits for it is cancelled meanwhile: half a batch is none."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise


async def _interrupted(filling: Filling) -> None:
    """Mark the end of a filling that was not completed, so that another may go on from there."""
    if filling.filled.records:
        ended = AuditRecord(filling.filled.at_us, ENDED, detail="interrupted")
        await filling.enter([ended])
        await filling.finish()


async def fill_site(settings: Settings, told: Told, *, records: int, years: float, seed: int, end_us: int) -> Filled:
    """Fill the journal of a site on which no switch runs.

    Args:
        told: Told now and then how far it has come.
        records, years, seed, end_us: As for `records_after`.

    Raises:
        MSCError: A switch runs on the site, its journal is not to be filled, or the database failed.
    """
    with lock_site(settings, "a switch is running on this site: its journal is not to be filled"):
        url = settings.database_url(settings.journal)
        signer = load_signer(settings.path(settings.journal.signing_key))
        writing, reading = open_writing(url), open_reading(url)
        try:
            ledger, last_us = await begin(writing, reading, signer)
            chunks = records_after(last_us, ledger.msn, records=records, years=years, seed=seed, end_us=end_us)
            async with Packing(url) as packing:
                return await fill(Filling(writing, ledger, packing), chunks, told)
        finally:
            await reading.close()
            await writing.close()
