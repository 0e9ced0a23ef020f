"""TLS contexts: mutual, 1.2 or newer, and the name a peer's certificate gives it."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

from msc.errors import Fault, SettingsError

# SC-13: 128 bits or more, forward secrecy; TLS 1.3 has nothing else.
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"


def _context(protocol: int, ca: Path, certificate: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    # Our names are URIs, not host names: the peer's is checked by `peer_names` after the handshake.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    faults = []
    try:
        context.load_verify_locations(ca)
    except (OSError, ssl.SSLError) as exc:
        faults.append(Fault(ca, "", f"cannot be used as certificate authority: {exc}"))
    try:
        context.load_cert_chain(certificate, key)
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


def peer_names(certificate: dict[str, Any] | None) -> list[str]:
    """Return the URI names of a peer's certificate as `getpeercert` gives it."""
    names = (certificate or {}).get("subjectAltName", ())
    return [value for kind, value in names if kind == "URI"]
