"""What operators ask of the keeper, as JSON in and out: retention, holds, deletion. Who may is not looked at here.

retention      {}                                                 {"years", "automatic", "months": [...], "bytes"}
hold_list      {}                                                 {"holds": [...]}
hold_add       {"name", "months": [first, last]} or {"name", "criteria": {...}}      {"holds": [...]}
hold_release   {"number"}                                         {"holds": [...]}
delete         {"months": [...]}, empty for all that is due        {"deleted": [...]}
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import orjson

from msc import clock
from msc.journal.criteria import BadCriteria, Criteria
from msc.journal.database.layout import Hold
from msc.journal.keeper import DeletedMonth, RetentionKeeper
from msc.journal.retention import Outlook

CHANGING: Final = frozenset({"hold_add", "hold_release", "delete"})
"""Verbs that change something."""
VERBS: Final = CHANGING | {"retention", "hold_list"}


def _whole(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _months(value: Any) -> bool:
    return isinstance(value, list) and all(map(_whole, value))


_MEMBERS: Final[dict[str, dict[str, Callable[[Any], bool]]]] = {
    "retention": {},
    "hold_list": {},
    "hold_add": {
        "name": lambda value: isinstance(value, str),
        "months": lambda value: _months(value) and len(value) == 2,
        "criteria": lambda value: isinstance(value, dict),
    },
    "hold_release": {"number": _whole},
    "delete": {"months": _months},
}
_REQUIRED: Final = {"hold_add": {"name"}, "hold_release": {"number"}, "delete": {"months"}}


def check_keeping(verb: str, asked: dict[str, Any]) -> None:
    """Refuse what is not a question.

    Raises:
        BadCriteria: It has a member too many, too few, or of a wrong type.
    """
    members = _MEMBERS[verb]
    for name, value in asked.items():
        if name not in members:
            raise BadCriteria(f"{name!r} is nothing that can be asked here")
        if not members[name](value):
            raise BadCriteria(f"{name}: {value!r} is not what belongs there")
    if missing := sorted(_REQUIRED.get(verb, set()) - asked.keys()):
        raise BadCriteria(f"{', '.join(missing)} is missing")


async def keep(
    keeper: RetentionKeeper, verb: str, asked: dict[str, Any], by: str, reason: str, now_us: int
) -> dict[str, Any]:
    """Do what an operator who may asks for.

    Args:
        by: Who asks.
        reason: Why.
        now_us: Wall time.

    Raises:
        BadCriteria: It is not a question.
        BadHold, NotToBeDeleted: It cannot be done so.
        JournalError, JournalUnavailable: The journal failed.
    """
    check_keeping(verb, asked)
    today = clock.day_of(now_us)
    match verb:
        case "retention":
            outlooks, sizes = await keeper.outlook(today)
            months = [outlook_as_json(outlook, sizes.get(str(outlook.month.month), 0)) for outlook in outlooks]
            settings = keeper.settings
            return {
                "years": settings.years,
                "automatic": settings.automatic,
                "months": months,
                "bytes": sum(sizes.values()),
            }
        case "hold_list":
            return {"holds": [hold_as_json(hold) for hold in await keeper.holds()]}
        case "hold_add":
            criteria = Criteria.from_json(asked["criteria"]) if "criteria" in asked else None
            first_last = tuple(asked["months"]) if "months" in asked else None
            placed = await keeper.place_hold(asked["name"], now_us, by, reason, months=first_last, criteria=criteria)
            return {"holds": [hold_as_json(hold) for hold in placed]}
        case "hold_release":
            return {"holds": [hold_as_json(await keeper.release_hold(asked["number"], now_us, by))]}
        case _:
            deleted = await keeper.delete(asked["months"], today, by, reason)
            return {"deleted": [deletion_as_json(each) for each in deleted]}


def outlook_as_json(outlook: Outlook, size: int) -> dict[str, Any]:
    """Return what becomes of a month, ready for JSON."""
    month = outlook.month
    return {
        "month": month.month,
        "records": month.last - month.first + 1 if month.last else 0,
        "bytes": size,
        "verdict": outlook.verdict.value,
        "goes_on": outlook.goes_on.isoformat() if outlook.goes_on else None,
        "holds": [hold.number for hold in outlook.holds],
        "checkpoint": month.deleted or month.sealed or None,
        "why": outlook.why,
    }


def hold_as_json(hold: Hold) -> dict[str, Any]:
    """Return a legal hold, ready for JSON."""
    return {
        "number": hold.number,
        "name": hold.name,
        "month": hold.month or None,
        "criteria": orjson.loads(hold.criteria) if hold.criteria else None,
        "placed_at": clock.rfc3339(hold.placed_at),
        "placed_by": hold.placed_by,
        "reason": hold.reason,
        "released_at": clock.rfc3339(hold.released_at) if hold.released_at else None,
        "released_by": hold.released_by or None,
    }


def deletion_as_json(deleted: DeletedMonth) -> dict[str, Any]:
    """Return a deletion, ready for JSON."""
    return {"month": deleted.month, "checkpoint": deleted.checkpoint, "bytes": deleted.bytes_freed}
