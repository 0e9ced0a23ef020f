"""Two indexes are compared term by term, however their places are spread over segments."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from msc.journal.index.comparison import differences
from msc.journal.index.page import Lists
from msc.journal.index.segment import PageWriter, SegmentBuilder, lists_of

TERMS = st.text("AÄ1~:!@", min_size=1, max_size=3)
Entries = set[tuple[str, int]]
ENTRIES = st.sets(st.tuples(TERMS, st.integers(0, 9)), max_size=30)


def segments(parts: Iterable[Entries]) -> list[Iterable[Lists]]:
    found: list[Iterable[Lists]] = []
    for part in parts:
        builder = SegmentBuilder()
        for term, place in part:
            builder.add(term, place)
        found.append(map(lists_of, builder.finish(PageWriter(1))))
    return found


@given(st.lists(ENTRIES, max_size=3), st.lists(ENTRIES, max_size=3))
def test_what_only_one_of_two_indexes_has_is_told(first: list[Entries], second: list[Entries]) -> None:
    ours, theirs = set[tuple[str, int]]().union(*first), set[tuple[str, int]]().union(*second)
    found = list(differences(segments(first), segments(second)))
    assert [difference.term for difference in found] == sorted({term for term, _ in ours ^ theirs})
    assert {(d.term, place) for d in found for place in d.missing.tolist()} == ours - theirs
    assert {(d.term, place) for d in found for place in d.extra.tolist()} == theirs - ours


@given(ENTRIES, st.lists(st.booleans(), min_size=30, max_size=30))
def test_how_places_are_spread_makes_no_difference(entries: Entries, choices: list[bool]) -> None:
    chosen = {entry for entry, choice in zip(sorted(entries), choices, strict=False) if choice}
    assert not list(differences(segments([entries]), segments([chosen, entries - chosen, chosen])))
