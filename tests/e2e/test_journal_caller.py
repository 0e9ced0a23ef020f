"""Who is let in to the journal: not with another's certificate or words, and on the command line no further."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from msc.control.operator_key import OperatorKey
from tests.e2e.conftest import assert_quiet
from tests.support.command import call_msc
from tests.support.inquirer import Inquirer
from tests.support.site import Site, run_msc
from tests.support.two_agencies import OTHER, OWN, SECRET, County, at_work

pytestmark = pytest.mark.requirement("C-ACCESS", "N-SCOPE")


@pytest.fixture(scope="module")
def county(tmp_path_factory: pytest.TempPathFactory) -> Iterator[County]:
    with at_work(tmp_path_factory.mktemp("caller")) as made:
        yield made
    assert_quiet(made.site)


@pytest.mark.parametrize("method, path", [
    ("POST", "/keeping/retention"), ("POST", "/keeping/hold_list"), ("POST", "/keeping/hold_add"),
    ("POST", "/keeping/delete"), ("GET", "/sessions"), ("GET", "/state"), ("POST", "/sessions/x/end"),
])  # fmt: skip
def test_what_is_of_all_agencies_at_once_is_not_for_a_coordinator(county: County, method: str, path: str) -> None:
    before = county.last_seq()
    inquirer = county.coordinator
    told = inquirer.send(path, b'{"reason":"r"}', headers=None, method=method)
    assert told.status == 403, told
    assert [event["event"] for event in county.events_since(before, user="coordinator")] == ["operator.refused"]


# --- who it is ----------------------------------------------------------------------------------------


def test_a_signed_request_that_is_sent_again_is_refused(county: County) -> None:
    body = b'{"reason":"r","criteria":{}}'
    headers = county.auditor.signed("/journal/search", body)
    assert county.auditor.send("/journal/search", body, headers).items
    again = county.coordinator.send("/journal/search", body, headers)
    assert (again.status, again.error) == (401, "the nonce was used before")


def test_a_signature_of_another_request_is_refused(county: County) -> None:
    body = b'{"reason":"r","criteria":{}}'
    for path, sent in (("/journal/search", b'{"reason":"r","criteria":{"user":"P50110"}}'), ("/journal/stats", body)):
        headers = county.coordinator.signed("/journal/search", body)
        told = county.coordinator.send(path, sent, headers)
        assert told.status == 401 and told.items == []


def test_anothers_certificate_does_not_help_without_its_key(county: County) -> None:
    before = county.last_seq()
    told = replace(county.coordinator, key=Inquirer.of(county.site, "auditor", "coordinator").key).search()
    assert (told.status, told.items) == (401, [])
    (event,) = county.events_since(before, event="operator.refused")
    assert event["user"] == "auditor", "whom the certificate claims"


def _made_up(site: Site, *names: str, **how: Any) -> OperatorKey:
    certificate, key = site.certificate(*names, **how)
    private = serialization.load_pem_private_key((site.folder / key).read_bytes(), None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    shown = x509.load_pem_x509_certificate((site.folder / certificate).read_bytes())
    return OperatorKey(names[0].rpartition("/")[2] if names else "", shown, private)


@pytest.mark.parametrize("names, how, why", [
    (("msc://operator/auditor",), {"trusted": False}, "does not count"),
    (("msc://operator/coordinator",), {"days": -1}, "expired"),
    (("msc://device/DISPATCH1",), {}, "not an operator's"),
    (("msc://operator/nobody",), {}, "no operator of the directory"),
    (("msc://operator/coordinator", "msc://operator/auditor"), {}, ""),
    ((), {}, ""),
])  # fmt: skip
def test_a_certificate_that_is_none_of_an_operator_in_force_lets_nobody_in(
    county: County, names: tuple[str, ...], how: dict[str, Any], why: str
) -> None:
    before = county.last_seq()
    told = replace(county.coordinator, key=_made_up(county.site, *names, **how)).search()
    assert (told.status, told.items) == (401, [])
    assert why in told.error
    assert county.events_since(before, event="operator.refused")


def test_nobody_asks_without_a_signature_not_even_the_switchs_own_account(county: County) -> None:
    before = county.last_seq()
    told = replace(county.coordinator, key=None).search()
    assert (told.status, told.items) == (401, [])
    half = county.coordinator.signed("/journal/search", b"{}")
    del half["MSC-Signature"]
    assert county.coordinator.send("/journal/search", b"{}", half).status == 401
    odd = county.coordinator.signed("/journal/search", b"{}") | {
        "MSC-Certificate": base64.b64encode(b"\x30\x03abc").decode()
    }
    assert county.coordinator.send("/journal/search", b"{}", odd).status == 401
    assert len(county.events_since(before, event="operator.refused")) == 3


def test_who_is_suspended_or_revoked_sees_nothing_more(county: County) -> None:
    site = county.site
    for command in (
        ("operator", "add", "leaver", "name=ROE,KIM", "role=coordinator", f"agency={OWN}", "--reason", "new"),
        ("certs", "issue", "operator", "leaver"),
    ):
        assert call_msc(*command[:2], site.toml, *command[2:]).returncode == 0
    asking = ("journal", "search", site.toml, "--as", "leaver", "--reason", "r", "--json")
    assert call_msc(*asking).returncode == 0
    assert call_msc("operator", "suspend", site.toml, "leaver", "--reason", "on leave").returncode == 0
    done = call_msc(*asking)
    assert (done.returncode, done.stdout) == (1, "") and "suspended" in done.stderr
    assert call_msc("operator", "reinstate", site.toml, "leaver", "--reason", "back").returncode == 0
    assert call_msc(*asking).returncode == 0
    assert call_msc("operator", "set", site.toml, "leaver", f"agency={OTHER}", "--reason", "moved").returncode == 0
    assert {json.loads(line)["agency"] for line in call_msc(*asking).stdout.splitlines()} == {OTHER}


# --- the command line ---------------------------------------------------------------------------------

COMMANDS = [
    ("journal", "search", "--agency", OTHER),
    ("journal", "search", "--ori", "CA0990100"),
    ("journal", "search", "--user", "P50110"),
    ("journal", "search", "--device", "RECORDS1"),
    ("journal", "search", "--key", "QH", "--csv"),
    ("journal", "search", "--text", "RECORDED"),
    ("journal", "search", "--text", "RECOR*", "--json"),
    ("journal", "search", "--transaction", "{other}"),
    ("journal", "search", "--msn", "{other}", "--oldest-first"),
    ("journal", "search", "--after", "<{other}", "--user", "P50110"),
    ("journal", "show", "{other}"),
    ("journal", "show", "{other}", "--json"),
    ("journal", "prove", "{other}", "--out", "{folder}/proof"),
    ("journal", "sample", "--count", "5", "--seed", "1", "--user", "P50110"),
    ("journal", "stats", "--agency", OTHER, "--by", "user"),
    ("journal", "search", "--agency", OTHER, "--print", "{folder}/print.pdf"),
    ("journal", "search", "--user", "P50110", "--print", "{folder}/print.pdf"),
    ("audit", "search", "--user", "P50110"),
    ("audit", "search", "--agency", OTHER),
    ("audit", "search", "--subject", "user P50110", "--json"),
    ("journal", "retention"),
    ("journal", "hold", "list"),
    ("journal", "search", "--offline"),
    ("journal", "search", "--operator-certificate", "{site}/certs/operators/auditor.pem",
     "--operator-key", "{site}/certs/operators/coordinator.key"),
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_on_the_command_line_nothing_of_another_agency_is_shown(
    county: County, tmp_path: Path, command: tuple[str, ...]
) -> None:
    words = [word.format(other=county.others[0], folder=tmp_path, site=county.site.folder) for word in command]
    at = 3 if words[1] == "hold" else 2
    done = call_msc(*words[:at], county.site.toml, *words[at:], "--as", "coordinator", "--reason", "curious")
    assert done.returncode != 70 and "Traceback" not in done.stderr
    assert "internal" not in done.stderr
    for trace in (SECRET, "NO RECORD", county.traces["session"], county.traces["header"], "DET EXAMPLE"):
        assert trace not in done.stdout
    if "stats" not in command:
        assert done.returncode in (1, 2), done.stdout
    else:
        assert done.returncode == 1 or "P50110" not in done.stdout
    for file in tmp_path.iterdir():
        assert b"RECORDED" not in file.read_bytes()


def test_without_a_name_or_a_reason_no_command_shows_anything(county: County) -> None:
    toml = county.site.toml
    for words in ((), ("--as", "coordinator"), ("--reason", "r"), ("--as", "coordinator", "--reason", "  ")):
        done = call_msc("journal", "search", toml, *words)
        assert (done.returncode, done.stdout) == (2, "")
    by_environment = run_msc("journal", "search", toml, "--json", MSC_OPERATOR="coordinator", MSC_REASON="r")
    found = [json.loads(line) for line in by_environment.stdout.splitlines()]
    assert {row["agency"] for row in found} == {OWN}


def test_oversight_and_auditor_see_all_and_change_nothing(county: County) -> None:
    everything = {row["msn"] for row in Inquirer.of(county.site, "admin").search().items}
    for name in ("auditor", "oversight"):
        inquirer = Inquirer.of(county.site, name)
        told = inquirer.search()
        assert {row["msn"] for row in told.items} == everything
        assert {row["agency"] for row in told.items} >= {OWN, OTHER}
        assert told.end["role"] == name
        assert len(inquirer.ask("show", msn=county.others[0]).items) >= 2
        assert inquirer.audit(agency=OTHER)
        assert inquirer.send("/keeping/retention", b'{"reason":"r"}').status == 200
        for path, body in (
            ("/keeping/hold_add", {"reason": "r", "name": "x", "first": 202611, "last": 202611}),
            ("/keeping/hold_release", {"reason": "r", "number": 1}),
            ("/keeping/delete", {"reason": "r", "months": []}),
            ("/sessions/x/end", {"reason": "r"}),
        ):
            assert inquirer.send(path, json.dumps(body).encode()).status == 403, path
        offline = call_msc("journal", "search", county.site.toml, "--as", name, "--reason", "r", "--offline")
        assert offline.returncode != 0 and offline.stdout == ""
