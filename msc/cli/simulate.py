"""`msc simulate`."""

from __future__ import annotations

from typing import Annotated

import typer

from msc import log
from msc.cli.common import Site
from msc.cli.common import run as run_async
from msc.lab.simulators.run import run
from msc.settings import load_settings


def simulate(
    site: Site,
    only: Annotated[
        str | None, typer.Option(metavar="NAME", help="Start this one alone: state, ncic, or that of a line.")
    ] = None,
) -> None:
    """Run the simulated state and NCIC hosts at the other end of the site's lines, until SIGTERM.

    Each line of standard input is sent to the switch as an unsolicited message.
    """
    settings = load_settings(site)
    log.configure(settings.log.level, settings.log.format)
    run_async(run(settings, only))
