"""Where operators look at lines, devices and queues, and say what is to become of them.

    POST /switching/{verb}    {"reason": …, and what `msc.switch.orders.verb` takes}, signed

Whoever asks is an operator, signed. Every order needs a reason and is journaled, durably, before it is done; a second
record says what was before and after, or why it was not done. A look is journaled too; one that shows what a message
says needs a reason and waits for its record like an order. Texts of messages stand in these records alone: they have
a subject, and what has one stays out of the log.
"""

from __future__ import annotations

import secrets
import traceback
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from msc import clock
from msc.audit import Audit, AuditEvent
from msc.control import access
from msc.control.access import Action, NotPermitted
from msc.control.gate import Caller, Gate, Refused, compact
from msc.errors import MSCError, Refusal
from msc.log import get_logger
from msc.switch.orders.verb import VERBS, BadOrder, NotServed, Operations, Order, Outcome, Verb, check_order

log = get_logger("admin")

_FAULT: Final = "an internal fault: look at the switch's log"
_SUBJECTS: Final = ("line", "device", "msn", "name", "number")
"""Members that say what is acted upon, and how a subject calls that."""
_KINDS: Final = {"msn": "message", "name": "intercept", "number": "bulletin"}
_ADDRESSES: Final = ("for", "from", "at", "address", "to")


def subject_of(verb: str, asked: Mapping[str, Any]) -> str:
    """Name what an order acts upon, as the audit stream has it: `line clets-a`, `device PRINTER1`, `message 17`."""
    for member in _SUBJECTS:
        if member in asked:
            return f"{_KINDS.get(member, member)} {asked[member]}"
    for member in _ADDRESSES:
        if member in asked:
            return str(asked[member]).replace(":", " ", 1)
    return verb.replace("_", " ")


class SwitchingCounter:
    """Serves the orders.

    Args:
        gate: Says who gives them.
        operations: Does what is ordered.
        audit: Takes a record.
        journaled: Takes a record and returns whether it is durable.
    """

    def __init__(
        self,
        gate: Gate,
        operations: Operations,
        audit: Audit,
        journaled: Callable[[AuditEvent], Awaitable[bool]],
    ) -> None:
        self._gate = gate
        self._operations = operations
        self._audit = audit
        self._journaled = journaled

    async def serve(self, request: Request) -> Response:
        """Answer a request to `/switching/{verb}`.

        Raises:
            Refused: It is not done; says why.
        """
        name = request.path_params["verb"]
        verb = VERBS.get(name)
        if verb is None:
            raise Refused(404, f"there is no /switching/{name}")
        caller = await self._gate.admit(request)
        order = self._order(name, verb, caller)
        noted = self._record(order, caller, f"switching.{name}", compact(dict(order.asked)))
        if not verb.needs_reason:
            self._audit(noted)
        elif not await self._journaled(noted):
            raise Refused(503, "the journal cannot be written, so nothing is done")
        outcome = await self._perform(order, verb, caller, noted)
        if not verb.look:
            detail = compact({"verb": name, "before": outcome.before, "after": outcome.after})
            self._audit(self._record(order, caller, "switching.done", detail, noted.session))
        return JSONResponse(outcome.answer)

    def _order(self, name: str, verb: Verb, caller: Caller) -> Order:
        """Read and check what is asked.

        Raises:
            Refused: It is no order, or not this operator's to give.
        """
        if caller.signed is None:
            self._gate.refuse(caller, "orders are for operators: say who asks (--as)", 401)
        self._gate.require(caller, Action.SWITCHING_LOOK if verb.look else Action.SWITCHING_ORDER)
        try:
            asked = caller.content()
        except Refused as exc:
            self._gate.refuse(caller, str(exc), exc.status, tried={"verb": name})
        reason = asked.pop("reason", None)
        try:
            words = access.check_reason(reason) if verb.needs_reason or reason is not None else ""
            check_order(name, asked)
        except NotPermitted as exc:
            self._gate.refuse(caller, str(exc))
        except BadOrder as exc:
            # On record too, like a question to the journal that is none.
            self._gate.refuse(caller, str(exc), 400, tried={"verb": name, **asked})
        return Order(name, asked, caller.signed.operator.operator, words)

    async def _perform(self, order: Order, verb: Verb, caller: Caller, noted: AuditEvent) -> Outcome:
        try:
            return await self._operations.perform(order)
        except MSCError as exc:
            fault: Exception = exc
            why = exc.reason if isinstance(exc, Refusal) else str(exc)
            status = 400 if isinstance(exc, BadOrder) else 501 if isinstance(exc, NotServed) else 409
        except Exception as exc:
            # Where, and not what: an error's own words may hold what a message says.
            where = [f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(exc.__traceback__)]
            log.error("switching.fault", verb=order.verb, error=type(exc).__name__, where=where)
            fault, why, status = exc, _FAULT, 500
        if not verb.look:
            detail = compact({"verb": order.verb, "why": why})
            self._audit(self._record(order, caller, "switching.not_done", detail, noted.session))
        raise Refused(status, why) from fault

    @staticmethod
    def _record(order: Order, caller: Caller, event: str, detail: str, session: str | None = None) -> AuditEvent:
        """Make a record of an order; those of one order have the same session."""
        return AuditEvent(
            clock.wall_us(), event, user=order.by, source=caller.source, session=session or secrets.token_hex(4),
            detail=detail, subject=subject_of(order.verb, order.asked), reason=order.reason or None,
        )  # fmt: skip
