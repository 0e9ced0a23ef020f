"""Passwords (argon2id), one-time codes (TOTP) and recovery codes. Hashing runs beside the event loop, never on it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import functools
import hashlib
import os
import secrets
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, ParamSpec, TypeVar

import pyotp
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from msc.errors import Overloaded
from msc.limits import HASHING_QUEUE_MAX, RECOVERY_CODES
from msc.settings import CredentialSettings

P = ParamSpec("P")
T = TypeVar("T")

OTP_STEP_S = 30
OTP_SKEW_STEPS = 1
"""Codes of the step before and after are taken: clocks of tokens drift."""

_OTP_SECRET_BYTES_MIN: Final = 14
"""RFC 4226 wants 128 bits, and the library takes no fewer than 112."""
_RECOVERY_ALPHABET: Final = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
_NICENESS: Final = 15
"""How much the hashing thread steps back: a sign-on may wait a moment, an officer's answer may not."""


def _hasher(settings: CredentialSettings) -> PasswordHasher:
    return PasswordHasher(time_cost=settings.time_cost, memory_cost=settings.memory_kib, parallelism=1)


def hash_password(password: str, settings: CredentialSettings | None = None) -> str:
    """Hash a password; the result names its own parameters and salt. Takes tens of milliseconds."""
    return _hasher(settings or CredentialSettings()).hash(password)


def is_password_hash(text: str) -> bool:
    """Tell whether a text is an argon2id hash in its encoded form."""
    if not text.startswith("$argon2id$"):
        return False
    try:
        PasswordHasher().check_needs_rehash(text)
    except InvalidHashError:
        return False
    return True


def is_otp_secret(text: str) -> bool:
    """Tell whether a text can be the secret of a second factor: base 32, at least 112 bits."""
    try:
        return len(base64.b32decode(text + "=" * (-len(text) % 8))) >= _OTP_SECRET_BYTES_MIN
    except ValueError:
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


def otp_uri(secret: str, user: str, issuer: str) -> str:
    """Return the `otpauth://` address an authenticator scans."""
    return pyotp.TOTP(secret, interval=OTP_STEP_S).provisioning_uri(name=user, issuer_name=issuer)


def present_otp(secret: str, now_us: int) -> str:
    """Return the code of this moment, as a token would show it."""
    return pyotp.TOTP(secret, interval=OTP_STEP_S).at(now_us // 1_000_000)


def new_recovery_codes() -> list[str]:
    """Make the codes that stand in for a lost token, once each: `ABCDE-FGHJK`."""

    def group() -> str:
        return "".join(secrets.choice(_RECOVERY_ALPHABET) for _ in range(5))

    return [f"{group()}-{group()}" for _ in range(RECOVERY_CODES)]


def recovery_digest(code: str) -> str:
    """Return what is kept of a recovery code. It is random (50 bits), so a plain digest keeps it safe."""
    return hashlib.sha256(code.strip().upper().replace("-", "").encode()).hexdigest()


class Verifier:
    """Checks passwords in one thread, in turn, so that a burst of sign-ons leaves the traffic its core."""

    def __init__(self, settings: CredentialSettings) -> None:
        self._hasher = _hasher(settings)
        self._nobody = self._hasher.hash(secrets.token_hex(16))
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="msc-verifier", initializer=_step_back)
        self._queued = 0

    def close(self) -> None:
        """Stop the thread; checks under way end first."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    def is_outdated(self, password_hash: str) -> bool:
        """Tell whether a hash was made at another cost than is asked for now."""
        return self._hasher.check_needs_rehash(password_hash)

    async def check(self, password_hash: str | None, password: str) -> bool:
        """Check a password. Without a hash (no such user) it takes as long and says no.

        Raises:
            Overloaded: Too many checks wait already.
        """
        return await self._run(self._check, password_hash, password)

    async def check_any(self, password_hashes: Iterable[str], password: str) -> bool:
        """Tell whether a password belongs to one of several hashes.

        Raises:
            Overloaded: Too many checks wait already.
        """
        return await self._run(lambda: any(self._check(one, password) for one in password_hashes))

    async def hash(self, password: str) -> str:
        """Hash a password.

        Raises:
            Overloaded: Too many checks wait already.
        """
        return await self._run(self._hasher.hash, password)

    def _check(self, password_hash: str | None, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash or self._nobody, password) and bool(password_hash)
        except (VerificationError, InvalidHashError):
            return False

    async def _run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._queued >= HASHING_QUEUE_MAX:
            raise Overloaded("too many sign-ons at once")
        self._queued += 1
        try:
            call = functools.partial(function, *args, **kwargs)
            return await asyncio.get_running_loop().run_in_executor(self._thread, call)
        finally:
            self._queued -= 1


def _step_back() -> None:
    # Linux gives each thread a niceness of its own; elsewhere the whole process would be meant.
    if os.uname().sysname == "Linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
