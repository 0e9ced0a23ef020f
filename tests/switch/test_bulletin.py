"""The bulletin board: what hangs there every station gets once, whenever it comes, and whatever is restarted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from msc import clock
from msc.access.control_point import OperatorSession
from msc.directory.rows import OperatorClass
from msc.errors import BadCharacter, BadLength, MSCError, Overloaded
from msc.journal.archive import Archivist
from msc.journal.database.opening import open_archiving
from msc.journal.recall import unfinished
from msc.limits import BULLETIN_S_MAX, BULLETINS_MAX, TEXT_CHARS_MAX
from msc.protocol.frame import DATA, encode_frame
from msc.routing.forwarding import Forward, Forwarding
from msc.switch.bulletin import Bulletin
from msc.switch.orders.verb import OrderRefused
from msc.transit.event import BULLETINS, Event, Facts, Life
from msc.transit.message import Direction, MessageRecord
from msc.transit.precedence import Precedence
from msc.transit.transaction import Stay, Transaction
from tests.support.journal import drop, enter, reading, records_of
from tests.support.port import FakeStation
from tests.support.running import DAY_S, Restarted, events_of
from tests.switch.test_delivery import ALL_DAY

DESK, OTHER, PRINTER = "device:desk-1", "device:desk-2", "device:printer-1"
TEXT = "COURT IS CLOSED ON MONDAY"
DAY_US = int(DAY_S * 1e6)


class County(Restarted):
    """A switch over a real journal that is written as it runs."""

    async def start(self) -> None:
        await super().start()
        self.writing = asyncio.create_task(self.writer.run())

    async def stop(self) -> None:
        self.writer.close()
        await self.writing
        await super().stop()

    async def restarted(self) -> County:
        """Stop, and come back as a switch does that finds what the journal holds."""
        await self.stop()
        again = County(self.folder)
        await again.start()
        async with reading(again.url) as reader:
            owed = await unfinished(reader, again.writer.owed)
        assert not owed.gone and not owed.unreadable
        again.parts.recovery.take_up([], owed.messages)
        return again

    def there(self, *devices: str) -> None:
        """Let devices be open."""
        for name in devices:
            self.parts.visits.open_devices[name] = FakeStation(self.point.directory.devices[name])

    def owed(self, address: str) -> list[Stay]:
        """Return what waits for an address."""
        outbox = self.deliveries.outboxes.get(address)
        return outbox.queued() if outbox is not None else []

    async def events(self, msn: int) -> list[tuple[str, str | None]]:
        """Return the events of a message that the journal holds by now."""
        mark = self.writer.noted()
        while not self.writer.holds(mark):
            await asyncio.sleep(0)
        records = await records_of(self.url)
        return [(event.event, event.destination) for event in events_of(records) if event.msn == msn]


@pytest.fixture
async def county(tmp_path: Path) -> AsyncIterator[County]:
    switch = County(tmp_path)
    await switch.start()
    yield switch
    if not switch.writing.done():
        await switch.stop()


# --- given once ---------------------------------------------------------------------------------------------------


@pytest.mark.requirement("L-BULLETIN")
async def test_who_is_there_gets_it_at_once_who_comes_later_then_and_nobody_twice(county: County) -> None:
    county.there("desk-1")
    posted = await county.board.post(TEXT, None, "admin")
    county.board.station_arrived(PRINTER)
    for address in (DESK, PRINTER):
        county.board.station_arrived(address)
        [message] = county.owed(address)
        assert (message.msn, message.kind, message.text) == (posted["number"], "broadcast", TEXT)
        assert (message.source, message.precedence) == ("switch", Precedence.BROADCAST)
    assert await county.events(posted["number"]) == [
        (Life.ROUTED, BULLETINS), (Life.ROUTED, DESK), (Life.QUEUED, DESK), (Life.ROUTED, PRINTER),
        (Life.QUEUED, PRINTER),
    ]  # fmt: skip
    assert county.board.list() == [posted]
    assert (posted["by"], posted["text"], list(posted)) == (
        "admin",
        TEXT,
        ["number", "posted", "until", "by", "text"],
    )
    [hangs] = county.board.hanging
    assert hangs.until_us - hangs.posted_us == DAY_US


@pytest.mark.requirement("L-BULLETIN", "C-TAMF")
async def test_it_does_not_go_where_the_desk_is_forwarded_to_which_gets_its_own(county: County) -> None:
    county.parts.redirection.use(Forwarding([Forward("by night", "desk-1", "printer-1", ALL_DAY)], []))
    await county.board.post(TEXT, None, "admin")
    county.board.station_arrived(DESK)
    county.deliveries.tick()
    assert len(county.owed(DESK)) == 1 and not county.owed(PRINTER)


# --- taken down ---------------------------------------------------------------------------------------------------


@pytest.mark.requirement("L-BULLETIN")
async def test_what_is_withdrawn_reaches_nobody_any_more(county: County) -> None:
    posted = await county.board.post(TEXT, None, "admin")
    county.board.station_arrived(DESK)
    assert await county.board.withdraw(posted["number"], "admin") == posted
    county.board.station_arrived(OTHER)
    assert not county.owed(DESK) and not county.owed(OTHER) and len(county.board) == 0
    assert (await county.events(posted["number"]))[-2:] == [(Life.CANCELLED, BULLETINS), (Life.CANCELLED, DESK)]
    with pytest.raises(OrderRefused):
        await county.board.withdraw(posted["number"], "admin")


@pytest.mark.requirement("L-BULLETIN")
async def test_it_comes_down_when_its_time_is_over_and_no_operator_is_bothered(county: County) -> None:
    posted = await county.board.post(TEXT, clock.wall_us() + 60_000_000, "admin")
    county.board.station_arrived(DESK)
    county.board.tick(clock.parse_rfc3339(posted["until"]) - 1)
    assert len(county.board) == 1
    county.board.tick(clock.parse_rfc3339(posted["until"]))
    county.deliveries.tick()
    assert len(county.board) == 0 and not county.owed(DESK) and not len(county.deliveries.operator_queue)
    assert (await county.events(posted["number"]))[-2:] == [(Life.EXPIRED, BULLETINS), (Life.EXPIRED, DESK)]


async def test_a_copy_that_comes_back_from_a_lost_terminal_after_the_end_is_not_sent_again(county: County) -> None:
    posted = await county.board.post(TEXT, None, "admin")
    desk = FakeStation(county.point.directory.devices["desk-1"])
    county.deliveries.attach(DESK, desk)
    county.board.station_arrived(DESK)
    await county.board.withdraw(posted["number"], "admin")
    county.deliveries.detach(desk)
    county.deliveries.tick()
    assert not county.owed(DESK)


# --- what is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "after_us", "refused"),
    [
        (TEXT, -1, OrderRefused),
        (TEXT, int(BULLETIN_S_MAX * 1e6) + 60_000_000, OrderRefused),
        ("  ", 60_000_000, BadLength),
        ("X" * (TEXT_CHARS_MAX + 1), 60_000_000, BadLength),
        ("SE\u00d1OR", 60_000_000, BadCharacter),
    ],
)
async def test_what_cannot_hang_is_refused(county: County, text: str, after_us: int, refused: type[MSCError]) -> None:
    with pytest.raises(refused):
        await county.board.post(text, clock.wall_us() + after_us, "admin")
    assert len(county.board) == 0


async def test_a_board_that_is_full_takes_no_more(county: County) -> None:
    record = MessageRecord(1, 0, Direction.LOCAL, "bulletin", text=TEXT)
    for msn in range(BULLETINS_MAX):
        transaction = Transaction(record._replace(msn=10_000 + msn))
        county.board.hang(Bulletin(transaction, clock.wall_us() + DAY_US, "admin"))
    with pytest.raises(Overloaded):
        await county.board.post(TEXT, None, "admin")


# --- after a restart ----------------------------------------------------------------------------------------------


@pytest.mark.requirement("L-BULLETIN", "F-BACKUP")
async def test_after_a_restart_it_hangs_again_and_who_had_it_does_not_get_it_again(county: County) -> None:
    until = clock.wall_us() + 3 * DAY_US
    posted = await county.board.post(TEXT, until, "admin")
    desk = FakeStation(county.point.directory.devices["desk-1"])
    county.deliveries.attach(DESK, desk)
    for address in (DESK, OTHER):
        county.board.station_arrived(address)
    county.deliveries.answered(desk, 1, None)
    again = await county.restarted()
    try:
        [hangs] = again.board.hanging
        assert (hangs.number, hangs.until_us, hangs.by) == (
            posted["number"],
            until,
            "admin",
        )
        [owed] = again.owed(OTHER)
        assert (owed.kind, owed.bulletin, owed.expires_us) == (
            "broadcast",
            True,
            until,
        )
        for address in (DESK, OTHER, PRINTER):
            again.board.station_arrived(address)
        assert [len(again.owed(address)) for address in (DESK, OTHER, PRINTER)] == [0, 1, 1]
    finally:
        await again.stop()


@pytest.mark.requirement("L-BULLETIN", "F-BACKUP")
async def test_who_had_it_is_known_however_far_from_it_that_stands_in_the_journal(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'journal.db'}"
    at = clock.wall_us()
    terms: Facts = {"until": at + DAY_US, "by": "admin"}
    entered = await enter(
        url,
        MessageRecord(1, at, Direction.LOCAL, "bulletin", text=TEXT, transaction=1),
        Event(1, at, Life.ROUTED, BULLETINS, terms),
        *[MessageRecord(msn, at, Direction.LOCAL, "status", transaction=msn) for msn in range(2, 700)],
        Event(1, at, Life.ROUTED, DESK, {"until": at + DAY_US}),
        Event(1, at, Life.ACKNOWLEDGED, DESK),
    )
    database = open_archiving(url)
    await Archivist(database).step(at_least=1)
    await database.close()
    await drop(url, entered.seq)
    async with reading(url) as reader:
        [found] = (await unfinished(reader, entered.owed)).messages
    bulletin = Transaction.replay(found.message, found.events)
    assert set(bulletin.stays) == {BULLETINS, DESK}
    assert bulletin.stays[BULLETINS].facts == terms


# --- from a terminal ----------------------------------------------------------------------------------------------

OPERATOR = OperatorSession(
    "s1", "J40217", "EXLP", "CA0980000", OperatorClass.FULL_ACCESS, "A123", None, "02RVXUF", "desk-1", DESK
)


def send(county: County, text: str) -> None:
    """Let the operator of desk-1 send a message."""
    station = FakeStation(county.point.directory.devices["desk-1"])
    station.session.receive_data(encode_frame(DATA, 1, text.encode()), 0.0)
    county.switch.take(station, 1, text.encode(), OPERATOR, None)


@pytest.mark.requirement("L-BULLETIN", "C-ADMIN")
async def test_a_terminal_posts_by_naming_the_board_and_gets_no_copy_of_its_own(county: County) -> None:
    county.there("desk-1", "desk-2", "printer-1")
    text = f"AM.CA0980000.A124,BULLETIN.TXT {TEXT}"
    send(county, text)
    events = await county.events(1)
    assert events[:2] == [(Life.ROUTED, OTHER), (Life.ROUTED, BULLETINS)]
    [named], [printed] = county.owed(OTHER), county.owed(PRINTER)
    assert (named.kind, named.bulletin) == ("unsolicited", False), "who is named gets it as a message, and once"
    assert (printed.kind, printed.text, printed.source, printed.bulletin) == ("broadcast", text, "desk-1", True)
    assert not county.owed(DESK)
    [hangs] = county.board.hanging
    assert hangs.by == "A123"
    again = await county.restarted()
    try:
        for address in (DESK, OTHER):
            again.board.station_arrived(address)
        assert (len(again.owed(DESK)), len(again.owed(OTHER))) == (0, 1)
        assert again.board.hanging[0].until_us == hangs.until_us
    finally:
        await again.stop()


@pytest.mark.requirement("L-BULLETIN", "O-CLASS")
async def test_who_may_not_post_is_refused_and_nothing_hangs(county: County) -> None:
    directory = county.point.directory
    user = replace(directory.users["J40217"], operator_class=OperatorClass.LESS_THAN_FULL_ACCESS)
    directory.replace([user])
    send(county, f"AM.CA0980000.BULLETIN.TXT {TEXT}")
    assert await county.events(1) == [(Life.REFUSED, None)]
    assert len(county.board) == 0
