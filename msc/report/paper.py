"""Messages on paper (N-PRINT): each one whole, with its facts and the events of its life."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, BinaryIO, Final, NamedTuple

from msc import clock
from msc.protocol.header import read_taf
from msc.report.sheet import (
    BOLD,
    GREY,
    LEFT,
    MONO,
    RED,
    RIGHT,
    SANS,
    Front,
    Sheets,
    shown,
    text_width,
    wrap,
)
from msc.report.words import Entry, duration, key_of, lines_of, outcome_of, shown_time
from msc.transit.event import Life

_TEXT_SIZE: Final = 8.0
_TEXT_LEADING: Final = 10.4
_SMALL: Final = 6.5
_FACT: Final = 7.5
_FACT_LEADING: Final = 11.0
_EVENT_LEADING: Final = 9.6
_BAD: Final = frozenset({Life.REFUSED, Life.REFUSED_BY_PEER, Life.OUTCOME_UNKNOWN, Life.EXPIRED, Life.NOT_SENT})

_LABELS: Final[dict[str, str]] = {
    "ori": "ORI", "oif": "OIF", "taf": "TAF", "isn": "ISN", "own_header": "own header", "secondary": "recipient",
}  # fmt: skip
_NOT_FACTS: Final = frozenset({"msn", "received", "kind", "key", "system", "text", "events"})
"""What stands elsewhere; every other member is printed, also one this does not know."""

_EVENT_X: Final = LEFT + 172
_PLACE_X: Final = LEFT + 244
_DETAIL_X: Final = LEFT + 340


class Printed(NamedTuple):
    """What came out: sheets, and the messages on them."""

    sheets: int
    messages: int


def print_messages(
    stream: BinaryIO,
    entries: Iterable[Entry],
    front: Front,
    completeness: Callable[[], str],
    *,
    compress: bool = True,
) -> Printed:
    """Print messages as a PDF.

    Texts are never cut: long lines go on in the next, marked with an arrow; what the fonts cannot show stands as its
    number, `[U+4E2D]`. What peers wrote is drawn letter by letter; nothing in it is markup. The same arguments give
    the same bytes.

    Args:
        stream: Takes the PDF.
        entries: Messages, read once.
        front: What stands at the head.
        completeness: Says how complete the search was (`completeness_line`); asked when all entries have been read,
            and printed at the front.
        compress: Whether sheets are compressed.
    """
    sheets = Sheets(stream, front, compress=compress)
    messages = 0
    _front(sheets, front, completeness, lambda: [f"{messages:,}".replace(",", " ")])
    for entry in entries:
        messages += 1
        _message(sheets, entry)
    _end(sheets, messages, completeness())
    sheets.close()
    return Printed(sheets.number, messages)


def _front(sheets: Sheets, front: Front, completeness: Callable[[], str], messages: Callable[[], list[str]]) -> None:
    sheets.y -= 8
    sheets.text(LEFT, shown(front.title), BOLD, 17)
    sheets.down(10)
    rows = [
        ("Site", front.site),
        ("Printed", front.printed),
        ("By", front.who),
        ("Reason", front.reason),
        *front.criteria,
        *front.notes,
    ]
    for label, value in rows:
        for number, line in enumerate(wrap(shown(value), SANS, 8.5, RIGHT - LEFT - 130)):
            sheets.down(13)
            if number == 0:
                sheets.text(LEFT, shown(label), SANS, 8.5, GREY)
            sheets.text(LEFT + 130, line, SANS, 8.5)
    sheets.down(13)
    sheets.text(LEFT, "Messages", SANS, 8.5, GREY)
    sheets.later(LEFT + 130, "messages", messages, BOLD, 8.5)
    sheets.need(13 + 2 * 12)
    sheets.down(13)
    sheets.text(LEFT, "Completeness", SANS, 8.5, GREY)
    sheets.later(LEFT + 130, "completeness", lambda: _brief(completeness()), BOLD, 8.5)
    sheets.down(2 * 12 + 10)
    sheets.rule()
    sheets.down(18)


def _brief(text: str) -> list[str]:
    """Fit what was left for it at the front; the end of the print has it whole."""
    lines = wrap(shown(text), BOLD, 8.5, RIGHT - LEFT - 130)
    return lines if len(lines) <= 3 else [*lines[:2], "… (whole on the last page)"]


def _end(sheets: Sheets, messages: int, completeness: str) -> None:
    sheets.need(50)
    sheets.rule()
    sheets.down(14)
    sheets.text(LEFT, f"End of print: {messages} {'message' if messages == 1 else 'messages'}", BOLD, 8.5)
    for line in wrap(shown(completeness), SANS, 8, RIGHT - LEFT):
        sheets.down(12)
        sheets.text(LEFT, line, SANS, 8)


# --- a message --------------------------------------------------------------------------------------


def _message(sheets: Sheets, entry: Entry) -> None:
    sheets.need(70)
    _bar(sheets, entry)
    sheets.continued = f"MSN {entry['msn']}, continued"
    _facts(sheets, entry)
    _text(sheets, entry["text"])
    _events(sheets, entry)
    sheets.continued = None
    sheets.down(20)


def _bar(sheets: Sheets, entry: Entry) -> None:
    sheets.bar(10.5, 5)
    title, what = f"MSN {entry['msn']}", shown(f"{entry['kind']}  {key_of(entry)}".rstrip())
    sheets.text(LEFT + 7, title, BOLD, 9)
    x = LEFT + 7 + text_width(title, BOLD, 9) + 12
    sheets.text(x, what, SANS, 9)
    outcome = outcome_of(entry)
    bad = outcome in _BAD or bool(entry.get("code"))
    x += text_width(what, SANS, 9) + 12
    sheets.text(x, shown(outcome.replace("_", " ")), BOLD if bad else SANS, 8, RED if bad else GREY)
    sheets.text_right(RIGHT - 7, f"{shown_time(entry['received'])} UTC", SANS, 8.5)
    sheets.y -= 5


def _facts(sheets: Sheets, entry: Entry) -> None:
    """Set label and value side by side, as many as a line takes."""
    sheets.down(_FACT_LEADING + 1)
    x = LEFT + 7
    for name, value in entry.items():
        if name in _NOT_FACTS or value is None or value == "":
            continue
        label = shown(_LABELS.get(name, name.replace("_", " ")))
        room = RIGHT - LEFT - 14 - text_width(label, SANS, _SMALL) - 4
        for number, part in enumerate(wrap(shown(_fact(name, value)), SANS, _FACT, room)):
            wide = text_width(label, SANS, _SMALL) + 4 + text_width(part, SANS, _FACT)
            if number or (x > LEFT + 7 and x + wide > RIGHT - 7):
                sheets.down(_FACT_LEADING)
                x = LEFT + 7
            if number == 0:
                sheets.text(x, label, SANS, _SMALL, GREY)
            sheets.text(x + text_width(label, SANS, _SMALL) + 4, part, SANS, _FACT)
            x += wide + 14


def _fact(name: str, value: Any) -> str:
    read = read_taf(value) if name == "taf" and isinstance(value, str) else None
    return f"{value} ({read})" if read else str(value)


def _text(sheets: Sheets, text: str) -> None:
    sheets.down(6)
    width = RIGHT - LEFT - 24
    columns = int(width / text_width("0", MONO, _TEXT_SIZE))
    sheets.down(_TEXT_LEADING)
    top = sheets.y + _TEXT_LEADING - 2.4
    parts = [
        (number > 0, part) for line in lines_of(text) for number, part in enumerate(_columns(shown(line), columns))
    ]
    for place, (goes_on, part) in enumerate(parts):
        if place:
            if not sheets.has(_TEXT_LEADING):
                sheets.stroke(LEFT + 8, top - sheets.y, 2.4)
                sheets.turn()
                top = sheets.y + _TEXT_LEADING - 2.4
            else:
                sheets.y -= _TEXT_LEADING
        if goes_on:
            sheets.text(LEFT + 10.5, "↳", MONO, 6, GREY)
        sheets.text(LEFT + 17, part, MONO, _TEXT_SIZE)
    sheets.stroke(LEFT + 8, top - sheets.y, 2.4)


def _columns(line: str, columns: int) -> list[str]:
    """Break a line of equally wide letters, at a space near its end if there is one; nothing is left out."""
    parts = []
    while len(line) > columns:
        blank = line.rfind(" ", columns - 20, columns)
        end = blank + 1 if blank > 0 else columns
        parts.append(line[:end])
        line = line[end:]
    return [*parts, line]


def _events(sheets: Sheets, entry: Entry) -> None:
    sheets.down(5)
    received = clock.parse_rfc3339(entry["received"])
    for event in entry["events"]:
        detail = wrap(shown(_detail(event)), SANS, 7, RIGHT - _DETAIL_X - 4)
        place = wrap(shown(event["destination"] or ""), SANS, 7, _DETAIL_X - _PLACE_X - 6)
        name = wrap(shown(event["event"].replace("_", " ")), SANS, 7, _PLACE_X - _EVENT_X - 6)
        for number in range(max(len(detail), len(place), len(name))):
            sheets.down(_EVENT_LEADING)
            if number == 0:
                sheets.text(LEFT + 7, shown_time(event["at"]), SANS, _SMALL, GREY)
                after = clock.parse_rfc3339(event["at"]) - received
                said = f"{'+' if after > 0 else ''}{duration(after)}" if after else ""
                sheets.text_right(_EVENT_X - 8, said, SANS, _SMALL, GREY)
            color = RED if event["event"] in _BAD else 0
            for x, parts in ((_EVENT_X, name), (_PLACE_X, place), (_DETAIL_X, detail)):
                if number < len(parts):
                    sheets.text(x, parts[number], SANS, 7, color)


def _detail(event: Mapping[str, Any]) -> str:
    more = [
        f"{name} {value}"
        for name, value in event.items()
        if name not in ("at", "event", "destination", "facts", "detail", "msn") and value is not None
    ]
    return " · ".join(filter(None, (event["detail"], *more)))
