"""Inquiries that look like misuse: answered all the same, and on somebody's list a moment later."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.site import Site, eventually, run_msc

NAME = "ONE,EXAMPLE"
"""Whose id J40217 is, as an inquiry writes it."""


def flags(site: Site, *args: str) -> list[dict[str, Any]]:
    done = run_msc("misuse", "list", site.toml, "--json", *args)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def audited(site: Site, event: str) -> list[dict[str, Any]]:
    return site.audit("--event", event)


@pytest.mark.requirement("C-SELF", "F-AUDIT")
async def test_an_inquiry_into_ones_own_name_is_answered_and_flagged(county: Site) -> None:
    async with county.signed_on("DISPATCH1") as station:
        harmless = await station.send("IW.QW.CA0990000.NAM/NOBODY,KNOWN", {"ref": "harmless"})
        msn = await station.send(f"IW.QW.CA0990000.NAM/{NAME}", {"ref": "own"})
        assert (await station.answer_to("own")).kind == "response"
        assert (await station.answer_to("harmless")).kind == "response"
    (flag,) = eventually(lambda: flags(county), what="a flag")
    assert (flag["msn"], flag["user"], flag["agency"], flag["pattern"]) == (msn, "J40217", "EXSO", "own_name")
    assert flag["msn"] != harmless

    (event,) = eventually(lambda: audited(county, "misuse.flagged"), what="an audit event")
    assert (event["user"], event["device"], event["mnemonic"]) == ("J40217", "DISPATCH1", "EXA1")
    assert (event["subject"], event["detail"]) == (f"MSN {msn}", "own_name") and event["session"]
    # Names stand in the journal alone.
    assert not [process for process in county.processes if NAME in process.output]
    assert NAME not in county.monitor("/metrics")[1] and NAME not in json.dumps([flag, event])

    done = run_msc("misuse", "close", county.toml, str(flag["flag"]), "--outcome", "A TEST", "--as", "Capt. Roe")
    assert done.returncode == 0, done.stderr
    (closed,) = eventually(lambda: audited(county, "misuse.closed"), what="the running switch to journal it")
    assert (closed["user"], closed["subject"], closed["reason"]) == ("Capt. Roe", f"misuse {flag['flag']}", "A TEST")
    assert not flags(county)
