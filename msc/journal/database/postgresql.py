"""A journal in PostgreSQL: the writer's side and the readers' (the archivist's is in `postgresql_archive`).

The writer takes the driver's connection from SQLAlchemy and copies rows straight into the tail. An advisory lock
of its session keeps others of its kind from writing the same journal.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Sequence
from typing import Any, Final, cast

import asyncpg  # type: ignore[import-untyped]
from sqlalchemy import BigInteger, ColumnElement, Table, any_, func, literal, select, text, tuple_
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from msc import migration
from msc.errors import JournalError
from msc.journal import migrations
from msc.journal.database.layout import CheckpointRow, MonthUnreadable, Opened, TailRow
from msc.journal.database.reading import Question, Rows, SqlReading, what
from msc.journal.database.schema import (
    HEAD,
    MonthTables,
    checkpoint_table,
    metadata,
    month_tables,
    state_table,
    tail_table,
)
from msc.journal.database.tail import TailEnds

WAIT_S: Final = 10.0
"""How long the server may take to answer before it counts as lost."""
_ROWS_AT_ONCE: Final = 20_000
_CLOSE_S: Final = 2.0
_CONNECTIONS: Final = 8
_STATEMENTS: Final = 1000
"""Prepared statements kept by a connection: each month has some of its own."""
_SETTINGS: Final = {
    "application_name": "msc journal",
    "synchronous_commit": "on",
    # Compiling a statement takes longer than any of ours runs.
    "jit": "off",
    # A server that cannot reach us any more lets go of our locks within half a minute.
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}
_LOCK: Final = text("SELECT pg_try_advisory_lock(hashtext('msc journal writer'), hashtext(current_schema()))")
TROUBLE: Final = (
    SQLAlchemyError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)
"""What goes wrong with a server. Errors while connecting come as the driver's own; and where the server said its
farewell just before we asked, the driver calls that an internal error of its own."""
_OF_A_TABLE: Final = ("42P01", "58", "XX")
"""SQLSTATEs, or their classes, of what is wrong with a table: it is not there, its file is not, it is damaged."""


def engine_of(url: str, **options: Any) -> AsyncEngine:
    """Return an engine for a journal's database; nothing is connected yet."""
    arguments = {
        "server_settings": _SETTINGS,
        "timeout": WAIT_S,
        "statement_cache_size": _STATEMENTS,
        "prepared_statement_cache_size": _STATEMENTS,
    }
    return create_async_engine(url, connect_args=arguments | options.pop("connect_args", {}), **options)


def sqlstate(exc: BaseException) -> str:
    """Return what the server calls an error; empty if it was not the server's."""
    return getattr(getattr(exc, "orig", exc), "sqlstate", None) or ""


def is_of_table(exc: BaseException) -> bool:
    """Tell whether an error is that of one table, and the others can be read."""
    return sqlstate(exc).startswith(_OF_A_TABLE)


@functools.lru_cache(maxsize=256)
def tables_of(month: int) -> MonthTables:
    """Describe the tables of a month."""
    return month_tables(f"_{month}")


class PostgresWriting:
    """The writing end of a journal in PostgreSQL.

    Args:
        url: `postgresql+asyncpg://...`.
        wait_s: How long the server may take for a commit before it fails.
    """

    def __init__(self, url: str, *, wait_s: float = WAIT_S) -> None:
        self._engine = engine_of(url, poolclass=NullPool, connect_args={"command_timeout": wait_s})
        self._connection: AsyncConnection | None = None
        self._driver: asyncpg.Connection | None = None
        self._ends = TailEnds(())

    async def open(self) -> Opened:
        """Connect; a new database gets its tables, an older one is upgraded.

        Raises:
            JournalError: It cannot be opened or written, is of a newer release, or another writes it.
        """
        await self._let_go()
        try:
            self._connection = connection = await self._engine.connect()
            if not (await connection.execute(_LOCK)).scalar():
                raise JournalError("the journal cannot be opened: another switch is writing it")
            await connection.run_sync(
                migration.upgrade_within, metadata=metadata, package=migrations.__name__, head=HEAD
            )
            # A write, always: a database that can be read but not written is not open.
            await connection.execute(text("UPDATE alembic_version SET version_num = version_num"))
            await connection.commit()
            opened = await self._look(connection)
            raw = await connection.get_raw_connection()
        except TROUBLE as exc:
            await self._let_go()
            raise JournalError(f"the journal cannot be opened: {what(exc)}") from exc
        except migration.UnknownRevision as exc:
            await self._let_go()
            raise JournalError(f"the journal cannot be opened: {exc}") from exc
        except BaseException:
            await self._let_go()
            raise
        self._ends = TailEnds(opened.tail)
        self._driver = cast(asyncpg.Connection, raw.driver_connection)
        return opened

    async def _look(self, connection: AsyncConnection) -> Opened:
        number = checkpoint_table.c.number
        tail: list[TailRow] = []
        while rows := await self._tail_after(connection, tail[-1].seq if tail else 0):
            tail += rows
        state = (await connection.execute(select(state_table.c.body))).scalar()
        last = (await connection.execute(select(checkpoint_table).order_by(number.desc()).limit(1))).one_or_none()
        await connection.rollback()
        return Opened(state, CheckpointRow(*last) if last else None, tail)

    async def _tail_after(self, connection: AsyncConnection, seq: int) -> list[TailRow]:
        """Return some rows of the tail: all at once could take longer than the server is waited for."""
        column = tail_table.c.seq
        some = select(tail_table).where(column > seq).order_by(column).limit(_ROWS_AT_ONCE)
        return [TailRow(*row) for row in await connection.execute(some)]

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

        Cancellation:
            As a commit that failed.
        """
        driver, self._driver = self._driver, None  # until this has succeeded
        if driver is None:
            raise JournalError("the journal is not open")
        dropped = self._ends.turn(rows, drop_to)
        try:
            if dropped or checkpoints or state is not None:
                async with driver.transaction():
                    await _copy(driver, rows)
                    await _add(driver, checkpoints, state, dropped)
            else:
                # One statement is a transaction of its own, and two journeys to the server fewer.
                await _copy(driver, rows)
        except TROUBLE as exc:
            raise JournalError(f"the journal cannot be written: {what(exc)}") from exc
        self._driver = driver

    async def _let_go(self) -> None:
        connection, self._connection, self._driver = self._connection, None, None
        if connection is None:
            return
        try:
            async with asyncio.timeout(_CLOSE_S):
                await connection.close()
        except TROUBLE:
            with contextlib.suppress(*TROUBLE):
                await connection.invalidate()

    async def close(self) -> None:
        """Let go of the database."""
        await self._let_go()
        await self._engine.dispose()


async def _copy(driver: asyncpg.Connection, rows: Sequence[TailRow]) -> None:
    if rows:
        await driver.copy_records_to_table("tail", records=rows, columns=TailRow._fields)


async def _add(
    driver: asyncpg.Connection, checkpoints: Sequence[CheckpointRow], state: bytes | None, dropped: int
) -> None:
    if checkpoints:
        await driver.copy_records_to_table("checkpoint", records=checkpoints, columns=CheckpointRow._fields)
    if state is not None:
        await driver.execute(
            "INSERT INTO state (number, body) VALUES (1, $1) ON CONFLICT (number) DO UPDATE SET body = excluded.body",
            state,
        )
    if dropped:
        await driver.execute("DELETE FROM tail WHERE seq <= $1", dropped)


class PostgresReading(SqlReading):
    """A reading end of a journal in PostgreSQL.

    Args:
        url: `postgresql+asyncpg://...`.
    """

    def __init__(self, url: str) -> None:
        super().__init__(
            engine_of(
                url,
                pool_size=_CONNECTIONS,
                max_overflow=0,
                pool_reset_on_return=None,
                isolation_level="AUTOCOMMIT",
            )
        )

    def _trouble(self, exc: Exception) -> bool:
        return isinstance(exc, TROUBLE)

    def _lost(self, exc: Exception) -> bool:
        return super()._lost(exc) or isinstance(exc, asyncpg.InternalClientError)

    def _among(self, column: ColumnElement[int], values: list[int]) -> ColumnElement[bool]:
        # An array is one statement, however many there are; it stays prepared.
        return column == any_(literal(values, ARRAY(BigInteger)))

    def _at(self, page: Table, places: list[tuple[int, int]]) -> ColumnElement[bool]:
        segments, numbers = (literal(list(each), ARRAY(BigInteger)) for each in zip(*places, strict=True))
        wanted = func.unnest(segments, numbers).table_valued("segment", "number").render_derived("wanted")
        return tuple_(page.c.segment, page.c.number).in_(select(wanted.c.segment, wanted.c.number))

    async def _ask_month(self, month: int, question: Question) -> Rows:
        try:
            return await self._put(self._main, question(tables_of(month)))
        except TROUBLE as exc:
            if isinstance(exc, DBAPIError) and is_of_table(exc):
                raise MonthUnreadable(month, what(exc)) from exc
            raise JournalError(f"the journal cannot be read: {what(exc)}") from exc
