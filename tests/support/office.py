"""The agency coordinator's office: changes of a site's directory, checked and written as the commands do it.

In this process, because a command takes a second to start. What is promised of the commands themselves is tested with
them.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from msc import clock
from msc.directory.credential import hash_password, recovery_digest
from msc.directory.rows import AnyRow, Directory, User
from msc.directory.store import Change
from msc.settings import load_settings
from msc.site import edit as plans
from msc.site.administer import Administration, administer, row_change
from tests.support import county
from tests.support.mtp_client import TIMEOUT_S
from tests.support.site import POLL_S, Site

PASSWORD = "Fictitious-7-Heron"
OPERATOR = "LT EXAMPLE"
REASON = "as the test wants it"
RECOVERY_CODES = 40
"""More than any test uses."""


@functools.cache
def password_hash() -> str:
    """Hash the password that everybody added here has; once, because it takes long."""
    return hash_password(PASSWORD)


def person(id: str, /, **members: Any) -> User:
    """Make a user of the sheriff's in good standing, but for the members given."""
    return county.user(id, **{"agency": "EXSO", "acknowledged": county.LATELY} | members)


def entry(site: Site, user: User, **account: Any) -> Change:
    """Make the change that adds a person whose password is `PASSWORD`, and tell the site of it."""
    members = {"password_hash": password_hash()} | account
    site.added[user.user] = {"user": user.user, "password": PASSWORD, "otp_secret": account.get("otp_secret")}
    return replace(row_change(None, user), account=members)


def recovery_codes(user: str) -> list[str]:
    """Return the recovery codes of a person for whom `recovery_digests` were entered."""
    return [f"{user[-5:]}-{number:05}" for number in range(RECOVERY_CODES)]


def recovery_digests(user: str) -> tuple[str, ...]:
    """Return what the directory keeps of them."""
    return tuple(map(recovery_digest, recovery_codes(user)))


def rows(*added: AnyRow) -> list[Change]:
    """Make the changes that add rows, or put them in the place of what is there."""
    return [row_change(None, row) for row in added]


async def administrate(site: Site, plan: Callable[[Directory], list[Change]], reason: str = REASON) -> int:
    """Change a site's directory; when this returns a running switch has taken it up. Returns the revision."""
    async with administer(load_settings(site.toml), OPERATOR) as office:
        return await _perform(office, plan, reason)


async def _perform(office: Administration, plan: Callable[[Directory], list[Change]], reason: str) -> int:
    changes = plan(office.directory)
    if not changes:
        return office.revision
    outcome = await office.change(changes, reason)
    assert outcome.in_force is not False, "the running switch has not taken it up"
    return outcome.revision


async def edit(site: Site, table: str, key: str, **members: Any) -> int:
    """Change members of one row, whatever they are."""

    def plan(directory: Directory) -> list[Change]:
        before = directory.table(table)[key]
        after = replace(before, **members)
        return [row_change(before, after)] if after != before else []

    return await administrate(site, plan)


async def suspend(site: Site, table: str, key: str, reason: str, *databases: str) -> int:
    """Do what `msc TABLE suspend` does."""
    return await administrate(
        site, lambda directory: plans.suspend(directory, table, key, reason, clock.today(), None, databases), reason
    )


async def reinstate(site: Site, table: str, key: str) -> int:
    """Do what `msc TABLE reinstate` does."""
    return await administrate(site, lambda directory: plans.reinstate(directory, table, key, REASON, clock.today()))


def prepare(site: Site, *changes: Change) -> None:
    """Change the directory of a site whose switch does not run yet."""
    asyncio.run(administrate(site, lambda _: list(changes), "before the test"))


async def comes_true(condition: Callable[[], object], what: str, timeout_s: float = TIMEOUT_S) -> None:
    """Poll until a condition holds, and let this loop's connections go on meanwhile."""

    async def ask() -> object:
        return condition()

    await becomes_true(ask, what, timeout_s)


async def becomes_true(condition: Callable[[], Awaitable[object]], what: str, timeout_s: float = TIMEOUT_S) -> None:
    """Poll until what a coroutine returns holds."""
    try:
        async with asyncio.timeout(timeout_s):
            while not await condition():
                await asyncio.sleep(POLL_S)
    except TimeoutError:
        raise AssertionError(f"{what} did not come true in {timeout_s} s") from None


async def command(site: Site, *words: str) -> str:
    """Run a command on the site while this loop's connections go on."""
    return await asyncio.to_thread(site.run, *words)
