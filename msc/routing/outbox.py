"""What waits to be delivered to one destination: bounded, by priority, in order within a priority.

An entry leaves an outbox only when the destination has acknowledged it. What was sent and not
acknowledged when the destination is lost goes back to the front, in its old order, marked as a possible
duplicate. An address is `device:NAME`, `user:ID` (a pooled mnemonic changes hands, the person who
asked does not) or `line:NAME`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from msc.limits import OUTBOX_MESSAGES_MAX
from msc.protocol.envelope import URGENT


@dataclass(slots=True)
class Outgoing:
    """One message on its way to one destination.

    Attributes:
        msn: Its own MSN.
        kind: The envelope's `kind`; empty on lines.
        text: As the destination gets it.
        source: Line or device it came from.
        received_us: When we got it.
        header: The originator's supplemental header, or None.
        priority: `urgent` or `routine`.
        ref, reply_to, station, transaction: See the envelope of `docs/protocol.md`; `station` is the
            connection on which `reply_to` means anything.
        awaiting: Destinations that have not answered yet, where it belongs to an inquiry.
        update: Whether it changes a record: never sent twice unasked.
        attempts: How often the destination has refused it.
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
    possible_duplicate: bool = False
    attempts: int = 0
    sent_at: float = 0.0


_URGENT_FIRST: Final = 2


class Outbox:
    """The messages for one address."""

    def __init__(self, address: str, messages_max: int = OUTBOX_MESSAGES_MAX) -> None:
        self.address = address
        self._messages_max = messages_max
        self._queues: tuple[deque[Outgoing], ...] = tuple(deque() for _ in range(_URGENT_FIRST))
        self._sent: dict[tuple[int, int], Outgoing] = {}

    def __len__(self) -> int:
        """Return how many have not been acknowledged."""
        return len(self._queues[0]) + len(self._queues[1]) + len(self._sent)

    @property
    def full(self) -> bool:
        """Whether another message must go elsewhere."""
        return len(self) >= self._messages_max

    def _queue(self, message: Outgoing) -> deque[Outgoing]:
        return self._queues[0 if message.priority == URGENT else 1]

    def push(self, message: Outgoing) -> None:
        """Put a message at the end of its priority. Ask `full` before."""
        self._queue(message).append(message)

    def take(self) -> Outgoing | None:
        """Take the next message to send, or None."""
        for queue in self._queues:
            if queue:
                return queue.popleft()
        return None

    def give_back(self, message: Outgoing) -> None:
        """Put a message that was taken, and cannot be sent now, back to the front of its priority."""
        self._queue(message).appendleft(message)

    def sent(self, sequence: int, message: Outgoing, connection: int = 0) -> None:
        """Note that a message taken went out in a data frame of a connection."""
        self._sent[connection, sequence] = message

    def answered(self, sequence: int, connection: int = 0) -> Outgoing | None:
        """Take the message a data frame carried, now that it was acknowledged or refused."""
        return self._sent.pop((connection, sequence), None)

    def lose(self, connection: int = 0) -> list[Outgoing]:
        """A connection is lost: what it had not acknowledged is to be sent again, in its old order.

        Returns:
            The messages put back, marked as possible duplicates.
        """
        lost = [key for key in self._sent if key[0] == connection]
        again = [self._sent.pop(key) for key in lost]
        for message in reversed(again):
            message.possible_duplicate = True
            self._queue(message).appendleft(message)
        return again

    def drop(self, message: Outgoing) -> None:
        """Remove a queued message."""
        self._queue(message).remove(message)

    def remove(self, msn: int) -> Outgoing | None:
        """Take the queued message of an MSN out; None if it is not queued (sent, or not here)."""
        for queue in self._queues:
            for message in queue:
                if message.msn == msn:
                    queue.remove(message)
                    return message
        return None
