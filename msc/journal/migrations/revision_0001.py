"""The journal as 0.1 made it.

Journals of 0.1 have these tables and do not say so: what is there is left as it is.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make what is missing of the tables of 0.1."""
    texts = (
        "device", "line", "user", "agency", "ori", "mnemonic", "header", "own_header", "oif", "taf", "key", "system",
        "database",
    )  # fmt: skip
    op.create_table(
        "message",
        sa.Column("msn", sa.Integer, primary_key=True),
        sa.Column("received", sa.BigInteger, nullable=False),
        sa.Column("direction", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        *(sa.Column(name, sa.Text) for name in texts),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("transaction", sa.BigInteger),
        *(sa.Column(name, sa.Text) for name in ("ref", "requester", "secondary", "priority", "reason", "code")),
        sa.Column("sequence", sa.BigInteger),
        sa.Column("session", sa.Text),
        if_not_exists=True,
    )
    op.create_index("ix_message_transaction", "message", ["transaction"], if_not_exists=True)
    op.create_table(
        "event",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("msn", sa.BigInteger, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("destination", sa.Text),
        sa.Column("detail", sa.Text),
        if_not_exists=True,
    )
    op.create_index("ix_event_msn", "event", ["msn"], if_not_exists=True)
    op.create_table(
        "audit",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("event", sa.Text, nullable=False),
        *(sa.Column(name, sa.Text) for name in ("device", "user", "mnemonic", "source", "session", "code", "detail")),
        if_not_exists=True,
    )
