"""What lines send: answers, which find their inquiries by the supplemental header, and what comes unasked.

Each is journaled, then acknowledged to the line, then delivered.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from msc import clock
from msc.access.control_point import AccessControlPoint
from msc.errors import JournalUnavailable, Refusal
from msc.journal.writer import JournalWriter
from msc.log import get_logger
from msc.metrics import Metrics
from msc.protocol.envelope import ROUTINE, URGENT
from msc.protocol.header import MNEMONIC_CHARS, parse_header
from msc.switch.confirmations import KIND as HIT_CONFIRMATION
from msc.switch.confirmations import NOTHING, Beside, Confirmations
from msc.switch.delivery import Deliveries
from msc.switch.intake import as_text
from msc.switch.leg import NO_LEGS, unsolicited_legs
from msc.switch.originator import Originators
from msc.switch.port import LinePort
from msc.switch.recovery import LATE, REPEATED
from msc.switch.service import ServiceStates
from msc.switch.silence import SilenceWatch
from msc.switch.trunk import Trunk
from msc.transit.event import INTERCEPT, OPERATOR_QUEUE, Event, Life
from msc.transit.hit_confirmation import is_request
from msc.transit.message import Direction, MessageRecord
from msc.transit.outbox import Outgoing
from msc.transit.pending import Pending, PendingTable
from msc.transit.repeat import Repeats
from msc.transit.service_state import must_be_staffed

log = get_logger("switch")


class Arrivals:
    """Takes it.

    Args:
        pump: Sends what waits for a destination that the state has just put back into service.
    """

    def __init__(
        self,
        *,
        point: AccessControlPoint,
        writer: JournalWriter,
        pending: PendingTable,
        deliveries: Deliveries,
        metrics: Metrics,
        originators: Originators,
        confirmations: Confirmations | None,
        services: ServiceStates,
        unanswered: SilenceWatch,
        repeats: Repeats,
        pump: Callable[[Trunk], None],
    ) -> None:
        self.intercepted: Callable[[str], str | None] = lambda _mnemonic: None
        """Names the rule by which what comes unasked for a mnemonic waits for the operator; None is no rule."""
        self._point = point
        self._writer = writer
        self._pending = pending
        self._deliveries = deliveries
        self._metrics = metrics
        self._originators = originators
        self._confirmations = confirmations
        self._services = services
        self._unanswered = unanswered
        self._repeats = repeats
        self._pump = pump
        # Bound once: it is asked for every message, and mostly says nothing.
        self._log = log.bind()

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
            entry = self._pending.find(header) if mixed is None else None
            if entry is not None:
                self._answer(line, trunk, sequence, received_us, text, rest, entry)
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
        self._writer.append(
            MessageRecord(
                msn, received_us, Direction.INBOUND, "unknown", line=line.name, text=text, transaction=msn,
                code=refusal.code, sequence=sequence,
            ),
            [Event(msn, received_us, Life.REFUSED, None, str(refusal))],
            lambda failure: line.answer(connection, sequence, failure or refusal),
        )  # fmt: skip

    def _answer(
        self, line: LinePort, trunk: Trunk, sequence: int, received_us: int, text: str, rest: str, entry: Pending
    ) -> None:
        msn, address = self._writer.allot(), self._originators.address(entry)
        repeated = self._repeats.note(trunk.name, text, clock.monotonic())
        late = trunk.name in entry.failed or trunk.name in entry.given_up
        marks = ", ".join(mark for mark, holds in ((LATE, late), (REPEATED, repeated)) if holds)
        beside = self._beside(rest, None, msn, received_us)
        reply = partial(self._originators.reply, entry, msn, "response", rest, line.name, received_us)

        def durable(failure: JournalUnavailable | None) -> None:
            line.answer(connection, sequence, failure or msn)
            entry.answering.discard(trunk.name)
            if failure is not None:
                if not repeated:
                    self._repeats.forget(trunk.name, text)
                return
            self._pending.settle(entry, trunk.name)
            self._unanswered.answered(trunk.name, entry.mnemonic, entry.msn, clock.monotonic())
            self._metrics.messages["response", "accepted"] += 1
            self._metrics.stages["answered"].add((received_us - entry.received_us) / 1e6)
            self._log.debug("message.answered", transaction=entry.msn, msn=msn, line=line.name)
            answer = reply()
            answer.late, answer.possible_duplicate = late, repeated
            self._deliveries.push(address, answer)
            beside.then()

        connection = line.connection
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
                transaction=entry.transaction,
                ref=entry.ref,
                priority=entry.priority,
                sequence=sequence,
            ),
            (
                Event(msn, received_us, Life.ROUTED, address, marks or None),
                Event(entry.msn, received_us, Life.ANSWERED, trunk.address, f"msn {msn}"),
                *beside.events,
            ),
            durable,
        )
        entry.answering.add(trunk.name)

    def _beside(self, rest: str, terminal: str | None, msn: int, received_us: int) -> Beside:
        """What a message from a line means for the clocks of hit confirmations."""
        if self._confirmations is None:
            return NOTHING
        return self._confirmations.received(rest, terminal, msn, received_us)

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
        connection, msn = line.connection, self._writer.allot()
        repeated = self._repeats.note(trunk.name, text, clock.monotonic())
        kind = HIT_CONFIRMATION if is_request(rest) else "unsolicited"
        why, legs = mixed or f"no destination for {mnemonic}", NO_LEGS
        if device is not None:
            legs = unsolicited_legs(
                self._point.directory,
                device,
                kind,
                REPEATED if repeated else None,
                must_be_seen=must_be_staffed(rest),
            )
        terminal = next((leg.address for leg in legs.legs if leg.address is not None), None)
        beside = self._beside(rest, terminal, msn, received_us) if mixed is None else NOTHING
        priority = URGENT if beside.request is not None and beside.request.urgent else ROUTINE
        events = legs.events(msn, received_us) or [
            Event(msn, received_us, Life.OPERATOR_QUEUE, None, why),
            Event(msn, received_us, Life.ROUTED, OPERATOR_QUEUE, why),
        ]
        rule = self.intercepted(mnemonic) if mixed is None else None
        if rule is not None:
            events, legs = [Event(msn, received_us, Life.ROUTED, INTERCEPT, f"rule {rule}")], NO_LEGS

        def durable(failure: JournalUnavailable | None) -> None:
            line.answer(connection, sequence, failure or msn)
            if failure is not None:
                if not repeated:
                    self._repeats.forget(trunk.name, text)
                return
            self._metrics.messages[kind, "accepted"] += 1
            self._unanswered.heard(trunk.name, clock.monotonic())
            if rule is not None:
                meant = device.address if device is not None else None
                self._deliveries.operator_queue.add(msn, meant, f"rule {rule}", received_us, INTERCEPT)
            elif device is None:
                self._deliveries.operator_queue.add(msn, None, why, received_us)
            for leg in legs.legs:
                message = Outgoing(
                    msn, kind, rest, line.name, received_us, header=header, priority=priority,
                    possible_duplicate=repeated, original_mnemonic=leg.original_mnemonic,
                )  # fmt: skip
                self._deliveries.deliver(leg, message)
            beside.then()
            if self._services.heard(trunk, rest, received_us):
                self._pump(trunk)

        self._writer.append(
            MessageRecord(
                msn, received_us, Direction.INBOUND, kind,
                device=device.device if device else None, line=line.name,
                agency=device.agency if device else None, mnemonic=mnemonic, header=header, text=text,
                transaction=msn, sequence=sequence, priority=priority if beside.request is not None else None,
            ),
            [*events, *beside.events],
            durable,
        )  # fmt: skip
