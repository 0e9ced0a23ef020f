"""People and agencies whose papers are not in order, keys without a route, and a journal that cannot be written."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import assert_quiet
from tests.support.mtp_client import TIMEOUT_S, Refused, totp
from tests.support.site import Site, run_msc


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site of which half the users may not enter, and whose routes know one key less."""
    site = Site.make(tmp_path_factory.mktemp("strict") / "site")
    try:
        site.quick_lines()
        for command in (
            ("user", "suspend", "D10002", "--reason", "under investigation"),
            ("user", "set", "K20331", "statement="),
            ("agency", "suspend", "EXPD", "--reason", "by order of the state"),
        ):
            done = run_msc(*command[:2], site.toml, *command[2:])
            assert done.returncode == 0, done.stderr
        site.directory("UPDATE account SET password_expires = '2020-01-01' WHERE user = 'P50110'")
        site.edit("routes.toml", (r'^\[\[route\]\]\nname = "everything else.*\Z', ""))
        site.serve()
        site.simulate()
        site.wait_lines()
        yield site
    finally:
        site.stop()
    assert_quiet(site)


@pytest.mark.requirement("C-SANCTION", "C-STMT", "C-TRAIN", "F-LOCKOUT")
@pytest.mark.parametrize(
    ("user", "device", "code"),
    [("D10002", "DISPATCH1", "E104"), ("K20331", "DISPATCH1", "E109"), ("P50110", "RECORDS1", "E110")],
)
async def test_who_is_not_in_good_standing_is_not_signed_on(strict: Site, user: str, device: str, code: str) -> None:
    async with strict.station(device) as station:
        with pytest.raises(Refused) as told:
            await station.sign_on(user, strict.user(user)["password"])
        assert told.value.code == code
        with pytest.raises(Refused) as told:  # a wrong password says nothing about the account
            await station.sign_on(user, "w" * 12)
        assert told.value.code == "E101"


@pytest.mark.requirement("C-SANCTION", "L-SUSPEND")
async def test_a_suspended_agency_sends_nothing(strict: Site) -> None:
    row = strict.user("R60045")
    async with strict.station("RECORDS1") as station:
        with pytest.raises(Refused) as told:
            await station.sign_on("R60045", row["password"], otp=totp(row["otp_secret"]))
            await station.send("IW.QW.CA0990100.NAM/DOE,JOHN")
        assert told.value.code == "E307"


async def test_a_key_without_a_route_is_refused(strict: Site) -> None:
    async with strict.signed_on("DISPATCH1") as station:
        with pytest.raises(Refused, match="E305"):
            await station.send("IV.4.CA0990000.LIC/1ROUTE")


@pytest.mark.requirement("F-AUFAIL")
async def test_while_the_journal_cannot_be_written_nothing_passes(strict: Site) -> None:
    text = "IW.QW.CA0990000.NAM/DISK,FULL"
    async with strict.signed_on("DISPATCH1") as station:
        with contextlib.closing(
            sqlite3.connect(strict.folder / "data" / "journal.db", isolation_level=None)
        ) as other:
            other.execute("BEGIN IMMEDIATE")  # somebody else writes and does not stop
            try:
                with pytest.raises(Refused, match="E501"):
                    async with asyncio.timeout(30):
                        await (await station.post(text, {"ref": "no-journal"}))
                assert strict.monitor("/ready")[0] == 503
                assert strict.monitor("/live")[0] == 200
            finally:
                other.execute("ROLLBACK")
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                try:
                    await station.send(text, {"ref": "journal-again"})
                    break
                except Refused as exc:
                    assert exc.code == "E501"
                    await asyncio.sleep(0.05)
        assert (await station.answer_to("journal-again")).kind == "response"
        assert not [d for d in station.deliveries if d.envelope.get("ref") == "no-journal"]
