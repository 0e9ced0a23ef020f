"""An access control point over a real directory database, and what it audited."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Protocol

import pytest

from msc.access.control_point import AccessControlPoint
from msc.access.terms import Terms
from msc.audit import AuditEvent
from msc.directory.rows import Directory
from msc.directory.store import DirectoryStore
from msc.settings import CredentialSettings

# The cheapest hashes, as those of the county are: tests check what is decided.
CHEAP = CredentialSettings.model_construct(second_factor="if_enrolled", memory_kib=8, time_cost=1)
TERMS = Terms(credentials=CHEAP)
"""A second factor is asked of whoever has one."""


class Point(AccessControlPoint):
    """An access control point that keeps what it audited, and its store."""

    audited: list[AuditEvent]
    store: DirectoryStore


class MakePoint(Protocol):
    """Makes an access control point of a directory, which is saved first."""

    async def __call__(
        self, directory: Directory, terms: Terms = TERMS, rested: Mapping[str, int] | None = None
    ) -> Point: ...


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[DirectoryStore]:
    """A directory database."""
    store = DirectoryStore(f"sqlite+aiosqlite:///{tmp_path / 'directory.db'}")
    yield store
    await store.close()


@pytest.fixture
async def make_point(store: DirectoryStore) -> AsyncIterator[MakePoint]:
    """Make an access control point of a directory."""
    async with AsyncExitStack() as stack:

        async def make(directory: Directory, terms: Terms = TERMS, rested: Mapping[str, int] | None = None) -> Point:
            await store.save(directory)
            audited: list[AuditEvent] = []
            point = Point(directory, store, audited.append, terms, rested)
            point.audited, point.store = audited, store
            stack.push_async_callback(point.close)
            return point

        yield make
