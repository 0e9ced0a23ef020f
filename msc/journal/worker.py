"""The child's side of `msc.journal.process`: `python -m msc.journal.worker search|archive URL`.

It ends when its standard input is closed: when the daemon ends, however it ends.
"""

from __future__ import annotations

import asyncio
import os
import sys
import traceback
from collections.abc import AsyncIterator
from typing import Any, Final

import orjson

from msc.errors import MSCError
from msc.journal.process import CREDIT
from msc.log import configure, get_logger

log = get_logger("journal")

_NICE: Final = 10
"""How far a child stands back behind the daemon where both want the processor."""
_ARCHIVE_POLL_S: Final = 1.0
_LINE_BYTES_MAX: Final = 1024 * 1024


class _Outbox:
    """Standard output, a line at a time; waits while the daemon does not read."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    async def say(self, line: dict[str, Any]) -> None:
        self._writer.write(orjson.dumps(line) + b"\n")
        await self._writer.drain()


async def _streams() -> tuple[asyncio.StreamReader, _Outbox]:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=_LINE_BYTES_MAX)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, sys.stdout)
    return reader, _Outbox(asyncio.StreamWriter(transport, protocol, None, loop))


async def _archive(url: str) -> None:
    """Archive, a step a second, and say what stands in blocks."""
    from msc.journal.archive import Archivist
    from msc.journal.database.opening import open_archiving

    reader, out = await _streams()
    database = open_archiving(url)
    archivist = Archivist(database)
    told = 0
    closed = asyncio.ensure_future(reader.read())
    while not closed.done():
        try:
            archived = await archivist.step()
        except MSCError as exc:
            log.error("archive.failed", error=str(exc))
            archivist = Archivist(database)
        else:
            if archived > told:
                told = archived
                await out.say({"archived": archived})
                continue
        await asyncio.wait([closed], timeout=_ARCHIVE_POLL_S)
    await database.close()


class _Answering:
    """One question that is being answered."""

    def __init__(self, task: asyncio.Task[None], credit: asyncio.Semaphore) -> None:
        self.task = task
        self.credit = credit


async def _search(url: str) -> None:
    """Answer questions until nobody can ask any more."""
    from msc.journal.answers import Answers

    reader, out = await _streams()
    answers = Answers(url)
    open_: dict[int, _Answering] = {}
    while line := await reader.readline():
        asked = orjson.loads(line)
        number, verb = asked["id"], asked["verb"]
        under_way = open_.get(number)
        if verb == "more":
            if under_way is not None:
                for _ in range(CREDIT // 2):
                    under_way.credit.release()
        elif verb == "stop":
            if under_way is not None:
                under_way.task.cancel()
        else:
            credit = asyncio.Semaphore(CREDIT)
            answer = answers.answer(verb, asked["asked"])
            task = asyncio.ensure_future(_answer(out, number, answer, credit))
            open_[number] = _Answering(task, credit)
            task.add_done_callback(lambda _task, number=number: open_.pop(number, None))
    for under_way in list(open_.values()):
        under_way.task.cancel()
    await asyncio.gather(*(one.task for one in open_.values()), return_exceptions=True)
    await answers.close()


async def _answer(
    out: _Outbox, number: int, answer: AsyncIterator[dict[str, Any]], credit: asyncio.Semaphore
) -> None:
    try:
        async for line in answer:
            await credit.acquire()
            await out.say({"id": number, **line})
    except MSCError as exc:
        await out.say({"id": number, "error": str(exc)})
    except Exception as exc:
        # Where, but not what: an exception's words may be what was searched for.
        where = traceback.extract_tb(exc.__traceback__)[-1]
        log.error("search.failed", error=type(exc).__name__, where=f"{where.filename}:{where.lineno}")
        await out.say({"id": number, "error": f"a fault of MSC itself: {type(exc).__name__}"})


def main() -> None:
    """Run the child that the arguments name."""
    name, url = sys.argv[1:]
    configure()
    os.nice(_NICE)
    asyncio.run(_archive(url) if name == "archive" else _search(url))


if __name__ == "__main__":
    main()
