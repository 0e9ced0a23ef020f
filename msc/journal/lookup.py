"""Finding single messages for the running switch, through the process that searches: off the traffic's path."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Any

import orjson

from msc import clock
from msc.errors import JournalError
from msc.journal.criteria import Criteria
from msc.journal.process import Part
from msc.journal.reader import Entry
from msc.limits import ORDER_LOOKUP_S
from msc.transit.event import Event
from msc.transit.message import MessageRecord

Ask = Callable[[str, dict[str, Any]], AsyncGenerator[Part, None]]


class Lookup:
    """Finds messages with the events of their lives.

    Args:
        ask: Asks the process that searches; see `msc.journal.answers`.
        limit_s: How long it may take.
    """

    def __init__(self, ask: Ask, limit_s: float = ORDER_LOOKUP_S) -> None:
        self._ask = ask
        self._limit_s = limit_s

    async def entries(self, msns: Sequence[int]) -> dict[int, Entry]:
        """Return messages by their MSNs; what the journal does not hold is left out.

        Raises:
            JournalError: The journal cannot be read, or not in time.
        """
        return {entry.message.msn: entry for entry in await self._entries("entries", {"msns": list(msns)})}

    async def by_isn(self, isn: int, source: str, since_us: int, until_us: int) -> list[Entry]:
        """Return the messages of an input sequence number: one, unless a source has begun anew.

        Args:
            source: `device:NAME` or `line:NAME`.

        Raises:
            JournalError: The journal cannot be read, or not in time.
        """
        criteria = _between(source, since_us, until_us)
        return await self._entries("numbered", {"criteria": criteria, "isn": isn, "address": source})

    async def by_osn(self, osn: int, destination: str, since_us: int, until_us: int) -> list[Entry]:
        """Return the message of an output sequence number.

        Args:
            destination: `device:NAME`, `user:ID` or `line:NAME`; the times are those of the message's receipt.

        Raises:
            JournalError: The journal cannot be read, or not in time.
        """
        criteria = _between(destination, since_us, until_us)
        return await self._entries("numbered", {"criteria": criteria, "osn": osn, "address": destination})

    async def _entries(self, verb: str, asked: dict[str, Any]) -> list[Entry]:
        found = []
        try:
            async with asyncio.timeout(self._limit_s), aclosing(self._ask(verb, asked)) as parts:
                async for part in parts:
                    lines = map(orjson.loads, part.lines.splitlines())
                    found += [entry_of(line["item"]) for line in lines if "item" in line]
        except TimeoutError as exc:
            raise JournalError(f"the journal was not searched within {self._limit_s:g} s; ask again") from exc
        return found


def _between(address: str, since_us: int, until_us: int) -> dict[str, Any]:
    """Return criteria for what came from or went to an address; a person's messages are found by the time alone."""
    place, _, name = address.partition(":")
    members: dict[str, Any] = {"since_us": since_us, "until_us": until_us}
    if place in ("line", "device"):
        members[place] = name
    return Criteria(**members).as_json()


def entry_of(members: dict[str, Any]) -> Entry:
    """Return the entry that `Entry.as_json` wrote."""
    events = tuple(
        Event(members["msn"], clock.parse_rfc3339(each["at"]), each["event"], each["destination"], each["facts"])
        for each in members["events"]
    )
    received, *own = (members[name] for name in MessageRecord._fields if name not in ("msn", "events"))
    return Entry(
        MessageRecord(members["msn"], clock.parse_rfc3339(received), *own), events, members["seq"], members["isn"]
    )
