"""Canonical bytes: what docs/journal-format.md shows is what is written, and what was written stays readable."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import orjson
import pytest

from msc.journal.proof.canonical import KINDS, NotCanonical, decode, encode
from msc.journal.record import AuditRecord, StepsRecord
from msc.transit.event import Event, Life
from msc.transit.message import Direction, MessageRecord

pytestmark = pytest.mark.requirement("C-JOURNAL", "F-AUPROT")

DOCS: Final = Path(__file__).parents[3] / "docs" / "journal-format.md"
SHOWN: Final = [line.strip().encode() for line in DOCS.read_text().splitlines() if line.startswith('    ["')]


def test_the_documented_records_are_written_byte_for_byte_as_they_stand_there() -> None:
    assert [orjson.loads(body)[0] for body in SHOWN] == ["m", "m", "s", "s"]
    for body in SHOWN:
        assert encode(*decode(body)) == body  # type: ignore[arg-type]


def test_the_documented_records_say_what_is_said_of_them() -> None:
    asked, answer, of_asked, of_answer = (decode(body).record for body in SHOWN)
    assert isinstance(asked, MessageRecord) and isinstance(answer, MessageRecord)
    assert isinstance(of_asked, StepsRecord) and isinstance(of_answer, StepsRecord)
    assert (asked.direction, answer.direction, answer.transaction) == (
        Direction.OUTBOUND,
        Direction.INBOUND,
        asked.msn,
    )
    assert [event.event for event in of_asked.events] == [Life.SENT, Life.ACKNOWLEDGED, Life.ANSWERED]
    assert of_answer.events[-1] == Event(answer.msn, of_answer.at, Life.ACKNOWLEDGED, "device:desk-1")
    assert of_asked.events[2].facts == {"answer": answer.msn}


def test_the_documented_members_are_those_of_the_records() -> None:
    documented = {
        line.split("`")[1].strip('"'): line.split("|")[2].replace("`", "").split(", ")
        for line in DOCS.read_text().splitlines()
        if line.startswith("| members of")
    }
    assert {kind: [name.strip() for name in names] for kind, names in documented.items()} == {
        kind: list(record._fields) for kind, record in KINDS.items()
    }


def test_a_record_that_ends_sooner_is_read_and_one_with_more_is_not() -> None:
    assert decode(b'["a",1,2,null,3,"switch.started"]').record == AuditRecord(3, "switch.started")
    older = b'["m",1,2,1,1,3,"local","status"]'
    assert decode(older).record == MessageRecord(1, 3, "local", "status")
    whole = orjson.loads(encode(1, 2, 1, MessageRecord(1, 3, "local", "status")))
    with pytest.raises(NotCanonical):
        decode(orjson.dumps([*whole, "more"]))


def test_what_is_no_text_is_written_as_escapes() -> None:
    event = Event(1, 2, Life.REFUSED_BY_PEER, "device:\ud800", {"why": "\ud800"})
    body = encode(1, 2, None, StepsRecord(1, 2, (event,)))
    assert decode(body).record == StepsRecord(
        1, 2, (event._replace(destination="device:\\ud800", facts={"why": "\\ud800"}),)
    )
