"""The process around the hosts: which are made, that they serve and stop, and what standard input says."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from msc import tls
from msc.errors import SettingsError, SiteError
from msc.lab.simulators import run as run_module
from msc.lab.simulators.dataset import make_dataset
from msc.lab.simulators.host import StateHost
from msc.lab.simulators.ncic import NcicResponder
from msc.lab.simulators.run import make_hosts, run, serve
from msc.lab.simulators.state import StateResponder
from msc.lab.simulators.unsolicited import LINE_BYTES_MAX, read_lines, send_line
from msc.settings import Settings, load_settings
from tests.lab.simulators.conftest import CATALOG
from tests.support.authority import Authority, Pair
from tests.support.line import SwitchEnd, dialled

SITE = """
switch = {{ name = "msc-test" }}
listener = {{ port = 0 }}
tls = {{ ca = "{ca}", certificate = "{pair.certificate}", key = "{pair.key}" }}
journal = {{ url = "sqlite+aiosqlite:///journal.db" }}
directory = {{ url = "sqlite+aiosqlite:///directory.db" }}
catalog = {{ folder = "{catalog}" }}
routes = {{ file = "routes.toml" }}
monitor = {{ port = 0 }}
"""
LINE = """
[[line]]
name = "{line}"
host = "127.0.0.1"
port = 0
peer = "msc://host/clets-a"
[[simulator]]
name = "{name}"
line = "{line}"
certificate = "{pair.certificate}"
key = "{pair.key}"
delay_ms = 2.5
"""


@pytest.fixture
async def bounded() -> AsyncIterator[None]:
    """Fail a test that waits for what never comes."""
    async with asyncio.timeout(20):
        yield


@pytest.fixture
def settings(tmp_path: Path, authority: Authority, certificates: Callable[[str], Pair]) -> Settings:
    pair = certificates("msc://host/clets-a")
    text = SITE.format(ca=authority.ca, pair=pair, catalog=CATALOG)
    text += LINE.format(name="ncic", line="ncic-a", pair=pair) + LINE.format(name="state", line="clets-a", pair=pair)
    file = tmp_path / "msc.toml"
    file.write_text(text)
    return load_settings(file)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe's two ends; the test closes the second."""
    source, sink = os.pipe()
    yield source, sink
    os.close(source)


# --- which hosts --------------------------------------------------------------------------------


async def test_all_simulators_are_made_the_states_first(settings: Settings) -> None:
    state, ncic = make_hosts(settings)
    assert (state.name, state.line.name, state.delay_s) == ("state", "clets-a", 0.0025)
    assert (ncic.name, ncic.line.name) == ("ncic", "ncic-a")
    assert isinstance(state.responder, StateResponder) and isinstance(ncic.responder, NcicResponder)
    # One seed, one data set.
    assert state.responder.data is ncic.responder.data
    assert state.responder.data == make_dataset(1)


@pytest.mark.parametrize("only", ["ncic", "ncic-a"])
async def test_one_simulator_can_be_chosen_by_its_name_or_its_lines(settings: Settings, only: str) -> None:
    assert [host.name for host in make_hosts(settings, only)] == ["ncic"]


async def test_simulators_of_one_name_and_seed_are_one_system(
    settings: Settings, authority: Authority, certificates: Callable[[str], Pair]
) -> None:
    state, ncic = settings.simulator[1], settings.simulator[0]
    backup = settings.line[1].model_copy(update={"name": "clets-b", "driver": "stx"})
    other = settings.line[1].model_copy(update={"name": "test-a"})
    both = settings.model_copy(
        update={
            "line": [*settings.line, backup, other],
            "simulator": [
                state, ncic, state.model_copy(update={"line": "clets-b"}),
                state.model_copy(update={"line": "test-a", "seed": 2}),
            ],
        }
    )  # fmt: skip
    primary, second, test, _ = make_hosts(both)
    assert [host.line.name for host in (primary, second, test)] == ["clets-a", "clets-b", "test-a"]
    # What is entered over one line is found over the other; another seed is another system.
    assert primary.responder is second.responder is not test.responder
    entry = "IA.EV.CA0990000.LIC/ZZ0009X.LIS/CA.OCA/26-1.DTE/20260101"
    assert "ACCEPTED" in primary.responder.answer(entry)[0]
    assert any("MKE/STOLEN" in answer for answer in second.responder.answer("IA.QV.CA0990000.LIC/ZZ0009X"))
    [alone] = make_hosts(both, "clets-b")
    assert alone.line.driver == "stx"


async def test_a_simulator_that_is_not_there_is_a_fault_of_the_settings(settings: Settings) -> None:
    with pytest.raises(SettingsError, match="none is called 'dmv'"):
        make_hosts(settings, "dmv")
    with pytest.raises(SettingsError, match="there is none"):
        make_hosts(settings.model_copy(update={"simulator": []}))


# --- serving ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("bounded")
async def test_what_is_typed_goes_over_the_line_that_is_named(
    settings: Settings,
    authority: Authority,
    certificates: Callable[[str], Pair],
    pipe: tuple[int, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source, sink = pipe
    os.write(
        sink, b"# a note\n\nEXA1000000.$.A.FROM THE STATE\nncic EXA1000000.$.H.DELAYED HIT\\nMKE/WANTED PERSON\n"
    )
    os.close(sink)
    hosts, stopping, opened = make_hosts(settings), asyncio.Event(), asyncio.Event()

    def read_and_tell(*arguments: Any) -> threading.Thread:
        opened.set()
        return read_lines(*arguments)

    monkeypatch.setattr(run_module, "read_lines", read_and_tell)
    serving = asyncio.get_running_loop().create_task(serve(settings, hosts, stopping, source))
    ends = [SwitchEnd(), SwitchEnd()]
    context = tls.client_context(authority.ca, *certificates("msc://switch/test"))
    await opened.wait()
    state, ncic = (host.line.model_copy(update={"port": host.port}) for host in hosts)
    async with dialled(state, context, ends[0]), dialled(ncic, context, ends[1]):
        assert await ends[0].messages.get() == "EXA1000000.$.A.FROM THE STATE"
        assert await ends[1].messages.get() == "EXA1000000.$.H.DELAYED HIT\nMKE/WANTED PERSON"
    stopping.set()
    await serving


async def test_an_address_in_use_stops_all_and_says_which(settings: Settings) -> None:
    first, second = make_hosts(settings)
    await first.open()
    taken = second.line.model_copy(update={"port": first.port})
    blocked = StateHost("ncic", taken, second._context, second.responder)
    third = make_hosts(settings, "state")[0]
    try:
        with pytest.raises(SiteError, match=f"127.0.0.1:{first.port}"):
            await serve(settings, [third, blocked], asyncio.Event(), None)
    finally:
        await first.close()
    with pytest.raises(IndexError):
        assert third.port  # it listens no more


@pytest.mark.usefixtures("bounded")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_runs_until_a_signal(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    opened = asyncio.Event()

    async def serve_and_tell(site: Settings, hosts: list[StateHost], stopping: asyncio.Event, _source: int) -> None:
        opened.set()
        await serve(site, hosts, stopping, None)

    monkeypatch.setattr(run_module, "serve", serve_and_tell)
    before = signal.getsignal(signal.SIGTTIN)
    task = asyncio.get_running_loop().create_task(run(settings, "state"))
    try:
        await opened.wait()
        os.kill(os.getpid(), number)
        await task
    finally:
        gc.unfreeze()
        signal.signal(signal.SIGTTIN, before)
        for each in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().remove_signal_handler(each)


# --- standard input -----------------------------------------------------------------------------


async def lines_of(source: int) -> list[str]:
    """Read lines to the end of the input."""
    lines: list[str] = []
    thread = read_lines(source, asyncio.get_running_loop(), lines.append)
    await asyncio.get_running_loop().run_in_executor(None, thread.join)
    return lines


@pytest.mark.usefixtures("bounded")
async def test_lines_are_read_whole_and_the_last_needs_no_end(pipe: tuple[int, int]) -> None:
    source, sink = pipe
    os.write(sink, b"one\r\n\n  two \nthr")
    os.write(sink, b"ee")
    os.close(sink)
    assert await lines_of(source) == ["one", "two", "three"]


@pytest.mark.usefixtures("bounded")
async def test_input_that_is_closed_or_empty_or_a_file_is_no_fault(tmp_path: Path, pipe: tuple[int, int]) -> None:
    source, sink = pipe
    os.close(sink)
    assert await lines_of(source) == []
    nothing = os.open(os.devnull, os.O_RDONLY)
    assert await lines_of(nothing) == []
    os.close(nothing)
    assert await lines_of(nothing) == []
    file = tmp_path / "messages.txt"
    file.write_text("one\ntwo\n")
    descriptor = os.open(file, os.O_RDONLY)
    assert await lines_of(descriptor) == ["one", "two"]
    os.close(descriptor)


@pytest.mark.usefixtures("bounded")
async def test_a_line_without_end_ends_the_reading(pipe: tuple[int, int]) -> None:
    source, sink = pipe

    def flood() -> None:
        os.write(sink, b"first\n" + b"A" * (LINE_BYTES_MAX + 1))
        os.close(sink)

    writer = threading.Thread(target=flood)
    writer.start()
    assert await lines_of(source) == ["first"]
    writer.join()


async def test_a_line_that_is_no_message_is_told_to_nobody_but_the_log(settings: Settings) -> None:
    (host,) = make_hosts(settings, "state")
    hosts = {"state": host}
    for line in ("# note", "no header", "EXA1000000.", "ncic EXA1000000.$.A.TO NOBODY", "state"):
        send_line(hosts, line)
    send_line({}, "EXA1000000.$.A.TO NOBODY")
    assert host.kept == 0
    send_line(hosts, "state EXA1000000.$.A.KEPT")
    assert host.kept == 1
