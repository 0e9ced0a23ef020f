"""The classes of what waits. A lower one goes first; within one, messages keep their order."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import Final

from msc.protocol.envelope import URGENT


class Precedence(IntEnum):
    """A class."""

    URGENT = 0
    """Urgent hit confirmations, and what its sender marked urgent."""
    STATUS = 1
    RESPONSE = 2
    """Answers; on lines inquiries and updates."""
    ADMINISTRATIVE = 3
    BROADCAST = 4


_OF_KIND: Final[Mapping[str, Precedence]] = MappingProxyType(
    {
        "status": Precedence.STATUS,
        "unsolicited": Precedence.ADMINISTRATIVE,
        "administrative": Precedence.ADMINISTRATIVE,
        "broadcast": Precedence.BROADCAST,
    }
)


def precedence_of(kind: str, priority: str | None) -> Precedence:
    """Return the class of a message by its kind and its sender's priority."""
    return Precedence.URGENT if priority == URGENT else _OF_KIND.get(kind, Precedence.RESPONSE)
