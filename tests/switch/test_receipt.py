"""Receipts: what the journal says of a message, told to whoever sent it and to nobody else."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from msc import clock
from msc.errors import JournalError, JournalUnavailable, NotYourMessage, Overloaded
from msc.journal.reader import Entry
from msc.limits import FRAME_BYTES_MIN_ALLOWED, RECEIPT_REQUESTS_MAX, RECEIPTS_AT_ONCE
from msc.protocol.control import Receipt, Receipts, ReceiptsReport, encode_control
from msc.switch.receipt import ReceiptReports, receipts_of
from msc.transit.event import Event, Facts, Life
from msc.transit.message import Direction, MessageRecord
from tests.support.county import county

COUNTY = county()
DESK, PRINTER, LINE = "device:desk-2", "device:printer-1", "line:clets-a"


def message(**members: Any) -> MessageRecord:
    """Make an administrative message that J40217 sent at desk-1."""
    given: dict[str, Any] = {"direction": Direction.LOCAL, "device": "desk-1", "user": "J40217", "sequence": 4}
    return MessageRecord(17, 1_000_000, kind="administrative", **given | members)  # type: ignore[arg-type]


def found(*events: tuple[Life, str | None] | tuple[Life, str | None, Facts], **members: Any) -> dict[str, Any]:
    """Return the message as the journal shows it, its events a second apart."""
    life = [Event(17, (2 + at) * 1_000_000, *event) for at, event in enumerate(events)]
    return Entry(message(**members), (Event(17, 1_000_000, Life.RECEIVED), *life)).as_json()


def states(*events: Any) -> dict[str, str]:
    """Tell what became of the destinations."""
    return {receipt.destination: receipt.state for receipt in receipts_of(found(*events), COUNTY)}


@pytest.mark.requirement("C-ADMIN")
@pytest.mark.parametrize(
    ("address", "lives", "state"),
    [
        (DESK, [Life.ROUTED], "queued"),
        (DESK, [Life.ROUTED, Life.QUEUED], "queued"),
        (DESK, [Life.ROUTED, Life.SENT], "sent"),
        (DESK, [Life.ROUTED, Life.SENT, Life.ACKNOWLEDGED], "acknowledged"),
        (DESK, [Life.ROUTED, Life.SENT, Life.RETURNED], "queued"),
        (DESK, [Life.ROUTED, Life.SENT, Life.REFUSED_BY_PEER], "queued"),
        (DESK, [Life.ROUTED, Life.SENT, Life.REFUSED_BY_PEER, Life.OPERATOR_QUEUE], "operator_queue"),
        (DESK, [Life.ROUTED, Life.QUEUED, Life.REPRIORITISED], "queued"),
        (DESK, [Life.ROUTED, Life.FORWARDED], "forwarded"),
        (DESK, [Life.ROUTED, Life.ALTERNATE_ROUTED], "forwarded"),
        (DESK, [Life.ROUTED, Life.EXPIRED], "expired"),
        (DESK, [Life.ROUTED, Life.CANCELLED], "cancelled"),
        (DESK, [Life.ROUTED, Life.CANCELLED, Life.ROUTED], "queued"),
        (LINE, [Life.ROUTED, Life.ALTERNATE_ROUTED, Life.SENT, Life.ACKNOWLEDGED], "acknowledged"),
        (LINE, [Life.ROUTED, Life.ALTERNATE_ROUTED], "sent"),
        (LINE, [Life.ROUTED, Life.ANSWERED], "answered"),
        (LINE, [Life.ROUTED, Life.NOT_SENT], "not_sent"),
        (LINE, [Life.ROUTED, Life.SENT, Life.OUTCOME_UNKNOWN], "outcome_unknown"),
        (LINE, [Life.ROUTED, Life.SENT, Life.REFUSED_BY_PEER], "refused_by_peer"),
    ],
)
def test_the_last_thing_that_happened_says_how_it_stands(address: str, lives: list[Life], state: str) -> None:
    assert list(states(*((life, address) for life in lives)).values()) == [state]


@pytest.mark.requirement("C-ADMIN")
def test_each_destination_is_told_by_its_mnemonic_or_name_in_the_order_they_were_found() -> None:
    told = states(
        (Life.ROUTED, DESK), (Life.ROUTED, "device:car-1"), (Life.ROUTED, LINE), (Life.ROUTED, "board:daily"),
        (Life.ROUTED, "user:K20331"), (Life.ROUTED, "operator:queue"), (Life.ROUTED, "device:gone"),
        (Life.ROUTED, "hitconf:clock"), (Life.SENT, DESK),
    )  # fmt: skip
    assert list(told.items()) == [
        ("A124", "sent"), ("car-1", "queued"), ("clets-a", "queued"), ("BULLETIN", "queued"), ("K20331", "queued"),
        ("operator", "queued"), ("gone", "queued"),
    ]  # fmt: skip


@pytest.mark.requirement("C-ADMIN", "C-TAMF")
def test_what_came_in_anothers_place_says_whose_it_was() -> None:
    events = [
        (Life.ROUTED, DESK), (Life.FORWARDED, DESK, {"why": "by the hour"}),
        (Life.ROUTED, PRINTER, {"whose": "A124"}),
        (Life.SENT, PRINTER), (Life.ACKNOWLEDGED, PRINTER),
    ]  # fmt: skip
    there, here = receipts_of(found(*events), COUNTY)
    assert there == Receipt(destination="A124", state="forwarded", at=clock.rfc3339(3_000_000))
    assert here == Receipt(destination="P001", state="acknowledged", at=clock.rfc3339(6_000_000), original="A124")
    by_address = found((Life.ROUTED, PRINTER, {"whose": "device:desk-2"}))
    assert [receipt.original for receipt in receipts_of(by_address, COUNTY)] == ["A124"]


def test_a_message_that_its_sender_was_told_is_refused_stands_so() -> None:
    assert states((Life.ROUTED, DESK), (Life.REFUSED, None, {"code": "E501", "why": "after the fact"})) == {
        "A124": "refused"
    }


# --- who may ask, and how much ------------------------------------------------------------------------------------


class Journal:
    """Stands in for the journal: one message, or whatever goes wrong."""

    def __init__(self, *events: Any, **members: Any) -> None:
        self.held = found(*(events or ((Life.ROUTED, DESK),)), **members)
        self.fault: Exception | None = None
        self.goes_on = asyncio.Event()
        self.goes_on.set()

    async def look(self, msn: int) -> dict[str, Any] | None:
        await self.goes_on.wait()
        if self.fault is not None:
            raise self.fault
        return self.held if msn == 17 else None

    async def ask(self, device: str, user: str, msn: int = 17, after: int = 0) -> ReceiptsReport:
        counter = ReceiptReports(self.look, COUNTY)
        return await counter.report(Receipts(msn=msn, after=after), 1, COUNTY.devices[device], user)


@pytest.mark.requirement("C-ADMIN")
@pytest.mark.parametrize(
    ("sent_from", "device", "user"),
    [
        ("desk-1", "desk-1", "J40217"),
        ("desk-1", "desk-1", "K20331"),  # the next shift at the desk, which would get the answers as well
        ("desk-1", "car-1", "J40217"),  # who sent it, now elsewhere
        ("car-1", "car-1", "J40217"),
        ("cad-1", "cad-1", "J40217"),
    ],
)
async def test_the_sender_and_the_senders_desk_are_told(sent_from: str, device: str, user: str) -> None:
    report = await Journal(device=sent_from).ask(device, user)
    assert [receipt.destination for receipt in report.destinations] == ["A124"]


@pytest.mark.requirement("C-ADMIN", "C-ACCESS")
@pytest.mark.parametrize(
    ("members", "device", "user"),
    [
        ({}, "desk-2", "K20331"),
        ({"device": "car-1"}, "car-1", "K20331"),  # a pooled terminal is many people's
        ({"device": "cad-1"}, "cad-1", "K20331"),
        ({}, "cad-2", "J40217"),  # a host that vouches for its users could name anybody
        ({"device": "desk-1", "line": "clets-a"}, "desk-1", "J40217"),  # an answer to them is not theirs
        ({"device": "desk-1", "sequence": None}, "desk-1", "J40217"),  # nor what the switch tells them
    ],
)
async def test_nobody_else_is_and_learns_not_even_that_there_is_one(
    members: dict[str, Any], device: str, user: str
) -> None:
    with pytest.raises(NotYourMessage) as others:
        await Journal(**members).ask(device, user)
    with pytest.raises(NotYourMessage) as nobodys:
        await Journal(**members).ask(device, user, msn=18)
    assert str(others.value) == str(nobodys.value)


async def test_many_destinations_come_in_parts_that_fit_the_smallest_frame() -> None:
    names = [f"device:{number:03}{'x' * 61}" for number in range(RECEIPTS_AT_ONCE + 1)]
    journal = Journal(*((Life.ROUTED, name, {"whose": "A124"}) for name in names))
    first = await journal.ask("desk-1", "J40217")
    rest = await journal.ask("desk-1", "J40217", after=len(first.destinations))
    assert (first.total, len(first.destinations), len(rest.destinations)) == (len(names), RECEIPTS_AT_ONCE, 1)
    assert len(encode_control(first)) < FRAME_BYTES_MIN_ALLOWED


async def test_who_asks_again_at_once_is_told_to_wait_and_so_is_one_too_many() -> None:
    journal = Journal()
    journal.goes_on.clear()
    counter, device = ReceiptReports(journal.look, COUNTY), COUNTY.devices["desk-1"]
    asked = [
        asyncio.create_task(counter.report(Receipts(msn=17), asker, device, "J40217"))
        for asker in range(RECEIPT_REQUESTS_MAX)
    ]
    await asyncio.sleep(0)
    for asker in (0, "another"):
        with pytest.raises(Overloaded):
            await counter.report(Receipts(msn=17), asker, device, "J40217")
    journal.goes_on.set()
    assert all(report.total == 1 for report in await asyncio.gather(*asked))
    with pytest.raises(Overloaded):
        await counter.report(Receipts(msn=17), 0, device, "J40217")
    assert (await counter.report(Receipts(msn=17), "another", device, "J40217")).total == 1


@pytest.mark.parametrize(("fault", "told"), [(TimeoutError(), Overloaded), (JournalError("x"), JournalUnavailable)])
async def test_a_journal_that_does_not_answer_is_told_as_such(fault: Exception, told: type[Exception]) -> None:
    journal = Journal()
    journal.fault = fault
    with pytest.raises(told):
        await journal.ask("desk-1", "J40217")
