"""The canonical bytes of a record: what is stored, hashed and proven.

A record is one JSON array (RFC 8259) without blanks, in UTF-8, on one line:

    [kind, seq, mono, number, ...the record's members in their order]

    kind    "m" a message, "s" steps of a message's life, "a" an access-control or operator event
    seq     position in the journal: 1, 2, 3 ... without a gap
    mono    the monotonic clock when it was written, microseconds; it starts anew with the machine
    number  ISN of a message (input sequence of its source), otherwise null

The last member of a message and of steps is what happened, each an array that ends where the rest would be empty:

    [event, destination, facts, at]

    facts   an object; an OSN (output sequence of the destination) stands in it as "osn"
    at      wall time, microseconds; left out where it is the record's own (`received`, or `at`)

Members are only ever added at the end, and facts by new names, so that old bytes stay readable and their hashes stay
theirs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import orjson

from msc.errors import JournalError
from msc.journal.record import AuditRecord, Record, StepsRecord
from msc.transit.event import NO_FACTS, Event
from msc.transit.message import MessageRecord

KINDS: Final[Mapping[str, type[Record]]] = MappingProxyType({"m": MessageRecord, "s": StepsRecord, "a": AuditRecord})


class Stored(NamedTuple):
    """A record as the journal holds it.

    Attributes:
        seq: Its position in the journal.
        mono: Monotonic clock, microseconds.
        number: ISN.
        record: What was recorded.
    """

    seq: int
    mono: int
    number: int | None
    record: Record


class NotCanonical(JournalError):
    """Bytes that stand where a record should are not one."""


def encode(seq: int, mono: int, number: int | None, record: Record) -> bytes:
    """Write a record's canonical bytes. What UTF-8 cannot hold is written as backslash escapes."""
    kind: str
    members: tuple[Any, ...]
    if type(record) is MessageRecord:
        kind, members = "m", (*record[:-1], _events(record.events, record.received))
    elif type(record) is StepsRecord:
        kind, members = "s", (record.msn, record.at, _events(record.events, record.at))
    else:
        kind, members = "a", record
    try:
        return orjson.dumps((kind, seq, mono, number, *members))
    except orjson.JSONEncodeError:
        # Half a surrogate pair that slipped through somewhere must not stop everybody's journal.
        return orjson.dumps((kind, seq, mono, number, *map(_writable, members)))


def _events(events: Iterable[Event], at: int) -> list[tuple[Any, ...]]:
    return [
        (event.event, event.destination, event.facts, event.at)
        if event.at != at
        else (event.event, event.destination, event.facts)
        if event.facts
        else (event.event, event.destination)
        for event in events
    ]


def _writable(member: Any) -> Any:
    if isinstance(member, str):
        return member.encode("utf-8", "backslashreplace").decode()
    if isinstance(member, (list, tuple)):
        return [_writable(each) for each in member]
    if isinstance(member, dict):
        return {_writable(name): _writable(value) for name, value in member.items()}
    return member


def decode(body: bytes) -> Stored:
    """Read canonical bytes.

    Raises:
        NotCanonical: They are not a record.
    """
    try:
        kind, seq, mono, number, *members = orjson.loads(body)
        if kind == "m":
            if len(members) == len(MessageRecord._fields):
                members[-1] = _read_events(members[0], members[1], members[-1])
            return Stored(seq, mono, number, MessageRecord(*members))
        if kind == "s":
            msn, at, events = members
            return Stored(seq, mono, number, StepsRecord(msn, at, _read_events(msn, at, events)))
        return Stored(seq, mono, number, KINDS[kind](*members))
    except (ValueError, TypeError, KeyError) as exc:
        raise NotCanonical(f"{len(body)} bytes are not a record ({type(exc).__name__})") from exc


def _read_events(msn: int, at: int, events: Sequence[Sequence[Any]]) -> tuple[Event, ...]:
    return tuple(
        Event(msn, each[3] if len(each) > 3 else at, each[0], each[1], each[2] if len(each) > 2 else NO_FACTS)
        for each in events
    )
