"""The operator at three in the morning: a printer is down, messages wait, and somebody sees to them by command."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from tests.e2e.conftest import assert_quiet
from tests.support.command import call_msc
from tests.support.mtp_client import Delivery, Station
from tests.support.site import Site, eventually

WHY = "printer is broken"
HELD = "E402 held by the operator; it will be sent, or you will be told"
LETTER = "AM.CA0990000.{}.TXT {}"

pytestmark = pytest.mark.requirement("C-ADMIN", "C-ACCESS", "F-AUDIT")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A running switch; its lines have nothing at their other end."""
    made = Site.make(tmp_path_factory.mktemp("console") / "site")
    try:
        made.quick_lines()
        made.edit("msc.toml", (r"^drain_s = \d+", "drain_s = 1"))
        made.serve()
        yield made
    finally:
        made.stop()
    assert_quiet(made)


@pytest.fixture(autouse=True)
def admin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the administrator ask, and say why."""
    monkeypatch.setenv("MSC_OPERATOR", "admin")
    monkeypatch.setenv("MSC_REASON", WHY)


def command(site: Site, *words: str, alone: bool = False) -> CompletedProcess[str]:
    """Run a command on the site: `queue list …`; `alone` says that it is not a group's."""
    place = 1 if alone else 2
    done = call_msc(*words[:place], site.toml, *words[place:])
    assert "Traceback" not in done.stdout + done.stderr
    return done


async def told(site: Site, *words: str, alone: bool = False) -> list[dict[str, Any]]:
    """Run a command that must succeed, beside the stations; return what it says as JSON."""
    done = await asyncio.to_thread(command, site, *words, "--json", alone=alone)
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def unasked(delivery: Delivery) -> bool:
    return delivery.kind == "unsolicited"


async def hears(station: Station, text: str) -> None:
    """Wait for a status message; what another test left may come before it."""
    await station.receive(lambda delivery: delivery.kind == "status" and delivery.text == text)


async def test_a_night_at_the_console(site: Site) -> None:
    async with site.signed_on("DISPATCH1") as dispatch, site.signed_on("RECORDS1", "P50110") as records:
        first, second, third = [await dispatch.send(LETTER.format("EXPR", f"NUMBER {n}")) for n in (1, 2, 3)]

        # What waits, and why.
        (queue,) = await told(site, "queue", "list")
        assert (queue["address"], queue["waiting"], queue["why"]) == (
            "device:PRINTER1", {"administrative": 3}, "nobody is there",
        )  # fmt: skip
        waiting = await told(site, "queue", "list", "device:PRINTER1")
        assert [row["msn"] for row in waiting] == [first, second, third]

        # Two go to a terminal where somebody is.
        (moved,) = await told(
            site, "queue", "move", str(first), str(second), "--from", "device:PRINTER1", "--to", "device:RECORDS1"
        )
        assert moved == {"done": [first, second], "not_done": []}
        for number in (1, 2):
            delivery = await records.receive(unasked)
            assert delivery.text == LETTER.format("EXPR", f"NUMBER {number}")
            assert delivery.envelope["original_mnemonic"] == "EXPR"

        # One is deleted, and its sender is told.
        await told(site, "queue", "delete", str(third), "--from", "device:PRINTER1")
        await hears(dispatch, f"E401 not delivered to PRINTER1: deleted by the operator: {WHY}")
        assert await told(site, "queue", "list") == []

        # One is intercepted, looked at, edited, and let go.
        await told(site, "intercept", "set", "watch", "--mnemonic", "EXA1", "--destination", "EXA2")
        held = await dispatch.send(LETTER.format("EXA2", "MEET AT THE NORTH GATE"))
        await hears(dispatch, HELD)
        (shown,) = await told(site, "intercept", "show", str(held))
        assert (shown["message"]["text"], shown["waits_at"]) == (
            LETTER.format("EXA2", "MEET AT THE NORTH GATE"), ["operator:intercept"],
        )  # fmt: skip
        text = LETTER.format("EXA2", "MEET AT THE SOUTH GATE")
        (edited,) = await told(site, "intercept", "edit", str(held), "--text", text)
        await told(site, "intercept", "release", str(edited["msn"]))
        assert (await records.receive(unasked)).text == text
        await told(site, "intercept", "clear", "watch")

        # A test message, and a word to everybody.
        (echoed,) = await told(site, "echo", "RECORDS1", alone=True)
        assert echoed["ms"] > 0
        assert (await records.receive(unasked)).text.startswith("TEST MESSAGE")
        heard = await told(site, "notice", "send", "PRINTER DOWN UNTIL 0600", "--all")
        assert heard == [
            {"device": "DISPATCH1", "people": ["J40217"]},
            {"device": "RECORDS1", "people": ["P50110"]},
        ]
        assert (await dispatch.control("notice"))["text"] == "PRINTER DOWN UNTIL 0600"

    await asyncio.to_thread(journal_says_who_did_what, site, first, held, edited["msn"])


def journal_says_who_did_what(site: Site, moved: int, held: int, edited: int) -> None:
    """The lives of the messages, and the orders, stand in the journal; nothing of the texts in the log."""
    life = [(event["event"], event["destination"]) for event in message(site, moved)["events"]]
    assert ("forwarded", "device:PRINTER1") in life
    assert life[-1] == ("acknowledged", "device:RECORDS1")
    detail = [event["detail"] for event in message(site, moved)["events"] if event["event"] == "forwarded"]
    assert detail == [f"to device:RECORDS1; by admin: {WHY}"]
    assert message(site, edited)["transaction"] == held
    assert message(site, held)["text"].endswith("NORTH GATE")
    # Of each kind the newest: what other tests have ordered lies before.
    newest_first = site.audit("--event", "switching", "--user", "admin")
    events = {event["event"]: event for event in reversed(newest_first)}
    orders = ("queue_move", "queue_delete", "intercept_set", "intercept_edit", "intercept_release", "notice_send")
    assert {events[f"switching.{verb}"]["reason"] for verb in orders} == {WHY}
    assert "SOUTH GATE" in events["switching.intercept_edit"]["detail"]
    output = "".join(process.output for process in site.processes)
    assert "switching.intercept_edit" in output
    assert not any(words in output for words in ("GATE", "0600", WHY))


def message(site: Site, msn: int) -> dict[str, Any]:
    (found,) = site.journal("--msn", str(msn))
    return found


def test_who_only_looks_may_not_order_and_who_gives_no_reason_is_told(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MSC_OPERATOR", "auditor")
    assert "clets-a" in command(site, "line", "status").stdout
    assert "RECORDS1" in command(site, "device", "status").stdout
    refused = command(site, "line", "hold", "clets-a")
    assert (refused.returncode, refused.stderr) == (1, "msc: switching.order is not for an auditor\n")
    monkeypatch.setenv("MSC_OPERATOR", "admin")
    monkeypatch.delenv("MSC_REASON")
    refused = command(site, "line", "hold", "clets-a")
    assert (refused.returncode, "say why" in refused.stderr) == (2, True)


def test_what_the_commands_say_to_people(site: Site) -> None:
    said = {
        ("line", "hold", "clets-a"): "clets-a held; it is ",
        ("line", "status", "clets-a"): "held",
        ("line", "release", "clets-a"): "clets-a released; it is ",
        ("line", "restart", "clets-a"): "clets-a is being connected anew",
        ("device", "hold", "PRINTER1"): "PRINTER1 held",
        ("device", "status", "PRINTER1"): "not connected",
        ("device", "release", "PRINTER1"): "PRINTER1 released",
        (
            "alternate",
            "set",
            "device:PRINTER1",
            "device:DISPATCH1",
        ): "device:DISPATCH1 takes over for device:PRINTER1",
        ("alternate", "list"): "device:DISPATCH1",
        ("alternate", "clear", "device:PRINTER1"): "nobody takes over for device:PRINTER1 any more",
        ("intercept", "set", "w", "--key", "IW.*", "--field", "LIC=7*"): "w in force: keys IW.*; LIC 7*",
        ("intercept", "list"): "keys IW.*; LIC 7*",
        ("intercept", "clear", "w"): "w is no more; 0 still wait",
        ("hitconf", "list"): "no hit confirmation is open",
        ("queue", "list", "line:clets-a"): "nothing waits",
    }
    for words, expected in said.items():
        done = command(site, *words)
        assert done.returncode == 0, done.stderr
        assert expected in done.stdout, words


@pytest.mark.requirement("L-BULLETIN")
async def test_a_bulletin_is_posted_listed_and_withdrawn(site: Site) -> None:
    (posted,) = await told(site, "bulletin", "post", "BOLO WHITE VAN")
    assert [row["number"] for row in await told(site, "bulletin", "list")] == [posted["number"]]
    await told(site, "bulletin", "withdraw", str(posted["number"]))
    assert await told(site, "bulletin", "list") == []
    refused = await asyncio.to_thread(command, site, "bulletin", "withdraw", str(posted["number"]))
    assert refused.returncode == 1


@pytest.mark.parametrize(
    ("words", "code", "why"),
    [
        (("line", "test", "clets-a"), 1, "clets-a is "),
        (("line", "hold", "nope"), 1, "there is no line nope"),
        (("device", "restart", "PRINTER1"), 1, "PRINTER1 is not connected"),
        (("queue", "show", "999999"), 1, "999999 waits nowhere"),
        (("queue", "show", "first"), 2, "'first' is not a number of a message"),
        (("queue", "move", "1", "--from", "PRINTER1", "--to", "line:a"), 1, "from: must be line:NAME"),
        (("queue", "move", "--from", "line:a", "--to", "line:b"), 2, "or say --all"),
        (("queue", "delete", "1", "--all", "--from", "line:a"), 2, "or say --all"),
        (("queue", "delete", "1", "--from", "device:PRINTER1"), 1, ""),
        (("queue", "requeue", "--isn", "7"), 1, "say from"),
        (("queue", "requeue", "1", "2"), 2, "one message at a time"),
        (("queue", "copy", "1", "--to", "operator:intercept"), 1, "to: must be"),
        (("queue", "reprioritise", "1", "--at", "line:clets-a", "--to", "soon"), 1, "to: must be one of urgent"),
        (("intercept", "set", "w"), 2, "say what to hold"),
        (("intercept", "set", "w", "--field", "LIC"), 2, "is not CODE=VALUE"),
        (("intercept", "edit", "999999", "--text", "AM"), 1, "999999 is not held"),
        (("alternate", "set", "device:PRINTER1", "device:MOBILE1"), 1, "neither a printer nor staffed"),
        (("notice", "send", "HELLO"), 2, "say to whom"),
        (("notice", "send", "HELLO", "--to", "DISPATCH1"), 1, ""),
        (("bulletin", "post", "HELLO", "--until", "yesterday"), 2, "that is over"),
        (("line", "hold"), 2, "give the line's name"),
    ],
)
def test_what_cannot_be_done_is_told(site: Site, words: tuple[str, ...], code: int, why: str) -> None:
    done = command(site, *words)
    assert done.returncode == code, done.stdout + done.stderr
    assert why in done.stderr


async def test_a_terminal_that_is_restarted_is_told_and_comes_back(site: Site) -> None:
    async with site.station("RECORDS1") as records:
        await records.sign_on("P50110", site.user("P50110")["password"])
        (status,) = await told(site, "device", "status", "RECORDS1")
        assert (status["state"], status["people"]) == ("active", ["P50110"])
        assert await told(site, "device", "restart", "RECORDS1") == [{"device": "RECORDS1", "ended": 1}]
        assert (await records.control("signed_off"))["reason"] == "restarted by an operator"
        await records.ended()
    async with site.signed_on("RECORDS1", "P50110"):
        pass


async def test_what_is_held_outlives_a_switch_that_is_killed(site: Site) -> None:
    await told(site, "device", "hold", "RECORDS1")
    await told(site, "intercept", "set", "watch", "--destination", "EXPR")
    async with site.signed_on("DISPATCH1") as dispatch:
        held = await dispatch.send(LETTER.format("EXPR", "HELD OVER A CRASH"))
        await hears(dispatch, HELD)
    site.processes[-1].kill()
    done = await asyncio.to_thread(command, site, "check", alone=True)
    assert "device:RECORDS1: is held, says admin" in done.stderr
    assert "intercept watch: holds messages, says admin" in done.stderr
    assert (await asyncio.to_thread(command, site, "line", "status")).returncode == 3
    await asyncio.to_thread(site.serve)
    (status,) = await told(site, "device", "status", "RECORDS1")
    assert status["held"]
    *_, row = await told(site, "intercept", "list")
    assert row["message"]["msn"] == held
    async with site.station("PRINTER1") as printer:
        await printer.open()
        await told(site, "intercept", "release", "--all")
        assert (await printer.receive(unasked)).text.endswith("HELD OVER A CRASH")
        await asyncio.to_thread(ended, site, held)
    # The next test finds the site as this one did.
    await told(site, "device", "release", "RECORDS1")
    await told(site, "intercept", "clear", "watch")


def ended(site: Site, msn: int) -> None:
    """Wait until the journal says that a message was acknowledged."""
    eventually(lambda: message(site, msn)["events"][-1]["event"] == "acknowledged", what="an acknowledgement")


def test_a_switch_does_not_start_with_orders_it_cannot_read(tmp_path: Path) -> None:
    made = Site.make(tmp_path / "site")
    (made.folder / "data" / "orders.json").write_text('{"version": 1, "holds": [')
    done = command(made, "serve", alone=True)
    assert done.returncode == 2
    assert "orders.json: is not JSON; mend it, or put it aside" in done.stderr
    assert command(made, "check", alone=True).returncode == 1
