"""`msc session`: who is signed on at the running switch."""

from __future__ import annotations

import json as jsonlib
import os
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from msc.cli.common import Exit, Json, fail, out, run, site_and_rest
from msc.cli.identity import operator_key, unanswered, usual_certificate
from msc.cli.rows import Arguments, Operator, Reason, Sites
from msc.control.client import RefusedBySwitch, SwitchNotRunning, ask
from msc.control.operator_key import OperatorKey
from msc.settings import Settings, load_settings
from msc.site.administer import actor_named

app = typer.Typer(help="Look at and end sessions of the running switch.", no_args_is_help=True)

_COLUMNS = ("session", "user", "agency", "device", "mnemonic", "pool", "source", "began", "idle_s", "locked")


def _ask(site: Path, operator: str | None, method: str, path: str, content: dict[str, Any] | None = None) -> Any:
    settings = load_settings(site)
    try:
        return run(ask(settings, method, path, content, _signer(settings, operator)))
    except (SwitchNotRunning, RefusedBySwitch) as exc:
        unanswered(exc)


def _signer(settings: Settings, operator: str | None) -> OperatorKey | None:
    """Return the key of the operator who is named, if there is one.

    The account the switch runs under needs none: whom it names then stands in the journal as told.
    """
    given = os.environ.get("MSC_OPERATOR_CERTIFICATE"), os.environ.get("MSC_OPERATOR_KEY")
    if given[0]:
        return operator_key(settings, operator, Path(given[0]), Path(given[1]) if given[1] else None)
    usual = usual_certificate(settings, operator) if operator else None
    return operator_key(settings, operator) if usual is not None and usual.is_file() else None


@app.command("list")
def list_sessions(
    arguments: Sites = None,
    user: Annotated[str | None, typer.Option(help="Only of this user.")] = None,
    device: Annotated[str | None, typer.Option(help="Only at this device.")] = None,
    operator: Operator = None,
    json: Json = False,
) -> None:
    """List who is signed on, the longest first."""
    site, _ = site_and_rest(arguments or [], "nothing else", 0)
    found = [
        row
        for row in _ask(site, operator, "GET", "/sessions")
        if user in (None, row["user"]) and device in (None, row["device"])
    ]
    if json:
        for row in found:
            print(jsonlib.dumps(row))
        return
    shown = Table(*_COLUMNS, box=None, pad_edge=False)
    for row in found:
        shown.add_row(*(_text(row[name]) for name in _COLUMNS))
    out.print(shown)


@app.command()
def show(arguments: Arguments, operator: Operator = None, json: Json = False) -> None:
    """Show one session."""
    site, (session,) = site_and_rest(arguments, "the session's id", 1)
    found = next((row for row in _ask(site, operator, "GET", "/sessions") if row["session"] == session), None)
    if found is None:
        fail(f"there is no session {session}", Exit.REFUSED)
    if json:
        print(jsonlib.dumps(found))
        return
    for name in _COLUMNS:
        out.print(f"{name:<10} {_text(found[name])}", markup=False)


@app.command()
def end(arguments: Arguments, reason: Reason, operator: Operator = None) -> None:
    """End a session, at once; its station is told."""
    site, (session,) = site_and_rest(arguments, "the session's id", 1)
    content = {"operator": actor_named(operator).operator, "reason": reason}
    _ask(site, operator, "POST", f"/sessions/{session}/end", content)
    out.print(f"session {session} ended", markup=False)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)
