"""Witnesses: whom the switch tells every checkpoint, so that the journal cannot be put back unseen.

What they hear is signed and holds no content: numbers, times, hashes. See `msc.journal.proof.testimony` for a line.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import urlsplit

from msc import clock
from msc.errors import MSCError
from msc.journal.database.layout import CheckpointRow
from msc.journal.proof.testimony import Heard, read_line, witness_line
from msc.limits import WITNESS_TELL_S
from msc.settings import FileWitnessSettings, HttpWitnessSettings, SyslogWitnessSettings, WitnessSettings

if TYPE_CHECKING:
    import httpx

_FILE_MODE: Final = 0o640
_END_BYTES: Final = 65_536
"""How much of a file's end is read to find its last line."""
_PRIORITY: Final = 13 * 8 + 5
"""RFC 5424, 6.2.1: facility 13 (log audit), severity 5 (notice)."""
_CLOSE_S: Final = 2.0
_HTTP_OK: Final = range(200, 300)


class WitnessLost(MSCError):
    """A witness could not be told; it is tried again."""


class Witness(Protocol):
    """Somebody who is told checkpoints."""

    name: str
    target: str
    """Where it is; together with the name it says whether it is still the same one."""

    async def tell(self, rows: Sequence[CheckpointRow]) -> None:
        """Tell it checkpoints, in order; return once it has them.

        Raises:
            WitnessLost: It may have some of them.
        """

    async def last(self) -> Heard | None:
        """Return the last it heard, where that can be asked; otherwise None.

        Raises:
            WitnessLost: It cannot be reached.
        """


class FileWitness:
    """A file, best on a mount from another machine. A mount that hangs holds up nobody but this witness.

    Args:
        name: For people.
        path: The file; it is made if it is not there.
    """

    def __init__(self, name: str, path: Path) -> None:
        self.name, self.target = name, str(path)
        self._path = path
        self._working = False

    async def tell(self, rows: Sequence[CheckpointRow]) -> None:
        """Append a line for each, and wait until they are durable."""
        data = b"".join(witness_line(row) + b"\n" for row in rows)
        await self._away(lambda: self._append(data))

    def _append(self, data: bytes) -> None:
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, _FILE_MODE)
        with os.fdopen(handle, "r+b", buffering=0) as file:
            size = file.seek(0, os.SEEK_END)
            if size:
                file.seek(size - 1)
                if file.read(1) != b"\n":
                    data = b"\n" + data  # a line was cut short by a crash
            while data:
                data = data[file.write(data) :]
            os.fsync(file.fileno())

    async def last(self) -> Heard | None:
        """Return what its last whole line says."""
        found: list[Heard | None] = []
        await self._away(lambda: found.append(self._read_last()))
        return found[0]

    def _read_last(self) -> Heard | None:
        try:
            with self._path.open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - _END_BYTES))
                lines = file.read().split(b"\n")
        except FileNotFoundError:
            return None
        return next((heard for line in reversed(lines) if (heard := read_line(line)) is not None), None)

    async def _away(self, work: Callable[[], None]) -> None:
        """Work in a thread nobody waits for at the end: a dead mount must not keep the switch from stopping."""
        if self._working:
            raise WitnessLost("still at work on what it was told before")
        loop, done = asyncio.get_running_loop(), asyncio.Event()
        failed: list[OSError] = []

        def run() -> None:
            try:
                work()
            except OSError as exc:
                failed.append(exc)
            self._working = False
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
                loop.call_soon_threadsafe(done.set)

        self._working = True
        threading.Thread(target=run, name=f"msc-witness-{self.name}", daemon=True).start()
        await done.wait()
        if failed:
            raise WitnessLost(type(failed[0]).__name__) from failed[0]


class SyslogWitness:
    """A syslog server. Syslog confirms nothing: over TCP it counts that the server read to the end.

    Args:
        name: For people.
        address: `udp://HOST:PORT`, `tcp://HOST:PORT`, `unix:///PATH`.
        host: What this machine calls itself.
    """

    def __init__(self, name: str, address: str, host: str) -> None:
        self.name, self.target = name, address
        self._host = host
        parts = urlsplit(address)
        self._kind, self._path = parts.scheme, parts.path
        self._server = (parts.hostname or "", parts.port or 0)

    def message(self, row: CheckpointRow) -> bytes:
        """Write a checkpoint as RFC 5424 wants it."""
        head = f"<{_PRIORITY}>1 {clock.rfc3339(clock.wall_us())} {self._host} msc - CHECKPOINT - "
        return head.encode("ascii", "replace") + witness_line(row)

    async def tell(self, rows: Sequence[CheckpointRow]) -> None:
        """Send a message for each."""
        messages = [self.message(row) for row in rows]
        try:
            if self._kind == "tcp":
                await self._stream(messages)
            elif self._kind == "udp":
                await self._datagrams(messages)
            else:
                await self._local(messages)
        except OSError as exc:
            raise WitnessLost(type(exc).__name__) from exc

    async def last(self) -> Heard | None:
        """Syslog cannot be asked."""
        return None

    async def _stream(self, messages: list[bytes]) -> None:
        reader, writer = await asyncio.open_connection(*self._server)
        try:
            # RFC 6587, 3.4.1: octet counting.
            writer.writelines(b"%d %b" % (len(message), message) for message in messages)
            await writer.drain()
            writer.write_eof()
            with contextlib.suppress(TimeoutError):  # some servers keep the connection; they have read all the same
                async with asyncio.timeout(_CLOSE_S):
                    await reader.read()
        finally:
            writer.close()

    async def _datagrams(self, messages: list[bytes]) -> None:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, remote_addr=self._server)
        for message in messages:
            transport.sendto(message)
        transport.close()

    async def _local(self, messages: list[bytes]) -> None:
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as local:
            local.setblocking(False)
            local.connect(self._path)
            for message in messages:
                await loop.sock_sendall(local, message)


class HttpWitness:
    """A web server that takes checkpoints, a line each, in the body of a POST.

    Args:
        name: For people.
        url: Where to.
        ca: Authorities to trust, where it is not one of the system's.
    """

    def __init__(self, name: str, url: str, ca: Path | None = None) -> None:
        self.name, self.target = name, url
        self._ca = ca
        self._client: httpx.AsyncClient | None = None

    async def tell(self, rows: Sequence[CheckpointRow]) -> None:
        """Post them, and wait for the answer."""
        import httpx

        try:
            if self._client is None:
                # Whom it trusts is ours to say, not that of variables somebody set.
                context = ssl.create_default_context(cafile=self._ca)
                self._client = httpx.AsyncClient(verify=context, timeout=WITNESS_TELL_S, trust_env=False)
            answer = await self._client.post(
                self.target,
                content=b"".join(witness_line(row) + b"\n" for row in rows),
                headers={"Content-Type": "application/x-ndjson"},
            )
        except (httpx.HTTPError, OSError) as exc:
            raise WitnessLost(type(exc).__name__) from exc
        if answer.status_code not in _HTTP_OK:
            raise WitnessLost(f"it answered {answer.status_code}")

    async def last(self) -> Heard | None:
        """It is not asked."""
        return None

    async def close(self) -> None:
        """Let go of the connection."""
        if self._client is not None:
            await self._client.aclose()


def make_witness(wanted: WitnessSettings, folder: Path, host: str) -> Witness:
    """Make a witness as the settings want it.

    Args:
        folder: Where relative paths start from.
        host: What this machine calls itself.
    """
    match wanted:
        case FileWitnessSettings():
            return FileWitness(wanted.name, folder / wanted.path)
        case SyslogWitnessSettings():
            return SyslogWitness(wanted.name, wanted.address, host)
        case HttpWitnessSettings():
            return HttpWitness(wanted.name, wanted.url, folder / wanted.ca if wanted.ca is not None else None)
