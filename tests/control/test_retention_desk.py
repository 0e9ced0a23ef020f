"""Orders about what the journal keeps: a refused one never looks like one that was done."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest

from msc.control.client import RefusedBySwitch, ask
from msc.control.gate import Gate
from msc.control.pipeline import Pipeline
from msc.control.retention_desk import RetentionCounter
from msc.journal.database.layout import Hold
from msc.journal.keeper import BadHold, DeletedMonth, NotToBeDeleted, RetentionKeeper
from tests.support.county import county
from tests.support.operators import Served, operator, served

WHY = {"reason": "case 26-17"}
HELD = "month 2026-11 is held"

pytestmark = pytest.mark.requirement("F-AUDIT")


class FakeKeeper:
    """Has hold 1, and one month that may go."""

    async def release_hold(self, number: int, now_us: int, by: str) -> Hold:
        if number != 1:
            raise BadHold(f"there is no hold {number}")
        return Hold(1, "People v. Roe", 202611, "", now_us, by, "r", now_us, by)

    async def delete(self, months: list[int], today: Any, by: str, reason: str) -> list[DeletedMonth]:
        if months != [202311]:
            raise NotToBeDeleted(HELD)
        return [DeletedMonth(202311, 7, 4096)]

    async def holds(self) -> list[Hold]:
        raise ZeroDivisionError(HELD)


@pytest.fixture
async def switch(tmp_path: Path) -> AsyncIterator[Served]:
    def counter(socket: Served, gate: Gate) -> RetentionCounter:
        keeper = cast("RetentionKeeper", FakeKeeper())
        return RetentionCounter(gate, keeper, Pipeline(socket.audited.append, socket.journaled))

    async with served(tmp_path, county(), retention=counter) as found:
        yield found


async def order(switch: Served, verb: str, **asked: Any) -> Any:
    return await ask(switch.settings, "POST", f"/keeping/{verb}", {**WHY, **asked}, operator("admin"))


@pytest.mark.parametrize(
    ("verb", "asked", "told"),
    [("hold_release", {"number": 1}, {"holds": [1]}), ("delete", {"months": [202311]}, {"months": [202311]})],
)
async def test_what_was_done_is_on_record_as_asked_and_as_done(
    switch: Served, verb: str, asked: dict[str, Any], told: dict[str, Any]
) -> None:
    await order(switch, verb, **asked)
    begun, done = switch.audited
    assert (begun.event, done.event) == (f"journal.{verb}", "journal.done")
    assert json.loads(begun.detail or "") == asked
    assert json.loads(done.detail or "") == {"verb": verb, **told}
    assert begun.session == done.session is not None
    assert (done.user, done.reason, done.subject) == (begun.user, begun.reason, begun.subject)


@pytest.mark.parametrize(
    ("verb", "asked", "why"),
    [
        ("hold_release", {"number": 999}, "there is no hold 999"),
        ("delete", {"months": [202611]}, HELD),
    ],
)
async def test_what_was_refused_is_on_record_as_not_done_and_says_why(
    switch: Served, verb: str, asked: dict[str, Any], why: str
) -> None:
    with pytest.raises(RefusedBySwitch, match=why):
        await order(switch, verb, **asked)
    begun, refused = switch.audited
    assert (begun.event, refused.event) == (f"journal.{verb}", "journal.not_done")
    assert json.loads(refused.detail or "") == {"verb": verb, "why": why}
    assert begun.session == refused.session is not None


async def test_nothing_is_done_that_the_journal_cannot_hold(switch: Served) -> None:
    switch.durable = False
    with pytest.raises(RefusedBySwitch, match="nothing is done"):
        await order(switch, "hold_release", number=1)
    assert [event.event for event in switch.audited] == ["journal.hold_release"]


async def test_a_fault_of_ours_is_told_without_its_words(switch: Served) -> None:
    with pytest.raises(RefusedBySwitch, match="internal fault") as told:
        await order(switch, "hold_list")
    assert HELD not in str(told.value)
