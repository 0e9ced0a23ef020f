"""A bare uvloop TLS echo: what the machine could do if a switch had nothing to do.

python -m loadtest.echo CA CERTIFICATE KEY PORT
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import cast

import uvloop

from msc import tls


class Echo(asyncio.Protocol):
    """Sends back what comes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the transport."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Send it back."""
        self._transport.write(data)


async def serve(ca: Path, certificate: Path, key: Path, port: int) -> None:
    """Echo on a loopback port, until killed."""
    context = tls.server_context(ca, certificate, key)
    server = await asyncio.get_running_loop().create_server(
        Echo, "127.0.0.1", port, ssl=context, ssl_shutdown_timeout=1
    )
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])))
