"""Opening a journal's database by its SQLAlchemy URL: its writing, its reading and its archiving end.

    sqlite+aiosqlite:////var/lib/msc/journal.db
    postgresql+asyncpg://msc@/journal?host=/run/postgresql

Nothing is touched before an end is first used. PostgreSQL's driver is imported only where it is needed: no command
on SQLite shall wait for it.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from msc.errors import JournalError
from msc.journal.database.layout import JournalArchiving, JournalReading, JournalWriting
from msc.journal.database.sqlite import SqliteReading, SqliteWriting
from msc.journal.database.sqlite_archive import SqliteArchiving

KINDS: Final = ("sqlite", "postgresql")


def kind_of(url: str) -> str:
    """Tell what kind of database a URL names.

    Raises:
        JournalError: None a journal can stand in.
    """
    try:
        kind = make_url(url).get_backend_name()
    except ArgumentError as exc:
        raise JournalError("the journal's URL is none") from exc
    if kind not in KINDS:
        raise JournalError(f"a journal cannot stand in {kind}; it can in {' or '.join(KINDS)}")
    return kind


def open_writing(url: str) -> JournalWriting:
    """Return the end the one writer uses.

    Raises:
        JournalError: The URL names nothing a journal can stand in.
    """
    if kind_of(url) == "sqlite":
        return SqliteWriting(url)
    from msc.journal.database.postgresql import PostgresWriting

    return PostgresWriting(url)


def open_reading(url: str) -> JournalReading:
    """Return an end for reading; there may be any number.

    Raises:
        JournalError: The URL names nothing a journal can stand in.
    """
    if kind_of(url) == "sqlite":
        return SqliteReading(url)
    from msc.journal.database.postgresql import PostgresReading

    return PostgresReading(url)


def open_archiving(url: str) -> JournalArchiving:
    """Return the end the one archivist uses.

    Raises:
        JournalError: The URL names nothing a journal can stand in.
    """
    if kind_of(url) == "sqlite":
        return SqliteArchiving(url)
    from msc.journal.database.postgresql_archive import PostgresArchiving

    return PostgresArchiving(url)
