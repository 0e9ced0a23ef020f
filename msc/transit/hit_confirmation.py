"""The clocks of hit confirmations: what was asked with a `YQ` and waits for its `YR`, and how long it has.

    YQ.CA0990000.NV0990000.TXT.RTY/WP.RNO/1.PRI/U.OCA/T26-0001.NIC/W999000001      asked: ten minutes (R: one hour)
    YR.NV0990000.CA0990000.TXT.RTY/WP.RNO/1.CON/Y.OCA/T26-0001.NIC/W999000001      answered

Both directions have clocks: what an agency of ours asks, and what one of ours is asked. A request and its answer are
paired by the asking ORI, `OCA` and `NIC`. Who answers is not looked at: the record's number names the record, and an
agency may answer under another of its ORIs, or its state for it.

A request about what is open already belongs to the same item. One with a higher number (`RNO`), or one that comes
when the time is over, begins the clock anew; any other is a repetition, which never makes a clock longer. Three
requests are the rule; a fourth is passed on like the others, because no switch may keep a confirmation from being
asked for, but `Confirmation.beyond` marks it.

    asked ──────────────── reminder ──────── alarm, escalation ─────────────── expired
      0          due - remind (2 min, 15 min)       due                   due + a day

Time is an argument: monotonic seconds.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Final, NamedTuple

from msc.errors import Refusal
from msc.limits import (
    HIT_CONFIRMATION_KEPT_S,
    HIT_CONFIRMATION_MESSAGES_MAX,
    HIT_CONFIRMATION_ROUTINE_S,
    HIT_CONFIRMATION_URGENT_S,
    HIT_CONFIRMATIONS_MAX,
    REMIND_ROUTINE_S,
    REMIND_URGENT_S,
)
from msc.protocol.catalog import Catalog, MessageKey
from msc.protocol.text import MessageText, fields_on_lines, parse_addressed

REQUEST: Final = "YQ"
ANSWER: Final = "YR"
_BEGINS: Final = re.compile(rf"(?:[A-Z]{{2}}\.)?({REQUEST}|{ANSWER})\.")
ADDRESS: Final = "hitconf:clock"
"""What a request is owed to until it is answered or has expired, so that a restart finds it."""
REQUESTS: Final = 3
"""How many requests the rule has."""


# --- what the messages say ----------------------------------------------------------------------


class HitRequest(NamedTuple):
    """What a `YQ` asks.

    Attributes:
        asker: ORI of the agency that asks.
        asked: The ORIs asked, as the text names them.
        oca, nic: The record; of the two one may be empty.
        number: `RNO`, from 1.
        urgent: Whether it is to be answered in ten minutes. What does not say is.
    """

    asker: str
    asked: tuple[str, ...]
    oca: str
    nic: str
    number: int
    urgent: bool


class HitAnswer(NamedTuple):
    """What a `YR` answers: who answers, which ORIs had asked, and the record."""

    answerer: str
    askers: tuple[str, ...]
    oca: str
    nic: str


def read_hit_confirmation(key: MessageKey, text: MessageText) -> HitRequest | HitAnswer | None:
    """Read a message that was parsed by its catalog entry.

    Returns:
        None if it is neither request nor answer, or names no record.
    """
    if key.key not in (REQUEST, ANSWER):
        return None
    fields = {code: value.strip() for code, value in text.fields.items()}
    oca, nic = fields.get("OCA", ""), fields.get("NIC", "")
    if not oca and not nic:
        return None
    if key.key == ANSWER:
        return HitAnswer(text.ori, text.destinations, oca, nic)
    number = fields.get("RNO", "1")
    return HitRequest(
        text.ori,
        text.destinations,
        oca,
        nic,
        int(number) if number in ("1", "2", "3") else 1,
        fields.get("PRI") != "R",
    )


def is_request(text: str) -> bool:
    """Tell whether what a line sent, without its header, begins as a request does, readable or not."""
    found = _BEGINS.match(text.lstrip())
    return found is not None and found[1] == REQUEST


def parse_hit_confirmation(text: str, catalog: Catalog) -> HitRequest | HitAnswer | None:
    """Read what a line sent, without its header. What another agency left out or wrote in its own way is not a fault
    here: the message is delivered as it is.

    Returns:
        None if it is neither request nor answer, or cannot be read as one.
    """
    if _BEGINS.match(text.lstrip()) is None:
        return None  # asked of every answer there is, and hardly any is one of these
    text = fields_on_lines(text)
    try:
        key, rest = catalog.find(text)
        return read_hit_confirmation(key, parse_addressed(rest, free=False))
    except Refusal:
        return None


# --- what is open -------------------------------------------------------------------------------


class Side(StrEnum):
    """Which end of a confirmation is ours."""

    ASKING = "asking"
    """An agency of ours asked another."""
    ASKED = "asked"
    """Another agency asked one of ours."""


class Stage(IntEnum):
    """How far an item's clock has run."""

    WAITING = 0
    REMINDED = 1
    OVERDUE = 2


class Terms(NamedTuple):
    """How long there is for an answer, and how long before the end the reminder comes. Seconds."""

    urgent_s: float = HIT_CONFIRMATION_URGENT_S
    routine_s: float = HIT_CONFIRMATION_ROUTINE_S
    remind_urgent_s: float = REMIND_URGENT_S
    remind_routine_s: float = REMIND_ROUTINE_S
    kept_s: float = HIT_CONFIRMATION_KEPT_S

    def due_in(self, urgent: bool) -> float:
        """Return how long there is for an answer."""
        return self.urgent_s if urgent else self.routine_s

    def remind_before(self, urgent: bool) -> float:
        """Return how long before the end the reminder comes."""
        return self.remind_urgent_s if urgent else self.remind_routine_s


@dataclass(slots=True, eq=False)
class Confirmation:
    """One open item: a record somebody asked about, and the requests for it so far.

    Attributes:
        side: Which end is ours.
        agency: Our agency, asking or asked.
        terminal: The address of ours that asked, or got the request: reminders go there.
        number: The highest `RNO` so far.
        requests: How many requests there were.
        msns: Their MSNs, of the first few.
        asked_us: Wall time of the first, microseconds.
        due: When the answer is due; monotonic.
        stage: What has been told already.
    """

    side: Side
    request: HitRequest
    agency: str
    terminal: str
    number: int
    urgent: bool
    requests: int
    asked_us: int
    due: float
    stage: Stage = Stage.WAITING
    own_header: str | None = None
    """The header that texts for the terminal begin with, where it is a host."""
    msns: list[int] = field(default_factory=list)
    turn: int = 0
    """Rises with every change of the clock, so that a deadline set before it is passed over."""

    @property
    def beyond(self) -> bool:
        """Whether there were more requests than the rule has."""
        return self.requests > REQUESTS

    @property
    def key(self) -> tuple[Side, str, str, str]:
        """What tells it from every other: side, asking ORI, `OCA`, `NIC`."""
        return self.side, self.request.asker, self.request.oca, self.request.nic


class What(StrEnum):
    """What is to be done about an item now."""

    REMIND = "remind"
    """Its time is almost over: tell its terminal."""
    ALARM = "alarm"
    """Its time is over: tell its terminal."""
    ESCALATE = "escalate"
    """Its time is over: tell a second terminal."""
    EXPIRE = "expire"
    """Nobody answered for a day, or there are too many: it is forgotten."""


class Action(NamedTuple):
    """One thing to do, and the item."""

    what: What
    item: Confirmation


class HitConfirmations:
    """All open confirmations, and when something is to be done about each.

    Args:
        terms: The times.
        items_max: How many are remembered; past it the one that has been open longest expires.
    """

    def __init__(self, terms: Terms | None = None, items_max: int = HIT_CONFIRMATIONS_MAX) -> None:
        self.terms = terms or Terms()
        self._items_max = items_max
        self._items: dict[tuple[Side, str, str, str], Confirmation] = {}
        # By one of the two numbers, for an answer that gives only that one.
        self._by_number: dict[tuple[Side, str, str, str], list[Confirmation]] = {}
        self._deadlines: list[tuple[float, int, int, Confirmation]] = []
        self._pushed = 0
        self._by_msn: dict[tuple[Side, int], Confirmation] = {}
        self._crowded_out: list[Confirmation] = []

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, item: Confirmation) -> bool:
        return self._items.get(item.key) is item

    def open(self) -> Iterator[Confirmation]:
        """Yield what is open, longest open first."""
        yield from self._items.values()

    # --- asked and answered ---------------------------------------------------------------------

    def ask(
        self,
        side: Side,
        request: HitRequest,
        *,
        msn: int,
        agency: str,
        terminal: str,
        asked_us: int,
        now: float,
        own_header: str | None = None,
        stage: Stage = Stage.WAITING,
    ) -> Confirmation:
        """Begin the clock of a request, or take it to the open item it belongs to.

        Args:
            side: Which end is ours.
            request: What it asks.
            msn: The message's; the same one a second time changes nothing.
            agency: Ours.
            terminal: The address of ours to remind.
            asked_us: Wall time of the request, microseconds, for people.
            now: The moment of the request: after a restart, that of then.
            own_header: That of the request, where a host sent it.
            stage: After a restart: what was told before it.

        Returns:
            The item. If it does not hold the MSN, it has seen too many requests to hold them all.
        """
        item = self._items.get((side, request.asker, request.oca, request.nic))
        if (side, msn) in self._by_msn:
            return self._by_msn[side, msn]
        if item is None:
            while len(self._items) >= self._items_max:
                oldest = next(iter(self._items.values()))
                self._forget(oldest)
                self._crowded_out.append(oldest)
            item = Confirmation(
                side,
                request,
                agency,
                terminal,
                request.number,
                request.urgent,
                0,
                asked_us,
                now + self.terms.due_in(request.urgent),
            )
            self._items[item.key] = item
            for key in self._number_keys(item):
                self._by_number.setdefault(key, []).append(item)
            item.stage, item.own_header = stage, own_header
            self._schedule(item)
        else:
            due = now + self.terms.due_in(request.urgent)
            if request.number > item.number or item.due <= now or due < item.due:
                item.due, item.urgent, item.stage = due, request.urgent, stage
                item.terminal, item.own_header = terminal, own_header
            else:
                # A repetition: the time there was is the time there is.
                item.stage = max(item.stage, stage)
            item.number = max(item.number, request.number)
            self._schedule(item)
        item.requests += 1
        if len(item.msns) < HIT_CONFIRMATION_MESSAGES_MAX:
            item.msns.append(msn)
            self._by_msn[side, msn] = item
        return item

    def withdraw(self, msn: int) -> bool:
        """Forget a request of ours that was never sent. One that was sent for the same record stays open.

        Returns:
            Whether there was such a request.
        """
        item = self._by_msn.pop((Side.ASKING, msn), None)
        if item is None:
            return False
        item.msns.remove(msn)
        item.requests -= 1
        if not item.msns:
            self._forget(item)
        return True

    def find(self, side: Side, answer: HitAnswer) -> Confirmation | None:
        """Find the item an answer belongs to; it stays open until `close`.

        Args:
            side: Of the item: `ASKING` for an answer that came from a line, `ASKED` for one that a station of ours
                sent.

        Returns:
            None if there is none, or if the answer gives too little to tell which.
        """
        for asker in answer.askers:
            item = self._items.get((side, asker, answer.oca, answer.nic))
            if item is not None:
                return item
        found = {
            item
            for asker in answer.askers
            for kind, number in (("OCA", answer.oca), ("NIC", answer.nic))
            if number
            for item in self._by_number.get((side, asker, kind, number), ())
            if _agree(item.request.oca, answer.oca) and _agree(item.request.nic, answer.nic)
        }
        return found.pop() if len(found) == 1 else None

    def close(self, item: Confirmation) -> None:
        """Forget an item: it was answered."""
        if item in self:
            self._forget(item)

    def answer(self, side: Side, answer: HitAnswer) -> Confirmation | None:
        """Close the item an answer belongs to, and return it; None if there is none."""
        item = self.find(side, answer)
        if item is not None:
            self.close(item)
        return item

    def _forget(self, item: Confirmation) -> None:
        del self._items[item.key]
        item.turn += 1
        for msn in item.msns:
            del self._by_msn[item.side, msn]
        for key in self._number_keys(item):
            same = self._by_number[key]
            same.remove(item)
            if not same:
                del self._by_number[key]

    @staticmethod
    def _number_keys(item: Confirmation) -> Iterator[tuple[Side, str, str, str]]:
        for kind, number in (("OCA", item.request.oca), ("NIC", item.request.nic)):
            if number:
                yield item.side, item.request.asker, kind, number

    # --- the clock ------------------------------------------------------------------------------

    def _schedule(self, item: Confirmation) -> None:
        item.turn += 1
        at = {
            Stage.WAITING: item.due - self.terms.remind_before(item.urgent),
            Stage.REMINDED: item.due,
            Stage.OVERDUE: item.due + self.terms.kept_s,
        }[item.stage]
        self._pushed += 1
        heapq.heappush(self._deadlines, (at, self._pushed, item.turn, item))
        if len(self._deadlines) > 2 * self._items_max + 64:
            # What was answered or asked again left its old deadline behind.
            self._deadlines = [entry for entry in self._deadlines if entry[2] == entry[3].turn]
            heapq.heapify(self._deadlines)

    def deadline(self) -> float | None:
        """Return when `due` is to be asked again, at the earliest."""
        return self._deadlines[0][0] if self._deadlines else None

    def due(self, now: float) -> list[Action]:
        """Return what is to be done now, each thing once; what expires is forgotten.

        Where a reminder's time and the end both lie behind, there is the alarm alone.
        """
        actions = [Action(What.EXPIRE, item) for item in self._crowded_out]
        self._crowded_out.clear()
        while self._deadlines and self._deadlines[0][0] <= now:
            _, _, turn, item = heapq.heappop(self._deadlines)
            if turn != item.turn:
                continue
            if item.stage is Stage.OVERDUE:
                self._forget(item)
                actions.append(Action(What.EXPIRE, item))
                continue
            if item.due <= now:
                item.stage = Stage.OVERDUE
                actions += [Action(What.ALARM, item), Action(What.ESCALATE, item)]
            else:
                item.stage = Stage.REMINDED
                actions.append(Action(What.REMIND, item))
            self._schedule(item)
        return actions


def _agree(one: str, other: str) -> bool:
    return not one or not other or one == other


# --- what people are told -----------------------------------------------------------------------


def notice_text(what: What, item: Confirmation, now: float) -> str:
    """Write what a terminal is told of an item."""
    request = item.request
    when = f"DUE IN {_duration(item.due - now)}" if what is What.REMIND else "OVERDUE"
    to = ",".join(request.asked)
    if item.side is Side.ASKED:
        advice = "ANSWER WITH YR NOW"
    elif what is What.REMIND:
        advice = "NO YR HAS COME YET"
    elif item.number < REQUESTS:
        advice = f"NO YR HAS COME: SEND REQUEST {item.number + 1}, OR CALL THE AGENCY"
    else:
        advice = f"NO YR HAS COME TO {REQUESTS} REQUESTS: CALL THE AGENCY AND REPORT IT TO THE STATE"
    priority = "URGENT" if item.urgent else "ROUTINE"
    return (
        f"HIT CONFIRMATION {when}\nREQUEST {item.number} {priority} FROM {request.asker} TO {to}\n"
        f"OCA/{request.oca} NIC/{request.nic}\n{advice}"
    )


def _duration(seconds: float) -> str:
    whole = max(0, round(seconds))
    return f"{whole // 60} MIN" if whole >= 60 and whole % 60 == 0 else f"{whole // 60} MIN {whole % 60} S"
