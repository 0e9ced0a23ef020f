"""What a starting switch does with what had not ended when it stopped, decided from the journal by a table (`TABLE`).

Answers that come after the restart find their inquiries, because those of the last hour are remembered.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from msc import clock
from msc.directory.rows import Directory
from msc.errors import NoAnswerInTime, OutcomeUnknown, Refusal
from msc.journal.recall import Unfinished
from msc.limits import ANSWER_TIMEOUT_S
from msc.protocol.catalog import Catalog, Function, MessageKey
from msc.protocol.header import MessageHead, is_mnemonic, parse_head, parse_header, write_head
from msc.protocol.station import StationKind
from msc.transit.event import Life
from msc.transit.message import Direction, MessageRecord
from msc.transit.outbox import Outgoing, Precedence
from msc.transit.pending import Pending

RESEND_S: Final = 60.0
"""An inquiry older than this is not sent again: whoever asked has long asked again."""
REPEATED: Final = "possible duplicate"
LATE: Final = "late"
"""What the detail of `routed` says of a message from a line that came before, or after it had been given up."""
FORWARDED_FOR: Final = "for "
"""How the detail of `routed` begins at the station that a message was forwarded to; the other's mnemonic follows."""
FROM_BOARD: Final = "from the bulletin board until "
"""How the detail of `routed` begins at a station that got a bulletin; when that comes down follows."""
NOT_ACKNOWLEDGED: Final = "not acknowledged in time"
"""Detail of `returned`: the station was there, and said nothing of the message."""
BY_GROUP: Final = "; by group"
"""How the detail of `routed` ends at a station that a message reached by a group, as a broadcast."""


_MARKED: Final = frozenset({LATE, REPEATED, f"{LATE}, {REPEATED}"})


class Action(Enum):
    """What to do with a message that had not ended somewhere."""

    LIST = "list"
    """It waits for the operator again."""
    HAND_BACK = "hand_back"
    """A clock runs on, a bulletin hangs again: whoever keeps these takes it back."""
    TO_OPERATOR = "to_operator"
    QUEUE = "queue"
    """It waits for its station again, as a possible duplicate if it was sent."""
    WAIT_AGAIN = "wait_again"
    """It was told to wait, and never sent: it still will be."""
    SEND_AGAIN = "send_again"
    """It goes out on its line again, if that is there soon: an answer may still be wanted."""
    TELL_NO_ANSWER = "tell_no_answer"
    """Its originator is told: E403."""
    TELL_UNKNOWN = "tell_unknown"
    """Its originator is told: E404. It is never sent again blindly, and the operator's list has it."""


@dataclass(frozen=True, slots=True)
class Case:
    """What the decision depends on.

    Attributes:
        place: What its address begins with: `line`, `device`, `user`, `operator`, `hitconf`, `board`.
        known: Whether there still is such a line, device or user.
        update: Whether it changes a record.
        waited: Whether its originator was told that it waits (E402), and it was never sent. Of such an update the
            journal would know for certain: it is asked before the line is. An inquiry may have gone out in the last
            moment; asked twice, it does no harm.
        age_s: Since it was received.
    """

    place: str
    known: bool = True
    update: bool = False
    waited: bool = False
    age_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table."""

    name: str
    holds: Callable[[Case], bool]
    action: Action


_STATIONS: Final = ("device", "user")

TABLE: Final = (
    Row("what waited for the operator", lambda case: case.place == "operator", Action.LIST),
    Row("a clock, or a bulletin", lambda case: case.place not in ("line", *_STATIONS), Action.HAND_BACK),
    Row("a station that is no more", lambda case: case.place in _STATIONS and not case.known, Action.TO_OPERATOR),
    Row("a station", lambda case: case.place in _STATIONS, Action.QUEUE),
    Row("what waited for its line", lambda case: case.waited and case.known, Action.WAIT_AGAIN),
    Row("an update on a line", lambda case: case.update, Action.TELL_UNKNOWN),
    Row("a line that is no more", lambda case: not case.known, Action.TELL_NO_ANSWER),
    Row("a recent inquiry on a line", lambda case: case.age_s <= RESEND_S, Action.SEND_AGAIN),
    Row("an older inquiry on a line", lambda _case: True, Action.TELL_NO_ANSWER),
)
"""The first row that holds decides."""


def decide(case: Case) -> Action:
    """Decide by the table."""
    return next(row.action for row in TABLE if row.holds(case))


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
        began=record.transaction if record.transaction != record.msn else None,
    )


def line_text(record: MessageRecord) -> str:
    """Write a journaled message as it goes on a line."""
    text = record.text
    if record.own_header is not None:
        _, text = parse_head(text)
    return write_head(MessageHead(record.header or "", record.oif, record.taf)) + text


def waited_since(leg: Unfinished) -> int | None:
    """Since when something has waited for its line, by word of the state or of an operator, and was never sent.

    What had happened before it was `routed` there for the last time is another story, which has ended.

    Returns:
        Wall time of the last `queued`; None if it did not wait, or was sent.
    """
    since = None
    for event in leg.events:
        if event.event in (Life.ROUTED, Life.QUEUED):
            since = event.at if event.event == Life.QUEUED else None
    return None if leg.was_sent else since


def precedence_given(leg: Unfinished) -> Precedence | None:
    """Return the class that an operator put it into last, if any did."""
    given = (event.detail or "" for event in reversed(leg.events) if event.event == Life.REPRIORITISED)
    name = next(given, "")
    return Precedence[name] if name in Precedence.__members__ else None


def queued_again(leg: Unfinished, ended: bool = True) -> Outgoing:
    """Rebuild what a station is still owed, with what had become of it there.

    Args:
        ended: Whether the switch had stopped in good order. If not, it may have sent what the journal does not say.
    """
    routed = [event.detail or "" for event in leg.events if event.event == Life.ROUTED]
    until = next((detail.removeprefix(FROM_BOARD) for detail in routed if detail.startswith(FROM_BOARD)), None)
    message = to_station(
        leg.message,
        leg.was_sent or not ended or any(event.event == Life.SENT for event in leg.events),
        broadcast=until is not None or any(detail.endswith(BY_GROUP) for detail in routed),
    )
    if until is not None:
        message.bulletin, message.expires_us = True, clock.parse_rfc3339(until)
    if (precedence := precedence_given(leg)) is not None:
        message.precedence = precedence
    for event in leg.events:
        detail = event.detail or ""
        if event.event == Life.REFUSED_BY_PEER:
            message.attempts += 1
        elif event.event == Life.RETURNED and detail == NOT_ACKNOWLEDGED:
            message.unanswered += 1
        elif event.event == Life.ROUTED and detail in _MARKED:
            message.late = message.late or LATE in detail
            message.possible_duplicate = message.possible_duplicate or REPEATED in detail
        elif event.event == Life.ROUTED and detail.startswith(FORWARDED_FOR):
            message.hops += 1
            if is_mnemonic(whose := detail.removeprefix(FORWARDED_FOR)):
                message.original_mnemonic = whose
    return message


def _station_kind(record: MessageRecord, broadcast: bool) -> str:
    if record.kind == Function.HIT_CONFIRMATION:
        return record.kind
    return "broadcast" if broadcast else "unsolicited"


def to_station(record: MessageRecord, was_sent: bool, *, broadcast: bool = False) -> Outgoing:
    """Rebuild what a station is still owed.

    Args:
        was_sent: Whether it may have been delivered.
        broadcast: Whether it came by a group or from the bulletin board.
    """
    text, kind, source = record.text, record.kind, record.line or "switch"
    header: str | None = record.own_header or record.header
    if kind in ("response", "unsolicited") or record.direction == Direction.INBOUND:
        _, text = parse_header(text)
        if record.own_header is not None:
            text = f"{record.own_header}.{text}"
    elif kind == "status" or (kind == "hit_confirmation" and record.sequence is None):
        # The switch's own word on it; what a station says of a hit came in a data frame.
        if record.own_header is not None:
            text = f"{record.own_header}.{text}"
    else:
        kind, source = _station_kind(record, broadcast), record.device or "switch"
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
