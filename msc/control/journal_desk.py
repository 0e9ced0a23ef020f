"""Where operators ask the journal: each question is checked, confined, journaled, and only then answered.

    POST /journal/{search,show,audit,sample,stats,follow,prove}  {"reason": …, "criteria": {…}, …}, signed

    {"item": …}                 lines of JSON, as they are found
    {"progress": …}             how far a long one has come
    {"end": {"count": …, …}}    the last line; or {"error": "…"}; without either the answer broke off

An empty line only says that the switch is still there. The record that says who asked for what, and why, is durable
before the first line is sent; another says at the end how many results there were, also of what was broken off.
What searches is behind `JournalDesk`, which knows nothing of roles.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import traceback
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from msc import clock
from msc.audit import Audit, AuditEvent
from msc.control import access
from msc.control.access import Action, NotPermitted
from msc.control.gate import Caller, Gate, Refused, compact
from msc.directory.rows import Directory
from msc.errors import MSCError
from msc.journal.criteria import BadCriteria, Criteria
from msc.journal.process import Part
from msc.limits import SEARCHES_MAX, SEARCHES_PER_OPERATOR, STANDING_S, STREAM_QUIET_S
from msc.log import get_logger

log = get_logger("admin")

SUBJECT: Final = "journal"
"""What is acted upon, in the audit stream: with a subject, the detail stays out of the log."""


class JournalDesk(Protocol):
    """What answers. It has no part in who may ask."""

    def ask(self, verb: str, asked: dict[str, Any]) -> AsyncGenerator[Part, None]:
        """Answer a question; the last part has an `end`.

        Args:
            verb: A name of `VERBS`.
            asked: Its members, checked and confined: `criteria` (with `scope`, of the audit stream with `agency`,
                set where the operator sees only one agency), or, where a verb has none, `scope` itself.

        Raises:
            MSCError: It cannot be answered; says why.

        Cancellation:
            Closed early when nobody reads any more; it stops searching then.
        """


@dataclass(frozen=True, slots=True)
class Verb:
    """A question there is.

    Attributes:
        action: What the asker must be permitted.
        confined_by: The member of the criteria that confines them; None if it has no criteria.
        members: What else may be asked, and what that must be.
        required: Of these, what must be.
    """

    action: Action
    confined_by: str | None
    members: Mapping[str, type] = field(default_factory=dict)
    required: frozenset[str] = frozenset()


_WHOLE_END: Final = 2**63
"""No database holds a larger number."""

_PAGE: Final[Mapping[str, type]] = {"limit": int, "oldest_first": bool, "after": str, "print": bool}

VERBS: Final[Mapping[str, Verb]] = {
    "search": Verb(Action.SEARCH, "scope", _PAGE),
    "show": Verb(Action.SHOW, None, {"msn": int, "print": bool}, frozenset({"msn"})),
    "audit": Verb(Action.AUDIT, "agency", _PAGE),
    "sample": Verb(Action.SAMPLE, "scope", {"count": int, "seed": int, "print": bool}, frozenset({"count", "seed"})),
    "stats": Verb(Action.STATS, "scope", {"by": list, "print": bool}),
    "follow": Verb(Action.FOLLOW, "scope"),
    "prove": Verb(Action.PROVE, None, {"msn": int}, frozenset({"msn"})),
}


def checked(verb: Verb, content: Mapping[str, Any], scope: access.Scope, directory: Directory) -> dict[str, Any]:
    """Return a question as the desk gets it: nothing in it that is not of its verb, and confined to a scope.

    Raises:
        NotPermitted: It is of what the asker may not see.
        BadCriteria: It is not a question.
    """
    asked: dict[str, Any] = {}
    criteria: Any = {}
    for name, value in content.items():
        if name == "criteria" and verb.confined_by is not None:
            criteria = value
        elif (wanted := verb.members.get(name)) is None:
            raise BadCriteria(f"{name!r} is nothing that can be asked here")
        elif type(value) is not wanted or (isinstance(value, int) and not _least(name) <= value < _WHOLE_END):
            raise BadCriteria(f"{name}: {value!r} is not what belongs there")
        else:
            asked[name] = value
    if missing := sorted(verb.required - asked.keys()):
        raise BadCriteria(f"{', '.join(missing)} is missing")
    if verb.confined_by is None:
        return {**asked, "scope": scope.agency}
    if not isinstance(criteria, dict):
        raise BadCriteria("criteria: must be an object")
    confined = access.confine(scope, criteria, directory, verb.confined_by)
    if verb.confined_by == "scope":
        confined = Criteria.from_json(confined).as_json()
    return {**asked, "criteria": confined}


def _least(member: str) -> int:
    """Return the smallest number a member may be."""
    return 1 if member in ("limit", "count") else 0


@dataclass(slots=True)
class _Question:
    """A question under way.

    Attributes:
        id: Stands in both of its records, as their session.
    """

    verb: str
    caller: Caller
    scope: access.Scope
    reason: str
    asked: dict[str, Any]
    id: str = field(default_factory=lambda: secrets.token_hex(4))
    results: int = 0
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Of the operator."""
        assert self.caller.signed is not None
        return self.caller.signed.operator.operator

    @property
    def role(self) -> str:
        """Of the operator."""
        assert self.caller.signed is not None
        return self.caller.signed.operator.role.value

    def begun(self) -> AuditEvent:
        """Return the record of who asks for what."""
        assert self.caller.signed is not None
        detail = compact({"verb": self.verb, "role": self.caller.signed.operator.role.value, **self.asked})
        printed = self.asked.get("print")
        return AuditEvent(
            clock.wall_us(), "journal.printed" if printed else "journal.searched", user=self.name,
            source=self.caller.source, session=self.id, detail=detail, subject=SUBJECT, reason=self.reason,
        )  # fmt: skip

    def ended(self, outcome: str) -> AuditEvent:
        """Return the record of what came of it."""
        detail = compact({"verb": self.verb, "results": self.results, "outcome": outcome, **self.facts})
        return AuditEvent(
            clock.wall_us(), "journal.search_ended", user=self.name, source=self.caller.source, session=self.id,
            detail=detail, subject=SUBJECT, reason=self.reason,
        )  # fmt: skip


class JournalCounter:
    """Serves the questions.

    Args:
        gate: Says who asks.
        desk: Answers.
        directory: Whose ORI is whose.
        audit: Takes a record.
        journaled: Takes a record and returns whether it is durable.
    """

    def __init__(
        self,
        gate: Gate,
        desk: JournalDesk,
        directory: Directory,
        audit: Audit,
        journaled: Callable[[AuditEvent], Awaitable[bool]],
    ) -> None:
        self._gate = gate
        self._desk = desk
        self._directory = directory
        self._audit = audit
        self._journaled = journaled
        self._under_way: Counter[str] = Counter()
        self._closing = asyncio.Event()

    def close(self) -> None:
        """End what is under way, and take nothing new."""
        self._closing.set()

    async def serve(self, request: Request) -> Response:
        """Answer a request to `/journal/{verb}`.

        Raises:
            Refused: It is not answered; says why.
        """
        name = request.path_params["verb"]
        verb = VERBS.get(name)
        if verb is None:
            raise Refused(404, f"there is no /journal/{name}")
        caller = await self._gate.admit(request)
        question = self._question(name, verb, caller)
        return _Streamed(lambda receive, send: self._answer(question, receive, send))

    def _question(self, name: str, verb: Verb, caller: Caller) -> _Question:
        if caller.signed is None:
            self._gate.refuse(caller, "the journal is for operators: say who asks (--as)", 401)
        try:
            content = caller.content()
        except Refused as exc:
            self._gate.refuse(caller, str(exc), exc.status, tried={"verb": name})
        reason = content.pop("reason", None)
        tried = {"verb": name, **content}
        try:
            scope = access.permit(caller.signed.operator, verb.action)
            if content.get("print") is True:
                access.permit(caller.signed.operator, Action.PRINT)
            reason = access.check_reason(reason)
            asked = checked(verb, content, scope, self._directory)
        except NotPermitted as exc:
            self._gate.refuse(caller, str(exc), tried=tried)
        except BadCriteria as exc:
            # On record too: it may be a slip of the pen, or somebody who looks for a way round the scope.
            self._gate.refuse(caller, str(exc), 400, tried=tried)
        return _Question(name, caller, scope, reason, asked)

    # --- answering --------------------------------------------------------------------------------

    async def _answer(self, question: _Question, receive: Receive, send: Send) -> Response | None:
        """Answer a question; returns what to send instead where it is not answered."""
        name = question.name
        if self._under_way.total() >= SEARCHES_MAX or self._under_way[name] >= SEARCHES_PER_OPERATOR:
            return _error(503, "too many searches are under way; try again in a moment")
        if self._closing.is_set():
            return _error(503, "the switch is shutting down")
        self._under_way[name] += 1
        try:
            if not await self._journaled(question.begun()):
                return _error(503, "the journal cannot be written, so nothing of it is shown")
            await self._stream(question, receive, send)
        finally:
            self._under_way[name] -= 1
        return None

    async def _stream(self, question: _Question, receive: Receive, send: Send) -> None:
        outcome = "broken off"
        parts = self._desk.ask(question.verb, question.asked)
        left = asyncio.ensure_future(_left(receive))
        closing = asyncio.ensure_future(self._closing.wait())
        try:
            await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
            if question.asked.get("print"):
                # A print says at its head who printed it.
                await _write(send, _line({"progress": {"role": question.role}}))
            outcome, last = await self._pump(question, parts, {left, closing}, send)
            if not left.done():
                await _write(send, _line(last))
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            # First of all: what is cancelled while it waits below would else end without a record.
            self._audit(question.ended(outcome))
            for waiting in (left, closing):
                waiting.cancel()
            await parts.aclose()

    async def _pump(
        self, question: _Question, parts: AsyncGenerator[Part, None], enough: set[asyncio.Future[Any]], send: Send
    ) -> tuple[str, dict[str, Any]]:
        """Send parts on until there are no more, or there is a reason to end.

        Returns:
            The outcome for the journal, and the last line.
        """
        assert question.caller.signed is not None
        looked = sent = clock.monotonic()
        step = asyncio.ensure_future(_next(parts))
        try:
            while True:
                await asyncio.wait({step, *enough}, timeout=STANDING_S, return_when=asyncio.FIRST_COMPLETED)
                now = clock.monotonic()
                if any(each.done() for each in enough):
                    return "broken off", {"error": "the switch is shutting down"}
                if now - looked >= STANDING_S:
                    looked = now
                    if why := self._gate.sign_in.standing(question.caller.signed):
                        return "withdrawn", {"error": why}
                if not step.done():
                    if now - sent >= STREAM_QUIET_S:
                        sent = now
                        await _write(send, b"\n")
                    continue
                part = step.result()
                if part is None:
                    return "failed", {"error": "the search broke off"}
                if part.lines:
                    sent = now
                    question.results += part.items
                    await _write(send, part.lines)
                if part.end is not None:
                    question.facts = {name: part.end[name] for name in ("complete",) if name in part.end}
                    return "ended", {"end": {**part.end, "count": question.results, "role": question.role}}
                step = asyncio.ensure_future(_next(parts))
        except MSCError as exc:
            return "failed", {"error": str(exc)}
        except Exception as exc:
            # Where, and not what: an error's own words may hold what was looked for.
            frames = traceback.extract_tb(exc.__traceback__)
            where = [f"{frame.filename}:{frame.lineno}" for frame in frames]
            log.error("journal.search_failed", verb=question.verb, error=type(exc).__name__, where=where)
            return "failed", {"error": "an internal fault: look at the switch's log"}
        finally:
            if not step.done():
                step.cancel()
                await asyncio.gather(step, return_exceptions=True)


_HEADERS: Final = [(b"content-type", b"application/x-ndjson")]


class _Streamed(Response):
    """A response that writes itself."""

    def __init__(self, answer: Callable[[Receive, Send], Awaitable[Response | None]]) -> None:
        super().__init__()
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        instead = await self._answer(receive, send)
        if instead is not None:
            await instead(scope, receive, send)


def _error(status: int, reason: str) -> Response:
    return JSONResponse({"error": reason}, status)


def _line(content: dict[str, Any]) -> bytes:
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


async def _write(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})


async def _next(parts: AsyncGenerator[Part, None]) -> Part | None:
    try:
        return await anext(parts)
    except StopAsyncIteration:
        return None


async def _left(receive: Receive) -> None:
    """Wait until whoever asked has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
