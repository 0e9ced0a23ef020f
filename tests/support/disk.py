"""A fake of the disk under the journal: a real database whose commits and openings fail on demand."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from msc.errors import JournalError
from msc.journal.database.layout import CheckpointRow, JournalWriting, Opened, TailRow
from msc.journal.database.opening import open_writing


class FaultyDisk:
    """A journal's writing end on a disk that can fail.

    Attributes:
        full: While true, every commit fails and nothing of it is stored.
        silent: While true, every commit is stored, but whoever asked for it is told that it failed.
        gone: While true, the database cannot be opened either.
        commits: How many rows each stored batch had.
        gate: Commits wait for it, so that a test can act while one is under way.
    """

    def __init__(self, url: str) -> None:
        self._under: JournalWriting = open_writing(url)
        self.full = self.silent = self.gone = False
        self.commits: list[int] = []
        self.checkpoints: list[CheckpointRow] = []
        self.under_way = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()
        self._closed = False

    async def close(self) -> None:
        """Close, once: a test may have closed it before its fixture does."""
        if not self._closed:
            self._closed = True
            await self._under.close()

    async def open(self) -> Opened:
        """Open, unless the disk is gone."""
        if self.gone:
            raise JournalError("the disk is gone")
        return await self._under.open()

    async def commit(
        self,
        rows: Sequence[TailRow],
        *,
        checkpoints: Sequence[CheckpointRow] = (),
        state: bytes | None = None,
        drop_to: int = 0,
    ) -> None:
        """Commit when the gate is open, unless the disk is full."""
        if rows:
            self.under_way.set()
            await self.gate.wait()
            self.under_way.clear()
        if self.full:
            raise JournalError("the disk is full")
        await self._under.commit(rows, checkpoints=checkpoints, state=state, drop_to=drop_to)
        if rows:
            self.commits.append(len(rows))
        self.checkpoints += checkpoints
        if self.silent:
            raise JournalError("nobody knows whether that was stored")
