"""The daily bulletin board (LEADS 1240.130): what hangs there, every station gets once.

A bulletin is a message that is owed to `board:daily` until it has expired or an operator has withdrawn it. A terminal
gets it when somebody signs on, or at once if somebody is; a printer or host when it opens. What it got is `routed` to
it, with the bulletin's own MSN; so the journal knows who has it, also after a restart, and its receipts say so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from msc import clock
from msc.errors import BadLength, JournalUnavailable, Overloaded
from msc.journal.writer import Then, tells
from msc.limits import BULLETIN_S_MAX, BULLETINS_MAX, TEXT_CHARS_MAX
from msc.log import get_logger
from msc.protocol.text import check_characters
from msc.switch.confirmations import Beside
from msc.switch.delivery import Deliveries
from msc.switch.lifecycle import Lifecycle
from msc.switch.orders.verb import OrderRefused
from msc.transit.event import BULLETINS, Event, Facts, Life
from msc.transit.message import Direction, MessageRecord
from msc.transit.transaction import Stay, Transaction

log = get_logger("switch")

KIND: Final = "bulletin"
"""Kind of the journal's record of what an operator of the switch posts."""


@dataclass(frozen=True, slots=True)
class Bulletin:
    """What hangs on the board.

    Attributes:
        number: Its MSN.
        posted_us, until_us: Wall times.
        by: The operator of the switch, or the mnemonic it was sent from.
        reached: The addresses that have got it, or need not.
    """

    transaction: Transaction
    until_us: int
    by: str
    reached: set[str] = field(default_factory=set)

    @property
    def number(self) -> int:
        """What operators call it by: its MSN."""
        return self.transaction.msn

    @property
    def posted_us(self) -> int:
        """When it was posted."""
        return self.transaction.message.received

    @property
    def text(self) -> str:
        """As it was posted."""
        return self.transaction.message.text

    @property
    def routed(self) -> Event:
        """What the journal says of it: by that a starting switch posts it again."""
        facts: Facts = {"until": self.until_us, "by": self.by}
        return Event(self.number, self.posted_us, Life.ROUTED, BULLETINS, facts)

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
        kept_s: How long a bulletin is posted that names no end.
        present: Returns the addresses of the stations that are there now.
    """

    def __init__(
        self,
        lifecycle: Lifecycle,
        deliveries: Deliveries,
        kept_s: float,
        present: Callable[[], Iterable[str]] = tuple,
    ) -> None:
        self._lifecycle = lifecycle
        self._writer = lifecycle.writer
        self._deliveries = deliveries
        self._present = present
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
        facts: Facts = {"until": until_us, "by": by}
        transaction = Transaction(
            MessageRecord(
                msn, at, Direction.LOCAL, KIND, text=text, transaction=msn,
                events=(Event(msn, at, Life.ROUTED, BULLETINS, facts),),
            )
        )  # fmt: skip
        bulletin = Bulletin(transaction, until_us, by)
        stored: asyncio.Future[JournalUnavailable | None] = asyncio.get_running_loop().create_future()
        self._lifecycle.begin(transaction, partial(self._posted, bulletin, tells(stored)))
        if (failure := await stored) is not None:
            raise failure
        return bulletin.as_json()

    def _posted(self, bulletin: Bulletin, then: Then, failure: JournalUnavailable | None) -> None:
        if failure is None:
            self.hang(bulletin)
        then(failure)

    def accepted(self, transaction: Transaction, reached: Iterable[str]) -> Beside:
        """Take a station's message for the board that is about to be stored.

        Args:
            reached: Where it goes besides.
        """
        record = transaction.message
        own = own_address(transaction)
        bulletin = Bulletin(transaction, self.until(record.received), record.mnemonic or "", {*reached, *own})
        return Beside((bulletin.routed,), lambda: self.hang(bulletin))

    def until(self, at_us: int) -> int:
        """Return when a bulletin comes down that names no end."""
        return at_us + int(self._kept_s * 1e6)

    def hang(self, bulletin: Bulletin) -> None:
        """Hang up a bulletin that is in the journal, and give it to who is there."""
        self._bulletins[bulletin.number] = bulletin
        log.info("bulletin.posted", msn=bulletin.number)
        for address in self._present():
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
            raise OrderRefused(f"bulletin {number} is not on the board; `msc bulletin list` says what is")
        stored: asyncio.Future[JournalUnavailable | None] = asyncio.get_running_loop().create_future()
        why, stay = f"withdrawn by {by}", bulletin.transaction.stays[BULLETINS]
        then = partial(self._withdrawn, bulletin, why, tells(stored))
        self._lifecycle.store(stay, Life.CANCELLED, then, {"why": why})
        if (failure := await stored) is not None:
            raise failure
        return bulletin.as_json()

    def _withdrawn(self, bulletin: Bulletin, why: str, then: Then, failure: JournalUnavailable | None) -> None:
        if failure is None:
            self._take_down(bulletin, Life.CANCELLED, why)
        then(failure)

    def tick(self, now_us: int) -> None:
        """Take down what has hung long enough."""
        for bulletin in [each for each in self._bulletins.values() if each.until_us <= now_us]:
            why = "its time was over"
            self._lifecycle.note_at(bulletin.number, BULLETINS, Life.EXPIRED, {"why": why})
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
        if address in bulletin.reached or bulletin.until_us <= clock.wall_us():
            return
        bulletin.reached.add(address)
        stay = self._lifecycle.route(bulletin.transaction, address, {"until": bulletin.until_us})
        self._deliveries.push(stay)

    # --- after a restart ------------------------------------------------------------------------------

    def restore(self, stay: Stay) -> None:
        """Post again what was on the board when the switch stopped."""
        transaction = stay.transaction
        until_us = stay.facts.get("until", self.until(stay.received_us))
        by = stay.facts.get("by", transaction.mnemonic)
        # Everywhere it ever was routed to.
        bulletin = Bulletin(transaction, until_us, by, {*transaction.stays, *own_address(transaction)})
        self._bulletins[bulletin.number] = bulletin


def own_address(transaction: Transaction) -> set[str]:
    """Return where a bulletin came from: who wrote it needs no copy. Nowhere, if an operator of the switch did."""
    return {transaction.address} if transaction.message.device is not None else set()
