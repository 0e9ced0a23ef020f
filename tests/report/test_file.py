"""Entries as files: what other programs read must be what was written, and must run nothing."""

from __future__ import annotations

import csv
import io
import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from msc.report.file import COLUMNS, cell, csv_lines, json_line
from msc.report.listing import table_of
from msc.transit.message import MessageRecord
from tests.support.entries import answer, entry

NASTY = ["=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1"]


def read(lines: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(lines, newline="")))


@pytest.mark.requirement("C-JOURNAL")
def test_csv_has_a_record_each_with_every_member() -> None:
    made = [
        entry(7, (0, "routed", "line:clets-a", "state"), (900, "sent", "line:clets-a", None), text='A,"B"\nC'),
        answer(8, 7, "clets-a", 3_000) | {"seq": 12, "isn": 3},
    ]
    lines = "".join(csv_lines(made))
    rows = read(lines)
    assert tuple(rows[0]) == COLUMNS and set(MessageRecord._fields) <= set(COLUMNS)
    assert rows[0]["text"] == 'A,"B"\nC' and rows[0]["received"] == "2026-03-05T03:12:44.000250Z"
    assert rows[0]["events"].split("\n")[1:] == [
        "2026-03-05T03:12:44.000250Z routed line:clets-a (state)",
        "2026-03-05T03:12:44.001150Z sent line:clets-a",
    ]
    assert (rows[1]["seq"], rows[1]["isn"], rows[1]["code"]) == ("12", "3", "")
    assert all(line.endswith("\r\n") for line in csv_lines(made))


@pytest.mark.parametrize("text", NASTY)
def test_no_cell_of_csv_is_a_formula(text: str) -> None:
    row = read("".join(csv_lines([entry(1, (0, "refused", None, text), text=text, user=text)])))[0]
    assert row["text"] == row["user"] == f"'{text}"


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_cell_starts_no_formula_and_drives_no_terminal(text: str) -> None:
    made = cell(text)
    assert not made.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert not any(unicodedata.category(char) == "Cc" for char in made if char not in "\n\r\t")
    assert read("".join(csv_lines([entry(1, text=text)])))[0]["text"] == made


def test_a_line_of_json_is_one_line_and_whole() -> None:
    made = entry(1, text="a\nb\x1b[31m\u2028") | {"seq": 4, "later_member": [1]}
    line = json_line(made)
    assert line.isascii() and line.isprintable()
    assert json.loads(line) == made


def shown(made: list[dict[str, object]], *caption: str) -> str:
    console = Console(width=160, file=io.StringIO(), color_system=None)
    console.print(table_of(made, caption=caption))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.requirement("C-JOURNAL")
def test_a_table_has_a_line_each_and_says_what_it_is() -> None:
    made = [entry(7, (0, "refused", None, "E205 no key"), code="E205"), answer(8, 7, "clets-a", 3_000)]
    lines = [line.split() for line in shown(made, "User J40217", "searched 1 month, 2026-03").splitlines()]
    assert lines[1][:8] == ["7", "2026-03-05", "03:12:44.000", "inquiry", "IW.QW", "J40217", "DISPATCH1", "E205"]
    assert lines[2][0] == "8" and "clets-a" in lines[2] and "acknowledged" in lines[2]
    assert lines[3:] == [["User", "J40217"], ["searched", "1", "month,", "2026-03"]]


def test_what_a_peer_sent_is_no_markup_and_no_order_to_the_terminal() -> None:
    made = entry(1, text="[/b][red]X\x1b[2J\u202eY", user="[link=x]J", code="\x07E2")
    said = shown([made])
    assert "[/b][red]X [2J Y" in said and "[link=x]J" in said
    assert all(char.isprintable() or char == "\n" for char in said)
