"""The tables of a journal: those of the whole, and those of one month.

    tail, checkpoint, state, month, hold       once
    block, segment, page                       once a month: in a file of their own, or with the month in the name

Columns stand in the order of their tuple in `layout`, so that a row needs no translation. Whoever changes a table
of the whole writes a revision too; see `msc.journal.migrations`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import DDL, BigInteger, Column, Index, Integer, LargeBinary, MetaData, Table, Text, event

HEAD: Final = "0004"
"""The revision the tables of the whole are of."""

# BIGINT keys on SQLite would not be the rowid; INTEGER is 64 bits there all the same.
_Key: Final = BigInteger().with_variant(Integer, "sqlite")
_PLACES: Final = ("first", "last", "first_msn", "last_msn", "first_at", "last_at")

metadata = MetaData()


def _whole(*names: str) -> list[Column[int]]:
    return [Column(name, BigInteger, nullable=False) for name in names]


def _texts(*names: str) -> list[Column[str]]:
    return [Column(name, Text, nullable=False) for name in names]


def _bytes(*names: str) -> list[Column[bytes]]:
    return [Column(name, LargeBinary, nullable=False) for name in names]


def _as_it_is(table: Table, *columns: str) -> Table:
    """Keep PostgreSQL from compressing what is compressed already, or gone in a minute."""
    for column in columns:
        statement = DDL(f"ALTER TABLE {table.name} ALTER COLUMN {column} SET STORAGE EXTERNAL")  # type: ignore[no-untyped-call]
        event.listen(table, "after_create", statement.execute_if(dialect="postgresql"))
    return table


tail_table = _as_it_is(
    Table(
        "tail",
        metadata,
        Column("seq", _Key, primary_key=True, autoincrement=False),
        *_bytes("body", "link"),
        # All of its rows go within minutes. PostgreSQL shall clear them away by their number, whatever the share,
        # and not lock out the writer to cut the file.
        postgresql_with={
            "autovacuum_vacuum_scale_factor": 0,
            "autovacuum_vacuum_threshold": 20_000,
            "vacuum_truncate": False,
        },
    ),
    "body",
)

checkpoint_table = Table(
    "checkpoint",
    metadata,
    Column("number", _Key, primary_key=True, autoincrement=False),
    *_whole("seq"),
    *_texts("statement"),
    *_bytes("body", "signature"),
)

state_table = Table(
    "state", metadata, Column("number", Integer, primary_key=True, autoincrement=False), *_bytes("body")
)

month_table = Table(
    "month",
    metadata,
    Column("month", Integer, primary_key=True, autoincrement=False),
    *_whole(*_PLACES, "sealed", "deleted"),
)

hold_table = Table(
    "hold",
    metadata,
    Column("number", _Key, primary_key=True, autoincrement=False),
    *_texts("name"),
    Column("month", Integer, nullable=False),
    *_texts("criteria"),
    *_whole("placed_at"),
    *_texts("placed_by", "reason"),
    *_whole("released_at"),
    *_texts("released_by"),
)


@dataclass(frozen=True, slots=True)
class MonthTables:
    """The tables of one month."""

    metadata: MetaData
    block: Table
    segment: Table
    page: Table


def month_tables(suffix: str = "", *, covering: bool = False) -> MonthTables:
    """Describe a month's tables.

    Args:
        suffix: Of their names.
        covering: With indexes that hold all of a block's key and a page's first term: SQLite keeps the beginning
            of a long value beside the row's other columns, so that to read those alone it would read it all.
    """
    own = MetaData()
    block = Table(
        f"block{suffix}",
        own,
        Column("first", _Key, primary_key=True, autoincrement=False),
        *_whole(*_PLACES[1:]),
        *_bytes("link", "marks", "body"),
    )
    segment = Table(
        f"segment{suffix}",
        own,
        Column("number", _Key, primary_key=True, autoincrement=False),
        *_whole("tier", "pages", "entries"),
    )
    page = Table(
        f"page{suffix}",
        own,
        Column("segment", BigInteger, primary_key=True, autoincrement=False),
        Column("number", BigInteger, primary_key=True, autoincrement=False),
        *_texts("first_term"),
        *_bytes("body"),
    )
    if covering:
        Index("block_key", *(block.c[name] for name in _PLACES))
        Index("page_first_term", page.c.segment, page.c.number, page.c.first_term)
    return MonthTables(own, _as_it_is(block, "marks", "body"), segment, _as_it_is(page, "body"))
