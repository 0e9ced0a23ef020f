"""Where the tail begins and ends, as its writer knows it, and how much of it goes with a commit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msc.journal.database.layout import TailRow

_DROPS: Final = 4096
"""Rows dropped in one commit, besides twice as many as it brings: so none takes long, and the tail still shrinks
when the archivist had fallen behind."""


class TailEnds:
    """The ends of a tail. After a failed commit it is made anew from what the database holds.

    Args:
        rows: What the tail holds.
    """

    def __init__(self, rows: Sequence[TailRow]) -> None:
        self._first, self._last = (rows[0].seq, rows[-1].seq) if rows else (0, 0)
        self._drop_to = 0

    def turn(self, rows: Sequence[TailRow], drop_to: int) -> int:
        """Take note of a commit.

        Args:
            rows: What it adds.
            drop_to: The tail's rows up to this `seq` may go, now or with later commits.

        Returns:
            The `seq` up to which rows are to be dropped with it; 0 if none are.
        """
        # What is only coming cannot stand in blocks.
        self._drop_to = max(self._drop_to, min(drop_to, self._last))
        if rows:
            self._first = self._first or rows[0].seq
            self._last = rows[-1].seq
        if not self._first or self._drop_to < self._first:
            return 0
        dropped = min(self._drop_to, self._first + _DROPS + 2 * len(rows) - 1)
        self._first = dropped + 1
        return dropped
