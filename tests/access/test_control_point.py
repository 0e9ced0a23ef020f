"""Admission, sign-on with each of its refusals, locking, passwords; and what is audited of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from pydantic import SecretStr

from msc import clock
from msc.access.terms import Terms
from msc.directory.credential import present_otp, recovery_digest
from msc.directory.rows import Account, Agency, Device, Directory, OperatorClass, Pool, Status
from msc.directory.store import DirectoryStore, DirectoryUnavailable, Lease
from msc.errors import (
    AccountLocked,
    BadField,
    BadTaf,
    CertificateMismatch,
    MnemonicInUse,
    PasswordExpired,
    PoolExhausted,
    Refusal,
    UnknownUserOrPassword,
)
from msc.limits import FAILED_AT_DEVICE_MAX, FAILED_AT_HOST_MAX, FAILED_SIGN_ON_WINDOW_S
from msc.protocol.control import ChangePassword, SignOn, Terminal, Unlock
from msc.protocol.station import StationKind
from msc.settings import DeviceClassSettings, PasswordPolicySettings
from msc.tls import PeerCertificate
from tests.access.conftest import CHEAP, TERMS, MakePoint, Point
from tests.support.county import OTP_SECRET, PASSWORD, account, county, mnemonic, terminal, user


def request(name: str = "J40217", password: str = PASSWORD, **members: Any) -> SignOn:
    return SignOn(user=name, password=SecretStr(password), **{"banner_accepted": True, **members})


def opens(password_hash: str, password: str) -> bool:
    """Tell whether a password belongs to a hash."""
    try:
        return PasswordHasher().verify(password_hash, password)
    except VerificationError:
        return False


async def refused(point: Point, device: str, asked: SignOn) -> str:
    """Sign on, expect to be refused, and return the code; it must have been audited and nothing kept."""
    sessions, audited, free = dict(point.sessions), len(point.audited), point.pools_free()
    with pytest.raises(Refusal) as refusal:
        await point.sign_on(point.directory.devices[device], asked, "10.0.0.23")
    await point.settled()
    code = refusal.value.code
    event = point.audited[-1]
    assert len(point.audited) > audited
    assert (event.event, event.code, event.device, event.user, event.source) == (
        "sign_on.refused",
        code,
        device,
        asked.user,
        "10.0.0.23",
    )
    assert point.sessions == sessions
    assert point.pools_free() == free
    return code


# --- devices ------------------------------------------------------------------------------------------------


@pytest.mark.requirement("O-DEVICE", "F-TLS")
@pytest.mark.parametrize(
    ("names", "device"),
    [
        (["msc://device/desk-1"], "desk-1"),
        (["msc://device/printer-1"], "printer-1"),
        (["msc://host/cad-1"], "cad-1"),
        (["https://example.org/", "msc://device/desk-1"], "desk-1"),
    ],
)
async def test_a_certificate_admits_the_device_it_names(make_point: MakePoint, names: list[str], device: str) -> None:
    point = await make_point(county())
    assert point.admit(PeerCertificate(tuple(names), 1, "CN=test", "", 4e9)) is point.directory.devices[device]


@pytest.mark.requirement("O-DEVICE")
@pytest.mark.parametrize(
    "names",
    [
        [],
        ["https://example.org/desk-1"],
        ["msc://device/nobody"],
        ["msc://device/off"],
        ["msc://host/desk-1"],
        ["msc://device/cad-1"],
        ["msc://operator/desk-1"],
        ["msc://switch/desk-1"],
        ["msc://device/desk-1", "msc://device/desk-2"],
        ["msc://device/"],
        ["msc://device"],
        ["msc://device/desk-1/x"],
        ["MSC://device/desk-1"],
    ],
    ids=lambda names: " ".join(names) or "none",
)
async def test_any_other_certificate_is_refused_with_e105(make_point: MakePoint, names: list[str]) -> None:
    point = await make_point(county(devices=[terminal("off", pool="cars", status=Status.DISABLED)]))
    with pytest.raises(CertificateMismatch) as refusal:
        point.admit(PeerCertificate(tuple(names), 1, "CN=test", "", 4e9))
    assert refusal.value.code == "E105"


@pytest.mark.requirement("O-DEVICE")
@pytest.mark.parametrize(
    ("bound", "admitted"),
    [("", True), ("ab" * 32, True), ("AB:" * 31 + "AB", True), ("cd" * 32, False), ("ab" * 31, False)],
)
async def test_a_device_bound_to_a_certificate_is_admitted_with_that_one_only(
    make_point: MakePoint, bound: str, admitted: bool
) -> None:
    point = await make_point(county(devices=[terminal("x", pool="cars", certificate=bound)]))
    peer = PeerCertificate(("msc://device/x",), 1, "CN=test", "ab" * 32, 4e9)
    if admitted:
        assert point.admit(peer).device == "x"
        return
    with pytest.raises(CertificateMismatch):
        point.admit(peer)


# --- signing on ---------------------------------------------------------------------------------------------


@pytest.mark.requirement("C-AUTH", "C-STATIC", "C-ACPLOG", "F-AUDIT")
async def test_an_operator_signs_on_at_a_static_device(make_point: MakePoint) -> None:
    yesterday = clock.wall_us() - 86_400_000_000
    before = account("J40218", previous_sign_on=yesterday, failed_since=2)
    point = await make_point(county(user("J40218"), accounts=[before]))
    device = point.directory.devices["desk-1"]
    began = clock.wall_us()
    session, told = await point.sign_on(
        device, request("J40218", mnemonic="A123", terminal=Terminal(mac="02:00:5e:00:00:aa")), "10.0.0.23"
    )
    assert told == before
    assert (session.user, session.agency, session.ori, session.mnemonic, session.pooled, session.address) == (
        "J40218", "EXLP", "CA0980000", "A123", False, "device:desk-1",
    )  # fmt: skip
    assert session.taf == "02RVXUF00S2XWLXGQ"
    assert list(point.sessions.values()) == [session]
    [event] = point.audited
    assert (event.event, event.device, event.user, event.mnemonic, event.source, event.session, event.code) == (
        "sign_on.granted", "desk-1", "J40218", "A123", "10.0.0.23", session.session, None,
    )  # fmt: skip
    assert began <= event.at_us <= clock.wall_us()
    for accounts in (point.directory.accounts, (await point.store.load()).accounts):
        assert accounts["J40218"].failed_since == 0
        assert accounts["J40218"].previous_sign_on == session.began_us
    assert began <= session.began_us <= event.at_us


@pytest.mark.requirement("C-POOL")
async def test_an_operator_signs_on_from_a_pool_and_gives_the_mnemonic_back(make_point: MakePoint) -> None:
    point = await make_point(county(user("J40218")))
    car = point.directory.devices["car-1"]
    first, _ = await point.sign_on(car, request(pool="cars"), None)
    second, _ = await point.sign_on(point.directory.devices["car-2"], request("J40218", mnemonic="M002"), None)
    assert (first.mnemonic, first.pooled, first.address) == ("M001", True, "user:J40217")
    assert second.mnemonic == "M002"
    assert first.session != second.session
    assert point.pools_free() == {"cars": 0}
    point.sign_off(first, "signed off", "10.0.0.23")
    assert point.pools_free() == {"cars": 1}
    point.sign_off(first, "again")
    assert point.pools_free() == {"cars": 1}
    assert len(point.sessions) == 1
    ended = [event for event in point.audited if event.event == "session.ended"]
    assert [(e.session, e.mnemonic, e.detail) for e in ended] == [(first.session, "M001", "signed off")]


@pytest.mark.requirement("C-AUTH")
async def test_an_unknown_user_and_a_wrong_password_are_refused_alike_with_e101(make_point: MakePoint) -> None:
    point = await make_point(county())
    assert await refused(point, "desk-1", request("NOBODY")) == "E101"
    unknown = point.audited[-1].detail
    assert await refused(point, "desk-1", request(password="wrong")) == "E101"
    assert point.audited[-1].detail == unknown
    await point.settled()
    assert (await point.store.load()).accounts["J40217"].failed_since == 1


@pytest.mark.requirement("F-LOCKOUT")
@pytest.mark.parametrize("name", ["J40217", "NOBODY"])
async def test_sign_on_is_refused_with_e102_after_five_failures(make_point: MakePoint, name: str) -> None:
    point = await make_point(county())
    codes = [await refused(point, "desk-1", request(name, "wrong")) for _ in range(6)]
    assert codes == ["E101"] * 5 + ["E102"]
    assert await refused(point, "desk-2", request(name)) == "E102"
    locked = [event for event in point.audited if event.event == "account.locked"]
    assert len(locked) == (name == "J40217")


@pytest.mark.requirement("F-LOCKOUT")
async def test_a_locked_account_stays_locked_after_a_restart(make_point: MakePoint) -> None:
    point = await make_point(county())
    for _ in range(5):
        await refused(point, "desk-1", request(password="wrong"))
    await point.settled()
    again = await make_point(await point.store.load())
    assert await refused(again, "desk-1", request()) == "E102"


@pytest.mark.requirement("F-LOCKOUT")
async def test_a_burst_of_guesses_gets_five_answers_and_no_more(make_point: MakePoint) -> None:
    point = await make_point(county())
    device = point.directory.devices["desk-1"]
    guesses = [request(password="wrong") for _ in range(8)] + [request()]
    outcomes = await asyncio.gather(*(point.sign_on(device, g, None) for g in guesses), return_exceptions=True)
    assert isinstance(outcomes[-1], AccountLocked), "the right password came after eight wrong ones"


@pytest.mark.requirement("F-MFA")
async def test_a_second_factor_missing_wrong_or_used_is_refused_with_e103(make_point: MakePoint) -> None:
    point = await make_point(county(user("J40218"), accounts=[account("J40218", otp_secret=OTP_SECRET)]))

    def with_code(code: str | None) -> SignOn:
        return request("J40218", otp=SecretStr(code) if code is not None else None)

    assert await refused(point, "desk-1", with_code(None)) == "E103"
    assert await refused(point, "desk-1", with_code("")) == "E103"
    right = present_otp(OTP_SECRET, clock.wall_us())
    wrong = f"{(int(right) + 1) % 1_000_000:06d}"
    assert await refused(point, "desk-1", with_code(wrong)) == "E103"
    session, _ = await point.sign_on(point.directory.devices["desk-1"], with_code(right), None)
    point.sign_off(session, "signed off")
    assert await refused(point, "desk-1", with_code(right)) == "E103"
    assert (await point.store.load()).accounts["J40218"].otp_step > 0


@pytest.mark.requirement("F-MFA")
async def test_one_code_signs_on_once_even_at_two_devices_at_once(make_point: MakePoint) -> None:
    point = await make_point(county(user("J40218"), accounts=[account("J40218", otp_secret=OTP_SECRET)]))
    asked = request("J40218", otp=SecretStr(present_otp(OTP_SECRET, clock.wall_us())))
    outcomes = await asyncio.gather(
        *(point.sign_on(point.directory.devices[d], asked, None) for d in ("desk-1", "desk-2", "car-1")),
        return_exceptions=True,
    )
    assert sum(isinstance(outcome, Refusal) for outcome in outcomes) == 2
    assert {o.code for o in outcomes if isinstance(o, Refusal)} == {"E103"}


@pytest.mark.requirement("F-MFA", "F-LOCKOUT")
async def test_wrong_codes_lock_the_account_as_wrong_passwords_do(make_point: MakePoint) -> None:
    point = await make_point(county(user("J40218"), accounts=[account("J40218", otp_secret=OTP_SECRET)]))
    codes = [await refused(point, "desk-1", request("J40218", otp=SecretStr("x"))) for _ in range(6)]
    assert codes == ["E103"] * 5 + ["E102"]


@pytest.mark.requirement("C-SANCTION", "C-LEAVE")
@pytest.mark.parametrize("status", [Status.SUSPENDED, Status.DISABLED, Status.REMOVED])
async def test_a_suspended_user_is_refused_with_e104(make_point: MakePoint, status: Status) -> None:
    point = await make_point(county(user("J40218", status=status)))
    assert await refused(point, "desk-1", request("J40218")) == "E104"
    assert await refused(point, "desk-1", request("J40218", "wrong")) == "E101"


@pytest.mark.requirement("C-STATIC", "C-POOL")
@pytest.mark.parametrize(
    ("device", "members"),
    [
        ("desk-1", {"mnemonic": "A124"}),
        ("desk-1", {"mnemonic": "M001"}),
        ("desk-1", {"pool": "cars"}),
        ("car-1", {"pool": "boats"}),
        ("car-1", {"mnemonic": "A123"}),
        ("car-1", {"mnemonic": "ZZZZ"}),
    ],
)
async def test_a_mnemonic_or_pool_that_is_not_the_devices_is_refused_with_e105(
    make_point: MakePoint, device: str, members: dict[str, str]
) -> None:
    point = await make_point(county())
    assert await refused(point, device, request(**members)) == "E105"


@pytest.mark.requirement("C-POOL")
async def test_an_empty_pool_is_refused_with_e106(make_point: MakePoint) -> None:
    point = await make_point(county(user("J40218"), user("J40219")))
    for name, device in (("J40217", "car-1"), ("J40218", "car-2")):
        await point.sign_on(point.directory.devices[device], request(name), None)
    assert await refused(point, "car-3", request("J40219")) == "E106"


async def test_a_device_without_mnemonic_and_pool_is_refused_with_e106(make_point: MakePoint) -> None:
    point = await make_point(county(devices=[terminal("bare")]))
    assert await refused(point, "bare", request()) == "E106"


@pytest.mark.requirement("C-STATIC", "C-POOL")
async def test_a_mnemonic_in_use_is_refused_with_e107(make_point: MakePoint) -> None:
    point = await make_point(county(user("J40218")))
    await point.sign_on(point.directory.devices["desk-1"], request(), None)
    assert await refused(point, "desk-1", request("J40218")) == "E107"
    await point.sign_on(point.directory.devices["car-1"], request(mnemonic="M001"), None)
    assert await refused(point, "car-2", request("J40218", mnemonic="M001")) == "E107"


@pytest.mark.requirement("F-BANNER", "C-IMMIG")
async def test_a_banner_not_accepted_is_refused_with_e108(make_point: MakePoint) -> None:
    point = await make_point(county())
    assert await refused(point, "desk-1", request(banner_accepted=False)) == "E108"


@pytest.mark.requirement("C-TRAIN", "C-BACKGR", "C-STMT")
@pytest.mark.parametrize("member", ["cleared", "certified", "statement"])
async def test_a_user_not_qualified_is_refused_with_e109(make_point: MakePoint, member: str) -> None:
    point = await make_point(county(user("J40218", **{member: None})))
    assert await refused(point, "desk-1", request("J40218")) == "E109"


@pytest.mark.requirement("N-PWD")
async def test_an_expired_password_is_refused_with_e110(make_point: MakePoint) -> None:
    over = account("J40218", password_expires=clock.today() - timedelta(days=1))
    point = await make_point(county(user("J40218"), accounts=[over]))
    assert await refused(point, "desk-1", request("J40218")) == "E110"


async def test_the_lowest_code_that_applies_is_given(make_point: MakePoint) -> None:
    worst = user("J40218", status=Status.SUSPENDED, certified=None)
    over = account("J40218", otp_secret=OTP_SECRET, password_expires=clock.today())
    point = await make_point(county(worst, accounts=[over]))
    asked: dict[str, Any] = {"mnemonic": "ZZZZ", "banner_accepted": False}
    assert await refused(point, "desk-1", request("J40218", "wrong", **asked)) == "E101"
    assert await refused(point, "desk-1", request("J40218", **asked)) == "E103"
    code = SecretStr(present_otp(OTP_SECRET, clock.wall_us()))
    assert await refused(point, "desk-1", request("J40218", otp=code, **asked)) == "E104"


@pytest.mark.requirement("C-TAF")
async def test_a_mac_that_is_none_is_refused_and_nothing_is_kept(make_point: MakePoint) -> None:
    point = await make_point(county())
    for device in ("desk-1", "car-1"):
        asked = request(terminal=Terminal(mac="no mac"))
        assert await refused(point, device, asked) == BadTaf.code


@pytest.mark.requirement("C-POOL")
async def test_many_signing_on_at_once_never_share_a_mnemonic(make_point: MakePoint) -> None:
    names = [f"J5000{n}" for n in range(6)]
    point = await make_point(county(*map(user, names), devices=[terminal(f"t{n}", pool="cars") for n in range(6)]))
    devices = [point.directory.devices[f"t{n}"] for n in range(6)]
    outcomes = await asyncio.gather(
        *(point.sign_on(d, request(n), None) for d, n in zip(devices, names, strict=True)), return_exceptions=True
    )
    granted = [outcome[0] for outcome in outcomes if isinstance(outcome, tuple)]
    assert sorted(session.mnemonic for session in granted) == ["M001", "M002"]
    assert sum(isinstance(outcome, PoolExhausted) for outcome in outcomes) == 4
    for session in granted:
        point.sign_off(session, "signed off")
    assert point.pools_free() == {"cars": 2}


async def test_two_signing_on_at_one_static_device_at_once_are_one_session(make_point: MakePoint) -> None:
    point = await make_point(county(user("J40218")))
    device = point.directory.devices["desk-1"]
    outcomes = await asyncio.gather(
        *(point.sign_on(device, request(n), None) for n in ("J40217", "J40218")), return_exceptions=True
    )
    assert sum(isinstance(outcome, MnemonicInUse) for outcome in outcomes) == 1
    assert len(point.sessions) == 1


async def test_a_host_signs_several_users_on_with_its_one_mnemonic(make_point: MakePoint) -> None:
    point = await make_point(county(user("J40218")))
    host = point.directory.devices["cad-1"]
    first, _ = await point.sign_on(host, request(), None)
    second, _ = await point.sign_on(host, request("J40218"), None)
    assert first.mnemonic == second.mnemonic == "CD01"
    assert first.address == second.address == "device:cad-1"
    point.sign_off(first, "signed off")
    assert len(point.sessions) == 1


# --- during a session -----------------------------------------------------------------------------------------


@pytest.mark.requirement("F-LOCK", "F-AUDIT")
async def test_a_session_is_locked_and_unlocked_with_its_users_password(make_point: MakePoint) -> None:
    point = await make_point(county())
    session, _ = await point.sign_on(point.directory.devices["desk-1"], request(), None)
    point.lock(session, "idle")
    assert session.locked
    with pytest.raises(UnknownUserOrPassword):
        await point.unlock(session, Unlock(password=SecretStr("wrong")))
    assert session.locked
    await point.unlock(session, Unlock(password=SecretStr(PASSWORD)))
    assert not session.locked
    told = [(e.event, e.code, e.detail) for e in point.audited if e.event.startswith("session.")]
    assert told == [
        ("session.locked", None, "idle"),
        ("session.unlock_refused", "E101", None),
        ("session.unlocked", None, None),
    ]
    assert {e.session for e in point.audited if e.event.startswith("session.")} == {session.session}


@pytest.mark.requirement("F-LOCKOUT")
async def test_five_wrong_unlocks_lock_the_account(make_point: MakePoint) -> None:
    point = await make_point(county())
    session, _ = await point.sign_on(point.directory.devices["desk-1"], request(), None)
    point.lock(session, "asked")
    codes = []
    for password in ["wrong"] * 5 + [PASSWORD]:
        with pytest.raises(Refusal) as refusal:
            await point.unlock(session, Unlock(password=SecretStr(password)))
        codes.append(refusal.value.code)
    assert codes == ["E101"] * 5 + ["E102"]
    assert session.locked
    assert await refused(point, "desk-2", request()) == "E102"


@pytest.mark.requirement("F-LOCKOUT")
async def test_a_burst_of_unlocks_gets_five_answers_and_no_more(make_point: MakePoint) -> None:
    point = await make_point(county())
    session, _ = await point.sign_on(point.directory.devices["cad-1"], request(), None)
    point.lock(session, "asked")
    guesses = ["wrong"] * 8 + [PASSWORD]
    await asyncio.gather(
        *(point.unlock(session, Unlock(password=SecretStr(g))) for g in guesses), return_exceptions=True
    )
    assert session.locked, "the right password came after eight wrong ones, and unlocked the session"


@pytest.mark.requirement("F-LOCKOUT")
async def test_a_burst_of_password_changes_gets_five_answers_and_no_more(make_point: MakePoint) -> None:
    point = await make_point(county())
    session, _ = await point.sign_on(point.directory.devices["desk-1"], request(), None)
    before = point.directory.account("J40217").password_hash
    guesses = ["wrong"] * 8 + [PASSWORD]
    await asyncio.gather(
        *(
            point.change_password(session, ChangePassword(old=SecretStr(g), new=SecretStr("battery staple")))
            for g in guesses
        ),
        return_exceptions=True,
    )
    assert point.directory.account("J40217").password_hash == before, "the password was guessed past the lock"


@pytest.mark.requirement("N-PWD")
async def test_a_password_is_changed_and_the_old_one_is_good_no_more(make_point: MakePoint) -> None:
    tomorrow = account("J40218", password_expires=clock.today() + timedelta(days=1))
    point = await make_point(county(user("J40218"), accounts=[tomorrow]))
    device = point.directory.devices["desk-1"]
    session, _ = await point.sign_on(device, request("J40218"), None)
    await point.change_password(session, ChangePassword(old=SecretStr(PASSWORD), new=SecretStr("battery staple")))
    stored = (await point.store.load()).accounts["J40218"]
    assert stored == point.directory.accounts["J40218"]
    assert opens(stored.password_hash, "battery staple")
    assert stored.password_hash.startswith("$argon2id$")
    assert stored.password_expires is None
    point.sign_off(session, "signed off")
    assert await refused(point, "desk-1", request("J40218")) == "E101"
    await point.sign_on(device, request("J40218", "battery staple"), None)
    assert "password.changed" in [event.event for event in point.audited]


@pytest.mark.requirement("N-PWD")
@pytest.mark.parametrize(
    ("old", "new", "refusal"),
    [
        ("wrong", "battery staple", UnknownUserOrPassword),
        (PASSWORD, "short", BadField),
        (PASSWORD, "1234567", BadField),
        (PASSWORD, PASSWORD, BadField),
    ],
)
async def test_a_change_that_is_refused_changes_nothing(
    make_point: MakePoint, old: str, new: str, refusal: type[Refusal]
) -> None:
    point = await make_point(county())
    session, _ = await point.sign_on(point.directory.devices["desk-1"], request(), None)
    before = point.directory.account("J40217").password_hash
    with pytest.raises(refusal):
        await point.change_password(session, ChangePassword(old=SecretStr(old), new=SecretStr(new)))
    assert point.directory.account("J40217").password_hash == before
    assert (await point.store.load()).accounts["J40217"].password_hash == before


# --- what is audited ------------------------------------------------------------------------------------------


@pytest.mark.requirement("F-AUDIT", "C-ACPLOG")
async def test_no_event_holds_a_password_or_a_code(make_point: MakePoint) -> None:
    point = await make_point(county(user("J40218"), accounts=[account("J40218", otp_secret=OTP_SECRET)]))
    device = point.directory.devices["desk-1"]
    secrets = [PASSWORD, "wrong-secret", "new-secret-1", "999999"]
    await refused(point, "desk-1", request(password="wrong-secret"))
    await refused(point, "desk-1", request("J40218", otp=SecretStr("999999")))
    session, _ = await point.sign_on(device, request(), None)
    point.lock(session, "asked")
    with pytest.raises(Refusal):
        await point.unlock(session, Unlock(password=SecretStr("wrong-secret")))
    await point.unlock(session, Unlock(password=SecretStr(PASSWORD)))
    with pytest.raises(Refusal):
        await point.change_password(
            session, ChangePassword(old=SecretStr("wrong-secret"), new=SecretStr("new-secret-1"))
        )
    await point.change_password(session, ChangePassword(old=SecretStr(PASSWORD), new=SecretStr("new-secret-1")))
    point.sign_off(session, "signed off")
    assert [event.event for event in point.audited] == [
        "sign_on.refused", "sign_on.refused", "sign_on.granted", "session.locked", "session.unlock_refused",
        "session.unlocked", "password.change_refused", "password.changed", "session.ended",
    ]  # fmt: skip
    for event in point.audited:
        assert event.at_us > 0
        assert event.device == "desk-1"
        assert event.user in ("J40217", "J40218")
        assert not any(secret in repr(event) for secret in secrets)
        assert "argon2" not in repr(event)


async def test_an_agency_of_another_ori_gives_its_operators_that_ori(make_point: MakePoint) -> None:
    point = await make_point(county(user("F00001", agency="FIRE"), agencies=[Agency("FIRE", "Fire", "CA0981100")]))
    session, _ = await point.sign_on(point.directory.devices["desk-1"], request("F00001"), None)
    assert (session.agency, session.ori) == ("FIRE", "CA0981100")


def test_the_county_has_one_of_each_kind() -> None:
    kinds = {device.kind for device in county().devices.values()}
    assert kinds == set(StationKind)
    assert all(isinstance(device, Device) for device in county().devices.values())


# --- lock-out at a device -----------------------------------------------------------------------------------


@pytest.mark.requirement("F-LOCKOUT")
async def test_failures_at_several_devices_lock_one_account(make_point: MakePoint) -> None:
    point = await make_point(county(user("J40218")))
    devices = ["desk-1", "desk-2", "car-1", "cad-1", "desk-1"]
    assert [await refused(point, device, request(password="wrong")) for device in devices] == ["E101"] * 5
    for device in ("desk-1", "s-desk", "cad-1"):
        assert await refused(point, device, request()) == "E102"
    await point.sign_on(point.directory.devices["desk-1"], request("J40218"), None)


@pytest.mark.requirement("F-LOCKOUT")
async def test_twenty_failures_at_one_terminal_lock_sign_on_there_until_it_is_released(make_point: MakePoint) -> None:
    point = await make_point(county())
    for n in range(FAILED_AT_DEVICE_MAX):
        assert await refused(point, "desk-1", request(f"N{n // 4:05d}", "wrong")) == "E101"
    assert await refused(point, "desk-1", request()) == "E102"
    locked = [event for event in point.audited if event.event == "device.locked"]
    assert [(event.device, event.subject) for event in locked] == [("desk-1", "device desk-1")]
    # The lock is in the directory, so a restart does not open it.
    again = await make_point(await point.store.load())
    assert await refused(again, "desk-1", request()) == "E102"
    # Other devices are not touched, and an administrator's release holds at once.
    session, _ = await again.sign_on(again.directory.devices["desk-2"], request(), None)
    again.sign_off(session, "signed off")
    for released in (point, again):
        released.directory.replace([replace(released.directory.devices["desk-1"], locked_at=None)])
        released.take_up((), ["desk-1"])
        session, _ = await released.sign_on(released.directory.devices["desk-1"], request(), None)


@pytest.mark.requirement("F-LOCKOUT")
async def test_failures_at_a_host_lock_it_for_the_window_only(
    make_point: MakePoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    point = await make_point(county())
    began = clock.wall_us()
    monkeypatch.setattr(clock, "wall_us", lambda: began)
    for n in range(FAILED_AT_HOST_MAX):
        assert await refused(point, "cad-1", request(f"N{n // 4:05d}", "wrong")) == "E101"
    assert await refused(point, "cad-1", request()) == "E102"
    assert (await point.store.load()).devices["cad-1"].locked_at is None
    await point.sign_on(point.directory.devices["cad-2"], request(), None)
    monkeypatch.setattr(clock, "wall_us", lambda: began + int(FAILED_SIGN_ON_WINDOW_S * 1e6))
    await point.sign_on(point.directory.devices["cad-1"], request(), None)


@pytest.mark.requirement("F-LOCKOUT")
@pytest.mark.parametrize("name", ["J40217", "NOBODY"])
async def test_a_lock_holds_for_good_whether_or_not_the_user_exists(
    make_point: MakePoint, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    point = await make_point(county())
    answers = [await refused(point, "desk-1", request(name, "wrong")) for _ in range(5)]
    reasons = {event.detail for event in point.audited if event.event == "sign_on.refused"}
    month_on = clock.wall_us() + 30 * 86_400_000_000
    monkeypatch.setattr(clock, "wall_us", lambda: month_on)
    answers.append(await refused(point, "desk-2", request(name)))
    assert answers == ["E101"] * 5 + ["E102"]
    assert reasons | {point.audited[-1].detail} == {"unknown user or wrong password", "account locked"}


@pytest.mark.requirement("F-LOCKOUT")
async def test_an_account_that_an_administrator_released_signs_on(make_point: MakePoint) -> None:
    point = await make_point(county())
    for _ in range(5):
        await refused(point, "desk-1", request(password="wrong"))
    await point.store.update_account("J40217", {"locked_at": None, "failed_since": 0})
    point.take_up(await point.store.read_accounts(["J40217"]), ())
    await point.sign_on(point.directory.devices["desk-1"], request(), None)


# --- second factor ------------------------------------------------------------------------------------------


@pytest.mark.requirement("F-MFA")
async def test_where_a_second_factor_is_required_nobody_signs_on_without_one(make_point: MakePoint) -> None:
    required = CHEAP.model_copy(update={"second_factor": "required"})
    enrolled = account("J40218", otp_secret=OTP_SECRET)
    point = await make_point(county(user("J40218"), accounts=[enrolled]), replace(TERMS, credentials=required))
    assert [await refused(point, "desk-1", request()) for _ in range(6)] == ["E103"] * 6
    assert await refused(point, "desk-1", request(otp=SecretStr("123456"))) == "E103"
    assert point.directory.account("J40217").locked_at is None, "it was no guess"
    assert await refused(point, "desk-1", request(password="wrong")) == "E101"
    code = SecretStr(present_otp(OTP_SECRET, clock.wall_us()))
    await point.sign_on(point.directory.devices["desk-1"], request("J40218", otp=code), None)


def with_recovery_codes(*codes: str) -> Account:
    return account("J40218", otp_secret=OTP_SECRET, recovery_codes=tuple(map(recovery_digest, codes)))


@pytest.mark.requirement("F-MFA")
async def test_a_recovery_code_stands_in_for_the_token_once(make_point: MakePoint) -> None:
    point = await make_point(county(user("J40218"), accounts=[with_recovery_codes("ABCDE-FGHJK", "LMNPQ-RSTUV")]))
    asked = request("J40218", otp=SecretStr("abcde-fghjk"))
    session, _ = await point.sign_on(point.directory.devices["desk-1"], asked, None)
    point.sign_off(session, "signed off")
    assert [(e.user, e.detail) for e in point.audited if e.event == "recovery_code.used"] == [("J40218", "1 left")]
    assert await refused(point, "desk-1", asked) == "E103"
    again = await make_point(await point.store.load())
    assert await refused(again, "desk-1", asked) == "E103"
    other = request("J40218", otp=SecretStr("LMNPQ-RSTUV"))
    await again.sign_on(again.directory.devices["desk-1"], other, None)
    assert (await point.store.load()).accounts["J40218"].recovery_codes == ()


@pytest.mark.requirement("F-MFA")
async def test_one_recovery_code_signs_on_once_even_at_two_devices_at_once(make_point: MakePoint) -> None:
    point = await make_point(county(user("J40218"), accounts=[with_recovery_codes("ABCDE-FGHJK")]))
    asked = request("J40218", otp=SecretStr("ABCDE-FGHJK"))
    outcomes = await asyncio.gather(
        *(point.sign_on(point.directory.devices[d], asked, None) for d in ("desk-1", "desk-2")),
        return_exceptions=True,
    )
    assert [o.code for o in outcomes if isinstance(o, Refusal)] == ["E103"]


# --- passwords ----------------------------------------------------------------------------------------------


NEW = "Battery-Staple-9"


@pytest.mark.requirement("N-PWD")
async def test_an_expired_password_is_changed_at_sign_on(make_point: MakePoint) -> None:
    over = account("J40218", password_expires=clock.today())
    agency = Agency("LEADS", "County", "CA0981200", password_policy="cjleads")
    point = await make_point(county(user("J40218", agency="LEADS"), accounts=[over], agencies=[agency]))
    device = point.directory.devices["desk-1"]
    with pytest.raises(PasswordExpired, match="new_password"):
        await point.sign_on(device, request("J40218"), None)
    assert await refused(point, "desk-1", request("J40218", "wrong", new_password=SecretStr(NEW))) == "E101"
    assert await refused(point, "desk-1", request("J40218", new_password=SecretStr("too weak!"))) == "E206"
    assert point.directory.accounts["J40218"].password_hash == over.password_hash
    session, _ = await point.sign_on(device, request("J40218", new_password=SecretStr(NEW)), None)
    point.sign_off(session, "signed off")
    stored = (await point.store.load()).accounts["J40218"]
    assert opens(stored.password_hash, NEW)
    assert stored.password_expires == clock.today() + timedelta(days=90)
    assert [e.detail for e in point.audited if e.event == "password.changed"] == ["at sign-on"]
    assert NEW not in repr(point.audited)
    assert await refused(point, "desk-1", request("J40218")) == "E101"
    await point.sign_on(device, request("J40218", NEW), None)


@pytest.mark.requirement("N-PWD")
async def test_the_last_passwords_do_not_come_back(make_point: MakePoint) -> None:
    policy = {"cjis": PasswordPolicySettings(history=3)}
    point = await make_point(county(), replace(TERMS, password_policies=policy))
    session, _ = await point.sign_on(point.directory.devices["desk-1"], request(), None)

    async def change(old: str, new: str) -> None:
        await point.change_password(session, ChangePassword(old=SecretStr(old), new=SecretStr(new)))

    await change(PASSWORD, "the second")
    await change("the second", "the third")
    for earlier in (PASSWORD, "the second", "the third"):
        with pytest.raises(BadField):
            await change("the third", earlier)
    await change("the third", "the fourth")
    await change("the fourth", PASSWORD)
    kept = (await point.store.load()).accounts["J40217"].password_history
    assert len(kept) == 3
    for kept_hash, password in zip(kept, ("the fourth", "the third", "the second"), strict=True):
        assert opens(kept_hash, password)


@pytest.mark.requirement("N-PWD")
@pytest.mark.parametrize(
    ("new", "why"),
    [
        ("EXLPEXLP", "agency's"),
        ("my-police-9", "agency's"),
        ("johnny-99", "name"),
        ("xj40217x", "id"),
        ("Password1!", "tried first"),
        ("1234567", "characters"),
    ],
)
async def test_a_password_that_others_would_guess_is_refused(make_point: MakePoint, new: str, why: str) -> None:
    point = await make_point(county(), replace(TERMS, banned_passwords=frozenset({"password"})))
    session, _ = await point.sign_on(point.directory.devices["desk-1"], request(), None)
    with pytest.raises(BadField, match=why) as refusal:
        await point.change_password(session, ChangePassword(old=SecretStr(PASSWORD), new=SecretStr(new)))
    assert new not in refusal.value.reason
    assert opens(point.directory.account("J40217").password_hash, PASSWORD)


@pytest.mark.requirement("C-AUTH")
async def test_a_hash_is_renewed_at_sign_on_where_its_cost_was_raised(make_point: MakePoint) -> None:
    dearer = CHEAP.model_copy(update={"time_cost": 2})
    point = await make_point(county(), replace(TERMS, credentials=dearer))
    device = point.directory.devices["desk-1"]
    assert await refused(point, "desk-1", request(password="wrong")) == "E101"
    assert ",t=1," in point.directory.account("J40217").password_hash
    session, _ = await point.sign_on(device, request(), None)
    point.sign_off(session, "signed off")
    renewed = (await point.store.load()).accounts["J40217"].password_hash
    assert ",t=2," in renewed and opens(renewed, PASSWORD)
    assert point.directory.account("J40217").password_history == ()
    await point.sign_on(device, request(), None)
    assert (await point.store.load()).accounts["J40217"].password_hash == renewed


# --- how many sessions --------------------------------------------------------------------------------------


def sessions_at_most(most: int) -> Terms:
    return replace(TERMS, device_classes={"workstation": DeviceClassSettings(sessions_max=most)})


@pytest.mark.requirement("C-AUTH", "C-UID")
async def test_more_sessions_of_one_person_than_allowed_are_refused_with_e113(make_point: MakePoint) -> None:
    point = await make_point(county(user("J40218")), sessions_at_most(2))
    devices = point.directory.devices
    first, _ = await point.sign_on(devices["desk-1"], request(), None)
    await point.sign_on(devices["car-1"], request(), None)
    assert await refused(point, "car-2", request()) == "E113"
    assert await refused(point, "cad-1", request()) == "E113"
    await point.sign_on(devices["cad-1"], request("J40218"), None)
    point.sign_off(first, "signed off")
    await point.sign_on(devices["car-2"], request(), None)


@pytest.mark.requirement("C-AUTH")
async def test_sign_ons_at_once_keep_the_bound_on_sessions(make_point: MakePoint) -> None:
    point = await make_point(county(), sessions_at_most(1))
    outcomes = await asyncio.gather(
        *(point.sign_on(point.directory.devices[d], request(), None) for d in ("desk-1", "desk-2", "car-1", "cad-1")),
        return_exceptions=True,
    )
    assert sorted(o.code for o in outcomes if isinstance(o, Refusal)) == ["E113"] * 3
    assert len(point.sessions) == 1
    assert point.pools_free()["cars"] + sum(session.pooled for session in point.sessions.values()) == 2


async def test_a_device_of_a_class_nobody_knows_has_the_limits_of_a_workstation(make_point: MakePoint) -> None:
    point = await make_point(county(devices=[terminal("x", pool="cars", device_class="boat")]))
    classes = point.terms.device_classes
    assert point.device_class(point.directory.devices["x"]) is classes["workstation"]
    assert point.device_class(terminal("y", device_class="mobile")) is classes["mobile"]


# --- when the directory changes -----------------------------------------------------------------------------

Change = Callable[[Directory], None]


def sets(table: str, key: str, **members: Any) -> Change:
    return lambda directory: directory.replace([replace(directory.table(table)[key], **members)])


def takes_out(*rows: tuple[str, str]) -> Change:
    return lambda directory: directory.replace((), rows)


ENDING: dict[str, tuple[Change, str]] = {
    "the user is suspended": (sets("user", "J40218", status=Status.SUSPENDED), "E104"),
    "the user is disabled": (sets("user", "J40218", status=Status.DISABLED), "E104"),
    "the user is removed": (sets("user", "J40218", status=Status.REMOVED), "E104"),
    "the user is taken out": (takes_out(("user", "J40218")), "E105"),
    "the user's authority is withdrawn": (sets("user", "J40218", authorised_by=""), "E104"),
    "the user becomes indirect": (sets("user", "J40218", direct=False), "E104"),
    "the user's class changes": (sets("user", "J40218", operator_class=OperatorClass.QUERY_ONLY), "E105"),
    "the user changes agency": (sets("user", "J40218", agency="SHERIFF"), "E105"),
    "the user's clearance is withdrawn": (sets("user", "J40218", cleared=None), "E109"),
    "the device is disabled": (sets("device", "car-1", status=Status.DISABLED), "E105"),
    "the device is taken out": (takes_out(("device", "car-1")), "E105"),
    "the mnemonic is disabled": (sets("mnemonic", "M001", status=Status.DISABLED), "E104"),
    "the mnemonic has ended": (sets("mnemonic", "M001", expires=clock.today()), "E104"),
    "the mnemonic is taken out": (takes_out(("mnemonic", "M001")), "E105"),
    "the mnemonic changes pool": (sets("mnemonic", "M001", pool="boats"), "E105"),
    "the mnemonic leaves the pool": (sets("mnemonic", "M001", pool=None), "E105"),
    "the agency is taken out": (takes_out(("agency", "EXLP")), "E104"),
}
GOING_ON: dict[str, Change] = {
    "nothing": lambda directory: None,
    "the user's name changes": sets("user", "J40218", name="ROE, JANE"),
    "the user is suspended from a database": sets(
        "user", "J40218", status=Status.SUSPENDED, suspended_databases=frozenset({"DMV"})
    ),
    "the agency is suspended": sets("agency", "EXLP", status=Status.SUSPENDED),
    "another mnemonic is taken out": takes_out(("mnemonic", "M002")),
    "the mnemonic's databases change": sets("mnemonic", "M001", databases=frozenset({"WPS"})),
}  # fmt: skip


@pytest.mark.requirement("C-SANCTION", "C-LEAVE", "C-POOL", "O-DEVICE")
@pytest.mark.parametrize("why", ENDING)
async def test_a_change_ends_a_session_that_may_not_go_on(make_point: MakePoint, why: str) -> None:
    change, code = ENDING[why]
    point = await make_point(county(user("J40218")))
    session, _ = await point.sign_on(point.directory.devices["car-1"], request("J40218"), None)
    assert point.objection(session) is None
    change(point.directory)
    point.take_up((), ())
    objection = point.objection(session)
    assert objection is not None
    assert objection.code == code
    point.sign_off(session, objection.reason)
    assert not point.sessions
    # A mnemonic of the pool comes back; one that left it does not.
    row = point.directory.mnemonics.get("M001")
    assert point.pools_free()["cars"] == (2 if row is not None and row.pool == "cars" else 1)


@pytest.mark.requirement("C-SANCTION")
@pytest.mark.parametrize("why", GOING_ON)
async def test_a_change_that_takes_no_access_away_ends_nothing(make_point: MakePoint, why: str) -> None:
    point = await make_point(county(user("J40218")))
    session, _ = await point.sign_on(point.directory.devices["car-1"], request("J40218"), None)
    GOING_ON[why](point.directory)
    over = replace(point.directory.account("J40218"), password_expires=clock.today())
    point.take_up([over], ["car-1"])
    assert point.objection(session) is None


class SlowDisk:
    """Holds the write that completes a sign-on back until it is let go."""

    def __init__(self, point: Point, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached, self.gate = asyncio.Event(), asyncio.Event()
        self._write = point.store.update_account
        monkeypatch.setattr(point.store, "update_account", self._slowly)

    async def _slowly(self, user: str, changed: dict[str, Any], **more: Any) -> None:
        if "previous_sign_on" in changed:
            self.reached.set()
            await self.gate.wait()
        await self._write(user, changed, **more)


@pytest.mark.requirement("C-SANCTION", "C-LEAVE", "C-POOL")
@pytest.mark.parametrize("why", ENDING)
async def test_a_sign_on_overtaken_by_a_change_is_refused_and_keeps_nothing(
    make_point: MakePoint, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    change, code = ENDING[why]
    point = await make_point(county(user("J40218")))
    disk = SlowDisk(point, monkeypatch)
    signing_on = asyncio.ensure_future(point.sign_on(point.directory.devices["car-1"], request("J40218"), None))
    await disk.reached.wait()
    change(point.directory)
    point.take_up((), ())
    disk.gate.set()
    with pytest.raises(Refusal) as refusal:
        await signing_on
    assert refusal.value.code == code
    assert not point.sessions
    row = point.directory.mnemonics.get("M001")
    assert point.pools_free()["cars"] == (2 if row is not None and row.pool == "cars" else 1)
    assert [event.event for event in point.audited] == ["sign_on.refused"]
    await point.close()
    [lease] = await point.store.leases(10)
    assert (lease.mnemonic, lease.end_reason) == ("M001", "sign-on failed")


@pytest.mark.requirement("C-POOL")
async def test_a_sign_on_that_is_given_up_or_cannot_be_stored_keeps_nothing(
    make_point: MakePoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    point = await make_point(county())
    disk = SlowDisk(point, monkeypatch)
    signing_on = asyncio.ensure_future(point.sign_on(point.directory.devices["car-1"], request(), None))
    await disk.reached.wait()
    assert point.pools_free() == {"cars": 1}
    signing_on.cancel()
    with pytest.raises(asyncio.CancelledError):
        await signing_on
    assert (point.pools_free(), point.sessions) == ({"cars": 2}, {})

    async def full(*_args: object, **_changed: object) -> None:
        raise DirectoryUnavailable("the disk is full")

    monkeypatch.setattr(point.store, "update_account", full)
    with pytest.raises(DirectoryUnavailable):
        await point.sign_on(point.directory.devices["car-1"], request(), None)
    assert (point.pools_free(), point.sessions) == ({"cars": 2}, {})


@pytest.mark.requirement("C-LEAVE")
async def test_a_user_whose_agency_is_gone_is_refused_with_e104(make_point: MakePoint) -> None:
    point = await make_point(county(user("J40218", status=Status.REMOVED, agency="GONE")))
    assert await refused(point, "desk-1", request("J40218")) == "E104"


@pytest.mark.requirement("C-POOL")
@pytest.mark.parametrize("change", ["suspended", "taken out"])
async def test_a_pool_that_may_not_be_used_is_refused_with_e106(make_point: MakePoint, change: str) -> None:
    point = await make_point(county())
    if change == "suspended":
        sets("pool", "cars", status=Status.SUSPENDED)(point.directory)
    else:
        takes_out(("pool", "cars"))(point.directory)
    point.take_up((), ())
    assert await refused(point, "car-1", request()) == "E106"


@pytest.mark.requirement("C-POOL", "C-STATIC")
async def test_a_mnemonic_that_changes_pool_is_not_given_out_while_somebody_holds_it(make_point: MakePoint) -> None:
    point = await make_point(
        county(
            user("J40218"),
            pools=[Pool("boats", "EXLP", "APB 1")],
            devices=[terminal("boat-1", pool="boats")],
        )
    )
    held, _ = await point.sign_on(point.directory.devices["car-1"], request(), None)
    assert held.mnemonic == "M001"
    sets("mnemonic", "M001", pool="boats")(point.directory)
    point.take_up((), ())
    assert await refused(point, "boat-1", request("J40218")) == "E106"
    point.sign_off(held, "the mnemonic has changed")
    session, _ = await point.sign_on(point.directory.devices["boat-1"], request("J40218"), None)
    assert (session.mnemonic, session.pool) == ("M001", "boats")


@pytest.mark.requirement("C-NINE", "C-TEST")
async def test_a_mnemonic_out_of_force_is_passed_over_in_its_pool(make_point: MakePoint) -> None:
    point = await make_point(county(user("J40218")))
    sets("mnemonic", "M001", status=Status.DISABLED)(point.directory)
    assert await refused(point, "car-1", request(mnemonic="M001")) == "E105"
    session, _ = await point.sign_on(point.directory.devices["car-1"], request(), None)
    assert session.mnemonic == "M002"
    assert await refused(point, "car-2", request("J40218")) == "E106"
    sets("mnemonic", "A123", status=Status.DISABLED)(point.directory)
    assert await refused(point, "desk-1", request("J40218")) == "E104"


@pytest.mark.requirement("F-MFA")
async def test_what_is_taken_up_never_lets_a_code_count_twice(make_point: MakePoint) -> None:
    point = await make_point(county(user("J40218"), accounts=[account("J40218", otp_secret=OTP_SECRET, otp_step=70)]))
    # A command read the account before this switch had written the last step.
    point.take_up([replace(point.directory.accounts["J40218"], otp_step=69, failed_since=1)], ())
    assert point.directory.accounts["J40218"].otp_step == 70
    assert point.directory.accounts["J40218"].failed_since == 1
    point.take_up([replace(point.directory.accounts["J40218"], otp_step=71)], ())
    assert point.directory.accounts["J40218"].otp_step == 71
    # A new token counts anew.
    point.take_up([replace(point.directory.accounts["J40218"], otp_secret="A" * 32, otp_step=0)], ())
    assert point.directory.accounts["J40218"].otp_step == 0


# --- use of mnemonics and leases ----------------------------------------------------------------------------


@pytest.mark.requirement("C-NINE")
async def test_use_of_a_mnemonic_is_noted_once_a_day_and_ends_its_listing(make_point: MakePoint) -> None:
    today = clock.today()
    listed = mnemonic("A125", last_used=today - timedelta(days=200), listed=today - timedelta(days=10))
    point = await make_point(county(devices=[terminal("desk-3", mnemonic="A125", staffed=True)], mnemonics=[listed]))
    await point.sign_on(point.directory.devices["desk-3"], request(), None)
    point.opened(point.directory.devices["printer-1"])
    await point.settled()
    for directory in (point.directory, await point.store.load()):
        assert (directory.mnemonics["A125"].last_used, directory.mnemonics["A125"].listed) == (today, None)
        assert directory.mnemonics["P001"].last_used == today
        assert directory.mnemonics["A124"].last_used is None


@pytest.mark.requirement("C-NINE", "N-IDLE")
async def test_what_is_in_use_from_day_to_day_is_noted_without_a_new_sign_on(
    make_point: MakePoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    point = await make_point(county())
    await point.sign_on(point.directory.devices["car-1"], request(), None)
    later = clock.today() + timedelta(days=200)
    monkeypatch.setattr(clock, "today", lambda: later)
    point.note_use(["printer-1", "gone"])
    await point.settled()
    for directory in (point.directory, await point.store.load()):
        used = {name for name, row in directory.mnemonics.items() if row.last_used == later}
        assert used == {"M001", "P001"}


@pytest.mark.requirement("C-NINE")
async def test_a_printer_whose_mnemonic_is_out_of_force_does_not_open(make_point: MakePoint) -> None:
    point = await make_point(county())
    sets("mnemonic", "P001", status=Status.DISABLED)(point.directory)
    with pytest.raises(Refusal) as refusal:
        point.opened(point.directory.devices["printer-1"])
    assert refusal.value.code == "E104"


@pytest.mark.requirement("C-POOL", "C-ACPLOG")
async def test_a_lease_is_on_disk_from_sign_on_to_sign_off(make_point: MakePoint) -> None:
    point = await make_point(county(user("J40218")))
    session, _ = await point.sign_on(point.directory.devices["car-1"], request(), None)
    held = Lease(session.session, "cars", "M001", "J40217", "car-1", session.began_us)
    assert await point.store.leases(10) == [held]
    await point.sign_on(point.directory.devices["desk-1"], request("J40218"), None)
    assert await point.store.leases(10) == [held], "a static mnemonic is not leased"
    before = clock.wall_us()
    point.sign_off(session, "idle")
    await point.settled()
    [ended] = await point.store.leases(10, user="J40217")
    assert ended == replace(held, ended=ended.ended, end_reason="idle")
    assert ended.ended is not None and before <= ended.ended <= clock.wall_us()


@pytest.mark.requirement("C-POOL")
async def test_after_a_kill_open_leases_are_ended_and_the_longest_unused_comes_first(
    make_point: MakePoint, tmp_path: Path
) -> None:
    more = [mnemonic("M003", pool="cars")]
    point = await make_point(county(user("J40218"), user("J40219"), mnemonics=more))
    devices = point.directory.devices
    first, _ = await point.sign_on(devices["car-1"], request(), None)
    second, _ = await point.sign_on(devices["car-2"], request("J40218"), None)
    point.sign_off(second, "signed off")
    point.sign_off(first, "signed off")
    await point.settled()
    left, _ = await point.sign_on(devices["car-3"], request("J40219"), None)
    assert (first.mnemonic, second.mnemonic, left.mnemonic) == ("M001", "M002", "M003")

    # The switch is killed here: nothing is closed, and another starts on the same file.
    store = DirectoryStore(f"sqlite+aiosqlite:///{tmp_path / 'directory.db'}")
    await store.open()
    found = await store.end_all_leases(clock.wall_us(), "the switch had stopped")
    assert [(lease.session, lease.mnemonic, lease.user, lease.ended) for lease in found] == [
        (left.session, "M003", "J40219", None)
    ]
    assert await store.end_all_leases(clock.wall_us(), "the switch had stopped") == []
    again = Point(await store.load(), store, lambda _event: None, TERMS, await store.last_leases())
    order = [
        (await again.sign_on(devices[device], request(name), None))[0].mnemonic
        for device, name in (("car-1", "J40217"), ("car-2", "J40218"), ("car-3", "J40219"))
    ]
    # M002 came back first, then M001; M003 was out when the switch died.
    assert order == ["M002", "M001", "M003"]
    open_leases = [lease.mnemonic for lease in await store.leases(100) if lease.ended is None]
    assert sorted(open_leases) == ["M001", "M002", "M003"]
    await again.close()
    await store.close()


@pytest.mark.requirement("C-POOL")
async def test_a_lease_whose_end_could_not_be_written_ends_when_the_next_begins(
    make_point: MakePoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    point = await make_point(county(user("J40218")))

    async def full(*_args: object) -> None:
        raise DirectoryUnavailable("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(point.store, "end_lease", full)
        session, _ = await point.sign_on(point.directory.devices["car-1"], request(mnemonic="M001"), None)
        point.sign_off(session, "signed off")
        await point.settled()
    next_one, _ = await point.sign_on(point.directory.devices["car-2"], request("J40218", mnemonic="M001"), None)
    newest, oldest = await point.store.leases(10, mnemonic="M001")
    assert (newest.session, newest.ended) == (next_one.session, None)
    assert (oldest.session, oldest.ended, oldest.end_reason) == (session.session, next_one.began_us, "superseded")


@pytest.mark.requirement("C-ACPLOG", "F-AUDIT")
async def test_what_is_no_user_id_is_not_written_down(make_point: MakePoint) -> None:
    """People type their password into the wrong field."""
    point = await make_point(county())
    with pytest.raises(UnknownUserOrPassword):
        await point.sign_on(point.directory.devices["desk-1"], request("correct horse"), None)
    assert point.audited[-1].user == "(not a user id)"
    assert "correct" not in repr(point.audited)
