"""The message catalog: what each message key is, loaded from `catalog/*.toml`.

A message begins with `SYSTEM.KEY.` (California: `IW.QW.`) or with `KEY.` (NCIC and Nlets: `RQ.`). The
catalog says which are known, their function and database, their shape, the fields they require and how
those must look. Field forms are regular expressions, so that a county can follow its state's manual.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from msc.errors import (
    BadField,
    CatalogError,
    Fault,
    PurposeNotAllowed,
    TooManyDestinations,
    UnknownMessageKey,
)
from msc.limits import ADDRESSEES_MAX, ANSWER_TIMEOUT_S
from msc.protocol.text import MessageText, is_calendar_date, parse_addressed, parse_direct


class Function(StrEnum):
    """What a message does at the system it goes to."""

    INQUIRY = "inquiry"
    ENTRY = "entry"
    MODIFY = "modify"
    CANCEL = "cancel"
    LOCATE = "locate"
    CLEAR = "clear"
    ADMINISTRATIVE = "administrative"
    HIT_CONFIRMATION = "hit_confirmation"


UPDATES = frozenset({Function.ENTRY, Function.MODIFY, Function.CANCEL, Function.LOCATE, Function.CLEAR})
"""Functions that change a record: never sent again without asking (E404)."""


class Shape(StrEnum):
    """How the text after the key is built; see `msc.protocol.text`."""

    DIRECT = "direct"
    ADDRESSED = "addressed"
    FREE = "free"


class FieldForm(NamedTuple):
    """How the value of a field must look.

    Attributes:
        pattern: The whole value must match it.
        wanted: The same in words, for who sent another; empty if nobody has written it down.
        date: Whether it is a day of the calendar, `YYYYMMDD`.
    """

    pattern: re.Pattern[str]
    wanted: str = ""
    date: bool = False

    def fault(self, code: str, value: str) -> str | None:
        """Say what is wrong with a value, without showing it; None if nothing is."""
        if not self.pattern.fullmatch(value):
            if value != value.strip():
                return f"field {code} begins or ends with a blank or a line end"
            return f"field {code} is malformed" + (f": it is {self.wanted}" if self.wanted else "")
        if self.date and not is_calendar_date(value):
            return f"field {code} is not a day of the calendar: it is YYYYMMDD"
        return None


@dataclass(frozen=True, slots=True)
class MessageKey:
    """One catalog entry.

    Attributes:
        code: As it stands at the start of a message: `IW.QW`, `RQ`.
        system: The two-letter system before the key, or an empty string.
        key: The message key alone: `QW`.
        required: Sets of field codes; a message must hold all of at least one set.
        forms: Field code to what its value must look like.
        purposes: The purpose codes (`PUR`) allowed; empty means the field is not looked at.
        cori: Criminal-history information: requester and secondary recipient are journaled.
        requester_required: Whether a requester must be named (E304).
        timeout_s: Seconds until E403 (or E404 for an update) if a destination has not answered.
    """

    code: str
    system: str
    key: str
    name: str
    function: Function
    database: str
    shape: Shape
    required: tuple[frozenset[str], ...]
    forms: Mapping[str, FieldForm]
    purposes: frozenset[str]
    cori: bool
    requester_required: bool
    destinations_max: int
    timeout_s: float

    @property
    def is_update(self) -> bool:
        """Whether it changes a record at its destination."""
        return self.function in UPDATES

    def parse(self, rest: str) -> MessageText:
        """Read what follows the key, and check that what is required is there and well formed.

        Raises:
            BadField: A required field is missing, or anything is malformed; the reason names the field,
                never its value.
        """
        if self.shape is Shape.DIRECT:
            text = parse_direct(rest)
        else:
            text = parse_addressed(rest, free=self.shape is Shape.FREE)
        fields = text.fields
        if self.required and not any(group <= fields.keys() for group in self.required):
            wanted = " or ".join("+".join(sorted(group)) for group in self.required)
            raise BadField(f"{self.code} requires {wanted}")
        forms = self.forms
        for code, value in fields.items():
            form = forms.get(code)
            if form is not None and (fault := form.fault(code, value)) is not None:
                raise BadField(fault)
        return text

    def check_purpose(self, text: MessageText) -> None:
        """Refuse a purpose code (`PUR`) that is none of the key's.

        Raises:
            PurposeNotAllowed: It is not.
        """
        if self.purposes and text.fields.get("PUR") not in self.purposes:
            raise PurposeNotAllowed(f"{self.code} needs PUR, one of {', '.join(sorted(self.purposes))}")

    def check_destinations(self, text: MessageText) -> None:
        """Refuse more destinations than the key may have.

        Raises:
            TooManyDestinations: There are.
        """
        if len(text.destinations) > self.destinations_max:
            raise TooManyDestinations(f"{self.code} takes at most {self.destinations_max} destinations")


class Catalog:
    """All known message keys."""

    def __init__(self, keys: Iterable[MessageKey]) -> None:
        self._keys = {key.code: key for key in keys}

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[MessageKey]:
        return iter(self._keys.values())

    def __contains__(self, code: str) -> bool:
        return code in self._keys

    def get(self, code: str) -> MessageKey | None:
        """Return the entry of a code (`IW.QW`), or None."""
        return self._keys.get(code)

    def find(self, text: str) -> tuple[MessageKey, str]:
        """Find the key a message begins with.

        Returns:
            The catalog entry, and the text after the key and its period.

        Raises:
            UnknownMessageKey: No entry matches.
        """
        first, period, rest = text.partition(".")
        if period:
            second, more, after = rest.partition(".")
            if more:
                entry = self._keys.get(f"{first}.{second}")
                if entry is not None:
                    return entry, after
            entry = self._keys.get(first)
            if entry is not None:
                return entry, rest
        raise UnknownMessageKey(self._why_unknown(text))

    def _why_unknown(self, text: str) -> str:
        """Say what stands where a key should."""
        if text.startswith("\ufeff"):
            return "the message begins with a byte-order mark; it must begin with its key"
        if text[:1].isspace():
            return "the message begins with a blank or a line end; it must begin with its key"
        first, _, rest = text.upper().partition(".")
        if text != text.upper() and (first in self._keys or f"{first}.{rest.partition('.')[0]}" in self._keys):
            return "the message's key is not in capital letters"
        return "the message begins with no known key"


# --- loading ------------------------------------------------------------------------------------


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _FieldRow(_Strict):
    code: str = Field(pattern=r"^[A-Z]{2,4}$")
    name: str
    form: str
    wanted: str = ""
    date: bool = False

    @field_validator("form")
    @classmethod
    def _is_pattern(cls, form: str) -> str:
        try:
            re.compile(form)
        except re.error as exc:
            raise ValueError(f"not a regular expression: {exc}") from exc
        return form


class _KeyRow(_Strict):
    code: str = Field(pattern=r"^([A-Z]{2}\.)?[A-Z0-9]{1,4}$")
    name: str
    function: Function
    database: str = Field(pattern=r"^[A-Z0-9]{2,8}$")
    shape: Shape = Shape.DIRECT
    required: list[list[str]] = []
    purposes: list[str] = []
    cori: bool = False
    requester: Literal["required", "optional"] = "optional"
    destinations_max: int = Field(default=ADDRESSEES_MAX, ge=1, le=ADDRESSEES_MAX)
    timeout_s: float = Field(default=ANSWER_TIMEOUT_S, gt=0, le=3600)


class _CatalogFile(_Strict):
    field: list[_FieldRow] = []
    key: list[_KeyRow] = []


def load_catalog(folder: Path) -> Catalog:
    """Load every `*.toml` of a folder.

    Raises:
        CatalogError: With every fault of every file.
    """
    faults: list[Fault] = []
    fields: dict[str, tuple[Path, FieldForm]] = {}
    rows: dict[str, tuple[Path, _KeyRow]] = {}
    files = sorted(folder.glob("*.toml"))
    if not files:
        faults.append(Fault(folder, "", "holds no catalog file (*.toml)"))
    for file in files:
        try:
            content = _CatalogFile.model_validate(tomllib.loads(file.read_text("utf-8")))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
            faults.append(Fault(file, "", str(exc)))
            continue
        except ValidationError as exc:
            faults += [Fault(file, ".".join(map(str, e["loc"])), e["msg"]) for e in exc.errors()]
            continue
        for field in content.field:
            if field.code in fields:
                faults.append(Fault(file, field.code, f"field also defined in {fields[field.code][0].name}"))
            fields[field.code] = (file, FieldForm(re.compile(field.form), field.wanted, field.date))
        for row in content.key:
            if row.code in rows:
                faults.append(Fault(file, row.code, f"key also defined in {rows[row.code][0].name}"))
            rows[row.code] = (file, row)
    forms = {code: form for code, (_, form) in fields.items()}
    whole = not faults  # a file that could not be read may define what others name
    for file, row in rows.values():
        unknown = whole and sorted({code for group in row.required for code in group} - forms.keys())
        if unknown:
            faults.append(Fault(file, f"{row.code}.required", f"unknown fields {', '.join(unknown)}"))
        if row.required and row.shape is Shape.FREE:
            faults.append(Fault(file, f"{row.code}.required", "a free text has no fields"))
    if faults:
        raise CatalogError(faults)
    return Catalog(_entry(row, forms) for _, row in rows.values())


def _entry(row: _KeyRow, forms: Mapping[str, FieldForm]) -> MessageKey:
    system, _, key = row.code.rpartition(".")
    return MessageKey(
        code=row.code,
        system=system,
        key=key,
        name=row.name,
        function=row.function,
        database=row.database,
        shape=row.shape,
        required=tuple(frozenset(group) for group in row.required),
        forms=forms,
        purposes=frozenset(row.purposes),
        cori=row.cori,
        requester_required=row.requester == "required",
        destinations_max=row.destinations_max,
        timeout_s=row.timeout_s,
    )
