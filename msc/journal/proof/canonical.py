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

import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType, NoneType
from typing import Any, Final, NamedTuple, get_origin, get_type_hints

import orjson

from msc.errors import JournalError
from msc.journal.record import AuditRecord, Record, StepsRecord, Unreadable
from msc.transit.event import NO_FACTS, Event, Facts
from msc.transit.message import MessageRecord

KINDS: Final[Mapping[str, type[Record]]] = MappingProxyType({"m": MessageRecord, "s": StepsRecord, "a": AuditRecord})


class Stored(NamedTuple):
    """A record as the journal holds it.

    Attributes:
        seq: Its position in the journal.
        mono: Monotonic clock, microseconds.
        number: ISN.
        record: What was recorded; as `read` gives it perhaps `Unreadable`.
    """

    seq: int
    mono: int
    number: int | None
    record: Record | Unreadable


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
        NotCanonical: They are not a record, or one of its members is not what it must be.
    """
    try:
        kind, seq, mono, number, *members = orjson.loads(body)
        record: Record
        if kind == "m":
            if len(members) < len(MessageRecord._fields):
                members = list(MessageRecord(*members))
            _MESSAGE.check(members)
            members[-1] = _read_events(members[0], members[1], members[-1])
            record = MessageRecord(*members)
        elif kind == "s":
            _STEPS.check(members)
            members[-1] = _read_events(members[0], members[1], members[-1])
            record = StepsRecord(*members)
        else:
            record = KINDS[kind](*members)
            _AUDIT.check(record)
        if type(seq) is not int or type(mono) is not int or (number is not None and type(number) is not int):
            raise TypeError("its numbers are of a wrong type")
    except (ValueError, TypeError, LookupError, AttributeError) as exc:
        raise NotCanonical(f"{len(body)} bytes are not a record ({exc})") from exc
    return Stored(seq, mono, number, record)


def read(seq: int, body: bytes) -> Stored:
    """Read what stands at a position of the journal, whatever it is."""
    try:
        stored = decode(body)
    except NotCanonical as exc:
        return Stored(seq, 0, None, _unreadable(seq, body, str(exc)))
    if stored.seq != seq:
        return Stored(seq, 0, None, _unreadable(seq, body, f"it calls itself record {stored.seq}"))
    return stored


def _unreadable(seq: int, body: bytes, why: str) -> Unreadable:
    """Say what can be told of a record that cannot be understood."""
    head = _BEGINNING.match(body)
    if head is None:
        return Unreadable(seq, None, None, why)
    kind, first, second = head.groups()
    about, at = (None, first) if kind == b"a" else (first, second)
    return Unreadable(seq, _number(about, _MSN_MAX), _number(at, _TIME_MAX), why, may_be_message=kind != b"s")


def _number(written: bytes | None, most: int) -> int | None:
    return int(written) if written and written.isdigit() and len(written) < 20 and int(written) <= most else None


_BEGINNING: Final = re.compile(rb'\["([a-z]*)",[^,]*,[^,]*,[^,]*,([^],]*)(?:[],]([^],]*))?')
"""Kind and first two members of what should be a record."""


def _read_events(msn: int, at: int, events: Iterable[Any]) -> tuple[Event, ...]:
    return tuple([_read_event(msn, at, each) for each in events])


def _read_event(msn: int, at: int, written: Any) -> Event:
    # Every record of every block passes here: what is checked is checked in place.
    if type(written) is not list:
        raise TypeError("one of its events is of a wrong type")
    facts: Any = NO_FACTS
    if len(written) == 2:
        name, destination = written
    elif len(written) == 3:
        name, destination, facts = written
    else:
        name, destination, facts, at = written
    if type(name) is not str or (destination is not None and type(destination) is not str):
        raise TypeError("the name or the destination of one of its events is of a wrong type")
    if type(at) is not int or not 0 <= at <= _TIME_MAX:
        raise ValueError("the time of one of its events is out of range")
    if facts:
        _check_facts(facts)
    elif facts != NO_FACTS:
        raise TypeError("the facts of one of its events are of a wrong type")
    return Event(msn, at, name, destination, facts)


def _check_facts(facts: Any) -> None:
    for fact, value in facts.items():
        if type(value) is not _FACTS.get(fact, type(value)):
            raise TypeError(f"the fact {fact} is of a wrong type")
    if "to" in facts and not set(map(type, facts["to"])) <= {str}:
        raise TypeError("the fact to is of a wrong type")


# --- what members must be -----------------------------------------------------------------------

_MSN_MAX: Final = 2**62
_TIME_MAX: Final = 253_402_300_799_999_999
"""The last microsecond of the year 9999: what a date can be made of."""
_FACTS: Final = MappingProxyType({name: get_origin(kind) or kind for name, kind in get_type_hints(Facts).items()})
_TEXT: Final = (str, NoneType)
_NUMBER: Final = (int, NoneType)
_FORMS_KEPT: Final = 4_096


class _Form:
    """What the members of a record must be: text or nothing, unless it says otherwise.

    Args:
        names: Of the members.
        bounds: The highest that numbers may be; the lowest is 0.
        types: Of which types the others are.
    """

    def __init__(
        self, names: Sequence[str], bounds: Mapping[str, int] = MappingProxyType({}), **types: tuple[type, ...]
    ) -> None:
        self._allowed = [(name, types.get(name, _TEXT)) for name in names]
        self._bounds = [(names.index(name), most) for name, most in bounds.items()]
        # Most records have the types that one before had.
        self._known: set[tuple[type, ...]] = set()

    def check(self, members: Sequence[Any]) -> None:
        """Check members.

        Raises:
            TypeError, ValueError: One is not what it must be.
        """
        types = tuple(map(type, members))
        if types not in self._known:
            for (name, allowed), kind in zip(self._allowed, types, strict=True):
                if kind not in allowed:
                    raise TypeError(f"its {name} is of a wrong type")
            if len(self._known) < _FORMS_KEPT:
                self._known.add(types)
        for place, most in self._bounds:
            if members[place] is not None and not 0 <= members[place] <= most:
                raise ValueError(f"its {self._allowed[place][0]} is out of range")


_MESSAGE: Final = _Form(
    MessageRecord._fields, {"msn": _MSN_MAX, "received": _TIME_MAX, "transaction": _MSN_MAX}, msn=(int,),
    received=(int,), direction=(str,), kind=(str,), text=(str,), transaction=_NUMBER, sequence=_NUMBER,
    events=(list, tuple),
)  # fmt: skip
_STEPS: Final = _Form(
    StepsRecord._fields, {"msn": _MSN_MAX, "at": _TIME_MAX}, msn=(int,), at=(int,), events=(list,)
)  # fmt: skip
_AUDIT: Final = _Form(AuditRecord._fields, {"at": _TIME_MAX}, at=(int,), event=(str,))
