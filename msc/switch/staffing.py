"""What must end before somebody's eyes (PPP 1.6.2.A): delivered at a printer or a staffed device, or nowhere.

The directory's rules see to it that mnemonics which take administrative messages lead there. What comes unasked can
name any mnemonic, and a row can change; so it is looked at once more when a message is delivered.
"""

from __future__ import annotations

from msc.directory.rows import Device, Directory


def why_elsewhere(directory: Directory, device: Device) -> str | None:
    """Say why what must be seen at every hour cannot go to a device; None if it can."""
    agency = directory.agencies.get(device.agency)
    if device.attended or (agency is not None and agency.staffing_waiver):
        return None
    return f"{device.device} is neither a printer nor staffed at every hour (C-STAFFED)"


def staffed_instead(directory: Directory, device: Device) -> list[Device]:
    """Return the devices of the same agency where somebody sees it; there may be none."""
    agency = directory.agencies.get(device.agency)
    return [row for row in directory.addressees(agency.ori) if row.attended] if agency is not None else []
