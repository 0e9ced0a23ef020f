"""Where operators see what the journal keeps, hold it, and have deleted what has expired.

    POST /keeping/{verb}    {"reason": …, and what `msc.journal.keeping` takes}, signed

Every order is journaled before it is done, and what came of it after; a look is journaled too.
"""

from __future__ import annotations

import secrets
from functools import partial
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from msc import clock
from msc.audit import AuditEvent
from msc.control import access
from msc.control.access import Action, NotPermitted
from msc.control.gate import Gate, Refused, compact
from msc.control.pipeline import Pipeline
from msc.errors import MSCError
from msc.journal.keeper import RetentionKeeper
from msc.journal.keeping import CHANGING, check_keeping, keep

SUBJECT: Final = "journal"
"""What is acted upon, in the audit stream: with a subject, the detail stays out of the log."""
_ACTIONS: Final = {
    "retention": Action.RETENTION,
    "hold_list": Action.RETENTION,
    "hold_add": Action.HOLD,
    "hold_release": Action.HOLD,
    "delete": Action.DELETE,
}


class RetentionCounter:
    """Serves the orders.

    Args:
        gate: Says who gives them.
        keeper: Does what is ordered.
        pipeline: Carries it out, on record.
    """

    def __init__(self, gate: Gate, keeper: RetentionKeeper, pipeline: Pipeline) -> None:
        self._gate = gate
        self._keeper = keeper
        self._pipeline = pipeline

    async def serve(self, request: Request) -> Response:
        """Answer a request to `/keeping/{verb}`.

        Raises:
            Refused: It is not done; says why.
        """
        verb = request.path_params["verb"]
        action = _ACTIONS.get(verb)
        if action is None:
            raise Refused(404, f"there is no /keeping/{verb}")
        caller = await self._gate.admit(request)
        if caller.signed is None:
            self._gate.refuse(caller, "the journal is for operators: say who asks (--as)", 401)
        self._gate.require(caller, action)
        asked, name = caller.content(), caller.signed.operator.operator
        try:
            reason = access.check_reason(asked.pop("reason", None))
            check_keeping(verb, asked)
        except NotPermitted as exc:
            self._gate.refuse(caller, str(exc))
        except MSCError as exc:
            raise Refused(400, str(exc)) from exc
        noted = AuditEvent(
            clock.wall_us(), f"journal.{verb}", user=name, source=caller.source, detail=compact(asked),
            subject=SUBJECT, reason=reason, session=secrets.token_hex(4),
        )  # fmt: skip
        await self._pipeline.ask(noted)
        do = partial(keep, self._keeper, verb, asked, name, reason, noted.at_us)
        if verb in CHANGING:
            return JSONResponse(await self._pipeline.carry_out(noted, verb, do, _told))
        return JSONResponse(await self._pipeline.look("journal", verb, do))


def _told(answer: dict[str, Any]) -> dict[str, Any]:
    """Return what the record of an outcome says: which holds, or which months."""
    if "deleted" in answer:
        return {"months": [each["month"] for each in answer["deleted"]]}
    return {"holds": [each["number"] for each in answer["holds"]]}
