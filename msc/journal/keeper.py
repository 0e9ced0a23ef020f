"""Keeps the journal as long as it must be kept and no longer: places and releases legal holds, deletes months.

Deleting a month is three steps, each of which may be the last before a crash:

    1  a signed checkpoint states the deletion and what was deleted     the chain can be followed across the gap
    2  the month's row says so                                          nobody looks for it any more
    3  its blocks and index are dropped                                 the space is given back

Never is something gone that no signed statement speaks of. What was interrupted is carried on at the next run. All of
it is done beside the traffic: the only thing asked of the writer is one more checkpoint.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import date
from typing import Any, Final, NamedTuple

import orjson

from msc.errors import JournalError
from msc.journal.criteria import Criteria
from msc.journal.database.layout import CheckpointRow, Hold, JournalArchiving, Month
from msc.journal.proof.checkpoint import Statement, read_checkpoint
from msc.journal.proof.deletion import deletion_detail, read_deletion
from msc.journal.retention import MatchesIn, Outlook, Verdict, holds_over, months_from, plan, seal_of
from msc.log import get_logger
from msc.settings import RetentionSettings

_log = get_logger("journal")

StateDeletion = Callable[[dict[str, Any]], Awaitable[CheckpointRow]]
"""The writer's part: states a deletion in a checkpoint with this detail, and returns once that is durable."""

_STATEMENTS_READ: Final = 1_000
_STATEMENTS_LOOKED_AT: Final = 20_000
"""How far back a starting switch looks for deletions that were stated and not done: two weeks at one a minute. Were
one older than that, it would be stated a second time, which is no untruth."""
_MONTHS_PLACED_MAX: Final = 1_200
"""Months of one hold: a century. A slip of the pen must not write rows without end."""


class BadHold(JournalError):
    """A hold cannot be placed or released so."""


class NotToBeDeleted(JournalError):
    """A month may not be deleted."""


class DeletedMonth(NamedTuple):
    """A month that was deleted.

    Attributes:
        month: 202611.
        checkpoint: Number of the checkpoint that states it.
        bytes_freed: Space given back.
    """

    month: int
    checkpoint: int
    bytes_freed: int


class RetentionKeeper:
    """Holds and deletions of one journal; the daemon owns it, and there is one.

    Args:
        journal: The journal's database, opened for archiving.
        state_deletion: The writer's.
        matches_in: The search's.
        settings: How long, and whether by itself.
    """

    def __init__(
        self,
        journal: JournalArchiving,
        state_deletion: StateDeletion,
        matches_in: MatchesIn,
        settings: RetentionSettings,
    ) -> None:
        self._journal = journal
        self._state_deletion = state_deletion
        self._matches_in = matches_in
        self.settings = settings
        self._looked_to: int | None = None
        # A hold that is placed while a month is being deleted must either come first or be refused.
        self._alone = asyncio.Lock()

    # --- deleting -------------------------------------------------------------------------------

    async def run_once(self, today: date) -> list[DeletedMonth]:
        """Carry on what was interrupted; delete the oldest month that is due, if deletion is automatic.

        One month a run: with a run a day a backlog melts in its time, and a mistake is noticed before it has eaten
        the journal. To be called at the start and then daily.

        Args:
            today: UTC.

        Returns:
            What was deleted, for the audit stream.

        Raises:
            JournalError, JournalUnavailable: The database failed. What was begun is carried on at the next run.
        """
        async with self._alone:
            done = await self._carry_on()
            if not self.settings.automatic:
                return done
            outlooks = await plan(self._journal, today, self.settings, self._matches_in)
            for outlook in outlooks:
                if outlook.verdict is Verdict.BY_HAND:
                    _log.warning("journal.month_not_deleted", month=outlook.month.month, why=outlook.why)
                if outlook.verdict is Verdict.DUE:
                    reason = f"kept for {self.settings.years} years"
                    return [*done, await self._delete(outlook, "automatic", reason)]
            return done

    async def delete(self, months: Sequence[int], today: date, by: str, reason: str) -> list[DeletedMonth]:
        """Delete months whose time is over, or all of them.

        Args:
            months: 202611; empty is every month that is due.
            today: UTC.
            by: Who asks for it.
            reason: Why.

        Raises:
            NotToBeDeleted: One of the months may not go; none was deleted.
            JournalError, JournalUnavailable: The database failed. What was begun is carried on at the next run.
        """
        async with self._alone:
            done = await self._carry_on()
            outlooks = await plan(self._journal, today, self.settings, self._matches_in)
            if not months:
                going = [outlook for outlook in outlooks if outlook.verdict is Verdict.DUE]
            else:
                wanted = {outlook.month.month: outlook for outlook in outlooks if outlook.month.month in months}
                for month in months:
                    refuse_unless_expired(month, wanted.get(month))
                going = list(wanted.values())
            return [*done, *[await self._delete(outlook, by, reason) for outlook in going]]

    async def _delete(self, outlook: Outlook, by: str, reason: str) -> DeletedMonth:
        month = outlook.month
        assert outlook.seal is not None
        before = [each for each in await self._journal.months() if each.first and each.month < month.month]
        detail = deletion_detail(
            outlook.seal,
            await seal_of(self._journal, before[-1]) if before else None,
            first_msn=month.first_msn,
            last_msn=month.last_msn,
            reason=reason,
            by=by,
        )
        stated = await self._state_deletion(detail)
        return await self._drop(month, stated.number)

    async def _drop(self, month: Month, statement: int) -> DeletedMonth:
        """Do what a statement says was done."""
        await self._journal.put_month(month._replace(deleted=statement))
        freed = await self._journal.drop_month(month.month)
        _log.info("journal.month_deleted", month=month.month, checkpoint=statement, bytes_freed=freed)
        return DeletedMonth(month.month, statement, freed)

    async def _carry_on(self) -> list[DeletedMonth]:
        """Finish deletions that were stated, or begun, and not finished."""
        done = []
        months = await self._journal.months()
        stated, looked_to = await self._stated()
        for place, month in enumerate(months):
            number = stated.get(month.month)
            if number is None or month.deleted:
                continue
            holds = [hold for hold in await self._journal.holds() if not hold.released_at]
            if await holds_over(month, months[place - 1] if place else None, holds, self._matches_in):
                # It was held before anything of it went. When the hold is released, its deletion is stated again.
                _log.warning("journal.month_held_after_statement", month=month.month, checkpoint=number)
                continue
            done.append(await self._drop(month, number))
        taken = await self._journal.size()
        for month in months:
            if month.deleted and taken.get(str(month.month)):
                freed = await self._journal.drop_month(month.month)
                done.append(DeletedMonth(month.month, month.deleted, freed))
        self._looked_to = looked_to
        return done

    async def _stated(self) -> tuple[dict[int, int], int]:
        """Return the deletions stated since this was last asked, month to number, and how far was looked."""
        last = await self._journal.last_checkpoint()
        if last is None:
            return {}, 0
        after = self._looked_to if self._looked_to is not None else max(0, last.number - _STATEMENTS_LOOKED_AT)
        stated: dict[int, int] = {}
        while rows := await self._journal.checkpoints(after, _STATEMENTS_READ):
            for row in rows:
                if row.statement == Statement.DELETED:
                    with suppress(JournalError):  # not one of ours; `msc journal verify` says what it is
                        stated[read_deletion(read_checkpoint(row.body)).month] = row.number
            after = rows[-1].number
        return stated, after

    # --- looking --------------------------------------------------------------------------------

    async def outlook(self, today: date) -> tuple[list[Outlook], dict[str, int]]:
        """Say what becomes of each month, and what everything takes (`JournalArchiving.size`).

        Raises:
            JournalError: The database cannot be read.
        """
        return await plan(self._journal, today, self.settings, self._matches_in), await self._journal.size()

    async def holds(self) -> list[Hold]:
        """Return all legal holds, the released ones too.

        Raises:
            JournalError: The database cannot be read.
        """
        return await self._journal.holds()

    # --- holds ----------------------------------------------------------------------------------

    async def place_hold(
        self, name: str, at_us: int, by: str, reason: str, *,
        months: tuple[int, int] | None = None, criteria: Criteria | None = None,
    ) -> list[Hold]:  # fmt: skip
        """Place a legal hold, on months from one to another or on what matches.

        Args:
            name: The case.
            at_us: Wall time.
            by: Who places it.
            reason: Why.
            months: First and last, 202611. Months to come may be held.
            criteria: A month in which something matches is held whole, and the one after it.

        Returns:
            The holds as they stand: one a month, or one.

        Raises:
            BadHold: It would hold nothing, or all, or what is deleted already.
            JournalError: The database failed.
        """
        if not name.strip():
            raise BadHold("a hold needs a name: the case it is for")
        if (months is None) == (criteria is None):
            raise BadHold("a hold covers months, or what matches: one of them")
        async with self._alone:
            if criteria is not None:
                if not criteria.as_json():
                    raise BadHold("a hold on everything is not a hold: say what must match, or hold months")
                covered = [(0, orjson.dumps(criteria.as_json()).decode())]
            else:
                assert months is not None
                covered = [(month, "") for month in await self._still_there(*months)]
            placed = []
            for month, sought in covered:
                hold = Hold(0, name, month, sought, at_us, by, reason)
                placed.append(hold._replace(number=await self._journal.put_hold(hold)))
            _log.info("journal.hold_placed", holds=[hold.number for hold in placed])
            return placed

    async def _still_there(self, first: int, last: int) -> list[int]:
        try:
            months = months_from(first, last)
        except ValueError as exc:
            raise BadHold(str(exc)) from exc
        if len(months) > _MONTHS_PLACED_MAX:
            raise BadHold(f"{len(months)} months are more than a hold can cover ({_MONTHS_PLACED_MAX})")
        deleted = {month.month for month in await self._journal.months() if month.deleted}
        gone = [str(month) for month in months if month in deleted]
        if gone:
            raise BadHold(f"deleted already: {', '.join(gone)}")
        return months

    async def release_hold(self, number: int, at_us: int, by: str) -> Hold:
        """Release a hold; it stays on the list.

        Raises:
            BadHold: There is none, or it was released before.
            JournalError: The database failed.
        """
        async with self._alone:
            for hold in await self._journal.holds():
                if hold.number == number:
                    if hold.released_at:
                        raise BadHold(f"hold {number} was released by {hold.released_by}")
                    released = hold._replace(released_at=at_us, released_by=by)
                    await self._journal.put_hold(released)
                    _log.info("journal.hold_released", hold=number)
                    return released
            raise BadHold(f"there is no hold {number}")


def refuse_unless_expired(month: int, outlook: Outlook | None) -> None:
    """Refuse to delete a month that may not go.

    Raises:
        NotToBeDeleted: It may not.
    """
    if outlook is None:
        raise NotToBeDeleted(f"the journal has no month {month}")
    if outlook.verdict in (Verdict.DUE, Verdict.BY_HAND):
        return
    why = {
        Verdict.OPEN: outlook.why or "it is open",
        Verdict.KEPT: f"it is kept; it may go on {outlook.goes_on}",
        Verdict.HELD: "held: " + ", ".join(f"{hold.number} ({hold.name})" for hold in outlook.holds),
        Verdict.IN_DOUBT: outlook.why,
        Verdict.DELETED: "it is deleted already",
    }
    raise NotToBeDeleted(f"{month} may not be deleted: {why[outlook.verdict]}")
