"""What the calendar does to the directory: idle accounts and mnemonics are listed, disabled, withdrawn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from typing import Final

from msc.access.policy import last_active
from msc.directory.rows import Account, Directory, Mnemonic, Status, User
from msc.directory.store import Actor, Change
from msc.settings import AccessSettings

SWITCH: Final = Actor("switch", "switch")
NOTICE_DAYS: Final = 90
"""How long before it is disabled an idle mnemonic is listed (PPP 1.6.2)."""


def due(directory: Directory, rules: AccessSettings, today: date) -> list[Change]:
    """Return what the day asks for; nothing, if it was done already."""
    return [*_idle_accounts(directory, rules, today), *_idle_mnemonics(directory, rules, today)]


def _idle_accounts(directory: Directory, rules: AccessSettings, today: date) -> Iterator[Change]:
    """CJLEADS II.2.c-d: an account is deactivated after 90 idle days; after 180 its authorisation is withdrawn."""
    for user in directory.users.values():
        if user.status is Status.REMOVED:
            continue
        last = last_life(user, directory.account(user.user))
        idle_days = (today - last).days if last is not None else 0
        if idle_days >= rules.idle_withdraw_days and user.authorised_by:
            detail = {"authorised_by": [user.authorised_by, ""]}
            yield Change("user", user.user, "withdrawn", replace(user, authorised_by=""), detail=detail)
        elif idle_days >= rules.idle_account_days and user.status is Status.ACTIVE:
            row = replace(
                user, status=Status.DISABLED, status_since=today, status_reason=f"not used since {last}"
            )  # fmt: skip
            yield Change("user", user.user, "disabled", row, detail={"last_used": str(last)})


def last_life(user: User, account: Account) -> date | None:
    """Return the last day an account showed life; being disabled or suspended is not a sign of it."""
    return last_active(user if user.status is Status.ACTIVE else replace(user, status_since=None), account)


def last_use(row: Mnemonic) -> date | None:
    """Return the last day a mnemonic showed life: used, programmed or reinstated."""
    return max((day for day in (row.last_used, row.programmed, row.status_since) if day is not None), default=None)


def notice(row: Mnemonic, last: date) -> date | None:
    """Return when a mnemonic was listed as idle. What was listed before it last showed life is none for this time."""
    return row.listed if row.listed is not None and row.listed > last else None


def _idle_mnemonics(directory: Directory, rules: AccessSettings, today: date) -> Iterator[Change]:
    """PPP 1.6.2: unused for nine months it is disabled, and it is listed 90 days before."""
    for row in directory.mnemonics.values():
        last = last_use(row)
        if row.status is not Status.ACTIVE or last is None:
            continue
        idle_days = (today - last).days
        listed = notice(row, last)
        listed_long = listed is not None and today - listed >= timedelta(days=NOTICE_DAYS)
        if idle_days >= rules.idle_mnemonic_days and listed_long:
            gone = replace(row, status=Status.DISABLED, status_since=today, status_reason=f"not used since {last}")
            yield Change("mnemonic", row.mnemonic, "disabled", gone, detail={"last_used": str(last)})
        elif idle_days >= rules.idle_mnemonic_days - NOTICE_DAYS and listed is None:
            detail = {"last_used": str(last)}
            listing = replace(row, listed=today)
            yield Change("mnemonic", row.mnemonic, "listed", listing, detail=detail, state=("listed",))
