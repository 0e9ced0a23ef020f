"""The events of a message's life, and the places where it can be.

An event is typed: what follows from it stands in its facts, member by member. `why` is for people alone; nothing
reads it, so a name or a reason that somebody chose can never become an order.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple, TypedDict


class Life(StrEnum):
    """What can happen to a message. `received` is not stored: the message's own `received` says it."""

    RECEIVED = "received"
    REFUSED = "refused"
    ROUTED = "routed"
    QUEUED = "queued"
    """Nobody is there to take it; it waits."""
    CLEARED = "cleared"
    """What its originator was told waits may go out now. Before the journal says so, it certainly has not."""
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
    REMINDED = "reminded"
    """Of a hit confirmation: its terminal was told that nobody has answered yet."""
    OVERDUE = "overdue"
    """Of a hit confirmation: its terminal was told that the time is over."""
    CANCELLED = "cancelled"
    """An operator took it out of the queue."""


class Facts(TypedDict, total=False):
    """What an event says besides its name. A member that is not there says nothing.

    Attributes:
        why: In words, for people.
        code: The wire code of a refusal, or of what an originator was told.
        route, rule: The name of the route, or of the intercept rule, that brought it here.
        group: It came by a group, and is a broadcast.
        late, repeated: Of a line's answer: it came after it had been given up, or had come before.
        whose: The mnemonic, or the address where there is none, of the station it was meant for first.
        hops: How often it was sent elsewhere before it came here.
        pinned: An operator has said that it comes here, and no forward takes it on.
        meant: Of what waits for an operator: the address it was meant for.
        until: Wall time, microseconds, at which a bulletin comes down.
        by: Who posted a bulletin.
        terminal: The address that a hit confirmation's reminders go to.
        carrier: The line that carries it instead.
        device: The device at which a person took it.
        answer: MSN of what answered it.
        none_due: It was for somebody beyond the state, who owes this switch no answer.
        precedence: The class it was put into.
        unanswered: The destination was there, and left it without an acknowledgement for too long.
        to: Where it went from here.
        osn: Output sequence number; the journal gives it.
    """

    why: str
    code: str
    route: str
    rule: str
    group: bool
    late: bool
    repeated: bool
    whose: str
    hops: int
    pinned: bool
    meant: str
    until: int
    by: str
    terminal: str
    carrier: str
    device: str
    answer: int
    none_due: bool
    precedence: str
    unanswered: bool
    to: list[str]
    osn: int


NO_FACTS: Final[Facts] = {}


class Event(NamedTuple):
    """One event of a message's life.

    Attributes:
        msn: The message.
        at: Wall time, microseconds.
        event: A `Life`.
        destination: An address (`device:NAME`, `user:ID`, `line:NAME`, `operator:queue` …), or None.
        facts: What there is to say of it.
    """

    msn: int
    at: int
    event: str
    destination: str | None = None
    facts: Facts = NO_FACTS


OPERATOR_QUEUE: Final = "operator:queue"
"""Where messages wait that nobody else can take; an operator says what becomes of them."""

INTERCEPT: Final = "operator:intercept"
"""Where messages wait that an operator wants to see before they go anywhere."""

BULLETINS: Final = "board:daily"
"""Where bulletins are posted until their time is over."""


def described(event: Event) -> str | None:
    """Say in words what an event's facts are, for people; None if there is nothing to say."""
    facts = event.facts
    said = [words.format(fact) for name, words in _WORDS.items() if (fact := facts.get(name)) not in (None, False)]
    if "to" in facts:
        said.append(f"to {', '.join(facts['to'])}")
    told = " ".join(filter(None, (facts.get("code"), facts.get("why"))))
    return "; ".join([*said, *([told] if told else [])]) or None


_WORDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "route": "{}",
        "rule": "rule {}",
        "group": "by group",
        "late": "late",
        "repeated": "possible duplicate",
        "whose": "for {}",
        "carrier": "carried by {}",
        "device": "at {}",
        "answer": "msn {}",
        "none_due": "taken over; no answer is due",
        "precedence": "{}",
        "unanswered": "not acknowledged in time",
    }
)
