"""The end of a line over real mutual TLS, with the switch's own line at the other end."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections import deque
from collections.abc import AsyncIterator, Callable

import pytest

from msc import tls
from msc.errors import BadHeader, BadLength, JournalUnavailable, Overloaded
from msc.lab.simulators import host as host_module
from msc.lab.simulators import line_end
from msc.lab.simulators.dataset import DataSet
from msc.lab.simulators.host import StateHost
from msc.lab.simulators.line_end import Answering
from msc.lab.simulators.state import StateResponder
from msc.protocol.catalog import Catalog
from msc.protocol.driver import DRIVERS
from msc.protocol.frame import DATA, FrameDecoder
from msc.settings import DriverName
from tests.support.authority import Authority, Pair
from tests.support.line import HEAD, SwitchEnd, dialled, line_settings

Certificates = Callable[[str], Pair]
pytestmark = pytest.mark.usefixtures("bounded")


@pytest.fixture
async def bounded() -> AsyncIterator[None]:
    """Fail a test that waits for what never comes."""
    async with asyncio.timeout(20):
        yield


class Echo:
    """Answers each message with its own text, as often as its first character says."""

    def answer(self, text: str) -> list[str]:
        return [text] * int(text[0])


@pytest.fixture
def server_context(authority: Authority, certificates: Certificates) -> ssl.SSLContext:
    return tls.server_context(authority.ca, *certificates("msc://host/clets-a"))


@pytest.fixture
def client_context(authority: Authority, certificates: Certificates) -> ssl.SSLContext:
    return tls.client_context(authority.ca, *certificates("msc://switch/test"))


@pytest.fixture
def open_host(server_context: ssl.SSLContext) -> Callable[..., contextlib.AbstractAsyncContextManager[StateHost]]:
    @contextlib.asynccontextmanager
    async def opened(
        responder: Answering | None = None,
        *,
        delay_ms: float = 0.0,
        window: int = 8,
        driver: DriverName = "mtp",
        backlog: deque[bytes] | None = None,
    ) -> AsyncIterator[StateHost]:
        settings = line_settings(window=window, driver=driver)
        host = StateHost("state", settings, server_context, responder or Echo(), delay_ms=delay_ms, backlog=backlog)
        await host.open()
        try:
            yield host
        finally:
            await host.close()

    return opened


OpenHost = Callable[..., contextlib.AbstractAsyncContextManager[StateHost]]
each_driver = pytest.mark.parametrize("driver", sorted(DRIVERS))


@pytest.mark.requirement("C-HDR", "F-TLS")
@each_driver
async def test_an_inquiry_is_acknowledged_and_then_answered_under_its_own_header(
    open_host: OpenHost, client_context: ssl.SSLContext, catalog: Catalog, data: DataSet, driver: DriverName
) -> None:
    end = SwitchEnd()
    async with (
        open_host(StateResponder(catalog, data), driver=driver) as host,
        dialled(line_settings(host.port, driver=driver), client_context, end) as line,
    ):
        await end.opened.get()
        hit, registration = await end.ask(line, "IA.QV.CA0990000.LIC/ZZ0001X", answers=2)
        assert hit.startswith("EXA1000001.MKE/STOLEN VEHICLE\n")
        assert registration.startswith("EXA1000001.VEHICLE REGISTRATION\n")
        (wrong,) = await end.ask(line, "NO SUCH MESSAGE")
        assert wrong.startswith("EXA1000001.ER.01")
    assert end.order == ["A", "D", "D", "A", "D"]


@each_driver
async def test_answers_wait_for_room_in_the_window(
    open_host: OpenHost, client_context: ssl.SSLContext, driver: DriverName
) -> None:
    end = SwitchEnd()
    async with (
        open_host(window=2, driver=driver) as host,
        dialled(line_settings(host.port, window=2, driver=driver), client_context, end) as line,
    ):
        await end.opened.get()
        for round_ in range(20):
            texts = await end.ask(line, f"9 {round_}", answers=9)
            assert texts == [f"EXA1000001.9 {round_}"] * 9


async def test_a_delayed_answer_comes_after_the_acknowledgement_and_in_order(
    open_host: OpenHost, client_context: ssl.SSLContext
) -> None:
    end = SwitchEnd()
    async with (
        open_host(delay_ms=1.0) as host,
        dialled(line_settings(host.port), client_context, end) as line,
    ):
        await end.opened.get()
        for number in range(8):
            line.send(f"{HEAD}1 {number}".encode())
        assert [await end.messages.get() for _ in range(8)] == [f"EXA1000001.1 {n}" for n in range(8)]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("NO HEADER", "E202"),
        ("EXA.*J40217.#02RVXUF.1", "E202"),
        ("EXA1000001.IW.QW.CA0990000.NAM/A,B", "E203"),
        ("EXA1000001.*J4021.1", "E203"),
        ("EXA1000001.*J40217.#1.1", "E204"),
    ],
)
async def test_a_message_whose_head_is_wrong_is_refused(
    open_host: OpenHost, client_context: ssl.SSLContext, text: str, code: str
) -> None:
    end = SwitchEnd()
    async with open_host() as host, dialled(line_settings(host.port), client_context, end) as line:
        await end.opened.get()
        line.send(text.encode())
        refused = await end.answered.get()
        assert refused and refused.startswith(code)
        line.send(b"EXA1000001.*J40217.1 without TAF")
        assert await end.messages.get() == "EXA1000001.1 without TAF"


@pytest.mark.requirement("F-TLS")
@pytest.mark.parametrize("name", ["msc://device/dispatch-1", "msc://host/cad"])
async def test_only_a_switch_may_open_a_line(
    open_host: OpenHost, authority: Authority, certificates: Certificates, name: str
) -> None:
    context = tls.client_context(authority.ca, *certificates(name))
    async with open_host() as host:
        reader, writer = await asyncio.open_connection("127.0.0.1", host.port, ssl=context, server_hostname="")
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await writer.wait_closed()


@pytest.mark.requirement("C-TEST")
@pytest.mark.parametrize("settings", [{"name": "clets-b"}, {"mode": "test"}])
async def test_a_line_of_another_name_or_mode_is_declined(
    open_host: OpenHost, client_context: ssl.SSLContext, settings: dict[str, str]
) -> None:
    end = SwitchEnd()
    async with open_host() as host:
        other = line_settings(host.port).model_copy(update=settings)
        async with dialled(other, client_context, end) as line:
            # It is refused, comes back, and is refused again; the right one is not disturbed.
            async with dialled(line_settings(host.port), client_context, right := SwitchEnd()) as proper:
                await right.opened.get()
                assert await right.ask(proper, "1") == ["EXA1000001.1"]
            assert not line.is_open and end.opened.empty()


async def test_answers_not_acknowledged_come_again_on_the_next_connection(
    open_host: OpenHost, client_context: ssl.SSLContext
) -> None:
    end = SwitchEnd()
    end.silent = True
    async with open_host(window=2) as host:
        async with dialled(line_settings(host.port, window=2), client_context, end) as line:
            await end.opened.get()
            await end.ask(line, "5", answers=2)
        end = SwitchEnd()
        async with dialled(line_settings(host.port, window=2), client_context, end) as line:
            assert [await end.messages.get() for _ in range(5)] == ["EXA1000001.5"] * 5
            # Nothing comes once more: the answer to the next inquiry is the next message.
            assert await end.ask(line, "1") == ["EXA1000001.1"]


async def test_an_answer_refused_for_now_is_sent_again_and_one_refused_for_good_is_not(
    open_host: OpenHost, client_context: ssl.SSLContext
) -> None:
    end = SwitchEnd()
    async with open_host() as host, dialled(line_settings(host.port), client_context, end) as line:
        await end.opened.get()
        end.refusal = JournalUnavailable()
        await end.ask(line, "1 kept")
        end.refusal = None
        assert await end.messages.get() == "EXA1000001.1 kept"
        end.refusal = BadHeader()
        await end.ask(line, "1 dropped")
        end.refusal = None
        assert await end.ask(line, "1 next") == ["EXA1000001.1 next"]
        assert host.kept == 0


async def test_an_unsolicited_message_is_sent_now_or_when_a_line_opens(
    open_host: OpenHost, client_context: ssl.SSLContext
) -> None:
    end = SwitchEnd()
    async with open_host() as host:
        host.send_unsolicited("EXA1000000.$.A.BEFORE")
        async with dialled(line_settings(host.port), client_context, end):
            await end.opened.get()
            host.send_unsolicited("EXA1000000.$.H.AFTER")
            texts = {await end.messages.get(), await end.messages.get()}
            assert texts == {"EXA1000000.$.A.BEFORE", "EXA1000000.$.H.AFTER"}


async def test_an_unsolicited_message_needs_a_header_a_text_and_room(
    open_host: OpenHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_host() as host:
        with pytest.raises(BadHeader):
            host.send_unsolicited("no header")
        with pytest.raises(BadLength):
            host.send_unsolicited("EXA1000000.")
        with pytest.raises(BadLength):
            host.send_unsolicited("EXA1000000." + "A" * 20_000)
        monkeypatch.setattr(host_module, "ANSWERS_MAX", 1)
        host.send_unsolicited("EXA1000000.$.A.FITS")
        with pytest.raises(Overloaded):
            host.send_unsolicited("EXA1000000.$.A.DOES NOT")


async def test_a_host_with_too_many_answers_waiting_takes_no_more_messages(
    open_host: OpenHost, client_context: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line_end, "ANSWERS_MAX", 3)
    end = SwitchEnd()
    end.silent = True
    async with open_host() as host, dialled(line_settings(host.port), client_context, end) as line:
        await end.opened.get()
        await end.ask(line, "3", answers=3)
        line.send(f"{HEAD}1".encode())
        refused = await end.answered.get()
        assert refused and refused.startswith("E502")


async def test_a_connection_that_opens_no_line_gets_no_messages(
    open_host: OpenHost, client_context: ssl.SSLContext
) -> None:
    async with open_host() as host:
        reader, writer = await asyncio.open_connection("127.0.0.1", host.port, ssl=client_context, server_hostname="")
        decoder = FrameDecoder()
        decoder.receive_data(await reader.read(4096))
        host.send_unsolicited("EXA1000000.$.A.FOR A LINE")
        assert host.kept == 1
        await host.close()
        decoder.receive_data(await reader.read())
        frames = []
        while (frame := decoder.take()) is not None:
            frames.append(frame.kind)
        assert DATA not in frames
        writer.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await writer.wait_closed()


# --- several lines ------------------------------------------------------------------------------


@each_driver
async def test_an_answer_that_the_switch_cannot_take_now_is_sent_again(
    open_host: OpenHost, client_context: ssl.SSLContext, driver: DriverName
) -> None:
    end = SwitchEnd()
    async with (
        open_host(driver=driver) as host,
        dialled(line_settings(host.port, driver=driver), client_context, end) as line,
    ):
        await end.opened.get()
        end.refusal = JournalUnavailable()
        await end.ask(line, "1 FIRST")
        end.refusal = None
        assert await end.messages.get() == "EXA1000001.1 FIRST"


async def test_what_one_line_could_not_deliver_goes_out_on_another_of_the_same_system(
    open_host: OpenHost, client_context: ssl.SSLContext
) -> None:
    first, second, backlog = SwitchEnd(), SwitchEnd(), deque[bytes]()
    first.silent = True
    async with open_host(backlog=backlog) as backup, dialled(line_settings(backup.port), client_context, second):
        async with (
            open_host(backlog=backlog, driver="stx") as primary,
            dialled(line_settings(primary.port, driver="stx"), client_context, first) as line,
        ):
            await second.opened.get()
            await first.opened.get()
            await first.ask(line, "2 ASKED")
            assert second.messages.empty()
        assert {await second.messages.get(), await second.messages.get()} == {"EXA1000001.2 ASKED"}


async def test_answers_that_were_delayed_when_a_host_ends_are_left_to_the_others(
    open_host: OpenHost, client_context: ssl.SSLContext
) -> None:
    first, second, backlog = SwitchEnd(), SwitchEnd(), deque[bytes]()
    async with open_host(backlog=backlog) as backup, dialled(line_settings(backup.port), client_context, second):
        async with (
            open_host(backlog=backlog, delay_ms=60_000) as primary,
            dialled(line_settings(primary.port), client_context, first) as line,
        ):
            await first.opened.get()
            await first.ask(line, "1 ASKED", answers=0)
        assert await second.messages.get() == "EXA1000001.1 ASKED"
