"""The directory as people write it: TOML with all its tables, or CSV with one table a file.

Pure: text in, entries and faults out; rows in, text out. The rows' dataclasses say what members there are. Members
that the switch writes stand in no document; a user's credentials do only where somebody put them there.
"""

from __future__ import annotations

import csv
import io
import json
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Final

from msc.directory.codec import Kind, Member, members
from msc.directory.credential import is_otp_secret, is_password_hash
from msc.directory.rows import TABLES, AnyRow, Directory, Row
from msc.errors import Fault

CREDENTIALS: Final[Mapping[str, tuple[Callable[[str], bool], str]]] = {
    "password_hash": (is_password_hash, "must be an argon2id hash, as an export with credentials writes it"),
    "otp_secret": (is_otp_secret, "must be base 32, at least 16 characters"),
}
"""Members of an account that a user's row may bring along: what makes them good, and what is told if they are not."""

STATUS_MEMBERS: Final = tuple(members(Row))
"""They are stated together or not at all: who leaves them out leaves a suspension as it is."""

_PLURALS: Final = {name[:-1] + "ies" if name.endswith("y") else name + "s": name for name in TABLES}
_FORMULA: Final = re.compile(r"'*[=+\-@\t\r]")
_FORMULA_UNDONE: Final = re.compile(r"'+[=+\-@\t\r]")


def stated_members(table: str) -> list[Member]:
    """Return the members a document may state of a table's rows, in their order."""
    return [member for member in members(TABLES[table]).values() if not member.state]


# --- what was read ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Entry:
    """A row as a document has it.

    Attributes:
        row: With defaults where nothing is stated, and in the place of what is faulty.
        stated: The members the document states.
        credentials: Members of the user's account.
        file, line: Where it begins.
        sound: It has no fault.
    """

    row: AnyRow
    stated: frozenset[str]
    credentials: Mapping[str, str]
    file: Path
    line: int | None
    sound: bool

    def fault(self, problem: str, where: str = "") -> Fault:
        """Make a fault of this entry."""
        return Fault(self.file, where, problem, self.line)


@dataclass(slots=True)
class Document:
    """What files say, taken together.

    Attributes:
        entries: By table and key.
        tables: The tables they speak of, if only to say that one is empty.
        faults: Everything wrong with them.
        whole: Every row was found; where not, what refers to a missing one proves nothing.
    """

    entries: dict[tuple[str, str], Entry] = field(default_factory=dict)
    tables: set[str] = field(default_factory=set)
    faults: list[Fault] = field(default_factory=list)
    whole: bool = True

    def read(self, file: Path, text: str) -> None:
        """Add what a file says; its name tells whether it is TOML, or CSV and of which table."""
        if file.suffix.lower() == ".toml":
            self._read_toml(file, text)
        elif file.suffix.lower() == ".csv":
            self._read_csv(file, text)
        else:
            self.unreadable(Fault(file, "", "must be named .toml, or .csv after its table"))

    def unreadable(self, fault: Fault) -> None:
        """Note that a file, or a part of it, cannot be read at all."""
        self.faults.append(fault)
        self.whole = False

    # --- TOML -----------------------------------------------------------------------------------

    def _read_toml(self, file: Path, text: str) -> None:
        try:
            content = tomllib.loads(text)
        except tomllib.TOMLDecodeError as exc:
            place = re.search(r" \(at line (\d+), column \d+\)$", str(exc))
            line = int(place[1]) if place else max(len(text.splitlines()), 1)
            self.unreadable(Fault(file, "", f"is not TOML: {re.sub(r' [(]at .*', '', str(exc))}", line))
            return
        lines = toml_lines(text)
        for name, rows in content.items():
            first = lines.get(name, [{}])[0].get("")
            if name not in TABLES:
                self.unreadable(Fault(file, name, f"there is no such table; there are {', '.join(TABLES)}", first))
            elif not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
                self.unreadable(Fault(file, name, f"each row is a table of its own: [[{name}]]", first))
            else:
                self.tables.add(name)
                places = lines.get(name, [])
                for number, row in enumerate(rows):
                    found = places[number] if len(places) == len(rows) else {}
                    self._add(name, row, _from_plain, file, found)

    # --- CSV ------------------------------------------------------------------------------------

    def _read_csv(self, file: Path, text: str) -> None:
        stem = file.stem.lower()
        table = _PLURALS.get(stem, stem)
        if table not in TABLES:
            expected = ", ".join(f"{name}.csv" for name in TABLES)
            self.unreadable(Fault(file, "", f"is named after no table; there are {expected}"))
            return
        self.tables.add(table)
        text = text.removeprefix("\ufeff")
        header = text.split("\n", 1)[0]
        reader = csv.reader(
            io.StringIO(text, newline=""),
            delimiter=";" if header.count(";") > header.count(",") else ",",
            strict=True,
        )
        line = 1
        try:
            names = [name.strip().lower() for name in next(reader, [])]
            while names and not names[-1]:
                names.pop()
            if not self._has_header(file, table, names):
                return
            line = reader.line_num + 1
            for cells in reader:
                if any(map(str.strip, cells)):
                    self._add_cells(table, names, cells, file, line)
                line = reader.line_num + 1
        except csv.Error as exc:
            self.unreadable(Fault(file, "", f"is not CSV: {exc}", line))

    def _has_header(self, file: Path, table: str, names: list[str]) -> bool:
        """Look at a file's first line, which names the members; without those of the key nothing can be read."""
        found = len(self.faults)
        for name in dict.fromkeys(names):
            if names.count(name) > 1:
                self.unreadable(Fault(file, name, "stands twice in the first line", 1))
            elif (problem := _unknown(table, name)) is not None:
                self.unreadable(Fault(file, name, problem, 1))
        for member in stated_members(table):
            if member.required and member.name not in names:
                self.unreadable(Fault(file, member.name, "is missing in the first line, which names the members", 1))
        return len(self.faults) == found

    def _add_cells(self, table: str, names: list[str], cells: list[str], file: Path, line: int) -> None:
        if any(cell.strip() for cell in cells[len(names) :]):
            self.unreadable(Fault(file, "", f"has {len(cells)} cells, and the first line {len(names)}", line))
            return
        known = members(TABLES[table])
        # An empty cell leaves its member out, but that of a set, which is the empty set.
        stated = {
            name: cell
            for name, cell in zip(names, cells, strict=False)
            if cell.strip() or (name in known and known[name].kind is Kind.WORDS)
        }
        self._add(table, stated, _from_cell, file, _AllOn(line))

    # --- both -----------------------------------------------------------------------------------

    def _add(
        self,
        table: str,
        stated: Mapping[str, Any],
        convert: Callable[[Member, Any], Any],
        file: Path,
        lines: Mapping[str, int],
    ) -> None:
        first = lines.get("")
        faults: list[Fault] = []

        def wrong(name: str, problem: str) -> None:
            faults.append(Fault(file, name, problem, lines.get(name, first)))

        values: dict[str, Any] = {}
        for member in stated_members(table):
            if member.name in stated:
                try:
                    values[member.name] = convert(member, stated[member.name])
                except ValueError as exc:
                    wrong(member.name, str(exc))
            elif member.required:
                wrong(member.name, "is missing")
            if member.required and member.name not in values:
                values[member.name] = _placeholder(member)
        credentials: dict[str, str] = {}
        for name, value in stated.items():
            if (problem := _unknown(table, name)) is not None:
                wrong(name, problem)
            elif table == "user" and name in CREDENTIALS:
                good, expected = CREDENTIALS[name]
                # What it is instead is not told: it may be a password.
                if isinstance(value, str) and good(value.strip()):
                    credentials[name] = value.strip()
                elif value != "":
                    wrong(name, expected)
        if "status" not in stated:
            for name in STATUS_MEMBERS:
                if name in stated:
                    wrong(name, "says nothing without status")
        key = values[table]
        if not key:
            if not faults:
                wrong(table, "is missing")
            self.whole = False
        elif (earlier := self.entries.get((table, key))) is not None:
            where = earlier.file if earlier.line is None else f"{earlier.file}:{earlier.line}"
            wrong(table, f"{table} {key} stands in {where} already")
        else:
            row = TABLES[table](**values)
            self.entries[table, key] = Entry(row, frozenset(stated), credentials, file, first, not faults)
        self.faults += faults


class _AllOn(dict[str, int]):
    """The lines of a row's members where all of them stand on one."""

    def __init__(self, line: int) -> None:
        super().__init__({"": line})


def _from_plain(member: Member, value: Any) -> Any:
    return member.from_plain(value)


def _from_cell(member: Member, cell: str) -> Any:
    cell = cell.strip()
    return member.from_text(cell[1:] if _FORMULA_UNDONE.match(cell) else cell)


def _unknown(table: str, name: str) -> str | None:
    """Say why a document may not state a member, or None."""
    known = members(TABLES[table])
    if name in known:
        return "is kept by the switch, and no file states it" if known[name].state else None
    if table == "user" and name in CREDENTIALS:
        return None
    if name == "password":
        return "a password in clear is never taken; password_hash takes its argon2id hash"
    return f"{table} has no such member"


def _placeholder(member: Member) -> Any:
    """Make a value for what a faulty row lacks, so that what refers to the row still finds it."""
    if member.choices is not None:
        return next(iter(member.choices))
    return date.min if member.kind is Kind.DAY else ""


_TOML: Final = re.compile(
    r"""^[ \t]*(?:\[\[?[ \t]*["']?(?P<table>[\w-]+)["']?[ \t]*\]|["']?(?P<key>[\w-]+)["']?[ \t]*=)"""
    r"""|"{3}(?:[^\\]|\\.)*?"{3,5}|'{3}.*?'{3,5}|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|\#[^\n]*""",
    re.DOTALL | re.MULTILINE,
)
"""Headers of tables and names of members; and strings and comments, which may hold anything and are passed over."""


def toml_lines(text: str) -> dict[str, list[dict[str, int]]]:
    """Find the lines of the n-th `[[table]]` and of its members; its header's stands under the empty name."""
    found: dict[str, list[dict[str, int]]] = {}
    present: dict[str, int] | None = None
    line, at = 1, 0
    for token in _TOML.finditer(text):
        if token.lastgroup is None:
            continue
        line += text.count("\n", at, token.start())
        at = token.start()
        if token.lastgroup == "table":
            present = {"": line}
            found.setdefault(token["table"], []).append(present)
        elif present is not None:
            present.setdefault(token["key"], line)
        else:
            found.setdefault(token["key"], []).append({"": line})
    return found


# --- writing ------------------------------------------------------------------------------------


def to_toml(directory: Directory, *, credentials: bool = False) -> str:
    """Write a directory: tables in their order, rows by key, members in theirs, defaults left out."""
    parts = []
    for table in TABLES:
        for stated in _rows(directory, table, credentials):
            lines = [f"[[{table}]]", *(f"{name} = {_toml_value(value)}" for name, value in stated.items())]
            parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def to_csv(directory: Directory, *, credentials: bool = False) -> dict[str, str]:
    """Write a directory as one text for each table; columns in which all have the default are left out."""
    return {table: _csv_text(table, list(_rows(directory, table, credentials))) for table in TABLES}


def _rows(directory: Directory, table: str, credentials: bool) -> Iterator[dict[str, Any]]:
    """Give the rows of a table by key, as plain values, without defaults."""
    rows = directory.table(table)
    for key in sorted(rows):
        row = rows[key]
        says_status = _status_of(row) != _ACTIVE
        stated = {}
        for member in stated_members(table):
            value = getattr(row, member.name)
            if member.required or value != member.default or (member.name == "status" and says_status):
                stated[member.name] = member.to_plain(value)
        if credentials and table == "user":
            account = directory.account(key)
            stated |= {name: value for name in CREDENTIALS if (value := getattr(account, name))}
        yield stated


def _status_of(row: Row) -> tuple[Any, ...]:
    return tuple(getattr(row, name) for name in STATUS_MEMBERS)


_ACTIVE: Final = _status_of(Row())
"""A row that says something else names its status, be it the default: the members of a status go together."""


def _toml_value(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_toml_value, value))}]"
    if isinstance(value, str):
        # A JSON string is one of TOML, but for DEL.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _csv_text(table: str, rows: Iterable[dict[str, Any]]) -> str:
    rows = list(rows)
    used = set().union(*rows)
    known = members(TABLES[table])
    names = [m.name for m in stated_members(table) if m.required or m.name in used]
    names += [name for name in CREDENTIALS if name in used]
    text = io.StringIO()
    # A line ends with CR LF, so that either of the two in a cell is quoted.
    writer = csv.writer(text)
    writer.writerow(names)
    for stated in rows:
        writer.writerow([_cell(known.get(name), stated.get(name)) for name in names])
    return text.getvalue()


def _cell(member: Member | None, value: Any) -> str:
    if value is None:
        # Left out is the default; but an empty cell of a set is the empty set.
        text = member.to_text(member.default) if member is not None and member.kind is Kind.WORDS else ""
    elif isinstance(value, list):
        text = " ".join(value)
    else:
        text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"'{text}" if _FORMULA.match(text) else text
