"""The demo county: two agencies, six users, five terminals, a printer, two hosts and four operators. None exists.

ORIs begin CA099: California has no county of that number.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from msc.directory.credential import hash_password, new_otp_secret
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

SHERIFF = Agency("EXSO", "Example County Sheriff", "CA0990000")
POLICE = Agency("EXPD", "Exampleton Police", "CA0990100")
_STATE = "DEMO-STATE-0001"
"""Who authorised the demo's mnemonics."""

# A car's mnemonic is not authorised for criminal history: E302 shows on it.
_MOBILE_DATABASES = frozenset({"WPS", "MUPS", "CARPOS", "SRF", "DMV", "SVS", "AFS", "APS", "NCIC", "NLETS", "ADMIN"})


@dataclass(frozen=True, slots=True)
class DemoUser:
    """A user of the demo, with the secrets that only a demo writes down."""

    user: str
    name: str
    agency: str
    operator_class: OperatorClass
    password: str
    otp_secret: str | None


def demo_users() -> list[DemoUser]:
    """Return the six users, each with a new password."""

    def user(
        user: str,
        name: str,
        agency: Agency,
        operator_class: OperatorClass = OperatorClass.FULL_ACCESS,
        *,
        otp: bool = False,
    ) -> DemoUser:
        secret = new_otp_secret() if otp else None
        return DemoUser(user, name, agency.agency, operator_class, secrets.token_urlsafe(12), secret)

    return [
        user("J40217", "Deputy Example One", SHERIFF),
        user("D10002", "Dispatcher Example Two", SHERIFF),
        user("K20331", "Clerk Example Three", SHERIFF, OperatorClass.LESS_THAN_FULL_ACCESS),
        user("P50110", "Officer Example Four", POLICE),
        user("R60045", "Records Example Five", POLICE, otp=True),
        user("A00001", "Administrator Example Six", SHERIFF, OperatorClass.ADMINISTRATOR, otp=True),
    ]


def demo_directory(users: list[DemoUser]) -> Directory:
    """Make the demo's directory. Hashing six passwords takes a moment."""
    today = datetime.now(UTC).date()
    cleared, certified = today - timedelta(days=400), today - timedelta(days=90)

    def mnemonic(name: str, agency: Agency, pool: str | None = None, **members: Any) -> Mnemonic:
        return Mnemonic(
            name, agency.agency, pool, authorised_by=_STATE, requested=cleared, forwarded=cleared,
            authorised=certified, programmed=certified, notified=certified, **members,
        )  # fmt: skip

    return Directory(
        agencies=[SHERIFF, POLICE],
        users=[
            User(
                user=row.user,
                name=row.name,
                agency=row.agency,
                operator_class=row.operator_class,
                authorised_by="Agency coordinator of the demo",
                added=today,
                appointed=cleared,
                cleared=cleared,
                certified=certified,
                score=90,
                statement=certified,
                dmv_statement=certified,
                acknowledged=certified,
            )
            for row in users
        ],
        accounts=[Account(row.user, hash_password(row.password), otp_secret=row.otp_secret) for row in users],
        devices=[
            Device("DISPATCH1", StationKind.TERMINAL, "EXSO", "EXA1", staffed=True, location="Dispatch, desk 1"),
            Device("RECORDS1", StationKind.TERMINAL, "EXPD", "EXA2", staffed=True, location="Records, desk 1"),
            Device("MOBILE1", StationKind.TERMINAL, "EXSO", pool="PATROL", location="Car 1"),
            Device("MOBILE2", StationKind.TERMINAL, "EXSO", pool="PATROL", location="Car 2"),
            Device("MOBILE3", StationKind.TERMINAL, "EXSO", pool="PATROL", location="Car 3"),
            Device("PRINTER1", StationKind.PRINTER, "EXSO", "EXPR", staffed=True, location="Dispatch, printer"),
            Device("CAD1", StationKind.HOST, "EXSO", "EXCD", location="County data centre"),
            Device("CAD2", StationKind.HOST, "EXSO", "EXCE", delegated=True, location="County data centre"),
        ],
        pools=[Pool("PATROL", "EXSO", "DEMO-APPROVAL-0001", unsolicited_to="PRINTER1")],
        mnemonics=[
            mnemonic("EXA1", SHERIFF),
            mnemonic("EXA2", POLICE),
            mnemonic("EXPR", SHERIFF, functions=frozenset()),
            mnemonic("EXCD", SHERIFF, administrative=False),
            mnemonic("EXCE", SHERIFF, administrative=False),
            mnemonic("EXM1", SHERIFF, "PATROL", databases=_MOBILE_DATABASES),
            mnemonic("EXM2", SHERIFF, "PATROL", databases=_MOBILE_DATABASES),
        ],
        operators=[
            Operator("admin", "Switch Administrator Example Seven", Role.ADMINISTRATOR),
            Operator("auditor", "Auditor Example Eight", Role.AUDITOR),
            Operator("coordinator", "Agency Coordinator Example Nine", Role.COORDINATOR, SHERIFF.agency),
            Operator("oversight", "Oversight Example Ten", Role.OVERSIGHT),
        ],
    )
