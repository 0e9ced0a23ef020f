"""Hit confirmations under way: their clocks, kept over restarts, and what terminals are told of them.

`msc.transit.hit_confirmation` knows when something is due; here it is journaled and sent. A request is owed to
`hitconf:clock` from the commit that stores it until its answer is stored or it has expired, so a starting switch
finds it; what had been told of it is an event there as well, so nobody is reminded twice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

from msc import clock
from msc.access.control_point import AccessControlPoint
from msc.audit import AuditEvent
from msc.errors import JournalUnavailable
from msc.log import get_logger
from msc.metrics import Metrics
from msc.protocol.catalog import Catalog
from msc.protocol.envelope import ROUTINE, URGENT
from msc.settings import HitConfirmationSettings
from msc.switch.delivery import Deliveries
from msc.switch.intake import Incoming
from msc.switch.lifecycle import Lifecycle
from msc.transit.event import OPERATOR_QUEUE, Event, Facts, Life
from msc.transit.hit_confirmation import (
    ADDRESS,
    Confirmation,
    HitAnswer,
    HitConfirmations,
    HitRequest,
    Side,
    Stage,
    Terms,
    What,
    notice_text,
    parse_hit_confirmation,
)
from msc.transit.message import Direction, MessageRecord
from msc.transit.transaction import Stay, Transaction

log = get_logger("switch")

KIND: Final = "hit_confirmation"
_TOLD: Final = {What.REMIND: Life.REMINDED, What.ALARM: Life.OVERDUE}
"""What the journal says at the clock once it was told."""
_STAGES: Final[dict[str | None, Stage]] = {Life.REMINDED: Stage.REMINDED, Life.OVERDUE: Stage.OVERDUE}


class Beside(NamedTuple):
    """What a message means for a clock.

    Attributes:
        events: To be stored with it.
        then: To be called when it is durable.
        request: What it asks, if it is a request.
    """

    events: tuple[Event, ...] = ()
    then: Callable[[], object] = lambda: None
    request: HitRequest | None = None

    def own(self, msn: int) -> tuple[Event, ...]:
        """Return the events of the message itself."""
        return tuple(event for event in self.events if event.msn == msn) if self.events else ()

    def others(self, msn: int) -> tuple[Event, ...]:
        """Return the events of messages stored before."""
        return tuple(event for event in self.events if event.msn != msn) if self.events else ()


NOTHING: Final = Beside()
_TOO_MANY: Final[Facts] = {"why": "too many requests for one record"}


class Confirmations:
    """All hit confirmations that are open.

    Args:
        catalog: What requests and answers are read with.
    """

    def __init__(
        self,
        settings: HitConfirmationSettings,
        *,
        catalog: Catalog,
        point: AccessControlPoint,
        lifecycle: Lifecycle,
        deliveries: Deliveries,
        metrics: Metrics,
    ) -> None:
        self.clocks = HitConfirmations(
            Terms(remind_urgent_s=settings.remind_urgent_s, remind_routine_s=settings.remind_routine_s)
        )
        self._settings = settings
        self._catalog = catalog
        self._point = point
        self._lifecycle = lifecycle
        self._writer = lifecycle.writer
        self._deliveries = deliveries
        self._metrics = metrics
        self._untold: deque[tuple[What, Confirmation, str]] = deque()

    # --- messages -----------------------------------------------------------------------------------

    def accepted(self, incoming: Incoming, msn: int) -> Beside:
        """Look at a message of a station of ours that is about to be stored.

        The clock of a request begins with it. One that stays in the county is for an agency of ours, and so is its
        answer: both ends have a clock, and the answer stops both.
        """
        operator, at_us = incoming.operator, incoming.received_us
        said = parse_hit_confirmation(incoming.message, self._catalog)
        stays = not incoming.lines
        if said is None or operator is None:
            return NOTHING
        if isinstance(said, HitAnswer):
            return self._answered(tuple(Side), said, msn, at_us) if stays else NOTHING
        own_header = incoming.head.header if incoming.head is not None else None
        began = [self._asked(Side.ASKING, said, msn, operator.agency, operator.address, at_us, own_header)]
        if stays:
            stations = incoming.stations.stations
            terminal = next((address for address in stations if address != OPERATOR_QUEUE), "")
            began.append(self._asked(Side.ASKED, said, msn, self._who_is_asked(said), terminal, at_us, None))
        return Beside(began[-1].events, lambda: [begin.then() for begin in began], said)

    def acknowledged(self, stay: Stay) -> None:
        """A line has taken a message over: only now is a request answered that it answers. What never left the county
        would stop no clock that runs elsewhere.
        """
        said = parse_hit_confirmation(stay.transaction.body, self._catalog)
        item = self.clocks.find(Side.ASKED, said) if isinstance(said, HitAnswer) else None
        if item is not None:
            self._end(item.msns, Life.ANSWERED, {"answer": stay.msn})
            self._close(item, stay.msn)

    def received(self, rest: str, terminal: str | None, msn: int, received_us: int) -> Beside:
        """Look at a message from a line that is about to be stored.

        Args:
            rest: Its text after the header.
            terminal: The address it is delivered to, if any.
        """
        said = parse_hit_confirmation(rest, self._catalog)
        if said is None:
            return NOTHING
        if isinstance(said, HitAnswer):
            return self._answered((Side.ASKING,), said, msn, received_us)
        return self._asked(Side.ASKED, said, msn, self._who_is_asked(said), terminal or "", received_us, None)

    def _who_is_asked(self, request: HitRequest) -> str:
        """Return the agency of ours that a request is for; empty if its ORIs are none of ours."""
        oris = self._point.directory.oris
        return next((oris[ori].agency for ori in request.asked if ori in oris), "")

    def _asked(
        self,
        side: Side,
        request: HitRequest,
        msn: int,
        agency: str,
        terminal: str,
        at_us: int,
        own_header: str | None,
    ) -> Beside:
        def begin() -> None:
            item = self.clocks.ask(
                side, request, msn=msn, agency=agency, terminal=terminal, asked_us=at_us,
                now=clock.monotonic(), own_header=own_header,
            )  # fmt: skip
            if msn not in item.msns:
                self._end([msn], Life.EXPIRED, _TOO_MANY)
            log.info(
                "hit_confirmation.asked", msn=msn, side=side.value, agency=agency, urgent=request.urgent,
                requests=item.requests,
            )  # fmt: skip
            if item.beyond:
                self._audit("hit_confirmation.beyond", item, f"request {item.requests}; three are the rule")

        # It tells a starting switch which terminal to remind.
        facts: Facts = {"terminal": terminal} if terminal else {}
        return Beside((Event(msn, at_us, Life.ROUTED, ADDRESS, facts),), begin, request)

    def _answered(self, sides: tuple[Side, ...], answer: HitAnswer, msn: int, at_us: int) -> Beside:
        items = [item for side in sides if (item := self.clocks.find(side, answer)) is not None]
        msns = list(dict.fromkeys(each for item in items for each in item.msns))

        def close() -> None:
            for item in items:
                # A request may have come while the answer was being stored: it is answered by it, too.
                self._end([late for late in item.msns if late not in msns], Life.ANSWERED, {"answer": msn})
                self._close(item, msn)

        return Beside(tuple(Event(each, at_us, Life.ANSWERED, ADDRESS, {"answer": msn}) for each in msns), close)

    def _close(self, item: Confirmation, msn: int) -> None:
        self.clocks.close(item)
        log.info("hit_confirmation.answered", msn=msn, side=item.side.value, agency=item.agency)

    def not_sent(self, msn: int) -> None:
        """A request did not go out on any line: its originator has been told, and no clock runs for it."""
        if self.clocks.withdraw(msn):
            self._end([msn], Life.CANCELLED, {"why": "was not sent"})

    def _end(self, msns: Sequence[int], life: Life, facts: Facts) -> None:
        for msn in msns:
            self._lifecycle.note_at(msn, ADDRESS, life, facts)

    # --- the clock ----------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Tell terminals what is due. What the journal cannot take now is told when it can."""
        for what, item in self.clocks.due(now):
            if what is What.EXPIRE:
                self._end(item.msns, Life.EXPIRED, {"why": "nobody answered"})
                self._audit("hit_confirmation.expired", item, "nobody answered")
                continue
            if what is What.ALARM:
                self._audit("hit_confirmation.overdue", item, "the time is over")
            if what is not What.ESCALATE:
                self._lifecycle.note_at(item.msns[-1], ADDRESS, _TOLD[what])
                self._metrics.messages[KIND, _TOLD[what].value] += 1
            addresses = self._addresses(what, item)
            if not addresses and what is not What.ESCALATE:
                log.warning("hit_confirmation.nobody_told", msn=item.msns[-1], what=what.value, agency=item.agency)
            self._untold.extend((what, item, address) for address in addresses)
        while self._untold and self._writer.available:
            what, item, address = self._untold.popleft()
            # It may have been answered since; and who is told that it is overdue needs no reminder.
            if item in self.clocks and not (what is What.REMIND and item.stage is Stage.OVERDUE):
                self._tell(what, item, address, now)

    def _addresses(self, what: What, item: Confirmation) -> list[str]:
        """Say who is told: the terminal; the second one when the time is over, or if nobody is at the first."""
        name = self._settings.second_terminal(item.agency)
        second = [f"device:{name}"] if name is not None and f"device:{name}" != item.terminal else []
        if what is What.ESCALATE:
            return second
        first = [item.terminal] if item.terminal else []
        left_alone = what is What.REMIND and not self._deliveries.attended(item.terminal)
        return [*first, *second] if left_alone else first

    def _tell(self, what: What, item: Confirmation, address: str, now: float) -> None:
        text, at = notice_text(what, item, now), clock.wall_us()
        place, _, name = address.partition(":")
        own_header = item.own_header if address == item.terminal else None
        priority = URGENT if item.urgent else ROUTINE

        msn = self._writer.allot()
        notice = Transaction(
            MessageRecord(
                msn, at, Direction.LOCAL, KIND, device=name if place == "device" else None,
                user=name if place == "user" else None, agency=item.agency, own_header=own_header, text=text,
                transaction=item.msns[0], priority=priority, events=(Event(msn, at, Life.ROUTED, address),),
            )
        )  # fmt: skip
        told = partial(self._told, notice, (what, item, address))
        try:
            self._lifecycle.begin(notice, told)
        except JournalUnavailable as failure:
            told(failure)

    def _told(
        self, notice: Transaction, again: tuple[What, Confirmation, str], failure: JournalUnavailable | None
    ) -> None:
        if failure is not None:
            self._untold.append(again)
            return
        self._deliveries.deliver(notice.stays.values())

    def _audit(self, event: str, item: Confirmation, detail: str) -> None:
        place, _, name = item.terminal.partition(":")
        log.warning(event, msn=item.msns[0], side=item.side.value, agency=item.agency, urgent=item.urgent)
        self._point.audit(
            AuditEvent(
                clock.wall_us(), event, device=name if place == "device" else None,
                user=name if place == "user" else None, subject=f"message {item.msns[0]}",
                detail=f"{item.side.value}, {'urgent' if item.urgent else 'routine'}: {detail}",
            )
        )  # fmt: skip

    # --- after a restart ----------------------------------------------------------------------------

    def take_back(self, stay: Stay) -> None:
        """Let the clock of a request run on that a stop of the switch left open."""
        transaction = stay.transaction
        record = transaction.message
        said = parse_hit_confirmation(transaction.body, self._catalog)
        if not isinstance(said, HitRequest):
            self._end([record.msn], Life.EXPIRED, {"why": "the catalog no longer knows it as a request"})
            return
        if record.direction != Direction.INBOUND:
            self._take_back(stay, Side.ASKING, said, record.agency or "", transaction.address, record.own_header)
        if record.direction != Direction.OUTBOUND:
            terminal = stay.facts.get("terminal", "")
            self._take_back(stay, Side.ASKED, said, self._who_is_asked(said), terminal, None)

    def _take_back(
        self, stay: Stay, side: Side, said: HitRequest, agency: str, terminal: str, own_header: str | None
    ) -> None:
        age_s = (clock.wall_us() - stay.received_us) / 1e6
        item = self.clocks.ask(
            side, said, msn=stay.msn, agency=agency, terminal=terminal, asked_us=stay.received_us,
            now=clock.monotonic() - age_s, own_header=own_header, stage=_STAGES.get(stay.told, Stage.WAITING),
        )  # fmt: skip
        if stay.msn not in item.msns:
            self._end([stay.msn], Life.EXPIRED, _TOO_MANY)

    # --- for operators ------------------------------------------------------------------------------

    def rows(self, agency: str | None = None) -> list[dict[str, Any]]:
        """Return what is open, the soonest due first.

        Args:
            agency: Only this agency's.
        """
        now = clock.monotonic()
        items = [item for item in self.clocks.open() if agency in (None, item.agency)]
        return [
            {
                "side": item.side.value,
                "agency": item.agency,
                "from": item.request.asker,
                "to": ",".join(item.request.asked),
                "priority": "urgent" if item.urgent else "routine",
                "request": item.number,
                "requests": item.requests,
                "due_s": round(item.due - now),
                "state": "overdue" if item.due <= now else "reminded" if item.stage is Stage.REMINDED else "open",
                "terminal": item.terminal.partition(":")[2],
                "asked": clock.rfc3339(item.asked_us),
                "msn": item.msns[-1],
                "oca": item.request.oca,
                "nic": item.request.nic,
            }
            for item in sorted(items, key=lambda item: item.due)
        ]

    def open_by_state(self) -> dict[str, float]:
        """Count what is open, for the monitor."""
        now, counts = clock.monotonic(), {"in_time": 0.0, "overdue": 0.0}
        for item in self.clocks.open():
            counts["overdue" if item.due <= now else "in_time"] += 1
        return counts
