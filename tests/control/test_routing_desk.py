"""Routes over the administrative socket: who may look, who may change, what is journaled, and all or nothing."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from msc.control.client import RefusedBySwitch, ask, ask_as
from msc.control.gate import Gate
from msc.control.journal_desk import Part
from msc.control.pipeline import Pipeline
from msc.control.routing_desk import RoutingCounter
from msc.directory.rows import Status
from msc.errors import JournalError
from msc.limits import ROUTE_FAULTS_MAX, STANDING_S
from msc.protocol.catalog import load_catalog
from msc.routing.plan import Plan, PlanFiles, load_plan
from msc.switch.addressees import DirectoryStations
from tests.support.county import county
from tests.support.operators import Served, operator, served

CATALOG = load_catalog(Path(__file__).parents[2] / "config" / "catalog")
LINES = ("clets-a", "ncic-a")
ROUTES = '[[route]]\nname = "rest"\nto = ["clets-a"]\n'
OTHER = '[[route]]\nname = "wanted"\nkeys = ["IW.*"]\nto = ["ncic-a"]\n' + ROUTES
GROUPS = '[[group]]\ncode = "APB"\nname = "x"\nmembers = ["A123", "A124"]\n'
WHY = {"reason": "case 26-17"}


class InForce:
    """Holds a plan, and notes each one that it was given."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.used: list[Plan] = []

    def use(self, plan: Plan) -> None:
        self.plan = plan
        self.used.append(plan)


class FakeJournal:
    """Answers with messages of one sender, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.texts = ["IW.QW.CA0980000.NAM/SPECIMEN,SAM", "IV.4.CA0980000.LIC/1ABC"]
        self.fault: Exception | None = None
        self.hold: asyncio.Event | None = None

    async def ask(self, verb: str, asked: dict[str, Any]) -> AsyncGenerator[Part, None]:
        assert verb == "search"
        self.asked.append(asked)
        for msn, text in enumerate(self.texts, 1):
            item = {
                "msn": msn, "received": "2026-01-31T08:00:00Z", "direction": "outbound", "kind": "inquiry",
                "device": "desk-1", "agency": "EXLP", "ori": "CA0980000", "mnemonic": "A123", "own_header": None,
                "code": None, "text": text,
            }  # fmt: skip
            yield Part(json.dumps({"item": item}).encode() + b"\n", 1)
            if self.hold is not None:
                await self.hold.wait()
        if self.fault is not None:
            raise self.fault
        yield Part(end={"complete": True})


class Switch:
    """A served socket, with the files of a plan.

    Attributes:
        loading: While it is not set, loading stands still.
    """

    def __init__(self, folder: Path) -> None:
        self.files = PlanFiles(folder / "routes.toml", folder / "groups.toml")
        self.other = folder / "new.toml"
        self.files.routes.write_text(ROUTES)
        (folder / "groups.toml").write_text(GROUPS)
        self.other.write_text(OTHER)
        self.directory = county()
        self.journal = FakeJournal()
        self.loading = threading.Event()
        self.loading.set()
        self.in_force = InForce(self.load(self.files))
        self.socket: Served

    def load(self, files: PlanFiles) -> Plan:
        self.loading.wait()
        return load_plan(files, CATALOG, LINES, DirectoryStations(self.directory))

    def counter(self, socket: Served, gate: Gate) -> RoutingCounter:
        return RoutingCounter(
            gate, self.in_force, self.files, self.load, CATALOG, self.directory, self.journal,
            socket.audited.append, Pipeline(socket.audited.append, socket.journaled),
        )  # fmt: skip

    async def ask(self, verb: str, name: str = "admin", **content: Any) -> Any:
        return await ask(self.socket.settings, "POST", f"/routing/{verb}", {**WHY, **content}, operator(name))

    async def replay(self, **content: Any) -> list[dict[str, Any]]:
        asked = {**WHY, "file": str(self.other), "since_us": 5, **content}
        lines = ask_as(self.socket.settings, operator("admin"), "/routing/replay", asked)
        return [line async for line in lines if "progress" not in line]

    def told(self, event: str) -> list[dict[str, Any]]:
        return [json.loads(each.detail or "") for each in self.socket.events(event)]


@pytest.fixture
async def switch(tmp_path: Path) -> AsyncIterator[Switch]:
    made = Switch(tmp_path)
    async with served(tmp_path, made.directory, routing=made.counter) as made.socket:
        yield made


# --- who may ----------------------------------------------------------------------------------------------------

ASKED: dict[str, dict[str, Any]] = {
    "explain": {"text": "IV.4.CA0980000.LIC/1ABC", "mnemonic": "A123"},
    "list": {},
    "diff": {"file": "new"},
    "replay": {"file": "new", "since_us": 5},
    "reload": {},
}


@pytest.mark.requirement("C-ACCESS")
@pytest.mark.parametrize("verb", ASKED)
@pytest.mark.parametrize("name", ["admin", "auditor", "oversight", "coordinator"])
async def test_administrators_change_auditors_look_and_coordinators_do_neither(
    switch: Switch, name: str, verb: str
) -> None:
    content = {**ASKED[verb], **({"file": str(switch.other)} if "file" in ASKED[verb] else {})}
    answer = await switch.socket.send("POST", f"/routing/{verb}", {**WHY, **content}, key=operator(name))
    allowed = name == "admin" or (name in ("auditor", "oversight") and verb in ("explain", "list", "diff"))
    assert answer.status_code == (200 if allowed else 403)
    assert bool(switch.told("route.asked")) == allowed
    unsigned = await switch.socket.send("POST", f"/routing/{verb}", {**WHY, **content})
    assert unsigned.status_code == 401


@pytest.mark.requirement("C-ACCESS", "F-AUDIT")
async def test_whatever_is_asked_is_journaled_first_with_its_reason_and_without_a_text(switch: Switch) -> None:
    await switch.ask("explain", **ASKED["explain"])
    (event,) = switch.socket.events("route.asked")
    assert (event.user, event.reason, event.subject) == ("admin", "case 26-17", "routes")
    assert json.loads(event.detail or "") == {"verb": "explain", "mnemonic": "A123"}
    with pytest.raises(RefusedBySwitch, match="needs a reason"):
        await switch.ask("reload", reason=" ")
    switch.socket.durable = False
    for verb in ("reload", "list"):
        with pytest.raises(RefusedBySwitch, match="the journal cannot be written") as refused:
            await switch.ask(verb)
        assert refused.value.status == 503
    assert switch.in_force.used == []


@pytest.mark.parametrize(
    ("verb", "content", "reason"),
    [
        ("explain", {"text": "x"}, "mnemonic is missing"),
        ("explain", {"text": "x", "mnemonic": 7}, "mnemonic: is not"),
        ("explain", {"text": "x", "mnemonic": "ZZZZ"}, "there is no mnemonic ZZZZ"),
        ("explain", {"text": "GOOD MORNING", "mnemonic": "A123"}, "E205"),
        ("list", {"first": 0}, "first"),
        ("list", {"last": 0}, "'last' is nothing"),
        ("diff", {"file": "new.toml"}, "whole path"),
        ("diff", {"file": "/etc/passwd"}, "whole path"),
        ("replay", {"file": "/x.toml", "since_us": -1}, "since_us"),
        ("nonsense", {}, "there is no /routing/nonsense"),
    ],
)
async def test_what_is_no_question_is_refused(
    switch: Switch, verb: str, content: dict[str, Any], reason: str
) -> None:
    with pytest.raises(RefusedBySwitch, match=reason) as refused:
        await switch.ask(verb, **content)
    assert refused.value.status in (400, 404)


# --- looking ----------------------------------------------------------------------------------------------------


async def test_the_plan_in_force_is_explained_and_listed(switch: Switch) -> None:
    switch.files.routes.write_text(OTHER)  # not taken up
    found = await switch.ask("explain", text="IW.QW.CA0980000.NAM/DOE,JOHN", mnemonic="A123")
    assert (found["route"], found["lines"]) == ("rest", ["clets-a"])
    assert [row["name"] for row in (await switch.ask("list"))["routes"]] == ["rest"]
    assert (await switch.ask("list", first=2))["routes"] == []


async def test_a_file_is_compared_with_what_is_in_force(switch: Switch) -> None:
    found = await switch.ask("diff", file=str(switch.other))
    assert found["changes"] == [{"change": "added", "route": "wanted"}]
    assert {(each["old"], each["new"]) for each in found["decisions"]} == {("rest", "wanted")}
    switch.other.write_text(ROUTES.replace("clets-a", "clets-z"))
    found = await switch.ask("diff", file=str(switch.other))
    assert [each["problem"] for each in found["faults"]] == ["there is no line 'clets-z'"]
    assert switch.in_force.used == []


async def test_a_replay_lists_what_would_go_elsewhere_and_no_text(switch: Switch) -> None:
    found, end = await switch.replay()
    assert (found["item"]["msn"], found["item"]["old"], found["item"]["new"]) == (
        1,
        ["line:clets-a"],
        ["line:ncic-a"],
    )
    assert "SPECIMEN" not in json.dumps(found)
    assert end["end"] == {"messages": 2, "elsewhere": 1, "complete": True}
    assert switch.journal.asked[0]["criteria"]["since_us"] == 5
    assert switch.told("route.replayed") == [{"messages": 2, "elsewhere": 1, "outcome": "ended"}]
    assert switch.in_force.used == []


async def test_a_replay_of_a_faulty_file_tells_its_faults(switch: Switch) -> None:
    switch.other.write_text("[[route]]\n")
    (end,) = await switch.replay()
    assert [each["where"] for each in end["end"]["faults"]] == ["route.0.name"]


async def test_a_replay_that_breaks_says_so(switch: Switch) -> None:
    switch.journal.fault = JournalError("the journal cannot be read")
    with pytest.raises(RefusedBySwitch, match="cannot be read"):
        await switch.replay()
    assert switch.told("route.replayed")[0]["outcome"] == "failed"


@pytest.mark.requirement("C-ACCESS")
async def test_whoever_loses_their_standing_sees_no_more_of_a_replay(
    switch: Switch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("msc.control.routing_desk.STANDING_S", 0.0)
    assert STANDING_S > 0
    switch.journal.hold = asyncio.Event()
    row = switch.directory.operators["admin"]

    async def suspend() -> None:
        while not switch.journal.asked:
            await asyncio.sleep(0)
        switch.directory.replace([replace(row, status=Status.SUSPENDED)])
        assert switch.journal.hold is not None
        switch.journal.hold.set()

    with pytest.raises(RefusedBySwitch, match="suspended"):
        await asyncio.gather(switch.replay(), suspend())
    assert switch.told("route.replayed")[0]["outcome"] == "withdrawn"


# --- changing ---------------------------------------------------------------------------------------------------


@pytest.mark.requirement("F-AUDIT")
async def test_a_reload_takes_up_the_files_whole_and_is_journaled_with_its_counts(switch: Switch) -> None:
    switch.files.routes.write_text(OTHER)
    assert await switch.ask("reload") == {"reloaded": True, "routes": 2, "groups": 1, "forwards": 0}
    assert switch.told("route.reloaded") == [{"routes": 2, "groups": 1, "forwards": 0}]
    assert [route.name for route in switch.in_force.plan.routes.routes] == ["wanted", "rest"]
    assert len(switch.in_force.used) == 1


@pytest.mark.requirement("C-STAFFED")
async def test_a_reload_of_faulty_files_changes_nothing_and_tells_every_fault(switch: Switch) -> None:
    assert switch.files.groups is not None
    switch.files.groups.write_text(GROUPS.replace("A124", "M999"))
    switch.files.routes.write_text(ROUTES.replace("clets-a", "clets-z"))
    before = switch.in_force.plan
    found = await switch.ask("reload")
    assert (found["reloaded"], found["faults_in_all"]) == (False, 2)
    assert [(Path(each["file"]).name, each["where"]) for each in found["faults"]] == [
        ("groups.toml", "group.0 (APB).members"), ("routes.toml", "route.0 (rest).to"),
    ]  # fmt: skip
    assert switch.in_force.plan is before and switch.in_force.used == []
    assert switch.told("route.reload_refused") == [{"faults": 2}]
    assert switch.told("route.reloaded") == []


async def test_of_very_many_faults_the_first_are_told_and_the_rest_counted(switch: Switch) -> None:
    switch.files.routes.write_text("[[route]]\n" * (ROUTE_FAULTS_MAX + 7))
    found = await switch.ask("reload")
    assert (len(found["faults"]), found["faults_in_all"]) == (ROUTE_FAULTS_MAX, ROUTE_FAULTS_MAX + 7)


async def test_one_plan_is_loaded_at_a_time(switch: Switch) -> None:
    switch.loading.clear()
    first = asyncio.create_task(switch.ask("reload"))
    try:
        while not switch.told("route.asked"):
            await asyncio.sleep(0)
        with pytest.raises(RefusedBySwitch, match="being loaded already") as refused:
            await switch.ask("reload")
        assert refused.value.status == 409
    finally:
        switch.loading.set()
    assert (await first)["reloaded"]


async def test_a_replay_under_way_keeps_its_plan_whole_when_another_takes_its_place(switch: Switch) -> None:
    switch.journal.hold = asyncio.Event()
    replay = asyncio.create_task(switch.replay())
    while not switch.journal.asked:
        await asyncio.sleep(0)
    switch.files.routes.write_text(ROUTES.replace("clets-a", "ncic-a"))
    assert (await switch.ask("reload"))["reloaded"]
    switch.journal.hold.set()
    found, end = await replay
    assert (found["item"]["old"], end["end"]["messages"]) == (["line:clets-a"], 2)
