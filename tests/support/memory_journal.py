"""A journal in memory, for whoever needs a database of the journal and not its file.

Every table is a plain dict that a test may look into, and falsify.
"""

from __future__ import annotations

from collections.abc import Sequence

from msc.errors import JournalError
from msc.journal.database.layout import (
    Block,
    BlockKey,
    CheckpointRow,
    Hold,
    Month,
    MonthUnreadable,
    Opened,
    Page,
    Segment,
    TailRow,
)


class MemoryJournal:
    """Fulfils `JournalDatabase`. Nothing outlives it; `open` finds what was committed."""

    def __init__(self) -> None:
        self.rows: dict[int, TailRow] = {}
        self.statements: dict[int, CheckpointRow] = {}
        self.all_months: dict[int, Month] = {}
        self.all_blocks: dict[int, dict[int, Block]] = {}
        """By month and first record."""
        self.all_segments: dict[int, dict[int, Segment]] = {}
        self.all_pages: dict[int, dict[tuple[int, int], Page]] = {}
        self.all_holds: dict[int, Hold] = {}
        self.stored_state: bytes | None = None
        self.unreadable: set[int] = set()
        """Months that cannot be read."""
        self.failing: JournalError | None = None
        """What a commit fails with, while it is set."""

    # --- writing --------------------------------------------------------------------------------

    async def open(self) -> Opened:
        return Opened(self.stored_state, await self.last_checkpoint(), await self.tail())

    async def commit(
        self,
        rows: Sequence[TailRow],
        *,
        checkpoints: Sequence[CheckpointRow] = (),
        state: bytes | None = None,
        drop_to: int = 0,
    ) -> None:
        if self.failing is not None:
            raise self.failing
        for row in rows:
            assert row.seq not in self.rows
            self.rows[row.seq] = row
        for checkpoint in checkpoints:
            assert checkpoint.number not in self.statements
            self.statements[checkpoint.number] = checkpoint
        if state is not None:
            self.stored_state = state
        for seq in [seq for seq in self.rows if seq <= drop_to]:
            del self.rows[seq]

    async def close(self) -> None:
        pass

    # --- reading --------------------------------------------------------------------------------

    def _readable(self, month: int) -> None:
        if month in self.unreadable:
            raise MonthUnreadable(month, "a test says so")

    async def tail(self, after: int = 0, at_most: int | None = None) -> list[TailRow]:
        return [row for seq, row in sorted(self.rows.items()) if seq > after][:at_most]

    async def months(self) -> list[Month]:
        return [month for _, month in sorted(self.all_months.items())]

    async def checkpoints(self, after: int = 0, at_most: int = 1000) -> list[CheckpointRow]:
        return [row for number, row in sorted(self.statements.items()) if number > after][:at_most]

    async def last_checkpoint(self) -> CheckpointRow | None:
        return self.statements[max(self.statements)] if self.statements else None

    async def block_keys(self, month: int) -> list[BlockKey]:
        self._readable(month)
        return [block.key for _, block in sorted(self.all_blocks.get(month, {}).items())]

    async def blocks(self, month: int, firsts: Sequence[int]) -> list[Block]:
        self._readable(month)
        here = self.all_blocks.get(month, {})
        return [here[first] for first in sorted(set(firsts)) if first in here]

    async def blocks_after(self, month: int, after: int, at_most: int) -> list[Block]:
        self._readable(month)
        return [b for first, b in sorted(self.all_blocks.get(month, {}).items()) if first > after][:at_most]

    async def segments(self, month: int) -> list[Segment]:
        self._readable(month)
        return [segment for _, segment in sorted(self.all_segments.get(month, {}).items())]

    async def first_terms(self, month: int) -> list[tuple[int, int, str]]:
        self._readable(month)
        return [(*at, page.first_term) for at, page in sorted(self.all_pages.get(month, {}).items())]

    async def pages(self, month: int, wanted: Sequence[tuple[int, int]]) -> list[Page]:
        self._readable(month)
        here = self.all_pages.get(month, {})
        return [here[at] for at in wanted if at in here]

    async def holds(self) -> list[Hold]:
        return [hold for _, hold in sorted(self.all_holds.items())]

    async def state(self) -> bytes | None:
        return self.stored_state

    # --- archiving ------------------------------------------------------------------------------

    async def claim(self) -> None:
        pass

    async def make_month(self, month: int) -> None:
        self.all_months.setdefault(month, Month(month))

    async def store(
        self,
        month: Month,
        blocks: Sequence[Block] = (),
        segments: Sequence[Segment] = (),
        pages: Sequence[Page] = (),
        replaced: Sequence[int] = (),
    ) -> None:
        self.all_months[month.month] = month
        self.all_blocks.setdefault(month.month, {}).update((block.key.first, block) for block in blocks)
        kept = self.all_segments.setdefault(month.month, {})
        kept.update((segment.number, segment) for segment in segments)
        self.all_pages.setdefault(month.month, {}).update(((page.segment, page.number), page) for page in pages)
        for number in replaced:
            kept.pop(number, None)
            for at in [at for at in self.all_pages[month.month] if at[0] == number]:
                del self.all_pages[month.month][at]

    async def put_month(self, month: Month) -> None:
        self.all_months[month.month] = month

    async def drop_month(self, month: int) -> int:
        blocks = self.all_blocks.pop(month, {})
        pages = self.all_pages.pop(month, {})
        self.all_segments.pop(month, None)
        return sum(len(block.body) for block in blocks.values()) + sum(len(page.body) for page in pages.values())

    async def put_hold(self, hold: Hold) -> int:
        number = hold.number or len(self.all_holds) + 1
        self.all_holds[number] = hold._replace(number=number)
        return number

    async def size(self) -> dict[str, int]:
        sizes = {
            "tail": sum(len(row.body) for row in self.rows.values()),
            "checkpoint": sum(len(row.body) for row in self.statements.values()),
        }
        for month, blocks in self.all_blocks.items():
            sizes[str(month)] = sum(len(block.body) for block in blocks.values())
        return sizes
