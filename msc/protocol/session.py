"""One end of an MTP/1 connection, without I/O: bytes in, events and bytes out, time as an argument.

Every end has the same verbs: `receive_data`, `receive_eof`, `tick(now)`, `deadline()`, `events()`,
`data_to_send()`. A peer's fault never raises: it becomes a `ProtocolFailed` event, an `error` frame and a
closed session. The four ends differ only in the control messages they know; see `station` and `line`.

Windows: a sender keeps at most `window` unanswered data frames. A frame past that is left undecoded
(`holding`), and the connection stops reading until an answer makes room. A peer of which more than a
second window is already waiting is not slow but wrong, and is cut off with E606.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final, NamedTuple, Protocol

import orjson

from msc.errors import (
    BadJson,
    ControlOutOfPlace,
    FrameTooLong,
    JournalUnavailable,
    Overloaded,
    Refusal,
    SequenceOutOfOrder,
    ShuttingDown,
    WindowExceeded,
)
from msc.limits import FRAME_COMPLETE_S, FRAME_OVERHEAD_BYTES, HEARTBEAT_S, PINGS_UNANSWERED_MAX
from msc.protocol.control import (
    BadMember,
    Control,
    ErrorNotice,
    OpenLine,
    UnknownControl,
    Vocabulary,
    encode_control,
    parse_control,
    refusal_of,
)
from msc.protocol.envelope import parse_json
from msc.protocol.frame import ACK, CONTROL, DATA, NAK, PING, PONG, Frame, FrameDecoder, encode_frame

TRANSIENT: Final = frozenset((JournalUnavailable.code, Overloaded.code, ShuttingDown.code))
"""Codes with which a peer says that it cannot take a message now: it may be sent again, and be taken."""

# --- events -------------------------------------------------------------------------------------


class MessageReceived(NamedTuple):
    """A data frame came; it must be answered once with `acknowledge` or `refuse`."""

    sequence: int
    payload: bytes


class MessageOutOfPlace(NamedTuple):
    """A data frame came that this end's state refuses; it must be answered with that refusal all the same."""

    sequence: int
    payload: bytes
    refusal: Refusal


class ControlRefused(NamedTuple):
    """A control message came that has no place here, or makes no sense; it has been refused."""

    refusal: Refusal


class MessageAcknowledged(NamedTuple):
    """The peer has taken over the data frame we sent with this sequence."""

    sequence: int
    payload: bytes


class MessageRefused(NamedTuple):
    """The peer has refused the data frame we sent with this sequence; for now only, if `code` is `TRANSIENT`."""

    sequence: int
    code: str
    reason: str


class ControlReceived(NamedTuple):
    """A control message that this end has to act on."""

    message: Control


class LineRequested(NamedTuple):
    """The switch asks this state host to open a line; answer with `accept` or `decline`."""

    opening: OpenLine


class LineOpened(NamedTuple):
    """The line is open: messages may go both ways.

    Attributes:
        window: How many messages of ours the peer takes unanswered.
    """

    window: int


class LineDeclined(NamedTuple):
    """The state host refused to open the line."""

    code: str


class PongReceived(NamedTuple):
    """The answer to a `ping` of ours."""

    number: int


class ProtocolFailed(NamedTuple):
    """The peer broke the protocol. What is to be sent first is in `data_to_send`; then close."""

    code: str
    reason: str


class PeerLost(NamedTuple):
    """The peer has closed, or has been silent for too long."""

    reason: str


Event = (
    MessageReceived
    | MessageOutOfPlace
    | MessageAcknowledged
    | MessageRefused
    | ControlReceived
    | ControlRefused
    | LineRequested
    | LineOpened
    | LineDeclined
    | PongReceived
    | ProtocolFailed
    | PeerLost
)


class End(Protocol):
    """What a connection needs of whatever speaks over it: bytes in, events and bytes out, time as an argument."""

    closed: bool
    holding: bool
    """Whether something that came is left undecoded until we have answered."""

    def receive_data(self, data: bytes, now: float) -> None:
        """Take bytes as they came."""

    def receive_eof(self) -> None:
        """The peer has closed its side."""

    def resume(self, now: float) -> None:
        """Decode what was held back, if there is room for it now."""

    def tick(self, now: float) -> None:
        """Look at the clock."""

    def deadline(self) -> float:
        """When `tick` next has something to do, in monotonic seconds."""

    def events(self) -> list[Event]:
        """Take the events so far, in order."""

    @property
    def has_data_to_send(self) -> bool:
        """Whether `data_to_send` would give anything."""

    def data_to_send(self) -> bytes:
        """Take the bytes to send so far."""


_FIRST_PING: Final = 0x1_0000
"""Pings somebody waits for are numbered from here; heartbeats are numbered from 1, and never come so far."""


class Session(ABC):
    """What all four ends of an MTP/1 connection share.

    Args:
        now: Monotonic time, seconds.
        frame_bytes_max: The longest frame we accept.
        window: How many data frames the peer may have unanswered.
        heartbeat_s: Silence after which we ask whether the peer is there.
    """

    vocabulary: Vocabulary
    window_is_strict = True
    """Whether a peer far past its window is cut off."""

    def __init__(self, now: float, *, frame_bytes_max: int, window: int, heartbeat_s: float = HEARTBEAT_S) -> None:
        self.window = window
        self.peer_window = 1
        self.peer_frame_bytes_max = frame_bytes_max
        self.heartbeat_s = heartbeat_s
        self.closed = False
        self.holding = False
        self._decoder = FrameDecoder(frame_bytes_max)
        self._events: list[Event] = []
        self._out: list[bytes] = []
        self._received_last = 0
        self._unanswered: set[int] = set()
        self._sent_last = 0
        self._awaiting: set[int] = set()
        self._heard_at = now
        self._pings = 0
        self._partial_since: float | None = None

    # --- in -------------------------------------------------------------------------------------

    def receive_data(self, data: bytes, now: float) -> None:
        """Take bytes as they came. What they mean is in `events` afterwards."""
        if self.closed:
            return
        self._heard_at = now
        self._pings = 0
        self._decoder.receive_data(data)
        self._take_frames(now)

    def receive_eof(self) -> None:
        """The peer has closed its side."""
        if not self.closed:
            self.closed = True
            self._events.append(PeerLost("the peer closed the connection"))

    def _take_frames(self, now: float) -> None:
        decoder = self._decoder
        try:
            while not self.closed:
                if len(self._unanswered) >= self.window and decoder.peek_kind() == DATA:
                    self.holding = True
                    if self.window_is_strict and decoder.count(DATA, self.window + 1) > self.window:
                        raise WindowExceeded(f"more than twice {self.window} messages sent unanswered")
                    break
                self.holding = False
                frame = decoder.take()
                if frame is None:
                    break
                self._partial_since = None
                self._receive_frame(frame)
        except Refusal as refusal:
            self.fail(refusal)
        # A frame begun must be whole in time; frames we hold back ourselves do not count.
        if self.holding or not len(decoder):
            self._partial_since = None
        elif self._partial_since is None:
            self._partial_since = now

    def _receive_frame(self, frame: Frame) -> None:
        kind, sequence, payload = frame
        if kind == DATA:
            if sequence != self._received_last + 1:
                raise SequenceOutOfOrder(f"data frame {sequence} where {self._received_last + 1} was due")
            self._received_last = sequence
            self._unanswered.add(sequence)
            self._receive_message(sequence, payload)
        elif kind == ACK:
            if self._answers(sequence):
                self._events.append(MessageAcknowledged(sequence, payload))
        elif kind == CONTROL:
            if sequence != 0:
                raise SequenceOutOfOrder("a control frame has sequence 0")
            self._receive_control_frame(payload)
        elif kind == PING:
            self._out.append(encode_frame(PONG, sequence))
        elif kind == PONG:
            # Pongs of heartbeats say no more than any other frame: the peer is there.
            if sequence >= _FIRST_PING:
                self._events.append(PongReceived(sequence - _FIRST_PING))
        elif kind == NAK and self._answers(sequence):
            self._events.append(MessageRefused(sequence, *_parse_nak(payload)))

    def _answers(self, sequence: int) -> bool:
        """Tell whether an answer is to a frame still unanswered; a second answer is passed over."""
        if not 1 <= sequence <= self._sent_last:
            raise SequenceOutOfOrder(f"answer to data frame {sequence}, which was never sent")
        if sequence in self._awaiting:
            self._awaiting.remove(sequence)
            return True
        return False

    def _receive_message(self, sequence: int, payload: bytes) -> None:
        """Take a data frame; an end where none may come overrides this."""
        self._events.append(MessageReceived(sequence, payload))

    def _receive_control_frame(self, payload: bytes) -> None:
        try:
            message = parse_control(payload, self.vocabulary)
            self._receive_control(message)
        except (UnknownControl, BadMember) as refusal:
            self._refuse_control(refusal.type, refusal)

    def _refuse_control(self, type_: str, refusal: Refusal, user: str | None = None) -> None:
        self.send_control(refusal_of(type_, refusal, user))
        self._events.append(ControlRefused(refusal))

    @abstractmethod
    def _receive_control(self, message: Control) -> None:
        """Act on a well-formed control message of the vocabulary."""

    # --- out ------------------------------------------------------------------------------------

    def send_control(self, message: Control) -> None:
        """Send a control message."""
        if not self.closed:
            self._out.append(encode_frame(CONTROL, 0, encode_control(message)))

    @property
    def room(self) -> int:
        """How many more data frames the peer will take now."""
        return 0 if self.closed else self.peer_window - len(self._awaiting)

    def send_message(self, payload: bytes) -> int:
        """Send a data frame; there must be `room`.

        Returns:
            Its sequence number, which the peer's answer will bear.

        Raises:
            FrameTooLong: The peer would not accept it; nothing is sent.
        """
        assert self.room > 0
        if len(payload) + FRAME_OVERHEAD_BYTES > self.peer_frame_bytes_max:
            raise FrameTooLong("the message does not fit into the peer's frame")
        self._sent_last += 1
        self._awaiting.add(self._sent_last)
        self._out.append(encode_frame(DATA, self._sent_last, payload))
        return self._sent_last

    @property
    def sent_last(self) -> int:
        """The sequence of the last data frame we sent; 0 before the first."""
        return self._sent_last

    @property
    def unacknowledged_first(self) -> int | None:
        """The sequence of the oldest data frame of ours that the peer has not answered."""
        return min(self._awaiting, default=None)

    def ping(self, number: int) -> None:
        """Ask the peer for a sign of life; `PongReceived` bears the number, 0 to 65 535."""
        if not self.closed:
            self._out.append(encode_frame(PING, _FIRST_PING + number))

    def acknowledge(self, sequence: int, payload: bytes = b"") -> None:
        """Answer a data frame: taken over. Each is answered exactly once."""
        self._unanswered.remove(sequence)
        if not self.closed:
            self._out.append(encode_frame(ACK, sequence, payload))

    def refuse(self, sequence: int, refusal: Refusal) -> None:
        """Answer a data frame: refused. Each is answered exactly once."""
        self._unanswered.remove(sequence)
        if not self.closed:
            answer = {"code": refusal.code, "reason": refusal.reason}
            self._out.append(encode_frame(NAK, sequence, orjson.dumps(answer)))

    def resume(self, now: float) -> None:
        """Decode what was held back while the window was full; to be called after answers were given."""
        if self.holding and len(self._unanswered) < self.window and not self.closed:
            self._take_frames(now)

    def fail(self, refusal: Refusal) -> None:
        """End the session because the peer broke the protocol: an `error` frame first."""
        if not self.closed:
            self.send_control(ErrorNotice(code=refusal.code, reason=refusal.reason))
            self.closed = True
            self._events.append(ProtocolFailed(refusal.code, refusal.reason))

    # --- time -----------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Look at the clock: send what is due, give up what is overdue."""
        if self.closed:
            return
        if self._partial_since is not None and now - self._partial_since >= FRAME_COMPLETE_S:
            self.fail(FrameTooLong(f"a frame was not complete after {FRAME_COMPLETE_S:.0f} s"))
        elif now >= self._next_ping():
            if self._pings >= PINGS_UNANSWERED_MAX:
                self.closed = True
                self._events.append(PeerLost(f"{self._pings} heartbeats were not answered"))
            else:
                self._pings += 1
                self._out.append(encode_frame(PING, self._pings))

    def _next_ping(self) -> float:
        return self._heard_at + self.heartbeat_s * (self._pings + 1)

    def deadline(self) -> float:
        """When `tick` next has something to do, in monotonic seconds."""
        if self._partial_since is not None:
            return min(self._next_ping(), self._partial_since + FRAME_COMPLETE_S)
        return self._next_ping()

    # --- to the connection ----------------------------------------------------------------------

    def events(self) -> list[Event]:
        """Take the events so far, in order."""
        events, self._events = self._events, []
        return events

    @property
    def has_data_to_send(self) -> bool:
        """Whether `data_to_send` would give anything."""
        return bool(self._out)

    def data_to_send(self) -> bytes:
        """Take the bytes to send so far."""
        if len(self._out) == 1:
            return self._out.pop()
        data = b"".join(self._out)
        self._out.clear()
        return data

    @property
    def unanswered(self) -> int:
        """How many of the peer's data frames we still owe an answer."""
        return len(self._unanswered)


def out_of_place(message: Control, state: str) -> ControlOutOfPlace:
    """Name the control message that has no place in a state."""
    return ControlOutOfPlace(f"{message.type} is out of place while {state}")


def _parse_nak(payload: bytes) -> tuple[str, str]:
    """Read a nak's payload leniently: whatever it says, the message was refused."""
    try:
        members = parse_json(payload)
        code, reason = members["code"], members["reason"]
    except (BadJson, KeyError):
        return "", "no reason given"
    return str(code)[:8], str(reason)[:200]
