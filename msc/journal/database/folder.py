"""A journal in SQLite files: where they stand, who may read them, and connections to write them.

journal.db              tail, checkpoints, state, months, holds
journal/2026-11.db      blocks and index of a month
journal/archivist.lock  held by the one archivist
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from sqlalchemy import URL, make_url
from sqlalchemy.dialects.sqlite.base import SQLiteDialect
from sqlalchemy.schema import CreateIndex, CreateTable

from msc.errors import JournalError
from msc.journal.database.schema import month_tables

WAIT_S: Final = 5.0
"""How long a write waits for the lock: writer and archivist hold the main file for milliseconds."""
_PLACE: Final = "archivist.lock"
_FILE_MODE: Final = 0o600
_FOLDER_MODE: Final = 0o700
_BESIDE: Final = ("-wal", "-shm")
"""Files that SQLite keeps beside a database, with its mode."""
_LOG_PAGES: Final = 4000
"""Pages in the write-ahead log before they are moved into the database: seldom, and never for long."""
_LOG_BYTES: Final = _LOG_PAGES * 4096
"""What the log is cut to when one great transaction made it longer."""
_HELD: Final = """CREATE TABLE IF NOT EXISTS held
(month INTEGER PRIMARY KEY, first, last, first_msn, last_msn, first_at, last_at, sealed, deleted)"""
"""A month's file has its own copy of the month's row, so that blocks, index and what they are change in one go;
the main file's row follows. See `sqlite_archive`."""

tables = month_tables(covering=True)


def _statements() -> list[str]:
    """Write the statements that make a month's tables."""
    dialect = SQLiteDialect()
    made: list[CreateTable | CreateIndex] = []
    for table in tables.metadata.sorted_tables:
        made.append(CreateTable(table, if_not_exists=True))
        made += [CreateIndex(index, if_not_exists=True) for index in table.indexes]
    return [str(each.compile(dialect=dialect)) for each in made]


class JournalFolder:
    """Where the files of a journal stand.

    Args:
        url: `sqlite+aiosqlite:///FILE`.
    """

    def __init__(self, url: str) -> None:
        database = make_url(url).database
        if not database or database == ":memory:" or database.startswith("file:"):
            raise JournalError("the journal's database must be a file")
        self.main = Path(database)
        self.months = (
            self.main.with_suffix("") if self.main.suffix else self.main.with_name(f"{self.main.name}.months")
        )
        self._url = url

    @property
    def url(self) -> str:
        """The main file's URL, as given."""
        return self._url

    def month(self, month: int) -> Path:
        """Return a month's file."""
        return self.months / f"{month // 100:04}-{month % 100:02}.db"

    def close_to_others(self) -> None:
        """Make sure the main file is there, and that only its owner may read what there is.

        Raises:
            OSError: The file system does not let.
        """
        os.close(os.open(self.main, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE))
        self._make_folder()
        for file in (self.main, *self.months.glob("*.db")):
            for each in (file, *beside(file)):
                if each.exists() and each.stat().st_mode & 0o077:
                    each.chmod(_FILE_MODE)

    def _make_folder(self) -> None:
        self.months.mkdir(mode=_FOLDER_MODE, exist_ok=True)
        if self.months.stat().st_mode & 0o077:
            self.months.chmod(_FOLDER_MODE)
        _sync(self.months.parent)

    def claim(self) -> int:
        """Take the lock of the one archivist; it lasts until the descriptor is closed, or the process ends.

        Raises:
            JournalError: Another process has it.
            OSError: The file cannot be made.
        """
        self._make_folder()
        descriptor = os.open(self.months / _PLACE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise JournalError("the journal cannot be archived: another process is at it") from None
        return descriptor

    def make_month(self, month: int) -> None:
        """Make a month's file, or complete one whose making was interrupted.

        Raises:
            OSError, sqlite3.Error: It cannot be made.
        """
        file = self.month(month)
        self._make_folder()
        if not file.exists():
            # A log left by another file of this name would be taken for this one's.
            for each in beside(file):
                each.unlink(missing_ok=True)
            os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE))
        with closing(connect(file)) as driver:
            driver.execute("BEGIN IMMEDIATE")
            for statement in (*_statements(), _HELD):
                driver.execute(statement)
            driver.execute("COMMIT")
        _sync(self.months)

    def drop_month(self, month: int) -> int:
        """Unlink a month's files; who has them open may read on. Returns the bytes they took.

        Raises:
            OSError: They cannot be unlinked.
        """
        file = self.month(month)
        freed = size_of(file)
        # The database first: whoever finds it gone makes no new log beside it.
        for each in (file, *beside(file)):
            each.unlink(missing_ok=True)
        if self.months.exists():
            _sync(self.months)
        return freed


def beside(file: Path) -> list[Path]:
    """Return the files SQLite keeps beside a database."""
    return [file.with_name(file.name + end) for end in _BESIDE]


def size_of(file: Path) -> int:
    """Return the bytes a database takes, with what stands beside it."""
    return sum(each.stat().st_size for each in (file, *beside(file)) if each.exists())


def connect(file: Path, *, wait_s: float = WAIT_S, checkpoints: bool = True) -> sqlite3.Connection:
    """Open a database for writing, for use by one thread at a time.

    Args:
        wait_s: How long to wait for a lock.
        checkpoints: Whether this connection moves the log into the database when it has grown.

    Raises:
        sqlite3.Error: It cannot be opened.
    """
    uri = f"{file.absolute().as_uri()}?mode=rw"
    driver = sqlite3.connect(
        uri, uri=True, timeout=wait_s, isolation_level=None, check_same_thread=False, cached_statements=512
    )
    try:
        # WAL lets readers read while one writes; FULL makes each commit survive a power cut.
        pages = _LOG_PAGES if checkpoints else 0
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            f"wal_autocheckpoint={pages}",
            f"journal_size_limit={_LOG_BYTES}",
        ):
            driver.execute(f"PRAGMA {pragma}")
    except sqlite3.Error:
        driver.close()
        raise
    return driver


def reading_url(file: Path) -> URL:
    """Return the URL that opens a database for reading alone."""
    name = file.absolute().as_uri().removeprefix("file://")
    return URL.create("sqlite+aiosqlite", database=f"file:{name}", query={"mode": "ro", "uri": "true"})


def _sync(folder: Path) -> None:
    """Make sure that what was made or unlinked in a folder survives a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
