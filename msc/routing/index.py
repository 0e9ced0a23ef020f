"""Which of many rows is the first that matches: found in a few look-ups instead of one after the other.

Every row stands in tables under the patterns of its most selective condition; where too many others stand in the
same place, of its two most selective ones, and so on. A message is looked up in each table once, and only the rows
found there are asked whether they match. With twenty thousand rows that makes some ten look-ups and a handful of
rows, where going through them would take milliseconds. What is found is what going through them would find.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain, product
from math import prod
from typing import Final, NamedTuple

from msc.routing.criteria import Condition, Criteria, Part, Sight

_CROWD: Final = 8
"""Rows in one place that are asked one after the other; where there are more, another condition parts them."""
_PLACES_MAX: Final = 64
"""Places one row may stand in for more than one condition: five keys and twelve mnemonics make sixty."""

Shape = tuple[tuple[str, int | None], ...]
"""What is looked at, and how many characters of it; None is all."""


class _Table(NamedTuple):
    """Rows that look at the same parts.

    Attributes:
        first: The lowest rank that stands in it.
        places: The values of the parts (of the only one: the value itself) to the ranks there, rising.
    """

    first: int
    shape: Shape
    places: dict[str | tuple[str, ...], list[int]]


class FirstMatch:
    """Finds the first of rows, by their rank, that matches.

    Args:
        rows: In the order of their ranks: 0, 1, 2 ...
    """

    def __init__(self, rows: Sequence[Criteria]) -> None:
        self._rows = rows
        # What asks nothing matches everything: nothing that stands behind it is ever found.
        self._reached = next((rank for rank, row in enumerate(rows) if not row.conditions), len(rows))
        self._tables = _tables(rows, self._reached)

    def find(self, sight: Sight) -> int | None:
        """Return the rank of the first row that matches, or None."""
        rows, best = self._rows, self._reached
        for first, shape, places in self._tables:
            if first >= best:
                break
            for place in _places(shape, sight):
                for rank in places.get(place, ()):
                    if rank >= best:
                        break
                    if rows[rank].met_by(sight):
                        best = rank
                        break
        return best if best < len(rows) else None

    def dismantle(self) -> None:
        """Let go of everything, piece by piece; nothing is found any more."""
        self._rows, self._reached = (), 0
        while self._tables:
            places = self._tables.pop().places
            while places:
                places.popitem()

    @property
    def tables(self) -> int:
        """How many tables a message is looked up in at most."""
        return len(self._tables)


def _places(shape: Shape, sight: Sight) -> Iterable[str | tuple[str, ...]]:
    """Return the places of a table in which a message may find rows."""
    if len(shape) == 1:
        about, length = shape[0]
        values = sight.get(about, ())
        return values if length is None else [value[:length] for value in values]
    return product(*[_values(sight.get(about, ()), length) for about, length in shape])


def _values(values: tuple[str, ...], length: int | None) -> Iterable[str]:
    return values if length is None else [value[:length] for value in values]


# --- building -------------------------------------------------------------------------------------------------

_Bundle = tuple[Condition, ...]
"""The conditions by which some rows are placed, the most selective first. Rows that share them are placed at once."""


def _tables(rows: Sequence[Criteria], reached: int) -> list[_Table]:
    weights = _weights(rows[:reached])
    bundles: dict[_Bundle, list[int]] = {}
    by_weight: list[_Bundle] = []
    for rank in range(reached):
        conditions = rows[rank].conditions
        if len(conditions) > 1:
            conditions = tuple(sorted(conditions, key=weights.__getitem__))
        by_weight.append(conditions)
        bundles.setdefault(conditions[:1], []).append(rank)
    return _fill(_part(bundles, by_weight))


def _weights(rows: Sequence[Criteria]) -> dict[Condition, int]:
    """Return for each condition how many rows use one of its patterns: the fewer, the more selective it is."""
    uses = Counter(chain.from_iterable([row.conditions for row in rows]))
    parts: dict[Part, int] = {}
    for each, count in uses.items():
        for part in each.parts:
            parts[part] = parts.get(part, 0) + count
    return {each: sum([parts[part] for part in each.parts]) for each in uses}


def _part(bundles: dict[_Bundle, list[int]], by_weight: Sequence[_Bundle]) -> dict[_Bundle, list[int]]:
    """Let rows that stand in a crowd be placed by more of their conditions, until none can, or there is no crowd."""
    done: dict[_Bundle, list[int]] = {}
    while bundles:
        crowd: dict[tuple[Part, ...], int] = {}
        for bundle, ranks in bundles.items():
            for place in product(*[each.parts for each in bundle]):
                crowd[place] = crowd.get(place, 0) + len(ranks)
        again: dict[_Bundle, list[int]] = {}
        for bundle, ranks in bundles.items():
            if max([crowd[place] for place in product(*[each.parts for each in bundle])]) <= _CROWD:
                done[bundle] = ranks
                continue
            for rank in ranks:
                more = by_weight[rank][: len(bundle) + 1]
                parted = len(more) > len(bundle) and prod([len(each.parts) for each in more]) <= _PLACES_MAX
                (again if parted else done).setdefault(more if parted else bundle, []).append(rank)
        bundles = again
    return done


def _fill(bundles: dict[_Bundle, list[int]]) -> list[_Table]:
    tables: dict[Shape, dict[str | tuple[str, ...], list[int]]] = {}
    for bundle, ranks in bundles.items():
        for place in product(*[each.parts for each in bundle]):
            shape = tuple([(about, length) for about, length, _ in place])
            text = place[0][2] if len(place) == 1 else tuple([text for _, _, text in place])
            places = tables.get(shape)
            if places is None:
                places = tables[shape] = {}
            found = places.get(text)
            places[text] = ranks.copy() if found is None else sorted([*found, *ranks])
    return sorted([_Table(_first(places), shape, places) for shape, places in tables.items()], key=_rank_of)


def _first(places: dict[str | tuple[str, ...], list[int]]) -> int:
    return min([ranks[0] for ranks in places.values()])


def _rank_of(table: _Table) -> int:
    return table.first
