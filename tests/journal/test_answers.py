"""What the search process answers, verb by verb, over tail and blocks of real databases."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from msc import clock
from msc.errors import JournalError
from msc.journal import answers as answers_module
from msc.journal.answers import Answers
from msc.journal.archive import Archivist
from msc.journal.criteria import BadCriteria
from msc.journal.database.layout import MonthUnreadable
from msc.journal.record import AuditRecord
from msc.transit.event import Event, Life
from msc.transit.message import MessageRecord
from tests.support.both_ends import BothEnds
from tests.support.journal_builder import JournalBuilder, an_answer, an_inquiry

Line = dict[str, Any]
SEPTEMBER, OCTOBER, NOVEMBER = 202609, 202610, 202611


class County:
    """A journal: September and October in blocks, November in the tail; 12 transactions a month."""

    def __init__(self, url: str) -> None:
        self.journal = BothEnds(url)
        self.builder = JournalBuilder(self.journal)  # type: ignore[arg-type]
        self.answers = Answers(url, "")

    async def fill(self) -> None:
        await self.journal.open()
        archivist = Archivist(self.journal)  # type: ignore[arg-type]
        for day in ("2026-09-28", "2026-10-28"):
            await self.builder.fill(day, days=2, per_day=6)
            await self.journal.commit([], drop_to=await archivist.step(at_least=1))
        await self.builder.fill("2026-11-02", days=2, per_day=6)

    async def lines(self, verb: str, **asked: Any) -> list[Line]:
        return [line async for line in self.answers.answer(verb, {"criteria": {}, **asked})]

    async def items(self, verb: str, **asked: Any) -> list[Line]:
        return [line["item"] for line in await self.lines(verb, **asked) if "item" in line]

    async def close(self) -> None:
        await self.answers.close()
        await self.journal.close()


@pytest.fixture
async def county(journal_url: str) -> AsyncIterator[County]:
    county = County(journal_url)
    await county.fill()
    yield county
    await county.close()


# --- messages -----------------------------------------------------------------------------------------------------


@pytest.mark.requirement("C-JOURNAL", "C-TRAFFIC")
async def test_a_search_gives_messages_with_lives_and_numbers_and_says_what_was_searched(
    county: County,
) -> None:
    lines = await county.lines("search")
    items = [line["item"] for line in lines if "item" in line]
    assert [item["msn"] for item in items] == list(range(72, 0, -1))
    inquiry, answer = items[-1], items[-2]
    assert (inquiry["received"], inquiry["seq"], inquiry["isn"]) == ("2026-09-28T00:00:00.000000Z", 1, 1)
    assert [(e["event"], e["destination"], e["osn"]) for e in inquiry["events"]] == [
        ("received", None, None), ("routed", "line:STATE", None), ("sent", "line:STATE", 1),
        ("answered", "line:STATE", None),
    ]  # fmt: skip
    assert [e["event"] for e in answer["events"]] == ["received", "routed", "sent", "acknowledged"]
    assert [line["progress"] for line in lines if "progress" in line] == [
        {"months": 0, "of": 2}, {"months": 1, "of": 2}, {"months": 2, "of": 2},
    ]  # fmt: skip
    assert lines[-1]["end"] == {
        "after": None, "complete": True, "searched": [SEPTEMBER, OCTOBER, NOVEMBER], "unreadable": [],
    }  # fmt: skip


async def test_a_page_ends_where_the_next_begins(county: County) -> None:
    for oldest in (False, True):
        everything = await county.items("search", oldest_first=oldest)
        found, after = [], None
        while True:
            lines = await county.lines("search", oldest_first=oldest, limit=7, **({"after": after} if after else {}))
            found += [line["item"] for line in lines if "item" in line]
            after = lines[-1]["end"]["after"]
            if after is None:
                break
        assert found == everything


@pytest.mark.requirement("C-JOURNAL")
@pytest.mark.parametrize(
    ("criteria", "months"),
    [
        ({}, [SEPTEMBER, OCTOBER, NOVEMBER]),
        ({"since_us": clock.parse_rfc3339("2026-10-01")}, [OCTOBER, NOVEMBER]),
        ({"until_us": clock.parse_rfc3339("2026-10-01")}, [SEPTEMBER]),
        ({"since_us": clock.parse_rfc3339("2026-12-01")}, []),
    ],
    ids=["ever", "since", "until", "never"],
)
async def test_a_time_leaves_months_out(county: County, criteria: Line, months: list[int]) -> None:
    lines = await county.lines("search", criteria=criteria)
    found = {int(line["item"]["received"][:7].replace("-", "")) for line in lines if "item" in line}
    assert sorted(found) == months
    assert set(months) <= set(lines[-1]["end"]["searched"])


@pytest.mark.requirement("C-TRAFFIC", "C-JOURNAL")
async def test_a_transaction_is_shown_whole_also_over_the_end_of_a_month(county: County) -> None:
    builder, at = county.builder, clock.parse_rfc3339("2026-11-30T23:59:59")
    inquiry, answer = builder.msn + 1, builder.msn + 2
    builder.msn = answer
    await builder.enter(an_inquiry(inquiry, at, builder.rng))
    await builder.enter(an_answer(answer, at + 5_000_000, inquiry, builder.rng), state=True)
    await Archivist(county.journal).step(at_least=1)  # type: ignore[arg-type]
    for msn in (inquiry, answer):
        lines = await county.lines("show", msn=msn)
        items = [line["item"] for line in lines if "item" in line]
        assert [item["msn"] for item in items] == [inquiry, answer]
        assert items[0]["events"][-1]["event"] == "answered"
        assert lines[-1]["end"]["complete"]
    assert await county.items("show", msn=999) == []


@pytest.mark.requirement("N-SCOPE")
async def test_in_a_scope_nothing_of_others_is_shown(county: County) -> None:
    assert len(await county.items("show", msn=1, scope="BAYPD")) == 2
    assert await county.items("show", msn=1, scope="OTHER") == []
    assert await county.items("search", criteria={"scope": "OTHER"}) == []
    assert await county.items("sample", criteria={"scope": "OTHER"}, count=3, seed=1) == []
    assert await county.items("stats", criteria={"scope": "OTHER"}, by=["agency"]) == []


async def test_statistics_come_for_each_thing_asked_and_a_day_if_nothing_is(county: County) -> None:
    lines = await county.lines("stats", by=["kind", "month"])
    items = [tuple(line["item"].values()) for line in lines if "item" in line]
    assert sorted(items[:2]) == [("kind", "inquiry", 36), ("kind", "response", 36)]
    assert items[2:] == [("month", "2026-09", 24), ("month", "2026-10", 24), ("month", "2026-11", 24)]
    assert (lines[-1]["end"]["total"], lines[-1]["end"]["complete"]) == (72, True)
    days = await county.items("stats")
    assert [(item["by"], item["count"]) for item in days] == [("day", 12)] * 6


@pytest.mark.requirement("C-TRAFFIC")
async def test_one_message_is_shown_with_its_life_wherever_it_stands(county: County) -> None:
    for msn in (1, 25, 71):
        [item] = await county.items("life", msn=msn)
        assert item["msn"] == msn and item["events"][0]["event"] == "received" and len(item["events"]) > 2
    assert await county.items("life", msn=999) == []
    assert (await county.items("search", oldest_first=True))[-1]["msn"] == 72, "a look at one message hid the newest"


@pytest.mark.requirement("C-SAMPLE")
async def test_a_sample_is_drawn_again_wherever_its_messages_stand(county: County) -> None:
    first = await county.items("sample", count=10, seed=5)
    assert len(first) == 10
    await Archivist(county.journal).step(at_least=1)  # type: ignore[arg-type]
    assert await county.items("sample", count=10, seed=5) == first


# --- audit events -------------------------------------------------------------------------------------------------


@pytest.mark.requirement("F-AUDIT", "N-SCOPE")
async def test_audit_events_come_with_their_place_and_in_a_scope_only_its_own(county: County) -> None:
    builder = county.builder
    own = AuditRecord(builder.now + 1, "sign_on.refused", user="J1", code="E101", agency="BAYPD")
    await builder.enter([own, own._replace(user="J2", agency="OTHER"), own._replace(user="J3", agency=None)])
    found = await county.items("audit", criteria={"event": "sign_on.refused"})
    assert [item["user"] for item in found] == ["J3", "J2", "J1"]
    assert found[-1] == own._asdict() | {"at": clock.rfc3339(own.at), "seq": builder.ledger.seq - 2}
    [scoped] = await county.items("audit", criteria={"event": "sign_on.refused", "scope": "BAYPD"})
    assert scoped == found[-1]


# --- following ----------------------------------------------------------------------------------------------------


@pytest.mark.requirement("C-TRAFFIC", "N-SCOPE")
async def test_who_follows_sees_what_comes_and_nothing_of_before(
    county: County, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers_module, "_FOLLOW_POLL_S", 0.001)
    builder, archivist = county.builder, Archivist(county.journal)  # type: ignore[arg-type]
    following = county.answers.answer("follow", {"criteria": {"kind": "inquiry", "scope": "BAYPD"}})
    assert hasattr(following, "aclose")
    async with asyncio.timeout(30), aclosing(following):
        first = asyncio.ensure_future(anext(following))  # type: ignore[arg-type]
        # It begins at the end there is when it first looks.
        for _ in range(20):
            await asyncio.sleep(0.002)
        seen = []
        for n in range(4):
            inquiry = await builder.transact(builder.now + 1_000_000, state=True)
            if n % 2:
                await county.journal.commit([], drop_to=await archivist.step(at_least=1))
            line = await first if n == 0 else await anext(following)
            seen.append(line["item"]["msn"])
            assert seen[-1] == inquiry
            assert "progress" in await anext(following)


# --- what cannot be answered --------------------------------------------------------------------------------------


async def test_what_is_no_question_is_refused(county: County) -> None:
    for verb, asked, error in (
        ("fly", {}, JournalError),
        ("search", {"criteria": {"colour": "red"}}, BadCriteria),
        ("search", {"criteria": {}, "after": "<one"}, BadCriteria),
        ("search", {"criteria": {}, "after": "<5", "oldest_first": True}, BadCriteria),
        ("search", {"criteria": {"text": ["..."]}}, BadCriteria),
        ("audit", {"criteria": {"text": ["-"]}}, BadCriteria),
        ("stats", {"criteria": {}, "by": ["weather"]}, BadCriteria),
        ("sample", {"criteria": {}, "count": 0, "seed": 1}, JournalError),
    ):
        with pytest.raises(error):
            await county.lines(verb, **asked)


@pytest.mark.requirement("C-JOURNAL", "F-AUPROT")
async def test_every_answer_says_so_where_a_month_cannot_be_read(tmp_path: Path) -> None:
    county = County(f"sqlite+aiosqlite:///{tmp_path / 'journal.db'}")
    await county.fill()
    builder = county.builder
    # In November, an answer to what was asked in September.
    await builder.enter(an_answer(builder.msn + 1, builder.now + 1, 1, builder.rng), state=True)
    (tmp_path / "journal" / "2026-10.db").unlink()
    for verb, asked in (
        ("search", {}), ("search", {"oldest_first": True}), ("audit", {}), ("stats", {}),
        ("sample", {"count": 3, "seed": 1}), ("show", {"msn": 1}),
    ):  # fmt: skip
        end = (await county.lines(verb, **asked))[-1]["end"]
        assert (end["complete"], end["unreadable"]) == (False, [OCTOBER]), verb
    with pytest.raises(MonthUnreadable, match="202610"):
        await county.lines("show", msn=30)
    await county.close()


async def test_a_late_event_of_an_unreadable_month_stops_no_search_of_the_others(tmp_path: Path) -> None:
    county = County(f"sqlite+aiosqlite:///{tmp_path / 'journal.db'}")
    await county.fill()
    builder = county.builder
    await builder.enter([Event(30, builder.now + 1, Life.RETURNED, "device:T50")], state=True)
    (tmp_path / "journal" / "2026-10.db").unlink()
    found = await county.items("search", criteria={"kind": "inquiry"})
    assert len(found) == 24
    assert all(MessageRecord._fields[0] in item for item in found)
    await county.close()
