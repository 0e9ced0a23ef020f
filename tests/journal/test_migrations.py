"""Journals of earlier and later releases."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from msc.errors import JournalError
from msc.journal import migrations
from msc.journal.database import schema
from msc.journal.record import AuditRecord, EventRecord, MessageRecord
from msc.journal.schema import metadata
from tests.journal.conftest import Query
from tests.support.disk import FaultyDisk, commit

OF_0_1 = (Path(__file__).parent / "journal_0_1.sql").read_text()


@pytest.fixture
def old(file: Path) -> Path:
    """A journal as release 0.1 left it."""
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(OF_0_1)
    return file


def differences(file: Path) -> list[object]:
    """Return what the tables in a file lack of those of this release, or have too many."""
    engine = create_engine(f"sqlite:///{file}")
    with engine.connect() as connection:
        found = compare_metadata(MigrationContext.configure(connection), metadata)
    engine.dispose()
    return found


def test_the_head_is_the_last_revision() -> None:
    folder = str(Path(migrations.__file__).parent)
    assert ScriptDirectory(folder, version_locations=[folder]).get_heads() == [schema.HEAD]


async def test_a_new_journal_is_of_the_newest_revision(store: FaultyDisk, file: Path, query: Query) -> None:
    assert await store.open() == 0
    assert query("SELECT version_num FROM alembic_version") == [migrations.HEAD]
    assert differences(file) == []


@pytest.mark.requirement("F-AUDIT", "C-JOURNAL")
async def test_a_journal_of_0_1_is_upgraded_and_keeps_every_row(store: FaultyDisk, old: Path, query: Query) -> None:
    assert differences(old) != []
    messages, events = query("SELECT * FROM message"), query("SELECT * FROM event")
    audit = query("SELECT * FROM audit")
    assert await store.open() == 41
    assert differences(old) == []
    assert query("SELECT version_num FROM alembic_version") == [migrations.HEAD]
    assert query("SELECT * FROM message") == messages
    assert query("SELECT * FROM event") == events
    assert query("SELECT * FROM audit") == [(*row, None, None) for row in audit]
    # What an earlier release has stored is what this one goes on from.
    await commit(
        store, [MessageRecord(42, 1, "outbound", "inquiry")], [EventRecord(42, 1, "routed")], [AuditRecord(1, "x")]
    )
    assert await store.open() == 42
    assert query("SELECT count(*) FROM audit") == [2]


async def test_a_journal_whose_making_was_cut_short_by_0_1_is_completed(
    store: FaultyDisk, old: Path, query: Query
) -> None:
    """0.1 made its tables one by one: a crash at its very first start left some."""
    query("DROP TABLE audit")
    assert await store.open() == 41
    assert differences(old) == []


@pytest.mark.requirement("F-AUDIT")
async def test_a_journal_of_a_newer_release_is_refused_and_not_touched(
    store: FaultyDisk, file: Path, query: Query
) -> None:
    await store.open()
    await commit(store, [MessageRecord(1, 1, "outbound", "inquiry")], [], [])
    query("ALTER TABLE audit ADD COLUMN signature TEXT")
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
    before = query("SELECT name, sql FROM sqlite_master")
    with pytest.raises(JournalError, match=r"revision 9999.* 0002"):
        await store.open()
    with pytest.raises(JournalError):
        await commit(store, [MessageRecord(2, 1, "outbound", "inquiry")], [], [])
    assert query("SELECT name, sql FROM sqlite_master") == before
    assert query("SELECT msn FROM message") == [1]
