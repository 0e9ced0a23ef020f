"""The child's side of `msc.journal.process`: `python -m msc.journal.worker search|archive`.

It ends when its standard input is closed: when the daemon ends, however it ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import os
import signal
import sys
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson

from msc.errors import MSCError
from msc.journal.process import CREDIT, END, FAILED, FRAME, LINES, TOLD
from msc.log import configure, get_logger

if TYPE_CHECKING:
    from msc.journal.answers import Answers

log = get_logger("journal")

_NICE: Final = 15
"""How far the archivist stands back behind the daemon where both want the processor."""
_ARCHIVE_POLL_S: Final = 1.0
_ARCHIVE_RETRY_LAST_S: Final = 60.0
"""What cannot be archived now is tried again ever less often; meanwhile it stands in the tail."""
_LINE_BYTES_MAX: Final = 1024 * 1024
_ITEMS_AT_ONCE: Final = 50
_BYTES_AT_ONCE: Final = 65_536
"""A frame is sent when it holds so much, or when nothing more is there at the moment."""


class _Outbox:
    """Standard output, a frame at a time; waits while the daemon does not read.

    Once the daemon is gone nobody hears what is said; that standard input is closed tells so everywhere else.
    """

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    async def say(self, number: int, kind: int, body: bytes, items: int = 0) -> None:
        with contextlib.suppress(ConnectionError):
            self._writer.write(FRAME.pack(number, len(body), items, kind) + body)
            await self._writer.drain()


async def _streams() -> tuple[asyncio.StreamReader, _Outbox]:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=_LINE_BYTES_MAX)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, sys.stdout)
    return reader, _Outbox(asyncio.StreamWriter(transport, protocol, None, loop))


async def _archive() -> None:
    """Archive, a step a second, and say what stands in blocks."""
    from msc.journal.archive import Archivist
    from msc.journal.database.opening import open_archiving

    reader, out = await _streams()
    database = open_archiving(orjson.loads(await reader.readline())["url"])
    archivist = Archivist(database)
    told, pause = 0, _ARCHIVE_POLL_S
    closed = asyncio.ensure_future(reader.read())
    while not closed.done():
        try:
            archived = await archivist.step()
            pause = _ARCHIVE_POLL_S
        except MSCError as exc:
            pause = min(2 * pause, _ARCHIVE_RETRY_LAST_S)
            log.error("archive.failed", error=str(exc), again_s=pause)
            archivist = Archivist(database)
        else:
            if archived > told:
                told = archived
                await out.say(0, TOLD, orjson.dumps({"archived": archived}))
                continue
        await asyncio.wait([closed], timeout=pause)
    await database.close()


@dataclass(slots=True)
class _Answering:
    """One question that is being answered."""

    task: asyncio.Task[None]
    credit: asyncio.Semaphore


async def _search() -> None:
    """Answer questions until nobody can ask any more."""
    from msc.journal.answers import Answers

    reader, out = await _streams()
    answers = Answers(**orjson.loads(await reader.readline()))
    under_way: dict[int, _Answering] = {}
    while line := await reader.readline():
        asked = orjson.loads(line)
        number, verb = asked["id"], asked["verb"]
        answering = under_way.get(number)
        if verb == "more":
            if answering is not None:
                for _ in range(CREDIT // 2):
                    answering.credit.release()
        elif verb == "stop":
            if answering is not None:
                answering.task.cancel()
        else:
            credit = asyncio.Semaphore(CREDIT)
            task = asyncio.ensure_future(_answer(out, asked, answers, credit))
            under_way[number] = _Answering(task, credit)
            task.add_done_callback(functools.partial(_forget, under_way, number))
    tasks = [answering.task for answering in under_way.values()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await answers.close()


def _forget(under_way: dict[int, _Answering], number: int, _task: asyncio.Task[None]) -> None:
    under_way.pop(number, None)


async def _answer(out: _Outbox, asked: dict[str, Any], answers: Answers, credit: asyncio.Semaphore) -> None:
    """Answer a question in full frames, but let nothing wait in one for what takes long."""
    number = asked["id"]
    lines: list[bytes] = []
    items = size = 0

    async def send() -> None:
        nonlocal items, size
        if lines:
            await credit.acquire()
            await out.say(number, LINES, b"".join(lines), items)
            lines.clear()
            items = size = 0

    try:
        async for line in answers.answer(asked["verb"], asked["asked"]):
            if "end" in line:
                await send()
                await out.say(number, END, orjson.dumps(line["end"]))
                return
            written = orjson.dumps(line) + b"\n"
            lines.append(written)
            items, size = items + ("item" in line), size + len(written)
            if "item" not in line or items >= _ITEMS_AT_ONCE or size >= _BYTES_AT_ONCE:
                await send()
    except MSCError as exc:
        await out.say(number, FAILED, str(exc).encode())
    except Exception as exc:
        # Where, but not what: an exception's words may be what was searched for.
        where = traceback.extract_tb(exc.__traceback__)[-1]
        log.error("search.failed", error=type(exc).__name__, where=f"{where.filename}:{where.lineno}")
        await out.say(number, FAILED, f"a fault of MSC itself ({type(exc).__name__}); see the switch's log".encode())


def main() -> None:
    """Run the child that the argument names."""
    configure()
    if sys.argv[1] == "archive":
        os.nice(_NICE)
    else:
        # Only where nobody else wants the processor: a message never waits for a search.
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    # Records by the ten thousand, none of them in a cycle: looking for cycles among them took half of the time.
    gc.freeze()
    gc.set_threshold(500_000, 20, 100)
    # A terminal's interrupt goes to all its processes; the daemon says when to end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asyncio.run(_archive() if sys.argv[1] == "archive" else _search())


if __name__ == "__main__":
    main()
