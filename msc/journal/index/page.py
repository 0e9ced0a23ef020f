"""A page of the index: sorted terms, and the places of each. Little-endian; the whole is in zlib (RFC 1950).

    u32  terms          how many, N
    u32  names          bytes of the names
    u8   C              bytes of a count, 1 to 4
    u8   F              bytes of a first place, 1 to 8
    names               the terms in UTF-8, sorted by their bytes, each followed by a line feed
    counts     C x N    how many places each term has: byte 0 of every count, then byte 1 of every count ...
    widths     N        bytes of each of a term's steps: 1, 2, 4 or 8; 0 where it has one place only
    firsts     F x N    the first place of each term, laid out as the counts are
    steps 1             of all terms of width 1, in their order: from each place to the next
    steps 2             the same of width 2
    steps 4
    steps 8

A term stands in one page of its segment, with all its places, and has one place at least. Places rise and are
distinct. Numbers are laid out byte by byte because their high bytes are nearly all alike, and steps by width, so that
a page is read and written in a few strides however many terms it holds.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from msc.errors import JournalError

Places = npt.NDArray[np.uint64]
NO_PLACES: Final[Places] = np.empty(0, np.uint64)
_HEAD: Final = struct.Struct("<IIBB")
_WIDTHS: Final = (1, 2, 4, 8)
_BYTES_MAX: Final = 1 << 28
"""Unpacked. A term of ten million messages is a third of it; more is meant to fill our memory."""


class BadPage(JournalError):
    """Bytes that stand where a page of the index should are none."""


class Lists(NamedTuple):
    """Terms and their places, side by side.

    Attributes:
        names: The terms in UTF-8, sorted, each followed by a line feed.
        counts: How many places each has.
        places: Of all terms, one after the other.
    """

    names: bytes
    counts: npt.NDArray[np.int64]
    places: Places


def encode_page(lists: Lists, level: int) -> bytes:
    """Write a page.

    Args:
        lists: What it holds.
        level: zlib's.
    """
    counts, places = lists.counts, lists.places
    starts = np.cumsum(counts) - counts
    steps, widths = steps_of(counts, places)
    by_step = np.repeat(widths, counts)
    by_step[starts] = 0
    counted, first = _planes(counts.astype(np.uint64)), _planes(places[starts])
    raw = [
        _HEAD.pack(len(counts), len(lists.names), len(counted), len(first)),
        lists.names,
        counted.tobytes(),
        widths.tobytes(),
        first.tobytes(),
    ]
    raw += [steps[by_step == width].astype(f"<u{width}").tobytes() for width in _WIDTHS]
    return zlib.compress(b"".join(raw), level)


def steps_of(counts: npt.NDArray[np.int64], places: Places) -> tuple[Places, npt.NDArray[np.uint8]]:
    """Return the step to each place from the one before (0 to a term's first), and the width of each term's steps."""
    starts = np.cumsum(counts) - counts
    steps = np.diff(places, prepend=places[:1])
    steps[starts] = 0
    longest = np.maximum.reduceat(steps, starts)
    widths = np.ones(len(counts), np.uint8)
    widths[longest > 0xFF] = 2
    widths[longest > 0xFFFF] = 4
    widths[longest > 0xFFFFFFFF] = 8
    widths[counts == 1] = 0
    return steps, widths


def _planes(numbers: Places) -> npt.NDArray[np.uint8]:
    """Lay numbers out byte by byte, without the high bytes that none of them needs."""
    by_byte = numbers.astype("<u8").view(np.uint8).reshape(-1, 8).T
    needed = max(1, (int(numbers.max()).bit_length() + 7) // 8)
    return np.ascontiguousarray(by_byte[:needed])


class PageReader:
    """A page, to look up terms in.

    Args:
        body: The page as it is stored.

    Raises:
        BadPage: It is none.
    """

    __slots__ = ("_firsts", "_names", "_raw", "_steps_at", "_widths", "counts")

    def __init__(self, body: bytes) -> None:
        try:
            unpacking = zlib.decompressobj()
            raw = unpacking.decompress(body, _BYTES_MAX)
            terms, names, count_bytes, first_bytes = _HEAD.unpack_from(raw)
            raw[_HEAD.size : _HEAD.size + names].decode()
        except (zlib.error, struct.error, UnicodeDecodeError) as exc:
            raise BadPage(f"a page of the index cannot be unpacked: {type(exc).__name__}") from exc
        counts_at = _HEAD.size + names
        widths_at = counts_at + count_bytes * terms
        firsts_at = widths_at + terms
        steps_at = firsts_at + first_bytes * terms
        if (
            not unpacking.eof
            or unpacking.unused_data
            or not terms
            or not 0 < count_bytes <= 4
            or not 0 < first_bytes <= 8
            or len(raw) < steps_at
        ):
            raise BadPage("a page of the index is cut short")
        self._raw = raw
        # With a line feed in front, every term stands between two.
        self._names = b"\n" + raw[_HEAD.size : counts_at]
        self.counts: npt.NDArray[np.int64] = _from_planes(raw[counts_at:widths_at], count_bytes).astype(np.int64)
        self._widths = np.frombuffer(raw, np.uint8, terms, widths_at)
        self._firsts = _from_planes(raw[firsts_at:steps_at], first_bytes)
        self._steps_at: dict[int, int] = {}
        for width in _WIDTHS:
            self._steps_at[width] = steps_at
            steps_at += width * int((self.counts[self._widths == width] - 1).sum())
        singles = self._widths == 0
        sound = (
            len(raw) == steps_at
            and self._names.count(b"\n") == terms + 1
            and bool((self.counts > 0).all())
            and bool((self.counts[singles] == 1).all())
            and bool(np.isin(self._widths[~singles], _WIDTHS).all())
        )
        if not sound:
            raise BadPage("a page of the index does not hold what it says")

    def places(self, term: str) -> Places | None:
        """Return the places of a term, rising; None if it is not here."""
        at = self._names.find(b"\n" + term.encode() + b"\n")
        return None if at < 0 or "\n" in term else self._places_of(self._names.count(b"\n", 0, at))

    def prefix(self, beginning: str) -> Iterator[tuple[str, Places]]:
        """Yield the terms that begin so, in order, with their places."""
        wanted = b"\n" + beginning.encode()
        at = self._names.find(wanted)
        if at < 0 or "\n" in beginning:
            return
        number = self._names.count(b"\n", 0, at)
        while at < len(self._names) - 1 and self._names.startswith(wanted, at):
            end = self._names.index(b"\n", at + 1)
            yield self._names[at + 1 : end].decode(), self._places_of(number)
            at, number = end, number + 1

    def prefix_places(self, beginning: str) -> Places:
        """Return the places of all terms that begin so, in no order: at once, as they may be thousands."""
        wanted = b"\n" + beginning.encode()
        at = self._names.find(wanted)
        if at < 0 or "\n" in beginning or at == len(self._names) - 1:
            return NO_PLACES
        begin = self._names.count(b"\n", 0, at)
        end = begin + 1 + self._names.count(b"\n", at + 1, self._names.rfind(wanted, 0, -1) + 1)
        _, counts, places = self.lists()
        return places[int(counts[:begin].sum()) : int(counts[:end].sum())]

    def lists(self) -> Lists:
        """Return everything in it."""
        counts = self.counts
        starts = np.cumsum(counts) - counts
        steps = np.zeros(int(counts.sum()), np.uint64)
        by_step = np.repeat(self._widths, counts)
        by_step[starts] = 0
        for width, at in self._steps_at.items():
            here = by_step == width
            steps[here] = np.frombuffer(self._raw, f"<u{width}", int(here.sum()), at)
        walked = np.cumsum(steps)
        # Arithmetic is modulo 2**64, so that a sum that overflows on the way comes out right.
        places = walked + np.repeat(self._firsts - walked[starts], counts)
        return Lists(self._names[1:], counts, places)

    def _places_of(self, number: int) -> Places:
        count, width = int(self.counts[number]), int(self._widths[number])
        places = np.empty(count, np.uint64)
        places[0] = self._firsts[number]
        if width:
            before = self._widths[:number] == width
            at = self._steps_at[width] + width * int((self.counts[:number][before] - 1).sum())
            places[1:] = np.frombuffer(self._raw, f"<u{width}", count - 1, at)
            np.cumsum(places, out=places)
        return places


def distinct(places: Places) -> Places:
    """Return places rising, each once. `numpy.unique` takes ten times as long."""
    if not len(places):
        return places
    rising = np.sort(places)
    return rising[np.concatenate(([True], rising[1:] != rising[:-1]))]


def read_page(body: bytes) -> PageReader:
    """Read a page.

    Raises:
        BadPage: It is none.
    """
    return PageReader(body)


def _from_planes(planes: bytes, width: int) -> Places:
    by_byte = np.frombuffer(planes, np.uint8).reshape(width, -1)
    numbers = np.zeros((by_byte.shape[1], 8), np.uint8)
    numbers[:, :width] = by_byte.T
    return numbers.reshape(-1).view("<u8").astype(np.uint64, copy=False)
