"""The filling itself: years of a county's records, in order of time; the same for the same seed, byte for byte."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Final

from msc import __version__, clock
from msc.errors import JournalError
from msc.journal.record import AuditRecord, Record
from msc.lab.filling.county import County
from msc.lab.filling.rhythm import HOUR_US, Hour, hours
from msc.lab.filling.schedule import Schedule
from msc.lab.filling.shift import Shifts
from msc.lab.filling.transaction import Transactions

BEGAN: Final = "filling.began"
ENDED: Final = "filling.ended"
"""Audit events around a filling, so that nobody takes its records for real ones."""

RECORDS_MIN: Final = 200
"""Fewer would hold little more than the switch's start and stop."""
YEAR_US: Final = 31_557_600_000_000
CHUNK: Final = 8_192
"""Records of a commit, about."""
_SECOND: Final = 1_000_000
_PER_TRANSACTION: Final = 7.0
"""Records, about: planning corrects itself."""
_ROOM: Final = 100
"""Records that the next transaction may come to, a sign-on included."""
_END_US: Final = 300 * _SECOND
"""Nothing is begun this shortly before the end: all is answered by then."""
_RESTART_DAY_HOUR: Final = 12
"""Once a month, 4 o'clock in the county, the switch is started anew."""


def generate(
    records: int, years: float, seed: int, end_us: int, *, after_msn: int = 0, chunk: int = CHUNK
) -> Iterator[list[Record]]:
    """Make records in order of time, in lists of about `chunk`.

    Every message has ended. About one record in five is a message.

    Args:
        records: How many altogether: messages, their events, audit records.
        years: How far before `end_us` they begin.
        seed: What is decided by chance follows from it.
        end_us: Wall time before which all of it stands.
        after_msn: The highest MSN there is already.

    Raises:
        JournalError: So few records, or so short a time, that there is no county in it.
    """
    begin_us = end_us - int(years * YEAR_US)
    if records < RECORDS_MIN or end_us - begin_us < HOUR_US:
        raise JournalError(f"a filling takes at least {RECORDS_MIN} records and an hour")
    return _in_chunks(_generate(records, seed, begin_us, end_us, after_msn), chunk)


def _in_chunks(parts: Iterator[list[Record]], size: int) -> Iterator[list[Record]]:
    waiting: list[Record] = []
    for part in parts:
        waiting += part
        if len(waiting) >= size:
            yield waiting
            waiting = []
    if waiting:
        yield waiting


def _generate(records: int, seed: int, begin_us: int, end_us: int, after_msn: int) -> Iterator[list[Record]]:
    # The generator behind it is specified, and the same on every machine.
    rng = Random(seed)  # noqa: S311
    first = begin_us + 60 * _SECOND
    when = hours(first, end_us - _END_US, rng)
    days = (end_us - begin_us) / (24 * HOUR_US)
    county = County(rng, records / _PER_TRANSACTION / days)
    schedule = Schedule(after_msn)
    shifts = Shifts(rng, county, schedule, __version__)
    transactions = Transactions(rng, county, schedule)
    schedule.audit(begin_us, BEGAN, subject=f"records {records}", detail=f"seed {seed}; none of it is real")
    shifts.start(begin_us + _SECOND)
    left_weight = sum(hour.weight for hour in when)
    room = records - _ROOM - 1
    for hour in when:
        left = room - schedule.planned - shifts.open_ends - len(shifts.sessions)
        expected = max(0.0, left * hour.weight / left_weight / _PER_TRANSACTION)
        left_weight -= hour.weight
        last = hour is when[-1]
        begin = hour.begin_us
        if _is_restart(hour) and not last and left > shifts.restart_records:
            shifts.pass_time(begin + 400 * _SECOND)
            shifts.stop(begin + 400 * _SECOND)
            shifts.start(begin + 430 * _SECOND)
            begin += 460 * _SECOND
        transactions.new_hour(begin)
        # In the last hour as many as there is room for.
        count = int(1.3 * expected) + 20 if last else int(expected + rng.random())
        span = hour.end_us - begin
        for at_us in sorted(begin + int(span * rng.random()) for _ in range(count)):
            if schedule.planned + shifts.open_ends + len(shifts.sessions) > room:
                break
            shifts.pass_time(at_us)
            sent_us, session = shifts.sit(at_us)
            transactions.plan(sent_us, session)
            transactions.plan_unsolicited(at_us)
        shifts.pass_time(hour.end_us)
        if last:
            # What there is no room for a transaction in.
            spare = records - 1 - schedule.planned - shifts.open_ends
            for _ in range(spare):
                at_us = begin + int(span * rng.random())
                schedule.audit(at_us, "handshake.refused", detail="the peer gave no certificate")
        yield schedule.make(hour.end_us)
    yield schedule.make(end_us - 60 * _SECOND)
    shifts.stop(end_us - 60 * _SECOND)
    yield [*schedule.make(end_us), AuditRecord(end_us - 1, ENDED, subject=f"records {records}")]


def _is_restart(hour: Hour) -> bool:
    """Tell whether an hour is the first of a month's at which the switch is started anew."""
    whole = hour.end_us - hour.begin_us == HOUR_US
    return whole and hour.begin_us // HOUR_US % 24 == _RESTART_DAY_HOUR and clock.day_of(hour.begin_us).day == 1
