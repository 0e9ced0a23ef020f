"""Makes a journal from a backup, in a new and empty database of any kind.

From its first step to its last the database carries a mark, in the place of the state, that no switch starts from. If
a restore is interrupted, the same one carries on: all it stores again is what is there already. The last step, one
commit, takes the mark away and leaves a journal that continues the chain: with a record that it was restored, and
with MSNs far enough ahead that none that was given out after the backup is given out again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from msc import clock
from msc.errors import JournalError
from msc.journal.backup.content import (
    FORM,
    End,
    Item,
    block_of,
    checkpoint_of,
    next_item,
    page_of,
    tail_row_of,
)
from msc.journal.backup.sealed import BadBackup, SealedReader
from msc.journal.database.layout import (
    Block,
    CheckpointRow,
    Hold,
    JournalArchiving,
    JournalWriting,
    Month,
    Opened,
    Page,
    Segment,
    TailRow,
)
from msc.journal.ledger import RESTORING, Ledger
from msc.journal.proof.checkpoint import Signer
from msc.journal.record import AuditRecord, Record
from msc.transit.message import Direction, MessageRecord

_BYTES_HELD: Final = 8 << 20
"""What is stored at once."""
_ROWS_HELD: Final = 2_000
MSN_A_DAY: Final = 1_000_000
"""MSNs that are passed over for each day, begun or full, between the backup's last record and the restore: a county
would have to send twelve messages a second, day and night, to have used them."""


class NotEmpty(JournalError):
    """There is a journal already where one is to be restored."""


class RestoreReport(NamedTuple):
    """What was restored.

    Attributes:
        made_at: When the backup was begun, RFC 3339.
        end: Where the backup ends; what came later is lost.
        next_msn: What the switch gives out next.
        continued: Whether an interrupted restore was carried on.
    """

    made_at: str
    end: End
    next_msn: int
    continued: bool


def msn_to_skip(last_at_us: int, now_us: int) -> int:
    """Return how many MSNs may have been given out since a backup, generously."""
    days = max(0, now_us - last_at_us) // 86_400_000_000 + 1
    return int(days) * MSN_A_DAY


async def restore(
    file: Path, key: X25519PrivateKey, writing: JournalWriting, archiving: JournalArchiving, signer: Signer, *,
    by: str, reason: str, now_us: int, skip_msn: int | None = None,
) -> RestoreReport:  # fmt: skip
    """Restore a backup.

    Args:
        file: The backup.
        key: Opens it.
        writing, archiving: Both ends of the database; nobody else has it open. It is left open.
        signer: Signs the first checkpoint of the restored journal: the site's key, or a new one.
        by: Who does it.
        reason: Why.
        now_us: Wall time.
        skip_msn: How many MSNs to pass over; None for `msn_to_skip`. 0 where surely none was given out since.

    Raises:
        BadBackup: It was damaged, or is for another key.
        NotEmpty: The database holds a journal, or a part of another backup.
        JournalError: The database failed. The same restore can be carried on.
    """
    with SealedReader(file, key) as source:
        # The first chunk is proven before anything is written.
        first = next_item(source)
        if first.kind != b"J" or first.members != [FORM]:
            raise BadBackup(f"{file}: holds a form of journal this release does not know")
        opened = await writing.open()
        continued = await _mark(opened, writing, archiving, source.identity)
        filling = _Filling(writing, archiving, opened)
        while (item := next_item(source)).kind != b"E":
            try:
                await filling.take(item)
            except (ValueError, TypeError, IndexError) as exc:
                raise BadBackup(f"{file}: holds something that makes no sense") from exc
        source.end()
        end = End(*item.members)
        made_at = str(source.header["made_at"])
        records = _records(made_at, end, by, reason, now_us, skip_msn)
        next_msn = await filling.finish(signer, records, now_us)
        return RestoreReport(made_at, end, next_msn, continued)


async def _mark(opened: Opened, writing: JournalWriting, archiving: JournalArchiving, identity: str) -> bool:
    """Mark the database as being restored; tells whether it was marked already."""
    mark = RESTORING + orjson.dumps(identity) + b"}"
    if opened.state == mark:
        return True
    if opened.state is not None and opened.state.startswith(RESTORING):
        raise NotEmpty("the database holds a part of another backup: restore that one, or give an empty database")
    months = any(month.first or month.deleted for month in await archiving.months())
    if opened.state or opened.checkpoint or opened.tail or months or await archiving.holds():
        raise NotEmpty("there is a journal already: a backup is restored into an empty database only")
    await writing.commit([], state=mark)
    return False


def _records(made_at: str, end: End, by: str, reason: str, now_us: int, skip_msn: int | None) -> list[Record]:
    """Return what the journal says of its restoring."""
    skip = msn_to_skip(end.at, now_us) if skip_msn is None else skip_msn
    last = f"record {end.seq}, {clock.rfc3339(end.at)}"
    records: list[Record] = [
        AuditRecord(
            now_us, "journal.restored", user=by, detail=f"from a backup made {made_at}, up to {last}", reason=reason
        )
    ]
    if skip:
        text = (
            f"JOURNAL RESTORED FROM A BACKUP UP TO {last.upper()}. WHAT CAME AFTER IT IS NOT IN THIS JOURNAL. "
            f"MSN {end.msn + 1} TO {end.msn + skip - 1} MAY HAVE BEEN GIVEN OUT SINCE AND ARE NOT USED AGAIN"
        )
        msn = end.msn + skip
        records.append(MessageRecord(msn, now_us, Direction.LOCAL, "status", text=text, transaction=msn))
    return records


class _Filling:
    """Stores items in the order in which they come, some at a time."""

    def __init__(self, writing: JournalWriting, archiving: JournalArchiving, opened: Opened) -> None:
        self._writing = writing
        self._archiving = archiving
        self._has_row = opened.tail[-1].seq if opened.tail else 0
        self._has_checkpoint = opened.checkpoint.number if opened.checkpoint else 0
        self._month = Month(0)
        self._known: list[int] = []
        """The segments of the month so far."""
        self._blocks: list[Block] = []
        self._segments: list[Segment] = []
        self._pages: list[Page] = []
        self._bytes = 0
        self._checkpoints: list[CheckpointRow] = []
        self._last: CheckpointRow | None = None
        self._rows: list[TailRow] = []
        self._unstated: list[TailRow] = []
        """Rows of the tail no checkpoint speaks of."""
        self._state: bytes | None = None

    async def take(self, item: Item) -> None:
        """Store an item, now or with those that follow.

        Raises:
            ValueError, TypeError, IndexError: It makes no sense.
            JournalError: The database failed.
        """
        match item.kind:
            case b"G" | b"P" | b"B" | b"X":
                await self._turn_to(_month_number(item.members[0]))
                await self._take_of_month(item)
            case b"M":
                await self._flush()
                await self._put_month(Month(*item.members))
            case b"H":
                await self._flush()
                await self._archiving.put_hold(Hold(*item.members))
            case b"C":
                self._last = checkpoint_of(item)
                if self._last.number > self._has_checkpoint:
                    self._checkpoints.append(self._last)
            case b"T":
                row = tail_row_of(item)
                if self._last is not None and row.seq > self._last.seq:
                    self._unstated.append(row)
                if row.seq > self._has_row:
                    self._rows.append(row)
            case b"W":
                self._state = item.data
            case _:
                raise ValueError("there is no such item")
        if len(self._rows) + len(self._checkpoints) >= _ROWS_HELD:
            await self._commit()

    # --- months ---------------------------------------------------------------------------------

    async def _turn_to(self, number: int) -> None:
        if number != self._month.month:
            await self._flush()
            await self._archiving.make_month(number)
            self._month, self._known = Month(number), []

    async def _take_of_month(self, item: Item) -> None:
        if item.kind == b"X":
            await self._flush()
            await self._archiving.store(self._month, replaced=self._known)
            self._known = []
        elif item.kind == b"G":
            segment = Segment(*item.members[1:])
            self._segments.append(segment)
            self._known.append(segment.number)
        elif item.kind == b"P":
            self._pages.append(page_of(item))
        else:
            block = block_of(item)
            self._blocks.append(block)
            month, key = self._month, block.key
            self._month = month._replace(
                first=month.first or key.first,
                last=key.last,
                first_msn=month.first_msn or key.first_msn,
                last_msn=key.last_msn or month.last_msn,
                first_at=min(month.first_at or key.first_at, key.first_at),
                last_at=max(month.last_at, key.last_at),
            )
        self._bytes += len(item.data)
        if self._bytes >= _BYTES_HELD:
            await self._flush()

    async def _flush(self) -> None:
        if self._blocks or self._segments or self._pages:
            await self._archiving.store(self._month, self._blocks, self._segments, self._pages)
        self._blocks, self._segments, self._pages, self._bytes = [], [], [], 0

    async def _put_month(self, month: Month) -> None:
        _month_number(month.month)
        if month.deleted:
            await self._archiving.put_month(month)
            await self._archiving.drop_month(month.month)
        else:
            await self._archiving.make_month(month.month)
            await self._archiving.put_month(month)

    # --- the end --------------------------------------------------------------------------------

    async def _commit(self) -> None:
        if self._rows or self._checkpoints:
            await self._writing.commit(self._rows, checkpoints=self._checkpoints)
        self._rows, self._checkpoints = [], []

    async def finish(self, signer: Signer, records: list[Record], now_us: int) -> int:
        """Go on from what was restored, and take the mark away; returns the next MSN.

        Raises:
            BadBackup: State, checkpoint and tail of the backup do not belong together.
            JournalError: The database failed.
        """
        if self._state is None or self._last is None:
            raise BadBackup("the backup holds no state, or no checkpoint")
        await self._commit()
        try:
            ledger = Ledger.of(Opened(self._state, self._last, self._unstated), signer, b"")
        except (JournalError, ValueError, TypeError, KeyError) as exc:
            raise BadBackup(f"what the backup holds does not belong together: {exc}") from exc
        mono = int(clock.monotonic() * 1_000_000)
        rows, checkpoints = ledger.enter((mono, record) for record in records)
        checkpoints.append(ledger.checkpoint(now_us))
        await self._writing.commit(rows, checkpoints=checkpoints, state=ledger.state())
        return ledger.msn + 1


def _month_number(value: Any) -> int:
    if type(value) is not int or not (197001 <= value <= 999912 and 1 <= value % 100 <= 12):
        raise ValueError("there is no such month")
    return value
