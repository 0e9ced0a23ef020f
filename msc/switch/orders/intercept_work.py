"""What an operator does with messages that are held for their eyes: another text, or on their way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from msc.directory.rows import Directory
from msc.errors import JournalUnavailable, Refusal
from msc.journal.writer import tells
from msc.protocol.catalog import Catalog
from msc.switch.confirmations import NOTHING, Beside
from msc.switch.delivery import Deliveries
from msc.switch.destinations import NOWHERE, Destinations, unsolicited_to
from msc.switch.intake import Incoming, Intake
from msc.switch.lifecycle import Lifecycle
from msc.switch.orders.intercept import Intercepts
from msc.switch.orders.transfer import Transfer, Transfers
from msc.switch.orders.verb import Order, OrderRefused, Outcome
from msc.switch.recovery import key_of
from msc.transit.event import BULLETINS, INTERCEPT, OPERATOR_QUEUE, Event, Facts, Life
from msc.transit.message import Direction
from msc.transit.service_state import must_be_staffed
from msc.transit.transaction import Stay, Transaction


class InterceptWork:
    """Edits and releases.

    Args:
        beside: Says what a message that is sent now means for hit confirmations, and for the bulletin board.
    """

    def __init__(
        self,
        *,
        catalog: Catalog,
        directory: Directory,
        lifecycle: Lifecycle,
        deliveries: Deliveries,
        intake: Intake,
        intercepts: Intercepts,
        beside: Callable[[Incoming, Transaction], Beside],
        transfers: Transfers,
    ) -> None:
        self._catalog = catalog
        self._directory = directory
        self._lifecycle = lifecycle
        self._deliveries = deliveries
        self._operator = deliveries.operator_queue
        self._intake = intake
        self._intercepts = intercepts
        self._beside = beside
        self._transfers = transfers

    async def intercept_edit(self, order: Order) -> Outcome:
        """Give a message that is held another text."""
        msn, text = order.asked["msn"], order.asked["text"]
        held = self._operator.find(msn, INTERCEPT)
        if held is None:
            raise OrderRefused(f"{msn} is not held")
        before = held.transaction
        now = self._lifecycle.writer.allot()
        try:
            record = self._intercepts.edited(before.message, text, now)
        except Refusal as exc:
            raise OrderRefused(f"the text is not in order: {exc.code} {exc.reason}") from exc
        at = record.received
        routed = Event(now, at, Life.ROUTED, INTERCEPT, {"why": f"edited from {msn} by {order.words}"})
        forwarded = Event(msn, at, Life.FORWARDED, INTERCEPT, {"why": f"edited, goes on as {now}, by {order.words}"})
        edited = Transaction(
            record._replace(events=(routed,)), key=key_of(record, self._catalog), address=before.address
        )
        stored: asyncio.Future[JournalUnavailable | None] = asyncio.get_running_loop().create_future()
        self._operator.take(msn, INTERCEPT)
        try:
            self._lifecycle.begin(edited, tells(stored), (forwarded,))
            failure = await stored
        except JournalUnavailable as exc:
            failure = exc
        if failure is not None:
            self._operator.keep(held)
            raise OrderRefused("the journal cannot be written, so nothing is changed")
        self._operator.keep(edited.stays[INTERCEPT])
        return Outcome(
            {"was": msn, "msn": now},
            {"msn": msn, "text": before.message.text},
            {"msn": now, "text": record.text},
        )

    async def intercept_release(self, order: Order) -> Outcome:
        """Let messages go where they would have gone; whether their senders may is asked again."""
        return await self._transfers.each(order, INTERCEPT, lambda stay: self._release(order, stay))

    def _release(self, order: Order, held: Stay) -> Transfer:
        transaction = held.transaction
        record, beside, goes = transaction.message, NOTHING, NOWHERE
        targets: dict[str, Facts] = {}
        if record.direction == Direction.INBOUND:
            goes = self._unsolicited(transaction)
        else:
            try:
                incoming = self._intake.examine_again(record)
            except Refusal as exc:
                raise OrderRefused(f"{exc.code} {exc.reason}") from exc
            route: Facts = {"route": incoming.route.name} if incoming.route is not None else {}
            targets = {f"line:{name}": route for name in incoming.lines}
            goes = incoming.stations
            beside = self._beside(incoming, transaction)
            if incoming.bulletin:
                targets[BULLETINS] = {}
        self._transfers.take(held)
        return Transfer(
            transaction, held, {**targets, **goes.stations}, partial(self._let_go, transaction), beside=beside,
            diverted=goes,
        )  # fmt: skip

    def _unsolicited(self, transaction: Transaction) -> Destinations:
        """Find where what came from a line goes now."""
        mnemonic = transaction.mnemonic
        device = self._directory.unsolicited_device(mnemonic)
        if device is None:
            return Destinations({OPERATOR_QUEUE: {"why": f"no destination for {mnemonic}"}})
        seen = must_be_staffed(transaction.body)
        return unsolicited_to(self._directory, device, {}, must_be_seen=seen)

    def _let_go(self, transaction: Transaction) -> None:
        if transaction.awaited:
            self._transfers.on_lines(transaction, transaction.awaited, duplicate=False)
        self._deliveries.deliver(transaction.stays.values())
