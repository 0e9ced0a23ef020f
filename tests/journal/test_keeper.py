"""Holds placed and released, months deleted: signed first, then done, and carried on after a crash at any step."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import date
from typing import Any

import pytest

from msc.errors import JournalError
from msc.journal.criteria import Criteria
from msc.journal.database.layout import CheckpointRow, Month
from msc.journal.keeper import BadHold, NotToBeDeleted, RetentionKeeper
from msc.journal.proof.checkpoint import Statement, read_checkpoint
from msc.journal.proof.deletion import read_deletion
from msc.journal.proof.verification import verify
from msc.journal.retention import months_from
from msc.settings import RetentionSettings
from tests.support.both_ends import BothEnds
from tests.support.journal_builder import JournalBuilder
from tests.support.memory_journal import MemoryJournal

AUTOMATIC = RetentionSettings(automatic=True)
DUE = date(2026, 4, 28)
"""The day on which January, February and March 2023 are due."""
WHEN = 1_777_000_000_000_000


class PowerCut(BaseException):
    """The machine stops here."""


class Fragile:
    """A journal that lasts for some changes more; then one is cut short, before or after it is done."""

    def __init__(self, journal: Any, changes: int, done: bool) -> None:
        self._journal = journal
        self._left = changes
        self._done = done

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._journal, name)
        return self.change(found) if name in ("put_month", "drop_month", "put_hold") else found

    def change(self, function: Any) -> Any:
        async def changed(*arguments: Any) -> Any:
            self._left -= 1
            if self._left < 0:
                if self._done:
                    await function(*arguments)
                raise PowerCut
            return await function(*arguments)

        return changed


class Kept:
    """A journal of records from January 2023 to April 2026, and what keeps it."""

    def __init__(self, journal: Any) -> None:
        self.journal = journal
        self.builder = JournalBuilder(journal)
        self.matching: set[int] = set()
        self.failing = False

    async def fill(self) -> None:
        for month in months_from(202301, 202604):
            await self.builder.fill(f"{month // 100}-{month % 100:02}-25", days=4, per_day=1)
        await self.builder.archive()

    async def state_deletion(self, detail: dict[str, Any]) -> CheckpointRow:
        return await self.builder.state(Statement.DELETED, **detail)

    async def matches_in(self, month: Month, criteria: Criteria) -> bool:
        return month.month in self.matching

    def keeper(self, settings: RetentionSettings = AUTOMATIC) -> RetentionKeeper:
        return RetentionKeeper(self.journal, self.state_deletion, self.matches_in, settings)

    def fragile(self, changes: int, done: bool) -> RetentionKeeper:
        fragile = Fragile(self.journal, changes, done)
        return RetentionKeeper(fragile, fragile.change(self.state_deletion), self.matches_in, AUTOMATIC)

    async def deletions(self) -> list[int]:
        rows = await self.journal.checkpoints(0, 100_000)
        return [read_deletion(read_checkpoint(row.body)).month for row in rows if row.statement == Statement.DELETED]

    async def deleted(self) -> dict[int, int]:
        return {month.month: month.deleted for month in await self.journal.months() if month.deleted}

    async def faults(self) -> list[str]:
        report = await verify(self.journal, self.builder.signatories, now_us=self.builder.now)
        return [finding.text for finding in report.faults]

    async def with_space(self) -> set[int]:
        return {int(name) for name, taken in (await self.journal.size()).items() if name.isdigit() and taken}


@pytest.fixture
async def kept() -> Kept:
    kept = Kept(MemoryJournal())
    await kept.fill()
    return kept


@pytest.fixture
async def stored(journal_url: str) -> AsyncIterator[Kept]:
    """The same in a real database of either kind."""
    journal = BothEnds(journal_url)
    await journal.open()
    kept = Kept(journal)
    await kept.fill()
    yield kept
    await journal.close()


@pytest.mark.requirement("C-TRAFFIC", "F-AUPROT")
async def test_a_month_a_day_goes_oldest_first_and_leaves_a_signed_statement(stored: Kept) -> None:
    keeper = stored.keeper()
    before = await stored.journal.size()
    gone = [(await keeper.run_once(DUE))[0] for _ in range(3)]
    assert [each.month for each in gone] == [202301, 202302, 202303]
    assert [each.bytes_freed for each in gone] == [before[str(each.month)] for each in gone]
    assert await keeper.run_once(DUE) == []
    assert await stored.deleted() == {each.month: each.checkpoint for each in gone}
    assert await stored.deletions() == [202301, 202302, 202303]
    assert await stored.faults() == []
    assert not await stored.with_space() & {202301, 202302, 202303}

    rows = {row.number: row for row in await stored.journal.checkpoints(0, 100_000)}
    months = {month.month: month for month in await stored.journal.months()}
    february = read_deletion(read_checkpoint(rows[gone[1].checkpoint].body))
    seal = read_checkpoint(rows[months[202302].sealed].body)
    january = read_checkpoint(rows[months[202301].sealed].body)
    assert (february.before, february.link, february.root) == (january.link, seal.link, seal.root)
    assert (february.first, february.last, february.count) == (january.seq + 1, seal.seq, seal.seq - january.seq)
    assert (february.by, february.reason) == ("automatic", "kept for 3 years")
    assert stored.builder.signatories.signed(
        rows[gone[1].checkpoint].body, rows[gone[1].checkpoint].signature, seal.key
    )


async def test_nothing_goes_by_itself_where_that_is_not_configured(kept: Kept) -> None:
    assert await kept.keeper(RetentionSettings()).run_once(DUE) == []
    assert await kept.deleted() == {}


@pytest.mark.requirement("C-TRAFFIC", "F-AUPROT")
@pytest.mark.parametrize("done", [False, True])
@pytest.mark.parametrize("changes", range(3))
async def test_a_deletion_that_was_cut_short_is_carried_on(stored: Kept, changes: int, done: bool) -> None:
    with pytest.raises(PowerCut):
        await stored.fragile(changes, done).run_once(DUE)
    # Whatever is gone or marked as gone, a signed statement says so already.
    assert set(await stored.deleted()) <= set(await stored.deletions())
    assert {202301, 202302} <= await stored.with_space() | set(await stored.deletions())

    # Nobody who verifies it in between is alarmed.
    assert await stored.faults() == []

    # It is finished even if no new one may begin, and stated once.
    begun = (changes, done) != (0, False)
    gone = await stored.keeper(RetentionSettings()).run_once(DUE)
    finished = (changes, done) == (2, True)
    assert [each.month for each in gone] == ([202301] if begun and not finished else [])
    assert set(await stored.deleted()) == ({202301} if begun else set())
    assert await stored.deletions() == ([202301] if begun else [])
    assert await stored.faults() == []
    assert (202301 in await stored.with_space()) is not begun
    assert await stored.keeper(RetentionSettings()).run_once(DUE) == []


@pytest.mark.requirement("C-TRAFFIC")
async def test_a_hold_placed_after_a_deletion_was_only_stated_keeps_the_month(kept: Kept) -> None:
    with pytest.raises(PowerCut):
        await kept.fragile(1, False).run_once(DUE)
    keeper = kept.keeper()
    (hold,) = await keeper.place_hold("People v. Roe", WHEN, "CLERK", "subpoena", months=(202301, 202301))
    assert [each.month for each in await keeper.run_once(DUE)] == [202302]
    assert set(await kept.deleted()) == {202302}
    await keeper.release_hold(hold.number, WHEN + 1, "CLERK")
    assert [each.month for each in await keeper.run_once(DUE)] == [202301]


@pytest.mark.requirement("C-TRAFFIC", "C-ACCESS")
async def test_an_administrator_deletes_what_is_due_and_nothing_else(kept: Kept) -> None:
    keeper = kept.keeper(RetentionSettings())
    await keeper.place_hold("People v. Roe", WHEN, "CLERK", "subpoena", months=(202302, 202302))
    for months, why in (([202302], "held: 1"), ([202304], "2026-04-29"), ([202604], "open"), ([202201], "no month")):
        with pytest.raises(NotToBeDeleted, match=why):
            await keeper.delete([202301, *months], DUE, "CHIEF", "space")
    assert await kept.deleted() == {}
    gone = await keeper.delete([], DUE, "CHIEF", "space")
    assert [each.month for each in gone] == [202301, 202303]
    with pytest.raises(NotToBeDeleted, match="deleted already"):
        await keeper.delete([202301], DUE, "CHIEF", "space")
    rows = await kept.journal.checkpoints(gone[0].checkpoint - 1, 1)
    stated = read_deletion(read_checkpoint(rows[0].body))
    assert (stated.by, stated.reason) == ("CHIEF", "space")


@pytest.mark.requirement("C-TRAFFIC")
async def test_what_the_journal_did_not_live_through_goes_by_hand_alone(kept: Kept) -> None:
    keeper = kept.keeper()
    long_after = date(2039, 1, 1)
    for _ in range(6):
        await keeper.run_once(long_after)
    assert set(await kept.deleted()) == {202301, 202302, 202303, 202304}
    await keeper.delete([], long_after, "CHIEF", "the county's retention schedule")
    assert len(await kept.deleted()) == 4
    await keeper.delete([202305], long_after, "CHIEF", "the county's retention schedule")
    assert 202305 in await kept.deleted()


@pytest.mark.requirement("C-TRAFFIC")
async def test_holds_are_placed_listed_and_released(stored: Kept) -> None:
    keeper = stored.keeper()
    months = await keeper.place_hold("People v. Roe", WHEN, "CLERK", "subpoena", months=(202301, 202303))
    sought = Criteria(user="U001", text=("ZZ0001X",))
    by_criteria = await keeper.place_hold("In re Doe", WHEN, "CLERK", "claim", criteria=sought)
    assert [(hold.number, hold.month) for hold in months] == [(1, 202301), (2, 202302), (3, 202303)]
    assert [hold.criteria for hold in by_criteria] == ['{"user":"U001","text":["ZZ0001X"]}']
    assert await stored.journal.holds() == [*months, *by_criteria]
    stored.matching = {202303}
    assert await keeper.run_once(DUE) == []
    await keeper.release_hold(1, WHEN + 5, "COUNSEL")
    assert (await stored.journal.holds())[0] == months[0]._replace(released_at=WHEN + 5, released_by="COUNSEL")
    assert [each.month for each in await keeper.run_once(DUE)] == [202301]


@pytest.mark.requirement("C-TRAFFIC")
async def test_a_hold_that_makes_no_sense_is_refused(kept: Kept) -> None:
    keeper = kept.keeper()
    await keeper.run_once(DUE)
    for refused in (
        {"months": (202301, 202302)},
        {"months": (202313, 202313)},
        {"months": (202302, 202301)},
        {"months": (190001, 209912)},
        {"criteria": Criteria()},
        {"months": (202302, 202302), "criteria": Criteria(user="U001")},
        {},
    ):
        with pytest.raises(BadHold):
            await keeper.place_hold("People v. Roe", WHEN, "CLERK", "subpoena", **refused)
    with pytest.raises(BadHold, match="name"):
        await keeper.place_hold(" ", WHEN, "CLERK", "subpoena", months=(202302, 202302))
    assert await kept.journal.holds() == []
    with pytest.raises(BadHold, match="no hold 1"):
        await keeper.release_hold(1, WHEN, "CLERK")
    await keeper.place_hold("People v. Roe", WHEN, "CLERK", "subpoena", months=(202302, 202302))
    await keeper.release_hold(1, WHEN, "CLERK")
    with pytest.raises(BadHold, match="released by CLERK"):
        await keeper.release_hold(1, WHEN, "CLERK")


@pytest.mark.requirement("C-TRAFFIC")
async def test_a_hold_placed_while_a_month_is_being_deleted_comes_too_late_or_in_time_but_not_between(
    kept: Kept,
) -> None:
    stating, go_on = asyncio.Event(), asyncio.Event()

    async def slow(detail: dict[str, Any]) -> CheckpointRow:
        stating.set()
        await go_on.wait()
        return await kept.state_deletion(detail)

    keeper = RetentionKeeper(kept.journal, slow, kept.matches_in, AUTOMATIC)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(keeper.run_once(DUE))
        await stating.wait()
        placing = asyncio.ensure_future(
            keeper.place_hold("People v. Roe", WHEN, "CLERK", "subpoena", months=(202301, 202301))
        )
        await asyncio.sleep(0)
        go_on.set()
    with pytest.raises(BadHold, match="deleted already: 202301"):
        await placing


async def test_a_journal_that_fails_is_told_and_tried_again(kept: Kept) -> None:
    keeper = kept.keeper()

    async def fails(detail: dict[str, Any]) -> CheckpointRow:
        raise JournalError("the disk is full")

    broken = RetentionKeeper(kept.journal, fails, kept.matches_in, AUTOMATIC)
    with pytest.raises(JournalError, match="full"):
        await broken.run_once(DUE)
    assert await kept.deleted() == {}
    assert [each.month for each in await keeper.run_once(DUE)] == [202301]
