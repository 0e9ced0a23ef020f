"""Delivery to stations: what is not acknowledged waits for the next connection, whoever took over meanwhile."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from msc import clock
from msc.journal.database.opening import open_writing
from msc.journal.writer import JournalWriter
from msc.limits import ACK_S, FORWARD_HOPS_MAX
from msc.metrics import Metrics
from msc.protocol.frame import CONTROL
from msc.routing.forwarding import Alternate, Forward, Forwarding, When
from msc.routing.period import Period
from msc.settings import QueueSettings
from msc.switch.attendance import Attendance
from msc.switch.delivery import Deliveries, envelope_of
from msc.switch.lifecycle import Lifecycle
from msc.switch.redirect import Redirection
from msc.transit.event import Event, Life
from msc.transit.message import Direction, MessageRecord
from msc.transit.transaction import Stay, Transaction
from msc.transit.transit import Transit
from tests.support.county import county
from tests.support.journal import SIGNER
from tests.support.port import FakeStation
from tests.support.wire import sent_frames

ADDRESS = "user:J40217"
ALL_DAY = Period("UTC", frozenset(range(7)), 0, 0)


class Delivering(Deliveries):
    """Deliveries over a journal that is not written, with rules that a test may set."""

    def __init__(self, lifecycle: Lifecycle) -> None:
        self.attendance = Attendance()
        self.rules = Redirection(county(), self.attendance.absent_s)
        super().__init__(
            lifecycle, Metrics(), attendance=self.attendance, kept=QueueSettings(), ack_s=ACK_S,
            known=lambda _address: True, redirect=self.rules,
        )  # fmt: skip
        self.transit = lifecycle.transit

    def comes(self, record: MessageRecord, *addresses: str) -> Transaction:
        """Deliver a message that is in the journal."""
        events = tuple(Event(record.msn, record.received, Life.ROUTED, address) for address in addresses)
        transaction = self.transit.begin(Transaction(record._replace(events=events)), 0.0)
        self.deliver(transaction.stays.values())
        return transaction


def answer(msn: int, received: int = 0) -> MessageRecord:
    return MessageRecord(msn, received, Direction.INBOUND, "response", line="clets-a", text=f"A123.TEXT {msn}")


def administrative(msn: int, received: int | None = None) -> MessageRecord:
    at = clock.wall_us() if received is None else received
    return MessageRecord(msn, at, Direction.LOCAL, "administrative", device="desk-2", text=f"TEXT {msn}", sequence=1)


@pytest.fixture
async def deliveries(tmp_path: Path) -> AsyncIterator[Delivering]:
    journal = open_writing(f"sqlite+aiosqlite:///{tmp_path / 'journal.db'}")
    yield Delivering(Lifecycle(Transit(), JournalWriter(journal, SIGNER, Metrics())))
    await journal.close()


def at(device: str) -> FakeStation:
    return FakeStation(county().devices[device])


async def test_an_acknowledged_message_is_delivered_and_another_waits(deliveries: Delivering) -> None:
    car = at("car-1")
    assert deliveries.attach(ADDRESS, car) == 0
    deliveries.comes(answer(1), ADDRESS)
    deliveries.comes(answer(2), ADDRESS)
    deliveries.answered(car, 1, None)
    assert deliveries.undelivered(ADDRESS) == 1
    deliveries.detach(car)
    assert deliveries.undelivered(ADDRESS) == 1


@pytest.mark.requirement("C-TRAFFIC")
async def test_a_person_who_signs_on_at_a_second_terminal_loses_no_message(deliveries: Delivering) -> None:
    # Both connections number their frames from 1, and answers of the first still arrive.
    first, second = at("car-1"), at("car-2")
    deliveries.attach(ADDRESS, first)
    deliveries.comes(answer(1), ADDRESS)
    deliveries.attach(ADDRESS, second)
    deliveries.pump(ADDRESS)
    deliveries.comes(answer(2), ADDRESS)
    assert deliveries.undelivered(ADDRESS) == 2, "the second terminal's frame 1 took the place of the first's"


@pytest.mark.requirement("C-TRAFFIC")
async def test_an_answer_from_a_terminal_that_was_taken_over_settles_nothing_of_the_new_one(
    deliveries: Delivering,
) -> None:
    first, second = at("car-1"), at("car-2")
    deliveries.attach(ADDRESS, first)
    deliveries.attach(ADDRESS, second)
    deliveries.comes(answer(1), ADDRESS)
    assert second.session.room == 3, "the message went to the second terminal"
    deliveries.answered(first, 1, None)
    assert deliveries.undelivered(ADDRESS) == 1, "an acknowledgement from elsewhere counted as delivery"


# --- forwarded, alternate-routed, held, expired ----------------------------------------------------------------


def rules(deliveries: Delivering, *rules: Forward | Alternate) -> None:
    """Have rules apply."""
    forwards = [rule for rule in rules if isinstance(rule, Forward)]
    deliveries.rules.use(Forwarding(forwards, [rule for rule in rules if isinstance(rule, Alternate)]))


def waiting(deliveries: Deliveries, address: str) -> list[Stay]:
    outbox = deliveries.outboxes.get(address)
    return outbox.queued() if outbox else []


@pytest.mark.requirement("C-TAMF")
async def test_a_forwarded_message_says_whose_it_was_and_an_answer_is_never_forwarded(deliveries: Delivering) -> None:
    rules(deliveries, Forward("by night", "desk-1", "printer-1", ALL_DAY))
    deliveries.comes(administrative(1), "device:desk-1")
    deliveries.comes(answer(2), "device:desk-1")
    [moved] = waiting(deliveries, "device:printer-1")
    assert (moved.msn, envelope_of(moved, 0)["original_mnemonic"]) == (1, "A123")
    assert [message.msn for message in waiting(deliveries, "device:desk-1")] == [2]


@pytest.mark.requirement("C-TAMF")
@pytest.mark.parametrize("addresses", [("desk-1", "printer-1"), ("printer-1", "desk-1")], ids=["first", "last"])
async def test_a_message_for_a_station_and_for_who_receives_for_it_comes_once(
    deliveries: Delivering, addresses: tuple[str, ...]
) -> None:
    rules(deliveries, Forward("by night", "desk-1", "printer-1", ALL_DAY))
    one = deliveries.comes(administrative(1), *(f"device:{name}" for name in addresses))
    assert [message.msn for message in waiting(deliveries, "device:printer-1")] == [1]
    assert one.stays["device:desk-1"].ended == Life.FORWARDED


@pytest.mark.requirement("C-TAMF")
async def test_what_waits_goes_to_the_alternate_once_the_device_has_been_down_for_its_time(
    deliveries: Delivering,
) -> None:
    deliveries.comes(administrative(1), "device:desk-1")
    rules(deliveries, Alternate("desk-1", "printer-1", When.DOWN, after_s=3600))
    deliveries.tick()
    assert waiting(deliveries, "device:printer-1") == []
    rules(deliveries, Alternate("desk-1", "printer-1", When.DOWN))
    deliveries.tick()
    assert [message.msn for message in waiting(deliveries, "device:printer-1")] == [1]
    assert waiting(deliveries, "device:desk-1") == []


@pytest.mark.requirement("C-TAMF")
async def test_who_is_there_keeps_their_messages_while_the_alternate_is_for_when_they_are_not(
    deliveries: Delivering,
) -> None:
    rules(deliveries, Alternate("desk-1", "printer-1", When.DOWN))
    desk = at("desk-1")
    deliveries.attach("device:desk-1", desk)
    deliveries.comes(administrative(1), "device:desk-1")
    assert deliveries.undelivered("device:desk-1") == 1
    assert waiting(deliveries, "device:printer-1") == []


@pytest.mark.requirement("C-TAMF")
async def test_devices_that_stand_in_for_each_other_send_a_message_about_a_bounded_number_of_times(
    deliveries: Delivering,
) -> None:
    for number in range(3 * FORWARD_HOPS_MAX):
        here, there = ("desk-1", "printer-1") if number % 2 == 0 else ("printer-1", "desk-1")
        rules(deliveries, Forward("shift", here, there, ALL_DAY))
        if number == 0:
            one = deliveries.comes(administrative(1), f"device:{here}")
        deliveries.tick()
    [stay] = one.open_stays()
    assert stay.hops == FORWARD_HOPS_MAX


async def test_a_held_address_gets_nothing_until_it_is_released(deliveries: Delivering) -> None:
    desk = at("desk-1")
    deliveries.attach("device:desk-1", desk)
    deliveries.hold("device:desk-1")
    deliveries.comes(administrative(1), "device:desk-1")
    assert [message.msn for message in waiting(deliveries, "device:desk-1")] == [1]
    deliveries.release("device:desk-1")
    assert waiting(deliveries, "device:desk-1") == []
    assert deliveries.undelivered("device:desk-1") == 1, "it is out, and not acknowledged"


@pytest.mark.requirement("C-TRAFFIC")
async def test_what_waited_too_long_has_expired_or_is_the_operators(deliveries: Delivering) -> None:
    long_ago = clock.wall_us() - 8 * 86_400_000_000
    for record in (administrative(1, long_ago), answer(2, long_ago)):
        deliveries.comes(record, "device:desk-1")
    deliveries.tick()
    assert deliveries.undelivered("device:desk-1") == 0
    assert [entry.msn for entry in deliveries.operator_queue.entries()] == [1], "of the answer it says expired"


@pytest.mark.requirement("C-TRAFFIC")
async def test_a_message_refused_three_times_is_the_operators_and_the_next_arrives(
    deliveries: Delivering,
) -> None:
    desk = at("desk-1")
    deliveries.attach("device:desk-1", desk)
    for msn in (1, 2):
        deliveries.comes(administrative(msn), "device:desk-1")
    for sequence in (1, 3, 4):
        deliveries.answered(desk, sequence, "E206 no")
    assert [entry.msn for entry in deliveries.operator_queue.entries()] == [1]
    deliveries.answered(desk, 2, None)
    assert deliveries.undelivered("device:desk-1") == 0


# --- stations that say nothing ---------------------------------------------------------------------------------


def sent_long_ago(deliveries: Delivering, address: str) -> None:
    """Let the time pass that a station may take."""
    for message in deliveries.outboxes[address].unacknowledged():
        message.sent_at -= ACK_S


def mute(deliveries: Delivering, address: str, device: str) -> FakeStation:
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
    deliveries: Delivering,
) -> None:
    deliveries.comes(administrative(1), "device:desk-1")
    station = mute(deliveries, "device:desk-1", "desk-1")
    assert station.reason is not None and "E607" in station.reason
    last = sent_frames(station.session)[-1]
    assert (last.kind, json.loads(last.payload)["code"]) == (CONTROL, "E607")
    [message] = waiting(deliveries, "device:desk-1")
    assert (message.possible_duplicate, message.unanswered) == (True, 1)


async def test_a_station_that_answers_in_time_stays_however_much_it_is_sent(deliveries: Delivering) -> None:
    desk = at("desk-1")
    deliveries.attach("device:desk-1", desk)
    for msn in (1, 2):
        deliveries.comes(administrative(msn), "device:desk-1")
        sent_long_ago(deliveries, "device:desk-1")
        deliveries.answered(desk, msn, None if msn == 1 else "E599 OUT OF PAPER")
    deliveries.tick()
    assert not desk.closed


@pytest.mark.requirement("C-TRAFFIC")
async def test_what_a_station_chokes_on_goes_to_the_operator_the_third_time_and_the_rest_goes_on(
    deliveries: Delivering,
) -> None:
    for msn in (1, 2):
        deliveries.comes(administrative(msn), "device:desk-1")
    for _ in range(3):
        assert mute(deliveries, "device:desk-1", "desk-1").closed
    assert [entry.msn for entry in deliveries.operator_queue.entries()] == [1]
    [message] = waiting(deliveries, "device:desk-1")
    assert (message.msn, message.unanswered) == (2, 0), "it was behind the other, and is no worse for it"


async def test_a_connection_lost_before_its_time_counts_for_nothing(deliveries: Delivering) -> None:
    for _ in range(5):
        desk = at("desk-1")
        deliveries.attach("device:desk-1", desk)
        if not deliveries.undelivered("device:desk-1"):
            deliveries.comes(administrative(1), "device:desk-1")
        deliveries.pump("device:desk-1")
        deliveries.tick()
        deliveries.detach(desk)
    [message] = waiting(deliveries, "device:desk-1")
    assert message.unanswered == 0
