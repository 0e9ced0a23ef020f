"""What only files do: modes, locks, damage, and being moved about."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine, event

from msc.errors import JournalError
from msc.journal.database.layout import Month, MonthUnreadable, Segment
from msc.journal.database.opening import open_archiving, open_reading
from msc.journal.database.sqlite import SqliteWriting
from tests.journal.database.conftest import Ends, block, checkpoint, ends_of, page, rows

MONTH = 202611
NEXT = 202612


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "site" / "journal.db"


@pytest.fixture
def url(file: Path) -> str:
    file.parent.mkdir()
    return f"sqlite+aiosqlite:///{file}"


@pytest.fixture
async def journal(url: str) -> AsyncIterator[Ends]:
    ends = ends_of(url)
    await ends.writer.open()
    yield ends
    await ends.close()


@contextmanager
def locked(file: Path) -> Iterator[sqlite3.Connection]:
    """Hold the lock that everybody needs who writes a file."""
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield other


async def two_months(journal: Ends) -> None:
    """Store some in two months, and bring it from the log into the files."""
    for month in (MONTH, NEXT):
        await journal.archivist.make_month(month)
        await journal.archivist.store(
            Month(month, 1, 990),
            [block(first, first + 9) for first in range(1, 991, 10)],
            [Segment(1, 0, 50, 50)],
            [page(1, number) for number in range(50)],
        )
    await journal.archivist.close()


def modes(folder: Path) -> set[int]:
    return {each.stat().st_mode & 0o777 for each in folder.rglob("*") if each.is_file()}


# --- who may read it ----------------------------------------------------------------------------


@pytest.mark.requirement("F-AUPROT")
async def test_only_its_owner_may_read_any_file_of_the_journal(url: str, file: Path) -> None:
    mask = os.umask(0)
    try:
        ends = ends_of(url)
        await ends.writer.open()
        await ends.writer.commit(rows(1, 10))
        await ends.archivist.make_month(MONTH)
        await ends.archivist.store(Month(MONTH, 1, 10), [block(1, 10)])
        await ends.reader.block_keys(MONTH)
    finally:
        os.umask(mask)
    months = file.parent / "journal"
    assert {each.name for each in months.glob("*.db")} == {"2026-11.db"}
    assert list(file.parent.rglob("*-wal"))
    assert modes(file.parent) == {0o600}
    assert months.stat().st_mode & 0o777 == 0o700
    await ends.close()


@pytest.mark.requirement("F-AUPROT")
async def test_files_others_could_read_are_closed_to_them(journal: Ends, file: Path) -> None:
    await two_months(journal)
    for each in file.parent.rglob("*"):
        each.chmod(0o755 if each.is_dir() else 0o644)
    await journal.writer.open()
    assert modes(file.parent) == {0o600}
    assert (file.parent / "journal").stat().st_mode & 0o777 == 0o700


async def test_a_file_may_have_any_name(tmp_path: Path) -> None:
    folder = tmp_path / "a b%20?c"
    folder.mkdir()
    for name in ("journal #1.db", "journal"):
        ends = ends_of(f"sqlite+aiosqlite:///{folder}/{name}".replace("%", "%25").replace("?", "%3F"))
        await ends.writer.open()
        await ends.writer.commit(rows(1, 3))
        await ends.archivist.make_month(MONTH)
        assert await ends.reader.tail() == rows(1, 3)
        assert await ends.reader.block_keys(MONTH) == []
        assert (folder / name).exists()
        await ends.close()


# --- locks --------------------------------------------------------------------------------------


@pytest.mark.requirement("F-AUFAIL")
async def test_a_locked_journal_fails_after_a_while_and_recovers(journal: Ends, url: str, file: Path) -> None:
    await journal.writer.commit(rows(1, 5))
    await journal.writer.close()
    writer = SqliteWriting(url, wait_s=0.1)
    assert (await writer.open()).tail == rows(1, 5)
    with locked(file):
        with pytest.raises(JournalError, match="written: OperationalError"):
            await writer.commit(rows(6, 8))
        with pytest.raises(JournalError, match="opened: OperationalError"):
            await writer.open()
        # Readers need no lock.
        assert await journal.reader.tail() == rows(1, 5)
    assert (await writer.open()).tail == rows(1, 5)
    await writer.commit(rows(6, 8))
    assert await journal.reader.tail(5) == rows(6, 8)
    await writer.close()


async def test_the_writer_waits_for_a_lock_that_is_let_go(journal: Ends, file: Path) -> None:
    with locked(file) as other:
        committing = asyncio.create_task(journal.writer.commit(rows(1, 5)))
        done, _ = await asyncio.wait({committing}, timeout=0.05)
        assert not done
        other.rollback()
        await committing
    assert await journal.reader.tail() == rows(1, 5)


async def test_a_commit_that_failed_holds_no_lock(journal: Ends, file: Path) -> None:
    await journal.writer.commit(rows(1, 5))
    with pytest.raises(JournalError):
        await journal.writer.commit(rows(5, 6))
    with locked(file):
        pass
    await journal.archivist.put_month(Month(MONTH))


async def test_writer_and_archivist_never_fail_for_each_others_locks(journal: Ends) -> None:
    await journal.archivist.make_month(MONTH)

    async def write() -> None:
        for seq in range(1, 400):
            await journal.writer.commit(rows(seq, seq), checkpoints=[checkpoint(seq, seq)], state=b"s")

    async def archive() -> None:
        for last in range(1, 200):
            await journal.archivist.store(Month(MONTH, 1, last), [block(last, last)])
            await journal.archivist.put_month(Month(MONTH, 1, last))

    await asyncio.gather(write(), archive())
    assert len(await journal.reader.tail()) == 399
    assert len(await journal.reader.block_keys(MONTH)) == 199


# --- months that are damaged, gone, or others ----------------------------------------------------


@pytest.mark.requirement("F-AUPROT")
async def test_a_month_that_vanished_is_told_and_read_again_when_it_is_back(journal: Ends, file: Path) -> None:
    await two_months(journal)
    month = file.parent / "journal" / "2026-11.db"
    assert len(await journal.reader.block_keys(MONTH)) == 99
    hidden = month.rename(file.parent / "hidden")
    with pytest.raises(MonthUnreadable):
        await journal.reader.block_keys(MONTH)
    assert len(await journal.reader.block_keys(NEXT)) == 99
    # It is not made anew in silence.
    archivist = open_archiving(journal.url)
    with pytest.raises(MonthUnreadable):
        await archivist.store(Month(MONTH, 1, 1000), [block(991, 1000)])
    await archivist.close()
    hidden.rename(month)
    assert len(await journal.reader.block_keys(MONTH)) == 99


async def test_a_month_that_was_replaced_is_read_as_it_is_now(journal: Ends, file: Path) -> None:
    await two_months(journal)
    assert len(await journal.reader.block_keys(MONTH)) == 99
    folder = file.parent / "journal"
    for end in ("-wal", "-shm"):
        (folder / f"2026-11.db{end}").unlink(missing_ok=True)
    copy = shutil.copy(folder / "2026-12.db", file.parent / "copy")
    with closing(sqlite3.connect(copy)) as other:
        other.execute("DELETE FROM block WHERE first > 50")
        other.commit()
    Path(copy).rename(folder / "2026-11.db")
    assert len(await journal.reader.block_keys(MONTH)) == 5


async def test_a_log_left_by_another_file_is_not_taken_for_that_of_a_new_month(journal: Ends, file: Path) -> None:
    await journal.archivist.make_month(MONTH)
    await journal.archivist.store(Month(MONTH, 1, 2), [block(1, 2)])
    month = file.parent / "journal" / "2026-11.db"
    log = month.with_name("2026-11.db-wal").read_bytes()
    assert log
    await journal.archivist.drop_month(MONTH)
    month.with_name("2026-11.db-wal").write_bytes(log)
    await journal.archivist.make_month(MONTH)
    assert await journal.reader.block_keys(MONTH) == []


@pytest.mark.requirement("F-AUPROT")
@pytest.mark.parametrize("what", ["header", "everything", "cut", "empty", "noise", "folder"])
async def test_a_damaged_month_is_told_and_hurts_no_other(journal: Ends, file: Path, what: str) -> None:
    await two_months(journal)
    month = file.parent / "journal" / "2026-11.db"
    size = month.stat().st_size
    match what:
        case "header":
            with month.open("r+b") as raw:
                raw.write(b"\0" * 100)
        case "everything":
            with month.open("r+b") as raw:
                raw.seek(4096)
                raw.write(b"\xa5" * (size - 4096))
        case "cut":
            os.truncate(month, 8192)
        case "empty":
            os.truncate(month, 0)
        case "noise":
            month.write_bytes(os.urandom(size))
        case _:
            month.unlink()
            month.mkdir()
    reader, archivist = open_reading(journal.url), open_archiving(journal.url)
    places = [(1, number) for number in range(50)]
    for end in (reader, archivist):
        for asked in (
            end.block_keys(MONTH), end.blocks(MONTH, range(1, 1000)), end.blocks_after(MONTH, 0, 100),
            end.segments(MONTH), end.first_terms(MONTH), end.pages(MONTH, places),
        ):  # fmt: skip
            with pytest.raises(MonthUnreadable):
                await asked
        assert len(await end.months()) == 2
        assert len(await end.pages(NEXT, places)) == 50
    with pytest.raises(JournalError):
        await archivist.store(Month(MONTH, 1, 1000), [block(991, 1000)])
    await archivist.store(Month(NEXT, 1, 1000), [block(991, 1000)])
    for end in (reader, archivist):
        await end.close()


@pytest.mark.requirement("F-AUPROT")
async def test_values_of_another_type_are_damage(journal: Ends, file: Path) -> None:
    await two_months(journal)
    with closing(sqlite3.connect(file.parent / "journal" / "2026-11.db")) as other:
        other.execute("UPDATE block SET body = 17, last = 'x' WHERE first = 11")
        other.execute("UPDATE page SET first_term = x'ff' WHERE number = 3")
        other.commit()
    for asked in (
        journal.reader.blocks(MONTH, [1, 11]),
        journal.reader.block_keys(MONTH),
        journal.reader.first_terms(MONTH),
        journal.reader.pages(MONTH, [(1, 3)]),
    ):
        with pytest.raises(MonthUnreadable):
            await asked
    assert len(await journal.reader.blocks(MONTH, [1])) == 1


# --- crashes ------------------------------------------------------------------------------------


@pytest.mark.requirement("C-JOURNAL")
async def test_what_a_crash_between_two_files_left_behind_is_made_up_for(journal: Ends, file: Path) -> None:
    archivist = journal.archivist
    await archivist.make_month(MONTH)
    before, after = Month(MONTH, 1, 20), Month(MONTH, 1, 40)
    await archivist.store(before, [block(1, 20)])
    second, written = block(21, 40), page(1, 0)
    await archivist.store(after, [second], [Segment(1, 0, 1, 1)], [written])
    # As if it had died before the month's row followed.
    await archivist.put_month(before)
    again = open_archiving(journal.url)
    assert await again.months() == [after]
    assert await journal.reader.months() == [after]
    # Who does it again all the same does no harm.
    await again.store(after, [second], [Segment(1, 0, 1, 1)], [written])
    assert await journal.reader.blocks(MONTH, [21]) == [second]
    assert await journal.reader.pages(MONTH, [(1, 0)]) == [written]
    await again.close()


async def test_a_month_whose_making_was_interrupted_is_made(journal: Ends, file: Path) -> None:
    (file.parent / "journal" / "2026-11.db").touch(0o600)
    await journal.archivist.make_month(MONTH)
    assert await journal.reader.block_keys(MONTH) == []
    assert await journal.reader.months() == [Month(MONTH)]


@pytest.mark.requirement("F-AUFAIL")
async def test_a_journal_that_cannot_be_made_is_not_open(tmp_path: Path) -> None:
    writer = SqliteWriting(f"sqlite+aiosqlite:///{tmp_path}/nowhere/journal.db")
    with pytest.raises(JournalError, match="opened"):
        await writer.open()
    (tmp_path / "nowhere").mkdir()
    await writer.open()
    await writer.close()


async def test_a_damaged_main_file_is_no_journal(url: str, file: Path) -> None:
    file.write_bytes(b"\x55" * 20_000)
    ends = ends_of(url)
    with pytest.raises(JournalError):
        await ends.writer.open()
    with pytest.raises(JournalError):
        await ends.reader.tail()
    with pytest.raises(JournalError):
        await ends.archivist.months()
    await ends.close()


async def test_single_pages_and_blocks_are_looked_up_and_not_searched_for(journal: Ends, file: Path) -> None:
    """SQLite scans a whole index for a plain list of pairs; a month may have many thousands."""
    await journal.archivist.make_month(MONTH)
    asked: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        asked.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        await journal.reader.pages(MONTH, [(1, 2), (3, 4)])
        await journal.reader.blocks(MONTH, [1, 2, 3])
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    with closing(sqlite3.connect(file.parent / "journal" / "2026-11.db")) as other:
        for table in ("page", "block"):
            (statement,) = (each for each in asked if f"FROM {table}" in each)
            marks = statement.count("?")
            plan = other.execute(f"EXPLAIN QUERY PLAN {statement}", ["[]"] + ["$"] * (marks - 1)).fetchall()
            assert any(step[3].startswith(f"SEARCH {table} ") for step in plan)
            assert not any(step[3].startswith(f"SCAN {table}") for step in plan)
