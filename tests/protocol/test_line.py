"""A line's two ends: open, refuse, exchange; every control message at every stage."""

from __future__ import annotations

import itertools

import pytest

from msc.errors import AgencySuspended
from msc.protocol.control import FROM_LINE_HOST, Control, ErrorNotice, Hello, LineOpen, Notice, OpenLine, Refused
from msc.protocol.frame import DATA, encode_frame
from msc.protocol.line import TRANSITIONS, LineHostSession, LineSession, LineStage
from msc.protocol.session import (
    ControlReceived,
    Event,
    LineDeclined,
    LineOpened,
    LineRequested,
    MessageAcknowledged,
    MessageReceived,
    MessageRefused,
    PeerLost,
    ProtocolFailed,
)
from tests.support.ends import OPEN_LINE, fresh_line, fresh_line_host, open_line, open_line_host, written
from tests.support.wire import Cut, Wire, control_frame, feed, make_hello, sent_controls

MESSAGES: dict[type[Control], Control] = {
    Hello: make_hello(),
    LineOpen: LineOpen(window=7),
    Refused: Refused(to="open_line", code="E307", reason="suspended"),
    Notice: Notice(text="maintenance at 2300"),
    ErrorNotice: ErrorNotice(code="E599", reason="internal"),
}
TOLD: dict[type[Control], Event] = {LineOpen: LineOpened(7), Refused: LineDeclined("E307")}
"""What the line is told of a message that is not told as it is."""
ALLOWED = {
    LineStage.CONNECTED: {"hello"},
    LineStage.OPENING: {"line_open", "refused", "notice"},
    LineStage.OPEN: {"notice"},
}
PAIRS = [
    pytest.param(stage, type_, id=f"{stage.name.lower()}-{type_.type}")
    for stage, type_ in itertools.product(LineStage, FROM_LINE_HOST)
]


def line_in(stage: LineStage) -> LineSession:
    session = open_line() if stage is LineStage.OPEN else fresh_line()
    if stage is LineStage.OPENING:
        session.receive_data(written(make_hello()), 0.0)
    session.events()
    session.data_to_send()
    assert session.stage is stage
    return session


@pytest.mark.parametrize(("stage", "type_"), PAIRS)
def test_every_control_message_in_every_state_is_taken_or_ends_the_line(
    stage: LineStage, type_: type[Control], cut: Cut
) -> None:
    session = line_in(stage)
    events = feed(session, written(MESSAGES[type_]), cut)
    if type_ is ErrorNotice:
        assert [type(e) for e in events] == [PeerLost]
        assert session.closed
    elif type_.type in ALLOWED[stage]:
        assert events == [TOLD.get(type_, ControlReceived(MESSAGES[type_]))]
        assert session.stage is TRANSITIONS[stage][type_]
        assert not session.closed
    else:
        [failed] = events
        assert isinstance(failed, ProtocolFailed)
        assert failed.code == "E605"
        assert type_.type in failed.reason
        assert session.closed
        assert [(c["type"], c["code"]) for c in sent_controls(session)] == [("error", "E605")]


def test_every_state_is_walked() -> None:
    assert set(TRANSITIONS) == set(LineStage)
    assert set(MESSAGES) == set(FROM_LINE_HOST)
    table = {stage: {type_.type for type_ in row} for stage, row in TRANSITIONS.items()}
    assert table == ALLOWED


@pytest.mark.parametrize("stage", [LineStage.CONNECTED, LineStage.OPENING])
def test_a_message_before_the_line_is_open_ends_it(stage: LineStage, cut: Cut) -> None:
    session = line_in(stage)
    [failed] = feed(session, encode_frame(DATA, 1, b"X"), cut)
    assert isinstance(failed, ProtocolFailed) and failed.code == "E605"


def test_a_message_before_the_host_has_opened_the_line_ends_it(cut: Cut) -> None:
    for session in (fresh_line_host(), fresh_line_host()):
        [failed] = feed(session, encode_frame(DATA, 1, b"X"), cut)
        assert isinstance(failed, ProtocolFailed) and failed.code == "E605"
    asked = fresh_line_host()
    *_, failed = feed(asked, written(OPEN_LINE) + encode_frame(DATA, 1, b"X"), cut)
    assert isinstance(failed, ProtocolFailed) and failed.code == "E605"


def test_a_line_opened_twice_ends_it(cut: Cut) -> None:
    session = open_line_host()
    [failed] = feed(session, written(OPEN_LINE), cut)
    assert isinstance(failed, ProtocolFailed) and failed.code == "E605"


def test_a_host_that_is_told_of_an_error_is_done(cut: Cut) -> None:
    session = open_line_host()
    [lost] = feed(session, written(ErrorNotice(code="E602", reason="x")), cut)
    assert isinstance(lost, PeerLost)
    assert session.closed


@pytest.mark.parametrize(("theirs", "used"), [(5.0, 5.0), (100.0, 30.0), (0.01, 1.0), (float("nan"), 30.0)])
def test_the_more_anxious_of_the_two_decides_how_often_to_ping(theirs: float, used: float) -> None:
    session = fresh_line()
    feed(session, written(make_hello(heartbeat_s=theirs)))
    assert session.heartbeat_s == used


def test_the_hosts_window_and_frame_bound_are_kept(cut: Cut) -> None:
    session = fresh_line()
    feed(session, written(make_hello(frame_bytes_max=20_000)) + written(LineOpen(window=7)), cut)
    assert session.room == 7
    assert session.peer_frame_bytes_max == 20_000


# --- two ends on a wire -----------------------------------------------------------------------------------


def joined(cut: Cut) -> tuple[LineSession, LineHostSession, Wire]:
    session, host = fresh_line(), LineHostSession(0.0, make_hello(window=3))
    wire = Wire(session, host, cut)
    wire.run()
    assert wire.take(session) == [ControlReceived(make_hello(window=3))]
    assert wire.take(host) == [LineRequested(OPEN_LINE)]
    return session, host, wire


@pytest.mark.requirement("C-TEST")
@pytest.mark.parametrize("mode", ["production", "test"])
def test_the_line_says_whether_it_is_production_or_test(mode: str, cut: Cut) -> None:
    opening = OpenLine.model_validate({"line": "clets-t", "switch": "msc-test", "mode": mode})
    session = LineSession(0.0, opening, window=4, heartbeat_s=30.0)
    host = LineHostSession(0.0, make_hello())
    wire = Wire(session, host, cut)
    wire.run()
    assert host.opening == opening


def test_a_line_opens_and_carries_messages_both_ways(cut: Cut) -> None:
    session, host, wire = joined(cut)
    host.accept()
    wire.run()
    assert wire.take(session) == [LineOpened(3)]
    assert session.stage is LineStage.OPEN
    assert session.room == host.room == 3

    session.send_message(b"A123000001.*J40217.IW.QW.CA0980000.NAM/DOE,JOHN")
    session.send_message(b"A123000002.*J40217.XX")
    wire.run()
    assert [e.sequence for e in wire.take(host)] == [1, 2]
    host.acknowledge(1)
    host.refuse(2, AgencySuspended())
    host.send_message(b"A123000001.NO RECORD")
    wire.run()
    assert wire.take(session) == [
        MessageAcknowledged(1, b""),
        MessageRefused(2, "E307", "agency suspended"),
        MessageReceived(1, b"A123000001.NO RECORD"),
    ]
    session.acknowledge(1)
    wire.run()
    assert wire.take(host) == [MessageAcknowledged(1, b"")]
    assert not session.closed and not host.closed


def test_a_refused_line_is_not_open_and_may_be_asked_for_again(cut: Cut) -> None:
    session, host, wire = joined(cut)
    host.decline(AgencySuspended())
    wire.run()
    assert wire.take(session) == [LineDeclined("E307")]
    assert session.stage is LineStage.CONNECTED
    session.send_control(OPEN_LINE)
    wire.run()
    assert wire.take(host) == [LineRequested(OPEN_LINE)]


def test_a_newer_hosts_unknown_control_type_does_not_end_the_line(cut: Cut) -> None:
    # MTP/1 grows by new control types: an older peer refuses them, and a refusal is not refused in turn.
    session, host, wire = joined(cut)
    host.accept()
    wire.run()

    class Weather(Control):
        type = "weather"

    host.send_control(Weather())
    wire.run()
    assert not host.closed
    assert not session.closed, "the refusal of an unknown control type ended the line"


def test_a_refusal_of_something_else_is_not_a_refusal_of_the_line(cut: Cut) -> None:
    session = line_in(LineStage.OPENING)
    feed(session, control_frame({"type": "refused", "to": "weather", "code": "E605", "reason": "unknown"}), cut)
    assert session.stage is LineStage.OPENING


def test_two_idle_ends_keep_each_other_alive() -> None:
    session, host, wire = joined(lambda data: iter([data] if data else []))
    host.accept()
    for at in range(0, 1000, 5):
        wire.now = float(at)
        session.tick(wire.now)
        host.tick(wire.now)
        wire.run()
    assert not session.closed and not host.closed
