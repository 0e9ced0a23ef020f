"""A closed-loop generator over mutual TLS.

Each connection keeps `window` round trips going: when one completes, the next begins. A round trip with
the switch is a whole transaction: inquiry out, acknowledgement, the state's answer in, acknowledgement of
that. One with the echo is the same frame there and back. Load goes to 127.0.0.1 alone, is bounded in
time and stops by itself.
"""

from __future__ import annotations

import asyncio
import ssl
import struct
import time
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from msc.protocol.frame import ACK, CONTROL, DATA, NAK, PING, PONG, encode_frame

_PREFIX = struct.Struct(">IBI")
_GRACE_S = 5.0
"""How long after the end a round trip still under way may take before it counts as lost."""


@dataclass
class Tally:
    """What a run counted; latencies in seconds."""

    completed: int = 0
    refused: int = 0
    lost: int = 0
    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)

    def summary(self) -> dict[str, float]:
        """Return transactions a second and the latencies' percentiles, in milliseconds."""
        ranked = sorted(self.latencies) or [0.0]
        return {
            "tps": round(self.completed / self.seconds) if self.seconds else 0,
            "p50_ms": round(ranked[len(ranked) // 2] * 1e3, 3),
            "p99_ms": round(ranked[int(len(ranked) * 0.99)] * 1e3, 3),
        }


_READ_BUFFER = memoryview(bytearray(65_536))
"""For all connections in turn: the generator should cost as little as it can."""


class Caller(asyncio.BufferedProtocol):
    """One connection: frames in, the next round trip out."""

    def __init__(self, tally: Tally, window: int) -> None:
        self.tally = tally
        self.window = window
        self.running = False
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.outstanding: dict[int, float] = {}
        self._buffer = b""
        self._sequence = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the transport."""
        self.transport = cast(asyncio.Transport, transport)

    def start(self) -> None:
        """Begin the round trips."""
        self.running = True
        self.transport.write(b"".join(self.next_frame() for _ in range(self.window)))

    def next_frame(self) -> bytes:
        """Begin one round trip."""
        self._sequence += 1
        self.outstanding[self._sequence] = time.perf_counter()
        return encode_frame(DATA, self._sequence, self.payload(self._sequence))

    @abstractmethod
    def payload(self, sequence: int) -> bytes:
        """Return what to send."""

    def complete(self, sequence: int) -> None:
        """Count a round trip as completed."""
        begun = self.outstanding.pop(sequence)
        if self.running:
            self.tally.completed += 1
            self.tally.latencies.append(time.perf_counter() - begun)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Say where to put the bytes that come."""
        return _READ_BUFFER

    def buffer_updated(self, nbytes: int) -> None:
        """Take the frames apart and answer them all in one write."""
        data = _READ_BUFFER[:nbytes].tobytes()
        buffer = self._buffer + data if self._buffer else data
        at, size = 0, len(buffer)
        out: list[bytes] = []
        while size - at >= 9:
            length, kind, sequence = _PREFIX.unpack_from(buffer, at)
            end = at + 4 + length
            if end > size:
                break
            self.frame(kind, sequence, buffer, at + 9, end, out)
            at = end
        self._buffer = buffer[at:]
        if out:
            self.transport.write(b"".join(out))

    @abstractmethod
    def frame(self, kind: int, sequence: int, buffer: bytes, start: int, end: int, out: list[bytes]) -> None:
        """Act on one frame."""


class EchoCaller(Caller):
    """Against the bare echo; its frames are as long as the switch's inquiries."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ready at once."""
        super().connection_made(transport)
        self.ready.set_result(None)

    def payload(self, sequence: int) -> bytes:
        """Return a text of an inquiry's length."""
        return b"IV.4.CA0990000.LIC/ZZ%05d" % (sequence % 100_000)

    def frame(self, kind: int, sequence: int, buffer: bytes, start: int, end: int, out: list[bytes]) -> None:
        """The frame came back."""
        self.complete(sequence)
        if self.running:
            out.append(self.next_frame())


class TerminalCaller(Caller):
    """A signed-on terminal that asks for registrations."""

    def __init__(self, tally: Tally, window: int, user: str, password: str) -> None:
        super().__init__(tally, window)
        self._user, self._password = user, password
        self.unacknowledged = 0

    def payload(self, sequence: int) -> bytes:
        """Return an inquiry, as an operator types it."""
        self.unacknowledged += 1
        return b"IV.4.CA0990000.LIC/ZZ%05d" % (sequence % 100_000)

    def frame(self, kind: int, sequence: int, buffer: bytes, start: int, end: int, out: list[bytes]) -> None:
        """Acknowledge answers; an answer completes the round trip of the inquiry it names."""
        if kind == DATA:
            out.append(encode_frame(ACK, sequence))
            mark = buffer.find(b'"reply_to":', start, end)
            if mark >= 0:
                stop = buffer.find(b",", mark, end)
                self.complete(int(buffer[mark + 11 : stop]))
                if self.running:
                    out.append(self.next_frame())
        elif kind == ACK:
            self.unacknowledged -= 1
        elif kind == NAK:
            self.unacknowledged -= 1
            self.tally.refused += 1
            self.outstanding.pop(sequence)
        elif kind == PING:
            out.append(encode_frame(PONG, sequence))
        elif kind == CONTROL:
            self._control(buffer[start:end], out)

    def _control(self, payload: bytes, out: list[bytes]) -> None:
        if b'"type":"hello"' in payload:
            request = (
                f'{{"type":"sign_on","user":"{self._user}","password":"{self._password}","banner_accepted":true}}'
            )
            out.append(encode_frame(CONTROL, 0, request.encode()))
        elif b'"type":"signed_on"' in payload:
            self.ready.set_result(None)
        elif not self.ready.done():
            self.ready.set_exception(ConnectionError(payload.decode()))


async def run(
    callers: Sequence[tuple[Caller, ssl.SSLContext]], port: int, seconds: float, warm_up_s: float, tally: Tally
) -> None:
    """Connect all callers to 127.0.0.1, run them for a time, and count."""
    loop = asyncio.get_running_loop()
    connections: list[Any] = []
    for caller, context in callers:
        connections.append(
            await loop.create_connection(
                lambda caller=caller: caller,  # type: ignore[misc]
                "127.0.0.1",
                port,
                ssl=context,
                server_hostname="",
                ssl_shutdown_timeout=1,
            )
        )
    await asyncio.gather(*(caller.ready for caller, _ in callers))
    for caller, _ in callers:
        caller.start()
    await asyncio.sleep(warm_up_s)
    tally.completed, tally.latencies = 0, []
    began = time.perf_counter()
    await asyncio.sleep(seconds)
    tally.seconds = time.perf_counter() - began
    for caller, _ in callers:
        caller.running = False
    deadline = time.perf_counter() + _GRACE_S
    while any(caller.outstanding for caller, _ in callers) and time.perf_counter() < deadline:
        await asyncio.sleep(0.05)
    tally.lost = sum(len(caller.outstanding) for caller, _ in callers)
    for caller, _ in callers:
        caller.transport.close()
    await asyncio.sleep(0.1)
