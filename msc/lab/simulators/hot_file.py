"""The file of stolen vehicles: what the data set holds, and what EV, MV, XV, LV and CV make of it.

Kept in memory: a simulator that starts again has forgotten what was entered.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from msc.errors import MSCError
from msc.lab.simulators.subject import Entry, Kind, Vehicle
from msc.protocol.text import MessageText

RECORDS_MAX: Final = 100_000
"""Entries are small, but a load test left running must not fill the memory."""

VEHICLE_CODES: Final = ("LIC", "LIS", "LIY", "LIT", "VIN", "VYR", "VMA", "VMO", "VST", "VCO", "MIS")
"""What an entry keeps of a message, in the order answers print it."""

_NIC_FIRST: Final = 995_000_001
"""Above every NIC of a data set, below those of the specimens, so that none is given out twice."""


class EntryRefused(MSCError):
    """An update was understood and is not taken.

    Attributes:
        number: What the answer says after `ER.`.
    """

    def __init__(self, number: str, reason: str) -> None:
        super().__init__(reason)
        self.number = number
        self.reason = reason


@dataclass(frozen=True, slots=True)
class HotVehicle:
    """One record: the entry, the vehicle's fields by code, and the ORI of who located it."""

    entry: Entry
    fields: Mapping[str, str]
    located_by: str | None = None


class HotFile:
    """Stolen vehicles, found by NIC, plate and VIN."""

    def __init__(self, vehicles: Iterable[Vehicle], *, ncic: bool) -> None:
        self._records: dict[str, HotVehicle] = {}
        # Two agencies may have entered the same vehicle, so a plate finds several.
        self._index: dict[tuple[str, str], set[str]] = {}
        self._nic_next = _NIC_FIRST
        for vehicle in vehicles:
            for entry in vehicle.on_file:
                if entry.in_ncic if ncic else entry.in_state:
                    self._put(HotVehicle(entry, fields_of(vehicle)))

    def __len__(self) -> int:
        return len(self._records)

    def find(self, fields: Mapping[str, str]) -> list[HotVehicle]:
        """Find what an inquiry asks for: by NIC, or by plate (and its state, where both name one) and VIN."""
        if "NIC" in fields:
            record = self._records.get(fields["NIC"])
            return [record] if record else []
        nics: set[str] = set()
        state = fields.get("LIS")
        for nic in self._index.get(("LIC", fields.get("LIC", "")), ()):
            if state is None or self._records[nic].fields.get("LIS", state) == state:
                nics.add(nic)
        nics.update(self._index.get(("VIN", fields.get("VIN", "")), ()))
        return [self._records[nic] for nic in sorted(nics)]

    # --- updates --------------------------------------------------------------------------------

    def enter(self, message: MessageText) -> HotVehicle:
        """Enter a vehicle.

        Raises:
            EntryRefused: The agency has entered it under this case before, or the file is full.
        """
        fields = message.fields
        # A county's catalog decides what is required, so nothing is taken for granted here.
        oca, date = fields.get("OCA", ""), fields.get("DTE", "")
        for record in self.find({code: fields[code] for code in ("LIC", "LIS", "VIN") if code in fields}):
            if record.entry.ori == message.ori and record.entry.oca == oca:
                raise EntryRefused("33", f"DUPLICATE OF NIC/{record.entry.nic}")
        if len(self._records) >= RECORDS_MAX:
            raise EntryRefused("34", "FILE FULL")
        nic = f"V{self._nic_next}"
        self._nic_next += 1
        entry = Entry(Kind.STOLEN_VEHICLE, nic, message.ori, oca, date, in_ncic=False)
        record = HotVehicle(entry, _kept(fields))
        self._put(record)
        return record

    def modify(self, message: MessageText) -> HotVehicle:
        """Change what a message names of a record's vehicle; the rest stays.

        Raises:
            EntryRefused: NIC and OCA are of no record of this agency's, or nothing is to change.
        """
        record = self._own(message)
        changes = _kept(message.fields)
        if not changes and "DTE" not in message.fields:
            raise EntryRefused("14", "NOTHING TO MODIFY")
        entry = replace(record.entry, date=message.fields.get("DTE", record.entry.date))
        self._remove(record)
        record = replace(record, entry=entry, fields={**record.fields, **changes})
        self._put(record)
        return record

    def remove(self, message: MessageText) -> HotVehicle:
        """Take a record off the file: cancelled (it should not have been there) or cleared (recovered).

        Raises:
            EntryRefused: NIC and OCA are of no record of this agency's.
        """
        record = self._own(message)
        self._remove(record)
        return record

    def locate(self, message: MessageText) -> HotVehicle:
        """Note that an agency, most often not the one that entered it, has found the vehicle.

        Raises:
            EntryRefused: NIC and OCA are of no record.
        """
        record = replace(self._named(message), located_by=message.ori)
        self._records[record.entry.nic] = record
        return record

    def _named(self, message: MessageText) -> HotVehicle:
        record = self._records.get(message.fields.get("NIC", ""))
        if record is None:
            raise EntryRefused("30", "NIC NOT ON FILE")
        if record.entry.oca != message.fields.get("OCA"):
            raise EntryRefused("31", "NIC AND OCA DO NOT AGREE")
        return record

    def _own(self, message: MessageText) -> HotVehicle:
        record = self._named(message)
        if record.entry.ori != message.ori:
            raise EntryRefused("32", "ONLY THE ENTERING AGENCY MAY DO THIS")
        return record

    # --- index ----------------------------------------------------------------------------------

    def _put(self, record: HotVehicle) -> None:
        self._records[record.entry.nic] = record
        for key in _keys(record):
            self._index.setdefault(key, set()).add(record.entry.nic)

    def _remove(self, record: HotVehicle) -> None:
        del self._records[record.entry.nic]
        for key in _keys(record):
            nics = self._index[key]
            nics.discard(record.entry.nic)
            if not nics:
                del self._index[key]


def fields_of(vehicle: Vehicle) -> dict[str, str]:
    """Return a registered vehicle's fields by their codes."""
    return {
        "LIC": vehicle.plate,
        "LIS": vehicle.plate_state,
        "LIY": vehicle.plate_year,
        "LIT": "PC",
        "VIN": vehicle.vin,
        "VYR": vehicle.year,
        "VMA": vehicle.make,
        "VMO": vehicle.model,
        "VST": vehicle.style,
        "VCO": vehicle.colour,
    }


def _kept(fields: Mapping[str, str]) -> dict[str, str]:
    return {code: fields[code] for code in VEHICLE_CODES if fields.get(code)}


def _keys(record: HotVehicle) -> list[tuple[str, str]]:
    return [(code, record.fields[code]) for code in ("LIC", "VIN") if code in record.fields]
