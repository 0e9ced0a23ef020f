"""Reads a journal's checkpoints in order, and says which of them can be relied on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Final

from msc import clock
from msc.errors import JournalError
from msc.journal.database.layout import CheckpointRow, JournalReading
from msc.journal.proof.checkpoint import NO_CHECKPOINT, Checkpoint, Signatories, Statement, read_checkpoint
from msc.journal.proof.finding import Finding, Kind, span

_PAGE: Final = 1000
_BACK_US: Final = 5_000_000
"""A month is sealed with the time of the record that ends it, which may be a little older than a checkpoint."""

Note = Callable[[Finding], None]


def genuine(row: CheckpointRow, signatories: Signatories) -> Checkpoint | str:
    """Return the checkpoint of a row; or, where it is none that can be relied on, say why."""
    try:
        checkpoint = read_checkpoint(row.body)
    except JournalError:
        return "cannot be read"
    if checkpoint.key not in signatories:
        return f"is signed with a key that is not one of the journal's ({checkpoint.key.hex()})"
    if not signatories.signed(row.body, row.signature, checkpoint.key):
        return "has a signature that is not its own"
    if (checkpoint.number, checkpoint.seq, checkpoint.statement) != (row.number, row.seq, row.statement):
        return f"stands where another one belongs: it calls itself number {checkpoint.number}"
    return checkpoint


class StatementReader:
    """Reads the checkpoints up to a number, once, in order.

    Args:
        reading: Where from.
        signatories: Whose signatures count.
        upto: The last number; 0 if there is none.
        witnessed: By number, the first half of the digest a witness heard.
        note: Called with what is found.
    """

    def __init__(
        self,
        reading: JournalReading,
        signatories: Signatories,
        upto: int,
        witnessed: Mapping[int, bytes],
        note: Note,
    ) -> None:
        self.read = 0
        self.contradicted: list[int] = []
        """Numbers under which a witness heard something else."""
        self.sealed: dict[int, int] = {}
        """By month, the number of the checkpoint that sealed it."""
        self.agreed: Checkpoint | None = None
        """The last one before witnesses heard something else."""
        self.last: Checkpoint | None = None
        """The newest of those that can be relied on."""
        self._reading, self._signatories, self._upto = reading, signatories, upto
        self._witnessed, self._note = witnessed, note
        self._number = 0
        self._digest: bytes | None = NO_CHECKPOINT
        """Of the one before; None where that one cannot be relied on or is not there."""
        self._ready: deque[Checkpoint] = deque()
        self._ended = False
        self._last_forged: tuple[Finding, int, int, str] | None = None

    async def until(self, seq: int) -> list[Checkpoint]:
        """Return the next checkpoints, as long as they speak of records up to this one."""
        found: list[Checkpoint] = []
        while True:
            while self._ready and self._ready[0].seq <= seq:
                found.append(self._ready.popleft())
            if self._ready or self._ended:
                return found
            await self._fetch()

    async def last_genuine(self) -> Checkpoint | None:
        """Return the newest that can be relied on."""
        while not self._ended:
            await self._fetch()
        return self.last

    async def rest(self) -> list[Checkpoint]:
        """Return all that are left."""
        while not self._ended:
            await self._fetch()
        rest = list(self._ready)
        self._ready.clear()
        return rest

    async def _fetch(self) -> None:
        rows = await self._reading.checkpoints(self._number, _PAGE)
        for row in rows:
            if row.number > self._upto:
                break
            self._take(row)
        if not rows or rows[-1].number >= self._upto:
            if self._number < self._upto:
                self._missing(self._number + 1, self._upto)
                self._number = self._upto
            self._ended = True

    def _missing(self, first: int, last: int) -> None:
        self._note(
            Finding(
                Kind.CHECKPOINT_MISSING,
                f"{span(first, last, 'checkpoint', 'checkpoints')} "
                f"{'is' if first == last else 'are'} missing: removed, or never written",
                checkpoint=first,
            )
        )

    def _forged(self, number: int, why: str) -> None:
        """Tell it; of many in a row, with the wrong public key all of them, once."""
        if self._last_forged is not None:
            finding, first, last, before = self._last_forged
            if number == last + 1 and why == before:
                finding.text = f"checkpoints {first} to {number}: each {why}"
                self._last_forged = finding, first, number, why
                return
        finding = Finding(Kind.CHECKPOINT_FORGED, f"checkpoint {number} {why}", checkpoint=number)
        self._last_forged = finding, number, number, why
        self._note(finding)

    def _take(self, row: CheckpointRow) -> None:
        number, before, digest = row.number, self._digest, sha256(row.body).digest()
        if number != self._number + 1:
            self._missing(self._number + 1, number - 1)
            before = None
        self._number = number
        self.read += 1
        if self._witnessed and self._witnessed.get(number, digest[:16]) != digest[:16]:
            self.contradicted.append(number)
        checkpoint = genuine(row, self._signatories)
        if isinstance(checkpoint, Checkpoint) and self.last is not None and checkpoint.journal != self.last.journal:
            checkpoint = "belongs to another journal"
        if isinstance(checkpoint, str):
            self._digest = None
            self._forged(number, checkpoint)
            return
        self._digest = digest
        if before is not None and checkpoint.previous != before:
            self._note(
                Finding(
                    Kind.CHECKPOINT_REPLACED,
                    f"checkpoint {number} does not continue checkpoint {number - 1}, though both are signed: "
                    "one of them is from another copy of the journal",
                    checkpoint=number,
                )
            )
        last = self.last
        if last is not None and checkpoint.seq < last.seq:
            self._note(
                Finding(
                    Kind.CHECKPOINT_ORDER,
                    f"checkpoint {number} speaks of record {checkpoint.seq}, the one before it of {last.seq} already",
                    checkpoint=number,
                )
            )
            return
        if last is not None and checkpoint.at < last.at - _BACK_US:
            self._note(
                Finding(
                    Kind.CHECKPOINT_TIME,
                    f"checkpoint {number} is of {clock.rfc3339(checkpoint.at)}, the one before it of "
                    f"{clock.rfc3339(last.at)}: the clock was set back",
                    checkpoint=number,
                )
            )
        self.last = checkpoint
        if not self.contradicted:
            self.agreed = checkpoint
        if checkpoint.statement == Statement.SEALED:
            self.sealed[checkpoint.month] = number
        self._ready.append(checkpoint)
