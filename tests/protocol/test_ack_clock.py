"""When an acknowledgement is overdue."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from msc.protocol.ack_clock import AckClock


def test_a_message_without_an_acknowledgement_is_overdue_after_its_time() -> None:
    clock = AckClock(10.0)
    assert not clock.is_overdue(0.0, 1, 1)
    assert not clock.is_overdue(9.9, 1, 1)
    assert clock.is_overdue(10.0, 1, 1)


def test_a_peer_that_is_slow_but_goes_on_is_not_overdue() -> None:
    clock = AckClock(10.0)
    for at in range(100):
        # It takes one a second, and is always five behind.
        assert not clock.is_overdue(float(at), at + 5, at + 1)


def test_one_that_is_passed_by_all_others_is_overdue() -> None:
    clock = AckClock(10.0)
    late = [at for at in range(20) if clock.is_overdue(float(at), at + 1, 1)]
    assert late[0] == 10


def test_nothing_unanswered_is_never_overdue_and_what_comes_next_has_its_own_time() -> None:
    clock = AckClock(10.0)
    assert not clock.is_overdue(0.0, 0, None)
    assert not clock.is_overdue(5.0, 1, 1)
    assert not clock.is_overdue(12.0, 1, None)
    assert not clock.is_overdue(100.0, 2, 2)
    assert clock.is_overdue(110.0, 2, 2)


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=60))
def test_it_is_as_exact_as_the_time_between_two_looks(steps: list[tuple[int, bool]]) -> None:
    clock, waiting, sent = AckClock(5.0), {}, 0
    for at, (new, answered) in enumerate(steps):
        for _ in range(new):
            sent += 1
            waiting[sent] = at
        if answered and waiting:
            del waiting[min(waiting)]
        oldest = min(waiting, default=None)
        told = clock.is_overdue(float(at), sent, oldest)
        # Messages are sent right before a look here, so that it sees each at once.
        assert told is (oldest is not None and at - waiting[oldest] >= 5)
