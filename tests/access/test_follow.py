"""A running switch takes up what others changed in the directory's database, and has each change journaled."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from msc.access.follow import DirectoryFollower, lease_ended
from msc.directory.rows import Directory, Status
from msc.directory.store import Actor, Change, DirectoryStore, Lease
from tests.access.conftest import MakePoint, Point
from tests.access.test_control_point import request
from tests.support.county import OTP_SECRET, PASSWORD_HASH, account, county, mnemonic, user

ROE = Actor("ROE", "cli:roe")


class Journal:
    """What a follower knows of the journal: whether it has settled."""

    settled = True

    def noted(self) -> int:
        return 1

    def holds(self, mark: int) -> bool:
        return self.settled and mark == 1


class Following:
    """A switch's access control that follows its directory, and somebody else's store on the same file."""

    def __init__(self, point: Point, other: DirectoryStore, revision: int) -> None:
        self.point, self.other = point, other
        self.journal = Journal()
        self.follower = DirectoryFollower(point.store, point, revision, self.journal)

    @property
    def directory(self) -> Directory:
        return self.point.directory

    def audited(self) -> list[tuple[str, str | None]]:
        return [(event.event, event.subject) for event in self.point.audited if event.subject is not None]


@pytest.fixture
async def other(tmp_path: Path) -> AsyncIterator[DirectoryStore]:
    """The store of a command, on the same database."""
    store = DirectoryStore(f"sqlite+aiosqlite:///{tmp_path / 'directory.db'}")
    yield store
    await store.close()


@pytest.fixture
async def following(make_point: MakePoint, other: DirectoryStore) -> Following:
    """A county that is followed."""
    accounts = [account("J40218", otp_secret=OTP_SECRET, otp_step=50)]
    point = await make_point(county(user("J40218"), accounts=accounts))
    found = Following(point, other, await other.revision())
    assert not await found.follower.poll()
    return found


async def test_nothing_changed_is_nothing_taken_up(following: Following) -> None:
    before = following.directory.copy()
    assert not await following.follower.poll()
    assert following.directory.users == before.users
    assert following.point.audited == []


@pytest.mark.requirement("C-SANCTION", "C-LEAVE", "F-AUDIT", "C-ACPLOG")
async def test_what_a_command_changed_is_in_force_after_one_look(following: Following) -> None:
    point, rows = following.point, following.directory
    car, _ = await point.sign_on(rows.devices["car-1"], request(), None)
    changes = [
        Change("user", "J40217", "suspended", replace(rows.users["J40217"], status=Status.SUSPENDED)),
        Change("user", "J40300", "added", user("J40300"), {"password_hash": PASSWORD_HASH}),
        Change("account", "J40218", "unlocked", account={"locked_at": None, "failed_since": 7}),
        Change("mnemonic", "M003", "added", mnemonic("M003", pool="cars")),
        Change("mnemonic", "M002", "removed"),
        Change("device", "desk-2", "removed"),
    ]
    revision = await following.other.change(changes, ROE, "order 26-17", 1_000)
    point.audited.clear()
    assert await following.follower.poll()
    assert following.follower.revision == revision
    assert rows.users["J40217"].status is Status.SUSPENDED
    assert rows.accounts["J40300"].password_hash == PASSWORD_HASH
    assert (rows.accounts["J40218"].failed_since, rows.accounts["J40218"].otp_step) == (7, 50)
    assert rows.devices.keys().isdisjoint({"desk-2"}) and "A124" not in rows.static_devices
    assert rows.members("cars") == ["M001", "M003"]
    assert point.pools_free() == {"cars": 1}
    objection = point.objection(car)
    assert objection is not None and objection.code == "E104"
    await point.sign_on(rows.devices["desk-1"], request("J40300"), None)
    assert following.audited() == [
        ("user.suspended", "user J40217"),
        ("user.added", "user J40300"),
        ("user.unlocked", "user J40218"),
        ("mnemonic.added", "mnemonic M003"),
        ("mnemonic.removed", "mnemonic M002"),
        ("device.removed", "device desk-2"),
    ]
    [event, *_] = point.audited
    assert (event.at_us, event.user, event.source, event.reason, event.device) == (
        1_000, "ROE", "cli:roe", "order 26-17", None,
    )  # fmt: skip
    assert event.detail is not None and event.detail.startswith("revision 1 ")
    assert not await following.follower.poll()


@pytest.mark.requirement("F-AUDIT", "F-AUFAIL")
async def test_a_change_is_audited_once_and_marked_only_when_the_journal_has_it(following: Following) -> None:
    following.journal.settled = False
    await following.other.change([Change("device", "desk-2", "removed")], ROE, "", 1)
    assert await following.follower.poll()
    for _ in range(3):
        assert not await following.follower.poll()
    assert [change.journaled for change in await following.other.changes_since(0)] == [False]
    await following.other.change([Change("device", "desk-1", "removed")], ROE, "", 2)
    assert await following.follower.poll()
    following.journal.settled = True
    assert not await following.follower.poll()
    assert [change.journaled for change in await following.other.changes_since(0)] == [True, True]
    assert following.audited() == [("device.removed", "device desk-2"), ("device.removed", "device desk-1")]


@pytest.mark.requirement("F-AUDIT")
async def test_changes_made_while_no_switch_ran_are_audited_at_its_start(
    other: DirectoryStore, tmp_path: Path
) -> None:
    await other.save(county())
    await other.change([Change("device", "desk-2", "removed")], ROE, "old", 1)
    await other.mark_journaled(1)
    await other.change([Change("device", "desk-1", "removed")], ROE, "new", 2)
    store = DirectoryStore(f"sqlite+aiosqlite:///{tmp_path / 'directory.db'}")
    point = Point(await store.load(), store, lambda event: point.audited.append(event))
    point.audited, point.store = [], store
    found = Following(point, other, await store.revision())
    assert not await found.follower.poll(), "what was loaded is in force already"
    assert found.audited() == [("device.removed", "device desk-1")]
    assert not await found.follower.poll()
    assert all(change.journaled for change in await other.changes_since(0))
    assert len(found.audited()) == 1
    await point.close()
    await store.close()


@pytest.mark.requirement("F-AUDIT")
async def test_a_change_not_marked_before_a_kill_is_audited_again_and_a_marked_one_is_not(
    following: Following, other: DirectoryStore
) -> None:
    await other.change([Change("device", "desk-1", "removed")], ROE, "", 1)
    await following.follower.poll()
    await following.follower.poll()
    following.journal.settled = False
    await other.change([Change("device", "desk-2", "removed")], ROE, "", 2)
    await following.follower.poll()
    following.point.audited.clear()
    again = Following(following.point, other, await other.revision())
    await again.follower.poll()
    assert again.audited() == [("device.removed", "device desk-2")]


@pytest.mark.requirement("F-MFA")
async def test_a_change_of_an_account_never_takes_its_used_codes_back(following: Following) -> None:
    """A command writes an account while a code is accepted that it does not know of."""
    rows = following.directory
    await following.other.change([Change("account", "J40218", "unlocked", account={"locked_at": None})], ROE, "", 1)
    rows.accounts["J40218"] = replace(rows.accounts["J40218"], otp_step=51)
    await following.follower.poll()
    assert rows.accounts["J40218"].otp_step == 51
    changed = {"otp_secret": "A" * 32, "otp_step": 0}
    await following.other.change([Change("account", "J40218", "otp_reset", account=changed)], ROE, "", 2)
    await following.follower.poll()
    assert (rows.accounts["J40218"].otp_secret, rows.accounts["J40218"].otp_step) == ("A" * 32, 0)


@pytest.mark.requirement("C-SANCTION")
async def test_two_thousand_users_are_taken_up_at_once(following: Following) -> None:
    names = [f"B{n:05d}" for n in range(2_000)]
    rows = [user(name) for name in names]
    added = [Change("user", row.user, "added", row, {"password_hash": PASSWORD_HASH}) for row in rows]
    await following.other.change(added, ROE, "a new department", 1)
    assert await following.follower.poll()
    assert all(name in following.directory.users and name in following.directory.accounts for name in names)
    assert len(following.audited()) == 2_000
    gone = [Change("user", row.user, "suspended", replace(row, status=Status.SUSPENDED)) for row in rows]
    await following.other.change(gone, ROE, "and gone", 2)
    assert await following.follower.poll()
    assert {following.directory.users[name].status for name in names} == {Status.SUSPENDED}
    assert {following.directory.accounts[name].password_hash for name in names} == {PASSWORD_HASH}
    assert len(following.audited()) == 4_000
    assert not await following.follower.poll()
    assert await following.other.changes_since(following.follower.revision) == []


@pytest.mark.requirement("C-MISUSE")
async def test_the_closing_of_a_misuse_flag_is_audited_and_changes_no_row(following: Following) -> None:
    await following.other.flag_misuse([(1, 41, "J40217", "EXLP", "own name")])
    [flag] = await following.other.misuse(closed=False)
    await following.other.close_misuse(flag.flag, "a training case", ROE, 7)
    before = following.directory.copy()
    assert await following.follower.poll()
    assert following.directory.users == before.users and following.directory.devices == before.devices
    [event] = following.point.audited
    assert (event.event, event.subject, event.user, event.reason) == (
        "misuse.closed", f"misuse {flag.flag}", "ROE", "a training case",
    )  # fmt: skip


async def test_a_row_taken_out_and_put_back_between_two_looks_is_there(following: Following) -> None:
    row = following.directory.devices["desk-1"]
    await following.other.change([Change("device", "desk-1", "removed")], ROE, "", 1)
    await following.other.change([Change("device", "desk-1", "added", replace(row, location="Room 9"))], ROE, "", 2)
    await following.follower.poll()
    assert following.directory.devices["desk-1"].location == "Room 9"
    assert following.directory.static_devices["A123"].location == "Room 9"


@pytest.mark.requirement("F-LOCKOUT")
async def test_a_command_releases_a_locked_account_and_a_locked_device(following: Following) -> None:
    point, rows = following.point, following.directory
    point.directory.devices["desk-1"] = replace(rows.devices["desk-1"], locked_at=17)
    await point.store.touch("device", "desk-1", locked_at=17)
    rows.accounts["J40217"] = replace(rows.accounts["J40217"], locked_at=17)
    await point.store.update_account("J40217", {"locked_at": 17})
    changes = [
        Change("account", "J40217", "unlocked", account={"locked_at": None, "failed_since": 0}),
        Change("device", "desk-1", "unlocked", replace(rows.devices["desk-1"], locked_at=None), state=("locked_at",)),
    ]
    await following.other.change(changes, ROE, "", 1)
    await following.follower.poll()
    session, _ = await point.sign_on(rows.devices["desk-1"], request(), None)
    assert session.user == "J40217"


@pytest.mark.requirement("C-POOL", "C-ACPLOG")
def test_a_lease_that_a_dead_switch_left_is_told() -> None:
    event = lease_ended(Lease("s1", "cars", "M001", "J40217", "car-1", 1), 9, "the switch had stopped")
    assert (event.event, event.at_us, event.device, event.user, event.mnemonic, event.session, event.detail) == (
        "lease.ended", 9, "car-1", "J40217", "M001", "s1", "the switch had stopped",
    )  # fmt: skip
