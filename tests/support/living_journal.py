"""A journal that lives: written, archived and let go of in any order, beside a model that knows all it holds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from random import Random
from typing import Any

from msc import clock
from msc.errors import JournalError
from msc.journal.archive import Archivist
from msc.journal.criteria import AuditCriteria, Criteria
from msc.journal.index.match import matches, matches_audit
from msc.journal.ledger import Ledger
from msc.journal.record import AuditRecord, Record, StepsRecord
from msc.transit.event import Event, Facts, Life
from msc.transit.message import Direction, MessageRecord
from tests.journal.index.records import AGENCIES, LONG, TEXTS
from tests.support.journal import SIGNER
from tests.support.memory_journal import MemoryJournal

SECOND = 1_000_000
DAY = 86_400 * SECOND
START = clock.parse_rfc3339("2026-09-20")
FACTS: tuple[Facts, ...] = ({}, {}, {"why": "O'BRIEN left"}, {"answer": 7, "late": True})
LIVES = [life.value for life in Life if life != Life.RECEIVED]
DESTINATIONS = (None, "device:T1", "device:T2", "line:CLETS", "line:T1", "user:J1")
MEMBERS: dict[str, Any] = {
    "direction": [direction.value for direction in Direction],
    "kind": ("inquiry", "response"),
    "device": (None, "T1", "T2"),
    "line": (None, "CLETS", "T1"),
    "user": (None, "J1", "J2"),
    "agency": AGENCIES,
    "header": (None, "CD01", "CD02"),
    "own_header": (None, "CD01", "XX99"),
    "key": (None, "QW", "QV"),
    "system": (None, "IW"),
    "database": (None, "WPS"),
    "code": (None, "E401"),
    "requester": (None, "J1", LONG, "TWO\nLINES"),
    "text": TEXTS,
    "session": (None, "s1"),
}
AUDIT_MEMBERS: dict[str, Any] = {
    "event": ("sign_on.granted", "sign_on.refused", "handshake.refused", "user.changed"),
    "device": (None, "T1"),
    "user": (None, "J1", "J2"),
    "source": (None, "10.0.0.1"),
    "code": (None, "E201"),
    "detail": (None, "revision 7, 7ABC-123", "O'BRIEN left"),
    "subject": (None, "user J1", "J1", "device T1", LONG),
    "reason": (None, "left the agency", "case 12-345"),
    "agency": AGENCIES,
}


class LivingJournal:
    """A journal in memory, and what it must answer.

    Args:
        records: How many records it comes to hold.
        random: Decides what they are, and what happens.

    Attributes:
        messages: All messages with the events of their lives, by MSN.
        audits: All audit events, by seq.
        now: Wall time of the last record.
        left: How many records were not written yet.
    """

    def __init__(self, records: int, random: Random) -> None:
        self.database = MemoryJournal()
        self.random = random
        self.messages: dict[int, tuple[MessageRecord, list[Event]]] = {}
        self.audits: dict[int, AuditRecord] = {}
        self.now = START
        self.left = records
        self._ledger = Ledger(bytes(16), SIGNER)
        self._archivist = Archivist(self.database)

    @property
    def seq(self) -> int:
        """The last record's position."""
        return self._ledger.seq

    async def write(self, count: int) -> None:
        """Write some records; events belong to any message so far."""
        count = min(count, self.left)
        self.left -= count
        records = [self._record() for _ in range(count)]
        found = self._ledger.enter([(0, record) for record in records])
        for seq, record in zip(
            range(self._ledger.seq - len(records) + 1, self._ledger.seq + 1), records, strict=True
        ):
            if isinstance(record, AuditRecord):
                self.audits[seq] = record
        if found.checkpoints:
            await self._commit(found.rows, found.checkpoints)
        else:
            await self.database.commit(found.rows)

    def _record(self) -> Record:
        """Make a record. The clock is set back now and then; and months pass."""
        choice = self.random.choice
        gap = choice((1, 1, SECOND, SECOND, 3600 * SECOND, DAY, 20 * DAY, -2 * DAY))
        self.now = max(self.now + gap, START)
        kind = choice((MessageRecord, MessageRecord, StepsRecord, StepsRecord, StepsRecord, AuditRecord))
        if kind is AuditRecord:
            return AuditRecord(self.now, **{name: choice(values) for name, values in AUDIT_MEMBERS.items()})
        if kind is StepsRecord and self.messages:
            # Of a message just sent, or of one sent long ago.
            msn = choice(
                (len(self.messages), max(1, len(self.messages) - 3), self.random.choice(list(self.messages)))
            )
            events = tuple(
                Event(msn, self.now - late, choice(LIVES), choice(DESTINATIONS), choice(FACTS))
                for late in choice(((0,), (0,), (SECOND, 0), (0, 0, 0)))
            )
            self.messages[msn][1].extend(events)
            return StepsRecord(msn, self.now, events)
        msn = len(self.messages) + 1
        members = {name: choice(values) for name, values in MEMBERS.items()}
        own = tuple(Event(msn, self.now, Life.ROUTED, choice(DESTINATIONS)) for _ in range(choice((0, 1, 1, 2))))
        message = MessageRecord(
            msn, self.now, transaction=choice((msn, max(1, msn - 1), None)), **members, events=own
        )
        self.messages[msn] = message, [Event(msn, self.now, Life.RECEIVED), *own]
        return message

    async def state(self) -> None:
        """Sign a checkpoint over all of it."""
        await self._commit((), [])

    async def _commit(self, rows: Sequence[Any], checkpoints: list[Any]) -> None:
        checkpoints = [*checkpoints, self._ledger.checkpoint(self.now)]
        await self.database.commit(rows, checkpoints=checkpoints, state=self._ledger.state())

    async def archive(self, *, interrupted: bool = False) -> None:
        """Let the archivist take a step, or begin one that ends at a write of the database."""
        if not interrupted:
            await self._archivist.step(at_least=1)
            return
        broken = Interrupted(self.database, self.random.randrange(4))
        try:
            await Archivist(broken).step(at_least=1)  # type: ignore[arg-type]
        except Interruption:
            self._archivist = Archivist(self.database)

    async def drop(self) -> None:
        """Let go of what stands in blocks, or of some of it."""
        archived = max((month.last for month in await self.database.months()), default=0)
        await self.database.commit((), drop_to=self.random.choice((archived, archived, archived // 2)))

    async def live(self) -> None:
        """Let something happen."""
        match self.random.randrange(8):
            case 0 | 1 | 2:
                await self.write(self.random.randrange(1, 8))
            case 3 | 4:
                await self.state()
            case 5:
                await self.archive(interrupted=self.random.random() < 0.3)
            case 6:
                await self.archive()
            case _:
                await self.drop()

    async def turn_over(self) -> None:
        """Write something, and move all there is into blocks."""
        await self.write(self.random.randrange(1, 6))
        await self.state()
        await self.archive()
        await self.drop()

    # --- what must be found -----------------------------------------------------------------------

    def wanted(self, criteria: Criteria) -> list[int]:
        """Return the MSNs of the messages that match, rising."""
        return [msn for msn, (message, events) in self.messages.items() if matches(criteria, message, events)]

    def wanted_audits(self, criteria: AuditCriteria) -> list[int]:
        """Return the seqs of the audit events that match, rising."""
        return [seq for seq, record in self.audits.items() if matches_audit(criteria, record)]

    def times(self) -> Iterable[int]:
        """Return the times of all messages and audit events."""
        yield from (message.received for message, _ in self.messages.values())
        yield from (record.at for record in self.audits.values())


class Interruption(JournalError):
    """The archivist is interrupted here."""


class Interrupted:
    """A database that takes a number of writes and fails the next, before or after it is stored."""

    def __init__(self, database: MemoryJournal, writes: int) -> None:
        self._database = database
        self._left = writes

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)

    async def store(self, *arguments: Any) -> None:
        """Store, or do not."""
        if self._left == 0:
            raise Interruption
        self._left -= 1
        await self._database.store(*arguments)
        if self._left == 0 and len(arguments) % 2:
            raise Interruption
