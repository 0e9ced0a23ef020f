"""What waits for an operator: messages nobody could take, updates whose outcome is unknown, what was intercepted.

It stands in the journal as what is owed to `operator:queue` and `operator:intercept`; a starting switch reads it back
from there, and what becomes of an entry is an event of its message. Here it is only remembered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from msc.journal.recall import Unfinished
from msc.limits import OPERATOR_QUEUE_MAX, OPERATOR_REFILL_MAX
from msc.log import get_logger
from msc.transit.event import OPERATOR_QUEUE, Event, Life

log = get_logger("switch")

INTERCEPT: Final = "operator:intercept"
"""Where messages wait that an operator wants to see before they go anywhere."""

_AS_THE_JOURNAL_SAYS: Final = "as the journal says"


@dataclass(frozen=True, slots=True)
class Entry:
    """A message that an operator has to decide upon.

    Attributes:
        queue: `operator:queue` or `operator:intercept`.
        address: Where it was meant to go; None if nowhere could be found.
        why: In words; never message text.
        since_us: Wall time.
    """

    msn: int
    queue: str
    address: str | None
    why: str
    since_us: int


class OperatorQueue:
    """The entries, oldest first. A message stands in a queue once."""

    def __init__(self) -> None:
        self._entries: dict[tuple[str, int], Entry] = {}
        self.beyond = 0
        """How many stand in the journal alone, because too many wait."""

    def __len__(self) -> int:
        return len(self._entries) + self.beyond

    def add(self, msn: int, address: str | None, why: str, since_us: int, queue: str = OPERATOR_QUEUE) -> None:
        """Enter a message whose event stands in the journal already."""
        # Not why: an operator who put it here may have named somebody, and that stands in the journal alone.
        log.warning("message.to_operator", msn=msn, destination=address, queue=queue)
        self.keep(Entry(msn, queue, address, why, since_us))

    def keep(self, entry: Entry) -> None:
        """Enter what stood here before. Not logged: it is no news."""
        if len(self._entries) >= OPERATOR_QUEUE_MAX and (entry.queue, entry.msn) not in self._entries:
            self.beyond += 1
            return
        self._entries[entry.queue, entry.msn] = entry

    def counts(self) -> tuple[int, int]:
        """Return how many wait because nobody could take them, and how many for an operator's eyes.

        What stands in the journal alone counts as the former.
        """
        intercepted = sum(queue == INTERCEPT for queue, _ in self._entries)
        return len(self) - intercepted, intercepted

    def entries(self, queue: str | None = None) -> list[Entry]:
        """Return what waits, in one queue or in all."""
        return [entry for entry in self._entries.values() if queue in (None, entry.queue)]

    def find(self, msn: int, queue: str = OPERATOR_QUEUE) -> Entry | None:
        """Return the entry of a message, or None."""
        return self._entries.get((queue, msn))

    def take(self, msn: int, queue: str = OPERATOR_QUEUE) -> Entry | None:
        """Take the entry of a message out; None if there is none. Its event is the caller's to write."""
        return self._entries.pop((queue, msn), None)

    def missing(self, owed: Mapping[int, Mapping[str, bool]]) -> list[tuple[int, str]]:
        """Return what stands in the journal alone and has room here now: MSN and queue, oldest first.

        Not to be asked while an order has taken messages out whose events are not in the journal yet.

        Args:
            owed: By MSN, what the journal says of the places where it waits.
        """
        room = min(OPERATOR_QUEUE_MAX - len(self._entries), OPERATOR_REFILL_MAX)
        if not self.beyond or room <= 0:
            return []
        found = [
            (msn, queue)
            for msn, places in owed.items()
            for queue in (OPERATOR_QUEUE, INTERCEPT)
            if queue in places and (queue, msn) not in self._entries
        ]
        self.beyond = len(found)
        return sorted(found)[:room]

    def read_back(self, msn: int, queue: str, events: Sequence[Event]) -> None:
        """Enter one of `missing`, with what has happened to it."""
        routed = [event for event in events if event.event == Life.ROUTED and event.destination == queue]
        why, since_us = (routed[-1].detail, routed[-1].at) if routed else (None, 0)
        self._entries[queue, msn] = Entry(msn, queue, None, why or _AS_THE_JOURNAL_SAYS, since_us)
        self.beyond = max(0, self.beyond - 1)

    def restore(self, leg: Unfinished) -> None:
        """Enter again what a switch that stopped had left here."""
        why = next((event.detail for event in reversed(leg.events) if event.event == Life.ROUTED), None)
        at = leg.events[-1].at if leg.events else leg.message.received
        self.keep(Entry(leg.message.msn, leg.destination, None, why or _AS_THE_JOURNAL_SAYS, at))
