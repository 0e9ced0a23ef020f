"""`msc acp explain`: every rule of access control, asked about one case."""

from __future__ import annotations

import json as jsonlib
from datetime import date
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from msc import clock
from msc.cli.common import Exit, Json, Site, cells, fail, out, run
from msc.protocol.catalog import load_catalog
from msc.settings import load_settings
from msc.site.administer import administer
from msc.site.explain import Answer, Question, explain
from msc.switch.site_plan import load_site_plan

app = typer.Typer(help="Ask access control what it would say, and why.")


@app.callback(no_args_is_help=True)
def _group() -> None:
    """Keep `explain` a command of its own, though it is the only one."""


@app.command("explain")
def explain_(
    site: Site,
    user: Annotated[str, typer.Option(help="Who: a user id.")],
    device: Annotated[str, typer.Option(help="Where: a device.")],
    key: Annotated[str | None, typer.Option(help="What would be sent: IW.QW. Without one: signing on.")] = None,
    mnemonic: Annotated[str | None, typer.Option(help="Which one of the device's pool.")] = None,
    purpose: Annotated[str | None, typer.Option(help="The message's PUR.")] = None,
    requester: Annotated[str | None, typer.Option(help="The requester in its envelope.")] = None,
    on: Annotated[str | None, typer.Option(metavar="DATE", help="On this day (UTC), not today.")] = None,
    json: Json = False,
) -> None:
    """Say what every rule has against it. Exit code 0: it is allowed. 1: it is refused."""
    question = Question(user, device, _day(on), key, mnemonic, purpose, requester)
    answer = run(_answer(site, question))
    if json:
        print(jsonlib.dumps(_as_json(question, answer)))
    else:
        _show(question, answer)
    if answer.code is not None:
        raise typer.Exit(Exit.REFUSED)


def _day(text: str | None) -> date:
    if text is None:
        return clock.today()
    try:
        return date.fromisoformat(text)
    except ValueError:
        fail(f"--on: {text!r} is not a day such as 2026-01-31", Exit.USAGE)


async def _answer(site: Path, question: Question) -> Answer:
    settings = load_settings(site)
    catalog = load_catalog(settings.path(settings.catalog.folder))
    async with administer(settings) as administration:
        directory = administration.directory
        return explain(question, directory, catalog, load_site_plan(settings, catalog, directory).routes, settings)


def _show(question: Question, answer: Answer) -> None:
    what = f"send {question.key}" if question.key is not None else "sign on"
    under = f" under {answer.mnemonic}" if answer.mnemonic is not None else ""
    asked = f"May {question.user} {what} at {question.device}{under} on {question.on}?"
    out.print(asked, markup=False, style="bold")
    table = Table("code", "rule", "for", "says", box=None, pad_edge=False)
    for rule, objection in answer.decision.answers:
        row = cells(rule.refusal.code, rule.name, " ".join(rule.requirements), objection or "yes")
        table.add_row(*row, style="red" if objection is not None else None)
    out.print(table)
    if answer.code is not None:
        out.print(f"refused with {answer.code}: {answer.reason}", markup=False, style="red")
        return
    out.print("allowed, by authority of", style="green")
    for authority in answer.decision.authorised_by:
        out.print(f"  {authority}", markup=False)


def _as_json(question: Question, answer: Answer) -> dict[str, object]:
    return {
        "user": question.user,
        "device": question.device,
        "mnemonic": answer.mnemonic,
        "key": question.key,
        "on": question.on.isoformat(),
        "rules": [
            {
                "code": rule.refusal.code,
                "rule": rule.name,
                "requirements": list(rule.requirements),
                "objection": objection,
            }
            for rule, objection in answer.decision.answers
        ],
        "allowed": answer.code is None,
        "code": answer.code,
        "reason": answer.reason,
        "authorised_by": answer.decision.authorised_by if answer.code is None else [],
    }
