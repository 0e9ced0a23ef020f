"""What is refused, with which code, and that the journal keeps it."""

from __future__ import annotations

import pytest

from tests.support.mtp_client import Refused
from tests.support.site import Site

LONG = "IW.QW.CA0990000.NAM/DOE,JOHN.MIS/" + "A" * 40_000

MESSAGES = [
    ("empty", "", {}, "E201"),
    ("too long", LONG, {}, "E201"),
    ("too long and of an unknown key", LONG.replace("IW.QW", "ZZ.ZZ"), {}, "E201"),
    ("unknown key", "ZZ.ZZ.CA0990000.NAM/DOE,JOHN", {}, "E205"),
    ("unknown key of another ORI", "ZZ.ZZ.CA0980000.NAM/DOE,JOHN", {}, "E205"),
    ("no fields", "IW.QW.CA0990000", {}, "E206"),
    ("a field malformed", "IW.QW.CA0990000.NAM/DOE", {}, "E206"),
    ("a date malformed", "QW.CA0990000.NAM/DOE,JOHN.DOB/19801341", {}, "E206"),
    ("a field missing", "IA.EV.CA0990000.LIC/1SAM002.OCA/26-1", {}, "E206"),
    ("a field missing, of another ORI", "IA.EV.CA0990100.LIC/1SAM002.OCA/26-1", {}, "E206"),
    ("another agency's ORI", "IW.QW.CA0990100.NAM/DOE,JOHN", {}, "E207"),
    ("nobody's ORI", "IW.QW.CA0980000.NAM/DOE,JOHN", {}, "E207"),
    ("a bell", "IW.QW.CA0990000.NAM/DOE,JOHN.MIS/A\x07", {}, {"E206", "E208"}),
    ("a NUL", "AM.CA0990000.EXA2.TXT A\x00B", {}, "E208"),
    ("not ASCII", "AM.CA0990000.EXA2.TXT CAFÉ", {}, "E208"),
    ("not UTF-8", b"AM.CA0990000.EXA2.TXT CAF\xe9", {}, "E208"),
    ("forbidden purpose", "IH.QH.CA0990000.NAM/DOE,JOHN.PUR/X", {"requester": "DET ROE"}, "E303"),
    ("forbidden purpose and no requester", "IH.QH.CA0990000.NAM/DOE,JOHN.PUR/X", {}, "E303"),
    ("no requester", "IH.QH.CA0990000.NAM/DOE,JOHN.PUR/C", {}, "E304"),
    ("unknown destination", "AM.CA0990000.ZZZZ.TXT HELLO", {}, "E306"),
    ("one destination of two unknown", "AM.CA0990000.EXA2,ZZZZ.TXT HELLO", {}, "E306"),
    ("too many destinations", "RQ.CA0990000.NV,OR,AZ,WA,ID,UT.TXT.LIC/1SAM003", {}, "E308"),
]


@pytest.mark.requirement("C-TRAFFIC")
@pytest.mark.parametrize(
    ("text", "envelope", "codes"), [row[1:] for row in MESSAGES], ids=[row[0] for row in MESSAGES]
)
async def test_a_message_is_refused_with_its_code(
    county: Site, text: str | bytes, envelope: dict[str, str], codes: str | set[str]
) -> None:
    async with county.signed_on("DISPATCH1") as station:
        with pytest.raises(Refused) as told:
            await station.send(text, envelope)
        assert told.value.code in codes and told.value.reason
        assert await station.send("IV.4.CA0990000.LIC/1SAM004") > 0  # and the session goes on


async def test_an_administrative_message_to_more_than_twenty_is_refused(county: Site) -> None:
    async with county.signed_on("DISPATCH1") as station:
        with pytest.raises(Refused, match=r"E30[68]"):
            await station.send("AM.CA0990000." + ",".join(f"EX{n:02}" for n in range(21)) + ".TXT HELLO")


@pytest.mark.requirement("O-CLASS", "L-LEVEL", "N-QUERY")
async def test_a_user_of_less_than_full_access_may_inquire_and_not_enter(county: Site) -> None:
    async with county.signed_on("DISPATCH1", "K20331") as station:
        assert await station.send("IV.4.CA0990000.LIC/1SAM005") > 0
        with pytest.raises(Refused, match="E301"):
            await station.send("IA.EV.CA0990000.LIC/1SAM005.OCA/26-1.DTE/20260101")
        with pytest.raises(Refused, match="E206"):  # the lower of two
            await station.send("IA.EV.CA0990000.LIC/1SAM005")


@pytest.mark.requirement("C-DBAUTH", "C-ACHS")
async def test_a_mnemonic_not_authorised_for_a_database_is_refused(county: Site) -> None:
    async with county.signed_on("MOBILE1") as station:
        with pytest.raises(Refused, match="E302"):
            await station.send("IH.QH.CA0990000.NAM/DOE,JOHN.PUR/C", {"requester": "DET ROE"})
        with pytest.raises(Refused, match="E302"):  # before E303 and E304
            await station.send("IH.QH.CA0990000.NAM/DOE,JOHN.PUR/X")


@pytest.mark.parametrize(
    "head",
    [b'{"ref": ', b'{"ref": 7}\n', b'{"ref": "' + b"x" * 33 + b'"}\n', b'{"priority": "soon"}\n', b"{}", b"{]\n"],
    ids=["cut", "not a string", "too long", "unknown priority", "no line feed", "not JSON"],
)
async def test_a_bad_envelope_gets_a_code_and_the_session_goes_on(county: Site, head: bytes) -> None:
    async with county.signed_on("DISPATCH1") as station:
        with pytest.raises(Refused) as told:
            await station.send(head + b"IV.4.CA0990000.LIC/1SAM006")
        assert told.value.code in {"E201", "E202", "E205", "E208", "E604"}, told.value
        assert await station.send("IV.4.CA0990000.LIC/1SAM006") > 0


@pytest.mark.requirement("C-TRAFFIC", "C-JOURNAL")
async def test_what_was_refused_is_in_the_journal_with_its_code(county: Site) -> None:
    text = "ZZ.ZZ.CA0990000.NAM/KEPT,THOUGH REFUSED"
    async with county.signed_on("DISPATCH1") as station:
        with pytest.raises(Refused, match="E205"):
            await station.send(text)
        await station.sign_off()
        with pytest.raises(Refused, match="E111"):
            await station.send(text + " TWICE")
        await station.sign_on("J40217", county.user("J40217")["password"])
    rows = county.journal("--device", "DISPATCH1", "--text", "KEPT,THOUGH")
    assert [row["text"] for row in rows] == [text + " TWICE", text]
    assert [row["code"] for row in rows] == ["E111", "E205"]
    assert rows[1]["user"] == "J40217" and rows[1]["mnemonic"] == "EXA1"
    assert {event["event"] for event in rows[1]["events"]} >= {"refused"}


@pytest.mark.requirement("C-ADMIN")
async def test_an_administrative_message_reaches_the_other_terminal(county: Site) -> None:
    async with (
        county.signed_on("DISPATCH1") as sender,
        county.signed_on("RECORDS1", "P50110") as receiver,
    ):
        msn = await sender.send("AM.CA0990000.EXA2.TXT MEET AT THE OLD MILL AT NOON", {"ref": "am-1"})
        told = await receiver.receive(lambda d: "OLD MILL" in d.text)
        assert told.kind == "unsolicited" or told.kind == "administrative", told
        assert told.envelope["source"] == "DISPATCH1"
        assert told.envelope["msn"] >= msn
        assert "ref" not in told.envelope or told.envelope["ref"] == "am-1"
