"""The directory as declared in files: what would change, and changing it. All of it, or none.

A row that a file names becomes what the file says. One that no file names stays, or goes where pruning is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from msc import clock
from msc.directory.codec import members
from msc.directory.document import STATUS_MEMBERS, Document, Entry
from msc.directory.rows import TABLES, Account, Agency, AnyRow, Operator, Status, User, key_of, table_of
from msc.directory.store import Change
from msc.errors import DirectoryError, Fault
from msc.settings import PasswordPolicySettings
from msc.site.administer import Administration, row_change
from msc.site.edit import (
    NEW_ACCOUNT,
    NO_CREDENTIALS,
    BadRequest,
    check_person,
    check_rested,
    history_after,
    removal,
    same_person,
)


# Without a repr: asyncio writes a task's result out as it ends, and this one has thousands of rows.
@dataclass(frozen=True, slots=True, repr=False)
class Plan:
    """What files would do to a directory.

    Attributes:
        changes: By table, then key.
        unnamed: How many rows of a table stand in no file and stay.
        revision: The state of the directory it was worked out for.
    """

    changes: Sequence[Change]
    unnamed: dict[str, int]
    revision: int

    def count(self, kind: str) -> int:
        """Count the rows `added`, `changed` or `removed`."""
        return sum(kind_of(change) == kind for change in self.changes)


def kind_of(change: Change) -> str:
    """Return what a change does: `added`, `changed` or `removed`."""
    return change.action if change.action in ("added", "removed") else "changed"


def read_files(files: Iterable[Path]) -> Document:
    """Read files of a directory. What is wrong with them stands in the document."""
    document = Document()
    for file in files:
        try:
            content = file.read_bytes()
        except OSError as exc:
            document.unreadable(Fault(file, "", f"cannot be read: {exc.strerror}"))
            continue
        try:
            document.read(file, content.decode("utf-8-sig"))
        except UnicodeDecodeError as exc:
            line = content.count(b"\n", 0, exc.start) + 1
            document.unreadable(Fault(file, "", "is not UTF-8; let the spreadsheet save it as CSV UTF-8", line))
    return document


def plan(administration: Administration, document: Document, *, prune: bool) -> Plan:
    """Work out what a document would change.

    Raises:
        DirectoryError: With every fault of its files, and every rule that its rows would break.
    """
    planner = _Planner(administration, document, clock.today())
    changes: list[Change] = []
    unnamed: dict[str, int] = {}
    for table in (name for name in TABLES if name in document.tables):
        rows = administration.directory.table(table)
        named = {key for name, key in document.entries if name == table}
        left = {key for key in rows.keys() - named if rows[key].status is not Status.REMOVED}
        if left and not prune:
            unnamed[table] = len(left)
        wanted = (planner.change(table, key) for key in sorted(named | left if prune else named))
        changes += [change for change in wanted if change is not None]
    faults = planner.faults(changes)
    if faults:
        raise DirectoryError(faults)
    return Plan(changes, unnamed, administration.revision)


class _Planner:
    """Works out changes, one row after another."""

    def __init__(self, administration: Administration, document: Document, today: date) -> None:
        self._administration = administration
        self._directory = administration.directory
        self._document = document
        self._today = today
        declared = [entry.row for entry in document.entries.values()]
        self._agencies = self._directory.agencies | {row.agency: row for row in declared if isinstance(row, Agency)}

    # --- what is wrong ----------------------------------------------------------------------------

    def faults(self, changes: Sequence[Change]) -> list[Fault]:
        """Return everything wrong with the document, by file and line."""
        entries = self._document.entries
        found = list(self._document.faults)
        found += [
            entry.fault(problem, table)
            for (table, _), entry in entries.items()
            if (problem := self._another_persons(entry))
        ]
        # Where rows are missing, what refers to them proves nothing.
        for rule in self._administration.broken_by(changes) if self._document.whole else ():
            entry = entries.get((rule.table, rule.key))
            if entry is None:
                found.append(self._administration.fault(rule))
            elif entry.sound:
                found.append(entry.fault(rule.problem, f"{rule.table} {rule.key}"))
        return sorted(found, key=lambda fault: (str(fault.file), fault.line or 0))

    def _another_persons(self, entry: Entry) -> str | None:
        """Say why an id that was a removed person's may not be this one's, or None (C-UID)."""
        row = entry.row
        before = self._directory.table(table_of(row)).get(key_of(row))
        if before is None or before.status is not Status.REMOVED:
            return None
        try:
            if isinstance(row, User) and isinstance(before, User) and not same_person(before.name, row.name):
                check_rested(before, self._administration.settings.access, self._today)
            elif isinstance(row, Operator) and isinstance(before, Operator):
                check_person(before, row.name)
        except BadRequest as exc:
            return str(exc)
        return None

    # --- what changes -----------------------------------------------------------------------------

    def change(self, table: str, key: str) -> Change | None:
        """Make the change that brings a row to what the document says; None if it is that already."""
        before = self._directory.table(table).get(key)
        entry = self._document.entries.get((table, key))
        if entry is None:
            return self._removal(table, key)
        row = self._completed(entry, before)
        account = self._account(entry, before, row)
        removed = before is not None and row.status is Status.REMOVED and before.status is not Status.REMOVED
        if row != before:
            change = row_change(before, row, "removed" if removed else None)
        elif account:
            change = Change("account", key, "credentials_set")
        else:
            return None
        # Which credentials were set is told, never what they are.
        told = dict.fromkeys((name for name in entry.credentials if name in account), "set")
        return replace(change, account=account or None, detail=(change.detail or {}) | told)

    def _removal(self, table: str, key: str) -> Change:
        return removal(self._directory.table(table)[key], "stands in no file", self._today)

    def _completed(self, entry: Entry, before: AnyRow | None) -> AnyRow:
        """Give a row what no file has to state: what the switch keeps, an unstated status, the days of today."""
        row = entry.row
        known: dict[str, Any] = {}
        gone = before is not None and before.status is Status.REMOVED
        if before is not None:
            kept = [name for name, member in members(type(row)).items() if member.state]
            if "status" not in entry.stated and not gone:
                kept += STATUS_MEMBERS
            known = {name: getattr(before, name) for name in kept}
        if "status_since" not in entry.stated and "status_since" not in known:
            same = row.status is (before.status if before is not None else Status.ACTIVE)
            known["status_since"] = (before.status_since if before is not None else None) if same else self._today
        if isinstance(row, User) and row.added is None:
            back = gone and row.status is not Status.REMOVED
            known["added"] = before.added if isinstance(before, User) and not back else self._today
        return replace(row, **known)

    def _account(self, entry: Entry, before: AnyRow | None, row: AnyRow) -> dict[str, Any]:
        """Return what becomes of a user's account: only what changes."""
        if not isinstance(row, User):
            return {}
        was_removed = before is not None and before.status is Status.REMOVED
        if row.status is Status.REMOVED:
            return {} if was_removed else dict(NO_CREDENTIALS)
        # Whoever had the id before leaves nothing to the person it is given to.
        account = Account(row.user) if was_removed else self._directory.account(row.user)
        changed: dict[str, Any] = dict(NEW_ACCOUNT) if was_removed else {}
        stated = {name: value for name, value in entry.credentials.items() if value != getattr(account, name)}
        if "password_hash" in stated and row.agency in self._agencies:
            policies = self._administration.settings.password_policies
            policy = policies.get(self._agencies[row.agency].password_policy, PasswordPolicySettings())
            changed["password_history"] = history_after(account, policy)
            changed["password_expires"] = self._today + timedelta(days=policy.days) if policy.days else None
        if "otp_secret" in stated:
            changed |= {"otp_step": 0, "recovery_codes": ()}
        return changed | stated
