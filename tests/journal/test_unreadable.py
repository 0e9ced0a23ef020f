"""No start fails on what a record says: every member of every kind of record, replaced with what it must not be."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, get_type_hints

import orjson
import pytest

from msc import clock
from msc.errors import JournalError
from msc.journal.archive import Archivist
from msc.journal.criteria import AuditCriteria, Criteria
from msc.journal.database.layout import Opened, TailRow
from msc.journal.ledger import Ledger
from msc.journal.proof.canonical import decode, encode, read
from msc.journal.proof.chain import leaf_of, link_after
from msc.journal.reader import JournalReader
from msc.journal.recall import not_understood, recent_transactions, understood, unfinished
from msc.journal.record import AuditRecord, Record, StepsRecord, Unreadable
from msc.journal.search import Searcher
from msc.transit.event import Event, Facts, Life
from msc.transit.message import Direction, MessageRecord
from tests.support.journal import SIGNER
from tests.support.memory_journal import MemoryJournal

pytestmark = pytest.mark.requirement("F-BACKUP", "C-TRAFFIC")

LINE = "line:clets-a"
AT = clock.parse_rfc3339("2026-11-05")
ODD = (None, "", "x", -1, 2**70, True, 1.5, [], {}, "é\ud800")
FACTS: dict[str, Any] = {
    name: {int: 7, bool: True, str: "x"}.get(kind, ["line:ncic-a"]) for name, kind in get_type_hints(Facts).items()
}


def an_inquiry(msn: int) -> MessageRecord:
    facts: Facts = FACTS  # type: ignore[assignment]
    return MessageRecord(
        msn, AT + msn, Direction.OUTBOUND, "inquiry", "desk-1", None, "J40217", "EXLP", "CA0980000", "A123",
        "A12300000H", "X", "J40217", "02RVXUF", "QW", "IW", "WPS", "RQ", msn, "R-1", "DOE", "X", "urgent", "X", None,
        3, "s1", (Event(msn, AT, Life.ROUTED, LINE, facts), Event(msn, AT + msn, Life.ROUTED, "user:J1", facts)),
    )  # fmt: skip


RECORDS: dict[str, Record] = {
    "message": an_inquiry(3),
    "steps": StepsRecord(
        1, AT + 9, (Event(1, AT + 8, Life.SENT, LINE, FACTS), Event(1, AT + 9, Life.RETURNED, LINE))  # type: ignore[arg-type]
    ),
    "audit": AuditRecord(AT + 9, "sign_on.refused", *["x"] * 10),
}  # fmt: skip


def replaced(found: Any) -> Iterator[Any]:
    """Yield copies of what JSON holds, each with one part of it replaced or left out."""
    yield from copy.deepcopy(ODD)
    places = range(len(found)) if isinstance(found, list) else list(found) if isinstance(found, dict) else ()
    for place in places:
        for part in replaced(found[place]):
            changed = copy.copy(found)
            changed[place] = part
            yield changed
        less = copy.copy(found)
        del less[place]
        yield less


def odd_bodies(record: Record) -> Iterator[bytes]:
    """Yield what may stand where a record's canonical bytes should be."""
    good = orjson.loads(encode(6, 5, None, record))
    for odd in replaced(good):
        yield json.dumps(odd, separators=(",", ":")).encode()
    yield from (b"", b"\x00\xff", b'["m"', b'["m",6,5,1,3,' + b"9" * 40 + b"]", encode(5, 5, None, record))


def journal_with(body: bytes, *, stated: bool) -> tuple[MemoryJournal, Opened]:
    """Make a journal whose last record is a strange one, properly chained."""
    ledger, journal = Ledger(bytes(16), SIGNER), MemoryJournal()
    records: list[Record] = [
        an_inquiry(1), an_inquiry(2), StepsRecord(2, AT + 5, (Event(2, AT + 5, Life.SENT, LINE),)),
        AuditRecord(AT, "x"), StepsRecord(1, AT + 6, (Event(1, AT + 6, Life.QUEUED, LINE),)),
    ]  # fmt: skip
    rows = ledger.enter([(1, record) for record in records]).rows
    checkpoint, state = ledger.checkpoint(AT), ledger.state()
    rows.append(TailRow(6, body, link_after(rows[-1].link, leaf_of(body))))
    opened = Opened(state, checkpoint, rows)
    if stated:
        ledger = Ledger.of(opened, SIGNER, b"")
        opened = Opened(None, ledger.checkpoint(AT), rows)
        opened = replace(opened, state=ledger.state())
    journal.rows = {row.seq: row for row in rows}
    journal.statements = {1: checkpoint, opened.checkpoint.number: opened.checkpoint}  # type: ignore[union-attr, dict-item]
    journal.stored_state = opened.state
    return journal, opened


@pytest.mark.parametrize("where", ["behind the last checkpoint", "stated", "in blocks"])
@pytest.mark.parametrize("kind", RECORDS)
async def test_a_start_goes_on_from_all_it_understands_and_tells_the_rest(kind: str, where: str) -> None:
    for body in odd_bodies(RECORDS[kind]):
        journal, opened = journal_with(body, stated=where != "behind the last checkpoint")
        ledger = Ledger.of(opened, SIGNER, b"")
        assert ledger.msn >= (3 if kind == "message" else 2), "an MSN would be given to two messages"
        if where == "in blocks":
            assert await Archivist(journal).step(at_least=1) == 6
            await journal.commit((), drop_to=6)
        reader = JournalReader(journal)
        owed = await unfinished(reader, ledger.owed)
        recent = await recent_transactions(reader, AT)
        told = await not_understood(reader, ledger.unreadable)
        assert {1, 2} <= {each.message.msn for each in owed.messages}
        assert {1, 2} <= {each.message.msn for each in recent.messages}
        seqs = {each.seq for each in (*owed.unreadable, *recent.unreadable, *told)}
        record = understood(read(6, body))
        assert seqs == ({6} if isinstance(record, Unreadable) else set())
        if ledger.unreadable:
            assert [each.seq for each in told] == ledger.unreadable == [6]


async def test_searches_pass_over_it_and_find_the_rest() -> None:
    for kind in RECORDS:
        for body in list(odd_bodies(RECORDS[kind]))[::11]:
            for archived in (False, True):
                journal, _ = journal_with(body, stated=True)
                if archived:
                    await Archivist(journal).step(at_least=1)
                    await journal.commit((), drop_to=6)
                searcher = Searcher(JournalReader(journal))
                await searcher.refresh()
                found = [e.message.msn async for e in searcher.search(Criteria(user="J40217")).entries() if e]
                assert {1, 2} <= set(found)
                await searcher.search(Criteria(outcome="open")).all_msns()
                assert [e async for e in searcher.audit(AuditCriteria(event="x")).records() if e]


def test_what_is_as_it_must_be_is_understood_whole() -> None:
    for record in RECORDS.values():
        stored = decode(encode(6, 5, None, record))
        assert stored == read(6, encode(6, 5, None, record)) and stored.record == record
        assert understood(stored) == record


def test_bytes_that_are_not_those_that_were_chained_refuse_a_start() -> None:
    body = encode(6, 5, None, RECORDS["steps"])
    _, opened = journal_with(body, stated=False)
    changed = replace(opened, tail=[*opened.tail[:-1], opened.tail[-1]._replace(body=body[:-1] + b" ]")])
    with pytest.raises(JournalError, match="record 6 of the journal was changed"):
        Ledger.of(changed, SIGNER, b"")
