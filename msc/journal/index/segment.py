"""Segments of the index: sorted pages, made from records or by merging segments. See `page` for what a page is.

A segment's pages follow on each other: every term of one sorts before every term of the next, so a page is found by
the first terms alone. Which segments there are, and when they are merged, is the archivist's to say.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import chain, count
from typing import Final

import numpy as np
import numpy.typing as npt

from msc.journal.database.layout import Page
from msc.journal.index.page import NO_PLACES, Lists, Places, distinct, encode_page, read_page, steps_of

PAGE_BYTES: Final = 32_768
"""Of a page before it is compressed: unpacked in a tenth of a millisecond, and a month's first terms fit in memory.
The places of one term may be more; they fill a page alone."""
FAST: Final = 1
"""zlib's level for segments that are soon merged."""
SMALL: Final = 6
"""zlib's level for segments that stay."""
_TERM_BYTES: Final = 6
"""What a term takes besides its name and its steps: count, width, first place."""


class PageWriter:
    """Cuts sorted terms into the pages of one segment.

    Args:
        segment: Its number.
        level: zlib's.

    Attributes:
        pages, entries: How many were written so far; all, once it was closed.
    """

    def __init__(self, segment: int, level: int = SMALL) -> None:
        self.segment = segment
        self.pages = 0
        self.entries = 0
        self._level = level
        self._kept = Lists(b"", np.empty(0, np.int64), NO_PLACES)

    def put(self, lists: Lists) -> Iterator[Page]:
        """Take terms that sort after all before, and yield the pages that are full."""
        kept = self._kept
        yield from self._cut(
            Lists(
                kept.names + lists.names,
                np.concatenate((kept.counts, lists.counts)),
                np.concatenate((kept.places, lists.places)),
            ),
            last=False,
        )

    def close(self) -> Iterator[Page]:
        """Yield the last page."""
        yield from self._cut(self._kept, last=True)

    def _cut(self, lists: Lists, *, last: bool) -> Iterator[Page]:
        names, counts, places = lists
        if not len(counts):
            return
        _, widths = steps_of(counts, places)
        name_ends = np.flatnonzero(np.frombuffer(names, np.uint8) == ord("\n")) + 1
        place_ends = np.cumsum(counts)
        sizes = np.diff(name_ends, prepend=0) + _TERM_BYTES + (counts - 1) * widths
        size_ends = np.cumsum(sizes)
        term = name = place = size = 0
        while term < len(counts):
            end = max(term + 1, int(np.searchsorted(size_ends, size + PAGE_BYTES, "right")))
            if end >= len(counts) and not last and int(size_ends[-1]) - size < PAGE_BYTES:
                break
            name_end, place_end = int(name_ends[end - 1]), int(place_ends[end - 1])
            yield self._page(Lists(names[name:name_end], counts[term:end], places[place:place_end]))
            term, name, place, size = end, name_end, place_end, int(size_ends[end - 1])
        self._kept = Lists(names[name:], counts[term:], places[place:])

    def _page(self, lists: Lists) -> Page:
        first_term = lists.names[: lists.names.index(b"\n")].decode()
        page = Page(self.segment, self.pages, first_term, encode_page(lists, self._level))
        self.pages += 1
        self.entries += len(lists.places)
        return page


class SegmentBuilder:
    """Collects terms and their places in memory."""

    def __init__(self) -> None:
        # A dictionary that numbers what it has not seen: no line of Python runs for a term.
        self._numbers: defaultdict[str, int] = defaultdict(count().__next__)
        self._terms = array("I")
        self._counts = array("I")
        self._places = array("Q")

    def __len__(self) -> int:
        """Return how many places were added, the same one twice counted twice."""
        return len(self._terms)

    def add(self, term: str, place: int) -> None:
        """Add one term of a place."""
        self.add_all((term,), place)

    def add_all(self, terms: Collection[str], place: int) -> None:
        """Add terms of a place."""
        self._places.append(place)  # first: what is not a number is refused before anything was added
        self._terms.extend(map(self._numbers.__getitem__, terms))
        self._counts.append(len(terms))

    def finish(self, writer: PageWriter) -> list[Page]:
        """Write the segment. The builder is not used after it."""
        if not self._terms:
            return []
        names = sorted(self._numbers)
        rank_of = np.empty(len(names), np.uint64)
        rank_of[np.fromiter(map(self._numbers.__getitem__, names), np.int64, len(names))] = np.arange(len(names))
        places = np.repeat(np.frombuffer(self._places, np.uint64), np.frombuffer(self._counts, np.uint32))
        counts, places = _in_order(rank_of[np.frombuffer(self._terms, np.uint32)], places, len(names))
        lists = Lists(("\n".join(names) + "\n").encode(), counts, places)
        return [*writer.put(lists), *writer.close()]


def merge(segments: Sequence[Iterable[Page]], writer: PageWriter) -> Iterator[Page]:
    """Make one segment of several, a page of each in memory at a time.

    Args:
        segments: The pages of each, in order.
        writer: Of the new segment.

    Raises:
        BadPage: A page cannot be read.
    """
    for (united,) in in_step([[map(lists_of, segment) for segment in segments]]):
        yield from writer.put(united)
    yield from writer.close()


def lists_of(page: Page) -> Lists:
    """Return what a page holds.

    Raises:
        BadPage: It cannot be read.
    """
    return read_page(page.body).lists()


def in_step(sides: Sequence[Sequence[Iterable[Lists]]]) -> Iterator[list[Lists]]:
    """Go through several sets of segments together, from their first terms to their last.

    Args:
        sides: For each set its segments, and for each of those what its pages hold, in order.

    Yields:
        The same stretch of terms of each set, its segments put together.
    """
    sources = [[source for source in map(_Source, side) if source.terms] for side in sides]
    while any(sources):
        bound = min(source.terms[-1] for side in sources for source in side)
        yield [_united([part for source in side if (part := source.take(bound))]) for side in sources]
        sources = [[source for source in side if source.terms] for side in sources]


_Part = tuple[list[bytes], npt.NDArray[np.int64], Places]


class _Source:
    """A segment that is read from its beginning to its end."""

    def __init__(self, pages: Iterable[Lists]) -> None:
        self.terms: list[bytes] = []
        """What is left of the current page; empty at the end."""
        self._counts = np.empty(0, np.int64)
        self._places = NO_PLACES
        self._pages = iter(pages)
        self._next()

    def take(self, bound: bytes) -> _Part | None:
        """Take the terms up to a bound, with it; None if there is none."""
        end = bisect_right(self.terms, bound)
        if not end:
            return None
        places_end = int(self._counts[:end].sum())
        part = self.terms[:end], self._counts[:end], self._places[:places_end]
        self.terms = self.terms[end:]
        self._counts, self._places = self._counts[end:], self._places[places_end:]
        if not self.terms:
            self._next()
        return part

    def _next(self) -> None:
        page = next(self._pages, None)
        if page is not None:
            names, self._counts, self._places = page
            self.terms = names.split(b"\n")[:-1]


def _united(parts: list[_Part]) -> Lists:
    """Put terms of several segments in one order; what several have gets the places of all."""
    if not parts:
        return Lists(b"", np.empty(0, np.int64), NO_PLACES)
    if len(parts) == 1:
        ((terms, counts, places),) = parts
        return Lists(b"\n".join(terms) + b"\n", counts, places)
    every = [term for terms, _, _ in parts for term in terms]
    # Sorting finds the runs that are in order already, and only merges them.
    names = list(dict.fromkeys(sorted(every)))
    rank_of = dict(zip(names, range(len(names)), strict=True))
    ranks = np.fromiter(map(rank_of.__getitem__, every), np.uint64, len(every))
    counts = np.concatenate([counts for _, counts, _ in parts])
    places = np.concatenate([places for _, _, places in parts])
    return Lists(b"\n".join(names) + b"\n", *_in_order(np.repeat(ranks, counts), places, len(names)))


def _in_order(ranks: Places, places: Places, terms: int) -> tuple[npt.NDArray[np.int64], Places]:
    """Sort entries by term and place, each kept once; return how many each term has, and the places."""
    low = places.min()
    bits = int(places.max() - low).bit_length()
    if bits + terms.bit_length() <= 64:
        # Both in one number: sorting those is many times as fast as sorting by two keys.
        entries = (ranks << np.uint64(bits)) | (places - low)
        entries.sort()
        entries = entries[np.concatenate(([True], entries[1:] != entries[:-1]))]
        ranks, places = entries >> np.uint64(bits), (entries & np.uint64((1 << bits) - 1)) + low
    else:
        order = np.lexsort((places, ranks))
        ranks, places = ranks[order], places[order]
        distinct = np.concatenate(([True], (ranks[1:] != ranks[:-1]) | (places[1:] != places[:-1])))
        ranks, places = ranks[distinct], places[distinct]
    return np.bincount(ranks.astype(np.int64), minlength=terms), places


class MemoryIndex:
    """An index in memory, read as a page is: of the newest records, which are in no segment yet."""

    def __init__(self) -> None:
        self._places: defaultdict[str, list[int]] = defaultdict(list)

    def add_all(self, terms: Iterable[str], place: int) -> None:
        """Add terms of a place."""
        for term in terms:
            self._places[term].append(place)

    def places(self, term: str) -> Places | None:
        """Return the places of a term, rising; None if it is not here."""
        found = self._places.get(term)
        return None if found is None else distinct(np.array(found, np.uint64))

    def prefix(self, beginning: str) -> Iterator[tuple[str, Places]]:
        """Yield the terms that begin so, in order, with their places."""
        for term in sorted(term for term in self._places if term.startswith(beginning)):
            yield term, distinct(np.array(self._places[term], np.uint64))

    def prefix_places(self, beginning: str) -> Places:
        """Return the places of all terms that begin so, in no order."""
        found = (places for term, places in self._places.items() if term.startswith(beginning))
        return np.array([*chain.from_iterable(found)], np.uint64)
