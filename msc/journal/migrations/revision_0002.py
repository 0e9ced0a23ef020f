"""What was acted upon and why, in the audit stream; and the indexes its searches use."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add `subject` and `reason` to `audit`, and four indexes."""
    op.add_column("audit", sa.Column("subject", sa.Text))
    op.add_column("audit", sa.Column("reason", sa.Text))
    op.create_index("ix_audit_at", "audit", ["at"])
    for name in ("event", "user", "device"):
        op.create_index(f"ix_audit_{name}_at", "audit", [name, "at"])
