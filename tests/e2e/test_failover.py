"""A line with a backup: traffic goes on within seconds of a loss, returns, and nothing is lost or out of order.

`make bench-failover` runs the long form: `MSC_FAILOVER_CUTS` losses of the primary, and the times written to
`MSC_FAILOVER_RESULTS`.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest

from tests.e2e.conftest import assert_quiet
from tests.support.campaign import BACKUP, FAILBACK_S, LINES, Campaign, Plan
from tests.support.campaign_verdict import figures, judge
from tests.support.frame_end import Loss
from tests.support.mtp_client import TIMEOUT_S
from tests.support.site import Process, Site
from tests.support.stand_in_county import add_backup, dispatcher, edit_lines, host_of
from tests.support.stand_in_host import GOOD, Conduct, StandInHost, StateBook
from tests.support.stand_in_terminal import StandInTerminal

pytestmark = pytest.mark.requirement("C-TRAFFIC", "C-HDR")

CUTS = int(os.environ.get("MSC_FAILOVER_CUTS", "3"))
RESULTS = os.environ.get("MSC_FAILOVER_RESULTS")
PRIMARY = LINES[0]
PLATE = "IV.4.CA0990000.LIC/"
ENTRY = "IA.EV.CA0990000.LIC/{}.OCA/26-1.DTE/20260101"
TRAFFIC = 30
"""Messages that the primary must have carried before it is cut again."""


class Losses(Campaign):
    """Only the primary is lost, again and again, under the traffic of terminals and states that behave.

    Attributes:
        over: Seconds from a loss to the first message on the backup, by the kind of loss.
        back: Seconds from the primary's opening to the first message on it.
    """

    over: dict[Loss, list[float]]
    back: list[float]

    async def trouble(self, switch: Process) -> Process:
        self.over, self.back = {loss: [] for loss in Loss}, []
        host, book = self.hosts[PRIMARY], self.books[PRIMARY]
        for number in range(CUTS):
            await book.until(lambda: self._carried(PRIMARY, TRAFFIC), 30)
            loss = tuple(Loss)[number % len(Loss)]
            began = asyncio.get_running_loop().time()
            host.die(loss)
            await book.until(lambda at=began: book.taken[-1].line == BACKUP and book.taken[-1].at > at, 30)  # type: ignore[misc]
            self.over[loss].append(next(m.at for m in book.taken if m.line == BACKUP and m.at > began) - began)
            await book.until(lambda: self._carried(BACKUP, TRAFFIC), 30)
            await host.come_back()
            await host.opened(30)
            opened = next(at for at, name in reversed(book.opened) if name == PRIMARY)
            await book.until(lambda: book.taken[-1].line == PRIMARY, 30)
            self.back.append(next(m.at for m in book.taken if m.line == PRIMARY and m.at > opened) - opened)
        self.enough()
        return switch

    def _carried(self, line: str, count: int) -> bool:
        latest = self.books[PRIMARY].taken[-count:]
        return len(latest) == count and all(message.line == line for message in latest)


@pytest.fixture
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site.make(tmp_path_factory.mktemp("failover") / "site")
    try:
        yield made
    finally:
        made.stop()


def p50_and_max(seconds: list[float]) -> dict[str, float]:
    return {"p50": round(median(seconds), 4), "max": round(max(seconds), 4)}


async def test_traffic_goes_over_to_the_backup_and_back_without_loss_or_disorder(site: Site) -> None:
    plan = Plan(messages=10_000_000, terminals=4, kills=0, cuts=CUTS, seconds=60 + 10 * CUTS)
    losses = Losses(site, plan, conduct=GOOD)
    losses.prepare()
    await losses.run()
    evidence = losses.evidence()
    told = figures(evidence)
    times = {loss.value: sorted(found) for loss, found in losses.over.items() if found}
    report = {
        "losses": len(losses.back),
        "messages a second": round(told["acknowledged"] / losses.seconds),
        "failback_s": FAILBACK_S,
        "heartbeat_s": 1,
        "over, s": {
            kind: {"p50": round(median(found), 4), "max": round(found[-1], 4)} for kind, found in times.items()
        },
        "back, s": {"p50": round(median(losses.back), 4), "max": round(max(losses.back), 4)},
        "figures": told,
    }
    print("\n" + json.dumps(report, indent=2))
    if RESULTS:
        Path(RESULTS).write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    breaches = judge(evidence)
    assert not breaches, breaches
    assert "told E401" not in told, "the backup was there all the time"
    for loss, found in losses.over.items():
        # A line whose machine hangs is noticed by its heartbeat: two unanswered, which is three seconds here.
        assert all(seconds < (5 if loss is Loss.SILENT else 2) for seconds in found), times
    assert all(FAILBACK_S <= seconds < FAILBACK_S + 2 for seconds in losses.back), losses.back
    assert_quiet(site)


@pytest.fixture
def served(site: Site) -> Site:
    """A running switch with a backup for the state's line."""
    add_backup(site, PRIMARY, BACKUP, FAILBACK_S)
    site.quick_lines()
    edit_lines(site, heartbeat_s=1, ack_s=2)
    site.answer_time("IM.QM", 1)
    site.edit("msc.toml", (r"^drain_s = \d+", "drain_s = 1"))
    site.serve()
    return site


async def asked_on(state: StandInHost, terminal: StandInTerminal, plate: str) -> str:
    """Ask, and return the line that carried it."""
    sent = await terminal.send(PLATE + plate)
    assert (await terminal.book.told(sent.ref)).text == f"ANSWER TO {PLATE}{plate}"
    return (await state.book.taken_with(plate)).line


async def test_one_state_on_two_lines(served: Site) -> None:
    """What a primary had not acknowledged, what its backup does not answer, and what both never see."""
    book = StateBook()
    async with host_of(served, PRIMARY, book).running() as primary, host_of(served, BACKUP, book).running() as backup:
        await primary.opened(30)
        await backup.opened(30)
        async with dispatcher(served).present() as terminal:
            assert await asked_on(primary, terminal, "ATFIRST") in (PRIMARY, BACKUP)
            await book.until(lambda: True)
            # The primary is lost with messages on it: inquiries at once on the backup, updates never.
            while await asked_on(primary, terminal, f"N{len(book.taken):05}") != PRIMARY:
                await asyncio.sleep(0.05)
            primary.conduct = Conduct(acknowledge=False, answers=0)
            asked = [await terminal.send(f"{PLATE}MOVED{n}") for n in range(5)]
            entered = await terminal.send(ENTRY.format("STAYS"))
            await book.taken_with("STAYS")
            primary.die(Loss.RESET)
            for sent in asked:
                assert (await terminal.book.told(sent.ref)).kind == "response"
            assert (await terminal.book.told(entered.ref)).text.startswith("E404 ")
            assert book.count("STAYS") == 1
            moved = [message for message in book.taken if "MOVED" in message.raw and message.line == BACKUP]
            assert [message.text for message in moved] == [sent.text for sent in asked]
            # An answer may come on the other line.
            backup.conduct = Conduct(answers=0)
            primary.conduct = GOOD
            other = await terminal.send(f"{PLATE}CROSSED")
            message = await book.taken_with("CROSSED")
            await primary.come_back()
            await primary.opened(TIMEOUT_S)
            await primary.answer(message, "BY THE OTHER WAY")
            assert (await terminal.book.told(other.ref)).text == "BY THE OTHER WAY"
            backup.conduct = GOOD
            # Both are lost: nobody waits for nothing.
            primary.die(Loss.RESET)
            backup.die(Loss.RESET)
            await book.until(lambda: not primary.connections and not backup.connections)
            nowhere = await terminal.send(f"{PLATE}NOWHERE")
            told = await terminal.book.told(nowhere.ref)
            assert told.text.startswith("E401 ") and book.count("NOWHERE") == 0
            # The backup alone comes back, and carries.
            await backup.come_back()
            await backup.opened(TIMEOUT_S)
            assert await asked_on(backup, terminal, "ALONE") == BACKUP
    assert_quiet(served)


async def test_a_backup_that_takes_nothing_over_does_not_keep_traffic_from_the_primary(served: Site) -> None:
    """Traffic returns when the backup is empty, or is lost because it never says that it is."""
    book = StateBook()
    async with host_of(served, PRIMARY, book).running() as primary, host_of(served, BACKUP, book).running() as backup:
        await backup.opened(30)
        await primary.opened(30)
        async with dispatcher(served).present() as terminal:
            primary.die(Loss.RESET)
            backup.conduct = Conduct(acknowledge=False, answers=0)
            stuck = await terminal.send("IM.QM.CA0990000.NAM/STUCK,HERE")
            await book.taken_with("STUCK,HERE")
            await primary.come_back()
            await primary.opened(TIMEOUT_S)
            assert (await terminal.book.told(stuck.ref)).text.startswith("E403 ")
            async with asyncio.timeout(10):
                while True:
                    sent = await terminal.send(f"{PLATE}X{len(terminal.book.sent):05}")
                    told = await terminal.book.told(sent.ref)
                    if told.kind == "response":
                        break
    assert_quiet(served)
