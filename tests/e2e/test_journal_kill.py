"""Killed with -9 while the archivist works and checkpoints are written; and read while down, the glass broken."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import assert_quiet
from tests.support.chatter import Talker
from tests.support.command import call_msc
from tests.support.inquirer import Inquirer
from tests.support.site import Process, Site, eventually
from tests.support.tampering import Tampering

ROUNDS = 2
MINE, OTHERS = ("DISPATCH1", "J40217"), ("RECORDS1", "P50110")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A site without lines: that they are down is an event the more of each message."""
    made = Site.make(tmp_path / "site")
    try:
        made.edit("msc.toml", (r"^drain_s = \d+", "drain_s = 1"), (r'^level = "info"', 'level = "error"'))
        yield made
    finally:
        made.stop()
    assert_quiet(made)


async def one_round(site: Site, switch: Process, talkers: list[Talker], wait_s: float) -> None:
    enough = asyncio.Event()
    talks = [asyncio.create_task(talker.talk(enough)) for talker in talkers]
    before = sum(len(talker.acknowledged) for talker in talkers)
    # A checkpoint is due with the first records of a start, and the archivist packs what it covers.
    await asyncio.to_thread(
        eventually, lambda: sum(len(t.acknowledged) for t in talkers) > before + 400, 40.0, "traffic"
    )
    await asyncio.sleep(wait_s)  # traffic, not waiting
    switch.popen.kill()
    enough.set()
    await asyncio.gather(*talks)
    await asyncio.to_thread(switch.kill)


@pytest.mark.requirement("C-TRAFFIC", "F-AUPROT")
async def test_what_was_acknowledged_is_there_once_and_verifies_whenever_it_was_killed(site: Site) -> None:
    talkers = [Talker(site, *MINE, series="ZM"), Talker(site, *OTHERS, series="ZO")]
    at = random.Random(26)
    for _ in range(ROUNDS):
        switch = await asyncio.to_thread(site.serve)
        await one_round(site, switch, talkers, at.uniform(0, 1.5))
        # As it was left: a journal that verifies, though nobody has opened it since.
        done = await asyncio.to_thread(call_msc, "journal", "verify", site.toml, "--json")
        assert done.returncode == 0, json.loads(done.stdout)["findings"]
    last = await asyncio.to_thread(site.serve)
    admin = Inquirer.of(site, "admin")
    found = (await asyncio.to_thread(admin.search, direction="outbound")).items
    by_msn = {row["msn"]: row["text"] for row in found}
    assert len(by_msn) == len(found), "an MSN stands twice in the journal"
    for talker in talkers:
        assert not talker.refused
        assert {msn: by_msn.get(msn) for msn in talker.acknowledged} == talker.acknowledged
    last.terminate()
    assert await asyncio.to_thread(last.wait) == 0
    done = await asyncio.to_thread(call_msc, "journal", "verify", site.toml, "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["not_stated"] == 0
    journal = Tampering(site.folder / "data" / "journal.db")
    assert any(journal.blocks(month) for month in journal.months()), "the archivist has packed nothing"


@pytest.mark.requirement("C-ACCESS")
def test_an_administrator_breaks_the_glass_while_it_is_down_and_the_next_switch_journals_it(site: Site) -> None:
    asking = ("journal", "search", site.toml, "--reason", "the switch is down", "--json")
    offline = ("--text", "ZG00001", "--offline")

    async def a_word() -> None:
        async with site.signed_on("DISPATCH1") as station:
            await station.send("IV.4.CA0990000.LIC/ZG00001")

    switch = site.serve()
    asyncio.run(a_word())
    running = call_msc(*asking, *offline, "--as", "admin")
    assert running.returncode != 0 and running.stdout == "" and "without --offline" in running.stderr
    switch.kill()
    for name in ("auditor", "coordinator", "oversight"):
        refused = call_msc(*asking, *offline, "--as", name)
        assert (refused.returncode, refused.stdout) == (1, ""), name
    assert call_msc(*asking[:3], "--as", "admin", "--offline").returncode == 2, "without a reason"
    down = call_msc(*asking, "--text", "ZG00001", "--as", "admin")
    assert down.returncode == 3 and down.stdout == "", "nobody reads offline by accident"
    done = call_msc(*asking, *offline, "--as", "admin")
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["text"] for row in found] == ["IV.4.CA0990000.LIC/ZG00001"]
    site.serve()
    closed, opened = Inquirer.of(site, "auditor").audit(event="break_glass.used")
    assert {opened["event"], closed["event"]} == {"break_glass.used"}
    assert opened["user"] == "admin" and opened["reason"] == "the switch is down"
    assert "ZG00001" in opened["detail"] and f'"results":{len(found)}' in closed["detail"]
