"""Terminals that refuse, stall, hang, are cut off and come back: nobody else notices, and nothing is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from tests.e2e.conftest import assert_quiet
from tests.support.frame_end import Loss
from tests.support.inquirer import Inquirer
from tests.support.mtp_client import Refused
from tests.support.site import Site
from tests.support.stand_in_county import add_terminals, dispatcher, host_of, where
from tests.support.stand_in_host import SPEECHLESS, StandInHost
from tests.support.stand_in_terminal import StandInTerminal

pytestmark = pytest.mark.requirement("C-TRAFFIC")

PLATE = "IV.4.CA0990000.LIC/"
WINDOW = 6
HEARTBEAT_S = 1


@pytest.fixture(scope="module")
def terminals() -> list[StandInTerminal]:
    """The terminals of the site; filled when that is made."""
    return []


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, terminals: list[StandInTerminal]) -> Iterator[Site]:
    """A running switch with three stand-in terminals, and nobody at the other end of its lines."""
    made = Site.make(tmp_path_factory.mktemp("terminals") / "site")
    try:
        made.quick_lines()
        made.edit(
            "msc.toml",
            (r"^drain_s = \d+", "drain_s = 1"),
            (r"^heartbeat_s = \d+", f"heartbeat_s = {HEARTBEAT_S}"),
            (r"^window = \d+", f"window = {WINDOW}"),
        )
        terminals.extend(add_terminals(made, 3))
        made.serve()
        yield made
    finally:
        made.stop()
    assert_quiet(made)


@asynccontextmanager
async def three(site: Site) -> AsyncIterator[tuple[StandInHost, StandInTerminal, StandInTerminal]]:
    """Stand in for the state, for a dispatcher who behaves, and for a terminal that will not."""
    naughty = StandInTerminal("STAND000", "S00000", "stand-in of a terminal", where(site, "STAND000"), "T000")
    async with host_of(site).running() as state:
        await state.opened(30)
        async with dispatcher(site).present() as good, naughty.present():
            yield state, good, naughty


def to(mnemonic: str, text: str) -> str:
    return f"AM.CA0990000.{mnemonic}.TXT {text}"


async def events(site: Site, msn: int | None, device: str = "STAND000") -> list[str]:
    """Return what happened to a message at a device, in order."""
    (row,) = (await asyncio.to_thread(Inquirer.of(site, "admin").search, msn=msn)).items
    return [event["event"] for event in row["events"] if event["destination"] == f"device:{device}"]


async def test_a_message_refused_three_times_is_the_operators_and_the_next_is_delivered(site: Site) -> None:
    async with three(site) as (_, good, naughty):
        naughty.manner = lambda arrival: "E599" if "POISON" in arrival.text else "A"
        poison = await good.send(to("T000", "POISON"))
        harmless = await good.send(to("T000", "HARMLESS"))
        await naughty.book.arrived("HARMLESS")
        await naughty.book.arrived("POISON", 3)
        last = await good.send(to("T000", "THE LAST"))
        await naughty.book.arrived("THE LAST")
        assert [arrival.fate for arrival in naughty.book.arrivals if "POISON" in arrival.text] == ["E599"] * 3
        assert (await events(site, poison.msn))[-1] == "operator_queue"
        for message in (harmless, last):
            assert (await events(site, message.msn))[-1] == "acknowledged"


async def test_a_terminal_that_refuses_everything_leaves_nothing_behind_but_the_operators_queue(site: Site) -> None:
    async with three(site) as (_, good, naughty):
        naughty.manner = lambda _: "E599"
        sent = [await good.send(to("T000", f"REFUSED {n}")) for n in range(2 * WINDOW)]
        await naughty.book.until(lambda: len(naughty.book.arrivals) == 6 * WINDOW)
        for message in sent:
            assert sum(arrival.msn == message.msn for arrival in naughty.book.arrivals) == 3
            assert (await events(site, message.msn))[-1] == "operator_queue"
        naughty.manner = lambda _: "A"
        await good.send(to("T000", "PAPER AGAIN"))
        await naughty.book.arrived("PAPER AGAIN")


async def test_a_terminal_that_acknowledges_nothing_gets_no_more_than_its_window(site: Site) -> None:
    async with three(site) as (_, good, naughty):
        naughty.manner = lambda _: None
        sent = [await good.send(to("T000", f"STALLED {n:02}")) for n in range(3 * WINDOW)]
        await naughty.book.arrived("STALLED", WINDOW)
        asked = await good.send(PLATE + "OTHERS")
        assert (await good.book.told(asked.ref)).kind == "response", "somebody else noticed"
        assert len(naughty.book.arrivals) == WINDOW
        naughty.manner = lambda _: "A"
        naughty.release()
        await naughty.book.arrived("STALLED", 3 * WINDOW)
        assert [arrival.msn for arrival in naughty.book.arrivals] == [message.msn for message in sent]
        assert not any(arrival.flagged for arrival in naughty.book.arrivals)


@pytest.mark.parametrize("loss", list(Loss))
async def test_what_a_lost_terminal_did_not_acknowledge_comes_again_marked_and_in_order(
    site: Site, loss: Loss
) -> None:
    async with three(site) as (_, good, naughty):
        naughty.manner = lambda arrival: "A" if arrival.text.endswith(("00", "01")) else None
        sent = [await good.send(to("T000", f"LOST {loss.name} {n:02}")) for n in range(2 * WINDOW)]
        await naughty.book.arrived("LOST", 2 + WINDOW)
        await naughty.go(loss)
        late = await good.send(to("T000", "LOST MEANWHILE"))
        naughty.manner = lambda _: "A"
        await naughty.come_back()
        await naughty.book.arrived(lambda arrival: arrival.msn == late.msn)
        again = [arrival for arrival in naughty.book.arrivals if arrival.connection == naughty.connection.number]
        assert [arrival.msn for arrival in again] == [message.msn for message in [*sent[2:], late]]
        assert [arrival.flagged for arrival in again] == [True] * WINDOW + [False] * (WINDOW - 2 + 1)


async def test_a_terminal_is_let_in_again_when_its_old_connection_is_given_up(site: Site) -> None:
    async with three(site) as (_, good, naughty):
        naughty.manner = lambda _: None
        sent = [await good.send(to("T000", f"TAKEN OVER {n}")) for n in range(3)]
        await naughty.book.arrived("TAKEN OVER", 3)
        await naughty.go(Loss.SILENT)
        with pytest.raises(Refused, match="E107"):
            await naughty.come()
        naughty.manner = lambda _: "A"
        await naughty.come_back(4 * HEARTBEAT_S)
        for message in sent:
            again = await naughty.book.arrived(lambda a, m=message.msn: a.msn == m, 2)  # type: ignore[misc]
            assert again.connection == naughty.connection.number and again.flagged


async def test_answers_wait_for_a_terminal_that_left_after_asking(site: Site) -> None:
    async with three(site) as (state, _, naughty):
        state.conduct = SPEECHLESS
        sent = await naughty.send(PLATE + "WAITING")
        asked = await state.book.taken_with("WAITING")
        await naughty.go(Loss.RESET)
        told = await state.answer(asked, "KEPT FOR YOU")
        assert told.msn is not None
        await naughty.come_back()
        answer = await naughty.book.told(sent.ref)
        assert (answer.text, answer.flagged) == ("KEPT FOR YOU", False)
        assert answer.envelope["transaction"] == sent.msn and "reply_to" not in answer.envelope


async def test_a_terminal_cut_off_before_its_acknowledgement_can_tell_by_the_answer(site: Site) -> None:
    """Whether the switch took it over, a terminal that was cut off does not know; what it took over, it answers."""
    async with three(site) as (_, _, naughty):
        sent = [naughty.post(PLATE + f"CUT{n:02}") for n in range(WINDOW)]
        await naughty.book.until(lambda: sent[0].msn is not None)
        await naughty.go(Loss.RESET)
        await naughty.come_back()
        for message in sent:
            if message.msn is not None:
                assert (await naughty.book.told(message.ref)).text == f"ANSWER TO {message.text}"
        fresh = await naughty.send(PLATE + "CUTOVER")
        await naughty.book.told(fresh.ref)
        answered = [a.envelope["ref"] for a in naughty.book.arrivals if a.kind == "response" and not a.flagged]
        assert len(set(answered)) == len(answered)


async def test_many_terminals_that_come_and_go_at_once_are_all_let_in(
    site: Site, terminals: list[StandInTerminal]
) -> None:
    async def restless(terminal: StandInTerminal) -> None:
        for loss in (Loss.RESET, Loss.CLOSED) * 3:
            await terminal.come_back()
            await terminal.send(to("EXA1", "HERE I AM"))
            await terminal.go(loss)

    async with dispatcher(site).present() as good:
        async with asyncio.timeout(20):
            await asyncio.gather(*(restless(terminal) for terminal in terminals))
        await good.book.arrived("HERE I AM", 6 * len(terminals))
