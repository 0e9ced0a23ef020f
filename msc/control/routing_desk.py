"""Where operators see how messages are routed, try another table, and have the site's files taken up.

    POST /routing/{verb}    {"reason": …, and what stands below}, signed

    explain   text, mnemonic     which route takes this message, and why the others near it do not
    list      first              the routes in force, from this place on
    diff      file               what another file of routes would change
    replay    file, since_us     journaled messages that would go elsewhere; lines of JSON, as a search's are
    reload                       takes up the site's files, whole; or refuses them whole, with every fault

A file is named by its path on this machine; the switch reads it, and the site's groups with it. What an operator asks
is journaled first, but for the text of a message. A reload is journaled with what it took up, before that decides
anything. A replay sends nothing, and shows of a message its number and where it would go.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from msc import clock
from msc.audit import Audit, AuditEvent
from msc.control import access
from msc.control.access import Action, NotPermitted
from msc.control.gate import Caller, Gate, Refused, compact
from msc.control.journal_desk import JournalDesk
from msc.control.pipeline import Pipeline
from msc.control.plan_loading import let_go, load_beside
from msc.directory.rows import Directory
from msc.errors import Fault, MSCError, RouteError
from msc.limits import DIFFERENCES_MAX, REPLAYED_AT_ONCE, ROUTE_FAULTS_MAX, ROUTES_MAX, STANDING_S
from msc.log import get_logger
from msc.protocol.catalog import Catalog
from msc.routing.plan import Plan, PlanFiles
from msc.switch import plan_review
from msc.switch.plan_review import Replay

log = get_logger("admin")

SUBJECT: Final = "routes"
"""What is acted upon, in the audit stream."""

_MEMBERS: Final[Mapping[str, Mapping[str, type]]] = {
    "explain": {"text": str, "mnemonic": str},
    "list": {"first": int},
    "diff": {"file": str},
    "replay": {"file": str, "since_us": int},
    "reload": {},
}
_ACTIONS: Final = {
    "explain": Action.ROUTE_LOOK,
    "list": Action.ROUTE_LOOK,
    "diff": Action.ROUTE_LOOK,
    "replay": Action.ROUTE_CHANGE,
    "reload": Action.ROUTE_CHANGE,
}


class InForce(Protocol):
    """What holds the plan that decides."""

    @property
    def plan(self) -> Plan:
        """The plan."""

    def use(self, plan: Plan) -> None:
        """Decide by another one from now on."""


class RoutingCounter:
    """Serves the questions and the orders.

    Args:
        gate: Says who asks.
        in_force: Holds the plan.
        files: Where the site's plan stands.
        load: Loads a plan; called in a thread.
        journal: What passed through the switch, for replays.
        audit: Takes a record.
        pipeline: Journals what is asked.
    """

    def __init__(
        self,
        gate: Gate,
        in_force: InForce,
        files: PlanFiles,
        load: Callable[[PlanFiles], Plan],
        catalog: Catalog,
        directory: Directory,
        journal: JournalDesk,
        audit: Audit,
        pipeline: Pipeline,
    ) -> None:
        self._gate = gate
        self._in_force = in_force
        self._files = files
        self._load = load
        self._catalog = catalog
        self._directory = directory
        self._journal = journal
        self._audit = audit
        self._pipeline = pipeline
        self._loading = False
        self._looking = 0

    async def serve(self, request: Request) -> Response:
        """Answer a request to `/routing/{verb}`.

        Raises:
            Refused: It is not done; says why.
        """
        verb = request.path_params["verb"]
        action = _ACTIONS.get(verb)
        if action is None:
            raise Refused(404, f"there is no /routing/{verb}")
        caller = await self._gate.admit(request)
        if caller.signed is None:
            self._gate.refuse(caller, "routes are for operators: say who asks (--as)", 401)
        self._gate.require(caller, action)
        asked = caller.content()
        try:
            reason = access.check_reason(asked.pop("reason", None))
        except NotPermitted as exc:
            self._gate.refuse(caller, str(exc))
        _check(verb, asked)
        noted = partial(_noted, caller, reason, secrets.token_hex(4))
        told = {name: value for name, value in asked.items() if name != "text"}
        await self._pipeline.ask(noted("route.asked", {"verb": verb, **told}))
        if verb == "reload":
            return await self._reload(noted)
        if verb == "list":
            return JSONResponse(plan_review.listed(self._in_force.plan, asked.get("first", 1)))
        if verb == "explain":
            return await self._explain(asked["text"], asked["mnemonic"])
        file = Path(asked["file"])
        try:
            new = await self._loaded(self._files._replace(routes=file))
        except RouteError as exc:
            answer = _faults(exc)
            return JSONResponse(answer) if verb == "diff" else StreamingResponse(_one_line({"end": answer}))
        if verb == "diff":
            return await self._diff(new)
        return StreamingResponse(
            self._replay(new, asked["since_us"], caller, noted), media_type="application/x-ndjson"
        )

    @contextmanager
    def _look(self) -> Any:
        """Keep the plan whole for whoever looks at it longer than a turn of the loop."""
        self._looking += 1
        try:
            yield self._in_force.plan
        finally:
            self._looking -= 1

    async def _loaded(self, files: PlanFiles) -> Plan:
        if self._loading:
            raise Refused(409, "routes are being loaded already; try again in a moment")
        self._loading = True
        try:
            return await load_beside(partial(self._load, files))
        finally:
            self._loading = False

    # --- looking ----------------------------------------------------------------------------------

    async def _explain(self, text: str, mnemonic: str) -> Response:
        with self._look() as plan:
            try:
                # It asks every route, which takes long: not on the loop.
                found = await asyncio.to_thread(
                    plan_review.explain, plan, self._catalog, self._directory, text, mnemonic
                )
            except MSCError as exc:
                raise Refused(400, str(exc)) from exc
        return JSONResponse(found)

    async def _diff(self, new: Plan) -> Response:
        with self._look() as plan:
            found = await asyncio.to_thread(plan_review.differences, plan, new, self._catalog, self._directory)
        await let_go(new)
        return JSONResponse(found)

    async def _replay(
        self, new: Plan, since_us: int, caller: Caller, noted: Callable[[str, Any], AuditEvent]
    ) -> AsyncIterator[bytes]:
        assert caller.signed is not None
        with self._look() as plan:
            replay = Replay(plan, new, self._catalog, self._directory)
            asked = {"criteria": {"since_us": since_us, "until_us": clock.wall_us()}, "oldest_first": True}
            parts: AsyncGenerator[Any, None] = self._journal.ask("search", asked)
            looked, outcome, complete = clock.monotonic(), "broken off", False
            try:
                async for part in parts:
                    if part.end is not None:
                        complete = bool(part.end.get("complete"))
                    lines = part.lines.splitlines()
                    for at in range(0, len(lines), REPLAYED_AT_ONCE):
                        yield self._compared(replay, lines[at : at + REPLAYED_AT_ONCE])
                        await asyncio.sleep(0)
                    if clock.monotonic() - looked >= STANDING_S:
                        looked = clock.monotonic()
                        if why := self._gate.sign_in.standing(caller.signed):
                            outcome = "withdrawn"
                            yield _line({"error": why})
                            return
                        yield _line({"progress": {"messages": replay.messages}})
                outcome = "ended"
            except MSCError as exc:
                outcome = "failed"
                yield _line({"error": str(exc)})
                return
            finally:
                counts = {"messages": replay.messages, "elsewhere": replay.elsewhere}
                self._audit(noted("route.replayed", {**counts, "outcome": outcome}))
                await parts.aclose()
        yield _line({"end": {**counts, "complete": complete}})
        await let_go(new)

    @staticmethod
    def _compared(replay: Replay, lines: list[bytes]) -> bytes:
        found = []
        for line in lines:
            item = orjson.loads(line).get("item")
            told = replay.take(item) if item is not None else None
            if told is not None and replay.elsewhere <= DIFFERENCES_MAX:
                found.append(_line({"item": told}))
        return b"".join(found)

    # --- changing ---------------------------------------------------------------------------------

    async def _reload(self, noted: Callable[[str, Any], AuditEvent]) -> Response:
        begun = clock.monotonic()
        try:
            new = await self._loaded(self._files)
        except RouteError as exc:
            self._audit(noted("route.reload_refused", {"faults": len(exc.faults)}))
            return JSONResponse({"reloaded": False, **_faults(exc)})
        except Refused as exc:
            self._audit(noted("route.reload_refused", {"why": str(exc)}))
            raise
        counts = new.counts()
        await self._pipeline.ask(noted("route.reloaded", counts))
        old = self._in_force.plan
        self._in_force.use(new)
        log.info("route.reloaded", **counts, seconds=round(clock.monotonic() - begun, 3))
        if not self._looking:
            await let_go(old)
        return JSONResponse({"reloaded": True, **counts})


def _check(verb: str, asked: dict[str, Any]) -> None:
    """Make sure a question is one.

    Raises:
        Refused: It is not.
    """
    members = _MEMBERS[verb]
    for name, value in asked.items():
        if name not in members:
            raise Refused(400, f"{name!r} is nothing that can be asked here")
        if type(value) is not members[name]:
            raise Refused(400, f"{name}: is not what belongs there")
    if missing := sorted(members.keys() - asked.keys() - {"first"}):
        raise Refused(400, f"{', '.join(missing)} is missing")
    if not 1 <= asked.get("first", 1) <= ROUTES_MAX:
        raise Refused(400, "first: is not a place of a route")
    if not 0 <= asked.get("since_us", 0) < 2**63:
        raise Refused(400, "since_us: is not a time")
    file = Path(asked.get("file", "/x.toml"))
    if not file.is_absolute() or file.suffix != ".toml":
        raise Refused(400, "file: must be the whole path of a file *.toml")


def _noted(caller: Caller, reason: str, session: str, event: str, detail: Any) -> AuditEvent:
    assert caller.signed is not None
    return AuditEvent(
        clock.wall_us(), event, user=caller.signed.operator.operator, source=caller.source, session=session,
        detail=compact(detail), subject=SUBJECT, reason=reason,
    )  # fmt: skip


def _faults(exc: RouteError) -> dict[str, Any]:
    return {"faults": [_fault(each) for each in exc.faults[:ROUTE_FAULTS_MAX]], "faults_in_all": len(exc.faults)}


def _fault(fault: Fault) -> dict[str, Any]:
    return {"file": str(fault.file), "where": fault.where, "problem": fault.problem}


def _line(content: dict[str, Any]) -> bytes:
    return orjson.dumps(content) + b"\n"


async def _one_line(content: dict[str, Any]) -> AsyncIterator[bytes]:
    yield _line(content)
