"""The journal's processes beside the daemon: one that searches, one that archives.

Both are children of the daemon and end with it. They stand apart so that neither a heavy search nor a month being
indexed takes the interpreter's lock, or the processor, from a message. Daemon and child speak lines of JSON over the
child's standard input and output: `{"id", "verb", "asked"}` one way, `{"id", "item" | "end" | "error"}` the other.
"""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import orjson

from msc.errors import JournalError
from msc.log import get_logger

log = get_logger("journal")

_LINE_BYTES_MAX: Final = 16 * 1024 * 1024
"""A line holds one answer; the longest is a transaction with its texts."""
_RESTART_S: Final = 1.0
CREDIT: Final = 256
"""Answers the child gives ahead of what its asker has taken: one who does not read holds up nobody else."""


class ChildLost(JournalError):
    """The process that searches the journal ended; it is being started again."""


class ChildRefused(JournalError):
    """The process that searches the journal cannot do what was asked."""


class JournalProcess:
    """A child of the daemon, started again when it dies.

    Args:
        name: `search` or `archive`.
        url: The journal's database.
        told: Is given what the child says without being asked.
    """

    def __init__(self, name: str, url: str, told: Callable[[dict[str, Any]], None] = lambda _line: None) -> None:
        self.name = name
        self._url = url
        self._told = told
        self._process: Process | None = None
        self._ready = asyncio.Event()
        self._asked: dict[int, asyncio.Queue[dict[str, Any]]] = {}
        self._last = 0

    @property
    def running(self) -> bool:
        """Whether the child is there."""
        return self._ready.is_set()

    async def run(self) -> None:
        """Keep the child going until cancelled."""
        try:
            while True:
                await self._run_once()
                log.error("journal.process_ended", process=self.name)
                await asyncio.sleep(_RESTART_S)
        finally:
            await self._end()

    async def _run_once(self) -> None:
        # Standard error is the daemon's: what the child logs stands in the daemon's log.
        self._process = process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "msc.journal.worker", self.name, self._url,
            stdin=PIPE, stdout=PIPE, limit=_LINE_BYTES_MAX,
        )  # fmt: skip
        assert process.stdout is not None
        self._ready.set()
        try:
            while line := await process.stdout.readline():
                self._take(orjson.loads(line))
        finally:
            self._ready.clear()
            for waiting in self._asked.values():
                waiting.put_nowait({"lost": True})
        await process.wait()

    def _take(self, line: dict[str, Any]) -> None:
        number = line.pop("id", None)
        if number is None:
            self._told(line)
        elif (waiting := self._asked.get(number)) is not None:
            waiting.put_nowait(line)

    async def ask(self, verb: str, asked: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """Ask the child; yields its answers as they come, `{"item"}` or `{"progress"}`, last `{"end"}`.

        Raises:
            ChildLost: It ended meanwhile.
            ChildRefused: It cannot do this; says why.

        Cancellation:
            Leaving the iteration early tells the child to stop.
        """
        await self._ready.wait()
        self._last = number = self._last + 1
        answers: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._asked[number] = answers
        ended, taken = False, 0
        try:
            self._say({"id": number, "verb": verb, "asked": asked})
            while not ended:
                answer = await answers.get()
                if "lost" in answer:
                    ended = True
                    raise ChildLost("the journal's search process ended; ask again")
                if "error" in answer:
                    ended = True
                    raise ChildRefused(answer["error"])
                ended = "end" in answer
                yield answer
                taken += 1
                if taken % (CREDIT // 2) == 0:
                    self._say({"id": number, "verb": "more", "asked": {}})
        finally:
            del self._asked[number]
            if not ended:
                self._say({"id": number, "verb": "stop", "asked": {}})

    def _say(self, line: dict[str, Any]) -> None:
        process = self._process
        if process is not None and process.stdin is not None and not process.stdin.is_closing():
            process.stdin.write(orjson.dumps(line) + b"\n")

    async def _end(self) -> None:
        """Let the child end: it does when its standard input is closed."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(5.0):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
