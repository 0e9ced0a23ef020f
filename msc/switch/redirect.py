"""Where messages for a device go now: forwards by the clock, and alternates of devices that are down or set aside."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from msc import clock
from msc.directory.rows import Device, Directory
from msc.log import get_logger
from msc.routing.forwarding import Alternate, Forwarding, Hop, StationFacts, unfit
from msc.transit.event import Life

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
        forwarding: The rules.
        absent_s: Says how many seconds nobody has received for an address; 0 while somebody does.
    """

    def __init__(
        self, directory: Directory, absent_s: Callable[[str], float], forwarding: Forwarding | None = None
    ) -> None:
        self.forwarding = forwarding or Forwarding()
        """Swapped whole."""
        self._directory = directory
        self._absent_s = absent_s
        self._looped: set[str] = set()
        self._unfit: set[str] = set()

    def __call__(self, address: str) -> Redirected | None:
        """Say where messages for an address go instead; None is nowhere else."""
        found = self.forwarding.resolve(address, clock.wall_us(), self._absent_s)
        if found.looped and address not in self._looped:
            # Told once: it is asked for every message, and while messages wait.
            log.warning("forwarding.looped", address=address)
            self._looped.add(address)
        if not found.hops or found.address == address:
            return None
        device, there = (
            self._directory.devices.get(each.removeprefix("device:")) for each in (address, found.address)
        )
        if there is None or (device is not None and self._is_unfit(device, there)):
            return None  # the directory has changed since the rules were loaded
        first = found.hops[0]
        return Redirected(
            found.address,
            Life.ALTERNATE_ROUTED if first.alternate else Life.FORWARDED,
            f"to {found.address} by {', '.join(hop.rule for hop in found.hops)}",
            device.mnemonic if device is not None else None,
        )

    def _is_unfit(self, device: Device, there: Device) -> bool:
        why = unfit(device.device, facts_of(self._directory, device), there.device, facts_of(self._directory, there))
        if why is not None and device.device not in self._unfit:
            log.warning("forwarding.unfit", device=device.device, target=there.device, why=why)
            self._unfit.add(device.device)
        return why is not None

    def hops(self, address: str) -> tuple[Hop, ...]:
        """Return the rules that send elsewhere now what is meant for an address."""
        return self.forwarding.resolve(address, clock.wall_us(), self._absent_s).hops

    def use(self, forwarding: Forwarding) -> None:
        """Take other rules from now on."""
        self.forwarding = forwarding
        self._looped.clear()
        self._unfit.clear()

    def use_alternates(self, operators: Iterable[Alternate]) -> None:
        """Let these alternates of operators hold from now on, and no others; ask `Forwarding.problems` before."""
        self.forwarding = self.forwarding.with_alternates(operators)
        self._looped.clear()
        self._unfit.clear()


def station_facts(directory: Directory) -> dict[str, StationFacts]:
    """Return what the rules have to know of each device."""
    return {name: facts_of(directory, device) for name, device in directory.devices.items()}


def facts_of(directory: Directory, device: Device) -> StationFacts:
    """Return what the rules have to know of a device."""
    agency = directory.agencies.get(device.agency)
    mnemonic = directory.mnemonics.get(device.mnemonic or "")
    meant = any(pool.unsolicited_to == device.device for pool in directory.pools.values())
    return StationFacts(
        attended=device.attended or bool(agency is not None and agency.staffing_waiver),
        administrative=meant or bool(mnemonic is not None and mnemonic.administrative),
        test=None if mnemonic is None else mnemonic.mode == "test",
    )
