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
from collections.abc import Callable, Mapping
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
class SiteContent:
    """What a new site begins with.

    Attributes:
        switch: The switch's name.
        directory: Who and what there is.
        ports: Of the switch's listener, of its monitor, and of each line of `LINES`.
        second_factor: Who needs one to sign on, as `msc.toml` writes it.
        describe: Given the passphrase of the authority's key, returns the name and the content of one more file:
            JSON that only its owner may read.
    """

    switch: str
    directory: Directory
    ports: tuple[int, ...] = _FIXED_PORTS
    second_factor: str = "required"
    describe: Callable[[str], tuple[str, Mapping[str, Any]]] | None = None


@dataclass(frozen=True, slots=True)
class MadeSite:
    """A site that was just made.

    Attributes:
        folder: Where.
        user, password: Who can sign on in a site that was made without content; told once.
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


async def make_site(
    folder: Path, content: SiteContent | None = None, *, ca_passphrase: str | None = None
) -> MadeSite:
    """Make a site.

    Args:
        folder: Where; new or empty.
        content: What it begins with; without it a first agency, terminal and administrator.
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
        made = await _fill(building, folder, content, ca_passphrase)
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


async def _fill(building: Path, folder: Path, content: SiteContent | None, ca_passphrase: str | None) -> MadeSite:
    shutil.copytree(shipped_config() / "catalog", building / "catalog")
    for name in ("routes.toml", "groups.toml", "forwarding.toml", "service.toml"):
        shutil.copy(shipped_config() / name, building / name)
    (building / "certs").mkdir()
    profile = Path(shutil.copy(shipped_profile(), building / "certs" / "profile.toml"))
    (building / "data").mkdir(mode=0o700)

    passphrase = ca_passphrase or secrets.token_urlsafe(18)
    made = MadeSite(folder)
    if content is None:
        made, content = _starter(folder)
        if ca_passphrase is None:
            made = replace(made, ca_passphrase=passphrase)
    ports = content.ports
    (building / "msc.toml").write_text(
        _SETTINGS.substitute(
            switch=content.switch,
            listener_port=ports[0],
            monitor_port=ports[1],
            state_port=ports[2],
            ncic_port=ports[3],
            second_factor=content.second_factor,
        ),
        "utf-8",
    )
    settings = load_settings(building / "msc.toml")
    _make_certificates(settings, load_profile(profile), passphrase, content.directory)
    directory_store = DirectoryStore(settings.database_url(settings.directory))
    await directory_store.save(content.directory)
    await directory_store.close()
    make_signing_key(settings.path(settings.journal.signing_key), settings.path(settings.journal.public_key))
    journal = open_writing(settings.database_url(settings.journal))
    await journal.open()
    await journal.close()
    for file in (building / "data").iterdir():
        file.chmod(0o700 if file.is_dir() else 0o600)
    if content.describe is not None:
        name, members = content.describe(passphrase)
        file = building / name
        file.touch(mode=0o600)
        file.write_text(json.dumps(members, indent=2) + "\n", "utf-8")
    return made


def _starter(folder: Path) -> tuple[MadeSite, SiteContent]:
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
    return MadeSite(folder, user.user, password, otp_uri(secret, user.user, "MSC"), operator="admin"), SiteContent(
        "county-switch", directory
    )


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
