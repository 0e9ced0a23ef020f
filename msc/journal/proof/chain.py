"""The chain and the tree over records' canonical bytes. SHA-256 throughout; pure.

    leaf      = SHA-256(00 || canonical bytes)
    link      = SHA-256(link before || leaf)          the first link's "before" is 32 zero bytes
    tree      RFC 6962: a node is SHA-256(01 || left || right), over the leaves of one month

The chain says that nothing was changed, left out, put in or swapped; the tree lets one record be proven alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Final

HASH_BYTES: Final = 32
FIRST_LINK: Final = bytes(HASH_BYTES)
EMPTY_ROOT: Final = sha256(b"").digest()
MARK_BYTES: Final = 8
"""How much of each leaf stands beside a block: enough to say which record of it was changed."""


def leaf_of(body: bytes) -> bytes:
    """Return the hash of a record's canonical bytes."""
    return sha256(b"\x00" + body).digest()


def link_after(link: bytes, leaf: bytes) -> bytes:
    """Return the chain's value after one more record."""
    return sha256(link + leaf).digest()


def node_of(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node of the tree."""
    return sha256(b"\x01" + left + right).digest()


class Frontier:
    """The right edge of a tree that grows: all that is needed to add leaves and to tell the root.

    Args:
        count: Leaves so far.
        nodes: Roots of the perfect subtrees, largest first: one for each bit that is set in `count`.
    """

    __slots__ = ("count", "nodes")

    def __init__(self, count: int = 0, nodes: Iterable[bytes] = ()) -> None:
        self.count = count
        self.nodes = list(nodes)

    def append(self, leaf: bytes) -> None:
        """Add a leaf."""
        size = self.count
        while size & 1:
            leaf = node_of(self.nodes.pop(), leaf)
            size >>= 1
        self.nodes.append(leaf)
        self.count += 1

    def extend(self, leaves: Sequence[bytes]) -> None:
        """Add many leaves, level by level: faster than one after the other."""
        level, size, height = list(leaves), self.count, 0
        self.count += len(level)
        grown: list[bytes] = []
        while level:
            if size >> height & 1:
                # Its left neighbour has been waiting; all lower ones are gone, so it is the last.
                level.insert(0, self.nodes.pop())
            if len(level) & 1:
                grown.append(level.pop())
            halves = iter(level)
            level = [sha256(b"\x01" + left + right).digest() for left, right in zip(halves, halves, strict=True)]
            height += 1
        self.nodes.extend(reversed(grown))

    def root(self) -> bytes:
        """Return the root over all leaves so far."""
        if not self.nodes:
            return EMPTY_ROOT
        root = self.nodes[-1]
        for node in reversed(self.nodes[:-1]):
            root = node_of(node, root)
        return root

    def copy(self) -> Frontier:
        """Return one that grows on its own."""
        return Frontier(self.count, self.nodes)


def inclusion_path(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """Return the hashes that lead from a leaf to the root, lowest first (RFC 6962, 2.1.1).

    Args:
        leaves: All leaves of the tree.
        index: The leaf's place, from 0.
    """
    path: list[bytes] = []
    level = list(leaves)
    while len(level) > 1:
        sibling = index ^ 1
        if sibling < len(level):
            path.append(level[sibling])
        above = [node_of(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        if len(level) & 1:
            above.append(level[-1])
        level, index = above, index >> 1
    return path


def root_from_path(leaf: bytes, index: int, count: int, path: Sequence[bytes]) -> bytes | None:
    """Return the root a path leads to (RFC 9162, 2.1.3.2); None if it cannot be one of such a tree."""
    if not 0 <= index < count:
        return None
    at, last, node = index, count - 1, leaf
    for sibling in path:
        if last == 0:
            return None
        if at & 1 or at == last:
            node = node_of(sibling, node)
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            node = node_of(node, sibling)
        at, last = at >> 1, last >> 1
    return node if last == 0 else None
