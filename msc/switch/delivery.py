"""Delivery to stations: one outbox an address, emptied while somebody is there to receive.

A message leaves its outbox when the station has acknowledged it. What is not acknowledged when a session
or connection ends waits for the next one and is marked as a possible duplicate.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import partial
from typing import Any, Final

from msc import clock
from msc.errors import AnswerNotDelivered, FrameTooLong, JournalUnavailable, NotAcknowledged
from msc.limits import DELIVERIES_UNANSWERED_MAX, DELIVERY_ATTEMPTS_MAX, FORWARD_HOPS_MAX
from msc.log import get_logger
from msc.metrics import Metrics
from msc.protocol.control import ErrorNotice
from msc.protocol.envelope import encode_payload
from msc.protocol.text import is_hit
from msc.settings import QueueSettings
from msc.switch.attendance import Attendance
from msc.switch.lifecycle import Lifecycle
from msc.switch.operator_queue import OperatorQueue
from msc.switch.port import StationPort
from msc.switch.redirect import Redirected
from msc.switch.status import status_of
from msc.transit.event import NO_FACTS, OPERATOR_QUEUE, Facts, Life
from msc.transit.outbox import Outbox
from msc.transit.state import Place, State
from msc.transit.transaction import Stay, Transaction

log = get_logger("switch")

FORWARDABLE: Final = frozenset({"unsolicited", "administrative", "broadcast", "hit_confirmation"})
"""Kinds that are for whoever is at the place. Answers and status messages wait for the person who asked."""


_ANSWERS: Final = frozenset({"response", "status"})
"""Kinds that belong to what somebody asked."""
_FROM_THE_STATE: Final = frozenset({"response", "unsolicited"})
"""Kinds that may be hits (C-CONFIRM)."""

Redirect = Callable[[str], Redirected | None]
"""Says of an address where its messages go now; None is to it."""


def envelope_of(stay: Stay, connection: int) -> dict[str, Any]:
    """Write the envelope of a message for a station's connection."""
    transaction = stay.transaction
    message, kind = transaction.message, stay.kind
    members: dict[str, Any] = {
        "msn": message.msn,
        "kind": kind,
        "source": transaction.source,
        "received": clock.rfc3339(message.received),
        "header": message.header,
        "priority": transaction.priority,
    }
    if kind in _ANSWERS:
        # C-HDR: a host gets its own header back.
        members["header"] = message.own_header or message.header
        if message.ref is not None:
            members["ref"] = message.ref
        inquiry = transaction.inquiry
        if inquiry is not None and inquiry.station == connection:
            members["reply_to"] = inquiry.message.sequence
        members["transaction"] = transaction.number
        if stay.awaiting is not None:
            members["awaiting"] = stay.awaiting
    elif transaction.own:
        members["transaction"] = transaction.number
    if stay.possible_duplicate:
        members["possible_duplicate"] = True
    # Looked for in what the state has sent, not behind a host's header (C-CONFIRM).
    if kind in _FROM_THE_STATE and is_hit(transaction.body):
        members["confirm"] = True
    if stay.late:
        members["late"] = True
    if (whose := stay.original_mnemonic) is not None:
        members["original_mnemonic"] = whose
    return members


class Deliveries:
    """All outboxes of stations, and which connection empties which.

    Args:
        ack_s: How long a station may leave a message unanswered.
        known: Tells whether there still is the device or person of an address.
        redirect: Says where messages for an address go now.
    """

    def __init__(
        self,
        lifecycle: Lifecycle,
        metrics: Metrics,
        *,
        attendance: Attendance,
        kept: QueueSettings,
        ack_s: float,
        known: Callable[[str], bool],
        redirect: Redirect,
    ) -> None:
        self.operator_queue = OperatorQueue()
        self.outboxes: dict[str, Outbox] = {}
        """What waits, by address."""
        self.held: set[str] = set()
        """Addresses that get nothing, by an operator's word, until they are released."""
        self._redirect = redirect
        self._known = known
        self._listeners: list[Callable[[Stay, str | None], None]] = []
        self._lifecycle = lifecycle
        self._metrics = metrics
        self._kept = kept
        self._ack_s = ack_s
        self._attendance = attendance

    def listen(self, heard: Callable[[Stay, str | None], None]) -> None:
        """Have somebody told what a station has acknowledged, and what it has refused, with why."""
        self._listeners.append(heard)

    # --- who receives ---------------------------------------------------------------------------

    def attach(self, address: str, station: StationPort) -> int:
        """A station receives for an address from now on.

        Returns:
            How many messages wait for it; `pump` sends them.
        """
        self._attendance.attach(address, station)
        return self.undelivered(address)

    def detach(self, station: StationPort) -> None:
        """A station receives no more; what it had not acknowledged waits for the next one."""
        for address in self._attendance.detach(station):
            self._detach(address, station)

    def _detach(self, address: str, station: StationPort) -> None:
        outbox = self.outboxes.get(address)
        if outbox is None:
            return
        for place, stay in enumerate(outbox.lose(station.identity)):
            # The first is what the station choked on; those behind it are innocent.
            stalled = place == 0 and clock.monotonic() - stay.sent_at >= self._ack_s
            self._lifecycle.note(stay, Life.RETURNED, {"unanswered": True} if stalled else NO_FACTS)
            if stay.unanswered >= DELIVERIES_UNANSWERED_MAX:
                outbox.drop(stay)
                self.to_operator(stay, f"left unanswered {stay.unanswered} times")
        if self.attended(address):
            self.pump(address)
        if not len(outbox):
            del self.outboxes[address]

    def attended(self, address: str) -> bool:
        """Whether somebody receives for an address now."""
        return self._attendance.attended(address)

    def undelivered(self, address: str) -> int:
        """How many messages wait for an address."""
        outbox = self.outboxes.get(address)
        return len(outbox) if outbox else 0

    def depths(self) -> dict[str, float]:
        """How many messages wait altogether: delivered but not acknowledged ones, too."""
        untaken, intercepted = self.operator_queue.counts()
        return {
            "stations": float(sum(map(len, self.outboxes.values()))),
            "operator": float(untaken),
            "intercept": float(intercepted),
        }

    @property
    def in_flight(self) -> int:
        """How many messages wait for stations that are there to take them."""
        return sum(map(self.undelivered, self._attendance.addresses()))

    # --- messages -------------------------------------------------------------------------------

    def deliver(self, stays: Iterable[Stay]) -> None:
        """Bring a message that is in the journal on its way to the stations, and into the operator's queues."""
        for stay in list(stays):
            if stay.state is State.ENDED:
                continue
            if stay.place is Place.STATION:
                self.push(stay)
            elif stay.destination.startswith("operator:"):
                self.operator_queue.add(stay)

    def push(self, stay: Stay) -> None:
        """Deliver a message that is in the journal, now or when somebody is there."""
        address = stay.destination
        if _may_go_elsewhere(stay) and (elsewhere := self._redirect(address)):
            self._send_elsewhere(stay, elsewhere)
            return
        if not self._known(address):
            self.to_operator(stay, f"{address} is gone from the directory")
            return
        outbox = self.outboxes.get(address)
        if outbox is None:
            outbox = self.outboxes[address] = Outbox(address)
        elif outbox.full_for(stay):
            self.to_operator(stay, "too many messages wait")
            return
        if stay.expires_us is None:
            stay.expires_us = self.expiry(stay.kind, stay.received_us)
        outbox.push(stay)
        if not self.attended(address) or self.is_held(address):
            self._lifecycle.note(stay, Life.QUEUED)
        self.pump(address)

    def expiry(self, kind: str, since_us: int) -> int:
        """Return until when a message of a kind waits."""
        return since_us + int(self._kept.of(kind) * 1e6)

    def _send_elsewhere(self, stay: Stay, elsewhere: Redirected) -> None:
        transaction, hops = stay.transaction, stay.hops + 1
        whose = stay.facts.get("whose") or elsewhere.original_mnemonic or stay.destination
        self._lifecycle.note(stay, elsewhere.life, {"why": elsewhere.why})
        if transaction.is_open_at(elsewhere.address):
            return  # meant for two stations, one of which receives for the other: it comes once
        facts: Facts = {"whose": whose, "hops": hops}
        if stay.facts.get("group"):
            facts["group"] = True
        self.push(self._lifecycle.route(transaction, elsewhere.address, facts))

    def redirect_waiting(self, address: str) -> None:
        """Send what waits for an address to where its messages go now; what nobody may take over stays."""
        outbox = self.outboxes.get(address)
        if outbox is None or (elsewhere := self._redirect(address)) is None:
            return
        for stay in outbox.queued():
            if _may_go_elsewhere(stay):
                outbox.drop(stay)
                self._send_elsewhere(stay, elsewhere)

    def hold(self, address: str) -> None:
        """Deliver nothing more to an address until `release`; to a device, for whomever it is meant there."""
        self.held.add(address)

    def release(self, address: str) -> None:
        """Deliver to an address again, and what has waited."""
        self.held.discard(address)
        # At a held terminal a person may have waited, too.
        for each in [address, *(other for other in self._attendance.addresses() if other != address)]:
            self.pump(each)

    def is_held(self, address: str) -> bool:
        """Whether an operator holds back what is for an address: there, or at every device that receives for it."""
        stations = self._attendance.at(address)
        return address in self.held or bool(
            self.held and stations and all(each.device.address in self.held for each in stations)
        )

    def tick(self) -> None:
        """Take out what has waited too long, and what belongs elsewhere by now."""
        now_us = clock.wall_us()
        before = clock.monotonic() - self._ack_s
        for address, outbox in list(self.outboxes.items()):
            if stalled := outbox.unanswered_since(before):
                self._end_stalled(address, stalled)
            if not outbox.waiting:
                continue
            for stay in outbox.expire(now_us):
                self._expired(stay)
            if not self._known(address):
                self._left_behind(address, outbox)
            if not self.attended(address) or self.is_held(address):
                self.redirect_waiting(address)

    def _left_behind(self, address: str, outbox: Outbox) -> None:
        """Hand what waits for somebody who has left the directory to the operator, as a starting switch would."""
        for stay in outbox.queued():
            outbox.drop(stay)
            self.to_operator(stay, f"{address} is gone from the directory")

    def _end_stalled(self, address: str, stalled: set[Hashable]) -> None:
        """End connections that leave a message unanswered: all behind it would wait, while the link looks sound."""
        for station in list(self._attendance.at(address)):
            if station.identity in stalled and not station.closed:
                refusal = NotAcknowledged(f"a message was left unanswered for {self._ack_s:.0f} s")
                log.warning("station.stalled", device=station.device.device, waiting=self.undelivered(address))
                station.session.send_control(ErrorNotice(code=refusal.code, reason=refusal.reason))
                station.close(f"{refusal.code} {refusal.reason}")

    def _expired(self, stay: Stay) -> None:
        if stay.bulletin:
            self._lifecycle.note(stay, Life.EXPIRED, {"why": "its time was over"})
            return
        why = f"waited {self._kept.of(stay.kind) / 3600:.0f} h for {stay.destination}"
        if stay.kind in FORWARDABLE:
            self.to_operator(stay, why)
        else:
            self._lifecycle.note(stay, Life.EXPIRED, {"why": why})

    def pump(self, address: str) -> None:
        """Send what waits, as far as stations take it."""
        stations = self._attendance.at(address)
        outbox = self.outboxes.get(address)
        if not stations or outbox is None or address in self.held:
            return
        if self.held:
            stations = [each for each in stations if each.device.address not in self.held]
        while (stay := outbox.take()) is not None:
            station = _ready(stations, stay.asked_on)
            if station is None:
                outbox.give_back(stay)
                return
            payload = encode_payload(envelope_of(stay, station.identity), stay.text)
            try:
                sequence = station.session.send_message(payload)
            except FrameTooLong:
                self._too_long(stay)
                continue
            stay.sent_at = clock.monotonic()
            outbox.sent(sequence, stay, station.identity)
            self._lifecycle.note(stay, Life.SENT)
            station.flush()

    def _too_long(self, stay: Stay) -> None:
        """Hand what no frame of its station holds to the operator; whoever asked is told that there is an answer."""
        self.to_operator(stay, "too long for the station's frame")
        if stay.kind != "response":
            return
        message, refusal = stay.transaction.message, AnswerNotDelivered
        why = f"{message.line} answered with {len(message.text)} characters, more than a frame of this station holds"
        status = status_of(
            stay.transaction, self._lifecycle.writer.allot(), stay.destination, message.line, refusal.code,
            f"{why}; message {message.msn} is in the operator's queue",
        )  # fmt: skip
        with contextlib.suppress(JournalUnavailable):  # the operator has it, and no answer is lost
            self._lifecycle.begin(status, partial(self._told, status))

    def _told(self, status: Transaction, failure: JournalUnavailable | None) -> None:
        if failure is None:
            self.deliver(status.stays.values())

    def pump_station(self, station: StationPort) -> None:
        """Send what waits for a station that takes messages again."""
        for address in self._attendance.of(station):
            self.pump(address)

    def answered(self, station: StationPort, sequence: int, refused: str | None) -> None:
        """A station has acknowledged a message, or refused it."""
        for address in self._attendance.of(station):
            outbox = self.outboxes.get(address)
            stay = outbox.answered(sequence, station.identity) if outbox is not None else None
            if stay is not None:
                break
        else:
            return  # an answer to what has been given back since
        assert outbox is not None
        for hear in self._listeners:
            hear(stay, refused)
        if refused is None:
            facts: Facts = {"device": station.device.device} if address.startswith("user:") else NO_FACTS
            self._lifecycle.note(stay, Life.ACKNOWLEDGED, facts)
            self._metrics.messages[stay.kind, "delivered"] += 1
            self._metrics.stages["delivered"].add(clock.monotonic() - stay.sent_at)
        else:
            self._lifecycle.note(stay, Life.REFUSED_BY_PEER, {"why": refused})
            if stay.attempts >= DELIVERY_ATTEMPTS_MAX:
                self.to_operator(stay, f"refused {stay.attempts} times")
            else:
                outbox.push(stay)
        self.pump_station(station)

    def take_back(self, msn: int, life: Life, why: str) -> None:
        """Take a message out wherever it waits for a station; where it is on its way it will not be sent again.

        Args:
            life: What the journal says of it there.
        """
        at = clock.wall_us()
        for outbox in self.outboxes.values():
            if (stay := outbox.remove(msn)) is not None:
                self._lifecycle.note(stay, life, {"why": why})
            for stay in outbox.unacknowledged():
                if stay.msn == msn:
                    stay.expires_us = at

    def to_operator(self, stay: Stay, why: str, *, ended: bool = True) -> None:
        """Hand a message nobody can take to the operator: it is over where it was, and waits in their queue.

        Args:
            ended: Whether that is how it ends there; else its originator is being told how it does.
        """
        if ended:
            self._lifecycle.note(stay, Life.OPERATOR_QUEUE, {"why": why})
        facts: Facts = {"why": why, "meant": stay.destination}
        self.operator_queue.add(self._lifecycle.route(stay.transaction, OPERATOR_QUEUE, facts))


def _may_go_elsewhere(stay: Stay) -> bool:
    """Tell whether a message is for whoever is at the place, and has not been sent about too often already."""
    return (
        stay.kind in FORWARDABLE
        and stay.hops < FORWARD_HOPS_MAX
        and not stay.bulletin
        and not stay.facts.get("pinned", False)
    )


def _ready(stations: Sequence[StationPort], asked: int) -> StationPort | None:
    """Choose who gets a message: the connection that asked, else the newest, of those that take one now."""
    chosen = None
    for station in stations:
        session = station.session
        if session.receptive and not station.write_paused and session.room > 0:
            chosen = station
            if station.identity == asked:
                break
    return chosen
