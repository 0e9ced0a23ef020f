"""What lines send: answers, which find their inquiries by the supplemental header, and what comes unasked.

Each is journaled, then acknowledged to the line, then delivered.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from msc import clock
from msc.access.control_point import AccessControlPoint
from msc.errors import JournalUnavailable, Refusal
from msc.log import get_logger
from msc.metrics import Metrics
from msc.protocol.envelope import ROUTINE, URGENT
from msc.protocol.header import MNEMONIC_CHARS, parse_header
from msc.switch.confirmations import KIND as HIT_CONFIRMATION
from msc.switch.confirmations import NOTHING, Beside, Confirmations
from msc.switch.delivery import Deliveries
from msc.switch.destinations import NOWHERE, unsolicited_to
from msc.switch.intake import as_text
from msc.switch.lifecycle import Lifecycle
from msc.switch.originator import Originators
from msc.switch.port import LinePort
from msc.switch.service import ServiceStates
from msc.switch.silence import SilenceWatch
from msc.switch.trunk import Trunk
from msc.transit.event import INTERCEPT, OPERATOR_QUEUE, Event, Facts, Life
from msc.transit.hit_confirmation import is_request
from msc.transit.message import Direction, MessageRecord
from msc.transit.repeat import Repeats
from msc.transit.service_state import must_be_staffed
from msc.transit.transaction import Stay, Transaction

log = get_logger("switch")


class Arrivals:
    """Takes what lines send.

    Args:
        intercepted: Names the rule by which what comes unasked for a mnemonic waits for the operator, or None.
        pump: Sends what waits for a destination that the state has just put back into service.
    """

    def __init__(
        self,
        *,
        point: AccessControlPoint,
        lifecycle: Lifecycle,
        deliveries: Deliveries,
        metrics: Metrics,
        originators: Originators,
        confirmations: Confirmations | None,
        services: ServiceStates,
        unanswered: SilenceWatch,
        repeats: Repeats,
        intercepted: Callable[[str], str | None],
        pump: Callable[[Trunk], None],
    ) -> None:
        self._intercepted = intercepted
        self._point = point
        self._lifecycle = lifecycle
        self._transit = lifecycle.transit
        self._writer = lifecycle.writer
        self._deliveries = deliveries
        self._metrics = metrics
        self._originators = originators
        self._confirmations = confirmations
        self._services = services
        self._unanswered = unanswered
        self._repeats = repeats
        self._pump = pump

    def take(self, line: LinePort, trunk: Trunk, sequence: int, payload: bytes) -> None:
        """Take a message: it will be acknowledged or refused."""
        received_us, connection = clock.wall_us(), line.connection
        text = as_text(payload)
        try:
            self._writer.check_room()
            try:
                header, rest = parse_header(text)
            except Refusal as refusal:
                self._refuse(line, sequence, received_us, text, refusal)
                return
            mixed = self._mixes(line, header[:MNEMONIC_CHARS])
            inquiry = self._transit.find(header) if mixed is None else None
            if inquiry is not None:
                self._answer(line, trunk, sequence, received_us, text, rest, inquiry)
            else:
                self._unsolicited(line, trunk, sequence, received_us, text, header, rest, mixed)
        except Refusal as refusal:
            self._metrics.messages["response", refusal.code] += 1
            line.answer(connection, sequence, refusal)

    def _mixes(self, line: LinePort, mnemonic: str) -> str | None:
        """Say why nobody but the operator gets what a line has for a mnemonic; None if it goes its way (C-TEST)."""
        row = self._point.directory.mnemonics.get(mnemonic)
        if row is None or row.mode.value == line.mode:
            return None
        return f"{line.name} is a {line.mode} line, {mnemonic} a {row.mode.value} mnemonic (C-TEST)"

    def _refuse(self, line: LinePort, sequence: int, received_us: int, text: str, refusal: Refusal) -> None:
        connection, msn = line.connection, self._writer.allot()
        self._metrics.messages["unknown", refusal.code] += 1
        facts: Facts = {"code": refusal.code, "why": refusal.reason}
        self._writer.append(
            MessageRecord(
                msn, received_us, Direction.INBOUND, "unknown", line=line.name, text=text, transaction=msn,
                code=refusal.code, sequence=sequence,
                events=(Event(msn, received_us, Life.REFUSED, None, facts),),
            ),
            lambda failure: line.answer(connection, sequence, failure or refusal),
        )  # fmt: skip

    def _beside(self, rest: str, terminal: str | None, msn: int, received_us: int) -> Beside:
        """What a message from a line means for the clocks of hit confirmations."""
        if self._confirmations is None:
            return NOTHING
        return self._confirmations.received(rest, terminal, msn, received_us)

    # --- answers ------------------------------------------------------------------------------------

    def _answer(
        self,
        line: LinePort,
        trunk: Trunk,
        sequence: int,
        received_us: int,
        text: str,
        rest: str,
        inquiry: Transaction,
    ) -> None:
        asked, msn = inquiry.message, self._writer.allot()
        address, asked_at = self._originators.address(inquiry), inquiry.stays.get(trunk.address)
        repeated = self._repeats.note(trunk.name, text, clock.monotonic())
        marks: Facts = {}
        if asked_at is not None and asked_at.gave_up:
            marks["late"] = True
        if repeated:
            marks["repeated"] = True
        beside = self._beside(rest, None, msn, received_us)
        answer = Transaction(
            MessageRecord(
                msn=msn,
                received=received_us,
                direction=Direction.INBOUND,
                kind="response",
                device=asked.device,
                line=line.name,
                user=asked.user,
                agency=asked.agency,
                ori=asked.ori,
                mnemonic=asked.mnemonic,
                header=asked.header,
                own_header=asked.own_header,
                key=asked.key,
                system=asked.system,
                database=asked.database,
                text=text,
                transaction=inquiry.number,
                ref=asked.ref,
                priority=inquiry.priority,
                sequence=sequence,
                events=(Event(msn, received_us, Life.ROUTED, address, marks), *beside.own(msn)),
            ),
            inquiry=inquiry,
            body=rest,
        )
        answered = Event(asked.msn, received_us, Life.ANSWERED, trunk.address, {"answer": msn})
        then = partial(self._answered, line, line.connection, trunk, answer, asked_at, beside)
        self._lifecycle.begin(answer, then, (answered, *beside.others(msn)))
        if asked_at is not None and asked_at.open and asked_at.ending is None:
            asked_at.ending = Life.ANSWERED

    def _answered(
        self,
        line: LinePort,
        connection: object,
        trunk: Trunk,
        answer: Transaction,
        asked_at: Stay | None,
        beside: Beside,
        failure: JournalUnavailable | None,
    ) -> None:
        """The answer is in the journal, or could not be."""
        message, inquiry = answer.message, answer.inquiry
        assert inquiry is not None and message.sequence is not None
        line.answer(connection, message.sequence, failure or message.msn)
        if asked_at is not None and asked_at.ending is Life.ANSWERED:
            asked_at.ending = None
        if failure is not None:
            self._forget_repeat(trunk, message)
            return
        self._unanswered.answered(trunk.name, inquiry.mnemonic, inquiry.msn, clock.monotonic())
        self._metrics.messages["response", "accepted"] += 1
        self._metrics.stages["answered"].add((message.received - inquiry.message.received) / 1e6)
        for stay in list(answer.stays.values()):
            stay.awaiting = inquiry.awaiting
        self._deliveries.deliver(answer.stays.values())
        beside.then()

    def _forget_repeat(self, trunk: Trunk, message: MessageRecord) -> None:
        """The journal could not take it: the host will send it again, and then it is not a repetition."""
        if not any(event.facts.get("repeated") for event in message.events):
            self._repeats.forget(trunk.name, message.text)

    # --- what comes unasked -------------------------------------------------------------------------

    def _unsolicited(
        self,
        line: LinePort,
        trunk: Trunk,
        sequence: int,
        received_us: int,
        text: str,
        header: str,
        rest: str,
        mixed: str | None,
    ) -> None:
        mnemonic = header[:MNEMONIC_CHARS]
        device = self._point.directory.unsolicited_device(mnemonic) if mixed is None else None
        msn = self._writer.allot()
        marks: Facts = {"repeated": True} if self._repeats.note(trunk.name, text, clock.monotonic()) else {}
        kind = HIT_CONFIRMATION if is_request(rest) else "unsolicited"
        goes = NOWHERE
        if device is not None:
            directory = self._point.directory
            goes = unsolicited_to(directory, device, marks, must_be_seen=must_be_staffed(rest))
        terminal = next((address for address in goes.stations if address != OPERATOR_QUEUE), None)
        beside = self._beside(rest, terminal, msn, received_us) if mixed is None else NOTHING
        rule = self._intercepted(mnemonic) if mixed is None else None
        if rule is not None:
            events = [Event(msn, received_us, Life.ROUTED, INTERCEPT, {"rule": rule})]
        elif device is not None:
            events = goes.events(msn, received_us)
        else:
            why: Facts = {"why": mixed or f"no destination for {mnemonic}"}
            events = [
                Event(msn, received_us, Life.OPERATOR_QUEUE, None, why),
                Event(msn, received_us, Life.ROUTED, OPERATOR_QUEUE, why),
            ]
        priority = None
        if beside.request is not None:
            priority = URGENT if beside.request.urgent else ROUTINE
        transaction = Transaction(
            MessageRecord(
                msn, received_us, Direction.INBOUND, kind,
                device=device.device if device else None, line=line.name,
                agency=device.agency if device else None, mnemonic=mnemonic, header=header, text=text,
                transaction=msn, sequence=sequence, priority=priority, events=(*events, *beside.own(msn)),
            ),
            body=rest,
        )  # fmt: skip
        then = partial(self._came_unasked, line, line.connection, trunk, transaction, beside)
        self._lifecycle.begin(transaction, then, beside.others(msn))

    def _came_unasked(
        self,
        line: LinePort,
        connection: object,
        trunk: Trunk,
        transaction: Transaction,
        beside: Beside,
        failure: JournalUnavailable | None,
    ) -> None:
        """What came unasked is in the journal, or could not be."""
        message = transaction.message
        assert message.sequence is not None
        line.answer(connection, message.sequence, failure or message.msn)
        if failure is not None:
            self._forget_repeat(trunk, message)
            return
        self._metrics.messages[message.kind, "accepted"] += 1
        self._unanswered.heard(trunk.name, clock.monotonic())
        self._deliveries.deliver(transaction.stays.values())
        beside.then()
        if self._services.heard(trunk, transaction.body, message.received):
            self._pump(trunk)
