"""Messages that came before are known, for a while, and within bounds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msc.transit.repeat import Repeats

pytestmark = pytest.mark.requirement("C-HDR")


def test_the_same_text_with_the_same_header_from_the_same_destination_is_a_repeat() -> None:
    repeats = Repeats()
    assert repeats.note("clets-a", "A12300000H.NO RECORD", 0.0) is False
    assert repeats.note("clets-a", "A12300000H.NO RECORD", 1.0) is True
    assert repeats.note("clets-a", "A12300000H.NO RECORD", 2.0) is True


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("ncic-a", "A12300000H.NO RECORD"),
        ("clets-a", "A12300000I.NO RECORD"),
        ("clets-a", "A12300000H.NO RECORD IN WPS"),
    ],
)
def test_anything_else_is_none(line: str, text: str) -> None:
    repeats = Repeats()
    repeats.note("clets-a", "A12300000H.NO RECORD", 0.0)
    assert repeats.note(line, text, 1.0) is False


def test_what_came_an_hour_ago_is_forgotten() -> None:
    repeats = Repeats(window_s=3_600.0)
    repeats.note("clets-a", "A123.X", 0.0)
    repeats.note("clets-a", "A123.Y", 3_000.0)
    assert repeats.note("clets-a", "A123.X", 3_600.1) is False
    assert repeats.note("clets-a", "A123.Y", 3_600.2) is True


def test_what_the_journal_did_not_take_has_not_come() -> None:
    repeats = Repeats()
    repeats.note("clets-a", "A123.X", 0.0)
    repeats.forget("clets-a", "A123.X")
    repeats.forget("clets-a", "A123.NEVER CAME")
    assert repeats.note("clets-a", "A123.X", 1.0) is False


@given(texts=st.lists(st.sampled_from("ABCDEFGH"), max_size=50), bound=st.integers(1, 5))
def test_no_more_are_remembered_than_allowed_and_no_first_one_is_taken_for_a_repeat(
    texts: list[str], bound: int
) -> None:
    repeats = Repeats(messages_max=bound)
    came: set[str] = set()
    for at, text in enumerate(texts):
        if repeats.note("clets-a", text, float(at)):
            assert text in came
        came.add(text)
        assert len(repeats) <= bound
