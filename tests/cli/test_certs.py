"""`msc certs` on a demo site, whose passphrase it finds, and on one whose passphrase it must be given."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from typer.testing import CliRunner

from msc.cli.main import app
from msc.errors import FaultyInput
from msc.lab.demo.site import make_demo
from msc.pki.authority import Authority, CertificateProfile, Holder
from msc.pki.folder import install
from msc.site.make import make_site

PASSPHRASE = "a passphrase of the test"
REASON = x509.ReasonFlags.key_compromise


class Certs:
    """A site, and `msc certs` on it in this process."""

    def __init__(self, folder: Path, *, demo: bool = False, ca_passphrase: str | None = None) -> None:
        asyncio.run((make_demo if demo else make_site)(folder, ca_passphrase=ca_passphrase))
        self.folder, self.toml = folder, folder / "msc.toml"

    def run(self, command: str, *args: str | Path, env: dict[str, str] | None = None) -> str:
        """Run a command that succeeds; return what it printed."""
        code, told = self.outcome(command, *args, env=env)
        assert code == 0, told
        return told

    def outcome(self, command: str, *args: str | Path, env: dict[str, str] | None = None) -> tuple[int, str]:
        """Run a command; return its exit code and what it said."""
        clean = {"MSC_CONFIG": None, "MSC_CA_PASSPHRASE": None} | (env or {})
        result = CliRunner().invoke(app, ["certs", command, str(self.toml), *map(str, args)], env=clean)
        if isinstance(result.exception, FaultyInput):
            return 2, str(result.exception)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.output

    def rows(self, *args: str) -> list[dict[str, Any]]:
        """List the register, or show what `args` name."""
        printed = self.run("show" if args else "list", *args, "--json")
        return [json.loads(line) for line in printed.splitlines()]

    def pem(self, stem: str) -> x509.Certificate:
        return x509.load_pem_x509_certificate((self.folder / f"certs/{stem}.pem").read_bytes())


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Certs:
    return Certs(tmp_path_factory.mktemp("demo") / "site", demo=True)


@pytest.fixture(scope="module")
def county(tmp_path_factory: pytest.TempPathFactory) -> Certs:
    return Certs(tmp_path_factory.mktemp("county") / "site", ca_passphrase=PASSPHRASE)


@pytest.mark.requirement("F-TLS")
def test_a_certificate_is_issued_listed_shown_renewed_revoked_and_exported(demo: Certs, tmp_path: Path) -> None:
    demo.run("issue", "device", "LAPTOP7", "--host", "laptop7.example.org", "--days", "40")
    first = demo.pem("devices/LAPTOP7")
    assert str(Holder.of(first)) == "msc://device/LAPTOP7"
    assert demo.outcome("issue", "device", "LAPTOP7")[0] == 2, "nothing is overwritten"
    demo.run("renew", "LAPTOP7", "--revoke-old")
    second = demo.pem("devices/LAPTOP7")
    assert second.public_key() != first.public_key()
    states = {row["serial"]: row["state"] for row in demo.rows("LAPTOP7")}
    assert states == {f"{first.serial_number:X}": "revoked", f"{second.serial_number:X}": "valid"}
    assert {row["hosts"][0] for row in demo.rows("device", "LAPTOP7")} == {"laptop7.example.org"}
    demo.run("export", "LAPTOP7", "--out", tmp_path / "laptop")
    assert (tmp_path / "laptop" / "LAPTOP7.pem").read_bytes() == (
        demo.folder / "certs/devices/LAPTOP7.pem"
    ).read_bytes()
    demo.run("revoke", f"{second.serial_number:X}", "--reason", "keyCompromise")
    assert [row["state"] for row in demo.rows() if row["name"] == "LAPTOP7"] == ["revoked", "revoked"]
    assert demo.outcome("revoke", "LAPTOP7")[0] == 1, "there is nothing left to revoke"
    crl = x509.load_pem_x509_crl(demo.run("crl", "--print").encode())
    entry = crl.get_revoked_certificate_by_serial_number(second.serial_number)
    assert entry is not None and entry.extensions.get_extension_for_class(x509.CRLReason).value.reason is REASON


@pytest.mark.requirement("F-TLS")
def test_the_next_command_finishes_what_a_power_cut_interrupted(demo: Certs, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Path.replace

    def replace(file: Path, target: Path) -> Path:
        if target.suffix == ".pem" and target.stem == "PRINTER1":
            raise KeyboardInterrupt
        return place(file, target)

    with monkeypatch.context() as cut:
        cut.setattr(Path, "replace", replace)
        assert demo.outcome("renew", "device", "PRINTER1")[0] != 0
    demo.run("list")
    key = serialization.load_pem_private_key((demo.folder / "certs/devices/PRINTER1.key").read_bytes(), None)
    assert key.public_key() == demo.pem("devices/PRINTER1").public_key()


def test_what_is_in_force_is_shown(demo: Certs) -> None:
    facts = json.loads(demo.run("show", "--json"))
    assert facts["switch"]["holder"] == "msc://switch/demo-switch"
    assert facts["authority_key"] == "encrypted"
    assert facts["tls"]["minimum_version"] == "TLSv1_2"
    assert facts["tls"]["ciphers"] and facts["tls"]["openssl"].startswith("OpenSSL")
    assert facts["tls"]["openssl_fips"] in (True, False) and facts["tls"]["cryptography_fips"] in (True, False)
    assert "msc://switch/demo-switch" in demo.run("show")


def test_certificates_stand_where_their_holders_look_for_them(demo: Certs, tmp_path: Path) -> None:
    demo.run("issue", "operator", "CHIEF")
    assert demo.pem("operators/CHIEF")
    demo.run("renew", "host", "clets-a")
    assert str(Holder.of(demo.pem("lines/clets-a"))) == "msc://host/clets-a"
    demo.run("issue", "device", "ELSEWHERE", "--valid-from", "2031-01-01", "--out", tmp_path / "prepared")
    assert (tmp_path / "prepared.key").is_file() and not (demo.folder / "certs/devices/ELSEWHERE.pem").exists()
    assert [row["state"] for row in demo.rows("ELSEWHERE")] == ["not yet valid"]


@pytest.mark.requirement("F-TLS")
def test_nothing_is_signed_without_the_passphrase(county: Certs, tmp_path: Path) -> None:
    assert not (county.folder / "demo.json").exists()
    code, told = county.outcome("issue", "device", "D1")
    assert code == 2 and "MSC_CA_PASSPHRASE" in told
    code, told = county.outcome("issue", "device", "D1", env={"MSC_CA_PASSPHRASE": "a guess"})
    assert code == 2 and "passphrase is wrong" in told and "a guess" not in told
    assert not (county.folder / "certs/devices/D1.pem").exists()
    county.run("issue", "device", "D1", env={"MSC_CA_PASSPHRASE": PASSPHRASE})
    (tmp_path / "secret").write_text(f"{PASSPHRASE}\n")
    county.run("issue", "device", "D2", "--passphrase-file", tmp_path / "secret")
    assert county.run("list").count("valid") >= 2, "looking needs no passphrase"


def test_the_authoritys_key_may_be_kept_elsewhere(county: Certs, tmp_path: Path) -> None:
    here, away = county.folder / "certs/ca.key", tmp_path / "stick.key"
    here.rename(away)
    try:
        env = {"MSC_CA_PASSPHRASE": PASSPHRASE}
        code, told = county.outcome("issue", "device", "D3", env=env)
        assert code == 2 and "ca.key is not there" in told
        county.run("issue", "device", "D3", "--ca-key", away, env=env)
    finally:
        away.rename(here)


@pytest.mark.requirement("F-TLS")
def test_a_site_can_trust_an_authority_elsewhere(demo: Certs, tmp_path: Path) -> None:
    profile = CertificateProfile(organization="Elsewhere", curve="P-384", authority_days=99, certificate_days=9)
    authority = Authority.create(profile)
    sealed = install(tmp_path / "theirs", authority.sealed("theirs"))
    site = Certs(tmp_path / "site")
    assert site.outcome("init", "--external", sealed[0])[0] == 2, "it has an authority"
    for file in (site.folder / "certs").glob("ca.*"):
        file.unlink()
    site.run("init", "--external", sealed[0])
    code, told = site.outcome("issue", "device", "D1")
    assert code == 2 and "--csr" in told
    site.run("issue", "device", "D1", "--csr")
    assert x509.load_pem_x509_csr((site.folder / "certs/devices/D1.csr").read_bytes()).is_signature_valid
    stranger = authority.issue("msc://device/D1")  # a certificate, but for another key
    (tmp_path / "answer.pem").write_bytes(stranger.certificate)
    code, told = site.outcome("import", tmp_path / "answer.pem")
    assert code == 2 and "its key is neither" in told
    (tmp_path / "crl.pem").write_bytes(authority.sign_crl([], 1))
    site.run("import", tmp_path / "crl.pem", "--crl")
    code, told = site.outcome("import", demo.folder / "certs/ca.pem", "--crl")
    assert code == 2 and "is not a revocation list" in told


def test_an_authority_is_made_for_a_site_that_has_none(tmp_path: Path) -> None:
    site = Certs(tmp_path / "site")
    before = site.pem("ca").fingerprint(hashes.SHA256())
    for file in (site.folder / "certs").glob("ca.*"):
        file.unlink()
    told = site.run("init")
    passphrase = told.split("passphrase of the key: ")[1].split()[0]
    assert site.pem("ca").fingerprint(hashes.SHA256()) != before
    site.run("issue", "device", "D1", env={"MSC_CA_PASSPHRASE": passphrase})


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("issue", ["robot", "R2"]),
        ("issue", ["device", "A/B"]),
        ("issue", ["device"]),
        ("issue", ["device", "X1", "--host", "msc://device/X2"]),
        ("issue", ["device", "X1", "--valid-from", "tomorrow"]),
        ("renew", ["NOBODY"]),
        ("revoke", ["NOBODY"]),
        ("revoke", ["0123456789ABCDEF"]),
        ("show", ["device", "NOBODY"]),
    ],
)
def test_what_makes_no_sense_is_told_and_changes_nothing(demo: Certs, command: str, words: list[str]) -> None:
    before = sorted(demo.folder.rglob("*.key"))
    code, told = demo.outcome(command, *words)
    assert code in (1, 2) and told
    assert sorted(demo.folder.rglob("*.key")) == before


def test_init_tells_the_passphrase_once_or_takes_the_one_given(tmp_path: Path) -> None:
    def init(folder: Path, given: str | None) -> str:
        result = CliRunner().invoke(app, ["init", str(folder)], env={"MSC_CA_PASSPHRASE": given})
        assert result.exit_code == 0, result.output
        return result.output

    passphrase = init(tmp_path / "a", None).split("passphrase of certs/ca.key ")[1].split()[0]
    env = {"MSC_CA_PASSPHRASE": passphrase, "MSC_CONFIG": str(tmp_path / "a" / "msc.toml")}
    result = CliRunner().invoke(app, ["certs", "issue", "device", "D1"], env=env)
    assert result.exit_code == 0, result.output
    told = init(tmp_path / "b", PASSPHRASE)
    assert "passphrase of" not in told and PASSPHRASE not in told


def test_every_command_the_documents_name_exists() -> None:
    docs = Path(__file__).parents[2] / "docs"
    text = "".join((docs / name).read_text() for name in ("setting-up.md", "at-three-in-the-morning.md"))
    commands = set(re.findall(r"msc certs (\w+)", text))
    assert commands >= {"issue", "renew", "revoke", "import", "export", "list", "show", "crl", "init"}
    for command in commands:
        result = CliRunner().invoke(app, ["certs", command, "--help"], env={"COLUMNS": "200"})
        assert result.exit_code == 0, result.output
        for option in re.findall(rf"msc certs {command} SITE[^\n]*?(--[a-z0-9-]+)", text):
            assert option in result.output, f"{command} {option}"
