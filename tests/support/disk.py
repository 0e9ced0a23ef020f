"""A fake of the disk under the journal: a real store whose commits and openings fail on demand."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from msc.errors import JournalError
from msc.journal.record import AuditRecord, EventRecord, MessageRecord
from msc.journal.store import Batch, JournalStore


class FaultyDisk(JournalStore):
    """A journal store on a disk that can fail.

    Attributes:
        full: While true, every commit fails and nothing of it is stored.
        gone: While true, the database cannot be opened either.
        commits: The sizes of the batches that were stored: messages, events, audit records.
        gate: Commits wait for it, so that a test can act while one is under way.
    """

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.full = False
        self.gone = False
        self.commits: list[tuple[int, int, int]] = []
        self.under_way = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()
        self._closed = False

    async def close(self) -> None:
        """Close, once: a test may have closed it before its fixture does."""
        if not self._closed:
            self._closed = True
            await super().close()

    async def open(self) -> int:
        """Open, unless the disk is gone."""
        if self.gone:
            raise JournalError("the disk is gone")
        return await super().open()

    async def commit(self, batch: Batch) -> None:
        """Commit when the gate is open, unless the disk is full."""
        self.under_way.set()
        await self.gate.wait()
        self.under_way.clear()
        if self.full:
            raise JournalError("the disk is full")
        await super().commit(batch)
        self.commits.append((len(batch.messages), len(batch.events) + len(batch.notes), len(batch.audit)))


async def commit(
    store: JournalStore,
    messages: Sequence[MessageRecord],
    events: Sequence[EventRecord],
    audit: Sequence[AuditRecord],
) -> None:
    """Store some records as one batch."""
    await store.commit(Batch(messages=list(messages), notes=list(events), audit=list(audit)))
