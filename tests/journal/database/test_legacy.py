"""Journals of earlier releases: put aside by the upgrade, read in their order, forgotten."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from msc.journal.database.legacy import forget_legacy, legacy_records
from sqlalchemy import MetaData, create_engine

from msc import migration
from msc.errors import JournalError
from msc.journal import migrations
from msc.journal.database.layout import Opened
from msc.journal.database.opening import open_reading, open_writing
from msc.journal.database.schema import HEAD, metadata
from msc.journal.record import AuditRecord, Record
from msc.transit.event import Event
from msc.transit.message import MessageRecord
from tests.journal.database.conftest import rows

OF_0_1 = (Path(__file__).parents[1] / "journal_0_1.sql").read_text()
AT = 1767258900000000
MESSAGE = MessageRecord(
    41, AT, "outbound", "inquiry", device="desk-1", user="J40217", text="RQ", transaction=41
)  # fmt: skip
EVENT = Event(41, AT, "routed", "line:clets-a")
AUDIT = AuditRecord(
    AT - 100_000_000, "sign_on.refused", "desk-1", "J40217", source="10.0.0.23", code="E101",
    detail="unknown user or password",
)  # fmt: skip


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture
def url(file: Path) -> str:
    return f"sqlite+aiosqlite:///{file}"


@pytest.fixture
def old(file: Path) -> Path:
    """A journal as release 0.1 left it."""
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(OF_0_1)
    return file


def of_0_2(
    file: Path, messages: Sequence[MessageRecord], events: Sequence[Event], audits: Sequence[AuditRecord]
) -> None:
    """Make a journal as release 0.2 left it."""
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(OF_0_1)
        connection.executescript("DELETE FROM message; DELETE FROM event; DELETE FROM audit")
    migration.upgrade(f"sqlite:///{file}", MetaData(), migrations.__name__, "0002")
    with closing(sqlite3.connect(file)) as connection:
        for table, known, rows in (
            ("message", MessageRecord._fields, messages),
            ("event", Event._fields, events),
            ("audit", AuditRecord._fields[:11], audits),
        ):
            names = ", ".join(f'"{name}"' for name in known)
            marks = ", ".join("?" * len(known))
            connection.executemany(
                f"INSERT INTO {table} ({names}) VALUES ({marks})", [row[: len(known)] for row in rows]
            )
        connection.commit()


def ask(file: Path, sql: str) -> list[Any]:
    with closing(sqlite3.connect(file)) as connection:
        found = connection.execute(sql).fetchall()
        connection.commit()
        return [row[0] if len(row) == 1 else row for row in found]


async def upgraded(url: str) -> Opened:
    writer = open_writing(url)
    try:
        return await writer.open()
    finally:
        await writer.close()


async def all_of(url: str, skip: int = 0) -> list[Record]:
    return [record async for chunk in legacy_records(url, skip=skip) for record in chunk]


def differences(file: Path) -> list[Any]:
    """Return what the tables lack of those of this release, or have too many; those put aside are let."""
    engine = create_engine(f"sqlite:///{file}")
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={"include_object": lambda item, name, kind, *_: not (kind == "table" and name.startswith("old_"))},
        )
        found: list[Any] = compare_metadata(context, metadata)
    engine.dispose()
    return found


def test_the_head_is_the_last_revision() -> None:
    folder = str(Path(migrations.__file__).parent)
    assert ScriptDirectory(folder, version_locations=[folder]).get_heads() == [HEAD]


async def test_a_journal_whose_making_was_cut_short_by_0_1_is_completed(url: str, old: Path) -> None:
    """0.1 made its tables one by one: a crash at its very first start left some."""
    ask(old, "DROP TABLE audit")
    await upgraded(url)
    assert differences(old) == []
    assert await all_of(url) == [MESSAGE, EVENT]


@pytest.mark.requirement("F-AUDIT", "C-JOURNAL")
async def test_a_journal_of_0_1_is_upgraded_and_its_rows_are_there_to_be_taken_over(url: str, old: Path) -> None:
    reader = open_reading(url)
    with pytest.raises(JournalError, match=f"none, ours {HEAD}"):
        await reader.tail()
    assert await upgraded(url) == Opened(None, None, [])
    assert ask(old, "SELECT version_num FROM alembic_version") == [HEAD]
    assert differences(old) == []
    assert await all_of(url) == [AUDIT, MESSAGE, EVENT]
    assert await reader.tail() == []
    await reader.close()
    await forget_legacy(url)
    assert await all_of(url) == []
    assert not ask(old, "SELECT name FROM sqlite_master WHERE name LIKE 'old%' OR name LIKE 'ix_%'")
    await forget_legacy(url)


@pytest.mark.requirement("F-AUDIT", "C-JOURNAL")
async def test_a_journal_of_the_last_release_is_taken_over_too(url: str, file: Path) -> None:
    message = MessageRecord(*range(1, 3), "local", *(["x"] * 15), *range(18, 19), *(["y"] * 6), 25, "z")
    audit = AuditRecord(2, "operator.added", subject="J40217", reason="é")
    of_0_2(file, [message], [Event(1, 5, "routed")], [audit])
    await upgraded(url)
    assert differences(file) == []
    assert await all_of(url) == [message, audit, Event(1, 5, "routed")]


async def test_a_new_journal_has_nothing_of_before(journal_url: str) -> None:
    await upgraded(journal_url)
    assert await all_of(journal_url) == []
    await forget_legacy(journal_url)
    await upgraded(journal_url)


async def test_a_new_journal_is_of_the_newest_revision(url: str, file: Path) -> None:
    await upgraded(url)
    assert ask(file, "SELECT version_num FROM alembic_version") == [HEAD]
    assert differences(file) == []


@pytest.mark.requirement("C-JOURNAL")
async def test_many_rows_come_by_time_and_can_be_gone_on_with_after_any(url: str, file: Path) -> None:
    count = 5000
    messages = [MessageRecord(n, 10 * n, "local", "x") for n in range(1, count + 1)]
    # One event of the clock that was set back: it still comes after its message.
    events = [Event(n, 10 * n + 1 if n != 3000 else 5, "routed") for n in range(1, count + 1)]
    audits = [AuditRecord(10 * n + 5, "x") for n in range(0, count, 7)]
    of_0_2(file, messages, events, audits)
    await upgraded(url)
    found = await all_of(url)
    assert sorted(found, key=repr) == sorted([*messages, *events, *audits], key=repr)
    place = {record: at for at, record in enumerate(found)}
    assert all(place[message] < place[event] for message, event in zip(messages, events, strict=True))
    times = [record.received if isinstance(record, MessageRecord) else record.at for record in found]
    assert [at for at in times if at != 5] == sorted(at for at in times if at != 5)
    for skip in (1, 1999, 2000, 7777, len(found)):
        assert await all_of(url, skip=skip) == found[skip:]


async def test_what_was_put_aside_is_read_while_the_new_journal_is_written(url: str, old: Path) -> None:
    writer = open_writing(url)
    await writer.open()
    seq = 1
    async for chunk in legacy_records(url):
        await writer.commit(rows(seq, seq + len(chunk) - 1))
        seq += len(chunk)
    await forget_legacy(url)
    await writer.commit(rows(seq, seq))
    assert (await writer.open()).tail == rows(1, 4)
    await writer.close()


@pytest.mark.requirement("F-AUDIT")
async def test_a_journal_of_a_newer_release_is_refused_and_not_touched(url: str, file: Path) -> None:
    await upgraded(url)
    ask(file, "ALTER TABLE tail ADD COLUMN colour TEXT")
    ask(file, "UPDATE alembic_version SET version_num = '9999'")
    before = ask(file, "SELECT name, sql FROM sqlite_master")
    writer, reader = open_writing(url), open_reading(url)
    with pytest.raises(JournalError, match=rf"revision 9999.* {HEAD}"):
        await writer.open()
    with pytest.raises(JournalError):
        await writer.commit(rows(1, 1))
    with pytest.raises(JournalError, match="9999"):
        await reader.tail()
    assert ask(file, "SELECT name, sql FROM sqlite_master") == before
    assert ask(file, "SELECT count(*) FROM tail") == [0]
    for end in (writer, reader):
        await end.close()
