"""What stands in a backup, item by item, so that any kind of database can be filled from it.

    kind      1 byte
    members   4 bytes big-endian: their length; then a JSON array
    data      4 bytes big-endian: its length; then bytes

    kind   members                                          data
    J      [1]: the form of what follows
    G      [month, number, tier, pages, entries]            a segment of a month's index ...
    P      [month, segment, number, first term]             ... and a page of it
    X      [month]                                          forget the month's segments so far: it changed meanwhile
    B      [month, members of BlockKey, link]               a block: its marks, then its body
    M      members of Month                                 what a month holds; after its blocks
    H      members of Hold                                  a legal hold
    C      [number, seq, statement]                         a checkpoint: its signature (64 bytes), then its body
    T      [seq]                                            a row of the tail: the chain's value, then its body
    W                                                       what the writer goes on from
    E      [seq, msn, time, records]                        the end: the last record, and how many there are

They come in this order, months one after the other. Nothing in it depends on where the journal stands.
"""

from __future__ import annotations

import struct
from typing import Any, Final, NamedTuple

import orjson

from msc.journal.backup.sealed import BadBackup, SealedReader, SealedWriter
from msc.journal.database.layout import Block, BlockKey, CheckpointRow, Hold, Month, Page, Segment, TailRow
from msc.journal.proof.chain import HASH_BYTES, MARK_BYTES

FORM: Final = 1
_SIGNATURE_BYTES: Final = 64
_HEAD: Final = struct.Struct(">cII")
_MEMBERS_MAX: Final = 1 << 20
_DATA_MAX: Final = 256 << 20
"""A block holds 256 records of at most 64 KiB before it is compressed, a state some megabytes; whoever has the public
key can write a backup, and none may make us ask for all memory."""


class Item(NamedTuple):
    """One item, taken apart no further than the file shows it."""

    kind: bytes
    members: list[Any]
    data: bytes


class End(NamedTuple):
    """Where a backup ends.

    Attributes:
        seq: Of its last record.
        msn: The highest MSN in it.
        at: Wall time of the last record, microseconds; 0 where there is none.
        records: How many it holds: those of deleted months are not among them.
    """

    seq: int
    msn: int
    at: int
    records: int


class ContentWriter:
    """Writes items."""

    def __init__(self, to: SealedWriter) -> None:
        self._to = to
        self._put(b"J", [FORM])

    def _put(self, kind: bytes, members: list[Any], *data: bytes) -> None:
        written = orjson.dumps(members)
        self._to.write(_HEAD.pack(kind, len(written), sum(map(len, data))) + written)
        for part in data:
            self._to.write(part)

    def segment(self, month: int, segment: Segment) -> None:
        self._put(b"G", [month, *segment])

    def page(self, month: int, page: Page) -> None:
        self._put(b"P", [month, page.segment, page.number, page.first_term], page.body)

    def forget_index(self, month: int) -> None:
        self._put(b"X", [month])

    def block(self, month: int, block: Block) -> None:
        self._put(b"B", [month, *block.key, block.link.hex()], block.marks, block.body)

    def month(self, month: Month) -> None:
        self._put(b"M", [*month])

    def hold(self, hold: Hold) -> None:
        self._put(b"H", [*hold])

    def checkpoint(self, row: CheckpointRow) -> None:
        self._put(b"C", [row.number, row.seq, row.statement], row.signature, row.body)

    def tail(self, row: TailRow) -> None:
        self._put(b"T", [row.seq], row.link, row.body)

    def state(self, state: bytes) -> None:
        self._put(b"W", [], state)

    def end(self, end: End) -> None:
        self._put(b"E", [*end])


def next_item(source: SealedReader) -> Item:
    """Read an item.

    Raises:
        BadBackup: There is none, or it makes no sense.
    """
    kind, size, data = _HEAD.unpack(source.read(_HEAD.size))
    if size > _MEMBERS_MAX or data > _DATA_MAX:
        raise BadBackup("the backup holds an item larger than any can be")
    try:
        members = orjson.loads(source.read(size))
    except orjson.JSONDecodeError as exc:
        raise BadBackup("the backup holds an item that cannot be read") from exc
    return Item(kind, members, source.read(data))


def block_of(item: Item) -> Block:
    """Return the block an item holds."""
    _month, *key, link = item.members
    marks = (key[1] - key[0] + 1) * MARK_BYTES
    return Block(BlockKey(*key), bytes.fromhex(link), item.data[:marks], item.data[marks:])


def page_of(item: Item) -> Page:
    """Return the page of an index an item holds."""
    _month, segment, number, first_term = item.members
    return Page(segment, number, first_term, item.data)


def checkpoint_of(item: Item) -> CheckpointRow:
    """Return the checkpoint an item holds."""
    number, seq, statement = item.members
    return CheckpointRow(number, seq, statement, item.data[_SIGNATURE_BYTES:], item.data[:_SIGNATURE_BYTES])


def tail_row_of(item: Item) -> TailRow:
    """Return the row of the tail an item holds."""
    return TailRow(item.members[0], item.data[HASH_BYTES:], item.data[:HASH_BYTES])
