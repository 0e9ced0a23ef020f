"""What auditors ask of the directory: the rows, held against what access control and the calendar do."""

from __future__ import annotations

from dataclasses import fields
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msc.access import housekeeping, policy
from msc.directory.rows import Account, Directory, Mode, OperatorClass, Status
from msc.directory.store import Lease
from msc.report import directory as reports
from msc.settings import AccessSettings
from tests.support.county import OTP_SECRET, PASSWORD_HASH, account, county, mnemonic, terminal, user

TODAY = date(2026, 6, 1)
NOON_US = 1_780_315_200_000_000
RULES = AccessSettings(acknowledgement_days=365)


def ago(days: int) -> date:
    return TODAY - timedelta(days=days)


def accounts(directory: Directory) -> dict[str, reports.AccountRow]:
    return {row.user: row for row in reports.accounts(directory, RULES, TODAY)}


# --- mnemonics and devices ----------------------------------------------------------------------------


@pytest.mark.requirement("C-DBAUTH")
def test_each_mnemonic_tells_its_steps_its_place_and_what_it_is_authorised_for() -> None:
    one = mnemonic(
        "T001", mode=Mode.TEST, expires=ago(-30), databases=frozenset({"WPS", "DMV"}), functions=frozenset(),
        requested=ago(50), forwarded=ago(40), authorised=ago(30), programmed=ago(20), notified=ago(10),
        authorised_by="letter 7", last_used=ago(1), status=Status.DISABLED, status_since=ago(2),
    )  # fmt: skip
    rows = {row.mnemonic: row for row in reports.mnemonics(county(mnemonics=[one]), TODAY)}
    assert [*rows] == sorted(rows)
    row = rows["T001"]
    assert (row.requested, row.forwarded, row.authorised, row.programmed, row.notified) == tuple(
        ago(days) for days in (50, 40, 30, 20, 10)
    )
    assert (row.mode, row.expires, row.place, row.status, row.disabled) == ("test", ago(-30), "", "disabled", ago(2))
    assert (row.databases, row.functions, row.authorised_by) == (("DMV", "WPS"), (), "letter 7")
    assert (rows["A123"].place, rows["M001"].place) == ("desk-1", "pool cars")
    assert rows["A123"].databases == ("*",) and rows["A123"].disabled is None


@pytest.mark.requirement("C-WHERE")
def test_each_terminal_tells_where_it_is() -> None:
    desk = terminal("desk-9", location="Annex, room 4", licence="OC-4711", mnemonic="A129", status=Status.SUSPENDED)
    gone = terminal("desk-0", status=Status.REMOVED)
    rows = {row.device: row for row in reports.locations(county(devices=[desk, gone]), TODAY)}
    assert "desk-0" not in rows
    assert rows["desk-9"] == reports.LocationRow(
        device="desk-9", kind="terminal", agency="EXLP", mnemonic="A129", pool="", location="Annex, room 4",
        licence="OC-4711", staffed=False, status="suspended",
    )  # fmt: skip
    assert (rows["car-1"].pool, rows["printer-1"].kind, rows["desk-1"].staffed) == ("cars", "printer", True)


@pytest.mark.requirement("C-NINE")
def test_idle_mnemonics_are_listed_with_the_day_they_will_be_disabled() -> None:
    limit = RULES.idle_mnemonic_days
    rows = [
        mnemonic("I001", programmed=ago(900), last_used=ago(limit - 90)),
        mnemonic("I002", programmed=ago(900), last_used=ago(limit - 30), listed=ago(60)),
        mnemonic("I003", programmed=ago(900), last_used=ago(limit + 50), listed=ago(10)),
        mnemonic("I004", programmed=ago(900), last_used=ago(limit - 91)),  # not yet
        mnemonic("I005", programmed=ago(900), status=Status.DISABLED, status_since=ago(500)),
    ]
    found = reports.idle_mnemonics(Directory(mnemonics=rows), RULES, TODAY)
    assert [(row.mnemonic, row.listed, row.disables) for row in found] == [
        ("I002", ago(60), ago(-30)), ("I003", ago(10), ago(-80)), ("I001", None, ago(-90)),
    ]  # fmt: skip
    assert found[0].idle_days == limit - 30


@pytest.mark.requirement("C-NINE")
@given(idle=st.integers(150, 500), listed=st.none() | st.integers(0, 200))
def test_a_mnemonic_is_disabled_on_the_day_the_report_says(idle: int, listed: int | None) -> None:
    row = mnemonic("I001", programmed=ago(900), last_used=ago(idle), listed=None if listed is None else ago(listed))
    directory = Directory(mnemonics=[row])
    for listing in housekeeping.due(directory, RULES, TODAY):
        if listing.action == "listed" and listing.row is not None:
            directory.replace([listing.row])
    found = reports.idle_mnemonics(directory, RULES, TODAY)
    for one in found:
        day = max(one.disables, TODAY)
        assert "disabled" in [change.action for change in housekeeping.due(directory, RULES, day)]
        before = housekeeping.due(directory, RULES, one.disables - timedelta(days=1))
        assert "disabled" not in [change.action for change in before]


# --- people -------------------------------------------------------------------------------------------


@pytest.mark.requirement("N-IDLE", "C-REVIEW")
def test_each_account_tells_its_state() -> None:
    one = user(
        "U00001", agency="SHERIFF", operator_class=OperatorClass.QUERY_ONLY, added=ago(700), status=Status.SUSPENDED,
        status_reason="case 7", status_since=ago(2), status_until=ago(-5), reviewed=ago(400), reviewed_by="Capt. Roe",
    )  # fmt: skip
    kept = account(
        "U00001", previous_sign_on=NOON_US - 3 * 86_400_000_000, locked_at=5, password_expires=ago(-9),
        otp_secret=OTP_SECRET,
    )  # fmt: skip
    row = accounts(county(one, accounts=[kept]))["U00001"]
    assert (row.agency, row.operator_class, row.status, row.reason, row.until) == (
        "SHERIFF", "query_only", "suspended", "case 7", ago(-5),
    )  # fmt: skip
    assert row.last_sign_on == "2026-05-29T12:00:00.000000Z" and row.idle_days == 3
    assert (row.locked, row.password_expires, row.second_factor) == (True, ago(-9), True)
    assert (row.reviewed, row.reviewed_by, row.review_due, row.review_overdue) == (
        ago(400), "Capt. Roe", ago(35), True,
    )  # fmt: skip


@pytest.mark.requirement("N-IDLE")
@pytest.mark.parametrize(
    ("members", "idle", "stage"),
    [
        ({"added": ago(89)}, 89, "active"),
        ({"added": ago(90)}, 90, "disabled"),
        ({"added": ago(180)}, 180, "withdrawn"),
        ({"added": ago(180), "status": Status.DISABLED, "status_since": ago(90)}, 180, "withdrawn"),
        ({"added": ago(10), "status": Status.DISABLED, "status_since": ago(1)}, 10, "disabled"),
        ({"added": ago(300), "status_since": ago(1)}, 1, "active"),  # reinstated yesterday
        ({"added": None}, None, "disabled"),
    ],
    ids=str,
)
def test_disuse_comes_to_stages(members: dict[str, object], idle: int | None, stage: str) -> None:
    row = accounts(county(user("U00001", **members)))["U00001"]
    assert (row.idle_days, row.stage) == (idle, stage)


def test_a_suspension_that_is_over_is_none_and_who_was_removed_is_not_listed() -> None:
    over = user("U00001", status=Status.SUSPENDED, status_until=TODAY, status_reason="case 7")
    found = accounts(county(over, user("U00002", status=Status.REMOVED)))
    assert (found["U00001"].status, found["U00001"].reason, found["U00001"].until) == ("active", "", None)
    assert "U00002" not in found
    assert "U00002" not in {row.user for row in reports.certifications(county(over), RULES, TODAY)}


def test_a_first_review_is_due_a_year_after_the_entry() -> None:
    row = accounts(county(user("U00001", added=ago(364))))["U00001"]
    assert (row.review_due, row.review_overdue) == (ago(-1), False)
    row = accounts(county(user("U00001", added=None)))["U00001"]
    assert (row.review_due, row.review_overdue) == (None, True)


def test_no_report_holds_anything_of_a_credential() -> None:
    kept = Account(
        "U00001", PASSWORD_HASH, password_history=(PASSWORD_HASH,), otp_secret=OTP_SECRET, recovery_codes=("c0de",)
    )
    directory = county(user("U00001"), accounts=[kept])
    shown = repr(accounts(directory)) + repr([*reports.certifications(directory, RULES, TODAY)])
    assert not [secret for secret in (PASSWORD_HASH, OTP_SECRET, "c0de") if secret in shown]


DAYS = st.none() | st.integers(-40, 900).map(ago)


@pytest.mark.requirement("C-TRAIN", "C-BACKGR", "C-STMT", "O-DMV", "D-ACK")
@given(
    certified=DAYS, appointed=DAYS, cleared=DAYS, statement=DAYS, acknowledged=DAYS, dmv_statement=DAYS,
    days=st.sampled_from([0, 365]),
)  # fmt: skip
def test_overdue_is_what_access_control_refuses(days: int, **members: date | None) -> None:
    rules = AccessSettings(acknowledgement_days=days)
    directory = county(user("U00001", **members))
    (row,) = (row for row in reports.certifications(directory, rules, TODAY) if row.user == "U00001")
    case = policy.case_of(directory, rules, TODAY, directory.users["U00001"], directory.devices["desk-1"], "A123")
    refused = {rule.requirements[0] for rule in policy.QUALIFICATION if rule.objection(case) is not None}
    named = {"training": "C-TRAIN", "background": "C-BACKGR", "statement": "C-STMT", "acknowledgement": "D-ACK"}
    assert {named[name] for name in row.overdue if name in named} == refused
    signed = members["dmv_statement"]
    assert ("dmv_statement" in row.overdue) == (signed is None or not 0 <= (TODAY - signed).days < 365)


@pytest.mark.requirement("C-TRAIN")
def test_each_certification_tells_when_it_is_due_again() -> None:
    one = user(
        "U00001", certified=ago(700), score=82, dmv_statement=ago(360), acknowledged=ago(10), cleared=ago(3000),
        statement=ago(2000),
    )  # fmt: skip
    new = user("U00002", certified=None, appointed=ago(100))
    rows = {row.user: row for row in reports.certifications(county(one, new), RULES, TODAY)}
    row = rows["U00001"]
    assert (row.training, row.score, row.training_due) == (ago(700), 82, ago(-30))
    assert (row.dmv_statement_due, row.acknowledgement_due, row.overdue) == (ago(-5), ago(-355), ())
    assert [row.due_by(ago(-days)) for days in (4, 5, 30)] == [False, True, True]
    assert (rows["U00002"].training, rows["U00002"].training_due) == (None, ago(100 - 183))
    rows = {row.user: row for row in reports.certifications(county(one), AccessSettings(), TODAY)}
    row = rows["U00001"]
    assert row.acknowledgement_due is None  # nobody asks for it


@pytest.mark.requirement("C-POOL")
def test_a_lease_tells_who_held_what() -> None:
    row = reports.lease_row(Lease("s1", "cars", "M001", "J40217", "car-1", NOON_US, NOON_US + 1, "signed off"))
    assert (row.began, row.ended) == ("2026-06-01T12:00:00.000000Z", "2026-06-01T12:00:00.000001Z")
    assert (row.mnemonic, row.user, row.device, row.end_reason) == ("M001", "J40217", "car-1", "signed off")
    assert {member.name for member in fields(row)} == {*Lease.__slots__}
