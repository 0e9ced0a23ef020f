"""Mnemonic pools: one mnemonic to one session, taken at sign-on and given back at its end (C-POOL)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from msc.errors import CertificateMismatch, MnemonicInUse, PoolExhausted


class MnemonicPool:
    """The mnemonics of one pool.

    The least recently used is allocated first, so that a mnemonic rests as long as possible before it
    changes hands.
    """

    def __init__(self, name: str, members: Iterable[str]) -> None:
        self.name = name
        self._free = deque(members)
        self._leases: dict[str, str] = {}

    def __len__(self) -> int:
        """Return how many are free."""
        return len(self._free)

    @property
    def leases(self) -> dict[str, str]:
        """Mnemonic to session id, of those in use."""
        return dict(self._leases)

    def check_room(self, wanted: str | None = None) -> None:
        """Check that `allocate` would succeed.

        Raises:
            CertificateMismatch: The mnemonic asked for is not of this pool.
            PoolExhausted: None is free.
            MnemonicInUse: The one asked for is not.
        """
        if wanted is not None:
            if wanted in self._leases:
                raise MnemonicInUse
            if wanted not in self._free:
                raise CertificateMismatch("the mnemonic asked for is not of this device's pool")
        elif not self._free:
            raise PoolExhausted(f"no mnemonic free in pool {self.name}")

    def allocate(self, session: str, wanted: str | None = None) -> str:
        """Give a mnemonic to a session.

        Raises:
            CertificateMismatch, PoolExhausted, MnemonicInUse: As `check_room`.
        """
        self.check_room(wanted)
        if wanted is None:
            mnemonic = self._free.popleft()
        else:
            mnemonic = wanted
            self._free.remove(wanted)
        self._leases[mnemonic] = session
        return mnemonic

    def release(self, mnemonic: str, session: str) -> None:
        """Take a mnemonic back from the session that holds it."""
        assert self._leases.get(mnemonic) == session
        del self._leases[mnemonic]
        self._free.append(mnemonic)
