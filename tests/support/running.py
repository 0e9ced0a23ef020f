"""A switch over a real journal without sockets, put together as the daemon does it; and messages of a county."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msc import clock
from msc.access.control_point import AccessControlPoint
from msc.audit import AuditEvent
from msc.directory.store import DirectoryStore
from msc.journal.database.opening import open_writing
from msc.journal.recall import Recalled, recent_transactions, unfinished
from msc.journal.record import StepsRecord
from msc.journal.writer import JournalWriter
from msc.metrics import Metrics
from msc.protocol.catalog import load_catalog
from msc.routing.plan import PlanFiles, load_plan
from msc.settings import (
    AlarmSettings,
    HitConfirmationSettings,
    LineSettings,
    ListenerSettings,
    QueueSettings,
    Settings,
)
from msc.switch import recovery
from msc.switch.assemble import Assembled, assemble
from msc.switch.trunk import Trunk
from msc.transit.event import NO_FACTS, Event, Facts, Life
from msc.transit.message import Direction, MessageRecord
from msc.transit.service_state import load_services
from msc.transit.transaction import Stay, Transaction
from tests.support.county import county
from tests.support.journal import SIGNER, enter, events_of, reading, records_of
from tests.support.port import FakeLine

CONFIG = Path(__file__).parents[2] / "config"
CATALOG = load_catalog(CONFIG / "catalog")
DAY_S = 86_400.0
TEXT = "IW.QW.CA0980000.NAM/DOE,JOHN"
ON_LINE = "A12300000H.*J40217.#02RVXUF." + TEXT
"""`inquiry()` as it goes on a line."""
SETTINGS = Settings.model_construct(
    listener=ListenerSettings(port=1),
    queue=QueueSettings(bulletin_s=DAY_S),
    hit_confirmation=HitConfirmationSettings(escalate_to="printer-1"),
    alarms=AlarmSettings(),
    line=[
        LineSettings(name=name, host="127.0.0.1", port=1, peer=f"msc://host/{name}") for name in ("clets-a", "ncic-a")
    ],
)

FROM_HOST: dict[str, Any] = {
    "device": "cad-1", "mnemonic": "CD01", "header": "CD0100000H", "own_header": "CD01A00017",
    "text": "CD01A00017.*J40217.#0A0000010017.IW.QW.CA0980000.NAM/DOE,JOHN", "taf": "0A0000010017",
}  # fmt: skip


def inquiry(**members: Any) -> MessageRecord:
    """Return an inquiry of a terminal."""
    row = MessageRecord(
        msn=17, received=1_000_000, direction=Direction.OUTBOUND, kind="inquiry", device="desk-1", user="J40217",
        agency="EXLP", ori="CA0980000", mnemonic="A123", header="A12300000H", oif="J40217", taf="02RVXUF", key="QW",
        system="IW", database="WPS", text=TEXT, transaction=17, ref="R-1", priority="urgent", sequence=3,
        session="s1",
    )  # fmt: skip
    return row._replace(**members)


def update(**members: Any) -> MessageRecord:
    """Return an entry of a terminal."""
    return inquiry(
        kind="entry", key="EV", system="IA", text="IA.EV.CA0980000.LIC/7ABC123.OCA/26-17.DTE/20260131", **members
    )


def happened(record: MessageRecord, *lives: Life, destination: str = "line:clets-a") -> list[Event]:
    """Return events of a message at one destination."""
    return [Event(record.msn, record.received, life, destination) for life in lives]


def routed(record: MessageRecord, *lives: Life, destination: str = "line:clets-a") -> list[Event]:
    """Return that a message was routed somewhere, and what happened to it there."""
    return happened(record, Life.ROUTED, *lives, destination=destination)


def on_its_way(record: MessageRecord, destination: str, facts: Facts = NO_FACTS, *lives: Life) -> Stay:
    """Return a message at a destination."""
    events = [Event(record.msn, record.received, Life.ROUTED, destination, facts)]
    return Transaction.replay(record, [*events, *happened(record, *lives, destination=destination)]).stays[
        destination
    ]


class Restarted:
    """A switch as a restart makes it; its line takes nothing yet."""

    parts: Assembled

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.line = FakeLine("clets-a", room=0)
        self.settings = SETTINGS

    async def start(self) -> None:
        """Open the journal, and put the switch together."""
        self.url = f"sqlite+aiosqlite:///{self.folder / 'journal.db'}"
        self.journal = open_writing(self.url)
        self.metrics = Metrics()
        self.writer = JournalWriter(self.journal, SIGNER, self.metrics)
        await self.writer.open()
        directory = county()
        self.directory_store = DirectoryStore(f"sqlite+aiosqlite:///{self.folder / 'directory.db'}")
        self.audited: list[AuditEvent] = []
        self.point = AccessControlPoint(directory, self.directory_store, self.audited.append)
        self.parts = parts = assemble(
            self.settings,
            catalog=CATALOG,
            services=load_services(CONFIG / "service.toml", {key.database for key in CATALOG}),
            plan=load_plan(PlanFiles(CONFIG / "routes.toml"), CATALOG, ("clets-a", "ncic-a"), None),
            point=self.point,
            writer=self.writer,
            metrics=self.metrics,
            look=lambda _msn: _nothing(),
            line_states=dict,
            examine=lambda _peer: None,
        )
        self.transit, self.deliveries, self.board = parts.transit, parts.deliveries, parts.board
        self.confirmations, self.services, self.traffic = parts.confirmations, parts.services, parts.traffic
        self.switch, self.lifecycle = parts.switch, parts.switch.lifecycle
        self.traffic.connect([Trunk([self.line])])

    async def journaled_before(self, record: MessageRecord, *events: Event) -> None:
        """Enter a message and its life as a switch did that ran before this one."""
        own = tuple(event for event in events if event.msn == record.msn)
        await self.journal.close()
        await enter(self.url, record, *([StepsRecord(record.msn, own[-1].at, own)] if own else []))
        await self.writer.open()

    async def recover(self, since_us: int = 0) -> list[Recalled]:
        """Take up what had not ended, and store what comes of it."""
        async with reading(self.url) as reader:
            recent = await recent_transactions(reader, since_us)
            found = (await unfinished(reader, self.writer.owed)).messages
        self.parts.recovery.take_up(recent.messages, found)
        self.writer.close()
        await self.writer.run()
        return found

    async def stop(self) -> None:
        """Let go of everything."""
        await self.point.close()
        await self.journal.close()
        await self.directory_store.close()

    def waiting(self, address: str) -> list[Stay]:
        """Take what waits for an address."""
        outbox = self.deliveries.outboxes.get(address)
        messages = []
        while outbox is not None and (message := outbox.take()) is not None:
            messages.append(message)
        return messages


class Running(Restarted):
    """A switch at work: its two lines take ten messages each."""

    async def start(self) -> None:
        """Begin, and open the lines."""
        await super().start()
        self.line.room = 10
        self.other = FakeLine("ncic-a")
        self.traffic.connect([Trunk([self.line]), Trunk([self.other])])
        for line in (self.line, self.other):
            self.traffic.line_opened(line)

    def asked(self, **members: Any) -> Stay:
        """Return an inquiry that is in the journal, and meant for the line."""
        record = inquiry(**members)
        record = record._replace(events=tuple(routed(record)))
        transaction = Transaction(
            record, key=recovery.key_of(record, CATALOG), address=recovery.address_of(record, self.point.directory)
        )
        self.transit.begin(transaction, clock.monotonic())
        return transaction.stays["line:clets-a"]

    def ask(self, **members: Any) -> Stay:
        """Send an inquiry on the line."""
        stay = self.asked(**members)
        self.traffic.send([stay])
        return stay

    async def journaled(self) -> None:
        """Let what waits be committed."""
        self.writer.close()
        await self.writer.run()

    def told(self, address: str = "device:desk-1") -> list[str]:
        """Take what the originator is told."""
        return [message.text for message in self.waiting(address)]

    async def events(self) -> list[Event]:
        """Return the events the journal holds, each message's as they were written."""
        return list(events_of(await records_of(self.url)))

    async def texts(self) -> list[str]:
        """Return the texts of the messages the journal holds."""
        return [record.text for record in await records_of(self.url) if isinstance(record, MessageRecord)]


async def _nothing() -> None:
    return None
