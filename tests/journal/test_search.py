"""Searching a journal that lives: the tail and several months find what looking at every record finds."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msc.journal import archive, block, search, shelf
from msc.journal.criteria import AuditCriteria, Criteria
from msc.journal.reader import Entry, JournalReader
from msc.journal.search import Searcher
from tests.journal.index.records import AUDIT_CRITERIA, CRITERIA
from tests.support.journal import unnumbered
from tests.support.living_journal import DAY, START, LivingJournal

EXAMPLES = int(os.environ.get("MSC_SEARCH_EXAMPLES", "15"))
"""Journals that are searched and looked through; the campaign makes many."""

SIZES = st.integers(1, 80)
RANDOM = st.integers(0, 2**32).map(Random)
"""A seed is drawn, and all else comes of it: a journal is too much to be drawn bit by bit."""


@pytest.fixture(autouse=True, scope="module")
def small() -> Any:
    """Make blocks, pages and tiers small, so that a few records fill several of each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(block, "RECORDS", 4)
        patch.setattr(archive, "FAN_OUT", 3)
        patch.setattr(search, "_PAGE", 3)
        patch.setattr(shelf, "_CHUNK_RECORDS", 5)
        yield


def searcher_of(journal: Any) -> Searcher:
    return Searcher(JournalReader(journal))


def timed(criteria: Any, random: Random, journal: LivingJournal) -> Any:
    """Move what was drawn as a time to one of the journal's."""
    times = [START, *journal.times()]

    def moved(at: int | None) -> int | None:
        return None if at is None else random.choice(times) + random.choice((-DAY, -1, 0, 1))

    return replace(criteria, since_us=moved(criteria.since_us), until_us=moved(criteria.until_us))


async def found_by(searcher: Searcher, criteria: Criteria, *, oldest: bool = False) -> list[Entry]:
    found = searcher.search(criteria, oldest=oldest)
    entries = [entry async for entry in found.entries() if entry is not None]
    assert found.cursor is None
    assert found.completeness()["complete"]
    return entries


async def paged(
    searcher: Searcher, criteria: Criteria, limit: int, *, oldest: bool = False, meanwhile: Any = None
) -> list[int]:
    """Search page by page, each a search of its own."""
    msns: list[int] = []
    cursor: str | None = None
    while True:
        found = searcher.search(criteria, oldest=oldest, cursor=cursor)
        page = [entry.message.msn async for entry in found.entries(limit) if entry is not None]
        msns += page
        assert len(page) <= limit
        cursor = found.cursor
        if cursor is None:
            return msns
        assert len(page) == limit
        if meanwhile is not None:
            await meanwhile()


# --- the journal stands still while it is searched ------------------------------------------------------------


@pytest.mark.requirement("C-JOURNAL", "C-TRAFFIC", "N-SCOPE")
@settings(max_examples=EXAMPLES)
@given(SIZES, st.lists(CRITERIA, min_size=1, max_size=4), RANDOM)
def test_a_search_finds_what_looking_at_every_message_finds(
    size: int, asked: Sequence[Criteria], random: Random
) -> None:
    async def check() -> None:
        journal = LivingJournal(size, random)
        searcher = searcher_of(journal.database)
        while journal.left:
            await journal.live()
            for criteria in (Criteria(), *(timed(each, random, journal) for each in asked)):
                wanted = journal.wanted(criteria)
                found = await found_by(searcher, criteria)
                assert [entry.message.msn for entry in found] == wanted[::-1]
                for entry in found:
                    assert (entry.message, unnumbered(entry.events)) == journal.messages[entry.message.msn]
                assert [e.message.msn for e in await found_by(searcher, criteria, oldest=True)] == wanted
                assert await searcher.search(criteria).all_msns() == wanted
                limit = random.randrange(1, 6)
                assert await paged(searcher, criteria, limit) == wanted[::-1]
                assert await paged(searcher, criteria, limit, oldest=True) == wanted

    asyncio.run(check())


@pytest.mark.requirement("F-AUDIT", "C-ACPLOG", "N-SCOPE")
@settings(max_examples=EXAMPLES)
@given(SIZES, st.lists(AUDIT_CRITERIA, min_size=1, max_size=4), RANDOM)
def test_a_search_finds_what_looking_at_every_audit_event_finds(
    size: int, asked: Sequence[AuditCriteria], random: Random
) -> None:
    async def check() -> None:
        journal = LivingJournal(size, random)
        searcher = searcher_of(journal.database)
        while journal.left:
            await journal.live()
            for criteria in (AuditCriteria(), *(timed(each, random, journal) for each in asked)):
                wanted = journal.wanted_audits(criteria)
                for oldest in (False, True):
                    found = searcher.audit(criteria, oldest=oldest)
                    records = [stored async for stored in found.records() if stored is not None]
                    assert [stored.seq for stored in records] == (wanted if oldest else wanted[::-1])
                    assert all(stored.record == journal.audits[stored.seq] for stored in records)
                    first = searcher.audit(criteria, oldest=oldest)
                    two = [stored.seq async for stored in first.records(2) if stored is not None]
                    rest = searcher.audit(criteria, oldest=oldest, cursor=first.cursor)
                    left = [stored.seq async for stored in rest.records() if stored is not None]
                    assert two == [stored.seq for stored in records[:2]]
                    assert left == [stored.seq for stored in records[2:]] or first.cursor is None

    asyncio.run(check())


# --- the journal lives while it is searched -------------------------------------------------------------------


class Restless:
    """A reading end of a journal that lives between any two reads, and whose end others look at meanwhile."""

    def __init__(self, journal: LivingJournal, how_much: float) -> None:
        self.journal = journal
        self.how_much = how_much
        self.searcher = searcher_of(self)

    def __getattr__(self, name: str) -> Any:
        async def read(*arguments: Any) -> Any:
            answer = await getattr(self.journal.database, name)(*arguments)
            while self.journal.random.random() < self.how_much:
                await self.journal.random.choice((self.journal.live, self.journal.turn_over))()
                # Nobody looks at the end while somebody does.
                if name not in ("tail", "months"):
                    await self.searcher.refresh()
            return answer

        return read


@pytest.mark.requirement("C-JOURNAL", "C-TRAFFIC")
@settings(max_examples=80)
@given(SIZES, st.just(Criteria()) | CRITERIA, RANDOM, st.booleans())
def test_nothing_is_passed_over_or_found_twice_while_it_is_written_and_archived(
    size: int, criteria: Criteria, random: Random, oldest: bool
) -> None:
    async def check() -> None:
        journal = LivingJournal(size, random)
        while journal.left > size // 2:
            await journal.live()
        restless = Restless(journal, 0.4)
        asked = timed(criteria, random, journal)
        # What began to match and what ended meanwhile may be found or not.
        before = {msn: list(events) for msn, (_, events) in journal.messages.items()}
        wanted = set(journal.wanted(asked))
        found = [entry async for entry in restless.searcher.search(asked, oldest=oldest).entries() if entry]
        after = set(journal.wanted(asked))
        msns = [entry.message.msn for entry in found]
        assert msns == sorted(set(msns), reverse=not oldest)
        assert wanted & after <= set(msns)
        assert set(msns) & before.keys() <= wanted | after
        for entry in found:
            message, events = journal.messages[entry.message.msn]
            assert entry.message == message
            had = before.get(message.msn, [])
            assert unnumbered(entry.events)[: len(had)] == had
            assert unnumbered(entry.events) == events[: len(entry.events)]

    asyncio.run(check())


@pytest.mark.requirement("F-AUDIT")
@settings(max_examples=60)
@given(SIZES, RANDOM, st.booleans())
def test_no_audit_event_is_passed_over_while_it_is_archived(size: int, random: Random, oldest: bool) -> None:
    async def check() -> None:
        journal = LivingJournal(size, random)
        while journal.left > size // 2:
            await journal.live()
        restless = Restless(journal, 0.4)
        before, until = list(journal.audits), journal.seq
        search = restless.searcher.audit(AuditCriteria(), oldest=oldest)
        found = [stored.seq async for stored in search.records() if stored is not None]
        assert [seq for seq in sorted(found) if seq <= until] == before
        assert found == sorted(set(found), reverse=not oldest)

    asyncio.run(check())


@pytest.mark.requirement("C-JOURNAL")
@settings(max_examples=60)
@given(SIZES, RANDOM, st.integers(1, 5))
def test_pages_go_on_where_they_ended_while_new_messages_arrive(size: int, random: Random, limit: int) -> None:
    async def check() -> None:
        journal = LivingJournal(size, random)
        while journal.left > size // 2:
            await journal.live()
        before = list(journal.messages)
        searcher = searcher_of(journal.database)
        assert await paged(searcher, Criteria(), limit, meanwhile=journal.live) == before[::-1]
        oldest = await paged(searcher, Criteria(), limit, oldest=True, meanwhile=journal.live)
        assert oldest == list(journal.messages)[: len(oldest)] and len(oldest) >= len(before)

    asyncio.run(check())
