"""The door of the administrative socket: which account of the machine asks, and which operator it proves to be.

Whoever can open the socket gets as far as here. What comes without a signature may do what the switch's own account
may do anyway (look at its sessions and end them), and nothing with the journal.
"""

from __future__ import annotations

import json
import os
import pwd
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from starlette.requests import Request

from msc import clock
from msc.audit import Audit, AuditEvent
from msc.control.access import Action, NotPermitted, permit
from msc.control.sign_in import NotSignedIn, SignedIn, SignIn
from msc.control.signature import BadProof, Proof
from msc.errors import MSCError
from msc.limits import OPERATOR_REFUSALS_MAX, OPERATOR_REQUEST_BYTES_MAX

_ROOT = 0
_MINUTE_S = 60.0
_READ_BYTES_MAX = 16 * OPERATOR_REQUEST_BYTES_MAX


class Refused(MSCError):
    """A request is refused: the HTTP status, and what its sender is told."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def account_name(uid: int) -> str:
    """Return the name of an account of this machine."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, and what.

    Attributes:
        uid: Of the account at the other end, as the kernel says.
        signed: The operator it proved to be; None if it did not try.
        body: Of the request.
    """

    uid: int
    signed: SignedIn | None
    body: bytes

    @property
    def source(self) -> str:
        """Where from, as the audit stream has it."""
        return f"cli:{account_name(self.uid)}"

    @property
    def is_switch(self) -> bool:
        """Whether it is the account the switch runs under, or root."""
        return self.uid in (_ROOT, os.geteuid())

    def content(self) -> dict[str, Any]:
        """Read the body.

        Raises:
            Refused: It is not a JSON object.
        """
        try:
            content = json.loads(self.body or b"{}")
            # Half of a surrogate pair is JSON, but no text that any database takes.
            compact(content).encode()
        except (ValueError, RecursionError):
            raise Refused(400, "the request is not JSON") from None
        if not isinstance(content, dict):
            raise Refused(400, "the request is not a JSON object")
        return content


class Gate:
    """Lets requests in.

    Args:
        sign_in: Finds out which operator asks.
        audit: Hears of everyone who is refused.
    """

    def __init__(self, sign_in: SignIn, audit: Audit, now: Callable[[], float] = clock.monotonic) -> None:
        self.sign_in = sign_in
        self._audit = audit
        self._now = now
        self._refusals: dict[int, deque[float]] = {}

    async def admit(self, request: Request) -> Caller:
        """Find out who asks.

        Raises:
            Refused: They try to be who they are not, ask for too much, or have been refused too often.
        """
        assert request.client is not None
        uid = int(request.client.host)
        self._check_patience(uid)
        body = await _body(request)
        target = request.scope["raw_path"].decode("ascii", "replace")
        if request.scope["query_string"]:
            target = f"{target}?{request.scope['query_string'].decode('ascii', 'replace')}"
        caller = Caller(uid, None, body)
        try:
            proof = Proof.of(request.headers)
            signed = None if proof is None else self.sign_in.examine(proof, request.method, target, body)
        except BadProof as exc:
            self._refuse(caller, 401, str(exc), None)
        except NotSignedIn as exc:
            self._refuse(caller, 401, str(exc), exc.claimed)
        return Caller(uid, signed, body)

    def require(self, caller: Caller, action: Action) -> None:
        """Make sure a caller may do what the switch's own account may, or an operator whose role says so.

        Raises:
            Refused: It may not.
        """
        if caller.signed is not None:
            try:
                permit(caller.signed.operator, action)
            except NotPermitted as exc:
                self.refuse(caller, str(exc))
        elif not caller.is_switch:
            self.refuse(caller, "another account runs this switch: ask as an operator (--as)", 401)

    def refuse(self, caller: Caller, reason: str, status: int = 403, tried: dict[str, Any] | None = None) -> NoReturn:
        """Refuse somebody, and have the auditors told.

        Args:
            tried: What they asked for; it goes to the journal and nowhere else.

        Raises:
            Refused: Always.
        """
        claimed = caller.signed.operator.operator if caller.signed is not None else None
        self._refuse(caller, status, reason, claimed, tried)

    def _refuse(
        self, caller: Caller, status: int, reason: str, claimed: str | None, tried: dict[str, Any] | None = None
    ) -> NoReturn:
        self._refusals.setdefault(caller.uid, deque(maxlen=OPERATOR_REFUSALS_MAX)).append(self._now())
        detail = reason if tried is None else f"{reason}: {compact(tried)}"
        # With a subject the detail stays out of the log, and it may hold what was looked for.
        subject = "journal" if tried is not None else None
        self._audit(
            AuditEvent(
                clock.wall_us(),
                "operator.refused",
                user=claimed,
                source=caller.source,
                detail=detail,
                subject=subject,
            )
        )
        raise Refused(status, reason)

    def _check_patience(self, uid: int) -> None:
        times = self._refusals.get(uid)
        if times is None or len(times) < OPERATOR_REFUSALS_MAX:
            return
        if self._now() - times[0] < _MINUTE_S:
            raise Refused(429, "this account was refused too often; wait a minute")


async def _body(request: Request) -> bytes:
    found, length = bytearray(), 0
    async for part in request.stream():
        length += len(part)
        if length <= OPERATOR_REQUEST_BYTES_MAX:
            found += part
        elif length > _READ_BYTES_MAX:
            break
    # Told after it was read: who is still writing would only see that the connection breaks.
    if length > OPERATOR_REQUEST_BYTES_MAX:
        raise Refused(413, "the request is too long")
    return bytes(found)


def compact(content: Any) -> str:
    """Write something as compact JSON, as it stands in a detail of the audit stream."""
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False)
