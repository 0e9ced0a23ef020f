"""Certificates while the switch runs: revoked, renewed, broken, expired."""

from __future__ import annotations

import asyncio
import re
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509

from tests.e2e.conftest import assert_quiet
from tests.support.mtp_client import Station, Wire
from tests.support.site import POLL_S, Site, run_msc

INQUIRY = "IV.4.CA0990000.LIC/1SAM004"
SECONDS = 5.0
"""What should happen within a second, on a machine that others use too."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A running switch whose lines have nothing at their other end."""
    made = Site.make(tmp_path_factory.mktemp("certificates") / "site")
    try:
        made.quick_lines()
        made.edit("msc.toml", (r"^drain_s = \d+", "drain_s = 1"))
        made.serve()
        yield made
    finally:
        made.stop()
    assert_quiet(made)


def certs(site: Site, command: str, *args: str | Path) -> str:
    """Run `msc certs`; demo.json gives it the passphrase."""
    done = run_msc("certs", command, site.toml, *args)
    assert done.returncode == 0, done.stderr
    return done.stdout


def log(site: Site) -> str:
    return site.processes[-1].output


def serial(site: Site, certificate: str) -> str:
    return f"{x509.load_pem_x509_certificate((site.folder / certificate).read_bytes()).serial_number:X}"


async def shown(site: Site) -> str:
    """Connect, and return the serial of the certificate the switch shows."""
    wire = await site.wire("PRINTER1")
    der: bytes = wire.writer.get_extra_info("ssl_object").getpeercert(True)
    await wire.close()
    return f"{x509.load_der_x509_certificate(der).serial_number:X}"


async def comes_true(condition: Callable[[], object], what: str) -> None:
    """Poll until a condition holds, and let this loop's connections go on meanwhile."""
    try:
        async with asyncio.timeout(SECONDS):
            while not condition():
                await asyncio.sleep(POLL_S)
    except TimeoutError:
        raise AssertionError(f"{what} did not come") from None


async def assert_shut_out(site: Site, certificate: str, key: str) -> None:
    at = site.demo["switch"]
    try:
        wire = await Wire.connect(at["host"], at["port"], site.context(certificate, key))
    except (ssl.SSLError, ConnectionError):
        return
    assert await wire.rest() == []
    await wire.close()


@pytest.mark.requirement("F-TLS", "F-AUDIT")
async def test_a_stolen_laptop_is_put_out_within_seconds_and_stays_out(site: Site) -> None:
    row = site.device("MOBILE1")
    number = serial(site, row["certificate"])
    async with site.signed_on("DISPATCH1", "D10002") as other:
        async with site.station("MOBILE1") as thief:
            await thief.sign_on("J40217", site.user("J40217")["password"])
            certs(site, "revoke", "MOBILE1", "--reason", "keyCompromise")
            began = time.monotonic()
            told = await thief.control("signed_off", timeout_s=SECONDS)
            assert "revoked" in told["reason"]
            error = await thief.control("error")
            assert error["code"] == "E105"
            await thief.ended()
            assert time.monotonic() - began < SECONDS
        await assert_shut_out(site, row["certificate"], row["key"])
        assert await other.send(INQUIRY) > 0  # nobody else notices
    ended = [line for line in log(site).splitlines() if "certificate.revoked" in line]
    refused = [line for line in log(site).splitlines() if "connection.refused" in line and '"audit"' in line]
    assert any("MOBILE1" in line and number in line for line in ended)
    assert any("MOBILE1" in line and number in line and "E105" in line for line in refused)


@pytest.mark.requirement("F-TLS")
async def test_a_renewed_switch_certificate_is_shown_while_old_sessions_go_on(site: Site) -> None:
    before = serial(site, "certs/switch.pem")
    async with site.signed_on("DISPATCH1") as station:
        assert await shown(site) == before
        certs(site, "renew", "switch", "demo-switch")
        after = serial(site, "certs/switch.pem")
        assert after != before
        async with asyncio.timeout(SECONDS):
            while await shown(site) != after:
                pass
        assert await station.send(INQUIRY) > 0


@pytest.mark.requirement("F-TLS")
async def test_a_broken_certificate_is_refused_and_the_old_one_stays_in_force(site: Site) -> None:
    file = site.folder / "certs/switch.pem"
    kept, number = file.read_bytes(), serial(site, "certs/switch.pem")
    refused = r'msc_certificate_changes_total\{outcome="refused"\} (\d)'
    try:
        file.write_text("-----BEGIN CERTIFICATE-----\nhalf of one")
        await comes_true(lambda: re.search(refused, site.monitor("/metrics")[1]), "the refusal")
        assert "certificates.refused" in log(site)
        assert await shown(site) == number
    finally:
        file.write_bytes(kept)
    metrics = site.monitor("/metrics")[1]
    assert re.search(r'msc_certificate_expires_seconds\{certificate="switch"\} [1-9.]', metrics)


@pytest.mark.requirement("F-TLS")
async def test_an_expired_certificate_gets_no_connection(site: Site) -> None:
    certs(
        site, "issue", "device", "MOBILE2", "--valid-from", "2024-01-01", "--days", "9", "--out", site.folder / "old"
    )
    await assert_shut_out(site, "old.pem", "old.key")


@pytest.mark.requirement("F-TLS")
async def test_a_session_ends_when_its_certificate_does(site: Site) -> None:
    certificate, key = site.certificate("msc://device/RECORDS1", days=2.5 / 86_400)
    at = site.demo["switch"]
    station = Station(await Wire.connect(at["host"], at["port"], site.context(certificate, key)))
    try:
        await station.greeted()
        error = await station.control("error", timeout_s=2.5 + SECONDS)
        assert error["code"] == "E105" and "expired" in error["reason"]
        await station.ended()
    finally:
        await station.close()
    assert "certificate.expired" in log(site)


@pytest.mark.requirement("F-TLS")
async def test_a_line_whose_hosts_certificate_is_revoked_ends_and_does_not_come_back(site: Site) -> None:
    async with site.state("ncic-a"):
        certs(site, "revoke", "host", "ncic-a")
        await comes_true(lambda: "line:ncic-a, msc://host/ncic-a" in log(site), "the audit event")
        await comes_true(lambda: "line.peer_refused" in log(site), "the refusal")
        assert re.search(r'msc_line_open\{line="ncic-a"\} 0', site.monitor("/metrics")[1])


async def test_at_the_start_the_log_says_what_tls_is_in_force(site: Site) -> None:
    line = next(line for line in log(site).splitlines() if "tls.in_force" in line)
    assert "OpenSSL" in line and "TLSv1_2" in line and '"openssl_fips"' in line
    async with site.station("CAD1"):
        await comes_true(lambda: re.search(r"connection\.opened.*CAD1.*TLSv1\.3 TLS_", log(site)), "the audit event")
