"""A backup made while everything moves, restored: the same records, byte for byte, up to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from msc import clock
from msc.errors import JournalError
from msc.journal.backup import making, restoring
from msc.journal.backup.making import BackupReport, back_up
from msc.journal.backup.restoring import MSN_A_DAY, NotEmpty, RestoreReport, msn_to_skip, restore
from msc.journal.backup.sealed import BadBackup
from msc.journal.block import unpack
from msc.journal.database.layout import Block, Hold, Month, Page, Segment
from msc.journal.database.opening import open_reading
from msc.journal.ledger import Ledger
from msc.journal.proof.canonical import decode
from msc.journal.proof.chain import FIRST_LINK, leaf_of, link_after
from msc.journal.proof.checkpoint import Statement, read_checkpoint
from msc.journal.proof.deletion import deletion_detail, read_deletion
from msc.journal.record import AuditRecord
from msc.journal.retention import seal_of
from msc.transit.message import MessageRecord
from tests.support.both_ends import BothEnds
from tests.support.journal_builder import DAY, JournalBuilder, an_inquiry
from tests.support.memory_journal import MemoryJournal

KEY = X25519PrivateKey.generate()
NOW = clock.parse_rfc3339("2026-05-20T12:00:00Z")


class Indexed(MemoryJournal):
    """A journal whose archivist makes an index: a page of it names the blocks it covers."""

    async def store(
        self,
        month: Month,
        blocks: Sequence[Block] = (),
        segments: Sequence[Segment] = (),
        pages: Sequence[Page] = (),
        replaced: Sequence[int] = (),
    ) -> None:
        if blocks and not segments:
            segments, pages = index_over(self.next_segment(month.month), [block.key.first for block in blocks])
        await super().store(month, blocks, segments, pages, replaced)

    def next_segment(self, month: int) -> int:
        return max(self.all_segments.get(month, {}), default=0) + 1


def index_over(number: int, firsts: list[int]) -> tuple[list[Segment], list[Page]]:
    """Make a segment over blocks, a page each."""
    pages = [Page(number, at, f"block:{first}", orjson.dumps(first)) for at, first in enumerate(firsts)]
    return [Segment(number, 0, len(pages), len(pages))], pages


class Moving:
    """A reading end behind which things happen between any two reads."""

    def __init__(self, journal: Indexed, builder: JournalBuilder, rng: Random, how_much: float) -> None:
        self._journal, self._builder, self._rng, self._how_much = journal, builder, rng, how_much
        self.deleting = 0
        """Number of the statement of a deletion that has been made and not yet acted upon."""

    def __getattr__(self, name: str) -> Any:
        async def read(*arguments: Any) -> Any:
            found = await getattr(self._journal, name)(*arguments)
            while self._rng.random() < self._how_much:
                await self._rng.choice((self._traffic, self._state, self._archive, self._merge, self._delete))()
            return found

        return read

    async def _traffic(self) -> None:
        for _ in range(self._rng.randrange(1, 6)):
            self._builder.now += self._rng.randrange(DAY // 2)
            await self._builder.transact(self._builder.now + 1)

    async def _state(self) -> None:
        await self._builder.state()

    async def _archive(self) -> None:
        drop = self._rng.random() < 0.8
        await self._builder.archive(records=self._rng.randrange(1, 9), keep=self._rng.choice((0, 0, 3)), drop=drop)

    async def _merge(self) -> None:
        month = self._rng.choice([*self._journal.all_segments] or [0])
        old = sorted(self._journal.all_segments.get(month, {}))[:4]
        if len(old) > 1:
            pages = [page for at, page in sorted(self._journal.all_pages[month].items()) if at[0] in old]
            new = index_over(self._journal.next_segment(month), [orjson.loads(page.body) for page in pages])
            await self._journal.store(self._journal.all_months[month], (), *new, old)

    async def _delete(self) -> None:
        """Take one of the three steps of deleting a month."""
        months = await self._journal.months()
        for place, month in enumerate(months):
            if month.deleted:
                await self._journal.drop_month(month.month)
                self._journal.unreadable.add(month.month)
                continue
            if self.deleting:
                await self._journal.put_month(month._replace(deleted=self.deleting))
                self.deleting = 0
                return
            # Only months that were over long before; nobody deletes one that has just been sealed.
            seal = await seal_of(self._journal, month) if month.sealed and month.month <= 202603 else None
            if seal is None or seal.seq != month.last or self._rng.random() < 0.5:
                return
            before = await seal_of(self._journal, months[place - 1]) if place else None
            detail = deletion_detail(seal, before, first_msn=1, last_msn=2, reason="a test", by="a test")
            self.deleting = (await self._builder.state(Statement.DELETED, **detail)).number
            return


async def make_backup(journal: Any, file: Path) -> BackupReport:
    return await back_up(journal, file, [KEY.public_key()])


async def make_restored(file: Path, to: Any, builder: JournalBuilder, **more: Any) -> RestoreReport:
    more = {"by": "CHIEF", "reason": "the disk burnt", "now_us": NOW, **more}
    return await restore(file, KEY, to, to, builder.signer, **more)


async def records_of(journal: Any) -> dict[int, bytes]:
    """Return every record, and see that blocks and tail agree where they overlap."""
    found: dict[int, bytes] = {}
    for month in await journal.months():
        if month.deleted or not month.first:
            continue
        for block in await journal.blocks_after(month.month, 0, 1_000_000):
            for seq, body in enumerate(unpack(block), block.key.first):
                assert found.setdefault(seq, body) == body
    for row in await journal.tail():
        assert found.setdefault(row.seq, row.body) == row.body
    return found


async def check_whole(journal: Any) -> None:
    """Follow the chain over blocks, tail and deleted months, and hold it against state and checkpoints."""
    records, after = await records_of(journal), 0
    links, link, seq = {0: FIRST_LINK}, FIRST_LINK, 0
    checkpoints = []
    while rows := await journal.checkpoints(after):
        checkpoints += [read_checkpoint(row.body) for row in rows]
        after = rows[-1].number
    assert [c.number for c in checkpoints] == list(range(1, len(checkpoints) + 1))
    gone = {d.first: d for d in (read_deletion(c) for c in checkpoints if c.statement == Statement.DELETED)}
    deleted = {month.month for month in await journal.months() if month.deleted}
    while seq + 1 in records or (seq + 1 in gone and gone[seq + 1].month in deleted):
        if seq + 1 in records:
            seq += 1
            link = link_after(link, leaf_of(records[seq]))
        else:
            assert gone[seq + 1].before == link
            link, seq = gone[seq + 1].link, gone[seq + 1].last
        links[seq] = link
    assert seq == max(records)
    for checkpoint in checkpoints:
        assert links.get(checkpoint.seq, checkpoint.link) == checkpoint.link
    for month in await journal.months():
        if month.deleted or not month.first:
            assert await journal.blocks_after(month.month, 0, 1) == [] or not month.deleted
            continue
        keys = await journal.block_keys(month.month)
        assert (month.first, month.last) == (keys[0].first, keys[-1].last)
        assert [key.first for key in keys[1:]] == [key.last + 1 for key in keys[:-1]]
        if month.sealed:
            sealing = checkpoints[month.sealed - 1]
            assert (sealing.statement, sealing.month, sealing.seq) == (Statement.SEALED, month.month, month.last)
        for segment in await journal.segments(month.month):
            wanted = [(segment.number, page) for page in range(segment.pages)]
            assert len(await journal.pages(month.month, wanted)) == segment.pages


async def check_index(journal: MemoryJournal) -> None:
    """See that the index covers each block once."""
    for month in await journal.months():
        covered = sorted(orjson.loads(page.body) for page in journal.all_pages.get(month.month, {}).values())
        assert covered == [key.first for key in await journal.block_keys(month.month)]


def check_continues(original: dict[int, bytes], restored: dict[int, bytes], report: RestoreReport) -> None:
    """See that a restored journal holds what the original did, byte for byte, and then says what happened."""
    end = report.end.seq
    kept = {seq: body for seq, body in restored.items() if seq <= end}
    assert kept == {seq: original[seq] for seq in kept}
    assert end in kept
    own = [decode(body).record for seq, body in sorted(restored.items()) if seq > end]
    assert isinstance(own[0], AuditRecord)
    assert (own[0].event, own[0].user, own[0].reason) == ("journal.restored", "CHIEF", "the disk burnt")
    messages = [record for record in map(decode_record, kept.values()) if isinstance(record, MessageRecord)]
    assert report.end.msn == max((message.msn for message in messages), default=report.end.msn)
    for record in own[1:]:
        assert isinstance(record, MessageRecord)
        assert record.msn == report.next_msn - 1 >= report.end.msn + MSN_A_DAY


def decode_record(body: bytes) -> Any:
    return decode(body).record


async def a_journal(journal: Any, *, days: int = 70, per_day: int = 2) -> JournalBuilder:
    builder = JournalBuilder(journal, index=False)
    await builder.fill("2026-02-20", days=days, per_day=per_day)
    await builder.archive(records=7, keep=9)
    return builder


@pytest.mark.requirement("F-BACKUP")
@pytest.mark.parametrize("how_much", [0.0, 0.3, 0.6])
@pytest.mark.parametrize("seed", range(12))
async def test_a_backup_is_whole_whatever_happens_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, how_much: float
) -> None:
    monkeypatch.setattr(making, "_ATTEMPTS", 500)
    for name in ("_BLOCKS_READ", "_PAGES_READ", "_CHECKPOINTS_READ"):
        monkeypatch.setattr(making, name, 5)
    monkeypatch.setattr(restoring, "_BYTES_HELD", 2_000)
    monkeypatch.setattr(restoring, "_ROWS_HELD", 11)
    journal = Indexed()
    builder = await a_journal(journal)
    everything: dict[int, bytes] = await records_of(journal)
    original_commit = journal.commit

    async def commit(rows: Any, **more: Any) -> None:
        everything.update((row.seq, row.body) for row in rows)
        await original_commit(rows, **more)

    journal.commit = commit  # type: ignore[method-assign]
    began = builder.ledger.seq
    report = await make_backup(Moving(journal, builder, Random(seed), how_much), tmp_path / "b")
    assert began <= report.end.seq <= builder.ledger.seq
    assert report.size == (tmp_path / "b").stat().st_size

    restored = MemoryJournal()
    outcome = await make_restored(tmp_path / "b", restored, builder, now_us=builder.now + DAY)
    assert outcome.end == report.end
    check_continues(everything, await records_of(restored), outcome)
    await check_whole(restored)
    await check_index(restored)
    held = [seq for seq in await records_of(restored) if seq <= report.end.seq]
    assert len(held) == report.end.records
    # The switch goes on from it, and seals the months that the original had not sealed.
    ledger = Ledger.of(await restored.open(), builder.signer, bytes(16))
    assert (ledger.journal, ledger.msn + 1) == (builder.ledger.journal, outcome.next_msn)


@pytest.mark.requirement("F-BACKUP", "F-AUPROT")
async def test_a_backup_of_either_database_is_restored_into_either(
    tmp_path: Path, journal_url: str, postgres_url: str
) -> None:
    journal = BothEnds(journal_url)
    await journal.open()
    builder = await a_journal(journal)
    for number, hold in enumerate([("People v. Roe", 202603, ""), ("In re Doe", 0, '{"user":"U001"}')]):
        await journal.put_hold(Hold(0, *hold, 5 + number, "CLERK", "subpoena"))
    await journal.put_hold((await journal.holds())[0]._replace(released_at=9, released_by="CLERK"))
    await journal.make_month(202606)
    await make_backup(journal, tmp_path / "b")
    same = f"sqlite+aiosqlite:///{tmp_path / 'other.db'}"
    for url in (same, postgres_url) if journal_url != postgres_url else (same,):
        restored = BothEnds(url)
        outcome = await make_restored(tmp_path / "b", restored, builder)
        assert (outcome.end.seq, outcome.end.at) == (builder.ledger.seq, builder.now)
        check_continues(await records_of(journal), await records_of(restored), outcome)
        await check_whole(restored)
        assert await restored.holds() == await journal.holds()
        assert await restored.months() == await journal.months()
        await restored.put_hold((await journal.holds())[0]._replace(number=0))
        assert [hold.number for hold in await restored.holds()] == [1, 2, 3]
        await restored.close()
    await journal.close()


@pytest.mark.requirement("F-BACKUP")
async def test_a_backup_is_made_of_real_databases_under_traffic(tmp_path: Path, journal_url: str) -> None:
    journal = BothEnds(journal_url)
    await journal.open()
    builder = await a_journal(journal)
    stop = asyncio.Event()

    async def traffic() -> None:
        while not stop.is_set():
            await builder.transact(builder.now + 3_600_000_000)
            if builder.msn % 10 == 0:
                await builder.archive(records=9)

    task = asyncio.get_running_loop().create_task(traffic())
    before = builder.ledger.seq
    while builder.ledger.seq < before + 100:
        await asyncio.sleep(0)
    reading = open_reading(journal_url)
    report = await make_backup(reading, tmp_path / "b")
    await reading.close()
    stop.set()
    await task
    assert report.end.seq > before
    restored = MemoryJournal()
    outcome = await make_restored(tmp_path / "b", restored, builder, now_us=builder.now)
    check_continues(await records_of(journal), await records_of(restored), outcome)
    await check_whole(restored)
    await journal.close()


@pytest.mark.requirement("F-BACKUP")
async def test_only_an_empty_database_is_restored_into(tmp_path: Path) -> None:
    journal = MemoryJournal()
    builder = await a_journal(journal, days=3)
    await make_backup(journal, tmp_path / "b")
    before = (await records_of(journal), await journal.last_checkpoint(), await journal.state())
    with pytest.raises(NotEmpty, match="already"):
        await make_restored(tmp_path / "b", journal, builder)
    assert (await records_of(journal), await journal.last_checkpoint(), await journal.state()) == before
    held = MemoryJournal()
    await held.put_hold(Hold(0, "People v. Roe", 202603, "", 1, "CLERK", "subpoena"))
    with pytest.raises(NotEmpty, match="already"):
        await make_restored(tmp_path / "b", held, builder)


class PowerCut(BaseException):
    """The machine stops here."""


class Fragile(MemoryJournal):
    """A database that lasts for some changes more."""

    left = 1_000_000

    def _change(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise PowerCut

    async def commit(self, *arguments: Any, **more: Any) -> None:
        self._change()
        await super().commit(*arguments, **more)

    async def store(self, *arguments: Any, **more: Any) -> None:
        self._change()
        await super().store(*arguments, **more)

    async def put_month(self, month: Month) -> None:
        self._change()
        await super().put_month(month)

    async def put_hold(self, hold: Hold) -> int:
        self._change()
        return await super().put_hold(hold)


@pytest.mark.requirement("F-BACKUP")
async def test_a_restore_that_was_cut_short_is_no_journal_and_is_carried_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restoring, "_BYTES_HELD", 1_500)
    monkeypatch.setattr(restoring, "_ROWS_HELD", 10)
    journal = Indexed()
    builder = await a_journal(journal, days=20)
    await journal.put_hold(Hold(0, "People v. Roe", 202603, "", 1, "CLERK", "subpoena"))
    await make_backup(journal, tmp_path / "b")
    await make_backup(journal, tmp_path / "other")
    restored = Fragile()
    await make_restored(tmp_path / "b", restored, builder)
    needed = 1_000_000 - restored.left
    assert needed > 20
    for changes in range(1, needed):
        half = Fragile()
        half.left = changes
        with pytest.raises(PowerCut):
            await make_restored(tmp_path / "b", half, builder)
        with pytest.raises(JournalError, match="only in part"):
            Ledger.of(await half.open(), builder.signer, bytes(16))
        half.left = 1_000_000
        with pytest.raises(NotEmpty, match="another backup"):
            await make_restored(tmp_path / "other", half, builder)
        outcome = await make_restored(tmp_path / "b", half, builder)
        assert outcome.continued
        check_continues(await records_of(journal), await records_of(half), outcome)
        await check_whole(half)
        await check_index(half)
        assert await half.holds() == await journal.holds()


@pytest.mark.requirement("F-BACKUP")
async def test_a_damaged_backup_leaves_nothing_a_switch_would_start_from(tmp_path: Path) -> None:
    journal = MemoryJournal()
    builder = await a_journal(journal, days=60, per_day=40)
    await make_backup(journal, tmp_path / "b")
    raw = (tmp_path / "b").read_bytes()
    assert len(raw) > 1 << 20
    for damaged in (raw[:-1], raw[:-40] + b"\0" + raw[-39:], raw[: len(raw) - (len(raw) % (1 << 20))]):
        (tmp_path / "c").write_bytes(damaged)
        half = MemoryJournal()
        with pytest.raises(BadBackup):
            await make_restored(tmp_path / "c", half, builder)
        with pytest.raises(JournalError, match="only in part"):
            Ledger.of(await half.open(), builder.signer, bytes(16))
    with pytest.raises(BadBackup, match="another key"):
        await restore(
            tmp_path / "b", X25519PrivateKey.generate(), half, half, builder.signer, by="", reason="", now_us=NOW
        )


@pytest.mark.requirement("F-BACKUP")
async def test_msns_that_may_have_been_given_out_since_are_not_given_out_again(tmp_path: Path) -> None:
    journal = MemoryJournal()
    builder = await a_journal(journal, days=3)
    await make_backup(journal, tmp_path / "b")
    for skip, later, next_msn in (
        (None, 1, builder.msn + MSN_A_DAY + 1),
        (None, 3 * DAY, builder.msn + 4 * MSN_A_DAY + 1),
        (17, DAY, builder.msn + 18),
        (0, DAY, builder.msn + 1),
    ):
        restored = MemoryJournal()
        outcome = await make_restored(tmp_path / "b", restored, builder, skip_msn=skip, now_us=builder.now + later)
        assert outcome.next_msn == next_msn
        assert Ledger.of(await restored.open(), builder.signer, bytes(16)).msn + 1 == next_msn
    assert msn_to_skip(5 * DAY, 1) == MSN_A_DAY


@pytest.mark.requirement("F-BACKUP")
async def test_what_had_not_ended_is_taken_up_after_a_restore(tmp_path: Path) -> None:
    journal = MemoryJournal()
    builder = JournalBuilder(journal, index=False)
    await builder.enter(an_inquiry(1, NOW - DAY, builder.rng))
    await builder.state()
    await builder.enter(an_inquiry(2, NOW - DAY + 5, builder.rng))
    await make_backup(journal, tmp_path / "b")
    restored = MemoryJournal()
    await make_restored(tmp_path / "b", restored, builder)
    assert Ledger.of(await restored.open(), builder.signer, bytes(16)).owed == builder.ledger.owed
    assert set(builder.ledger.owed) == {1, 2}


async def test_a_journal_that_never_began_has_nothing_to_back_up(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="nothing to back up"):
        await make_backup(MemoryJournal(), tmp_path / "b")
    assert list(tmp_path.iterdir()) == []


async def test_a_month_that_cannot_be_read_is_told_and_no_backup_is_left(tmp_path: Path) -> None:
    journal = MemoryJournal()
    await a_journal(journal)
    journal.unreadable = {202603}
    with pytest.raises(JournalError, match="202603"):
        await make_backup(journal, tmp_path / "b")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.requirement("F-AUPROT")
async def test_records_that_are_missing_are_told_and_no_backup_is_left(tmp_path: Path) -> None:
    journal = MemoryJournal()
    builder = await a_journal(journal)
    archived = max(month.last for month in await journal.months())
    del journal.rows[archived + 1], journal.rows[archived + 2]
    await builder.state()
    with pytest.raises(JournalError, match=f"records {archived + 1} to {archived + 2} are missing"):
        await make_backup(journal, tmp_path / "b")
    assert list(tmp_path.iterdir()) == []
