"""The site's certificate authority: makes the certificates by which switch, devices and hosts know each other.

A certificate names its holder in one URI subject alternative name, `msc://KIND/NAME`. Nothing here knows where
files stand; `certificate_folder` does.
"""

from __future__ import annotations

import ipaddress
import re
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Final, Literal, Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from msc.errors import Fault, SiteError

_CURVES: Final = {"P-256": ec.SECP256R1, "P-384": ec.SECP384R1}
_ALLOWED_CURVES: Final = ("secp256r1", "secp384r1", "secp521r1")
_RSA_BITS_MIN: Final = 2_048
_CLOCK_SKEW: Final = timedelta(hours=1)
"""Certificates are valid from a little before their issue: not every clock agrees."""
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_HOST: Final = re.compile(r"(\*\.)?[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_CLIENT, _SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH


class CertificateProfile(BaseModel):
    """`profile.toml`: curve, names and validity of a site's certificates."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    organization: str
    curve: Literal["P-256", "P-384"]
    authority_days: int = Field(ge=1, le=7_300)
    certificate_days: int = Field(ge=1, le=825)
    crl_days: int = Field(default=90, ge=1, le=825)


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


# --- who a certificate is for ---------------------------------------------------------------------


class HolderKind(StrEnum):
    """What the holder of a certificate is."""

    DEVICE = "device"
    HOST = "host"
    SWITCH = "switch"
    OPERATOR = "operator"


# A `host` is a CAD host, which connects to us, or a state host, which we connect to; a switch does both.
_USES: Final = {
    HolderKind.DEVICE: (_CLIENT,),
    HolderKind.OPERATOR: (_CLIENT,),
    HolderKind.HOST: (_CLIENT, _SERVER),
    HolderKind.SWITCH: (_CLIENT, _SERVER),
}


@dataclass(frozen=True, slots=True, order=True)
class Holder:
    """Whom a certificate names: `msc://KIND/NAME`."""

    kind: HolderKind
    name: str

    def __post_init__(self) -> None:
        """Refuse what could be read as another name.

        Raises:
            ValueError: It is not a name.
        """
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"{self.name!r} is not a name: letters, digits, '.', '_' and '-', at most 64")

    def __str__(self) -> str:
        return f"msc://{self.kind}/{self.name}"

    @classmethod
    def parse(cls, uri: str) -> Self:
        """Read `msc://KIND/NAME`.

        Raises:
            ValueError: It is something else.
        """
        kind, slash, name = uri.removeprefix("msc://").partition("/")
        if not uri.startswith("msc://") or not slash or kind not in set(HolderKind):
            raise ValueError(f"{uri!r} is not a name of ours: msc://device, host, switch or operator, and a name")
        return cls(HolderKind(kind), name)

    @classmethod
    def of(cls, certificate: x509.Certificate) -> Self:
        """Read whom a certificate names.

        Raises:
            ValueError: Nobody of ours, or more than one.
        """
        try:
            names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            raise ValueError("it names no holder") from None
        except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as exc:
            raise ValueError(f"its extensions cannot be read: {exc}") from exc
        uris = [uri for uri in names.get_values_for_type(x509.UniformResourceIdentifier) if uri.startswith("msc://")]
        if len(uris) != 1:
            raise ValueError(f"it must name one holder, and names {len(uris)}")
        return cls.parse(uris[0])


def host_names(certificate: x509.Certificate) -> tuple[str, ...]:
    """Return the host names and addresses a certificate serves under."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    addresses = [str(address) for address in names.get_values_for_type(x509.IPAddress)]
    return (*names.get_values_for_type(x509.DNSName), *addresses)


def _alternative_names(holder: Holder, hosts: Iterable[str]) -> x509.SubjectAlternativeName:
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(str(holder))]
    for host in hosts:
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(host)))
        except ValueError:
            if not _HOST.fullmatch(host):
                raise ValueError(f"{host!r} is not a host name or address") from None
            names.append(x509.DNSName(host))
    return x509.SubjectAlternativeName(names)


# --- keys and files -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate (or a request for one) and its key, both PEM."""

    certificate: bytes
    key: bytes


def _key_pem(key: ec.EllipticCurvePrivateKey, passphrase: str | None = None) -> bytes:
    sealed: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase is not None:
        sealed = serialization.BestAvailableEncryption(passphrase.encode())
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, sealed)


def make_request(profile: CertificateProfile, holder: Holder, hosts: Sequence[str] = ()) -> Issued:
    """Make a key and a certificate signing request for an authority elsewhere.

    Raises:
        ValueError: A host name is none.
    """
    key = ec.generate_private_key(_CURVES[profile.curve]())
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(_subject(profile, str(holder)))
        .add_extension(_alternative_names(holder, hosts), critical=False)
        .add_extension(_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(_USES[holder.kind]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Issued(request.public_bytes(serialization.Encoding.PEM), _key_pem(key))


# --- the authority --------------------------------------------------------------------------------


class Authority:
    """A certificate authority held in memory.

    Attributes:
        certificate: Its own.
    """

    def __init__(
        self, profile: CertificateProfile, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey
    ) -> None:
        self.certificate = certificate
        self._profile = profile
        self._key = key

    @classmethod
    def create(cls, profile: CertificateProfile) -> Self:
        """Make a new authority with a new key."""
        key = ec.generate_private_key(_CURVES[profile.curve]())
        public, name, now = key.public_key(), _subject(profile, "certificate authority"), _now()
        certificate = (
            _builder(name, name, public, now - _CLOCK_SKEW, now + timedelta(days=profile.authority_days))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(authority=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .sign(key, hashes.SHA256())
        )
        return cls(profile, certificate, key)

    @classmethod
    def load(cls, profile: CertificateProfile, certificate: Path, key: Path, passphrase: str | None) -> Self:
        """Read an authority from its files.

        Args:
            profile: What it issues.
            certificate, key: Its files, PEM.
            passphrase: The key's; passed over if the key is not encrypted.

        Raises:
            SiteError: A file cannot be read, the passphrase is wrong or missing, or the two do not belong together.
        """
        try:
            own = x509.load_pem_x509_certificate(certificate.read_bytes())
        except (OSError, ValueError) as exc:
            raise SiteError([Fault(certificate, "", f"is not a certificate: {exc}")]) from exc
        try:
            pem = key.read_bytes()
        except OSError as exc:
            raise SiteError([Fault(key, "", f"the authority's key cannot be read: {exc.strerror}")]) from exc
        secret = passphrase.encode() if passphrase and key_is_encrypted(pem) else None
        try:
            private = serialization.load_pem_private_key(pem, secret)
        except TypeError as exc:
            raise SiteError([Fault(key, "", "is encrypted, and no passphrase was given")]) from exc
        except ValueError as exc:
            raise SiteError([Fault(key, "", "the passphrase is wrong, or this is not a key")]) from exc
        if not isinstance(private, ec.EllipticCurvePrivateKey) or private.public_key() != own.public_key():
            raise SiteError([Fault(key, "", f"is not the key of {certificate}")])
        return cls(profile, own, private)

    def sealed(self, passphrase: str) -> Issued:
        """Return the authority's certificate and its key, encrypted with a passphrase (PKCS #8)."""
        return Issued(pem_of(self.certificate), _key_pem(self._key, passphrase))

    def issue(
        self, uri: str, *, hosts: Sequence[str] = (), days: int | None = None, valid_from: datetime | None = None
    ) -> Issued:
        """Issue a certificate for a holder. It ends with the authority's at the latest.

        Args:
            uri: `msc://KIND/NAME`.
            hosts: Host names and addresses it also serves under, for clients that check those.
            days: Until it ends, from its beginning on; by default the profile's.
            valid_from: When it begins; by default a little before now.

        Raises:
            ValueError: The name or a host name is none, or the authority ends before the certificate begins.
        """
        holder = Holder.parse(uri)
        key = ec.generate_private_key(_CURVES[self._profile.curve]())
        public, now = key.public_key(), _now()
        begins = valid_from or now - _CLOCK_SKEW
        ends = (valid_from or now) + timedelta(days=days or self._profile.certificate_days)
        ends = min(ends, self.certificate.not_valid_after_utc)
        if ends <= begins:
            raise ValueError("the authority's own certificate ends before this one would begin")
        certificate = (
            _builder(_subject(self._profile, uri), self.certificate.subject, public, begins, ends)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(authority=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(_USES[holder.kind]), critical=False)
            .add_extension(_alternative_names(holder, hosts), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(self._key_identifier(), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return Issued(pem_of(certificate), _key_pem(key))

    def sign_crl(self, revoked: Iterable[x509.RevokedCertificate], number: int) -> bytes:
        """Sign a list of what is revoked, PEM; its next update is due after the profile's `crl_days`."""
        now = _now()
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(now)
            .next_update(now + timedelta(days=self._profile.crl_days))
            .add_extension(x509.CRLNumber(number), critical=False)
            .add_extension(self._key_identifier(), critical=False)
        )
        for entry in revoked:
            builder = builder.add_revoked_certificate(entry)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def _key_identifier(self) -> x509.AuthorityKeyIdentifier:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())


def key_is_encrypted(pem: bytes) -> bool:
    """Tell whether a private key asks for a passphrase."""
    return b"ENCRYPTED" in pem


def pem_of(certificate: x509.Certificate) -> bytes:
    """Write a certificate as PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def revocation(serial: int, reason: x509.ReasonFlags) -> x509.RevokedCertificate:
    """Make the entry of a revocation list for a certificate revoked now."""
    builder = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(_now())
    # RFC 5280 5.3.1: an unspecified reason is said by saying none.
    if reason is not x509.ReasonFlags.unspecified:
        builder = builder.add_extension(x509.CRLReason(reason), critical=False)
    return builder.build()


# --- what may be trusted --------------------------------------------------------------------------


def certificate_faults(
    certificate: x509.Certificate, authorities: Sequence[x509.Certificate], *, serves: bool = False
) -> list[str]:
    """Say what keeps a holder's certificate from being used.

    Args:
        certificate: Of a switch, device, host or operator.
        authorities: Those that are trusted, with all that stand between them and the certificate.
        serves: Whether its holder is connected to, rather than connects.
    """
    try:
        holder = Holder.of(certificate)
    except ValueError as exc:
        return [str(exc)]
    try:
        key, algorithm = certificate.public_key(), certificate.signature_hash_algorithm
    except (ValueError, UnsupportedAlgorithm) as exc:
        return [f"its key or signature is of an unknown kind: {exc}"]
    faults = []
    if not (isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _ALLOWED_CURVES):
        faults.append("its key is not ECDSA on P-256, P-384 or P-521")
    if algorithm is not None and algorithm.digest_size < hashes.SHA256.digest_size:
        faults.append(f"it is signed with {algorithm.name}")
    if not any(has_issued(authority, certificate) for authority in authorities):
        faults.append("it was not issued by the site's authority")
    wanted = set(_USES[holder.kind])
    if holder.kind is HolderKind.HOST:
        wanted = {_SERVER if serves else _CLIENT}
    for extension in certificate.extensions:
        value = extension.value
        if isinstance(value, x509.BasicConstraints) and value.ca:
            faults.append("it is an authority's, not a holder's")
        elif isinstance(value, x509.KeyUsage) and not value.digital_signature:
            faults.append("its key usage lacks digitalSignature")
        elif isinstance(value, x509.ExtendedKeyUsage) and (missing := wanted - set(value)):
            names = {_CLIENT: "clientAuth", _SERVER: "serverAuth"}
            faults.append(f"its extended key usage lacks {', '.join(sorted(names[use] for use in missing))}")
    return faults


def has_issued(authority: x509.Certificate, certificate: x509.Certificate) -> bool:
    """Tell whether an authority signed a certificate."""
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def anchored(authorities: Sequence[x509.Certificate]) -> list[x509.Certificate]:
    """Return the authorities from which a chain leads to a root, all of it among them: TLS trusts no other."""
    found = [each for each in authorities if has_issued(each, each)]
    for authority in found:  # grows meanwhile: each finds those right below it
        found += [each for each in authorities if each not in found and has_issued(authority, each)]
    return found


def authority_fault(certificate: x509.Certificate) -> str | None:
    """Say what keeps a certificate from being an authority's, or None."""
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        return "it is not an authority's certificate"
    if not constraints.ca:
        return "it is not an authority's certificate"
    key = certificate.public_key()
    strong = (isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _ALLOWED_CURVES) or (
        isinstance(key, rsa.RSAPublicKey) and key.key_size >= _RSA_BITS_MIN
    )
    if not strong:
        return f"its key is too weak: ECDSA on P-256 or better, or RSA of {_RSA_BITS_MIN} bits or more"
    return None


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def _subject(profile: CertificateProfile, common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, profile.organization),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64]),
        ]
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, begins: datetime, ends: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
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
