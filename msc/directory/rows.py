"""Who and what there is: agencies, agreements, users, devices, pools, mnemonics and operators, as held in memory.

The directory's database (`msc.directory.store`) is read once into these tables; every decision is made from them.
Rows are immutable: a change replaces a row. What a county writes down stands in the rows; what the switch itself
learns (passwords, failures, last use) stands in `Account` or in members marked `state`, and no file ever carries it
but an export that was asked for it.

`msc.directory.consistency` says what breaks a rule, `msc.access.policy` what follows for a message.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Any, Final

from msc.protocol.header import is_mnemonic
from msc.protocol.station import StationKind

EVERYTHING: Final = "*"
"""In a set of databases or functions: all of them."""

ALL: Final = frozenset({EVERYTHING})
STATE: Final = {"state": True}
"""Marks a member that the switch writes, not the county."""


def covers(granted: frozenset[str], wanted: str) -> bool:
    """Tell whether a set of databases or functions holds one."""
    return EVERYTHING in granted or wanted in granted


# --- what rows share ----------------------------------------------------------------------------


class Status(StrEnum):
    """Whether a row is in use."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    """By somebody, for a period or for good; comes back by itself when the period ends."""
    DISABLED = "disabled"
    """By the switch, for disuse; an administrator reinstates it."""
    REMOVED = "removed"
    """Gone; the row stays so that a user id is not given to another person (C-UID)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What every row has: whether it is in use, why not, since when and until when.

    Attributes:
        status_since: First day of the present status.
        status_until: The day a suspension ends; None is for good.
    """

    status: Status = Status.ACTIVE
    status_reason: str = ""
    status_since: date | None = None
    status_until: date | None = None

    def in_force(self, today: date) -> bool:
        """Tell whether the row may be used on a day (UTC)."""
        if self.status is Status.ACTIVE:
            return True
        return self.status is Status.SUSPENDED and self.status_until is not None and self.status_until <= today


# --- agencies -----------------------------------------------------------------------------------


class AgencyKind(StrEnum):
    """What an agency is by law."""

    LAW_ENFORCEMENT = "law_enforcement"
    CRIMINAL_JUSTICE = "criminal_justice"
    NON_LAW_ENFORCEMENT = "non_law_enforcement"


class AccessLevel(StrEnum):
    """What an agency's service covers (LEADS 1240.30)."""

    FULL = "full"
    LESS_THAN_FULL = "less_than_full"


@dataclass(frozen=True, slots=True)
class Agency(Row):
    """An agency and its ORIs.

    Attributes:
        ori: The one its sessions have.
        further_oris: Others its people may send under: a bureau's, a jail's.
        access, databases, functions: With less than full access it has only these databases and functions.
        suspended_databases: What a suspension takes away; empty is everything (L-SUSPEND, C-SANCTION).
        purpose_exceptions: `DATABASE:PUR`, purposes allowed here beyond the catalog's (PPP 1.6.1.E).
        staffing_waiver: The state's waiver reference, where its terminals are not staffed at every hour (C-STAFFED).
        password_policy: The policy its users' passwords follow.
    """

    agency: str
    title: str
    ori: str
    further_oris: frozenset[str] = frozenset()
    kind: AgencyKind = AgencyKind.LAW_ENFORCEMENT
    access: AccessLevel = AccessLevel.FULL
    databases: frozenset[str] = ALL
    functions: frozenset[str] = ALL
    suspended_databases: frozenset[str] = frozenset()
    purpose_exceptions: frozenset[str] = frozenset()
    staffing_waiver: str = ""
    password_policy: str = "cjis"  # noqa: S105


@dataclass(frozen=True, slots=True)
class Agreement(Row):
    """An agreement on file under which an agency uses the system (C-NONLE).

    Attributes:
        effective, expires: First day it holds, and the day it no longer does.
        databases: What it covers.
    """

    agreement: str
    agency: str
    effective: date
    expires: date | None = None
    databases: frozenset[str] = ALL


# --- people -------------------------------------------------------------------------------------


class OperatorClass(StrEnum):
    """What kind of operator a user is (OCPD directive C.1-4; CJLEADS II.4.d for the query-only role)."""

    FULL_ACCESS = "full_access"
    LESS_THAN_FULL_ACCESS = "less_than_full_access"
    QUERY_ONLY = "query_only"
    PRACTITIONER = "practitioner"
    ADMINISTRATOR = "administrator"


@dataclass(frozen=True, slots=True)
class User(Row):
    """A person. The user id is what goes out as OIF: six alphanumerics, unique to the person.

    Attributes:
        name: `LAST,FIRST` or first and last: what an inquiry into one's own record is known by.
        direct: False for who only gets information through others and never signs on (DELJIS 2.0).
        authorised_by: Who granted access; without one there is none.
        added: When the person was entered; idleness counts from here at first.
        appointed: From when the six months for the initial training count (PPP 1.8.2).
        certified, score: The last examination passed, and its per cent.
        cleared: When the background search was recorded as cleared (PPP 1.9.2).
        statement: When the employee/volunteer statement was signed (PPP 1.9.3).
        dmv_statement: The last yearly DMV confidentiality statement.
        acknowledged: The last yearly acknowledgement of the rules (DELJIS 6.2).
        reviewed, reviewed_by, review_outcome: The last yearly validation of the account (PPP 1.9.3.C).
        suspended_databases: What a suspension takes away; empty is everything.
    """

    user: str
    name: str
    agency: str
    operator_class: OperatorClass
    direct: bool = True
    authorised_by: str = ""
    added: date | None = None
    appointed: date | None = None
    certified: date | None = None
    score: int | None = None
    cleared: date | None = None
    statement: date | None = None
    dmv_statement: date | None = None
    acknowledged: date | None = None
    reviewed: date | None = None
    reviewed_by: str = ""
    review_outcome: str = ""
    suspended_databases: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Account:
    """What the switch keeps about a user's credentials. Never in a log, and in no export unless asked for.

    Attributes:
        password_hash: argon2id, in its encoded form; empty means no password was given yet.
        password_expires: From this day on the password must be changed first; None is never.
        password_history: Hashes of earlier passwords, newest first.
        otp_secret: Base 32, once a second factor is enrolled.
        otp_step: The last time step a code was accepted for; an older or equal one is a replay.
        recovery_codes: SHA-256 of the recovery codes not used yet.
        locked_at: When failures locked the account (microseconds), or None.
        previous_sign_on: Wall time in microseconds.
        failed_since: Failed sign-ons since then.
    """

    user: str
    password_hash: str = ""
    password_expires: date | None = None
    password_history: tuple[str, ...] = ()
    otp_secret: str | None = None
    otp_step: int = 0
    recovery_codes: tuple[str, ...] = ()
    locked_at: int | None = None
    previous_sign_on: int | None = None
    failed_since: int = 0


# --- stations -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Device(Row):
    """A terminal, printer or host, known by the name in its certificate.

    Attributes:
        mnemonic: Its static mnemonic, or None.
        pool: The pool its operators draw mnemonics from, or None.
        delegated: For hosts: its users need not sign on here (the agreement is on file).
        staffed: A person is there at every hour.
        location: Where it stands, on demand (PPP 1.6.2).
        device_class: Names the idle limits that hold for it.
        licence: The licence or inventory number of the agency's device (OCPD B.1).
        certificate: SHA-256 fingerprint (hex) of the one certificate it may use; empty is any of its name.
        locked_at: When failures locked sign-on at it (microseconds), or None.
    """

    device: str
    kind: StationKind
    agency: str
    mnemonic: str | None = None
    pool: str | None = None
    delegated: bool = False
    staffed: bool = False
    location: str = ""
    device_class: str = "workstation"
    licence: str = ""
    certificate: str = ""
    locked_at: int | None = field(default=None, metadata=STATE)

    @property
    def address(self) -> str:
        """Where messages for it wait."""
        return f"device:{self.device}"

    @property
    def pooled(self) -> bool:
        """Whether it is a terminal of a pool: nothing arrives there but for the person signed on (C-UNSOL)."""
        return self.kind is StationKind.TERMINAL and self.pool is not None and self.mnemonic is None

    @property
    def attended(self) -> bool:
        """Whether what arrives is on paper or before somebody's eyes at every hour (C-STAFFED)."""
        return self.kind is StationKind.PRINTER or (self.staffed and not self.pooled)


class LateAnswers(StrEnum):
    """Where answers go whose asker has signed off."""

    WAIT = "wait"
    """They wait until that person signs on again."""
    DESTINATION = "destination"
    """To the pool's destination for unsolicited messages."""


@dataclass(frozen=True, slots=True)
class Pool(Row):
    """A mnemonic pool and the approval it was granted under (PPP 1.6.2.B).

    Attributes:
        unsolicited_to: The printer or staffed device that gets unsolicited messages for its mnemonics, or None: then
            they go to the operator's queue, never to whoever holds the mnemonic (C-UNSOL).
    """

    pool: str
    agency: str
    approval: str
    unsolicited_to: str | None = None
    late_answers: LateAnswers = LateAnswers.WAIT


class Mode(StrEnum):
    """Production or test; the two never mix (PPP 1.7.2)."""

    PRODUCTION = "production"
    TEST = "test"


@dataclass(frozen=True, slots=True)
class Mnemonic(Row):
    """A terminal mnemonic: static (a device names it) or member of a pool.

    Its life is dated step by step (C-DBAUTH): requested, forwarded, authorised, programmed, notified; later, if it
    is not used, listed and disabled (C-NINE).

    Attributes:
        administrative: It receives administrative messages.
        expires: When a test mnemonic ends.
        authorised_by: Who authorised its databases and functions: the state's reference.
        listed: When it was listed as idle.
        last_used: The last day somebody worked under it.
    """

    mnemonic: str
    agency: str
    pool: str | None = None
    databases: frozenset[str] = ALL
    functions: frozenset[str] = ALL
    mode: Mode = Mode.PRODUCTION
    expires: date | None = None
    administrative: bool = True
    authorised_by: str = ""
    requested: date | None = None
    forwarded: date | None = None
    authorised: date | None = None
    programmed: date | None = None
    notified: date | None = None
    listed: date | None = field(default=None, metadata=STATE)
    last_used: date | None = field(default=None, metadata=STATE)


MNEMONIC_STEPS: Final = ("requested", "forwarded", "authorised", "programmed", "notified")
"""The steps of a mnemonic's beginning, in their order."""

# --- who runs the switch and reads its journal ---------------------------------------------------


class Role(StrEnum):
    """What an operator is there for; what follows from it stands in `msc.control.access`."""

    ADMINISTRATOR = "administrator"
    """Runs the switch."""
    AUDITOR = "auditor"
    """Reads everything, changes nothing."""
    COORDINATOR = "coordinator"
    """An agency's; sees that agency's messages and nobody else's (N-SCOPE)."""
    OVERSIGHT = "oversight"
    """The body named to oversee all agencies; reads, and operates nothing (N-SCOPE)."""


@dataclass(frozen=True, slots=True)
class Operator(Row):
    """A person who runs the switch or reads its journal, known by the certificate `msc://operator/NAME` (C-ACCESS).

    An operator is not a user: there is no terminal, no mnemonic and no password, only a key.

    Attributes:
        name: The person's.
        agency: A coordinator's; None for who is of no single agency.
        certificate: SHA-256 fingerprint (hex) of the one certificate that counts; empty is any of the name.
    """

    operator: str
    name: str
    role: Role
    agency: str | None = None
    certificate: str = ""


AnyRow = Agency | Agreement | User | Device | Pool | Mnemonic | Operator

TABLES: Final[Mapping[str, type[AnyRow]]] = {
    "agency": Agency,
    "agreement": Agreement,
    "user": User,
    "pool": Pool,
    "mnemonic": Mnemonic,
    "device": Device,
    "operator": Operator,
}
"""The tables by name. A table's key column bears the table's name."""


def key_of(row: AnyRow) -> str:
    """Return the key of a row of any table."""
    return str(getattr(row, table_of(row)))


def table_of(row: AnyRow) -> str:
    """Return the name of the table a row belongs to."""
    return type(row).__name__.lower()


# --- the directory ------------------------------------------------------------------------------


class Directory:
    """The tables, and what follows from them.

    Whoever holds it sees changes at once: `replace` swaps rows in place, between two messages.
    """

    def __init__(
        self,
        agencies: Iterable[Agency] = (),
        users: Iterable[User] = (),
        devices: Iterable[Device] = (),
        pools: Iterable[Pool] = (),
        mnemonics: Iterable[Mnemonic] = (),
        agreements: Iterable[Agreement] = (),
        accounts: Iterable[Account] = (),
        operators: Iterable[Operator] = (),
    ) -> None:
        self.agencies = {row.agency: row for row in agencies}
        self.users = {row.user: row for row in users}
        self.devices = {row.device: row for row in devices}
        self.pools = {row.pool: row for row in pools}
        self.mnemonics = {row.mnemonic: row for row in mnemonics}
        self.agreements = {row.agreement: row for row in agreements}
        self.accounts = {row.user: row for row in accounts}
        self.operators = {row.operator: row for row in operators}
        self._index()

    def _index(self) -> None:
        self.static_devices = {row.mnemonic: row for row in self.devices.values() if row.mnemonic is not None}
        self.oris = {ori: row for row in self.agencies.values() for ori in (row.ori, *row.further_oris)}
        self.staffed_agencies = {row.agency for row in self.devices.values() if row.staffed}
        """Agencies with a terminal staffed at every hour (LEADS 1240.60.a.1)."""
        of_agency: dict[str, list[Device]] = {}
        for device in self.devices.values():
            of_agency.setdefault(device.agency, []).append(device)
        self._agency_devices = of_agency
        self._administrative: list[Device] | None = None
        self._members: dict[str, list[str]] = {}
        for name in sorted(self.mnemonics):
            pool = self.mnemonics[name].pool
            if pool is not None:
                self._members.setdefault(pool, []).append(name)
        self._agreements: dict[str, list[Agreement]] = {}
        for agreement in self.agreements.values():
            self._agreements.setdefault(agreement.agency, []).append(agreement)

    def table(self, name: str) -> dict[str, AnyRow]:
        """Return a table by its name in `TABLES`: key to row."""
        tables: dict[str, dict[str, Any]] = {
            "agency": self.agencies, "agreement": self.agreements, "user": self.users, "pool": self.pools,
            "mnemonic": self.mnemonics, "device": self.devices, "operator": self.operators,
        }  # fmt: skip
        return tables[name]

    def replace(self, rows: Iterable[AnyRow], removed: Iterable[tuple[str, str]] = ()) -> None:
        """Put rows in the place of those of the same key, and take others (table, key) out."""
        for row in rows:
            self.table(table_of(row))[key_of(row)] = row
        for table, key in removed:
            self.table(table).pop(key, None)
        self._index()

    def copy(self) -> Directory:
        """Return a directory of the same rows, to try a change on."""
        return Directory(
            self.agencies.values(), self.users.values(), self.devices.values(), self.pools.values(),
            self.mnemonics.values(), self.agreements.values(), self.accounts.values(), self.operators.values(),
        )  # fmt: skip

    def account(self, user: str) -> Account:
        """Return what is kept about a user's credentials; nothing yet is an account without a password."""
        return self.accounts.get(user) or Account(user)

    def members(self, pool: str) -> list[str]:
        """Return the mnemonics of a pool, in their order."""
        return self._members.get(pool, [])

    def agreement(self, agency: str, today: date, database: str | None = None) -> Agreement | None:
        """Return an agreement of an agency that holds on a day, and covers a database where one is named."""
        for row in self._agreements.get(agency, ()):
            holds = row.in_force(today) and row.effective <= today and (row.expires is None or today < row.expires)
            if holds and (database is None or covers(row.databases, database)):
                return row
        return None

    def mode_of(self, device: Device) -> Mode | None:
        """Return whether a device is for production or for test; None if it has no mnemonic of its own."""
        row = self.mnemonics.get(device.mnemonic or "")
        return row.mode if row is not None else None

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

    def late_answers_device(self, mnemonic: str) -> Device | None:
        """Return the device that gets answers whose asker has left, where a pool wants them to go to one."""
        row = self.mnemonics.get(mnemonic)
        pool = self.pools.get(row.pool) if row is not None and row.pool is not None else None
        if pool is None or pool.late_answers is not LateAnswers.DESTINATION or pool.unsolicited_to is None:
            return None
        return self.devices.get(pool.unsolicited_to)

    def addressees(self, destination: str) -> list[Device]:
        """Return the devices a destination names: a mnemonic's, or for an ORI its agency's staffed ones.

        Where an agency has none that is staffed, its printers; where it has none of those either and a waiver allows
        it, whatever it has that takes administrative messages (C-STAFFED).
        """
        if is_mnemonic(destination):
            row = self.mnemonics.get(destination)
            device = self.unsolicited_device(destination)
            return [device] if device and row and row.administrative else []
        agency = self.oris.get(destination)
        if agency is None:
            return []
        devices = self._agency_devices.get(agency.agency, [])
        attended = [row for row in devices if row.attended]
        found = [row for row in attended if row.staffed] or attended
        if found or not agency.staffing_waiver:
            return found
        return [row for row in devices if row.mnemonic is not None and self.addressees(row.mnemonic)]

    def administrative_devices(self) -> list[Device]:
        """Return every device that takes administrative messages."""
        if self._administrative is None:
            found = {device.device: device for name in self.mnemonics for device in self.addressees(name)}
            self._administrative = list(found.values())
        return self._administrative

    def has_station(self, address: str) -> bool:
        """Tell whether there is the device, or the user, of an address where messages wait."""
        place, _, name = address.partition(":")
        return name in (self.devices if place == "device" else self.users)

    def knows(self, destination: str) -> bool:
        """Tell whether a mnemonic or ORI is one of the county's."""
        return destination in self.mnemonics or destination in self.oris
