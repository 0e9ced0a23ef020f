"""The route table: which message goes to which line, or to the station it names.

Routes stand in `routes.toml` in their order; the first that matches takes the message. A route matches by
message key (`keys`, exact or with a trailing `*`), function, database and system; what it leaves out,
it does not look at.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from msc.errors import Fault, NoRoute, RouteError
from msc.protocol.catalog import Catalog, Function, MessageKey


class Deliver(StrEnum):
    """What a route's messages are delivered to."""

    LINES = "lines"
    ADDRESSEES = "addressees"
    """The stations the message itself names, by mnemonic or ORI."""


@dataclass(frozen=True, slots=True)
class Route:
    """One row of the table."""

    name: str
    keys: tuple[str, ...]
    functions: frozenset[Function]
    databases: frozenset[str]
    systems: frozenset[str]
    deliver: Deliver
    lines: tuple[str, ...]

    def matches(self, key: MessageKey) -> bool:
        """Tell whether the route takes messages of a key."""
        return (
            (not self.keys or any(_matches(pattern, key.code) for pattern in self.keys))
            and (not self.functions or key.function in self.functions)
            and (not self.databases or key.database in self.databases)
            and (not self.systems or key.system in self.systems)
        )


def _matches(pattern: str, code: str) -> bool:
    return code.startswith(pattern[:-1]) if pattern.endswith("*") else code == pattern


class RouteTable:
    """The routes, decided once for every key of the catalog: a decision is one look-up."""

    def __init__(self, routes: Iterable[Route], catalog: Catalog) -> None:
        self.routes = tuple(routes)
        self._decisions = {
            key.code: next((route for route in self.routes if route.matches(key)), None) for key in catalog
        }

    def find(self, key: MessageKey) -> Route | None:
        """Return the route of a key's messages, or None if none matches."""
        return self._decisions.get(key.code)

    def decide(self, key: MessageKey) -> Route:
        """Return the route of a key's messages.

        Raises:
            NoRoute: None matches.
        """
        route = self.find(key)
        if route is None:
            raise NoRoute(f"no route takes {key.code}")
        return route

    def unrouted(self) -> list[str]:
        """Return the keys of the catalog that no route takes."""
        return [code for code, route in self._decisions.items() if route is None]


class _RouteRow(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    keys: list[str] = []
    functions: list[Function] = []
    databases: list[str] = []
    systems: list[str] = []
    deliver: Deliver = Deliver.LINES
    to: list[str] = []


class _RouteFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    route: list[_RouteRow] = []


def load_routes(file: Path, catalog: Catalog | None, lines: Collection[str]) -> RouteTable:
    """Load the route table.

    Args:
        file: The TOML file.
        catalog: Whose keys the routes may name; None if it could not be loaded, and keys are not looked at.
        lines: The names of the lines there are.

    Raises:
        RouteError: With every fault of the file.
    """
    try:
        content = _RouteFile.model_validate(tomllib.loads(file.read_text("utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
        raise RouteError([Fault(file, "", str(exc))]) from exc
    except ValidationError as exc:
        raise RouteError([Fault(file, ".".join(map(str, e["loc"])), e["msg"]) for e in exc.errors()]) from exc
    faults: list[Fault] = []
    for number, row in enumerate(content.route):
        where = f"route.{number} ({row.name})"
        for pattern in row.keys:
            if catalog is not None and not any(_matches(pattern, key.code) for key in catalog):
                faults.append(Fault(file, f"{where}.keys", f"no key of the catalog matches {pattern!r}"))
        for line in row.to:
            if line not in lines:
                faults.append(Fault(file, f"{where}.to", f"there is no line {line!r}"))
        if row.deliver is Deliver.LINES and not row.to:
            faults.append(Fault(file, f"{where}.to", "names no line"))
        if row.deliver is Deliver.ADDRESSEES and row.to:
            faults.append(Fault(file, f"{where}.to", "the message's own addressees get it: name no line"))
        if len(set(row.to)) != len(row.to):
            faults.append(Fault(file, f"{where}.to", "names a line twice"))
    if faults:
        raise RouteError(faults)
    return RouteTable(
        (
            Route(
                name=row.name,
                keys=tuple(row.keys),
                functions=frozenset(row.functions),
                databases=frozenset(row.databases),
                systems=frozenset(row.systems),
                deliver=row.deliver,
                lines=tuple(row.to),
            )
            for row in content.route
        ),
        catalog or Catalog(()),
    )
