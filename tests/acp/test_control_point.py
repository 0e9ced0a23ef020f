"""Admission, sign-on with each of its refusals, locking, passwords; and what is audited of them."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from pydantic import SecretStr

from msc import clock
from msc.acp.credential import present_otp
from msc.acp.directory import Agency, Device, Status
from msc.errors import (
    AccountLocked,
    BadField,
    BadTaf,
    CertificateMismatch,
    MnemonicInUse,
    PoolExhausted,
    Refusal,
    UnknownUserOrPassword,
)
from msc.protocol.control import ChangePassword, SignOn, Terminal, Unlock
from msc.protocol.station import StationKind
from msc.tls import PeerCertificate
from tests.acp.conftest import MakePoint, Point
from tests.support.county import OTP_SECRET, PASSWORD, account, county, terminal, user


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
