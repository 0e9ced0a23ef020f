"""Terms: which member of a record is found by which."""

from __future__ import annotations

import pytest

from msc.journal.criteria import AuditCriteria, BadCriteria, Criteria
from msc.journal.index.match import is_open, matches
from msc.journal.index.term import (
    VALUE_CHARS,
    events_term,
    plan_of,
    term_of,
    terms_of_audit,
    terms_of_message,
    terms_of_steps,
)
from msc.journal.index.tokenizer import Sought
from msc.journal.record import AuditRecord, StepsRecord
from msc.transit.event import Event
from msc.transit.message import MessageRecord

MESSAGE = MessageRecord(
    msn=4711, received=5, direction="outbound", kind="inquiry", device="T1", line=None, user="J40217",
    agency="alpha", ori="CA0990000", mnemonic="CD01", header="CD01A00017", own_header="XX990001", oif="J40217",
    taf="10.0.0.1", key="QW", system="IW", database="WPS", text="IW.QW.CA0990000.NAM/DOE,JOHN", transaction=4711,
    ref="r1", requester="SGT DOE", secondary="DA", priority="routine", reason="case", code="E401", sequence=3,
    session="s1",
)  # fmt: skip


@pytest.mark.requirement("C-JOURNAL", "C-CORI")
def test_a_message_has_a_term_for_all_it_can_be_searched_by() -> None:
    terms = terms_of_message(MESSAGE)
    assert sorted(terms) == sorted(
        [
            "IW", "QW", "CA0990000", "NAM", "DOE", "JOHN",
            "direction:outbound", "kind:inquiry", "device:T1", "user:J40217", "agency:alpha", "ori:CA0990000",
            "mnemonic:CD01", "header:CD01A00017", "header:XX990001", "key:QW", "key:IW.QW", "database:WPS",
            "transaction:4711", "requester:SGT DOE", "code:E401", "session:s1",
        ]
    )  # fmt: skip


@pytest.mark.requirement("C-TRAFFIC")
def test_steps_add_where_the_message_went_and_what_became_of_it() -> None:
    def terms(*events: tuple[str, str | None]) -> list[str]:
        return sorted(terms_of_steps(StepsRecord(1, 2, tuple(Event(1, 2, *event) for event in events))))

    assert terms(("sent", "line:CLETS")) == ["line:CLETS", "outcome:sent"]
    assert terms(("sent", "device:T1")) == ["device:T1", "outcome:sent"]
    assert terms(("acknowledged", "user:J1")) == ["outcome:acknowledged"]
    assert terms(("refused", None)) == ["outcome:refused"]
    assert terms(("sent", "line:CLETS"), ("acknowledged", "line:CLETS"), ("sent", "device:T1")) == [
        "device:T1", "line:CLETS", "outcome:acknowledged", "outcome:sent",
    ]  # fmt: skip


def test_what_a_message_was_stored_with_is_found_too_and_each_term_stands_once() -> None:
    routed = tuple(Event(4711, 5, "routed", name) for name in ("line:CLETS", "line:NCIC", "device:T1"))
    terms = terms_of_message(MESSAGE._replace(events=routed))
    assert {"outcome:routed", "line:CLETS", "line:NCIC", "device:T1"} <= set(terms)
    assert len(terms) == len(set(terms))


@pytest.mark.requirement("F-AUDIT")
def test_an_audit_event_has_terms_of_its_own() -> None:
    record = AuditRecord(
        1, "user.changed", "T1", "J1", "CD01", "10.0.0.1", "s1", None, "revision 7", "user J40217", "left"
    )
    assert sorted(terms_of_audit(record)) == sorted(
        [
            "!REVISION", "!7", "!LEFT", "!event:user.changed", "!device:T1", "!user:J1", "!mnemonic:CD01",
            "!source:10.0.0.1", "!session:s1", "!subject:user J40217", "!subject:J40217",
        ]
    )  # fmt: skip
    refused = terms_of_audit(AuditRecord(1, "handshake.refused"))
    assert "!is:refused" in refused


@pytest.mark.parametrize("value", ["x" * (VALUE_CHARS + 1), "two\nlines", "\ud800"])
def test_a_value_no_term_can_hold_still_has_one_of_its_own(value: str) -> None:
    term = term_of("requester", value)
    assert term.encode().startswith(b"requester:")
    assert "\n" not in term
    assert len(term) <= len("requester:") + VALUE_CHARS
    assert term == term_of("requester", value)
    assert term != term_of("requester", value + "x")


def test_the_plan_says_what_is_no_term() -> None:
    plan = plan_of(Criteria(since_us=1, until_us=2, msn=3, outcome="open"))
    assert (plan.whole, plan.since_us, plan.until_us, plan.msn, plan.open) == (True, 1, 2, 3, True)
    assert plan_of(Criteria(outcome="received")).whole
    assert plan_of(AuditCriteria(since_us=1)).whole
    assert not plan_of(AuditCriteria(refused=True)).whole


@pytest.mark.requirement("N-SCOPE")
def test_a_scope_is_asked_besides_whatever_else_is() -> None:
    alpha, beta = ((Sought("agency:alpha"),),), ((Sought("agency:beta"),),)
    assert plan_of(Criteria(agency="beta", scope="alpha")).clauses == (beta, alpha)
    assert not matches(Criteria(agency="beta", scope="alpha"), MESSAGE, [])
    assert plan_of(AuditCriteria(scope="alpha")).clauses == (((Sought("!agency:alpha"),),),)


def test_a_word_that_is_none_is_refused_before_anything_is_looked_up() -> None:
    with pytest.raises(BadCriteria):
        plan_of(Criteria(text=("---",)))
    with pytest.raises(BadCriteria):
        matches(Criteria(text=("---",)), MESSAGE, [])


def test_where_events_stand_is_kept_apart_from_what_can_be_searched() -> None:
    assert events_term(4711) == "@0000000000004711"
    assert events_term(9) < events_term(10)


@pytest.mark.parametrize(
    ("events", "still_open"),
    [
        ([], False),
        ([("routed", "line:CLETS")], True),
        ([("routed", "line:CLETS"), ("acknowledged", "line:CLETS")], True),
        ([("routed", "line:CLETS"), ("answered", "line:CLETS")], False),
        ([("routed", "line:A"), ("routed", "line:B"), ("answered", "line:A")], True),
        ([("routed", "device:T1"), ("sent", "device:T1"), ("acknowledged", "device:T1")], False),
        ([("routed", "device:T1"), ("returned", "device:T1")], True),
        ([("routed", "line:A"), ("refused", None)], False),
    ],
)
def test_a_message_is_open_until_it_has_ended_everywhere(
    events: list[tuple[str, str | None]], still_open: bool
) -> None:
    assert is_open([Event(1, 1, event, destination) for event, destination in events]) is still_open
