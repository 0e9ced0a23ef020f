"""Five failures in fifteen minutes lock; names nobody has are counted alike; memory is bounded."""

from __future__ import annotations

import pytest

from msc.access.lockout import FailureLog
from msc.limits import FAILURE_RECORDS_MAX

MINUTE = 60_000_000
NOW = 1_769_847_300_000_000

pytestmark = pytest.mark.requirement("F-LOCKOUT")


def test_the_fifth_failure_locks_and_says_so() -> None:
    failures = FailureLog()
    assert [failures.failed("J40217", NOW + n) for n in range(5)] == [False, False, False, False, True]
    assert failures.locked("J40217", NOW + 5)
    assert not failures.locked("J40218", NOW + 5)


@pytest.mark.parametrize(("apart", "locks"), [(15 * MINUTE - 1, True), (15 * MINUTE, False), (16 * MINUTE, False)])
def test_five_failures_lock_only_within_fifteen_minutes(apart: int, locks: bool) -> None:
    failures = FailureLog()
    for at in (0, 1, 2, 3):
        assert not failures.failed("J40217", NOW + at)
    assert failures.failed("J40217", NOW + apart) is locks


def test_failures_that_stay_apart_never_lock() -> None:
    failures = FailureLog()
    assert not any(failures.failed("J40217", NOW + n * 4 * MINUTE) for n in range(50))


def test_the_window_slides() -> None:
    failures = FailureLog()
    times = [0, 14, 15, 16, 17, 18]
    assert [failures.failed("J40217", NOW + t * MINUTE) for t in times] == [False] * 5 + [True]


def test_a_success_forgets_the_failures() -> None:
    failures = FailureLog()
    for n in range(4):
        failures.failed("J40217", NOW + n)
    failures.succeeded("J40217")
    failures.succeeded("J40217")
    assert not failures.failed("J40217", NOW + 9)


def test_memory_is_bounded_and_the_oldest_name_is_forgotten_first() -> None:
    failures = FailureLog()
    for _ in range(5):
        failures.failed("OLDEST", NOW)
    for _ in range(5):
        failures.failed("RECENT", NOW)
    for n in range(FAILURE_RECORDS_MAX - 1):
        failures.failed(f"U{n}", NOW)
    assert not failures.locked("OLDEST", NOW)
    assert failures.locked("RECENT", NOW)
    assert len(failures._failures) == FAILURE_RECORDS_MAX


def test_a_lock_holds_for_good_and_only_a_release_ends_it() -> None:
    failures = FailureLog()
    for n in range(5):
        failures.failed("NOBODY", NOW + n)
    for later in (15 * MINUTE, 24 * 60 * MINUTE, 400 * 24 * 60 * MINUTE):
        assert failures.locked("NOBODY", NOW + later)
        assert failures.failed("NOBODY", NOW + later), "a failure of a locked name keeps it locked"
    assert failures.locked("NOBODY", NOW + 15 * MINUTE)
    failures.succeeded("NOBODY")
    assert not failures.locked("NOBODY", NOW + 15 * MINUTE)


def test_a_lock_that_does_not_last_ends_with_its_window() -> None:
    failures = FailureLog(3, lasting=False)
    assert [failures.failed("cad-1", NOW + n) for n in range(3)] == [False, False, True]
    assert failures.locked("cad-1", NOW + 15 * MINUTE - 1)
    assert not failures.locked("cad-1", NOW + 15 * MINUTE)
    assert not failures.failed("cad-1", NOW + 16 * MINUTE)


@pytest.mark.parametrize("most", [1, 5, 20])
def test_as_many_failures_as_are_said_lock(most: int) -> None:
    failures = FailureLog(most)
    assert [failures.failed("desk-1", NOW) for _ in range(most)] == [False] * (most - 1) + [True]
