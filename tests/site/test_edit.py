"""What the commands for single rows do to them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from msc import clock
from msc.directory.rows import Directory, Operator, Role, Status, User
from msc.settings import AccessSettings
from msc.site import edit as rows
from tests.support.county import account, county, user

TODAY = clock.today()
DAY = timedelta(days=1)


def suspended(**members: Any) -> Directory:
    return county(user("J40218", status=Status.SUSPENDED, status_since=TODAY, **members))


def suspend(directory: Directory, *args: Any) -> User:
    [change] = rows.suspend(directory, "user", "J40218", "a reason", TODAY, *args)
    assert isinstance(change.row, User)
    return change.row


@pytest.mark.requirement("C-SANCTION")
def test_a_suspension_by_database_adds_to_one_in_force() -> None:
    before = suspended(suspended_databases=frozenset({"DMV"}))
    assert suspend(before, None, ["SVS"]).suspended_databases == {"DMV", "SVS"}
    assert suspend(before).suspended_databases == frozenset()


@pytest.mark.requirement("C-SANCTION")
@pytest.mark.parametrize(
    ("members", "args"),
    [
        ({}, (None, ["DMV"])),
        ({}, (TODAY + DAY, [])),
        ({"status_until": TODAY + 9 * DAY}, (TODAY + DAY, [])),
    ],
    ids=["from less", "for a time instead of for good", "for less time"],
)
def test_no_suspension_gives_back_what_one_in_force_takes(members: dict[str, Any], args: tuple[Any, ...]) -> None:
    with pytest.raises(rows.BadRequest, match="reinstate it first"):
        suspend(suspended(**members), *args)


@pytest.mark.requirement("N-IDLE", "C-SANCTION")
def test_a_disabled_account_is_not_suspended_into_force() -> None:
    with pytest.raises(rows.BadRequest, match="disabled"):
        suspend(county(user("J40218", status=Status.DISABLED)), TODAY + DAY)


@pytest.mark.requirement("C-SANCTION")
@pytest.mark.parametrize("member", ["status", "status_until", "suspended_databases", "locked_at"])
def test_what_suspends_is_not_set_by_hand(member: str) -> None:
    with pytest.raises(rows.BadRequest):
        rows.read_assignments("device" if member == "locked_at" else "user", [f"{member}="])


@pytest.mark.requirement("C-UID")
def test_who_gets_an_id_that_has_rested_gets_nothing_of_who_had_it() -> None:
    gone = user("J40218", status=Status.REMOVED, status_since=TODAY - 400 * DAY)
    directory = county(gone)
    directory.accounts["J40218"] = account("J40218", previous_sign_on=17, failed_since=3)
    given = {"name": "ROE,JANE", "agency": "EXLP", "operator_class": gone.operator_class}
    [change] = rows.add(directory, "user", "J40218", given, AccessSettings(), TODAY)
    assert change.account is not None
    left = replace(directory.accounts["J40218"], **change.account)
    assert (left.password_hash, left.previous_sign_on, left.failed_since) == ("", None, 0)
    recent = county(replace(gone, status_since=TODAY - DAY))
    with pytest.raises(rows.BadRequest, match="C-UID"):
        rows.add(recent, "user", "J40218", given, AccessSettings(), TODAY)


@pytest.mark.requirement("C-TRAIN")
def test_a_failed_examination_is_on_record_and_changes_nothing_on_file() -> None:
    [change] = rows.certify(county(), "J40217", TODAY, 69, TODAY)
    assert (change.action, change.row, change.account) == ("examination_failed", None, None)
    [change] = rows.certify(county(), "J40217", TODAY, 70, TODAY)
    assert isinstance(change.row, User)
    assert (change.row.certified, change.row.score) == (TODAY, 70)


@pytest.mark.requirement("C-ACCESS")
def test_an_operators_name_is_never_another_persons() -> None:
    directory = county()
    [gone] = rows.remove(directory, "operator", "auditor", "left", TODAY)
    assert isinstance(gone.row, Operator)
    assert (gone.action, gone.row.status, gone.row.status_reason) == ("removed", Status.REMOVED, "left")
    directory.replace([gone.row])
    for action in (rows.remove, rows.reinstate):
        with pytest.raises(rows.BadRequest, match="was removed"):
            action(directory, "operator", "auditor", "again", TODAY)
    given = {"role": Role.AUDITOR}
    with pytest.raises(rows.BadRequest, match="was another person"):
        rows.add(directory, "operator", "auditor", {"name": "POE, PAT", **given}, AccessSettings(), TODAY)
    [back] = rows.add(directory, "operator", "auditor", {"name": "Roe,  Audrey", **given}, AccessSettings(), TODAY)
    assert isinstance(back.row, Operator)
    assert back.row.in_force(TODAY)
