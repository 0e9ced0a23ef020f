"""What an operator does with messages that wait, over a real journal: where they go, who is told, what is kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from msc import clock
from msc.directory.rows import Mode, Status
from msc.errors import OutcomeUnknown
from msc.protocol.envelope import split_payload
from msc.protocol.line_state import LineState
from msc.routing.plan import Plan
from msc.routing.table import RouteTable
from msc.switch.orders.verb import OrderRefused
from msc.transit.event import INTERCEPT, OPERATOR_QUEUE, Event, Life
from msc.transit.state import State
from msc.transit.transaction import Stay, Transaction
from msc.transit.unanswered import Waiting
from tests.support.operated import Operated
from tests.support.running import FROM_HOST, inquiry
from tests.switch.test_confirmations import ANSWERS, ASKED, ASKS

AM = "AM.CA0980000.{}.TXT MEET AT THE NORTH GATE"
INQUIRY = "IV.4.CA0980000.LIC/7ABC123"
UPDATE = "IA.EV.CA0980000.LIC/7ABC123.OCA/26-17.DTE/20260131"

pytestmark = pytest.mark.requirement("C-ADMIN", "F-AUDIT")


@pytest.fixture
async def switch(tmp_path: Path) -> AsyncIterator[Operated]:
    made = Operated(tmp_path)
    await made.start()
    yield made
    await made.stop()


def msns(switch: Operated, address: str) -> list[int]:
    return [message.msn for message in switch.queued(address)]


# --- looking --------------------------------------------------------------------------------------------------


async def test_queues_are_listed_by_class_with_the_reason_why_they_wait(switch: Operated) -> None:
    msn = await switch.sends(AM.format("A124"))
    (row,) = (await switch.order("queue_list")).answer["queues"]
    assert (row["address"], row["waiting"], row["why"]) == ("device:desk-2", {"administrative": 1}, "nobody is there")
    (message,) = (await switch.order("queue_list", address="device:desk-2")).answer["messages"]
    assert (message["msn"], message["state"], message["source"]) == (msn, "waiting", "desk-1")
    assert "NORTH GATE" not in str(message)


async def test_a_message_that_waits_is_shown_whole_and_one_that_does_not_is_not(switch: Operated) -> None:
    msn = await switch.sends(AM.format("A124"))
    shown = (await switch.order("queue_show", msn=msn)).answer
    assert shown["waits_at"] == ["device:desk-2"]
    assert (shown["message"]["text"], shown["message"]["user"]) == (AM.format("A124"), "J40217")
    switch.receives("desk-2")
    await switch.order("queue_list")
    assert (await switch.order("queue_show", msn=msn)).answer["waits_at"] == ["device:desk-2"], "it is on its way"
    with pytest.raises(OrderRefused, match="99 waits nowhere"):
        await switch.order("queue_show", msn=99)


@pytest.mark.parametrize("address", ["line:nope", "device:nope", "user:NOBODY"])
async def test_a_queue_of_nobody_is_refused_by_name(switch: Operated, address: str) -> None:
    with pytest.raises(OrderRefused, match=address.partition(":")[2]):
        await switch.order("queue_list", address=address)


# --- moving ---------------------------------------------------------------------------------------------------


async def test_a_message_moves_to_another_station_and_says_whose_it_was(switch: Operated) -> None:
    msn = await switch.sends(AM.format("A124"))
    await switch.order("queue_move", from_="device:desk-2", to="device:printer-1", msns=[msn])
    assert msns(switch, "device:desk-2") == []
    (message,) = switch.queued("device:printer-1")
    assert (message.msn, message.original_mnemonic) == (msn, "A124")
    life = await switch.life(msn)
    assert life[-3:] == ["forwarded at device:desk-2", "routed at device:printer-1", "queued at device:printer-1"]
    events = [each for each in await switch.events() if each.event == "forwarded"]
    assert [each.facts for each in events] == [{"to": ["device:printer-1"], "why": "by roe: printer is broken"}]


async def test_all_that_waits_moves_in_order_and_what_is_on_its_way_stays(switch: Operated) -> None:
    first = await switch.sends(AM.format("A124"))
    switch.receives("desk-2")
    switch.deliveries.hold("device:desk-2")
    rest = [await switch.sends(AM.format("A124")) for _ in range(3)]
    outcome = await switch.order("queue_move", from_="device:desk-2", to="user:J40217", all=True)
    assert outcome.answer == {"done": rest, "not_done": []}
    assert msns(switch, "user:J40217") == rest
    outcome = await switch.order("queue_move", from_="device:desk-2", to="user:J40217", msns=[first, 99])
    assert [row["why"] for row in outcome.answer["not_done"]] == [
        "it is on its way, and not acknowledged yet",
        "it does not wait there",
    ]


async def test_what_was_moved_is_not_forwarded_again(switch: Operated) -> None:
    await switch.order("alternate_set", for_="device:printer-1", to="device:desk-1", always=True)
    msn = await switch.sends(AM.format("A124"))
    await switch.order("queue_move", from_="device:desk-2", to="device:printer-1", msns=[msn])
    assert msns(switch, "device:printer-1") == [msn]


async def test_an_answer_goes_to_nobody_of_another_agency(switch: Operated) -> None:
    inquiry = await switch.sends(INQUIRY)
    answer = await switch.comes(f"{(await switch.record(inquiry)).header}.NO RECORD")
    outcome = await switch.order("queue_move", from_="device:desk-1", to="device:s-desk", msns=[answer])
    assert "another agency" in outcome.answer["not_done"][0]["why"]
    await switch.order("queue_move", from_="device:desk-1", to="device:printer-1", msns=[answer])
    assert [message.text for message in switch.queued("device:printer-1")] == ["NO RECORD"]


@pytest.mark.requirement("C-TEST")
@pytest.mark.parametrize(("own", "there"), [(Mode.PRODUCTION, Mode.TEST), (Mode.TEST, Mode.PRODUCTION)])
@pytest.mark.parametrize("verb", ["move", "copy"])
async def test_a_message_comes_to_no_station_of_the_other_mode(
    switch: Operated, own: Mode, there: Mode, verb: str
) -> None:
    directory = switch.point.directory
    msn = await switch.sends(AM.format("A124"))
    modes = {"A123": own, "A124": own, "P001": there}
    directory.replace([replace(directory.mnemonics[name], mode=mode) for name, mode in modes.items()])
    why = f"a {own.value} message, and printer-1 is a {there.value} station"
    if verb == "copy":
        with pytest.raises(OrderRefused, match=why):
            await switch.order("queue_copy", msn=msn, to="device:printer-1")
    else:
        outcome = await switch.order("queue_move", from_="device:desk-2", to="device:printer-1", msns=[msn])
        assert why in outcome.answer["not_done"][0]["why"]
    assert (msns(switch, "device:desk-2"), msns(switch, "device:printer-1")) == ([msn], [])


@pytest.mark.requirement("C-TEST")
async def test_what_came_from_a_test_line_goes_to_no_production_station_whatever_it_names(switch: Operated) -> None:
    switch.line.mode = "test"
    msn = await switch.comes("A124000001.NOT FOR THEM")
    outcome = await switch.order("queue_move", from_=OPERATOR_QUEUE, to="device:desk-2", msns=[msn])
    assert "a test message" in outcome.answer["not_done"][0]["why"]
    assert switch.deliveries.operator_queue.find(msn) is not None


@pytest.mark.requirement("C-STAFFED")
@pytest.mark.parametrize(
    ("target", "why"),
    [("device:car-1", "nobody receives for car-1"), ("device:cad-1", "neither a printer nor staffed")],
)
async def test_what_must_be_seen_goes_to_no_station_where_nobody_sees_it(
    switch: Operated, target: str, why: str
) -> None:
    msn = await switch.sends(AM.format("A124"))
    outcome = await switch.order("queue_move", from_="device:desk-2", to=target, msns=[msn])
    assert why in outcome.answer["not_done"][0]["why"]
    assert msns(switch, "device:desk-2") == [msn]


async def test_an_inquiry_moves_from_one_line_to_another_and_its_answer_still_finds_it(switch: Operated) -> None:
    switch.line.state = LineState.HELD
    msn = await switch.sends(INQUIRY)
    assert msns(switch, "line:clets-a") == [msn]
    await switch.order("queue_move", from_="line:clets-a", to="line:ncic-a", msns=[msn])
    assert len(switch.other.sent) == 1
    assert [text[:4] for text in switch.told()] == ["E402", "E402"]
    header = (await switch.record(msn)).header
    assert header is not None
    one = switch.transit.find(header)
    assert one is not None and [stay.name for stay in one.awaited] == ["ncic-a"]
    switch.traffic.line_message(switch.other, 1, f"{header}.NO RECORD".encode())
    await switch.settled()
    assert switch.transit.waiting == 0
    assert switch.told() == ["NO RECORD"]


async def test_an_inquiry_that_was_moved_is_not_waited_for_on_the_line_it_left(switch: Operated) -> None:
    msn = await switch.sends(INQUIRY)
    switch.line.is_open = False
    switch.traffic.line_lost(switch.line, "cut")
    await switch.order("queue_move", from_="line:clets-a", to="line:ncic-a", msns=[msn])
    header = (await switch.record(msn)).header
    switch.traffic.line_message(switch.other, 1, f"{header}.NO RECORD".encode())
    await switch.settled()
    switch.traffic.tick(clock.monotonic() + 100)
    raised = switch.traffic.unanswered.raised()
    assert [(alarm.what, alarm.name) for alarm in raised] == [(Waiting.LINE, "clets-a")], "it has said nothing yet"
    switch.line.is_open = True
    switch.traffic.line_opened(switch.line)
    await switch.comes("A124000001.ANYTHING AT ALL")
    assert switch.traffic.unanswered.raised() == []


async def test_an_inquiry_taken_from_a_line_to_a_person_ends_for_its_originator(switch: Operated) -> None:
    switch.line.state = LineState.HELD
    msn = await switch.sends(INQUIRY)
    await switch.order("queue_move", from_="line:clets-a", to="device:printer-1", msns=[msn])
    assert switch.told()[-1].startswith("E401 not sent to clets-a: the operator has taken it to device:printer-1")
    assert switch.transit.waiting == 0
    assert [message.text for message in switch.queued("device:printer-1")] == [INQUIRY]


async def test_nothing_is_queued_for_a_line_that_is_down_or_of_the_other_mode(switch: Operated) -> None:
    switch.line.state = LineState.HELD
    msn = await switch.sends(INQUIRY)
    switch.other.mode = "test"
    outcome = await switch.order("queue_move", from_="line:clets-a", to="line:ncic-a", msns=[msn])
    assert "A123 is a production mnemonic" in outcome.answer["not_done"][0]["why"]
    switch.other.is_open = False
    switch.traffic.line_lost(switch.other, "cut")
    with pytest.raises(OrderRefused, match="is down"):
        await switch.order("queue_move", from_="line:clets-a", to="line:ncic-a", msns=[msn])
    assert msns(switch, "line:clets-a") == [msn]


@pytest.mark.requirement("C-SANCTION")
async def test_a_message_of_who_was_suspended_since_goes_out_on_no_line(switch: Operated) -> None:
    switch.line.state = LineState.HELD
    msn = await switch.sends(INQUIRY)
    directory = switch.point.directory
    directory.replace([replace(directory.users["J40217"], status=Status.SUSPENDED)])
    outcome = await switch.order("queue_move", from_="line:clets-a", to="line:ncic-a", msns=[msn])
    assert "its sender may not send it any more: E104" in outcome.answer["not_done"][0]["why"]
    assert switch.other.sent == []


async def test_while_the_journal_cannot_be_written_everything_stays_where_it_was(switch: Operated) -> None:
    msn = await switch.sends(AM.format("A124"))
    switch.durable = False
    with pytest.raises(OrderRefused, match="journal"):
        await switch.order("queue_move", from_="device:desk-2", to="device:printer-1", msns=[msn])
    assert (msns(switch, "device:desk-2"), msns(switch, "device:printer-1")) == ([msn], [])
    await switch.settled()
    assert switch.writer.owed[msn] == {"device:desk-2": State.ROUTED}, "and so the next start has it"


@pytest.mark.parametrize("text", [INQUIRY, UPDATE])
async def test_what_goes_wrong_with_one_message_keeps_no_other_from_arriving(
    switch: Operated, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    switch.line.state = LineState.HELD
    first, second, third = [await switch.sends(text) for _ in range(3)]
    send = switch.traffic.send

    def broken(stays: Sequence[Stay]) -> None:
        if stays[0].msn == second:
            raise RuntimeError("we are wrong")
        send(stays)

    monkeypatch.setattr(switch.traffic, "send", broken)
    with capture_logs() as logged:
        outcome = await switch.order("queue_move", from_="line:clets-a", to="line:ncic-a", all=True)
    assert outcome.answer["done"] == [first, third]
    (row,) = outcome.answer["not_done"]
    assert row["msn"] == second and "it is in the operator's queue" in row["why"]
    assert len(switch.other.sent) == 2
    assert [entry.msn for entry in switch.deliveries.operator_queue.entries(OPERATOR_QUEUE)] == [second]
    assert OPERATOR_QUEUE in switch.writer.owed[second]
    assert [each["msn"] for each in logged if each["event"] == "order.fault"] == [second]


async def test_a_message_that_arrived_at_no_station_because_we_are_wrong_waits_for_the_operator_alone(
    switch: Operated, monkeypatch: pytest.MonkeyPatch
) -> None:
    msn = await switch.sends(AM.format("A124"))

    def broken(*_: object) -> None:
        raise RuntimeError("we are wrong")

    monkeypatch.setattr(switch.deliveries, "push", broken)
    outcome = await switch.order("queue_move", from_="device:desk-2", to="device:printer-1", msns=[msn])
    assert outcome.answer["done"] == []
    assert switch.writer.owed[msn].keys() == {OPERATOR_QUEUE}
    assert switch.deliveries.operator_queue.find(msn) is not None


# --- copying, other classes -----------------------------------------------------------------------------------


async def test_a_copy_goes_to_another_station_and_the_message_stays(switch: Operated) -> None:
    msn = await switch.sends(AM.format("A124"))
    await switch.order("queue_copy", msn=msn, to="device:printer-1")
    assert msns(switch, "device:desk-2") == msns(switch, "device:printer-1") == [msn]
    assert switch.writer.owed[msn].keys() == {"device:desk-2", "device:printer-1"}
    with pytest.raises(OrderRefused, match="already"):
        await switch.order("queue_copy", msn=msn, to="device:printer-1")


async def test_an_update_is_never_copied_to_a_second_line(switch: Operated) -> None:
    switch.line.state = LineState.HELD
    msn = await switch.sends(UPDATE)
    with pytest.raises(OrderRefused, match="is an update"):
        await switch.order("queue_copy", msn=msn, to="line:ncic-a")


async def test_a_message_of_a_higher_class_goes_first_and_the_journal_says_its_class(switch: Operated) -> None:
    first, second = [await switch.sends(AM.format("A124")) for _ in range(2)]
    outcome = await switch.order("queue_reprioritise", at="device:desk-2", msn=second, to="urgent")
    assert (outcome.before, outcome.after) == ({"priority": "administrative"}, {"priority": "urgent"})
    assert msns(switch, "device:desk-2") == [second, first]
    assert [each.facts for each in await switch.events() if each.event == "reprioritised"] == [
        {"precedence": "URGENT"}
    ]
    with pytest.raises(OrderRefused, match="urgent already"):
        await switch.order("queue_reprioritise", at="device:desk-2", msn=second, to="urgent")


# --- deleting -------------------------------------------------------------------------------------------------


async def test_what_is_deleted_ends_and_its_sender_is_told_in_the_operators_words(switch: Operated) -> None:
    msn = await switch.sends(AM.format("A124"))
    await switch.order("queue_delete", from_="device:desk-2", msns=[msn])
    assert switch.queued("device:desk-2") == []
    assert switch.told() == ["E401 not delivered to desk-2: deleted by the operator: printer is broken"]
    assert (await switch.life(msn))[-1] == "cancelled at device:desk-2"
    assert msn not in switch.writer.owed


async def test_an_inquiry_deleted_from_a_line_is_answered_with_e401(switch: Operated) -> None:
    switch.line.state = LineState.HELD
    msn = await switch.sends(INQUIRY)
    await switch.order("queue_delete", from_="line:clets-a", all=True)
    assert switch.told()[-1] == "E401 not sent to clets-a: deleted by the operator: printer is broken"
    assert switch.transit.waiting == 0
    switch.line.state = LineState.OPEN
    switch.traffic.line_writable(switch.line)
    assert switch.line.sent == []
    assert msn not in switch.writer.owed


@pytest.mark.parametrize("text", [INQUIRY, UPDATE])
@pytest.mark.parametrize("target", [None, "device:printer-1", OPERATOR_QUEUE])
async def test_what_is_taken_off_a_line_ends_there_once(switch: Operated, text: str, target: str | None) -> None:
    switch.line.state = LineState.HELD
    msn = await switch.sends(text)
    if target is None:
        await switch.order("queue_delete", from_="line:clets-a", all=True)
    else:
        await switch.order("queue_move", from_="line:clets-a", to=target, all=True)
    events = [each for each in await switch.events() if (each.msn, each.destination) == (msn, "line:clets-a")]
    assert [each.event for each in events] == ["routed", "queued", "not_sent"]
    assert "roe: printer is broken" in events[-1].facts["why"]
    assert len([text for text in switch.told() if text.startswith("E401")]) == 1
    assert switch.writer.owed.get(msn, {}).keys() == ({target} if target is not None else set())


async def test_an_answer_that_is_deleted_tells_nobody(switch: Operated) -> None:
    inquiry = await switch.sends(INQUIRY)
    answer = await switch.comes(f"{(await switch.record(inquiry)).header}.NO RECORD")
    await switch.order("queue_delete", from_="device:desk-1", msns=[answer])
    assert switch.told() == []


# --- the operator's queue -------------------------------------------------------------------------------------


@pytest.mark.requirement("C-UNSOL")
async def test_what_nobody_could_take_is_moved_to_who_can(switch: Operated) -> None:
    msn = await switch.comes("ZZZZ000001.DELAYED HIT")
    (entry,) = (await switch.order("queue_list", address=OPERATOR_QUEUE)).answer["messages"]
    assert (entry["msn"], entry["why"]) == (msn, "no destination for ZZZZ")
    await switch.order("queue_move", from_=OPERATOR_QUEUE, to="device:printer-1", all=True)
    assert [message.text for message in switch.queued("device:printer-1")] == ["DELAYED HIT"]
    assert len(switch.deliveries.operator_queue) == 0
    assert switch.writer.owed[msn].keys() == {"device:printer-1"}


async def test_what_came_from_a_line_goes_to_no_line(switch: Operated) -> None:
    msn = await switch.comes("ZZZZ000001.DELAYED HIT")
    outcome = await switch.order("queue_move", from_=OPERATOR_QUEUE, to="line:ncic-a", all=True)
    assert outcome.answer["not_done"] == [{"msn": msn, "why": "only a station's message goes out on a line"}]


async def test_an_update_of_unknown_outcome_is_moved_to_no_line(switch: Operated) -> None:
    msn = await unknown(switch)
    outcome = await switch.order("queue_move", from_=OPERATOR_QUEUE, to="line:ncic-a", msns=[msn])
    assert "look there first" in outcome.answer["not_done"][0]["why"]
    assert len(switch.line.sent) == 1 and switch.other.sent == []


async def unknown(switch: Operated) -> int:
    """Let an update go out on a line that is then lost."""
    msn = await switch.sends(UPDATE)
    assert len(switch.line.sent) == 1
    switch.line.is_open = False
    switch.traffic.line_lost(switch.line, "cut")
    await switch.settled()
    switch.line.is_open = True
    switch.traffic.line_opened(switch.line)
    assert switch.deliveries.operator_queue.find(msn) is not None
    return msn


@pytest.mark.requirement("L-HITCONF")
@pytest.mark.parametrize("verb", ["move", "requeue"])
async def test_a_request_nobody_could_route_has_its_clock_from_when_the_operator_sends_it(
    switch: Operated, verb: str
) -> None:
    switch.switch._intake.use(Plan(RouteTable([])))
    msn = await switch.sends(ASKS)
    assert len(switch.confirmations.clocks) == 0
    if verb == "move":
        await switch.order("queue_move", from_=OPERATOR_QUEUE, to="line:clets-a", msns=[msn])
    else:
        await switch.order("queue_requeue", msn=msn, to="line:clets-a")
    (row,) = switch.confirmations.rows()
    assert (row["side"], row["msn"], row["priority"]) == ("asking", msn, "urgent")
    assert "hitconf:clock" in switch.writer.owed[msn], "and a starting switch finds it"


@pytest.mark.requirement("L-HITCONF")
async def test_an_answer_nobody_could_route_stops_the_clock_when_the_state_has_it(switch: Operated) -> None:
    await switch.comes(ASKED)
    assert len(switch.confirmations.clocks) == 1
    switch.switch._intake.use(Plan(RouteTable([])))
    msn = await switch.sends(ANSWERS)
    await switch.order("queue_move", from_=OPERATOR_QUEUE, to="line:clets-a", msns=[msn])
    assert len(switch.confirmations.clocks) == 1, "it has not left yet"
    switch.traffic.line_answered(switch.line, 1, None)
    assert len(switch.confirmations.clocks) == 0


@pytest.mark.requirement("F-BACKUP")
async def test_an_update_a_crash_left_open_goes_out_again_on_no_line_unasked(tmp_path: Path) -> None:
    switch = Operated(tmp_path)
    await switch.start()
    switch.line.room = 0
    msn = await switch.sends(UPDATE)
    one = switch.transit.get(msn)
    assert one is not None
    # As a starting switch says it: that it was sent does not stand in the journal, for the crash came before.
    switch.traffic.trunks["clets-a"].outbox.remove(msn)
    [stay] = one.awaited
    switch.traffic.originators.give_up(stay, OutcomeUnknown("the switch restarted before clets-a answered"))
    await switch.settled()
    outcome = await switch.order("queue_move", from_=OPERATOR_QUEUE, to="line:ncic-a", msns=[msn])
    assert "look there first" in outcome.answer["not_done"][0]["why"]
    assert switch.other.sent == []
    await switch.stop()


# --- once more ------------------------------------------------------------------------------------------------


@pytest.mark.requirement("C-HDR")
async def test_an_update_is_sent_again_only_by_who_says_so_in_so_many_words(switch: Operated) -> None:
    msn = await unknown(switch)
    switch.told()
    with pytest.raises(OrderRefused, match=r"IA\.EV.* may have reached the state: .* --yes-send-again"):
        await switch.order("queue_requeue", msn=msn)
    assert len(switch.line.sent) == 1
    outcome = await switch.order("queue_requeue", msn=msn, send_again=True)
    assert outcome.answer == {"msn": msn, "queued": ["line:clets-a"]}
    assert switch.line.sent[0] == switch.line.sent[1]
    assert switch.deliveries.operator_queue.find(msn) is None
    await switch.comes(f"{(await switch.record(msn)).header}.ENTERED")
    assert switch.told() == ["ENTERED"]
    assert msn not in switch.writer.owed


async def test_a_delivered_message_is_queued_again_as_a_possible_duplicate(switch: Operated) -> None:
    msn = await delivered(switch)
    await switch.order("queue_requeue", msn=msn)
    (message,) = switch.queued("device:desk-2")
    assert (message.msn, message.possible_duplicate) == (msn, True)
    with pytest.raises(OrderRefused, match="waits at device:desk-2"):
        await switch.order("queue_requeue", msn=msn)


async def delivered(switch: Operated) -> int:
    """Let a message be acknowledged by a station, which then leaves."""
    station = switch.receives("desk-2")
    msn = await switch.sends(AM.format("A124"))
    switch.deliveries.answered(station, 1, None)
    switch.deliveries.detach(station)
    await switch.settled()
    assert msn not in switch.writer.owed
    return msn


async def test_a_message_is_found_by_the_number_of_its_source_or_of_its_destination(switch: Operated) -> None:
    msn = await delivered(switch)
    today = clock.rfc3339(clock.wall_us())[:10]
    outcome = await switch.order("queue_requeue", isn=1, from_="device:desk-1", date=today, to="device:printer-1")
    assert outcome.answer == {"msn": msn, "queued": ["device:printer-1"]}
    outcome = await switch.order("queue_requeue", osn=1, to="device:desk-2")
    assert outcome.answer == {"msn": msn, "queued": ["device:desk-2"]}
    with pytest.raises(OrderRefused, match="no ISN 9 of device:desk-1 in that time"):
        await switch.order("queue_requeue", isn=9, from_="device:desk-1")
    with pytest.raises(OrderRefused, match="no OSN 1 of line:clets-a in that time"):
        await switch.order("queue_requeue", osn=1, to="line:clets-a")


async def test_what_is_awaited_or_was_refused_or_is_not_there_is_not_queued_again(switch: Operated) -> None:
    msn = await switch.sends(INQUIRY)
    with pytest.raises(OrderRefused, match=r"waits at line:clets-a|awaited"):
        await switch.order("queue_requeue", msn=msn)
    refused = await switch.sends("IV.4.CA0980000.COL/RED")
    with pytest.raises(OrderRefused, match="was refused with E"):
        await switch.order("queue_requeue", msn=refused, to="device:desk-2")
    with pytest.raises(OrderRefused, match="holds no message 99"):
        await switch.order("queue_requeue", msn=99)


# --- intercepted ----------------------------------------------------------------------------------------------


@pytest.fixture
async def held(switch: Operated) -> int:
    """The MSN of an inquiry that a rule holds."""
    await switch.order("intercept_set", name="watch", criteria={"keys": ["IV.*"], "mnemonics": ["A123"]})
    return await switch.sends(INQUIRY)


async def test_a_message_that_a_rule_takes_is_acknowledged_and_waits_and_its_sender_knows(
    switch: Operated, held: int
) -> None:
    assert switch.line.sent == []
    assert switch.told() == ["E402 held by the operator; it will be sent, or you will be told"]
    assert await switch.life(held) == [f"routed at {INTERCEPT}"]
    assert switch.writer.owed[held].keys() == {INTERCEPT}
    other = await switch.sends(AM.format("A124"))
    assert msns(switch, "device:desk-2") == [other]


async def test_a_released_message_goes_where_it_would_have_gone_and_its_answer_comes(
    switch: Operated, held: int
) -> None:
    switch.told()
    outcome = await switch.order("intercept_release", msns=[held])
    assert outcome.answer == {"done": [held], "not_done": []}
    header = (await switch.record(held)).header
    assert switch.line.sent == [f"{header}.*J40217.#02RVXUF.{INQUIRY}".encode()]
    await switch.comes(f"{header}.NO RECORD")
    assert switch.told() == ["NO RECORD"]
    assert held not in switch.writer.owed


@pytest.mark.requirement("C-SANCTION")
async def test_who_was_suspended_since_has_nothing_released(switch: Operated, held: int) -> None:
    directory = switch.point.directory
    directory.replace([replace(directory.users["J40217"], status=Status.SUSPENDED)])
    outcome = await switch.order("intercept_release", all=True)
    assert outcome.answer["not_done"][0]["why"].startswith("E104 ")
    assert switch.line.sent == []
    assert [entry.msn for entry in switch.deliveries.operator_queue.entries(INTERCEPT)] == [held]


async def test_an_edited_message_is_another_of_the_same_transaction_and_both_texts_are_on_record(
    switch: Operated, held: int
) -> None:
    switch.told()
    text = "IV.4.CA0980000.LIC/7ABC124"
    outcome = await switch.order("intercept_edit", msn=held, text=text)
    edited = outcome.answer["msn"]
    assert (outcome.before, outcome.after) == ({"msn": held, "text": INQUIRY}, {"msn": edited, "text": text})
    record = await switch.record(edited)
    assert (record.transaction, record.ref, record.user) == (held, None, "J40217")
    assert (await switch.record(held)).text == INQUIRY
    with pytest.raises(OrderRefused, match="is not held"):
        await switch.order("intercept_edit", msn=held, text=text)
    await switch.order("intercept_release", msns=[edited])
    assert switch.line.sent[0].decode().endswith(text)
    await switch.comes(f"{record.header}.NO RECORD")
    (answer,) = switch.queued("device:desk-1")
    assert answer.transaction.number == held, "its sender knows no other number"
    assert not switch.writer.owed.keys() & {held, edited}


@pytest.mark.parametrize(
    ("text", "code"), [("ZZ.TOP", "E205"), ("IV.4.CA0980000.LIC/é", "E208"), ("IV.4.CA0980000", "E206")]
)
async def test_a_text_the_catalog_does_not_know_changes_nothing(
    switch: Operated, held: int, text: str, code: str
) -> None:
    with pytest.raises(OrderRefused, match=code):
        await switch.order("intercept_edit", msn=held, text=text)
    assert [entry.msn for entry in switch.deliveries.operator_queue.entries(INTERCEPT)] == [held]


async def test_an_edited_message_its_sender_may_not_send_is_not_released(switch: Operated, held: int) -> None:
    foreign = (await switch.order("intercept_edit", msn=held, text="IV.4.CA0989900.LIC/7ABC124")).answer["msn"]
    outcome = await switch.order("intercept_release", msns=[foreign])
    assert outcome.answer["not_done"][0]["why"].startswith("E207 ")


async def test_a_held_message_is_rerouted_or_deleted_with_the_operators_words(switch: Operated, held: int) -> None:
    second = await switch.sends(INQUIRY)
    switch.told()
    await switch.order("queue_move", from_=INTERCEPT, to="line:ncic-a", msns=[held])
    assert len(switch.other.sent) == 1 and switch.line.sent == []
    await switch.order("queue_delete", from_=INTERCEPT, msns=[second])
    assert switch.told() == ["E401 not sent: deleted by the operator: printer is broken"]


async def test_an_administrative_message_is_held_and_released_to_whom_it_names(switch: Operated) -> None:
    await switch.order("intercept_set", name="watch", criteria={"destinations": ["A124"]})
    msn = await switch.sends(AM.format("A124"))
    assert switch.queued("device:desk-2") == []
    await switch.order("intercept_release", all=True)
    assert [message.text for message in switch.queued("device:desk-2")] == [AM.format("A124")]
    assert switch.writer.owed[msn].keys() == {"device:desk-2"}


@pytest.mark.requirement("C-UNSOL")
async def test_what_comes_unasked_is_held_by_mnemonic_edited_and_released(switch: Operated) -> None:
    await switch.order("intercept_set", name="keyed", criteria={"mnemonics": ["A12*"], "keys": ["IV.*"]})
    await switch.comes("A124000001.FIRST")
    assert [message.text for message in switch.queued("device:desk-2")] == ["FIRST"], "it has no key"
    await switch.order("intercept_set", name="watch", criteria={"mnemonics": ["A12*"]})
    msn = await switch.comes("A124000001.DELAYED HIT")
    edited = (await switch.order("intercept_edit", msn=msn, text="DELAYED HIT, SEE 26-17")).answer["msn"]
    await switch.order("intercept_release", msns=[edited])
    assert [message.text for message in switch.queued("device:desk-2")][1:] == ["DELAYED HIT, SEE 26-17"]


async def test_a_rule_that_is_cleared_holds_no_more_and_lets_nothing_go(switch: Operated, held: int) -> None:
    assert (await switch.order("intercept_clear", name="watch")).answer == {"name": "watch", "waiting": 1}
    await switch.sends(INQUIRY)
    assert len(switch.line.sent) == 1
    assert [entry.msn for entry in switch.deliveries.operator_queue.entries(INTERCEPT)] == [held]


# --- a test message -------------------------------------------------------------------------------------------


async def test_a_test_message_is_journaled_delivered_and_timed(switch: Operated) -> None:
    station = switch.receives("desk-2")
    send = station.session.send_message

    def acknowledged_at_once(payload: bytes) -> int:
        sequence = send(payload)
        members, text = split_payload(payload)
        assert members is not None and (members["source"], text) == ("switch", b"TEST 17")
        asyncio.get_running_loop().call_soon(switch.deliveries.answered, station, sequence, None)
        return sequence

    station.session.send_message = acknowledged_at_once  # type: ignore[method-assign]
    outcome = await switch.order("echo", device="desk-2", text="TEST 17")
    assert outcome.answer["why"] is None and outcome.answer["ms"] >= 0
    assert (await switch.life(outcome.answer["msn"]))[0] == "routed at device:desk-2"
    assert outcome.answer["msn"] not in switch.writer.owed


async def test_a_test_message_nobody_acknowledges_or_takes_is_told(switch: Operated) -> None:
    outcome = await switch.order("echo", device="desk-2")
    assert (outcome.answer["msn"], outcome.answer["why"]) == (None, "it is not connected")
    switch.receives("desk-2")
    outcome = await switch.order("echo", device="desk-2", wait_s=0.01)
    assert (outcome.answer["ms"], outcome.answer["why"]) == (None, "no acknowledgement within 0.01 s")


# --- a host's -------------------------------------------------------------------------------------------------


@pytest.mark.requirement("C-HDR", "C-OIF")
async def test_a_hosts_message_is_edited_under_its_own_head_and_answered_under_it(switch: Operated) -> None:
    text = f"CD01A00017.*J40217.#0A0000010017.{INQUIRY}"
    record = inquiry(
        **{**FROM_HOST, "device": "cad-2", "mnemonic": "CD02", "text": text}, msn=1, transaction=1,
        received=clock.wall_us(), key="4", system="IV", database="DMV",
    )  # fmt: skip
    held = Event(1, record.received, Life.ROUTED, INTERCEPT, {"rule": "watch"})
    transaction = Transaction(record._replace(events=(held,)), address="device:cad-2")
    switch.lifecycle.begin(transaction, lambda _: switch.deliveries.deliver(transaction.stays.values()))
    await switch.settled()
    edited = (await switch.order("intercept_edit", msn=1, text=INQUIRY.replace("123", "124"))).answer["msn"]
    changed = await switch.record(edited)
    assert changed.text == text.replace("123", "124")
    assert (await switch.order("intercept_release", msns=[edited])).answer["not_done"] == []
    assert switch.line.sent == [f"{changed.header}.*J40217.#0A0000010017.IV.4.CA0980000.LIC/7ABC124".encode()]
    await switch.comes(f"{changed.header}.NO RECORD")
    assert switch.told("device:cad-2") == ["CD01A00017.NO RECORD"]
