"""The journal's processes beside the daemon: they answer, end and die without anybody waiting for it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from msc.journal import process as process_module
from msc.journal.process import CREDIT, END, FAILED, FRAME, LINES, ChildLost, ChildRefused, JournalProcess, Part
from msc.transit.message import Direction, MessageRecord
from tests.support.journal import enter

MESSAGES = 2_000
"""More than a child gives ahead: it puts fifty in a frame."""
EVERYTHING: dict[str, Any] = {"criteria": {}}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A journal in which every message holds the word SOUGHT."""
    url = f"sqlite+aiosqlite:///{tmp_path_factory.mktemp('journal') / 'journal.db'}"
    messages = [
        MessageRecord(msn, msn, Direction.LOCAL, "administrative", text=f"SOUGHT {msn}", transaction=msn)
        for msn in range(1, MESSAGES + 1)
    ]
    asyncio.run(enter(url, *messages))
    return url


@pytest.fixture(autouse=True)
def restart_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that died is started again at the loop's next turn: tests do not wait for clocks."""
    monkeypatch.setattr(process_module, "_RESTART_S", 0)


@asynccontextmanager
async def running(
    name: str, url: str, told: Callable[[dict[str, Any]], None] = lambda _: None
) -> AsyncIterator[JournalProcess]:
    first = {"url": url, "public_key": "unused"} if name == "search" else {"url": url}
    process = JournalProcess(name, first, told)
    task = asyncio.create_task(process.run())
    try:
        async with asyncio.timeout(50):
            yield process
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def items(parts: list[Part]) -> list[dict[str, Any]]:
    lines = [orjson.loads(line) for part in parts for line in part.lines.splitlines()]
    return [line["item"] for line in lines if "item" in line]


async def all_of(process: JournalProcess, verb: str, asked: dict[str, Any]) -> list[Part]:
    return [part async for part in process.ask(verb, asked)]


async def child_of(process: JournalProcess) -> Process:
    """Wait until there is a child, and return it."""
    await process._ready.wait()
    assert process._process is not None
    return process._process


# --- answers ------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("C-JOURNAL")
async def test_an_answer_comes_whole_in_parts_that_say_how_much_they_hold(url: str) -> None:
    async with running("search", url) as process:
        parts = await all_of(process, "search", {**EVERYTHING, "oldest_first": True})
    assert [item["msn"] for item in items(parts)] == list(range(1, MESSAGES + 1))
    assert sum(part.items for part in parts) == MESSAGES
    for part in parts[:-1]:
        assert part.lines.endswith(b"\n") and part.end is None
        assert part.items == len(items([part])) <= 50
    assert parts[-1] == Part(end={"after": None, "complete": True, "searched": [197001], "unreadable": []})


async def test_questions_that_are_none_are_refused_with_what_is_wrong(url: str) -> None:
    async with running("search", url) as process:
        for verb, asked, why in (
            ("delete", {}, "'delete' is nothing the journal can be asked"),
            ("search", {"criteria": {"colour": "red"}}, "'colour' is nothing the journal can be searched by"),
            ("search", {**EVERYTHING, "after": "x"}, "'x' is not a cursor"),
        ):
            with pytest.raises(ChildRefused, match=why):
                await all_of(process, verb, asked)
        assert len(items(await all_of(process, "search", {**EVERYTHING, "limit": 3}))) == 3


async def test_a_fault_of_our_own_ends_one_answer_and_tells_nothing_of_what_was_sought(
    url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    async with running("search", url) as process:
        with pytest.raises(ChildRefused, match="a fault of MSC itself") as refused:
            await all_of(process, "search", {"criteria": ["SECRET"]})
        assert len(items(await all_of(process, "search", {**EVERYTHING, "limit": 3}))) == 3
    logged = "".join(capfd.readouterr())
    assert "search.failed" in logged
    assert "SECRET" not in logged + str(refused.value) and "Traceback" not in logged


async def test_a_journal_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    async with running("search", f"sqlite+aiosqlite:///{tmp_path / 'nowhere.db'}") as process:
        with pytest.raises(ChildRefused, match="the journal cannot be read"):
            await all_of(process, "search", EVERYTHING)


@pytest.mark.requirement("C-JOURNAL")
async def test_who_does_not_read_holds_nobody_up(url: str) -> None:
    async with running("search", url) as process, aclosing(process.ask("search", EVERYTHING)) as slow:
        parts = [await anext(slow)]
        for _ in range(2):
            other = await all_of(process, "search", {"criteria": {"text": ["SOUGHT"]}})
            assert len(items(other)) == MESSAGES
        [waiting] = process._asked.values()
        assert waiting.qsize() <= CREDIT, "it is not given more than it takes"
        parts += [part async for part in slow]
        assert [item["msn"] for item in items(parts)] == list(range(MESSAGES, 0, -1))


async def test_who_leaves_early_leaves_nothing_behind(url: str) -> None:
    async with running("search", url) as process:
        for verb in ("search", "follow"):
            async with aclosing(process.ask(verb, EVERYTHING)) as answer:
                if verb == "search":
                    await anext(answer)
            assert not process._asked
        assert len(items(await all_of(process, "search", {**EVERYTHING, "limit": 3}))) == 3


# --- ends and deaths ----------------------------------------------------------------------------------------------


@pytest.mark.requirement("C-JOURNAL")
async def test_askers_of_a_child_that_dies_are_told_and_the_next_are_answered_by_a_new_one(url: str) -> None:
    async with running("search", url) as process:
        following = asyncio.create_task(all_of(process, "follow", EVERYTHING))
        async with aclosing(process.ask("search", EVERYTHING)) as answer:
            await anext(answer)
            first = await child_of(process)
            first.kill()
            with pytest.raises(ChildLost):
                async for _ in answer:
                    pass
        with pytest.raises(ChildLost):
            await following
        assert len(items(await all_of(process, "search", EVERYTHING))) == MESSAGES
        assert (await child_of(process)).pid != first.pid


async def test_a_child_that_is_told_to_end_does_and_its_askers_are_told(url: str) -> None:
    async with running("search", url) as process:
        following = asyncio.create_task(all_of(process, "follow", EVERYTHING))
        await all_of(process, "search", {**EVERYTHING, "limit": 1})
        child = await child_of(process)
    with pytest.raises(ChildLost):
        await following
    assert child.returncode is not None


async def test_an_interrupt_of_the_terminal_ends_no_child(url: str) -> None:
    async with running("search", url) as process:
        await all_of(process, "search", {**EVERYTHING, "limit": 1})
        child = await child_of(process)
        os.kill(child.pid, signal.SIGINT)
        assert len(items(await all_of(process, "search", {**EVERYTHING, "limit": 3}))) == 3
        assert child.returncode is None


# --- archiving ----------------------------------------------------------------------------------------------------


@pytest.mark.requirement("C-JOURNAL")
async def test_the_archivist_says_what_stands_in_blocks_also_after_it_was_killed(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'journal.db'}"
    said: list[int] = []
    moved = asyncio.Event()

    def told(what: dict[str, Any]) -> None:
        said.append(what["archived"])
        moved.set()

    async def add(count: int) -> int:
        records = [MessageRecord(n, n, Direction.LOCAL, "administrative") for n in range(1, count + 1)]
        return (await enter(url, *records)).seq

    first = await add(5_000)
    async with running("archive", url, told) as process:
        await moved.wait()
        assert said == [first]
        (await child_of(process)).kill()
        moved.clear()
        await moved.wait()
        assert said == [first, first], "a new one says where it begins"
        moved.clear()
        second = await add(5_000)
        await moved.wait()
        assert said[-1] == second == 2 * first


# --- the child's side, frame by frame -----------------------------------------------------------------------------


class Child:
    """A child that is spoken to as the daemon does."""

    def __init__(self, process: Process) -> None:
        self.process = process

    def say(self, **line: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(orjson.dumps(line) + b"\n")

    async def frame(self) -> tuple[int, int, int, bytes]:
        """Read a frame: id, kind, items, body."""
        assert self.process.stdout is not None
        number, length, count, kind = FRAME.unpack(await self.process.stdout.readexactly(FRAME.size))
        return number, kind, count, await self.process.stdout.readexactly(length)


@asynccontextmanager
async def child(name: str, **first: str) -> AsyncIterator[Child]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "msc.journal.worker", name, stdin=PIPE, stdout=PIPE, stderr=PIPE
    )
    spoken = Child(process)
    spoken.say(**first)
    try:
        async with asyncio.timeout(50):
            yield spoken
            assert process.stdin is not None and process.stderr is not None
            process.stdin.close()
            errors = await process.stderr.read()
            assert await process.wait() == 0
            assert b"Traceback" not in errors
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_a_child_gives_as_many_frames_ahead_as_it_has_credit_and_stops_when_it_is_told_to(url: str) -> None:
    async with child("search", url=url, public_key="unused") as search:
        search.say(id=1, verb="search", asked=EVERYTHING)
        frames = [await search.frame() for _ in range(CREDIT)]
        assert {(number, kind) for number, kind, _, _ in frames} == {(1, LINES)}
        search.say(id=2, verb="search", asked={**EVERYTHING, "limit": 1})
        assert [(await search.frame())[:3] for _ in range(2)] == [(2, LINES, 1), (2, END, 0)]
        search.say(id=1, verb="more")
        assert [(await search.frame())[:2] for _ in range(CREDIT // 2)] == [(1, LINES)] * (CREDIT // 2)
        search.say(id=1, verb="stop")
        search.say(id=1, verb="more")
        search.say(id=9, verb="stop")
        search.say(id=3, verb="nothing", asked={})
        number, kind, _, why = await search.frame()
        assert (number, kind) == (3, FAILED) and b"nothing" in why


@pytest.mark.parametrize("name", ["search", "archive"])
async def test_a_child_ends_quietly_when_the_daemon_is_gone(url: str, name: str) -> None:
    more = {"public_key": "unused"} if name == "search" else {}
    async with child(name, url=url, **more) as orphan:
        assert orphan.process.stdout is not None
        if name == "search":
            orphan.say(id=1, verb="search", asked=EVERYTHING)
            await orphan.frame()
        # As when the daemon was killed: nobody reads any more.
        orphan.process.stdout._transport.close()  # type: ignore[attr-defined]
