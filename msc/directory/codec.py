"""The members of directory rows as other forms hold them: database columns, TOML values, words of text.

A row's dataclass is the only place that says what members there are; all forms follow from it.
"""

from __future__ import annotations

import functools
import types
import typing
from dataclasses import MISSING, dataclass, fields
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Union, cast


class Kind(StrEnum):
    """What a member holds."""

    TEXT = "text"
    FLAG = "true or false"
    NUMBER = "number"
    DAY = "date"
    WORDS = "set of words"
    LIST = "list of words"
    CHOICE = "choice"


@dataclass(frozen=True, slots=True)
class Member:
    """A member of a row.

    Attributes:
        optional: It may be None.
        required: It has no default.
        choices: For a choice, the values there are.
        state: The switch writes it, not the county.
    """

    name: str
    kind: Kind
    optional: bool
    required: bool
    default: Any
    choices: type[StrEnum] | None
    state: bool

    @property
    def expected(self) -> str:
        """What a value must be, for people."""
        if self.choices is not None:
            return "one of " + ", ".join(self.choices)
        return {
            Kind.TEXT: "a text", Kind.FLAG: "true or false", Kind.NUMBER: "a whole number",
            Kind.DAY: "a date such as 2026-01-31", Kind.WORDS: "words", Kind.LIST: "words",
        }[self.kind]  # fmt: skip

    # --- database -------------------------------------------------------------------------------

    def to_column(self, value: Any) -> Any:
        """Turn a value into what its database column holds."""
        if self.kind is Kind.WORDS:
            return " ".join(sorted(value))
        if self.kind is Kind.LIST:
            return " ".join(value)
        return value

    def from_column(self, value: Any) -> Any:
        """Turn what a database column holds into a value.

        Raises:
            ValueError: It holds none of the choices.
        """
        if value is None:
            return None
        if self.kind is Kind.WORDS:
            return frozenset(value.split())
        if self.kind is Kind.LIST:
            return tuple(value.split())
        return self.choices(value) if self.choices is not None else value

    # --- TOML and JSON --------------------------------------------------------------------------

    def to_plain(self, value: Any) -> Any:
        """Turn a value into what TOML and JSON have: a set becomes a sorted list, a choice its text."""
        if self.kind is Kind.WORDS:
            return sorted(value)
        if self.kind is Kind.LIST:
            return list(value)
        return value.value if isinstance(value, StrEnum) else value

    def from_plain(self, value: Any) -> Any:
        """Turn a value of TOML into one of the row.

        Raises:
            ValueError: It is not of the member's kind; says what is expected.
        """
        kind = self.kind
        if kind in (Kind.WORDS, Kind.LIST):
            if isinstance(value, list) and all(isinstance(word, str) and word and " " not in word for word in value):
                return frozenset(value) if kind is Kind.WORDS else tuple(value)
        elif kind is Kind.FLAG:
            if isinstance(value, bool):
                return value
        elif kind is Kind.NUMBER:
            if isinstance(value, int) and not isinstance(value, bool):
                return value
        elif kind is Kind.DAY:
            if isinstance(value, date) and not isinstance(value, datetime):
                return value
            if isinstance(value, str):
                return self.from_text(value)
        elif isinstance(value, str):
            return self.from_text(value) if self.choices is not None else value
        raise ValueError(f"must be {self.expected}")

    # --- text: CSV, the command line, what people read --------------------------------------------

    def to_text(self, value: Any) -> str:
        """Write a value as text; None is empty."""
        if value is None:
            return ""
        if self.kind in (Kind.WORDS, Kind.LIST):
            return " ".join(self.to_plain(value))
        if self.kind is Kind.FLAG:
            return "true" if value else "false"
        return str(self.to_plain(value))

    def from_text(self, text: str) -> Any:
        """Read a value written as text; an empty one is None, or the default where None may not be.

        Raises:
            ValueError: It is not of the member's kind; says what is expected.
        """
        text = text.strip()
        if not text and self.kind not in (Kind.WORDS, Kind.LIST):
            if self.optional:
                return None
            if self.kind is not Kind.TEXT and not self.required:
                return self.default
        try:
            if self.kind is Kind.WORDS:
                return frozenset(text.split())
            if self.kind is Kind.LIST:
                return tuple(text.split())
            if self.kind is Kind.FLAG:
                return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}[text.lower()]
            if self.kind is Kind.NUMBER:
                return int(text)
            if self.kind is Kind.DAY:
                return date.fromisoformat(text)
            return self.choices(text) if self.choices is not None else text
        except (ValueError, KeyError):
            raise ValueError(f"{text[:40]!r} must be {self.expected}") from None


_KINDS: dict[Any, Kind] = {
    str: Kind.TEXT, bool: Kind.FLAG, int: Kind.NUMBER, date: Kind.DAY,
    frozenset[str]: Kind.WORDS, tuple[str, ...]: Kind.LIST,
}  # fmt: skip


def members(row: type[Any]) -> dict[str, Member]:
    """Return the members of a row's class by name: its own in their order, then those every row has."""
    return _members(cast(Any, row))


@functools.cache
def _members(row: Any) -> dict[str, Member]:
    hints = typing.get_type_hints(row)
    shared = set(typing.get_type_hints(row.__base__)) if row.__base__ is not object else set()
    found = {}
    for member in sorted(fields(row), key=lambda member: member.name in shared):
        hint, optional = hints[member.name], False
        if typing.get_origin(hint) in (types.UnionType, Union):
            (hint,) = (part for part in typing.get_args(hint) if part is not type(None))
            optional = True
        choices = hint if isinstance(hint, type) and issubclass(hint, StrEnum) else None
        default = member.default
        found[member.name] = Member(
            member.name, Kind.CHOICE if choices else _KINDS[hint], optional, default is MISSING, default, choices,
            bool(member.metadata.get("state")),
        )  # fmt: skip
    return found
