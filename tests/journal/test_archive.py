"""The archivist: from the tail into the months' blocks, whatever interrupts it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from msc import clock
from msc.errors import JournalError
from msc.journal import archive, block
from msc.journal.archive import Archivist, month_after
from msc.journal.block import unpack
from msc.journal.criteria import AuditCriteria, Criteria
from msc.journal.database.layout import Month, TailRow
from msc.journal.proof.chain import MARK_BYTES, leaf_of
from msc.journal.proof.checkpoint import Statement
from msc.journal.reader import JournalReader
from msc.journal.record import AuditRecord
from msc.journal.reindex import reindex
from msc.journal.search import Searcher
from msc.transit.event import Event, Life
from msc.transit.message import MessageRecord
from tests.support.both_ends import BothEnds
from tests.support.journal_builder import DAY, JournalBuilder

OCTOBER, NOVEMBER, DECEMBER = 202610, 202611, 202612


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make blocks and tiers small, so that a few records fill several of each."""
    monkeypatch.setattr(block, "RECORDS", 16)
    monkeypatch.setattr(archive, "FAN_OUT", 3)


@pytest.fixture
async def journal(journal_url: str) -> AsyncIterator[BothEnds]:
    """A new journal, opened."""
    ends = BothEnds(journal_url)
    await ends.open()
    yield ends
    await ends.close()


@pytest.fixture
def builder(journal: Any) -> JournalBuilder:
    return JournalBuilder(journal)


async def held(journal: Any) -> dict[int, Month]:
    """Return the months that hold something."""
    return {month.month: month for month in await journal.months() if month.last}


async def in_blocks(journal: Any) -> list[TailRow]:
    """Return all records that stand in blocks, in order; the link of the last of each block."""
    rows = []
    for month in await held(journal):
        for packed in await journal.blocks_after(month, 0, 10_000):
            bodies = unpack(packed)
            assert packed.marks == b"".join(leaf_of(body)[:MARK_BYTES] for body in bodies)
            rows += [TailRow(seq, body, b"") for seq, body in enumerate(bodies, packed.key.first)]
            rows[-1] = rows[-1]._replace(link=packed.link)
    return rows


def linked(rows: Sequence[TailRow], packed: Sequence[TailRow]) -> list[TailRow]:
    """Return rows with the links that blocks keep."""
    return [row if kept.link else row._replace(link=b"") for row, kept in zip(rows, packed, strict=True)]


async def all_msns(journal: Any, **criteria: Any) -> list[int]:
    return await Searcher(JournalReader(journal)).search(Criteria(**criteria)).all_msns()


# --- packing ------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("C-JOURNAL", "F-AUPROT")
async def test_what_is_covered_by_a_checkpoint_is_packed_byte_for_byte_and_may_then_be_dropped(
    journal: Any, builder: JournalBuilder
) -> None:
    await builder.fill("2026-10-29", days=6, per_day=8)
    stated = await journal.tail()
    later = clock.parse_rfc3339("2026-11-10")
    await builder.enter([AuditRecord(later, "x")])
    builder.stated_at = builder.now
    await builder.enter([AuditRecord(later + 1, "x")])
    covered = (await journal.last_checkpoint()).seq
    archived = await Archivist(journal).step(at_least=1)
    assert archived == covered >= len(stated)
    packed = await in_blocks(journal)
    assert packed == linked((await journal.tail())[:archived], packed)
    await journal.commit([], drop_to=archived)
    assert [row.seq for row in await journal.tail()] == list(range(archived + 1, builder.ledger.seq + 1))


async def test_too_little_is_left_in_the_tail(journal: Any, builder: JournalBuilder) -> None:
    await builder.fill("2026-11-03", per_day=4)
    archivist = Archivist(journal)
    assert await archivist.step(at_least=builder.ledger.seq + 1) == 0
    assert await archivist.step(at_least=builder.ledger.seq) == builder.ledger.seq
    assert await archivist.step(at_least=1) == builder.ledger.seq


async def test_a_new_journal_gives_the_archivist_nothing_to_do(journal: Any) -> None:
    assert await Archivist(journal).step() == 0
    this = clock.month_of(clock.wall_us())
    assert [month.month for month in await journal.months()] == [this, month_after(this)]


@pytest.mark.parametrize(("month", "next_one"), [(202611, 202612), (202612, 202701), (202701, 202702)])
def test_a_month_follows_the_other(month: int, next_one: int) -> None:
    assert month_after(month) == next_one


async def test_a_run_of_more_than_memory_holds_is_packed_in_several(
    journal: Any, builder: JournalBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "RUN_MAX", 50)
    await builder.fill("2026-10-29", days=6, per_day=8)
    archivist, steps = Archivist(journal), []
    while (archived := await archivist.step(at_least=1)) not in steps:
        steps.append(archived)
    assert steps == [*range(50, builder.ledger.seq, 50), builder.ledger.seq]
    packed = await in_blocks(journal)
    assert packed == linked(await journal.tail(), packed)


@pytest.mark.requirement("F-AUPROT")
async def test_a_tail_that_does_not_go_on_from_the_blocks_is_told(journal: Any, builder: JournalBuilder) -> None:
    await builder.fill("2026-11-03", per_day=4)
    await journal.commit([], drop_to=3)
    with pytest.raises(JournalError, match="record 0"):
        await Archivist(journal).step(at_least=1)
    assert await held(journal) == {}


# --- months -------------------------------------------------------------------------------------------------------


async def sealed_at(journal: Any) -> dict[int, int]:
    """Return the last records of the months that were sealed, and the checkpoints that say so."""
    return {row.seq: row.number for row in await journal.checkpoints() if row.statement == Statement.SEALED}


@pytest.mark.requirement("F-AUPROT", "C-KEEP3")
@pytest.mark.parametrize("packed_at", ["once", "the end of each month", "now and then"])
async def test_each_record_stands_in_its_month_and_a_month_that_is_over_names_its_seal(
    journal: Any, builder: JournalBuilder, packed_at: str
) -> None:
    archivist = Archivist(journal)
    for number, day in enumerate(("2026-10-30", "2026-11-01", "2026-11-30", "2026-12-01")):
        await builder.fill(day, days=1, per_day=4)
        if packed_at == "the end of each month" or (packed_at == "now and then" and number == 1):
            # At a month's end nothing says yet that this was its last record.
            await journal.commit([], drop_to=await archivist.step(at_least=1))
        archivist = Archivist(journal) if number == 2 else archivist
    await archivist.step(at_least=1)
    months, seals = await held(journal), await sealed_at(journal)
    assert list(months) == [OCTOBER, NOVEMBER, DECEMBER]
    october, november, december = months.values()
    assert (october.first, november.first, december.first) == (1, october.last + 1, november.last + 1)
    assert december.last == builder.ledger.seq
    assert (october.sealed, november.sealed, december.sealed) == (seals[october.last], seals[november.last], 0)
    assert (october.first_msn, december.last_msn) == (1, builder.msn)
    assert october.last_msn + 1 == november.first_msn and november.last_msn + 1 == december.first_msn
    for month in months.values():
        assert {clock.month_of(month.first_at), clock.month_of(month.last_at)} == {month.month}
    # A month that is over has one segment: it is looked up in one place.
    assert [len(await journal.segments(month)) for month in (OCTOBER, NOVEMBER)] == [1, 1]


@pytest.mark.requirement("F-CLOCK")
async def test_a_clock_that_is_set_back_reopens_no_month(journal: Any, builder: JournalBuilder) -> None:
    november = clock.parse_rfc3339("2026-11-01")
    ats = [november - 5, november, november - 4, november + 1]
    await builder.enter([AuditRecord(at, "x") for at in ats], state=True)
    await Archivist(journal).step(at_least=1)
    months = await held(journal)
    assert [(m.month, m.first, m.last) for m in months.values()] == [(OCTOBER, 1, 1), (NOVEMBER, 2, 4)]
    assert (months[NOVEMBER].first_at, months[NOVEMBER].last_at) == (november - 4, november + 1)
    search = Searcher(JournalReader(journal)).audit(AuditCriteria(until_us=november))
    assert [stored.seq async for stored in search.records() if stored is not None] == [3, 1]


# --- the index ----------------------------------------------------------------------------------------------------


@pytest.mark.requirement("C-JOURNAL")
async def test_segments_are_merged_and_find_all_they_found_before(journal: Any, builder: JournalBuilder) -> None:
    archivist, most = Archivist(journal), 0
    for step in range(14):
        at = clock.parse_rfc3339("2026-11-02") + step * DAY
        inquiry = await builder.transact(at, state=True)
        await builder.transact(at + DAY // 2, state=True)
        # Late: of a message that an earlier segment holds.
        await builder.enter([Event(max(1, inquiry - 8), builder.now, Life.RETURNED, "device:T99")], state=True)
        await builder.state()
        await archivist.step(at_least=1)
        segments = await journal.segments(NOVEMBER)
        most = max(most, len(segments))
        assert await all_msns(journal) == list(range(1, builder.msn + 1))
        assert await all_msns(journal, kind="inquiry") == list(range(1, builder.msn + 1, 2))
        returned = {max(1, 4 * n + 1 - 8) for n in range(step + 1)}
        assert await all_msns(journal, device="T99") == sorted(returned)
    assert most <= 6, "of each tier fewer than are merged"
    assert max(segment.tier for segment in segments) == 2


@pytest.mark.requirement("C-JOURNAL", "C-TRAFFIC")
async def test_an_event_that_came_a_month_late_is_found_with_its_message(
    journal: Any, builder: JournalBuilder
) -> None:
    archivist = Archivist(journal)
    await builder.fill("2026-10-30", per_day=3)
    await archivist.step(at_least=1)
    late = clock.parse_rfc3339("2026-11-02")
    for n, life in enumerate((Life.RETURNED, Life.OPERATOR_QUEUE)):
        await builder.enter([Event(2, late + n, life, "device:T50", {"why": "late"})], state=True)
        await archivist.step(at_least=1)
        searcher = Searcher(JournalReader(journal))
        [entry] = [e async for e in searcher.search(Criteria(device="T50", outcome=life)).entries() if e]
        assert entry.message.msn == 2
        assert [e.at for e in entry.events if e.facts.get("why") == "late"] == [late, late + 1][: n + 1]


# --- interrupted --------------------------------------------------------------------------------------------------


class Failing:
    """A database of which one write fails: before it is stored, or as far as its caller knows.

    Attributes:
        fails_at: Which of them; 0 for none.
        writes: How many writes were asked for.
    """

    def __init__(self, under: Any, fails_at: int, *, stored: bool) -> None:
        self._under = under
        self.fails_at = fails_at
        self._stored = stored
        self.writes = 0

    def __getattr__(self, name: str) -> Any:
        if name not in ("store", "put_month"):
            return getattr(self._under, name)

        async def write(*arguments: Any) -> None:
            self.writes += 1
            if self.writes != self.fails_at:
                return await getattr(self._under, name)(*arguments)
            if self._stored:
                await getattr(self._under, name)(*arguments)
            raise JournalError("interrupted")

        return write


@pytest.mark.requirement("C-JOURNAL", "F-AUPROT")
@pytest.mark.parametrize("stored", [True, False], ids=["after it was stored", "before"])
@pytest.mark.parametrize("fails_at", range(1, 5))
async def test_what_was_interrupted_is_done_again_and_nothing_is_lost_or_stands_twice(
    journal: Any, builder: JournalBuilder, fails_at: int, stored: bool
) -> None:
    archivist = Archivist(journal)
    await builder.fill("2026-10-29", days=2, per_day=6)
    await archivist.step(at_least=1)
    await builder.fill("2026-10-31", days=3, per_day=6)
    # Of a message of the month before.
    await builder.enter([Event(2, builder.now, Life.RETURNED, "device:T50")], state=True)
    failing = Failing(journal, fails_at, stored=stored)
    interrupted = Archivist(failing)  # type: ignore[arg-type]
    try:
        await interrupted.step(at_least=1)
    except JournalError:
        assert failing.writes == fails_at
    failing.fails_at = 0
    # Meanwhile, nothing of it was dropped, more came, and the process may have been started anew.
    assert await all_msns(journal) == list(range(1, builder.msn + 1))
    await builder.fill("2026-11-04", days=1, per_day=3)
    for again in (interrupted, Archivist(journal)):
        archived = await again.step(at_least=1)
    assert archived == builder.ledger.seq
    packed = await in_blocks(journal)
    assert packed == linked(await journal.tail(), packed)
    await journal.commit([], drop_to=archived)
    assert await all_msns(journal) == list(range(1, builder.msn + 1))
    assert await all_msns(journal, device="T50") == [2]
    searcher = Searcher(JournalReader(journal))
    await searcher.refresh()
    for entry in (await searcher.entries(range(1, builder.msn + 1))).values():
        lives = [(event.event, event.destination) for event in entry.events]
        assert len(set(lives)) == len(lives), "no event stands twice"
        assert lives[0] == (Life.RECEIVED, None)
        assert len(lives) == (4 if entry.message.kind == "inquiry" else 4 + (entry.message.msn == 2))
    months, seals = await held(journal), await sealed_at(journal)
    assert {month.month: month.sealed for month in months.values()} == {
        OCTOBER: seals[months[OCTOBER].last], NOVEMBER: 0,
    }  # fmt: skip


@pytest.mark.requirement("C-JOURNAL")
async def test_a_second_archivist_waits_until_the_first_is_gone(journal_url: str, journal: Any) -> None:
    builder = JournalBuilder(journal)
    await builder.fill("2026-11-03", per_day=4)
    await Archivist(journal).step(at_least=1)
    other = BothEnds(journal_url)
    second = Archivist(other)
    with pytest.raises(JournalError, match="another process"):
        await second.step(at_least=1)
    with pytest.raises(JournalError, match="another process"):
        await reindex(other)  # type: ignore[arg-type]
    await journal.archiving.close()
    assert await second.step(at_least=1) == builder.ledger.seq
    await other.close()


# --- beside the traffic -------------------------------------------------------------------------------------------


@pytest.mark.requirement("C-JOURNAL")
async def test_it_packs_while_the_writer_writes_and_everything_is_found_at_any_moment(
    journal: Any, builder: JournalBuilder
) -> None:
    archivist, searcher = Archivist(journal), Searcher(JournalReader(journal))
    at, done = clock.parse_rfc3339("2026-10-31T23:00:00Z"), asyncio.Event()

    async def write() -> None:
        for n in range(60):
            await builder.transact(at + n * 120_000_000, state=n % 3 == 0)
        await builder.state()
        done.set()

    async def pack() -> None:
        while not done.is_set():
            await journal.commit([], drop_to=await archivist.step(at_least=10))

    async def look() -> None:
        seen = 0
        while not done.is_set():
            before = builder.msn
            msns = await searcher.search(Criteria()).all_msns()
            assert msns == list(range(1, len(msns) + 1)) and len(msns) >= max(seen, before - 2)
            seen = len(msns)

    # The writer makes its commits one after the other, those that drop what was archived among them.
    lock, commit = asyncio.Lock(), journal.commit

    async def one_by_one(*arguments: Any, **members: Any) -> None:
        async with lock:
            await commit(*arguments, **members)

    journal.commit = one_by_one
    await asyncio.gather(write(), pack(), look(), look())
    assert await all_msns(journal) == list(range(1, builder.msn + 1))
    message = (await searcher.entries([1]))[1].message
    assert isinstance(message, MessageRecord)
