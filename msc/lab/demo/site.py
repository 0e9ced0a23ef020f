"""The demo county: two agencies, six users, five terminals, a printer, two hosts and four operators. None exists."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
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
from msc.lab.demo.examples import EXAMPLES
from msc.lab.world import AGENCIES, ori_of
from msc.protocol.station import StationKind
from msc.site.make import (
    LINES,
    MadeSite,
    SiteContent,
    device_files,
    free_ports,
    line_files,
    make_site,
    operator_files,
)

SHERIFF = Agency(AGENCIES[0], "Example County Sheriff", ori_of(0))
POLICE = Agency(AGENCIES[1], "Exampleton Police", ori_of(1))
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


async def make_demo(folder: Path, *, ca_passphrase: str | None = None) -> MadeSite:
    """Make the demo's site, on free ports, with `demo.json`, where its secrets are.

    Raises:
        SiteError: The folder is not empty, or cannot be made.
    """
    users, ports = demo_users(), free_ports(2 + len(LINES))
    directory = demo_directory(users)

    def describe(passphrase: str) -> tuple[str, Mapping[str, Any]]:
        return "demo.json", describe_demo(directory, users, ports, passphrase)

    content = SiteContent("demo-switch", directory, ports, "if_enrolled", describe)
    return await make_site(folder, content, ca_passphrase=ca_passphrase)


def describe_demo(
    directory: Directory, users: Iterable[DemoUser], ports: tuple[int, ...], ca_passphrase: str
) -> dict[str, Any]:
    """Write `demo.json`: all that a program needs to act as the demo's stations and state hosts.

    Paths are relative to the site's folder.
    """
    devices = []
    for device in directory.devices.values():
        certificate, key = device_files(device)
        devices.append(
            {
                "name": device.device,
                "kind": device.kind.value,
                "certificate": certificate,
                "key": key,
                "mnemonic": device.mnemonic,
                "pool": device.pool,
                "agency": device.agency,
                "ori": directory.agencies[device.agency].ori,
                "delegated": device.delegated,
            }
        )
    lines = []
    for line, port in zip(LINES, ports[2:], strict=True):
        certificate, key = line_files(line)
        lines.append({"name": line, "host": "127.0.0.1", "port": port, "certificate": certificate, "key": key})
    return {
        "switch": {"host": "127.0.0.1", "port": ports[0]},
        "monitor": {"host": "127.0.0.1", "port": ports[1]},
        "ca": "certs/ca.pem",
        "ca_key": "certs/ca.key",
        "ca_passphrase": ca_passphrase,
        "devices": devices,
        "users": [
            {
                "user": user.user,
                "password": user.password,
                "otp_secret": user.otp_secret,
                "agency": user.agency,
                "ori": directory.agencies[user.agency].ori,
                "class": user.operator_class.value,
            }
            for user in users
        ],
        "lines": lines,
        "mnemonics": [
            {
                "mnemonic": row.mnemonic,
                "agency": row.agency,
                "pool": row.pool,
                "device": directory.static_devices[row.mnemonic].device if row.pool is None else None,
                "databases": sorted(row.databases),
                "functions": sorted(row.functions),
            }
            for row in directory.mnemonics.values()
        ],
        "operators": [
            {
                "name": row.operator,
                "role": row.role.value,
                "agency": row.agency,
                "certificate": operator_files(row.operator)[0],
                "key": operator_files(row.operator)[1],
            }
            for row in directory.operators.values()
        ],
        "examples": [dict(example) for example in EXAMPLES],
    }
