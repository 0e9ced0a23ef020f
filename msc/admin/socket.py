"""The administrative socket: HTTP over a UNIX socket in the site's data folder, for the commands of this machine.

Only the account the switch runs under, and root, are answered; the kernel says who asks.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol, cast

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from msc import __version__
from msc.admin.monitor import Server
from msc.admin.socket_file import reachable

_PEER = struct.Struct("3i")
"""pid, uid and gid of the other end, as Linux gives them."""


class Desk(Protocol):
    """What the socket needs of the desk where stations report."""

    def sessions(self) -> list[Any]:
        """Return who is signed on: dataclass rows with a member `session`."""

    def end_session(self, session_id: str, reason: str, asked: str | None = None) -> bool:
        """End a session; tells whether there was one."""


class _PeerProtocol(H11Protocol):
    """HTTP whose client is the account at the other end of the socket."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        peer = transport.get_extra_info("socket")
        _, uid, _ = _PEER.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
        self.client = (str(uid), 0)


def account_name(uid: int) -> str:
    """Return the name of an account of this machine."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


class AdminSocket:
    """Serves the commands that look at, or act on, a running switch.

    Args:
        file: Where the socket stands.
        desk: Sessions.
        revision: Tells which state of the directory is in force.
        audit: Notes what was asked: event, operator, account, subject, reason.
    """

    def __init__(
        self,
        file: Path,
        desk: Desk,
        revision: Callable[[], int],
        audit: Callable[[str, str, str, str, str], None],
    ) -> None:
        self._file = file
        self._desk = desk
        self._revision = revision
        self._audit = audit
        app = Starlette(
            routes=[
                Route("/state", self._state),
                Route("/sessions", self._sessions),
                Route("/sessions/{session}/end", self._end, methods=["POST"]),
            ]
        )
        config = uvicorn.Config(
            self._only_ours(app), http=_PeerProtocol, ws="none", lifespan="off", log_config=None, access_log=False,
            timeout_graceful_shutdown=1,
        )  # fmt: skip
        self._server = Server(config)
        self._socket: socket.socket | None = None

    def bind(self) -> None:
        """Take the place of the socket of a switch that died.

        Raises:
            OSError: It cannot be made.
        """
        self._socket = bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with suppress(FileNotFoundError):
            self._file.unlink()
        with reachable(self._file) as path:
            before = os.umask(0o177)
            try:
                bound.bind(path)
            finally:
                os.umask(before)

    async def run(self) -> None:
        """Serve until `stop`."""
        assert self._socket is not None
        await self._server.serve(sockets=[self._socket])

    def stop(self) -> None:
        """Serve no more."""
        self._server.should_exit = True
        with suppress(FileNotFoundError):
            self._file.unlink()

    @staticmethod
    def _only_ours(app: Starlette) -> Any:
        async def guarded(scope: Any, receive: Any, send: Any) -> None:
            uid = int(scope["client"][0])
            if uid not in (0, os.geteuid()):
                await JSONResponse({"error": "another account runs this switch"}, 403)(scope, receive, send)
                return
            await app(scope, receive, send)

        return guarded

    async def _state(self, _request: Request) -> Response:
        return JSONResponse({"version": __version__, "pid": os.getpid(), "directory_revision": self._revision()})

    async def _sessions(self, _request: Request) -> Response:
        return JSONResponse([asdict(report) for report in self._desk.sessions()])

    async def _end(self, request: Request) -> Response:
        session = request.path_params["session"]
        asked = await request.json()
        account = account_name(int(cast(Any, request.client).host))
        reason = str(asked.get("reason") or "ended by the administrator")[:200]
        self._audit("session.end_asked", str(asked.get("operator") or account), account, f"session {session}", reason)
        if not self._desk.end_session(session, "ended by the administrator", reason):
            return JSONResponse({"error": f"there is no session {session}"}, 404)
        return JSONResponse({"ended": session})
