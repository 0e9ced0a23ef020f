"""A test message to a station: through journal and delivery like any other, timed until it is acknowledged."""

from __future__ import annotations

import asyncio
from typing import Any, Final, Protocol

from msc import clock
from msc.directory.rows import Device, Directory
from msc.errors import BadCharacter, JournalUnavailable
from msc.journal.writer import tells
from msc.protocol.text import check_characters
from msc.switch.delivery import Deliveries
from msc.switch.lifecycle import Lifecycle
from msc.switch.orders.verb import BadOrder, Order, OrderRefused, Outcome
from msc.switch.port import Presence
from msc.transit.event import Event, Facts, Life
from msc.transit.message import Direction, MessageRecord
from msc.transit.transaction import Stay, Transaction

_WAIT_S: Final = 5.0
TEXT: Final = "TEST MESSAGE FROM THE SWITCH. NO ACTION REQUIRED."


class _Stations(Protocol):
    def presence(self, device: str | None = None) -> list[Presence]:
        """Return who is there."""


class Echo:
    """Sends test messages, and waits for their acknowledgements."""

    def __init__(
        self, directory: Directory, lifecycle: Lifecycle, deliveries: Deliveries, stations: _Stations
    ) -> None:
        self._directory = directory
        self._lifecycle = lifecycle
        self._deliveries = deliveries
        self._stations = stations
        self._waiting: dict[int, asyncio.Future[str | None]] = {}
        deliveries.listen(self._heard)

    async def send(self, order: Order) -> Outcome:
        """Send one. Where nobody could take it, none is sent.

        Returns:
            With `ms`, or None there and `why`.

        Raises:
            BadOrder: The text holds what none may.
            OrderRefused: There is no such device, it is held, or the journal cannot be written.
        """
        name, text = order.asked["device"], order.asked.get("text", TEXT)
        device = self._directory.devices.get(name)
        if device is None:
            raise OrderRefused(f"there is no device {name}")
        try:
            check_characters(text)
        except BadCharacter as exc:
            raise BadOrder(f"text: {exc.reason}") from exc
        there = self._stations.presence(name)
        ready = next((presence for presence in there if presence.address is not None and presence.receptive), None)
        if ready is None or ready.address is None:
            return _outcome({"device": name, "msn": None, "ms": None, "why": _why(there)})
        if {ready.address, device.address} & self._deliveries.held:
            raise OrderRefused(f"{name} is held by an operator")
        return _outcome(await self._time(device, ready, text, order))

    async def _time(self, device: Device, ready: Presence, text: str, order: Order) -> dict[str, Any]:
        assert ready.address is not None
        at, msn, wait_s = clock.wall_us(), self._lifecycle.writer.allot(), order.asked.get("wait_s", _WAIT_S)
        stored: asyncio.Future[JournalUnavailable | None] = asyncio.get_running_loop().create_future()
        facts: Facts = {"why": f"test by {order.by}", "pinned": True}  # it is this station that is tested
        transaction = Transaction(
            MessageRecord(
                msn, at, Direction.LOCAL, "administrative", agency=device.agency, text=text, transaction=msn,
                reason=order.reason, events=(Event(msn, at, Life.ROUTED, ready.address, facts),),
            ),
            station=ready.identity,
        )  # fmt: skip
        try:
            self._lifecycle.begin(transaction, tells(stored))
            failure = await stored
        except JournalUnavailable as exc:
            failure = exc
        if failure is not None:
            raise OrderRefused("the journal cannot be written, so nothing is sent")
        answered = self._waiting[msn] = asyncio.get_running_loop().create_future()
        began = clock.monotonic()
        why: str | None = None
        try:
            self._deliveries.deliver(transaction.stays.values())
            async with asyncio.timeout(wait_s):
                refused = await answered
            why = f"it refused it: {refused}" if refused is not None else None
        except TimeoutError:
            why = f"no acknowledgement within {wait_s:g} s"
        finally:
            del self._waiting[msn]
        taken_s = clock.monotonic() - began
        if why is not None:
            self._withdraw(ready.address, msn)
        ms = round(taken_s * 1e3, 1) if why is None else None
        return {"device": device.device, "msn": msn, "ms": ms, "why": why}

    def _withdraw(self, address: str, msn: int) -> None:
        """Take a test message back that still waits; one on its way is left to the station."""
        outbox = self._deliveries.outboxes.get(address)
        if outbox is not None and (stay := outbox.remove(msn)) is not None:
            self._lifecycle.note(stay, Life.CANCELLED, {"why": "the test is over"})

    def _heard(self, stay: Stay, refused: str | None) -> None:
        answered = self._waiting.get(stay.msn)
        if answered is not None and not answered.done():
            answered.set_result(refused)


def _outcome(answer: dict[str, Any]) -> Outcome:
    return Outcome(answer, None, answer)


def _why(there: list[Presence]) -> str:
    """Say why a device takes nothing."""
    if not there:
        return "it is not connected"
    states = sorted({presence.state for presence in there})
    return f"it takes no messages: {', '.join(states)}"
