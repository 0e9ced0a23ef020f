"""Receipts: what has become of a message at each of its destinations, told to whoever sent it.

The journal alone says it, so a receipt is right after a restart, too, and after an operator moved the message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from msc.directory.rows import Device, Directory
from msc.errors import JournalError, JournalUnavailable, NotYourMessage, Overloaded
from msc.limits import RECEIPT_REQUESTS_MAX, RECEIPTS_AT_ONCE, RECEIPTS_REST_S
from msc.log import get_logger
from msc.protocol.control import Receipt, Receipts, ReceiptsReport
from msc.protocol.station import StationKind
from msc.transit.event import Life

log = get_logger("switch")

QUEUED: Final = "queued"
_AT_STATION: Final[Mapping[str, str]] = MappingProxyType(
    {
        Life.ROUTED: QUEUED,
        Life.QUEUED: QUEUED,
        Life.RETURNED: QUEUED,
        Life.CLEARED: QUEUED,
        # It is offered again; at last it goes to the operator's queue, which is an event of its own.
        Life.REFUSED_BY_PEER: QUEUED,
        Life.SENT: "sent",
        Life.ACKNOWLEDGED: "acknowledged",
        Life.FORWARDED: "forwarded",
        Life.ALTERNATE_ROUTED: "forwarded",
        Life.OPERATOR_QUEUE: "operator_queue",
        Life.EXPIRED: "expired",
        Life.CANCELLED: "cancelled",
        Life.ANSWERED: "answered",
    }
)
"""What an event makes of a destination; what is not here changes nothing."""
_ON_LINE: Final[Mapping[str, str]] = MappingProxyType(
    {
        **_AT_STATION,
        Life.ALTERNATE_ROUTED: "sent",
        Life.NOT_SENT: "not_sent",
        Life.OUTCOME_UNKNOWN: "outcome_unknown",
        Life.REFUSED_BY_PEER: "refused_by_peer",
    }
)
_NAMES: Final[Mapping[str, str]] = MappingProxyType({"operator": "operator", "board": "BULLETIN"})
_INTERNAL: Final = ("hitconf",)
"""Clocks of the switch's own, which are no destinations."""

Look = Callable[[int], Awaitable[dict[str, Any] | None]]
"""Finds a message with its life in the journal: as `Entry.as_json`."""


def receipts_of(found: Mapping[str, Any], directory: Directory) -> list[Receipt]:
    """Tell what has become of a message, in the order in which its destinations were found.

    Args:
        found: The message as `Entry.as_json` writes it.
    """
    receipts: dict[str, Receipt] = {}
    refused: str | None = None
    for event in found["events"]:
        address, life = event["destination"], event["event"]
        if life == Life.REFUSED:
            refused = event["at"]  # E501, after the fact: whoever sent it was told, and nobody gets it
        place, _, name = (address or "").partition(":")
        if address is None or place in _INTERNAL:
            continue
        if life == Life.ROUTED and address not in receipts:
            receipts[address] = Receipt(destination=_name(place, name, directory), state=QUEUED, at=event["at"])
        before = receipts.get(address)
        state = (_ON_LINE if place == "line" else _AT_STATION).get(life)
        if before is None or state is None:
            continue
        original = before.original
        if life == Life.ROUTED and (whose := event["facts"].get("whose")) is not None:
            original = _original(whose, directory)
        receipts[address] = Receipt(destination=before.destination, state=state, at=event["at"], original=original)
    if refused is not None:
        return [receipt.model_copy(update={"state": "refused", "at": refused}) for receipt in receipts.values()]
    return list(receipts.values())


def _name(place: str, name: str, directory: Directory) -> str:
    device = directory.devices.get(name) if place == "device" else None
    return (device.mnemonic if device is not None else None) or _NAMES.get(place, name)


def _original(whose: str, directory: Directory) -> str:
    """Name whose message it was: the journal has a mnemonic, or the address of a station that has none."""
    place, separator, name = whose.partition(":")
    return _name(place, name, directory) if separator else whose


class ReceiptReports:
    """Answers requests for receipts: one at a time for each who asks, and not too many for all.

    Args:
        look: Looks into the journal.
    """

    def __init__(self, look: Look, directory: Directory) -> None:
        self._look = look
        self._directory = directory
        self._asking: set[object] = set()
        self._under_way = 0

    async def report(self, asked: Receipts, asker: object, device: Device, user: str) -> ReceiptsReport:
        """Answer a request.

        Args:
            asker: Who counts as one: a connection, or a host's user at one.
            device: Where it was asked.
            user: By whom.

        Raises:
            NotYourMessage: There is none, or it was sent elsewhere by another. Which of the two is not said.
            Overloaded: The asker, or all together, have asked too much; or the journal answers too slowly.
            JournalUnavailable: The journal cannot be read.
        """
        if asker in self._asking or self._under_way >= RECEIPT_REQUESTS_MAX:
            raise Overloaded("receipts are being looked up; ask again later")
        self._asking.add(asker)
        self._under_way += 1
        try:
            found = await self._look(asked.msn)
        except TimeoutError:
            raise Overloaded("the journal has no time for it now; ask again later") from None
        except JournalError as exc:
            log.error("receipts.unavailable", error=str(exc))
            raise JournalUnavailable("the journal cannot be read now") from exc
        finally:
            self._under_way -= 1
            asyncio.get_running_loop().call_later(RECEIPTS_REST_S, self._asking.discard, asker)
        if found is None or not _sent_by(found, device, user):
            raise NotYourMessage
        receipts = receipts_of(found, self._directory)
        return ReceiptsReport(
            msn=asked.msn,
            user=asked.user,
            total=len(receipts),
            after=asked.after,
            destinations=receipts[asked.after : asked.after + RECEIPTS_AT_ONCE],
        )


def _sent_by(found: Mapping[str, Any], device: Device, user: str) -> bool:
    """Tell whether a message was sent by a person, or at the desk of a terminal with a mnemonic of its own.

    Such a desk gets the answers, too, whoever sits there. A pooled terminal and a host are many people's; and a host
    that vouches for its users is told of nothing that they sent elsewhere.
    """
    if found["sequence"] is None or found["line"] is not None:
        return False  # it came in no station's data frame
    here = bool(found["device"] == device.device)
    if device.kind is StationKind.HOST:
        return here and bool(found["user"] == user)
    return found["user"] == user or (here and device.mnemonic is not None)
