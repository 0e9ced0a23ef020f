"""Traffic with the lines: what goes out on them, what comes in, and what is given up.

Answers find their inquiries by the supplemental header. Every destination of an inquiry ends: it answers, or
the originator is told by a status message (E401, E403, E404, E405), which is journaled like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from msc import clock
from msc.acp.control_point import AccessControlPoint
from msc.errors import (
    JournalUnavailable,
    LineOutOfService,
    NoAnswerInTime,
    OutcomeUnknown,
    QueuedForLater,
    Refusal,
    RefusedByState,
)
from msc.journal.record import OPERATOR_QUEUE, Direction, EventRecord, Life, MessageRecord
from msc.journal.writer import JournalWriter
from msc.limits import SUBMISSION_ATTEMPTS_MAX
from msc.log import get_logger
from msc.metrics import Metrics
from msc.protocol.catalog import Function
from msc.protocol.envelope import ROUTINE, URGENT
from msc.protocol.header import MNEMONIC_CHARS, parse_header
from msc.routing.hit_confirmation import is_request
from msc.routing.outbox import Outgoing
from msc.routing.pending import Pending, PendingTable
from msc.routing.repeat import Repeats
from msc.routing.service_state import must_be_staffed
from msc.settings import QueueSettings
from msc.switch.confirmations import KIND as HIT_CONFIRMATION
from msc.switch.confirmations import NOTHING, Beside, Confirmations
from msc.switch.delivery import Deliveries
from msc.switch.intake import as_text, objection
from msc.switch.leg import NO_LEGS, unsolicited_legs
from msc.switch.operator_queue import INTERCEPT
from msc.switch.port import LinePort
from msc.switch.recovery import LATE, REPEATED
from msc.switch.service import ServiceStates
from msc.switch.silence import SilenceWatch
from msc.switch.trunk import Trunk

log = get_logger("switch")

NO_ANSWER_DUE: Final = frozenset({Function.ADMINISTRATIVE, Function.HIT_CONFIRMATION})
"""What is for somebody beyond the state, who may answer in a message of their own: it ends when it is taken over."""
POSTPONE_S = 1.0
"""When the journal cannot take a status message, its inquiry is looked at again after this."""


class LineTraffic:
    """Sends to the lines, takes what they send, and keeps the clocks of what they owe."""

    def __init__(
        self,
        *,
        point: AccessControlPoint,
        writer: JournalWriter,
        pending: PendingTable,
        deliveries: Deliveries,
        metrics: Metrics,
        kept: QueueSettings | None = None,
        confirmations: Confirmations | None = None,
        services: ServiceStates | None = None,
        unanswered: SilenceWatch | None = None,
        repeats: Repeats | None = None,
    ) -> None:
        self.pending = pending
        self.services = services or ServiceStates()
        self.unanswered = unanswered or SilenceWatch()
        self._confirmations = confirmations
        self._repeats = repeats or Repeats()
        self._kept = kept or QueueSettings()
        self._point = point
        self._writer = writer
        self._deliveries = deliveries
        self._metrics = metrics
        # Bound once: it is asked for every message, and mostly says nothing.
        self._log = log.bind()
        self.intercepted: Callable[[str], str | None] = lambda _mnemonic: None
        """Names the rule by which what comes unasked for a mnemonic waits for the operator; None is no rule."""
        self.trunks: dict[str, Trunk] = {}
        """The destinations there are, by the names of their primary lines."""
        self._of_line: dict[str, Trunk] = {}

    def connect(self, trunks: Sequence[Trunk]) -> None:
        """Learn the destinations there are; once, before traffic."""
        self.trunks = {trunk.name: trunk for trunk in trunks}
        self._of_line = {line.name: trunk for trunk in trunks for line in trunk.carriers}
        self.services.connect(trunks)

    def has_line(self, name: str) -> bool:
        """Tell whether there is a destination of a name."""
        return name in self.trunks

    def depths(self) -> dict[str, float]:
        """How many messages each destination has not acknowledged."""
        return {name: float(len(trunk)) for name, trunk in self.trunks.items()}

    def in_service(self, name: str) -> bool:
        """Forget what the state said of a destination's service, by an operator's word, and send what waited.

        Returns:
            Whether there was anything.
        """
        trunk = self.trunks.get(name)
        if trunk is None or not self.services.clear(name):
            return False
        self._pump(trunk)
        return True

    # --- to the lines -------------------------------------------------------------------------------

    def send_all(self, entry: Pending, text: str) -> None:
        """Send a message that is in the journal and may be sent to its lines; its originator is told of each that
        cannot be had, and which could.
        """
        for name in sorted(entry.lines, key=lambda name: self.trunks[name].active is None):
            self.send(entry, name, text)

    def send(self, entry: Pending, name: str, text: str, *, possible_duplicate: bool = False) -> None:
        """Send a message that is in the journal and may be sent, or tell its originator that it was not sent."""
        trunk = self.trunks[name]
        message = self._to_line(entry, text, possible_duplicate=possible_duplicate)
        why = trunk.waits(message.database)
        if why is None and trunk.active is None:
            self.give_up(entry, name, LineOutOfService(f"{name} is out of service; not sent"))
        elif trunk.outbox.full_for(message):
            self.give_up(entry, name, LineOutOfService(f"{name} has too many messages waiting; not sent"))
        else:
            trunk.outbox.push(message)
            if why is not None:
                self._tell_waiting(entry, trunk, message, why)
            else:
                self._pump(trunk, cleared=entry.msn)

    def send_again(self, entry: Pending, name: str, text: str) -> None:
        """Queue an inquiry that a stop of the switch left unanswered, for when the line is open."""
        self.trunks[name].outbox.push(self._to_line(entry, text, possible_duplicate=True))

    def wait_again(self, entry: Pending, name: str, text: str) -> None:
        """Queue an update whose originator was told that it waits, and that a stop of the switch left waiting."""
        message = self._to_line(entry, text)
        message.expires_us = message.received_us + int(self._kept.of(message.kind) * 1e6)
        self.trunks[name].outbox.push(message)

    def _to_line(self, entry: Pending, text: str, *, possible_duplicate: bool = False) -> Outgoing:
        key = entry.key
        return Outgoing(
            entry.msn,
            key.function.value if key is not None else "",
            text,
            entry.device,
            entry.received_us,
            header=entry.header,
            priority=entry.priority,
            update=entry.update,
            database=key.database if key is not None else None,
            possible_duplicate=possible_duplicate,
        )

    def _tell_waiting(self, entry: Pending, trunk: Trunk, message: Outgoing, why: str) -> None:
        """Tell an originator that the message waits, and how long it will."""
        # From now on: the operator may have kept it for a while before.
        message.expires_us = clock.wall_us() + int(self._kept.of(message.kind) * 1e6)
        self._writer.note(EventRecord(entry.msn, clock.wall_us(), Life.QUEUED, trunk.address, why))
        self.tell(entry, trunk.name, QueuedForLater(f"{why}; queued, will be sent to {trunk.name}"))

    def _pump(self, trunk: Trunk, cleared: int = 0) -> None:
        """Send what waits, as far as the line takes it, and as its senders still may.

        Args:
            cleared: MSN of a message whose sender has just been looked at; all others have waited.
        """
        outbox = trunk.outbox
        while trunk.room > 0 and self._writer.available:
            message = outbox.take()
            if message is None:
                break
            line = trunk.active
            assert line is not None
            if message.msn != cleared and self._withhold(trunk.name, message):
                continue
            if message.update and message.expires_us is not None:
                self._clear(trunk, message)
            else:
                self._submit(trunk, line, message)

    def _submit(self, trunk: Trunk, line: LinePort, message: Outgoing, *, noted: bool = False) -> None:
        try:
            sequence = line.send(message.text.encode())
        except Refusal as refusal:
            # Too long, or of characters that this line's driver cannot carry.
            self._give_up_sent(
                trunk.name, message, LineOutOfService(f"{line.name} cannot carry it: {refusal}; not sent")
            )
            return
        trunk.outbox.sent(sequence, message, line.name)
        at = clock.wall_us()
        if line is not trunk.primary:
            self._writer.note(EventRecord(message.msn, at, Life.ALTERNATE_ROUTED, trunk.address, line.name))
        if not noted:
            self._writer.note(EventRecord(message.msn, at, Life.SENT, trunk.address))
        self.unanswered.sent(trunk.name, (message.header or "")[:MNEMONIC_CHARS], message.msn, clock.monotonic())
        if message.expires_us is not None:
            self._begin_clock(trunk.name, message)

    def _clear(self, trunk: Trunk, message: Outgoing) -> None:
        """Send an update whose originator was told that it waits. First the journal says that it is sent: so if the
        switch stops meanwhile, what does not say so was not, and can still be sent as promised.
        """

        def durable(failure: JournalUnavailable | None) -> None:
            trunk.clearing = False
            line = trunk.active
            if failure is not None or line is None or not trunk.room:
                trunk.outbox.give_back(message)
                return
            self._submit(trunk, line, message, noted=True)
            self._pump(trunk)

        try:
            self._writer.store(EventRecord(message.msn, clock.wall_us(), Life.SENT, trunk.address), durable)
            trunk.clearing = True
        except JournalUnavailable:
            trunk.outbox.give_back(message)

    def _begin_clock(self, name: str, message: Outgoing) -> None:
        """A message that was told to wait has gone out: its time-out begins now."""
        message.expires_us = None
        entry = self.pending.find(message.header or "")
        if entry is not None:
            self.pending.postpone(entry, name, clock.monotonic() + entry.timeout_of(name))

    def _withhold(self, name: str, message: Outgoing) -> bool:
        """Tell whether a message that had to wait may not be sent any more; its originator is told.

        Somebody may have been suspended while the line was down or full, or while the switch was.
        """
        entry = self.pending.find(message.header or "")
        against = objection(self._point, entry) if entry is not None else None
        if entry is None or against is None:
            return False
        refusal: Refusal = not_sent(name, against)
        if message.possible_duplicate:
            # It was on its way once: that the state has it cannot be ruled out.
            told = f"{name} gave no answer, and it is not sent again: {against.reason}"
            refusal = OutcomeUnknown(told) if message.update else NoAnswerInTime(told)
        self.give_up(entry, name, refusal)
        return True

    # --- what lines do ------------------------------------------------------------------------------

    def line_opened(self, line: LinePort) -> None:
        """A line takes messages: send what waits for it."""
        trunk = self._of_line[line.name]
        trunk.opened(line, clock.monotonic())
        self._pump(trunk)

    def line_writable(self, line: LinePort) -> None:
        """The host reads again, or the line was released."""
        self._pump(self._of_line[line.name])

    def line_lost(self, line: LinePort, reason: str) -> None:
        """A line is lost. What it had not acknowledged: inquiries go out on its backup, or wait for it to come back;
        updates are reported and never sent again blindly (E404).
        """
        trunk, at = self._of_line[line.name], clock.wall_us()
        for message in trunk.lost(line):
            if message.update:
                trunk.outbox.drop(message)
                refusal = OutcomeUnknown(f"{line.name} was lost; check before sending again")
                self._give_up_sent(trunk.name, message, refusal)
            else:
                self._writer.note(EventRecord(message.msn, at, Life.RETURNED, trunk.address, reason))
        if trunk.active is not None and trunk.active is not line:
            log.warning("line.carried_by_other", line=trunk.name, carrier=trunk.active.name)
            self._pump(trunk)

    def line_answered(self, line: LinePort, sequence: int, refused: str | None) -> None:
        """A line has taken a message over, or refused it."""
        trunk = self._of_line[line.name]
        message = trunk.outbox.answered(sequence, line.name)
        if message is None:
            return
        if refused is None:
            self._taken_over(trunk, message)
            self._pump(trunk)
            return
        self.unanswered.heard(trunk.name, clock.monotonic())
        if trunk.try_again(message, refused, clock.monotonic()):
            self._writer.note(EventRecord(message.msn, clock.wall_us(), Life.RETURNED, trunk.address, refused))
        else:
            self._give_up_sent(trunk.name, message, RefusedByState(f"{line.name} refused it: {refused}"))
            if message.attempts >= SUBMISSION_ATTEMPTS_MAX:
                self._deliveries.to_operator(None, message, f"refused {message.attempts} times by {line.name}")
        self._pump(trunk)

    def _taken_over(self, trunk: Trunk, message: Outgoing) -> None:
        at = clock.wall_us()
        self._writer.note(EventRecord(message.msn, at, Life.ACKNOWLEDGED, trunk.address))
        entry = self.pending.find(message.header or "") if message.kind in NO_ANSWER_DUE else None
        if entry is not None:
            self._writer.note(EventRecord(message.msn, at, Life.ANSWERED, trunk.address, "taken over; none is due"))
            self.pending.settle(entry, trunk.name)
            self.unanswered.answered(trunk.name, entry.mnemonic, entry.msn, clock.monotonic())
        if message.kind == HIT_CONFIRMATION and self._confirmations is not None:
            self._confirmations.acknowledged(message)

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
            entry = self.pending.find(header)
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
        msn, address, trunk = self._writer.allot(), self._address(entry), self._of_line[line.name]
        repeated = self._repeats.note(trunk.name, text, clock.monotonic())
        late = trunk.name in entry.failed
        marks = ", ".join(mark for mark, holds in ((LATE, late), (REPEATED, repeated)) if holds)
        beside = self._beside(rest, None, msn, received_us)
        reply = partial(self._reply, entry, msn, "response", rest, line.name, received_us)

        def durable(failure: JournalUnavailable | None) -> None:
            line.answer(connection, sequence, failure or msn)
            if failure is not None:
                if not repeated:
                    self._repeats.forget(trunk.name, text)
                return
            self.pending.settle(entry, trunk.name)
            self.unanswered.answered(trunk.name, entry.mnemonic, entry.msn, clock.monotonic())
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
                EventRecord(msn, received_us, Life.ROUTED, address, marks or None),
                EventRecord(entry.msn, received_us, Life.ANSWERED, trunk.address, f"msn {msn}"),
                *beside.events,
            ),
            durable,
        )

    def _beside(self, rest: str, terminal: str | None, msn: int, received_us: int) -> Beside:
        """What a message from a line means for the clocks of hit confirmations."""
        if self._confirmations is None:
            return NOTHING
        return self._confirmations.received(rest, terminal, msn, received_us)

    def _address(self, entry: Pending) -> str:
        """Where an answer goes: to who asked; if they have left and their pool says so, to its destination.

        Never to the mnemonic: somebody else may hold it by now (C-POOL).
        """
        if entry.address.startswith("user:") and not self._deliveries.attended(entry.address):
            device = self._point.directory.late_answers_device(entry.mnemonic)
            if device is not None:
                return device.address
        return entry.address

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
            transaction=entry.transaction,
            awaiting=len(entry.awaited),
        )

    def _take_unsolicited(
        self, line: LinePort, sequence: int, received_us: int, text: str, header: str, rest: str
    ) -> None:
        mnemonic = header[:MNEMONIC_CHARS]
        device = self._point.directory.unsolicited_device(mnemonic)
        connection, msn, trunk = line.connection, self._writer.allot(), self._of_line[line.name]
        repeated = self._repeats.note(trunk.name, text, clock.monotonic())
        kind = HIT_CONFIRMATION if is_request(rest) else "unsolicited"
        why, legs = f"no destination for {mnemonic}", NO_LEGS
        if device is not None:
            legs = unsolicited_legs(
                self._point.directory,
                device,
                kind,
                REPEATED if repeated else None,
                must_be_seen=must_be_staffed(rest),
            )
        terminal = next((leg.address for leg in legs.legs if leg.address is not None), None)
        beside = self._beside(rest, terminal, msn, received_us)
        priority = URGENT if beside.request is not None and beside.request.urgent else ROUTINE
        events = legs.events(msn, received_us) or [
            EventRecord(msn, received_us, Life.OPERATOR_QUEUE, None, why),
            EventRecord(msn, received_us, Life.ROUTED, OPERATOR_QUEUE, why),
        ]
        rule = self.intercepted(mnemonic)
        if rule is not None:
            events, legs = [EventRecord(msn, received_us, Life.ROUTED, INTERCEPT, f"rule {rule}")], NO_LEGS

        def durable(failure: JournalUnavailable | None) -> None:
            line.answer(connection, sequence, failure or msn)
            if failure is not None:
                if not repeated:
                    self._repeats.forget(trunk.name, text)
                return
            self._metrics.messages[kind, "accepted"] += 1
            self.unanswered.heard(trunk.name, clock.monotonic())
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
            if self.services.heard(trunk, rest, received_us):
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

    # --- giving up ----------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Give up destinations whose time has come, and tell the originator; look after the trunks."""
        for entry, name in self.pending.expire(now):
            trunk = self.trunks.get(name)
            waiting = trunk.outbox.find(entry.msn) if trunk is not None else None
            if waiting is not None and waiting.expires_us is not None:
                continue  # it waits by word of the state or of an operator, and has a time of its own
            self.give_up(entry, name, self._overdue(entry, name))
        now_us = clock.wall_us()
        for trunk in self.trunks.values():
            for message in trunk.outbox.expire(now_us):
                self._give_up_sent(
                    trunk.name, message, LineOutOfService(f"{trunk.name} stayed out of service; not sent")
                )
            if trunk.tick(now):
                self._pump(trunk)
        for trunk in self.services.tick(now_us):
            self._pump(trunk)
        self.unanswered.report(now, self._point.audit)
        if self._confirmations is not None:
            self._confirmations.tick(now)

    def _overdue(self, entry: Pending, name: str) -> Refusal:
        trunk = self.trunks.get(name)
        unsent = trunk.remove(entry.msn) if trunk else None
        if unsent is not None and not unsent.possible_duplicate:
            return LineOutOfService(f"{name} is out of service; not sent")
        if entry.update:
            return OutcomeUnknown(f"{name} gave no answer; check before sending again")
        return NoAnswerInTime(f"{name} gave no answer in {entry.timeout_of(name):.0f} s")

    def _give_up_sent(self, name: str, message: Outgoing, refusal: Refusal) -> None:
        entry = self.pending.find(message.header or "")
        if entry is not None:
            self.give_up(entry, name, refusal)

    def give_up(self, entry: Pending, name: str, refusal: Refusal) -> None:
        """Tell an originator, by a journaled status message, that a destination will not answer."""
        if name not in entry.awaited or name in entry.given_up:
            return  # it has answered, or its originator is being told
        entry.given_up.add(name)
        text = f"{refusal.code} {refusal.reason}{self._others(entry, name)}"

        def durable(failure: JournalUnavailable | None) -> None:
            entry.given_up.discard(name)
            if failure is not None:
                self.pending.postpone(entry, name, clock.monotonic() + POSTPONE_S)
                return
            entry.failed.add(name)
            self.pending.settle(entry, name)
            self.unanswered.given_up(name, entry.mnemonic, entry.msn, clock.monotonic())
            # With several lines it may have gone out on another.
            if isinstance(refusal, LineOutOfService) and len(entry.lines) <= 1 and self._confirmations is not None:
                self._confirmations.not_sent(entry.msn)
            log.info("message.given_up", transaction=entry.msn, line=name, code=refusal.code)

        ended = [EventRecord(entry.msn, clock.wall_us(), _LIFE[type(refusal)], f"line:{name}", text)]
        if isinstance(refusal, OutcomeUnknown):
            # Somebody has to find out, and the originator may be gone.
            ended.append(EventRecord(entry.msn, ended[0].at, Life.ROUTED, OPERATOR_QUEUE, text))
        self._status(entry, name, refusal.code, text, ended, durable)

    def tell(self, entry: Pending, name: str | None, refusal: Refusal) -> None:
        """Tell an originator how it stands with a destination, by a journaled status message; it stays awaited.

        Args:
            name: The destination; None is the whole message.
        """
        self._status(entry, name, refusal.code, f"{refusal.code} {refusal.reason}", [], lambda _failure: None)

    def _status(
        self,
        entry: Pending,
        name: str | None,
        code: str,
        text: str,
        events: list[EventRecord],
        then: Callable[[JournalUnavailable | None], None],
    ) -> None:
        at, address = clock.wall_us(), self._address(entry)

        def durable(failure: JournalUnavailable | None) -> None:
            then(failure)
            if failure is not None:
                return
            for event in events:
                if event.destination == OPERATOR_QUEUE:
                    self._deliveries.operator_queue.add(event.msn, f"line:{name}", text, at)
            self._metrics.messages["status", code] += 1
            self._deliveries.push(address, self._reply(entry, msn, "status", text, name or "switch", at))

        try:
            msn = self._writer.allot()
            self._writer.append(
                MessageRecord(
                    msn, at, Direction.LOCAL, "status", device=entry.device, line=name, user=entry.user,
                    agency=entry.agency, ori=entry.ori, mnemonic=entry.mnemonic, header=entry.header,
                    own_header=entry.own_header if entry.host else None, text=text, transaction=entry.transaction,
                    ref=entry.ref, priority=entry.priority, code=code,
                ),
                (EventRecord(msn, at, Life.ROUTED, address), *events),
                durable,
            )  # fmt: skip
        except JournalUnavailable as failure:
            durable(failure)

    def _others(self, entry: Pending, name: str) -> str:
        """Say of an originator's other destinations whether they were asked."""
        said = []
        for other in entry.lines:
            if other == name:
                continue
            trunk = self.trunks.get(other)
            if other in entry.failed or other in entry.given_up:
                said.append(f"{other}: no")
            elif trunk is not None and trunk.outbox.find(entry.msn) is not None:
                said.append(f"{other}: waits")
            else:
                said.append(f"{other}: yes")
        return f" (asked {', '.join(said)})" if said else ""


def not_sent(name: str, against: Refusal) -> LineOutOfService:
    """Make what an originator is told whose message may not be sent any more."""
    return LineOutOfService(f"not sent to {name}: {against.reason}")


_LIFE: dict[type[Refusal], Life] = {
    LineOutOfService: Life.NOT_SENT,
    NoAnswerInTime: Life.EXPIRED,
    OutcomeUnknown: Life.OUTCOME_UNKNOWN,
    RefusedByState: Life.REFUSED_BY_PEER,
}
