"""The growing end of the journal: numbers, months, checkpoints, and what had not ended; the same after a restart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msc import clock
from msc.errors import JournalError
from msc.journal.database.layout import Opened, TailRow
from msc.journal.ledger import Ledger
from msc.journal.proof.canonical import decode
from msc.journal.proof.chain import Frontier, leaf_of
from msc.journal.proof.checkpoint import Statement, read_checkpoint
from msc.journal.record import AuditRecord, Record, StepsRecord
from msc.transit.event import OPERATOR_QUEUE, Event, Life
from msc.transit.message import Direction, MessageRecord
from msc.transit.state import State, has_ended, state_after
from tests.support.journal import SIGNER, enter, events_of, found_by_writer, recorded

LINE, OTHER_LINE, STATION, USER = "line:clets-a", "line:ncic-a", "device:desk-1", "user:J40217"
ENDS_ON_LINE = {
    Life.ANSWERED, Life.NOT_SENT, Life.EXPIRED, Life.OUTCOME_UNKNOWN, Life.REFUSED_BY_PEER, Life.OPERATOR_QUEUE,
    Life.FORWARDED, Life.CANCELLED,
}  # fmt: skip
ENDS_AT_STATION = {
    Life.ACKNOWLEDGED, Life.OPERATOR_QUEUE, Life.EXPIRED, Life.FORWARDED, Life.ALTERNATE_ROUTED, Life.CANCELLED,
}  # fmt: skip
ENDS_IN_QUEUE = {Life.ANSWERED, Life.EXPIRED, Life.FORWARDED, Life.CANCELLED}
AFTER_ROUTING = [life for life in Life if life not in (Life.RECEIVED, Life.ROUTED, Life.REFUSED)]
NOVEMBER, DECEMBER = (clock.parse_rfc3339(f"2026-{month}-01") for month in (11, 12))


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


def events(msn: int, destination: str | None, *lives: Life) -> list[Event]:
    return [Event(msn, msn * 1000 + n, life, destination) for n, life in enumerate(lives)]


@pytest.fixture
def url(file: Path) -> str:
    return f"sqlite+aiosqlite:///{file}"


def new_ledger() -> Ledger:
    return Ledger(bytes(16), SIGNER)


def entered(ledger: Ledger, *records: Record | Event) -> list[TailRow]:
    return ledger.enter((0, record) for record in recorded(*records)).rows


async def restarted(url: str) -> Ledger:
    """Make the ledger a starting switch has."""
    return Ledger.of(await found_by_writer(url), SIGNER, b"\xff" * 16)


# --- what had not ended -------------------------------------------------------------------------------------------


@pytest.mark.requirement("F-BACKUP", "C-TRAFFIC")
@pytest.mark.parametrize("checkpoint", [True, False], ids=["stated", "tail alone"])
@pytest.mark.parametrize("life", AFTER_ROUTING)
@pytest.mark.parametrize(
    ("destination", "ends"),
    [
        (LINE, ENDS_ON_LINE),
        (STATION, ENDS_AT_STATION),
        (USER, ENDS_AT_STATION),
        (OPERATOR_QUEUE, ENDS_IN_QUEUE),
    ],
)
async def test_a_message_has_ended_for_a_destination_by_what_happened_there(
    url: str, life: Life, destination: str, ends: set[Life], checkpoint: bool
) -> None:
    await enter(url)
    await enter(url, inquiry(1), *events(1, destination, Life.ROUTED, life), checkpoint=checkpoint)
    owed = {} if life in ends else {1: {destination: state_after(destination, life, State.ROUTED)}}
    assert (await restarted(url)).owed == owed


@pytest.mark.requirement("C-TRAFFIC")
async def test_what_an_operator_queues_once_more_is_open_again(url: str) -> None:
    again = [Life.ROUTED, Life.SENT, Life.ACKNOWLEDGED, Life.ROUTED]
    await enter(url, unsolicited(1), *events(1, STATION, *again))
    assert (await restarted(url)).owed == {1: {STATION: State.ROUTED}}
    assert not has_ended(STATION, again)
    assert has_ended(STATION, [*again, Life.CANCELLED])


@pytest.mark.requirement("F-BACKUP")
async def test_each_destination_ends_for_itself(url: str) -> None:
    await enter(
        url,
        inquiry(1),
        inquiry(2),
        *events(1, LINE, Life.ROUTED, Life.SENT, Life.ACKNOWLEDGED),
        *events(1, OTHER_LINE, Life.ROUTED, Life.SENT, Life.ANSWERED),
        *events(2, OTHER_LINE, Life.ROUTED),
    )
    assert (await restarted(url)).owed == {1: {LINE: State.TAKEN_OVER}, 2: {OTHER_LINE: State.ROUTED}}


@pytest.mark.requirement("F-BACKUP")
async def test_what_was_given_back_still_waits(url: str) -> None:
    await enter(url, unsolicited(1), *events(1, STATION, Life.ROUTED, Life.SENT, Life.RETURNED))
    assert (await restarted(url)).owed == {1: {STATION: State.RETURNED}}


async def test_a_refused_message_and_one_nobody_could_take_have_ended(url: str) -> None:
    await enter(
        url,
        inquiry(1, header=None, code="E205"),
        *events(1, None, Life.REFUSED),
        unsolicited(2),
        *events(2, None, Life.OPERATOR_QUEUE),
    )
    assert (await restarted(url)).owed == {}


@pytest.mark.requirement("F-BACKUP")
async def test_what_was_refused_after_the_fact_is_owed_to_nobody(url: str) -> None:
    # Its commit failed, as far as anybody knew: its sender was told E501, and its routing was stored all the same.
    await enter(url, inquiry(1), *events(1, LINE, Life.ROUTED), *events(1, OTHER_LINE, Life.ROUTED))
    await enter(url, *events(1, None, Life.REFUSED))
    assert (await restarted(url)).owed == {}


# --- the same after a restart -------------------------------------------------------------------------------------

_LIVES = st.sampled_from([*AFTER_ROUTING, Life.ROUTED, Life.REFUSED])
_RECORDS = st.lists(
    st.one_of(
        st.builds(
            lambda direction, line, device: inquiry(0, direction=direction, line=line, device=device),
            st.sampled_from(Direction), st.sampled_from(["clets-a", "ncic-a"]), st.sampled_from(["desk-1", None]),
        ),
        st.builds(
            lambda msn, steps: StepsRecord(msn, 0, tuple(Event(msn, 0, *step) for step in steps)),
            st.integers(1, 6),
            st.lists(
                st.tuples(_LIVES, st.sampled_from([LINE, OTHER_LINE, STATION, None])), min_size=1, max_size=3
            ),
        ),
        st.just(AuditRecord(0, "sign_on.granted")),
    ),
    max_size=40,
)  # fmt: skip


def timed(records: Sequence[Any], ats: Sequence[int]) -> list[Record]:
    """Give records times, and messages rising MSNs."""
    made: list[Record] = []
    for record, at in zip(records, ats, strict=True):
        if isinstance(record, MessageRecord):
            msn = 1 + sum(isinstance(each, MessageRecord) for each in made)
            made.append(record._replace(msn=msn, received=at))
        else:
            made.append(record._replace(at=at))
    return made


@pytest.mark.requirement("F-BACKUP", "F-AUPROT")
@given(st.data())
def test_a_ledger_made_anew_at_any_point_goes_on_as_the_one_before_would_have(data: st.DataObject) -> None:
    pattern = data.draw(_RECORDS)
    steps = data.draw(st.lists(st.integers(-(10**9), 10**12), min_size=len(pattern), max_size=len(pattern)))
    ats = [NOVEMBER + sum(steps[: n + 1]) for n in range(len(pattern))]
    records = timed(pattern, ats)
    stated = data.draw(st.integers(0, len(records)))
    stopped = data.draw(st.integers(stated, len(records)))

    before = new_ledger()
    first = before.enter((0, record) for record in records[:stated])
    checkpoint = before.checkpoint(NOVEMBER)
    state = before.state()
    second = before.enter((0, record) for record in records[stated:stopped])
    # A month that ended brings a checkpoint over all of its commit, and the state.
    if second.checkpoints:
        checkpoint, state = before.checkpoint(NOVEMBER), before.state()

    again = Ledger.of(Opened(state, checkpoint, first.rows + second.rows), SIGNER, b"\xff" * 16)
    assert again.owed == before.owed
    assert (again.seq, again.msn, again.month, again.first, again.link) == (
        before.seq, before.msn, before.month, before.first, before.link,
    )  # fmt: skip
    rest = records[stopped:]
    assert again.enter((0, record) for record in rest) == before.enter((0, record) for record in rest)
    assert again.checkpoint(DECEMBER) == before.checkpoint(DECEMBER)
    assert again.state() == before.state()


# --- numbers ------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("C-JOURNAL")
def test_inputs_are_numbered_by_their_source_and_outputs_by_their_destination() -> None:
    rows = entered(
        new_ledger(),
        inquiry(1),
        unsolicited(2),
        inquiry(3, device="desk-2"),
        inquiry(4),
        inquiry(5, kind="status", direction=Direction.LOCAL),
        inquiry(6, device=None, direction=Direction.LOCAL),
        *events(1, LINE, Life.ROUTED, Life.SENT),
        *events(2, STATION, Life.SENT, Life.RETURNED, Life.SENT),
        *events(3, LINE, Life.SENT),
        AuditRecord(1, "x"),
    )
    stored = [decode(row.body) for row in rows]
    assert [each.seq for each in stored] == list(range(1, len(rows) + 1))
    assert [each.number for each in stored if isinstance(each.record, MessageRecord)] == [1, 1, 1, 2, 1, 2]
    sent = [event for event in events_of(each.record for each in stored) if event.event == Life.SENT]
    assert [event.facts["osn"] for event in sent] == [1, 1, 2, 2]
    assert all(each.number is None for each in stored if not isinstance(each.record, MessageRecord))


def test_outputs_of_one_record_are_numbered_in_their_order() -> None:
    ledger = new_ledger()
    steps = tuple(events(1, STATION, Life.SENT, Life.RETURNED, Life.SENT))
    [row] = ledger.enter([(0, StepsRecord(1, 1002, steps))]).rows
    assert [event.facts.get("osn") for event in decode(row.body).record.events] == [1, None, 2]  # type: ignore[union-attr]
    [row] = entered(ledger, *events(2, STATION, Life.SENT))
    assert decode(row.body).record.events[0].facts == {"osn": 3}  # type: ignore[union-attr]


# --- months -------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("F-AUPROT", "C-KEEP3")
def test_the_end_of_a_month_is_sealed_over_its_own_records_and_the_next_tree_begins() -> None:
    ledger = new_ledger()
    november = [AuditRecord(NOVEMBER + n, "x") for n in range(5)]
    december = [AuditRecord(DECEMBER + n, "x") for n in range(3)]
    found = ledger.enter((0, record) for record in november + december)
    [row] = found.checkpoints
    sealed = read_checkpoint(row.body)
    tree = Frontier()
    for tail_row in found.rows[:5]:
        tree.append(leaf_of(tail_row.body))
    assert (sealed.statement, sealed.seq, sealed.month, sealed.first) == (Statement.SEALED, 5, 202611, 1)
    assert (sealed.root, sealed.link) == (tree.root(), found.rows[4].link)
    held = read_checkpoint(ledger.checkpoint(DECEMBER).body)
    assert (held.seq, held.month, held.first, held.previous) == (8, 202612, 6, sealed.digest())


@pytest.mark.requirement("F-AUPROT")
def test_the_seal_of_a_month_states_nothing_of_the_message_that_begins_the_next() -> None:
    # A verification names the first message after the last good checkpoint: stated here, it would be passed over.
    ledger = new_ledger()
    [row] = ledger.enter((0, inquiry(msn, received=at)) for msn, at in ((1, NOVEMBER), (2, DECEMBER))).checkpoints
    sealed = read_checkpoint(row.body)
    assert (sealed.statement, sealed.seq, sealed.msn) == (Statement.SEALED, 1, 1)
    assert read_checkpoint(ledger.checkpoint(DECEMBER).body).msn == 2


@pytest.mark.requirement("F-CLOCK")
def test_a_clock_that_is_set_back_reopens_no_month() -> None:
    ledger = new_ledger()
    found = ledger.enter((0, AuditRecord(at, "x")) for at in (NOVEMBER, DECEMBER, NOVEMBER + 1, DECEMBER + 1))
    assert len(found.checkpoints) == 1
    assert (ledger.month, ledger.first) == (202612, 2)


# --- what was tampered with ---------------------------------------------------------------------------------------


@pytest.mark.requirement("F-AUPROT")
@pytest.mark.parametrize("what", ["left out", "changed", "swapped", "state", "state cut"])
async def test_a_tail_or_state_somebody_wrote_in_is_not_gone_on_from(what: str) -> None:
    ledger = new_ledger()
    rows = entered(ledger, inquiry(1), inquiry(2))
    checkpoint, state = ledger.checkpoint(0), ledger.state()
    rows += entered(ledger, inquiry(3), inquiry(4), inquiry(5))
    Ledger.of(Opened(state, checkpoint, rows), SIGNER, b"")
    if what == "left out":
        del rows[3]
    elif what == "changed":
        rows[3] = rows[3]._replace(body=rows[3].body.replace(b'"RQ"', b'"QW"'))
    elif what == "swapped":
        rows[2], rows[3] = rows[3], rows[2]
    elif what == "state":
        state = state.replace(b'"count":2', b'"count":1')
    else:
        other = new_ledger()
        entered(other, inquiry(1))
        state = other.state()
    with pytest.raises(JournalError):
        Ledger.of(Opened(state, checkpoint, rows), SIGNER, b"")
