"""What a starting switch asks of the journal: which inquiries may still be answered, and what had not ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from msc.errors import JournalError
from msc.journal.reader import Entry, JournalReader
from msc.journal.record import StepsRecord
from msc.limits import PENDING_MAX
from msc.log import get_logger
from msc.transit.event import BULLETINS, Event
from msc.transit.message import Direction, MessageRecord
from msc.transit.state import State

log = get_logger("journal")


@dataclass(frozen=True, slots=True)
class Recalled:
    """A message of the journal with what has happened to it since it was stored, in order."""

    message: MessageRecord
    events: tuple[Event, ...] = ()


async def recent_transactions(
    reader: JournalReader,
    since_us: int,
    at_most: int = PENDING_MAX,
    hear: Callable[[MessageRecord], None] = lambda _record: None,
) -> list[Recalled]:
    """Return the newest messages from a time on that went to a line, oldest first: answers may still come.

    Args:
        hear: Is told of each message that was taken from a line since then, in order.

    Raises:
        JournalError: The journal cannot be read.
    """
    found: dict[int, MessageRecord] = {}
    events: dict[int, list[Event]] = {}
    async for stored in reader.records_since(since_us):
        record = stored.record
        if isinstance(record, MessageRecord):
            if record.direction != Direction.INBOUND:
                found[record.msn] = record
            elif record.code is None and record.received >= since_us:
                hear(record)
        elif isinstance(record, StepsRecord):
            events.setdefault(record.msn, []).extend(record.events)
    recalled = [
        Recalled(record, tuple(events.get(msn, ())))
        for msn, record in sorted(found.items())
        if record.received >= since_us
    ]
    return [
        each
        for each in recalled
        if any((event.destination or "").startswith("line:") for event in (*each.message.events, *each.events))
    ][-at_most:]


async def unfinished(
    reader: JournalReader, owed: Mapping[int, Mapping[str, State]]
) -> tuple[list[Recalled], list[tuple[int, str]]]:
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
    found: list[Recalled] = []
    gone: list[tuple[int, str]] = []
    for msn, destinations in sorted(owed.items()):
        entry = entries.get(msn)
        if entry is None:
            gone += [(msn, destination) for destination in destinations]
        else:
            found.append(Recalled(entry.message, entry.events[1 + len(entry.message.events) :]))
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
