"""The journal's database, by SQLAlchemy URL: opening, committing batches, and what a starting switch asks of it.

All its work runs in one thread of its own. A batch is one visit of that thread, and rows go in by the
hundred in one statement: a thread that had to take the interpreter's lock for every row would wait for the
busy event loop each time.
"""

from __future__ import annotations

import asyncio
import functools
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final, TypeVar, cast

from sqlalchemy import Connection, Table, create_engine, event, func, make_url, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from msc.errors import JournalError
from msc.journal.record import AuditRecord, EventRecord, Life, MessageRecord, has_ended
from msc.journal.schema import audit_table, event_table, message_table, metadata

Result = TypeVar("Result")

_ROWS_AT_ONCE: Final = 128
"""Rows of one INSERT at most; each number of rows has a prepared statement of its own. 128 rows of the widest
table need a tenth of the parameters SQLite takes in one statement (32 766)."""


def _prepare_sqlite(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    # WAL lets searches read while the writer commits; FULL makes each commit survive a power cut.
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "wal_autocheckpoint=4000", "busy_timeout=2000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


class _Insert:
    """INSERT statements for a record's table, in their order of columns, one for each number of rows."""

    def __init__(self, table: Table, record: type) -> None:
        columns: tuple[str, ...] = record._fields  # type: ignore[attr-defined]
        names = ", ".join(f'"{name}"' for name in columns)
        head = f"INSERT INTO {table.name} ({names}) VALUES "  # noqa: S608  names of our own tables
        row = f"({', '.join('?' * len(columns))})"
        self._statements = [head + ", ".join([row] * rows) for rows in range(_ROWS_AT_ONCE + 1)]

    def run(self, driver: sqlite3.Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        """Insert rows, straight through the driver: this is the journal's hot path."""
        for at in range(0, len(rows), _ROWS_AT_ONCE):
            part = rows[at : at + _ROWS_AT_ONCE]
            driver.execute(self._statements[len(part)], tuple(chain.from_iterable(part)))


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A message that had not ended for a destination when the switch stopped."""

    message: MessageRecord
    destination: str
    was_sent: bool


class JournalStore:
    """The writing end of the journal.

    Args:
        url: `sqlite+aiosqlite:///FILE`; searches read the same file through aiosqlite.
    """

    def __init__(self, url: str) -> None:
        self._engine = create_engine(
            make_url(url).set(drivername="sqlite"),
            poolclass=NullPool,
            connect_args={"check_same_thread": False, "cached_statements": 4 * _ROWS_AT_ONCE},
        )
        event.listen(self._engine, "connect", _prepare_sqlite)
        self._messages = _Insert(message_table, MessageRecord)
        self._events = _Insert(event_table, EventRecord)
        self._audit = _Insert(audit_table, AuditRecord)
        self._connection: Connection | None = None
        self._driver: sqlite3.Connection | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="msc-journal")

    async def _in_thread(self, what: str, work: Callable[..., Result], *args: Any) -> Result:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, functools.partial(work, *args))
        except (SQLAlchemyError, sqlite3.Error, OSError) as exc:
            raise JournalError(f"the journal cannot be {what}: {type(exc).__name__}") from exc

    async def open(self) -> int:
        """Open the database, making its tables where they are missing.

        Returns:
            The highest MSN it holds, 0 if none.

        Raises:
            JournalError: It cannot be opened.
        """
        return await self._in_thread("opened", self._open)

    def _open(self) -> int:
        self._close()
        self._connection = connection = self._engine.connect()
        metadata.create_all(connection)
        connection.commit()
        last = connection.execute(select(func.max(message_table.c.msn))).scalar()
        connection.rollback()
        self._driver = cast(sqlite3.Connection, connection.connection.driver_connection)
        return last or 0

    def _close(self) -> None:
        connection, self._connection, self._driver = self._connection, None, None
        if connection is not None:
            try:
                connection.close()
            except SQLAlchemyError:
                connection.invalidate()

    async def close(self) -> None:
        """Let go of the database."""
        await self._in_thread("closed", self._close)
        self._thread.shutdown()
        self._engine.dispose()

    async def commit(
        self,
        messages: Sequence[MessageRecord],
        events: Sequence[EventRecord],
        audit: Sequence[AuditRecord],
    ) -> None:
        """Store a batch durably, or nothing of it.

        Raises:
            JournalError: Nothing was stored; the store must be opened again.
        """
        await self._in_thread("written", self._commit, messages, events, audit)

    def _commit(
        self,
        messages: Sequence[MessageRecord],
        events: Sequence[EventRecord],
        audit: Sequence[AuditRecord],
    ) -> None:
        driver = self._driver
        if driver is None:
            raise JournalError("the journal is not open")
        self._messages.run(driver, messages)
        self._events.run(driver, events)
        self._audit.run(driver, audit)
        driver.commit()

    # --- what a starting switch asks ------------------------------------------------------------

    async def recent_transactions(self, since_us: int) -> list[MessageRecord]:
        """Return the messages from a time on that went to a line, oldest first: answers may still come.

        Raises:
            JournalError: The journal cannot be read.
        """
        m, e = message_table.c, event_table.c
        went_out = select(e.msn).where(e.event == Life.ROUTED.value, e.destination.startswith("line:"))
        query = (
            select(message_table)
            .where(m.received >= since_us, m.transaction == m.msn, m.msn.in_(went_out))
            .order_by(m.msn)
        )
        return [MessageRecord(*row) for row in await self._in_thread("read", self._rows, query)]

    async def unfinished(self, since_us: int) -> list[Unfinished]:
        """Return what had not ended, of the messages from a time on, oldest first.

        A message has ended for a station when it was delivered or given up there. On a line it must have been
        answered or given up, because being taken over by the state is no answer.

        Raises:
            JournalError: The journal cannot be read.
        """
        query = (
            select(message_table, event_table.c.event, event_table.c.destination)
            .join(event_table, event_table.c.msn == message_table.c.msn)
            .where(message_table.c.received >= since_us, event_table.c.destination.is_not(None))
            .order_by(message_table.c.msn, event_table.c.number)
        )
        legs: dict[tuple[int, str], tuple[MessageRecord, set[str]]] = {}
        for row in await self._in_thread("read", self._rows, query):
            message, (life, destination) = MessageRecord(*row[:-2]), row[-2:]
            legs.setdefault((message.msn, destination), (message, set()))[1].add(life)
        return [
            Unfinished(message, destination, Life.SENT in lives)
            for (_, destination), (message, lives) in legs.items()
            if not has_ended(destination, lives)
        ]

    def _rows(self, query: Any) -> Sequence[Any]:
        assert self._connection is not None
        rows = self._connection.execute(query).all()
        self._connection.rollback()
        return rows
