"""`msc notice` and `msc echo`: a word to people at terminals, and a test message to a station."""

from __future__ import annotations

from typing import Annotated

import typer

from msc.cli.common import Exit, Json, fail, site_and_rest
from msc.cli.identity import AskingAs, Why
from msc.cli.switching import Words, order, say, show_rows

app = typer.Typer(help="Notices to the people at terminals.", no_args_is_help=True)


@app.callback()
def _notice() -> None:
    """Be a group, though there is one command."""


@app.command()
def send(
    arguments: Annotated[list[str], typer.Argument(metavar="[SITE] TEXT", help="The site's msc.toml, and the text.")],
    device: Annotated[str | None, typer.Option("--to", metavar="DEVICE", help="To this station.")] = None,
    agency: Annotated[str | None, typer.Option(help="To this agency's terminals.")] = None,
    everybody: Annotated[bool, typer.Option("--all", help="To every terminal somebody is signed on at.")] = False,
    reason: Why = None,
    operator: AskingAs = None,
    json: Json = False,
) -> None:
    """Show a text to whoever is signed on; who is not there does not get it. Exit code 1 if nobody was."""
    site, (text,) = site_and_rest(arguments, "the text, in quotes", 1)
    if sum([device is not None, agency is not None, everybody]) != 1:
        fail("say to whom: --to DEVICE, --agency NAME or --all", Exit.USAGE)
    asked = {"text": text, "device": device, "agency": agency, "all": True if everybody else None}
    answer = order(site, operator, "notice_send", asked, reason)
    show_rows(answer["to"], ("device", "people"), json, "nobody is there")
    if not answer["to"]:
        raise typer.Exit(Exit.REFUSED)


def echo(
    arguments: Words,
    text: Annotated[str | None, typer.Option(help="What it says; a line that says it is a test if left out.")] = None,
    wait_s: Annotated[float | None, typer.Option("--wait", help="Seconds to wait; 5 if left out.")] = None,
    reason: Why = None,
    operator: AskingAs = None,
    json: Json = False,
) -> None:
    """Send a station a test message, and say how long its acknowledgement took. Exit code 1 if none came."""
    site, (device,) = site_and_rest(arguments, "the device's name", 1)
    answer = order(site, operator, "echo", {"device": device, "text": text, "wait_s": wait_s}, reason)
    if answer["ms"] is None:
        say(f"{device}: {answer['why']}", answer, json)
        raise typer.Exit(Exit.REFUSED)
    say(f"{device} acknowledged {answer['msn']} in {answer['ms']:.1f} ms", answer, json)
