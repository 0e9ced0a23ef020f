"""The filling's county: agencies, users, stations, mnemonics; as large as its traffic makes likely.

Agencies and people are those of `msc.lab.world`; mnemonics begin with EX, MAC addresses with 02005E.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from random import Random
from typing import Final

from msc.lab.world import AGENCIES, GIVEN_NAMES, SURNAMES, ori_of

_PAIRS: Final = tuple(high + low for high in "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ" for low in
                      "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ")  # fmt: skip
_TOKENS: Final = 36**6
_MOBILE_SHARE: Final = 0.55
_HOST_SHARE: Final = 0.2
_USERS_PER_SEAT: Final = 12
_SEATS_MAX: Final = 420
_TRANSACTIONS_PER_SEAT: Final = 14.0
"""A day. Fewer make more stations idle, and sign-ons outnumber what is asked."""


def base36(number: int, width: int) -> str:
    """Write a number in base 36, filled with zeros to an even width."""
    digits = ""
    for _ in range(0, width, 2):
        number, pair = divmod(number, 1296)
        digits = _PAIRS[pair] + digits
    return digits


def header_of(mnemonic: str, msn: int) -> str:
    """Make the supplemental header of a transaction, as the switch does."""
    number, low = divmod(msn % _TOKENS, 1296)
    high, middle = divmod(number, 1296)
    return mnemonic + _PAIRS[high] + _PAIRS[middle] + _PAIRS[low]


@dataclass(slots=True)
class Agency:
    """An agency.

    Attributes:
        pool: Mnemonics of its cars; the one that rested longest is leased first.
        printer: Gets what comes unsolicited for a pooled mnemonic.
    """

    name: str
    ori: str
    pool: deque[str] = field(default_factory=deque)
    printer: Device | None = None


@dataclass(slots=True)
class Device:
    """A station.

    Attributes:
        mnemonic: Its own; None where each session leases one.
        sequence: Number of the last data frame it sent on its connection.
    """

    name: str
    agency: Agency
    mnemonic: str | None
    ip: str
    taf: str
    host: bool = False
    staffed: bool = False
    connected: bool = False
    sequence: int = 0

    @property
    def address(self) -> str:
        """Where messages for it wait."""
        return f"device:{self.name}"


@dataclass(slots=True)
class User:
    """Somebody who signs on. `taf` is that of their workplace behind a host."""

    user: str
    limited: bool
    taf: str


@dataclass(slots=True, eq=False)
class Seat:
    """A place where one person may be signed on: a terminal, or one of those behind a host."""

    device: Device
    users: list[User]
    session: Session | None = None
    free_us: int = 0
    """When who sits there can send the next message."""
    last_vehicle: int = -1
    """What they looked at last; the next question is often about the same."""


@dataclass(slots=True, eq=False)
class Session:
    """A person signed on.

    Attributes:
        ends_us: When they will sign off.
        active_us: When they last sent anything.
    """

    seat: Seat
    user: User
    session: str
    mnemonic: str
    ends_us: int
    active_us: int
    locked: bool = False

    @property
    def address(self) -> str:
        """Where its answers wait: with a leased mnemonic at the person, otherwise at the device."""
        device = self.seat.device
        return device.address if device.mnemonic is not None else f"user:{self.user.user}"


class County:
    """All of it.

    Args:
        rng: Decides who there is.
        transactions_per_day: How much there is to do.
    """

    def __init__(self, rng: Random, transactions_per_day: float) -> None:
        seats = max(6, min(_SEATS_MAX, int(transactions_per_day / _TRANSACTIONS_PER_SEAT)))
        self.agencies = [Agency(name, ori_of(number)) for number, name in enumerate(AGENCIES[: max(2, seats // 30)])]
        self.seats: list[Seat] = []
        self.devices: list[Device] = []
        self._names = 0
        self._user = 0
        for agency in self.agencies:
            agency.printer = self._device(agency, "PRINTER", self._mnemonic())
        hosts: dict[str, Device] = {}
        for number in range(seats):
            agency = self.agencies[int(len(self.agencies) * rng.random() ** 1.6)]
            # Of the busiest there is one each: dispatch, day and night, a car, a host.
            chance = (1.0, _HOST_SHARE, 0.0)[number] if number < 3 else rng.random()
            if chance < _HOST_SHARE:
                device = hosts.get(agency.name)
                if device is None:
                    device = hosts[agency.name] = self._device(agency, "CAD", self._mnemonic())
                    device.host = True
            elif chance < _HOST_SHARE + _MOBILE_SHARE:
                # More than the cars: one rests before it is leased again.
                agency.pool.extend(self._mnemonic() for _ in range(1 + number % 2))
                device = self._device(agency, "MOBILE", None)
            else:
                device = self._device(agency, ("DISPATCH", "RECORDS")[number % 2], self._mnemonic())
                device.staffed = number % 2 == 0
            self.seats.append(Seat(device, [self._person(rng, device) for _ in range(_USERS_PER_SEAT)]))
        detectives = [f"DET {rng.choice(SURNAMES)}" for _ in range(max(5, seats // 4))]
        self.requesters = [*detectives, *(f"DDA {rng.choice(GIVEN_NAMES)} {rng.choice(SURNAMES)}" for _ in range(5))]
        self.printers = [agency.printer for agency in self.agencies if agency.printer is not None]
        self.hosts = list(hosts.values())
        self.desks = [device for device in self.devices if device.mnemonic is not None]

    def _mnemonic(self) -> str:
        self._names += 1
        return f"EX{base36(self._names + 396, 2)}"  # from EXB1 on

    def _device(self, agency: Agency, what: str, mnemonic: str | None) -> Device:
        number = len(self.devices) + 1
        high, low = divmod(number, 250)
        # PPP 1.6.6.D: IP and MAC, in base 36, seven characters and ten.
        address = base36((10 << 24) + (99 << 16) + (high << 8) + low + 1, 8)[1:]
        device = Device(
            f"{what}{number}",
            agency,
            mnemonic,
            f"10.99.{high}.{low + 1}",
            address + base36(0x02005E000000 + number, 10),
        )
        self.devices.append(device)
        return device

    def _person(self, rng: Random, device: Device) -> User:
        self._user += 1
        letter = "K" if device.host else "J" if device.mnemonic is None else "D" if device.staffed else "R"
        number = 10_000 + self._user * 7919 % 90_000
        return User(f"{letter}{number:05}", rng.random() < 0.1, f"0A000001{self._user:04}")
