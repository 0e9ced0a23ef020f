"""Line drivers are alike to whoever runs a line: the same events for the same traffic, whatever is on the wire."""

from __future__ import annotations

from typing import get_args

import pytest

from msc.errors import NoLineTest, Overloaded
from msc.protocol.driver import DRIVERS, HostDriver, LineDriver
from msc.protocol.session import (
    TRANSIENT,
    LineOpened,
    LineRequested,
    MessageAcknowledged,
    MessageReceived,
    MessageRefused,
    PongReceived,
)
from msc.settings import DriverName
from tests.support.ends import OPEN_LINE
from tests.support.line import line_settings
from tests.support.wire import Cut, Wire, make_hello

each_driver = pytest.mark.parametrize("driver", sorted(DRIVERS))


def joined(driver: str, cut: Cut) -> tuple[LineDriver, HostDriver, Wire]:
    """Make both ends of an open line."""
    line = DRIVERS[driver].switch_end(0.0, line_settings(), OPEN_LINE)
    host = DRIVERS[driver].host_end(0.0, make_hello())
    wire = Wire(line, host, cut)
    wire.run()
    if any(isinstance(event, LineRequested) for event in wire.take(host)):
        host.accept()
        wire.run()
    assert [type(event) for event in wire.take(line)][-1] is LineOpened
    return line, host, wire


def test_the_settings_name_the_drivers_there_are() -> None:
    assert set(get_args(DriverName)) == set(DRIVERS)


@each_driver
def test_a_message_and_its_answer_go_over_the_line(driver: str, cut: Cut) -> None:
    line, host, wire = joined(driver, cut)
    assert line.room > 0
    sequence = line.send_message(b"EXA1000001.*J40217.IW.QW.CA0990000.NAM/DOE,JOHN")
    assert (line.sent_last, line.unacknowledged_first) == (sequence, sequence)
    wire.run()
    [asked] = wire.take(host)
    assert isinstance(asked, MessageReceived)
    host.acknowledge(asked.sequence)
    answer = host.send_message(b"EXA1000001.NO RECORD\nIN FILE")
    wire.run()
    assert wire.take(line) == [
        MessageAcknowledged(sequence, b""),
        MessageReceived(answer, b"EXA1000001.NO RECORD\nIN FILE"),
    ]
    assert line.unacknowledged_first is None
    line.acknowledge(answer, b"47")
    wire.run()
    [taken] = wire.take(host)
    assert isinstance(taken, MessageAcknowledged) and taken.sequence == answer


@each_driver
def test_a_message_that_cannot_be_taken_now_is_refused_as_such(driver: str, cut: Cut) -> None:
    line, host, wire = joined(driver, cut)
    sequence = line.send_message(b"X")
    wire.run()
    host.refuse(1, Overloaded())
    wire.run()
    [refused] = wire.take(line)
    assert isinstance(refused, MessageRefused)
    assert refused.sequence == sequence and refused.code in TRANSIENT


@each_driver
def test_a_sign_of_life_can_be_asked_for_or_the_driver_says_that_it_has_none(driver: str, cut: Cut) -> None:
    line, _host, wire = joined(driver, cut)
    try:
        line.ping(47)
    except NoLineTest:
        wire.run()
        assert wire.take(line) == []
    else:
        wire.run()
        assert wire.take(line) == [PongReceived(47)]
