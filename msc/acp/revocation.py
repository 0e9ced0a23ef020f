"""What certificates are revoked: the authority's signed list, read and held against a peer.

We look at the list ourselves when a peer is admitted, and do not give it to OpenSSL: OpenSSL refuses everybody
once a list is out of date, and a county would stand still because somebody forgot to sign it again. Here an
out-of-date list still counts, and is told.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography import x509

from msc.errors import Fault, SettingsError
from msc.tls import PeerCertificate

_BLOCK: Final = re.compile(rb"-----BEGIN X509 CRL-----.+?-----END X509 CRL-----\s*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class RevocationList:
    """What is revoked.

    Attributes:
        revoked: Issuer and serial of each.
        next_update: When a newer list is due; None if there is no list.
    """

    revoked: frozenset[tuple[str, int]] = frozenset()
    next_update: datetime | None = None

    def covers(self, peer: PeerCertificate) -> bool:
        """Tell whether a peer's certificate is revoked."""
        return (peer.issuer, peer.serial) in self.revoked


def parse_crl(
    content: bytes, file: Path, authorities: Sequence[x509.Certificate]
) -> list[x509.CertificateRevocationList]:
    """Read revocation lists: PEM, one block each, or a single one as DER.

    Raises:
        SettingsError: There is none, or one is not signed by an authority that is trusted.
    """
    blocks = _BLOCK.findall(content)
    try:
        lists = [x509.load_pem_x509_crl(block) for block in blocks] or [x509.load_der_x509_crl(content)]
    except ValueError as exc:
        raise SettingsError([Fault(file, "", "is no revocation list")]) from exc
    for crl in lists:
        if not any(_signed_by(crl, authority) for authority in authorities):
            raise SettingsError([Fault(file, "", "is not signed by the site's authority")])
    return lists


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
    lists = parse_crl(content, file, authorities)
    revoked = {(crl.issuer.rfc4514_string(), entry.serial_number) for crl in lists for entry in crl}
    due = [crl.next_update_utc for crl in lists if crl.next_update_utc is not None]
    return RevocationList(frozenset(revoked), min(due, default=None))
