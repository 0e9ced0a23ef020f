"""What a clock on the wall shows in a time zone, and days as numbers. It asks no clock: time is an argument.

A local time is a reading, not a moment: in spring an hour of readings is never shown, in autumn an hour is shown
twice. Whoever asks what the clock shows *now* meets neither as a special case; so nothing here turns a reading into a
moment.

The rules of the zones come from the machine (`/usr/share/zoneinfo`), or from the package `tzdata` where a machine,
such as a slim container, has none.
"""

from __future__ import annotations

import functools
import re
from datetime import date, datetime
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

MINUTES_PER_DAY: Final = 1_440
DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
"""The days of the week, in the order of `weekday_of`."""
DAY_FIRST: Final = date.min.toordinal()
DAY_LAST: Final = date.max.toordinal()

_MINUTE_US: Final = 60_000_000
_TIME_OF_DAY: Final = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")


class LocalMinute(NamedTuple):
    """What a clock with a calendar shows."""

    day: int
    """As `date.toordinal` counts."""
    minute: int
    """Of the day, from 0 at midnight: what is written on the clock's face, not what has passed."""


def local_minute(zone: str, at_us: int) -> LocalMinute:
    """Return what the clock shows in a zone (one that `is_zone`) at a wall time, to the minute."""
    return _shown(zone, at_us // _MINUTE_US)


# Every zone's clock is changed at a full minute and by full minutes (since 1972): one answer holds for the minute.
@functools.lru_cache(maxsize=256)
def _shown(zone: str, minute: int) -> LocalMinute:
    shown = datetime.fromtimestamp(minute * 60, ZoneInfo(zone))
    return LocalMinute(shown.toordinal(), shown.hour * 60 + shown.minute)


def is_zone(name: str) -> bool:
    """Tell whether there is a time zone of this name in the IANA database, such as `America/Los_Angeles`."""
    try:
        ZoneInfo(name)
    # KeyError: there is none. The others: the name is not a path below the database, or leads elsewhere.
    except (KeyError, ValueError, OSError):
        return False
    return True


def weekday_of(day: int) -> int:
    """Return the day of the week of a day's number; 0 is Monday."""
    return (day - 1) % 7


def day_number(day: object) -> int:
    """Return the number of a day, as `LocalMinute.day` counts.

    Args:
        day: A `date`, as TOML has it, or text such as `2026-07-01`.

    Raises:
        ValueError: It is neither.
    """
    # A datetime is a date to Python.
    if isinstance(day, date) and not isinstance(day, datetime):
        return day.toordinal()
    if isinstance(day, str):
        return date.fromisoformat(day).toordinal()
    raise ValueError("must be a date such as 2026-07-01")


def day_text(day: int) -> str:
    """Write a day's number as a date: `2026-07-01`."""
    return date.fromordinal(day).isoformat()


def minute_of_day(text: str) -> int:
    """Read a time of day, `00:00` to `23:59`, as minutes since midnight.

    Raises:
        ValueError: It is none.
    """
    if not (time := _TIME_OF_DAY.fullmatch(text)):
        raise ValueError('must be a time of day such as "22:00"')
    return int(time[1]) * 60 + int(time[2])


def minute_text(minute: int) -> str:
    """Write minutes since midnight as a time of day: `22:00`."""
    return f"{minute // 60:02}:{minute % 60:02}"
