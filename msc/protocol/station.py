"""The two ends of a station's connection: the switch's (`StationSession`) and the station's (`StationClient`).

A station is a terminal, a printer or a host. What it may say when stands in `TRANSITIONS`; whatever is
not in the table is refused by name. The session does not decide who may sign on: it reports the request
as an event, waits in a state of its own, and is told the outcome.

    terminal  GREETED --sign_on--> VERIFYING --granted--> ACTIVE --lock--> LOCKED
                 ^                     |                   | ^               |
                 +------refused--------+                   | +--unlock ok----+ (VERIFYING_UNLOCK between)
                 +-----------------sign_off----------------+-----------------+
    printer   GREETED --open--> OPEN
    host      GREETED --open--> OPEN, where users sign on and off one by one
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum, StrEnum
from typing import Final

from msc.errors import NotSignedOn, Refusal, SessionLocked
from msc.protocol.control import (
    FROM_STATION,
    FROM_SWITCH,
    ChangePassword,
    Control,
    Hello,
    Lock,
    Locked,
    Open,
    Opened,
    Receipts,
    SignedOff,
    SignedOn,
    SignOff,
    SignOn,
    Status,
    Unlock,
    Unlocked,
    refusal_of,
    vocabulary,
)
from msc.protocol.session import ControlReceived, MessageOutOfPlace, Session, out_of_place


class StationKind(StrEnum):
    """What kind of station a device is."""

    TERMINAL = "terminal"
    PRINTER = "printer"
    HOST = "host"


class State(IntEnum):
    """Where the session of a station stands."""

    GREETED = 0
    VERIFYING = 1
    ACTIVE = 2
    LOCKED = 3
    VERIFYING_UNLOCK = 4
    OPEN = 5


Table = Mapping[State, Mapping[type[Control], State]]

TRANSITIONS: Final[Mapping[StationKind, Table]] = {
    StationKind.TERMINAL: {
        State.GREETED: {SignOn: State.VERIFYING, Status: State.GREETED},
        State.VERIFYING: {},
        State.ACTIVE: {
            Lock: State.LOCKED,
            SignOff: State.GREETED,
            ChangePassword: State.ACTIVE,
            Status: State.ACTIVE,
            Receipts: State.ACTIVE,
        },
        State.LOCKED: {Unlock: State.VERIFYING_UNLOCK, SignOff: State.GREETED, Status: State.LOCKED},
        State.VERIFYING_UNLOCK: {},
    },
    StationKind.PRINTER: {
        State.GREETED: {Open: State.OPEN, Status: State.GREETED},
        State.OPEN: {Status: State.OPEN},
    },
    StationKind.HOST: {
        State.GREETED: {Open: State.OPEN, Status: State.GREETED},
        State.OPEN: {
            SignOn: State.OPEN, SignOff: State.OPEN, Lock: State.OPEN, Unlock: State.OPEN,
            ChangePassword: State.OPEN, Status: State.OPEN, Receipts: State.OPEN,
        },
    },
}  # fmt: skip


class StationSession(Session):
    """The switch's end of a station's connection."""

    vocabulary = vocabulary(FROM_STATION)

    def __init__(self, now: float, kind: StationKind, hello: Hello) -> None:
        super().__init__(
            now,
            frame_bytes_max=hello.frame_bytes_max,
            window=hello.window,
            heartbeat_s=hello.heartbeat_s,
        )
        self.kind = kind
        self.state = State.GREETED
        self.active_at = now
        # A station keeps the window it was told; ours towards it is the same.
        self.peer_window = hello.window
        self._table = TRANSITIONS[kind]
        self._hello = hello
        self.send_control(hello)

    @property
    def receptive(self) -> bool:
        """Whether messages may be delivered now: a person is there to see them, or a printer is open."""
        return self.state in (State.ACTIVE, State.OPEN) and not self.closed

    def receive_data(self, data: bytes, now: float) -> None:
        """Take bytes as they came; see `Session`."""
        before = self._received_last
        super().receive_data(data, now)
        if self._received_last != before:
            self.active_at = now

    def _receive_message(self, sequence: int, payload: bytes) -> None:
        if self.state is State.ACTIVE or (self.state is State.OPEN and self.kind is StationKind.HOST):
            super()._receive_message(sequence, payload)
        elif self.state in (State.LOCKED, State.VERIFYING_UNLOCK):
            self._refuse_journaled(sequence, payload, SessionLocked())
        else:
            reason = "a printer sends no messages" if self.kind is StationKind.PRINTER else ""
            self._refuse_journaled(sequence, payload, NotSignedOn(reason))

    def _refuse_journaled(self, sequence: int, payload: bytes, refusal: Refusal) -> None:
        # Refused messages are journaled too, so even this one goes through the switch.
        self._events.append(MessageOutOfPlace(sequence, payload, refusal))

    def _receive_control(self, message: Control) -> None:
        state = self._table[self.state].get(type(message))
        if state is None:
            user = getattr(message, "user", None)
            refusal = out_of_place(message, self.state.name.lower().replace("_", " "))
            self._refuse_control(message.type, refusal, user)
            return
        self.state = state
        self._events.append(ControlReceived(message))

    # --- outcomes -------------------------------------------------------------------------------

    def grant(self, message: SignedOn, now: float) -> None:
        """Tell a station that its operator is signed on."""
        if self.kind is StationKind.TERMINAL:
            self.state = State.ACTIVE
        self.active_at = now
        self.send_control(message)

    def deny(self, message: Control, refusal: Refusal) -> None:
        """Tell a station that a control message was refused."""
        # A late answer to an earlier request changes nothing for what is under way now.
        if isinstance(message, Open) or (isinstance(message, SignOn) and self.state is State.VERIFYING):
            self.state = State.GREETED
        elif isinstance(message, Unlock) and self.state is State.VERIFYING_UNLOCK:
            self.state = State.LOCKED
        self.send_control(refusal_of(message.type, refusal, getattr(message, "user", None)))

    def opened(self, undelivered: int) -> None:
        """Tell a printer or host that it is open."""
        self.send_control(Opened(undelivered=undelivered))

    def lock(self, user: str | None = None, reason: str | None = None) -> None:
        """Lock a terminal's session, or tell a host that one of its users' is locked."""
        if self.kind is StationKind.TERMINAL:
            self.state = State.LOCKED
        self.send_control(Locked(user=user, reason=reason))

    def unlock(self, now: float, user: str | None = None) -> None:
        """Let a locked session go on."""
        if self.kind is StationKind.TERMINAL:
            self.state = State.ACTIVE
            self.active_at = now
        self.send_control(Unlocked(user=user))

    def sign_off(self, user: str | None = None, reason: str | None = None) -> None:
        """End an operator's session; a terminal may sign on again on the same connection."""
        if self.kind is StationKind.TERMINAL:
            self.state = State.GREETED
        self.send_control(SignedOff(user=user, reason=reason))


class StationClient(Session):
    """The station's end, for our own clients, tests and load."""

    vocabulary = vocabulary(FROM_SWITCH)

    def __init__(self, now: float, *, frame_bytes_max: int, window: int) -> None:
        super().__init__(now, frame_bytes_max=frame_bytes_max, window=window)
        self.hello: Hello | None = None

    def _receive_control(self, message: Control) -> None:
        if isinstance(message, Hello):
            self.hello = message
            self.window = self.peer_window = message.window
            self.peer_frame_bytes_max = message.frame_bytes_max
            self.heartbeat_s = message.heartbeat_s
        self._events.append(ControlReceived(message))
