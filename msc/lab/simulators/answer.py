"""How the answers of the stand-ins look: `CODE/value` lines, and the words that tell answers apart.

A line that begins with `MKE/` means a hit, `NO RECORD` none, `ACCEPTED` an update taken, `ER.` a refusal.
Names are printed with a comma and a blank, as the real systems do, though inquiries have no blank.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Final

from msc.errors import BadField, PurposeNotAllowed, Refusal, TooManyDestinations, UnknownMessageKey
from msc.lab.simulators.hot_file import VEHICLE_CODES, HotVehicle
from msc.lab.simulators.subject import Article, Entry, Gun, Person, Vehicle, fcn_of
from msc.protocol.catalog import MessageKey

CAUTION: Final = "***CAUTION - ARMED AND DANGEROUS***"
CONFIRM: Final = "IMMED CONFIRM WITH ORI BEFORE ACTING"
"""C-CONFIRM, PPP 1.6.1.A: a hit alone is not a ground to act."""

RECORDS_MAX: Final = 10
"""Records in one answer; a name alone may find more, and the answer must fit into a frame."""

ASKED_CODES: Final = ("NIC", "NAM", "DOB", "OLN", "CII", "FBI", "LIC", "LIS", "VIN", "SER", "TYP")
"""What an answer of `NO RECORD` repeats of the inquiry."""

REFUSALS: Final[Mapping[type[Refusal], str]] = {
    UnknownMessageKey: "01 MESSAGE KEY NOT KNOWN HERE",
    BadField: "14 FIELD MISSING OR MALFORMED",
    PurposeNotAllowed: "14 PURPOSE CODE MISSING OR NOT ALLOWED",
    TooManyDestinations: "19 TOO MANY DESTINATIONS",
}
"""Numbers after those of Nlets' error messages: 01 header, 14 fields, 19 destination, 22 format. Our own are
those of the hot file: 30 NIC not on file, 31 NIC and OCA disagree, 32 not the entering agency, 33 duplicate,
34 file full."""


class Outcome(Enum):
    """What an answer says, for programs that drive or check the stand-ins."""

    HIT = "hit"
    NO_RECORD = "no record"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    INFORMATION = "information"


_MARKS: Final = {
    "MKE/": Outcome.HIT,
    "NO RECORD": Outcome.NO_RECORD,
    "ACCEPTED": Outcome.ACCEPTED,
    "ER.": Outcome.REJECTED,
}


def outcome_of(body: str) -> Outcome:
    """Tell what an answer says; a registration or a licence record is `INFORMATION`."""
    for line in body.splitlines():
        for mark, outcome in _MARKS.items():
            if line.startswith(mark):
                return outcome
    return Outcome.INFORMATION


# --- neither hit nor record ---------------------------------------------------------------------


def rejected(number: str, reason: str) -> str:
    """Write the refusal of a message."""
    return f"ER.{number} {reason.upper()}"


def refused(refusal: Refusal) -> str:
    """Write the refusal of a message that the catalog does not allow; its reason names fields, never values."""
    return rejected(REFUSALS.get(type(refusal), "22 FORMAT"), refusal.reason)


def no_record(file: str, fields: Mapping[str, str]) -> str:
    """Write that a file has nothing, and what was asked."""
    # A value may hold line breaks where the catalog gives no form; it must not begin a line of ours.
    asked = (f"{code}/{_one_line(fields[code])}" for code in ASKED_CODES if code in fields)
    return f"NO RECORD IN {file}\n{' '.join(asked)}"


def accepted(key: MessageKey, record: HotVehicle) -> str:
    """Write that an update was taken, with the numbers to name the record by."""
    entry = record.entry
    return f"ACCEPTED {key.name.upper()}\nNIC/{entry.nic} FCN/{entry.fcn} OCA/{entry.oca} ORI/{entry.ori}"


# --- hits ---------------------------------------------------------------------------------------


def wanted_or_other(person: Person, entry: Entry) -> str:
    """Write the entry that stands against a person, a caution line first where there is one."""
    caution = f"{CAUTION}\n" if person.armed else ""
    remark = f"MIS/{entry.remark}\n" if entry.remark else ""
    return f"{caution}MKE/{entry.kind}\n{_person(person)}\n{remark}{_entry(entry)}"


def criminal_history(person: Person) -> str:
    """Write a person's criminal history."""
    lines = ["MKE/CRIMINAL HISTORY", _person(person)]
    lines += [f"DTE/{a.date} ORI/{a.ori} OFF/{a.charge} DSP/{a.disposition}" for a in person.history]
    return "\n".join(lines)


def stolen_vehicle(record: HotVehicle) -> str:
    """Write an entry of a stolen vehicle."""
    fields, entry = record.fields, record.entry
    located = f"LOCATED BY ORI/{record.located_by}\n" if record.located_by else ""
    described = " ".join(f"{code}/{_one_line(fields[code])}" for code in VEHICLE_CODES if code in fields)
    return f"MKE/{entry.kind}\n{described}\n{located}{_entry(entry)}"


def stolen_or_lost_gun(gun: Gun, entry: Entry) -> str:
    """Write an entry of a gun."""
    return (
        f"MKE/{entry.kind}\n"
        f"SER/{gun.serial} MAK/{gun.make} CAL/{gun.calibre} MOD/{gun.model} TYP/{gun.type}\n{_entry(entry)}"
    )


def stolen_or_lost_article(article: Article, entry: Entry) -> str:
    """Write an entry of a piece of property."""
    return (
        f"MKE/{entry.kind}\n"
        f"SER/{article.serial} TYP/{article.type} BRA/{article.brand} MOD/{article.model}\n{_entry(entry)}"
    )


# --- records that accuse nobody -----------------------------------------------------------------


def registration(vehicle: Vehicle) -> str:
    """Write a vehicle's registration."""
    return (
        "VEHICLE REGISTRATION\n"
        f"LIC/{vehicle.plate} LIS/{vehicle.plate_state} LIY/{vehicle.plate_year} LIT/PC\n"
        f"VIN/{vehicle.vin} VYR/{vehicle.year} VMA/{vehicle.make} VMO/{vehicle.model} "
        f"VST/{vehicle.style} VCO/{vehicle.colour}\n"
        f"NAM/{printed_name(vehicle.owner)}\nADR/{vehicle.address}"
    )


def driver(person: Person) -> str:
    """Write a driver record."""
    return f"DRIVER RECORD\n{_person(person)} OLS/{person.oln_state}\nADR/{person.address}\nSTA/{person.licence}"


def joined(bodies: Iterable[str]) -> str:
    """Put records into one answer, at most `RECORDS_MAX`, an empty line between them."""
    parts = list(bodies)
    if len(parts) > RECORDS_MAX:
        more = len(parts) - RECORDS_MAX
        parts = [*parts[:RECORDS_MAX], f"{more} MORE ON FILE, NARROW THE INQUIRY"]
    return "\n\n".join(parts)


def printed_name(name: str) -> str:
    """Write a name as answers print it: `LAST, FIRST`."""
    return name.replace(",", ", ", 1)


def _person(person: Person) -> str:
    return (
        f"NAM/{printed_name(person.name)} SEX/{person.sex} RAC/{person.race} DOB/{person.dob}\n"
        f"HGT/{person.height} WGT/{person.weight} EYE/{person.eyes} HAI/{person.hair}\n"
        f"FBI/{person.fbi} CII/{person.cii} OLN/{person.oln}"
    )


def _entry(entry: Entry) -> str:
    return f"ORI/{entry.ori} OCA/{entry.oca} DTE/{entry.date} NIC/{entry.nic} FCN/{fcn_of(entry.nic)}\n{CONFIRM}"


def _one_line(value: str) -> str:
    return " ".join(value.split())
