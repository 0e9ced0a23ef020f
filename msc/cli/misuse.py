"""`msc misuse`: the messages that look like misuse, and what came of looking at them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from msc import clock
from msc.cli.common import Exit, Json, Site, err, fail, out, run, site_and
from msc.cli.rows import Operator
from msc.cli.table import Columns, form_of, print_rows, second
from msc.report.directory import FlagRow, flag_row
from msc.settings import load_settings
from msc.site.administer import administer

app = typer.Typer(help="Review messages that look like misuse (PPP 1.10.1).", no_args_is_help=True)

_COLUMNS: Columns[FlagRow] = {
    "flag": lambda flag: flag.flag,
    "time (UTC)": lambda flag: second(flag.at),
    "MSN": lambda flag: flag.msn,
    "user": lambda flag: flag.user,
    "agency": lambda flag: flag.agency,
    "pattern": lambda flag: flag.pattern,
    "closed (UTC)": lambda flag: second(flag.closed),
    "by": lambda flag: flag.closed_by,
    "outcome": lambda flag: flag.outcome,
}


@app.command("list")
def list_(
    site: Site,
    all_: Annotated[bool, typer.Option("--all", help="Those that were closed as well.")] = False,
    user: Annotated[str | None, typer.Option(help="Of this user.")] = None,
    json: Json = False,
) -> None:
    """List the flags nobody has closed yet, oldest first."""
    form = form_of(json=json)
    print_rows(FlagRow, run(_flags(site, closed=all_, user=user)), _COLUMNS, form, "nothing waits for review")


@app.command()
def show(
    arguments: Annotated[list[str], typer.Argument(metavar="[SITE] FLAG", help="The site's msc.toml, a flag.")],
    json: Json = False,
) -> None:
    """Show a flag, and how to see its message. Exit code 1 if there is no such flag."""
    site, number = _site_and_flag(arguments)
    found = run(_flags(site, closed=True, flag=number))
    if not found:
        fail(f"there is no flag {number}", Exit.REFUSED)
    if json:
        print_rows(FlagRow, found, _COLUMNS, form_of(json=True), "")
        return
    for heading, value in _COLUMNS.items():
        out.print(f"{heading:<13} {value(found[0]) or ''}".rstrip(), markup=False)
    out.print(f"the message: msc journal show {site} {found[0].msn}", markup=False)


@app.command()
def close(
    arguments: Annotated[list[str], typer.Argument(metavar="[SITE] FLAG", help="The site's msc.toml, a flag.")],
    outcome: Annotated[str, typer.Option(help="What came of looking at it.")],
    operator: Operator = None,
) -> None:
    """Close a flag. Exit code 1 if there is no such flag, or it is closed already."""
    site, number = _site_and_flag(arguments)
    if not outcome.strip():
        fail("--outcome: say what came of looking at it", Exit.USAGE)
    if not run(_close(site, number, outcome.strip(), operator)):
        fail(f"there is no open flag {number}", Exit.REFUSED)
    err.print(f"flag {number} is closed", style="green")


def _site_and_flag(arguments: list[str]) -> tuple[Path, int]:
    site, number = site_and(arguments, "a flag")
    if not (number.isascii() and number.isdigit() and len(number) < 16):
        fail(f"{number!r} is not a flag", Exit.USAGE)
    return site, int(number)


async def _flags(site: Path, *, closed: bool, user: str | None = None, flag: int | None = None) -> list[FlagRow]:
    async with administer(load_settings(site)) as administration:
        return [flag_row(row) for row in await administration.store.misuse(closed=closed, user=user, flag=flag)]


async def _close(site: Path, flag: int, outcome: str, operator: str | None) -> bool:
    async with administer(load_settings(site), operator) as administration:
        return await administration.store.close_misuse(flag, outcome, administration.actor, clock.wall_us())
