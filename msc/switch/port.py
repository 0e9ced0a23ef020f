"""What the switch needs of a station's connection and of a line. The rooms with sockets fulfil it; the
daemon brings the two together.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from msc.directory.rows import Device
from msc.errors import Refusal
from msc.protocol.line_state import LineState
from msc.protocol.station import StationSession
from msc.tls import PeerCertificate


class StationPort(Protocol):
    """A station's connection."""

    identity: int
    """Unique to the connection."""
    device: Device
    ip: str | None
    peer: PeerCertificate
    cipher: str
    """TLS version and cipher suite."""
    session: StationSession
    write_paused: bool

    @property
    def closed(self) -> bool:
        """Whether it has ended."""

    def flush(self) -> None:
        """Send what the session has to send."""

    def close(self, reason: str) -> None:
        """End the connection."""


class Presence(NamedTuple):
    """A station that is connected, for who runs the switch.

    Attributes:
        identity: Of its connection.
        state: Its session's: `active`, `locked`, `open` …
        since_us: When it connected.
        people: Who is signed on there.
        address: Where what it receives waits; None if it receives nothing.
        receptive: Whether it takes messages now.
    """

    identity: int
    device: Device
    state: str
    since_us: int
    people: tuple[str, ...]
    address: str | None
    receptive: bool


class LinePort(Protocol):
    """A line to a state host."""

    name: str

    @property
    def mode(self) -> str:
        """`production` or `test`."""

    @property
    def state(self) -> LineState:
        """Where it stands."""

    @property
    def address(self) -> str:
        """`line:NAME`."""

    @property
    def connected(self) -> bool:
        """Whether its session stands, whatever an operator has ordered: answers come in."""

    @property
    def is_open(self) -> bool:
        """Whether it takes messages: in state `open` alone."""

    @property
    def held(self) -> bool:
        """Whether an operator holds it, whether or not it is connected."""

    @property
    def room(self) -> int:
        """How many more messages it takes now."""

    @property
    def connection(self) -> object:
        """The identity of the present connection."""

    def send(self, payload: bytes) -> int:
        """Send a message; returns the sequence its answer will bear."""

    def answer(self, connection: object, sequence: int, outcome: int | Refusal) -> None:
        """Acknowledge a message of the host with its MSN, or refuse it."""

    def hold(self) -> None:
        """Let no more messages out, on this connection and the next ones, until released."""

    def release(self) -> None:
        """Let messages out again; `line_writable` follows if the line is connected."""

    def drain(self) -> None:
        """Let nothing new out until released, and await what the host has not acknowledged."""

    def restart(self, reason: str) -> None:
        """Drop the connection and connect at once; `line_lost` comes before this returns."""

    async def test(self) -> float:
        """Ask the host for a sign of life; returns how long it took in seconds, or raises `LineTestError`."""
