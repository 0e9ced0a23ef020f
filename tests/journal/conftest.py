"""A journal in a real SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.support.disk import FaultyDisk

Query = Callable[..., list[Any]]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The journal's database file."""
    return tmp_path / "journal.db"


@pytest.fixture
async def store(file: Path) -> AsyncIterator[FaultyDisk]:
    """A store that is not opened yet."""
    store = FaultyDisk(f"sqlite+aiosqlite:///{file}")
    yield store
    await store.close()


@pytest.fixture
def query(file: Path) -> Iterator[Query]:
    """Ask the database on a connection of its own, which sees what is committed and nothing else."""
    with closing(sqlite3.connect(file)) as connection:

        def ask(sql: str, *parameters: object) -> list[Any]:
            rows = connection.execute(sql, parameters).fetchall()
            connection.rollback()
            return [row[0] if len(row) == 1 else row for row in rows]

        yield ask
