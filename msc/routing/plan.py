"""What decides where messages go: routes, groups and forwarding, loaded together and swapped together."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from msc.errors import Fault, RouteError
from msc.protocol.catalog import Catalog
from msc.routing.forwarding import Forwarding, StationFacts, load_forwarding
from msc.routing.groups import Groups, Stations, read_groups, unattended
from msc.routing.table import Route, RouteTable, read_routes
from msc.settings import Settings


class PlanFiles(NamedTuple):
    """Where a plan stands.

    Attributes:
        groups, forwarding: None where a site has none.
    """

    routes: Path
    groups: Path | None = None
    forwarding: Path | None = None

    @classmethod
    def of(cls, settings: Settings) -> PlanFiles:
        """Return where a site's settings say it stands."""
        routes = settings.routes
        return cls(
            settings.path(routes.file),
            settings.path(routes.groups) if routes.groups is not None else None,
            settings.path(routes.forwarding) if routes.forwarding is not None else None,
        )


NOWHERE_ELSE: Final = Forwarding()


class Plan(NamedTuple):
    """A whole plan. It is never changed; another takes its place."""

    routes: RouteTable
    groups: Groups = Groups()
    forwarding: Forwarding = NOWHERE_ELSE

    def dismantle(self) -> None:
        """Let go of all rows, one after the other, so that others may run in between. Nobody may use it any more."""
        self.routes.dismantle()

    def counts(self) -> dict[str, int]:
        """Return how many rows of each kind it holds."""
        return {
            "routes": len(self.routes.routes),
            "groups": len(self.groups),
            "forwards": len(self.forwarding.forwards) + len(self.forwarding.alternates),
        }


def load_plan(
    files: PlanFiles,
    catalog: Catalog | None,
    lines: Collection[str],
    stations: Stations | None,
    facts: Mapping[str, StationFacts] | None = None,
) -> Plan:
    """Load a plan.

    Args:
        catalog: Whose keys the routes may name; None if it could not be loaded, and keys are not looked at.
        lines: The names of the lines there are.
        stations: Where members of groups, and stations of routes, are; None if that is not known, and they are not
            looked at.
        facts: What forwarding must know of the devices; None if that is not known.

    Raises:
        RouteError: With every fault of every file.
    """
    faults: list[Fault] = []
    groups: Groups | None = Groups()
    if files.groups is not None:
        groups = None
        try:
            groups, found = read_groups(files.groups, lines, stations)
            faults += found
        except RouteError as exc:
            faults += exc.faults
    routes: list[Route] = []
    try:
        routes, found = read_routes(files.routes, catalog, lines)
        faults += found
        # What names a group cannot be judged where the groups could not be read.
        if groups is not None:
            faults += _station_faults(files.routes, routes, groups, stations)
    except RouteError as exc:
        faults += exc.faults
    forwarding = NOWHERE_ELSE
    if files.forwarding is not None:
        try:
            forwarding = load_forwarding(files.forwarding, facts)
        except RouteError as exc:
            faults += exc.faults
    if faults:
        raise RouteError(faults)
    assert groups is not None
    return Plan(RouteTable(routes), groups, forwarding)


def _station_faults(file: Path, routes: list[Route], groups: Groups, stations: Stations | None) -> Iterator[Fault]:
    if stations is None:
        return
    for number, route in enumerate(routes):
        for name in route.stations:
            where = f"route.{number} ({route.name}).stations"
            if name in groups:
                continue
            station = stations.device(name)
            if station is None:
                yield Fault(file, where, f"there is no device or group {name!r}")
            elif problem := unattended(station):
                yield Fault(file, where, problem)
