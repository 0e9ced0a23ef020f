"""What an operator does with messages that are held for their eyes: another text, or on their way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from msc.directory.rows import Directory
from msc.errors import JournalUnavailable, Refusal
from msc.journal.reader import Entry as Found
from msc.journal.writer import JournalWriter, tells
from msc.protocol.header import parse_header
from msc.switch import recovery
from msc.switch.confirmations import NOTHING, Beside
from msc.switch.delivery import Deliveries
from msc.switch.intake import Incoming, Intake
from msc.switch.leg import Leg, Legs, unsolicited_legs
from msc.switch.orders.intercept import InterceptDesk, held_events
from msc.switch.orders.transfer import Passage, Way
from msc.switch.orders.verb import Order, OrderRefused, Outcome
from msc.transit.event import BULLETINS, INTERCEPT
from msc.transit.message import Direction, MessageRecord
from msc.transit.service_state import must_be_staffed


class InterceptWork:
    """Does it.

    Args:
        beside: Says what a message that is sent now means for hit confirmations, and for the bulletin board.
    """

    def __init__(
        self,
        *,
        directory: Directory,
        writer: JournalWriter,
        deliveries: Deliveries,
        intake: Intake,
        intercepts: InterceptDesk,
        beside: Callable[[Incoming, MessageRecord], Beside],
        passage: Passage,
    ) -> None:
        self._directory = directory
        self._writer = writer
        self._deliveries = deliveries
        self._operator = deliveries.operator_queue
        self._intake = intake
        self._intercepts = intercepts
        self._beside = beside
        self._passage = passage

    async def intercept_edit(self, order: Order) -> Outcome:
        """Give a message that is held another text."""
        msn, text = order.asked["msn"], order.asked["text"]
        if self._operator.find(msn, INTERCEPT) is None:
            raise OrderRefused(f"{msn} is not held")
        found = await self._passage.find(msn)
        if self._operator.find(msn, INTERCEPT) is None:
            raise OrderRefused(f"{msn} is not held any more")
        now = self._writer.allot()
        try:
            record = self._intercepts.edited(found.message, text, now)
        except Refusal as exc:
            raise OrderRefused(f"the text is not in order: {exc.code} {exc.reason}") from exc
        stored: asyncio.Future[JournalUnavailable | None] = asyncio.get_running_loop().create_future()
        taken = self._operator.take(msn, INTERCEPT)
        assert taken is not None
        events = held_events(now, record.received, msn, order.words)
        try:
            self._writer.append(record, events, tells(stored))
            failure = await stored
        except JournalUnavailable as exc:
            failure = exc
        if failure is not None:
            self._passage.put_back(INTERCEPT, taken)
            raise OrderRefused("the journal cannot be written, so nothing is changed")
        self._operator.keep(replace(taken, msn=now, since_us=record.received))
        return Outcome(
            {"was": msn, "msn": now},
            {"msn": msn, "text": found.message.text},
            {"msn": now, "text": record.text},
        )

    async def intercept_release(self, order: Order) -> Outcome:
        """Let messages go where they would have gone; whether their senders may is asked again."""
        return await self._passage.each(order, INTERCEPT, lambda found: self._release(order, found))

    def _release(self, order: Order, found: Found) -> Way:
        record, beside, detail = found.message, NOTHING, "released"
        lines: tuple[str, ...] = ()
        board: list[str] = []
        if record.direction == Direction.INBOUND:
            legs = self._legs(record)
        else:
            try:
                incoming = self._intake.examine_again(record)
            except Refusal as exc:
                raise OrderRefused(f"{exc.code} {exc.reason}") from exc
            legs, lines = incoming.legs, incoming.lines
            detail = incoming.route.name if incoming.route is not None else detail
            beside = self._beside(incoming, record)
            board = [BULLETINS] if incoming.bulletin else []
        taken = self._passage.take(INTERCEPT, record.msn)
        back, go = partial(self._passage.put_back, INTERCEPT, taken), partial(self._let_go, found, lines, legs)
        targets = [*(f"line:{name}" for name in lines), *board]
        return Way(found, INTERCEPT, targets, detail, go, back, beside=beside, legs=legs)

    def _legs(self, record: MessageRecord) -> Legs:
        """Find where what came from a line goes now."""
        directory = self._directory
        device = directory.unsolicited_device(record.mnemonic or "")
        if device is None:
            return Legs((Leg(None, record.kind, f"no destination for {record.mnemonic}"),))
        _, rest = parse_header(record.text)
        return unsolicited_legs(directory, device, record.kind, None, must_be_seen=must_be_staffed(rest))

    def _let_go(self, found: Found, lines: Sequence[str], legs: Legs) -> None:
        if lines:
            self._passage.on_lines(found, lines, duplicate=False)
        for leg in legs.legs:
            message = recovery.to_station(found.message, False)
            self._deliveries.deliver(leg, replace(message, kind=leg.kind, original_mnemonic=leg.original_mnemonic))
