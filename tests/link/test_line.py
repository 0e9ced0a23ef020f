"""A line over real mutual TLS, with each driver: what its operator orders, what ends it, and that it comes back."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from msc import clock, tls
from msc.errors import LineNotConnected, LineSilent, NoLineTest
from msc.link import line as line_module
from msc.link.connection import Sweeper
from msc.link.line import OVER, STALLED, UpstreamLine
from msc.protocol.driver import DRIVERS
from msc.protocol.line_state import LineState
from msc.settings import DriverName
from tests.support.authority import Authority, Pair
from tests.support.line import BareHost, HostEnd, SwitchEnd, dialled, line_settings

Certificates = Callable[[str], Pair]
each_driver = pytest.mark.parametrize("driver", sorted(DRIVERS))


@pytest.fixture
def server_context(authority: Authority, certificates: Certificates) -> ssl.SSLContext:
    return tls.server_context(authority.ca, *certificates("msc://host/clets-a"))


@pytest.fixture
def client_context(authority: Authority, certificates: Certificates) -> ssl.SSLContext:
    return tls.client_context(authority.ca, *certificates("msc://switch/test"))


Running = tuple[UpstreamLine, SwitchEnd, BareHost]
Run = Callable[..., contextlib.AbstractAsyncContextManager[Running]]


@pytest.fixture
def running(server_context: ssl.SSLContext, client_context: ssl.SSLContext) -> Run:
    """Run a line that is open, and the host at its end."""

    @contextlib.asynccontextmanager
    async def run(driver: DriverName = "mtp", **settings: object) -> AsyncIterator[Running]:
        host, end = BareHost(driver), SwitchEnd()
        async with (
            host.listening(server_context),
            dialled(line_settings(host.port, driver=driver, **settings), client_context, end) as line,
        ):
            await end.opened.get()
            yield line, end, host

    return run


async def peer_of(host: BareHost) -> HostEnd:
    """The host's end of the newest connection."""
    return await host.connected.get()


# --- what it carries ------------------------------------------------------------------------------------


@pytest.mark.requirement("F-TLS")
@each_driver
async def test_a_message_goes_out_and_one_comes_in(running: Run, driver: DriverName) -> None:
    async with running(driver) as (line, end, host):
        assert (line.state, line.connected, line.is_open) == (LineState.OPEN, True, True)
        line.send(b"EXA1000001.*J40217.IW.QW")
        assert (await host.messages.get()).payload == b"EXA1000001.*J40217.IW.QW"
        assert await end.answered.get() is None
        (await peer_of(host)).send(b"EXA1000001.NO RECORD")
        assert await end.messages.get() == "EXA1000001.NO RECORD"


@each_driver
async def test_a_host_there_is_an_objection_to_gets_no_session(
    server_context: ssl.SSLContext, client_context: ssl.SSLContext, driver: DriverName
) -> None:
    host, end = BareHost(driver), SwitchEnd()
    examined: asyncio.Queue[tls.PeerCertificate] = asyncio.Queue()

    def examine(peer: tls.PeerCertificate) -> tls.Objection:
        examined.put_nowait(peer)
        return tls.Objection.REVOKED

    async with (
        host.listening(server_context),
        dialled(line_settings(host.port, driver=driver), client_context, end, examine) as line,
    ):
        for _ in range(3):  # it tries again
            assert (await examined.get()).names == ("msc://host/clets-a",)
            assert not line.connected
    assert end.opened.empty() and end.losses.empty() and host.messages.empty()


@each_driver
async def test_a_host_of_another_name_gets_no_session(
    server_context: ssl.SSLContext, client_context: ssl.SSLContext, driver: DriverName
) -> None:
    host, end = BareHost(driver), SwitchEnd()
    settings = line_settings(driver=driver, peer="msc://host/clets-b")
    with capture_logs() as logs:
        async with (
            host.listening(server_context),
            dialled(settings.model_copy(update={"port": host.port}), client_context, end),
        ):
            while sum(entry["event"] == "line.peer_unknown" for entry in logs) < 2:  # it tries again
                await asyncio.sleep(0)
    assert end.opened.empty() and end.losses.empty() and host.messages.empty()


@each_driver
async def test_tcp_asks_for_a_machine_that_is_silent(running: Run, driver: DriverName) -> None:
    async with running(driver, heartbeat_s=7) as (line, _end, _host):
        tcp = line._connection._transport.get_extra_info("socket")
        assert tcp.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert tcp.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 7


# --- what its operator orders ---------------------------------------------------------------------------


@each_driver
async def test_a_held_line_takes_answers_in_and_lets_nothing_out(running: Run, driver: DriverName) -> None:
    async with running(driver) as (line, end, host):
        line.hold()
        assert (line.state, line.connected, line.is_open, line.room) == (LineState.HELD, True, False, 0)
        with pytest.raises(AssertionError):
            line.send(b"IW.QW")
        (await peer_of(host)).send(b"EXA1000001.LATE")
        assert await end.messages.get() == "EXA1000001.LATE"
        line.release()
        assert line.is_open and line.room > 0
        await end.writable.get()
        line.send(b"IW.QW")
        assert await end.answered.get() is None
        assert end.losses.empty()


@each_driver
async def test_a_line_that_is_drained_awaits_what_is_unacknowledged(running: Run, driver: DriverName) -> None:
    async with running(driver) as (line, end, host):
        host.silent = True
        line.send(b"IW.QW")
        received = await host.messages.get()
        line.drain()
        assert (line.state, line.connected, line.room) == (LineState.DRAINING, True, 0)
        peer = await peer_of(host)
        peer.session.acknowledge(received.sequence)
        peer.flush()
        assert await end.answered.get() is None
        assert line.state is LineState.DRAINING
        line.release()
        assert line.is_open


@each_driver
async def test_a_held_line_that_comes_back_is_held_again(running: Run, driver: DriverName) -> None:
    async with running(driver) as (line, end, host):
        line.hold()
        (await peer_of(host)).abort("cut")
        await end.losses.get()
        await end.opened.get()
        assert (line.state, line.connected, line.is_open) == (LineState.HELD, True, False)
        line.restart("the operator wants it")
        assert (line.state, line.connected) == (LineState.DOWN, False)
        await end.opened.get()
        assert line.state is LineState.HELD
        line.release()
        assert line.is_open


@each_driver
async def test_a_restart_drops_the_line_and_connects_at_once(running: Run, driver: DriverName) -> None:
    # No test would live to see a back-off of a minute.
    async with running(driver, reconnect_first_s=60, reconnect_last_s=60) as (line, end, _host):
        line.restart("operator: stuck")
        assert end.losses.get_nowait() == "operator: stuck"
        assert not line.connected and line.connection is None
        await end.opened.get()
        assert line.is_open


async def test_a_restart_ends_the_waiting_for_the_next_attempt(
    server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    host, end = BareHost(), SwitchEnd()
    host.declines = True
    waits = {"reconnect_first_s": 60, "reconnect_last_s": 60}
    async with (
        host.listening(server_context),
        dialled(line_settings(host.port, **waits), client_context, end) as line,
    ):
        await host.losses.get()
        assert line.state is LineState.DOWN
        host.declines = False
        line.restart("the host says it is well again")
        await end.opened.get()
        assert line.is_open
    assert end.losses.qsize() == 1  # the end of the test; the line that was refused had never been open


async def test_a_restart_gives_up_an_attempt_that_hangs(client_context: ssl.SSLContext) -> None:
    accepted: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()
    # Takes the connection, and never begins the handshake.
    server = await asyncio.start_server(lambda _, writer: accepted.put_nowait(writer), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    settings = line_settings(port, reconnect_first_s=60, reconnect_last_s=60)
    async with dialled(settings, client_context, SwitchEnd()) as line:
        writers = [await accepted.get()]
        assert line.state is LineState.CONNECTING
        for _ in range(2):
            line.restart("again")
            line.restart("twice is once")
            writers.append(await accepted.get())
        assert line.state is LineState.CONNECTING
    for writer in writers:
        writer.close()
    server.close()


async def test_a_line_that_is_tested_says_how_long_the_host_took(running: Run) -> None:
    async with running() as (line, _end, _host):
        assert 0 < await line.test() < 5
        line.hold()
        took = await asyncio.gather(line.test(), line.test())
        assert all(0 < seconds < 5 for seconds in took)


async def test_a_test_fails_for_a_line_that_is_down_silent_or_has_none(
    running: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running("stx") as (line, _end, _host):
        with pytest.raises(NoLineTest):
            await line.test()
    with pytest.raises(LineNotConnected, match="clets-a is down"):
        await line.test()
    async with running() as (line, _end, host):
        (await peer_of(host))._transport.pause_reading()
        testing = asyncio.ensure_future(line.test())
        await asyncio.sleep(0)
        line.restart("in the middle of it")
        with pytest.raises(LineNotConnected, match="was lost"):
            await testing
    monkeypatch.setattr(line_module, "LINE_TEST_S", 0.05)
    async with running() as (line, _end, host):
        (await peer_of(host))._transport.pause_reading()
        with pytest.raises(LineSilent):
            await line.test()
        assert line.is_open and not line._pings


# --- what ends it ---------------------------------------------------------------------------------------


@each_driver
async def test_a_line_whose_host_acknowledges_nothing_is_stalled(running: Run, driver: DriverName) -> None:
    async with running(driver, ack_s=1) as (line, end, host):
        line.send(b"IW.QW")
        assert await end.answered.get() is None
        host.silent = True
        line.send(b"IW.QW")
        assert await end.losses.get() == STALLED
        host.silent = False
        await end.opened.get()
        line.send(b"IW.QW")
        assert await end.answered.get() is None


async def test_a_held_line_can_be_stalled_too(running: Run) -> None:
    async with running(ack_s=1) as (line, end, host):
        host.silent = True
        line.send(b"IW.QW")
        line.hold()
        assert await end.losses.get() == STALLED


@pytest.mark.requirement("C-TEST")
async def test_a_line_ends_on_its_day_and_is_not_connected_any_more(
    running: Run, client_context: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    day = clock.today() + timedelta(days=30)
    async with running(mode="test", expires=day) as (line, end, _host):
        monkeypatch.setattr(clock, "today", lambda: day - timedelta(days=1))
        line.restart("it may come back today")
        assert await end.losses.get() == "it may come back today"
        await end.opened.get()
        monkeypatch.setattr(clock, "today", lambda: day)
        assert await end.losses.get() == OVER
    # Nobody listens there, and it does not try.
    line = UpstreamLine(
        line_settings(mode="test", expires=day), client_context, "msc-test", end, Sweeper(), lambda _: None
    )
    await line.run()
    assert line.state is LineState.DOWN


@each_driver
async def test_a_line_ends_when_its_hosts_certificate_is_worth_nothing_any_more(
    server_context: ssl.SSLContext, client_context: ssl.SSLContext, driver: DriverName
) -> None:
    host, end = BareHost(driver), SwitchEnd()
    against: list[tls.Objection] = []
    async with (
        host.listening(server_context),
        dialled(
            line_settings(host.port, driver=driver), client_context, end, lambda _: against[0] if against else None
        ) as line,
    ):
        await end.opened.get()
        assert line.end_untrusted() is None
        against.append(tls.Objection.REVOKED)
        ended = line.end_untrusted()
        assert ended is not None and ended[1] is against[0]
        assert not line.connected
        assert await end.losses.get() == against[0]
        assert line.end_untrusted() is None
