"""Which of many rows is the first that matches: found in a few look-ups instead of one after the other.

Every row stands in tables under the patterns of its most selective condition; where too many others stand in the
same place, of its two most selective ones, and so on. A message is looked up in each table once, and only the rows
found there are asked whether they match. With twenty thousand rows that makes some ten look-ups and a handful of
rows, where going through them would take milliseconds. What is found is what going through them would find.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, product
from math import prod
from typing import Final, NamedTuple

from msc.routing.criteria import ANY, Condition, Criteria, Sight

_CROWD: Final = 8
"""Rows in one place that are asked one after the other; where there are more, another condition parts them."""
_PLACES_MAX: Final = 64
"""Places one row may stand in for more than one condition: five keys and twelve mnemonics make sixty."""

Part = tuple[str, int | None]
"""What is looked at, and how many characters of it; None is all."""
Shape = tuple[Part, ...]


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
    patterns: Counter[tuple[str, str]] = Counter()
    for each, count in uses.items():
        for pattern in each.patterns:
            patterns[each.about, pattern] += count
    return {each: sum([patterns[each.about, pattern] for pattern in each.patterns]) for each in uses}


def _part(bundles: dict[_Bundle, list[int]], by_weight: Sequence[_Bundle]) -> dict[_Bundle, list[int]]:
    """Let rows that stand in a crowd be placed by more of their conditions, until none can, or there is no crowd."""
    done: dict[_Bundle, list[int]] = {}
    while bundles:
        crowd: Counter[tuple[str, ...]] = Counter()
        for bundle, ranks in bundles.items():
            for place in _patterns(bundle):
                crowd[place] += len(ranks)
        again: dict[_Bundle, list[int]] = {}
        for bundle, ranks in bundles.items():
            if all(crowd[place] <= _CROWD for place in _patterns(bundle)):
                done[bundle] = ranks
                continue
            for rank in ranks:
                more = by_weight[rank][: len(bundle) + 1]
                parted = len(more) > len(bundle) and prod([len(each.patterns) for each in more]) <= _PLACES_MAX
                (again if parted else done).setdefault(more if parted else bundle, []).append(rank)
        bundles = again
    return done


def _patterns(bundle: _Bundle) -> Iterator[tuple[str, ...]]:
    """Return every choice of one pattern of each condition, each marked with what it is about."""
    return product(*[[f"{each.about} {pattern}" for pattern in each.patterns] for each in bundle])


def _fill(bundles: dict[_Bundle, list[int]]) -> list[_Table]:
    tables: dict[Shape, dict[str | tuple[str, ...], list[int]]] = {}
    for bundle, ranks in bundles.items():
        abouts = [each.about for each in bundle]
        # A pattern may be written twice in one row.
        for patterns in product(*[dict.fromkeys(each.patterns) for each in bundle]):
            shape = tuple(zip(abouts, [len(p) - 1 if p.endswith(ANY) else None for p in patterns], strict=True))
            texts = tuple([p.removesuffix(ANY) for p in patterns])
            tables.setdefault(shape, {}).setdefault(texts[0] if len(texts) == 1 else texts, []).extend(ranks)
    for places in tables.values():
        for ranks in places.values():
            ranks.sort()
    return sorted([_Table(_first(places), shape, places) for shape, places in tables.items()], key=_rank_of)


def _first(places: dict[str | tuple[str, ...], list[int]]) -> int:
    return min([ranks[0] for ranks in places.values()])


def _rank_of(table: _Table) -> int:
    return table.first
