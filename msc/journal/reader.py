"""Reading records: messages by MSN with the events of their lives, and records from a time on.

What does not change is kept: what each block of a month holds, the blocks last unpacked, the tail. The tail is
always read before the months are, so that a record the archivist moves meanwhile is seen, if need be twice, but
never missed.
"""

from __future__ import annotations

import asyncio
import re
from bisect import bisect_right
from collections import OrderedDict, defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from msc import clock
from msc.journal import block as blocks
from msc.journal.database.layout import BlockKey, JournalReading, Month, MonthUnreadable
from msc.journal.proof.canonical import Stored, read
from msc.journal.record import AuditRecord, StepsRecord
from msc.transit.event import Event, Life, described
from msc.transit.message import MessageRecord

_BLOCKS_KEPT: Final = 512
"""Blocks kept unpacked: some 40 MB."""
_BLOCKS_AT_ONCE: Final = 64
_ABOUT: Final = re.compile(rb'\["[ms]",[^,]*,[^,]*,[^,]*,(\d+),')
"""MSN of a message or of steps, without decoding it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A message of the journal and the events of its life, its receipt first.

    Attributes:
        message: The message.
        events: Its life.
        seq: Its position in the journal.
        isn: Input sequence number of its source.
    """

    message: MessageRecord
    events: tuple[Event, ...]
    seq: int = 0
    isn: int | None = None

    def as_json(self) -> dict[str, Any]:
        """Return it as `msc journal search --json` prints it: times in RFC 3339, and each event in words too."""
        members: dict[str, Any] = self.message._asdict()
        members["received"] = clock.rfc3339(self.message.received)
        members["seq"], members["isn"] = self.seq, self.isn
        members["events"] = [
            {
                "at": clock.rfc3339(event.at),
                "event": event.event,
                "destination": event.destination,
                "facts": dict(event.facts),
                "detail": described(event),
                "osn": event.facts.get("osn"),
            }
            for event in self.events
        ]
        return members


class Held(NamedTuple):
    """All that the journal holds of one message.

    Attributes:
        message: Its record; None where that is not there, or cannot be understood.
        steps: Records of what happened to it later, in the order they were written, with what cannot be understood.
    """

    message: Stored | None
    steps: list[Stored]


Found = defaultdict[int, dict[int, Stored]]
"""MSN to position to record."""

Spill = Callable[[Sequence[int]], Any]
"""Finds the blocks that hold events of messages outside the messages' own blocks: MSNs to a dict of MSN to firsts."""


class Tail:
    """The newest records, decoded; what has been archived goes.

    Attributes:
        messages: By MSN.
        steps: By MSN, in order, with what cannot be understood.
    """

    def __init__(self) -> None:
        self.records: OrderedDict[int, Stored] = OrderedDict()
        self.messages: dict[int, Stored] = {}
        self.steps: defaultdict[int, list[Stored]] = defaultdict(list)
        self.seen = 0

    def take(self, rows: Iterable[Any]) -> list[Stored]:
        """Take newer rows; returns them decoded."""
        new = []
        for row in rows:
            stored = read(row.seq, row.body)
            new.append(stored)
            self.records[row.seq] = stored
            self.seen = row.seq
            record = stored.record
            if isinstance(record, AuditRecord) or record.msn is None:
                continue
            if isinstance(record, MessageRecord):
                self.messages[record.msn] = stored
            else:
                self.steps[record.msn].append(stored)
        return new

    def months(self) -> list[int]:
        """Return the months its records are of; there are seldom two."""
        if not self.records:
            return []
        first, last = next(iter(self.records.values())), next(reversed(self.records.values()))
        ats = (blocks.wall_time(stored) for stored in (first, last))
        return sorted({clock.month_of(at) for at in ats if at is not None})

    def drop_to(self, seq: int) -> None:
        """Forget what stands in blocks."""
        while self.records:
            first = next(iter(self.records))
            if first > seq:
                return
            record = self.records.pop(first).record
            if isinstance(record, AuditRecord) or record.msn is None:
                continue
            if isinstance(record, MessageRecord):
                self.messages.pop(record.msn, None)
            else:
                left = self.steps[record.msn]
                del left[0]
                if not left:
                    del self.steps[record.msn]


class JournalReader:
    """Reads records of a journal, also while a switch writes it.

    Args:
        reading: The database's reading side.
    """

    def __init__(self, reading: JournalReading) -> None:
        self.reading = reading
        self.tail = Tail()
        self.months: dict[int, Month] = {}
        """Those that hold something, in order."""
        self._keys: dict[int, tuple[int, list[BlockKey]]] = {}
        self._unpacked: OrderedDict[tuple[int, int], list[bytes]] = OrderedDict()
        self._looking = asyncio.Lock()

    async def close(self) -> None:
        """Let go of the database."""
        await self.reading.close()

    async def refresh(self) -> list[Stored]:
        """Look at the journal's end; returns what is new in the tail.

        Raises:
            JournalError: The journal cannot be read.
        """
        # One at a time: two that read the same rows would take them twice.
        async with self._looking:
            rows = await self.reading.tail(self.tail.seen)
            months = await self.reading.months()
            self.months = {month.month: month for month in months if month.last and not month.deleted}
            new = self.tail.take(rows)
            self.tail.drop_to(max((month.last for month in months), default=0))
            return new

    @property
    def archived(self) -> int:
        """The last record that stands in a block."""
        return max((month.last for month in self.months.values()), default=0)

    # --- blocks -----------------------------------------------------------------------------------

    async def keys(self, month: int) -> list[BlockKey]:
        """Return what each block of a month holds."""
        row = self.months.get(month)
        if row is None:
            raise MonthUnreadable(month, "it was deleted meanwhile")
        last = row.last
        kept = self._keys.get(month)
        if kept is None or kept[0] != last:
            kept = self._keys[month] = last, await self.reading.block_keys(month)
        return kept[1]

    async def unpacked(self, month: int, firsts: Collection[int]) -> dict[int, list[bytes]]:
        """Return blocks of a month as lines, by their first record."""
        found: dict[int, list[bytes]] = {}
        missing = []
        for first in firsts:
            lines = self._unpacked.get((month, first))
            if lines is None:
                missing.append(first)
            else:
                self._unpacked.move_to_end((month, first))
                found[first] = lines
        for start in range(0, len(missing), _BLOCKS_AT_ONCE):
            for block in await self.reading.blocks(month, sorted(missing)[start : start + _BLOCKS_AT_ONCE]):
                try:
                    found[block.key.first] = self._unpacked[month, block.key.first] = blocks.unpack(block)
                except blocks.BadBlock as exc:
                    raise MonthUnreadable(month, str(exc)) from exc
        while len(self._unpacked) > _BLOCKS_KEPT:
            self._unpacked.popitem(last=False)
        return found

    def month_of_msn(self, msn: int) -> int | None:
        """Return the month whose blocks hold a message."""
        for month in self.months.values():
            if month.first_msn <= msn <= month.last_msn and month.first_msn:
                return month.month
        return None

    def month_of_seq(self, seq: int) -> int | None:
        """Return the month whose blocks hold a record."""
        for month in self.months.values():
            if month.first <= seq <= month.last:
                return month.month
        return None

    # --- messages ---------------------------------------------------------------------------------

    async def messages(self, msns: Sequence[int]) -> dict[int, MessageRecord]:
        """Return messages by MSN; those that are not there are left out."""
        held = await self.held(msns)
        return {
            msn: of.message.record
            for msn, of in held.items()
            if of.message is not None and isinstance(of.message.record, MessageRecord)
        }

    async def entries(self, msns: Sequence[int], spill: Spill | None = None) -> dict[int, Entry]:
        """Return messages with their lives; as `held`, without what cannot be understood."""
        held = await self.held(msns, spill)
        return {msn: entry for msn, of in held.items() if (entry := _entry(of)) is not None}

    async def held(self, msns: Sequence[int], spill: Spill | None = None) -> dict[int, Held]:
        """Return all that the journal holds of messages, by MSN; those of which there is nothing are left out.

        Args:
            spill: Finds events outside the messages' own blocks; without it only those within are found.
        """
        found = await self._gather(msns)
        if spill is not None and found:
            firsts: dict[int, list[int]] = await spill(list(found))
            wanted: defaultdict[int, set[int]] = defaultdict(set)
            for places in firsts.values():
                for first in places:
                    if (month := self.month_of_seq(first)) is not None:
                        wanted[month].add(first)
            for unpacked in await asyncio.gather(*(self.unpacked(month, here) for month, here in wanted.items())):
                for first, lines in unpacked.items():
                    _pick(first, lines, firsts.keys(), found)
        return {
            msn: Held(
                next((stored for stored in records.values() if isinstance(stored.record, MessageRecord)), None),
                [stored for _, stored in sorted(records.items()) if not isinstance(stored.record, MessageRecord)],
            )
            for msn, records in found.items()
        }

    async def records(self, seqs: Sequence[int]) -> dict[int, Stored]:
        """Return records by seq; those that are not there are left out."""
        found: dict[int, Stored] = {}
        wanted: defaultdict[int, list[int]] = defaultdict(list)
        for seq in seqs:
            month = self.month_of_seq(seq)
            if month is not None:
                wanted[month].append(seq)
            elif (stored := self.tail.records.get(seq)) is not None:
                found[seq] = stored
        for month, here in wanted.items():
            firsts = [key.first for key in await self.keys(month)]
            places = {seq: firsts[place - 1] for seq in here if (place := bisect_right(firsts, seq))}
            unpacked = await self.unpacked(month, set(places.values()))
            found |= {
                seq: read(seq, unpacked[first][seq - first])
                for seq, first in places.items()
                if first in unpacked and seq - first < len(unpacked[first])
            }
        return found

    async def _gather(self, msns: Sequence[int]) -> Found:
        found: Found = defaultdict(dict)
        wanted: defaultdict[int, list[int]] = defaultdict(list)
        for msn in msns:
            month = self.month_of_msn(msn)
            if month is not None:
                wanted[month].append(msn)
            elif (stored := self.tail.messages.get(msn)) is not None:
                found[msn][stored.seq] = stored
            # At once, with the months as they are: what the archivist moves while the blocks are read is gone later.
            if steps := self.tail.steps.get(msn):
                found[msn] |= {stored.seq: stored for stored in steps}

        async def pick(month: int, here: Sequence[int]) -> None:
            keys = [key for key in await self.keys(month) if key.first_msn]
            firsts = [key.first_msn for key in keys]
            places = {keys[place - 1].first for msn in here if (place := bisect_right(firsts, msn))}
            for first, lines in (await self.unpacked(month, places)).items():
                _pick(first, lines, set(here), found)

        await asyncio.gather(*(pick(month, here) for month, here in wanted.items()))
        return found

    # --- in order of time -------------------------------------------------------------------------

    async def records_since(self, since_us: int) -> AsyncIterator[Stored]:
        """Yield the records from about a time on, in order; the first ones may be a little older."""
        await self.refresh()
        for month in sorted(self.months):
            if self.months[month].last_at < since_us:
                continue
            firsts = [key.first for key in await self.keys(month) if key.last_at >= since_us]
            for start in range(0, len(firsts), _BLOCKS_AT_ONCE):
                part = firsts[start : start + _BLOCKS_AT_ONCE]
                for first, lines in sorted((await self.unpacked(month, part)).items()):
                    for seq, line in enumerate(lines, first):
                        yield read(seq, line)
        for stored in list(self.tail.records.values()):
            yield stored


def _pick(first: int, lines: Sequence[bytes], wanted: Collection[int], found: Found) -> None:
    """Pick the records of some messages out of a block."""
    for seq, line in enumerate(lines, first):
        about = _ABOUT.match(line)
        if about is not None and (msn := int(about[1])) in wanted:
            found[msn][seq] = read(seq, line)


def _entry(held: Held) -> Entry | None:
    if held.message is None or not isinstance(message := held.message.record, MessageRecord):
        return None
    # In the order they were written: a clock that was set back does not turn a life around.
    steps = (
        event for stored in held.steps if isinstance(stored.record, StepsRecord) for event in stored.record.events
    )
    received = Event(message.msn, message.received, Life.RECEIVED.value)
    return Entry(message, (received, *message.events, *steps), held.message.seq, held.message.number)
