"""Pages: what was written is read, and what was damaged is not a page."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from msc.journal.index.page import BadPage, Lists, encode_page, read_page

TERMS = st.text(st.characters(codec="utf-8", exclude_characters="\n"), min_size=1, max_size=8)
# Steps of every width, and places at the end of what 64 bits hold.
PLACES = st.sets(
    st.integers(0, 300) | st.integers(0, 2**17) | st.integers(0, 2**34) | st.integers(2**64 - 300, 2**64 - 1),
    min_size=1,
    max_size=12,
)


def page_of(held: dict[str, set[int]]) -> bytes:
    """Write a page of these."""
    names = sorted(held, key=str.encode)
    return encode_page(
        Lists(
            "".join(f"{name}\n" for name in names).encode(),
            np.array([len(held[name]) for name in names]),
            np.array([place for name in names for place in sorted(held[name])], np.uint64),
        ),
        1,
    )


@given(st.dictionaries(TERMS, PLACES, min_size=1, max_size=20), st.lists(TERMS, max_size=5))
def test_a_page_gives_back_what_was_put_in(held: dict[str, set[int]], others: list[str]) -> None:
    page = read_page(page_of(held))
    for term in (*held, *others):
        places = page.places(term)
        assert (None if places is None else places.tolist()) == (sorted(held[term]) if term in held else None)
    for beginning in {term[:length] for term in (*held, *others) for length in range(1, 4)}:
        found = [(term, places.tolist()) for term, places in page.prefix(beginning)]
        assert found == [
            (term, sorted(held[term])) for term in sorted(held, key=str.encode) if term.startswith(beginning)
        ]
        assert page.prefix_places(beginning).tolist() == [place for _, places in found for place in places]
    assert len(page.prefix_places("")) == sum(map(len, held.values()))
    lists = page.lists()
    assert lists.names.decode().split("\n")[:-1] == sorted(held, key=str.encode)
    assert lists.places.tolist() == [p for term in sorted(held, key=str.encode) for p in sorted(held[term])]


def test_a_page_is_laid_out_as_its_format_says() -> None:
    body = page_of({"AB": {5}, "C": {1, 3, 300}, "DE": {0x10000, 0x10001}})
    assert zlib.decompress(body) == (
        b"\x03\0\0\0\x08\0\0\0\x01\x03"
        b"AB\nC\nDE\n"
        b"\x01\x03\x02"  # counts
        b"\x00\x02\x01"  # widths
        b"\x05\x01\x00\x00\x00\x00\x00\x00\x01"  # firsts, byte by byte
        b"\x01"  # steps of one byte: DE
        b"\x02\x00\x29\x01"  # of two: C
    )


def test_two_terms_in_a_row_are_not_one_term() -> None:
    page = read_page(page_of({"AB": {1}, "C": {2}}))
    assert page.places("AB\nC") is None
    assert list(page.prefix("AB\nC")) == []
    assert page.prefix_places("AB\nC").tolist() == []


@given(st.binary(max_size=60))
def test_bytes_that_are_no_page_are_refused(body: bytes) -> None:
    with pytest.raises(BadPage):
        read_page(body)


@given(st.data())
def test_a_page_whose_lengths_do_not_add_up_is_refused(data: st.DataObject) -> None:
    raw = zlib.decompress(page_of({"AB": {5}, "C": {1, 3, 300}, "DE": {0x10000, 0x10001}}))
    cut = data.draw(st.integers(0, len(raw) - 1))
    with pytest.raises(BadPage):
        read_page(zlib.compress(raw[:cut]))
    with pytest.raises(BadPage):
        read_page(zlib.compress(raw + b"\0"))


@given(st.data())
def test_a_changed_page_is_refused_or_read_but_never_more_than_that(data: st.DataObject) -> None:
    raw = bytearray(zlib.decompress(page_of({"AB": {5}, "C": {1, 3, 300}, "DE": {0x10000, 0x10001}})))
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        page = read_page(zlib.compress(bytes(raw)))
    except BadPage:
        return
    page.lists()
    list(page.prefix(""))
