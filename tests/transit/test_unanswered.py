"""The alarm for the oldest unanswered inquiry: once at the start, once at the end, by line and by mnemonic."""

from __future__ import annotations

import os

from hypothesis import given, settings
from hypothesis import strategies as st

from msc.transit.unanswered import Alarm, Unanswered, Waiting

EXAMPLES = int(os.environ.get("MSC_CLOCK_EXAMPLES", "50"))
LINE, MNEMONIC = Waiting.LINE, Waiting.MNEMONIC


def about(alarms: list[Alarm], what: Waiting) -> list[Alarm]:
    return [alarm for alarm in alarms if alarm.what is what]


def test_an_alarm_begins_once_when_the_oldest_is_too_old() -> None:
    watch = Unanswered(10.0)
    watch.sent("clets-a", "EXA1", 1, 0.0)
    watch.sent("clets-a", "EXA1", 2, 5.0)
    assert watch.tick(9.9) == []
    assert watch.tick(10.0) == [Alarm(LINE, "clets-a", True, 0.0), Alarm(MNEMONIC, "EXA1", True, 0.0)]
    assert watch.tick(10.0) == watch.tick(20.0) == []
    assert [alarm.name for alarm in watch.raised()] == ["clets-a", "EXA1"]


def test_an_alarm_ends_once_when_that_inquiry_is_answered() -> None:
    watch = Unanswered(10.0)
    watch.sent("clets-a", "EXA1", 1, 0.0)
    watch.sent("clets-a", "EXA1", 2, 5.0)
    watch.tick(10.0)
    watch.answered("clets-a", "EXA1", 1, 11.0)
    assert watch.tick(11.0) == [Alarm(LINE, "clets-a", False, 0.0), Alarm(MNEMONIC, "EXA1", False, 0.0)]
    assert watch.tick(14.9) == []
    assert about(watch.tick(15.0), LINE) == [Alarm(LINE, "clets-a", True, 5.0)]


def test_an_answer_to_another_inquiry_does_not_end_it() -> None:
    watch = Unanswered(10.0)
    watch.sent("clets-a", "EXA1", 1, 0.0)
    watch.sent("clets-a", "EXA1", 2, 5.0)
    watch.tick(10.0)
    watch.answered("clets-a", "EXA1", 2, 11.0)
    assert watch.tick(12.0) == [], "the oldest still waits"


def test_what_is_answered_in_time_alarms_nobody() -> None:
    watch = Unanswered(10.0)
    for msn in range(100):
        watch.sent("clets-a", "EXA1", msn, float(msn))
        watch.answered("clets-a", "EXA1", msn, msn + 0.5)
        assert watch.tick(float(msn)) == []
    assert watch.tick(1_000.0) == []
    assert (len(watch), watch.raised(), watch._watches) == (0, [], {})


def test_a_silent_line_keeps_its_one_alarm_although_its_inquiries_are_given_up() -> None:
    watch = Unanswered(10.0)
    alarms: list[Alarm] = []
    for second in range(300):
        now = float(second)
        watch.sent("clets-a", f"EX{second % 7:02}", second, now)
        if second >= 15:
            watch.given_up("clets-a", f"EX{(second - 15) % 7:02}", second - 15, now)
        alarms += about(watch.tick(now), LINE)
    assert alarms == [Alarm(LINE, "clets-a", True, 0.0)]
    for second in range(285, 300):
        watch.given_up("clets-a", f"EX{second % 7:02}", second, 400.0)
    assert about(watch.tick(100_000.0), LINE) == [], "nothing waits, and nothing was answered"
    watch.sent("clets-a", "EX00", 1_000, 100_000.0)
    watch.answered("clets-a", "EX00", 1_000, 100_000.1)
    assert about(watch.tick(100_000.1), LINE) == [Alarm(LINE, "clets-a", False, 0.0)]


def test_a_line_whose_inquiries_are_given_up_sooner_than_the_alarm_comes_still_alarms() -> None:
    watch = Unanswered(10.0)
    watch.sent("clets-a", "EXA1", 1, 0.0)
    watch.given_up("clets-a", "EXA1", 1, 5.0)
    assert about(watch.tick(10.0), LINE) == [Alarm(LINE, "clets-a", True, 0.0)]


def test_what_is_given_up_on_a_line_that_has_answered_since_counts_no_more() -> None:
    watch = Unanswered(10.0)
    watch.sent("clets-a", "EXA1", 1, 0.0)
    watch.sent("clets-a", "EXA2", 2, 1.0)
    watch.answered("clets-a", "EXA2", 2, 1.5)
    assert about(watch.tick(10.0), LINE) == [Alarm(LINE, "clets-a", True, 0.0)]
    watch.given_up("clets-a", "EXA1", 1, 15.0)
    assert about(watch.tick(15.0), LINE) == [Alarm(LINE, "clets-a", False, 0.0)]


def test_whatever_a_line_says_ends_its_alarm_once_nothing_waits() -> None:
    watch = Unanswered(10.0)
    watch.sent("clets-a", "EXA1", 1, 0.0)
    watch.given_up("clets-a", "EXA1", 1, 15.0)
    watch.tick(15.0)
    watch.heard("clets-a", 16.0)
    assert about(watch.tick(16.0), LINE) == [Alarm(LINE, "clets-a", False, 0.0)]
    watch.heard("ncic-a", 16.0)


def test_a_late_answer_ends_a_mnemonics_alarm() -> None:
    watch = Unanswered(10.0)
    watch.sent("clets-a", "EXA1", 1, 0.0)
    watch.given_up("clets-a", "EXA1", 1, 15.0)
    assert about(watch.tick(15.0), MNEMONIC) == [Alarm(MNEMONIC, "EXA1", True, 0.0)]
    watch.answered("clets-a", "EXA1", 1, 60.0)
    assert about(watch.tick(60.0), MNEMONIC) == [Alarm(MNEMONIC, "EXA1", False, 0.0)]


def test_a_mnemonics_alarm_ends_when_answers_are_accepted_no_more() -> None:
    watch = Unanswered(10.0, window_s=3_600.0)
    watch.sent("clets-a", "EXA1", 1, 0.0)
    watch.given_up("clets-a", "EXA1", 1, 15.0)
    watch.tick(15.0)
    watch.sent("clets-a", "EXA1", 2, 100.0)
    watch.given_up("clets-a", "EXA1", 2, 115.0)
    assert about(watch.tick(3_699.9), MNEMONIC) == []
    assert about(watch.tick(3_700.0), MNEMONIC) == [Alarm(MNEMONIC, "EXA1", False, 0.0)]
    assert {alarm.what for alarm in watch.raised()} == {LINE}


def test_two_lines_of_one_inquiry_are_watched_apart() -> None:
    watch = Unanswered(10.0)
    watch.sent("clets-a", "EXA1", 1, 0.0)
    watch.sent("ncic-a", "EXA1", 1, 0.0)
    watch.answered("ncic-a", "EXA1", 1, 1.0)
    assert watch.tick(10.0) == [Alarm(LINE, "clets-a", True, 0.0), Alarm(MNEMONIC, "EXA1", True, 0.0)]
    assert watch.oldest(LINE) == {"clets-a": 0.0}


def test_what_goes_out_again_is_watched_from_the_first() -> None:
    watch = Unanswered(10.0)
    watch.sent("clets-a", "EXA1", 1, 0.0)
    watch.sent("clets-a", "EXA1", 1, 8.0)
    assert len(watch) == 1
    assert len(watch.tick(10.0)) == 2


def test_no_more_inquiries_are_watched_than_allowed() -> None:
    watch = Unanswered(10.0, inquiries_max=3)
    for msn in range(10):
        watch.sent("clets-a", f"EX{msn:02}", msn, 0.0)
    assert len(watch) == 3
    for msn in range(10):
        watch.answered("clets-a", f"EX{msn:02}", msn, 1.0)
    assert len(watch) == 0
    watch.tick(10.0)
    assert watch._watches == {}


def test_times_that_round_badly_keep_nobody_waiting() -> None:
    watch = Unanswered(10.0)
    for sent in (0.1, 0.7, 1.1, 1.9, 2.3, 3.3, 1e6 + 0.1, 1e7 / 3):
        watch.sent("clets-a", "EXA1", int(sent * 1e6), sent)
        watch.tick(sent + 10.0)
        watch.answered("clets-a", "EXA1", int(sent * 1e6), sent + 10.5)
        watch.tick(sent + 10.5)
    assert watch.raised() == []


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["sent", "answered", "given_up", "heard"]),
        st.sampled_from(["l1", "l2"]),
        st.integers(0, 5),
        st.floats(0.0, 20.0),
    ),
    max_size=60,
)


@settings(max_examples=EXAMPLES)
@given(steps=STEPS)
def test_alarms_of_lines_keep_to_a_simple_reference(steps: list[tuple[str, str, int, float]]) -> None:
    """A line is in alarm exactly while the oldest that counts is too old; start and end take turns."""
    watch, now = Unanswered(10.0), 0.0
    waiting: dict[tuple[str, int], float] = {}
    silent: dict[str, list[float]] = {"l1": [], "l2": []}  # given up, and nothing was answered since it was sent
    answered_at = {"l1": -1.0, "l2": -1.0}
    state = {"l1": False, "l2": False}
    for verb, line, msn, later in steps:
        now += later
        if verb == "sent":
            watch.sent(line, f"EX0{msn}", msn, now)
            waiting.setdefault((line, msn), now)
        elif verb == "given_up":
            watch.given_up(line, f"EX0{msn}", msn, now)
            at = waiting.pop((line, msn), None)
            if at is not None and at >= answered_at[line]:
                silent[line].append(at)
        else:
            if verb == "answered":
                watch.answered(line, f"EX0{msn}", msn, now)
                waiting.pop((line, msn), None)
            else:
                watch.heard(line, now)
            answered_at[line] = now
            silent[line].clear()
        for alarm in about(watch.tick(now), LINE):
            assert alarm.raised is not state[alarm.name]
            state[alarm.name] = alarm.raised
        for name in state:
            times = [at for (asked, _), at in waiting.items() if asked == name] + silent[name]
            assert state[name] == (bool(times) and now >= min(times) + 10.0)
