"""How long a month is kept: by calendar, never shorter, and longer under a legal hold."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from msc.errors import JournalError
from msc.journal.criteria import Criteria
from msc.journal.database.layout import Hold, Month
from msc.journal.process import Part
from msc.journal.retention import Verdict, asking, goes_on, month_before, months_from, plan, years_after
from msc.settings import RetentionSettings
from tests.support.journal_builder import JournalBuilder
from tests.support.memory_journal import MemoryJournal

THREE = RetentionSettings()
DAYS = st.dates(date(1971, 1, 1), date(2199, 12, 31))


async def nothing_matches(month: Month, criteria: Criteria) -> bool:
    return False


@pytest.fixture
async def journal() -> AsyncIterator[MemoryJournal]:
    """Records on some days of each month from January 2023 to April 2026, archived but for the end."""
    journal = MemoryJournal()
    builder = JournalBuilder(journal)
    for month in months_from(202301, 202604):
        await builder.fill(f"{month // 100}-{month % 100:02}-25", days=4, per_day=1)
    await builder.archive(keep=3)
    yield journal


def last_day(day: date, at: timedelta = timedelta(hours=23, minutes=59, seconds=59)) -> Month:
    """A month whose last record is of a day."""
    moment = datetime(day.year, day.month, day.day, tzinfo=UTC) + at
    return Month(day.year * 100 + day.month, 1, 9, last_at=int(moment.timestamp() * 1_000_000), sealed=1)


async def verdicts(journal: MemoryJournal, today: date, matches_in=nothing_matches) -> dict[int, Verdict]:
    return {o.month.month: o.verdict for o in await plan(journal, today, THREE, matches_in)}


@pytest.mark.requirement("C-TRAFFIC", "C-JOURNAL")
@given(DAYS, st.integers(3, 10), st.integers(0, 86_399_999_999))
def test_no_record_goes_before_its_years_are_full(day: date, years: int, us: int) -> None:
    going = goes_on(last_day(day, timedelta(microseconds=us)), years)
    # Whoever asks on that day for the same day so many years ago, or for later, asks for something that came after.
    assert going > day
    back = going.year - years
    asked = date(back, 3, 1) if (going.month, going.day) == (2, 29) else going.replace(year=back)
    assert asked > day
    assert going <= years_after(day, years) + timedelta(days=1)


@pytest.mark.requirement("C-TRAFFIC")
@given(DAYS, DAYS, st.integers(3, 10))
def test_what_is_older_goes_no_later(one: date, other: date, years: int) -> None:
    first, second = sorted((one, other))
    assert goes_on(last_day(first), years) <= goes_on(last_day(second), years)


@pytest.mark.parametrize(
    ("last", "years", "going"),
    [
        (date(2023, 11, 30), 3, date(2026, 12, 1)),
        (date(2023, 12, 31), 3, date(2027, 1, 1)),
        (date(2024, 2, 28), 3, date(2027, 3, 1)),
        (date(2024, 2, 29), 3, date(2027, 3, 2)),
        (date(2024, 2, 29), 4, date(2028, 3, 1)),
        (date(2025, 2, 28), 3, date(2028, 2, 29)),
        (date(2023, 1, 31), 3, date(2026, 2, 1)),
    ],
)
@pytest.mark.requirement("C-TRAFFIC")
def test_the_calendar_knows_leap_years_and_month_ends(last: date, years: int, going: date) -> None:
    assert goes_on(last_day(last), years) == going


@given(st.integers(1970, 9998), st.integers(1, 12), st.integers(0, 40))
def test_months_follow_on_each_other(year: int, month: int, more: int) -> None:
    last = year * 100 + month
    first = last
    for _ in range(more):
        first = month_before(first)
    if first < 197001:
        return
    assert len(months_from(first, last)) == more + 1
    assert months_from(first, last) == sorted(set(months_from(first, last)))


@pytest.mark.parametrize(("first", "last"), [(202613, 202613), (202600, 202601), (202602, 202601), (0, 202601)])
def test_what_is_no_month_is_refused(first: int, last: int) -> None:
    with pytest.raises(ValueError, match=r"not a month|comes after"):
        months_from(first, last)


@pytest.mark.requirement("C-TRAFFIC", "C-JOURNAL")
@pytest.mark.parametrize("years", [2, 0, -1, 101])
def test_less_than_three_years_cannot_be_configured(years: int) -> None:
    with pytest.raises(ValidationError):
        RetentionSettings(years=years)


def test_nothing_is_deleted_by_itself_unless_configured() -> None:
    assert RetentionSettings() == RetentionSettings(years=3, automatic=False)


@pytest.mark.requirement("C-TRAFFIC")
async def test_a_month_is_due_on_the_day_after_its_last_record_is_three_years_old(journal: MemoryJournal) -> None:
    assert (await verdicts(journal, date(2026, 1, 28)))[202301] is Verdict.KEPT
    # 28 January 2023 is the month's last record here.
    assert (await verdicts(journal, date(2026, 1, 29)))[202301] is Verdict.DUE
    found = await verdicts(journal, date(2026, 4, 28))
    assert [month for month, verdict in found.items() if verdict is Verdict.DUE] == [202301, 202302, 202303]
    assert (found[202304], found[202603], found[202604]) == (Verdict.KEPT, Verdict.KEPT, Verdict.OPEN)


@pytest.mark.requirement("C-TRAFFIC")
async def test_a_longer_period_keeps_longer(journal: MemoryJournal) -> None:
    outlooks = await plan(journal, date(2026, 4, 28), RetentionSettings(years=4), nothing_matches)
    assert {o.verdict for o in outlooks} == {Verdict.KEPT, Verdict.OPEN}
    assert outlooks[0].goes_on == date(2027, 1, 29)


@pytest.mark.requirement("C-TRAFFIC", "F-CLOCK")
async def test_a_clock_that_leaps_ahead_makes_nothing_due(journal: MemoryJournal) -> None:
    found = await verdicts(journal, date(2039, 1, 1))
    # What the journal did not live through three years after, only a person deletes.
    assert {month for month, verdict in found.items() if verdict is Verdict.DUE} == {202301, 202302, 202303, 202304}
    assert found[202305] is Verdict.BY_HAND
    assert found[202603] is Verdict.BY_HAND


@pytest.mark.requirement("C-TRAFFIC", "F-AUPROT")
async def test_a_month_whose_seal_is_missing_or_another_does_not_go(journal: MemoryJournal) -> None:
    seal = journal.all_months[202301].sealed
    journal.statements.pop(seal)
    other = journal.all_months[202302]
    journal.all_months[202302] = other._replace(sealed=journal.all_months[202303].sealed)
    found = await verdicts(journal, date(2026, 4, 28))
    assert (found[202301], found[202302], found[202303]) == (Verdict.IN_DOUBT, Verdict.IN_DOUBT, Verdict.DUE)


async def test_a_month_of_which_not_all_is_archived_does_not_go(journal: MemoryJournal) -> None:
    month = journal.all_months[202301]
    journal.all_months[202301] = month._replace(last=month.last - 1)
    assert (await verdicts(journal, date(2026, 4, 28)))[202301] is Verdict.OPEN


@pytest.mark.requirement("C-TRAFFIC")
async def test_a_held_month_stays_until_the_hold_is_released(journal: MemoryJournal) -> None:
    await journal.put_hold(Hold(0, "People v. Roe", 202302, "", 1, "CLERK", "subpoena"))
    assert (await verdicts(journal, date(2026, 4, 28)))[202302] is Verdict.HELD
    assert (await verdicts(journal, date(2026, 1, 1)))[202302] is Verdict.KEPT
    await journal.put_hold(journal.all_holds[1]._replace(released_at=2, released_by="CLERK"))
    assert (await verdicts(journal, date(2026, 4, 28)))[202302] is Verdict.DUE


@pytest.mark.requirement("C-TRAFFIC")
async def test_a_month_with_a_match_is_held_and_the_one_after_it(journal: MemoryJournal) -> None:
    await journal.put_hold(Hold(0, "People v. Roe", 0, '{"user":"U001"}', 1, "CLERK", "subpoena"))
    asked: list[tuple[int, Criteria]] = []

    async def matches_in(month: Month, criteria: Criteria) -> bool:
        asked.append((month.month, criteria))
        return month.month == 202301

    found = await verdicts(journal, date(2026, 4, 28), matches_in)
    assert (found[202301], found[202302], found[202303]) == (Verdict.HELD, Verdict.HELD, Verdict.DUE)
    # Nobody searches months whose time is not over.
    assert {month for month, _ in asked} == {202301, 202302, 202303}
    assert {criteria for _, criteria in asked} == {Criteria(user="U001")}


@pytest.mark.requirement("C-TRAFFIC")
async def test_where_it_cannot_be_found_out_the_month_is_held(journal: MemoryJournal) -> None:
    await journal.put_hold(Hold(0, "unreadable", 0, '["user"]', 1, "CLERK", "subpoena"))
    assert (await verdicts(journal, date(2026, 4, 28)))[202301] is Verdict.HELD
    journal.all_holds.clear()
    await journal.put_hold(Hold(0, "People v. Roe", 0, '{"user":"U001"}', 1, "CLERK", "subpoena"))

    async def fails(month: Month, criteria: Criteria) -> bool:
        raise JournalError("no index")

    assert (await verdicts(journal, date(2026, 4, 28), fails))[202301] is Verdict.HELD


@pytest.mark.requirement("C-TRAFFIC")
async def test_the_search_process_is_asked_for_a_month_alone_and_must_have_seen_all_of_it() -> None:
    month = last_day(date(2024, 2, 29))._replace(first_at=1_000)
    asked: list[dict[str, object]] = []
    parts = [Part(end={"complete": True})]

    async def ask(verb: str, what: dict[str, object]) -> AsyncGenerator[Part, None]:
        assert verb == "search"
        asked.append(what)
        for part in parts:
            yield part

    matches_in = asking(ask)
    assert not await matches_in(month, Criteria(user="U001", until_us=5_000))
    assert asked == [{"criteria": {"user": "U001", "since_us": 1_000, "until_us": 5_000}, "limit": 1}]
    # What is of another time is not even asked for.
    assert not await matches_in(month, Criteria(user="U001", until_us=1_000))
    assert not await matches_in(month, Criteria(user="U001", since_us=month.last_at + 1))
    assert len(asked) == 1
    parts[:] = [Part(end={"complete": False})]
    with pytest.raises(JournalError, match="202402"):
        await matches_in(month, Criteria(user="U001"))
    parts[:] = [Part(b"{}", 1), Part(end={"complete": False})]
    assert await matches_in(month, Criteria(user="U001"))
