"""The journal as a running switch has it: database, writer, processes, retention, witnesses, as one.

start   key -> database -> writer -> what had not ended -> processes -> witnesses
stop    processes -> writer (a checkpoint over all of it) -> witnesses -> database
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from typing import Any, Final, NamedTuple

import orjson

from msc import clock
from msc.errors import Fault, JournalError, JournalUnavailable, SiteError
from msc.journal.database.layout import CheckpointRow
from msc.journal.database.opening import open_archiving, open_reading, open_writing
from msc.journal.keeper import DeletedMonth, RetentionKeeper
from msc.journal.process import JournalProcess
from msc.journal.proof.checkpoint import Signer, Statement, load_signer, make_signing_key
from msc.journal.proof.sender import WitnessSender
from msc.journal.proof.witness import make_witness
from msc.journal.reader import JournalReader
from msc.journal.recall import Recalled, not_understood, recent_transactions, unfinished
from msc.journal.record import AuditRecord, Unreadable
from msc.journal.retention import asking
from msc.journal.writer import JournalWriter
from msc.limits import LIFE_S, PENDING_WINDOW_S
from msc.log import get_logger
from msc.metrics import Metrics
from msc.settings import Settings
from msc.transit.event import Event, Facts, Life
from msc.transit.message import MessageRecord

log = get_logger("journal")

_KEEP_S: Final = 60.0
"""How often it is looked whether a day has begun: the journal is kept once a day."""
_DURABLE_POLL_S: Final = 0.005
"""How often it is looked whether a record is durable, where somebody waits for it: a commit takes about that long."""

_WITNESSES_S: Final = 2.0
"""How long a stopping switch waits for its witnesses to hear the last checkpoint."""

Spawn = Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]]


class Recollection(NamedTuple):
    """What a starting switch goes on from.

    Attributes:
        recent: Messages that answers may still come for, the oldest first.
        owed: Messages that had not ended when the switch before stopped, the oldest first.
        unreadable: Records that could not be understood, each once. What they say is in none of the others: a person
            must look at them.
    """

    recent: list[Recalled]
    owed: list[Recalled]
    unreadable: list[Unreadable]


class JournalOffice:
    """All that belongs to the journal of a running switch.

    Raises:
        FaultyInput: The signing key cannot be read or made.
    """

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings = settings
        self._url = url = settings.database_url(settings.journal)
        self._writing = open_writing(url)
        self._archive = open_archiving(url)
        self._reading = open_reading(url)
        self._witnesses = WitnessSender(
            [make_witness(wanted, settings.folder, settings.switch.node) for wanted in settings.journal.witness],
            self._reading,
            settings.data_folder / "witnesses.json",
            metrics,
        )
        self.writer = JournalWriter(self._writing, self._signer(), metrics, self._witnesses.heard)
        self.searching = JournalProcess("search", {"url": url, "public_key": self._public_key})
        self._archiving = JournalProcess("archive", {"url": url}, lambda said: self.writer.archived(said["archived"]))
        self.keeper = RetentionKeeper(
            self._archive, self._state_deletion, asking(self.searching.ask), settings.journal.retention
        )
        self._processes: list[asyncio.Task[None]] = []
        self._writer_task: asyncio.Task[None] | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._witnessing: asyncio.Task[None] | None = None

    @property
    def _public_key(self) -> str:
        return str(self._settings.path(self._settings.journal.public_key))

    def _signer(self) -> Signer:
        """Read the key that signs the journal; a site of an earlier release has none yet."""
        private = self._settings.path(self._settings.journal.signing_key)
        if private.exists():
            return load_signer(private)
        try:
            signer = make_signing_key(private, self._settings.path(self._settings.journal.public_key))
        except OSError as exc:
            raise SiteError([Fault(private, "", f"the signing key cannot be made: {exc.strerror}")]) from exc
        log.warning("journal.signing_key_made", file=str(private))
        return signer

    # --- start ------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Open the journal.

        Raises:
            JournalError: It cannot be opened, or was tampered with.
        """
        await self.writer.open()
        await self._hold_end()

    def run(self, spawn: Spawn) -> None:
        """Start what works as long as the switch does.

        Args:
            spawn: Makes a task of a coroutine.
        """
        self._writer_task = spawn(self.writer.run(), "journal")
        self._processes = [
            spawn(process.run(), f"journal {process.name}") for process in (self._archiving, self.searching)
        ]
        self._keeping = spawn(self._keep(), "retention")
        self._witnessing = spawn(self._witnesses.run(), "witnesses")

    async def _hold_end(self) -> None:
        """Make sure that the journal goes on where it ended, and nothing in between was taken out.

        Raises:
            JournalError: It does not.
        """
        # The tail first: what the archivist of a switch that was killed still moves stands in both.
        tail = await self._reading.tail(self.writer.seq - 1)
        months = await self._reading.months()
        archived = max((month.last for month in months), default=0)
        end = max(archived, tail[-1].seq if tail else 0)
        if end != self.writer.seq:
            raise JournalError(
                f"the journal was signed up to record {self.writer.seq}, but what there is ends with record {end}; "
                "`msc journal verify` says more"
            )

    async def recall(self, hear: Callable[[MessageRecord], None] = lambda _record: None) -> Recollection:
        """Return what a starting switch goes on from.

        Args:
            hear: Is told what came from lines lately, in order.

        Raises:
            JournalError: The journal cannot be read.
        """
        now_us = clock.wall_us()
        reader = JournalReader(open_reading(self._url))
        try:
            recent = await recent_transactions(reader, now_us - int(PENDING_WINDOW_S * 1e6), hear=hear)
            owed = await unfinished(reader, self.writer.owed)
            unreadable = recent.unreadable + owed.unreadable + await not_understood(reader, self.writer.unreadable)
        finally:
            await reader.close()
        for msn, destination in owed.gone:
            why: Facts = {"why": "the journal no longer holds the message"}
            self.writer.note(Event(msn, now_us, Life.EXPIRED, destination, why))
        once = {record.seq: record for record in unreadable}
        for seq, record in sorted(once.items()):
            log.error("journal.record_unreadable", seq=seq, msn=record.msn, why=record.why)
        return Recollection(recent.messages, owed.messages, [record for _, record in sorted(once.items())])

    # --- running ----------------------------------------------------------------------------------

    async def durable(self) -> bool:
        """Wait until what has been noted so far is durable; returns whether it is."""
        mark = self.writer.noted()
        while not self.writer.holds(mark):
            if not self.writer.available:
                return False
            await asyncio.sleep(_DURABLE_POLL_S)
        return True

    async def life(self, msn: int) -> dict[str, Any] | None:
        """Return one message with all its events, as searches show it; None if there is none.

        The process that searches reads it, so that no message waits for it.

        Raises:
            JournalError: The journal cannot be read.
            TimeoutError: The machine has no time to spare for looking into the journal.
        """
        found = None
        async with asyncio.timeout(LIFE_S), aclosing(self.searching.ask("life", {"msn": msn})) as parts:
            async for part in parts:
                for line in part.lines.splitlines():
                    found = orjson.loads(line).get("item", found)
        return found

    async def _state_deletion(self, detail: dict[str, Any]) -> CheckpointRow:
        try:
            return await self.writer.state(Statement.DELETED, detail)
        except JournalUnavailable as exc:
            raise JournalError("the journal cannot be written, so nothing of it is deleted") from exc

    async def _keep(self) -> None:
        """Once a day: carry on a deletion that was interrupted, and delete what has expired, if that is wanted."""
        kept_on = None
        while True:
            today = clock.today()
            if kept_on != today and self.writer.available:
                try:
                    for deleted in await self.keeper.run_once(today):
                        self._note_deleted(deleted)
                    kept_on = today
                except JournalError as exc:
                    log.error("journal.not_kept", error=str(exc))
            await asyncio.sleep(_KEEP_S)

    def _note_deleted(self, deleted: DeletedMonth) -> None:
        detail = f"checkpoint {deleted.checkpoint}, {deleted.bytes_freed} bytes given back"
        self.writer.note_audit(
            AuditRecord(clock.wall_us(), "journal.month_deleted", detail=detail, subject=f"month {deleted.month}")
        )

    # --- stop -------------------------------------------------------------------------------------

    async def close(self) -> None:
        """Store all that waits, under a checkpoint, and let go of everything."""
        for task in (*self._processes, self._keeping):
            if task is not None:
                task.cancel()
        await asyncio.gather(*filter(None, (*self._processes, self._keeping)), return_exceptions=True)
        self.writer.close()
        if self._writer_task is not None:
            await self._writer_task
        if self._witnessing is not None:
            # The last checkpoint as well; but a witness that is away keeps nobody from stopping.
            until = clock.monotonic() + _WITNESSES_S
            while any(self._witnesses.lag_s().values()) and clock.monotonic() < until:
                await asyncio.sleep(_DURABLE_POLL_S)
            self._witnessing.cancel()
            await asyncio.gather(self._witnessing, return_exceptions=True)
        await self._reading.close()
        await self._writing.close()
        await self._archive.close()
