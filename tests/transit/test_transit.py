"""Inquiries that wait for answers: several answers, late ones, time-outs, and bounded memory."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msc.errors import Overloaded
from msc.protocol.catalog import MessageKey, load_catalog
from msc.transit.event import Event, Life
from msc.transit.message import MessageRecord
from msc.transit.transaction import Stay, Transaction
from msc.transit.transit import TimeOuts, Transit

CONFIG = Path(__file__).parents[2] / "config"

pytestmark = pytest.mark.requirement("C-HDR")


def entry(msn: int, *lines: str, timeout_s: float = 30.0, header: str | None = None) -> Transaction:
    """Return an inquiry that is meant for lines."""
    events = tuple(Event(msn, 0, Life.ROUTED, f"line:{line}") for line in lines)
    message = MessageRecord(msn, 0, "outbound", "inquiry", header=header or f"A123{msn:06d}", events=events)
    key = SimpleNamespace(code="IW.QW", is_update=False, timeout_s=timeout_s, database="WPS")
    return Transaction.replay(message, key=cast(MessageKey, key))


def settle(transit: Transit, one: Transaction, line: str, now: float = 0.0) -> None:
    """Let a line answer."""
    transit.apply(Event(one.msn, 1, Life.ANSWERED, f"line:{line}"), now)


def awaited(one: Transaction) -> set[str]:
    return {stay.name for stay in one.awaited}


def at(one: Transaction, line: str) -> Stay:
    return one.stays[f"line:{line}"]


def test_an_answer_finds_its_inquiry_by_the_header() -> None:
    table = Transit()
    one, two = entry(1, "clets-a"), entry(2, "clets-a")
    table.remember(one, 0.0)
    table.remember(two, 0.0)
    assert table.find("A123000001") is one
    assert table.find("A123000002") is two
    assert table.find("A123") is None
    assert table.find("A123000003") is None
    assert (len(table), table.waiting) == (2, 2)


def test_one_inquiry_draws_several_answers_from_several_lines() -> None:
    table = Transit()
    one = entry(1, "clets-a", "ncic-a")
    table.remember(one, 0.0)
    settle(table, one, "clets-a")
    assert awaited(one) == {"ncic-a"}
    assert table.waiting == 1
    settle(table, one, "clets-a")
    assert table.find(one.header) is one
    settle(table, one, "ncic-a")
    assert (len(table), table.waiting) == (1, 0)
    assert table.find(one.header) is one, "a further answer still finds it"
    settle(table, one, "ncic-a")
    assert (len(table), table.waiting) == (1, 0)


def test_an_answer_from_a_line_that_was_not_asked_changes_nothing() -> None:
    table = Transit()
    one = entry(1, "clets-a")
    table.remember(one, 0.0)
    settle(table, one, "ncic-a")
    assert awaited(one) == {"clets-a"}
    assert table.waiting == 1


def test_an_inquiry_is_overdue_once_and_then_late_answers_still_find_it() -> None:
    table = Transit()
    one = entry(1, "clets-a", "ncic-a", timeout_s=15.0)
    table.remember(one, 100.0)
    assert table.expire(114.9) == []
    assert sorted(stay.name for stay in table.expire(115.0)) == ["clets-a", "ncic-a"]
    assert table.expire(115.0) == []
    assert awaited(one) == {"clets-a", "ncic-a"}, "the caller settles them"
    settle(table, one, "clets-a")
    settle(table, one, "ncic-a")
    assert table.find(one.header) is one
    assert table.expire(10_000.0) == []


def test_a_destination_may_have_a_time_of_its_own_by_key() -> None:
    key = next(key for key in load_catalog(CONFIG / "catalog") if key.code == "IW.QW")
    times = TimeOuts({"ncic-a": {"*": 5.0, "IW.*": 20.0, "IA.QV": 1.0}, "nlets-a": {"RQ": 60.0}, "x": {}})
    table = Transit(timeouts=times)
    one = entry(1, "clets-a", "ncic-a", "nlets-a", timeout_s=15.0)
    one.key = key
    table.remember(one, 0.0)
    assert {stay.name: one.timeout_of(stay) for stay in one.awaited} == {
        "clets-a": 15.0, "ncic-a": 20.0, "nlets-a": 15.0,
    }  # fmt: skip
    assert sorted(stay.name for stay in table.expire(15.0)) == ["clets-a", "nlets-a"]
    assert table.expire(19.9) == []
    assert [stay.name for stay in table.expire(20.0)] == ["ncic-a"]


def test_without_times_of_their_own_destinations_have_the_catalogs() -> None:
    assert TimeOuts().of(None) == {}
    assert TimeOuts({"ncic-a": {"*": 5.0}}).of(None) == {}


def test_inquiries_are_overdue_in_the_order_of_their_time_outs() -> None:
    table = Transit()
    slow, quick, answered = entry(1, "a", timeout_s=20.0), entry(2, "a", timeout_s=5.0), entry(3, "a", timeout_s=1.0)
    for one in (slow, quick, answered):
        table.remember(one, 0.0)
    settle(table, answered, "a")
    assert table.expire(30.0) == [at(quick, "a"), at(slow, "a")]


def test_a_postponed_inquiry_comes_again_at_that_time() -> None:
    table = Transit()
    one = entry(1, "clets-a", timeout_s=15.0)
    table.remember(one, 0.0)
    assert table.expire(15.0) == [at(one, "clets-a")]
    table.postpone(at(one, "clets-a"), 16.0)
    assert table.expire(15.9) == []
    assert table.expire(16.0) == [at(one, "clets-a")]
    table.postpone(at(one, "clets-a"), 17.0)
    settle(table, one, "clets-a")
    assert table.expire(17.0) == []


def test_the_window_closes_and_the_inquiry_is_forgotten() -> None:
    table = Transit(window_s=60.0)
    one = entry(1, "clets-a")
    table.remember(one, 100.0)
    settle(table, one, "clets-a")
    table.expire(159.9)
    assert table.find(one.header) is one
    table.expire(160.0)
    assert table.find(one.header) is None
    assert len(table) == 0


def test_an_inquiry_that_still_waits_outlives_its_window() -> None:
    table = Transit(window_s=10.0)
    one = entry(1, "clets-a", timeout_s=30.0)
    table.remember(one, 0.0)
    table.expire(20.0)
    assert table.find(one.header) is one
    assert table.expire(30.0) == [at(one, "clets-a")]
    settle(table, one, "clets-a")
    table.expire(30.0)
    assert table.find(one.header) is None


def test_a_header_that_came_round_again_does_not_inherit_the_old_time_out() -> None:
    table = Transit()
    old, new = entry(1, "a", timeout_s=5.0, header="A123ZZZZZZ"), entry(2, "a", timeout_s=50.0, header="A123ZZZZZZ")
    table.remember(old, 0.0)
    table.remember(new, 1.0)
    assert table.find("A123ZZZZZZ") is new
    assert table.expire(5.0) == [at(old, "a")], "it ends in its own turn"
    assert table.expire(51.0) == [at(new, "a")]


# --- memory -------------------------------------------------------------------------------------------------------


def test_what_is_answered_is_forgotten_first_and_oldest_first() -> None:
    table = Transit(transactions_max=3)
    waiting, first, second = entry(1, "a"), entry(2, "a"), entry(3, "a")
    for one in (waiting, first, second):
        table.remember(one, 0.0)
    settle(table, first, "a")
    settle(table, second, "a")
    table.check_room()
    table.remember(entry(4, "a"), 0.0)
    assert len(table) == 3
    assert table.find(first.header) is None
    assert table.find(second.header) is second
    assert table.find(waiting.header) is waiting


def test_where_every_entry_waits_a_new_inquiry_is_refused_with_e502() -> None:
    table = Transit(transactions_max=2)
    one, two = entry(1, "a"), entry(2, "a")
    table.remember(one, 0.0)
    table.check_room()
    table.remember(two, 0.0)
    with pytest.raises(Overloaded) as refused:
        table.check_room()
    assert refused.value.code == "E502"
    settle(table, two, "a")
    table.check_room()


def test_a_transaction_that_waits_for_nobody_is_remembered_for_late_answers() -> None:
    table = Transit()
    one = entry(1, "clets-a")
    one.apply(Event(1, 1, Life.EXPIRED, "line:clets-a"))
    table.remember(one, 0.0)
    assert (len(table), table.waiting) == (1, 0)
    assert table.find(one.header) is one
    assert table.expire(40.0) == []


def test_the_one_that_has_waited_longest_is_told() -> None:
    table = Transit()
    assert table.oldest() is None
    one, two = entry(1, "clets-a", "ncic-a"), entry(2, "ncic-a")
    table.remember(one, 0.0)
    table.remember(two, 0.0)
    assert table.oldest() is one
    settle(table, one, "clets-a")
    settle(table, one, "ncic-a")
    assert table.oldest() is two


def test_another_destination_is_awaited_and_one_that_had_ended_once_more() -> None:
    table = Transit(window_s=100.0)
    one = entry(1, "clets-a", timeout_s=20.0)
    table.remember(one, 0.0)
    table.apply(Event(1, 1, Life.ROUTED, "line:ncic-a"), 10.0)
    assert (awaited(one), table.awaited()) == ({"clets-a", "ncic-a"}, {"clets-a": 1, "ncic-a": 1})
    assert table.expire(20.0) == [at(one, "clets-a")]
    table.apply(Event(1, 1, Life.EXPIRED, "line:clets-a"), 20.0)
    assert at(one, "clets-a").gave_up
    settle(table, one, "ncic-a")
    assert (table.waiting, table.awaited()) == (0, {})
    table.apply(Event(1, 1, Life.ROUTED, "line:clets-a"), 50.0)
    assert (len(table), table.waiting, at(one, "clets-a").gave_up) == (1, 1, False)
    assert table.find(one.header) is one
    assert table.expire(69.0) == []
    assert table.expire(70.0) == [at(one, "clets-a")]
    settle(table, one, "clets-a")
    table.expire(149.0)
    assert table.find(one.header) is one, "its window began anew"
    table.expire(150.0)
    assert table.find(one.header) is None


def test_an_edited_message_keeps_the_number_its_originator_knows() -> None:
    one = entry(7)
    assert one.number == 7
    assert Transaction(one.message._replace(transaction=5)).number == 5


def test_what_goes_to_stations_is_forgotten_when_it_has_ended_everywhere() -> None:
    table = Transit()
    message = MessageRecord(3, 0, "local", "administrative", events=(Event(3, 0, Life.ROUTED, "device:desk-1"),))
    one = table.begin(Transaction(message), 0.0)
    assert table.get(3) is one
    table.apply(Event(3, 1, Life.ROUTED, "operator:queue"), 0.0)
    table.apply(Event(3, 1, Life.ACKNOWLEDGED, "device:desk-1"), 0.0)
    assert table.get(3) is one, "the operator has it still"
    table.apply(Event(3, 2, Life.CANCELLED, "operator:queue"), 0.0)
    assert table.get(3) is None
    assert table.apply(Event(3, 2, Life.ANSWERED, "operator:queue"), 0.0) is None


@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["add", "settle", "expire"]), st.integers(0, 9), st.integers(0, 40)), max_size=60
    )
)
def test_property_memory_is_bounded_and_nothing_that_waits_is_forgotten(steps: list[tuple[str, int, int]]) -> None:
    table, now, waiting, msn = Transit(window_s=60.0, transactions_max=5), 0.0, [], 0
    for step, pick, pause in steps:
        now += pause
        if step == "add":
            try:
                table.check_room()
            except Overloaded:
                assert len(waiting) == 5
                continue
            msn += 1
            waiting.append(entry(msn, "a", timeout_s=20.0))
            table.remember(waiting[-1], now)
        elif step == "settle" and waiting:
            settle(table, waiting.pop(pick % len(waiting)), "a")
        elif step == "expire":
            for stay in table.expire(now):
                overdue = stay.transaction
                assert now >= overdue.closes_at - 60.0 + 20.0
                waiting.remove(overdue)
                settle(table, overdue, "a", now)
        assert len(table) <= 5
        assert table.waiting == len(waiting)
        assert all(table.find(one.header) is one for one in waiting)
    assert [stay.transaction for stay in table.expire(now + 20.0)] == waiting, "each inquiry is given up in its turn"


def test_a_time_set_anew_counts_and_the_one_before_it_no_more() -> None:
    table = Transit()
    one = entry(1, "clets-a", timeout_s=30.0)
    table.remember(one, 0.0)
    table.postpone(at(one, "clets-a"), 50.0)
    assert table.expire(31.0) == []
    assert table.expire(50.0) == [at(one, "clets-a")]
    assert table.expire(1000.0) == []
