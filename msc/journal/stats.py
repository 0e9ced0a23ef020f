"""Counting messages: by day, month or hour, or by any member the index has terms of."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any, Final

import numpy as np

from msc import clock
from msc.journal.criteria import BadCriteria, Criteria
from msc.journal.database.layout import MonthUnreadable
from msc.journal.index.page import NO_PLACES, Places
from msc.journal.search import Searcher
from msc.journal.shelf import TAIL

BY_TIME: Final = ("day", "month", "hour")
BY_TERM: Final = (
    "key", "agency", "user", "line", "kind", "outcome", "database", "code", "direction", "device", "mnemonic",
)  # fmt: skip
_RECEIVED: Final = re.compile(rb'^\["m",\d+,\d+,(?:\d+|null),(\d+),(\d+),', re.MULTILINE)
"""MSN and receipt of a message, without decoding it."""
_DAY_US: Final = 86_400_000_000
_HOUR_US: Final = 3_600_000_000
_BLOCKS_AT_ONCE: Final = 32


class Statistics:
    """Counts the messages that match, month by month.

    Args:
        by: One of `BY_TIME` or `BY_TERM`; hours are those of the day, all times UTC.
    """

    def __init__(self, searcher: Searcher, criteria: Criteria, by: str) -> None:
        if by not in BY_TIME and by not in BY_TERM:
            raise BadCriteria(f"{by!r} is nothing to count by; there are {', '.join(BY_TIME + BY_TERM)}")
        self.search = searcher.search(criteria)
        self.total = 0
        self._by = by
        self._searcher = searcher
        self._counts: Counter[Any] = Counter()

    async def run(self) -> AsyncIterator[dict[str, Any]]:
        """Count; yields how far it is after each month.

        Raises:
            JournalError: The journal cannot be read.
        """
        async for month, msns in self.search.by_month():
            self.total += len(msns)
            try:
                if len(msns) and self._by in BY_TIME:
                    await self._count_times(month, msns)
                elif len(msns):
                    await self._count_terms(month, msns)
            except MonthUnreadable as exc:
                self.search.cannot_read(exc.month)
            yield self.search.progress()

    def rows(self) -> list[tuple[str, int]]:
        """Return labels and counts: times in order, and everything else by how many."""
        if self._by not in BY_TIME:
            return self._counts.most_common()
        return [(self._label(time), count) for time, count in sorted(self._counts.items())]

    def _label(self, time: int) -> str:
        if self._by == "hour":
            return str(time)
        if self._by == "month":
            return f"{time // 100}-{time % 100:02}"
        return clock.day_of(time * _DAY_US).isoformat()

    async def _count_terms(self, month: int, msns: np.ndarray) -> None:
        prefix = f"{self._by}:"
        terms = await self._searcher.shelf.terms(self.search.view, month, prefix)
        if self._by == "key":
            terms = _each_key_once(terms)
        for term, places in terms:
            if count := len(np.intersect1d(places, msns, assume_unique=True)):
                self._counts[term.removeprefix(prefix)] += count

    async def _count_times(self, month: int, msns: np.ndarray) -> None:
        row = self._searcher.reader.months.get(month)
        # A clock that was set back leaves messages with times of the month before.
        if self._by == "month" and row and clock.month_of(row.first_at) == clock.month_of(row.last_at) == month:
            self._counts[month] += len(msns)
            return
        times = await self._times(month, msns)
        if self._by == "month":
            for at in times.tolist():
                self._counts[clock.month_of(at)] += 1
            return
        labels = times // _DAY_US if self._by == "day" else times % _DAY_US // _HOUR_US
        for label, count in zip(*np.unique(labels, return_counts=True), strict=True):
            self._counts[int(label)] += int(count)

    async def _times(self, month: int, msns: np.ndarray) -> np.ndarray:
        """Return when these messages were received."""
        reader = self._searcher.reader
        if month == TAIL:
            messages = await reader.messages(msns.tolist())
            return np.array([message.received for message in messages.values()], np.int64)
        found = [np.empty(0, np.int64)]
        keys = [key for key in await reader.keys(month) if key.first_msn]
        firsts = [
            key.first
            for key in keys
            if np.searchsorted(msns, key.first_msn) < np.searchsorted(msns, key.last_msn, "right")
        ]
        for start in range(0, len(firsts), _BLOCKS_AT_ONCE):
            for lines in (await reader.unpacked(month, firsts[start : start + _BLOCKS_AT_ONCE])).values():
                pairs = np.array(_RECEIVED.findall(b"\n".join(lines)), dtype=np.int64).reshape(-1, 2)
                found.append(pairs[np.isin(pairs[:, 0], msns, assume_unique=True), 1])
        return np.concatenate(found)


def _each_key_once(terms: list[tuple[str, Places]]) -> list[tuple[str, Places]]:
    """Count a message with a system under `IW.QW` alone: it has a term for `QW` too."""
    with_system = [places for term, places in terms if "." in term]
    known = np.unique(np.concatenate(with_system)) if with_system else NO_PLACES
    return [
        (term, places if "." in term else np.setdiff1d(places, known, assume_unique=True)) for term, places in terms
    ]
