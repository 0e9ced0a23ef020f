"""The revisions of a journal lead to the tables of this release."""

from __future__ import annotations

from pathlib import Path

from alembic.script import ScriptDirectory

from msc.journal import migrations
from msc.journal.database import schema


def test_the_head_is_the_last_revision() -> None:
    folder = str(Path(migrations.__file__).parent)
    assert ScriptDirectory(folder, version_locations=[folder]).get_heads() == [schema.HEAD]
