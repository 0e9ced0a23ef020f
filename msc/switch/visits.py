"""The stations that are connected, and who is signed on at each: one `Visit` a connection."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from msc import clock
from msc.access.control_point import OperatorSession
from msc.access.host import HostSessions
from msc.protocol.control import Notice
from msc.switch.port import Presence, StationPort


@dataclass(slots=True)
class Visit:
    """What is known of one connection."""

    station: StationPort
    operator: OperatorSession | None = None
    users: HostSessions | None = None
    since_us: int = field(default_factory=clock.wall_us)


class Visits:
    """All of them."""

    def __init__(self) -> None:
        self.all: dict[int, Visit] = {}
        """By the identity of the connection."""
        self.open_devices: dict[str, StationPort] = {}
        """Printers and hosts that are open, by the device's name."""

    def addresses(self) -> list[str]:
        """Return where bulletins are delivered now: to each terminal once, whoever works at it."""
        terminals = [visit.operator.address for visit in self.all.values() if visit.operator is not None]
        return [*dict.fromkeys(terminals), *(station.device.address for station in self.open_devices.values())]

    def presence(self, device: str | None = None) -> list[Presence]:
        """Return who is there, at one device or at all."""
        return [
            self._presence(visit)
            for visit in self.all.values()
            if device in (None, visit.station.device.device) and not visit.station.closed
        ]

    def _presence(self, visit: Visit) -> Presence:
        station, session = visit.station, visit.station.session
        people = [each.user for each in (*(visit.users or ()), *([visit.operator] if visit.operator else []))]
        address = None
        if visit.operator is not None:
            address = visit.operator.address
        elif self.open_devices.get(station.device.device) is station:
            address = station.device.address
        return Presence(
            station.identity, station.device, session.state.name.lower(), visit.since_us, tuple(people), address,
            session.receptive and not station.write_paused,
        )  # fmt: skip

    def notify(
        self, text: str, wanted: Callable[[Presence], bool] = lambda presence: bool(presence.people)
    ) -> list[Presence]:
        """Show a text to the people at stations; it is not a message, and is not kept.

        Args:
            wanted: At which; all where somebody is signed on, if left out.

        Returns:
            Where it was shown: nobody reads at a station that is neither signed on nor open.
        """
        shown = []
        for visit in list(self.all.values()):
            presence = self._presence(visit)
            if (presence.people or presence.address is not None) and wanted(presence) and not visit.station.closed:
                visit.station.session.send_control(Notice(text=text))
                visit.station.flush()
                shown.append(presence)
        return shown
