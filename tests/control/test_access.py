"""What each role may do, and that a coordinator's question is confined whatever it says."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msc.control.access import EVERYTHING, SCOPED, Action, NotPermitted, Scope, check_reason, confine, permit
from msc.control.journal_desk import VERBS, checked
from msc.directory.rows import Operator, Role
from msc.journal.criteria import BadCriteria, Criteria
from msc.limits import OPERATOR_REASON_CHARS_MAX
from tests.support.county import county

OWN = Scope("EXLP")
CHANGING = {
    Action.HOLD, Action.DELETE, Action.BACKUP, Action.END_SESSION, Action.BREAK_GLASS, Action.ROUTE_CHANGE,
    Action.SWITCHING_ORDER,
}  # fmt: skip


def operator(role: Role) -> Operator:
    return Operator("roe", "ROE, ROBIN", role, "EXLP" if role is Role.COORDINATOR else None)


def may(role: Role) -> dict[Action, Scope]:
    """Return what a role may do, and of whose messages."""
    found = {}
    for action in Action:
        try:
            found[action] = permit(operator(role), action)
        except NotPermitted:
            continue
    return found


@pytest.mark.requirement("C-ACCESS", "F-REAUTH")
def test_an_administrator_may_do_everything() -> None:
    assert may(Role.ADMINISTRATOR) == dict.fromkeys(Action, EVERYTHING)


@pytest.mark.requirement("C-ACCESS", "N-SCOPE")
@pytest.mark.parametrize("role", [Role.AUDITOR, Role.OVERSIGHT])
def test_who_audits_or_oversees_reads_everything_and_changes_nothing(role: Role) -> None:
    found = may(role)
    reading = [*SCOPED, Action.VERIFY, Action.PROVE, Action.RETENTION, Action.ROUTE_LOOK, Action.SWITCHING_LOOK]
    assert found == dict.fromkeys(reading, EVERYTHING)
    assert not found.keys() & CHANGING


@pytest.mark.requirement("C-ACCESS", "N-SCOPE")
def test_a_coordinator_reads_of_one_agency_and_nothing_that_is_of_all() -> None:
    assert may(Role.COORDINATOR) == dict.fromkeys(SCOPED, OWN)


@pytest.mark.requirement("N-SCOPE")
def test_a_coordinator_without_an_agency_sees_nothing() -> None:
    with pytest.raises(NotPermitted, match="sees nothing"):
        permit(Operator("roe", "ROE", Role.COORDINATOR), Action.SEARCH)


@pytest.mark.requirement("N-SCOPE")
def test_every_question_there_is_can_be_confined() -> None:
    # A proof is of the chain of all agencies: it is for those who may see all.
    assert {verb.action for verb in VERBS.values()} - {Action.PROVE} <= SCOPED
    with pytest.raises(NotPermitted):
        permit(Operator("coe", "COE", Role.COORDINATOR, "EXLP"), Action.PROVE)


# --- the twenty ways ----------------------------------------------------------------------------------

# What a coordinator of EXLP sends, and how it ends: refused by name, no question, or confined to EXLP.
NO, BAD, CONFINED = "refused", "no question", "confined"
WAYS: dict[str, tuple[str, dict[str, Any], str]] = {
    "says whose": ("search", {"criteria": {"agency": "SHERIFF"}}, NO),
    "says it in small letters": ("search", {"criteria": {"agency": "sheriff"}}, NO),
    "says it with a blank": ("search", {"criteria": {"agency": "EXLP "}}, NO),
    "says nobody's": ("search", {"criteria": {"agency": ""}}, NO),
    "says several": ("search", {"criteria": {"agency": ["EXLP", "SHERIFF"]}}, NO),
    "says a pattern": ("search", {"criteria": {"agency": "*"}}, NO),
    "sets the scope": ("search", {"criteria": {"scope": "SHERIFF"}}, NO),
    "unsets the scope": ("search", {"criteria": {"scope": None}}, NO),
    "sets the scope beside the criteria": ("search", {"scope": None, "criteria": {}}, BAD),
    "sets the scope of a show": ("show", {"msn": 2, "scope": "SHERIFF"}, BAD),
    "writes the member otherwise": ("search", {"criteria": {"Agency": "SHERIFF"}}, BAD),
    "leaves the agency out": ("search", {"criteria": {}}, CONFINED),
    "leaves the criteria out": ("search", {}, CONFINED),
    "asks for null": ("search", {"criteria": {"agency": None}}, BAD),
    "goes by the ORI": ("search", {"criteria": {"ori": "CA0989900"}}, NO),
    "goes by an ORI nobody has": ("search", {"criteria": {"ori": "CA0991234"}}, CONFINED),
    "goes by the person": ("search", {"criteria": {"user": "S00001"}}, CONFINED),
    "goes by the terminal": ("search", {"criteria": {"device": "s-desk"}}, CONFINED),
    "goes by the transaction": ("search", {"criteria": {"transaction": 2}}, CONFINED),
    "goes by the number": ("show", {"msn": 2}, CONFINED),
    "counts": ("stats", {"by": ["agency"], "criteria": {}}, CONFINED),
    "counts another's": ("stats", {"by": ["day"], "criteria": {"agency": "SHERIFF"}}, NO),
    "samples": ("sample", {"count": 9, "seed": 1, "criteria": {}}, CONFINED),
    "samples another's": ("sample", {"count": 9, "seed": 1, "criteria": {"agency": "SHERIFF"}}, NO),
    "follows": ("follow", {"criteria": {}}, CONFINED),
    "follows another's": ("follow", {"criteria": {"agency": "SHERIFF"}}, NO),
    "asks the auditors' stream": ("audit", {"criteria": {}}, CONFINED),
    "asks it for another's": ("audit", {"criteria": {"agency": "SHERIFF"}}, NO),
    "asks it by the person": ("audit", {"criteria": {"user": "S00001"}}, CONFINED),
    "sets the stream's scope": ("audit", {"criteria": {"scope": "SHERIFF"}}, NO),
    "prints": ("search", {"print": True, "criteria": {"code": "E403"}}, CONFINED),
    "sends a list": ("search", {"criteria": [["agency", "SHERIFF"]]}, BAD),
    "goes on from another's page": ("search", {"after": "SHERIFF:2", "criteria": {}}, CONFINED),
    "asks for what there is not": ("search", {"criteria": {}, "everything": True}, BAD),
}  # fmt: skip


@pytest.mark.requirement("N-SCOPE", "C-ACCESS")
@pytest.mark.parametrize("way", WAYS)
def test_a_coordinator_tries_to_see_another_agencys(way: str) -> None:
    name, content, end = WAYS[way]
    verb = VERBS[name]
    try:
        asked = checked(verb, content, OWN, county())
    except NotPermitted:
        assert end == NO
    except BadCriteria:
        assert end == BAD
    else:
        assert end == CONFINED
        assert confinement(name, asked) == "EXLP"


def confinement(verb: str, asked: dict[str, Any]) -> Any:
    """Return the agency a question is confined to, where the desk reads it."""
    member = VERBS[verb].confined_by
    return asked["scope"] if member is None else asked["criteria"][member]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["EXLP", "SHERIFF"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=5,
)
NAMES = st.sampled_from(["agency", "scope", "ori", "user", "criteria", "msn", "by", "text", "since_us"]) | st.text(
    max_size=5
)


@pytest.mark.requirement("N-SCOPE")
@given(verb=st.sampled_from(sorted(VERBS)), criteria=st.dictionaries(NAMES, JSON), more=st.dictionaries(NAMES, JSON))
def test_property_whatever_a_coordinator_sends_is_refused_or_confined(
    verb: str, criteria: dict[str, Any], more: dict[str, Any]
) -> None:
    try:
        asked = checked(VERBS[verb], {**more, "criteria": criteria}, OWN, county())
    except (NotPermitted, BadCriteria):
        return
    assert confinement(verb, asked) == "EXLP"
    assert asked.get("criteria", {}).get("agency") in (None, "EXLP")
    assert "scope" not in asked or asked["scope"] == "EXLP"


@pytest.mark.requirement("C-ACCESS")
def test_who_sees_all_is_not_confined_and_cannot_pretend_a_scope() -> None:
    directory = county()
    assert confine(EVERYTHING, {"agency": "SHERIFF"}, directory) == {"agency": "SHERIFF"}
    asked = checked(VERBS["search"], {"criteria": {"agency": "SHERIFF"}, "limit": 50}, EVERYTHING, directory)
    assert asked == {"criteria": {"agency": "SHERIFF"}, "limit": 50}
    assert Criteria.from_json(asked["criteria"]).scope is None
    assert checked(VERBS["show"], {"msn": 2}, EVERYTHING, directory) == {"msn": 2, "scope": None}
    with pytest.raises(NotPermitted):
        confine(EVERYTHING, {"scope": "EXLP"}, directory)


@pytest.mark.parametrize(
    ("verb", "content"),
    [
        ("show", {}),
        ("show", {"msn": "2"}),
        ("show", {"msn": True}),
        ("show", {"msn": -1}),
        ("show", {"msn": 2**63}),
        ("show", {"msn": 1, "criteria": {}}),
        ("sample", {"count": 5}),
        ("search", {"limit": 2.5}),
        ("search", {"print": 1}),
        ("search", {"criteria": {"msn": "x"}}),
        ("stats", {"by": "day"}),
    ],
)
def test_a_question_that_is_none_is_told(verb: str, content: dict[str, Any]) -> None:
    with pytest.raises(BadCriteria):
        checked(VERBS[verb], content, EVERYTHING, county())


# --- why ----------------------------------------------------------------------------------------------


@pytest.mark.requirement("C-ACCESS")
def test_a_reason_is_kept_as_one_line() -> None:
    assert check_reason("  case 26-17,\tSgt. Roe\n asks ") == "case 26-17, Sgt. Roe asks"


@pytest.mark.requirement("C-ACCESS")
@pytest.mark.parametrize(
    "reason", [None, "", "  \n", 17, ["x"], "x" * (OPERATOR_REASON_CHARS_MAX + 1), "a\x1b[2Jb", "\ud800"]
)
def test_no_reason_or_one_that_is_none_is_refused(reason: Any) -> None:
    with pytest.raises(NotPermitted, match="reason"):
        check_reason(reason)
