"""Searching the index: it finds what looking at every record finds, wherever the terms stand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from msc.journal.criteria import AuditCriteria, Criteria
from msc.journal.database.layout import BlockKey, Page
from msc.journal.index import search
from msc.journal.index.match import is_open, matches, matches_audit
from msc.journal.index.page import Places, read_page
from msc.journal.index.search import Directory, PageMissing, PrefixTooWide, evaluate, in_time, pages_needed
from msc.journal.index.segment import MemoryIndex, PageWriter, SegmentBuilder, merge
from msc.journal.index.term import Plan, plan_of, terms_of_audit, terms_of_message, terms_of_steps
from msc.journal.record import AuditRecord, StepsRecord
from msc.transit.event import Event
from msc.transit.message import MessageRecord
from tests.journal.index.records import AUDIT_CRITERIA, AUDIT_EVENTS, CRITERIA, EVENTS, MESSAGES

Terms = Sequence[str]


class Month:
    """A month's index: every addition of terms goes to one of several segments, or stays in memory."""

    def __init__(self, additions: Sequence[tuple[Terms, int]], where: Callable[[], int], merged: bool) -> None:
        builders = {number: SegmentBuilder() for number in (1, 2, 3)}
        self.memory = MemoryIndex()
        for terms, place in additions:
            to = builders.get(where())
            if to is None:
                self.memory.add_all(terms, place)
            else:
                to.add_all(terms, place)
        segments = [builder.finish(PageWriter(number)) for number, builder in builders.items()]
        if merged:
            segments = [list(merge(segments[:2], PageWriter(9))), segments[2]]
        self.pages: dict[tuple[int, int], Page] = {(page.segment, page.number): page for s in segments for page in s}
        self.directory = Directory(
            [(page.segment, page.number, page.first_term) for page in self.pages.values()], [self.memory]
        )

    def find(self, plan: Plan, **bounds: int | Places | None) -> Places:
        """Search in two steps, with no more pages than were asked for."""
        pages = {page: read_page(self.pages[page].body) for page in pages_needed(plan, self.directory)}
        return evaluate(plan, self.directory, pages, **bounds)  # type: ignore[arg-type]


@pytest.mark.requirement("C-JOURNAL", "C-TRAFFIC", "N-SCOPE")
@given(
    st.lists(st.tuples(MESSAGES, st.lists(EVENTS, max_size=4)), min_size=1, max_size=25),
    st.lists(CRITERIA, min_size=1, max_size=8),
    st.randoms(use_true_random=False),
    st.booleans(),
)
def test_the_index_finds_what_looking_at_every_message_finds(
    drawn: list[tuple[MessageRecord, list[Event]]], asked: list[Criteria], random: Random, merged: bool
) -> None:
    entries = [
        (message._replace(msn=msn), [event._replace(msn=msn) for event in events])
        for msn, (message, events) in enumerate(drawn, 1)
    ]
    additions: list[tuple[Terms, int]] = []
    for message, events in entries:
        own = random.randint(0, len(events))
        additions.append((terms_of_message(message._replace(events=tuple(events[:own]))), message.msn))
        additions += [(terms_of_steps(steps), steps.msn) for steps in stepped(events[own:], random)]
    month = Month(additions, lambda: random.randint(0, 3), merged)
    times = {message.msn: message.received for message, _ in entries}
    for criteria in asked:
        plan = plan_of(criteria)
        among = np.array([m.msn for m, events in entries if is_open(events)], np.uint64) if plan.open else None
        found = [
            int(msn)
            for msn in month.find(plan, among=among)
            if (plan.since_us is None or times[int(msn)] >= plan.since_us)
            and (plan.until_us is None or times[int(msn)] < plan.until_us)
        ]
        assert found == [message.msn for message, events in entries if matches(criteria, message, events)]


@pytest.mark.requirement("F-AUDIT")
@given(
    st.lists(AUDIT_EVENTS, min_size=1, max_size=25),
    st.lists(AUDIT_CRITERIA, min_size=1, max_size=8),
    st.randoms(use_true_random=False),
)
def test_the_index_finds_what_looking_at_every_audit_event_finds(
    records: list[AuditRecord], asked: list[AuditCriteria], random: Random
) -> None:
    additions = [(terms_of_audit(record), seq) for seq, record in enumerate(records, 1)]
    month = Month(additions, lambda: random.randint(0, 3), merged=False)
    for criteria in asked:
        timeless = replace(criteria, since_us=None, until_us=None)
        assert month.find(plan_of(timeless)).tolist() == [
            seq for seq, record in enumerate(records, 1) if matches_audit(timeless, record)
        ]


def stepped(events: list[Event], random: Random) -> Iterator[StepsRecord]:
    """Put events into records of one or several."""
    while events:
        count = random.randint(1, len(events))
        yield StepsRecord(events[0].msn, events[count - 1].at, tuple(events[:count]))
        events = events[count:]


def a_month(*texts: str) -> Month:
    """A month of messages with these texts, MSN 1 and on, in three segments by turns."""
    turn = iter(range(len(texts)))
    return Month(
        [
            (terms_of_message(MessageRecord(msn, msn, "local", "administrative", text=text)), msn)
            for msn, text in enumerate(texts, 1)
        ],
        lambda: next(turn) % 3 + 1,
        merged=False,
    )


def test_messages_are_not_found_as_audit_events() -> None:
    month = a_month("LEFT THE AGENCY")
    assert month.find(plan_of(AuditCriteria(text=("LEFT",)))).tolist() == []
    assert month.find(plan_of(AuditCriteria())).tolist() == []


def test_a_search_that_asks_nothing_of_the_index_finds_everything_and_says_so() -> None:
    month = a_month("ONE", "", "THREE")
    plan = plan_of(Criteria(since_us=1))
    assert plan.whole
    assert month.find(plan).tolist() == [1, 2, 3]
    assert not plan_of(Criteria(text=("ONE",))).whole


def test_only_what_lies_in_the_bounds_is_found() -> None:
    month = a_month(*["SAME"] * 9)
    plan = plan_of(Criteria(text=("SAME",)))
    assert month.find(plan, first=3, last=5).tolist() == [3, 4, 5]
    assert month.find(plan_of(Criteria(text=("SAME",), msn=4)), first=3, last=5).tolist() == [4]
    assert month.find(plan_of(Criteria(text=("SAME",), msn=7)), first=3, last=5).tolist() == []


def test_a_beginning_of_too_many_words_is_refused_before_a_page_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("msc.journal.index.segment.PAGE_BYTES", 100)
    month = a_month(" ".join(f"A{number:05}" for number in range(3000)), "BRAVO")
    assert len(month.pages) > search.PREFIX_PAGES
    with pytest.raises(PrefixTooWide, match="too many words"):
        pages_needed(plan_of(Criteria(text=("A*",))), month.directory)
    assert month.find(plan_of(Criteria(text=("A0012*",)))).tolist() == [1]
    assert month.find(plan_of(Criteria(text=("B*",)))).tolist() == [2]


def test_a_page_that_is_gone_is_not_taken_for_an_empty_one() -> None:
    month = a_month("ONE", "TWO")
    plan = plan_of(Criteria(text=("TWO",)))
    with pytest.raises(PageMissing):
        evaluate(plan, month.directory, {})


def test_only_the_pages_that_can_hold_a_term_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("msc.journal.index.segment.PAGE_BYTES", 100)
    month = Month([([f"W{number:03}"], number) for number in range(500)], lambda: 1, merged=False)
    assert len(month.pages) > 20
    for number in (0, 17, 250, 499):
        plan = plan_of(Criteria(text=(f"W{number:03}",)))
        assert len(pages_needed(plan, month.directory)) == 1
        assert month.find(plan).tolist() == [number]
    assert month.find(plan_of(Criteria(text=("W12*",)))).tolist() == list(range(120, 130))
    assert len(pages_needed(plan_of(Criteria(text=("W12*",))), month.directory)) < 4


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 50)), min_size=1, max_size=12),
    st.none() | st.integers(-5, 60),
    st.none() | st.integers(-5, 60),
    st.data(),
)
def test_time_is_narrowed_by_blocks_and_never_too_much(
    blocks: list[tuple[int, int]], since: int | None, until: int | None, data: st.DataObject
) -> None:
    keys, times, msn, seq = [], {}, 0, 0
    for messages, low in blocks:
        drawn = data.draw(st.lists(st.integers(low, low + 10), min_size=messages, max_size=messages))
        keys.append(
            BlockKey(
                seq + 1, seq + messages + 1, msn + 1 if drawn else 0, msn + messages if drawn else 0,
                min(drawn, default=low), max(drawn, default=low),
            )
        )  # fmt: skip
        times.update({msn + number: at for number, at in enumerate(drawn, 1)})
        msn, seq = msn + messages, seq + messages + 1
    unknown = msn + 5  # in the tail
    places = np.array([*times, unknown], np.uint64)
    left, certain = in_time(places, keys, since, until)
    inside = {m for m, at in times.items() if (since is None or at >= since) and (until is None or at < until)}
    assert inside | {unknown} <= set(left.tolist())
    assert set(left[certain].tolist()) <= inside
    assert in_time(places, keys, None, None)[1].tolist() == [True] * len(times) + [False]
