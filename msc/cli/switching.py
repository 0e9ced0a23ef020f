"""What the commands of the console share: giving an order to the running switch, and showing what came of it.

Each command sends `POST /switching/VERB` with what `msc.switch.orders.verb` takes, and a `reason`.
"""

from __future__ import annotations

import json as jsonlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from msc.cli.common import Exit, cells, fail, out, run
from msc.cli.identity import operator_key, reason_given, unanswered
from msc.settings import load_settings

Sites = Annotated[list[str] | None, typer.Argument(metavar="[SITE]", help="The site's msc.toml.")]
Words = Annotated[list[str], typer.Argument(metavar="[SITE] NAME", help="The site's msc.toml, and the name.")]
OptionalWords = Annotated[
    list[str] | None, typer.Argument(metavar="[SITE] [NAME]", help="The site's msc.toml; only this one.")
]
_MINUTE_S = 60
_HOUR_S = 3_600


def order(
    site: Path, operator: str | None, verb: str, asked: Mapping[str, Any] | None = None, reason: str | None = None
) -> Any:
    """Give an order; fail if it is refused or no switch answers.

    Args:
        asked: Its members; what is None is left out.
        reason: Why.
    """
    return _ask(site, operator, verb, {**(asked or {}), "reason": reason_given(reason)})


def look(site: Path, operator: str | None, verb: str, asked: Mapping[str, Any] | None = None) -> Any:
    """Ask how things stand, for which nobody needs a reason; fail if that is refused or no switch answers."""
    return _ask(site, operator, verb, asked or {})


def _ask(site: Path, operator: str | None, verb: str, asked: Mapping[str, Any]) -> Any:
    from msc.control.client import RefusedBySwitch, SwitchNotRunning, ask

    settings = load_settings(site)
    content = {name: value for name, value in asked.items() if value is not None}
    try:
        return run(ask(settings, "POST", f"/switching/{verb}", content, operator_key(settings, operator)))
    except (SwitchNotRunning, RefusedBySwitch) as exc:
        unanswered(exc)


def numbers(words: Iterable[str]) -> list[int]:
    """Read MSNs; fail if one is none."""
    found = list(words)
    for word in found:
        if not (word.isascii() and word.isdigit()):
            fail(f"{word!r} is not a number of a message", Exit.USAGE)
    return [int(word) for word in found]


def which(words: Sequence[str], everything: bool) -> dict[str, Any]:
    """Say which messages are meant: those named, or all; fail if neither or both."""
    if bool(words) == everything:
        fail("name the messages by their MSNs, or say --all", Exit.USAGE)
    return {"all": True} if everything else {"msns": numbers(words)}


# --- showing --------------------------------------------------------------------------------------------------


def show_rows(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], json: bool, nothing: str = "") -> None:
    """Print rows as a table, or one JSON object a line.

    Args:
        columns: Members to show; `_` reads as a blank in the heading.
        nothing: Said to people instead of an empty table.
    """
    found = list(rows)
    if json:
        for row in found:
            print(jsonlib.dumps(row))
        return
    if not found and nothing:
        out.print(nothing, markup=False)
        return
    from rich.table import Table

    table = Table(*(name.replace("_", " ") for name in columns), box=None, pad_edge=False)
    for row in found:
        table.add_row(*cells(*(shown(row.get(name)) for name in columns)))
    out.print(table)


def show_facts(facts: Mapping[str, Any], json: bool) -> None:
    """Print what is known of one thing."""
    if json:
        print(jsonlib.dumps(facts))
        return
    for name, value in facts.items():
        label, text = cells(name.replace("_", " "), shown(value))
        label.pad_right(max(1, 20 - len(label)))
        out.print(label + text)


def say(text: str, facts: Mapping[str, Any], json: bool) -> None:
    """Tell people a sentence, and programs the facts."""
    if json:
        print(jsonlib.dumps(facts))
    else:
        out.print(cells(text)[0])


def say_each(answer: Mapping[str, Any], done: str, json: bool) -> None:
    """Tell what became of each message of an order; exit code 1 if some were left where they are.

    Args:
        answer: Has `done` with MSNs, and `not_done` with rows of `msn` and `why`.
        done: What was done: `moved`.
    """
    if json:
        print(jsonlib.dumps(answer))
    else:
        out.print(f"{_messages(len(answer['done']))} {done}", markup=False)
        for row in answer["not_done"]:
            out.print(cells(f"  {row['msn']} not {done}: {row['why']}")[0], style="yellow")
    if answer["not_done"]:
        raise typer.Exit(Exit.REFUSED)


def _messages(count: int) -> str:
    return "1 message" if count == 1 else f"{count} messages"


def shown(value: Any) -> str:
    """Write a member of an answer for people."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case list():
            return ", ".join(map(shown, value))
        case dict():
            # What waits, by class: `3 urgent, 1 broadcast`. (A pattern of `{}` fits every dict, not the empty one.)
            return ", ".join(f"{shown(count)} {name}" for name, count in value.items() if count)
    return str(value)


def age(seconds: float | None) -> str:
    """Write how long something has waited: `40 s`, `12 min`, `5 h`."""
    if seconds is None:
        return ""
    if seconds < 2 * _MINUTE_S:
        return f"{seconds:.0f} s"
    return f"{seconds / _MINUTE_S:.0f} min" if seconds < 2 * _HOUR_S else f"{seconds / _HOUR_S:.0f} h"


def aged(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return rows with their `oldest_s` and `since_s` as people read them, as `oldest` and `since`."""
    return [
        {**row, **{name: age(row.get(f"{name}_s")) for name in ("oldest", "since", "waits") if f"{name}_s" in row}}
        for row in rows
    ]
