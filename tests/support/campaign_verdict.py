"""What a campaign proved: the journal held against the books of everybody outside the switch.

The journal is taken as the command prints it, the books are those of the stand-ins. Every check returns breaches as
sentences, so that a failed campaign says what happened to which message. Written from the published protocol page and
the promises; it knows nothing of the switch's code.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple

from tests.support.stand_in_host import StateBook, Taken
from tests.support.stand_in_terminal import Arrival, Sent, TerminalBook

ASKED = frozenset({"inquiry", "entry", "modify", "cancel", "locate", "clear", "administrative", "hit_confirmation"})
"""Kinds of messages that begin a transaction at a terminal of ours."""
UPDATES = frozenset({"entry", "modify", "cancel", "locate", "clear"})
ENDS_ON_LINE = frozenset(
    {"answered", "not_sent", "expired", "outcome_unknown", "refused_by_peer", "operator_queue", "cancelled"}
)
ENDS_AT_STATION = frozenset(
    {"acknowledged", "operator_queue", "expired", "cancelled", "forwarded", "alternate_routed"}
)
ENDS_NOWHERE = frozenset({"refused", "operator_queue", "expired", "cancelled"})
"""How a message without a destination may end."""
TEXT_CHARS_MAX = 14_600
OPERATOR_QUEUE = "operator:queue"
GIVEN_UP = frozenset({"E401", "E403", "E404"})
"""Codes by which an originator is told that a destination was given up."""
PEOPLES_QUEUES = ("operator:", "board:", "hitconf:")
"""Addresses where people or clocks look after a message: it may wait there."""


class Row(NamedTuple):
    """A message of the journal, as far as it is judged.

    Attributes:
        events: What happened, and where.
    """

    msn: int
    kind: str
    device: str | None
    line: str | None
    header: str | None
    text: str
    transaction: int | None
    code: str | None
    priority: str | None
    events: tuple[tuple[str, str | None], ...]

    def at(self, destination: str) -> list[str]:
        """Return what happened at a destination, in order."""
        return [event for event, where in self.events if where == destination]

    @property
    def life(self) -> str:
        """Its events, for people."""
        return " ".join(f"{event}@{where}" if where else event for event, where in self.events)

    @property
    def destinations(self) -> list[str]:
        """Where it was routed."""
        return list(dict.fromkeys(where for event, where in self.events if event == "routed" and where))

    def open_at(self) -> list[str]:
        """Return the destinations where it has not ended."""
        left = []
        for where in self.destinations:
            ends = ENDS_ON_LINE if where.startswith("line:") else ENDS_AT_STATION
            if not where.startswith(PEOPLES_QUEUES) and not ends & set(self.at(where)):
                left.append(where)
        return left


def row_of(line: str) -> Row:
    """Read a line of `msc journal search --json`."""
    told: dict[str, Any] = json.loads(line)
    return Row(
        told["msn"], told["kind"], told["device"], told["line"], told["header"], told["text"], told["transaction"],
        told["code"], told["priority"], tuple((event["event"], event["destination"]) for event in told["events"]),
    )  # fmt: skip


@dataclass
class Evidence:
    """Everything that is known at the end.

    Attributes:
        rows: The journal's messages, by MSN; `doubled` MSNs stood there twice.
        terminals: Books by device.
        states: Books by the destination's line name.
        carriers: Names of all lines that carry a destination, where there are more than its own.
    """

    rows: dict[int, Row]
    terminals: Mapping[str, TerminalBook]
    states: Mapping[str, StateBook]
    carriers: Mapping[str, frozenset[str]] = field(default_factory=dict)
    doubled: list[int] = field(default_factory=list)

    @classmethod
    def of(
        cls,
        lines: Iterable[str],
        terminals: Mapping[str, TerminalBook],
        states: Mapping[str, StateBook],
        carriers: Mapping[str, frozenset[str]] | None = None,
    ) -> Evidence:
        """Take the journal in, as the command prints it."""
        evidence = cls({}, terminals, states, carriers or {})
        for line in lines:
            row = row_of(line)
            if row.msn in evidence.rows:
                evidence.doubled.append(row.msn)
            evidence.rows[row.msn] = row
        return evidence

    def carried(self, destination: str) -> frozenset[str]:
        """Name the lines that carry a destination."""
        return self.carriers.get(destination, frozenset({destination}))

    @cached_property
    def asked(self) -> dict[str, Row]:
        """What terminals sent and the switch took, by the header it got."""
        return {row.header: row for row in self.rows.values() if row.kind in ASKED and row.header}

    @cached_property
    def words(self) -> dict[tuple[int, str | None], list[Row]]:
        """Answers and status messages, by the MSN they belong to and the line they came from or speak of."""
        found: dict[tuple[int, str | None], list[Row]] = defaultdict(list)
        for row in self.rows.values():
            if row.kind in ("response", "status") and row.transaction is not None:
                found[row.transaction, row.line].append(row)
        return dict(found)

    @cached_property
    def arrivals(self) -> dict[tuple[str, int], list[Arrival]]:
        """What came to terminals, by device and MSN."""
        found: dict[tuple[str, int], list[Arrival]] = defaultdict(list)
        for device, book in self.terminals.items():
            for arrival in book.arrivals:
                found[device, arrival.msn].append(arrival)
        return dict(found)

    @cached_property
    def submitted(self) -> dict[tuple[str, str], list[Taken]]:
        """What states were sent and did not refuse, by destination and header."""
        found: dict[tuple[str, str], list[Taken]] = defaultdict(list)
        for name, book in self.states.items():
            for message in book.taken:
                if message.outcome in ("", "A"):
                    found[name, message.header].append(message)
        return dict(found)


Check = Callable[[Evidence], Iterator[str]]


def judge(evidence: Evidence) -> dict[str, list[str]]:
    """Return the breaches by promise; a promise that was kept is not there."""
    return {promise: found for promise, check in PROMISES.items() if (found := list(check(evidence)))}


def lost(evidence: Evidence) -> Iterator[str]:
    """Find what was acknowledged to a terminal and is not in the journal, whole, under a number of its own."""
    for msn in evidence.doubled:
        yield f"MSN {msn} stands in the journal twice"
    given: dict[int, str] = {}
    for device, book in evidence.terminals.items():
        for sent in book.sent.values():
            if sent.msn is None:
                continue
            if sent.msn in given:
                yield f"MSN {sent.msn} was given to {device} and to {given[sent.msn]}"
            given[sent.msn] = device
            row = evidence.rows.get(sent.msn)
            if row is None:
                yield f"MSN {sent.msn} of {device} was acknowledged and is not in the journal"
            elif row.text != sent.text or row.device != device:
                yield f"MSN {sent.msn} of {device} is in the journal with another text or device"


def lost_from_the_state(evidence: Evidence) -> Iterator[str]:
    """Find what was acknowledged to a state host and is not in the journal, whole."""
    for name, book in evidence.states.items():
        for told in book.told:
            row = evidence.rows.get(told.msn or 0)
            if told.msn is None:
                continue
            if row is None:
                yield f"MSN {told.msn} was acknowledged to {name} and is not in the journal"
            elif row.line not in evidence.carried(name) or not _is_text_of(row.text, told.payload):
                yield f"MSN {told.msn} of {name} is in the journal with another text or line"


def _is_text_of(text: str, payload: bytes) -> bool:
    """Tell whether a text is a payload's; what is not UTF-8 is journaled in escapes, and a text too long is cut."""
    try:
        return text == payload.decode() or (
            len(payload) > TEXT_CHARS_MAX and payload.decode().startswith(text[:1000])
        )
    except UnicodeDecodeError:
        return True


def unended(evidence: Evidence) -> Iterator[str]:
    """Find messages that have not ended at every destination."""
    for row in evidence.rows.values():
        if open_at := row.open_at():
            yield f"MSN {row.msn}, {row.kind}, has not ended at {', '.join(open_at)}: {row.life}"
        if not row.destinations and not {event for event, _ in row.events} & ENDS_NOWHERE:
            yield f"MSN {row.msn}, {row.kind}, has neither destination nor end: {row.life}"


def untold(evidence: Evidence) -> Iterator[str]:
    """Find inquiries and updates of which nobody told the originator what became of them at a destination."""
    for row in evidence.rows.values():
        if row.kind not in ASKED or row.device not in evidence.terminals:
            continue
        for where in row.destinations:
            if not where.startswith("line:") or "operator_queue" in row.at(where):
                continue
            name = where.removeprefix("line:")
            words = [word for line in evidence.carried(name) for word in evidence.words.get((row.msn, line), ())]
            if not words:
                yield f"MSN {row.msn} of {row.device}: no word about {where}: {row.life}"
            elif all(word.open_at() for word in words):
                yield f"MSN {row.msn} of {row.device}: the word about {where} was never delivered"


def unlisted(evidence: Evidence) -> Iterator[str]:
    """Find updates whose outcome nobody knows, and which are not in the operator's queue."""
    for row in evidence.rows.values():
        if "outcome_unknown" in {event for event, _ in row.events} and OPERATOR_QUEUE not in row.destinations:
            yield f"MSN {row.msn} of {row.device} may have been made or not, and the operator is not told: {row.life}"


def unmarked_late(evidence: Evidence) -> Iterator[str]:
    """Find answers that came after their destination was given up, and do not say so."""
    for (device, msn), came in evidence.arrivals.items():
        row = evidence.rows.get(msn)
        if row is None or row.kind != "response" or row.transaction is None or came[0].envelope.get("late"):
            continue
        destination = next((name for name in evidence.states if row.line in evidence.carried(name)), row.line)
        for word in evidence.words.get((row.transaction, destination), ()):
            if word.code in GIVEN_UP and word.msn < msn:
                yield f"MSN {msn} came to {device} after {word.code} was told, and does not say that it is late"


def untrue_of_lines(evidence: Evidence) -> Iterator[str]:
    """Find what the journal says of a line and the state denies, or the other way round."""
    said = {told.payload for book in evidence.states.values() for told in book.told}
    for row in evidence.rows.values():
        for name in evidence.states:
            if "not_sent" in row.at(f"line:{name}") and (name, row.header or "") in evidence.submitted:
                yield f"MSN {row.msn} was not sent to {name}, it was said; {name} has it: {row.life}"
        if row.kind == "response" and row.text.encode() not in said:
            yield f"MSN {row.msn} is an answer nobody gave"
    for name, book in evidence.states.items():
        for message in book.taken:
            asked = evidence.asked.get(message.header)
            if asked is None:
                yield f"{name} was sent a header that no message in the journal bears"
            elif asked.text != message.text:
                yield f"MSN {asked.msn} came to {name} with another text"
            elif f"line:{name}" not in asked.destinations:
                yield f"MSN {asked.msn} came to {name}, where it was not routed"


def untrue_of_terminals(evidence: Evidence) -> Iterator[str]:
    """Find what the journal says of a terminal and its book denies, or the other way round."""
    for row in evidence.rows.values():
        for event, where in row.events:
            device = (where or "").removeprefix("device:")
            if event == "acknowledged" and device in evidence.terminals:
                fates = [arrival.fate for arrival in evidence.arrivals.get((device, row.msn), ())]
                if "A" not in fates:
                    yield f"MSN {row.msn} was acknowledged by {device}, it is said; it never was: {row.life}"
    for (device, msn), came in evidence.arrivals.items():
        row_of_it = evidence.rows.get(msn)
        if row_of_it is None:
            yield f"MSN {msn} came to {device} and is not in the journal"
        elif f"device:{device}" not in row_of_it.destinations:
            yield f"MSN {msn} came to {device}, where it was not routed"
        elif any(not row_of_it.text.endswith(arrival.text) for arrival in came):
            yield f"MSN {msn} came to {device} with another text than the journal has"
        elif came[0].kind in ("response", "status") and came[0].envelope.get("ref") not in _refs(evidence, device):
            yield f"MSN {msn} answers what {device} never sent"


def _refs(evidence: Evidence, device: str) -> Mapping[str, Sent]:
    return evidence.terminals[device].sent


def repeated_to_terminals(evidence: Evidence) -> Iterator[str]:
    """Find deliveries that came a second time and did not say so. What a terminal refused may come again."""
    for (device, msn), came in evidence.arrivals.items():
        for before, again in pairwise(came):
            if not again.flagged and before.fate in ("", "A"):
                yield f"MSN {msn} came to {device} again, unmarked, after {before.fate or 'no word'}"


def repeated_answers(evidence: Evidence) -> Iterator[str]:
    """Find the same words about the same inquiry under two MSNs, of which the second does not say so."""
    for device, book in evidence.terminals.items():
        first: dict[tuple[Any, ...], int] = {}
        for arrival in book.arrivals:
            if arrival.kind != "response":
                continue
            words = (arrival.envelope.get("transaction"), arrival.envelope.get("source"), arrival.text)
            msn = first.setdefault(words, arrival.msn)
            if msn != arrival.msn and not arrival.flagged:
                yield f"MSN {arrival.msn} came to {device} and repeats MSN {msn}, unmarked"


def repeated_to_states(evidence: Evidence) -> Iterator[str]:
    """Find what states were sent twice and should not have been: updates; or anything without a loss in between."""
    for (name, header), copies in evidence.submitted.items():
        if len(copies) == 1:
            continue
        asked = evidence.asked.get(header)
        if asked is None or asked.kind in UPDATES:
            yield f"an update, header {header}, was submitted to {name} {len(copies)} times"
        if len({copy.connection for copy in copies}) < len(copies):
            yield f"header {header} was submitted to {name} twice on one connection"
        if len({copy.raw for copy in copies}) > 1:
            yield f"header {header} was submitted to {name} with two texts"


def disordered_on_lines(evidence: Evidence) -> Iterator[str]:
    """Find messages of one originator and priority that reached the state in another order than acknowledged."""
    for name, book in evidence.states.items():
        last: dict[tuple[str | None, str | None], int] = {}
        seen: set[str] = set()
        for message in book.taken:
            asked = evidence.asked.get(message.header)
            if asked is None or message.header in seen:
                continue  # sent again after a loss
            seen.add(message.header)
            who = (asked.device, asked.priority)
            if last.get(who, 0) > asked.msn:
                yield f"MSN {asked.msn} of {asked.device} reached {name} after MSN {last[who]}: {asked.life}"
            last[who] = max(asked.msn, last.get(who, 0))


def disordered_at_terminals(evidence: Evidence) -> Iterator[str]:
    """Find deliveries of one source, kind and priority that came first in another order than they were taken."""
    for device, book in evidence.terminals.items():
        last: dict[tuple[Any, ...], int] = {}
        refused = {arrival.msn for arrival in book.arrivals if arrival.fate not in ("", "A")}
        seen: set[int] = set()
        for arrival in book.arrivals:
            if arrival.msn in seen or arrival.msn in refused:
                continue
            seen.add(arrival.msn)
            what = (arrival.envelope.get("source"), arrival.kind, arrival.envelope.get("priority"))
            if last.get(what, 0) > arrival.msn:
                row = evidence.rows.get(arrival.msn)
                life = row.life if row else "not in the journal"
                yield f"MSN {arrival.msn} of {what} came to {device} after MSN {last[what]}: {life}"
            last[what] = max(arrival.msn, last.get(what, 0))


def misnumbered(evidence: Evidence) -> Iterator[str]:
    """Find messages of one connection whose MSNs do not rise in the order in which they were sent."""
    for device, book in evidence.terminals.items():
        last: dict[int, int] = {}
        for sent in book.sent.values():
            if sent.msn is not None:
                if last.get(sent.connection, 0) > sent.msn:
                    yield f"{device} sent MSN {sent.msn} after MSN {last[sent.connection]}"
                last[sent.connection] = sent.msn


def misspoken(evidence: Evidence) -> Iterator[str]:
    """Find where the switch broke the protocol."""
    for name, book in {**evidence.states, **evidence.terminals}.items():
        for fault in book.faults:
            yield f"{name}: {fault}"


PROMISES: dict[str, Check] = {
    "nothing acknowledged is lost": lost,
    "nothing the state was acknowledged is lost": lost_from_the_state,
    "every message ends everywhere": unended,
    "every originator is told": untold,
    "what is unknown is the operator's": unlisted,
    "what is late says so": unmarked_late,
    "what is said of lines is true": untrue_of_lines,
    "what is said of terminals is true": untrue_of_terminals,
    "nothing comes to a terminal twice unmarked": repeated_to_terminals,
    "the second copy of an answer is marked": repeated_answers,
    "nothing but inquiries is submitted to the state twice": repeated_to_states,
    "order is kept on the lines": disordered_on_lines,
    "order is kept at the terminals": disordered_at_terminals,
    "numbers rise as messages are sent": misnumbered,
    "the protocol is kept": misspoken,
}
"""Every promise that is judged, and what finds its breaches."""


def figures(evidence: Evidence) -> dict[str, int]:
    """Count what came of it all."""
    arrivals = [arrival for book in evidence.terminals.values() for arrival in book.arrivals]
    again = sum(len(copies) - 1 for copies in evidence.submitted.values())
    codes = Counter(row.code for row in evidence.rows.values() if row.kind == "status" and row.code)
    operator = sum(any(event == "operator_queue" for event, _ in row.events) for row in evidence.rows.values())
    return {
        "sent": sum(len(book.sent) for book in evidence.terminals.values()),
        "acknowledged": sum(len(book.acknowledged()) for book in evidence.terminals.values()),
        "refused": sum(bool(sent.refused) for book in evidence.terminals.values() for sent in book.sent.values()),
        "journaled": len(evidence.rows),
        "delivered": len(arrivals),
        "duplicates flagged to terminals": sum(arrival.flagged for arrival in arrivals),
        "submitted to the state": sum(len(book.taken) for book in evidence.states.values()),
        "inquiries submitted again": again,
        "said by the state": sum(len(book.told) for book in evidence.states.values()),
        "said by the state again": sum(max(told.sent - 1, 0) for b in evidence.states.values() for told in b.told),
        "to the operator's queue": operator,
        **{f"told {code}": count for code, count in sorted(codes.items())},
    }
