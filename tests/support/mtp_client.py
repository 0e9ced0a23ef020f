"""An MTP/1 client and a stand-in state host, written from the published protocol page alone.

Nothing here knows the switch's code: frames, sessions and line texts are built from what the page says, with
asyncio streams. So a fault shared by both ends of the switch's own protocol room cannot hide in these tests.

```
 0         4      5          9
 | length  | kind | sequence | payload
   u32 BE   1 byte   u32 BE       length counts what follows it
```
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import re
import ssl
import struct
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Self, TypeVar

TIMEOUT_S = 10.0
"""How long anything that should happen may take; generous, because tests share two cores."""

Item = TypeVar("Item")
HEAD = struct.Struct(">IcI")
LINE_TEXT = re.compile(
    r"\A(?P<header>[A-Z0-9]{4,10})\.\*(?P<oif>[A-Z0-9]{6})\.#(?P<taf>[A-Z0-9]{6,18})\.(?P<text>.*)\Z", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame as it stands on the wire."""

    kind: str
    sequence: int
    payload: bytes

    def control(self) -> dict[str, Any]:
        """Return a control frame's JSON object."""
        assert self.kind == "C", self
        members = json.loads(self.payload)
        assert isinstance(members, dict) and isinstance(members.get("type"), str), members
        return members


def frame(kind: str, sequence: int = 0, payload: bytes = b"") -> bytes:
    """Write a frame."""
    return HEAD.pack(len(payload) + 5, kind.encode("latin-1"), sequence) + payload


def control(**members: Any) -> bytes:
    """Write a control frame."""
    return frame("C", 0, json.dumps(members).encode())


def totp(secret: str, at: float | None = None) -> str:
    """Compute a one-time code (RFC 6238: SHA-1, 30 s, six digits)."""
    step = int((time.time() if at is None else at) // 30)
    digest = hmac.new(base64.b32decode(secret), struct.pack(">Q", step), hashlib.sha1).digest()
    at_byte = digest[-1] & 0xF
    return f"{(struct.unpack_from('>I', digest, at_byte)[0] & 0x7FFFFFFF) % 1_000_000:06d}"


class Refused(Exception):
    """The switch said `N` or `refused`."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(f"{code} {reason}")
        self.code, self.reason = code, reason


class Disconnected(Exception):
    """The other end closed the connection while something was awaited."""


class Wire:
    """A TLS connection that speaks frames and nothing else: for tests that misbehave."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def connect(cls, host: str, port: int, context: ssl.SSLContext) -> Self:
        """Connect and shake hands."""
        async with asyncio.timeout(TIMEOUT_S):
            pair = await asyncio.open_connection(
                host, port, ssl=context, server_hostname="" if not context.check_hostname else host,
                ssl_shutdown_timeout=1.0,
            )  # fmt: skip
        return cls(*pair)

    async def read(self) -> Frame | None:
        """Read a frame; None at the end of the connection."""
        try:
            length, kind, sequence = HEAD.unpack(await self.reader.readexactly(HEAD.size))
            assert length >= 5, length
            payload = await self.reader.readexactly(length - 5)
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            return None
        return Frame(kind.decode("latin-1"), sequence, payload)

    async def read_soon(self, timeout_s: float = TIMEOUT_S) -> Frame | None:
        """Read a frame, or fail if none and no end comes in time."""
        async with asyncio.timeout(timeout_s):
            return await self.read()

    async def rest(self, timeout_s: float = TIMEOUT_S) -> list[Frame]:
        """Read frames until the other end closes."""
        frames = []
        async with asyncio.timeout(timeout_s):
            while (received := await self.read()) is not None:
                frames.append(received)
        return frames

    async def write(self, data: bytes) -> None:
        """Write bytes as they are."""
        try:
            self.writer.write(data)
            async with asyncio.timeout(TIMEOUT_S):
                await self.writer.drain()
        except (ConnectionError, ssl.SSLError) as exc:
            raise Disconnected(str(exc)) from exc

    async def close(self) -> None:
        """Close in order."""
        with contextlib.suppress(ConnectionError, ssl.SSLError, TimeoutError):
            self.writer.close()
            async with asyncio.timeout(2):
                await self.writer.wait_closed()

    async def abort(self) -> None:
        """Cut the connection without a word."""
        self.writer.transport.abort()
        with contextlib.suppress(ConnectionError, ssl.SSLError, TimeoutError):
            async with asyncio.timeout(2):
                await self.writer.wait_closed()


@dataclass(frozen=True, slots=True)
class Delivery:
    """A `D` from the switch."""

    sequence: int
    envelope: dict[str, Any]
    text: str

    @property
    def kind(self) -> str:
        """What the switch says it is."""
        return str(self.envelope.get("kind"))


def take_apart(payload: bytes) -> tuple[dict[str, Any], str]:
    """Part a data payload into envelope and text."""
    if not payload.startswith(b"{"):
        return {}, payload.decode()
    envelope, _, text = payload.partition(b"\n")
    return json.loads(envelope), text.decode()


class _Inbox(Generic[Item]):
    """What arrived and was not asked for yet. Waiting is by predicate, so order between kinds does not matter."""

    def __init__(self) -> None:
        self.items: list[Item] = []
        self.over = False
        self._changed = asyncio.Event()

    def put(self, item: Item) -> None:
        self.items.append(item)
        self._changed.set()

    def end(self) -> None:
        self.over = True
        self._changed.set()

    async def take(self, wanted: Callable[[Item], bool], timeout_s: float) -> Item:
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    for at, item in enumerate(self.items):
                        if wanted(item):
                            return self.items.pop(at)
                    if self.over:
                        raise Disconnected(f"nothing more will come; unread: {self.items}")
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"nothing wanted came in {timeout_s} s; unread: {self.items}") from None


class Station:
    """A terminal, printer or host at its end of a connection.

    Attributes:
        hello: The switch's greeting.
        deliveries: Every `D` received, in order.
        auto_ack: Whether each `D` is acknowledged as it comes.
    """

    def __init__(self, wire: Wire, *, auto_ack: bool = True) -> None:
        self.wire, self.auto_ack = wire, auto_ack
        self.hello: dict[str, Any] = {}
        self.deliveries: list[Delivery] = []
        self.controls: list[dict[str, Any]] = []
        self.answers: dict[int, asyncio.Future[int]] = {}
        self._sequence = 0
        self._controls: _Inbox[dict[str, Any]] = _Inbox()
        self._data: _Inbox[Delivery] = _Inbox()
        self._reader = asyncio.create_task(self._read())

    async def greeted(self) -> dict[str, Any]:
        """Wait for the switch's hello."""
        self.hello = await self.control("hello")
        return self.hello

    # --- what arrives ---------------------------------------------------------------------------
    async def _read(self) -> None:
        try:
            expected = 1
            while (received := await self.wire.read()) is not None:
                match received.kind:
                    case "C":
                        assert received.sequence == 0, received
                        self.controls.append(received.control())
                        self._controls.put(received.control())
                    case "D":
                        assert received.sequence == expected, f"expected D {expected}, got {received}"
                        expected += 1
                        delivery = Delivery(received.sequence, *take_apart(received.payload))
                        self.deliveries.append(delivery)
                        self._data.put(delivery)
                        if self.auto_ack:
                            await self.ack(delivery)
                    case "A":
                        self.answers[received.sequence].set_result(int(received.payload.decode("ascii")))
                    case "N":
                        told = json.loads(received.payload)
                        refused = Refused(told["code"], told["reason"])
                        self.answers[received.sequence].set_exception(refused)
                        self.answers[received.sequence].exception()
                    case "P":
                        await self.wire.write(frame("Q", received.sequence))
                    case "Q":
                        pass
                    case other:
                        raise AssertionError(f"the switch sent a frame of kind {other!r}")
        except Disconnected:
            pass
        finally:
            self._controls.end()
            self._data.end()
            for answer in self.answers.values():
                if not answer.done():
                    answer.set_exception(Disconnected("the connection ended"))
                    answer.exception()

    async def control(self, *types: str, timeout_s: float = TIMEOUT_S) -> dict[str, Any]:
        """Wait for a control message of one of these types."""
        return await self._controls.take(lambda members: members["type"] in types, timeout_s)

    async def any_control(self, timeout_s: float = TIMEOUT_S) -> dict[str, Any]:
        """Wait for the next control message, whatever its type."""
        return await self._controls.take(lambda _: True, timeout_s)

    async def receive(
        self, wanted: Callable[[Delivery], bool] = lambda _: True, timeout_s: float = TIMEOUT_S
    ) -> Delivery:
        """Wait for a delivery."""
        return await self._data.take(wanted, timeout_s)

    async def answer_to(self, ref: str, timeout_s: float = TIMEOUT_S) -> Delivery:
        """Wait for a delivery that carries our `ref`."""
        return await self.receive(lambda d: d.envelope.get("ref") == ref, timeout_s)

    async def ended(self, timeout_s: float = TIMEOUT_S) -> None:
        """Wait for the switch to close the connection."""
        async with asyncio.timeout(timeout_s):
            await asyncio.shield(self._reader)

    # --- what is sent ---------------------------------------------------------------------------
    async def say(self, **members: Any) -> None:
        """Send a control message."""
        await self.wire.write(control(**members))

    async def sign_on(self, user: str, password: str, **more: Any) -> dict[str, Any]:
        """Sign a user on.

        Raises:
            Refused: With the code.
        """
        members = {"banner_accepted": True, "terminal": {"mac": "02005E0000AA"}} | more
        await self.say(type="sign_on", user=user, password=password, **members)
        told = await self.control("signed_on", "refused")
        if told["type"] == "refused":
            assert told["to"] == "sign_on", told
            raise Refused(told["code"], told["reason"])
        return told

    async def receipts(self, msn: int, **more: Any) -> dict[str, Any]:
        """Ask what has become of a message.

        Raises:
            Refused: With the code.
        """
        await self.say(type="receipts", msn=msn, **more)
        told = await self.control("receipts", "refused")
        if told["type"] == "refused":
            assert told["to"] == "receipts", told
            raise Refused(told["code"], told["reason"])
        return told

    async def open(self) -> dict[str, Any]:
        """Open a printer's or host's connection."""
        await self.say(type="open")
        told = await self.control("opened", "refused")
        if told["type"] == "refused":
            raise Refused(told["code"], told["reason"])
        return told

    async def sign_off(self) -> dict[str, Any]:
        """Sign the terminal's user off."""
        await self.say(type="sign_off")
        return await self.control("signed_off")

    async def post(self, text: str | bytes, envelope: Mapping[str, Any] | None = None) -> asyncio.Future[int]:
        """Send a `D` and return the future of its MSN, which raises Refused for an `N`."""
        self._sequence += 1
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.answers[self._sequence] = answer
        body = text.encode() if isinstance(text, str) else text
        head = b"" if envelope is None else json.dumps(envelope).encode() + b"\n"
        await self.wire.write(frame("D", self._sequence, head + body))
        return answer

    async def send(self, text: str | bytes, envelope: Mapping[str, Any] | None = None) -> int:
        """Send a `D` and wait for its MSN.

        Raises:
            Refused: The switch answered `N`.
        """
        answer = await self.post(text, envelope)
        async with asyncio.timeout(TIMEOUT_S):
            return await answer

    @property
    def sequence(self) -> int:
        """The sequence of the last `D` sent."""
        return self._sequence

    async def ack(self, delivery: Delivery) -> None:
        """Acknowledge a delivery."""
        await self.wire.write(frame("A", delivery.sequence))

    async def nak(self, delivery: Delivery, code: str = "E599") -> None:
        """Refuse a delivery."""
        payload = json.dumps({"code": code, "reason": "out of paper"}).encode()
        await self.wire.write(frame("N", delivery.sequence, payload))

    # --- the end --------------------------------------------------------------------------------
    async def close(self) -> None:
        """Close in order."""
        await self.wire.close()
        await self._finish()

    async def abort(self) -> None:
        """Cut the connection."""
        await self.wire.abort()
        await self._finish()

    async def _finish(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2):
                await asyncio.shield(self._reader)
        self._reader.cancel()
        outcome = (await asyncio.gather(self._reader, return_exceptions=True))[0]
        if isinstance(outcome, Exception):
            raise outcome


# --- the far end of a line ------------------------------------------------------------------------


@dataclass(slots=True)
class LineMessage:
    """A `D` the switch sent down a line, taken apart as the page says a line text is built."""

    link: Link
    sequence: int
    raw: str
    header: str = ""
    oif: str = ""
    taf: str = ""
    text: str = ""

    def __post_init__(self) -> None:
        if (parts := LINE_TEXT.match(self.raw)) is not None:
            self.header, self.oif, self.taf, self.text = parts.group("header", "oif", "taf", "text")


class Link:
    """One connection the switch made to the stand-in state host."""

    def __init__(self, wire: Wire, host: StateHost) -> None:
        self.wire, self.host = wire, host
        self.opened: dict[str, Any] = {}
        self.sequence = 0
        self.answers: dict[int, asyncio.Future[str]] = {}

    async def serve(self) -> None:
        await self.wire.write(control(**self.host.hello()))
        received = await self.wire.read()
        if received is None:
            return
        self.opened = received.control()
        assert self.opened["type"] == "open_line", self.opened
        await self.wire.write(control(type="line_open", window=256))
        self.host.link_opened(self)
        expected = 1
        while (received := await self.wire.read()) is not None:
            match received.kind:
                case "D":
                    assert received.sequence == expected, received
                    expected += 1
                    await self.host.received(LineMessage(self, received.sequence, received.payload.decode()))
                case "A":
                    assert received.payload.isdigit() or not received.payload, received
                    self.answers[received.sequence].set_result("")
                case "N":
                    self.answers[received.sequence].set_result(json.loads(received.payload)["code"])
                case "P":
                    await self.wire.write(frame("Q", received.sequence))
                case "C" | "Q":
                    pass
                case _:
                    raise AssertionError(f"unknown kind on a line: {received}")

    async def send(self, text: str) -> str:
        """Send a `D` up the line; return "" once the switch acknowledged it, or the code of its `N`."""
        self.sequence += 1
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.answers[self.sequence] = answer
        await self.wire.write(frame("D", self.sequence, text.encode()))
        async with asyncio.timeout(TIMEOUT_S):
            return await answer


@dataclass
class StateHost:
    """A stand-in for the host at the end of a line. Use `running()`.

    Attributes:
        auto_ack: Whether each `D` is acknowledged as it comes.
        reply: Makes the answers to a message, without their header; None keeps silent.
    """

    name: str
    auto_ack: bool = True
    reply: Callable[[LineMessage], list[str]] | None = None
    messages: list[LineMessage] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    faults: list[BaseException] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._inbox: _Inbox[LineMessage] = _Inbox()
        self._up: _Inbox[Link] = _Inbox()
        self._serving: set[asyncio.Task[None]] = set()

    def hello(self) -> dict[str, Any]:
        """The greeting of a host."""
        return {
            "type": "hello", "protocol": "MTP/1", "switch": self.name, "node": "stand-in",
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "banner": "", "frame_bytes_max": 65536,
            "window": 256, "heartbeat_s": 30,
        }  # fmt: skip

    @contextlib.asynccontextmanager
    async def running(self, host: str, port: int, context: ssl.SSLContext) -> AsyncIterator[Self]:
        """Listen on the line's port; everything is closed at the end."""
        server = await asyncio.start_server(self._accept, host, port, ssl=context, ssl_shutdown_timeout=1.0)
        try:
            yield self
        finally:
            server.close()
            for link in list(self.links):
                await link.wire.abort()
            for task in list(self._serving):
                task.cancel()
            await asyncio.gather(*self._serving, return_exceptions=True)
        assert not self.faults, self.faults

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        link = Link(Wire(reader, writer), self)
        try:
            await link.serve()
        except (Disconnected, asyncio.CancelledError):
            pass
        except BaseException as exc:
            self.faults.append(exc)
        finally:
            if link in self.links:
                self.links.remove(link)
            writer.transport.abort()
            self._serving.discard(task)

    def link_opened(self, link: Link) -> None:
        """Note that the switch opened the line."""
        self.links.append(link)
        self._up.put(link)

    async def received(self, message: LineMessage) -> None:
        """Take a message in."""
        self.messages.append(message)
        self._inbox.put(message)
        if self.auto_ack:
            await self.ack(message)
        if self.reply is not None:
            for text in self.reply(message):
                message.link.sequence += 1
                waiting = asyncio.get_running_loop().create_future()
                message.link.answers[message.link.sequence] = waiting
                body = f"{message.header}.{text}".encode()
                await message.link.wire.write(frame("D", message.link.sequence, body))

    async def up(self, timeout_s: float = TIMEOUT_S) -> Link:
        """Wait for the switch to open the line (once for each time it does)."""
        return await self._up.take(lambda _: True, timeout_s)

    async def receive(
        self, wanted: Callable[[LineMessage], bool] = lambda _: True, timeout_s: float = TIMEOUT_S
    ) -> LineMessage:
        """Wait for a message of the switch."""
        return await self._inbox.take(wanted, timeout_s)

    async def holding(self, part: str, timeout_s: float = TIMEOUT_S) -> LineMessage:
        """Wait for a message whose text holds this."""
        return await self.receive(lambda m: part in m.raw, timeout_s)

    async def ack(self, message: LineMessage) -> None:
        """Acknowledge a message."""
        await message.link.wire.write(frame("A", message.sequence))

    async def nak(self, message: LineMessage, code: str = "E405", reason: str = "not accepted") -> None:
        """Refuse a message."""
        payload = json.dumps({"code": code, "reason": reason}).encode()
        await message.link.wire.write(frame("N", message.sequence, payload))

    async def answer(self, message: LineMessage, text: str) -> None:
        """Answer a message; returns once the switch has acknowledged the answer."""
        code = await message.link.send(f"{message.header}.{text}")
        assert code == "", code
