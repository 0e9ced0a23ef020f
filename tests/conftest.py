"""Fixtures every room's tests may use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.postgres import PostgresServer
from tests.support.wire import CUTS, Cut

# Machines are shared and noisy: how long an example takes proves nothing.
settings.register_profile("msc", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("msc")


@pytest.fixture(params=sorted(CUTS))
def cut(request: pytest.FixtureRequest) -> Cut:
    """How bytes arrive: whole, and byte by byte."""
    return CUTS[request.param]


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A PostgreSQL server that runs. A test that stops it starts it again."""
    server = PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """An empty PostgreSQL database, by its SQLAlchemy URL."""
    name = postgres_server.lend()
    yield postgres_server.url(name)
    postgres_server.give_back(name)


@pytest.fixture(params=["sqlite", "postgresql"])
def journal_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a new journal may stand, by its SQLAlchemy URL: once in SQLite, once in PostgreSQL."""
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path / 'journal.db'}"
    url: str = request.getfixturevalue("postgres_url")
    return url
