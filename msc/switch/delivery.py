"""Delivery to stations: one outbox an address, emptied while somebody is there to receive.

A message leaves its outbox when the station has acknowledged it. What is not acknowledged when a session
or connection ends waits for the next one and is marked as a possible duplicate.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Final

from msc import clock
from msc.errors import FrameTooLong, NotAcknowledged
from msc.journal.writer import JournalWriter
from msc.limits import (
    ACK_S,
    DELIVERIES_UNANSWERED_MAX,
    DELIVERY_ATTEMPTS_MAX,
    FORWARD_HOPS_MAX,
    FORWARDED_REMEMBERED_MAX,
)
from msc.log import get_logger
from msc.metrics import Metrics
from msc.protocol.control import ErrorNotice
from msc.protocol.envelope import encode_payload
from msc.protocol.text import is_hit
from msc.settings import QueueSettings
from msc.switch.leg import Leg
from msc.switch.operator_queue import OperatorQueue
from msc.switch.port import StationPort
from msc.switch.recovery import FORWARDED_FOR, NOT_ACKNOWLEDGED
from msc.switch.redirect import Redirected
from msc.transit.event import OPERATOR_QUEUE, Event, Life
from msc.transit.outbox import Outbox, Outgoing

log = get_logger("switch")

FORWARDABLE: Final = frozenset({"unsolicited", "administrative", "broadcast", "hit_confirmation"})
"""Kinds that go with the desk. Answers and status messages are for the person who asked, and wait for them."""


_FROM_THE_STATE: Final = frozenset({"response", "unsolicited"})
"""Kinds that may be hits (C-CONFIRM)."""

Redirect = Callable[[str], Redirected | None]
"""Says of an address where its messages go now; None is to it."""


def envelope_of(message: Outgoing, station: int) -> dict[str, Any]:
    """Write the envelope of a message for a station's connection."""
    members: dict[str, Any] = {
        "msn": message.msn,
        "kind": message.kind,
        "source": message.source,
        "received": clock.rfc3339(message.received_us),
        "header": message.header,
        "priority": message.priority,
    }
    if message.ref is not None:
        members["ref"] = message.ref
    if message.reply_to is not None and message.station == station:
        members["reply_to"] = message.reply_to
    if message.transaction is not None:
        members["transaction"] = message.transaction
    if message.awaiting is not None:
        members["awaiting"] = message.awaiting
    if message.possible_duplicate:
        members["possible_duplicate"] = True
    if message.kind in _FROM_THE_STATE and is_hit(message.text):
        members["confirm"] = True
    if message.late:
        members["late"] = True
    if message.original_mnemonic is not None:
        members["original_mnemonic"] = message.original_mnemonic
    return members


class Deliveries:
    """All outboxes of stations, and which connection empties which.

    Args:
        ack_s: How long a station may leave a message unanswered.
    """

    def __init__(
        self, writer: JournalWriter, metrics: Metrics, kept: QueueSettings | None = None, ack_s: float = ACK_S
    ) -> None:
        self.operator_queue = OperatorQueue()
        self.outboxes: dict[str, Outbox] = {}
        """What waits, by address."""
        self.held: set[str] = set()
        """Addresses that get nothing, by an operator's word, until they are released."""
        self.redirect: Redirect = lambda _address: None
        self.known: Callable[[str], bool] = lambda _address: True
        """Tells whether there still is the device or person of an address."""
        self.heard: list[Callable[[Outgoing, str, str | None], None]] = []
        """Are told what a station has acknowledged, and what it has refused: message, address, why."""
        self._writer = writer
        self._metrics = metrics
        self._kept = kept or QueueSettings()
        self._ack_s = ack_s
        self._stations: dict[str, list[StationPort]] = {}
        self._addresses: dict[int, list[str]] = {}
        self._began = clock.monotonic()
        self._left: dict[str, float] = {}
        self._stood_in: OrderedDict[tuple[str, int], None] = OrderedDict()
        """What has lately come to an address because it stands in for another."""

    # --- who receives ---------------------------------------------------------------------------

    def attach(self, address: str, station: StationPort) -> int:
        """A station receives for an address from now on.

        A person may be signed on at two terminals: answers go to the one that asked, everything else to the one
        signed on last. A terminal may receive for its device and for the person signed on at it.

        Returns:
            How many messages wait for it; `pump` sends them.
        """
        self._left.pop(address, None)
        self._stations.setdefault(address, []).append(station)
        self._addresses.setdefault(station.identity, []).append(address)
        return self.undelivered(address)

    def detach(self, station: StationPort) -> None:
        """A station receives no more; what it had not acknowledged waits for the next one."""
        for address in self._addresses.pop(station.identity, ()):
            self._detach(address, station)

    def _detach(self, address: str, station: StationPort) -> None:
        stations = self._stations[address]
        stations.remove(station)
        if not stations:
            del self._stations[address]
            self._left[address] = clock.monotonic()
        outbox = self.outboxes.get(address)
        if outbox is None:
            return
        at = clock.wall_us()
        for place, message in enumerate(outbox.lose(station.identity)):
            # The first is what the station choked on; those behind it are innocent.
            stalled = place == 0 and clock.monotonic() - message.sent_at >= self._ack_s
            message.unanswered += stalled
            detail = NOT_ACKNOWLEDGED if stalled else None
            self._writer.note(Event(message.msn, at, Life.RETURNED, address, detail))
            if message.unanswered >= DELIVERIES_UNANSWERED_MAX:
                outbox.drop(message)
                self.to_operator(address, message, f"left unanswered {message.unanswered} times")
        if stations:
            self.pump(address)
        if not len(outbox):
            del self.outboxes[address]

    def attended(self, address: str) -> bool:
        """Whether somebody receives for an address now."""
        return address in self._stations

    def absent_s(self, address: str) -> float:
        """How many seconds nobody has received for an address; 0 while somebody does."""
        if address in self._stations:
            return 0.0
        return max(clock.monotonic() - self._left.get(address, self._began), 1e-9)

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
        return sum(len(self.outboxes[a]) for a in self._stations if a in self.outboxes)

    # --- messages -------------------------------------------------------------------------------

    def deliver(self, leg: Leg, message: Outgoing) -> None:
        """Bring a message that is in the journal on its way to a station, or into the operator's queue."""
        if leg.address is None:
            self.operator_queue.add(message.msn, None, leg.detail or "", message.received_us)
            return
        message.hops = int(leg.original_mnemonic is not None)
        self.push(leg.address, message)

    def push(self, address: str, message: Outgoing) -> None:
        """Deliver a message that is in the journal, now or when somebody is there."""
        if _may_go_elsewhere(message) and (elsewhere := self.redirect(address)):
            self._send_elsewhere(address, message, elsewhere)
            return
        if not self.known(address):
            self.to_operator(address, message, f"{address} is no more")
            return
        outbox = self.outboxes.get(address)
        if outbox is None:
            outbox = self.outboxes[address] = Outbox(address)
        # Looking through what waits takes long, so it is done where somebody stands in for somebody, and only there.
        if (message.hops or (address, message.msn) in self._stood_in) and outbox.holds(message.msn):
            return  # meant for two stations, one of which stands in for the other: it comes once
        if outbox.full_for(message):
            self.to_operator(address, message, "too many messages wait")
            return
        if message.expires_us is None:
            message.expires_us = self.expiry(message.kind, message.received_us)
        outbox.push(message)
        if address not in self._stations or self.is_held(address):
            self._writer.note(Event(message.msn, clock.wall_us(), Life.QUEUED, address))
        self.pump(address)

    def expiry(self, kind: str, since_us: int) -> int:
        """Return until when a message of a kind waits."""
        return since_us + int(self._kept.of(kind) * 1e6)

    def _send_elsewhere(self, address: str, message: Outgoing, elsewhere: Redirected) -> None:
        at = clock.wall_us()
        message.hops += 1
        message.original_mnemonic = message.original_mnemonic or elsewhere.original_mnemonic
        self._writer.note(Event(message.msn, at, elsewhere.life, address, elsewhere.why))
        if len(self._stood_in) >= FORWARDED_REMEMBERED_MAX:
            self._stood_in.popitem(last=False)
        self._stood_in[elsewhere.address, message.msn] = None
        whose = f"{FORWARDED_FOR}{message.original_mnemonic or address}"
        self._writer.note(Event(message.msn, at, Life.ROUTED, elsewhere.address, whose))
        self.push(elsewhere.address, message)

    def redirect_waiting(self, address: str) -> None:
        """Send what waits for an address to where its messages go now; what nobody may take over stays."""
        outbox = self.outboxes.get(address)
        if outbox is None or (elsewhere := self.redirect(address)) is None:
            return
        for message in outbox.queued():
            if _may_go_elsewhere(message):
                outbox.drop(message)
                self._send_elsewhere(address, message, elsewhere)

    def hold(self, address: str) -> None:
        """Deliver nothing more to an address until `release`; to a device, for whomever it is meant there."""
        self.held.add(address)

    def release(self, address: str) -> None:
        """Deliver to an address again, and what has waited."""
        self.held.discard(address)
        # At a held terminal a person may have waited, too.
        for each in [address, *(other for other in self._stations if other != address)]:
            self.pump(each)

    def is_held(self, address: str) -> bool:
        """Whether an operator holds back what is for an address: there, or at every device that receives for it."""
        stations = self._stations.get(address)
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
            for message in outbox.expire(now_us):
                self._expired(address, message)
            if not self.known(address):
                self._left_behind(address, outbox)
            if address not in self._stations or self.is_held(address):
                self.redirect_waiting(address)

    def _left_behind(self, address: str, outbox: Outbox) -> None:
        """Hand what waits for somebody who has left the directory to the operator, as a starting switch would."""
        for message in outbox.queued():
            outbox.drop(message)
            self.to_operator(address, message, f"{address} is no more")

    def _end_stalled(self, address: str, stalled: set[Hashable]) -> None:
        """End connections that leave a message unanswered: all behind it would wait, while the link looks sound."""
        for station in list(self._stations.get(address, ())):
            if station.identity in stalled and not station.closed:
                refusal = NotAcknowledged(f"a message was left unanswered for {self._ack_s:.0f} s")
                log.warning("station.stalled", device=station.device.device, waiting=self.undelivered(address))
                station.session.send_control(ErrorNotice(code=refusal.code, reason=refusal.reason))
                station.close(f"{refusal.code} {refusal.reason}")

    def _expired(self, address: str, message: Outgoing) -> None:
        why = f"waited {self._kept.of(message.kind) / 3600:.0f} h for {address}"
        if message.bulletin:
            self._writer.note(Event(message.msn, clock.wall_us(), Life.EXPIRED, address, "its time was over"))
        elif message.kind in FORWARDABLE:
            self.to_operator(address, message, why)
        else:
            self._writer.note(Event(message.msn, clock.wall_us(), Life.EXPIRED, address, why))

    def pump(self, address: str) -> None:
        """Send what waits, as far as stations take it."""
        stations = self._stations.get(address)
        outbox = self.outboxes.get(address)
        if stations is None or outbox is None or address in self.held:
            return
        if self.held:
            stations = [each for each in stations if each.device.address not in self.held]
        while (message := outbox.take()) is not None:
            station = _ready(stations, message.station)
            if station is None:
                outbox.give_back(message)
                return
            payload = encode_payload(envelope_of(message, station.identity), message.text)
            try:
                sequence = station.session.send_message(payload)
            except FrameTooLong:
                self.to_operator(address, message, "too long for the station's frame")
                continue
            message.sent_at = clock.monotonic()
            outbox.sent(sequence, message, station.identity)
            self._writer.note(Event(message.msn, clock.wall_us(), Life.SENT, address))
            station.flush()

    def pump_station(self, station: StationPort) -> None:
        """Send what waits for a station that takes messages again."""
        for address in self._addresses.get(station.identity, ()):
            self.pump(address)

    def answered(self, station: StationPort, sequence: int, refused: str | None) -> None:
        """A station has acknowledged a message, or refused it."""
        for address in self._addresses.get(station.identity, ()):
            outbox = self.outboxes.get(address)
            message = outbox.answered(sequence, station.identity) if outbox is not None else None
            if message is not None:
                break
        else:
            return  # an answer to what has been given back since
        assert outbox is not None
        at = clock.wall_us()
        for hear in self.heard:
            hear(message, address, refused)
        if refused is None:
            detail = f"device:{station.device.device}" if address.startswith("user:") else None
            self._writer.note(Event(message.msn, at, Life.ACKNOWLEDGED, address, detail))
            self._metrics.messages[message.kind, "delivered"] += 1
            self._metrics.stages["delivered"].add(clock.monotonic() - message.sent_at)
        else:
            self._writer.note(Event(message.msn, at, Life.REFUSED_BY_PEER, address, refused))
            message.attempts += 1
            if message.attempts >= DELIVERY_ATTEMPTS_MAX:
                self.to_operator(address, message, f"refused {message.attempts} times")
            else:
                outbox.push(message)
        self.pump_station(station)

    def take_back(self, msn: int, life: Life, why: str) -> None:
        """Take a message out wherever it waits for a station; where it is on its way it will not be sent again.

        Args:
            life: What the journal says of it there.
        """
        at = clock.wall_us()
        for address, outbox in self.outboxes.items():
            if outbox.remove(msn) is not None:
                self._writer.note(Event(msn, at, life, address, why))
            for message in outbox.unacknowledged():
                if message.msn == msn:
                    message.expires_us = at

    def to_operator(self, address: str | None, message: Outgoing, why: str) -> None:
        """Hand a message nobody can take to the operator: it is over where it was, and waits in their queue."""
        at = clock.wall_us()
        self._writer.note(Event(message.msn, at, Life.OPERATOR_QUEUE, address, why))
        self._writer.note(Event(message.msn, at, Life.ROUTED, OPERATOR_QUEUE, why))
        self.operator_queue.add(message.msn, address, why, at)


def _may_go_elsewhere(message: Outgoing) -> bool:
    """Tell whether a message goes with the desk, and has not been sent about too often already."""
    return message.kind in FORWARDABLE and message.hops < FORWARD_HOPS_MAX and not message.bulletin


def _ready(stations: list[StationPort], asked: int) -> StationPort | None:
    """Choose who gets a message: the connection that asked, else the newest, of those that take one now."""
    chosen = None
    for station in stations:
        session = station.session
        if session.receptive and not station.write_paused and session.room > 0:
            chosen = station
            if station.identity == asked:
                break
    return chosen
