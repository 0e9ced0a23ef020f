"""A message, whole: what the journal holds of it, and what everything that happens to it is made from."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from msc.transit.event import Event


class Direction(StrEnum):
    """Which way a message goes, seen from the county."""

    OUTBOUND = "outbound"
    """From a station of ours towards a line."""
    INBOUND = "inbound"
    """From a line towards a station of ours."""
    LOCAL = "local"
    """Between our own stations, or from the switch to one of them."""


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
        text: The text as received; characters that are not UTF-8 are written as backslash escapes.
        transaction: MSN of the inquiry it belongs to; its own if it began one.
        ref, requester, secondary, priority, reason: From the envelope.
        code: The wire code, if it was refused or reports one.
        sequence: Its data frame's number on its connection.
        session: The operator's session.
        events: What was known of its life when it was stored: where it goes, or that it was refused.
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
    events: tuple[Event, ...] = ()
