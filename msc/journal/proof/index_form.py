"""Looks at a month's index by itself: whether all of it is there, and can be searched. It asks no record.

The index stands outside the chain: whoever takes a page away hides messages from searches and touches no record.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from msc.journal.database.layout import JournalReading, Month, Page, Segment
from msc.journal.index.page import BadPage, Lists, read_page
from msc.journal.proof.finding import Finding, Kind, numeral, span

_AT_ONCE: Final = 64
"""Pages read at once: a megabyte."""

Note = Callable[[Finding], None]


def remedy(month: int) -> str:
    """Say what a wrong index means, and what to do."""
    return (
        "searches may miss messages; records are proven without the index, and `msc journal reindex --month "
        f"{month // 100:04}-{month % 100:02}` makes it anew from them"
    )


async def hold_form(reading: JournalReading, month: Month, note: Note) -> None:
    """Look at a month's index; it may be added to and merged meanwhile.

    Args:
        note: Takes what is found.

    Raises:
        MonthUnreadable: It cannot be read at all.
        JournalError: The journal cannot be.
    """
    number = month.month
    seen: dict[int, Segment] = {}
    while left := [s for s in await reading.segments(number) if s.number not in seen]:
        segment = left[0]
        wrong = await _look(reading, number, segment)
        # Merged with others in the meantime, it may go.
        if wrong and segment in await reading.segments(number):
            for what in wrong:
                note(damaged(number, what))
        seen[segment.number] = segment
    placed = {segment for segment, _, _ in await reading.first_terms(number)}
    known = seen.keys() | {segment.number for segment in await reading.segments(number)}
    for stray in sorted(placed - known):
        note(damaged(number, f"there are pages of segment {stray}, but no such segment"))
    if not known and month.first_msn:
        note(damaged(number, "there is none"))


def damaged(month: int, what: str) -> Finding:
    """Say that an index is damaged."""
    text = f"the index of {month} is damaged: {what}; {remedy(month)}"
    return Finding(Kind.INDEX_DAMAGED, text, month=month)


async def _look(reading: JournalReading, month: int, segment: Segment) -> list[str]:
    """Return what is wrong with a segment."""
    numbers = sorted(number for of, number, _ in await reading.first_terms(month) if of == segment.number)
    wrong = _misnumbered(segment, numbers)
    look = _Look(segment.number)
    for at in range(0, len(numbers), _AT_ONCE):
        part = [(segment.number, number) for number in numbers[at : at + _AT_ONCE]]
        for page in await reading.pages(month, part):
            look.take(page)
    wrong += look.wrong
    if not wrong and look.entries != segment.entries:
        wrong.append(
            f"segment {segment.number} names {numeral(look.entries)} places, but should {numeral(segment.entries)}"
        )
    return wrong


def _misnumbered(segment: Segment, numbers: Sequence[int]) -> list[str]:
    """Compare the pages that are there with those there should be: from 0, without a gap, as many as it says."""
    if list(numbers) == list(range(segment.pages)):
        return []
    there = set(numbers)
    # Bounded by what is there, not by what the row claims: it may be anything.
    missing = [number for number in range(min(segment.pages, 2 * len(numbers) + 1)) if number not in there]
    if missing:
        return [f"page {missing[0]} of segment {segment.number} is missing"]
    more = len(numbers) - max(segment.pages, 0)
    if more <= 0:
        return [f"segment {segment.number} has {len(numbers)} pages, but should have {segment.pages}"]
    return [f"segment {segment.number} has {span(more, more, 'page', 'pages')} too many"]


class _Look:
    """Goes through the pages of a segment."""

    def __init__(self, segment: int) -> None:
        self.wrong: list[str] = []
        self.entries = 0
        self._segment = segment
        self._last_term = b""

    def take(self, page: Page) -> None:
        where = f"page {page.number} of segment {self._segment}"
        try:
            lists = read_page(page.body).lists()
        except BadPage:
            self.wrong.append(f"{where} cannot be read")
            return
        terms = lists.names.split(b"\n")[:-1]
        self.entries += len(lists.places)
        if page.first_term.encode("utf-8", "surrogatepass") != terms[0]:
            self.wrong.append(f"{where} does not begin with the term it is found by")
        if terms[0] <= self._last_term or not in_order(terms, lists):
            self.wrong.append(f"{where} is not in order")
        self._last_term = max(self._last_term, terms[-1])


def in_order(terms: Sequence[bytes], lists: Lists) -> bool:
    """Tell whether the terms of a page rise, and the places of each.

    Args:
        terms: Its terms.
        lists: The same with their places.
    """
    after = np.ones(len(lists.places), np.bool_)
    after[np.cumsum(lists.counts) - lists.counts] = False
    after = after[1:]
    rising = bool((lists.places[1:][after] > lists.places[:-1][after]).all())
    return rising and all(map(bytes.__lt__, terms, terms[1:]))
