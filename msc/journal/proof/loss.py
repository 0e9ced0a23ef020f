"""Records that are not there: which, whether a signed statement excuses it, and what to call it if none does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from msc.journal.database.layout import CheckpointRow, JournalReading, Month, MonthUnreadable
from msc.journal.proof.checkpoint import Checkpoint, Signatories, Statement
from msc.journal.proof.continuity import Continuity
from msc.journal.proof.deletion import BadDeletion, Deletion, read_deletion
from msc.journal.proof.finding import Finding, Kind, Report, span
from msc.journal.proof.follower import Follower
from msc.journal.proof.statement import StatementReader, genuine

_NO_SUCH_TABLE: Final = "42P01"


def _is_absent(exc: MonthUnreadable) -> bool:
    """Tell whether a month cannot be read because it is not there."""
    cause = exc.__cause__
    return (
        isinstance(cause, FileNotFoundError)
        or getattr(getattr(cause, "orig", cause), "sqlstate", None) == _NO_SUCH_TABLE
    )


class _Part(NamedTuple):
    """A part of what is missing, within one month."""

    month: int
    first: int
    last: int
    begins: bool
    """It begins with the month."""
    whole: bool
    """It is all of the month."""


class Losses:
    """Leads the follower over what is not there.

    Args:
        reading, signatories: The journal, and whose signatures count.
        statements, follower, continuity: How far the verification is.
        report: Takes what is found.
        months: All months, as they were when it began.
    """

    def __init__(
        self,
        reading: JournalReading,
        signatories: Signatories,
        statements: StatementReader,
        follower: Follower,
        continuity: Continuity,
        report: Report,
        months: Sequence[Month],
    ) -> None:
        self.unreadable: dict[int, str] = {}
        """Months that could not be read, or not all of them, and why."""
        self._reading, self._signatories = reading, signatories
        self._statements, self._follower, self._continuity = statements, follower, continuity
        self._report = report
        self._months = {month.month: month for month in months}
        self._unsigned: set[int] = set()
        self._gap: tuple[Finding, int] | None = None
        """The last that was missing, and the first message no checkpoint spoke of before it."""
        self._deletions: dict[int, Deletion] = {}
        self._looked_to = 0

    def next_msn(self) -> int:
        """Return the MSN the next message should have."""
        msn = self._continuity.msn
        return (msn if msn is not None else self._follower.stated_msn) + 1

    def cannot_read(self, month: int, exc: MonthUnreadable) -> None:
        """Take note that a month, or something of it, cannot be read."""
        if not _is_absent(exc):
            self.unreadable[month] = str(exc)

    def resume(self, rows: Iterable[list[Any]]) -> None:
        """See from the records after a gap whether messages were in it, or only what belongs to earlier ones."""
        if self._gap is None:
            return
        finding, stated = self._gap
        for row in rows:
            if row[0] == "m":
                if row[4] == finding.msn:
                    finding.msn = stated
                self._gap = None
                return

    # --- stated deletions -----------------------------------------------------------------------

    async def pass_deleted_month(self, month: Month) -> bool:
        """Pass a month that is marked as deleted; tells whether a signed statement says so too."""
        rows = await self._reading.checkpoints(month.deleted - 1, 1)
        deletion = self._deletion_in(rows[0]) if rows and rows[0].number == month.deleted else None
        if deletion is None or deletion.month != month.month or deletion.last < self._follower.seq:
            self._unsigned.add(month.month)
            self._report.note(Finding(
                Kind.DELETION_UNSIGNED,
                f"month {month.month} is marked as deleted with checkpoint {month.deleted}, but that is not a signed "
                "statement of its deletion",
                month.first, month.last, month.first_msn or None, month.month, month.deleted,
            ))  # fmt: skip
            return False
        self._deletions[month.month] = deletion
        await self._catch_up_to(deletion)
        return True

    async def is_deleted(self, month: int) -> bool:
        """Tell whether a signed statement says that a month was deleted, perhaps a moment ago."""
        await self._look_for_deletions()
        return month in self._deletions

    async def _look_for_deletions(self) -> None:
        """Read all checkpoints for statements of deletions; once, and then only new ones."""
        while rows := await self._reading.checkpoints(self._looked_to):
            for row in rows:
                if row.statement == Statement.DELETED and (deletion := self._deletion_in(row)) is not None:
                    self._deletions[deletion.month] = deletion
            self._looked_to = rows[-1].number

    def _deletion_in(self, row: CheckpointRow) -> Deletion | None:
        checkpoint = genuine(row, self._signatories)
        if isinstance(checkpoint, str):
            return None
        try:
            return read_deletion(checkpoint)
        except BadDeletion:
            return None

    async def _catch_up_to(self, deletion: Deletion) -> None:
        """Pass a deleted month, and hold its statement against what stands around it."""
        follower = self._follower
        if deletion.first > follower.seq + 1:
            await self._missing(deletion.first - 1)
        starts_here = deletion.first == follower.seq + 1
        statements = await self._statements.until(deletion.last)
        untrue = starts_here and follower.link not in (None, deletion.before)
        for checkpoint in statements:
            if checkpoint.seq == deletion.last and checkpoint.link != deletion.link:
                untrue = True
            if checkpoint.statement == Statement.SEALED and checkpoint.month == deletion.month:
                said = (checkpoint.first, checkpoint.seq, checkpoint.root)
                untrue = untrue or said != (deletion.first, deletion.last, deletion.root)
        if untrue:
            self._report.note(Finding(
                Kind.DELETION_UNTRUE,
                f"the statement of the deletion of month {deletion.month} is signed, but is not what earlier "
                "checkpoints and the chain say of it",
                deletion.first, deletion.last, deletion.first_msn or None, deletion.month,
            ))  # fmt: skip
        follower.pass_deleted(deletion.last, deletion.last_msn, deletion.link, statements)
        self._continuity.reset(deletion.last_msn or None)
        self._report.deleted.append(deletion.month)

    # --- what is missing ------------------------------------------------------------------------

    async def catch_up(self, last: int, *, at_end: bool = False) -> None:
        """Pass all records up to one, none of which was found.

        Args:
            at_end: There are none after it.
        """
        if last <= self._follower.seq:
            return
        await self._look_for_deletions()
        for deletion in sorted(self._deletions.values(), key=lambda d: d.first):
            if self._follower.seq < deletion.last <= last:
                await self._catch_up_to(deletion)
        if last > self._follower.seq:
            await self._missing(last, at_end=at_end)

    async def _missing(self, last: int, *, at_end: bool = False) -> None:
        follower = self._follower
        statements = await self._statements.until(last)
        msn = self.next_msn()
        for part in self._parts(follower.seq + 1, last, statements):
            finding = self._named(part, msn, at_end and part.last == last)
            if finding is not None:
                follower.wrong(finding)
                self._gap = finding, follower.stated_msn + 1
            msn = max([msn, *(c.msn + 1 for c in statements if c.seq <= part.last)])
        follower.pass_gap(last, statements)
        self._continuity.reset()

    def _parts(self, first: int, last: int, statements: Sequence[Checkpoint]) -> list[_Part]:
        """Divide what is missing by months, as checkpoints tell where those begin and end."""
        starts = sorted({(c.first, c.month) for c in statements if c.first >= first})
        ends = {c.month for c in statements if c.statement == Statement.SEALED}
        parts = []
        if not starts or starts[0][0] > first:
            parts.append(_Part(self._follower.month, first, starts[0][0] - 1 if starts else last, False, False))
        for place, (start, month) in enumerate(starts):
            end = starts[place + 1][0] - 1 if place + 1 < len(starts) else last
            sealed = [c.seq for c in statements if c.month == month and c.statement == Statement.SEALED]
            if sealed and sealed[0] < end:
                parts += [_Part(month, start, sealed[0], True, True), _Part(0, sealed[0] + 1, end, False, False)]
            else:
                parts.append(_Part(month, start, end, True, month in ends or place + 1 < len(starts)))
        return parts

    def _named(self, part: _Part, msn: int, at_end: bool) -> Finding | None:
        month, first, last, begins, whole = part
        records = span(first, last)
        if month in self._unsigned:
            return None
        if month in self.unreadable:
            kind = Kind.MONTH_UNREADABLE if whole else Kind.BLOCK_UNREADABLE
            text = f"{self.unreadable[month]}; it held {records}"
        elif whole or (at_end and begins and month in self._months and self._months[month].last):
            kind, text = Kind.MONTH_REMOVED, f"month {month} is not there, and no signed statement says that it was "
            text += f"deleted; it held {records}"
        elif at_end:
            kind, text = (
                Kind.TAIL_TRUNCATED,
                f"the journal was cut off: {records} had been signed for, and are missing",
            )
        else:
            kind, text = Kind.RECORDS_REMOVED, f"{records} {'is' if first == last else 'are'} missing"
        return Finding(kind, text, first, last, msn, month)
