"""A journal in SQLite files: the writer's side and the readers' (the archivist's is in `sqlite_archive`).

The writer goes straight through the driver, in one thread: this is the journal's hot path. A batch is one visit of
that thread, and rows go in by the hundred in one statement: a thread that had to take the interpreter's lock for
every row would wait for the busy event loop each time.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections import OrderedDict
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Final

import orjson
from sqlalchemy import ColumnElement, Table, func, select, tuple_
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from msc import migration
from msc.errors import JournalError
from msc.journal import migrations
from msc.journal.database.folder import WAIT_S, JournalFolder, connect, reading_url, tables
from msc.journal.database.layout import CheckpointRow, MonthUnreadable, Opened, TailRow
from msc.journal.database.reading import Question, Rows, SqlReading, what
from msc.journal.database.schema import HEAD, metadata
from msc.journal.database.tail import TailEnds
from msc.journal.database.thread import WorkerThread

_ROWS_AT_ONCE: Final = 128
"""Rows of one INSERT at most; each number of rows has a prepared statement of its own. More at once gain nothing:
100 to 5000 rows a commit go in at 200 000 to 350 000 a second with 128, and slower with 512."""
_INSERT: Final = "INSERT INTO tail (seq, body, link) VALUES "
_INSERTS: Final = [_INSERT + ", ".join(["(?, ?, ?)"] * rows) for rows in range(_ROWS_AT_ONCE + 1)]
_MONTHS_OPEN: Final = 64
"""Month files that are kept open for reading: more than three years and what searches look at meanwhile."""
_CONNECTIONS: Final = 4
"""Connections to a file that are kept; each has a thread. Who finds none free waits."""


class SqliteWriting:
    """The writing end of a journal in SQLite files.

    Args:
        url: `sqlite+aiosqlite:///FILE`.
        wait_s: How long a commit waits for the archivist's lock before it fails.
    """

    def __init__(self, url: str, *, wait_s: float = WAIT_S) -> None:
        self._folder = JournalFolder(url)
        self._wait_s = wait_s
        self._driver: sqlite3.Connection | None = None
        self._sound = False
        self._ends = TailEnds(())
        self._thread = WorkerThread()

    async def open(self) -> Opened:
        """Open the main file; a new one gets its tables, an older one is upgraded.

        Raises:
            JournalError: It cannot be opened or written, or is of a newer release.
        """
        return await self._thread.run("opened", self._open)

    def _open(self) -> Opened:
        self._close()
        self._folder.close_to_others()
        migration.upgrade(self._folder.url, metadata, migrations.__name__, HEAD)
        self._driver = driver = connect(self._folder.main, wait_s=self._wait_s)
        # A write, always: a database that can be read but not written is not open.
        driver.execute("BEGIN IMMEDIATE")
        driver.execute("UPDATE alembic_version SET version_num = version_num")
        driver.execute("COMMIT")
        tail = [TailRow(*row) for row in driver.execute("SELECT seq, body, link FROM tail ORDER BY seq")]
        state = driver.execute("SELECT body FROM state").fetchone()
        checkpoint = driver.execute(
            "SELECT number, seq, statement, body, signature FROM checkpoint ORDER BY number DESC LIMIT 1"
        ).fetchone()
        self._ends = TailEnds(tail)
        self._sound = True
        return Opened(state[0] if state else None, CheckpointRow(*checkpoint) if checkpoint else None, tail)

    async def commit(
        self,
        rows: Sequence[TailRow],
        *,
        checkpoints: Sequence[CheckpointRow] = (),
        state: bytes | None = None,
        drop_to: int = 0,
    ) -> None:
        """Store all of this durably, or nothing of it; see `JournalWriting`.

        What is dropped is bounded; the rest of it goes with the next commits.

        Raises:
            JournalError: Whether it was stored is not known; no commit succeeds until `open` was called again.
        """
        await self._thread.run("written", self._commit, rows, checkpoints, state, drop_to)

    def _commit(
        self, rows: Sequence[TailRow], checkpoints: Sequence[CheckpointRow], state: bytes | None, drop_to: int
    ) -> None:
        driver = self._driver
        if driver is None or not self._sound:
            raise JournalError("the journal is not open")
        self._sound = False  # until this has succeeded
        try:
            driver.execute("BEGIN IMMEDIATE")
            self._write(driver, rows, checkpoints, state, drop_to)
            driver.execute("COMMIT")
        except sqlite3.Error:
            # The archivist shall not wait for a lock of a commit that has failed.
            with contextlib.suppress(sqlite3.Error):
                driver.rollback()
            raise
        self._sound = True

    def _write(
        self,
        driver: sqlite3.Connection,
        rows: Sequence[TailRow],
        checkpoints: Sequence[CheckpointRow],
        state: bytes | None,
        drop_to: int,
    ) -> None:
        dropped = self._ends.turn(rows, drop_to)
        for at in range(0, len(rows), _ROWS_AT_ONCE):
            part = rows[at : at + _ROWS_AT_ONCE]
            driver.execute(_INSERTS[len(part)], tuple(chain.from_iterable(part)))
        if checkpoints:
            driver.executemany(
                "INSERT INTO checkpoint (number, seq, statement, body, signature) VALUES (?, ?, ?, ?, ?)", checkpoints
            )
        if state is not None:
            driver.execute("INSERT OR REPLACE INTO state (number, body) VALUES (1, ?)", (state,))
        if dropped:
            driver.execute("DELETE FROM tail WHERE seq <= ?", (dropped,))

    def _close(self) -> None:
        driver, self._driver, self._sound = self._driver, None, False
        if driver is not None:
            driver.close()

    async def close(self) -> None:
        """Let go of the files."""
        await self._thread.run("closed", self._close)
        self._thread.stop()


def _json(values: list[int] | list[tuple[int, int]]) -> str:
    return orjson.dumps(values).decode()


class _MonthFile:
    """A month file that is open for reading, and how many read it now."""

    def __init__(self, file: Path, identity: tuple[int, int]) -> None:
        self.identity = identity
        self.users = 0
        self.engine = reading_engine(file)


def reading_engine(file: Path) -> AsyncEngine:
    """Return an engine that reads a file, with a few connections, each statement for itself."""
    return create_async_engine(
        reading_url(file),
        pool_size=_CONNECTIONS,
        max_overflow=0,
        pool_reset_on_return=None,
        isolation_level="AUTOCOMMIT",
    )


class SqliteReading(SqlReading):
    """A reading end of a journal in SQLite files.

    Args:
        url: `sqlite+aiosqlite:///FILE`.
    """

    def __init__(self, url: str) -> None:
        self._folder = JournalFolder(url)
        self._open: OrderedDict[int, _MonthFile] = OrderedDict()
        self._put_out: list[_MonthFile] = []
        super().__init__(reading_engine(self._folder.main))

    def _among(self, column: ColumnElement[int], values: list[int]) -> ColumnElement[bool]:
        each = func.json_each(_json(values)).table_valued("value")
        return column.in_(select(each.c.value))

    def _at(self, page: Table, places: list[tuple[int, int]]) -> ColumnElement[bool]:
        # A subquery, because of a plain list of pairs SQLite makes a scan.
        each = func.json_each(_json(places)).table_valued("value")
        wanted = select(func.json_extract(each.c.value, "$[0]"), func.json_extract(each.c.value, "$[1]"))
        return tuple_(page.c.segment, page.c.number).in_(wanted)

    def _trouble(self, exc: Exception) -> bool:
        # What stands in a damaged file may be text that is none, or a value of another type.
        return isinstance(exc, (SQLAlchemyError, OSError, sqlite3.Error, ValueError, TypeError))

    async def _ask_month(self, month: int, question: Question) -> Rows:
        try:
            file = self._file(month)
            file.users += 1
            try:
                return await self._put(file.engine, question(tables))
            finally:
                file.users -= 1
        except Exception as exc:
            if not self._trouble(exc):
                raise
            raise MonthUnreadable(month, what(exc)) from exc
        finally:
            if self._put_out:
                await self._close_idle()

    def _file(self, month: int) -> _MonthFile:
        """Return a month's file, opened anew if it is another than it was.

        Raises:
            OSError: It is not there.
        """
        path = self._folder.month(month)
        file = self._open.get(month)
        try:
            found = path.stat()
        except OSError:
            self._let_go(month)
            raise
        identity = (found.st_dev, found.st_ino)
        if file is None or file.identity != identity:
            self._let_go(month)
            file = self._open[month] = _MonthFile(path, identity)
            if len(self._open) > _MONTHS_OPEN:
                self._let_go(next(iter(self._open)))
        self._open.move_to_end(month)
        return file

    def _let_go(self, month: int) -> None:
        file = self._open.pop(month, None)
        if file is not None:
            self._put_out.append(file)

    async def _close_idle(self) -> None:
        """Close the files that were put out, unless somebody still reads them."""
        idle = [file for file in self._put_out if not file.users]
        self._put_out = [file for file in self._put_out if file.users]
        for file in idle:
            await file.engine.dispose()

    async def close(self) -> None:
        """Let go of the files."""
        for month in list(self._open):
            self._let_go(month)
        await self._close_idle()
        await super().close()
