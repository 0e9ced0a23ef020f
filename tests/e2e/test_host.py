"""A CAD host: its own header, OIF and TAF are checked, carried, and come back unchanged."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.support.mtp_client import Refused, Station
from tests.support.site import Site

TAF = "0A0000010017"
PLATE = "IV.4.CA0990000.LIC/"


@asynccontextmanager
async def cad(site: Site, name: str = "CAD1", *users: str) -> AsyncIterator[Station]:
    """Connect as a host, open it, sign users on."""
    async with site.station(name) as host:
        assert (await host.open())["type"] == "opened"
        for user in users:
            told = await host.sign_on(user, site.user(user)["password"])
            assert told["user"] == user
        yield host


@pytest.mark.requirement("C-HDR", "C-OIF", "C-TAF")
async def test_a_hosts_header_comes_back_unchanged(lineside: Site) -> None:
    async with lineside.state("clets-a") as state, cad(lineside, "CAD1", "J40217", "D10002") as host:
        for header, user in (("EXCDA00017", "J40217"), ("EXCD", "D10002"), ("EXCD1", "J40217")):
            text = f"{PLATE}1CAD{len(header):02}"
            msn = await host.send(f"{header}.*{user}.#{TAF}.{text}", {"ref": header})
            asked = await state.holding(text)
            assert asked.header.startswith("EXCD") and asked.oif == user and asked.taf == TAF and asked.text == text
            await state.answer(asked, "NO RECORD")
            told = await host.answer_to(header)
            assert told.text.startswith(f"{header}.") and told.text.endswith("NO RECORD")
            assert told.envelope["header"] == header
            assert told.envelope["transaction"] == msn and told.envelope["reply_to"] == host.sequence


@pytest.mark.requirement("C-HDR")
async def test_one_header_used_twice_at_once_tells_the_answers_apart(lineside: Site) -> None:
    async with lineside.state("clets-a") as state, cad(lineside, "CAD2") as host:
        for number in (1, 2):
            await host.send(f"EXCE.*J40217.#{TAF}.{PLATE}TWIN{number}", {"ref": f"twin-{number}"})
        second, first = await state.holding("TWIN2"), await state.holding("TWIN1")
        await state.answer(second, "SECOND")
        await state.answer(first, "FIRST")
        assert (await host.answer_to("twin-1")).text == "EXCE.FIRST"
        assert (await host.answer_to("twin-2")).text == "EXCE.SECOND"


@pytest.mark.requirement("C-OIF")
async def test_a_status_to_a_host_begins_with_its_code(lineside: Site) -> None:
    lineside.wait_lines_down()
    async with cad(lineside, "CAD2") as host:
        await host.send(f"EXCE000042.*J40217.#{TAF}.{PLATE}1CAD99", {"ref": "down"})
        told = await host.answer_to("down")
        assert told.kind == "status" and "E401 clets-a " in told.text
        assert told.envelope["header"] == "EXCE000042"


BAD: list[Any] = [
    ("EXA1A00017.*J40217.#{taf}.{text}", "E202"),
    ("EXC.*J40217.#{taf}.{text}", "E202"),
    ("EXCDA000170.*J40217.#{taf}.{text}", "E202"),
    ("excda00017.*J40217.#{taf}.{text}", "E202"),
    ("EXCD-00017.*J40217.#{taf}.{text}", "E202"),
    ("*J40217.#{taf}.{text}", "E202"),
    ("{text}", "E202"),
    ("EXA1A00017.*J4021.#X.{text}", "E202"),
    ("EXCDA00017.J40217.#{taf}.{text}", "E203"),
    ("EXCDA00017.*J4021.#{taf}.{text}", "E203"),
    ("EXCDA00017.*J402170.#{taf}.{text}", "E203"),
    ("EXCDA00017.*J4021-.#{taf}.{text}", "E203"),
    ("EXCDA00017.*j40217.#{taf}.{text}", "E203"),
    ("EXCDA00017.#{taf}.*J40217.{text}", "E203"),
    ("EXCDA00017.*J40217.#ABCDE.{text}", "E204"),
    ("EXCDA00017.*J40217.#ABCDEFGHIJKLMNOPQRS.{text}", "E204"),
    ("EXCDA00017.*J40217.#ABC_DEF.{text}", "E204"),
    ("EXCDA00017.*D10002.#{taf}.{text}", "E111"),
]


@pytest.mark.requirement("C-HDR", "C-OIF", "C-TAF")
@pytest.mark.parametrize(("form", "code"), BAD)
async def test_a_host_is_told_what_is_wrong_before_its_text(lineside: Site, form: str, code: str) -> None:
    async with cad(lineside, "CAD1", "J40217") as host:
        with pytest.raises(Refused) as told:
            await host.send(form.format(taf=TAF, text=PLATE + "1CAD98"))
        assert told.value.code == code, told.value


@pytest.mark.requirement("C-OIF", "C-UID")
async def test_a_delegated_hosts_users_need_only_be_known(lineside: Site) -> None:
    async with lineside.state("clets-a") as state, cad(lineside, "CAD2") as host:
        await host.send(f"EXCE000001.*K20331.#{TAF}.{PLATE}1CAD97", {"ref": "known"})
        await state.answer(await state.holding("1CAD97"), "KNOWN")
        assert (await host.answer_to("known")).text == "EXCE000001.KNOWN"
        with pytest.raises(Refused, match="E203"):
            await host.send(f"EXCE000002.*ZZ9999.#{TAF}.{PLATE}1CAD96")
        with pytest.raises(Refused) as told:  # of another agency
            await host.send(f"EXCE000003.*P50110.#{TAF}.{PLATE}1CAD96")
        assert told.value.code == "E203"
        with pytest.raises(Refused, match="E301"):
            await host.send(f"EXCE000004.*K20331.#{TAF}.IA.EV.CA0990000.LIC/1CAD95.OCA/1.DTE/20260101")


async def test_a_host_says_nothing_before_it_is_open(lineside: Site) -> None:
    async with lineside.station("CAD2") as host:
        with pytest.raises(Refused) as told:
            await host.send(f"EXCE000001.*J40217.#{TAF}.{PLATE}1CAD94")
        assert told.value.code in {"E111", "E605"}


@pytest.mark.requirement("C-AUTH")
async def test_a_host_user_who_signed_off_is_not_signed_on(lineside: Site) -> None:
    async with cad(lineside, "CAD1", "J40217", "D10002") as host:
        await host.say(type="sign_off", user="J40217")
        told = await host.control("signed_off", "refused")
        assert told["type"] == "signed_off", told
        with pytest.raises(Refused, match="E111"):
            await host.send(f"EXCD000001.*J40217.#{TAF}.{PLATE}1CAD93")
        assert await host.send(f"EXCD000002.*D10002.#{TAF}.{PLATE}1CAD93") > 0


@pytest.mark.requirement("C-OIF")
async def test_the_journal_keeps_the_header_the_host_wrote(lineside: Site) -> None:
    async with lineside.state("clets-a") as state, cad(lineside, "CAD2") as host:
        msn = await host.send(f"EXCE0KEPT1.*D10002.#{TAF}.{PLATE}1CAD92")
        asked = await state.holding("1CAD92")
    (row,) = lineside.journal("--msn", str(msn))
    assert (row["oif"], row["taf"], row["user"], row["device"]) == ("D10002", TAF, "D10002", "CAD2")
    assert asked.header == row["header"]
    assert "EXCE0KEPT1" in str(row)
