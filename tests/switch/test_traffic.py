"""Before anything goes out on a line: who sent it may still do so, however long it had to wait."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from msc import clock
from msc.access.control_point import OperatorSession
from msc.directory.rows import Directory, OperatorClass, Status
from msc.errors import NotSignedOn
from msc.limits import TEXT_CHARS_MAX
from msc.protocol.frame import DATA, encode_frame
from msc.protocol.session import MessageOutOfPlace
from msc.protocol.station import StationKind
from msc.transit.event import OPERATOR_QUEUE, Event, Life
from tests.support.ends import fresh_station
from tests.support.port import FakeStation
from tests.support.running import FROM_HOST, ON_LINE, TEXT, Running, inquiry, routed
from tests.support.wire import sent_frames

OPERATOR = OperatorSession(
    "s1", "J40217", "EXLP", "CA0980000", OperatorClass.FULL_ACCESS, "A123", None, "02RVXUF", "desk-1", "device:desk-1"
)


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    switch = Running(tmp_path)
    await switch.start()
    yield switch
    await switch.stop()


def _user(directory: Directory) -> None:
    directory.replace([replace(directory.users["J40217"], status=Status.SUSPENDED)])


def _user_gone(directory: Directory) -> None:
    directory.replace([], [("user", "J40217")])


def _user_database(directory: Directory) -> None:
    user = replace(directory.users["J40217"], status=Status.SUSPENDED, suspended_databases=frozenset({"WPS"}))
    directory.replace([user])


def _agency(directory: Directory) -> None:
    directory.replace([replace(directory.agencies["EXLP"], status=Status.SUSPENDED)])


def _device(directory: Directory) -> None:
    directory.replace([replace(directory.devices["desk-1"], status=Status.SUSPENDED)])


def _mnemonic(directory: Directory) -> None:
    directory.replace([replace(directory.mnemonics["A123"], status=Status.SUSPENDED)])


def _mnemonic_gone(directory: Directory) -> None:
    directory.replace([], [("mnemonic", "A123")])


CHANGES = [_user, _user_gone, _user_database, _agency, _device, _mnemonic, _mnemonic_gone]
suspending = pytest.mark.parametrize("suspend", CHANGES, ids=lambda change: change.__name__.strip("_"))
standing = pytest.mark.requirement("C-SANCTION", "L-SUSPEND", "C-LEAVE")


@standing
@suspending
async def test_what_a_lost_line_did_not_acknowledge_is_not_sent_again_for_who_was_suspended_since(
    running: Running, suspend: Callable[[Directory], None]
) -> None:
    running.ask()
    running.traffic.line_lost(running.line, "cut")
    suspend(running.point.directory)
    running.traffic.line_opened(running.line)
    await running.journaled()
    assert running.line.sent == [ON_LINE.encode()], "it went out a second time"
    [told] = running.told()
    assert told.startswith("E403 clets-a ")
    assert [described_why(event) for event in await running.events() if event.event == Life.EXPIRED] == [told]
    assert running.transit.waiting == 0


@standing
@suspending
async def test_what_a_full_line_held_up_is_not_sent_for_who_was_suspended_since(
    running: Running, suspend: Callable[[Directory], None]
) -> None:
    running.line.room = 0
    running.ask()
    suspend(running.point.directory)
    running.line.room = 10
    running.traffic.line_writable(running.line)
    await running.journaled()
    assert running.line.sent == []
    [told] = running.told()
    assert told.startswith("E401 not sent to clets-a: ")
    assert [described_why(event) for event in await running.events() if event.event == Life.NOT_SENT] == [told]


@standing
@suspending
async def test_after_a_crash_nothing_is_sent_again_for_who_was_suspended_since(
    running: Running, suspend: Callable[[Directory], None]
) -> None:
    record = inquiry(received=clock.wall_us())
    await running.journaled_before(record, *routed(record, Life.SENT))
    suspend(running.point.directory)
    await running.recover()
    running.traffic.line_opened(running.line)
    await running.journaled()
    assert running.line.sent == []
    assert [text[:4] for text in running.told()] == ["E403"]


@standing
@pytest.mark.requirement("C-OIF")
async def test_a_delegated_hosts_user_is_looked_at_again_as_well(running: Running) -> None:
    members = FROM_HOST | {"device": "cad-2", "mnemonic": "CD02", "header": "CD0200000H"}
    running.ask(**members)
    running.traffic.line_lost(running.line, "cut")
    _user(running.point.directory)
    running.traffic.line_opened(running.line)
    await running.journaled()
    assert len(running.line.sent) == 1
    assert [text[:16] for text in running.told("device:cad-2")] == ["CD01A00017.E403 "]


@pytest.mark.requirement("C-TRAFFIC")
async def test_who_has_signed_off_in_good_standing_still_gets_an_answer(running: Running) -> None:
    running.ask()
    running.traffic.line_lost(running.line, "cut")
    directory = running.point.directory
    directory.replace([replace(directory.mnemonics["A123"], last_used=clock.today())])
    running.traffic.line_opened(running.line)
    assert running.line.sent == [ON_LINE.encode()] * 2
    assert running.told() == []


@standing
@suspending
async def test_nothing_is_sent_for_who_was_suspended_while_the_journal_was_slow(
    running: Running, suspend: Callable[[Directory], None]
) -> None:
    _asking(running, TEXT)
    suspend(running.point.directory)
    await running.journaled()
    assert running.line.sent == running.other.sent == [], "it was committed before, and sent after the suspension"

    assert [text[:4] for text in running.told()] == ["E401", "E401"]


@pytest.mark.requirement("C-TRAFFIC")
async def test_a_use_noted_while_the_journal_was_slow_keeps_no_message_back(running: Running) -> None:
    _asking(running, TEXT)
    directory = running.point.directory
    directory.replace([replace(directory.mnemonics["A123"], last_used=clock.today())])
    await running.journaled()
    assert len(running.line.sent) == len(running.other.sent) == 1


def described_why(event: Event) -> str:
    """Write the code and the words of an event, as its originator is told them."""
    return f"{event.facts['code']} {event.facts['why']}"


def _asking(running: Running, text: str) -> FakeStation:
    """Let a signed-on terminal send a message; it is not committed yet."""
    station = FakeStation(running.point.directory.devices["desk-1"])
    station.session.receive_data(encode_frame(DATA, 1, text.encode()), 0.0)
    running.switch.take(station, 1, text.encode(), OPERATOR, None)
    return station


# --- what has to wait -----------------------------------------------------------------------------------------


@pytest.mark.requirement("C-TRAFFIC")
async def test_what_a_held_line_may_not_have_waits_its_originator_is_told_and_then_it_goes(running: Running) -> None:
    running.line.hold()
    stay = running.ask()
    await running.journaled()
    assert running.line.sent == []
    assert running.told() == ["E402 clets-a is held by an operator; queued, will be sent to clets-a"]
    running.traffic.tick(clock.monotonic() + stay.transaction.timeout_of(stay) + 1)
    assert running.told() == [], "no time-out runs while it waits by somebody's word"
    running.line.release()
    running.traffic.line_writable(running.line)
    assert running.line.sent == [ON_LINE.encode()]
    assert stay.open


@pytest.mark.requirement("C-TRAFFIC")
async def test_the_time_out_of_what_waited_begins_when_it_is_sent(running: Running) -> None:
    running.line.hold()
    stay = running.ask()
    running.traffic.tick(clock.monotonic() + stay.transaction.timeout_of(stay) + 1)
    running.line.release()
    running.traffic.line_writable(running.line)
    running.traffic.tick(clock.monotonic() + stay.transaction.timeout_of(stay) + 1)
    await running.journaled()
    assert [text[:4] for text in running.told()] == ["E402", "E403"]


@pytest.mark.requirement("C-TRAFFIC")
async def test_an_originator_is_told_of_a_destination_that_was_not_reached_and_which_was(running: Running) -> None:
    running.other.is_open = False
    running.traffic.line_lost(running.other, "cut")
    _asking(running, TEXT)
    await running.journaled()
    assert running.told() == ["E401 ncic-a is out of service; not sent (asked clets-a: yes)"]


@pytest.mark.requirement("C-TRAFFIC")
@pytest.mark.parametrize("code", ["E502", "E206"], ids=["for the moment", "for good"])
async def test_what_a_host_refuses_ends_and_the_rest_goes_on(running: Running, code: str) -> None:
    running.ask()
    tries = 3 if code == "E502" else 1
    for attempt in range(1, tries + 1):
        assert len(running.line.sent) == attempt
        running.traffic.line_answered(running.line, attempt, f"{code} no")
        running.traffic.tick(clock.monotonic() + 2)
    await running.journaled()
    assert [text[:4] for text in running.told()] == ["E405"]
    assert len(running.deliveries.operator_queue) == (1 if code == "E502" else 0)


@pytest.mark.requirement("C-ADMIN")
async def test_a_message_for_somebody_beyond_the_state_ends_when_the_state_has_taken_it_over(
    running: Running,
) -> None:
    stay = running.ask(key="YQ", system="", database="NLETS", kind="hit_confirmation")
    running.traffic.line_answered(running.line, 1, None)
    assert not stay.open
    running.traffic.tick(clock.monotonic() + stay.transaction.timeout_of(stay) + 1)
    await running.journaled()
    assert running.told() == []
    assert [event.event for event in await running.events()] == [Life.SENT, Life.ACKNOWLEDGED, Life.ANSWERED]


# --- what is refused ------------------------------------------------------------------------------------------


@pytest.mark.requirement("C-JOURNAL", "F-AUDIT")
async def test_of_a_refused_message_longer_than_any_may_be_the_journal_keeps_what_fits_and_says_so(
    running: Running,
) -> None:
    station = FakeStation(running.point.directory.devices["desk-1"], fresh_station(StationKind.TERMINAL))
    payload = b"A" * 60_000
    station.session.receive_data(encode_frame(DATA, 1, payload), 0.0)
    running.switch.take_out_of_place(station, MessageOutOfPlace(1, payload, NotSignedOn()), None)
    await running.journaled()
    [text] = await running.texts()
    assert text == "A" * TEXT_CHARS_MAX + " [cut: 60000 characters]"


@pytest.mark.requirement("C-JOURNAL")
@pytest.mark.parametrize("gone", [("user", "J40217"), ("agency", "EXLP")], ids=["user", "agency"])
async def test_a_message_whose_sender_is_no_longer_on_file_is_journaled_whole(
    running: Running, gone: tuple[str, str]
) -> None:
    running.point.directory.replace([], [gone])
    _asking(running, TEXT)
    await running.journaled()
    assert await running.texts() == [TEXT]


@pytest.mark.requirement("C-UNSOL")
async def test_messages_nobody_can_take_wait_for_the_operator(running: Running) -> None:
    for sequence in (1, 2):
        running.traffic.line_message(running.line, sequence, b"ZZZZ000001.NOBODY ASKED")
    await running.journaled()
    assert [stay.facts["why"] for stay in running.deliveries.operator_queue.entries()] == [
        "no destination for ZZZZ"
    ] * 2
    assert [event.event for event in await running.events()] == [Life.OPERATOR_QUEUE, Life.ROUTED] * 2
    assert {event.destination for event in await running.events() if event.event == Life.ROUTED} == {OPERATOR_QUEUE}


@pytest.mark.requirement("C-STAFFED", "C-UNSOL")
@pytest.mark.parametrize("text", ["$.H.DELAYED HIT", "$.L.LOCATED", "AM.NV0000000.CD01.TXT CALL ME", "YQ.NV0000000"])
async def test_what_must_be_seen_goes_to_who_sees_it_and_says_whose_it_was(running: Running, text: str) -> None:
    running.traffic.line_message(running.line, 1, f"CD01000001.{text}".encode())
    await running.journaled()
    for address in ("device:desk-1", "device:desk-2", "device:printer-1"):
        [message] = running.waiting(address)
        assert (message.text, message.original_mnemonic) == (text, "CD01")
    assert not running.waiting("device:cad-1")
    [forwarded] = [event for event in await running.events() if event.event == Life.FORWARDED]
    assert forwarded.destination == "device:cad-1" and "C-STAFFED" in forwarded.facts["why"]


@pytest.mark.requirement("C-STAFFED", "C-UNSOL")
async def test_what_need_not_be_seen_at_every_hour_goes_where_its_mnemonic_leads(running: Running) -> None:
    running.traffic.line_message(running.line, 1, b"CD01000001.ER.NO SUCH ADDRESS")
    await running.journaled()
    [message] = running.waiting("device:cad-1")
    assert message.original_mnemonic is None


@pytest.mark.requirement("C-STAFFED", "C-UNSOL")
async def test_where_an_agency_has_nobody_who_sees_it_the_operator_gets_it_once(running: Running) -> None:
    directory = running.point.directory
    directory.replace([replace(directory.devices["s-desk"], staffed=False)])
    running.traffic.line_message(running.line, 1, b"S001000001.$.A.AMBER ALERT")
    await running.journaled()
    [entry] = running.deliveries.operator_queue.entries()
    assert "C-STAFFED" in entry.facts["why"]
    assert not running.waiting("device:s-desk")


# --- clocks and queues that nobody looks after ---------------------------------------------------------------


@pytest.mark.requirement("C-TRAFFIC")
async def test_what_waited_and_is_sent_in_time_has_its_whole_time_out_from_then(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = clock.monotonic()
    running.line.hold()
    stay = running.ask()
    monkeypatch.setattr(clock, "monotonic", lambda: began + stay.transaction.timeout_of(stay) - 1)
    running.line.release()
    running.traffic.line_writable(running.line)
    running.traffic.tick(began + stay.transaction.timeout_of(stay) + 1)
    assert stay.open and not stay.gave_up, "it was sent two seconds ago"
    running.traffic.tick(began + 2 * stay.transaction.timeout_of(stay))
    await running.journaled()
    assert [text[:4] for text in running.told()] == ["E402", "E403"]


@pytest.mark.requirement("C-TRAFFIC", "C-JOURNAL")
async def test_what_waited_while_the_journal_was_away_goes_out_when_it_is_back(running: Running) -> None:
    running.line.room = 0
    running.ask()
    running.writer.available = False
    running.line.room = 10
    running.traffic.line_writable(running.line)
    assert running.line.sent == []
    running.writer.available = True
    running.traffic.tick(clock.monotonic())
    assert running.line.sent == [ON_LINE.encode()]


@pytest.mark.requirement("C-TRAFFIC")
async def test_what_was_answered_and_not_acknowledged_is_not_asked_again(running: Running) -> None:
    running.ask()
    running.traffic.line_message(running.line, 1, b"A12300000H.NO RECORD")
    await running.journaled()
    running.traffic.line_lost(running.line, "cut")
    running.traffic.line_opened(running.line)
    assert running.line.sent == [ON_LINE.encode()]
    running.traffic.tick(clock.monotonic() + 60)
    assert running.traffic.unanswered.raised() == [], "an alarm about it could never end"


@pytest.mark.requirement("C-TRAFFIC")
async def test_an_update_that_was_given_up_is_not_sent_again_because_its_host_was_busy(running: Running) -> None:
    stay = running.ask(key="EV", system="IA", kind="entry")
    running.traffic.tick(clock.monotonic() + stay.transaction.timeout_of(stay) + 1)
    await running.journaled()
    assert [text[:4] for text in running.told()] == ["E404"]
    running.traffic.line_answered(running.line, 1, "E502 busy")
    running.traffic.tick(clock.monotonic() + 2)
    assert running.line.sent == [ON_LINE.encode()], "its originator was told to look, and may have entered it anew"


@pytest.mark.requirement("C-TRAFFIC")
async def test_an_update_about_to_go_out_is_not_given_up_in_that_moment(running: Running) -> None:
    running.line.hold()
    stay = running.ask(key="EV", system="IA", kind="entry")
    running.line.release()
    running.traffic.line_writable(running.line)
    assert running.line.sent == [], "first the journal says that it is sent"
    running.traffic.tick(clock.monotonic() + stay.transaction.timeout_of(stay) + 1)
    await running.journaled()
    assert running.line.sent == [ON_LINE.encode()]
    assert [text[:4] for text in running.told()] == ["E402"]


@pytest.mark.requirement("C-TRAFFIC", "C-JOURNAL")
@pytest.mark.parametrize("key", ["QW", "EV"])
async def test_what_is_answered_in_the_moment_its_time_is_over_is_answered_and_not_given_up(
    running: Running, key: str
) -> None:
    stay = running.ask(key=key, system="IA" if key == "EV" else "IW")
    running.traffic.line_message(running.line, 1, b"A12300000H.DONE")
    running.traffic.tick(clock.monotonic() + stay.transaction.timeout_of(stay) + 1)  # the answer is not committed yet
    await running.journaled()
    assert running.told() == ["DONE"]
    assert [e.event for e in await running.events() if e.destination == "line:clets-a"][-1] == Life.ANSWERED
    assert len(running.deliveries.operator_queue) == 0


@pytest.mark.requirement("C-TRAFFIC", "C-JOURNAL")
async def test_an_answer_that_comes_while_its_originator_is_being_told_is_late(running: Running) -> None:
    stay = running.ask()
    running.traffic.tick(clock.monotonic() + stay.transaction.timeout_of(stay) + 1)
    running.traffic.line_message(running.line, 1, b"A12300000H.DONE")
    await running.journaled()
    told = running.waiting("device:desk-1")
    assert [(message.text[:4], message.late) for message in told] == [("E403", False), ("DONE", True)]


# --- test and production --------------------------------------------------------------------------------------


@pytest.mark.requirement("C-TEST")
async def test_a_test_line_reaches_nobody_who_works_under_a_production_mnemonic(running: Running) -> None:
    running.other.mode = "test"
    stay = running.ask()
    running.traffic.line_message(running.other, 1, b"A12300000H.NO RECORD")
    running.traffic.line_message(running.other, 2, b"A12300000X.$.A.AMBER ALERT")
    await running.journaled()
    assert running.told() == []
    assert stay.open, "nothing has been answered"
    whys = [queued.facts["why"] for queued in running.deliveries.operator_queue.entries()]
    assert whys == ["ncic-a is a test line, A123 a production mnemonic (C-TEST)"] * 2


@pytest.mark.requirement("C-TRAFFIC")
async def test_whoever_asked_is_told_of_an_answer_that_no_frame_of_theirs_holds(running: Running) -> None:
    running.ask()
    desk = FakeStation(running.point.directory.devices["desk-1"])
    running.deliveries.attach("device:desk-1", desk)
    running.traffic.line_message(running.line, 1, b"A12300000H." + b"X" * 65_500)
    await running.journaled()
    [stay] = running.deliveries.operator_queue.entries()
    assert stay.facts["meant"] == "device:desk-1"
    [told] = [frame for frame in sent_frames(desk.session) if b'"kind":"status"' in frame.payload]
    assert b"E406 clets-a answered with 65511 characters, more than a frame" in told.payload
    assert f"message {stay.msn} is in the operator's queue".encode() in told.payload


# --- every leg is decided before anything is said -------------------------------------------------------------


@pytest.mark.requirement("C-TRAFFIC")
async def test_with_both_lines_down_nobody_is_told_that_the_other_was_asked(running: Running) -> None:
    for line in (running.line, running.other):
        line.is_open = False
        running.traffic.line_lost(line, "cut")
    _asking(running, TEXT)
    await running.journaled()
    assert running.told() == [
        "E401 clets-a is out of service; not sent (asked ncic-a: no)",
        "E401 ncic-a is out of service; not sent (asked clets-a: no)",
    ]


@pytest.mark.requirement("C-TRAFFIC")
async def test_what_a_host_chokes_on_is_the_operators_after_three_lost_lines_and_the_rest_goes_on(
    running: Running,
) -> None:
    running.ask()
    other = running.ask(msn=18, header="A12300000I", text=TEXT.replace("DOE", "ROE"))
    for _ in range(3):
        running.traffic.line_lost(running.line, "acknowledges nothing")
        running.traffic.line_opened(running.line)
    await running.journaled()
    [told] = running.told()
    assert told.startswith("E405 clets-a was lost 3 times while it waited for the acknowledgement of this message")
    assert [stay.msn for stay in running.deliveries.operator_queue.entries()] == [17]
    assert running.line.sent[-1].decode().endswith("NAM/ROE,JOHN"), "what was behind it goes on"
    assert other.returns == 0 and other.open


@pytest.mark.requirement("C-JOURNAL", "C-TRAFFIC")
async def test_that_a_message_waits_is_in_the_journal_when_its_originator_is_told(running: Running) -> None:
    # A switch that is killed a moment later must still keep the promise of E402.
    running.line.hold()
    running.ask()
    writing = asyncio.create_task(running.writer.run())
    async with asyncio.timeout(20):
        while not running.told():
            await asyncio.sleep(0)
    lives = [event.event for event in await running.events() if event.msn == 17]
    running.writer.close()
    await writing
    assert Life.QUEUED in lives


@pytest.mark.requirement("C-UNSOL")
async def test_what_a_line_said_before_the_start_is_marked_when_it_says_it_again(running: Running) -> None:
    # As the daemon enters it from the journal of the last hour, before anything has come.
    running.parts.repeats.note("clets-a", "S001000001.$.A.AMBER ALERT", clock.monotonic())
    for sequence, text in enumerate((b"S001000001.$.A.AMBER ALERT", b"S001000001.$.A.ANOTHER"), 1):
        running.traffic.line_message(running.line, sequence, text)
    await running.journaled()
    routes = [event.facts.get("repeated", False) for event in await running.events() if event.event == Life.ROUTED]
    assert routes == [True, False]
