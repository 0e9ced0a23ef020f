"""The journal's disk is full, locked or read-only in the middle of traffic: E501, and by itself back again.

Nothing that was acknowledged is missing afterwards, and what there is verifies.
"""

from __future__ import annotations

import asyncio
import json
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.e2e.conftest import assert_quiet
from tests.support.chatter import Talker
from tests.support.command import call_msc
from tests.support.disk_of_site import JournalDisk, can_mount
from tests.support.inquirer import Inquirer
from tests.support.site import Process, Site, eventually

pytestmark = pytest.mark.requirement("F-AUFAIL", "C-TRAFFIC")

WAYS = ["a limit on the size of files"]
with tempfile.TemporaryDirectory() as _folder:
    if can_mount(Path(_folder)):
        WAYS.append("a small file system")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[JournalDisk]:
    made = JournalDisk(Site.make(tmp_path / "site"))
    made.site.quick_lines()
    made.site.edit("msc.toml", (r"^drain_s = \d+", "drain_s = 1"), (r'^level = "info"', 'level = "error"'))
    try:
        yield made
    finally:
        made.site.stop()
        made.unmount()
    assert_quiet(made.site)


def available(site: Site) -> bool:
    return bool(re.search(r"^msc_journal_available\{[^}]*\} 1", site.monitor("/metrics")[1], re.MULTILINE))


async def until(condition: Callable[[], object], what: str) -> None:
    await asyncio.to_thread(eventually, condition, 25.0, what)


async def outage(site: Site, failing: AbstractContextManager[None]) -> Talker:
    """Let the journal fail while a terminal talks, and come back; returns what the terminal knows."""
    talker, enough = Talker(site), asyncio.Event()
    talk = asyncio.create_task(talker.talk(enough))
    try:
        await until(lambda: len(talker.acknowledged) > 20 or talk.done(), "traffic")
        with failing:
            await until(lambda: "E501" in talker.refused, "E501")
            await until(lambda: not available(site), "an alarm")
            ready, why = await asyncio.to_thread(site.monitor, "/ready")
            assert ready == 503 and "the journal is not available" in why
            assert (await asyncio.to_thread(site.monitor, "/live"))[0] == 200, "the switch itself is up"
            told = await asyncio.to_thread(Inquirer.of(site, "admin").search)
            assert told.items == [] and told.error, "nothing is shown that cannot be journaled"
            before = len(talker.acknowledged)
        await until(lambda: len(talker.acknowledged) > before + 20, "traffic again")
        await until(lambda: available(site), "the end of the alarm")
    finally:
        enough.set()
        await talk
    assert set(talker.refused) <= {"E501", "E502"}
    return talker


def holds_all(site: Site, talker: Talker) -> None:
    """Check that all that was acknowledged is in the journal, once, and that it verifies."""
    found = Inquirer.of(site, "admin").search(direction="outbound").items
    by_msn = {row["msn"]: row["text"] for row in found}
    assert len(by_msn) == len(found)
    assert {msn: by_msn.get(msn) for msn in talker.acknowledged} == talker.acknowledged
    process = site.processes[0]
    process.terminate()
    assert process.wait() == 0
    done = call_msc("journal", "verify", site.toml, "--json")
    report = json.loads(done.stdout)
    assert done.returncode == 0, report["findings"]
    assert report["not_stated"] == 0


@pytest.mark.parametrize("way", WAYS)
async def test_a_full_disk_stops_traffic_until_there_is_room_again(disk: JournalDisk, way: str) -> None:
    if way == "a small file system":
        disk.mount()
    switch: Process = await asyncio.to_thread(disk.site.serve)
    talker = await outage(disk.site, disk.full(switch))
    await asyncio.to_thread(holds_all, disk.site, talker)


async def test_a_database_that_is_locked_or_cannot_be_written_stops_traffic_as_well(disk: JournalDisk) -> None:
    await asyncio.to_thread(disk.site.serve)
    talker = await outage(disk.site, LockedThenReadOnly(disk))
    await asyncio.to_thread(holds_all, disk.site, talker)


class LockedThenReadOnly(AbstractContextManager[None]):
    """Locked by another process; when it lets go, the folder is read-only meanwhile, until the end."""

    def __init__(self, disk: JournalDisk) -> None:
        self._disk = disk
        self._locked, self._read_only = disk.locked(), disk.read_only()

    def __enter__(self) -> None:
        self._locked.__enter__()

    def __exit__(self, *_exc: object) -> None:
        self._read_only.__enter__()
        # A try that began before may still write, once the lock is gone; those after it may not.
        self._failed_tries(2)
        self._locked.__exit__(None, None, None)
        self._failed_tries(1)
        assert not available(self._disk.site)
        self._read_only.__exit__(None, None, None)

    def _failed_tries(self, more: int) -> None:
        switch = self._disk.site.processes[0]
        before = switch.output.count("journal.still_unavailable")
        eventually(lambda: switch.output.count("journal.still_unavailable") >= before + more, 20, "tries")
