"""Databases brought up to date: whole, or not at all."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, Text
from sqlalchemy.exc import OperationalError

from msc.migration import UnknownRevision, upgrade

FIRST = """
import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade():
    op.create_table("note", sa.Column("number", sa.Integer, primary_key=True), if_not_exists=True)
"""
SECOND = """
import os
import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade():
    op.add_column("note", sa.Column("text", sa.Text))
    op.execute("UPDATE note SET text = 'upgraded'")
    if os.path.exists("die"):
        os._exit(9)
    op.create_index("ix_note_text", "note", ["text"])
"""
RUN = """
from sqlalchemy import Column, Integer, MetaData, Table, Text
from msc.migration import upgrade
metadata = MetaData()
Table("note", metadata, Column("number", Integer, primary_key=True), Column("text", Text, index=True))
upgrade("sqlite:///site.db", metadata, "steps", "0002")
"""

metadata = MetaData()
Table("note", metadata, Column("number", Integer, primary_key=True), Column("text", Text, index=True))


@pytest.fixture
def steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A migrations package of two revisions, in the folder the test runs in."""
    folder = tmp_path / "steps"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "revision_0001.py").write_text(FIRST)
    (folder / "revision_0002.py").write_text(SECOND)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "steps", raising=False)
    monkeypatch.chdir(tmp_path)
    return "steps"


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite+aiosqlite:///{tmp_path / 'site.db'}"


def ask(sql: str) -> list[Any]:
    with closing(sqlite3.connect("site.db", isolation_level=None)) as connection:
        return connection.execute(sql).fetchall()


def run(after: str = "") -> int:
    """Upgrade in a process of its own."""
    paths = {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run([sys.executable, "-c", f"{RUN}\n{after}"], timeout=60, env=paths, check=False).returncode


SCHEMA = "SELECT name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite%' ORDER BY name"


@pytest.mark.parametrize("says", [True, False], ids=["stamped", "from before there were stamps"])
def test_an_old_database_is_upgraded(steps: str, url: str, says: bool) -> None:
    ask("CREATE TABLE note (number INTEGER PRIMARY KEY)")
    ask("INSERT INTO note VALUES (7)")
    if says:
        ask("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
        ask("INSERT INTO alembic_version VALUES ('0001')")
    upgrade(url, metadata, steps, "0002")
    assert ask("SELECT number, text FROM note") == [(7, "upgraded")]
    assert ask("SELECT version_num FROM alembic_version") == [("0002",)]


def test_neither_a_new_database_nor_a_current_one_costs_the_import_of_alembic(steps: str, url: str) -> None:
    for _ in range(2):
        assert run("import sys; assert 'alembic' not in sys.modules") == 0
    assert ask("SELECT version_num FROM alembic_version") == [("0002",)]


@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_a_crash_in_the_middle_leaves_the_old_schema_and_the_next_start_goes_on(
    steps: str, url: str, tmp_path: Path, mode: str
) -> None:
    ask(f"PRAGMA journal_mode = {mode}")
    ask("CREATE TABLE note (number INTEGER PRIMARY KEY)")
    ask("INSERT INTO note VALUES (7)")
    before = ask(SCHEMA)
    (tmp_path / "die").touch()
    assert run() == 9
    assert ask(SCHEMA) == before
    assert ask("SELECT * FROM note") == [(7,)]
    (tmp_path / "die").unlink()
    upgrade(url, metadata, steps, "0002")
    assert ask("SELECT number, text FROM note") == [(7, "upgraded")]


def test_an_upgrade_that_fails_leaves_the_old_schema(steps: str, url: str) -> None:
    ask("CREATE TABLE note (number INTEGER PRIMARY KEY)")
    ask("CREATE TABLE other (text TEXT)")
    ask("CREATE INDEX ix_note_text ON other (text)")  # its last step will find the name taken
    before = ask(SCHEMA)
    with pytest.raises(OperationalError):
        upgrade(url, metadata, steps, "0002")
    assert ask(SCHEMA) == before


def test_a_database_of_a_newer_release_is_refused_and_not_touched(steps: str, url: str) -> None:
    upgrade(url, metadata, steps, "0002")
    ask("UPDATE alembic_version SET version_num = '0003'")
    before = ask(SCHEMA)
    with pytest.raises(UnknownRevision, match=r"0003.*0002"):
        upgrade(url, metadata, steps, "0002")
    assert ask(SCHEMA) == before
    assert ask("SELECT version_num FROM alembic_version") == [("0003",)]
