"""The directory's database: rows, accounts, the log of changes, leases of pooled mnemonics, misuse flags.

Read whole at start. Commands change it in one transaction with the log of what they changed; a running switch
follows that log, so a change is in force a moment later, and is journaled even if it was made while no switch ran.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Table, delete, event, func, insert, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from msc import migration
from msc.directory import migrations
from msc.directory.codec import members
from msc.directory.rows import TABLES, Account, AnyRow, Directory
from msc.directory.schema import account_table, change_table, lease_table, metadata, misuse_table, row_tables
from msc.errors import MSCError

_CHUNK = 500
"""Keys or rows of one SELECT: SQLite bounds the variables of a statement, and other work wants its turn."""


class DirectoryUnavailable(MSCError):
    """The directory's database cannot be read or written."""


class DirectoryChanged(MSCError):
    """Somebody else changed the directory meanwhile; nothing was written."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who changes the directory.

    Attributes:
        operator: The person, as told.
        source: Where from: `cli:ACCOUNT` or `switch`.
    """

    operator: str
    source: str


@dataclass(frozen=True, slots=True)
class Change:
    """One row of the directory changed, added or taken out.

    Attributes:
        table: A name of `TABLES`, or `account`. Any other is of something that stands elsewhere, such as
            `certificate`: it is noted, so that the auditors hear of it.
        action: `added`, `changed`, `removed`, `suspended`, `password_reset` …
        row: The row as it is to be; None takes it out, or, for an account, leaves it to `account`.
        account: Members of the user's account to set.
        detail: What changed, member by member; never a secret.
        state: Members of the row that the switch keeps and this change sets all the same; the others stay as they
            are in the database, whatever the row says: the switch may have written them since the row was read.
    """

    table: str
    key: str
    action: str
    row: AnyRow | None = None
    account: dict[str, Any] | None = None
    detail: dict[str, Any] | None = None
    state: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LoggedChange:
    """A change as the log holds it; `at` in wall microseconds."""

    revision: int
    at: int
    operator: str
    source: str
    table: str
    key: str
    action: str
    detail: str
    reason: str
    journaled: bool


@dataclass(frozen=True, slots=True)
class Lease:
    """A pooled mnemonic held by a session; times in wall microseconds, `ended` None while it is held."""

    session: str
    pool: str
    mnemonic: str
    user: str
    device: str
    began: int
    ended: int | None = None
    end_reason: str | None = None


@dataclass(frozen=True, slots=True)
class MisuseFlag:
    """A message that looks like misuse (PPP 1.10.1), and what came of looking at it."""

    flag: int
    at: int
    msn: int
    user: str
    agency: str
    pattern: str
    closed: int | None = None
    closed_by: str | None = None
    outcome: str | None = None


def _columns(row: AnyRow | Account) -> dict[str, Any]:
    return {name: member.to_column(getattr(row, name)) for name, member in members(type(row)).items()}


def _read(cls: type[Any], row: Any) -> Any:
    return cls(**{name: member.from_column(row[name]) for name, member in members(cls).items()})


class DirectoryStore:
    """The directory in a database, by SQLAlchemy URL. Writes happen one after another."""

    def __init__(self, url: str) -> None:
        self._engine: AsyncEngine = create_async_engine(url)
        self._writing = asyncio.Lock()
        event.listen(self._engine.sync_engine, "connect", _configure)

    async def close(self) -> None:
        """Let go of the database."""
        await self._engine.dispose()

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[AsyncConnection]:
        try:
            async with self._engine.connect() as connection:
                yield connection
        except (SQLAlchemyError, ValueError, TypeError) as exc:
            raise DirectoryUnavailable(f"the directory cannot be read: {_name(exc)}") from exc

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[AsyncConnection]:
        """One writing transaction; it begins with the right to write, so that what it reads stays true."""
        try:
            async with self._writing, self._engine.connect() as connection:
                await connection.exec_driver_sql("BEGIN IMMEDIATE")
                yield connection
                await connection.commit()
        except SQLAlchemyError as exc:
            raise DirectoryUnavailable(f"the directory cannot be written: {_name(exc)}") from exc

    # --- the whole --------------------------------------------------------------------------------

    async def open(self) -> None:
        """Open the database. A new one gets its tables, one of an earlier release is upgraded.

        Raises:
            DirectoryUnavailable: It cannot be written, or is of a newer release.
        """
        try:
            await asyncio.to_thread(
                migration.upgrade, str(self._engine.url), metadata, migrations.__name__, migrations.HEAD
            )
        except (SQLAlchemyError, migration.UnknownRevision) as exc:
            raise DirectoryUnavailable(f"the directory cannot be opened: {_name(exc)}") from exc

    async def save(self, directory: Directory) -> None:
        """Replace the whole content of rows and accounts, or nothing. For making a site; nothing is logged.

        Raises:
            DirectoryUnavailable: The database cannot be written.
        """
        await self.open()
        async with self._transaction() as connection:
            for name, table in row_tables.items():
                await _refill(connection, table, map(_columns, directory.table(name).values()))
            await _refill(connection, account_table, map(_columns, directory.accounts.values()))

    async def load(self) -> Directory:
        """Read the whole directory.

        Raises:
            DirectoryUnavailable: The database cannot be read, or holds what no directory holds.
        """
        directory = Directory()
        async with self._reading() as connection:
            for name, cls in TABLES.items():
                rows = (await connection.execute(select(row_tables[name]))).mappings()
                directory.table(name).update((row[name], _read(cls, row)) for row in rows)
            accounts = (await connection.execute(select(account_table))).mappings()
            directory.accounts.update((row["user"], _read(Account, row)) for row in accounts)
        directory.replace(())
        return directory

    # --- changes by command -------------------------------------------------------------------------

    async def change(
        self, changes: Sequence[Change], actor: Actor, reason: str, at: int, base: int | None = None
    ) -> int:
        """Make changes, all or none, and log them.

        Args:
            at: Wall microseconds.
            base: The revision the changes were worked out from; if it is no longer the last, nothing is done.

        Returns:
            The revision they made.

        Raises:
            DirectoryChanged: The directory is past `base`.
            DirectoryUnavailable: The database cannot be written.
        """
        async with self._transaction() as connection:
            last = await _revision(connection)
            if base is not None and last != base:
                raise DirectoryChanged("somebody else changed the directory meanwhile; look again, and repeat")
            await _write(connection, changes)
            log = [
                {
                    "at": at, "operator": actor.operator, "source": actor.source, "table": change.table,
                    "key": change.key, "action": change.action, "reason": reason, "journaled": False,
                    "detail": json.dumps(change.detail or {}, default=str, sort_keys=True),
                }
                for change in changes
            ]  # fmt: skip
            if log:
                await connection.execute(insert(change_table), log)
            return await _revision(connection)

    async def revision(self) -> int:
        """Return the number of the last change."""
        async with self._reading() as connection:
            return await _revision(connection)

    async def changes_since(self, revision: int) -> list[LoggedChange]:
        """Return the changes after a revision, and older ones not journaled yet, in order."""
        wanted = (change_table.c.revision > revision) | ~change_table.c.journaled
        statement = select(change_table).where(wanted).order_by(change_table.c.revision).limit(_CHUNK)
        found: list[LoggedChange] = []
        async with self._reading() as connection:
            # A part at a time: thousands at once would keep the switch's messages waiting.
            while True:
                part = statement.where(change_table.c.revision > found[-1].revision) if found else statement
                rows = (await connection.execute(part)).mappings().all()
                found += [LoggedChange(**row) for row in rows]
                if len(rows) < _CHUNK:
                    return found

    async def mark_journaled(self, revision: int) -> None:
        """Note that the changes up to a revision stand in the journal."""
        async with self._transaction() as connection:
            where = (change_table.c.revision <= revision) & ~change_table.c.journaled
            await connection.execute(update(change_table).where(where).values(journaled=True))

    async def read(self, table: str, keys: Iterable[str]) -> list[AnyRow]:
        """Read some rows of a table; those that are not there are left out."""
        return await self._rows(row_tables[table], TABLES[table], table, keys)

    async def read_accounts(self, users: Iterable[str]) -> list[Account]:
        """Read some accounts."""
        return await self._rows(account_table, Account, "user", users)

    async def _rows(self, table: Table, cls: type[Any], key: str, keys: Iterable[str]) -> list[Any]:
        found: list[Any] = []
        async with self._reading() as connection:
            for chunk in _chunks(keys):
                where = table.c[key].in_(chunk)
                rows = (await connection.execute(select(table).where(where))).mappings()
                found += [_read(cls, row) for row in rows]
        return found

    # --- what the switch learns ---------------------------------------------------------------------

    async def update_account(
        self,
        user: str,
        changed: Mapping[str, Any],
        *,
        lease: Lease | None = None,
        expected: Mapping[str, Any] | None = None,
    ) -> None:
        """Write some members of a user's account, and with them a lease that begins.

        Args:
            expected: Members that must be so in the database, or nothing is written.

        Raises:
            DirectoryChanged: One is not.
            DirectoryUnavailable: The database cannot be written; nothing was.
        """
        async with self._transaction() as connection:
            if expected:
                found = await connection.execute(select(account_table).where(account_table.c.user == user))
                row = found.mappings().one_or_none()
                account = _read(Account, row) if row is not None else Account(user)
                if any(getattr(account, name) != value for name, value in expected.items()):
                    raise DirectoryChanged(f"the account of {user} has changed meanwhile")
            await _set_accounts(connection, {user: changed})
            if lease is not None:
                # One that could not be ended when it was given back ends here at the latest.
                where = (lease_table.c.mnemonic == lease.mnemonic) & lease_table.c.ended.is_(None)
                values = {"ended": lease.began, "end_reason": "superseded"}
                await connection.execute(update(lease_table).where(where).values(**values))
                await connection.execute(insert(lease_table), [asdict(lease)])

    async def touch(self, table: str, key: str, **changed: Any) -> None:
        """Write members of a row that the switch keeps: last use, lock-out.

        Raises:
            DirectoryUnavailable: The database cannot be written.
        """
        target = row_tables[table]
        async with self._transaction() as connection:
            await connection.execute(update(target).where(target.c[table] == key).values(**changed))

    # --- leases -------------------------------------------------------------------------------------

    async def end_lease(self, session: str, at: int, reason: str) -> None:
        """Note that a session gave its mnemonic back."""
        async with self._transaction() as connection:
            where = (lease_table.c.session == session) & lease_table.c.ended.is_(None)
            await connection.execute(update(lease_table).where(where).values(ended=at, end_reason=reason))

    async def end_all_leases(self, at: int, reason: str) -> list[Lease]:
        """End what a switch that died had out.

        Returns:
            The leases, as they were.
        """
        async with self._transaction() as connection:
            held = select(lease_table).where(lease_table.c.ended.is_(None))
            left = [Lease(**row) for row in (await connection.execute(held)).mappings()]
            where = lease_table.c.ended.is_(None)
            await connection.execute(update(lease_table).where(where).values(ended=at, end_reason=reason))
            return left

    async def last_leases(self) -> dict[str, int]:
        """Return when each pooled mnemonic was last given back (wall microseconds)."""
        statement = select(lease_table.c.mnemonic, func.max(lease_table.c.ended)).group_by(lease_table.c.mnemonic)
        async with self._reading() as connection:
            return {mnemonic: at or 0 for mnemonic, at in await connection.execute(statement)}

    async def leases(self, limit: int | None, **equal: str | None) -> list[Lease]:
        """Return leases, newest first, of a pool, mnemonic, user or device where one is named; None is all."""
        statement = select(lease_table).order_by(lease_table.c.began.desc()).limit(limit)
        for name, value in equal.items():
            if value is not None:
                statement = statement.where(lease_table.c[name] == value)
        async with self._reading() as connection:
            return [Lease(**row) for row in (await connection.execute(statement)).mappings()]

    # --- misuse flags -------------------------------------------------------------------------------

    async def flag_misuse(self, flags: Sequence[tuple[int, int, str, str, str]]) -> None:
        """Put messages on the review list: at, MSN, user, agency, pattern."""
        rows = [
            dict(zip(("at", "msn", "user", "agency", "pattern"), flag, strict=True))
            for flag in flags
        ]  # fmt: skip
        async with self._transaction() as connection:
            await connection.execute(insert(misuse_table), rows)

    async def misuse(self, *, closed: bool, user: str | None = None, flag: int | None = None) -> list[MisuseFlag]:
        """Return the review list: the open flags or all, of a user or of one number where that is given."""
        statement = select(misuse_table).order_by(misuse_table.c.flag)
        if not closed:
            statement = statement.where(misuse_table.c.closed.is_(None))
        if user is not None:
            statement = statement.where(misuse_table.c.user == user)
        if flag is not None:
            statement = statement.where(misuse_table.c.flag == flag)
        async with self._reading() as connection:
            return [MisuseFlag(**row) for row in (await connection.execute(statement)).mappings()]

    async def close_misuse(self, flag: int, outcome: str, actor: Actor, at: int) -> bool:
        """Note what came of looking at a flag.

        Returns:
            Whether there was such an open flag.
        """
        async with self._transaction() as connection:
            where = (misuse_table.c.flag == flag) & misuse_table.c.closed.is_(None)
            done = await connection.execute(
                update(misuse_table).where(where).values(closed=at, closed_by=actor.operator, outcome=outcome)
            )
            if not done.rowcount:
                return False
            log = {
                "at": at, "operator": actor.operator, "source": actor.source, "table": "misuse", "key": str(flag),
                "action": "closed", "reason": outcome, "journaled": False, "detail": "{}",
            }  # fmt: skip
            await connection.execute(insert(change_table), [log])
            return True


def _configure(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    # A command reads and writes while the switch runs; what was written has to outlive a power cut.
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=10000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _name(exc: Exception) -> str:
    """Name what went wrong without its statement, which holds rows."""
    cause = getattr(exc, "orig", None)
    if isinstance(exc, migration.UnknownRevision):
        return str(exc)
    return f"{type(exc).__name__}: {cause}" if cause is not None else type(exc).__name__


def _chunks(keys: Iterable[str]) -> Iterator[list[str]]:
    every = list(keys)
    for start in range(0, len(every), _CHUNK):
        yield every[start : start + _CHUNK]


async def _revision(connection: AsyncConnection) -> int:
    return int((await connection.execute(select(func.max(change_table.c.revision)))).scalar() or 0)


async def _refill(connection: AsyncConnection, table: Table, rows: Iterable[dict[str, Any]]) -> None:
    await connection.execute(delete(table))
    content = list(rows)
    if content:
        await connection.execute(insert(table), content)


async def _write(connection: AsyncConnection, changes: Sequence[Change]) -> None:
    """Write the last row of each key: thousands of rows are a few statements."""
    for name, table in row_tables.items():
        last = {change.key: change for change in changes if change.table == name}
        kept = [member.name for member in members(TABLES[name]).values() if member.state]
        there: dict[str, Any] = {}
        for keys in _chunks(last):
            where = table.c[name].in_(keys)
            if kept:
                found = await connection.execute(select(table.c[name], *(table.c[one] for one in kept)).where(where))
                there |= {row[name]: dict(row) for row in found.mappings()}
            await connection.execute(delete(table).where(where))
        rows = [
            _columns(change.row) | {one: state[one] for one in kept if one not in change.state and state}
            for key, change in last.items()
            if change.row is not None
            for state in [there.get(key, {})]
        ]
        if rows:
            await connection.execute(insert(table), rows)
    accounts: dict[str, dict[str, Any]] = {}
    for change in changes:
        if change.account is not None:
            accounts.setdefault(change.key, {}).update(change.account)
    await _set_accounts(connection, accounts)


async def _set_accounts(connection: AsyncConnection, changed: Mapping[str, Mapping[str, Any]]) -> None:
    known, table = members(Account), account_table
    content = []
    for users in _chunks(changed):
        where = table.c.user.in_(users)
        there = {row["user"]: dict(row) for row in (await connection.execute(select(table).where(where))).mappings()}
        await connection.execute(delete(table).where(where))
        for user in users:
            columns = {name: known[name].to_column(value) for name, value in changed[user].items()}
            content.append(there.get(user, _columns(Account(user))) | columns)
    if content:
        await connection.execute(insert(table), content)
