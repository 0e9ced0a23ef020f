"""Blocks: runs of records, compressed together. JSON lines in zlib, so that any tool can read them."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from msc.errors import JournalError
from msc.journal.database.layout import Block, BlockKey
from msc.journal.proof.canonical import Stored
from msc.journal.proof.chain import MARK_BYTES, leaf_of
from msc.journal.record import Unreadable, time_of
from msc.transit.message import MessageRecord

RECORDS = 256
"""Records of a block at most: enough to compress well, few enough to unpack one for a single message."""
_LEVEL = 4
"""zlib's level: 6 would make blocks a twelfth smaller, and take half as long again."""


class BadBlock(JournalError):
    """A block cannot be unpacked."""


def pack(bodies: Sequence[bytes], records: Sequence[Stored], link: bytes) -> Block:
    """Pack records that follow on each other.

    Args:
        bodies: Their canonical bytes.
        records: The same, decoded.
        link: The chain's value after the last of them.
    """
    msns = [stored.record.msn for stored in records if isinstance(stored.record, MessageRecord)]
    times = [at for stored in records if (at := wall_time(stored)) is not None] or [0]
    key = BlockKey(
        records[0].seq,
        records[-1].seq,
        msns[0] if msns else 0,
        msns[-1] if msns else 0,
        min(times),
        max(times),
    )
    return Block(
        key,
        link,
        b"".join(leaf_of(body)[:MARK_BYTES] for body in bodies),
        zlib.compress(b"\n".join(bodies) + b"\n", _LEVEL),
    )


def unpack(block: Block) -> list[bytes]:
    """Return the canonical bytes of a block's records.

    Raises:
        BadBlock: They cannot be unpacked, or are not as many as they should be.
    """
    try:
        bodies = zlib.decompress(block.body).split(b"\n")
    except zlib.error as exc:
        raise BadBlock(f"the block of records {block.key.first} to {block.key.last} cannot be unpacked") from exc
    if bodies.pop() or len(bodies) != block.key.last - block.key.first + 1:
        raise BadBlock(f"the block of records {block.key.first} to {block.key.last} does not hold as many records")
    return bodies


def wall_time(stored: Stored) -> int | None:
    """Return when a record was made: wall time, microseconds; None where that cannot be told."""
    record = stored.record
    return record.at if isinstance(record, Unreadable) else time_of(record)
