"""The journal's processes beside the daemon: one that searches, one that archives.

Both are children of the daemon and end with it. They stand apart so that neither a heavy search nor a month being
indexed takes the interpreter's lock, or the processor, from a message. The daemon asks in lines of JSON on the
child's standard input, `{"id", "verb", "asked"}`; the child says frames on its standard output, so that what was
found goes on to its asker without being read here:

    u32 id   u32 length   u16 items   u8 kind   then so many bytes

    kind 0   whole lines of JSON, `items` of them results       kind 2   what went wrong, for people
    kind 1   the end: an object with facts of the whole         kind 3   told without being asked (id 0): an object
"""

from __future__ import annotations

import asyncio
import struct
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Callable
from typing import Any, Final, NamedTuple

import orjson

from msc.errors import JournalError
from msc.log import get_logger

log = get_logger("journal")

FRAME: Final = struct.Struct(">IIHB")
LINES, END, FAILED, TOLD = range(4)
CREDIT: Final = 16
"""Frames the child gives ahead of what its asker has taken: one who does not read holds up nobody else."""
_RESTART_S: Final = 1.0
_END_S: Final = 1.0
"""How long a child may take to end. It stands back behind all else, so on a busy machine that may be long; and there
is no harm in killing it: who searches changes nothing, and what the archivist was at is done again."""


class ChildLost(JournalError):
    """The process that searches the journal ended; it is being started again."""


class ChildRefused(JournalError):
    """The process that searches the journal cannot do what was asked."""


class Part(NamedTuple):
    """A part of an answer.

    Attributes:
        lines: Whole lines of JSON, each with its line feed: `{"item": …}`, `{"progress": …}`.
        items: How many of them are items.
        end: With the last part, facts of the whole.
    """

    lines: bytes = b""
    items: int = 0
    end: dict[str, Any] | None = None


class _Answer(NamedTuple):
    kind: int
    items: int
    body: bytes


_LOST: Final = _Answer(FAILED, 0, b"")


class JournalProcess:
    """A child of the daemon, started again when it dies.

    Args:
        name: `search` or `archive`.
        told_first: What it must know: `url`, the journal's database; for searching, `public_key`, a file.
        told: Is given what the child says without being asked.
    """

    def __init__(
        self, name: str, told_first: dict[str, str], told: Callable[[dict[str, Any]], None] = lambda _said: None
    ) -> None:
        self.name = name
        self._told_first = told_first
        self._told = told
        self._process: Process | None = None
        self._ready = asyncio.Event()
        self._asked: dict[int, asyncio.Queue[_Answer]] = {}
        self._last = 0

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
            sys.executable, "-m", "msc.journal.worker", self.name, stdin=PIPE, stdout=PIPE
        )
        assert process.stdin is not None and process.stdout is not None
        # Not as an argument, which every account of the machine can read: a URL may hold a password.
        process.stdin.write(orjson.dumps(self._told_first) + b"\n")
        self._ready.set()
        try:
            while True:
                number, length, items, kind = FRAME.unpack(await process.stdout.readexactly(FRAME.size))
                self._take(number, _Answer(kind, items, await process.stdout.readexactly(length)))
        except asyncio.IncompleteReadError:
            pass  # it has ended
        finally:
            self._ready.clear()
            for waiting in self._asked.values():
                waiting.put_nowait(_LOST)
        await process.wait()

    def _take(self, number: int, answer: _Answer) -> None:
        if answer.kind == TOLD:
            self._told(orjson.loads(answer.body))
        elif (waiting := self._asked.get(number)) is not None:
            waiting.put_nowait(answer)

    async def ask(self, verb: str, asked: dict[str, Any]) -> AsyncGenerator[Part, None]:
        """Ask the child; yields the parts of its answer as they come, the last with an `end`.

        Raises:
            ChildLost: It ended meanwhile.
            ChildRefused: It cannot do this; says why.

        Cancellation:
            Leaving the iteration early tells the child to stop.
        """
        await self._ready.wait()
        self._last = number = self._last + 1
        answers: asyncio.Queue[_Answer] = asyncio.Queue()
        self._asked[number] = answers
        ended, taken = False, 0
        try:
            self._say({"id": number, "verb": verb, "asked": asked})
            while not ended:
                kind, items, body = answer = await answers.get()
                ended = kind != LINES
                if answer is _LOST:
                    raise ChildLost("the journal's search process ended; ask again")
                if kind == FAILED:
                    raise ChildRefused(body.decode())
                yield Part(end=orjson.loads(body)) if kind == END else Part(body, items)
                taken += 1
                if taken % (CREDIT // 2) == 0:
                    self._say({"id": number, "verb": "more"})
        finally:
            del self._asked[number]
            if not ended:
                self._say({"id": number, "verb": "stop"})

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
            async with asyncio.timeout(_END_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
