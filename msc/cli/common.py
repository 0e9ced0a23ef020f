"""What the commands share: the site argument, times, the journal, output, exit codes, running coroutines.

Every command waits for what is imported here, so what is heavy is imported where it is needed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Coroutine
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer
from rich.console import Console
from rich.text import Text

from msc import clock

Result = TypeVar("Result")

_PIPE_WIDTH = 160
"""Columns where nobody has a terminal to measure: wide enough for a line of the journal."""

out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else _PIPE_WIDTH)
err = Console(stderr=True, highlight=False, soft_wrap=True)


class Exit(IntEnum):
    """What the commands' exit codes mean."""

    OK = 0
    REFUSED = 1
    """The switch said no, or a check found faults."""
    USAGE = 2
    """Wrong arguments, or a configuration that cannot be used."""
    UNREACHABLE = 3
    """The switch cannot be reached, or went away."""
    NO_ANSWER = 4
    """The message was accepted, but not every destination answered."""
    INTERNAL = 70
    """A fault of MSC itself."""


Site = Annotated[
    Path,
    typer.Argument(envvar="MSC_CONFIG", metavar="SITE", help="The site's msc.toml.", show_default=False),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")]


def fail(message: str, code: Exit) -> NoReturn:
    """Say what is wrong, and exit."""
    err.print(f"msc: {message}", markup=False, style="red")
    raise typer.Exit(code)


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine on uvloop."""
    import uvloop

    return uvloop.run(work)


def site_and(arguments: list[str], wanted: str) -> tuple[Path, str]:
    """Take apart `[SITE] THING`: where the site is left out, it comes from MSC_CONFIG."""
    if len(arguments) == 2:
        return Path(arguments[0]), arguments[1]
    site = os.environ.get("MSC_CONFIG")
    if len(arguments) == 1 and site:
        return Path(site), arguments[0]
    fail(f"give the site's msc.toml and {wanted}, or set MSC_CONFIG and give {wanted}", Exit.USAGE)


def site_and_files(arguments: list[Path]) -> tuple[Path, list[Path]]:
    """Take apart `[SITE] FILE…`: where MSC_CONFIG is set, only what is called msc.toml is a site."""
    site = os.environ.get("MSC_CONFIG")
    if site and not (arguments and arguments[0].name == "msc.toml"):
        return Path(site), arguments
    if not arguments:
        fail("give the site's msc.toml, or set MSC_CONFIG", Exit.USAGE)
    return arguments[0], arguments[1:]


def moment(text: str | None, option: str) -> int | None:
    """Read the time an option was given; fail if it is none."""
    if text is None:
        return None
    try:
        return clock.parse_moment(text, clock.wall_us())
    except ValueError:
        fail(
            f"{option}: {text!r} is not a time such as 2026-01-31, 2026-01-31T08:15:00Z, yesterday or '2 days ago'",
            Exit.USAGE,
        )


def shown_time(at_us: int) -> str:
    """Write a wall time as tables show it: `2026-01-31 08:15:00.123`."""
    return clock.rfc3339(at_us)[:-4].replace("T", " ")


def cells(*values: str | None) -> list[Text]:
    """Make cells of a table's row: what a peer sent is neither markup nor an order to the terminal."""
    return [Text("".join(c if c.isprintable() else " " for c in value or "")) for value in values]


def site_and_rest(arguments: list[str], wanted: str, count: int, *, more: bool = False) -> tuple[Path, list[str]]:
    """Take apart `[SITE] THINGS...`: where the site is left out, it comes from MSC_CONFIG.

    Args:
        wanted: What the things are, for people.
        count: How many of them there must be.
        more: Whether there may be more.
    """
    site, rest = site_and_words(arguments)
    if len(rest) < count or (len(rest) > count and not more):
        fail(f"give {wanted}", Exit.USAGE)
    return site, rest


def site_and_words(arguments: list[str]) -> tuple[Path, list[str]]:
    """Take apart `[SITE] WORDS`, however many there are: the first is the site if it is a file, or looks like one."""
    if arguments and (arguments[0].endswith(".toml") or Path(arguments[0]).is_file()):
        return Path(arguments[0]), arguments[1:]
    site = os.environ.get("MSC_CONFIG")
    if not site:
        fail("give the site's msc.toml, or set MSC_CONFIG", Exit.USAGE)
    return Path(site), arguments
