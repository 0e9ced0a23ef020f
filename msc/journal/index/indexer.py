"""Gives records to the index, block by block: the one place that says what becomes of a record there.

The archivist, who sees each record once, uses it, and so does whoever makes an index anew or compares one with its
records.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from msc.journal.index.segment import SegmentBuilder
from msc.journal.index.term import events_term, terms_of, terms_of_steps
from msc.journal.proof.canonical import Stored
from msc.journal.record import StepsRecord
from msc.transit.message import MessageRecord

Late = Callable[[StepsRecord, int], None]
"""Takes steps of a message that was not seen, and the first record of the block they stand in."""


class Indexer:
    """Indexes records of one month.

    Args:
        late: Takes steps of messages that this indexer was not given before them.

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
            elif isinstance(record, StepsRecord):
                own = places.get(record.msn)
                if own is None:
                    self._late(record, first)
                    continue
                if own != first:
                    self.builder.add(events_term(record.msn), first)
            add_all(*terms_of(stored))

    def add_late(self, steps: StepsRecord, first: int) -> None:
        """Index steps that stand in another block than their message, which may be one of a later month.

        Args:
            first: The first record of the steps' block.
        """
        self.builder.add_all(terms_of_steps(steps), steps.msn)
        self.builder.add(events_term(steps.msn), first)

    def take(self) -> SegmentBuilder:
        """Return what came together so far, and go on with an empty builder; the messages stay known."""
        taken, self.builder = self.builder, SegmentBuilder()
        return taken
