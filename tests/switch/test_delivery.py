"""Delivery to stations: what is not acknowledged waits for the next connection, whoever took over meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from msc.journal.database.opening import open_writing
from msc.journal.writer import JournalWriter
from msc.metrics import Metrics
from msc.routing.outbox import Outgoing
from msc.switch.delivery import Deliveries
from tests.support.county import county
from tests.support.journal import SIGNER
from tests.support.port import FakeStation

ADDRESS = "user:J40217"


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
