"""How a message gets from one queue to another: taken out, journaled, and brought where it goes.

Whatever moves a message is an event where it leaves and one where it arrives, and both are durable before it goes on:
a switch that is killed in between finds it in exactly one place. Meanwhile it is in no queue, so that nothing sends
it. An update that may have reached the state never goes out again unless that is said in so many words.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from msc import clock
from msc.access.control_point import AccessControlPoint
from msc.errors import Overloaded
from msc.journal.reader import Entry as Found
from msc.log import get_logger
from msc.protocol.catalog import Catalog
from msc.switch.confirmations import NOTHING, Beside
from msc.switch.delivery import Deliveries
from msc.switch.destinations import NOWHERE, Destinations
from msc.switch.intake import objection
from msc.switch.lifecycle import Lifecycle
from msc.switch.orders.eligibility import why_unfit
from msc.switch.orders.queue_view import QueueView
from msc.switch.orders.verb import Order, OrderRefused, Outcome
from msc.switch.recovery import address_of, key_of
from msc.switch.traffic import LineTraffic
from msc.transit.event import OPERATOR_QUEUE, Facts, Life
from msc.transit.message import Direction, MessageRecord
from msc.transit.state import Place, State
from msc.transit.transaction import Stay, Transaction

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
class Transfer:
    """A message on its way from one place to others.

    Attributes:
        transaction: The message.
        source: Where it leaves; None where it is queued again or copied, and leaves nothing.
        targets: Addresses it goes to, each with what its `routed` says.
        go: Sends it there, once that is durable.
        ends_as: What ends it at its source; None is `forwarded`, or `cancelled` where it goes nowhere.
        beside: What it means for a clock.
        diverted: Where it was meant to go and would not be seen, if that was found as for a message that comes.
    """

    transaction: Transaction
    source: Stay | None
    targets: Mapping[str, Facts]
    go: Callable[[], None]
    ends_as: Life | None = None
    beside: Beside = NOTHING
    diverted: Destinations = NOWHERE
    routed: list[Stay] = field(default_factory=list)


class Transfers:
    """Takes messages out of queues, and brings them into others.

    Args:
        durable: Waits until all that was noted is in the journal; tells whether it is.
    """

    def __init__(
        self,
        *,
        catalog: Catalog,
        point: AccessControlPoint,
        lifecycle: Lifecycle,
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
        self._lifecycle = lifecycle
        self._transit = lifecycle.transit
        self._traffic = traffic
        self._deliveries = deliveries
        self._operator = deliveries.operator_queue
        self._view = view

    # --- an order about several ---------------------------------------------------------------------------

    async def each(self, order: Order, source: str, prepare: Callable[[Stay], Transfer]) -> Outcome:
        """Do something with each message of an order that can be had; say of the others why not."""
        msns = self._view.waiting(source) if "all" in order.asked else list(order.asked["msns"])
        transfers, not_done = [], []
        for msn in msns:
            try:
                transfers.append(prepare(self.peek(source, msn)))
            except OrderRefused as exc:
                not_done.append({"msn": msn, "why": str(exc)})
        faulty = await self.go(order, transfers)
        not_done += [{"msn": each.transaction.msn, "why": _FAULT} for each in faulty]
        transfers = [each for each in transfers if each not in faulty]
        done = [each.transaction.msn for each in transfers]
        targets = sorted({target for each in transfers for target in each.targets})
        return Outcome(
            {"done": done, "not_done": not_done}, {"at": source, "msns": msns}, {"at": targets, "msns": done}
        )

    async def go_alone(self, order: Order, transfer: Transfer) -> None:
        """Journal where a message goes, and send it there once that is durable.

        Raises:
            OrderRefused: It cannot be journaled, and is where it was; or it did not arrive.
        """
        if await self.go(order, [transfer]):
            raise OrderRefused(_FAULT)

    async def go(self, order: Order, transfers: Sequence[Transfer]) -> list[Transfer]:
        """Journal where messages go, and send them there once that is durable.

        Returns:
            Those that did not arrive because the switch is wrong somewhere: they wait for the operator.

        Raises:
            OrderRefused: It cannot be journaled; they are where they were.
        """
        for transfer in transfers:
            self._journal(order, transfer)
        if transfers and not await self.durable():
            self._undo(transfers)
            raise OrderRefused("the journal cannot be written, so nothing is changed")
        faulty = []
        for transfer in transfers:
            try:
                transfer.beside.then()
                transfer.go()
            except Exception:
                # We are wrong. The others have left their queues as well, and must arrive.
                log.exception("order.fault", msn=transfer.transaction.msn, order=order.verb)
                faulty.append(transfer)
                self._to_operator(transfer)
        if transfers:
            self._refill()
        return faulty

    def _journal(self, order: Order, transfer: Transfer) -> None:
        transaction, source, targets = transfer.transaction, transfer.source, transfer.targets
        # In one turn of the loop, and so in one commit: at no moment it is nowhere.
        if source is not None:
            left = transfer.ends_as or (Life.FORWARDED if targets else Life.CANCELLED)
            facts: Facts = {"why": f"by {order.words}"}
            if targets:
                facts["to"] = list(targets)
            self._lifecycle.note(source, left, facts)
        for end in transfer.diverted.diverted:
            self._lifecycle.note(self._lifecycle.route(transaction, end.address), end.life, {"why": end.why})
        transfer.routed = [self._lifecycle.route(transaction, target, facts) for target, facts in targets.items()]
        for event in transfer.beside.events:
            self._lifecycle.note_at(event.msn, event.destination or "", Life(event.event), event.facts)

    def _refill(self) -> None:
        """List what stood in the journal alone because too much waited for the operator, as far as there is room."""
        for msn, queue in self._operator.missing(self._lifecycle.writer.owed):
            transaction = self._transit.get(msn)
            if transaction is not None and transaction.is_open_at(queue):
                self._operator.read_back(transaction.stays[queue])

    def _to_operator(self, transfer: Transfer) -> None:
        """Give a message to the operator that left its queue and did not arrive."""
        transaction, arrived = transfer.transaction, self._view.places(transfer.transaction.msn)
        for stay in transfer.routed:
            if stay.destination in arrived or not stay.open:
                continue
            if stay.place is Place.LINE and stay.was_sent:
                continue  # where an answer is awaited, the time-out ends it, and its originator is told
            # How far it came on a line nobody knows.
            life = Life.OUTCOME_UNKNOWN if stay.place is Place.LINE else Life.CANCELLED
            self._lifecycle.note(stay, life, {"why": _FAULT})
        if OPERATOR_QUEUE not in arrived:
            self._operator.add(self._lifecycle.route(transaction, OPERATOR_QUEUE, {"why": _FAULT}))

    def _undo(self, transfers: Iterable[Transfer]) -> None:
        """Put messages back. Their events wait for the journal in memory, and so does that they do not hold."""
        why: Facts = {"why": "the journal could not be written"}
        for transfer in reversed(list(transfers)):
            for event in transfer.beside.events:
                self._lifecycle.note_at(event.msn, event.destination or "", Life.CANCELLED, why)
            source = transfer.source
            if source is not None:
                self.put_back(source)
            for stay in transfer.routed:
                if stay.open and stay is not source:
                    self._lifecycle.note(stay, Life.CANCELLED, why)

    def put_back(self, stay: Stay) -> None:
        """Put a message back where it was taken out."""
        if not stay.open:
            self._lifecycle.route(stay.transaction, stay.destination, stay.facts)
        if stay.destination.startswith("operator:"):
            self._operator.keep(stay)
            return
        outbox = self._view.outbox(stay.destination)
        if outbox is None:
            self._deliveries.push(stay)
        else:
            outbox.give_back(stay)

    # --- finding, taking out ------------------------------------------------------------------------------

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

    def transaction(self, found: Found) -> Transaction:
        """Return a message as it stands: the one that is on its way, or else as the journal has it."""
        record = found.message
        known = self._transit.get(record.msn)
        if known is not None:
            return known
        transaction = Transaction(
            record, key=key_of(record, self._catalog), address=address_of(record, self._point.directory)
        )
        for event in found.events:
            transaction.apply(event)
        return transaction

    def peek(self, address: str, msn: int) -> Stay:
        """Return a message that waits somewhere.

        Raises:
            OrderRefused: It does not wait there, or is on its way.
        """
        if address.startswith("operator:"):
            entry = self._operator.find(msn, address)
            if entry is None:
                raise OrderRefused(f"it does not wait at {address}")
            return entry
        outbox = self._view.outbox(address)
        stay = outbox.find(msn) if outbox is not None else None
        if stay is None:
            on_its_way = outbox is not None and any(each.msn == msn for each in outbox.unacknowledged())
            raise OrderRefused(
                "it is on its way, and not acknowledged yet" if on_its_way else "it does not wait there"
            )
        return stay

    def take(self, stay: Stay) -> None:
        """Take a message out of where it waits; see `peek`."""
        if stay.destination.startswith("operator:"):
            self._operator.take(stay.msn, stay.destination)
            return
        outbox = self._view.outbox(stay.destination)
        assert outbox is not None
        outbox.drop(stay)

    # --- bringing there -----------------------------------------------------------------------------------

    def arrive(self, transaction: Transaction, target: str, *, duplicate: bool | None = None) -> None:
        """Put a message where it was routed; a station keeps it, as the operator has said where it goes.

        Args:
            duplicate: Whether the destination may have had it; None is as its life says.
        """
        stay = transaction.stays[target]
        if target.startswith("operator:"):
            self._operator.add(stay)
        elif stay.place is Place.LINE:
            self.on_lines(transaction, [stay], duplicate=duplicate)
        else:
            stay.doubtful = was_sent(transaction) if duplicate is None else duplicate
            stay.expires_us = self._deliveries.expiry(stay.kind, clock.wall_us())
            self._deliveries.push(stay)

    def on_lines(self, transaction: Transaction, stays: Sequence[Stay], *, duplicate: bool | None = None) -> None:
        """Send a message on lines; its originator waits for an answer of each."""
        again = was_on_line(transaction) if duplicate is None else duplicate
        for stay in stays:
            stay.doubtful = again
        self._traffic.send(stays)

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

    def check_fit(
        self, transaction: Transaction, target: str, moved: Stay | None = None, *, send_again: bool = False
    ) -> None:
        """Refuse to bring a message where it does not belong.

        Args:
            moved: Where it waits, if it is taken from there.

        Raises:
            OrderRefused: It does not; says why.
        """
        record, (place, _, name) = transaction.message, target.partition(":")
        if place == "line":
            self._check_line(transaction, name, send_again=send_again)
        elif place in ("device", "user"):
            directory = self._point.directory
            row = directory.devices[name] if place == "device" else directory.users[name]
            if record.kind in ("response", "status") and row.agency != record.agency:
                raise OrderRefused("it answers somebody of another agency, and is for them alone")
            if place == "device" and (why := why_unfit(directory, record, directory.devices[name], self._modes())):
                raise OrderRefused(why)
            outbox = self._deliveries.outboxes.get(target)
            if outbox is not None and outbox.full_for(moved or Stay(transaction, target)):
                raise OrderRefused(f"too many messages wait at {target}")

    def _modes(self) -> dict[str, str]:
        """Return `production` or `test` by the name of the line, backups included."""
        return {line.name: line.mode for trunk in self._traffic.trunks.values() for line in trunk.carriers}

    def _check_line(self, transaction: Transaction, name: str, *, send_again: bool) -> None:
        record, trunk = transaction.message, self._traffic.trunks[name]
        if not of_station(record) or record.header is None:
            raise OrderRefused("only a station's message goes out on a line")
        if transaction.key is None:
            raise OrderRefused("the catalog does not have its message key any more")
        if self._transit.find(record.header) is None:
            try:
                self._transit.check_room()
            except Overloaded as exc:
                raise OrderRefused(exc.reason) from exc
        if transaction.is_open_at(trunk.address):
            raise OrderRefused(f"an answer of {name} is awaited already")
        if transaction.update and was_on_line(transaction) and not send_again:
            raise OrderRefused(
                f"it is an update ({transaction.key.code}) that may have reached the state: look there first, then "
                "`msc queue requeue --yes-send-again`"
            )
        mnemonic = self._point.directory.mnemonics.get(record.mnemonic or "")
        if mnemonic is not None and mnemonic.mode.value != trunk.primary.mode:
            raise OrderRefused(f"{record.mnemonic} is a {mnemonic.mode.value} mnemonic, and {name} is not")
        if (against := objection(self._point, transaction)) is not None:
            raise OrderRefused(f"its sender may not send it any more: {against.code} {against.reason}")


_FAULT: Final = "a fault of the switch, see its log; it is in the operator's queue"


def of_station(record: MessageRecord) -> bool:
    """Tell whether a message is one that a station has sent."""
    return record.direction != Direction.INBOUND and record.kind != "status" and record.user is not None


def was_sent(transaction: Transaction) -> bool:
    """Tell whether a message has been on its way before."""
    return any(stay.was_sent for stay in transaction.stays.values())


def was_on_line(transaction: Transaction) -> bool:
    """Tell whether the state may have got a message.

    That it was sent need not stand in the journal: a switch that was killed may have sent it a moment before.
    """
    return any(stay.was_sent or stay.doubtful or stay.state is State.CLEARED for stay in transaction.lines())
