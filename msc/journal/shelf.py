"""The index as a search uses it: which pages each month's segments have, the pages last read, and the tail in memory.

A month's directory is kept while its segments are the same. They change when the archivist has packed more, for an
earlier month too (an answer that came late), or has merged some; then pages that were there may be gone, and the
directory is read again.
"""

from __future__ import annotations

import asyncio
import functools
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import orjson

from msc.journal.database.layout import MonthUnreadable, Segment
from msc.journal.index.page import NO_PLACES, BadPage, PageReader, Places, read_page
from msc.journal.index.search import Directory, PageId, PageMissing, evaluate, in_time, pages_needed
from msc.journal.index.segment import MemoryIndex
from msc.journal.index.term import Plan, events_term, terms_of
from msc.journal.index.tokenizer import Sought
from msc.journal.owed import follow, read_owed
from msc.journal.proof.canonical import Stored
from msc.journal.reader import JournalReader
from msc.journal.record import StepsRecord
from msc.transit.message import MessageRecord

Choice = Callable[[Directory], Iterable[PageId]]
"""Chooses pages."""

TAIL: Final = 0
"""Stands for the tail where a month is named."""
_PAGES_KEPT: Final = 4_096
"""Pages kept unpacked: some 130 MB, most of the index of ten million records."""
_CHUNK_RECORDS: Final = 1_024
"""Records of the tail that are indexed together, and forgotten together."""
_TRIES: Final = 5
"""How often a directory is read again because a page it names is gone; the archivist merges seldom."""


@dataclass(slots=True)
class _Chunk:
    """A part of the tail, indexed in memory."""

    last: int = 0
    records: int = 0
    index: MemoryIndex = field(default_factory=MemoryIndex)


@dataclass(frozen=True, slots=True)
class Found:
    """What the index gives for a plan.

    Attributes:
        places: MSNs or seqs, rising.
        certain: For each, whether it is known to match; what is not must be looked at.
    """

    places: Places
    certain: np.ndarray


@dataclass(frozen=True, slots=True)
class View:
    """What the journal held when a search began.

    While it goes on the archivist moves records from the tail into months, and whoever looks next lets go of them in
    memory. By its view a search neither passes over them nor finds them twice.

    Attributes:
        bounds: The first and last place of each month and of the tail; the indexes in memory know others' as well.
        memories: The indexes in memory.
    """

    bounds: Mapping[int, tuple[int, int]]
    memories: tuple[MemoryIndex, ...]


class Shelf:
    """The index of one journal.

    Args:
        reader: Reads its records.
    """

    def __init__(self, reader: JournalReader) -> None:
        self._reader = reader
        self._chunks: list[_Chunk] = []
        self._first_terms: dict[int, tuple[list[int], list[tuple[int, int, str]]]] = {}
        self._checked: dict[int, int] = {}
        """How far the journal was archived when a month's segments were last looked at."""
        self._pages: OrderedDict[tuple[int, int, int], PageReader] = OrderedDict()

    async def refresh(self) -> None:
        """Look at the journal's end, and index what is new there.

        Raises:
            JournalError: The journal cannot be read.
        """
        for stored in await self._reader.refresh():
            self._index(stored)
        archived = self._reader.archived
        self._chunks = [chunk for chunk in self._chunks if chunk.last > archived]

    def _index(self, stored: Stored) -> None:
        if not self._chunks or self._chunks[-1].records >= _CHUNK_RECORDS:
            self._chunks.append(_Chunk())
        chunk = self._chunks[-1]
        chunk.last, chunk.records = stored.seq, chunk.records + 1
        chunk.index.add_all(*terms_of(stored))

    # --- looking up -------------------------------------------------------------------------------

    def view(self, *, audit: bool) -> View:
        """Return what the journal holds, as of the last look.

        Args:
            audit: Whether audit events are looked for, whose places are seqs.
        """
        months = self._reader.months.values()
        archived = max((row.last if audit else row.last_msn for row in months), default=0)
        bounds = {row.month: (row.first, row.last) if audit else (row.first_msn, row.last_msn) for row in months}
        # A message in memory that comes later is not of this view; one that is there has no higher number.
        tail = self._reader.tail
        bounds[TAIL] = archived + 1, max(archived, tail.seen if audit else next(reversed(tail.messages), 0))
        return View(bounds, tuple(chunk.index for chunk in self._chunks))

    async def find(self, view: View, month: int, plan: Plan, *, audit: bool, among: Places | None = None) -> Found:
        """Return what matches a plan in a month, or in the tail.

        Args:
            audit: Whether the plan is for audit events, as the view is.
            among: Only these, rising.

        Raises:
            JournalError: The journal, or this month of it, cannot be read.
            BadCriteria: Too many words begin with what was asked for.
        """
        first, last = view.bounds[month]
        directory, pages = await self._needed(
            month, lambda directory: pages_needed(plan, directory), memories=view.memories
        )
        places = evaluate(plan, directory, pages, first=first, last=last, among=among)
        if plan.since_us is None and plan.until_us is None:
            return Found(places, np.ones(len(places), np.bool_))
        if month == TAIL:
            return Found(places, np.zeros(len(places), np.bool_))
        keys = await self._reader.keys(month)
        if audit:
            # As if every record were a message: what a block holds is then told by its seqs.
            keys = [key._replace(first_msn=key.first, last_msn=key.last) for key in keys]
        return Found(*in_time(places, keys, plan.since_us, plan.until_us))

    async def terms(self, view: View, month: int, beginning: str) -> list[tuple[str, Places]]:
        """Return the terms of a month that begin so, with the MSNs of that month which have them."""
        sought = Sought(beginning, prefix=True)
        _, pages = await self._needed(month, lambda directory: directory.pages(sought))
        first, last = view.bounds[month]
        found: defaultdict[str, list[Places]] = defaultdict(list)
        lookups: list[PageReader | MemoryIndex] = [*pages.values(), *view.memories]
        for lookup in lookups:
            for term, places in lookup.prefix(beginning):
                found[term].append(places[(places >= first) & (places <= last)])
        return [(term, np.unique(np.concatenate(parts))) for term, parts in found.items()]

    async def places_of_events(self, msns: Sequence[int]) -> dict[int, list[int]]:
        """Return the blocks that hold events of messages outside the messages' own, by their first records."""
        found: dict[int, list[int]] = {}
        by_month: defaultdict[int, list[int]] = defaultdict(list)
        for msn in msns:
            if (month := self._reader.month_of_msn(msn)) is not None:
                by_month[month].append(msn)

        async def look(month: int, here: Sequence[int]) -> None:
            wanted = {msn: Sought(events_term(msn)) for msn in here}
            directory, pages = await self._needed(month, functools.partial(_pages_of_all, wanted.values()))
            for msn, sought in wanted.items():
                for page in directory.pages(sought):
                    if (places := pages[page].places(sought.term)) is not None:
                        found.setdefault(msn, []).extend(places.tolist())

        await asyncio.gather(*(look(month, here) for month, here in by_month.items()))
        return found

    async def _needed(
        self, month: int, choose: Choice, *, memories: Sequence[MemoryIndex] = ()
    ) -> tuple[Directory, dict[PageId, PageReader]]:
        """Return a month's directory, and the pages of it that are chosen."""
        for left in reversed(range(_TRIES)):
            try:
                directory = Directory(await self._page_list(month), memories)
                return directory, await self._fetch(month, choose(directory))
            except PageMissing as exc:
                if not left:
                    # Whoever gets no answer would think that there is none.
                    raise MonthUnreadable(month, f"its index is damaged ({exc}); `msc journal reindex`") from exc
                self._checked.pop(month, None)
        raise AssertionError

    async def _page_list(self, month: int) -> Sequence[tuple[int, int, str]]:
        """Return segment, page and first term of every page of a month's index."""
        if month == TAIL:
            return ()
        archived = self._reader.archived
        if self._checked.get(month) != archived:
            found = await self._reader.reading.segments(month)
            segments = sorted(segment.number for segment in found)
            kept = self._first_terms.get(month)
            if kept is None or kept[0] != segments:
                pages = await self._reader.reading.first_terms(month)
                if len(pages) != sum(segment.pages for segment in found) or self._lacks_index(month, found):
                    raise PageMissing("pages are missing")
                self._first_terms[month] = segments, pages
            self._checked[month] = archived
        return self._first_terms[month][1]

    def _lacks_index(self, month: int, segments: Sequence[Segment]) -> bool:
        row = self._reader.months.get(month)
        return not segments and row is not None and bool(row.first_msn)

    async def _fetch(self, month: int, wanted: Iterable[PageId]) -> dict[PageId, PageReader]:
        found: dict[PageId, PageReader] = {}
        missing = []
        for page in wanted:
            kept = self._pages.get((month, *page))
            if kept is None:
                missing.append(page)
            else:
                self._pages.move_to_end((month, *page))
                found[page] = kept
        if missing:
            for read in await self._reader.reading.pages(month, missing):
                page = read.segment, read.number
                try:
                    found[page] = self._pages[month, *page] = read_page(read.body)
                except BadPage as exc:
                    raise MonthUnreadable(month, f"its index is damaged ({exc}); `msc journal reindex`") from exc
            if len(found) < len(set(found) | set(missing)):
                raise PageMissing(f"pages of the index of {month} are gone")
            while len(self._pages) > _PAGES_KEPT:
                self._pages.popitem(last=False)
        return found

    async def open_msns(self) -> Places:
        """Return the messages that have not ended everywhere: as of the last checkpoint, and what came after it."""
        written: dict[str, Any] = {"seq": -1, "owed": {}}
        while written["seq"] < self._reader.archived:
            # Never older than what the tail lets go of, or an end between the two is missed.
            state = await self._reader.reading.state()
            written = orjson.loads(state) if state is not None else {"seq": 0, "owed": {}}
        owed = read_owed(written["owed"])
        for stored in self._reader.tail.records.values():
            if stored.seq > written["seq"] and isinstance(stored.record, MessageRecord | StepsRecord):
                for event in stored.record.events:
                    follow(owed, event)
        return np.array(sorted(owed), np.uint64) if owed else NO_PLACES


def _pages_of_all(wanted: Iterable[Sought], directory: Directory) -> set[PageId]:
    return {page for sought in wanted for page in directory.pages(sought)}
