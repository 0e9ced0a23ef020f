"""The access control point: "the first point at which the integrity and security of a connection is
authenticated and audited" (PPP glossary).

It admits devices by their certificates, signs operators on and off, and keeps who is signed on where and who holds
which pooled mnemonic. Every decision is made from the directory in memory (`msc.access.policy`); only what changes
about a person is written behind it.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final

from msc import clock
from msc.access import policy
from msc.access.authentication import Authentication
from msc.access.pool import MnemonicPool
from msc.access.terms import Terms
from msc.audit import Audit, AuditEvent
from msc.directory.rows import Account, Device, Directory, OperatorClass, User
from msc.directory.store import DirectoryStore, Lease
from msc.directory.write_behind import Keeper
from msc.errors import (
    AccountSuspended,
    BannerNotAccepted,
    CertificateMismatch,
    MnemonicInUse,
    NotSignedOn,
    PasswordExpired,
    PoolExhausted,
    Refusal,
    TooManySessions,
)
from msc.protocol.control import ChangePassword, SignOn, Unlock
from msc.protocol.header import is_oif, make_taf, normalise_mac
from msc.protocol.station import StationKind
from msc.settings import DeviceClassSettings
from msc.tls import PeerCertificate

SCHEME: Final = "msc://"
_CERTIFICATE_KIND: Final = {
    StationKind.TERMINAL: "device",
    StationKind.PRINTER: "device",
    StationKind.HOST: "host",
}


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
        void: An administrator has set another password since.
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
    void: bool = False

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
        self._keeper = Keeper(directory, store)
        self._authentication = Authentication(directory, self._keeper, audit, self.terms)
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

    async def close(self) -> None:
        """Stop the verifier; what is still to be written is."""
        self._authentication.close()
        await self.settled()

    async def settled(self) -> None:
        """Wait until what nobody waits for is written: failures, ends of leases, last use."""
        await self._keeper.settled()

    def writes(self, keys: Iterable[str]) -> int | None:
        """Count the writes of the switch's own; see `Keeper.writes`."""
        return self._keeper.writes(keys)

    def vouched(self, user: str) -> None:
        """Note, once a day, that a delegated host speaks for a user: that is use of the account."""
        now_us = clock.wall_us()
        previous = self.directory.account(user).previous_sign_on
        if previous is None or clock.day_of(previous) != clock.day_of(now_us):
            self._keeper.later(self._keeper.account(user, previous_sign_on=now_us))

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
        """Gather the rows a decision about a person at a device needs.

        Raises:
            AccountSuspended: The person's or the device's agency has been taken out.
        """
        try:
            return policy.case_of(self.directory, self.terms.access, clock.today(), user, device, mnemonic)
        except KeyError:
            raise AccountSuspended("the agency is no longer there") from None

    def case_of(self, session: OperatorSession) -> policy.Case:
        """Gather the rows a decision about a session needs.

        Raises:
            NotSignedOn: User or device has been taken out; the session is about to end.
            AccountSuspended: An agency has been.
        """
        directory = self.directory
        try:
            user, device = directory.users[session.user], directory.devices[session.device]
        except KeyError:
            raise NotSignedOn from None
        return self.case(user, device, session.mnemonic)

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
                    # What is not a user id may be a password typed into the wrong field.
                    user=request.user if is_oif(request.user) else "(not a user id)",
                    source=ip, code=refusal.code, detail=refusal.reason,
                )
            )  # fmt: skip
            refusal.audited = True
            raise

    async def _sign_on(self, device: Device, request: SignOn, ip: str | None) -> tuple[OperatorSession, Account]:
        otp = request.otp.get_secret_value() if request.otp else ""
        password = request.password.get_secret_value()
        step_before = self.directory.account(request.user).otp_step
        user = await self._authentication.check(device, request.user, password, otp, ip)
        case = self.case(user, device, device.mnemonic)
        policy.require((*policy.STANDING, *policy.STATION), case)
        self._check_mnemonic(device, request)
        if not request.banner_accepted:
            raise BannerNotAccepted
        policy.require(policy.QUALIFICATION, case)
        if request.new_password is None:
            try:
                policy.require(policy.PASSWORD, case)
            except PasswordExpired:
                # Nothing was granted for the one-time code: it may come again, with a new password.
                await self._keeper.account(user.user, otp_step=step_before)
                raise
        self._check_sessions(user.user, device)
        mac = normalise_mac(request.terminal.mac) if request.terminal.mac else None
        taf = make_taf(ip, mac, device.device)
        if request.new_password is not None:
            await self._authentication.set_password(user, password, request.new_password.get_secret_value())
            self.audit(
                AuditEvent(
                    clock.wall_us(), "password.changed", device=device.device, user=user.user, source=ip,
                    detail="at sign-on",
                )
            )  # fmt: skip
        session = self._open_session(device, user, request, taf)
        before = self.directory.account(user.user)
        lease = None
        if session.pool is not None:
            lease = Lease(session.session, session.pool, session.mnemonic, user.user, device.device, session.began_us)
        try:
            await self._keeper.account(user.user, lease, previous_sign_on=session.began_us, failed_since=0)
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

    def locked_out(self, user: str) -> bool:
        """Tell whether failures have locked a user's account."""
        return self.directory.account(user).locked_at is not None

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
        pool, row = self._pools.get(device.pool or ""), self.directory.pools.get(device.pool or "")
        if pool is None or row is None or not row.in_force(clock.today()):
            raise PoolExhausted("the device has neither a mnemonic nor a pool that may be used")
        return pool

    def _usable(self, mnemonic: str) -> bool:
        row = self.directory.mnemonics.get(mnemonic)
        # One that has just changed pool may be held for a moment by whoever took it from its old one.
        held = mnemonic in self._by_mnemonic
        return row is not None and not held and policy.mnemonic_in_force(row, clock.today())

    def _check_sessions(self, user: str, device: Device) -> None:
        most = self.device_class(device).sessions_max
        if self._per_user[user] >= most:
            raise TooManySessions(f"{most} sessions of this user are open already")

    def _open_session(self, device: Device, user: User, request: SignOn, taf: str | None) -> OperatorSession:
        # Nothing is awaited here: what was free is free, and what is taken is recorded.
        self._check_sessions(user.user, device)
        self._check_mnemonic(device, request)
        agency = self.directory.agencies.get(user.agency)
        if agency is None:
            raise AccountSuspended("the agency is no longer there")
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
            ori=agency.ori,
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

    def sign_off(
        self, session: OperatorSession, reason: str, ip: str | None = None, asked: str | None = None
    ) -> None:
        """End a session and give its pooled mnemonic back. Ending it twice does nothing.

        Args:
            asked: Why, in the words of who asked for it; for the journal alone.
        """
        if not self._forget(session, reason):
            return
        self.audit(
            AuditEvent(
                clock.wall_us(), "session.ended", device=session.device, user=session.user,
                mnemonic=session.mnemonic, source=ip, session=session.session, detail=reason, reason=asked,
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
            self._keeper.later(self._keeper.end_lease(session.session, clock.wall_us(), reason[:200]))
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
        # Who works behind one sign-on for months is not idle.
        self._keeper.later(self._keeper.account(session.user, previous_sign_on=clock.wall_us()))

    async def change_password(self, session: OperatorSession, request: ChangePassword) -> None:
        """Change the password of a session's user.

        Raises:
            Refusal: Wrong old password, or the new one is not what the policy asks for.
        """
        old, new = request.old.get_secret_value(), request.new.get_secret_value()
        await self._reauthenticate(session, old, "password.change_refused")
        try:
            await self._authentication.set_password(self.directory.users[session.user], old, new)
        except Refusal as refusal:
            self._note("password.change_refused", session, code=refusal.code, detail=refusal.reason)
            refusal.audited = True
            raise
        self._note("password.changed", session)

    async def _reauthenticate(self, session: OperatorSession, password: str, event: str) -> None:
        device = self.directory.devices.get(session.device)
        try:
            if device is None:
                raise CertificateMismatch
            await self._authentication.check_again(device, session.user, password)
        except Refusal as refusal:
            self._note(event, session, code=refusal.code)
            refusal.audited = True
            raise

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
        if session.void:
            return PasswordExpired("the password was reset: sign on again")
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
        changed = list(accounts)
        reset = {row.user for row in changed if row.password_hash != self.directory.account(row.user).password_hash}
        for session in self._sessions.values():
            session.void = session.void or session.user in reset
        self._authentication.take_up(changed, devices)
        for name in self.directory.pools:
            if name not in self._pools:
                self._pools[name] = MnemonicPool(name, (), self._usable)
            self._pools[name].set_members(self.directory.members(name))
        for name in self._pools.keys() - self.directory.pools.keys():
            self._pools[name].set_members(())

    # --- writing ------------------------------------------------------------------------------------

    def note_use(self, open_devices: Iterable[str]) -> None:
        """Note, once a day, the mnemonics that are in use without anybody signing on anew.

        Args:
            open_devices: Printers and hosts that are open.
        """
        today = clock.today()
        for session in self._sessions.values():
            self._used(session.mnemonic, today)
        for name in open_devices:
            device = self.directory.devices.get(name)
            if device is not None and device.mnemonic is not None:
                self._used(device.mnemonic, today)

    def _used(self, mnemonic: str, today: date) -> None:
        """Note that somebody works under a mnemonic, once a day."""
        row = self.directory.mnemonics.get(mnemonic)
        if row is not None and row.last_used != today:
            self._keeper.later(self._keeper.mnemonic(mnemonic, last_used=today, listed=None))
