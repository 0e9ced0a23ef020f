"""Whether a journal is the newest there is, or one that was put back: what the writer stored, what was archived,
and what witnesses heard say so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import orjson

from msc import clock
from msc.errors import JournalError
from msc.journal.database.layout import CheckpointRow, JournalReading, Month
from msc.journal.proof.chain import Frontier
from msc.journal.proof.checkpoint import Checkpoint, Signatories, read_checkpoint
from msc.journal.proof.finding import Finding, Kind, Report, numeral, span
from msc.journal.proof.statement import StatementReader, genuine
from msc.journal.proof.testimony import Heard, Testimony

_TRIES: Final = 5


class Standing:
    """Compares the newest checkpoint with everything that knows how far the journal had come.

    Args:
        reading: The journal.
        signatories: Whose signatures count.
        report: Takes what is found.
    """

    def __init__(self, reading: JournalReading, signatories: Signatories, report: Report) -> None:
        self.last: CheckpointRow | None = None
        """The newest checkpoint when the verification began."""
        self._reading, self._signatories, self._report = reading, signatories, report

    @property
    def _number(self) -> int:
        return self.last.number if self.last is not None else 0

    async def hold_state(self) -> None:
        """Read the last checkpoint, and compare it with what the writer stored beside it."""
        settled, state = False, None
        for _ in range(_TRIES):
            self.last, state = await self._reading.last_checkpoint(), await self._reading.state()
            if settled := await self._reading.last_checkpoint() == self.last:
                break
        note = self._report.note
        if self.last is None:
            if state is not None and settled:
                note(Finding(Kind.ROLLED_BACK, "the writer has stored a checkpoint, but there is none", msn=1))
            return
        self._report.last_checkpoint = self.last.number
        checkpoint = genuine(self.last, self._signatories)
        if isinstance(checkpoint, str):
            return  # told where all checkpoints are read
        self._report.last_checkpoint_at = checkpoint.at
        if not settled:
            return  # they change faster than we can read: a writer is there, and compares them at its start
        try:
            members = orjson.loads(state or b"null")
            seq = int(members["seq"])
            root = Frontier(members["count"], map(bytes.fromhex, members["nodes"])).root()
        except (ValueError, TypeError, KeyError):
            note(
                Finding(Kind.STATE_CHANGED, "what the writer stored with its last checkpoint is not there or damaged")
            )
            return
        if seq > checkpoint.seq:
            note(Finding(
                Kind.ROLLED_BACK,
                f"the writer had a checkpoint signed up to record {numeral(seq)}, but the last there is speaks of "
                f"{numeral(checkpoint.seq)}: later ones were removed",
                checkpoint.seq + 1, seq, checkpoint.msn + 1, checkpoint.month, checkpoint.number,
            ))  # fmt: skip
        elif seq < checkpoint.seq or (checkpoint.seq and root != checkpoint.root):
            note(Finding(
                Kind.STATE_CHANGED,
                f"what the writer stored with checkpoint {checkpoint.number} was changed, or is of another time",
                checkpoint=checkpoint.number,
            ))  # fmt: skip

    async def hold_newest(self, months: Sequence[Month], archived: int, stated: int, next_msn: int) -> None:
        """Compare the last checkpoint with what was archived: nothing is, before a checkpoint speaks of it.

        Args:
            months: All months.
            archived: The last record that was read from a block.
            stated: The last record a checkpoint spoke of.
            next_msn: The first message after that.
        """
        sealed = max((max(month.sealed, month.deleted) for month in months), default=0)
        if archived <= (self.last.seq if self.last is not None else 0) and sealed <= self._number:
            return
        if any(finding.kind is Kind.ROLLED_BACK for finding in self._report.findings):
            return
        now = await self._reading.last_checkpoint()  # the writer has gone on
        if now is None or now.seq < archived or now.number < sealed:
            self._report.note(Finding(
                Kind.ROLLED_BACK,
                f"records up to {numeral(max(archived, stated))} are archived, or checkpoint {sealed} is spoken of, "
                f"but the last checkpoint there is, {now.number if now else 0}, is older: later ones were removed",
                stated + 1, max(archived, stated + 1), next_msn, checkpoint=now.number if now else 0,
            ))  # fmt: skip

    def hear(self, testimony: Testimony, statements: StatementReader, end: int) -> None:
        """Compare all checkpoints with what witnesses heard.

        Args:
            testimony: All they heard.
            statements: Has read all checkpoints.
            end: The last record.
        """
        later = (number for number in testimony.digests if number > self._number)
        disputed = sorted({*statements.contradicted, *testimony.contradictions, *later})
        heard: list[Checkpoint] = []
        unsigned = 0
        for line in testimony.of(disputed):
            checkpoint = self._signed(line)
            if checkpoint is None:
                unsigned += 1
            else:
                heard.append(checkpoint)
        note = self._report.note
        if unsigned:
            note(Finding(
                Kind.WITNESS_UNSIGNED,
                f"{unsigned} lines of the witness contradict the journal, but are not signed by it",
                checkpoint=disputed[0],
            ))  # fmt: skip
        if not heard:
            return
        first, newest = min(heard, key=lambda c: c.number), max(heard, key=lambda c: c.number)
        agreed = statements.agreed
        seq, msn = (agreed.seq, agreed.msn) if agreed is not None else (0, 0)
        here = "something else under" if first.number <= self._number else "nothing from"
        note(Finding(
            Kind.ROLLED_BACK,
            f"a witness heard checkpoint {newest.number} of {clock.rfc3339(newest.at)}, up to record "
            f"{numeral(newest.seq)}; the journal has {here} number {first.number}: it was put back, or another copy "
            f"stands in its place. What they agree on ends with {span(seq, seq)}",
            seq + 1, max(seq + 1, end, newest.seq), msn + 1, newest.month, first.number,
        ))  # fmt: skip

    def _signed(self, line: Heard) -> Checkpoint | None:
        """Return what a witness heard, if the journal signed it."""
        try:
            checkpoint = read_checkpoint(line.body)
        except JournalError:
            return None
        signed = self._signatories.signed(line.body, line.signature, checkpoint.key)
        return checkpoint if signed and checkpoint.number == line.number else None
