"""A journal's database with all of its ends, and things to put there."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from msc.journal.database.layout import (
    Block,
    BlockKey,
    CheckpointRow,
    JournalArchiving,
    JournalReading,
    JournalWriting,
    Page,
    TailRow,
)
from msc.journal.database.opening import open_archiving, open_reading, open_writing


@dataclass(frozen=True, slots=True)
class Ends:
    """The ends of one database, as switch, search and archivist have them."""

    url: str
    writer: JournalWriting
    reader: JournalReading
    archivist: JournalArchiving

    async def close(self) -> None:
        for end in (self.reader, self.archivist, self.writer):
            await end.close()


def ends_of(url: str) -> Ends:
    return Ends(url, open_writing(url), open_reading(url), open_archiving(url))


@pytest.fixture
async def journal(journal_url: str) -> AsyncIterator[Ends]:
    """A new journal, opened, in each kind of database."""
    ends = ends_of(journal_url)
    await ends.writer.open()
    yield ends
    await ends.close()


def rows(first: int, last: int) -> list[TailRow]:
    return [
        TailRow(seq, f'["m",{seq},"é"]'.encode() + bytes(range(256)), seq.to_bytes(32))
        for seq in range(first, last + 1)
    ]


def checkpoint(number: int, seq: int) -> CheckpointRow:
    return CheckpointRow(number, seq, "held", f"statement {number}".encode(), bytes(64))


def block(first: int, last: int) -> Block:
    key = BlockKey(first, last, first + 10**12, last + 10**12, first * 10**9, last * 10**9)
    return Block(key, last.to_bytes(32), os.urandom(8 * (last - first + 1)), os.urandom(3000))


def page(segment: int, number: int, term: str = "user:J40217") -> Page:
    return Page(segment, number, term, os.urandom(4000))
