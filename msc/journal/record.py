"""What the journal holds: whole messages, steps of their lives, and events of access control and operators.

The records are tuples; the order of their members is that of the canonical bytes (`msc.journal.proof.canonical`), so
a member is only ever added at the end.
"""

from __future__ import annotations

from typing import NamedTuple

from msc.transit.event import Event
from msc.transit.message import MessageRecord


class StepsRecord(NamedTuple):
    """What has happened to one message since it was stored: one step or several, in their order.

    Attributes:
        msn: The message.
        at: Wall time of the last step, microseconds.
        events: The steps.
    """

    msn: int
    at: int
    events: tuple[Event, ...]


class AuditRecord(NamedTuple):
    """One access-control event, member for member a `msc.audit.AuditEvent`.

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


class Unreadable(NamedTuple):
    """What stands where a record should be, and cannot be understood.

    Attributes:
        seq: Its position in the journal.
        msn: The message it seems to be about.
        at: When it seems to have been written: wall time, microseconds.
        why: For people; nothing of what stands in it.
        may_be_message: Whether it may be a message itself: its MSN is taken.
    """

    seq: int
    msn: int | None
    at: int | None
    why: str
    may_be_message: bool = True


Record = MessageRecord | StepsRecord | AuditRecord


def time_of(record: Record) -> int:
    """Return the wall time by which a record counts to a month, microseconds."""
    return record.received if type(record) is MessageRecord else record.at  # type: ignore[union-attr]


def msn_after(msn: int, record: Record | Unreadable) -> int:
    """Return the highest MSN that was given out, after one more record; it is never given out again.

    Args:
        msn: The highest before.
    """
    if isinstance(record, MessageRecord):
        return max(msn, record.msn)
    if isinstance(record, Unreadable) and record.may_be_message:
        return max(msn + 1, record.msn or 0)  # it was a message's, whichever it was
    return msn
