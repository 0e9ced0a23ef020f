"""Where a line stands, as a table; pure.

    down ── CONNECT ──> connecting ── CONNECTED ──> opening ── OPENED ──> open
    (any of them) ── LOST ──> down               open, held, draining: HOLD, DRAIN, RELEASE lead between them

Open, held and draining are the three in which the session stands: answers are taken in all of them, messages go
out in `open` alone. What an operator orders outlives the connection: a held line that was lost is held again when
it is back, until it is released.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, StrEnum
from typing import Final


class LineState(StrEnum):
    """Where a line stands; the values are what terminals and operators are told."""

    DOWN = "down"
    CONNECTING = "connecting"
    OPENING = "opening"
    """Connected; the host has not opened the line yet."""
    OPEN = "open"
    HELD = "held"
    """An operator lets nothing out on it."""
    DRAINING = "draining"
    """An operator wants it empty: nothing new goes out, what the host has not acknowledged is awaited."""

    @property
    def is_connected(self) -> bool:
        """Whether the session stands, whatever an operator has ordered."""
        return self in _CONNECTED


_CONNECTED: Final = frozenset((LineState.OPEN, LineState.HELD, LineState.DRAINING))


class LineEvent(Enum):
    """What happens to a line."""

    CONNECT = "connect"
    """We try to reach the host."""
    CONNECTED = "connected"
    """The TLS handshake is done, and the certificate is the host's."""
    OPENED = "opened"
    """The host has opened the line."""
    LOST = "lost"
    """It could not be reached, or the connection has ended."""
    HOLD = "hold"
    RELEASE = "release"
    DRAIN = "drain"


_DOWN, _CONNECTING, _OPENING = LineState.DOWN, LineState.CONNECTING, LineState.OPENING
_OPEN, _HELD, _DRAINING = LineState.OPEN, LineState.HELD, LineState.DRAINING

TRANSITIONS: Final[Mapping[tuple[LineState, LineEvent], LineState]] = {
    (_DOWN, LineEvent.CONNECT): _CONNECTING,
    (_CONNECTING, LineEvent.CONNECTED): _OPENING,
    (_CONNECTING, LineEvent.LOST): _DOWN,
    (_OPENING, LineEvent.OPENED): _OPEN,
    (_OPENING, LineEvent.LOST): _DOWN,
    (_OPEN, LineEvent.LOST): _DOWN,
    (_HELD, LineEvent.LOST): _DOWN,
    (_DRAINING, LineEvent.LOST): _DOWN,
    # An operator may order anything at any time. Where there is no session yet, it counts once there is one.
    **{(state, order): state for state in (_DOWN, _CONNECTING, _OPENING) for order in
       (LineEvent.HOLD, LineEvent.RELEASE, LineEvent.DRAIN)},
    **{(state, LineEvent.HOLD): _HELD for state in _CONNECTED},
    **{(state, LineEvent.RELEASE): _OPEN for state in _CONNECTED},
    **{(state, LineEvent.DRAIN): _DRAINING for state in _CONNECTED},
}  # fmt: skip
"""What is not in here cannot happen: it would be our fault."""

ORDERS: Final = frozenset((LineEvent.HOLD, LineEvent.RELEASE, LineEvent.DRAIN))
"""The events that are an operator's."""


class LineCondition:
    """Where one line stands, and what its operator has ordered."""

    def __init__(self) -> None:
        self.state = LineState.DOWN
        self._order: LineEvent | None = None

    @property
    def held(self) -> bool:
        """Whether an operator holds the line, whether or not it is there."""
        return self._order is LineEvent.HOLD

    def take(self, event: LineEvent) -> LineState:
        """Take an event; returns the state it leads to."""
        if event in ORDERS:
            self._order = None if event is LineEvent.RELEASE else event
        self._step(event)
        if event is LineEvent.OPENED and self._order is not None:
            self._step(self._order)
        return self.state

    def _step(self, event: LineEvent) -> None:
        state = TRANSITIONS.get((self.state, event))
        assert state is not None, f"{event.name} while {self.state}"
        self.state = state
