"""What an administrator changes while the switch runs: in force at once, without a restart, and for nobody else."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta

import pytest

from msc import clock
from msc.directory.rows import Agency, Status
from tests.e2e.conftest import assert_quiet
from tests.support.county import mnemonic, terminal
from tests.support.mtp_client import Refused, Station
from tests.support.office import (
    OPERATOR,
    PASSWORD,
    REASON,
    command,
    edit,
    entry,
    person,
    prepare,
    reinstate,
    rows,
    suspend,
)
from tests.support.site import Site, run_msc

SECONDS = 2.0
"""How soon a suspension ends a session, from the moment it is written."""
DRIVER, MISSING = "IV.4.{}.LIC/1SUS001", "IM.QM.{}.NAM/DOE,JOHN"
SHERIFF, PART = "CA0990000", "CA0990800"
TAF = "0A0000010017"
WITNESS = "W00001"
"""Who works on at another terminal, whatever happens."""
NAMES = ["B00001", "B00002", "B00003", "B00004", "B00005", "B00007", WITNESS]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A running switch; its lines have nothing at their other end."""
    made = Site.make(tmp_path_factory.mktemp("suspension") / "site")
    try:
        made.quick_lines()
        made.edit("msc.toml", (r"^drain_s = \d+", "drain_s = 1"))
        prepare(
            made,
            *rows(
                Agency("EXPT", "Suspended in Part", PART),
                mnemonic("EXS1", "EXSO", administrative=False),
                mnemonic("EXS2", "EXSO", administrative=False),
                terminal("DESK1", agency="EXSO", mnemonic="EXS1"),
                terminal("DESK2", agency="EXSO", mnemonic="EXS2"),
            ),
            *(entry(made, person(user)) for user in NAMES),
            entry(made, person("B00006", agency="EXPT")),
            # Whoever is removed cannot come back for another test, so each has their own.
            entry(made, person("R10001")),
        )
        made.serve()
        yield made
    finally:
        made.stop()
    assert_quiet(made)


@pytest.fixture
async def witness(site: Site) -> AsyncIterator[Station]:
    """Somebody signed on at another terminal, whose session must not notice anything."""
    async with site.signed_on("DISPATCH1", WITNESS) as station:
        yield station
        assert await station.send(DRIVER.format(SHERIFF)) > 0
        assert [told["type"] for told in station.controls] == ["hello", "signed_on"]


async def refusal(station: Station, user: str) -> Refused:
    """Sign on, which must be refused."""
    with pytest.raises(Refused) as told:
        await station.sign_on(user, PASSWORD)
    return told.value


async def ended(station: Station, site: Site) -> str:
    """Wait for the end of a session; it must come soon after the newest change of the directory."""
    reason = (await station.control("signed_off"))["reason"]
    now = time.time()
    with contextlib.closing(sqlite3.connect(site.folder / "data" / "directory.db")) as database:
        (at,) = database.execute("SELECT max(at) FROM change").fetchone()
    assert now - at / 1e6 < SECONDS
    assert reason
    return str(reason)


@pytest.mark.requirement("C-SANCTION", "C-LEAVE", "D-LEAVE")
async def test_a_person_suspended_in_mid_session_is_out_at_once_until_reinstated(
    site: Site, witness: Station
) -> None:
    async with site.station("DESK1") as station:
        await station.sign_on("B00001", PASSWORD)
        assert await station.send(DRIVER.format(SHERIFF)) > 0
        told = asyncio.create_task(ended(station, site))
        tomorrow = clock.today() + timedelta(days=1)
        said = await command(
            site, "user", "suspend", "B00001", "--reason", "under investigation", "--until", str(tomorrow),
            "--as", "SGT ROE",
        )  # fmt: skip
        assert "in force in the running switch" in said
        assert "suspended" in await told
        with pytest.raises(Refused, match="E111"):
            await station.send(DRIVER.format(SHERIFF))
        again = await refusal(station, "B00001")
        assert again.code == "E104" and f"until {tomorrow}" in again.reason and "investigation" not in again.reason
        shown = json.loads(await command(site, "user", "show", "B00001", "--json"))
        assert (shown["status"], shown["status_until"]) == ("suspended", str(tomorrow))
        assert shown["status_reason"] == "under investigation"
        await command(site, "user", "reinstate", "B00001", "--reason", "cleared", "--as", "CAPT DOE")
        await station.sign_on("B00001", PASSWORD)
        assert await station.send(DRIVER.format(SHERIFF)) > 0
        await station.sign_off()
    found = await asyncio.to_thread(site.audit, "--subject", "user B00001", "--oldest-first")
    acted = [(row["event"], row["user"], row["reason"]) for row in found if row["event"] != "user.added"]
    assert acted == [
        ("user.suspended", "SGT ROE", "under investigation"), ("user.reinstated", "CAPT DOE", "cleared"),
    ]  # fmt: skip
    assert all(row["source"].startswith("cli:") for row in found[-2:])


@pytest.mark.requirement("C-SANCTION")
async def test_a_person_suspended_from_one_database_works_on_with_the_others(site: Site, witness: Station) -> None:
    async with site.signed_on("DESK1", "B00002") as station:
        await command(site, "user", "suspend", "B00002", "--database", "DMV", "--reason", "statement in doubt")
        with pytest.raises(Refused, match="E301"):
            await station.send(DRIVER.format(SHERIFF))
        assert await station.send(MISSING.format(SHERIFF)) > 0
        await reinstate(site, "user", "B00002")
        assert await station.send(DRIVER.format(SHERIFF)) > 0
        assert [told["type"] for told in station.controls] == ["hello", "signed_on"]


@pytest.mark.requirement("C-SANCTION", "L-SUSPEND")
async def test_an_agency_is_suspended_by_database_and_whole_in_mid_session(site: Site, witness: Station) -> None:
    async with site.signed_on("DESK1", "B00006") as station:
        await suspend(site, "agency", "EXPT", "by order of the state", "DMV")
        with pytest.raises(Refused, match="E307"):
            await station.send(DRIVER.format(PART))
        assert await station.send(MISSING.format(PART)) > 0
        await suspend(site, "agency", "EXPT", "by order of the state")
        with pytest.raises(Refused, match="E307"):
            await station.send(MISSING.format(PART))
        await reinstate(site, "agency", "EXPT")
        assert await station.send(DRIVER.format(PART)) > 0


@pytest.mark.requirement("C-LEAVE", "C-UID")
async def test_a_person_removed_in_mid_session_is_out_for_good(site: Site, witness: Station) -> None:
    async with site.station("DESK1") as station:
        await station.sign_on("R10001", PASSWORD)
        told = asyncio.create_task(ended(station, site))
        await command(site, "user", "remove", "R10001", "--reason", "left the agency")
        await told
        with pytest.raises(Refused, match="E111"):
            await station.send(DRIVER.format(SHERIFF))
        assert (await refusal(station, "R10001")).code in {"E101", "E104"}  # the password has gone with the person
    args = ("name=Somebody Else", "agency=EXSO", "operator_class=full_access")
    done = await asyncio.to_thread(run_msc, "user", "add", site.toml, "R10001", *args)
    assert done.returncode == 2 and "free from" in done.stderr


@pytest.mark.requirement("O-DEVICE")
async def test_a_suspended_terminal_is_disconnected_and_comes_back_when_reinstated(
    site: Site, witness: Station
) -> None:
    async with site.station("DESK2") as station:
        await station.sign_on("B00003", PASSWORD)
        told = asyncio.create_task(ended(station, site))
        await suspend(site, "device", "DESK2", "stolen")
        assert "DESK2" in await told
        await station.ended()
    wire = await site.wire("DESK2")
    assert await wire.rest() == []
    await wire.close()
    await reinstate(site, "device", "DESK2")
    async with site.signed_on("DESK2", "B00003") as station:
        assert await station.send(DRIVER.format(SHERIFF)) > 0


@pytest.mark.requirement("C-DBAUTH")
async def test_a_static_mnemonic_taken_out_ends_its_session(site: Site, witness: Station) -> None:
    async with site.station("DESK1") as station:
        await station.sign_on("B00003", PASSWORD)
        told = asyncio.create_task(ended(station, site))
        await edit(site, "mnemonic", "EXS1", status=Status.SUSPENDED)
        assert "EXS1" in await told
        assert (await refusal(station, "B00003")).code == "E104"
        await edit(site, "mnemonic", "EXS1", status=Status.ACTIVE)
        await station.sign_on("B00003", PASSWORD)
        await station.sign_off()


@pytest.mark.requirement("C-TRAIN", "C-STMT", "C-BACKGR")
@pytest.mark.parametrize("paper", ["cleared", "certified", "statement"])
async def test_a_paper_withdrawn_in_mid_session_ends_it(site: Site, witness: Station, paper: str) -> None:
    kept = getattr(person("B00004"), paper)
    async with site.station("DESK1") as station:
        await station.sign_on("B00004", PASSWORD)
        told = asyncio.create_task(ended(station, site))
        await edit(site, "user", "B00004", **{paper: None})
        assert "on file" in await told
        assert (await refusal(station, "B00004")).code == "E109"
        await edit(site, "user", "B00004", **{paper: kept})
        await station.sign_on("B00004", PASSWORD)
        await station.sign_off()


@pytest.mark.requirement("C-SANCTION", "C-OIF")
async def test_of_a_hosts_users_only_the_suspended_one_is_signed_off(site: Site, witness: Station) -> None:
    async with site.station("CAD1") as host:
        await host.open()
        for user in ("B00004", "B00005"):
            await host.sign_on(user, PASSWORD)
        await edit(site, "user", "B00004", status=Status.SUSPENDED)
        told = await host.control("signed_off")
        assert told["user"] == "B00004" and "suspended" in told["reason"]
        with pytest.raises(Refused, match="E111"):
            await host.send(f"EXCD000001.*B00004.#{TAF}.{DRIVER.format(SHERIFF)}")
        assert (await refusal(host, "B00004")).code == "E104"
        assert await host.send(f"EXCD000002.*B00005.#{TAF}.{DRIVER.format(SHERIFF)}") > 0
        await edit(site, "user", "B00004", status=Status.ACTIVE)


@pytest.mark.requirement("C-SANCTION", "C-OIF", "C-LEAVE")
async def test_a_delegated_host_speaks_for_nobody_who_is_suspended(site: Site, witness: Station) -> None:
    async with site.station("CAD2") as host:
        await host.open()
        assert await host.send(f"EXCE000001.*B00004.#{TAF}.{DRIVER.format(SHERIFF)}") > 0
        await edit(site, "user", "B00004", status=Status.SUSPENDED)
        with pytest.raises(Refused, match="E203"):
            await host.send(f"EXCE000002.*B00004.#{TAF}.{DRIVER.format(SHERIFF)}")
        assert await host.send(f"EXCE000003.*B00005.#{TAF}.{DRIVER.format(SHERIFF)}") > 0
        await edit(site, "user", "B00004", status=Status.ACTIVE)
        assert await host.send(f"EXCE000004.*B00004.#{TAF}.{DRIVER.format(SHERIFF)}") > 0


@pytest.mark.requirement("F-AUDIT")
async def test_a_session_is_listed_shown_and_ended_by_command(site: Site, witness: Station) -> None:
    async with site.station("DESK1") as station:
        session = (await station.sign_on("B00005", PASSWORD))["session"]
        listed = [json.loads(line) for line in (await command(site, "session", "list", "--json")).splitlines()]
        held = {(row["user"], row["device"], row["mnemonic"]) for row in listed}
        assert held == {("B00005", "DESK1", "EXS1"), (WITNESS, "DISPATCH1", "EXA1")}
        shown = json.loads(await command(site, "session", "show", session, "--json"))
        assert shown["user"] == "B00005" and shown["locked"] is False
        await command(site, "session", "end", session, "--reason", "maintenance", "--as", "LT DOE")
        assert (await station.control("signed_off"))["reason"]
        with pytest.raises(Refused, match="E111"):
            await station.send(DRIVER.format(SHERIFF))
    (event,) = await asyncio.to_thread(site.audit, "--text", "maintenance", "--user", "LT DOE")
    assert event["event"].startswith("session.")


@pytest.mark.requirement("F-AUDIT")
async def test_what_was_changed_while_the_switch_was_down_is_audited_once_and_in_force(site: Site) -> None:
    site.processes[-1].terminate()
    assert await asyncio.to_thread(site.processes[-1].wait) == 0
    assert "no switch is running" in await command(
        site, "user", "suspend", "B00007", "--reason", "behind the switch's back", "--as", "NIGHT DESK"
    )
    await edit(site, "device", "DESK2", location="Another room")
    for started in (1, 2):  # and the second start does not repeat it
        await asyncio.to_thread(site.serve)
        async with site.station("DESK1") as station:
            assert (await refusal(station, "B00007")).code == "E104"
        if started == 1:
            site.processes[-1].terminate()
            assert await asyncio.to_thread(site.processes[-1].wait) == 0
    await edit(site, "user", "B00007", status=Status.ACTIVE)  # what comes after it in the stream
    await edit(site, "device", "DESK2", location="")

    told = await asyncio.to_thread(site.audit, "--oldest-first")
    suspended = [row for row in told if row["reason"] == "behind the switch's back"]
    assert [(row["event"], row["user"], row["subject"]) for row in suspended] == [
        ("user.suspended", "NIGHT DESK", "user B00007")
    ]
    moved = [row for row in told if '"location": ["", "Another room"]' in (row["detail"] or "")]
    assert [(row["user"], row["subject"], row["reason"]) for row in moved] == [(OPERATOR, "device DESK2", REASON)]
