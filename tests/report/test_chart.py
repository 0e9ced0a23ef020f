"""Counts as bars and pictures: the right numbers, from zero, none left out."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from msc.errors import JournalError
from msc.report.bars import bars_of
from msc.report.counts import DAYS_MOST, Counts, ready
from msc.report.picture import draw, write_picture

KEYS = [(f"IW.K{number}", 6_000 // (number + 1)) for number in range(60)]
DAYS = [((date(2023, 12, 1) + timedelta(days=number)).isoformat(), 100 + number) for number in range(1096)]


def shown(counts: Counts, width: int = 100, *caption: str) -> list[str]:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(bars_of(counts, "Messages", width=width, caption=caption))
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def svg(counts: Counts, *caption: str, unreadable: tuple[int, ...] = ()) -> str:
    stream = io.BytesIO()
    draw(stream, ".svg", counts, "Messages", caption=caption, unreadable=unreadable)
    return stream.getvalue().decode()


def texts(picture: str) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]*)</text>", picture)


# --- made ready -------------------------------------------------------------------------------------

NAMED = st.lists(st.tuples(st.text(max_size=5), st.integers(0, 10**6)), max_size=80, unique_by=lambda row: row[0])


@given(NAMED, st.integers(2, 30))
def test_gathering_loses_nothing(rows: list[tuple[str, int]], most: int) -> None:
    counts = ready("key", rows, most=most)
    assert counts.total == sum(count for _, count in rows)
    assert len(counts.rows) == min(len(rows), most)
    own = [count for _, count in counts.rows[: len(counts.rows) - bool(counts.gathered)]]
    assert own == sorted(own, reverse=True)


@given(st.dictionaries(st.dates(date(2023, 12, 1), date(2026, 11, 30)), st.integers(0, 10**6)))
def test_days_are_put_together_without_loss_and_without_gaps(found: dict[date, int]) -> None:
    rows = [(day.isoformat(), count) for day, count in found.items()]
    for most in (None, DAYS_MOST):
        counts = ready("day", rows, days_most=most)
        assert counts.total == sum(found.values())
        if counts.by == "day" and found:
            assert len(counts.rows) == (max(found) - min(found)).days + 1
        assert len(counts.rows) <= (1_096 if most is None else DAYS_MOST)


def test_hours_without_a_message_are_there() -> None:
    counts = ready("hour", [("3", 5), ("23", 1)])
    assert len(counts.rows) == 24 and counts.rows[3] == ("03", 5) and counts.rows[4] == ("04", 0)


def test_months_stand_in_their_order() -> None:
    assert ready("month", [("2026-02", 1), ("2026-01", 9), ("2025-12", 2)]).rows[0] == ("2025-12", 2)


# --- in a terminal ----------------------------------------------------------------------------------


def test_sixty_keys_are_drawn_from_the_largest_and_the_rest_is_gathered() -> None:
    lines = shown(ready("key", KEYS), 100, "User J1", "searched 1 month")
    assert lines[0] == "Messages, by key"
    assert lines[1].startswith("IW.K0") and "6,000" in lines[1]
    assert lines[25].startswith("36 others")
    assert lines[26:] == [f"{sum(count for _, count in KEYS):,} in all", "User J1", "searched 1 month"]
    assert all(len(line) <= 100 for line in lines)


@given(st.integers(0, 10**7), st.integers(1, 10**7), st.integers(40, 200))
def test_a_bar_is_as_long_as_its_count_and_begins_at_zero(count: int, largest: int, width: int) -> None:
    count = min(count, largest)
    lines = shown(Counts("key", (("BIG", largest), ("SMALL", count))), width)
    long, short = (line.split("%")[-1].strip() for line in lines[1:3])
    assert set(long) == {"█"}
    length = short.count("█") + (" ▏▎▍▌▋▊▉".index(short[-1]) / 8 if short and short[-1] != "█" else 0)
    assert abs(length - len(long) * count / largest) <= 0.13
    assert bool(short) == bool(count)


def test_a_gathering_larger_than_any_other_does_not_shrink_them() -> None:
    lines = shown(ready("key", [("A", 10), *((f"B{number}", 9) for number in range(40))], most=3))
    assert lines[1].endswith("█") and lines[3].endswith("▶")


def test_three_years_of_days_fit_a_terminal_as_months() -> None:
    lines = shown(ready("day", DAYS, days_most=DAYS_MOST))
    assert lines[0] == "Messages, by month (UTC)" and len(lines) == 38
    assert lines[1].startswith("2023-12") and lines[36].startswith("2026-11")


def test_names_are_no_markup_and_no_order_to_the_terminal() -> None:
    lines = shown(ready("user", [("[red]\x1b[2Jx", 3)]))
    assert lines[1].startswith("[red] [2Jx")


# --- as a picture -----------------------------------------------------------------------------------


def test_a_picture_names_what_it_shows_and_holds_every_number() -> None:
    found = texts(svg(ready("key", KEYS), "User J1", "searched 1 month, 2026-03"))
    assert "Messages, by key" in found and "messages" in found
    assert "User J1" in found and "searched 1 month, 2026-03" in found
    assert any(text.endswith("in all; times are UTC") for text in found)
    for name, count in ready("key", KEYS).rows:
        assert name in found
        assert any(text.strip().startswith(f"{count:,}") for text in found), count


_BAR = re.compile(r'd="M [\d.]+ ([\d.]+) \nL [\d.]+ [\d.]+ \nL [\d.]+ ([\d.]+) \nL [\d.]+ [\d.]+ \nz\n" clip-path')


def test_bars_begin_at_zero_and_are_as_high_as_their_counts() -> None:
    rows = [(str(hour), 1_000 + 10 * hour) for hour in range(24)]
    heights = [float(bottom) - float(top) for bottom, top in _BAR.findall(svg(ready("hour", rows)))]
    assert len(heights) == 24
    assert [round(height / heights[0], 2) for height in heights] == [round(count / 1_000, 2) for _, count in rows]


def test_three_years_of_days_are_one_picture_with_years_and_utc() -> None:
    found = texts(svg(ready("day", DAYS), unreadable=(202503,)))
    assert {"2024", "2025", "2026"} <= set(found)
    assert "day (UTC)" in found and "could not be read" in found and "mean of seven days" in found


@pytest.mark.parametrize("by", ["day", "hour", "key"])
def test_a_picture_of_nothing_is_a_picture(by: str) -> None:
    assert "0 in all; times are UTC" in texts(svg(ready(by, [])))


def test_names_are_text_in_a_picture() -> None:
    picture = svg(ready("user", [("$x^2$", 3), ("<script>&", 2), ("a\x1bb\x00", 1)]))
    assert "$x^2$" in texts(picture) and "&lt;script&gt;&amp;" in texts(picture) and "a b " in texts(picture)
    assert "<script>" not in picture


@pytest.mark.parametrize(("name", "begins"), [("a.png", b"\x89PNG\r\n"), ("a.SVG", b"<?xml")])
def test_a_picture_is_written_by_its_name_and_is_the_same_each_time(tmp_path: Path, name: str, begins: bytes) -> None:
    write_picture(tmp_path / name, ready("day", DAYS[:40]), "Messages")
    first = (tmp_path / name).read_bytes()
    write_picture(tmp_path / name, ready("day", DAYS[:40]), "Messages")
    assert first.startswith(begins) and len(first) > 5_000 and (tmp_path / name).read_bytes() == first


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match=r"\.png or \.svg"):
        write_picture(tmp_path / "a.gif", ready("day", DAYS[:3]), "Messages")
    assert not (tmp_path / "a.gif").exists()


def test_drawing_in_a_terminal_imports_no_matplotlib() -> None:
    script = (
        "import sys, msc.report.bars, msc.report.life, msc.report.file\n"
        "print(sorted({'matplotlib', 'numpy', 'reportlab', 'sqlalchemy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"
