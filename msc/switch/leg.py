"""A message's ways to stations: where each ends, as what it comes, and what the journal says of it.

One that must be seen at every hour, and is meant for a device where it would not be, goes to the staffed devices of
that agency, or to the operator (C-STAFFED).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from msc.directory.rows import Device, Directory
from msc.protocol.catalog import Function
from msc.routing.groups import ALL, Groups
from msc.switch.recovery import BY_GROUP, FORWARDED_FOR
from msc.switch.staffing import staffed_instead, why_elsewhere
from msc.transit.event import OPERATOR_QUEUE, Event, Life

BROADCAST: Final = "broadcast"
"""Kind of what comes by a group."""
_SEEN: Final = (Function.ADMINISTRATIVE, Function.HIT_CONFIRMATION)
"""Functions whose messages to stations must be seen at every hour."""


@dataclass(frozen=True, slots=True)
class Leg:
    """A message's way to one station.

    Attributes:
        address: Of the station; None is the operator's queue.
        kind: The envelope's.
        detail: Of its `routed`.
        original_mnemonic: Whose message it was, where it comes in another's place.
    """

    address: str | None
    kind: str
    detail: str | None
    original_mnemonic: str | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """Where a message was meant to go, and does not.

    Attributes:
        life: `forwarded` or `operator_queue`.
    """

    address: str
    life: Life
    why: str


@dataclass(frozen=True, slots=True)
class Legs:
    """All ways of a message to stations."""

    legs: tuple[Leg, ...]
    ended: tuple[Ended, ...] = ()

    def events(self, msn: int, at: int) -> list[Event]:
        """Write them down, to be stored with the message."""
        events = []
        for end in self.ended:
            events.append(Event(msn, at, Life.ROUTED, end.address))
            events.append(Event(msn, at, end.life, end.address, end.why))
        for leg in self.legs:
            events.append(Event(msn, at, Life.ROUTED, leg.address or OPERATOR_QUEUE, leg.detail))
        return events


NO_LEGS: Final = Legs(())


def find_legs(
    directory: Directory,
    groups: Groups,
    function: Function,
    destinations: Sequence[str],
    devices: Sequence[Device],
    route: str,
) -> Legs:
    """Find the ways of a station's message to others.

    Args:
        groups: Those a destination may name.
        destinations: As its text names them.
        devices: Who gets it: whom it names, who is in groups that it names, and who gets a copy.
        route: The name of its route.
    """
    own_kind = function.value if function is Function.HIT_CONFIRMATION else "unsolicited"
    legs: dict[str | None, Leg] = {}
    unseen: list[tuple[Device, str]] = []
    named = _named(directory, groups, destinations)
    for device in devices:
        if function in _SEEN and (why := why_elsewhere(directory, device)):
            unseen.append((device, why))
        elif named is None or device.device in named:
            legs[device.address] = Leg(device.address, own_kind, route)
        else:
            legs[device.address] = Leg(device.address, BROADCAST, route + BY_GROUP)
    ended = []
    for device, why in unseen:
        end, instead = _instead(directory, device, why, own_kind)
        ended.append(end)
        for leg in instead:
            legs.setdefault(leg.address, leg)  # who gets it anyway gets it once
    return Legs(tuple(legs.values()), tuple(ended))


def unsolicited_legs(
    directory: Directory, device: Device, kind: str, detail: str | None, *, must_be_seen: bool
) -> Legs:
    """Find the ways of what a line sent unasked.

    Args:
        device: That its mnemonic leads to.
        detail: Of its `routed` there.
    """
    why = why_elsewhere(directory, device) if must_be_seen else None
    if why is None:
        return Legs((Leg(device.address, kind, detail),))
    end, instead = _instead(directory, device, why, kind)
    return Legs(tuple(instead), (end,))


def _instead(directory: Directory, device: Device, why: str, kind: str) -> tuple[Ended, list[Leg]]:
    """Return where a message goes that would not be seen at a device."""
    found = staffed_instead(directory, device)
    if not found:
        return Ended(device.address, Life.OPERATOR_QUEUE, why), [Leg(None, kind, why, device.mnemonic)]
    whose = f"{FORWARDED_FOR}{device.mnemonic or device.address}"
    return Ended(device.address, Life.FORWARDED, why), [
        Leg(other.address, kind, whose, device.mnemonic) for other in found
    ]


def _named(directory: Directory, groups: Groups, destinations: Sequence[str]) -> set[str] | None:
    """Return the devices that a message names itself, by mnemonic or ORI; None if it names no group."""
    single = [name for name in destinations if name != ALL and name not in groups]  # BULLETIN is nobody's name
    if len(single) == len(destinations):
        return None
    return {device.device for name in single for device in directory.addressees(name)}
