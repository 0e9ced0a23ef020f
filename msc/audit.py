"""What access control tells the auditors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """Something an auditor asks about: who, what, on which device, from where, with what outcome.

    Attributes:
        event: `connection.opened`, `sign_on.granted`, `sign_on.refused` …
        user: Who acted.
        code: The refusal's wire code, or None.
        detail: More, in the switch's own words: without a subject it is logged, so never a secret and nothing a
            person typed.
        subject: What was acted upon (`user J40217`, `device MOBILE1`); None when it is the actor itself.
        reason: Why, as the operator gave it. It goes to the journal and nowhere else.
    """

    at_us: int
    event: str
    device: str | None = None
    user: str | None = None
    mnemonic: str | None = None
    source: str | None = None
    session: str | None = None
    code: str | None = None
    detail: str | None = None
    subject: str | None = None
    reason: str | None = None


Audit = Callable[[AuditEvent], None]
