"""An operator's certificate and key, as somebody who asks has them: read from files, and used to sign."""

from __future__ import annotations

import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from msc.control.signature import Proof, sign, text_to_sign
from msc.errors import Fault, SiteError
from msc.pki.authority import Holder, HolderKind, key_is_encrypted
from msc.pki.folder import parse_certificates


@dataclass(frozen=True, slots=True)
class OperatorKey:
    """What proves who somebody is.

    Attributes:
        name: The operator's, as the certificate has it.
    """

    name: str
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def proof(self, nonce: str, method: str, target: str, body: bytes) -> Proof:
        """Sign a request."""
        return Proof(self.certificate, nonce, sign(self.key, text_to_sign(nonce, method, target, body)))


def load_operator_key(certificate: Path, key: Path, passphrase: Callable[[], str | None]) -> OperatorKey:
    """Read an operator's certificate and key.

    Args:
        passphrase: Asked only if the key is encrypted; None where there is nobody to ask.

    Raises:
        SiteError: A file cannot be read, others could read the key, or the two do not belong together.
    """
    try:
        own = parse_certificates(certificate.read_bytes(), certificate)[0]
    except OSError as exc:
        raise SiteError([Fault(certificate, "", f"cannot be read: {exc.strerror}")]) from exc
    try:
        holder = Holder.of(own)
    except ValueError as exc:
        raise SiteError([Fault(certificate, "", str(exc))]) from exc
    if holder.kind is not HolderKind.OPERATOR:
        raise SiteError([Fault(certificate, "", f"is {holder}'s, who is not an operator")])
    private = _load_key(key, passphrase)
    if private.public_key() != own.public_key():
        raise SiteError([Fault(key, "", f"is not the key of {certificate}")])
    return OperatorKey(holder.name, own, private)


def _load_key(file: Path, passphrase: Callable[[], str | None]) -> ec.EllipticCurvePrivateKey:
    try:
        pem = file.read_bytes()
        mode = stat.S_IMODE(file.stat().st_mode)
    except OSError as exc:
        raise SiteError([Fault(file, "", f"the operator's key cannot be read: {exc.strerror}")]) from exc
    encrypted = key_is_encrypted(pem)
    if mode & 0o077 and not encrypted:
        raise SiteError([Fault(file, "", f"others can read this key (mode {mode:o}): chmod 600, or encrypt it")])
    given = passphrase() if encrypted else None
    if encrypted and not given:
        raise SiteError([Fault(file, "", "the key is encrypted, and there is nobody to ask for its passphrase")])
    try:
        private = serialization.load_pem_private_key(pem, given.encode() if given else None)
    except (ValueError, TypeError) as exc:
        problem = "the passphrase is wrong, or this is not a key" if encrypted else "is not a key"
        raise SiteError([Fault(file, "", problem)]) from exc
    if not isinstance(private, ec.EllipticCurvePrivateKey):
        raise SiteError([Fault(file, "", "is not an ECDSA key")])
    return private
