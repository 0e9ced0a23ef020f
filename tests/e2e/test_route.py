"""Routes and groups of a running switch: bulletins, copies, and tables that are swapped while messages pass."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from msc.cli.identity import operator_key
from msc.control.client import ask
from msc.settings import load_settings
from tests.e2e.conftest import assert_quiet
from tests.support.mtp_client import TIMEOUT_S, Refused, Station
from tests.support.site import ASKING, GROUPS, Site, run_msc

TABLES = {
    name: f'[[route]]\nname = "{name}"\nkeys = ["IV.4"]\nto = ["{line}"]\n\n'
    for name, line in (("first", "clets-a"), ("second", "ncic-a"))
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A running demo site; those who send to the police see to it that the printer gets a copy."""
    made = Site.make(tmp_path_factory.mktemp("routes") / "site")
    try:
        made.quick_lines()
        (made.folder / "groups.toml").write_text(GROUPS)
        made.edit("routes.toml", (r'(keys = \["IA.QV", "IG.QG"\])', r'\1\nstations = ["PRINTER1"]'))
        made.serve()
        made.simulate()
        made.wait_lines()
        yield made
    finally:
        made.stop()
    assert_quiet(made)


async def msc(site: Site, *command: str | Path) -> tuple[int, list[dict[str, Any]]]:
    """Run `msc route VERB` as an operator, beside what is under way here."""
    done = await asyncio.to_thread(run_msc, "route", command[0], site.toml, *command[1:], *ASKING, "--json")
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


async def reload(site: Site) -> dict[str, Any]:
    """Ask for it as the command does."""
    settings = load_settings(site.toml)
    found: dict[str, Any] = await ask(
        settings, "POST", "/routing/reload", {"reason": "a test"}, operator_key(settings, "admin")
    )
    return found


def ended_at(site: Site, msn: int) -> set[str]:
    (found,) = site.journal("--msn", str(msn))
    return {event["destination"] for event in found["events"] if event["event"] == "routed"}


@pytest.mark.requirement("C-ADMIN", "C-STAFFED")
async def test_a_bulletin_reaches_every_station_of_its_group_once_and_not_its_sender(site: Site) -> None:
    async with site.signed_on("DISPATCH1") as desk, site.signed_on("RECORDS1", "P50110") as records:
        async with site.station("PRINTER1") as printer:
            await printer.open()
            msn = await desk.send("AM.CA0990000.EXAPB,EXA2.TXT BE ON THE LOOKOUT", {"ref": "apb"})
            # Who is named besides gets it as a message of their own.
            for station, kind in ((records, "unsolicited"), (printer, "broadcast")):
                found = await station.receive(lambda each: "LOOKOUT" in each.text)
                assert found.kind == kind
        assert ended_at(site, msn) == {"device:RECORDS1", "device:PRINTER1"}
        with pytest.raises(Refused, match="E306"):
            await desk.send("AM.CA0990000.EXAPBX.TXT NOBODY")
        assert not [each for each in desk.deliveries if "LOOKOUT" in each.text]


@pytest.mark.requirement("C-ADMIN")
async def test_a_route_that_names_a_station_sends_it_a_copy_of_what_goes_to_the_lines(site: Site) -> None:
    async with site.signed_on("DISPATCH1") as desk, site.station("PRINTER1") as printer:
        await printer.open()
        msn = await desk.send("IA.QV.CA0990000.LIC/1COPY1", {"ref": "copy"})
        assert (await desk.answer_to("copy")).kind == "response"
        assert "1COPY1" in (await printer.receive(lambda each: "1COPY1" in each.text)).text
    assert ended_at(site, msn) == {"line:clets-a", "line:ncic-a", "device:PRINTER1"}


async def inquiries(station: Station, name: str, stop: asyncio.Event) -> AsyncIterator[int]:
    """Ask one after the other, each answered before the next, until told to stop."""
    number = 0
    while not stop.is_set():
        number += 1
        ref = f"{name}-{number}"
        yield await station.send(f"IV.4.CA0990000.LIC/1{name}{number}", {"ref": ref})
        await station.answer_to(ref)


@pytest.mark.requirement("C-ADMIN", "F-AUDIT")
async def test_tables_are_swapped_whole_while_messages_pass_and_none_is_lost(site: Site) -> None:
    routes = site.folder / "routes.toml"
    before, stop = routes.read_text(), asyncio.Event()
    sent: list[int] = []
    more = asyncio.Queue[int]()

    async def send(station: Station, name: str) -> None:
        async for msn in inquiries(station, name, stop):
            sent.append(msn)
            more.put_nowait(msn)

    async with site.signed_on("DISPATCH1") as desk, site.signed_on("MOBILE1", "K20331") as car:
        senders = [asyncio.create_task(send(desk, "D")), asyncio.create_task(send(car, "M"))]
        try:
            for name in ("first", "second", "first", "second"):
                routes.write_text(TABLES[name] + before)
                found = await reload(site)
                assert (found["reloaded"], found["routes"]) == (True, 6)
                while not more.empty():
                    more.get_nowait()
                async with asyncio.timeout(TIMEOUT_S):
                    for _ in range(4):
                        await more.get()
            routes.write_text(TABLES["first"].replace("clets-a", "clets-z") + before)
            found = await reload(site)
            assert not found["reloaded"]
            assert [each["problem"] for each in found["faults"]] == ["there is no line 'clets-z'"]
        finally:
            stop.set()
            await asyncio.gather(*senders)
            routes.write_text(before)
        assert await msc(site, "reload") == (0, [{"reloaded": True, "routes": 5, "groups": 3, "forwards": 0}])
    taken: dict[str, set[str]] = {}
    rows = {row["msn"]: row for row in site.journal("--key", "IV.4", "--kind", "inquiry", "--limit", "10000")}
    for msn in sent:
        row = rows[msn]
        routed = [event for event in row["events"] if event["event"] == "routed"]
        assert [event["event"] for event in row["events"]].count("answered") == len(routed) == 1
        taken.setdefault(routed[0]["detail"], set()).add(routed[0]["destination"])
    # After each swap the next messages went by the new table, and the refused one never decided anything.
    everything = {"everything else goes to the state": {"line:clets-a"}}
    assert {**everything, **taken} == {**everything, "first": {"line:clets-a"}, "second": {"line:ncic-a"}}
    reloads = [json.loads(row["detail"]) for row in site.audit("--event", "route.reloaded")]
    assert [each["routes"] for each in reloads] == [5, 6, 6, 6, 6]
    assert len(site.audit("--event", "route.reload_refused")) == 1


async def test_a_replay_lists_journaled_messages_that_would_go_elsewhere(site: Site) -> None:
    new = site.folder / "new.toml"
    new.write_text(
        '[[route]]\nname = "one car"\nkeys = ["IW.QW"]\nfields = { NAM = ["REPLAYED*"] }\nto = ["clets-a"]\n\n'
        + (site.folder / "routes.toml").read_text()
    )
    async with site.signed_on("DISPATCH1") as desk:
        msn = await desk.send("IW.QW.CA0990000.NAM/REPLAYED,SAM", {"ref": "a"})
        await desk.send("IW.QW.CA0990000.NAM/OTHER,SAM", {"ref": "b"})
        for ref in ("a", "b"):
            await desk.answer_to(ref)
    code, (item,) = await msc(site, "replay", new, "--since", "2h")
    assert code == 0
    assert (item["msn"], item["mnemonic"], item["old"], item["new"]) == (
        msn, "EXA1", ["line:clets-a", "line:ncic-a"], ["line:clets-a"],
    )  # fmt: skip
    assert "REPLAYED" not in json.dumps(item)
    (event,) = site.audit("--event", "route.replayed")
    assert json.loads(event["detail"])["elsewhere"] == 1
    code, (found,) = await msc(site, "diff", new, "--running")
    assert (code, found["changes"]) == (0, [{"change": "added", "route": "one car"}])
    code, rows = await msc(site, "list", "--running")
    assert "one car" not in {row["name"] for row in rows}
