"""Operators with their keys, a journal desk with a handful of messages, and a served administrative socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from msc import clock
from msc.audit import AuditEvent
from msc.control.gate import Gate
from msc.control.journal_desk import JournalCounter, Part
from msc.control.operator_key import OperatorKey
from msc.control.pipeline import Pipeline
from msc.control.retention_desk import RetentionCounter
from msc.control.routing_desk import RoutingCounter
from msc.control.sign_in import SignIn
from msc.control.socket import AdminSocket, reachable
from msc.control.switching_desk import SwitchingCounter
from msc.directory.rows import Directory
from msc.pki.authority import Authority, CertificateProfile
from msc.pki.revocation import RevocationList
from msc.pki.trust import Trust
from msc.settings import AdminSettings, Settings
from msc.switch.orders.verb import Order, Outcome

PROFILE = CertificateProfile(organization="Example", curve="P-256", authority_days=30, certificate_days=9)
AUTHORITY = Authority.create(PROFILE)
STRANGER = Authority.create(PROFILE)
"""An authority of the same name that nobody here trusts."""


def issue(uri: str, authority: Authority = AUTHORITY, *, ago: timedelta | None = None, days: int = 9) -> OperatorKey:
    """Make a key and a certificate for it; `ago` makes one that began then."""
    begins: datetime | None = None if ago is None else AUTHORITY.certificate.not_valid_before_utc - ago
    made = authority.issue(uri, days=days, valid_from=begins)
    key = serialization.load_pem_private_key(made.key, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return OperatorKey(uri.rpartition("/")[2], x509.load_pem_x509_certificate(made.certificate), key)


def operator(name: str) -> OperatorKey:
    """Make an operator's key, of the site's authority."""
    return issue(f"msc://operator/{name}")


def write_key(key: OperatorKey, folder: Path, passphrase: str | None = None) -> tuple[Path, Path]:
    """Write certificate and key as files, as an operator has them."""
    sealed: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase is not None:
        sealed = serialization.BestAvailableEncryption(passphrase.encode())
    certificate, file = folder / f"{key.name}.pem", folder / f"{key.name}.key"
    certificate.write_bytes(key.certificate.public_bytes(serialization.Encoding.PEM))
    file.write_bytes(key.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, sealed))
    file.chmod(0o600)
    return certificate, file


@dataclass
class Anchor:
    """What is trusted, and revoked when a test says so."""

    revoked: set[tuple[str, int]] = field(default_factory=set)

    def revoke(self, key: OperatorKey) -> None:
        """Revoke a certificate."""
        self.revoked.add((key.certificate.issuer.rfc4514_string(), key.certificate.serial_number))

    def trust(self) -> Trust:
        """Return what is trusted now."""
        return Trust([AUTHORITY.certificate], RevocationList(frozenset(self.revoked)))


MESSAGES = [
    {"msn": 1, "agency": "EXLP", "text": "LIC/ZZ0001X"},
    {"msn": 2, "agency": "SHERIFF", "text": "NAM/SPECIMEN"},
    {"msn": 3, "agency": "EXLP", "text": "LIC/ZZ0002X"},
    {"msn": 4, "agency": None, "text": "TEST"},
]


class FakeDesk:
    """Answers from `MESSAGES`, and keeps what it was asked.

    Attributes:
        hold: While it is not set, nothing comes after the first part.
        fault: Raised instead of an answer.
        left: Set when a question was given up before its end.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.hold = asyncio.Event()
        self.hold.set()
        self.fault: Exception | None = None
        self.left = asyncio.Event()

    async def ask(self, verb: str, asked: dict[str, Any]) -> AsyncGenerator[Part, None]:
        """Answer with the messages, those in scope; nothing else of the criteria is looked at but the agency."""
        self.asked.append((verb, asked))
        criteria = asked.get("criteria", {})
        scope = criteria.get("scope", asked.get("scope"))
        wanted = criteria.get("agency")
        of_those = [row for row in MESSAGES if scope in (None, row["agency"]) and wanted in (None, row["agency"])]
        found = [row for row in of_those if asked.get("msn") in (None, row["msn"])]
        try:
            for number, row in enumerate(found):
                if number:
                    await self.hold.wait()
                if self.fault is not None:
                    raise self.fault
                yield Part(json.dumps({"item": row}).encode() + b"\n", 1)
            await self.hold.wait()
            yield Part(end={"complete": True})
        except (GeneratorExit, asyncio.CancelledError):
            self.left.set()
            raise


@dataclass(frozen=True)
class Report:
    """A session, as the desk of stations tells of it."""

    session: str
    user: str


class FakeStations:
    """A desk with one session."""

    def __init__(self) -> None:
        self.ended: list[str] = []

    def sessions(self) -> list[Any]:
        """Return the one."""
        return [Report("s1", "J40217")]

    def end_session(self, session_id: str, reason: str, asked: str | None = None) -> bool:
        """End it."""
        self.ended.append(session_id)
        return session_id == "s1"


class FakeOperations:
    """Does nothing, and keeps what it was told to do.

    Attributes:
        outcome: What comes of every order.
        fault: Raised instead.
    """

    def __init__(self) -> None:
        self.orders: list[Order] = []
        self.outcome = Outcome({"done": True}, before={"held": False}, after={"held": True})
        self.fault: Exception | None = None

    async def perform(self, order: Order) -> Outcome:
        """Keep an order."""
        self.orders.append(order)
        if self.fault is not None:
            raise self.fault
        return self.outcome


class Served:
    """A served administrative socket, and what it told the auditors.

    Attributes:
        durable: Whether records become durable.
    """

    def __init__(
        self,
        file: Path,
        directory: Directory,
        now: Callable[[], float] = clock.monotonic,
        group: str | None = None,
        routing: Callable[[Served, Gate], RoutingCounter] | None = None,
        retention: Callable[[Served, Gate], RetentionCounter] | None = None,
    ) -> None:
        self.audited: list[AuditEvent] = []
        self.durable = True
        self.anchor = Anchor()
        self.directory = directory
        self.desk = FakeDesk()
        self.stations = FakeStations()
        self.sign_in = SignIn(directory, self.anchor.trust, now)
        gate = Gate(self.sign_in, self.audited.append, now)
        self.counter = JournalCounter(gate, self.desk, directory, self.audited.append, self.journaled)
        self.operations = FakeOperations()
        self.socket = AdminSocket(
            file, self.stations, lambda: 7, gate, self.audited.append, self.counter, group=group,
            routing=routing(self, gate) if routing is not None else None,
            switching=SwitchingCounter(gate, self.operations, Pipeline(self.audited.append, self.journaled)),
            retention=retention(self, gate) if retention is not None else None,
        )  # fmt: skip
        self.file = file
        self.settings = Settings.model_construct(admin=AdminSettings(socket=file))

    async def journaled(self, event: AuditEvent) -> bool:
        """Take a record; tells whether it is durable."""
        self.audited.append(event)
        return self.durable

    def events(self, name: str) -> list[AuditEvent]:
        """Return what was told of one kind."""
        return [event for event in self.audited if event.event == name]

    async def send(
        self,
        method: str,
        path: str,
        content: Any = None,
        *,
        key: OperatorKey | None = None,
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
        signed: bytes | None = None,
        to: str | None = None,
    ) -> httpx.Response:
        """Send a request as it is told, right or wrong.

        Args:
            body: Sent instead of `content`.
            signed: What is signed, if not the body.
            to: Where it is sent, if not to the path that is signed.
        """
        content = body if body is not None else json.dumps(content or {}).encode()
        with reachable(self.file) as place:
            transport = httpx.AsyncHTTPTransport(uds=place)
            async with httpx.AsyncClient(transport=transport, base_url="http://switch", timeout=20) as client:
                if key is not None and headers is None:
                    nonce = (await client.get("/challenge")).json()["nonce"]
                    proof = key.proof(nonce, method, path, content if signed is None else signed)
                    headers = proof.headers()
                return await client.request(method, to or path, content=content, headers=headers)


@asynccontextmanager
async def served(
    folder: Path,
    directory: Directory,
    now: Callable[[], float] = clock.monotonic,
    group: str | None = None,
    routing: Callable[[Served, Gate], RoutingCounter] | None = None,
    retention: Callable[[Served, Gate], RetentionCounter] | None = None,
) -> AsyncIterator[Served]:
    """Serve an administrative socket."""
    found = Served(folder / "admin.sock", directory, now, group, routing, retention)
    found.socket.bind()
    task = asyncio.create_task(found.socket.run())
    try:
        async with asyncio.timeout(60):
            yield found
    finally:
        found.desk.hold.set()
        found.socket.stop()
        await asyncio.wait_for(task, 20)
