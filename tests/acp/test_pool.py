"""Mnemonic pools: never two sessions with one mnemonic, and no lease lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msc.acp.pool import MnemonicPool
from msc.errors import CertificateMismatch, MnemonicInUse, PoolExhausted

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
    for mnemonic, session in (("M001", "s2"), ("M002", "s1"), ("XXXX", "s1")):
        with pytest.raises(AssertionError):
            pool.release(mnemonic, session)
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
                mnemonic = pool.allocate(f"s{number}", wanted)
            except (PoolExhausted, MnemonicInUse, CertificateMismatch):
                assert len(held) == 3 or wanted in held or wanted == "A123"
                continue
            assert mnemonic not in held
            assert wanted in (None, mnemonic)
            held[mnemonic] = f"s{number}"
        elif held:
            mnemonic = sorted(held)[pick % len(held)]
            pool.release(mnemonic, held.pop(mnemonic))
        assert pool.leases == held
        assert len(pool) + len(held) == len(MEMBERS)
    for mnemonic, session in held.items():
        pool.release(mnemonic, session)
    assert sorted(pool.allocate(f"end{n}") for n in range(3)) == MEMBERS
