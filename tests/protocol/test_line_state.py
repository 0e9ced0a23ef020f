"""Where a line stands: every event in every state, and what an operator's order outlives."""

from __future__ import annotations

import itertools

import pytest

from msc.protocol.line_state import ORDERS, TRANSITIONS, LineCondition, LineEvent, LineState

S, E = LineState, LineEvent

TO_OPEN = [E.CONNECT, E.CONNECTED, E.OPENED]
WAYS: dict[LineState, list[LineEvent]] = {
    S.DOWN: [],
    S.CONNECTING: TO_OPEN[:1],
    S.OPENING: TO_OPEN[:2],
    S.OPEN: TO_OPEN,
    S.HELD: [*TO_OPEN, E.HOLD],
    S.DRAINING: [*TO_OPEN, E.DRAIN],
}
"""How a line comes into each state."""

LEADS: dict[LineState, dict[LineEvent, LineState]] = {
    S.DOWN: {E.CONNECT: S.CONNECTING},
    S.CONNECTING: {E.CONNECTED: S.OPENING, E.LOST: S.DOWN},
    S.OPENING: {E.OPENED: S.OPEN, E.LOST: S.DOWN},
    S.OPEN: {E.LOST: S.DOWN, E.HOLD: S.HELD, E.DRAIN: S.DRAINING, E.RELEASE: S.OPEN},
    S.HELD: {E.LOST: S.DOWN, E.HOLD: S.HELD, E.DRAIN: S.DRAINING, E.RELEASE: S.OPEN},
    S.DRAINING: {E.LOST: S.DOWN, E.HOLD: S.HELD, E.DRAIN: S.DRAINING, E.RELEASE: S.OPEN},
}
"""Written down a second time, so that a slip in the table shows; orders before a session lead nowhere yet."""

PAIRS = [pytest.param(s, e, id=f"{s}-{e.value}") for s, e in itertools.product(LineState, LineEvent)]


def after(*events: LineEvent) -> LineCondition:
    condition = LineCondition()
    for event in events:
        condition.take(event)
    return condition


@pytest.mark.parametrize(("state", "event"), PAIRS)
def test_every_event_in_every_state_leads_where_the_table_says_or_is_our_fault(
    state: LineState, event: LineEvent
) -> None:
    condition = after(*WAYS[state])
    assert condition.state is state
    expected = LEADS[state].get(event, state if event in ORDERS else None)
    assert TRANSITIONS.get((state, event)) is expected
    if expected is None:
        with pytest.raises(AssertionError):
            condition.take(event)
        assert condition.state is state
    else:
        assert condition.take(event) is expected


def test_a_session_stands_in_three_of_the_states_and_ends_in_one_way() -> None:
    assert {state for state in LineState if state.is_connected} == {S.OPEN, S.HELD, S.DRAINING}
    assert {TRANSITIONS[state, E.LOST] for state in LineState if state is not S.DOWN} == {S.DOWN}


@pytest.mark.parametrize(("order", "state"), [(E.HOLD, S.HELD), (E.DRAIN, S.DRAINING)])
def test_what_is_ordered_outlives_the_connection_until_released(order: LineEvent, state: LineState) -> None:
    condition = after(*TO_OPEN, order, E.LOST)
    assert condition.state is S.DOWN
    for _ in range(2):
        assert [condition.take(event) for event in TO_OPEN] == [S.CONNECTING, S.OPENING, state]
        condition.take(E.LOST)
    condition.take(E.RELEASE)
    assert [condition.take(event) for event in TO_OPEN][-1] is S.OPEN


@pytest.mark.parametrize("before", [0, 1, 2])
@pytest.mark.parametrize(("order", "state"), [(E.HOLD, S.HELD), (E.DRAIN, S.DRAINING), (E.RELEASE, S.OPEN)])
def test_an_order_given_before_the_line_is_open_counts_once_it_is(
    before: int, order: LineEvent, state: LineState
) -> None:
    condition = after(*TO_OPEN[:before], order, *TO_OPEN[before:])
    assert condition.state is state


def test_the_last_order_counts() -> None:
    assert after(E.HOLD, E.DRAIN, *TO_OPEN).state is S.DRAINING
    assert after(E.DRAIN, E.HOLD, *TO_OPEN).state is S.HELD
    assert after(E.HOLD, E.RELEASE, *TO_OPEN).state is S.OPEN
