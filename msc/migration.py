"""Bringing a database to the schema of this release: the one way for the journal and the directory alike.

A database says in its table `alembic_version` which revision its tables are of. A new one is made as this
release wants it; an older one is upgraded, revision by revision, by the modules of a migrations package:

    msc/journal/migrations/__init__.py          HEAD: the revision of this release
    msc/journal/migrations/revision_0001.py     revision, down_revision, upgrade()

A release goes forward only: whoever wants to go back restores the backup.
"""

from __future__ import annotations

from importlib.resources import as_file, files
from typing import Final

from sqlalchemy import (
    Column,
    Connection,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    create_engine,
    delete,
    insert,
    inspect,
    make_url,
    select,
)
from sqlalchemy.pool import NullPool

from msc.errors import MSCError
from msc.log import get_logger

log = get_logger("migration")

# As alembic would make it.
_version: Final = Table(
    "alembic_version",
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)


NEW: Final = "new"
"""What a database is of that holds nothing yet."""


class UnknownRevision(MSCError):
    """The database was made or upgraded by a newer release; nothing of it was touched."""


def stamped(connection: Connection) -> str | None:
    """Return the revision a database is of; None if it does not say, as those made before 0.2 do not."""
    if not inspect(connection).has_table(_version.name):
        return None
    return connection.execute(select(_version.c.version_num)).scalar()


def upgrade(url: str, metadata: MetaData, package: str, head: str) -> None:
    """Make the tables of a new database, or bring those of an older one up to date.

    One transaction does all of it: whatever interrupts it leaves the old schema, whole. It blocks; within a
    coroutine it belongs in a thread.

    Args:
        url: Of an SQLite database; its driver does not matter.
        metadata: The tables as this release wants them.
        package: The migrations package: `msc.journal.migrations`.
        head: Its newest revision, which stands for `metadata`.

    Raises:
        UnknownRevision: The database is of a newer release.
        sqlalchemy.exc.SQLAlchemyError: It cannot be read or written.
    """
    engine = create_engine(make_url(url).set(drivername="sqlite"), poolclass=NullPool)
    with engine.connect() as connection:
        if stamped(connection) == head:
            return
        connection.rollback()
        # The driver begins a transaction for rows alone; this one holds the tables too. IMMEDIATE, so that
        # of two that would upgrade the second waits, and finds it done.
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        before = upgrade_within(connection, metadata, package, head)
        connection.commit()
    if before not in (NEW, head):
        log.info("database.upgraded", package=package, before=before, after=head)


def upgrade_within(connection: Connection, metadata: MetaData, package: str, head: str) -> str | None:
    """Do what `upgrade` does within a transaction that holds tables too; the caller commits it.

    Returns:
        The revision it was of before, `NEW` if it held nothing; None if it did not say.

    Raises:
        UnknownRevision: The database is of a newer release.
        sqlalchemy.exc.SQLAlchemyError: It cannot be read or written.
    """
    before = stamped(connection)
    if before == head:
        return head
    # One with tables of other names is none that is new: they may be what an early release left.
    if before is None and not inspect(connection).get_table_names():
        before = NEW
        metadata.create_all(connection)
    else:
        _run(connection, package, before, head)
    _version.create(connection, checkfirst=True)
    connection.execute(delete(_version))
    connection.execute(insert(_version).values(version_num=head))
    return before


def _run(connection: Connection, package: str, before: str | None, head: str) -> None:
    """Run the revisions after the one a database is of; all of them, if it does not say."""
    # Imported here: it takes longer than all else at a start, and hardly any start needs it.
    from alembic.operations import Operations
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    with as_file(files(package)) as folder:
        revisions = ScriptDirectory(str(folder), version_locations=[str(folder)])
        known = list(revisions.walk_revisions(head=head))
        if before is not None and before not in {script.revision for script in known}:
            raise UnknownRevision(
                f"the database is of revision {before}, which this release does not know; its own is {head}"
            )
        due = list(revisions.iterate_revisions(head, before or "base"))
        with Operations.context(MigrationContext.configure(connection)):
            for script in reversed(due):
                script.module.upgrade()
