"""What all ends share: sequences, windows, answers, heartbeats, time-outs, and faults that never raise."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from msc.errors import BadField, FrameTooLong
from msc.limits import FRAME_COMPLETE_S
from msc.protocol.control import Hello
from msc.protocol.frame import ACK, CONTROL, DATA, NAK, PING, PONG, Frame, encode_frame
from msc.protocol.session import (
    ControlReceived,
    ControlRefused,
    MessageAcknowledged,
    MessageReceived,
    MessageRefused,
    PeerLost,
    ProtocolFailed,
    Session,
)
from msc.protocol.station import StationClient
from tests.support.ends import READY, active_terminal, greeted_client, open_host, open_line
from tests.support.wire import CUTS, Cut, control_frame, feed, frames_of, make_hello, sent_controls, sent_frames

HEARTBEAT_S = 30.0

Make = Callable[..., Session]


@pytest.fixture(params=sorted(READY))
def make(request: pytest.FixtureRequest) -> Make:
    """Each end in turn."""
    return READY[request.param]


@pytest.fixture(params=sorted(set(READY) - {"line"}))
def strict(request: pytest.FixtureRequest) -> Make:
    """Each end whose peer has been told the window."""
    return READY[request.param]


def data(*sequences: int, payload: bytes = b"RQ") -> bytes:
    return b"".join(encode_frame(DATA, n, payload) for n in sequences)


def assert_failed(session: Session, events: list[Any], code: str) -> None:
    """The session ended by the peer's fault, and the peer is told why, last."""
    assert [e.code for e in events if isinstance(e, ProtocolFailed)] == [code]
    assert isinstance(events[-1], ProtocolFailed)
    assert session.closed
    last = sent_frames(session)[-1]
    assert last.kind == CONTROL
    told = json.loads(last.payload)
    assert (told["type"], told["code"]) == ("error", code)


# --- messages in ----------------------------------------------------------------------------------------


def test_messages_are_received_and_answered_in_any_order(make: Make, cut: Cut) -> None:
    session = make()
    events = feed(session, data(1) + data(2, payload=b"") + data(3), cut)
    assert events == [MessageReceived(1, b"RQ"), MessageReceived(2, b""), MessageReceived(3, b"RQ")]
    assert session.unanswered == 3
    session.acknowledge(3, b"1042")
    session.refuse(1, BadField("field NAM is malformed"))
    session.acknowledge(2)
    third, first, second = sent_frames(session)
    assert third == Frame(ACK, 3, b"1042")
    assert (first.kind, first.sequence) == (NAK, 1)
    assert json.loads(first.payload) == {"code": "E206", "reason": "field NAM is malformed"}
    assert second == Frame(ACK, 2, b"")
    assert session.unanswered == 0


@pytest.mark.parametrize("wrong", [(0,), (2,), (1, 1), (1, 3), (1, 2, 1), (2**32 - 1,)])
def test_a_data_frame_out_of_sequence_ends_the_session_with_e603(
    make: Make, cut: Cut, wrong: tuple[int, ...]
) -> None:
    session = make()
    events = feed(session, data(*wrong), cut)
    assert [type(e) for e in events[:-1]] == [MessageReceived] * (len(wrong) - 1)
    assert_failed(session, events, "E603")


def test_a_control_frame_with_a_sequence_ends_the_session_with_e603(make: Make, cut: Cut) -> None:
    session = make()
    events = feed(session, encode_frame(CONTROL, 1, b'{"type":"status"}'), cut)
    assert_failed(session, events, "E603")


@pytest.mark.parametrize(
    "payload", [b"", b"{", b"[]", b'{"type":7}', b"{}", b'{"type":"status"}x', b'\xff{"type":"x"}']
)
def test_a_control_frame_with_bad_json_ends_the_session_with_e604(make: Make, cut: Cut, payload: bytes) -> None:
    session = make()
    events = feed(session, encode_frame(CONTROL, 0, payload), cut)
    assert_failed(session, events, "E604")


def test_an_unknown_control_type_is_refused_with_e605_and_the_session_lives(make: Make, cut: Cut) -> None:
    session = make()
    [told] = feed(session, control_frame({"type": "teleport"}), cut)
    assert isinstance(told, ControlRefused)
    assert told.refusal.code == "E605"
    [refused] = sent_controls(session)
    assert (refused["type"], refused["to"], refused["code"]) == ("refused", "teleport", "E605")
    assert not session.closed
    assert feed(session, data(1), cut) == [MessageReceived(1, b"RQ")]


@pytest.mark.parametrize(("prefix", "code"), [("00000004", "E601"), ("00010001", "E601"), ("0000000558", "E602")])
def test_a_faulty_prefix_ends_the_session_as_soon_as_it_shows(make: Make, cut: Cut, prefix: str, code: str) -> None:
    session = make()
    faulty = bytes.fromhex(prefix)
    events = feed(session, data(1) + faulty[:-1], cut)
    assert events == [MessageReceived(1, b"RQ")]
    events = feed(session, faulty[-1:] + b"trailing", cut)
    assert_failed(session, events, code)


def test_nothing_is_taken_or_sent_after_a_fault(make: Make, cut: Cut) -> None:
    session = make()
    feed(session, data(1, 1), cut)
    session.data_to_send()
    assert feed(session, data(2) + encode_frame(PING, 1), cut) == []
    session.acknowledge(1)
    session.send_control(make_hello())
    session.receive_eof()
    session.tick(10_000.0)
    assert session.data_to_send() == b""
    assert session.events() == []
    assert session.room == 0


def test_a_peer_that_closes_is_lost_once(make: Make) -> None:
    session = make()
    session.receive_eof()
    session.receive_eof()
    assert [type(e) for e in session.events()] == [PeerLost]
    assert session.closed


# --- messages out ---------------------------------------------------------------------------------------


def test_messages_are_sent_in_sequence_while_there_is_room(make: Make) -> None:
    session = make(window=2)
    assert session.room == 2
    assert [session.send_message(b"A"), session.send_message(b"B")] == [1, 2]
    assert session.room == 0
    assert sent_frames(session) == [Frame(DATA, 1, b"A"), Frame(DATA, 2, b"B")]
    with pytest.raises(AssertionError):
        session.send_message(b"C")


def test_an_answer_makes_room_and_is_told_once(make: Make, cut: Cut) -> None:
    session = make(window=2)
    session.send_message(b"A")
    session.send_message(b"B")
    session.data_to_send()
    answers = encode_frame(ACK, 2, b"7") + encode_frame(NAK, 1, b'{"code":"E203","reason":"bad OIF"}')
    assert feed(session, answers, cut) == [MessageAcknowledged(2, b"7"), MessageRefused(1, "E203", "bad OIF")]
    assert session.room == 2
    assert feed(session, answers + encode_frame(NAK, 2) + encode_frame(ACK, 1), cut) == []
    assert session.room == 2
    assert not session.closed


@pytest.mark.parametrize("kind", [ACK, NAK])
@pytest.mark.parametrize("sequence", [0, 2, 2**32 - 1])
def test_an_answer_to_what_was_never_sent_ends_the_session_with_e603(
    make: Make, cut: Cut, kind: int, sequence: int
) -> None:
    session = make()
    session.send_message(b"A")
    session.data_to_send()
    assert_failed(session, feed(session, encode_frame(kind, sequence), cut), "E603")


@pytest.mark.parametrize(
    ("payload", "code", "reason"),
    [
        (b"", "", "no reason given"),
        (b"not JSON", "", "no reason given"),
        (b"[]", "", "no reason given"),
        (b"7", "", "no reason given"),
        (b'{"code":"E203"}', "", "no reason given"),
        (b"\xff", "", "no reason given"),
        (b'{"code":203,"reason":null}', "203", "None"),
        (b'{"code":"E203E203E203","reason":"%s"}' % (b"x" * 500), "E203E203", "x" * 200),
        (b"[" * 5000, "", "no reason given"),
    ],
)
def test_a_refusal_is_taken_for_one_whatever_it_says(payload: bytes, code: str, reason: str) -> None:
    session = active_terminal()
    session.send_message(b"A")
    assert feed(session, encode_frame(NAK, 1, payload)) == [MessageRefused(1, code, reason)]


def test_the_reason_of_a_refusal_can_be_journaled_whatever_the_peer_wrote() -> None:
    # JSON can write half a surrogate pair; no database and no UTF-8 can hold it.
    session = active_terminal()
    session.send_message(b"A")
    [event] = feed(session, encode_frame(NAK, 1, rb'{"code":"\ud800","reason":"\udfff"}'))
    assert isinstance(event, MessageRefused)
    event.code.encode()
    event.reason.encode()


def test_a_message_too_long_for_the_peers_frame_is_not_sent(make: Make) -> None:
    session = make()
    session.peer_frame_bytes_max = 105
    with pytest.raises(FrameTooLong):
        session.send_message(b"x" * 101)
    assert session.data_to_send() == b""
    assert session.send_message(b"x" * 100) == 1, "what was not sent takes no sequence number"


def test_a_client_keeps_to_the_limits_it_was_greeted_with(cut: Cut) -> None:
    client = StationClient(0.0, frame_bytes_max=65_536, window=99)
    hello = make_hello(window=3, heartbeat_s=7.0, frame_bytes_max=20_000)
    events = feed(client, control_frame({"type": "hello", **hello.model_dump()}), cut)
    assert events == [ControlReceived(hello)]
    assert client.hello == hello and isinstance(client.hello, Hello)
    assert client.room == 3
    assert client.peer_frame_bytes_max == 20_000
    assert client.deadline() == pytest.approx(7.0)


# --- windows --------------------------------------------------------------------------------------------


def test_what_is_past_the_window_is_held_back_until_answers_make_room(make: Make, cut: Cut) -> None:
    session = make(window=2)
    events = feed(session, data(1, 2, 3, 4), cut)
    assert [e.sequence for e in events] == [1, 2]
    assert session.holding
    session.resume(0.0)
    assert session.events() == []
    session.acknowledge(2)
    session.resume(0.0)
    assert [e.sequence for e in session.events()] == [3]
    assert session.holding
    session.acknowledge(1)
    session.acknowledge(3)
    session.resume(0.0)
    assert [e.sequence for e in session.events()] == [4]
    assert not session.holding
    assert not session.closed


def test_a_full_window_holds_back_messages_and_no_answers_before_them(make: Make, cut: Cut) -> None:
    session = make(window=1)
    session.send_message(b"A")
    session.data_to_send()
    events = feed(session, data(1) + encode_frame(ACK, 1) + encode_frame(PING, 9) + data(2), cut)
    assert events == [MessageReceived(1, b"RQ"), MessageAcknowledged(1, b"")]
    assert sent_frames(session) == [Frame(PONG, 9, b"")]
    assert session.holding


def test_a_window_exactly_full_holds_nothing_back(make: Make, cut: Cut) -> None:
    session = make(window=2)
    assert len(feed(session, data(1, 2), cut)) == 2
    assert not session.holding


def test_twice_the_window_is_borne_and_one_more_is_refused_with_e606(strict: Make, cut: Cut) -> None:
    session = strict(window=2)
    events = feed(session, data(1, 2, 3, 4), cut)
    assert not session.closed
    events = feed(session, data(5), cut)
    assert_failed(session, events, "E606")


def test_a_line_is_slowed_down_and_never_cut_off_for_its_window(cut: Cut) -> None:
    # The state is not told our window, so it cannot keep to it.
    session = open_line(window=2)
    events = feed(session, data(*range(1, 12)), cut)
    for sequence in range(1, 12):
        assert session.holding == (sequence < 10)
        session.acknowledge(sequence)
        session.resume(0.0)
        events += session.events()
    assert [e.sequence for e in events] == list(range(1, 12))
    assert not session.closed


def test_a_fault_behind_held_messages_ends_the_session_when_it_is_reached(make: Make) -> None:
    session = make(window=1)
    events = feed(session, data(1, 2) + bytes.fromhex("0000000558"))
    for sequence in (1, 2):
        if not session.closed:
            session.acknowledge(sequence)
            session.resume(0.0)
            events += session.events()
    assert_failed(session, events, "E602")


# --- heartbeat ------------------------------------------------------------------------------------------


def test_a_ping_is_answered_with_a_pong_of_its_number(make: Make, cut: Cut) -> None:
    session = make()
    assert feed(session, encode_frame(PING, 7) + encode_frame(PING, 2**32 - 1) + encode_frame(PONG, 5), cut) == []
    assert sent_frames(session) == [Frame(PONG, 7, b""), Frame(PONG, 2**32 - 1, b"")]


def test_silence_is_asked_about_twice_and_then_the_peer_is_lost(make: Make) -> None:
    session = make()
    for at, pings in ((0.0, 0), (29.9, 0), (30.0, 1), (45.0, 0), (59.9, 0), (60.0, 1), (89.9, 0)):
        session.tick(at)
        assert len(sent_frames(session)) == pings, at
    assert session.events() == []
    assert session.deadline() == pytest.approx(90.0)
    session.tick(90.0)
    [lost] = session.events()
    assert isinstance(lost, PeerLost)
    assert session.closed
    assert session.data_to_send() == b""


@pytest.mark.parametrize("sign", [encode_frame(PONG, 1), encode_frame(PING, 1), data(1), b"\x00"])
def test_any_sign_of_life_begins_the_silence_anew(make: Make, sign: bytes) -> None:
    session = make()
    session.tick(30.0)
    session.tick(60.0)
    session.data_to_send()
    session.receive_data(sign, 61.0)
    session.events()
    session.data_to_send()
    if sign == b"\x00":
        session.receive_data(encode_frame(PONG, 2)[1:], 61.0)
    session.tick(90.9)
    assert session.data_to_send() == b""
    session.tick(91.0)
    assert [f.kind for f in sent_frames(session)] == [PING]
    assert not session.closed


def test_a_peer_with_traffic_is_never_pinged_and_never_lost(make: Make) -> None:
    session = make()
    for n in range(1, 40):
        now = n * 20.0
        session.receive_data(data(n), now)
        session.acknowledge(n)
        session.tick(now + 19.9)
        assert [f.kind for f in sent_frames(session)] == [ACK]
    assert not session.closed


def test_ticking_before_the_deadline_does_nothing_and_at_it_something(make: Make) -> None:
    session = make()
    assert session.deadline() == pytest.approx(HEARTBEAT_S)
    session.tick(session.deadline() - 0.001)
    assert session.data_to_send() == b""
    session.tick(session.deadline())
    assert session.data_to_send() != b""


# --- frames begun and not finished ------------------------------------------------------------------------


@pytest.mark.parametrize("begun", range(1, len(data(1))))
def test_a_frame_that_is_not_whole_in_time_ends_the_session(begun: int) -> None:
    session = open_line()
    session.receive_data(data(1)[:begun], 100.0)
    assert session.deadline() == pytest.approx(100.0 + FRAME_COMPLETE_S)
    session.tick(100.0 + FRAME_COMPLETE_S - 0.01)
    assert not session.closed
    session.tick(100.0 + FRAME_COMPLETE_S)
    assert_failed(session, session.events(), "E601")


def test_a_peer_that_trickles_bytes_gains_no_time_by_them(make: Make) -> None:
    session = make()
    frame = data(1, payload=b"x" * 100)
    for at in range(11):
        assert not session.closed
        session.receive_data(frame[at : at + 1], float(at))
        session.tick(float(at))
    assert session.closed


def test_a_frame_finished_in_time_ends_the_wait(make: Make) -> None:
    session = make()
    session.receive_data(data(1)[:5], 0.0)
    session.receive_data(data(1)[5:], 9.0)
    session.tick(20.0)
    assert not session.closed
    assert session.deadline() == pytest.approx(9.0 + HEARTBEAT_S)


def test_a_busy_peer_whose_frames_are_cut_anywhere_is_not_cut_off(make: Make) -> None:
    # TCP cuts where it likes: every piece ends within a frame, and yet no frame takes longer than a second.
    session = make()
    stream = b"".join(encode_frame(PING, n) for n in range(30))
    size = len(encode_frame(PING, 0))
    session.receive_data(stream[:4], 0.0)
    for n in range(1, 30):
        session.receive_data(stream[4 + (n - 1) * size : 4 + n * size], float(n))
        session.tick(float(n))
        assert not session.closed, f"cut off after {n} s, though every frame was whole within one"
    assert len(frames_of(session.data_to_send())) == 29


def test_what_we_hold_back_ourselves_is_no_unfinished_frame(make: Make) -> None:
    session = make(window=1)
    session.receive_data(data(1, 2) + data(3)[:5], 0.0)
    session.tick(20.0)
    assert not session.closed
    session.acknowledge(1)
    session.resume(25.0)
    session.acknowledge(2)
    session.resume(25.0)
    assert session.deadline() == pytest.approx(25.0 + 10.0) or session.deadline() == pytest.approx(30.0)
    session.receive_data(data(3)[5:], 26.0)
    assert [e.sequence for e in session.events()] == [1, 2, 3]


def test_cutting_is_tried_in_both_ways() -> None:
    assert {name: len(list(cut(data(1)))) for name, cut in CUTS.items()} == {"whole": 1, "byte_by_byte": 11}
    assert open_host().unanswered == greeted_client().unanswered == 0
