"""Journals that were falsified by hand, each in another way: every one is found, and called what it is."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from msc import clock
from msc.journal.database.layout import Block, CheckpointRow, JournalDatabase, TailRow
from msc.journal.proof.canonical import decode
from msc.journal.proof.chain import leaf_of, link_after
from msc.journal.proof.checkpoint import Statement, read_checkpoint
from msc.journal.proof.deletion import deletion_detail
from msc.journal.proof.finding import Kind, Report
from msc.journal.proof.testimony import Testimony, witness_line
from msc.journal.proof.verification import verify
from msc.journal.record import AuditRecord, StepsRecord
from msc.transit.event import Event
from msc.transit.message import MessageRecord
from tests.journal.proof.conftest import NOVEMBER, OCTOBER, SEPTEMBER, Victim
from tests.support.journal_builder import DAY, SECOND, JournalBuilder, an_inquiry, new_signer, signatories_of
from tests.support.memory_journal import MemoryJournal

pytestmark = pytest.mark.requirement("F-AUPROT", "C-JOURNAL")


def kinds(report: Report) -> list[Kind]:
    return [finding.kind for finding in report.faults]


def changed(body: bytes) -> bytes:
    """Let somebody else have sent it."""
    members = orjson.loads(body)
    if members[0] == "s":
        members[6][0] = [*members[6][0][:2], {"why": "somebody else"}]
    else:
        members[10] = "somebody else"
    return orjson.dumps(members)


def msn_of(body: bytes) -> int:
    record = decode(body).record
    assert not isinstance(record, AuditRecord)
    return record.msn


def a_message(victim: Victim, block: int = 3, after: int = 20) -> tuple[int, int]:
    """Choose an inquiry well inside a block; returns its position and its MSN."""
    first, _ = victim.blocks(OCTOBER)[block]
    bodies = victim.bodies(OCTOBER, first)
    place = next(p for p, body in enumerate(bodies) if p >= after and b'"inquiry"' in body)
    return first + place, msn_of(bodies[place])


def first_message(victim: Victim, seq: int) -> int:
    """Return the MSN of October's first message from a record on."""
    for first, last in victim.blocks(OCTOBER):
        if last >= seq:
            for body in victim.bodies(OCTOBER, first)[max(0, seq - first) :]:
                if body.startswith(b'["m"'):
                    return msn_of(body)
    raise AssertionError("there is none")


def a_row(victim: Victim) -> tuple[int, bytes]:
    """Choose an inquiry in the tail."""
    rows = victim.sql("SELECT seq, body FROM tail ORDER BY seq")
    return next((seq, body) for seq, body in rows[10:] if b'"inquiry"' in body)


def proven(report: Report, seq: int) -> bool:
    return any(stretch.first <= seq <= stretch.last for stretch in report.proven)


async def test_a_genuine_journal_is_wholly_proven(victim: Victim) -> None:
    seen: list[int] = []
    reading = victim.reading()
    now = victim.made.now + SECOND
    report = await verify(reading, victim.made.signatories, now_us=now, progress=lambda p: seen.append(p.records))
    await reading.close()
    assert report.findings == []
    assert report.ok
    assert report.first_bad_msn is None
    assert [(s.first, s.last) for s in report.proven] == [(1, report.records)]
    assert report.unproven == []
    assert seen == sorted(seen)
    assert seen[-1] == report.records
    assert report.last_checkpoint_at == victim.made.now
    assert report.not_stated == 0
    assert report.as_json()["ok"] is True
    assert len(report.trust()) == 1


# --- records in blocks --------------------------------------------------------------------------


async def test_a_flipped_bit_names_the_block_and_the_first_message_in_it(victim: Victim) -> None:
    first, last = victim.blocks(OCTOBER)[3]
    msn = next(msn_of(b) for b in victim.bodies(OCTOBER, first) if b.startswith(b'["m"'))
    victim.damage(OCTOBER, first)
    report = await victim.verify()
    assert [(f.kind, f.first, f.last, f.msn) for f in report.faults] == [(Kind.BLOCK_UNREADABLE, first, last, msn)]
    assert not proven(report, first)
    assert proven(report, last + 1)
    assert proven(report, report.proven[-1].last)


@pytest.mark.parametrize("bit", [0, 9, 333, 1001])
async def test_no_flipped_bit_goes_unseen(victim: Victim, bit: int) -> None:
    first, _ = victim.blocks(OCTOBER)[5]
    victim.damage(OCTOBER, first, bit)
    report = await victim.verify()
    assert not report.ok
    assert report.faults[0].first >= first


async def test_a_changed_record_is_named_exactly_by_its_mark(victim: Victim) -> None:
    seq, msn = a_message(victim)
    victim.edit(OCTOBER, seq, changed, marks=False)
    report = await victim.verify()
    assert [(f.kind, f.first, f.last) for f in report.faults] == [(Kind.RECORD_CHANGED, seq, seq)]
    assert report.first_bad_msn == msn
    assert report.faults[0].month == OCTOBER


async def test_a_changed_event_names_its_message(victim: Victim) -> None:
    seq, msn = a_message(victim)
    victim.edit(OCTOBER, seq + 1, changed, marks=False)
    report = await victim.verify()
    assert [(f.kind, f.first, f.msn) for f in report.faults] == [(Kind.RECORD_CHANGED, seq + 1, msn)]


@pytest.mark.parametrize("chain_anew", [False, True])
async def test_a_changed_record_whose_traces_were_wiped_is_found_by_the_next_checkpoint(
    victim: Victim, chain_anew: bool
) -> None:
    seq, _ = a_message(victim)
    stated = [row[0] for row in victim.sql("SELECT seq FROM checkpoint ORDER BY number")]
    before, after = max(s for s in stated if s < seq), min(s for s in stated if s >= seq)
    victim.edit(OCTOBER, seq, changed)
    if chain_anew:
        victim.chain_anew()
    report = await victim.verify()
    finding = report.faults[0]
    assert (finding.kind, finding.first, finding.last) == (Kind.RECORDS_CHANGED, before + 1, after)
    last_good = victim.sql("SELECT body FROM checkpoint WHERE seq = ?", before)[0][0]
    assert report.first_bad_msn == first_message(victim, before + 1)
    assert f"checkpoint {read_checkpoint(last_good).number}," in finding.text
    assert set(kinds(report)[1:]) <= {Kind.LINKS_CHANGED}
    assert proven(report, before)
    assert not proven(report, seq)
    assert proven(report, after + 1)


async def test_a_record_taken_out_of_a_block_is_named(victim: Victim) -> None:
    seq, msn = a_message(victim)
    first = max(first for first, _ in victim.blocks(OCTOBER) if first <= seq)
    bodies = victim.bodies(OCTOBER, first)
    del bodies[seq - first]
    victim.put(OCTOBER, first, bodies)
    report = await victim.verify()
    assert [(f.kind, f.first, f.last) for f in report.faults] == [(Kind.RECORDS_REMOVED, seq, seq)]
    assert report.first_bad_msn == msn


async def test_a_record_put_into_a_block_is_named(victim: Victim) -> None:
    seq, msn = a_message(victim)
    first = max(first for first, _ in victim.blocks(OCTOBER) if first <= seq)
    bodies = victim.bodies(OCTOBER, first)
    bodies.insert(seq - first, changed(bodies[seq - first]))
    victim.put(OCTOBER, first, bodies)
    report = await victim.verify()
    assert [(f.kind, f.first) for f in report.faults] == [(Kind.RECORDS_INSERTED, seq)]
    assert report.first_bad_msn == msn


async def test_swapped_records_are_named(victim: Victim) -> None:
    seq, msn = a_message(victim)
    first = max(first for first, _ in victim.blocks(OCTOBER) if first <= seq)
    bodies = victim.bodies(OCTOBER, first)
    here = seq - first
    bodies[here], bodies[here + 1] = bodies[here + 1], bodies[here]
    victim.put(OCTOBER, first, bodies)
    victim.chain_anew()
    report = await victim.verify()
    assert (report.faults[0].kind, report.faults[0].first, report.faults[0].last) == (
        Kind.RECORDS_SWAPPED, seq, seq + 1
    )  # fmt: skip
    assert report.first_bad_msn == msn


async def test_records_renumbered_after_one_was_taken_out_are_not_what_was_signed(victim: Victim) -> None:
    seq, _ = a_message(victim)
    first, last = next(block for block in victim.blocks(OCTOBER) if block[0] <= seq <= block[1])
    bodies = victim.bodies(OCTOBER, first)
    del bodies[seq - first]
    for place in range(seq - first, len(bodies)):
        members = orjson.loads(bodies[place])
        members[1] -= 1
        bodies[place] = orjson.dumps(members)
    bodies.append(orjson.dumps(["a", last, 1, None, 1, "made.up"]))
    victim.put(OCTOBER, first, bodies)
    victim.chain_anew()
    report = await victim.verify()
    finding = next(finding for finding in report.faults if finding.kind is Kind.RECORDS_CHANGED)
    assert finding.first <= seq <= finding.last
    assert finding.last >= last


async def test_a_block_that_was_removed_is_named_by_its_records(victim: Victim) -> None:
    first, last = victim.blocks(OCTOBER)[4]
    msn = next(msn_of(b) for b in victim.bodies(OCTOBER, first) if b.startswith(b'["m"'))
    victim.sql("DELETE FROM block WHERE first = ?", first, month=OCTOBER)
    report = await victim.verify()
    assert [(f.kind, f.first, f.last) for f in report.faults] == [(Kind.RECORDS_REMOVED, first, last)]
    assert report.first_bad_msn == msn


async def test_a_block_put_in_twice_is_named(victim: Victim) -> None:
    first, _ = victim.blocks(OCTOBER)[4]
    victim.sql(
        "INSERT INTO block SELECT first + 1, last, first_msn, last_msn, first_at, last_at, link, marks, body "
        "FROM block WHERE first = ?",
        first,
        month=OCTOBER,
    )
    report = await victim.verify()
    assert [(f.kind, f.first) for f in report.faults] == [(Kind.RECORDS_INSERTED, first + 1)]


async def test_what_stands_beside_the_records_is_told_from_the_records(victim: Victim) -> None:
    first, last = victim.blocks(OCTOBER)[3]
    victim.sql("UPDATE block SET link = zeroblob(32) WHERE first = ?", first, month=OCTOBER)
    other, other_last = victim.blocks(OCTOBER)[6]
    (marks,) = victim.sql("SELECT marks FROM block WHERE first = ?", other, month=OCTOBER)[0]
    victim.sql("UPDATE block SET marks = ? WHERE first = ?", bytes(8) + marks[8:], other, month=OCTOBER)
    third, third_last = victim.blocks(OCTOBER)[8]
    victim.sql("UPDATE block SET last_msn = last_msn - 5 WHERE first = ?", third, month=OCTOBER)
    victim.sql("UPDATE month SET last_msn = 7 WHERE month = ?", SEPTEMBER)
    report = await victim.verify()
    assert [(f.kind, f.first, f.last) for f in report.faults[1:]] == [
        (Kind.LINKS_CHANGED, last, last),
        (Kind.MARKS_CHANGED, other, other),
        (Kind.BLOCK_KEY_CHANGED, third, third_last),
    ]
    assert report.faults[0].kind is Kind.MONTH_ROW_CHANGED
    assert other_last > other
    assert [(s.first, s.last) for s in report.proven] == [(1, report.records)]
    assert report.first_bad_msn is None


@pytest.mark.parametrize("column", ["first", "first_msn", "last_msn", "first_at", "last_at", "sealed"])
@pytest.mark.parametrize("month", [OCTOBER, NOVEMBER])
async def test_a_falsified_row_of_the_list_of_months_is_named(victim: Victim, month: int, column: str) -> None:
    victim.sql(f"UPDATE month SET {column} = {column} + 1 WHERE month = ?", month)
    report = await victim.verify()
    assert [(f.kind, f.month) for f in report.faults] == [(Kind.MONTH_ROW_CHANGED, month)]


# --- the tail -----------------------------------------------------------------------------------


async def test_a_changed_row_of_the_tail_is_named(victim: Victim) -> None:
    seq, body = a_row(victim)
    victim.sql("UPDATE tail SET body = ? WHERE seq = ?", changed(body), seq)
    report = await victim.verify()
    assert [(f.kind, f.first, f.last) for f in report.faults] == [(Kind.RECORD_CHANGED, seq, seq)]
    assert report.first_bad_msn == msn_of(body)


async def test_a_changed_row_of_the_tail_with_its_chain_computed_anew_is_found(victim: Victim) -> None:
    seq, body = a_row(victim)
    victim.sql("UPDATE tail SET body = ? WHERE seq = ?", changed(body), seq)
    victim.chain_anew()
    report = await victim.verify()
    assert report.faults[0].kind is Kind.RECORDS_CHANGED
    assert report.faults[0].first <= seq <= report.faults[0].last


async def test_a_row_taken_out_of_the_tail_is_named(victim: Victim) -> None:
    seq, body = a_row(victim)
    victim.sql("DELETE FROM tail WHERE seq = ?", seq)
    report = await victim.verify()
    assert [(f.kind, f.first, f.last) for f in report.faults] == [(Kind.RECORDS_REMOVED, seq, seq)]
    assert report.first_bad_msn == msn_of(body)


async def test_an_event_taken_out_of_the_tail_is_not_called_a_missing_message(victim: Victim) -> None:
    seq, body = a_row(victim)
    victim.sql("DELETE FROM tail WHERE seq = ?", seq + 1)
    report = await victim.verify()
    assert [(f.kind, f.first, f.last) for f in report.faults] == [(Kind.RECORDS_REMOVED, seq + 1, seq + 1)]
    assert report.first_bad_msn is not None
    assert report.first_bad_msn <= msn_of(body)


async def test_swapped_rows_of_the_tail_are_named(victim: Victim) -> None:
    seq, body = a_row(victim)
    (other,) = victim.sql("SELECT body FROM tail WHERE seq = ?", seq + 1)[0]
    victim.sql("UPDATE tail SET body = ? WHERE seq = ?", other, seq)
    victim.sql("UPDATE tail SET body = ? WHERE seq = ?", body, seq + 1)
    report = await victim.verify()
    assert [(f.kind, f.first, f.last) for f in report.faults] == [(Kind.RECORDS_SWAPPED, seq, seq + 1)]
    assert report.first_bad_msn == msn_of(body)


async def test_a_tail_that_was_cut_off_is_named_as_such(victim: Victim) -> None:
    seq, body = a_row(victim)
    (last,) = victim.sql("SELECT max(seq) FROM tail")[0]
    victim.sql("DELETE FROM tail WHERE seq >= ?", seq)
    report = await victim.verify()
    assert [(f.kind, f.first, f.last) for f in report.faults] == [(Kind.TAIL_TRUNCATED, seq, last)]
    assert report.first_bad_msn == msn_of(body)


async def test_an_invented_record_at_the_end_breaks_the_chain(victim: Victim) -> None:
    (seq,) = victim.sql("SELECT max(seq) + 1 FROM tail")[0]
    victim.sql("INSERT INTO tail SELECT ?, body, link FROM tail WHERE seq = ?", seq, seq - 1)
    report = await victim.verify()
    assert Kind.RECORD_CHANGED in kinds(report)
    assert all(finding.first == seq for finding in report.faults)


# --- months -------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["file", "file and row", "blocks"])
async def test_a_removed_month_is_named(victim: Victim, how: str) -> None:
    first, last = victim.blocks(OCTOBER)[0][0], victim.blocks(OCTOBER)[-1][1]
    if how == "blocks":
        victim.sql("DELETE FROM block", month=OCTOBER)
    else:
        victim.file(OCTOBER).unlink()
    if how == "file and row":
        victim.sql("DELETE FROM month WHERE month = ?", OCTOBER)
    report = await victim.verify()
    assert [(f.kind, f.first, f.last, f.month) for f in report.faults] == [(Kind.MONTH_REMOVED, first, last, OCTOBER)]
    assert proven(report, first - 1)
    assert proven(report, last + 1)


async def test_a_month_replaced_by_another_is_named(victim: Victim) -> None:
    first, last = victim.blocks(OCTOBER)[0][0], victim.blocks(OCTOBER)[-1][1]
    for block, _ in victim.blocks(OCTOBER):
        bodies = [
            body.replace(b"STATE", b"OTHER").replace(b"device:", b"devise:") for body in victim.bodies(OCTOBER, block)
        ]
        victim.put(OCTOBER, block, [changed(body) if body.startswith(b'["a"') else body for body in bodies])
    victim.chain_anew()
    report = await victim.verify()
    found = report.faults[0]
    assert (found.kind, found.first, found.last, found.month) == (Kind.MONTH_REPLACED, first, last, OCTOBER)
    assert report.first_bad_msn == first_message(victim, first)
    assert set(kinds(report)[1:]) <= {Kind.LINKS_CHANGED}
    assert proven(report, last + 1)


async def test_a_month_from_an_older_copy_lacks_records(victim: Victim) -> None:
    first, _ = victim.blocks(OCTOBER)[-3]
    last = victim.blocks(OCTOBER)[-1][1]
    victim.sql("DELETE FROM block WHERE first >= ?", first, month=OCTOBER)
    report = await victim.verify()
    assert (Kind.RECORDS_REMOVED, first, last) in [(f.kind, f.first, f.last) for f in report.faults]


async def test_a_month_whose_file_is_no_database_is_unreadable_and_the_others_are_proven(victim: Victim) -> None:
    first, last = victim.blocks(OCTOBER)[0][0], victim.blocks(OCTOBER)[-1][1]
    victim.file(OCTOBER).write_bytes(bytes(100_000))
    report = await victim.verify()
    assert [(f.kind, f.first, f.last) for f in report.faults] == [(Kind.MONTH_UNREADABLE, first, last)]
    assert proven(report, first - 1)
    assert proven(report, last + 1)


async def test_an_overwritten_page_of_a_month_costs_only_what_stood_there(victim: Victim) -> None:
    file = bytearray(victim.file(OCTOBER).read_bytes())
    middle = len(file) // 2 // 4096 * 4096
    file[middle : middle + 4096] = b"\xff" * 4096
    victim.file(OCTOBER).write_bytes(file)
    report = await victim.verify()
    assert not report.ok
    lost = sum(stretch.last - stretch.first + 1 for stretch in report.unproven)
    whole = victim.blocks(NOVEMBER)[-1][1]
    assert lost < whole / 4


async def test_a_month_marked_as_deleted_without_a_signed_statement_is_named(victim: Victim) -> None:
    victim.sql("UPDATE month SET deleted = 7 WHERE month = ?", OCTOBER)
    victim.file(OCTOBER).unlink()
    report = await victim.verify()
    assert [(f.kind, f.month) for f in report.faults] == [(Kind.DELETION_UNSIGNED, OCTOBER)]
    assert report.first_bad_msn is not None


# --- checkpoints --------------------------------------------------------------------------------


def forge_signature(victim: Victim, number: int) -> None:
    victim.sql("UPDATE checkpoint SET signature = zeroblob(64) WHERE number = ?", number)


def forge_key(victim: Victim, number: int) -> None:
    row = CheckpointRow(*victim.sql("SELECT * FROM checkpoint WHERE number = ?", number)[0])
    stranger = new_signer()
    body = read_checkpoint(row.body)._replace(key=stranger.id).body()
    victim.sql(
        "UPDATE checkpoint SET body = ?, signature = ? WHERE number = ?", body, stranger.sign(body), number
    )  # fmt: skip


def forge_content(victim: Victim, number: int) -> None:
    row = CheckpointRow(*victim.sql("SELECT * FROM checkpoint WHERE number = ?", number)[0])
    body = read_checkpoint(row.body)._replace(msn=1).body()
    victim.sql("UPDATE checkpoint SET body = ? WHERE number = ?", body, number)


def forge_place(victim: Victim, number: int) -> None:
    victim.sql(
        "UPDATE checkpoint SET (body, signature) = (SELECT body, signature FROM checkpoint WHERE number = ?) "
        "WHERE number = ?",
        number - 1,
        number,
    )


def forge_nonsense(victim: Victim, number: int) -> None:
    victim.sql("UPDATE checkpoint SET body = ? WHERE number = ?", b"nothing", number)


@pytest.mark.parametrize("forge", [forge_signature, forge_key, forge_content, forge_place, forge_nonsense])
async def test_a_forged_checkpoint_is_named_and_proves_nothing(
    victim: Victim, forge: Callable[[Victim, int], None]
) -> None:
    forge(victim, 100)
    report = await victim.verify()
    assert [(f.kind, f.checkpoint) for f in report.faults] == [(Kind.CHECKPOINT_FORGED, 100)]
    assert [(s.first, s.last) for s in report.proven] == [(1, report.records)]


async def test_the_last_checkpoint_forged_leaves_what_it_speaks_of_unproven(victim: Victim) -> None:
    (number,) = victim.sql("SELECT max(number) FROM checkpoint")[0]
    forge_signature(victim, number)
    forge_signature(victim, number - 1)
    forge_signature(victim, number - 2)
    report = await victim.verify()
    assert kinds(report) == [Kind.CHECKPOINT_FORGED]
    assert f"{number - 2} to {number}" in report.faults[0].text
    assert report.unproven[-1].last == report.records
    assert not proven(report, report.records)


async def test_a_missing_checkpoint_is_named(victim: Victim) -> None:
    victim.sql("DELETE FROM checkpoint WHERE number IN (100, 101, 200)")
    report = await victim.verify()
    assert [(f.kind, f.checkpoint) for f in report.faults] == [
        (Kind.CHECKPOINT_MISSING, 100),
        (Kind.CHECKPOINT_MISSING, 200),
    ]


async def test_all_checkpoints_of_another_key_prove_nothing(victim: Victim) -> None:
    reading = victim.reading()
    report = await verify(reading, signatories_of(new_signer()), now_us=victim.made.now)
    await reading.close()
    assert kinds(report) == [Kind.CHECKPOINT_FORGED]
    assert report.proven == []
    assert report.first_unproven_msn == 1


async def test_later_checkpoints_removed_are_seen_from_what_the_writer_stored(victim: Victim) -> None:
    (number,) = victim.sql("SELECT max(number) FROM checkpoint")[0]
    victim.sql("DELETE FROM checkpoint WHERE number > ?", number - 3)
    last = read_checkpoint(victim.sql("SELECT body FROM checkpoint ORDER BY number DESC LIMIT 1")[0][0])
    report = await victim.verify()
    assert kinds(report) == [Kind.ROLLED_BACK]
    assert report.first_bad_msn == last.msn + 1


async def test_later_checkpoints_removed_are_seen_from_what_was_archived(victim: Victim) -> None:
    victim.sql("DELETE FROM checkpoint WHERE seq > (SELECT max(seq) - 200 FROM checkpoint)")
    last = read_checkpoint(victim.sql("SELECT body FROM checkpoint ORDER BY number DESC LIMIT 1")[0][0])
    (state,) = victim.sql("SELECT body FROM state")[0]
    members = orjson.loads(state)
    members["seq"] = last.seq
    victim.sql("UPDATE state SET body = ?", orjson.dumps(members))
    report = await victim.verify()
    assert kinds(report) == [Kind.ROLLED_BACK, Kind.STATE_CHANGED]


async def test_a_changed_state_is_named(victim: Victim) -> None:
    (state,) = victim.sql("SELECT body FROM state")[0]
    members = orjson.loads(state)
    members["seq"] -= 1
    victim.sql("UPDATE state SET body = ?", orjson.dumps(members))
    assert kinds(await victim.verify()) == [Kind.STATE_CHANGED]


# --- rolled back --------------------------------------------------------------------------------


async def test_a_whole_copy_put_back_is_found_by_a_witness_alone(victim: Victim, tmp_path: Path) -> None:
    """Somebody puts back a backup in which an inquiry of last night does not stand."""
    journal = MemoryJournal()
    builder = JournalBuilder(journal, signer=victim.made.signer)
    witness = tmp_path / "witness"
    await builder.fill("2026-11-01", per_day=10)
    backup_rows, backup_statements = dict(journal.rows), dict(journal.statements)
    backup_state, agreed = journal.stored_state, builder.msn
    await builder.fill("2026-11-02", per_day=10)
    witness.write_bytes(b"".join(witness_line(row) + b"\n" for row in journal.statements.values()))
    journal.rows, journal.statements, journal.stored_state = backup_rows, backup_statements, backup_state
    now = builder.now
    assert (await verify(journal, builder.signatories, now_us=now)).ok
    report = await verify(journal, builder.signatories, testimony=Testimony([witness]), now_us=now)
    assert kinds(report) == [Kind.ROLLED_BACK]
    assert report.first_bad_msn == agreed + 1

    # And the switch goes on writing: the same numbers, other statements.
    again = JournalBuilder(journal, signer=builder.signer, seed=2)
    again.ledger = type(again.ledger).of(await journal.open(), builder.signer, b"")
    again.msn = agreed
    await again.fill("2026-11-02", per_day=30)
    report = await verify(journal, builder.signatories, testimony=Testimony([witness]), now_us=again.now)
    assert kinds(report) == [Kind.ROLLED_BACK]
    assert report.first_bad_msn == agreed + 1


async def test_a_witness_that_invents_statements_is_not_believed(victim: Victim, tmp_path: Path) -> None:
    stranger = new_signer()
    row = CheckpointRow(*victim.sql("SELECT * FROM checkpoint WHERE number = 9")[0])
    body = read_checkpoint(row.body)._replace(number=9_999_999).body()
    witness = tmp_path / "witness"
    witness.write_bytes(witness_line(CheckpointRow(9_999_999, 1, "held", body, stranger.sign(body))) + b"\n")
    report = await victim.verify(Testimony([witness]))
    assert report.ok
    assert [finding.kind for finding in report.findings] == [Kind.WITNESS_UNSIGNED]


async def test_a_witness_that_heard_the_same_contradicts_nothing(victim: Victim, tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    rows = [CheckpointRow(*row) for row in victim.sql("SELECT * FROM checkpoint")]
    lines = [b"<109>1 2026-11-01T00:00:00Z host msc 1 CHECKPOINT - " + witness_line(row) for row in rows]
    witness.write_bytes(b"\n".join([*lines[:50], b"something else", b'{"number":7,"bo', *lines[50:]]))
    testimony = Testimony([witness])
    assert len(testimony.digests) == len(rows)
    assert (await victim.verify(testimony)).findings == []


# --- deletions, gaps, clocks --------------------------------------------------------------------


async def sealing(journal: JournalDatabase, month: int) -> CheckpointRow:
    # Past what a busy journal does whenever it is asked.
    rows = journal.statements.values() if isinstance(journal, MemoryJournal) else await journal.checkpoints()
    for row in rows:
        if row.statement == Statement.SEALED and read_checkpoint(row.body).month == month:
            return row
    raise AssertionError


async def three_months() -> tuple[MemoryJournal, JournalBuilder]:
    journal = MemoryJournal()
    builder = JournalBuilder(journal)
    await builder.fill("2026-08-30", days=4, per_day=5)
    await builder.fill("2026-09-29", days=4, per_day=5)
    await builder.archive(records=20, keep=4)
    return journal, builder


async def delete(journal: JournalDatabase, builder: JournalBuilder, month: int, *, drop: bool = True) -> None:
    """Let a month expire as the switch does: the statement first."""
    months = {row.month: row for row in await journal.months()}
    here = months[month]
    sealed = read_checkpoint((await sealing(journal, month)).body)
    earlier = [m for m in months if m < month]
    before = read_checkpoint((await sealing(journal, max(earlier))).body) if earlier else None
    detail = deletion_detail(
        sealed, before, first_msn=here.first_msn, last_msn=here.last_msn, reason="expired", by="retention"
    )
    row = await builder.state(Statement.DELETED, **detail)
    await journal.put_month(here._replace(deleted=row.number))
    if drop:
        await journal.drop_month(month)


@pytest.mark.parametrize("months", [[202608], [202608, 202609], [202609]])
@pytest.mark.parametrize("drop", [True, False])
async def test_the_chain_is_followed_across_months_whose_deletion_is_stated(months: list[int], drop: bool) -> None:
    journal, builder = await three_months()
    for month in months:
        await delete(journal, builder, month, drop=drop)
    report = await verify(journal, builder.signatories, now_us=builder.now)
    assert report.findings == []
    assert report.deleted == months
    assert sum(s.last - s.first + 1 for s in report.proven) == report.records
    assert report.proven[-1].last == builder.ledger.seq


async def test_a_stated_deletion_counts_even_before_the_list_of_months_knows() -> None:
    journal, builder = await three_months()
    await delete(journal, builder, 202609)
    await journal.put_month(journal.all_months[202609]._replace(deleted=0))
    report = await verify(journal, builder.signatories, now_us=builder.now)
    assert report.ok
    assert report.deleted == [202609]


async def test_a_signed_deletion_that_is_not_what_was_sealed_is_named() -> None:
    journal, builder = await three_months()
    sealed = read_checkpoint((await sealing(journal, 202608)).body)
    other = sealed._replace(root=bytes(32))
    detail = deletion_detail(other, None, first_msn=1, last_msn=2, reason="expired", by="somebody")
    row = await builder.state(Statement.DELETED, **detail)
    await journal.put_month(journal.all_months[202608]._replace(deleted=row.number))
    report = await verify(journal, builder.signatories, now_us=builder.now)
    assert kinds(report) == [Kind.DELETION_UNTRUE]


@pytest.mark.requirement("F-CLOCK")
async def test_a_clock_that_was_set_is_seen_and_a_record_that_waited_is_not() -> None:
    journal = MemoryJournal()
    builder = JournalBuilder(journal)
    await builder.fill("2026-11-01", per_day=4)
    seq = builder.ledger.seq
    builder.mono_offset += 90 * SECOND  # as if the wall clock had been set forward
    await builder.fill("2026-11-02", per_day=4)
    before = builder.ledger.seq
    at = builder.now - 20 * SECOND
    waited = StepsRecord(1, at, (Event(1, at, "sent", "device:T09"),))
    mono = builder.now - builder.mono_offset
    entered = builder.ledger.enter([(mono, waited)])
    await journal.commit(entered.rows)
    await builder.fill("2026-11-03", per_day=4)
    report = await verify(journal, builder.signatories, now_us=builder.now)
    assert report.ok
    steps = [finding for finding in report.findings if finding.kind is Kind.CLOCK_STEPPED]
    assert [finding.first for finding in steps] == [seq + 1]
    assert "+90.000 s" in steps[0].text
    assert before


@pytest.mark.parametrize("held", [False, True], ids=["sealed at once", "held before it was sealed"])
async def test_a_changed_message_that_begins_a_month_is_the_first_bad_one(held: bool) -> None:
    journal = MemoryJournal()
    builder = JournalBuilder(journal)
    december = clock.parse_rfc3339("2026-12-01")
    november = an_inquiry(1, december - SECOND, builder.rng)
    if held:
        await builder.enter(november, state=True)
        november = []
    await builder.enter([*november, *an_inquiry(2, december, builder.rng)])
    first = 1 + next(row.seq for row in journal.statements.values() if row.statement == Statement.SEALED)
    link = journal.rows[first - 1].link
    for seq in range(first, max(journal.rows) + 1):
        body = journal.rows[seq].body
        body = changed(body) if seq == first else body
        link = link_after(link, leaf_of(body))
        journal.rows[seq] = TailRow(seq, body, link)
    report = await verify(journal, builder.signatories, now_us=builder.now)
    assert (report.faults[0].kind, report.faults[0].first) == (Kind.RECORDS_CHANGED, first)
    assert set(kinds(report)[1:]) <= {Kind.LINKS_CHANGED}
    assert report.first_bad_msn == 2
    assert [(s.first_msn, s.last_msn) for s in report.proven] == [(1, 1)]
    assert [(s.first_msn, s.last_msn) for s in report.unproven] == [(2, 2)]


async def test_late_and_missing_statements_are_warned_of() -> None:
    journal = MemoryJournal()
    builder = JournalBuilder(journal)
    await builder.fill("2026-11-01", per_day=4)
    seq, at = builder.ledger.seq, builder.now + DAY
    message = MessageRecord(builder.msn + 1, at, "outbound", "inquiry", "T01")
    entered = builder.ledger.enter([(at - builder.mono_offset, message)])
    await journal.commit(entered.rows)
    fresh = await verify(journal, builder.signatories, now_us=at + 20 * SECOND)
    assert fresh.findings == []
    assert fresh.not_stated == 1
    stale = await verify(journal, builder.signatories, now_us=at + 200 * SECOND)
    assert [(f.kind, f.first) for f in stale.findings] == [(Kind.NOT_STATED, seq + 1)]
    builder.now = at + 200 * SECOND
    await builder.state()
    late = await verify(journal, builder.signatories, now_us=builder.now)
    assert [(f.kind, f.first, f.checkpoint) for f in late.findings] == [
        (Kind.CHECKPOINT_LATE, seq + 1, late.last_checkpoint)
    ]
    assert late.ok


async def test_numbers_that_were_left_out_are_warned_of() -> None:
    journal = MemoryJournal()
    builder = JournalBuilder(journal)
    await builder.fill("2026-11-01", per_day=4)
    builder.msn += 5
    builder.ledger._inputs["line:STATE"] += 1
    await builder.fill("2026-11-02", per_day=4)
    report = await verify(journal, builder.signatories, now_us=builder.now)
    assert report.ok
    assert [finding.kind for finding in report.findings] == [Kind.NUMBER_GAP] * 2


async def test_checkpoints_of_two_histories_do_not_continue_each_other() -> None:
    journal = MemoryJournal()
    builder = JournalBuilder(journal)
    await builder.fill("2026-11-01", per_day=4)
    builder.ledger._previous = bytes(32)
    await builder.fill("2026-11-02", per_day=4)
    report = await verify(journal, builder.signatories, now_us=builder.now)
    assert kinds(report) == [Kind.CHECKPOINT_REPLACED]


async def test_a_checkpoint_that_goes_back_is_named() -> None:
    journal = MemoryJournal()
    builder = JournalBuilder(journal)
    await builder.fill("2026-11-01", per_day=4)
    seq = builder.ledger.seq
    builder.ledger.seq = 3
    await builder.state()
    builder.ledger.seq = seq
    await builder.fill("2026-11-02", per_day=4)
    report = await verify(journal, builder.signatories, now_us=builder.now)
    assert kinds(report) == [Kind.CHECKPOINT_ORDER]


async def test_a_new_journal_has_nothing_wrong_with_it() -> None:
    journal = MemoryJournal()
    report = await verify(journal, signatories_of(new_signer()))
    assert report.ok
    assert (report.records, report.checkpoints) == (0, 0)


# --- while it lives -----------------------------------------------------------------------------


class Busy(MemoryJournal):
    """A journal in which something happens between any two questions."""

    def __init__(self) -> None:
        super().__init__()
        self.builder = JournalBuilder(self)
        self.turns = 0
        self.live = False
        self.expiring: list[int] = []

    async def _happen(self) -> None:
        if not self.live:
            return
        self.live = False
        self.turns += 1
        await self.builder.transact(self.builder.now + 7 * 3600 * SECOND)
        if self.turns % 3 == 0:
            await self.builder.state()
        await self.builder.archive(records=16, keep=self.turns % 5, drop=self.turns % 2 == 0)
        if self.expiring and self.turns % 4 == 0:
            await delete(self, self.builder, self.expiring.pop(0))
        self.live = True

    async def tail(self, after: int = 0) -> list[TailRow]:
        await self._happen()
        return await super().tail(after)

    async def blocks_after(self, month: int, after: int, at_most: int) -> list[Block]:
        await self._happen()
        return await super().blocks_after(month, after, min(at_most, 64))

    async def checkpoints(self, after: int = 0, at_most: int = 1000) -> list[CheckpointRow]:
        await self._happen()
        return await super().checkpoints(after, min(at_most, 7))

    async def last_checkpoint(self) -> CheckpointRow | None:
        await self._happen()
        return await super().last_checkpoint()

    async def state(self) -> bytes | None:
        await self._happen()
        return await super().state()


@pytest.mark.parametrize("expiring", [[], [202608], [202608, 202609]])
async def test_nothing_that_moves_is_a_false_alarm(expiring: list[int]) -> None:
    journal = Busy()
    builder = journal.builder
    await builder.fill("2026-08-28", days=6, per_day=6)
    await builder.fill("2026-09-28", days=6, per_day=6)
    await builder.archive(records=16, keep=7)
    journal.live, journal.expiring = True, expiring
    for _ in range(6):
        report = await verify(journal, builder.signatories, now_us=builder.now)
        assert [f.text for f in report.findings if f.kind is not Kind.CHECKPOINT_LATE] == []
        assert report.proven[-1].last == read_checkpoint(journal.statements[report.last_checkpoint].body).seq
    assert journal.turns > 40
    assert journal.expiring == []


async def test_a_copied_journal_verifies_like_the_original(victim: Victim, tmp_path: Path) -> None:
    shutil.copytree(victim.main.parent, tmp_path / "copy")
    copy = Victim(victim.made, tmp_path / "copy")
    assert (await copy.verify()).ok
