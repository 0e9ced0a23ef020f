"""Searching a running switch's journal from the command line: every form of output, and what lasts."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from msc import clock
from tests.e2e.conftest import assert_quiet
from tests.support.chatter import Talker, burst, inquire, plates
from tests.support.command import call_msc
from tests.support.inquirer import Inquirer
from tests.support.site import ASKING, Site, environment, eventually, run_msc

pytestmark = pytest.mark.requirement("C-JOURNAL", "N-LOG")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A running switch whose journal holds a year that was filled in, and a few inquiries."""
    made = Site.make(tmp_path_factory.mktemp("searching") / "site")
    try:
        filled = call_msc(
            "journal", "fill", made.toml, "--records", "5000", "--years", "0.3", "--until", "36 hours ago"
        )
        assert filled.returncode == 0
        made.quick_lines()
        made.serve()
        made.simulate()
        made.wait_lines()
        asyncio.run(_some_traffic(made))
        yield made
    finally:
        made.stop()
    assert_quiet(made)


async def _some_traffic(site: Site) -> None:
    async with site.signed_on("DISPATCH1") as station:
        await inquire(station, ["IW.QW.CA0990000.NAM/SPECIMEN,WANTED.DOB/19800101", *plates(4, "ZS")])


def command(site: Site, *words: str | Path) -> subprocess.CompletedProcess[str]:
    done = call_msc("journal", words[0], site.toml, *words[1:], *ASKING)
    assert done.returncode == 0, done.stderr
    return done


def lines(site: Site, *words: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in command(site, *words, "--json").stdout.splitlines()]


def test_a_search_is_shown_as_a_table_as_json_as_csv_and_on_paper(site: Site, tmp_path: Path) -> None:
    asked = ("search", "--user", "J40217", "--text", "ZS*", "--direction", "outbound")
    found = lines(site, *asked)
    assert len(found) == 4 and [row["msn"] for row in found] == sorted((row["msn"] for row in found), reverse=True)
    table = command(site, *asked).stdout
    assert all(f"ZS{number:05}" in table for number in range(4))
    assert "searched" in table and "could not" not in table
    rows = list(csv.DictReader(io.StringIO(command(site, *asked, "--csv").stdout)))
    assert [int(row["msn"]) for row in rows] == [row["msn"] for row in found]
    command(site, *asked, "--print", tmp_path / "found.pdf")
    assert (tmp_path / "found.pdf").read_bytes().startswith(b"%PDF-")
    events = site.audit("--event", "journal.printed")
    assert events and events[0]["user"] == "admin" and events[0]["reason"] == "a test"


def test_the_life_of_a_transaction_names_each_destination_and_answer(site: Site) -> None:
    (asked,) = lines(
        site, "search", "--key", "QW", "--direction", "outbound", "--user", "J40217", "--since", "1 hour ago"
    )
    shown = command(site, "show", str(asked["msn"])).stdout
    for part in ("SPECIMEN,WANTED", "clets-a", "ncic-a", "DISPATCH1", "acknowledged"):
        assert part in shown
    assert len(lines(site, "show", str(asked["msn"]))) == 3


def test_every_filter_finds_what_a_look_at_everything_finds(site: Site) -> None:
    admin = Inquirer.of(site, "admin")
    filled = {"until_us": clock.wall_us() - 86_400_000_000}
    everything = admin.search(**filled).items
    assert len(everything) > 300
    for option, member in (
        ("user", "user"), ("agency", "agency"), ("ori", "ori"), ("mnemonic", "mnemonic"), ("database", "database"),
        ("kind", "kind"), ("direction", "direction"), ("requester", "requester"), ("session", "session"),
        ("header", "header"), ("code", "code"),
    ):  # fmt: skip
        value = next((row[member] for row in everything if row[member]), None)
        assert value is not None, f"nothing has a {member}"
        expected = {row["msn"] for row in everything if row[member] == value}
        told = admin.search(**filled, **{option: value})
        assert {row["msn"] for row in told.items} == expected, (option, value)
    plate = next(word for row in everything for word in row["text"].split(".") if word.startswith("LIC/"))[4:]
    found = {row["msn"] for row in admin.search(**filled, text=[plate]).items}
    assert found and found == {row["msn"] for row in everything if plate in row["text"]}


async def test_a_follower_sees_what_comes_after_it_began(site: Site) -> None:
    words = ["journal", "follow", str(site.toml), "--user", "J40217", "--json", *ASKING]
    follower = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "msc", *words, stdout=subprocess.PIPE, env=environment()
    )
    try:
        await asyncio.to_thread(
            eventually,
            lambda: any(
                '"verb":"follow"' in event["detail"] for event in Inquirer.of(site, "admin").audit(user="admin")
            ),
        )
        assert follower.stdout is not None
        async with site.signed_on("DISPATCH1") as station:
            # It looks at the journal's end just after that is on record: the first ones it may not see.
            seen: list[str] = []
            reading = asyncio.create_task(follower.stdout.readline())
            for number in range(40):
                await inquire(station, [f"IV.4.CA0990000.LIC/ZF{number:05}"])
                done, _ = await asyncio.wait([reading], timeout=0.5)
                if done:
                    seen.append(json.loads(reading.result())["text"])
                    break
        assert seen and "ZF" in seen[0]
    finally:
        follower.send_signal(signal.SIGINT)
        assert await follower.wait() == 130


async def test_pages_are_stable_while_messages_arrive(site: Site) -> None:
    whole = [row["msn"] for row in await asyncio.to_thread(lines, site, "search", "--direction", "outbound")]
    talker, enough = Talker(site, series="ZP"), asyncio.Event()
    talk = asyncio.create_task(talker.talk(enough))
    admin = Inquirer.of(site, "admin")
    try:
        pages: list[int] = []
        content: dict[str, Any] = {"limit": 40}
        while len(pages) < 400:
            told = await asyncio.to_thread(admin.ask, "search", criteria={"direction": "outbound"}, **content)
            assert not told.error, told
            pages += [row["msn"] for row in told.items]
            content["after"] = told.end["after"]
            if content["after"] is None:
                break
    finally:
        enough.set()
        await talk
    assert pages == sorted(set(pages), reverse=True), "no message twice, each page after the one before"
    old = [msn for msn in pages if msn <= whole[0]]
    assert len(talker.acknowledged) > 10
    assert old == whole[: len(old)]


def test_a_sample_is_drawn_again_by_its_seed(site: Site) -> None:
    asked = ("sample", "--count", "20", "--direction", "outbound", "--until", "1 hour ago")
    one, again, other = (lines(site, *asked, "--seed", seed) for seed in ("7", "7", "8"))
    assert len(one) == 20 and one == again and one != other
    smaller = lines(site, "sample", "--count", "5", "--direction", "outbound", "--until", "1 hour ago", "--seed", "7")
    assert {row["msn"] for row in smaller} <= {row["msn"] for row in one}


@pytest.mark.parametrize("by", ["day", "key", "agency", "hour"])
def test_counts_are_drawn(site: Site, tmp_path: Path, by: str) -> None:
    for name, begins in (("chart.png", b"\x89PNG"), ("chart.svg", b"<?xml")):
        done = command(site, "stats", "--by", by, "--chart", tmp_path / name)
        assert (tmp_path / name).read_bytes().startswith(begins)
        assert "Messages" in done.stdout
    if by in ("day", "hour"):
        assert sum(row["count"] for row in lines(site, "stats", "--by", by)) > 300


def children(site: Site) -> dict[str, int]:
    """Return the pids of the switch's own children, by what they do."""
    found = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(status.read_text().rpartition(")")[2].split()[1])
            words = status.with_name("cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if parent == site.processes[0].pid and b"msc.journal.worker" in words:
            found[words[words.index(b"msc.journal.worker") + 1].decode()] = int(status.parent.name)
    return found


@pytest.mark.parametrize("name", ["search", "archive"])
async def test_a_child_that_is_killed_is_started_again_and_traffic_does_not_notice(site: Site, name: str) -> None:
    before = children(site)[name]
    talker, enough = Talker(site, series="ZK"), asyncio.Event()
    talk = asyncio.create_task(talker.talk(enough))
    try:
        await asyncio.to_thread(eventually, lambda: len(talker.acknowledged) > 10)
        os.kill(before, signal.SIGKILL)
        await asyncio.to_thread(eventually, lambda: children(site).get(name) not in (None, before), 20, "another")
        at = len(talker.acknowledged)
        await asyncio.to_thread(eventually, lambda: len(talker.acknowledged) > at + 10)
    finally:
        enough.set()
        await talk
    assert not talker.refused
    admin = Inquirer.of(site, "admin")
    found = await asyncio.to_thread(admin.search, text=["ZK*"], direction="outbound")
    assert not found.error
    assert {row["msn"] for row in found.items} >= talker.acknowledged.keys()


async def test_a_burst_is_archived_and_found_in_blocks_as_in_the_tail(site: Site) -> None:
    await burst(site, 1200, series="ZA")
    admin = Inquirer.of(site, "admin")
    found = await asyncio.to_thread(admin.search, text=["ZA*"], direction="outbound")
    assert len(found.items) == 1200
    done = await asyncio.to_thread(call_msc, "journal", "verify", site.toml)
    assert done.returncode == 0, done.stdout


@pytest.mark.requirement("F-BACKUP")
def test_a_backup_of_the_running_switch_is_restored_elsewhere_and_searches_alike(site: Site, tmp_path: Path) -> None:
    key, file = tmp_path / "backup.key", tmp_path / "journal.msc"
    assert call_msc("journal", "backup-key", site.toml, key, "--no-passphrase").returncode == 0
    asyncio.run(burst(site, 60, series="ZR"))
    made = call_msc("journal", "backup", site.toml, file, "--json")
    assert made.returncode == 0, made.stderr
    assert b"ZR00001" not in file.read_bytes()
    end = json.loads(made.stdout)
    other = Site.make(tmp_path / "other")
    for name in ("journal.key", "journal.pub"):
        (other.folder / "certs" / name).write_bytes((site.folder / "certs" / name).read_bytes())
    done = run_msc("journal", "restore", other.toml, file, "--key", key, "--reason", "drill", "--skip-msn", "0")
    assert done.returncode == 0, done.stderr
    assert "verified" in done.stdout
    assert call_msc("journal", "verify", other.toml).returncode == 0
    for asked in (
        ("--text", "ZR*"),
        ("--kind", "inquiry"),
        ("--agency", "EXSO", "--key", "QW"),
        ("--outcome", "refused"),
    ):
        here = [row for row in lines(site, "search", *asked) if row["msn"] <= end["msn"]]
        there = call_msc("journal", "search", other.toml, *asked, "--json", *ASKING, "--offline")
        assert [json.loads(line)["msn"] for line in there.stdout.splitlines()] == [row["msn"] for row in here]


@pytest.mark.requirement("C-TRAFFIC")
def test_retention_is_shown_and_holds_are_placed_and_released_over_the_running_switch(site: Site) -> None:
    def keep(*words: str) -> list[dict[str, Any]]:
        at = 1 if words[0] == "retention" else 2
        done = call_msc("journal", *words[:at], site.toml, *words[at:], *ASKING, "--json")
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    months = keep("retention")
    assert {row["verdict"] for row in months} <= {"kept", "open"} and len(months) >= 4
    name = f"{months[0]['month'] // 100}-{months[0]['month'] % 100:02}"
    (placed,) = keep("hold", "add", "People v. Roe", "--from", name)
    assert placed["month"] == months[0]["month"]
    assert placed["number"] in {row["number"] for row in keep("hold", "list")}
    assert placed["number"] in keep("retention")[0]["holds"]
    refused = call_msc("journal", "retention", site.toml, "--delete", "--month", name, *ASKING)
    assert refused.returncode == 1
    keep("hold", "release", str(placed["number"]))
    assert placed["number"] not in keep("retention")[0]["holds"]
    names = {event["event"] for event in site.audit("--user", "admin")}
    assert {"journal.retention", "journal.hold_add", "journal.hold_release", "journal.delete"} <= names
    assert {"journal.done", "journal.not_done"} <= names


def test_a_proof_of_a_message_is_checked_without_the_journal(site: Site, tmp_path: Path) -> None:
    msn = lines(site, "search", "--until", "1 day ago", "--limit", "1")[0]["msn"]
    command(site, "prove", str(msn), "--out", tmp_path / "proof.json")
    checked = call_msc(
        "journal", "check-proof", tmp_path / "proof.json", "--public-key", site.folder / "certs/journal.pub"
    )
    assert checked.returncode == 0 and f"message {msn}" in checked.stdout
