"""Who and what there is: agencies, users, devices, pools and mnemonics, as held in memory.

The directory's database (`msc.acp.store`) is read once into these tables; every decision is made from
them. They are immutable rows in plain dictionaries: a change replaces a row.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from msc.protocol.header import is_mnemonic, is_oif
from msc.protocol.station import StationKind
from msc.protocol.text import is_ori

EVERYTHING = "*"
"""In a mnemonic's databases or functions: all of them."""


class OperatorClass(StrEnum):
    """What kind of operator a user is (OCPD directive C.1-4)."""

    FULL_ACCESS = "full_access"
    LESS_THAN_FULL_ACCESS = "less_than_full_access"
    PRACTITIONER = "practitioner"
    ADMINISTRATOR = "administrator"


class UserStatus(StrEnum):
    """Whether a user may sign on at all."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True)
class Agency:
    """An agency and its ORI."""

    agency: str
    title: str
    ori: str
    suspended: bool = False


@dataclass(frozen=True, slots=True)
class User:
    """A person. The user id is what goes out as OIF: six alphanumerics, unique to the person.

    Attributes:
        password_hash: argon2id, in its encoded form.
        otp_secret: Base 32, where the user's policy asks for a second factor; else None.
        otp_step: The last time step a code was accepted for; an older or equal one is a replay.
        locked_at: When failures locked the account (microseconds), or None.
        cleared, certified, statement: Dates of background clearance, training and signed statement; access
            needs all three (PPP 1.8.2, 1.9.2, 1.9.3).
        previous_sign_on: Wall time in microseconds.
        failed_since: Failed sign-ons since then.
    """

    user: str
    name: str
    agency: str
    operator_class: OperatorClass
    password_hash: str
    otp_secret: str | None = None
    otp_step: int = 0
    status: UserStatus = UserStatus.ACTIVE
    locked_at: int | None = None
    cleared: date | None = None
    certified: date | None = None
    statement: date | None = None
    password_expires: date | None = None
    previous_sign_on: int | None = None
    failed_since: int = 0


@dataclass(frozen=True, slots=True)
class Device:
    """A terminal, printer or host, known by the name in its certificate.

    Attributes:
        mnemonic: Its static mnemonic, or None.
        pool: The pool its operators draw mnemonics from, or None.
        delegated: For hosts: its users need not sign on here (the agreement is on file).
        staffed: A person is there at every hour.
    """

    device: str
    kind: StationKind
    agency: str
    mnemonic: str | None = None
    pool: str | None = None
    delegated: bool = False
    enabled: bool = True
    staffed: bool = False
    location: str = ""

    @property
    def address(self) -> str:
        """Where messages for it wait."""
        return f"device:{self.device}"


@dataclass(frozen=True, slots=True)
class Pool:
    """A mnemonic pool and the approval it was granted under (PPP 1.6.2.B).

    Attributes:
        unsolicited_to: The device that gets unsolicited messages for its mnemonics, or None: then they go
            to the operator's queue, never to whoever holds the mnemonic (C-UNSOL).
    """

    pool: str
    agency: str
    approval: str
    unsolicited_to: str | None = None


@dataclass(frozen=True, slots=True)
class Mnemonic:
    """A terminal mnemonic: static (a device names it) or member of a pool."""

    mnemonic: str
    agency: str
    pool: str | None = None
    databases: frozenset[str] = frozenset({EVERYTHING})
    functions: frozenset[str] = frozenset({EVERYTHING})

    def allows(self, database: str, function: str) -> bool:
        """Tell whether it is authorised for a database and a function (PPP 1.4.3.B)."""
        return (EVERYTHING in self.databases or database in self.databases) and (
            EVERYTHING in self.functions or function in self.functions
        )


class Directory:
    """The tables, and what follows from them."""

    def __init__(
        self,
        agencies: Iterable[Agency] = (),
        users: Iterable[User] = (),
        devices: Iterable[Device] = (),
        pools: Iterable[Pool] = (),
        mnemonics: Iterable[Mnemonic] = (),
    ) -> None:
        self.agencies = {row.agency: row for row in agencies}
        self.users = {row.user: row for row in users}
        self.devices = {row.device: row for row in devices}
        self.pools = {row.pool: row for row in pools}
        self.mnemonics = {row.mnemonic: row for row in mnemonics}
        self.static_devices = {row.mnemonic: row for row in self.devices.values() if row.mnemonic is not None}
        self.oris = {row.ori: row for row in self.agencies.values()}

    def members(self, pool: str) -> list[str]:
        """Return the mnemonics of a pool, in their order."""
        return sorted(row.mnemonic for row in self.mnemonics.values() if row.pool == pool)

    def unsolicited_device(self, mnemonic: str) -> Device | None:
        """Return the device that gets unsolicited messages for a mnemonic, if there is one.

        A static mnemonic has its device. A pooled one has its pool's defined destination and no other,
        never its holder of the moment (PPP 1.6.2.B.1.f).
        """
        row = self.mnemonics.get(mnemonic)
        if row is None:
            return None
        if row.pool is None:
            return self.static_devices.get(mnemonic)
        pool = self.pools.get(row.pool)
        return self.devices.get(pool.unsolicited_to) if pool and pool.unsolicited_to else None

    def addressees(self, destination: str) -> list[Device]:
        """Return the devices a destination names: a mnemonic's, or for an ORI its agency's staffed ones."""
        if is_mnemonic(destination):
            device = self.unsolicited_device(destination)
            return [device] if device else []
        agency = self.oris.get(destination)
        if agency is None:
            return []
        return [row for row in self.devices.values() if row.agency == agency.agency and row.staffed]

    def faults(self) -> list[tuple[str, str]]:
        """Return everything that breaks a rule of the directory: where, and what."""
        found: list[tuple[str, str]] = []
        for agency in self.agencies.values():
            if not is_ori(agency.ori):
                found.append((f"agency {agency.agency}", f"ORI {agency.ori!r} is not nine characters"))
        for user in self.users.values():
            if not is_oif(user.user):
                found.append((f"user {user.user}", "a user id is six capital letters and digits (C-OIF)"))
            if user.agency not in self.agencies:
                found.append((f"user {user.user}", f"there is no agency {user.agency!r}"))
        found += self._device_faults()
        for pool in self.pools.values():
            where = f"pool {pool.pool}"
            if not pool.approval:
                found.append((where, "a pool needs its approval reference (C-POOL)"))
            if pool.unsolicited_to is not None and pool.unsolicited_to not in self.devices:
                found.append((where, f"there is no device {pool.unsolicited_to!r} for unsolicited messages"))
            if not self.members(pool.pool):
                found.append((where, "has no mnemonics"))
        for row in self.mnemonics.values():
            where = f"mnemonic {row.mnemonic}"
            if not is_mnemonic(row.mnemonic):
                found.append((where, "a mnemonic is four capital letters and digits"))
            if row.pool is not None and row.pool not in self.pools:
                found.append((where, f"there is no pool {row.pool!r}"))
            if row.agency not in self.agencies:
                found.append((where, f"there is no agency {row.agency!r}"))
        return found

    def _device_faults(self) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        holders: dict[str, str] = {}
        for device in self.devices.values():
            where = f"device {device.device}"
            if device.agency not in self.agencies:
                found.append((where, f"there is no agency {device.agency!r}"))
            if device.mnemonic is None and device.pool is None:
                found.append((where, "has neither a mnemonic nor a pool"))
            if device.mnemonic is not None:
                row = self.mnemonics.get(device.mnemonic)
                if row is None:
                    found.append((where, f"there is no mnemonic {device.mnemonic!r}"))
                elif row.pool is not None:
                    found.append((where, f"mnemonic {device.mnemonic} is in pool {row.pool}"))
                if device.mnemonic in holders:
                    other = holders[device.mnemonic]
                    found.append((where, f"mnemonic {device.mnemonic} is {other}'s (C-STATIC)"))
                holders[device.mnemonic] = device.device
            if device.pool is not None and device.pool not in self.pools:
                found.append((where, f"there is no pool {device.pool!r}"))
            if device.delegated and device.kind is not StationKind.HOST:
                found.append((where, "only a host can be delegated"))
        return found
