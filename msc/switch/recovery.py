"""What a starting switch does with messages that had not ended when it stopped, decided from the journal.

    destination   message               what happens
    station       any                   queued again for it, as a possible duplicate
    line          inquiry, recent       sent again, as answers may still be wanted; its time-out begins anew
    line          inquiry, older, or    the originator is told: E403
                  its line is no more
    line          update                the originator is told: E404; never sent again blindly

Answers that come after the restart find their inquiries, because those of the last hour are remembered.
"""

from __future__ import annotations

from enum import Enum

from msc.acp.directory import Directory
from msc.errors import NoAnswerInTime, OutcomeUnknown, Refusal
from msc.journal.record import MessageRecord
from msc.limits import ANSWER_TIMEOUT_S
from msc.protocol.catalog import Catalog, MessageKey
from msc.protocol.header import MessageHead, parse_head, parse_header, write_head
from msc.protocol.station import StationKind
from msc.routing.outbox import Outgoing
from msc.routing.pending import Pending

RESEND_S = 60.0
"""An inquiry older than this is not sent again: whoever asked has long asked again."""


class Action(Enum):
    """What to do with a message that had not ended on a line."""

    SEND_AGAIN = "send_again"
    TELL_NO_ANSWER = "tell_no_answer"
    TELL_UNKNOWN = "tell_unknown"


def decide(*, update: bool, age_s: float, has_line: bool = True) -> Action:
    """Decide by the table above."""
    if update:
        return Action.TELL_UNKNOWN
    return Action.SEND_AGAIN if age_s <= RESEND_S and has_line else Action.TELL_NO_ANSWER


def refusal_for(action: Action, line: str) -> Refusal:
    """What the originator is told where a message is not sent again."""
    if action is Action.TELL_UNKNOWN:
        return OutcomeUnknown(f"the switch restarted before {line} answered; check before sending again")
    return NoAnswerInTime(f"the switch restarted before {line} answered")


def key_of(record: MessageRecord, catalog: Catalog) -> MessageKey | None:
    """Find the catalog entry of a journaled message; None if the catalog no longer has it."""
    code = f"{record.system}.{record.key}" if record.system else record.key or ""
    return catalog.get(code)


def address_of(record: MessageRecord, directory: Directory) -> str:
    """Where answers to a journaled message are delivered."""
    device = directory.devices.get(record.device or "")
    if device is not None and device.mnemonic is None and device.kind is StationKind.TERMINAL:
        return f"user:{record.user}"
    return f"device:{record.device}"


def pending_of(record: MessageRecord, catalog: Catalog, directory: Directory) -> Pending:
    """Rebuild the pending entry of a journaled message; nothing is awaited yet."""
    key = key_of(record, catalog)
    header = record.header or ""
    return Pending(
        msn=record.msn,
        header=header,
        own_header=record.own_header or header,
        host=record.own_header is not None,
        address=address_of(record, directory),
        station=0,
        sequence=record.sequence or 0,
        ref=record.ref,
        device=record.device or "",
        user=record.user or "",
        agency=record.agency or "",
        ori=record.ori or "",
        mnemonic=record.mnemonic or "",
        priority=record.priority or "routine",
        key=key,
        timeout_s=key.timeout_s if key else ANSWER_TIMEOUT_S,
        received_us=record.received,
    )


def line_text(record: MessageRecord) -> str:
    """Write a journaled message as it goes on a line."""
    text = record.text
    if record.own_header is not None:
        _, text = parse_head(text)
    return write_head(MessageHead(record.header or "", record.oif, record.taf)) + text


def to_station(record: MessageRecord, was_sent: bool) -> Outgoing:
    """Rebuild what a station is still owed."""
    text, kind, source = record.text, record.kind, record.line or "switch"
    header: str | None = record.own_header or record.header
    if kind in ("response", "unsolicited"):
        _, text = parse_header(text)
        if record.own_header is not None:
            text = f"{record.own_header}.{text}"
    elif kind == "status":
        if record.own_header is not None:
            text = f"{record.own_header}.{text}"
    else:
        kind, source = "unsolicited", record.device or "switch"
        if record.own_header is not None:
            _, text = parse_head(text)
            header = record.header
    return Outgoing(
        record.msn,
        kind,
        text,
        source,
        record.received,
        header=header,
        priority=record.priority or "routine",
        ref=record.ref if kind in ("response", "status") else None,
        transaction=record.transaction if kind in ("response", "status") else None,
        possible_duplicate=was_sent,
    )
