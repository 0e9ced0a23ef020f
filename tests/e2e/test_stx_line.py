"""A line of the driver `stx` beside one of MTP/1, with the simulated hosts at their ends."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.support.site import Site

PLATE = "IV.4.CA0990000.LIC/"


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A running site whose line to the state is of the driver `stx`."""
    site = Site.make(tmp_path_factory.mktemp("stx") / "site")
    try:
        site.edit("msc.toml", (r'(name = "clets-a"\n)(host)', r'\1driver = "stx"\n\2'))
        site.quick_lines()
        site.serve()
        site.simulate()
        site.wait_lines()
        yield site
    finally:
        site.stop()
    for process in site.processes:
        assert "Traceback" not in process.output, process.output


@pytest.mark.requirement("C-HDR")
async def test_an_inquiry_goes_over_it_and_its_answer_comes_back(mixed: Site) -> None:
    async with mixed.signed_on("DISPATCH1") as station:
        msn = await station.send(PLATE + "ZZ0002X", {"ref": "plate"})
        answer = await station.answer_to("plate")
        assert (answer.kind, answer.envelope["source"], answer.envelope["transaction"]) == (
            "response",
            "clets-a",
            msn,
        )
        assert answer.text.startswith("VEHICLE REGISTRATION")
        await station.send("IW.QW.CA0990000.NAM/FIELD,ORDER.SEX/M", {"ref": "both"})
        told = [await station.answer_to("both"), await station.answer_to("both")]
        assert {answer.envelope["source"] for answer in told} == {"clets-a", "ncic-a"}
        assert {answer.kind for answer in told} == {"response"}


async def test_many_at_once_go_over_it_one_by_one(mixed: Site) -> None:
    async with mixed.signed_on("DISPATCH1") as station:
        posts = [await station.post(f"{PLATE}NONE{n:02}", {"ref": f"n-{n}"}) for n in range(30)]
        async with asyncio.timeout(20):
            await asyncio.gather(*posts)
        for n in range(30):
            answer = await station.answer_to(f"n-{n}")
            assert answer.kind == "response" and f"LIC/NONE{n:02}" in answer.text


async def test_what_nobody_asked_for_comes_over_it_to_the_terminal_it_is_for(mixed: Site) -> None:
    async with mixed.signed_on("DISPATCH1") as station:
        mixed.processes[-1].type_line("clets-a EXA1000000.$.A.MEET AT THE NORTH GATE")
        while True:
            delivery = await station.receive()
            if delivery.kind == "unsolicited":
                break
        assert delivery.text == "$.A.MEET AT THE NORTH GATE"


async def test_it_comes_back_when_its_host_was_killed(mixed: Site) -> None:
    simulators = mixed.processes[-1]
    await asyncio.to_thread(simulators.kill)
    await asyncio.to_thread(mixed.wait_lines_down)
    mixed.simulate()
    await asyncio.to_thread(mixed.wait_lines)
    async with mixed.signed_on("DISPATCH1") as station:
        await station.send(PLATE + "ZZ0002X", {"ref": "again"})
        assert (await station.answer_to("again")).text.startswith("VEHICLE REGISTRATION")
