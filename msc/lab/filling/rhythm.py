"""When a county is busy: Friday nights, summers, a little more each year. Pure."""

from __future__ import annotations

from math import cos, pi
from random import Random
from typing import Final, NamedTuple

HOUR_US: Final = 3_600_000_000
_DAY_US: Final = 24 * HOUR_US
_LOCAL_US: Final = -8 * HOUR_US
"""The county's clocks against UTC: Pacific time, without its summer hour."""
_THURSDAY: Final = 3
"""Weekday of 1970-01-01."""

_BY_HOUR: Final = (60, 50, 42, 30, 20, 18, 22, 35, 55, 62, 65, 68, 66, 66, 70, 78, 84, 86, 88, 90, 95, 100, 98, 85)
_NIGHT_OUT: Final = 1.7
"""Friday and Saturday from six in the evening until three."""
_WEEKEND_MORNING: Final = 0.75
_SUMMER: Final = 0.18
_PEAK_DAY: Final = 200
_GROWTH: Final = 0.04
"""A year's."""
_NOISE: Final = 0.12


class Hour(NamedTuple):
    """An hour, or what of it is in the filling.

    Attributes:
        begin_us, end_us: Wall time.
        weight: Its share of the traffic, against the other hours.
    """

    begin_us: int
    end_us: int
    weight: float


def _by_week() -> tuple[float, ...]:
    """Return the weight of each hour of a week, Monday 0 o'clock first."""
    weights = []
    for day in range(7):
        for hour, weight in enumerate(_BY_HOUR):
            out = (day in (4, 5) and hour >= 18) or (day in (5, 6) and hour < 3)
            morning = day in (5, 6) and 5 <= hour < 11
            weights.append(weight * (_NIGHT_OUT if out else _WEEKEND_MORNING if morning else 1.0))
    return tuple(weights)


_BY_WEEK: Final = _by_week()


def hour_of_week(at_us: int) -> int:
    """Return the hour of the county's week, from Monday 0 o'clock: 0 to 167."""
    hours = (at_us + _LOCAL_US) // HOUR_US
    return (hours + 24 * _THURSDAY) % 168


def hours(begin_us: int, end_us: int, rng: Random) -> list[Hour]:
    """Return the hours between two times, each with its weight; the first and last may be parts of one."""
    found: list[Hour] = []
    at, day, noise = begin_us, -1, 1.0
    while at < end_us:
        until = min(end_us, at - at % HOUR_US + HOUR_US)
        today = (at + _LOCAL_US) // _DAY_US
        if today != day:
            # Days differ, for no reason anybody knows.
            day, noise = today, max(0.4, rng.gauss(1.0, _NOISE))
        season = 1 + _SUMMER * cos(2 * pi * (today % 365.25 - _PEAK_DAY) / 365.25)
        grown = 1 + _GROWTH * (at - begin_us) / (365.25 * _DAY_US)
        weight = _BY_WEEK[hour_of_week(at)] * season * grown * noise * (until - at) / HOUR_US
        found.append(Hour(at, until, weight))
        at = until
    return found
