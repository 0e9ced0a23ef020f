"""SIGTERM: nothing new is taken, what was accepted is answered, and the exit code is 0."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest

from tests.support.mtp_client import LineMessage, Refused
from tests.support.site import Site

PLATE = "IV.4.CA0990000.LIC/"


@pytest.fixture
def idle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site that the test starts and stops itself."""
    site = Site.make(tmp_path_factory.mktemp("shutdown") / "site")
    site.quick_lines()
    site.edit("msc.toml", (r"^drain_s = \d+", "drain_s = 3"))
    yield site
    site.stop()


async def test_sigterm_refuses_the_new_and_answers_the_accepted(idle: Site) -> None:
    def reply(message: LineMessage) -> list[str]:
        return [] if "FIRST" in message.raw else ["NO RECORD"]

    process = await asyncio.to_thread(idle.serve)
    try:
        async with idle.state("clets-a", reply=reply) as state, idle.station("DISPATCH1") as station:
            await station.sign_on("J40217", idle.user("J40217")["password"])
            msn = await station.send(PLATE + "FIRST1", {"ref": "first"})
            first = await state.holding("FIRST1")
            process.terminate()
            accepted = 0
            with pytest.raises(Refused) as told:
                while True:
                    accepted += 1
                    await station.send(f"{PLATE}NEXT{accepted}", {"ref": f"next-{accepted}"})
            assert told.value.code == "E503"
            assert idle.monitor("/ready")[0] in (0, 503)
            await state.answer(first, "AFTER ALL")
            late = await station.answer_to("first")
            assert (late.text, late.envelope["transaction"]) == ("AFTER ALL", msn)
            for number in range(1, accepted):
                assert (await station.answer_to(f"next-{number}")).text == "NO RECORD"
            await station.ended()
        began = time.monotonic()
        assert await asyncio.to_thread(process.wait) == 0
        assert time.monotonic() - began < 3
    finally:
        await asyncio.to_thread(process.stop)
    refused = idle.journal("--code", "E503")
    assert refused and refused[0]["text"] == f"{PLATE}NEXT{accepted}"
    assert "Traceback" not in process.output


async def test_sigterm_waits_no_longer_than_it_was_told(idle: Site) -> None:
    process = await asyncio.to_thread(idle.serve)
    try:
        async with idle.state("clets-a") as state, idle.station("DISPATCH1", auto_ack=False) as station:
            await station.sign_on("J40217", idle.user("J40217")["password"])
            await station.send(PLATE + "SILENT1", {"ref": "silent"})
            await state.holding("SILENT1")
            began = time.monotonic()
            process.terminate()
            assert await asyncio.to_thread(process.wait, 15) == 0
            assert time.monotonic() - began < 3 + 4
    finally:
        await asyncio.to_thread(process.stop)
    assert "Traceback" not in process.output


async def test_sigterm_with_nothing_to_do_ends_at_once(idle: Site) -> None:
    process = await asyncio.to_thread(idle.serve)
    try:
        async with idle.signed_on("DISPATCH1") as station:
            began = time.monotonic()
            process.terminate()
            await station.ended()
            station.sign_off = _nothing  # type: ignore[method-assign]
        assert await asyncio.to_thread(process.wait) == 0
        assert time.monotonic() - began < 3
    finally:
        await asyncio.to_thread(process.stop)


async def _nothing() -> dict[str, object]:
    return {}
