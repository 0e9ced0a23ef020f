"""Whatever a peer sends, no end of MTP/1 raises: arbitrary bytes, and valid conversations with mistakes in them.

`MSC_FUZZ_EXAMPLES` sets how many examples are tried.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from msc.errors import BadField
from msc.protocol.control import LineOpen, Lock, Open, SignOff, Status
from msc.protocol.frame import ACK, CONTROL, DATA, NAK, PING, PONG, encode_frame
from msc.protocol.session import (
    ControlReceived,
    MessageOutOfPlace,
    MessageReceived,
    PeerLost,
    ProtocolFailed,
    Session,
)
from msc.protocol.station import StationClient, StationKind
from tests.support import ends
from tests.support.wire import FRAME_BYTES_MAX, frames_of, make_hello

EXAMPLES = int(os.environ.get("MSC_FUZZ_EXAMPLES", "100"))
fuzz = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])

ENDS: dict[str, Callable[[], Session]] = {
    "terminal": ends.fresh_station,
    "printer": lambda: ends.fresh_station(StationKind.PRINTER),
    "host": lambda: ends.fresh_station(StationKind.HOST),
    "active terminal": ends.active_terminal,
    "open host": ends.open_host,
    "line": ends.fresh_line,
    "open line": ends.open_line,
    "line host": ends.fresh_line_host,
    "open line host": ends.open_line_host,
    "client": lambda: StationClient(0.0, frame_bytes_max=FRAME_BYTES_MAX, window=4),
    "greeted client": ends.greeted_client,
}
SIDES = {
    "station": ["terminal", "printer", "host", "active terminal", "open host"],
    "line": ["line", "open line"],
    "line host": ["line host", "open line host"],
    "client": ["client", "greeted client"],
}

TYPES = [
    "hello",
    "signed_on",
    "refused",
    "signed_off",
    "opened",
    "locked",
    "unlocked",
    "password_changed",
    "notice",
    "status",
    "error",
    "sign_on",
    "sign_off",
    "open",
    "lock",
    "unlock",
    "change_password",
    "open_line",
    "line_open",
    "teleport",
]
MEMBERS = [
    "user",
    "password",
    "otp",
    "banner_accepted",
    "mnemonic",
    "pool",
    "terminal",
    "mac",
    "old",
    "new",
    "line",
    "switch",
    "mode",
    "window",
    "heartbeat_s",
    "frame_bytes_max",
    "time",
    "code",
    "reason",
    "to",
    "lines",
    "state",
    "text",
]
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["\ud800", "A123", "test"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(MEMBERS), inner, max_size=3),
    max_leaves=5,
)
control_payloads = st.builds(
    lambda type_, members: json.dumps({**members, "type": type_}).encode(),
    st.sampled_from(TYPES) | values,
    st.dictionaries(st.sampled_from(MEMBERS), values, max_size=6),
)
json_payloads = values.map(lambda value: json.dumps(value).encode())
payloads = st.binary(max_size=40) | control_payloads | json_payloads
frames = st.builds(
    encode_frame,
    st.sampled_from([CONTROL, CONTROL, DATA, DATA, ACK, NAK, PING, PONG, 0, 255]),
    st.sampled_from([0, 0, 1, 1, 2, 3, 4, 5, 2**32 - 1]),
    payloads,
)

CONVERSATIONS = [
    [
        ends.written(ends.sign_on()),
        encode_frame(DATA, 1, b"RQ"),
        encode_frame(DATA, 2, b"{}\nRQ"),
        ends.written(Lock()),
    ],
    [
        ends.written(Open()),
        ends.written(ends.sign_on()),
        encode_frame(DATA, 1, b"X"),
        ends.written(SignOff(user="J40217")),
    ],
    [
        ends.written(Status()),
        encode_frame(PING, 1),
        encode_frame(PONG, 1),
        encode_frame(ACK, 1),
        encode_frame(NAK, 2, b"{}"),
    ],
    [ends.written(make_hello()), ends.written(LineOpen(window=4)), encode_frame(DATA, 1, b"A123000001.NO RECORD")],
    [ends.written(ends.OPEN_LINE), encode_frame(DATA, 1, b"A123000001.*J40217.RQ"), encode_frame(ACK, 1)],
    [
        ends.written(make_hello()),
        ends.written(ends.signed_on()),
        encode_frame(DATA, 1, b"{}\nX"),
        encode_frame(ACK, 1, b"7"),
    ],
]


def converse(session: Session, pieces: list[bytes], *, answer: bool) -> None:
    """Feed a session, do with its events what a switch would, and hold it to its promises."""
    now, ended = 0.0, 0
    if session.room:
        session.send_message(b"ours")
    for piece in pieces:
        now += 1.0
        session.receive_data(piece, now)
        for event in session.events():
            assert not ended, "an event after the end"
            if isinstance(event, (ProtocolFailed, PeerLost)):
                ended += 1
                assert session.closed
            elif isinstance(event, (MessageReceived, MessageOutOfPlace)) and answer:
                if event.sequence % 2:
                    session.acknowledge(event.sequence)
                else:
                    session.refuse(event.sequence, BadField())
            elif isinstance(event, ControlReceived):
                repr(event)
        session.resume(now)
        session.tick(now)
        assert session.unanswered <= max(session.window, 1) or session.closed
        frames_of(session.data_to_send())
    session.receive_eof()
    assert session.closed


def cut_into(data: bytes, cuts: list[int]) -> list[bytes]:
    at = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(at)]


@fuzz
@given(end=st.sampled_from(sorted(ENDS)), pieces=st.lists(st.binary(max_size=60), max_size=8), answer=st.booleans())
def test_fuzz_arbitrary_bytes_never_raise(end: str, pieces: list[bytes], answer: bool) -> None:
    converse(ENDS[end](), pieces, answer=answer)


@pytest.mark.parametrize("side", sorted(SIDES))
@fuzz
@given(
    draw=st.data(),
    sent=st.lists(frames, max_size=8),
    cuts=st.lists(st.integers(0, 2000), max_size=6),
    answer=st.booleans(),
)
def test_fuzz_well_framed_nonsense_never_raises(
    side: str, draw: st.DataObject, sent: list[bytes], cuts: list[int], answer: bool
) -> None:
    end = draw.draw(st.sampled_from(SIDES[side]))
    converse(ENDS[end](), cut_into(b"".join(sent), cuts), answer=answer)


@pytest.mark.parametrize("side", sorted(SIDES))
@fuzz
@given(
    draw=st.data(),
    conversation=st.sampled_from(CONVERSATIONS),
    order=st.lists(st.integers(0, 4), max_size=6),
    changes=st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), max_size=4),
    cuts=st.lists(st.integers(0, 2000), max_size=6),
    answer=st.booleans(),
)
def test_fuzz_mutated_conversations_never_raise(
    side: str,
    draw: st.DataObject,
    conversation: list[bytes],
    order: list[int],
    changes: list[tuple[int, int]],
    cuts: list[int],
    answer: bool,
) -> None:
    end = draw.draw(st.sampled_from(SIDES[side]))
    sent = conversation + [conversation[n % len(conversation)] for n in order]
    data = bytearray(b"".join(sent))
    for at, byte in changes:
        data[at % len(data)] = byte
    converse(ENDS[end](), cut_into(bytes(data), cuts), answer=answer)


@fuzz
@given(end=st.sampled_from(sorted(ENDS)), sent=st.lists(frames, max_size=6))
def test_fuzz_cutting_changes_nothing(end: str, sent: list[bytes]) -> None:
    data = b"".join(sent)
    at_once, one_by_one = ENDS[end](), ENDS[end]()
    at_once.receive_data(data, 1.0)
    for n in range(len(data)):
        one_by_one.receive_data(data[n : n + 1], 1.0)
    assert list(map(repr, at_once.events())) == list(map(repr, one_by_one.events()))
    assert at_once.data_to_send() == one_by_one.data_to_send()
    assert at_once.closed == one_by_one.closed
