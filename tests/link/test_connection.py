"""The glue between a transport and a session, on a transport that only remembers."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from msc import clock
from msc.limits import SLOW_READER_S
from msc.link.connection import Connection, Sweeper
from msc.pki.authority import Authority, CertificateProfile
from msc.protocol.control import ErrorNotice, Hello
from msc.protocol.frame import CONTROL, DATA, FrameDecoder, encode_frame
from msc.protocol.session import Event, MessageReceived
from msc.protocol.station import StationKind, StationSession

WINDOW = 4
HELLO = Hello(switch="test", time="", frame_bytes_max=65_536, window=WINDOW, heartbeat_s=30)


CERTIFICATE = x509.load_pem_x509_certificate(
    Authority.create(CertificateProfile(organization="Test", curve="P-256", authority_days=9, certificate_days=9))
    .issue("msc://host/A")
    .certificate
)


class Secured:
    """What a handshake left behind."""

    def getpeercert(self, binary: bool) -> bytes:
        assert binary
        return CERTIFICATE.public_bytes(serialization.Encoding.DER)

    def version(self) -> str:
        return "TLSv1.3"

    def cipher(self) -> tuple[str, str, int]:
        return "TLS_AES_256_GCM_SHA384", "TLSv1.3", 256


class RecordingTransport(asyncio.Transport):
    """Remembers what was asked of it."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1), "ssl_object": Secured()})
        self.writes: list[bytes] = []
        self.reading = True
        self.closed = ""

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def write(self, data: Any) -> None:
        self.writes.append(bytes(data))

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_closing(self) -> bool:
        return bool(self.closed)

    def close(self) -> None:
        self.closed = "closed"

    def abort(self) -> None:
        self.closed = "aborted"


class HostConnection(Connection[StationSession]):
    """An open host's connection that remembers its events."""

    session: StationSession

    def __init__(self, sweeper: Sweeper) -> None:
        super().__init__(sweeper)
        self.happened: list[Event] = []
        self.ends: list[str] = []

    def open_session(self, now: float) -> StationSession:
        self.session = StationSession(now, StationKind.HOST, HELLO)
        return self.session

    def handle(self, event: Event) -> None:
        self.happened.append(event)

    def lost(self, reason: str) -> None:
        self.ends.append(reason)

    def feed(self, data: bytes) -> None:
        """Bring bytes as the event loop does."""
        while data:
            buffer = self.get_buffer(-1)
            part, data = data[: len(buffer)], data[len(buffer) :]
            buffer[: len(part)] = part
            self.buffer_updated(len(part))


@pytest.fixture
async def connection() -> HostConnection:
    made = HostConnection(Sweeper())
    transport = RecordingTransport()
    made.transport = transport  # type: ignore[attr-defined]
    made.connection_made(transport)
    made.feed(encode_frame(CONTROL, 0, b'{"type":"open"}'))
    await asyncio.sleep(0)
    transport.writes.clear()
    made.happened.clear()
    return made


def transport_of(connection: HostConnection) -> RecordingTransport:
    transport = connection.transport  # type: ignore[attr-defined]
    assert isinstance(transport, RecordingTransport)
    return transport


def messages(first: int, last: int) -> bytes:
    return b"".join(encode_frame(DATA, n, b"text %d" % n) for n in range(first, last + 1))


async def test_the_certificates_names_and_the_address_are_known(connection: HostConnection) -> None:
    assert connection.peer.names == ("msc://host/A",)
    assert connection.peer.serial == CERTIFICATE.serial_number
    assert connection.peer.issuer == CERTIFICATE.issuer.rfc4514_string()
    assert connection.peer.not_after == CERTIFICATE.not_valid_after_utc.timestamp()
    assert connection.peer.fingerprint == CERTIFICATE.fingerprint(hashes.SHA256()).hex()
    assert connection.cipher == "TLSv1.3 TLS_AES_256_GCM_SHA384"
    assert connection.ip == "127.0.0.1"


async def test_what_is_answered_in_one_turn_leaves_in_one_write(connection: HostConnection) -> None:
    connection.feed(messages(1, 3))
    for sequence in (1, 2, 3):
        connection.session.acknowledge(sequence, b"%d" % sequence)
        connection.flush()
    await asyncio.sleep(0)
    assert len(transport_of(connection).writes) == 1


async def test_reading_stops_past_the_window_and_goes_on_after_an_answer(connection: HostConnection) -> None:
    connection.feed(messages(1, WINDOW + 2))
    await asyncio.sleep(0)
    assert [type(e) for e in connection.happened] == [MessageReceived] * WINDOW
    await asyncio.sleep(0)
    connection.session.acknowledge(1)
    connection.session.acknowledge(2)
    connection.flush()
    await asyncio.sleep(0)
    assert len(connection.happened) == WINDOW + 2
    assert transport_of(connection).reading


async def test_reading_stops_while_the_peer_does_not_read(connection: HostConnection) -> None:
    connection.pause_writing()
    assert not transport_of(connection).reading
    connection.resume_writing()
    assert transport_of(connection).reading


async def test_a_peer_that_never_reads_is_cut_off(connection: HostConnection) -> None:
    connection.pause_writing()
    connection.tick(clock.monotonic() + SLOW_READER_S - 1)
    assert not connection.closed
    connection.tick(clock.monotonic() + SLOW_READER_S + 1)
    assert transport_of(connection).closed == "aborted"
    assert len(connection.ends) == 1


async def test_a_broken_protocol_is_answered_with_an_error_before_the_close(connection: HostConnection) -> None:
    connection.feed(b"\x00\x00\x00\x05Z\x00\x00\x00\x00")
    decoder = FrameDecoder()
    decoder.receive_data(b"".join(transport_of(connection).writes))
    frame = decoder.take()
    assert frame is not None
    assert frame.kind == CONTROL
    assert b'"type":"error"' in frame.payload
    assert b"E602" in frame.payload
    assert ErrorNotice.type == "error"
    assert transport_of(connection).closed == "closed"
    assert connection.ends == ["E602 unknown frame kind 0x5a"]


async def test_a_connection_ends_once_whoever_ends_it(connection: HostConnection) -> None:
    connection.close("asked")
    connection.connection_lost(None)
    connection.abort("again")
    assert connection.ends == ["asked"]


async def test_bytes_after_the_end_are_passed_over(connection: HostConnection) -> None:
    connection.close("asked")
    connection.feed(messages(1, 1))
    assert connection.happened == []


class FaultyConnection(HostConnection):
    """A connection whose clock cannot be looked at, and that does not even end well."""

    def tick(self, now: float) -> None:
        raise ValueError

    def lost(self, reason: str) -> None:
        super().lost(reason)
        raise ValueError


@pytest.mark.requirement("F-LOCK")
async def test_a_fault_in_one_connections_clock_ends_that_one_and_no_other(connection: HostConnection) -> None:
    sweeper = Sweeper()
    ticked: list[float] = []
    faulty, sound = FaultyConnection(sweeper), HostConnection(sweeper)
    transports = {made: RecordingTransport() for made in (faulty, sound)}
    for made, transport in transports.items():
        made.connection_made(transport)
    sound.tick = ticked.append  # type: ignore[method-assign]
    for _ in range(2):
        sweeper._timer = None
        sweeper._sweep()
        assert sweeper._timer is not None, "nobody would look at the clock again"
        sweeper.stop()
    assert len(ticked) == 2
    assert faulty.ends == ["internal fault"] and transports[faulty].closed == "aborted"
    assert not sound.closed
