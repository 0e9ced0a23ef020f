"""What the calendar does: listing, disabling, withdrawing; and what stops it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from msc import clock
from msc.access.housekeeping import SWITCH, due
from msc.directory.rows import Directory, Mnemonic, Status, User
from msc.settings import AccessSettings
from tests.access.conftest import MakePoint
from tests.support.county import account, county, mnemonic, user

RULES = AccessSettings()
TODAY = date(2026, 1, 31)


def ago(days: int) -> date:
    return TODAY - timedelta(days=days)


def moment(days: int) -> int:
    return ((ago(days) - date(1970, 1, 1)).days * 86_400 + 43_200) * 1_000_000


def directory(row: User | Mnemonic, signed_on: int | None = None) -> Directory:
    if isinstance(row, Mnemonic):
        return Directory(mnemonics=[row])
    return Directory(users=[row], accounts=[account(row.user, previous_sign_on=signed_on)])


def actions(found: Directory, today: date = TODAY, rules: AccessSettings = RULES) -> list[str]:
    return [change.action for change in due(found, rules, today)]


# --- accounts -----------------------------------------------------------------------------------------------


@pytest.mark.requirement("N-IDLE")
@pytest.mark.parametrize(
    ("added", "signed_on", "members", "wanted"),
    [
        (400, 89, {}, []),
        (400, 90, {}, ["disabled"]),
        (400, 179, {}, ["disabled"]),
        (400, 180, {}, ["withdrawn"]),
        (89, None, {}, []),
        (90, None, {}, ["disabled"]),
        (400, 90, {"status": Status.DISABLED, "status_since": ago(1)}, []),
        (400, 180, {"status": Status.DISABLED, "status_since": ago(90)}, ["withdrawn"]),
        (400, 180, {"status": Status.DISABLED, "status_since": ago(90), "authorised_by": ""}, []),
        (400, 180, {"status": Status.SUSPENDED, "status_since": ago(1)}, ["withdrawn"]),
        (400, 180, {"status": Status.REMOVED}, []),
        (400, 300, {"status_since": ago(89)}, []),
        (400, 300, {"status_since": ago(90)}, ["disabled"]),
    ],
)
def test_an_idle_account_is_disabled_and_later_its_authorisation_withdrawn(
    added: int, signed_on: int | None, members: dict[str, Any], wanted: list[str]
) -> None:
    row = user("J40217", added=ago(added), **members)
    assert actions(directory(row, moment(signed_on) if signed_on is not None else None)) == wanted


@pytest.mark.requirement("N-IDLE")
def test_the_county_says_how_long_an_account_may_be_idle() -> None:
    rules = RULES.model_copy(update={"idle_account_days": 30, "idle_withdraw_days": 60})
    row = user("J40217", added=ago(400))
    assert [actions(directory(row, moment(days)), rules=rules) for days in (29, 30, 60)] == [
        [], ["disabled"], ["withdrawn"],
    ]  # fmt: skip


@pytest.mark.requirement("N-IDLE")
async def test_an_account_goes_its_way_day_by_day_and_each_step_is_logged_once(make_point: MakePoint) -> None:
    found = Directory(users=[user("J40217", added=TODAY)], accounts=[account("J40217")])
    point = await make_point(found)
    seen = {}
    for days in range(0, 400):
        today = TODAY + timedelta(days=days)
        changes = due(found, RULES, today)
        if changes:
            await point.store.change(changes, SWITCH, "idle", days)
            found.replace([change.row for change in changes if change.row is not None])
            seen[days] = [change.action for change in changes]
    assert seen == {90: ["disabled"], 180: ["withdrawn"]}
    row = (await point.store.load()).users["J40217"]
    assert (row.status, row.status_since, row.authorised_by) == (Status.DISABLED, TODAY + timedelta(days=90), "")
    assert row.status_reason == f"not used since {TODAY}"
    logged = await point.store.changes_since(0)
    assert [(c.operator, c.source, c.action, c.reason) for c in logged] == [
        ("switch", "switch", "disabled", "idle"), ("switch", "switch", "withdrawn", "idle"),
    ]  # fmt: skip
    assert "the agency's coordinator" in logged[1].detail


# --- mnemonics ----------------------------------------------------------------------------------------------


def idle(days: int, **members: Any) -> Mnemonic:
    return mnemonic("A123", last_used=ago(days), **members)


@pytest.mark.requirement("C-NINE")
@pytest.mark.parametrize(
    ("row", "wanted"),
    [
        (idle(183), []),
        (idle(184), ["listed"]),
        (idle(184, listed=ago(0)), []),
        (idle(273, listed=ago(90)), []),
        (idle(274, listed=ago(90)), ["disabled"]),
        (idle(274, listed=ago(89)), []),
        (idle(1000), ["listed"]),
        (idle(1000, status=Status.DISABLED), []),
        (idle(1000, status=Status.SUSPENDED), []),
        (idle(1000, status_since=ago(10)), []),
        (mnemonic("A123", programmed=ago(184)), ["listed"]),
        (mnemonic("A123", programmed=None), []),
    ],
)
def test_an_idle_mnemonic_is_listed_ninety_days_before_it_is_disabled(row: Mnemonic, wanted: list[str]) -> None:
    assert actions(directory(row)) == wanted


@pytest.mark.requirement("C-NINE")
def test_a_mnemonic_goes_its_way_day_by_day() -> None:
    found = directory(mnemonic("A123", last_used=TODAY))
    seen = {}
    for days in range(400):
        changes = due(found, RULES, TODAY + timedelta(days=days))
        found.replace([change.row for change in changes if change.row is not None])
        if changes:
            seen[days] = [change.action for change in changes]
    assert seen == {184: ["listed"], 274: ["disabled"]}


@pytest.mark.requirement("C-NINE")
def test_a_mnemonic_reinstated_is_listed_anew_before_it_is_disabled_again() -> None:
    """The notice of its first time is none for the second."""
    before = idle(1000, status=Status.DISABLED, status_since=ago(700), listed=ago(800))
    found = directory(replace(before, status=Status.ACTIVE, status_since=TODAY))
    seen = {}
    for days in range(400):
        changes = due(found, RULES, TODAY + timedelta(days=days))
        found.replace([change.row for change in changes if change.row is not None])
        if changes:
            seen[days] = [change.action for change in changes]
    assert seen == {184: ["listed"], 274: ["disabled"]}


@pytest.mark.requirement("C-NINE")
async def test_a_mnemonic_that_is_used_again_is_neither_listed_nor_disabled(make_point: MakePoint) -> None:
    today = clock.today()
    row = mnemonic("P001", last_used=today - timedelta(days=300), listed=today - timedelta(days=116))
    found = county()
    found.replace([row])
    point = await make_point(found)
    assert "disabled" in [change.action for change in due(found, RULES, today) if change.key == "P001"]
    point.opened(found.devices["printer-1"])
    await point.settled()
    for after in (found, await point.store.load()):
        assert not [change for change in due(after, RULES, today) if change.key == "P001"]


def test_nothing_is_due_twice_a_day_nor_in_an_empty_county() -> None:
    assert due(Directory(), RULES, TODAY) == []
    found = Directory(users=[user("J40217", added=ago(100))], mnemonics=[idle(200)])
    changes = due(found, RULES, TODAY)
    assert [change.action for change in changes] == ["disabled", "listed"]
    found.replace([change.row for change in changes if change.row is not None])
    assert due(found, RULES, TODAY) == []
