"""The journal of whole messages and steps: tail, checkpoints, months, holds.

Journals of earlier forms are refused, and nothing of them is touched: those bear a revision before this one, or none.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from msc.migration import UnknownRevision

revision = "0004"
down_revision = None


def upgrade() -> None:
    """Make the tables.

    Raises:
        UnknownRevision: It is a journal of release 0.1.
    """
    if sa.inspect(op.get_bind()).has_table("message"):
        raise UnknownRevision("it is of release 0.1, which this release cannot read; keep it, and begin a new one")
    op.create_table(
        "tail",
        sa.Column("seq", sa.Integer, primary_key=True),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("link", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "checkpoint",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("statement", sa.Text, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("signature", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "state",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    whole = ("first", "last", "first_msn", "last_msn", "first_at", "last_at", "sealed", "deleted")
    op.create_table(
        "month",
        sa.Column("month", sa.Integer, primary_key=True),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in whole),
    )
    op.create_table(
        "hold",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("month", sa.Integer, nullable=False),
        sa.Column("criteria", sa.Text, nullable=False),
        sa.Column("placed_at", sa.BigInteger, nullable=False),
        sa.Column("placed_by", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("released_at", sa.BigInteger, nullable=False),
        sa.Column("released_by", sa.Text, nullable=False),
    )
