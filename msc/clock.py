"""The only place that asks what time it is.

Wall time is UTC in whole microseconds since 1970 (an `int`, as the journal stores it). Durations use
the monotonic clock in seconds. Pure code takes either as an argument.
"""

from __future__ import annotations

import functools
import re
import time
from datetime import UTC, date, datetime
from typing import Final

monotonic = time.monotonic

_DAY_S: Final = 86_400
_UNIT_S: Final = {"s": 1, "m": 60, "h": 3600, "d": _DAY_S, "w": 7 * _DAY_S}
_AGO: Final = re.compile(
    r"(\d{1,6}) ?(s|sec|secs|seconds?|m|min|mins|minutes?|h|hrs?|hours?|d|days?|w|weeks?)(?: ago)?", re.ASCII
)

_cached_second = -1
_cached_prefix = ""


def wall_us() -> int:
    """Return the time now, in microseconds since 1970-01-01 UTC."""
    return time.time_ns() // 1000


def monotonic_us() -> int:
    """Return the monotonic clock in whole microseconds: of use only beside another of the same run of the machine."""
    return time.monotonic_ns() // 1000


_DAY_US = 86_400_000_000
_EPOCH = date(1970, 1, 1).toordinal()
_cached_day = date(1970, 1, 1)


def ordinal_of(at_us: int) -> int:
    """Return the number of the day (UTC) of a wall time, as `date.toordinal` counts."""
    return _EPOCH + at_us // _DAY_US


def day_of(at_us: int) -> date:
    """Return the day (UTC) of a wall time."""
    return date.fromordinal(ordinal_of(at_us))


@functools.lru_cache(maxsize=64)
def _month_of_day(ordinal: int) -> int:
    day = date.fromordinal(ordinal)
    return day.year * 100 + day.month


def month_of(at_us: int) -> int:
    """Return the month (UTC) of a wall time: 202611."""
    return _month_of_day(_EPOCH + at_us // _DAY_US)


def today() -> date:
    """Return the day (UTC) it is now."""
    # Asked for every message: the same object all day.
    global _cached_day
    number = _EPOCH + wall_us() // _DAY_US
    if _cached_day.toordinal() != number:
        _cached_day = date.fromordinal(number)
    return _cached_day


def rfc3339(at_us: int) -> str:
    """Write a wall time as RFC 3339 in UTC with microseconds: `2026-01-31T08:15:00.123456Z`."""
    # Most calls fall into the second of the one before: format it once.
    global _cached_second, _cached_prefix
    second, micro = divmod(at_us, 1_000_000)
    if second != _cached_second:
        _cached_prefix = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        _cached_second = second
    return f"{_cached_prefix}.{micro:06d}Z"


def parse_rfc3339(text: str) -> int:
    """Read a date or a time (RFC 3339; UTC where no offset is given) as microseconds since 1970.

    Raises:
        ValueError: It is neither.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def parse_moment(text: str, now_us: int) -> int:
    """Read what a person means by a time, as microseconds since 1970.

    A date or time as in `parse_rfc3339`; `1h`, `90 min`, `2 days ago` before now; `now`; `today` and `yesterday`,
    which begin at midnight UTC.

    Args:
        text: Seconds, minutes, hours, days and weeks may be cut down to their first letter.
        now_us: What "ago" counts from.

    Raises:
        ValueError: It is none of these.
    """
    text = " ".join(text.split())
    words = text.lower()
    if ago := _AGO.fullmatch(words):
        return now_us - int(ago[1]) * _UNIT_S[ago[2][0]] * 1_000_000
    midnight_us = now_us - now_us % (_DAY_S * 1_000_000)
    named = {"now": now_us, "today": midnight_us, "yesterday": midnight_us - _DAY_S * 1_000_000}
    return named[words] if words in named else parse_rfc3339(text)
