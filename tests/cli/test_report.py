"""Reports, the review of misuse and the explaining of a refusal, from the command line."""

from __future__ import annotations

import asyncio
import csv
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from msc import clock
from msc.clock import rfc3339
from msc.directory.store import DirectoryStore, Lease
from tests.support.command import call_msc
from tests.support.site import Site

NOW = clock.wall_us()
REPORTS = {
    "mnemonics": "EXA1",
    "locations": "DISPATCH1",
    "idle-mnemonics": "EXPR",
    "accounts": "J40217",
    "certifications": "J40217",
    "leases": "EXM1",
}


@asynccontextmanager
async def opened(site: Site) -> AsyncIterator[DirectoryStore]:
    store = DirectoryStore(f"sqlite+aiosqlite:///{site.folder / 'data' / 'directory.db'}")
    await store.open()
    yield store
    await store.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A demo site that does not run: an idle mnemonic, an overdue training, two leases."""
    site = Site.make(tmp_path_factory.mktemp("reports") / "site")
    long_ago = (clock.today() - timedelta(days=200)).isoformat()
    site.directory("UPDATE mnemonic SET programmed = ? WHERE mnemonic = 'EXPR'", long_ago)
    site.directory("UPDATE user SET certified = '2020-01-01', reviewed = '2020-01-01' WHERE user = 'P50110'")

    async def fill() -> None:
        async with opened(site) as store:
            await store.update_account(
                "J40217", {}, lease=Lease("s1", "PATROL", "EXM1", "J40217", "MOBILE1", NOW - 9)
            )
            await store.end_lease("s1", NOW, "signed off")
            await store.update_account("D10002", {}, lease=Lease("s2", "PATROL", "EXM2", "D10002", "MOBILE2", NOW))

    asyncio.run(fill())
    return site


def rows(site: Site, *args: str) -> list[dict[str, Any]]:
    done = call_msc(args[0], args[1], site.toml, *args[2:], "--json")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


# --- reports ------------------------------------------------------------------------------------------


@pytest.mark.requirement("C-DBAUTH", "C-WHERE", "C-NINE", "N-IDLE", "C-TRAIN", "C-POOL")
@pytest.mark.parametrize("report", REPORTS)
def test_a_report_is_a_table_json_or_csv_of_the_same_rows(site: Site, report: str) -> None:
    table = call_msc("report", report, site.toml)
    assert table.returncode == 0 and REPORTS[report] in table.stdout
    as_json = rows(site, "report", report)
    done = call_msc("report", report, site.toml, "--csv")
    as_csv = list(csv.DictReader(done.stdout.splitlines()))
    assert len(as_json) == len(as_csv) == len([r for r in as_csv if r]) > 0
    assert [[*row] for row in as_json] == [[*row] for row in as_csv]
    for one, other in zip(as_json, as_csv, strict=True):
        assert {name: value for name, value in other.items() if isinstance(one[name], str)} == {
            name: value for name, value in one.items() if isinstance(value, str)
        }


@pytest.mark.parametrize(
    ("args", "key", "found"),
    [
        (["mnemonics", "--agency", "EXPD"], "mnemonic", ["EXA2"]),
        (["locations", "--agency", "EXPD"], "device", ["RECORDS1"]),
        (["idle-mnemonics"], "mnemonic", ["EXPR"]),
        (["idle-mnemonics", "--due-within", "89"], "mnemonic", []),
        (["idle-mnemonics", "--due-within", "90"], "mnemonic", ["EXPR"]),
        (["accounts", "--overdue"], "user", ["P50110"]),
        (["accounts", "--agency", "EXPD", "--due-within", "365"], "user", ["P50110", "R60045"]),
        (["certifications", "--overdue"], "user", ["P50110"]),
        (["certifications", "--due-within", "30", "--agency", "EXPD"], "user", ["P50110"]),
        (["leases"], "mnemonic", ["EXM2", "EXM1"]),
        (["leases", "--limit", "1"], "mnemonic", ["EXM2"]),
        (["leases", "--user", "J40217", "--pool", "PATROL"], "mnemonic", ["EXM1"]),
        (["leases", "--device", "MOBILE2", "--mnemonic", "EXM1"], "mnemonic", []),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value,
)
def test_a_report_is_narrowed_by_its_options(site: Site, args: list[str], key: str, found: list[str]) -> None:
    assert [row[key] for row in rows(site, "report", *args)] == found


@pytest.mark.requirement("C-POOL")
def test_the_leases_say_when_they_began_and_how_they_ended(site: Site) -> None:
    held, ended = rows(site, "report", "leases")
    assert (held["began"], held["ended"], held["end_reason"]) == (rfc3339(NOW), None, None)
    assert (ended["began"], ended["ended"], ended["end_reason"]) == (rfc3339(NOW - 9), rfc3339(NOW), "signed off")


def test_no_report_prints_a_secret(site: Site) -> None:
    printed = "".join(call_msc("report", report, site.toml, "--json").stdout for report in REPORTS)
    assert "argon2" not in printed
    assert not [u for u in site.demo["users"] if u["otp_secret"] and u["otp_secret"] in printed]


def test_a_report_without_rows_says_so_and_is_no_failure(site: Site) -> None:
    done = call_msc("report", "leases", site.toml, "--user", "NOBODY")
    assert (done.returncode, done.stdout) == (0, "") and "nothing" in done.stderr


@pytest.mark.parametrize(
    "args",
    [
        ["report", "accounts", "--agency", "NONE"],
        ["report", "accounts", "--json", "--csv"],
        ["report", "accounts", "--due-within", "-1"],
        ["report", "leases", "--limit", "0"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_told_and_returns_2(site: Site, args: list[str]) -> None:
    done = call_msc(*args[:2], site.toml, *args[2:])
    assert done.returncode == 2 and done.stderr


# --- explain ------------------------------------------------------------------------------------------


def explained(site: Site, *args: str) -> tuple[int, dict[str, Any]]:
    done = call_msc("acp", "explain", site.toml, *args, "--json")
    return done.returncode, json.loads(done.stdout)


@pytest.mark.requirement("C-DBAUTH", "C-UID")
def test_what_is_allowed_names_who_authorised_it(site: Site) -> None:
    code, said = explained(site, "--user", "J40217", "--device", "MOBILE1", "--key", "IW.QW")
    assert (code, said["allowed"], said["code"], said["mnemonic"]) == (0, True, None, "EXM1")
    assert not [rule for rule in said["rules"] if rule["objection"]]
    assert said["authorised_by"] == [
        "user J40217: Agency coordinator of the demo",
        "mnemonic EXM1: DEMO-STATE-0001",
        "pool PATROL: DEMO-APPROVAL-0001",
    ]


@pytest.mark.requirement("C-DBAUTH", "C-ACHS", "C-CORI")
def test_what_is_refused_names_every_rule_against_it_and_the_code_that_counts(site: Site) -> None:
    asked = ("--user", "J40217", "--device", "MOBILE1", "--key", "IH.QH", "--mnemonic", "EXM2")
    code, said = explained(site, *asked, "--purpose", "X")
    assert (code, said["code"], said["mnemonic"]) == (1, "E302", "EXM2")
    assert [rule["code"] for rule in said["rules"] if rule["objection"]] == ["E302", "E303", "E304"]
    code, said = explained(site, *asked, "--purpose", "C", "--requester", "DET ROE")
    assert [rule["code"] for rule in said["rules"] if rule["objection"]] == ["E302"]
    done = call_msc("acp", "explain", site.toml, *asked)
    assert done.returncode == 1 and "refused with E302" in done.stdout and "C-ACHS" in done.stdout


@pytest.mark.requirement("C-TRAIN")
def test_without_a_key_signing_on_is_asked_about_on_a_day(site: Site) -> None:
    code, said = explained(site, "--user", "P50110", "--device", "RECORDS1")
    assert (code, said["code"], said["mnemonic"]) == (1, "E109", "EXA2")
    assert {rule["code"] for rule in said["rules"]} == {"E104", "E105", "E109", "E110"}
    code, said = explained(site, "--user", "J40217", "--device", "MOBILE1", "--on", "2099-01-01")
    assert (code, said["on"], said["mnemonic"]) == (1, "2099-01-01", None)


def test_a_key_that_no_route_takes_is_refused(site: Site, tmp_path: Path) -> None:
    routes = site.folder / "routes.toml"
    before = routes.read_text()
    site.edit("routes.toml", (r'^\[\[route\]\]\nname = "everything else.*\Z', ""))
    try:
        code, said = explained(site, "--user", "J40217", "--device", "DISPATCH1", "--key", "IV.4")
    finally:
        routes.write_text(before)
    assert (code, said["code"]) == (1, "E305")


@pytest.mark.parametrize(
    "args",
    [
        ["--device", "DISPATCH1", "--user", "NOBODY"],
        ["--user", "J40217", "--device", "NOWHERE"],
        ["--user", "J40217", "--device", "DISPATCH1", "--key", "ZZ.ZZ"],
        ["--user", "J40217", "--device", "DISPATCH1", "--mnemonic", "EXA2"],
        ["--user", "J40217", "--device", "DISPATCH1", "--on", "soon"],
    ],
    ids=" ".join,
)
def test_what_is_not_there_cannot_be_explained(site: Site, args: list[str]) -> None:
    done = call_msc("acp", "explain", site.toml, *args)
    assert (done.returncode, done.stdout) == (2, "")
    assert args[-1] in done.stderr and len(done.stderr.splitlines()) == 1


# --- the review of misuse -------------------------------------------------------------------------------


@pytest.fixture
def flagged(tmp_path: Path) -> Site:
    """A demo site with two flags."""
    site = Site.make(tmp_path / "site")

    async def fill() -> None:
        async with opened(site) as store:
            await store.flag_misuse(
                [(NOW, 17, "J40217", "EXSO", "own_name"), (NOW + 1, 18, "P50110", "EXPD", "volume")]
            )

    asyncio.run(fill())
    return site


@pytest.mark.requirement("C-SELF")
def test_a_flag_is_listed_until_somebody_closes_it(flagged: Site) -> None:
    assert [row["flag"] for row in rows(flagged, "misuse", "list")] == [1, 2]
    assert [row["msn"] for row in rows(flagged, "misuse", "list", "--user", "P50110")] == [18]
    done = call_msc("misuse", "show", flagged.toml, "1")
    assert done.returncode == 0 and "own_name" in done.stdout
    assert f"msc journal show {flagged.toml} 17" in done.stdout
    asked = ("misuse", "close", flagged.toml, "1", "--outcome", "TRAINING EXAMPLE", "--as", "Capt. Roe")
    assert call_msc(*asked).returncode == 0
    assert call_msc(*asked).returncode == 1  # closed once
    assert [row["flag"] for row in rows(flagged, "misuse", "list")] == [2]
    closed, _ = rows(flagged, "misuse", "list", "--all")
    assert (closed["closed_by"], closed["outcome"], closed["at"]) == ("Capt. Roe", "TRAINING EXAMPLE", rfc3339(NOW))
    assert closed["closed"] > closed["at"]


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (["show", "3"], 1),
        (["show", "x"], 2),
        (["close", "3", "--outcome", "none"], 1),
        (["close", "1"], 2),
        (["close", "1", "--outcome", " "], 2),
    ],
    ids=str,
)
def test_what_cannot_be_reviewed_is_told(site: Site, args: list[str], code: int) -> None:
    done = call_msc("misuse", args[0], site.toml, *args[1:])
    assert done.returncode == code and done.stderr


def test_an_empty_review_list_is_no_failure(site: Site) -> None:
    done = call_msc("misuse", "list", site.toml)
    assert (done.returncode, done.stdout) == (0, "")
