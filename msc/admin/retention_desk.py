"""Where operators see what the journal keeps, hold it, and delete what has expired.

    POST /retention          what becomes of each month, and when                 {}
    POST /retention/holds    the legal holds, the released ones too               {}
    POST /retention/hold     place one                {"name", "reason", "months": [first, last] | "criteria": {…}}
    POST /retention/release  release one              {"number", "reason"}
    POST /retention/delete   delete months whose time is over; none named: all    {"months": […], "reason"}

What changes something is for administrators, needs a reason, and is journaled before it is done.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from msc import clock
from msc.acp.audit import AuditEvent
from msc.admin import access
from msc.admin.access import Action, NotPermitted
from msc.admin.gate import Caller, Gate, Refused, compact
from msc.errors import MSCError
from msc.journal.criteria import Criteria
from msc.journal.database.layout import Hold, JournalArchiving
from msc.journal.keeper import RetentionKeeper
from msc.journal.retention import MatchesIn, Outlook, plan
from msc.settings import RetentionSettings

SUBJECT = "journal"


class RetentionCounter:
    """Serves the questions and orders.

    Args:
        gate: Says who asks.
        journal: The database, to look at.
        keeper: Does what is ordered.
        matches_in: Asks whether a hold by criteria covers a month.
        settings: How long months are kept.
        journaled: Takes a record and returns whether it is durable.
    """

    def __init__(
        self,
        gate: Gate,
        journal: JournalArchiving,
        keeper: RetentionKeeper,
        matches_in: MatchesIn,
        settings: RetentionSettings,
        journaled: Callable[[AuditEvent], Awaitable[bool]],
    ) -> None:
        self._gate = gate
        self._journal = journal
        self._keeper = keeper
        self._matches_in = matches_in
        self._settings = settings
        self._journaled = journaled
        self.routes = [
            Route("/retention", self._plan, methods=["POST"]),
            Route("/retention/holds", self._holds, methods=["POST"]),
            Route("/retention/hold", self._hold, methods=["POST"]),
            Route("/retention/release", self._release, methods=["POST"]),
            Route("/retention/delete", self._delete, methods=["POST"]),
        ]

    async def _admit(self, request: Request, action: Action) -> tuple[str, Caller, dict[str, Any]]:
        """Return who asks, by name and as a caller, and what."""
        caller = await self._gate.admit(request)
        if caller.signed is None:
            self._gate.refuse(caller, "the journal is for operators: say who asks (--as)", 401)
        self._gate.require(caller, action)
        return caller.signed.operator.operator, caller, caller.content()

    async def _ordered(self, request: Request, action: Action, event: str) -> tuple[str, str, dict[str, Any]]:
        """Admit and journal an order; returns who gives it, why, and what it says."""
        name, caller, content = await self._admit(request, action)
        try:
            reason = access.check_reason(content.pop("reason", None))
        except NotPermitted as exc:
            raise Refused(400, str(exc)) from exc
        noted = AuditEvent(
            clock.wall_us(), event, user=name, source=caller.source, detail=compact(content), subject=SUBJECT,
            reason=reason,
        )  # fmt: skip
        if not await self._journaled(noted):
            raise Refused(503, "the journal cannot be written, so nothing is done")
        return name, reason, content

    async def _plan(self, request: Request) -> Response:
        await self._admit(request, Action.RETENTION)
        sizes = await self._journal.size()
        outlooks = await plan(self._journal, clock.today(), self._settings, self._matches_in)
        return JSONResponse(
            {
                "years": self._settings.years,
                "automatic": self._settings.automatic,
                "months": [_shown(outlook, sizes.get(str(outlook.month.month), 0)) for outlook in outlooks],
            }
        )

    async def _holds(self, request: Request) -> Response:
        await self._admit(request, Action.RETENTION)
        return JSONResponse([_shown_hold(hold) for hold in await self._journal.holds()])

    async def _hold(self, request: Request) -> Response:
        name, reason, content = await self._ordered(request, Action.HOLD, "journal.hold_asked")
        months, criteria = content.get("months"), content.get("criteria")
        case = content.get("name")
        if not isinstance(case, str) or (months is not None and not _are_months(months, 2)):
            raise Refused(400, "a hold has a name, and the months it begins and ends with, or criteria")
        if criteria is not None and not isinstance(criteria, dict):
            raise Refused(400, "criteria: must be an object")
        try:
            holds = await self._keeper.place_hold(
                case, clock.wall_us(), name, reason,
                months=(months[0], months[1]) if months is not None else None,
                criteria=Criteria.from_json(criteria) if criteria is not None else None,
            )  # fmt: skip
        except MSCError as exc:
            raise Refused(400, str(exc)) from exc
        return JSONResponse([_shown_hold(hold) for hold in holds])

    async def _release(self, request: Request) -> Response:
        name, _, content = await self._ordered(request, Action.HOLD, "journal.hold_release_asked")
        number = content.get("number")
        if type(number) is not int:
            raise Refused(400, "number: which hold")
        try:
            return JSONResponse(_shown_hold(await self._keeper.release_hold(number, clock.wall_us(), name)))
        except MSCError as exc:
            raise Refused(400, str(exc)) from exc

    async def _delete(self, request: Request) -> Response:
        name, reason, content = await self._ordered(request, Action.DELETE, "journal.deletion_asked")
        months = content.get("months", [])
        if not _are_months(months):
            raise Refused(400, "months: a list such as [202311]")
        try:
            deleted = await self._keeper.delete(months, clock.today(), name, reason)
        except MSCError as exc:
            raise Refused(400, str(exc)) from exc
        return JSONResponse([month._asdict() for month in deleted])


def _are_months(value: Any, count: int | None = None) -> bool:
    return (
        isinstance(value, list)
        and all(type(month) is int and 1 <= month % 100 <= 12 for month in value)
        and count in (None, len(value))
    )


def _shown(outlook: Outlook, size: int) -> dict[str, Any]:
    return {
        "month": outlook.month.month,
        "verdict": outlook.verdict.value,
        "goes_on": outlook.goes_on.isoformat() if outlook.goes_on is not None else None,
        "records": max(0, outlook.month.last - outlook.month.first + 1) if outlook.month.last else 0,
        "bytes": size,
        "holds": [hold.number for hold in outlook.holds],
        "why": outlook.why,
    }


def _shown_hold(hold: Hold) -> dict[str, Any]:
    return {
        **hold._asdict(),
        "placed_at": clock.rfc3339(hold.placed_at),
        "released_at": clock.rfc3339(hold.released_at) if hold.released_at else None,
    }
