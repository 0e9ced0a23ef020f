"""The switch: check -> authorise -> journal -> acknowledge -> route -> send.

Nothing is acknowledged or forwarded before the commit that stores it has returned; that is why the step from
`_accept` to `_accepted` is a callback of the journal's writer. Every message ends: answered, delivered,
refused, given up, or in the operator's queue, and the journal says which for each destination.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, Protocol

from msc import clock
from msc.access.control_point import AccessControlPoint, OperatorSession
from msc.access.host import HostSessions
from msc.access.misuse import Asked
from msc.errors import InternalFault, JournalUnavailable, NoRoute, Refusal, ShuttingDown
from msc.journal.recall import Recent, Unfinished
from msc.journal.writer import JournalWriter
from msc.limits import TEXT_CHARS_MAX, UNROUTED_OF_DEVICE_MAX
from msc.log import get_logger
from msc.metrics import Metrics
from msc.protocol.catalog import Catalog, Function
from msc.protocol.envelope import ROUTINE
from msc.protocol.header import MessageHead, make_header, write_head
from msc.protocol.session import MessageOutOfPlace
from msc.switch import recovery
from msc.switch.bulletin import BulletinBoard
from msc.switch.confirmations import NOTHING, Beside, Confirmations
from msc.switch.delivery import Deliveries
from msc.switch.intake import Incoming, Intake, holds, objection
from msc.switch.originator import not_sent
from msc.switch.port import StationPort
from msc.switch.traffic import LineTraffic
from msc.transit.event import INTERCEPT, OPERATOR_QUEUE, Event, Life
from msc.transit.message import Direction, MessageRecord
from msc.transit.outbox import Outgoing
from msc.transit.pending import Pending

log = get_logger("switch")

CUT: Final = " [cut: {} characters]"
"""Marks the journaled text of a refused message that was too long to keep; it says how long it was."""


class Intercepts(Protocol):
    """What holds messages back for the operator."""

    def rule_for(self, incoming: Incoming) -> str | None:
        """Name the rule by which a message waits; None is no rule."""

    def hold(self, record: MessageRecord, rule: str) -> None:
        """Keep a message that is journaled and acknowledged, and tell its originator."""


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
        writer: JournalWriter,
        traffic: LineTraffic,
        deliveries: Deliveries,
        metrics: Metrics,
        watch: Callable[[Asked], None] = lambda _asked: None,
        confirmations: Confirmations | None = None,
        board: BulletinBoard | None = None,
    ) -> None:
        self._confirmations = confirmations
        self._board = board
        self.draining = False
        self.intercepts: Intercepts | None = None
        """Holds messages for the operator; None holds none."""
        self.keepers: dict[str, Callable[[Unfinished], None]] = {}
        """Who takes back what had not ended when the switch stopped, by the place it waited in."""
        if board is not None:
            self.keepers["board"] = board.restore
        self._intake = intake
        self._point = point
        self._writer = writer
        self._traffic = traffic
        self._pending = traffic.pending
        self._deliveries = deliveries
        self._metrics = metrics
        self._watch = watch
        self._unrouted: dict[str, list[int]] = {}
        """What of each device waits for the operator because no route took it."""
        # Bound once: it is asked for every message, and mostly says nothing.
        self._log = log.bind()

    @property
    def busy(self) -> bool:
        """Whether something accepted is not answered yet, or not delivered to who is there."""
        return bool(self._pending.waiting or self._writer.busy or self._deliveries.in_flight)

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
            self._pending.check_room()
            self._writer.check_room()
            if incoming.bulletin and self._board is not None:
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
        msn = self._writer.allot()
        header = make_header(operator.mnemonic, msn)
        at, record = incoming.received_us, self._record(incoming, msn, key.function.value, header)
        rule = self.intercepts.rule_for(incoming) if self.intercepts is not None else None
        if rule is not None:
            held = [Event(msn, at, Life.ROUTED, INTERCEPT, f"rule {rule}")]
            self._writer.append(record, held, partial(self._held, station, incoming, record, rule))
            return
        beside = self.beside(incoming, record)
        self._writer.append(
            record,
            [
                *(Event(msn, at, Life.ROUTED, f"line:{name}", route.name) for name in incoming.lines),
                *incoming.legs.events(msn, at),
                *beside.events,
            ],
            partial(self._accepted, station, incoming, msn, header, beside),
        )

    def beside(self, incoming: Incoming, record: MessageRecord) -> Beside:
        """Say what a message that is sent now means for the clocks of hit confirmations, and the bulletin board."""
        if incoming.bulletin and self._board is not None:
            return self._board.accepted(record, [leg.address for leg in incoming.legs.legs if leg.address])
        key = incoming.key
        if key is None or key.function is not Function.HIT_CONFIRMATION or self._confirmations is None:
            return NOTHING
        return self._confirmations.accepted(incoming, record.msn)

    def _record(
        self, incoming: Incoming, msn: int, kind: str, header: str | None, code: str | None = None
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
        )

    def _refuse(self, station: StationPort, incoming: Incoming, refusal: Refusal) -> None:
        """Journal a refused message, and then say so; where it cannot be journaled, say so at once."""
        kind = incoming.key.function.value if incoming.key else "unknown"
        self._metrics.messages[kind, refusal.code] += 1
        log.info("message.refused", device=incoming.device.device, kind=kind, code=refusal.code)
        if len(incoming.text) > TEXT_CHARS_MAX:
            # No message is longer, so nothing of one is lost; and what nobody may send must not fill the disk.
            incoming.text = incoming.text[:TEXT_CHARS_MAX] + CUT.format(len(incoming.text))
        at, header = incoming.received_us, None
        try:
            self._writer.check_room()
            msn = self._writer.allot()
            events = [Event(msn, at, Life.REFUSED, None, str(refusal))]
            device = incoming.device.device
            unrouted = isinstance(refusal, NoRoute) and incoming.operator is not None and self._has_room(device)
            if unrouted and incoming.operator is not None:
                # In order but for the table: the operator may see to it, so it gets the header it would have had.
                header = make_header(incoming.operator.mnemonic, msn)
                refusal = NoRoute(f"{refusal.reason}; it is in the operator's queue")
                events.append(Event(msn, at, Life.ROUTED, OPERATOR_QUEUE, refusal.reason))

            def durable(failure: JournalUnavailable | None) -> None:
                if failure is None and unrouted:
                    self._unrouted[device].append(msn)
                    self._deliveries.operator_queue.add(msn, None, refusal.reason, at)
                self._say_refused(station, incoming.sequence, failure or refusal)

            self._writer.append(self._record(incoming, msn, kind, header, refusal.code), events, durable)
        except Refusal as failure:
            lower = min(refusal, failure, key=lambda r: r.code)
            self._say_refused(station, incoming.sequence, lower)

    def _has_room(self, device: str) -> bool:
        """Tell whether the operator may be given one more message of a device that no route takes."""
        queue = self._deliveries.operator_queue
        waiting = self._unrouted[device] = [
            msn for msn in self._unrouted.get(device, ()) if queue.find(msn) is not None
        ]
        return len(waiting) < UNROUTED_OF_DEVICE_MAX

    @staticmethod
    def _say_refused(station: StationPort, sequence: int, refusal: Refusal) -> None:
        station.session.refuse(sequence, refusal)
        station.flush()

    # --- journaled: acknowledge, route, send ------------------------------------------------------

    def _held(
        self,
        station: StationPort,
        incoming: Incoming,
        record: MessageRecord,
        rule: str,
        failure: JournalUnavailable | None,
    ) -> None:
        """Acknowledge a message that an operator wants to see before it goes anywhere."""
        operator, key = incoming.operator, incoming.key
        assert operator is not None and key is not None and self.intercepts is not None
        self._metrics.messages[record.kind, failure.code if failure is not None else "accepted"] += 1
        if failure is not None:
            self._say_refused(station, incoming.sequence, failure)
            return
        station.session.acknowledge(incoming.sequence, str(record.msn).encode())
        station.flush()
        self._watch(Asked(record.msn, record.received, operator, key, incoming.fields, incoming.envelope.reason))
        self.intercepts.hold(record, rule)

    def _accepted(
        self,
        station: StationPort,
        incoming: Incoming,
        msn: int,
        header: str,
        beside: Beside,
        failure: JournalUnavailable | None,
    ) -> None:
        operator, key = incoming.operator, incoming.key
        assert operator is not None and key is not None
        kind = key.function.value
        if failure is not None:
            self._metrics.messages[kind, failure.code] += 1
            self._say_refused(station, incoming.sequence, failure)
            return
        station.session.acknowledge(incoming.sequence, str(msn).encode())
        station.flush()
        self._metrics.messages[kind, "accepted"] += 1
        self._metrics.stages["journaled"].add((clock.wall_us() - incoming.received_us) / 1e6)
        self._log.debug("message.accepted", transaction=msn, kind=kind, key=key.code)
        beside.then()
        self._watch(Asked(msn, incoming.received_us, operator, key, incoming.fields, incoming.envelope.reason))
        envelope = incoming.envelope
        priority = envelope.priority or ROUTINE
        for leg in incoming.legs.legs:
            self._deliveries.deliver(
                leg,
                Outgoing(
                    msn, leg.kind, incoming.message, incoming.device.device, incoming.received_us, header=header,
                    priority=priority, original_mnemonic=leg.original_mnemonic,
                ),
            )  # fmt: skip
        if not incoming.lines:
            return
        entry = Pending(
            msn=msn,
            header=header,
            own_header=incoming.head.header if incoming.head else header,
            host=incoming.head is not None,
            address=operator.address,
            station=station.identity,
            sequence=incoming.sequence,
            ref=envelope.ref,
            device=incoming.device.device,
            user=operator.user,
            agency=operator.agency,
            ori=operator.ori,
            mnemonic=operator.mnemonic,
            priority=priority,
            key=key,
            timeout_s=key.timeout_s,
            received_us=incoming.received_us,
            lines=incoming.lines,
            awaited=set(incoming.lines),
        )
        self._pending.add(entry, clock.monotonic())
        text = write_head(MessageHead(header, operator.user, operator.taf)) + incoming.message
        # The commit may have taken long on a slow disk, and a suspension holds from the moment it is taken up.
        # Mostly no row has changed meanwhile, which is quickly seen; only otherwise are the rules asked again.
        assert incoming.case is not None
        against = None if holds(self._point.directory, incoming.case) else objection(self._point, entry)
        if against is None:
            self._traffic.send_all(entry, text)
            return
        for name in entry.lines:
            self._traffic.originators.give_up(entry, name, not_sent(name, against))

    # --- after a restart ----------------------------------------------------------------------------

    def recover(
        self,
        recent: Sequence[Recent],
        unfinished: Sequence[Unfinished],
        catalog: Catalog,
    ) -> None:
        """Take up what had not ended when the switch stopped; see `msc.switch.recovery`.

        Called once, when the journal is open and before anybody can connect.
        """
        ended = self._writer.ended_before
        now, now_us = clock.monotonic(), clock.wall_us()
        entries: dict[int, Pending] = {}
        for known in recent:
            msn = known.message.msn
            entries[msn] = recovery.pending_of(known.message, catalog, self._point.directory)
            entries[msn].failed |= known.given_up
        given_up: list[tuple[Pending, str, Refusal]] = []
        resend: list[Callable[[], None]] = []
        for leg in unfinished:
            record, (place, _, name) = leg.message, leg.destination.partition(":")
            entry = None
            if place == "line":
                entry = entries.get(record.msn)
                if entry is None:
                    entry = entries[record.msn] = recovery.pending_of(record, catalog, self._point.directory)
                entry.awaited.add(name)
            since_us = recovery.waited_since(leg)
            action = recovery.decide(
                recovery.Case(
                    place,
                    known=self._knows(place, name),
                    update=entry is not None and entry.update,
                    waited=since_us is not None,
                    age_s=(now_us - record.received) / 1e6,
                )
            )
            if action is recovery.Action.LIST:
                self._deliveries.operator_queue.restore(leg)
            elif action is recovery.Action.HAND_BACK:
                keeper = self.keepers.get(place)
                if keeper is None:
                    # Of a later release, whose work nobody here knows.
                    log.error("switch.not_taken_back", transaction=record.msn, place=place)
                else:
                    keeper(leg)
            elif action is recovery.Action.TO_OPERATOR:
                message = recovery.queued_again(leg, ended)
                self._deliveries.to_operator(leg.destination, message, f"{leg.destination} is no more")
            elif action is recovery.Action.QUEUE:
                self._deliveries.push(leg.destination, recovery.queued_again(leg, ended))
            elif action is recovery.Action.SEND_AGAIN:
                assert entry is not None
                resend.append(partial(self._traffic.send_again, entry, name, recovery.line_text(record)))
            elif action is recovery.Action.WAIT_AGAIN:
                assert entry is not None and since_us is not None
                text, precedence = recovery.line_text(record), recovery.precedence_given(leg)
                resend.append(partial(self._traffic.wait_again, entry, name, text, since_us, precedence))
            else:
                assert entry is not None
                given_up.append((entry, name, recovery.refusal_for(action, name)))
        for entry in entries.values():
            self._pending.add(entry, now)
        for send in resend:
            send()
        for entry, name, refusal in given_up:
            self._traffic.originators.give_up(entry, name, refusal)
        if unfinished:
            log.info("switch.recovered", unfinished=len(unfinished), sent_again=len(resend))

    def _knows(self, place: str, name: str) -> bool:
        """Tell whether there is a line, device or user of a name."""
        if place == "line":
            return self._traffic.has_line(name)
        return self._point.directory.has_station(f"{place}:{name}")


def _stays(incoming: Incoming) -> bool:
    """Tell whether a message goes to our own stations alone."""
    return bool(incoming.addressees or incoming.bulletin) and not incoming.lines
