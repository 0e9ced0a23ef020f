"""The driver `stx`: what comes in, whole and byte by byte; bounds; both ends on a wire."""

from __future__ import annotations

import itertools
import math
import os
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from msc.errors import BadCharacter, BadHeader, FrameTooLong, JournalUnavailable, NoLineTest, Overloaded
from msc.limits import FRAME_COMPLETE_S
from msc.protocol.session import (
    Event,
    LineOpened,
    MessageAcknowledged,
    MessageReceived,
    MessageRefused,
    PeerLost,
    ProtocolFailed,
)
from msc.protocol.stx import TEXT_BYTES_MAX, StxHostSession, StxLineSession, StxSession, encode_text
from tests.support.vectors import cases
from tests.support.wire import Cut, Wire, feed


def fresh(now: float = 0.0) -> StxLineSession:
    """Make the switch's end of a line that has just connected."""
    session = StxLineSession(now)
    assert session.events() == [LineOpened(1)]
    return session


def told(event: Event) -> str:
    """Write an event as the vectors do."""
    match event:
        case MessageReceived(_, payload):
            return payload.decode()
        case MessageAcknowledged():
            return "ACK"
        case MessageRefused(_, "E502"):
            return "NAK"
        case ProtocolFailed(code):
            return code
    raise AssertionError(event)


@pytest.mark.parametrize("case", cases("stx.toml", "stream"))
def test_a_stream_is_told_as_written(case: dict[str, Any], cut: Cut) -> None:
    session = fresh()
    if "sent" in case:
        session.send_message(case["sent"].encode())
        session.data_to_send()
    events = feed(session, case["data"].encode(), cut)
    assert [told(event) for event in events] == case.get("events", [])
    assert session.data_to_send() == case.get("out", "").encode()
    assert session.holding is case.get("waits", False)
    assert session.passed_over == case.get("passed_over", 0)
    assert session.closed is any(isinstance(event, ProtocolFailed) for event in events)


# --- what goes out --------------------------------------------------------------------------------------


def test_one_message_is_unanswered_at_most() -> None:
    session = fresh()
    assert (session.room, session.sent_last, session.unacknowledged_first) == (1, 0, None)
    assert session.send_message(b"ONE") == 1
    assert (session.room, session.sent_last, session.unacknowledged_first) == (0, 1, 1)
    with pytest.raises(AssertionError):
        session.send_message(b"TWO")
    assert session.data_to_send() == b"\x02ONE\x03"
    assert feed(session, b"\x06") == [MessageAcknowledged(1, b"")]
    assert session.send_message(b"TWO") == 2
    assert feed(session, b"\x15") == [MessageRefused(2, "E502", "NAK")]
    assert (session.room, session.sent_last, session.unacknowledged_first) == (1, 2, None)


@pytest.mark.parametrize("byte", [b"\x00", b"\x02", b"\x03", b"\x06", b"\x15", b"\x1b", b"\x7f"])
def test_a_text_with_a_control_character_is_not_sent(byte: bytes) -> None:
    session = fresh()
    with pytest.raises(BadCharacter):
        session.send_message(b"A" + byte + b"B")
    assert (session.room, session.sent_last, session.data_to_send()) == (1, 0, b"")


def test_the_longest_text_goes_both_ways_and_a_longer_one_does_not(cut: Cut) -> None:
    longest = b"A" * TEXT_BYTES_MAX
    session = fresh()
    with pytest.raises(FrameTooLong):
        session.send_message(longest + b"A")
    session.send_message(longest)
    assert feed(fresh(), session.data_to_send(), cut) == [MessageReceived(1, longest)]
    [failed] = feed(session, b"\x02" + longest + b"A", cut)
    assert isinstance(failed, ProtocolFailed) and failed.code == "E601"
    assert session.closed


# --- answers --------------------------------------------------------------------------------------------


def test_what_waited_is_read_once_the_text_before_it_is_answered(cut: Cut) -> None:
    session = fresh()
    session.send_message(b"OURS")
    session.data_to_send()
    assert feed(session, b"\x02ONE\x03\x02TWO\x03\x06\x02THREE\x03", cut) == [MessageReceived(1, b"ONE")]
    session.resume(1.0)
    assert session.events() == []
    session.acknowledge(1)
    session.resume(1.0)
    assert session.events() == [MessageReceived(2, b"TWO"), MessageAcknowledged(1, b"")]
    session.acknowledge(2)
    session.resume(1.0)
    assert session.events() == [MessageReceived(3, b"THREE")]
    assert session.data_to_send() == b"\x06\x06"
    assert not session.holding


def test_the_switch_asks_for_a_message_again_only_if_it_may_be_taken_later() -> None:
    for refusal, answer in ((JournalUnavailable(), b"\x15"), (Overloaded(), b"\x15"), (BadHeader(), b"\x06")):
        session = fresh()
        feed(session, b"\x02HIT\x03")
        session.refuse(1, refusal)
        assert session.data_to_send() == answer


def test_a_host_refuses_with_nak_whatever_the_reason() -> None:
    host = StxHostSession(0.0)
    host.events()
    feed(host, b"\x02IW.QW\x03")
    host.refuse(1, BadHeader())
    assert host.data_to_send() == b"\x15"


def test_an_answer_to_what_did_not_come_is_our_fault() -> None:
    with pytest.raises(AssertionError):
        fresh().acknowledge(1)


# --- time and end ---------------------------------------------------------------------------------------


def test_a_text_must_be_whole_in_time() -> None:
    session = fresh(5.0)
    assert session.deadline() == math.inf
    feed(session, b"\x02HI", now=5.0)
    feed(session, b"T", now=9.0)
    assert session.deadline() == 5.0 + FRAME_COMPLETE_S
    session.tick(14.9)
    assert not session.closed
    session.tick(15.0)
    [failed] = session.events()
    assert isinstance(failed, ProtocolFailed) and failed.code == "E601"
    assert session.closed


def test_the_time_of_a_text_begins_with_its_own_first_byte() -> None:
    session = fresh()
    feed(session, b"\x02HI", now=1.0)
    feed(session, b"T\x03\x02AG", now=8.0)
    assert session.deadline() == 8.0 + FRAME_COMPLETE_S
    session.acknowledge(1)
    feed(session, b"A\x02IN", now=9.0)
    assert session.deadline() == 9.0 + FRAME_COMPLETE_S


def test_a_text_that_we_leave_waiting_has_all_the_time() -> None:
    session = fresh()
    feed(session, b"\x02ONE\x03\x02TWO\x03")
    assert session.deadline() == math.inf
    session.tick(1e6)
    assert not session.closed


def test_a_peer_that_speaks_something_else_is_cut_off(cut: Cut) -> None:
    session = fresh()
    [failed] = feed(session, b"G" * (TEXT_BYTES_MAX + 1), cut)
    assert isinstance(failed, ProtocolFailed) and failed.code == "E602"


def test_garbage_is_forgiven_with_the_next_sound_text() -> None:
    session = fresh()
    for n in range(3):
        events = feed(session, b"G" * (TEXT_BYTES_MAX - 1) + b"\x02HIT\x03")
        assert events == [MessageReceived(n + 1, b"HIT")]
        session.acknowledge(n + 1)
    assert session.passed_over == 0


def test_what_comes_after_the_end_is_passed_over() -> None:
    session = fresh()
    session.receive_eof()
    assert session.events() == [PeerLost("the peer closed the connection")]
    session.receive_eof()
    session.receive_data(b"\x02HIT\x03", 1.0)
    session.tick(1e6)
    session.resume(1.0)
    assert session.events() == []
    assert session.room == 0


def test_there_is_no_test() -> None:
    session = fresh()
    with pytest.raises(NoLineTest):
        session.ping(1)
    assert not session.has_data_to_send


# --- two ends on a wire -----------------------------------------------------------------------------------


def test_both_ends_send_at_once_and_each_gets_its_answers(cut: Cut) -> None:
    line, host = StxLineSession(0.0), StxHostSession(0.0)
    wire = Wire(line, host, cut)
    ends: tuple[StxSession, StxSession] = (line, host)
    for n in range(1, 6):
        for end in ends:
            end.send_message(b"MESSAGE %d" % n)
        wire.run()
        for end in ends:
            assert wire.take(end)[-1] == MessageReceived(n, b"MESSAGE %d" % n)
            end.acknowledge(n)
        wire.run()
        for end in ends:
            assert wire.take(end) == [MessageAcknowledged(n, b"")]
    assert not line.closed and not host.closed


def test_a_text_is_written_between_its_two_bytes() -> None:
    assert encode_text(b"IW.QW") == b"\x02IW.QW\x03"


# --- whatever comes ---------------------------------------------------------------------------------------

EXAMPLES = int(os.environ.get("MSC_FUZZ_EXAMPLES", "100"))
fuzz = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
likely = st.sampled_from(b"\x02\x03\x06\x15AB\r\n\x00\x7f\xff")
streams = st.lists(likely, max_size=60).map(bytes) | st.binary(max_size=60)
texts = st.lists(st.sampled_from(b"AB./*# \r\n\t"), max_size=20).map(bytes)
between = st.lists(st.sampled_from(b"AB\r\n\x00\x03\xff"), max_size=10).map(bytes)


def cut_at(data: bytes, cuts: list[int]) -> list[bytes]:
    at = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(at)]


def converse(session: StxSession, pieces: list[bytes], *, answer: bool) -> list[Event]:
    """Feed a session as a connection would, answer what it tells, and hold it to its promises."""
    session.send_message(b"OURS")
    session.data_to_send()
    events: list[Event] = []
    for now, piece in enumerate(pieces):
        session.receive_data(piece, float(now))
        while new := session.events():
            assert not session.closed or isinstance(new[-1], ProtocolFailed)
            for event in new:
                assert not events or not isinstance(events[-1], ProtocolFailed), "an event after the end"
                events.append(event)
                if isinstance(event, MessageReceived) and answer:
                    session.acknowledge(event.sequence)
                    session.resume(float(now))
        session.tick(float(now))
        assert set(session.data_to_send()) <= set(b"\x06\x15")
    return events


@fuzz
@given(data=streams, cuts=st.lists(st.integers(0, 60), max_size=6), answer=st.booleans())
def test_fuzz_stx_never_raises_and_how_bytes_are_cut_changes_nothing(
    data: bytes, cuts: list[int], answer: bool
) -> None:
    whole, pieces = fresh(), fresh()
    assert converse(whole, [data], answer=answer) == converse(pieces, cut_at(data, cuts), answer=answer)
    assert (whole.closed, whole.holding, whole.passed_over) == (pieces.closed, pieces.holding, pieces.passed_over)


@fuzz
@given(sent=st.lists(st.tuples(between, texts), max_size=6), cuts=st.lists(st.integers(0, 200), max_size=6))
def test_fuzz_stx_sound_texts_arrive_whatever_stands_between_them(
    sent: list[tuple[bytes, bytes]], cuts: list[int]
) -> None:
    data = b"".join(garbage + encode_text(text) for garbage, text in sent)
    events = converse(fresh(), cut_at(data, cuts), answer=True)
    assert events == [MessageReceived(n, text) for n, (_, text) in enumerate(sent, 1)]
