"""A directory's database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from msc.directory.store import DirectoryStore


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[DirectoryStore]:
    """A directory database."""
    store = DirectoryStore(f"sqlite+aiosqlite:///{tmp_path / 'directory.db'}")
    yield store
    await store.close()
