"""What a starting switch asks of the journal: what answers may still come for, and what had not ended."""

from __future__ import annotations

from pathlib import Path

import pytest

from msc.journal.archive import Archivist
from msc.journal.database.opening import open_archiving
from msc.journal.recall import Owed, Recalled, recent_transactions, unfinished
from msc.transit.event import Life
from msc.transit.message import Direction, MessageRecord
from msc.transit.state import State
from tests.journal.test_ledger import LINE, OTHER_LINE, STATION, events, inquiry, unsolicited
from tests.support.journal import drop, enter, reading, unnumbered


@pytest.fixture(params=["in the tail", "in blocks", "in both"])
def where(request: pytest.FixtureRequest) -> str:
    """Where the records stand when the switch starts."""
    return str(request.param)


class Journal:
    """A journal whose records may have been archived before the switch starts."""

    def __init__(self, url: str, where: str) -> None:
        self.url = url
        self._where = where

    async def hold(self, *records: object) -> None:
        entered = await enter(self.url, *records)  # type: ignore[arg-type]
        self.owed = entered.owed
        if self._where == "in the tail":
            return
        database = open_archiving(self.url)
        await Archivist(database).step(at_least=1)
        await database.close()
        if self._where == "in blocks":
            await drop(self.url, entered.seq)

    async def unfinished(self) -> Owed:
        async with reading(self.url) as reader:
            return await unfinished(reader, self.owed)

    async def recent(self, since_us: int = 0, **bound: int) -> list[MessageRecord]:
        async with reading(self.url) as reader:
            return [recent.message for recent in (await recent_transactions(reader, since_us, **bound)).messages]


@pytest.fixture
def journal(file: Path, where: str) -> Journal:
    return Journal(f"sqlite+aiosqlite:///{file}", where)


# --- what had not ended -------------------------------------------------------------------------------------------


@pytest.mark.requirement("F-BACKUP")
async def test_what_had_not_ended_comes_whole_with_all_that_happened_since(journal: Journal) -> None:
    first = inquiry(1)._replace(events=tuple(events(1, LINE, Life.ROUTED)))
    happened = [
        *events(1, LINE, Life.SENT, Life.ACKNOWLEDGED),
        *events(1, OTHER_LINE, Life.ROUTED, Life.SENT, Life.ANSWERED),
    ]
    waits = events(2, OTHER_LINE, Life.ROUTED)
    await journal.hold(first, inquiry(2), *happened, *waits, inquiry(3), *events(3, LINE, Life.ROUTED, Life.EXPIRED))
    found = await journal.unfinished()
    assert [numberless(each) for each in found.messages] == [
        Recalled(first, tuple(happened)), Recalled(inquiry(2), tuple(waits)),
    ]  # fmt: skip
    assert (found.gone, found.unreadable) == ([], [])


@pytest.mark.requirement("F-BACKUP")
async def test_what_is_old_is_taken_up_as_well(journal: Journal) -> None:
    happened = events(1, LINE, Life.ROUTED, Life.SENT, Life.RETURNED)
    await journal.hold(inquiry(1), *happened, *events(1, STATION, Life.ROUTED), *events(1, OTHER_LINE, Life.ROUTED))
    [recalled] = (await journal.unfinished()).messages
    assert [event for event in numberless(recalled).events if event.destination == LINE] == happened
    assert [record.msn for record in await journal.recent(2000)] == []


@pytest.mark.requirement("F-BACKUP", "F-QUEUE")
async def test_what_happened_long_after_a_message_came_is_found_too(journal: Journal) -> None:
    # A state is what all events make: without its last ones, what was sent would count as certainly not sent.
    between = [record for msn in range(2, 300) for record in (inquiry(msn), *events(msn, LINE, Life.NOT_SENT))]
    happened = [*events(1, LINE, Life.ROUTED, Life.QUEUED), *events(1, LINE, Life.CLEARED, Life.SENT)]
    await journal.hold(inquiry(1), *happened[:2], *between, *happened[2:])
    [recalled] = (await journal.unfinished()).messages
    assert numberless(recalled) == Recalled(inquiry(1), tuple(happened))


@pytest.mark.requirement("F-BACKUP")
async def test_a_message_whose_month_was_deleted_is_told_apart(journal: Journal) -> None:
    await journal.hold(inquiry(2), *events(2, LINE, Life.ROUTED))
    journal.owed = {1: {STATION: State.SENT}, **journal.owed}
    found = await journal.unfinished()
    assert [each.message for each in found.messages] == [inquiry(2)]
    assert found.gone == [(1, STATION)]


# --- what answers may still come for ------------------------------------------------------------------------------


@pytest.mark.requirement("C-HDR")
async def test_recent_transactions_are_those_that_began_one_and_went_out(journal: Journal) -> None:
    answer = inquiry(4, direction=Direction.INBOUND, kind="response", transaction=1)
    await journal.hold(
        inquiry(1),
        inquiry(2, header=None, code="E205"),
        inquiry(3),
        answer,
        *events(3, LINE, Life.ROUTED, Life.SENT, Life.ANSWERED),
        *events(1, LINE, Life.ROUTED),
        *events(2, None, Life.REFUSED),
        *events(4, STATION, Life.ROUTED),
    )
    assert await journal.recent() == [inquiry(1), inquiry(3)]


@pytest.mark.requirement("C-HDR", "C-UNSOL")
async def test_what_went_to_stations_alone_is_no_transaction_answers_may_come_for(journal: Journal) -> None:
    # Its header is a bare mnemonic: remembered, it would take the next unsolicited message for its answer.
    administrative = inquiry(2, kind="administrative", direction=Direction.LOCAL)
    await journal.hold(
        unsolicited(1),
        administrative,
        *events(1, STATION, Life.ROUTED, Life.SENT, Life.ACKNOWLEDGED),
        *events(2, STATION, Life.ROUTED),
    )
    assert await journal.recent() == []


async def test_of_more_than_are_remembered_the_newest_are(journal: Journal) -> None:
    await journal.hold(*[record for n in range(1, 8) for record in (inquiry(n), *events(n, LINE, Life.ROUTED))])
    assert [record.msn for record in await journal.recent(at_most=3)] == [5, 6, 7]


@pytest.mark.requirement("C-HDR")
async def test_what_lines_said_lately_is_heard_again_in_order(journal: Journal) -> None:
    await journal.hold(
        unsolicited(1)._replace(received=1_000),
        unsolicited(2)._replace(received=3_000),
        inquiry(3)._replace(received=3_500),
        unsolicited(4)._replace(received=4_000, code="E202"),
        unsolicited(5)._replace(received=5_000),
    )
    heard: list[int] = []
    async with reading(journal.url) as reader:
        await recent_transactions(reader, 2_000, hear=lambda record: heard.append(record.msn))
    assert heard == [2, 5], "not what is older, what a station sent, or what was refused"


@pytest.mark.requirement("C-HDR")
async def test_recent_transactions_come_with_what_happened_to_them(journal: Journal) -> None:
    happened = [
        *events(1, LINE, Life.ROUTED, Life.SENT, Life.EXPIRED),
        *events(1, OTHER_LINE, Life.ROUTED, Life.SENT, Life.ANSWERED),
    ]
    routed = inquiry(2)._replace(events=tuple(events(2, LINE, Life.ROUTED)))
    await journal.hold(inquiry(1), routed, *happened, *events(2, LINE, Life.SENT))
    async with reading(journal.url) as reader:
        found = await recent_transactions(reader, 0)
    assert [numberless(each) for each in found.messages] == [
        Recalled(inquiry(1), tuple(happened)), Recalled(routed, tuple(events(2, LINE, Life.SENT))),
    ]  # fmt: skip
    assert found.unreadable == []


def numberless(recalled: Recalled) -> Recalled:
    """Return it without the output sequence numbers that the journal gave."""
    return recalled._replace(events=tuple(unnumbered(recalled.events)))
