"""Passwords and one-time codes."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Iterator

import pytest

from msc.directory.credential import (
    Verifier,
    check_otp,
    hash_password,
    is_password_hash,
    new_otp_secret,
    new_recovery_codes,
    otp_uri,
    present_otp,
    recovery_digest,
)
from msc.errors import Overloaded
from msc.limits import HASHING_QUEUE_MAX, RECOVERY_CODES
from msc.settings import CredentialSettings
from tests.support.county import OTP_SECRET, PASSWORD, PASSWORD_HASH

STEP = 30_000_000
NOW = 1_769_847_300_000_000  # the first microsecond of a step
PRESENT = NOW // STEP


@pytest.fixture
def verifier() -> Iterator[Verifier]:
    """A verifier of the cost a site has by default."""
    verifier = Verifier(CredentialSettings())
    yield verifier
    verifier.close()


@pytest.mark.requirement("C-AUTH")
async def test_a_password_is_hashed_with_argon2id_and_a_salt_of_its_own(verifier: Verifier) -> None:
    first, second = hash_password(PASSWORD), hash_password(PASSWORD)
    assert first.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert first != second
    assert await verifier.check(first, PASSWORD) and await verifier.check(second, PASSWORD)


@pytest.mark.requirement("C-AUTH")
async def test_a_hash_costs_what_the_site_says(verifier: Verifier) -> None:
    settings = CredentialSettings(memory_kib=20_480, time_cost=3)
    dear = hash_password(PASSWORD, settings)
    assert dear.startswith("$argon2id$v=19$m=20480,t=3,p=1$")
    assert await verifier.check(dear, PASSWORD), "a hash names its own cost"
    assert verifier.is_outdated(dear)
    assert not verifier.is_outdated(await verifier.hash(PASSWORD))
    assert verifier.is_outdated(PASSWORD_HASH)


@pytest.mark.requirement("C-AUTH")
@pytest.mark.parametrize("wrong", ["", "correct hors", "correct horse ", "Correct horse", "correct horsé"])
async def test_a_wrong_password_is_refused(verifier: Verifier, wrong: str) -> None:
    assert await verifier.check(PASSWORD_HASH, PASSWORD)
    assert not await verifier.check(PASSWORD_HASH, wrong)


@pytest.mark.parametrize("broken", ["", "x", "$argon2id$", pytest.param(PASSWORD_HASH[:-10], id="cut short")])
async def test_a_hash_that_is_none_lets_nobody_in(verifier: Verifier, broken: str) -> None:
    assert not await verifier.check(broken, PASSWORD)
    assert not await verifier.check(broken, "")


@pytest.mark.parametrize(
    ("text", "is_hash"),
    [pytest.param(PASSWORD_HASH, True, id="a hash"), ("", False), ("$argon2id$", False), ("correct horse", False)],
)
def test_a_hash_is_told_from_a_text_that_is_none(text: str, is_hash: bool) -> None:
    assert is_password_hash(text) is is_hash


@pytest.mark.requirement("C-AUTH")
@pytest.mark.parametrize("nobody", [None, ""])
async def test_nobody_has_no_password_not_even_the_one_that_is_checked_instead(
    verifier: Verifier, nobody: str | None
) -> None:
    for password in (PASSWORD, "nobody has this password", ""):
        assert not await verifier.check(nobody, password)


# --- one-time codes -------------------------------------------------------------------------------------


def code_of(step: int) -> str:
    return present_otp(OTP_SECRET, step * STEP)


@pytest.mark.requirement("F-MFA")
def test_the_codes_are_those_of_rfc_6238() -> None:
    # RFC 6238 appendix B, SHA-1, the last six digits; the secret is "12345678901234567890".
    secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
    for second, code in ((59, "287082"), (1111111109, "081804"), (20000000000, "353130")):
        assert present_otp(secret, second * 1_000_000) == code


@pytest.mark.requirement("F-MFA")
@pytest.mark.parametrize(("skew", "taken"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_a_code_of_the_step_before_or_after_is_taken_and_no_other(skew: int, taken: bool) -> None:
    for at in (NOW, NOW + STEP - 1):
        step = check_otp(OTP_SECRET, code_of(PRESENT + skew), 0, at)
        assert step == (PRESENT + skew if taken else None)


@pytest.mark.requirement("F-MFA")
def test_a_code_is_taken_once_and_no_older_one_after_it() -> None:
    step = check_otp(OTP_SECRET, code_of(PRESENT), 0, NOW)
    assert step == PRESENT
    assert check_otp(OTP_SECRET, code_of(PRESENT), step, NOW) is None
    assert check_otp(OTP_SECRET, code_of(PRESENT), step, NOW + STEP) is None
    assert check_otp(OTP_SECRET, code_of(PRESENT - 1), step, NOW) is None
    assert check_otp(OTP_SECRET, code_of(PRESENT + 1), step, NOW + STEP) == PRESENT + 1


@pytest.mark.requirement("F-MFA")
@pytest.mark.parametrize("code", ["", "000000", "12345", "1234567", "abcdef", "\u0661\u0662\u0663\u0664\u0665\u0666"])
def test_a_wrong_code_is_refused(code: str) -> None:
    assert code not in {code_of(PRESENT + n) for n in (-1, 0, 1)}
    assert check_otp(OTP_SECRET, code, 0, NOW) is None


def test_new_secrets_differ_and_work() -> None:
    secrets = {new_otp_secret() for _ in range(20)}
    assert len(secrets) == 20
    for secret in secrets:
        assert check_otp(secret, present_otp(secret, NOW), 0, NOW) == PRESENT


@pytest.mark.requirement("F-MFA")
def test_an_authenticator_is_told_secret_person_and_switch() -> None:
    uri = otp_uri(OTP_SECRET, "J40217", "Example County")
    assert uri.startswith("otpauth://totp/Example%20County:J40217?")
    assert f"secret={OTP_SECRET}" in uri


# --- recovery codes -----------------------------------------------------------------------------------------


@pytest.mark.requirement("F-MFA")
def test_recovery_codes_differ_and_can_be_read_aloud() -> None:
    codes = new_recovery_codes()
    assert len(set(codes)) == len(codes) == RECOVERY_CODES
    assert set(new_recovery_codes()).isdisjoint(codes)
    for code in codes:
        assert re.fullmatch(r"[A-HJ-NP-Z2-9]{5}-[A-HJ-NP-Z2-9]{5}", code)


@pytest.mark.requirement("F-MFA")
def test_a_recovery_code_is_known_however_it_is_typed_and_only_its_digest_is_kept() -> None:
    digest = recovery_digest("ABCDE-FGHJK")
    assert digest == recovery_digest(" abcde-fghjk ") == recovery_digest("ABCDEFGHJK")
    assert digest != recovery_digest("ABCDE-FGHJL")
    assert re.fullmatch(r"[0-9a-f]{64}", digest)


# --- the verifier -----------------------------------------------------------------------------------------


async def test_the_verifier_knows_its_own_hashes_and_one_of_several(verifier: Verifier) -> None:
    made = await verifier.hash("new one")
    assert await verifier.check(made, "new one")
    assert await verifier.check_any([PASSWORD_HASH, made], "new one")
    assert not await verifier.check_any([PASSWORD_HASH, made, ""], "other")
    assert not await verifier.check_any([], "new one")


async def test_more_checks_than_the_bound_are_refused_and_room_comes_back(
    verifier: Verifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    monkeypatch.setattr(verifier, "_check", lambda _hash, _password: gate.wait(10))
    try:
        waiting = [asyncio.ensure_future(verifier.check(None, "x")) for _ in range(HASHING_QUEUE_MAX)]
        await asyncio.sleep(0)
        for work in (verifier.check(None, "x"), verifier.hash("x"), verifier.check_any([], "x")):
            with pytest.raises(Overloaded) as refused:
                await work
            assert refused.value.code == "E502"
        gate.set()
        assert all(await asyncio.gather(*waiting))
        assert await verifier.check(None, "x")
    finally:
        gate.set()
