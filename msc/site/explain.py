"""Why a person may or may not do something: every rule asked about a case that a site's own files make."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from msc.access import policy
from msc.directory.rows import Device, Directory
from msc.errors import MSCError, NoRoute
from msc.protocol.catalog import Catalog, MessageKey
from msc.protocol.envelope import Envelope
from msc.protocol.text import MessageText
from msc.routing.criteria import Subject
from msc.routing.table import RouteTable
from msc.settings import Settings


class NoSuchThing(MSCError):
    """The question names something that is not there."""


@dataclass(frozen=True, slots=True)
class Question:
    """May this user, at this device, sign on, or send this?

    Attributes:
        key: A code of the catalog; None asks about signing on.
        mnemonic: None takes the device's, or the first of its pool that is in force.
        purpose: What the message would have as `PUR`.
        requester: Of its envelope.
    """

    user: str
    device: str
    on: date
    key: str | None = None
    mnemonic: str | None = None
    purpose: str | None = None
    requester: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What every rule says, and what follows.

    Attributes:
        mnemonic: The one that was asked about; None where a sign-on would draw it from a pool.
        code, reason: Of the refusal; None if it is allowed.
    """

    decision: policy.Decision
    mnemonic: str | None
    code: str | None
    reason: str | None


def explain(
    question: Question, directory: Directory, catalog: Catalog, routes: RouteTable, settings: Settings
) -> Answer:
    """Answer a question as the switch would.

    Raises:
        NoSuchThing: User, device, key or mnemonic is not there, or the mnemonic is not the device's.
    """
    user, device = directory.users.get(question.user), directory.devices.get(question.device)
    if user is None:
        raise NoSuchThing(f"there is no user {question.user}")
    if device is None:
        raise NoSuchThing(f"there is no device {question.device}")
    key = None
    if question.key is not None:
        key = catalog.get(question.key)
        if key is None:
            raise NoSuchThing(f"there is no message key {question.key}")
    mnemonic = _mnemonic(question, directory, device)
    case = policy.case_of(directory, settings.access, question.on, user, device, mnemonic)
    route_missing = False
    if key is not None:
        route_missing = _describe(case, question, key, routes, settings)
    decision = policy.explain(case)
    refused = decision.refused_by
    code, reason = (refused[0].refusal.code, refused[1]) if refused is not None else (None, None)
    if key is not None and route_missing and (code is None or code > NoRoute.code):
        code, reason = NoRoute.code, f"no route takes {key.code}"
    return Answer(decision, mnemonic, code, reason)


def _describe(case: policy.Case, question: Question, key: MessageKey, routes: RouteTable, settings: Settings) -> bool:
    """Put the message into the case, as `msc.switch.intake` does; tells whether no route takes it."""
    fields = {"PUR": question.purpose} if question.purpose is not None else {}
    case.key, case.text = key, MessageText(case.agency.ori, (), None, fields, None)
    case.envelope = Envelope(requester=question.requester)
    sender = case.mnemonic.mnemonic if case.mnemonic is not None else ""
    route = routes.find(Subject(key, sender, case.agency.ori, case.agency.agency, (), fields))
    if route is not None:
        modes = {line.name: line.mode for line in settings.line}
        case.modes = frozenset([modes[line] for line in route.lines])
    return route is None


def _mnemonic(question: Question, directory: Directory, device: Device) -> str | None:
    members = directory.members(device.pool) if device.pool is not None else []
    ours = [device.mnemonic] if device.mnemonic is not None else members
    if question.mnemonic is not None:
        if question.mnemonic not in ours:
            raise NoSuchThing(f"{question.mnemonic} is not a mnemonic of device {device.device}")
        return question.mnemonic
    if device.mnemonic is not None or question.key is None:
        return device.mnemonic
    if not ours:
        raise NoSuchThing(f"device {device.device} has no mnemonic to send under")
    in_force = (name for name in ours if policy.mnemonic_in_force(directory.mnemonics[name], question.on))
    return next(in_force, ours[0])
