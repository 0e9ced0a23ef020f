"""How an operator's order is carried out: journaled as asked, done, journaled as done or as not done and why.

The one way for every order, so that one that was refused never looks like one that was done. Both records of an order
have the same session. Details may hold what a message says, so each has a subject: what has one stays out of the log.
"""

from __future__ import annotations

import traceback
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, Final, TypeVar

from msc import clock
from msc.audit import Audit, AuditEvent
from msc.control.gate import Refused, compact
from msc.errors import MSCError, Refusal
from msc.journal.criteria import BadCriteria
from msc.log import get_logger
from msc.switch.orders.verb import BadOrder, NotServed

log = get_logger("admin")

Result = TypeVar("Result")
_FAULT: Final = "an internal fault: look at the switch's log"


class Pipeline:
    """Carries orders out.

    Args:
        audit: Takes a record.
        journaled: Takes a record and returns whether it is durable.
    """

    def __init__(self, audit: Audit, journaled: Callable[[AuditEvent], Awaitable[bool]]) -> None:
        self._audit = audit
        self._journaled = journaled

    async def ask(self, asked: AuditEvent, *, waits: bool = True) -> None:
        """Journal what is asked.

        Args:
            waits: Whether nothing may be done or shown before the record is durable.

        Raises:
            Refused: It must be durable, and the journal cannot be written.
        """
        if not waits:
            self._audit(asked)
        elif not await self._journaled(asked):
            raise Refused(503, "the journal cannot be written, so nothing is done")

    async def carry_out(
        self,
        asked: AuditEvent,
        verb: str,
        do: Callable[[], Awaitable[Result]],
        told: Callable[[Result], Mapping[str, Any]],
    ) -> Result:
        """Do what was asked, and journal what came of it as `….done` or `….not_done`.

        Args:
            asked: The record of the order; that of its outcome differs in event, time and detail.
            told: What the record says of the outcome.

        Raises:
            Refused: It was not done; says why.
        """
        family = asked.event.partition(".")[0]
        try:
            result = await do()
        except Exception as exc:
            status, why = _refusal(exc, family, verb)
            self._audit(_outcome(asked, f"{family}.not_done", {"verb": verb, "why": why}))
            raise Refused(status, why) from exc
        self._audit(_outcome(asked, f"{family}.done", {"verb": verb, **told(result)}))
        return result

    async def look(self, family: str, verb: str, do: Callable[[], Awaitable[Result]]) -> Result:
        """Find out what was asked; that it was asked is all the journal needs to say.

        Raises:
            Refused: It cannot be found out; says why.
        """
        try:
            return await do()
        except Exception as exc:
            status, why = _refusal(exc, family, verb)
            raise Refused(status, why) from exc


def _outcome(asked: AuditEvent, event: str, detail: Mapping[str, Any]) -> AuditEvent:
    return replace(asked, at_us=clock.wall_us(), event=event, detail=compact(detail))


def _refusal(exc: Exception, family: str, verb: str) -> tuple[int, str]:
    """Return the HTTP status, and what whoever asked is told."""
    match exc:
        case Refused():
            return exc.status, str(exc)
        case BadOrder() | BadCriteria():
            return 400, str(exc)
        case NotServed():
            return 501, str(exc)
        case Refusal():
            return 409, exc.reason
        case MSCError():
            return 409, str(exc)
        case _:
            # Where, and not what: an error's own words may hold what a message says.
            where = [f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(exc.__traceback__)]
            log.error(f"{family}.fault", verb=verb, error=type(exc).__name__, where=where)
            return 500, _FAULT
