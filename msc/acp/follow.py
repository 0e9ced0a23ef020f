"""Following the directory: what commands changed in its database is taken up by the running switch.

A change is in force a moment after its transaction, and stands in the journal's audit stream even if it was made
while no switch ran: it counts as journaled only when the journal has said so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from itertools import islice

from msc.acp.control_point import AccessControlPoint, AuditEvent
from msc.acp.directory import AnyRow, key_of
from msc.acp.store import DirectoryStore, Lease, LoggedChange
from msc.log import get_logger

log = get_logger("acp")

_AT_ONCE = 200
"""Rows read, and changes audited, before other work gets its turn: a few milliseconds."""


class DirectoryFollower:
    """Keeps the directory in memory at the state of its database.

    Args:
        revision: The state that was loaded.
        journal_settled: Tells whether everything noted so far is in the journal.
    """

    def __init__(
        self,
        store: DirectoryStore,
        point: AccessControlPoint,
        revision: int,
        journal_settled: Callable[[], bool],
    ) -> None:
        self.revision = revision
        """The state in force."""
        self._store = store
        self._point = point
        self._settled = journal_settled
        self._begun = False
        self._audited = self._marked = 0

    async def poll(self) -> bool:
        """Look whether something changed, and take it up.

        Returns:
            Whether something did; sessions and connections have to be looked at then.

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
            touched.setdefault(change.table, {})[change.key] = None
        users = touched.pop("account", {}) | touched.get("user", {})
        rows: list[AnyRow] = []
        removed: list[tuple[str, str]] = []
        for table, keys in touched.items():
            if table == "misuse":
                continue
            found = []
            remaining = iter(keys)
            while part := list(islice(remaining, _AT_ONCE)):
                found += await self._store.read(table, part)
            rows += found
            removed += [(table, key) for key in keys.keys() - {key_of(row) for row in found}]
        accounts = []
        remaining = iter(users)
        while part := list(islice(remaining, _AT_ONCE)):
            accounts += await self._store.read_accounts(part)
        # All at once, between two messages.
        self._point.directory.replace(rows, removed)
        self._point.take_up(accounts, touched.get("device", ()))
        log.info("directory.taken_up", rows=len(rows), accounts=len(accounts), removed=len(removed))

    async def _audit(self, changes: Sequence[LoggedChange]) -> None:
        remaining = (change for change in changes if change.revision > self._audited)
        while part := list(islice(remaining, _AT_ONCE)):
            for change in part:
                self._point.audit(event_of(change))
            await asyncio.sleep(0)
        if changes:
            self._audited = changes[-1].revision

    async def _mark(self) -> None:
        """Say that the changes stand in the journal, once they do."""
        if self._marked < self._audited and self._settled():
            await self._store.mark_journaled(self._audited)
            self._marked = self._audited


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
