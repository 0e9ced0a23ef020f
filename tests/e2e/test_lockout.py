"""Guessing: accounts and terminals that failures lock, and one-time codes that count once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from msc.directory.credential import new_otp_secret
from tests.e2e.conftest import assert_quiet
from tests.support.county import mnemonic, terminal
from tests.support.mtp_client import Refused, totp
from tests.support.office import (
    PASSWORD,
    command,
    entry,
    person,
    prepare,
    recovery_codes,
    recovery_digests,
    rows,
)
from tests.support.site import Site

WRONG = "Wrong-Heron-7-Fictitious"
DESKS = [f"DESK{number}" for number in range(1, 9)]
"""Each test has desks of its own: failures at one count together."""
GUESSED = [f"L0000{number}" for number in range(1, 6)]
TOKENS = ("T00001", "T00002", "T00003")
LOCKED, KNOWN, CODES, NEW = "L10001", "L20001", "L30001", "N00001"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A running switch that asks everybody for a second factor."""
    made = Site.make(tmp_path_factory.mktemp("lockout") / "site")
    try:
        made.edit(
            "msc.toml", (r"^drain_s = \d+", "drain_s = 1"), (r'^second_factor = "\w+"', 'second_factor = "required"')
        )
        people = [
            entry(made, person(user), otp_secret=new_otp_secret(), recovery_codes=recovery_digests(user))
            for user in (*GUESSED, *TOKENS, LOCKED, KNOWN, CODES)
        ]
        desks = [terminal(name, agency="EXSO", mnemonic=f"EXD{name[-1]}") for name in DESKS]
        mnemonics = [mnemonic(f"EXD{name[-1]}", "EXSO", administrative=False) for name in DESKS]
        prepare(made, *people, entry(made, person(NEW)), *rows(*mnemonics, *desks))
        made.serve()
        yield made
    finally:
        made.stop()
    assert_quiet(made)


def restart(site: Site) -> None:
    """Cut the switch's power, and start it again."""
    site.processes[-1].kill()
    site.serve()


async def attempt(
    site: Site, desk: str, user: str, password: str = PASSWORD, otp: str | None = None
) -> tuple[str, str]:
    """Sign on, and off again; return code and reason of the refusal, or nothing twice."""
    async with site.station(desk) as station:
        try:
            await station.sign_on(user, password, otp=otp)
        except Refused as refused:
            return refused.code, refused.reason
        await station.sign_off()
        return "", ""


@pytest.mark.requirement("F-LOCKOUT")
async def test_guesses_from_two_terminals_lock_an_account_until_an_administrator_releases_it(site: Site) -> None:
    one, two = DESKS[0], DESKS[1]
    codes = iter(recovery_codes(LOCKED))
    for desk in (one, two, one, two, one):
        assert (await attempt(site, desk, LOCKED, WRONG))[0] == "E101"
    for desk in (one, two):
        assert (await attempt(site, desk, LOCKED, PASSWORD, next(codes)))[0] == "E102"
    await asyncio.to_thread(restart, site)
    assert (await attempt(site, two, LOCKED, PASSWORD, next(codes)))[0] == "E102"
    assert "in force in the running switch" in await command(
        site, "user", "reinstate", LOCKED, "--reason", "it was he"
    )
    assert (await attempt(site, one, LOCKED, WRONG))[0] == "E101"
    assert await attempt(site, two, LOCKED, PASSWORD, next(codes)) == ("", "")


@pytest.mark.requirement("F-LOCKOUT")
async def test_twenty_failures_at_a_terminal_lock_sign_on_there_and_nowhere_else(site: Site) -> None:
    stolen, other = DESKS[2], DESKS[3]
    for user in GUESSED:
        for _ in range(4):
            assert (await attempt(site, stolen, user, WRONG))[0] == "E101"
    user, codes = GUESSED[0], iter(recovery_codes(GUESSED[0]))
    assert (await attempt(site, stolen, user, PASSWORD, next(codes)))[0] == "E102"
    assert (await attempt(site, stolen, "NOBODY", WRONG))[0] == "E102"
    assert await attempt(site, other, user, PASSWORD, next(codes)) == ("", "")
    await asyncio.to_thread(restart, site)
    assert (await attempt(site, stolen, user, PASSWORD, next(codes)))[0] == "E102"
    assert await attempt(site, other, user, PASSWORD, next(codes)) == ("", "")
    await command(site, "device", "reinstate", stolen, "--reason", "found again")
    assert await attempt(site, stolen, user, PASSWORD, next(codes)) == ("", "")
    events = [row["event"] for row in site.audit("--subject", f"device {stolen}", "--oldest-first")]
    assert events[-2:] == ["device.locked", "device.reinstated"]


@pytest.mark.requirement("F-LOCKOUT", "C-AUTH")
async def test_a_guesser_cannot_tell_who_exists_all_the_way_into_the_lock_out(site: Site) -> None:
    heard = {
        user: [await attempt(site, desk, user, WRONG, "000000") for _ in range(8)]
        for desk, user in ((DESKS[4], KNOWN), (DESKS[5], "ZZ9999"), (DESKS[5], "not a user id"))
    }
    known, *unknown = heard.values()
    assert [code for code, _ in known] == ["E101"] * 5 + ["E102"] * 3
    assert unknown == [known, known]


@pytest.mark.requirement("F-MFA")
async def test_a_one_time_code_counts_once_wherever_it_is_used_and_across_a_restart(site: Site) -> None:
    user = TOKENS[0]
    code = totp(site.user(user)["otp_secret"])
    assert await attempt(site, DESKS[6], user, PASSWORD, code) == ("", "")
    for desk in (DESKS[6], DESKS[7]):
        assert (await attempt(site, desk, user, PASSWORD, code))[0] == "E103"
    await asyncio.to_thread(restart, site)
    for desk in (DESKS[6], DESKS[7]):
        assert (await attempt(site, desk, user, PASSWORD, code))[0] == "E103"


@pytest.mark.requirement("F-MFA")
async def test_a_one_time_code_used_twice_at_the_same_moment_counts_once(site: Site) -> None:
    user = TOKENS[1]
    code = totp(site.user(user)["otp_secret"])
    told = await asyncio.gather(*(attempt(site, desk, user, PASSWORD, code) for desk in DESKS[6:8]))
    assert sorted(refusal for refusal, _ in told) == ["", "E103"]


@pytest.mark.requirement("F-MFA")
async def test_a_recovery_code_counts_once(site: Site) -> None:
    first, second, *_ = recovery_codes(CODES)
    assert await attempt(site, DESKS[6], CODES, PASSWORD, first) == ("", "")
    assert (await attempt(site, DESKS[7], CODES, PASSWORD, first))[0] == "E103"
    assert await attempt(site, DESKS[7], CODES, PASSWORD, second.lower().replace("-", "")) == ("", "")
    assert (await attempt(site, DESKS[6], CODES, PASSWORD, second))[0] == "E103"


@pytest.mark.requirement("F-MFA")
async def test_who_has_no_second_factor_where_one_is_required_is_not_signed_on(site: Site) -> None:
    code, reason = await attempt(site, DESKS[6], NEW)
    assert code == "E103" and "enrolled" in reason
    printed = await command(site, "user", "enrol-otp", NEW, "--reason", "a new colleague")
    secret = next(line.split()[1] for line in printed.splitlines() if line.split()[:1] == ["secret"])
    assert await attempt(site, DESKS[6], NEW, PASSWORD, totp(secret)) == ("", "")
