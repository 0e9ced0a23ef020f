"""What a starting switch does with what had not ended: the decision table, one test a row, and what it rebuilds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import structlog.testing

from msc import clock
from msc.journal.recall import Recalled
from msc.protocol.catalog import Catalog
from msc.settings import QueueSettings
from msc.switch import recovery
from msc.switch.delivery import envelope_of
from msc.switch.recovery import RESEND_S, TABLE, Action, Case
from msc.transit.event import NO_FACTS, Event, Facts, Life
from msc.transit.message import Direction, MessageRecord
from msc.transit.precedence import Precedence
from msc.transit.transaction import Transaction
from tests.support.county import county
from tests.support.running import CATALOG, FROM_HOST, Restarted, inquiry, on_its_way, routed, update

pytestmark = pytest.mark.requirement("F-BACKUP")


# --- the table, a row each ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Expected:
    """A row of the table: what it is called, what it is about, what happens."""

    row: str
    cases: tuple[Case, ...]
    action: Action


EXPECTED = (
    Expected(
        "what waited for the operator",
        (Case("operator"), Case("operator", known=False, update=True, age_s=1e9)),
        Action.LIST,
    ),
    Expected("a clock, or a bulletin", (Case("hitconf"), Case("board", known=False, age_s=1e9)), Action.HAND_BACK),
    Expected(
        "a station that is no more", (Case("device", known=False), Case("user", known=False)), Action.TO_OPERATOR
    ),
    Expected("a station", (Case("device"), Case("user", age_s=1e9), Case("device", update=True)), Action.QUEUE),
    Expected(
        "what waited for its line",
        (
            Case("line", update=True, waited=True),
            Case("line", update=True, waited=True, age_s=80_000),
            Case("line", waited=True),
            Case("line", waited=True, age_s=RESEND_S + 0.001),
        ),
        Action.WAIT_AGAIN,
    ),
    Expected(
        "an update on a line",
        (
            Case("line", update=True),
            Case("line", update=True, age_s=1e9),
            Case("line", known=False, update=True, waited=True),
        ),
        Action.TELL_UNKNOWN,
    ),
    Expected("a line that is no more", (Case("line", known=False),), Action.TELL_NO_ANSWER),
    Expected("a recent inquiry on a line", (Case("line"), Case("line", age_s=RESEND_S)), Action.SEND_AGAIN),
    Expected("an older inquiry on a line", (Case("line", age_s=RESEND_S + 0.001),), Action.TELL_NO_ANSWER),
)


@pytest.mark.requirement("F-BACKUP", "C-TRAFFIC")
@pytest.mark.parametrize("expected", EXPECTED, ids=lambda expected: expected.row)
def test_a_row_of_the_table_decides_what_becomes_of_what_had_not_ended(expected: Expected) -> None:
    assert {recovery.decide(case) for case in expected.cases} == {expected.action}


def test_every_row_of_the_table_has_its_test() -> None:
    assert [row.name for row in TABLE] == [expected.row for expected in EXPECTED]


def test_what_originators_are_told() -> None:
    for action, code in ((Action.TELL_NO_ANSWER, "E403"), (Action.TELL_UNKNOWN, "E404")):
        refusal = recovery.refusal_for(action, "clets-a")
        assert (refusal.code, "clets-a" in refusal.reason) == (code, True)


# --- rebuilding the inquiry ---------------------------------------------------------------------------------------


def replayed(record: MessageRecord, catalog: Catalog = CATALOG) -> Transaction:
    return recovery.replayed(Recalled(record), catalog, county())


def test_the_transaction_is_rebuilt_from_the_journal() -> None:
    one = replayed(inquiry(events=tuple(routed(inquiry()))))
    assert (one.msn, one.number, one.header, one.own_header) == (17, 17, "A12300000H", "A12300000H")
    assert (one.address, one.station, one.priority, one.mnemonic) == ("device:desk-1", 0, "urgent", "A123")
    [stay] = one.awaited
    assert (one.update, one.timeout_of(stay), stay.received_us) == (False, 15, 1_000_000)


def test_a_host_gets_its_answers_under_its_own_header() -> None:
    one = replayed(inquiry(**FROM_HOST))
    assert (one.header, one.own_header) == ("CD0100000H", "CD01A00017")
    assert one.address == "device:cad-1"


@pytest.mark.parametrize(("record", "is_update"), [(inquiry(), False), (update(), True)], ids=["inquiry", "update"])
def test_what_changes_a_record_is_known_by_the_catalog(record: MessageRecord, is_update: bool) -> None:
    assert replayed(record).update is is_update


def test_a_key_the_catalog_has_lost_is_treated_with_the_care_of_an_update() -> None:
    assert replayed(inquiry(), Catalog([])).update is True
    assert replayed(inquiry(key="ZZ")).update is True


def test_a_key_without_a_system_is_found() -> None:
    key = recovery.key_of(inquiry(key="RQ", system=""), CATALOG)
    assert key is not None and key.code == "RQ"


@pytest.mark.requirement("C-POOL")
@pytest.mark.parametrize(
    ("device", "address"),
    [("desk-1", "device:desk-1"), ("car-1", "user:J40217"), ("cad-1", "device:cad-1"), ("gone", "device:gone")],
)
def test_answers_wait_for_the_device_or_with_a_pooled_mnemonic_for_the_person(device: str, address: str) -> None:
    assert recovery.address_of(inquiry(device=device), county()) == address


@pytest.mark.requirement("C-HDR", "C-OIF", "C-TAF")
def test_the_text_goes_on_the_line_as_it_did_the_first_time() -> None:
    assert replayed(inquiry()).line_text() == "A12300000H.*J40217.#02RVXUF.IW.QW.CA0980000.NAM/DOE,JOHN"
    assert replayed(inquiry(taf=None)).line_text() == "A12300000H.*J40217.IW.QW.CA0980000.NAM/DOE,JOHN"
    again = replayed(inquiry(**FROM_HOST)).line_text()
    assert again == "CD0100000H.*J40217.#0A0000010017.IW.QW.CA0980000.NAM/DOE,JOHN"


# --- rebuilding what a station is owed ------------------------------------------------------------------------------

DESK = "device:desk-1"


def shown(record: MessageRecord, facts: Facts = NO_FACTS) -> dict[str, Any]:
    """Return what a station is shown of a message: the envelope, and the text."""
    stay = on_its_way(record, DESK, facts, Life.SENT, Life.RETURNED)
    members = envelope_of(stay, 1)
    assert members.pop("possible_duplicate") is True, "it had been sent"
    return {**members, "text": stay.text}


def test_a_terminals_answer_comes_without_the_lines_header() -> None:
    answer = inquiry(
        msn=18, kind="response", direction=Direction.INBOUND, line="clets-a", text="A12300000H.NO RECORD",
        transaction=17,
    )  # fmt: skip
    members = shown(answer)
    assert members == {
        "msn": 18, "kind": "response", "text": "NO RECORD", "source": "clets-a", "header": "A12300000H", "ref": "R-1",
        "transaction": 17, "priority": "urgent", "received": clock.rfc3339(1_000_000),
    }  # fmt: skip


@pytest.mark.requirement("C-HDR")
def test_a_hosts_answer_comes_under_its_own_header() -> None:
    members = {**FROM_HOST, "text": "CD0100000H.NO RECORD"}
    answer = inquiry(**members, msn=18, kind="response", direction=Direction.INBOUND, line="clets-a", transaction=17)
    assert (shown(answer)["text"], shown(answer)["header"]) == ("CD01A00017.NO RECORD", "CD01A00017")


@pytest.mark.requirement("C-CONFIRM", "C-HDR")
@pytest.mark.parametrize("members", [{}, FROM_HOST], ids=["terminal", "host"])
def test_a_hit_is_to_be_confirmed_also_where_a_hosts_header_is_before_it(members: dict[str, Any]) -> None:
    header = members.get("header", "A12300000H")
    answer = inquiry(**{**members, "text": f"{header}.MKE/STOLEN VEHICLE"}, kind="response",
                     direction=Direction.INBOUND, line="clets-a")  # fmt: skip
    assert shown(answer)["confirm"] is True


def test_an_unsolicited_message_comes_as_one() -> None:
    record = MessageRecord(
        20, 5, Direction.INBOUND, "unsolicited", device="printer-1", line="clets-a", mnemonic="M001", header="M001",
        text="M001.HIT CONFIRMATION", transaction=20,
    )  # fmt: skip
    assert shown(record) == {
        "msn": 20, "kind": "unsolicited", "text": "HIT CONFIRMATION", "source": "clets-a", "header": "M001",
        "priority": "routine", "received": clock.rfc3339(5),
    }  # fmt: skip


def test_an_administrative_message_comes_as_its_addressee_would_have_had_it() -> None:
    text = "AM.CA0980000.A124.TXT MEET AT THE NORTH GATE"
    members = shown(inquiry(kind="administrative", key="AM", system="", text=text))
    assert (members["kind"], members["text"], members["source"], members["header"]) == (
        "unsolicited", text, "desk-1", "A12300000H",
    )  # fmt: skip
    assert "ref" not in members and "transaction" not in members, "the sender's own reference is not the addressee's"
    members = shown(inquiry(**{**FROM_HOST, "text": f"CD01A00017.*J40217.{text}"}, kind="administrative", key="AM"))
    assert (members["text"], members["source"], members["header"]) == (text, "cad-1", "CD0100000H")


def test_how_often_a_station_left_a_message_unanswered_is_remembered() -> None:
    record = inquiry(kind="administrative")
    events = [
        *routed(record, destination=DESK),
        Event(17, 2, Life.RETURNED, DESK, {"unanswered": True}),
        Event(17, 2, Life.RETURNED, DESK),
    ]
    assert Transaction.replay(record, events).stays[DESK].unanswered == 1


@pytest.mark.requirement("C-ADMIN", "L-HITCONF")
def test_what_came_by_a_group_is_a_broadcast_again_and_a_hit_confirmation_one() -> None:
    text = "AM.CA0980000.COUNTY.TXT MEET AT THE GATE"
    record = inquiry(kind="administrative", key="AM", system="", text=text, priority="routine")
    stay = on_its_way(record, "device:desk-2", {"group": True})
    assert (stay.kind, stay.precedence) == ("broadcast", Precedence.BROADCAST)
    request = inquiry(kind="hit_confirmation", key="YQ", system="", text="YQ.CA0980000.A124.TXT OCA/1")
    assert on_its_way(request, DESK).kind == "hit_confirmation"


def test_a_status_message_comes_as_it_was_written() -> None:
    text = "E403 clets-a gave no answer in 15 s"
    record = inquiry(msn=19, kind="status", line="clets-a", text=text, code="E403", direction=Direction.LOCAL)
    members = shown(record)
    assert (members["kind"], members["text"], members["source"]) == ("status", text, "clets-a")
    assert members["transaction"] == 17


# --- the switch, restarted ------------------------------------------------------------------------------------------


@pytest.fixture
async def restarted(tmp_path: Path) -> AsyncIterator[Restarted]:
    switch = Restarted(tmp_path)
    await switch.start()
    yield switch
    await switch.stop()


async def test_after_a_restart_a_recent_inquiry_waits_for_its_line_as_a_possible_duplicate(
    restarted: Restarted,
) -> None:
    record = inquiry(received=clock.wall_us())
    await restarted.journaled_before(record, *routed(record, Life.SENT))
    await restarted.recover()
    assert restarted.transit.waiting == 1
    assert restarted.traffic.depths() == {"clets-a": 1.0}
    restarted.line.room = 10
    restarted.traffic.line_opened(restarted.line)
    assert restarted.line.sent == [b"A12300000H.*J40217.#02RVXUF.IW.QW.CA0980000.NAM/DOE,JOHN"]


@pytest.mark.requirement("C-TRAFFIC")
@pytest.mark.parametrize(("record", "duplicate"), [(update(), False), (inquiry(), True)], ids=["update", "inquiry"])
async def test_after_a_restart_what_waited_for_a_line_waits_for_the_rest_of_its_time(
    restarted: Restarted, record: MessageRecord, duplicate: bool
) -> None:
    here, since_us = "line:clets-a", clock.wall_us() - 61_000_000
    record = record._replace(received=since_us)
    queued = [
        Event(17, since_us, Life.QUEUED, here),
        Event(17, since_us, Life.REPRIORITISED, here, {"precedence": "URGENT"}),
    ]
    await restarted.journaled_before(record, *routed(record), *queued)
    await restarted.recover()
    restarted.traffic.tick(clock.monotonic() + 60)
    assert restarted.waiting("device:desk-1") == [], "it was told to wait, and no answer is due of what was not sent"
    [message] = restarted.traffic.trunks["clets-a"].outbox.queued()
    assert (message.possible_duplicate, message.precedence) == (duplicate, Precedence.URGENT)
    assert message.expires_us == since_us + int(QueueSettings().of(record.kind) * 1e6)


@pytest.mark.requirement("C-TRAFFIC")
async def test_after_a_long_stop_what_waited_for_a_line_is_told_that_it_was_not_sent(restarted: Restarted) -> None:
    record = inquiry()
    await restarted.journaled_before(record, *routed(record, Life.QUEUED))
    await restarted.recover()
    restarted.traffic.tick(clock.monotonic())
    restarted.writer.close()
    await restarted.writer.run()
    assert [status.text[:5] for status in restarted.waiting("device:desk-1")] == ["E401 "]


@pytest.mark.parametrize(
    ("record", "code"),
    [(update(received=clock.wall_us()), "E404"), (inquiry(), "E403")],
    ids=["update", "old inquiry"],
)
async def test_after_a_restart_the_originator_is_told_of_what_is_not_sent_again(
    restarted: Restarted, record: MessageRecord, code: str
) -> None:
    await restarted.journaled_before(record, *routed(record, Life.SENT))
    await restarted.recover()
    restarted.traffic.line_opened(restarted.line)
    assert restarted.line.sent == []
    [status] = restarted.waiting("device:desk-1")
    record = status.transaction.message
    assert (status.kind, status.text[:5], record.transaction, record.ref) == ("status", f"{code} ", 17, "R-1")
    assert restarted.transit.waiting == 0
    assert restarted.transit.find("A12300000H") is not None, "a late answer still finds it"


async def test_after_a_restart_what_a_station_had_not_acknowledged_waits_for_it(restarted: Restarted) -> None:
    answer = inquiry(
        msn=18, kind="response", direction=Direction.INBOUND, line="clets-a", text="A12300000H.NO RECORD"
    )
    await restarted.journaled_before(answer, *routed(answer, Life.SENT, destination="user:J40217"))
    await restarted.recover()
    [message] = restarted.waiting("user:J40217")
    assert (message.text, message.possible_duplicate) == ("NO RECORD", True)


async def test_after_a_restart_nothing_that_had_ended_comes_again(restarted: Restarted) -> None:
    record = inquiry(received=clock.wall_us())
    await restarted.journaled_before(record, *routed(record, Life.SENT, Life.ANSWERED))
    assert await restarted.recover() == []
    assert restarted.traffic.depths() == {"clets-a": 0.0}
    assert restarted.transit.waiting == 0
    assert restarted.transit.find("A12300000H") is not None


@pytest.mark.requirement("C-HDR")
async def test_a_hosts_status_message_reads_the_same_before_and_after_a_restart(
    restarted: Restarted, tmp_path: Path
) -> None:
    text = "CD01A00017.*J40217.#0A0000010017.IA.EV.CA0980000.LIC/7ABC123.OCA/26-17.DTE/20260131"
    record = inquiry(**{**FROM_HOST, "kind": "entry", "key": "EV", "system": "IA", "text": text})
    await restarted.journaled_before(record, *routed(record, Life.SENT))
    await restarted.recover()
    [before] = restarted.waiting("device:cad-1")
    again = Restarted(tmp_path)
    await again.start()
    try:
        await again.recover()
        [after] = again.waiting("device:cad-1")
    finally:
        await again.stop()
    assert before.text.startswith("CD01A00017.E404 ")
    assert {**envelope_of(before, 1), "awaiting": None} == {**envelope_of(after, 1), "awaiting": None}
    assert after.text == before.text


async def test_a_message_for_a_line_that_is_no_more_is_told_to_its_originator(restarted: Restarted) -> None:
    # Every message ends; that its line left the settings while the switch was down is not an exception.
    record = update(received=clock.wall_us())
    await restarted.journaled_before(record, *routed(record, Life.SENT, destination="line:old"))
    await restarted.recover()
    assert [status.text[:5] for status in restarted.waiting("device:desk-1")] == ["E404 "]


@pytest.mark.requirement("C-TRAFFIC")
async def test_an_update_whose_outcome_is_unknown_is_on_the_operators_list_until_they_have_decided(
    restarted: Restarted, tmp_path: Path
) -> None:
    record = update(received=clock.wall_us())
    await restarted.journaled_before(record, *routed(record, Life.SENT))
    await restarted.recover()
    again = Restarted(tmp_path)
    await again.start()
    try:
        await again.recover()
        for switch in (restarted, again):
            [entry] = switch.deliveries.operator_queue.entries()
            assert entry.msn == record.msn
            assert entry.facts["code"] == "E404"
    finally:
        await again.stop()


async def test_an_operators_words_stand_in_the_journal_and_on_the_list_and_never_in_the_log(
    restarted: Restarted,
) -> None:
    record, why = inquiry(kind="administrative"), "from device:desk-2 by admin: asked by ROE,JANE"
    await restarted.journaled_before(record, Event(17, 2, Life.ROUTED, "operator:queue", {"why": why}))
    with structlog.testing.capture_logs() as log:
        await restarted.recover()
    [entry] = restarted.deliveries.operator_queue.entries()
    assert entry.facts["why"] == why
    assert "ROE" not in str(log)


@pytest.mark.requirement("C-TAMF")
async def test_what_was_forwarded_waits_where_it_was_forwarded_to_and_says_whose_it_was(restarted: Restarted) -> None:
    record = inquiry(
        msn=18, kind="unsolicited", direction=Direction.INBOUND, line="clets-a", text="A123000001.MEET",
        header="A123000001",
    )  # fmt: skip
    at = record.received
    await restarted.journaled_before(
        record,
        Event(18, at, Life.ROUTED, "device:desk-1"),
        Event(18, at, Life.FORWARDED, "device:desk-1", {"why": "by night"}),
        Event(18, at, Life.ROUTED, "device:desk-2", {"whose": "A123", "hops": 1}),
        Event(18, at, Life.REPRIORITISED, "device:desk-2", {"precedence": "URGENT"}),
    )
    await restarted.recover()
    assert restarted.waiting("device:desk-1") == []
    [message] = restarted.waiting("device:desk-2")
    assert (message.original_mnemonic, message.hops, message.precedence.name) == ("A123", 1, "URGENT")


async def test_what_waits_for_a_station_that_is_no_more_is_the_operators(restarted: Restarted) -> None:
    answer = inquiry(
        msn=18, kind="response", direction=Direction.INBOUND, line="clets-a", text="A12300000H.NO RECORD"
    )
    await restarted.journaled_before(answer, *routed(answer, destination="device:sold"))
    await restarted.recover()
    assert [entry.facts["meant"] for entry in restarted.deliveries.operator_queue.entries()] == ["device:sold"]


@pytest.mark.requirement("F-BACKUP")
async def test_an_update_that_was_told_to_wait_and_never_sent_is_sent_after_the_restart_as_promised(
    restarted: Restarted,
) -> None:
    record = update(received=clock.wall_us())
    await restarted.journaled_before(record, *routed(record, Life.QUEUED))
    await restarted.recover()
    assert restarted.waiting("device:desk-1") == []
    restarted.line.room = 10
    restarted.traffic.line_opened(restarted.line)
    assert restarted.line.sent == [], "the journal says first that it may go out"
    await restarted.writer.run()
    assert len(restarted.line.sent) == 1


@pytest.mark.requirement("C-TRAFFIC")
async def test_an_answer_to_what_was_queued_anew_before_the_stop_is_not_late(restarted: Restarted) -> None:
    record = inquiry(received=clock.wall_us())
    await restarted.journaled_before(record, *routed(record, Life.SENT, Life.EXPIRED, Life.ROUTED))
    await restarted.recover()
    one = restarted.transit.find("A12300000H")
    assert one is not None
    [stay] = one.lines()
    assert stay.open and not stay.gave_up


@pytest.mark.requirement("C-TRAFFIC", "C-JOURNAL")
async def test_an_update_that_was_queued_anew_is_judged_by_what_happened_since(restarted: Restarted) -> None:
    """It waited once, was sent, and an operator had it sent again: that it waited before says nothing of now."""
    record = update(received=clock.wall_us())
    lives = (Life.QUEUED, Life.SENT, Life.OUTCOME_UNKNOWN, Life.ROUTED)
    await restarted.journaled_before(record, *routed(record, *lives))
    await restarted.recover()
    restarted.line.room = 10
    restarted.traffic.line_opened(restarted.line)
    assert restarted.line.sent == []
    assert [message.text[:4] for message in restarted.waiting("device:desk-1")] == ["E404"]
