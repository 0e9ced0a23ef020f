"""Where a message can stand at one destination, and what each event makes of that: one table (`TRANSITIONS`).

The running switch, a starting one, the journal's ledger and whoever follows the journal all go by it. An event that
the table does not have for a state changes nothing; no event raises.

            ROUTED ─▶ QUEUED ─▶ CLEARED ─▶ SENT ─▶ TAKEN_OVER ─▶ ENDED
               ▲                            │
               └───────── RETURNED ◀────────┘          any open state ─▶ ENDED ─routed▶ ROUTED
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import Final

from msc.transit.event import Life


class State(IntEnum):
    """Where it stands."""

    ENDED = 0
    """It is over here, or never was here."""
    ROUTED = 1
    """It is meant for here, and not on its way yet."""
    QUEUED = 2
    """It waits, and certainly was not sent."""
    CLEARED = 3
    """It may be sent at any moment."""
    SENT = 4
    """It is on its way; nobody has acknowledged it."""
    RETURNED = 5
    """It was on its way and waits again."""
    TAKEN_OVER = 6
    """A line has acknowledged it; its answer is awaited."""


class Place(IntEnum):
    """What kind of destination it is: for each, other events are the end."""

    LINE = 0
    STATION = 1
    ELSEWHERE = 2
    """Where it waits for a person or a clock: `operator:queue`, `hitconf:clock`, `board:daily` …"""


_OPEN: Final = frozenset(State) - {State.ENDED}
_ON_ITS_WAY: Final = frozenset({State.CLEARED, State.SENT, State.RETURNED, State.TAKEN_OVER})


def _from_open(to: State) -> dict[State, State]:
    return dict.fromkeys(_OPEN, to)


def _end(*lives: Life) -> dict[Life, dict[State, State]]:
    return {life: _from_open(State.ENDED) for life in lives}


_COMMON: Final = {
    Life.ROUTED: dict.fromkeys(State, State.ROUTED),
    # What was on its way once may be there: it never again counts as certainly not sent.
    Life.QUEUED: {state: State.RETURNED if state in _ON_ITS_WAY else State.QUEUED for state in _OPEN},
    Life.CLEARED: _from_open(State.CLEARED),
    Life.SENT: _from_open(State.SENT),
    Life.RETURNED: _from_open(State.RETURNED),
}

TRANSITIONS: Final[Mapping[Place, Mapping[Life, Mapping[State, State]]]] = MappingProxyType(
    {
        # Being taken over by the state is not an answer: on a line it must have been answered or given up.
        Place.LINE: {
            **_COMMON,
            Life.ACKNOWLEDGED: _from_open(State.TAKEN_OVER),
            **_end(
                Life.ANSWERED, Life.NOT_SENT, Life.EXPIRED, Life.OUTCOME_UNKNOWN, Life.REFUSED_BY_PEER,
                Life.OPERATOR_QUEUE, Life.FORWARDED, Life.CANCELLED, Life.REFUSED,
            ),
        },
        Place.STATION: {
            **_COMMON,
            Life.REFUSED_BY_PEER: _from_open(State.RETURNED),
            **_end(
                Life.ACKNOWLEDGED, Life.EXPIRED, Life.OPERATOR_QUEUE, Life.FORWARDED, Life.ALTERNATE_ROUTED,
                Life.CANCELLED, Life.REFUSED,
            ),
        },
        Place.ELSEWHERE: {
            Life.ROUTED: _COMMON[Life.ROUTED],
            **_end(Life.ANSWERED, Life.EXPIRED, Life.FORWARDED, Life.CANCELLED, Life.REFUSED),
        },
    }
)  # fmt: skip
"""Kind of place, event, state before: state after."""

_PLACES: Final = MappingProxyType({"line": Place.LINE, "device": Place.STATION, "user": Place.STATION})


def place_of(destination: str) -> Place:
    """Return what kind of destination an address is."""
    return _PLACES.get(destination.partition(":")[0], Place.ELSEWHERE)


def state_after(destination: str, life: str, before: State = State.ENDED) -> State:
    """Return where a message stands at a destination after an event; as before, if the table does not have it."""
    return state_at(place_of(destination), life, before)


def state_at(place: Place, life: str, before: State) -> State:
    """Return where a message stands at a kind of destination after an event; as before, if the table has nothing."""
    made: Mapping[State, State] | None = TRANSITIONS[place].get(life)  # type: ignore[call-overload]
    return before if made is None else made.get(before, before)


def was_sent(state: State) -> bool:
    """Tell whether the destination may have it already."""
    return state >= State.SENT


def has_ended(destination: str, lives: Iterable[str]) -> bool:
    """Tell from a message's events at one destination, in their order, whether it has ended there."""
    state = State.ENDED
    for life in lives:
        state = state_after(destination, life, state)
    return state is State.ENDED
