"""The route table: which message goes to which lines, to the stations it names, and to whom else.

Routes stand in `routes.toml`. The first that matches takes the message: the one of the lowest `precedence`, and of
equal ones the one that stands first in the file. What a route asks of a message says `msc.routing.criteria`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import Field

from msc.errors import Fault, NoRoute, RouteError
from msc.limits import EXPLAINED_MAX, PATTERNS_MAX, PRECEDENCE_DEFAULT, PRECEDENCE_MAX, ROUTES_MAX
from msc.protocol.catalog import Catalog
from msc.routing.criteria import Conditions, Criteria, CriteriaRow, Subject, sight_of, unknown_keys
from msc.routing.index import FirstMatch
from msc.routing.toml_rows import read_rows


class Deliver(StrEnum):
    """What a route's messages are delivered to."""

    LINES = "lines"
    ADDRESSEES = "addressees"
    """Whom the message itself names: by mnemonic, ORI or group. What is not of this county goes to the lines."""


class Route(NamedTuple):
    """One row of the table.

    Attributes:
        lines: Where its messages go; of a route to addressees, those whose destinations are not known here.
        stations: Devices, and groups, that get a copy.
    """

    name: str
    precedence: int
    criteria: Criteria
    deliver: Deliver
    lines: tuple[str, ...]
    stations: tuple[str, ...] = ()


class Considered(NamedTuple):
    """What an explanation says of one route.

    Attributes:
        place: Its place in the order in which routes are tried, from 1.
        objections: What the message does not meet; empty where it meets everything.
        took: Whether it took the message; one that meets everything and did not stands behind the one that did.
    """

    place: int
    route: Route
    objections: tuple[str, ...]
    took: bool


class RouteTable:
    """The routes, in the order in which they are tried."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = sorted(routes, key=_precedence)
        self._first = FirstMatch([route.criteria for route in self.routes])

    def find(self, subject: Subject) -> Route | None:
        """Return the route that takes a message, or None if none does."""
        rank = self._first.find(sight_of(subject))
        return None if rank is None else self.routes[rank]

    def decide(self, subject: Subject) -> Route:
        """Return the route that takes a message.

        Raises:
            NoRoute: None does.
        """
        route = self.find(subject)
        if route is None:
            raise NoRoute(f"no route takes {subject.key.code}")
        return route

    def explain(self, subject: Subject) -> list[Considered]:
        """Say which route took a message, and why others near it did not.

        Near are those of whose criteria the message fails the fewest. It asks every route, so it takes long.

        Returns:
            At most `EXPLAINED_MAX` routes and the one that took it, in the order in which they are tried.
        """
        sight, took = sight_of(subject), self._first.find(sight_of(subject))
        others = []
        for rank, route in enumerate(self.routes):
            objections = tuple(route.criteria.objections(sight))
            others.append((rank != took, len(objections), rank, objections))
        near = sorted(sorted(others)[: EXPLAINED_MAX + (took is not None)], key=lambda each: each[2])
        return [Considered(rank + 1, self.routes[rank], why, rank == took) for _, _, rank, why in near]

    def dismantle(self) -> None:
        """Let go of all routes, one after the other."""
        self._first.dismantle()
        while self.routes:
            self.routes.pop()

    def unrouted(self, catalog: Catalog) -> list[str]:
        """Return the keys whose messages no route takes, whoever sends them."""
        return self._keys(catalog, whole=False)

    def partly_routed(self, catalog: Catalog) -> list[str]:
        """Return the keys of which routes take some messages, but no route takes whatever is left."""
        never = set(self.unrouted(catalog))
        return [code for code in self._keys(catalog, whole=True) if code not in never]

    def _keys(self, catalog: Catalog, *, whole: bool) -> list[str]:
        left = {key.code: key for key in catalog}
        for route in self.routes:
            if not left:
                break
            if not whole or route.criteria.only_of_key:
                for code in [code for code, key in left.items() if route.criteria.takes(key)]:
                    del left[code]
        return list(left)


def _precedence(route: Route) -> int:
    return route.precedence


# --- loading --------------------------------------------------------------------------------------------------

Text = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")]


class _RouteRow(CriteriaRow):
    name: Text
    precedence: Annotated[int, Field(ge=0, le=PRECEDENCE_MAX)] = PRECEDENCE_DEFAULT
    deliver: Deliver = Deliver.LINES
    to: Annotated[tuple[str, ...], Field(max_length=PATTERNS_MAX)] = ()
    stations: Annotated[tuple[str, ...], Field(max_length=PATTERNS_MAX)] = ()


def read_routes(file: Path, catalog: Catalog | None, lines: Collection[str]) -> tuple[list[Route], list[Fault]]:
    """Read the routes of a file, in its order.

    Args:
        file: The TOML file.
        catalog: Whose keys the routes may name; None if it could not be loaded, and keys are not looked at.
        lines: The names of the lines there are.

    Returns:
        The routes, and what is wrong with them, but for the stations they name (see `msc.routing.plan`).

    Raises:
        RouteError: They cannot be read; with every fault of the file's form.
    """
    routes: list[Route] = []
    faults: list[Fault] = []
    # Rows name the same keys and lines again and again: what was found in order once is not looked at again.
    shared: Conditions = {}
    keys_known: set[tuple[str, ...]] = {()}
    lines_known: set[tuple[str, ...]] = set()
    names: dict[str, int] = {}
    for number, row in enumerate(read_rows(file, "route", _RouteRow, RouteError)):
        if number >= ROUTES_MAX:
            raise RouteError([Fault(file, "route", f"there are more than {ROUTES_MAX} of them")])
        name, keys, to = row.name, row.keys, row.to
        routes.append(Route(name, row.precedence, row.criteria(shared), row.deliver, to, row.stations))
        found = []
        if names.setdefault(name, number) != number:
            found.append(("name", f"route.{names[name]} is of this name too"))
        if catalog is not None and keys not in keys_known:
            unknown = unknown_keys(keys, catalog)
            found += [("keys", f"no key of the catalog matches {pattern!r}") for pattern in unknown]
            if not unknown:
                keys_known.add(keys)
        if to not in lines_known:
            problems = [("to", problem) for problem in _line_faults(to, lines)]
            found += problems
            if not problems:
                lines_known.add(to)
        if not to and row.deliver is Deliver.LINES:
            found.append(("to", "names no line"))
        if row.stations and len(set(row.stations)) != len(row.stations):
            found.append(("stations", "names one twice"))
        faults += [Fault(file, f"route.{number} ({name}).{member}", problem) for member, problem in found]
    return routes, faults


def _line_faults(names: tuple[str, ...], lines: Collection[str]) -> Iterator[str]:
    for name in names:
        if name not in lines:
            yield f"there is no line {name!r}"
    if len(set(names)) != len(names):
        yield "names a line twice"
