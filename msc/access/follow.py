"""Following the directory: what commands changed in its database is taken up by the running switch.

A change is in force a moment after its transaction, and stands in the journal's audit stream even if it was made
while no switch ran: it counts as journaled only when the journal has said so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Protocol

from msc.access.control_point import AccessControlPoint
from msc.audit import AuditEvent
from msc.directory.rows import TABLES, AnyRow, key_of
from msc.directory.store import DirectoryStore, Lease, LoggedChange
from msc.log import get_logger

log = get_logger("acp")

_AT_ONCE = 200
"""Rows read, and changes audited, before other work gets its turn: a few milliseconds."""
_AUDIT_PAUSE_S = 0.01
"""Between the audit rows of a large change: a commit takes all there are, and a message's waits for it."""


class Journal(Protocol):
    """What is needed of the journal's writer."""

    def noted(self) -> int:
        """Return a mark for all that has been noted so far."""

    def holds(self, mark: int) -> bool:
        """Tell whether all that was noted before a mark is durable."""


class DirectoryFollower:
    """Keeps the directory in memory at the state of its database.

    Args:
        revision: The state that was loaded.
        journal: Where the changes are noted; says when what was noted is durable.
        changed: Called when something was taken up: sessions and connections have to be looked at.
    """

    def __init__(
        self,
        store: DirectoryStore,
        point: AccessControlPoint,
        revision: int,
        journal: Journal,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self.revision = revision
        """The state in force."""
        self._store = store
        self._point = point
        self._journal = journal
        self._noted = 0
        self._changed = changed
        self._begun = False
        self._audited = self._marked = 0

    async def poll(self) -> bool:
        """Look whether something changed, and take it up.

        Returns:
            Whether something did.

        Raises:
            DirectoryUnavailable: The database cannot be read.
        """
        newest = await self._store.revision()
        if newest == self.revision and self._begun:
            await self._mark()
            return False
        changes = await self._store.changes_since(self.revision)
        news = [change for change in changes if change.revision > self.revision]
        if news:
            await self._take_up(news)
            self.revision = news[-1].revision
            self._changed()
        await self._audit([change for change in changes if not change.journaled])
        self._begun = True
        return bool(news)

    async def close(self) -> None:
        """Say what the journal holds by now, once it is closed; the next switch would note it again otherwise.

        Raises:
            DirectoryUnavailable: The database cannot be written.
        """
        await self._mark()

    async def _take_up(self, changes: Sequence[LoggedChange]) -> None:
        touched: dict[str, dict[str, None]] = {}
        for change in changes:
            if change.table in TABLES or change.table == "account":
                touched.setdefault(change.table, {})[change.key] = None
        users = touched.pop("account", {}) | touched.get("user", {})
        keys = [*users, *(key for keys in touched.values() for key in keys)]
        while True:
            before = self._point.writes(keys)
            rows, removed = await self._read_rows(touched)
            accounts = [row for part in _parts(users) for row in await self._store.read_accounts(part)]
            # A lock or a used code that came while this was read must not be undone by an older row: read again.
            if before is not None and before == self._point.writes(keys):
                break
        # All at once, between two messages.
        self._point.directory.replace(rows, removed)
        self._point.take_up(accounts, touched.get("device", ()))
        log.info("directory.taken_up", rows=len(rows), accounts=len(accounts), removed=len(removed))

    async def _read_rows(self, touched: Mapping[str, Iterable[str]]) -> tuple[list[AnyRow], list[tuple[str, str]]]:
        """Read the rows that were touched, and name those that are no longer there."""
        rows: list[AnyRow] = []
        removed: list[tuple[str, str]] = []
        for table, keys in touched.items():
            found = [row for part in _parts(keys) for row in await self._store.read(table, part)]
            rows += found
            removed += [(table, key) for key in set(keys) - {key_of(row) for row in found}]
        return rows, removed

    async def _audit(self, changes: Sequence[LoggedChange]) -> None:
        remaining = (change for change in changes if change.revision > self._audited)
        while part := list(islice(remaining, _AT_ONCE)):
            for change in part:
                self._point.audit(event_of(change))
            if len(part) == _AT_ONCE:
                await asyncio.sleep(_AUDIT_PAUSE_S)
        if changes:
            self._audited = changes[-1].revision
            self._noted = self._journal.noted()

    async def _mark(self) -> None:
        """Say that the changes stand in the journal, once they do."""
        if self._marked < self._audited and self._journal.holds(self._noted):
            await self._store.mark_journaled(self._audited)
            self._marked = self._audited


def _parts(keys: Iterable[str]) -> Iterator[list[str]]:
    remaining = iter(keys)
    while part := list(islice(remaining, _AT_ONCE)):
        yield part


def event_of(change: LoggedChange) -> AuditEvent:
    """Write a change of the directory as an audit event."""
    table = "user" if change.table == "account" else change.table
    return AuditEvent(
        change.at, f"{table}.{change.action}", user=change.operator, source=change.source,
        detail=f"revision {change.revision} {change.detail}", subject=f"{table} {change.key}",
        reason=change.reason or None,
    )  # fmt: skip


def lease_ended(lease: Lease, at_us: int, why: str) -> AuditEvent:
    """Write the end of a lease that no sign-off ended as an audit event."""
    return AuditEvent(
        at_us, "lease.ended", device=lease.device, user=lease.user, mnemonic=lease.mnemonic, session=lease.session,
        detail=why, subject=f"mnemonic {lease.mnemonic}",
    )  # fmt: skip
