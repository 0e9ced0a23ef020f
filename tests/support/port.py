"""Stand-ins for connections: a station and a line without sockets, around real sessions."""

from __future__ import annotations

import itertools

from msc.directory.rows import Device
from msc.errors import Refusal
from msc.protocol.line_state import LineState
from msc.protocol.station import StationKind, StationSession
from msc.tls import PeerCertificate
from tests.support.ends import active_terminal, open_host


class FakeStation:
    """A station's connection whose wire is a list."""

    _identities = itertools.count(1)

    def __init__(self, device: Device, session: StationSession | None = None) -> None:
        self.identity = next(self._identities)
        self.device = device
        self.ip: str | None = "10.0.0.23"
        self.peer = PeerCertificate((f"msc://device/{device.device}",), self.identity, "CN=test", "", 4e9)
        self.cipher = "TLSv1.3 TLS_AES_256_GCM_SHA384"
        if session is None:
            session = open_host() if device.kind is StationKind.HOST else active_terminal()
        self.session = session
        self.write_paused = False
        self.reason: str | None = None

    @property
    def closed(self) -> bool:
        """Whether it has ended."""
        return self.reason is not None

    def flush(self) -> None:
        """What is to be sent stays in the session until a test looks."""

    def close(self, reason: str) -> None:
        """End."""
        self.reason = reason


class FakeLine:
    """A line to a state host that takes what it is sent, or is down."""

    mode = "production"

    def __init__(self, name: str, room: int = 10) -> None:
        self.name = name
        self.state = LineState.OPEN
        self.held = False
        self.room_when_open = room
        self.sent: list[bytes] = []
        self.answers: list[tuple[int, Refusal | None]] = []
        self.connection: object = object()
        self.restarts: list[str] = []

    @property
    def address(self) -> str:
        """Its name in journal and queues."""
        return f"line:{self.name}"

    @property
    def connected(self) -> bool:
        """Whether its session stands."""
        return self.state.is_connected

    @property
    def is_open(self) -> bool:
        """Whether it takes messages."""
        return self.state is LineState.OPEN

    @is_open.setter
    def is_open(self, value: bool) -> None:
        # What an operator has ordered outlives the connection.
        self.state = (LineState.HELD if self.held else LineState.OPEN) if value else LineState.DOWN

    @property
    def room(self) -> int:
        """How many more messages it takes."""
        return self.room_when_open if self.is_open else 0

    @room.setter
    def room(self, value: int) -> None:
        self.room_when_open = value

    def send(self, payload: bytes) -> int:
        """Take a message."""
        self.sent.append(payload)
        return len(self.sent)

    def answer(self, connection: object, sequence: int, refusal: Refusal | None) -> None:
        """Note an answer."""
        assert connection is self.connection
        self.answers.append((sequence, refusal))

    def hold(self) -> None:
        """Be held, if connected, and whenever it is."""
        self.held = True
        self._ordered(LineState.HELD)

    def drain(self) -> None:
        """Be drained, if connected."""
        self.held = False
        self._ordered(LineState.DRAINING)

    def release(self) -> None:
        """Be open again, if connected."""
        self.held = False
        self._ordered(LineState.OPEN)

    def _ordered(self, state: LineState) -> None:
        if self.connected:
            self.state = state

    def restart(self, reason: str) -> None:
        """Note it."""
        self.restarts.append(reason)

    async def test(self) -> float:
        """Answer at once."""
        return 0.0
