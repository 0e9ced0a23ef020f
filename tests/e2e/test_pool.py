"""Pooled mnemonics: five for ten people, given back in every way a session can end, and never held twice."""

from __future__ import annotations

import asyncio
import contextlib
import re
import sqlite3
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from msc.directory.rows import LateAnswers, Pool, Status
from tests.e2e.conftest import assert_quiet
from tests.support.county import mnemonic, terminal
from tests.support.mtp_client import TIMEOUT_S, Refused, Station, control
from tests.support.office import (
    PASSWORD,
    becomes_true,
    comes_true,
    edit,
    entry,
    person,
    prepare,
    reinstate,
    rows,
    suspend,
)
from tests.support.site import Site

HEARTBEAT_S = 1
FLEET = [f"EXF{number}" for number in range(1, 6)]
CARS = [f"CAR{number}" for number in range(10)]
CREW = [f"F0000{number}" for number in range(10)]
QUIET_CAR = "CARQ"
"""Of a class that is locked after a second and signed off after two."""
NIGHT = ("CARN1", "CARN2")
"""Cars of a pool whose late answers go to the printer."""
INQUIRY = "IV.4.CA0990000.LIC/"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A running switch with a pool of five and ten cars; its lines have nothing at their other end."""
    made = Site.make(tmp_path_factory.mktemp("pool") / "site")
    try:
        made.quick_lines()
        made.edit(
            "msc.toml",
            (r"^drain_s = \d+", "drain_s = 1"),
            (r"^heartbeat_s = \d+", f"heartbeat_s = {HEARTBEAT_S}"),
            (r"^\[catalog\]", "[device_class.brief]\nidle_lock_s = 1\nidle_end_s = 2\n\n[catalog]"),
        )
        prepare(
            made,
            *rows(
                Pool("FLEET", "EXSO", "APB 2026-1", unsolicited_to="PRINTER1"),
                Pool("NIGHT", "EXSO", "APB 2026-2", unsolicited_to="PRINTER1", late_answers=LateAnswers.DESTINATION),
                *(mnemonic(name, "EXSO", pool="FLEET") for name in FLEET),
                mnemonic("EXN1", "EXSO", pool="NIGHT"),
                *(terminal(name, agency="EXSO", pool="FLEET") for name in CARS),
                terminal(QUIET_CAR, agency="EXSO", pool="FLEET", device_class="brief"),
                *(terminal(name, agency="EXSO", pool="NIGHT") for name in NIGHT),
            ),
            *(entry(made, person(user)) for user in CREW),
        )
        made.serve()
        yield made
    finally:
        made.stop()
    assert_quiet(made)


def free(site: Site, pool: str = "FLEET") -> int:
    """Ask the monitor how many of a pool's mnemonics are free."""
    found = re.search(rf'^msc_pool_free\{{pool="{pool}"\}} (\d+)', site.monitor("/metrics")[1], re.MULTILINE)
    assert found
    return int(found[1])


async def all_come_back(site: Site, timeout_s: float = TIMEOUT_S) -> None:
    """Wait until nothing of the pool is out."""

    async def back() -> bool:
        return await asyncio.to_thread(free, site) == len(FLEET)

    await becomes_true(back, "the return of all five", timeout_s)


@contextlib.asynccontextmanager
async def crews(site: Site, count: int) -> AsyncIterator[list[Station]]:
    """Connect cars; all are signed off at the end, and every mnemonic is free again."""
    async with contextlib.AsyncExitStack() as stack:
        yield [await stack.enter_async_context(site.station(car)) for car in CARS[:count]]
    await all_come_back(site)


async def board(station: Station, number: int, **more: Any) -> str:
    """Sign the crew member of a number on; return the mnemonic, or the code of the refusal."""
    try:
        told = await station.sign_on(CREW[number], PASSWORD, **more)
    except Refused as refused:
        return refused.code
    assert told["pooled"] is True
    return str(told["mnemonic"])


def leases(site: Site, where: str = "1") -> list[sqlite3.Row]:
    """Read who held what, the oldest first."""
    with contextlib.closing(sqlite3.connect(site.folder / "data" / "directory.db")) as database:
        database.row_factory = sqlite3.Row
        return database.execute(f"SELECT * FROM lease WHERE pool = 'FLEET' AND {where} ORDER BY began").fetchall()


@pytest.mark.requirement("C-POOL")
async def test_of_ten_who_come_at_once_five_are_served_and_each_who_leaves_lets_one_in(site: Site) -> None:
    async with crews(site, 10) as cars:
        told = await asyncio.gather(*(board(car, number) for number, car in enumerate(cars)))
        inside = [number for number, held in enumerate(told) if held in FLEET]
        outside = [number for number, held in enumerate(told) if held == "E106"]
        assert sorted(told[number] for number in inside) == FLEET and len(outside) == 5
        for leaver, comer in zip(inside, outside, strict=True):
            assert await board(cars[comer], comer) == "E106"
            await cars[leaver].sign_off()
            assert await board(cars[comer], comer) == told[leaver]
        assert {row["mnemonic"] for row in leases(site, "ended IS NULL")} == set(FLEET)


@pytest.mark.requirement("C-POOL")
async def test_the_mnemonic_that_has_rested_longest_is_given_out_first(site: Site) -> None:
    async with crews(site, 5) as cars:
        held = [await board(car, number) for number, car in enumerate(cars)]
        order = [3, 0, 4, 1, 2]
        for number in order:
            await cars[number].sign_off()
        assert [await board(car, number) for number, car in enumerate(cars)] == [held[number] for number in order]


@pytest.mark.requirement("C-POOL")
async def test_a_mnemonic_asked_for_by_name_is_had_or_is_in_use(site: Site) -> None:
    async with crews(site, 2) as (one, two):
        assert await board(one, 0, mnemonic=FLEET[3], pool="FLEET") == FLEET[3]
        assert await board(two, 1, mnemonic=FLEET[3]) == "E107"
        assert await board(two, 1, mnemonic="EXN1") == "E105"


@pytest.mark.requirement("C-POOL")
@pytest.mark.parametrize(
    "how", ["signed off", "closed", "cut", "silent", "idle", "locked out", "suspended", "removed from the pool"]
)
async def test_a_mnemonic_comes_back_however_its_session_ends(site: Site, how: str) -> None:
    car = QUIET_CAR if how == "idle" else CARS[0]
    wire = await site.wire(car)
    if how == "silent":  # it answers no ping, and its end of the connection stays
        await wire.write(control(type="sign_on", user=CREW[0], password=PASSWORD, banner_accepted=True))
        while (frame := await wire.read_soon()) is not None and frame.control()["type"] != "signed_on":
            assert frame.control()["type"] == "hello", frame
        assert frame is not None
        held = frame.control()["mnemonic"]
        await all_come_back(site, 5 * HEARTBEAT_S)
        await wire.abort()
    else:
        station = Station(wire)
        await station.greeted()
        held = await board(station, 0)
        if how == "signed off":
            await station.sign_off()
        elif how == "cut":
            await station.abort()
        elif how == "suspended":
            await edit(site, "user", CREW[0], status=Status.SUSPENDED)
            assert (await station.control("signed_off"))["reason"]
            await edit(site, "user", CREW[0], status=Status.ACTIVE)
        elif how == "removed from the pool":
            await edit(site, "mnemonic", held, pool="NIGHT")
            assert (await station.control("signed_off"))["reason"]
            await edit(site, "mnemonic", held, pool="FLEET")
        elif how == "locked out":
            await station.say(type="lock")
            await station.control("locked")
            for _ in range(5):
                await station.say(type="unlock", password="w" * 12)
                assert (await station.control("refused"))["code"] == "E101"
            assert "locked" in (await station.control("signed_off"))["reason"]
            await reinstate(site, "user", CREW[0])
        elif how == "idle":
            assert (await station.control("locked"))["reason"] == "idle"
            assert (await station.control("signed_off"))["reason"] == "idle"
        await station.close()
        await all_come_back(site)
    await comes_true(lambda: leases(site)[-1]["ended"], "the end of the lease")
    assert leases(site)[-1]["mnemonic"] == held
    async with crews(site, 1) as (again,):
        assert await board(again, 1, mnemonic=held) == held


@pytest.mark.requirement("C-POOL", "F-AUDIT")
async def test_when_the_switch_is_killed_all_are_free_again_and_none_was_held_twice(site: Site) -> None:
    async with contextlib.AsyncExitStack() as stack:
        cars = [Station(await site.wire(car)) for car in CARS[:5]]
        for car in cars:
            stack.push_async_callback(car.abort)
            await car.greeted()
        held = [await board(car, number) for number, car in enumerate(cars)]
        for number in (2, 0, 4):
            await cars[number].sign_off()
        await comes_true(lambda: len(leases(site, "ended IS NULL")) == 2, "the end of three leases")
        out = {row["session"]: row["mnemonic"] for row in leases(site, "ended IS NULL")}
        assert set(out.values()) == {held[1], held[3]}
        await asyncio.to_thread(site.processes[-1].kill)
    await asyncio.to_thread(site.serve)
    assert free(site) == len(FLEET)
    for row in leases(site, f"session IN ({', '.join(repr(session) for session in out)})"):
        assert row["end_reason"] == "the switch had stopped" and row["ended"] > row["began"]
    events = await asyncio.to_thread(site.audit, "--event", "lease.ended", "--text", "the switch had stopped")
    assert {row["session"]: row["mnemonic"] for row in events if row["session"] in out} == out
    async with crews(site, 6) as again:
        given = [await board(car, number) for number, car in enumerate(again)]
        assert given[:3] == [held[2], held[0], held[4]]  # the longest rested first, as if nothing had been
        assert set(given[3:5]) == {held[1], held[3]} and given[5] == "E106"
    by_mnemonic: dict[str, int] = {}
    for row in leases(site):  # no lease began before the one before it had ended
        assert by_mnemonic.get(row["mnemonic"], 0) <= row["began"]
        by_mnemonic[row["mnemonic"]] = row["ended"]


# --- whose the answers are ------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def printer(site: Site) -> AsyncIterator[Station]:
    """The device that unsolicited messages of the pools go to."""
    async with site.station("PRINTER1") as station:
        await station.open()
        yield station


@pytest.mark.requirement("C-POOL", "C-HDR")
@pytest.mark.parametrize("elsewhere", ["the same car", "another car", "a desk"])
async def test_a_late_answer_waits_for_who_asked_and_never_reaches_who_holds_the_mnemonic_now(
    site: Site, elsewhere: str
) -> None:
    plate = f"LATE{len(elsewhere)}"
    async with site.state() as state, printer(site) as paper, crews(site, 3) as (one, two, three):
        held = await board(one, 0)
        await one.send(INQUIRY + plate, {"ref": plate})
        asked = await state.holding(plate)
        await one.sign_off()
        assert await board(two, 1, mnemonic=held) == held
        await state.answer(asked, "LATE RECORD")
        await two.send(INQUIRY + "OTHER1", {"ref": "other"})
        await state.answer(await state.holding("OTHER1"), "THE OTHER RECORD")
        assert (await two.answer_to("other")).text == "THE OTHER RECORD"
        if elsewhere == "a desk":
            async with site.signed_on("DISPATCH1", CREW[0]) as desk:
                late = await desk.answer_to(plate)
        else:
            place = one if elsewhere == "the same car" else three
            assert (await place.sign_on(CREW[0], PASSWORD))["undelivered"] == 1
            late = await place.answer_to(plate)
        assert late.kind == "response" and late.text == "LATE RECORD"
        assert not [d for d in (*two.deliveries, *paper.deliveries) if "LATE" in d.text]


@pytest.mark.requirement("C-POOL", "C-UNSOL")
async def test_where_the_pool_says_so_a_late_answer_goes_to_its_printer(site: Site) -> None:
    async with site.state() as state, printer(site) as paper:
        async with site.station(NIGHT[0]) as one, site.station(NIGHT[1]) as two:
            held = await board(one, 0)
            await one.send(INQUIRY + "NIGHT1", {"ref": "night"})
            asked = await state.holding("NIGHT1")
            await one.sign_off()
            assert await board(two, 1) == held
            await state.answer(asked, "NIGHT RECORD")
            told = await paper.receive(lambda d: "NIGHT RECORD" in d.text)
            assert told.kind == "response"
            assert not two.deliveries
        # Who is there gets it at once.
        async with site.signed_on(NIGHT[0], CREW[0]) as one:
            await one.send(INQUIRY + "NIGHT2", {"ref": "at once"})
            await state.answer(await state.holding("NIGHT2"), "DAY RECORD")
            assert (await one.answer_to("at once")).text == "DAY RECORD"
        assert not [d for d in paper.deliveries if "DAY RECORD" in d.text]


@pytest.mark.requirement("C-UNSOL")
async def test_an_unsolicited_message_for_a_pooled_mnemonic_is_printed_and_never_shown_to_its_holder(
    site: Site,
) -> None:
    async with site.state() as state, printer(site) as paper, crews(site, 2) as (one, two):
        held = await board(one, 0)
        assert await state.links[0].send(f"{held}00001A.HIT ON YOUR RECORD") == ""
        told = await paper.receive(lambda d: "HIT ON YOUR RECORD" in d.text)
        assert told.kind == "unsolicited"
        await board(two, 1)
        await two.send(f"AM.CA0990000.{held}.TXT TO WHOEVER DRIVES IT")
        assert (await paper.receive(lambda d: "WHOEVER" in d.text)).kind == "unsolicited"
        await one.send(INQUIRY + "AFTER1", {"ref": "after"})  # what comes now comes after anything before
        await state.answer(await state.holding("AFTER1"), "NO RECORD")
        await one.answer_to("after")
        assert [d.text for d in one.deliveries] == ["NO RECORD"]


@pytest.mark.requirement("C-POOL", "C-SANCTION")
async def test_a_pooled_mnemonic_taken_out_is_given_to_nobody_and_its_session_ends(site: Site) -> None:
    async with crews(site, 5) as cars:
        held = await board(cars[0], 0)
        other = await board(cars[1], 1)
        await suspend(site, "mnemonic", held, "by order of the state")
        told = await cars[0].control("signed_off")
        assert held in told["reason"]
        assert await board(cars[0], 0, mnemonic=held) == "E105"
        given = [await board(cars[number], number) for number in (0, 2, 3, 4)]
        assert sorted(given) == sorted([*(set(FLEET) - {held, other}), "E106"])
        assert await cars[1].send(INQUIRY + "STILL1") > 0
        await reinstate(site, "mnemonic", held)
        assert await board(cars[4], 4) == held
