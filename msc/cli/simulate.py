"""`msc simulate`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from msc import log
from msc.cli.common import Site
from msc.cli.common import run as run_async
from msc.settings import load_settings
from msc.simulators.run import run


class Simulator(StrEnum):
    """Which simulators there are."""

    STATE = "state"
    NCIC = "ncic"


def simulate(
    site: Site,
    only: Annotated[Simulator | None, typer.Option(help="Start this one alone.")] = None,
) -> None:
    """Run the simulated state and NCIC hosts at the other end of the site's lines, until SIGTERM.

    Each line of standard input is sent to the switch as an unsolicited message.
    """
    settings = load_settings(site)
    log.configure(settings.log.level, settings.log.format)
    run_async(run(settings, only.value if only else None))
