"""The access control point: "the first point at which the integrity and security of a connection is
authenticated and audited" (PPP glossary).

It admits devices by their certificates, signs operators on and off, and keeps who is signed on where and who holds
which pooled mnemonic. Every decision is made from the directory in memory (`msc.acp.policy`); only what changes
about a person is written behind it.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any, Final

from msc import clock
from msc.acp import password as passwords
from msc.acp import policy
from msc.acp.credential import Verifier, check_otp, recovery_digest
from msc.acp.directory import Account, Device, Directory, OperatorClass, User
from msc.acp.lockout import FailureLog
from msc.acp.pool import MnemonicPool
from msc.acp.store import DirectoryStore, DirectoryUnavailable, Lease
from msc.errors import (
    AccountLocked,
    BadField,
    BannerNotAccepted,
    CertificateMismatch,
    MnemonicInUse,
    NotSignedOn,
    PasswordExpired,
    PoolExhausted,
    Refusal,
    SecondFactorFailed,
    TooManySessions,
    UnknownUserOrPassword,
)
from msc.limits import FAILED_AT_DEVICE_MAX, FAILED_AT_HOST_MAX
from msc.log import get_logger
from msc.protocol.control import ChangePassword, SignOn, Unlock
from msc.protocol.header import is_oif, make_taf, normalise_mac
from msc.protocol.station import StationKind
from msc.settings import (
    DEVICE_CLASSES,
    PASSWORD_POLICIES,
    AccessSettings,
    CredentialSettings,
    DeviceClassSettings,
    PasswordPolicySettings,
)
from msc.tls import PeerCertificate

log = get_logger("acp")

SCHEME: Final = "msc://"
_CERTIFICATE_KIND: Final = {
    StationKind.TERMINAL: "device",
    StationKind.PRINTER: "device",
    StationKind.HOST: "host",
}


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """Something an auditor asks about: who, what, on which device, from where, with what outcome.

    Attributes:
        event: `connection.opened`, `sign_on.granted`, `sign_on.refused` …
        user: Who acted.
        code: The refusal's wire code, or None.
        detail: More, in the switch's own words: without a subject it is logged, so never a secret and nothing a
            person typed.
        subject: What was acted upon (`user J40217`, `device MOBILE1`); None when it is the actor itself.
        reason: Why, as the operator gave it. It goes to the journal and nowhere else.
    """

    at_us: int
    event: str
    device: str | None = None
    user: str | None = None
    mnemonic: str | None = None
    source: str | None = None
    session: str | None = None
    code: str | None = None
    detail: str | None = None
    subject: str | None = None
    reason: str | None = None


Audit = Callable[[AuditEvent], None]


@dataclass(frozen=True, slots=True)
class Terms:
    """The site's terms of access, from `msc.toml`."""

    access: AccessSettings = field(default_factory=AccessSettings)
    credentials: CredentialSettings = field(default_factory=CredentialSettings)
    device_classes: Mapping[str, DeviceClassSettings] = field(default_factory=lambda: DEVICE_CLASSES)
    password_policies: Mapping[str, PasswordPolicySettings] = field(default_factory=lambda: PASSWORD_POLICIES)
    banned_passwords: frozenset[str] = frozenset()


@dataclass(slots=True)
class OperatorSession:
    """A person signed on at a device (or known to a delegated host).

    Attributes:
        session: Its id.
        pool: The pool its mnemonic was leased from; None for a static one.
        taf: The terminal address field of its messages; None where a host gave none.
        address: Where its answers wait: with a static mnemonic the device; with a pooled one the person,
            because the mnemonic changes hands.
        began_us: When it began (wall).
        authenticated_at: When its user last proved who they are (monotonic).
    """

    session: str
    user: str
    agency: str
    ori: str
    operator_class: OperatorClass
    mnemonic: str
    pool: str | None
    taf: str | None
    device: str
    address: str
    began_us: int = 0
    authenticated_at: float = 0.0
    locked: bool = False

    @property
    def pooled(self) -> bool:
        """Whether its mnemonic came from a pool."""
        return self.pool is not None


class AccessControlPoint:
    """Who may connect, sign on and hold which mnemonic.

    Args:
        directory: The tables.
        store: Where changes about people are written.
        audit: Takes every event an auditor asks about.
        terms: The site's terms of access.
        rested: Pooled mnemonic to when it was last given back (wall microseconds).
    """

    def __init__(
        self,
        directory: Directory,
        store: DirectoryStore,
        audit: Audit,
        terms: Terms | None = None,
        rested: Mapping[str, int] | None = None,
    ) -> None:
        self.directory = directory
        self.audit = audit
        self.terms = terms or Terms()
        self._store = store
        self._verifier = Verifier(self.terms.credentials)
        self._failures = FailureLog()
        self._terminal_failures = FailureLog(FAILED_AT_DEVICE_MAX)
        self._host_failures = FailureLog(FAILED_AT_HOST_MAX, lasting=False)
        rested = rested or {}
        self._pools = {
            name: MnemonicPool(
                name, sorted(directory.members(name), key=lambda member: rested.get(member, 0)), self._usable
            )
            for name in directory.pools
        }
        self._sessions: dict[str, OperatorSession] = {}
        self._by_mnemonic: dict[str, OperatorSession] = {}
        self._per_user: Counter[str] = Counter()
        self._later: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Stop the verifier; what is still to be written is."""
        self._verifier.close()
        while self._later:
            await asyncio.gather(*self._later)

    @property
    def sessions(self) -> dict[str, OperatorSession]:
        """Who is signed on, by session id."""
        return self._sessions

    def pools_free(self) -> dict[str, int]:
        """Return how many mnemonics each pool has free."""
        return {name: len(pool) for name, pool in self._pools.items()}

    def device_class(self, device: Device) -> DeviceClassSettings:
        """Return the limits that hold for a device; an unknown class has those of a workstation."""
        classes = self.terms.device_classes
        return classes.get(device.device_class) or classes["workstation"]

    def case(self, user: User, device: Device, mnemonic: str | None = None) -> policy.Case:
        """Gather the rows a decision about a person at a device needs."""
        return policy.case_of(self.directory, self.terms.access, clock.today(), user, device, mnemonic)

    def case_of(self, session: OperatorSession) -> policy.Case:
        """Gather the rows a decision about a session needs.

        Raises:
            NotSignedOn: User, device or mnemonic has been taken out; the session is about to end.
        """
        directory = self.directory
        try:
            user, device = directory.users[session.user], directory.devices[session.device]
            return self.case(user, device, session.mnemonic)
        except KeyError:
            raise NotSignedOn from None

    # --- devices --------------------------------------------------------------------------------

    def admit(self, peer: PeerCertificate) -> Device:
        """Find the device a certificate names.

        Raises:
            CertificateMismatch: It names none, more than one, an unknown or disabled one, one of another kind,
                or one that is bound to another certificate.
        """
        ours = [name for name in peer.names if name.startswith(SCHEME)]
        if len(ours) != 1:
            raise CertificateMismatch("the certificate must name one holder")
        kind, _, name = ours[0].removeprefix(SCHEME).partition("/")
        device = self.directory.devices.get(name)
        if device is None or not device.in_force(clock.today()) or _CERTIFICATE_KIND[device.kind] != kind:
            raise CertificateMismatch("the certificate names no device that may connect")
        if device.certificate and device.certificate.lower().replace(":", "") != peer.fingerprint:
            raise CertificateMismatch("the certificate is not the one this device is bound to")
        return device

    def opened(self, device: Device) -> None:
        """A printer or host is open for messages: its mnemonic is in use.

        Raises:
            AccountSuspended: The mnemonic is not in force.
        """
        today = clock.today()
        row = self.directory.mnemonics.get(device.mnemonic or "")
        if row is not None:
            policy.check_mnemonic(row, today)
            self._used(row.mnemonic, today)

    # --- signing on -----------------------------------------------------------------------------

    async def sign_on(self, device: Device, request: SignOn, ip: str | None) -> tuple[OperatorSession, Account]:
        """Sign an operator on.

        Returns:
            The session, and the account as it was before, for `previous_sign_on` and `failed_since`.

        Raises:
            Refusal: With the lowest code that applies; it has been audited.

        Cancellation:
            Safe: nothing is held that would not be given back.
        """
        try:
            return await self._sign_on(device, request, ip)
        except Refusal as refusal:
            self.audit(
                AuditEvent(
                    clock.wall_us(), "sign_on.refused", device=device.device,
                    # What is no user id may be a password typed into the wrong field.
                    user=request.user if is_oif(request.user) else "(not a user id)",
                    source=ip, code=refusal.code, detail=refusal.reason,
                )
            )  # fmt: skip
            raise

    async def _sign_on(self, device: Device, request: SignOn, ip: str | None) -> tuple[OperatorSession, Account]:
        user = await self._authenticate(device, request)
        case = self.case(user, device, device.mnemonic)
        policy.require((*policy.STANDING, *policy.STATION), case)
        self._check_mnemonic(device, request)
        if not request.banner_accepted:
            raise BannerNotAccepted
        policy.require(policy.QUALIFICATION, case)
        await self._check_password_age(case, request)
        self._check_sessions(user.user, device)
        mac = normalise_mac(request.terminal.mac) if request.terminal.mac else None
        taf = make_taf(ip, mac, device.device)
        session = self._open_session(device, user, request, taf)
        before = self.directory.account(user.user)
        lease = None
        if session.pool is not None:
            lease = Lease(session.session, session.pool, session.mnemonic, user.user, device.device, session.began_us)
        try:
            await self._update(user.user, lease, previous_sign_on=session.began_us, failed_since=0)
            # The world may have changed while that was written: somebody suspended, a device gone.
            self._check_still(session)
        except BaseException:
            self._forget(session, "sign-on failed")
            raise
        self.audit(
            AuditEvent(
                clock.wall_us(), "sign_on.granted", device=device.device, user=user.user,
                mnemonic=session.mnemonic, source=ip, session=session.session,
            )
        )  # fmt: skip
        self._used(session.mnemonic, case.today)
        return session, before

    async def _authenticate(self, device: Device, request: SignOn) -> User:
        # Locks are looked at first, for names nobody has as well: while one holds, no answer tells whether a
        # password was right.
        name, password = request.user, request.password.get_secret_value()
        self._check_locks(name, device)
        known = self.directory.accounts.get(name) if name in self.directory.users else None
        right = await self._verifier.check(known.password_hash if known else None, password)
        # Asked again, for a burst of guesses may have locked the account while this one was being checked.
        self._check_locks(name, device)
        user = self.directory.users.get(name)
        if user is None or not right:
            await self._failed(name, device)
            raise UnknownUserOrPassword
        await self._check_second_factor(user, device, request.otp.get_secret_value() if request.otp else "")
        self._failures.succeeded(name)
        await self._renew_hash(name, password)
        return self.directory.users.get(name) or user

    def _check_locks(self, name: str, device: Device) -> None:
        """Refuse whoever is locked by failures: the account, or every sign-on at this device."""
        now_us = clock.wall_us()
        if self._failures_at(device).locked(device.device, now_us) or self._device_locked(device):
            raise AccountLocked("sign-on at this device is locked: too many failures")
        if self._failures.locked(name, now_us) or self.locked_out(name):
            raise AccountLocked

    def locked_out(self, user: str) -> bool:
        """Tell whether failures have locked a user's account."""
        return self.directory.account(user).locked_at is not None

    def _device_locked(self, device: Device) -> bool:
        row = self.directory.devices.get(device.device)
        return row is not None and row.locked_at is not None

    def _failures_at(self, device: Device) -> FailureLog:
        return self._host_failures if device.kind is StationKind.HOST else self._terminal_failures

    async def _check_second_factor(self, user: User, device: Device, code: str) -> None:
        account = self.directory.account(user.user)
        if account.otp_secret is None:
            if self.terms.credentials.second_factor == "required":
                raise SecondFactorFailed("a second factor must be enrolled first")
            return
        step = check_otp(account.otp_secret, code, account.otp_step, clock.wall_us())
        if step is not None:
            # In memory at once, so that no second sign-on can use the code; on disk before it counts.
            await self._update(user.user, otp_step=step)
            return
        digest = recovery_digest(code)
        if digest in account.recovery_codes:
            left = tuple(one for one in account.recovery_codes if one != digest)
            self.audit(
                AuditEvent(
                    clock.wall_us(), "recovery_code.used", device=device.device, user=user.user,
                    detail=f"{len(left)} left",
                )
            )  # fmt: skip
            await self._update(user.user, recovery_codes=left)
            return
        await self._failed(user.user, device)
        raise SecondFactorFailed

    async def _failed(self, name: str, device: Device) -> None:
        now_us = clock.wall_us()
        if self._failures_at(device).failed(device.device, now_us):
            await self._lock_device(device, now_us)
        locks = self._failures.failed(name, now_us)
        if name not in self.directory.users:
            return
        failed = self.directory.account(name).failed_since + 1
        if locks:
            self.audit(AuditEvent(now_us, "account.locked", device=device.device, user=name))
            await self._update(name, failed_since=failed, locked_at=now_us)
        else:
            await self._update(name, failed_since=failed)

    async def _lock_device(self, device: Device, now_us: int) -> None:
        self.audit(AuditEvent(now_us, "device.locked", device=device.device, subject=f"device {device.device}"))
        row = self.directory.devices.get(device.device)
        if device.kind is StationKind.TERMINAL and row is not None and row.locked_at is None:
            self.directory.devices[device.device] = replace(row, locked_at=now_us)
            await self._store.touch("device", device.device, locked_at=now_us)

    async def _renew_hash(self, name: str, password: str) -> None:
        """Hash a password anew where the cost of a hash was raised since: now it is known."""
        before = self.directory.account(name).password_hash
        if self._verifier.is_outdated(before):
            renewed = await self._verifier.hash(password)
            if self.directory.account(name).password_hash == before:
                await self._update(name, password_hash=renewed)

    async def _check_password_age(self, case: policy.Case, request: SignOn) -> None:
        """Refuse an expired password, or change it where the request brings a new one."""
        if request.new_password is not None:
            await self._set_password(
                case.user, request.password.get_secret_value(), request.new_password.get_secret_value()
            )
            self.audit(
                AuditEvent(
                    clock.wall_us(), "password.changed", device=case.device.device, user=case.user.user,
                    detail="at sign-on",
                )
            )  # fmt: skip
        else:
            try:
                policy.require(policy.PASSWORD, case)
            except PasswordExpired as refusal:
                raise PasswordExpired(f"{refusal.reason}: sign on with `new_password`") from None

    def _check_mnemonic(self, device: Device, request: SignOn) -> None:
        """Check that a mnemonic could be had; see `_open_session`."""
        if device.mnemonic is not None:
            # C-STATIC: one device, one mnemonic; the certificate decides which.
            if request.mnemonic not in (None, device.mnemonic) or request.pool is not None:
                raise CertificateMismatch("the mnemonic asked for is not this device's")
            holder = self._by_mnemonic.get(device.mnemonic)
            if device.kind is not StationKind.HOST and holder is not None:
                raise MnemonicInUse
            return
        if request.pool not in (None, device.pool):
            raise CertificateMismatch("the pool asked for is not this device's")
        self._pool(device).check_room(request.mnemonic)

    def _pool(self, device: Device) -> MnemonicPool:
        pool = self._pools.get(device.pool or "")
        if pool is None or not self.directory.pools[pool.name].in_force(clock.today()):
            raise PoolExhausted("the device has neither a mnemonic nor a pool that may be used")
        return pool

    def _usable(self, mnemonic: str) -> bool:
        row = self.directory.mnemonics.get(mnemonic)
        return row is not None and policy.mnemonic_in_force(row, clock.today())

    def _check_sessions(self, user: str, device: Device) -> None:
        most = self.device_class(device).sessions_max
        if self._per_user[user] >= most:
            raise TooManySessions(f"{most} sessions of this user are open already")

    def _open_session(self, device: Device, user: User, request: SignOn, taf: str | None) -> OperatorSession:
        # Nothing is awaited here: what was free is free, and what is taken is recorded.
        self._check_sessions(user.user, device)
        self._check_mnemonic(device, request)
        session_id = secrets.token_hex(8)
        pool = None
        if device.mnemonic is not None:
            mnemonic = device.mnemonic
        else:
            leased = self._pool(device)
            mnemonic, pool = leased.allocate(session_id, request.mnemonic), leased.name
        session = OperatorSession(
            session=session_id,
            user=user.user,
            agency=user.agency,
            ori=self.directory.agencies[user.agency].ori,
            operator_class=user.operator_class,
            mnemonic=mnemonic,
            pool=pool,
            taf=taf,
            device=device.device,
            address=f"user:{user.user}" if pool and device.kind is StationKind.TERMINAL else device.address,
            began_us=clock.wall_us(),
            authenticated_at=clock.monotonic(),
        )
        self._sessions[session_id] = session
        self._per_user[user.user] += 1
        if device.kind is not StationKind.HOST or pool is not None:
            self._by_mnemonic[mnemonic] = session
        return session

    def _check_still(self, session: OperatorSession) -> None:
        reason = self.objection(session)
        if reason is not None:
            raise reason

    def sign_off(self, session: OperatorSession, reason: str, ip: str | None = None) -> None:
        """End a session and give its pooled mnemonic back. Ending it twice does nothing."""
        if not self._forget(session, reason):
            return
        self.audit(
            AuditEvent(
                clock.wall_us(), "session.ended", device=session.device, user=session.user,
                mnemonic=session.mnemonic, source=ip, session=session.session, detail=reason,
            )
        )  # fmt: skip

    def _forget(self, session: OperatorSession, reason: str) -> bool:
        if self._sessions.pop(session.session, None) is None:
            return False
        self._per_user[session.user] -= 1
        if not self._per_user[session.user]:
            del self._per_user[session.user]
        if self._by_mnemonic.get(session.mnemonic) is session:
            del self._by_mnemonic[session.mnemonic]
        if session.pool is not None:
            pool = self._pools.get(session.pool)
            if pool is not None:
                pool.release(session.mnemonic, session.session)
            self._write_later(self._store.end_lease(session.session, clock.wall_us(), reason[:200]))
        return True

    # --- during a session -----------------------------------------------------------------------

    def lock(self, session: OperatorSession, reason: str) -> None:
        """Lock a session."""
        session.locked = True
        self._note("session.locked", session, detail=reason)

    async def unlock(self, session: OperatorSession, request: Unlock) -> None:
        """Let a locked session go on for who gives its user's password.

        Raises:
            Refusal: Wrong password, or the account is locked by failures.
        """
        await self._reauthenticate(session, request.password.get_secret_value(), "session.unlock_refused")
        session.locked = False
        session.authenticated_at = clock.monotonic()
        self._note("session.unlocked", session)

    async def change_password(self, session: OperatorSession, request: ChangePassword) -> None:
        """Change the password of a session's user.

        Raises:
            Refusal: Wrong old password, or the new one is not what the policy asks for.
        """
        old, new = request.old.get_secret_value(), request.new.get_secret_value()
        await self._reauthenticate(session, old, "password.change_refused")
        try:
            await self._set_password(self.directory.users[session.user], old, new)
        except Refusal as refusal:
            self._note("password.change_refused", session, code=refusal.code, detail=refusal.reason)
            raise
        self._note("password.changed", session)

    async def _set_password(self, user: User, old: str, new: str) -> None:
        agency = self.directory.agencies[user.agency]
        rules = self.terms.password_policies.get(agency.password_policy) or PASSWORD_POLICIES["cjis"]
        words = [agency.agency, *agency.title.split()]
        wrong = passwords.objection(new, rules, self.terms.banned_passwords, user, words)
        if wrong is None and new == old:
            wrong = "the new password is the old one"
        account = self.directory.account(user.user)
        history = account.password_history[: max(rules.history - 1, 0)]
        if wrong is None and await self._verifier.check_any(history, new):
            wrong = f"the new password is one of the last {rules.history}"
        if wrong is not None:
            raise BadField(wrong)
        expires = clock.today() + timedelta(days=rules.days) if rules.days else None
        kept = (account.password_hash, *account.password_history)[: rules.history]
        await self._update(
            user.user, password_hash=await self._verifier.hash(new), password_expires=expires, password_history=kept
        )

    async def _reauthenticate(self, session: OperatorSession, password: str, event: str) -> None:
        device = self.directory.devices.get(session.device)
        try:
            if device is None:
                raise CertificateMismatch
            self._check_locks(session.user, device)
            right = await self._verifier.check(self.directory.account(session.user).password_hash, password)
            # Asked again: a burst of guesses may have locked the account meanwhile.
            self._check_locks(session.user, device)
            if not right:
                await self._failed(session.user, device)
                raise UnknownUserOrPassword
        except Refusal as refusal:
            self._note(event, session, code=refusal.code)
            raise
        self._failures.succeeded(session.user)

    def _note(
        self, event: str, session: OperatorSession, *, code: str | None = None, detail: str | None = None
    ) -> None:
        self.audit(
            AuditEvent(
                clock.wall_us(), event, device=session.device, user=session.user, mnemonic=session.mnemonic,
                session=session.session, code=code, detail=detail,
            )
        )  # fmt: skip

    # --- when the directory changes ---------------------------------------------------------------

    def objection(self, session: OperatorSession) -> Refusal | None:
        """Say why a session may not go on, or None."""
        directory = self.directory
        user, device = directory.users.get(session.user), directory.devices.get(session.device)
        mnemonic = directory.mnemonics.get(session.mnemonic)
        if user is None or device is None or mnemonic is None or mnemonic.pool != session.pool:
            return CertificateMismatch("user, device or mnemonic is no longer there")
        if user.agency != session.agency or user.operator_class is not session.operator_class:
            return CertificateMismatch("the user's entry has changed: sign on again")
        try:
            policy.require(policy.ACCESS, self.case(user, device, session.mnemonic))
        except Refusal as refusal:
            return refusal
        return None

    def take_up(self, accounts: Iterable[Account], devices: Iterable[str]) -> None:
        """Take up what changed in the directory: accounts, devices, and the membership of pools.

        The rows themselves have been replaced already; who may not go on is told by `objection`.
        """
        for account in accounts:
            known = self.directory.account(account.user)
            # What this switch learnt and has not written yet stays: a code must not count twice.
            step = (
                max(account.otp_step, known.otp_step) if account.otp_secret == known.otp_secret else account.otp_step
            )
            self.directory.accounts[account.user] = replace(account, otp_step=step)
            if account.locked_at is None:
                self._failures.succeeded(account.user)
        for name in devices:
            device = self.directory.devices.get(name)
            if device is None or device.locked_at is None:
                self._terminal_failures.succeeded(name)
        for name in self.directory.pools:
            if name not in self._pools:
                self._pools[name] = MnemonicPool(name, (), self._usable)
            self._pools[name].set_members(self.directory.members(name))
        for name in self._pools.keys() - self.directory.pools.keys():
            self._pools[name].set_members(())

    # --- writing ------------------------------------------------------------------------------------

    def _used(self, mnemonic: str, today: date) -> None:
        """Note that somebody works under a mnemonic, once a day."""
        row = self.directory.mnemonics.get(mnemonic)
        if row is not None and row.last_used != today:
            self.directory.mnemonics[mnemonic] = replace(row, last_used=today, listed=None)
            self._write_later(self._store.touch("mnemonic", mnemonic, last_used=today, listed=None))

    async def _update(
        self, name: str, lease: Lease | None = None, **changed: int | str | date | tuple[str, ...] | None
    ) -> None:
        self.directory.accounts[name] = replace(self.directory.account(name), **changed)  # type: ignore[arg-type]
        await self._store.update_account(name, lease, **changed)

    def _write_later(self, work: Coroutine[Any, Any, None]) -> None:
        """Write what nobody waits for."""
        task = asyncio.get_running_loop().create_task(_write(work))
        self._later.add(task)
        task.add_done_callback(self._later.discard)


async def _write(work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except DirectoryUnavailable as exc:
        log.error("directory.unavailable", error=str(exc))
