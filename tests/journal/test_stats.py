"""Counts of messages: by the index, and the same as counting every one."""

from __future__ import annotations

import asyncio
from collections import Counter
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msc import clock
from msc.journal.criteria import BadCriteria, Criteria
from msc.journal.reader import JournalReader
from msc.journal.search import Searcher
from msc.journal.stats import BY_TERM, BY_TIME, Statistics
from msc.transit.event import Event, Life
from msc.transit.message import MessageRecord
from tests.journal.index.records import CRITERIA
from tests.journal.test_search import RANDOM, SIZES, Restless, small, timed
from tests.support.living_journal import LivingJournal

__all__ = ["small"]


def labels(by: str, message: MessageRecord, events: list[Event]) -> set[str]:
    """Return what a message is counted under."""
    received = clock.rfc3339(message.received)
    places = [event.destination.partition(":") for event in events if event.destination is not None]
    match by:
        case "day":
            return {received[:10]}
        case "month":
            return {received[:7]}
        case "hour":
            return {str(int(received[11:13]))}
        case "outcome":
            return {str(event.event) for event in events if event.event != Life.RECEIVED}
        case "key":
            own = f"{message.system}.{message.key}" if message.system and message.key else message.key
        case "device" | "line":
            went = {name for kind, _, name in places if kind == by}
            return went | {name for name in (getattr(message, by),) if name is not None}
        case _:
            own = getattr(message, by)
    return set() if own is None else {own}


async def counted(searcher: Searcher, criteria: Criteria, by: str) -> tuple[int, list[tuple[str, int]]]:
    statistics = Statistics(searcher, criteria, by)
    progress = [told async for told in statistics.run()]
    assert progress[-1]["months"] == progress[-1]["of"]
    return statistics.total, statistics.rows()


@pytest.mark.requirement("C-JOURNAL", "N-SCOPE")
@pytest.mark.parametrize("by", BY_TIME + BY_TERM)
@settings(max_examples=12)
@given(SIZES, CRITERIA, RANDOM)
def test_counts_are_those_of_counting_every_message(by: str, size: int, criteria: Criteria, random: Random) -> None:
    async def check() -> None:
        journal = LivingJournal(size, random)
        searcher = Searcher(JournalReader(journal.database))
        while journal.left:
            await journal.live()
        for asked in (Criteria(), timed(criteria, random, journal)):
            found = [journal.messages[msn] for msn in journal.wanted(asked)]
            expected: Counter[str] = Counter()
            for message, events in found:
                expected.update(labels(by, message, events))
            total, rows = await counted(searcher, asked, by)
            assert total == len(found)
            assert dict(rows) == dict(expected)
            assert len(dict(rows)) == len(rows)
            order: Any = (lambda row: row[0]) if by in ("day", "month") else None
            if order:
                assert rows == sorted(rows, key=order)
            elif by == "hour":
                assert rows == sorted(rows, key=lambda row: int(row[0]))
            else:
                assert [count for _, count in rows] == sorted(expected.values(), reverse=True)

    asyncio.run(check())


@pytest.mark.requirement("C-JOURNAL")
@pytest.mark.parametrize("by", ["day", "month", "hour", "kind", "direction"])
@settings(max_examples=25)
@given(SIZES, RANDOM)
def test_counts_add_up_while_the_journal_turns_over(by: str, size: int, random: Random) -> None:
    async def check() -> None:
        journal = LivingJournal(size, random)
        while journal.left > size // 2:
            await journal.live()
        restless = Restless(journal, 0.4)
        held = len(journal.messages)
        total, rows = await counted(restless.searcher, Criteria(), by)
        assert total >= held
        assert sum(count for _, count in rows) == total

    asyncio.run(check())


@given(st.text(max_size=8).filter(lambda by: by not in BY_TIME + BY_TERM))
def test_what_nothing_is_counted_by_is_refused(by: str) -> None:
    with pytest.raises(BadCriteria, match="to count by"):
        Statistics(Searcher(JournalReader(LivingJournal(0, Random(1)).database)), Criteria(), by)
