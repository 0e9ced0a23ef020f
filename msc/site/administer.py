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
from msc.control.client import RefusedBySwitch, SwitchNotRunning, ask
from msc.directory import consistency
from msc.directory.codec import members
from msc.directory.consistency import RowFault
from msc.directory.rows import AnyRow, Directory, key_of, table_of
from msc.directory.store import Actor, Change, DirectoryChanged, DirectoryStore, DirectoryUnavailable
from msc.errors import DirectoryError, Fault, RouteError
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

    def expect(self, revision: int) -> None:
        """Make sure the directory is what somebody was shown.

        Raises:
            DirectoryChanged: Somebody else changed it since.
        """
        if self.revision != revision:
            raise DirectoryChanged("somebody else changed the directory meanwhile; look again, and repeat")

    async def change(self, changes: Sequence[Change], reason: str) -> Outcome:
        """Check changes, write them all or none, and wait until the running switch has them.

        Raises:
            DirectoryError: With every rule they would break.
            DirectoryChanged: Somebody else changed the directory since it was read.
        """
        self.check(changes)
        revision = await self.store.change(changes, self.actor, reason, clock.wall_us(), self.revision)
        _make(changes, self.directory)
        self.revision = revision
        return Outcome(revision, await self._taken_up(revision))

    def check(self, changes: Sequence[Change]) -> None:
        """Refuse changes that break a rule the directory keeps now.

        Raises:
            DirectoryError: With every rule they would break.
        """
        broken = self.broken_by(changes)
        if broken:
            raise DirectoryError([self.fault(rule) for rule in broken])

    def broken_by(self, changes: Sequence[Change]) -> list[RowFault]:
        """Return every rule changes would break that the directory keeps now."""
        names = self.settings.password_policies, self.settings.device_classes
        after = self.directory.copy()
        _make(changes, after)
        known = set(consistency.faults(self.directory, *names))
        broken = [fault for fault in consistency.faults(after, *names) if fault not in known]
        return [*broken, *self._broken_in_plan(after)]

    def _broken_in_plan(self, after: Directory) -> list[RowFault]:
        """Return what groups and routes would name in vain, or unattended, that they do not now (C-STAFFED).

        The next start would be refused for it.
        """
        faults = _plan_faults(self.settings, after)
        if not faults:
            return []
        known = _plan_faults(self.settings, self.directory)
        return [RowFault(fault.file.name, fault.where, fault.problem) for fault in faults if fault not in known]

    def fault(self, rule: RowFault) -> Fault:
        """Tell of a row that breaks a rule, named by table and key."""
        file = self.settings.database(self.settings.directory)
        return Fault(file, f"{rule.table} {rule.key}", rule.problem)

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


def _plan_faults(settings: Settings, directory: Directory) -> list[Fault]:
    # Imported here: not every command changes something.
    from msc.switch.site_plan import load_site_plan

    try:
        load_site_plan(settings, None, directory)
    except RouteError as exc:
        return exc.faults
    return []


def _make(changes: Sequence[Change], directory: Directory) -> None:
    rows = [change for change in changes if change.table != "account"]
    directory.replace(
        [change.row for change in rows if change.row is not None],
        [(change.table, change.key) for change in rows if change.row is None],
    )


@asynccontextmanager
async def administer(settings: Settings, operator: str | None = None) -> AsyncIterator[Administration]:
    """Open a site's directory.

    Args:
        operator: Who acts, as told; None is the account of this machine.

    Raises:
        DirectoryError: There is none.
        DirectoryUnavailable: It cannot be opened.
    """
    file = settings.database(settings.directory)
    if not file.is_file():
        raise DirectoryError([Fault(file, "", "there is no directory: `msc init` makes one")])
    store = DirectoryStore(settings.database_url(settings.directory))
    try:
        await store.open()
        revision = await store.revision()
        yield Administration(settings, store, await store.load(), revision, actor_named(operator))
    finally:
        await store.close()


async def note(settings: Settings, operator: str | None, changes: Sequence[Change], reason: str) -> bool:
    """Have auditors told of something that is not in the directory: a certificate issued, secrets taken out.

    Returns:
        Whether there is a directory to note it in; where only an authority's key is kept there is none.

    Raises:
        DirectoryUnavailable: It cannot be written.
    """
    if not settings.database(settings.directory).is_file():
        return False
    store = DirectoryStore(settings.database_url(settings.directory))
    try:
        await store.open()
        await store.change(changes, actor_named(operator), reason, clock.wall_us())
    finally:
        await store.close()
    return True


async def changes_waiting(settings: Settings) -> int:
    """Count the changes no switch has put into the audit stream yet; 0 while one runs, which will in a moment."""
    if not settings.database(settings.directory).is_file() or settings.admin_socket.exists():
        return 0
    store = DirectoryStore(settings.database_url(settings.directory))
    try:
        return sum(not change.journaled for change in await store.changes_since(await store.revision()))
    except DirectoryUnavailable:
        return 0  # of an earlier release: there were no changes by command
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
        new = getattr(after, name)
        if before is None:
            if new != member.default and name != table_of(after):
                found[name] = member.to_plain(new)
        elif (old := getattr(before, name)) != new:
            found[name] = [member.to_plain(old), member.to_plain(new)]
    return found
