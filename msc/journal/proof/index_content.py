"""Holds the index of every month against the records: what it hides, and what it leads to that is not so.

All terms of all records are derived as the archivist derived them, and compared with what stands there. What is told
names messages and kinds of terms, never a term: it may be a plate or a name.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import groupby
from typing import Final

import numpy as np

from msc.journal.database.layout import JournalReading, Month, MonthUnreadable, Page
from msc.journal.derivation import Derivation, Told, blocks_of, records_of
from msc.journal.index.comparison import differences
from msc.journal.index.page import NO_PLACES, BadPage, Lists, Places, distinct
from msc.journal.index.segment import lists_of
from msc.journal.index.term import (
    AS_ON_AUDIT,
    AS_ON_MESSAGE,
    events_term,
    terms_of,
)
from msc.journal.proof.canonical import NotCanonical, Stored, decode
from msc.journal.proof.finding import Finding, Kind, numeral
from msc.journal.proof.index_form import Note, damaged, hold_form, in_order, remedy
from msc.journal.record import StepsRecord

NAMED_MAX: Final = 100
"""Messages, and audit records, of a month that are named one by one. Then there is only a number."""
_TRIES: Final = 5
_NAMES: Final = frozenset({*AS_ON_MESSAGE, "key", "header", "device", "line", "outcome"})
_NAMES_OF_AUDIT: Final = frozenset({*AS_ON_AUDIT, "event", "subject", "is"})
_EVENTS: Final = "where its events stand"
_WORDS: Final = "words of its text"
_OTHER: Final = "something else"


async def look_at_index(
    reading: JournalReading, months: Sequence[Month], *, content: bool, told: Told
) -> list[Finding]:
    """Look whether the index of all months is whole.

    Args:
        months: All months, in order.
        content: Hold it against the records as well.
        told: Called after every block that was looked at, with how many records that makes.

    Raises:
        JournalError: The journal cannot be read.
    """
    found: list[Finding] = []
    for month in months:
        if not month.deleted:
            try:
                await hold_form(reading, month, found.append)
            except MonthUnreadable:
                found.append(damaged(month.month, "it cannot be read"))
    if content:
        await hold_content(reading, months, found.append, _summed(told))
    return found


def _summed(told: Told) -> Told:
    """Return what takes numbers and tells what they make."""
    sums = 0

    def take(number: int) -> None:
        nonlocal sums
        sums += number
        told(sums)

    return take


async def hold_content(reading: JournalReading, months: Sequence[Month], note: Note, told: Told) -> None:
    """Compare the index of all months with their records; all of it may be written meanwhile.

    A month whose blocks cannot be read is left out, and where records cannot be read it is not told what leads
    nowhere: their own findings say more.

    Args:
        months: All months, in order.
        note: Takes what is found.
        told: Called after every block.

    Raises:
        JournalError: The journal cannot be read.
    """
    derivation = Derivation(reading, told)
    for month in sorted((month.month for month in months if not month.deleted), reverse=True):
        try:
            derived = await derivation.month(month)
            there = await _there(reading, month)
        except MonthUnreadable:
            continue
        hidden, misleading = _Tally(), _Tally()
        recent: _Recent | None = None
        for term, missing, extra in differences([map(lists_of, run) for run in derived], there):
            hidden.add(term, missing)
            if len(extra) and derivation.complete:
                if recent is None:
                    recent = await _Recent.of(reading, derivation.last)
                misleading.add(term, recent.without(term, extra))
        for finding in (*_told(hidden, month, Kind.INDEX_HIDES), *_told(misleading, month, Kind.INDEX_MISLEADS)):
            note(finding)


# --- what stands there --------------------------------------------------------------------------


async def _there(reading: JournalReading, month: int) -> list[Iterable[Lists]]:
    """Return what the pages of a month hold that searches look into, in runs that are in order."""
    before = await reading.first_terms(month)
    for _ in range(_TRIES):
        pages = await reading.pages(month, [(segment, number) for segment, number, _ in before])
        after = await reading.first_terms(month)
        if after == before:
            break
        before = after  # the archivist stored or merged something
    found: list[Iterable[Lists]] = []
    for _, of_segment in groupby(pages, lambda page: page.segment):
        found += _sources(of_segment)
    return found


def _sources(pages: Iterable[Page]) -> list[Iterable[Lists]]:
    """Put a segment's pages into runs that are in order: whatever its form is, what is there counts."""
    runs: list[list[Page]] = []
    apart: list[Iterable[Lists]] = []
    last = b""
    for page in pages:
        try:
            lists = lists_of(page)
        except BadPage:
            continue
        terms = lists.names.split(b"\n")[:-1]
        if not in_order(terms, lists):
            apart.append([_put_right(terms, lists)])
            continue
        if not runs or terms[0] <= last:
            runs.append([])
        runs[-1].append(page)
        last = terms[-1]
    return [*(map(lists_of, run) for run in runs), *apart]


def _put_right(terms: Sequence[bytes], lists: Lists) -> Lists:
    """Put what a page holds in order."""
    by_term: dict[bytes, Places] = {}
    for term, places in zip(terms, np.split(lists.places, np.cumsum(lists.counts)[:-1]), strict=True):
        by_term[term] = distinct(np.concatenate((by_term.get(term, NO_PLACES), places)))
    names = sorted(by_term)
    return Lists(
        b"\n".join(names) + b"\n",
        np.array([len(by_term[name]) for name in names], np.int64),
        np.concatenate([by_term[name] for name in names]),
    )


class _Recent:
    """What may stand in the index, because it came to the journal while it was looked at.

    The archivist stores what it adds to earlier months before the blocks it is from, so the tail counts as well.

    Args:
        after: The last record that was looked at.
    """

    def __init__(self, after: int) -> None:
        self._after = after
        self._places: defaultdict[str, list[int]] = defaultdict(list)
        self._with_events: set[str] = set()

    @classmethod
    async def of(cls, reading: JournalReading, after: int) -> _Recent:
        """Read what came after a record.

        Raises:
            JournalError: The journal cannot be read.
        """
        recent = cls(after)
        # The tail first: what left it meanwhile stands in a block that is read after it.
        for row in await reading.tail(after):
            with suppress(NotCanonical):
                recent._take(decode(row.body))
        for month in await reading.months():
            if month.last > after and not month.deleted:
                async for block in blocks_of(reading, month.month, after):
                    for stored in records_of(block, month.month):
                        recent._take(stored)
        return recent

    def _take(self, stored: Stored) -> None:
        record = stored.record
        if isinstance(record, StepsRecord):
            self._with_events.add(events_term(record.msn))
        terms, place = terms_of(stored)
        for term in terms:
            self._places[term].append(place)

    def without(self, term: str, places: Places) -> Places:
        """Return the places of a term that nothing recent accounts for."""
        if term in self._with_events:
            return places[places <= self._after]
        return np.setdiff1d(places, np.array(self._places.get(term, ()), np.uint64))


# --- what is told -------------------------------------------------------------------------------


class _Tally:
    """Counts places by message or audit record, and by kind of term."""

    def __init__(self) -> None:
        self.of_messages: defaultdict[str, list[Places]] = defaultdict(list)
        self.of_audit: defaultdict[str, list[Places]] = defaultdict(list)

    def add(self, term: str, places: Places) -> None:
        """Add places of a term."""
        if not len(places):
            return
        if term.startswith("@"):
            # Its places are blocks; it is the term that names the message.
            msn = term[1:]
            number = int(msn) if msn.isascii() and msn.isdigit() and len(msn) < 19 else 0
            self.of_messages[_EVENTS].append(np.full(len(places), number, np.uint64))
        elif term.startswith("!"):
            self.of_audit[_kind(term[1:], _NAMES_OF_AUDIT)].append(places)
        else:
            self.of_messages[_kind(term, _NAMES)].append(places)


def _kind(term: str, names: Collection[str]) -> str:
    """Return what kind of term it is; nothing of what stands in it."""
    name, colon, _ = term.partition(":")
    if not colon:
        return _WORDS
    return name if name in names else _OTHER


def _told(tally: _Tally, month: int, kind: Kind) -> Iterator[Finding]:
    """Put what was counted into sentences."""
    for what, by_kind in (("message", tally.of_messages), ("audit record", tally.of_audit)):
        counted = {name: np.concatenate(parts) for name, parts in by_kind.items()}
        if not counted:
            continue
        numbers = distinct(np.concatenate([*counted.values()]))
        for number in numbers[:NAMED_MAX].tolist():
            by = ", ".join(
                f"{name} ({count})" if name in (_WORDS, _EVENTS) else name
                for name, places in counted.items()
                if (count := int((places == np.uint64(number)).sum()))
            )
            text = (
                f"the index of {month} hides {what} {number}: it is not found by {by}"
                if kind is Kind.INDEX_HIDES
                else f"the index of {month} leads to {what} {number}, which is not so, by {by}"
            )
            seq, msn = (0, number) if what == "message" else (number, None)
            yield Finding(kind, f"{text}; {remedy(month)}", seq, seq, msn, month)
        more = len(numbers) - NAMED_MAX
        if more > 0:
            does = "hides" if kind is Kind.INDEX_HIDES else "misleads about"
            yield Finding(kind, f"the index of {month} {does} {numeral(more)} more {what}s", month=month)
