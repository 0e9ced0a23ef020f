"""Searching the audit stream."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy.dialects import sqlite

from msc.errors import JournalError
from msc.journal import search
from msc.journal.audit import AuditCriteria
from msc.journal.record import AuditRecord
from msc.journal.schema import audit_table
from msc.journal.search import JournalReader
from tests.journal.test_migrations import OF_0_1
from tests.support.disk import FaultyDisk, commit

DAY = [
    AuditRecord(10, "switch.started", detail="0.2.0"),
    AuditRecord(20, "handshake.refused", detail="no certificate"),
    AuditRecord(30, "connection.opened", "DISPATCH1", source="10.0.0.23"),
    AuditRecord(40, "sign_on.refused", "DISPATCH1", "J40217", source="10.0.0.23", code="E101", detail="100% wrong"),
    AuditRecord(50, "sign_on.granted", "DISPATCH1", "J40217", "EXD1", "10.0.0.23", "s1"),
    AuditRecord(60, "account.released", "DISPATCH1", "J40217", session="s1", subject="user P50110", reason="A CALL"),
    AuditRecord(70, "session.ended", "DISPATCH1", "J40217", "EXD1", "10.0.0.23", "s1", detail="signed off"),
]  # fmt: skip


@pytest.fixture
async def reader(store: FaultyDisk, file: Path) -> AsyncIterator[JournalReader]:
    await store.open()
    await commit(store, [], [], DAY)
    reader = JournalReader(file)
    yield reader
    await reader.close()


async def times(reader: JournalReader, criteria: AuditCriteria) -> list[int]:
    return [record.at async for record in reader.audit(criteria)]


@pytest.mark.requirement("F-AUDIT", "C-ACPLOG")
async def test_every_member_comes_back_newest_first(reader: JournalReader) -> None:
    assert [record async for record in reader.audit(AuditCriteria())] == DAY[::-1]
    assert [record async for record in reader.audit(AuditCriteria(), oldest_first=True)] == DAY


@pytest.mark.requirement("F-AUDIT", "C-ACPLOG")
@pytest.mark.parametrize(
    ("criteria", "found"),
    [
        (AuditCriteria(since_us=60), [70, 60]),
        (AuditCriteria(until_us=30), [20, 10]),
        (AuditCriteria(since_us=30, until_us=50), [40, 30]),
        (AuditCriteria(event="sign_on"), [50, 40]),
        (AuditCriteria(event="sign_on.refused"), [40]),
        (AuditCriteria(event="sign_on%"), []),
        (AuditCriteria(equal={"user": "J40217", "code": "E101"}), [40]),
        (AuditCriteria(equal={"device": "DISPATCH1"}, until_us=50), [40, 30]),
        (AuditCriteria(equal={"mnemonic": "EXD1"}), [70, 50]),
        (AuditCriteria(equal={"session": "s1"}), [70, 60, 50]),
        (AuditCriteria(equal={"source": "10.0.0.23"}, event="connection"), [30]),
        (AuditCriteria(subject="user P50110"), [60]),
        (AuditCriteria(subject="P50110"), [60]),
        (AuditCriteria(subject="50110"), []),
        (AuditCriteria(subject="%"), []),
        (AuditCriteria(refused=True), [40, 20]),
        (AuditCriteria(words=("signed",)), [70]),
        (AuditCriteria(words=("CALL", "A")), [60]),
        (AuditCriteria(words=("CALL", "signed")), []),
        (AuditCriteria(words=("%",)), [40]),
    ],
    ids=repr,
)
async def test_what_matches_is_found_and_nothing_else(
    reader: JournalReader, criteria: AuditCriteria, found: list[int]
) -> None:
    assert await times(reader, criteria) == found


@pytest.mark.parametrize("oldest_first", [False, True])
@pytest.mark.parametrize("limit", [1, 2, 3, 8, 9, 100, None])
async def test_pages_join_without_a_gap_though_many_events_are_of_one_moment_and_the_clock_went_back(
    store: FaultyDisk, reader: JournalReader, monkeypatch: pytest.MonkeyPatch, limit: int | None, oldest_first: bool
) -> None:
    monkeypatch.setattr(search, "_PAGE", 3)
    await commit(
        store, [], [], [AuditRecord(at, "x", detail=str(n)) for n, at in enumerate([90, 90, 80, 90, 90, 90])]
    )
    wanted = ["2", "0", "1", "3", "4", "5"]
    found = [
        record.detail
        async for record in reader.audit(AuditCriteria(event="x"), limit=limit, oldest_first=oldest_first)
    ]
    assert found == (wanted if oldest_first else wanted[::-1])[:limit]


@pytest.mark.parametrize(
    ("criteria", "index"),
    [
        (AuditCriteria(), "ix_audit_at"),
        (AuditCriteria(since_us=1), "ix_audit_at"),
        (AuditCriteria(event="sign_on"), "ix_audit"),
        (AuditCriteria(equal={"user": "J40217"}, since_us=1), "ix_audit_user_at"),
        (AuditCriteria(equal={"device": "DISPATCH1"}, since_us=1), "ix_audit_device_at"),
    ],
    ids=repr,
)
async def test_searches_by_time_event_user_and_device_use_an_index(
    reader: JournalReader, file: Path, criteria: AuditCriteria, index: str
) -> None:
    query = audit_table.select().where(*criteria.conditions()).order_by(audit_table.c.at.desc()).limit(50)
    sql = str(query.compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True}))
    with closing(sqlite3.connect(file)) as connection:
        plan = " ".join(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}"))
    assert index in plan


async def test_searches_do_not_write(reader: JournalReader, store: FaultyDisk, file: Path) -> None:
    await store.close()
    file.chmod(0o400)
    before = file.read_bytes()
    assert len(await times(reader, AuditCriteria())) == len(DAY)
    assert file.read_bytes() == before


async def test_the_audit_stream_of_another_release_is_told_and_not_upgraded(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(OF_0_1)
        before = connection.execute("SELECT name, sql FROM sqlite_master").fetchall()
        reader = JournalReader(file)
        with pytest.raises(JournalError, match="another release"):
            await times(reader, AuditCriteria())
        await reader.close()
        assert connection.execute("SELECT name, sql FROM sqlite_master").fetchall() == before
