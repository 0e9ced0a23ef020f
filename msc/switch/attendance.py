"""Who receives for which address now, and since when nobody does.

A person may be signed on at two terminals: answers go to the one that asked, everything else to the one signed on
last. A terminal may receive for its device and for the person signed on at it.
"""

from __future__ import annotations

from collections.abc import Sequence

from msc import clock
from msc.switch.port import StationPort


class Attendance:
    """The connections, by the addresses they receive for."""

    def __init__(self) -> None:
        self._stations: dict[str, list[StationPort]] = {}
        self._addresses: dict[int, list[str]] = {}
        self._began = clock.monotonic()
        self._left: dict[str, float] = {}

    def attach(self, address: str, station: StationPort) -> None:
        """A station receives for an address from now on."""
        self._left.pop(address, None)
        self._stations.setdefault(address, []).append(station)
        self._addresses.setdefault(station.identity, []).append(address)

    def detach(self, station: StationPort) -> Sequence[str]:
        """A station receives no more; returns the addresses it received for."""
        addresses = self._addresses.pop(station.identity, [])
        for address in addresses:
            stations = self._stations[address]
            stations.remove(station)
            if not stations:
                del self._stations[address]
                self._left[address] = clock.monotonic()
        return addresses

    def attended(self, address: str) -> bool:
        """Whether somebody receives for an address now."""
        return address in self._stations

    def absent_s(self, address: str) -> float:
        """How many seconds nobody has received for an address; 0 while somebody does."""
        if address in self._stations:
            return 0.0
        return max(clock.monotonic() - self._left.get(address, self._began), 1e-9)

    def at(self, address: str) -> Sequence[StationPort]:
        """Return the connections that receive for an address, the newest last."""
        return self._stations.get(address, ())

    def of(self, station: StationPort) -> Sequence[str]:
        """Return the addresses a connection receives for."""
        return self._addresses.get(station.identity, ())

    def addresses(self) -> list[str]:
        """Return the addresses that somebody receives for."""
        return list(self._stations)
