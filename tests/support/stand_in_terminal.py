"""Stand-in terminals: they send, stall, refuse, are cut off and come back, and keep books across all of it.

A `TerminalBook` is what the people at one terminal know for certain. A `StandInTerminal` stays on its connection, or
comes back to it, as long as it is told to. Written from the published protocol page alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import ssl
import time
import uuid
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from tests.support.frame_end import FrameEnd, Loss
from tests.support.mtp_client import TIMEOUT_S, Disconnected, Refused, take_apart

RECONNECT_S = 0.05
"""How soon a terminal tries again: tests have no time for the pauses of real ones."""


@dataclass(slots=True, eq=False)
class Sent:
    """A message this terminal sent.

    Attributes:
        msn: What it was acknowledged with, or None.
        refused: The code it was refused with, or empty. With neither, nobody at the terminal knows.
        connection: Number of the terminal's connection it went out on.
    """

    ref: str
    text: str
    priority: str
    at: float
    connection: int
    msn: int | None = None
    refused: str = ""


@dataclass(slots=True, eq=False)
class Arrival:
    """A message that came to this terminal.

    Attributes:
        fate: What the terminal said to it: `A`, the code of its `N`, or empty.
    """

    at: float
    connection: int
    sequence: int
    envelope: dict[str, Any]
    text: str
    fate: str = ""

    @property
    def msn(self) -> int:
        """Its number in the journal."""
        return int(self.envelope["msn"])

    @property
    def kind(self) -> str:
        """What the switch says it is."""
        return str(self.envelope["kind"])

    @property
    def flagged(self) -> bool:
        """Whether it is marked as a possible duplicate."""
        return self.envelope.get("possible_duplicate") is True


@dataclass
class TerminalBook:
    """What is known at a terminal, over all its connections.

    Attributes:
        sent: By `ref`, in the order in which it was sent.
        arrivals: Every delivery, in the order in which it came.
        faults: Where the switch broke the protocol.
    """

    sent: dict[str, Sent] = field(default_factory=dict)
    arrivals: list[Arrival] = field(default_factory=list)
    notices: list[dict[str, Any]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._changed = asyncio.Event()

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

    def acknowledged(self) -> dict[int, Sent]:
        """What the switch has taken over, by MSN, in the order in which it was sent."""
        return {sent.msn: sent for sent in self.sent.values() if sent.msn is not None}

    async def arrived(
        self, wanted: Callable[[Arrival], bool] | str, count: int = 1, timeout_s: float = TIMEOUT_S
    ) -> Arrival:
        """Wait for the n-th delivery that is wanted, or whose text holds this."""
        is_wanted = (lambda arrival: wanted in arrival.text) if isinstance(wanted, str) else wanted
        found: list[Arrival] = []

        def enough() -> bool:
            found[:] = [arrival for arrival in self.arrivals if is_wanted(arrival)]
            return len(found) >= count

        await self.until(enough, timeout_s)
        return found[count - 1]

    async def told(self, ref: str, count: int = 1, timeout_s: float = TIMEOUT_S) -> Arrival:
        """Wait for the n-th delivery that belongs to what was sent under a `ref`."""
        return await self.arrived(lambda arrival: arrival.envelope.get("ref") == ref, count, timeout_s)


def acknowledge(_: Arrival) -> str | None:
    """Take every delivery over: how a terminal behaves."""
    return "A"


class TerminalConnection(FrameEnd):
    """One connection of a terminal."""

    def __init__(self, terminal: StandInTerminal) -> None:
        super().__init__()
        self.terminal, self.number = terminal, terminal.next_connection()
        self.window = 0
        self._expected = 1
        self._sequence = 0
        self._under_way: dict[int, Sent] = {}
        self._controls: deque[dict[str, Any]] = deque()

    @property
    def room(self) -> int:
        """How many more messages may be unanswered."""
        return self.window - len(self._under_way)

    def received(self, kind: str, sequence: int, payload: bytes) -> None:
        book = self.terminal.book
        match kind:
            case "C":
                members = json.loads(payload)
                if members["type"] in ("notice", "signed_off", "locked", "error"):
                    book.notices.append(members)
                self._controls.append(members)
            case "D":
                if sequence != self._expected:
                    book.faults.append(f"D {sequence} where {self._expected} was due")
                self._expected = sequence + 1
                arrival = Arrival(time.monotonic(), self.number, sequence, *take_apart(payload))
                book.arrivals.append(arrival)
                self.terminal.react(self, arrival)
            case "A" | "N":
                sent = self._under_way.pop(sequence, None)
                if sent is None:
                    book.faults.append(f"{kind} for D {sequence}, which was not under way")
                elif kind == "A":
                    sent.msn = int(payload)
                    self.terminal.acknowledged += 1
                else:
                    sent.refused = json.loads(payload)["code"]
            case "Q":
                pass
            case _:
                book.faults.append(f"a frame of kind {kind!r}")
        book.change()

    def lost(self) -> None:
        self._under_way.clear()
        self.terminal.book.change()

    async def control(self, *types: str) -> dict[str, Any]:
        """Wait for a control message of one of these types; others before it are passed over.

        Raises:
            Disconnected: The connection ended before it came.
        """
        found: list[dict[str, Any]] = []

        def came() -> bool:
            while self._controls and not found:
                members = self._controls.popleft()
                if members["type"] in types:
                    found.append(members)
            return bool(found) or self.gone.done()

        await self.terminal.book.until(came)
        if not found:
            raise Disconnected(f"the connection ended before {types}")
        return found[0]

    def post(self, sent: Sent, envelope: dict[str, Any]) -> None:
        """Send a message; there must be room."""
        self._sequence += 1
        self._under_way[self._sequence] = sent
        self.put("D", self._sequence, json.dumps(envelope).encode() + b"\n" + sent.text.encode())

    def settle(self, arrival: Arrival, fate: str) -> None:
        """Answer a delivery with `A`, or with `N` and a code."""
        if self.silent or self.transport.is_closing():
            return
        arrival.fate = fate
        if fate == "A":
            self.put("A", arrival.sequence)
        else:
            self.refuse(arrival.sequence, fate, "out of paper")


class StandInTerminal:
    """A terminal, and the person at it.

    Attributes:
        acknowledged: How many of its messages the switch has acknowledged.
        manner: Says of each delivery `A`, a code to refuse it with, or None to leave it without a word.
    """

    def __init__(
        self, device: str, user: str, password: str, where: tuple[str, int, ssl.SSLContext], mnemonic: str = ""
    ) -> None:
        self.device, self.user, self.password, self.mnemonic = device, user, password, mnemonic
        self.where = where
        self.book = TerminalBook()
        self.manner: Callable[[Arrival], str | None] = acknowledge
        self.connection: TerminalConnection | None = None
        self.session: dict[str, Any] = {}
        self._connections: list[TerminalConnection] = []
        self._numbers = itertools.count(1)
        self.acknowledged = 0
        self._name = uuid.uuid4().hex[:8]  # what an earlier test left undelivered must not look like ours
        self._refs = 0

    def next_connection(self) -> int:
        """Number a connection."""
        return next(self._numbers)

    # --- coming and going ------------------------------------------------------------------------------
    async def come(self) -> TerminalConnection:
        """Connect and sign on.

        Raises:
            Disconnected: Nobody is there, or whoever was has gone.
            Refused: The switch does not let the person in.
        """
        host, port, context = self.where
        try:
            async with asyncio.timeout(TIMEOUT_S):
                _, connection = await asyncio.get_running_loop().create_connection(
                    lambda: TerminalConnection(self), host, port, ssl=context, server_hostname="",
                    ssl_shutdown_timeout=1.0,
                )  # fmt: skip
        except (OSError, TimeoutError) as exc:
            raise Disconnected(str(exc)) from exc
        try:
            hello = await connection.control("hello")
            connection.say(
                type="sign_on", user=self.user, password=self.password, banner_accepted=True,
                terminal={"mac": "02005E0000AA"},
            )  # fmt: skip
            told = await connection.control("signed_on", "refused")
        except BaseException:
            connection.lose(Loss.RESET)
            raise
        if told["type"] == "refused":
            connection.lose(Loss.CLOSED)
            raise Refused(told["code"], told["reason"])
        connection.window = hello["window"]
        self.session, self.connection = told, connection
        self._connections = [one for one in self._connections if not one.gone.done()] + [connection]
        self.book.change()
        return connection

    async def come_back(self, timeout_s: float = TIMEOUT_S) -> None:
        """Come after a loss: the switch may take a moment to see that the old connection is gone (E107).

        Raises:
            Refused: It still does not let the person in.
        """
        until = time.monotonic() + timeout_s
        while True:
            try:
                await self.come()
            except Refused as refused:
                if refused.code != "E107" or time.monotonic() > until:
                    raise
                await asyncio.sleep(RECONNECT_S)
            else:
                return

    async def stay(self) -> None:
        """Be there until cancelled: whenever the connection is lost, come back."""
        while True:
            connection = None
            try:
                connection = await self.come()
                await asyncio.shield(connection.gone)
            except (Disconnected, Refused, TimeoutError):
                await asyncio.sleep(RECONNECT_S)
            finally:
                if connection is not None and not connection.gone.done():
                    connection.lose(Loss.CLOSED)

    @contextlib.asynccontextmanager
    async def present(self) -> AsyncIterator[StandInTerminal]:
        """Be signed on; at the end go, and the switch may have broken no rule."""
        await self.come_back()
        try:
            yield self
        finally:
            await self.go()
            await self.leave_nothing()
        assert not self.book.faults, self.book.faults

    async def go(self, loss: Loss = Loss.CLOSED) -> None:
        """Leave."""
        if self.connection is not None:
            connection, self.connection = self.connection, None
            connection.lose(loss)
            if loss is not Loss.SILENT:
                await connection.gone

    async def leave_nothing(self) -> None:
        """End the connections that hang."""
        for connection in self._connections:
            if not connection.gone.done():
                connection.lose(Loss.RESET)
                await connection.gone
        self._connections.clear()

    # --- messages --------------------------------------------------------------------------------------
    @property
    def room(self) -> int:
        """How many messages may be sent now."""
        connection = self.connection
        if connection is None or connection.transport.is_closing() or connection.silent:
            return 0
        return connection.room

    def post(self, text: str, **envelope: Any) -> Sent:
        """Send a message; there must be room. Its `ref` is new unless one is given."""
        assert self.connection is not None
        self._refs += 1
        envelope.setdefault("ref", f"{self._name}-{self._refs}")
        sent = Sent(
            envelope["ref"], text, envelope.get("priority", "routine"), time.monotonic(), self.connection.number
        )
        self.book.sent[sent.ref] = sent
        self.connection.post(sent, envelope)
        return sent

    async def send(self, text: str, **envelope: Any) -> Sent:
        """Send a message, and wait until the switch has acknowledged it.

        Raises:
            Refused: The switch refused it.
            Disconnected: The connection was lost before it said anything.
        """
        connection = self.connection
        assert connection is not None
        sent = self.post(text, **envelope)
        await self.book.until(lambda: sent.msn is not None or sent.refused or connection.gone.done())
        if sent.refused:
            raise Refused(sent.refused, "see the book")
        if sent.msn is None:
            raise Disconnected("the connection ended before a word about it")
        return sent

    def react(self, connection: TerminalConnection, arrival: Arrival) -> None:
        """Do with a delivery what the manner says."""
        fate = self.manner(arrival)
        if fate is not None:
            connection.settle(arrival, fate)

    def release(self) -> None:
        """Acknowledge everything of this connection that was left without a word."""
        connection = self.connection
        assert connection is not None
        for arrival in self.book.arrivals:
            if arrival.connection == connection.number and not arrival.fate:
                connection.settle(arrival, "A")
