"""What an operator does with messages that wait: look, move, copy, delete, put into another class, queue again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final

from msc import clock
from msc.directory.rows import Directory
from msc.errors import LineOutOfService, QueuedForLater, Refusal
from msc.journal.reader import Entry as Found
from msc.switch.confirmations import KIND, NOTHING, Beside
from msc.switch.delivery import Deliveries
from msc.switch.intake import Incoming, Intake
from msc.switch.lifecycle import Lifecycle
from msc.switch.orders.queue_view import QueueView
from msc.switch.orders.transfer import Transfer, Transfers, of_station
from msc.switch.orders.verb import Order, OrderRefused, Outcome
from msc.switch.traffic import LineTraffic
from msc.transit.event import Facts, Life
from msc.transit.hit_confirmation import ADDRESS
from msc.transit.precedence import Precedence
from msc.transit.state import Place
from msc.transit.transaction import Stay, Transaction

_DAY_US: Final = 86_400_000_000
_LOOK_BACK_US: Final = 7 * _DAY_US
"""Where no day is said, a number is looked for among what came within the last week."""


class QueueWork:
    """Carries out orders about queues.

    Args:
        beside: Says what a message that is sent now means for hit confirmations.
    """

    def __init__(
        self,
        *,
        directory: Directory,
        lifecycle: Lifecycle,
        traffic: LineTraffic,
        deliveries: Deliveries,
        intake: Intake,
        beside: Callable[[Incoming, Transaction], Beside],
        view: QueueView,
        transfers: Transfers,
    ) -> None:
        self._directory = directory
        self._lifecycle = lifecycle
        self._traffic = traffic
        self._deliveries = deliveries
        self._operator = deliveries.operator_queue
        self._intake = intake
        self._beside = beside
        self._view = view
        self._transfers = transfers

    # --- looking, moving, copying --------------------------------------------------------------------------

    async def queue_show(self, order: Order) -> Outcome:
        """Show a message that waits.

        Raises:
            OrderRefused: It waits nowhere: what only stands in the journal is for those who search that.
        """
        msn = order.asked["msn"]
        waits_at = self._view.places(msn)
        if not waits_at:
            raise OrderRefused(f"{msn} waits nowhere; `msc journal show` says what became of it")
        found = await self._transfers.find(msn)
        return Outcome({"waits_at": waits_at, "message": found.as_json()})

    async def queue_move(self, order: Order) -> Outcome:
        """Move messages to another queue."""
        source, target = order.asked["from"], order.asked["to"]
        self._transfers.check_target(target)
        return await self._transfers.each(order, source, lambda stay: self._move(order, stay, target))

    def _move(self, order: Order, stay: Stay, target: str) -> Transfer:
        transaction = stay.transaction
        self._transfers.check_fit(transaction, target, stay)
        beside = self._clock(transaction, stay, [target])
        self._transfers.take(stay)
        facts: Facts = {"why": f"from {stay.destination} by {order.words}", "pinned": True}
        if stay.place is Place.LINE:
            # Its originator is told that the line has not had it, and so the journal says no less.
            ends_as = None if target.startswith("line:") else Life.NOT_SENT
            go = partial(self._leave_line, stay, target, order.reason)
            return Transfer(transaction, stay, {target: facts}, go, ends_as)
        device = self._directory.devices.get(stay.name)
        whose = stay.facts.get("whose") or (device.mnemonic if device is not None else None)
        if stay.place is Place.STATION and whose is not None and target.startswith(("device:", "user:")):
            facts["whose"] = whose
        duplicate = stay.possible_duplicate if stay.place is Place.STATION else None
        go = partial(self._transfers.arrive, transaction, target, duplicate=duplicate)
        return Transfer(transaction, stay, {target: facts}, go, beside=beside)

    def _clock(self, transaction: Transaction, source: Stay | None, targets: Iterable[str]) -> Beside:
        """Say what it means for hit confirmations that a message goes out on lines now, and on none before."""
        lines = tuple(each.removeprefix("line:") for each in targets if each.startswith("line:"))
        clock_of = transaction.stays.get(ADDRESS)
        runs = clock_of is not None and clock_of.ended != Life.CANCELLED
        left_a_line = source is not None and source.place is Place.LINE
        if not lines or runs or left_a_line or transaction.message.kind != KIND:
            return NOTHING
        try:
            incoming = self._intake.read_again(transaction.message)
        except Refusal as exc:
            raise OrderRefused(f"{exc.code} {exc.reason}") from exc
        incoming.lines = lines
        return self._beside(incoming, transaction)

    def _leave_line(self, stay: Stay, target: str, reason: str) -> None:
        """Take a message from one line elsewhere; its originator waits for another answer, or for none."""
        transaction, line = stay.transaction, stay.name
        if not target.startswith("line:"):
            told = f"not sent to {line}: the operator has taken it to {target}: {reason}"
            self._traffic.originators.tell_taken_away(stay, LineOutOfService(told))
            self._transfers.arrive(transaction, target, duplicate=False)
            return
        self._transfers.arrive(transaction, target, duplicate=stay.possible_duplicate)
        # The line may have had it and been lost: nobody waits for an answer of it there any more.
        self._traffic.unanswered.given_up(line, transaction.mnemonic, transaction.msn, clock.monotonic())
        self._traffic.originators.tell(
            transaction, line, QueuedForLater(f"the operator has moved it from {line} to {target}")
        )

    async def queue_copy(self, order: Order) -> Outcome:
        """Send a copy of a message that waits to another address, too."""
        msn, target = order.asked["msn"], order.asked["to"]
        self._transfers.check_target(target)
        waits_at = self._view.places(msn)
        if not waits_at:
            raise OrderRefused(f"{msn} waits nowhere; `msc queue requeue` takes it from the journal")
        if target in waits_at:
            raise OrderRefused(f"{msn} waits at {target} already")
        transaction = self._transfers.transaction(await self._transfers.find(msn))
        self._transfers.check_fit(transaction, target)
        if target.startswith("line:") and transaction.update:
            raise OrderRefused(f"{msn} is an update: it goes to one place, so move it or queue it again there")
        facts: Facts = {"why": f"a copy by {order.words}", "pinned": True}
        go = partial(self._transfers.arrive, transaction, target)
        transfer = Transfer(transaction, None, {target: facts}, go, beside=self._clock(transaction, None, [target]))
        await self._transfers.go_alone(order, transfer)
        return Outcome({"msn": msn, "to": target}, {"waits_at": waits_at}, {"waits_at": [*waits_at, target]})

    # --- queueing again -------------------------------------------------------------------------------------

    async def queue_requeue(self, order: Order) -> Outcome:
        """Queue a message of the journal once more, where it went or somewhere else.

        Raises:
            OrderRefused: There is none, it waits, it was refused when it came, or it is an update and nobody has said
                that it is to be sent again.
        """
        asked = order.asked
        transaction = self._transfers.transaction(await self._numbered(asked))
        record, ended = transaction.message, _outcomes(transaction)
        targets = [asked["to"]] if "to" in asked else _went_to(transaction)
        if not targets:
            raise OrderRefused(f"{record.msn} went nowhere; say --to")
        at_operator = self._operator.find(record.msn)
        if record.code is not None and record.kind != "status" and at_operator is None:
            raise OrderRefused(f"{record.msn} was refused with {record.code} when it came: who sent it was told so")
        for target in targets:
            self._transfers.check_target(target)
            if target in self._view.places(record.msn):
                raise OrderRefused(f"{record.msn} waits at {target}, or is on its way")
            self._transfers.check_fit(transaction, target, send_again=asked.get("send_again", False))
        beside = self._clock(transaction, None, targets)
        if at_operator is not None:
            self._transfers.take(at_operator)
        facts: Facts = {"why": f"again by {order.words}"}
        if "to" in asked:
            facts["pinned"] = True
        go = partial(self._again, transaction, targets)
        transfer = Transfer(transaction, at_operator, dict.fromkeys(targets, facts), go, beside=beside)
        await self._transfers.go_alone(order, transfer)
        answer = {"msn": record.msn, "queued": list(targets)}
        return Outcome(answer, {"ended": ended}, {"queued": list(targets)})

    def _again(self, transaction: Transaction, targets: Iterable[str]) -> None:
        lines = [transaction.stays[target] for target in targets if target.startswith("line:")]
        if lines:
            self._transfers.on_lines(transaction, lines, duplicate=True)
        for target in targets:
            if not target.startswith("line:"):
                self._transfers.arrive(transaction, target, duplicate=True)

    async def _numbered(self, asked: Mapping[str, Any]) -> Found:
        """Find the message an order names by MSN, ISN or OSN."""
        if "msn" in asked:
            return await self._transfers.find(asked["msn"])
        if "date" in asked:
            since_us = clock.parse_rfc3339(asked["date"])
            until_us = since_us + _DAY_US
        else:
            until_us = clock.wall_us() + 1
            since_us = until_us - _LOOK_BACK_US
        await self._transfers.durable()
        if "isn" in asked:
            what, where = f"ISN {asked['isn']}", asked["from"]
            found = await self._transfers.records.by_isn(asked["isn"], where, since_us, until_us)
        else:
            # It may have gone out some days after it came.
            what, where = f"OSN {asked['osn']}", asked["to"]
            found = await self._transfers.records.by_osn(asked["osn"], where, since_us - _LOOK_BACK_US, until_us)
        if not found:
            raise OrderRefused(f"there is no {what} of {where} in that time")
        if len(found) > 1:
            raise OrderRefused(f"{what} of {where} is of MSNs {', '.join(str(each.message.msn) for each in found)}")
        return found[0]

    # --- deleting, other classes ----------------------------------------------------------------------------

    async def queue_delete(self, order: Order) -> Outcome:
        """Take messages out of a queue; who sent them is told."""
        return await self._transfers.each(order, order.asked["from"], lambda stay: self._delete(order, stay))

    def _delete(self, order: Order, stay: Stay) -> Transfer:
        self._transfers.take(stay)
        go = partial(self._tell_deleted, stay, order.reason)
        ends_as = Life.NOT_SENT if stay.place is Place.LINE else None
        return Transfer(stay.transaction, stay, {}, go, ends_as)

    def _tell_deleted(self, stay: Stay, reason: str) -> None:
        transaction, words = stay.transaction, f"deleted by the operator: {reason}"
        if not of_station(transaction.message):
            return
        originators = self._traffic.originators
        if stay.place is Place.LINE:
            originators.tell_taken_away(stay, LineOutOfService(f"not sent to {stay.name}: {words}"))
        elif stay.place is Place.STATION:
            originators.tell(transaction, None, LineOutOfService(f"not delivered to {stay.name}: {words}"))
        elif not any(each.was_sent or each.ended == Life.NOT_SENT for each in transaction.lines()):
            originators.tell(transaction, None, LineOutOfService(f"not sent: {words}"))

    async def queue_reprioritise(self, order: Order) -> Outcome:
        """Put a message into another class of its queue."""
        address, msn = order.asked["at"], order.asked["msn"]
        if address.startswith("operator:"):
            raise OrderRefused("what waits for the operator has no classes: say what is to become of it")
        stay, outbox = self._transfers.peek(address, msn), self._view.outbox(address)
        assert outbox is not None
        was, now = stay.precedence, Precedence[order.asked["to"].upper()]
        if was is now:
            raise OrderRefused(f"{msn} is {now.name.lower()} already")
        self._lifecycle.note(stay, Life.REPRIORITISED, {"precedence": now.name})
        outbox.reclassed(stay, was)
        facts = {"msn": msn, "was": was.name.lower(), "is": now.name.lower()}
        return Outcome(facts, {"priority": facts["was"]}, {"priority": facts["is"]})


def _went_to(transaction: Transaction) -> list[str]:
    """Return the lines and stations a message was routed to, each once."""
    return [stay.destination for stay in transaction.stays.values() if stay.place is not Place.ELSEWHERE]


def _outcomes(transaction: Transaction) -> list[dict[str, Any]]:
    """Return how it stands with it at each destination."""
    return [
        {"at": stay.destination, "event": str(stay.ended or stay.state.name.lower())}
        for stay in transaction.stays.values()
    ]
