"""Metrics and health over HTTP, on a loopback address: `/metrics`, `/live`, `/ready`."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator

import uvicorn
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from msc.log import get_logger
from msc.metrics import Metrics

log = get_logger("admin")


class Server(uvicorn.Server):
    """uvicorn without its own signal handlers: the daemon has those."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Monitor:
    """The endpoint.

    Args:
        metrics: What `/metrics` shows.
        not_ready: Tells why the switch cannot take messages; empty when it can. `/ready` answers 200 or 503.
    """

    def __init__(self, host: str, port: int, metrics: Metrics, not_ready: Callable[[], list[str]]) -> None:
        self._host, self._port = host, port
        self._metrics = metrics
        self._not_ready = not_ready
        app = Starlette(
            routes=[
                Route("/metrics", self._show_metrics),
                Route("/live", self._show_live),
                Route("/ready", self._show_ready),
            ]
        )
        self._server = Server(
            uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=1)
        )
        self._socket: socket.socket | None = None

    def bind(self) -> None:
        """Take the port.

        Raises:
            OSError: It cannot be had.
        """
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        self._socket = socket.create_server((self._host, self._port), family=family)
        log.info("monitor.opened", host=self._host, port=self._socket.getsockname()[1])

    async def run(self) -> None:
        """Serve until `stop`."""
        assert self._socket is not None
        await self._server.serve(sockets=[self._socket])

    def stop(self) -> None:
        """Let `run` return."""
        self._server.should_exit = True

    async def _show_metrics(self, _request: Request) -> Response:
        return Response(generate_latest(self._metrics.registry), media_type=CONTENT_TYPE_LATEST)

    async def _show_live(self, _request: Request) -> Response:
        return PlainTextResponse("live\n")

    async def _show_ready(self, _request: Request) -> Response:
        reasons = self._not_ready()
        return JSONResponse({"ready": not reasons, "not_ready": reasons}, status_code=503 if reasons else 200)
