"""What waits to be delivered to one destination: bounded, by class, in order within a class.

An index over stays: in which order they go, and which is out in which data frame. A stay leaves it only when the
destination has acknowledged it; what was sent and not acknowledged when the destination is lost goes back to the
front, in its old order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from typing import Final

from msc.limits import OUTBOX_MESSAGES_MAX
from msc.transit.precedence import Precedence
from msc.transit.transaction import Stay

_SHARE: Final = {Precedence.ADMINISTRATIVE: 2, Precedence.BROADCAST: 4}
"""These may take a half and a quarter of an outbox: no flood of them keeps an answer out."""
_UNASKED: Final = frozenset({"unsolicited", "administrative", "broadcast", "hit_confirmation"})
_UNASKED_SHARE: Final = 8
"""And where they are urgent, or a hit confirmation, an eighth: they stand with the answers or before them."""


class Outbox:
    """The messages for one address."""

    def __init__(self, address: str, messages_max: int = OUTBOX_MESSAGES_MAX) -> None:
        self.address = address
        self.blocked: frozenset[str] = frozenset()
        """Databases whose messages have to wait; what goes elsewhere overtakes them."""
        self._messages_max = messages_max
        self._queues: tuple[deque[Stay], ...] = tuple(deque() for _ in Precedence)
        self._sent: dict[tuple[Hashable, int], Stay] = {}
        self._waiting = 0
        # Nothing that waits expires before this.
        self._expiry_us: int | None = None

    def __len__(self) -> int:
        """Return how many have not been acknowledged."""
        return self._waiting + len(self._sent)

    @property
    def waiting(self) -> int:
        """How many are not on their way."""
        return self._waiting

    def by_class(self) -> dict[Precedence, int]:
        """How many of each class are not on their way."""
        return {precedence: len(self._queues[precedence]) for precedence in Precedence}

    def full_for(self, message: Stay) -> bool:
        """Whether a message must go elsewhere: its class has no room, or nothing has."""
        if len(self) >= self._messages_max:
            return True
        share = _SHARE.get(message.precedence, _UNASKED_SHARE if message.kind in _UNASKED else None)
        return share is not None and len(self._queues[message.precedence]) >= self._messages_max // share

    def push(self, message: Stay) -> None:
        """Put a message at the end of its class. Ask `full_for` before."""
        self._queues[message.precedence].append(message)
        self._entered(message)

    def take(self) -> Stay | None:
        """Take the next message to send, or None."""
        for queue in self._queues:
            if queue and not self.blocked:
                self._waiting -= 1
                return queue.popleft()
            for message in queue:
                if message.database not in self.blocked:
                    self._pull(queue, message)
                    return message
        return None

    def give_back(self, message: Stay) -> None:
        """Put a message that was taken, and cannot be sent now, back to the front of its class."""
        self._queues[message.precedence].appendleft(message)
        self._entered(message)

    def sent(self, sequence: int, message: Stay, connection: Hashable = 0) -> None:
        """Note that a message taken went out in a data frame of a connection."""
        self._sent[connection, sequence] = message

    def answered(self, sequence: int, connection: Hashable = 0) -> Stay | None:
        """Take the message a data frame carried, now that it was acknowledged or refused."""
        return self._sent.pop((connection, sequence), None)

    def in_flight(self, connection: Hashable) -> bool:
        """Whether anything is unacknowledged on a connection."""
        return any(key[0] == connection for key in self._sent)

    def unanswered_since(self, before: float) -> set[Hashable]:
        """Return the connections on which something is unanswered that went out by a time (monotonic)."""
        found = set()
        for (connection, _), message in self._sent.items():
            if message.sent_at > before:
                break  # they stand in the order they went
            found.add(connection)
        return found

    def lose(self, connection: Hashable = 0) -> list[Stay]:
        """A connection is lost: what it had not acknowledged is to be sent again, in its old order.

        Returns:
            The messages put back.
        """
        lost = [key for key in self._sent if key[0] == connection]
        again = [self._sent.pop(key) for key in lost]
        for message in reversed(again):
            self.give_back(message)
        return again

    # --- what waits ---------------------------------------------------------------------------------

    def queued(self) -> list[Stay]:
        """Return what waits, in the order it will go out."""
        return [message for queue in self._queues for message in queue]

    def unacknowledged(self) -> list[Stay]:
        """Return what is on its way, in the order it went."""
        return list(self._sent.values())

    def holds(self, msn: int) -> bool:
        """Tell whether a message waits here, or is on its way."""
        return self.find(msn) is not None or any(message.msn == msn for message in self._sent.values())

    def find(self, msn: int) -> Stay | None:
        """Return the waiting message of an MSN, or None."""
        return next((message for queue in self._queues for message in queue if message.msn == msn), None)

    def drop(self, message: Stay) -> None:
        """Remove a waiting message."""
        self._pull(self._queues[message.precedence], message)

    def remove(self, msn: int) -> Stay | None:
        """Take the waiting message of an MSN out; None if none waits (sent, or not here)."""
        message = self.find(msn)
        if message is not None:
            self.drop(message)
        return message

    def reclassed(self, message: Stay, before: Precedence) -> None:
        """Put a waiting message, whose class is another by now, at the end of that."""
        self._pull(self._queues[before], message)
        self.push(message)

    def expire(self, now_us: int) -> list[Stay]:
        """Take out what waits and is of no use any more. It costs nothing while nothing is due."""
        if self._expiry_us is None or now_us < self._expiry_us:
            return []
        due = [m for queue in self._queues for m in queue if m.expires_us is not None and m.expires_us <= now_us]
        for message in due:
            self.drop(message)
        left = [m.expires_us for queue in self._queues for m in queue if m.expires_us is not None]
        self._expiry_us = min(left, default=None)
        return due

    def _entered(self, message: Stay) -> None:
        self._waiting += 1
        if message.expires_us is not None and (self._expiry_us is None or message.expires_us < self._expiry_us):
            self._expiry_us = message.expires_us

    def _pull(self, queue: deque[Stay], message: Stay) -> None:
        for place, each in enumerate(queue):
            if each is message:
                del queue[place]
                self._waiting -= 1
                return
        raise AssertionError("the message does not wait here")
