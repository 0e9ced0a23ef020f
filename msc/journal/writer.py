"""Group commit: all that was appended while the last commit ran goes into the next.

One commit runs at a time, back to back. What a caller wants to happen after its message is durable, it
gives as `then`; nothing is acknowledged or forwarded before that is called.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from msc import clock
from msc.errors import JournalError, JournalUnavailable, Overloaded
from msc.journal.database.layout import CheckpointRow, JournalWriting, Opened
from msc.journal.ledger import Entered, Ledger
from msc.journal.proof.canonical import Record, decode
from msc.journal.proof.checkpoint import Signer, Statement
from msc.journal.record import AuditRecord, EventRecord, Life, MessageRecord
from msc.limits import (
    CHECKPOINT_RECORDS_MAX,
    CHECKPOINT_S,
    CLOCK_STEP_S,
    JOURNAL_QUEUE_ROWS_MAX,
    JOURNAL_RETRY_S,
)
from msc.log import get_logger
from msc.metrics import Metrics

log = get_logger("journal")

Then = Callable[[JournalUnavailable | None], None]
"""Called once: with None when the message is durable, with the refusal when nothing was stored."""

_NO_EVENTS: Final[tuple[EventRecord, ...]] = ()


@dataclass(slots=True)
class _Batch:
    """What goes into one commit.

    Attributes:
        rows: Monotonic mark and record, in the order they came.
        kept: Which of the rows outlast a failed commit, by their places: all but messages and their events.
        thens: Called in the order of their messages.
    """

    rows: list[tuple[int, Record]] = field(default_factory=list)
    kept: list[int] = field(default_factory=list)
    thens: list[Then] = field(default_factory=list)

    def outlasting(self) -> list[tuple[int, Record]]:
        """Return the rows that outlast a failed commit."""
        return [self.rows[place] for place in self.kept]


@dataclass(slots=True)
class _Wanted:
    """A statement somebody waits for."""

    statement: Statement
    detail: dict[str, Any]
    stated: asyncio.Future[CheckpointRow]


class JournalWriter:
    """The one writer of the journal.

    While the journal cannot be written, `append` refuses with E501 and the writer tries again once a
    second; what had happened to messages already stored (`note`) and the audit stream are kept, up to a
    bound, and written when it is back.

    Args:
        signer: Signs the checkpoints.
        stated: Is told of every checkpoint once it is durable.
    """

    def __init__(
        self,
        database: JournalWriting,
        signer: Signer,
        metrics: Metrics,
        stated: Callable[[Sequence[CheckpointRow]], None] = lambda _rows: None,
    ) -> None:
        self._database = database
        self._signer = signer
        self._metrics = metrics
        self._stated = stated
        self._ledger = Ledger(bytes(16), signer)
        self._batch = _Batch()
        self._failed: _Batch | None = None
        """A batch of which nobody knows whether it was stored."""
        self._failed_after = 0
        """The last record before it."""
        self._wanted: list[_Wanted] = []
        self._committing = False
        self._commits = 0
        self._next_msn = 1
        self._drop_to = 0
        self._wake = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._checkpoint_due = False
        self._closing = False
        self._ahead: int | None = None
        self._opened = False
        self.available = False
        self.ended_before = True
        """Whether the switch before this one stopped in good order, or there was none. If not, the last milliseconds
        of what it noted may be missing."""

    async def open(self) -> None:
        """Open the journal. A new one begins with a checkpoint that states its identity and that it is empty.

        Raises:
            JournalError: It cannot be opened, or was tampered with.
        """
        opened = await self._database.open()
        self._ledger = ledger = Ledger.of(opened, self._signer, secrets.token_bytes(16))
        if self._failed is not None:
            self._settle(self._failed, opened)
            self._failed = None
        if opened.checkpoint is None:
            await self._commit_rows(ledger.enter(()), begin=True)
        if not self._opened:
            self._opened, self.ended_before = True, ledger.ended or ledger.seq == 0
        self._next_msn = ledger.msn + 1
        self._checkpoint_due = ledger.seq > ledger.stated
        self.available = True

    async def take_over(self, records: Iterable[Record]) -> None:
        """Enter what another journal held, before anything of this one's own.

        Raises:
            JournalError: It was not stored; the journal must be opened again.
        """
        mono = clock.monotonic_us()
        await self._commit_rows(self._ledger.enter((mono, record) for record in records))
        self._next_msn = self._ledger.msn + 1

    @property
    def owed(self) -> Mapping[int, Mapping[str, bool]]:
        """Where messages have not ended: MSN to destination to whether it was sent there."""
        return self._ledger.owed

    @property
    def seq(self) -> int:
        """The last record's position."""
        return self._ledger.seq

    @property
    def waiting(self) -> int:
        """How many rows wait for the next commit."""
        return len(self._batch.rows)

    @property
    def busy(self) -> bool:
        """Whether anything waits or is being stored."""
        return self._committing or bool(self._batch.rows)

    # --- appending ------------------------------------------------------------------------------

    def check_room(self) -> None:
        """Refuse a new message while the journal cannot take it.

        Raises:
            JournalUnavailable: It cannot be written (E501).
            Overloaded: Too many rows wait (E502).
        """
        if not self.available:
            raise JournalUnavailable
        if self.waiting >= JOURNAL_QUEUE_ROWS_MAX:
            raise Overloaded

    def allot(self) -> int:
        """Return the MSN of the message that `append` is about to be called with, in the same step."""
        return self._next_msn

    def append(
        self, message: MessageRecord, events: Sequence[EventRecord] = _NO_EVENTS, then: Then | None = None
    ) -> None:
        """Store a message and the events that belong to its receipt.

        MSN order is the order of calls. Concurrent callers share one commit and its cost.

        Args:
            message: Its MSN must be the one just allotted.
            events: Stored with it, or not at all.
            then: See `Then`.

        Raises:
            JournalUnavailable: The journal cannot be written; nothing was taken.
        """
        if not self.available:
            raise JournalUnavailable
        assert message.msn == self._next_msn
        self._next_msn += 1
        batch, mono = self._batch, clock.monotonic_us()
        batch.rows.append((mono, message))
        for event in events:
            batch.rows.append((mono, event))
        batch.thens.append(then or _nothing)
        self._wake.set()

    def store(self, event: EventRecord, then: Then) -> None:
        """Store something that happened to a message stored before, for who has to know that it is durable.

        Args:
            then: See `Then`.

        Raises:
            JournalUnavailable: The journal cannot be written; nothing was taken.
        """
        if not self.available:
            raise JournalUnavailable
        batch = self._batch
        batch.rows.append((clock.monotonic_us(), event))
        batch.thens.append(then)
        self._wake.set()

    def note(self, event: EventRecord) -> None:
        """Store something that happened to a message stored before. Nobody waits for it."""
        self._keep(event)

    def note_audit(self, record: AuditRecord) -> None:
        """Store an access-control event."""
        self._keep(record)

    def _keep(self, record: Record) -> None:
        batch = self._batch
        batch.kept.append(len(batch.rows))
        batch.rows.append((clock.monotonic_us(), record))
        if not self.available:
            self._trim()
        self._wake.set()

    def noted(self) -> int:
        """Return a mark for all that has been appended and noted so far; see `holds`."""
        # What waits goes into the next commit, which comes after the one under way.
        return self._commits + (self.waiting > 0) + self._committing

    def holds(self, mark: int) -> bool:
        """Tell whether all that came before a mark is durable."""
        return self._commits >= mark

    # --- what is not a record -------------------------------------------------------------------

    def archived(self, seq: int) -> None:
        """Let the tail go up to a record: it stands in blocks."""
        if seq > self._drop_to:
            self._drop_to = seq
            self._wake.set()

    async def state(self, statement: Statement, detail: dict[str, Any]) -> CheckpointRow:
        """Sign a statement and store it.

        Raises:
            JournalUnavailable: The journal cannot be written.

        Cancellation:
            Safe, but does not undo: the statement may be stored.
        """
        if not self.available:
            raise JournalUnavailable
        wanted = _Wanted(statement, detail, asyncio.get_running_loop().create_future())
        self._wanted.append(wanted)
        self._wake.set()
        return await wanted.stated

    def watch_clock(self) -> None:
        """Notice a wall clock that was set; called a few times a second. AU-8: a clock that steps is seen."""
        ahead = clock.wall_us() - clock.monotonic_us()
        before, self._ahead = self._ahead, ahead
        if before is None or abs(ahead - before) < CLOCK_STEP_S * 1e6:
            return
        step = f"{(ahead - before) / 1e6:+.3f} s"
        log.error("clock.stepped", step=step)
        self._metrics.clock_steps += 1
        self.note_audit(AuditRecord(clock.wall_us(), "clock.stepped", detail=step))

    # --- committing -----------------------------------------------------------------------------

    async def run(self) -> None:
        """Commit until `close` was called and all is stored. One task runs this for the daemon's life."""
        while True:
            if not self.available:
                if self._closing:
                    return
                await self._reopen()
            elif self._batch.rows or self._checkpoint_due or self._drop_to or self._wanted:
                await self._commit()
            elif self._closing:
                if self._ledger.stated == self._ledger.seq:
                    await self._end()
                    return
                self._checkpoint_due = True
            else:
                self._wake.clear()
                await self._wake.wait()

    async def _end(self) -> None:
        """Store that all is stored. What is lost of it costs some messages a mark that they may be duplicates."""
        self._ledger.ended = True
        with contextlib.suppress(JournalError):
            await self._database.commit([], checkpoints=[], state=self._ledger.state(), drop_to=0)

    async def _commit(self) -> None:
        batch, self._batch = self._batch, _Batch()
        wanted, self._wanted = self._wanted, []
        before = self._ledger.seq
        began = clock.monotonic()
        self._committing = True
        try:
            stated = await self._commit_rows(self._ledger.enter(batch.rows), wanted)
        except JournalError as exc:
            self._failed, self._failed_after = batch, before
            self._fail(batch, wanted, exc)
            return
        finally:
            self._committing = False
        self._commits += 1
        self._metrics.committed(len(batch.rows), began, clock.monotonic())
        for then in batch.thens:
            then(None)
        for one, row in zip(wanted, stated, strict=True):
            if not one.stated.done():
                one.stated.set_result(row)

    async def _commit_rows(
        self, entered: Entered, wanted: Sequence[_Wanted] = (), *, begin: bool = False
    ) -> list[CheckpointRow]:
        """Commit records, with what else is due; returns the statements that were wanted."""
        ledger, drop_to = self._ledger, self._drop_to
        checkpoints, state = entered.checkpoints, None
        due = self._checkpoint_due or begin or ledger.seq - ledger.stated >= CHECKPOINT_RECORDS_MAX
        stated = [ledger.checkpoint(clock.wall_us(), one.statement, one.detail) for one in wanted]
        checkpoints += stated
        if checkpoints or due:
            # Of the last checkpoint and the state one must speak of what the other holds.
            checkpoints.append(ledger.checkpoint(clock.wall_us()))
            state = ledger.state()
        await self._database.commit(entered.rows, checkpoints=checkpoints, state=state, drop_to=drop_to)
        if self._drop_to == drop_to:
            self._drop_to = 0
        if checkpoints:
            self._checkpoint_due = False
            self._stated(checkpoints)
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(CHECKPOINT_S, self._let_checkpoint)
        return stated

    def _let_checkpoint(self) -> None:
        self._timer = None
        if self._ledger.seq > self._ledger.stated:
            self._checkpoint_due = True
            self._wake.set()

    def _fail(self, batch: _Batch, wanted: Sequence[_Wanted], error: JournalError) -> None:
        """Refuse the batch's messages and those behind it; what outlasts the failure waits for the journal."""
        log.error("journal.unavailable", error=str(error))
        self.available = False
        behind, self._batch = self._batch, _Batch()
        self._keep_rows(behind.outlasting())
        refusal = JournalUnavailable()
        for then in batch.thens + behind.thens:
            then(refusal)
        for one in (*wanted, *self._wanted):
            if not one.stated.done():
                one.stated.set_exception(JournalUnavailable())
        self._wanted = []

    def _settle(self, failed: _Batch, opened: Opened) -> None:
        """Find out whether a failed commit was stored after all, and mend what was said of it.

        Its messages were refused with E501. If they stand in the journal, it must say that of them too.
        """
        if self._ledger.seq < self._failed_after + len(failed.rows) or not failed.rows:
            waiting = self._batch.outlasting()
            self._batch = _Batch()
            self._keep_rows(failed.outlasting() + waiting)
            return
        code = JournalUnavailable.code
        for row in opened.tail:
            if row.seq > self._failed_after and isinstance(record := decode(row.body).record, MessageRecord):
                self.note(EventRecord(record.msn, clock.wall_us(), Life.REFUSED, None, f"{code}, after the fact"))

    def _keep_rows(self, rows: Sequence[tuple[int, Record]]) -> None:
        for row in rows:
            self._batch.kept.append(len(self._batch.rows))
            self._batch.rows.append(row)
        self._trim()

    def _trim(self) -> None:
        """Keep what waits for the journal's return within its bound: the oldest goes, and is counted."""
        over = len(self._batch.rows) - JOURNAL_QUEUE_ROWS_MAX
        if over > 0:
            del self._batch.rows[:over]
            self._batch.kept = list(range(len(self._batch.rows)))
            self._metrics.journal_rows_dropped += over

    async def _reopen(self) -> None:
        """Try once more; if that fails, wait a moment."""
        try:
            await self.open()
        except JournalError as exc:
            log.error("journal.still_unavailable", error=str(exc))
            await asyncio.sleep(JOURNAL_RETRY_S)
        else:
            log.info("journal.available", waiting=self.waiting)

    def close(self) -> None:
        """Let `run` return once all is stored, and covered by a checkpoint."""
        self._closing = True
        if self._timer is not None:
            self._timer.cancel()
        self._wake.set()


def tells(stored: asyncio.Future[JournalUnavailable | None]) -> Then:
    """Return what tells a future what became of a message. Whoever waited for it may have left: that is no fault."""

    def then(failure: JournalUnavailable | None) -> None:
        if not stored.done():
            stored.set_result(failure)

    return then


def _nothing(_refusal: JournalUnavailable | None) -> None:
    """What happens after a message nobody waits for is durable."""
