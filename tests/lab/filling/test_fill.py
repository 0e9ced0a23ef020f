"""Filling a journal: in both stores, and only where no real record stands."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from msc import clock
from msc.journal.block import unpack
from msc.journal.criteria import Criteria
from msc.journal.database.layout import JournalReading, JournalWriting
from msc.journal.database.opening import open_reading, open_writing
from msc.journal.ledger import Ledger
from msc.journal.proof.canonical import decode
from msc.journal.proof.chain import FIRST_LINK, leaf_of, link_after
from msc.journal.proof.checkpoint import Signatories, Signer, read_checkpoint
from msc.journal.reader import JournalReader
from msc.journal.record import AuditRecord, Record
from msc.journal.search import Searcher
from msc.lab.filling.fill import Filled, Filling, NotFillable, begin, fill, records_after
from msc.lab.filling.packing import Packing
from msc.lab.filling.stream import ENDED
from msc.transit.message import MessageRecord

END_US = clock.parse_rfc3339("2026-11-22T06:00:00Z")
RECORDS = 6_000
YEARS = 0.3


@pytest.fixture(scope="module")
def signer() -> Signer:
    """The journal's key."""
    return Signer(Ed25519PrivateKey.generate())


@pytest.fixture
async def writing(journal_url: str) -> AsyncIterator[JournalWriting]:
    """The writing end of a new journal."""
    end = open_writing(journal_url)
    yield end
    await end.close()


@pytest.fixture
async def reading(journal_url: str) -> AsyncIterator[JournalReading]:
    """Its reading end."""
    end = open_reading(journal_url)
    yield end
    await end.close()


def chunks_after(last_us: int, ledger: Ledger, *, end_us: int = END_US, seed: int = 3) -> Iterator[list[Record]]:
    return records_after(last_us, ledger.msn, records=RECORDS, years=YEARS, seed=seed, end_us=end_us)


async def bodies_of(reading: JournalReading) -> list[bytes]:
    """Return all records that stand in blocks."""
    found = []
    for month in await reading.months():
        for block in await reading.blocks_after(month.month, 0, 10_000) if month.last else ():
            found += unpack(block)
    return found


@pytest.mark.requirement("C-TRAFFIC", "C-JOURNAL")
async def test_a_filled_journal_is_whole_chained_and_packed(
    journal_url: str, writing: JournalWriting, reading: JournalReading, signer: Signer
) -> None:
    ledger, last_us = await begin(writing, reading, signer)
    told: list[Filled] = []
    async with Packing(journal_url, beside=False) as packing:
        filled = await fill(Filling(writing, ledger, packing), chunks_after(last_us, ledger), told.append)
    assert filled.records == RECORDS
    assert told[-1] == filled
    assert not await reading.tail()
    link = FIRST_LINK
    bodies = await bodies_of(reading)
    for number, body in enumerate(bodies, 1):
        assert decode(body).seq == number
        link = link_after(link, leaf_of(body))
    assert len(bodies) == RECORDS
    assert sum(isinstance(decode(body).record, MessageRecord) for body in bodies) == filled.messages
    last = await reading.last_checkpoint()
    assert last is not None
    said = read_checkpoint(last.body)
    assert (said.seq, said.link, said.at) == (RECORDS, link, filled.at_us)
    signatories = Signatories([signer.key.public_key()])
    checkpoints = await reading.checkpoints()
    assert all(signatories.signed(row.body, row.signature, read_checkpoint(row.body).key) for row in checkpoints)
    assert read_checkpoint(checkpoints[0].body).seq == 0
    assert [row.statement for row in checkpoints].count("sealed") == len(
        [m for m in await reading.months() if m.sealed]
    )
    assert not ledger.owed


async def test_a_filled_journal_is_found_by_search(
    journal_url: str, writing: JournalWriting, reading: JournalReading, signer: Signer
) -> None:
    ledger, last_us = await begin(writing, reading, signer)
    async with Packing(journal_url, beside=False) as packing:
        await fill(Filling(writing, ledger, packing), chunks_after(last_us, ledger))
    bodies = [decode(body).record for body in await bodies_of(reading)]
    wanted = [m.msn for m in bodies if isinstance(m, MessageRecord) and m.key == "QV"]
    searcher = Searcher(JournalReader(reading))
    assert await searcher.search(Criteria(key="QV")).all_msns() == wanted


async def test_another_filling_goes_on_after_an_older_one(
    journal_url: str, writing: JournalWriting, reading: JournalReading, signer: Signer
) -> None:
    ledger, last_us = await begin(writing, reading, signer)
    async with Packing(journal_url, beside=False) as packing:
        older = clock.parse_rfc3339("2026-06-01")
        await fill(Filling(writing, ledger, packing), chunks_after(last_us, ledger, end_us=older))
        msn = ledger.msn
        ledger, last_us = await begin(writing, reading, signer)
        assert (ledger.seq, ledger.msn) == (RECORDS, msn)
        await fill(Filling(writing, ledger, packing), chunks_after(last_us, ledger))
    bodies = await bodies_of(reading)
    msns = [r.msn for body in bodies if isinstance(r := decode(body).record, MessageRecord)]
    assert len(bodies) == 2 * RECORDS
    assert msns == list(range(1, len(msns) + 1))


async def test_a_filling_that_would_have_to_stand_before_what_is_there_is_refused(
    writing: JournalWriting, reading: JournalReading, signer: Signer
) -> None:
    ledger, last_us = await begin(writing, reading, signer)
    await fill(Filling(writing, ledger), chunks_after(last_us, ledger))
    ledger, last_us = await begin(writing, reading, signer)
    with pytest.raises(NotFillable, match="records can only be added at the end"):
        chunks_after(last_us, ledger)


async def test_a_journal_with_real_records_is_not_filled(
    writing: JournalWriting, reading: JournalReading, signer: Signer
) -> None:
    ledger, last_us = await begin(writing, reading, signer)
    filling = Filling(writing, ledger)
    await fill(filling, chunks_after(last_us, ledger))
    # The switch was started on it since.
    await filling.enter([AuditRecord(END_US + 1, "switch.started", detail="1.0")])
    with pytest.raises(NotFillable, match="no filling made"):
        await begin(writing, reading, signer)


@pytest.mark.parametrize("after", [1, 3])
async def test_an_interrupted_filling_leaves_a_whole_journal_that_another_can_go_on_from(
    writing: JournalWriting, reading: JournalReading, signer: Signer, after: int
) -> None:
    ledger, last_us = await begin(writing, reading, signer)
    older = clock.parse_rfc3339("2026-06-01")
    chunks = records_after(last_us, 0, records=40_000, years=YEARS, seed=1, end_us=older)
    commits = 0
    task: asyncio.Task[Filled]

    def interrupt(_filled: Filled) -> None:
        nonlocal commits
        commits += 1
        if commits == after:
            task.cancel()

    task = asyncio.ensure_future(fill(Filling(writing, ledger), chunks, interrupt))
    with pytest.raises(asyncio.CancelledError):
        await task
    tail = await reading.tail()
    last = decode(tail[-1].body).record
    assert isinstance(last, AuditRecord)
    assert (last.event, last.detail) == (ENDED, "interrupted")
    assert [row.seq for row in tail] == list(range(1, len(tail) + 1))
    ledger, last_us = await begin(writing, reading, signer)
    assert ledger.link == tail[-1].link
    await fill(Filling(writing, ledger), chunks_after(last_us, ledger))


async def test_the_archivist_packs_beside_the_filling_in_a_process_of_its_own(
    journal_url: str, writing: JournalWriting, reading: JournalReading, signer: Signer
) -> None:
    ledger, last_us = await begin(writing, reading, signer)
    filling = Filling(writing, ledger, packing := Packing(journal_url))
    async with packing:
        for chunk in chunks_after(last_us, ledger):
            await filling.enter(chunk)
        await filling.finish()
    assert packing.archived == RECORDS
    assert not await reading.tail()
