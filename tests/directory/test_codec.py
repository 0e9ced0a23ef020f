"""Members of rows in their other forms: what goes out comes back, and what is none is told."""

from __future__ import annotations

import tomllib
from datetime import date, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msc.directory.codec import Kind, Member, members
from msc.directory.rows import TABLES, Account, Agency, Device, Mnemonic, OperatorClass, Status, User

ROWS: dict[str, type[Any]] = {**TABLES, "account": Account}
MEMBERS = {f"{table}.{name}": member for table, row in ROWS.items() for name, member in members(row).items()}

# A word is what stands between blanks; a text is anything a person types on one line.
words = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x2FF, exclude_categories=("Z", "C")), min_size=1)
texts = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x2FF, exclude_categories=("C",))).map(str.strip)


def values(member: Member) -> st.SearchStrategy[Any]:
    """Every value a member may have."""
    if member.choices is not None:
        found: st.SearchStrategy[Any] = st.sampled_from(list(member.choices))
    else:
        found = {
            Kind.TEXT: texts,
            Kind.FLAG: st.booleans(),
            Kind.NUMBER: st.integers(-(2**63), 2**63 - 1),
            Kind.DAY: st.dates(),
            Kind.WORDS: st.frozensets(words),
            Kind.LIST: st.lists(words).map(tuple),
        }[member.kind]
    return st.none() | found if member.optional else found


@settings(max_examples=25)
@given(data=st.data())
@pytest.mark.parametrize("name", MEMBERS)
def test_property_a_value_survives_every_form(name: str, data: st.DataObject) -> None:
    member = MEMBERS[name]
    value = data.draw(values(member))
    column = member.to_column(value) if value is not None else None
    assert column is None or type(column) in (str, bool, int, date) or member.choices is not None
    assert member.from_column(column) == value
    if value is not None:
        plain = member.to_plain(value)
        assert member.from_plain(plain) == value
        # TOML has dates and JSON has not: there they are texts.
        told = orjson.loads(orjson.dumps(plain)) if not isinstance(plain, int) or abs(plain) < 2**53 else plain
        assert member.from_plain(told) == value
    text = member.to_text(value)
    # None and an empty text are written alike; where there may be both, an empty text reads as None.
    assert member.from_text(text) == (None if member.optional and text == "" else value)
    assert "\n" not in text


def test_members_come_key_first_and_with_what_every_row_has_last() -> None:
    for table, row in TABLES.items():
        names = list(members(row))
        assert names[0] == table
        assert names[-4:] == ["status", "status_reason", "status_since", "status_until"]
    assert next(iter(members(Account))) == "user"


def test_what_the_switch_writes_is_marked() -> None:
    assert [name for name, member in members(Mnemonic).items() if member.state] == ["listed", "last_used"]
    assert [name for name, member in members(Device).items() if member.state] == ["locked_at"]
    assert not any(member.state for row in (User, Agency) for member in members(row).values())


def test_a_members_kind_follows_from_its_row() -> None:
    user = members(User)
    assert user["user"].required and not user["status"].required
    assert (user["operator_class"].kind, user["operator_class"].choices) == (Kind.CHOICE, OperatorClass)
    assert (user["certified"].kind, user["certified"].optional) == (Kind.DAY, True)
    assert (user["direct"].kind, user["direct"].default) == (Kind.FLAG, True)
    assert members(Agency)["databases"].kind is Kind.WORDS
    assert members(Account)["recovery_codes"].kind is Kind.LIST


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("user.direct", "yes", True),
        ("user.direct", "No", False),
        ("user.direct", "1", True),
        ("user.direct", "", True),
        ("user.certified", "  ", None),
        ("user.certified", " 2026-01-31 ", date(2026, 1, 31)),
        ("user.status", "", Status.ACTIVE),
        ("agency.databases", " WPS  DMV ", frozenset({"WPS", "DMV"})),
        ("agency.databases", "", frozenset()),
        ("user.score", "", None),
        ("pool.unsolicited_to", "", None),
    ],
)
def test_a_text_is_read_as_people_write_it(name: str, text: str, value: Any) -> None:
    assert MEMBERS[name].from_text(text) == value


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("user.direct", "perhaps", "true or false"),
        ("user.certified", "31.1.2026", "a date such as 2026-01-31"),
        ("user.score", "many", "a whole number"),
        ("user.operator_class", "emperor", "one of full_access"),
        ("user.operator_class", "", "one of full_access"),
        ("agreement.effective", "", "a date"),
    ],
)
def test_a_text_that_is_none_is_told_with_what_is_expected(name: str, text: str, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        MEMBERS[name].from_text(text)


TOML = """
flag = true
number = 7
text = "x"
day = 2026-01-31
moment = 2026-01-31T08:00:00
words = ["WPS", "DMV"]
gap = ["W PS"]
mixed = ["WPS", 7]
choice = "full_access"
"""


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("user.direct", {"flag"}),
        ("user.score", {"number"}),
        ("user.name", {"text", "choice"}),
        ("user.certified", {"day"}),
        ("agency.databases", {"words"}),
        ("account.recovery_codes", {"words"}),
        ("user.operator_class", {"choice"}),
    ],
)
def test_a_value_of_another_kind_is_told_with_what_is_expected(name: str, right: set[str]) -> None:
    member = MEMBERS[name]
    for what, value in tomllib.loads(TOML).items():
        if what in right:
            member.from_plain(value)
        else:
            with pytest.raises(ValueError, match="must be"):
                member.from_plain(value)


def test_a_moment_is_no_day() -> None:
    with pytest.raises(ValueError, match="date"):
        MEMBERS["user.certified"].from_plain(datetime(2026, 1, 31))


def test_a_column_that_holds_no_choice_is_told() -> None:
    with pytest.raises(ValueError):
        MEMBERS["user.operator_class"].from_column("emperor")


def test_a_long_wrong_value_is_told_short() -> None:
    with pytest.raises(ValueError) as told:
        MEMBERS["user.certified"].from_text("x" * 1000)
    assert len(str(told.value)) < 120
