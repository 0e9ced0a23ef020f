"""What a new password must be."""

from __future__ import annotations

from pathlib import Path

import pytest

from msc.access.password import load_banned, objection
from msc.errors import SettingsError
from msc.settings import PASSWORD_POLICIES, PasswordPolicySettings
from tests.support.county import user

CJIS, CJLEADS = PASSWORD_POLICIES["cjis"], PASSWORD_POLICIES["cjleads"]
JOHN = user("J40217", name="DOE, JOHNATHAN")
BANNED = frozenset({"password", "12345678", "qwertz"})

pytestmark = pytest.mark.requirement("N-PWD")


@pytest.mark.parametrize(
    ("password", "policy", "told"),
    [
        ("battery staple", CJIS, None),
        ("1234567", CJIS, "at least 8"),
        ("", CJIS, "at least 8"),
        ("aB3$xyz", CJLEADS, "at least 8"),
        ("aB3$wxyz", CJLEADS, None),
        ("ab3$wxyz", CJLEADS, "4 of"),
        ("AB3$WXYZ", CJLEADS, "4 of"),
        ("aBc$wxyz", CJLEADS, "4 of"),
        ("aB34wxyz", CJLEADS, "4 of"),
        ("aB3 wxyz", CJLEADS, None),
        ("aB3éwxyz", CJLEADS, None),
        ("abcdefghijk1", PasswordPolicySettings(chars_min=12, classes=2), None),
        ("abcdefghij1", PasswordPolicySettings(chars_min=12, classes=2), "at least 12"),
        ("abcdefghijkl", PasswordPolicySettings(chars_min=12, classes=2), "2 of"),
    ],
)
def test_length_and_classes_are_those_of_the_policy(
    password: str, policy: PasswordPolicySettings, told: str | None
) -> None:
    found = objection(password, policy, BANNED, JOHN)
    assert found is None if told is None else found is not None and told in found


@pytest.mark.parametrize("password", ["password", "PassWord", "Password1!", "123password!", "12345678", "qwertz99"])
def test_a_password_that_is_tried_first_is_refused_however_it_is_dressed(password: str) -> None:
    assert objection(password, CJIS, BANNED, JOHN) == "the new password is one of those that are tried first"


@pytest.mark.parametrize("password", ["my-password-99", "passwords"])
def test_a_password_that_only_holds_a_common_word_is_let(password: str) -> None:
    assert objection(password, CJIS, BANNED, JOHN) is None


@pytest.mark.parametrize(
    "password", ["xJ40217x", "j40217-99", "johnathan", "my-JOHNATHAN", "Exampleton", "sheriff-of-exampleton"]
)
def test_ones_own_id_name_and_agency_are_refused(password: str) -> None:
    told = objection(password, CJIS, BANNED, JOHN, ["EXLP", "Exampleton"])
    assert told == "the new password holds the user's id or name, or the agency's"


def test_a_short_part_of_a_name_may_stand_in_a_password() -> None:
    assert objection("does-and-deer", CJIS, BANNED, JOHN, ["PD"]) is None


def test_no_objection_repeats_the_password() -> None:
    for password in ("1234567", "Password1!", "xJ40217x", "ab3$wxyz"):
        told = objection(password, CJLEADS, BANNED, JOHN)
        assert told is not None and password not in told


def test_the_list_that_msc_brings_holds_what_everybody_tries() -> None:
    banned = load_banned(None)
    assert {"password", "12345678", "qwertyuiop"} <= banned
    assert not any(word.startswith("#") or word != word.strip().casefold() for word in banned)
    # What is looked up is shorn of digits and signs at its ends, or is the whole.
    assert objection("Password1!", CJIS, banned, JOHN) is not None


def test_a_sites_own_list_is_read_line_by_line(tmp_path: Path) -> None:
    file = tmp_path / "banned.txt"
    file.write_text("# comment\n\n  Exampleton \nHARBOUR\n", "utf-8")
    assert load_banned(file) == {"exampleton", "harbour"}


def test_a_list_that_cannot_be_read_is_told_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "latin.txt").write_bytes(b"m\xfcller\n")
    for name in ("latin.txt", "nowhere.txt"):
        with pytest.raises(SettingsError, match=name):
            load_banned(tmp_path / name)
