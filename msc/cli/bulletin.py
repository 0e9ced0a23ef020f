"""`msc bulletin` and `msc hitconf`: the daily bulletin board, and hit confirmations that are open."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from msc import clock
from msc.cli.common import Exit, Json, fail, moment, site_and_rest
from msc.cli.identity import AskingAs, Why
from msc.cli.switching import Sites, Words, look, numbers, order, say, show_rows

app = typer.Typer(help="The daily bulletin board: post, list, withdraw.", no_args_is_help=True)
hitconf_app = typer.Typer(help="Hit confirmations: which are open, and whose clock runs.", no_args_is_help=True)


@hitconf_app.callback()
def _hitconf() -> None:
    """Be a group, though there is one command."""


@app.command()
def post(
    arguments: Annotated[list[str], typer.Argument(metavar="[SITE] TEXT", help="The site's msc.toml, and the text.")],
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Until when it hangs.")] = None,
    reason: Why = None,
    operator: AskingAs = None,
    json: Json = False,
) -> None:
    """Post a bulletin; every terminal gets it with the day's."""
    site, (text,) = site_and_rest(arguments, "the text, in quotes", 1)
    at = moment(until, "--until")
    if at is not None and at <= clock.wall_us():
        fail("--until: that is over", Exit.USAGE)
    asked = {"text": text, "until": None if at is None else clock.rfc3339(at)}
    answer = order(site, operator, "bulletin_post", asked, reason)
    say(f"bulletin {answer['number']} posted", answer, json)


@app.command("list")
def list_bulletins(arguments: Sites = None, operator: AskingAs = None, json: Json = False) -> None:
    """List the bulletins that hang."""
    site, _ = site_and_rest(arguments or [], "nothing else", 0)
    _show(look(site, operator, "bulletin_list")["bulletins"], json, "the board is empty")


@app.command()
def withdraw(arguments: Words, reason: Why = None, operator: AskingAs = None, json: Json = False) -> None:
    """Take a bulletin down, by its number."""
    site, words = site_and_rest(arguments, "the bulletin's number", 1)
    answer = order(site, operator, "bulletin_withdraw", {"number": numbers(words)[0]}, reason)
    say(f"bulletin {words[0]} withdrawn", answer, json)


@hitconf_app.command("list")
def list_confirmations(arguments: Sites = None, operator: AskingAs = None, json: Json = False) -> None:
    """List the requests that nobody has answered: of whom, by whom, how urgent, how long still."""
    site, _ = site_and_rest(arguments or [], "nothing else", 0)
    _show(look(site, operator, "hitconf_list")["open"], json, "no hit confirmation is open")


def _show(rows: list[dict[str, Any]], json: bool, nothing: str) -> None:
    """Show rows with whatever members they have."""
    show_rows(rows, tuple(rows[0]) if rows else (), json, nothing)
