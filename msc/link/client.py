"""A station's client over TLS: for the command line, the demo, tests and load."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from msc.errors import MSCError
from msc.limits import FRAME_BYTES_MAX, HANDSHAKE_S, STATION_WINDOW, TLS_SHUTDOWN_S
from msc.link.connection import Connection, Sweeper
from msc.protocol.control import (
    Control,
    ErrorNotice,
    Hello,
    Open,
    Opened,
    Refused,
    SignedOff,
    SignedOn,
    SignOff,
    SignOn,
)
from msc.protocol.envelope import encode_payload, split_payload
from msc.protocol.session import (
    ControlReceived,
    Event,
    MessageAcknowledged,
    MessageReceived,
    MessageRefused,
)
from msc.protocol.station import StationClient

Reply = TypeVar("Reply", bound=Control)


class Disconnected(MSCError):
    """The switch cannot be reached, or has ended the connection."""


class RefusedByPeer(MSCError):
    """The switch has refused a request."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(f"{code} {reason}")
        self.code = code
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Delivered:
    """A message the switch delivered: its envelope and text."""

    envelope: dict[str, Any]
    text: str

    @property
    def kind(self) -> str:
        """The envelope's `kind`."""
        return str(self.envelope.get("kind", ""))


_THE_END: Final = Delivered({}, "")
"""Stands in the inbox behind the last message of a connection that has ended."""


class Client(Connection[StationClient]):
    """One connection of a station. Messages that come are acknowledged and put into `inbox`."""

    def __init__(self, sweeper: Sweeper) -> None:
        super().__init__(sweeper)
        self.session: StationClient
        self.inbox: asyncio.Queue[Delivered] = asyncio.Queue()
        self.hello: asyncio.Future[Hello] = self._loop.create_future()
        self._controls: asyncio.Queue[Control] = asyncio.Queue()
        self._sent: dict[int, asyncio.Future[int]] = {}
        self._reason = ""

    @classmethod
    async def connect(cls, host: str, port: int, context: ssl.SSLContext) -> Client:
        """Connect and wait for the switch's greeting.

        Raises:
            Disconnected: It cannot be reached, or refuses the certificate.
        """
        sweeper = Sweeper()
        try:
            async with asyncio.timeout(HANDSHAKE_S):
                _, client = await asyncio.get_running_loop().create_connection(
                    lambda: cls(sweeper),
                    host,
                    port,
                    ssl=context,
                    server_hostname="",
                    ssl_shutdown_timeout=TLS_SHUTDOWN_S,
                )
                await client.hello
        except (OSError, TimeoutError) as exc:
            raise Disconnected(f"no switch answers on {host}:{port} ({type(exc).__name__})") from exc
        sweeper.start()
        return client

    # --- requests ---------------------------------------------------------------------------------

    async def sign_on(self, user: str, password: str, **members: Any) -> SignedOn:
        """Sign an operator on, accepting the banner.

        Args:
            user: User id.
            password: Theirs.
            members: Further members of `sign_on`: `otp`, `new_password`, `mnemonic`, `pool`, `terminal`.

        Raises:
            RefusedByPeer: The switch says no.
            Disconnected: The connection has ended.
        """
        members = {name: value for name, value in members.items() if value is not None}
        request = {"user": user, "password": password, "banner_accepted": True, **members}
        return await self.ask(SignOn.model_validate(request), SignedOn)

    async def open(self) -> Opened:
        """Open a printer's or host's connection for messages.

        Raises:
            RefusedByPeer, Disconnected: As `sign_on`.
        """
        return await self.ask(Open(), Opened)

    async def sign_off(self) -> SignedOff:
        """End the operator's session.

        Raises:
            RefusedByPeer, Disconnected: As `sign_on`.
        """
        return await self.ask(SignOff(), SignedOff)

    async def ask(self, message: Control, reply: type[Reply]) -> Reply:
        """Send a control message and wait for its reply; other control messages are passed over.

        Raises:
            RefusedByPeer: The switch says no.
            Disconnected: The connection has ended.
        """
        if self.closed:
            raise Disconnected(self._reason)
        self.session.send_control(message)
        self.flush()
        while True:
            answer = await self._controls.get()
            if isinstance(answer, reply):
                return answer
            if isinstance(answer, Refused) and answer.to == message.type:
                raise RefusedByPeer(answer.code, answer.reason)
            if isinstance(answer, ErrorNotice):
                raise Disconnected(f"{answer.code} {answer.reason}")

    async def send(self, text: str, envelope: dict[str, Any] | None = None) -> int:
        """Send a message and wait until the switch has it in its journal.

        Returns:
            Its MSN.

        Raises:
            RefusedByPeer: The switch refused it.
            Disconnected: The connection ended first; whether it was stored is not known.
        """
        if self.closed:
            raise Disconnected(self._reason)
        sequence = self.session.send_message(encode_payload(envelope, text))
        answer: asyncio.Future[int] = self._loop.create_future()
        self._sent[sequence] = answer
        self.flush()
        return await answer

    async def receive(self) -> Delivered:
        """Wait for the next message.

        Raises:
            Disconnected: The connection has ended, and every message that came was received.
        """
        if self.inbox.empty() and self.closed:
            raise Disconnected(self._reason)
        message = await self.inbox.get()
        if message is _THE_END:
            raise Disconnected(self._reason)
        return message

    # --- what comes -------------------------------------------------------------------------------

    def open_session(self, now: float) -> StationClient:
        """Begin."""
        self.session = StationClient(now, frame_bytes_max=FRAME_BYTES_MAX, window=STATION_WINDOW)
        return self.session

    def handle(self, event: Event) -> None:
        """Sort what came."""
        if isinstance(event, MessageReceived):
            members, text = split_payload(event.payload)
            self.session.acknowledge(event.sequence)
            self.inbox.put_nowait(Delivered(members or {}, text.decode("utf-8", "replace")))
        elif isinstance(event, MessageAcknowledged):
            self._sent.pop(event.sequence).set_result(int(event.payload or b"0"))
        elif isinstance(event, MessageRefused):
            self._sent.pop(event.sequence).set_exception(RefusedByPeer(event.code, event.reason))
        elif isinstance(event, ControlReceived):
            if isinstance(event.message, Hello):
                self.hello.set_result(event.message)
            else:
                self._controls.put_nowait(event.message)

    def lost(self, reason: str) -> None:
        """The connection has ended: so does whatever still waits."""
        self._reason = reason
        self._sweeper.stop()
        self._controls.put_nowait(ErrorNotice(code="", reason=reason))
        self.inbox.put_nowait(_THE_END)
        waiting: list[asyncio.Future[Any]] = [*self._sent.values(), self.hello]
        for answer in waiting:
            if not answer.done():
                answer.set_exception(Disconnected(reason))
                answer.exception()  # whoever no longer waits need not be told
        self._sent.clear()
