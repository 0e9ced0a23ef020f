"""What operators have done to a running switch: lines and devices held, tested and restarted, alternates, notices.

Every verb of `verb.py` comes in at `perform`. Those about messages are for `QueueWork` and `InterceptWork`; hit
confirmations and bulletins are done by whoever serves them. Orders are done one after the other. Those about messages
look into the journal and have a row of their own, so that no line waits for that before it is held. What waits for
somebody else, and what only looks, goes beside them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

from pydantic import ValidationError

from msc import clock
from msc.directory.rows import Directory
from msc.errors import BadCharacter
from msc.limits import INTERCEPT_RULES_MAX, STANDING_ORDERS_MAX
from msc.log import get_logger
from msc.protocol.catalog import Catalog
from msc.protocol.line_state import LineState
from msc.protocol.text import check_characters
from msc.routing.criteria import CriteriaRow, unknown_keys
from msc.routing.forwarding import Alternate as DeviceAlternate
from msc.routing.forwarding import When
from msc.switch.delivery import Deliveries
from msc.switch.lifecycle import Lifecycle
from msc.switch.orders.echo import Echo
from msc.switch.orders.in_force import Alternate, Hold, InterceptRule, StandingOrders, save_orders
from msc.switch.orders.intercept import Intercepts, of_mnemonics_alone
from msc.switch.orders.intercept_work import InterceptWork
from msc.switch.orders.queue_view import QueueView
from msc.switch.orders.queue_work import QueueWork
from msc.switch.orders.verb import VERBS, BadOrder, Order, OrderRefused, Outcome
from msc.switch.port import LinePort, Presence
from msc.switch.redirect import Redirection, station_facts
from msc.switch.traffic import LineTraffic
from msc.switch.trunk import Trunk
from msc.transit.event import INTERCEPT

log = get_logger("switch")

_ABOUT_MESSAGES: Final = frozenset(
    {
        "queue_move", "queue_copy", "queue_delete", "queue_reprioritise", "queue_requeue", "intercept_edit",
        "intercept_release",
    }
)  # fmt: skip
"""Orders about messages that an operator names, each of which is looked up in the journal."""


class Stations(Protocol):
    """What is needed of the stations that are connected."""

    def presence(self, device: str | None = None) -> list[Presence]:
        """Return who is there, at one device or at all."""

    def notify(self, text: str, wanted: Callable[[Presence], bool]) -> list[Presence]:
        """Show a text to people; returns where."""

    def disconnect(self, device: str, reason: str) -> int:
        """End a device's connections; returns how many there were."""


class Bulletins(Protocol):
    """What keeps the bulletin board."""

    async def post(self, text: str, until_us: int | None, by: str) -> dict[str, Any]:
        """Post a bulletin; returns it, with its `number`."""

    def list(self) -> list[dict[str, Any]]:
        """Return those that hang."""

    async def withdraw(self, number: int, by: str) -> dict[str, Any]:
        """Take one down; returns it. Raises `OrderRefused` if there is none."""


class Confirmations(Protocol):
    """What keeps the clocks of hit confirmations."""

    def rows(self, agency: str | None = None) -> list[dict[str, Any]]:
        """Return the requests nobody has answered."""


class Operations:
    """Does what operators order.

    Args:
        orders: In force from the start.
        file: Where they stand.
        lines: By name, backups included.
        forwards: Says where messages for a device go.
    """

    def __init__(
        self,
        *,
        orders: StandingOrders,
        file: Path,
        catalog: Catalog,
        directory: Directory,
        lifecycle: Lifecycle,
        traffic: LineTraffic,
        deliveries: Deliveries,
        lines: Mapping[str, LinePort],
        stations: Stations,
        forwards: Redirection,
        intercepts: Intercepts,
        view: QueueView,
        work: QueueWork,
        intercept_work: InterceptWork,
        bulletins: Bulletins,
        confirmations: Confirmations,
    ) -> None:
        self._bulletins = bulletins
        self._confirmations = confirmations
        self._orders = orders
        self._file = file
        self._catalog = catalog
        self._directory = directory
        self._traffic = traffic
        self._deliveries = deliveries
        self._lines = lines
        self._stations = stations
        self._forwards = forwards
        self._intercepts = intercepts
        self.view = view
        self._echo = Echo(directory, lifecycle, deliveries, stations)
        self._lock = asyncio.Lock()
        self._messages_lock = asyncio.Lock()
        self._since: dict[str, tuple[str, int]] = {}
        self._verbs: Final[Mapping[str, Callable[[Order], Awaitable[Outcome]]]] = {
            "line_status": self._line_status,
            "line_hold": self._line_hold,
            "line_release": self._line_release,
            "line_restart": self._line_restart,
            "line_test": self._line_test,
            "device_status": self._device_status,
            "device_hold": self._device_hold,
            "device_release": self._device_release,
            "device_restart": self._device_restart,
            "alternate_list": self._alternate_list,
            "alternate_set": self._alternate_set,
            "alternate_clear": self._alternate_clear,
            "queue_list": view.queue_list,
            "queue_show": work.queue_show,
            "queue_move": work.queue_move,
            "queue_copy": work.queue_copy,
            "queue_delete": work.queue_delete,
            "queue_reprioritise": work.queue_reprioritise,
            "queue_requeue": work.queue_requeue,
            "intercept_list": self._intercept_list,
            "intercept_set": self._intercept_set,
            "intercept_clear": self._intercept_clear,
            "intercept_edit": intercept_work.intercept_edit,
            "intercept_release": intercept_work.intercept_release,
            "notice_send": self._notice_send,
            "echo": self._echo.send,
            "hitconf_list": self._hitconf_list,
            "bulletin_post": self._bulletin_post,
            "bulletin_list": self._bulletin_list,
            "bulletin_withdraw": self._bulletin_withdraw,
        }
        assert self._verbs.keys() == VERBS.keys()

    async def perform(self, order: Order) -> Outcome:
        """Do what an operator who may asks for.

        Raises:
            BadOrder: It is not an order.
            OrderRefused: It cannot be done.
            NotServed: Nobody here does that.
            MSCError: The world failed: a line does not answer, the journal cannot be read.
        """
        verb, do = VERBS[order.verb], self._verbs[order.verb]
        if verb.look or verb.waits:
            return await do(order)
        async with self._messages_lock if order.verb in _ABOUT_MESSAGES else self._lock:
            return await do(order)

    # --- what stands from the start -------------------------------------------------------------------

    def begin(self) -> None:
        """Put the standing orders into force; once, before anybody can connect."""
        for address in self._orders.holds:
            self._hold(address)
        for alternate in self._orders.alternates.values():
            trunk = self._traffic.trunks.get(alternate.replaced.removeprefix("line:"))
            if trunk is not None and alternate.replaced.startswith("line:"):
                trunk.force(alternate.to.removeprefix("line:"), clock.monotonic())
        self._forwards.use_alternates(_of_devices(self._orders))
        self._intercepts.use(self._orders.intercepts.values())
        if len(self._orders):
            log.warning("orders.in_force", holds=len(self._orders.holds), alternates=len(self._orders.alternates),
                        intercepts=len(self._orders.intercepts))  # fmt: skip
        self.tick()

    def tick(self) -> None:
        """Note since when lines stand as they do; called a few times a second."""
        for name, line in self._lines.items():
            if self._since.get(name, ("", 0))[0] != line.state:
                self._since[name] = (line.state, clock.wall_us())

    async def _change(self, orders: StandingOrders) -> None:
        """Let other orders stand.

        Raises:
            OrderRefused: There are too many.
            OrdersError: They cannot be written, and nothing is changed.
        """
        if len(orders) > STANDING_ORDERS_MAX:
            raise OrderRefused(f"there are {STANDING_ORDERS_MAX} standing orders already")
        # Off the loop: the disk may be slow.
        await asyncio.to_thread(save_orders, orders, self._file)
        self._orders = orders

    def _hold(self, address: str) -> None:
        place, _, name = address.partition(":")
        if place == "line":
            for line in self._carriers(name):
                line.hold()
        else:
            self._deliveries.hold(address)

    def _release(self, address: str) -> None:
        place, _, name = address.partition(":")
        if place != "line":
            self._deliveries.release(address)
            return
        for line in self._carriers(name):
            if not self._is_held(line):
                line.release()

    def _is_held(self, line: LinePort) -> bool:
        """Tell whether an order holds a line: its own, or its destination's."""
        trunk = self._trunk_of(line)
        return any(f"line:{name}" in self._orders.holds for name in {line.name, trunk.name if trunk else line.name})

    def _carriers(self, name: str) -> Iterable[LinePort]:
        """Return what an order about a name means: all carriers of a destination, or one line."""
        trunk = self._traffic.trunks.get(name)
        if trunk is not None:
            return trunk.carriers
        line = self._lines.get(name)
        return (line,) if line is not None else ()

    def _trunk_of(self, line: LinePort) -> Trunk | None:
        return next((trunk for trunk in self._traffic.trunks.values() if line in trunk.carriers), None)

    # --- lines --------------------------------------------------------------------------------------------

    def _line(self, order: Order) -> LinePort:
        name = order.asked["line"]
        line = self._lines.get(name)
        if line is None:
            raise OrderRefused(f"there is no line {name}; lines are {', '.join(sorted(self._lines))}")
        return line

    async def _line_status(self, order: Order) -> Outcome:
        lines = [self._line(order)] if "line" in order.asked else list(self._lines.values())
        awaiting = self._traffic.transit.awaited()
        return Outcome({"lines": [self._line_row(line, awaiting) for line in lines]})

    def _line_row(self, line: LinePort, awaiting: Mapping[str, int]) -> dict[str, Any]:
        self.tick()
        state, since_us = self._since[line.name]
        row = {
            "line": line.name, "mode": line.mode, "state": str(state), "since": clock.rfc3339(since_us),
            "since_s": round((clock.wall_us() - since_us) / 1e6, 1), "held": self._is_held(line),
        }  # fmt: skip
        trunk = self._trunk_of(line)
        if trunk is None or trunk.primary is not line:
            return {**row, "why": f"backup of {trunk.name}" if trunk is not None else None}
        why = self.view.why(trunk.address)
        if row["held"] and line.state is not LineState.HELD:
            why = f"{why}; held by an operator" if why else "held by an operator"
        return {
            **row,
            "carried_by": trunk.active.name if trunk.active is not None else None,
            **self.view.load(trunk.address),
            "awaiting": awaiting.get(trunk.name, 0),
            "why": why,
        }

    async def _line_hold(self, order: Order) -> Outcome:
        return await self._set_hold(order, self._line(order).address, self._line_facts)

    async def _line_release(self, order: Order) -> Outcome:
        address = f"line:{order.asked['line']}"
        before = self._line_facts(order) if order.asked["line"] in self._traffic.trunks else None
        if self._traffic.in_service(order.asked["line"]) and address not in self._orders.holds:
            # Nothing but the state's word was in the way.
            after = self._line_facts(order)
            return Outcome(after, before, after)
        # What is held may be no more; then the order is only forgotten.
        gone = address in self._orders.holds and order.asked["line"] not in self._lines
        return await self._clear_hold(order, address, _named if gone else self._line_facts)

    def _line_facts(self, order: Order) -> dict[str, Any]:
        line = self._line(order)
        facts = {"line": line.name, "state": str(line.state), "held": self._is_held(line)}
        out = [
            outage.database or "everything" for outage in self._traffic.services.outages() if outage.line == line.name
        ]
        return {**facts, "out_of_service": out} if out else facts

    async def _line_restart(self, order: Order) -> Outcome:
        line, before = self._line(order), self._line_facts(order)
        line.restart("restarted by an operator")
        after = self._line_facts(order)
        return Outcome(after, before, after)

    async def _line_test(self, order: Order) -> Outcome:
        line = self._line(order)
        answer = {"line": line.name, "ms": round(await line.test() * 1e3, 1)}
        return Outcome(answer, None, answer)

    # --- devices ------------------------------------------------------------------------------------------

    def _device(self, order: Order) -> str:
        name: str = order.asked["device"]
        if name not in self._directory.devices:
            raise OrderRefused(f"there is no device {name}")
        return name

    async def _device_status(self, order: Order) -> Outcome:
        names = [self._device(order)] if "device" in order.asked else sorted(self._directory.devices)
        there: dict[str, list[Presence]] = {}
        for presence in self._stations.presence():
            there.setdefault(presence.device.device, []).append(presence)
        return Outcome({"devices": [self._device_row(name, there.get(name, [])) for name in names]})

    def _device_row(self, name: str, there: list[Presence]) -> dict[str, Any]:
        device, now_us = self._directory.devices[name], clock.wall_us()
        since_us = max((presence.since_us for presence in there), default=None)
        alternate = self._orders.alternates.get(device.address)
        # Under a pooled mnemonic messages wait for the person.
        address = next((presence.address for presence in there if presence.address is not None), device.address)
        load = self.view.load(address)
        return {
            "device": name, "kind": device.kind.value, "agency": device.agency,
            "state": ", ".join(sorted({presence.state for presence in there})) or "not connected",
            "since": clock.rfc3339(since_us) if since_us is not None else None,
            "since_s": round((now_us - since_us) / 1e6, 1) if since_us is not None else None,
            "people": sorted({person for presence in there for person in presence.people}),
            "held": device.address in self._deliveries.held,
            **load,
            "alternate": alternate.to if alternate is not None else None,
            "why": self.view.why(address) if load["waiting"] else None,
        }  # fmt: skip

    async def _device_hold(self, order: Order) -> Outcome:
        return await self._set_hold(order, f"device:{self._device(order)}", self._device_facts)

    async def _device_release(self, order: Order) -> Outcome:
        address = f"device:{order.asked['device']}"
        gone = address in self._orders.holds and order.asked["device"] not in self._directory.devices
        return await self._clear_hold(order, address, _named if gone else self._device_facts)

    def _device_facts(self, order: Order) -> dict[str, Any]:
        name = self._device(order)
        return {"device": name, "held": f"device:{name}" in self._deliveries.held}

    async def _device_restart(self, order: Order) -> Outcome:
        name = self._device(order)
        ended = self._stations.disconnect(name, "restarted by an operator")
        if not ended:
            raise OrderRefused(f"{name} is not connected")
        return Outcome({"device": name, "ended": ended}, {"connections": ended}, {"connections": 0})

    # --- holds --------------------------------------------------------------------------------------------

    async def _set_hold(self, order: Order, address: str, facts: Callable[[Order], dict[str, Any]]) -> Outcome:
        if address in self._orders.holds:
            raise OrderRefused(f"{address} is held already, by {self._orders.holds[address].by}")
        before, orders = facts(order), self._orders.copy()
        orders.holds[address] = Hold(address=address, **_given(order))
        await self._change(orders)
        self._hold(address)
        after = facts(order)
        return Outcome(after, before, after)

    async def _clear_hold(self, order: Order, address: str, facts: Callable[[Order], dict[str, Any]]) -> Outcome:
        before, orders = facts(order), self._orders.copy()
        if address not in orders.holds:
            raise OrderRefused(f"{address} is not held")
        del orders.holds[address]
        await self._change(orders)
        self._release(address)
        after = facts(order)
        return Outcome(after, before, after)

    # --- alternates ---------------------------------------------------------------------------------------

    async def _alternate_list(self, _order: Order) -> Outcome:
        rows = []
        for alternate in self._orders.alternates.values():
            place, _, name = alternate.replaced.partition(":")
            if place == "line":
                trunk = self._traffic.trunks.get(name)
                in_use = trunk is not None and trunk.active is not None and trunk.active.address == alternate.to
            else:
                # A forward by the clock goes before an alternate for when the device is down.
                hops = self._forwards.hops(alternate.replaced)
                in_use = bool(hops) and hops[0].alternate
            rows.append({**alternate.as_json(), "in_use": in_use})
        return Outcome({"alternates": [*rows, *self._of_the_file()]})

    def _of_the_file(self) -> list[dict[str, Any]]:
        """Return the file's forwards and alternates that no operator's stands in the place of."""
        rows = []
        for rule in self._forwards.forwarding.of_the_file():
            source = f"device:{rule.source}"
            hops = self._forwards.hops(source)
            rows.append({
                "for": source, "to": f"device:{rule.target}",
                "always": rule.when is When.ALWAYS if isinstance(rule, DeviceAlternate) else None,
                "in_use": bool(hops) and hops[0].rule == rule.name, "by": "forwarding file", "reason": rule.name,
            })  # fmt: skip
        return rows

    async def _alternate_set(self, order: Order) -> Outcome:
        asked = order.asked
        alternate = Alternate.model_validate(
            {"for": asked["for"], "to": asked["to"], "always": asked.get("always", False), **_given(order)}
        )
        before, orders = self._orders.alternates.get(alternate.replaced), self._orders.copy()
        orders.alternates[alternate.replaced] = alternate
        place, _, name = alternate.replaced.partition(":")
        if place == "line":
            trunk = self._carried(name, alternate.to)
            await self._change(orders)
            trunk.force(alternate.to.removeprefix("line:"), clock.monotonic())
        else:
            forwarding = self._forwards.forwarding.with_alternates(_of_devices(orders))
            facts = station_facts(self._directory)
            known = set(self._forwards.forwarding.problems(facts))
            if wrong := [each.problem for each in forwarding.problems(facts) if each not in known]:
                raise OrderRefused("; ".join(wrong))
            await self._change(orders)
            self._forwards.use_alternates(_of_devices(orders))
            self._deliveries.redirect_waiting(alternate.replaced)
        after = alternate.as_json()
        return Outcome({"alternate": after}, before.as_json() if before is not None else None, after)

    def _carried(self, name: str, to: str) -> Trunk:
        """Return a destination that has a carrier.

        Raises:
            OrderRefused: There is no such destination, or it has no such carrier.
        """
        trunk = self._traffic.trunks.get(name)
        if trunk is None:
            raise OrderRefused(f"there is no destination line:{name}")
        if to not in (carriers := [line.address for line in trunk.carriers]):
            raise OrderRefused(f"line:{name} can be carried by {', '.join(carriers)}")
        return trunk

    async def _alternate_clear(self, order: Order) -> Outcome:
        replaced = order.asked["for"]
        before, orders = self._orders.alternates.get(replaced), self._orders.copy()
        if before is None:
            raise OrderRefused(f"nobody takes over for {replaced}")
        del orders.alternates[replaced]
        await self._change(orders)
        trunk = self._traffic.trunks.get(replaced.removeprefix("line:"))
        if trunk is not None and replaced.startswith("line:"):
            trunk.force(None, clock.monotonic())
        self._forwards.use_alternates(_of_devices(orders))
        file = (each for each in self._forwards.forwarding.alternates if f"device:{each.source}" == replaced)
        again = next((f"device:{each.target}" for each in file), None)
        return Outcome({"for": replaced, "again": again}, before.as_json(), None)

    # --- intercepts ---------------------------------------------------------------------------------------

    async def _intercept_list(self, _order: Order) -> Outcome:
        rules = [rule.as_json() for rule in self._orders.intercepts.values()]
        return Outcome({"rules": rules, "held": self.view.messages(INTERCEPT)})

    async def _intercept_set(self, order: Order) -> Outcome:
        name = order.asked["name"]
        try:
            criteria = CriteriaRow.model_validate(order.asked["criteria"])
        except ValidationError as exc:
            first = exc.errors(include_input=False)[0]
            raise BadOrder(f"criteria.{'.'.join(map(str, first['loc']))}: {first['msg']}") from exc
        if unknown := unknown_keys(criteria.keys, self._catalog):
            raise BadOrder(f"criteria.keys: no key of the catalog matches {', '.join(unknown)}")
        if not criteria.criteria().conditions:
            raise BadOrder("criteria: must look at something")
        before, orders = self._orders.intercepts.get(name), self._orders.copy()
        rule = InterceptRule(name=name, criteria=criteria, **_given(order))
        orders.intercepts[name] = rule
        if len(orders.intercepts) > INTERCEPT_RULES_MAX:
            raise OrderRefused(
                f"there are {INTERCEPT_RULES_MAX} rules already, and each is looked at for each message"
            )
        await self._change(orders)
        self._intercepts.use(orders.intercepts.values())
        after = {**rule.as_json(), "unsolicited": of_mnemonics_alone(rule)}
        return Outcome({"rule": after}, before.as_json() if before is not None else None, after)

    async def _intercept_clear(self, order: Order) -> Outcome:
        name, orders = order.asked["name"], self._orders.copy()
        before = orders.intercepts.pop(name, None)
        if before is None:
            raise OrderRefused(f"there is no rule {name}")
        await self._change(orders)
        self._intercepts.use(orders.intercepts.values())
        return Outcome({"name": name, "waiting": len(self.view.waiting(INTERCEPT))}, before.as_json(), None)

    # --- notices ------------------------------------------------------------------------------------------

    async def _notice_send(self, order: Order) -> Outcome:
        asked = order.asked
        try:
            check_characters(asked["text"])
        except BadCharacter as exc:
            raise BadOrder(f"text: {exc.reason}") from exc
        if "device" in asked:
            device = self._device(order)
            shown = self._stations.notify(asked["text"], lambda presence: presence.device.device == device)
        else:
            agency = asked.get("agency")
            if agency is not None and agency not in self._directory.agencies:
                raise OrderRefused(f"there is no agency {agency}")
            shown = self._stations.notify(
                asked["text"], lambda presence: bool(presence.people) and agency in (None, presence.device.agency)
            )
        to = [{"device": presence.device.device, "people": list(presence.people)} for presence in shown]
        return Outcome({"to": to}, None, {"to": to})

    # --- what others serve --------------------------------------------------------------------------------

    async def _hitconf_list(self, _order: Order) -> Outcome:
        return Outcome({"open": self._confirmations.rows()})

    async def _bulletin_post(self, order: Order) -> Outcome:
        until = order.asked.get("until")
        until_us = clock.parse_rfc3339(until) if until is not None else None
        posted = await self._bulletins.post(order.asked["text"], until_us, order.by)
        return Outcome(posted, None, posted)

    async def _bulletin_list(self, _order: Order) -> Outcome:
        return Outcome({"bulletins": self._bulletins.list()})

    async def _bulletin_withdraw(self, order: Order) -> Outcome:
        withdrawn = await self._bulletins.withdraw(order.asked["number"], order.by)
        return Outcome(withdrawn, withdrawn, None)


def _given(order: Order) -> dict[str, Any]:
    return {"by": order.by, "at_us": clock.wall_us(), "reason": order.reason}


def _named(order: Order) -> dict[str, Any]:
    """Return what can be said of a line or device that is no more."""
    return {**order.asked, "state": "no more"}


def _of_devices(orders: StandingOrders) -> list[DeviceAlternate]:
    """Return the alternates of devices, as forwarding knows them."""
    return [
        DeviceAlternate(
            alternate.replaced.removeprefix("device:"),
            alternate.to.removeprefix("device:"),
            When.ALWAYS if alternate.always else When.DOWN,
        )
        for alternate in orders.alternates.values()
        if alternate.replaced.startswith("device:")
    ]
