"""The daemon as a whole, in this process, with the simulated state: what the parts cannot show alone."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from msc import clock, tls
from msc.audit import AuditEvent
from msc.control.break_glass import break_glass, glass_file
from msc.control.operator_key import load_operator_key
from msc.daemon import Daemon
from msc.directory import rows as directory
from msc.directory.store import Actor, Change, DirectoryStore
from msc.errors import SiteError
from msc.journal.criteria import AuditCriteria, Criteria
from msc.journal.reader import Entry
from msc.journal.record import AuditRecord
from msc.lab.demo.site import make_demo
from msc.lab.simulators.run import make_hosts
from msc.link.client import Client, Disconnected, RefusedByPeer
from msc.protocol.control import Status, StatusReport
from msc.settings import Settings, load_settings
from tests.support.journal import searching

PATIENCE_S = 20
REGISTRATION = "IV.4.CA0990000.LIC/ZZ0002X"


@dataclass
class Running:
    """A switch and its simulated state."""

    settings: Settings
    facts: dict[str, Any]
    daemon: Daemon

    async def client(self, device: str) -> Client:
        """Connect a station."""
        row = next(row for row in self.facts["devices"] if row["name"] == device)
        folder = self.settings.folder
        context = tls.client_context(folder / self.facts["ca"], folder / row["certificate"], folder / row["key"])
        return await Client.connect("127.0.0.1", self.settings.listener.port, context)

    async def terminal(self, device: str = "DISPATCH1", user: str = "D10002") -> Client:
        """Connect a terminal and sign a user on."""
        client = await self.client(device)
        row = next(row for row in self.facts["users"] if row["user"] == user)
        await client.sign_on(user, row["password"])
        return client

    async def journal(self) -> list[Entry]:
        """Read the whole journal, newest first."""
        async with searching(self.settings.database_url(self.settings.journal)) as searcher:
            return [entry async for entry in searcher.search(Criteria()).entries() if entry is not None]

    async def audited(self, event: str) -> list[AuditRecord]:
        """Read the audit events whose names begin so, newest first."""
        async with searching(self.settings.database_url(self.settings.journal)) as searcher:
            search = searcher.audit(AuditCriteria(event=event))
            found = [stored.record async for stored in search.records() if stored is not None]
        return [record for record in found if isinstance(record, AuditRecord)]


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    await make_demo(tmp_path / "site")
    settings = load_settings(tmp_path / "site" / "msc.toml")
    hosts = make_hosts(settings)
    for host in hosts:
        await host.open()
    daemon = Daemon(settings)
    await daemon.start()
    facts = json.loads((settings.folder / "demo.json").read_text())
    async with asyncio.timeout(60):
        found = Running(settings, facts, daemon)
        yield found
        await found.daemon.stop()
        for host in hosts:
            await host.close()


async def lines_open(client: Client) -> None:
    """Wait until both lines are open, as a terminal sees it."""
    while set((await client.ask(Status(), StatusReport)).lines.values()) != {"open"}:
        await asyncio.sleep(0.01)


@pytest.mark.requirement("F-AUFAIL")
async def test_traffic_stops_with_e501_while_the_journal_cannot_be_written_and_goes_on_by_itself(
    running: Running,
) -> None:
    client = await running.terminal()
    await lines_open(client)
    before = await client.send(REGISTRATION)
    blocker = sqlite3.connect(running.settings.database(running.settings.journal), isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    with pytest.raises(RefusedByPeer, match="E501"):
        await client.send(REGISTRATION)
    blocker.execute("ROLLBACK")
    blocker.close()
    after = None
    while after is None:
        try:
            after = await client.send(REGISTRATION)
        except RefusedByPeer as exc:
            assert exc.code == "E501"
            await asyncio.sleep(0.05)
    msns = [entry.message.msn for entry in await running.journal()]
    assert before in msns
    assert after in msns
    assert len(msns) == len(set(msns))
    client.close("done")


@pytest.mark.requirement("F-AUDIT")
async def test_what_was_acted_upon_and_why_stand_in_the_journal_and_not_in_the_log(
    running: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    event = AuditEvent(1, "account.released", user="J40217", code="E000", subject="user WHOM01", reason="WHY NOT")
    running.daemon.point.audit(event)
    logged = "".join(capsys.readouterr())
    assert "account.released" in logged and "J40217" in logged
    assert "WHOM01" not in logged and "WHY NOT" not in logged
    while running.daemon.writer.busy:
        await asyncio.sleep(0.01)
    found = await running.audited("account.released")
    assert found == [AuditRecord(*astuple(event), agency="EXSO")], "whose event it is, the switch adds"


@pytest.mark.requirement("C-ACCESS", "F-AUDIT")
async def test_what_was_read_while_no_switch_ran_is_journaled_when_one_starts(running: Running) -> None:
    settings, folder = running.settings, running.settings.folder
    row = next(row for row in running.facts["operators"] if row["role"] == "administrator")
    key = load_operator_key(folder / row["certificate"], folder / row["key"], lambda: None)
    with pytest.raises(SiteError, match="a switch runs"):
        async with break_glass(settings, key, "search", {}, "night"):
            pass
    await running.daemon.stop()
    async with break_glass(settings, key, "search", {"criteria": {"user": "J40217"}}, "the switch is down") as glass:
        glass.results = 2
    lines = glass_file(settings).read_bytes().splitlines()
    running.daemon = Daemon(settings)
    await running.daemon.start()
    while b"taken_up" not in glass_file(settings).read_bytes():
        await asyncio.sleep(0.01)
    found = await running.audited("break_glass")
    assert [record.event for record in found].count("break_glass.used") == len(lines) == 2
    assert "break_glass.damaged" not in [record.event for record in found]
    assert {record.reason for record in found} == {"the switch is down"}
    assert any('"results":2' in str(record.detail) for record in found)


async def test_a_second_switch_on_the_same_site_is_refused(running: Running) -> None:
    with pytest.raises(SiteError, match="another switch is running"):
        await Daemon(running.settings).start()


@pytest.mark.requirement("C-UNSOL", "C-POOL")
async def test_an_answer_follows_the_person_when_a_pooled_mnemonic_changes_hands(running: Running) -> None:
    first = await running.terminal("MOBILE1", "J40217")
    await lines_open(first)
    # Nobody reads the answer: the first operator is gone before it can be delivered.
    await first.send("IA.QV.CA0990000.LIC/ZZ0001X")
    first.abort("cable cut")
    second = await running.terminal("MOBILE1", "K20331")
    third = await running.terminal("MOBILE2", "J40217")
    async with asyncio.timeout(PATIENCE_S):
        texts = [(await third.inbox.get()).text for _ in range(3)]
    assert any("MKE/STOLEN VEHICLE" in text for text in texts)
    assert second.inbox.empty()
    second.close("done")
    third.close("done")


async def test_pooled_mnemonics_are_given_back_when_connections_are_lost(running: Running) -> None:
    for _ in range(4):  # twice as often as the pool has mnemonics
        client = await running.terminal("MOBILE1", "J40217")
        client.abort("cable cut")
        while running.daemon.point.pools_free()["PATROL"] < 2:
            await asyncio.sleep(0.005)


async def test_a_device_cannot_fill_the_switch_with_connections(running: Running) -> None:
    clients = [await running.client("RECORDS1") for _ in range(4)]
    with pytest.raises(Disconnected):
        await running.client("RECORDS1")
    other = await running.client("DISPATCH1")
    for client in (*clients, other):
        client.close("done")


@pytest.mark.requirement("C-SANCTION", "N-IDLE")
async def test_a_command_while_the_calendar_is_kept_does_not_keep_the_switch_from_following(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon, settings = running.daemon, running.settings
    [following] = [task for task in asyncio.all_tasks() if task.get_name() == "directory"]
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    other, poll = DirectoryStore(settings.database_url(settings.directory)), daemon._follower.poll
    suspended = replace(daemon.point.directory.users["J40217"], status=directory.Status.SUSPENDED)

    async def poll_and_be_overtaken() -> bool:
        found = await poll()
        change = Change("user", "J40217", "suspended", suspended)
        await other.change([change], Actor("Roe", "cli:roe"), "", clock.wall_us())
        return found

    monkeypatch.setattr(daemon, "_kept_on", None)
    monkeypatch.setattr(daemon._follower, "poll", poll_and_be_overtaken)
    await daemon.look_at_directory()
    monkeypatch.setattr(daemon._follower, "poll", poll)
    assert daemon._kept_on is None
    await daemon.look_at_directory()
    assert daemon.point.directory.users["J40217"].status is directory.Status.SUSPENDED
    assert daemon._kept_on == clock.today()
    await other.close()
