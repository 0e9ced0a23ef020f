"""TLS contexts: mutual, 1.2 or newer; what a peer's certificate says of it; and what cryptography is in force."""

from __future__ import annotations

import _hashlib
import hashlib
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.bindings._rust import openssl as cryptography_openssl

from msc.errors import Fault, SettingsError

# SC-13: 128 bits or more, forward secrecy; TLS 1.3 has nothing else.
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"


def _context(protocol: int, ca: Path, certificate: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    # Our names are URIs, not host names: the peer's `PeerCertificate` is looked at after the handshake.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    faults = []
    try:
        context.load_verify_locations(ca)
    except (OSError, ssl.SSLError) as exc:
        faults.append(Fault(ca, "", f"cannot be used as certificate authority: {exc}"))
    try:
        # A daemon has nobody to ask: an encrypted key is a fault, not a prompt.
        context.load_cert_chain(certificate, key, password="")
    except (OSError, ssl.SSLError) as exc:
        faults.append(Fault(certificate, "", f"cannot be used with key {key}: {exc}"))
    if faults:
        raise SettingsError(faults)
    return context


def report_refused_handshakes(context: ssl.SSLContext, report: Callable[[str], None]) -> None:
    """Have handshakes that fail on a context told, with the reason; event loops pass over them in silence."""

    class Reporting(ssl.SSLObject):
        def do_handshake(self) -> None:
            try:
                super().do_handshake()
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                raise
            except ssl.SSLError as exc:
                report(str(getattr(exc, "verify_message", "") or exc.reason or "no reason"))
                raise

    context.sslobject_class = Reporting


def server_context(ca: Path, certificate: Path, key: Path) -> ssl.SSLContext:
    """Make the context of a listener that demands client certificates.

    Raises:
        SettingsError: A file is missing or unusable.
    """
    context = _context(ssl.PROTOCOL_TLS_SERVER, ca, certificate, key)
    # Connections last for days: resumption saves nothing, and tickets cost two frames each.
    context.num_tickets = 0
    return context


def client_context(ca: Path, certificate: Path, key: Path) -> ssl.SSLContext:
    """Make the context of a client with a certificate of its own.

    Raises:
        SettingsError: A file is missing or unusable.
    """
    return _context(ssl.PROTOCOL_TLS_CLIENT, ca, certificate, key)


class LiveContext(ssl.SSLContext):
    """A context that can be replaced while a server or a line uses it: each new connection takes what is in force.

    A context itself can be given another certificate, but never forgets an authority it has trusted.
    """

    _current: ssl.SSLContext

    @classmethod
    def of(cls, context: ssl.SSLContext) -> LiveContext:
        """Stand for a context until another takes its place."""
        live = cls(context.protocol)
        live._current = context
        return live

    def replace(self, context: ssl.SSLContext) -> None:
        """Let new connections use another context; those there are go on with theirs."""
        self._current = context

    def wrap_bio(self, *args: Any, **members: Any) -> ssl.SSLObject:
        """Begin the TLS of a connection; called by the event loop."""
        self._current.sslobject_class = self.sslobject_class  # see `report_refused_handshakes`
        return self._current.wrap_bio(*args, **members)


# --- the peer -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PeerCertificate:
    """What a peer's certificate says.

    Attributes:
        names: Its URI names.
        serial, issuer: What tells it from all others; the issuer as RFC 4514 writes it.
        fingerprint: SHA-256, hexadecimal.
        not_after: When it ends, seconds since 1970.
        der: All of it, as it was shown.
    """

    names: tuple[str, ...]
    serial: int
    issuer: str
    fingerprint: str
    not_after: float
    der: bytes = field(default=b"", repr=False)

    def __str__(self) -> str:
        return f"{', '.join(self.names)[:200] or 'no name'}, serial {self.serial:X}"


def read_peer(der: bytes) -> PeerCertificate:
    """Read a peer's certificate. What cannot be read names nobody, so that nobody admits it."""
    fingerprint = hashlib.sha256(der).hexdigest()
    try:
        certificate = x509.load_der_x509_certificate(der)
        try:
            alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            names = tuple(alternatives.get_values_for_type(x509.UniformResourceIdentifier))
        except x509.ExtensionNotFound:
            names = ()
        return PeerCertificate(
            names,
            certificate.serial_number,
            certificate.issuer.rfc4514_string(),
            fingerprint,
            certificate.not_valid_after_utc.timestamp(),
            der,
        )
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        return PeerCertificate((), 0, "", fingerprint, 0.0, der)


class Objection(StrEnum):
    """What may be wrong with a certificate that TLS has let pass."""

    REVOKED = "the certificate is revoked"
    EXPIRED = "the certificate has expired"
    UNTRUSTED = "the certificate's issuer is not among the authorities"

    @property
    def event(self) -> str:
        """The audit event of a connection ended for it: `certificate.revoked`, `certificate.expired` …"""
        return f"certificate.{self.name.lower()}"


Examine = Callable[[PeerCertificate], Objection | None]
"""Looks at a peer's certificate, when it is admitted and while it is connected."""


# --- what is in force -----------------------------------------------------------------------------


def cryptography_in_force(context: ssl.SSLContext) -> dict[str, Any]:
    """Say what TLS a context speaks and with which cryptographic modules, and whether these run in FIPS mode."""
    return {
        "minimum_version": context.minimum_version.name,
        "ciphers": [cipher["name"] for cipher in context.get_ciphers()],
        "openssl": ssl.OPENSSL_VERSION,
        "openssl_fips": bool(_hashlib.get_fips_mode()),
        "cryptography_openssl": cryptography_openssl.openssl_version_text(),
        "cryptography_fips": cryptography_openssl.is_fips_enabled(),
    }
