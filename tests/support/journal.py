"""A journal made without a switch: records entered as the writer enters them, and looked at as a search does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from msc import clock
from msc.journal.database.layout import Opened
from msc.journal.database.opening import open_reading, open_writing
from msc.journal.ledger import Ledger
from msc.journal.proof.checkpoint import Signer
from msc.journal.reader import JournalReader
from msc.journal.record import Record, StepsRecord, Unreadable
from msc.journal.search import Searcher
from msc.transit.event import Event
from msc.transit.message import MessageRecord
from msc.transit.state import State

SIGNER = Signer(Ed25519PrivateKey.generate())
"""A signing key of nobody."""
_IDENTITY = bytes(range(16))


@dataclass(frozen=True)
class Entered:
    """A journal's end after records were entered.

    Attributes:
        seq: The last record's position.
        owed: What had not ended, as the writer tells it.
    """

    seq: int
    owed: Mapping[int, Mapping[str, State]]


def recorded(*given: Record | Event) -> list[Record]:
    """Return records as the writer makes them: an event by itself is a step of its message."""
    return [StepsRecord(each.msn, each.at, (each,)) if isinstance(each, Event) else each for each in given]


async def enter(url: str, *records: Record | Event, signer: Signer = SIGNER, checkpoint: bool = True) -> Entered:
    """Enter records in one commit, behind those that are there; a new journal is begun with them.

    Args:
        checkpoint: Whether a checkpoint covers them, as it does within the minute.
    """
    writing = open_writing(url)
    try:
        ledger = Ledger.of(await writing.open(), signer, _IDENTITY)
        entered = ledger.enter([(clock.monotonic_us(), record) for record in recorded(*records)])
        checkpoints, state = entered.checkpoints, None
        if checkpoint or checkpoints:
            checkpoints.append(ledger.checkpoint(clock.wall_us()))
            state = ledger.state()
        await writing.commit(entered.rows, checkpoints=checkpoints, state=state)
        return Entered(ledger.seq, ledger.owed)
    finally:
        await writing.close()


async def drop(url: str, to: int) -> None:
    """Drop the tail up to a record, as the writer does once the archivist has said so."""
    writing = open_writing(url)
    try:
        await writing.open()
        await writing.commit((), drop_to=to)
    finally:
        await writing.close()


async def found_by_writer(url: str) -> Opened:
    """Return what a starting writer finds."""
    writing = open_writing(url)
    try:
        return await writing.open()
    finally:
        await writing.close()


@asynccontextmanager
async def reading(url: str) -> AsyncIterator[JournalReader]:
    """Read a journal."""
    reader = JournalReader(open_reading(url))
    try:
        yield reader
    finally:
        await reader.close()


@asynccontextmanager
async def searching(url: str) -> AsyncIterator[Searcher]:
    """Search a journal."""
    async with reading(url) as reader:
        yield Searcher(reader)


async def records_of(url: str) -> list[Record]:
    """Return all records of a journal, in order."""
    async with reading(url) as reader:
        found = [stored.record async for stored in reader.records_since(0)]
    assert not [record for record in found if isinstance(record, Unreadable)]
    return found  # type: ignore[return-value]


def events_of(records: Iterable[Record | Unreadable]) -> Iterator[Event]:
    """Yield the events that records hold."""
    for record in records:
        if isinstance(record, MessageRecord | StepsRecord):
            yield from record.events


def unnumbered(events: Iterable[Event]) -> list[Event]:
    """Return events as they were entered: without the output sequence numbers that the journal gave them."""
    return [
        event._replace(facts={name: fact for name, fact in event.facts.items() if name != "osn"})  # type: ignore[typeddict-item]
        for event in events
    ]


def interleaved(messages: Iterable[Record], events: Iterable[Record]) -> list[Record]:
    """Put messages and their events in the order of their times, as they would have been written."""
    return sorted([*messages, *events], key=_time)


def _time(record: Record) -> int:
    return record.received if hasattr(record, "received") else record.at
