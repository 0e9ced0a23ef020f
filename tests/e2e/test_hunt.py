"""A hunt for a way past access control: random sequences of what people and administrators do, against one running
switch. A message reaches the state if, and only if, a person stands behind it who may send it at that moment.

`MSC_HUNT_EXAMPLES=300` runs the long form.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from msc import clock
from msc.control.client import ask
from msc.directory.rows import AnyRow, Directory, Pool, Status
from msc.directory.store import Change
from msc.settings import Settings, load_settings
from msc.site.administer import row_change
from tests.e2e.conftest import assert_quiet
from tests.support.county import mnemonic, terminal
from tests.support.mtp_client import Disconnected, LineMessage, Refused, StateHost, Station
from tests.support.office import PASSWORD, administrate, becomes_true, entry, person, prepare, rows
from tests.support.site import Site

EXAMPLES = int(os.environ.get("MSC_HUNT_EXAMPLES", "3"))

PEOPLE = ("H00001", "H00002", "H00003")
STATIC = {"HUNT1": "EXH1"}
POOLED = ("HUNT2", "HUNT3")
TERMINALS = (*STATIC, *POOLED)
MNEMONICS = ("EXH1", "EXH2", "EXH3", "EXCE")
POOL = ("EXH2", "EXH3")
PAPERS = ("cleared", "certified", "statement", "dmv_statement")
KEYS = {"IV.4": "LIC/{}", "IM.QM": "NAM/DOE,{}"}
"""A DMV key, which needs the yearly statement, and one that does not; each goes to one line alone."""
OLD = clock.today() - timedelta(days=1_000)
TAF = "0A0000010017"

OPERATIONS = st.one_of(
    st.tuples(st.just("sign_on"), st.sampled_from(TERMINALS), st.sampled_from(PEOPLE)),
    st.tuples(st.just("sign_on"), st.sampled_from(TERMINALS), st.sampled_from(PEOPLE)),
    st.tuples(st.just("send"), st.sampled_from(TERMINALS), st.sampled_from(sorted(KEYS))),
    st.tuples(st.just("send"), st.sampled_from(TERMINALS), st.sampled_from(sorted(KEYS))),
    st.tuples(st.just("send_as"), st.sampled_from((*PEOPLE, "ZZ9999")), st.sampled_from(sorted(KEYS))),
    st.tuples(st.just("sign_off"), st.sampled_from(TERMINALS)),
    st.tuples(st.just("lock"), st.sampled_from(TERMINALS)),
    st.tuples(st.just("unlock"), st.sampled_from(TERMINALS)),
    st.tuples(st.just("drop"), st.sampled_from(TERMINALS)),
    st.tuples(st.just("status"), st.sampled_from(("user",)), st.sampled_from(PEOPLE)),
    st.tuples(st.just("status"), st.sampled_from(("agency",)), st.just("EXSO")),
    st.tuples(st.just("status"), st.sampled_from(("mnemonic",)), st.sampled_from(MNEMONICS)),
    st.tuples(st.just("paper"), st.sampled_from(PEOPLE), st.sampled_from(PAPERS), st.sampled_from((None, OLD))),
)
"""`status` suspends what is active and reinstates what is not; `paper` does the same with what is on file."""


@dataclass
class Model:
    """What there is, and what follows for a message, written down a second time and as simply as can be."""

    suspended: set[str] = field(default_factory=set)
    papers: dict[tuple[str, str], date | None] = field(default_factory=dict)
    at: dict[str, str] = field(default_factory=dict)
    """Who is signed on where."""
    held: dict[str, str] = field(default_factory=dict)
    """The mnemonic of each session, by terminal."""
    locked: set[str] = field(default_factory=set)

    def in_order(self, who: str) -> bool:
        # A background search and a statement hold for good; a training and a DMV statement end.
        faults = [
            paper for (user, paper), since in self.papers.items()
            if user == who and paper != "dmv_statement" and (since is None or paper == "certified")
        ]  # fmt: skip
        return who not in self.suspended and not faults

    def may_send(self, who: str, key: str) -> bool:
        dmv_fault = key == "IV.4" and (who, "dmv_statement") in self.papers
        return self.in_order(who) and not dmv_fault and "EXSO" not in self.suspended

    def free(self) -> list[str]:
        return [name for name in POOL if name not in self.held.values() and name not in self.suspended]

    def may_sign_on(self, terminal: str, who: str) -> bool:
        if terminal in self.at or not self.in_order(who):
            return False
        return STATIC[terminal] not in self.suspended if terminal in STATIC else bool(self.free())

    def may_send_from(self, terminal: str, key: str) -> bool:
        who = self.at.get(terminal)
        return who is not None and terminal not in self.locked and self.may_send(who, key)

    def may_send_as(self, who: str, key: str) -> bool:
        return who in PEOPLE and "EXCE" not in self.suspended and self.may_send(who, key)

    def ended(self) -> list[str]:
        """Terminals whose session may not go on."""
        return [
            name for name, who in self.at.items() if not self.in_order(who) or self.held[name] in self.suspended
        ]  # fmt: skip

    def gone(self, terminal: str) -> None:
        self.at.pop(terminal, None)
        self.held.pop(terminal, None)
        self.locked.discard(terminal)


class Hunt:
    """The site, its stations and its state, kept from one example to the next."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.settings: Settings = load_settings(site.toml)
        self.rows: dict[tuple[str, str], AnyRow] = {}
        self.stations: dict[str, Station] = {}
        self.plates = (
            f"{one}{two}{three}{four}" for one, two, three, four in itertools.product("BCDFGHJK", repeat=4)
        )
        self.accepted: set[str] = set()
        self.stack = contextlib.AsyncExitStack()
        self.model = Model()

    async def open(self) -> None:
        self.state: StateHost = await self.stack.enter_async_context(self.site.state())
        self.state.reply = _no_record
        # The host is opened now, while its mnemonic is in force, and stays so.
        self.stations["CAD2"] = host = Station(await self.site.wire("CAD2"))
        await host.greeted()
        await host.open()

        def remember(directory: Directory) -> list[Change]:
            wanted = {("user", name) for name in PEOPLE} | {("mnemonic", name) for name in MNEMONICS}
            self.rows = {(t, key): directory.table(t)[key] for t, key in wanted | {("agency", "EXSO")}}
            return []

        await administrate(self.site, remember)

    async def close(self) -> None:
        for station in self.stations.values():
            await station.abort()
        await self.stack.aclose()

    async def begin(self) -> None:
        """Begin an example: nobody is signed on, everything is in force."""
        for name in TERMINALS:
            await self.drop(name)
        self.model = Model()
        await self.change(*self.rows.values())

    async def change(self, *after: AnyRow) -> None:
        def plan(directory: Directory) -> list[Change]:
            made = [row_change(directory.table(t)[key], row) for row in after for t, key in [_place(row)]]
            return [change for change in made if change.detail]

        await administrate(self.site, plan)

    async def station(self, name: str) -> Station:
        if name not in self.stations:
            station = self.stations[name] = Station(await self.site.wire(name))
            await station.greeted()
        return self.stations[name]

    # --- operations -------------------------------------------------------------------------------

    async def sign_on(self, name: str, who: str) -> None:
        wanted = self.model.may_sign_on(name, who)
        try:
            told = await (await self.station(name)).sign_on(who, PASSWORD)
        except Refused as refused:
            assert not wanted, f"{who} was not signed on at {name}: {refused}"
            return
        assert wanted, f"{who} was signed on at {name}"
        assert told["mnemonic"] in ([STATIC[name]] if name in STATIC else self.model.free())
        self.model.at[name], self.model.held[name] = who, told["mnemonic"]

    async def sign_off(self, name: str) -> None:
        station = await self.station(name)
        await station.say(type="sign_off")
        told = await station.control("signed_off", "refused")
        assert (told["type"] == "signed_off") is (name in self.model.at), told
        self.model.gone(name)

    async def lock(self, name: str) -> None:
        station = await self.station(name)
        await station.say(type="lock")
        told = await station.control("locked", "refused")
        assert (told["type"] == "locked") is (name in self.model.at and name not in self.model.locked), told
        if told["type"] == "locked":
            self.model.locked.add(name)

    async def unlock(self, name: str) -> None:
        station = await self.station(name)
        await station.say(type="unlock", password=PASSWORD)
        told = await station.control("unlocked", "refused")
        assert (told["type"] == "unlocked") is (name in self.model.locked), told
        self.model.locked.discard(name)

    async def drop(self, name: str) -> None:
        station = self.stations.pop(name, None)
        if station is None:
            return
        await station.abort()
        self.model.gone(name)

        async def noticed() -> bool:
            return not [row for row in await ask(self.settings, "GET", "/sessions") if row["device"] == name]

        await becomes_true(noticed, f"the end of what was signed on at {name}")

    async def status(self, table: str, key: str) -> None:
        model = self.model
        model.suspended ^= {key}
        await self.refresh(table, key)

    async def paper(self, who: str, paper: str, since: date | None) -> None:
        if self.model.papers.pop((who, paper), "none") == "none":
            self.model.papers[who, paper] = since
        await self.refresh("user", who)

    async def refresh(self, table: str, key: str) -> None:
        """Write a row as the model has it, and see the sessions end that this ends."""
        row = replace(
            self.rows[table, key], status=Status.SUSPENDED if key in self.model.suspended else Status.ACTIVE,
            **{paper: since for (who, paper), since in self.model.papers.items() if who == key},
        )  # fmt: skip
        await self.change(row)
        for name in self.model.ended():
            told = await self.stations[name].control("signed_off")
            assert told["reason"]
            self.model.gone(name)

    async def send(self, name: str, key: str) -> None:
        await self.post(name, key, "", self.model.may_send_from(name, key))

    async def send_as(self, who: str, key: str) -> None:
        await self.post("CAD2", key, f"EXCE000001.*{who}.#{TAF}.", self.model.may_send_as(who, key))

    async def post(self, name: str, key: str, head: str, wanted: bool) -> None:
        plate = next(self.plates)
        text = f"{head}{key}.CA0990000.{KEYS[key].format(plate)}"
        try:
            await (await self.station(name)).send(text)
        except Refused as refused:
            assert not wanted, f"{text} was refused: {refused}"
            return
        assert wanted, f"{text} was accepted from {name}"
        self.accepted.add(plate)
        await self.state.holding(plate)

    # --- one example --------------------------------------------------------------------------------

    async def play(self, operations: list[tuple[Any, ...]]) -> None:
        await self.begin()
        for name, *arguments in operations:
            try:
                await getattr(self, name)(*arguments)
            except Disconnected as exc:
                raise AssertionError(f"{name} {arguments}: the switch hung up") from exc
            for station in self.stations.values():
                assert not [told for told in station.controls if told["type"] == "error"]
        reached = {message.text.rpartition("/")[2].removeprefix("DOE,") for message in self.state.messages}
        assert reached == self.accepted  # nothing more than what a person stood behind


def _no_record(_: LineMessage) -> list[str]:
    return ["NO RECORD"]


def _place(row: AnyRow) -> tuple[str, str]:
    table = type(row).__name__.lower()
    return table, str(getattr(row, table))


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    """One event loop for all examples."""
    with asyncio.Runner() as made:
        yield made


@pytest.fixture(scope="module")
def hunt(tmp_path_factory: pytest.TempPathFactory, runner: asyncio.Runner) -> Iterator[Hunt]:
    """A running switch with three people, three terminals and a delegated host."""
    site = Site.make(tmp_path_factory.mktemp("hunt") / "site")
    try:
        site.quick_lines()
        site.edit("msc.toml", (r"^drain_s = \d+", "drain_s = 1"))
        prepare(
            site,
            *rows(
                Pool("HUNTERS", "EXSO", "APB 2026-3"),
                mnemonic("EXH1", "EXSO", administrative=False),
                *(mnemonic(name, "EXSO", pool="HUNTERS") for name in POOL),
                *(terminal(name, agency="EXSO", mnemonic=own) for name, own in STATIC.items()),
                *(terminal(name, agency="EXSO", pool="HUNTERS") for name in POOLED),
            ),
            *(entry(site, person(user)) for user in PEOPLE),
        )
        site.serve()
        made = Hunt(site)
        runner.run(made.open())
        try:
            yield made
        finally:
            runner.run(made.close())
    finally:
        site.stop()
    assert_quiet(site)


@pytest.mark.requirement("C-SANCTION", "C-AUTH", "C-POOL", "C-BACKGR", "C-TRAIN", "C-STMT", "O-DMV", "L-SUSPEND")
@pytest.mark.timeout(120 + 5 * EXAMPLES)
@settings(
    max_examples=EXAMPLES, deadline=None, print_blob=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(operations=st.lists(OPERATIONS, min_size=8, max_size=20))
def test_the_hunt_finds_no_message_without_a_person_who_may_send_it(
    hunt: Hunt, runner: asyncio.Runner, operations: list[tuple[Any, ...]]
) -> None:
    runner.run(hunt.play(operations))
