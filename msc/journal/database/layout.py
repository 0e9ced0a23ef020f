"""What a journal's database holds, and what it is asked for. `sqlite` and `postgresql` are two of a kind.

    tail         the newest records, a row each, as they were committed
    block        older records of a month, some hundred to a row, compressed; a month's blocks follow on each other
    segment,     the month's index: sorted pages of terms and where they stand (`msc.journal.index`);
      page       it can always be made anew from the blocks
    month        one row a month: what it holds; months are made ahead and dropped whole
    checkpoint   signed statements (`msc.journal.proof.checkpoint`)
    state        one row: what the writer must know to go on, as of the last checkpoint
    hold         legal holds

Records are committed to the tail. The archivist, in a process of its own, packs what has been checkpointed into
blocks; then the writer drops it from the tail. So a record stands in the tail, or in a block, or for a moment in
both, but never in neither: whoever reads the tail first and the blocks after it misses nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from msc.errors import JournalError


class MonthUnreadable(JournalError):
    """A month's blocks or index cannot be read; the others can.

    Attributes:
        month: 202611.
    """

    def __init__(self, month: int, why: str) -> None:
        super().__init__(f"the journal's month {month} cannot be read: {why}")
        self.month = month


class TailRow(NamedTuple):
    """A record in the tail.

    Attributes:
        seq: Its position in the journal.
        body: Its canonical bytes.
        link: The chain's value after it, 32 bytes.
    """

    seq: int
    body: bytes
    link: bytes


class BlockKey(NamedTuple):
    """What a block holds, without its contents.

    Attributes:
        first, last: `seq` of its first and last record; there is none between that it does not hold.
        first_msn, last_msn: Of the messages in it; both 0 where it holds none.
        first_at, last_at: The lowest and highest wall time in it, microseconds.
    """

    first: int
    last: int
    first_msn: int
    last_msn: int
    first_at: int
    last_at: int


class Block(NamedTuple):
    """A block.

    Attributes:
        key: What it holds.
        link: The chain's value after its last record.
        marks: The first 8 bytes of each record's leaf, one after the other.
        body: The records' canonical bytes, each followed by a line feed, compressed (zlib, RFC 1950).
    """

    key: BlockKey
    link: bytes
    marks: bytes
    body: bytes


class Segment(NamedTuple):
    """A part of a month's index.

    Attributes:
        number: Unique in its month.
        tier: 0 as written; each merging of several makes one of the next tier.
        pages: How many pages it has, numbered from 0.
        entries: How many places it names, over all its terms.
    """

    number: int
    tier: int
    pages: int
    entries: int


class Page(NamedTuple):
    """A page of a segment; see `msc.journal.index.page`."""

    segment: int
    number: int
    first_term: str
    body: bytes


class Month(NamedTuple):
    """A month of the journal.

    Attributes:
        month: 202611.
        first: `seq` of its first record; 0 while it is only made ahead.
        last: `seq` of the last record that is in its blocks; 0 if none is.
        first_msn, last_msn: Of the messages in its blocks; 0 if there is none.
        first_at, last_at: Wall times in its blocks; 0 if it has none.
        sealed: Number of the checkpoint that sealed it; 0 while it is open.
        deleted: Number of the checkpoint that states its deletion; 0 while it is there.
    """

    month: int
    first: int = 0
    last: int = 0
    first_msn: int = 0
    last_msn: int = 0
    first_at: int = 0
    last_at: int = 0
    sealed: int = 0
    deleted: int = 0


class CheckpointRow(NamedTuple):
    """A checkpoint as it is stored: canonical bytes and signature."""

    number: int
    seq: int
    statement: str
    body: bytes
    signature: bytes


class Hold(NamedTuple):
    """A legal hold: what it covers is not deleted while it lasts.

    Attributes:
        number: Given by the store when it is placed.
        name: The case, for people.
        month: The month it covers, or 0.
        criteria: Criteria as JSON, where it covers what matches; a month with a match is held whole.
        placed_at, placed_by, reason: When, by whom, why.
        released_at, released_by: When and by whom it was released; 0 and "" while it lasts.
    """

    number: int
    name: str
    month: int
    criteria: str
    placed_at: int
    placed_by: str
    reason: str
    released_at: int = 0
    released_by: str = ""


@dataclass(frozen=True, slots=True)
class Opened:
    """What a writer finds.

    Attributes:
        state: What it stored with its last checkpoint; None in a new journal.
        checkpoint: The last checkpoint; None in a new journal.
        tail: All rows of the tail, in order.
    """

    state: bytes | None
    checkpoint: CheckpointRow | None
    tail: list[TailRow]


class JournalWriting(Protocol):
    """What the one writer needs; whoever opens it is alone (the site's lock)."""

    async def open(self) -> Opened:
        """Open the database; a new one gets its tables, an older one is upgraded.

        It is written to, always: a database that can be read but not written is not open.

        Raises:
            JournalError: It cannot be opened or written, or is of a newer release.
        """

    async def commit(
        self,
        rows: Sequence[TailRow],
        *,
        checkpoints: Sequence[CheckpointRow] = (),
        state: bytes | None = None,
        drop_to: int = 0,
    ) -> None:
        """Store all of this durably, or nothing of it.

        Args:
            rows: New rows of the tail, in order.
            checkpoints: With what they speak of.
            state: Replaces the one stored.
            drop_to: Drop the tail's rows up to this `seq`: they stand in blocks.

        Raises:
            JournalError: Whether it was stored is not known; no commit succeeds until `open` was called again.
        """

    async def close(self) -> None:
        """Let go of the database."""


class JournalReading(Protocol):
    """What readers need; any number of them, in any process, also while the writer writes.

    Every method raises `JournalError` where the database cannot be read, and `MonthUnreadable` where one month
    cannot.
    """

    async def tail(self, after: int = 0, at_most: int | None = None) -> list[TailRow]:
        """Return the tail's rows after a `seq`, in order."""

    async def months(self) -> list[Month]:
        """Return all months, the deleted ones too, in order."""

    async def checkpoints(self, after: int = 0, at_most: int = 1000) -> list[CheckpointRow]:
        """Return checkpoints after a number, in order."""

    async def last_checkpoint(self) -> CheckpointRow | None:
        """Return the newest checkpoint."""

    async def block_keys(self, month: int) -> list[BlockKey]:
        """Return what each block of a month holds, in order."""

    async def blocks(self, month: int, firsts: Sequence[int]) -> list[Block]:
        """Return the blocks that begin with these `seq`s, in order; those that are not there are left out."""

    async def blocks_after(self, month: int, after: int, at_most: int) -> list[Block]:
        """Return the blocks of a month whose `first` is after a `seq`, in order."""

    async def segments(self, month: int) -> list[Segment]:
        """Return the segments of a month's index."""

    async def first_terms(self, month: int) -> list[tuple[int, int, str]]:
        """Return `(segment, page, first term)` of every page of a month's index, in order."""

    async def pages(self, month: int, wanted: Sequence[tuple[int, int]]) -> list[Page]:
        """Return pages by segment and number; those that are not there are left out."""

    async def holds(self) -> list[Hold]:
        """Return all legal holds, the released ones too, in order."""

    async def state(self) -> bytes | None:
        """Return what the writer stored with its last checkpoint."""

    async def close(self) -> None:
        """Let go of the database."""


class JournalArchiving(JournalReading, Protocol):
    """What the archivist needs besides reading: there is one at a time."""

    async def claim(self) -> None:
        """Take the archivist's place, until `close`; nothing happens where it is taken by this end already.

        Raises:
            JournalError: Another has it: that of a switch that was killed finishes its run before it ends.
        """

    async def make_month(self, month: int) -> None:
        """Make room for a month ahead of time; nothing happens where it is there."""

    async def store(
        self,
        month: Month,
        blocks: Sequence[Block] = (),
        segments: Sequence[Segment] = (),
        pages: Sequence[Page] = (),
        replaced: Sequence[int] = (),
    ) -> None:
        """Store blocks and index of a month, and what it holds now, in one go.

        Storing what is there already (the same `first`, the same segment and page) replaces it, so that what was
        interrupted can be done again.

        Args:
            month: What the month holds with them.
            replaced: Numbers of segments that go.
        """

    async def put_month(self, month: Month) -> None:
        """Store what a month is now."""

    async def drop_month(self, month: int) -> int:
        """Drop a month's blocks and index, and give their space back; its row stays.

        Returns:
            The bytes that were freed.
        """

    async def put_hold(self, hold: Hold) -> int:
        """Place a hold (number 0), or store what became of one; returns its number."""

    async def size(self) -> dict[str, int]:
        """Return the bytes it takes: `tail`, `checkpoint`, and each month by its number."""


class JournalDatabase(JournalWriting, JournalArchiving, Protocol):
    """A database a journal stands in. Which of its sides is used depends on how it was opened."""
