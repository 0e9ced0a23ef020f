"""Between a terminal and the state: what the line sees, how answers find their way, and what failing looks like."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import pytest

from tests.support.mtp_client import LINE_TEXT, Delivery, LineMessage, Refused, StateHost, control, frame
from tests.support.site import Site

WANTED = "IW.QW.CA0990000.NAM/"
MISSING = "IM.QM.CA0990000.NAM/"
PLATE = "IV.4.CA0990000.LIC/"
ENTRY = "IA.EV.CA0990000.LIC/{}.OCA/26-1.DTE/20260101"


@asynccontextmanager
async def both(site: Site, **members: object) -> AsyncIterator[tuple[StateHost, StateHost]]:
    """Stand in for both hosts."""
    async with site.state("clets-a", **members) as state, site.state("ncic-a", **members) as ncic:
        yield state, ncic


def assert_whole(row: dict[str, object], sent: str) -> None:
    """A journal row holds the text, whole."""
    assert row["text"] == sent, row


@pytest.mark.requirement("C-HDR", "C-OIF", "C-TAF")
async def test_the_line_sees_header_operator_and_terminal_before_the_text(lineside: Site) -> None:
    async with both(lineside) as (state, ncic), lineside.signed_on("DISPATCH1") as station:
        text = WANTED + "FIELD,ORDER.SEX/M.MIS/A/B.C"
        await station.send(text)
        for host in (state, ncic):
            seen = await host.holding("FIELD,ORDER")
            assert LINE_TEXT.match(seen.raw), seen.raw
            assert seen.header.startswith("EXA1") and len(seen.header) == 10
            assert seen.oif == "J40217"
            assert re.fullmatch(r"[A-Z0-9]{6,18}", seen.taf) and seen.taf == station.session["taf"]
            assert seen.text == text
        assert len({m.header for m in (*state.messages, *ncic.messages)}) == 1
        await station.send(text)
        assert (await state.holding("FIELD,ORDER")).header != seen.header


@pytest.mark.requirement("C-OIF")
async def test_a_passwords_place_is_never_on_the_line(lineside: Site) -> None:
    async with both(lineside) as (state, _), lineside.signed_on("DISPATCH1", "D10002") as station:
        await station.send(PLATE + "1SAM010")
        seen = await state.holding("1SAM010")
        assert seen.oif == "D10002" and lineside.user("D10002")["password"] not in seen.raw


@pytest.mark.requirement("C-HDR")
async def test_two_lines_answer_one_inquiry(lineside: Site) -> None:
    async with both(lineside) as (state, ncic), lineside.signed_on("DISPATCH1") as station:
        envelope = {"ref": "two-lines", "priority": "urgent", "reason": "26-0001", "requester": "DET ROE"}
        msn = await station.send(WANTED + "TWO,LINES", envelope)
        inquiry = station.sequence
        await ncic.answer(await ncic.holding("TWO,LINES"), "NCIC\nNO RECORD")
        await state.answer(asked := await state.holding("TWO,LINES"), "WPS NO RECORD")
        answers = [await station.answer_to("two-lines"), await station.answer_to("two-lines")]
    assert [(a.envelope["source"], a.text) for a in answers] == [
        ("ncic-a", "NCIC\nNO RECORD"),
        ("clets-a", "WPS NO RECORD"),
    ]
    for answer in answers:
        assert answer.kind == "response"
        assert answer.envelope["reply_to"] == inquiry
        assert answer.envelope["transaction"] == msn
        assert answer.envelope["header"] == asked.header
        assert answer.envelope["priority"] == "urgent"
        assert datetime.fromisoformat(answer.envelope["received"]).utcoffset() == timedelta(0)
        assert "possible_duplicate" not in answer.envelope or answer.envelope["possible_duplicate"] is False
    assert msn < answers[0].envelope["msn"] < answers[1].envelope["msn"]


@pytest.mark.requirement("C-HDR")
async def test_one_line_may_answer_more_than_once(lineside: Site) -> None:
    async with both(lineside) as (state, _), lineside.signed_on("DISPATCH1") as station:
        msn = await station.send(PLATE + "1SAM011", {"ref": "thrice"})
        asked = await state.holding("1SAM011")
        for number in range(3):
            await state.answer(asked, f"PART {number}")
        answers = [await station.answer_to("thrice") for _ in range(3)]
    assert [answer.text for answer in answers] == ["PART 0", "PART 1", "PART 2"]
    assert {answer.envelope["transaction"] for answer in answers} == {msn}


@pytest.mark.requirement("C-HDR")
async def test_answers_in_any_order_find_their_own_inquiry(lineside: Site) -> None:
    async with (
        both(lineside) as (state, _),
        lineside.signed_on("DISPATCH1") as one,
        lineside.signed_on("RECORDS1", "P50110") as two,
    ):
        posts = [await one.post(f"{PLATE}ONE{n}", {"ref": f"one-{n}"}) for n in range(5)]
        posts += [await two.post(f"IV.4.CA0990100.LIC/TWO{n}", {"ref": f"two-{n}"}) for n in range(5)]
        async with asyncio.timeout(10):
            await asyncio.gather(*posts)
        asked = [await state.receive(lambda m: "LIC/" in m.raw) for _ in posts]
        for message in reversed(asked):
            await state.answer(message, message.text.partition("LIC/")[2])
        for station, name in ((one, "one"), (two, "two")):
            for n in range(5):
                told = await station.answer_to(f"{name}-{n}")
                assert told.text == f"{name.upper()}{n}" and told.envelope["reply_to"] == n + 1
        assert one.deliveries[-1].envelope["header"].startswith("EXA1")
        assert two.deliveries[-1].envelope["header"].startswith("EXA2")


@pytest.mark.requirement("C-HDR", "C-TRAFFIC")
async def test_an_answer_that_comes_too_late_is_delivered_after_e403(lineside: Site) -> None:
    async with both(lineside) as (state, _), lineside.signed_on("DISPATCH1") as station:
        msn = await station.send(MISSING + "LATE,ANSWER", {"ref": "late"})
        asked = await state.holding("LATE,ANSWER")
        told = await station.answer_to("late")
        assert told.kind == "status" and told.text.startswith("E403 ") and "clets-a" in told.text
        assert told.envelope["transaction"] == msn
        await state.answer(asked, "HERE AFTER ALL")
        late = await station.answer_to("late")
        assert (late.kind, late.text, late.envelope["transaction"]) == ("response", "HERE AFTER ALL", msn)


@pytest.mark.requirement("C-HDR")
async def test_one_silent_line_of_two_is_reported_by_name(lineside: Site) -> None:
    lineside_text = WANTED + "HALF,SILENT"
    async with lineside.state("clets-a") as state:
        lineside.wait_lines_down(["ncic-a"])
        async with lineside.signed_on("DISPATCH1") as station:
            await station.send(lineside_text, {"ref": "half"})
            await state.answer(await state.holding("HALF,SILENT"), "STATE ANSWERS")
            told = [await station.answer_to("half"), await station.answer_to("half")]
    assert {d.kind for d in told} == {"response", "status"}
    status = next(d for d in told if d.kind == "status")
    assert status.text.startswith("E401 ncic-a ")


async def test_a_line_that_is_down_is_reported(lineside: Site) -> None:
    lineside.wait_lines_down()
    async with lineside.signed_on("DISPATCH1") as station:
        msn = await station.send(PLATE + "1SAM012", {"ref": "down"})
        told = await station.answer_to("down")
        assert told.kind == "status" and re.match(r"E401 clets-a .", told.text)
        assert told.envelope["transaction"] == msn and told.envelope["reply_to"] == station.sequence
        entry = await station.send(ENTRY.format("1SAM013"), {"ref": "entry-down"})
        told = await station.answer_to("entry-down")
        assert told.text.startswith("E401 clets-a ") and told.envelope["transaction"] == entry
    async with lineside.state("clets-a") as state:  # "not sent" was said, so it must not be sent now
        await state.links[0].wire.write(frame("P", 9))
        async with lineside.signed_on("DISPATCH1") as station:
            await station.send(PLATE + "1SAM014")
        await state.holding("1SAM014")
        assert not [m.raw for m in state.messages if "1SAM012" in m.raw or "1SAM013" in m.raw]


async def test_an_update_cut_off_before_its_acknowledgement_is_reported_and_not_repeated(lineside: Site) -> None:
    async with lineside.state("clets-a", auto_ack=False) as state, lineside.signed_on("DISPATCH1") as station:
        msn = await station.send(ENTRY.format("1SAM015"), {"ref": "unsure"})
        asked = await state.holding("1SAM015")
        await asked.link.wire.abort()
        told = await station.answer_to("unsure")
        assert told.kind == "status" and told.text.startswith("E404 ")
        assert told.envelope["transaction"] == msn
        await state.up()
        state.auto_ack = True
        await station.send(PLATE + "1SAM016")
        await state.holding("1SAM016")
        assert len([m for m in state.messages if "1SAM015" in m.raw]) == 1


async def test_an_inquiry_cut_off_before_its_acknowledgement_is_sent_again(lineside: Site) -> None:
    async with lineside.state("clets-a", auto_ack=False) as state, lineside.signed_on("DISPATCH1") as station:
        msn = await station.send(PLATE + "1SAM017", {"ref": "again"})
        first = await state.holding("1SAM017")
        await first.link.wire.abort()
        state.auto_ack = True
        again = await state.holding("1SAM017")
        assert again.raw == first.raw and again.link is not first.link
        await state.answer(again, "REPEATED")
        told = await station.answer_to("again")
        assert (told.text, told.envelope["transaction"]) == ("REPEATED", msn)


async def test_what_the_state_refuses_is_reported(lineside: Site) -> None:
    async with lineside.state("clets-a", auto_ack=False) as state, lineside.signed_on("DISPATCH1") as station:
        for text, ref in ((PLATE + "1SAM018", "nak-inquiry"), (ENTRY.format("1SAM018"), "nak-entry")):
            msn = await station.send(text, {"ref": ref})
            await state.nak(await state.holding("1SAM018"), "E206", "WHAT IS THIS")
            told = await station.answer_to(ref)
            assert told.kind == "status" and told.text.startswith("E405 "), told
            assert told.envelope["transaction"] == msn


@pytest.mark.requirement("C-UNSOL")
async def test_an_unsolicited_message_goes_to_the_device_of_a_static_mnemonic(lineside: Site) -> None:
    async with lineside.state("clets-a") as state, lineside.signed_on("DISPATCH1") as station:
        assert await state.links[0].send("EXA1.$.H.DELAYED HIT ONE") == ""
        told = await station.receive(lambda d: "DELAYED HIT ONE" in d.text)
        assert told.kind == "unsolicited" and told.envelope["source"] == "clets-a"
        assert "transaction" not in told.envelope or told.envelope["transaction"] in (None, told.envelope["msn"])


@pytest.mark.requirement("C-UNSOL", "C-STAFFED")
async def test_an_unsolicited_message_for_a_pooled_mnemonic_goes_to_the_pools_printer(lineside: Site) -> None:
    async with (
        lineside.state("clets-a") as state,
        lineside.signed_on("MOBILE1") as holder,
        lineside.station("PRINTER1") as printer,
    ):
        assert (await printer.open())["type"] == "opened"
        mnemonic = holder.session["mnemonic"]
        assert await state.links[0].send(f"{mnemonic}.$.H.DELAYED HIT TWO") == ""
        told = await printer.receive(lambda d: "DELAYED HIT TWO" in d.text)
        assert told.kind == "unsolicited"
        assert told.envelope.get("original_mnemonic") in (None, mnemonic)
        await holder.send(PLATE + "1SAM019", {"ref": "after"})
        await state.answer(await state.holding("1SAM019"), "AFTER")
        await holder.answer_to("after")
        assert not [d for d in holder.deliveries if "DELAYED HIT" in d.text]


@pytest.mark.requirement("C-UNSOL", "C-TRAFFIC")
async def test_an_unsolicited_message_waits_for_its_device(lineside: Site) -> None:
    async with lineside.state("clets-a") as state:
        assert await state.links[0].send("EXPR.$.A.KEPT FOR THE PRINTER") == ""
        async with lineside.station("PRINTER1") as printer:
            opened = await printer.open()
            assert opened["undelivered"] >= 1
            told = await printer.receive(lambda d: "KEPT FOR THE PRINTER" in d.text)
            assert told.kind == "unsolicited"


@pytest.mark.requirement("C-TRAFFIC")
@pytest.mark.parametrize("text", ["ZZZZ000001.NOBODY ASKED", "EXA1ZZZZZZ.OLD HEADER", "no header at all", "", "."])
async def test_what_no_one_asked_for_is_journaled_and_the_line_goes_on(lineside: Site, text: str) -> None:
    async with lineside.state("clets-a") as state, lineside.signed_on("DISPATCH1") as station:
        await state.links[0].send(text)  # taken over or refused: either way it is answered
        await station.send(PLATE + "1SAM020", {"ref": "next"})
        await state.answer(await state.holding("1SAM020"), "NEXT")
        assert (await station.answer_to("next")).text == "NEXT"


@pytest.mark.requirement("C-TRAFFIC")
async def test_an_answer_not_acknowledged_by_the_terminal_comes_again_marked(lineside: Site) -> None:
    async with lineside.state("clets-a") as state:
        async with lineside.signed_on("DISPATCH1", auto_ack=False) as station:
            msn = await station.send(PLATE + "1SAM021", {"ref": "unacked"})
            await state.answer(await state.holding("1SAM021"), "TAKE ME")
            first = await station.answer_to("unacked")
        async with lineside.station("DISPATCH1") as station:
            told = await station.sign_on("J40217", lineside.user("J40217")["password"])
            assert told["undelivered"] >= 1
            again = await station.answer_to("unacked")
            await station.sign_off()
    assert again.envelope["possible_duplicate"] is True
    assert (again.text, again.envelope["msn"]) == (first.text, first.envelope["msn"])
    assert again.envelope["transaction"] == msn
    async with lineside.signed_on("DISPATCH1") as station:
        await station.say(type="status")
        await station.control("status")
        assert not [d for d in station.deliveries if d.envelope["msn"] == first.envelope["msn"]]


@pytest.mark.requirement("C-TRAFFIC")
async def test_a_message_the_station_refuses_does_not_block_the_next(lineside: Site) -> None:
    async with lineside.state("clets-a") as state, lineside.station("PRINTER1", auto_ack=False) as printer:
        await printer.open()
        await state.links[0].send("EXPR.$.A.POISON")
        await state.links[0].send("EXPR.$.A.HARMLESS")

        async def judge() -> None:
            while True:
                told = await printer.receive()
                if "POISON" in told.text:
                    await printer.nak(told)
                else:
                    await printer.ack(told)
                    if "HARMLESS" in told.text:
                        return

        async with asyncio.timeout(10):
            await judge()


@pytest.mark.requirement("C-ADMIN")
async def test_a_printer_prints_and_never_sends(lineside: Site) -> None:
    async with lineside.signed_on("DISPATCH1") as station, lineside.station("PRINTER1") as printer:
        await printer.open()
        await station.send("AM.CA0990000.EXPR.TXT PRINT THIS PLEASE")
        told = await printer.receive(lambda d: "PRINT THIS PLEASE" in d.text)
        assert told.envelope["source"] == "DISPATCH1"
        with pytest.raises(Refused) as refused:
            await printer.send(PLATE + "1SAM022")
        assert refused.value.code in {"E111", "E605"}


@pytest.mark.requirement("C-TRAFFIC", "C-JOURNAL")
async def test_the_journal_tells_the_whole_life_of_a_transaction(lineside: Site) -> None:
    async with lineside.state("clets-a") as state, lineside.signed_on("DISPATCH1") as station:
        sent = PLATE + "1SAM023"
        msn = await station.send(sent, {"ref": "life", "requester": "DET ROE", "secondary": "DA OFFICE"})
        await state.answer(asked := await state.holding("1SAM023"), "LIFE\nSECOND LINE")
        answer = await station.answer_to("life")
    rows = lineside.journal("--transaction", str(msn))
    assert [row["msn"] for row in rows] == [answer.envelope["msn"], msn]
    response, inquiry = rows
    assert_whole(inquiry, sent)
    assert (inquiry["header"], inquiry["oif"], inquiry["taf"]) == (asked.header, asked.oif, asked.taf)
    assert (inquiry["direction"], inquiry["kind"], inquiry["key"]) == ("outbound", "inquiry", "4")
    assert (inquiry["device"], inquiry["user"], inquiry["agency"], inquiry["ori"], inquiry["mnemonic"]) == (
        "DISPATCH1", "J40217", "EXSO", "CA0990000", "EXA1",
    )  # fmt: skip
    assert response["direction"] == "inbound" and response["line"] == "clets-a" and response["transaction"] == msn
    assert response["text"].endswith("LIFE\nSECOND LINE") and response["header"] == asked.header
    named = [{event["event"] for event in row["events"]} for row in rows]
    assert named[0] >= {"received", "sent", "acknowledged"} and named[1] >= {"received", "sent", "answered"}
    for row in rows:
        times = [event["at"] for event in row["events"]]
        assert times == sorted(times)
        assert all(re.search(r"\.\d{2,}(Z|\+00:00)$", at) for at in times)  # F-CLOCK


async def test_the_switch_opens_a_line_as_the_page_says_and_answers_pings(lineside: Site) -> None:
    async with lineside.state("clets-a") as state:
        opened = state.links[0].opened
        assert opened["line"] == "clets-a" and opened["mode"] == "production" and opened["switch"]


async def test_a_line_host_that_greets_briefly_is_accepted(lineside: Site) -> None:
    """The page names no member that a host's hello needs; `line_open` tells the window."""

    class Brief(StateHost):
        def hello(self) -> dict[str, object]:
            return {"type": "hello", "protocol": "MTP/1"}

    row = lineside.line("clets-a")
    context = lineside.context(row["certificate"], row["key"], server=True)
    async with Brief("clets-a").running(row["host"], row["port"], context) as host:
        await host.up(5)


@pytest.mark.requirement("F-TLS")
async def test_a_host_with_another_lines_certificate_is_not_spoken_to(lineside: Site) -> None:
    row, other = lineside.line("clets-a"), lineside.line("ncic-a")
    context = lineside.context(other["certificate"], other["key"], server=True)
    spoken: list[bytes] = []
    tries = asyncio.Semaphore(0)
    context.sni_callback = lambda *_: tries.release()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(control(**StateHost("clets-a").hello()))
            spoken.append(await reader.read(1))
        except OSError:
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(serve, row["host"], row["port"], ssl=context)
    try:
        async with asyncio.timeout(20):
            for _ in range(3):
                await tries.acquire()
    finally:
        server.close()
    assert set(spoken) <= {b""}


async def test_a_line_is_opened_again_after_it_was_lost(lineside: Site) -> None:
    async with lineside.state("clets-a") as state, lineside.signed_on("DISPATCH1") as station:
        for number in range(3):
            await station.send(f"{PLATE}AGAIN{number}", {"ref": f"r{number}"})
            await state.answer(await state.holding(f"AGAIN{number}"), f"OK {number}")
            told: Delivery = await station.answer_to(f"r{number}")
            assert told.text == f"OK {number}"
            await state.links[0].wire.abort()
            await state.up()


async def test_a_burst_wider_than_the_window_is_answered_whole(lineside: Site) -> None:
    def reply(message: LineMessage) -> list[str]:
        return [message.text]

    async with (
        lineside.state("clets-a", reply=reply),
        lineside.signed_on("DISPATCH1") as station,
    ):
        window = station.hello["window"]
        waiting: set[asyncio.Future[int]] = set()
        for number in range(400):
            if len(waiting) == window:
                _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED, timeout=10)
            waiting.add(await station.post(f"{PLATE}B{number:05}", {"ref": f"b{number}"}))
        for number in range(400):
            assert (await station.answer_to(f"b{number}")).text == f"{PLATE}B{number:05}"
