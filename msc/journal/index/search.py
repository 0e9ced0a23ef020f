"""Finding places in the segments of one month. Pure, in two steps, so that the database is asked once in between:

    needed = pages_needed(plan, directory)       which pages, by the first terms that stand in memory
    pages = {...}                                the caller fetches them, and reads each with `read_page`
    places = evaluate(plan, directory, pages)    rising

A term's places are put together from all segments and from the indexes in memory before anything is intersected: a
message may stand in one segment, an event of its life in another, and the newest event only in the tail.

Nothing is left out silently: a beginning that too many words begin with is refused, and so is a page that is not
there.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from msc.errors import JournalError
from msc.journal.criteria import BadCriteria
from msc.journal.database.layout import BlockKey
from msc.journal.index.page import NO_PLACES, Places, distinct
from msc.journal.index.term import Plan
from msc.journal.index.tokenizer import Sought

PREFIX_PAGES: Final = 256
"""Pages that one beginning may take: about 400 000 words, or eight megabytes to unpack. `A*` is not a search in a
county's journal, and would keep everybody else's waiting."""
_HIGHEST: Final = 2**64 - 1
_LOPSIDED: Final = 16
"""From this ratio on, each of the few is looked up among the many instead of sorting all together."""


class PrefixTooWide(BadCriteria):
    """Too many words begin with what was asked for."""


class PageMissing(JournalError):
    """A page is gone, because its segment was merged with others: read the directory again."""


class Lookup(Protocol):
    """What can be asked for a term: a page, or an index in memory."""

    def places(self, term: str) -> Places | None:
        """Return the places of a term, rising; None if it is not here."""

    def prefix_places(self, beginning: str) -> Places:
        """Return the places of all terms that begin so, in no order."""


PageId = tuple[int, int]
"""Segment and number."""


class Directory:
    """Where a month's terms are to be found.

    Args:
        first_terms: Segment, page and first term of every page.
        memories: Indexes in memory that belong to it.
    """

    def __init__(self, first_terms: Iterable[tuple[int, int, str]], memories: Sequence[Lookup] = ()) -> None:
        self.memories = tuple(memories)
        self._segments: dict[int, tuple[list[str], list[int]]] = {}
        for segment, number, first_term in sorted(first_terms):
            terms, numbers = self._segments.setdefault(segment, ([], []))
            terms.append(first_term)
            numbers.append(number)

    def pages(self, sought: Sought) -> list[PageId]:
        """Return the pages a term, or any that begins with it, can stand in.

        Raises:
            PrefixTooWide: They are too many.
        """
        found: list[PageId] = []
        for segment, (firsts, numbers) in self._segments.items():
            if not sought.prefix:
                at = bisect_right(firsts, sought.term) - 1
                found += [(segment, number) for number in numbers[max(at, 0) : at + 1]]
                continue
            begin = max(bisect_right(firsts, sought.term) - 1, 0)
            end = bisect_left(firsts, _after(sought.term), begin)
            found += [(segment, number) for number in numbers[begin:end]]
        # A small segment costs a page even for a beginning that nothing has.
        if len(found) > PREFIX_PAGES + len(self._segments):
            raise PrefixTooWide(f"{len(sought.term)} letters are too few to begin with: too many words do")
        return found


def pages_needed(plan: Plan, directory: Directory) -> list[PageId]:
    """Return the pages that are needed to evaluate a plan, each once, in order.

    Raises:
        PrefixTooWide: Too many words begin with what was asked for.
    """
    return sorted({page for sought in _all_of(plan) for page in directory.pages(sought)})


def evaluate(
    plan: Plan,
    directory: Directory,
    pages: Mapping[PageId, Lookup],
    *,
    first: int = 0,
    last: int = _HIGHEST,
    among: Places | None = None,
) -> Places:
    """Return the places that match all but time and `open`, rising.

    Args:
        plan: What to look up.
        directory: The same as the pages were asked by.
        pages: What `pages_needed` named.
        first, last: Bounds of what is wanted: the month's, where the indexes in memory know other months' as well.
        among: Only these, rising: what is open, for one.

    Raises:
        PageMissing: A page that is needed is not given.
        PrefixTooWide: As `pages_needed`.
    """
    if plan.msn is not None:
        first, last = max(first, plan.msn), min(last, plan.msn)
        if not 0 <= first <= last <= _HIGHEST:
            return NO_PLACES
    seen: dict[Sought, Places] = {}
    for sought in _all_of(plan):
        if sought not in seen:
            seen[sought] = _places_of(sought, directory, pages)
    found = [_any_of([_every_of([seen[one] for one in all_of]) for all_of in clause]) for clause in plan.clauses]
    if among is not None:
        found.append(among)
    places = _every_of(found)
    begin, end = np.searchsorted(places, np.array([first, last], np.uint64))
    if end < len(places) and places[end] == last:
        end += 1
    return places[begin:end]


def in_time(
    places: Places, keys: Sequence[BlockKey], since_us: int | None, until_us: int | None
) -> tuple[Places, npt.NDArray[np.bool_]]:
    """Choose from messages those that can have been received in a time.

    Args:
        places: MSNs, rising.
        keys: What the month's blocks hold, in order.
        since_us, until_us: The time, as in criteria.

    Returns:
        The MSNs that are left, and for each whether it is certain. What is not has to be looked at itself: its block
        is partly in that time, or it is in none of these.
    """
    # A person may ask for any time, before 1970 as well.
    since, until = (
        np.uint64(min(max(at, 0), _HIGHEST)) for at in (since_us or 0, _HIGHEST if until_us is None else until_us)
    )
    holding = [key for key in keys if key.first_msn]
    if not holding or not len(places):
        return places, np.zeros(len(places), np.bool_)
    table = np.array([(key.first_msn, key.last_msn, key.first_at, key.last_at) for key in holding], np.uint64)
    block = np.searchsorted(table[:, 0], places, "right").astype(np.int64) - 1
    here = (block >= 0) & (places <= table[block, 1])
    certain = (table[:, 2] >= since) & (table[:, 3] < until)
    possible = (table[:, 3] >= since) & (table[:, 2] < until)
    left = ~here | possible[block]
    return places[left], (here & certain[block])[left]


def _all_of(plan: Plan) -> Iterator[Sought]:
    return (sought for clause in plan.clauses for alternative in clause for sought in alternative)


def _after(beginning: str) -> str:
    """Return what sorts after everything that begins so."""
    return beginning + "\U0010ffff"


def _places_of(sought: Sought, directory: Directory, pages: Mapping[PageId, Lookup]) -> Places:
    try:
        lookups = [pages[page] for page in directory.pages(sought)]
    except KeyError as exc:
        raise PageMissing(f"page {exc.args[0]} of the index is not there") from exc
    every = (*lookups, *directory.memories)
    if sought.prefix:
        return distinct(np.concatenate([NO_PLACES, *(lookup.prefix_places(sought.term) for lookup in every)]))
    return _any_of([places for lookup in every if (places := lookup.places(sought.term)) is not None])


def _any_of(parts: Sequence[Places]) -> Places:
    """Return what is in any."""
    if len(parts) == 1:
        return parts[0]
    return distinct(np.concatenate(parts)) if parts else NO_PLACES


def _every_of(parts: Sequence[Places]) -> Places:
    """Return what is in every one, beginning with the shortest."""
    shortest, *others = sorted(parts, key=len)
    for other in others:
        if not len(shortest):
            break
        if len(other) > _LOPSIDED * len(shortest):
            at = np.searchsorted(other, shortest)
            at[at == len(other)] = 0
            shortest = shortest[other[at] == shortest]
        else:
            shortest = np.intersect1d(shortest, other, assume_unique=True)
    return shortest
