"""The switch: check -> authorise -> journal -> acknowledge -> route -> send.

Nothing is acknowledged or forwarded before the commit that stores it has returned; that is why the step from
`_accept` to `_accepted` goes through the journal's writer. Every message ends: answered, delivered,
refused, given up, or in the operator's queue, and the journal says which for each destination.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial
from typing import Final, Protocol

from msc import clock
from msc.access.control_point import AccessControlPoint, OperatorSession
from msc.access.host import HostSessions
from msc.access.misuse import Asked
from msc.errors import InternalFault, JournalUnavailable, NoRoute, QueuedForLater, Refusal, ShuttingDown
from msc.limits import TEXT_CHARS_MAX, UNROUTED_OF_DEVICE_MAX
from msc.log import get_logger
from msc.metrics import Metrics
from msc.protocol.catalog import Function
from msc.protocol.envelope import ROUTINE
from msc.protocol.header import make_header
from msc.protocol.session import MessageOutOfPlace
from msc.switch.bulletin import BulletinBoard
from msc.switch.confirmations import NOTHING, Beside, Confirmations
from msc.switch.delivery import Deliveries
from msc.switch.destinations import NOWHERE
from msc.switch.intake import Incoming, Intake, holds, objection
from msc.switch.lifecycle import Lifecycle
from msc.switch.originator import not_sent
from msc.switch.port import StationPort
from msc.switch.traffic import LineTraffic
from msc.transit.event import INTERCEPT, OPERATOR_QUEUE, Event, Facts, Life
from msc.transit.message import Direction, MessageRecord
from msc.transit.transaction import Transaction

log = get_logger("switch")

CUT: Final = " [cut: {} characters]"
"""Marks the journaled text of a refused message that was too long to keep; it says how long it was."""


WAITS: Final = "held by the operator; it will be sent, or you will be told"


class Intercepts(Protocol):
    """What holds messages back for the operator."""

    def rule_for(self, incoming: Incoming) -> str | None:
        """Name the rule by which a message waits; None is not a rule."""


class Switch:
    """Takes what stations send, and brings it on its way.

    Args:
        watch: Is shown every message that was accepted. It has no say in it, takes no time, and must not raise.
    """

    def __init__(
        self,
        *,
        intake: Intake,
        point: AccessControlPoint,
        lifecycle: Lifecycle,
        traffic: LineTraffic,
        deliveries: Deliveries,
        metrics: Metrics,
        confirmations: Confirmations,
        board: BulletinBoard,
        intercepts: Intercepts,
        watch: Callable[[Asked], None] = lambda _asked: None,
    ) -> None:
        self.draining = False
        self._intake = intake
        self._point = point
        self.lifecycle = lifecycle
        self._transit = lifecycle.transit
        self._writer = lifecycle.writer
        self._traffic = traffic
        self._deliveries = deliveries
        self._metrics = metrics
        self._confirmations = confirmations
        self._board = board
        self._intercepts = intercepts
        self._watch = watch
        self._unrouted_of: dict[str, list[int]] = {}
        """What of each device waits for the operator because no route took it."""

    @property
    def busy(self) -> bool:
        """Whether something accepted is not answered yet, or not delivered to who is there."""
        return bool(self._transit.waiting or self._writer.busy or self._deliveries.in_flight)

    # --- from a station: check, authorise, journal ------------------------------------------------

    def take(
        self,
        station: StationPort,
        sequence: int,
        payload: bytes,
        operator: OperatorSession | None,
        users: HostSessions | None,
    ) -> None:
        """Take a station's message: it will be acknowledged or refused."""
        incoming = Incoming(clock.wall_us(), station.device, sequence)
        try:
            self._intake.examine(incoming, payload, operator, users)
            if self.draining:
                raise ShuttingDown
            self._transit.check_room()
            self._writer.check_room()
            if incoming.bulletin:
                self._board.check_room()
            self._accept(station, incoming)
        except Refusal as refusal:
            self._refuse(station, incoming, refusal)
        except Exception:
            # We are wrong. The peer is told so, and this connection ends; nothing was accepted.
            log.exception("switch.fault", device=station.device.device)
            station.session.refuse(sequence, InternalFault())
            station.close("internal fault")

    def take_out_of_place(
        self, station: StationPort, event: MessageOutOfPlace, operator: OperatorSession | None
    ) -> None:
        """Refuse a message that the station's state does not allow, and journal it."""
        incoming = Incoming(clock.wall_us(), station.device, event.sequence, operator=operator)
        with contextlib.suppress(Refusal):  # the state's code is the lower one
            self._intake.read(incoming, event.payload)
        self._refuse(station, incoming, event.refusal)

    def _accept(self, station: StationPort, incoming: Incoming) -> None:
        operator, key, route = incoming.operator, incoming.key, incoming.route
        assert operator is not None and key is not None and route is not None
        msn, at = self._writer.allot(), incoming.received_us
        rule = self._intercepts.rule_for(incoming)
        if rule is not None:
            events = [Event(msn, at, Life.ROUTED, INTERCEPT, {"rule": rule})]
        else:
            events = [Event(msn, at, Life.ROUTED, f"line:{name}", {"route": route.name}) for name in incoming.lines]
            if incoming.stations is not NOWHERE:
                events += incoming.stations.events(msn, at)
        header = make_header(operator.mnemonic, msn)
        transaction = Transaction(
            self._record(incoming, msn, key.function.value, header, tuple(events)),
            key=key, address=operator.address, station=station.identity, body=incoming.message,
        )  # fmt: skip
        if rule is not None:
            self.lifecycle.begin(transaction, partial(self._held, station, incoming, transaction))
            return
        beside = self.beside(incoming, transaction)
        if beside.events:
            message = transaction.message
            transaction.message = message._replace(events=(*message.events, *beside.own(msn)))
        then = partial(self._accepted, station, incoming, transaction, beside)
        self.lifecycle.begin(transaction, then, beside.others(msn))

    def beside(self, incoming: Incoming, transaction: Transaction) -> Beside:
        """Say what a message that is sent now means for the clocks of hit confirmations, and the bulletin board."""
        if incoming.bulletin:
            return self._board.accepted(transaction, incoming.stations.stations)
        key = incoming.key
        if key is None or key.function is not Function.HIT_CONFIRMATION:
            return NOTHING
        return self._confirmations.accepted(incoming, transaction.msn)

    def _record(
        self,
        incoming: Incoming,
        msn: int,
        kind: str,
        header: str | None,
        events: tuple[Event, ...],
        code: str | None = None,
    ) -> MessageRecord:
        operator, key, envelope, head = incoming.operator, incoming.key, incoming.envelope, incoming.head
        return MessageRecord(
            msn=msn,
            received=incoming.received_us,
            direction=Direction.LOCAL if _stays(incoming) else Direction.OUTBOUND,
            kind=kind,
            device=incoming.device.device,
            user=operator.user if operator else (head.oif if head else None),
            agency=operator.agency if operator else incoming.device.agency,
            ori=operator.ori if operator else None,
            mnemonic=operator.mnemonic if operator else (head.mnemonic if head else None),
            header=header,
            own_header=head.header if head else None,
            oif=operator.user if operator else (head.oif if head else None),
            taf=operator.taf if operator else (head.taf if head else None),
            key=key.key if key else None,
            system=key.system if key else None,
            database=key.database if key else None,
            text=incoming.text,
            transaction=msn,
            ref=envelope.ref,
            requester=envelope.requester,
            secondary=envelope.secondary,
            priority=envelope.priority or ROUTINE,
            reason=envelope.reason,
            code=code,
            sequence=incoming.sequence,
            session=operator.session if operator else None,
            events=events,
        )

    def _refuse(self, station: StationPort, incoming: Incoming, refusal: Refusal) -> None:
        """Journal a refused message, and then say so; where it cannot be journaled, say so at once."""
        kind = incoming.key.function.value if incoming.key else "unknown"
        self._metrics.messages[kind, refusal.code] += 1
        log.info("message.refused", device=incoming.device.device, kind=kind, code=refusal.code)
        if len(incoming.text) > TEXT_CHARS_MAX:
            # No message is longer, so nothing of one is lost; and what nobody may send must not fill the disk.
            incoming.text = incoming.text[:TEXT_CHARS_MAX] + CUT.format(len(incoming.text))
        at, facts = incoming.received_us, Facts(code=refusal.code, why=refusal.reason)
        try:
            self._writer.check_room()
            msn = self._writer.allot()
            refused = Event(msn, at, Life.REFUSED, None, facts)
            device, operator = incoming.device.device, incoming.operator
            if not isinstance(refusal, NoRoute) or operator is None or not self._has_room(device):
                then = partial(self._refused, station, incoming.sequence, refusal)
                self._writer.append(self._record(incoming, msn, kind, None, (refused,), refusal.code), then)
                return
            # In order but for the table: the operator may see to it, so it gets the header it would have had.
            told = NoRoute(f"{refusal.reason}; it is in the operator's queue")
            routed = Event(msn, at, Life.ROUTED, OPERATOR_QUEUE, {"why": told.reason})
            header = make_header(operator.mnemonic, msn)
            transaction = Transaction(
                self._record(incoming, msn, kind, header, (refused, routed), refusal.code),
                key=incoming.key, address=operator.address, station=station.identity, body=incoming.message,
            )  # fmt: skip
            self.lifecycle.begin(transaction, partial(self._unrouted, station, incoming.sequence, told, transaction))
        except Refusal as failure:
            self._say_refused(station, incoming.sequence, min(refusal, failure, key=lambda each: each.code))

    def _refused(
        self, station: StationPort, sequence: int, refusal: Refusal, failure: JournalUnavailable | None
    ) -> None:
        self._say_refused(station, sequence, failure or refusal)

    def _unrouted(
        self,
        station: StationPort,
        sequence: int,
        refusal: Refusal,
        transaction: Transaction,
        failure: JournalUnavailable | None,
    ) -> None:
        """Let the operator have a message that no route takes."""
        if failure is None:
            self._unrouted_of[transaction.message.device or ""].append(transaction.msn)
            self._deliveries.deliver(transaction.stays.values())
        self._say_refused(station, sequence, failure or refusal)

    def _has_room(self, device: str) -> bool:
        """Tell whether the operator may be given one more message of a device that no route takes."""
        queue = self._deliveries.operator_queue
        waiting = self._unrouted_of[device] = [
            msn for msn in self._unrouted_of.get(device, ()) if queue.find(msn) is not None
        ]
        return len(waiting) < UNROUTED_OF_DEVICE_MAX

    @staticmethod
    def _say_refused(station: StationPort, sequence: int, refusal: Refusal) -> None:
        station.session.refuse(sequence, refusal)
        station.flush()

    # --- journaled: acknowledge, route, send ------------------------------------------------------

    def _held(
        self, station: StationPort, incoming: Incoming, transaction: Transaction, failure: JournalUnavailable | None
    ) -> None:
        """Acknowledge a message that an operator wants to see before it goes anywhere."""
        if self._acknowledge(station, incoming, transaction, failure):
            self._deliveries.deliver(transaction.stays.values())
            self._traffic.originators.tell(transaction, None, QueuedForLater(WAITS))

    def _accepted(
        self,
        station: StationPort,
        incoming: Incoming,
        transaction: Transaction,
        beside: Beside,
        failure: JournalUnavailable | None,
    ) -> None:
        """Acknowledge a message that is in the journal, and send it where it goes."""
        if not self._acknowledge(station, incoming, transaction, failure):
            return
        if incoming.stations is not NOWHERE:
            self._deliveries.deliver(transaction.stays.values())
        beside.then()
        if not incoming.lines:
            return
        # The commit may have taken long on a slow disk, and a suspension holds from the moment it is taken up.
        # Mostly no row has changed meanwhile, which is quickly seen; only otherwise are the rules asked again.
        assert incoming.case is not None
        directory = self._point.directory
        against = None if holds(directory, incoming.case) else objection(self._point, transaction)
        if against is None:
            self._traffic.send(transaction.awaited)
            return
        for stay in transaction.awaited:
            self._traffic.originators.give_up(stay, not_sent(stay.name, against))

    def _acknowledge(
        self, station: StationPort, incoming: Incoming, transaction: Transaction, failure: JournalUnavailable | None
    ) -> bool:
        """Tell a station that its message was accepted, or not; tells which."""
        operator, key, kind = incoming.operator, incoming.key, transaction.message.kind
        assert operator is not None and key is not None
        if failure is not None:
            self._metrics.messages[kind, failure.code] += 1
            self._say_refused(station, incoming.sequence, failure)
            return False
        station.session.acknowledge(incoming.sequence, str(transaction.msn).encode())
        station.flush()
        self._metrics.messages[kind, "accepted"] += 1
        self._metrics.stages["journaled"].add((clock.wall_us() - incoming.received_us) / 1e6)
        self._watch(
            Asked(transaction.msn, incoming.received_us, operator, key, incoming.fields, incoming.envelope.reason)
        )
        return True


def _stays(incoming: Incoming) -> bool:
    """Tell whether a message goes to our own stations alone."""
    return bool(incoming.addressees or incoming.bulletin) and not incoming.lines
