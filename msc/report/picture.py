"""Counts as a picture, PNG or SVG, without a display.

matplotlib takes half a second to import: import this module only when a picture is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from msc.errors import JournalError
from msc.report.counts import ORDERED, Counts
from msc.report.listing import plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SUFFIXES: Final = (".png", ".svg")
_BLUE: Final = "#2b6cb0"
_PALE: Final = "#a9b8c9"
_INK: Final = "#1a1d21"
_GREY: Final = "#667085"
_EPOCH: Final = date(1970, 1, 1).toordinal()
"""What matplotlib counts days from."""
_LINE_FROM: Final = 100
"""From so many days on a filled line is drawn: bars would be thinner than a dot."""


def write_picture(
    file: Path, counts: Counts, title: str, *, caption: Iterable[str] = (), unreadable: Iterable[int] = ()
) -> None:
    """Draw counts into a file, as `draw` does.

    Raises:
        JournalError: It is called neither .png nor .svg.
        OSError: It cannot be written.
    """
    if file.suffix.lower() not in SUFFIXES:
        raise JournalError(f"{file}: a chart is written as {' or '.join(SUFFIXES)}")
    with file.open("wb") as stream:
        draw(stream, file.suffix.lower(), counts, title, caption=caption, unreadable=unreadable)


def draw(
    stream: BinaryIO,
    form: str,
    counts: Counts,
    title: str,
    *,
    caption: Iterable[str] = (),
    unreadable: Iterable[int] = (),
) -> None:
    """Draw counts: bars from zero, or a filled line over many days. The same counts give the same bytes.

    Args:
        form: One of `SUFFIXES`.
        title: What is counted.
        caption: Lines that stand below.
        unreadable: Months that could not be read (202503): hatched in a calendar, where nothing is not none.
    """
    lines = [f"{counts.total:,} in all; times are UTC", *map(plain, caption)]
    settings: Any = {
        "svg.hashsalt": "msc",
        "svg.fonttype": "none",  # text stays text: it can be searched, and read aloud
        "font.family": "DejaVu Sans",
        "text.usetex": False,
        "text.parse_math": False,  # a dollar in a name is a dollar
    }
    with matplotlib.rc_context(settings):
        across = counts.by not in ORDERED
        above, below = 0.75, 0.55 + 0.22 * len(lines)
        height = (max(0.30 * len(counts.rows), 1.0) if across else 3.8) + above + below
        figure = Figure(figsize=(11, height), facecolor="white")
        left, wide = (0.17, 0.75) if across else (0.075, 0.9)
        axes = figure.add_axes((left, below / height, wide, 1 - (above + below) / height))
        name = f"{plain(title)}, by {counts.by}"
        figure.text(0.02, 1 - 0.3 / height, name, fontsize=14, fontweight="bold", color=_INK, va="center")
        (_across if across else _over_time)(axes, counts)
        if counts.by in ("day", "week", "month"):
            _hatch(axes, unreadable)
        _dress(axes, across=across)
        for number, line in enumerate(reversed(lines)):
            figure.text(0.02, (0.14 + 0.2 * number) / height, line, fontsize=8, color=_GREY, va="center")
        canvas: Any = FigureCanvasSVG(figure) if form == ".svg" else FigureCanvasAgg(figure)
        if form == ".svg":
            canvas.print_svg(stream, metadata={"Date": None, "Creator": "msc", "Title": name})
        else:
            figure.set_dpi(150)
            canvas.print_png(stream, metadata={"Software": "msc", "Title": name})


def _across(axes: Axes, counts: Counts) -> None:
    names = [plain(name) for name, _ in counts.rows]
    values = [count for _, count in counts.rows]
    own = len(values) - bool(counts.gathered)
    places = list(range(len(values)))
    axes.barh(places, values, color=[_BLUE if place < own else _PALE for place in places], height=0.72)
    axes.set_yticks(places, [name if len(name) <= 24 else f"{name[:23]}…" for name in names])
    axes.invert_yaxis()
    axes.set_ylim(len(values) - 0.4, -0.6)
    largest = max(values, default=0)
    axes.set_xlim(0, largest * 1.12 or 1)
    for place, value in zip(places, values, strict=True):
        share = f"  {100 * value / counts.total:.1f} %" if counts.total else ""
        axes.text(value, place, f" {value:,}{share}", va="center", ha="left", fontsize=8, color=_GREY)
    axes.set_xlabel("messages", color=_GREY)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(_number))


def _over_time(axes: Axes, counts: Counts) -> None:
    values = [count for _, count in counts.rows]
    if not values:
        axes.set_xticks([])
        axes.text(0.5, 0.5, "no messages", transform=axes.transAxes, ha="center", color=_GREY)
    elif counts.by == "hour":
        axes.bar([name for name, _ in counts.rows], values, color=_BLUE, width=0.82)
        axes.set_xlim(-0.7, 23.7)
        axes.set_xlabel("hour of the day (UTC)", color=_GREY)
    else:
        _along_the_calendar(axes, counts, values)
    axes.set_ylim(0, max(values, default=0) * 1.08 or 1)
    axes.set_ylabel("messages", color=_GREY)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(_number))


def _along_the_calendar(axes: Axes, counts: Counts, values: list[int]) -> None:
    days = [date.fromisoformat(f"{name}-01"[:10]).toordinal() - _EPOCH for name, _ in counts.rows]
    width = {"day": 1, "week": 7, "month": 28}[counts.by]
    if counts.by == "day" and len(days) > _LINE_FROM:
        axes.fill_between(days, values, color=_BLUE, alpha=0.25, linewidth=0, step="mid")
        axes.step(days, values, color=_BLUE, linewidth=0.7, alpha=0.6, where="mid")
        middle = [sum(values[at - 3 : at + 4]) / 7 for at in range(3, len(values) - 3)]
        axes.plot(days[3:-3], middle, color=_INK, linewidth=1.3, label="mean of seven days")
        axes.legend(loc="lower left", frameon=False, fontsize=8, labelcolor=_GREY, bbox_to_anchor=(0, 1.0))
    else:
        align: Any = "center" if counts.by == "day" else "edge"
        axes.bar(days, values, color=_BLUE, width=width * 0.86, align=align)
    locator = AutoDateLocator(minticks=4, maxticks=12)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    axes.set_xlim(days[0] - width / 2, days[-1] + width)
    axes.set_xlabel(f"{counts.by} (UTC)", color=_GREY)


def _hatch(axes: Axes, months: Iterable[int]) -> None:
    left, right = axes.get_xlim()
    for month in months:
        first = date(month // 100, month % 100, 1)
        begin = first.toordinal() - _EPOCH
        end = (first + timedelta(days=31)).replace(day=1).toordinal() - _EPOCH
        axes.axvspan(begin, end, facecolor="white", edgecolor=_PALE, hatch="////", linewidth=0, zorder=4)
        axes.text(
            (begin + end) / 2,
            0.5,
            "could not be read",
            transform=axes.get_xaxis_transform(),
            rotation=90,
            ha="center",
            va="center",
            fontsize=8,
            color=_GREY,
            clip_on=True,
            zorder=5,
            bbox={"facecolor": "white", "linewidth": 0, "pad": 2},
        )
    axes.set_xlim(left, right)


def _number(value: float, _place: int | None) -> str:
    return f"{value:,.0f}"


def _dress(axes: Axes, *, across: bool) -> None:
    axes.tick_params(colors=_GREY, labelsize=9, length=0)
    if across:
        axes.tick_params(axis="y", labelcolor=_INK)
    axes.set_axisbelow(True)
    axes.grid(axis="x" if across else "y", color="#e4e7ec", linewidth=0.8)
    for side, spine in axes.spines.items():
        spine.set_visible(side == ("left" if across else "bottom"))
        spine.set_color("#98a2b3")
