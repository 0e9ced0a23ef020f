"""What the commands for users, agencies, devices, mnemonics, pools and operators do to a row of the directory.

Each function says which changes it takes; `msc.site.administer` checks and writes them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, replace
from datetime import date, timedelta
from enum import StrEnum
from typing import Any, Final

from msc.directory.codec import Member, members
from msc.directory.consistency import PASS_PER_CENT
from msc.directory.rows import (
    MNEMONIC_STEPS,
    TABLES,
    Account,
    AnyRow,
    Directory,
    Mnemonic,
    Operator,
    Status,
    User,
    key_of,
    table_of,
)
from msc.directory.store import Change
from msc.errors import MSCError
from msc.settings import AccessSettings, PasswordPolicySettings
from msc.site.administer import row_change

NEW_ACCOUNT: Final = {member.name: member.default for member in fields(Account) if member.name != "user"}
"""An account of which nothing is known yet: whoever had the id before leaves nothing to who gets it."""
_TAKEN: Final = ("password_hash", "password_history", "otp_secret", "recovery_codes", "locked_at")
NO_CREDENTIALS: Final = {name: NEW_ACCOUNT[name] for name in _TAKEN}
"""What becomes of the account of a person who is removed."""


class BadRequest(MSCError):
    """What was asked for cannot be done; says why."""


class Cause(StrEnum):
    """Why a person's access is suspended (CLETS PPP 1.10.1, DELJIS 6.6-6.9)."""

    SANCTION = "sanction"
    LEAVE = "leave"
    DEPARTURE = "departure"
    ARREST = "arrest"
    BREACH = "breach"


def find_user(directory: Directory, key: str) -> User:
    """Return a user's row.

    Raises:
        BadRequest: There is none.
    """
    row = find(directory, "user", key)
    assert isinstance(row, User)
    return row


def find(directory: Directory, table: str, key: str) -> AnyRow:
    """Return a row.

    Raises:
        BadRequest: There is none.
    """
    row = directory.table(table).get(key)
    if row is None:
        raise BadRequest(f"there is no {table} {key!r}")
    return row


def _member(table: str, name: str) -> Member:
    known = members(TABLES[table])
    member = known.get(name)
    if member is None or name == table:
        raise BadRequest(f"a {table} has no member {name!r}; it has {', '.join(list(known)[1:])}")
    if member.state or name.startswith(("status", "suspended")):
        raise BadRequest(f"{name} is not set by hand: suspend and reinstate do, or the switch itself")
    return member


def read_assignments(table: str, assignments: Iterable[str]) -> dict[str, Any]:
    """Read `MEMBER=VALUE` words.

    Raises:
        BadRequest: A member is unknown, or a value is not of its kind.
    """
    found = {}
    for word in assignments:
        name, equals, text = word.partition("=")
        if not equals:
            raise BadRequest(f"{word!r} is not MEMBER=VALUE")
        try:
            found[name] = _member(table, name).from_text(text)
        except ValueError as exc:
            raise BadRequest(f"{name}: {exc}") from exc
    return found


def add(
    directory: Directory, table: str, key: str, given: dict[str, Any], rules: AccessSettings, today: date
) -> list[Change]:
    """Add a row.

    Raises:
        BadRequest: It is there already, lacks a member, or its user id still rests (C-UID).
    """
    before = directory.table(table).get(key)
    if isinstance(before, User) and before.status is Status.REMOVED:
        check_rested(before, rules, today)
        before = None
    elif isinstance(before, Operator) and before.status is Status.REMOVED:
        check_person(before, str(given.get("name", "")))
        before = None
    if before is not None:
        raise BadRequest(f"there is a {table} {key!r} already")
    missing = [name for name, member in members(TABLES[table]).items() if member.required and name not in given]
    if missing[1:]:  # the first is the key
        raise BadRequest(f"a {table} needs {', '.join(f'{name}=…' for name in missing[1:])}")
    if table == "user":
        given = {"added": today, **given}
    elif table == "mnemonic":
        given = {"requested": today, **given}
    made = row_change(None, TABLES[table](**{table: key, **given}))
    return [replace(made, account=dict(NEW_ACCOUNT)) if table == "user" else made]


def check_rested(removed: User, rules: AccessSettings, today: date) -> None:
    """Refuse to give a removed person's user id to another before it has rested (C-UID).

    Raises:
        BadRequest: It has not; says from when on.
    """
    free = (removed.status_since or today) + timedelta(days=rules.user_id_rest_days)
    if today < free:
        raise BadRequest(f"user id {removed.user} was another person's; it is free from {free} on (C-UID)")


def check_person(removed: Operator, name: str) -> None:
    """Refuse to give a removed operator's name to somebody else: the journal says for good who asked it (C-ACCESS).

    Raises:
        BadRequest: It is another person.
    """
    if not same_person(removed.name, name):
        raise BadRequest(f"operator {removed.operator} was another person, and is nobody else; choose another name")


def same_person(one: str, other: str) -> bool:
    """Tell whether two names are one person's, however they are written."""
    return one.casefold().split() == other.casefold().split()


def change(directory: Directory, table: str, key: str, given: dict[str, Any]) -> list[Change]:
    """Change members of a row.

    Raises:
        BadRequest: There is no such row.
    """
    before = find(directory, table, key)
    if before.status is Status.REMOVED:
        raise BadRequest(f"{table} {key} was removed")
    after = replace(before, **given)
    return [row_change(before, after)] if after != before else []


def suspend(
    directory: Directory,
    table: str,
    key: str,
    reason: str,
    today: date,
    until: date | None = None,
    databases: Iterable[str] = (),
) -> list[Change]:
    """Suspend a row, for a period or for good, whole or by database.

    Raises:
        BadRequest: There is none, it was removed, or the period is over already.
    """
    before = find(directory, table, key)
    if before.status is Status.REMOVED:
        raise BadRequest(f"{table} {key} was removed")
    if until is not None and until <= today:
        raise BadRequest(f"until {until} is not in the future")
    if before.status is Status.DISABLED:
        raise BadRequest(f"{table} {key} is disabled already, until it is reinstated")
    only = frozenset(databases)
    scope: dict[str, Any] = {}
    if "suspended_databases" in members(type(before)):
        scope["suspended_databases"] = only
    elif only:
        raise BadRequest(f"a {table} is suspended whole, not by database")
    if before.status is Status.SUSPENDED and not before.in_force(today):
        until, only = _added_to(before, until, only)
        if scope:
            scope = {"suspended_databases": only}
    after = replace(
        before, status=Status.SUSPENDED, status_reason=reason, status_since=today, status_until=until, **scope
    )
    return [row_change(before, after, "suspended")]


def _added_to(before: AnyRow, until: date | None, only: frozenset[str]) -> tuple[date | None, frozenset[str]]:
    """Add a suspension to one in force: what that takes away stays away, for as long as it says.

    Raises:
        BadRequest: It would end sooner, or cover less.
    """
    taken: frozenset[str] = getattr(before, "suspended_databases", frozenset())
    sooner = until is not None and (before.status_until is None or until < before.status_until)
    if sooner or (only and not taken):
        raise BadRequest("it is suspended for longer, or from everything, already: reinstate it first")
    return until, only | taken if only else only


def reinstate(
    directory: Directory, table: str, key: str, reason: str, today: date, authorised_by: str | None = None
) -> list[Change]:
    """Put a suspended or disabled row in force again, and release what failures locked.

    Raises:
        BadRequest: There is none, it was removed, or its authorisation was withdrawn and none is given.
    """
    before = find(directory, table, key)
    if before.status is Status.REMOVED:
        raise BadRequest(f"{table} {key} was removed: add it anew")
    given: dict[str, Any] = {
        "status": Status.ACTIVE, "status_reason": "", "status_since": today, "status_until": None,
    }  # fmt: skip
    if "suspended_databases" in members(type(before)):
        given["suspended_databases"] = frozenset()
    if "locked_at" in members(type(before)):
        given["locked_at"] = None
    if isinstance(before, Mnemonic):
        given["listed"] = None
    if isinstance(before, User):
        given["authorised_by"] = authorised_by or before.authorised_by
        if not given["authorised_by"]:
            raise BadRequest(f"{key}'s authorisation was withdrawn: say who authorises it with --authorised-by")
    made = row_change(before, replace(before, **given), "reinstated")
    made = replace(made, state=tuple(name for name in ("locked_at", "listed") if name in given))
    if isinstance(before, User):
        made = replace(made, account={"locked_at": None, "failed_since": 0})
    return [made]


def remove(directory: Directory, table: str, key: str, reason: str, today: date) -> list[Change]:
    """Take a row out. A person's stays, without any authority, so that the id is not given to another (C-UID).

    Raises:
        BadRequest: There is none.
    """
    before = find(directory, table, key)
    if before.status is Status.REMOVED:
        raise BadRequest(f"{table} {key} was removed already")
    return [removal(before, reason, today)]


def removal(before: AnyRow, reason: str, today: date) -> Change:
    """Make the change that takes a row out."""
    if isinstance(before, User):
        return removed_user(before, reason, today)
    if isinstance(before, Operator):
        after = replace(
            before, certificate="", status=Status.REMOVED, status_reason=reason, status_since=today, status_until=None
        )
        return row_change(before, after, "removed")
    return Change(table_of(before), key_of(before), "removed")


def removed_user(before: User, reason: str, today: date) -> Change:
    """Take every authorisation from a person, and keep the row (C-LEAVE)."""
    after = User(
        before.user, before.name, before.agency, before.operator_class, added=before.added,
        status=Status.REMOVED, status_reason=reason, status_since=today,
    )  # fmt: skip
    return replace(row_change(before, after, "removed"), account=dict(NO_CREDENTIALS))


# --- people -------------------------------------------------------------------------------------


def certify(directory: Directory, key: str, passed: date, score: int, today: date) -> list[Change]:
    """Record an examination, passed or failed (PPP 1.8.2).

    Raises:
        BadRequest: There is no such user, or the day is yet to come.
    """
    if passed > today:
        raise BadRequest(f"{passed} is yet to come")
    before = find_user(directory, key)
    if before.status is Status.REMOVED:
        raise BadRequest(f"user {key} was removed")
    if score < PASS_PER_CENT:
        # Nothing of what is on file changes; that it was failed is on record.
        return [Change("account", key, "examination_failed", detail={"score": score, "on": passed.isoformat()})]
    return [row_change(before, replace(before, certified=passed, score=score), "certified")]


def review(directory: Directory, key: str, by: str, outcome: str, today: date) -> list[Change]:
    """Record the yearly validation of an account (PPP 1.9.3.C).

    Raises:
        BadRequest: There is no such user.
    """
    before = find_user(directory, key)
    if before.status is Status.REMOVED:
        raise BadRequest(f"user {key} was removed")
    after = replace(before, reviewed=today, reviewed_by=by, review_outcome=outcome)
    return [row_change(before, after, "reviewed")]


def history_after(account: Account, policy: PasswordPolicySettings) -> tuple[str, ...]:
    """Return the passwords that may not come back once an account gets a new one."""
    kept = (account.password_hash, *account.password_history) if account.password_hash else ()
    return kept[: policy.history]


def set_account(directory: Directory, key: str, action: str, **given: Any) -> list[Change]:
    """Change a user's credentials. What they were and are stands in no log.

    Raises:
        BadRequest: There is no such user.
    """
    if find_user(directory, key).status is Status.REMOVED:
        raise BadRequest(f"user {key} was removed")
    return [Change("account", key, action, account=given)]


# --- mnemonics ----------------------------------------------------------------------------------


def take_step(directory: Directory, key: str, step: str, day: date, by: str | None) -> list[Change]:
    """Date the next step of a mnemonic's life (C-DBAUTH).

    Raises:
        BadRequest: The step does not exist, comes before one that is missing, or lacks who authorised it.
    """
    before = find(directory, "mnemonic", key)
    assert isinstance(before, Mnemonic)
    if step not in MNEMONIC_STEPS:
        raise BadRequest(f"{step!r} is not a step; they are {', '.join(MNEMONIC_STEPS)}")
    earlier = MNEMONIC_STEPS[: MNEMONIC_STEPS.index(step)]
    missing = [name for name in earlier if getattr(before, name) is None]
    if missing:
        raise BadRequest(f"{step} comes after {missing[0]}, which has no date")
    given: dict[str, Any] = {step: day}
    if step == "authorised":
        if not (by or before.authorised_by):
            raise BadRequest("say who authorised it with --by: the state's reference")
        given["authorised_by"] = by or before.authorised_by
    return [row_change(before, replace(before, **given), step)]
