"""What waits for an operator: messages nobody could take, updates whose outcome is unknown, what was intercepted.

It stands in the journal as what is owed to `operator:queue` and `operator:intercept`; a starting switch reads it back
from there, and what becomes of a message is an event of its life. This is an index over the stays.
"""

from __future__ import annotations

from collections.abc import Mapping

from msc.limits import OPERATOR_QUEUE_MAX, OPERATOR_REFILL_MAX
from msc.log import get_logger
from msc.transit.event import INTERCEPT, OPERATOR_QUEUE
from msc.transit.state import State
from msc.transit.transaction import Stay

log = get_logger("switch")


class OperatorQueue:
    """The messages, oldest first. A message is in a queue once."""

    def __init__(self) -> None:
        self._stays: dict[tuple[str, int], Stay] = {}
        self.beyond = 0
        """How many stand in the journal alone, because too many wait."""

    def __len__(self) -> int:
        return len(self._stays) + self.beyond

    def add(self, stay: Stay) -> None:
        """Enter a message whose event stands in the journal already."""
        # Not why: an operator who put it here may have named somebody, and that stands in the journal alone.
        log.warning("message.to_operator", msn=stay.msn, destination=stay.facts.get("meant"), queue=stay.destination)
        self.keep(stay)

    def keep(self, stay: Stay) -> None:
        """Enter what was here before. Not logged: it is not news."""
        place = stay.destination, stay.msn
        if len(self._stays) >= OPERATOR_QUEUE_MAX and place not in self._stays:
            self.beyond += 1
            return
        self._stays[place] = stay

    def counts(self) -> tuple[int, int]:
        """Return how many wait because nobody could take them, and how many for an operator's eyes.

        What stands in the journal alone counts as the former.
        """
        intercepted = sum(queue == INTERCEPT for queue, _ in self._stays)
        return len(self) - intercepted, intercepted

    def entries(self, queue: str | None = None) -> list[Stay]:
        """Return what waits, in one queue or in all."""
        return [stay for stay in self._stays.values() if queue in (None, stay.destination)]

    def find(self, msn: int, queue: str = OPERATOR_QUEUE) -> Stay | None:
        """Return a message that waits in a queue, or None."""
        return self._stays.get((queue, msn))

    def take(self, msn: int, queue: str = OPERATOR_QUEUE) -> Stay | None:
        """Take a message out; None if it is not there. Its event is the caller's to write."""
        return self._stays.pop((queue, msn), None)

    def missing(self, owed: Mapping[int, Mapping[str, State]]) -> list[tuple[int, str]]:
        """Return what stands in the journal alone and has room here now: MSN and queue, oldest first.

        Not to be asked while an order has taken messages out whose events are not in the journal yet.

        Args:
            owed: By MSN, what the journal says of the places where it waits.
        """
        room = min(OPERATOR_QUEUE_MAX - len(self._stays), OPERATOR_REFILL_MAX)
        if not self.beyond or room <= 0:
            return []
        found = [
            (msn, queue)
            for msn, places in owed.items()
            for queue in (OPERATOR_QUEUE, INTERCEPT)
            if queue in places and (queue, msn) not in self._stays
        ]
        self.beyond = len(found)
        return sorted(found)[:room]

    def read_back(self, stay: Stay) -> None:
        """Enter one of `missing`."""
        self._stays[stay.destination, stay.msn] = stay
        self.beyond = max(0, self.beyond - 1)
