"""Which messages have not ended, and where they stand: kept by the ledger, asked by searches for what is open."""

from __future__ import annotations

from collections.abc import Mapping

from msc.transit.event import Event, Life
from msc.transit.state import State, state_after

Owed = dict[int, dict[str, State]]
"""MSN to the destinations where a message has not ended, and where it stands there."""


def follow(owed: Owed, event: Event) -> None:
    """Keep up with one more event."""
    msn, destination = event.msn, event.destination
    here = owed.get(msn)
    if destination is None:
        if event.event == Life.REFUSED and here is not None:
            del owed[msn]  # after the fact: whoever sent it was told, and nobody gets it
        return
    before = State.ENDED if here is None else here.get(destination, State.ENDED)
    after = state_after(destination, event.event, before)
    if after is before:
        return
    if after:
        owed.setdefault(msn, {})[destination] = after
    elif here is not None:
        del here[destination]
        if not here:
            del owed[msn]


def read_owed(written: Mapping[str, Mapping[str, int]]) -> Owed:
    """Read what stands in the writer's state."""
    return {
        int(msn): {destination: State(number) for destination, number in places.items()}
        for msn, places in written.items()
    }
