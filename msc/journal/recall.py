"""What a starting switch asks of the journal: the messages that are still owed somewhere, and those that answers may
still come for, each with all that happened to it.

Nothing here raises on what a record says. What cannot be understood is told, so that a person looks at it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from msc.errors import JournalError
from msc.journal.proof.canonical import Stored
from msc.journal.reader import Held, JournalReader
from msc.journal.record import AuditRecord, StepsRecord, Unreadable, time_of
from msc.limits import PENDING_MAX
from msc.log import get_logger
from msc.transit.event import Event, Life
from msc.transit.message import Direction, MessageRecord

log = get_logger("journal")


class Recalled(NamedTuple):
    """A message as the journal holds it.

    Attributes:
        message: The message.
        events: What has happened to it since it was stored, in order.
    """

    message: MessageRecord
    events: tuple[Event, ...] = ()


class Owed(NamedTuple):
    """What had not ended when the switch stopped.

    Attributes:
        messages: The oldest first.
        gone: MSN and destination of what the journal no longer holds.
        unreadable: What of it could not be understood. Where that is the message itself, it is not among `messages`.
    """

    messages: list[Recalled]
    gone: list[tuple[int, str]]
    unreadable: list[Unreadable]


class Recent(NamedTuple):
    """The messages that answers may still come for.

    Attributes:
        messages: The oldest first.
        unreadable: Records of that time that could not be understood.
    """

    messages: list[Recalled]
    unreadable: list[Unreadable]


async def recent_transactions(
    reader: JournalReader,
    since_us: int,
    at_most: int = PENDING_MAX,
    hear: Callable[[MessageRecord], None] = lambda _record: None,
) -> Recent:
    """Return the newest messages from a time on that went to a line: answers may still come.

    Args:
        hear: Is told of each message that was taken from a line since then, in order.

    Raises:
        JournalError: The journal cannot be read.
    """
    found: dict[int, tuple[MessageRecord, list[Event]]] = {}
    unreadable: list[Unreadable] = []
    async for stored in reader.records_since(since_us):
        record = understood(stored)
        if isinstance(record, Unreadable):
            unreadable.append(record)
        elif isinstance(record, StepsRecord):
            if record.msn in found:
                found[record.msn][1].extend(record.events)
        elif isinstance(record, MessageRecord) and record.received >= since_us:
            if record.direction != Direction.INBOUND:
                found[record.msn] = record, []
            elif record.code is None:
                hear(record)
    went = [
        Recalled(message, tuple(events))
        for _, (message, events) in sorted(found.items())
        if _to_a_line(message.events) or _to_a_line(events)
    ]
    return Recent(went[-at_most:], unreadable)


async def unfinished(reader: JournalReader, owed: Mapping[int, Collection[str]]) -> Owed:
    """Return what had not ended for a destination.

    Args:
        owed: What the writer says had not ended: MSN to destinations.

    Raises:
        JournalError: The journal cannot be read.
    """
    await reader.refresh()
    held = await _whole_lives(reader, list(owed))
    found = Owed([], [], [])
    for msn, destinations in sorted(owed.items()):
        of = held.get(msn, _NOTHING)
        message = understood(of.message) if of.message else None
        records = [message, *map(understood, of.steps)]
        unreadable = [record for record in records if isinstance(record, Unreadable)]
        found.unreadable.extend(unreadable)
        if isinstance(message, MessageRecord):
            steps = (event for record in records if isinstance(record, StepsRecord) for event in record.events)
            found.messages.append(Recalled(message, tuple(steps)))
        elif not unreadable:
            found.gone.extend((msn, destination) for destination in destinations)
    return found


async def not_understood(reader: JournalReader, seqs: Collection[int]) -> list[Unreadable]:
    """Return why records cannot be understood, of those that cannot."""
    found = (await reader.records(sorted(seqs))).values()
    return [record for stored in found if isinstance(record := understood(stored), Unreadable)]


def understood(stored: Stored) -> MessageRecord | StepsRecord | AuditRecord | Unreadable:
    """Return a record, if all of it can be understood: what a switch does not know it must not go on from."""
    record = stored.record
    if isinstance(record, Unreadable | AuditRecord):
        return record
    strange = [event for event in record.events if event.event not in _LIVES]
    if isinstance(record, MessageRecord) and record.direction not in _DIRECTIONS:
        why = "its direction is unknown"
    elif strange:
        why = "it tells of an unknown event"
    else:
        return record
    return Unreadable(stored.seq, record.msn, time_of(record), why, isinstance(record, MessageRecord))


_DIRECTIONS: Final = frozenset(direction.value for direction in Direction)
_LIVES: Final = frozenset(life.value for life in Life)
_NOTHING: Final = Held(None, [])


async def _whole_lives(reader: JournalReader, msns: Sequence[int]) -> dict[int, Held]:
    """Return messages with everything that happened to them, also far from their own blocks: some wait for days."""
    archived = [msn for msn in msns if reader.month_of_msn(msn) is not None]
    held = await reader.held(msns)
    if not archived:
        return held
    from msc.journal.shelf import Shelf  # it needs numpy, and hardly any start needs it

    try:
        return held | await reader.held(archived, Shelf(reader).places_of_events)
    except JournalError as exc:
        # What may be sent twice is better than a county without a switch.
        log.error("journal.lives_incomplete", error=str(exc))
        return held


def _to_a_line(events: Iterable[Event]) -> bool:
    return any(event.event == Life.ROUTED and (event.destination or "").startswith("line:") for event in events)
