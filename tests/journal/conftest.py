"""A journal in real SQLite files."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from msc.journal.proof.canonical import decode
from msc.journal.proof.checkpoint import Signer
from msc.journal.record import Record
from tests.support.disk import FaultyDisk

Held = Callable[[], list[Record]]


@pytest.fixture(scope="session")
def signer() -> Signer:
    """A signing key of nobody."""
    return Signer(Ed25519PrivateKey.generate())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The journal's main file."""
    return tmp_path / "journal.db"


@pytest.fixture
async def store(file: Path) -> AsyncIterator[FaultyDisk]:
    """A database that is not opened yet."""
    store = FaultyDisk(f"sqlite+aiosqlite:///{file}")
    yield store
    await store.close()


@pytest.fixture
def held(file: Path) -> Held:
    """Read the tail's records on a connection of its own, which sees what is committed and nothing else."""

    def ask() -> list[Record]:
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
            rows = connection.execute("SELECT body FROM tail ORDER BY seq").fetchall()
        return [decode(body).record for (body,) in rows]

    return ask
