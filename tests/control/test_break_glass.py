"""Breaking the glass: who may, that it leaves a record first, and that a record tampered with is told."""

from __future__ import annotations

import json
import sqlite3
import stat
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from msc import clock
from msc.audit import AuditEvent
from msc.control.access import NotPermitted
from msc.control.break_glass import break_glass, forget, glass_file, take_up
from msc.control.operator_key import OperatorKey
from msc.control.sign_in import NotSignedIn
from msc.directory.rows import Directory, Status
from msc.directory.store import DirectoryStore, LoggedChange
from msc.errors import SiteError
from msc.journal.criteria import BadCriteria
from msc.lock import lock_site
from msc.pki.authority import pem_of, revocation
from msc.pki.trust import Trust
from msc.settings import AdminSettings, Settings, StoreSettings, TlsSettings
from tests.support.county import county
from tests.support.operators import AUTHORITY, STRANGER, Anchor, issue, operator

REASON = "the switch is down, officer needs assistance"
ADMIN = operator("admin")


@dataclass
class Place:
    """A site without a switch."""

    settings: Settings
    store: DirectoryStore

    @property
    def file(self) -> Path:
        """Where the record is."""
        return glass_file(self.settings)

    @property
    def trust(self) -> Trust:
        """What the site trusts."""
        return Anchor().trust()

    async def read(self, key: OperatorKey = ADMIN, *, results: int = 3, **content: Any) -> dict[str, Any]:
        """Break the glass and look at something."""
        async with break_glass(self.settings, key, "search", content, REASON) as glass:
            glass.results, glass.complete = results, True
            return glass.asked

    async def noted(self) -> list[LoggedChange]:
        """Return what the directory noted of it."""
        return [change for change in await self.store.changes_since(0) if change.table == "break_glass"]

    async def events(self) -> list[AuditEvent]:
        """Return what the next switch would journal."""
        return take_up(self.file, self.trust, await self.noted()).events

    def lines(self) -> list[bytes]:
        """Return the record."""
        return self.file.read_bytes().splitlines()

    def put(self, *lines: bytes) -> None:
        """Replace the record, as somebody who tampers with it would."""
        self.file.write_bytes(b"".join(line + b"\n" for line in lines))


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    found = Settings.model_construct(
        journal=StoreSettings(url=f"sqlite+aiosqlite:///{tmp_path}/journal.db"),
        directory=StoreSettings(url=f"sqlite+aiosqlite:///{tmp_path}/directory.db"),
        tls=TlsSettings(
            ca=tmp_path / "ca.pem", certificate=tmp_path / "x", key=tmp_path / "x", crl=tmp_path / "crl.pem"
        ),
        admin=AdminSettings(),
    )
    (tmp_path / "ca.pem").write_bytes(pem_of(AUTHORITY.certificate))
    store = DirectoryStore(found.database_url(found.directory))
    await store.save(county())
    yield Place(found, store)
    await store.close()


def problems(events: list[AuditEvent]) -> list[str]:
    return [str(event.detail) for event in events if event.event == "break_glass.damaged"]


def used(events: list[AuditEvent]) -> list[dict[str, Any]]:
    return [json.loads(str(event.detail)) for event in events if event.event == "break_glass.used"]


# --- who may ------------------------------------------------------------------------------------------


@pytest.mark.requirement("C-ACCESS", "F-AUDIT")
async def test_an_administrator_reads_and_both_ends_of_it_are_journaled_later(place: Place) -> None:
    assert await place.read(criteria={"user": "J40217"}) == {"criteria": {"user": "J40217"}}
    begun, ended = await place.events()
    assert (begun.event, begun.user, begun.reason, begun.subject) == ("break_glass.used", "admin", REASON, "journal")
    assert begun.session == ended.session
    who = {"operator": "admin", "action": "search"}
    assert used([begun, ended]) == [
        {"number": 1, "event": "opened", **who, "asked": {"criteria": {"user": "J40217"}}},
        {"number": 2, "event": "closed", **who, "results": 3, "complete": True},
    ]
    assert begun.at_us <= ended.at_us <= clock.wall_us()
    assert stat.S_IMODE(place.file.stat().st_mode) == 0o600


@pytest.mark.requirement("C-ACCESS")
async def test_the_record_is_written_before_anything_can_be_shown(place: Place) -> None:
    with pytest.raises(KeyboardInterrupt):
        async with break_glass(place.settings, ADMIN, "search", {}, REASON):
            assert [json.loads(line)["event"] for line in place.lines()] == ["opened"]
            raise KeyboardInterrupt
    assert [json.loads(line)["event"] for line in place.lines()] == ["opened", "closed"]


@pytest.mark.requirement("C-ACCESS")
async def test_where_no_record_can_be_written_nothing_is_shown(place: Place) -> None:
    place.file.mkdir()
    with pytest.raises(SiteError, match="nothing is shown"):
        await place.read()


@pytest.mark.requirement("C-ACCESS")
@pytest.mark.parametrize("name", ["auditor", "coordinator", "oversight"])
async def test_nobody_but_an_administrator_may(place: Place, name: str) -> None:
    with pytest.raises(NotPermitted):
        await place.read(operator(name))
    assert not place.file.exists()


@pytest.mark.requirement("C-ACCESS")
async def test_a_key_that_does_not_count_is_refused(place: Place) -> None:
    with pytest.raises(NotSignedIn, match="not issued"):
        await place.read(issue("msc://operator/admin", STRANGER))
    with pytest.raises(NotSignedIn, match="device"):
        await place.read(issue("msc://device/admin"))
    (place.settings.tls.crl).write_bytes(AUTHORITY.sign_crl([_revoked(ADMIN)], 1))
    with pytest.raises(NotSignedIn, match="revoked"):
        await place.read()
    await place.store.save(_with(status=Status.SUSPENDED))
    with pytest.raises(NotSignedIn, match="suspended"):
        await place.read(operator("admin"))
    assert not place.file.exists()


def _revoked(key: OperatorKey) -> Any:
    return revocation(key.certificate.serial_number, x509.ReasonFlags.key_compromise)


def _with(**members: Any) -> Directory:
    directory = county()
    directory.replace([replace(directory.operators["admin"], **members)])
    return directory


@pytest.mark.requirement("C-ACCESS")
async def test_it_is_refused_while_a_switch_runs_and_keeps_none_from_starting(place: Place) -> None:
    lock = lock_site(place.settings)
    with pytest.raises(SiteError, match="a switch runs on this site"):
        await place.read()
    lock.close()
    async with break_glass(place.settings, ADMIN, "search", {}, REASON):
        lock_site(place.settings).close()


@pytest.mark.requirement("C-ACCESS")
@pytest.mark.parametrize("reason", [None, "", " "])
async def test_a_reason_is_needed_here_too(place: Place, reason: str | None) -> None:
    with pytest.raises(NotPermitted, match="say why"):
        async with break_glass(place.settings, ADMIN, "search", {}, reason):
            pass
    with pytest.raises(BadCriteria):
        await place.read(everything=True)
    assert not place.file.exists()


# --- what becomes of the record -----------------------------------------------------------------------


@pytest.mark.requirement("F-AUDIT")
async def test_what_was_journaled_is_taken_out_and_what_comes_later_goes_on_from_there(place: Place) -> None:
    await place.read()
    taken = take_up(place.file, place.trust, await place.noted())
    await place.read()  # between the reading and the taking out
    forget(place.file, taken)
    assert [each["number"] for each in used(await place.events())] == [3, 4]
    assert problems(await place.events()) == []
    taken = take_up(place.file, place.trust, await place.noted())
    forget(place.file, taken)
    assert await place.events() == []
    await place.read()
    assert [each["number"] for each in used(await place.events())] == [5, 6]
    assert problems(await place.events()) == []
    assert stat.S_IMODE(place.file.stat().st_mode) == 0o600


async def test_where_nothing_was_done_there_is_nothing_to_tell(place: Place) -> None:
    taken = take_up(place.file, place.trust, [])
    assert taken.events == []
    forget(place.file, taken)
    assert not place.file.exists()


@pytest.mark.requirement("F-AUPROT")
@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("changed", "not as it was signed"),
        ("first out", "entries 1 to 1 are missing"),
        ("middle out", "entries 2 to 2 are missing"),
        ("swapped", "does not follow"),
        ("twice", "does not follow"),
        ("garbage", "cannot be read"),
        ("torn", "cannot be read"),
        ("unsigned", "is not signed"),
        ("renamed", "somebody else than it names"),
        ("last out", "does not say how it ended"),
        ("all out", "entry 1 is missing"),
        ("gone", "entry 3 is missing"),
        ("forged start", "does not follow"),
    ],
)
async def test_a_record_that_was_tampered_with_is_told(place: Place, how: str, told: str) -> None:
    await place.read()
    await place.read()
    one, two, three, four = place.lines()
    plain = json.loads(two)
    match how:
        case "changed":
            place.put(one, two.replace(b'"results":3', b'"results":0'), three, four)
        case "first out":
            place.put(two, three, four)
        case "middle out":
            place.put(one, three, four)
        case "swapped":
            place.put(one, three, two, four)
        case "twice":
            place.put(one, two, two, three, four)
        case "garbage":
            place.put(one, b"\xff\x00{", three, four)
        case "torn":
            place.file.write_bytes(b"\n".join([one, two, three, four[:40]]))
        case "unsigned":
            place.put(one, json.dumps({n: v for n, v in plain.items() if n != "signature"}).encode(), three, four)
        case "renamed":
            place.put(one, two.replace(b'"operator":"admin"', b'"operator":"oversight"'), three, four)
        case "last out":
            place.put(one, two, three)
        case "all out":
            place.put()
        case "gone":
            place.file.unlink()
        case "forged start":
            place.put(json.dumps({"taken_up": 2, "previous": "0" * 64}).encode(), three, four)
    events = await place.events()
    assert any(told in problem for problem in problems(events)), problems(events)
    # What is whole is told all the same.
    assert how in ("all out", "gone") or used(events)


@pytest.mark.requirement("F-AUPROT")
async def test_a_line_somebody_made_up_is_told_with_what_it_says(place: Place) -> None:
    await place.read()
    genuine = place.file.read_bytes()
    place.file.unlink()
    forger = issue("msc://operator/admin", STRANGER)
    # The forger's own site, whose authority is its own.
    place.settings.tls.ca.write_bytes(pem_of(STRANGER.certificate))
    await place.read(forger)
    place.settings.tls.ca.write_bytes(pem_of(AUTHORITY.certificate))
    events = take_up(place.file, place.trust, []).events
    assert used(events) == []
    assert all("does not count" in problem and '"results":3' in problem for problem in problems(events)[1:2])
    place.file.write_bytes(genuine)
    assert problems(take_up(place.file, place.trust, []).events) == []


@pytest.mark.requirement("F-AUDIT")
async def test_a_directory_that_cannot_be_written_keeps_nobody_from_reading(place: Place) -> None:
    await place.store.close()
    database = place.settings.database(place.settings.directory)
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("CREATE TRIGGER full BEFORE INSERT ON change BEGIN SELECT RAISE(ABORT, 'full'); END")
    await place.read()
    assert len(used(take_up(place.file, place.trust, []).events)) == 2


@given(data=st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_property_whatever_stands_in_the_file_a_switch_can_start(tmp_path: Path, data: st.DataObject) -> None:
    file = tmp_path / "glass.jsonl"
    names = st.sampled_from(
        ["number", "previous", "at", "operator", "certificate", "signature", "taken_up", "session"]
    )
    values = st.none() | st.integers() | st.text(max_size=4) | st.just(10**40) | st.just(True)
    line = st.binary(max_size=20) | st.dictionaries(names, values).map(lambda each: json.dumps(each).encode())
    file.write_bytes(b"\n".join(data.draw(st.lists(line, max_size=5))))
    taken = take_up(file, Anchor().trust(), [])
    for event in taken.events:
        assert event.event == "break_glass.damaged"
        str(event.detail).encode()
    forget(file, taken)
    assert not problems(take_up(file, Anchor().trust(), []).events)
