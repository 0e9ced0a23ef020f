"""What waits to be delivered to one destination: bounded, by class, in order within a class.

An entry leaves an outbox only when the destination has acknowledged it. What was sent and not
acknowledged when the destination is lost goes back to the front, in its old order, marked as a possible
duplicate. An address is `device:NAME`, `user:ID` (a pooled mnemonic changes hands, the person who
asked does not) or `line:NAME`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from msc.limits import OUTBOX_MESSAGES_MAX
from msc.protocol.envelope import URGENT


class Precedence(IntEnum):
    """The classes of what waits. A lower one goes first; within one, messages keep their order."""

    URGENT = 0
    """Urgent hit confirmations, and what its sender marked urgent."""
    STATUS = 1
    RESPONSE = 2
    """Answers; on lines inquiries and updates."""
    ADMINISTRATIVE = 3
    BROADCAST = 4


_OF_KIND: Final = {
    "status": Precedence.STATUS,
    "unsolicited": Precedence.ADMINISTRATIVE,
    "administrative": Precedence.ADMINISTRATIVE,
    "broadcast": Precedence.BROADCAST,
}
_SHARE: Final = {Precedence.ADMINISTRATIVE: 2, Precedence.BROADCAST: 4}
"""These may take a half and a quarter of an outbox: no flood of them keeps an answer out."""
_UNASKED: Final = frozenset({"unsolicited", "administrative", "broadcast", "hit_confirmation"})
_UNASKED_SHARE: Final = 8
"""And where they are urgent, or a hit confirmation, an eighth: they stand with the answers or before them."""


def precedence_of(kind: str, priority: str) -> Precedence:
    """Return the class of a message by its kind and its sender's priority."""
    return Precedence.URGENT if priority == URGENT else _OF_KIND.get(kind, Precedence.RESPONSE)


@dataclass(slots=True)
class Outgoing:
    """One message on its way to one destination.

    Attributes:
        msn: Its own MSN.
        kind: The envelope's `kind`; on lines the catalog's function.
        text: As the destination gets it.
        source: Line or device it came from.
        received_us: When we got it.
        header: The originator's supplemental header, or None.
        priority: `urgent` or `routine`.
        ref, reply_to, station, transaction: See the envelope of `docs/protocol.md`; `station` is the
            connection on which `reply_to` means anything.
        awaiting: Destinations that have not answered yet, where it belongs to an inquiry.
        update: Whether it changes a record: never sent twice unasked.
        database: What it asks, on lines.
        late: Whether it answers what its originator had been told was given up.
        original_mnemonic: Whose it was, when it was forwarded or alternate-routed.
        hops: How often it was sent elsewhere; bounded, so that nothing goes round in circles.
        expires_us: Wall time from which on it is of no use any more; None is never.
        precedence: Its place among what waits.
        attempts: How often the destination has refused it.
        bulletin: Whether it is from the bulletin board: every station gets its own, and it ends with its time.
        unanswered: How often it has left it unanswered.
        sent_at: Monotonic time of the last sending, for the delivery's latency.
    """

    msn: int
    kind: str
    text: str
    source: str
    received_us: int
    header: str | None = None
    priority: str = "routine"
    ref: str | None = None
    reply_to: int | None = None
    station: int = 0
    transaction: int | None = None
    awaiting: int | None = None
    update: bool = False
    database: str | None = None
    possible_duplicate: bool = False
    late: bool = False
    original_mnemonic: str | None = None
    hops: int = 0
    expires_us: int | None = None
    precedence: Precedence = field(init=False)
    attempts: int = 0
    unanswered: int = 0
    bulletin: bool = False
    sent_at: float = 0.0

    def __post_init__(self) -> None:
        self.precedence = precedence_of(self.kind, self.priority)


class Outbox:
    """The messages for one address."""

    def __init__(self, address: str, messages_max: int = OUTBOX_MESSAGES_MAX) -> None:
        self.address = address
        self.blocked: frozenset[str] = frozenset()
        """Databases whose messages have to wait; what goes elsewhere overtakes them."""
        self._messages_max = messages_max
        self._queues: tuple[deque[Outgoing], ...] = tuple(deque() for _ in Precedence)
        self._sent: dict[tuple[Hashable, int], Outgoing] = {}
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

    def full_for(self, message: Outgoing) -> bool:
        """Whether a message must go elsewhere: its class has no room, or nothing has."""
        if len(self) >= self._messages_max:
            return True
        share = _SHARE.get(message.precedence, _UNASKED_SHARE if message.kind in _UNASKED else None)
        return share is not None and len(self._queues[message.precedence]) >= self._messages_max // share

    def push(self, message: Outgoing) -> None:
        """Put a message at the end of its class. Ask `full_for` before."""
        self._queues[message.precedence].append(message)
        self._entered(message)

    def take(self) -> Outgoing | None:
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

    def give_back(self, message: Outgoing) -> None:
        """Put a message that was taken, and cannot be sent now, back to the front of its class."""
        self._queues[message.precedence].appendleft(message)
        self._entered(message)

    def sent(self, sequence: int, message: Outgoing, connection: Hashable = 0) -> None:
        """Note that a message taken went out in a data frame of a connection."""
        self._sent[connection, sequence] = message

    def answered(self, sequence: int, connection: Hashable = 0) -> Outgoing | None:
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

    def lose(self, connection: Hashable = 0) -> list[Outgoing]:
        """A connection is lost: what it had not acknowledged is to be sent again, in its old order.

        Returns:
            The messages put back, marked as possible duplicates.
        """
        lost = [key for key in self._sent if key[0] == connection]
        again = [self._sent.pop(key) for key in lost]
        for message in reversed(again):
            message.possible_duplicate = True
            self.give_back(message)
        return again

    # --- what waits ---------------------------------------------------------------------------------

    def queued(self) -> list[Outgoing]:
        """Return what waits, in the order it will go out."""
        return [message for queue in self._queues for message in queue]

    def unacknowledged(self) -> list[Outgoing]:
        """Return what is on its way, in the order it went."""
        return list(self._sent.values())

    def holds(self, msn: int) -> bool:
        """Tell whether a message waits here, or is on its way."""
        return self.find(msn) is not None or any(message.msn == msn for message in self._sent.values())

    def find(self, msn: int) -> Outgoing | None:
        """Return the waiting message of an MSN, or None."""
        return next((message for queue in self._queues for message in queue if message.msn == msn), None)

    def drop(self, message: Outgoing) -> None:
        """Remove a waiting message."""
        self._pull(self._queues[message.precedence], message)

    def remove(self, msn: int) -> Outgoing | None:
        """Take the waiting message of an MSN out; None if none waits (sent, or not here)."""
        message = self.find(msn)
        if message is not None:
            self.drop(message)
        return message

    def reprioritise(self, message: Outgoing, precedence: Precedence) -> None:
        """Put a waiting message at the end of another class."""
        self.drop(message)
        message.precedence = precedence
        self.push(message)

    def expire(self, now_us: int) -> list[Outgoing]:
        """Take out what waits and is of no use any more. It costs nothing while nothing is due."""
        if self._expiry_us is None or now_us < self._expiry_us:
            return []
        due = [m for queue in self._queues for m in queue if m.expires_us is not None and m.expires_us <= now_us]
        for message in due:
            self.drop(message)
        left = [m.expires_us for queue in self._queues for m in queue if m.expires_us is not None]
        self._expiry_us = min(left, default=None)
        return due

    def _entered(self, message: Outgoing) -> None:
        self._waiting += 1
        if message.expires_us is not None and (self._expiry_us is None or message.expires_us < self._expiry_us):
            self._expiry_us = message.expires_us

    def _pull(self, queue: deque[Outgoing], message: Outgoing) -> None:
        for place, each in enumerate(queue):
            if each is message:
                del queue[place]
                self._waiting -= 1
                return
        raise AssertionError("the message does not wait here")
