"""The commands' side of the administrative socket."""

from __future__ import annotations

import json
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import httpx

from msc.control.operator_key import OperatorKey
from msc.control.socket_file import reachable
from msc.errors import MSCError
from msc.limits import STREAM_QUIET_S
from msc.settings import Settings

_TIMEOUT_S: Final = 10.0
_QUIET_S: Final = 6 * STREAM_QUIET_S
"""A switch that serves says something more often than this."""


class SwitchNotRunning(MSCError):
    """No switch of this site runs, or it does not answer."""


class RefusedBySwitch(MSCError):
    """The running switch will not do what was asked.

    Attributes:
        status: As HTTP has it; 0 where it broke off later.
    """

    def __init__(self, reason: str, status: int = 0) -> None:
        super().__init__(reason)
        self.status = status


async def ask(
    settings: Settings,
    method: str,
    path: str,
    content: dict[str, Any] | None = None,
    operator: OperatorKey | None = None,
) -> Any:
    """Ask the running switch.

    Args:
        operator: Who asks; None is the account of this machine.

    Returns:
        Its answer, parsed.

    Raises:
        SwitchNotRunning: None answers.
        RefusedBySwitch: It says no, and why.
    """
    async with _client(settings) as client:
        answer = await client.send(await _request(client, operator, method, path, content))
        if answer.is_error:
            raise RefusedBySwitch(_reason(answer), answer.status_code)
        return answer.json()


async def ask_as(
    settings: Settings, operator: OperatorKey, path: str, content: dict[str, Any]
) -> AsyncIterator[dict[str, Any]]:
    """Ask the running switch something it answers line by line, as an operator.

    Yields:
        `{"item": ...}` and `{"progress": ...}`, and last `{"end": ...}`.

    Raises:
        SwitchNotRunning: None answers, or it went away before it had said all.
        RefusedBySwitch: It says no, or broke off; says why.
    """
    async with _client(settings) as client:
        request = await _request(client, operator, "POST", path, content)
        answer = await client.send(request, stream=True)
        try:
            if answer.is_error:
                await answer.aread()
                raise RefusedBySwitch(_reason(answer), answer.status_code)
            async for line in answer.aiter_lines():
                if not line:
                    continue  # a sign of life
                found = json.loads(line)
                if "error" in found:
                    raise RefusedBySwitch(str(found["error"]))
                yield found
                if "end" in found:
                    return
        finally:
            await answer.aclose()
    raise SwitchNotRunning("the switch went away before it had said all")


@asynccontextmanager
async def _client(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    file = settings.admin_socket
    try:
        with reachable(file) as path:
            if not file.exists():
                raise SwitchNotRunning("no switch of this site is running")
            if not os.access(path, os.R_OK | os.W_OK):
                raise PermissionError(path)
            timeout = httpx.Timeout(_TIMEOUT_S, read=_QUIET_S)
            # No TLS is spoken here; left to itself, httpx would read every authority of the machine first (20 ms).
            transport = httpx.AsyncHTTPTransport(uds=path, verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
            async with httpx.AsyncClient(
                transport=transport, base_url="http://switch", timeout=timeout, trust_env=False
            ) as client:
                yield client
    except httpx.TransportError as exc:
        raise SwitchNotRunning(f"no switch of this site answers ({type(exc).__name__})") from exc
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise SwitchNotRunning("no switch of this site is running") from exc
    except PermissionError as exc:
        raise SwitchNotRunning(f"this account may not reach {file}: see [admin] group in msc.toml") from exc


async def _request(
    client: httpx.AsyncClient, operator: OperatorKey | None, method: str, path: str, content: dict[str, Any] | None
) -> httpx.Request:
    """Make a request, signed where somebody is named who asks."""
    request = client.build_request(method, path, json=content)
    if operator is not None:
        challenge = await client.get("/challenge")
        if challenge.is_error:
            raise RefusedBySwitch(_reason(challenge), challenge.status_code)
        proof = operator.proof(challenge.json()["nonce"], method, request.url.raw_path.decode(), request.content)
        request.headers.update(proof.headers())
    return request


def _reason(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["error"])
    except (ValueError, KeyError, TypeError):
        return f"the switch answers {answer.status_code}"
