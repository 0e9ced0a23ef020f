"""The canonical bytes of a record: what is stored, hashed and proven.

A record is one JSON array (RFC 8259) without blanks, in UTF-8, on one line:

    [kind, seq, mono, number, ...the record's members in their order]

    kind    "m" a message, "e" an event of a message's life, "a" an access-control or operator event
    seq     position in the journal: 1, 2, 3 ... without a gap
    mono    the monotonic clock when it was written, microseconds; it starts anew with the machine
    number  ISN of a message (input sequence of its source), OSN of a `sent` event (output sequence of its
            destination), otherwise null

Members are only ever added at the end, so that old bytes stay readable and their hashes stay theirs.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

import orjson

from msc.errors import JournalError
from msc.journal.record import AuditRecord, EventRecord, MessageRecord

Record = MessageRecord | EventRecord | AuditRecord

KINDS: Final[Mapping[str, type[Record]]] = MappingProxyType({"m": MessageRecord, "e": EventRecord, "a": AuditRecord})
_KIND_OF: Final = {record: kind for kind, record in KINDS.items()}


class Stored(NamedTuple):
    """A record as the journal holds it.

    Attributes:
        seq: Its position in the journal.
        mono: Monotonic clock, microseconds.
        number: ISN or OSN.
        record: What was recorded.
    """

    seq: int
    mono: int
    number: int | None
    record: Record


class NotCanonical(JournalError):
    """Bytes that stand where a record should are none."""


def encode(seq: int, mono: int, number: int | None, record: Record) -> bytes:
    """Write a record's canonical bytes. What UTF-8 cannot hold is written as backslash escapes."""
    try:
        return orjson.dumps((_KIND_OF[type(record)], seq, mono, number, *record))
    except orjson.JSONEncodeError:
        # Half a surrogate pair that slipped through somewhere must not stop everybody's journal.
        members = (
            member.encode("utf-8", "backslashreplace").decode() if isinstance(member, str) else member
            for member in record
        )
        return orjson.dumps((_KIND_OF[type(record)], seq, mono, number, *members))


def decode(body: bytes) -> Stored:
    """Read canonical bytes.

    Raises:
        NotCanonical: They are no record.
    """
    try:
        kind, seq, mono, number, *members = orjson.loads(body)
        return Stored(seq, mono, number, KINDS[kind](*members))
    except (ValueError, TypeError, KeyError) as exc:
        raise NotCanonical(f"{len(body)} bytes are no record ({type(exc).__name__})") from exc
