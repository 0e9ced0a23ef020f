"""Mnemonic pools: one mnemonic to one session, taken at sign-on and given back at its end (C-POOL)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from msc.errors import CertificateMismatch, MnemonicInUse, PoolExhausted


class MnemonicPool:
    """The mnemonics of one pool.

    The least recently used is allocated first, so that a mnemonic rests as long as possible before it changes
    hands, and a late answer to one holder cannot reach the next.

    Args:
        name: The pool's.
        members: Its mnemonics, the longest unused first.
        usable: Tells whether a mnemonic is in force now.
    """

    def __init__(
        self, name: str, members: Iterable[str], usable: Callable[[str], bool] = lambda mnemonic: True
    ) -> None:
        self.name = name
        self._usable = usable
        self._free = deque(members)
        self._leases: dict[str, str] = {}
        self._leaving: set[str] = set()

    def __len__(self) -> int:
        """Return how many are free."""
        return len(self._free)

    @property
    def leases(self) -> dict[str, str]:
        """Mnemonic to session id, of those in use."""
        return dict(self._leases)

    def set_members(self, members: Iterable[str]) -> None:
        """Take up a changed membership. One that is leased leaves when it is given back."""
        wanted = list(members)
        known = {*self._free, *self._leases}
        self._free = deque(name for name in self._free if name in wanted)
        # New ones first: nobody has used them.
        self._free.extendleft(reversed([name for name in wanted if name not in known]))
        self._leaving = self._leases.keys() - set(wanted)

    def check_room(self, wanted: str | None = None) -> None:
        """Check that `allocate` would succeed.

        Raises:
            CertificateMismatch: The mnemonic asked for is not of this pool, or not in force.
            PoolExhausted: None is free.
            MnemonicInUse: The one asked for is not.
        """
        self._choose(wanted)

    def _choose(self, wanted: str | None) -> str:
        if wanted is None:
            chosen = next(filter(self._usable, self._free), None)
            if chosen is None:
                raise PoolExhausted(f"no mnemonic free in pool {self.name}")
            return chosen
        if wanted in self._leases:
            raise MnemonicInUse
        if wanted not in self._free or not self._usable(wanted):
            raise CertificateMismatch("the mnemonic asked for is not one of this device's pool that may be used")
        return wanted

    def allocate(self, session: str, wanted: str | None = None) -> str:
        """Give a mnemonic to a session.

        Raises:
            CertificateMismatch, PoolExhausted, MnemonicInUse: As `check_room`.
        """
        mnemonic = self._choose(wanted)
        self._free.remove(mnemonic)
        self._leases[mnemonic] = session
        return mnemonic

    def release(self, mnemonic: str, session: str) -> None:
        """Take a mnemonic back from the session that holds it."""
        assert self._leases.get(mnemonic) == session
        del self._leases[mnemonic]
        if mnemonic not in self._leaving:
            self._free.append(mnemonic)
