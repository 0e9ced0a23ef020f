"""A message's life is the same, applied as it happens, replayed after a restart, or followed by the ledger."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msc.transit.event import Event, Facts, Life
from msc.transit.message import MessageRecord
from msc.transit.state import TRANSITIONS, Place, State, has_ended, place_of, state_after
from msc.transit.transaction import Stay, Transaction

pytestmark = pytest.mark.requirement("C-JOURNAL", "C-TRAFFIC")

PLACES = {Place.LINE: "line:clets-a", Place.STATION: "device:desk-1", Place.ELSEWHERE: "operator:queue"}
ODD = st.text(max_size=8)
FACTS: st.SearchStrategy[Facts] = st.fixed_dictionaries(
    {},
    optional={
        "why": ODD, "code": ODD, "route": ODD, "group": st.booleans(), "late": st.booleans(),
        "unanswered": st.booleans(), "precedence": st.sampled_from(["URGENT", "BROADCAST"]) | ODD,
        "hops": st.integers(0, 9), "until": st.integers(0, 2**53),
    },
)  # type: ignore[assignment]  # fmt: skip
EVENTS = st.lists(
    st.builds(
        Event,
        st.just(17),
        st.integers(0, 2**53),
        st.sampled_from(Life).map(str) | ODD,
        st.sampled_from([*PLACES.values(), "user:J40217", "line:ncic-a", "hitconf:clock"]) | st.none(),
        FACTS,
    ),
    max_size=40,
)


def message(*events: Event) -> MessageRecord:
    return MessageRecord(17, 1, "outbound", "inquiry", header="A12300000H", events=events)


def told(stay: Stay) -> tuple[object, ...]:
    """Return all that events say of a stay."""
    return (
        stay.state, stay.ended, stay.facts, stay.since_us, stay.was_sent, stay.attempts, stay.returns,
        stay.unanswered, stay.hops, stay.precedence, stay.told, stay.expires_us,
    )  # fmt: skip


def lives(events: list[Event], destination: str) -> list[str]:
    """Return what happened at a destination: where all of it is refused, that too."""
    known, found = False, []
    for event in events:
        known = known or event.destination == destination
        if event.destination == destination or (event.destination is None and event.event == "refused" and known):
            found.append(event.event)
    return found


@given(EVENTS, st.integers(0, 40))
def test_a_replayed_life_is_the_life_that_was_lived(events: list[Event], stored_with_it: int) -> None:
    lived = Transaction(message())
    for event in events:
        lived.apply(event)
    replayed = Transaction.replay(message(*events[:stored_with_it]), events[stored_with_it:])
    assert {name: told(stay) for name, stay in replayed.stays.items()} == {
        name: told(stay) for name, stay in lived.stays.items()
    }
    assert (replayed.open, replayed.lines_open) == (lived.open, lived.lines_open)


@given(EVENTS)
def test_the_ledgers_view_and_the_stays_agree(events: list[Event]) -> None:
    transaction = Transaction.replay(message(), events)
    for destination, stay in transaction.stays.items():
        state = State.ENDED
        for life in lives(events, destination):
            state = state_after(destination, life, state)
        assert stay.state is state
        assert has_ended(destination, lives(events, destination)) is not stay.open


@given(EVENTS)
def test_what_is_open_is_counted_right(events: list[Event]) -> None:
    transaction = Transaction.replay(message(), events)
    open_stays = [stay for stay in transaction.stays.values() if stay.open]
    assert transaction.open == len(open_stays) == len(transaction.open_stays())
    assert transaction.lines_open == len([stay for stay in open_stays if stay.place is Place.LINE])


@given(EVENTS)
def test_what_may_have_gone_out_never_again_counts_as_certainly_not_sent(events: list[Event]) -> None:
    transaction, sent = Transaction(message()), False
    for event in events:
        stay = transaction.apply(event)
        if stay is None or stay.destination != "line:clets-a":
            continue
        if event.event == Life.ROUTED:
            sent = False
        sent = sent or stay.state in (State.CLEARED, State.SENT, State.TAKEN_OVER)
        assert not (sent and stay.state is State.QUEUED)
        assert stay.was_sent or not (sent and stay.state is State.RETURNED and event.event == Life.RETURNED)


@pytest.mark.parametrize("place", Place)
@pytest.mark.parametrize("before", State)
@pytest.mark.parametrize("life", Life)
def test_every_event_in_every_state_does_what_the_table_says(place: Place, before: State, life: Life) -> None:
    transaction = Transaction(message())
    stay = transaction.stays[PLACES[place]] = Stay(transaction, PLACES[place])
    assert stay.place is place is place_of(PLACES[place])
    stay.state = before
    stay.apply(Event(17, 2, life, PLACES[place]))
    assert stay.state is TRANSITIONS[place].get(life, {}).get(before, before)


@pytest.mark.parametrize("place", Place)
def test_only_being_routed_opens_what_has_ended(place: Place) -> None:
    assert [life for life in Life if state_after(PLACES[place], life) is not State.ENDED] == [Life.ROUTED]
