"""What the switch itself writes into the directory: in memory at once, in the database behind it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Coroutine, Iterable, Mapping
from dataclasses import replace
from datetime import date
from typing import Any

from msc.directory.rows import Directory
from msc.directory.store import DirectoryChanged, DirectoryStore, DirectoryUnavailable, Lease
from msc.log import get_logger

log = get_logger("acp")

Value = int | str | date | tuple[str, ...] | None


class Keeper:
    """Changes accounts, and what the switch keeps in other rows.

    Each change holds in memory when the call returns. What it returns writes it: to be awaited where an answer
    depends on it, or given to `later`.
    """

    def __init__(self, directory: Directory, store: DirectoryStore) -> None:
        self._directory = directory
        self._store = store
        self._unwritten: Counter[str] = Counter()
        self._writes: Counter[str] = Counter()
        self._later: set[asyncio.Task[None]] = set()

    def account(self, user: str, lease: Lease | None = None, **changed: Value) -> Coroutine[Any, Any, None]:
        """Change a user's account; a lease that begins with it is written in the same transaction."""
        accounts = self._directory.accounts
        accounts[user] = replace(self._directory.account(user), **changed)  # type: ignore[arg-type]
        return self._written(user, self._store.update_account(user, changed, lease=lease))

    async def account_if(self, user: str, expected: Mapping[str, Value], **changed: Value) -> bool:
        """Change a user's account if the database still says what is expected; in memory only then.

        A command may have changed it while a password was being hashed; the command's word holds.

        Returns:
            Whether it did.
        """
        try:
            await self._written(user, self._store.update_account(user, changed, expected=expected))
        except DirectoryChanged:
            return False
        accounts = self._directory.accounts
        accounts[user] = replace(self._directory.account(user), **changed)  # type: ignore[arg-type]
        return True

    def device(self, name: str, **changed: Value) -> Coroutine[Any, Any, None]:
        """Change what the switch keeps of a device."""
        devices = self._directory.devices
        devices[name] = replace(devices[name], **changed)  # type: ignore[arg-type]
        return self._written(name, self._store.touch("device", name, **changed))

    def mnemonic(self, name: str, **changed: Value) -> Coroutine[Any, Any, None]:
        """Change what the switch keeps of a mnemonic."""
        mnemonics = self._directory.mnemonics
        mnemonics[name] = replace(mnemonics[name], **changed)  # type: ignore[arg-type]
        return self._written(name, self._store.touch("mnemonic", name, **changed))

    def end_lease(self, session: str, at_us: int, reason: str) -> Coroutine[Any, Any, None]:
        """Note that a session gave its mnemonic back."""
        return self._store.end_lease(session, at_us, reason)

    def _written(self, key: str, work: Awaitable[None]) -> Coroutine[Any, Any, None]:
        self._unwritten[key] += 1
        self._writes[key] += 1

        async def write() -> None:
            try:
                await work
            finally:
                self._unwritten[key] -= 1
                if not self._unwritten[key]:
                    del self._unwritten[key]

        return write()

    def writes(self, keys: Iterable[str]) -> int | None:
        """Count the writes there have been for some users, devices and mnemonics; None while one is under way.

        Rows read between two equal counts are what memory holds; others may be older.
        """
        names = list(keys)
        if any(name in self._unwritten for name in names):
            return None
        return sum(self._writes[name] for name in names if name in self._writes)

    def later(self, work: Coroutine[Any, Any, None]) -> None:
        """Write what nobody waits for."""
        task = asyncio.get_running_loop().create_task(_write(work))
        self._later.add(task)
        task.add_done_callback(self._later.discard)

    async def settled(self) -> None:
        """Wait until what nobody waits for is written."""
        while self._later:
            await asyncio.gather(*self._later)


async def _write(work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except DirectoryUnavailable as exc:
        log.error("directory.unavailable", error=str(exc))
