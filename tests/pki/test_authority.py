"""The site's authority: what it issues, for whom, and how its key is kept."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from msc.errors import SiteError
from msc.pki.authority import (
    Authority,
    CertificateProfile,
    Holder,
    HolderKind,
    anchored,
    certificate_faults,
    key_is_encrypted,
)
from msc.pki.folder import install

PROFILE = CertificateProfile(organization="Test", curve="P-256", authority_days=100, certificate_days=30)
BOTH = {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH}


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.create(PROFILE)


def issued(authority: Authority, uri: str, **members: object) -> x509.Certificate:
    return x509.load_pem_x509_certificate(authority.issue(uri, **members).certificate)  # type: ignore[arg-type]


# --- the authority's key ------------------------------------------------------------------------------------


@pytest.mark.requirement("F-TLS")
def test_the_authoritys_key_is_encrypted_and_opens_with_its_passphrase_alone(
    authority: Authority, tmp_path: Path
) -> None:
    certificate, key = install(tmp_path / "ca", authority.sealed("correct horse"))
    assert key_is_encrypted(key.read_bytes())
    again = Authority.load(PROFILE, certificate, key, "correct horse")
    assert again.certificate == authority.certificate
    assert certificate_faults(issued(again, "msc://device/D1"), [authority.certificate]) == []
    with pytest.raises(SiteError, match="passphrase is wrong"):
        Authority.load(PROFILE, certificate, key, "wrong horse")
    with pytest.raises(SiteError, match="no passphrase was given"):
        Authority.load(PROFILE, certificate, key, None)


def test_a_key_of_older_days_that_is_not_encrypted_can_still_be_read(authority: Authority, tmp_path: Path) -> None:
    certificate, key = install(tmp_path / "ca", authority.sealed("old"))
    private = serialization.load_pem_private_key(key.read_bytes(), b"old")
    key.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    for passphrase in (None, "whatever"):
        assert Authority.load(PROFILE, certificate, key, passphrase).certificate == authority.certificate


def test_another_authoritys_key_is_refused(authority: Authority, tmp_path: Path) -> None:
    certificate, _ = install(tmp_path / "ca", authority.sealed("a"))
    _, key = install(tmp_path / "other", Authority.create(PROFILE).sealed("a"))
    with pytest.raises(SiteError, match="is not the key of"):
        Authority.load(PROFILE, certificate, key, "a")


# --- what it issues -----------------------------------------------------------------------------------------


@pytest.mark.requirement("F-TLS", "O-DEVICE")
@pytest.mark.parametrize(
    ("kind", "uses"),
    [
        ("device", {ExtendedKeyUsageOID.CLIENT_AUTH}),
        ("operator", {ExtendedKeyUsageOID.CLIENT_AUTH}),
        ("host", BOTH),
        ("switch", BOTH),
    ],
)
def test_a_certificate_is_for_what_its_holder_does(authority: Authority, kind: str, uses: set[object]) -> None:
    certificate = issued(authority, f"msc://{kind}/N1")
    assert Holder.of(certificate) == Holder(HolderKind(kind), "N1")
    assert set(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == uses
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.digital_signature and not usage.key_cert_sign
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert isinstance(key := certificate.public_key(), ec.EllipticCurvePublicKey) and key.key_size >= 256
    assert certificate_faults(certificate, [authority.certificate]) == []


@pytest.mark.requirement("O-DEVICE")
@pytest.mark.parametrize(
    "uri",
    [
        "msc://device/",
        "msc://device",
        "msc://device/A/B",
        "msc://device/A B",
        "msc://device/A,URI:msc://device/B",
        "msc://device/../B",
        "msc://robot/A",
        "https://device/A",
        "device/A",
        "msc://device/" + "A" * 65,
    ],
)
def test_what_could_be_read_as_another_name_is_never_issued(authority: Authority, uri: str) -> None:
    with pytest.raises(ValueError, match="name"):
        authority.issue(uri)


@pytest.mark.requirement("O-DEVICE")
@pytest.mark.parametrize("host", ["msc://device/D2", "a b", "URI:x", "-a", ""])
def test_a_host_name_cannot_smuggle_in_another_holder(authority: Authority, host: str) -> None:
    with pytest.raises(ValueError, match="not a host name"):
        authority.issue("msc://device/D1", hosts=(host,))


def test_a_certificate_can_be_made_for_a_day_to_come_and_ends_with_the_authority(authority: Authority) -> None:
    begins = datetime.now(UTC).replace(microsecond=0) + timedelta(days=10)
    coming = issued(authority, "msc://device/D1", valid_from=begins, days=5)
    assert (coming.not_valid_before_utc, coming.not_valid_after_utc) == (begins, begins + timedelta(days=5))
    long = issued(authority, "msc://device/D1", days=800)
    assert long.not_valid_after_utc == authority.certificate.not_valid_after_utc
    with pytest.raises(ValueError, match="ends before"):
        authority.issue("msc://device/D1", valid_from=begins + timedelta(days=200))


# --- what is let in -----------------------------------------------------------------------------------------


def test_a_certificate_of_another_authority_is_not_let_in_though_it_bears_the_same_name(authority: Authority) -> None:
    stranger = issued(Authority.create(PROFILE), "msc://device/D1")
    assert certificate_faults(stranger, [authority.certificate]) == ["it was not issued by the site's authority"]


@pytest.mark.requirement("F-TLS")
def test_an_authority_counts_only_together_with_all_up_to_its_root() -> None:
    """So does TLS, which follows a chain to its end."""
    keys = {name: ec.generate_private_key(ec.SECP256R1()) for name in ("root", "middle", "lower")}
    began = datetime.now(UTC) - timedelta(days=1)

    def made(name: str, by: str) -> x509.Certificate:
        subject, issuer = (x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, each)]) for each in (name, by))
        builder = x509.CertificateBuilder(issuer, subject, keys[name].public_key(), x509.random_serial_number())
        return builder.not_valid_before(began).not_valid_after(began + timedelta(9)).sign(keys[by], hashes.SHA256())

    root, middle, lower = made("root", "root"), made("middle", "root"), made("lower", "middle")
    assert anchored([lower, middle, root]) == [root, middle, lower]
    assert anchored([lower, root]) == [root]
    assert anchored([lower, middle]) == []


def test_a_device_certificate_cannot_serve_as_a_line_end_or_a_switch(authority: Authority) -> None:
    """Nor can an authority's serve as anybody's."""
    assert certificate_faults(authority.certificate, [authority.certificate]) == ["it names no holder"]
    device = issued(authority, "msc://device/D1")
    host = issued(authority, "msc://host/H1")
    assert certificate_faults(host, [authority.certificate], serves=True) == []
    assert ExtendedKeyUsageOID.SERVER_AUTH not in set(
        device.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    )
