"""Unsolicited messages from standard input: each line is sent over the line that is open.

    EXA1000000.$.A.MEET AT THE NORTH GATE          from the state, or the only simulator that runs
    ncic EXA1000000.$.H.DELAYED HIT\\nMKE/WANTED    from NCIC (or the line so called); \\n is a line break
    # anything                                     passed over, and so are empty lines

A thread reads, because an event loop cannot wait for every kind of standard input (a file, a closed one,
`/dev/null`), and because it would make a terminal non-blocking for everyone who shares it. The thread reads
the descriptor itself: the interpreter cannot end while a thread holds the lock of `sys.stdin`.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Mapping
from typing import Final

from msc.errors import Refusal
from msc.lab.simulators.host import StateHost
from msc.limits import TEXT_CHARS_MAX
from msc.log import get_logger

log = get_logger("simulators")

LINE_BYTES_MAX: Final = 2 * TEXT_CHARS_MAX
"""Line breaks take two characters here; a longer line is not a message, and ends the reading."""

READ_BYTES: Final = 4_096


def read_lines(descriptor: int, loop: asyncio.AbstractEventLoop, take: Callable[[str], None]) -> threading.Thread:
    """Begin to read lines, and call `take` in the loop with each, until the input ends.

    Args:
        descriptor: What to read; it stays open. None needs to be there: a closed one is an ended one.
        loop: A running loop. When it is closed, the reading ends with the next line.
        take: Called in the loop.

    Returns:
        The thread, which keeps no process alive.
    """
    thread = threading.Thread(target=_read, args=(descriptor, loop, take), name="unsolicited", daemon=True)
    thread.start()
    return thread


def _read(descriptor: int, loop: asyncio.AbstractEventLoop, take: Callable[[str], None]) -> None:
    rest = b""
    try:
        while data := os.read(descriptor, READ_BYTES):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                _hand_over(line, loop, take)
            if len(rest) > LINE_BYTES_MAX:
                log.warning("simulator.input_ended", reason="a line is too long")
                return
        _hand_over(rest, loop, take)
    except OSError:
        pass  # closed, or a terminal that is another process's: nobody types here
    except RuntimeError:
        pass  # the loop is closed


def _hand_over(line: bytes, loop: asyncio.AbstractEventLoop, take: Callable[[str], None]) -> None:
    """Give a line to the loop and wait until it was taken, so that a long file does not fill the memory."""
    text = line.decode("utf-8", "replace").strip()
    if not text:
        return
    taken = threading.Event()

    def take_and_tell() -> None:
        try:
            take(text)
        finally:
            taken.set()

    loop.call_soon_threadsafe(take_and_tell)
    while not taken.wait(1.0):
        if loop.is_closed():
            return


def send_line(hosts: Mapping[str, StateHost], line: str) -> None:
    """Send what one line of input says; what is wrong with it goes to the log.

    Args:
        hosts: The simulators by name and by line; the first is the one a line without a name means.
        line: As the module describes.
    """
    if line.startswith("#") or not hosts:
        return
    name, blank, text = line.partition(" ")
    host = hosts.get(name) if blank else None
    if host is None:
        host, text = next(iter(hosts.values())), line
    try:
        host.send_unsolicited(text.replace("\\n", "\n"))
    except Refusal as refusal:
        log.warning("simulator.unsolicited_refused", simulator=host.name, code=refusal.code, reason=refusal.reason)
    else:
        log.info("simulator.unsolicited_sent", simulator=host.name)
