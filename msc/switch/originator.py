"""Telling originators how it stands with their messages, by status messages that are journaled like any other.

Every destination of a message ends: it answers, or its originator is told (E401, E403, E404, E405).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msc import clock
from msc.access.control_point import AccessControlPoint
from msc.errors import (
    JournalUnavailable,
    LineOutOfService,
    NoAnswerInTime,
    OutcomeUnknown,
    Refusal,
    RefusedByState,
)
from msc.journal.writer import JournalWriter
from msc.log import get_logger
from msc.metrics import Metrics
from msc.switch.confirmations import Confirmations
from msc.switch.delivery import Deliveries
from msc.switch.silence import SilenceWatch
from msc.switch.trunk import Trunk
from msc.transit.event import OPERATOR_QUEUE, Event, Life
from msc.transit.message import Direction, MessageRecord
from msc.transit.outbox import Outgoing
from msc.transit.pending import Pending, PendingTable

log = get_logger("switch")

POSTPONE_S = 1.0
"""When the journal cannot take a status message, its inquiry is looked at again after this."""


class Originators:
    """Tells them.

    Args:
        trunks: The destinations there are; filled later.
    """

    def __init__(
        self,
        *,
        point: AccessControlPoint,
        writer: JournalWriter,
        pending: PendingTable,
        deliveries: Deliveries,
        metrics: Metrics,
        trunks: Mapping[str, Trunk],
        unanswered: SilenceWatch,
        confirmations: Confirmations | None,
    ) -> None:
        self._point = point
        self._writer = writer
        self._pending = pending
        self._deliveries = deliveries
        self._metrics = metrics
        self._trunks = trunks
        self._unanswered = unanswered
        self._confirmations = confirmations

    def address(self, entry: Pending) -> str:
        """Where an answer goes: to who asked; if they have left and their pool says so, to its destination.

        Never to the mnemonic: somebody else may hold it by now (C-POOL).
        """
        if entry.address.startswith("user:") and not self._deliveries.attended(entry.address):
            device = self._point.directory.late_answers_device(entry.mnemonic)
            if device is not None:
                return device.address
        return entry.address

    @staticmethod
    def reply(entry: Pending, msn: int, kind: str, text: str, source: str, received_us: int) -> Outgoing:
        """Make what an originator gets: an answer, or a status message."""
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

    def give_up(self, entry: Pending, name: str, refusal: Refusal, *, ended: bool = False) -> None:
        """Tell an originator, by a journaled status message, that a destination will not answer.

        Args:
            ended: The journal says already that it has ended there.
        """
        if name not in entry.awaited or name in entry.given_up:
            return  # it has answered, or its originator is being told
        if name in entry.answering:
            # The journal is about to say that it has answered; if that fails, it is looked at again.
            self._pending.postpone(entry, name, clock.monotonic() + POSTPONE_S)
            return
        entry.given_up.add(name)
        text = f"{refusal.code} {refusal.reason}{self._others(entry, name)}"

        def durable(failure: JournalUnavailable | None) -> None:
            entry.given_up.discard(name)
            if failure is not None:
                self._pending.postpone(entry, name, clock.monotonic() + POSTPONE_S)
                return
            entry.failed.add(name)
            self._pending.settle(entry, name)
            self._unanswered.given_up(name, entry.mnemonic, entry.msn, clock.monotonic())
            # With several lines it may have gone out on another.
            if isinstance(refusal, LineOutOfService) and len(entry.lines) <= 1 and self._confirmations is not None:
                self._confirmations.not_sent(entry.msn)
            log.info("message.given_up", transaction=entry.msn, line=name, code=refusal.code)

        at, events = clock.wall_us(), []
        if not ended:
            events.append(Event(entry.msn, at, _LIFE[type(refusal)], f"line:{name}", text))
        if isinstance(refusal, OutcomeUnknown):
            # Somebody has to find out, and the originator may be gone.
            events.append(Event(entry.msn, at, Life.ROUTED, OPERATOR_QUEUE, text))
        self._status(entry, name, refusal.code, text, events, durable)

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
        events: list[Event],
        then: Callable[[JournalUnavailable | None], None],
    ) -> None:
        at, address = clock.wall_us(), self.address(entry)

        def durable(failure: JournalUnavailable | None) -> None:
            then(failure)
            if failure is not None:
                return
            for event in events:
                if event.destination == OPERATOR_QUEUE:
                    self._deliveries.operator_queue.add(event.msn, f"line:{name}", text, at)
            self._metrics.messages["status", code] += 1
            self._deliveries.push(address, self.reply(entry, msn, "status", text, name or "switch", at))

        try:
            msn = self._writer.allot()
            self._writer.append(
                MessageRecord(
                    msn, at, Direction.LOCAL, "status", device=entry.device, line=name, user=entry.user,
                    agency=entry.agency, ori=entry.ori, mnemonic=entry.mnemonic, header=entry.header,
                    own_header=entry.own_header if entry.host else None, text=text, transaction=entry.transaction,
                    ref=entry.ref, priority=entry.priority, code=code,
                ),
                (Event(msn, at, Life.ROUTED, address), *events),
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
            trunk = self._trunks.get(other)
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
