"""The directory's database: what is saved is what is loaded; a change is whole, logged, or not made."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from msc.directory.consistency import faults
from msc.directory.rows import (
    TABLES,
    AccessLevel,
    Account,
    Agency,
    AgencyKind,
    Agreement,
    Directory,
    LateAnswers,
    Mode,
    OperatorClass,
    Pool,
    Status,
)
from msc.directory.store import (
    Actor,
    Change,
    DirectoryChanged,
    DirectoryStore,
    DirectoryUnavailable,
    Lease,
    LoggedChange,
)
from tests.support.county import LONG_AGO, OTP_SECRET, account, county, mnemonic, terminal, user

DAY = date(2026, 1, 31)
ROE = Actor("ROE", "cli:roe")
FULL = county(
    user(
        "J40218", status=Status.SUSPENDED, status_reason="an inquiry; see 26-17", status_since=DAY, status_until=DAY,
        cleared=None, certified=DAY, score=91, operator_class=OperatorClass.LESS_THAN_FULL_ACCESS, name="MÜLLER, J'O",
        direct=False, appointed=DAY, acknowledged=DAY, reviewed=DAY, reviewed_by="ROE", review_outcome="kept",
        suspended_databases=frozenset({"DMV", "AFS"}),
    ),
    accounts=[
        Account(
            "J40218", "$argon2id$x", DAY, ("$argon2id$y", "$argon2id$z"), OTP_SECRET, 58_994_910, ("ab", "cd"),
            1_769_847_300_000_000, 2**52, 3,
        )
    ],
    agencies=[
        Agency(
            "DMV1", "Motor vehicles", "CA0981300", frozenset({"CA0981301"}), AgencyKind.NON_LAW_ENFORCEMENT,
            AccessLevel.LESS_THAN_FULL,
            frozenset({"DMV"}), frozenset({"inquiry"}), frozenset({"DMV"}), frozenset({"AFS:E", "AFS:F"}), "APB 9",
            "cjleads",
        )
    ],
    agreements=[Agreement("MOU 7", "DMV1", LONG_AGO, DAY, frozenset({"DMV"}))],
    mnemonics=[
        mnemonic("B001", databases=frozenset({"WPS", "SVS"}), functions=frozenset({"inquiry"}), listed=DAY),
        mnemonic("B002", pool="boats", databases=frozenset(), functions=frozenset(), last_used=DAY, mode=Mode.TEST),
    ],
    pools=[Pool("boats", "EXLP", "APB 1", "printer-1", LateAnswers.DESTINATION)],
    devices=[
        terminal("off", mnemonic="B001", status=Status.DISABLED, location="Room 7", device_class="mobile",
                 licence="OC-17", certificate="ab" * 32, locked_at=1_769_847_300_000_000),
    ],
)  # fmt: skip


def content(directory: Directory) -> dict[str, object]:
    return {name: directory.table(name) for name in TABLES} | {"account": directory.accounts}


async def test_a_directory_loads_as_it_was_saved(store: DirectoryStore) -> None:
    await store.save(FULL)
    loaded = await store.load()
    assert content(loaded) == content(FULL)
    assert loaded.users["J40218"].status is Status.SUSPENDED
    assert faults(loaded) == faults(FULL)
    assert loaded.members("cars") == ["M001", "M002"]
    assert loaded.agreement("DMV1", LONG_AGO) == FULL.agreements["MOU 7"]


async def test_saving_replaces_the_whole_content(store: DirectoryStore) -> None:
    await store.save(FULL)
    await store.save(county())
    assert content(await store.load()) == content(county())
    await store.save(Directory())
    assert content(await store.load()) == content(Directory())
    assert await store.revision() == 0, "making a site is not a change"


async def test_a_directory_that_cannot_be_saved_leaves_the_old_one_whole(store: DirectoryStore) -> None:
    await store.save(county())
    # A row no table takes: NOT NULL is broken in the last table but one.
    broken = county(user("J40218"), devices=[terminal("x", location=None)])
    with pytest.raises(DirectoryUnavailable):
        await store.save(broken)
    assert content(await store.load()) == content(county())


async def test_some_rows_are_read_by_key(store: DirectoryStore) -> None:
    await store.save(FULL)
    assert await store.read("mnemonic", ["B002", "none", "A123"]) == [
        FULL.mnemonics["A123"], FULL.mnemonics["B002"],
    ]  # fmt: skip
    assert await store.read("user", []) == []
    assert await store.read_accounts(["J40218", "none"]) == [FULL.accounts["J40218"]]


# --- changes ------------------------------------------------------------------------------------------------


def suspended(id: str) -> Change:
    row = replace(FULL.users[id], status=Status.SUSPENDED)
    return Change("user", id, "suspended", row, detail={"status": ["active", "suspended"], "since": DAY})


@pytest.mark.requirement("C-ACPLOG", "F-AUDIT")
async def test_a_change_writes_rows_and_accounts_and_logs_each(store: DirectoryStore) -> None:
    await store.save(FULL)
    changes = [
        suspended("J40217"),
        Change("account", "J40217", "password_reset", account={"password_hash": "$argon2id$new", "failed_since": 0}),
        Change("device", "off", "removed"),
        Change("user", "J40300", "added", user("J40300"), {"password_hash": "$argon2id$q"}),
    ]
    assert await store.change(changes, ROE, "order 26-17", 1_000, base=0) == 4
    loaded = await store.load()
    assert loaded.users["J40217"].status is Status.SUSPENDED
    assert loaded.accounts["J40217"].password_hash == "$argon2id$new"
    assert loaded.accounts["J40300"] == Account("J40300", "$argon2id$q")
    assert "off" not in loaded.devices
    assert loaded.accounts["J40218"] == FULL.accounts["J40218"]
    logged = await store.changes_since(0)
    assert [(c.revision, c.table, c.key, c.action) for c in logged] == [
        (1, "user", "J40217", "suspended"),
        (2, "account", "J40217", "password_reset"),
        (3, "device", "off", "removed"),
        (4, "user", "J40300", "added"),
    ]
    assert {(c.at, c.operator, c.source, c.reason, c.journaled) for c in logged} == {
        (1_000, "ROE", "cli:roe", "order 26-17", False)
    }
    assert json.loads(logged[0].detail) == {"status": ["active", "suspended"], "since": "2026-01-31"}
    assert "argon2" not in repr(logged)


async def test_a_change_is_made_whole_or_not_at_all(store: DirectoryStore) -> None:
    await store.save(FULL)
    broken = Change("device", "car-1", "changed", replace(FULL.devices["car-1"], location=None))
    with pytest.raises(DirectoryUnavailable):
        await store.change([suspended("J40217"), broken], ROE, "", 1)
    assert content(await store.load()) == content(FULL)
    assert (await store.revision(), await store.changes_since(0)) == (0, [])
    assert await store.change([suspended("J40217")], ROE, "", 1) == 1, "the store goes on"


async def test_of_two_who_changed_the_same_state_the_second_is_told(store: DirectoryStore, tmp_path: Path) -> None:
    await store.save(FULL)
    other = DirectoryStore(f"sqlite+aiosqlite:///{tmp_path / 'directory.db'}")
    try:
        base = await store.revision()
        assert await other.change([suspended("J40217")], ROE, "", 1, base) == 1
        with pytest.raises(DirectoryChanged):
            await store.change([suspended("J40218")], ROE, "", 2, base)
        assert [change.key for change in await store.changes_since(0)] == ["J40217"]
        assert (await store.load()).users["J40218"] == FULL.users["J40218"]
        assert await store.change([suspended("J40218")], ROE, "", 2, base=1) == 2
        outcomes = await asyncio.gather(
            store.change([suspended("J40218")], ROE, "", 3, 2),
            other.change([suspended("J40217")], ROE, "", 3, 2),
            return_exceptions=True,
        )
        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["DirectoryChanged", "int"]
    finally:
        await other.close()


async def test_a_change_of_nothing_is_no_change(store: DirectoryStore) -> None:
    await store.save(FULL)
    assert await store.change([], ROE, "", 1, base=0) == 0
    assert await store.changes_since(0) == []


async def test_of_several_changes_of_one_row_the_last_stands_and_all_are_logged(store: DirectoryStore) -> None:
    await store.save(FULL)
    first, last = user("J40217", name="ROE, JANE"), user("J40217", name="ROE, JANE M")
    await store.change(
        [Change("user", "J40217", "changed", first), Change("user", "J40217", "changed", last)], ROE, "", 1
    )
    assert (await store.load()).users["J40217"] == last
    assert await store.revision() == 2


async def test_what_stands_in_the_journal_is_not_asked_for_again(store: DirectoryStore) -> None:
    await store.save(FULL)
    await store.change([suspended("J40217"), suspended("J40218")], ROE, "", 1)
    await store.change([Change("device", "off", "removed")], ROE, "", 2)
    await store.mark_journaled(2)
    assert [(c.revision, c.journaled) for c in await store.changes_since(0)] == [(1, True), (2, True), (3, False)]
    assert [c.revision for c in await store.changes_since(3)] == [3], "what is not journaled is told whenever asked"
    await store.mark_journaled(3)
    assert await store.changes_since(3) == []


async def test_a_revision_is_never_given_twice(store: DirectoryStore, tmp_path: Path) -> None:
    await store.save(FULL)
    await store.change([suspended("J40217")], ROE, "", 1)
    with closing(sqlite3.connect(tmp_path / "directory.db")) as connection, connection:
        connection.execute("DELETE FROM change")
    assert await store.change([suspended("J40217")], ROE, "", 1) == 2


# --- what the switch learns ---------------------------------------------------------------------------------


async def test_members_of_one_account_are_written(store: DirectoryStore) -> None:
    await store.save(FULL)
    await store.update_account(
        "J40217",
        {
            "failed_since": 4,
            "locked_at": 17,
            "password_expires": DAY,
            "password_history": ("a", "b"),
            "recovery_codes": (),
        },
    )
    loaded = (await store.load()).accounts
    assert loaded["J40217"] == account(
        "J40217", failed_since=4, locked_at=17, password_expires=DAY, password_history=("a", "b")
    )
    assert loaded["J40218"] == FULL.accounts["J40218"]
    await store.update_account(
        "J40217", {"locked_at": None, "password_expires": None, "failed_since": 0, "password_history": ()}
    )
    assert (await store.load()).accounts["J40217"] == account("J40217")
    await store.update_account("J40299", {"failed_since": 1})
    assert (await store.load()).accounts["J40299"] == Account("J40299", failed_since=1)
    assert await store.revision() == 0, "what the switch learns is not a change"


async def test_members_of_a_row_that_the_switch_keeps_are_written(store: DirectoryStore) -> None:
    await store.save(FULL)
    await store.touch("mnemonic", "B001", last_used=DAY, listed=None)
    await store.touch("device", "desk-1", locked_at=17)
    loaded = await store.load()
    assert loaded.mnemonics["B001"] == replace(FULL.mnemonics["B001"], last_used=DAY, listed=None)
    assert loaded.mnemonics["A123"] == FULL.mnemonics["A123"]
    assert loaded.devices["desk-1"].locked_at == 17


# --- leases -------------------------------------------------------------------------------------------------


def lease(session: str, mnemonic: str = "M001", began: int = 1) -> Lease:
    return Lease(session, "cars", mnemonic, "J40217", "car-1", began)


@pytest.mark.requirement("C-POOL")
async def test_the_database_itself_refuses_a_mnemonic_held_twice(store: DirectoryStore, tmp_path: Path) -> None:
    await store.save(FULL)
    await store.update_account("J40217", {"failed_since": 0}, lease=lease("s1"))
    insert = "INSERT INTO lease VALUES ('s2', 'cars', 'M001', 'J40218', 'car-2', 2, {}, NULL)"
    with closing(sqlite3.connect(tmp_path / "directory.db")) as connection:
        with pytest.raises(sqlite3.IntegrityError):
            connection.execute(insert.format("NULL"))
        connection.execute(insert.format("3"))
        connection.rollback()


@pytest.mark.requirement("C-POOL")
async def test_a_lease_begins_with_its_sign_on_or_not_at_all(store: DirectoryStore) -> None:
    await store.save(FULL)
    await store.update_account("J40217", {"failed_since": 0}, lease=lease("s1"))
    with pytest.raises(DirectoryUnavailable):
        await store.update_account(
            "J40218", {"failed_since": 9}, lease=lease("s1", "M002")
        )  # a session id given twice
    assert (await store.load()).accounts["J40218"].failed_since == 3
    assert await store.leases(10) == [lease("s1")]


@pytest.mark.requirement("C-POOL", "C-ACPLOG")
async def test_leases_are_told_newest_first_by_whatever_is_asked(store: DirectoryStore) -> None:
    await store.save(FULL)
    for number, name in enumerate(("M001", "M002", "M001"), 1):
        await store.update_account("J40217", {}, lease=lease(f"s{number}", name, number * 10))
        await store.end_lease(f"s{number}", number * 10 + 5, "signed off")
    await store.end_lease("s3", 99, "again")
    found = await store.leases(10)
    assert [(row.session, row.ended, row.end_reason) for row in found] == [
        ("s3", 35, "signed off"), ("s2", 25, "signed off"), ("s1", 15, "signed off"),
    ]  # fmt: skip
    assert [row.session for row in await store.leases(10, mnemonic="M001", user=None)] == ["s3", "s1"]
    assert [row.session for row in await store.leases(1, pool="cars")] == ["s3"]
    assert await store.leases(10, user="NOBODY") == []
    assert await store.last_leases() == {"M001": 35, "M002": 25}


# --- misuse -------------------------------------------------------------------------------------------------


@pytest.mark.requirement("C-SELF", "C-MISUSE")
async def test_a_flag_of_misuse_is_open_until_somebody_has_looked(store: DirectoryStore) -> None:
    await store.save(FULL)
    await store.flag_misuse([(1, 41, "J40217", "EXLP", "own name"), (2, 42, "J40218", "EXLP", "own name")])
    first, second = await store.misuse(closed=False)
    assert (first.msn, first.user, first.pattern, first.closed) == (41, "J40217", "own name", None)
    assert [flag.msn for flag in await store.misuse(closed=False, user="J40218")] == [42]
    assert await store.close_misuse(first.flag, "a training case", ROE, 7)
    assert not await store.close_misuse(first.flag, "again", ROE, 8)
    assert not await store.close_misuse(99, "nothing there", ROE, 8)
    assert await store.misuse(closed=False) == [second]
    [closed, _] = await store.misuse(closed=True)
    assert (closed.closed, closed.closed_by, closed.outcome) == (7, "ROE", "a training case")
    assert await store.changes_since(0) == [
        LoggedChange(1, 7, "ROE", "cli:roe", "misuse", str(first.flag), "closed", "{}", "a training case", False)
    ]


# --- when the world is wrong --------------------------------------------------------------------------------


async def test_a_database_that_is_none_is_told_and_not_raised_raw(tmp_path: Path) -> None:
    file = tmp_path / "directory.db"
    file.write_bytes(b"this is not a database, and long enough to be looked at" * 40)
    store = DirectoryStore(f"sqlite+aiosqlite:///{file}")
    works: list[Any] = [
        store.open(), store.load(), store.save(county()), store.update_account("J40217", {"failed_since": 1}),
        store.change([], ROE, "", 1), store.revision(), store.changes_since(0), store.leases(1),
        store.end_lease("s", 1, ""),
        store.touch("device", "desk-1", locked_at=1), store.last_leases(), store.misuse(closed=True),
    ]  # fmt: skip
    try:
        for work in works:
            with pytest.raises(DirectoryUnavailable):
                await work
    finally:
        await store.close()


async def test_a_failure_is_told_without_the_rows(store: DirectoryStore) -> None:
    await store.save(county())
    with pytest.raises(DirectoryUnavailable) as told:
        await store.save(county(user("J40218", name=None), accounts=[account("J40218", password_hash="$argon2id$x")]))
    assert "argon2" not in str(told.value) and "J40218" not in str(told.value)


async def test_a_class_nobody_knows_is_told_and_not_raised_raw(store: DirectoryStore, tmp_path: Path) -> None:
    await store.save(county())
    with closing(sqlite3.connect(tmp_path / "directory.db")) as connection, connection:
        connection.execute("UPDATE user SET operator_class = 'emperor'")
    with pytest.raises(DirectoryUnavailable):
        await store.load()


async def test_a_missing_table_is_told_and_not_raised_raw(store: DirectoryStore) -> None:
    with pytest.raises(DirectoryUnavailable):
        await store.load()
