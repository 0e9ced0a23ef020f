"""Passwords (argon2id) and one-time codes (TOTP). Hashing runs beside the event loop, never on it."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

import pyotp
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from msc.errors import Overloaded
from msc.limits import HASHING_QUEUE_MAX

P = ParamSpec("P")
T = TypeVar("T")

# OWASP's recommendation for argon2id: 19 MiB, two passes, one lane. About 25 ms a sign-on.
_HASHER = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
OTP_STEP_S = 30
OTP_SKEW_STEPS = 1
"""Codes of the step before and after are taken: clocks of tokens drift."""


def hash_password(password: str) -> str:
    """Hash a password; the result names its own parameters and salt. Takes tens of milliseconds."""
    return _HASHER.hash(password)


_NOBODY = hash_password("nobody has this password")


def check_password(password_hash: str | None, password: str) -> bool:
    """Check a password. Without a hash (no such user) it takes as long and says no."""
    try:
        return _HASHER.verify(password_hash or _NOBODY, password) and password_hash is not None
    except (VerificationError, InvalidHashError):
        return False


def check_otp(secret: str, code: str, last_step: int, now_us: int) -> int | None:
    """Check a one-time code.

    Args:
        secret: Base 32.
        code: What the user typed.
        last_step: The last step a code was accepted for.
        now_us: Wall time.

    Returns:
        The time step the code belongs to, or None if it is wrong or was used before.
    """
    totp = pyotp.TOTP(secret, interval=OTP_STEP_S)
    present = now_us // 1_000_000 // OTP_STEP_S
    for step in range(present - OTP_SKEW_STEPS, present + OTP_SKEW_STEPS + 1):
        if step > last_step and pyotp.utils.strings_equal(code, totp.generate_otp(step)):
            return step
    return None


def new_otp_secret() -> str:
    """Make a secret for a second factor, base 32."""
    return pyotp.random_base32()


def present_otp(secret: str, now_us: int) -> str:
    """Return the code of this moment, as a token would show it."""
    return pyotp.TOTP(secret, interval=OTP_STEP_S).at(now_us // 1_000_000)


class Verifier:
    """Checks passwords in one thread, in turn, so that a burst of sign-ons leaves the traffic its core."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="msc-verifier")
        self._queued = 0

    def close(self) -> None:
        """Stop the thread; checks under way end first."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    async def check(self, password_hash: str | None, password: str) -> bool:
        """Check a password; see `check_password`.

        Raises:
            Overloaded: Too many checks wait already.
        """
        return await self._run(check_password, password_hash, password)

    async def hash(self, password: str) -> str:
        """Hash a password.

        Raises:
            Overloaded: Too many checks wait already.
        """
        return await self._run(hash_password, password)

    async def _run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._queued >= HASHING_QUEUE_MAX:
            raise Overloaded("too many sign-ons at once")
        self._queued += 1
        try:
            call = functools.partial(function, *args, **kwargs)
            return await asyncio.get_running_loop().run_in_executor(self._thread, call)
        finally:
            self._queued -= 1
