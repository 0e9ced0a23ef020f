"""Backup and restore from the command line: keys, a file, a second site, and everything that may be given wrong."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from msc.cli.journal_backup import backup, backup_key, restore
from msc.errors import MSCError
from msc.journal.proof.checkpoint import make_signing_key
from msc.lock import lock_site
from msc.settings import load_settings
from tests.support.both_ends import BothEnds
from tests.support.journal_builder import JournalBuilder
from tests.support.site import Site

app = typer.Typer()
app.command()(backup)
app.command()(restore)
app.command()(backup_key)


def call(*arguments: str | Path, **env: str) -> Result:
    return CliRunner().invoke(app, [str(each) for each in arguments], env={"MSC_CONFIG": "", **env})


@pytest.fixture
async def site(tmp_path: Path) -> Path:
    """A site whose journal holds something, and that has a key for backups."""
    site = Site.make(tmp_path / "site").toml
    settings = load_settings(site)
    journal = settings.journal
    private, public = settings.path(journal.signing_key), settings.path(journal.public_key)
    for file in (private, public):
        file.unlink(missing_ok=True)
    database = BothEnds(settings.database_url(journal))
    await database.open()
    builder = JournalBuilder(database, signer=make_signing_key(private, public))
    await builder.fill("2026-02-20", days=30, per_day=5)
    await builder.archive(keep=20)
    await database.close()
    return site


def test_where_the_site_is_named_by_its_variable_a_key_can_be_made(site: Path, tmp_path: Path) -> None:
    done = call("backup-key", tmp_path / "own.key", "--no-passphrase", MSC_CONFIG=str(site))
    assert done.exit_code == 0 and (tmp_path / "own.key").is_file()


@pytest.fixture
def backed_up(site: Path, tmp_path: Path) -> Path:
    assert call("backup-key", site, tmp_path / "backup.key", "--no-passphrase").exit_code == 0
    done = call("backup", site, tmp_path / "b", "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.output)
    assert told["bytes"] == (tmp_path / "b").stat().st_size
    assert (told["records"], told["msn"]) == (told["seq"], 300)
    return tmp_path / "b"


def other_site(site: Path, to: Path) -> Path:
    """Copy a site without its journal, as from the backup of the site's folder."""
    shutil.copytree(site.parent, to, ignore=shutil.ignore_patterns("journal*.db*", "journal"))
    assert not load_settings(to / "msc.toml").database(load_settings(to / "msc.toml").journal).exists()
    return to / "msc.toml"


@pytest.mark.requirement("F-BACKUP")
def test_a_backup_is_restored_in_a_second_folder_and_verifies(site: Path, backed_up: Path, tmp_path: Path) -> None:
    other = other_site(site, tmp_path / "other")
    arguments: list[Any] = ["restore", other, backed_up, "--key", tmp_path / "backup.key"]
    done = call(*arguments, "--reason", "drill", "--as", "chief", "--skip-msn", "0")
    assert done.exit_code == 0, done.output
    assert "the next MSN is 301" in done.output
    assert "verified: " in done.output and "no fault" in done.output
    again = call(*arguments, "--reason", "drill")
    assert isinstance(again.exception, MSCError) and "already" in str(again.exception)


@pytest.mark.requirement("F-BACKUP")
def test_a_restore_says_what_it_did_as_json(site: Path, backed_up: Path, tmp_path: Path) -> None:
    other = other_site(site, tmp_path / "other")
    done = call(
        "restore", other, backed_up, "--key", tmp_path / "backup.key", "--json", MSC_REASON="drill", MSC_OPERATOR="x"
    )
    told = json.loads(done.output)
    assert (told["verified"], told["faults"], told["msn"]) == (True, [], 300)
    assert told["next_msn"] > 1_000_300


@pytest.mark.requirement("F-BACKUP", "F-AUPROT")
def test_a_journal_signed_by_nobody_the_site_knows_does_not_verify(
    site: Path, backed_up: Path, tmp_path: Path
) -> None:
    other = other_site(site, tmp_path / "other")
    for name in ("journal.key", "journal.pub"):
        (other.parent / "certs" / name).unlink()
    done = call("restore", other, backed_up, "--key", tmp_path / "backup.key", "--reason", "drill")
    assert done.exit_code == 1
    assert "fault:" in done.output


@pytest.mark.requirement("F-BACKUP")
def test_nothing_is_restored_while_a_switch_runs(site: Path, backed_up: Path, tmp_path: Path) -> None:
    with lock_site(load_settings(site)):
        done = call("restore", site, backed_up, "--key", tmp_path / "backup.key", "--reason", "drill")
    assert isinstance(done.exception, MSCError) and "stop it first" in str(done.exception)


@pytest.mark.requirement("F-BACKUP")
def test_the_private_key_is_encrypted_with_a_passphrase(site: Path, tmp_path: Path) -> None:
    (tmp_path / "phrase").write_text("correct horse\n")
    private = tmp_path / "backup.key"
    assert call("backup-key", site, private).exit_code == 2  # nobody there to type one
    phrase = {"MSC_BACKUP_PASSPHRASE_FILE": str(tmp_path / "phrase")}
    assert call("backup-key", site, private, **phrase).exit_code == 0
    assert b"ENCRYPTED" in private.read_bytes()
    assert call("backup", site, tmp_path / "b").exit_code == 0
    other = other_site(site, tmp_path / "other")
    arguments: list[Any] = ["restore", other, tmp_path / "b", "--key", private, "--reason", "drill"]
    without = call(*arguments)
    assert isinstance(without.exception, MSCError) and "passphrase" in str(without.exception)
    assert call(*arguments, **phrase).exit_code == 0


def test_keys_that_are_there_are_not_replaced(site: Path, backed_up: Path, tmp_path: Path) -> None:
    again = call("backup-key", site, tmp_path / "backup.key", "--no-passphrase")
    assert isinstance(again.exception, MSCError)
    assert call("backup", site, tmp_path / "c").exit_code == 0
