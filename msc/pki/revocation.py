"""What certificates are revoked: the signed list of each authority, read and held against a peer.

We look at the list ourselves when a peer is admitted, and do not give it to OpenSSL: OpenSSL refuses everybody
once a list is out of date, and a county would stand still because somebody forgot to sign it again. Here an
out-of-date list still counts, and is told.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from msc.errors import Fault, SettingsError
from msc.tls import PeerCertificate

_BLOCK: Final = re.compile(rb"-----BEGIN X509 CRL-----.+?-----END X509 CRL-----\s*", re.DOTALL)

Issuer = tuple[str, bytes]
"""Who signs lists: name and key. A site's new authority may bear the old one's name, and counts from one again."""

Lists = Mapping[Issuer, Sequence[x509.CertificateRevocationList]]


def issuer_of(authority: x509.Certificate) -> Issuer:
    """Return what an authority is as a signer of lists; it stays so when its certificate is renewed."""
    key = authority.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return authority.subject.rfc4514_string(), key


@dataclass(frozen=True, slots=True)
class Edition:
    """What tells which of two lists of one issuer is the older.

    Attributes:
        number: Its CRL number; None if it has none.
        signed: When it was signed.
        serials: What it revokes.
    """

    number: int | None
    signed: datetime
    serials: frozenset[int]

    @classmethod
    def of(cls, lists: Sequence[x509.CertificateRevocationList]) -> Edition:
        """Read it off an issuer's list, or what it split into several."""
        return cls(
            max((number for crl in lists if (number := _number(crl)) is not None), default=None),
            max(crl.last_update_utc for crl in lists),
            frozenset(entry.serial_number for crl in lists for entry in crl),
        )

    def is_older(self, than: Edition) -> bool:
        """Tell whether this must not take the other's place."""
        if self.number is None or than.number is None:
            return self.signed < than.signed
        if self.number == than.number:
            # Two lists of one number: this was signed in ignorance of the other, from a backup say, if it lacks any.
            return not self.serials >= than.serials
        return self.number < than.number


def _number(crl: x509.CertificateRevocationList) -> int | None:
    try:
        return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except x509.ExtensionNotFound:
        return None


@dataclass(frozen=True, slots=True)
class RevocationList:
    """What is revoked.

    Attributes:
        revoked: Issuer and serial of each.
        next_update: When a newer list is due; None if there is no list.
        editions: Which list of each issuer this is.
    """

    revoked: frozenset[tuple[str, int]] = frozenset()
    next_update: datetime | None = None
    editions: Mapping[Issuer, Edition] = field(default_factory=dict)

    def covers(self, peer: PeerCertificate) -> bool:
        """Tell whether a peer's certificate is revoked."""
        return (peer.issuer, peer.serial) in self.revoked


def parse_crl(content: bytes, file: Path, authorities: Sequence[x509.Certificate]) -> Lists:
    """Read revocation lists, by issuer: PEM, one block each, or a single one as DER.

    Raises:
        SettingsError: There is none, or one is not signed by an authority that is trusted.
    """
    blocks = _BLOCK.findall(content)
    try:
        lists = [x509.load_pem_x509_crl(block) for block in blocks] or [x509.load_der_x509_crl(content)]
    except ValueError as exc:
        raise SettingsError([Fault(file, "", "is not a revocation list")]) from exc
    found: dict[Issuer, list[x509.CertificateRevocationList]] = {}
    for crl in lists:
        signer = next((authority for authority in authorities if _signed_by(crl, authority)), None)
        if signer is None:
            raise SettingsError([Fault(file, "", "is not signed by the site's authority")])
        found.setdefault(issuer_of(signer), []).append(crl)
    return found


def _signed_by(crl: x509.CertificateRevocationList, authority: x509.Certificate) -> bool:
    if crl.issuer != authority.subject:
        return False
    try:
        return crl.is_signature_valid(authority.public_key())  # type: ignore[arg-type]  # else TypeError
    except TypeError:
        return False


def load_revocations(file: Path, authorities: Sequence[x509.Certificate]) -> RevocationList:
    """Read what is revoked. A file that is not there revokes nothing.

    Raises:
        SettingsError: It cannot be read, or is not signed by an authority that is trusted.
    """
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        return RevocationList()
    except OSError as exc:
        raise SettingsError([Fault(file, "", f"cannot be read: {exc.strerror}")]) from exc
    by_issuer = parse_crl(content, file, authorities)
    lists = [crl for own in by_issuer.values() for crl in own]
    revoked = {(crl.issuer.rfc4514_string(), entry.serial_number) for crl in lists for entry in crl}
    due = [crl.next_update_utc for crl in lists if crl.next_update_utc is not None]
    editions = {issuer: Edition.of(own) for issuer, own in by_issuer.items()}
    return RevocationList(frozenset(revoked), min(due, default=None), editions)
