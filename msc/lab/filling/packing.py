"""The archivist beside a filling: in a process of its own, as beside the switch."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from msc.errors import JournalError
from msc.journal.archive import RUN_MIN, Archivist
from msc.journal.database.opening import open_archiving, open_reading
from msc.journal.process import JournalProcess
from msc.limits import CHECKPOINT_RECORDS_MAX

_BEHIND_MAX: Final = 3 * CHECKPOINT_RECORDS_MAX
"""Records the archivist may be behind by, for the tail's sake; beyond it the filling waits."""
_STUCK_S: Final = 300.0
"""No run of the archivist takes so long: it is no more."""


class Packing:
    """Packs and indexes what is filled in. Used as an asynchronous context.

    Args:
        url: The journal's database.
        beside: Whether in a process of its own; otherwise all of it is done by `finish`.
    """

    def __init__(self, url: str, *, beside: bool = True) -> None:
        self._url = url
        self._beside = beside
        self._moved = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.archived = 0
        """The last record that stands in a block, as far as is known."""

    async def __aenter__(self) -> Packing:
        if self._beside:
            self._task = asyncio.ensure_future(JournalProcess("archive", {"url": self._url}, self._told).run())
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self._stop()

    def _told(self, said: dict[str, Any]) -> None:
        self.archived = said.get("archived", self.archived)
        self._moved.set()

    async def room(self, seq: int) -> None:
        """Wait while the archivist is too far behind a record.

        Raises:
            JournalError: It does not move any more.
        """
        await self._reach(seq - _BEHIND_MAX)

    async def caught_up(self, seq: int) -> None:
        """Wait until the archivist has packed all up to a record but a run too small for it.

        Raises:
            JournalError: It does not move any more.
        """
        await self._reach(seq - RUN_MIN + 1)

    async def _reach(self, seq: int) -> None:
        while self._task is not None and self.archived < seq:
            self._moved.clear()
            try:
                async with asyncio.timeout(_STUCK_S):
                    await self._moved.wait()
            except TimeoutError:
                raise JournalError("the archivist does not move any more; its log says why") from None

    async def finish(self) -> None:
        """Pack the rest, however little, of what checkpoints cover.

        Raises:
            JournalError: The database failed.
        """
        await self._stop()
        database = open_archiving(self._url)
        try:
            archivist = Archivist(database)
            while (archived := await archivist.step(at_least=1)) > self.archived:
                self.archived = archived
        finally:
            await database.close()

    async def tail_left(self) -> bool:
        """Tell whether the tail still holds anything that stands in blocks.

        Raises:
            JournalError: The database failed.
        """
        reading = open_reading(self._url)
        try:
            rows = await reading.tail(0, 1)
            return bool(rows) and rows[0].seq <= self.archived
        finally:
            await reading.close()

    async def _stop(self) -> None:
        """End the process; a run that it does not get to the end of is done again."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
