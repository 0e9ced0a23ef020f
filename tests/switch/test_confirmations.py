"""Hit confirmations through the switch: clocks begin and end with the journal, terminals are told, restarts change
nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from msc.switch.leg import Leg, Legs

from msc import clock
from msc.switch.intake import Incoming
from msc.transit.event import Event, Life
from msc.transit.hit_confirmation import ADDRESS
from msc.transit.message import Direction, MessageRecord
from msc.transit.outbox import Outgoing, Precedence
from tests.switch.test_recovery import FROM_HOST, inquiry, routed
from tests.switch.test_traffic import OPERATOR, Running, _asking

pytestmark = pytest.mark.requirement("L-HITCONF")

RECORD = "OCA/T26-0001.NIC/W999000001"
ASKS = f"YQ.CA0980000.NV0990000.TXT.RTY/WP.RNO/1.PRI/U.{RECORD}"
ANSWERED = f"A123000000.YR.NV0990000.CA0980000.TXT.RTY/WP.RNO/1.CON/Y.{RECORD}"
ASKED = f"A124000000.YQ.NV0990000.CA0980000.TXT.RTY/WP.RNO/1.PRI/U.{RECORD}"
ANSWERS = f"YR.CA0980000.NV0990000.TXT.RTY/WP.RNO/1.CON/Y.{RECORD}"


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    switch = Running(tmp_path)
    await switch.start()
    yield switch
    await switch.stop()


async def at_clock(running: Running) -> list[tuple[int, str, str | None]]:
    """Return what the journal says of the clock: MSN, event and detail."""
    return [(e.msn, e.event, e.detail) for e in await running.events() if e.destination == ADDRESS]


async def later(running: Running, seconds: float) -> None:
    """Let the clocks believe that this many seconds have passed."""
    running.confirmations.tick(clock.monotonic() + seconds)
    await running.journaled()


def told(running: Running, address: str) -> list[Outgoing]:
    return [message for message in running.waiting(address) if message.kind == "hit_confirmation"]


async def test_whoever_asks_is_reminded_then_alarmed_and_then_a_second_terminal_is_told(running: Running) -> None:
    _asking(running, ASKS)
    await running.journaled()
    await later(running, 479)
    assert told(running, "device:desk-1") == []
    await later(running, 481)
    [reminder] = told(running, "device:desk-1")
    assert reminder.text.startswith("HIT CONFIRMATION DUE IN 1 MIN")
    assert (reminder.source, reminder.priority, reminder.precedence) == ("switch", "urgent", Precedence.URGENT)
    await later(running, 601)
    [alarm] = told(running, "device:desk-1")
    assert alarm.text.startswith("HIT CONFIRMATION OVERDUE\nREQUEST 1 URGENT FROM CA0980000 TO NV0990000")
    # Nobody was at the first terminal when the reminder came.
    assert [m.text.split("\n")[0][:24] for m in told(running, "device:printer-1")] == [
        "HIT CONFIRMATION DUE IN ", "HIT CONFIRMATION OVERDUE",
    ]  # fmt: skip
    assert [text for text in await running.texts() if text.startswith("HIT")] != []
    assert "hit_confirmation.overdue" in [event.event for event in running.audited]


async def test_the_answer_from_the_line_ends_the_clock_in_the_commit_that_stores_it(running: Running) -> None:
    _asking(running, ASKS)
    await running.journaled()
    assert len(running.confirmations.clocks) == 1
    running.traffic.line_message(running.line, 1, ANSWERED.encode())
    await running.journaled()
    assert len(running.confirmations.clocks) == 0
    [begun, ended] = await at_clock(running)
    assert begun[1] == Life.ROUTED
    assert (ended[0], ended[1]) == (begun[0], Life.ANSWERED)
    assert running.writer.owed.get(begun[0], {}).get(ADDRESS) is None
    await later(running, 10_000)
    assert told(running, "device:desk-1") == []


async def test_an_answer_with_the_requests_own_header_ends_it_too(running: Running) -> None:
    _asking(running, ASKS)
    await running.journaled()
    header = running.line.sent[0].decode().partition(".")[0]
    text = ANSWERED.replace("A123000000", header)
    running.traffic.line_message(running.line, 1, text.encode())
    await running.journaled()
    assert len(running.confirmations.clocks) == 0


async def test_a_request_of_another_agency_arrives_as_one_and_its_terminal_is_reminded(running: Running) -> None:
    running.traffic.line_message(running.line, 1, ASKED.encode())
    await running.journaled()
    [request] = told(running, "device:desk-2")
    assert (request.text, request.source, request.priority) == (ASKED.partition(".")[2], "clets-a", "urgent")
    assert request.precedence is Precedence.URGENT
    await later(running, 481)
    [reminder] = told(running, "device:desk-2")
    assert reminder.text.endswith("ANSWER WITH YR NOW")
    [row] = running.confirmations.rows()
    assert (row["side"], row["agency"], row["from"], row["to"]) == ("asked", "EXLP", "NV0990000", "CA0980000")


@pytest.mark.requirement("C-STAFFED")
async def test_a_request_that_goes_where_it_is_seen_is_reminded_of_there(running: Running) -> None:
    running.traffic.line_message(running.line, 1, ASKED.replace("A124", "CD01").encode())
    await running.journaled()
    addresses = [a for a in ("device:desk-1", "device:desk-2", "device:printer-1") if told(running, a)]
    assert addresses
    await later(running, 481)
    assert len(told(running, addresses[0])) == 1
    assert told(running, "device:cad-1") == []


async def test_a_request_that_stays_in_the_county_has_a_clock_at_both_ends_and_one_answer_stops_both(
    running: Running,
) -> None:
    sheriff = running.point.directory.agencies["SHERIFF"].ori

    def local(text: str, address: str) -> None:
        incoming = Incoming(clock.wall_us(), running.point.directory.devices["desk-1"], 1, operator=OPERATOR)
        incoming.message, incoming.legs = text, Legs((Leg(address, "hit_confirmation", None),))
        msn = running.writer.allot()
        beside = running.confirmations.accepted(incoming, msn)
        running.writer.append(inquiry(msn=msn, text=text), beside.events)
        beside.then()

    local(ASKS.replace("NV0990000", sheriff), "device:s-desk")
    assert {row["side"]: row["terminal"] for row in running.confirmations.rows()} == {
        "asking": "desk-1", "asked": "s-desk",
    }  # fmt: skip
    assert [row["agency"] for row in running.confirmations.rows("SHERIFF")] == ["SHERIFF"]
    local(f"YR.{sheriff}.CA0980000.TXT.RTY/WP.RNO/1.CON/Y.{RECORD}", "device:desk-1")
    await running.journaled()
    assert running.confirmations.rows() == []
    assert [event for _, event, _ in await at_clock(running)] == [Life.ROUTED, Life.ANSWERED]


async def test_our_answer_ends_a_clock_only_when_the_state_has_it(running: Running) -> None:
    running.traffic.line_message(running.line, 1, ASKED.encode())
    await running.journaled()
    _asking(running, ANSWERS)
    await running.journaled()
    assert len(running.confirmations.clocks) == 1, "it is on its way"
    running.traffic.line_answered(running.line, len(running.line.sent), None)
    await running.journaled()
    assert len(running.confirmations.clocks) == 0
    assert [event for _, event, _ in await at_clock(running)] == [Life.ROUTED, Life.ANSWERED]


async def test_our_answer_that_could_not_be_sent_ends_nothing(running: Running) -> None:
    running.traffic.line_message(running.line, 1, ASKED.encode())
    await running.journaled()
    running.line.is_open = False
    running.traffic.line_lost(running.line, "cut")
    _asking(running, ANSWERS)
    await running.journaled()
    assert [row["state"] for row in running.confirmations.rows()] == ["open"]


async def test_a_request_that_could_not_be_sent_has_no_clock(running: Running) -> None:
    running.line.is_open = False
    running.traffic.line_lost(running.line, "cut")
    _asking(running, ASKS)
    await running.journaled()
    assert len(running.confirmations.clocks) == 0
    assert [event for _, event, _ in await at_clock(running)] == [Life.ROUTED, Life.CANCELLED]


async def test_a_fourth_request_is_passed_on_and_marked(running: Running) -> None:
    for number in (1, 2, 3, 3):
        _asking(running, ASKS.replace("RNO/1", f"RNO/{number}"))
    await running.journaled()
    assert len(running.line.sent) == 4
    [row] = running.confirmations.rows()
    assert (row["request"], row["requests"]) == (3, 4)
    assert [event.event for event in running.audited] == ["hit_confirmation.beyond"]
    running.traffic.line_message(running.line, 1, ANSWERED.encode())
    await running.journaled()
    assert [event for _, event, _ in await at_clock(running)].count(Life.ANSWERED) == 4, "all four are answered"


async def test_what_nobody_answers_expires_and_is_owed_no_more(running: Running) -> None:
    _asking(running, ASKS)
    await running.journaled()
    await later(running, 600)
    await later(running, 600 + 86_401)
    assert running.confirmations.rows() == []
    assert (await at_clock(running))[-1][1] == Life.EXPIRED
    assert "hit_confirmation.expired" in [event.event for event in running.audited]


async def test_a_request_for_which_there_is_no_terminal_is_escalated_all_the_same(running: Running) -> None:
    running.traffic.line_message(running.line, 1, ASKED.replace("A124", "ZZZZ").encode())
    await running.journaled()
    await later(running, 481)
    assert [m.text.split("\n")[0][:24] for m in told(running, "device:printer-1")] == ["HIT CONFIRMATION DUE IN "]


async def test_what_is_due_while_the_journal_is_down_is_told_when_it_is_back(running: Running) -> None:
    _asking(running, ASKS)
    await running.journaled()
    running.writer.available = False
    running.confirmations.tick(clock.monotonic() + 481)
    running.writer.available = True
    assert told(running, "device:desk-1") == []
    await later(running, 482)
    assert len(told(running, "device:desk-1")) == 1


async def test_a_line_that_speaks_nonsense_about_confirmations_is_delivered_and_has_no_clock(
    running: Running,
) -> None:
    for sequence, rest in enumerate(
        ("YQ.", "YQ.NV0990000.CA0980000.TXT", "YR.X", "YQ.NV0990000.CA0980000.TXT.PRI/U"), 1
    ):
        running.traffic.line_message(running.line, sequence, f"A12400000{sequence}.{rest}".encode())
    await running.journaled()
    assert len(running.waiting("device:desk-2")) == 4
    assert running.confirmations.rows() == []


# --- restarts -------------------------------------------------------------------------------------------------


def request(age_s: float, **members: Any) -> MessageRecord:
    at = clock.wall_us() - int(age_s * 1e6)
    asks = {"kind": "hit_confirmation", "key": "YQ", "system": "", "database": "NLETS", "text": ASKS}
    return inquiry(received=at, **asks | members)


def clocked(record: MessageRecord, *told: str) -> list[Event]:
    return [
        *routed(record, Life.ANSWERED),
        Event(record.msn, record.received, Life.ROUTED, ADDRESS),
        *(Event(record.msn, record.received, Life.SENT, ADDRESS, each) for each in told),
    ]


async def restarted(running: Running, record: MessageRecord, *told: str) -> None:
    await running.journaled_before(record, *clocked(record, *told))
    await running.recover()


async def test_after_a_restart_a_clock_runs_on_from_the_time_of_its_request(running: Running) -> None:
    await restarted(running, request(age_s=300))
    await later(running, 170)
    assert told(running, "device:desk-1") == []
    await later(running, 185)
    assert [m.text[:24] for m in told(running, "device:desk-1")] == ["HIT CONFIRMATION DUE IN "]
    running.traffic.line_message(running.line, 1, ANSWERED.encode())
    await running.journaled()
    assert running.confirmations.rows() == []


@pytest.mark.parametrize(
    ("age_s", "told_before", "heads"),
    [
        (590, ("reminded",), []),
        (700, ("reminded",), ["HIT CONFIRMATION OVERDUE"]),
        (700, ("reminded", "overdue"), []),
        (700, (), ["HIT CONFIRMATION OVERDUE"]),
    ],
)
async def test_after_a_restart_nobody_is_told_twice(
    running: Running, age_s: float, told_before: tuple[str, ...], heads: list[str]
) -> None:
    await restarted(running, request(age_s), *told_before)
    await later(running, 0)
    assert [m.text.split("\n")[0] for m in told(running, "device:desk-1")] == heads


async def test_a_host_is_told_with_its_own_header_also_after_a_restart(running: Running) -> None:
    text = f"CD01A00017.*J40217.#0A0000010017.{ASKS}"
    await restarted(running, request(300, **{**FROM_HOST, "text": text}))
    await later(running, 185)
    [reminder] = told(running, "device:cad-1")
    assert reminder.text.startswith("CD01A00017.HIT CONFIRMATION DUE IN ")


async def test_a_request_from_the_line_is_taken_back_too(running: Running) -> None:
    record = MessageRecord(
        17, clock.wall_us() - 481_000_000, Direction.INBOUND, "hit_confirmation", device="desk-2", line="clets-a",
        agency="EXLP", mnemonic="A124", header="A124000000", text=ASKED, transaction=17, priority="urgent",
    )  # fmt: skip
    await running.journaled_before(
        record,
        Event(17, record.received, Life.ROUTED, "device:desk-2"),
        Event(17, record.received, Life.ROUTED, ADDRESS, "device:desk-2"),
    )
    await running.recover()
    await later(running, 0)
    [again, reminder] = told(running, "device:desk-2")
    assert (again.text, again.priority) == (ASKED.partition(".")[2], "urgent")
    assert reminder.text.endswith("ANSWER WITH YR NOW")


async def test_a_reminder_nobody_has_read_waits_over_a_restart(running: Running) -> None:
    record = MessageRecord(
        18, clock.wall_us(), Direction.LOCAL, "hit_confirmation", device="desk-1", agency="EXLP",
        text="HIT CONFIRMATION OVERDUE", transaction=17, priority="urgent",
    )  # fmt: skip
    await running.journaled_before(record, Event(18, record.received, Life.ROUTED, "device:desk-1"))
    await running.recover()
    [message] = told(running, "device:desk-1")
    assert (message.text, message.source) == ("HIT CONFIRMATION OVERDUE", "switch")


async def test_a_request_the_catalog_no_longer_knows_ends(running: Running) -> None:
    await restarted(running, request(300)._replace(text="ZZ.CA0980000.X"))
    await running.journaled()
    assert running.confirmations.rows() == []
    assert (await at_clock(running))[-1][1] == Life.EXPIRED
