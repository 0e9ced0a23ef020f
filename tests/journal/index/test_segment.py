"""Segments: building and merging lose nothing, add nothing, and keep pages small and in order."""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msc.journal.database.layout import Page
from msc.journal.index import segment
from msc.journal.index.page import read_page
from msc.journal.index.segment import FAST, PAGE_BYTES, MemoryIndex, PageWriter, SegmentBuilder, merge

TERMS = st.text("AB\u00c9\U0001f600:", min_size=1, max_size=4)
PLACES = st.integers(0, 40) | st.integers(0, 2**64 - 1)
ADDITIONS = st.lists(st.tuples(st.lists(TERMS, max_size=6), PLACES), max_size=30)
Additions = Sequence[tuple[Sequence[str], int]]


def build(additions: Additions, number: int = 1) -> list[Page]:
    """Make a segment."""
    builder = SegmentBuilder()
    for terms, place in additions:
        builder.add_all(terms, place)
    writer = PageWriter(number, FAST)
    pages = builder.finish(writer)
    check(pages, writer)
    return pages


def check(pages: Sequence[Page], writer: PageWriter) -> None:
    """Hold a segment against what every segment promises."""
    assert [page.number for page in pages] == list(range(writer.pages))
    assert {page.segment for page in pages} <= {writer.segment}
    assert sum(len(read_page(page.body).lists().places) for page in pages) == writer.entries
    names = [name for page in pages for name in read_page(page.body).lists().names.split(b"\n")[:-1]]
    assert names == sorted(set(names))
    for page in pages:
        assert page.first_term == read_page(page.body).lists().names.decode().split("\n")[0]


def read(pages: Iterable[Page]) -> dict[str, list[int]]:
    """Return all that a segment holds."""
    return {term: places.tolist() for page in pages for term, places in read_page(page.body).prefix("")}


def by_hand(additions: Additions) -> dict[str, list[int]]:
    """Return what a segment of these is to hold."""
    held: defaultdict[str, set[int]] = defaultdict(set)
    for terms, place in additions:
        for term in terms:
            held[term].add(place)
    return {term: sorted(held[term]) for term in sorted(held, key=str.encode)}


@pytest.fixture(params=[40, PAGE_BYTES])
def page_bytes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Pages of a term or two, and of the real size."""
    monkeypatch.setattr(segment, "PAGE_BYTES", request.param)
    return int(request.param)


@pytest.mark.usefixtures("page_bytes")
class TestOfAnySize:
    """Whatever the size of the pages."""

    @given(ADDITIONS)
    def test_a_segment_holds_what_was_added(self, additions: Additions) -> None:
        assert read(build(additions)) == by_hand(additions)

    @given(st.lists(ADDITIONS, max_size=4))
    def test_merging_segments_is_adding_everything_to_one(self, parts: list[Additions]) -> None:
        writer = PageWriter(7)
        pages = list(merge([build(part, number) for number, part in enumerate(parts)], writer))
        check(pages, writer)
        assert read(pages) == by_hand([addition for part in parts for addition in part])


@given(ADDITIONS)
def test_an_index_in_memory_answers_as_a_segment_does(additions: Additions) -> None:
    memory, held = MemoryIndex(), by_hand(additions)
    for terms, place in additions:
        memory.add_all(terms, place)
    assert memory.places("Z") is None
    assert {term: places.tolist() for term, places in memory.prefix("")} == held
    assert {*memory.prefix_places("A").tolist()} == {p for term in held if term.startswith("A") for p in held[term]}
    for term, places in held.items():
        found = memory.places(term)
        assert found is not None
        assert found.tolist() == places
        assert [name for name, _ in memory.prefix(term[:2])] == [name for name in held if name.startswith(term[:2])]


def test_one_term_is_added_like_many() -> None:
    builder = SegmentBuilder()
    builder.add("A", 1)
    builder.add("A", 2)
    builder.add("A", 1)
    assert len(builder) == 3
    assert read(builder.finish(PageWriter(1))) == {"A": [1, 2]}


def test_pages_are_of_the_size_that_is_said_and_a_very_long_list_is_alone_in_one() -> None:
    long = [(["M"], place) for place in range(0, 3 * PAGE_BYTES)]
    pages = build([*((["L" + f"{place:09}", "N" + f"{place:09}"], place) for place in range(5000)), *long])
    sizes = {page.first_term: len(zlib.decompress(page.body)) for page in pages}
    assert sizes.pop("M") > 3 * PAGE_BYTES
    assert max(sizes.values()) <= PAGE_BYTES + 100
    assert len(pages) == 2 * (5000 * 16 // PAGE_BYTES + 1) + 1


def test_an_empty_segment_has_no_pages() -> None:
    assert build([]) == []
    assert list(merge([], PageWriter(1))) == []
    assert list(merge([[], []], PageWriter(1))) == []
