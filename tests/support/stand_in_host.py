"""A stand-in for a state that misbehaves as it is told, and keeps books of all it was sent and of all it said.

A `StateBook` is one state. A `StandInHost` is the end of one line to it; several of them with one book are one state
on several lines, as primary and backup are. What a host does with a message its `Conduct` says: one for all, or one
made for each message. Whole hosts die in three ways, and come back.

Written from the published protocol page alone. As that page asks of a state host, an answer that the switch did not
acknowledge (the connection was lost, or `N` with E501, E502 or E503) is sent again, on whichever line opens next.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from tests.support.frame_end import FrameEnd, Loss
from tests.support.mtp_client import LINE_TEXT, TIMEOUT_S

SEND_AGAIN = frozenset({"E501", "E502", "E503"})
"""Codes after which the page asks a host to send its answer again."""
WINDOW = 256

GARBLES: dict[str, bytes] = {
    "no header": b"no header at all",
    "not UTF-8": b"\xff\xfe\x80\x00",
    "nothing": b"",
    "a header and no period": b"EXA1000001",
    "control characters": b"EXA1.\x00\x01\x02",
    "longer than any text": b"EXA1." + b"A" * 30_000,
}
"""What no state should ever send, and what one has sent somewhere."""


@dataclass(slots=True, eq=False)
class Taken:
    """A message as the state saw it.

    Attributes:
        number: Its place in the book; the state saw the one with the lower number first.
        connection: Which of the book's connections it came on.
        outcome: `A`, the code of our `N`, or empty while it was not answered.
    """

    number: int
    at: float
    line: str
    connection: int
    sequence: int
    raw: str
    header: str = ""
    oif: str = ""
    taf: str = ""
    text: str = ""
    outcome: str = ""

    def __post_init__(self) -> None:
        if (parts := LINE_TEXT.match(self.raw)) is not None:
            self.header, self.oif, self.taf, self.text = parts.group("header", "oif", "taf", "text")


@dataclass(slots=True, eq=False)
class Told:
    """Something the state said on a line.

    Attributes:
        payload: As it went out.
        msn: What the switch acknowledged it with, or None.
        refused: The code the switch refused it with, the last time; or empty.
        sent: How often it went out.
    """

    payload: bytes
    line: str
    at: float
    msn: int | None = None
    refused: str = ""
    sent: int = 0


@dataclass
class StateBook:
    """What one state knows, over all its lines.

    Attributes:
        taken: Every message, in the order in which it came.
        told: Everything it said.
        unsent: What it must say again when a line opens.
        later: How many answers are on their way to be late.
        opened: When which line was opened: monotonic seconds, and its name.
        faults: Where the switch broke the protocol.
    """

    taken: list[Taken] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    unsent: list[Told] = field(default_factory=list)
    opened: list[tuple[float, str]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    later: int = 0

    def __post_init__(self) -> None:
        self._connections = itertools.count(1)
        self._changed = asyncio.Event()

    def next_connection(self) -> int:
        """Number a connection."""
        return next(self._connections)

    def change(self) -> None:
        """Wake whoever waits for something in the book."""
        self._changed.set()

    async def until(self, condition: Callable[[], Any], timeout_s: float = TIMEOUT_S) -> Any:
        """Wait until a condition about the book holds; returns what it returned."""
        async with asyncio.timeout(timeout_s):
            while not (value := condition()):
                self._changed.clear()
                await self._changed.wait()
        return value

    async def taken_with(self, part: str, count: int = 1, timeout_s: float = TIMEOUT_S) -> Taken:
        """Wait for the n-th message that holds this."""
        found: list[Taken] = []

        def enough() -> bool:
            found[:] = [message for message in self.taken if part in message.raw]
            return len(found) >= count

        await self.until(enough, timeout_s)
        return found[count - 1]

    def count(self, part: str) -> int:
        """Count the messages that hold this."""
        return sum(part in message.raw for message in self.taken)


@dataclass(frozen=True, slots=True)
class Conduct:
    """What a host does with a message.

    Attributes:
        acknowledge: Whether it takes the message over; otherwise it says nothing of it until `release`.
        refuse: The code it refuses the message with instead; empty: it does not.
        answers: How often it sends each answer; none at all with 0.
        late_s: How long an answer takes.
        shuffle: Answers are kept until there are as many, and go out in the reverse order.
        header: Makes the header that answers bear; None: the message's own.
        garble: Sent before the answer, as it is.
        cut: The connection is lost this way instead of any reaction.
    """

    acknowledge: bool = True
    refuse: str = ""
    answers: int = 1
    late_s: float = 0.0
    shuffle: int = 1
    header: Callable[[Taken], str] | None = None
    garble: bytes | None = None
    cut: Loss | None = None


GOOD = Conduct()
SPEECHLESS = Conduct(answers=0)
"""Takes messages over and never answers."""


def echo(message: Taken) -> list[str]:
    """Answer with what was asked."""
    return [f"ANSWER TO {message.text}"]


class HostConnection(FrameEnd):
    """One connection that the switch made to the host."""

    def __init__(self, host: StandInHost) -> None:
        super().__init__()
        self.host, self.number = host, host.book.next_connection()
        self.is_open = False
        self.mode = ""
        self._expected = 1
        self._sequence = 0
        self._under_way: dict[int, Told] = {}
        self.kept: dict[int, Taken] = {}
        """Messages not answered yet, by their sequence."""

    def opened(self) -> None:
        self.host.connections.append(self)
        self.say(**self.host.hello())

    def received(self, kind: str, sequence: int, payload: bytes) -> None:
        host, book = self.host, self.host.book
        match kind:
            case "C":
                members = json.loads(payload)
                if members.get("type") == "open_line":
                    self.mode = members.get("mode", "")
                    self.say(type="line_open", window=host.window)
                    self.is_open = True
                    book.opened.append((time.monotonic(), host.name))
                    again, book.unsent = book.unsent, []
                    for told in again:
                        self.tell_again(told)
            case "D":
                if sequence != self._expected:
                    book.faults.append(f"{host.name}: D {sequence} where {self._expected} was due")
                self._expected = sequence + 1
                if len(self.kept) >= host.window:
                    book.faults.append(f"{host.name}: more than {host.window} messages unanswered")
                message = Taken(len(book.taken), time.monotonic(), host.name, self.number, sequence, payload.decode())
                book.taken.append(message)
                self.kept[sequence] = message
                host.react(self, message)
            case "A" | "N":
                told = self._under_way.pop(sequence, None)
                if told is None:
                    book.faults.append(f"{host.name}: {kind} for D {sequence}, which was not under way")
                elif kind == "A":
                    told.msn, told.refused = int(payload), ""
                else:
                    told.refused = json.loads(payload)["code"]
                    if told.refused in SEND_AGAIN:
                        book.unsent.append(told)
            case "Q":
                pass
            case _:
                book.faults.append(f"{host.name}: a frame of kind {kind!r}")
        book.change()

    def lost(self) -> None:
        self.is_open = False
        if self in self.host.connections:
            self.host.connections.remove(self)
        self.host.book.unsent.extend(self._under_way.values())
        self._under_way.clear()
        self.host.book.change()

    # --- what it says ----------------------------------------------------------------------------------
    def tell(self, payload: bytes) -> Told:
        """Send a text."""
        told = Told(payload, self.host.name, time.monotonic())
        self.host.book.told.append(told)
        self.tell_again(told)
        return told

    def tell_again(self, told: Told) -> None:
        """Send a text, once more if it was sent before; later if nothing can be sent now."""
        if not self.is_open or self.silent or self.transport.is_closing():
            self.host.book.unsent.append(told)
            return
        self._sequence += 1
        told.sent += 1
        told.line = self.host.name
        self._under_way[self._sequence] = told
        self.put("D", self._sequence, told.payload)

    def settle(self, message: Taken, refuse: str = "") -> None:
        """Answer a message with `A`, or with `N`; on its own connection, if that still stands."""
        if self.kept.pop(message.sequence, None) is None:
            return
        if self.silent or self.transport.is_closing():
            return
        message.outcome = refuse or "A"
        if refuse:
            self.refuse(message.sequence, refuse, "refused by the stand-in")
        else:
            self.put("A", message.sequence)


class StandInHost:
    """The end of one line.

    Args:
        name: The line's.
        book: Of the state; a new one if none is given.
        reply: Makes the answers to a message, without their header.

    Attributes:
        conduct: What it does with a message, or a function that says so for each.
        connections: Those that stand, the hanging ones among them.
    """

    def __init__(
        self,
        name: str,
        where: tuple[str, int, ssl.SSLContext],
        book: StateBook | None = None,
        *,
        reply: Callable[[Taken], list[str]] = echo,
        window: int = WINDOW,
        heartbeat_s: float = 30.0,
    ) -> None:
        self.name, self.where, self.reply = name, where, reply
        self.book = StateBook() if book is None else book
        self.window, self.heartbeat_s = window, heartbeat_s
        self.conduct: Conduct | Callable[[Taken], Conduct] = GOOD
        self.connections: list[HostConnection] = []
        self._server: asyncio.Server | None = None
        self._deaf: socket.socket | None = None
        self._shuffled: list[tuple[HostConnection, Taken, bytes]] = []

    def hello(self) -> dict[str, Any]:
        """The greeting."""
        return {
            "type": "hello", "protocol": "MTP/1", "switch": self.name, "node": "stand-in",
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "banner": "", "frame_bytes_max": 65536,
            "window": self.window, "heartbeat_s": self.heartbeat_s,
        }  # fmt: skip

    # --- coming and going ------------------------------------------------------------------------------
    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[StandInHost]:
        """Be there; at the end everything is closed, and the switch may have broken no rule."""
        await self.come_back()
        try:
            yield self
        finally:
            self.die(Loss.RESET)
            await asyncio.sleep(0)
        assert not self.book.faults, self.book.faults

    async def come_back(self) -> None:
        """Listen, as a new process would: what hung is reset."""
        host, port, context = self.where
        self._wake()
        for connection in list(self.connections):
            connection.lose(Loss.RESET)
        if self._server is None:
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(
                lambda: HostConnection(self), host, port, ssl=context, ssl_shutdown_timeout=1.0
            )

    def die(self, loss: Loss = Loss.RESET) -> None:
        """Go: every connection is lost, and there will be no other until `come_back`.

        A machine that hangs (`SILENT`) still takes connections in its kernel, and never says a word on them.
        """
        self._wake()
        if self._server is not None:
            self._server.close()
            self._server = None
        self.cut(loss)
        if loss is Loss.SILENT:
            self._deaf = socket.create_server(self.where[:2], backlog=64)

    def cut(self, loss: Loss = Loss.RESET) -> None:
        """Lose the connections that stand; the host goes on listening."""
        for connection in list(self.connections):
            connection.lose(loss)

    def _wake(self) -> None:
        if self._deaf is not None:
            self._deaf.close()
            self._deaf = None

    @property
    def open_connection(self) -> HostConnection | None:
        """The newest connection on which the line is open."""
        for connection in reversed(self.connections):
            if connection.is_open and not connection.silent:
                return connection
        return None

    async def opened(self, timeout_s: float = TIMEOUT_S) -> HostConnection:
        """Wait until the switch has opened the line, if it has not."""
        found: HostConnection = await self.book.until(lambda: self.open_connection, timeout_s)
        return found

    # --- what it does with messages --------------------------------------------------------------------
    def react(self, connection: HostConnection, message: Taken) -> None:
        """Do with a message what the conduct says."""
        conduct = self.conduct(message) if callable(self.conduct) else self.conduct
        if conduct.cut is not None:
            connection.lose(conduct.cut)
            return
        if conduct.refuse:
            connection.settle(message, conduct.refuse)
            return
        if conduct.acknowledge:
            connection.settle(message)
        if conduct.garble is not None:
            connection.tell(conduct.garble)
        header = message.header if conduct.header is None else conduct.header(message)
        for text in self.reply(message) if conduct.answers else []:
            for _ in range(conduct.answers):
                self._answer(connection, message, f"{header}.{text}".encode(), conduct)

    def _answer(self, connection: HostConnection, message: Taken, payload: bytes, conduct: Conduct) -> None:
        if conduct.late_s:
            self.book.later += 1
            asyncio.get_running_loop().call_later(conduct.late_s, self._say_late, payload)
        elif conduct.shuffle > 1:
            self._shuffled.append((connection, message, payload))
            if len(self._shuffled) >= conduct.shuffle:
                self.send_shuffled()
        else:
            connection.tell(payload)

    def send_shuffled(self) -> None:
        """Send the answers that are kept, the last first."""
        kept, self._shuffled = self._shuffled, []
        for _, _, payload in reversed(kept):
            self.say(payload)

    def _say_late(self, payload: bytes) -> None:
        self.book.later -= 1
        self.say(payload)
        self.book.change()

    def say(self, payload: bytes) -> Told:
        """Send a text on the newest open connection, or when the next one opens."""
        connection = self.open_connection
        if connection is not None:
            return connection.tell(payload)
        told = Told(payload, self.name, time.monotonic())
        self.book.told.append(told)
        self.book.unsent.append(told)
        return told

    def release(self) -> None:
        """Acknowledge everything that was left without a word."""
        for connection in self.connections:
            for message in list(connection.kept.values()):
                connection.settle(message)

    async def tell(self, text: str | bytes, timeout_s: float = TIMEOUT_S) -> Told:
        """Send a text, and wait until the switch has acknowledged or refused it."""
        told = self.say(text.encode() if isinstance(text, str) else text)
        await self.book.until(lambda: told.msn is not None or told.refused, timeout_s)
        return told

    async def answer(self, message: Taken, text: str) -> Told:
        """Answer a message by its own header."""
        return await self.tell(f"{message.header}.{text}")
