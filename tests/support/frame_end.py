"""One end of a connection as a protocol, not as streams: every frame is handled the moment it is there.

Stand-ins that play fifty terminals and two state hosts in one process cannot afford a task for each frame; and what
they write down must stand in the order in which it happened. Written from the published protocol page alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import json
import socket
import struct
from typing import Any

from tests.support.mtp_client import HEAD, control, frame

LINGER_NOT = struct.pack("ii", 1, 0)
"""SO_LINGER of no time at all: closing the socket resets the connection."""


class Loss(enum.Enum):
    """How a connection, or a whole machine, goes."""

    CLOSED = "closed"
    """In order, as a host does that is shut down."""
    RESET = "reset"
    """TCP reset, as when a process is killed or a router gives up."""
    SILENT = "silent"
    """The socket stays and nothing moves any more, as when a machine hangs or a cable is pulled."""


class FrameEnd(asyncio.Protocol):
    """One end of a connection.

    Attributes:
        gone: Done when the connection has ended, by whichever end.
        silent: Whether this end reads and says nothing any more.
    """

    def __init__(self) -> None:
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.silent = False
        self.transport: asyncio.Transport
        self._buffer = bytearray()

    # --- what a stand-in does about it ---------------------------------------------------------------
    def opened(self) -> None:
        """The connection stands."""

    def received(self, kind: str, sequence: int, payload: bytes) -> None:
        """A frame is there; pings have been answered."""

    def lost(self) -> None:
        """The connection has ended."""

    # --- what it says ----------------------------------------------------------------------------------
    def write(self, data: bytes) -> None:
        """Write bytes as they are; nothing once the connection is over or silent."""
        if not self.silent and not self.transport.is_closing():
            self.transport.write(data)

    def put(self, kind: str, sequence: int = 0, payload: bytes = b"") -> None:
        """Write a frame."""
        self.write(frame(kind, sequence, payload))

    def say(self, **members: Any) -> None:
        """Write a control frame."""
        self.write(control(**members))

    def refuse(self, sequence: int, code: str, reason: str) -> None:
        """Answer a `D` with `N`."""
        self.put("N", sequence, json.dumps({"code": code, "reason": reason}).encode())

    def lose(self, loss: Loss) -> None:
        """End the connection, or let it hang."""
        if loss is Loss.SILENT:
            self.silent = True
            if not self.transport.is_closing():
                self.transport.pause_reading()
            return
        if loss is Loss.RESET:
            # A TLS transport that is just being lost has forgotten its socket.
            with contextlib.suppress(AttributeError, OSError):
                sock = self.transport.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
            self.transport.abort()
        else:
            self.transport.close()

    # --- asyncio's side --------------------------------------------------------------------------------
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.opened()

    def data_received(self, data: bytes) -> None:
        if self.silent:
            return
        self._buffer += data
        at, end = 0, len(self._buffer)
        while end - at >= HEAD.size and not self.silent:
            length, kind, sequence = HEAD.unpack_from(self._buffer, at)
            if end - at < length + 4:
                break
            payload = bytes(self._buffer[at + HEAD.size : at + length + 4])
            at += length + 4
            if kind == b"P":
                self.put("Q", sequence)
            else:
                self.received(kind.decode("latin-1"), sequence, payload)
        del self._buffer[:at]

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.gone.done():
            self.gone.set_result(None)
        self.lost()
