"""The journal's tables.

Few indexes on messages and their events, on purpose: they weigh on every acknowledgement. Rows come in MSN
order, so time ranges and the newest rows are found by the primary key; the rest is scanned. Audit rows are few,
and nobody waits for them.

Whoever changes a table writes a revision too; see `msc.journal.migrations`.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, Table, Text

from msc.journal.record import AuditRecord, EventRecord, MessageRecord

metadata = MetaData()

# BIGINT keys on SQLite would not be the rowid; INTEGER is 64 bits there all the same.
_Key = BigInteger().with_variant(Integer, "sqlite")
_WHOLE = frozenset({"msn", "received", "transaction", "sequence", "at"})
_REQUIRED = frozenset({"msn", "received", "direction", "kind", "text", "at", "event"})


def _columns(record: type, *, keyed: str | None = None, indexed: str | None = None) -> list[Column[object]]:
    return [
        Column(
            name,
            _Key if name == keyed else BigInteger if name in _WHOLE else Text,
            primary_key=name == keyed,
            nullable=name not in _REQUIRED,
            index=name == indexed,
        )
        for name in record._fields  # type: ignore[attr-defined]
    ]


message_table = Table("message", metadata, *_columns(MessageRecord, keyed="msn", indexed="transaction"))

event_table = Table(
    "event",
    metadata,
    Column("number", _Key, primary_key=True),
    *_columns(EventRecord, indexed="msn"),
)

audit_table = Table(
    "audit",
    metadata,
    Column("number", _Key, primary_key=True),
    *_columns(AuditRecord),
    Index("ix_audit_at", "at"),
    *(Index(f"ix_audit_{name}_at", name, "at") for name in ("event", "user", "device")),
)
