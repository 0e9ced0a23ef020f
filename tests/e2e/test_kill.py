"""Killed with -9 in the middle of traffic, again and again: what was acknowledged is never lost.

`MSC_KILL_ROUNDS=20` runs the long form.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from tests.support.mtp_client import Delivery, Disconnected, Refused, Station
from tests.support.site import Process, Site

ROUNDS = int(os.environ.get("MSC_KILL_ROUNDS", "2"))
TRAFFIC_S = 0.4
WINDOW = 8
UNACKNOWLEDGED = 10
"""Deliveries a terminal leaves unacknowledged; fewer than the window, or the switch would fall silent."""
TERMINALS = {
    "DISPATCH1": ("J40217", "CA0990000"),
    "RECORDS1": ("P50110", "CA0990100"),
    "MOBILE1": ("D10002", "CA0990000"),
}


@dataclass
class Ledger:
    """What one terminal knows for certain, across all rounds."""

    device: str
    sent: dict[str, str] = field(default_factory=dict)
    """Text by ref, acknowledged or not."""
    acknowledged: dict[int, str] = field(default_factory=dict)
    """Text by MSN."""
    received: dict[int, Delivery] = field(default_factory=dict)
    """Deliveries by MSN."""
    owed: set[int] = field(default_factory=set)
    """MSNs of deliveries received and not acknowledged by us on the connection that was killed."""

    def note_delivery(self, delivery: Delivery) -> None:
        msn = delivery.envelope["msn"]
        before = self.received.setdefault(msn, delivery)
        assert before.text == delivery.text, f"MSN {msn} was delivered with two texts"
        assert msn not in self.acknowledged, f"MSN {msn} names a message sent and one received"


@pytest.fixture
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site.make(tmp_path_factory.mktemp("kill") / "site")
    try:
        made.quick_lines()
        made.answer_time("IV.4", 2)
        yield made
    finally:
        made.stop()


async def talk(site: Site, ledger: Ledger, round_number: int, killed: asyncio.Event) -> None:
    """Sign on and send without pause until the connection breaks; acknowledge every other delivery."""
    user, ori = TERMINALS[ledger.device]
    station = Station(await site.wire(ledger.device), auto_ack=False)
    taken: set[int] = set()
    try:
        await station.greeted()
        told = await station.sign_on(user, site.user(user)["password"])
        if told["pooled"] is False:
            assert told["undelivered"] >= len(ledger.owed), (told, ledger.owed)
        handler = asyncio.create_task(take(station, ledger, taken))
        number, waiting = 0, set()
        while not killed.is_set():
            number += 1
            ref = f"{ledger.device}-{round_number}-{number}"
            text = f"IV.4.{ori}.LIC/{ledger.device[0]}{round_number:02}{number:06}"
            ledger.sent[ref] = text
            waiting.add(asyncio.create_task(note(await station.post(text, {"ref": ref}), ledger, text)))
            while len(waiting) >= WINDOW:
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED, timeout=10)
                assert done, f"{ledger.device}: no acknowledgement within 10 s"
    except Disconnected:
        pass
    finally:
        with contextlib.suppress(TimeoutError):
            await station.ended(5)
        await asyncio.gather(*waiting)
        await handler
        await station.abort()
    if told["pooled"] is False:
        again = {d.envelope["msn"]: d for d in station.deliveries}
        for msn in ledger.owed:
            assert msn in again, f"MSN {msn} was not delivered again to {ledger.device}"
            assert again[msn].envelope.get("possible_duplicate") is True, again[msn]
        ledger.owed = {msn for msn in again if msn not in taken}


async def note(answer: asyncio.Future[int], ledger: Ledger, text: str) -> None:
    """Note an acknowledgement."""
    with contextlib.suppress(Disconnected):
        msn = await answer
        assert ledger.acknowledged.setdefault(msn, text) == text, f"MSN {msn} was given to two texts"


async def take(station: Station, ledger: Ledger, taken: set[int]) -> None:
    """Take deliveries in; acknowledge most, so that some are owed when the switch dies and traffic still flows."""
    with contextlib.suppress(Disconnected):
        while True:
            delivery = await station.receive(timeout_s=60)
            ledger.note_delivery(delivery)
            if len(station.deliveries) - len(taken) > UNACKNOWLEDGED or delivery.envelope["msn"] % 16:
                await station.ack(delivery)
                taken.add(delivery.envelope["msn"])


async def one_round(site: Site, process: Process, ledgers: list[Ledger], round_number: int) -> None:
    killed = asyncio.Event()
    talks = [asyncio.create_task(talk(site, ledger, round_number, killed)) for ledger in ledgers]
    before = [len(ledger.acknowledged) for ledger in ledgers]
    async with asyncio.timeout(20):
        # Each of them: on a busy machine one may still be signing on when the others have sent their part.
        while any(len(ledger.acknowledged) < had + WINDOW for ledger, had in zip(ledgers, before, strict=True)):
            assert not any(task.done() and task.exception() for task in talks), [t for t in talks if t.done()]
            await asyncio.sleep(0.01)
    await asyncio.sleep(TRAFFIC_S)  # traffic, not waiting
    process.popen.kill()
    killed.set()
    async with asyncio.timeout(30):
        await asyncio.gather(*talks)
    process.kill()


@pytest.mark.requirement("C-TRAFFIC", "C-JOURNAL")
async def test_nothing_acknowledged_is_lost_when_the_switch_is_killed_again_and_again(site: Site) -> None:
    site.simulate()
    ledgers = [Ledger(device) for device in TERMINALS]
    for round_number in range(ROUNDS):
        process = await asyncio.to_thread(site.serve)
        await asyncio.to_thread(site.wait_lines)
        await one_round(site, process, ledgers, round_number)
    last = await asyncio.to_thread(site.serve)
    await asyncio.to_thread(site.wait_lines)

    # What is still owed comes now, marked; and every inquiry ends, in an answer or in a word about it.
    for ledger in ledgers:
        user = TERMINALS[ledger.device][0]
        async with site.station(ledger.device) as station:
            told = await station.sign_on(user, site.user(user)["password"])
            if told["pooled"] is False:
                for msn in sorted(ledger.owed):
                    again = await station.receive(lambda d, msn=msn: d.envelope["msn"] == msn)
                    assert again.envelope["possible_duplicate"] is True
                    assert again.text == ledger.received[msn].text
            for delivery in station.deliveries:
                ledger.note_delivery(delivery)
            with contextlib.suppress(Refused):
                await station.send("IV.4.CA0990000.LIC/ALIVE1")
            await station.sign_off()

    acknowledged = {msn: text for ledger in ledgers for msn, text in ledger.acknowledged.items()}
    assert len(acknowledged) == sum(len(ledger.acknowledged) for ledger in ledgers), "an MSN was given twice"
    assert len(acknowledged) > ROUNDS * 3 * WINDOW

    def unended(rows: list[dict[str, object]]) -> set[int]:
        return set(acknowledged) - {
            int(str(row["transaction"])) for row in rows if row["kind"] in ("response", "status")
        }

    for _ in range(20):
        rows = await asyncio.to_thread(site.journal)
        if not unended(rows):
            break
    by_msn = {row["msn"]: row for row in rows}
    assert len(by_msn) == len(rows), "an MSN stands twice in the journal"
    lost = [msn for msn in acknowledged if msn not in by_msn]
    assert not lost, f"{len(lost)} of {len(acknowledged)} acknowledged messages are not in the journal: {lost[:5]}"
    changed = {msn for msn, text in acknowledged.items() if by_msn[msn]["text"] != text}
    assert not changed
    delivered = {msn: d for ledger in ledgers for msn, d in ledger.received.items()}
    assert not [msn for msn, d in delivered.items() if not str(by_msn[msn]["text"]).endswith(d.text)]
    assert not unended(rows), (
        f"{len(unended(rows))} of {len(acknowledged)} inquiries never ended: {sorted(unended(rows))[:5]}"
    )
    print(f"{len(acknowledged)} acknowledged, {len(delivered)} delivered, {ROUNDS} kills")
    last.terminate()
    assert await asyncio.to_thread(last.wait) == 0
    for process in site.processes:
        assert "Traceback" not in process.output, process.output
