"""Making a site: one folder with settings, catalog, routes, certificates, directory and data.

A site is made in a hidden folder inside its own and then moved up, so that a failure leaves nothing half done.
"""

from __future__ import annotations

import json
import random
import secrets
import shutil
import socket
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from string import Template
from typing import Any

from msc.directory.credential import hash_password, new_otp_secret, otp_uri
from msc.directory.rows import Account, Agency, Device, Directory, Mnemonic, Operator, OperatorClass, Role, User
from msc.directory.store import DirectoryStore
from msc.errors import Fault, SiteError
from msc.journal.database.opening import open_writing
from msc.journal.proof.checkpoint import make_signing_key
from msc.lab.demo.examples import EXAMPLES
from msc.lab.demo.site import DemoUser, demo_directory, demo_users
from msc.pki.authority import CertificateProfile, Holder, HolderKind, load_profile
from msc.pki.certificate import certificate_folder, usual_stem
from msc.protocol.station import StationKind
from msc.settings import Settings, load_settings
from msc.site.shipped import shipped_config, shipped_profile

LINES = ("clets-a", "ncic-a")
"""The lines of a new site, in the order of their ports."""

_LOCAL = ("localhost", "127.0.0.1")
_SETTINGS = Template((Path(__file__).parent / "msc.toml.template").read_text("utf-8"))
_FIXED_PORTS = (9440, 9441, 9442, 9443)
# Below the range from which the kernel takes ports for outgoing connections: what is free now stays free.
_FREE_PORTS = range(20_000, 32_000)


@dataclass(frozen=True, slots=True)
class MadeSite:
    """A site that was just made.

    Attributes:
        folder: Where.
        user, password: Who can sign on in a site that is no demo; told once.
        otp_uri: Their second factor, as an authenticator scans it; told once.
        ca_passphrase: Of the authority's key, where it was made up; told once.
        operator: The first administrator of the switch, whose key stands in `certs/operators`.
    """

    folder: Path
    user: str | None = None
    password: str | None = None
    otp_uri: str | None = None
    ca_passphrase: str | None = None
    operator: str | None = None


async def make_site(folder: Path, *, demo: bool, ca_passphrase: str | None = None) -> MadeSite:
    """Make a site.

    Args:
        folder: Where; new or empty.
        demo: Whether it is a whole fictitious county, whose secrets stand in `demo.json`.
        ca_passphrase: For the authority's key; one is made up if there is none.

    Raises:
        SiteError: The folder is not empty, or cannot be made.
    """
    folder = folder.absolute()
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise SiteError([Fault(folder, "", "is there already and not empty")])
        existed = folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
        # Inside the folder, which may be a mount point: what is made there can be moved up without a copy.
        building = Path(tempfile.mkdtemp(prefix=".making-", dir=folder))
    except OSError as exc:
        raise SiteError([Fault(folder, "", f"cannot be made: {exc.strerror}")]) from exc
    try:
        made = await _fill(building, folder, demo=demo, ca_passphrase=ca_passphrase)
        for part in sorted(building.iterdir()):
            part.rename(folder / part.name)
        folder.chmod(0o750)
        building.rmdir()
    except BaseException as exc:
        for part in folder.iterdir():
            shutil.rmtree(part) if part.is_dir() else part.unlink()
        if not existed:
            folder.rmdir()
        if isinstance(exc, OSError):
            raise SiteError([Fault(folder, "", f"cannot be made: {exc.strerror}")]) from exc
        raise
    return made


async def _fill(building: Path, folder: Path, *, demo: bool, ca_passphrase: str | None) -> MadeSite:
    shutil.copytree(shipped_config() / "catalog", building / "catalog")
    for name in ("routes.toml", "groups.toml", "forwarding.toml", "service.toml"):
        shutil.copy(shipped_config() / name, building / name)
    (building / "certs").mkdir()
    profile = Path(shutil.copy(shipped_profile(), building / "certs" / "profile.toml"))
    (building / "data").mkdir(mode=0o700)

    made, users = MadeSite(folder), []
    if demo:
        ports = free_ports(4)
        users = demo_users()
        directory = demo_directory(users)
    else:
        ports = _FIXED_PORTS
        made, directory = _starter(folder)
    switch = "demo-switch" if demo else "county-switch"
    (building / "msc.toml").write_text(
        _SETTINGS.substitute(
            switch=switch,
            listener_port=ports[0],
            monitor_port=ports[1],
            state_port=ports[2],
            ncic_port=ports[3],
            second_factor="if_enrolled" if demo else "required",
        ),
        "utf-8",
    )
    settings = load_settings(building / "msc.toml")
    passphrase = ca_passphrase or secrets.token_urlsafe(18)
    _make_certificates(settings, load_profile(profile), passphrase, directory)
    if ca_passphrase is None and not demo:
        made = replace(made, ca_passphrase=passphrase)
    directory_store = DirectoryStore(settings.database_url(settings.directory))
    await directory_store.save(directory)
    await directory_store.close()
    make_signing_key(settings.path(settings.journal.signing_key), settings.path(settings.journal.public_key))
    journal = open_writing(settings.database_url(settings.journal))
    await journal.open()
    await journal.close()
    for file in (building / "data").iterdir():
        file.chmod(0o700 if file.is_dir() else 0o600)
    if demo:
        contract = describe_demo(directory, users, ports, passphrase)
        file = building / "demo.json"
        file.touch(mode=0o600)
        file.write_text(json.dumps(contract, indent=2) + "\n", "utf-8")
    return made


def _starter(folder: Path) -> tuple[MadeSite, Directory]:
    """A first agency, terminal and administrator, for a county to begin with."""
    password, secret = secrets.token_urlsafe(12), new_otp_secret()
    today = datetime.now(UTC).date()
    user = User(
        "ADMIN1", "First administrator", "AGENCY1", OperatorClass.ADMINISTRATOR, authorised_by="msc init",
        added=today, cleared=today, certified=today, statement=today, dmv_statement=today, acknowledged=today,
    )  # fmt: skip
    directory = Directory(
        agencies=[Agency("AGENCY1", "First agency", "CA0990000")],
        users=[user],
        accounts=[Account(user.user, hash_password(password), otp_secret=secret)],
        devices=[Device("TERMINAL1", StationKind.TERMINAL, "AGENCY1", "EXA1", staffed=True)],
        mnemonics=[
            Mnemonic("EXA1", "AGENCY1", authorised_by="msc init", requested=today, authorised=today, programmed=today)
        ],
        operators=[Operator("admin", "First administrator", Role.ADMINISTRATOR)],
    )
    return MadeSite(folder, user.user, password, otp_uri(secret, user.user, "MSC"), operator="admin"), directory


def free_ports(count: int) -> tuple[int, ...]:
    """Find free TCP ports on the loopback address."""
    found: list[int] = []
    for port in random.sample(_FREE_PORTS, len(_FREE_PORTS)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return tuple(found)
    raise SiteError([Fault(Path(), "", "no free ports on 127.0.0.1")])


def device_files(device: Device) -> tuple[str, str]:
    """Where a device's certificate and key stand in a site."""
    return f"certs/devices/{device.device}.pem", f"certs/devices/{device.device}.key"


def line_files(line: str) -> tuple[str, str]:
    """Where the certificate and key of the host at the end of a line stand in a site."""
    return f"certs/lines/{line}.pem", f"certs/lines/{line}.key"


def operator_files(operator: str) -> tuple[str, str]:
    """Where an operator's certificate and key stand in a site."""
    return f"certs/operators/{operator}.pem", f"certs/operators/{operator}.key"


def _make_certificates(
    settings: Settings, profile: CertificateProfile, passphrase: str, directory: Directory
) -> None:
    folder = certificate_folder(settings)
    authority = folder.establish(profile, passphrase)

    def issue(kind: HolderKind, name: str, *hosts: str) -> None:
        holder = Holder(kind, name)
        folder.issue(authority, holder, usual_stem(settings, holder), hosts=hosts)

    issue(HolderKind.SWITCH, settings.switch.name, *_LOCAL)
    for device in directory.devices.values():
        kind = HolderKind.HOST if device.kind is StationKind.HOST else HolderKind.DEVICE
        issue(kind, device.device)
    for line in LINES:
        issue(HolderKind.HOST, line, *_LOCAL)
    for operator in directory.operators:
        issue(HolderKind.OPERATOR, operator)


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
