"""What an operator does with messages that wait: look, move, copy, delete, put into another class, queue again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final

from msc import clock
from msc.directory.rows import Directory
from msc.errors import LineOutOfService, QueuedForLater, Refusal
from msc.journal.reader import Entry as Found
from msc.journal.writer import JournalWriter
from msc.switch import recovery
from msc.switch.confirmations import KIND, NOTHING, Beside
from msc.switch.delivery import Deliveries
from msc.switch.intake import Incoming, Intake
from msc.switch.orders.queue_view import QueueView
from msc.switch.orders.transfer import Passage, Way, of_station, on_a_line
from msc.switch.orders.verb import Order, OrderRefused, Outcome
from msc.switch.traffic import LineTraffic
from msc.transit.event import OPERATOR_QUEUE, Event, Life
from msc.transit.hit_confirmation import ADDRESS
from msc.transit.message import MessageRecord
from msc.transit.outbox import Outgoing, Precedence

_DAY_US: Final = 86_400_000_000
_LOOK_BACK_US: Final = 7 * _DAY_US
"""Where no day is said, a number is looked for among what came within the last week."""


class QueueWork:
    """Does it.

    Args:
        beside: Says what a message that is sent now means for hit confirmations.
    """

    def __init__(
        self,
        *,
        directory: Directory,
        writer: JournalWriter,
        traffic: LineTraffic,
        deliveries: Deliveries,
        intake: Intake,
        beside: Callable[[Incoming, MessageRecord], Beside],
        view: QueueView,
        passage: Passage,
    ) -> None:
        self._directory = directory
        self._writer = writer
        self._traffic = traffic
        self._deliveries = deliveries
        self._operator = deliveries.operator_queue
        self._intake = intake
        self._beside = beside
        self._view = view
        self._passage = passage

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
        found = await self._passage.find(msn)
        return Outcome({"waits_at": waits_at, "message": found.as_json()})

    async def queue_move(self, order: Order) -> Outcome:
        """Move messages to another queue."""
        source, target = order.asked["from"], order.asked["to"]
        self._passage.check_target(target)
        return await self._passage.each(order, source, lambda found: self._move(order, found, source, target))

    def _move(self, order: Order, found: Found, source: str, target: str) -> Way:
        record = found.message
        message = self._passage.peek(source, record.msn)
        self._passage.check_fit(found, target, message)
        beside = self._clock(found, source, [target])
        taken = self._passage.take(source, record.msn)
        back = partial(self._passage.put_back, source, taken)
        detail = f"from {source} by {order.words}"
        if source.startswith("line:"):
            go = partial(self._leave_line, found, source.removeprefix("line:"), target, order.reason, message)
            # Its originator is told that the line has not had it, and so the journal says no less.
            ends_as = None if target.startswith("line:") else Life.NOT_SENT
            return Way(found, source, [target], detail, go, back, ends_as)
        device = self._directory.devices.get(source.removeprefix("device:"))
        if message is not None and device is not None and device.mnemonic is not None:
            message.original_mnemonic = message.original_mnemonic or device.mnemonic
            if target.startswith(("device:", "user:")):
                # Read by a starting switch, so that the message still says whose it was.
                detail = f"{recovery.FORWARDED_FOR}{message.original_mnemonic}"
        go = partial(self._passage.arrive, found, target, message)
        return Way(found, source, [target], detail, go, back, beside=beside)

    def _clock(self, found: Found, source: str | None, targets: Iterable[str]) -> Beside:
        """Say what it means for hit confirmations that a message goes out on lines now, and on none before."""
        record, lines = (
            found.message,
            tuple(each.removeprefix("line:") for each in targets if each.startswith("line:")),
        )
        said = [event.event for event in found.events if event.destination == ADDRESS]
        runs = bool(said) and said[-1] != Life.CANCELLED
        if not lines or runs or (source or "").startswith("line:") or record.kind != KIND:
            return NOTHING
        try:
            incoming = self._intake.read_again(record)
        except Refusal as exc:
            raise OrderRefused(f"{exc.code} {exc.reason}") from exc
        incoming.lines = lines
        return self._beside(incoming, record)

    def _leave_line(self, found: Found, line: str, target: str, reason: str, message: Outgoing | None) -> None:
        """Take a message from one line elsewhere; its originator waits for another answer, or for none."""
        entry = self._traffic.pending.find(found.message.header or "")
        if not target.startswith("line:"):
            if entry is not None:
                told = f"not sent to {line}: the operator has taken it to {target}: {reason}"
                self._traffic.originators.give_up(entry, line, LineOutOfService(told), ended=True)
            self._passage.arrive(found, target, None)
            return
        again = message is not None and message.possible_duplicate
        self._passage.on_lines(found, [target.removeprefix("line:")], duplicate=again)
        if entry is not None:
            self._traffic.pending.settle(entry, line)
            # The line may have had it and been lost: nobody waits for an answer of it there any more.
            self._traffic.unanswered.given_up(line, entry.mnemonic, entry.msn, clock.monotonic())
            self._traffic.originators.tell(
                entry, line, QueuedForLater(f"the operator has moved it from {line} to {target}")
            )

    async def queue_copy(self, order: Order) -> Outcome:
        """Send a copy of a message that waits to another address, too."""
        msn, target = order.asked["msn"], order.asked["to"]
        self._passage.check_target(target)
        waits_at = self._view.places(msn)
        if not waits_at:
            raise OrderRefused(f"{msn} waits nowhere; `msc queue requeue` takes it from the journal")
        if target in waits_at:
            raise OrderRefused(f"{msn} waits at {target} already")
        found = await self._passage.find(msn)
        self._passage.check_fit(found, target, None)
        if target.startswith("line:") and self._passage.entry(found.message).update:
            raise OrderRefused(f"{msn} is an update: it goes to one place, so move it or queue it again there")
        beside, go = self._clock(found, None, [target]), partial(self._passage.arrive, found, target, None)
        way = Way(found, None, [target], f"a copy by {order.words}", go, beside=beside)
        await self._passage.go_alone(order, way)
        return Outcome({"msn": msn, "to": target}, {"waits_at": waits_at}, {"waits_at": [*waits_at, target]})

    # --- queueing again -------------------------------------------------------------------------------------

    async def queue_requeue(self, order: Order) -> Outcome:
        """Queue a message of the journal once more, where it went or somewhere else.

        Raises:
            OrderRefused: There is none, it waits, it was refused when it came, or it is an update and nobody has said
                that it is to be sent again.
        """
        asked = order.asked
        found = await self._numbered(asked)
        record = found.message
        targets = [asked["to"]] if "to" in asked else _went_to(found)
        if not targets:
            raise OrderRefused(f"{record.msn} went nowhere; say --to")
        at_operator = self._operator.find(record.msn)
        if record.code is not None and record.kind != "status" and at_operator is None:
            raise OrderRefused(f"{record.msn} was refused with {record.code} when it came: who sent it was told so")
        for target in targets:
            self._passage.check_target(target)
            if target in self._view.places(record.msn):
                raise OrderRefused(f"{record.msn} waits at {target}, or is on its way")
            self._passage.check_fit(found, target, None, send_again=asked.get("send_again", False))
        beside = self._clock(found, None, targets)
        source = back = None
        if at_operator is not None:
            source, taken = OPERATOR_QUEUE, self._operator.take(record.msn)
            assert taken is not None
            back = partial(self._passage.put_back, OPERATOR_QUEUE, taken)
        go = partial(self._again, found, targets, chosen="to" in asked)
        way = Way(found, source, targets, f"again by {order.words}", go, back or (lambda: None), beside=beside)
        await self._passage.go_alone(order, way)
        answer = {"msn": record.msn, "queued": list(targets)}
        return Outcome(answer, {"ended": _outcomes(found)}, {"queued": list(targets)})

    def _again(self, found: Found, targets: Iterable[str], *, chosen: bool) -> None:
        lines = [target.removeprefix("line:") for target in targets if target.startswith("line:")]
        if lines:
            self._passage.on_lines(found, lines, duplicate=True)
        for target in targets:
            if target.startswith(("device:", "user:")):
                message = recovery.to_station(found.message, True)
                if chosen:
                    self._passage.deliver(target, message)
                else:
                    message.expires_us = self._deliveries.expiry(message.kind, clock.wall_us())
                    self._deliveries.push(target, message)
            elif target == OPERATOR_QUEUE:
                self._passage.arrive(found, target, None)

    async def _numbered(self, asked: Mapping[str, Any]) -> Found:
        """Find the message an order names by MSN, ISN or OSN."""
        if "msn" in asked:
            return await self._passage.find(asked["msn"])
        if "date" in asked:
            since_us = clock.parse_rfc3339(asked["date"])
            until_us = since_us + _DAY_US
        else:
            until_us = clock.wall_us() + 1
            since_us = until_us - _LOOK_BACK_US
        await self._passage.durable()
        if "isn" in asked:
            what, where = f"ISN {asked['isn']}", asked["from"]
            found = await self._passage.records.by_isn(asked["isn"], where, since_us, until_us)
        else:
            # It may have gone out some days after it came.
            what, where = f"OSN {asked['osn']}", asked["to"]
            found = await self._passage.records.by_osn(asked["osn"], where, since_us - _LOOK_BACK_US, until_us)
        if not found:
            raise OrderRefused(f"there is no {what} of {where} in that time")
        if len(found) > 1:
            raise OrderRefused(f"{what} of {where} is of MSNs {', '.join(str(each.message.msn) for each in found)}")
        return found[0]

    # --- deleting, other classes ----------------------------------------------------------------------------

    async def queue_delete(self, order: Order) -> Outcome:
        """Take messages out of a queue; who sent them is told."""
        source = order.asked["from"]
        return await self._passage.each(order, source, lambda found: self._delete(order, found, source))

    def _delete(self, order: Order, found: Found, source: str) -> Way:
        taken = self._passage.take(source, found.message.msn)
        go = partial(self._tell_deleted, found, source, order.reason)
        ends_as = Life.NOT_SENT if source.startswith("line:") else None
        return Way(found, source, [], "", go, partial(self._passage.put_back, source, taken), ends_as)

    def _tell_deleted(self, found: Found, source: str, reason: str) -> None:
        record, words = found.message, f"deleted by the operator: {reason}"
        if not of_station(record):
            return
        entry = self._passage.entry(record)
        if source.startswith("line:"):
            line = source.removeprefix("line:")
            refusal = LineOutOfService(f"not sent to {line}: {words}")
            self._traffic.originators.give_up(entry, line, refusal, ended=True)
        elif source.startswith(("device:", "user:")):
            self._traffic.originators.tell(
                entry, None, LineOutOfService(f"not delivered to {source.partition(':')[2]}: {words}")
            )
        elif not any(event.event in (Life.SENT, Life.NOT_SENT) for event in on_a_line(found)):
            self._traffic.originators.tell(entry, None, LineOutOfService(f"not sent: {words}"))

    async def queue_reprioritise(self, order: Order) -> Outcome:
        """Put a message into another class of its queue."""
        address, msn = order.asked["at"], order.asked["msn"]
        message, outbox = self._passage.peek(address, msn), None
        if message is not None:
            outbox = self._view.outbox(address)
        if message is None or outbox is None:
            raise OrderRefused("what waits for the operator has no classes: say what is to become of it")
        was, now = message.precedence, Precedence[order.asked["to"].upper()]
        if was is now:
            raise OrderRefused(f"{msn} is {now.name.lower()} already")
        # The word alone: a starting switch reads it there.
        self._writer.note(Event(msn, clock.wall_us(), Life.REPRIORITISED, address, now.name))
        outbox.reprioritise(message, now)
        facts = {"msn": msn, "was": was.name.lower(), "is": now.name.lower()}
        return Outcome(facts, {"priority": facts["was"]}, {"priority": facts["is"]})


def _went_to(found: Found) -> list[str]:
    """Return the lines and stations a message was routed to, each once."""
    routed = [event.destination for event in found.events if event.event == Life.ROUTED]
    return list(dict.fromkeys(each for each in routed if each and each.startswith(("line:", "device:", "user:"))))


def _outcomes(found: Found) -> list[dict[str, Any]]:
    """Return the last event at each destination."""
    last = {event.destination: event.event for event in found.events if event.destination is not None}
    return [{"at": destination, "event": str(event)} for destination, event in last.items()]
