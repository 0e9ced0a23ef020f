"""What operators ask of a plan: explained, listed, compared, and run over what was journaled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from msc.errors import UnknownMessageKey
from msc.limits import DIFFERENCES_MAX, EXAMPLES_MAX, ROUTES_LISTED_MAX
from msc.protocol.catalog import load_catalog
from msc.protocol.header import MessageHead, write_head
from msc.routing.criteria import Criteria
from msc.routing.groups import Group, Groups, Scope
from msc.routing.plan import Plan
from msc.routing.table import Deliver, Route, RouteTable
from msc.switch.plan_review import NoSuchSender, Replay, differences, explain, listed
from tests.support.county import county

CATALOG = load_catalog(Path(__file__).parents[2] / "config" / "catalog")
DIRECTORY = county()
GROUPS = Groups([Group("APB", "x", Scope.STATE, ("A123", "A124"), ("clets-a",))])
LOCAL = Route("local", 100, Criteria.of(functions=("administrative",)), Deliver.ADDRESSEES, ())
PLATES = Route("plates", 50, Criteria.of(fields={"LIS": ("NV",)}), Deliver.LINES, ("nlets-a",), ("printer-1",))
REST = Route("rest", 100, Criteria(), Deliver.LINES, ("clets-a",))


def plan(*routes: Route) -> Plan:
    return Plan(RouteTable(routes), GROUPS)


FULL = plan(LOCAL, PLATES, REST)


def test_an_explanation_names_the_route_and_where_the_message_ends() -> None:
    found = explain(FULL, CATALOG, DIRECTORY, "AM.CA0980000.APB,S001.TXT MEET", "A123")
    assert (found["key"], found["mnemonic"], found["ori"], found["agency"]) == ("AM", "A123", "CA0980000", "EXLP")
    assert (found["route"], found["lines"], found["devices"]) == ("local", ["clets-a"], ["desk-2", "s-desk"])
    assert found["code"] is None
    assert [(each["route"], each["took"], each["objections"]) for each in found["considered"]] == [
        ("plates", False, ["LIS: nothing is none of NV"]), ("local", True, []), ("rest", False, []),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("AM.CA0980000.ZZZZ.TXT MEET", "E306"),
        (f"AM.CA0980000.{','.join(['S001'] * 21)}.TXT MEET", "E308"),
    ],
)
def test_an_explanation_says_what_the_message_would_be_refused_for(text: str, code: str) -> None:
    assert explain(FULL, CATALOG, DIRECTORY, text, "A123")["code"] == code


def test_an_explanation_of_what_no_route_takes_says_so() -> None:
    found = explain(plan(PLATES), CATALOG, DIRECTORY, "IV.4.CA0980000.LIC/1ABC", "A123")
    assert (found["route"], found["code"], found["lines"], found["devices"]) == (None, "E305", [], [])
    assert [each["took"] for each in found["considered"]] == [False]


def test_what_is_no_message_and_who_is_not_there_is_refused() -> None:
    with pytest.raises(NoSuchSender, match="no mnemonic ZZZZ"):
        explain(FULL, CATALOG, DIRECTORY, "IV.4.CA0980000.LIC/1ABC", "ZZZZ")
    with pytest.raises(UnknownMessageKey):
        explain(FULL, CATALOG, DIRECTORY, "GOOD MORNING", "A123")


def test_routes_are_listed_in_the_order_in_which_they_are_tried() -> None:
    found = listed(FULL)
    assert [(row["place"], row["name"]) for row in found["routes"]] == [(1, "plates"), (2, "local"), (3, "rest")]
    assert found["routes"][0] == {
        "place": 1, "name": "plates", "precedence": 50, "fields": {"LIS": ["NV"]}, "deliver": "lines",
        "to": ["nlets-a"], "stations": ["printer-1"],
    }  # fmt: skip
    assert (found["routes_in_all"], found["groups_in_all"]) == (3, 1)
    many = plan(*[REST._replace(name=f"{n}") for n in range(ROUTES_LISTED_MAX + 5)])
    assert len(listed(many)["routes"]) == ROUTES_LISTED_MAX
    assert [row["name"] for row in listed(many, ROUTES_LISTED_MAX + 1)["routes"]] == [
        f"{ROUTES_LISTED_MAX + n}" for n in range(5)
    ]


def test_a_comparison_tells_rows_and_whose_messages_go_elsewhere() -> None:
    new = plan(LOCAL, REST._replace(name="new", criteria=Criteria.of(mnemonics=("S001",)), precedence=99), REST)
    found = differences(FULL, new, CATALOG, DIRECTORY)
    assert found["changes"] == [{"change": "added", "route": "new"}, {"change": "removed", "route": "plates"}]
    assert {(each["old"], each["new"], tuple(each["examples"])) for each in found["decisions"]} == {
        ("rest", "new", ("S001",)), ("local", "new", ("S001",)),
    }  # fmt: skip
    assert found["counts"] == {"added": 1, "removed": 1, "changed": 0, "moved": 0, "decisions": len(CATALOG)}
    assert found["complete"]


def test_a_comparison_is_bounded_and_says_so() -> None:
    many = plan(*[REST._replace(name=f"{n}") for n in range(DIFFERENCES_MAX + 1)])
    found = differences(plan(), many, CATALOG, DIRECTORY)
    assert len(found["changes"]) == DIFFERENCES_MAX and not found["complete"]
    assert found["counts"]["added"] == DIFFERENCES_MAX + 1
    assert all(each["mnemonics"] == 8 and len(each["examples"]) == EXAMPLES_MAX for each in found["decisions"])


# --- replays ----------------------------------------------------------------------------------------------------


def record(text: str, **more: Any) -> dict[str, Any]:
    return {
        "msn": 7, "received": "2026-01-31T08:00:00Z", "direction": "outbound", "kind": "inquiry", "device": "desk-1",
        "agency": "EXLP", "ori": "CA0980000", "mnemonic": "A123", "own_header": None, "code": None, "text": text,
        **more,
    }  # fmt: skip


def test_a_replay_tells_what_would_go_elsewhere_and_no_text() -> None:
    replay = Replay(plan(LOCAL, REST), FULL, CATALOG, DIRECTORY)
    assert replay.take(record("IV.4.CA0980000.LIC/1ABC")) is None
    assert replay.take(record("IV.4.CA0980000.LIC/1ABC.LIS/NV")) == {
        "msn": 7, "received": "2026-01-31T08:00:00Z", "key": "IV.4", "mnemonic": "A123", "device": "desk-1",
        "old_route": "rest", "old": ["line:clets-a"],
        "new_route": "plates", "new": ["line:nlets-a", "device:printer-1"],
    }  # fmt: skip
    assert (replay.messages, replay.elsewhere) == (2, 1)


@pytest.mark.parametrize(
    "more",
    [
        {"direction": "inbound"},
        {"kind": "status"},
        {"code": "E302"},
        {"mnemonic": None},
        {"text": "ZZ.9.CA0980000.LIC/1ABC"},
    ],
    ids=str,
)
def test_a_replay_passes_over_what_no_route_was_asked_for(more: dict[str, Any]) -> None:
    replay = Replay(plan(), FULL, CATALOG, DIRECTORY)
    assert replay.take(record(**{"text": "IV.4.CA0980000.LIC/1ABC", **more})) is None
    assert replay.messages == 0


def test_a_replay_sees_hosts_messages_and_those_no_route_took() -> None:
    replay = Replay(plan(), FULL, CATALOG, DIRECTORY)
    text = write_head(MessageHead("CD01000001", "J40217")) + "IV.4.CA0980000.LIC/1ABC"
    found = replay.take(record("IV.4.CA0980000.LIC/1ABC", code="E305", direction="outbound", kind="inquiry"))
    assert found is not None
    assert (found["old_route"], found["old"], found["new"]) == (None, None, ["line:clets-a"])
    found = replay.take(record(text, own_header="CD01000001", mnemonic="CD01", device="cad-1"))
    assert found is not None and found["key"] == "IV.4"
