"""What every database of a journal promises, whichever it is."""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msc.errors import JournalError
from msc.journal.database.layout import Hold, Month, MonthUnreadable, Opened, Segment, TailRow
from msc.journal.database.opening import open_archiving, open_reading, open_writing
from msc.journal.database.tail import TailEnds
from tests.journal.database.conftest import Ends, block, checkpoint, page, rows

MONTH = 202611
NEXT = 202612


# --- writing ------------------------------------------------------------------------------------


async def test_a_new_journal_is_empty(journal: Ends) -> None:
    assert await journal.writer.open() == Opened(None, None, [])
    assert await journal.reader.tail() == []
    assert await journal.reader.months() == []
    assert await journal.reader.last_checkpoint() is None
    assert await journal.reader.state() is None
    assert await journal.reader.holds() == []


@pytest.mark.requirement("C-JOURNAL")
async def test_what_was_committed_is_there_when_it_is_opened_again(journal: Ends) -> None:
    await journal.writer.commit(rows(1, 700), checkpoints=[checkpoint(1, 600), checkpoint(2, 700)], state=b"\0one")
    await journal.writer.commit(rows(701, 705), state=b"\0two")
    expected = Opened(b"\0two", checkpoint(2, 700), rows(1, 705))
    assert await journal.writer.open() == expected
    await journal.writer.close()
    again = open_writing(journal.url)
    assert await again.open() == expected
    await again.close()
    assert await journal.writer.open() == expected


async def test_readers_are_given_what_they_ask_for(journal: Ends) -> None:
    await journal.writer.commit(rows(1, 20), checkpoints=[checkpoint(n, n) for n in range(1, 6)], state=b"s")
    assert await journal.reader.tail() == rows(1, 20)
    assert await journal.reader.tail(after=15) == rows(16, 20)
    assert await journal.reader.checkpoints() == [checkpoint(n, n) for n in range(1, 6)]
    assert await journal.reader.checkpoints(after=2, at_most=2) == [checkpoint(3, 3), checkpoint(4, 4)]
    assert await journal.reader.last_checkpoint() == checkpoint(5, 5)
    assert await journal.reader.state() == b"s"


@pytest.mark.requirement("C-JOURNAL")
@pytest.mark.parametrize("whole", [True, False])
async def test_a_commit_that_fails_stores_nothing_of_it(journal: Ends, whole: bool) -> None:
    await journal.writer.commit(rows(1, 300), checkpoints=[checkpoint(1, 300)], state=b"before")
    more = {"checkpoints": [checkpoint(2, 301)], "state": b"after", "drop_to": 200} if whole else {}
    with pytest.raises(JournalError, match="written"):
        await journal.writer.commit([*rows(301, 500), *rows(7, 7)], **more)  # type: ignore[arg-type]
    with pytest.raises(JournalError, match="not open"):
        await journal.writer.commit(rows(301, 301))
    assert await journal.writer.open() == Opened(b"before", checkpoint(1, 300), rows(1, 300))
    await journal.writer.commit(rows(301, 301))
    assert await journal.reader.tail(after=300) == rows(301, 301)


async def test_a_commit_whose_checkpoint_fails_stores_no_rows(journal: Ends) -> None:
    await journal.writer.commit(rows(1, 3), checkpoints=[checkpoint(1, 3)])
    with pytest.raises(JournalError):
        await journal.writer.commit(rows(4, 6), checkpoints=[checkpoint(1, 6)])
    assert (await journal.writer.open()).tail == rows(1, 3)


async def test_nothing_is_committed_before_it_is_opened(journal_url: str) -> None:
    writer = open_writing(journal_url)
    with pytest.raises(JournalError, match="not open"):
        await writer.commit(rows(1, 1))
    await writer.close()


async def test_the_tail_is_dropped_as_far_as_is_asked_and_no_further(journal: Ends) -> None:
    await journal.writer.commit(rows(1, 30))
    await journal.writer.commit([], drop_to=10)
    assert await journal.reader.tail() == rows(11, 30)
    await journal.writer.commit(rows(31, 32), drop_to=20)
    assert await journal.reader.tail() == rows(21, 32)
    # What is not there yet cannot stand in a block, whatever somebody says.
    await journal.writer.commit(rows(33, 34), drop_to=1000)
    await journal.writer.commit(rows(35, 36))
    assert await journal.reader.tail() == rows(33, 36)
    assert (await journal.writer.open()).tail == rows(33, 36)


async def test_much_of_the_tail_is_dropped_bit_by_bit(journal: Ends) -> None:
    await journal.writer.commit([TailRow(seq, b"x", b"") for seq in range(1, 10_001)])
    await journal.writer.commit([], drop_to=10_000)
    left = len(await journal.reader.tail())
    assert 0 < left < 10_000
    commits = 0
    while await journal.reader.tail():
        await journal.writer.commit([])
        commits += 1
    assert commits < 4


@given(st.lists(st.tuples(st.integers(0, 9000), st.integers(0, 60_000)), max_size=30), st.integers(0, 20_000))
def test_no_commit_drops_what_may_not_go_or_too_much_at_once(turns: list[tuple[int, int]], there: int) -> None:
    first, last = 1, there
    ends = TailEnds([TailRow(1, b"", b""), TailRow(there, b"", b"")] if there else [])
    allowed = 0
    for count, drop_to in turns:
        allowed = max(allowed, min(drop_to, last))
        new = [TailRow(last + 1, b"", b""), TailRow(last + count, b"", b"")] if count else []
        dropped = ends.turn(new, drop_to)
        last += count
        assert dropped <= allowed
        if dropped:
            assert first <= dropped < first + 5000
            first = dropped + 1
    for _ in range(60_000 // 4096 + 1):
        first = max(first, ends.turn([], 0) + 1)
    assert first == allowed + 1


@pytest.mark.requirement("C-JOURNAL")
async def test_who_reads_while_the_journal_is_written_sees_whole_commits(journal: Ends) -> None:
    async def write() -> None:
        for first in range(1, 4001, 40):
            await journal.writer.commit(rows(first, first + 39), drop_to=first - 400)

    writing = asyncio.create_task(write())
    looks = 0
    while not writing.done():
        if seqs := [row.seq for row in await journal.reader.tail()]:
            assert seqs[-1] % 40 == 0
            assert seqs == list(range(seqs[0], seqs[-1] + 1))
        looks += 1
    await writing
    assert looks > 1


async def test_a_journal_that_is_none_cannot_be_read(journal_url: str) -> None:
    reader = open_reading(journal_url)
    with pytest.raises(JournalError):
        await reader.tail()
    # As soon as there is one, it can.
    writer = open_writing(journal_url)
    await writer.open()
    assert await reader.tail() == []
    await reader.close()
    await writer.close()


# --- months -------------------------------------------------------------------------------------


async def test_a_month_is_made_ahead_once(journal: Ends) -> None:
    await journal.archivist.make_month(NEXT)
    await journal.archivist.make_month(MONTH)
    await journal.archivist.store(Month(MONTH, 1, 2), [block(1, 2)])
    await journal.archivist.make_month(MONTH)
    assert await journal.reader.months() == [Month(MONTH, 1, 2), Month(NEXT)]
    assert await journal.reader.block_keys(NEXT) == []
    assert len(await journal.reader.block_keys(MONTH)) == 1


@pytest.mark.requirement("C-JOURNAL")
async def test_blocks_are_found_as_they_were_stored(journal: Ends) -> None:
    blocks = [block(first, first + 9) for first in range(1, 101, 10)]
    month = Month(MONTH, 1, 100, 5, 6, 7, 8, 9, 0)
    await journal.archivist.make_month(MONTH)
    await journal.archivist.store(month, blocks[:6])
    await journal.archivist.store(month, blocks[6:])
    reader = journal.reader
    assert await reader.months() == [month]
    assert await reader.block_keys(MONTH) == [each.key for each in blocks]
    assert await reader.blocks(MONTH, [31, 5, 1, 991]) == [blocks[0], blocks[3]]
    assert await reader.blocks(MONTH, []) == []
    assert await reader.blocks(MONTH, range(1, 2000)) == blocks
    assert await reader.blocks_after(MONTH, 11, 3) == blocks[2:5]
    assert await reader.blocks_after(MONTH, 91, 3) == []


async def test_the_index_is_found_as_it_was_stored(journal: Ends) -> None:
    segments = [Segment(1, 0, 3, 10), Segment(2, 1, 1, 2**40)]
    pages = [page(1, 0, ""), page(1, 1, "text:ÅÄÖ 車"), page(1, 2), page(2, 0)]
    await journal.archivist.make_month(MONTH)
    await journal.archivist.store(Month(MONTH), (), segments, pages)
    reader = journal.reader
    assert await reader.segments(MONTH) == segments
    assert await reader.first_terms(MONTH) == [each[:3] for each in pages]
    assert await reader.pages(MONTH, [(2, 0), (1, 1), (1, 7), (3, 0)]) == [pages[1], pages[3]]
    assert await reader.pages(MONTH, []) == []
    assert await reader.pages(MONTH, list(itertools.product(range(4), range(400)))) == pages


async def test_what_is_stored_again_is_replaced(journal: Ends) -> None:
    archivist = journal.archivist
    await archivist.make_month(MONTH)
    await archivist.store(Month(MONTH, 1, 20), [block(1, 10), block(11, 20)], [Segment(1, 0, 1, 5)], [page(1, 0)])
    longer, other = block(11, 30), page(1, 0, "key:QW")
    await archivist.store(Month(MONTH, 1, 30), [longer], [Segment(1, 0, 1, 9)], [other])
    assert [key.last for key in await journal.reader.block_keys(MONTH)] == [10, 30]
    assert await journal.reader.blocks(MONTH, [11]) == [longer]
    assert await journal.reader.segments(MONTH) == [Segment(1, 0, 1, 9)]
    assert await journal.reader.pages(MONTH, [(1, 0)]) == [other]
    assert await journal.reader.months() == [Month(MONTH, 1, 30)]


async def test_segments_that_were_merged_go_with_their_pages(journal: Ends) -> None:
    archivist = journal.archivist
    await archivist.make_month(MONTH)
    await archivist.store(
        Month(MONTH), (), [Segment(n, 0, 2, 5) for n in (1, 2, 3)], [page(n, p) for n in (1, 2, 3) for p in (0, 1)]
    )
    merged = [page(4, 0), page(4, 1)]
    await archivist.store(Month(MONTH), (), [Segment(4, 1, 2, 10)], merged, replaced=[1, 2])
    assert [segment.number for segment in await journal.reader.segments(MONTH)] == [3, 4]
    assert [place[:2] for place in await journal.reader.first_terms(MONTH)] == [(3, 0), (3, 1), (4, 0), (4, 1)]
    assert await journal.reader.pages(MONTH, [(1, 0), (4, 0), (4, 1)]) == merged


async def test_a_store_that_was_interrupted_can_be_done_again(journal: Ends) -> None:
    archivist = journal.archivist
    await archivist.make_month(MONTH)
    month, blocks, pages = Month(MONTH, 1, 40), [block(1, 20), block(21, 40)], [page(1, 0), page(1, 1)]
    storing = asyncio.create_task(archivist.store(month, blocks, [Segment(1, 0, 2, 2)], pages))
    await asyncio.sleep(0)
    storing.cancel()
    await asyncio.gather(storing, return_exceptions=True)
    assert len(await journal.reader.block_keys(MONTH)) in (0, 2)
    await archivist.store(month, blocks, [Segment(1, 0, 2, 2)], pages)
    assert await journal.reader.blocks(MONTH, [1, 21]) == blocks
    assert await journal.reader.pages(MONTH, [(1, 0), (1, 1)]) == pages
    assert await journal.reader.months() == [month]


async def test_what_a_month_is_can_be_changed(journal: Ends) -> None:
    await journal.archivist.make_month(MONTH)
    sealed = Month(MONTH, 1, 10, sealed=7)
    await journal.archivist.put_month(sealed)
    await journal.archivist.put_month(Month(NEXT, 11))
    assert await journal.reader.months() == [sealed, Month(NEXT, 11)]


@pytest.mark.requirement("C-JOURNAL")
async def test_a_dropped_month_gives_its_space_back_and_hurts_no_other(journal: Ends) -> None:
    archivist = journal.archivist
    for month in (MONTH, NEXT):
        await archivist.make_month(month)
        await archivist.store(Month(month, 1, 990), [block(first, first + 9) for first in range(1, 991, 10)])
    before = await archivist.size()
    assert await journal.reader.block_keys(MONTH)
    assert await archivist.drop_month(MONTH) > 200_000
    after = await archivist.size()
    assert before[str(MONTH)] > 200_000 and after[str(MONTH)] == 0
    assert after[str(NEXT)] == before[str(NEXT)]
    for end in (journal.reader, archivist):
        with pytest.raises(MonthUnreadable, match=str(MONTH)) as caught:
            await end.block_keys(MONTH)
        assert caught.value.month == MONTH
        assert len(await end.block_keys(NEXT)) == 99
    assert [month.month for month in await journal.reader.months()] == [MONTH, NEXT]
    with pytest.raises(MonthUnreadable):
        await archivist.store(Month(MONTH), [block(1, 2)])
    assert await archivist.drop_month(MONTH) == 0
    # A month can be restored.
    await archivist.make_month(MONTH)
    await archivist.store(Month(MONTH, 1, 2), [block(1, 2)])
    assert len(await journal.reader.block_keys(MONTH)) == 1


async def test_a_month_is_dropped_while_it_is_being_read(journal: Ends) -> None:
    archivist = journal.archivist
    for month in (MONTH, NEXT):
        await archivist.make_month(month)
        await archivist.store(Month(month, 1, 990), [block(first, first + 9) for first in range(1, 991, 10)])

    async def read() -> int:
        for count in itertools.count():
            try:
                assert len(await journal.reader.blocks_after(MONTH, 0, 99)) == 99
            except MonthUnreadable:
                return count
        raise AssertionError

    reading = [asyncio.create_task(read()) for _ in range(6)]
    for _ in range(20):
        await journal.reader.block_keys(MONTH)
    await archivist.drop_month(MONTH)
    assert sum(await asyncio.gather(*reading)) > 0
    assert len(await journal.reader.block_keys(NEXT)) == 99


async def test_a_month_that_never_was_cannot_be_read(journal: Ends) -> None:
    for asked in (
        journal.reader.block_keys(MONTH),
        journal.reader.blocks(MONTH, [1]),
        journal.reader.blocks_after(MONTH, 0, 1),
        journal.reader.segments(MONTH),
        journal.reader.first_terms(MONTH),
        journal.reader.pages(MONTH, [(1, 1)]),
    ):
        with pytest.raises(MonthUnreadable):
            await asked


async def test_more_months_are_read_than_are_kept_open(journal: Ends) -> None:
    months = [year * 100 + month for year in range(2021, 2027) for month in range(1, 13)]
    for month in months:
        await journal.archivist.make_month(month)
        await journal.archivist.store(Month(month, month, month), [block(month, month)])
    for _ in range(2):
        found = await asyncio.gather(*(journal.reader.block_keys(month) for month in months))
        assert [keys[0].first for keys in found] == months


# --- holds and sizes ----------------------------------------------------------------------------


async def test_holds_are_numbered_and_kept_when_released(journal: Ends) -> None:
    archivist = journal.archivist
    hold = Hold(0, "case 4711", MONTH, "", 1, "auditor", "subpoena")
    by_criteria = Hold(0, "case 4712", 0, '{"user":"J40217"}', 2, "auditor", "é")
    assert [await archivist.put_hold(hold), await archivist.put_hold(by_criteria)] == [1, 2]
    released = hold._replace(number=1, released_at=9, released_by="counsel")
    assert await archivist.put_hold(released) == 1
    assert await journal.reader.holds() == [released, by_criteria._replace(number=2)]
    assert await archivist.put_hold(hold) == 3


async def test_the_size_is_told_by_what_takes_it(journal: Ends) -> None:
    await journal.archivist.make_month(MONTH)
    await journal.writer.commit(rows(1, 2000), checkpoints=[checkpoint(n, n) for n in range(1, 2000)])
    size = await journal.archivist.size()
    assert set(size) == {"tail", "checkpoint", str(MONTH)}
    assert size["tail"] > 400_000 and size["checkpoint"] > 150_000 and size[str(MONTH)] > 0


# --- opening ------------------------------------------------------------------------------------


def test_nobody_on_sqlite_waits_for_the_driver_of_postgresql() -> None:
    script = """
import sys
from msc.journal.database import opening
for end in (opening.open_writing, opening.open_reading, opening.open_archiving):
    end("sqlite+aiosqlite:///nowhere.db")
assert "asyncpg" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize("leave", ["open_reading", "open_archiving"])
def test_a_command_that_forgets_to_close_a_journal_ends_all_the_same(journal_url: str, leave: str) -> None:
    script = f"""
import asyncio
from msc.journal.database import opening
async def main():
    writer = opening.open_writing({journal_url!r})
    await writer.open()
    end = opening.{leave}({journal_url!r})
    assert await end.months() == []
asyncio.run(main())
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=20)


@pytest.mark.parametrize("url", ["mysql://localhost/journal", "nonsense", "sqlite+aiosqlite://"])
def test_a_journal_stands_only_where_it_can(url: str) -> None:
    for opening in (open_writing, open_reading, open_archiving):
        with pytest.raises(JournalError):
            opening(url)


@pytest.mark.requirement("C-JOURNAL", "F-AUPROT")
async def test_there_is_one_archivist_at_a_time(journal: Ends) -> None:
    other = open_archiving(journal.url)
    await journal.archivist.claim()
    await journal.archivist.claim()
    with pytest.raises(JournalError, match="another process"):
        await other.claim()
    assert await other.months() == [], "whoever keeps the journal needs no place of its own"
    await journal.archivist.close()
    await other.claim()
    with pytest.raises(JournalError, match="another process"):
        await journal.archivist.claim()
    await other.close()
