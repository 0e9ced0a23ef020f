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
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Final, TypeVar, cast

from sqlalchemy import Connection, Table, and_, create_engine, event, func, make_url, not_, or_, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from msc import migration
from msc.errors import JournalError, JournalUnavailable
from msc.journal import migrations
from msc.journal.record import (
    ENDS_AT_STATION,
    ENDS_ON_LINE,
    AuditRecord,
    EventRecord,
    Life,
    MessageRecord,
)
from msc.journal.schema import audit_table, event_table, message_table, metadata
from msc.limits import PENDING_MAX

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


_Rows = Sequence[tuple[Any, ...]]


class _Insert:
    """INSERT statements for a record's table, in their order of columns, one for each number of rows."""

    def __init__(self, table: Table, record: type) -> None:
        columns: tuple[str, ...] = record._fields  # type: ignore[attr-defined]
        names = ", ".join(f'"{name}"' for name in columns)
        head = f"INSERT INTO {table.name} ({names}) VALUES "  # noqa: S608  names of our own tables
        row = f"({', '.join('?' * len(columns))})"
        self._statements = [head + ", ".join([row] * rows) for rows in range(_ROWS_AT_ONCE + 1)]

    def run(self, driver: sqlite3.Connection, rows: _Rows) -> None:
        """Insert rows, straight through the driver: this is the journal's hot path."""
        for at in range(0, len(rows), _ROWS_AT_ONCE):
            part = rows[at : at + _ROWS_AT_ONCE]
            driver.execute(self._statements[len(part)], tuple(chain.from_iterable(part)))


def _writable(rows: _Rows) -> _Rows:
    """Write what UTF-8 cannot hold as backslash escapes."""
    return [
        tuple(v.encode("utf-8", "backslashreplace").decode() if isinstance(v, str) else v for v in row)
        for row in rows
    ]


@dataclass(slots=True)
class Batch:
    """What one commit stores.

    Attributes:
        messages: In MSN order.
        thens: What to call when the message of the same place is durable, or was not stored.
        events: Of these messages.
        notes: Events of messages stored before.
        audit: Access-control events.
    """

    messages: list[MessageRecord] = field(default_factory=list)
    thens: list[Callable[[JournalUnavailable | None], None]] = field(default_factory=list)
    events: list[EventRecord] = field(default_factory=list)
    notes: list[EventRecord] = field(default_factory=list)
    audit: list[AuditRecord] = field(default_factory=list)

    def __len__(self) -> int:
        """Return its number of rows."""
        return len(self.messages) + len(self.events) + len(self.notes) + len(self.audit)


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
        self._url = url
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
        except migration.UnknownRevision as exc:
            raise JournalError(f"the journal cannot be {what}: {exc}") from exc

    async def open(self) -> int:
        """Open the database. A new one gets its tables, one of an earlier release is upgraded.

        Returns:
            The highest MSN it holds, 0 if none.

        Raises:
            JournalError: It cannot be opened, or is of a newer release.
        """
        return await self._in_thread("opened", self._open)

    def _open(self) -> int:
        self._close()
        migration.upgrade(self._url, metadata, migrations.__name__, migrations.HEAD)
        self._connection = connection = self._engine.connect()
        # A write, always: a database that can be read but not written is not open.
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = version_num")
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

    async def commit(self, batch: Batch) -> None:
        """Store a batch durably, or nothing of it.

        Raises:
            JournalError: Nothing was stored; no commit succeeds until the store is opened again.
        """
        await self._in_thread("written", self._commit, batch)

    def _commit(self, batch: Batch) -> None:
        driver = self._driver
        if driver is None:
            raise JournalError("the journal is not open")
        self._driver = None  # until this has succeeded
        try:
            self._insert(driver, batch.messages, batch.events + batch.notes, batch.audit)
        except UnicodeEncodeError:
            # Half a surrogate pair that slipped through somewhere must not stop everybody's journal.
            driver.rollback()
            self._insert(
                driver,
                _writable(batch.messages),
                _writable(batch.events + batch.notes),
                _writable(batch.audit),
            )
        driver.commit()
        self._driver = driver

    def _insert(self, driver: sqlite3.Connection, messages: _Rows, events: _Rows, audit: _Rows) -> None:
        self._messages.run(driver, messages)
        self._events.run(driver, events)
        self._audit.run(driver, audit)

    # --- what a starting switch asks ------------------------------------------------------------

    async def recent_transactions(self, since_us: int, at_most: int = PENDING_MAX) -> list[MessageRecord]:
        """Return the newest messages from a time on that went to a line, oldest first: answers may still come.

        Raises:
            JournalError: The journal cannot be read.
        """
        first = await self._in_thread("read", self._first_since, since_us)
        m, e = message_table.c, event_table.c
        went_out = select(e.msn).where(
            e.msn == m.msn, e.event == Life.ROUTED.value, e.destination.startswith("line:")
        )
        query = (
            select(message_table)
            .where(m.msn >= first, m.transaction == m.msn, went_out.exists())
            .order_by(m.msn.desc())
            .limit(at_most)
        )
        return [MessageRecord(*row) for row in await self._in_thread("read", self._rows, query)][::-1]

    async def unfinished(self, since_us: int) -> list[Unfinished]:
        """Return what had not ended for a destination, of the messages from a time on, oldest first.

        Raises:
            JournalError: The journal cannot be read.
        """
        first = await self._in_thread("read", self._first_since, since_us)
        routed, other = event_table.alias("routed"), event_table.alias("other")
        same = select(other.c.msn).where(other.c.msn == routed.c.msn, other.c.destination == routed.c.destination)
        on_line = routed.c.destination.startswith("line:")
        ended = or_(
            and_(on_line, other.c.event.in_([life.value for life in ENDS_ON_LINE])),
            and_(not_(on_line), other.c.event.in_([life.value for life in ENDS_AT_STATION])),
        )
        query = (
            select(message_table, routed.c.destination, same.where(other.c.event == Life.SENT.value).exists())
            .join(message_table, message_table.c.msn == routed.c.msn)
            .where(
                routed.c.msn >= first,
                routed.c.event == Life.ROUTED.value,
                routed.c.destination.is_not(None),
                not_(same.where(ended).exists()),
            )
            .order_by(routed.c.msn, routed.c.number)
        )
        return [
            Unfinished(MessageRecord(*row[:-2]), row[-2], bool(row[-1]))
            for row in await self._in_thread("read", self._rows, query)
        ]

    def _first_since(self, since_us: int) -> int:
        """Find the lowest MSN received from a time on. Rows come in MSN order, so halving needs no index."""
        m = message_table.c
        low, high = 0, (self._rows(select(func.max(m.msn)))[0][0] or 0) + 1
        while low < high:
            middle = (low + high) // 2
            rows = self._rows(select(m.msn, m.received).where(m.msn >= middle).order_by(m.msn).limit(1))
            if not rows or rows[0][1] >= since_us:
                high = middle
            else:
                low = rows[0][0] + 1
        return low

    def _rows(self, query: Any) -> Sequence[Any]:
        assert self._connection is not None
        rows = self._connection.execute(query).all()
        self._connection.rollback()
        return rows
