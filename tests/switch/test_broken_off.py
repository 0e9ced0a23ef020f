"""An order whose asker has gone before it was stored: the journal goes on writing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from msc.switch.orders.verb import Order
from tests.support.operated import Operated
from tests.switch.test_queue_work import INQUIRY

pytestmark = pytest.mark.requirement("C-JOURNAL")


@pytest.fixture
async def switch(tmp_path: Path) -> AsyncIterator[Operated]:
    made = Operated(tmp_path)
    await made.start()
    yield made
    await made.stop()


async def broken_off(switch: Operated, order: Order) -> None:
    """Give an order, and leave while it is being stored."""
    before = switch.writer.allot()
    giving = asyncio.create_task(switch.operations.perform(order))
    while switch.writer.allot() == before and not giving.done():
        await asyncio.sleep(0)
    assert not giving.done()
    giving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await giving
    for _ in range(200):
        await asyncio.sleep(0.001)
        if not switch.writer.busy or switch.writing.done():
            break
    assert not switch.writing.done(), "the writer has ended, and with it the switch"


async def test_a_test_message_nobody_waits_for_any_more(switch: Operated) -> None:
    switch.receives("desk-2")
    await broken_off(switch, Order("echo", {"device": "desk-2"}, "roe", "is it there"))


async def test_an_edited_message_nobody_waits_for_any_more(switch: Operated) -> None:
    await switch.order("intercept_set", name="all", criteria={"agencies": ["EXLP"]})
    msn = await switch.sends(INQUIRY)
    await broken_off(switch, Order("intercept_edit", {"msn": msn, "text": INQUIRY}, "roe", "a typing error"))
