"""`msc demo`."""

from __future__ import annotations


def demo() -> None:
    """A county in a minute."""
