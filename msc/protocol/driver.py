"""Line drivers: what the protocol of a line must be able to do, and which there are.

A driver is a pair of pure sessions, the switch's end and the state host's, which is there for simulators and tests.
Whoever runs a line picks its driver by name and need know no more: events and verbs are the same for all.
Another driver is a module like `stx.py`, and a row below.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, Protocol

from msc.errors import Refusal
from msc.protocol.control import Hello, OpenLine
from msc.protocol.line import LineHostSession, LineSession
from msc.protocol.session import End
from msc.protocol.stx import StxHostSession, StxLineSession
from msc.settings import LineSettings


class LineDriver(End, Protocol):
    """One end of a line. Its events: `LineOpened` once, then messages and their answers; at last `PeerLost` or
    `ProtocolFailed`.

    `LineDeclined`, `PongReceived` and `ControlReceived` come where the protocol has them.
    """

    @property
    def room(self) -> int:
        """How many more messages the peer takes now."""

    @property
    def sent_last(self) -> int:
        """The sequence of the last message we sent; 0 before the first."""

    @property
    def unacknowledged_first(self) -> int | None:
        """The sequence of the oldest message of ours that the peer has not answered."""

    def send_message(self, payload: bytes) -> int:
        """Send a message; there must be `room`.

        Returns:
            Its sequence, which the answer's event bears.

        Raises:
            FrameTooLong, BadCharacter: It cannot be sent like this; nothing is.
        """

    def acknowledge(self, sequence: int, payload: bytes = b"") -> None:
        """Answer a message of the peer: taken over. Each is answered exactly once."""

    def refuse(self, sequence: int, refusal: Refusal) -> None:
        """Answer a message of the peer: refused. Each is answered exactly once."""

    def ping(self, number: int) -> None:
        """Ask the peer for a sign of life; `PongReceived` bears the number.

        Raises:
            NoLineTest: The protocol has nothing of the kind.
        """


class HostDriver(LineDriver, Protocol):
    """The state host's end. `LineRequested` comes where the protocol lets the switch ask for a line."""

    def accept(self) -> None:
        """Open the line that was requested; no `LineOpened` follows."""

    def decline(self, refusal: Refusal) -> None:
        """Refuse the line that was requested."""


class Driver(NamedTuple):
    """What makes the two ends; `now` is monotonic time in seconds."""

    switch_end: Callable[[float, LineSettings, OpenLine], LineDriver]
    host_end: Callable[[float, Hello], HostDriver]


def _mtp_switch_end(now: float, line: LineSettings, opening: OpenLine) -> LineDriver:
    return LineSession(now, opening, window=line.window, heartbeat_s=line.heartbeat_s)


DRIVERS: Final[Mapping[str, Driver]] = {
    "mtp": Driver(_mtp_switch_end, LineHostSession),
    "stx": Driver(lambda now, _line, _opening: StxLineSession(now), lambda now, _hello: StxHostSession(now)),
}
"""The drivers there are, by the name that `[[line]] driver` gives them."""
