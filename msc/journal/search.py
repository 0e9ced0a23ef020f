"""Reading the journal: by any of its columns, newest first; a transaction's whole life; the audit stream."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Select, or_, select, tuple_
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from msc import clock, migration
from msc.errors import JournalError
from msc.journal import migrations
from msc.journal.audit import AuditCriteria
from msc.journal.record import AuditRecord, EventRecord, Life, MessageRecord
from msc.journal.schema import audit_table, event_table, message_table

_PAGE = 500
"""Rows read at a time, so that a long search neither fills memory nor holds the database."""


@dataclass(frozen=True, slots=True)
class Criteria:
    """What to look for; what is None is not looked at.

    Attributes:
        equal: Column to value, for exact matches.
        key: `QW` or `IW.QW`.
        header: The header on the line, or a host's own.
        device, line: Where it came from or went to.
        words: Texts that must all stand in the message.
        since_us, until_us: Wall time of receipt.
    """

    equal: dict[str, Any] = field(default_factory=dict)
    key: str | None = None
    header: str | None = None
    device: str | None = None
    line: str | None = None
    words: tuple[str, ...] = ()
    since_us: int | None = None
    until_us: int | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """Write the criteria for SQL."""
        m = message_table.c
        found: list[ColumnElement[bool]] = [m[name] == value for name, value in self.equal.items()]
        if self.key is not None:
            system, _, key = self.key.rpartition(".")
            found.append(m.key == key)
            if system:
                found.append(m.system == system)
        if self.header is not None:
            found.append(or_(m.header == self.header, m.own_header == self.header))
        if self.device is not None:
            found.append(or_(m.device == self.device, _went_to(f"device:{self.device}")))
        if self.line is not None:
            found.append(or_(m.line == self.line, _went_to(f"line:{self.line}")))
        found += [m.text.contains(word, autoescape=True) for word in self.words]
        if self.since_us is not None:
            found.append(m.received >= self.since_us)
        if self.until_us is not None:
            found.append(m.received < self.until_us)
        return found


def _went_to(destination: str) -> ColumnElement[bool]:
    e = event_table.c
    return (
        select(e.msn)
        .where(e.msn == message_table.c.msn, e.destination == destination)
        .correlate(message_table)
        .exists()
    )


@dataclass(frozen=True, slots=True)
class Entry:
    """A message of the journal and the events of its life, its receipt first."""

    message: MessageRecord
    events: tuple[EventRecord, ...]

    def as_json(self) -> dict[str, Any]:
        """Return it as `msc journal search --json` prints it: times in RFC 3339."""
        members: dict[str, Any] = self.message._asdict()
        members["received"] = clock.rfc3339(self.message.received)
        members["events"] = [
            {
                "at": clock.rfc3339(event.at),
                "event": event.event,
                "destination": event.destination,
                "detail": event.detail,
            }
            for event in self.events
        ]
        return members


class JournalReader:
    """Reads a journal, also while a switch writes it."""

    def __init__(self, file: Path) -> None:
        self._engine: AsyncEngine = create_async_engine(
            f"sqlite+aiosqlite:///file:{file}?mode=ro&uri=true", poolclass=NullPool
        )

    async def close(self) -> None:
        """Let go of the database."""
        await self._engine.dispose()

    async def search(self, criteria: Criteria, *, limit: int | None = None) -> AsyncIterator[Entry]:
        """Yield the entries that match, newest first.

        Raises:
            JournalError: The journal cannot be read.
        """
        before: int | None = None
        left = limit
        while left is None or left > 0:
            page = _PAGE if left is None else min(_PAGE, left)
            query = select(message_table).where(*criteria.conditions())
            if before is not None:
                query = query.where(message_table.c.msn < before)
            query = query.order_by(message_table.c.msn.desc()).limit(page)
            messages = [MessageRecord(*row) for row in await self._rows(query)]
            for entry in await self._with_events(messages):
                yield entry
            if len(messages) < page:
                return
            before = messages[-1].msn
            if left is not None:
                left -= len(messages)

    async def transaction(self, msn: int) -> list[Entry]:
        """Return every message of the transaction a message belongs to, oldest first; empty if there is none.

        Raises:
            JournalError: The journal cannot be read.
        """
        m = message_table.c
        own = select(m.transaction).where(m.msn == msn).scalar_subquery()
        query = select(message_table).where(m.transaction == own).order_by(m.msn)
        return await self._with_events([MessageRecord(*row) for row in await self._rows(query)])

    async def audit(
        self, criteria: AuditCriteria, *, limit: int | None = None, oldest_first: bool = False
    ) -> AsyncIterator[AuditRecord]:
        """Yield the access-control events that match, newest first.

        Raises:
            JournalError: The journal cannot be read, or is of another release.
        """
        await self._check_revision()
        number, at = audit_table.c.number, audit_table.c.at
        place = tuple_(at, number)  # the clock may have been set back: numbers alone are not the order of time
        columns = [audit_table.c[name] for name in AuditRecord._fields]
        order = (at, number) if oldest_first else (at.desc(), number.desc())
        query = select(number, *columns).where(*criteria.conditions()).order_by(*order)
        last: tuple[int, int] | None = None
        left = limit
        while left is None or left > 0:
            page = _PAGE if left is None else min(_PAGE, left)
            here = query
            if last is not None:
                here = query.where(place > last if oldest_first else place < last)
            rows = await self._rows(here.limit(page))
            for row in rows:
                yield AuditRecord(*row[1:])
            if len(rows) < page:
                return
            last = (rows[-1].at, rows[-1].number)
            if left is not None:
                left -= len(rows)

    async def _check_revision(self) -> None:
        """Make sure the columns are there: a reader may not upgrade what it reads."""
        try:
            async with self._engine.connect() as connection:
                found = await connection.run_sync(migration.stamped)
        except (SQLAlchemyError, OSError) as exc:
            raise JournalError(f"the journal cannot be read: {type(exc).__name__}") from exc
        if found != migrations.HEAD:
            raise JournalError(
                "the journal is of another release: "
                f"its revision is {found or 'that of 0.1'}, ours {migrations.HEAD}; `msc serve` upgrades an older one"
            )

    async def _with_events(self, messages: list[MessageRecord]) -> list[Entry]:
        e = event_table.c
        query = (
            select(e.msn, e.at, e.event, e.destination, e.detail)
            .where(e.msn.in_([message.msn for message in messages]))
            .order_by(e.msn, e.number)
        )
        events: dict[int, list[EventRecord]] = {}
        for row in await self._rows(query) if messages else ():
            events.setdefault(row[0], []).append(EventRecord(*row))
        return [
            Entry(
                message,
                (
                    EventRecord(message.msn, message.received, Life.RECEIVED.value),
                    *sorted(events.get(message.msn, ()), key=lambda event: event.at),
                ),
            )
            for message in messages
        ]

    async def _rows(self, query: Select[Any]) -> list[Any]:
        try:
            async with self._engine.connect() as connection:
                return list((await connection.execute(query)).all())
        except (SQLAlchemyError, OSError) as exc:
            raise JournalError(f"the journal cannot be read: {type(exc).__name__}") from exc
