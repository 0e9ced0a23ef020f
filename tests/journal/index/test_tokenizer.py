"""Words: golden searches, and what holds for every text."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msc.journal.criteria import BadCriteria
from msc.journal.index.tokenizer import WORD_CHARS, query_words, words

ROWS: list[dict[str, Any]] = tomllib.loads((Path(__file__).parent / "searches.toml").read_text("utf-8"))["search"]
SEARCHES = [pytest.param(row, id=row["name"]) for row in ROWS]
IDENTIFIERS = st.text("ABCDEFGHJKLMNPRSTUVWXYZ0123456789", min_size=2, max_size=17)


def finds(query: str, text: str) -> bool:
    """Tell whether a query finds a text, by the meaning of alternatives alone."""
    held = words(text)
    return any(
        all(any(word == s.term or (s.prefix and word.startswith(s.term)) for word in held) for s in alternative)
        for alternative in query_words(query)
    )


@pytest.mark.requirement("C-JOURNAL")
@pytest.mark.parametrize("row", SEARCHES)
def test_a_golden_search_finds_what_it_must_and_no_more(row: dict[str, Any]) -> None:
    missed = [query for query in row["found"] if not finds(query, row["text"])]
    too_much = [query for query in row["not_found"] if finds(query, row["text"])]
    assert (missed, too_much) == ([], [])


@given(st.text())
def test_every_text_has_words_and_each_once(text: str) -> None:
    found = words(text)
    assert len(set(found)) == len(found)
    assert all(found)


@given(st.text(st.characters(codec="ascii")))
def test_every_run_of_letters_and_digits_is_found_whole_and_by_its_beginnings(text: str) -> None:
    for run in "".join(c if c.isalnum() else " " for c in text).split():
        assert finds(run, text)
        assert finds(run.lower(), text)
        assert all(finds(f"{run[:length]}*", text) for length in range(1, len(run) + 1))


@given(st.text(st.characters(codec="utf-8")))
def test_a_word_that_stands_alone_in_a_text_finds_it_as_it_is_written(text: str) -> None:
    for written in text.split():
        if any(c.isalnum() for c in words(written)):
            assert finds(written.rstrip("*"), text)


@given(st.integers(WORD_CHARS - 2, 4 * WORD_CHARS), st.data())
def test_a_long_word_is_found_whole_and_by_any_beginning(length: int, data: st.DataObject) -> None:
    word = data.draw(st.text("ABC123", min_size=length, max_size=length))
    cut = data.draw(st.integers(1, length))
    text = f"TEXT WITH IMG/{word} IN IT"
    assert finds(word, text)
    assert finds(f"{word[:cut]}*", text)
    assert not finds(f"{word}A", text)
    assert not finds(f"{word}A*", text)
    assert finds(word[:cut], text) == (cut == length)
    assert max(map(len, words(text))) <= WORD_CHARS + len("~999~~")


@pytest.mark.requirement("C-JOURNAL")
@given(IDENTIFIERS, st.data())
def test_an_identifier_is_found_however_hyphens_stand_in_text_and_query(identifier: str, data: st.DataObject) -> None:
    def hyphened() -> str:
        cuts = sorted(data.draw(st.sets(st.integers(1, len(identifier) - 1), max_size=3)))
        return "-".join(identifier[a:b] for a, b in zip([0, *cuts], [*cuts, len(identifier)], strict=True))

    for text in (
        f"NO RECORD. LIC/{hyphened()} LIS/CA",
        f"IW.QV.CA0990000.LIC/{hyphened()}.LIS/CA",
        f"({hyphened()})",
    ):
        assert finds(identifier, text)
        assert finds(hyphened(), text)
        assert finds(f"{identifier[:-1]}*", text)


@pytest.mark.requirement("C-JOURNAL")
@given(
    st.lists(st.from_regex(r"[A-Z]{1,4}|[A-Z]{0,3}[0-9]{1,5}", fullmatch=True), min_size=2, max_size=4),
    st.sampled_from(["SER/{} MAK/RUG", "LIC/{}\nVIN/TESTVIN0000000001", "IW.QG.CA0990000.SER/{}.MAK/RUG", "OLN/{}"]),
)
def test_an_identifier_with_blanks_in_its_field_is_found_without_them(pieces: list[str], form: str) -> None:
    joined = "".join(pieces)
    if joined.isalpha():
        return  # words, not a number
    text = form.format(" ".join(pieces))
    assert finds(joined, text)
    assert finds(" ".join(pieces), text)
    assert finds("-".join(pieces), text)
    assert finds(f"{joined[:-1]}*", text)
    assert not finds(joined + "MAK", text)


@pytest.mark.parametrize("query", ["", "*", "---", " / ", "'*", "\ud800"])
def test_a_query_without_letter_or_digit_is_refused(query: str) -> None:
    with pytest.raises(BadCriteria, match="no letter or digit"):
        query_words(query)


@given(st.text())
def test_any_other_query_is_a_few_alternatives(query: str) -> None:
    try:
        alternatives = query_words(query)
    except BadCriteria:
        return
    assert 1 <= len(alternatives) <= 3
    assert all(alternatives)
