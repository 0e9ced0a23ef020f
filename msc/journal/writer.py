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
from msc.journal.store import JournalStore
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
        self._messages: list[MessageRecord] = []
        self._thens: list[Then] = []
        self._events: list[EventRecord] = []
        self._notes: list[EventRecord] = []
        self._audit: list[AuditRecord] = []
        self._durable_msn = 0
        self._next_msn = 1
        self._wake = asyncio.Event()
        self._closing = False
        self.available = False

    async def open(self) -> None:
        """Open the journal.

        Raises:
            JournalError: It cannot be opened.
        """
        self._durable_msn = await self._store.open()
        self._next_msn = self._durable_msn + 1
        self.available = True

    @property
    def waiting(self) -> int:
        """How many rows wait for the next commit."""
        return len(self._messages) + len(self._events) + len(self._notes) + len(self._audit)

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
        self._messages.append(message)
        self._events.extend(events)
        self._thens.append(then or _nothing)
        self._wake.set()

    def note(self, event: EventRecord) -> None:
        """Store something that happened to a message stored before. Nobody waits for it."""
        self._notes.append(event)
        if not self.available:
            self._trim()
        self._wake.set()

    def note_audit(self, record: AuditRecord) -> None:
        """Store an access-control event."""
        self._audit.append(record)
        if not self.available:
            self._trim()
        self._wake.set()

    # --- committing -----------------------------------------------------------------------------

    async def run(self) -> None:
        """Commit until `close` was called and all is stored. One task runs this for the daemon's life."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self.available or await self._reopen():
                while self.waiting and self.available:
                    await self._commit()
            if self._closing and not (self.waiting and self.available):
                return
            if not self.available:
                await asyncio.sleep(JOURNAL_RETRY_S)
                self._wake.set()

    async def _commit(self) -> None:
        messages, self._messages = self._messages, []
        thens, self._thens = self._thens, []
        events, self._events = self._events, []
        notes, self._notes = self._notes, []
        audit, self._audit = self._audit, []
        began = clock.monotonic()
        try:
            await self._store.commit(messages, events + notes if notes else events, audit)
        except JournalError as exc:
            self._fail(exc, thens, notes, audit)
            return
        if messages:
            self._durable_msn = messages[-1].msn
        self._metrics.committed(len(messages) + len(events) + len(notes) + len(audit), began, clock.monotonic())
        for then in thens:
            then(None)

    def _fail(
        self, error: JournalError, thens: list[Then], notes: list[EventRecord], audit: list[AuditRecord]
    ) -> None:
        """Nothing of the batch was stored: refuse its messages and those behind it; keep the rest."""
        log.error("journal.unavailable", error=str(error))
        self.available = False
        thens += self._thens
        self._messages, self._thens, self._events = [], [], []
        self._next_msn = self._durable_msn + 1
        self._notes = notes + self._notes
        self._audit = audit + self._audit
        self._trim()
        self._wake.set()
        refusal = JournalUnavailable()
        for then in thens:
            then(refusal)

    def _trim(self) -> None:
        """Keep what waits for the journal's return within its bound: the oldest goes, and is counted."""
        for rows in (self._notes, self._audit):
            over = len(rows) - JOURNAL_QUEUE_ROWS_MAX
            if over > 0:
                del rows[:over]
                self._metrics.journal_rows_dropped += over

    async def _reopen(self) -> bool:
        try:
            await self.open()
        except JournalError as exc:
            log.error("journal.still_unavailable", error=str(exc))
            return False
        # Opening proves reading only: it counts as back when the kept rows are stored.
        log.info("journal.available", waiting=self.waiting)
        return True

    def close(self) -> None:
        """Let `run` return once all is stored."""
        self._closing = True
        self._wake.set()


def _nothing(_refusal: JournalUnavailable | None) -> None:
    """What happens after a message nobody waits for is durable."""
