"""`msc audit search`."""

from __future__ import annotations

import csv as csvlib
import json as jsonlib
import sys
from collections.abc import AsyncIterator
from typing import Annotated, Any

import typer
from rich.table import Table

from msc.cli.common import Exit, Json, Site, cells, err, fail, out, run
from msc.cli.look import Csv, captions, shown
from msc.cli.question import AUDIT_FILTERS, Question, question
from msc.settings import Settings, load_settings

app = typer.Typer(help="Search the audit stream: who was let in, refused, locked, and who changed what.")

_LIMIT = 50


@app.callback(no_args_is_help=True)
def _group() -> None:
    """Keep `search` a command of its own, though it is the only one."""


@app.command()
@question(AUDIT_FILTERS)
def search(
    site: Site,
    question: Question,
    limit: Annotated[int | None, typer.Option(help="At most this many; all with --json or --csv.", min=1)] = None,
    oldest_first: Annotated[bool, typer.Option("--oldest-first", help="Begin with the oldest.")] = False,
    after: Annotated[str | None, typer.Option(help="Go on where an earlier search ended: its cursor.")] = None,
    json: Json = False,
    csv: Csv = False,
) -> None:
    """List audit events, newest first. Exit code 1 if there is none."""
    if json and csv:
        fail("--json or --csv, not both", Exit.USAGE)
    settings = load_settings(site)
    limit = limit if limit is not None or json or csv else _LIMIT
    content: dict[str, Any] = {"criteria": question.criteria, "oldest_first": oldest_first}
    content |= {name: value for name, value in (("limit", limit), ("after", after)) if value is not None}
    items = shown(question.ask(settings, "audit", content))
    found = run(_print_json(items) if json else _print_csv(items) if csv else _print_table(items, question))
    run(_remark(settings))
    if not found:
        if not (json or csv):
            err.print("no audit event matches", style="yellow")
        raise typer.Exit(Exit.REFUSED)
    if cursor := question.end.get("after"):
        err.print(f"the {'oldest' if oldest_first else 'newest'} {found}; go on with --after '{cursor}'", style="dim")


async def _remark(settings: Settings) -> None:
    from msc.site.administer import changes_waiting

    if waiting := await changes_waiting(settings):
        hint = f"{waiting} changes made by command are not among these: a starting switch takes them in"
        err.print(hint, style="yellow")


Items = AsyncIterator[dict[str, Any]]


async def _print_json(items: Items) -> int:
    found = 0
    async for record in items:
        found += 1
        print(jsonlib.dumps(record))
    return found


async def _print_csv(items: Items) -> int:
    found = 0
    writer = csvlib.writer(sys.stdout, lineterminator="\n")
    async for record in items:
        if not found:
            writer.writerow(record)
        found += 1
        writer.writerow(record.values())
    return found


async def _print_table(items: Items, question: Question) -> int:
    table = Table(box=None, pad_edge=False)
    table.add_column("time (UTC)", no_wrap=True)
    for name in ("event", "user", "subject", "device", "mnemonic", "source", "code", "detail, reason"):
        table.add_column(name, overflow="fold")
    async for record in items:
        reason = f'"{record["reason"]}"' if record["reason"] else None
        table.add_row(
            *cells(
                record["at"][:-4].replace("T", " "), record["event"], record["user"], record["subject"],
                record["device"], record["mnemonic"], record["source"], record["code"],
                " ".join(filter(None, (record["detail"], reason))),
            )
        )  # fmt: skip
    if table.row_count:
        out.print(table)
        out.print(captions(question)[1], style="dim", markup=False)
    return table.row_count
