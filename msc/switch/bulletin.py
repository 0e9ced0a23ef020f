"""The daily bulletin board (LEADS 1240.130): what hangs there, every station gets once.

A bulletin is a message that is owed to `board:daily` until it has expired or an operator has withdrawn it. A terminal
gets it when somebody signs on, or at once if somebody is; a printer or host when it opens. What it got is `routed` to
it, with the bulletin's own MSN; so the journal knows who has it, also after a restart, and its receipts say so.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from msc import clock
from msc.directory.rows import Directory
from msc.errors import BadLength, JournalUnavailable, Overloaded
from msc.journal.recall import Unfinished
from msc.journal.writer import JournalWriter
from msc.limits import BULLETIN_S_MAX, BULLETINS_MAX, TEXT_CHARS_MAX
from msc.log import get_logger
from msc.protocol.text import check_characters
from msc.switch.confirmations import Beside
from msc.switch.delivery import Deliveries
from msc.switch.orders.verb import OrderRefused
from msc.switch.recovery import FROM_BOARD, address_of, to_station
from msc.transit.event import BULLETINS, Event, Life
from msc.transit.message import Direction, MessageRecord

log = get_logger("switch")

KIND: Final = "bulletin"
"""Kind of the journal's record of what an operator of the switch posts."""
_TERMS: Final = re.compile(r"until (\S+) by (.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Bulletin:
    """What hangs on the board.

    Attributes:
        number: Its MSN.
        posted_us, until_us: Wall times.
        by: The operator of the switch, or the mnemonic it was sent from.
        reached: The addresses that have got it, or need not.
    """

    record: MessageRecord
    until_us: int
    by: str
    reached: set[str] = field(default_factory=set)

    @property
    def number(self) -> int:
        """What operators call it by: its MSN."""
        return self.record.msn

    @property
    def posted_us(self) -> int:
        """When it was posted."""
        return self.record.received

    @property
    def text(self) -> str:
        """As it was posted."""
        return self.record.text

    @property
    def terms(self) -> str:
        """Detail of its `routed`: what a starting switch hangs it up again by."""
        return f"until {clock.rfc3339(self.until_us)} by {self.by}"

    def as_json(self) -> dict[str, Any]:
        """Return it as operators are shown it."""
        return {
            "number": self.number,
            "posted": clock.rfc3339(self.posted_us),
            "until": clock.rfc3339(self.until_us),
            "by": self.by,
            "text": self.text,
        }


class BulletinBoard:
    """What hangs, and who has it.

    Args:
        kept_s: How long a bulletin hangs that names no end.
    """

    def __init__(self, writer: JournalWriter, deliveries: Deliveries, directory: Directory, kept_s: float) -> None:
        self.present: Callable[[], Iterable[str]] = tuple
        """The addresses of the stations that are there now."""
        self._writer = writer
        self._deliveries = deliveries
        self._directory = directory
        self._kept_s = kept_s
        self._bulletins: dict[int, Bulletin] = {}

    def __len__(self) -> int:
        return len(self._bulletins)

    @property
    def hanging(self) -> tuple[Bulletin, ...]:
        """What hangs, the oldest first."""
        return tuple(self._bulletins.values())

    def list(self) -> list[dict[str, Any]]:
        """Return what hangs as operators are shown it."""
        return [bulletin.as_json() for bulletin in self.hanging]

    def check_room(self) -> None:
        """Refuse another bulletin while too many hang.

        Raises:
            Overloaded: They do.
        """
        if len(self._bulletins) >= BULLETINS_MAX:
            raise Overloaded(f"{BULLETINS_MAX} bulletins hang on the board")

    # --- posting and withdrawing ----------------------------------------------------------------------

    async def post(self, text: str, until_us: int | None, by: str) -> dict[str, Any]:
        """Post a bulletin; returns it once it is in the journal, and on its way to who is there.

        Args:
            until_us: When it comes down; None is after the site's usual time.
            by: The operator.

        Raises:
            OrderRefused: It would never hang, or too long.
            BadLength, BadCharacter: The text is none that a station can be sent.
            Overloaded, JournalUnavailable: Not now.

        Cancellation:
            Safe, but does not undo: it may hang.
        """
        at = clock.wall_us()
        until_us = self.until(at) if until_us is None else until_us
        if not 0 < until_us - at <= BULLETIN_S_MAX * 1e6:
            days = BULLETIN_S_MAX / 86_400
            raise OrderRefused(f"a bulletin comes down later than now, and within {days:.0f} days")
        if not text.strip() or len(text) > TEXT_CHARS_MAX:
            raise BadLength(f"the text has {len(text)} characters; 1 to {TEXT_CHARS_MAX} are allowed")
        check_characters(text)
        self.check_room()
        self._writer.check_room()
        msn = self._writer.allot()
        record = MessageRecord(msn, at, Direction.LOCAL, KIND, text=text, transaction=msn)
        bulletin = Bulletin(record, until_us, by)
        stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def durable(failure: JournalUnavailable | None) -> None:
            if failure is None:
                self.hang(bulletin)
            _settle(stored, failure)

        self._writer.append(record, [Event(msn, at, Life.ROUTED, BULLETINS, bulletin.terms)], durable)
        await stored
        return bulletin.as_json()

    def accepted(self, record: MessageRecord, reached: Iterable[str]) -> Beside:
        """Take a station's message for the board that is about to be stored.

        Args:
            reached: Where it goes besides.
        """
        own = own_address(record, self._directory)
        bulletin = Bulletin(record, self.until(record.received), record.mnemonic or "", {*reached, *own})
        routed = Event(record.msn, record.received, Life.ROUTED, BULLETINS, bulletin.terms)
        return Beside((routed,), lambda: self.hang(bulletin))

    def until(self, at_us: int) -> int:
        """Return when a bulletin comes down that names no end."""
        return at_us + int(self._kept_s * 1e6)

    def hang(self, bulletin: Bulletin) -> None:
        """Hang up a bulletin that is in the journal, and give it to who is there."""
        self._bulletins[bulletin.number] = bulletin
        log.info("bulletin.posted", msn=bulletin.number)
        for address in self.present():
            self._give(bulletin, address)

    async def withdraw(self, number: int, by: str) -> dict[str, Any]:
        """Take a bulletin down, and return it: who has not got it gets it no more.

        Args:
            by: The operator.

        Raises:
            OrderRefused: None of that number hangs.
            JournalUnavailable: Not now.
        """
        bulletin = self._bulletins.get(number)
        if bulletin is None:
            raise OrderRefused(f"no bulletin {number} hangs on the board")
        stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        why = f"withdrawn by {by}"

        def durable(failure: JournalUnavailable | None) -> None:
            if failure is None:
                self._take_down(bulletin, Life.CANCELLED, why)
            _settle(stored, failure)

        self._writer.store(Event(number, clock.wall_us(), Life.CANCELLED, BULLETINS, why), durable)
        await stored
        return bulletin.as_json()

    def tick(self, now_us: int) -> None:
        """Take down what has hung long enough."""
        for bulletin in [each for each in self._bulletins.values() if each.until_us <= now_us]:
            why = "its time was over"
            self._writer.note(Event(bulletin.number, now_us, Life.EXPIRED, BULLETINS, why))
            self._take_down(bulletin, Life.EXPIRED, why)

    def _take_down(self, bulletin: Bulletin, life: Life, why: str) -> None:
        if self._bulletins.pop(bulletin.number, None) is not None:
            self._deliveries.take_back(bulletin.number, life, why)

    # --- giving ---------------------------------------------------------------------------------------

    def station_arrived(self, address: str) -> None:
        """Somebody receives for an address now: give them what they have not got."""
        for bulletin in self._bulletins.values():
            self._give(bulletin, address)

    def _give(self, bulletin: Bulletin, address: str) -> None:
        at = clock.wall_us()
        if address in bulletin.reached or bulletin.until_us <= at:
            return
        bulletin.reached.add(address)
        message = to_station(bulletin.record, was_sent=False, broadcast=True)
        message.bulletin, message.expires_us = True, bulletin.until_us
        self._writer.note(
            Event(bulletin.number, at, Life.ROUTED, address, FROM_BOARD + clock.rfc3339(bulletin.until_us))
        )
        self._deliveries.push(address, message)

    # --- after a restart ------------------------------------------------------------------------------

    def restore(self, leg: Unfinished) -> None:
        """Hang up again what hung when the switch stopped."""
        terms = next((m for event in leg.events if (m := _TERMS.fullmatch(event.detail or ""))), None)
        until_us, by = self.until(leg.message.received), leg.message.mnemonic or ""
        if terms is not None:
            until_us, by = clock.parse_rfc3339(terms[1]), terms[2]
        bulletin = Bulletin(leg.message, until_us, by, {*leg.reached, *own_address(leg.message, self._directory)})
        self._bulletins[bulletin.number] = bulletin


def own_address(record: MessageRecord, directory: Directory) -> set[str]:
    """Return where a bulletin came from: who wrote it needs no copy. Nowhere, if an operator of the switch did."""
    return {address_of(record, directory)} if record.device is not None else set()


def _settle(stored: asyncio.Future[None], failure: JournalUnavailable | None) -> None:
    if stored.done():
        return  # whoever waited has left
    if failure is None:
        stored.set_result(None)
    else:
        stored.set_exception(failure)
