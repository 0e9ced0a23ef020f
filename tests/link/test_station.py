"""A station that is only ever refused: nobody fills the journal with a certificate alone."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import pytest

from msc import clock
from msc.directory.rows import Device
from msc.errors import NotSignedOn, Overloaded, Refusal
from msc.limits import REFUSALS_MAX
from msc.link.connection import Sweeper
from msc.link.station import Listener, StationConnection
from msc.metrics import Metrics
from msc.protocol.control import Control, Open, SignOff, SignOn
from msc.protocol.frame import CONTROL, DATA, FrameDecoder, encode_frame
from msc.protocol.station import StationKind
from msc.settings import ListenerSettings
from tests.link.test_connection import HELLO, WINDOW, RecordingTransport
from tests.support.ends import sign_on, signed_on, written

pytestmark = pytest.mark.requirement("F-AUDIT", "C-TRAFFIC")

UNKNOWN = encode_frame(CONTROL, 0, b'{"type":"fly"}')


class Doorkeeper:
    """Answers as the desk does: whoever signs on is let in, and all else is refused."""

    def __init__(self, kind: StationKind) -> None:
        self.device = Device("desk-1", kind, "EXLP")
        self.refusal: Refusal | None = NotSignedOn()
        self.journaled = 0
        self.audited = 0
        self.ends: list[str] = []

    def admit(self, _peer: Any, _ip: str | None) -> Device:
        return self.device

    def message_received(self, station: StationConnection, sequence: int, _payload: bytes) -> None:
        if self.refusal is None:
            station.session.acknowledge(sequence)
        else:
            station.session.refuse(sequence, self.refusal)
        self.journaled += 1
        station.flush()

    def message_out_of_place(
        self, station: StationConnection, sequence: int, _payload: bytes, refusal: Refusal
    ) -> None:
        self.journaled += 1
        station.session.refuse(sequence, refusal)
        station.flush()

    def control_received(self, station: StationConnection, message: Control) -> None:
        if isinstance(message, SignOn):
            station.session.grant(signed_on(), clock.monotonic())
        elif isinstance(message, Open):
            station.session.opened(0)
        else:
            station.session.deny(message, NotSignedOn())
            self.audited += 1
        station.flush()

    def control_refused(self, _station: StationConnection, _refusal: Refusal) -> None:
        self.audited += 1

    def station_connected(self, _station: StationConnection) -> None:
        pass

    def station_lost(self, _station: StationConnection, reason: str) -> None:
        self.ends.append(reason)


class Visitor:
    """A station whose connection remembers what it was sent."""

    def __init__(self, kind: StationKind = StationKind.TERMINAL) -> None:
        self.door = Doorkeeper(kind)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        events: Any = self.door
        listener = Listener(ListenerSettings(port=9), context, lambda: HELLO, events, Sweeper(), Metrics())
        self.connection = StationConnection(listener)
        self.transport = RecordingTransport()
        self.connection.connection_made(self.transport)
        self._sequence = 0

    def say(self, data: bytes) -> None:
        """Bring bytes as the event loop does."""
        buffer = self.connection.get_buffer(-1)
        buffer[: len(data)] = data
        self.connection.buffer_updated(len(data))

    def send(self, count: int) -> None:
        """Send messages, one after the other."""
        for _ in range(count):
            self._sequence += 1
            self.say(encode_frame(DATA, self._sequence, b"text"))

    def last(self) -> bytes:
        """Return the last frame it was sent."""
        decoder, last = FrameDecoder(), b""
        decoder.receive_data(b"".join(self.transport.writes))
        while (frame := decoder.take()) is not None:
            last = frame.payload
        return last


def assert_ended(visitor: Visitor) -> None:
    [reason] = visitor.door.ends
    assert reason.startswith(f"E111 refused {REFUSALS_MAX} times in a row")
    assert b'"type":"error"' in visitor.last() and b"E111" in visitor.last()
    assert visitor.transport.closed == "closed"


@pytest.mark.parametrize("kind", [StationKind.TERMINAL, StationKind.PRINTER])
async def test_messages_before_anybody_signed_on_are_refused_a_hundred_times(kind: StationKind) -> None:
    visitor = Visitor(kind)
    visitor.send(REFUSALS_MAX - 1)
    assert visitor.door.ends == []
    visitor.send(1)
    assert_ended(visitor)
    visitor.send(5)
    assert visitor.door.journaled == REFUSALS_MAX


async def test_an_open_printer_that_sends_is_no_exception() -> None:
    visitor = Visitor(StationKind.PRINTER)
    visitor.say(written(Open()))
    visitor.send(REFUSALS_MAX)
    assert_ended(visitor)


async def test_control_messages_that_come_in_one_piece_are_audited_no_more_often() -> None:
    visitor = Visitor()
    visitor.say(UNKNOWN * 1000)
    assert_ended(visitor)
    assert visitor.door.audited == REFUSALS_MAX


async def test_messages_and_control_messages_count_alike() -> None:
    visitor = Visitor()
    visitor.send(REFUSALS_MAX // 2)
    visitor.say(UNKNOWN * (REFUSALS_MAX // 2))
    assert_ended(visitor)


async def test_what_the_desk_denies_counts_as_well() -> None:
    visitor = Visitor(StationKind.HOST)
    visitor.say(written(Open()))
    visitor.say(written(SignOff(user="J40217")) * (REFUSALS_MAX + WINDOW))
    assert_ended(visitor)
    assert visitor.door.audited == REFUSALS_MAX


async def test_a_host_without_users_is_refused_a_hundred_times() -> None:
    visitor = Visitor(StationKind.HOST)
    visitor.say(written(Open()))
    visitor.send(REFUSALS_MAX)
    assert_ended(visitor)


async def test_who_is_signed_on_may_be_refused_for_ever() -> None:
    visitor = Visitor()
    visitor.send(REFUSALS_MAX - 1)
    visitor.say(written(sign_on()))
    visitor.send(2 * REFUSALS_MAX)
    visitor.say(UNKNOWN * 2 * REFUSALS_MAX)
    assert visitor.door.ends == []
    visitor.connection.session.sign_off()
    visitor.send(REFUSALS_MAX - 1)
    assert visitor.door.ends == []
    visitor.send(1)
    assert_ended(visitor)


async def test_a_delegated_host_whose_messages_are_taken_begins_anew() -> None:
    visitor = Visitor(StationKind.HOST)
    visitor.say(written(Open()))
    for _ in range(3):
        visitor.door.refusal = NotSignedOn()
        visitor.send(REFUSALS_MAX - 1)
        visitor.door.refusal = None
        visitor.send(1)
    assert visitor.door.ends == []


async def test_what_is_our_fault_is_not_held_against_a_station() -> None:
    visitor = Visitor(StationKind.HOST)
    visitor.say(written(Open()))
    visitor.door.refusal = Overloaded()
    visitor.send(3 * REFUSALS_MAX)
    await asyncio.sleep(0)
    assert visitor.door.ends == []
