"""The administrative socket, served: who is answered, what is journaled before and after, and how answers end."""

from __future__ import annotations

import asyncio
import grp
import json
import os
import socket
import stat
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from msc.control import gate
from msc.control.client import RefusedBySwitch, SwitchNotRunning, ask, ask_as
from msc.directory.rows import Directory, Status
from msc.errors import JournalError, SiteError
from msc.limits import OPERATOR_REFUSALS_MAX, OPERATOR_REQUEST_BYTES_MAX, SEARCHES_PER_OPERATOR
from tests.support.county import county
from tests.support.operators import MESSAGES as ALL
from tests.support.operators import STRANGER, Served, issue, operator, served

REASON = "case 26-17"
WHY = {"reason": REASON}


@pytest.fixture
async def switch(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path, county()) as found:
        yield found


async def answer(switch: Served, name: str, path: str = "/journal/search", **content: Any) -> list[dict[str, Any]]:
    """Ask as an operator, and return all lines."""
    return [line async for line in ask_as(switch.settings, operator(name), path, {**WHY, **content})]


def msns(lines: list[dict[str, Any]]) -> list[int]:
    return [line["item"]["msn"] for line in lines if "item" in line]


@pytest.fixture
def another_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the switch run under an account that is not this one; this one is not root either."""
    monkeypatch.setattr(gate, "_ROOT", -1)
    monkeypatch.setattr(gate.os, "geteuid", lambda: -2)


# --- who is answered ----------------------------------------------------------------------------------


@pytest.mark.requirement("C-ACCESS")
@pytest.mark.parametrize("name", ["admin", "auditor", "oversight"])
async def test_who_sees_all_is_answered_line_by_line(switch: Served, name: str) -> None:
    *items, last = await answer(switch, name)
    assert items == [{"item": row} for row in ALL]
    assert (last["end"]["complete"], last["end"]["count"]) == (True, 4)


@pytest.mark.requirement("N-SCOPE")
@pytest.mark.parametrize("path", ["/journal/search", "/journal/follow", "/journal/stats"])
async def test_a_coordinator_is_answered_of_one_agency(switch: Served, path: str) -> None:
    assert msns(await answer(switch, "coordinator", path, criteria={})) == [1, 3]


@pytest.mark.requirement("N-SCOPE", "C-ACCESS")
async def test_a_coordinator_cannot_show_what_is_anothers(switch: Served) -> None:
    assert msns(await answer(switch, "coordinator", "/journal/show", msn=2)) == []
    assert msns(await answer(switch, "coordinator", "/journal/show", msn=3)) == [3]
    assert switch.desk.asked[0] == ("show", {"msn": 2, "scope": "EXLP"})


@pytest.mark.requirement("N-SCOPE", "F-AUDIT")
async def test_a_coordinator_who_names_another_agency_is_refused_and_that_is_journaled(switch: Served) -> None:
    with pytest.raises(RefusedBySwitch, match="only their own agency") as refused:
        await answer(switch, "coordinator", criteria={"agency": "SHERIFF", "text": ["ZZ0001X"]})
    assert refused.value.status == 403
    (event,) = switch.audited
    assert (event.event, event.user, event.subject) == ("operator.refused", "coordinator", "journal")
    assert '"agency":"SHERIFF"' in str(event.detail)
    assert switch.desk.asked == []


@pytest.mark.requirement("C-ACCESS")
async def test_nobody_reads_the_journal_without_signing_not_even_the_switchs_own_account(switch: Served) -> None:
    told = await switch.send("POST", "/journal/search", WHY)
    assert told.status_code == 401
    assert "operators" in told.json()["error"]
    assert switch.desk.asked == []


@pytest.mark.requirement("C-ACCESS", "F-AUDIT")
async def test_who_is_not_who_they_claim_is_refused_and_journaled(switch: Served) -> None:
    told = await switch.send("POST", "/journal/search", WHY, key=issue("msc://operator/admin", STRANGER))
    assert told.status_code == 401
    (event,) = switch.audited
    assert (event.event, event.user) == ("operator.refused", "admin")
    assert event.source == f"cli:{gate.account_name(os.getuid())}"
    assert "not issued" in str(event.detail)


@pytest.mark.requirement("C-ACCESS")
async def test_a_request_changed_on_its_way_is_refused(switch: Served) -> None:
    key = operator("admin")
    own, other = json.dumps(WHY).encode(), json.dumps({**WHY, "criteria": {"agency": "EXLP"}}).encode()
    assert (await switch.send("POST", "/journal/search", key=key, body=other, signed=own)).status_code == 401
    assert (await switch.send("POST", "/journal/search", WHY, key=key, to="/journal/audit")).status_code == 401
    assert (await switch.send("POST", "/journal/search", WHY, key=key, to="/journal/search?a=1")).status_code == 401
    assert (await switch.send("POST", "/journal/search?a=1", WHY, key=key)).status_code == 200


@pytest.mark.requirement("C-ACCESS")
async def test_a_request_that_was_heard_cannot_be_sent_again(switch: Served) -> None:
    body = json.dumps(WHY).encode()
    nonce = (await ask(switch.settings, "GET", "/challenge"))["nonce"]
    headers = operator("admin").proof(nonce, "POST", "/journal/search", body).headers()
    told = [await switch.send("POST", "/journal/search", body=body, headers=headers) for _ in range(2)]
    assert [one.status_code for one in told] == [200, 401]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"[]", 400),
        (b'"x"', 400),
        (b"\xff", 400),
        (b'{"reason":"x","criteria":{"user":"\\ud800"}}', 400),
        (b"[" * 60_000, 400),
        (b'{"reason":"x","everything":1}', 400),
        (b'{"reason":"x","criteria":{"everything":"1"}}', 400),
        (b" " * (OPERATOR_REQUEST_BYTES_MAX + 1), 413),
    ],
)
async def test_what_is_no_request_is_told(switch: Served, body: bytes, status: int) -> None:
    told = await switch.send("POST", "/journal/search", key=operator("admin"), body=body)
    assert told.status_code == status
    assert told.json()["error"]
    assert switch.desk.asked == []


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/journal/delete"), ("GET", "/journal/search"), ("POST", "/journal/../state"), ("GET", "/x")],
)
async def test_what_is_not_served_is_told_in_json(switch: Served, method: str, path: str) -> None:
    told = await switch.send(method, path, key=operator("admin"))
    assert told.status_code in (404, 405)
    assert told.json()["error"]


@pytest.mark.requirement("F-AUPROT")
async def test_an_account_that_is_refused_too_often_is_not_listened_to_for_a_minute(tmp_path: Path) -> None:
    now = [0.0]
    async with served(tmp_path, county(), lambda: now[0]) as switch:
        for _ in range(OPERATOR_REFUSALS_MAX):
            assert (await switch.send("POST", "/journal/search", WHY)).status_code == 401
        assert (await switch.send("POST", "/journal/search", WHY)).status_code == 429
        with pytest.raises(RefusedBySwitch, match="wait a minute"):
            await answer(switch, "admin")
        assert len(switch.audited) == OPERATOR_REFUSALS_MAX
        now[0] += 61
        assert len(await answer(switch, "admin")) == 5


# --- why, and what is journaled -----------------------------------------------------------------------


@pytest.mark.requirement("C-ACCESS")
@pytest.mark.parametrize("verb", ["search", "show", "audit", "sample", "stats", "follow"])
@pytest.mark.parametrize("reason", ["", "  ", None])
async def test_nothing_is_shown_without_a_reason(switch: Served, verb: str, reason: str | None) -> None:
    with pytest.raises(RefusedBySwitch, match="say why"):
        await answer(switch, "admin", f"/journal/{verb}", reason=reason)
    assert [event.event for event in switch.audited] == ["operator.refused"]


@pytest.mark.requirement("C-ACCESS", "N-LOG", "F-AUDIT")
async def test_a_search_is_journaled_before_its_first_result_and_after_its_last(switch: Served) -> None:
    seen: list[list[str]] = []
    content = {**WHY, "criteria": {"text": ["ZZ0001X"]}, "limit": 50}
    async for _ in ask_as(switch.settings, operator("coordinator"), "/journal/search", content):
        seen.append([event.event for event in switch.audited])
    assert seen[0][0] == "journal.searched"
    begun, ended = switch.audited
    assert (begun.user, begun.reason, begun.subject) == ("coordinator", REASON, "journal")
    assert begun.source == f"cli:{gate.account_name(os.getuid())}"
    assert json.loads(str(begun.detail)) == {
        "verb": "search", "role": "coordinator", "limit": 50, "criteria": {"text": ["ZZ0001X"], "scope": "EXLP"},
    }  # fmt: skip
    assert (ended.event, ended.session, ended.reason) == ("journal.search_ended", begun.session, REASON)
    assert json.loads(str(ended.detail)) == {"verb": "search", "results": 2, "outcome": "ended", "complete": True}


@pytest.mark.requirement("N-PRINT", "C-ACCESS")
async def test_a_print_is_journaled_as_one(switch: Served) -> None:
    await answer(switch, "auditor", print=True)
    assert [event.event for event in switch.audited] == ["journal.printed", "journal.search_ended"]


@pytest.mark.requirement("F-AUFAIL", "C-ACCESS")
async def test_nothing_is_shown_while_the_journal_cannot_be_written(switch: Served) -> None:
    switch.durable = False
    with pytest.raises(RefusedBySwitch, match="cannot be written") as refused:
        await answer(switch, "admin")
    assert refused.value.status == 503
    assert switch.desk.asked == []


@pytest.mark.requirement("C-ACCESS", "N-LOG")
async def test_a_search_nobody_waits_for_any_more_is_given_up_and_accounted_for(switch: Served) -> None:
    switch.desk.hold.clear()
    lines = ask_as(switch.settings, operator("admin"), "/journal/search", WHY)
    assert await anext(lines) == {"item": ALL[0]}
    await lines.aclose()  # type: ignore[attr-defined]
    await switch.desk.left.wait()
    while not switch.events("journal.search_ended"):
        await asyncio.sleep(0)
    (ended,) = switch.events("journal.search_ended")
    assert json.loads(str(ended.detail)) == {"verb": "search", "results": 1, "outcome": "broken off"}


@pytest.mark.requirement("N-LOG")
async def test_a_search_that_fails_says_why_and_is_accounted_for(switch: Served) -> None:
    switch.desk.fault = JournalError("the journal's month 202611 cannot be read")
    with pytest.raises(RefusedBySwitch, match="month 202611"):
        await answer(switch, "admin")
    assert '"outcome":"failed"' in str(switch.events("journal.search_ended")[0].detail)


@pytest.mark.requirement("N-LOG")
async def test_a_fault_of_ours_is_told_without_what_was_looked_for(
    switch: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    switch.desk.fault = ValueError("ZZ0001X is not a plate")
    with pytest.raises(RefusedBySwitch, match="an internal fault"):
        await answer(switch, "admin")
    logged = "".join(capsys.readouterr())
    assert "journal.search_failed" in logged
    assert "ZZ0001X" not in logged


# --- while it lasts -----------------------------------------------------------------------------------


@pytest.mark.requirement("C-ACCESS", "N-SCOPE")
@pytest.mark.parametrize("how", ["suspended", "revoked", "moved"])
async def test_who_may_no_more_is_shown_no_more(switch: Served, how: str) -> None:
    switch.desk.hold.clear()
    key = operator("coordinator")
    lines = ask_as(switch.settings, key, "/journal/follow", {**WHY, "criteria": {}})
    assert await anext(lines) == {"item": ALL[0]}
    row = switch.directory.operators["coordinator"]
    if how == "suspended":
        switch.directory.replace([replace(row, status=Status.SUSPENDED)])
    elif how == "moved":
        switch.directory.replace([replace(row, agency="SHERIFF")])
    else:
        switch.anchor.revoke(key)
    with pytest.raises(RefusedBySwitch, match=r"suspended|revoked|changed"):
        await anext(lines)
    assert '"outcome":"withdrawn"' in str(switch.events("journal.search_ended")[0].detail)
    assert switch.desk.left.is_set() or switch.desk.asked


async def test_one_operator_has_so_many_questions_under_way_and_leaves_room_for_others(switch: Served) -> None:
    switch.desk.hold.clear()
    under_way = [
        ask_as(switch.settings, operator("admin"), "/journal/follow", WHY) for _ in range(SEARCHES_PER_OPERATOR)
    ]
    for lines in under_way:
        await anext(lines)
    with pytest.raises(RefusedBySwitch, match="too many searches"):
        await answer(switch, "admin")
    others = ask_as(switch.settings, operator("auditor"), "/journal/follow", WHY)
    assert await anext(others)
    switch.desk.hold.set()
    for lines in [*under_way, others]:
        assert (await _last(lines))["end"]["count"] == 4
    assert len(await answer(switch, "admin")) == 5


async def _last(lines: AsyncIterator[dict[str, Any]]) -> dict[str, Any]:
    last: dict[str, Any] = {}
    async for line in lines:
        last = line
    return last


@pytest.mark.requirement("N-LOG")
async def test_a_switch_that_stops_ends_what_is_under_way_and_says_so(tmp_path: Path) -> None:
    async with served(tmp_path, county()) as switch:
        switch.desk.hold.clear()
        lines = ask_as(switch.settings, operator("admin"), "/journal/follow", WHY)
        await anext(lines)
        switch.socket.stop()
        with pytest.raises(RefusedBySwitch, match="shutting down"):
            await anext(lines)
    assert '"outcome":"broken off"' in str(switch.events("journal.search_ended")[0].detail)
    with pytest.raises(SwitchNotRunning):
        await answer(switch, "admin")


# --- what was there before ----------------------------------------------------------------------------


@pytest.mark.requirement("F-REAUTH")
async def test_the_switchs_own_account_looks_at_sessions_and_ends_them_without_signing(switch: Served) -> None:
    assert (await ask(switch.settings, "GET", "/state"))["directory_revision"] == 7
    assert await ask(switch.settings, "GET", "/sessions") == [{"session": "s1", "user": "J40217"}]
    content = {"operator": "Capt. Poe", "reason": "left behind"}
    assert await ask(switch.settings, "POST", "/sessions/s1/end", content) == {"ended": "s1"}
    (event,) = switch.events("session.end_asked")
    assert (event.user, event.subject, event.reason) == ("Capt. Poe", "session s1", "left behind")


@pytest.mark.requirement("F-REAUTH", "C-ACCESS")
@pytest.mark.usefixtures("another_account")
async def test_another_account_needs_an_administrators_key(switch: Served) -> None:
    for path in ("/state", "/sessions"):
        with pytest.raises(RefusedBySwitch, match="another account"):
            await ask(switch.settings, "GET", path)
        for name in ("auditor", "coordinator", "oversight"):
            with pytest.raises(RefusedBySwitch, match="is not for"):
                await ask(switch.settings, "GET", path, operator=operator(name))
        assert await ask(switch.settings, "GET", path, operator=operator("admin"))
    with pytest.raises(RefusedBySwitch):
        await ask(switch.settings, "POST", "/sessions/s1/end", {"operator": "admin"})
    assert switch.stations.ended == []
    await ask(switch.settings, "POST", "/sessions/s1/end", {"operator": "somebody else"}, operator("admin"))
    assert [event.user for event in switch.events("session.end_asked")] == ["admin"]


@pytest.mark.requirement("C-ACCESS")
@pytest.mark.usefixtures("another_account")
async def test_no_header_makes_another_account_of_who_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # As it may be set on a machine that also runs web servers.
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")
    async with served(tmp_path, county()) as switch:
        told = await switch.send("GET", "/sessions", headers={"X-Forwarded-For": "-1", "X-Forwarded-Proto": "http"})
        assert told.status_code == 401


@pytest.mark.requirement("C-ACCESS")
async def test_only_the_switchs_account_opens_the_socket_unless_a_group_is_named(
    switch: Served, tmp_path: Path
) -> None:
    assert stat.S_IMODE(switch.file.stat().st_mode) == 0o600
    group = grp.getgrgid(os.getgid())
    (tmp_path / "grouped").mkdir()
    async with served(tmp_path / "grouped", county(), group=group.gr_name) as grouped:
        assert stat.S_IMODE(grouped.file.stat().st_mode) == 0o660
        assert grouped.file.stat().st_gid == group.gr_gid
    with pytest.raises(SiteError, match="no group"):
        Served(tmp_path / "nowhere.sock", county(), group="no such group").socket.bind()


async def test_where_nobody_answers_that_is_told(tmp_path: Path) -> None:
    served_not = Served(tmp_path / "nowhere" / "admin.sock", Directory())
    with pytest.raises(SwitchNotRunning, match="no switch"):
        await ask(served_not.settings, "GET", "/state")
    dead = Served(tmp_path / "admin.sock", Directory())
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(dead.file))
    with pytest.raises(SwitchNotRunning, match="answers"):
        await ask(dead.settings, "GET", "/state")
