"""What the state says of its own service, what it sends twice, and what it does not answer: through the switch."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from msc import clock
from msc.protocol.catalog import Function
from msc.protocol.frame import CONTROL
from msc.switch.delivery import envelope_of
from msc.switch.visits import Visit
from msc.transit.event import Event, Facts, Life
from msc.transit.message import Direction, MessageRecord
from tests.support.port import FakeStation
from tests.support.running import CATALOG, ON_LINE, Running, inquiry, on_its_way
from tests.support.wire import sent_frames
from tests.switch.test_traffic import OPERATOR

pytestmark = pytest.mark.requirement("C-TRAFFIC")

HISTORY = "IH.QH.CA0980000.NAM/DOE,JOHN.PUR/C"


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    switch = Running(tmp_path)
    await switch.start()
    yield switch
    await switch.stop()


def audited(running: Running) -> list[str]:
    return [event.event for event in running.audited]


async def says(running: Running, rest: str, line: str = "clets-a") -> None:
    port = running.line if line == "clets-a" else running.other
    running.traffic.line_message(port, 1, f"A123000000.{rest}".encode())
    await running.journaled()


# --- out of service ---------------------------------------------------------------------------------------------


async def test_what_is_sent_to_a_line_out_of_service_waits_and_goes_when_it_is_back(running: Running) -> None:
    station = FakeStation(running.point.directory.devices["desk-2"])
    running.parts.visits.all[station.identity] = Visit(station, OPERATOR)
    await says(running, "$.2.LINE DOWN")
    assert [message.text for message in running.waiting("device:desk-1")] == ["$.2.LINE DOWN"]
    running.ask()
    await running.journaled()
    assert running.line.sent == []
    [status] = running.told()
    assert status.startswith("E402 clets-a is out of service, by the state's word ($.2); queued, will be sent")
    await says(running, "$.3")
    assert running.line.sent == [ON_LINE.encode()]
    shown = [json.loads(frame.payload) for frame in sent_frames(station.session) if frame.kind == CONTROL]
    assert [each["text"] for each in shown if each["type"] == "notice"] == [
        "CLETS-A IS OUT OF SERVICE", "CLETS-A IS IN SERVICE AGAIN",
    ]  # fmt: skip
    assert audited(running) == ["service.out", "service.back"]


async def test_only_the_database_that_is_out_waits(running: Running) -> None:
    await says(running, "$.V")
    running.line.sent.clear()
    running.ask()
    assert running.line.sent == [ON_LINE.encode()]
    history = next(key for key in CATALOG if key.code == "IH.QH")
    assert history.function is Function.INQUIRY
    running.ask(msn=18, header="A12300000I", key="QH", system="IH", database="ACHS", text=HISTORY)
    assert len(running.line.sent) == 1
    await says(running, "$.X")
    assert [sent.decode().endswith(HISTORY) for sent in running.line.sent[1:]] == [True]


async def test_what_the_state_will_forward_does_not_wait(running: Running) -> None:
    await says(running, "$.W")
    running.ask(key="QH", system="IH", database="ACHS", text=HISTORY)
    assert [sent.decode().endswith(HISTORY) for sent in running.line.sent] == [True]


async def test_a_state_that_forgets_to_say_that_it_is_back_stops_nobody_for_ever(running: Running) -> None:
    await says(running, "$.2")
    running.ask()
    assert running.services.tick(clock.wall_us() + 3_599_000_000) == []
    [freed] = running.services.tick(clock.wall_us() + 3_601_000_000)
    assert freed.name == "clets-a"
    assert freed.out is None


async def test_an_operator_may_know_better(running: Running) -> None:
    await says(running, "$.2")
    assert [outage.line for outage in running.services.outages()] == ["clets-a"]
    assert running.services.clear("clets-a") is True
    assert running.traffic.trunks["clets-a"].waits(None) is None


async def test_what_the_state_said_before_a_restart_holds(running: Running) -> None:
    running.services.recall("clets-a", "$.2", clock.wall_us() - 60_000_000)
    running.traffic.connect(list(running.traffic.trunks.values()))
    assert running.traffic.trunks["clets-a"].waits(None) is not None


# --- unanswered ---------------------------------------------------------------------------------------------------


async def test_a_line_that_answers_nothing_is_one_alarm_until_it_says_something(running: Running) -> None:
    now = clock.monotonic()
    running.ask()
    for later in (9, 11, 16, 100, 1_000):
        running.traffic.tick(now + later)
        await running.journaled()
    assert [text[:4] for text in running.told()] == ["E403"]
    assert audited(running) == ["unanswered.raised", "unanswered.raised"]
    assert [(event.subject, event.mnemonic) for event in running.audited] == [("line clets-a", None), (None, "A123")]
    assert running.traffic.unanswered.counts() == {"line": 1.0, "mnemonic": 1.0}
    await says(running, "$.A.GOOD MORNING")
    running.traffic.tick(now + 1_001)
    assert audited(running)[2:] == ["unanswered.cleared"]
    running.traffic.line_message(running.line, 2, b"A12300000H.NO RECORD")
    await running.journaled()
    running.traffic.tick(now + 1_002)
    assert running.traffic.unanswered.counts() == {"line": 0.0, "mnemonic": 0.0}


async def test_an_answer_after_the_originator_was_told_otherwise_is_late(running: Running) -> None:
    running.ask()
    running.traffic.tick(clock.monotonic() + 16)
    await running.journaled()
    running.traffic.line_message(running.line, 1, b"A12300000H.NO RECORD")
    await running.journaled()
    [status, answer] = running.waiting("device:desk-1")
    assert (status.late, answer.late, envelope_of(answer, 0)["late"]) == (False, True, True)


# --- twice ----------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("C-HDR")
@pytest.mark.parametrize("header", ["A12300000H", "A123000000"], ids=["answer", "unsolicited"])
async def test_what_a_line_sends_twice_is_delivered_twice_and_marked(running: Running, header: str) -> None:
    running.ask()
    for sequence, body in enumerate(("NO RECORD", "NO RECORD", "PART TWO"), 1):
        running.traffic.line_message(running.line, sequence, f"{header}.{body}".encode())
    await running.journaled()
    found = [(message.text, message.possible_duplicate) for message in running.waiting("device:desk-1")]
    assert found == [("NO RECORD", False), ("NO RECORD", True), ("PART TWO", False)]


@pytest.mark.requirement("C-HDR")
async def test_the_same_words_from_another_line_are_another_answer(running: Running) -> None:
    stay = running.ask()
    running.lifecycle.route(stay.transaction, "line:ncic-a")
    for line in (running.line, running.other):
        running.traffic.line_message(line, 1, b"A12300000H.NO RECORD")
    await running.journaled()
    assert [message.possible_duplicate for message in running.waiting("device:desk-1")] == [False, False]


@pytest.mark.requirement("C-HDR", "F-BACKUP")
async def test_what_was_late_or_came_twice_is_still_marked_after_a_restart(running: Running) -> None:
    at = clock.wall_us()
    marks: list[Facts] = [{"late": True}, {"late": True, "repeated": True}, {}]
    for msn, mark in enumerate(marks, 18):
        record = inquiry(
            msn=msn, received=at, kind="response", direction=Direction.INBOUND, line="clets-a",
            text="A12300000H.NO RECORD", transaction=17,
        )  # fmt: skip
        await running.journaled_before(record, Event(msn, at, Life.ROUTED, "device:desk-1", mark))
    await running.recover()
    found = [(m.msn, m.late, m.possible_duplicate) for m in running.waiting("device:desk-1")]
    assert found == [(18, True, False), (19, True, True), (20, False, False)]


# --- hits -----------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("C-CONFIRM")
@pytest.mark.parametrize(
    ("kind", "text", "marked"),
    [
        ("response", "MKE/WANTED PERSON\nNAM/SPECIMEN, WANTED", True),
        ("response", "RE: YOUR INQUIRY\nMKE/WANTED PERSON", True),
        ("unsolicited", "$.H.DELAYED HIT\nMKE/STOLEN VEHICLE", True),
        ("response", "NO RECORD IN WPS", False),
        ("status", "E403 clets-a gave no answer in 15 s\nMKE/", False),
    ],
)
def test_a_hit_is_marked_to_be_confirmed_with_the_entering_agency(kind: str, text: str, marked: bool) -> None:
    direction = Direction.LOCAL if kind == "status" else Direction.INBOUND
    record = MessageRecord(1, 0, direction, kind, line="clets-a", text=text if kind == "status" else f"A123.{text}")
    envelope = envelope_of(on_its_way(record, "device:desk-1"), 0)
    assert envelope.get("confirm", False) is marked


async def test_what_the_journal_did_not_take_is_no_repeat(running: Running) -> None:
    running.ask()
    running.writer.available = False
    running.traffic.line_message(running.line, 1, b"A12300000H.NO RECORD")
    running.writer.available = True
    running.traffic.line_message(running.line, 2, b"A12300000H.NO RECORD")
    await running.journaled()
    assert [message.possible_duplicate for message in running.waiting("device:desk-1")] == [False]
