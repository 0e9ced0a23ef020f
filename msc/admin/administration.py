"""Changing a site's directory on somebody's behalf: checked whole, written with its reason, and taken up.

The commands are a face of this; what they do is in force in the running switch a moment later, and in its journal.
"""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from msc import clock
from msc.acp import consistency
from msc.acp.codec import members
from msc.acp.directory import AnyRow, Directory, key_of, table_of
from msc.acp.store import Actor, Change, DirectoryStore
from msc.admin.client import RefusedBySwitch, SwitchNotRunning, ask
from msc.errors import DirectoryError, Fault
from msc.settings import Settings

_TAKE_UP_S = 5.0
_LOOK_S = 0.05


def actor_named(operator: str | None) -> Actor:
    """Say who acts: the operator as told, or else the account of this machine, which is always noted."""
    account = getpass.getuser()
    return Actor(operator or account, f"cli:{account}")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a change.

    Attributes:
        revision: The state of the directory it made.
        in_force: Whether the running switch has taken it up; None if none runs.
    """

    revision: int
    in_force: bool | None


class Administration:
    """A site's directory, open for changes. Made by `administer`."""

    def __init__(
        self, settings: Settings, store: DirectoryStore, directory: Directory, revision: int, actor: Actor
    ) -> None:
        self.settings = settings
        self.store = store
        self.directory = directory
        self.revision = revision
        self.actor = actor

    async def change(self, changes: Sequence[Change], reason: str) -> Outcome:
        """Check changes, write them all or none, and wait until the running switch has them.

        Raises:
            DirectoryError: With every rule they would break.
            DirectoryChanged: Somebody else changed the directory since it was read.
        """
        self.check(changes)
        revision = await self.store.change(changes, self.actor, reason, clock.wall_us(), self.revision)
        for change in changes:
            if change.row is not None:
                self.directory.replace([change.row])
        self.revision = revision
        return Outcome(revision, await self._taken_up(revision))

    def check(self, changes: Sequence[Change]) -> None:
        """Refuse changes that break a rule the directory keeps now.

        Raises:
            DirectoryError: With every rule they would break.
        """
        names = self.settings.password_policies, self.settings.device_classes
        after = self.directory.copy()
        rows = [change for change in changes if change.table != "account"]
        after.replace(
            [change.row for change in rows if change.row is not None],
            [(change.table, change.key) for change in rows if change.row is None],
        )
        known = set(consistency.faults(self.directory, *names))
        file = self.settings.database(self.settings.directory)
        new = [fault for fault in consistency.faults(after, *names) if fault not in known]
        if new:
            raise DirectoryError([Fault(file, f"{fault.table} {fault.key}", fault.problem) for fault in new])

    async def _taken_up(self, revision: int) -> bool | None:
        deadline = clock.monotonic() + _TAKE_UP_S
        while True:
            try:
                state = await ask(self.settings, "GET", "/state")
            except (SwitchNotRunning, RefusedBySwitch):
                return None
            if state["directory_revision"] >= revision:
                return True
            if clock.monotonic() > deadline:
                return False
            await asyncio.sleep(_LOOK_S)


@asynccontextmanager
async def administer(settings: Settings, operator: str | None = None) -> AsyncIterator[Administration]:
    """Open a site's directory.

    Args:
        operator: Who acts, as told; None is the account of this machine.

    Raises:
        DirectoryUnavailable: It cannot be opened.
    """
    store = DirectoryStore(settings.database_url(settings.directory))
    try:
        await store.open()
        revision = await store.revision()
        yield Administration(settings, store, await store.load(), revision, actor_named(operator))
    finally:
        await store.close()


def row_change(before: AnyRow | None, after: AnyRow, action: str | None = None) -> Change:
    """Make the change that puts a row in the place of another, or adds it."""
    detail = difference(before, after)
    return Change(
        table_of(after), key_of(after), action or ("added" if before is None else "changed"), after, detail=detail
    )


def difference(before: AnyRow | None, after: AnyRow) -> dict[str, Any]:
    """Return what differs between two rows, member by member: the old and the new value, or the new one alone."""
    found: dict[str, Any] = {}
    for name, member in members(type(after)).items():
        new = member.to_plain(getattr(after, name))
        old = member.to_plain(getattr(before, name)) if before is not None else None
        if before is None and getattr(after, name) != member.default and name != table_of(after):
            found[name] = new
        elif before is not None and old != new:
            found[name] = [old, new]
    return found
