"""Chain and tree against the definitions of RFC 6962, written as plainly as they stand there."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msc.journal.proof.chain import EMPTY_ROOT, Frontier, inclusion_path, leaf_of, root_from_path

bodies = st.lists(st.binary(max_size=8), max_size=70)


def naive_root(leaves: list[bytes]) -> bytes:
    """RFC 6962, 2.1: the tree over n leaves splits at the largest power of two below n."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return sha256(b"\x01" + naive_root(leaves[:split]) + naive_root(leaves[split:])).digest()


def naive_path(leaves: list[bytes], index: int) -> list[bytes]:
    """RFC 6962, 2.1.1."""
    if len(leaves) == 1:
        return []
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    if index < split:
        return [*naive_path(leaves[:split], index), naive_root(leaves[split:])]
    return [*naive_path(leaves[split:], index - split), naive_root(leaves[:split])]


@pytest.mark.requirement("C-JOURNAL", "F-AUPROT")
@given(bodies)
def test_a_tree_that_grows_has_the_root_of_the_whole(members: list[bytes]) -> None:
    frontier, leaves = Frontier(), [leaf_of(body) for body in members]
    assert frontier.root() == EMPTY_ROOT
    for number, leaf in enumerate(leaves, 1):
        frontier.append(leaf)
        assert frontier.root() == naive_root(leaves[:number])
        assert len(frontier.nodes) == number.bit_count()


@given(st.lists(st.lists(st.binary(min_size=32, max_size=32), max_size=40), max_size=8))
def test_many_leaves_at_once_grow_the_tree_as_one_by_one_do(runs: list[list[bytes]]) -> None:
    once, single = Frontier(), Frontier()
    for run in runs:
        once.extend(run)
        for leaf in run:
            single.append(leaf)
        assert (once.count, once.nodes) == (single.count, single.nodes)


@given(bodies.filter(bool), st.data())
def test_a_path_leads_from_its_leaf_to_the_root_and_from_no_other(members: list[bytes], data: st.DataObject) -> None:
    leaves = [leaf_of(body) for body in members]
    index = data.draw(st.integers(0, len(leaves) - 1))
    path = inclusion_path(leaves, index)
    assert path == naive_path(leaves, index)
    root = naive_root(leaves)
    assert root_from_path(leaves[index], index, len(leaves), path) == root
    assert root_from_path(leaf_of(b"something quite else"), index, len(leaves), path) != root
    assert root_from_path(leaves[index], index, len(leaves), [*path, root]) is None
    if path:
        assert root_from_path(leaves[index], index, len(leaves), path[:-1]) != root
    assert root_from_path(leaves[index], len(leaves), len(leaves), path) is None
