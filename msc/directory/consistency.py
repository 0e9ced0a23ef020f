"""What breaks a rule of the directory, whoever wrote it: found all at once, and named by table and row."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from msc.directory.rows import (
    AccessLevel,
    AgencyKind,
    Device,
    Directory,
    LateAnswers,
    Mnemonic,
    Mode,
    Pool,
    Role,
    Status,
    User,
)
from msc.limits import TEST_DAYS_MAX
from msc.pki.authority import Holder, HolderKind
from msc.protocol.header import is_mnemonic, is_oif
from msc.protocol.station import StationKind
from msc.protocol.text import is_ori

PASS_PER_CENT: Final = 70
"""Below this an examination is failed (PPP 1.8.2)."""


_FINGERPRINT: Final = re.compile("[0-9A-Fa-f]{64}")


def is_fingerprint(text: str) -> bool:
    """Tell whether a text is a SHA-256 fingerprint, with colons between its bytes or without."""
    return bool(_FINGERPRINT.fullmatch(text.replace(":", "")))


class RowFault(NamedTuple):
    """Something that breaks a rule: in which table, in which row, what."""

    table: str
    key: str
    problem: str


def faults(
    directory: Directory, password_policies: Iterable[str] = (), device_classes: Iterable[str] = ()
) -> list[RowFault]:
    """Return everything that breaks a rule of the directory.

    Args:
        password_policies, device_classes: Those there are; none given means their names are not looked at.
    """
    return [
        *_agency_faults(directory, frozenset(password_policies)),
        *_agreement_faults(directory),
        *_user_faults(directory),
        *_device_faults(directory, frozenset(device_classes)),
        *_pool_faults(directory),
        *_mnemonic_faults(directory),
        *_operator_faults(directory),
    ]


def _no_agency(directory: Directory, table: str, key: str, agency: str) -> Iterator[RowFault]:
    if agency not in directory.agencies:
        yield RowFault(table, key, f"there is no agency {agency!r}")


def _agency_faults(directory: Directory, policies: frozenset[str]) -> Iterator[RowFault]:
    oris: dict[str, str] = {}
    for row in directory.agencies.values():
        for ori in sorted({row.ori, *row.further_oris}):
            if not is_ori(ori):
                yield RowFault("agency", row.agency, f"ORI {ori!r} is not nine capital letters and digits")
            elif ori in oris:
                yield RowFault("agency", row.agency, f"ORI {ori} is {oris[ori]}'s")
            oris[ori] = row.agency
        if policies and row.password_policy not in policies:
            yield RowFault("agency", row.agency, f"there is no password policy {row.password_policy!r}")
        if row.access is AccessLevel.LESS_THAN_FULL and not (row.databases and row.functions):
            yield RowFault("agency", row.agency, "less than full access needs its databases and functions (L-LEVEL)")
        for exception in row.purpose_exceptions:
            database, colon, purpose = exception.partition(":")
            if not (database and colon and purpose):
                yield RowFault("agency", row.agency, f"purpose exception {exception!r} is not DATABASE:PUR")


def _agreement_faults(directory: Directory) -> Iterator[RowFault]:
    for row in directory.agreements.values():
        yield from _no_agency(directory, "agreement", row.agreement, row.agency)
        if row.expires is not None and row.expires <= row.effective:
            yield RowFault("agreement", row.agreement, "expires before it is effective")


def _user_faults(directory: Directory) -> Iterator[RowFault]:
    for row in directory.users.values():
        if not is_oif(row.user):
            yield RowFault("user", row.user, "a user id is six capital letters and digits (C-OIF)")
        if row.status is Status.REMOVED:
            continue
        yield from _no_agency(directory, "user", row.user, row.agency)
        yield from _named_faults(row)


def _named_faults(row: User) -> Iterator[RowFault]:
    if not row.name.strip():
        yield RowFault("user", row.user, "has no name: a user id is one person's (C-UID)")
    if row.score is not None and not PASS_PER_CENT <= row.score <= 100:
        problem = f"a score of {row.score} is not a pass: {PASS_PER_CENT} to 100 per cent are (C-TRAIN)"
        yield RowFault("user", row.user, problem)
    if row.reviewed is not None and not row.reviewed_by:
        yield RowFault("user", row.user, "reviewed needs reviewed_by (C-REVIEW)")


def _device_faults(directory: Directory, classes: frozenset[str]) -> Iterator[RowFault]:
    holders: dict[str, str] = {}
    for device in directory.devices.values():
        key = device.device
        yield from _no_agency(directory, "device", key, device.agency)
        if device.mnemonic is None and device.pool is None:
            yield RowFault("device", key, "has neither a mnemonic nor a pool")
        if device.mnemonic is not None and device.pool is not None:
            yield RowFault("device", key, "has both a mnemonic and a pool: it is one or the other")
        if device.mnemonic is not None:
            row = directory.mnemonics.get(device.mnemonic)
            if row is None:
                yield RowFault("device", key, f"there is no mnemonic {device.mnemonic!r}")
            elif row.pool is not None:
                yield RowFault("device", key, f"mnemonic {device.mnemonic} is in pool {row.pool}")
            if device.mnemonic in holders:
                problem = f"mnemonic {device.mnemonic} is {holders[device.mnemonic]}'s (C-STATIC)"
                yield RowFault("device", key, problem)
            holders[device.mnemonic] = key
        if device.pool is not None and device.pool not in directory.pools:
            yield RowFault("device", key, f"there is no pool {device.pool!r}")
        if device.certificate and not is_fingerprint(device.certificate):
            yield RowFault("device", key, "certificate is not a SHA-256 fingerprint: 64 hexadecimal digits")
        if device.delegated and device.kind is not StationKind.HOST:
            yield RowFault("device", key, "only a host can be delegated")
        if classes and device.device_class not in classes:
            yield RowFault("device", key, f"there is no device class {device.device_class!r}")
        yield from _coverage_faults(directory, device)


def _coverage_faults(directory: Directory, device: Device) -> Iterator[RowFault]:
    agency = directory.agencies.get(device.agency)
    if agency is None or agency.kind is not AgencyKind.NON_LAW_ENFORCEMENT or device.status is not Status.ACTIVE:
        return
    if not any(row.agency == agency.agency for row in directory.agreements.values()):
        problem = f"{agency.agency} is not a law-enforcement agency and has no agreement on file (C-NONLE)"
        yield RowFault("device", device.device, problem)


def _pool_faults(directory: Directory) -> Iterator[RowFault]:
    for pool in directory.pools.values():
        yield from _no_agency(directory, "pool", pool.pool, pool.agency)
        if not pool.approval:
            yield RowFault("pool", pool.pool, "a pool needs its approval reference (C-POOL)")
        yield from _destination_faults(directory, pool)


def _destination_faults(directory: Directory, pool: Pool) -> Iterator[RowFault]:
    if pool.unsolicited_to is None:
        if pool.late_answers is LateAnswers.DESTINATION:
            yield RowFault("pool", pool.pool, "late_answers = destination needs unsolicited_to")
        return
    device = directory.devices.get(pool.unsolicited_to)
    if device is None:
        problem = f"there is no device {pool.unsolicited_to!r} for unsolicited messages"
        yield RowFault("pool", pool.pool, problem)
    elif not device.attended:
        problem = f"unsolicited_to: {device.device} is neither a printer nor staffed at every hour (C-UNSOL)"
        yield RowFault("pool", pool.pool, problem)


def _mnemonic_faults(directory: Directory) -> Iterator[RowFault]:
    for row in directory.mnemonics.values():
        key = row.mnemonic
        if not is_mnemonic(key):
            yield RowFault("mnemonic", key, "a mnemonic is four capital letters and digits")
        yield from _no_agency(directory, "mnemonic", key, row.agency)
        if row.pool is not None and row.pool not in directory.pools:
            yield RowFault("mnemonic", key, f"there is no pool {row.pool!r}")
        yield from _test_faults(row)
        yield from _staffing_faults(directory, row)
        if row.programmed is not None and not (row.authorised_by and row.authorised):
            yield RowFault("mnemonic", key, "programmed needs authorised and authorised_by (C-DBAUTH)")


def _test_faults(row: Mnemonic) -> Iterator[RowFault]:
    if row.mode is Mode.TEST and row.expires is None:
        yield RowFault("mnemonic", row.mnemonic, "a test mnemonic needs its end date (C-TEST)")
    elif row.mode is Mode.TEST and row.expires and row.requested:
        days = (row.expires - row.requested).days
        if days > TEST_DAYS_MAX:
            problem = f"a test mnemonic ends within a year of its request, not after {days} days (C-TEST)"
            yield RowFault("mnemonic", row.mnemonic, problem)


def _staffing_faults(directory: Directory, row: Mnemonic) -> Iterator[RowFault]:
    if row.pool is not None or not row.administrative or row.status is not Status.ACTIVE:
        return
    device = directory.static_devices.get(row.mnemonic)
    agency = directory.agencies.get(row.agency)
    if device is not None and not device.attended and not (agency and agency.staffing_waiver):
        problem = (
            f"receives administrative messages, but {device.device} is neither a printer nor staffed at every hour, "
            f"and {row.agency} has no waiver (C-STAFFED)"
        )
        yield RowFault("mnemonic", row.mnemonic, problem)


def _operator_faults(directory: Directory) -> Iterator[RowFault]:
    holders: dict[str, str] = {}
    for row in directory.operators.values():
        key = row.operator
        try:
            Holder(HolderKind.OPERATOR, key)
        except ValueError as exc:
            yield RowFault("operator", key, f"no certificate can bear it: {exc}")
        if row.status is Status.REMOVED:
            continue
        if key in directory.users:
            problem = "is a user's id: the journal could not tell the two apart, nor whose agency may see of whom"
            yield RowFault("operator", key, problem)
        if not row.name.strip():
            yield RowFault("operator", key, "has no name: an operator is one person (C-ACCESS)")
        if row.role is Role.COORDINATOR and row.agency is None:
            yield RowFault("operator", key, "a coordinator needs the agency that is theirs (N-SCOPE)")
        elif row.agency is not None and row.role is not Role.COORDINATOR:
            problem = f"has an agency, and only a coordinator is confined to one: leave it out for an {row.role}"
            yield RowFault("operator", key, problem)
        elif row.agency is not None:
            yield from _no_agency(directory, "operator", key, row.agency)
        fingerprint = row.certificate.replace(":", "").lower()
        if not fingerprint:
            continue
        if not is_fingerprint(row.certificate):
            yield RowFault("operator", key, "certificate is not a SHA-256 fingerprint: 64 hexadecimal digits")
        elif fingerprint in holders:
            yield RowFault("operator", key, f"certificate is {holders[fingerprint]}'s: an operator is one person")
        holders[fingerprint] = key
