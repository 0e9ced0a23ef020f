"""Criteria as JSON: what a client sends is read, or refused by name."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given

from msc.journal.criteria import AuditCriteria, BadCriteria, Criteria
from tests.journal.index.records import AUDIT_CRITERIA, CRITERIA


@given(CRITERIA | AUDIT_CRITERIA)
def test_criteria_come_back_from_json(criteria: Criteria | AuditCriteria) -> None:
    members = criteria.as_json()
    assert type(criteria).from_json(members) == criteria
    assert None not in members.values()


def test_what_is_not_looked_at_is_left_out() -> None:
    assert Criteria().as_json() == AuditCriteria().as_json() == {}
    assert orjson.dumps(AuditCriteria(since_us=0, refused=True, text=("A",)).as_json()) == (
        b'{"since_us":0,"refused":true,"text":["A"]}'
    )


@pytest.mark.parametrize("kind", [Criteria, AuditCriteria])
@pytest.mark.parametrize(
    "members",
    [
        {"nothing": "x"},
        {"since_us": "1"},
        {"since_us": True},
        {"user": 1},
        {"text": "A"},
        {"text": [1]},
        {"user": None},
    ],
)
def test_what_is_nothing_to_look_for_is_refused(
    kind: type[Criteria | AuditCriteria], members: dict[str, Any]
) -> None:
    with pytest.raises(BadCriteria):
        kind.from_json(members)


def test_each_kind_knows_its_own_names_only() -> None:
    with pytest.raises(BadCriteria, match="subject"):
        Criteria.from_json({"subject": "J1"})
    with pytest.raises(BadCriteria, match="outcome"):
        AuditCriteria.from_json({"outcome": "open"})
    with pytest.raises(BadCriteria, match="refused"):
        AuditCriteria.from_json({"refused": 1})
