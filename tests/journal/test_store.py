"""The journal's database: what is committed, what is refused whole, and what a starting switch is told."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from msc.errors import JournalError
from msc.journal.record import AuditRecord, Direction, EventRecord, Life, MessageRecord
from msc.journal.store import JournalStore, Unfinished
from tests.journal.conftest import Query
from tests.support.disk import FaultyDisk, commit

LINE, OTHER_LINE, STATION, USER = "line:clets-a", "line:ncic-a", "device:desk-1", "user:J40217"


def inquiry(msn: int, **members: Any) -> MessageRecord:
    row = MessageRecord(
        msn, msn * 1000, Direction.OUTBOUND, "inquiry", device="desk-1", header=f"A12300000{msn}", text="RQ",
        transaction=msn,
    )  # fmt: skip
    return row._replace(**members)


def unsolicited(msn: int) -> MessageRecord:
    return MessageRecord(
        msn, msn * 1000, Direction.INBOUND, "unsolicited", device="desk-1", line="clets-a", header="A123",
        text="A123.HIT", transaction=msn,
    )  # fmt: skip


def events(msn: int, destination: str | None, *lives: Life) -> list[EventRecord]:
    return [EventRecord(msn, msn * 1000 + n, life, destination) for n, life in enumerate(lives)]


@pytest.fixture
async def opened(store: FaultyDisk) -> FaultyDisk:
    assert await store.open() == 0
    return store


# --- writing --------------------------------------------------------------------------------------------------


@pytest.mark.requirement("C-JOURNAL", "C-TRAFFIC", "C-CORI", "F-AUDIT")
async def test_every_member_of_every_record_is_stored(opened: FaultyDisk, query: Query) -> None:
    whole = MessageRecord(
        7, 2**52, "outbound", "inquiry", "cad-1", "clets-a", "J40217", "EXLP", "CA0980000", "CD01", "CD01000007",
        "CD01A00017", "J40217", "0A0000010017", "QW", "IW", "WPS", "IW.QW.\\xff\r\nÄ\x00'\"", 5, "R-1", "SGT DOE",
        "DA OFFICE", "urgent", "CASE 26-17", "E403", 12, "s1",
    )  # fmt: skip
    assert None not in whole
    event = EventRecord(7, 2**52 + 1, "sent", LINE, "detail")
    audit = AuditRecord(
        2**52 + 2, "sign_on.refused", "desk-1", "J40217", "A123", "10.0.0.23", "s1", "E101", "why", "user P50110",
        "CASE 26-17",
    )  # fmt: skip
    assert None not in audit
    await commit(opened, [whole], [event], [audit])
    assert query("SELECT * FROM message") == [tuple(whole)]
    assert query("SELECT msn, at, event, destination, detail FROM event") == [tuple(event)]
    assert query(f"SELECT {', '.join(AuditRecord._fields)} FROM audit") == [tuple(audit)]


async def test_the_highest_msn_is_told_on_opening(opened: FaultyDisk) -> None:
    await commit(opened, [inquiry(1), inquiry(2)], [], [])
    await commit(opened, [inquiry(41)], [], [])
    assert await opened.open() == 41


@pytest.mark.requirement("F-AUFAIL")
async def test_commits_are_made_to_survive_a_power_cut(opened: FaultyDisk, file: Path) -> None:
    # PRAGMA synchronous belongs to a connection: ask the store's own.
    connection = opened._connection
    assert connection is not None
    assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
    assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
    connection.rollback()


async def test_a_batch_is_stored_whole_or_not_at_all(opened: FaultyDisk, query: Query) -> None:
    await commit(opened, [inquiry(1)], events(1, LINE, Life.ROUTED), [])
    with pytest.raises(JournalError):
        await commit(opened, [inquiry(2), inquiry(1)], events(2, LINE, Life.ROUTED), [AuditRecord(1, "x")])
    assert await opened.open() == 1
    assert query("SELECT msn FROM message") == [1]
    assert query("SELECT count(*) FROM event") == [1]
    assert query("SELECT count(*) FROM audit") == [0]
    await commit(opened, [inquiry(2)], events(2, LINE, Life.ROUTED), [AuditRecord(1, "x")])
    assert query("SELECT msn FROM message ORDER BY msn") == [1, 2]


async def test_an_event_that_fails_takes_its_message_with_it(opened: FaultyDisk, query: Query) -> None:
    with pytest.raises(JournalError):
        await commit(opened, [inquiry(1)], [EventRecord(1, None, "sent")], [])  # type: ignore[arg-type]
    await opened.open()
    assert query("SELECT count(*) FROM message") == [0]


async def test_events_of_one_message_keep_their_order_over_batches_and_restarts(
    opened: FaultyDisk, file: Path, query: Query
) -> None:
    await commit(opened, [inquiry(1), inquiry(2)], events(1, LINE, Life.ROUTED, Life.SENT), [])
    await commit(opened, [], events(2, LINE, Life.ROUTED) + events(1, LINE, Life.ACKNOWLEDGED), [])
    await opened.close()
    again = FaultyDisk(f"sqlite+aiosqlite:///{file}")
    await again.open()
    await commit(again, [], events(1, LINE, Life.ANSWERED), [])
    await again.close()
    lives = query("SELECT event FROM event WHERE msn = 1 ORDER BY number")
    assert lives == ["routed", "sent", "acknowledged", "answered"]
    assert query("SELECT count(DISTINCT number), count(*) FROM event") == [(5, 5)]


async def test_a_store_that_is_not_open_says_so(store: FaultyDisk) -> None:
    with pytest.raises(JournalError):
        await commit(store, [inquiry(1)], [], [])


@pytest.mark.parametrize("spoil", ["folder", "garbage", "missing folder"])
async def test_a_file_that_is_no_journal_is_told_and_not_raised_raw(tmp_path: Path, spoil: str) -> None:
    file = tmp_path / "journal.db"
    if spoil == "folder":
        file.mkdir()
    elif spoil == "garbage":
        file.write_bytes(b"this is no database, and long enough to be looked at" * 40)
    else:
        file = tmp_path / "nowhere" / "journal.db"
    store = JournalStore(f"sqlite+aiosqlite:///{file}")
    with pytest.raises(JournalError):
        await store.open()
    await store.close()


@pytest.mark.requirement("F-AUFAIL")
async def test_a_database_locked_by_another_is_told_and_the_store_can_be_opened_again(
    opened: FaultyDisk, file: Path, query: Query
) -> None:
    connection = opened._connection
    assert connection is not None
    connection.exec_driver_sql("PRAGMA busy_timeout=0")
    connection.rollback()
    other = sqlite3.connect(file, isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalError):
            await commit(opened, [inquiry(1)], [], [])
        other.execute("ROLLBACK")
    finally:
        other.close()
    assert await opened.open() == 0
    await commit(opened, [inquiry(1)], [], [])
    assert query("SELECT msn FROM message") == [1]


# --- what had not ended -------------------------------------------------------------------------------------------

ENDS_ON_LINE = {
    Life.ANSWERED, Life.NOT_SENT, Life.EXPIRED, Life.OUTCOME_UNKNOWN, Life.REFUSED_BY_PEER, Life.OPERATOR_QUEUE,
}  # fmt: skip
ENDS_AT_STATION = {Life.ACKNOWLEDGED, Life.OPERATOR_QUEUE}
AFTER_ROUTING = [life for life in Life if life not in (Life.RECEIVED, Life.ROUTED, Life.REFUSED)]


@pytest.mark.requirement("F-BACKUP", "C-TRAFFIC")
@pytest.mark.parametrize("life", AFTER_ROUTING)
@pytest.mark.parametrize(
    ("destination", "ends"), [(LINE, ENDS_ON_LINE), (STATION, ENDS_AT_STATION), (USER, ENDS_AT_STATION)]
)
async def test_a_message_has_ended_for_a_destination_by_what_happened_there(
    opened: FaultyDisk, life: Life, destination: str, ends: set[Life]
) -> None:
    await commit(opened, [inquiry(1)], events(1, destination, Life.ROUTED, life), [])
    found = await opened.unfinished(0)
    if life in ends:
        assert found == []
    else:
        assert found == [Unfinished(inquiry(1), destination, was_sent=life is Life.SENT)]


@pytest.mark.requirement("F-BACKUP")
async def test_each_destination_ends_for_itself(opened: FaultyDisk) -> None:
    await commit(
        opened,
        [inquiry(1), inquiry(2)],
        [
            *events(1, LINE, Life.ROUTED, Life.SENT, Life.ACKNOWLEDGED),
            *events(1, OTHER_LINE, Life.ROUTED, Life.SENT, Life.ANSWERED),
            *events(2, OTHER_LINE, Life.ROUTED),
        ],
        [],
    )
    assert await opened.unfinished(0) == [
        Unfinished(inquiry(1), LINE, was_sent=True),
        Unfinished(inquiry(2), OTHER_LINE, was_sent=False),
    ]


@pytest.mark.requirement("F-BACKUP")
async def test_what_was_given_back_still_waits(opened: FaultyDisk) -> None:
    await commit(opened, [unsolicited(1)], events(1, STATION, Life.ROUTED, Life.SENT, Life.RETURNED), [])
    assert await opened.unfinished(0) == [Unfinished(unsolicited(1), STATION, was_sent=True)]


async def test_a_refused_message_and_one_nobody_could_take_have_ended(opened: FaultyDisk) -> None:
    await commit(
        opened,
        [inquiry(1, header=None, code="E205"), unsolicited(2)],
        [*events(1, None, Life.REFUSED), *events(2, None, Life.OPERATOR_QUEUE)],
        [],
    )
    assert await opened.unfinished(0) == []


async def test_only_messages_from_a_time_on_are_looked_at(opened: FaultyDisk) -> None:
    await commit(
        opened, [inquiry(n) for n in (1, 2, 3)], [e for n in (1, 2, 3) for e in events(n, LINE, Life.ROUTED)], []
    )
    assert [leg.message.msn for leg in await opened.unfinished(2000)] == [2, 3]
    assert [record.msn for record in await opened.recent_transactions(2000)] == [2, 3]


# --- what answers may still come for -----------------------------------------------------------------------------


@pytest.mark.requirement("C-HDR")
async def test_recent_transactions_are_those_that_began_one_and_went_out(opened: FaultyDisk) -> None:
    answer = inquiry(4, direction=Direction.INBOUND, kind="response", transaction=1)
    await commit(
        opened,
        [inquiry(1), inquiry(2, header=None, code="E205"), inquiry(3), answer],
        [
            *events(3, LINE, Life.ROUTED, Life.SENT, Life.ANSWERED),
            *events(1, LINE, Life.ROUTED),
            *events(2, None, Life.REFUSED),
            *events(4, STATION, Life.ROUTED),
        ],
        [],
    )
    assert await opened.recent_transactions(0) == [inquiry(1), inquiry(3)]


@pytest.mark.requirement("C-HDR", "C-UNSOL")
async def test_what_went_to_stations_alone_is_no_transaction_answers_may_come_for(opened: FaultyDisk) -> None:
    # Its header is a bare mnemonic: remembered, it would take the next unsolicited message for its answer.
    administrative = inquiry(2, kind="administrative", direction=Direction.LOCAL)
    await commit(
        opened,
        [unsolicited(1), administrative],
        [*events(1, STATION, Life.ROUTED, Life.SENT, Life.ACKNOWLEDGED), *events(2, STATION, Life.ROUTED)],
        [],
    )
    assert await opened.recent_transactions(0) == []
