"""Reading records: what does not change is kept, and what does is looked at anew."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings

from msc import clock
from msc.journal import archive, block
from msc.journal import reader as reader_module
from msc.journal.archive import Archivist
from msc.journal.criteria import AuditCriteria, Criteria
from msc.journal.database.layout import MonthUnreadable
from msc.journal.proof.canonical import decode
from msc.journal.reader import JournalReader
from msc.journal.record import StepsRecord
from msc.journal.search import Searcher
from msc.journal.stats import Statistics
from msc.transit.event import Event, Life
from tests.journal.test_search import RANDOM, SIZES, small
from tests.support.both_ends import BothEnds
from tests.support.journal_builder import DAY, JournalBuilder
from tests.support.living_journal import LivingJournal
from tests.support.memory_journal import MemoryJournal

__all__ = ["small"]


class Counting:
    """A reading end that counts what it is asked."""

    def __init__(self, under: Any) -> None:
        self._under = under
        self.asked: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        async def read(*arguments: Any) -> Any:
            self.asked[name] += 1
            return await getattr(self._under, name)(*arguments)

        return read


async def three_months(journal: Any) -> JournalBuilder:
    """Make a journal of three months, the last of them partly in the tail."""
    builder = JournalBuilder(journal)
    archivist = Archivist(journal)
    for day in ("2026-09-05", "2026-10-05", "2026-11-05"):
        await builder.fill(day, days=3, per_day=6)
        await journal.commit([], drop_to=await archivist.step(at_least=1))
    await builder.fill("2026-11-20", per_day=6)
    return builder


# --- in order of time ---------------------------------------------------------------------------------------------


@pytest.mark.requirement("F-BACKUP", "C-JOURNAL")
@settings(max_examples=40)
@given(SIZES, RANDOM)
def test_records_from_a_time_on_come_in_their_order_wherever_they_stand(size: int, random: Random) -> None:
    async def check() -> None:
        journal = LivingJournal(size, random)
        while journal.left:
            await journal.live()
        everything = [stored async for stored in JournalReader(journal.database).records_since(0)]
        assert [stored.seq for stored in everything] == list(range(1, journal.seq + 1))
        since = random.choice([*journal.times(), 0])
        found = [stored async for stored in JournalReader(journal.database).records_since(since)]
        assert [stored.seq for stored in found] == sorted({stored.seq for stored in found})
        wanted = [
            s for s in everything if (s.record.received if hasattr(s.record, "received") else s.record.at) >= since
        ]
        assert {stored.seq for stored in wanted} <= {stored.seq for stored in found}

    asyncio.run(check())


# --- what is kept -------------------------------------------------------------------------------------------------


async def test_a_second_search_reads_nothing_again_but_the_journals_end() -> None:
    journal = MemoryJournal()
    await three_months(journal)
    counting = Counting(journal)
    searcher = Searcher(JournalReader(counting))  # type: ignore[arg-type]
    first = [entry async for entry in searcher.search(Criteria(kind="inquiry")).entries() if entry]
    assert counting.asked["blocks"] and counting.asked["pages"] and counting.asked["first_terms"]
    counting.asked.clear()
    assert [entry async for entry in searcher.search(Criteria(kind="inquiry")).entries() if entry] == first
    assert set(counting.asked) == {"tail", "months"}


async def test_no_more_blocks_are_kept_than_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_module, "_BLOCKS_KEPT", 5)
    journal = MemoryJournal()
    builder = await three_months(journal)
    reader = JournalReader(journal)
    await reader.refresh()
    assert sorted(await reader.messages(range(1, builder.msn + 1))) == list(range(1, builder.msn + 1))
    assert len(reader._unpacked) <= 5


async def test_the_tail_lets_go_of_what_stands_in_blocks() -> None:
    journal = MemoryJournal()
    builder = await three_months(journal)
    reader = JournalReader(journal)
    await reader.refresh()
    assert len(reader.tail.records) == builder.ledger.seq - reader.archived > 0
    # Also where the writer has not dropped it yet.
    await Archivist(journal).step(at_least=1)
    await reader.refresh()
    assert (reader.archived, len(reader.tail.records)) == (builder.ledger.seq, 0)
    assert not reader.tail.messages and not reader.tail.steps
    # And where many look at once.
    await builder.fill("2026-11-25", per_day=6)
    await asyncio.gather(*(reader.refresh() for _ in range(5)))
    rows = [decode(row.body) for row in await journal.tail(reader.archived)]
    assert list(reader.tail.records.values()) == rows
    assert sum(map(len, reader.tail.steps.values())) == sum(isinstance(row.record, StepsRecord) for row in rows)


# --- a month that cannot be read ------------------------------------------------------------------------------------


@pytest.mark.requirement("C-JOURNAL", "F-AUPROT")
@pytest.mark.parametrize("oldest", [False, True])
async def test_a_month_that_cannot_be_read_is_named_and_the_others_are_searched(oldest: bool) -> None:
    journal = MemoryJournal()
    builder = await three_months(journal)
    journal.unreadable = {202610}
    searcher = Searcher(JournalReader(journal))
    october = range(37, 73)
    readable = [msn for msn in range(1, builder.msn + 1) if msn not in october]

    search = searcher.search(Criteria(), oldest=oldest)
    found = [entry.message.msn async for entry in search.entries() if entry]
    assert found == (readable if oldest else readable[::-1])
    told = {"complete": False, "searched": [202609, 202610, 202611], "unreadable": [202610]}
    assert search.completeness() == told
    audit = searcher.audit(AuditCriteria(), oldest=oldest)
    async for _ in audit.records():
        pass
    assert audit.completeness() == told
    statistics = Statistics(searcher, Criteria(), "day")
    async for _ in statistics.run():
        pass
    assert (statistics.total, statistics.search.completeness()) == (len(readable), told)

    journal.unreadable = set()
    search = searcher.search(Criteria(), oldest=oldest)
    assert len([entry async for entry in search.entries() if entry]) == builder.msn
    assert search.completeness()["complete"]


@pytest.mark.requirement("C-JOURNAL")
async def test_a_month_whose_blocks_go_while_it_is_searched_is_named() -> None:
    journal = MemoryJournal()
    builder = await three_months(journal)
    searcher = Searcher(JournalReader(journal))
    search = searcher.search(Criteria(kind="inquiry"), oldest=True)
    entries = search.entries()
    first = await anext(entries)
    assert first is not None and first.message.msn == 1
    journal.unreadable = {202609, 202610}
    rest = [entry.message.msn async for entry in entries if entry]
    assert search.completeness()["unreadable"] == [202609, 202610]
    assert [msn for msn in rest if msn > 72] == [msn for msn in range(73, builder.msn + 1) if msn % 2]


@pytest.mark.requirement("C-JOURNAL", "F-AUPROT")
async def test_so_is_one_whose_file_is_gone(tmp_path: Path) -> None:
    journal = BothEnds(f"sqlite+aiosqlite:///{tmp_path / 'journal.db'}")
    await journal.open()
    await three_months(journal)
    (tmp_path / "journal" / "2026-10.db").unlink()
    search = Searcher(JournalReader(journal)).search(Criteria())  # type: ignore[arg-type]
    assert len([entry async for entry in search.entries() if entry]) > 50
    assert search.completeness() == {
        "complete": False, "searched": [202609, 202610, 202611], "unreadable": [202610],
    }  # fmt: skip
    await journal.close()


async def test_a_month_that_was_deleted_is_no_longer_searched_and_hurts_no_search_under_way() -> None:
    journal = MemoryJournal()
    builder = await three_months(journal)
    searcher = Searcher(JournalReader(journal))
    search = searcher.search(Criteria(since_us=0), oldest=True)
    entries = search.entries()
    await anext(entries)
    september = journal.all_months[202609]
    await journal.put_month(september._replace(deleted=99))
    await journal.drop_month(202609)
    october = journal.all_months[202610]
    await journal.put_month(october._replace(deleted=100))
    await journal.drop_month(202610)
    await searcher.refresh()
    rest = [entry.message.msn async for entry in entries if entry]
    assert [msn for msn in rest if msn > 72] == list(range(73, builder.msn + 1))
    again = searcher.search(Criteria(), oldest=True)
    assert [entry.message.msn async for entry in again.entries() if entry] == list(range(73, builder.msn + 1))
    assert again.completeness() == {"complete": True, "searched": [202611], "unreadable": []}
    with pytest.raises(MonthUnreadable):
        await searcher.reader.keys(202610)


# --- pages that go ----------------------------------------------------------------------------------------------


async def test_a_search_whose_pages_were_merged_meanwhile_reads_the_directory_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(archive, "FAN_OUT", 99)
    monkeypatch.setattr(block, "RECORDS", 8)
    journal = MemoryJournal()
    builder, archivist = JournalBuilder(journal), Archivist(journal)
    start = clock.parse_rfc3339("2026-11-05")
    for n in range(12):
        await builder.transact(start + n * DAY // 8, state=True)
        await builder.enter([Event(1, builder.now + n, Life.RETURNED, f"device:T{50 + n}")], state=True)
        await archivist.step(at_least=1)
    assert len(await journal.segments(202611)) > 10

    class Merging:
        """A reading end beside which the archivist merges just before pages are read."""

        def __init__(self) -> None:
            self.times = 0

        def __getattr__(self, name: str) -> Any:
            return getattr(journal, name)

        async def pages(self, month: int, wanted: Any) -> Any:
            self.times += 1
            if self.times == 1:
                monkeypatch.setattr(archive, "FAN_OUT", 3)
                await archivist._merge(month)
            return await journal.pages(month, wanted)

    merging = Merging()
    searcher = Searcher(JournalReader(merging))  # type: ignore[arg-type]
    [entry] = [entry async for entry in searcher.search(Criteria(outcome="returned")).entries() if entry]
    assert entry.message.msn == 1
    assert [event.destination for event in entry.events if event.event == Life.RETURNED] == [
        f"device:T{50 + n}" for n in range(12)
    ]
    assert merging.times > 1
