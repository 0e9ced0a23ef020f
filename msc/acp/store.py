"""The directory's database: agencies, users, devices, pools, mnemonics.

Read whole at start; written when something about a person changes (sign-on, lock, password).
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    Integer,
    MetaData,
    String,
    Table,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from msc.acp.directory import (
    Agency,
    Device,
    Directory,
    Mnemonic,
    OperatorClass,
    Pool,
    User,
    UserStatus,
)
from msc.errors import MSCError
from msc.protocol.station import StationKind

metadata = MetaData()

agency_table = Table(
    "agency",
    metadata,
    Column("agency", String, primary_key=True),
    Column("title", String, nullable=False),
    Column("ori", String, nullable=False, unique=True),
    Column("suspended", Boolean, nullable=False),
)
user_table = Table(
    "user",
    metadata,
    Column("user", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("agency", String, nullable=False),
    Column("operator_class", String, nullable=False),
    Column("password_hash", String, nullable=False),
    Column("otp_secret", String),
    Column("otp_step", BigInteger, nullable=False),
    Column("status", String, nullable=False),
    Column("locked_at", BigInteger),
    Column("cleared", Date),
    Column("certified", Date),
    Column("statement", Date),
    Column("password_expires", Date),
    Column("previous_sign_on", BigInteger),
    Column("failed_since", Integer, nullable=False),
)
device_table = Table(
    "device",
    metadata,
    Column("device", String, primary_key=True),
    Column("kind", String, nullable=False),
    Column("agency", String, nullable=False),
    Column("mnemonic", String, unique=True),
    Column("pool", String),
    Column("delegated", Boolean, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("staffed", Boolean, nullable=False),
    Column("location", String, nullable=False),
)
pool_table = Table(
    "pool",
    metadata,
    Column("pool", String, primary_key=True),
    Column("agency", String, nullable=False),
    Column("approval", String, nullable=False),
    Column("unsolicited_to", String),
)
mnemonic_table = Table(
    "mnemonic",
    metadata,
    Column("mnemonic", String, primary_key=True),
    Column("agency", String, nullable=False),
    Column("pool", String),
    Column("databases", String, nullable=False),
    Column("functions", String, nullable=False),
)


class DirectoryUnavailable(MSCError):
    """The directory's database cannot be read or written."""


def _words(values: Iterable[str]) -> str:
    return " ".join(sorted(values))


class DirectoryStore:
    """The directory in a database, by SQLAlchemy URL."""

    def __init__(self, url: str) -> None:
        self._engine: AsyncEngine = create_async_engine(url)

    async def close(self) -> None:
        """Let go of the database."""
        await self._engine.dispose()

    async def save(self, directory: Directory) -> None:
        """Make the tables where they are missing, and replace their whole content, or nothing.

        Raises:
            DirectoryUnavailable: The database cannot be written.
        """
        content: list[tuple[Table, list[dict[str, Any]]]] = [
            (agency_table, [asdict(row) for row in directory.agencies.values()]),
            (user_table, [asdict(row) for row in directory.users.values()]),
            (device_table, [asdict(row) for row in directory.devices.values()]),
            (pool_table, [asdict(row) for row in directory.pools.values()]),
            (
                mnemonic_table,
                [
                    {**asdict(row), "databases": _words(row.databases), "functions": _words(row.functions)}
                    for row in directory.mnemonics.values()
                ],
            ),
        ]
        try:
            async with self._engine.begin() as connection:
                await connection.run_sync(metadata.create_all)
                for table, rows in content:
                    await connection.execute(delete(table))
                    if rows:
                        await connection.execute(insert(table), rows)
        except SQLAlchemyError as exc:
            raise DirectoryUnavailable(f"the directory cannot be written: {type(exc).__name__}") from exc

    async def load(self) -> Directory:
        """Read the whole directory.

        Raises:
            DirectoryUnavailable: The database cannot be read, or holds what no directory holds.
        """
        try:
            async with self._engine.connect() as connection:

                async def rows(table: Table) -> list[dict[str, Any]]:
                    return [dict(row) for row in (await connection.execute(select(table))).mappings()]

                return Directory(
                    agencies=[Agency(**row) for row in await rows(agency_table)],
                    users=[
                        User(
                            **{
                                **row,
                                "operator_class": OperatorClass(row["operator_class"]),
                                "status": UserStatus(row["status"]),
                            }
                        )
                        for row in await rows(user_table)
                    ],
                    devices=[Device(**{**row, "kind": StationKind(row["kind"])}) for row in await rows(device_table)],
                    pools=[Pool(**row) for row in await rows(pool_table)],
                    mnemonics=[
                        Mnemonic(
                            **{
                                **row,
                                "databases": frozenset(row["databases"].split()),
                                "functions": frozenset(row["functions"].split()),
                            }
                        )
                        for row in await rows(mnemonic_table)
                    ],
                )
        except (SQLAlchemyError, ValueError, TypeError) as exc:
            raise DirectoryUnavailable(f"the directory cannot be read: {type(exc).__name__}") from exc

    async def update_user(self, user: str, **members: str | int | datetime.date | None) -> None:
        """Write some columns of one user.

        Raises:
            DirectoryUnavailable: The database cannot be written.
        """
        try:
            async with self._engine.begin() as connection:
                await connection.execute(update(user_table).where(user_table.c.user == user).values(**members))
        except SQLAlchemyError as exc:
            raise DirectoryUnavailable(f"the directory cannot be written: {type(exc).__name__}") from exc
