"""The archivist's side of a journal in PostgreSQL: a month is three tables, made ahead and dropped whole."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, cast

import asyncpg  # type: ignore[import-untyped]
from sqlalchemy import NullPool, text
from sqlalchemy.ext.asyncio import AsyncConnection

from msc.errors import JournalError
from msc.journal.database.layout import Block, Hold, Month, MonthUnreadable, Page, Segment
from msc.journal.database.postgresql import (
    TROUBLE,
    PostgresReading,
    engine_of,
    is_of_table,
    sqlstate,
    tables_of,
)
from msc.journal.database.reading import what

_LOCK: Final = text("SELECT pg_try_advisory_lock(hashtext('msc journal archivist'), hashtext(current_schema()))")
_LOCK_WAIT_MS: Final = 200
"""How long a table waits to be dropped while somebody reads it: who comes after has to wait as long."""
_LOCK_TRIES: Final = 50
_LOCK_PAUSE_S: Final = 0.1
_LOCK_NOT_AVAILABLE: Final = "55P03"


def _insert(table: str, fields: tuple[str, ...]) -> str:
    marks = ", ".join(f"${place}" for place in range(1, len(fields) + 1))
    names = ", ".join(fields)
    return f"INSERT INTO {table} ({names}) VALUES ({marks}) ON CONFLICT ({fields[0]})"  # noqa: S608  our own tables


def _put(table: str, fields: tuple[str, ...]) -> str:
    changes = ", ".join(f"{name} = excluded.{name}" for name in fields[1:])
    return f"{_insert(table, fields)} DO UPDATE SET {changes} RETURNING {fields[0]}"


_PUT_MONTH: Final = _put("month", Month._fields)
_MAKE_MONTH: Final = f"{_insert('month', Month._fields)} DO NOTHING"
_PUT_HOLD: Final = _put("hold", Hold._fields)


class PostgresArchiving(PostgresReading):
    """The archiving end of a journal in PostgreSQL.

    Args:
        url: `postgresql+asyncpg://...`.
    """

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._writing = self._main.execution_options(isolation_level="READ COMMITTED")
        self._claiming = engine_of(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        self._place: AsyncConnection | None = None
        """The connection whose session has the archivist's place."""

    async def claim(self) -> None:
        """Take the archivist's place: an advisory lock of a session, taken anew where the session was lost."""
        try:
            if self._place is not None:
                try:
                    await self._place.execute(text("SELECT 1"))
                    return
                except TROUBLE:
                    await self._leave()
            self._place = await self._claiming.connect()
            taken = (await self._place.execute(_LOCK)).scalar()
        except TROUBLE as exc:
            await self._leave()
            raise JournalError(f"the journal cannot be archived: {what(exc)}") from exc
        if not taken:
            await self._leave()
            raise JournalError("the journal cannot be archived: another process is at it")

    async def _leave(self) -> None:
        place, self._place = self._place, None
        if place is not None:
            with contextlib.suppress(*TROUBLE):
                await place.close()

    async def close(self) -> None:
        """Let go of the database."""
        await self._leave()
        await self._claiming.dispose()
        await super().close()

    @asynccontextmanager
    async def _transaction(self, month: int = 0) -> AsyncIterator[tuple[AsyncConnection, asyncpg.Connection]]:
        """Begin a transaction; it is committed if all goes well.

        Args:
            month: Whose tables it is about.

        Raises:
            MonthUnreadable: They are not there, or damaged.
            JournalError: The database cannot be written.
        """
        try:
            async with self._writing.connect() as connection:
                raw = await connection.get_raw_connection()
                driver = cast(asyncpg.Connection, raw.driver_connection)
                async with connection.begin():
                    # The driver's connection is in the transaction only after a first statement.
                    await connection.exec_driver_sql("SET LOCAL synchronous_commit = on")
                    yield connection, driver
        except TROUBLE as exc:
            if month and is_of_table(exc):
                raise MonthUnreadable(month, what(exc)) from exc
            raise JournalError(f"the journal cannot be written: {what(exc)}") from exc

    async def make_month(self, month: int) -> None:
        """Make a month's tables; nothing happens where they are there."""
        async with self._transaction() as (connection, driver):
            await connection.run_sync(tables_of(month).metadata.create_all)
            await driver.execute(_MAKE_MONTH, *Month(month))

    async def store(
        self,
        month: Month,
        blocks: Sequence[Block] = (),
        segments: Sequence[Segment] = (),
        pages: Sequence[Page] = (),
        replaced: Sequence[int] = (),
    ) -> None:
        """Store blocks and index of a month and what it holds now, in one transaction; see `JournalArchiving`.

        Raises:
            MonthUnreadable: The month's tables are not there, or damaged.
            JournalError: It cannot be written.
        """
        tables = tables_of(month.month)
        block, segment, page = tables.block.name, tables.segment.name, tables.page.name
        gone = [*replaced, *(each.number for each in segments)]
        places = ([each.segment for each in pages], [each.number for each in pages])
        async with self._transaction(month.month) as (_, driver):
            if replaced:
                await driver.execute(f"DELETE FROM {page} WHERE segment = ANY($1)", list(replaced))  # noqa: S608
            await driver.execute(f"DELETE FROM {segment} WHERE number = ANY($1)", gone)  # noqa: S608
            await driver.execute(
                f"DELETE FROM {page} WHERE (segment, number) IN (SELECT * FROM unnest($1::bigint[], $2::bigint[]))",  # noqa: S608
                *places,
            )
            await driver.execute(
                f"DELETE FROM {block} WHERE first = ANY($1)",  # noqa: S608
                [each.key.first for each in blocks],
            )
            for table, rows in (
                (block, [(*each.key, each.link, each.marks, each.body) for each in blocks]),
                (segment, segments),
                (page, pages),
            ):
                if rows:
                    await driver.copy_records_to_table(table, records=rows)
            await driver.execute(_PUT_MONTH, *month)

    async def put_month(self, month: Month) -> None:
        """Store what a month is now."""
        async with self._transaction() as (_, driver):
            await driver.execute(_PUT_MONTH, *month)

    async def drop_month(self, month: int) -> int:
        """Drop a month's tables; its row stays. Returns the bytes that were freed.

        Who reads them now is let finish; the drop is tried again and again, so that nobody has to wait behind it
        for long.

        Raises:
            JournalError: Somebody has been reading all the time, or the database cannot be written.
        """
        for _ in range(_LOCK_TRIES):
            try:
                return await self._drop(month)
            except JournalError as exc:
                if exc.__cause__ is None or sqlstate(exc.__cause__) != _LOCK_NOT_AVAILABLE:
                    raise
            await asyncio.sleep(_LOCK_PAUSE_S)
        raise JournalError(f"the journal's month {month} cannot be dropped: somebody is reading it")

    async def _drop(self, month: int) -> int:
        names = [table.name for table in tables_of(month).metadata.sorted_tables]
        async with self._transaction() as (_, driver):
            await driver.execute(f"SET LOCAL lock_timeout = {_LOCK_WAIT_MS}")
            freed = await _bytes(driver, names)
            await driver.execute(f"DROP TABLE IF EXISTS {', '.join(names)}")
        return freed

    async def put_hold(self, hold: Hold) -> int:
        """Place a hold (number 0), or store what became of one; returns its number."""
        async with self._transaction() as (_, driver):
            if not hold.number:
                last = await driver.fetchval("SELECT coalesce(max(number), 0) FROM hold")
                hold = hold._replace(number=last + 1)
            return cast(int, await driver.fetchval(_PUT_HOLD, *hold))

    async def size(self) -> dict[str, int]:
        """Return the bytes it takes: `tail`, `checkpoint`, and each month by its number."""
        sizes: dict[str, int] = {}
        months = await self.months()
        async with self._transaction() as (_, driver):
            for name in ("tail", "checkpoint"):
                sizes[name] = await _bytes(driver, [name])
            for month in months:
                names = [table.name for table in tables_of(month.month).metadata.sorted_tables]
                sizes[str(month.month)] = await _bytes(driver, names)
        return sizes


async def _bytes(driver: asyncpg.Connection, tables: list[str]) -> int:
    """Return what tables take, with their indexes and long values; those that are not there take nothing."""
    found: Any = await driver.fetchval(
        "SELECT coalesce(sum(pg_total_relation_size(to_regclass(name))), 0) FROM unnest($1::text[]) AS name", tables
    )
    return int(found)
