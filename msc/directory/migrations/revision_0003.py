"""Operators: who runs the switch and reads its journal, by role. There are none until somebody adds them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the table of operators."""
    op.create_table(
        "operator",
        sa.Column("operator", sa.String, primary_key=True),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("role", sa.String, nullable=False),
        sa.Column("agency", sa.String, nullable=True),
        sa.Column("certificate", sa.String, nullable=False),
        sa.Column("status", sa.String, nullable=False),
        sa.Column("status_reason", sa.String, nullable=False),
        sa.Column("status_since", sa.Date, nullable=True),
        sa.Column("status_until", sa.Date, nullable=True),
    )
