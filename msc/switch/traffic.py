"""Traffic with the lines: what goes out on them, when, and on which; and what is given up.

What they send is `arrivals.py`'s, what originators are told `originator.py`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
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
from msc.limits import LINE_LOSSES_MAX, SUBMISSION_ATTEMPTS_MAX
from msc.log import get_logger
from msc.metrics import Metrics
from msc.protocol.catalog import Function
from msc.settings import QueueSettings
from msc.switch.arrivals import Arrivals
from msc.switch.confirmations import KIND as HIT_CONFIRMATION
from msc.switch.confirmations import Confirmations
from msc.switch.delivery import Deliveries
from msc.switch.intake import objection
from msc.switch.lifecycle import Lifecycle
from msc.switch.originator import Originators, not_sent
from msc.switch.port import LinePort
from msc.switch.service import ServiceStates
from msc.switch.silence import SilenceWatch
from msc.switch.trunk import Trunk
from msc.transit.event import Facts, Life
from msc.transit.repeat import Repeats
from msc.transit.transaction import Stay

log = get_logger("switch")

NO_ANSWER_DUE: Final = frozenset({Function.ADMINISTRATIVE, Function.HIT_CONFIRMATION})
"""What is for somebody beyond the state, who may answer in a message of their own: it ends when it is taken over."""


class LineTraffic:
    """Sends to the lines, and keeps the clocks of what they owe."""

    def __init__(
        self,
        *,
        point: AccessControlPoint,
        lifecycle: Lifecycle,
        deliveries: Deliveries,
        metrics: Metrics,
        kept: QueueSettings,
        confirmations: Confirmations | None,
        services: ServiceStates,
        unanswered: SilenceWatch,
        repeats: Repeats,
        intercepted: Callable[[str], str | None],
    ) -> None:
        self.transit = lifecycle.transit
        self.services = services
        self.unanswered = unanswered
        self._confirmations = confirmations
        self._kept = kept
        self._point = point
        self._lifecycle = lifecycle
        self._writer = lifecycle.writer
        self._deliveries = deliveries
        self.trunks: dict[str, Trunk] = {}
        """The destinations there are, by the names of their primary lines."""
        self._of_line: dict[str, Trunk] = {}
        self.originators = Originators(
            point=point,
            lifecycle=lifecycle,
            deliveries=deliveries,
            metrics=metrics,
            unanswered=self.unanswered,
            confirmations=confirmations,
        )
        self.arrivals = Arrivals(
            point=point,
            lifecycle=lifecycle,
            deliveries=deliveries,
            metrics=metrics,
            originators=self.originators,
            confirmations=confirmations,
            services=self.services,
            unanswered=self.unanswered,
            repeats=repeats,
            intercepted=intercepted,
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

    def send(self, stays: Iterable[Stay]) -> None:
        """Send a message that is in the journal and may be sent to its lines.

        What becomes of it is decided for all of them before its originator is told of any: what is said of one line
        also says whether the others were asked.
        """
        going: list[tuple[Stay, Trunk, str | None]] = []
        refused: list[tuple[Stay, Refusal]] = []
        for stay in stays:
            trunk = self.trunks[stay.name]
            why = trunk.waits(stay.database)
            if why is None and trunk.active is None:
                refusal = LineOutOfService(f"{stay.name} is out of service; not sent")
            elif trunk.outbox.full_for(stay):
                refusal = LineOutOfService(f"{stay.name} has too many messages waiting; not sent")
            else:
                going.append((stay, trunk, why))
                continue
            if self.originators.decide(stay, refusal):
                refused.append((stay, refusal))
        for stay, trunk, why in going:
            trunk.outbox.push(stay)
            if why is None:
                self._pump(trunk, cleared=stay)
            else:
                self._tell_waiting(stay, why)
        for stay, against in refused:
            self.originators.say(stay, against)

    def send_again(self, stay: Stay) -> None:
        """Queue an inquiry that a stop of the switch left unanswered, for when the line is open."""
        stay.doubtful = True
        self.trunks[stay.name].outbox.push(stay)

    def wait_again(self, stay: Stay) -> None:
        """Queue what its originator was told to wait with, and what a stop of the switch left waiting."""
        # The journal knows of an update that it was not sent; of an inquiry the last moment may be missing.
        stay.doubtful = not stay.update
        stay.expires_us = stay.since_us + int(self._kept.of(stay.kind) * 1e6)
        self.trunks[stay.name].outbox.push(stay)

    def _tell_waiting(self, stay: Stay, why: str) -> None:
        """Tell an originator that the message waits, and how long it will."""
        # From now on: the operator may have kept it for a while before.
        stay.expires_us = clock.wall_us() + int(self._kept.of(stay.kind) * 1e6)
        self._lifecycle.note(stay, Life.QUEUED, {"why": why})
        told = QueuedForLater(f"{why}; queued, will be sent to {stay.name}")
        self.originators.tell(stay.transaction, stay.name, told)

    def _pump(self, trunk: Trunk, cleared: Stay | None = None) -> None:
        """Send what waits, as far as the line takes it, and as its senders still may.

        Args:
            cleared: A message whose sender has just been looked at; all others have waited.
        """
        outbox = trunk.outbox
        while trunk.room > 0 and self._writer.available:
            stay = outbox.take()
            if stay is None:
                break
            line = trunk.active
            assert line is not None
            if stay is not cleared and self._withhold(stay):
                continue
            if stay.expires_us is not None and stay.update:
                self._clear(trunk, stay)
            else:
                self._submit(trunk, line, stay)

    def _submit(self, trunk: Trunk, line: LinePort, stay: Stay) -> None:
        transaction = stay.transaction
        try:
            sequence = line.send(transaction.line_text().encode())
        except Refusal as refusal:
            # Too long, or of characters that this line's driver cannot carry.
            self.originators.give_up(stay, LineOutOfService(f"{line.name} cannot carry it: {refusal}; not sent"))
            return
        trunk.outbox.sent(sequence, stay, line.name)
        if line is not trunk.primary:
            self._lifecycle.note(stay, Life.ALTERNATE_ROUTED, {"carrier": line.name})
        self._lifecycle.note(stay, Life.SENT)
        self.unanswered.sent(trunk.name, transaction.mnemonic, transaction.msn, clock.monotonic())
        if stay.expires_us is not None:
            # It was told to wait, and has gone out: its time-out begins now.
            stay.expires_us = None
            self.transit.postpone(stay, clock.monotonic() + transaction.timeout_of(stay))

    def _clear(self, trunk: Trunk, stay: Stay) -> None:
        """Send an update whose originator was told that it waits. First the journal says that it may go out: so if
        the switch stops meanwhile, what does not say so did not, and can still be sent as promised.
        """
        try:
            self._lifecycle.store(stay, Life.CLEARED, partial(self._cleared, trunk, stay))
            trunk.clearing = stay
        except JournalUnavailable:
            trunk.outbox.give_back(stay)

    def _cleared(self, trunk: Trunk, stay: Stay, failure: JournalUnavailable | None) -> None:
        trunk.clearing = None
        line = trunk.active
        if failure is not None or line is None or not trunk.room:
            trunk.outbox.give_back(stay)
            return
        self._submit(trunk, line, stay)
        self._pump(trunk)

    def _withhold(self, stay: Stay) -> bool:
        """Tell whether a message that had to wait may not be sent any more; its originator is told, or knows already.

        Somebody may have been suspended while the line was down or full, or while the switch was.
        """
        if _is_over(stay):
            return True
        against = objection(self._point, stay.transaction)
        if against is None:
            return False
        refusal: Refusal = not_sent(stay.name, against)
        if stay.possible_duplicate:
            # It was on its way once: that the state has it cannot be ruled out.
            told = f"{stay.name} gave no answer, and it is not sent again: {against.reason}"
            refusal = OutcomeUnknown(told) if stay.update else NoAnswerInTime(told)
        self.originators.give_up(stay, refusal)
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
        updates are reported and never sent again blindly (E404). What was waited for when the line was lost, time and
        again, is what the host chokes on: an operator gets it, and the rest goes on.
        """
        trunk = self._of_line[line.name]
        for place, stay in enumerate(trunk.lost(line)):
            if stay.update:
                trunk.outbox.drop(stay)
                self.originators.give_up(stay, OutcomeUnknown(f"{line.name} was lost; check before sending again"))
            elif not _is_over(stay):
                facts: Facts = {"why": reason, "unanswered": True} if place == 0 else {"why": reason}
                self._lifecycle.note(stay, Life.RETURNED, facts)
                if stay.returns >= LINE_LOSSES_MAX:
                    trunk.outbox.drop(stay)
                    self._choked_on(stay)
        if trunk.active is not None and trunk.active is not line:
            log.warning("line.carried_by_other", line=trunk.name, carrier=trunk.active.name)
            self._pump(trunk)

    def _choked_on(self, stay: Stay) -> None:
        why = f"{stay.name} was lost {stay.returns} times while it waited for the acknowledgement of this message"
        self.originators.give_up(stay, RefusedByState(f"{why}; not sent again, and in the operator's queue"))
        self._deliveries.to_operator(stay, why, ended=False)

    def line_answered(self, line: LinePort, sequence: int, refused: str | None) -> None:
        """A line has taken a message over, or refused it."""
        trunk = self._of_line[line.name]
        stay = trunk.outbox.answered(sequence, line.name)
        if stay is None:
            return
        if refused is None:
            self._taken_over(trunk, stay)
            if trunk.outbox.waiting:
                self._pump(trunk)
            return
        self.unanswered.heard(trunk.name, clock.monotonic())
        if not _is_over(stay):
            self._refused(trunk, line, stay, refused)
        self._pump(trunk)

    def _refused(self, trunk: Trunk, line: LinePort, stay: Stay, refused: str) -> None:
        if trunk.is_worth_another_try(stay, refused):
            code, _, why = refused.partition(" ")
            self._lifecycle.note(stay, Life.RETURNED, {"code": code, "why": why})
            trunk.try_again(stay, clock.monotonic())
            return
        attempts = stay.attempts + 1
        self.originators.give_up(stay, RefusedByState(f"{line.name} refused it: {refused}"))
        if attempts >= SUBMISSION_ATTEMPTS_MAX:
            self._deliveries.to_operator(stay, f"refused {attempts} times by {line.name}", ended=False)

    def _taken_over(self, trunk: Trunk, stay: Stay) -> None:
        self._lifecycle.note(stay, Life.ACKNOWLEDGED)
        if stay.transaction.message.kind in NO_ANSWER_DUE and stay.open:
            self._lifecycle.note(stay, Life.ANSWERED, {"none_due": True})
            transaction = stay.transaction
            self.unanswered.answered(trunk.name, transaction.mnemonic, transaction.msn, clock.monotonic())
        if stay.kind == HIT_CONFIRMATION and self._confirmations is not None:
            self._confirmations.acknowledged(stay)

    def line_message(self, line: LinePort, sequence: int, payload: bytes) -> None:
        """A line's message: an answer to an inquiry, or unsolicited. It is acknowledged or refused."""
        self.arrivals.take(line, self._of_line[line.name], sequence, payload)

    # --- giving up ----------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Give up destinations whose time has come, and tell the originator; look after the trunks."""
        for stay in self.transit.expire(now):
            # What was told to wait has a time of its own.
            if stay.expires_us is None or stay.name not in self.trunks:
                self.originators.give_up(stay, self._overdue(stay))
        now_us = clock.wall_us()
        for trunk in self.trunks.values():
            for stay in trunk.outbox.expire(now_us):
                self.originators.give_up(stay, LineOutOfService(f"{trunk.name} stayed out of service; not sent"))
            # Also what the journal, while it was away, kept from going out.
            if trunk.tick(now) or trunk.outbox.waiting:
                self._pump(trunk)
        for trunk in self.services.tick(now_us):
            self._pump(trunk)
        self.unanswered.report(now, self._point.audit)
        if self._confirmations is not None:
            self._confirmations.tick(now)

    def _overdue(self, stay: Stay) -> Refusal:
        trunk = self.trunks.get(stay.name)
        unsent = trunk.remove(stay.msn) if trunk else None
        if unsent is not None and not unsent.possible_duplicate:
            return LineOutOfService(f"{stay.name} is out of service; not sent")
        if stay.update:
            return OutcomeUnknown(f"{stay.name} gave no answer; check before sending again")
        return NoAnswerInTime(f"{stay.name} gave no answer in {stay.transaction.timeout_of(stay):.0f} s")


def _is_over(stay: Stay) -> bool:
    """Tell whether a message was answered or given up although the line had not acknowledged it: it is not to be
    sent again, and an update that was given up must not be.
    """
    return not stay.open or stay.gave_up
