"""Traffic of a demo site whose lines are simulated: a few inquiries with their answers, or a burst of many."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.support.mtp_client import Disconnected, Refused, Station
from tests.support.site import Site

WINDOW = 24
"""Messages a terminal has under way; the demo site's window is larger."""


async def inquire(station: Station, texts: Sequence[str], envelope: dict[str, str] | None = None) -> list[int]:
    """Ask, each in turn, and wait for the answer; returns the MSNs of the inquiries."""
    msns = []
    for number, text in enumerate(texts):
        ref = f"i{station.sequence}-{number}"
        msns.append(await station.send(text, {"ref": ref, **(envelope or {})}))
        await station.answer_to(ref)
    return msns


def plates(count: int, series: str = "ZQ", ori: str = "CA0990000") -> list[str]:
    """Return inquiries by plate, all of them different."""
    return [f"IV.4.{ori}.LIC/{series}{number:05}" for number in range(count)]


async def burst(site: Site, count: int, device: str = "DISPATCH1", user: str = "J40217", series: str = "ZB") -> None:
    """Send many inquiries at once, and wait until all of them are acknowledged."""
    async with site.signed_on(device, user) as station:
        for start in range(0, count, WINDOW):
            texts = plates(count, series)[start : start + WINDOW]
            await asyncio.gather(
                *[await station.post(text, {"ref": f"b{start}-{n}"}) for n, text in enumerate(texts)]
            )


@dataclass
class Talker:
    """A terminal that sends without pause, and knows for certain what was acknowledged.

    Attributes:
        series: Begins each of its plates.
        acknowledged: Text by MSN.
        refused: The codes it was refused with.
    """

    site: Site
    device: str = "DISPATCH1"
    user: str = "J40217"
    series: str = "ZT"
    acknowledged: dict[int, str] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    number: int = 0

    async def talk(self, enough: asyncio.Event) -> None:
        """Send until it is enough, or the switch has gone."""
        with contextlib.suppress(Disconnected):
            station = Station(await self.site.wire(self.device))
            try:
                await station.greeted()
                await station.sign_on(self.user, self.site.user(self.user)["password"])
                await self._send(station, enough)
            finally:
                with contextlib.suppress(TimeoutError):
                    await station.close()

    async def _send(self, station: Station, enough: asyncio.Event) -> None:
        waiting: set[asyncio.Task[None]] = set()
        ori = self.site.device(self.device)["ori"]
        try:
            while not enough.is_set():
                self.number += 1
                text = f"IV.4.{ori}.LIC/{self.series}{self.number:06}"
                answer = await station.post(text, {"ref": f"t{self.number}"})
                waiting.add(asyncio.create_task(self._note(answer, text)))
                if len(waiting) >= WINDOW:
                    done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED, timeout=20)
                    assert done, f"{self.device}: no word of a message within 20 s"
        finally:
            await asyncio.gather(*waiting)

    async def _note(self, answer: asyncio.Future[int], text: str) -> None:
        try:
            msn = await answer
        except Disconnected:
            return
        except Refused as exc:
            self.refused.append(exc.code)
            return
        assert self.acknowledged.setdefault(msn, text) == text, f"MSN {msn} was given to two texts"
