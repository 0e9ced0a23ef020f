"""The directory's database: what is saved is what is loaded."""

from __future__ import annotations

import sqlite3
from datetime import date
from pathlib import Path

import pytest

from msc.acp.directory import Directory, Mnemonic, OperatorClass, UserStatus
from msc.acp.store import DirectoryStore, DirectoryUnavailable
from tests.support.county import OTP_SECRET, county, terminal, user

FULL = county(
    user(
        "J40218", otp_secret=OTP_SECRET, otp_step=58_994_910, status=UserStatus.SUSPENDED,
        locked_at=1_769_847_300_000_000, cleared=None, certified=date(2026, 1, 31),
        password_expires=date(2026, 4, 1), previous_sign_on=2**52,
        failed_since=3, operator_class=OperatorClass.LESS_THAN_FULL_ACCESS, name="MÜLLER, J'O",
    ),
    mnemonics=[
        Mnemonic("B001", "EXLP", databases=frozenset({"WPS", "SVS"}), functions=frozenset({"inquiry"})),
        Mnemonic("B002", "EXLP", databases=frozenset(), functions=frozenset()),
    ],
    devices=[terminal("off", mnemonic="B001", enabled=False, location="Room 7")],
)  # fmt: skip


def content(directory: Directory) -> tuple[object, ...]:
    return directory.agencies, directory.users, directory.devices, directory.pools, directory.mnemonics


async def test_a_directory_loads_as_it_was_saved(store: DirectoryStore) -> None:
    await store.save(FULL)
    loaded = await store.load()
    assert content(loaded) == content(FULL)
    assert loaded.users["J40218"].status is UserStatus.SUSPENDED
    assert loaded.faults() == FULL.faults()


async def test_saving_replaces_the_whole_content(store: DirectoryStore) -> None:
    await store.save(FULL)
    await store.save(county())
    assert content(await store.load()) == content(county())
    await store.save(Directory())
    assert content(await store.load()) == content(Directory())


async def test_a_directory_that_cannot_be_saved_leaves_the_old_one_whole(store: DirectoryStore) -> None:
    await store.save(county())
    with pytest.raises(DirectoryUnavailable):
        await store.save(county(user("J40218"), devices=[terminal("x", mnemonic="A123")]))
    assert content(await store.load()) == content(county())


async def test_columns_of_one_user_are_written(store: DirectoryStore) -> None:
    await store.save(FULL)
    await store.update_user("J40217", failed_since=4, locked_at=17, password_expires=date(2026, 4, 1))
    loaded = (await store.load()).users
    assert loaded["J40217"] == user("J40217", failed_since=4, locked_at=17, password_expires=date(2026, 4, 1))
    assert loaded["J40218"] == FULL.users["J40218"]
    await store.update_user("J40217", locked_at=None, password_expires=None, failed_since=0)
    assert (await store.load()).users["J40217"] == user("J40217")


async def test_a_database_that_is_none_is_told_and_not_raised_raw(tmp_path: Path) -> None:
    file = tmp_path / "directory.db"
    file.write_bytes(b"this is no database, and long enough to be looked at" * 40)
    store = DirectoryStore(f"sqlite+aiosqlite:///{file}")
    try:
        for work in (store.load(), store.save(county()), store.update_user("J40217", failed_since=1)):
            with pytest.raises(DirectoryUnavailable):
                await work
    finally:
        await store.close()


async def test_a_class_nobody_knows_is_told_and_not_raised_raw(store: DirectoryStore, tmp_path: Path) -> None:
    await store.save(county())
    with sqlite3.connect(tmp_path / "directory.db") as connection:
        connection.execute("UPDATE user SET operator_class = 'emperor'")
    connection.close()
    with pytest.raises(DirectoryUnavailable):
        await store.load()


async def test_a_missing_table_is_told_and_not_raised_raw(store: DirectoryStore) -> None:
    with pytest.raises(DirectoryUnavailable):
        await store.load()
