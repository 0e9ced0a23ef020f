"""A journal of three months in SQLite files: made once, copied for each test that falsifies it."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from msc.journal.database.layout import JournalDatabase, JournalReading, JournalWriting
from msc.journal.database.opening import open_archiving, open_reading, open_writing
from msc.journal.proof.checkpoint import Signatories, Signer
from msc.journal.proof.finding import Report
from msc.journal.proof.testimony import Testimony
from msc.journal.proof.verification import verify
from tests.support.journal_builder import JournalBuilder, new_signer
from tests.support.tampering import Tampering

SEPTEMBER, OCTOBER, NOVEMBER = 202609, 202610, 202611


class Both:
    """Writer's and archivist's end as one, for the builder."""

    def __init__(self, writing: JournalWriting, archiving: JournalDatabase) -> None:
        self._writing, self._archiving = writing, archiving

    def __getattr__(self, name: str) -> object:
        return getattr(self._writing if name in ("open", "commit") else self._archiving, name)

    async def close(self) -> None:
        await self._archiving.close()
        await self._writing.close()


def both_ends(file: Path) -> JournalDatabase:
    """Open a journal for writing and archiving."""
    url = f"sqlite+aiosqlite:///{file}"
    return Both(open_writing(url), open_archiving(url))  # type: ignore[return-value, arg-type]


class Made(NamedTuple):
    """A journal as the switch left it."""

    folder: Path
    signer: Signer
    signatories: Signatories
    now: int


async def _make(folder: Path, signer: Signer) -> JournalBuilder:
    database = both_ends(folder / "journal.db")
    await database.open()
    builder = JournalBuilder(database, signer=signer)
    await builder.fill("2026-09-24", days=41, per_day=8)
    await builder.archive(records=64, keep=40)
    await builder.state()
    await database.close()
    return builder


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The genuine one."""
    folder, signer = tmp_path_factory.mktemp("journal"), new_signer()
    builder = asyncio.run(_make(folder, signer))
    return Made(folder, signer, builder.signatories, builder.now)


class Victim(Tampering):
    """A copy of it, to falsify and to verify."""

    def __init__(self, made: Made, folder: Path) -> None:
        shutil.copytree(made.folder, folder, dirs_exist_ok=True)
        super().__init__(folder / "journal.db")
        self.made = made

    def reading(self) -> JournalReading:
        return open_reading(f"sqlite+aiosqlite:///{self.main}")

    async def verify(self, testimony: Testimony | None = None, now_us: int = 0) -> Report:
        reading = self.reading()
        try:
            return await verify(
                reading, self.made.signatories, testimony=testimony, now_us=now_us or self.made.now + 1_000_000
            )
        finally:
            await reading.close()


@pytest.fixture
def victim(made: Made, tmp_path: Path) -> Victim:
    """A journal to falsify."""
    return Victim(made, tmp_path / "victim")
