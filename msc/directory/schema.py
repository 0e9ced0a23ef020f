"""The tables of the directory's database. Those of rows follow from the rows' dataclasses."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import BigInteger, Boolean, Column, Date, Index, Integer, MetaData, String, Table, text

from msc.directory.codec import Kind, members
from msc.directory.rows import TABLES, Account

metadata = MetaData()

_TYPES: Final[dict[Kind, Any]] = {Kind.FLAG: Boolean, Kind.NUMBER: BigInteger, Kind.DAY: Date}


def _table(name: str, row: type[Any]) -> Table:
    key, *rest = members(row).values()
    return Table(
        name,
        metadata,
        Column(key.name, String, primary_key=True),
        *(Column(m.name, _TYPES.get(m.kind, String), nullable=m.optional) for m in rest),
    )


row_tables: Final = {name: _table(name, row) for name, row in TABLES.items()}
account_table: Final = _table("account", Account)

change_table: Final = Table(
    "change",
    metadata,
    Column("revision", Integer, primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False),
    Column("operator", String, nullable=False),
    Column("source", String, nullable=False),
    Column("table", String, nullable=False),
    Column("key", String, nullable=False),
    Column("action", String, nullable=False),
    Column("detail", String, nullable=False),
    Column("reason", String, nullable=False),
    Column("journaled", Boolean, nullable=False),
    sqlite_autoincrement=True,
)
"""Everything that was changed by command, in order; the running switch follows it and journals it."""

lease_table: Final = Table(
    "lease",
    metadata,
    Column("session", String, primary_key=True),
    Column("pool", String, nullable=False),
    Column("mnemonic", String, nullable=False),
    Column("user", String, nullable=False),
    Column("device", String, nullable=False),
    Column("began", BigInteger, nullable=False),
    Column("ended", BigInteger),
    Column("end_reason", String),
)
"""Who held which pooled mnemonic, from when until when, and where (C-POOL)."""
Index("lease_held_once", lease_table.c.mnemonic, unique=True, sqlite_where=text("ended IS NULL"))
Index("lease_by_time", lease_table.c.began)
Index("lease_by_mnemonic", lease_table.c.mnemonic, lease_table.c.ended)

misuse_table: Final = Table(
    "misuse",
    metadata,
    Column("flag", Integer, primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False),
    Column("msn", BigInteger, nullable=False),
    Column("user", String, nullable=False),
    Column("agency", String, nullable=False),
    Column("pattern", String, nullable=False),
    Column("closed", BigInteger),
    Column("closed_by", String),
    Column("outcome", String),
    sqlite_autoincrement=True,
)
"""Messages that look like misuse (PPP 1.10.1), until somebody has looked at them."""
