"""Pure decisions: each refusal, and the table of classes."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from msc.acp.directory import Agency, Mnemonic, OperatorClass, UserStatus
from msc.acp.policy import (
    CLASS_FUNCTIONS,
    authorise,
    check_agency,
    check_ori,
    check_qualification,
    check_standing,
)
from msc.errors import (
    AccountSuspended,
    AgencySuspended,
    DatabaseNotAuthorised,
    ForeignOri,
    KeyNotAuthorised,
    NotQualified,
    PasswordExpired,
    PurposeNotAllowed,
    Refusal,
    RequesterRequired,
)
from msc.protocol.catalog import Function, MessageKey, Shape
from msc.protocol.envelope import NO_ENVELOPE, Envelope
from msc.protocol.text import MessageText
from tests.support.county import user

TODAY = date(2026, 1, 31)
DAY = timedelta(days=1)


def key(**members: Any) -> MessageKey:
    row = MessageKey(
        code="IW.QW", system="IW", key="QW", name="x", function=Function.INQUIRY, database="WPS",
        shape=Shape.DIRECT, required=(), forms={}, purposes=frozenset(), cori=False, requester_required=False,
        destinations_max=1, timeout_s=15.0,
    )  # fmt: skip
    return replace(row, **members)


def text(ori: str = "CA0980000", **fields: str) -> MessageText:
    return MessageText(ori, (), None, fields, None)


FULL = OperatorClass.FULL_ACCESS
ANYTHING = Mnemonic("A123", "EXLP")

MAY = {
    OperatorClass.FULL_ACCESS: set(Function),
    OperatorClass.LESS_THAN_FULL_ACCESS: {Function.INQUIRY, Function.ADMINISTRATIVE},
    OperatorClass.PRACTITIONER: set(),
    OperatorClass.ADMINISTRATOR: set(Function),
}


@pytest.mark.requirement("O-CLASS", "L-LEVEL", "N-QUERY")
@pytest.mark.parametrize(("class_", "function"), list(itertools.product(OperatorClass, Function)))
def test_a_class_may_do_what_the_directive_says_and_nothing_else(class_: OperatorClass, function: Function) -> None:
    def ask() -> None:
        authorise(key(function=function), text(), NO_ENVELOPE, class_, ANYTHING)

    if function in MAY[class_]:
        ask()
        return
    with pytest.raises(KeyNotAuthorised) as refused:
        ask()
    assert refused.value.code == "E301"
    assert "IW.QW" in refused.value.reason


def test_every_class_is_in_the_table() -> None:
    assert set(CLASS_FUNCTIONS) == set(OperatorClass) == set(MAY)


@pytest.mark.requirement("C-DBAUTH")
@pytest.mark.parametrize(
    ("databases", "functions", "allowed"),
    [
        ({"*"}, {"*"}, True),
        ({"WPS"}, {"inquiry"}, True),
        ({"SVS", "WPS"}, {"*"}, True),
        ({"*"}, {"entry", "inquiry"}, True),
        ({"SVS"}, {"*"}, False),
        ({"*"}, {"entry"}, False),
        (set(), {"*"}, False),
        ({"*"}, set(), False),
        ({"wps"}, {"*"}, False),
    ],
)
def test_a_mnemonic_reaches_only_its_databases_and_functions(
    databases: set[str], functions: set[str], allowed: bool
) -> None:
    row = Mnemonic("A123", "EXLP", databases=frozenset(databases), functions=frozenset(functions))
    if allowed:
        authorise(key(), text(), NO_ENVELOPE, FULL, row)
        return
    with pytest.raises(DatabaseNotAuthorised) as refused:
        authorise(key(), text(), NO_ENVELOPE, FULL, row)
    assert refused.value.code == "E302"


@pytest.mark.requirement("C-ACHS")
def test_a_purpose_that_is_none_of_the_keys_is_refused() -> None:
    history = key(purposes=frozenset({"C"}))
    authorise(history, text(PUR="C"), NO_ENVELOPE, FULL, ANYTHING)
    for wrong in (text(PUR="I"), text()):
        with pytest.raises(PurposeNotAllowed):
            authorise(history, wrong, NO_ENVELOPE, FULL, ANYTHING)


@pytest.mark.requirement("C-CORI")
@pytest.mark.parametrize("requester", [None, ""])
def test_a_key_that_needs_a_requester_is_refused_without_one(requester: str | None) -> None:
    history = key(requester_required=True)
    authorise(history, text(), Envelope(requester="SGT DOE"), FULL, ANYTHING)
    with pytest.raises(RequesterRequired) as refused:
        authorise(history, text(), Envelope(requester=requester), FULL, ANYTHING)
    assert refused.value.code == "E304"


def test_the_lowest_code_that_applies_is_given() -> None:
    nothing = Mnemonic("A123", "EXLP", databases=frozenset())
    worst = key(function=Function.ENTRY, purposes=frozenset({"C"}), requester_required=True)
    codes = []
    for class_, mnemonic, body, envelope in (
        (OperatorClass.LESS_THAN_FULL_ACCESS, nothing, text(), NO_ENVELOPE),
        (FULL, nothing, text(), NO_ENVELOPE),
        (FULL, ANYTHING, text(), NO_ENVELOPE),
        (FULL, ANYTHING, text(PUR="C"), NO_ENVELOPE),
    ):
        with pytest.raises(Refusal) as refused:
            authorise(worst, body, envelope, class_, mnemonic)
        codes.append(refused.value.code)
    assert codes == ["E301", "E302", "E303", "E304"]
    authorise(worst, text(PUR="C"), Envelope(requester="X"), FULL, ANYTHING)


def test_a_message_speaks_only_for_its_senders_agency() -> None:
    check_ori("CA0980000", text("CA0980000"))
    with pytest.raises(ForeignOri) as refused:
        check_ori("CA0980000", text("CA0989900"))
    assert refused.value.code == "E207"


@pytest.mark.requirement("L-SUSPEND", "C-SANCTION")
def test_a_suspended_agency_sends_nothing() -> None:
    check_agency(Agency("EXLP", "Police", "CA0980000"))
    with pytest.raises(AgencySuspended) as refused:
        check_agency(Agency("EXLP", "Police", "CA0980000", suspended=True))
    assert refused.value.code == "E307"


@pytest.mark.requirement("C-SANCTION", "O-CLASS")
@pytest.mark.parametrize("status", UserStatus)
@pytest.mark.parametrize("class_", OperatorClass)
def test_only_an_active_account_of_a_class_that_uses_terminals_stands(
    status: UserStatus, class_: OperatorClass
) -> None:
    row = user("J40217", status=status, operator_class=class_)
    if status is UserStatus.ACTIVE and class_ is not OperatorClass.PRACTITIONER:
        check_standing(row)
        return
    with pytest.raises(AccountSuspended) as refused:
        check_standing(row)
    assert refused.value.code == "E104"


@pytest.mark.requirement("C-TRAIN", "C-BACKGR", "C-STMT")
@pytest.mark.parametrize("member", ["cleared", "certified", "statement"])
@pytest.mark.parametrize(
    ("since", "allowed"), [(None, False), (TODAY + DAY, False), (TODAY, True), (TODAY - DAY, True)]
)
def test_access_needs_clearance_training_and_statement(member: str, since: date | None, allowed: bool) -> None:
    row = user("J40217", **{member: since})
    if allowed:
        check_qualification(row, TODAY)
        return
    with pytest.raises(NotQualified) as refused:
        check_qualification(row, TODAY)
    assert refused.value.code == "E109"


@pytest.mark.requirement("N-PWD")
@pytest.mark.parametrize(
    ("expires", "allowed"), [(None, True), (TODAY + DAY, True), (TODAY, False), (TODAY - DAY, False)]
)
def test_a_password_is_good_until_the_day_it_expires(expires: date | None, allowed: bool) -> None:
    row = user("J40217", password_expires=expires)
    if allowed:
        check_qualification(row, TODAY)
        return
    with pytest.raises(PasswordExpired) as refused:
        check_qualification(row, TODAY)
    assert refused.value.code == "E110"
    with pytest.raises(NotQualified):  # the lower code
        check_qualification(replace(row, certified=None), TODAY)
