"""What an operator asks of a plan before, or after, it decides: which route takes this, and what would change.

All of it is answered from the plan, the catalog and the directory, as JSON; nothing is sent. A running switch answers
(`msc.control.routing_desk`) and so does the command line from a site's files, in the same words.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from msc.directory.rows import Directory
from msc.errors import MSCError, NoRoute, Refusal
from msc.limits import DIFFERENCES_MAX, EXAMPLES_MAX, ROUTES_LISTED_MAX
from msc.protocol.catalog import Catalog
from msc.protocol.header import parse_head
from msc.routing.criteria import Subject, subject_of
from msc.routing.difference import difference, elsewhere, row_of
from msc.routing.plan import Plan
from msc.routing.table import Considered
from msc.switch.addressees import resolve


class NoSuchSender(MSCError):
    """A mnemonic that was asked about is not in the directory."""


class Sender(NamedTuple):
    """Whose message it would be."""

    mnemonic: str
    ori: str
    agency: str


def sender_of(directory: Directory, mnemonic: str) -> Sender:
    """Return what is known of who sends under a mnemonic.

    Raises:
        NoSuchSender: It is not in the directory.
    """
    row = directory.mnemonics.get(mnemonic)
    agency = directory.agencies.get(row.agency) if row is not None else None
    if row is None or agency is None:
        raise NoSuchSender(f"there is no mnemonic {mnemonic}")
    return Sender(mnemonic, agency.ori, agency.agency)


def explain(plan: Plan, catalog: Catalog, directory: Directory, text: str, mnemonic: str) -> dict[str, Any]:
    """Say which route takes a message, why, and where it ends.

    Args:
        text: As a terminal sends it.
        mnemonic: Whose it would be.

    Raises:
        NoSuchSender: There is no such mnemonic.
        Refusal: The text is not a message.
    """
    sender = sender_of(directory, mnemonic)
    key, rest = catalog.find(text)
    subject = subject_of(key, key.parse(rest), *sender)
    considered = plan.routes.explain(subject)
    route = next((each.route for each in considered if each.took), None)
    found: dict[str, Any] = {
        "key": key.code,
        **sender._asdict(),
        "route": route.name if route is not None else None,
        "lines": [],
        "devices": [],
        "considered": [_considered(each) for each in considered],
    }
    if route is None:
        return {**found, "code": NoRoute.code, "reason": f"no route takes {key.code}"}
    addressed = resolve(plan, directory, route, subject, directory.static_devices.get(mnemonic))
    found |= {"lines": list(addressed.lines), "devices": [device.device for device in addressed.devices]}
    try:
        addressed.check()
        key.check_destinations(key.parse(rest))
        addressed.check_number()
    except Refusal as refusal:
        return {**found, "code": refusal.code, "reason": refusal.reason}
    return {**found, "code": None, "reason": None}


def _considered(each: Considered) -> dict[str, Any]:
    return {
        "place": each.place,
        "route": each.route.name,
        "took": each.took,
        "objections": list(each.objections),
        "to": list(each.route.lines),
        "stations": list(each.route.stations),
    }


def listed(plan: Plan, first: int = 1) -> dict[str, Any]:
    """List the routes in the order in which they are tried, at most `ROUTES_LISTED_MAX` of them.

    Args:
        first: The place to begin at.
    """
    routes = plan.routes.routes[first - 1 : first - 1 + ROUTES_LISTED_MAX]
    rows = [{"place": place, "name": each.name, **row_of(each)} for place, each in enumerate(routes, first)]
    return {"routes": rows, **{f"{name}_in_all": count for name, count in plan.counts().items()}}


def differences(old: Plan, new: Plan, catalog: Catalog, directory: Directory) -> dict[str, Any]:
    """Say what differs between two plans' routes, and for which keys and mnemonics another route decides.

    The latter is about messages without destinations and fields; routes that look at those may take others.
    """
    rows = difference(old.routes, new.routes)
    changes: list[dict[str, Any]] = [
        *({"change": "added", "route": name} for name in rows.added),
        *({"change": "removed", "route": name} for name in rows.removed),
        *({"change": "changed", "route": each.name, "what": each.what} for each in rows.changed),
        *({"change": "moved", "route": name} for name in rows.moved),
    ]
    decisions = elsewhere(old.routes, new.routes, _every(catalog, directory))
    counts = {
        "added": len(rows.added),
        "removed": len(rows.removed),
        "changed": len(rows.changed),
        "moved": len(rows.moved),
        "decisions": sum(len(each.mnemonics) for each in decisions),
    }
    return {
        "counts": counts,
        "changes": changes[:DIFFERENCES_MAX],
        "decisions": [
            {
                "key": each.key, "old": each.old, "new": each.new,
                "mnemonics": len(each.mnemonics), "examples": each.mnemonics[:EXAMPLES_MAX],
            }
            for each in decisions[:DIFFERENCES_MAX]
        ],
        "complete": len(changes) <= DIFFERENCES_MAX and len(decisions) <= DIFFERENCES_MAX,
    }  # fmt: skip


def _every(catalog: Catalog, directory: Directory) -> Iterator[Subject]:
    for row in list(directory.mnemonics.values()):
        agency = directory.agencies.get(row.agency)
        if agency is not None:
            for key in catalog:
                yield Subject(key, row.mnemonic, agency.ori, agency.agency)


class Replay:
    """Runs journaled messages through two plans, one after the other, and says which would go elsewhere.

    Both decide by today's directory: what differs is the plans' doing alone.
    """

    def __init__(self, old: Plan, new: Plan, catalog: Catalog, directory: Directory) -> None:
        self._plans = (old, new)
        self._catalog = catalog
        self._directory = directory
        self.messages = 0
        """How many of them a route had to be found for."""
        self.elsewhere = 0

    def take(self, record: dict[str, Any]) -> dict[str, Any] | None:
        """Look at a message.

        Args:
            record: As the journal answers (`msc journal search --json`).

        Returns:
            What would change: no text, only numbers, names and where it would go. None if nothing would, or if it is
            no message that stations send and a route takes.
        """
        subject = self._subject(record)
        if subject is None:
            return None
        self.messages += 1
        device = self._directory.devices.get(record["device"] or "")
        old, new = ((plan, plan.routes.find(subject)) for plan in self._plans)
        before, after = (
            resolve(plan, self._directory, route, subject, device).addresses if route is not None else None
            for plan, route in (old, new)
        )
        if before == after:
            return None
        self.elsewhere += 1
        return {
            "msn": record["msn"],
            "received": record["received"],
            "key": subject.key.code,
            "mnemonic": subject.mnemonic,
            "device": record["device"],
            "old_route": old[1].name if old[1] is not None else None,
            "old": before,
            "new_route": new[1].name if new[1] is not None else None,
            "new": after,
        }

    def _subject(self, record: dict[str, Any]) -> Subject | None:
        if (
            record["direction"] == "inbound"
            or record["kind"] == "status"
            or record["code"] not in (None, NoRoute.code)
        ):
            return None
        sender = record["mnemonic"], record["ori"], record["agency"]
        if None in sender:
            return None
        text = record["text"]
        try:
            if record["own_header"]:
                text = parse_head(text)[1]
            key, rest = self._catalog.find(text)
            return subject_of(key, key.parse(rest), *sender)
        except Refusal:
            return None  # the catalog has changed since
