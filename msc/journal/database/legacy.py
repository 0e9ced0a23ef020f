"""What a journal of an earlier release held, for the first start of this one to enter into the new journal.

Revision 0003 put its tables aside, and nothing else. They are read in their order and in chunks, each read for
itself: who would hold the database for all of it would keep its log from being moved. Since the order is always the
same, an entering that was interrupted goes on after as many as were entered. PostgreSQL never held such a journal.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

from sqlalchemy import make_url

from msc.errors import JournalError
from msc.journal.database.folder import JournalFolder, connect
from msc.journal.proof.canonical import Record
from msc.journal.record import AuditRecord, EventRecord, MessageRecord

_CHUNK: Final = 2000
_TABLES: Final = ("old_message", "old_event", "old_audit")


class _Kind(NamedTuple):
    table: str
    number: str
    """Its key: rows rise by it."""
    record: Callable[..., Any]
    fields: tuple[str, ...]


_MESSAGE: Final = _Kind("old_message", "msn", MessageRecord, MessageRecord._fields)
_EVENT: Final = _Kind("old_event", "number", EventRecord, EventRecord._fields)
_AUDIT: Final = _Kind("old_audit", "number", AuditRecord, AuditRecord._fields)


async def legacy_records(url: str, *, skip: int = 0) -> AsyncIterator[list[Record]]:
    """Yield what an earlier release's journal held, in chunks, by time; an event never before its message.

    Args:
        url: Of the journal, upgraded by its writer.
        skip: How many records were taken over before.

    Raises:
        JournalError: They cannot be read.
    """
    if make_url(url).get_backend_name() != "sqlite":
        return
    file = JournalFolder(url).main

    def begin() -> tuple[sqlite3.Connection, Iterator[Record]]:
        driver = connect(file, checkpoints=False)
        return driver, islice(_in_order(driver), skip, None)

    try:
        driver, records = await asyncio.to_thread(begin)
        with closing(driver):
            while chunk := await asyncio.to_thread(lambda: list(islice(records, _CHUNK))):
                yield chunk
    except sqlite3.Error as exc:
        raise JournalError(f"the journal of before cannot be read: {type(exc).__name__}") from exc


async def forget_legacy(url: str) -> None:
    """Drop the tables of an earlier release; nothing happens where there are none.

    What they took is used again for the tail.

    Raises:
        JournalError: They cannot be dropped.
    """
    if make_url(url).get_backend_name() != "sqlite":
        return
    try:
        await asyncio.to_thread(_forget, JournalFolder(url).main)
    except sqlite3.Error as exc:
        raise JournalError(f"the journal of before cannot be dropped: {type(exc).__name__}") from exc


def _forget(file: Path) -> None:
    with closing(connect(file)) as driver:
        driver.execute("BEGIN IMMEDIATE")
        for table in _TABLES:
            driver.execute(f"DROP TABLE IF EXISTS {table}")
        driver.execute("COMMIT")


def _rows(driver: sqlite3.Connection, kind: _Kind) -> Iterator[Any]:
    """Yield a table's rows as records, by number."""
    there = {row[1] for row in driver.execute(f"PRAGMA table_info({kind.table})")}
    if not there:
        return
    # A member that a later release added was not known then.
    columns = ", ".join(f'"{name}"' if name in there else "NULL" for name in kind.fields)
    select = f"SELECT {kind.number}, {columns} FROM {kind.table} "  # noqa: S608  names of our own tables
    last = -1
    while rows := driver.execute(
        f"{select} WHERE {kind.number} > ? ORDER BY {kind.number} LIMIT {_CHUNK}", (last,)
    ).fetchall():
        for row in rows:
            yield kind.record(*row[1:])
        last = rows[-1][0]


def _in_order(driver: sqlite3.Connection) -> Iterator[Record]:
    """Yield all rows by time; where two are of the same, messages first, then events."""
    tables = [_rows(driver, kind) for kind in (_MESSAGE, _EVENT, _AUDIT)]
    heads: list[Any] = [next(table, None) for table in tables]
    while any(heads):
        message, event, audit = heads
        due: list[tuple[int, int]] = []
        if message:
            due.append((message.received, 0))
        if event and not (message and message.msn <= event.msn):
            due.append((event.at, 1))
        if audit:
            due.append((audit.at, 2))
        first = min(due)[1]
        yield heads[first]
        heads[first] = next(tables[first], None)
