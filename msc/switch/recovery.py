"""What a starting switch does with what had not ended when it stopped: replayed from the journal, decided by `TABLE`.

Answers that come after the restart find their inquiries, because those of the last hour are remembered. Nothing that
stands in the journal keeps the switch from starting: what cannot be taken up is the operator's, with an alarm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from msc import clock
from msc.access.control_point import AccessControlPoint
from msc.audit import AuditEvent
from msc.directory.rows import Directory
from msc.errors import NoAnswerInTime, OutcomeUnknown, Refusal
from msc.journal.recall import Recalled
from msc.journal.record import Unreadable
from msc.log import get_logger
from msc.protocol.catalog import Catalog, MessageKey
from msc.protocol.station import StationKind
from msc.switch.delivery import Deliveries
from msc.switch.lifecycle import Lifecycle
from msc.switch.traffic import LineTraffic
from msc.transit.event import OPERATOR_QUEUE, Facts
from msc.transit.message import Direction, MessageRecord
from msc.transit.state import State
from msc.transit.transaction import Stay, Transaction

log = get_logger("switch")

RESEND_S: Final = 60.0
"""An inquiry older than this is not sent again: whoever asked has long asked again."""
_NOT_UNDERSTOOD: Final = "the journal's record of it could not be understood"


class Action(Enum):
    """What to do with a message that had not ended somewhere."""

    LIST = "list"
    """It waits for the operator again."""
    HAND_BACK = "hand_back"
    """A clock runs on, a bulletin is posted again: whoever keeps these takes it back."""
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


def replayed(recalled: Recalled, catalog: Catalog, directory: Directory) -> Transaction:
    """Make a message of the journal as the switch before this one left it."""
    record = recalled.message
    return Transaction.replay(
        record, recalled.events, key=key_of(record, catalog), address=address_of(record, directory)
    )


class Recovery:
    """Takes up what had not ended, once, when the journal is open and before anybody can connect.

    Args:
        keepers: Who takes back what waited for a clock or on a board, by the place it waited in.
    """

    def __init__(
        self,
        *,
        catalog: Catalog,
        point: AccessControlPoint,
        lifecycle: Lifecycle,
        traffic: LineTraffic,
        deliveries: Deliveries,
        keepers: dict[str, Callable[[Stay], None]],
    ) -> None:
        self._catalog = catalog
        self._directory = point.directory
        self._audit = point.audit
        self._lifecycle = lifecycle
        self._traffic = traffic
        self._deliveries = deliveries
        self._keepers = keepers
        self._sent_again = 0

    def take_up(
        self, recent: Iterable[Recalled], unfinished: Sequence[Recalled], unreadable: Iterable[Unreadable] = ()
    ) -> None:
        """Take it all up.

        Args:
            recent: What answers may still come for.
            unfinished: What had not ended somewhere.
            unreadable: What of the journal could not be understood: a person has to look at it.
        """
        now = clock.monotonic()
        transactions: list[Transaction] = []
        for recalled in {each.message.msn: each for each in (*recent, *unfinished)}.values():
            try:
                transactions.append(replayed(recalled, self._catalog, self._directory))
            except Exception:
                log.exception("switch.not_replayed", transaction=recalled.message.msn)
                self._hand_over(recalled.message)
        # All of them first: what is said of one may look at another.
        for transaction in transactions:
            self._lifecycle.transit.remember(transaction, now)
        for transaction in transactions:
            for stay in transaction.open_stays():
                try:
                    self._take_up(stay)
                except Exception:
                    log.exception("switch.not_taken_up", transaction=transaction.msn)
                    self._hand_over(transaction.message)
        for record in unreadable:
            self._not_understood(record)
        if unfinished:
            log.info("switch.recovered", unfinished=len(unfinished), sent_again=self._sent_again)

    def _take_up(self, stay: Stay) -> None:
        record, (place, _, name) = stay.transaction.message, stay.destination.partition(":")
        action = decide(
            Case(
                place,
                known=self._knows(place, name),
                update=stay.update,
                waited=stay.state is State.QUEUED,
                age_s=(clock.wall_us() - record.received) / 1e6,
            )
        )
        if action is Action.LIST:
            self._deliveries.operator_queue.keep(stay)
        elif action is Action.HAND_BACK:
            keeper = self._keepers.get(place)
            if keeper is None:
                # Of a later release, whose work nobody here knows.
                log.error("switch.not_taken_back", transaction=record.msn, place=place)
            else:
                keeper(stay)
        elif action is Action.TO_OPERATOR:
            self._deliveries.to_operator(stay, f"{stay.destination} is gone from the directory")
        elif action is Action.QUEUE:
            # If the switch had not stopped in good order, it may have sent what the journal does not say.
            stay.doubtful = not self._lifecycle.writer.ended_before
            self._deliveries.push(stay)
        elif action is Action.SEND_AGAIN:
            self._sent_again += 1
            self._traffic.send_again(stay)
        elif action is Action.WAIT_AGAIN:
            self._sent_again += 1
            self._traffic.wait_again(stay)
        else:
            self._traffic.originators.give_up(stay, refusal_for(action, name))

    def _not_understood(self, unreadable: Unreadable) -> None:
        """Tell of a record that could not be understood, and list the message that it is about."""
        detail = f"{unreadable.why}; `msc journal verify` says whether it was changed"
        subject = f"record {unreadable.seq}"
        self._audit(AuditEvent(clock.wall_us(), "journal.record_unreadable", subject=subject, detail=detail))
        msn = unreadable.msn
        if msn is None:
            return
        known = self._lifecycle.transit.get(msn)
        if known is None:
            self._hand_over(MessageRecord(msn, unreadable.at or 0, Direction.LOCAL, "unknown", transaction=msn))
        elif not known.is_open_at(OPERATOR_QUEUE):
            facts: Facts = {"why": _NOT_UNDERSTOOD}
            self._deliveries.operator_queue.add(self._lifecycle.route(known, OPERATOR_QUEUE, facts))

    def _hand_over(self, record: MessageRecord) -> None:
        """Give a message that cannot be taken up to the operator. The journal's word alone must stop no start."""
        log.error("switch.not_understood", transaction=record.msn)
        facts: Facts = {"why": _NOT_UNDERSTOOD}
        transaction = Transaction(record)
        self._deliveries.operator_queue.add(self._lifecycle.route(transaction, OPERATOR_QUEUE, facts))

    def _knows(self, place: str, name: str) -> bool:
        """Tell whether there is a line, device or user of a name."""
        if place == "line":
            return self._traffic.has_line(name)
        return self._directory.has_station(f"{place}:{name}")
