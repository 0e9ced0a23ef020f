"""Journals of other releases: refused with a word that says what they are, and nothing of them is touched."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from msc.errors import JournalError
from msc.journal import migrations
from msc.journal.database.opening import open_writing
from msc.journal.database.schema import HEAD, metadata

pytestmark = pytest.mark.requirement("C-JOURNAL")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


def query(file: Path, sql: str) -> list[Any]:
    with closing(sqlite3.connect(file)) as connection, connection:
        return connection.execute(sql).fetchall()


async def open_once(file: Path) -> None:
    writer = open_writing(f"sqlite+aiosqlite:///{file}")
    try:
        await writer.open()
    finally:
        await writer.close()


def test_the_head_is_the_last_revision() -> None:
    folder = str(Path(migrations.__file__).parent)
    assert ScriptDirectory(folder, version_locations=[folder]).get_heads() == [HEAD]


async def test_a_new_journal_is_of_the_newest_revision(file: Path) -> None:
    await open_once(file)
    assert query(file, "SELECT version_num FROM alembic_version") == [(HEAD,)]
    with create_engine(f"sqlite:///{file}").connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


@pytest.mark.parametrize("revision", ["0003", "9999"])
async def test_a_journal_of_another_release_is_refused_and_not_touched(file: Path, revision: str) -> None:
    await open_once(file)
    query(file, f"UPDATE alembic_version SET version_num = '{revision}'")
    before = query(file, "SELECT name, sql FROM sqlite_master")
    with pytest.raises(JournalError, match=rf"revision {revision}.* {HEAD}"):
        await open_once(file)
    assert query(file, "SELECT name, sql FROM sqlite_master") == before


async def test_a_journal_of_0_1_is_refused_and_not_touched(file: Path) -> None:
    query(file, "CREATE TABLE message (msn INTEGER PRIMARY KEY, text TEXT)")
    query(file, "INSERT INTO message VALUES (17, 'kept')")
    with pytest.raises(JournalError, match=r"of release 0\.1"):
        await open_once(file)
    assert query(file, "SELECT name FROM sqlite_master") == [("message",)]
    assert query(file, "SELECT * FROM message") == [(17, "kept")]
