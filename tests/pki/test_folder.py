"""A site's certificates on disk: register, renewal, requests to an authority elsewhere, revocation."""

from __future__ import annotations

import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID

from msc.errors import FaultyInput, SettingsError, SiteError
from msc.pki.authority import Authority, CertificateProfile, Holder, HolderKind, pem_of
from msc.pki.folder import CertificateFolder, install
from msc.pki.revocation import load_revocations

PROFILE = CertificateProfile(organization="Test", curve="P-256", authority_days=100, certificate_days=30)
D1 = Holder(HolderKind.DEVICE, "D1")
COMPROMISED = x509.ReasonFlags.key_compromise


class Own:
    """A site with an authority of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = CertificateFolder(folder / "ca.pem", folder / "crl.pem")
        self.authority = self.folder.establish(PROFILE, "secret")
        self.stem = folder / "devices" / "D1"

    def issue(self, holder: Holder = D1, **members: Any) -> x509.Certificate:
        return self.folder.issue(self.authority, holder, self.stem.with_name(holder.name), **members)

    def states(self) -> list[str]:
        return [row.state for row in self.folder.of(D1)]


@pytest.fixture
def own(tmp_path: Path) -> Own:
    return Own(tmp_path / "own")


# --- issuing ------------------------------------------------------------------------------------------------


@pytest.mark.requirement("F-TLS")
def test_what_is_issued_is_registered_and_its_key_is_its_owners(own: Own) -> None:
    certificate = own.issue()
    assert [row.certificate for row in own.folder.register()] == [certificate]
    assert own.states() == ["valid"]
    assert (own.folder.folder / "issued" / f"{certificate.serial_number:X}.pem").is_file()
    for key in (Path(f"{own.stem}.key"), own.folder.ca_key):
        assert stat.S_IMODE(key.stat().st_mode) == 0o600


def test_nothing_is_overwritten_unless_it_is_said(own: Own) -> None:
    own.issue()
    before = Path(f"{own.stem}.key").read_bytes()
    with pytest.raises(SiteError, match="is there already"):
        own.issue()
    with pytest.raises(SiteError, match="is there already"):
        own.folder.establish(PROFILE, "other")
    assert Path(f"{own.stem}.key").read_bytes() == before
    own.issue(force=True)
    assert Path(f"{own.stem}.key").read_bytes() != before
    assert own.states() == ["valid", "valid"]


def test_the_register_tells_what_each_certificate_is_worth(own: Own) -> None:
    now = datetime.now(UTC)
    own.issue(valid_from=now - timedelta(days=9), days=2)
    revoked = own.issue(valid_from=now - timedelta(days=3), force=True)
    own.issue(force=True)
    own.issue(valid_from=now + timedelta(days=3), force=True)
    own.folder.revoke(own.authority, [revoked.serial_number], COMPROMISED)
    assert own.states() == ["expired", "revoked", "valid", "not yet valid"]


class PowerCut(BaseException):
    """What no program can catch."""


def cut_power_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Let files be put into place a number of times, and no more."""
    place, left = Path.replace, iter(range(step))

    def replace(file: Path, target: Path) -> Path:
        if next(left, None) is None:
            raise PowerCut
        return place(file, target)

    monkeypatch.setattr(Path, "replace", replace)


@pytest.mark.requirement("F-TLS")
@pytest.mark.parametrize("step", range(4))
def test_after_a_power_cut_at_any_step_key_and_certificate_belong_together(
    own: Own, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    own.issue()
    with monkeypatch.context() as cut, pytest.raises(PowerCut):
        cut_power_at(cut, step)
        own.issue(force=True)
    own.folder.finish()
    key = serialization.load_pem_private_key(Path(f"{own.stem}.key").read_bytes(), None)
    certificate = x509.load_pem_x509_certificate(Path(f"{own.stem}.pem").read_bytes())
    assert key.public_key() == certificate.public_key()
    assert certificate in [row.certificate for row in own.folder.of(D1)]
    assert stat.S_IMODE(Path(f"{own.stem}.key").stat().st_mode) == 0o600
    assert not list(own.folder.folder.rglob("*.pair")), "no second copy of a key stays behind"


@pytest.mark.requirement("F-TLS")
def test_what_is_written_is_on_the_disk_and_so_is_its_name(own: Own, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[tuple[bool, bool]] = []
    sync = os.fsync

    def fsync(descriptor: int) -> None:
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        synced.append((is_folder, own.folder.crl.exists()))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    own.folder.revoke(own.authority, [1], COMPROMISED)
    assert synced == [(False, False), (True, True)], "the content before it has its name, the folder after"


@pytest.mark.requirement("F-TLS")
def test_a_key_that_anybody_could_read_is_its_owners_once_replaced(own: Own) -> None:
    own.issue()
    key = Path(f"{own.stem}.key")
    key.chmod(0o644)
    install(own.stem, own.authority.issue(str(D1)))
    assert stat.S_IMODE(key.stat().st_mode) == 0o600


# --- revoking -----------------------------------------------------------------------------------------------


@pytest.mark.requirement("F-TLS")
def test_what_is_revoked_stays_revoked_with_its_reason_and_the_list_counts_up(own: Own) -> None:
    first, second = own.issue(), own.issue(force=True)
    own.folder.revoke(own.authority, [first.serial_number], COMPROMISED)
    own.folder.revoke(own.authority, [second.serial_number, first.serial_number], x509.ReasonFlags.unspecified)
    crl = x509.load_pem_x509_crl(own.folder.crl.read_bytes())
    entry = crl.get_revoked_certificate_by_serial_number(first.serial_number)
    assert entry is not None
    assert entry.extensions.get_extension_for_class(x509.CRLReason).value.reason is COMPROMISED
    assert len(list(crl)) == 2
    assert crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == 2
    own.folder.revoke(own.authority, [], COMPROMISED)
    again = x509.load_pem_x509_crl(own.folder.crl.read_bytes())
    assert again.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == 3, "signed again counts too"
    assert crl.next_update_utc is not None
    assert crl.next_update_utc - crl.last_update_utc == timedelta(days=PROFILE.crl_days)


@pytest.mark.requirement("F-TLS")
def test_a_list_signed_by_another_authority_is_refused_everywhere(own: Own, tmp_path: Path) -> None:
    other = Own(tmp_path / "other")  # of the very same name
    other.folder.revoke(other.authority, [1], COMPROMISED)
    foreign = other.folder.crl.read_bytes()
    with pytest.raises(SettingsError, match="not signed by the site's authority"):
        own.folder.take_in_crl(foreign, other.folder.crl)
    assert not own.folder.crl.exists()
    own.folder.crl.write_bytes(foreign)
    with pytest.raises(SettingsError, match="not signed"):
        load_revocations(own.folder.crl, own.folder.authorities())
    with pytest.raises(SettingsError, match="not signed"):
        own.folder.revoke(own.authority, [2], COMPROMISED)


def test_no_list_revokes_nothing_and_what_is_no_list_is_refused(own: Own) -> None:
    assert load_revocations(own.folder.crl, own.folder.authorities()).revoked == frozenset()
    for content in (b"", b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n"):
        own.folder.crl.write_bytes(content)
        with pytest.raises(SettingsError, match="is not a revocation list"):
            load_revocations(own.folder.crl, own.folder.authorities())


# --- handing over -------------------------------------------------------------------------------------------


def test_a_station_gets_its_pair_and_whom_to_trust(own: Own, tmp_path: Path) -> None:
    certificate = own.issue()
    own.folder.export(own.stem, D1, tmp_path / "out")
    assert {file.name for file in (tmp_path / "out").iterdir()} == {"D1.pem", "D1.key", "ca.pem"}
    assert stat.S_IMODE((tmp_path / "out" / "D1.key").stat().st_mode) == 0o600
    own.folder.export_pkcs12(own.stem, D1, tmp_path / "d1.p12", "password")
    key, packed, others = pkcs12.load_key_and_certificates((tmp_path / "d1.p12").read_bytes(), b"password")
    assert packed == certificate and others == [own.authority.certificate]
    assert key is not None and key.public_key() == certificate.public_key()
    with pytest.raises(ValueError, match=r"password|MAC"):
        pkcs12.load_key_and_certificates((tmp_path / "d1.p12").read_bytes(), b"guess")


# --- an authority elsewhere ---------------------------------------------------------------------------------


class Elsewhere:
    """A site that trusts an authority elsewhere, and that authority."""

    def __init__(self, folder: Path) -> None:
        self.outside = Own(folder / "outside")
        self.key = serialization.load_pem_private_key(self.outside.folder.ca_key.read_bytes(), b"secret")
        self.folder = CertificateFolder(folder / "certs" / "ca.pem", folder / "certs" / "crl.pem")
        self.folder.adopt(self.outside.folder.ca)
        self.stem = folder / "certs" / "devices" / "D1"

    def request(self) -> x509.CertificateSigningRequest:
        file = self.folder.request(PROFILE, D1, self.stem, force=True)
        return x509.load_pem_x509_csr(file.read_bytes())

    def sign(
        self,
        public: Any,
        *,
        uris: tuple[str, ...] = (str(D1),),
        usage: Any = ExtendedKeyUsageOID.CLIENT_AUTH,
        signs: bool = True,
        days: int = 5,
    ) -> bytes:
        """Sign a certificate as that authority might."""
        now = datetime.now(UTC)
        names = [x509.UniformResourceIdentifier(uri) for uri in uris]
        bits = dict.fromkeys(
            [
                "content_commitment",
                "data_encipherment",
                "key_cert_sign",
                "crl_sign",
                "encipher_only",
                "decipher_only",
            ],
            False,
        )
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(self.outside.authority.certificate.subject)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=30))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(x509.SubjectAlternativeName(names), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(
                x509.KeyUsage(digital_signature=signs, key_encipherment=not signs, key_agreement=False, **bits),
                critical=True,
            )
        )
        return pem_of(builder.sign(self.key, hashes.SHA256()))  # type: ignore[arg-type]

    def take_in(self, pem: bytes) -> x509.Certificate:
        return self.folder.take_in(pem, Path("answer.pem"), self.stem, serves=False)


@pytest.fixture
def elsewhere(tmp_path: Path) -> Elsewhere:
    return Elsewhere(tmp_path)


@pytest.mark.requirement("F-TLS")
def test_a_request_goes_out_and_its_certificate_comes_in(elsewhere: Elsewhere) -> None:
    request = elsewhere.request()
    assert request.is_signature_valid
    names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [str(D1)]
    assert not Path(f"{elsewhere.stem}.key").exists()
    certificate = elsewhere.take_in(elsewhere.sign(request.public_key()))
    key = serialization.load_pem_private_key(Path(f"{elsewhere.stem}.key").read_bytes(), None)
    assert key.public_key() == certificate.public_key()
    assert sorted(file.name for file in elsewhere.stem.parent.iterdir()) == ["D1.key", "D1.pem"]
    assert [row.certificate for row in elsewhere.folder.of(D1)] == [certificate]
    assert elsewhere.folder.key_state() == "absent"


def test_the_pair_in_use_stays_until_the_new_certificate_is_there(elsewhere: Elsewhere) -> None:
    elsewhere.take_in(elsewhere.sign(elsewhere.request().public_key()))
    before = Path(f"{elsewhere.stem}.key").read_bytes()
    renewal = elsewhere.request()
    assert Path(f"{elsewhere.stem}.key").read_bytes() == before
    elsewhere.take_in(elsewhere.sign(renewal.public_key()))
    assert Path(f"{elsewhere.stem}.key").read_bytes() != before


@pytest.mark.requirement("F-TLS", "O-DEVICE")
@pytest.mark.parametrize(
    ("members", "fault"),
    [
        ({"uris": (str(D1), "msc://device/D2")}, "one holder"),
        ({"uris": ("https://example.org/D1",)}, "one holder"),
        ({"usage": ExtendedKeyUsageOID.SERVER_AUTH}, "lacks clientAuth"),
        ({"signs": False}, "lacks digitalSignature"),
        ({"days": -1}, "has expired"),
    ],
)
def test_a_certificate_that_is_not_in_order_is_not_taken_in(
    elsewhere: Elsewhere, members: dict[str, Any], fault: str
) -> None:
    pem = elsewhere.sign(elsewhere.request().public_key(), **members)
    with pytest.raises(SiteError, match=fault):
        elsewhere.take_in(pem)
    assert not Path(f"{elsewhere.stem}.pem").exists()


@pytest.mark.requirement("F-TLS")
def test_a_certificate_of_another_key_another_authority_or_a_weak_key_is_not_taken_in(
    elsewhere: Elsewhere, own: Own
) -> None:
    request = elsewhere.request()
    with pytest.raises(SiteError, match="its key is neither"):
        elsewhere.take_in(elsewhere.sign(ec.generate_private_key(ec.SECP256R1()).public_key()))
    with pytest.raises(SiteError, match="not issued by the site's authority"):
        elsewhere.take_in(pem_of(own.issue()))
    weak = (rsa.generate_private_key(65537, 1024).public_key(), ec.generate_private_key(ec.SECP192R1()).public_key())
    for public in weak:
        with pytest.raises(SiteError, match="not ECDSA on P-256"):
            elsewhere.take_in(elsewhere.sign(public))
    elsewhere.take_in(elsewhere.sign(request.public_key()))


def test_its_revocation_list_is_taken_in_and_an_older_one_is_not(elsewhere: Elsewhere) -> None:
    certificate = elsewhere.take_in(elsewhere.sign(elsewhere.request().public_key()))
    outside = elsewhere.outside
    outside.folder.revoke(outside.authority, [certificate.serial_number], COMPROMISED)
    der = x509.load_pem_x509_crl(outside.folder.crl.read_bytes()).public_bytes(serialization.Encoding.DER)
    for content in (outside.folder.crl.read_bytes(), der):
        assert elsewhere.folder.take_in_crl(content, outside.folder.crl) == 1
    assert [row.state for row in elsewhere.folder.of(D1)] == ["revoked"]
    past = datetime.now(UTC) - timedelta(days=3)
    older = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(outside.authority.certificate.subject)
        .last_update(past)
        .next_update(past + timedelta(days=90))
        .sign(elsewhere.key, hashes.SHA256())  # type: ignore[arg-type]
        .public_bytes(serialization.Encoding.PEM)
    )
    with pytest.raises(SiteError, match="is older"):
        elsewhere.folder.take_in_crl(older, Path("old.pem"))
    assert [row.state for row in elsewhere.folder.of(D1)] == ["revoked"]


@pytest.mark.requirement("F-TLS")
def test_a_list_taken_in_leaves_the_lists_of_other_authorities_alone(own: Own, elsewhere: Elsewhere) -> None:
    """Though both authorities bear the same name."""
    outside, folder = elsewhere.outside, elsewhere.folder
    folder.ca.write_bytes(folder.ca.read_bytes() + own.folder.ca.read_bytes())

    def lists(authority: Own, *serials: int) -> bytes:
        authority.folder.revoke(authority.authority, serials, COMPROMISED)
        return authority.folder.crl.read_bytes()

    def revoked() -> set[int]:
        return {serial for _, serial in load_revocations(folder.crl, folder.authorities()).revoked}

    first = lists(outside, 1)
    folder.take_in_crl(first + lists(own, 2), Path("both.pem"))
    own_second = lists(own, 3)
    assert folder.take_in_crl(own_second, Path("own.pem")) == 2
    assert revoked() == {1, 2, 3}
    assert folder.take_in_crl(lists(outside, 4), Path("outside.pem")) == 2
    assert revoked() == {1, 2, 3, 4}
    with pytest.raises(SiteError, match="is older"):
        folder.take_in_crl(first + lists(own, 5), Path("one is old.pem"))
    assert revoked() == {1, 2, 3, 4}
    folder.take_in_crl(first, Path("old.pem"), force=True)
    assert revoked() == {1, 2, 3}
    folder.revoke(own.authority, [6], COMPROMISED)
    assert revoked() == {1, 2, 3, 6}, "who signs leaves the others' lists alone too"


def test_only_an_authority_can_be_trusted(own: Own, tmp_path: Path) -> None:
    (tmp_path / "device.pem").write_bytes(pem_of(own.issue()))
    folder = CertificateFolder(tmp_path / "new" / "ca.pem", tmp_path / "new" / "crl.pem")
    with pytest.raises(FaultyInput, match="not an authority's certificate"):
        folder.adopt(tmp_path / "device.pem")
    assert not folder.ca.exists()
    with pytest.raises(SiteError, match="is there already"):
        own.folder.adopt(own.folder.ca)
    assert Authority.load(PROFILE, own.folder.ca, own.folder.ca_key, "secret")
