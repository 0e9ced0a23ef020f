"""Delivery to stations: what is not acknowledged waits for the next connection, whoever took over meanwhile."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from msc import clock
from msc.journal.database.opening import open_writing
from msc.journal.writer import JournalWriter
from msc.limits import ACK_S, FORWARD_HOPS_MAX
from msc.metrics import Metrics
from msc.protocol.frame import CONTROL
from msc.routing.forwarding import Alternate, Forward, Forwarding, When
from msc.routing.period import Period
from msc.switch.delivery import Deliveries, envelope_of
from msc.switch.redirect import Redirection
from msc.transit.outbox import Outbox, Outgoing
from tests.support.county import county
from tests.support.journal import SIGNER
from tests.support.port import FakeStation
from tests.support.wire import sent_frames

ADDRESS = "user:J40217"
ALL_DAY = Period("UTC", frozenset(range(7)), 0, 0)


def outgoing(msn: int) -> Outgoing:
    return Outgoing(msn, "response", f"TEXT {msn}", "clets-a", 0)


@pytest.fixture
async def deliveries(tmp_path: Path) -> AsyncIterator[Deliveries]:
    journal = open_writing(f"sqlite+aiosqlite:///{tmp_path / 'journal.db'}")
    yield Deliveries(JournalWriter(journal, SIGNER, Metrics()), Metrics())
    await journal.close()


def at(device: str) -> FakeStation:
    return FakeStation(county().devices[device])


async def test_an_acknowledged_message_is_delivered_and_another_waits(deliveries: Deliveries) -> None:
    car = at("car-1")
    assert deliveries.attach(ADDRESS, car) == 0
    deliveries.push(ADDRESS, outgoing(1))
    deliveries.push(ADDRESS, outgoing(2))
    deliveries.answered(car, 1, None)
    assert deliveries.undelivered(ADDRESS) == 1
    deliveries.detach(car)
    assert deliveries.undelivered(ADDRESS) == 1


@pytest.mark.requirement("C-TRAFFIC")
async def test_a_person_who_signs_on_at_a_second_terminal_loses_no_message(deliveries: Deliveries) -> None:
    # Both connections number their frames from 1, and answers of the first still arrive.
    first, second = at("car-1"), at("car-2")
    deliveries.attach(ADDRESS, first)
    deliveries.push(ADDRESS, outgoing(1))
    deliveries.attach(ADDRESS, second)
    deliveries.pump(ADDRESS)
    deliveries.push(ADDRESS, outgoing(2))
    assert deliveries.undelivered(ADDRESS) == 2, "the second terminal's frame 1 took the place of the first's"


@pytest.mark.requirement("C-TRAFFIC")
async def test_an_answer_from_a_terminal_that_was_taken_over_settles_nothing_of_the_new_one(
    deliveries: Deliveries,
) -> None:
    first, second = at("car-1"), at("car-2")
    deliveries.attach(ADDRESS, first)
    deliveries.attach(ADDRESS, second)
    deliveries.push(ADDRESS, outgoing(1))
    assert second.session.room == 3, "the message went to the second terminal"
    deliveries.answered(first, 1, None)
    assert deliveries.undelivered(ADDRESS) == 1, "an acknowledgement from elsewhere counted as delivery"


# --- forwarded, alternate-routed, held, expired ----------------------------------------------------------------


def administrative(msn: int, **members: Any) -> Outgoing:
    return Outgoing(msn, "unsolicited", f"TEXT {msn}", "desk-2", clock.wall_us(), **members)


def rules(deliveries: Deliveries, *rules: Forward | Alternate) -> None:
    """Have rules apply."""
    redirection = Redirection(county(), deliveries.absent_s)
    forwards = [rule for rule in rules if isinstance(rule, Forward)]
    redirection.use(Forwarding(forwards, [rule for rule in rules if isinstance(rule, Alternate)]))
    deliveries.redirect = redirection


def waiting(deliveries: Deliveries, address: str) -> list[Outgoing]:
    outbox = deliveries.outboxes.get(address)
    return outbox.queued() if outbox else []


@pytest.mark.requirement("C-TAMF")
async def test_a_forwarded_message_says_whose_it_was_and_an_answer_is_never_forwarded(deliveries: Deliveries) -> None:
    rules(deliveries, Forward("by night", "desk-1", "printer-1", ALL_DAY))
    deliveries.push("device:desk-1", administrative(1))
    deliveries.push("device:desk-1", outgoing(2))
    [moved] = waiting(deliveries, "device:printer-1")
    assert (moved.msn, envelope_of(moved, 0)["original_mnemonic"]) == (1, "A123")
    assert [message.msn for message in waiting(deliveries, "device:desk-1")] == [2]


@pytest.mark.requirement("C-TAMF")
async def test_a_message_for_a_station_and_for_who_stands_in_for_it_comes_once(deliveries: Deliveries) -> None:
    rules(deliveries, Forward("by night", "desk-1", "printer-1", ALL_DAY))
    deliveries.push("device:desk-1", administrative(1))
    deliveries.push("device:printer-1", administrative(1))
    assert [message.msn for message in waiting(deliveries, "device:printer-1")] == [1]


@pytest.mark.requirement("C-TAMF")
async def test_a_message_for_who_stands_in_and_for_the_station_comes_once(deliveries: Deliveries) -> None:
    """The other way round: it was there already when it came in the other's place."""
    rules(deliveries, Forward("by night", "desk-1", "printer-1", ALL_DAY))
    deliveries.push("device:printer-1", administrative(1))
    deliveries.push("device:desk-1", administrative(1))
    assert [message.msn for message in waiting(deliveries, "device:printer-1")] == [1]


@pytest.mark.requirement("C-TAMF")
async def test_where_nobody_stands_in_for_anybody_what_waits_is_not_looked_through(
    deliveries: Deliveries, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look(_outbox: Outbox, _msn: int) -> bool:
        raise AssertionError("it takes as long as the queue is")

    monkeypatch.setattr(Outbox, "holds", look)
    for msn in (1, 2):
        deliveries.push("device:desk-1", administrative(msn))
    assert len(waiting(deliveries, "device:desk-1")) == 2


@pytest.mark.requirement("C-TAMF")
async def test_what_waits_goes_to_the_alternate_once_the_device_has_been_down_for_its_time(
    deliveries: Deliveries,
) -> None:
    deliveries.push("device:desk-1", administrative(1))
    rules(deliveries, Alternate("desk-1", "printer-1", When.DOWN, after_s=3600))
    deliveries.tick()
    assert waiting(deliveries, "device:printer-1") == []
    rules(deliveries, Alternate("desk-1", "printer-1", When.DOWN))
    deliveries.tick()
    assert [message.msn for message in waiting(deliveries, "device:printer-1")] == [1]
    assert waiting(deliveries, "device:desk-1") == []


@pytest.mark.requirement("C-TAMF")
async def test_who_is_there_keeps_their_messages_while_the_alternate_is_for_when_they_are_not(
    deliveries: Deliveries,
) -> None:
    rules(deliveries, Alternate("desk-1", "printer-1", When.DOWN))
    desk = at("desk-1")
    deliveries.attach("device:desk-1", desk)
    deliveries.push("device:desk-1", administrative(1))
    assert deliveries.undelivered("device:desk-1") == 1
    assert waiting(deliveries, "device:printer-1") == []


@pytest.mark.requirement("C-TAMF")
async def test_devices_that_stand_in_for_each_other_send_a_message_about_a_bounded_number_of_times(
    deliveries: Deliveries,
) -> None:
    message = administrative(1)
    for number in range(3 * FORWARD_HOPS_MAX):
        here, there = ("desk-1", "printer-1") if number % 2 == 0 else ("printer-1", "desk-1")
        rules(deliveries, Forward("shift", here, there, ALL_DAY))
        if number == 0:
            deliveries.push(f"device:{here}", message)
        deliveries.tick()
    assert message.hops == FORWARD_HOPS_MAX


async def test_a_held_address_gets_nothing_until_it_is_released(deliveries: Deliveries) -> None:
    desk = at("desk-1")
    deliveries.attach("device:desk-1", desk)
    deliveries.hold("device:desk-1")
    deliveries.push("device:desk-1", administrative(1))
    assert [message.msn for message in waiting(deliveries, "device:desk-1")] == [1]
    deliveries.release("device:desk-1")
    assert waiting(deliveries, "device:desk-1") == []
    assert deliveries.undelivered("device:desk-1") == 1, "it is out, and not acknowledged"


@pytest.mark.requirement("C-TRAFFIC")
async def test_what_waited_too_long_has_expired_or_is_the_operators(deliveries: Deliveries) -> None:
    for message in (administrative(1), outgoing(2)):
        message.received_us = clock.wall_us() - 8 * 86_400_000_000
        deliveries.push("device:desk-1", message)
    deliveries.tick()
    assert deliveries.undelivered("device:desk-1") == 0
    assert [entry.msn for entry in deliveries.operator_queue.entries()] == [1], "of the answer it says expired"


@pytest.mark.requirement("C-TRAFFIC")
async def test_a_message_refused_three_times_is_the_operators_and_the_next_arrives(
    deliveries: Deliveries,
) -> None:
    desk = at("desk-1")
    deliveries.attach("device:desk-1", desk)
    for message in (administrative(1), administrative(2)):
        deliveries.push("device:desk-1", message)
    for sequence in (1, 3, 4):
        deliveries.answered(desk, sequence, "E206 no")
    assert [entry.msn for entry in deliveries.operator_queue.entries()] == [1]
    deliveries.answered(desk, 2, None)
    assert deliveries.undelivered("device:desk-1") == 0


# --- stations that say nothing ---------------------------------------------------------------------------------


def sent_long_ago(deliveries: Deliveries, address: str) -> None:
    """Let the time pass that a station may take."""
    for message in deliveries.outboxes[address].unacknowledged():
        message.sent_at -= ACK_S


def mute(deliveries: Deliveries, address: str, device: str) -> FakeStation:
    """Have a station come, take what waits, say nothing until its time is over, and lose its connection for it."""
    station = at(device)
    deliveries.attach(address, station)
    deliveries.pump(address)
    sent_long_ago(deliveries, address)
    deliveries.tick()
    if station.closed:
        deliveries.detach(station)
    return station


@pytest.mark.requirement("C-ADMIN", "C-TRAFFIC")
async def test_a_station_that_leaves_a_message_unanswered_is_told_and_ended_and_it_waits_for_the_next(
    deliveries: Deliveries,
) -> None:
    deliveries.push("device:desk-1", administrative(1))
    station = mute(deliveries, "device:desk-1", "desk-1")
    assert station.reason is not None and "E607" in station.reason
    last = sent_frames(station.session)[-1]
    assert (last.kind, json.loads(last.payload)["code"]) == (CONTROL, "E607")
    [message] = waiting(deliveries, "device:desk-1")
    assert (message.possible_duplicate, message.unanswered) == (True, 1)


async def test_a_station_that_answers_in_time_stays_however_much_it_is_sent(deliveries: Deliveries) -> None:
    desk = at("desk-1")
    deliveries.attach("device:desk-1", desk)
    for msn in (1, 2):
        deliveries.push("device:desk-1", administrative(msn))
        sent_long_ago(deliveries, "device:desk-1")
        deliveries.answered(desk, msn, None if msn == 1 else "E599 OUT OF PAPER")
    deliveries.tick()
    assert not desk.closed


@pytest.mark.requirement("C-TRAFFIC")
async def test_what_a_station_chokes_on_goes_to_the_operator_the_third_time_and_the_rest_goes_on(
    deliveries: Deliveries,
) -> None:
    for msn in (1, 2):
        deliveries.push("device:desk-1", administrative(msn))
    for _ in range(3):
        assert mute(deliveries, "device:desk-1", "desk-1").closed
    assert [entry.msn for entry in deliveries.operator_queue.entries()] == [1]
    [message] = waiting(deliveries, "device:desk-1")
    assert (message.msn, message.unanswered) == (2, 0), "it was behind the other, and is no worse for it"


async def test_a_connection_lost_before_its_time_counts_for_nothing(deliveries: Deliveries) -> None:
    for _ in range(5):
        desk = at("desk-1")
        deliveries.attach("device:desk-1", desk)
        if not deliveries.undelivered("device:desk-1"):
            deliveries.push("device:desk-1", administrative(1))
        deliveries.pump("device:desk-1")
        deliveries.tick()
        deliveries.detach(desk)
    [message] = waiting(deliveries, "device:desk-1")
    assert message.unanswered == 0
