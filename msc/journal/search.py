"""Searching the journal: month by month, newest or oldest first, by the index; the tail as if it were a month.

A search that reads several months tells how far it is, and in the end how complete it was: a month that cannot be
read is named, never silently left out.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

import numpy as np

from msc.journal.criteria import AuditCriteria, BadCriteria, Criteria
from msc.journal.database.layout import Month, MonthUnreadable
from msc.journal.index.match import matches, matches_audit
from msc.journal.index.page import NO_PLACES, Places
from msc.journal.index.term import Plan, plan_of
from msc.journal.proof.canonical import Stored
from msc.journal.reader import Entry, JournalReader
from msc.journal.record import AuditRecord
from msc.journal.shelf import TAIL, Found, Shelf, View

T = TypeVar("T")

_PAGE: Final = 64
"""Messages fetched at a time, at first: a little more than a person looks at."""
_PAGE_MAX: Final = 1_024
_AHEAD: Final = 8
"""Months looked through at once, at most: the database's answers are waited for together."""


_NOTHING: Final = Found(NO_PLACES, np.empty(0, np.bool_))


class Searcher:
    """Searches one journal.

    Args:
        reader: Reads its records.
    """

    def __init__(self, reader: JournalReader) -> None:
        self.reader = reader
        self.shelf = Shelf(reader)

    async def refresh(self) -> None:
        """Look at the journal's end.

        Raises:
            JournalError: The journal cannot be read.
        """
        await self.shelf.refresh()

    def last_msn(self) -> int:
        """Return the highest MSN, as of the last look."""
        in_blocks = max((month.last_msn for month in self.reader.months.values()), default=0)
        return max(in_blocks, next(reversed(self.reader.tail.messages), 0))

    def search(self, criteria: Criteria, *, oldest: bool = False, cursor: str | None = None) -> Search:
        """Begin a search for messages.

        Args:
            oldest: The oldest first, instead of the newest.
            cursor: Go on where an earlier search with the same criteria and order ended.

        Raises:
            BadCriteria: This cannot be looked for.
        """
        return Search(self, criteria, oldest=oldest, cursor=cursor)

    def audit(self, criteria: AuditCriteria, *, oldest: bool = False, cursor: str | None = None) -> AuditSearch:
        """Begin a search for audit events; as `search`."""
        return AuditSearch(self, criteria, oldest=oldest, cursor=cursor)

    async def entries(self, msns: Sequence[int]) -> dict[int, Entry]:
        """Return messages with their lives, by MSN.

        Raises:
            JournalError: The journal cannot be read.
        """
        return await self.reader.entries(msns, self.shelf.places_of_events)

    async def between(self, criteria: Criteria, first: int, last: int) -> list[Entry]:
        """Return the messages of a range of MSNs that match, oldest first."""
        found = await self.entries(range(first, last + 1))
        return [entry for _, entry in sorted(found.items()) if matches(criteria, entry.message, entry.events)]

    async def transaction(self, msn: int, scope: str | None = None) -> tuple[list[Entry], dict[str, Any]]:
        """Return every message of the transaction a message belongs to, oldest first, and how complete that is.

        Args:
            scope: Only this agency's messages.

        Raises:
            JournalError: The journal cannot be read, or not the month the message itself stands in.
        """
        await self.refresh()
        own = (await self.reader.messages([msn])).get(msn)
        if own is None or (scope is not None and own.agency != scope):
            return [], {"complete": True}
        if own.transaction is None:
            return list((await self.entries([msn])).values()), {"complete": True}
        # Its first message may stand in an earlier month than its answers.
        search = self.search(Criteria(transaction=own.transaction, scope=scope), oldest=True)
        entries = [entry async for entry in search.entries() if entry is not None]
        return entries, search.completeness()


class _MonthByMonth:
    """What both kinds of search have in common: the order of months, cursor, progress and completeness."""

    def __init__(self, searcher: Searcher, plan: Plan, *, oldest: bool, cursor: str | None) -> None:
        self._searcher = searcher
        self._plan = plan
        self._oldest = oldest
        self._after = _read_cursor(cursor, oldest)
        self._months: list[int] = []
        self._in_tail: list[int] = []
        self._done = 0
        self._last_place = TAIL
        self._unreadable: list[int] = []
        self.view = View({}, ())
        """What the journal held when the search began."""
        self.cursor: str | None = None
        """Where another search can go on; None once there is nothing more."""

    def progress(self) -> dict[str, Any]:
        """Tell how far the search is: months searched, of how many."""
        return {"months": self._done, "of": len(self._months)}

    def completeness(self) -> dict[str, Any]:
        """Tell what was searched: the months, and those of them that could not be read."""
        return {
            "complete": not self._unreadable,
            "searched": sorted({*self._months, *self._in_tail}),
            "unreadable": self._unreadable,
        }

    async def _found_by_month(self, *, audit: bool) -> AsyncIterator[tuple[int, Found]]:
        """Yield each month (`TAIL` for the tail) with what the index gives for it, in the order of the search."""
        shelf = self._searcher.shelf
        await shelf.refresh()
        view = self.view = shelf.view(audit=audit)
        wanted = [month for month in self._searcher.reader.months.values() if _may_hold(month, self._plan)]
        self._months = [month.month for month in wanted]
        self._in_tail = self._searcher.reader.tail.months()
        order = self._months if self._oldest else [TAIL, *reversed(self._months)]
        order = [*order, TAIL] if self._oldest else order
        self._last_place = order[-1]
        among = await shelf.open_msns() if self._plan.open else None
        places = iter(order)
        # What is asked for may stand in the first month, or in any: ever more of them are looked through at once.
        ahead: deque[tuple[int, asyncio.Task[Found]]] = deque()
        width = 1
        try:
            while True:
                for month in itertools.islice(places, width - len(ahead)):
                    finding = shelf.find(view, month, self._plan, audit=audit, among=among)
                    ahead.append((month, asyncio.ensure_future(finding)))
                if not ahead:
                    return
                month, found_there = ahead.popleft()
                width = min(2 * width, _AHEAD)
                found = _NOTHING
                try:
                    found = await found_there
                except MonthUnreadable as exc:
                    self.cannot_read(exc.month)
                self._done += month != TAIL
                yield month, self._beyond(found)
        finally:
            for _, found_there in ahead:
                found_there.cancel()
            await asyncio.gather(*(found_there for _, found_there in ahead), return_exceptions=True)

    def cannot_read(self, month: int) -> None:
        """Note that something of a month could not be read, so that the answer is not complete."""
        if month not in self._unreadable:
            self._unreadable.append(month)

    async def _readable(
        self, fetch: Callable[[Sequence[int]], Awaitable[dict[int, T]]], places: Sequence[int]
    ) -> dict[int, T]:
        """Fetch what stands at some places: all that can be read, whatever stands beside it."""
        try:
            return await fetch(places)
        except MonthUnreadable as exc:
            self.cannot_read(exc.month)
        if len(places) == 1:
            return {}
        middle = len(places) // 2
        found = await self._readable(fetch, places[:middle])
        return found | await self._readable(fetch, places[middle:])

    def _note_missing(self, missing: Sequence[int], month_of: Callable[[int], int | None]) -> None:
        """Note the months of what the index knows and no block holds: its block is gone."""
        for place in missing:
            month = month_of(place)
            if month is not None:
                self.cannot_read(month)

    def _beyond(self, found: Found) -> Found:
        """Leave out what an earlier page has shown."""
        if self._after is None:
            return found
        left = found.places > self._after if self._oldest else found.places < self._after
        return Found(found.places[left], found.certain[left])

    def _in_order(self, places: Places) -> list[int]:
        found: list[int] = places.tolist()
        return found if self._oldest else found[::-1]

    def _stop_at(self, place: int) -> None:
        self.cursor = f"{'>' if self._oldest else '<'}{place}"


class Search(_MonthByMonth):
    """A search for messages."""

    def __init__(self, searcher: Searcher, criteria: Criteria, *, oldest: bool, cursor: str | None) -> None:
        super().__init__(searcher, plan_of(criteria), oldest=oldest, cursor=cursor)
        self._criteria = criteria

    async def by_month(self) -> AsyncIterator[tuple[int, Places]]:
        """Yield each month with the MSNs that match in it, rising.

        Raises:
            JournalError: The journal cannot be read.
        """
        async for month, found in self._found_by_month(audit=False):
            sure, unsure = found.places[found.certain], found.places[~found.certain].tolist()
            looked_at = []
            for start in range(0, len(unsure), _PAGE_MAX):
                looked_at += [entry.message.msn async for entry in self._fetched(unsure[start : start + _PAGE_MAX])]
            yield month, np.union1d(sure, np.array(looked_at, np.uint64)) if looked_at else sure

    async def all_msns(self) -> list[int]:
        """Return the MSNs of everything that matches, rising.

        Raises:
            JournalError: The journal cannot be read.
        """
        return sorted([msn async for _, msns in self.by_month() for msn in msns.tolist()])

    async def entries(self, limit: int | None = None) -> AsyncIterator[Entry | None]:
        """Yield the messages that match with their lives; None after each month, for whoever shows progress.

        Args:
            limit: At most this many; `cursor` then says where to go on.

        Raises:
            JournalError: The journal cannot be read.
        """
        left, page = limit, _PAGE
        msns: list[int] = []
        async for place, found in self._found_by_month(audit=False):
            msns += self._in_order(found.places)
            # A page may be of many months: what is rare is fetched from all of them at once.
            while len(msns) >= page or (msns and place == self._last_place):
                part, msns = msns[:page], msns[page:]
                page = min(2 * page, _PAGE_MAX) if limit is None else page
                async for entry in self._fetched(part):
                    yield entry
                    if left is not None:
                        left -= 1
                        if left == 0:
                            self._stop_at(entry.message.msn)
                            return
            yield None

    async def _fetched(self, msns: Sequence[int]) -> AsyncIterator[Entry]:
        """Fetch candidates, and yield those that match, in the same order."""
        found = await self._readable(self._searcher.entries, msns)
        self._note_missing([msn for msn in msns if msn not in found], self._searcher.reader.month_of_msn)
        for msn in msns:
            entry = found.get(msn)
            if entry is not None and matches(self._criteria, entry.message, entry.events):
                yield entry


class AuditSearch(_MonthByMonth):
    """A search for audit events."""

    def __init__(self, searcher: Searcher, criteria: AuditCriteria, *, oldest: bool, cursor: str | None) -> None:
        super().__init__(searcher, plan_of(criteria), oldest=oldest, cursor=cursor)
        self._criteria = criteria

    async def records(self, limit: int | None = None) -> AsyncIterator[Stored | None]:
        """Yield the events that match; None after each month. As `Search.entries`."""
        left = limit
        async for _, found in self._found_by_month(audit=True):
            seqs = self._in_order(found.places)
            while seqs:
                part, seqs = seqs[:_PAGE_MAX], seqs[_PAGE_MAX:]
                for stored in await self._fetched(part):
                    yield stored
                    if left is not None:
                        left -= 1
                        if left == 0:
                            self._stop_at(stored.seq)
                            return
            yield None

    async def _fetched(self, seqs: Sequence[int]) -> list[Stored]:
        reader = self._searcher.reader
        found = await self._readable(reader.records, seqs)
        self._note_missing([seq for seq in seqs if seq not in found], reader.month_of_seq)
        return [
            stored
            for seq in seqs
            if (stored := found.get(seq)) is not None
            and isinstance(stored.record, AuditRecord)
            and matches_audit(self._criteria, stored.record)
        ]


def _may_hold(month: Month, plan: Plan) -> bool:
    """Tell whether anything in a month's blocks may fall into the time looked for."""
    return (plan.since_us is None or month.last_at >= plan.since_us) and (
        plan.until_us is None or month.first_at < plan.until_us
    )


def _read_cursor(cursor: str | None, oldest: bool) -> int | None:
    if cursor is None:
        return None
    if not cursor.startswith(">" if oldest else "<") or not cursor[1:].isdecimal():
        raise BadCriteria(f"{cursor!r} is not a cursor of such a search")
    return int(cursor[1:])
