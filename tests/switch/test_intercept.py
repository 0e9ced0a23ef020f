"""What an originator is told of a message that an operator holds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.operated import Operated
from tests.switch.test_queue_work import INQUIRY


@pytest.fixture
async def switch(tmp_path: Path) -> AsyncIterator[Operated]:
    made = Operated(tmp_path)
    await made.start()
    yield made
    await made.stop()


@pytest.mark.requirement("C-TRAFFIC")
async def test_a_terminal_is_not_told_to_stop_waiting_for_what_an_operator_holds(switch: Operated) -> None:
    await switch.order("intercept_set", name="all", criteria={"agencies": ["EXLP"]})
    msn = await switch.sends(INQUIRY)
    (held,) = switch.waiting("device:desk-1")
    assert held.text.startswith("E402 ") and held.awaiting == 1, "at 0 every destination would have spoken"
    await switch.order("queue_delete", from_="operator:intercept", msns=[msn])
    (deleted,) = switch.waiting("device:desk-1")
    assert deleted.text.startswith("E401 ") and deleted.awaiting == 0
