"""A journal's database by URL, its writing and its archiving end in one, as tests that fill and keep one want it."""

from __future__ import annotations

from typing import Any

from msc.journal.database.opening import open_archiving, open_writing


class BothEnds:
    """Fulfils `JournalDatabase`."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.writing = open_writing(url)
        self.archiving = open_archiving(url)
        self.open = self.writing.open
        self.commit = self.writing.commit

    def __getattr__(self, name: str) -> Any:
        return getattr(self.archiving, name)

    async def close(self) -> None:
        await self.archiving.close()
        await self.writing.close()
