"""What to look for in the journal: one form for searches, prints, samples, statistics, holds and exports."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Final, Self

from msc.errors import JournalError


class BadCriteria(JournalError):
    """What was asked for cannot be looked for."""


@dataclass(frozen=True, slots=True)
class Criteria:
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

    def as_json(self) -> dict[str, Any]:
        """Return what is looked for, by name, ready for JSON; what is not looked at is left out."""
        return {name: value for name, value in asdict(self).items() if value is not None and value != ()}

    @classmethod
    def from_json(cls, members: dict[str, Any]) -> Self:
        """Read what `as_json` wrote, or a client sent.

        Raises:
            BadCriteria: A name or a value that is none.
        """
        for name, value in members.items():
            wanted = _TYPES.get(name)
            if wanted is None:
                raise BadCriteria(f"{name!r} is nothing the journal can be searched by")
            if not isinstance(value, wanted) or isinstance(value, bool):
                raise BadCriteria(f"{name}: {value!r} is nothing to look for there")
        text = members.get("text", ())
        if not all(isinstance(word, str) for word in text):
            raise BadCriteria("text: holds something that is no word")
        return cls(**{**members, "text": tuple(text)})


_WHOLE: Final = frozenset({"since_us", "until_us", "msn", "transaction"})
_TYPES: Final[dict[str, type | tuple[type, ...]]] = {
    field.name: int if field.name in _WHOLE else (list, tuple) if field.name == "text" else str
    for field in fields(Criteria)
}
