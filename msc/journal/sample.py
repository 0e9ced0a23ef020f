"""A random sample of messages that anybody can draw again (C-SAMPLE).

Every message gets a lot: SHA-256 of `msc-sample-1`, the seed and its MSN in decimal, each ended by a line feed, in
UTF-8. The messages with the smallest lots are the sample. So

* the same seed gives the same sample, on any machine, in any language, whatever the order the messages come in;
* a larger sample of the same seed holds the smaller one;
* whether a message is drawn hangs on nothing in it, and nobody who does not know the seed can tell.

`printf 'msc-sample-1\\n2026-Q4\\n1047\\n' | sha256sum` shows one lot.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from hashlib import sha256
from typing import Final

from msc.errors import JournalError

_NAME: Final = "msc-sample-1"


def lot_of(seed: str, msn: int) -> bytes:
    """Return what a message draws: 32 bytes; the smallest are the sample."""
    return sha256(f"{_NAME}\n{seed}\n{msn}\n".encode()).digest()


def sample_of(msns: Iterable[int], size: int, seed: str) -> list[int]:
    """Draw a sample of messages.

    Memory is that of the sample, however many there are to draw from; each MSN costs one hash.

    Args:
        msns: What to draw from, in any order, none twice.
        size: How many; all, if there are fewer.
        seed: Any text without a line feed.

    Returns:
        Their MSNs, rising.

    Raises:
        JournalError: The size or the seed is none.
    """
    if size < 1:
        raise JournalError("a sample has at least one message")
    if "\n" in seed:
        raise JournalError("a seed is one line")
    drawn = sha256(f"{_NAME}\n{seed}\n".encode())

    def lot(msn: int) -> bytes:
        own = drawn.copy()
        own.update(b"%d\n" % msn)
        return own.digest()

    return sorted(heapq.nsmallest(size, msns, key=lot))
