"""The journal's database, by SQLAlchemy URL: opening, committing batches, and what a starting switch asks of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import event as sqlalchemy_event
from sqlalchemy import func, insert, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from msc.errors import JournalError
from msc.journal.record import AuditRecord, EventRecord, Life, MessageRecord
from msc.journal.schema import audit_table, event_table, message_table, metadata


def _prepare_sqlite(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    # WAL lets searches read while the writer commits; FULL makes each commit survive a power cut.
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "wal_autocheckpoint=4000", "busy_timeout=5000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A message that had not ended for a destination when the switch stopped."""

    message: MessageRecord
    destination: str
    was_sent: bool


class JournalStore:
    """The writing end of the journal."""

    def __init__(self, url: str) -> None:
        self._engine: AsyncEngine = create_async_engine(url, poolclass=NullPool)
        if self._engine.dialect.name == "sqlite":
            sqlalchemy_event.listen(self._engine.sync_engine, "connect", _prepare_sqlite)
        dialect = self._engine.dialect
        self._insert_message = str(insert(message_table).compile(dialect=dialect))
        self._insert_event = str(insert(event_table).compile(dialect=dialect))
        columns = list(AuditRecord._fields)
        self._insert_audit = str(insert(audit_table).compile(dialect=dialect, column_keys=columns))
        self._connection: AsyncConnection | None = None
        self._event_number = 0

    async def open(self) -> int:
        """Open the database, making its tables where they are missing.

        Returns:
            The highest MSN it holds, 0 if none.

        Raises:
            JournalError: It cannot be opened.
        """
        await self.close()
        try:
            self._connection = connection = await self._engine.connect()
            await connection.run_sync(metadata.create_all)
            await connection.commit()
            last = (await connection.execute(select(func.max(message_table.c.msn)))).scalar()
            number = (await connection.execute(select(func.max(event_table.c.number)))).scalar()
            await connection.rollback()
        except (SQLAlchemyError, OSError) as exc:
            raise JournalError(f"the journal cannot be opened: {type(exc).__name__}") from exc
        self._event_number = number or 0
        return last or 0

    async def close(self) -> None:
        """Let go of the database."""
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                await connection.close()
            except (SQLAlchemyError, OSError):
                await connection.invalidate()
        await self._engine.dispose()

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
        connection = self._connection
        if connection is None:
            raise JournalError("the journal is not open")
        try:
            if messages:
                await connection.exec_driver_sql(self._insert_message, messages)
            if events:
                number = self._event_number
                rows = [(e[0], n, *e[1:]) for n, e in enumerate(events, number + 1)]
                await connection.exec_driver_sql(self._insert_event, rows)
                self._event_number = number + len(events)
            if audit:
                await connection.exec_driver_sql(self._insert_audit, audit)
            await connection.commit()
        except (SQLAlchemyError, OSError) as exc:
            raise JournalError(f"the journal cannot be written: {type(exc).__name__}") from exc

    # --- what a starting switch asks ------------------------------------------------------------

    async def recent_transactions(self, since_us: int) -> list[MessageRecord]:
        """Return the messages from a time on that went to a line, oldest first: answers may still come.

        Raises:
            JournalError: The journal cannot be read.
        """
        m = message_table.c
        went_out = select(event_table.c.msn).where(event_table.c.event == Life.ROUTED.value)
        query = (
            select(message_table)
            .where(m.received >= since_us, m.header.is_not(None), m.transaction == m.msn, m.msn.in_(went_out))
            .order_by(m.msn)
        )
        return [MessageRecord(*row) for row in await self._rows(query)]

    async def unfinished(self, since_us: int) -> list[Unfinished]:
        """Return what had not ended, of the messages from a time on, oldest first.

        A message has ended for a destination when it was delivered, refused or given up there; on a line
        it must have been answered or given up, because being taken over by the state is no answer.

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
        for row in await self._rows(query):
            message, (event, destination) = MessageRecord(*row[:-2]), row[-2:]
            legs.setdefault((message.msn, destination), (message, set()))[1].add(event)
        return [
            Unfinished(message, destination, Life.SENT in events)
            for (_, destination), (message, events) in legs.items()
            if Life.ROUTED in events and not events & _ends(destination)
        ]

    async def _rows(self, query: Any) -> Sequence[Any]:
        assert self._connection is not None
        try:
            rows = (await self._connection.execute(query)).all()
            await self._connection.rollback()
        except (SQLAlchemyError, OSError) as exc:
            raise JournalError(f"the journal cannot be read: {type(exc).__name__}") from exc
        return rows


_ENDS_ON_LINE = frozenset(
    {
        Life.ANSWERED,
        Life.NOT_SENT,
        Life.EXPIRED,
        Life.OUTCOME_UNKNOWN,
        Life.REFUSED_BY_PEER,
        Life.OPERATOR_QUEUE,
    }
)
_ENDS_AT_STATION = frozenset({Life.ACKNOWLEDGED, Life.OPERATOR_QUEUE, Life.EXPIRED})


def _ends(destination: str) -> frozenset[Life]:
    return _ENDS_ON_LINE if destination.startswith("line:") else _ENDS_AT_STATION
