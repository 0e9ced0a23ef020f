"""Messages sent and looked up from the command line, against a running site."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from tests.support.mtp_client import totp
from tests.support.site import Site, run_msc

NAMES = {
    "msn", "received", "direction", "kind", "device", "line", "user", "agency", "ori", "mnemonic", "header", "oif",
    "taf", "key", "text", "transaction", "events",
}  # fmt: skip
HIT = "IW.QW.CA0990000.NAM/SPECIMEN,WANTED"
PLATE = "IV.4.CA0990000.LIC/1CLI00"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A demo site with everything running, and one inquiry in its journal."""
    site = Site.make(tmp_path_factory.mktemp("send") / "site")
    try:
        site.quick_lines()
        site.serve()
        site.simulate()
        site.wait_lines()
        done = run_msc("send", site.toml, "--device", "DISPATCH1", "--user", "J40217", HIT)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "clets-a" in done.stdout and "ncic-a" in done.stdout
        yield site
    finally:
        site.stop()
    for process in site.processes:
        assert "Traceback" not in process.output, process.output


def test_an_answered_message_returns_0_and_json_is_one_object_a_line(running: Site) -> None:
    done = run_msc("send", running.toml, "--device", "DISPATCH1", "--user", "J40217", "--json", PLATE)
    assert done.returncode == 0
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) == 2 and rows[1]["kind"] == "response"


def test_a_pooled_terminal_and_a_one_time_code_serve(running: Site) -> None:
    assert run_msc("send", running.toml, "--device", "MOBILE1", "--user", "D10002", PLATE).returncode == 0
    row = running.user("R60045")
    args = ["send", running.toml, "--device", "RECORDS1", "--user", "R60045", "IV.4.CA0990100.LIC/1CLI01"]
    assert run_msc(*args, "--otp", totp(row["otp_secret"])).returncode == 0


@pytest.mark.parametrize(
    ("args", "text", "code"),
    [
        (["--device", "DISPATCH1", "--user", "J40217"], "ZZ.ZZ.CA0990000.NAM/DOE,JOHN", "E205"),
        (["--device", "DISPATCH1", "--user", "J40217", "--password", "wrong"], PLATE, "E101"),
    ],
)
def test_a_refused_message_returns_1_and_tells_the_code(running: Site, args: list[str], text: str, code: str) -> None:
    done = run_msc("send", running.toml, *args, text)
    assert done.returncode == 1
    assert code in done.stdout + done.stderr


@pytest.mark.parametrize(
    "args",
    [
        ["--device", "NOSUCH", "--user", "J40217", PLATE],
        ["--device", "DISPATCH1", PLATE],
    ],
)
def test_wrong_usage_returns_2(running: Site, args: list[str]) -> None:
    done = run_msc("send", running.toml, *args)
    assert done.returncode == 2, done.stdout + done.stderr


def test_without_a_switch_send_returns_3(tmp_path_factory: pytest.TempPathFactory) -> None:
    site = Site.make(tmp_path_factory.mktemp("asleep") / "site")
    done = run_msc("send", site.toml, "--device", "DISPATCH1", "--user", "J40217", PLATE)
    assert done.returncode == 3, done.stdout + done.stderr
    assert site.journal() == []


@pytest.mark.requirement("C-JOURNAL")
def test_a_search_gives_the_promised_names_newest_first(running: Site) -> None:
    rows = running.journal()
    assert len(rows) >= 3
    msns = [row["msn"] for row in rows]
    assert msns == sorted(msns, reverse=True)
    for row in rows:
        assert set(row) >= NAMES, NAMES - set(row)
        assert isinstance(row["msn"], int) and row["events"]
        for event in row["events"]:
            assert set(event) >= {"at", "event", "destination", "detail"}
    first = rows[-1]
    assert first["text"] == HIT and first["transaction"] == first["msn"]
    assert (first["oif"], first["user"], first["agency"], first["ori"]) == ("J40217", "J40217", "EXSO", "CA0990000")
    assert re.fullmatch(r"EXA1[A-Z0-9]{6}", first["header"]) and re.fullmatch(r"[A-Z0-9]{6,18}", first["taf"])
    answers = [row for row in rows if row["transaction"] == first["msn"] and row["direction"] == "inbound"]
    assert {row["line"] for row in answers} == {"clets-a", "ncic-a"}


@pytest.mark.requirement("C-JOURNAL")
@pytest.mark.parametrize(
    "args",
    [
        ["--text", "SPECIMEN,WANTED", "--direction", "outbound"],
        ["--user", "J40217", "--mnemonic", "EXA1", "--kind", "inquiry", "--key", "IW.QW", "--device", "DISPATCH1"],
    ],
)
def test_a_search_finds_by_what_it_is_given(running: Site, args: list[str]) -> None:
    rows = running.journal(*args)
    assert HIT in [row["text"] for row in rows]
    for row in rows:
        assert (row["direction"], row["mnemonic"], row["key"]) == ("outbound", "EXA1", "QW")


def test_what_matches_nothing_is_not_found(running: Site) -> None:
    done = running.ask("journal", "search", "--json", "--text", "NOBODY ASKED THIS' OR 1=1")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")


def test_show_tells_the_life_of_a_transaction(running: Site) -> None:
    inquiry = running.journal("--text", "SPECIMEN,WANTED", "--direction", "outbound")[-1]
    done = running.ask("journal", "show", str(inquiry["msn"]))
    assert done.returncode == 0
    for word in (HIT, "J40217", "clets-a", "ncic-a", inquiry["header"]):
        assert word in done.stdout, word
    done = running.ask("journal", "show", str(inquiry["msn"]), "--json")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0 and {row["transaction"] for row in rows} == {inquiry["msn"]} and len(rows) == 3
    assert running.ask("journal", "show", "999999").returncode == 1


def test_site_operator_and_reason_may_come_from_the_environment(running: Site) -> None:
    env = {"MSC_CONFIG": str(running.toml), "MSC_OPERATOR": "admin", "MSC_REASON": "a test"}
    assert run_msc("send", "--device", "DISPATCH1", "--user", "J40217", PLATE, **env).returncode == 0
    found = run_msc("journal", "search", "--json", **env)
    assert found.returncode == 0 and found.stdout
    msn = json.loads(found.stdout.splitlines()[0])["msn"]
    assert run_msc("journal", "show", str(msn), **env).returncode == 0


@pytest.mark.parametrize("wanted", ["hit", "no_hit", "refused"])
def test_the_examples_of_demo_json_come_true(running: Site, wanted: str) -> None:
    """One of each kind, as an operator would type it."""
    rows = [row for row in running.demo["examples"] if row["expect"] == wanted]
    assert rows, f"no example of {wanted}"
    for row in rows[:1]:
        device, user = row.get("device", "DISPATCH1"), row.get("user", "J40217")
        more = ["--requester", row["requester"]] if row.get("requester") else []
        done = run_msc("send", running.toml, "--device", device, "--user", user, *more, row["text"])
        assert done.returncode == (1 if wanted == "refused" else 0), (row, done.stdout, done.stderr)
        if wanted == "refused":
            assert row["code"] in done.stdout + done.stderr
