"""The print: read back from the PDF, page by page."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msc.report.paper import Printed, print_messages
from msc.report.sheet import MARKING, Front, shown
from msc.report.words import completeness_line, criteria_in_words
from tests.support.entries import START_US, answer, entry

_DRAWN = re.compile(rb"BT 1 0 0 1 ([\d.]+) [\d.]+ Tm (.*?) ET", re.DOTALL)
_STRING = re.compile(rb"/F\d+\+(\d+) [\d.]+ Tf|\(((?:[^()\\]|\\.)*)\) Tj", re.DOTALL)
_ESCAPE = re.compile(rb"\\([0-7]{1,3}|.)", re.DOTALL)
TEXT_X = b"67"
"""Where the lines of a message's text begin, in points from the left."""
FRONT = Front(
    site="Example County: example-1",
    title="Journal",
    operator="OP-AUD1",
    role="auditor",
    reason="quarterly review, case 26-1107",
    printed_us=START_US,
    criteria=criteria_in_words({"user": "J40217", "key": "IW.QW", "text": ["SPEC*"]}),
    notes=[("Sample", "2 of 4 000 messages, seed 2026-Q4")],
)


def written(stream: bytes, x: bytes | None = None) -> list[str]:
    """Return what is written on a page, in the order it was drawn; what is not ASCII is left out.

    Args:
        x: Only what begins there.
    """
    return [_ascii(drawing) for at, drawing in _DRAWN.findall(stream) if x in (None, at)]


def _ascii(drawing: bytes) -> str:
    # The first part of a font has ASCII where it belongs; what is in its other parts is none.
    found, part = b"", b"0"
    for other, string in _STRING.findall(drawing):
        part = other or part
        if part == b"0":
            found += _ESCAPE.sub(lambda m: bytes([int(m[1], 8)]) if m[1].isdigit() else m[1], string)
    return "".join(chr(byte) for byte in found if 32 <= byte < 127)


def objects(pdf: bytes) -> dict[int, bytes]:
    return {int(number): body for number, body in re.findall(rb"(\d+) 0 obj\n(.*?)endobj", pdf, re.DOTALL)}


def pages(pdf: bytes, x: bytes | None = None) -> Iterator[list[str]]:
    found = objects(pdf)
    for body in found.values():
        if re.search(rb"/Type /Page\b", body):
            contents = re.search(rb"/Contents (\d+)", body)
            assert contents is not None
            yield written(found[int(contents[1])], x)


def later(pdf: bytes) -> list[list[str]]:
    """Return what was drawn when all was known, in the order it was asked for: messages, completeness, sheets."""
    return [written(body) for body in objects(pdf).values() if b"/Subtype /Form" in body]


def printed(entries: list[dict[str, Any]], front: Front = FRONT, complete: str = "complete") -> tuple[Printed, bytes]:
    stream = io.BytesIO()
    return print_messages(stream, iter(entries), front, lambda: complete, compress=False), stream.getvalue()


def text_of(pdf: bytes) -> str:
    """Return the texts of the messages, without their line ends."""
    return "".join("".join(page) for page in pages(pdf, TEXT_X))


def many(count: int) -> list[dict[str, Any]]:
    return [entry(msn, (0, "routed", "line:a", None), (900, "sent", "line:a", None)) for msn in range(1, count + 1)]


@pytest.mark.requirement("N-PRINT")
def test_every_page_says_what_it_is_who_printed_it_when_why_and_which_page_it_is() -> None:
    said, pdf = printed(many(30))
    found = list(pages(pdf))
    assert said == Printed(len(found), 30) and len(found) > 3
    for number, page in enumerate(found, 1):
        ascii_marking = MARKING.replace("—", "")
        assert page.count(ascii_marking) == 2
        assert page[0] == ascii_marking
        assert "Example County: example-1" in page and "Journal" in page
        assert "Printed 2026-03-05 03:12:44 UTC by OP-AUD1 (auditor)" in page
        assert "Reason: quarterly review, case 26-1107" in page
        assert any("User: J40217" in line and "Message key: IW.QW" in line for line in page)
        assert f"page {number} of " in page
    assert [str(len(found))] in later(pdf)


@pytest.mark.requirement("N-PRINT")
def test_the_front_says_what_was_looked_for_and_how_complete_the_answer_is() -> None:
    complete = completeness_line(range(202601, 202604), [202602])
    _, pdf = printed(many(2), complete=complete)
    front = next(pages(pdf))
    for line in (
        "OP-AUD1 (auditor)",
        "quarterly review, case 26-1107",
        "J40217",
        "2 of 4 000 messages, seed 2026-Q4",
    ):
        assert line in front
    assert any("a word that begins with" in line for line in front)
    assert [complete] in later(pdf) and ["2"] in later(pdf)
    assert complete in list(pages(pdf))[-1] and "End of print: 2 messages" in list(pages(pdf))[-1]


@pytest.mark.requirement("N-PRINT")
def test_a_message_is_printed_with_its_facts_and_its_life() -> None:
    made = [
        entry(
            1047,
            (0, "routed", "line:clets-a", "state"),
            (30_000_000, "expired", "line:clets-a", "E402 no answer in 30 s"),
            requester="DET SAMPLE",
        )
        | {"isn": 17, "some_later_member": "SHOWN TOO"},
        answer(1048, 1047, "clets-a", 3_000),
    ]
    made[0]["events"][1]["osn"] = 99
    text = "\n".join(line for page in pages(printed(made)[1]) for line in page)
    for said in (
        "MSN 1047", "2026-03-05 03:12:44.000250 UTC",
        "IW.QW.CA0990000.NAM/SPECIMEN,WANTED.DOB/19800101", "DET SAMPLE",
        "ISN", "17", "some later member", "SHOWN TOO", "expired", "+30.00 s", "E402 no answer in 30 s", "osn 99",
        "2026-03-05 03:13:14.000250", "MSN 1048", "clets-a", "acknowledged", "+2.4 ms",
    ):  # fmt: skip
        assert said in text, said


@pytest.mark.requirement("N-PRINT")
def test_a_text_of_fourteen_thousand_characters_is_printed_whole_over_pages() -> None:
    text = "\n".join(f"{number:03} {'WORD ' * (number % 60)}{'X' * (number % 130)}" for number in range(90))[:14_000]
    assert len(text) > 13_000
    _, pdf = printed([entry(1, text=text)])
    assert text_of(pdf) == text.replace("\n", "")
    found = list(pages(pdf))
    assert len(found) > 2 and all("MSN 1, continued" in page for page in found[1:])


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)


@settings(max_examples=40, deadline=None)
@given(text=TEXTS, user=TEXTS, detail=TEXTS)
def test_whatever_a_peer_wrote_can_be_printed_and_nothing_of_it_is_left_out(
    text: str, user: str, detail: str
) -> None:
    made = [entry(1, (0, "refused", None, detail), text=text, user=user)]
    # A blank that does not break is a blank on paper.
    lines = (shown(line.expandtabs(8)).replace("\xa0", " ") for line in text.replace("\r\n", "\n").split("\n"))
    assert text_of(printed(made)[1]) == "".join(char for line in lines for char in line if 32 <= ord(char) < 127)


def test_nothing_in_a_text_is_markup() -> None:
    made = [entry(1, text="<b>bold</b> <para/> &amp; [red]x[/red] (a) \\ %s {0}", user="<i>J</i>")]
    page = next(pages(printed(made)[1]))
    assert "<b>bold</b> <para/> &amp; [red]x[/red] (a) \\ %s {0}" in page
    assert "<i>J</i>" in page


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Łukasz Ωμέγα Сергей — €", "Łukasz Ωμέγα Сергей — €"),
        ("中文", "[U+4E2D][U+6587]"),
        ("עב", "[U+05E2][U+05D1]"),
        ("e\u0301", "e[U+0301]"),
        ("\x1b[31m\x00\u202e", "[U+001B][31m[U+0000][U+202E]"),
        ("😀", "[U+1F600]"),
    ],
)
def test_what_the_fonts_cannot_show_stands_as_its_number(text: str, said: str) -> None:
    assert shown(text) == said


def test_the_same_print_is_the_same_file() -> None:
    assert printed(many(5))[1] == printed(many(5))[1]


def test_a_print_of_nothing_says_so() -> None:
    said, pdf = printed([])
    assert said == Printed(1, 0)
    assert "End of print: 0 messages" in next(pages(pdf))


def test_long_reasons_and_criteria_leave_room_and_stand_whole_at_the_front() -> None:
    reason = " ".join(f"reason{number}" for number in range(300))
    criteria = [("Text holds", f"the word {number} {'X' * 150}") for number in range(60)]
    _, pdf = printed(many(3), Front("S", "T", "O", "R", reason, START_US, criteria))
    found = list(pages(pdf))
    text = " ".join(line for page in found for line in page)
    assert all(f"reason{number}" in text for number in range(300))
    assert all(f"the word {number} X" in text for number in range(60))
    assert "MSN 3" in text
