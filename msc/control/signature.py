"""How operators prove who they are over the administrative socket: what is signed, and how it travels.

    GET /challenge                      -> {"nonce": "..."}
    POST /journal/search                MSC-Certificate: base64 of the certificate (DER)
                                        MSC-Nonce:       the nonce, good once and for half a minute
                                        MSC-Signature:   base64 of ECDSA with SHA-256, by the certificate's key, over

    MSC operator request 1 LF  nonce LF  method LF  path and query LF  SHA-256 of the body, hexadecimal

So a signature is good for one request, and says nothing of any other. Pure: bytes in, bytes out.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from msc.limits import OPERATOR_CERTIFICATE_BYTES_MAX

CERTIFICATE: Final = "MSC-Certificate"
NONCE: Final = "MSC-Nonce"
SIGNATURE: Final = "MSC-Signature"

_PURPOSE: Final = b"MSC operator request 1"
_HASH: Final = ec.ECDSA(hashes.SHA256())


class BadProof(ValueError):
    """What should prove who asks cannot be read; says why."""


def text_to_sign(nonce: str, method: str, target: str, body: bytes) -> bytes:
    """Write what an operator signs for a request.

    Args:
        target: Path and query, as they stand in the request.
    """
    digest = hashlib.sha256(body).hexdigest()
    return b"\n".join([_PURPOSE, nonce.encode(), method.encode(), target.encode(), digest.encode()])


def sign(key: ec.EllipticCurvePrivateKey, text: bytes) -> bytes:
    """Sign with an operator's key."""
    return key.sign(text, _HASH)


def is_signed(certificate: x509.Certificate, signature: bytes, text: bytes) -> bool:
    """Tell whether the key of a certificate signed a text."""
    key = certificate.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        return False
    try:
        key.verify(signature, text, _HASH)
    except InvalidSignature:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Proof:
    """What a request brings to prove who asks.

    Attributes:
        certificate: As it was shown; nothing of it is believed yet.
    """

    certificate: x509.Certificate
    nonce: str
    signature: bytes

    @classmethod
    def of(cls, headers: Mapping[str, str]) -> Self | None:
        """Read it from a request's headers; None if it brings nothing of the kind.

        Raises:
            BadProof: It brings something that cannot be read.
        """
        shown, nonce, signature = (headers.get(name) for name in (CERTIFICATE, NONCE, SIGNATURE))
        if shown is None and nonce is None and signature is None:
            return None
        if shown is None or nonce is None or signature is None:
            raise BadProof(f"a signed request needs {CERTIFICATE}, {NONCE} and {SIGNATURE}")
        return cls(read_certificate(shown), nonce, _decode(signature, SIGNATURE))

    def headers(self) -> dict[str, str]:
        """Write it as headers of a request."""
        return {
            CERTIFICATE: write_certificate(self.certificate),
            NONCE: self.nonce,
            SIGNATURE: base64.b64encode(self.signature).decode(),
        }


def write_certificate(certificate: x509.Certificate) -> str:
    """Write a certificate as a word of text."""
    return base64.b64encode(certificate.public_bytes(serialization.Encoding.DER)).decode()


def read_certificate(text: str) -> x509.Certificate:
    """Read what `write_certificate` wrote, or somebody sent.

    Raises:
        BadProof: It is not a certificate.
    """
    der = _decode(text, "the certificate")
    if len(der) > OPERATOR_CERTIFICATE_BYTES_MAX:
        raise BadProof("the certificate is too long")
    try:
        return x509.load_der_x509_certificate(der)
    except ValueError:
        raise BadProof("the certificate cannot be read") from None


def _decode(text: str, what: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise BadProof(f"{what} is not base64") from None
