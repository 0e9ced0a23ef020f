"""Status messages: what the switch itself tells an originator of a message, journaled like any other."""

from __future__ import annotations

from msc import clock
from msc.transit.event import Event, Life
from msc.transit.message import Direction, MessageRecord
from msc.transit.transaction import Transaction


def status_of(about: Transaction, msn: int, address: str, line: str | None, code: str, why: str) -> Transaction:
    """Make a status message.

    Args:
        about: The inquiry, or an answer to it: either says whose it is.
        msn: The status message's own.
        address: Where it goes.
        line: Which line it speaks of; None is the whole message.
    """
    message, at = about.message, clock.wall_us()
    return Transaction(
        MessageRecord(
            msn, at, Direction.LOCAL, "status", device=message.device, line=line, user=message.user,
            agency=message.agency, ori=message.ori, mnemonic=message.mnemonic, header=message.header,
            own_header=message.own_header, text=f"{code} {why}", transaction=about.number, ref=message.ref,
            priority=about.priority, code=code, events=(Event(msn, at, Life.ROUTED, address),),
        ),
        inquiry=about if about.message.direction != Direction.INBOUND else about.inquiry,
    )  # fmt: skip
