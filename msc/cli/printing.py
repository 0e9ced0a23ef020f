"""Printing what the journal answered: the one print path (N-PRINT)."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from msc import clock
from msc.cli.common import Exit, err, fail
from msc.cli.question import Question
from msc.report.paper import print_messages
from msc.report.sheet import Front
from msc.report.words import criteria_in_words
from msc.settings import Settings

Entries = AsyncIterator[dict[str, Any]]


async def print_pdf(
    settings: Settings,
    question: Question,
    title: str,
    entries: Entries,
    file: Path,
    completeness: Callable[[], str],
    notes: Sequence[tuple[str, str]] = (),
) -> int:
    """Print messages to a file as they come; returns how many. Nothing is left of a print that broke off."""
    # Asked for before anything is drawn: with the first answer comes the role of who asks.
    first = await _next(entries)
    front = Front(
        settings.switch.name, title, question.name or "", question.role, question.reason or "", clock.wall_us(),
        criteria_in_words(question.criteria), notes,
    )  # fmt: skip
    loop = asyncio.get_running_loop()

    def read() -> Iterator[dict[str, Any]]:
        # The printer draws in a thread of its own, and asks here for one message after the other.
        entry = first
        while entry is not None:
            yield entry
            entry = asyncio.run_coroutine_threadsafe(_next(entries), loop).result()

    def draw() -> int:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:
            return print_messages(stream, read(), front, completeness).messages

    try:
        printed = await asyncio.to_thread(draw)
    except OSError as exc:
        fail(f"{file}: cannot be written: {exc.strerror}", Exit.USAGE)
    except BaseException:
        file.unlink(missing_ok=True)
        raise
    err.print(f"printed: {file}, {printed} messages", style="dim", markup=False)
    return printed


async def _next(entries: Entries) -> dict[str, Any] | None:
    return await anext(entries, None)
