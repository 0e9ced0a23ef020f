"""Who gets in: certificates, sign-on, mnemonics, locking. Every refusal has the code the protocol page gives."""

from __future__ import annotations

import asyncio
import re
import ssl
from datetime import datetime, timedelta

import pytest

from tests.support.mtp_client import TIMEOUT_S, Disconnected, Refused, Station, Wire, control, totp
from tests.support.site import Site

INQUIRY = "IV.4.CA0990000.LIC/1SAM001"


async def refused(station: Station, user: str, password: str, **more: object) -> Refused:
    """Sign on, which must be refused."""
    with pytest.raises(Refused) as told:
        await station.sign_on(user, password, **more)
    assert told.value.reason
    return told.value


def utc(text: str) -> datetime:
    """Read an RFC 3339 time, which must be UTC."""
    at = datetime.fromisoformat(text)
    assert at.utcoffset() == timedelta(0), text
    return at


@pytest.mark.requirement("F-BANNER")
async def test_the_switch_greets_with_its_limits_and_banner(county: Site) -> None:
    async with county.station("DISPATCH1") as station:
        hello = station.hello
    assert hello["protocol"] == "MTP/1"
    assert hello["switch"] and hello["node"] and hello["banner"]
    assert hello["frame_bytes_max"] == 65_536
    assert hello["window"] >= 1 and hello["heartbeat_s"] > 0
    utc(hello["time"])


@pytest.mark.requirement("C-AUTH", "C-STATIC")
async def test_a_static_terminal_is_signed_on_with_its_own_mnemonic(county: Site) -> None:
    async with county.station("DISPATCH1") as station:
        told = await station.sign_on("J40217", county.user("J40217")["password"], ref="x")
        expected = {"user": "J40217", "agency": "EXSO", "ori": "CA0990000", "mnemonic": "EXA1", "pooled": False}
        assert {name: told[name] for name in expected} == expected
        assert told["session"] and re.fullmatch(r"[A-Z0-9]{6,18}", told["taf"])
        assert told["failed_since"] >= 0 and told["undelivered"] >= 0 and told["idle_lock_s"] == 1800
        assert "previous_sign_on" in told and "password_expires" in told
        assert (await station.sign_off())["type"] == "signed_off"
    async with county.signed_on("DISPATCH1") as station:
        assert utc(station.session["previous_sign_on"])
        assert station.session["session"] != told["session"]


@pytest.mark.requirement("C-POOL")
async def test_pooled_terminals_get_different_mnemonics_and_a_third_none(county: Site) -> None:
    async with county.signed_on("MOBILE1") as one, county.signed_on("MOBILE2", "D10002") as two:
        assert one.session["pooled"] is True and two.session["pooled"] is True
        assert {one.session["mnemonic"], two.session["mnemonic"]} == {"EXM1", "EXM2"}
        async with county.station("MOBILE3") as three:
            assert (await refused(three, "K20331", county.user("K20331")["password"])).code == "E106"
            await one.sign_off()
            told = await three.sign_on("K20331", county.user("K20331")["password"], pool="PATROL")
            assert told["mnemonic"] == one.session["mnemonic"]
            await three.sign_off()
        await one.sign_on("J40217", county.user("J40217")["password"])


@pytest.mark.requirement("C-POOL")
async def test_a_pooled_mnemonic_comes_back_when_the_connection_is_lost(county: Site) -> None:
    one = Station(await county.wire("MOBILE1"))
    await one.greeted()
    held = (await one.sign_on("J40217", county.user("J40217")["password"]))["mnemonic"]
    async with county.signed_on("MOBILE2", "D10002"), county.station("MOBILE3") as three:
        await one.abort()
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                try:
                    told = await three.sign_on("K20331", county.user("K20331")["password"])
                    break
                except Refused as exc:
                    assert exc.code == "E106"
        assert told["mnemonic"] == held
        await three.sign_off()


@pytest.mark.requirement("C-POOL", "C-STATIC")
async def test_a_mnemonic_in_use_elsewhere_is_refused(county: Site) -> None:
    async with (
        county.signed_on("MOBILE1", mnemonic="EXM2") as one,
        county.station("MOBILE2") as two,
    ):
        assert one.session["mnemonic"] == "EXM2"
        assert (await refused(two, "D10002", county.user("D10002")["password"], mnemonic="EXM2")).code == "E107"


@pytest.mark.requirement("C-AUTH")
async def test_unknown_user_and_wrong_password_look_the_same(county: Site) -> None:
    async with county.station("RECORDS1") as station:
        unknown = await refused(station, "NOBODY", "x" * 12)
        wrong = await refused(station, "P50110", "x" * 12)
        assert (unknown.code, unknown.reason) == (wrong.code, wrong.reason) == ("E101", unknown.reason)
        told = await station.sign_on("P50110", county.user("P50110")["password"])
        assert told["failed_since"] >= 1
        await station.sign_off()


@pytest.mark.requirement("F-LOCKOUT")
async def test_five_wrong_passwords_lock_the_account_even_for_the_right_one(county: Site) -> None:
    admin = county.user("A00001")
    async with county.station("DISPATCH1") as station:
        for _ in range(5):
            assert (await refused(station, "A00001", "wrong" * 3, otp=totp(admin["otp_secret"]))).code == "E101"
        assert (await refused(station, "A00001", admin["password"], otp=totp(admin["otp_secret"]))).code == "E102"


@pytest.mark.requirement("F-MFA")
async def test_a_one_time_code_is_asked_for_and_serves_once(county: Site) -> None:
    row = county.user("R60045")
    async with county.station("RECORDS1") as station:
        assert (await refused(station, "R60045", row["password"])).code == "E103"
        assert (await refused(station, "R60045", row["password"], otp="000000")).code == "E103"
        code = totp(row["otp_secret"])
        told = await station.sign_on("R60045", row["password"], otp=code)
        assert told["user"] == "R60045" and told["ori"] == "CA0990100"
        await station.sign_off()
        assert (await refused(station, "R60045", row["password"], otp=code)).code == "E103"


@pytest.mark.requirement("O-DEVICE", "C-STATIC")
async def test_another_terminals_mnemonic_is_refused(county: Site) -> None:
    async with county.station("DISPATCH1") as station:
        told = await refused(station, "J40217", county.user("J40217")["password"], mnemonic="EXA2")
        assert told.code == "E105"


@pytest.mark.requirement("F-BANNER")
async def test_the_banner_must_be_accepted(county: Site) -> None:
    async with county.station("DISPATCH1") as station:
        password = county.user("J40217")["password"]
        assert (await refused(station, "J40217", password, banner_accepted=False)).code == "E108"
        await station.say(type="sign_on", user="J40217", password=password)
        told = await station.control("refused", "signed_on")
        assert told["code"] == "E108"


@pytest.mark.parametrize(
    ("password", "more", "code"),
    [
        ("wrong", {"banner_accepted": False, "mnemonic": "EXA2"}, "E101"),
        ("right", {"banner_accepted": False, "mnemonic": "EXA2"}, "E105"),
    ],
)
async def test_the_lowest_code_is_given_at_sign_on(
    county: Site, password: str, more: dict[str, object], code: str
) -> None:
    right = county.user("D10002")["password"]
    async with county.station("DISPATCH1") as station:
        assert (await refused(station, "D10002", right if password == "right" else "w" * 12, **more)).code == code


@pytest.mark.requirement("C-AUTH")
async def test_a_message_before_sign_on_and_after_sign_off_is_refused(county: Site) -> None:
    async with county.station("DISPATCH1") as station:
        with pytest.raises(Refused, match="E111"):
            await station.send(INQUIRY)
        with pytest.raises(Refused, match="E111"):  # the lowest of several
            await station.send("")
        await station.sign_on("J40217", county.user("J40217")["password"])
        await station.send(INQUIRY)
        await station.sign_off()
        with pytest.raises(Refused, match="E111"):
            await station.send(INQUIRY)


@pytest.mark.requirement("F-LOCK")
async def test_a_locked_session_sends_nothing_until_unlocked(county: Site) -> None:
    async with county.signed_on("DISPATCH1", "D10002") as station:
        await station.say(type="lock")
        await station.control("locked")
        with pytest.raises(Refused, match="E112"):
            await station.send(INQUIRY)
        with pytest.raises(Refused, match="E112"):  # the lowest of several
            await station.send("")
        await station.say(type="unlock", password="w" * 12)
        assert (await station.control("refused", "unlocked"))["code"] == "E101"
        with pytest.raises(Refused, match="E112"):
            await station.send(INQUIRY)
        await station.say(type="unlock", password=county.user("D10002")["password"])
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                try:
                    await station.send(INQUIRY)
                    break
                except Refused as exc:
                    assert exc.code == "E112"


@pytest.mark.requirement("C-AUTH")
async def test_a_changed_password_is_the_only_one_that_serves(county: Site) -> None:
    old, new = county.user("P50110")["password"], "Quite-Another-7-Word"
    async with county.station("RECORDS1") as station:
        await station.sign_on("P50110", old)
        await station.say(type="change_password", old="w" * 12, new=new)
        assert (await station.control("refused", "password_changed"))["code"] == "E101"
        await station.say(type="change_password", old=old, new=new)
        assert (await station.any_control())["type"] not in {"refused", "error"}
        await station.sign_off()
        assert (await refused(station, "P50110", old)).code == "E101"
        await station.sign_on("P50110", new)
        await station.say(type="change_password", old=new, new=old)
        assert (await station.any_control())["type"] not in {"refused", "error"}
        await station.sign_off()
        await station.sign_on("P50110", old)
        await station.sign_off()


async def test_a_second_sign_on_is_out_of_place(county: Site) -> None:
    async with county.signed_on("DISPATCH1") as station:
        with pytest.raises(Refused) as told:
            await station.sign_on("D10002", county.user("D10002")["password"])
        assert told.value.code == "E605"
        await station.send(INQUIRY)


async def test_status_is_answered(county: Site) -> None:
    async with county.signed_on("DISPATCH1") as station:
        await station.say(type="status")
        told = await station.control("status")
        assert told["type"] == "status"


@pytest.mark.requirement("O-DEVICE", "F-TLS")
@pytest.mark.parametrize(
    "names",
    [
        ("msc://device/STRANGER",),
        ("msc://host/DISPATCH1",),
        ("msc://device/CAD1",),
        ("msc://operator/J40217",),
        ("msc://switch/demo-switch",),
        ("https://device/DISPATCH1",),
        ("msc://device/DISPATCH1", "msc://device/RECORDS1"),
        (),
    ],
    ids=lambda names: "+".join(names) or "none",
)
async def test_a_certificate_of_no_station_is_disconnected(county: Site, names: tuple[str, ...]) -> None:
    certificate, key = county.certificate(*names)
    await assert_shut_out(county, county.context(certificate, key))


@pytest.mark.requirement("O-DEVICE", "F-TLS")
@pytest.mark.parametrize("fault", ["expired", "untrusted", "absent"])
async def test_a_bad_certificate_gets_no_connection(county: Site, fault: str) -> None:
    if fault == "absent":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations(county.folder / county.demo["ca"])
    else:
        days = -1 if fault == "expired" else 30
        context = county.context(
            *county.certificate("msc://device/DISPATCH1", days=days, trusted=fault != "untrusted")
        )
    await assert_shut_out(county, context)


@pytest.mark.requirement("F-TLS")
async def test_tls_older_than_1_2_is_refused(county: Site) -> None:
    context = county.device_context("DISPATCH1")
    with pytest.warns(DeprecationWarning):
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    await assert_shut_out(county, context)


async def assert_shut_out(site: Site, context: ssl.SSLContext) -> None:
    """Nothing is greeted and nothing can be said; the connection ends by itself."""
    at = site.demo["switch"]
    try:
        wire = await Wire.connect(at["host"], at["port"], context)
    except (ssl.SSLError, ConnectionError):
        return
    try:
        await wire.write(control(type="sign_on", user="J40217", password="x" * 12, banner_accepted=True))
        frames = await wire.rest()
    except (Disconnected, ssl.SSLError, ConnectionError):
        frames = []
    finally:
        await wire.abort()
    assert not [frame for frame in frames if frame.kind != "C" or frame.control()["type"] != "error"], frames
