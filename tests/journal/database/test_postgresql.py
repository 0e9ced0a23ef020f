"""What only a server does: it stops, forgets its clients, refuses writes, and locks tables."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from msc.errors import JournalError
from msc.journal.database import postgresql_archive
from msc.journal.database.layout import Month, MonthUnreadable, Segment
from msc.journal.database.opening import open_archiving, open_writing
from msc.journal.database.schema import HEAD
from tests.journal.database.conftest import Ends, block, checkpoint, ends_of, page, rows
from tests.support.postgres import PostgresServer

MONTH = 202611
NEXT = 202612
_END_OTHERS = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()"""


@pytest.fixture
async def journal(postgres_url: str) -> AsyncIterator[Ends]:
    ends = ends_of(postgres_url)
    await ends.writer.open()
    yield ends
    await ends.close()


@asynccontextmanager
async def another(url: str) -> AsyncIterator[AsyncConnection]:
    """Connect as somebody else."""
    engine = create_async_engine(url, poolclass=NullPool)
    async with engine.connect() as connection:
        yield connection
    await engine.dispose()


async def ask(url: str, statement: str) -> list[Any]:
    async with another(url) as connection:
        result = await connection.execute(text(statement))
        found = [tuple(row) for row in result] if result.returns_rows else []
        await connection.commit()
        return found


async def two_months(journal: Ends) -> None:
    for month in (MONTH, NEXT):
        await journal.archivist.make_month(month)
        await journal.archivist.store(
            Month(month, 1, 100), [block(first, first + 9) for first in range(1, 101, 10)], [Segment(1, 0, 1, 1)],
            [page(1, 0)],
        )  # fmt: skip


@pytest.mark.requirement("F-AUFAIL")
@pytest.mark.parametrize("mode", ["fast", "immediate"])
async def test_a_server_that_stops_fails_commits_and_is_taken_up_again(
    journal: Ends, postgres_server: PostgresServer, mode: str
) -> None:
    await journal.writer.commit(rows(1, 50), checkpoints=[checkpoint(1, 50)], state=b"s")
    await two_months(journal)
    assert len(await journal.reader.tail()) == 50
    postgres_server.stop(mode)
    try:
        for _ in range(2):
            with pytest.raises(JournalError):
                await journal.writer.commit(rows(51, 60))
            with pytest.raises(JournalError):
                await journal.writer.open()
            with pytest.raises(JournalError):
                await journal.reader.tail()
            with pytest.raises(JournalError) as caught:
                await journal.reader.block_keys(MONTH)
            assert not isinstance(caught.value, MonthUnreadable)
            with pytest.raises(JournalError):
                await journal.archivist.store(Month(MONTH, 1, 110), [block(101, 110)])
            with pytest.raises(JournalError):
                await journal.archivist.drop_month(MONTH)
    finally:
        postgres_server.start()
    opened = await journal.writer.open()
    assert (opened.state, opened.checkpoint, opened.tail) == (b"s", checkpoint(1, 50), rows(1, 50))
    await journal.writer.commit(rows(51, 60))
    assert await journal.reader.tail(50) == rows(51, 60)
    assert len(await journal.reader.block_keys(MONTH)) == 10
    await journal.archivist.store(Month(MONTH, 1, 110), [block(101, 110)])


async def test_a_reader_does_not_notice_that_its_connections_were_lost(journal: Ends) -> None:
    await journal.writer.commit(rows(1, 5))
    for _ in range(3):
        await asyncio.gather(*(journal.reader.tail() for _ in range(5)))
        await ask(journal.url, _END_OTHERS)
        assert await asyncio.gather(*(journal.reader.tail() for _ in range(5))) == [rows(1, 5)] * 5


async def test_a_reader_does_not_notice_that_the_server_was_restarted(
    journal: Ends, postgres_server: PostgresServer
) -> None:
    await journal.writer.commit(rows(1, 5))
    await asyncio.gather(*(journal.reader.tail() for _ in range(5)))
    postgres_server.stop()
    postgres_server.start()
    assert await asyncio.gather(*(journal.reader.tail() for _ in range(5))) == [rows(1, 5)] * 5


@pytest.mark.requirement("F-AUFAIL")
async def test_a_lost_connection_fails_one_commit(journal: Ends) -> None:
    await journal.writer.commit(rows(1, 5))
    await ask(journal.url, _END_OTHERS)
    with pytest.raises(JournalError):
        await journal.writer.commit(rows(6, 7))
    assert (await journal.writer.open()).tail == rows(1, 5)
    await journal.writer.commit(rows(6, 7), checkpoints=[checkpoint(1, 7)])


async def test_an_archivist_whose_connection_was_lost_takes_its_place_again(journal: Ends) -> None:
    other = open_archiving(journal.url)
    await journal.archivist.claim()
    await ask(journal.url, _END_OTHERS)
    await journal.archivist.claim()
    with pytest.raises(JournalError, match="another process"):
        await other.claim()
    await ask(journal.url, _END_OTHERS)
    await other.claim()
    with pytest.raises(JournalError, match="another process"):
        await journal.archivist.claim()
    await other.close()


async def test_two_switches_cannot_write_the_same_journal(journal: Ends) -> None:
    other = open_writing(journal.url)
    with pytest.raises(JournalError, match="another switch"):
        await other.open()
    await journal.writer.commit(rows(1, 2))
    await journal.writer.close()
    assert (await other.open()).tail == rows(1, 2)
    with pytest.raises(JournalError, match="another switch"):
        await journal.writer.open()
    await other.close()
    await journal.writer.open()


@pytest.mark.requirement("F-AUFAIL")
async def test_a_server_that_takes_no_writes_is_not_open(journal: Ends) -> None:
    [(name,)] = await ask(journal.url, "SELECT current_database()")
    await ask(journal.url, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    with pytest.raises(JournalError, match="opened: ReadOnly"):
        await journal.writer.open()
    async with another(journal.url) as connection:
        await connection.execute(text("SET TRANSACTION READ WRITE"))
        await connection.execute(text(f"ALTER DATABASE {name} RESET default_transaction_read_only"))
        await connection.commit()
    await journal.writer.open()


@pytest.mark.requirement("F-AUDIT")
async def test_a_journal_of_a_newer_release_is_refused(journal: Ends) -> None:
    await journal.writer.commit(rows(1, 3))
    await ask(journal.url, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(JournalError, match=f"revision 9999.* {HEAD}"):
        await journal.writer.open()
    with pytest.raises(JournalError):
        await journal.writer.commit(rows(4, 4))
    assert await ask(journal.url, "SELECT count(*) FROM tail") == [(3,)]
    stranger = ends_of(journal.url)
    with pytest.raises(JournalError, match="9999"):
        await stranger.reader.tail()
    await stranger.close()


async def test_a_commit_the_server_never_answers_fails(postgres_url: str) -> None:
    from msc.journal.database.postgresql import PostgresWriting

    writer = PostgresWriting(postgres_url, wait_s=0.2)
    await writer.open()
    async with another(postgres_url) as other:
        await other.execute(text("LOCK TABLE tail IN ACCESS EXCLUSIVE MODE"))
        with pytest.raises(JournalError, match="Timeout"):
            await writer.commit(rows(1, 3))
    assert (await writer.open()).tail == []
    await writer.commit(rows(1, 3))
    await writer.close()


async def test_bytes_that_are_compressed_are_not_compressed_again(journal: Ends) -> None:
    await journal.archivist.make_month(MONTH)
    found = await ask(
        journal.url,
        "SELECT attrelid::regclass::text, attname FROM pg_attribute WHERE attstorage = 'e' AND attrelid IN "
        f"('tail'::regclass, 'block_{MONTH}'::regclass, 'page_{MONTH}'::regclass) ORDER BY 1, 2",
    )
    month = str(MONTH)
    assert found == [
        (f"block_{month}", "body"),
        (f"block_{month}", "marks"),
        (f"page_{month}", "body"),
        ("tail", "body"),
    ]


# --- months -------------------------------------------------------------------------------------


async def test_a_month_is_dropped_as_soon_as_nobody_reads_it_and_others_go_on(journal: Ends) -> None:
    await two_months(journal)
    async with another(journal.url) as other:
        await other.execute(text(f"SELECT count(*) FROM block_{MONTH}"))  # it keeps the table until it commits
        dropping = asyncio.create_task(journal.archivist.drop_month(MONTH))
        for count in itertools.count(1):
            await journal.writer.commit(rows(count, count))
            assert len(await journal.reader.block_keys(NEXT)) == 10
            # Even this month is read meanwhile.
            assert len(await journal.reader.block_keys(MONTH)) == 10
            waiting = await ask(journal.url, "SELECT 1 FROM pg_locks WHERE NOT granted")
            if waiting or count > 500:
                break
        assert waiting and not dropping.done()
        await other.rollback()
    assert await dropping > 0
    with pytest.raises(MonthUnreadable):
        await journal.reader.block_keys(MONTH)


async def test_a_month_somebody_keeps_reading_is_not_dropped(journal: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql_archive, "_LOCK_TRIES", 2)
    monkeypatch.setattr(postgresql_archive, "_LOCK_WAIT_MS", 10)
    await two_months(journal)
    async with another(journal.url) as other:
        await other.execute(text(f"SELECT count(*) FROM block_{MONTH}"))
        with pytest.raises(JournalError, match=f"{MONTH} cannot be dropped"):
            await journal.archivist.drop_month(MONTH)
    assert len(await journal.reader.block_keys(MONTH)) == 10


@pytest.mark.requirement("F-AUPROT")
async def test_a_damaged_month_is_told_and_hurts_no_other(journal: Ends, postgres_server: PostgresServer) -> None:
    await two_months(journal)
    [(path,)] = await ask(journal.url, f"SELECT pg_relation_filepath('block_{MONTH}')")
    postgres_server.stop()
    try:
        with (postgres_server.data / path).open("r+b") as raw:
            raw.write(b"\xa5" * 8192)
    finally:
        postgres_server.start()
    with pytest.raises(MonthUnreadable):
        await journal.reader.block_keys(MONTH)
    assert len(await journal.reader.pages(MONTH, [(1, 0)])) == 1
    assert len(await journal.reader.block_keys(NEXT)) == 10
    await journal.writer.open()
    await journal.writer.commit(rows(1, 3))
