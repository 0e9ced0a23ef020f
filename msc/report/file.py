"""Entries as files for other programs: JSON lines and CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from typing import Any, Final

from msc.report.words import Entry
from msc.transit.message import MessageRecord

COLUMNS: Final = ("seq", "isn", *MessageRecord._fields)
"""The columns of CSV. What a message has no member for is empty."""

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
_KEPT: Final = "\n\r\t"
_CONTROLS: Final = {
    number: f"\\x{number:02x}" for number in (*range(32), *range(127, 160)) if chr(number) not in _KEPT
}


def json_line(entry: Entry) -> str:
    """Write an entry as one line of JSON, all of its members, in ASCII."""
    return json.dumps(dict(entry))


def csv_lines(entries: Iterable[Entry]) -> Iterator[str]:
    """Write entries as CSV (RFC 4180): a line of names, then one record each; every line with its CRLF.

    A text may run over several lines, in quotes. Spreadsheets take what begins with `=`, `+`, `-`, `@`, a tab or a
    carriage return for a formula: such a cell gets an apostrophe before it. Control characters other than line ends
    and tabs are written as backslash escapes, as the journal does with what is not UTF-8. `events` holds a line each:
    time, event, destination, and detail in brackets.
    """
    yield _record(COLUMNS)
    for entry in entries:
        yield _record(cell(_plain(name, entry)) for name in COLUMNS)


def cell(value: object) -> str:
    """Make a cell of CSV: nothing a spreadsheet would run, nothing a terminal would obey."""
    text = ("" if value is None else str(value)).translate(_CONTROLS)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _plain(name: str, entry: Entry) -> Any:
    if name != "events":
        return entry.get(name)
    return "\n".join(
        " ".join(
            filter(
                None,
                (
                    event["at"],
                    event["event"],
                    event["destination"],
                    f"({event['detail']})" if event["detail"] else "",
                ),
            )
        )
        for event in entry["events"]
    )


def _record(cells: Iterable[str]) -> str:
    line = io.StringIO(newline="")
    csv.writer(line, lineterminator="\r\n").writerow(cells)
    return line.getvalue()
