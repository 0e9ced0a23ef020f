"""A restored journal verifies, and answers as the one it was made from: with the real archivist, index and search."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from msc.journal.archive import Archivist
from msc.journal.backup import making
from msc.journal.backup.making import back_up
from msc.journal.backup.restoring import restore
from msc.journal.block import unpack
from msc.journal.criteria import AuditCriteria, Criteria
from msc.journal.database.layout import TailRow
from msc.journal.proof.verification import verify
from msc.journal.reader import JournalReader
from msc.journal.retention import months_from
from msc.journal.search import Searcher
from msc.transit.event import Event, Life
from tests.support.both_ends import BothEnds
from tests.support.journal_builder import DAY, JournalBuilder
from tests.support.memory_journal import MemoryJournal

KEY = X25519PrivateKey.generate()
SOUGHT = (
    Criteria(),
    Criteria(user="U001"),
    Criteria(device="T03", key="QV"),
    Criteria(line="STATE", direction="inbound"),
    Criteria(text=("MATCH", "1*")),
    Criteria(outcome="answered", agency="BAYPD"),
    Criteria(outcome="returned"),
    Criteria(outcome="open"),
)


class Busy:
    """A journal that is written and archived between any two reads; late events reach back into earlier months."""

    def __init__(self, journal: Any, builder: JournalBuilder, rng: Random, how_much: float) -> None:
        self._journal, self._builder, self._rng, self._how_much = journal, builder, rng, how_much
        self._archivist = Archivist(journal)

    def __getattr__(self, name: str) -> Any:
        async def read(*arguments: Any) -> Any:
            found = await getattr(self._journal, name)(*arguments)
            while self._rng.random() < self._how_much:
                await self.move()
            return found

        return read

    async def move(self) -> None:
        builder, rng = self._builder, self._rng
        for _ in range(rng.randrange(1, 5)):
            await builder.transact(builder.now + rng.randrange(1, DAY // 4))
        about = rng.randrange(1, builder.msn)
        await builder.enter([Event(about, builder.now + 1, Life.RETURNED, f"device:T{about % 20:02}")])
        if rng.random() < 0.5:
            await builder.state()
        if rng.random() < 0.5:
            archived = await self._archivist.step(at_least=rng.randrange(1, 40))
            await self._journal.commit([], drop_to=archived)


async def make_months(journal: Any) -> None:
    """Make the months the test may come to, as the archivist would each in its time."""
    for month in months_from(202602, 202712):
        await journal.make_month(month)


async def answers(journal: Any, last_msn: int) -> list[Any]:
    """Ask a journal everything; what came after `last_msn` is left out."""
    searcher = Searcher(JournalReader(journal))
    found: list[Any] = []
    for criteria in SOUGHT:
        search = searcher.search(criteria)
        found.append([e.as_json() async for e in search.entries() if e is not None and e.message.msn <= last_msn])
        assert search.completeness()["complete"]
    audit = searcher.audit(AuditCriteria(event="sign_on.granted"))
    found.append([stored async for stored in audit.records() if stored is not None])
    return found


async def check_alike(original: Any, restored: Any, builder: JournalBuilder, last_msn: int) -> None:
    report = await verify(restored, builder.signatories, now_us=builder.now + DAY)
    assert [finding.text for finding in report.faults] == []
    expected = await answers(original, last_msn)
    assert len(expected[0]) == last_msn
    assert await answers(restored, last_msn) == expected


@pytest.mark.requirement("F-BACKUP", "C-JOURNAL", "F-AUPROT")
async def test_a_restored_journal_verifies_and_searches_alike(
    tmp_path: Path, journal_url: str, postgres_url: str
) -> None:
    journal = BothEnds(journal_url)
    await journal.open()
    builder = JournalBuilder(journal)
    await make_months(journal)
    await builder.fill("2026-02-20", days=60, per_day=2)
    busy = Busy(journal, builder, Random(7), 0)
    for _ in range(20):
        await busy.move()
    report = await back_up(journal, tmp_path / "b", [KEY.public_key()])
    restored = BothEnds(postgres_url if journal_url != postgres_url else f"sqlite+aiosqlite:///{tmp_path / 'r.db'}")
    await restore(
        tmp_path / "b", KEY, restored, restored, builder.signer, by="CHIEF", reason="drill", now_us=builder.now
    )
    await check_alike(journal, restored, builder, report.end.msn)
    await restored.close()
    await journal.close()


@pytest.mark.requirement("F-BACKUP", "C-JOURNAL")
@pytest.mark.parametrize("seed", range(5))
async def test_so_does_one_whose_backup_was_made_under_traffic(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(making, "_ATTEMPTS", 1_000)
    journal = MemoryJournal()
    builder = JournalBuilder(journal, seed=seed)
    await make_months(journal)
    await builder.fill("2026-02-20", days=40, per_day=2)
    busy = Busy(journal, builder, Random(seed), 0.6)
    for _ in range(10):
        await busy.move()
    report = await back_up(busy, tmp_path / "b", [KEY.public_key()])

    restored = MemoryJournal()
    await restore(
        tmp_path / "b", KEY, restored, restored, builder.signer, by="CHIEF", reason="drill", now_us=builder.now
    )
    # What the original held when the backup was made: all records up to its end, and nothing archived.
    asked = MemoryJournal()
    asked.rows = {seq: row for seq, row in (await all_rows(journal)).items() if seq <= report.end.seq}
    asked.stored_state = None
    for archived_anew in (False, True):
        if archived_anew:
            again = Archivist(restored)
            await again.step(at_least=1)
            await restored.commit([], drop_to=await again.step(at_least=1))
        verified = await verify(restored, builder.signatories, now_us=builder.now + DAY)
        assert [finding.text for finding in verified.faults] == []
        assert await answers(restored, report.end.msn) == await answers(asked, report.end.msn)


async def all_rows(journal: MemoryJournal) -> dict[int, Any]:
    """Return all of a journal as rows of a tail."""
    rows = dict(journal.rows)
    for month in await journal.months():
        for block in await journal.blocks_after(month.month, 0, 1_000_000):
            for seq, body in enumerate(unpack(block), block.key.first):
                rows[seq] = TailRow(seq, body, b"")
    return dict(sorted(rows.items()))
