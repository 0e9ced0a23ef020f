"""Entries as a table for a terminal."""

from __future__ import annotations

from collections.abc import Iterable

from rich.table import Table
from rich.text import Text

from msc.report.words import Entry, key_of, outcome_of, shown_time
from msc.transit.event import Life
from msc.transit.message import Direction

_TEXT_CHARS = 60
_BAD = frozenset(
    {Life.REFUSED, Life.REFUSED_BY_PEER, Life.OUTCOME_UNKNOWN, Life.EXPIRED, Life.NOT_SENT, Life.OPERATOR_QUEUE}
)


def plain(text: str | None) -> str:
    """Return a text without what a terminal would obey: such characters become spaces."""
    return "".join(char if char.isprintable() else " " for char in text or "")


def table_of(entries: Iterable[Entry], *, caption: Iterable[str] = ()) -> Table:
    """Make a table of entries, a line each, in the order given.

    Args:
        caption: Lines that stand below: what was looked for, how complete the answer is.
    """
    below = Text("\n".join(map(plain, caption)))
    table = Table(
        "MSN", "received (UTC)", "kind", "key", "user", "from", "outcome", box=None, pad_edge=False,
        caption=below or None, caption_justify="left",
    )  # fmt: skip
    table.columns[0].justify = "right"
    table.columns[1].no_wrap = True
    table.add_column("text", no_wrap=True, overflow="ellipsis")
    for entry in entries:
        outcome = outcome_of(entry)
        table.add_row(
            Text(str(entry["msn"]), style="bold"),
            *map(
                Text,
                (
                    shown_time(entry["received"])[:-3],
                    plain(entry["kind"]),
                    plain(key_of(entry)),
                    plain(entry.get("user")),
                    plain(_source(entry)),
                ),
            ),
            Text(plain(outcome), style=_style(entry, outcome)),
            Text(_beginning(entry["text"])),
        )
    return table


def _source(entry: Entry) -> str | None:
    line, device = entry.get("line"), entry.get("device")
    return line if entry["direction"] == Direction.INBOUND and line else device


def _style(entry: Entry, outcome: str) -> str:
    if outcome in _BAD or entry.get("code"):
        return "red"
    return "yellow" if outcome == "open" else ""


def _beginning(text: str) -> str:
    line = plain(text.split("\n", 1)[0])
    return line if len(line) <= _TEXT_CHARS else f"{line[: _TEXT_CHARS - 1]}…"
