"""The demo's cable: what it carries, and what being jammed, cut and mended mean."""

from __future__ import annotations

import asyncio
import contextlib
from asyncio import StreamReader, StreamWriter

import pytest

from msc.lab.demo.cable import Cable
from msc.site.make import free_ports

_PATIENCE_S = 5.0


async def test_a_cable_carries_both_ways_and_not_once_it_is_jammed_and_cut_until_it_is_mended() -> None:
    heard: asyncio.Queue[bytes] = asyncio.Queue()
    ended: asyncio.Queue[None] = asyncio.Queue()

    async def host(reader: StreamReader, writer: StreamWriter) -> None:
        # What is cut leaves nothing behind here either, however it is told.
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(100):
                heard.put_nowait(data)
                writer.write(data.upper())
        writer.transport.abort()
        ended.put_nowait(None)

    port, end = free_ports(2)
    cable = Cable(port, end)
    async with asyncio.timeout(_PATIENCE_S), await asyncio.start_server(host, "127.0.0.1", end):
        await cable.mend()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"one")
        assert await reader.readexactly(3) == b"ONE"
        cable.jam()
        writer.write(b"two")
        cable.cut()
        cable.cut()
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        writer.transport.abort()
        with pytest.raises(ConnectionError):
            await asyncio.open_connection("127.0.0.1", port)
        await cable.mend()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"three")
        assert await reader.readexactly(5) == b"THREE"
        writer.transport.abort()
        await cable.end()
        for _ in range(2):
            await ended.get()
    assert [heard.get_nowait() for _ in range(heard.qsize())] == [b"one", b"three"]
