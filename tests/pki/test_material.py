"""What the switch shows and trusts, taken up while it runs."""

from __future__ import annotations

import contextlib
import os
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from msc import clock
from msc.errors import SettingsError
from msc.metrics import Metrics
from msc.pki.authority import Authority, CertificateProfile, Holder, HolderKind
from msc.pki.folder import CertificateFolder, install
from msc.pki.material import TlsMaterial
from msc.settings import TlsSettings
from msc.tls import Objection, client_context, read_peer

PROFILE = CertificateProfile(organization="Test", curve="P-256", authority_days=100, certificate_days=30)
SWITCH, DEVICE = Holder(HolderKind.SWITCH, "S1"), Holder(HolderKind.DEVICE, "D1")


class Site:
    """A switch's TLS over files of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = CertificateFolder(folder / "certs/ca.pem", folder / "certs/crl.pem")
        self.authority = self.folder.establish(PROFILE, "secret")
        self.stem = folder / "certs" / "switch"
        self.first = self.folder.issue(self.authority, SWITCH, self.stem)
        self.device = self.folder.issue(self.authority, DEVICE, folder / "certs" / "d1")
        settings = TlsSettings(
            ca=Path("certs/ca.pem"), certificate=Path("certs/switch.pem"), key=Path("certs/switch.key")
        )
        self.metrics = Metrics()
        self.make: Callable[[], TlsMaterial] = lambda: TlsMaterial(settings, folder, self.metrics)
        self.material = self.make()
        self.client = client_context(self.folder.ca, folder / "certs" / "d1.pem", folder / "certs" / "d1.key")

    def renew(self, **members: object) -> x509.Certificate:
        return self.folder.issue(self.authority, SWITCH, self.stem, force=True, **members)  # type: ignore[arg-type]

    def revoke(self) -> None:
        self.folder.revoke(self.authority, [self.device.serial_number], x509.ReasonFlags.key_compromise)

    async def look(self) -> None:
        """Look as often as it takes for a change that stands still to count."""
        await self.material.look()
        await self.material.look()

    def served(self) -> int:
        """Shake hands in memory; return the serial of the certificate the switch shows."""
        to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        server = self.material.server_context.wrap_bio(to_server, to_client, server_side=True)
        client = self.client.wrap_bio(to_client, to_server)
        for _ in range(4):
            for end in (client, server):
                with contextlib.suppress(ssl.SSLWantReadError):
                    end.do_handshake()
        return read_peer(client.getpeercert(True) or b"").serial


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.mark.requirement("F-TLS")
async def test_a_renewed_certificate_is_shown_to_whoever_connects_from_then_on(site: Site) -> None:
    assert site.served() == site.first.serial_number
    renewed = site.renew()
    await site.look()
    assert site.served() == renewed.serial_number
    assert site.metrics.certificate_changes == {"taken_up": 1}
    assert site.material.expires_seconds()["switch"] == pytest.approx(30 * 86_400, abs=60)


async def test_a_change_counts_only_once_it_has_stood_still(site: Site) -> None:
    """So that half of a pair is never taken up, nor told as a fault."""
    key = Path(f"{site.stem}.key")
    before = key.read_bytes()
    renewed = site.renew()
    after = key.read_bytes()
    key.write_bytes(before)
    await site.material.look()
    key.write_bytes(after)
    await site.material.look()
    await site.material.look()
    assert site.metrics.certificate_changes == {"taken_up": 1}
    assert site.served() == renewed.serial_number


@pytest.mark.requirement("F-TLS")
@pytest.mark.parametrize(
    "fault", ["garbage", "gone", "another key", "another authority", "device's", "encrypted", "expired"]
)
async def test_bad_material_is_refused_whole_and_what_was_in_force_stays(site: Site, fault: str) -> None:
    pem = Path(f"{site.stem}.pem")
    site.revoke()  # good by itself, and not taken up either
    if fault == "garbage":
        pem.write_text("no certificate")
    elif fault == "gone":
        pem.unlink()
    elif fault == "another key":
        Path(f"{site.stem}.key").write_bytes(site.authority.issue(str(SWITCH)).key)
    elif fault == "another authority":
        install(site.stem, Authority.create(PROFILE).issue(str(SWITCH)))
    elif fault == "device's":
        install(site.stem, site.authority.issue(str(DEVICE)))
    elif fault == "encrypted":
        install(site.stem, site.authority.sealed("a daemon has nobody to ask"))
    else:
        site.renew(valid_from=datetime.now(UTC) - timedelta(days=5), days=1)
    await site.look()
    assert site.metrics.certificate_changes == {"refused": 1}
    assert site.served() == site.first.serial_number
    await site.look()
    assert site.metrics.certificate_changes == {"refused": 1}, "told once"
    renewed = site.renew()
    await site.look()
    assert site.served() == renewed.serial_number


@pytest.mark.requirement("F-TLS")
def test_a_start_finishes_a_renewal_that_a_power_cut_interrupted(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between key and certificate, where the two on the disk do not belong together."""
    place = Path.replace

    def replace(file: Path, target: Path) -> Path:
        if target == Path(f"{site.stem}.pem"):
            raise KeyboardInterrupt
        return place(file, target)

    with monkeypatch.context() as cut, pytest.raises(KeyboardInterrupt):
        cut.setattr(Path, "replace", replace)
        site.renew()
    site.material = site.make()
    assert site.served() not in (0, site.first.serial_number)


@pytest.mark.requirement("F-TLS")
async def test_a_revoked_peer_is_objected_to_as_soon_as_the_list_is_taken_up(site: Site) -> None:
    peer = read_peer(site.device.public_bytes(serialization.Encoding.DER))
    assert site.material.examine(peer) is None
    site.revoke()
    await site.look()
    assert site.material.examine(peer) is Objection.REVOKED
    assert site.make().examine(peer) is Objection.REVOKED, "after a restart too"
    assert "crl" in site.material.expires_seconds()


async def test_a_list_that_disappears_revokes_on(site: Site) -> None:
    peer = read_peer(site.device.public_bytes(serialization.Encoding.DER))
    site.revoke()
    await site.look()
    site.folder.crl.unlink()
    await site.look()
    assert site.metrics.certificate_changes == {"taken_up": 1, "refused": 1}
    assert site.material.examine(peer) is Objection.REVOKED


@pytest.mark.requirement("F-TLS")
@pytest.mark.parametrize("signed_since", [0, 1])
async def test_an_older_list_put_back_takes_nobody_off_the_list_in_force(site: Site, signed_since: int) -> None:
    """From a backup, say; nor does what is signed on top of it, until it has caught up."""
    peer = read_peer(site.device.public_bytes(serialization.Encoding.DER))
    site.folder.revoke(site.authority, [1], x509.ReasonFlags.unspecified)
    backup = site.folder.crl.read_bytes()
    site.revoke()
    await site.look()
    site.folder.crl.write_bytes(backup)
    for serial in range(2, 2 + signed_since):
        site.folder.revoke(site.authority, [serial], x509.ReasonFlags.unspecified)
    await site.look()
    assert site.metrics.certificate_changes == {"taken_up": 1, "refused": 1}
    assert site.material.examine(peer) is Objection.REVOKED
    assert site.make().examine(peer) is None, "a start takes what is there"
    site.revoke()
    await site.look()
    assert site.metrics.certificate_changes["taken_up"] == 2


async def test_without_numbers_the_list_signed_later_is_the_newer(site: Site) -> None:
    key = serialization.load_pem_private_key(site.folder.ca_key.read_bytes(), b"secret")

    def put(hours: int) -> None:
        at = datetime.now(UTC) + timedelta(hours=hours)
        builder = x509.CertificateRevocationListBuilder().issuer_name(site.authority.certificate.subject)
        made = builder.last_update(at).next_update(at + timedelta(days=9)).sign(key, hashes.SHA256())  # type: ignore[arg-type]
        site.folder.crl.write_bytes(made.public_bytes(serialization.Encoding.PEM))

    for hours in (-5, -6, -4):
        put(hours)
        await site.look()
    assert site.metrics.certificate_changes == {"taken_up": 2, "refused": 1}


async def test_the_list_of_an_authority_goes_with_it(site: Site) -> None:
    """And the new authority's counts from one, though it bears the same name."""
    site.revoke()
    site.revoke()
    await site.look()
    for file in (site.folder.ca, site.folder.ca_key, site.folder.crl):
        file.unlink()
    site.authority = site.folder.establish(PROFILE, "new")
    site.renew()
    site.folder.revoke(site.authority, [1], x509.ReasonFlags.unspecified)
    await site.look()
    assert site.metrics.certificate_changes == {"taken_up": 2}


async def test_a_list_of_another_authority_is_refused(site: Site, tmp_path: Path) -> None:
    other = Site(tmp_path / "other")
    other.revoke()
    site.folder.crl.write_bytes(other.folder.crl.read_bytes())
    await site.look()
    assert site.metrics.certificate_changes == {"refused": 1}
    with pytest.raises(SettingsError, match="not signed"):
        site.make()


async def test_a_list_out_of_date_still_counts_and_shuts_nobody_out(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenSSL would refuse the whole county."""
    other = site.authority.issue("msc://device/D2").certificate
    site.revoke()
    await site.look()
    later_us = clock.wall_us() + 95 * 86_400_000_000
    long = site.folder.issue(site.authority, DEVICE, site.stem.with_name("d3"), days=99)
    monkeypatch.setattr(clock, "wall_us", lambda: later_us)
    assert site.material.expires_seconds()["crl"] < 0
    assert site.material.examine(read_peer(long.public_bytes(serialization.Encoding.DER))) is None
    revoked = read_peer(site.device.public_bytes(serialization.Encoding.DER))
    assert site.material.examine(revoked) is Objection.REVOKED
    expired = x509.load_pem_x509_certificate(other)
    assert site.material.examine(read_peer(expired.public_bytes(serialization.Encoding.DER))) is Objection.EXPIRED


async def test_an_authority_that_is_replaced_is_trusted_no_more(site: Site) -> None:
    """A context by itself only ever learns to trust; ours forgets."""
    for file in (site.folder.ca, site.folder.ca_key):
        file.unlink()
    site.authority = site.folder.establish(PROFILE, "new")
    site.renew()
    await site.look()
    assert site.metrics.certificate_changes == {"taken_up": 1}
    with pytest.raises(ssl.SSLError):
        site.served()  # the device still shows a certificate of the old authority, and trusts that


@pytest.mark.requirement("F-TLS")
async def test_a_session_ends_with_the_authority_its_certificate_comes_from(site: Site) -> None:
    """Though the new authority bears the same name."""
    old, peer = site.folder.ca.read_bytes(), read_peer(site.device.public_bytes(serialization.Encoding.DER))
    for file in (site.folder.ca, site.folder.ca_key):
        file.unlink()
    site.authority = site.folder.establish(PROFILE, "new")
    new = site.folder.ca.read_bytes()
    site.renew()
    site.folder.ca.write_bytes(new + old)
    await site.look()
    reissued = site.folder.issue(site.authority, DEVICE, site.stem.with_name("d1"), force=True)
    assert site.material.examine(peer) is None, "both are trusted"
    site.folder.ca.write_bytes(new)
    await site.look()
    assert site.metrics.certificate_changes == {"taken_up": 2}
    assert site.material.examine(peer) is Objection.UNTRUSTED
    assert site.material.examine(read_peer(reissued.public_bytes(serialization.Encoding.DER))) is None
    site.folder.ca.write_bytes(new + old)
    await site.look()
    assert site.material.examine(peer) is None


def test_bytes_that_are_no_certificate_name_nobody() -> None:
    assert read_peer(os.urandom(64)).names == ()


def test_bytes_that_are_no_certificate_are_objected_to(site: Site) -> None:
    assert site.material.examine(read_peer(os.urandom(64))) is not None
