"""Is it them: password, second factor, and what failures lock (F-LOCKOUT, F-MFA, N-PWD)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

from msc import clock
from msc.access import password as passwords
from msc.access.lockout import FailureLog
from msc.access.terms import Terms
from msc.audit import Audit, AuditEvent
from msc.directory.credential import Verifier, check_otp, recovery_digest
from msc.directory.rows import Account, Device, Directory, User
from msc.directory.write_behind import Keeper
from msc.errors import AccountLocked, BadField, SecondFactorFailed, UnknownUserOrPassword
from msc.limits import FAILED_AT_DEVICE_MAX, FAILED_AT_HOST_MAX
from msc.protocol.station import StationKind
from msc.settings import PASSWORD_POLICIES


class Authentication:
    """Checks who somebody is. No answer, and no answer's time, tells whether a user exists."""

    def __init__(self, directory: Directory, keeper: Keeper, audit: Audit, terms: Terms) -> None:
        self._directory = directory
        self._keeper = keeper
        self._audit = audit
        self._terms = terms
        self._verifier = Verifier(terms.credentials)
        self._failures = FailureLog()
        self._at_terminals = FailureLog(FAILED_AT_DEVICE_MAX)
        self._at_hosts = FailureLog(FAILED_AT_HOST_MAX, lasting=False)

    def close(self) -> None:
        """Stop the verifier."""
        self._verifier.close()

    # --- checking -------------------------------------------------------------------------------

    async def check(self, device: Device, name: str, password: str, otp: str, source: str | None) -> User:
        """Check a user's password and second factor at sign-on.

        Raises:
            AccountLocked, UnknownUserOrPassword, SecondFactorFailed: As their names say.
            Overloaded: Too many checks wait already.
        """
        user = await self.check_password(device, name, password, source)
        await self._check_second_factor(user, device, otp, source)
        # Asked once more: that took a moment as well.
        self._check_locks(name, device)
        self._failures.succeeded(name)
        await self._renew_hash(name, password)
        return self._directory.users.get(name) or user

    async def check_again(self, device: Device, name: str, password: str) -> None:
        """Check the password of who is signed on.

        Raises:
            AccountLocked, UnknownUserOrPassword, Overloaded: As `check`.
        """
        await self.check_password(device, name, password)
        self._failures.succeeded(name)

    async def check_password(self, device: Device, name: str, password: str, source: str | None = None) -> User:
        """Check a password, and count a failure.

        Raises:
            AccountLocked, UnknownUserOrPassword, Overloaded: As `check`.
        """
        # Locks are looked at first, for names nobody has as well: while one holds, no answer tells whether a
        # password was right.
        self._check_locks(name, device)
        known = self._directory.accounts.get(name) if name in self._directory.users else None
        right = await self._verifier.check(known.password_hash if known else None, password)
        # Asked again, for a burst of guesses may have locked the account while this one was being checked.
        self._check_locks(name, device)
        user = self._directory.users.get(name)
        if user is None or not right:
            self._failed(name, device, source)
            raise UnknownUserOrPassword
        return user

    def _check_locks(self, name: str, device: Device) -> None:
        """Refuse whoever is locked by failures: the account, or every sign-on at this device."""
        now_us = clock.wall_us()
        row = self._directory.devices.get(device.device)
        locked = row is not None and row.locked_at is not None
        if locked or self._failures_at(device).locked(device.device, now_us):
            raise AccountLocked("sign-on at this device is locked: too many failures")
        if self._failures.locked(name, now_us) or self._directory.account(name).locked_at is not None:
            raise AccountLocked

    async def _check_second_factor(self, user: User, device: Device, code: str, source: str | None) -> None:
        account = self._directory.account(user.user)
        if account.otp_secret is None:
            if self._terms.credentials.second_factor == "required":
                raise SecondFactorFailed("a second factor must be enrolled first")
            return
        step = check_otp(account.otp_secret, code, account.otp_step, clock.wall_us())
        if step is not None:
            # In memory at once, so that no second sign-on can use the code; on disk before it counts.
            await self._keeper.account(user.user, otp_step=step)
            return
        digest = recovery_digest(code)
        if digest not in account.recovery_codes:
            self._failed(user.user, device, source)
            raise SecondFactorFailed
        left = tuple(one for one in account.recovery_codes if one != digest)
        unused = {"recovery_codes": account.recovery_codes}
        if not await self._keeper.account_if(user.user, unused, recovery_codes=left):
            # Used at the same moment elsewhere, or void by a new enrolment.
            self._failed(user.user, device, source)
            raise SecondFactorFailed
        self._audit(
            AuditEvent(
                clock.wall_us(), "recovery_code.used", device=device.device, user=user.user, source=source,
                detail=f"{len(left)} left",
            )
        )  # fmt: skip

    async def _renew_hash(self, name: str, password: str) -> None:
        """Hash a password anew where the cost of a hash was raised since: now it is known."""
        before = self._directory.account(name).password_hash
        if self._verifier.is_outdated(before):
            renewed = await self._verifier.hash(password)
            await self._keeper.account_if(name, {"password_hash": before}, password_hash=renewed)

    # --- failures -------------------------------------------------------------------------------

    def _failures_at(self, device: Device) -> FailureLog:
        return self._at_hosts if device.kind is StationKind.HOST else self._at_terminals

    def _failed(self, name: str, device: Device, source: str | None) -> None:
        """Count a failure. It is written behind the answer, whose time does not tell whether the user exists."""
        now_us = clock.wall_us()
        if self._failures_at(device).failed(device.device, now_us):
            self._lock_device(device, now_us, source)
        locks = self._failures.failed(name, now_us)
        if name not in self._directory.users:
            return
        failed = self._directory.account(name).failed_since + 1
        if locks:
            self._audit(AuditEvent(now_us, "account.locked", device=device.device, user=name, source=source))
            self._keeper.later(self._keeper.account(name, failed_since=failed, locked_at=now_us))
        else:
            self._keeper.later(self._keeper.account(name, failed_since=failed))

    def _lock_device(self, device: Device, now_us: int, source: str | None) -> None:
        self._audit(
            AuditEvent(
                now_us, "device.locked", device=device.device, source=source, subject=f"device {device.device}"
            )
        )
        row = self._directory.devices.get(device.device)
        if device.kind is StationKind.TERMINAL and row is not None and row.locked_at is None:
            self._keeper.later(self._keeper.device(device.device, locked_at=now_us))

    def take_up(self, accounts: Iterable[Account], devices: Iterable[str]) -> None:
        """Take up accounts that changed in the database, and what was released in it."""
        for account in accounts:
            known = self._directory.account(account.user)
            # A code must not count twice, whatever the database says by now.
            if account.otp_secret == known.otp_secret:
                account = replace(account, otp_step=max(account.otp_step, known.otp_step))
            self._directory.accounts[account.user] = account
            if account.locked_at is None:
                self._failures.succeeded(account.user)
        for name in devices:
            device = self._directory.devices.get(name)
            if device is None or device.locked_at is None:
                self._at_terminals.succeeded(name)

    # --- passwords ------------------------------------------------------------------------------

    async def set_password(self, user: User, old: str, new: str) -> None:
        """Give a user a new password, if the policy of their agency lets it pass.

        Raises:
            BadField: It does not; says why.
            Overloaded: Too many checks wait already.
        """
        agency = self._directory.agencies[user.agency]
        rules = self._terms.password_policies.get(agency.password_policy) or PASSWORD_POLICIES["cjis"]
        words = [agency.agency, *agency.title.split()]
        wrong = passwords.objection(new, rules, self._terms.banned_passwords, user, words)
        if wrong is None and new == old:
            wrong = "the new password is the old one"
        account = self._directory.account(user.user)
        history = account.password_history[: max(rules.history - 1, 0)]
        if wrong is None and await self._verifier.check_any(history, new):
            wrong = f"the new password is one of the last {rules.history}"
        if wrong is not None:
            raise BadField(wrong)
        expires = clock.today() + timedelta(days=rules.days) if rules.days else None
        kept = (account.password_hash, *account.password_history)[: rules.history]
        hashed = await self._verifier.hash(new)
        if not await self._keeper.account_if(
            user.user, {"password_hash": account.password_hash}, password_hash=hashed, password_expires=expires,
            password_history=kept,
        ):  # fmt: skip
            # An administrator has reset it meanwhile.
            raise UnknownUserOrPassword
