"""What each role of operators may do, and of whose messages and events: one table.

    action                     administrator   auditor   coordinator    oversight
    journal.search … follow    all             all       own agency     all
    journal.print              all             all       own agency     all
    audit.search               all             all       own agency     all
    journal.verify, prove      yes             yes       -              yes
    journal.retention.show     yes             yes       -              yes
    journal.hold, delete       yes             -         -              -
    journal.backup             yes             -         -              -
    journal.break_glass        yes             -         -              -
    session.list, end; state   yes             -         -              -
    route.look                 yes             yes       -              yes
    route.change               yes             -         -              -
    switching.look             yes             yes       -              yes
    switching.order            yes             -         -              -

An auditor and the oversight body read everything and change nothing. They are two roles because they answer to two
masters, and the journal says of every search which of them it was. A coordinator cannot verify or prove: what is
shown of the chain, and of retention, is of all agencies at once; so are lines, queues and what waits in them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from msc.directory.rows import Directory, Operator, Role
from msc.errors import MSCError
from msc.limits import OPERATOR_REASON_CHARS_MAX


class NotPermitted(MSCError):
    """An operator may not do what was asked; says why, without a word of what was looked for."""


class Action(StrEnum):
    """What an operator may ask for."""

    SEARCH = "journal.search"
    SHOW = "journal.show"
    SAMPLE = "journal.sample"
    STATS = "journal.stats"
    FOLLOW = "journal.follow"
    PRINT = "journal.print"
    AUDIT = "audit.search"
    VERIFY = "journal.verify"
    PROVE = "journal.prove"
    RETENTION = "journal.retention.show"
    HOLD = "journal.hold"
    DELETE = "journal.delete"
    BACKUP = "journal.backup"
    BREAK_GLASS = "journal.break_glass"
    LIST_SESSIONS = "session.list"
    END_SESSION = "session.end"
    STATE = "switch.state"
    ROUTE_LOOK = "route.look"
    """Explain, list and compare."""
    ROUTE_CHANGE = "route.change"
    """Reload; and replay, which shows whose messages would go elsewhere."""
    SWITCHING_LOOK = "switching.look"
    """Lines, devices, queues, what stands in the way: what is there and what waits."""
    SWITCHING_ORDER = "switching.order"
    """Anything that changes where a message goes, or whether."""


SCOPED: Final = frozenset(
    {Action.SEARCH, Action.SHOW, Action.SAMPLE, Action.STATS, Action.FOLLOW, Action.PRINT, Action.AUDIT}
)
"""What can be confined to one agency."""

_READING: Final = SCOPED | {
    Action.VERIFY, Action.PROVE, Action.RETENTION, Action.ROUTE_LOOK, Action.SWITCHING_LOOK,
}  # fmt: skip

MAY: Final[Mapping[Role, frozenset[Action]]] = {
    Role.ADMINISTRATOR: frozenset(Action),
    Role.AUDITOR: _READING,
    Role.COORDINATOR: SCOPED,
    Role.OVERSIGHT: _READING,
}


@dataclass(frozen=True, slots=True)
class Scope:
    """Of whose messages and events an operator is shown anything.

    Attributes:
        agency: Of this one's alone; None is of all.
    """

    agency: str | None = None


EVERYTHING: Final = Scope()


def permit(operator: Operator, action: Action) -> Scope:
    """Say of whose messages an operator may do something.

    Args:
        operator: In force; whether they are is `msc.control.sign_in`'s question.

    Raises:
        NotPermitted: Of nobody's.
    """
    if action not in MAY[operator.role]:
        raise NotPermitted(f"{action} is not for {_article(operator.role)}")
    if operator.role is not Role.COORDINATOR:
        return EVERYTHING
    if not operator.agency:
        # The directory's rules do not let it come to this; if it does, nobody's is the safe answer.
        raise NotPermitted("a coordinator without an agency sees nothing")
    return Scope(operator.agency)


def confine(scope: Scope, criteria: Mapping[str, Any], directory: Directory, member: str = "scope") -> dict[str, Any]:
    """Return criteria confined to a scope.

    Whatever is asked, `member` is what this puts there. What openly names another agency is refused rather than
    answered with nothing: whoever gets no answer would think that there is none.

    Args:
        criteria: As a client sent them.
        member: What confines them: `scope` for messages, `agency` for the audit stream.

    Raises:
        NotPermitted: They name another agency, or try to set the scope.
    """
    if "scope" in criteria:
        raise NotPermitted("the scope is not the client's to set")
    if scope.agency is None:
        return dict(criteria)
    agency = criteria.get("agency")
    if agency is not None and agency != scope.agency:
        raise NotPermitted("a coordinator sees only their own agency")
    ori = criteria.get("ori")
    if isinstance(ori, str) and (owner := directory.oris.get(ori)) is not None and owner.agency != scope.agency:
        raise NotPermitted("a coordinator sees only their own agency, and the ORI is another's")
    return {**criteria, member: scope.agency}


def check_reason(reason: Any) -> str:
    """Return the reason of a search or an order, as it will stand in the journal.

    Raises:
        NotPermitted: There is none, or it is none.
    """
    if not isinstance(reason, str) or not reason.strip():
        raise NotPermitted("say why: every look into the journal, and every order, needs a reason (C-ACCESS)")
    text = " ".join(reason.split())
    if len(text) > OPERATOR_REASON_CHARS_MAX:
        raise NotPermitted(f"the reason is longer than {OPERATOR_REASON_CHARS_MAX} characters")
    if not text.isprintable():
        raise NotPermitted("the reason holds characters that cannot be printed")
    return text


def _article(role: Role) -> str:
    return {
        Role.ADMINISTRATOR: "an administrator",
        Role.AUDITOR: "an auditor",
        Role.COORDINATOR: "a coordinator",
        Role.OVERSIGHT: "the oversight body",
    }[role]
