"""The archivist's side of a journal in SQLite files.

A month's blocks and index change in one transaction of its file, together with a row `held` that says what it holds
then; the month's row in the main file follows. Where a crash fell between the two, the archivist brings the main
file's row up to date when it first asks for the months: what a month's file holds is durable, and nothing of it
has to be done again.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import func, select

from msc.journal.database.folder import WAIT_S, connect, size_of
from msc.journal.database.layout import Block, CheckpointRow, Hold, Month, MonthUnreadable, Page, Segment
from msc.journal.database.schema import checkpoint_table
from msc.journal.database.sqlite import SqliteReading
from msc.journal.database.thread import WorkerThread


def _put(table: str, columns: int) -> str:
    return f"INSERT OR REPLACE INTO {table} VALUES ({', '.join('?' * columns)})"  # noqa: S608  our own tables


_PUT_MONTH: Final = _put("month", len(Month._fields))
_PUT_HELD: Final = _put("held", len(Month._fields))
_PUT_HOLD: Final = _put("hold", len(Hold._fields))
_PUT_BLOCK: Final = _put("block", 9)
_PUT_SEGMENT: Final = _put("segment", len(Segment._fields))
_PUT_PAGE: Final = _put("page", len(Page._fields))


class SqliteArchiving(SqliteReading):
    """The archiving end of a journal in SQLite files.

    Args:
        url: `sqlite+aiosqlite:///FILE`.
        wait_s: How long to wait for the writer's lock.
    """

    def __init__(self, url: str, *, wait_s: float = WAIT_S) -> None:
        super().__init__(url)
        self._wait_s = wait_s
        self._thread = WorkerThread()
        self._main_driver: sqlite3.Connection | None = None
        self._month_driver: tuple[int, tuple[int, int], sqlite3.Connection] | None = None
        self._mended = False
        self._place: int | None = None
        """The file whose lock is the archivist's place."""

    async def claim(self) -> None:
        """Take the archivist's place: the lock of a file among those of the months."""
        if self._place is None:
            self._place = await self._thread.run("archived", self._folder.claim)

    async def months(self) -> list[Month]:
        """Return all months, in order; the first time, after bringing their rows up to date with their files."""
        months = await super().months()
        if not self._mended:
            behind = await self._thread.run("read", self._behind, months)
            for month in behind:
                await self.put_month(month)
            self._mended = True
            months = await super().months() if behind else months
        return months

    def _behind(self, months: list[Month]) -> list[Month]:
        """Return what the files of months that are not sealed hold, where their rows say less."""
        found = []
        for month in months:
            if month.sealed or month.deleted:
                continue
            try:
                row = self._month(month.month).execute("SELECT * FROM held").fetchone()
            except (OSError, sqlite3.Error):
                continue  # whoever reads it is told
            held = Month(*row) if row else month
            if held.last > month.last:
                found.append(held)
        return found

    async def make_month(self, month: int) -> None:
        """Make a month's file; nothing happens where it is there."""
        await self._thread.run("written", self._make, month)

    def _make(self, month: int) -> None:
        self._folder.make_month(month)
        columns = ", ".join("?" * len(Month._fields))
        self._write_main(f"INSERT OR IGNORE INTO month VALUES ({columns})", Month(month))  # noqa: S608  no values

    async def store(
        self,
        month: Month,
        blocks: Sequence[Block] = (),
        segments: Sequence[Segment] = (),
        pages: Sequence[Page] = (),
        replaced: Sequence[int] = (),
    ) -> None:
        """Store blocks and index of a month in its file, then what it holds in the main file; see `JournalArchiving`.

        Raises:
            MonthUnreadable: The month's file is not there, or damaged.
            JournalError: It cannot be written.
        """
        await self._thread.run("written", self._store, month, blocks, segments, pages, replaced)

    def _store(
        self,
        month: Month,
        blocks: Sequence[Block],
        segments: Sequence[Segment],
        pages: Sequence[Page],
        replaced: Sequence[int],
    ) -> None:
        try:
            driver = self._month(month.month)
        except (FileNotFoundError, sqlite3.DatabaseError) as exc:
            raise MonthUnreadable(month.month, type(exc).__name__) from exc
        gone = [(number,) for number in replaced]
        driver.execute("BEGIN IMMEDIATE")
        try:
            driver.executemany("DELETE FROM page WHERE segment = ?", gone)
            driver.executemany("DELETE FROM segment WHERE number = ?", gone)
            driver.executemany(_PUT_BLOCK, [(*block.key, block.link, block.marks, block.body) for block in blocks])
            driver.executemany(_PUT_SEGMENT, segments)
            driver.executemany(_PUT_PAGE, pages)
            driver.execute(_PUT_HELD, month)
            driver.execute("COMMIT")
        except sqlite3.Error as exc:
            self._let_go_of_month()
            if isinstance(exc, sqlite3.OperationalError):
                raise
            raise MonthUnreadable(month.month, type(exc).__name__) from exc
        self._write_main(_PUT_MONTH, month)

    async def put_month(self, month: Month) -> None:
        """Store what a month is now."""
        await self._thread.run("written", self._write_main, _PUT_MONTH, month)

    async def drop_month(self, month: int) -> int:
        """Unlink a month's files; its row stays. Returns the bytes that were freed."""
        self._let_go(month)
        await self._close_idle()
        return await self._thread.run("written", self._drop, month)

    def _drop(self, month: int) -> int:
        if self._month_driver is not None and self._month_driver[0] == month:
            self._let_go_of_month()
        return self._folder.drop_month(month)

    async def put_hold(self, hold: Hold) -> int:
        """Place a hold (number 0), or store what became of one; returns its number."""
        return await self._thread.run("written", self._put_hold, hold)

    def _put_hold(self, hold: Hold) -> int:
        if hold.number:
            return self._write_main(_PUT_HOLD, hold)
        names = ", ".join(Hold._fields[1:])
        marks = ", ".join("?" * (len(Hold._fields) - 1))
        return self._write_main(f"INSERT INTO hold ({names}) VALUES ({marks})", hold[1:])  # noqa: S608  no values

    async def size(self) -> dict[str, int]:
        """Return the bytes it takes: `tail`, `checkpoint`, and each month by its number.

        Tail and checkpoints share a file. How much of it are checkpoints is told from how many there are and what
        the last ones take; all the rest is called the tail's.
        """
        number = checkpoint_table.c.number
        rows = await self._ask(select(checkpoint_table).order_by(number.desc()).limit(100))
        newest = [CheckpointRow(*row) for row in rows]
        oldest = await self._ask(select(func.min(number)))
        count = newest[0].number - oldest[0][0] + 1 if newest else 0
        each = sum(len(row.body) + len(row.signature) + 24 for row in newest) / max(1, len(newest))
        months = await super().months()

        def measure() -> dict[str, int]:
            main = size_of(self._folder.main)
            checkpoints = min(main, round(each * count))
            sizes = {str(month.month): size_of(self._folder.month(month.month)) for month in months}
            return {"tail": main - checkpoints, "checkpoint": checkpoints, **sizes}

        return await self._thread.run("read", measure)

    # --- connections ----------------------------------------------------------------------------

    def _write_main(self, statement: str, values: tuple[Any, ...]) -> int:
        """Run one statement on the main file as a transaction: the writer waits meanwhile. Returns the row's key."""
        if self._main_driver is None:
            # The log is the writer's to move.
            self._main_driver = connect(self._folder.main, wait_s=self._wait_s, checkpoints=False)
        return self._main_driver.execute(statement, values).lastrowid or 0

    def _month(self, month: int) -> sqlite3.Connection:
        """Return the connection that writes a month; one is kept.

        Raises:
            OSError: The file is not there.
            sqlite3.Error: It cannot be opened.
        """
        path = self._folder.month(month)
        found = path.stat()
        identity = (found.st_dev, found.st_ino)
        if self._month_driver is not None and self._month_driver[:2] == (month, identity):
            return self._month_driver[2]
        self._let_go_of_month()
        driver = connect(path, wait_s=self._wait_s)
        self._month_driver = (month, identity, driver)
        return driver

    def _let_go_of_month(self) -> None:
        kept, self._month_driver = self._month_driver, None
        if kept is not None:
            # Into the file, and the log cut to nothing: closing does that only where nobody reads. Who does is not
            # waited for.
            with contextlib.suppress(sqlite3.Error):
                kept[2].execute("PRAGMA busy_timeout=0")
                kept[2].execute("PRAGMA wal_checkpoint(TRUNCATE)")
            kept[2].close()

    async def close(self) -> None:
        """Let go of the files."""
        await self._thread.run("closed", self._close)
        self._thread.stop()
        await super().close()

    def _close(self) -> None:
        self._let_go_of_month()
        place, self._place = self._place, None
        if place is not None:
            os.close(place)
        main, self._main_driver = self._main_driver, None
        if main is not None:
            main.close()
