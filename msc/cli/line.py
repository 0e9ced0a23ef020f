"""`msc line`: the lines of the running switch, and what an operator does with them."""

from __future__ import annotations

from typing import Final

import typer

from msc.cli.common import Json, site_and_rest, site_and_words
from msc.cli.identity import AskingAs, Why
from msc.cli.switching import OptionalWords, Words, aged, look, order, say, show_rows

app = typer.Typer(
    help="Lines of the running switch: how they stand; hold, release, restart, test.", no_args_is_help=True
)

_COLUMNS: Final = (
    "line",
    "mode",
    "state",
    "since",
    "carried_by",
    "waiting",
    "oldest",
    "unacknowledged",
    "awaiting",
    "why",
)


@app.command()
def status(arguments: OptionalWords = None, operator: AskingAs = None, json: Json = False) -> None:
    """Show how the lines stand, since when, what waits for each, and why."""
    site, words = site_and_words(arguments or [])
    found = look(site, operator, "line_status", {"line": words[0] if words else None})["lines"]
    show_rows(found if json else aged(found), _COLUMNS, json, "there is no line")


@app.command()
def hold(arguments: Words, reason: Why = None, operator: AskingAs = None, json: Json = False) -> None:
    """Send nothing more on a line until it is released; answers are taken, and originators are told E402."""
    _order("line_hold", "held", arguments, reason, operator, json)


@app.command()
def release(arguments: Words, reason: Why = None, operator: AskingAs = None, json: Json = False) -> None:
    """Send on a line again, beginning with what waits."""
    _order("line_release", "released", arguments, reason, operator, json)


@app.command()
def restart(arguments: Words, reason: Why = None, operator: AskingAs = None, json: Json = False) -> None:
    """End a line's connection, and make it anew at once."""
    _order("line_restart", "is being connected anew", arguments, reason, operator, json)


@app.command()
def test(arguments: Words, reason: Why = None, operator: AskingAs = None, json: Json = False) -> None:
    """Ping a line's host, and say how long its answer took. Exit code 1 if it does not answer."""
    site, (line,) = site_and_rest(arguments, "the line's name", 1)
    answer = order(site, operator, "line_test", {"line": line}, reason)
    say(f"{line} answered in {answer['ms']:.1f} ms", answer, json)


def _order(verb: str, done: str, arguments: list[str], reason: str | None, operator: str | None, json: bool) -> None:
    site, (line,) = site_and_rest(arguments, "the line's name", 1)
    answer = order(site, operator, verb, {"line": line}, reason)
    say(f"{line} {done}; it is {answer['state']}", answer, json)
