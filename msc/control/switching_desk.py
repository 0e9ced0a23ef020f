"""Where operators look at lines, devices and queues, and say what is to become of them.

    POST /switching/{verb}    {"reason": …, and what `msc.switch.orders.verb` takes}, signed

Whoever asks is an operator, signed. Every order needs a reason and is journaled, durably, before it is done; a second
record says what was before and after, or why it was not done. A look is journaled too; one that shows what a message
says needs a reason and waits for its record like an order. Texts of messages stand in these records alone: they have
a subject, and what has one stays out of the log.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from msc import clock
from msc.audit import AuditEvent
from msc.control import access
from msc.control.access import Action, NotPermitted
from msc.control.gate import Caller, Gate, Refused, compact
from msc.control.pipeline import Pipeline
from msc.switch.orders.verb import VERBS, BadOrder, Operations, Order, Outcome, Verb, check_order

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
        pipeline: Carries it out, on record.
    """

    def __init__(self, gate: Gate, operations: Operations, pipeline: Pipeline) -> None:
        self._gate = gate
        self._operations = operations
        self._pipeline = pipeline

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
        noted = _asked(order, caller)
        await self._pipeline.ask(noted, waits=verb.needs_reason)
        do = partial(self._operations.perform, order)
        if verb.look:
            return JSONResponse((await self._pipeline.look("switching", name, do)).answer)
        return JSONResponse((await self._pipeline.carry_out(noted, name, do, _told)).answer)

    def _order(self, name: str, verb: Verb, caller: Caller) -> Order:
        """Read and check what is asked.

        Raises:
            Refused: It is not an order, or not this operator's to give.
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


def _asked(order: Order, caller: Caller) -> AuditEvent:
    return AuditEvent(
        clock.wall_us(), f"switching.{order.verb}", user=order.by, source=caller.source, session=secrets.token_hex(4),
        detail=compact(dict(order.asked)), subject=subject_of(order.verb, order.asked), reason=order.reason or None,
    )  # fmt: skip


def _told(outcome: Outcome) -> dict[str, Any]:
    return {"before": outcome.before, "after": outcome.after}
