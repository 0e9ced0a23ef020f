"""What a starting switch asks of the journal: which inquiries may still be answered, and what had not ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from msc.errors import JournalError
from msc.journal.reader import Entry, JournalReader
from msc.limits import PENDING_MAX
from msc.log import get_logger
from msc.transit.event import BULLETINS, Event, Life
from msc.transit.message import Direction, MessageRecord

log = get_logger("journal")


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A message that had not ended for a destination when the switch stopped.

    Attributes:
        events: What happened to it there, in order; of a message that was moved long after it came, perhaps not all.
        reached: Of a bulletin, everywhere it ever was routed to.
    """

    message: MessageRecord
    destination: str
    was_sent: bool
    events: tuple[Event, ...] = ()
    reached: frozenset[str] = frozenset()


_GIVEN_UP: Final = (Life.NOT_SENT, Life.EXPIRED, Life.OUTCOME_UNKNOWN, Life.REFUSED_BY_PEER)


@dataclass(frozen=True, slots=True)
class Recent:
    """A message that answers may still come for.

    Attributes:
        given_up: Lines of which its originator was told that they will not answer; if one does, it is late.
    """

    message: MessageRecord
    given_up: frozenset[str] = frozenset()


async def recent_transactions(
    reader: JournalReader,
    since_us: int,
    at_most: int = PENDING_MAX,
    hear: Callable[[MessageRecord], None] = lambda _record: None,
) -> list[Recent]:
    """Return the newest messages from a time on that went to a line, oldest first: answers may still come.

    Args:
        hear: Is told of each message that was taken from a line since then, in order.

    Raises:
        JournalError: The journal cannot be read.
    """
    found: dict[int, MessageRecord] = {}
    lines: dict[int, set[str]] = {}
    async for stored in reader.records_since(since_us):
        record = stored.record
        if isinstance(record, MessageRecord):
            if record.direction != Direction.INBOUND:
                found[record.msn] = record
            elif record.code is None and record.received >= since_us:
                hear(record)
        elif isinstance(record, Event) and (record.destination or "").startswith("line:"):
            name = (record.destination or "").removeprefix("line:")
            if record.event == Life.ROUTED:
                lines.setdefault(record.msn, set()).discard(name)  # perhaps once more
            elif record.event in _GIVEN_UP and record.msn in lines:
                lines[record.msn].add(name)
    return [
        Recent(record, frozenset(lines[msn]))
        for msn, record in sorted(found.items())
        if msn in lines and record.received >= since_us
    ][-at_most:]


async def unfinished(
    reader: JournalReader, owed: Mapping[int, Mapping[str, bool]]
) -> tuple[list[Unfinished], list[tuple[int, str]]]:
    """Return what had not ended for a destination, oldest first.

    Args:
        owed: What the writer says had not ended.

    Returns:
        What can be taken up, and of the rest MSN and destination: the journal no longer holds the message.

    Raises:
        JournalError: The journal cannot be read.
    """
    await reader.refresh()
    entries = await reader.entries(list(owed))
    entries |= await _whole_lives(reader, [msn for msn, destinations in owed.items() if BULLETINS in destinations])
    found: list[Unfinished] = []
    gone: list[tuple[int, str]] = []
    for msn, destinations in sorted(owed.items()):
        entry = entries.get(msn)
        for destination, was_sent in destinations.items():
            if entry is None:
                gone.append((msn, destination))
            else:
                here = tuple(event for event in entry.events if event.destination == destination)
                reached = _reached(entry) if destination == BULLETINS else frozenset()
                found.append(Unfinished(entry.message, destination, was_sent, here, reached))
    return found, gone


async def _whole_lives(reader: JournalReader, bulletins: Sequence[int]) -> dict[int, Entry]:
    """Return bulletins with everything that happened to them: that goes on for days, far from their own blocks."""
    if not bulletins:
        return {}
    from msc.journal.shelf import Shelf  # it needs numpy, and hardly any start needs it

    try:
        return await reader.entries(bulletins, Shelf(reader).places_of_events)
    except JournalError as exc:
        # Stations that get a bulletin twice are better off than a county without a switch.
        log.error("bulletin.reached_unknown", error=str(exc))
        return {}


def _reached(entry: Entry) -> frozenset[str]:
    """Return everywhere a message ever was routed to."""
    return frozenset(event.destination for event in entry.events if event.event == Life.ROUTED and event.destination)


@dataclass(frozen=True, slots=True)
class Recalled:
    """A message of the journal with what has happened to it since it was stored, in order."""

    message: MessageRecord
    events: tuple[Event, ...] = ()
