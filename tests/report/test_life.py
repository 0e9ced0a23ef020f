"""The drawing of a transaction's life, held against drawings that were looked at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msc.report.life import life_of
from tests.support.entries import START_US, answer, entry

GOLDEN = Path(__file__).parent / "golden"
MS, SECOND, MINUTE, HOUR = 1_000, 1_000_000, 60_000_000, 3_600_000_000
NOW_US = START_US + 2 * HOUR
WANTED = "EXA1000001.***CAUTION - ARMED AND DANGEROUS***\nMKE/WANTED PERSON\nNAM/SPECIMEN, WANTED SEX/X DOB/19800101"


def line_life(line: str, sent: int, acknowledged: int, *rest: tuple[int, str, str | None]) -> list[Any]:
    place = f"line:{line}"
    return [
        (0, "routed", place, "wanted persons: the state's file and NCIC"),
        (sent, "sent", place, None),
        (acknowledged, "acknowledged", place, None),
        *((at, event, place, detail) for at, event, detail in rest),
    ]


def answered() -> list[dict[str, Any]]:
    """One destination answers, the other is out of service."""
    return [
        entry(
            33,
            *line_life("clets-a", 1_600, 3 * MS, (3_006, "answered", "msn 35")),
            (0, "routed", "line:ncic-a", "wanted persons: the state's file and NCIC"),
            (1_700, "not_sent", "line:ncic-a", "E401 ncic-a is out of service; not sent"),
        ),
        answer(34, 33, "ncic-a", 1_700, direction="local", kind="status", code="E401", key=None, system=None,
               text="E401 ncic-a is out of service; not sent"),
        answer(35, 33, "clets-a", 3_006, text=WANTED),
    ]  # fmt: skip


def late() -> list[dict[str, Any]]:
    """An answer comes an hour after the switch had given up; another destination is still open."""
    gave_up = "E402 clets-a gave no answer in 30 s"
    return [
        entry(
            40,
            *line_life("clets-a", 2 * MS, 3 * MS, (30 * SECOND, "expired", gave_up), (HOUR, "answered", "msn 42")),
            *line_life("ncic-a", 2 * MS, 90 * SECOND),
        ),
        answer(41, 40, "clets-a", 30 * SECOND, direction="local", kind="status", code="E402", text=gave_up),
        answer(42, 40, "clets-a", HOUR, (0, "routed", "user:J40217", None), text=WANTED),
    ]  # fmt: skip


def refused() -> list[dict[str, Any]]:
    return [
        entry(50, (0, "refused", None, "E205 the message begins with no known key"), code="E205", kind="unknown",
              key=None, system=None, text="IW.ZZ.CA0990000.NAM/DOE,JOHN"),
    ]  # fmt: skip


def twenty() -> list[dict[str, Any]]:
    """Twenty destinations, each answering later than the one before; the ninth refuses, the last is open."""
    events: list[Any] = []
    answers = []
    for number in range(1, 21):
        name, at = f"state-{number:02}", number * 400 * MS
        if number == 9:
            events += line_life(name, 2 * MS, 3 * MS, (at, "refused_by_peer", "E301 not authorised"))
        elif number == 20:
            events += line_life(name, 2 * MS, 3 * MS)
        else:
            events += line_life(name, 2 * MS, 3 * MS, (at, "answered", f"msn {100 + number}"))
            answers.append(answer(100 + number, 60, name, at, text=f"EXA1000001.NO RECORD IN {name}"))
    return [
        entry(60, *sorted(events, key=lambda event: event[0]), requester="DET SAMPLE", reason="CASE 26-1"),
        *answers,
    ]


def beginning_missing() -> list[dict[str, Any]]:
    """Only the answers are there: what began it stands in a month that cannot be read."""
    return [answer(72, 70, "clets-a", 0), answer(73, 70, "ncic-a", 5 * MS)]


CASES = {make.__name__: make for make in (answered, late, refused, twenty, beginning_missing)}


def drawn(entries: list[dict[str, Any]], width: int = 110, text_lines: int | None = 12) -> list[str]:
    lines = life_of(entries, now_us=NOW_US, width=width, text_lines=text_lines)
    return [line.plain.rstrip() for line in lines]


@pytest.mark.requirement("C-JOURNAL")
@pytest.mark.parametrize("name", CASES)
def test_a_life_is_drawn_as_it_was_found_good(name: str) -> None:
    assert "\n".join(drawn(CASES[name]())) + "\n" == (GOLDEN / f"{name}.txt").read_text()


def test_the_order_entries_come_in_does_not_matter() -> None:
    assert drawn(twenty()[::-1]) == drawn(twenty())


def test_what_went_wrong_and_what_is_open_stands_out() -> None:
    styled = [
        (line.plain[span.start : span.end].strip(), str(span.style))
        for line in life_of(late(), now_us=NOW_US)
        for span in line.spans
    ]

    def style(beginning: str) -> str:
        return " ".join(style for text, style in styled if text.startswith(beginning))

    assert "red" in style("expired")
    assert "yellow" in style("LATE, after it had been given up") and "yellow" in style("STILL OPEN")
    assert "yellow" not in style("sent") and "red" not in style("sent")


@pytest.mark.parametrize("width", [80, 110, 200])
def test_a_long_text_is_whole_when_asked_for_and_else_says_what_is_left_out(width: int) -> None:
    text = "\n".join(f"{number:04} {'X' * (1 + number % 190)}" for number in range(140))[:14_000]
    made = [
        entry(1, (0, "routed", "line:a", None), (9, "answered", "line:a", "msn 2"), text="QUESTION"),
        answer(2, 1, "a", 9, text=text),
    ]
    lines = drawn(made, width, None)
    shown = "".join(
        ("" if line.split("┆ ")[1:] else "\n") + line.replace("┆ ", "│ ").split("│ │ ")[-1].split("│ ")[-1]
        for line in lines
        if "│ 0" in line or "┆" in line
    )
    assert shown.lstrip("\n") == text
    assert all(len(line) <= width for line in lines)
    short = drawn(made, width)
    assert len(short) < 60
    assert any(f"… 128 more lines, {len(text)} characters in all" in line for line in short)


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
LIVES = st.sampled_from(
    ["received", "routed", "sent", "acknowledged", "answered", "expired", "returned", "forwarded", "not_sent"]
)
PLACES = st.sampled_from([None, "line:a", "line:b", "device:D", "user:U", "odd"])
EVENTS = st.lists(st.tuples(st.integers(-5 * SECOND, HOUR), LIVES, PLACES, st.none() | TEXTS), max_size=12)


@given(first=EVENTS, second=EVENTS, text=TEXTS, width=st.integers(20, 200))
def test_whatever_stands_in_the_journal_can_be_drawn(
    first: list[Any], second: list[Any], text: str, width: int
) -> None:
    lines = drawn([entry(1, *first, text=text), answer(2, 1, "a", 5, *second, text=text, user=text)], width)
    assert all(line.isprintable() for line in lines)
    assert sum("MSN 1" in line for line in lines) >= 1 and any("MSN 2" in line for line in lines)
