"""What to look for in the audit stream. `msc.journal.search` reads by it."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import ColumnElement, and_, or_

from msc.journal.schema import audit_table

_LAST_CHARACTER = "\U0010ffff"


@dataclass(frozen=True, slots=True)
class AuditCriteria:
    """What to look for; what is None is not looked at.

    Attributes:
        equal: Column to value, for exact matches.
        event: An event's name or its beginning: `sign_on` finds `sign_on.granted` and `sign_on.refused`.
        subject: What was acted upon: `user J40217`, or `J40217` alone.
        words: Texts that must all stand in detail or reason.
        refused: Only what was refused.
        since_us, until_us: Wall time; the end is not included.
    """

    equal: dict[str, str] = field(default_factory=dict)
    event: str | None = None
    subject: str | None = None
    words: tuple[str, ...] = ()
    refused: bool = False
    since_us: int | None = None
    until_us: int | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """Write the criteria for SQL."""
        a = audit_table.c
        found: list[ColumnElement[bool]] = [a[name] == value for name, value in self.equal.items()]
        if self.event is not None:
            # A range, as LIKE would not use the index.
            found.append(and_(a.event >= self.event, a.event < self.event + _LAST_CHARACTER))
        if self.subject is not None:
            found.append(or_(a.subject == self.subject, a.subject.endswith(f" {self.subject}", autoescape=True)))
        if self.refused:
            # A handshake is refused before there is anybody to tell a code.
            found.append(or_(a.code.is_not(None), a.event.endswith("refused")))
        found += [
            or_(a.detail.contains(word, autoescape=True), a.reason.contains(word, autoescape=True))
            for word in self.words
        ]
        if self.since_us is not None:
            found.append(a.at >= self.since_us)
        if self.until_us is not None:
            found.append(a.at < self.until_us)
        return found
