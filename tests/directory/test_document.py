"""The directory as text: what is written is read again, and what is wrong is told with its line."""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msc.directory.codec import Kind, Member
from msc.directory.document import STATUS_MEMBERS, Document, stated_members, to_csv, to_toml
from msc.directory.rows import TABLES, Account, Agency, AnyRow, Directory, Status
from tests.support.county import OTP_SECRET, PASSWORD_HASH, county, user

TOML, USERS = Path("county.toml"), Path("users.csv")
HEADER = "user,name,agency,operator_class,certified\n"


def read(*files: tuple[Path, str]) -> Document:
    document = Document()
    for file, text in files:
        document.read(file, text)
    return document


def faults(*files: tuple[Path, str]) -> list[str]:
    return [str(fault) for fault in read(*files).faults]


def rows_of(document: Document) -> dict[tuple[str, str], AnyRow]:
    assert document.faults == []
    return {key: entry.row for key, entry in document.entries.items()}


# --- round trips ----------------------------------------------------------------------------------

# What a cell can hold: spreadsheets cut blanks off its ends, and no database holds half a character.
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12).map(str.strip)
FORMULAS = st.sampled_from(
    ["=1+1", "+1", "-1", "@A1", "'=1", "''@x", "'", 'SAY "NO"', "A;B,C", "[[user]]", "#", "'''", "\\"]
)
WORDS = st.frozensets(st.from_regex(r"[A-Z=+@'-][A-Z0-9]{0,5}|\*", fullmatch=True), max_size=4)
DAYS = st.dates(date(1, 1, 1), date(9999, 12, 31))


def values(member: Member) -> st.SearchStrategy[Any]:
    if member.choices is not None:
        found: st.SearchStrategy[Any] = st.sampled_from(list[StrEnum](member.choices))
    elif member.kind is Kind.TEXT:
        found = (TEXTS | FORMULAS).filter(bool) if member.required or member.default != "" else TEXTS | FORMULAS
    else:
        found = {
            Kind.FLAG: st.booleans(), Kind.NUMBER: st.integers(0, 2**63 - 1), Kind.DAY: DAYS, Kind.WORDS: WORDS,
        }[member.kind]  # fmt: skip
    found = found | st.none() if member.optional else found
    return found if member.required else st.just(member.default) | found


ROWS = {
    table: st.builds(cls, **{member.name: values(member) for member in stated_members(table)})
    for table, cls in TABLES.items()
}
A_FEW = settings(max_examples=40)


def directory_of(rows: list[AnyRow], *, credentials: bool) -> Directory:
    directory = Directory()
    directory.replace(rows)
    if credentials:
        directory.accounts |= {key: Account(key, PASSWORD_HASH, otp_secret=OTP_SECRET) for key in directory.users}
    return directory


def same(document: Document, directory: Directory) -> None:
    assert rows_of(document) == {(table, key): row for table in TABLES for key, row in directory.table(table).items()}
    for key, account in directory.accounts.items():
        expected = {"password_hash": account.password_hash, "otp_secret": account.otp_secret}
        assert document.entries["user", key].credentials == expected


@pytest.mark.parametrize("table", TABLES)
@given(data=st.data(), credentials=st.booleans())
@A_FEW
def test_what_is_written_as_toml_is_read_again(table: str, data: st.DataObject, credentials: bool) -> None:
    directory = directory_of(data.draw(st.lists(ROWS[table], max_size=2)), credentials=credentials)
    text = to_toml(directory, credentials=credentials)
    document = read((TOML, text))
    same(document, directory)
    lines = text.split("\n")
    assert all(entry.line and lines[entry.line - 1] == f"[[{table}]]" for entry in document.entries.values())


@pytest.mark.parametrize("table", TABLES)
@given(data=st.data(), credentials=st.booleans(), bom=st.booleans())
@A_FEW
def test_what_is_written_as_csv_is_read_again(table: str, data: st.DataObject, credentials: bool, bom: bool) -> None:
    directory = directory_of(data.draw(st.lists(ROWS[table], max_size=2)), credentials=credentials)
    texts = to_csv(directory, credentials=credentials)
    same(read(*((Path(f"{name}.csv"), "\ufeff" * bom + text) for name, text in texts.items())), directory)


def test_defaults_are_left_out_and_what_the_switch_keeps_is_never_written() -> None:
    text = to_toml(county())
    assert "location" not in text and "last_used" not in text and "status" not in text
    assert PASSWORD_HASH not in text
    assert text.startswith('[[agency]]\nagency = "EXLP"\ntitle = "Police"\nori = "CA0980000"\n\n[[agency]]')


def test_an_active_row_that_says_since_when_says_that_it_is_active() -> None:
    text = to_toml(Directory(users=[user("J40217", status_since=date(2026, 1, 31))]))
    assert 'status = "active"\nstatus_since = 2026-01-31\n' in text


@pytest.mark.parametrize("text", ["=HYPERLINK(1)", "+1", "-1", "@SUM", "'=1"])
def test_a_spreadsheet_takes_no_cell_for_a_formula(text: str) -> None:
    written = to_csv(Directory(agencies=[Agency("EXLP", text, "CA0980000")]))["agency"]
    assert written.splitlines()[1] == f"EXLP,'{text},CA0980000"


# --- as counties have them ------------------------------------------------------------------------


def test_a_spreadsheet_with_semicolons_blanks_and_empty_lines_is_read() -> None:
    header = "\ufeffUser; Name ;agency;operator_class;direct;suspended_databases;\r\n"
    text = header + ' J40217 ;"DOE;\nJOHN";EXLP;query_only;no;WPS SRF;\r\n;;;;;;\r\n'
    row = rows_of(read((Path("Users.CSV"), text)))["user", "J40217"]
    assert (row.name, row.direct, row.suspended_databases) == ("DOE;\nJOHN", False, {"WPS", "SRF"})  # type: ignore[union-attr]


@pytest.mark.parametrize("table", TABLES)
def test_a_file_is_named_after_its_table_in_singular_or_plural(table: str) -> None:
    plural = table.removesuffix("y") + "ies" if table.endswith("y") else f"{table}s"
    header = ",".join(member.name for member in stated_members(table))
    for name in (table, plural, plural.capitalize()):
        assert read((Path(f"{name}.csv"), header)).tables == {table}


def test_an_empty_cell_leaves_its_member_out() -> None:
    document = read(
        (Path("mnemonics.csv"), "mnemonic,agency,administrative,databases,functions,expires\nA123,EXLP,,,*,\n")
    )
    row = rows_of(document)["mnemonic", "A123"]
    assert (row.administrative, row.databases, row.functions, row.expires) == (True, frozenset(), {"*"}, None)  # type: ignore[union-attr]


# --- faults ---------------------------------------------------------------------------------------


def test_a_fault_of_a_cell_names_file_line_member_and_what_is_expected() -> None:
    text = HEADER + 'J40217,"DOE,\nJOHN",EXLP,full_access,2026-01-31\nK20331,DOE,EXLP,full_access,31.1.2026\n'
    assert faults((USERS, text)) == ["users.csv:4: certified: '31.1.2026' must be a date such as 2026-01-31"]


def test_a_fault_of_toml_names_the_line_of_its_member() -> None:
    text = '''
# [[user]] is not one here
[[agency]]
agency = "EXLP"
title = """
[[user]]
name = "no"
"""
ori = 5

[[user]]
user = "J40217"
name = 'DOE, "[[user]]"'  # [[user]]
agency = "EXLP"
operator_class = "full_access"

  [[ "user" ]]
user = "K20331"
"agency" = "EXLP"
suspended_databases = [
    "WPS",
    5,
]
operator_class = "boss"
shoe_size = 44
'''
    assert faults((TOML, text)) == [
        "county.toml:9: ori: must be a text",
        "county.toml:17: name: is missing",
        "county.toml:24: operator_class: 'boss' must be one of full_access, less_than_full_access, query_only, "
        "practitioner, administrator",
        "county.toml:20: suspended_databases: must be words",
        "county.toml:25: shoe_size: user has no such member",
    ]


BROKEN: dict[str, tuple[Path, str, list[str]]] = {
    "TOML that is none": (
        TOML, '[[user]]\nuser = "J40217\n', ["county.toml:2: is not TOML: Illegal character '\\n'"],
    ),
    "TOML that ends too soon": (TOML, "[[user]]\nuser =", ["county.toml:2: is not TOML: Invalid value"]),
    "a member twice": (
        TOML, "[[user]]\nuser = 'A'\nuser = 'B'\n", ["county.toml:3: is not TOML: Cannot overwrite a value"],
    ),
    "an unknown table": (
        TOML, "\n[[person]]\nname = 'x'\n",
        [
            "county.toml:2: person: there is no such table; there are agency, agreement, user, pool, mnemonic, "
            "device, operator"
        ],
    ),
    "a table that is not a list": (
        TOML, "[user]\nuser = 'x'\n", ["county.toml:1: user: each row is a table of its own: [[user]]"],
    ),
    "an unknown name": (
        Path("people.csv"), HEADER,
        [
            "people.csv: is named after no table; there are agency.csv, agreement.csv, user.csv, pool.csv, "
            "mnemonic.csv, device.csv, operator.csv"
        ],
    ),
    "another form": (Path("users.xlsx"), "PK", ["users.xlsx: must be named .toml, or .csv after its table"]),
    "unknown columns": (
        USERS, HEADER.replace("certified", "shoe_size,name,password"),
        [
            "users.csv:1: name: stands twice in the first line",
            "users.csv:1: shoe_size: user has no such member",
            "users.csv:1: password: a password in clear is never taken; password_hash takes its argon2id hash",
        ],
    ),
    "a column too few": (USERS, "user,name,agency\n", [
        "users.csv:1: operator_class: is missing in the first line, which names the members",
    ]),
    "a cell too many": (USERS, HEADER + "J40217,DOE,JOHN,EXLP,full_access,2026-01-31\n", [
        "users.csv:2: has 6 cells, and the first line 5",
    ]),
    "quotes without an end": (USERS, HEADER + 'J40217,"DOE,EXLP,full_access,\n', [
        "users.csv:2: is not CSV: unexpected end of data",
    ]),
    "no key": (USERS, HEADER + ",DOE,EXLP,full_access,\n", ["users.csv:2: user: is missing"]),
    "the same key twice": (USERS, HEADER + "J40217,DOE,EXLP,full_access,\n" * 2, [
        "users.csv:3: user: user J40217 stands in users.csv:2 already",
    ]),
    "a reason without a status": (
        USERS, HEADER.replace("certified", "status_reason") + "J40217,DOE,EXLP,full_access,NO\n",
        ["users.csv:2: status_reason: says nothing without status"],
    ),
    "what the switch keeps": (
        TOML, "[[device]]\ndevice = 'x'\nkind = 'terminal'\nagency = 'EXLP'\nlocked_at = 5\n",
        ["county.toml:5: locked_at: is kept by the switch, and no file states it"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", BROKEN)
def test_every_kind_of_fault_is_told_with_its_line(fault: str) -> None:
    file, text, told = BROKEN[fault]
    assert faults((file, text)) == told


def test_a_row_stands_in_one_file_only() -> None:
    text = "[[user]]\nuser = 'J40217'\nname = 'DOE'\nagency = 'EXLP'\noperator_class = 'query_only'\n"
    assert faults((USERS, HEADER + "J40217,DOE,EXLP,query_only,\n"), (TOML, text)) == [
        "county.toml:2: user: user J40217 stands in users.csv:2 already"
    ]


@pytest.mark.requirement("C-AUTH")
@pytest.mark.parametrize(
    "secret", ["hunter2hunter2", "$argon2i$v=19$m=8,t=1,p=1$c29tZXNhbHQ$aGFzaA", "$2b$12$abcdefghijklmnop"]
)
def test_only_an_argon2id_hash_is_taken_and_what_it_was_is_not_told(secret: str) -> None:
    for file, text in (
        (USERS, HEADER.replace("certified", "password_hash") + f'J40217,DOE,EXLP,full_access,"{secret}"\n'),
        (
            TOML,
            f"[[user]]\nuser='J40217'\nname='DOE'\nagency='EXLP'\noperator_class='query_only'\npassword_hash='{secret}'\notp_secret='1'\n",
        ),
    ):
        told = faults((file, text))
        assert "password_hash: must be an argon2id hash" in told[0]
        assert secret not in "".join(told)


def test_a_status_is_stated_whole_or_not_at_all() -> None:
    text = (
        HEADER.replace("certified", "status,status_since")
        + "J40217,DOE,EXLP,query_only,suspended,\nK20331,DOE,EXLP,query_only,,\n"
    )
    document = read((USERS, text))
    assert document.entries["user", "J40217"].row.status is Status.SUSPENDED
    assert "status" in document.entries["user", "J40217"].stated
    assert not set(STATUS_MEMBERS) & document.entries["user", "K20331"].stated
