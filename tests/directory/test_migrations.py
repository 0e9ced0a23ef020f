"""Directories of earlier and later releases."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from msc import clock
from msc.directory import migrations
from msc.directory.codec import members
from msc.directory.rows import TABLES, Account, Agency, Device, Directory, Mnemonic, OperatorClass, Pool, Status, User
from msc.directory.schema import metadata
from msc.directory.store import Actor, Change, DirectoryStore, DirectoryUnavailable, Lease
from msc.protocol.station import StationKind
from tests.support.county import county

OF_0_1 = (Path(__file__).parent / "directory_0_1.sql").read_text()
HASH = "$argon2id$v=19$m=8,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
CARRIED = "carried over from 0.1"


def query(file: Path, sql: str) -> list[Any]:
    with closing(sqlite3.connect(file)) as connection, connection:
        return connection.execute(sql).fetchall()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The directory's database file, as the fixture `store` names it."""
    return tmp_path / "directory.db"


@pytest.fixture
def old(file: Path) -> Path:
    """A directory as release 0.1 left it."""
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(OF_0_1)
    return file


def differences(file: Path) -> list[object]:
    """Return what the tables in a file lack of those of this release, or have too many."""
    engine = create_engine(f"sqlite:///{file}")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        found = compare_metadata(context, metadata)
    engine.dispose()
    return found


def content(directory: Directory) -> dict[str, object]:
    return {name: directory.table(name) for name in TABLES} | {"account": directory.accounts}


def test_the_head_is_the_last_revision() -> None:
    folder = str(Path(migrations.__file__).parent)
    assert ScriptDirectory(folder, version_locations=[folder]).get_heads() == [migrations.HEAD]


async def test_a_new_directory_is_of_the_newest_revision(store: DirectoryStore, file: Path) -> None:
    await store.open()
    assert query(file, "SELECT version_num FROM alembic_version") == [(migrations.HEAD,)]
    assert differences(file) == []
    assert content(await store.load()) == content(Directory())


async def test_the_tables_of_0_1_become_those_of_this_release(
    store: DirectoryStore, old: Path, tmp_path: Path
) -> None:
    assert differences(old) != []
    await store.open()
    assert differences(old) == []
    assert query(old, "SELECT version_num FROM alembic_version") == [(migrations.HEAD,)]
    # Column by column, key and NULL included, and index by index, they are those of a directory made anew.
    new = tmp_path / "new.db"
    made = DirectoryStore(f"sqlite+aiosqlite:///{new}")
    await made.open()
    await made.close()
    for table in metadata.tables:
        upgraded, fresh = ([row[1:] for row in query(f, f'PRAGMA table_info("{table}")')] for f in (old, new))
        assert upgraded == fresh, table
        kept, wanted = (
            sorted((row[1], row[2], row[4]) for row in query(f, f'PRAGMA index_list("{table}")')) for f in (old, new)
        )
        assert kept == wanted, table
    autoincrement = "SELECT name FROM sqlite_master WHERE sql LIKE '%AUTOINCREMENT%' ORDER BY name"
    assert query(old, autoincrement) == query(new, autoincrement) == [("change",), ("misuse",)]
    assert query(old, "SELECT name FROM sqlite_master WHERE name LIKE 'old%'") == []


@pytest.mark.requirement("C-UID", "C-DBAUTH", "C-SANCTION", "F-LOCKOUT", "F-MFA")
async def test_a_directory_of_0_1_keeps_everything_it_held(store: DirectoryStore, old: Path) -> None:
    first = clock.today()
    await store.open()
    directory = await store.load()
    day = directory.users["J40217"].added
    assert day is not None and first <= day <= clock.today()
    assert directory.agencies == {
        "EXLP": Agency("EXLP", "Police", "CA0980000"),
        "FIRE": Agency("FIRE", "Fire", "CA0981100", status=Status.SUSPENDED),
    }
    assert directory.users == {
        # Nobody can have signed the DMV statement that 0.1 did not ask for: the county records it.
        "J40217": User(
            "J40217", "DOE, JOHN", "EXLP", OperatorClass.FULL_ACCESS, authorised_by=CARRIED, added=day,
            certified=date(2025, 3, 4), cleared=date(2024, 1, 2), statement=date(2024, 1, 5), dmv_statement=None,
        ),
        "F00001": User(
            "F00001", "O'HARA, ANN", "FIRE", OperatorClass.LESS_THAN_FULL_ACCESS, authorised_by=CARRIED, added=day,
            status=Status.SUSPENDED,
        ),
        "F00002": User(
            "F00002", "ROE, RICHARD", "FIRE", OperatorClass.PRACTITIONER, authorised_by=CARRIED, added=day,
            status=Status.DISABLED,
        ),
    }  # fmt: skip
    assert directory.accounts == {
        "J40217": Account(
            "J40217", HASH, password_expires=date(2026, 4, 1), otp_secret="GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ",
            otp_step=58_994_910, previous_sign_on=1_767_258_800_000_000, failed_since=2,
        ),
        "F00001": Account("F00001", HASH, locked_at=1_767_258_900_000_000),
        "F00002": Account("F00002", HASH),
    }  # fmt: skip
    assert directory.devices == {
        "desk-1": Device("desk-1", StationKind.TERMINAL, "EXLP", "A123", staffed=True, location="Room 7"),
        "car-1": Device("car-1", StationKind.TERMINAL, "EXLP", pool="cars", status=Status.DISABLED),
        "printer-1": Device("printer-1", StationKind.PRINTER, "EXLP", "P001"),
        "cad-1": Device("cad-1", StationKind.HOST, "EXLP", "CD01", delegated=True),
    }
    assert directory.pools == {"cars": Pool("cars", "EXLP", "APB 2020-17", "printer-1")}
    steps: dict[str, Any] = {"authorised_by": CARRIED, "requested": day, "authorised": day, "programmed": day}
    assert directory.mnemonics == {
        "A123": Mnemonic("A123", "EXLP", **steps),
        "P001": Mnemonic("P001", "EXLP", functions=frozenset(), **steps),
        "CD01": Mnemonic("CD01", "EXLP", **steps),
        "M001": Mnemonic(
            "M001", "EXLP", "cars", frozenset({"WPS", "SVS"}), frozenset({"inquiry"}), **steps
        ),
    }  # fmt: skip
    assert directory.agreements == {}


async def test_an_upgraded_directory_can_be_worked_with(store: DirectoryStore, old: Path) -> None:
    await store.open()
    user = (await store.load()).users["J40217"]
    change = Change("user", "J40217", "changed", user, {"failed_since": 0})
    assert await store.change([change], Actor("ROE", "cli:roe"), "first of all", 1) == 1
    lease = Lease("s1", "cars", "M001", "J40217", "car-1", 2)
    await store.update_account("J40217", {"failed_since": 1}, lease=lease)
    await store.flag_misuse([(3, 41, "J40217", "EXLP", "own name")])
    assert await store.leases(10) == [lease]
    assert (await store.load()).accounts["J40217"].failed_since == 1
    assert [flag.msn for flag in await store.misuse(closed=False)] == [41]


async def test_an_upgraded_directory_is_upgraded_once(store: DirectoryStore, old: Path) -> None:
    await store.open()
    before, rows = query(old, "SELECT name, sql FROM sqlite_master"), content(await store.load())
    await store.open()
    assert query(old, "SELECT name, sql FROM sqlite_master") == before
    assert content(await store.load()) == rows


async def test_a_directory_whose_making_was_cut_short_by_0_1_is_completed(store: DirectoryStore, old: Path) -> None:
    """0.1 made its tables one by one: a crash at its very first start left some."""
    query(old, "DROP TABLE mnemonic")
    await store.open()
    assert differences(old) == []
    assert (await store.load()).mnemonics == {}


async def test_an_upgrade_that_fails_leaves_the_old_directory_whole(store: DirectoryStore, old: Path) -> None:
    # Somebody's own table stands where the upgrade wants to put one of its own.
    query(old, "CREATE TABLE lease (mine TEXT)")
    before = query(old, "SELECT name, sql FROM sqlite_master"), query(old, "SELECT * FROM user")
    with pytest.raises(DirectoryUnavailable):
        await store.open()
    assert (query(old, "SELECT name, sql FROM sqlite_master"), query(old, "SELECT * FROM user")) == before


async def test_a_directory_of_a_newer_release_is_refused_and_not_touched(store: DirectoryStore, file: Path) -> None:
    await store.save(county())
    query(file, "ALTER TABLE user ADD COLUMN badge TEXT")
    query(file, "UPDATE alembic_version SET version_num = '9999'")
    before = query(file, "SELECT name, sql FROM sqlite_master")
    with pytest.raises(DirectoryUnavailable, match=rf"revision 9999.* {migrations.HEAD}"):
        await store.open()
    with pytest.raises(DirectoryUnavailable):
        await store.save(Directory())
    assert query(file, "SELECT name, sql FROM sqlite_master") == before
    assert len(query(file, "SELECT user FROM user")) == 1


def test_every_member_of_a_row_has_its_column() -> None:
    for name, row in {**TABLES, "account": Account}.items():
        assert [column.name for column in metadata.tables[name].columns] == list(members(row))
