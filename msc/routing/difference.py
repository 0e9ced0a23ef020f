"""What differs between two route tables: rows by their names, and where messages would go."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from msc.routing.criteria import Subject
from msc.routing.table import Route, RouteTable


class Changed(NamedTuple):
    """A route that is in both tables and not the same.

    Attributes:
        what: Members of its row, each with its old and its new value.
    """

    name: str
    what: dict[str, tuple[Any, Any]]


class Difference(NamedTuple):
    """What differs between the rows of two tables.

    Attributes:
        added, removed: Names, in the order of their table.
        moved: Routes that are now tried before or after others than they were; as few as say it all.
    """

    added: list[str]
    removed: list[str]
    changed: list[Changed]
    moved: list[str]

    @property
    def nothing(self) -> bool:
        """Whether the tables are the same."""
        return not (self.added or self.removed or self.changed or self.moved)


def row_of(route: Route) -> dict[str, Any]:
    """Return a route as its row: every member but the name, criteria as a file has them."""
    return {
        "precedence": route.precedence,
        **route.criteria.as_json(),
        "deliver": route.deliver.value,
        "to": list(route.lines),
        "stations": list(route.stations),
    }


def difference(old: RouteTable, new: RouteTable) -> Difference:
    """Compare two tables, route by route."""
    before = {route.name: route for route in old.routes}
    after = {route.name: route for route in new.routes}
    changed = [
        Changed(name, what)
        for name, route in after.items()
        if name in before and (what := _what(before[name], route))
    ]
    # One of another precedence was put elsewhere on purpose, and is told of as changed.
    set_elsewhere = {each.name for each in changed if "precedence" in each.what}
    both = [name for name in before if name in after and name not in set_elsewhere]
    order = {name: place for place, name in enumerate(after)}
    kept = {both[at] for at in _rising([order[name] for name in both])}
    return Difference(
        [name for name in after if name not in before],
        [name for name in before if name not in after],
        changed,
        [name for name in after if name in before and name not in kept and name not in set_elsewhere],
    )


def _what(before: Route, after: Route) -> dict[str, tuple[Any, Any]]:
    old, new = row_of(before), row_of(after)
    return {name: (old.get(name), new.get(name)) for name in {**old, **new} if old.get(name) != new.get(name)}


def _rising(numbers: list[int]) -> Iterator[int]:
    """Yield the places of a longest rising row of numbers, last first: what need not be said to have moved."""
    ends: list[int] = []
    places: list[int] = []
    before: list[int] = []
    for place, number in enumerate(numbers):
        length = bisect_left(ends, number)
        before.append(places[length - 1] if length else -1)
        ends[length : length + 1] = [number]
        places[length : length + 1] = [place]
    at = places[-1] if places else -1
    while at >= 0:
        yield at
        at = before[at]


class Elsewhere(NamedTuple):
    """Messages that another route would take.

    Attributes:
        key: Their key.
        old, new: Names of the routes; None is none.
        mnemonics: Whose.
    """

    key: str
    old: str | None
    new: str | None
    mnemonics: list[str]


def elsewhere(old: RouteTable, new: RouteTable, subjects: Iterable[Subject]) -> list[Elsewhere]:
    """Compare which route takes each of some messages, or what it would do with them."""
    found: dict[tuple[str, str | None, str | None], list[str]] = {}
    for subject in subjects:
        before, after = old.find(subject), new.find(subject)
        if _same(before, after):
            continue
        names = (before.name if before else None), (after.name if after else None)
        found.setdefault((subject.key.code, *names), []).append(subject.mnemonic)
    return [Elsewhere(*key, mnemonics) for key, mnemonics in found.items()]


def _same(before: Route | None, after: Route | None) -> bool:
    if before is None or after is None:
        return before is after
    return before.name == after.name and before[3:] == after[3:]
