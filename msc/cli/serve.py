"""`msc serve`."""

from __future__ import annotations

import sys

import typer

from msc import log
from msc.cli.common import Exit, Site, run
from msc.daemon import Daemon
from msc.settings import load_settings


def serve(site: Site) -> None:
    """Run the switch until SIGTERM; then drain and stop."""
    settings = load_settings(site)
    log.configure(settings.log.level, settings.log.format)
    # The journal's thread waits for the interpreter's lock at most this long while the event loop is busy;
    # the default of 5 ms would be longer than a commit.
    sys.setswitchinterval(0.0005)
    daemon = Daemon(settings)
    run(daemon.run())
    if daemon.failed:
        raise typer.Exit(Exit.INTERNAL)  # so that a supervisor starts it again
