"""Inquiries that wait for answers: several answers, late ones, time-outs, and bounded memory."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msc.errors import Overloaded
from msc.protocol.catalog import load_catalog
from msc.transit.pending import Pending, PendingTable, TimeOuts

CONFIG = Path(__file__).parents[2] / "config"

pytestmark = pytest.mark.requirement("C-HDR")


def entry(msn: int, *lines: str, timeout_s: float = 30.0, header: str | None = None) -> Pending:
    members: dict[str, Any] = {field.name: "" for field in fields(Pending)}
    members |= {
        "msn": msn, "header": header or f"A123{msn:06d}", "host": False, "station": 1, "sequence": 1, "ref": None,
        "key": None, "timeout_s": timeout_s, "received_us": 0, "lines": lines, "awaited": set(lines),
        "given_up": set(), "failed": set(),
        "closes_at": 0.0, "due": {}, "answering": set(),
    }  # fmt: skip
    return Pending(**members)


def test_an_answer_finds_its_inquiry_by_the_header() -> None:
    table = PendingTable()
    one, two = entry(1, "clets-a"), entry(2, "clets-a")
    table.add(one, 0.0)
    table.add(two, 0.0)
    assert table.find("A123000001") is one
    assert table.find("A123000002") is two
    assert table.find("A123") is None
    assert table.find("A123000003") is None
    assert (len(table), table.waiting) == (2, 2)


def test_one_inquiry_draws_several_answers_from_several_lines() -> None:
    table = PendingTable()
    one = entry(1, "clets-a", "ncic-a")
    table.add(one, 0.0)
    table.settle(one, "clets-a")
    assert one.awaited == {"ncic-a"}
    assert table.waiting == 1
    table.settle(one, "clets-a")
    assert table.find(one.header) is one
    table.settle(one, "ncic-a")
    assert (len(table), table.waiting) == (1, 0)
    assert table.find(one.header) is one, "a further answer still finds it"
    table.settle(one, "ncic-a")
    assert (len(table), table.waiting) == (1, 0)


def test_an_answer_from_a_line_that_was_not_asked_changes_nothing() -> None:
    table = PendingTable()
    one = entry(1, "clets-a")
    table.add(one, 0.0)
    table.settle(one, "ncic-a")
    assert one.awaited == {"clets-a"}
    assert table.waiting == 1


def test_an_inquiry_is_overdue_once_and_then_late_answers_still_find_it() -> None:
    table = PendingTable()
    one = entry(1, "clets-a", "ncic-a", timeout_s=15.0)
    table.add(one, 100.0)
    assert table.expire(114.9) == []
    assert sorted(line for _, line in table.expire(115.0)) == ["clets-a", "ncic-a"]
    assert table.expire(115.0) == []
    assert one.awaited == {"clets-a", "ncic-a"}, "the caller settles them"
    table.settle(one, "clets-a")
    table.settle(one, "ncic-a")
    assert table.find(one.header) is one
    assert table.expire(10_000.0) == []


def test_a_destination_may_have_a_time_of_its_own_by_key() -> None:
    key = next(key for key in load_catalog(CONFIG / "catalog") if key.code == "IW.QW")
    times = TimeOuts({"ncic-a": {"*": 5.0, "IW.*": 20.0, "IA.QV": 1.0}, "nlets-a": {"RQ": 60.0}, "x": {}})
    table = PendingTable(timeouts=times)
    one = entry(1, "clets-a", "ncic-a", "nlets-a", timeout_s=15.0)
    one.key = key
    table.add(one, 0.0)
    assert {line: one.timeout_of(line) for line in sorted(one.awaited)} == {
        "clets-a": 15.0, "ncic-a": 20.0, "nlets-a": 15.0,
    }  # fmt: skip
    assert sorted(line for _, line in table.expire(15.0)) == ["clets-a", "nlets-a"]
    assert table.expire(19.9) == []
    assert [line for _, line in table.expire(20.0)] == ["ncic-a"]


def test_without_times_of_their_own_destinations_have_the_catalogs() -> None:
    assert TimeOuts().of(None) == {}
    assert TimeOuts({"ncic-a": {"*": 5.0}}).of(None) == {}


def test_inquiries_are_overdue_in_the_order_of_their_time_outs() -> None:
    table = PendingTable()
    slow, quick, answered = entry(1, "a", timeout_s=20.0), entry(2, "a", timeout_s=5.0), entry(3, "a", timeout_s=1.0)
    for one in (slow, quick, answered):
        table.add(one, 0.0)
    table.settle(answered, "a")
    assert table.expire(30.0) == [(quick, "a"), (slow, "a")]


def test_a_postponed_inquiry_comes_again_at_that_time() -> None:
    table = PendingTable()
    one = entry(1, "clets-a", timeout_s=15.0)
    table.add(one, 0.0)
    assert table.expire(15.0) == [(one, "clets-a")]
    table.postpone(one, "clets-a", 16.0)
    assert table.expire(15.9) == []
    assert table.expire(16.0) == [(one, "clets-a")]
    table.postpone(one, "clets-a", 17.0)
    table.settle(one, "clets-a")
    assert table.expire(17.0) == []


def test_the_window_closes_and_the_inquiry_is_forgotten() -> None:
    table = PendingTable(window_s=60.0)
    one = entry(1, "clets-a")
    table.add(one, 100.0)
    table.settle(one, "clets-a")
    table.expire(159.9)
    assert table.find(one.header) is one
    table.expire(160.0)
    assert table.find(one.header) is None
    assert len(table) == 0


def test_an_inquiry_that_still_waits_outlives_its_window() -> None:
    table = PendingTable(window_s=10.0)
    one = entry(1, "clets-a", timeout_s=30.0)
    table.add(one, 0.0)
    table.expire(20.0)
    assert table.find(one.header) is one
    assert table.expire(30.0) == [(one, "clets-a")]
    table.settle(one, "clets-a")
    table.expire(30.0)
    assert table.find(one.header) is None


def test_a_header_that_came_round_again_does_not_inherit_the_old_time_out() -> None:
    table = PendingTable()
    old, new = entry(1, "a", timeout_s=5.0, header="A123ZZZZZZ"), entry(2, "a", timeout_s=50.0, header="A123ZZZZZZ")
    table.add(old, 0.0)
    table.add(new, 1.0)
    assert table.expire(5.0) == []
    assert table.expire(51.0) == [(new, "a")]


# --- memory -------------------------------------------------------------------------------------------------------


def test_what_is_answered_is_forgotten_first_and_oldest_first() -> None:
    table = PendingTable(entries_max=3)
    waiting, first, second = entry(1, "a"), entry(2, "a"), entry(3, "a")
    for one in (waiting, first, second):
        table.add(one, 0.0)
    table.settle(first, "a")
    table.settle(second, "a")
    table.check_room()
    table.add(entry(4, "a"), 0.0)
    assert len(table) == 3
    assert table.find(first.header) is None
    assert table.find(second.header) is second
    assert table.find(waiting.header) is waiting


def test_where_every_entry_waits_a_new_inquiry_is_refused_with_e502() -> None:
    table = PendingTable(entries_max=2)
    one, two = entry(1, "a"), entry(2, "a")
    table.add(one, 0.0)
    table.check_room()
    table.add(two, 0.0)
    with pytest.raises(Overloaded) as refused:
        table.check_room()
    assert refused.value.code == "E502"
    table.settle(two, "a")
    table.check_room()


def test_a_transaction_that_waits_for_nobody_is_remembered_for_late_answers() -> None:
    table = PendingTable()
    one = entry(1)
    table.add(one, 0.0)
    assert (len(table), table.waiting) == (1, 0)
    assert table.find(one.header) is one
    assert table.expire(40.0) == []


def test_the_one_that_has_waited_longest_is_told() -> None:
    table = PendingTable()
    assert table.oldest() is None
    one, two = entry(1, "clets-a", "ncic-a"), entry(2, "ncic-a")
    table.add(one, 0.0)
    table.add(two, 0.0)
    assert table.oldest() is one
    table.settle(one, "clets-a")
    table.settle(one, "ncic-a")
    assert table.oldest() is two


def test_another_destination_is_awaited_and_one_that_had_ended_once_more() -> None:
    table = PendingTable(window_s=100.0)
    one = entry(1, "clets-a", timeout_s=20.0)
    table.add(one, 0.0)
    table.await_also(one, "ncic-a", 10.0)
    assert (one.lines, table.awaited()) == (("clets-a", "ncic-a"), {"clets-a": 1, "ncic-a": 1})
    assert table.expire(20.0) == [(one, "clets-a")]
    one.failed.add("clets-a")
    for line in ("clets-a", "ncic-a"):
        table.settle(one, line)
    assert (table.waiting, table.awaited()) == (0, {})
    table.await_also(one, "clets-a", 50.0)
    assert (len(table), table.waiting, one.failed) == (1, 1, set())
    assert table.find(one.header) is one
    assert table.expire(69.0) == []
    assert table.expire(70.0) == [(one, "clets-a")]
    table.settle(one, "clets-a")
    table.expire(149.0)
    assert table.find(one.header) is one, "its window began anew"
    table.expire(150.0)
    assert table.find(one.header) is None


def test_an_edited_message_keeps_the_number_its_originator_knows() -> None:
    one = entry(7)
    one.began = None
    assert one.transaction == 7
    one.began = 5
    assert one.transaction == 5


@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["add", "settle", "expire"]), st.integers(0, 9), st.integers(0, 40)), max_size=60
    )
)
def test_property_memory_is_bounded_and_nothing_that_waits_is_forgotten(steps: list[tuple[str, int, int]]) -> None:
    table, now, waiting, msn = PendingTable(window_s=60.0, entries_max=5), 0.0, [], 0
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
            table.add(waiting[-1], now)
        elif step == "settle" and waiting:
            table.settle(waiting.pop(pick % len(waiting)), "a")
        elif step == "expire":
            for overdue, _ in table.expire(now):
                assert now >= overdue.closes_at - 60.0 + 20.0
                waiting.remove(overdue)
                table.settle(overdue, "a")
        assert len(table) <= 5
        assert table.waiting == len(waiting)
        assert all(table.find(one.header) is one for one in waiting)
    overdue = [one for one, _ in table.expire(now + 20.0)]
    assert overdue == waiting, "each inquiry is given up in its turn"


def test_a_time_set_anew_counts_and_the_one_before_it_no_more() -> None:
    table = PendingTable()
    one = entry(1, "clets-a", timeout_s=30.0)
    table.add(one, 0.0)
    table.postpone(one, "clets-a", 50.0)
    assert table.expire(31.0) == []
    assert table.expire(50.0) == [(one, "clets-a")]
    assert table.expire(1000.0) == []
