"""Rows as people and programs read them: a table, JSON with one object a line, CSV with a line of names."""

from __future__ import annotations

import csv as csvlib
import json as jsonlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from datetime import date
from enum import StrEnum
from typing import Annotated, Any, TypeVar

import typer
from rich.table import Table

from msc.cli.common import Exit, cells, err, fail, out

Shown = TypeVar("Shown")

Csv = Annotated[bool, typer.Option("--csv", help="Print CSV, with a line of names.")]
Columns = Mapping[str, Callable[[Shown], object]]
"""A table's columns: heading to what stands under it."""


class Form(StrEnum):
    """How rows are printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


def form_of(*, json: bool, csv: bool = False) -> Form:
    """Read the options; fail if both are given."""
    if json and csv:
        fail("--json or --csv, not both", Exit.USAGE)
    return Form.JSON if json else Form.CSV if csv else Form.TABLE


def print_rows(
    row_type: type[Shown], rows: Sequence[Shown], columns: Columns[Shown], form: Form, nothing: str
) -> None:
    """Print dataclass rows. JSON and CSV hold every member, the table its columns.

    Args:
        nothing: What to say of an empty table.
    """
    if form is Form.JSON:
        for row in rows:
            print(jsonlib.dumps({name: plain(value) for name, value in _members(row_type, row)}))
    elif form is Form.CSV:
        writer = csvlib.writer(sys.stdout, lineterminator="\n")
        writer.writerow(member.name for member in fields(row_type))  # type: ignore[arg-type]
        writer.writerows([text(value) for _, value in _members(row_type, row)] for row in rows)
    elif not rows:
        err.print(nothing, style="yellow")
    else:
        table = Table(box=None, pad_edge=False)
        for heading in columns:
            table.add_column(heading, overflow="fold")
        for row in rows:
            table.add_row(*cells(*(text(value(row)) for value in columns.values())))
        out.print(table)


def _members(row_type: type[Shown], row: Shown) -> list[tuple[str, Any]]:
    return [(member.name, getattr(row, member.name)) for member in fields(row_type)]  # type: ignore[arg-type]


def plain(value: Any) -> Any:
    """Return a value as JSON has it."""
    if isinstance(value, date):
        return value.isoformat()
    return list(value) if isinstance(value, tuple) else value


def second(moment: str | None) -> str:
    """Write a time of RFC 3339 as tables show it, to the second."""
    return moment[:19].replace("T", " ") if moment is not None else ""


def text(value: Any) -> str:
    """Return a value as tables and CSV have it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
