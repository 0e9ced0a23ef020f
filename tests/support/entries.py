"""Journal entries as the switch gives them to its commands, made up."""

from __future__ import annotations

from typing import Any

from msc import clock
from msc.journal.search import Entry
from msc.transit.event import Event, Facts
from msc.transit.message import MessageRecord

START_US = clock.parse_rfc3339("2026-03-05T03:12:44.000250Z")

Happened = tuple[int, str, str | None, str | None]
"""Microseconds since the message was received, what, where, and what is said of it; see `facts_of`."""


def facts_of(event: str, said: str | None) -> Facts:
    """Return the facts that an event's words stand for: a route, an answer, a code with its words, or just words."""
    if said is None:
        return {}
    if event == "answered" and said.startswith("msn "):
        return {"answer": int(said.removeprefix("msn "))}
    if event == "routed":
        return {"route": said}
    if said.startswith("device:"):
        return {"device": said.removeprefix("device:")}
    code, _, why = said.partition(" ")
    return {"code": code, "why": why} if len(code) == 4 and code[1:].isdigit() else {"why": said}


def entry(msn: int, *events: Happened, after_us: int = 0, **members: Any) -> dict[str, Any]:
    """Make an entry; members that are not given are those of an inquiry."""
    received = START_US + after_us
    usual: dict[str, Any] = {
        "direction": "outbound", "kind": "inquiry", "device": "DISPATCH1", "user": "J40217", "agency": "EXSO",
        "ori": "CA0990000", "mnemonic": "EXA1", "key": "QW", "system": "IW", "transaction": msn,
        "text": "IW.QW.CA0990000.NAM/SPECIMEN,WANTED.DOB/19800101",
    }  # fmt: skip
    message = MessageRecord(msn, received, **{**usual, **members})
    life = [Event(msn, received, "received")]
    life += [Event(msn, received + at, event, place, facts_of(event, said)) for at, event, place, said in events]
    return Entry(message, tuple(life)).as_json()


def answer(msn: int, transaction: int, line: str, after_us: int, *events: Happened, **members: Any) -> dict[str, Any]:
    """Make an answer that came from a line and went to DISPATCH1."""
    usual: dict[str, Any] = {"direction": "inbound", "kind": "response", "line": line, "text": "EXA1000001.NO RECORD"}
    lives = events or (
        (0, "routed", "device:DISPATCH1", None),
        (900, "sent", "device:DISPATCH1", None),
        (2_400, "acknowledged", "device:DISPATCH1", None),
    )
    return entry(msn, *lives, after_us=after_us, transaction=transaction, **{**usual, **members})
