"""Lines of a drawing: a time, a time between, branches in box characters, and what stands at their end.

     0               ● MSN 33  inquiry IW.QW
                     ├─▶ line clets-a
1.6 ms     +1.6 ms   │   └─ sent
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from rich.cells import cell_len, chop_cells
from rich.text import Text

from msc.report.words import duration

_TIME_WIDTH: Final = 12
_STEP_WIDTH: Final = 17
_GUTTER: Final = _TIME_WIDTH + _STEP_WIDTH
_TEXT_MIN: Final = 30
"""Columns that are left to a text, however deep it stands and narrow the terminal is."""


@dataclass(slots=True)
class Node:
    """One thing that happened, and what came of it.

    Attributes:
        head: What it is.
        after_us: When, since the start; None where it is not a moment.
        step_us: How long after the one before.
        mark: What it begins with: `─ `, `─▶ `, `─◀ `.
        text: Lines of a message's text.
        note: What stands below the text.
        apart: Whether an empty line stands before it.
        children: What came of it, in order.
    """

    head: Text
    after_us: int | None = None
    step_us: int | None = None
    mark: str = "─ "
    text: tuple[str, ...] = ()
    note: str = ""
    apart: bool = False
    children: list[Node] = field(default_factory=list)


def drawn(root: Node, width: int) -> Iterator[Text]:
    """Draw a tree, line by line.

    Args:
        width: Columns; long texts are wrapped to them, never cut.
    """
    yield from _node(root, "", "", width)


def _node(node: Node, first: str, rest: str, width: int) -> Iterator[Text]:
    below = f"{rest}{'│ ' if node.children else '  '}"
    room = width - _GUTTER - max(cell_len(first) + cell_len(node.mark), cell_len(below) + 2)
    for number, part in enumerate(wrapped(node.head, max(room, _TEXT_MIN))):
        if number == 0:
            line = _gutter(node)
            line.append(f"{first}{node.mark}", style="cyan")
        else:
            line = Text.assemble(" " * _GUTTER, (f"{below}  ", "cyan"))
        yield line + part
    yield from _text(node, below, width)
    for number, child in enumerate(node.children):
        last = number == len(node.children) - 1
        if child.apart:
            yield Text.assemble(" " * _GUTTER, (f"{rest}│", "cyan"))
        yield from _node(child, f"{rest}{'└' if last else '├'}", f"{rest}{'  ' if last else '│ '}  ", width)


def _gutter(node: Node) -> Text:
    after = "" if node.after_us is None else duration(node.after_us)
    step = f"+{duration(node.step_us)}".replace("+-", "-") if node.step_us else ""
    return Text.assemble((f"{after:>{_TIME_WIDTH - 1}}", "bold"), (f"{step:>{_STEP_WIDTH - 3}}", "dim"), "    ")


def _text(node: Node, below: str, width: int) -> Iterator[Text]:
    room = max(width - _GUTTER - cell_len(below) - 4, _TEXT_MIN)
    for line in node.text:
        for number, part in enumerate(chop_cells(line, room) if line else [""]):
            # A line that goes on is marked, so that nobody takes a wrapped line for two.
            bar = "│ " if number == 0 else "┆ "
            yield Text.assemble(" " * _GUTTER, (below, "cyan"), "  ", (bar, "dim"), part)
    if node.note:
        yield Text.assemble(" " * _GUTTER, (below, "cyan"), "  ", (node.note, "dim italic"))


def wrapped(head: Text, room: int) -> list[Text]:
    """Break a line that is too long, between words where there are any; its styles stay."""
    lines, at = [], 0
    plain = head.plain
    while cell_len(plain[at:]) > room:
        part = chop_cells(plain[at:], room)[0]
        blank = part.rfind(" ", room // 2)
        end = at + (blank + 1 if blank > 0 else len(part))
        lines.append(head[at:end])
        at = end
    lines.append(head[at:])
    return lines
