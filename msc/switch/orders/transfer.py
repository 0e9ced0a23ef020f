"""How a message gets from one queue to another: looked at, taken out, journaled, and brought where it goes.

Whatever moves a message is an event where it leaves and one where it arrives, and both are durable before it goes on:
a switch that is killed in between finds it in exactly one place. Meanwhile it is in no queue, so that nothing sends
it. An update that may have reached the state never goes out again unless that is said in so many words.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from msc import clock
from msc.access.control_point import AccessControlPoint
from msc.errors import MSCError, Overloaded
from msc.journal.reader import Entry as Found
from msc.journal.writer import JournalWriter
from msc.limits import FORWARD_HOPS_MAX
from msc.log import get_logger
from msc.protocol.catalog import Catalog
from msc.switch import recovery
from msc.switch.confirmations import NOTHING, Beside
from msc.switch.delivery import Deliveries
from msc.switch.intake import objection
from msc.switch.leg import NO_LEGS, Legs
from msc.switch.operator_queue import Entry
from msc.switch.orders.eligibility import why_unfit
from msc.switch.orders.queue_view import QueueView
from msc.switch.orders.verb import Order, OrderRefused, Outcome
from msc.switch.traffic import LineTraffic
from msc.transit.event import OPERATOR_QUEUE, Event, Life
from msc.transit.message import Direction, MessageRecord
from msc.transit.outbox import Outgoing
from msc.transit.pending import Pending

log = get_logger("switch")


class Records(Protocol):
    """What finds messages of the journal; see `msc.journal.lookup`."""

    async def entries(self, msns: Sequence[int]) -> dict[int, Found]:
        """Return messages by their MSNs; those there are."""

    async def by_isn(self, isn: int, source: str, since_us: int, until_us: int) -> list[Found]:
        """Return the messages of an input sequence number."""

    async def by_osn(self, osn: int, destination: str, since_us: int, until_us: int) -> list[Found]:
        """Return the messages of an output sequence number."""


@dataclass(slots=True)
class Way:
    """A message on its way from one place to others.

    Attributes:
        found: Of the journal.
        source: The address it leaves; None where it is queued again or copied, and leaves nothing.
        targets: Addresses it goes to.
        detail: Of the `routed` event at each of these.
        go: Sends it there.
        back: Puts it back where it was.
        ends_as: What ends it at its source; None is `forwarded`, or `cancelled` where it goes nowhere.
        beside: What it means for a clock.
        legs: Its ways to stations, where they were found as for a message that comes.
    """

    found: Found
    source: str | None
    targets: Sequence[str]
    detail: str
    go: Callable[[], None]
    back: Callable[[], None] = lambda: None
    ends_as: Life | None = None
    beside: Beside = NOTHING
    legs: Legs = NO_LEGS

    @property
    def addresses(self) -> list[str]:
        """Where it goes altogether."""
        return [*self.targets, *(leg.address or OPERATOR_QUEUE for leg in self.legs.legs)]


class Passage:
    """Takes messages out of queues, and brings them into others.

    Args:
        durable: Waits until all that was noted is in the journal; tells whether it is.
    """

    def __init__(
        self,
        *,
        catalog: Catalog,
        point: AccessControlPoint,
        writer: JournalWriter,
        traffic: LineTraffic,
        deliveries: Deliveries,
        view: QueueView,
        records: Records,
        durable: Callable[[], Awaitable[bool]],
    ) -> None:
        self.records = records
        self.durable = durable
        self._catalog = catalog
        self._point = point
        self._writer = writer
        self._traffic = traffic
        self._deliveries = deliveries
        self._operator = deliveries.operator_queue
        self._view = view

    # --- an order about several ---------------------------------------------------------------------------

    async def each(self, order: Order, source: str, prepare: Callable[[Found], Way]) -> Outcome:
        """Do something with each message of an order that can be had; say of the others why not."""
        msns = self._view.waiting(source) if "all" in order.asked else list(order.asked["msns"])
        # What takes time comes first: from where a message is taken to its event, nothing may come in between.
        await self.durable()
        records = await self.records.entries(msns)
        ways, not_done = [], []
        for msn in msns:
            try:
                if (found := records.get(msn)) is None:
                    raise OrderRefused("the journal does not hold it")
                ways.append(prepare(found))
            except OrderRefused as exc:
                not_done.append({"msn": msn, "why": str(exc)})
        faulty = await self.go(order, ways)
        not_done += [{"msn": way.found.message.msn, "why": _FAULT} for way in faulty]
        ways = [way for way in ways if way not in faulty]
        done = [way.found.message.msn for way in ways]
        targets = sorted({target for way in ways for target in way.addresses})
        return Outcome(
            {"done": done, "not_done": not_done}, {"at": source, "msns": msns}, {"at": targets, "msns": done}
        )

    async def go_alone(self, order: Order, way: Way) -> None:
        """Journal where a message goes, and send it there once that is durable.

        Raises:
            OrderRefused: It cannot be journaled, and is where it was; or it did not arrive.
        """
        if await self.go(order, [way]):
            raise OrderRefused(_FAULT)

    async def go(self, order: Order, ways: Sequence[Way]) -> list[Way]:
        """Journal where messages go, and send them there once that is durable.

        Returns:
            Those that did not arrive because the switch is wrong somewhere: they wait for the operator.

        Raises:
            OrderRefused: It cannot be journaled; they are where they were.
        """
        at = clock.wall_us()
        for way in ways:
            msn = way.found.message.msn
            if way.source is not None:
                left = way.ends_as or (Life.FORWARDED if way.addresses else Life.CANCELLED)
                whither = f"to {', '.join(way.addresses)} by {order.words}" if way.addresses else order.words
                self._writer.note(Event(msn, at, left, way.source, whither))
            routed = [Event(msn, at, Life.ROUTED, target, way.detail) for target in way.targets]
            for event in (*routed, *way.legs.events(msn, at), *way.beside.events):
                self._writer.note(event)
        if ways and not await self.durable():
            self._undo(ways)
            raise OrderRefused("the journal cannot be written, so nothing is changed")
        faulty = []
        for way in ways:
            try:
                way.beside.then()
                way.go()
            except Exception:
                # We are wrong. The others have left their queues as well, and must arrive.
                log.exception("order.fault", msn=way.found.message.msn, order=order.verb)
                faulty.append(way)
                self._to_operator(way)
        if ways:
            await self._refill()
        return faulty

    async def _refill(self) -> None:
        """List what stood in the journal alone because too much waited for the operator, as far as there is room."""
        missing = self._operator.missing(self._writer.owed)
        if not missing:
            return
        try:
            records = await self.records.entries([msn for msn, _ in missing])
        except MSCError as exc:
            # The order is done; the next one tries again.
            log.warning("operator_queue.not_read_back", why=str(exc))
            return
        for msn, queue in missing:
            if (found := records.get(msn)) is not None:
                self._operator.read_back(msn, queue, found.events)

    def _to_operator(self, way: Way) -> None:
        """Give a message to the operator that left its queue and did not arrive."""
        msn, at = way.found.message.msn, clock.wall_us()
        entry, arrived = self._traffic.pending.find(way.found.message.header or ""), self._view.places(msn)
        for target in way.addresses:
            place, _, name = target.partition(":")
            if target in arrived or (place == "line" and entry is not None and name in entry.awaited):
                continue  # where an answer is awaited, the time-out ends it, and its originator is told
            # How far it came on a line nobody knows.
            life = Life.OUTCOME_UNKNOWN if place == "line" else Life.CANCELLED
            self._writer.note(Event(msn, at, life, target, _FAULT))
        if OPERATOR_QUEUE not in arrived:
            self._writer.note(Event(msn, at, Life.ROUTED, OPERATOR_QUEUE, _FAULT))
            self._operator.add(msn, way.source, _FAULT, at)

    def _undo(self, ways: Sequence[Way]) -> None:
        """Put messages back. Their events wait for the journal in memory, and so does that they do not hold."""
        at, why = clock.wall_us(), "the journal could not be written"
        for way in reversed(ways):
            msn = way.found.message.msn
            for target in (*way.addresses, *(event.destination for event in way.beside.events)):
                self._writer.note(Event(msn, at, Life.CANCELLED, target, why))
            if way.source is not None:
                self._writer.note(Event(msn, at, Life.ROUTED, way.source, why))
            way.back()

    # --- taking out ---------------------------------------------------------------------------------------

    async def find(self, msn: int) -> Found:
        """Return a message of the journal, with all that has happened to it so far.

        Raises:
            OrderRefused: There is none.
        """
        await self.durable()
        found = (await self.records.entries([msn])).get(msn)
        if found is None:
            raise OrderRefused(f"the journal holds no message {msn}")
        return found

    def entry(self, record: MessageRecord) -> Pending:
        """Return the transaction a message of a station began; rebuilt if it is not remembered."""
        known = self._traffic.pending.find(record.header or "")
        return known or recovery.pending_of(record, self._catalog, self._point.directory)

    def peek(self, address: str, msn: int) -> Outgoing | None:
        """Return a message that waits for a line or a station; None for one that waits for the operator.

        Raises:
            OrderRefused: It does not wait there, or is on its way.
        """
        if address.startswith("operator:"):
            if self._operator.find(msn, address) is None:
                raise OrderRefused(f"it does not wait at {address}")
            return None
        outbox = self._view.outbox(address)
        message = outbox.find(msn) if outbox is not None else None
        if message is None:
            on_its_way = outbox is not None and any(each.msn == msn for each in outbox.unacknowledged())
            raise OrderRefused(
                "it is on its way, and not acknowledged yet" if on_its_way else "it does not wait there"
            )
        return message

    def take(self, address: str, msn: int) -> Outgoing | Entry:
        """Take a message out of where it waits; see `peek`."""
        message = self.peek(address, msn)
        if message is None:
            taken = self._operator.take(msn, address)
            assert taken is not None
            return taken
        outbox = self._view.outbox(address)
        assert outbox is not None
        outbox.drop(message)
        return message

    def put_back(self, address: str, taken: Outgoing | Entry) -> None:
        """Put a message back where it was taken out."""
        if isinstance(taken, Entry):
            self._operator.keep(taken)
            return
        outbox = self._view.outbox(address)
        if outbox is None:
            self._deliveries.push(address, taken)
        else:
            outbox.give_back(taken)

    # --- bringing there -----------------------------------------------------------------------------------

    def arrive(self, found: Found, target: str, message: Outgoing | None) -> None:
        """Put a message where it was routed."""
        record, (place, _, name) = found.message, target.partition(":")
        if place == "operator":
            self._operator.add(record.msn, None, "put here by an operator", clock.wall_us(), target)
        elif place == "line":
            self.on_lines(found, [name])
        else:
            if message is None:
                message = recovery.to_station(record, was_sent(found))
            self.deliver(target, message)

    def deliver(self, target: str, message: Outgoing) -> None:
        """Give a message to a station, where it stays: the operator has said where, and no forward takes it on."""
        message.hops = FORWARD_HOPS_MAX
        message.expires_us = self._deliveries.expiry(message.kind, clock.wall_us())
        self._deliveries.push(target, message)

    def on_lines(self, found: Found, names: Sequence[str], *, duplicate: bool | None = None) -> None:
        """Send a message on lines; its originator waits for an answer of each."""
        record, pending = found.message, self._traffic.pending
        entry, text = self.entry(record), recovery.line_text(record)
        if pending.find(entry.header) is None:
            pending.add(entry, clock.monotonic())
        for name in names:
            pending.await_also(entry, name, clock.monotonic())
        again = was_on_line(found) if duplicate is None else duplicate
        # Who is told of one that cannot be had is told of the others that could, so these come first.
        for name in sorted(names, key=lambda name: self._traffic.trunks[name].active is None):
            self._traffic.send(entry, name, text, possible_duplicate=again)

    # --- what does not belong there -----------------------------------------------------------------------

    def check_target(self, target: str) -> None:
        """Refuse a destination there is not, or that takes nothing.

        Raises:
            OrderRefused: It is one; says why.
        """
        if target.startswith("operator:"):
            return
        self._view.outbox(target)
        if target.startswith("line:"):
            trunk = self._traffic.trunks[target.removeprefix("line:")]
            if trunk.active is None:
                raise OrderRefused(f"{target} is down, and nothing is queued for a line that is down")

    def check_fit(self, found: Found, target: str, message: Outgoing | None, *, send_again: bool = False) -> None:
        """Refuse to bring a message where it does not belong.

        Raises:
            OrderRefused: It does not; says why.
        """
        record, (place, _, name) = found.message, target.partition(":")
        if place == "line":
            self._check_line(found, name, send_again=send_again)
        elif place in ("device", "user"):
            directory = self._point.directory
            row = directory.devices[name] if place == "device" else directory.users[name]
            if record.kind in ("response", "status") and row.agency != record.agency:
                raise OrderRefused("it answers somebody of another agency, and is for them alone")
            if place == "device" and (why := why_unfit(directory, record, directory.devices[name], self._modes())):
                raise OrderRefused(why)
            outbox = self._deliveries.outboxes.get(target)
            if outbox is not None and outbox.full_for(message or recovery.to_station(record, False)):
                raise OrderRefused(f"too many messages wait at {target}")

    def _modes(self) -> dict[str, str]:
        """Return `production` or `test` by the name of the line, backups included."""
        return {line.name: line.mode for trunk in self._traffic.trunks.values() for line in trunk.carriers}

    def _check_line(self, found: Found, name: str, *, send_again: bool) -> None:
        record, trunk = found.message, self._traffic.trunks[name]
        if not of_station(record) or record.header is None:
            raise OrderRefused("only a station's message goes out on a line")
        entry = self.entry(record)
        if entry.key is None:
            raise OrderRefused("the catalog does not have its message key any more")
        if self._traffic.pending.find(entry.header) is None:
            try:
                self._traffic.pending.check_room()
            except Overloaded as exc:
                raise OrderRefused(exc.reason) from exc
        if name in entry.awaited:
            raise OrderRefused(f"an answer of {name} is awaited already")
        if entry.update and was_on_line(found) and not send_again:
            raise OrderRefused(
                f"it is an update ({entry.key.code}) that may have reached the state: look there first, then "
                "`msc queue requeue --yes-send-again`"
            )
        mnemonic = self._point.directory.mnemonics.get(record.mnemonic or "")
        if mnemonic is not None and mnemonic.mode.value != trunk.primary.mode:
            raise OrderRefused(f"{record.mnemonic} is a {mnemonic.mode.value} mnemonic, and {name} is not")
        if (against := objection(self._point, entry)) is not None:
            raise OrderRefused(f"its sender may not send it any more: {against.code} {against.reason}")


_FAULT: Final = "a fault of the switch, see its log; it is in the operator's queue"
_NEVER_LEFT: Final = frozenset(
    {Life.ROUTED, Life.QUEUED, Life.NOT_SENT, Life.REPRIORITISED, Life.FORWARDED, Life.CANCELLED}
)
"""Events on a line after which the state cannot have a message; after any other it may."""


def of_station(record: MessageRecord) -> bool:
    """Tell whether a message is one that a station has sent."""
    return record.direction != Direction.INBOUND and record.kind != "status" and record.user is not None


def was_sent(found: Found) -> bool:
    """Tell whether a message has been on its way before."""
    return any(event.event == Life.SENT for event in found.events)


def on_a_line(found: Found) -> list[Event]:
    """Return what has happened to a message on lines."""
    return [event for event in found.events if (event.destination or "").startswith("line:")]


def was_on_line(found: Found) -> bool:
    """Tell whether the state may have got a message.

    That it was sent need not stand in the journal: a switch that was killed may have sent it a moment before.
    """
    return any(event.event not in _NEVER_LEFT for event in on_a_line(found))
