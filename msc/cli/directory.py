"""`msc directory apply` and `msc directory export`."""

from __future__ import annotations

import json as jsonlib
import os
import sys
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from msc.cli.common import Exit, Json, cells, err, fail, out, run, site_and_files
from msc.cli.rows import Operator
from msc.directory.document import Document, to_csv, to_toml
from msc.directory.store import Change
from msc.errors import DirectoryError, Fault
from msc.settings import Settings, load_settings
from msc.site.administer import Outcome, administer, note
from msc.site.declare import Plan, kind_of, plan, read_files

app = typer.Typer(help="The directory as files: bring it to what they say, or write it out.", no_args_is_help=True)

_SHOWN = 12
"""Rows of a table that are shown of each kind, unless all are asked for."""
_SIGNS = {"added": ("+", "green"), "changed": ("~", "yellow"), "removed": ("-", "red")}
_CHARS_SHOWN = 60


@app.command()
def apply(
    arguments: Annotated[
        list[Path],
        typer.Argument(metavar="[SITE] FILE...", help="The site's msc.toml; TOML files, or CSV of tables."),
    ],
    prune: Annotated[bool, typer.Option("--prune", help="Remove rows of these tables that no file names.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would change.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    full: Annotated[bool, typer.Option("--full", help="Show every row that changes.")] = False,
    operator: Operator = None,
    reason: Annotated[str | None, typer.Option(envvar="MSC_REASON", help="Why; else the files are named.")] = None,
    json: Json = False,
) -> None:
    """Bring the directory to what files say: all of it, or nothing. Shows what changes, and asks."""
    site, files = site_and_files(arguments)
    if not files:
        fail("give the files to apply", Exit.USAGE)
    settings = load_settings(site)
    document = read_files(files)
    why = reason or f"directory apply {' '.join(file.name for file in files)}"
    outcome = None
    try:
        if yes and not dry_run:
            planned, outcome = run(_apply(settings, document, prune, operator, why, None if json else full))
        else:
            planned = run(_plan(settings, document, prune))
            if not json:
                _show(planned, full)
            if planned.changes and not dry_run and _agreed(json):
                _, outcome = run(_apply(settings, document, prune, operator, why, revision=planned.revision))
    except DirectoryError as exc:
        if not json:
            raise
        print(jsonlib.dumps({"faults": [_fault(fault) for fault in exc.faults]}))
        raise typer.Exit(Exit.USAGE) from exc
    if json:
        counts = {kind: planned.count(kind) for kind in _SIGNS}
        revision, in_force = (outcome.revision, outcome.in_force) if outcome else (planned.revision, None)
        print(jsonlib.dumps(counts | {"revision": revision, "in_force": in_force}))
    elif outcome is not None:
        out.print(f"applied as revision {outcome.revision}; {_in_force(outcome.in_force)}", markup=False)
    if planned.changes and not dry_run and outcome is None:
        raise typer.Exit(Exit.REFUSED)


async def _plan(settings: Settings, document: Document, prune: bool) -> Plan:
    async with administer(settings) as administration:
        return plan(administration, document, prune=prune)


async def _apply(
    settings: Settings,
    document: Document,
    prune: bool,
    operator: str | None,
    reason: str,
    show_full: bool | None = None,
    *,
    revision: int | None = None,
) -> tuple[Plan, Outcome | None]:
    """Work out what changes, show it unless it was shown, and make it so.

    Args:
        show_full: Whether every row is shown; None shows nothing.
        revision: The state of which the plan was shown, where it was. The directory is read anew, so that what the
            switch learnt while somebody looked at it stays.
    """
    async with administer(settings, operator) as administration:
        if revision is not None:
            administration.expect(revision)
        planned = plan(administration, document, prune=prune)
        if show_full is not None:
            _show(planned, show_full)
        return planned, await administration.change(planned.changes, reason) if planned.changes else None


def _agreed(json: bool) -> bool:
    if json or not sys.stdin.isatty():
        err.print("msc: nothing was changed; --yes applies it", markup=False, style="yellow")
        return False
    return typer.confirm("apply this?", err=True)


def _in_force(in_force: bool | None) -> str:
    if in_force is None:
        return "no switch is running"
    return "in force in the running switch" if in_force else "the running switch has not taken it up yet: see its log"


def _fault(fault: Fault) -> dict[str, Any]:
    return {"file": str(fault.file), "line": fault.line, "where": fault.where, "problem": fault.problem}


# --- what changes ---------------------------------------------------------------------------------


def _show(planned: Plan, full: bool) -> None:
    for table, group in groupby(planned.changes, lambda change: _table(change)):
        changes = list(group)
        out.print(f"{table}  {_counted(changes)}", markup=False, style="bold")
        for kind, (sign, style) in _SIGNS.items():
            found = [change for change in changes if kind_of(change) == kind]
            shown = found if full or len(found) <= _SHOWN + 1 else found[:_SHOWN]
            for change in shown:
                out.print(Text.assemble(f"  {sign} ", *cells(change.key), *_details(change), style=style))
            if len(shown) < len(found):
                out.print(f"  {sign} … and {len(found) - len(shown)} more; --full shows all", style=style)
    if not planned.changes:
        out.print("nothing to change")
    for table, count in planned.unnamed.items():
        rows = f"1 {table} stands" if count == 1 else f"{count} {_plural(table)} stand"
        it = "it" if count == 1 else "them"
        out.print(f"{rows} in no file; --prune removes {it}", style="dim")


def _table(change: Change) -> str:
    return "user" if change.table == "account" else change.table


def _plural(table: str) -> str:
    return f"{table[:-1]}ies" if table.endswith("y") else f"{table}s"


def _counted(changes: Iterable[Change]) -> str:
    kinds = [kind_of(change) for change in changes]
    return ", ".join(f"{kinds.count(kind)} {kind}" for kind in _SIGNS if kind in kinds)


def _details(change: Change) -> Iterable[Text]:
    """Write what a change does to each member: `certified: 2026-01-31 → 2026-11-22`."""
    if kind_of(change) == "removed":
        return
    for name, value in (change.detail or {}).items():
        if kind_of(change) == "changed" and isinstance(value, list):
            old, new = value
            yield from cells(f"  {name}: {_shown(old)} → {_shown(new)}")
        else:
            yield from cells(f"  {name}: {_shown(value)}")


def _shown(value: Any) -> str:
    if value is None or value in ("", []):
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    text = " ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= _CHARS_SHOWN else f"{text[: _CHARS_SHOWN - 1]}…"


# --- export ---------------------------------------------------------------------------------------


@app.command()
def export(
    arguments: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[SITE] [FILE|FOLDER]", help="The site's msc.toml; where to, else the screen."),
    ] = None,
    csv: Annotated[bool, typer.Option("--csv", help="CSV, one file a table, into a folder.")] = False,
    with_credentials: Annotated[
        bool, typer.Option("--with-credentials", help="With password hashes and secrets of second factors.")
    ] = False,
    operator: Operator = None,
    reason: Annotated[str | None, typer.Option(envvar="MSC_REASON", help="Why; it stands in the journal.")] = None,
) -> None:
    """Write the whole directory as TOML, or as CSV. To apply it changes nothing."""
    site, targets = site_and_files(arguments or [])
    if len(targets) > 1 or (csv and not targets):
        fail("give a folder" if csv else "give one file, or none for the screen", Exit.USAGE)
    if with_credentials and not targets and sys.stdout.isatty():
        fail("credentials are not shown on a screen: give a file", Exit.USAGE)
    settings = load_settings(site)
    if with_credentials:
        run(note(settings, operator, [Change("directory", "credentials", "exported")], reason or "directory export"))
    texts = run(_texts(settings, csv, with_credentials))
    try:
        if csv:
            targets[0].mkdir(parents=True, exist_ok=True)
            for table, text in texts.items():
                # A spreadsheet takes UTF-8 for something else unless it begins so.
                _write(targets[0] / f"{table}.csv", text.encode("utf-8-sig"), with_credentials)
        elif targets:
            _write(targets[0], texts[""].encode(), with_credentials)
        else:
            sys.stdout.write(texts[""])
            sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as exc:
        fail(f"{targets[0]}: cannot be written: {exc.strerror}", Exit.USAGE)


async def _texts(settings: Settings, csv: bool, credentials: bool) -> dict[str, str]:
    async with administer(settings) as administration:
        directory = administration.directory
    return to_csv(directory, credentials=credentials) if csv else {"": to_toml(directory, credentials=credentials)}


def _write(file: Path, content: bytes, secret: bool) -> None:
    """Write a file whole or not at all; one with secrets is never readable for others, not even at first."""
    new = file.with_name(f".{file.name}.new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if secret else 0o666)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
        new.replace(file)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
