"""A site's plan: its files of routes and groups, held against its catalog, lines and directory."""

from __future__ import annotations

from msc.directory.rows import Directory
from msc.protocol.catalog import Catalog
from msc.routing.plan import Plan, PlanFiles, load_plan
from msc.settings import Settings
from msc.switch.addressees import DirectoryStations
from msc.switch.intake import Intake
from msc.switch.redirect import Redirection, station_facts


def load_site_plan(
    settings: Settings, catalog: Catalog | None, directory: Directory | None, files: PlanFiles | None = None
) -> Plan:
    """Load a site's plan.

    Args:
        catalog, directory: None where they could not be loaded: then what they would say is not looked at.
        files: In the place of those the settings name.

    Raises:
        RouteError: With every fault of every file.
    """
    stations = DirectoryStations(directory) if directory is not None else None
    facts = station_facts(directory) if directory is not None else None
    return load_plan(files or PlanFiles.of(settings), catalog, settings.destinations, stations, facts)


class PlanInForce:
    """The plan that decides: routes and groups at the intake, forwarding at delivery. They change together."""

    def __init__(self, intake: Intake, redirection: Redirection) -> None:
        self._intake = intake
        self._redirection = redirection

    @property
    def plan(self) -> Plan:
        """The plan."""
        return self._intake.plan

    def use(self, plan: Plan) -> None:
        """Put another in its place, between two messages."""
        self._intake.use(plan)
        # What operators have set is not a part of the files.
        self._redirection.use(plan.forwarding.with_alternates(self._redirection.forwarding.operators))
