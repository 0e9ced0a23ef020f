"""Traffic with the lines: what goes out on them, when, and on which; and what is given up.

What they send is `arrivals.py`'s, what originators are told `originator.py`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msc import clock
from msc.access.control_point import AccessControlPoint
from msc.errors import (
    JournalUnavailable,
    LineOutOfService,
    NoAnswerInTime,
    OutcomeUnknown,
    QueuedForLater,
    Refusal,
    RefusedByState,
)
from msc.journal.writer import JournalWriter
from msc.limits import SUBMISSION_ATTEMPTS_MAX
from msc.log import get_logger
from msc.metrics import Metrics
from msc.protocol.catalog import Function
from msc.protocol.header import MNEMONIC_CHARS
from msc.settings import QueueSettings
from msc.switch.arrivals import Arrivals
from msc.switch.confirmations import KIND as HIT_CONFIRMATION
from msc.switch.confirmations import Confirmations
from msc.switch.delivery import Deliveries
from msc.switch.intake import objection
from msc.switch.originator import Originators, not_sent
from msc.switch.port import LinePort
from msc.switch.service import ServiceStates
from msc.switch.silence import SilenceWatch
from msc.switch.trunk import Trunk
from msc.transit.event import Event, Life
from msc.transit.outbox import Outgoing, Precedence
from msc.transit.pending import Pending, PendingTable
from msc.transit.repeat import Repeats

log = get_logger("switch")

NO_ANSWER_DUE: Final = frozenset({Function.ADMINISTRATIVE, Function.HIT_CONFIRMATION})
"""What is for somebody beyond the state, who may answer in a message of their own: it ends when it is taken over."""


class LineTraffic:
    """Sends to the lines, and keeps the clocks of what they owe."""

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
        self._kept = kept or QueueSettings()
        self._point = point
        self._writer = writer
        self._deliveries = deliveries
        self.trunks: dict[str, Trunk] = {}
        """The destinations there are, by the names of their primary lines."""
        self._of_line: dict[str, Trunk] = {}
        self.originators = Originators(
            point=point,
            writer=writer,
            pending=pending,
            deliveries=deliveries,
            metrics=metrics,
            trunks=self.trunks,
            unanswered=self.unanswered,
            confirmations=confirmations,
        )
        self.arrivals = Arrivals(
            point=point,
            writer=writer,
            pending=pending,
            deliveries=deliveries,
            metrics=metrics,
            originators=self.originators,
            confirmations=confirmations,
            services=self.services,
            unanswered=self.unanswered,
            repeats=repeats or Repeats(),
            pump=self._pump,
        )

    def connect(self, trunks: Sequence[Trunk]) -> None:
        """Learn the destinations there are; once, before traffic."""
        self.trunks.update({trunk.name: trunk for trunk in trunks})
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
            self.originators.give_up(entry, name, LineOutOfService(f"{name} is out of service; not sent"))
        elif trunk.outbox.full_for(message):
            self.originators.give_up(entry, name, LineOutOfService(f"{name} has too many messages waiting; not sent"))
        else:
            trunk.outbox.push(message)
            if why is not None:
                self._tell_waiting(entry, trunk, message, why)
            else:
                self._pump(trunk, cleared=entry.msn)

    def send_again(self, entry: Pending, name: str, text: str) -> None:
        """Queue an inquiry that a stop of the switch left unanswered, for when the line is open."""
        self.trunks[name].outbox.push(self._to_line(entry, text, possible_duplicate=True))

    def wait_again(
        self, entry: Pending, name: str, text: str, since_us: int, precedence: Precedence | None = None
    ) -> None:
        """Queue what its originator was told to wait with, and what a stop of the switch left waiting.

        Args:
            since_us: Wall time since which it waits.
            precedence: The class an operator put it into, if any did.
        """
        # The journal knows of an update that it was not sent; of an inquiry the last moment may be missing.
        message = self._to_line(entry, text, possible_duplicate=not entry.update)
        message.expires_us = since_us + int(self._kept.of(message.kind) * 1e6)
        if precedence is not None:
            message.precedence = precedence
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
        self._writer.note(Event(entry.msn, clock.wall_us(), Life.QUEUED, trunk.address, why))
        self.originators.tell(entry, trunk.name, QueuedForLater(f"{why}; queued, will be sent to {trunk.name}"))

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
            self._writer.note(Event(message.msn, at, Life.ALTERNATE_ROUTED, trunk.address, line.name))
        if not noted:
            self._writer.note(Event(message.msn, at, Life.SENT, trunk.address))
        self.unanswered.sent(trunk.name, (message.header or "")[:MNEMONIC_CHARS], message.msn, clock.monotonic())
        if message.expires_us is not None:
            self._begin_clock(trunk.name, message)

    def _clear(self, trunk: Trunk, message: Outgoing) -> None:
        """Send an update whose originator was told that it waits. First the journal says that it is sent: so if the
        switch stops meanwhile, what does not say so was not, and can still be sent as promised.
        """

        def durable(failure: JournalUnavailable | None) -> None:
            trunk.clearing = None
            line = trunk.active
            if failure is not None or line is None or not trunk.room:
                trunk.outbox.give_back(message)
                return
            self._submit(trunk, line, message, noted=True)
            self._pump(trunk)

        try:
            self._writer.store(Event(message.msn, clock.wall_us(), Life.SENT, trunk.address), durable)
            trunk.clearing = message
        except JournalUnavailable:
            trunk.outbox.give_back(message)

    def _begin_clock(self, name: str, message: Outgoing) -> None:
        """A message that was told to wait has gone out: its time-out begins now."""
        message.expires_us = None
        entry = self.pending.find(message.header or "")
        if entry is not None:
            self.pending.postpone(entry, name, clock.monotonic() + entry.timeout_of(name))

    def _withhold(self, name: str, message: Outgoing) -> bool:
        """Tell whether a message that had to wait may not be sent any more; its originator is told, or knows already.

        Somebody may have been suspended while the line was down or full, or while the switch was.
        """
        if self._has_ended(name, message):
            return True
        entry = self.pending.find(message.header or "")
        against = objection(self._point, entry) if entry is not None else None
        if entry is None or against is None:
            return False
        refusal: Refusal = not_sent(name, against)
        if message.possible_duplicate:
            # It was on its way once: that the state has it cannot be ruled out.
            told = f"{name} gave no answer, and it is not sent again: {against.reason}"
            refusal = OutcomeUnknown(told) if message.update else NoAnswerInTime(told)
        self.originators.give_up(entry, name, refusal)
        return True

    def _has_ended(self, name: str, message: Outgoing) -> bool:
        """Tell whether a message was answered or given up although the line had not acknowledged it: it is not to be
        sent again, and an update that was given up must not be.
        """
        entry = self.pending.find(message.header or "")
        return entry is not None and (name not in entry.awaited or name in entry.given_up)

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
            elif not self._has_ended(trunk.name, message):
                self._writer.note(Event(message.msn, at, Life.RETURNED, trunk.address, reason))
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
        if not self._has_ended(trunk.name, message):
            self._refused(trunk, line, message, refused)
        self._pump(trunk)

    def _refused(self, trunk: Trunk, line: LinePort, message: Outgoing, refused: str) -> None:
        if trunk.try_again(message, refused, clock.monotonic()):
            self._writer.note(Event(message.msn, clock.wall_us(), Life.RETURNED, trunk.address, refused))
            return
        self._give_up_sent(trunk.name, message, RefusedByState(f"{line.name} refused it: {refused}"))
        if message.attempts >= SUBMISSION_ATTEMPTS_MAX:
            self._deliveries.to_operator(None, message, f"refused {message.attempts} times by {line.name}")

    def _taken_over(self, trunk: Trunk, message: Outgoing) -> None:
        at = clock.wall_us()
        self._writer.note(Event(message.msn, at, Life.ACKNOWLEDGED, trunk.address))
        entry = self.pending.find(message.header or "") if message.kind in NO_ANSWER_DUE else None
        if entry is not None:
            self._writer.note(Event(message.msn, at, Life.ANSWERED, trunk.address, "taken over; none is due"))
            self.pending.settle(entry, trunk.name)
            self.unanswered.answered(trunk.name, entry.mnemonic, entry.msn, clock.monotonic())
        if message.kind == HIT_CONFIRMATION and self._confirmations is not None:
            self._confirmations.acknowledged(message)

    def line_message(self, line: LinePort, sequence: int, payload: bytes) -> None:
        """A line's message: an answer to an inquiry, or unsolicited. It is acknowledged or refused."""
        self.arrivals.take(line, self._of_line[line.name], sequence, payload)

    # --- giving up ----------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Give up destinations whose time has come, and tell the originator; look after the trunks."""
        for entry, name in self.pending.expire(now):
            trunk = self.trunks.get(name)
            if trunk is not None and trunk.was_told_to_wait(entry.msn):
                continue
            self.originators.give_up(entry, name, self._overdue(entry, name))
        now_us = clock.wall_us()
        for trunk in self.trunks.values():
            for message in trunk.outbox.expire(now_us):
                self._give_up_sent(
                    trunk.name, message, LineOutOfService(f"{trunk.name} stayed out of service; not sent")
                )
            # Also what the journal, while it was away, kept from going out.
            if trunk.tick(now) or trunk.outbox.waiting:
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
            self.originators.give_up(entry, name, refusal)
