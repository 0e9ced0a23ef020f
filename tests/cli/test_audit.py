"""The audit stream searched from the command line."""

from __future__ import annotations

import asyncio
import csv
import json
import re

import pytest

from msc.clock import rfc3339, wall_us
from msc.journal.record import AuditRecord
from msc.transit.message import MessageRecord
from tests.support.journal import enter
from tests.support.site import Site

NOW = wall_us()
DAY = 86_400_000_000
STREAM = [
    AuditRecord(NOW - 3 * DAY, "switch.started", detail="0.1.0"),
    AuditRecord(NOW - DAY, "sign_on.refused", "DISPATCH1", "J40217", source="10.0.0.23", code="E101", detail="wrong"),
    AuditRecord(
        NOW - 60_000_000, "sign_on.granted", "DISPATCH1", "J40217", "EXD1", "10.0.0.23", "s1", agency="EXSO"
    ),
    AuditRecord(
        NOW - 30_000_000, "account.released", "DISPATCH1", "J40217", session="s1", subject="user P50110",
        reason='CALLED, "SGT [/DOE]"\x1b[2J',
    ),
]  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A demo site that does not run, with a few audit events."""
    site = Site.make(tmp_path_factory.mktemp("audit") / "site")
    message = MessageRecord(1, NOW, "local", "administrative", text="SEE [/b] \x1b[2J", transaction=1)
    asyncio.run(enter(f"sqlite+aiosqlite:///{site.folder / 'data' / 'journal.db'}", *STREAM, message))
    return site


def events(done: str) -> list[str]:
    return [json.loads(line)["event"] for line in done.splitlines()]


@pytest.mark.requirement("F-AUDIT", "C-ACPLOG")
def test_a_table_shows_who_did_what_to_whom_and_why(site: Site) -> None:
    done = site.ask("audit", "search")
    assert done.returncode == 0, done.stderr
    names, *rows, completeness = done.stdout.splitlines()
    assert names.split()[:2] == ["time", "(UTC)"]
    assert [re.split(r"\s{2,}", row)[1] for row in rows] == [record.event for record in STREAM[::-1]]
    for text in ("J40217", "user P50110", "DISPATCH1", 'CALLED, "SGT [/DOE]"'):
        assert text in rows[0]
    assert "E101" in rows[2] and "10.0.0.23" in rows[2]
    assert "month" in completeness
    assert "\x1b" not in done.stdout


@pytest.mark.requirement("F-AUDIT")
def test_json_and_csv_hold_every_member(site: Site) -> None:
    wanted = [record._asdict() | {"at": rfc3339(record.at), "seq": seq} for seq, record in enumerate(STREAM, start=1)]
    done = site.ask("audit", "search", "--json", "--oldest-first")
    assert [json.loads(line) for line in done.stdout.splitlines()] == wanted
    done = site.ask("audit", "search", "--csv", "--oldest-first")
    rows = list(csv.DictReader(done.stdout.splitlines(keepends=True)))
    assert rows == [{name: str(value or "") for name, value in row.items()} for row in wanted]


@pytest.mark.parametrize(
    ("args", "found"),
    [
        (["--since", "2 days ago", "--event", "sign_on"], ["sign_on.granted", "sign_on.refused"]),
        (["--until", "1h", "--limit", "1", "--oldest-first"], ["switch.started"]),
        (["--refused", "--source", "10.0.0.23", "--code", "E101", "--device", "DISPATCH1"], ["sign_on.refused"]),
        (["--mnemonic", "EXD1", "--session", "s1", "--user", "J40217", "--agency", "EXSO"], ["sign_on.granted"]),
        (["--subject", "P50110", "--text", "CALLED", "--text", "DOE"], ["account.released"]),
        (["--limit", "1"], ["account.released"]),
    ],
    ids=" ".join,
)
def test_filters_go_together(site: Site, args: list[str], found: list[str]) -> None:
    assert events(site.ask("audit", "search", "--json", *args).stdout) == found


@pytest.mark.parametrize("form", [[], ["--json"], ["--csv"]], ids=repr)
def test_nothing_found_returns_1(site: Site, form: list[str]) -> None:
    assert site.ask("audit", "search", "--event", "nothing.such", *form).returncode == 1


@pytest.mark.parametrize("args", [["--since", "soon"], ["--json", "--csv"], ["--limit", "0"]], ids=" ".join)
def test_wrong_usage_is_told_and_returns_2(site: Site, args: list[str]) -> None:
    done = site.ask("audit", "search", *args)
    assert done.returncode == 2 and args[0] in done.stderr


def test_journal_search_reads_the_same_times_and_takes_no_text_for_markup(site: Site) -> None:
    done = site.ask("journal", "search", "--since", "1h")
    assert done.returncode == 0 and "SEE [/b]" in done.stdout and "\x1b" not in done.stdout
    assert site.ask("journal", "search", "--until", "yesterday").returncode == 1
