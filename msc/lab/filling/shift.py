"""Who is at work in the filling's county: connections, sign-ons and sign-offs, locks, restarts of the switch."""

from __future__ import annotations

from heapq import heappop, heappush
from random import Random
from typing import Final

from msc.journal.record import AuditRecord
from msc.lab.filling.county import County, Device, Seat, Session
from msc.lab.filling.schedule import Kind, Schedule
from msc.limits import IDLE_END_S, IDLE_LOCK_S

_SECOND: Final = 1_000_000
_MINUTE: Final = 60 * _SECOND
_GOODBYE_US: Final = 2 * _MINUTE
"""Nobody begins anything this shortly before signing off: all they asked is answered by then."""
_WRONG_PASSWORD: Final = 0.04
_ZIPF: Final = 1.6
_CLOSED: Final = "the peer closed the connection"
_SHUT_DOWN: Final = "the switch is shutting down"


class Shifts:
    """Signs people on when they have something to send, and off when their time is over."""

    def __init__(self, rng: Random, county: County, schedule: Schedule, version: str) -> None:
        self._rng = rng
        self._county = county
        self._schedule = schedule
        self._version = version
        self._looks: list[tuple[int, int, Session]] = []
        self._looked = 0
        self._connected = 0
        self.sessions: set[Session] = set()

    @property
    def open_ends(self) -> int:
        """How many records `stop` would plan."""
        return 1 + len(self.sessions) + self._connected

    @property
    def restart_records(self) -> int:
        """How many records a stop and a start come to, besides `open_ends`."""
        return 2 + 3 * (len(self._county.printers) + len(self._county.hosts))

    # --- the switch -------------------------------------------------------------------------------

    def start(self, at_us: int) -> None:
        """Plan that the switch starts, and that printers and hosts connect."""
        record = AuditRecord(at_us, "switch.started", detail=self._version)
        self._schedule.add(at_us, 1, Kind.RESTART, record)
        for number, device in enumerate((*self._county.printers, *self._county.hosts), 1):
            opened = at_us + number * 90_000 + 300_000
            self._connect(opened, device)
            self._schedule.audit(opened + 1_100, "station.opened", device, source=device.ip)

    def stop(self, at_us: int) -> None:
        """Plan that the switch stops: everybody is signed off, every connection ends."""
        for number, session in enumerate(sorted(self.sessions, key=lambda s: s.session)):
            self._end(session, at_us + number * 40, _SHUT_DOWN, hang_up=False)
        for number, device in enumerate(device for device in self._county.devices if device.connected):
            self._disconnect(at_us + 100_000 + number * 40, device)
        self._schedule.audit(at_us + 200_000, "switch.stopped")

    def _connect(self, at_us: int, device: Device) -> None:
        device.connected = True
        self._connected += 1
        self._schedule.connect(at_us, device)

    def _disconnect(self, at_us: int, device: Device) -> None:
        device.connected = False
        self._connected -= 1
        self._schedule.audit(at_us, "connection.ended", device, source=device.ip, detail=_CLOSED)

    # --- people -----------------------------------------------------------------------------------

    def sit(self, at_us: int) -> tuple[int, Session]:
        """Choose who sends the next message, and sign them on if they are not.

        Returns:
            When they send it, not before `at_us`, and their session.
        """
        county = self._county
        seat = county.seats[int(len(county.seats) * self._rng.random() ** _ZIPF)]
        at_us = max(at_us, seat.free_us)
        session = seat.session
        if session is not None and session.ends_us - at_us < _GOODBYE_US:
            self._end(session, at_us, "signed off")
            session = None
        if session is None:
            at_us, session = self._sign_on(seat, at_us + 1_000)
        elif session.locked:
            session.locked = False
            self._note(at_us, "session.unlocked", session)
            at_us += 2 * _SECOND
        session.active_us = at_us
        seat.free_us = at_us + 3 * _SECOND
        return at_us, session

    def _sign_on(self, seat: Seat, at_us: int) -> tuple[int, Session]:
        rng, device, schedule = self._rng, seat.device, self._schedule
        user = seat.users[int(len(seat.users) * rng.random() ** _ZIPF)]
        if not device.connected:
            self._connect(at_us, device)
        at_us += 8 * _SECOND
        if rng.random() < _WRONG_PASSWORD:
            schedule.audit(
                at_us, "sign_on.refused", device, user=user.user, source=device.ip, code="E101",
                detail="unknown user or wrong password",
            )  # fmt: skip
            at_us += 12 * _SECOND
        mnemonic = device.mnemonic or device.agency.pool.popleft()
        ends_us = at_us + int(rng.uniform(4.0, 11.5) * 60) * _MINUTE
        session = Session(seat, user, f"{rng.getrandbits(64):016x}", mnemonic, ends_us, at_us)
        schedule.audit(
            at_us, "sign_on.granted", device, user=user.user, mnemonic=mnemonic, source=device.ip,
            session=session.session,
        )  # fmt: skip
        seat.session = session
        self.sessions.add(session)
        self._look(at_us + IDLE_LOCK_S * _SECOND, session)
        return at_us + int(15 * _SECOND + rng.random() * _MINUTE), session

    def pass_time(self, until_us: int) -> None:
        """Plan what happens by itself before a time: idle sessions are locked and ended, shifts end."""
        looks = self._looks
        while looks and looks[0][0] < until_us:
            at_us, _, session = heappop(looks)
            if session not in self.sessions:
                continue
            idle_us = at_us - session.active_us
            watched = not session.seat.device.staffed and not session.seat.device.host
            if at_us >= session.ends_us:
                self._end(session, at_us, "signed off")
            elif watched and idle_us >= IDLE_END_S * _SECOND:
                self._end(session, at_us, "idle")
            elif watched and idle_us >= IDLE_LOCK_S * _SECOND:
                if not session.locked:
                    session.locked = True
                    self._note(at_us, "session.locked", session, "idle")
                self._look(session.active_us + IDLE_END_S * _SECOND, session)
            elif watched:
                self._look(session.active_us + IDLE_LOCK_S * _SECOND, session)
            else:
                self._look(session.ends_us, session)

    def _look(self, at_us: int, session: Session) -> None:
        self._looked += 1
        heappush(self._looks, (min(at_us, session.ends_us), self._looked, session))

    def _end(self, session: Session, at_us: int, why: str, *, hang_up: bool = True) -> None:
        seat, device = session.seat, session.seat.device
        self.sessions.discard(session)
        seat.session = None
        self._schedule.audit(
            at_us, "session.ended", device, user=session.user.user, mnemonic=session.mnemonic, source=device.ip,
            session=session.session, detail=why,
        )  # fmt: skip
        if device.mnemonic is None:
            device.agency.pool.append(session.mnemonic)
            if hang_up and why != "idle":
                self._disconnect(at_us + 200, device)

    def _note(self, at_us: int, event: str, session: Session, detail: str | None = None) -> None:
        self._schedule.audit(
            at_us, event, session.seat.device, user=session.user.user, mnemonic=session.mnemonic,
            session=session.session, detail=detail,
        )  # fmt: skip
