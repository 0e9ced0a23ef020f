"""The reading side of a journal's database: the same questions, in SQLAlchemy's words, to either kind.

`sqlite` and `postgresql` say where a month's tables are and what their errors mean.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Executable, Table, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from msc import migration
from msc.errors import JournalError
from msc.journal.database.layout import (
    Block,
    BlockKey,
    CheckpointRow,
    Hold,
    Month,
    MonthUnreadable,
    Page,
    Segment,
    TailRow,
)
from msc.journal.database.schema import (
    HEAD,
    MonthTables,
    checkpoint_table,
    hold_table,
    month_table,
    state_table,
    tail_table,
)

_AT_ONCE: Final = 500
"""Places asked for in one statement at most; databases bound their parameters."""
_TRIES: Final = 3
"""How often a question is put: to a connection that was lost, to another, to a new one."""
_KEYS: Final = len(BlockKey._fields)
_KEY_TYPES: Final = (int,) * _KEYS
_BLOCK_TYPES: Final = (*_KEY_TYPES, bytes, bytes, bytes)
_PAGE_TYPES: Final = (int, int, str, bytes)

Rows = Sequence[Sequence[Any]]
Question = Callable[[MonthTables], Executable]


class SqlReading(ABC):
    """A `JournalReading` over SQLAlchemy.

    Args:
        main: Asks the tables of the whole, each statement a transaction of its own.
    """

    def __init__(self, main: AsyncEngine) -> None:
        self._main = main
        self._known = False

    @abstractmethod
    async def _ask_month(self, month: int, question: Question) -> Rows:
        """Ask a month's tables.

        Raises:
            MonthUnreadable: They cannot be read.
            JournalError: The database cannot be.
        """

    @abstractmethod
    def _among(self, column: ColumnElement[int], values: list[int]) -> ColumnElement[bool]:
        """Say that a column is one of these numbers, in the same words however many they are."""

    @abstractmethod
    def _at(self, page: Table, places: list[tuple[int, int]]) -> ColumnElement[bool]:
        """Say that a page is one of these, by segment and number, in the same words however many they are."""

    @abstractmethod
    def _trouble(self, exc: Exception) -> bool:
        """Tell whether an exception is the database's."""

    def _lost(self, exc: Exception) -> bool:
        """Tell whether an exception says that a connection is lost, no more."""
        return isinstance(exc, DBAPIError) and exc.connection_invalidated

    async def _put(self, engine: AsyncEngine, question: Executable) -> Rows:
        """Put a question, again on another connection if one that was kept turns out to be lost."""
        for tries_left in reversed(range(_TRIES)):
            async with engine.connect() as connection:
                try:
                    return (await connection.execute(question)).all()
                except Exception as exc:
                    if not self._lost(exc):
                        raise
                    await connection.invalidate()
                    if not tries_left:
                        raise
        raise AssertionError("a question is put at least once")

    async def _ask(self, question: Executable) -> Rows:
        try:
            if not self._known:
                await self._check_revision()
            return await self._put(self._main, question)
        except JournalError:
            raise
        except Exception as exc:
            if not self._trouble(exc):
                raise
            raise JournalError(f"the journal cannot be read: {what(exc)}") from exc

    async def _check_revision(self) -> None:
        """Make sure the tables are there: a reader may not upgrade what it reads."""
        async with self._main.connect() as connection:
            found = await connection.run_sync(migration.stamped)
        if found != HEAD:
            raise JournalError(
                "there is no journal of this release: "
                f"the database's revision is {found or 'none'}, ours {HEAD}; `msc serve` makes or upgrades it"
            )
        self._known = True

    # --- the whole ------------------------------------------------------------------------------

    async def tail(self, after: int = 0, at_most: int | None = None) -> list[TailRow]:
        """Return the tail's rows after a `seq`, in order."""
        seq = tail_table.c.seq
        question = select(tail_table).where(seq > after).order_by(seq).limit(at_most)
        return [TailRow(*row) for row in await self._ask(question)]

    async def months(self) -> list[Month]:
        """Return all months, in order."""
        return [Month(*row) for row in await self._ask(select(month_table).order_by(month_table.c.month))]

    async def checkpoints(self, after: int = 0, at_most: int = 1000) -> list[CheckpointRow]:
        """Return checkpoints after a number, in order."""
        number = checkpoint_table.c.number
        question = select(checkpoint_table).where(number > after).order_by(number).limit(at_most)
        return [CheckpointRow(*row) for row in await self._ask(question)]

    async def last_checkpoint(self) -> CheckpointRow | None:
        """Return the newest checkpoint."""
        rows = await self._ask(select(checkpoint_table).order_by(checkpoint_table.c.number.desc()).limit(1))
        return CheckpointRow(*rows[0]) if rows else None

    async def holds(self) -> list[Hold]:
        """Return all legal holds, in order."""
        return [Hold(*row) for row in await self._ask(select(hold_table).order_by(hold_table.c.number))]

    async def state(self) -> bytes | None:
        """Return what the writer stored with its last checkpoint."""
        rows = await self._ask(select(state_table.c.body))
        return rows[0][0] if rows else None

    # --- a month --------------------------------------------------------------------------------

    async def block_keys(self, month: int) -> list[BlockKey]:
        """Return what each block of a month holds, in order."""

        def question(tables: MonthTables) -> Executable:
            columns = list(tables.block.c)[:_KEYS]
            return select(*columns).order_by(columns[0])

        return [BlockKey(*row) for row in await self._rows(month, question, _KEY_TYPES)]

    async def blocks(self, month: int, firsts: Sequence[int]) -> list[Block]:
        """Return the blocks that begin with these `seq`s, in order; those that are not there are left out."""
        wanted, found = sorted(firsts), []
        for at in range(0, len(wanted), _AT_ONCE):
            part = wanted[at : at + _AT_ONCE]

            def question(tables: MonthTables, part: list[int] = part) -> Executable:
                first = tables.block.c.first
                return select(tables.block).where(self._among(first, part)).order_by(first)

            found += await self._blocks(month, question)
        return found

    async def blocks_after(self, month: int, after: int, at_most: int) -> list[Block]:
        """Return the blocks of a month whose `first` is after a `seq`, in order."""

        def question(tables: MonthTables) -> Executable:
            first = tables.block.c.first
            return select(tables.block).where(first > after).order_by(first).limit(at_most)

        return await self._blocks(month, question)

    async def _blocks(self, month: int, question: Question) -> list[Block]:
        rows = await self._rows(month, question, _BLOCK_TYPES)
        return [Block(BlockKey(*row[:_KEYS]), *row[_KEYS:]) for row in rows]

    async def segments(self, month: int) -> list[Segment]:
        """Return the segments of a month's index."""
        rows = await self._rows(
            month, lambda tables: select(tables.segment).order_by(tables.segment.c.number), (int,) * 4
        )
        return [Segment(*row) for row in rows]

    async def first_terms(self, month: int) -> list[tuple[int, int, str]]:
        """Return `(segment, page, first term)` of every page of a month's index, in order."""

        def question(tables: MonthTables) -> Executable:
            page = tables.page.c
            return select(page.segment, page.number, page.first_term).order_by(page.segment, page.number)

        return [(row[0], row[1], row[2]) for row in await self._rows(month, question, _PAGE_TYPES[:3])]

    async def pages(self, month: int, wanted: Sequence[tuple[int, int]]) -> list[Page]:
        """Return pages by segment and number, in order; those that are not there are left out."""
        places, found = sorted(wanted), []
        for at in range(0, len(places), _AT_ONCE):
            part = places[at : at + _AT_ONCE]

            def question(tables: MonthTables, part: list[tuple[int, int]] = part) -> Executable:
                page = tables.page
                return select(page).where(self._at(page, part)).order_by(page.c.segment, page.c.number)

            found += [Page(*row) for row in await self._rows(month, question, _PAGE_TYPES)]
        return found

    async def _rows(self, month: int, question: Question, types: tuple[type, ...]) -> Rows:
        rows = await self._ask_month(month, question)
        # Where bytes of a file were overwritten, SQLite may find another type than was stored.
        if any(tuple(map(type, row)) != types for row in rows):
            raise MonthUnreadable(month, "a row is damaged")
        return rows

    async def close(self) -> None:
        """Let go of the database."""
        await self._main.dispose()


def what(exc: BaseException) -> str:
    """Name an error for people: what the driver called it, and never what it was about."""
    cause = getattr(exc, "orig", None) or exc
    return type(cause.__cause__ or cause).__name__
