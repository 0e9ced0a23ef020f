"""What an operator is shown of queues, whatever has become of those they belong to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from msc.transit.event import OPERATOR_QUEUE
from tests.support.operated import Operated
from tests.switch.test_queue_work import AM, INQUIRY

pytestmark = pytest.mark.requirement("C-ADMIN")


@pytest.fixture
async def switch(tmp_path: Path) -> AsyncIterator[Operated]:
    made = Operated(tmp_path)
    await made.start()
    yield made
    await made.stop()


async def test_what_waits_for_a_device_that_is_no_more_hides_no_other_queue(switch: Operated) -> None:
    gone = await switch.sends(AM.format("A124"))
    await switch.sends(AM.format("P001"))
    switch.point.directory.replace([], [("device", "desk-2")])
    queues = (await switch.order("queue_list")).answer["queues"]
    assert [row["address"] for row in queues] == ["device:desk-2", "device:printer-1"]
    assert (await switch.order("queue_show", msn=gone)).answer["waits_at"] == ["device:desk-2"]


async def test_what_waits_for_a_device_that_is_no_more_is_for_the_operator_to_decide(switch: Operated) -> None:
    gone = await switch.sends(AM.format("A124"))
    switch.point.directory.replace([], [("device", "desk-2")])
    switch.deliveries.tick()
    (entry,) = switch.deliveries.operator_queue.entries()
    assert entry.msn == gone
    assert entry.facts == {"meant": "device:desk-2", "why": "device:desk-2 is gone from the directory"}
    await switch.settled()
    assert switch.writer.owed[gone].keys() == {OPERATOR_QUEUE}


async def test_an_answer_for_somebody_who_is_no_more_is_for_the_operator_to_decide(switch: Operated) -> None:
    inquiry = await switch.sends(INQUIRY)
    switch.point.directory.replace([], [("device", "desk-1")])
    answer = await switch.comes(f"{(await switch.record(inquiry)).header}.NO RECORD")
    assert [entry.msn for entry in switch.deliveries.operator_queue.entries()] == [answer]
    queues = (await switch.order("queue_list")).answer["queues"]
    assert OPERATOR_QUEUE in [row["address"] for row in queues]
