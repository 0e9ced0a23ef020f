"""Group commit: all that was appended while the last commit ran goes into the next.

One commit runs at a time, back to back. What a caller wants to happen after its message is durable, it
gives as `then`; nothing is acknowledged or forwarded before that is called.

What only happened to a message (`note`) makes no commit of its own. Steps of one message gather until it has ended
somewhere, or something of it is stored anyway, and are one record; they ride with the next commit, or soon have one.
What a crash loses of that errs on the safe side: see "What is stored, and when" in docs/architecture.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from msc import clock
from msc.errors import JournalError, JournalUnavailable, Overloaded
from msc.journal.database.layout import CheckpointRow, JournalWriting, Opened
from msc.journal.ledger import Entered, Ledger
from msc.journal.proof.canonical import NotCanonical, decode
from msc.journal.proof.checkpoint import Signer, Statement
from msc.journal.record import AuditRecord, Record, StepsRecord
from msc.limits import (
    CHECKPOINT_RECORDS_MAX,
    CHECKPOINT_S,
    CLOCK_STEP_S,
    JOURNAL_QUEUE_ROWS_MAX,
    JOURNAL_RETRY_S,
    NOTES_RIDE_S,
    STEPS_GATHER_S,
)
from msc.log import get_logger
from msc.metrics import Metrics
from msc.transit.event import Event, Facts, Life
from msc.transit.message import MessageRecord
from msc.transit.state import State

log = get_logger("journal")

Then = Callable[[JournalUnavailable | None], None]
"""Called once: with None when the message is durable, with the refusal when nothing was stored."""


class _Row(NamedTuple):
    """What goes into the journal.

    Attributes:
        mono: Monotonic mark, microseconds.
        kept: What of the record outlasts a failed commit: what has happened did, and what was to be stored did not.
    """

    mono: int
    record: Record
    kept: Record | None


@dataclass(slots=True)
class _Batch:
    """What goes into one commit.

    Attributes:
        rows: In the order they came.
        thens: Called in the order of their messages.
        wanted: Whether it is to be committed now, and not with whatever comes next.
    """

    rows: list[_Row] = field(default_factory=list)
    thens: list[Then] = field(default_factory=list)
    wanted: bool = False

    def outlasting(self) -> list[_Row]:
        """Return the rows that outlast a failed commit."""
        return [_Row(row.mono, row.kept, row.kept) for row in self.rows if row.kept is not None]


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
        self._steps: dict[int, tuple[float, list[Event]]] = {}
        """What has happened to messages and is in no batch yet: MSN to since when, monotonic; the oldest first."""
        self._ride: asyncio.TimerHandle | None = None
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

    @property
    def owed(self) -> Mapping[int, Mapping[str, State]]:
        """Where messages have not ended: MSN to destination to where it stands there."""
        return self._ledger.owed

    @property
    def unreadable(self) -> Sequence[int]:
        """Records that this start could not understand, by their positions."""
        return self._ledger.unreadable

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

    def append(self, message: MessageRecord, then: Then | None = None, others: Iterable[Event] = ()) -> None:
        """Store a message with what is known of its life.

        MSN order is the order of calls. Concurrent callers share one commit and its cost.

        Args:
            message: Its MSN must be the one just allotted.
            then: See `Then`.
            others: What it means for other messages; stored with it, or not at all.

        Raises:
            JournalUnavailable: The journal cannot be written; nothing was taken.
        """
        if not self.available:
            raise JournalUnavailable
        assert message.msn == self._next_msn
        self._next_msn += 1
        batch = self._batch
        batch.rows.append(_Row(clock.monotonic_us(), message, None))
        for event in others:
            self._enter_steps(event.msn, event)
        batch.thens.append(then or _nothing)
        batch.wanted = True
        self._wake.set()

    def store(self, event: Event, then: Then) -> None:
        """Store something that happened to a message stored before, for who has to know that it is durable.

        Args:
            then: See `Then`.

        Raises:
            JournalUnavailable: The journal cannot be written; nothing was taken.
        """
        if not self.available:
            raise JournalUnavailable
        self._enter_steps(event.msn, event)
        self._batch.thens.append(then)
        self._batch.wanted = True
        self._wake.set()

    def note(self, event: Event, *, ended: bool = True) -> None:
        """Store something that happened to a message stored before. Nobody waits for it.

        Args:
            ended: Whether more is not to be expected soon, so that its steps need not gather.
        """
        gathered = self._steps.get(event.msn)
        if gathered is None:
            self._steps[event.msn] = clock.monotonic(), [event]
        else:
            gathered[1].append(event)
        if ended:
            self._enter_steps(event.msn)
        if self._ride is None:
            self._ride = asyncio.get_running_loop().call_later(NOTES_RIDE_S, self._let_ride)

    def note_audit(self, record: AuditRecord) -> None:
        """Store an access-control event."""
        self._batch.rows.append(_Row(clock.monotonic_us(), record, record))
        self._batch.wanted = True
        if not self.available:
            self._trim()
        self._wake.set()

    def _enter_steps(self, msn: int, stored: Event | None = None) -> None:
        """Put what has gathered of a message into the batch, as one record.

        Args:
            stored: What is to be stored beside it, or not at all.
        """
        gathered = self._steps.pop(msn, None)
        steps = tuple(gathered[1]) if gathered is not None else ()
        kept = StepsRecord(msn, steps[-1].at, steps) if steps else None
        record = kept if stored is None else StepsRecord(msn, stored.at, (*steps, stored))
        if record is not None:
            self._batch.rows.append(_Row(clock.monotonic_us(), record, kept))
            if not self.available:
                self._trim()

    def flush(self) -> None:
        """Have all that was noted committed now."""
        for msn in list(self._steps):
            self._enter_steps(msn)
        if self._batch.rows:
            self._batch.wanted = True
            self._wake.set()

    def _let_ride(self) -> None:
        """What no commit has taken along gets one, and so does what has gathered for long enough."""
        self._ride = None
        before = clock.monotonic() - STEPS_GATHER_S
        for msn, (since, _) in list(self._steps.items()):
            if since > before:
                break
            self._enter_steps(msn)
        if self._batch.rows:
            self._batch.wanted = True
            self._wake.set()
        if self._steps:
            self._ride = asyncio.get_running_loop().call_later(NOTES_RIDE_S, self._let_ride)

    def noted(self) -> int:
        """Return a mark for all that has been appended and noted so far; see `holds`."""
        self.flush()
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
            elif self._batch.wanted or self._checkpoint_due or self._drop_to or self._wanted:
                await self._commit()
            elif self._closing:
                self.flush()
                if self._batch.rows:
                    continue
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
            entered = self._ledger.enter([(row.mono, row.record) for row in batch.rows])
            stated = await self._commit_rows(entered, wanted)
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
        for row in opened.tail:
            if row.seq <= self._failed_after:
                continue
            with contextlib.suppress(NotCanonical):
                record = decode(row.body).record
                if isinstance(record, MessageRecord):
                    refused: Facts = {"code": JournalUnavailable.code, "why": "after the fact"}
                    self.note(Event(record.msn, clock.wall_us(), Life.REFUSED, None, refused))

    def _keep_rows(self, rows: Sequence[_Row]) -> None:
        self._batch.rows += rows
        self._batch.wanted = self._batch.wanted or bool(rows)
        self._trim()

    def _trim(self) -> None:
        """Keep what waits for the journal's return within its bound: the oldest goes, and is counted."""
        over = len(self._batch.rows) - JOURNAL_QUEUE_ROWS_MAX
        if over > 0:
            del self._batch.rows[:over]
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
        for timer in (self._timer, self._ride):
            if timer is not None:
                timer.cancel()
        self._wake.set()


def tells(stored: asyncio.Future[JournalUnavailable | None]) -> Then:
    """Return what tells a future what became of a message. Whoever waited may have left: that is no fault."""

    def then(failure: JournalUnavailable | None) -> None:
        if not stored.done():
            stored.set_result(failure)

    return then


def _nothing(_refusal: JournalUnavailable | None) -> None:
    """What happens after a message nobody waits for is durable."""
