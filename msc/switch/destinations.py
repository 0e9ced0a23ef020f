"""The stations where a message ends, and what the journal says of each.

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
from msc.switch.staffing import staffed_instead, why_elsewhere
from msc.transit.event import OPERATOR_QUEUE, Event, Facts, Life

_SEEN: Final = (Function.ADMINISTRATIVE, Function.HIT_CONFIRMATION)
"""Functions whose messages to stations must be seen at every hour."""


@dataclass(frozen=True, slots=True)
class Diverted:
    """A station that a message was meant for, and where it would not be seen.

    Attributes:
        life: `forwarded` or `operator_queue`.
    """

    address: str
    life: Life
    why: str


@dataclass(frozen=True, slots=True)
class Destinations:
    """Where a message goes besides lines: addresses, each with what its `routed` says."""

    stations: dict[str, Facts]
    diverted: tuple[Diverted, ...] = ()

    def events(self, msn: int, at: int) -> list[Event]:
        """Write them down, to be stored with the message."""
        events = []
        for end in self.diverted:
            events.append(Event(msn, at, Life.ROUTED, end.address))
            events.append(Event(msn, at, end.life, end.address, {"why": end.why}))
        events += [Event(msn, at, Life.ROUTED, address, facts) for address, facts in self.stations.items()]
        return events


NOWHERE: Final = Destinations({})


def destinations_of(
    directory: Directory,
    groups: Groups,
    function: Function,
    destinations: Sequence[str],
    devices: Sequence[Device],
    route: str,
) -> Destinations:
    """Find the stations of a station's message to others.

    Args:
        groups: Those a destination may name.
        destinations: As its text names them.
        devices: Who gets it: whom it names, who is in groups that it names, and who gets a copy.
        route: The name of its route.
    """
    stations: dict[str, Facts] = {}
    unseen: list[tuple[Device, str]] = []
    named = _named(directory, groups, destinations)
    for device in devices:
        if function in _SEEN and (why := why_elsewhere(directory, device)):
            unseen.append((device, why))
        elif named is None or device.device in named:
            stations[device.address] = {"route": route}
        else:
            stations[device.address] = {"route": route, "group": True}
    diverted = []
    for device, why in unseen:
        end, instead = _instead(directory, device, why)
        diverted.append(end)
        for address, facts in instead.items():
            stations.setdefault(address, facts)  # who gets it anyway gets it once
    return Destinations(stations, tuple(diverted))


def unsolicited_to(directory: Directory, device: Device, facts: Facts, *, must_be_seen: bool) -> Destinations:
    """Find the stations of what a line sent unasked.

    Args:
        device: That its mnemonic leads to.
        facts: Of its `routed` there.
    """
    why = why_elsewhere(directory, device) if must_be_seen else None
    if why is None:
        return Destinations({device.address: facts})
    end, instead = _instead(directory, device, why)
    return Destinations(instead, (end,))


def _instead(directory: Directory, device: Device, why: str) -> tuple[Diverted, dict[str, Facts]]:
    """Return where a message goes that would not be seen at a device."""
    found = staffed_instead(directory, device)
    if not found:
        return Diverted(device.address, Life.OPERATOR_QUEUE, why), {
            OPERATOR_QUEUE: {"why": why, "meant": device.address}
        }
    whose = device.mnemonic or device.address
    return Diverted(device.address, Life.FORWARDED, why), {
        other.address: {"whose": whose, "hops": 1} for other in found
    }


def _named(directory: Directory, groups: Groups, destinations: Sequence[str]) -> set[str] | None:
    """Return the devices that a message names itself, by mnemonic or ORI; None if it names no group."""
    single = [name for name in destinations if name != ALL and name not in groups]  # BULLETIN is nobody's name
    if len(single) == len(destinations):
        return None
    return {device.device for name in single for device in directory.addressees(name)}
