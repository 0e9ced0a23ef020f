"""Whose certificates a site believes, outside of TLS: its authorities, and what they have revoked.

TLS asks the same of stations while they connect; operators show their certificates over a local socket, or sign a
line of a file, and are held against the same authorities and the same list here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Self

from cryptography import x509

from msc.pki.authority import Holder, HolderKind, anchored, certificate_faults
from msc.pki.folder import CertificateFolder
from msc.pki.revocation import RevocationList, load_revocations


@dataclass(frozen=True, slots=True)
class Trust:
    """What is trusted.

    Attributes:
        authorities: Those from which a chain leads to a root.
        revocations: What they revoked.
    """

    authorities: Sequence[x509.Certificate]
    revocations: RevocationList

    @classmethod
    def of(cls, ca: Path, crl: Path) -> Self:
        """Read a site's files, as a starting switch does.

        Raises:
            FaultyInput: They cannot be read, or the list is not an authority's.
        """
        known = CertificateFolder(ca, crl).authorities()
        return cls(anchored(known), load_revocations(crl, known))

    def operator_faults(self, certificate: x509.Certificate, now: datetime) -> list[str]:
        """Say what keeps a certificate from being an operator's."""
        faults = certificate_faults(certificate, self.authorities)
        if faults:
            return faults
        kind = Holder.of(certificate).kind
        if kind is not HolderKind.OPERATOR:
            faults.append(f"it is a {kind}'s, not an operator's")
        if certificate.not_valid_before_utc > now:
            faults.append("it is not valid yet")
        if certificate.not_valid_after_utc <= now:
            faults.append("it has expired")
        if (certificate.issuer.rfc4514_string(), certificate.serial_number) in self.revocations.revoked:
            faults.append("it is revoked")
        return faults
