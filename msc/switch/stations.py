"""What stations do: devices are admitted, operators sign on and off, messages are handed on.

Password checks run as tasks beside the loop; whoever leaves while one runs gives back what it would have been given.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any

from msc import clock
from msc.access.control_point import AccessControlPoint, OperatorSession
from msc.access.host import HostSessions
from msc.audit import AuditEvent
from msc.directory.rows import Account, Device
from msc.directory.store import DirectoryUnavailable
from msc.errors import (
    CertificateMismatch,
    ControlOutOfPlace,
    InternalFault,
    MnemonicInUse,
    NotSignedOn,
    Overloaded,
    Refusal,
    SessionLocked,
    ShuttingDown,
)
from msc.limits import REAUTHENTICATE_S
from msc.log import get_logger
from msc.protocol.control import (
    ChangePassword,
    Control,
    ErrorNotice,
    Lock,
    Open,
    PasswordChanged,
    Receipts,
    SignedOn,
    SignOff,
    SignOn,
    Status,
    StatusReport,
    Unlock,
)
from msc.protocol.session import MessageOutOfPlace
from msc.protocol.station import State, StationKind
from msc.settings import ListenerSettings
from msc.switch.bulletin import BulletinBoard
from msc.switch.delivery import Deliveries
from msc.switch.port import StationPort
from msc.switch.receipt import ReceiptReports
from msc.switch.switch import Switch
from msc.switch.visits import Visit, Visits
from msc.tls import Examine, PeerCertificate

log = get_logger("switch")


@dataclass(frozen=True, slots=True)
class SessionReport:
    """A session, for who runs the switch.

    Attributes:
        began: RFC 3339, UTC.
        idle_s: Since its station last sent a message; a host's users share their host's.
    """

    session: str
    user: str
    agency: str
    device: str
    mnemonic: str
    pool: str | None
    source: str | None
    began: str
    idle_s: float
    locked: bool


class Stations:
    """Takes what stations do, and answers it.

    Args:
        receipts: Says what has become of a message.
        board: Gives everybody who comes the bulletins they have not got.
        examine: Says what is wrong with a certificate that TLS has let pass.
    """

    def __init__(
        self,
        *,
        point: AccessControlPoint,
        switch: Switch,
        deliveries: Deliveries,
        settings: ListenerSettings,
        line_states: Callable[[], dict[str, str]],
        receipts: ReceiptReports,
        board: BulletinBoard,
        visits: Visits,
        examine: Examine,
    ) -> None:
        self._point = point
        self._switch = switch
        self._deliveries = deliveries
        self._settings = settings
        self._line_states = line_states
        self._receipts = receipts
        self._board = board
        self._examine = examine
        self.presence, self.notify = visits.presence, visits.notify
        self._visits = visits.all
        self._open_devices = visits.open_devices
        self._tasks: set[asyncio.Task[None]] = set()
        self._checking: set[tuple[int, str | None]] = set()

    # --- connections ------------------------------------------------------------------------------

    def admit(self, peer: PeerCertificate, ip: str | None) -> Device:
        """Find the device a certificate names; see `AccessControlPoint.admit`.

        Raises:
            CertificateMismatch: It names none that may connect, or the certificate is revoked or has expired.
        """
        device = None
        try:
            device = self._point.admit(peer)
            if objection := self._examine(peer):
                raise CertificateMismatch(objection)
        except Refusal as refusal:
            self._point.audit(
                AuditEvent(
                    clock.wall_us(), "connection.refused", device=device.device if device else None, source=ip,
                    code=refusal.code, detail=f"{peer}: {refusal.reason}",
                )
            )  # fmt: skip
            raise
        return device

    def end_untrusted(self, station: StationPort) -> None:
        """End a connection if there is now something wrong with its certificate; its operators are told why."""
        objection = self._examine(station.peer)
        if objection is None:
            return
        self._audit(station, objection.event, detail=str(station.peer))
        self._sign_all_off(self._visits[station.identity], objection)
        station.session.send_control(ErrorNotice(code=CertificateMismatch.code, reason=objection))
        station.close(objection)

    def handshake_refused(self, reason: str) -> None:
        """Somebody came without a certificate we trust, or with no TLS at all."""
        self._point.audit(AuditEvent(clock.wall_us(), "handshake.refused", detail=reason[:200]))

    def station_connected(self, station: StationPort) -> None:
        """A device has connected."""
        users = None
        if station.device.kind is StationKind.HOST:
            users = HostSessions(self._point, station.device)
        self._visits[station.identity] = Visit(station, users=users)
        self._audit(station, "connection.opened", detail=station.cipher)

    def station_lost(self, station: StationPort, reason: str) -> None:
        """A connection has ended, and with it what was signed on through it."""
        visit = self._visits.pop(station.identity)
        self._deliveries.detach(station)
        if self._open_devices.get(station.device.device) is station:
            del self._open_devices[station.device.device]
        sessions = visit.users.clear() if visit.users else []
        if visit.operator is not None:
            sessions.append(visit.operator)
        for session in sessions:
            self._point.sign_off(session, reason, station.ip)
        self._audit(station, "connection.ended", detail=reason)

    def station_ticked(self, station: StationPort, now: float) -> None:
        """Lock or end sessions whose time is over: idle ones (AC-11, SC-10), and after twelve hours all (IA-11)."""
        visit = self._visits[station.identity]
        for session in visit.users or ():
            if now - session.authenticated_at >= REAUTHENTICATE_S and not session.locked:
                self._lock(station, session, "sign-on is twelve hours old")
        operator = visit.operator
        if operator is None:
            return
        idle_s = now - station.session.active_at
        lock_s, end_s = self._idle_limits(station.device)
        if end_s and idle_s >= end_s:
            self._sign_off(station, operator, "idle", tell="idle")
        elif operator.locked or station.session.state is not State.ACTIVE:
            return
        elif lock_s and idle_s >= lock_s:
            self._lock(station, operator, "idle")
        elif now - operator.authenticated_at >= REAUTHENTICATE_S:
            self._lock(station, operator, "sign-on is twelve hours old")

    def _idle_limits(self, device: Device) -> tuple[int, int]:
        """Return after how many idle seconds a session is locked, and ended; 0 is never.

        A device class exempts a device, or tightens what the listener says; it never loosens it.
        """
        own, all_ = self._point.device_class(device), self._settings
        return (
            min(own.idle_lock_s, all_.idle_lock_s) if own.idle_lock_s else 0,
            min(own.idle_end_s, all_.idle_end_s) if own.idle_end_s else 0,
        )

    # --- when the directory changes ---------------------------------------------------------------

    def directory_changed(self) -> None:
        """End what may not go on: sessions first, then connections of devices that changed."""
        directory = self._point.directory
        for session in list(self._point.sessions.values()):
            objection = self._point.objection(session)
            if objection is not None:
                self.end_session(session.session, objection.reason)
        today = clock.today()
        for visit in list(self._visits.values()):
            before, after = visit.station.device, directory.devices.get(visit.station.device.device)
            if after is before:
                continue
            if after is None or not after.in_force(today) or _connects_otherwise(before, after):
                visit.station.close("the device's entry in the directory has changed")
            else:
                visit.station.device = after

    def note_use(self) -> None:
        """Note what is in use today, before the calendar takes it for idle."""
        self._point.note_use(self._open_devices)

    def end_session(self, session_id: str, reason: str, asked: str | None = None) -> bool:
        """End a session by its id and tell its station why.

        Args:
            asked: Why, in the words of who asked for it.

        Returns:
            Whether there was one.
        """
        session = self._point.sessions.get(session_id)
        if session is None:
            return False
        for visit in self._visits.values():
            held = visit.operator if visit.users is None else visit.users.get(session.user)
            if held is session:
                self._sign_off(visit.station, session, reason, f"{reason}: {asked}" if asked else reason, asked)
                return True
        return False  # its sign-on is not complete; it looks for itself whether it may go on

    def sessions(self) -> list[SessionReport]:
        """Return who is signed on, the longest first."""
        now = clock.monotonic()
        found = []
        for visit in self._visits.values():
            station = visit.station
            for session in (*(visit.users or ()), *([visit.operator] if visit.operator else [])):
                found.append(
                    SessionReport(
                        session.session, session.user, session.agency, session.device, session.mnemonic,
                        session.pool, station.ip, clock.rfc3339(session.began_us),
                        round(now - station.session.active_at, 1), session.locked,
                    )
                )  # fmt: skip
        return sorted(found, key=lambda report: report.began)

    def disconnect(self, device: str, reason: str) -> int:
        """End a device's connections, and what is signed on through them; returns how many there were."""
        found = [visit for visit in self._visits.values() if visit.station.device.device == device]
        for visit in found:
            self._sign_all_off(visit, reason)
            visit.station.close(reason)
        return len(found)

    # --- messages ---------------------------------------------------------------------------------

    def message_received(self, station: StationPort, sequence: int, payload: bytes) -> None:
        """A data frame came."""
        visit = self._visits[station.identity]
        self._switch.take(station, sequence, payload, visit.operator, visit.users)

    def message_out_of_place(self, station: StationPort, sequence: int, payload: bytes, refusal: Refusal) -> None:
        """A data frame came that the session's state refuses."""
        operator = self._visits[station.identity].operator
        self._switch.take_out_of_place(station, MessageOutOfPlace(sequence, payload, refusal), operator)

    def message_answered(self, station: StationPort, sequence: int, refused: str | None) -> None:
        """A station has answered a message of ours."""
        self._deliveries.answered(station, sequence, refused)

    def station_writable(self, station: StationPort) -> None:
        """The station reads again."""
        self._deliveries.pump_station(station)

    # --- control ----------------------------------------------------------------------------------

    def control_received(self, station: StationPort, message: Control) -> None:
        """A control message came that fits the session's state."""
        if isinstance(message, SignOn):
            self._start(station, message, partial(self._sign_on, station, message))
        elif isinstance(message, Unlock):
            self._start(station, message, partial(self._unlock, station, message))
        elif isinstance(message, ChangePassword):
            self._start(station, message, partial(self._change_password, station, message))
        elif isinstance(message, Receipts):
            self._run(self._guard(station, message, self._report_receipts(station, message)))
        else:
            try:
                if isinstance(message, Open):
                    self._open(station)
                elif isinstance(message, SignOff):
                    operator = self._operator(station, message.user)
                    self._sign_off(station, operator, "signed off")
                elif isinstance(message, Lock):
                    self._lock_asked(station, self._operator(station, message.user))
                elif isinstance(message, Status):
                    station.session.send_control(self._status(station))
            except Refusal as refusal:
                station.session.deny(message, refusal)
                self.control_refused(station, refusal)
            station.flush()

    def control_refused(self, station: StationPort, refusal: Refusal) -> None:
        """A control message was refused: what makes no sense may be somebody trying the doors (C-ACPLOG)."""
        visit = self._visits.get(station.identity)
        operator = visit.operator if visit is not None else None
        self._point.audit(
            AuditEvent(
                clock.wall_us(), "control.refused", device=station.device.device,
                user=operator.user if operator else None, mnemonic=operator.mnemonic if operator else None,
                source=station.ip, session=operator.session if operator else None, code=refusal.code,
                detail=refusal.reason,
            )
        )  # fmt: skip

    def _operator(self, station: StationPort, user: str | None) -> OperatorSession:
        """Find the session a control message speaks of; a host must name the user."""
        visit = self._visits[station.identity]
        session = visit.operator if visit.users is None else visit.users.get(user)
        if session is None:
            raise NotSignedOn
        return session

    def _start(
        self,
        station: StationPort,
        message: SignOn | Unlock | ChangePassword,
        work: Callable[[], Coroutine[Any, Any, None]],
    ) -> None:
        """Have a password checked, one at a time for each person at a station: checks are dear, and wait in turn."""
        checked = (station.identity, message.user if station.device.kind is StationKind.HOST else None)
        if checked in self._checking:
            refusal = ControlOutOfPlace("a password is being checked")
            station.session.deny(message, refusal)
            self.control_refused(station, refusal)
            return
        self._checking.add(checked)
        task = self._run(self._guard(station, message, work()))
        task.add_done_callback(lambda _: self._checking.discard(checked))

    def _run(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _guard(self, station: StationPort, message: Control, work: Coroutine[Any, Any, None]) -> None:
        """Run what takes time; whatever comes of it, the station gets an answer."""
        try:
            await work
        except Refusal as refusal:
            station.session.deny(message, refusal)
            if not refusal.audited:
                self.control_refused(station, refusal)
            if isinstance(message, Unlock | ChangePassword):
                self._end_locked_out(station, message.user)
        except DirectoryUnavailable as exc:
            log.error("directory.unavailable", error=str(exc))
            station.session.deny(message, InternalFault())
        except Exception:
            log.exception("station.fault", control=message.type)
            station.session.deny(message, InternalFault())
        station.flush()

    async def _sign_on(self, station: StationPort, message: SignOn) -> None:
        if self._switch.draining:
            raise ShuttingDown
        users = self._visits[station.identity].users
        if users is not None:
            users.check_room(message.user)
        session, before = await self._point.sign_on(station.device, message, station.ip)
        visit = self._visits.get(station.identity)
        if visit is None:
            self._point.sign_off(session, "the connection ended during sign-on", station.ip)
            return
        if visit.users is not None:
            try:
                visit.users.check_room(session.user)  # it may have signed on twice at once
            except Refusal:
                self._point.sign_off(session, "signed on twice", station.ip)
                raise
            visit.users.add(session)
        elif visit.operator is not None:
            self._point.sign_off(session, "somebody is signed on there already", station.ip)
            raise ControlOutOfPlace("somebody is signed on already")
        else:
            visit.operator = session
        undelivered = 0
        if station.device.kind is StationKind.TERMINAL:
            for address in _addresses(session):
                self._deliveries.attach(address, station)
            self._board.station_arrived(session.address)
            undelivered = sum(map(self._deliveries.undelivered, _addresses(session)))
        station.session.grant(self._signed_on(session, before, station.device, undelivered), clock.monotonic())
        self._deliveries.pump_station(station)

    def _signed_on(self, session: OperatorSession, before: Account, device: Device, undelivered: int) -> SignedOn:
        previous = before.previous_sign_on
        expires = self._point.directory.account(session.user).password_expires
        return SignedOn(
            session=session.session,
            user=session.user,
            agency=session.agency,
            ori=session.ori,
            mnemonic=session.mnemonic,
            pooled=session.pooled,
            taf=session.taf or "",
            previous_sign_on=clock.rfc3339(previous) if previous is not None else None,
            failed_since=before.failed_since,
            password_expires=expires.isoformat() if expires else None,
            idle_lock_s=self._idle_limits(device)[0],
            undelivered=undelivered,
        )

    def _open(self, station: StationPort) -> None:
        name = station.device.device
        if self._switch.draining:
            raise ShuttingDown
        if name in self._open_devices:
            raise MnemonicInUse("the device is open on another connection")
        self._point.opened(station.device)
        self._open_devices[name] = station
        self._deliveries.attach(station.device.address, station)
        self._board.station_arrived(station.device.address)
        station.session.opened(self._deliveries.undelivered(station.device.address))
        self._audit(station, "station.opened")
        self._deliveries.pump_station(station)

    def _sign_off(
        self,
        station: StationPort,
        operator: OperatorSession,
        reason: str,
        tell: str | None = None,
        asked: str | None = None,
    ) -> None:
        visit = self._visits[station.identity]
        host = visit.users is not None
        if visit.users is not None:
            visit.users.remove(operator.user)
        else:
            visit.operator = None
            self._deliveries.detach(station)
        self._point.sign_off(operator, reason, station.ip, asked)
        station.session.sign_off(operator.user if host else None, tell)
        station.flush()

    def sign_everybody_off(self, reason: str) -> None:
        """End every operator's session and say why: the switch is about to go."""
        for visit in list(self._visits.values()):
            self._sign_all_off(visit, reason)

    def _sign_all_off(self, visit: Visit, reason: str) -> None:
        sessions = visit.users.clear() if visit.users is not None else []
        for session in sessions:
            self._point.sign_off(session, reason, visit.station.ip)
            visit.station.session.sign_off(session.user, reason)
        if visit.operator is not None:
            self._sign_off(visit.station, visit.operator, reason, tell=reason)
        visit.station.flush()

    def _lock_asked(self, station: StationPort, operator: OperatorSession) -> None:
        if operator.locked:
            raise ControlOutOfPlace("the session is locked already")
        self._lock(station, operator, "asked", tell=None)

    def _lock(self, station: StationPort, operator: OperatorSession, reason: str, tell: str | None = "") -> None:
        host = self._visits[station.identity].users is not None
        self._point.lock(operator, reason)
        station.session.lock(operator.user if host else None, reason if tell == "" else tell)
        station.flush()

    async def _unlock(self, station: StationPort, message: Unlock) -> None:
        operator = self._operator(station, message.user)
        await self._point.unlock(operator, message)
        visit = self._visits.get(station.identity)
        if visit is None or self._operator(station, message.user) is not operator:
            return  # it ended while its password was checked
        host = visit.users is not None
        station.session.unlock(clock.monotonic(), operator.user if host else None)
        self._deliveries.pump_station(station)

    def _end_locked_out(self, station: StationPort, user: str | None) -> None:
        """End a session that nobody can unlock any more: its mnemonic goes back to the pool (C-POOL)."""
        visit = self._visits.get(station.identity)
        if visit is None:
            return
        operator = visit.operator if visit.users is None else visit.users.get(user)
        if operator is not None and self._point.locked_out(operator.user):
            reason = "the account is locked: too many failures"
            self._sign_off(station, operator, reason, tell=reason)

    async def _change_password(self, station: StationPort, message: ChangePassword) -> None:
        operator = self._operator(station, message.user)
        await self._point.change_password(operator, message)
        station.session.send_control(PasswordChanged(user=message.user))

    async def _report_receipts(self, station: StationPort, message: Receipts) -> None:
        if station.identity not in self._visits:
            return
        user = self._asker(station, message.user)
        asker = (station.identity, user)
        try:
            report = await self._receipts.report(message, asker, station.device, user)
        except Overloaded as refusal:
            station.session.deny(message, refusal)  # no auditor's business: who asks too often is told so
            return
        # Meanwhile the session may have ended, or been locked; what was asked in it is for nobody else's eyes.
        if station.identity in self._visits and self._asker(station, message.user) == user:
            station.session.send_control(report)

    def _asker(self, station: StationPort, user: str | None) -> str:
        """Return who asks; a delegated host speaks for users that need not be signed on."""
        if station.device.delegated and user is not None:
            return user
        operator = self._operator(station, user)
        if operator.locked:
            raise SessionLocked
        return operator.user

    def _status(self, station: StationPort) -> StatusReport:
        operator = self._visits[station.identity].operator
        addresses = _addresses(operator) if operator else [station.device.address]
        return StatusReport(
            state=station.session.state.name.lower(),
            time=clock.rfc3339(clock.wall_us()),
            user=operator.user if operator else None,
            mnemonic=operator.mnemonic if operator else station.device.mnemonic,
            undelivered=sum(map(self._deliveries.undelivered, addresses)),
            lines=self._line_states(),
        )

    def _audit(self, station: StationPort, event: str, detail: str | None = None) -> None:
        self._point.audit(
            AuditEvent(clock.wall_us(), event, device=station.device.device, source=station.ip, detail=detail)
        )


def _addresses(session: OperatorSession) -> list[str]:
    """Return what is delivered to a terminal: its device's messages, and what its operator asked for elsewhere, under
    a pooled mnemonic that may be another's by now."""
    return list(dict.fromkeys([session.address, f"user:{session.user}"]))


def _connects_otherwise(before: Device, after: Device) -> bool:
    """Tell whether a device has to connect anew for its new entry to hold."""
    return (before.kind, before.agency, before.mnemonic, before.pool, before.delegated, before.certificate) != (
        after.kind, after.agency, after.mnemonic, after.pool, after.delegated, after.certificate,
    )  # fmt: skip
