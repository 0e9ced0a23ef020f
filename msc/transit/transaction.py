"""A message on its way: the message, and one stay for each of its destinations.

`Transaction.apply` is the only way anything of it changes: in the running switch, in one that starts and replays the
journal, and on whatever follows the journal. So what is done live and what is told later cannot differ. Besides what
events say, a stay holds a few things of the moment (from `doubtful` on) that end with the process and are worked out
anew by the next one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from msc.errors import Refusal
from msc.limits import ANSWER_TIMEOUT_S
from msc.protocol.catalog import Function, MessageKey
from msc.protocol.envelope import ROUTINE
from msc.protocol.header import MessageHead, parse_head, parse_header, write_head
from msc.transit.event import INTERCEPT, NO_FACTS, Event, Facts, Life
from msc.transit.message import Direction, MessageRecord
from msc.transit.precedence import Precedence, precedence_of
from msc.transit.state import Place, State, place_of, state_at

GAVE_UP: Final = frozenset({Life.NOT_SENT, Life.EXPIRED, Life.OUTCOME_UNKNOWN, Life.REFUSED_BY_PEER})
"""Ends on a line of which the originator was told that no answer will come; if one does, it is late."""

_MAY_HAVE_IT: Final = GAVE_UP - {Life.NOT_SENT} | {Life.ANSWERED}
"""Ends on a line that say, whatever else the journal does or does not say, that the state may have had it."""
_NO_TIMES: Final[Mapping[str, float]] = {}


class Stay:
    """A message at one destination.

    Attributes:
        transaction: Whose.
        destination: An address: `line:NAME`, `device:NAME`, `user:ID` (a pooled mnemonic changes hands, the person
            who asked does not), `operator:queue` …
        place: What kind of destination that is.
        state: Where it stands.
        facts: Of its last `routed`.
        since_us: Wall time of that, or of its last `queued`.
        ended: The event that ended it.
        was_sent: Whether the destination may ever have had it.
        attempts: How often the destination has refused it.
        returns: How often it was on its way when its line was lost, and was the one that was waited for.
        unanswered: How often a station left it without an acknowledgement.
        hops: How often it was sent elsewhere; bounded, so that nothing goes round in circles.
        precedence: Its class among what waits.
        told: What was said last of a hit confirmation that nobody answered.
        doubtful: The switch before this one may have sent it, and the journal does not say so.
        ending: The end that is on its way into the journal.
        awaiting: Of an answer: how many destinations of its inquiry have not answered.
        expires_us: Wall time from which on it is of no use any more; None is never.
        due: When a line's answer is looked for, monotonic.
        sent_at: Monotonic time of the last sending.
    """

    __slots__ = (
        "attempts", "awaiting", "destination", "doubtful", "due", "ended", "ending", "expires_us", "facts", "hops",
        "place", "precedence", "returns", "sent_at", "since_us", "state", "told", "transaction", "unanswered",
        "was_sent",
    )  # fmt: skip

    def __init__(self, transaction: Transaction, destination: str) -> None:
        self.transaction = transaction
        self.destination = destination
        self.place = place_of(destination)
        self.state = State.ENDED
        self.facts: Facts = NO_FACTS
        self.since_us = 0
        self.ended: str | None = None
        self.was_sent = False
        self.attempts = self.returns = self.unanswered = self.hops = 0
        self.precedence = Precedence.RESPONSE
        self.told: str | None = None
        self.doubtful = False
        self.ending: Life | None = None
        self.awaiting: int | None = None
        self.expires_us: int | None = None
        self.due = self.sent_at = 0.0

    def __repr__(self) -> str:
        return f"Stay({self.msn} at {self.destination}, {self.state.name})"

    # --- the message, as this destination sees it ---------------------------------------------------

    @property
    def msn(self) -> int:
        """The message's number."""
        return self.transaction.message.msn

    @property
    def name(self) -> str:
        """The destination's name, without what it is."""
        return self.destination.partition(":")[2]

    @property
    def open(self) -> bool:
        """Whether it is not over here."""
        return self.state is not State.ENDED

    @property
    def kind(self) -> str:
        """The catalog's function on a line, the envelope's `kind` at a station."""
        message = self.transaction.message
        if self.place is Place.LINE or message.kind in _AS_IT_IS or message.direction == Direction.INBOUND:
            return message.kind
        return "broadcast" if self.broadcast else "unsolicited"

    @property
    def broadcast(self) -> bool:
        """Whether it came by a group, or from the bulletin board."""
        return self.facts.get("group", False) or self.bulletin

    @property
    def bulletin(self) -> bool:
        """Whether it is from the bulletin board: every station gets its own, and it ends with its time."""
        return "until" in self.facts and self.place is Place.STATION

    @property
    def text(self) -> str:
        """The text as the destination gets it."""
        return self.transaction.line_text() if self.place is Place.LINE else self.transaction.station_text()

    @property
    def received_us(self) -> int:
        """When the message came."""
        return self.transaction.message.received

    @property
    def source(self) -> str:
        """The line or device it came from."""
        return self.transaction.source

    @property
    def database(self) -> str | None:
        """What it asks, on a line."""
        key = self.transaction.key
        return key.database if key is not None else None

    @property
    def update(self) -> bool:
        """Whether it changes a record: never sent twice unasked."""
        return self.place is Place.LINE and self.transaction.update

    @property
    def asked_on(self) -> int:
        """Identity of the connection on which it was asked for, which gets it if it can; 0 is none in particular."""
        transaction = self.transaction
        return transaction.inquiry.station if transaction.inquiry is not None else transaction.station

    @property
    def late(self) -> bool:
        """Whether it answers what its originator had been told was given up."""
        return self.facts.get("late", False)

    @property
    def original_mnemonic(self) -> str | None:
        """Whose it was, where it came in another's place; None also if that was a station without one."""
        whose = self.facts.get("whose")
        return whose if whose is not None and ":" not in whose else None

    @property
    def possible_duplicate(self) -> bool:
        """Whether the destination may have had it before."""
        return self.was_sent or self.doubtful or self.facts.get("repeated", False)

    @property
    def gave_up(self) -> bool:
        """Whether its originator was told, or is being told, that no answer will come."""
        return self.ending in GAVE_UP or (not self.open and self.ended in GAVE_UP)

    # --- what happens to it -------------------------------------------------------------------------

    def apply(self, event: Event) -> None:
        """Change as an event says. One that does not fit changes nothing."""
        life, before = event.event, self.state
        state = self.state = state_at(self.place, life, before)
        if (before is State.ENDED) is not (state is State.ENDED):
            self._opened_or_ended(1 if before is State.ENDED else -1)
        if life == Life.ROUTED:
            self._routed(event)
        elif state is State.ENDED:
            if before is not State.ENDED:
                self.ended = life
        elif life == Life.QUEUED:
            self.since_us = event.at
        elif life == Life.REFUSED_BY_PEER:
            self.attempts += 1
        elif life == Life.RETURNED:
            self.unanswered += self.place is Place.STATION and event.facts.get("unanswered", False)
            self.returns += self.place is Place.LINE and event.facts.get("unanswered", False)
            self.attempts += "code" in event.facts
        elif life == Life.REPRIORITISED:
            name = event.facts.get("precedence", "")
            if name in Precedence.__members__:
                self.precedence = Precedence[name]
        elif life in (Life.REMINDED, Life.OVERDUE):
            self.told = life
        if state >= State.SENT or (self.place is Place.LINE and life in _MAY_HAVE_IT):
            self.was_sent = True

    def _opened_or_ended(self, one: int) -> None:
        transaction = self.transaction
        transaction.open += one
        if self.place is Place.LINE:
            transaction.lines_open += one

    def _routed(self, event: Event) -> None:
        """It is meant for here; what had been before is another story, which has ended, but for what it was sent."""
        facts = self.facts = event.facts
        self.since_us, self.ended = event.at, None
        self.attempts = self.returns = self.unanswered = 0
        self.hops = facts.get("hops", 0)
        self.told = None
        if "until" in facts and self.place is Place.STATION:
            self.expires_us = facts["until"]
        self.precedence = precedence_of(self.kind, self.transaction.message.priority)


_AS_IT_IS: Final = frozenset({"response", "status", Function.HIT_CONFIRMATION.value})


class Transaction:
    """A message with all of its stays.

    Attributes:
        message: As the journal has it.
        key: Its catalog entry; None of what has none, or if the catalog has lost it since.
        address: Where answers to it are delivered.
        station: Identity of the connection it came on, so that `reply_to` is only given there.
        inquiry: Of an answer, or of what an originator is told: what it answers, if that is remembered.
        stays: By destination.
        open: At how many destinations it has not ended.
        lines_open: And on how many lines.
        timeouts: Seconds of those destinations that have a time of their own.
        closes_at: When answers are accepted no more, monotonic.
    """

    __slots__ = (
        "_body",
        "address",
        "closes_at",
        "inquiry",
        "key",
        "lines_open",
        "message",
        "open",
        "station",
        "stays",
        "timeouts",
    )

    def __init__(
        self,
        message: MessageRecord,
        *,
        key: MessageKey | None = None,
        address: str = "",
        station: int = 0,
        inquiry: Transaction | None = None,
        body: str | None = None,
    ) -> None:
        self.message = message
        self.key = key
        self.address = address
        self.station = station
        self.inquiry = inquiry
        self.stays: dict[str, Stay] = {}
        self.timeouts: Mapping[str, float] = _NO_TIMES
        self.closes_at = 0.0
        self.open = self.lines_open = 0
        self._body = body

    def __repr__(self) -> str:
        return f"Transaction({self.message.msn}, {list(self.stays.values())})"

    @classmethod
    def replay(
        cls, message: MessageRecord, events: Iterable[Event] = (), *, key: MessageKey | None = None, address: str = ""
    ) -> Transaction:
        """Make it of a message of the journal and what happened to it, in order."""
        transaction = cls(message, key=key, address=address)
        for event in (*message.events, *events):
            transaction.apply(event)
        return transaction

    def apply(self, event: Event) -> Stay | None:
        """Change as an event of this message says; returns the stay it is about, if it is about one.

        An event without a destination that says `refused` ends them all: the journal failed, and its sender was told.
        """
        destination = event.destination
        if destination is None:
            if event.event == Life.REFUSED:
                for each in self.stays.values():
                    each.apply(event)
            return None
        stay = self.stays.get(destination)
        if stay is None:
            stay = self.stays[destination] = Stay(self, destination)
        stay.apply(event)
        return stay

    # --- the message --------------------------------------------------------------------------------

    @property
    def msn(self) -> int:
        """Its number."""
        return self.message.msn

    @property
    def number(self) -> int:
        """The transaction's number as its originator knows it: that of its first message, if it was edited since."""
        return self.message.transaction or self.message.msn

    @property
    def header(self) -> str:
        """The supplemental header on the line, by which answers find it."""
        return self.message.header or ""

    @property
    def own_header(self) -> str:
        """The header its originator knows: a host's own, or the one on the line."""
        return self.message.own_header or self.header

    @property
    def mnemonic(self) -> str:
        """Under which it was sent."""
        return self.message.mnemonic or ""

    @property
    def priority(self) -> str:
        """`urgent` or `routine`."""
        return self.message.priority or ROUTINE

    @property
    def update(self) -> bool:
        """Whether it changes a record: a time-out means E404, not E403. What is not known counts as one."""
        return self.key is None or self.key.is_update

    @property
    def own(self) -> bool:
        """Whether the switch itself says it: of a message, or of a hit confirmation."""
        message = self.message
        return message.kind == "status" or (message.kind == Function.HIT_CONFIRMATION and message.sequence is None)

    @property
    def source(self) -> str:
        """The line or device it came from; what the switch itself says comes from the line it speaks of."""
        return self.message.line or (None if self.own else self.message.device) or "switch"

    @property
    def body(self) -> str:
        """The text without headers, OIF and TAF."""
        if self._body is None:
            self._body = body_of(self.message)
        return self._body

    def line_text(self) -> str:
        """Write it as it goes on a line."""
        message = self.message
        return write_head(MessageHead(message.header or "", message.oif, message.taf)) + self.body

    def station_text(self) -> str:
        """Write it as a station gets it. C-HDR: a host gets its own header back, on whatever answers it."""
        message = self.message
        if message.own_header is None or _from_station(message):
            return self.body
        return f"{message.own_header}.{self.body}"

    # --- its stays ----------------------------------------------------------------------------------

    def lines(self) -> Iterator[Stay]:
        """Yield its stays on lines."""
        return (stay for stay in self.stays.values() if stay.place is Place.LINE)

    @property
    def awaited(self) -> list[Stay]:
        """The lines that have neither answered nor been given up."""
        return [stay for stay in self.lines() if stay.state is not State.ENDED]

    @property
    def awaiting(self) -> int:
        """How many destinations have not spoken, as its originator counts them: the operator counts as one."""
        return self.lines_open + self.is_open_at(INTERCEPT)

    def open_stays(self) -> list[Stay]:
        """Return where it has not ended."""
        return [stay for stay in self.stays.values() if stay.state is not State.ENDED]

    def is_open_at(self, destination: str) -> bool:
        """Tell whether it has not ended at a destination."""
        found = self.stays.get(destination)
        return found is not None and found.state is not State.ENDED

    def timeout_of(self, stay: Stay) -> float:
        """Return how many seconds a line has."""
        usual = self.key.timeout_s if self.key is not None else ANSWER_TIMEOUT_S
        return self.timeouts.get(stay.name, usual) if self.timeouts else usual


def body_of(message: MessageRecord) -> str:
    """Return a message's text without headers, OIF and TAF; where there should be one and is not, all of it."""
    try:
        if message.direction == Direction.INBOUND:
            return parse_header(message.text)[1]
        if message.own_header is not None and _from_station(message):
            return parse_head(message.text)[1]
    except Refusal:
        pass
    return message.text


def _from_station(message: MessageRecord) -> bool:
    """Tell whether a message is one of a station's own; what answers one, or tells of one, is not."""
    return message.direction != Direction.INBOUND and message.kind != "status" and message.sequence is not None
