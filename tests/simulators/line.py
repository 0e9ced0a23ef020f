"""The switch's end of a line for tests: our own `UpstreamLine`, told of everything by this."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from typing import Literal

from msc.errors import Refusal
from msc.link.connection import Sweeper
from msc.link.line import UpstreamLine
from msc.settings import LineSettings

HEAD = "EXA1000001.*J40217.#02RVXUF."


def line_settings(
    port: int = 0, *, name: str = "clets-a", mode: Literal["production", "test"] = "production", window: int = 8
) -> LineSettings:
    """Make a line's settings; port 0 lets the system choose."""
    return LineSettings(
        name=name, host="127.0.0.1", port=port, peer="msc://host/clets-a", mode=mode, window=window,
        reconnect_first_s=0.01, reconnect_last_s=0.01,
    )  # fmt: skip


class SwitchEnd:
    """Keeps what a line tells it, and acknowledges messages where it is told to.

    Attributes:
        messages: Texts that came, each once it was acknowledged or refused (or left alone).
        answered: For each message of ours, in the order of the answers: None, or why it was refused.
        refusal: What to refuse messages with; None acknowledges them.
        silent: Whether messages are left unanswered.
    """

    def __init__(self) -> None:
        self.messages: asyncio.Queue[str] = asyncio.Queue()
        self.answered: asyncio.Queue[str | None] = asyncio.Queue()
        self.opened: asyncio.Queue[None] = asyncio.Queue()
        self.order: list[str] = []
        self.refusal: Refusal | None = None
        self.silent = False

    def line_opened(self, line: UpstreamLine) -> None:
        self.opened.put_nowait(None)

    def line_lost(self, line: UpstreamLine, reason: str) -> None:
        pass

    def line_message(self, line: UpstreamLine, sequence: int, payload: bytes) -> None:
        if not self.silent:
            line.answer(line.connection, sequence, self.refusal or len(self.order) + 1)
        self.order.append("D")
        self.messages.put_nowait(payload.decode())

    def line_answered(self, line: UpstreamLine, sequence: int, refused: str | None) -> None:
        self.order.append("A" if refused is None else "N")
        self.answered.put_nowait(refused)

    def line_writable(self, line: UpstreamLine) -> None:
        pass

    async def ask(self, line: UpstreamLine, text: str, answers: int = 1) -> list[str]:
        """Send a message with our head, and return the texts of its answers."""
        line.send((HEAD + text).encode())
        assert await self.answered.get() is None
        return [await self.messages.get() for _ in range(answers)]


@contextlib.asynccontextmanager
async def dialled(settings: LineSettings, context: ssl.SSLContext, end: SwitchEnd) -> AsyncIterator[UpstreamLine]:
    """Run a line; it connects, and connects again, while the block lasts."""
    sweeper = Sweeper()
    sweeper.start()
    line = UpstreamLine(settings, context, "msc-test", end, sweeper, lambda _: None)
    task = asyncio.get_running_loop().create_task(line.run())
    try:
        yield line
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        sweeper.stop()
