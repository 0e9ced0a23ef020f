"""Run the stand-ins that a site's settings name, until told to stop."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
from collections import deque
from typing import Any

from msc import tls
from msc.errors import Fault, SettingsError, SiteError
from msc.lab.simulators.dataset import DataSet, make_dataset
from msc.lab.simulators.host import StateHost
from msc.lab.simulators.ncic import NcicResponder
from msc.lab.simulators.responder import Responder
from msc.lab.simulators.state import StateResponder
from msc.lab.simulators.unsolicited import read_lines, send_line
from msc.log import get_logger
from msc.protocol.catalog import Catalog, load_catalog
from msc.settings import Settings, SimulatorSettings

log = get_logger("simulators")


def make_responder(name: str, catalog: Catalog, data: DataSet) -> Responder:
    """Make the responder of a simulator: `state` or `ncic`."""
    return NcicResponder(catalog, data) if name == "ncic" else StateResponder(catalog, data)


def make_hosts(settings: Settings, only: str | None = None) -> list[StateHost]:
    """Make the hosts of a site's simulators, the state's first; none of them listens yet.

    Args:
        settings: The site's.
        only: The name of the simulators to make (`state`, `ncic`) or of their line; None makes all.

    Raises:
        SettingsError: There is none, or a certificate cannot be used.
        CatalogError: The catalog cannot be used.
    """
    chosen = [s for s in settings.simulator if only is None or only in (s.name, s.line)]
    if not chosen:
        problem = f"none is called {only!r} or on a line of that name" if only else "there is none"
        raise SettingsError([Fault(settings.file, "simulator", problem)])
    catalog = load_catalog(settings.path(settings.catalog.folder))
    # Simulators of one name and seed are one system at the end of several lines, a primary and its backup: what is
    # entered over one line is found over the other, and an answer may take either.
    systems: dict[tuple[str, int], tuple[Responder, deque[bytes]]] = {}
    data = {seed: make_dataset(seed) for seed in {s.seed for s in chosen}}
    for s in chosen:
        systems.setdefault((s.name, s.seed), (make_responder(s.name, catalog, data[s.seed]), deque()))
    chosen.sort(key=lambda s: s.name != "state")
    return [_make_host(settings, s, *systems[s.name, s.seed]) for s in chosen]


def _make_host(
    settings: Settings, simulator: SimulatorSettings, responder: Responder, backlog: deque[bytes]
) -> StateHost:
    line = next(line for line in settings.line if line.name == simulator.line)
    context = tls.server_context(
        settings.path(settings.tls.ca), settings.path(simulator.certificate), settings.path(simulator.key)
    )
    return StateHost(simulator.name, line, context, responder, delay_ms=simulator.delay_ms, backlog=backlog)


async def run(settings: Settings, only: str | None = None) -> None:
    """Run a site's simulators until SIGTERM or SIGINT, and send what standard input says.

    Raises:
        MSCError: What the operator must mend; nothing is left running.
    """
    hosts = make_hosts(settings, only)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_handle_loop_exception)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    # In the background of a shell, reading the terminal would stop the process; so it only fails to read.
    signal.signal(signal.SIGTTIN, signal.SIG_IGN)
    # The data sets live as long as we do: no collection need look at them.
    gc.collect()
    gc.freeze()
    await serve(settings, hosts, stopping, None if sys.stdin is None else 0)


async def serve(settings: Settings, hosts: list[StateHost], stopping: asyncio.Event, source: int | None) -> None:
    """Open hosts, serve until `stopping` is set, and close them.

    Args:
        settings: Named in what is raised.
        hosts: As `make_hosts` gives them.
        stopping: Set by whoever wants an end.
        source: The descriptor to read unsolicited messages from, or None.

    Raises:
        SiteError: An address cannot be had.

    Cancellation:
        Closes the hosts all the same.
    """
    try:
        for host in hosts:
            try:
                await host.open()
            except OSError as exc:
                where = f"{host.line.host}:{host.line.port}"
                raise SiteError([Fault(settings.file, f"line {host.line.name}", f"{where}: {exc.strerror}")]) from exc
        if source is not None:
            named: dict[str, StateHost] = {}
            for host in hosts:
                named.setdefault(host.name, host)
                named[host.line.name] = host
            read_lines(source, asyncio.get_running_loop(), lambda line: send_line(named, line))
        await stopping.wait()
    finally:
        for host in hosts:
            await host.close()


def _handle_loop_exception(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What the event loop has to say goes to the log. A failed handshake is the peer's fault, no traceback."""
    exception = context.get("exception")
    if isinstance(exception, (OSError, asyncio.TimeoutError)):
        log.warning("connection.failed", error=type(exception).__name__, detail=str(exception)[:200])
    else:
        log.error("loop.exception", message=context.get("message"), exc_info=exception)
