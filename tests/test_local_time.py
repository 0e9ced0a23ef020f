"""What a clock on the wall shows."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

import pytest

from msc.clock import parse_rfc3339
from msc.local_time import (
    DAY_FIRST,
    DAYS,
    LocalMinute,
    day_number,
    day_text,
    is_zone,
    local_minute,
    minute_of_day,
    minute_text,
    weekday_of,
)

ZONE = "America/Los_Angeles"


@pytest.mark.parametrize(
    ("at", "day", "shown"),
    [
        ("2026-01-31T08:15:59.999999Z", "2026-01-31", "00:15"),
        ("2026-01-31T07:59:59Z", "2026-01-30", "23:59"),
        # The clock is put forward: 01:59 is followed by 03:00.
        ("2026-03-08T09:59:59.999999Z", "2026-03-08", "01:59"),
        ("2026-03-08T10:00:00Z", "2026-03-08", "03:00"),
        # And back: 01:59 is followed by 01:00.
        ("2026-11-01T08:59:59.999999Z", "2026-11-01", "01:59"),
        ("2026-11-01T09:00:00Z", "2026-11-01", "01:00"),
        ("2026-11-01T09:59:00Z", "2026-11-01", "01:59"),
        ("2026-11-01T10:00:00Z", "2026-11-01", "02:00"),
    ],
)
def test_a_clock_shows_the_time_of_its_zone(at: str, day: str, shown: str) -> None:
    local = local_minute(ZONE, parse_rfc3339(at))
    assert (day_text(local.day), minute_text(local.minute)) == (day, shown)


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Apia", "America/St_Johns"])
def test_zones_of_odd_offsets_are_read_right_at_every_minute_of_their_changes(zone: str) -> None:
    info = ZoneInfo(zone)
    for day in (datetime(2026, 4, 4, 12, tzinfo=UTC), datetime(2026, 10, 3, 12, tzinfo=UTC)):
        first = int(day.timestamp()) // 60
        for minute in range(first, first + 1_440):
            shown = datetime.fromtimestamp(minute * 60, info)
            expected = LocalMinute(shown.toordinal(), shown.hour * 60 + shown.minute)
            assert local_minute(zone, minute * 60_000_000 + 59_999_999) == expected


@pytest.mark.parametrize("name", ["America/Los_Angeles", "America/Phoenix", "UTC", "Etc/GMT+8"])
def test_a_zone_is_known_by_its_iana_name(name: str) -> None:
    assert is_zone(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "America",
        "America/Nowhere",
        "PST8",
        "../../etc/passwd",
        "/etc/localtime",
        "zone1970.tab",
        "a\0b",
        "x" * 5_000,
    ],
)
def test_what_is_no_zone_is_not_taken_for_one(name: str) -> None:
    assert not is_zone(name)


def test_days_have_numbers_and_weekdays() -> None:
    assert day_number(date(2026, 7, 1)) == day_number("2026-07-01") == date(2026, 7, 1).toordinal()
    assert day_text(day_number("2026-07-01")) == "2026-07-01"
    assert DAYS[weekday_of(day_number("2026-07-01"))] == "wed"
    assert weekday_of(DAY_FIRST) == 0


@pytest.mark.parametrize("day", [20260701, None, "tomorrow", "2026-02-30", datetime(2026, 7, 1, tzinfo=UTC), time(7)])
def test_what_is_no_day_is_refused(day: object) -> None:
    with pytest.raises(ValueError):
        day_number(day)


def test_a_time_of_day_is_read_as_it_is_written() -> None:
    for minute in range(1_440):
        assert minute_of_day(minute_text(minute)) == minute
    assert minute_of_day("22:00") == 1_320


@pytest.mark.parametrize("text", ["", "24:00", "7:00", "07:60", "07:00:00", "0700", " 07:00", "07:00\n", "٠٧:٠٠"])
def test_what_is_no_time_of_day_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        minute_of_day(text)
