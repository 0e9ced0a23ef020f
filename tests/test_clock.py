"""What people mean by a time."""

from __future__ import annotations

import pytest

from msc.clock import parse_moment, parse_rfc3339, rfc3339

NOW = parse_rfc3339("2026-03-01T08:15:30.250000Z")


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("now", "2026-03-01T08:15:30.250000Z"),
        ("today", "2026-03-01T00:00:00.000000Z"),
        ("Yesterday", "2026-02-28T00:00:00.000000Z"),
        ("30s", "2026-03-01T08:15:00.250000Z"),
        ("15 min", "2026-03-01T08:00:30.250000Z"),
        ("90 minutes ago", "2026-03-01T06:45:30.250000Z"),
        ("1h", "2026-03-01T07:15:30.250000Z"),
        ("1 hour ago", "2026-03-01T07:15:30.250000Z"),
        ("  2  days   ago ", "2026-02-27T08:15:30.250000Z"),
        ("1w", "2026-02-22T08:15:30.250000Z"),
        ("2026-01-31", "2026-01-31T00:00:00.000000Z"),
        ("2026-01-31 08:15", "2026-01-31T08:15:00.000000Z"),
        ("2026-01-31T08:15:00-08:00", "2026-01-31T16:15:00.000000Z"),
    ],
)
def test_a_moment_is_read_as_people_mean_it(text: str, moment: str) -> None:
    assert rfc3339(parse_moment(text, NOW)) == moment


@pytest.mark.parametrize("text", ["", "ago", "h", "-1h", "1 month", "1h ago ago", "in 2 days", "٣h", "tomorrow"])
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_moment(text, NOW)


def test_the_longest_time_ago_is_one_a_database_can_hold() -> None:
    assert parse_moment("999999 weeks ago", NOW) > -(2**63)
