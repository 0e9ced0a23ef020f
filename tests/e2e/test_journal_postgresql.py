"""A site whose journal stands in PostgreSQL: the same life, and a database that goes away in the middle of it."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import assert_quiet
from tests.support.chatter import Talker, inquire, plates
from tests.support.command import call_msc
from tests.support.inquirer import Inquirer
from tests.support.postgres import PostgresServer
from tests.support.site import ASKING, Site, eventually

pytestmark = pytest.mark.requirement("C-JOURNAL", "F-AUFAIL")


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """A server of this test's own: it is stopped on the way."""
    made = PostgresServer()
    try:
        made.start()
        yield made
    finally:
        made.remove()


@pytest.fixture
def site(tmp_path: Path, server: PostgresServer) -> Iterator[Site]:
    made = Site.make(tmp_path / "site")
    try:
        made.edit(
            "msc.toml",
            (r'^url = "sqlite\+aiosqlite:///data/journal.db"', f'url = "{server.url(server.lend())}"'),
            (r"^drain_s = \d+", "drain_s = 1"), (r'^level = "info"', 'level = "error"'),
        )  # fmt: skip
        made.quick_lines()
        made.serve()
        made.simulate()
        made.wait_lines()
        yield made
    finally:
        made.stop()
    assert_quiet(made)


async def test_a_journal_in_postgresql_is_searched_verified_and_outlives_its_server(
    site: Site, server: PostgresServer
) -> None:
    async with site.signed_on("DISPATCH1") as station:
        msns = await inquire(station, [*plates(3, "ZS"), "IW.QW.CA0990000.NAM/SPECIMEN,WANTED.DOB/19800101"])
    admin = Inquirer.of(site, "admin")
    found = await asyncio.to_thread(admin.search, text=["ZS*"], direction="outbound")
    assert [row["msn"] for row in found.items] == msns[2::-1]
    assert len((await asyncio.to_thread(admin.ask, "show", msn=msns[3])).items) == 3
    coordinator = await asyncio.to_thread(Inquirer.of(site, "coordinator").search)
    assert {row["agency"] for row in coordinator.items} == {"EXSO"}
    done = await asyncio.to_thread(call_msc, "journal", "verify", site.toml)
    assert done.returncode == 0, done.stdout

    talker, enough = Talker(site), asyncio.Event()
    talk = asyncio.create_task(talker.talk(enough))
    try:
        await asyncio.to_thread(eventually, lambda: len(talker.acknowledged) > 20)
        await asyncio.to_thread(server.stop, "immediate")
        await asyncio.to_thread(eventually, lambda: "E501" in talker.refused, 20.0, "E501")
        assert (await asyncio.to_thread(site.monitor, "/ready"))[0] == 503
        assert (await asyncio.to_thread(site.monitor, "/live"))[0] == 200
        before = len(talker.acknowledged)
        await asyncio.to_thread(server.start)
        await asyncio.to_thread(eventually, lambda: len(talker.acknowledged) > before + 20, 30.0, "traffic again")
        metrics = (await asyncio.to_thread(site.monitor, "/metrics"))[1]
        assert re.search(r"^msc_journal_available\{[^}]*\} 1", metrics, re.MULTILINE)
    finally:
        enough.set()
        await talk
    assert set(talker.refused) <= {"E501", "E502"}
    told = await asyncio.to_thread(
        eventually,
        lambda: (answer := admin.search(text=["ZT*"], direction="outbound")).end and answer,
        20.0,
        "a search",
    )
    by_msn = {row["msn"]: row["text"] for row in told.items}
    assert len(by_msn) == len(told.items)
    assert {msn: by_msn.get(msn) for msn in talker.acknowledged} == talker.acknowledged
    switch = site.processes[0]
    switch.terminate()
    assert await asyncio.to_thread(switch.wait) == 0
    done = await asyncio.to_thread(call_msc, "journal", "verify", site.toml, "--json")
    report = json.loads(done.stdout)
    assert done.returncode == 0 and report["not_stated"] == 0, report["findings"]
    offline = await asyncio.to_thread(
        call_msc, "journal", "search", site.toml, "--text", "ZS00001", "--json", "--offline", *ASKING
    )
    assert offline.returncode == 0 and "ZS00001" in offline.stdout
