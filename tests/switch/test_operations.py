"""Lines and devices held, alternates, notices, and what of it is still in force after a restart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from msc.journal.reader import Entry
from msc.limits import INTERCEPT_RULES_MAX
from msc.protocol.line_state import LineState
from msc.routing.forwarding import Alternate, Forward, Forwarding
from msc.routing.period import Period
from msc.switch.orders.in_force import load_orders
from msc.switch.orders.verb import BadOrder, Order, OrderRefused
from msc.switch.port import Presence
from msc.switch.trunk import Trunk
from tests.support.operated import Operated
from tests.support.port import FakeLine, FakeStation
from tests.switch.test_queue_work import AM, INQUIRY

pytestmark = pytest.mark.requirement("C-ADMIN", "F-AUDIT")


@pytest.fixture
async def switch(tmp_path: Path) -> AsyncIterator[Operated]:
    made = Operated(tmp_path)
    await made.start()
    yield made
    await made.stop()


async def again(switch: Operated) -> Operated:
    """Stop a switch, and start another from what it left."""
    await switch.stop()
    other = Operated(switch.folder)
    await other.start()
    return other


def row(rows: list[dict[str, Any]], member: str, value: str) -> dict[str, Any]:
    return next(each for each in rows if each[member] == value)


async def line(switch: Operated, name: str = "clets-a") -> dict[str, Any]:
    return row((await switch.order("line_status")).answer["lines"], "line", name)


async def device(switch: Operated, name: str) -> dict[str, Any]:
    return row((await switch.order("device_status", device=name)).answer["devices"], "device", name)


# --- lines ----------------------------------------------------------------------------------------------------


async def test_a_held_line_sends_nothing_until_it_is_released(switch: Operated) -> None:
    outcome = await switch.order("line_hold", line="clets-a")
    assert outcome.before == {"line": "clets-a", "state": "open", "held": False}
    assert outcome.after == outcome.answer == {"line": "clets-a", "state": "held", "held": True}
    await switch.sends(INQUIRY)
    assert switch.line.sent == []
    assert switch.told() == ["E402 clets-a is held by an operator; queued, will be sent to clets-a"]
    found = await line(switch)
    assert (found["waiting"], found["awaiting"], found["why"]) == (
        {"response": 1}, 1, "clets-a is held by an operator",
    )  # fmt: skip
    with pytest.raises(OrderRefused, match="held already, by roe"):
        await switch.order("line_hold", line="clets-a")
    await switch.order("line_release", line="clets-a")
    switch.traffic.line_writable(switch.line)  # as a line says when it is released
    assert len(switch.line.sent) == 1
    with pytest.raises(OrderRefused, match="is not held"):
        await switch.order("line_release", line="clets-a")


async def test_a_destination_is_held_with_its_backup_and_a_backup_alone(switch: Operated) -> None:
    backup = FakeLine("clets-b")
    switch.traffic.connect([Trunk([switch.line, backup]), Trunk([switch.other])])
    lines: dict[str, Any] = {"clets-a": switch.line, "clets-b": backup, "ncic-a": switch.other}
    switch.operations._lines = lines
    await switch.order("line_hold", line="clets-a")
    assert (switch.line.state, backup.state) == (LineState.HELD, LineState.HELD)
    assert (await line(switch, "clets-b"))["why"] == "backup of clets-a"
    await switch.order("line_hold", line="clets-b")
    await switch.order("line_release", line="clets-a")
    assert (switch.line.state, backup.state) == (LineState.OPEN, LineState.HELD)


async def test_what_the_state_said_of_its_service_counts_no_more_when_an_operator_says_so(switch: Operated) -> None:
    switch.traffic.line_message(switch.line, 1, b"A123000000.$.V")
    await switch.settled()
    assert (await line(switch))["why"] == "ACHS: out of service, says the state"
    outcome = await switch.order("line_release", line="clets-a")
    assert (outcome.before["out_of_service"], "out_of_service" in outcome.after) == (["ACHS"], False)
    switch.traffic.line_message(switch.line, 2, b"A123000000.$.2")
    await switch.settled()
    assert (await line(switch))["why"] == "clets-a is out of service, by the state's word ($.2)"
    await switch.order("line_hold", line="clets-a")
    await switch.order("line_release", line="clets-a")
    assert (await line(switch))["why"] is None
    with pytest.raises(OrderRefused, match="is not held"):
        await switch.order("line_release", line="clets-a")


async def test_a_line_is_tested_and_restarted_and_one_that_is_not_there_is_told(switch: Operated) -> None:
    assert (await switch.order("line_test", line="clets-a")).answer == {"line": "clets-a", "ms": 0.0}
    await switch.order("line_restart", line="clets-a")
    assert switch.line.restarts == ["restarted by an operator"]
    for verb in ("line_hold", "line_release", "line_restart", "line_test", "line_status"):
        with pytest.raises(OrderRefused, match="there is no line nope; lines are clets-a, ncic-a"):
            await switch.order(verb, line="nope")


async def test_since_when_a_line_stands_as_it_does_is_noted(switch: Operated) -> None:
    before = await line(switch)
    assert (before["state"], before["carried_by"]) == ("open", "clets-a")
    switch.line.is_open = False
    switch.traffic.line_lost(switch.line, "cut")
    after = await line(switch)
    assert (after["state"], after["carried_by"], after["why"]) == ("down", None, "the line is down")
    assert after["since"] > before["since"]


# --- devices --------------------------------------------------------------------------------------------------


async def test_a_held_device_gets_nothing_until_it_is_released(switch: Operated) -> None:
    switch.receives("desk-2")
    await switch.order("device_hold", device="desk-2")
    await switch.sends(AM.format("A124"))
    found = await device(switch, "desk-2")
    assert (found["state"], found["held"], found["waiting"], found["unacknowledged"], found["why"]) == (
        "active", True, {"administrative": 1}, 0, "held by an operator",
    )  # fmt: skip
    await switch.order("device_release", device="desk-2")
    assert (await device(switch, "desk-2"))["unacknowledged"] == 1


async def test_a_held_terminal_gets_nothing_for_its_person_either(switch: Operated) -> None:
    station = FakeStation(switch.device("car-1"))
    switch.deliveries.attach("user:J40217", station)
    await switch.order("device_hold", device="car-1")
    await switch.sends(AM.format("A124"))
    await switch.order("queue_move", from_="device:desk-2", to="user:J40217", all=True)
    assert len(switch.queued("user:J40217")) == 1
    (queue,) = (await switch.order("queue_list")).answer["queues"]
    assert queue["why"] == "held by an operator"
    other = FakeStation(switch.device("desk-1"))
    switch.deliveries.attach("user:J40217", other)
    switch.deliveries.pump("user:J40217")
    assert switch.queued("user:J40217") == [], "at another terminal they get it"
    switch.deliveries.detach(other)
    assert len(switch.queued("user:J40217")) == 1
    await switch.order("device_release", device="car-1")
    assert switch.queued("user:J40217") == []


async def test_a_device_is_seen_with_who_is_there_and_restarted(switch: Operated) -> None:
    assert (await device(switch, "desk-2"))["state"] == "not connected"
    with pytest.raises(OrderRefused, match="desk-2 is not connected"):
        await switch.order("device_restart", device="desk-2")
    switch.receives("desk-2")
    assert (await device(switch, "desk-2"))["people"] == ["J40217"]
    assert (await switch.order("device_restart", device="desk-2")).answer == {"device": "desk-2", "ended": 1}
    assert switch.stations.ended == ["desk-2", "desk-2"]
    with pytest.raises(OrderRefused, match="there is no device nope"):
        await switch.order("device_hold", device="nope")


# --- alternates -----------------------------------------------------------------------------------------------


async def test_another_device_takes_over_for_one_that_is_down_and_gives_back_what_comes_later(
    switch: Operated,
) -> None:
    before = await switch.sends(AM.format("A124"))
    await switch.order("alternate_set", for_="device:desk-2", to="device:printer-1")
    assert [message.msn for message in switch.queued("device:printer-1")] == [before], "also what waits already"
    assert switch.queued("device:printer-1")[0].original_mnemonic == "A124"
    (found,) = (await switch.order("alternate_list")).answer["alternates"]
    assert (found["for"], found["to"], found["in_use"], found["by"]) == (
        "device:desk-2", "device:printer-1", True, "roe",
    )  # fmt: skip
    switch.receives("desk-2")
    after = await switch.sends(AM.format("A124"))
    assert [message.msn for message in switch.queued("device:printer-1")] == [before]
    assert after in switch.writer.owed
    await switch.order("alternate_clear", for_="device:desk-2")
    with pytest.raises(OrderRefused, match="nobody takes over for device:desk-2"):
        await switch.order("alternate_clear", for_="device:desk-2")


@pytest.mark.requirement("C-TAMF")
async def test_what_the_forwarding_file_says_is_listed_and_an_operators_alternate_takes_its_place(
    switch: Operated,
) -> None:
    night = Forward("records", "desk-1", "printer-1", Period("UTC"))
    switch.redirection.use(Forwarding([night], [Alternate("desk-2", "printer-1")]))

    async def listed() -> list[tuple[str, str, bool, str]]:
        found = (await switch.order("alternate_list")).answer["alternates"]
        return [(row["for"], row["to"], row["in_use"], row["by"]) for row in found]

    file = ("device:desk-2", "device:printer-1", True, "forwarding file")
    assert await listed() == [("device:desk-1", "device:printer-1", True, "forwarding file"), file]
    await switch.order("alternate_set", for_="device:desk-2", to="device:desk-1")
    assert file not in await listed()
    cleared = (await switch.order("alternate_clear", for_="device:desk-2")).answer
    assert cleared["again"] == "device:printer-1"
    assert file in await listed()


@pytest.mark.requirement("C-STAFFED")
async def test_what_must_be_before_somebodys_eyes_has_no_alternate_where_nobody_is(switch: Operated) -> None:
    with pytest.raises(OrderRefused, match="neither a printer nor staffed"):
        await switch.order("alternate_set", for_="device:desk-2", to="device:car-1")
    with pytest.raises(OrderRefused, match="there is no device 'nope'"):
        await switch.order("alternate_set", for_="device:desk-2", to="device:nope")
    assert (await switch.order("alternate_list")).answer["alternates"] == []
    assert not switch.file.exists()


async def test_a_line_is_carried_by_the_one_the_operator_wants(switch: Operated) -> None:
    backup = FakeLine("clets-b")
    trunk = Trunk([switch.line, backup])
    switch.traffic.connect([trunk, Trunk([switch.other])])
    for each in (switch.line, backup):
        switch.traffic.line_opened(each)
    await switch.order("alternate_set", for_="line:clets-a", to="line:clets-b")
    trunk.tick(1e9)
    assert trunk.active is backup
    with pytest.raises(OrderRefused, match="can be carried by line:clets-a, line:clets-b"):
        await switch.order("alternate_set", for_="line:clets-a", to="line:ncic-a")
    await switch.order("alternate_clear", for_="line:clets-a")
    trunk.tick(2e9)
    assert trunk.active is switch.line


# --- intercept rules ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("criteria", "why"),
    [
        ({"keys": ["ZZ.*"]}, "no key of the catalog matches"),
        ({"key": ["IV.4"]}, "criteria.key: Extra inputs"),
        ({"keys": "IV.4"}, "criteria.keys: "),
        ({"keys": []}, "must look at something"),
        ({"fields": {"LIC": []}}, "must look at something"),
        ({"fields": {"lic": ["7*"]}}, "criteria.fields"),
    ],
)
async def test_a_rule_that_is_none_is_told(switch: Operated, criteria: dict[str, Any], why: str) -> None:
    with pytest.raises(BadOrder) as told:
        await switch.order("intercept_set", name="watch", criteria=criteria)
    assert why in str(told.value)
    assert (await switch.order("intercept_list")).answer == {"rules": [], "held": []}


async def test_rules_are_bounded_since_each_is_looked_at_for_each_message(switch: Operated) -> None:
    for number in range(INTERCEPT_RULES_MAX):
        await switch.order("intercept_set", name=f"watch-{number}", criteria={"agencies": ["SHERIFF"]})
    await switch.order("intercept_set", name="watch-0", criteria={"agencies": ["EXLP"]})
    with pytest.raises(OrderRefused, match=f"there are {INTERCEPT_RULES_MAX} rules already"):
        await switch.order("intercept_set", name="one-more", criteria={"agencies": ["EXLP"]})


# --- notices --------------------------------------------------------------------------------------------------


async def test_a_notice_goes_to_one_device_an_agencys_or_all_and_says_who_got_it(switch: Operated) -> None:
    for name in ("desk-1", "desk-2", "s-desk"):
        switch.receives(name)
    switch.stations.there.append(Presence(99, switch.device("printer-1"), "open", 1, (), "device:printer-1", True))
    outcome = await switch.order("notice_send", text="STATE DOWN AT 0300", agency="EXLP")
    assert outcome.after == outcome.answer
    assert outcome.answer["to"] == [
        {"device": "desk-1", "people": ["J40217"]},
        {"device": "desk-2", "people": ["J40217"]},
    ]
    await switch.order("notice_send", text="TO ALL", all=True)
    await switch.order("notice_send", text="TO ONE", device="printer-1")
    assert [where for where, text in switch.stations.notices if text == "TO ALL"] == ["desk-1", "desk-2", "s-desk"]
    assert [where for where, text in switch.stations.notices if text == "TO ONE"] == ["printer-1"]
    for asked in ({"device": "nope"}, {"agency": "NOPE"}):
        with pytest.raises(OrderRefused, match="there is no"):
            await switch.order("notice_send", text="A", **asked)
    with pytest.raises(BadOrder, match="character"):
        await switch.order("notice_send", text="\x1b[2J", all=True)


# --- what others serve ----------------------------------------------------------------------------------------


class Board:
    """A bulletin board with one bulletin."""

    async def post(self, text: str, until_us: int | None, by: str) -> dict[str, Any]:
        """Post."""
        return {"number": 1, "text": text, "until_us": until_us, "by": by}

    def list(self) -> list[dict[str, Any]]:
        """List."""
        return [{"number": 1}]

    async def withdraw(self, number: int, by: str) -> dict[str, Any]:
        """Withdraw."""
        return {"number": number, "by": by}


class Clocks:
    """One open request."""

    def rows(self, agency: str | None = None) -> list[dict[str, Any]]:
        """Return it."""
        return [{"msn": 17}]


@pytest.mark.requirement("L-HITCONF", "L-BULLETIN")
async def test_bulletins_and_hit_confirmations_are_asked_of_who_keeps_them(switch: Operated) -> None:
    asked: dict[str, dict[str, Any]] = {
        "bulletin_post": {"text": "WANTED", "until": "2026-02-01T08:00:00Z"},
        "bulletin_list": {},
        "bulletin_withdraw": {"number": 1},
        "hitconf_list": {},
    }
    switch.operations._bulletins, switch.operations._confirmations = Board(), Clocks()  # type: ignore[assignment]
    found = {verb: (await switch.order(verb, **members)).answer for verb, members in asked.items()}
    assert found["bulletin_post"]["until_us"] == 1_769_932_800_000_000
    assert found["bulletin_list"] == {"bulletins": [{"number": 1}]}
    assert found["bulletin_withdraw"] == {"number": 1, "by": "roe"}
    assert found["hitconf_list"] == {"open": [{"msn": 17}]}


# --- after a restart ------------------------------------------------------------------------------------------


@pytest.mark.requirement("F-BACKUP")
async def test_what_was_ordered_holds_after_a_restart(switch: Operated) -> None:
    await switch.order("line_hold", line="clets-a")
    await switch.order("device_hold", device="desk-1")
    await switch.order("alternate_set", for_="device:desk-2", to="device:printer-1", always=True)
    await switch.order("intercept_set", name="watch", criteria={"keys": ["IV.*"]})
    other = await again(switch)
    try:
        assert other.line.state is LineState.HELD
        assert (await device(other, "desk-1"))["held"]
        held = await other.sends(INQUIRY)
        moved = await other.sends(AM.format("A124"))
        assert [message.msn for message in other.queued("device:printer-1")] == [moved]
        assert [message["msn"] for message in (await other.order("intercept_list")).answer["held"]] == [held]
        await other.order("device_release", device="desk-1")
        await other.order("line_release", line="clets-a")
        assert other.line.state is LineState.OPEN
    finally:
        await switch.start()  # for the fixture to stop
        await other.stop()


async def test_orders_about_what_is_no_more_are_passed_over(switch: Operated) -> None:
    await switch.order("device_hold", device="desk-2")
    text = switch.file.read_text().replace("device:desk-2", "line:gone")
    switch.file.write_text(text)
    other = await again(switch)
    try:
        assert (await line(other))["state"] == "open"
        assert load_orders(switch.file).holds.keys() == {"line:gone"}
        await other.order("line_release", line="gone")
        assert len(load_orders(switch.file)) == 0
    finally:
        await switch.start()
        await other.stop()


async def test_an_order_that_cannot_be_kept_is_not_in_force(switch: Operated) -> None:
    switch.file.mkdir()
    with pytest.raises(Exception, match="cannot be written, so nothing is changed"):
        await switch.order("line_hold", line="clets-a")
    assert switch.line.state is LineState.OPEN
    assert not (await line(switch))["held"]


async def test_orders_are_done_one_after_the_other_and_a_look_beside_them(switch: Operated) -> None:
    async with switch.operations._lock:
        waiting = asyncio.create_task(switch.operations.perform(Order("line_hold", {"line": "clets-a"}, "roe", "x")))
        assert (await switch.operations.perform(Order("line_status", {}, "roe", ""))).answer["lines"]
        assert not waiting.done()
    await waiting
    assert switch.line.state is LineState.HELD


async def test_no_line_waits_to_be_held_for_a_journal_that_is_slow_to_search(switch: Operated) -> None:
    msn = await switch.sends(AM.format("A124"))
    asked, goes_on = asyncio.Event(), asyncio.Event()
    entries = switch.records.entries

    async def slow(msns: Sequence[int]) -> dict[int, Entry]:
        asked.set()
        await goes_on.wait()
        return await entries(msns)

    switch.records.entries = slow  # type: ignore[method-assign]
    move = asyncio.create_task(
        switch.order("queue_copy", to="device:printer-1", msn=msn),
    )
    await asked.wait()
    await switch.order("line_hold", line="clets-a")
    assert switch.line.state is LineState.HELD
    assert not move.done()
    goes_on.set()
    assert (await move).answer["msn"] == msn
