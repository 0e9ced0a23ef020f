"""What waits where, and why: for who looks at queues, lines and devices. Nothing here shows what a message says."""

from __future__ import annotations

from collections import Counter
from typing import Any

from msc import clock
from msc.directory.rows import Directory
from msc.switch.delivery import Deliveries
from msc.switch.orders.verb import Order, OrderRefused, Outcome
from msc.switch.traffic import LineTraffic
from msc.transit.event import INTERCEPT, OPERATOR_QUEUE
from msc.transit.outbox import Outbox
from msc.transit.transaction import Stay


class QueueView:
    """Looks at all queues there are."""

    def __init__(self, directory: Directory, traffic: LineTraffic, deliveries: Deliveries) -> None:
        self._directory = directory
        self._traffic = traffic
        self._deliveries = deliveries
        self._operator = deliveries.operator_queue

    def addresses(self) -> list[str]:
        """Return where messages may wait: lines, stations and people with an outbox, the operator's queues."""
        lines = [trunk.address for trunk in self._traffic.trunks.values()]
        return [*lines, *self._deliveries.outboxes, OPERATOR_QUEUE, INTERCEPT]

    def outbox(self, address: str) -> Outbox | None:
        """Return the outbox of a line or a station; None if nothing waits there.

        Raises:
            OrderRefused: There is no such line, device or person.
        """
        place, _, name = address.partition(":")
        if place == "line":
            if name not in self._traffic.trunks:
                raise OrderRefused(f"there is no destination {address}")
            return self._traffic.trunks[name].outbox
        if name not in (self._directory.devices if place == "device" else self._directory.users):
            raise OrderRefused(f"there is no {place} {name}")
        return self._deliveries.outboxes.get(address)

    def waiting(self, address: str) -> list[int]:
        """Return the MSNs of what waits for an address and is not on its way, in the order it goes."""
        if address.startswith("operator:"):
            return [entry.msn for entry in self._operator.entries(address)]
        return [message.msn for message in self._queued(address)]

    def places(self, msn: int) -> list[str]:
        """Return the addresses where a message waits, or from where it is on its way."""
        return [
            address
            for address in self.addresses()
            if msn in self.waiting(address) or any(message.msn == msn for message in self._sent(address))
        ]

    def messages(self, address: str) -> list[dict[str, Any]]:
        """Return what waits for an address, in the order it goes, behind what is on its way; without texts."""
        now_us = clock.wall_us()
        if address.startswith("operator:"):
            return [
                {
                    "msn": entry.msn, "state": "waiting", "meant_for": entry.facts.get("meant"),
                    "why": why_of(entry), "waits_s": _seconds(now_us - entry.since_us),
                }
                for entry in self._operator.entries(address)
            ]  # fmt: skip
        return [
            {
                "msn": message.msn, "state": state, "priority": message.precedence.name.lower(), "kind": message.kind,
                "source": message.source, "waits_s": _seconds(now_us - message.received_us),
                "attempts": message.attempts, "duplicate": message.possible_duplicate,
            }
            for state, some in (("sent", self._sent(address)), ("waiting", self._queued(address)))
            for message in some
        ]  # fmt: skip

    def load(self, address: str) -> dict[str, Any]:
        """Return how much waits for an address: by class, the oldest, and what is not acknowledged."""
        if address.startswith("operator:"):
            entries = self._operator.entries(address)
            counts, sent = {"waiting": len(entries)} if entries else {}, 0
            oldest = min((entry.since_us for entry in entries), default=None)
        else:
            queued, sent = self._queued(address), len(self._sent(address))
            counts = dict(Counter(message.precedence.name.lower() for message in queued))
            oldest = min((message.received_us for message in queued), default=None)
        oldest_s = None if oldest is None else _seconds(clock.wall_us() - oldest)
        return {"waiting": counts, "oldest_s": oldest_s, "unacknowledged": sent}

    def why(self, address: str) -> str | None:
        """Say why messages wait for an address; None if nothing is in their way."""
        place, _, name = address.partition(":")
        if place == "operator":
            return "the operator decides"
        if place == "line":
            trunk = self._traffic.trunks[name]
            if (why := trunk.waits(None)) is None and trunk.active is None:
                why = "the line is down"
            if why is None and trunk.outbox.blocked:
                why = f"{', '.join(sorted(trunk.outbox.blocked))}: out of service, says the state"
            return why
        if self._deliveries.is_held(address):
            return "held by an operator"
        return None if self._deliveries.attended(address) else "nobody is there"

    async def queue_list(self, order: Order) -> Outcome:
        """List the queues in which something waits; of one, its messages."""
        address = order.asked.get("address")
        if address is not None:
            if not address.startswith("operator:"):
                self.outbox(address)  # which there must be
            return Outcome({"address": address, "messages": self.messages(address)})
        queues = [{"address": where, **self.load(where), "why": self.why(where)} for where in self.addresses()]
        return Outcome({"queues": [row for row in queues if row["waiting"] or row["unacknowledged"]]})

    def _present(self, address: str) -> Outbox | None:
        """Return the outbox of an address if it has one, also of somebody who has just left the directory."""
        place, _, name = address.partition(":")
        return self._traffic.trunks[name].outbox if place == "line" else self._deliveries.outboxes.get(address)

    def _queued(self, address: str) -> list[Stay]:
        outbox = self._present(address)
        return outbox.queued() if outbox is not None else []

    def _sent(self, address: str) -> list[Stay]:
        outbox = self._present(address)
        return outbox.unacknowledged() if outbox is not None else []


def why_of(stay: Stay) -> str:
    """Say why a message waits for the operator."""
    rule = stay.facts.get("rule")
    return f"rule {rule}" if rule is not None else stay.facts.get("why", "as the journal says")


def _seconds(us: int) -> float:
    return round(max(us, 0) / 1e6, 1)
