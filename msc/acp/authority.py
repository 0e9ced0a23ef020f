"""The site's certificate authority: makes the certificates by which switch, devices and hosts know each other.

A certificate names its holder in one URI subject alternative name, `msc://KIND/NAME`.
"""

from __future__ import annotations

import ipaddress
import tomllib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from msc.errors import Fault, SiteError

_CURVES: Final = {"P-256": ec.SECP256R1, "P-384": ec.SECP384R1}
_CLOCK_SKEW: Final = timedelta(hours=1)
"""Certificates are valid from a little before their issue: not every clock agrees."""


class CertificateProfile(BaseModel):
    """`profile.toml`: curve, names and validity of a site's certificates."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    organization: str
    curve: Literal["P-256", "P-384"]
    authority_days: int = Field(ge=1, le=7_300)
    certificate_days: int = Field(ge=1, le=825)


def load_profile(file: Path) -> CertificateProfile:
    """Read a certificate profile.

    Raises:
        SiteError: With every fault of the file.
    """
    try:
        return CertificateProfile.model_validate(tomllib.loads(file.read_text("utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
        raise SiteError([Fault(file, "", str(exc))]) from exc
    except ValidationError as exc:
        raise SiteError([Fault(file, ".".join(map(str, e["loc"])), e["msg"]) for e in exc.errors()]) from exc


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate and its key, both PEM."""

    certificate: bytes
    key: bytes

    def save(self, stem: Path) -> tuple[Path, Path]:
        """Write `STEM.pem` and `STEM.key`; the key can be read by its owner alone."""
        stem.parent.mkdir(parents=True, exist_ok=True)
        certificate, key = Path(f"{stem}.pem"), Path(f"{stem}.key")
        certificate.write_bytes(self.certificate)
        key.touch(mode=0o600)
        key.write_bytes(self.key)
        return certificate, key


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


class Authority:
    """A certificate authority held in memory."""

    def __init__(self, profile: CertificateProfile) -> None:
        """Make a new authority with a new key."""
        self._profile = profile
        self._key = ec.generate_private_key(_CURVES[profile.curve]())
        self._name = self._subject("certificate authority")
        public = self._key.public_key()
        self._identifier = x509.SubjectKeyIdentifier.from_public_key(public)
        self._certificate = (
            self._builder(self._name, public, profile.authority_days)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(authority=True), critical=True)
            .add_extension(self._identifier, critical=False)
            .sign(self._key, hashes.SHA256())
        )

    @property
    def issued(self) -> Issued:
        """The authority's own certificate and key."""
        return Issued(self._certificate.public_bytes(serialization.Encoding.PEM), _key_pem(self._key))

    def issue(self, uri: str, *, hosts: tuple[str, ...] = ()) -> Issued:
        """Issue a certificate for a holder.

        Args:
            uri: `msc://KIND/NAME`.
            hosts: Host names and addresses it also serves under, for clients that check those.
        """
        key = ec.generate_private_key(_CURVES[self._profile.curve]())
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri)]
        for host in hosts:
            try:
                names.append(x509.IPAddress(ipaddress.ip_address(host)))
            except ValueError:
                names.append(x509.DNSName(host))
        public = key.public_key()
        certificate = (
            self._builder(self._subject(uri), public, self._profile.certificate_days)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(authority=False), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]),
                critical=False,
            )
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(self._identifier),
                critical=False,
            )
            .sign(self._key, hashes.SHA256())
        )
        return Issued(certificate.public_bytes(serialization.Encoding.PEM), _key_pem(key))

    def _subject(self, common_name: str) -> x509.Name:
        return x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, self._profile.organization),
                x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64]),
            ]
        )

    def _builder(self, subject: x509.Name, public: ec.EllipticCurvePublicKey, days: int) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _CLOCK_SKEW)
            .not_valid_after(now + timedelta(days=days))
        )


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
