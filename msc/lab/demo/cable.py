"""The cable between the demo's switch and the host at the end of a line: it can jam, be cut, and be mended.

It carries bytes and knows nothing of what they are; TLS goes through it from end to end.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

_HOST: Final = "127.0.0.1"
_READ_BYTES: Final = 65_536


class Cable:
    """Carries bytes from a port of the loopback address to another, and back.

    Args:
        port: Where the switch finds the host.
        end: Where the host is.
    """

    def __init__(self, port: int, end: int) -> None:
        self._port = port
        self._end = end
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._carrying: set[asyncio.Task[None]] = set()
        self._flows = asyncio.Event()

    async def mend(self) -> None:
        """Lay it, or lay it anew.

        Raises:
            OSError: The port cannot be had.
        """
        self._flows.set()
        self._server = await asyncio.start_server(self._carry, _HOST, self._port)

    def jam(self) -> None:
        """Let nothing more through to the host. Both ends believe that all is well."""
        self._flows.clear()

    def cut(self) -> None:
        """End it: what is on its way is lost, and nobody can connect. Does no harm twice."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for end in self._open:
            end.transport.abort()
        self._flows.set()

    async def end(self) -> None:
        """Cut it for good, and wait until nothing of it is left."""
        self.cut()
        await asyncio.gather(*self._carrying, return_exceptions=True)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._carrying.add(task)
        task.add_done_callback(self._carrying.discard)
        self._open.add(writer)
        try:
            with contextlib.suppress(OSError):
                far_reader, far_writer = await asyncio.open_connection(_HOST, self._end)
                self._open.add(far_writer)
                try:
                    async with asyncio.TaskGroup() as directions:
                        directions.create_task(self._pump(reader, far_writer, to_host=True))
                        directions.create_task(self._pump(far_reader, writer))
                finally:
                    self._open.discard(far_writer)
                    far_writer.transport.abort()
        finally:
            self._open.discard(writer)
            writer.transport.abort()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, to_host: bool = False
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(_READ_BYTES):
                if to_host:
                    await self._flows.wait()
                if writer.transport.is_closing():
                    break  # cut meanwhile
                writer.write(data)
                await writer.drain()
        # One direction has ended, and the other ends with it.
        writer.transport.abort()
