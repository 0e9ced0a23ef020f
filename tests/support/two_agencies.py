"""A demo site at work whose journal holds what two agencies asked: for whoever tries to see the other's."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.chatter import inquire
from tests.support.inquirer import Inquirer, Told
from tests.support.site import Site

OWN, OTHER = "EXSO", "EXPD"
"""The coordinator's agency, and the one whose traffic is none of the coordinator's business."""
SECRET = "SPECIMEN,RECORDED"
"""Stands in what the other agency asked, and nowhere in the coordinator's own."""
PLATE = "ZZ0003X"
"""As well."""


@dataclass(frozen=True)
class County:
    """A running switch after some traffic of two agencies.

    Attributes:
        own, others: MSNs of inquiries of either.
        traces: What must never be seen by the coordinator: user, session, header of the other agency, and its words.
    """

    site: Site
    coordinator: Inquirer
    auditor: Inquirer
    own: list[int]
    others: list[int]
    traces: dict[str, str]

    def last_seq(self) -> int:
        """Return the position of the last audit event."""
        return int(self.auditor.audit()[0]["seq"])

    def events_since(self, seq: int, **criteria: Any) -> list[dict[str, Any]]:
        """Return the audit events after a position: newest first."""
        return [event for event in self.auditor.audit(**criteria) if event["seq"] > seq]

    def shows_nothing_of_the_other(self, told: Told) -> None:
        """Check that an answer shows nothing of the other agency, not even a count of it."""
        shown = json.dumps([told.items, told.end, told.error])
        for item in told.items:
            assert item.get("agency", OWN) == OWN, item
        for trace in (SECRET, PLATE, *(self.traces[name] for name in ("user", "session", "header"))):
            assert trace not in shown, f"{trace} is seen"


@contextmanager
def at_work(folder: Path) -> Iterator[County]:
    """Make the site, and start it; it is stopped at the end."""
    site = Site.make(folder / "site")
    try:
        site.serve()
        site.simulate()
        site.wait_lines()
        own, others = asyncio.run(_traffic(site))
        auditor = Inquirer.of(site, "auditor")
        (seen,) = auditor.search(msn=others[0]).items
        traces = {name: str(seen[name]) for name in ("user", "session", "header", "mnemonic", "device", "ori")}
        yield County(site, Inquirer.of(site, "coordinator"), auditor, own, others, traces)
    finally:
        site.stop()


async def _traffic(site: Site) -> tuple[list[int], list[int]]:
    async with site.signed_on("DISPATCH1") as dispatch, site.signed_on("RECORDS1", "P50110") as records:
        own = await inquire(
            dispatch, ["IW.QW.CA0990000.NAM/SPECIMEN,WANTED.DOB/19800101", "IV.4.CA0990000.LIC/ZZ0002X"]
        )
        others = await inquire(
            records,
            [f"IH.QH.CA0990100.NAM/{SECRET}.PUR/C", f"IV.4.CA0990100.LIC/{PLATE}"],
            {"requester": "DET EXAMPLE", "reason": "CASE T26-7"},
        )
    return own, others
