"""Counts as bars in a terminal."""

from __future__ import annotations

from collections.abc import Iterable

from rich.table import Table
from rich.text import Text

from msc.report.counts import ORDERED, Counts
from msc.report.listing import plain

_EIGHTHS = " ▏▎▍▌▋▊▉"
_BAR_MIN = 10
_NAME_MAX = 32


def bars_of(counts: Counts, title: str, *, width: int = 120, caption: Iterable[str] = ()) -> Table:
    """Draw counts as bars, a line each, from zero.

    A gathering of others is drawn in another shade, and never beyond the edge: where it is larger than the chart, its
    bar ends in an arrow.

    Args:
        title: What is counted.
        width: Columns.
        caption: Lines that stand below: what was looked for, how complete the answer is.
    """
    numbers = [f"{count:,}" for _, count in counts.rows]
    shares = [f"{100 * count / counts.total:.1f} %" if counts.total else "" for _, count in counts.rows]
    names = [_short(plain(name)) for name, _ in counts.rows]
    beside = max(map(len, names), default=0) + max(map(len, numbers), default=0) + max(map(len, shares), default=0)
    room = max(width - beside - 3 * 2, _BAR_MIN)
    lines = [f"{counts.total:,} in all", *map(plain, caption)]
    utc = " (UTC)" if counts.by in ORDERED else ""
    table = Table(
        title=Text(f"{plain(title)}, by {counts.by}{utc}"),
        title_justify="left", caption=Text("\n".join(lines)), caption_justify="left", box=None, pad_edge=False,
        show_header=False, min_width=min(width, 60),
    )  # fmt: skip
    for justify in ("left", "right", "right", "left"):
        table.add_column(justify=justify, no_wrap=True)
    for number, (_, count) in enumerate(counts.rows):
        gathered = bool(counts.gathered) and number == len(counts.rows) - 1
        table.add_row(
            Text(names[number], style="italic" if gathered else ""),
            numbers[number],
            Text(shares[number], style="dim"),
            Text(_bar(count, counts.largest, room), style="dim" if gathered else "cyan"),
        )
    return table


def _bar(count: int, largest: int, room: int) -> str:
    if count > largest:
        return "█" * (room - 1) + "▶"
    eighths = round(count * room * 8 / largest) if largest else 0
    if count and not eighths:
        eighths = 1  # little is not nothing
    whole, part = divmod(eighths, 8)
    return "█" * whole + (_EIGHTHS[part] if part else "")


def _short(name: str) -> str:
    return name if len(name) <= _NAME_MAX else f"{name[: _NAME_MAX - 1]}…"
