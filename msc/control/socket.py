"""The administrative socket: HTTP over a UNIX socket, for the commands of this machine.

The kernel says which account asks; a signature, if there is one, which operator. Who may open the socket at all is
for the file system to say: its mode is 0600, and 0660 where the settings name a group.
"""

from __future__ import annotations

import asyncio
import grp
import os
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from msc import __version__, clock
from msc.audit import Audit, AuditEvent
from msc.control.access import Action
from msc.control.gate import Gate, Refused, account_name
from msc.control.journal_desk import JournalCounter
from msc.control.monitor import Server
from msc.control.retention_desk import RetentionCounter
from msc.control.routing_desk import RoutingCounter
from msc.control.socket_file import reachable
from msc.control.switching_desk import SwitchingCounter
from msc.errors import Fault, SiteError
from msc.limits import OPERATOR_REASON_CHARS_MAX

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


class AdminSocket:
    """Serves the commands that look at, or act on, a running switch.

    Args:
        file: Where the socket stands.
        desk: Sessions.
        revision: Tells which state of the directory is in force.
        gate: Says who asks.
        audit: Hears what was asked.
        journal: Answers what is asked of the journal; None serves none of it.
        retention: Says what the journal keeps, and takes orders about it; None serves none of it.
        routing: Says how messages are routed, and takes up other routes; None serves none of it.
        switching: Takes orders about lines, devices and queues; None serves none of it.
        group: Whose members may open the socket, besides the account the switch runs under.
    """

    def __init__(
        self,
        file: Path,
        desk: Desk,
        revision: Callable[[], int],
        gate: Gate,
        audit: Audit,
        journal: JournalCounter | None = None,
        retention: RetentionCounter | None = None,
        routing: RoutingCounter | None = None,
        switching: SwitchingCounter | None = None,
        group: str | None = None,
    ) -> None:
        self._file = file
        self._desk = desk
        self._revision = revision
        self._gate = gate
        self._audit = audit
        self._journal = journal
        self._group = group
        routes = [
            Route("/challenge", self._challenge),
            Route("/state", self._state),
            Route("/sessions", self._sessions),
            Route("/sessions/{session}/end", self._end, methods=["POST"]),
        ]
        if journal is not None:
            routes.append(Route("/journal/{verb}", journal.serve, methods=["POST"]))
        if retention is not None:
            routes.append(Route("/keeping/{verb}", retention.serve, methods=["POST"]))
        if routing is not None:
            routes.append(Route("/routing/{verb}", routing.serve, methods=["POST"]))
        if switching is not None:
            routes.append(Route("/switching/{verb}", switching.serve, methods=["POST"]))
        app = Starlette(routes=routes, exception_handlers={Refused: _refused, HTTPException: _not_there})
        config = uvicorn.Config(
            app, http=_PeerProtocol, ws="none", lifespan="off", log_config=None, access_log=False,
            # Else a header says which account asks, on a machine where FORWARDED_ALLOW_IPS is set.
            timeout_graceful_shutdown=1, proxy_headers=False,
        )  # fmt: skip
        self._server = Server(config)
        self._socket: socket.socket | None = None

    def bind(self) -> None:
        """Take the place of the socket of a switch that died.

        Raises:
            SiteError: There is no such group, or the socket cannot be given to it.
            OSError: It cannot be made.
        """
        with suppress(FileNotFoundError):
            self._file.unlink()
        bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with reachable(self._file) as path:
                before = os.umask(0o177)
                try:
                    bound.bind(path)
                finally:
                    os.umask(before)
                if self._group is not None:
                    self._give(path, self._group)
            # From now on who connects waits instead of being turned away.
            bound.listen()
        except BaseException:
            bound.close()
            raise
        self._socket = bound

    def _give(self, path: str, group: str) -> None:
        try:
            # In this order: for no moment may another group open it.
            os.chown(path, -1, grp.getgrnam(group).gr_gid)
            os.chmod(path, 0o660)  # noqa: PTH101
        except KeyError:
            raise SiteError([Fault(self._file, "admin.group", f"there is no group {group!r}")]) from None
        except OSError as exc:
            problem = f"cannot be given to the group {group!r}: {exc.strerror}"
            raise SiteError([Fault(self._file, "admin.group", problem)]) from exc

    async def run(self) -> None:
        """Serve until `stop`."""
        assert self._socket is not None
        await self._server.serve(sockets=[self._socket])

    def stop(self) -> None:
        """Serve no more; what is under way ends, and `run` returns within two seconds."""
        if self._journal is not None:
            self._journal.close()
        self._server.should_exit = True
        with suppress(FileNotFoundError):
            self._file.unlink()

    async def _challenge(self, _request: Request) -> Response:
        return JSONResponse({"nonce": self._gate.sign_in.challenges.give()})

    async def _state(self, request: Request) -> Response:
        self._gate.require(await self._gate.admit(request), Action.STATE)
        return JSONResponse({"version": __version__, "pid": os.getpid(), "directory_revision": self._revision()})

    async def _sessions(self, request: Request) -> Response:
        self._gate.require(await self._gate.admit(request), Action.LIST_SESSIONS)
        return JSONResponse([asdict(report) for report in self._desk.sessions()])

    async def _end(self, request: Request) -> Response:
        session = request.path_params["session"]
        caller = await self._gate.admit(request)
        self._gate.require(caller, Action.END_SESSION)
        asked = caller.content()
        told = str(asked.get("operator") or account_name(caller.uid))
        operator = caller.signed.operator.operator if caller.signed is not None else told
        reason = str(asked.get("reason") or "ended by the administrator")[:OPERATOR_REASON_CHARS_MAX]
        self._audit(
            AuditEvent(
                clock.wall_us(), "session.end_asked", user=operator, source=caller.source,
                subject=f"session {session}", reason=reason,
            )
        )  # fmt: skip
        if not self._desk.end_session(session, "ended by the administrator", reason):
            return JSONResponse({"error": f"there is no session {session}"}, 404)
        return JSONResponse({"ended": session})


async def _refused(_request: Request, exc: Exception) -> Response:
    assert isinstance(exc, Refused)
    return JSONResponse({"error": str(exc)}, exc.status)


async def _not_there(_request: Request, exc: Exception) -> Response:
    assert isinstance(exc, HTTPException)
    return JSONResponse({"error": f"nothing is served there ({exc.detail})"}, exc.status_code)
