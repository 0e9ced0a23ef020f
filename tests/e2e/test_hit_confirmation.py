"""Hit confirmations from request to answer, in both directions and over a kill; a state out of service; hits."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from tests.support.mtp_client import Delivery
from tests.support.site import Process, Site, eventually, run_msc

RECORD = "OCA/T26-{0:04}.NIC/W99900{0:04}"
REQUEST = "YQ.{asker}.{asked}.TXT.RTY/WP.RNO/{number}.PRI/U." + RECORD
ANSWER = "YR.{asker}.{asked}.TXT.RTY/WP.RNO/1.CON/Y." + RECORD
OURS, THEIRS = "CA0990000", "NV0990000"


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, Process]]:
    """A site whose reminders come a second after the request, and its simulators."""
    site = Site.make(tmp_path_factory.mktemp("confirming") / "site")
    try:
        site.quick_lines()
        site.edit("msc.toml", (r"remind_urgent_s = 120", 'escalate_to = "PRINTER1"\nremind_urgent_s = 599'))
        site.serve()
        simulator = site.simulate()
        site.wait_lines()
        yield site, simulator
    finally:
        site.stop()
    for process in site.processes:
        assert "Traceback" not in process.output, process.output


def is_open(site: Site, state: str = "in_time") -> int:
    metrics = site.monitor("/metrics")[1]
    found = re.search(rf'^msc_hit_confirmations_open{{state="{state}"}} (\d+)', metrics, re.MULTILINE)
    return int(found[1]) if found else -1


def about(number: int, kind: str = "hit_confirmation") -> object:
    return lambda delivery: delivery.kind == kind and f"T26-{number:04}" in delivery.text


def told(delivery: Delivery) -> str:
    return delivery.text.partition("\n")[0]


@pytest.mark.requirement("L-HITCONF", "C-STAFFED")
async def test_another_agency_asks_its_terminal_is_reminded_and_its_answer_ends_the_clock(
    simulator: tuple[Site, Process],
) -> None:
    site, state = simulator
    before = is_open(site)
    async with site.signed_on("DISPATCH1") as station:
        state.type_line("EXA1000000." + REQUEST.format(1, asker=THEIRS, asked=OURS, number=1))
        request = await station.receive(about(1))  # type: ignore[arg-type]
        assert (request.envelope["source"], request.envelope["priority"]) == ("clets-a", "urgent")
        reminder = await station.receive(about(1))  # type: ignore[arg-type]
        assert told(reminder).startswith("HIT CONFIRMATION DUE IN 9 MIN")
        assert (reminder.envelope["source"], reminder.envelope["transaction"]) == ("switch", request.envelope["msn"])
        assert is_open(site) == before + 1
        listed = run_msc("hitconf", "list", site.toml, "--as", "admin", "--json").stdout
        [row] = [row for row in map(json.loads, listed.splitlines()) if row["oca"] == "T26-0001"]
        assert (row["side"], row["state"], row["terminal"]) == ("asked", "reminded", "DISPATCH1")
        await station.send(ANSWER.format(1, asker=OURS, asked=THEIRS), {"ref": "yr"})
        assert (await station.answer_to("yr")).text.startswith("ACCEPTED HIT CONFIRMATION RESPONSE")
    eventually(lambda: is_open(site) == before, what="the clock's end")
    [shown] = site.journal(
        "--kind", "hit_confirmation", "--text", "T26-0001", "--device", "DISPATCH1", "--limit", "1"
    )
    assert shown["kind"] == "hit_confirmation"


@pytest.mark.requirement("L-HITCONF")
async def test_a_clock_runs_on_over_a_kill_and_nobody_is_reminded_twice(simulator: tuple[Site, Process]) -> None:
    site, state = simulator
    before = is_open(site)
    async with site.signed_on("DISPATCH1") as station:
        await station.send(REQUEST.format(2, asker=OURS, asked=THEIRS, number=1), {"ref": "yq"})
        await station.answer_to("yq")
        reminder = await station.receive(about(2))  # type: ignore[arg-type]
        assert reminder.text.endswith("NO YR HAS COME YET")
    eventually(lambda: "reminded" in site.ask("journal", "show", str(reminder.envelope["transaction"])).stdout)
    site.processes[0].kill()
    site.processes[0] = site.serve()
    site.wait_lines()
    assert is_open(site) == before + 1
    async with site.signed_on("DISPATCH1") as station:
        state.type_line("EXA1000000." + ANSWER.format(2, asker=THEIRS, asked=OURS))
        answer = await station.receive(about(2, "unsolicited"))  # type: ignore[arg-type]
        assert answer.text.startswith("YR.")
        assert [d.text for d in station.deliveries if "DUE IN" in d.text and "T26-0002" in d.text] == []
    eventually(lambda: is_open(site) == before, what="the clock's end")


@pytest.mark.requirement("L-HITCONF")
async def test_who_is_not_there_to_be_reminded_has_a_second_terminal(simulator: tuple[Site, Process]) -> None:
    site, state = simulator
    async with site.station("PRINTER1") as printer:
        await printer.open()
        state.type_line("EXA1000000." + REQUEST.format(3, asker=THEIRS, asked=OURS, number=1))
        reminder = await printer.receive(about(3))  # type: ignore[arg-type]
        assert told(reminder).startswith("HIT CONFIRMATION DUE IN ")


@pytest.mark.requirement("C-TRAFFIC")
async def test_terminals_are_told_that_the_state_is_out_and_what_they_send_waits(
    simulator: tuple[Site, Process],
) -> None:
    site, state = simulator
    async with site.signed_on("DISPATCH1") as station:
        state.type_line("EXA1000000.$.2.UNTIL FURTHER NOTICE")
        assert (await station.control("notice"))["text"] == "CLETS-A IS OUT OF SERVICE"
        await station.send("IV.4.CA0990000.LIC/ZZ0002X", {"ref": "waits"})
        status = await station.answer_to("waits")
        assert (status.kind, status.text[:13]) == ("status", "E402 clets-a ")
        assert status.envelope["awaiting"] == 1
        state.type_line("EXA1000000.$.3")
        assert (await station.control("notice"))["text"] == "CLETS-A IS IN SERVICE AGAIN"
        assert (await station.answer_to("waits")).text.startswith("VEHICLE REGISTRATION")


@pytest.mark.requirement("C-TRAFFIC", "F-BACKUP")
async def test_what_the_state_said_holds_over_a_kill_and_what_it_says_twice_is_marked(
    simulator: tuple[Site, Process],
) -> None:
    site, state = simulator
    async with site.signed_on("DISPATCH1") as station:
        state.type_line("EXA1000000.$.A.SAID TWICE")
        first = await station.receive(lambda delivery: "SAID TWICE" in delivery.text)
        state.type_line("EXA1000000.$.2.BEFORE THE KILL")
        await station.control("notice")
    site.processes[0].kill()
    site.processes[0] = site.serve()
    site.wait_lines()
    async with site.signed_on("DISPATCH1") as station:
        await station.send("IV.4.CA0990000.LIC/ZZ0002X", {"ref": "waits"})
        assert (await station.answer_to("waits")).text[:13] == "E402 clets-a "
        state.type_line("EXA1000000.$.A.SAID TWICE")
        again = await station.receive(
            lambda delivery: "SAID TWICE" in delivery.text and delivery.envelope["msn"] != first.envelope["msn"]
        )
        assert again.envelope["possible_duplicate"] is True
        state.type_line("EXA1000000.$.3.AFTER THE KILL")
        assert (await station.answer_to("waits")).text.startswith("VEHICLE REGISTRATION")


@pytest.mark.requirement("C-CONFIRM")
async def test_a_hit_says_that_it_must_be_confirmed_and_its_text_is_the_states(
    simulator: tuple[Site, Process],
) -> None:
    site, _ = simulator
    async with site.signed_on("DISPATCH1") as station:
        await station.send("QW.CA0990000.NIC/W999000001", {"ref": "hit"})
        hit = await station.answer_to("hit")
        assert hit.envelope["confirm"] is True
        assert "MKE/WANTED PERSON" in hit.text
        await station.send("QW.CA0990000.NIC/W999000999", {"ref": "none"})
        assert "confirm" not in (await station.answer_to("none")).envelope
