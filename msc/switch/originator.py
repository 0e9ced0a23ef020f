"""Telling originators how it stands with their messages, by status messages that are journaled like any other.

Every destination of a message ends: it answers, or its originator is told (E401, E403, E404, E405).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

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
from msc.journal.writer import Then
from msc.log import get_logger
from msc.metrics import Metrics
from msc.switch.confirmations import Confirmations
from msc.switch.delivery import Deliveries
from msc.switch.lifecycle import Lifecycle
from msc.switch.silence import SilenceWatch
from msc.switch.status import status_of
from msc.transit.event import OPERATOR_QUEUE, Event, Life
from msc.transit.state import State
from msc.transit.transaction import Stay, Transaction

log = get_logger("switch")

POSTPONE_S: Final = 1.0
"""When the journal cannot take a status message, its inquiry is looked at again after this."""


class Originators:
    """Tells them."""

    def __init__(
        self,
        *,
        point: AccessControlPoint,
        lifecycle: Lifecycle,
        deliveries: Deliveries,
        metrics: Metrics,
        unanswered: SilenceWatch,
        confirmations: Confirmations | None,
    ) -> None:
        self._point = point
        self._lifecycle = lifecycle
        self._transit = lifecycle.transit
        self._writer = lifecycle.writer
        self._deliveries = deliveries
        self._metrics = metrics
        self._unanswered = unanswered
        self._confirmations = confirmations

    def address(self, inquiry: Transaction) -> str:
        """Where an answer goes: to who asked; if they have left and their pool says so, to its destination.

        Never to the mnemonic: somebody else may hold it by now (C-POOL).
        """
        if inquiry.address.startswith("user:") and not self._deliveries.attended(inquiry.address):
            device = self._point.directory.late_answers_device(inquiry.mnemonic)
            if device is not None:
                return device.address
        return inquiry.address

    # --- giving up ----------------------------------------------------------------------------------

    def give_up(self, stay: Stay, refusal: Refusal) -> None:
        """Tell an originator, by a journaled status message, that a destination will not answer."""
        if self.decide(stay, refusal):
            self.say(stay, refusal)

    def decide(self, stay: Stay, refusal: Refusal) -> bool:
        """Decide that a destination is given up, before anything is said of it or of the others.

        Returns:
            Whether `say` is to follow: not if it has ended, or its originator is being told.
        """
        if not stay.open or stay.gave_up:
            return False
        if stay.ending is not None:
            # The journal is about to say that it has answered; if that fails, it is looked at again.
            self._transit.postpone(stay, clock.monotonic() + POSTPONE_S)
            return False
        stay.ending = _LIFE[type(refusal)]
        return True

    def say(self, stay: Stay, refusal: Refusal) -> None:
        """Tell an originator of a destination that was decided upon."""
        assert stay.ending is not None
        why, at = f"{refusal.reason}{_others(stay)}", clock.wall_us()
        others = [Event(stay.msn, at, stay.ending, stay.destination, {"code": refusal.code, "why": why})]
        if isinstance(refusal, OutcomeUnknown):
            # Somebody has to find out, and the originator may be gone.
            facts = {"code": refusal.code, "why": why, "meant": stay.destination}
            others.append(Event(stay.msn, at, Life.ROUTED, OPERATOR_QUEUE, facts))  # type: ignore[arg-type]
        self._status(stay.transaction, stay.name, refusal.code, why, others, partial(self._gave_up, stay, refusal))

    def _gave_up(self, stay: Stay, refusal: Refusal, failure: JournalUnavailable | None) -> None:
        if failure is not None:
            stay.ending = None
            self._transit.postpone(stay, clock.monotonic() + POSTPONE_S)
            return
        transaction = stay.transaction
        if isinstance(refusal, OutcomeUnknown):
            self._deliveries.operator_queue.add(transaction.stays[OPERATOR_QUEUE])
        self._after(stay, refusal)

    def tell_taken_away(self, stay: Stay, refusal: Refusal) -> None:
        """Tell an originator that an operator has taken a message off a line; the journal says so already."""
        why = f"{refusal.reason}{_others(stay)}"
        self._status(stay.transaction, stay.name, refusal.code, why)
        self._after(stay, refusal)

    def _after(self, stay: Stay, refusal: Refusal) -> None:
        transaction = stay.transaction
        self._unanswered.given_up(stay.name, transaction.mnemonic, transaction.msn, clock.monotonic())
        # With several lines it may have gone out on another.
        alone = sum(1 for _ in transaction.lines()) <= 1
        if isinstance(refusal, LineOutOfService) and alone and self._confirmations is not None:
            self._confirmations.not_sent(transaction.msn)
        log.info("message.given_up", transaction=transaction.msn, line=stay.name, code=refusal.code)

    # --- telling ------------------------------------------------------------------------------------

    def tell(self, inquiry: Transaction, name: str | None, refusal: Refusal) -> None:
        """Tell an originator how it stands with a destination, by a journaled status message; it stays awaited.

        Args:
            name: The destination; None is the whole message.
        """
        self._status(inquiry, name, refusal.code, refusal.reason)

    def _status(
        self,
        inquiry: Transaction,
        name: str | None,
        code: str,
        why: str,
        others: Sequence[Event] = (),
        then: Then = lambda _failure: None,
    ) -> None:
        address = self.address(inquiry)
        status = status_of(inquiry, self._writer.allot(), address, name, code, why)
        told = partial(self._told, status, address, then)
        try:
            self._lifecycle.begin(status, told, others)
        except JournalUnavailable as failure:
            told(failure)

    def _told(self, status: Transaction, address: str, then: Then, failure: JournalUnavailable | None) -> None:
        then(failure)
        if failure is not None:
            return
        self._metrics.messages["status", status.message.code or ""] += 1
        stay, inquiry = status.stays[address], status.inquiry
        assert inquiry is not None
        stay.awaiting = inquiry.awaiting
        self._deliveries.push(stay)


def _others(stay: Stay) -> str:
    """Say of an originator's other destinations whether they were asked."""
    said = []
    for other in stay.transaction.lines():
        if other is stay:
            continue
        if other.gave_up:
            said.append(f"{other.name}: no")
        elif other.state in _WAITS:
            said.append(f"{other.name}: waits")
        else:
            said.append(f"{other.name}: yes")
    return f" (asked {', '.join(said)})" if said else ""


_WAITS: Final = frozenset({State.ROUTED, State.QUEUED, State.CLEARED, State.RETURNED})


def not_sent(name: str, against: Refusal) -> LineOutOfService:
    """Make what an originator is told whose message may not be sent any more."""
    return LineOutOfService(f"not sent to {name}: {against.reason}")


_LIFE: Final[dict[type[Refusal], Life]] = {
    LineOutOfService: Life.NOT_SENT,
    NoAnswerInTime: Life.EXPIRED,
    OutcomeUnknown: Life.OUTCOME_UNKNOWN,
    RefusedByState: Life.REFUSED_BY_PEER,
}
