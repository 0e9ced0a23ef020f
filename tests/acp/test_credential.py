"""Passwords and one-time codes."""

from __future__ import annotations

import asyncio
import threading

import pytest

from msc.acp import credential
from msc.acp.credential import Verifier, check_otp, check_password, hash_password, new_otp_secret, present_otp
from msc.errors import Overloaded
from msc.limits import HASHING_QUEUE_MAX
from tests.support.county import OTP_SECRET, PASSWORD, PASSWORD_HASH

STEP = 30_000_000
NOW = 1_769_847_300_000_000  # the first microsecond of a step
PRESENT = NOW // STEP


@pytest.mark.requirement("C-AUTH")
def test_a_password_is_hashed_with_argon2id_and_a_salt_of_its_own() -> None:
    first, second = hash_password(PASSWORD), hash_password(PASSWORD)
    assert first.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert first != second
    assert check_password(first, PASSWORD) and check_password(second, PASSWORD)


@pytest.mark.requirement("C-AUTH")
@pytest.mark.parametrize("wrong", ["", "correct hors", "correct horse ", "Correct horse", "correct horsé"])
def test_a_wrong_password_is_refused(wrong: str) -> None:
    assert check_password(PASSWORD_HASH, PASSWORD)
    assert not check_password(PASSWORD_HASH, wrong)


@pytest.mark.parametrize("broken", ["", "x", "$argon2id$", PASSWORD_HASH[:-10]])
def test_a_hash_that_is_none_lets_nobody_in(broken: str) -> None:
    assert not check_password(broken, PASSWORD)


@pytest.mark.requirement("C-AUTH")
def test_nobody_has_no_password_not_even_the_one_that_is_checked_instead() -> None:
    assert not check_password(None, PASSWORD)
    assert not check_password(None, "nobody has this password")


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


# --- the verifier -----------------------------------------------------------------------------------------


async def test_the_verifier_answers_as_the_functions_do() -> None:
    verifier = Verifier()
    try:
        assert await verifier.check(PASSWORD_HASH, PASSWORD)
        assert not await verifier.check(PASSWORD_HASH, "wrong")
        assert not await verifier.check(None, PASSWORD)
        assert check_password(await verifier.hash("new one"), "new one")
    finally:
        verifier.close()


async def test_more_checks_than_the_bound_are_refused_and_room_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()
    monkeypatch.setattr(credential, "check_password", lambda _hash, _password: gate.wait(10))
    verifier = Verifier()
    try:
        waiting = [asyncio.ensure_future(verifier.check(None, "x")) for _ in range(HASHING_QUEUE_MAX)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded) as refused:
            await verifier.check(None, "x")
        assert refused.value.code == "E502"
        gate.set()
        assert all(await asyncio.gather(*waiting))
        assert await verifier.check(None, "x")
    finally:
        gate.set()
        verifier.close()
