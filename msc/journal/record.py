"""What the journal holds: one record a message, one an event of its life, one an access-control event.

The records are tuples; the order of their members is that of the canonical bytes (`msc.journal.proof.canonical`), so
a member is only ever added at the end.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Final, NamedTuple


class Direction(StrEnum):
    """Which way a message goes, seen from the county."""

    OUTBOUND = "outbound"
    """From a station of ours towards a line."""
    INBOUND = "inbound"
    """From a line towards a station of ours."""
    LOCAL = "local"
    """Between our own stations, or from the switch to one of them."""


class Life(StrEnum):
    """Events of a message's life. `received` is not stored: the message's own `received` says it."""

    RECEIVED = "received"
    REFUSED = "refused"
    ROUTED = "routed"
    QUEUED = "queued"
    """Nobody is there to take it; it waits."""
    SENT = "sent"
    ACKNOWLEDGED = "acknowledged"
    REFUSED_BY_PEER = "refused_by_peer"
    ANSWERED = "answered"
    NOT_SENT = "not_sent"
    EXPIRED = "expired"
    OUTCOME_UNKNOWN = "outcome_unknown"
    RETURNED = "returned"
    """The destination was lost before it acknowledged; it will be sent again."""
    OPERATOR_QUEUE = "operator_queue"
    FORWARDED = "forwarded"
    """Taken from here to another destination: by the hour (TAMF), or by an operator."""
    ALTERNATE_ROUTED = "alternate_routed"
    """At a station: taken to its alternate. On a line: carried by its backup."""
    REPRIORITISED = "reprioritised"
    CANCELLED = "cancelled"
    """An operator took it out of the queue."""


OPERATOR_QUEUE: Final = "operator:queue"
"""Where messages wait that nobody else can take; an operator says what becomes of them."""

BULLETINS: Final = "board:daily"
"""Where bulletins hang until their time is over."""

_ENDS_ON_LINE: Final = frozenset(
    {
        Life.ANSWERED,
        Life.NOT_SENT,
        Life.EXPIRED,
        Life.OUTCOME_UNKNOWN,
        Life.REFUSED_BY_PEER,
        Life.OPERATOR_QUEUE,
        Life.FORWARDED,
        Life.CANCELLED,
    }
)
_ENDS_AT_STATION: Final = frozenset(
    {
        Life.ACKNOWLEDGED,
        Life.EXPIRED,
        Life.OPERATOR_QUEUE,
        Life.FORWARDED,
        Life.ALTERNATE_ROUTED,
        Life.CANCELLED,
    }
)
_ENDS_ELSEWHERE: Final = frozenset({Life.ANSWERED, Life.EXPIRED, Life.FORWARDED, Life.CANCELLED})


def ends_at(destination: str) -> frozenset[Life]:
    """Return the events that end a message at a destination.

    At a station it ends when it was acknowledged, or waits there no more. On a line it must have been answered or
    given up, because being taken over by the state is no answer. What waits for a person or a clock
    (`operator:queue`, `hitconf:clock` …) ends when that has decided.
    """
    if destination.startswith("line:"):
        return _ENDS_ON_LINE
    return _ENDS_AT_STATION if destination.startswith(("device:", "user:")) else _ENDS_ELSEWHERE


def has_ended(destination: str, lives: Iterable[str]) -> bool:
    """Tell from a message's events at one destination, in their order, whether it has ended there.

    Another `routed` after its end opens it again: an operator has queued it once more.
    """
    ends, ended = ends_at(destination), True
    for life in lives:
        if life == Life.ROUTED:
            ended = False
        elif life in ends:
            ended = True
    return ended


class MessageRecord(NamedTuple):
    """A message, whole, as it was received.

    Attributes:
        msn: Message sequence number: one per message, rising, unique.
        received: Wall time of receipt, microseconds since 1970 UTC.
        direction: A `Direction`.
        kind: The catalog function (`inquiry`, `entry` …) of what a station sent, `unknown` if it could not
            be told; `response`, `unsolicited` from a line; `status` from the switch itself; `bulletin` of what an
            operator of the switch posts.
        device: Station it came from, or is for.
        line: Line it came from; what it goes to stands in its events.
        user, agency, ori, mnemonic: Who sent it, or whom it answers.
        header: The supplemental header as it stands on the line.
        own_header: A host's own header, where it sent one.
        oif, taf: As put on the line.
        key: The message key, without its system: `QW`.
        system: The system before the key: `IW`.
        database: What the key asks.
        text: The text as received; characters that are no UTF-8 are written as backslash escapes.
        transaction: MSN of the inquiry it belongs to; its own if it began one.
        ref, requester, secondary, priority, reason: From the envelope.
        code: The wire code, if it was refused or reports one.
        sequence: Its data frame's number on its connection.
        session: The operator's session.
    """

    msn: int
    received: int
    direction: str
    kind: str
    device: str | None = None
    line: str | None = None
    user: str | None = None
    agency: str | None = None
    ori: str | None = None
    mnemonic: str | None = None
    header: str | None = None
    own_header: str | None = None
    oif: str | None = None
    taf: str | None = None
    key: str | None = None
    system: str | None = None
    database: str | None = None
    text: str = ""
    transaction: int | None = None
    ref: str | None = None
    requester: str | None = None
    secondary: str | None = None
    priority: str | None = None
    reason: str | None = None
    code: str | None = None
    sequence: int | None = None
    session: str | None = None


class EventRecord(NamedTuple):
    """One event of a message's life.

    Attributes:
        msn: The message.
        at: Wall time, microseconds.
        event: A `Life`.
        destination: An address (`device:NAME`, `user:ID`, `line:NAME`), or None.
        detail: More, for people; never message text.
    """

    msn: int
    at: int
    event: str
    destination: str | None = None
    detail: str | None = None


class AuditRecord(NamedTuple):
    """One access-control event, member for member a `msc.access.control_point.AuditEvent`.

    Attributes:
        at: Wall time, microseconds.
        event: Its dotted name: `sign_on.refused`.
        device, user, mnemonic, session: Who acted, and where.
        source: The address they came from.
        code: The wire code of a refusal.
        detail: What the switch has to say of it.
        subject: What was acted upon; None when it is the actor itself.
        reason: Why, as the operator gave it.
        agency: The agency of the user, or of the device where there is none: whose event it is.
    """

    at: int
    event: str
    device: str | None = None
    user: str | None = None
    mnemonic: str | None = None
    source: str | None = None
    session: str | None = None
    code: str | None = None
    detail: str | None = None
    subject: str | None = None
    reason: str | None = None
    agency: str | None = None
