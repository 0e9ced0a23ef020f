"""A site's certificates: where each stands, what the demo knows of them, and what is in force."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from msc import tls
from msc.errors import Fault, SiteError
from msc.pki.authority import Holder, HolderKind, host_names
from msc.pki.folder import CertificateFolder, CertificateState, IssuedCertificate
from msc.pki.revocation import load_revocations
from msc.settings import Settings


def certificate_folder(settings: Settings) -> CertificateFolder:
    """Return the certificates of a site."""
    return CertificateFolder(settings.path(settings.tls.ca), settings.path(settings.tls.crl))


def usual_stem(settings: Settings, holder: Holder) -> Path:
    """Return where a holder's certificate and key usually stand in a site, without `.pem` and `.key`.

    Raises:
        SiteError: The switch's own do not stand side by side under one name.
    """
    folder = settings.path(settings.tls.ca).parent
    if holder == Holder(HolderKind.SWITCH, settings.switch.name):
        certificate, key = settings.path(settings.tls.certificate), settings.path(settings.tls.key)
        if (certificate.suffix, key) != (".pem", certificate.with_suffix(".key")):
            raise SiteError([Fault(settings.file, "tls", "certificate and key must be NAME.pem and NAME.key")])
        return certificate.with_suffix("")
    if is_line_end(settings, holder):
        return folder / "lines" / holder.name
    # A CAD host is a device of the directory like any other.
    rooms = {HolderKind.SWITCH: "switches", HolderKind.OPERATOR: "operators"}
    return folder / rooms.get(holder.kind, "devices") / holder.name


def is_line_end(settings: Settings, holder: Holder) -> bool:
    """Tell whether a holder is the host at the other end of one of the site's lines."""
    return str(holder) in {line.peer for line in settings.line}


def demo_passphrase(settings: Settings) -> str | None:
    """Find the passphrase of the authority's key where a demo site wrote it down."""
    try:
        passphrase = json.loads((settings.folder / "demo.json").read_text("utf-8"))["ca_passphrase"]
    except (OSError, ValueError, KeyError):
        return None
    return str(passphrase)


# --- what there is --------------------------------------------------------------------------------


def describe(certificate: x509.Certificate) -> dict[str, Any]:
    """Say of a certificate what people ask about."""
    try:
        holder: Holder | None = Holder.of(certificate)
    except ValueError:
        holder = None
    return {
        "holder": str(holder) if holder else None,
        "subject": certificate.subject.rfc4514_string(),
        "issuer": certificate.issuer.rfc4514_string(),
        "serial": f"{certificate.serial_number:X}",
        "valid_from": certificate.not_valid_before_utc.isoformat(),
        "valid_until": certificate.not_valid_after_utc.isoformat(),
        "hosts": list(host_names(certificate)),
        "key": _key_name(certificate),
        "fingerprint": certificate.fingerprint(hashes.SHA256()).hex(),
    }


def describe_issued(row: IssuedCertificate) -> dict[str, Any]:
    """Say of a certificate of the register what people ask about."""
    return {"kind": row.holder.kind.value, "name": row.holder.name, "state": row.state.value} | describe(
        row.certificate
    )


def _key_name(certificate: x509.Certificate) -> str:
    key = certificate.public_key()
    curve, bits = getattr(key, "curve", None), getattr(key, "key_size", None)
    return str(curve.name) if curve is not None else f"{type(key).__name__.removeprefix('_')} {bits}"


def in_force(settings: Settings) -> dict[str, Any]:
    """Say what a site's switch uses: certificate, authority, revocation list, TLS and its modules.

    Raises:
        FaultyInput: A file is missing or cannot be used.
    """
    folder = certificate_folder(settings)
    ca, certificate, key = (settings.path(p) for p in (settings.tls.ca, settings.tls.certificate, settings.tls.key))
    context = tls.server_context(ca, certificate, key)
    authorities = folder.authorities()
    revocations = load_revocations(folder.crl, authorities)
    return {
        "switch": describe(x509.load_pem_x509_certificate(certificate.read_bytes())),
        "authorities": [describe(authority) for authority in authorities],
        "authority_key": folder.key_state(),
        "crl": None
        if revocations.next_update is None
        else {"revoked": len(revocations.revoked), "next_update": revocations.next_update.isoformat()},
        "tls": tls.cryptography_in_force(context),
    }


def certificate_remarks(settings: Settings) -> list[Fault]:
    """Tell what ends within `expiry_warning_days` and has no successor, and an authority's key anybody could use.

    Raises:
        FaultyInput: The authority or the revocation list cannot be used.
    """
    folder, now = certificate_folder(settings), datetime.now(UTC)
    ahead = timedelta(days=settings.tls.expiry_warning_days)
    remarks = []

    def ends(file: Path, what: str, at: datetime) -> None:
        if at <= now + ahead:
            remarks.append(Fault(file, what, f"{'ended' if at <= now else 'ends'} on {at:%Y-%m-%d}"))

    if folder.key_state() == "not encrypted":
        remarks.append(Fault(folder.ca_key, "", "is not encrypted: whoever reads it can be any device"))
    authorities = folder.authorities()
    for authority in authorities:
        ends(folder.ca, "the authority's certificate", authority.not_valid_after_utc)
    revocations = load_revocations(folder.crl, authorities)
    if revocations.next_update is not None:
        ends(folder.crl, "next update", revocations.next_update)
    switch = settings.path(settings.tls.certificate)
    used = x509.load_pem_x509_certificate(switch.read_bytes())
    ends(switch, "the switch's certificate", used.not_valid_after_utc)
    # What a holder has a newer one of is not a concern, nor what ended long ago: its holder is gone.
    unrevoked = [row for row in folder.register() if row.state is not CertificateState.REVOKED]
    for row in {row.holder: row for row in sorted(unrevoked, key=lambda row: row.ends)}.values():
        if row.certificate != used and row.ends > now - ahead:
            ends(folder.folder / "issued" / f"{row.serial}.pem", str(row.holder), row.ends)
    return remarks
