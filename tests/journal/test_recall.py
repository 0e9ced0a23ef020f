"""What a starting switch asks of the journal: what answers may still come for, and what had not ended."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from msc.journal.archive import Archivist
from msc.journal.database.opening import open_archiving
from msc.journal.recall import Unfinished, recent_transactions, unfinished
from msc.transit.event import Life
from msc.transit.message import Direction, MessageRecord
from tests.journal.test_ledger import LINE, OTHER_LINE, STATION, events, inquiry, unsolicited
from tests.support.journal import drop, enter, reading


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

    async def unfinished(self) -> tuple[list[Unfinished], list[tuple[int, str]]]:
        async with reading(self.url) as reader:
            found, gone = await unfinished(reader, self.owed)
        return [replace(leg, events=()) for leg in found], gone

    async def recent(self, since_us: int = 0, **bound: int) -> list[MessageRecord]:
        async with reading(self.url) as reader:
            return [recent.message for recent in await recent_transactions(reader, since_us, **bound)]


@pytest.fixture
def journal(file: Path, where: str) -> Journal:
    return Journal(f"sqlite+aiosqlite:///{file}", where)


# --- what had not ended -------------------------------------------------------------------------------------------


@pytest.mark.requirement("F-BACKUP")
async def test_each_destination_is_told_for_itself(journal: Journal) -> None:
    await journal.hold(
        inquiry(1),
        inquiry(2),
        *events(1, LINE, Life.ROUTED, Life.SENT, Life.ACKNOWLEDGED),
        *events(1, OTHER_LINE, Life.ROUTED, Life.SENT, Life.ANSWERED),
        *events(2, OTHER_LINE, Life.ROUTED),
    )
    found = [Unfinished(inquiry(1), LINE, was_sent=True), Unfinished(inquiry(2), OTHER_LINE, was_sent=False)]
    assert await journal.unfinished() == (found, [])


@pytest.mark.requirement("F-BACKUP")
async def test_what_was_given_back_still_waits(journal: Journal) -> None:
    await journal.hold(unsolicited(1), *events(1, STATION, Life.ROUTED, Life.SENT, Life.RETURNED))
    assert await journal.unfinished() == ([Unfinished(unsolicited(1), STATION, was_sent=True)], [])


@pytest.mark.requirement("F-BACKUP")
async def test_what_is_old_is_taken_up_as_well_and_with_what_happened_to_it_there(journal: Journal) -> None:
    happened = events(1, LINE, Life.ROUTED, Life.SENT, Life.RETURNED)
    await journal.hold(inquiry(1), *happened, *events(1, STATION, Life.ROUTED), *events(1, OTHER_LINE, Life.ROUTED))
    async with reading(journal.url) as reader:
        found, _ = await unfinished(reader, journal.owed)
    assert {leg.destination: leg.events for leg in found}[LINE] == tuple(happened)
    assert [record.msn for record in await journal.recent(2000)] == []


@pytest.mark.requirement("F-BACKUP")
async def test_a_message_whose_month_was_deleted_is_told_apart(journal: Journal) -> None:
    await journal.hold(inquiry(2), *events(2, LINE, Life.ROUTED))
    journal.owed = {1: {STATION: True}, **journal.owed}
    assert await journal.unfinished() == ([Unfinished(inquiry(2), LINE, was_sent=False)], [(1, STATION)])


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
async def test_of_recent_transactions_it_is_known_which_lines_were_given_up(journal: Journal) -> None:
    await journal.hold(
        inquiry(1),
        inquiry(2),
        *events(1, LINE, Life.ROUTED, Life.SENT, Life.EXPIRED),
        *events(1, OTHER_LINE, Life.ROUTED, Life.SENT, Life.ANSWERED),
        *events(2, LINE, Life.ROUTED, Life.SENT),
    )
    async with reading(journal.url) as reader:
        found = await recent_transactions(reader, 0)
    assert [(recent.message.msn, recent.given_up) for recent in found] == [
        (1, {LINE.removeprefix("line:")}), (2, frozenset()),
    ]  # fmt: skip
