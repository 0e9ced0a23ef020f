"""What a starting switch does with what had not ended: the decision table, one test a row, and what it rebuilds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import structlog.testing

from msc import clock
from msc.access.control_point import AccessControlPoint
from msc.audit import AuditEvent
from msc.directory.store import DirectoryStore
from msc.journal.database.opening import open_writing
from msc.journal.recall import Unfinished, recent_transactions, unfinished
from msc.journal.writer import JournalWriter
from msc.metrics import Metrics
from msc.protocol.catalog import Catalog, load_catalog
from msc.routing.plan import PlanFiles, load_plan
from msc.settings import HitConfirmationSettings, QueueSettings
from msc.switch import recovery
from msc.switch.bulletin import BulletinBoard
from msc.switch.confirmations import Confirmations
from msc.switch.delivery import Deliveries
from msc.switch.intake import Intake
from msc.switch.recovery import RESEND_S, TABLE, Action, Case
from msc.switch.service import ServiceStates
from msc.switch.switch import Switch
from msc.switch.traffic import LineTraffic
from msc.switch.trunk import Trunk
from msc.transit.event import Event, Life
from msc.transit.message import Direction, MessageRecord
from msc.transit.outbox import Outgoing, Precedence
from msc.transit.pending import PendingTable
from msc.transit.service_state import load_services
from tests.support.county import county
from tests.support.journal import SIGNER, enter, reading
from tests.support.port import FakeLine

CONFIG = Path(__file__).parents[2] / "config"
CATALOG = load_catalog(CONFIG / "catalog")

pytestmark = pytest.mark.requirement("F-BACKUP")


def inquiry(**members: Any) -> MessageRecord:
    row = MessageRecord(
        msn=17, received=1_000_000, direction=Direction.OUTBOUND, kind="inquiry", device="desk-1", user="J40217",
        agency="EXLP", ori="CA0980000", mnemonic="A123", header="A12300000H", oif="J40217", taf="02RVXUF", key="QW",
        system="IW", database="WPS", text="IW.QW.CA0980000.NAM/DOE,JOHN", transaction=17, ref="R-1",
        priority="urgent", sequence=3, session="s1",
    )  # fmt: skip
    return row._replace(**members)


def update(**members: Any) -> MessageRecord:
    return inquiry(
        kind="entry", key="EV", system="IA", text="IA.EV.CA0980000.LIC/7ABC123.OCA/26-17.DTE/20260131", **members
    )


FROM_HOST: dict[str, Any] = {
    "device": "cad-1", "mnemonic": "CD01", "header": "CD0100000H", "own_header": "CD01A00017",
    "text": "CD01A00017.*J40217.#0A0000010017.IW.QW.CA0980000.NAM/DOE,JOHN", "taf": "0A0000010017",
}  # fmt: skip


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


@pytest.mark.parametrize("was_sent", [False, True])
@pytest.mark.parametrize("record", [inquiry(), update()], ids=["inquiry", "update"])
def test_a_message_for_a_station_is_queued_again_and_a_possible_duplicate_if_it_was_sent(
    record: MessageRecord, was_sent: bool
) -> None:
    assert recovery.to_station(record, was_sent).possible_duplicate is was_sent


# --- rebuilding the inquiry ---------------------------------------------------------------------------------------


def test_the_pending_entry_is_rebuilt_from_the_journal() -> None:
    entry = recovery.pending_of(inquiry(), CATALOG, county())
    assert (entry.msn, entry.header, entry.own_header, entry.host) == (17, "A12300000H", "A12300000H", False)
    assert (entry.address, entry.station, entry.ref, entry.priority) == ("device:desk-1", 0, "R-1", "urgent")
    assert (entry.user, entry.agency, entry.ori, entry.mnemonic) == ("J40217", "EXLP", "CA0980000", "A123")
    assert (entry.update, entry.timeout_s, entry.received_us) == (False, 15, 1_000_000)
    assert entry.awaited == set()


def test_a_host_gets_its_answers_under_its_own_header() -> None:
    entry = recovery.pending_of(inquiry(**FROM_HOST), CATALOG, county())
    assert (entry.host, entry.header, entry.own_header) == (True, "CD0100000H", "CD01A00017")
    assert entry.address == "device:cad-1"


@pytest.mark.parametrize(("record", "is_update"), [(inquiry(), False), (update(), True)], ids=["inquiry", "update"])
def test_what_changes_a_record_is_known_by_the_catalog(record: MessageRecord, is_update: bool) -> None:
    assert recovery.pending_of(record, CATALOG, county()).update is is_update


def test_a_key_the_catalog_has_lost_is_treated_with_the_care_of_an_update() -> None:
    for catalog in (Catalog([]), CATALOG):
        record = inquiry() if catalog is not CATALOG else inquiry(key="ZZ")
        assert recovery.pending_of(record, catalog, county()).update is True


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
    assert recovery.line_text(inquiry()) == "A12300000H.*J40217.#02RVXUF.IW.QW.CA0980000.NAM/DOE,JOHN"
    assert recovery.line_text(inquiry(taf=None)) == "A12300000H.*J40217.IW.QW.CA0980000.NAM/DOE,JOHN"
    again = recovery.line_text(inquiry(**FROM_HOST))
    assert again == "CD0100000H.*J40217.#0A0000010017.IW.QW.CA0980000.NAM/DOE,JOHN"


# --- rebuilding what a station is owed ------------------------------------------------------------------------------


def owed(record: MessageRecord) -> Outgoing:
    return recovery.to_station(record, was_sent=True)


def test_a_terminals_answer_comes_without_the_lines_header() -> None:
    answer = inquiry(
        msn=18,
        kind="response",
        direction=Direction.INBOUND,
        line="clets-a",
        text="A12300000H.NO RECORD",
        transaction=17,
    )
    message = owed(answer)
    assert (message.msn, message.kind, message.text, message.source) == (18, "response", "NO RECORD", "clets-a")
    assert (message.header, message.ref, message.transaction) == ("A12300000H", "R-1", 17)
    assert (message.priority, message.received_us, message.reply_to) == ("urgent", 1_000_000, None)


@pytest.mark.requirement("C-HDR")
def test_a_hosts_answer_comes_under_its_own_header() -> None:
    answer = inquiry(
        **{**FROM_HOST, "text": "CD0100000H.NO RECORD"}, msn=18, kind="response", line="clets-a", transaction=17
    )
    message = owed(answer)
    assert (message.text, message.header) == ("CD01A00017.NO RECORD", "CD01A00017")


def test_an_unsolicited_message_comes_as_one() -> None:
    record = MessageRecord(
        20, 5, Direction.INBOUND, "unsolicited", device="printer-1", line="clets-a", mnemonic="M001", header="M001",
        text="M001.HIT CONFIRMATION", transaction=20,
    )  # fmt: skip
    message = owed(record)
    assert (message.kind, message.text, message.source, message.header) == (
        "unsolicited", "HIT CONFIRMATION", "clets-a", "M001",
    )  # fmt: skip
    assert (message.transaction, message.ref, message.priority) == (None, None, "routine")


def test_an_administrative_message_comes_as_its_addressee_would_have_had_it() -> None:
    text = "AM.CA0980000.A124.TXT MEET AT THE NORTH GATE"
    record = inquiry(kind="administrative", key="AM", system="", text=text)
    message = owed(record)
    assert (message.kind, message.text, message.source, message.header) == (
        "unsolicited",
        text,
        "desk-1",
        "A12300000H",
    )
    assert (message.ref, message.transaction) == (None, None), "the sender's own reference is not the addressee's"
    from_host = inquiry(**{**FROM_HOST, "text": f"CD01A00017.*J40217.{text}"}, kind="administrative", key="AM")
    message = owed(from_host)
    assert (message.text, message.source, message.header) == (text, "cad-1", "CD0100000H")


def test_how_often_a_station_left_a_message_unanswered_is_remembered() -> None:
    here = "device:desk-1"
    lives = [(Life.ROUTED, None), (Life.RETURNED, recovery.NOT_ACKNOWLEDGED), (Life.RETURNED, None)]
    events = tuple(Event(17, 2, life, here, detail) for life, detail in lives)
    assert recovery.queued_again(Unfinished(inquiry(kind="administrative"), here, True, events)).unanswered == 1


@pytest.mark.requirement("C-ADMIN", "L-HITCONF")
def test_what_came_by_a_group_is_a_broadcast_again_and_a_hit_confirmation_one() -> None:
    text = "AM.CA0980000.COUNTY.TXT MEET AT THE GATE"
    record = inquiry(kind="administrative", key="AM", system="", text=text, priority="routine")
    by_group = Event(record.msn, 2, Life.ROUTED, "device:desk-2", f"a route{recovery.BY_GROUP}")
    message = recovery.queued_again(Unfinished(record, "device:desk-2", False, (by_group,)))
    assert (message.kind, message.precedence) == ("broadcast", Precedence.BROADCAST)
    request = inquiry(kind="hit_confirmation", key="YQ", system="", text="YQ.CA0980000.A124.TXT OCA/1")
    assert owed(request).kind == "hit_confirmation"


def test_a_status_message_comes_as_it_was_written() -> None:
    record = inquiry(msn=19, kind="status", line="clets-a", text="E403 clets-a gave no answer in 15 s", code="E403")
    message = owed(record)
    assert (message.kind, message.text, message.source) == (
        "status",
        "E403 clets-a gave no answer in 15 s",
        "clets-a",
    )
    assert message.transaction == 17


DAY_S = 86_400.0


# --- the switch, restarted ------------------------------------------------------------------------------------------


class Restarted:
    """A switch over a real journal, as a restart makes it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.line = FakeLine("clets-a", room=0)

    async def start(self) -> None:
        self.url = f"sqlite+aiosqlite:///{self.folder / 'journal.db'}"
        self.journal = open_writing(self.url)
        metrics = Metrics()
        self.writer = JournalWriter(self.journal, SIGNER, metrics)
        await self.writer.open()
        directory = county()
        self.directory_store = DirectoryStore(f"sqlite+aiosqlite:///{self.folder / 'directory.db'}")
        self.audited: list[AuditEvent] = []
        self.point = AccessControlPoint(directory, self.directory_store, self.audited.append)
        self.pending = PendingTable()
        self.deliveries = Deliveries(self.writer, metrics)
        self.deliveries.known = directory.has_station
        self.board = BulletinBoard(self.writer, self.deliveries, directory, DAY_S)
        plan = load_plan(PlanFiles(CONFIG / "routes.toml"), CATALOG, ("clets-a", "ncic-a"), None)
        self.confirmations = Confirmations(
            HitConfirmationSettings(escalate_to="printer-1"), catalog=CATALOG, point=self.point,
            writer=self.writer, deliveries=self.deliveries, metrics=metrics,
        )  # fmt: skip
        databases = {key.database for key in CATALOG}
        self.services = ServiceStates(load_services(CONFIG / "service.toml", databases), self.audited.append)
        self.traffic = LineTraffic(
            point=self.point, writer=self.writer, pending=self.pending, deliveries=self.deliveries, metrics=metrics,
            confirmations=self.confirmations, services=self.services,
        )  # fmt: skip
        self.switch = Switch(
            intake=Intake(CATALOG, plan, self.point, dict.fromkeys(("clets-a", "ncic-a"), "production")),
            point=self.point,
            writer=self.writer,
            traffic=self.traffic,
            deliveries=self.deliveries,
            metrics=metrics,
            confirmations=self.confirmations,
            board=self.board,
        )
        self.switch.keepers["hitconf"] = self.confirmations.take_back
        self.traffic.connect([Trunk([self.line])])

    async def journaled_before(self, record: MessageRecord, *events: Event) -> None:
        """Enter a message and its life as a switch did that ran before this one."""
        await self.journal.close()
        await enter(self.url, record, *events)
        await self.writer.open()

    async def recover(self, since_us: int = 0) -> list[Unfinished]:
        async with reading(self.url) as reader:
            recent = await recent_transactions(reader, since_us)
            found, _ = await unfinished(reader, self.writer.owed)
        self.switch.recover(recent, found, CATALOG)
        self.writer.close()
        await self.writer.run()
        return found

    async def stop(self) -> None:
        await self.point.close()
        await self.journal.close()
        await self.directory_store.close()

    def waiting(self, address: str) -> list[Outgoing]:
        """Take what waits for an address."""
        outbox = self.deliveries.outboxes.get(address)
        messages = []
        while outbox is not None and (message := outbox.take()) is not None:
            messages.append(message)
        return messages


@pytest.fixture
async def restarted(tmp_path: Path) -> AsyncIterator[Restarted]:
    switch = Restarted(tmp_path)
    await switch.start()
    yield switch
    await switch.stop()


def routed(record: MessageRecord, *lives: Life, destination: str = "line:clets-a") -> list[Event]:
    return [Event(record.msn, record.received, life, destination) for life in (Life.ROUTED, *lives)]


async def test_after_a_restart_a_recent_inquiry_waits_for_its_line_as_a_possible_duplicate(
    restarted: Restarted,
) -> None:
    record = inquiry(received=clock.wall_us())
    await restarted.journaled_before(record, *routed(record, Life.SENT))
    await restarted.recover()
    assert restarted.pending.waiting == 1
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
        Event(17, since_us, Life.REPRIORITISED, here, "URGENT"),
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
    assert (status.kind, status.text[:5], status.transaction, status.ref) == ("status", f"{code} ", 17, "R-1")
    assert restarted.pending.waiting == 0
    assert restarted.pending.find("A12300000H") is not None, "a late answer still finds it"


async def test_after_a_restart_what_a_station_had_not_acknowledged_waits_for_it(restarted: Restarted) -> None:
    answer = inquiry(msn=18, kind="response", line="clets-a", text="A12300000H.NO RECORD", header="A12300000H")
    await restarted.journaled_before(answer, *routed(answer, Life.SENT, destination="user:J40217"))
    await restarted.recover()
    [message] = restarted.waiting("user:J40217")
    assert (message.text, message.possible_duplicate) == ("NO RECORD", True)


async def test_after_a_restart_nothing_that_had_ended_comes_again(restarted: Restarted) -> None:
    record = inquiry(received=clock.wall_us())
    await restarted.journaled_before(record, *routed(record, Life.SENT, Life.ANSWERED))
    assert await restarted.recover() == []
    assert restarted.traffic.depths() == {"clets-a": 0.0}
    assert restarted.pending.waiting == 0
    assert restarted.pending.find("A12300000H") is not None


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
    assert (after.text, after.header, after.kind) == (before.text, before.header, before.kind)


async def test_a_message_for_a_line_that_is_no_more_is_told_to_its_originator(restarted: Restarted) -> None:
    # Every message ends; that its line left the settings while the switch was down is no exception.
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
            assert entry.why.startswith("E404 ")
    finally:
        await again.stop()


async def test_an_operators_words_stand_in_the_journal_and_on_the_list_and_never_in_the_log(
    restarted: Restarted,
) -> None:
    record, why = inquiry(kind="administrative"), "from device:desk-2 by admin: asked by ROE,JANE"
    await restarted.journaled_before(record, Event(17, 2, Life.ROUTED, "operator:queue", why))
    with structlog.testing.capture_logs() as log:
        await restarted.recover()
    [entry] = restarted.deliveries.operator_queue.entries()
    assert entry.why == why
    assert "ROE" not in str(log)


@pytest.mark.requirement("C-TAMF")
async def test_what_was_forwarded_waits_where_it_was_forwarded_to_and_says_whose_it_was(restarted: Restarted) -> None:
    record = inquiry(msn=18, kind="unsolicited", line="clets-a", text="A123000001.MEET", header="A123000001")
    at = record.received
    await restarted.journaled_before(
        record,
        Event(18, at, Life.ROUTED, "device:desk-1"),
        Event(18, at, Life.FORWARDED, "device:desk-1", "by night"),
        Event(18, at, Life.ROUTED, "device:desk-2", "for A123"),
        Event(18, at, Life.REPRIORITISED, "device:desk-2", "URGENT"),
    )
    await restarted.recover()
    assert restarted.waiting("device:desk-1") == []
    [message] = restarted.waiting("device:desk-2")
    assert (message.original_mnemonic, message.hops, message.precedence.name) == ("A123", 1, "URGENT")


async def test_what_waits_for_a_station_that_is_no_more_is_the_operators(restarted: Restarted) -> None:
    answer = inquiry(msn=18, kind="response", line="clets-a", text="A12300000H.NO RECORD", header="A12300000H")
    await restarted.journaled_before(answer, *routed(answer, destination="device:sold"))
    await restarted.recover()
    assert [entry.address for entry in restarted.deliveries.operator_queue.entries()] == ["device:sold"]


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
    assert restarted.line.sent == [], "the journal says first that it is sent"
    await restarted.writer.run()
    assert len(restarted.line.sent) == 1


@pytest.mark.requirement("C-TRAFFIC")
async def test_an_answer_to_what_was_queued_anew_before_the_stop_is_not_late(restarted: Restarted) -> None:
    record = inquiry(received=clock.wall_us())
    await restarted.journaled_before(record, *routed(record, Life.SENT, Life.EXPIRED, Life.ROUTED))
    await restarted.recover()
    entry = restarted.pending.find("A12300000H")
    assert entry is not None and entry.awaited == {"clets-a"} and entry.failed == set()


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
