"""`msc journal`: the group; its commands are imported as they are asked for."""

from __future__ import annotations

from typing import Final

import typer

from msc.cli.lazy import LazyGroup, Place

_COMMANDS: Final[dict[str, Place]] = {
    "search": Place("msc.cli.look", "search", "List messages, newest first. Exit code 1 if there is none."),
    "show": Place(
        "msc.cli.look",
        "show",
        "Show the whole life of the transaction a message belongs to: what was asked, where it went, what came back.",
    ),
    "follow": Place("msc.cli.look", "follow", "Show messages as they come, until interrupted."),
    "stats": Place("msc.cli.look", "stats", "Count messages, and draw charts."),
    "sample": Place(
        "msc.cli.look",
        "sample",
        "Draw a random sample of the messages that match, for review (PPP 1.10). Exit code 1 if there is none.",
    ),
    "fill": Place(
        "msc.cli.filling",
        "fill",
        "Fill an empty journal with a synthetic county's years of traffic: for tests, never for a county's own.",
    ),
}


class _Commands(LazyGroup):
    table = _COMMANDS


app = typer.Typer(
    cls=_Commands, help="Search, show, print and prove what passed through the switch.", no_args_is_help=True
)


@app.callback()
def _journal() -> None:
    """Be a group, though no command is registered here."""
