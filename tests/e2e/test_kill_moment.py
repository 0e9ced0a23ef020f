"""Killed in the very moment something happens: the other end kills the switch from within its own reaction to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from tests.e2e.conftest import assert_quiet
from tests.support.inquirer import Inquirer
from tests.support.mtp_client import Disconnected
from tests.support.site import Process, Site
from tests.support.stand_in_county import PASSWORD, add_terminals, dispatcher, host_of, where
from tests.support.stand_in_host import GOOD, SPEECHLESS, Conduct, StandInHost, Taken
from tests.support.stand_in_terminal import Arrival, StandInTerminal

pytestmark = pytest.mark.requirement("C-TRAFFIC", "C-JOURNAL")

PLATE = "IV.4.CA0990000.LIC/"
ENTRY = "IA.EV.CA0990000.LIC/{}.OCA/26-1.DTE/20260101"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site with a stand-in terminal. Each test finds a switch that runs, kills it, and leaves the next one."""
    made = Site.make(tmp_path_factory.mktemp("moment") / "site")
    try:
        made.quick_lines()
        made.answer_time("IM.QM", 1)
        add_terminals(made, 1)
        yield made
    finally:
        made.stop()
    assert_quiet(made)


class Scene:
    """A switch, the state and two terminals.

    Attributes:
        killed: Whether the switch was killed.
    """

    def __init__(self, site: Site, switch: Process, state: StandInHost, terminals: list[StandInTerminal]) -> None:
        self.site, self.switch, self.state = site, switch, state
        self.asker, self.other = terminals
        self.killed = False

    def kill(self) -> None:
        """Kill the switch now; a second time nothing happens."""
        if not self.killed:
            self.killed = True
            self.switch.popen.kill()

    async def again(self) -> None:
        """Start the switch again, with everybody back."""
        assert self.killed, "the moment never came"
        await asyncio.to_thread(self.switch.kill)
        self.switch = await asyncio.to_thread(self.site.serve)
        await self.state.opened(30)
        await self.asker.come_back()
        await self.other.come_back()

    async def row(self, msn: int) -> dict[str, object]:
        """Return a message of the journal."""
        (row,) = (await asyncio.to_thread(Inquirer.of(self.site, "admin").search, msn=msn)).items
        return row


@asynccontextmanager
async def scene(site: Site) -> AsyncIterator[Scene]:
    """Set the scene."""
    terminals = [dispatcher(site), StandInTerminal("STAND000", "S00000", PASSWORD, where(site, "STAND000"))]
    async with host_of(site).running() as state:
        switch = site.processes[-1] if site.is_served else await asyncio.to_thread(site.serve)
        await state.opened(30)
        async with terminals[0].present(), terminals[1].present():
            yield Scene(site, switch, state, terminals)


async def test_what_was_delivered_in_that_moment_comes_again_marked(site: Site) -> None:
    """Even if that it was sent never reached the journal."""
    async with scene(site) as made:

        def kill_and_print(arrival: Arrival) -> str:
            if "IN THAT MOMENT" in arrival.text:
                made.kill()
            return "A"

        made.other.manner = kill_and_print
        sent = await made.asker.send("AM.CA0990000.T000.TXT IN THAT MOMENT")
        first = await made.other.book.arrived("IN THAT MOMENT")
        await made.again()
        if sent.msn is not None and not await acknowledged(made, sent.msn):
            again = await made.other.book.arrived("IN THAT MOMENT", 2)
            assert again.msn == first.msn and again.flagged


async def acknowledged(made: Scene, msn: int) -> bool:
    events = (await made.row(msn))["events"]
    assert isinstance(events, list)
    seen = [event["event"] for event in events if event["destination"] == "device:STAND000"]
    # The second delivery may have been acknowledged by now; whether there was one, the journal says too.
    return seen.count("sent") <= 1 and seen[-1:] == ["acknowledged"] and len(made.other.book.arrivals) == 1


async def test_an_update_the_state_got_in_that_moment_is_never_sent_again(site: Site) -> None:
    async with scene(site) as made:
        made.state.conduct = lambda _: (made.kill(), GOOD)[1]
        text = ENTRY.format("MOMENT")
        sent = made.asker.post(text)
        await made.state.book.taken_with("MOMENT")
        await made.asker.book.until(lambda: made.asker.room == 0)
        made.state.conduct = GOOD
        await made.again()
        told = await made.asker.book.told(sent.ref)
        # The state's answer may have been first, or the word that the outcome is unknown; both come.
        if told.kind == "status":
            assert told.text.startswith("E404 ")
            told = await made.asker.book.told(sent.ref, 2)
        assert told.text == f"ANSWER TO {text}"
        assert made.state.book.count("MOMENT") == 1


async def test_an_inquiry_the_state_got_in_that_moment_is_asked_again(site: Site) -> None:
    async with scene(site) as made:
        made.state.conduct = lambda _: (made.kill(), SPEECHLESS)[1]
        sent = made.asker.post(PLATE + "ASKED")
        first = await made.state.book.taken_with("ASKED")
        await made.asker.book.until(lambda: made.asker.room == 0)
        made.state.conduct = GOOD
        await made.again()
        again = await made.state.book.taken_with("ASKED", 2)
        assert again.raw == first.raw
        assert (await made.asker.book.told(sent.ref)).text == f"ANSWER TO {PLATE}ASKED"


async def test_an_answer_given_in_that_moment_is_not_lost(site: Site) -> None:
    """Whether the switch had it or not: it comes, and whatever comes twice is marked."""
    async with scene(site) as made:

        def answer_and_kill(message: Taken) -> Conduct:
            connection = made.state.open_connection
            assert connection is not None
            connection.settle(message)
            connection.tell(f"{message.header}.ONLY ONCE".encode())
            asyncio.get_running_loop().call_later(0.004, made.kill)
            return Conduct(answers=0)

        made.state.conduct = answer_and_kill
        sent = made.asker.post(PLATE + "ANSWERED")
        await made.asker.book.until(lambda: made.asker.room == 0)
        made.state.conduct = SPEECHLESS
        await made.again()
        await made.asker.book.told(sent.ref)
        last = await made.asker.send(PLATE + "LASTASKED")
        await made.state.answer(await made.state.book.taken_with("LASTASKED"), "THE END")
        await made.asker.book.told(last.ref)
        came = [arrival for arrival in made.asker.book.arrivals if arrival.text == "ONLY ONCE"]
        assert came and all(arrival.flagged for arrival in came[1:]), came


async def test_what_was_acknowledged_in_that_moment_ends(site: Site) -> None:
    async with scene(site) as made:
        made.state.conduct = SPEECHLESS
        asked = [made.asker.post(f"{PLATE}ACKED{n}") for n in range(20)]
        asked += [made.asker.post(ENTRY.format(f"ACKED{n}")) for n in range(10)]
        await made.asker.book.until(lambda: made.asker.acknowledged)
        made.kill()
        await made.asker.book.until(lambda: made.asker.room == 0)
        made.state.conduct = GOOD
        await made.again()
        for sent in asked:
            if sent.msn is not None:
                assert (await made.row(sent.msn))["text"] == sent.text
                assert (await made.asker.book.told(sent.ref)).kind in ("response", "status")


async def test_nobody_is_told_of_what_was_cut_off_before_it_was_journaled(site: Site) -> None:
    async with scene(site) as made:
        sent = made.asker.post(PLATE + "TOOEARLY")
        made.kill()
        with pytest.raises(Disconnected):
            await made.asker.connection.control("never")  # type: ignore[union-attr]
        await made.again()
        last = await made.asker.send(PLATE + "AFTERALL")
        await made.asker.book.told(last.ref)
        taken = made.state.book.count("TOOEARLY")
        heard = [arrival for arrival in made.asker.book.arrivals if arrival.envelope.get("ref") == sent.ref]
        assert bool(taken) == bool(heard)


async def test_an_answer_is_late_even_if_it_was_given_up_before_the_kill(site: Site) -> None:
    async with scene(site) as made:
        made.state.conduct = SPEECHLESS
        sent = await made.asker.send("IM.QM.CA0990000.NAM/GIVEN,UP")
        assert (await made.asker.book.told(sent.ref)).text.startswith("E403 ")
        made.kill()
        await made.asker.book.until(lambda: made.asker.room == 0)
        await made.again()
        await made.state.answer(await made.state.book.taken_with("GIVEN,UP"), "AT LAST")
        late = await made.asker.book.arrived("AT LAST")
        assert late.kind == "response" and late.envelope.get("late") is True
