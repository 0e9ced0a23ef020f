"""Group commit: durable before anybody hears of it, in MSN order, without gaps; and what happens when it fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from msc import clock
from msc.errors import JournalError, JournalUnavailable, Overloaded
from msc.journal import writer as writer_module
from msc.journal.proof.checkpoint import Signer, Statement
from msc.journal.record import AuditRecord
from msc.journal.writer import JournalWriter
from msc.metrics import Metrics
from msc.transit.event import Event, Life
from msc.transit.message import Direction, MessageRecord
from tests.journal.conftest import Held
from tests.support.disk import FaultyDisk
from tests.support.journal import events_of

SIGNER = Signer(Ed25519PrivateKey.generate())


def message(msn: int, text: str = "RQ") -> MessageRecord:
    return MessageRecord(msn, 1_000_000 + msn, Direction.OUTBOUND, "inquiry", text=text, transaction=msn)


def routed(record: MessageRecord, *destinations: str) -> MessageRecord:
    """Return a message that was routed."""
    return record._replace(events=tuple(Event(record.msn, 1, Life.ROUTED, name) for name in destinations))


def note(msn: int, event: Life = Life.SENT) -> Event:
    return Event(msn, 2_000_000, event, "line:clets-a")


def audit(event: str = "sign_on.granted") -> AuditRecord:
    return AuditRecord(3_000_000, event, user="J40217")


def append(writer: JournalWriter, outcomes: dict[int, object], events: int = 1) -> int:
    """Append a message and keep what its caller is told."""
    msn = writer.allot()

    def then(failure: JournalUnavailable | None) -> None:
        assert msn not in outcomes, "told twice"
        outcomes[msn] = failure.code if failure else "durable"

    writer.append(routed(message(msn), *(f"line:{n}" for n in range(events))), then)
    return msn


def messages(held: Held) -> list[MessageRecord]:
    return [record for record in held() if isinstance(record, MessageRecord)]


def msns(held: Held) -> list[int]:
    return [message.msn for message in messages(held)]


def events(held: Held) -> list[Event]:
    return list(events_of(held()))


def audits(held: Held) -> list[str]:
    return [record.event for record in held() if isinstance(record, AuditRecord)]


async def until(reached: Callable[[], object]) -> None:
    """Give the loop turns until something holds; the writer has no timer of its own while all is well."""
    async with asyncio.timeout(10):
        while not reached():
            await asyncio.sleep(0)


@asynccontextmanager
async def running(store: FaultyDisk, metrics: Metrics | None = None) -> AsyncIterator[JournalWriter]:
    writer = JournalWriter(store, SIGNER, metrics or Metrics())
    await writer.open()
    task = asyncio.get_running_loop().create_task(writer.run())
    try:
        yield writer
    finally:
        store.full = store.silent = store.gone = False
        store.gate.set()
        writer.close()
        async with asyncio.timeout(10):
            await task
        await store.close()


@pytest.fixture(autouse=True)
def retry_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A journal that failed is tried again at the loop's next turn: tests do not wait for clocks."""
    monkeypatch.setattr(writer_module, "JOURNAL_RETRY_S", 0)


# --- durability ---------------------------------------------------------------------------------------------


@pytest.mark.requirement("C-JOURNAL", "F-AUFAIL")
async def test_a_caller_hears_only_of_what_another_connection_can_already_read(store: FaultyDisk, held: Held) -> None:
    seen: dict[int, tuple[object, list[object], list[object]]] = {}
    async with running(store) as writer:
        for _ in range(5):
            msn = writer.allot()

            def then(failure: JournalUnavailable | None, msn: int = msn) -> None:
                texts = [m.text for m in messages(held) if m.msn == msn]
                seen[msn] = (failure, texts, [e.event for e in events(held) if e.msn == msn])

            writer.append(routed(message(msn, f"TEXT {msn}"), "line:clets-a"), then)
            assert seen == {}, "told before the commit"
        await until(lambda: len(seen) == 5)
    assert seen == {n: (None, [f"TEXT {n}"], ["routed"]) for n in range(1, 6)}


@pytest.mark.requirement("C-JOURNAL")
async def test_nothing_is_told_while_the_commit_is_under_way(store: FaultyDisk, held: Held) -> None:
    outcomes: dict[int, object] = {}
    async with running(store) as writer:
        store.gate.clear()
        append(writer, outcomes)
        await store.under_way.wait()
        for _ in range(20):
            await asyncio.sleep(0)
        assert outcomes == {}
        assert messages(held) == []
        store.gate.set()
        await until(lambda: outcomes)
    assert outcomes == {1: "durable"}


async def test_what_comes_while_a_commit_runs_shares_the_next_one(store: FaultyDisk) -> None:
    outcomes: dict[int, object] = {}
    metrics = Metrics()
    async with running(store, metrics) as writer:
        store.gate.clear()
        append(writer, outcomes)
        await store.under_way.wait()
        for _ in range(100):
            append(writer, outcomes, events=2)
        writer.note(note(1))
        writer.note_audit(audit())
        store.gate.set()
        await until(lambda: len(outcomes) == 101)
    assert store.commits == [1, 102]
    assert metrics.commits[1] == 103


async def test_callers_hear_in_msn_order(store: FaultyDisk) -> None:
    outcomes: dict[int, object] = {}
    async with running(store) as writer:
        for _ in range(50):
            append(writer, outcomes)
        await until(lambda: len(outcomes) == 50)
    assert list(outcomes) == list(range(1, 51))


async def test_a_caller_may_append_from_within_its_call(store: FaultyDisk, held: Held) -> None:
    outcomes: dict[int, object] = {}
    async with running(store) as writer:

        def then(_failure: JournalUnavailable | None) -> None:
            append(writer, outcomes)

        writer.append(message(writer.allot()), then)
        await until(lambda: outcomes)
    assert outcomes == {2: "durable"}
    assert msns(held) == [1, 2]


async def test_a_message_nobody_waits_for_is_stored_too(store: FaultyDisk, held: Held) -> None:
    async with running(store) as writer:
        writer.append(message(writer.allot()))
    assert msns(held) == [1]


async def test_closing_stores_all_that_waits(store: FaultyDisk, held: Held) -> None:
    outcomes: dict[int, object] = {}
    async with running(store) as writer:
        store.gate.clear()
        for _ in range(10):
            append(writer, outcomes)
        writer.note(note(1))
        writer.note_audit(audit("switch.stopped"))
    assert outcomes == dict.fromkeys(range(1, 11), "durable")
    assert msns(held) == list(range(1, 11))
    assert audits(held) == ["switch.stopped"]
    assert [e.event for e in events(held) if e.msn == 1] == ["routed", "sent"]


# --- MSNs -----------------------------------------------------------------------------------------------------


async def test_msns_rise_by_one_and_go_on_after_a_restart(file: Path, store: FaultyDisk, held: Held) -> None:
    outcomes: dict[int, object] = {}
    async with running(store) as writer:
        assert writer.allot() == 1
        assert [append(writer, outcomes) for _ in range(3)] == [1, 2, 3]
    again = FaultyDisk(f"sqlite+aiosqlite:///{file}")
    async with running(again) as writer:
        assert [append(writer, outcomes) for _ in range(2)] == [4, 5]
    assert msns(held) == [1, 2, 3, 4, 5]
    assert len(events(held)) == 5


async def test_an_msn_that_was_not_allotted_is_our_mistake(store: FaultyDisk) -> None:
    async with running(store) as writer:
        for wrong in (0, 2):
            with pytest.raises(AssertionError):
                writer.append(message(wrong))


# --- bounds -----------------------------------------------------------------------------------------------------


async def test_too_many_waiting_rows_are_refused_with_e502(
    store: FaultyDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "JOURNAL_QUEUE_ROWS_MAX", 5)
    outcomes: dict[int, object] = {}
    async with running(store) as writer:
        store.gate.clear()
        append(writer, outcomes, events=0)
        await store.under_way.wait()
        append(writer, outcomes, events=1)
        writer.note(note(1))
        writer.note(note(1))
        writer.note_audit(audit())
        assert writer.waiting == 4
        writer.check_room()
        writer.note(note(1))
        with pytest.raises(Overloaded) as refused:
            writer.check_room()
        assert refused.value.code == "E502"


# --- few records --------------------------------------------------------------------------------------------------


@pytest.mark.requirement("C-JOURNAL", "C-TRAFFIC")
async def test_an_inquiry_and_its_answer_are_four_records_that_hold_their_whole_lives(
    store: FaultyDisk, held: Held
) -> None:
    line, station = "line:clets-a", "device:desk-1"
    lives = {
        1: [(10, "routed", line), (20, "sent", line), (30, "acknowledged", line), (40, "answered", line)],
        2: [(40, "routed", station), (50, "sent", station), (60, "acknowledged", station)],
    }
    happened = {msn: [Event(msn, *each) for each in life] for msn, life in lives.items()}
    outcomes: list[object] = []
    async with running(store) as writer:
        writer.append(message(writer.allot())._replace(events=(happened[1][0],)), outcomes.append)
        await until(lambda: len(outcomes) == 1)
        for event in happened[1][1:3]:
            writer.note(event, ended=False)
        answer = message(writer.allot())._replace(transaction=1, events=(happened[2][0],))
        writer.append(answer, outcomes.append, [happened[1][3]])
        await until(lambda: len(outcomes) == 2)
        writer.note(happened[2][1], ended=False)
        writer.note(happened[2][2])
    assert [type(record).__name__ for record in held()] == ["MessageRecord", "MessageRecord", *["StepsRecord"] * 2]
    found = events(held)
    for msn, life in lives.items():
        assert [(e.at, e.event, e.destination) for e in found if e.msn == msn] == life
    assert [event.facts.get("osn") for event in found if event.event == Life.SENT] == [1, 1]
    assert not writer.owed


@pytest.mark.requirement("F-AUFAIL", "C-TRAFFIC")
async def test_what_was_noted_outlasts_a_failed_commit_and_what_was_to_be_stored_with_it_does_not(
    store: FaultyDisk, held: Held
) -> None:
    outcomes: dict[int, object] = {}
    async with running(store) as writer:
        append(writer, outcomes)
        await until(lambda: outcomes)
        writer.note(note(1, Life.SENT), ended=False)
        store.full = store.gone = True
        told: list[object] = []
        writer.store(note(1, Life.CANCELLED), told.append)
        await until(lambda: told)
        assert isinstance(told[0], JournalUnavailable)
        store.full = store.gone = False
        await until(lambda: writer.available and not writer.waiting)
    assert [event.event for event in events(held)] == ["routed", "sent"]


@pytest.mark.requirement("C-TRAFFIC")
async def test_what_is_noted_rides_with_the_next_commit_in_its_own_order(
    store: FaultyDisk, held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "NOTES_RIDE_S", 60.0)
    outcomes: dict[int, object] = {}
    async with running(store) as writer:
        append(writer, outcomes)
        await until(lambda: outcomes)
        writer.note(note(1, Life.SENT))
        for _ in range(20):
            await asyncio.sleep(0)
        assert [event.event for event in events(held)] == ["routed"], "nobody waits for it: no commit of its own"
        append(writer, outcomes)
        await until(lambda: len(outcomes) == 2)
        assert [(event.msn, event.event) for event in events(held)] == [(1, "routed"), (1, "sent"), (2, "routed")]


@pytest.mark.requirement("C-TRAFFIC")
@pytest.mark.parametrize("ended", [True, False])
async def test_what_no_commit_takes_along_has_one_soon_anyway(
    store: FaultyDisk, held: Held, monkeypatch: pytest.MonkeyPatch, ended: bool
) -> None:
    monkeypatch.setattr(writer_module, "NOTES_RIDE_S", 0.002)
    monkeypatch.setattr(writer_module, "STEPS_GATHER_S", 0.004)
    async with running(store) as writer:
        writer.note(note(1, Life.SENT), ended=ended)
        began = clock.monotonic()
        async with asyncio.timeout(10):
            while not events(held):
                await asyncio.sleep(0.001)
        assert ended or clock.monotonic() - began >= 0.004, "it gathered first"


# --- failure ------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("F-AUFAIL")
async def test_a_failed_commit_refuses_its_messages_and_those_behind_it(store: FaultyDisk, held: Held) -> None:
    outcomes: dict[int, object] = {}
    async with running(store) as writer:
        append(writer, outcomes)
        await until(lambda: outcomes)
        store.gate.clear()
        for _ in range(2):
            append(writer, outcomes)
        await store.under_way.wait()
        for _ in range(3):
            append(writer, outcomes)
        store.full = store.gone = True
        store.gate.set()
        await until(lambda: len(outcomes) == 6)
        assert outcomes == {1: "durable", **dict.fromkeys(range(2, 7), "E501")}
        assert not writer.available
        with pytest.raises(JournalUnavailable):
            writer.check_room()
        with pytest.raises(JournalUnavailable) as refused:
            writer.append(message(writer.allot()))
        assert refused.value.code == "E501"
        assert msns(held) == [1]


@pytest.mark.requirement("F-AUFAIL", "C-TRAFFIC")
async def test_notes_and_audit_outlast_a_failure_in_their_order(store: FaultyDisk, held: Held) -> None:
    outcomes: dict[int, object] = {}
    async with running(store) as writer:
        append(writer, outcomes)
        await until(lambda: outcomes)
        store.full = store.gone = True
        writer.note(note(1, Life.SENT))
        writer.note_audit(audit("first"))
        await until(lambda: not writer.available)
        writer.note(note(1, Life.ACKNOWLEDGED))
        writer.note_audit(audit("second"))
        for _ in range(20):
            await asyncio.sleep(0)
        assert not writer.available
        assert audits(held) == []
        store.full = store.gone = False
        await until(lambda: writer.available and not writer.waiting)
    assert [e.event for e in events(held)] == ["routed", "sent", "acknowledged"]
    assert audits(held) == ["first", "second"]


@pytest.mark.requirement("F-AUFAIL")
async def test_events_of_a_refused_message_are_not_kept(store: FaultyDisk, held: Held) -> None:
    outcomes: dict[int, object] = {}
    async with running(store) as writer:
        store.full = store.gone = True
        append(writer, outcomes, events=3)
        await until(lambda: outcomes)
        store.full = store.gone = False
        await until(lambda: writer.available)
        append(writer, outcomes := {}, events=1)
        await until(lambda: outcomes)
    assert [(e.msn, e.destination) for e in events(held)] == [(1, "line:0")]


@pytest.mark.requirement("C-JOURNAL")
async def test_after_a_failure_msns_go_on_behind_what_is_stored(store: FaultyDisk, held: Held) -> None:
    outcomes: dict[int, object] = {}
    async with running(store) as writer:
        assert [append(writer, outcomes) for _ in range(2)] == [1, 2]
        await until(lambda: len(outcomes) == 2)
        store.full = store.gone = True
        assert append(writer, outcomes) == 3
        await until(lambda: len(outcomes) == 3)
        store.full = store.gone = False
        await until(lambda: writer.available)
        del outcomes[3]
        assert append(writer, outcomes) == 3
        await until(lambda: len(outcomes) == 3)
    assert outcomes == dict.fromkeys((1, 2, 3), "durable")
    assert msns(held) == [1, 2, 3]


async def test_a_disk_that_opens_and_cannot_be_written_keeps_refusing(store: FaultyDisk, held: Held) -> None:
    async with running(store) as writer:
        store.full = True
        refused = 0
        for _ in range(3):
            await until(lambda: writer.available)
            outcomes: dict[int, object] = {}
            append(writer, outcomes)
            await until(lambda: outcomes)  # noqa: B023
            refused += outcomes == {1: "E501"}
        assert refused == 3
        assert messages(held) == []


async def test_kept_notes_are_bounded_and_the_newest_stay(
    store: FaultyDisk, held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "JOURNAL_QUEUE_ROWS_MAX", 3)
    async with running(store) as writer:
        store.full = store.gone = True
        for n in range(10):
            writer.note_audit(audit(f"event.{n}"))
        await until(lambda: not writer.available)
        store.full = store.gone = False
        await until(lambda: writer.available and not writer.waiting)
    assert audits(held) == ["event.7", "event.8", "event.9"]


async def test_what_is_kept_stays_bounded_while_the_journal_is_away(
    store: FaultyDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    # An outage may last a weekend: sign-ons are refused and audited all the while.
    monkeypatch.setattr(writer_module, "JOURNAL_QUEUE_ROWS_MAX", 3)
    async with running(store) as writer:
        store.full = store.gone = True
        writer.note_audit(audit())
        await until(lambda: not writer.available)
        for n in range(100):
            writer.note_audit(audit(f"event.{n}"))
            writer.note(note(1))
        await asyncio.sleep(0)
        assert writer.waiting <= 3


async def test_closing_while_the_journal_is_away_ends(store: FaultyDisk) -> None:
    writer = JournalWriter(store, SIGNER, Metrics())
    await writer.open()
    task = asyncio.get_running_loop().create_task(writer.run())
    store.full = store.gone = True
    writer.note(note(1))
    await until(lambda: not writer.available)
    writer.close()
    async with asyncio.timeout(10):
        await task


async def test_a_journal_that_cannot_be_opened_is_not_available(store: FaultyDisk) -> None:
    store.gone = True
    writer = JournalWriter(store, SIGNER, Metrics())
    with pytest.raises(JournalError):
        await writer.open()
    assert not writer.available
    with pytest.raises(JournalUnavailable):
        writer.check_room()


async def test_a_record_no_database_can_hold_does_not_stop_the_writer(store: FaultyDisk, held: Held) -> None:
    # A reason or a name from a peer's JSON may hold half a surrogate pair. One such note must not end the
    # task that writes everybody's journal.
    writer = JournalWriter(store, SIGNER, Metrics())
    await writer.open()
    task = asyncio.get_running_loop().create_task(writer.run())
    writer.note(Event(1, 1, Life.REFUSED_BY_PEER, "device:desk-1", {"why": "E203 \ud800"}))
    writer.close()
    await asyncio.wait([task], timeout=10)
    await store.close()
    assert task.done()
    assert task.exception() is None, f"the writer's task ended: {task.exception()!r}"


# --- what nobody knows of --------------------------------------------------------------------------------------


@pytest.mark.requirement("F-AUFAIL", "C-TRAFFIC")
async def test_a_commit_that_was_stored_after_all_says_that_its_messages_were_refused(
    store: FaultyDisk, held: Held
) -> None:
    outcomes: dict[int, object] = {}
    async with running(store) as writer:
        append(writer, outcomes)
        await until(lambda: outcomes)
        store.silent = True
        append(writer, outcomes)
        writer.note_audit(audit("once"))
        await until(lambda: len(outcomes) == 2)
        assert outcomes == {1: "durable", 2: "E501"}
        store.silent = False
        await until(lambda: writer.available and not writer.waiting)
        assert append(writer, outcomes) == 3
        await until(lambda: len(outcomes) == 3)
        assert set(writer.owed) == {1, 3}, "what was refused is owed to nobody"
    assert msns(held) == [1, 2, 3]
    assert [e.msn for e in events(held) if e.event == Life.REFUSED] == [2]
    assert audits(held) == ["once"]


# --- checkpoints --------------------------------------------------------------------------------------------------


@pytest.mark.requirement("F-AUPROT")
async def test_a_new_journal_begins_with_a_checkpoint_and_closing_covers_all(store: FaultyDisk) -> None:
    async with running(store) as writer:
        assert [row.seq for row in store.checkpoints] == [0]
        append(writer, {})
    assert store.checkpoints[-1].seq == 1
    numbers = [row.number for row in store.checkpoints]
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.requirement("F-AUPROT")
async def test_records_are_covered_by_a_checkpoint_within_the_time_set(
    store: FaultyDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "CHECKPOINT_S", 0.0)
    async with running(store) as writer:
        append(writer, {})
        await until(lambda: store.checkpoints[-1].seq == 1)


@pytest.mark.requirement("F-AUPROT")
async def test_many_records_are_covered_sooner(store: FaultyDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "CHECKPOINT_RECORDS_MAX", 10)
    async with running(store) as writer:
        for _ in range(10):
            append(writer, {})
        await until(lambda: store.checkpoints[-1].seq == 10)


async def test_a_statement_is_durable_when_it_is_returned(store: FaultyDisk) -> None:
    async with running(store) as writer:
        row = await writer.state(Statement.DELETED, {"month": 202301})
        assert row in store.checkpoints
        store.full = store.gone = True
        with pytest.raises(JournalUnavailable):
            await writer.state(Statement.DELETED, {"month": 202302})
        store.full = store.gone = False
        await until(lambda: writer.available)
        assert (await writer.state(Statement.DELETED, {"month": 202302})).number > row.number


@pytest.mark.requirement("F-BACKUP")
async def test_what_a_restart_finds_is_what_was_there(file: Path, store: FaultyDisk) -> None:
    async with running(store) as writer:
        for n in range(3):
            append(writer, {}, events=n)
        writer.note(note(3))
        await until(lambda: not writer.waiting)
        owed, seq = dict(writer.owed), writer.seq
    again = FaultyDisk(f"sqlite+aiosqlite:///{file}")
    async with running(again) as writer:
        assert (dict(writer.owed), writer.seq) == (owed, seq)


# --- the clock ----------------------------------------------------------------------------------------------------


@pytest.mark.requirement("F-CLOCK")
async def test_a_clock_that_steps_is_journaled(
    store: FaultyDisk, held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1_790_000_000_000_000]
    monkeypatch.setattr(clock, "wall_us", lambda: now[0])
    monkeypatch.setattr(clock, "monotonic_us", lambda: 5_000_000)
    async with running(store) as writer:
        writer.watch_clock()
        now[0] += 200_000
        writer.watch_clock()
        now[0] -= 1_500_000
        writer.watch_clock()
        await until(lambda: not writer.waiting)
    (stepped,) = [record for record in held() if isinstance(record, AuditRecord)]
    assert (stepped.event, stepped.detail) == ("clock.stepped", "-1.500 s")
