"""What a county writes down and what the switch learns, told apart; agreements, changes, leases and misuse flags.

Everything 0.1 held stays. What it did not ask for is filled in where access would otherwise stop on the day of the
upgrade (who authorised whom, the steps of a mnemonic), and is marked as carried over; what a person has to sign, such
as the DMV statement, is left open.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from msc import clock

revision = "0002"
down_revision = "0001"

_CARRIED_OVER = "carried over from 0.1"


def upgrade() -> None:
    """Make the tables of 0.2 and take the rows of 0.1 over into them."""
    today = clock.today().isoformat()
    # SQLite cannot take a column or a constraint away: each table is made anew beside the old one.
    for name in ("agency", "user", "device", "pool", "mnemonic"):
        op.rename_table(name, f"old_{name}")
    _agencies()
    _users(today)
    _devices()
    _pools()
    _mnemonics(today)
    for name in ("agency", "user", "device", "pool", "mnemonic"):
        op.drop_table(f"old_{name}")
    _agreements()
    _changes()
    _leases()
    _misuse()


# --- columns ------------------------------------------------------------------------------------


def _table(name: str, *columns: sa.Column[object], key: str | None = None) -> None:
    op.create_table(name, sa.Column(key or name, sa.String, primary_key=True), *columns)


def _rows(name: str, *columns: sa.Column[object]) -> None:
    """Make a table of rows: its own columns, and those every row has."""
    shared = (_text("status"), _text("status_reason"), _day("status_since"), _day("status_until"))
    _table(name, *columns, *shared)


def _text(name: str, *, optional: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.String, nullable=optional)


def _flag(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.Boolean, nullable=False)


def _number(name: str, *, optional: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.BigInteger, nullable=optional)


def _day(name: str, *, optional: bool = True) -> sa.Column[object]:
    return sa.Column(name, sa.Date, nullable=optional)


def _fill(table: str, source: str, /, **values: str) -> None:
    """Fill a table from an old one; each value is an SQL expression over that one's columns."""
    into = ", ".join(f'"{column}"' for column in values)
    op.execute(f'INSERT INTO "{table}" ({into}) SELECT {", ".join(values.values())} FROM "old_{source}"')  # noqa: S608


def _same(*columns: str) -> dict[str, str]:
    return {column: f'"{column}"' for column in columns}


def _empty(*columns: str) -> dict[str, str]:
    return dict.fromkeys((*columns, "status_reason"), "''")


# --- rows ---------------------------------------------------------------------------------------


def _agencies() -> None:
    _rows(
        "agency", _text("title"), _text("ori"), _text("further_oris"), _text("kind"), _text("access"),
        _text("databases"), _text("functions"), _text("suspended_databases"),
        _text("purpose_exceptions"), _text("staffing_waiver"),
        _text("password_policy"),
    )  # fmt: skip
    _fill(
        "agency", "agency",
        **_same("agency", "title", "ori"),
        **_empty("further_oris", "suspended_databases", "purpose_exceptions", "staffing_waiver"),
        kind="'law_enforcement'", access="'full'", databases="'*'", functions="'*'",
        password_policy="'cjis'",  # noqa: S106
        status="CASE WHEN suspended THEN 'suspended' ELSE 'active' END",
    )  # fmt: skip


def _users(today: str) -> None:
    _rows(
        "user", _text("name"), _text("agency"), _text("operator_class"), _flag("direct"), _text("authorised_by"),
        *(_day(name) for name in ("added", "appointed", "certified")), _number("score", optional=True),
        *(_day(name) for name in ("cleared", "statement", "dmv_statement", "acknowledged", "reviewed")),
        _text("reviewed_by"), _text("review_outcome"), _text("suspended_databases"),
    )  # fmt: skip
    _fill(
        "user", "user",
        **_same("user", "name", "agency", "operator_class", "certified", "cleared", "statement", "status"),
        **_empty("reviewed_by", "review_outcome", "suspended_databases"),
        direct="1", authorised_by=f"'{_CARRIED_OVER}'", added=f"'{today}'",
    )  # fmt: skip
    _table(
        "account", _text("password_hash"), _day("password_expires"), _text("password_history"),
        _text("otp_secret", optional=True), _number("otp_step"), _text("recovery_codes"),
        _number("locked_at", optional=True), _number("previous_sign_on", optional=True), _number("failed_since"),
        key="user",
    )  # fmt: skip
    _fill(
        "account", "user",
        **_same(
            "user", "password_hash", "password_expires", "otp_secret", "otp_step", "locked_at", "previous_sign_on",
            "failed_since",
        ),
        **dict.fromkeys(("password_history", "recovery_codes"), "''"),
    )  # fmt: skip


def _devices() -> None:
    _rows(
        "device", _text("kind"), _text("agency"), _text("mnemonic", optional=True), _text("pool", optional=True),
        _flag("delegated"), _flag("staffed"), _text("location"), _text("device_class"), _text("licence"),
        _text("certificate"), _number("locked_at", optional=True),
    )  # fmt: skip
    _fill(
        "device", "device",
        **_same("device", "kind", "agency", "mnemonic", "pool", "delegated", "staffed", "location"),
        **_empty("licence", "certificate"), device_class="'workstation'",
        status="CASE WHEN enabled THEN 'active' ELSE 'disabled' END",
    )  # fmt: skip


def _pools() -> None:
    _rows("pool", _text("agency"), _text("approval"), _text("unsolicited_to", optional=True), _text("late_answers"))
    _fill(
        "pool", "pool",
        **_same("pool", "agency", "approval", "unsolicited_to"), **_empty(), late_answers="'wait'", status="'active'",
    )  # fmt: skip


def _mnemonics(today: str) -> None:
    steps = ("requested", "forwarded", "authorised", "programmed", "notified")
    _rows(
        "mnemonic", _text("agency"), _text("pool", optional=True), _text("databases"), _text("functions"),
        _text("mode"), _day("expires"), _flag("administrative"), _text("authorised_by"),
        *(_day(name) for name in (*steps, "listed", "last_used")),
    )  # fmt: skip
    taken = dict.fromkeys(("requested", "authorised", "programmed"), f"'{today}'")
    _fill(
        "mnemonic", "mnemonic",
        **_same("mnemonic", "agency", "pool", "databases", "functions"), **_empty(), **taken, mode="'production'",
        administrative="1", authorised_by=f"'{_CARRIED_OVER}'", status="'active'",
    )  # fmt: skip


# --- what 0.1 had not -----------------------------------------------------------------------------


def _agreements() -> None:
    _rows("agreement", _text("agency"), _day("effective", optional=False), _day("expires"), _text("databases"))


def _changes() -> None:
    op.create_table(
        "change",
        sa.Column("revision", sa.Integer, primary_key=True, autoincrement=True),
        _number("at"),
        *(_text(name) for name in ("operator", "source", "table", "key", "action", "detail", "reason")),
        _flag("journaled"),
        sqlite_autoincrement=True,
    )


def _leases() -> None:
    _table(
        "lease", _text("pool"), _text("mnemonic"), _text("user"), _text("device"), _number("began"),
        _number("ended", optional=True), _text("end_reason", optional=True), key="session",
    )  # fmt: skip
    op.create_index("lease_held_once", "lease", ["mnemonic"], unique=True, sqlite_where=sa.text("ended IS NULL"))
    op.create_index("lease_by_time", "lease", ["began"])
    op.create_index("lease_by_mnemonic", "lease", ["mnemonic", "ended"])


def _misuse() -> None:
    op.create_table(
        "misuse",
        sa.Column("flag", sa.Integer, primary_key=True, autoincrement=True),
        _number("at"),
        _number("msn"),
        *(_text(name) for name in ("user", "agency", "pattern")),
        _number("closed", optional=True),
        *(_text(name, optional=True) for name in ("closed_by", "outcome")),
        sqlite_autoincrement=True,
    )
