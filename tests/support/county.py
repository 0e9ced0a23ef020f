"""A small county: a directory with one of everything, for tests of access control and of the switch."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

from argon2 import PasswordHasher

from msc import clock
from msc.directory.rows import (
    Account,
    Agency,
    Device,
    Directory,
    Mnemonic,
    Operator,
    OperatorClass,
    Pool,
    Role,
    User,
)
from msc.protocol.station import StationKind

PASSWORD = "correct horse"
# The cheapest parameters: tests check what is decided, not how long an attacker needs. A hash names its own.
PASSWORD_HASH = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
OTP_SECRET = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
LONG_AGO = date(2020, 1, 1)
LATELY = clock.today() - timedelta(days=30)


def user(id: str, /, **members: Any) -> User:
    """Make a user in good standing, but for the members given."""
    row = User(
        user=id,
        name="DOE, JOHN",
        agency="EXLP",
        operator_class=OperatorClass.FULL_ACCESS,
        authorised_by="the agency's coordinator",
        added=LATELY,
        cleared=LONG_AGO,
        certified=LATELY,
        statement=LONG_AGO,
        dmv_statement=LATELY,
    )
    return replace(row, **members)


def account(id: str, /, **members: Any) -> Account:
    """Make the account of a user whose password is `PASSWORD`."""
    return replace(Account(id, PASSWORD_HASH), **members)


def mnemonic(name: str, agency: str = "EXLP", **members: Any) -> Mnemonic:
    """Make a mnemonic that is authorised and programmed."""
    days = dict.fromkeys(("requested", "forwarded", "authorised", "programmed", "notified"), LONG_AGO)
    return replace(Mnemonic(name, agency, authorised_by="the state", **days), **members)


def terminal(name: str, **members: Any) -> Device:
    """Make a terminal."""
    return replace(Device(name, StationKind.TERMINAL, "EXLP"), **members)


def county(*users: User, **more: list[Any]) -> Directory:
    """Make a directory: two agencies, terminals with static mnemonics and with a pool, a printer, two hosts; and an
    operator of each role, named after it, the coordinator of EXLP.

    Args:
        users: Besides J40217, who is in good standing.
        more: Rows to add to `devices`, `pools`, `mnemonics`, `agencies`, `agreements`, `operators`;
            `accounts` replace those that every user has otherwise.
    """
    return Directory(
        accounts=[*(account(row.user) for row in (user("J40217"), *users)), *more.get("accounts", [])],
        agreements=more.get("agreements", []),
        agencies=[
            Agency("EXLP", "Police", "CA0980000"),
            Agency("SHERIFF", "Sheriff", "CA0989900"),
            *more.get("agencies", []),
        ],
        users=[user("J40217"), *users],
        devices=[
            terminal("desk-1", mnemonic="A123", staffed=True),
            terminal("desk-2", mnemonic="A124", staffed=True),
            terminal("car-1", pool="cars"),
            terminal("car-2", pool="cars"),
            terminal("car-3", pool="cars"),
            Device("printer-1", StationKind.PRINTER, "EXLP", mnemonic="P001", staffed=True),
            Device("cad-1", StationKind.HOST, "EXLP", mnemonic="CD01"),
            Device("cad-2", StationKind.HOST, "EXLP", mnemonic="CD02", delegated=True),
            Device("s-desk", StationKind.TERMINAL, "SHERIFF", mnemonic="S001", staffed=True),
            *more.get("devices", []),
        ],
        pools=[Pool("cars", "EXLP", "APB 2020-17", unsolicited_to="printer-1"), *more.get("pools", [])],
        mnemonics=[
            *(mnemonic(m) for m in ("A123", "A124", "P001")),
            *(mnemonic(m, administrative=False) for m in ("CD01", "CD02")),
            mnemonic("S001", "SHERIFF"),
            mnemonic("M001", pool="cars"),
            mnemonic("M002", pool="cars"),
            *more.get("mnemonics", []),
        ],
        operators=[
            Operator("admin", "ROE, ADA", Role.ADMINISTRATOR),
            Operator("auditor", "ROE, AUDREY", Role.AUDITOR),
            Operator("coordinator", "ROE, CORA", Role.COORDINATOR, "EXLP"),
            Operator("oversight", "ROE, OLIVE", Role.OVERSIGHT),
            *more.get("operators", []),
        ],
    )
