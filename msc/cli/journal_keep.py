"""`msc journal retention` and `msc journal hold`: asked of the running switch, as an operator.

Each command sends `POST /keeping/VERB` with what `msc.journal.keeping` takes, and a `reason`.
"""

from __future__ import annotations

import json as jsonlib
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from msc.cli.common import Exit, Json, Site, cells, fail, moment, out, run, site_and_rest
from msc.cli.identity import operator_key, unanswered
from msc.cli.rows import Arguments, Operator, Reason, Sites
from msc.control.client import RefusedBySwitch, SwitchNotRunning, ask
from msc.settings import load_settings

hold_app = typer.Typer(help="Legal holds: months that may not be deleted.", no_args_is_help=True)

_WORDS = {
    "open": "open",
    "kept": "goes on",
    "held": "held by",
    "due": "goes now",
    "by hand": "goes by hand",
    "in doubt": "in doubt",
    "deleted": "deleted",
}


def retention(
    site: Site,
    reason: Reason,
    delete: Annotated[bool, typer.Option("--delete", help="Delete what is due, or the months named.")] = False,
    month: Annotated[
        list[str] | None, typer.Option(help="With --delete: this month, 2023-11. Again for more.")
    ] = None,
    operator: Operator = None,
    json: Json = False,
) -> None:
    """Show what is kept how long, what would go and when; delete what is due."""
    if month and not delete:
        fail("--month goes with --delete", Exit.USAGE)
    if delete:
        _delete(site, operator, reason, [_month(each) for each in month or ()], json)
        return
    found = _ask(site, operator, "retention", {"reason": reason})
    if json:
        for each in found["months"]:
            print(jsonlib.dumps(each))
        return
    table = Table("month", "records", "size", "", "", box=None, pad_edge=False)
    for each in found["months"]:
        table.add_row(*cells(*_row(each)))
    out.print(table)
    how = "deleted by itself, a month a day" if found["automatic"] else "deleted by nobody but an administrator"
    out.print(f"kept {found['years']} years, then {how}; {_size(found['bytes'])} in all", style="dim")


def _delete(site: Path, operator: str | None, reason: str, months: list[int], json: bool) -> None:
    deleted = _ask(site, operator, "delete", {"months": months, "reason": reason})["deleted"]
    if json:
        for each in deleted:
            print(jsonlib.dumps(each))
        return
    if not deleted:
        out.print("nothing is due")
    for each in deleted:
        freed = _size(each["bytes"])
        out.print(f"{_shown(each['month'])} deleted, {freed} given back; checkpoint {each['checkpoint']} says so")


@hold_app.command("add")
def add_hold(
    arguments: Arguments,
    reason: Reason,
    first: Annotated[
        str | None, typer.Option("--from", metavar="YYYY-MM", help="Hold months from this one ...")
    ] = None,
    last: Annotated[
        str | None, typer.Option("--to", metavar="YYYY-MM", help="... to this one; else it alone.")
    ] = None,
    user: Annotated[str | None, typer.Option(help="Hold months with messages of this user.")] = None,
    agency: Annotated[str | None, typer.Option(help="... of this agency.")] = None,
    ori: Annotated[str | None, typer.Option(help="... of this ORI.")] = None,
    device: Annotated[str | None, typer.Option(help="... from or to this station.")] = None,
    key: Annotated[str | None, typer.Option(help="... of this message key.")] = None,
    transaction: Annotated[int | None, typer.Option(help="... of this transaction.")] = None,
    text: Annotated[list[str] | None, typer.Option(help="... with this word; may be given again.")] = None,
    since: Annotated[str | None, typer.Option(help="... received from this time on.")] = None,
    until: Annotated[str | None, typer.Option(help="... received before this time.")] = None,
    operator: Operator = None,
    json: Json = False,
) -> None:
    """Place a hold, by months or by what matches; the name is the case."""
    site, (name,) = site_and_rest(arguments, "the name of the case", 1)
    criteria = {
        "user": user,
        "agency": agency,
        "ori": ori,
        "device": device,
        "key": key,
        "transaction": transaction,
        "text": text or None,
        "since_us": moment(since, "--since"),
        "until_us": moment(until, "--until"),
    }
    given = {name: value for name, value in criteria.items() if value is not None}
    asked: dict[str, Any] = {"name": name, "reason": reason}
    if first is not None:
        asked["months"] = [_month(first), _month(last or first)]
    elif last is not None:
        fail("--to goes with --from", Exit.USAGE)
    if given:
        asked["criteria"] = given
    _show(_ask(site, operator, "hold_add", asked)["holds"], json)


@hold_app.command("list")
def list_holds(
    reason: Reason,
    arguments: Sites = None,
    released: Annotated[bool, typer.Option("--released", help="Those that were released as well.")] = False,
    operator: Operator = None,
    json: Json = False,
) -> None:
    """List the holds."""
    site, _ = site_and_rest(arguments or [], "nothing else", 0)
    holds = _ask(site, operator, "hold_list", {"reason": reason})["holds"]
    _show([hold for hold in holds if released or hold["released_at"] is None], json)


@hold_app.command("release")
def release_hold(arguments: Arguments, reason: Reason, operator: Operator = None, json: Json = False) -> None:
    """Release a hold, by its number; it stays on the list."""
    site, (number,) = site_and_rest(arguments, "the hold's number", 1)
    if not (number.isascii() and number.isdigit()):
        fail(f"{number!r} is not a number of a hold", Exit.USAGE)
    _show(_ask(site, operator, "hold_release", {"number": int(number), "reason": reason})["holds"], json)


def _ask(site: Path, operator: str | None, verb: str, content: dict[str, Any]) -> Any:
    settings = load_settings(site)
    try:
        return run(ask(settings, "POST", f"/keeping/{verb}", content, operator_key(settings, operator)))
    except (SwitchNotRunning, RefusedBySwitch) as exc:
        unanswered(exc)


def _show(holds: list[dict[str, Any]], json: bool) -> None:
    if json:
        for hold in holds:
            print(jsonlib.dumps(hold))
        return
    table = Table("no.", "case", "covers", "placed", "by", "reason", "released", box=None, pad_edge=False)
    for hold in holds:
        covers = _shown(hold["month"]) if hold["month"] else jsonlib.dumps(hold["criteria"])
        released = f"{hold['released_at'][:10]} {hold['released_by']}" if hold["released_at"] else ""
        table.add_row(
            *cells(
                str(hold["number"]), hold["name"], covers, hold["placed_at"][:10], hold["placed_by"], hold["reason"],
                released,
            )
        )  # fmt: skip
    out.print(table)


def _row(month: dict[str, Any]) -> tuple[str, ...]:
    verdict = month["verdict"]
    more = {
        "kept": month["goes_on"] or "",
        "held": ", ".join(f"hold {number}" for number in month["holds"]),
        "deleted": f"checkpoint {month['checkpoint']}",
    }.get(verdict, month["why"])
    if verdict == "kept" and month["holds"]:
        more += f", but hold {', '.join(map(str, month['holds']))}"
    records = f"{month['records']:,}".replace(",", " ")
    return _shown(month["month"]), records, _size(month["bytes"]), _WORDS[verdict], more


def _month(text: str) -> int:
    year, dash, month = text.partition("-")
    if not (dash and len(year) == 4 and len(month) == 2 and (year + month).isdigit() and (year + month).isascii()):
        fail(f"{text!r} is not a month such as 2023-11", Exit.USAGE)
    return int(year + month)


def _shown(month: int) -> str:
    return f"{month // 100:04}-{month % 100:02}"


def _size(count: int) -> str:
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
