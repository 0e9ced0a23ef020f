"""A switch over a real journal whose operators can give orders, without sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import orjson

from msc.directory.rows import Device
from msc.journal.answers import Answers
from msc.journal.lookup import Lookup
from msc.journal.process import Part
from msc.protocol.frame import DATA, encode_frame
from msc.switch.assemble import assemble_orders
from msc.switch.orders.in_force import StandingOrders, load_orders
from msc.switch.orders.verb import Order, Outcome, check_order
from msc.switch.port import Presence
from msc.transit.message import MessageRecord
from msc.transit.transaction import Stay
from tests.support.journal import records_of
from tests.support.port import FakeStation
from tests.support.running import CATALOG, Running, events_of
from tests.switch.test_traffic import OPERATOR


class FakeStations:
    """Stations that are there because a test says so.

    Attributes:
        notices: What was shown, and where.
        ended: Devices whose connections were ended.
    """

    def __init__(self) -> None:
        self.there: list[Presence] = []
        self.notices: list[tuple[str, str]] = []
        self.ended: list[str] = []

    def presence(self, device: str | None = None) -> list[Presence]:
        """Return who is there."""
        return [each for each in self.there if device in (None, each.device.device)]

    def notify(self, text: str, wanted: Callable[[Presence], bool]) -> list[Presence]:
        """Note a notice."""
        shown = [each for each in self.there if wanted(each)]
        self.notices += [(each.device.device, text) for each in shown]
        return shown

    def disconnect(self, device: str, reason: str) -> int:
        """Note that a device's connections were ended."""
        self.ended.append(device)
        return len(self.presence(device))


class Operated(Running):
    """The switch, and what does the orders.

    Attributes:
        durable: Whether what is noted becomes durable.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.file = folder / "orders.json"
        self.stations = FakeStations()
        self.durable = True

    async def start(self, orders: StandingOrders | None = None) -> None:
        await super().start()
        self.answers = Answers(self.url, str(self.folder / "no.pub"))
        self.records = Lookup(self._ask)
        self.operations = assemble_orders(
            self.parts, catalog=CATALOG, point=self.point, orders=orders or load_orders(self.file), file=self.file,
            stations=self.stations, lines={"clets-a": self.line, "ncic-a": self.other}, records=self.records,
            durable=self._is_durable,
        )  # fmt: skip
        self.redirection, self.intercepts = self.parts.redirection, self.parts.intercepts
        self.view = self.operations.view
        self.operations.begin()
        self.writing = asyncio.create_task(self.writer.run())

    async def stop(self) -> None:
        self.writer.close()
        await self.writing
        await self.answers.close()
        await super().stop()

    async def settled(self) -> None:
        """Wait until the journal holds everything, also what followed from what it holds."""
        for _ in range(3):
            mark = self.writer.noted()
            while not self.writer.holds(mark):
                await asyncio.sleep(0)

    async def _is_durable(self) -> bool:
        await self.settled()
        return self.durable

    async def _ask(self, verb: str, asked: dict[str, Any]) -> AsyncGenerator[Part, None]:
        async for line in self.answers.answer(verb, asked):
            yield Part(orjson.dumps(line) + b"\n", 1)

    # --- what tests do --------------------------------------------------------------------------------

    async def order(self, verb: str, /, **asked: Any) -> Outcome:
        """Give an order; a name that is a word of Python ends in `_`."""
        members = {name.rstrip("_"): value for name, value in asked.items()}
        check_order(verb, members)
        outcome = await self.operations.perform(Order(verb, members, "roe", "printer is broken"))
        await self.settled()
        return outcome

    async def sends(self, text: str, device: str = "desk-1") -> int:
        """Let a signed-on terminal send a message; returns its MSN."""
        station = FakeStation(self.point.directory.devices[device])
        msn = self.writer.allot()
        station.session.receive_data(encode_frame(DATA, 1, text.encode()), 0.0)
        self.switch.take(station, 1, text.encode(), OPERATOR, None)
        await self.settled()
        return msn

    async def comes(self, text: str) -> int:
        """Let the state send a message; returns its MSN."""
        msn = self.writer.allot()
        self.traffic.line_message(self.line, msn, text.encode())
        await self.settled()
        return msn

    def receives(self, device: str) -> FakeStation:
        """Let a device receive from now on."""
        station = FakeStation(self.point.directory.devices[device])
        self.deliveries.attach(station.device.address, station)
        presence = Presence(
            station.identity, station.device, "active", 1, ("J40217",), station.device.address, True,
        )  # fmt: skip
        self.stations.there.append(presence)
        self.deliveries.pump(station.device.address)
        return station

    def queued(self, address: str) -> list[Stay]:
        """Return what waits for an address."""
        outbox = self.view.outbox(address)
        return outbox.queued() if outbox is not None else []

    async def life(self, msn: int) -> list[str]:
        """Return a message's events after its first `routed`: `forwarded at device:desk-2`."""
        events = [event for event in events_of(await records_of(self.url)) if event.msn == msn]
        return [f"{event.event} at {event.destination}" for event in events]

    async def record(self, msn: int) -> MessageRecord:
        """Return a message of the journal."""
        return next(r for r in await records_of(self.url) if isinstance(r, MessageRecord) and r.msn == msn)

    def device(self, name: str) -> Device:
        """Return a row of the directory."""
        return self.point.directory.devices[name]
