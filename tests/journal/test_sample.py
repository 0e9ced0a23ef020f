"""The sample for review: the same for everybody who knows its seed."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msc.errors import JournalError
from msc.journal.answers import Answers
from msc.journal.sample import lot_of, sample_of
from msc.transit.message import MessageRecord
from tests.support.journal import enter

MSNS = st.lists(st.integers(0, 2**62), unique=True, max_size=60)
SEEDS = st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), max_size=12)


@pytest.mark.requirement("C-SAMPLE")
def test_a_sample_is_the_one_it_was_years_ago() -> None:
    # Drawn once and kept: another answer means that no earlier review can be done again.
    assert sample_of(range(1, 100_001), 10, "2026-Q4") == [
        9825, 15106, 26526, 39367, 44349, 53233, 66182, 69696, 73935, 79006,
    ]  # fmt: skip


@pytest.mark.requirement("C-SAMPLE")
@given(msns=MSNS, size=st.integers(1, 70), seed=SEEDS)
def test_a_sample_is_the_smallest_lots_as_documented(msns: list[int], size: int, seed: str) -> None:
    by_hand = sorted(msns, key=lambda msn: hashlib.sha256(f"msc-sample-1\n{seed}\n{msn}\n".encode()).hexdigest())
    assert sample_of(msns, size, seed) == sorted(by_hand[:size])
    assert by_hand == sorted(msns, key=lambda msn: lot_of(seed, msn))


@given(msns=MSNS, size=st.integers(1, 70), seed=SEEDS, chance=st.randoms(use_true_random=False))
def test_the_order_messages_come_in_does_not_matter(
    msns: list[int], size: int, seed: str, chance: random.Random
) -> None:
    shuffled = list(msns)
    chance.shuffle(shuffled)
    assert sample_of(iter(shuffled), size, seed) == sample_of(msns, size, seed)


@given(msns=MSNS, size=st.integers(1, 70), seed=SEEDS)
def test_a_larger_sample_holds_the_smaller(msns: list[int], size: int, seed: str) -> None:
    assert set(sample_of(msns, size, seed)) <= set(sample_of(msns, size + 1, seed))


def test_every_message_has_the_same_chance() -> None:
    drawn = [0] * 50
    for seed in range(4_000):
        for msn in sample_of(range(50), 5, str(seed)):
            drawn[msn] += 1
    # 400 expected of each, with a deviation of 19: five of them either way.
    assert all(305 < count < 495 for count in drawn), drawn


def test_another_seed_draws_another_sample() -> None:
    assert sample_of(range(100_000), 10, "a") != sample_of(range(100_000), 10, "b")


@pytest.mark.parametrize(("size", "seed"), [(0, "s"), (-1, "s"), (5, "two\nlines")])
def test_what_is_no_sample_is_refused(size: int, seed: str) -> None:
    with pytest.raises(JournalError):
        sample_of([1, 2], size, seed)


async def test_the_sample_an_operator_asks_for_is_that_of_the_seed(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/journal.db"
    await enter(url, *(MessageRecord(msn, msn, "outbound", "inquiry", transaction=msn) for msn in range(1, 30)))
    answers = Answers(url, "")
    try:
        lines = [line async for line in answers.answer("sample", {"criteria": {}, "count": 5, "seed": 7})]
    finally:
        await answers.close()
    assert [line["item"]["msn"] for line in lines if "item" in line] == sample_of(range(1, 30), 5, "7")
    assert lines[-1]["end"]["of"] == 29
