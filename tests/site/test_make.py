"""Making and checking sites."""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from msc.directory.store import DirectoryStore
from msc.errors import SiteError
from msc.lab.demo.site import make_demo
from msc.pki.authority import Authority, Holder, HolderKind, load_profile
from msc.pki.certificate import certificate_folder, demo_passphrase, usual_stem
from msc.settings import load_settings
from msc.site.check import check_site
from msc.site.make import make_site


@pytest.fixture
async def demo(tmp_path: Path) -> Path:
    await make_demo(tmp_path / "site")
    return tmp_path / "site"


async def test_a_new_site_has_no_faults(demo: Path) -> None:
    report = await check_site(demo / "msc.toml")
    assert report.faults == []
    assert report.counts["users"] == 6


async def test_a_site_that_is_no_demo_has_no_faults_and_tells_its_first_password(tmp_path: Path) -> None:
    made = await make_site(tmp_path / "site")
    report = await check_site(tmp_path / "site" / "msc.toml")
    assert report.faults == []
    assert made.user == "ADMIN1"
    assert made.password
    assert not (tmp_path / "site" / "demo.json").exists()


async def test_keys_and_secrets_can_be_read_by_their_owner_alone(demo: Path) -> None:
    secrets = [*demo.rglob("*.key"), demo / "demo.json", demo / "data" / "directory.db"]
    assert len(secrets) > 10
    assert {stat.S_IMODE(file.stat().st_mode) for file in secrets} == {0o600}


async def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "kept.txt").write_text("kept")
    with pytest.raises(SiteError, match="not empty"):
        await make_demo(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["kept.txt"]


@pytest.mark.requirement("F-TLS", "O-DEVICE")
async def test_every_certificate_names_one_holder_and_is_strong_enough(demo: Path) -> None:
    facts = json.loads((demo / "demo.json").read_text())
    for device in facts["devices"]:
        certificate = x509.load_pem_x509_certificate((demo / device["certificate"]).read_bytes())
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        kind = "host" if device["kind"] == "host" else "device"
        assert names.get_values_for_type(x509.UniformResourceIdentifier) == [f"msc://{kind}/{device['name']}"]
        assert certificate.public_key().curve.key_size >= 256  # type: ignore[union-attr]


async def test_nothing_of_the_demo_could_be_taken_for_real(demo: Path) -> None:
    facts = json.loads((demo / "demo.json").read_text())
    assert all(re.fullmatch(r"CA099\d{4}", device["ori"]) for device in facts["devices"])
    assert all(row["mnemonic"].startswith("EX") for row in facts["mnemonics"])


async def test_every_fault_of_a_site_is_told_at_once_with_file_and_key(demo: Path) -> None:
    routes = demo / "routes.toml"
    routes.write_text(routes.read_text().replace('"ncic-a"', '"ncic-z"'))
    catalog = demo / "catalog" / "ncic.toml"
    catalog.write_text(catalog.read_text() + '\n[[key]]\ncode = "QW"\nname = "twice"\nfunction = "inquiry"\n')
    (demo / "certs" / "switch.key").write_text("no key")
    report = await check_site(demo / "msc.toml")
    text = "\n".join(map(str, report.faults))
    assert "ncic.toml: key." in text
    assert "database" in text  # the planted key has none
    assert "switch.pem" in text


async def test_settings_that_cannot_be_are_told_all_together(demo: Path) -> None:
    file = demo / "msc.toml"
    text = file.read_text()
    file.write_text(
        text.replace("window = 32 ", 'window = "many" ')
        .replace("[journal]", "[journal]\nspeed = 9")
        .replace('level = "info"', 'level = "loud"')
    )
    report = await check_site(file)
    assert {fault.where for fault in report.faults} == {"listener.window", "journal.speed", "log.level"}
    assert {fault.file for fault in report.faults} == {file}


async def test_the_directory_breaking_a_rule_is_a_fault(demo: Path) -> None:
    settings = load_settings(demo / "msc.toml")
    store = DirectoryStore(settings.database_url(settings.directory))
    directory = await store.load()
    del directory.mnemonics["EXA1"]
    await store.save(directory)
    await store.close()
    report = await check_site(demo / "msc.toml")
    assert [fault.where for fault in report.faults] == ["device DISPATCH1"]


@pytest.mark.requirement("F-TLS")
async def test_what_ends_soon_and_a_key_that_is_not_encrypted_are_remarked_on(demo: Path) -> None:
    settings = load_settings(demo / "msc.toml")
    folder, secret = certificate_folder(settings), demo_passphrase(settings)
    profile = load_profile(demo / "certs" / "profile.toml")
    authority = Authority.load(profile, folder.ca, folder.ca_key, secret)

    def issue(holder: Holder, days: int | None = None) -> int:
        stem = usual_stem(settings, holder)
        return folder.issue(authority, holder, stem, days=days, force=True).serial_number

    issue(Holder(HolderKind.DEVICE, "SOON"), 9)
    issue(Holder(HolderKind.DEVICE, "RENEWED"), 9)
    issue(Holder(HolderKind.DEVICE, "RENEWED"))
    gone = issue(Holder(HolderKind.DEVICE, "GONE"), 9)
    folder.revoke(authority, [gone], x509.ReasonFlags.cessation_of_operation)
    issue(Holder(HolderKind.SWITCH, settings.switch.name), 9)
    key = serialization.load_pem_private_key(folder.ca_key.read_bytes(), str(secret).encode())
    plain = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    folder.ca_key.write_bytes(key.private_bytes(*plain))
    report = await check_site(demo / "msc.toml")
    assert report.faults == []
    told = "\n".join(map(str, report.remarks))
    assert re.search(r"msc://device/SOON: ends on \d{4}-", told)
    assert "RENEWED" not in told and "GONE" not in told
    assert "the switch's certificate: ends on" in told
    assert "ca.key: is not encrypted" in told


@pytest.mark.requirement("F-TLS")
async def test_a_revocation_list_that_is_not_the_authoritys_is_a_fault(demo: Path) -> None:
    (demo / "certs" / "crl.pem").write_text("no list")
    report = await check_site(demo / "msc.toml")
    assert any("crl.pem" in str(fault) for fault in report.faults)


@pytest.mark.requirement("L-HITCONF")
async def test_what_clocks_name_must_be_there(demo: Path) -> None:
    toml = demo / "msc.toml"
    text = re.sub(
        "# escalate_to = .*?\n",
        'escalate_to = "NOWHERE"\nescalate = { EXSO = "MOBILE1", GONE = "PRINTER1" }\n',
        toml.read_text(),
    )
    toml.write_text(text.replace('# timeouts = { "IH.*" = 60 }', 'timeouts = { "ZZ.*" = 60, "IH.*" = 20 }'))
    report = await check_site(toml)
    assert {(fault.where, fault.problem) for fault in report.faults} == {
        ("hit_confirmation.escalate_to", "there is no device 'NOWHERE'"),
        ("hit_confirmation.escalate", "there is no agency 'GONE'"),
        ("line clets-a.timeouts", "no key of the catalog matches 'ZZ.*'"),
    }
    assert [fault.problem[:30] for fault in report.remarks if fault.where == "hit_confirmation.escalate.EXSO"] == [
        "MOBILE1 is neither a printer n"
    ]


async def test_service_messages_of_databases_that_are_not_there_are_faults(demo: Path) -> None:
    (demo / "service.toml").write_text('[[service]]\ncode = "$.5"\ndatabases = ["X1"]\nmeans = "out"\nsay = "OUT"\n')
    report = await check_site(demo / "msc.toml")
    assert [fault.problem for fault in report.faults] == ["the catalog has no database X1"]
