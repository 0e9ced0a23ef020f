"""Write what the code knows into docs/reference.md: `python docs/make_reference.py`. A test holds it true."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from msc.cli.commands import COMMANDS
from msc.cli.lazy import load
from msc.cli.main import app
from msc.errors import CODES

REFERENCE = Path(__file__).with_name("reference.md")


def commands() -> Iterator[str]:
    """Yield a row of each command: its words, and what its help says first."""
    context = typer.main.get_command(app).make_context("msc", [], resilient_parsing=True)
    yield from ("| command | what it does |", "|---|---|")
    for name, place in COMMANDS.items():
        yield from _rows(f"msc {name}", load(name, place), context)


def _rows(words: str, command: Any, context: Any) -> Iterator[str]:
    if not hasattr(command, "commands"):
        text = " ".join((command.help or "").split("\n\n")[0].split()).replace("|", "\\|")
        yield f"| `{words}` | {text} |"
        return
    for name in command.list_commands(context):
        yield from _rows(f"{words} {name}", command.get_command(context, name), context)


def codes() -> Iterator[str]:
    """Yield a row of each code and its meaning."""
    yield from ("| code | means |", "|---|---|")
    yield from (f"| {code} | {cls.meaning} |" for code, cls in sorted(CODES.items()))


def filled(text: str) -> str:
    """Return the text of the page with every made part written anew."""
    for name, rows in {"commands": commands(), "codes": codes()}.items():
        begin, end = f"<!-- made: {name} -->\n", "<!-- end -->"
        before, _, rest = text.partition(begin)
        _, found, after = rest.partition(end)
        if not found:
            raise ValueError(f"{REFERENCE.name} has no part {name}")
        text = before + begin + "\n".join([*rows, end]) + after
    return text


if __name__ == "__main__":
    REFERENCE.write_text(filled(REFERENCE.read_text()))
