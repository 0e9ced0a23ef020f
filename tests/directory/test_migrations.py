"""Directories of other releases: refused with a word that says what they are, and nothing of them is touched."""

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

from msc.directory import migrations
from msc.directory.codec import members
from msc.directory.rows import TABLES, Account, Directory
from msc.directory.schema import metadata
from msc.directory.store import DirectoryStore, DirectoryUnavailable
from tests.support.county import county


def query(file: Path, sql: str) -> list[Any]:
    with closing(sqlite3.connect(file)) as connection, connection:
        return connection.execute(sql).fetchall()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The directory's database file, as the fixture `store` names it."""
    return tmp_path / "directory.db"


def differences(file: Path) -> list[object]:
    """Return what the tables in a file lack of those of this release, or have too many."""
    engine = create_engine(f"sqlite:///{file}")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        found = compare_metadata(context, metadata)
    engine.dispose()
    return found


def content(directory: Directory) -> dict[str, object]:
    return {name: directory.table(name) for name in TABLES} | {"account": directory.accounts}


def test_the_head_is_the_last_revision() -> None:
    folder = str(Path(migrations.__file__).parent)
    assert ScriptDirectory(folder, version_locations=[folder]).get_heads() == [migrations.HEAD]


async def test_a_new_directory_is_of_the_newest_revision(store: DirectoryStore, file: Path) -> None:
    await store.open()
    assert query(file, "SELECT version_num FROM alembic_version") == [(migrations.HEAD,)]
    assert differences(file) == []
    assert content(await store.load()) == content(Directory())


async def test_a_directory_of_0_1_is_refused_and_not_touched(store: DirectoryStore, file: Path) -> None:
    query(file, "CREATE TABLE user (user TEXT PRIMARY KEY, name TEXT)")
    query(file, "INSERT INTO user VALUES ('J40217', 'DOE, JOHN')")
    with pytest.raises(DirectoryUnavailable, match=r"of release 0\.1"):
        await store.open()
    assert query(file, "SELECT name FROM sqlite_master WHERE type = 'table'") == [("user",)]
    assert query(file, "SELECT * FROM user") == [("J40217", "DOE, JOHN")]


async def test_a_directory_of_a_newer_release_is_refused_and_not_touched(store: DirectoryStore, file: Path) -> None:
    await store.save(county())
    query(file, "ALTER TABLE user ADD COLUMN badge TEXT")
    query(file, "UPDATE alembic_version SET version_num = '9999'")
    before = query(file, "SELECT name, sql FROM sqlite_master")
    with pytest.raises(DirectoryUnavailable, match=rf"revision 9999.* {migrations.HEAD}"):
        await store.open()
    with pytest.raises(DirectoryUnavailable):
        await store.save(Directory())
    assert query(file, "SELECT name, sql FROM sqlite_master") == before
    assert len(query(file, "SELECT user FROM user")) == 1


def test_every_member_of_a_row_has_its_column() -> None:
    for name, row in {**TABLES, "account": Account}.items():
        assert [column.name for column in metadata.tables[name].columns] == list(members(row))
