"""What an operator does with messages that wait: look, move, copy, delete, reprioritise, queue again, release.

Whatever moves a message is an event where it leaves and one where it arrives, and both are durable before it goes on:
a switch that is killed in between finds it in exactly one place. Meanwhile it is in no queue, so that nothing sends
it. An update that may have reached the state never goes out again unless that is said in so many words.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol

from msc import clock
from msc.acp.control_point import AccessControlPoint
from msc.errors import JournalUnavailable, LineOutOfService, QueuedForLater, Refusal
from msc.journal.reader import Entry as Found
from msc.journal.record import BULLETINS, OPERATOR_QUEUE, Direction, EventRecord, Life, MessageRecord
from msc.journal.writer import JournalWriter
from msc.limits import FORWARD_HOPS_MAX
from msc.protocol.catalog import Catalog
from msc.routing.outbox import Outgoing, Precedence
from msc.routing.pending import Pending
from msc.switch import recovery
from msc.switch.confirmations import NOTHING, Beside
from msc.switch.delivery import Deliveries
from msc.switch.intake import Incoming, Intake, objection
from msc.switch.intercept import InterceptDesk, held_events
from msc.switch.leg import BROADCAST, NO_LEGS, Legs
from msc.switch.operator_queue import INTERCEPT, Entry
from msc.switch.queue_view import QueueView
from msc.switch.traffic import LineTraffic
from msc.switch.verb import Order, OrderRefused, Outcome

_DAY_US: Final = 86_400_000_000
_LOOK_BACK_US: Final = 7 * _DAY_US
"""Where no day is said, a number is looked for among what came within the last week."""


class Records(Protocol):
    """What finds messages of the journal; see `msc.journal.lookup`."""

    async def entry(self, msn: int) -> Found | None:
        """Return a message, or None."""

    async def by_isn(self, isn: int, source: str, since_us: int, until_us: int) -> list[Found]:
        """Return the messages of an input sequence number."""

    async def by_osn(self, osn: int, destination: str, since_us: int, until_us: int) -> list[Found]:
        """Return the messages of an output sequence number."""


@dataclass(slots=True)
class _Way:
    """A message on its way from one place to others.

    Attributes:
        found: Of the journal.
        source: The address it leaves; None where it is queued again or copied, and leaves nothing.
        targets: Addresses it goes to.
        detail: Of the `routed` event at each of these.
        go: Sends it there.
        back: Puts it back where it was.
        beside: What it means for a clock.
        legs: Its ways to stations, where these are found anew.
    """

    found: Found
    source: str | None
    targets: Sequence[str]
    detail: str
    go: Callable[[], None]
    back: Callable[[], None] = lambda: None
    beside: Beside = NOTHING
    legs: Legs = NO_LEGS

    @property
    def everywhere(self) -> list[str]:
        """All addresses it goes to."""
        return [*self.targets, *(leg.address or OPERATOR_QUEUE for leg in self.legs.legs)]


class QueueWork:
    """Does it.

    Args:
        beside: Says what a message that is sent now means for the clocks of hit confirmations.
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
        intake: Intake,
        intercepts: InterceptDesk,
        beside: Callable[[Incoming, MessageRecord], Beside],
        view: QueueView,
        records: Records,
        durable: Callable[[], Awaitable[bool]],
    ) -> None:
        self._catalog = catalog
        self._point = point
        self._writer = writer
        self._traffic = traffic
        self._deliveries = deliveries
        self._operator = deliveries.operator_queue
        self._beside = beside
        self._view = view
        self._intake = intake
        self._intercepts = intercepts
        self._records = records
        self._durable = durable

    # --- looking, moving, copying, queueing again ----------------------------------------------------------------

    async def queue_show(self, order: Order) -> Outcome:
        """Show a message that waits.

        Raises:
            OrderRefused: It waits nowhere: what only stands in the journal is for those who search that.
        """
        msn = order.asked["msn"]
        waits_at = self._view.places(msn)
        if not waits_at:
            raise OrderRefused(f"{msn} waits nowhere; `msc journal show` says what became of it")
        found = await self._find(msn)
        return Outcome({"waits_at": waits_at, "message": found.as_json()})

    async def queue_move(self, order: Order) -> Outcome:
        """Move messages to another queue."""
        source, target = order.asked["from"], order.asked["to"]
        self._check_target(target)
        return await self._each(order, source, lambda found: self._move(order, found, source, target))

    def _move(self, order: Order, found: Found, source: str, target: str) -> _Way:
        record = found.message
        message = self._peek(source, record.msn)
        self._check_fit(found, target, message)
        taken = self._take(source, record.msn)
        back = partial(self._put_back, source, taken)
        detail = f"from {source} by {order.words}"
        if source.startswith("line:"):
            go = partial(self._leave_line, found, source.removeprefix("line:"), target, order.reason, message)
            return _Way(found, source, [target], detail, go, back)
        device = self._point.directory.devices.get(source.removeprefix("device:"))
        if message is not None and device is not None and device.mnemonic is not None:
            message.original_mnemonic = message.original_mnemonic or device.mnemonic
            if target.startswith(("device:", "user:")):
                # Read by a starting switch, so that the message still says whose it was.
                detail = f"{recovery.FORWARDED_FOR}{message.original_mnemonic}"
        return _Way(found, source, [target], detail, partial(self._arrive, found, target, message), back)

    def _arrive(self, found: Found, target: str, message: Outgoing | None) -> None:
        """Put a message where it was routed."""
        record, (place, _, name) = found.message, target.partition(":")
        if place == "operator":
            self._operator.add(record.msn, None, "put here by an operator", clock.wall_us(), target)
        elif place == "line":
            self._on_lines(found, [name])
        else:
            if message is None:
                message = recovery.to_station(record, _was_sent(found))
            self._deliver(target, message)

    def _deliver(self, target: str, message: Outgoing) -> None:
        """Give a message to a station, where it stays: the operator has said where, and no forward takes it on."""
        message.hops = FORWARD_HOPS_MAX
        message.expires_us = self._deliveries.expiry(message.kind, clock.wall_us())
        self._deliveries.push(target, message)

    def _leave_line(self, found: Found, line: str, target: str, reason: str, message: Outgoing | None) -> None:
        """Take a message from one line elsewhere; its originator waits for another answer, or for none."""
        entry = self._traffic.pending.find(found.message.header or "")
        if not target.startswith("line:"):
            if entry is not None:
                told = f"not sent to {line}: the operator has taken it to {target}: {reason}"
                self._traffic.give_up(entry, line, LineOutOfService(told))
            self._arrive(found, target, None)
            return
        self._on_lines(found, [target.removeprefix("line:")], duplicate=bool(message and message.possible_duplicate))
        if entry is not None:
            self._traffic.pending.settle(entry, line)
            self._traffic.tell(entry, line, QueuedForLater(f"the operator has moved it from {line} to {target}"))

    def _on_lines(self, found: Found, names: Sequence[str], *, duplicate: bool | None = None) -> None:
        """Send a message on lines; its originator waits for an answer of each."""
        record, pending = found.message, self._traffic.pending
        entry, text = self._entry(record), recovery.line_text(record)
        if pending.find(entry.header) is None:
            pending.add(entry, clock.monotonic())
        for name in names:
            pending.await_also(entry, name, clock.monotonic())
        again = _was_on_line(found) if duplicate is None else duplicate
        for name in names:
            self._traffic.send(entry, name, text, possible_duplicate=again)

    def _entry(self, record: MessageRecord) -> Pending:
        known = self._traffic.pending.find(record.header or "")
        return known or recovery.pending_of(record, self._catalog, self._point.directory)

    async def queue_copy(self, order: Order) -> Outcome:
        """Send a copy of a message that waits to another address, too."""
        msn, target = order.asked["msn"], order.asked["to"]
        self._check_target(target)
        waits_at = self._view.places(msn)
        if not waits_at:
            raise OrderRefused(f"{msn} waits nowhere; `msc queue requeue` takes it from the journal")
        if target in waits_at:
            raise OrderRefused(f"{msn} waits at {target} already")
        found = await self._find(msn)
        self._check_fit(found, target, None)
        if target.startswith("line:") and self._entry(found.message).update:
            raise OrderRefused(f"{msn} is an update: it goes to one place, so move it or queue it again there")
        way = _Way(found, None, [target], f"a copy by {order.words}", partial(self._arrive, found, target, None))
        await self._go(order, [way])
        return Outcome({"msn": msn, "to": target}, {"waits_at": waits_at}, {"waits_at": [*waits_at, target]})

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
            self._check_target(target)
            if target in self._view.places(record.msn):
                raise OrderRefused(f"{record.msn} waits at {target}, or is on its way")
            self._check_fit(found, target, None, send_again=asked.get("send_again", False))
        source = back = None
        if at_operator is not None:
            source, taken = OPERATOR_QUEUE, self._operator.take(record.msn)
            assert taken is not None
            back = partial(self._put_back, OPERATOR_QUEUE, taken)
        go = partial(self._again, found, targets, chosen="to" in asked)
        way = _Way(found, source, targets, f"again by {order.words}", go, back or (lambda: None))
        await self._go(order, [way])
        answer = {"msn": record.msn, "queued": list(targets)}
        return Outcome(answer, {"ended": _outcomes(found)}, {"queued": list(targets)})

    def _again(self, found: Found, targets: Iterable[str], *, chosen: bool) -> None:
        lines = [target.removeprefix("line:") for target in targets if target.startswith("line:")]
        if lines:
            self._on_lines(found, lines, duplicate=True)
        for target in targets:
            if target.startswith(("device:", "user:")):
                message = recovery.to_station(found.message, True)
                if chosen:
                    self._deliver(target, message)
                else:
                    message.expires_us = self._deliveries.expiry(message.kind, clock.wall_us())
                    self._deliveries.push(target, message)
            elif target == OPERATOR_QUEUE:
                self._arrive(found, target, None)

    async def _numbered(self, asked: Mapping[str, Any]) -> Found:
        """Find the message an order names by MSN, ISN or OSN."""
        if "msn" in asked:
            return await self._find(asked["msn"])
        if "date" in asked:
            since_us = clock.parse_rfc3339(asked["date"])
            until_us = since_us + _DAY_US
        else:
            until_us = clock.wall_us() + 1
            since_us = until_us - _LOOK_BACK_US
        await self._durable()
        if "isn" in asked:
            what, where = f"ISN {asked['isn']}", asked["from"]
            found = await self._records.by_isn(asked["isn"], where, since_us, until_us)
        else:
            # It may have gone out some days after it came.
            what, where = f"OSN {asked['osn']}", asked["to"]
            found = await self._records.by_osn(asked["osn"], where, since_us - _LOOK_BACK_US, until_us)
        if not found:
            raise OrderRefused(f"there is no {what} of {where} in that time")
        if len(found) > 1:
            raise OrderRefused(f"{what} of {where} is of MSNs {', '.join(str(each.message.msn) for each in found)}")
        return found[0]

    # --- deleting, other classes ----------------------------------------------------------------------------

    async def queue_delete(self, order: Order) -> Outcome:
        """Take messages out of a queue; who sent them is told."""
        source = order.asked["from"]
        return await self._each(order, source, lambda found: self._delete(order, found, source))

    def _delete(self, order: Order, found: Found, source: str) -> _Way:
        taken = self._take(source, found.message.msn)
        go = partial(self._tell_deleted, found, source, order.reason)
        return _Way(found, source, [], "", go, partial(self._put_back, source, taken))

    def _tell_deleted(self, found: Found, source: str, reason: str) -> None:
        record, words = found.message, f"deleted by the operator: {reason}"
        if not _of_station(record):
            return
        entry = self._entry(record)
        if source.startswith("line:"):
            line = source.removeprefix("line:")
            self._traffic.give_up(entry, line, LineOutOfService(f"not sent to {line}: {words}"))
        elif source.startswith(("device:", "user:")):
            self._traffic.tell(entry, None, LineOutOfService(f"not delivered to {source.partition(':')[2]}: {words}"))
        elif not any(event.event in (Life.SENT, Life.NOT_SENT) for event in _on_a_line(found)):
            self._traffic.tell(entry, None, LineOutOfService(f"not sent: {words}"))

    async def queue_reprioritise(self, order: Order) -> Outcome:
        """Put a message into another class of its queue."""
        address, msn = order.asked["at"], order.asked["msn"]
        message, outbox = self._peek(address, msn), None
        if message is not None:
            outbox = self._view.outbox(address)
        if message is None or outbox is None:
            raise OrderRefused("what waits for the operator has no classes: say what is to become of it")
        was, now = message.precedence, Precedence[order.asked["to"].upper()]
        if was is now:
            raise OrderRefused(f"{msn} is {now.name.lower()} already")
        # The word alone: a starting switch reads it there.
        self._writer.note(EventRecord(msn, clock.wall_us(), Life.REPRIORITISED, address, now.name))
        outbox.reprioritise(message, now)
        facts = {"msn": msn, "was": was.name.lower(), "is": now.name.lower()}
        return Outcome(facts, {"priority": facts["was"]}, {"priority": facts["is"]})

    # --- what is intercepted ----------------------------------------------------------------------------------

    async def intercept_edit(self, order: Order) -> Outcome:
        """Give a message that is held another text."""
        msn, text = order.asked["msn"], order.asked["text"]
        if self._operator.find(msn, INTERCEPT) is None:
            raise OrderRefused(f"{msn} is not held")
        found = await self._find(msn)
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
            self._writer.append(record, events, stored.set_result)
            failure = await stored
        except JournalUnavailable as exc:
            failure = exc
        if failure is not None:
            self._put_back(INTERCEPT, taken)
            raise OrderRefused("the journal cannot be written, so nothing is changed")
        self._operator.add(now, taken.address, taken.why, record.received, INTERCEPT)
        return Outcome(
            {"was": msn, "msn": now},
            {"msn": msn, "text": found.message.text},
            {"msn": now, "text": record.text},
        )

    async def intercept_release(self, order: Order) -> Outcome:
        """Let messages go where they would have gone; whether their senders may is asked again."""
        return await self._each(order, INTERCEPT, lambda found: self._release(order, found))

    def _release(self, order: Order, found: Found) -> _Way:
        record, beside, legs = found.message, NOTHING, NO_LEGS
        if record.direction == Direction.INBOUND:
            device = self._point.directory.unsolicited_device(record.mnemonic or "")
            targets, detail = [device.address if device is not None else OPERATOR_QUEUE], "released"
            go = partial(self._again_unsolicited, found, targets[0])
        else:
            try:
                incoming = self._intake.examine_again(record)
            except Refusal as exc:
                raise OrderRefused(f"{exc.code} {exc.reason}") from exc
            targets = [f"line:{name}" for name in incoming.lines]
            if incoming.bulletin:
                targets.append(BULLETINS)
            legs = incoming.legs
            detail = incoming.route.name if incoming.route is not None else "released"
            go = partial(self._let_go, found, incoming.lines, legs)
            beside = self._beside(incoming, record)
        taken = self._take(INTERCEPT, record.msn)
        back = partial(self._put_back, INTERCEPT, taken)
        return _Way(found, INTERCEPT, targets, detail, go, back, beside, legs)

    def _let_go(self, found: Found, lines: Sequence[str], legs: Legs) -> None:
        if lines:
            self._on_lines(found, lines, duplicate=False)
        for leg in legs.legs:
            message = recovery.to_station(found.message, False, broadcast=leg.kind == BROADCAST)
            message.original_mnemonic = leg.original_mnemonic
            self._deliveries.deliver(leg, message)

    def _again_unsolicited(self, found: Found, target: str) -> None:
        if target == OPERATOR_QUEUE:
            self._operator.add(found.message.msn, None, "no destination", clock.wall_us())
        else:
            self._deliveries.push(target, recovery.to_station(found.message, False))

    # --- what all of them share ---------------------------------------------------------------------------------

    async def _each(self, order: Order, source: str, prepare: Callable[[Found], _Way]) -> Outcome:
        """Do something with each message of an order that can be had; say of the others why not."""
        msns = self._view.waiting(source) if "all" in order.asked else list(order.asked["msns"])
        # What takes time comes first: from where a message is taken to its event, nothing may come in between.
        await self._durable()
        records = {msn: await self._records.entry(msn) for msn in msns}
        ways, not_done = [], []
        for msn, found in records.items():
            try:
                if found is None:
                    raise OrderRefused("the journal does not hold it")
                ways.append(prepare(found))
            except OrderRefused as exc:
                not_done.append({"msn": msn, "why": str(exc)})
        await self._go(order, ways)
        done = [way.found.message.msn for way in ways]
        targets = sorted({target for way in ways for target in way.everywhere})
        return Outcome(
            {"done": done, "not_done": not_done}, {"at": source, "msns": msns}, {"at": targets, "msns": done}
        )

    async def _find(self, msn: int) -> Found:
        await self._durable()
        found = await self._records.entry(msn)
        if found is None:
            raise OrderRefused(f"the journal holds no message {msn}")
        return found

    async def _go(self, order: Order, ways: Sequence[_Way]) -> None:
        """Journal where messages go, and send them there once that is durable.

        Raises:
            OrderRefused: It cannot be journaled; they are where they were.
        """
        at = clock.wall_us()
        for way in ways:
            msn = way.found.message.msn
            if way.source is not None:
                goes_to = way.everywhere
                left = Life.FORWARDED if goes_to else Life.CANCELLED
                whither = f"to {', '.join(goes_to)} by {order.words}" if goes_to else order.words
                self._writer.note(EventRecord(msn, at, left, way.source, whither))
            for target in way.targets:
                self._writer.note(EventRecord(msn, at, Life.ROUTED, target, way.detail))
            for event in (*way.legs.events(msn, at), *way.beside.events):
                self._writer.note(event)
        if ways and not await self._durable():
            self._undo(ways)
            raise OrderRefused("the journal cannot be written, so nothing is changed")
        for way in ways:
            way.beside.then()
            way.go()

    def _undo(self, ways: Sequence[_Way]) -> None:
        """Put messages back. Their events wait for the journal in memory, and so does that they do not hold."""
        at, why = clock.wall_us(), "the journal could not be written"
        for way in reversed(ways):
            msn = way.found.message.msn
            for target in (*way.everywhere, *(event.destination for event in way.beside.events)):
                self._writer.note(EventRecord(msn, at, Life.CANCELLED, target, why))
            if way.source is not None:
                self._writer.note(EventRecord(msn, at, Life.ROUTED, way.source, why))
            way.back()

    def _peek(self, address: str, msn: int) -> Outgoing | None:
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

    def _take(self, address: str, msn: int) -> Outgoing | Entry:
        """Take a message out of where it waits; see `_peek`."""
        message = self._peek(address, msn)
        if message is None:
            taken = self._operator.take(msn, address)
            assert taken is not None
            return taken
        outbox = self._view.outbox(address)
        assert outbox is not None
        outbox.drop(message)
        return message

    def _put_back(self, address: str, taken: Outgoing | Entry) -> None:
        if isinstance(taken, Entry):
            self._operator.add(taken.msn, taken.address, taken.why, taken.since_us, address)
            return
        outbox = self._view.outbox(address)
        if outbox is None:
            self._deliveries.push(address, taken)
        else:
            outbox.give_back(taken)

    def _check_target(self, target: str) -> None:
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

    def _check_fit(self, found: Found, target: str, message: Outgoing | None, *, send_again: bool = False) -> None:
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
            outbox = self._deliveries.outboxes.get(target)
            if outbox is not None and outbox.full_for(message or recovery.to_station(record, False)):
                raise OrderRefused(f"too many messages wait at {target}")

    def _check_line(self, found: Found, name: str, *, send_again: bool) -> None:
        record, trunk = found.message, self._traffic.trunks[name]
        if not _of_station(record) or record.header is None:
            raise OrderRefused("only a station's message goes out on a line")
        entry = self._entry(record)
        if entry.key is None:
            raise OrderRefused("the catalog does not have its message key any more")
        if name in entry.awaited:
            raise OrderRefused(f"an answer of {name} is awaited already")
        if entry.update and _was_on_line(found) and not send_again:
            raise OrderRefused(
                f"it is an update ({entry.key.code}) that may have reached the state: look there first, then "
                "`msc queue requeue --yes-send-again`"
            )
        mnemonic = self._point.directory.mnemonics.get(record.mnemonic or "")
        if mnemonic is not None and mnemonic.mode.value != trunk.primary.mode:
            raise OrderRefused(f"{record.mnemonic} is a {mnemonic.mode.value} mnemonic, and {name} is not")
        if (against := objection(self._point, entry)) is not None:
            raise OrderRefused(f"its sender may not send it any more: {against.code} {against.reason}")


def _of_station(record: MessageRecord) -> bool:
    """Tell whether a message is one that a station has sent."""
    return record.direction != Direction.INBOUND and record.kind != "status" and record.user is not None


def _was_sent(found: Found) -> bool:
    """Tell whether a message has been on its way before."""
    return any(event.event == Life.SENT for event in found.events)


def _on_a_line(found: Found) -> list[EventRecord]:
    return [event for event in found.events if (event.destination or "").startswith("line:")]


def _was_on_line(found: Found) -> bool:
    """Tell whether the state may have got a message."""
    return any(event.event == Life.SENT for event in _on_a_line(found))


def _went_to(found: Found) -> list[str]:
    """Return the lines and stations a message was routed to, each once."""
    routed = [event.destination for event in found.events if event.event == Life.ROUTED]
    return list(dict.fromkeys(each for each in routed if each and each.startswith(("line:", "device:", "user:"))))


def _outcomes(found: Found) -> list[dict[str, Any]]:
    """Return the last event at each destination."""
    last = {event.destination: event.event for event in found.events if event.destination is not None}
    return [{"at": destination, "event": str(event)} for destination, event in last.items()]
