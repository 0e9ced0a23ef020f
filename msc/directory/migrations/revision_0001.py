"""The directory as 0.1 made it.

Directories of 0.1 have these tables and do not say so: what is there is left as it is.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make what is missing of the tables of 0.1."""

    def table(name: str, *columns: sa.Column[object]) -> None:
        op.create_table(name, sa.Column(name, sa.String, primary_key=True), *columns, if_not_exists=True)

    def text(name: str, *, optional: bool = False) -> sa.Column[object]:
        return sa.Column(name, sa.String, nullable=optional)

    def flag(name: str) -> sa.Column[object]:
        return sa.Column(name, sa.Boolean, nullable=False)

    def number(name: str, *, optional: bool = False) -> sa.Column[object]:
        return sa.Column(name, sa.BigInteger, nullable=optional)

    def day(name: str) -> sa.Column[object]:
        return sa.Column(name, sa.Date)

    table("agency", text("title"), text("ori"), flag("suspended"))
    table(
        "user", text("name"), text("agency"), text("operator_class"), text("password_hash"),
        text("otp_secret", optional=True), number("otp_step"), text("status"), number("locked_at", optional=True),
        day("cleared"), day("certified"), day("statement"), day("password_expires"),
        number("previous_sign_on", optional=True), number("failed_since"),
    )  # fmt: skip
    table(
        "device", text("kind"), text("agency"), text("mnemonic", optional=True), text("pool", optional=True),
        flag("delegated"), flag("enabled"), flag("staffed"), text("location"),
    )  # fmt: skip
    table("pool", text("agency"), text("approval"), text("unsolicited_to", optional=True))
    table("mnemonic", text("agency"), text("pool", optional=True), text("databases"), text("functions"))
