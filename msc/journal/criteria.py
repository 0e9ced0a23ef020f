"""What to look for in the journal: one form for searches, prints, samples, statistics, holds and exports."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, ClassVar, Final, Self

from msc.errors import JournalError


class BadCriteria(JournalError):
    """What was asked for cannot be looked for."""


_TYPES: Final[dict[str, type | tuple[type, ...]]] = {
    "int | None": int,
    "str | None": str,
    "tuple[str, ...]": (list, tuple),
    "bool": bool,
}


class _Asked:
    """What both kinds of criteria can do: to JSON and back."""

    __slots__ = ()
    __dataclass_fields__: ClassVar[dict[str, Any]]

    def as_json(self) -> dict[str, Any]:
        """Return what is looked for, by name, ready for JSON; what is not looked at is left out."""
        members = ((field, getattr(self, field.name)) for field in fields(self))
        return {field.name: value for field, value in members if value != field.default}

    @classmethod
    def from_json(cls, members: dict[str, Any]) -> Self:
        """Read what `as_json` wrote, or a client sent.

        Raises:
            BadCriteria: A name or a value that is none.
        """
        types = {field.name: _TYPES[str(field.type)] for field in fields(cls)}
        for name, value in members.items():
            wanted = types.get(name)
            if wanted is None:
                raise BadCriteria(f"{name!r} is nothing the journal can be searched by")
            if not isinstance(value, wanted) or isinstance(value, bool) != (wanted is bool):
                raise BadCriteria(f"{name}: {value!r} is nothing to look for there")
        text = members.get("text", ())
        if not all(isinstance(word, str) for word in text):
            raise BadCriteria("text: holds something that is not a word")
        return cls(**{**members, "text": tuple(text)})


@dataclass(frozen=True, slots=True)
class Criteria(_Asked):
    """What to look for among messages; what is None is not looked at, and all that is given must match.

    Attributes:
        since_us, until_us: Wall time of receipt, microseconds; the end is not included.
        user, mnemonic, agency, ori, database, kind, direction, code, requester, session: As on the message.
        device, line: Where it came from or went to.
        key: `QW`, or with its system `IW.QW`.
        header: The supplemental header on the line, or a host's own.
        msn, transaction: Numbers.
        outcome: An event of its life (`answered`, `expired`, `refused` ...), or `open`: it has not ended everywhere.
        text: Words that must all stand in the text; one that ends in `*` is a beginning.
        scope: Only this agency's messages, whatever else is asked: set by the switch for who may see no other.
    """

    since_us: int | None = None
    until_us: int | None = None
    user: str | None = None
    mnemonic: str | None = None
    agency: str | None = None
    ori: str | None = None
    database: str | None = None
    kind: str | None = None
    direction: str | None = None
    code: str | None = None
    requester: str | None = None
    session: str | None = None
    device: str | None = None
    line: str | None = None
    key: str | None = None
    header: str | None = None
    msn: int | None = None
    transaction: int | None = None
    outcome: str | None = None
    text: tuple[str, ...] = ()
    scope: str | None = None


@dataclass(frozen=True, slots=True)
class AuditCriteria(_Asked):
    """What to look for among audit events; what is None is not looked at, and all that is given must match.

    Attributes:
        since_us, until_us: Wall time, microseconds; the end is not included.
        event: An event's name or its beginning: `sign_on` finds `sign_on.granted` and `sign_on.refused`.
        subject: What was acted upon: `user J40217`, or its last word alone, `J40217`.
        user, device, mnemonic, session, source, code, agency: As on the event.
        refused: Only what was refused.
        text: Words that must all stand in detail or reason; one that ends in `*` is a beginning.
        scope: Only this agency's events, whatever else is asked: set by the switch for who may see no other.
    """

    since_us: int | None = None
    until_us: int | None = None
    event: str | None = None
    subject: str | None = None
    user: str | None = None
    device: str | None = None
    mnemonic: str | None = None
    session: str | None = None
    source: str | None = None
    code: str | None = None
    agency: str | None = None
    refused: bool = False
    text: tuple[str, ...] = ()
    scope: str | None = None
