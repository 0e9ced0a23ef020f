"""Where a message ends: its route's lines, whom it names, whom its groups hold, and who gets a copy.

Nobody gets a message twice. Nobody gets their own back, unless it names them: a group that holds its sender, and an
ORI that is its sender's, mean the others. What is sent under a test mnemonic is for no production station of a
group or ORI, and the other way round (C-TEST); whoever names a single mnemonic means it. A group's member that has
gone from the directory is passed over.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from msc.directory.rows import Device, Directory, Mode
from msc.errors import TooManyDestinations, UnknownDestination
from msc.limits import GROUP_STATIONS_MAX
from msc.protocol.header import is_mnemonic
from msc.protocol.text import BULLETIN
from msc.routing.criteria import Subject
from msc.routing.groups import ALL, Station
from msc.routing.plan import Plan
from msc.routing.table import Deliver, Route
from msc.transit.event import BULLETINS


class Addressed(NamedTuple):
    """Where a message ends.

    Attributes:
        devices: Who it is for, and who gets a copy.
        unreached: Destinations that it names and that nobody answers to, each with the reason.
        bulletin: Whether it goes to the bulletin board.
    """

    lines: tuple[str, ...]
    devices: tuple[Device, ...]
    unreached: tuple[str, ...] = ()
    bulletin: bool = False

    @property
    def addresses(self) -> list[str]:
        """All of it as addresses, lines first."""
        board = [BULLETINS] if self.bulletin else []
        return [*(f"line:{name}" for name in self.lines), *(device.address for device in self.devices), *board]

    def check(self) -> None:
        """Refuse a message that names somebody who is not there.

        Raises:
            UnknownDestination: It does.
        """
        if self.unreached:
            raise UnknownDestination("; ".join(self.unreached))

    def check_number(self) -> None:
        """Refuse a message for more stations than one can go to.

        Raises:
            TooManyDestinations: It is.
        """
        if len(self.devices) > GROUP_STATIONS_MAX:
            count = len(self.devices)
            raise TooManyDestinations(f"the message is for {count} stations; one takes at most {GROUP_STATIONS_MAX}")


def resolve(plan: Plan, directory: Directory, route: Route, subject: Subject, own: Device | None) -> Addressed:
    """Find where a message ends.

    Of destinations beyond those its key may have, none is looked at: it will be refused for them.

    Args:
        own: The device it came from; None if that is not to be left out.
    """
    row = directory.mnemonics.get(subject.mnemonic)
    return _Resolving(plan, directory, own, row.mode if row is not None else None).resolve(route, subject)


class _Resolving:
    """The finding of one message's ends. Groups may share members; each of those is looked up once."""

    def __init__(self, plan: Plan, directory: Directory, own: Device | None, mode: Mode | None) -> None:
        self._groups = plan.groups
        self._directory = directory
        self._own = own
        self._mode = mode
        self._looked_up: dict[str, list[Device]] = {}

    def resolve(self, route: Route, subject: Subject) -> Addressed:
        devices: dict[str, Device] = {}
        lines = dict.fromkeys(route.lines if route.deliver is Deliver.LINES else ())
        unreached, bulletin = [], False
        if route.deliver is Deliver.ADDRESSEES:
            for name in subject.destinations[: subject.key.destinations_max]:
                if name == BULLETIN:
                    bulletin = True
                    continue
                found, more = self._named(route, name)
                devices.update([(device.device, device) for device in found])
                lines.update(dict.fromkeys(more))
                if not found and not more:
                    unreached.append(self._why(name))
        for name in route.stations:
            devices.update([(device.device, device) for device in self._copies(name)])
        return Addressed(tuple(lines), tuple(devices.values()), tuple(unreached), bulletin)

    def _named(self, route: Route, name: str) -> tuple[Sequence[Device], tuple[str, ...]]:
        """Return the devices and lines a destination means."""
        if name in self._groups:
            return self._others(self._group(name)), self._groups.lines(name)
        if name == ALL:
            return self._others(self._directory.administrative_devices()), ()
        if not self._directory.knows(name):
            return (), route.lines
        found = self._directory.addressees(name)
        return (found if is_mnemonic(name) else self._others(found)), ()

    def _copies(self, name: str) -> list[Device]:
        """Return the devices that get a copy, by the name of a group or device; what has gone is passed over."""
        if name in self._groups:
            return self._others(self._group(name))
        device = self._directory.devices.get(name)
        return self._others([device] if device is not None else [])

    def _group(self, code: str) -> list[Device]:
        found: list[Device] = []
        # In order: the same message goes to the same stations in the same order, whenever it is looked at.
        for name in sorted(self._groups.members(code)):
            devices = self._looked_up.get(name)
            if devices is None:
                devices = self._looked_up[name] = self._directory.addressees(name)
            found += devices
        return found

    def _others(self, devices: Sequence[Device]) -> list[Device]:
        own, mode = self._own, self._mode
        return [
            device
            for device in devices
            if (own is None or device.device != own.device)
            and (mode is None or self._directory.mode_of(device) in (mode, None))
        ]

    def _why(self, name: str) -> str:
        if name in self._groups or name == ALL:
            return f"nobody else is in group {name}"
        if not self._directory.knows(name):
            return f"destination {name} is not known here"
        return f"no other station takes administrative messages for {name}"


class DirectoryStations:
    """What groups and routes must know of the directory's stations. Only looks things up, so any thread may ask."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    def named(self, name: str) -> Sequence[Station] | None:
        """Return the stations that get administrative messages for a mnemonic or ORI; None if it is unknown here."""
        if not self._directory.knows(name):
            return None
        return [self._station(device) for device in self._directory.addressees(name)]

    def device(self, name: str) -> Station | None:
        """Return a device by its name, or None."""
        device = self._directory.devices.get(name)
        return self._station(device) if device is not None else None

    def _station(self, device: Device) -> Station:
        agency = self._directory.agencies.get(device.agency)
        return Station(device.device, device.attended, agency.staffing_waiver if agency is not None else "")
