"""A fake wire: feeds a session bytes in pieces, or joins two sessions without a socket.

Time is an argument. A `Wire` moves bytes until both ends are quiet and keeps what each end was told.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, cast

from msc.protocol.control import Hello
from msc.protocol.frame import CONTROL, Frame, FrameDecoder, encode_frame
from msc.protocol.session import End, Event, Session

FRAME_BYTES_MAX = 65_536

Cut = Callable[[bytes], Iterator[bytes]]


def whole(data: bytes) -> Iterator[bytes]:
    """Everything in one piece."""
    if data:
        yield data


def byte_by_byte(data: bytes) -> Iterator[bytes]:
    """One byte a piece."""
    for at in range(len(data)):
        yield data[at : at + 1]


CUTS: dict[str, Cut] = {"whole": whole, "byte_by_byte": byte_by_byte}


def make_hello(*, window: int = 4, heartbeat_s: float = 30.0, frame_bytes_max: int = FRAME_BYTES_MAX) -> Hello:
    """Make a greeting with the limits a test wants."""
    return Hello(
        switch="msc-test",
        time="2026-01-31T08:15:00Z",
        frame_bytes_max=frame_bytes_max,
        window=window,
        heartbeat_s=heartbeat_s,
    )


def control_frame(members: object) -> bytes:
    """Write a control frame of any JSON value, as a peer that is not ours might."""
    return encode_frame(CONTROL, 0, json.dumps(members).encode())


def frames_of(data: bytes) -> list[Frame]:
    """Take sent bytes apart; there must be nothing but whole frames."""
    decoder = FrameDecoder(FRAME_BYTES_MAX)
    decoder.receive_data(data)
    frames = []
    while (frame := decoder.take()) is not None:
        frames.append(frame)
    assert len(decoder) == 0
    return frames


def sent_frames(session: Session) -> list[Frame]:
    """Take what a session has to send, as frames."""
    return frames_of(session.data_to_send())


def sent_controls(session: Session) -> list[dict[str, Any]]:
    """Take what a session has to send, which must be control messages alone, as JSON objects."""
    frames = sent_frames(session)
    assert all(frame.kind == CONTROL and frame.sequence == 0 for frame in frames), frames
    return [json.loads(frame.payload) for frame in frames]


class Events(list[Event]):
    """Events in their order. Equal only if of the same kinds: as tuples, an ack and a message may look alike."""

    def __eq__(self, other: object) -> bool:
        return super().__eq__(other) and list(map(type, self)) == list(map(type, cast("list[Event]", other)))

    __hash__ = None  # type: ignore[assignment]


def feed(session: End, data: bytes, cut: Cut = whole, now: float = 0.0) -> Events:
    """Feed a session bytes in pieces and take the events they made."""
    events = Events()
    for piece in cut(data):
        session.receive_data(piece, now)
        events += session.events()
    return events


class Wire:
    """Two sessions joined.

    Attributes:
        left_events, right_events: What each end was told since it was last asked.
    """

    def __init__(self, left: End, right: End, cut: Cut = whole, now: float = 0.0) -> None:
        self.left, self.right, self.cut, self.now = left, right, cut, now
        self._events = {id(left): Events(), id(right): Events()}

    def run(self, turns_max: int = 100) -> None:
        """Move bytes both ways until both ends are quiet.

        Raises:
            AssertionError: They do not fall silent.
        """
        for _ in range(turns_max):
            moved = self._move(self.left, self.right) + self._move(self.right, self.left)
            if not moved:
                return
        raise AssertionError("the two ends keep talking")

    def _move(self, sender: End, receiver: End) -> int:
        data = sender.data_to_send()
        for piece in self.cut(data):
            receiver.receive_data(piece, self.now)
        for session in (sender, receiver):
            self._events[id(session)] += session.events()
        return len(data)

    def take(self, session: End) -> Events:
        """Take what an end was told."""
        events, self._events[id(session)] = self._events[id(session)], Events()
        return events
