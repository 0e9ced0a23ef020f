"""`msc alternate`: who takes over for a device or a line."""

from __future__ import annotations

from typing import Annotated

import typer

from msc.cli.common import Json, site_and_rest
from msc.cli.identity import AskingAs, Why
from msc.cli.switching import Sites, Words, look, order, say, show_rows

app = typer.Typer(help="Alternates: which device, or which carrier of a line, takes over.", no_args_is_help=True)


@app.command("list")
def list_alternates(arguments: Sites = None, operator: AskingAs = None, json: Json = False) -> None:
    """List the alternates in force: since when, by whom, why; and what the forwarding file says besides."""
    site, _ = site_and_rest(arguments or [], "nothing else", 0)
    found = look(site, operator, "alternate_list")["alternates"]
    show_rows(found, ("for", "to", "always", "in_use", "at", "by", "reason"), json, "there is no alternate")


@app.command("set")
def set_alternate(
    arguments: Annotated[
        list[str],
        typer.Argument(metavar="[SITE] FOR TO", help="device:X and device:Y, or line:X and its carrier line:Y."),
    ],
    always: Annotated[bool, typer.Option("--always", help="Also while the device is there.")] = False,
    reason: Why = None,
    operator: AskingAs = None,
    json: Json = False,
) -> None:
    """Let another device take over while one is down, or force a line's carrier."""
    site, (replaced, by) = site_and_rest(arguments, "for whom, and who takes over", 2)
    asked = {"for": replaced, "to": by, "always": True if always else None}
    answer = order(site, operator, "alternate_set", asked, reason)
    say(f"{by} takes over for {replaced}", answer, json)


@app.command("clear")
def clear_alternate(arguments: Words, reason: Why = None, operator: AskingAs = None, json: Json = False) -> None:
    """Let nobody take over for a device any more, or let a line go back to its primary carrier."""
    site, (replaced,) = site_and_rest(arguments, "for whom: device:X or line:X", 1)
    answer = order(site, operator, "alternate_clear", {"for": replaced}, reason)
    again = answer["again"]
    told = f"{again} takes over for {replaced} again, as the file says" if again else None
    say(told or f"nobody takes over for {replaced} any more", answer, json)
