"""An operator at a site's administrative socket, who says what he likes: what a command would say, or not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import httpx

from msc.control.operator_key import OperatorKey, load_operator_key
from msc.control.socket_file import reachable
from msc.settings import load_settings
from tests.support.site import Site

REASON = "case 26-17"


@dataclass(frozen=True)
class Told:
    """What the switch answered.

    Attributes:
        status: As HTTP has it.
        items: Results.
        end: Facts of the whole; empty where it broke off, or was refused.
        error: Why it was refused, or broke off; empty where it was not.
    """

    status: int
    items: list[dict[str, Any]] = field(default_factory=list)
    end: dict[str, Any] = field(default_factory=dict)
    error: str = ""

    @property
    def refused(self) -> bool:
        """Whether it was refused before anything was looked for."""
        return self.status >= 400


@dataclass(frozen=True)
class Inquirer:
    """An operator with a key.

    Attributes:
        site: Where a switch runs.
        key: His; None sends what nobody signed.
    """

    site: Site
    key: OperatorKey | None

    @classmethod
    def of(cls, site: Site, name: str, holder: str | None = None) -> Inquirer:
        """Return an operator of demo.json.

        Args:
            holder: Whose key he has, if not his own.
        """
        rows = {row["name"]: row for row in site.demo["operators"]}
        files = [
            (site.folder / rows[each]["certificate"], site.folder / rows[each]["key"])
            for each in (name, holder or name)
        ]
        own, other = (load_operator_key(certificate, key, lambda: None) for certificate, key in files)
        return cls(site, replace(own, key=other.key))

    @contextmanager
    def _client(self) -> Iterator[httpx.Client]:
        with reachable(load_settings(self.site.toml).admin_socket) as path:
            transport = httpx.HTTPTransport(uds=path)
            with httpx.Client(transport=transport, base_url="http://switch", timeout=20, trust_env=False) as client:
                yield client

    def proof(self, client: httpx.Client, method: str, path: str, body: bytes) -> dict[str, str]:
        """Sign a request; returns its headers."""
        if self.key is None:
            return {}
        nonce = client.get("/challenge").json()["nonce"]
        return self.key.proof(nonce, method, path, body).headers()

    def send(self, path: str, body: bytes, headers: dict[str, str] | None = None, method: str = "POST") -> Told:
        """Send a request as it is told.

        Args:
            headers: Instead of those that sign it.
        """
        with self._client() as client:
            signed = self.proof(client, method, path, body) if headers is None else headers
            return _told(client.request(method, path, content=body, headers=signed))

    def signed(self, path: str, body: bytes) -> dict[str, str]:
        """Sign a request without sending it."""
        with self._client() as client:
            return self.proof(client, "POST", path, body)

    def ask(self, verb: str, reason: str | None = REASON, **content: Any) -> Told:
        """Ask the journal."""
        why = {} if reason is None else {"reason": reason}
        return self.send(f"/journal/{verb}", json.dumps({**why, **content}).encode())

    def search(self, reason: str | None = REASON, **criteria: Any) -> Told:
        """Search messages."""
        return self.ask("search", reason, criteria=criteria)

    def audit(self, **criteria: Any) -> list[dict[str, Any]]:
        """Search audit events: newest first."""
        told = self.ask("audit", "an audit", criteria=criteria)
        assert not told.error, told
        return told.items

    @contextmanager
    def following(self, **criteria: Any) -> Iterator[Iterator[dict[str, Any]]]:
        """Follow the journal: yields messages as they come, and an empty object for a sign of life."""
        body = json.dumps({"reason": REASON, "criteria": criteria}).encode()
        with self._client() as client:
            headers = self.proof(client, "POST", "/journal/follow", body)
            with client.stream("POST", "/journal/follow", content=body, headers=headers) as answer:
                assert answer.status_code == 200, answer.read()
                yield (json.loads(line).get("item", {}) if line else {} for line in answer.iter_lines())


def _told(answer: httpx.Response) -> Told:
    if answer.is_error:
        return Told(answer.status_code, error=answer.json()["error"])
    if not answer.headers["content-type"].startswith("application/x-ndjson"):
        return Told(answer.status_code, [answer.json()])
    lines = [json.loads(line) for line in answer.text.splitlines() if line]
    last = lines[-1] if lines else {}
    return Told(
        answer.status_code,
        [line["item"] for line in lines if "item" in line],
        last.get("end", {}),
        last.get("error", "") if "end" not in last else "",
    )
