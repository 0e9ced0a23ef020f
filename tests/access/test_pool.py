"""Mnemonic pools: never two sessions with one mnemonic, and no lease lost."""

from __future__ import annotations

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from msc.access.control_point import AccessControlPoint, OperatorSession
from msc.access.pool import MnemonicPool
from msc.directory.rows import Directory
from msc.directory.store import DirectoryStore, Lease
from msc.errors import CertificateMismatch, MnemonicInUse, PoolExhausted, Refusal
from tests.access.conftest import TERMS
from tests.access.test_control_point import request
from tests.support.county import county, mnemonic, terminal, user

MEMBERS = ["M001", "M002", "M003"]

pytestmark = pytest.mark.requirement("C-POOL")


def test_the_least_recently_used_mnemonic_is_allocated_first() -> None:
    pool = MnemonicPool("cars", MEMBERS)
    assert [pool.allocate("s1"), pool.allocate("s2")] == ["M001", "M002"]
    pool.release("M001", "s1")
    assert pool.allocate("s3") == "M003"
    assert pool.allocate("s4") == "M001"


def test_an_exhausted_pool_refuses_with_e106_and_takes_nothing() -> None:
    pool = MnemonicPool("cars", ["M001"])
    pool.allocate("s1")
    with pytest.raises(PoolExhausted) as refused:
        pool.allocate("s2")
    assert refused.value.code == "E106"
    assert pool.leases == {"M001": "s1"}
    with pytest.raises(PoolExhausted):
        pool.check_room()


def test_a_mnemonic_asked_for_is_given_refused_as_in_use_or_foreign() -> None:
    pool = MnemonicPool("cars", MEMBERS)
    assert pool.allocate("s1", "M002") == "M002"
    with pytest.raises(MnemonicInUse) as refused:
        pool.allocate("s2", "M002")
    assert refused.value.code == "E107"
    with pytest.raises(CertificateMismatch) as foreign:
        pool.allocate("s2", "A123")
    assert foreign.value.code == "E105"
    assert pool.leases == {"M002": "s1"}
    assert len(pool) == 2


def test_only_the_holder_can_give_a_mnemonic_back() -> None:
    pool = MnemonicPool("cars", MEMBERS)
    pool.allocate("s1")
    for name, session in (("M001", "s2"), ("M002", "s1"), ("XXXX", "s1")):
        with pytest.raises(AssertionError):
            pool.release(name, session)
    assert pool.leases == {"M001": "s1"}


def test_what_is_shown_of_the_leases_cannot_change_them() -> None:
    pool = MnemonicPool("cars", MEMBERS)
    pool.allocate("s1")
    pool.leases.clear()
    assert pool.leases == {"M001": "s1"}


@given(steps=st.lists(st.tuples(st.booleans(), st.integers(0, 9), st.none() | st.sampled_from([*MEMBERS, "A123"]))))
def test_property_no_mnemonic_is_held_twice_and_none_is_lost(steps: list[tuple[bool, int, str | None]]) -> None:
    pool, held = MnemonicPool("cars", MEMBERS), {}
    for number, (allocate, pick, wanted) in enumerate(steps):
        if allocate:
            try:
                name = pool.allocate(f"s{number}", wanted)
            except (PoolExhausted, MnemonicInUse, CertificateMismatch):
                assert len(held) == 3 or wanted in held or wanted == "A123"
                continue
            assert name not in held
            assert wanted in (None, name)
            held[name] = f"s{number}"
        elif held:
            name = sorted(held)[pick % len(held)]
            pool.release(name, held.pop(name))
        assert pool.leases == held
        assert len(pool) + len(held) == len(MEMBERS)
    for name, session in held.items():
        pool.release(name, session)
    assert sorted(pool.allocate(f"end{n}") for n in range(3)) == MEMBERS


def test_of_a_changed_membership_new_ones_come_first_and_the_rest_keeps_its_order() -> None:
    pool = MnemonicPool("cars", MEMBERS)
    pool.release(pool.allocate("s1"), "s1")
    pool.set_members(["M001", "M003", "M004", "M005"])
    assert [pool.allocate(f"s{n}") for n in range(4)] == ["M004", "M005", "M003", "M001"]


def test_a_mnemonic_that_leaves_while_it_is_held_does_not_come_back() -> None:
    pool = MnemonicPool("cars", MEMBERS)
    pool.allocate("s1", "M001")
    pool.set_members(["M002", "M003"])
    assert pool.leases == {"M001": "s1"}
    with pytest.raises(MnemonicInUse):
        pool.allocate("s2", "M001")
    pool.release("M001", "s1")
    assert len(pool) == 2
    with pytest.raises(CertificateMismatch):
        pool.allocate("s2", "M001")


def test_a_mnemonic_that_leaves_and_returns_while_it_is_held_comes_back_once() -> None:
    pool = MnemonicPool("cars", MEMBERS)
    pool.allocate("s1", "M001")
    pool.set_members(["M002", "M003"])
    pool.set_members(MEMBERS)
    assert len(pool) == 2
    pool.release("M001", "s1")
    assert [pool.allocate(f"s{n}") for n in range(3)] == ["M002", "M003", "M001"]


def test_a_mnemonic_out_of_force_is_passed_over_and_keeps_its_place() -> None:
    off = {"M001"}
    pool = MnemonicPool("cars", MEMBERS, lambda name: name not in off)
    assert pool.allocate("s1") == "M002"
    with pytest.raises(CertificateMismatch):
        pool.check_room("M001")
    off.clear()
    assert pool.allocate("s2") == "M001"
    off.update(MEMBERS)
    with pytest.raises(PoolExhausted):
        pool.allocate("s3")


class Members(RuleBasedStateMachine):
    """A pool whose membership changes while its mnemonics are out."""

    NAMES = tuple(f"M{n:03d}" for n in range(6))

    def __init__(self) -> None:
        super().__init__()
        self.off: set[str] = set()
        self.members: set[str] = set(self.NAMES[:4])
        self.pool = MnemonicPool("cars", sorted(self.members), lambda name: name not in self.off)
        self.held: dict[str, str] = {}
        self.sessions = 0

    @rule(wanted=st.none() | st.sampled_from(NAMES))
    def allocate(self, wanted: str | None) -> None:
        self.sessions += 1
        free = self.members - self.held.keys() - self.off
        try:
            name = self.pool.allocate(f"s{self.sessions}", wanted)
        except PoolExhausted:
            assert wanted is None and not free
        except MnemonicInUse:
            assert wanted in self.held
        except CertificateMismatch:
            assert wanted is not None and wanted not in free
        else:
            assert name in free and wanted in (None, name)
            self.held[name] = f"s{self.sessions}"

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.held)))
        self.pool.release(name, self.held.pop(name))

    @rule(members=st.sets(st.sampled_from(NAMES)))
    def change_members(self, members: set[str]) -> None:
        self.members = members
        self.pool.set_members(sorted(members))

    @rule(off=st.sets(st.sampled_from(NAMES)))
    def change_force(self, off: set[str]) -> None:
        self.off = off

    @invariant()
    def what_is_free_and_what_is_held_are_all_there_is(self) -> None:
        assert self.pool.leases == self.held
        assert len(self.pool) == len(self.members - self.held.keys())


TestMembers = Members.TestCase
TestMembers.settings = settings(max_examples=30, stateful_step_count=40)


class Shift(RuleBasedStateMachine):
    """Five mnemonics, ten users at ten cars, who come and go in any order; the switch may be killed in between."""

    USERS = tuple(f"J5000{n}" for n in range(10))

    @initialize()
    def begin(self) -> None:
        self.runner = asyncio.Runner()
        self.folder = TemporaryDirectory()
        self.stations: dict[str, OperatorSession] = {}
        self.run(self._make())

    def run(self, work: Any) -> Any:
        return self.runner.run(work)

    def teardown(self) -> None:
        if not hasattr(self, "runner"):
            return
        try:
            self.run(self._end())
            assert self.point.pools_free() == {"cars": 5}
            assert [lease for lease in self.run(self._leases()) if lease.ended is None] == []
        finally:
            self.run(self.store.close())
            self.runner.close()
            self.folder.cleanup()

    async def _make(self) -> None:
        people = [user(name) for name in self.USERS]
        cars = [terminal(f"unit-{n}", pool="cars") for n in range(10)]
        directory = county(*people, devices=cars, mnemonics=[mnemonic(f"M00{n}", pool="cars") for n in (3, 4, 5)])
        await self._start(directory)

    async def _start(self, directory: Directory | None) -> None:
        self.store = DirectoryStore(f"sqlite+aiosqlite:///{Path(self.folder.name) / 'directory.db'}")
        if directory is not None:
            await self.store.save(directory)
        await self.store.open()
        await self.store.end_all_leases(1, "the switch had stopped")
        rested = await self.store.last_leases()
        self.point = AccessControlPoint(await self.store.load(), self.store, lambda _event: None, TERMS, rested)

    async def _end(self) -> None:
        for session in self.stations.values():
            self.point.sign_off(session, "the end of the shift")
        await self.point.close()

    async def _leases(self) -> list[Lease]:
        return await self.store.leases(10_000)

    @rule(numbers=st.lists(st.integers(0, 9), min_size=1, max_size=10, unique=True))
    def sign_on(self, numbers: list[int]) -> None:
        """Several at once; whoever is signed on already stays."""
        wanting = [n for n in numbers if f"unit-{n}" not in self.stations]
        self.run(self._sign_on(wanting))

    async def _sign_on(self, numbers: list[int]) -> None:
        devices = self.point.directory.devices
        outcomes = await asyncio.gather(
            *(self.point.sign_on(devices[f"unit-{n}"], request(self.USERS[n]), None) for n in numbers),
            return_exceptions=True,
        )
        for number, outcome in zip(numbers, outcomes, strict=True):
            if isinstance(outcome, BaseException):
                assert isinstance(outcome, PoolExhausted), outcome
            else:
                self.stations[f"unit-{number}"] = outcome[0]
        assert len(self.stations) == 5 or not any(isinstance(outcome, Refusal) for outcome in outcomes)

    @precondition(lambda self: self.stations)
    @rule(data=st.data(), twice=st.booleans())
    def sign_off(self, data: st.DataObject, twice: bool) -> None:
        session = self.stations.pop(data.draw(st.sampled_from(sorted(self.stations))))
        self.run(self._sign_off(session, 1 + twice))

    async def _sign_off(self, session: OperatorSession, times: int) -> None:
        for _ in range(times):
            self.point.sign_off(session, "signed off")

    @rule()
    def kill(self) -> None:
        """The process dies: nothing is written any more, and another starts."""
        self.run(self._kill())

    async def _kill(self) -> None:
        # What was under way may or may not have been written; here it was, or the threads would outlive the test.
        await self.point.close()
        await self.store.close()
        self.stations.clear()
        await self._start(None)

    @invariant()
    def nobody_shares_and_nothing_is_lost(self) -> None:
        if not hasattr(self, "point"):
            return
        held = [session.mnemonic for session in self.stations.values()]
        assert len(held) == len(set(held))
        assert self.point.pools_free()["cars"] + len(held) == 5
        assert sorted(self.point.sessions) == sorted(session.session for session in self.stations.values())
        open_leases = {row.session: row.mnemonic for row in self.run(self._leases()) if row.ended is None}
        assert open_leases.items() >= {(row.session, row.mnemonic) for row in self.stations.values()}
        assert len(set(open_leases.values())) == len(open_leases)


TestShift = Shift.TestCase
TestShift.settings = settings(max_examples=10, stateful_step_count=12)
