"""Where messages for a device go now: forwards by the clock, and alternates of devices that are down or set aside."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from msc import clock
from msc.acp.directory import Directory
from msc.journal.record import Life
from msc.log import get_logger
from msc.routing.forwarding import Alternate, Forwarding, Hop, StationFacts

log = get_logger("switch")


@dataclass(frozen=True, slots=True)
class Redirected:
    """Where a message goes instead.

    Attributes:
        address: Of another station.
        life: `forwarded` or `alternate_routed`.
        why: The rules, in words.
        original_mnemonic: Whose message it was; None if that device has none.
    """

    address: str
    life: Life
    why: str
    original_mnemonic: str | None


class Redirection:
    """Applies the rules in force.

    Args:
        absent_s: Says how many seconds nobody has received for an address; 0 while somebody does.
    """

    def __init__(self, directory: Directory, absent_s: Callable[[str], float]) -> None:
        self.forwarding = Forwarding()
        """Swapped whole."""
        self._directory = directory
        self._absent_s = absent_s
        self._looped: set[str] = set()

    def __call__(self, address: str) -> Redirected | None:
        """Say where messages for an address go instead; None is nowhere else."""
        found = self.forwarding.resolve(address, clock.wall_us(), self._absent_s)
        if found.looped and address not in self._looped:
            # Told once: it is asked for every message, and while messages wait.
            log.warning("forwarding.looped", address=address)
            self._looped.add(address)
        if not found.hops or found.address == address:
            return None
        if found.address.removeprefix("device:") not in self._directory.devices:
            return None  # it left the directory since the rules were loaded
        first = found.hops[0]
        device = self._directory.devices.get(address.removeprefix("device:"))
        return Redirected(
            found.address,
            Life.ALTERNATE_ROUTED if first.alternate else Life.FORWARDED,
            f"to {found.address} by {', '.join(hop.rule for hop in found.hops)}",
            device.mnemonic if device is not None else None,
        )

    def hops(self, address: str) -> tuple[Hop, ...]:
        """Return the rules that send elsewhere now what is meant for an address."""
        return self.forwarding.resolve(address, clock.wall_us(), self._absent_s).hops

    def use(self, forwarding: Forwarding) -> None:
        """Take other rules from now on."""
        self.forwarding = forwarding
        self._looped.clear()

    def stand_in(self, operators: Iterable[Alternate]) -> None:
        """Let these alternates of operators hold from now on, and no others; ask `Forwarding.problems` before."""
        self.forwarding = self.forwarding.with_alternates(operators)
        self._looped.clear()


def station_facts(directory: Directory) -> dict[str, StationFacts]:
    """Return what the rules have to know of each device."""
    meant = {pool.unsolicited_to for pool in directory.pools.values() if pool.unsolicited_to is not None}
    found = {}
    for name, device in directory.devices.items():
        agency = directory.agencies.get(device.agency)
        mnemonic = directory.mnemonics.get(device.mnemonic or "")
        found[name] = StationFacts(
            attended=device.attended or bool(agency is not None and agency.staffing_waiver),
            administrative=name in meant or bool(mnemonic is not None and mnemonic.administrative),
            test=None if mnemonic is None else mnemonic.mode == "test",
        )
    return found
