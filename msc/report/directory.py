"""What auditors ask of the directory, as rows: pure functions of the directory, the terms of access and a day.

Nothing of a credential is in any row: that there is one, and until when, is all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from msc import clock
from msc.access.housekeeping import NOTICE_DAYS, last_life, last_use, notice
from msc.directory.rows import EVERYTHING, Directory, Mnemonic, Row, Status, User
from msc.directory.store import Lease, MisuseFlag
from msc.settings import AccessSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class MnemonicRow:
    """What a mnemonic is authorised for, and how it came to be (C-DBAUTH).

    Attributes:
        place: The device it is static at, or its pool.
        disabled: Since when; None while it is not.
    """

    mnemonic: str
    agency: str
    place: str
    mode: str
    status: str
    expires: date | None
    requested: date | None
    forwarded: date | None
    authorised: date | None
    programmed: date | None
    notified: date | None
    authorised_by: str
    databases: tuple[str, ...]
    functions: tuple[str, ...]
    last_used: date | None
    listed: date | None
    disabled: date | None


def mnemonics(directory: Directory, today: date) -> Iterator[MnemonicRow]:
    """List every mnemonic there is or was."""
    for name, row in sorted(directory.mnemonics.items()):
        yield MnemonicRow(
            mnemonic=name, agency=row.agency, place=_place(directory, row), mode=row.mode.value,
            status=_status(row, today), expires=row.expires, requested=row.requested, forwarded=row.forwarded,
            authorised=row.authorised, programmed=row.programmed, notified=row.notified,
            authorised_by=row.authorised_by, databases=_words(row.databases), functions=_words(row.functions),
            last_used=row.last_used, listed=row.listed,
            disabled=row.status_since if row.status is Status.DISABLED else None,
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class LocationRow:
    """Where a device stands (C-WHERE).

    Attributes:
        mnemonic: Static, or empty where `pool` is not.
    """

    device: str
    kind: str
    agency: str
    mnemonic: str
    pool: str
    location: str
    licence: str
    staffed: bool
    status: str


def locations(directory: Directory, today: date) -> Iterator[LocationRow]:
    """List every device that was not removed."""
    for name, row in sorted(directory.devices.items()):
        if row.status is Status.REMOVED:
            continue
        yield LocationRow(
            device=name, kind=row.kind.value, agency=row.agency, mnemonic=row.mnemonic or "", pool=row.pool or "",
            location=row.location, licence=row.licence, staffed=row.staffed, status=_status(row, today),
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class IdleRow:
    """A mnemonic that nobody works under (C-NINE).

    Attributes:
        listed: When it was put on the list; None if the switch has not done so yet.
        disables: The day it will be disabled, unless somebody uses it.
    """

    mnemonic: str
    agency: str
    place: str
    last_used: date
    idle_days: int
    listed: date | None
    disables: date


def idle_mnemonics(directory: Directory, rules: AccessSettings, today: date) -> list[IdleRow]:
    """List the mnemonics whose notice runs, those soonest disabled first."""
    found = []
    for name, row in directory.mnemonics.items():
        last = last_use(row)
        if row.status is not Status.ACTIVE or last is None:
            continue
        idle_days = (today - last).days
        listed = notice(row, last)
        if listed is None and idle_days < rules.idle_mnemonic_days - NOTICE_DAYS:
            continue
        noticed = (listed or today) + timedelta(days=NOTICE_DAYS)
        disables = max(last + timedelta(days=rules.idle_mnemonic_days), noticed)
        found.append(
            IdleRow(
                mnemonic=name, agency=row.agency, place=_place(directory, row), last_used=last, idle_days=idle_days,
                listed=listed, disables=disables,
            )
        )  # fmt: skip
    return sorted(found, key=lambda row: (row.disables, row.mnemonic))


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountRow:
    """The state of a person's account (N-IDLE, C-REVIEW).

    Attributes:
        status: With `reason` and `until` while it is not active.
        last_sign_on: RFC 3339, or None: never.
        idle_days: None where nothing says since when.
        stage: What disuse has come to: `active`, `disabled`, `withdrawn`.
        second_factor: Whether one is enrolled.
        review_due: When the yearly validation is due; None means at once.
    """

    user: str
    name: str
    agency: str
    operator_class: str
    status: str
    reason: str
    until: date | None
    last_sign_on: str | None
    idle_days: int | None
    stage: str
    locked: bool
    password_expires: date | None
    second_factor: bool
    reviewed: date | None
    reviewed_by: str
    review_due: date | None
    review_overdue: bool


def accounts(directory: Directory, rules: AccessSettings, today: date) -> Iterator[AccountRow]:
    """List every user who was not removed."""
    for user in _users(directory):
        account = directory.account(user.user)
        status = _status(user, today)
        held = status != Status.ACTIVE.value
        last = last_life(user, account)
        idle_days = (today - last).days if last is not None else None
        review_due = _after(user.reviewed or user.added, rules.review_days)
        yield AccountRow(
            user=user.user, name=user.name, agency=user.agency, operator_class=user.operator_class.value,
            status=status, reason=user.status_reason if held else "", until=user.status_until if held else None,
            last_sign_on=clock.rfc3339(account.previous_sign_on) if account.previous_sign_on is not None else None,
            idle_days=idle_days, stage=_stage(user, idle_days, rules), locked=account.locked_at is not None,
            password_expires=account.password_expires, second_factor=account.otp_secret is not None,
            reviewed=user.reviewed, reviewed_by=user.reviewed_by, review_due=review_due,
            review_overdue=review_due is None or review_due <= today,
        )  # fmt: skip


def _stage(user: User, idle_days: int | None, rules: AccessSettings) -> str:
    if idle_days is not None and idle_days >= rules.idle_withdraw_days:
        return "withdrawn"
    if user.status is Status.DISABLED or idle_days is None or idle_days >= rules.idle_account_days:
        return "disabled"
    return "active"


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificationRow:
    """What must be on file about a person (C-TRAIN, C-BACKGR, C-STMT, O-DMV, D-ACK).

    Attributes:
        …_due: The day it is overdue; None where it holds for good, or is missing and due at once.
        overdue: What is missing or overdue: `training`, `background`, `statement`, `dmv_statement`,
            `acknowledgement`.
    """

    user: str
    name: str
    agency: str
    training: date | None
    score: int | None
    training_due: date | None
    background: date | None
    statement: date | None
    dmv_statement: date | None
    dmv_statement_due: date | None
    acknowledgement: date | None
    acknowledgement_due: date | None
    overdue: tuple[str, ...]

    def due_by(self, day: date) -> bool:
        """Tell whether anything is overdue, or will be by a day."""
        dues = (self.training_due, self.dmv_statement_due, self.acknowledgement_due)
        return bool(self.overdue) or any(due is not None and due <= day for due in dues)


def certifications(directory: Directory, rules: AccessSettings, today: date) -> Iterator[CertificationRow]:
    """List every user who was not removed."""
    for user in _users(directory):
        training_due = _after(user.certified, rules.training_days)
        trained = user.certified
        if trained is None and user.appointed is not None and user.appointed <= today:
            # PPP 1.8.2: the first training may follow the appointment.
            training_due = _after(user.appointed, rules.initial_training_days)
            trained = user.appointed
        dmv_due = _after(user.dmv_statement, rules.dmv_statement_days)
        acknowledgement_due = _after(user.acknowledged, rules.acknowledgement_days)
        papers = {
            "training": _is_due(trained, training_due, today),
            "background": _is_due(user.cleared, None, today),
            "statement": _is_due(user.statement, None, today),
            "dmv_statement": bool(rules.dmv_statement_days) and _is_due(user.dmv_statement, dmv_due, today),
            "acknowledgement": bool(rules.acknowledgement_days)
            and _is_due(user.acknowledged, acknowledgement_due, today),
        }
        yield CertificationRow(
            user=user.user, name=user.name, agency=user.agency, training=user.certified, score=user.score,
            training_due=training_due, background=user.cleared, statement=user.statement,
            dmv_statement=user.dmv_statement, dmv_statement_due=dmv_due, acknowledgement=user.acknowledged,
            acknowledgement_due=acknowledgement_due, overdue=tuple(name for name, due in papers.items() if due),
        )  # fmt: skip


def _is_due(since: date | None, due: date | None, today: date) -> bool:
    return since is None or since > today or (due is not None and due <= today)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRow:
    """Who held a pooled mnemonic (C-POOL); times in RFC 3339, `ended` None while it is held."""

    began: str
    ended: str | None
    end_reason: str | None
    pool: str
    mnemonic: str
    user: str
    device: str
    session: str


def lease_row(lease: Lease) -> LeaseRow:
    """Write a lease as a row."""
    return LeaseRow(
        began=clock.rfc3339(lease.began), ended=clock.rfc3339(lease.ended) if lease.ended is not None else None,
        end_reason=lease.end_reason, pool=lease.pool, mnemonic=lease.mnemonic, user=lease.user, device=lease.device,
        session=lease.session,
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagRow:
    """A message that looks like misuse (C-SELF); times in RFC 3339, `closed` None while nobody has looked at it."""

    flag: int
    at: str
    msn: int
    user: str
    agency: str
    pattern: str
    closed: str | None
    closed_by: str | None
    outcome: str | None


def flag_row(flag: MisuseFlag) -> FlagRow:
    """Write a flag as a row."""
    return FlagRow(
        flag=flag.flag, at=clock.rfc3339(flag.at), msn=flag.msn, user=flag.user, agency=flag.agency,
        pattern=flag.pattern, closed=clock.rfc3339(flag.closed) if flag.closed is not None else None,
        closed_by=flag.closed_by, outcome=flag.outcome,
    )  # fmt: skip


# --- what they share ------------------------------------------------------------------------------


def _users(directory: Directory) -> list[User]:
    return [row for _, row in sorted(directory.users.items()) if row.status is not Status.REMOVED]


def _status(row: Row, today: date) -> str:
    """A suspension that has ended is over, whether or not anybody said so."""
    return Status.ACTIVE.value if row.in_force(today) else row.status.value


def _place(directory: Directory, row: Mnemonic) -> str:
    if row.pool is not None:
        return f"pool {row.pool}"
    device = directory.static_devices.get(row.mnemonic)
    return device.device if device is not None else ""


def _words(words: frozenset[str]) -> tuple[str, ...]:
    return (EVERYTHING,) if EVERYTHING in words else tuple(sorted(words))


def _after(day: date | None, days: int) -> date | None:
    return day + timedelta(days=days) if day is not None and days else None
