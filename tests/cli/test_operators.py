"""Operators from the command line: `msc operator`, and who asks with `--as`, against a running switch."""

from __future__ import annotations

import asyncio
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from msc.cli.identity import PASSPHRASE_FILE, operator_key, reason_given
from msc.control.client import ask
from msc.errors import SiteError
from msc.settings import load_settings
from tests.support.command import call_msc
from tests.support.operators import operator, write_key
from tests.support.site import Site, eventually, run_msc


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A demo site whose switch runs."""
    site = Site.make(tmp_path_factory.mktemp("operators") / "site")
    try:
        site.serve()
        yield site
    finally:
        site.stop()


@pytest.fixture
def alone(tmp_path: Path) -> Site:
    """A demo site without a switch."""
    return Site.make(tmp_path / "site")


def test_a_demo_site_has_an_operator_of_each_role(alone: Site) -> None:
    found = {row["role"]: row for row in alone.demo["operators"]}
    assert set(found) == {"administrator", "auditor", "coordinator", "oversight"}
    assert found["coordinator"]["agency"] in {row["agency"] for row in alone.demo["users"]}
    assert {row["agency"] for role, row in found.items() if role != "coordinator"} == {None}
    settings = load_settings(alone.toml)
    for row in found.values():
        assert set(row) == {"name", "role", "agency", "certificate", "key"}
        assert operator_key(settings, row["name"]).name == row["name"]
        assert operator_key(settings, None, alone.folder / row["certificate"], alone.folder / row["key"])


def test_a_new_site_has_its_first_administrator(tmp_path: Path) -> None:
    done = run_msc("init", tmp_path / "site")
    assert "first operator admin" in done.stdout
    toml = tmp_path / "site" / "msc.toml"
    (row,) = (json.loads(line) for line in run_msc("operator", "list", toml, "--json").stdout.splitlines())
    assert (row["operator"], row["role"], row["status"]) == ("admin", "administrator", "active")
    assert operator_key(load_settings(toml), "admin").name == "admin"
    assert run_msc("check", toml).returncode == 0


@pytest.mark.requirement("C-ACCESS")
def test_an_operator_is_added_changed_suspended_and_removed(alone: Site) -> None:
    alone.run("operator", "add", "jroe", "name=ROE,JANE", "role=coordinator", "agency=EXPD", "--reason", "new")
    assert json.loads(alone.run("operator", "show", "jroe", "--json"))["agency"] == "EXPD"
    refused = call_msc("operator", "set", alone.toml, "jroe", "role=auditor")
    assert refused.returncode == 2
    assert "only a coordinator is confined" in refused.stderr
    alone.run("operator", "set", "jroe", "role=auditor", "agency=")
    alone.run("operator", "suspend", "jroe", "--reason", "on leave")
    alone.run("operator", "reinstate", "jroe", "--reason", "back")
    alone.run("operator", "remove", "jroe", "--reason", "left")
    assert "jroe" not in alone.run("operator", "list")
    other = call_msc("operator", "add", alone.toml, "jroe", "name=POE,PAT", "role=auditor")
    assert "was another person" in other.stderr
    exported = alone.run("directory", "export")
    assert '[[operator]]\noperator = "coordinator"' in exported


@pytest.mark.requirement("C-ACCESS")
def test_an_operator_signs_in_at_a_running_switch_until_suspended_or_revoked(made: Site) -> None:
    settings = load_settings(made.toml)
    made.run("operator", "add", "kroe", "name=ROE,KIM", "role=administrator", "--reason", "new")
    made.run("certs", "issue", "operator", "kroe")
    key = operator_key(settings, "kroe")
    assert asyncio.run(ask(settings, "GET", "/sessions", operator=key)) == []
    made.run("operator", "suspend", "kroe", "--reason", "on leave")
    assert told(call_msc("session", "list", made.toml, "--as", "kroe")) == (1, "the operator is suspended")
    made.run("operator", "reinstate", "kroe", "--reason", "back")
    assert call_msc("session", "list", made.toml, "--as", "kroe").returncode == 0
    made.run("certs", "revoke", "operator", "kroe")
    _, why = eventually(
        lambda: (found := told(call_msc("session", "list", made.toml, "--as", "kroe")))[0] and found, what="a refusal"
    )
    assert "it is revoked" in why
    events = made.audit("--event", "operator.refused", "--as", "auditor", "--reason", "who was refused")
    assert "kroe" in {event["user"] for event in events}


@pytest.mark.requirement("F-REAUTH")
def test_session_commands_sign_where_they_can_and_take_a_told_name_where_they_cannot(made: Site) -> None:
    assert call_msc("session", "list", made.toml).returncode == 0
    assert call_msc("session", "list", made.toml, "--as", "Capt. Poe").returncode == 0
    assert call_msc("session", "list", made.toml, "--as", "admin").returncode == 0
    code, why = told(call_msc("session", "list", made.toml, "--as", "auditor"))
    assert (code, why) == (1, "session.list is not for an auditor")
    row = next(row for row in made.demo["operators"] if row["role"] == "administrator")
    own = {
        "MSC_OPERATOR_CERTIFICATE": str(made.folder / row["certificate"]),
        "MSC_OPERATOR_KEY": str(made.folder / row["key"]),
    }
    assert run_msc("session", "list", made.toml, **own).returncode == 0
    assert run_msc("session", "list", made.toml, "--as", "auditor", **own).returncode == 2


def told(done: Any) -> tuple[int, str]:
    """Return how a command ended, and what it said went wrong."""
    return done.returncode, done.stderr.strip().removeprefix("msc: ")


def test_check_remarks_on_a_site_without_an_administrator_and_finds_a_group_that_is_none(alone: Site) -> None:
    alone.run("operator", "suspend", "admin", "--reason", "on leave")
    alone.edit("msc.toml", (r"^\[log\]", '[admin]\ngroup = "no-such-group"\n\n[log]'))
    done = run_msc("check", alone.toml)
    assert done.returncode == 1
    assert "there is no administrator" in done.stdout + done.stderr
    assert "there is no group 'no-such-group'" in done.stdout + done.stderr


# --- who asks -----------------------------------------------------------------------------------------


@pytest.mark.requirement("C-ACCESS")
def test_who_does_not_say_who_asks_or_why_is_told_how(alone: Site, capsys: pytest.CaptureFixture[str]) -> None:
    settings = load_settings(alone.toml)
    for name, why in ((None, "say who asks"), ("Capt. Poe", "is not an operator's name")):
        with pytest.raises(typer.Exit):
            operator_key(settings, name)
        assert why in capsys.readouterr().err
    with pytest.raises(SiteError, match="cannot be read"):
        operator_key(settings, "nobody")
    for reason in (None, "", "  "):
        with pytest.raises(typer.Exit):
            reason_given(reason)
        assert "say why" in capsys.readouterr().err
    assert reason_given("case 26-17") == "case 26-17"


@pytest.mark.requirement("C-ACCESS")
def test_an_encrypted_key_takes_its_passphrase_from_a_file_nobody_else_reads(
    alone: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = load_settings(alone.toml)
    folder = alone.folder / "certs" / "operators"
    shutil.rmtree(folder)
    folder.mkdir()
    write_key(operator("j.roe"), folder, "correct horse")
    secret = tmp_path / "secret"
    secret.touch(0o600)
    secret.write_text("correct horse\n")
    monkeypatch.setattr("sys.stdin", io.StringIO())
    with pytest.raises(SiteError, match="nobody to ask"):
        operator_key(settings, "j.roe")
    monkeypatch.setenv(PASSPHRASE_FILE, str(secret))
    assert operator_key(settings, "j.roe").name == "j.roe"
    secret.chmod(0o644)
    with pytest.raises(typer.Exit):
        operator_key(settings, "j.roe")
    assert "others can read it" in capsys.readouterr().err
