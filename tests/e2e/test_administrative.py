"""Administrative messages, receipts and bulletins: two terminals and a printer, some of them away, and a restart."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from tests.e2e.conftest import assert_quiet
from tests.support.command import call_msc
from tests.support.mtp_client import TIMEOUT_S, Delivery, Refused, Station
from tests.support.site import Site, run_msc

GATE = "AM.CA0990000.EXA2,EXPR.TXT MEET AT THE NORTH GATE"
COURT = "AM.CA0990000.BULLETIN.TXT COURT IS CLOSED ON MONDAY"


@pytest.fixture(params=[None])
def site(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Site]:
    """A demo site with nobody at its lines' ends; the parameter is the `ack_s` of its listener."""
    made = Site.make(tmp_path_factory.mktemp("administrative") / "site")
    try:
        made.edit("msc.toml", (r"^drain_s = \d+", "drain_s = 1"))
        if request.param is not None:
            made.edit("msc.toml", (r"^(\[listener\][^\n]*)$", rf"\1\nack_s = {request.param}"))
        made.serve()
        yield made
    finally:
        made.stop()
    assert_quiet(made)


@asynccontextmanager
async def printer(site: Site) -> AsyncIterator[Station]:
    """Open the printer."""
    async with site.station("PRINTER1") as station:
        await station.open()
        yield station


async def receipts(station: Station, msn: int, **wanted: str) -> dict[str, dict[str, Any]]:
    """Ask for receipts until they say so: what a station has acknowledged is in the journal a moment later."""
    async with asyncio.timeout(TIMEOUT_S):
        while True:
            found = {row["destination"]: row for row in (await asked(station, msn))["destinations"]}
            if {name: row["state"] for name, row in found.items()} == wanted:
                return found


async def asked(station: Station, msn: int) -> dict[str, Any]:
    """Ask for receipts; whoever asks too soon after an answer is told to ask again later."""
    async with asyncio.timeout(TIMEOUT_S):
        while True:
            try:
                return await station.receipts(msn)
            except Refused as refused:
                if refused.code != "E502":
                    raise
            await asyncio.sleep(0.1)


def holding(text: str) -> Any:
    return lambda delivery: text in delivery.text


@pytest.mark.requirement("C-ADMIN", "C-STAFFED")
async def test_a_message_to_a_terminal_and_a_printer_is_receipted_by_each_as_it_gets_it(site: Site) -> None:
    async with AsyncExitStack() as open_:
        desk = await open_.enter_async_context(site.signed_on("DISPATCH1"))
        paper = await open_.enter_async_context(printer(site))
        msn = await desk.send(GATE)
        assert (await paper.receive(holding("NORTH GATE"))).kind == "unsolicited"
        before = await receipts(desk, msn, EXA2="queued", EXPR="acknowledged")
        async with site.signed_on("RECORDS1", "P50110") as records:
            assert records.session["undelivered"] == 1  # type: ignore[attr-defined]
            got = await records.receive(holding("NORTH GATE"))
            assert (got.envelope["msn"], got.envelope.get("possible_duplicate")) == (msn, None)
            after = await receipts(desk, msn, EXA2="acknowledged", EXPR="acknowledged")
            assert after["EXA2"]["at"] > before["EXA2"]["at"] and after["EXPR"] == before["EXPR"]
            for nobodys in (msn, msn + 1000):
                with pytest.raises(Refused, match="E309"):
                    await asked(records, nobodys)
    done = run_msc("send", site.toml, "--device", "DISPATCH1", "--user", "J40217", "--receipts", "--wait", "1", GATE)
    assert done.returncode == 0, done.stderr
    assert "EXA2: queued" in done.stdout and "EXPR: queued" in done.stdout


@pytest.mark.requirement("L-BULLETIN")
async def test_a_bulletin_is_seen_once_at_sign_on_and_not_after_another_nor_after_a_restart(site: Site) -> None:
    async with site.signed_on("DISPATCH1") as desk, printer(site) as paper:
        msn = await desk.send(COURT)
        printed = await paper.receive(holding("COURT"))
        assert (printed.kind, printed.envelope["msn"]) == ("broadcast", msn)
        await receipts(desk, msn, BULLETIN="queued", EXPR="acknowledged")
        async with site.signed_on("RECORDS1", "P50110") as records:
            assert (await records.receive(holding("COURT"))).kind == "broadcast"
            await receipts(desk, msn, BULLETIN="queued", EXPR="acknowledged", EXA2="acknowledged")
    await nothing_new(site)
    site.processes[-1].kill()
    site.serve()
    await nothing_new(site)
    async with site.signed_on("MOBILE1", "D10002") as car:
        assert (await car.receive(holding("COURT"))).envelope["msn"] == msn
    async with site.signed_on("DISPATCH1", "K20331") as desk:
        with pytest.raises(Refused, match="E301"):
            await desk.send(COURT)


async def nothing_new(site: Site) -> None:
    """Sign on where the bulletin was seen, and see the next message come, but not that."""
    async with site.signed_on("DISPATCH1") as desk, site.signed_on("RECORDS1", "P50110") as records:
        await desk.send("AM.CA0990000.EXA2,EXA1.TXT THE NEXT")
        for station in (desk, records):
            await station.receive(holding("THE NEXT"))
            assert [delivery.text for delivery in station.deliveries if "COURT" in delivery.text] == []


@pytest.mark.requirement("C-ADMIN", "C-TRAFFIC")
@pytest.mark.parametrize("site", [1], indirect=True)
async def test_a_terminal_that_chokes_on_a_message_is_cut_off_and_in_the_end_gets_what_was_behind_it(
    site: Site,
) -> None:
    async with site.signed_on("DISPATCH1") as desk:
        msn = await desk.send("AM.CA0990000.EXA2.TXT POISON")
        await desk.send("AM.CA0990000.EXA2.TXT MEDICINE")
        for turn in range(3):
            station = Station(await site.wire("RECORDS1"), auto_ack=False)
            await station.greeted()
            await station.sign_on("P50110", site.user("P50110")["password"])
            got = await station.receive()
            assert "POISON" in got.text and bool(got.envelope.get("possible_duplicate")) is (turn > 0)
            assert (await station.control("error"))["code"] == "E607"
            await station.ended()
            await station.close()
        await receipts(desk, msn, EXA2="operator_queue", operator="queued")
        async with site.signed_on("RECORDS1", "P50110") as records:
            medicine: Delivery = await records.receive()
            assert "MEDICINE" in medicine.text and medicine.envelope["possible_duplicate"] is True


async def told(site: Site, *words: str) -> list[dict[str, Any]]:
    """Run an administrator's command, which must succeed; return what it says as JSON."""
    done = await asyncio.to_thread(call_msc, *words[:2], site.toml, *words[2:], "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.requirement("L-BULLETIN", "C-ADMIN")
async def test_an_operator_posts_and_withdraws_and_lets_go_what_was_held(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MSC_OPERATOR", "admin")
    monkeypatch.setenv("MSC_REASON", "the parade of the year")
    async with site.signed_on("DISPATCH1") as desk:
        [posted] = await told(site, "bulletin", "post", "PARADE ON MAIN STREET")
        seen = await desk.receive(holding("PARADE"))
        assert (seen.kind, seen.envelope["source"]) == ("broadcast", "switch")
        assert seen.envelope["msn"] == posted["number"]
        await told(site, "intercept", "set", "watch", "--destination", "BULLETIN")
        msn = await desk.send(COURT)
        await receipts(desk, msn, operator="queued")
        await told(site, "intercept", "release", str(msn))
        await receipts(desk, msn, operator="forwarded", BULLETIN="queued")
        assert [row["number"] for row in await told(site, "bulletin", "list")] == [posted["number"], msn]
        await told(site, "bulletin", "withdraw", str(posted["number"]))
        async with site.signed_on("RECORDS1", "P50110") as records:
            assert (await records.receive()).text == COURT, "what was withdrawn came first"
