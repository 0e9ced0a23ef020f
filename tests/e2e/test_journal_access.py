"""A coordinator tries to see another agency's traffic at the raw socket: refused, confined, and always on record."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.e2e.conftest import assert_quiet
from tests.support.inquirer import Inquirer, Told
from tests.support.two_agencies import OTHER, OWN, SECRET, County, at_work

pytestmark = pytest.mark.requirement("C-ACCESS", "N-SCOPE")


@pytest.fixture(scope="module")
def county(tmp_path_factory: pytest.TempPathFactory) -> Iterator[County]:
    with at_work(tmp_path_factory.mktemp("access")) as made:
        yield made
    assert_quiet(made.site)


# What is tried: verb, and what is asked, given what the coordinator has found out somehow about the other agency.
Attempt = Callable[[County], tuple[str, dict[str, Any]]]


def searching(**criteria: Any) -> Attempt:
    return lambda county: ("search", {"criteria": {name: _of(county, value) for name, value in criteria.items()}})


def _of(county: County, value: Any) -> Any:
    """Put what is known of the other agency in the place of its name."""
    return county.traces.get(value[1:], value) if isinstance(value, str) and value.startswith("$") else value


EMPTY_OR_REFUSED: dict[str, Attempt] = {
    "its name": searching(agency=OTHER),
    "its name in small letters": searching(agency=OTHER.lower()),
    "its ORI": searching(ori="$ori"),
    "its user": searching(user="$user"),
    "its device": searching(device="$device"),
    "its mnemonic": searching(mnemonic="$mnemonic"),
    "its header": searching(header="$header"),
    "its session": searching(session="$session"),
    "its requester": searching(requester="DET EXAMPLE"),
    "its key": searching(key="IH.QH"),
    "its message": lambda county: ("search", {"criteria": {"msn": county.others[0]}}),
    "its transaction": lambda county: ("search", {"criteria": {"transaction": county.others[0]}}),
    "a word of its text": searching(text=["RECORDED"]),
    "the beginning of a word": searching(text=["RECORD*"]),
    "its plate": searching(text=["ZZ0003X"]),
    "the scope, among the criteria": searching(scope=OTHER),
    "no scope": searching(scope=None),
    "the scope, beside the criteria": lambda _: ("search", {"criteria": {}, "scope": OTHER}),
    "agencies, as a list": searching(agency=[OWN, OTHER]),
    "an agency within an agency": searching(agency={"agency": OTHER}),
    "two agencies in one": searching(agency=f"{OWN}' OR agency='{OTHER}"),
    "criteria within criteria": searching(criteria={"agency": OTHER}),
    "criteria as a text": lambda _: ("search", {"criteria": json.dumps({"agency": OTHER})}),
    "letters that look alike": searching(agency="ЕХРD"),
    "letters of full width": searching(agency="ＥＸＰＤ"),
    "an end of line": searching(user="P50110\nagency:EXPD"),
    "the life of its message": lambda county: ("show", {"msn": county.others[0]}),
    "the life of its answer": lambda county: ("show", {"msn": county.others[0] + 1}),
    "the life, with a scope": lambda county: ("show", {"msn": county.others[0], "scope": OTHER}),
    "a proof of its message": lambda county: ("prove", {"msn": county.others[0]}),
    "a proof of the own": lambda county: ("prove", {"msn": county.own[0]}),
    "its counts": lambda _: ("stats", {"criteria": {"agency": OTHER}, "by": ["agency"]}),
    "counts of its user": lambda county: ("stats", {"criteria": {"user": county.traces["user"]}, "by": ["user"]}),
    "a sample of it": lambda _: ("sample", {"criteria": {"agency": OTHER}, "count": 9, "seed": 1}),
    "a sample of its key": lambda _: ("sample", {"criteria": {"key": "QH"}, "count": 9, "seed": 1}),
    "its audit events": lambda _: ("audit", {"criteria": {"agency": OTHER}}),
    "its people's audit events": lambda county: ("audit", {"criteria": {"user": county.traces["user"]}}),
    "audit events about its people": lambda _: ("audit", {"criteria": {"subject": "user P50110"}}),
    "audit events of its device": lambda county: ("audit", {"criteria": {"device": county.traces["device"]}}),
    "audit events, with a scope": lambda _: ("audit", {"criteria": {"scope": OTHER}}),
    "what the auditors asked": lambda _: ("audit", {"criteria": {"user": "auditor"}}),
    "a print of it": lambda _: ("search", {"criteria": {"agency": OTHER}, "print": True}),
}  # fmt: skip


@pytest.mark.parametrize("attempt", EMPTY_OR_REFUSED)
def test_another_agencys_is_neither_seen_nor_counted(county: County, attempt: str) -> None:
    before = county.last_seq()
    verb, content = EMPTY_OR_REFUSED[attempt](county)
    told = county.coordinator.ask(verb, **content)
    assert told.refused or told.items == [], told
    assert told.refused or told.end.get("of", 0) == 0
    county.shows_nothing_of_the_other(told)
    _journaled(county, told, before, verb)


def _journaled(county: County, told: Told, before: int, verb: str) -> None:
    events = county.events_since(before, user="coordinator")
    names = sorted(event["event"] for event in events)
    if told.refused:
        assert names == ["operator.refused"], (names, told)
        assert verb in events[0]["detail"]
    else:
        assert names in (["journal.search_ended", "journal.searched"], ["journal.printed", "journal.search_ended"])
        assert {event["reason"] for event in events} == {"case 26-17"}
        begun = min(events, key=lambda event: int(event["seq"]))
        assert json.loads(begun["detail"])["verb"] == verb
        assert '"role":"coordinator"' in begun["detail"]


OWN_ALONE: dict[str, Attempt] = {
    "everything": searching(),
    "a word of everybody's": searching(text=["SPECIMEN"]),
    "the beginning of any word": searching(text=["S*"]),
    "a key of everybody's": searching(key="IV.4"),
    "a line": searching(line="clets-a"),
    "what was answered": searching(outcome="answered"),
    "the cursor of another's search": lambda county: ("search", {"criteria": {}, "after": f"<{county.others[1]}"}),
    "a cursor beyond everything": lambda _: ("search", {"criteria": {}, "after": "<" + "9" * 30}),
    "a cursor to begin with": lambda _: ("search", {"criteria": {}, "after": ">0", "oldest_first": True}),
    "counts by agency": lambda _: ("stats", {"criteria": {}, "by": ["agency", "user", "key", "mnemonic", "code"]}),
    "counts by time": lambda _: ("stats", {"criteria": {}, "by": ["day", "month", "hour"]}),
    "a sample of everything": lambda _: ("sample", {"criteria": {}, "count": 10_000, "seed": 7}),
    "all audit events": lambda _: ("audit", {"criteria": {}}),
    "audit events with a word": lambda _: ("audit", {"criteria": {"text": ["refused"]}}),
}  # fmt: skip


@pytest.mark.parametrize("attempt", OWN_ALONE)
def test_what_is_asked_of_everybody_shows_only_the_own(county: County, attempt: str) -> None:
    before = county.last_seq()
    verb, content = OWN_ALONE[attempt](county)
    told = county.coordinator.ask(verb, **content)
    assert told.status == 200 and not told.error, told
    if verb == "audit":
        assert {item["agency"] for item in told.items} == {OWN}
        # What the coordinator has asked before may name the other agency; nothing else does.
        told = replace(told, items=[item for item in told.items if item["user"] != "coordinator"])
    county.shows_nothing_of_the_other(told)
    assert told.items or verb == "audit"
    _journaled(county, told, before, verb)


def test_counts_are_those_of_the_own_messages(county: County) -> None:
    own = county.coordinator.search().items
    everybody = county.auditor.search().items
    assert 0 < len(own) < len(everybody)
    told = county.coordinator.ask("stats", criteria={}, by=["agency", "key", "direction"])
    assert told.end["total"] == len(own)
    assert {row["label"]: row["count"] for row in told.items if row["by"] == "agency"} == {OWN: len(own)}
    for by in ("key", "direction"):
        assert sum(row["count"] for row in told.items if row["by"] == by) <= len(own)
    assert county.coordinator.ask("sample", criteria={}, count=3, seed=1).end["of"] == len(own)


MALFORMED = {
    "a second agency": b'{"reason":"r","criteria":{"agency":"EXSO","agency":"EXPD"}}',
    "second criteria": b'{"reason":"r","criteria":{"agency":"EXSO"},"criteria":{"agency":"EXPD"}}',
    "a second scope": b'{"reason":"r","criteria":{"scope":"EXSO","scope":"EXPD"}}',
    "a scope in escapes": b'{"reason":"r","criteria":{"\\u0073cope":"EXPD"}}',
    "a scope of null": b'{"reason":"r","criteria":{"agency":null,"scope":null}}',
    "nothing of JSON": b"{agency: EXPD}",
    "a list": b'[{"reason":"r","criteria":{"agency":"EXPD"}}]',
    "half a character": b'{"reason":"r","criteria":{"agency":"\\ud800"}}',
    "no number": b'{"reason":"r","criteria":{"msn":NaN}}',
    "a truth for a number": b'{"reason":"r","criteria":{"msn":true}}',
    "a limit of nothing": b'{"reason":"r","criteria":{},"limit":0}',
    "no reason": b'{"criteria":{}}',
    "an empty reason": b'{"reason":" \\t ","criteria":{}}',
    "a reason that is none": b'{"reason":["x"],"criteria":{}}',
    "a cursor in other digits": '{"reason":"r","criteria":{},"after":"<²"}'.encode(),
    "a cursor that is none": b'{"reason":"r","criteria":{},"after":"0 OR 1=1"}',
}


@pytest.mark.parametrize("attempt", MALFORMED)
def test_what_is_no_question_is_refused_and_shows_nothing(county: County, attempt: str) -> None:
    before = county.last_seq()
    told = county.coordinator.send("/journal/search", MALFORMED[attempt])
    assert told.items == []
    assert told.error and "fault" not in told.error, told
    assert county.events_since(before, user="coordinator"), "nobody is told of it"


# --- every look is journaled --------------------------------------------------------------------------


@pytest.mark.requirement("N-LOG", "N-PRINT")
def test_every_search_is_journaled_with_who_why_what_and_how_many(county: County) -> None:
    for verb, content, event in (
        ("search", {"criteria": {"text": ["ZZ0003X"], "user": "P50110"}, "limit": 1}, "journal.searched"),
        ("search", {"criteria": {"key": "QH"}, "print": True}, "journal.printed"),
        ("show", {"msn": county.others[0]}, "journal.searched"),
        ("sample", {"criteria": {}, "count": 2, "seed": 5}, "journal.searched"),
        ("stats", {"criteria": {}, "by": ["day"]}, "journal.searched"),
        ("audit", {"criteria": {"event": "sign_on"}}, "journal.searched"),
    ):
        before = county.last_seq()
        told = Inquirer.of(county.site, "oversight").ask(verb, "complaint 26-3", **content)
        events = county.events_since(before, user="oversight")
        ended, begun = events
        assert (begun["event"], ended["event"]) == (event, "journal.search_ended")
        assert begun["session"] == ended["session"]
        assert {begun["reason"], ended["reason"]} == {"complaint 26-3"}
        assert re.fullmatch(r"cli:\w+", begun["source"])
        asked, came = json.loads(begun["detail"]), json.loads(ended["detail"])
        assert asked | content == asked and asked["role"] == "oversight"
        assert (came["results"], came["outcome"], came["verb"]) == (len(told.items), "ended", verb)


def test_a_search_is_on_record_before_its_first_result_is_seen(county: County) -> None:
    before = county.last_seq()
    with county.coordinator.following(user="J40217"):
        # Its answer has begun, and not ended.
        (begun,) = county.events_since(before, user="coordinator")
    assert begun["event"] == "journal.searched" and json.loads(begun["detail"])["verb"] == "follow"


def test_what_was_searched_for_never_stands_in_the_log(county: County) -> None:
    county.coordinator.search(text=["XNEVERSEENX"])
    county.coordinator.search(agency="XNEVERSEENX")
    county.coordinator.send("/journal/search", b'{"reason":"XNEVERSEENX","criteria":{"XNEVERSEENX":1}}')
    for process in county.site.processes:
        assert "XNEVERSEENX" not in process.output
        assert SECRET not in process.output
