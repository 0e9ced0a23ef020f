"""A state that dies, stalls, answers twice, late, out of order, to the wrong header and garbled, refuses, returns.

Each misbehaviour alone, and what the switch promises about it: every message ends, and its originator knows how.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from tests.e2e.conftest import assert_quiet
from tests.support.frame_end import Loss
from tests.support.inquirer import Inquirer
from tests.support.mtp_client import frame
from tests.support.site import Site
from tests.support.stand_in_county import dispatcher, edit_lines, host_of
from tests.support.stand_in_host import GARBLES, GOOD, SPEECHLESS, Conduct, StandInHost, StateBook, Taken
from tests.support.stand_in_terminal import StandInTerminal

pytestmark = pytest.mark.requirement("C-TRAFFIC", "C-HDR")

PLATE = "IV.4.CA0990000.LIC/"
MISSING = "IM.QM.CA0990000.NAM/"
"""Answered within a second, or not at all."""
ENTRY = "IA.EV.CA0990000.LIC/{}.OCA/26-1.DTE/20260101"
HEARTBEAT_S = 1
ACK_S = 3
"""How long the state may leave a message without an acknowledgement."""
SMALL = 8
"""A window that is soon full."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A running switch with nobody at the other end of its lines."""
    made = Site.make(tmp_path_factory.mktemp("state") / "site")
    try:
        made.quick_lines()
        edit_lines(made, heartbeat_s=HEARTBEAT_S, ack_s=ACK_S)
        made.answer_time("IM.QM", 1)
        made.edit("msc.toml", (r"^drain_s = \d+", "drain_s = 1"))
        made.serve()
        yield made
    finally:
        made.stop()
    assert_quiet(made)


@asynccontextmanager
async def both(site: Site, **members: Any) -> AsyncIterator[tuple[StandInHost, StandInTerminal]]:
    """Stand in for the state, with the line open, and for the dispatcher."""
    async with host_of(site, **members).running() as state:
        await state.opened(30)
        async with dispatcher(site).present() as terminal:
            yield state, terminal


async def goes_on(state: StandInHost, terminal: StandInTerminal, plate: str) -> None:
    """Check that the line carries an inquiry and its answer."""
    state.conduct = GOOD
    sent = await terminal.send(PLATE + plate)
    told = await terminal.book.told(sent.ref)
    assert (told.kind, told.text) == ("response", f"ANSWER TO {PLATE}{plate}")


async def life(site: Site, msn: int | None) -> set[str]:
    """Return the events of a message."""
    return {event for event, _ in await happened(site, msn)}


async def happened(site: Site, msn: int | None) -> set[tuple[str, str | None]]:
    """Return the events of a message, and where each was."""
    (row,) = (await asyncio.to_thread(Inquirer.of(site, "admin").search, msn=msn)).items
    return {(event["event"], event.get("destination")) for event in row["events"]}


@pytest.mark.parametrize("loss", list(Loss))
async def test_a_state_that_dies_gets_inquiries_again_and_updates_never(site: Site, loss: Loss) -> None:
    async with both(site) as (state, terminal):
        state.conduct = Conduct(acknowledge=False, answers=0)
        asked = await terminal.send(f"{PLATE}DIE{loss.name}")
        entered = await terminal.send(ENTRY.format(f"ENT{loss.name}"))
        await state.book.taken_with(f"ENT{loss.name}")
        state.die(loss)
        unsure = await terminal.book.told(entered.ref)
        assert unsure.kind == "status" and unsure.text.startswith("E404 ")
        # While it is away nobody is left waiting.
        away = await terminal.send(f"{PLATE}AWY{loss.name}")
        assert (await terminal.book.told(away.ref)).text.startswith("E401 ")
        state.conduct = GOOD
        await state.come_back()
        answer = await terminal.book.told(asked.ref)
        assert (answer.kind, answer.text) == ("response", f"ANSWER TO {asked.text}")
        first, again = [taken for taken in state.book.taken if f"DIE{loss.name}" in taken.raw]
        assert first.raw == again.raw and first.connection != again.connection
        await goes_on(state, terminal, f"AFT{loss.name}")
        assert state.book.count(f"ENT{loss.name}") == 1
        assert state.book.count(f"AWY{loss.name}") == 0, "not sent, it was said"


async def test_a_state_that_takes_nothing_over_leaves_nobody_without_a_word(site: Site) -> None:
    """It reads and answers pings, and acknowledges nothing: past its window nothing is sent, and all is told."""
    async with both(site, window=SMALL) as (state, terminal):
        state.conduct = Conduct(acknowledge=False, answers=0)
        asked = [await terminal.send(f"{MISSING}STALL,N{chr(65 + n)}") for n in range(2 * SMALL)]
        told = [await terminal.book.told(sent.ref) for sent in asked]
        codes = [arrival.text[:4] for arrival in told]
        assert codes == ["E403"] * SMALL + ["E401"] * SMALL
        assert state.book.count("STALL") == SMALL
        state.release()
        await goes_on(state, terminal, "STALLEND")
        assert state.book.count("STALL") == SMALL + 1, "what was said not to be sent was sent"


async def test_a_state_that_stalls_for_long_is_cut_off_and_originators_are_told(site: Site) -> None:
    async with both(site) as (state, terminal):
        state.conduct = Conduct(acknowledge=False, answers=0)
        asked = await terminal.send(f"{PLATE}FORLONG")
        entered = await terminal.send(ENTRY.format("FORLONG"))
        await state.book.until(lambda: state.book.count("FORLONG") == 2)
        state.conduct = GOOD
        told = await terminal.book.told(entered.ref)
        assert told.kind == "status" and told.text.startswith("E404 ")
        answer = await terminal.book.told(asked.ref)
        assert (answer.kind, answer.text) == ("response", f"ANSWER TO {asked.text}")
        assert [taken.text for taken in state.book.taken] == [asked.text, entered.text, asked.text]
        assert len(state.book.opened) == 2


async def test_a_state_that_stalls_for_a_moment_is_sent_the_rest_in_order(site: Site) -> None:
    async with both(site, window=SMALL) as (state, terminal):
        state.conduct = Conduct(acknowledge=False)
        asked = [await terminal.send(f"{PLATE}MOMENT{n:02}") for n in range(3 * SMALL)]
        await state.book.until(lambda: state.book.count("MOMENT") == SMALL)
        state.conduct = GOOD
        state.release()
        for sent in asked:
            assert (await terminal.book.told(sent.ref)).kind == "response"
        seen = [taken.text for taken in state.book.taken if "MOMENT" in taken.raw]
        assert seen == [sent.text for sent in asked]


async def test_the_second_copy_of_an_answer_is_marked(site: Site) -> None:
    async with both(site) as (state, terminal):
        state.conduct = Conduct(answers=2)
        sent = await terminal.send(f"{PLATE}TWICE")
        first, second = await terminal.book.told(sent.ref), await terminal.book.told(sent.ref, 2)
        assert first.text == second.text and first.msn != second.msn
        assert not first.flagged
        assert second.flagged


async def test_two_answers_that_differ_are_both_new(site: Site) -> None:
    async with both(site, reply=lambda m: [f"PART 1 OF {m.text}", f"PART 2 OF {m.text}"]) as (_, terminal):
        sent = await terminal.send(f"{PLATE}PARTS")
        first, second = await terminal.book.told(sent.ref), await terminal.book.told(sent.ref, 2)
        assert [first.text[:6], second.text[:6]] == ["PART 1", "PART 2"]
        assert not first.flagged and not second.flagged


async def test_a_late_answer_is_delivered_after_e403_and_marked(site: Site) -> None:
    async with both(site) as (state, terminal):
        state.conduct = SPEECHLESS
        sent = await terminal.send(f"{MISSING}LATE,ONE")
        expired = await terminal.book.told(sent.ref)
        assert expired.kind == "status" and expired.text.startswith("E403 clets-a ")
        await state.answer(await state.book.taken_with("LATE,ONE"), "HERE AFTER ALL")
        late = await terminal.book.told(sent.ref, 2)
        assert (late.kind, late.text) == ("response", "HERE AFTER ALL")
        assert late.envelope["transaction"] == sent.msn and late.envelope["late"] is True
        assert await life(site, sent.msn) >= {"expired", "answered"}


async def test_answers_out_of_order_find_their_inquiries(site: Site) -> None:
    async with both(site) as (state, terminal):
        state.conduct = Conduct(shuffle=12)
        asked = [await terminal.send(f"{PLATE}SHUFFLE{n}") for n in range(12)]
        for sent in asked:
            assert (await terminal.book.told(sent.ref)).text == f"ANSWER TO {sent.text}"
        order = [arrival.text for arrival in terminal.book.arrivals]
        assert order == [f"ANSWER TO {sent.text}" for sent in reversed(asked)]


async def test_an_answer_to_a_header_of_nobody_is_the_operators(site: Site) -> None:
    async with both(site) as (state, terminal):
        state.conduct = Conduct(header=lambda _: "ZZZZ00009Z")
        sent = await terminal.send(f"{MISSING}WRONG,HEADER")
        assert (await terminal.book.told(sent.ref)).text.startswith("E403 ")
        told = next(told for told in state.book.told if told.payload.startswith(b"ZZZZ"))
        await state.book.until(lambda: told.msn is not None)
        assert "operator_queue" in await life(site, told.msn)
        assert not [arrival for arrival in terminal.book.arrivals if arrival.kind != "status"]
        await goes_on(state, terminal, "RIGHTHEAD")


async def test_an_answer_to_a_header_that_was_never_given_out_is_unsolicited(site: Site) -> None:
    async with both(site) as (state, terminal):
        state.conduct = Conduct(header=lambda message: message.header[:4] + "ZZZZZY")
        sent = await terminal.send(f"{MISSING}NEVER,GIVEN")
        # Of this one: the terminal may still be given what an earlier test left behind.
        stray = await terminal.book.arrived(f"ANSWER TO {sent.text}")
        assert stray.kind == "unsolicited" and stray.envelope.get("ref") is None
        assert (await terminal.book.told(sent.ref)).text.startswith("E403 ")


@pytest.mark.parametrize("garble", sorted(GARBLES))
async def test_what_is_garbled_is_refused_or_kept_and_the_line_goes_on(site: Site, garble: str) -> None:
    async with both(site) as (state, terminal):
        state.conduct = Conduct(garble=GARBLES[garble])
        sent = await terminal.send(f"{PLATE}GARBLED")
        assert (await terminal.book.told(sent.ref)).text == f"ANSWER TO {sent.text}"
        told = next(told for told in state.book.told if told.payload == GARBLES[garble])
        await state.book.until(lambda: told.msn is not None or told.refused)
        assert told.msn or told.refused == "E202"
        assert len(state.book.opened) == 1, "the line was lost over it"
        await goes_on(state, terminal, "UNGARBLED")


@pytest.mark.parametrize(
    "fault", [frame("D", 7, b"EXA1.OUT OF ORDER"), b"\x00\x02\x00\x00D\x00\x00\x00\x01", b"GET /"]
)
async def test_a_state_that_breaks_the_protocol_is_cut_off_and_met_again(site: Site, fault: bytes) -> None:
    async with both(site) as (state, terminal):
        connection = await state.opened()
        connection.write(fault)
        async with asyncio.timeout(15):
            await connection.gone
        await state.book.until(lambda: len(state.book.opened) == 2)
        await goes_on(state, terminal, "METAGAIN")


async def test_what_the_state_refuses_for_good_its_originator_hears_of(site: Site) -> None:
    async with both(site) as (state, terminal):
        state.conduct = Conduct(refuse="E206")
        for text in (f"{PLATE}NO206", ENTRY.format("NO206")):
            sent = await terminal.send(text)
            told = await terminal.book.told(sent.ref)
            assert (
                told.kind == "status" and told.text.startswith("E405 ") and told.envelope["transaction"] == sent.msn
            )
        await goes_on(state, terminal, "REFUSED")
        assert state.book.count("NO206") == 2


async def test_what_the_state_refuses_for_now_it_gets_again(site: Site) -> None:
    """An update too: it was refused, so it was not made. Meanwhile others pass it."""
    async with both(site) as (state, terminal):
        texts = (f"{PLATE}NO502", ENTRY.format("NO502"))
        state.conduct = lambda taken: Conduct(refuse="E502") if state.book.count(taken.text) == 1 else GOOD
        for text in texts:
            sent = await terminal.send(text)
            told = await terminal.book.told(sent.ref)
            assert (told.kind, told.text) == ("response", f"ANSWER TO {text}")
        assert [taken.outcome for taken in state.book.taken] == ["E502", "A"] * 2


async def test_what_the_state_refuses_for_now_again_and_again_is_the_operators(site: Site) -> None:
    async with both(site) as (state, terminal):
        state.conduct = lambda taken: Conduct(refuse="E502") if "NEVER" in taken.text else GOOD
        sent = await terminal.send(f"{PLATE}NEVER502")
        other = await terminal.send(f"{PLATE}NOTHELDUP")
        assert (await terminal.book.told(other.ref)).kind == "response"
        told = await terminal.book.told(sent.ref)
        assert told.kind == "status" and told.text.startswith("E405 ")
        assert state.book.count("NEVER502") == 3
        assert ("routed", "operator:queue") in await happened(site, sent.msn)


async def test_an_answer_that_was_cut_off_comes_again_and_is_delivered_once(site: Site) -> None:
    """The host is lost right after it answered; it says it again where the switch has not acknowledged it."""
    async with both(site) as (state, terminal):
        connection = await state.opened()

        def answer_and_die(message: Taken) -> Conduct:
            connection.tell(f"{message.header}.LAST WORDS".encode())
            return Conduct(cut=Loss.RESET)

        state.conduct = answer_and_die
        sent = await terminal.send(f"{PLATE}LASTWORDS")
        answer = await terminal.book.told(sent.ref, timeout_s=15)
        state.conduct = GOOD
        assert (answer.kind, answer.text) == ("response", "LAST WORDS")


async def test_a_state_that_comes_and_goes_loses_nothing_that_can_be_asked_again(site: Site) -> None:
    book = StateBook()
    async with both(site, book=book) as (state, terminal):
        asked = []
        for number, loss in enumerate((Loss.RESET, Loss.CLOSED) * 3):
            state.conduct = Conduct(acknowledge=False, answers=0)
            asked.append(await terminal.send(f"{PLATE}ROUND{number}"))
            await book.taken_with(f"ROUND{number}")
            state.conduct = replace(GOOD)
            state.die(loss)
            await state.come_back()
            assert (await terminal.book.told(asked[-1].ref)).kind == "response"
        assert [book.count(f"ROUND{number}") for number in range(6)] == [2] * 6
