"""Journals for tests, made as the switch makes them: synthetic messages through a `Ledger` into a database.

builder = JournalBuilder(database)
await builder.fill("2026-10-30", days=4, per_day=100)      # commits, checkpoints, sealings
await builder.archive()                                     # what is checkpointed goes from tail to blocks
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from msc import clock
from msc.journal.block import RECORDS, pack
from msc.journal.database.layout import CheckpointRow, JournalDatabase, Month, TailRow
from msc.journal.ledger import Ledger
from msc.journal.proof.canonical import decode
from msc.journal.proof.checkpoint import Signatories, Signer, Statement, read_checkpoint
from msc.journal.record import AuditRecord, Record
from msc.journal.reindex import reindex
from msc.transit.event import Event, Life
from msc.transit.message import Direction, MessageRecord
from tests.support.journal import recorded

SECOND: Final = 1_000_000
DAY: Final = 86_400 * SECOND


def new_signer() -> Signer:
    """Make a signing key."""
    return Signer(Ed25519PrivateKey.generate())


def signatories_of(*signers: Signer) -> Signatories:
    """Make the public side of signing keys."""
    return Signatories(signer.key.public_key() for signer in signers)


def an_inquiry(msn: int, at: int, rng: Random) -> list[Record | Event]:
    """Make what an inquiry to the state leaves: the message and its events."""
    number = rng.randrange(20)
    plate = "".join(rng.choices("ABCDEFGHJKLMNPRSTUVWXYZ0123456789", k=7))
    message = MessageRecord(
        msn, at, Direction.OUTBOUND, "inquiry", f"T{number:02}", None, f"U{rng.randrange(50):03}", "BAYPD",
        "CA0990100", f"BA{number:02}", f"{msn % 10_000_000:010}", None, f"{msn % 10_000:04}", "0101", "QV", "IV",
        "vehicle", f"QV.CA0990100.LIC/{plate}.LIS/CA", msn, f"r{msn}",
    )  # fmt: skip
    return [
        message,
        Event(msn, at, Life.ROUTED, "line:STATE"),
        Event(msn, at + 2_000, Life.SENT, "line:STATE"),
    ]


def an_answer(msn: int, at: int, inquiry: int, rng: Random) -> list[Record | Event]:
    """Make what an answer from the state leaves."""
    number = rng.randrange(20)
    text = f"IV\nMATCH MADE ON LIC/\nVIN/{rng.randrange(10**11):017}\nREG VALID FROM 01/01/26 TO 01/01/27"
    message = MessageRecord(
        msn, at, Direction.INBOUND, "response", f"T{number:02}", "STATE", f"U{rng.randrange(50):03}", "BAYPD",
        "CA0990100", f"BA{number:02}", f"{inquiry % 10_000_000:010}", text=text, transaction=inquiry,
    )  # fmt: skip
    return [
        message,
        Event(inquiry, at, Life.ANSWERED, "line:STATE"),
        Event(msn, at, Life.ROUTED, f"device:T{number:02}"),
        Event(msn, at + 1_000, Life.SENT, f"device:T{number:02}"),
        Event(msn, at + 9_000, Life.ACKNOWLEDGED, f"device:T{number:02}"),
    ]


class JournalBuilder:
    """Writes and archives a journal as the switch would, with time moved by hand.

    Args:
        database: Where to; opened already.
        seed: The same seed makes the same records.
        index: Whether what is archived is indexed.
    """

    def __init__(
        self, database: JournalDatabase, *, signer: Signer | None = None, seed: int = 1, index: bool = True
    ) -> None:
        self.database = database
        self.index = index
        self.signer = signer or new_signer()
        self.signatories = signatories_of(self.signer)
        self.ledger = Ledger(bytes(range(16)), self.signer)
        self.rng = Random(seed)
        self.msn = 0
        self.stated_at = 0
        self.dropped_to = 0
        self.now = 0
        """Wall time of the newest record, microseconds."""
        self.mono_offset = 1_600_000_000 * SECOND

    async def enter(self, given: Sequence[Record | Event], *, state: bool = False) -> None:
        """Commit records, with a checkpoint where one is due; an event by itself is a step of its message."""
        records = recorded(*given)
        marked = [(wall_time_of(record) - self.mono_offset, record) for record in records]
        entered = self.ledger.enter(marked)
        for record in records:
            self.now = max(self.now, wall_time_of(record))
        checkpoints: list[CheckpointRow] = list(entered.checkpoints)
        written = None
        if state or checkpoints or self.now - self.stated_at >= 45 * SECOND:
            checkpoints.append(self.ledger.checkpoint(self.now))
            self.stated_at = self.now
            written = self.ledger.state()
        await self.database.commit(entered.rows, checkpoints=checkpoints, state=written)

    async def fill(self, day: str, *, days: int = 1, per_day: int = 20) -> None:
        """Enter transactions, evenly over days; the last of them is covered by a checkpoint."""
        start = clock.parse_rfc3339(day)
        for number in range(days * per_day):
            await self.transact(start + number * DAY // per_day)
        await self.state()

    async def transact(self, at: int, *, state: bool = False) -> int:
        """Enter one inquiry, its answer, and sometimes a sign-on; returns the inquiry's MSN."""
        inquiry, answer = self.msn + 1, self.msn + 2
        self.msn = answer
        records = an_inquiry(inquiry, at, self.rng) + an_answer(answer, at + 80_000, inquiry, self.rng)
        if self.rng.random() < 0.1:
            records.append(AuditRecord(at + 100_000, "sign_on.granted", device="T01", user="U001"))
        await self.enter(records, state=state)
        return inquiry

    async def state(self, statement: Statement = Statement.HELD, **detail: object) -> CheckpointRow:
        """Sign a checkpoint over all there is."""
        row = self.ledger.checkpoint(self.now, statement, detail or None)
        self.stated_at = self.now
        await self.database.commit([], checkpoints=[row], state=self.ledger.state())
        return row

    async def archive(self, *, records: int = RECORDS, keep: int = 0, drop: bool = True) -> None:
        """Pack what has been checkpointed into blocks, index it, and drop it from the tail.

        Args:
            records: Of a block, at most.
            keep: How many of the newest records stay in the tail.
            drop: Whether the tail lets go of them.
        """
        archived = max((month.last for month in await self.database.months()), default=0)
        rows = [r for r in await self.database.tail(archived) if r.seq <= self.ledger.stated - keep]
        runs = self._runs(rows, await self._sealed())
        for month, run in runs:
            for at in range(0, len(run), records):
                await self._store(month, run[at : at + records])
        for month, number in (await self._sealed()).values():
            here = next((m for m in await self.database.months() if m.month == month), None)
            if here is not None and not here.sealed and here.last:
                await self.database.put_month(here._replace(sealed=number))
        # An answer may have come to the first month's last inquiry, or to the last of the month before.
        before = max((m.month for m in await self.database.months() if runs and m.month < runs[0][0]), default=0)
        for row in await self.database.months():
            if self.index and runs and row.month >= before and row.last and not row.deleted:
                await reindex(self.database, [row.month])
        if rows and drop:
            self.dropped_to = rows[-1].seq
            await self.database.commit([], drop_to=self.dropped_to)

    async def _sealed(self) -> dict[int, tuple[int, int]]:
        """Return where months end: last record to month and checkpoint."""
        sealed, after = {}, 0
        while page := await self.database.checkpoints(after):
            for row in page:
                if row.statement == Statement.SEALED:
                    sealed[row.seq] = (read_checkpoint(row.body).month, row.number)
            after = page[-1].number
        return sealed

    def _runs(self, rows: list[TailRow], sealed: dict[int, tuple[int, int]]) -> list[tuple[int, list[TailRow]]]:
        runs: list[tuple[int, list[TailRow]]] = []
        run: list[TailRow] = []
        for row in rows:
            run.append(row)
            if row.seq in sealed:
                runs.append((sealed[row.seq][0], run))
                run = []
        if run:
            runs.append((self.ledger.month, run))
        return runs

    async def _store(self, number: int, run: list[TailRow]) -> None:
        months = {month.month: month for month in await self.database.months()}
        bodies = [row.body for row in run]
        block = pack(bodies, [decode(body) for body in bodies], run[-1].link)
        key = block.key
        month = months.get(number)
        if month is None:
            await self.database.make_month(number)
            month = Month(number)
        month = month._replace(
            first=month.first or key.first,
            last=key.last,
            first_msn=month.first_msn or key.first_msn,
            last_msn=max(month.last_msn, key.last_msn),
            first_at=min(month.first_at or key.first_at, key.first_at),
            last_at=max(month.last_at, key.last_at),
        )
        await self.database.store(month, [block])


def wall_time_of(record: Record) -> int:
    """Return when a record was made."""
    return record.received if isinstance(record, MessageRecord) else record.at
