"""Gives records to the index, block by block: the one place that says what becomes of a record there.

The archivist, who sees each record once, uses it, and so does whoever makes an index anew or compares one with its
records.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from msc.journal.index.segment import SegmentBuilder
from msc.journal.index.term import events_term, terms_of_audit, terms_of_event, terms_of_message
from msc.journal.proof.canonical import Stored
from msc.journal.record import AuditRecord
from msc.transit.event import Event
from msc.transit.message import MessageRecord

Late = Callable[[Event, int], None]
"""Takes an event whose message was not seen, and the first record of the block it stands in."""


class Indexer:
    """Indexes records of one month.

    Args:
        late: Takes events of messages that this indexer was not given before them.

    Attributes:
        builder: What they come to.
        places: Messages by MSN, to the first record of the block each stands in.
    """

    def __init__(self, late: Late) -> None:
        self.builder = SegmentBuilder()
        self.places: dict[int, int] = {}
        self._late = late

    def add(self, first: int, records: Iterable[Stored]) -> None:
        """Index records of a block.

        Args:
            first: The block's first record.
            records: Of it, in order.
        """
        places, add_all = self.places, self.builder.add_all
        for stored in records:
            record = stored.record
            if isinstance(record, MessageRecord):
                places[record.msn] = first
                add_all(terms_of_message(stored), record.msn)
            elif isinstance(record, Event):
                own = places.get(record.msn)
                if own is None:
                    self._late(record, first)
                    continue
                add_all(terms_of_event(record), record.msn)
                if own != first:
                    self.builder.add(events_term(record.msn), first)
            elif isinstance(record, AuditRecord):
                add_all(terms_of_audit(stored), stored.seq)

    def add_late(self, event: Event, first: int) -> None:
        """Index an event that stands in another block than its message, which may be one of a later month.

        Args:
            first: The first record of the event's block.
        """
        self.builder.add_all(terms_of_event(event), event.msn)
        self.builder.add(events_term(event.msn), first)

    def take(self) -> SegmentBuilder:
        """Return what came together so far, and go on with an empty builder; the messages stay known."""
        taken, self.builder = self.builder, SegmentBuilder()
        return taken
