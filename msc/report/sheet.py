"""Sheets of paper (US letter) in a PDF: fonts, what stands on every one of them, and the place that is left.

CONFIDENTIAL — CRIMINAL JUSTICE INFORMATION
site                                        title
printed when, by whom, why; what was looked for
-------------------------------------------------
…
CONFIDENTIAL …                        page 3 of 17
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO, Final

from reportlab.lib.colors import HexColor
from reportlab.lib.pagesizes import letter
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

from msc import clock

MARKING: Final = "CONFIDENTIAL — CRIMINAL JUSTICE INFORMATION"
SANS: Final = "MSC-Sans"
BOLD: Final = "MSC-Sans-Bold"
MONO: Final = "MSC-Mono"
_FONTS: Final = {SANS: "DejaVuSans.ttf", BOLD: "DejaVuSans-Bold.ttf", MONO: "DejaVuSansMono.ttf"}
"""DejaVu, which comes with matplotlib: Latin, Greek, Cyrillic and many signs."""

INK: Final = 0x1A1D21
GREY: Final = 0x667085
RULE: Final = 0xC4C9D1
PALE: Final = 0xEEF1F5
RED: Final = 0xA61B1B

_WIDTH, _HEIGHT = letter
LEFT: Final = 50.0
RIGHT: Final = _WIDTH - 50.0
_TOP: Final = _HEIGHT - 34.0
_BOTTOM: Final = 58.0
_HEAD_SIZE: Final = 7.0
_HEAD_LINES: Final = 3
"""Lines of reason and criteria that are repeated on every sheet; the first sheet has them whole."""


@dataclass(frozen=True, slots=True)
class Front:
    """What a print says of itself.

    Attributes:
        site: The switch's or site's name.
        title: What it is: `Journal`, `Sample for review`.
        operator, role: Who prints.
        reason: Why, as the operator gave it.
        printed_us: When, wall time.
        criteria: What was looked for: label and value (`criteria_in_words`).
        notes: More to be said at the front: how a sample was drawn.
    """

    site: str
    title: str
    operator: str
    role: str
    reason: str
    printed_us: int
    criteria: Sequence[tuple[str, str]]
    notes: Sequence[tuple[str, str]] = ()

    @property
    def who(self) -> str:
        """Who prints, and in what role where that is known."""
        return f"{self.operator} ({self.role})" if self.role else self.operator

    @property
    def printed(self) -> str:
        """When it was printed, to the second."""
        return f"{clock.rfc3339(self.printed_us)[:19].replace('T', ' ')} UTC"


class _Showable(dict[int, str]):
    """Character to what is printed of it: itself, or its number where the fonts or the direction do not allow it."""

    def __init__(self, glyphs: frozenset[int]) -> None:
        super().__init__()
        self._glyphs = glyphs

    def __missing__(self, number: int) -> str:
        char = chr(number)
        # What runs from right to left, or joins what is before it, would stand in a wrong place or shape.
        plain = unicodedata.category(char)[0] not in "CM" and unicodedata.bidirectional(char) not in ("R", "AL", "AN")
        shown = char if plain and number in self._glyphs else f"[U+{number:04X}]"
        self[number] = shown
        return shown


@cache
def _showable() -> _Showable:
    spec = find_spec("matplotlib")  # found, not imported: that takes half a second
    assert spec is not None and spec.submodule_search_locations is not None
    folder = Path(spec.submodule_search_locations[0]) / "mpl-data" / "fonts" / "ttf"
    fonts = [TTFont(name, str(folder / file)) for name, file in _FONTS.items()]
    for font in fonts:
        pdfmetrics.registerFont(font)
    return _Showable(frozenset.intersection(*(frozenset(font.face.charToGlyph) for font in fonts)))


def shown(text: str) -> str:
    """Return a text as it can be printed: what cannot be shown stands as its number, `[U+4E2D]`."""
    return text.translate(_showable())


def text_width(text: str, font: str, size: float) -> float:
    """Return how wide a text is, in points."""
    return float(pdfmetrics.stringWidth(text, font, size))


def wrap(text: str, font: str, size: float, width: float) -> list[str]:
    """Break a text into lines of a width, at spaces where that can be; the spaces stay at the ends of lines."""
    lines = []
    while text and text_width(text, font, size) > width:
        low, high = 1, len(text)
        while low < high:  # the longest beginning that fits; one character at least
            middle = (low + high + 1) // 2
            low, high = (middle, high) if text_width(text[:middle], font, size) <= width else (low, middle - 1)
        blank = text.rfind(" ", max(low - 40, 0), low)
        end = blank + 1 if blank > 0 else low
        lines.append(text[:end])
        text = text[end:]
    return [*lines, text]


class Sheets:
    """Writes from top to bottom, and turns to a new sheet where one is full.

    Args:
        stream: Takes the PDF when it is closed.
        front: What stands at the head of every sheet.
        compress: Whether sheets are compressed.
    """

    def __init__(self, stream: BinaryIO, front: Front, *, compress: bool = True) -> None:
        _showable()
        # Invariant: the same print is the same file, to the byte.
        self._canvas = Canvas(
            stream, pagesize=letter, pageCompression=int(compress), invariant=1, initialFontName=SANS
        )
        self._canvas.setTitle(f"{front.site}: {front.title}")
        self._canvas.setAuthor(front.who)
        self._canvas.setSubject(MARKING)
        self._front = front
        self._head = self._head_lines()
        self.number = 0
        self.y = 0.0
        self._filled = -1
        self.continued: str | None = None
        """What a new sheet says above what goes on there."""
        self._later: list[tuple[str, Callable[[], Sequence[str]], str, float]] = []
        self._begin()

    # --- what stands on a sheet ---------------------------------------------------------------------

    def text(self, x: float, text: str, font: str = SANS, size: float = 7.5, color: int = INK) -> None:
        """Write at the present height. The text must be one of `shown` or our own."""
        self._canvas.setFont(font, size)
        self._fill(color)
        self._canvas.drawString(x, self.y, text)

    def text_right(self, x: float, text: str, font: str = SANS, size: float = 7.5, color: int = INK) -> None:
        """Write so that the text ends at a place."""
        self.text(x - text_width(text, font, size), text, font, size, color)

    def rule(self, color: int = RULE, thickness: float = 0.6) -> None:
        """Draw a line across the sheet at the present height."""
        self._canvas.setStrokeColor(_color(color))
        self._canvas.setLineWidth(thickness)
        self._canvas.line(LEFT, self.y, RIGHT, self.y)

    def stroke(self, x: float, up: float, down: float, color: int = RULE) -> None:
        """Draw an upright line from so much above the present height to so much below it."""
        self._canvas.setStrokeColor(_color(color))
        self._canvas.setLineWidth(1.4)
        self._canvas.line(x, self.y + up, x, self.y - down)

    def bar(self, up: float, down: float, color: int = PALE) -> None:
        """Lay a bar behind the present height."""
        self._fill(color)
        self._canvas.roundRect(LEFT, self.y - down, RIGHT - LEFT, up + down, 2.5, stroke=0, fill=1)

    def later(self, x: float, name: str, lines: Callable[[], Sequence[str]], font: str, size: float) -> None:
        """Leave a place for what is known only at the end."""
        self._canvas.saveState()
        self._canvas.translate(x, self.y)
        self._canvas.doForm(name)
        self._canvas.restoreState()
        self._later.append((name, lines, font, size))

    # --- from sheet to sheet ----------------------------------------------------------------------------

    def down(self, height: float) -> None:
        """Go down; to a new sheet, if there is no such place left on this one."""
        if self.has(height):
            self.y -= height
        else:
            self.turn()

    def has(self, height: float) -> bool:
        """Tell whether there is so much place left on this sheet."""
        return self.y - height >= _BOTTOM

    def need(self, height: float) -> None:
        """Turn to a new sheet, unless there is so much place left."""
        if not self.has(height):
            self.turn()

    def turn(self) -> None:
        """Go to the top of a new sheet."""
        self._canvas.showPage()
        self._begin()
        if self.continued is not None:
            self.text(LEFT, self.continued, SANS, 6.5, GREY)
            self.y -= 11

    def close(self) -> None:
        """Write the PDF."""
        self._canvas.showPage()
        self._later.append(("sheets", lambda: [str(self.number)], SANS, _HEAD_SIZE))
        for name, lines, font, size in self._later:
            self._canvas.beginForm(name, lowerx=0, lowery=-200, upperx=RIGHT, uppery=20)
            for number, line in enumerate(lines()):
                self._canvas.setFont(font, size)
                self._canvas.setFillColor(_color(INK))
                self._canvas.drawString(0, -number * size * 1.4, line)
            self._canvas.endForm()
        self._canvas.save()

    def _begin(self) -> None:
        self.number += 1
        self.y = _TOP
        self._filled = -1
        self._marking()
        self.y -= 17
        self.text(LEFT, shown(self._front.site), BOLD, 10)
        self.text_right(RIGHT, shown(self._front.title), BOLD, 10)
        self.y -= 2.5
        for line in self._head:
            self.y -= 10
            self.text(LEFT, line, SANS, _HEAD_SIZE, GREY)
        self.y -= 6
        self.rule()
        top = self.y - 16
        self.y = _BOTTOM - 14
        self.rule()
        self.y -= 12
        self._marking()
        self.text(LEFT, self._front.printed, SANS, _HEAD_SIZE, GREY)
        of = RIGHT - text_width("00000", SANS, _HEAD_SIZE)
        self.text_right(of, f"page {self.number} of ", SANS, _HEAD_SIZE)
        self._canvas.saveState()
        self._canvas.translate(of, self.y)
        self._canvas.doForm("sheets")
        self._canvas.restoreState()
        self.y = top

    def _fill(self, color: int) -> None:
        # Said only when it changes: prints have many lines, and every sheet stays in memory.
        if color != self._filled:
            self._canvas.setFillColor(_color(color))
            self._filled = color

    def _marking(self) -> None:
        width = text_width(MARKING, BOLD, 8)
        self.text((_WIDTH - width) / 2, MARKING, BOLD, 8, RED)

    def _head_lines(self) -> list[str]:
        front = self._front
        criteria = " · ".join(f"{label}: {value}" for label, value in front.criteria)
        lines = []
        for said in (
            f"Printed {front.printed} by {front.who}", f"Reason: {front.reason}", criteria,
        ):  # fmt: skip
            found = wrap(shown(said), SANS, _HEAD_SIZE, RIGHT - LEFT - 8)
            if len(found) > _HEAD_LINES:
                found = [*found[: _HEAD_LINES - 1], f"{found[_HEAD_LINES - 1].rstrip()[:-1]}… (whole on page 1)"]
            lines += found
        return lines


@cache
def _color(number: int) -> Any:
    return HexColor(number)
