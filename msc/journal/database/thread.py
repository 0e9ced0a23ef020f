"""A thread of its own for whoever writes SQLite files: one visit a piece of work."""

from __future__ import annotations

import asyncio
import functools
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from msc.errors import JournalError
from msc.migration import UnknownRevision

Result = TypeVar("Result")


class WorkerThread:
    """Runs work in one thread, and says in a `JournalError` what went wrong there."""

    def __init__(self) -> None:
        self._thread: ThreadPoolExecutor | None = None

    async def run(self, what: str, work: Callable[..., Result], *args: Any) -> Result:
        """Run a piece of work after those that were given before.

        Args:
            what: What is done to the journal, for people: `written`.

        Raises:
            JournalError: The database failed.

        Cancellation:
            Safe, but the work is done all the same.
        """
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="msc-journal")
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, functools.partial(work, *args))
        except (SQLAlchemyError, sqlite3.Error, OSError) as exc:
            name = type(getattr(exc, "orig", None) or exc).__name__
            raise JournalError(f"the journal cannot be {what}: {name}") from exc
        except UnknownRevision as exc:
            raise JournalError(f"the journal cannot be {what}: {exc}") from exc

    def stop(self) -> None:
        """Let the thread end; another begins when there is work again."""
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.shutdown()
