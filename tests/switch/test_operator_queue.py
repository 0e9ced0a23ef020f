"""The operator's queue: what it says of what waits, and to whom."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from msc.routing.plan import Plan
from msc.routing.table import RouteTable
from msc.switch import operator_queue
from msc.switch import switch as switch_module
from msc.switch.operator_queue import OperatorQueue
from msc.switch.orders.queue_view import why_of
from msc.transit.event import INTERCEPT, OPERATOR_QUEUE
from tests.support.operated import Operated
from tests.support.running import inquiry, on_its_way
from tests.switch.test_queue_work import INQUIRY


@pytest.mark.requirement("C-JOURNAL")
def test_an_operators_own_words_come_back_from_the_journal_and_stay_out_of_the_log() -> None:
    why = "from device:desk-1 by roe: case 26-17, DOE JOHN"
    stay = on_its_way(inquiry(), OPERATOR_QUEUE, {"why": why})
    queue = OperatorQueue()
    with capture_logs() as logged:
        queue.keep(stay)
        taken = queue.take(17)
        assert taken is not None and why_of(taken) == why
        queue.add(taken)
    assert "DOE" not in str(logged)


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Operated]:
    made = Operated(tmp_path)
    await made.start()
    yield made
    await made.stop()


@pytest.mark.requirement("C-JOURNAL")
async def test_what_was_too_much_to_list_is_listed_when_an_order_has_made_room(
    running: Operated, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operator_queue, "OPERATOR_QUEUE_MAX", 2)
    queue = running.deliveries.operator_queue
    await running.order("intercept_set", name="all", criteria={"agencies": ["EXLP"]})
    held = [await running.sends(INQUIRY) for _ in range(5)]
    assert (len(queue), [entry.msn for entry in queue.entries()]) == (5, held[:2])
    assert (await running.order("intercept_release", all=True)).answer["done"] == held[:2]
    assert [(entry.msn, why_of(entry)) for entry in queue.entries()] == [(msn, "rule all") for msn in held[2:4]]
    assert len(queue) == 3
    await running.order("queue_move", from_=INTERCEPT, to=OPERATOR_QUEUE, msns=[held[2]])
    assert len(queue) == 3, "it stands in one place"
    assert (await running.order("intercept_release", all=True)).answer["done"] == held[3:4]
    assert (await running.order("intercept_release", all=True)).answer["done"] == held[4:]
    await running.order("queue_delete", from_=OPERATOR_QUEUE, all=True)
    assert (len(queue), queue.beyond) == (0, 0)
    assert len(running.line.sent) == 4, "each once"


@pytest.mark.requirement("C-TRAFFIC")
async def test_one_terminal_cannot_fill_the_operators_queue_with_what_no_route_takes(
    running: Operated, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(switch_module, "UNROUTED_OF_DEVICE_MAX", 2)
    running.switch._intake.use(Plan(RouteTable([])))
    sent = [await running.sends(INQUIRY) for _ in range(4)]
    assert [entry.msn for entry in running.deliveries.operator_queue.entries()] == sent[:2]
    assert sent[2] not in running.writer.owed, "it was refused, and that was all"
    other = await running.sends(INQUIRY, "desk-2")
    await running.order("queue_delete", from_=OPERATOR_QUEUE, msns=[sent[0]])
    again = await running.sends(INQUIRY)
    assert [entry.msn for entry in running.deliveries.operator_queue.entries()] == [sent[1], other, again]
