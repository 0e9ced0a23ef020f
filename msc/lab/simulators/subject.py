"""What the stand-ins know: people, vehicles, guns, articles, and the entries that stand against them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What an entry is of, as `MKE/` says it."""

    WANTED = "WANTED PERSON"
    MISSING = "MISSING PERSON"
    RESTRAINED = "RESTRAINING ORDER"
    RELEASED = "SUPERVISED RELEASE"
    STOLEN_VEHICLE = "STOLEN VEHICLE"
    STOLEN_GUN = "STOLEN GUN"
    LOST_GUN = "LOST GUN"
    STOLEN_ARTICLE = "STOLEN ARTICLE"
    LOST_ARTICLE = "LOST ARTICLE"


def normalise_name(name: str) -> str:
    """Write a name as it is looked up: capitals, `LAST,FIRST MIDDLE`.

    Inquiries write `LAST,FIRST` and answers print `LAST, FIRST`; both must find the same person.
    """
    last, comma, first = " ".join(name.upper().split()).partition(",")
    return f"{last.rstrip()},{first.lstrip()}" if comma else last


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of a hot file.

    Attributes:
        kind: What it is of.
        nic: NCIC record number.
        ori: The agency that entered it.
        oca: That agency's case number.
        date: Of the warrant, theft, order or loss: YYYYMMDD.
        remark: The offence, or what else there is to say.
        in_state: Whether the state's file has it.
        in_ncic: Whether NCIC has it.
    """

    kind: Kind
    nic: str
    ori: str
    oca: str
    date: str
    remark: str = ""
    in_state: bool = True
    in_ncic: bool = True

    @property
    def fcn(self) -> str:
        """The state's file control number: 13 characters."""
        return fcn_of(self.nic)


def fcn_of(nic: str) -> str:
    """Return the file control number that goes with a NIC."""
    return f"TEST{nic[1:]}"


@dataclass(frozen=True, slots=True)
class Arrest:
    """One line of a criminal history."""

    date: str
    ori: str
    charge: str
    disposition: str


@dataclass(frozen=True, slots=True)
class Person:
    """A person. Everyone has a driver record; `on_file` and `history` are empty for most."""

    name: str
    dob: str
    sex: str
    race: str
    height: str
    weight: str
    eyes: str
    hair: str
    oln: str
    oln_state: str
    cii: str
    fbi: str
    address: str
    licence: str = "VALID"
    armed: bool = False
    on_file: tuple[Entry, ...] = ()
    history: tuple[Arrest, ...] = ()


@dataclass(frozen=True, slots=True)
class Vehicle:
    """A registered vehicle. Years and codes are texts, as they stand in messages."""

    plate: str
    plate_state: str
    plate_year: str
    vin: str
    year: str
    make: str
    model: str
    style: str
    colour: str
    owner: str
    address: str
    on_file: tuple[Entry, ...] = ()


@dataclass(frozen=True, slots=True)
class Gun:
    """A firearm."""

    serial: str
    make: str
    calibre: str
    model: str
    type: str
    on_file: tuple[Entry, ...] = ()


@dataclass(frozen=True, slots=True)
class Article:
    """A piece of property, known by serial number and type."""

    serial: str
    type: str
    brand: str
    model: str
    on_file: tuple[Entry, ...] = ()
