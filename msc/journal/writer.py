"""Group commit: all that was appended while the last commit ran goes into the next.

One commit runs at a time, back to back. What a caller wants to happen after its message is durable, it
gives as `then`; nothing is acknowledged or forwarded before that is called.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from msc import clock
from msc.errors import JournalError, JournalUnavailable, Overloaded
from msc.journal.record import AuditRecord, EventRecord, MessageRecord
from msc.journal.store import Batch, JournalStore
from msc.limits import JOURNAL_QUEUE_ROWS_MAX, JOURNAL_RETRY_S
from msc.log import get_logger
from msc.metrics import Metrics

log = get_logger("journal")

Then = Callable[[JournalUnavailable | None], None]
"""Called once: with None when the message is durable, with the refusal when nothing was stored."""

_NO_EVENTS: Final[tuple[EventRecord, ...]] = ()


class JournalWriter:
    """The one writer of the journal.

    While the journal cannot be written, `append` refuses with E501 and the writer tries again once a
    second; what had happened to messages already stored (`note`) and the audit stream are kept, up to a
    bound, and written when it is back.
    """

    def __init__(self, store: JournalStore, metrics: Metrics) -> None:
        self._store = store
        self._metrics = metrics
        self._batch = Batch()
        self._committing = False
        self._commits = 0
        self._next_msn = 1
        self._wake = asyncio.Event()
        self._closing = False
        self.available = False

    async def open(self) -> None:
        """Open the journal.

        Raises:
            JournalError: It cannot be opened.
        """
        self._next_msn = await self._store.open() + 1
        self.available = True

    @property
    def waiting(self) -> int:
        """How many rows wait for the next commit."""
        return len(self._batch)

    @property
    def busy(self) -> bool:
        """Whether anything waits or is being stored."""
        return self._committing or bool(len(self._batch))

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
        batch = self._batch
        batch.messages.append(message)
        batch.events.extend(events)
        batch.thens.append(then or _nothing)
        self._wake.set()

    def note(self, event: EventRecord) -> None:
        """Store something that happened to a message stored before. Nobody waits for it."""
        self._batch.notes.append(event)
        if not self.available:
            self._trim()
        self._wake.set()

    def note_audit(self, record: AuditRecord) -> None:
        """Store an access-control event."""
        self._batch.audit.append(record)
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

    # --- committing -----------------------------------------------------------------------------

    async def run(self) -> None:
        """Commit until `close` was called and all is stored. One task runs this for the daemon's life."""
        while True:
            if not self.available:
                if self._closing:
                    return
                await self._reopen()
            elif self.waiting:
                await self._commit()
            elif self._closing:
                return
            else:
                self._wake.clear()
                await self._wake.wait()

    async def _commit(self) -> None:
        batch, self._batch = self._batch, Batch()
        began = clock.monotonic()
        self._committing = True
        try:
            await self._store.commit(batch)
        except JournalError as exc:
            self._fail(batch, exc)
            return
        finally:
            self._committing = False
        self._commits += 1
        self._metrics.committed(len(batch), began, clock.monotonic())
        for then in batch.thens:
            then(None)

    def _fail(self, batch: Batch, error: JournalError) -> None:
        """Nothing of the batch was stored: refuse its messages and those behind it; keep the rest."""
        log.error("journal.unavailable", error=str(error))
        self.available = False
        behind, self._batch = self._batch, Batch()
        self._batch.notes = batch.notes + behind.notes
        self._batch.audit = batch.audit + behind.audit
        self._trim()
        refusal = JournalUnavailable()
        for then in batch.thens + behind.thens:
            then(refusal)

    def _trim(self) -> None:
        """Keep what waits for the journal's return within its bound: the oldest goes, and is counted."""
        for rows in (self._batch.notes, self._batch.audit):
            over = len(rows) - JOURNAL_QUEUE_ROWS_MAX
            if over > 0:
                del rows[:over]
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
        """Let `run` return once all is stored."""
        self._closing = True
        self._wake.set()


def _nothing(_refusal: JournalUnavailable | None) -> None:
    """What happens after a message nobody waits for is durable."""
