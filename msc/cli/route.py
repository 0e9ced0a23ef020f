"""`msc route`: which route takes a message, what another table would change, and taking one up.

What only looks is answered from the site's files, whether a switch runs or not; with `--running` the switch answers,
from the routes that are in force there.
"""

from __future__ import annotations

import json as jsonlib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from msc.cli.common import Exit, Json, cells, err, fail, moment, out, run, site_and, site_and_files, site_and_rest
from msc.cli.identity import AskingAs, Why, asked_of_switch, operator_key, reason_given, unanswered
from msc.cli.rows import Sites
from msc.settings import Settings, load_settings

app = typer.Typer(help="Which message goes where: explain it, compare, replay and reload.", no_args_is_help=True)

Running = Annotated[bool, typer.Option("--running", help="Ask the running switch, as an operator, not the files.")]
NewTable = Annotated[
    list[Path], typer.Argument(metavar="[SITE] NEW", help="The site's msc.toml, and the new file of routes.")
]
Question = Callable[[Any, Any, Any], dict[str, Any]]
"""Answers from a plan, the catalog and the directory."""


@app.command()
def explain(
    arguments: Annotated[
        list[str], typer.Argument(metavar="[SITE] TEXT", help="The site's msc.toml, and the message as it is sent.")
    ],
    mnemonic: Annotated[str, typer.Option(help="Whose message it would be.")],
    running: Running = False,
    operator: AskingAs = None,
    reason: Why = None,
    json: Json = False,
) -> None:
    """Say which route takes a message, why, and where it ends. Exit code 0: it goes. 1: it is refused."""
    site, text = site_and(arguments, "the message")
    settings = load_settings(site)
    if running:
        found = _ask(settings, operator, reason, "explain", {"text": text, "mnemonic": mnemonic})
    else:
        from msc.switch import plan_review

        found = _offline(
            settings, lambda plan, catalog, directory: plan_review.explain(plan, catalog, directory, text, mnemonic)
        )
    if json:
        print(jsonlib.dumps(found))
    else:
        _show_explanation(found)
    if found["code"] is not None:
        raise typer.Exit(Exit.REFUSED)


@app.command("list")
def list_routes(
    arguments: Sites = None,
    first: Annotated[int, typer.Option(min=1, help="Begin at this place; a thousand are shown.")] = 1,
    running: Running = False,
    operator: AskingAs = None,
    reason: Why = None,
    json: Json = False,
) -> None:
    """List the routes in the order in which they are tried."""
    site, _ = site_and_rest(arguments or [], "nothing else", 0)
    settings = load_settings(site)
    if running:
        found = _ask(settings, operator, reason, "list", {"first": first})
    else:
        from msc.switch import plan_review

        found = _offline(settings, lambda plan, _catalog, _directory: plan_review.listed(plan, first))
    if json:
        for row in found["routes"]:
            print(jsonlib.dumps(row))
        return
    table = Table("", "route", "precedence", "looks at", "goes to", box=None, pad_edge=False)
    for row in found["routes"]:
        looks = {name: value for name, value in row.items() if name not in _NO_CRITERIA}
        ends = [row["deliver"]] if row["deliver"] != "lines" else []
        goes = ", ".join([*ends, *row["to"], *(f"copy to {name}" for name in row["stations"])])
        table.add_row(*cells(str(row["place"]), row["name"], str(row["precedence"]), _criteria(looks), goes))
    out.print(table)
    out.print(f"{found['routes_in_all']} routes, {found['groups_in_all']} groups", style="dim")


@app.command()
def diff(
    arguments: NewTable,
    running: Running = False,
    operator: AskingAs = None,
    reason: Why = None,
    json: Json = False,
) -> None:
    """Say what a new file of routes would change: routes, and whose messages another one would take."""
    settings, new = _site_and_new(arguments)
    if running:
        found = _ask(settings, operator, reason, "diff", {"file": str(new)})
        _refuse_faulty(found, Exit.USAGE)
    else:
        found = _offline(settings, lambda *of: _differences(settings, new, *of))
    if json:
        print(jsonlib.dumps(found))
    else:
        _show_differences(found)


@app.command()
def replay(
    arguments: NewTable,
    since: Annotated[str, typer.Option(help="Of messages since then (UTC): 2h, yesterday, 2026-01-31T08:00:00Z.")],
    operator: AskingAs = None,
    reason: Why = None,
    json: Json = False,
) -> None:
    """Run journaled messages through a new file of routes, and list those that would go elsewhere. Sends nothing."""
    settings, new = _site_and_new(arguments)
    asked = {"file": str(new), "since_us": moment(since, "--since")}
    end = run(_replayed(settings, operator, reason, asked, json))
    _refuse_faulty(end, Exit.USAGE)
    if json:
        return
    told = f"{end['elsewhere']} of {end['messages']} messages would go elsewhere"
    out.print(told if end["complete"] else f"{told}; not all of the journal could be read", style="dim")


@app.command()
def reload(arguments: Sites = None, operator: AskingAs = None, reason: Why = None, json: Json = False) -> None:
    """Have the running switch take up the site's routes and groups, whole; or learn why it does not."""
    site, _ = site_and_rest(arguments or [], "nothing else", 0)
    found = _ask(load_settings(site), operator, reason, "reload", {})
    if json:
        print(jsonlib.dumps(found))
    elif found["reloaded"]:
        out.print(f"in force: {found['routes']} routes, {found['groups']} groups, {found['forwards']} forwards")
    _refuse_faulty(found, Exit.REFUSED, quiet=json)


# --- asking ---------------------------------------------------------------------------------------


def _site_and_new(arguments: list[Path]) -> tuple[Settings, Path]:
    site, files = site_and_files(arguments)
    if len(files) != 1:
        fail("give one new file of routes", Exit.USAGE)
    return load_settings(site), files[0].absolute()


def _ask(settings: Settings, operator: str | None, reason: str | None, verb: str, content: dict[str, Any]) -> Any:
    from msc.control.client import RefusedBySwitch, SwitchNotRunning, ask

    asked = {"reason": reason_given(reason), **content}
    try:
        return run(ask(settings, "POST", f"/routing/{verb}", asked, operator_key(settings, operator)))
    except (SwitchNotRunning, RefusedBySwitch) as exc:
        unanswered(exc)


async def _replayed(
    settings: Settings, operator: str | None, reason: str | None, content: dict[str, Any], json: bool
) -> dict[str, Any]:
    asked = {"reason": reason_given(reason), **content}
    end: dict[str, Any] = {}
    async for line in asked_of_switch(settings, operator_key(settings, operator), "/routing/replay", asked):
        if "item" in line:
            item = line["item"]
            told = f"{item['received']}  {item['msn']}  {item['key']} of {item['mnemonic']}: {_moved(item)}"
            print(jsonlib.dumps(item) if json else told)
        end = line.get("end", end)
    return end


def _offline(settings: Settings, question: Question) -> dict[str, Any]:
    """Answer a question from the site's files and directory.

    Raises:
        MSCError: They cannot be read, or the question is none.
    """
    from msc.protocol.catalog import load_catalog
    from msc.site.administer import administer
    from msc.switch.site_plan import load_site_plan

    async def answer() -> dict[str, Any]:
        catalog = load_catalog(settings.path(settings.catalog.folder))
        async with administer(settings) as administration:
            directory = administration.directory
            return question(load_site_plan(settings, catalog, directory), catalog, directory)

    return run(answer())


def _differences(settings: Settings, new: Path, plan: Any, catalog: Any, directory: Any) -> dict[str, Any]:
    from msc.routing.plan import PlanFiles
    from msc.switch.plan_review import differences
    from msc.switch.site_plan import load_site_plan

    files = PlanFiles.of(settings)._replace(routes=new)
    return differences(plan, load_site_plan(settings, catalog, directory, files), catalog, directory)


# --- showing --------------------------------------------------------------------------------------

_NO_CRITERIA = frozenset({"place", "name", "precedence", "deliver", "to", "stations"})


def _refuse_faulty(found: dict[str, Any], code: Exit, *, quiet: bool = False) -> None:
    """Tell the faults the switch found in files, if it did, and exit."""
    if "faults" not in found:
        return
    if not quiet:
        for fault in found["faults"]:
            where = f"{fault['file']}: {fault['where']}" if fault["where"] else fault["file"]
            err.print(f"msc: {where}: {fault['problem']}", markup=False, style="red")
        if (more := found["faults_in_all"] - len(found["faults"])) > 0:
            err.print(f"msc: and {more} more", style="red")
    raise typer.Exit(code)


def _show_explanation(found: dict[str, Any]) -> None:
    table = Table("", "route", "", box=None, pad_edge=False)
    for each in found["considered"]:
        why = "takes it" if each["took"] else "; ".join(each["objections"]) or "would take it, but stands behind"
        table.add_row(*cells(str(each["place"]), each["route"], why), style="green" if each["took"] else None)
    out.print(table)
    sender = f"{found['key']} of {found['mnemonic']} ({found['ori']}, {found['agency']})"
    if found["code"] is not None:
        out.print(f"{sender}: refused with {found['code']}: {found['reason']}", markup=False, style="red")
        return
    ends = ", ".join([*(f"line {name}" for name in found["lines"]), *found["devices"]])
    out.print(f"{sender}: goes to {ends}, by route {found['route']!r}", markup=False, style="green")


def _show_differences(found: dict[str, Any]) -> None:
    for each in found["changes"]:
        what = "".join(
            f"\n    {name}: {_value(old)} -> {_value(new)}" for name, (old, new) in each.get("what", {}).items()
        )
        out.print(f"{each['change']:8} {each['route']}{what}", markup=False)
    for each in found["decisions"]:
        names = ", ".join(each["examples"]) + (", ..." if each["mnemonics"] > len(each["examples"]) else "")
        out.print(
            f"{each['key']:8} {_name(each['old'])} -> {_name(each['new'])}: {each['mnemonics']} mnemonics ({names})",
            markup=False,
        )
    counts = ", ".join(f"{count} {name}" for name, count in found["counts"].items() if name != "decisions")
    rest = "" if found["complete"] else "; not all of it is shown"
    out.print(f"{counts}; another decision for {found['counts']['decisions']} of mnemonic and key{rest}", style="dim")


def _value(member: Any) -> str:
    return str(member) if member not in (None, []) else "nothing"


def _name(route: str | None) -> str:
    return repr(route) if route is not None else "no route"


def _moved(item: dict[str, Any]) -> str:
    old, new = (", ".join(ends) if ends else "nowhere" for ends in (item["old"], item["new"]))
    return f"{old} -> {new}"


def _criteria(looks: dict[str, Any]) -> str:
    flat = {**looks, **looks.get("fields", {})}
    flat.pop("fields", None)
    return "; ".join(f"{name} {' '.join(values)}" for name, values in flat.items()) or "nothing"
