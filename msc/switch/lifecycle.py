"""What happens to messages, told to what is on its way and to the journal in one step, so that the two agree.

What is only noted holds at once. What is to be stored holds when the journal says so, and not if it cannot.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from msc import clock
from msc.errors import JournalUnavailable
from msc.journal.writer import JournalWriter, Then
from msc.transit.event import NO_FACTS, Event, Facts, Life
from msc.transit.state import State
from msc.transit.transaction import Stay, Transaction
from msc.transit.transit import Transit


class Lifecycle:
    """Lets it happen.

    Args:
        transit: What is on its way.
        writer: Of the journal.
    """

    def __init__(self, transit: Transit, writer: JournalWriter) -> None:
        self.transit = transit
        self.writer = writer

    def begin(self, transaction: Transaction, then: Then, others: Iterable[Event] = ()) -> None:
        """Store a message; its life begins once it is durable.

        Args:
            transaction: Its MSN is the one the writer has just allotted.
            then: Called with None when it is on its way, or with why it was not stored.
            others: What it means for messages stored before; stored with it, or not at all.

        Raises:
            JournalUnavailable: The journal cannot be written; nothing was taken.
        """
        self.writer.append(transaction.message, partial(self._begun, transaction, others, then), others)

    def _begun(
        self, transaction: Transaction, others: Iterable[Event], then: Then, failure: JournalUnavailable | None
    ) -> None:
        if failure is None:
            now = clock.monotonic()
            self.transit.begin(transaction, now)
            for event in others:
                self.transit.apply(event, now)
        then(failure)

    def note(self, stay: Stay, life: Life, facts: Facts = NO_FACTS) -> None:
        """Something has happened to a message at one of its destinations."""
        event = Event(stay.transaction.message.msn, clock.wall_us(), life, stay.destination, facts)
        self.transit.happened(stay, event, clock.monotonic())
        # What waits is a promise to whoever sent it, and stands in the journal before they are told (E402).
        self.writer.note(event, ended=stay.state is State.ENDED or life is Life.QUEUED)

    def note_at(self, msn: int, destination: str, life: Life, facts: Facts = NO_FACTS) -> None:
        """Something has happened to a message at a destination, whether it is remembered or not."""
        event = Event(msn, clock.wall_us(), life, destination, facts)
        self.transit.apply(event, clock.monotonic())
        self.writer.note(event)

    def route(self, transaction: Transaction, destination: str, facts: Facts = NO_FACTS) -> Stay:
        """A message is meant for a destination from now on; returns its stay there."""
        event, now = Event(transaction.msn, clock.wall_us(), Life.ROUTED, destination, facts), clock.monotonic()
        stay = self.transit.apply(event, now)
        if stay is None:
            # It had ended everywhere, and was forgotten.
            stay = transaction.apply(event)
            self.transit.remember(transaction, now)
        self.writer.note(event)
        assert stay is not None
        return stay

    def store(self, stay: Stay, life: Life, then: Then, facts: Facts = NO_FACTS) -> None:
        """Store what is about to happen to a message; it holds once it is durable.

        Args:
            then: Called with None when it holds, or with why it was not stored.

        Raises:
            JournalUnavailable: The journal cannot be written; nothing was taken.
        """
        event = Event(stay.msn, clock.wall_us(), life, stay.destination, facts)
        self.writer.store(event, partial(self._stored, event, stay, then))

    def _stored(self, event: Event, stay: Stay, then: Then, failure: JournalUnavailable | None) -> None:
        if failure is None:
            self.transit.happened(stay, event, clock.monotonic())
        then(failure)
