"""When a period holds, by the clock on the wall; and whether two can at once."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msc.clock import parse_rfc3339
from msc.local_time import DAYS, minute_of_day
from msc.routing.period import ALWAYS, EVERY_DAY, Period, Span, together

ZONE = "America/Los_Angeles"
MINUTE_US = 60_000_000
EXAMPLES = int(os.environ.get("MSC_HUNT_EXAMPLES", "50"))


def period(begins: str = "00:00", ends: str = "00:00", days: str = "", zone: str = ZONE, dates: str = "") -> Period:
    """Make a period; `dates` is `FIRST..LAST`, either of which may be left out."""
    first, _, last = dates.partition("..")
    return Period(
        zone,
        frozenset(map(DAYS.index, days.split())) or EVERY_DAY,
        minute_of_day(begins),
        minute_of_day(ends),
        **({"first_day": date.fromisoformat(first).toordinal()} if first else {}),
        **({"last_day": date.fromisoformat(last).toordinal()} if last else {}),
    )


def held(found: Period, since: str, until: str) -> list[tuple[str, str]]:
    """Return from when until when a period holds between two times, to the minute."""
    spans: list[tuple[str, str]] = []
    begun = None
    for at_us in range(parse_rfc3339(since), parse_rfc3339(until) + 1, MINUTE_US):
        holds = found.holds(at_us) and at_us < parse_rfc3339(until)
        moment = datetime.fromtimestamp(at_us // 1_000_000, UTC).strftime("%d %H:%M")
        if holds and begun is None:
            begun = moment
        elif not holds and begun is not None:
            spans.append((begun, moment))
            begun = None
    return spans


# --- the two nights, in UTC: the clock jumps on 8 March at 10:00, and goes back on 1 November at 09:00 ---------


@pytest.mark.requirement("C-TAMF")
@pytest.mark.parametrize(
    ("begins", "ends", "expected"),
    [
        # An hour shorter.
        ("22:00", "06:00", [("08 06:00", "08 13:00")]),
        # What begins in the hour that is left out, begins at the jump; what ends in it, ends there.
        ("02:15", "06:00", [("08 10:00", "08 13:00")]),
        ("22:00", "02:15", [("08 06:00", "08 10:00")]),
        ("02:00", "03:00", []),
        ("02:15", "02:45", []),
        ("01:59", "03:01", [("08 09:59", "08 10:01")]),
    ],
)
def test_the_night_an_hour_is_left_out(begins: str, ends: str, expected: list[tuple[str, str]]) -> None:
    # From noon to noon.
    found = period(begins, ends)
    assert held(found, "2026-03-07T20:00:00Z", "2026-03-08T19:00:00Z") == expected


@pytest.mark.requirement("C-TAMF")
@pytest.mark.parametrize(
    ("begins", "ends", "expected"),
    [
        # An hour longer.
        ("22:00", "06:00", [("01 05:00", "01 14:00")]),
        # Times within the hour that comes twice hold in both passes.
        ("01:15", "01:45", [("01 08:15", "01 08:45"), ("01 09:15", "01 09:45")]),
        ("22:00", "01:30", [("01 05:00", "01 08:30"), ("01 09:00", "01 09:30")]),
        ("01:30", "06:00", [("01 08:30", "01 09:00"), ("01 09:30", "01 14:00")]),
        ("01:00", "02:00", [("01 08:00", "01 10:00")]),
        ("00:30", "03:00", [("01 07:30", "01 11:00")]),
    ],
)
def test_the_night_an_hour_comes_twice(begins: str, ends: str, expected: list[tuple[str, str]]) -> None:
    found = period(begins, ends)
    assert held(found, "2026-10-31T19:00:00Z", "2026-11-01T20:00:00Z") == expected


@pytest.mark.requirement("C-TAMF")
@pytest.mark.parametrize("border", ["01:00", "01:30", "02:00", "02:30", "03:00", "00:00", "12:00"])
def test_two_periods_that_meet_leave_no_minute_to_neither_and_none_to_both(border: str) -> None:
    for other in ("06:00", "02:45", "23:00"):
        night, day = period(other, border), period(border, other)
        for begin in ("2026-03-07T20:00:00Z", "2026-10-31T19:00:00Z"):
            begin_us = parse_rfc3339(begin)
            for at_us in range(begin_us, begin_us + 26 * 60 * MINUTE_US, MINUTE_US):
                assert night.holds(at_us) is not day.holds(at_us)


# --- days and dates ---------------------------------------------------------------------------------------------


@pytest.mark.requirement("C-TAMF")
def test_days_and_dates_are_those_on_which_a_period_begins() -> None:
    friday = period("22:00", "06:00", days="fri", zone="UTC")
    assert held(friday, "2026-06-29T00:00:00Z", "2026-07-06T00:00:00Z") == [("03 22:00", "04 06:00")]
    dated = period("22:00", "06:00", zone="UTC", dates="2026-07-01..2026-07-02")
    assert held(dated, "2026-06-29T00:00:00Z", "2026-07-06T00:00:00Z") == [
        ("01 22:00", "02 06:00"),
        ("02 22:00", "03 06:00"),
    ]


def test_a_period_ends_as_its_last_minute_does() -> None:
    found = period("08:00", "09:00", zone="UTC")
    assert not found.holds(parse_rfc3339("2026-07-01T07:59:59.999999Z"))
    assert found.holds(parse_rfc3339("2026-07-01T08:00:00Z"))
    assert found.holds(parse_rfc3339("2026-07-01T08:59:59.999999Z"))
    assert not found.holds(parse_rfc3339("2026-07-01T09:00:00Z"))


def test_a_period_whose_end_is_its_beginning_lasts_a_day() -> None:
    assert held(period(days="sat", zone="UTC"), "2026-06-29T00:00:00Z", "2026-07-06T00:00:00Z") == [
        ("04 00:00", "05 00:00")
    ]
    found = period("07:00", "07:00", days="sat", zone="UTC")
    assert held(found, "2026-06-29T00:00:00Z", "2026-07-06T00:00:00Z") == [("04 07:00", "05 07:00")]


# --- two at once ------------------------------------------------------------------------------------------------


def meeting(*periods: Period) -> list[str]:
    spans = [ALWAYS]
    for found in periods:
        spans = together(spans, found.spans())
    return [span.example() for span in spans]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (period("22:00", "06:00"), period("06:00", "22:00")),
        (period("22:00", "06:00", days="fri"), period("06:00", "22:00", days="sat")),
        (period(days="sat sun"), period(days="mon tue wed thu fri")),
        (period("22:00", "06:00", dates="..2026-06-30"), period("06:00", "22:00", dates="2026-07-01..")),
        (period(dates="..2026-06-30"), period(dates="2026-07-01..")),
        # A week has no Friday in these dates.
        (period(days="fri", dates="2026-07-04..2026-07-09"), period()),
        (period(zone="UTC", dates="..2026-06-28"), period(dates="2026-07-01..")),
    ],
)
def test_periods_that_never_hold_at_once_do_not_meet(ours: Period, theirs: Period) -> None:
    assert meeting(ours, theirs) == meeting(theirs, ours) == []


@pytest.mark.parametrize(
    ("ours", "theirs", "example"),
    [
        (period(), period(), "at any time"),
        (period("22:00", "06:00"), period("05:59", "22:00"), f"mon 05:59 {ZONE}"),
        (period("22:00", "06:00", days="sun"), period(days="mon"), f"mon 00:00 {ZONE}"),
        (period("22:00", "06:00", dates="2026-07-01.."), period(days="wed"), f"2026-07-01 22:00 {ZONE}"),
        # The last night of the one is the first morning of the other.
        (
            period("22:00", "06:00", dates="..2026-06-30"),
            period(dates="2026-07-01.."),
            f"2026-07-01 00:00 {ZONE}",
        ),
        (period(days="sun", dates="..2026-07-31"), period("12:00", "13:00"), f"2026-07-26 12:00 {ZONE}"),
        (
            period("22:00", "06:00"),
            period("06:00", "22:00", zone="UTC"),
            "perhaps: their zones differ, and only their days were compared; write them in one zone",
        ),
        (
            period(zone="Pacific/Apia", dates="2026-07-01.."),
            period(zone="Pacific/Pago_Pago", dates="..2026-06-30"),
            "perhaps: their zones differ, and only their days were compared; write them in one zone",
        ),
    ],
)
def test_periods_that_can_hold_at_once_meet_and_say_when(ours: Period, theirs: Period, example: str) -> None:
    assert example in meeting(ours, theirs)
    assert example in meeting(theirs, ours)


def test_a_period_without_a_day_never_holds() -> None:
    assert period(days="fri", dates="2026-07-04..2026-07-09").spans() == []
    assert period(dates="2026-07-04..2026-07-03").spans() == []
    assert period(days="fri", dates="2026-07-03..2026-07-03").spans()


JUNE = date(2026, 6, 1)
HOURS = [parse_rfc3339("2026-05-18T00:30:00Z") + hour * 60 * MINUTE_US for hour in range(24 * 65)]
"""Every hour of a summer's weeks: more than one before the first date of the periods below, and after the last."""


@st.composite
def periods(draw: st.DrawFn, zone: str) -> Period:
    first = draw(st.none() | st.integers(0, 35))
    last = draw(st.none() | st.integers(first or 0, 35))
    hour = st.integers(0, 23).map(lambda hour: hour * 60)
    return Period(
        zone,
        draw(st.frozensets(st.integers(0, 6), min_size=1)),
        draw(hour),
        draw(hour),
        **({} if first is None else {"first_day": (JUNE + timedelta(first)).toordinal()}),
        **({} if last is None else {"last_day": (JUNE + timedelta(last)).toordinal()}),
    )


@settings(max_examples=EXAMPLES)
@given(st.lists(periods(ZONE), min_size=1, max_size=3))
def test_a_hunt_for_periods_that_meet_finds_what_every_hour_shows(found: list[Period]) -> None:
    shown = any(all(one.holds(at_us) for one in found) for at_us in HOURS)
    assert bool(meeting(*found)) is shown


@settings(max_examples=EXAMPLES)
@given(periods(ZONE), periods("Asia/Tokyo"), periods("Pacific/Apia"))
def test_a_hunt_through_several_zones_misses_no_periods_that_meet(one: Period, two: Period, three: Period) -> None:
    if any(one.holds(at_us) and two.holds(at_us) and three.holds(at_us) for at_us in HOURS):
        assert meeting(one, two, three)


def test_a_span_is_what_it_meets_of_always() -> None:
    for span in period("22:00", "06:00", days="fri", dates="2026-07-01..2026-07-31").spans():
        assert span.meet(ALWAYS) == ALWAYS.meet(span) == span
        assert isinstance(span, Span)
