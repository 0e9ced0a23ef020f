"""The clocks of hit confirmations: pairs, reminders, alarms, three requests, and bounded memory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msc.protocol.catalog import Catalog, load_catalog
from msc.transit.hit_confirmation import (
    Action,
    Confirmation,
    HitAnswer,
    HitConfirmations,
    HitRequest,
    Side,
    Stage,
    Terms,
    What,
    notice_text,
    parse_hit_confirmation,
)

pytestmark = pytest.mark.requirement("L-HITCONF")

EXAMPLES = int(os.environ.get("MSC_CLOCK_EXAMPLES", "50"))
OURS, THEIRS, OTHERS = "CA0990000", "NV0990000", "AZ0990000"
MINUTE, HOUR, DAY = 60.0, 3_600.0, 86_400.0


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load_catalog(Path(__file__).parents[2] / "config" / "catalog")


def request(
    asker: str = OURS, asked: str = THEIRS, oca: str = "T26-0001", nic: str = "W999000001", number: int = 1,
    *, urgent: bool = True,
) -> HitRequest:  # fmt: skip
    return HitRequest(asker, (asked,), oca, nic, number, urgent)


def answer(answerer: str = THEIRS, asker: str = OURS, oca: str = "T26-0001", nic: str = "W999000001") -> HitAnswer:
    return HitAnswer(answerer, (asker,), oca, nic)


def ask(
    clocks: HitConfirmations, what: HitRequest, msn: int, now: float, side: Side = Side.ASKING,
    terminal: str = "device:D1",
) -> Confirmation:  # fmt: skip
    return clocks.ask(side, what, msn=msn, agency="EXSO", terminal=terminal, asked_us=int(now * 1e6), now=now)


def whats(actions: list[Action]) -> list[What]:
    return [action.what for action in actions]


# --- texts --------------------------------------------------------------------------------------


def test_a_request_says_who_asks_whom_about_which_record(catalog: Catalog) -> None:
    text = "YQ.NV0990000.CA0990000,CA0990100.X1.TXT.RTY/WP.RNO/2.PRI/R.OCA/T26-0001.NIC/W999000001"
    assert parse_hit_confirmation(text, catalog) == HitRequest(
        "NV0990000", ("CA0990000", "CA0990100"), "T26-0001", "W999000001", 2, False
    )


def test_an_answer_says_who_answers_whom_about_which_record(catalog: Catalog) -> None:
    text = "YR.CA0990000.NV0990000.TXT.RTY/WP.RNO/1.CON/Y.OCA/T26-0001.NIC/W999000001"
    assert parse_hit_confirmation(text, catalog) == HitAnswer(
        "CA0990000", ("NV0990000",), "T26-0001", "W999000001"
    )  # fmt: skip


def test_a_request_that_does_not_say_how_urgent_it_is_is_urgent(catalog: Catalog) -> None:
    found = parse_hit_confirmation("YQ.NV0990000.CA0990000.TXT.OCA/T26-0001", catalog)
    assert found == HitRequest("NV0990000", ("CA0990000",), "T26-0001", "", 1, True)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "$.H.DELAYED HIT",
        "YQ",
        "YQ.NV0990000.CA0990000.TXT.RTY/WP.RNO/1.PRI/U",
        "YQ.nowhere.CA0990000.TXT.OCA/T26-0001",
        "AM.NV0990000.EXA1.TXT YQ.NV0990000.CA0990000.TXT.OCA/1",
        "RQ.CA0990000.NV.TXT.LIC/ZZ0001X",
        "MKE/WANTED PERSON",
    ],
)
def test_what_is_no_hit_confirmation_or_names_no_record_has_no_clock(catalog: Catalog, text: str) -> None:
    assert parse_hit_confirmation(text, catalog) is None


@given(text=st.text(max_size=80))
def test_no_text_from_a_line_makes_the_reader_fail(catalog: Catalog, text: str) -> None:
    for start in ("", "YQ.", "YR.NV0990000.CA0990000.TXT."):
        parse_hit_confirmation(start + text, catalog)


# --- the clock ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("urgent", "remind_at", "due_at"), [(True, 8 * MINUTE, 10 * MINUTE), (False, 45 * MINUTE, HOUR)]
)
def test_a_reminder_comes_before_the_end_and_an_alarm_at_it(urgent: bool, remind_at: float, due_at: float) -> None:
    clocks = HitConfirmations()
    item = ask(clocks, request(urgent=urgent), 1, 0.0)
    assert clocks.due(remind_at - 0.1) == []
    assert clocks.due(remind_at) == [Action(What.REMIND, item)]
    assert clocks.due(due_at - 0.1) == []
    assert clocks.due(due_at) == [Action(What.ALARM, item), Action(What.ESCALATE, item)]
    assert clocks.due(due_at + DAY - 1) == []
    assert list(clocks.open()) == [item]
    assert clocks.due(due_at + DAY) == [Action(What.EXPIRE, item)]
    assert len(clocks) == 0


def test_the_reminder_comes_as_early_as_the_site_wants_it() -> None:
    clocks = HitConfirmations(Terms(remind_urgent_s=5 * MINUTE))
    ask(clocks, request(), 1, 0.0)
    assert clocks.due(5 * MINUTE - 0.1) == []
    assert whats(clocks.due(5 * MINUTE)) == [What.REMIND]


def test_where_both_times_have_passed_unseen_there_is_the_alarm_alone() -> None:
    clocks = HitConfirmations()
    ask(clocks, request(), 1, 0.0)
    assert whats(clocks.due(HOUR)) == [What.ALARM, What.ESCALATE]


def test_what_is_answered_is_neither_reminded_of_nor_alarmed_about() -> None:
    clocks = HitConfirmations()
    item = ask(clocks, request(), 1, 0.0)
    assert clocks.answer(Side.ASKING, answer()) is item
    assert len(clocks) == 0
    assert clocks.due(2 * DAY) == []


def test_an_item_stays_open_until_its_answer_is_stored() -> None:
    clocks = HitConfirmations()
    item = ask(clocks, request(), 1, 0.0)
    assert clocks.find(Side.ASKING, answer()) is item
    assert len(clocks) == 1, "the journal may yet refuse the answer"
    clocks.close(item)
    clocks.close(item)
    assert len(clocks) == 0


# --- pairs --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "other",
    [answer(oca="T26-0002"), answer(nic="W999000002"), answer(asker=OTHERS), answer(oca="T26-0002", nic="")],
)
def test_an_answer_about_another_record_or_to_another_agency_closes_nothing(other: HitAnswer) -> None:
    clocks = HitConfirmations()
    ask(clocks, request(), 1, 0.0)
    assert clocks.answer(Side.ASKING, other) is None
    assert len(clocks) == 1


def test_an_answer_in_the_other_direction_closes_nothing() -> None:
    clocks = HitConfirmations()
    ask(clocks, request(), 1, 0.0, Side.ASKED)
    assert clocks.answer(Side.ASKING, answer()) is None
    assert clocks.answer(Side.ASKED, answer()) is not None


def test_two_agencies_of_ours_that_confirm_with_each_other_have_a_clock_each() -> None:
    """The request goes out over the line and comes back in: one end asks, the other is asked."""
    clocks = HitConfirmations()
    asking = ask(clocks, request(), 1, 0.0, Side.ASKING)
    asked = ask(clocks, request(), 2, 1.0, Side.ASKED)
    assert asking is not asked
    assert clocks.answer(Side.ASKED, answer()) is asked
    assert list(clocks.open()) == [asking]


@pytest.mark.parametrize("given_numbers", [{"oca": ""}, {"nic": ""}])
def test_one_number_is_enough_where_it_can_mean_only_one(given_numbers: dict[str, str]) -> None:
    clocks = HitConfirmations()
    item = ask(clocks, request(), 1, 0.0)
    assert clocks.answer(Side.ASKING, answer(**given_numbers)) is item


def test_one_number_that_could_mean_two_records_closes_neither() -> None:
    clocks = HitConfirmations()
    ask(clocks, request(nic="W999000001"), 1, 0.0)
    ask(clocks, request(nic="W999000002"), 2, 0.0)
    assert clocks.answer(Side.ASKING, answer(nic="")) is None
    assert len(clocks) == 2


def test_an_agency_may_answer_under_another_of_its_oris() -> None:
    clocks = HitConfirmations()
    item = ask(clocks, request(), 1, 0.0)
    assert clocks.answer(Side.ASKING, answer(answerer="NV0990001")) is item


# --- three requests -----------------------------------------------------------------------------


def test_a_second_and_a_third_request_begin_the_clock_of_the_same_item_anew() -> None:
    clocks = HitConfirmations()
    first = ask(clocks, request(number=1), 1, 0.0)
    assert whats(clocks.due(8 * MINUTE)) == [What.REMIND]
    assert ask(clocks, request(number=2), 2, 9 * MINUTE) is first
    assert clocks.due(10 * MINUTE) == []
    assert whats(clocks.due(17 * MINUTE)) == [What.REMIND]
    assert whats(clocks.due(19 * MINUTE)) == [What.ALARM, What.ESCALATE]
    assert ask(clocks, request(number=3), 3, 20 * MINUTE) is first
    assert whats(clocks.due(28 * MINUTE)) == [What.REMIND]
    assert (first.msns, first.requests, first.beyond) == ([1, 2, 3], 3, False)
    assert clocks.answer(Side.ASKING, answer()) is first


def test_a_fourth_request_is_marked() -> None:
    clocks = HitConfirmations()
    for number in (1, 2, 3):
        assert not ask(clocks, request(number=number), number, number * HOUR).beyond
    assert ask(clocks, request(number=3), 4, 5 * HOUR).beyond


def test_a_request_repeated_in_time_makes_the_clock_no_longer() -> None:
    clocks = HitConfirmations()
    ask(clocks, request(), 1, 0.0)
    ask(clocks, request(), 2, 9 * MINUTE)
    assert whats(clocks.due(10 * MINUTE)) == [What.ALARM, What.ESCALATE]


def test_a_routine_request_repeated_as_an_urgent_one_is_due_sooner() -> None:
    clocks = HitConfirmations()
    ask(clocks, request(urgent=False), 1, 0.0)
    ask(clocks, request(urgent=True), 2, 10 * MINUTE)
    assert whats(clocks.due(18 * MINUTE)) == [What.REMIND]
    assert whats(clocks.due(20 * MINUTE)) == [What.ALARM, What.ESCALATE]


def test_a_request_repeated_when_the_time_is_over_begins_it_anew() -> None:
    clocks = HitConfirmations()
    item = ask(clocks, request(), 1, 0.0)
    clocks.due(10 * MINUTE)
    ask(clocks, request(), 2, 11 * MINUTE, terminal="device:D2")
    assert item.terminal == "device:D2"
    assert whats(clocks.due(21 * MINUTE)) == [What.ALARM, What.ESCALATE]


def test_the_same_message_twice_is_one_request() -> None:
    clocks = HitConfirmations()
    item = ask(clocks, request(), 1, 0.0)
    ask(clocks, request(), 1, 5.0)
    assert (item.requests, item.msns) == (1, [1])


# --- restarts and bounds ------------------------------------------------------------------------


def test_requests_replayed_with_their_times_are_due_when_they_were() -> None:
    clocks = HitConfirmations()
    terms = {"agency": "EXSO", "terminal": "device:D1", "asked_us": 0}
    clocks.ask(Side.ASKED, request(number=1), msn=1, now=-15 * MINUTE, **terms)  # type: ignore[arg-type]
    item = clocks.ask(Side.ASKED, request(number=2), msn=2, now=-9 * MINUTE, stage=Stage.REMINDED, **terms)  # type: ignore[arg-type]
    assert item.msns == [1, 2]
    assert clocks.due(0.5 * MINUTE) == [], "the reminder was given before the restart"
    assert whats(clocks.due(1 * MINUTE)) == [What.ALARM, What.ESCALATE]


def test_what_was_told_before_a_restart_is_not_told_again() -> None:
    clocks = HitConfirmations()
    item = clocks.ask(
        Side.ASKED, request(), msn=1, agency="EXSO", terminal="device:D1", asked_us=0, now=-HOUR, stage=Stage.OVERDUE
    )
    assert clocks.due(0.0) == []
    assert clocks.due(DAY) == [Action(What.EXPIRE, item)]


def test_a_repetition_that_was_reminded_of_is_not_reminded_of_again() -> None:
    """The reminder is noted with the newest request, which may have been a repetition."""
    clocks = HitConfirmations()
    for msn, stage in ((1, Stage.WAITING), (2, Stage.REMINDED)):
        clocks.ask(
            Side.ASKED, request(), msn=msn, agency="EXSO", terminal="device:D1", asked_us=0, now=0.0, stage=stage
        )
    assert whats(clocks.due(9 * MINUTE)) == []
    assert whats(clocks.due(10 * MINUTE)) == [What.ALARM, What.ESCALATE]


def test_a_request_that_was_never_sent_has_no_clock() -> None:
    clocks = HitConfirmations()
    ask(clocks, request(), 1, 0.0)
    assert clocks.withdraw(1) is True
    assert clocks.withdraw(1) is False
    assert (len(clocks), clocks.due(HOUR), clocks._by_number, clocks._by_msn) == (0, [], {}, {})


def test_a_second_request_that_was_never_sent_leaves_the_first_open() -> None:
    clocks = HitConfirmations()
    item = ask(clocks, request(), 1, 0.0)
    ask(clocks, request(number=2), 2, HOUR)
    assert clocks.withdraw(2) is True
    assert (list(clocks.open()), item.msns, item.requests) == ([item], [1], 1)


def test_no_more_are_remembered_than_allowed_and_what_goes_is_told() -> None:
    clocks = HitConfirmations(items_max=3)
    items = [ask(clocks, request(oca=f"T26-{n}"), n, float(n)) for n in range(5)]
    assert list(clocks.open()) == items[2:]
    assert clocks.due(5.0) == [Action(What.EXPIRE, items[0]), Action(What.EXPIRE, items[1])]
    assert clocks.due(6.0) == []


def test_a_machine_that_repeats_itself_fills_no_memory() -> None:
    clocks = HitConfirmations(items_max=2)
    for n in range(1, 2_000):
        item = ask(clocks, request(urgent=n % 2 == 0, number=n % 3 + 1), n, n * HOUR)
    assert len(item.msns) <= 8
    assert item.requests == 1_999
    assert len(clocks._deadlines) <= 100


# --- texts for people ---------------------------------------------------------------------------


def test_terminals_are_told_what_is_due_and_what_to_do() -> None:
    clocks = HitConfirmations()
    item = ask(clocks, request(THEIRS, OURS), 1, 0.0, Side.ASKED)
    assert notice_text(What.REMIND, item, 8 * MINUTE) == (
        "HIT CONFIRMATION DUE IN 2 MIN\nREQUEST 1 URGENT FROM NV0990000 TO CA0990000\n"
        "OCA/T26-0001 NIC/W999000001\nANSWER WITH YR NOW"
    )
    asking = ask(clocks, request(urgent=False), 2, 0.0)
    assert notice_text(What.REMIND, asking, 50 * MINUTE + 30).splitlines()[0] == (
        "HIT CONFIRMATION DUE IN 9 MIN 30 S"
    )  # fmt: skip
    assert notice_text(What.ALARM, asking, HOUR) == (
        "HIT CONFIRMATION OVERDUE\nREQUEST 1 ROUTINE FROM CA0990000 TO NV0990000\n"
        "OCA/T26-0001 NIC/W999000001\nNO YR HAS COME: SEND REQUEST 2, OR CALL THE AGENCY"
    )
    ask(clocks, request(number=3), 3, HOUR)
    assert "TO 3 REQUESTS" in notice_text(What.ESCALATE, asking, 2 * HOUR)


# --- whatever happens ---------------------------------------------------------------------------

RECORDS = [("O1", "N1"), ("O1", "N2"), ("O2", "N3")]
STEPS = st.one_of(
    st.tuples(st.just("ask"), st.sampled_from(list(Side)), st.integers(0, 2), st.integers(1, 3), st.booleans()),
    st.tuples(st.just("answer"), st.sampled_from(list(Side)), st.integers(0, 2)),
    st.tuples(st.just("wait"), st.floats(1.0, 2_000.0)),
)


@settings(max_examples=EXAMPLES)
@given(steps=st.lists(STEPS, max_size=40))
def test_clocks_keep_to_a_simple_reference_whatever_happens(steps: list[tuple[object, ...]]) -> None:
    """Beside every clock runs a plain one: due times by record, told once each, and never before."""
    clocks, now = HitConfirmations(), 0.0
    due: dict[tuple[object, ...], float] = {}
    number: dict[tuple[object, ...], int] = {}
    urgent: dict[tuple[object, ...], bool] = {}
    told: dict[tuple[object, ...], set[What]] = {}
    for msn, (verb, *rest) in enumerate(steps):
        if verb == "wait":
            now += rest[0]  # type: ignore[operator]
            for what, item in clocks.due(now):
                key = (item.side, RECORDS.index((item.request.oca, item.request.nic)))
                if what is What.EXPIRE:
                    assert due.pop(key) + DAY <= now
                    continue
                assert what not in told[key], "told once"
                told[key].add(what)
                if what is What.REMIND:
                    assert due[key] - (120.0 if urgent[key] else 900.0) <= now < due[key]
                else:
                    assert due[key] <= now
            for key, at in due.items():
                assert (at <= now) == (What.ALARM in told[key]) == (What.ESCALATE in told[key])
        elif verb == "ask":
            side, record, rno, is_urgent = rest
            key = (side, record)
            oca, nic = RECORDS[record]  # type: ignore[call-overload]
            ask(clocks, HitRequest("A", ("B",), oca, nic, rno, is_urgent), msn, now, side)  # type: ignore[arg-type]
            until = now + (600.0 if is_urgent else 3_600.0)
            if key not in due or rno > number[key] or due[key] <= now or until < due[key]:  # type: ignore[operator]
                due[key], urgent[key], told[key] = until, bool(is_urgent), set()
            number[key] = max(number.get(key, 0), rno) if key in number else rno  # type: ignore[type-var, assignment]
        else:
            side, record = rest
            oca, nic = RECORDS[record]  # type: ignore[call-overload]
            closed = clocks.answer(side, HitAnswer("B", ("X", "A"), oca, nic))  # type: ignore[arg-type]
            assert (closed is not None) == ((side, record) in due)
            due.pop((side, record), None)
            number.pop((side, record), None)
        assert len(clocks) == len(due)
