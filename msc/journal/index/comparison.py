"""Compares two indexes of a month, term by term."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from msc.journal.index.page import NO_PLACES, Lists, Places
from msc.journal.index.segment import in_step


class Difference(NamedTuple):
    """Where two indexes do not agree.

    Attributes:
        term: On which term.
        missing: Places that only the first names.
        extra: Places that only the second names.
    """

    term: str
    missing: Places
    extra: Places


def differences(first: Sequence[Iterable[Lists]], second: Sequence[Iterable[Lists]]) -> Iterator[Difference]:
    """Yield what two indexes do not agree on, in the order of the terms.

    Args:
        first, second: For each segment what its pages hold, in order. How the places of a term are spread over
            segments makes no difference.
    """
    for one, other in in_step((first, second)):
        if one.names == other.names and all(map(np.array_equal, one[1:], other[1:])):
            continue
        places, others = _by_term(one), _by_term(other)
        for term in sorted(places.keys() | others.keys()):
            here, there = places.get(term, NO_PLACES), others.get(term, NO_PLACES)
            if not np.array_equal(here, there):
                yield Difference(term.decode(), np.setdiff1d(here, there), np.setdiff1d(there, here))


def _by_term(lists: Lists) -> dict[bytes, Places]:
    ends = np.cumsum(lists.counts)
    return (
        dict(zip(lists.names.split(b"\n")[:-1], np.split(lists.places, ends[:-1]), strict=True)) if len(ends) else {}
    )
