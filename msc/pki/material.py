"""What the switch shows and trusts: its certificate and key, the authority, the revocation list.

The files are looked at while the switch runs. What has changed is read and checked whole: good, it is in force for
every connection made from then on; bad, everything stays as it was. Connections that are there go on, unless their
peer's certificate is revoked now, has expired, or comes from an authority that is trusted no more.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography import x509

from msc import clock, tls
from msc.errors import Fault, FaultyInput, SettingsError
from msc.limits import CERTIFICATE_POLL_S
from msc.log import get_logger
from msc.metrics import Metrics
from msc.pki.authority import Holder, HolderKind, anchored, certificate_faults, has_issued
from msc.pki.folder import finish_pair
from msc.pki.revocation import RevocationList, issuer_of, load_revocations
from msc.pki.trust import Trust
from msc.settings import TlsSettings
from msc.tls import LiveContext, Objection, PeerCertificate

log = get_logger("link")

_DAY_S: Final = 86_400.0

Stamp = tuple[tuple[int, ...] | None, ...]
"""What tells one state of the files from another."""


@dataclass(frozen=True, slots=True)
class _Material:
    """One consistent reading of the files."""

    server: ssl.SSLContext
    client: ssl.SSLContext
    authorities: list[x509.Certificate]
    """Those TLS trusts."""
    revocations: RevocationList
    ends: dict[str, datetime]
    """When each thing ends: `switch`, `ca`, and `crl` if there is one."""


def _read_certificates(file: Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(file.read_bytes())
    except (OSError, ValueError) as exc:
        raise SettingsError([Fault(file, "", f"is not a certificate: {exc}")]) from exc


def _load(ca: Path, certificate: Path, key: Path, crl: Path) -> _Material:
    """Read everything.

    Raises:
        SettingsError: Something cannot be used.
    """
    server, client = tls.server_context(ca, certificate, key), tls.client_context(ca, certificate, key)
    known, own = _read_certificates(ca), _read_certificates(certificate)[0]
    authorities = anchored(known)
    # A certificate nobody will accept would shut the county out as surely as a broken one.
    faults = certificate_faults(own, authorities)
    if not faults and Holder.of(own).kind is not HolderKind.SWITCH:
        faults.append(f"names {Holder.of(own)}, which is not a switch")
    if faults:
        raise SettingsError([Fault(certificate, "", fault) for fault in faults])
    revocations = load_revocations(crl, known)
    ends = {
        "switch": own.not_valid_after_utc,
        "ca": min(authority.not_valid_after_utc for authority in known),
    }
    if revocations.next_update is not None:
        ends["crl"] = revocations.next_update
    return _Material(server, client, authorities, revocations, ends)


class TlsMaterial:
    """The TLS of a running switch.

    Attributes:
        server_context, client_context: For the listener and the lines; they take up what changes.

    Args:
        settings: `[tls]`.
        folder: Where its paths start.
        metrics: Count what is taken up and refused.

    Raises:
        FaultyInput: A file is missing or unusable.
    """

    def __init__(self, settings: TlsSettings, folder: Path, metrics: Metrics) -> None:
        self._files = tuple(folder / p for p in (settings.ca, settings.certificate, settings.key, settings.crl))
        self._warning_s = settings.expiry_warning_days * _DAY_S
        self._metrics = metrics
        finish_pair(self._files[1].with_suffix(""))
        self._seen = self._loaded = self._stamp()
        self._material = _load(*self._files)
        self._told_at = float("-inf")
        self._issued_by_ours: dict[str, bool] = {}
        self.server_context = LiveContext.of(self._material.server)
        self.client_context = LiveContext.of(self._material.client)

    # --- what others ask --------------------------------------------------------------------------

    def examine(self, peer: PeerCertificate) -> Objection | None:
        """Say what is wrong with a peer's certificate, which TLS accepted when it connected."""
        if self._material.revocations.covers(peer):
            return Objection.REVOKED
        if peer.not_after <= clock.wall_us() / 1e6:
            return Objection.EXPIRED
        # Every connection is asked about at every look: a signature is verified once, not for ever.
        trusted = self._issued_by_ours.get(peer.fingerprint)
        if trusted is None:
            certificate = x509.load_der_x509_certificate(peer.der)
            trusted = any(has_issued(authority, certificate) for authority in self._material.authorities)
            self._issued_by_ours[peer.fingerprint] = trusted
        return None if trusted else Objection.UNTRUSTED

    @property
    def trust(self) -> Trust:
        """What is trusted now, for certificates that are shown elsewhere than in a handshake."""
        return Trust(self._material.authorities, self._material.revocations)

    def expires_seconds(self) -> dict[str, float]:
        """Return how long switch certificate, authority and revocation list are good for; negative if no more."""
        now = clock.wall_us() / 1e6
        return {what: end.timestamp() - now for what, end in self._material.ends.items()}

    # --- its life ---------------------------------------------------------------------------------

    def report(self) -> None:
        """Tell the log what TLS and which cryptographic modules are in force."""
        facts = tls.cryptography_in_force(self._material.server)
        log.info("tls.in_force", revoked=len(self._material.revocations.revoked), **facts)

    async def run(self, looked: Callable[[], None]) -> None:
        """Look at the files until cancelled.

        Args:
            looked: Called after each look, to end the connections there is now an objection to.
        """
        while True:
            await self.look()
            looked()
            if clock.monotonic() - self._told_at >= _DAY_S:
                self._told_at = clock.monotonic()
                self._warn()
            await asyncio.sleep(CERTIFICATE_POLL_S)

    async def look(self) -> None:
        """Take up the files if they have changed, and have stood still since the last look."""
        stamp = self._stamp()
        settled, self._seen = stamp == self._seen, stamp
        if not settled or stamp == self._loaded:
            return
        self._loaded = stamp
        try:
            # Reading a long revocation list takes time the loop does not have.
            material = await asyncio.to_thread(_load, *self._files)
            self._refuse_worse(material)
        except FaultyInput as exc:
            self._metrics.certificate_changes["refused"] += 1
            log.error("certificates.refused", faults=[str(fault) for fault in exc.faults])
            return
        except Exception:
            # A file so strange that its reader fails is not a reason for a running switch to stop.
            self._metrics.certificate_changes["refused"] += 1
            log.exception("certificates.refused")
            return
        if material.authorities != self._material.authorities:
            self._issued_by_ours.clear()
        self._material = material
        self.server_context.replace(material.server)
        self.client_context.replace(material.client)
        self._metrics.certificate_changes["taken_up"] += 1
        log.info(
            "certificates.taken_up", revoked=len(material.revocations.revoked),
            ends={what: end.isoformat() for what, end in material.ends.items()},
        )  # fmt: skip
        self._warn()

    def _refuse_worse(self, material: _Material) -> None:
        """Refuse what may stand at a start, but never takes the place of something better."""
        _, certificate, _, crl = self._files
        now = datetime.now(UTC)
        if material.ends["switch"] <= now:
            raise SettingsError([Fault(certificate, "", "has expired")])
        editions, faults = material.revocations.editions, []
        for issuer, in_force in self._material.revocations.editions.items():
            if issuer not in map(issuer_of, material.authorities):
                continue  # nobody of an authority that is trusted no more gets in anyway
            if issuer not in editions:
                faults.append(Fault(crl, issuer[0], "the list is gone: what it revoked stays revoked"))
            elif editions[issuer].is_older(in_force):
                faults.append(Fault(crl, issuer[0], "the list is older than the one in force, which stays"))
        if faults:
            raise SettingsError(faults)

    def _warn(self) -> None:
        for what, seconds in self.expires_seconds().items():
            if seconds <= self._warning_s:
                tell = log.error if seconds <= 0 else log.warning
                tell("certificate.expiring", certificate=what, ends=self._material.ends[what].isoformat())

    def _stamp(self) -> Stamp:
        stamps: list[tuple[int, ...] | None] = []
        for file in self._files:
            try:
                at = file.stat()
            except OSError:
                stamps.append(None)
            else:
                stamps.append((at.st_ino, at.st_size, at.st_mtime_ns, at.st_ctime_ns))
        return tuple(stamps)
