"""The text of a message: key, ORI, destinations, control field, and `CODE/value` fields or free text.

    IW.QW.CA0990000.NAM/DOE,JOHN.SEX/M                    system, key, ORI, fields        (California, NCIC)
    RQ.CA0990000.NV.1234567890.TXT.LIC/ABC123.LIY/2026    key, ORI, destination, control  (Nlets)
    AM.CA0990000.EXA2,EXA3.TXT MEET AT THE NORTH GATE     free text after TXT             (administrative)

A field is a code of two to four capitals, a slash and a value. Values may hold slashes and periods: a
period ends a value only where another `CODE/` follows it. Which shape a message has is its catalog
entry's to say.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from msc.errors import BadCharacter, BadField

BULLETIN: Final = "BULLETIN"
"""As a destination: the bulletin board of the county's switch."""
_FIELD_START: Final = re.compile(r"[A-Z]{2,4}/")
_FIELD_BREAK: Final = re.compile(r"\.(?=[A-Z]{2,4}/)")
_ORI: Final = re.compile(r"[A-Z]{2}[0-9A-Z]{7}")
_DESTINATION: Final = re.compile(r"[0-9A-Z]{2,9}")
_CONTROL: Final = re.compile(r"[0-9A-Z]{1,10}")
_NOT_ALLOWED: Final = re.compile(r"[^\x20-\x7e\r\n\t]")
_BODY_MARK: Final = "TXT"
_HIT_MARK: Final = "MKE/"
_HIT: Final = re.compile(r"(?:^|[\r\n\f\v\t.])[ \t]*MKE/")
_LINES: Final = re.compile(r"[ \t]*[\r\n\f\v]+\s*(?=[A-Z]{2,4}/)")
"""What some states put between fields instead of a period."""
_LINE_BEFORE_FIELD: Final = re.compile(r"[\r\n]\s*[A-Z]{2,4}/")
_DAYS: Final = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


class MessageText(NamedTuple):
    """A message taken apart.

    Attributes:
        ori: The ORI, nine characters.
        destinations: As written, in their order; empty where the key has none.
        control: The sender's control field, echoed in answers, or None.
        fields: Code and value, in their order.
        free: Free text, or None for a message of fields.
    """

    ori: str
    destinations: tuple[str, ...]
    control: str | None
    fields: dict[str, str]
    free: str | None


def is_hit(text: str) -> bool:
    """Tell whether an answer says that a record exists: `MKE/`, the entry's kind, stands where a line or a field
    begins, whatever ends the lines.
    """
    return _HIT_MARK in text and _HIT.search(text) is not None


def begins_with(text: str, code: str) -> bool:
    """Tell whether what the state sends begins with a code, whatever blanks and line ends it puts before it."""
    text = text.lstrip()
    return text.startswith(code) and not text[len(code) : len(code) + 1].isalnum()


def fields_on_lines(text: str) -> str:
    """Write what the state sends with a period between fields, where it has line ends, and nothing around it."""
    return _LINES.sub(".", text.strip())


def is_calendar_date(text: str) -> bool:
    """Tell whether eight digits, `YYYYMMDD`, are a day of the Gregorian calendar."""
    if len(text) != 8 or not (text.isascii() and text.isdigit()):
        return False
    year, month, day = int(text[:4]), int(text[4:6]), int(text[6:])
    leap = month == 2 and year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return 1 <= month <= 12 and 1 <= day <= _DAYS[month - 1] + leap


def is_ori(text: str) -> bool:
    """Tell whether a text has the form of an ORI: two letters and seven alphanumerics."""
    return _ORI.fullmatch(text) is not None


def check_characters(text: str) -> None:
    """Refuse what is not printable ASCII, blank, tab or line break.

    Raises:
        BadCharacter: It names the first offender and where it stands.
    """
    found = _NOT_ALLOWED.search(text)
    if found:
        raise BadCharacter(f"character U+{ord(found[0]):04X} at position {found.start() + 1} is not allowed")


def parse_fields(body: str) -> dict[str, str]:
    """Read `CODE/value.CODE/value`.

    Raises:
        BadField: It does not begin with a code and a slash, or a code stands twice.
    """
    fields: dict[str, str] = {}
    if not body:
        return fields
    for part in _FIELD_BREAK.split(body):
        code, slash, value = part.partition("/")
        if not slash or not _FIELD_START.match(part):
            raise BadField("a field must be CODE/value, its code two to four capitals")
        if code in fields:
            raise BadField(f"field {code} stands twice")
        if _LINE_BEFORE_FIELD.search(value):
            raise BadField(f"a line end follows field {code} where a period must separate it from the next field")
        fields[code] = value
    return fields


def write_fields(fields: dict[str, str]) -> str:
    """Write fields so that `parse_fields` reads the same back.

    Raises:
        BadField: A code or a value cannot be written so that it reads back the same.
    """
    for code, value in fields.items():
        if not re.fullmatch(r"[A-Z]{2,4}", code):
            raise BadField("a field's code is two to four capitals")
        if _FIELD_BREAK.search(value):
            raise BadField(f"the value of {code} holds a period followed by a code and a slash")
        if _LINE_BEFORE_FIELD.search(value):
            raise BadField(f"the value of {code} holds a line end followed by a code and a slash")
    return ".".join(f"{code}/{value}" for code, value in fields.items())


def _parse_ori(rest: str) -> tuple[str, str]:
    ori, _, rest = rest.partition(".")
    if not _ORI.fullmatch(ori):
        raise BadField("ORI: two capitals and seven capitals or digits must follow the key")
    return ori, rest


def parse_direct(rest: str) -> MessageText:
    """Read what follows the key of a California or NCIC message: `ORI.CODE/value.CODE/value`.

    Raises:
        BadField: The ORI or a field is malformed.
    """
    ori, rest = _parse_ori(rest)
    return MessageText(ori, (), None, parse_fields(rest), None)


def parse_addressed(rest: str, *, free: bool) -> MessageText:
    """Read what follows the key of an addressed message: `ORI.destination[,destination][.control].TXT` and body.

    Args:
        rest: The text after the key and its period.
        free: Whether the body is free text; otherwise it is fields.

    Raises:
        BadField: The ORI, a destination, the control field, the mark `TXT` or a field is malformed.
    """
    ori, rest = _parse_ori(rest)
    addressed, period, rest = rest.partition(".")
    destinations = tuple(addressed.split(","))
    for name in destinations:
        if not _DESTINATION.fullmatch(name):
            raise BadField("destination: two to nine capitals and digits, several separated by commas")
    control = None
    if period and not rest.startswith(_BODY_MARK):
        control, period, rest = rest.partition(".")
        if not _CONTROL.fullmatch(control):
            raise BadField("the control field is one to ten capitals and digits")
    if not rest.startswith(_BODY_MARK):
        raise BadField("TXT must follow the destinations")
    body = rest[len(_BODY_MARK) :]
    # One separator after TXT is ours to take: terminals send a line break, a blank or a period.
    if body.startswith("\r\n"):
        body = body[2:]
    elif body[:1] in ("\n", " ", ".", "/"):
        body = body[1:]
    if free:
        if not body.strip():
            raise BadField("no text follows TXT")
        return MessageText(ori, destinations, control, {}, body)
    return MessageText(ori, destinations, control, parse_fields(body), None)
