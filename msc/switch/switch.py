"""The switch: check -> authorise -> journal -> acknowledge -> route -> send, and back again.

Nothing is acknowledged or forwarded before the commit that stores it has returned; that is why every step
from `_accept` on is a callback of the journal's writer. Every message ends: answered, delivered, refused,
given up, or in the operator's queue, and the journal says which for each destination.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from functools import partial

from msc import clock
from msc.acp.control_point import AccessControlPoint, OperatorSession
from msc.acp.host import HostSessions
from msc.errors import (
    FrameTooLong,
    InternalFault,
    JournalUnavailable,
    LineOutOfService,
    NoAnswerInTime,
    OutcomeUnknown,
    Refusal,
    RefusedByState,
    ShuttingDown,
)
from msc.journal.record import Direction, EventRecord, Life, MessageRecord
from msc.journal.store import Unfinished
from msc.journal.writer import JournalWriter
from msc.log import get_logger
from msc.metrics import Metrics
from msc.protocol.catalog import Catalog
from msc.protocol.envelope import ROUTINE
from msc.protocol.header import MessageHead, make_header, parse_header, write_head
from msc.protocol.session import MessageOutOfPlace
from msc.routing.outbox import Outbox, Outgoing
from msc.routing.pending import Pending, PendingTable
from msc.switch import recovery
from msc.switch.delivery import Deliveries
from msc.switch.intake import Incoming, Intake, as_text
from msc.switch.port import LinePort, StationPort

log = get_logger("switch")

POSTPONE_S = 1.0
"""When the journal cannot take a status message, its inquiry is looked at again after this."""


class Switch:
    """The data plane: messages from stations and lines, and their answers."""

    def __init__(
        self,
        *,
        intake: Intake,
        point: AccessControlPoint,
        writer: JournalWriter,
        pending: PendingTable,
        deliveries: Deliveries,
        metrics: Metrics,
    ) -> None:
        self.draining = False
        self._intake = intake
        self._point = point
        self._writer = writer
        self._pending = pending
        self._deliveries = deliveries
        self._metrics = metrics
        # Bound once: these are asked for every message, and mostly say nothing.
        self._log = log.bind()
        self._lines: Mapping[str, LinePort] = {}
        self._line_outboxes: dict[str, Outbox] = {}

    def connect_lines(self, lines: Mapping[str, LinePort]) -> None:
        """Learn the lines there are; once, before traffic."""
        self._lines = lines
        self._line_outboxes = {name: Outbox(line.address) for name, line in lines.items()}

    @property
    def busy(self) -> bool:
        """Whether something accepted is not answered yet, or not delivered to who is there."""
        return bool(self._pending.waiting or self._writer.waiting or self._deliveries.in_flight)

    def line_depths(self) -> dict[str, float]:
        """How many messages each line has not acknowledged."""
        return {name: float(len(outbox)) for name, outbox in self._line_outboxes.items()}

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
        if incoming.addressees:
            addresses = [device.address for device in incoming.addressees]
        else:
            addresses = [self._lines[name].address for name in route.lines]
        at = incoming.received_us
        self._writer.append(
            self._record(incoming, msn, key.function.value, header),
            [EventRecord(msn, at, Life.ROUTED, address, route.name) for address in addresses],
            partial(self._accepted, station, incoming, msn, header),
        )

    def _record(
        self, incoming: Incoming, msn: int, kind: str, header: str | None, code: str | None = None
    ) -> MessageRecord:
        operator, key, envelope, head = incoming.operator, incoming.key, incoming.envelope, incoming.head
        return MessageRecord(
            msn=msn,
            received=incoming.received_us,
            direction=Direction.LOCAL if incoming.addressees else Direction.OUTBOUND,
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
        try:
            self._writer.check_room()
            msn = self._writer.allot()
            self._writer.append(
                self._record(incoming, msn, kind, None, refusal.code),
                [EventRecord(msn, incoming.received_us, Life.REFUSED, None, str(refusal))],
                lambda failure: self._say_refused(station, incoming.sequence, failure or refusal),
            )
        except Refusal as failure:
            lower = min(refusal, failure, key=lambda r: r.code)
            self._say_refused(station, incoming.sequence, lower)

    @staticmethod
    def _say_refused(station: StationPort, sequence: int, refusal: Refusal) -> None:
        station.session.refuse(sequence, refusal)
        station.flush()

    # --- journaled: acknowledge, route, send ------------------------------------------------------

    def _accepted(
        self,
        station: StationPort,
        incoming: Incoming,
        msn: int,
        header: str,
        failure: JournalUnavailable | None,
    ) -> None:
        operator, key, route = incoming.operator, incoming.key, incoming.route
        assert operator is not None and key is not None and route is not None
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
        envelope = incoming.envelope
        priority = envelope.priority or ROUTINE
        if incoming.addressees:
            for device in incoming.addressees:
                self._deliveries.push(
                    device.address,
                    Outgoing(
                        msn, "unsolicited", incoming.message, incoming.device.device, incoming.received_us,
                        header=header, priority=priority,
                    ),
                )  # fmt: skip
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
            awaited=set(route.lines),
        )
        self._pending.add(entry, clock.monotonic())
        text = write_head(MessageHead(header, operator.user, operator.taf)) + incoming.message
        for name in route.lines:
            self._send_to_line(entry, name, text)

    def _send_to_line(self, entry: Pending, name: str, text: str) -> None:
        line, outbox = self._lines[name], self._line_outboxes[name]
        if not line.is_open:
            self._give_up(entry, name, LineOutOfService(f"{name} is out of service; not sent"))
        elif outbox.full:
            self._give_up(entry, name, LineOutOfService(f"{name} has too many messages waiting; not sent"))
        else:
            outbox.push(self._to_line(entry, text))
            self._pump_line(name)

    @staticmethod
    def _to_line(entry: Pending, text: str, *, possible_duplicate: bool = False) -> Outgoing:
        return Outgoing(
            entry.msn,
            "",
            text,
            entry.device,
            entry.received_us,
            header=entry.header,
            priority=entry.priority,
            update=entry.update,
            possible_duplicate=possible_duplicate,
        )

    def _pump_line(self, name: str) -> None:
        line, outbox = self._lines[name], self._line_outboxes[name]
        while line.room > 0:
            message = outbox.take()
            if message is None:
                break
            try:
                sequence = line.send(message.text.encode())
            except FrameTooLong:
                self._give_up_sent(name, message, LineOutOfService(f"too long for {name}; not sent"))
                continue
            outbox.sent(sequence, message)
            self._writer.note(EventRecord(message.msn, clock.wall_us(), Life.SENT, line.address))

    # --- what lines do ----------------------------------------------------------------------------

    def line_opened(self, line: LinePort) -> None:
        """A line takes messages: send what waits for it."""
        self._pump_line(line.name)

    def line_writable(self, line: LinePort) -> None:
        """The host reads again."""
        self._pump_line(line.name)

    def line_lost(self, line: LinePort, reason: str) -> None:
        """A line is lost. What it had not acknowledged: inquiries wait for it to come back, updates are
        reported and never sent again blindly (E404).
        """
        outbox, at = self._line_outboxes[line.name], clock.wall_us()
        for message in outbox.lose():
            if message.update:
                outbox.drop(message)
                refusal = OutcomeUnknown(f"{line.name} was lost; check before sending again")
                self._give_up_sent(line.name, message, refusal)
            else:
                self._writer.note(EventRecord(message.msn, at, Life.RETURNED, line.address, reason))

    def line_answered(self, line: LinePort, sequence: int, refused: str | None) -> None:
        """A line has taken a message over, or refused it."""
        message = self._line_outboxes[line.name].answered(sequence)
        if message is None:
            return
        if refused is None:
            self._writer.note(EventRecord(message.msn, clock.wall_us(), Life.ACKNOWLEDGED, line.address))
        else:
            self._give_up_sent(line.name, message, RefusedByState(f"{line.name} refused it: {refused}"))
        self._pump_line(line.name)

    def line_message(self, line: LinePort, sequence: int, payload: bytes) -> None:
        """A line's message: an answer to an inquiry, or unsolicited. It is acknowledged or refused."""
        received_us, connection = clock.wall_us(), line.connection
        text = as_text(payload)
        try:
            self._writer.check_room()
            try:
                header, rest = parse_header(text)
            except Refusal as refusal:
                self._refuse_line(line, sequence, received_us, text, refusal)
                return
            entry = self._pending.find(header)
            if entry is not None:
                self._take_answer(line, sequence, received_us, text, rest, entry)
            else:
                self._take_unsolicited(line, sequence, received_us, text, header, rest)
        except Refusal as refusal:
            self._metrics.messages["response", refusal.code] += 1
            line.answer(connection, sequence, refusal)

    def _refuse_line(self, line: LinePort, sequence: int, received_us: int, text: str, refusal: Refusal) -> None:
        connection, msn = line.connection, self._writer.allot()
        self._metrics.messages["unknown", refusal.code] += 1
        self._writer.append(
            MessageRecord(
                msn, received_us, Direction.INBOUND, "unknown", line=line.name, text=text, transaction=msn,
                code=refusal.code, sequence=sequence,
            ),
            [EventRecord(msn, received_us, Life.REFUSED, None, str(refusal))],
            lambda failure: line.answer(connection, sequence, failure or refusal),
        )  # fmt: skip

    def _take_answer(
        self, line: LinePort, sequence: int, received_us: int, text: str, rest: str, entry: Pending
    ) -> None:
        msn = self._writer.allot()
        self._writer.append(
            MessageRecord(
                msn=msn,
                received=received_us,
                direction=Direction.INBOUND,
                kind="response",
                device=entry.device,
                line=line.name,
                user=entry.user,
                agency=entry.agency,
                ori=entry.ori,
                mnemonic=entry.mnemonic,
                header=entry.header,
                own_header=entry.own_header if entry.host else None,
                key=entry.key.key if entry.key else None,
                system=entry.key.system if entry.key else None,
                database=entry.key.database if entry.key else None,
                text=text,
                transaction=entry.msn,
                ref=entry.ref,
                priority=entry.priority,
                sequence=sequence,
            ),
            (
                EventRecord(msn, received_us, Life.ROUTED, entry.address),
                EventRecord(entry.msn, received_us, Life.ANSWERED, line.address, f"msn {msn}"),
            ),
            partial(self._answer_durable, line, line.connection, sequence, received_us, rest, entry, msn),
        )

    def _answer_durable(
        self,
        line: LinePort,
        connection: object,
        sequence: int,
        received_us: int,
        rest: str,
        entry: Pending,
        msn: int,
        failure: JournalUnavailable | None,
    ) -> None:
        line.answer(connection, sequence, failure)
        if failure is not None:
            return
        self._pending.settle(entry, line.name)
        self._metrics.messages["response", "accepted"] += 1
        self._metrics.stages["answered"].add((received_us - entry.received_us) / 1e6)
        self._log.debug("message.answered", transaction=entry.msn, msn=msn, line=line.name)
        self._deliveries.push(entry.address, self._reply(entry, msn, "response", rest, line.name, received_us))

    @staticmethod
    def _reply(entry: Pending, msn: int, kind: str, text: str, source: str, received_us: int) -> Outgoing:
        return Outgoing(
            msn,
            kind,
            # C-HDR: a host gets its own header back, as every text of its own carries one.
            f"{entry.own_header}.{text}" if entry.host else text,
            source,
            received_us,
            header=entry.own_header,
            priority=entry.priority,
            ref=entry.ref,
            reply_to=entry.sequence,
            station=entry.station,
            transaction=entry.msn,
            awaiting=len(entry.awaited),
        )

    def _take_unsolicited(
        self, line: LinePort, sequence: int, received_us: int, text: str, header: str, rest: str
    ) -> None:
        mnemonic = header[:4]
        device = self._point.directory.unsolicited_device(mnemonic)
        connection, msn = line.connection, self._writer.allot()
        address = device.address if device else None
        event = EventRecord(msn, received_us, Life.ROUTED, address)
        if address is None:
            event = EventRecord(msn, received_us, Life.OPERATOR_QUEUE, None, f"no destination for {mnemonic}")

        def durable(failure: JournalUnavailable | None) -> None:
            line.answer(connection, sequence, failure)
            if failure is not None:
                return
            self._metrics.messages["unsolicited", "accepted"] += 1
            if address is None:
                self._deliveries.operator_queue += 1
                log.warning("message.to_operator", msn=msn, line=line.name, mnemonic=mnemonic)
                return
            self._deliveries.push(address, Outgoing(msn, "unsolicited", rest, line.name, received_us, header=header))

        self._writer.append(
            MessageRecord(
                msn, received_us, Direction.INBOUND, "unsolicited",
                device=device.device if device else None, line=line.name,
                agency=device.agency if device else None, mnemonic=mnemonic, header=header, text=text,
                transaction=msn, sequence=sequence,
            ),
            (event,),
            durable,
        )  # fmt: skip

    # --- after a restart ----------------------------------------------------------------------------

    def recover(
        self,
        recent: Sequence[MessageRecord],
        unfinished: Sequence[Unfinished],
        catalog: Catalog,
    ) -> None:
        """Take up what had not ended when the switch stopped; see `msc.switch.recovery`.

        Called once, when the journal is open and before anybody can connect.
        """
        now, now_us = clock.monotonic(), clock.wall_us()
        entries = {r.msn: recovery.pending_of(r, catalog, self._point.directory) for r in recent}
        given_up: list[tuple[Pending, str, Refusal]] = []
        resend: list[tuple[str, Pending, str]] = []
        for leg in unfinished:
            record, (place, _, name) = leg.message, leg.destination.partition(":")
            if place != "line":
                self._deliveries.push(leg.destination, recovery.to_station(record, leg.was_sent))
                continue
            entry = entries.get(record.msn)
            if entry is None or name not in self._lines:
                continue
            entry.awaited.add(name)
            action = recovery.decide(update=entry.update, age_s=(now_us - record.received) / 1e6)
            if action is recovery.Action.SEND_AGAIN:
                resend.append((name, entry, recovery.line_text(record)))
            else:
                given_up.append((entry, name, recovery.refusal_for(action, name)))
        for entry in entries.values():
            self._pending.add(entry, now)
        for name, entry, text in resend:
            self._line_outboxes[name].push(self._to_line(entry, text, possible_duplicate=True))
        for entry, name, refusal in given_up:
            self._give_up(entry, name, refusal)
        if unfinished:
            log.info("switch.recovered", unfinished=len(unfinished), sent_again=len(resend))

    # --- giving up ----------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Give up destinations whose time has come, and tell the originator."""
        for entry in self._pending.expire(now):
            for name in sorted(entry.awaited):
                self._give_up(entry, name, self._overdue(entry, name))

    def _overdue(self, entry: Pending, name: str) -> Refusal:
        outbox = self._line_outboxes.get(name)
        unsent = outbox.remove(entry.msn) if outbox else None
        if unsent is not None and not unsent.possible_duplicate:
            return LineOutOfService(f"{name} is out of service; not sent")
        if entry.update:
            return OutcomeUnknown(f"{name} gave no answer; check before sending again")
        return NoAnswerInTime(f"{name} gave no answer in {entry.timeout_s:.0f} s")

    def _give_up_sent(self, name: str, message: Outgoing, refusal: Refusal) -> None:
        entry = self._pending.find(message.header or "")
        if entry is not None:
            self._give_up(entry, name, refusal)

    def _give_up(self, entry: Pending, name: str, refusal: Refusal) -> None:
        """Tell an originator, by a journaled status message, that a destination will not answer."""
        at, line = clock.wall_us(), f"line:{name}"
        text = f"{refusal.code} {refusal.reason}"

        def durable(failure: JournalUnavailable | None) -> None:
            if failure is not None:
                self._pending.postpone(entry, clock.monotonic() + POSTPONE_S)
                return
            self._pending.settle(entry, name)
            self._metrics.messages["status", refusal.code] += 1
            log.info("message.given_up", transaction=entry.msn, line=name, code=refusal.code)
            self._deliveries.push(entry.address, self._reply(entry, msn, "status", text, name, at))

        try:
            msn = self._writer.allot()
            self._writer.append(
                MessageRecord(
                    msn, at, Direction.LOCAL, "status", device=entry.device, line=name, user=entry.user,
                    agency=entry.agency, ori=entry.ori, mnemonic=entry.mnemonic, header=entry.header,
                    text=text, transaction=entry.msn, ref=entry.ref, priority=entry.priority,
                    code=refusal.code,
                ),
                (
                    EventRecord(msn, at, Life.ROUTED, entry.address),
                    EventRecord(entry.msn, at, _LIFE[type(refusal)], line, text),
                ),
                durable,
            )  # fmt: skip
        except JournalUnavailable as failure:
            durable(failure)


_LIFE: dict[type[Refusal], Life] = {
    LineOutOfService: Life.NOT_SENT,
    NoAnswerInTime: Life.EXPIRED,
    OutcomeUnknown: Life.OUTCOME_UNKNOWN,
    RefusedByState: Life.REFUSED_BY_PEER,
}
