"""The commands' side of the administrative socket."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx

from msc.admin.socket_file import SOCKET, reachable
from msc.errors import MSCError
from msc.settings import Settings

_TIMEOUT_S = 10.0


class SwitchNotRunning(MSCError):
    """No switch of this site runs, or it does not answer."""


class RefusedBySwitch(MSCError):
    """The running switch will not do what was asked."""


def socket_file(settings: Settings) -> Path:
    """Return where a site's administrative socket stands."""
    return settings.database(settings.journal).parent / SOCKET


async def ask(settings: Settings, method: str, path: str, content: dict[str, Any] | None = None) -> Any:
    """Ask the running switch.

    Returns:
        Its answer, parsed.

    Raises:
        SwitchNotRunning: None answers.
        RefusedBySwitch: It says no, and why.
    """
    file = socket_file(settings)
    if not file.exists():
        raise SwitchNotRunning("no switch of this site is running")
    with reachable(file) as path_of_socket:
        transport = httpx.AsyncHTTPTransport(uds=path_of_socket)
        async with httpx.AsyncClient(transport=transport, base_url="http://switch", timeout=_TIMEOUT_S) as client:
            try:
                answer = await client.request(method, path, json=content)
            except httpx.TransportError as exc:
                raise SwitchNotRunning(f"no switch of this site answers ({type(exc).__name__})") from exc
    content_ = answer.json()
    if answer.is_error:
        raise RefusedBySwitch(str(content_.get("error", answer.status_code)))
    return content_
