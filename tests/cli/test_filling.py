"""`msc journal fill`, and what it refuses."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from msc.journal.database.opening import open_reading, open_writing
from msc.journal.proof.checkpoint import load_signatories, load_signer
from msc.journal.proof.finding import Severity
from msc.journal.proof.verification import verify
from msc.journal.record import AuditRecord
from msc.lab.demo.site import make_demo
from msc.lab.filling.fill import Filling, begin
from msc.lock import lock_site
from msc.settings import Settings, load_settings
from tests.support.command import call_msc


@pytest.fixture
def site(tmp_path: Path) -> Settings:
    """A demo site whose journal is new."""
    asyncio.run(make_demo(tmp_path / "site"))
    return load_settings(tmp_path / "site" / "msc.toml")


def fill(site: Settings, *options: str) -> tuple[int, str]:
    done = call_msc("journal", "fill", site.file, "--records", "3000", "--years", "0.1", *options)
    return done.returncode, done.stdout + done.stderr


def test_a_new_journal_is_filled_and_verifies(site: Settings) -> None:
    code, said = fill(site, "--until", "2026-06-01")
    assert code == 0
    assert "3000 records, " in said

    async def look() -> tuple[int, list[str]]:
        reading = open_reading(site.database_url(site.journal))
        report = await verify(reading, load_signatories(site.path(site.journal.public_key)))
        await reading.close()
        return report.records, [f.text for f in report.findings if f.severity is Severity.FAULT]

    assert asyncio.run(look()) == (3000, [])


def test_an_older_filling_is_gone_on_from_and_a_later_one_is_not(site: Settings) -> None:
    assert fill(site, "--until", "2026-06-01")[0] == 0
    code, said = fill(site, "--until", "2026-06-02")
    assert code == 1
    assert "records can only be added at the end" in said
    assert fill(site, "--until", "2026-09-01", "--seed", "2")[0] == 0


def test_a_journal_that_a_switch_writes_is_not_filled(site: Settings) -> None:
    with lock_site(site):
        code, said = fill(site)
    assert code == 2
    assert "a switch is running on this site" in said


def test_a_journal_with_real_records_is_not_filled(site: Settings) -> None:
    async def start() -> None:
        url = site.database_url(site.journal)
        writing, reading = open_writing(url), open_reading(url)
        ledger, _ = await begin(writing, reading, load_signer(site.path(site.journal.signing_key)))
        await Filling(writing, ledger).enter([AuditRecord(1_700_000_000_000_000, "switch.started")])
        await reading.close()
        await writing.close()

    asyncio.run(start())
    code, said = fill(site)
    assert code == 1
    assert "synthetic ones must not stand among them" in said


def test_too_few_records_are_a_wrong_argument(site: Settings) -> None:
    assert call_msc("journal", "fill", site.file, "--records", "10").returncode == 2
