"""An access control point over a real directory database, and what it audited."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from msc.acp.control_point import AccessControlPoint, AuditEvent
from msc.acp.directory import Directory
from msc.acp.store import DirectoryStore


class Point(AccessControlPoint):
    """An access control point that keeps what it audited, and its store."""

    audited: list[AuditEvent]
    store: DirectoryStore


MakePoint = Callable[[Directory], Awaitable[Point]]


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

        async def make(directory: Directory) -> Point:
            await store.save(directory)
            audited: list[AuditEvent] = []
            point = Point(directory, store, audited.append)
            point.audited, point.store = audited, store
            stack.push_async_callback(point.close)
            return point

        yield make
