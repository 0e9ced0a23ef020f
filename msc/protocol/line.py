"""The two ends of a line: the switch's (`LineSession`, the client) and the state host's (`LineHostSession`).

host -> hello      switch -> open_line      host -> line_open | refused      then D, A, N, P, Q both ways
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Final

from msc.errors import ControlOutOfPlace, Refusal
from msc.limits import FRAME_BYTES_MAX, WINDOW_MAX
from msc.protocol.control import (
    FROM_LINE_CLIENT,
    FROM_LINE_HOST,
    Control,
    ErrorNotice,
    Hello,
    LineOpen,
    Notice,
    OpenLine,
    Refused,
    refusal_of,
    vocabulary,
)
from msc.protocol.session import (
    ControlReceived,
    LineDeclined,
    LineOpened,
    LineRequested,
    PeerLost,
    Session,
    out_of_place,
)


class LineStage(IntEnum):
    """How far the session of a line has come."""

    CONNECTED = 0
    OPENING = 1
    OPEN = 2


TRANSITIONS: Final[Mapping[LineStage, Mapping[type[Control], LineStage]]] = {
    LineStage.CONNECTED: {Hello: LineStage.OPENING},
    LineStage.OPENING: {LineOpen: LineStage.OPEN, Refused: LineStage.CONNECTED, Notice: LineStage.OPENING},
    LineStage.OPEN: {Notice: LineStage.OPEN},
}
"""The switch's end; an `error` ends the line in any state."""


class LineSession(Session):
    """The switch's end of a line.

    Args:
        now: Monotonic time, seconds.
        opening: What we say once the host has greeted us.
        window: How many data frames the host may have unanswered.
    """

    vocabulary = vocabulary(FROM_LINE_HOST)
    # The state is not told our window; it is slowed down, never cut off, when it answers in bursts.
    window_is_strict = False

    def __init__(self, now: float, opening: OpenLine, *, window: int, heartbeat_s: float) -> None:
        super().__init__(now, frame_bytes_max=FRAME_BYTES_MAX, window=window, heartbeat_s=heartbeat_s)
        self.stage = LineStage.CONNECTED
        self._opening = opening

    def _receive_message(self, sequence: int, payload: bytes) -> None:
        if self.stage is not LineStage.OPEN:
            raise ControlOutOfPlace("a message before the line is open")
        super()._receive_message(sequence, payload)

    def _receive_control(self, message: Control) -> None:
        if isinstance(message, ErrorNotice):
            self.closed = True
            self._events.append(PeerLost(f"the host says {message.code} {message.reason}"[:200]))
            return
        if isinstance(message, Refused) and message.to != "open_line":
            return  # of something we never asked for
        stage = TRANSITIONS[self.stage].get(type(message))
        if stage is None:
            raise out_of_place(message, self.stage.name.lower())
        if isinstance(message, Hello):
            # Ping as often as the more anxious of the two asks for.
            self.heartbeat_s = min(self.heartbeat_s, max(message.heartbeat_s, 1.0))
            self.peer_frame_bytes_max = message.frame_bytes_max
            self.send_control(self._opening)
        self.stage = stage
        if isinstance(message, LineOpen):
            self.peer_window = min(message.window, WINDOW_MAX)
            self._events.append(LineOpened(self.peer_window))
        elif isinstance(message, Refused):
            self._events.append(LineDeclined(message.code))
        else:
            self._events.append(ControlReceived(message))


class LineHostSession(Session):
    """The state host's end of a line, for simulators and tests."""

    vocabulary = vocabulary(FROM_LINE_CLIENT)

    def __init__(self, now: float, hello: Hello) -> None:
        super().__init__(
            now,
            frame_bytes_max=hello.frame_bytes_max,
            window=hello.window,
            heartbeat_s=hello.heartbeat_s,
        )
        self.opening: OpenLine | None = None
        self._open = False
        self.send_control(hello)

    def _receive_message(self, sequence: int, payload: bytes) -> None:
        if not self._open:
            raise ControlOutOfPlace("a message before the line is open")
        super()._receive_message(sequence, payload)

    def _receive_control(self, message: Control) -> None:
        if isinstance(message, ErrorNotice):
            self.closed = True
            self._events.append(PeerLost(f"the switch says {message.code}"[:200]))
        elif isinstance(message, OpenLine) and self.opening is None:
            self.opening = message
            self._events.append(LineRequested(message))
        else:
            raise out_of_place(message, "open")

    def accept(self) -> None:
        """Open the line the switch asked for."""
        assert self.opening is not None
        self._open = True
        self.peer_window = self.window
        self.send_control(LineOpen(window=self.window))

    def decline(self, refusal: Refusal) -> None:
        """Refuse the line the switch asked for; it may ask again."""
        assert self.opening is not None
        self.opening = None
        self.send_control(refusal_of("open_line", refusal))
