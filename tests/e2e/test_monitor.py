"""What is seen from outside: health, metrics and the log, and that none of them holds what people asked."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import assert_quiet
from tests.support.mtp_client import Refused, frame
from tests.support.site import Site


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site that logs all it can."""
    site = Site.make(tmp_path_factory.mktemp("watched") / "site")
    try:
        site.quick_lines()
        site.edit("msc.toml", (r'^level = "info"', 'level = "debug"'))
        site.serve()
        site.simulate()
        site.wait_lines()
        yield site
    finally:
        site.stop()
    assert_quiet(site)


def counts(site: Site) -> dict[tuple[str, str], float]:
    """`msc_messages_total` by kind and outcome."""
    status, text = site.monitor("/metrics")
    assert status == 200
    rows = re.findall(r'^msc_messages_total\{kind="([^"]*)",outcome="([^"]*)"\} ([0-9.e+]+)$', text, re.MULTILINE)
    return {(kind, outcome): float(count) for kind, outcome, count in rows}


async def test_health_is_told(watched: Site) -> None:
    assert watched.monitor("/live")[0] == 200
    status, text = watched.monitor("/ready")
    assert status == 200 and text
    assert watched.monitor("/nothing")[0] == 404


async def test_messages_are_counted_by_kind_and_outcome(watched: Site) -> None:
    before = counts(watched)
    async with watched.signed_on("DISPATCH1") as station:
        for number in range(3):
            await station.send("IV.4.CA0990000.LIC/1CNT00", {"ref": f"count-{number}"})
            await station.answer_to(f"count-{number}")
        with pytest.raises(Refused):
            await station.send("ZZ.ZZ.CA0990000.LIC/1CNT00")
    after = counts(watched)
    gained = {key: after[key] - before.get(key, 0) for key in after if after[key] != before.get(key, 0)}
    assert gained[("inquiry", "accepted")] == 3
    # An earlier test may have left an inquiry whose answer comes only now.
    assert gained[("response", "accepted")] >= 3
    assert sum(count for (_, outcome), count in gained.items() if outcome == "E205") == 1


@pytest.mark.requirement("F-AUDIT")
async def test_neither_log_nor_metrics_hold_what_was_asked_by_whom(watched: Site) -> None:
    password = watched.user("J40217")["password"]
    secrets = {
        password,
        "QUIETNAME",
        "SECRETPLATE",
        "WRONGPASSWORD",
        "HUSHHUSH",
        "ROEWHOASKS",
        "CASE-0815",
        "OLDMILLNOON",
    }
    async with watched.station("DISPATCH1") as station:
        with pytest.raises(Refused):
            await station.sign_on("J40217", "WRONGPASSWORD")
        await station.sign_on("J40217", password)
        for text in (
            "IW.QW.CA0990000.NAM/QUIETNAME,JOHN",
            "IV.4.CA0990000.LIC/SECRETPLA",
            "IW.QW.CA0990000.NAM/SPECIMEN,WANTED",
        ):
            await station.send(text, {"ref": "HUSHHUSH", "requester": "ROEWHOASKS", "reason": "CASE-0815"})
            assert (await station.answer_to("HUSHHUSH")).kind == "response"
        for text in (
            "HUSHHUSH.QUIETNAME",
            "IW.QW.CA0990000.NAM/QUIETNAME",
            "IW.QW.CA0990000.NAM/QUIETNAME,J.MIS/\x07",
            "QUIETNAME",
        ):
            with pytest.raises(Refused):
                await station.send(text)
        with pytest.raises(Refused):
            await station.send(b'{"ref": ["QUIETNAME"]}\nIV.4.CA0990000.LIC/SECRETPLA')
        await station.send("AM.CA0990000.EXPR.TXT OLDMILLNOON QUIETNAME")
        await station.wire.write(frame("C", 0, b'{"type": "QUIETNAME", "SECRETPLATE": "HUSHHUSH"'))
        await station.ended()
    for process in watched.processes:
        found = {
            secret
            for secret in secrets | {"SECRETPLA", "ARMED AND DANGEROUS", "SPECIMEN"}
            if secret in process.output
        }
        assert not found, (
            process.command,
            found,
            [row for row in process.output.splitlines() if any(secret in row for secret in found)][:3],
        )
    metrics = watched.monitor("/metrics")[1]
    users = {row["user"] for row in watched.demo["users"]}
    assert not {word for word in secrets | users | {"SECRETPLA"} if word in metrics}


async def test_the_log_is_one_json_object_a_line(watched: Site) -> None:
    async with watched.signed_on("DISPATCH1") as station:
        await station.send("IV.4.CA0990000.LIC/1LOG00")
    for line in watched.processes[0].output.splitlines():
        row = json.loads(line)
        assert row["event"] and row["level"] and row["timestamp"], line


async def test_what_waits_is_told_by_class_and_what_waits_for_the_operator_by_queue(watched: Site) -> None:
    status, text = watched.monitor("/metrics")
    assert status == 200
    for priority in ("urgent", "status", "response", "administrative", "broadcast"):
        assert f'msc_waiting{{priority="{priority}"}} ' in text
    for queue in ("stations", "operator", "intercept"):
        assert f'msc_queue_depth{{queue="{queue}"}} ' in text
