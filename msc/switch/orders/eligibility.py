"""Whether a message may come to a station that an operator names: what the switch itself would see to on its way."""

from __future__ import annotations

from collections.abc import Mapping

from msc.directory.rows import Device, Directory
from msc.protocol.catalog import Function
from msc.protocol.header import parse_header
from msc.switch.staffing import why_elsewhere
from msc.transit.message import Direction, MessageRecord
from msc.transit.service_state import must_be_staffed

_SEEN = (Function.ADMINISTRATIVE.value, Function.HIT_CONFIRMATION.value)


def why_unfit(
    directory: Directory, record: MessageRecord, device: Device, line_modes: Mapping[str, str]
) -> str | None:
    """Say why a message must not come to a device, or None.

    Args:
        line_modes: `production` or `test` by the name of the line.
    """
    if device.pooled:
        return f"nobody receives for {device.device}: what comes there is for the person signed on (C-UNSOL)"
    mode, there = mode_of(directory, record, line_modes), directory.mnemonics.get(device.mnemonic or "")
    if mode is not None and there is not None and there.mode != mode:
        return f"it is a {mode} message, and {device.device} is a {there.mode.value} station (C-TEST)"
    return why_elsewhere(directory, device) if _must_be_seen(record) else None


def mode_of(directory: Directory, record: MessageRecord, line_modes: Mapping[str, str]) -> str | None:
    """Return whether a message is `production` or `test`; None if it cannot be told.

    What came from a line is what the line is: its header may name a mnemonic of the other mode.
    """
    came_by = line_modes.get(record.line or "") if record.direction == Direction.INBOUND else None
    if came_by is not None:
        return came_by
    device = directory.devices.get(record.device or "")
    row = directory.mnemonics.get(record.mnemonic or (device.mnemonic if device is not None else None) or "")
    return row.mode.value if row is not None else None


def _must_be_seen(record: MessageRecord) -> bool:
    """Tell whether a message must end before somebody's eyes, or on paper (C-STAFFED)."""
    if record.kind in _SEEN:
        return True
    if record.direction != Direction.INBOUND:
        return False
    return must_be_staffed(parse_header(record.text)[1])
