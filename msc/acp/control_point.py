"""The access control point: "the first point at which the integrity and security of a connection is
authenticated and audited" (PPP glossary).

It admits devices by their certificates, signs operators on and off, and keeps who is signed on where.
Every decision is made from the directory in memory; only what changes about a person is written behind it.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Final

from msc import clock
from msc.acp.credential import Verifier, check_otp
from msc.acp.directory import Device, Directory, OperatorClass, User
from msc.acp.lockout import FailureLog
from msc.acp.policy import check_qualification, check_standing
from msc.acp.pool import MnemonicPool
from msc.acp.store import DirectoryStore
from msc.errors import (
    AccountLocked,
    BadField,
    BannerNotAccepted,
    CertificateMismatch,
    MnemonicInUse,
    PoolExhausted,
    Refusal,
    SecondFactorFailed,
    UnknownUserOrPassword,
)
from msc.limits import PASSWORD_CHARS_MIN
from msc.protocol.control import ChangePassword, SignOn, Unlock
from msc.protocol.header import is_oif, make_taf, normalise_mac
from msc.protocol.station import StationKind
from msc.tls import PeerCertificate

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
        detail: More, for people; never a secret.
        code: The refusal's wire code, or None.
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


Audit = Callable[[AuditEvent], None]


@dataclass(slots=True)
class OperatorSession:
    """A person signed on at a device (or known to a delegated host).

    Attributes:
        session: Its id.
        taf: The terminal address field of its messages; None where a host gave none.
        address: Where its answers wait: with a static mnemonic the device; with a pooled one the person,
            because the mnemonic changes hands.
    """

    session: str
    user: str
    agency: str
    ori: str
    operator_class: OperatorClass
    mnemonic: str
    pooled: bool
    taf: str | None
    device: str
    address: str
    locked: bool = False


class AccessControlPoint:
    """Who may connect, sign on and hold which mnemonic.

    Args:
        directory: The tables.
        store: Where changes about people are written.
        audit: Takes every event an auditor asks about.
    """

    def __init__(self, directory: Directory, store: DirectoryStore, audit: Audit) -> None:
        self.directory = directory
        self.audit = audit
        self._store = store
        self._verifier = Verifier()
        self._failures = FailureLog()
        self._pools = {name: MnemonicPool(name, directory.members(name)) for name in directory.pools}
        self._sessions: dict[str, OperatorSession] = {}
        self._by_mnemonic: dict[str, OperatorSession] = {}

    def close(self) -> None:
        """Stop the verifier."""
        self._verifier.close()

    @property
    def sessions(self) -> int:
        """How many operators are signed on."""
        return len(self._sessions)

    def pools_free(self) -> dict[str, int]:
        """Return how many mnemonics each pool has free."""
        return {name: len(pool) for name, pool in self._pools.items()}

    # --- devices --------------------------------------------------------------------------------

    def admit(self, peer: PeerCertificate) -> Device:
        """Find the device a certificate names.

        Raises:
            CertificateMismatch: It names none, more than one, an unknown or disabled one, or one of
                another kind.
        """
        ours = [name for name in peer.names if name.startswith(SCHEME)]
        if len(ours) != 1:
            raise CertificateMismatch("the certificate must name one holder")
        kind, _, name = ours[0].removeprefix(SCHEME).partition("/")
        device = self.directory.devices.get(name)
        if device is None or not device.enabled or _CERTIFICATE_KIND[device.kind] != kind:
            raise CertificateMismatch("the certificate names no device that may connect")
        return device

    # --- signing on -----------------------------------------------------------------------------

    async def sign_on(self, device: Device, request: SignOn, ip: str | None) -> tuple[OperatorSession, User]:
        """Sign an operator on.

        Returns:
            The session, and the user's row as it was before, for `previous_sign_on` and `failed_since`.

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

    async def _sign_on(self, device: Device, request: SignOn, ip: str | None) -> tuple[OperatorSession, User]:
        user = await self._authenticate(device, request)
        today = datetime.now(UTC).date()
        self._check_mnemonic(device, request)
        if not request.banner_accepted:
            raise BannerNotAccepted
        check_qualification(user, today)
        mac = normalise_mac(request.terminal.mac) if request.terminal.mac else None
        taf = make_taf(ip, mac, device.device)
        now_us = clock.wall_us()
        await self._update(user.user, previous_sign_on=now_us, failed_since=0)
        # Nothing is awaited from here on: what was free is free, and what is taken is recorded.
        session = self._open_session(device, user, request, taf)
        self.audit(
            AuditEvent(
                now_us, "sign_on.granted", device=device.device, user=user.user, mnemonic=session.mnemonic,
                source=ip, session=session.session,
            )
        )  # fmt: skip
        return session, user

    async def _authenticate(self, device: Device, request: SignOn) -> User:
        # The lock is looked at first, for names nobody has as well: while it holds, no answer tells
        # whether a password was right.
        now_us = clock.wall_us()
        user = self.directory.users.get(request.user)
        if self._failures.locked(request.user, now_us) or (user is not None and user.locked_at is not None):
            raise AccountLocked
        right = await self._verifier.check(user.password_hash if user else None, request.password.get_secret_value())
        if user is None or not right:
            await self._failed(request.user, device)
            raise UnknownUserOrPassword
        # Read again: a burst of guesses may have locked the account while this one was being checked.
        user = self.directory.users[request.user]
        if user.locked_at is not None:
            raise AccountLocked
        if user.otp_secret is not None:
            code = request.otp.get_secret_value() if request.otp else ""
            step = check_otp(user.otp_secret, code, user.otp_step, now_us)
            if step is None:
                await self._failed(request.user, device)
                raise SecondFactorFailed
            # In memory at once, so that no second sign-on can use the code; on disk before it counts.
            await self._update(user.user, otp_step=step)
        check_standing(user)
        self._failures.succeeded(user.user)
        return user

    async def _failed(self, name: str, device: Device) -> None:
        now_us = clock.wall_us()
        locks = self._failures.failed(name, now_us)
        user = self.directory.users.get(name)
        if user is None:
            return
        if locks:
            self.audit(AuditEvent(now_us, "account.locked", device=device.device, user=name))
            await self._update(name, failed_since=user.failed_since + 1, locked_at=now_us)
        else:
            await self._update(name, failed_since=user.failed_since + 1)

    async def _update(self, name: str, **members: int | str | date | None) -> None:
        self.directory.users[name] = replace(self.directory.users[name], **members)  # type: ignore[arg-type]
        await self._store.update_user(name, **members)

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
        if device.pool is None:
            raise PoolExhausted("the device has neither a mnemonic nor a pool")
        self._pools[device.pool].check_room(request.mnemonic)

    def _open_session(self, device: Device, user: User, request: SignOn, taf: str | None) -> OperatorSession:
        self._check_mnemonic(device, request)
        session_id = secrets.token_hex(8)
        pooled = device.mnemonic is None
        if pooled:
            assert device.pool is not None
            mnemonic = self._pools[device.pool].allocate(session_id, request.mnemonic)
        else:
            assert device.mnemonic is not None
            mnemonic = device.mnemonic
        session = OperatorSession(
            session=session_id,
            user=user.user,
            agency=user.agency,
            ori=self.directory.agencies[user.agency].ori,
            operator_class=user.operator_class,
            mnemonic=mnemonic,
            pooled=pooled,
            taf=taf,
            device=device.device,
            address=f"user:{user.user}" if pooled and device.kind is StationKind.TERMINAL else device.address,
        )
        self._sessions[session_id] = session
        if device.kind is not StationKind.HOST or pooled:
            self._by_mnemonic[mnemonic] = session
        return session

    def sign_off(self, session: OperatorSession, reason: str, ip: str | None = None) -> None:
        """End a session and give its pooled mnemonic back. Ending it twice does nothing."""
        if self._sessions.pop(session.session, None) is None:
            return
        if self._by_mnemonic.get(session.mnemonic) is session:
            del self._by_mnemonic[session.mnemonic]
        if session.pooled:
            pool = self.directory.devices[session.device].pool
            assert pool is not None
            self._pools[pool].release(session.mnemonic, session.session)
        self.audit(
            AuditEvent(
                clock.wall_us(), "session.ended", device=session.device, user=session.user,
                mnemonic=session.mnemonic, source=ip, session=session.session, detail=reason,
            )
        )  # fmt: skip

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
        self._note("session.unlocked", session)

    async def change_password(self, session: OperatorSession, request: ChangePassword) -> None:
        """Change the password of a session's user.

        Raises:
            Refusal: Wrong old password, or the new one is too short or the old one.
        """
        old, new = request.old.get_secret_value(), request.new.get_secret_value()
        await self._reauthenticate(session, old, "password.change_refused")
        if len(new) < PASSWORD_CHARS_MIN or new == old:
            raise BadField(f"the new password must differ and have at least {PASSWORD_CHARS_MIN} characters")
        await self._update(session.user, password_hash=await self._verifier.hash(new), password_expires=None)
        self._note("password.changed", session)

    async def _reauthenticate(self, session: OperatorSession, password: str, event: str) -> None:
        now_us = clock.wall_us()
        user = self.directory.users[session.user]
        if user.locked_at is not None or self._failures.locked(user.user, now_us):
            self._note(event, session, code=AccountLocked.code)
            raise AccountLocked
        if not await self._verifier.check(user.password_hash, password):
            await self._failed(user.user, self.directory.devices[session.device])
            self._note(event, session, code=UnknownUserOrPassword.code)
            raise UnknownUserOrPassword
        # Read again: a burst of guesses may have locked the account while this one was being checked.
        if self.directory.users[session.user].locked_at is not None:
            self._note(event, session, code=AccountLocked.code)
            raise AccountLocked
        self._failures.succeeded(user.user)

    def _note(
        self, event: str, session: OperatorSession, *, code: str | None = None, detail: str | None = None
    ) -> None:
        self.audit(
            AuditEvent(
                clock.wall_us(), event, device=session.device, user=session.user, mnemonic=session.mnemonic,
                session=session.session, code=code, detail=detail,
            )
        )  # fmt: skip
