"""Indexes that were damaged or falsified: verifying tells it, and making them anew mends it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from random import Random
from typing import Any

import numpy as np
import pytest

from msc.errors import JournalError
from msc.journal.archive import LAST_TIER, Archivist
from msc.journal.criteria import Criteria
from msc.journal.database.layout import Page, Segment
from msc.journal.index.page import Lists, encode_page, read_page
from msc.journal.proof.finding import Kind, Report
from msc.journal.proof.verification import verify
from msc.journal.reader import JournalReader
from msc.journal.record import AuditRecord
from msc.journal.reindex import NoSuchMonth, reindex
from msc.journal.search import Searcher
from msc.transit.event import Event, Life
from tests.support.both_ends import BothEnds
from tests.support.journal_builder import DAY, JournalBuilder
from tests.support.memory_journal import MemoryJournal

pytestmark = pytest.mark.requirement("F-AUPROT", "C-JOURNAL")

OCTOBER, NOVEMBER = 202610, 202611


class Kept:
    """A journal of three months that the archivist packed and indexed, some of it late."""

    def __init__(self, journal: Any, builder: JournalBuilder) -> None:
        self.journal, self.builder = journal, builder

    async def verify(self, journal: Any = None) -> Report:
        return await verify(
            journal or self.journal, self.builder.signatories, index=True, now_us=self.builder.now + DAY
        )

    async def pages(self, month: int) -> list[Page]:
        places = [(segment, number) for segment, number, _ in await self.journal.first_terms(month)]
        return list(await self.journal.pages(month, places))

    async def put(self, month: int, segments: list[Segment], pages: list[Page]) -> None:
        """Put other segments and pages in a month's place."""
        row = next(row for row in await self.journal.months() if row.month == month)
        old = {segment.number for segment in await self.journal.segments(month)}
        await self.journal.store(row, (), (), (), sorted(old | {page.segment for page in await self.pages(month)}))
        await self.journal.store(row, (), segments, pages)

    async def found(self, **criteria: Any) -> list[int]:
        search = Searcher(JournalReader(self.journal)).search(Criteria(**criteria))
        return [entry.message.msn async for entry in search.entries() if entry is not None]


async def make(journal: Any, *, seed: int = 1) -> Kept:
    await journal.open()
    builder, rng = JournalBuilder(journal, seed=seed), Random(seed)
    archivist = Archivist(journal)
    for month in (202609, OCTOBER, NOVEMBER, 202612):
        await journal.make_month(month)
    at = builder.now = 1_790_208_000 * 1_000_000  # 2026-09-24
    for _ in range(40):
        at += rng.randrange(DAY // 2, 2 * DAY)
        about = await builder.transact(at) - 2 * rng.randrange(20)
        if about > 0:
            late = Event(about, builder.now + 1, Life.RETURNED, f"device:L{rng.randrange(9)}")
            again = AuditRecord(builder.now + 2, "sign_on.refused", user="U001", detail="wrong password", code="E102")
            await builder.enter([late, again])
        await builder.state()
        if rng.random() < 0.7:
            await journal.commit([], drop_to=await archivist.step(at_least=rng.randrange(1, 30)))
    return Kept(journal, builder)


@pytest.fixture
async def kept(journal_url: str) -> AsyncIterator[Kept]:
    kept = await make(BothEnds(journal_url))
    yield kept
    await kept.journal.close()


def of_index(report: Report) -> set[Kind]:
    assert report.records_ok
    assert report.first_bad_msn is None
    return {finding.kind for finding in report.faults}


async def check_mended(kept: Kept, month: int) -> None:
    """Making the month's index anew mends it, and leaves nothing to say."""
    (done,) = (await reindex(kept.journal, [month])).months
    assert done.month == month
    assert [finding.text for finding in (await kept.verify()).faults] == []
    assert len(await kept.journal.segments(month)) == 1


async def whole(kept: Kept, month: int) -> list[Page]:
    """Make a month's index one segment, so that a test knows where a term stands."""
    await reindex(kept.journal, [month])
    return await kept.pages(month)


def with_lists(page: Page, change: Callable[[dict[bytes, np.ndarray]], None]) -> tuple[Page, int]:
    """Return a page with its lists changed, and how many places it names then."""
    lists = read_page(page.body).lists()
    terms = dict(
        zip(lists.names.split(b"\n")[:-1], np.split(lists.places, np.cumsum(lists.counts)[:-1]), strict=True)
    )
    change(terms)
    names = sorted(terms)
    places = np.concatenate([terms[name] for name in names])
    counts = np.array([len(terms[name]) for name in names], np.int64)
    body = encode_page(Lists(b"\n".join(names) + b"\n", counts, places), 1)
    return page._replace(first_term=names[0].decode(), body=body), len(places)


async def falsify(kept: Kept, month: int, change: Callable[[dict[bytes, np.ndarray]], None]) -> None:
    """Change the lists of a month, with everything beside them made to fit."""
    (page,) = await whole(kept, month)
    changed, entries = with_lists(page, change)
    (segment,) = await kept.journal.segments(month)
    await kept.put(month, [segment._replace(entries=entries)], [changed])


async def test_an_archived_journal_has_nothing_to_say(kept: Kept) -> None:
    assert (await kept.verify()).faults == []
    assert len(await kept.journal.segments(OCTOBER)) > 1


async def test_a_page_that_is_gone_is_found_and_made_anew(kept: Kept) -> None:
    segments, pages = await kept.journal.segments(OCTOBER), await kept.pages(OCTOBER)
    await kept.put(OCTOBER, segments, pages[1:])
    report = await kept.verify()
    assert of_index(report) == {Kind.INDEX_DAMAGED, Kind.INDEX_HIDES}
    (damaged,) = [f for f in report.faults if f.kind is Kind.INDEX_DAMAGED]
    assert damaged.month == OCTOBER
    assert f"page 0 of segment {pages[0].segment} is missing" in damaged.text
    assert "msc journal reindex --month 2026-10" in damaged.text
    await check_mended(kept, OCTOBER)


async def test_a_page_that_cannot_be_read_is_found_and_made_anew(kept: Kept) -> None:
    segments, pages = await kept.journal.segments(OCTOBER), await kept.pages(OCTOBER)
    await kept.put(OCTOBER, segments, [pages[0]._replace(body=pages[0].body[:-9]), *pages[1:]])
    report = await kept.verify()
    assert Kind.INDEX_DAMAGED in of_index(report)
    assert any(f"page 0 of segment {pages[0].segment} cannot be read" in f.text for f in report.faults)
    await check_mended(kept, OCTOBER)


async def test_a_page_under_another_term_is_found_and_made_anew(kept: Kept) -> None:
    segments, pages = await kept.journal.segments(OCTOBER), await kept.pages(OCTOBER)
    await kept.put(OCTOBER, segments, [pages[0]._replace(first_term="zzz"), *pages[1:]])
    assert of_index(await kept.verify()) == {Kind.INDEX_DAMAGED}
    await check_mended(kept, OCTOBER)


async def test_a_segment_without_its_row_is_found_and_made_anew(kept: Kept) -> None:
    segments, pages = await kept.journal.segments(OCTOBER), await kept.pages(OCTOBER)
    await kept.put(OCTOBER, segments[1:], pages)
    assert of_index(await kept.verify()) == {Kind.INDEX_DAMAGED}
    await check_mended(kept, OCTOBER)


async def test_a_segment_that_is_gone_with_its_pages_is_found_and_made_anew(kept: Kept) -> None:
    first, *segments = await kept.journal.segments(OCTOBER)
    pages = [page for page in await kept.pages(OCTOBER) if page.segment != first.number]
    await kept.put(OCTOBER, segments, pages)
    assert of_index(await kept.verify()) == {Kind.INDEX_HIDES}
    await check_mended(kept, OCTOBER)


async def test_an_index_that_is_gone_is_found_and_made_anew(kept: Kept) -> None:
    await kept.put(OCTOBER, [], [])
    plain = await verify(kept.journal, kept.builder.signatories, now_us=kept.builder.now + DAY)
    assert of_index(plain) == {Kind.INDEX_DAMAGED}
    assert await kept.found(agency="BAYPD", since_us=0) != list(range(kept.builder.msn, 0, -1))
    await check_mended(kept, OCTOBER)
    assert await kept.found(agency="BAYPD") == list(range(kept.builder.msn, 0, -1))


async def test_a_message_that_was_taken_out_of_the_index_is_named_but_no_term(kept: Kept) -> None:
    row = next(row for row in await kept.journal.months() if row.month == OCTOBER)
    msn = row.first_msn + 2

    def hide(terms: dict[bytes, np.ndarray]) -> None:
        for term, places in list(terms.items()):
            left = places[places != msn]
            if term[:1] not in b"!@" and len(left):
                terms[term] = left
            elif term[:1] not in b"!@":
                del terms[term]

    plates = await kept.found(msn=msn)
    assert plates == [msn]
    await falsify(kept, OCTOBER, hide)
    plain = await verify(kept.journal, kept.builder.signatories, now_us=kept.builder.now + DAY)
    assert plain.faults == []
    report = await kept.verify()
    assert [(f.kind, f.msn, f.month) for f in report.faults] == [(Kind.INDEX_HIDES, msn, OCTOBER)]
    assert "user" in report.faults[0].text
    assert "words of its text" in report.faults[0].text
    assert "BAYPD" not in str(report.as_json())
    await check_mended(kept, OCTOBER)


async def test_a_term_that_was_renamed_is_found_and_made_anew(kept: Kept) -> None:
    def rename(terms: dict[bytes, np.ndarray]) -> None:
        terms[b"agency:BAYP0"] = terms.pop(b"agency:BAYPD")

    await falsify(kept, NOVEMBER, rename)
    report = await kept.verify()
    assert of_index(report) == {Kind.INDEX_HIDES, Kind.INDEX_MISLEADS}
    assert {f.text.partition(" by ")[2].partition(";")[0] for f in report.faults} == {"agency"}
    await check_mended(kept, NOVEMBER)


async def test_where_late_events_stand_is_found_missing_and_made_anew(kept: Kept) -> None:
    taken: list[int] = []

    def take(terms: dict[bytes, np.ndarray]) -> None:
        where = next(term for term in terms if term.startswith(b"@"))
        taken.append(int(where[1:]))
        del terms[where]

    await falsify(kept, OCTOBER, take)
    report = await kept.verify()
    assert [(f.kind, f.msn) for f in report.faults] == [(Kind.INDEX_HIDES, taken[0])]
    await check_mended(kept, OCTOBER)


async def test_an_audit_record_that_is_hidden_is_named(kept: Kept) -> None:
    def take(terms: dict[bytes, np.ndarray]) -> None:
        terms[b"!user:U001"] = terms[b"!user:U001"][1:]

    await falsify(kept, OCTOBER, take)
    (finding,) = (await kept.verify()).faults
    assert (finding.kind, finding.msn, finding.month) == (Kind.INDEX_HIDES, None, OCTOBER)
    assert f"audit record {finding.first}" in finding.text
    assert finding.first > 0


async def test_the_index_of_another_month_is_found_and_made_anew(kept: Kept) -> None:
    segments, pages = await kept.journal.segments(NOVEMBER), await kept.pages(NOVEMBER)
    await kept.put(OCTOBER, segments, pages)
    assert of_index(await kept.verify()) == {Kind.INDEX_HIDES, Kind.INDEX_MISLEADS}
    await check_mended(kept, OCTOBER)


async def test_pages_in_each_others_places_are_found_and_made_anew(kept: Kept) -> None:
    def unsorted(page: Page) -> Page:
        lists = read_page(page.body).lists()
        names = lists.names.split(b"\n")[:-1]
        parts = np.split(lists.places, np.cumsum(lists.counts)[:-1])
        turned = Lists(b"\n".join(names[::-1]) + b"\n", lists.counts[::-1].copy(), np.concatenate(parts[::-1]))
        return page._replace(first_term=names[-1].decode(), body=encode_page(turned, 1))

    pages = await whole(kept, OCTOBER)
    await kept.put(OCTOBER, await kept.journal.segments(OCTOBER), [unsorted(page) for page in pages])
    report = await kept.verify()
    # All of it is there, but a search that relies on the order would not find it.
    assert of_index(report) == {Kind.INDEX_DAMAGED}
    assert "is not in order" in report.faults[0].text
    await check_mended(kept, OCTOBER)


async def test_many_hidden_messages_are_counted(monkeypatch: pytest.MonkeyPatch, kept: Kept) -> None:
    monkeypatch.setattr("msc.journal.proof.index_content.NAMED_MAX", 3)
    row = next(row for row in await kept.journal.months() if row.month == OCTOBER)
    await kept.put(OCTOBER, [], [])
    report = await kept.verify()
    named = [f.msn for f in report.faults if f.kind is Kind.INDEX_HIDES and f.msn is not None]
    assert named == [row.first_msn, row.first_msn + 1, row.first_msn + 2]
    more = row.last_msn - row.first_msn + 1 - 3
    assert any(f"hides {more} more messages" in f.text for f in report.faults)


async def test_every_index_can_be_made_anew_and_archiving_goes_on(kept: Kept) -> None:
    before = {month.month: month for month in await kept.journal.months()}
    asked = [{"agency": "BAYPD"}, {"outcome": "returned"}, {"device": "L3"}, {"text": ("VALID", "1*")}]
    expected = [await kept.found(**criteria) for criteria in asked]
    assert all(expected[:2])
    outcome = await reindex(kept.journal)
    assert (outcome.failed, outcome.unread) == ({}, 0)
    assert [done.month for done in outcome.months] == sorted((m for m in before if before[m].last), reverse=True)
    assert {month.month: month for month in await kept.journal.months()} == before
    assert [await kept.found(**criteria) for criteria in asked] == expected
    builder, archivist = kept.builder, Archivist(kept.journal)
    while max(m.month for m in await kept.journal.months() if m.last) < 202612:
        await builder.transact(builder.now + 2 * DAY)
        await builder.state()
        await archivist.step(at_least=1)
    await archivist.step(at_least=1)
    assert (await kept.verify()).faults == []
    # The open month's index, made anew, was merged with what came after when the month was sealed.
    assert [s.tier for s in await kept.journal.segments(NOVEMBER)] == [LAST_TIER]


async def test_an_index_is_made_in_runs_and_is_the_same(monkeypatch: pytest.MonkeyPatch, kept: Kept) -> None:
    made = {month: (await whole(kept, month)) for month in (OCTOBER, NOVEMBER)}
    monkeypatch.setattr("msc.journal.derivation.RUN", 40)
    assert (await kept.verify()).faults == []
    for month, pages in made.items():
        assert [page.body for page in await whole(kept, month)] == [page.body for page in pages]


async def test_the_old_index_stays_where_making_it_anew_is_interrupted() -> None:
    kept = await make(MemoryJournal())
    before = await kept.journal.segments(OCTOBER)
    assert len(before) > 1

    async def fails(*_: Any) -> None:
        raise JournalError("the disk is full")

    store, kept.journal.store = kept.journal.store, fails
    with pytest.raises(JournalError, match="full"):
        await reindex(kept.journal, [OCTOBER])
    kept.journal.store = store
    assert await kept.journal.segments(OCTOBER) == before
    assert (await kept.verify()).faults == []


async def test_a_month_without_records_has_no_index_to_make(kept: Kept) -> None:
    with pytest.raises(NoSuchMonth, match="202401"):
        await reindex(kept.journal, [202401])


async def test_a_month_that_cannot_be_read_is_named_and_the_others_are_made() -> None:
    kept = await make(MemoryJournal())
    kept.journal.unreadable.add(OCTOBER)
    outcome = await reindex(kept.journal)
    assert list(outcome.failed) == [OCTOBER]
    assert {done.month for done in outcome.months} >= {202609, NOVEMBER}


async def test_records_that_cannot_be_read_are_left_out_and_counted() -> None:
    kept = await make(MemoryJournal())
    blocks = kept.journal.all_blocks[OCTOBER]
    first, block = next(iter(blocks.items()))
    blocks[first] = block._replace(body=b"\x00")
    outcome = await reindex(kept.journal)
    assert outcome.unread == block.key.last - first + 1
    report = await kept.verify()
    assert {f.kind for f in report.faults} == {Kind.BLOCK_UNREADABLE}


class Moving:
    """A journal that is written and archived between any two reads."""

    def __init__(self, kept: Kept, rng: Random) -> None:
        self._kept, self._rng = kept, rng
        self._archivist = Archivist(kept.journal)

    def __getattr__(self, name: str) -> Any:
        async def read(*arguments: Any) -> Any:
            found = await getattr(self._kept.journal, name)(*arguments)
            if self._rng.random() < 0.2:
                await self.move()
            return found

        return read

    async def move(self) -> None:
        builder, rng = self._kept.builder, self._rng
        await builder.transact(builder.now + rng.randrange(1, 3 * DAY))
        about = rng.randrange(1, builder.msn)
        await builder.enter([Event(about, builder.now + 1, Life.RETURNED, f"device:M{rng.randrange(9)}")])
        await builder.state()
        if rng.random() < 0.6:
            archived = await self._archivist.step(at_least=rng.randrange(1, 40))
            if rng.random() < 0.7:
                await self._kept.journal.commit([], drop_to=archived)


@pytest.mark.parametrize("seed", range(12))
async def test_whatever_was_archived_when_there_is_nothing_to_say(seed: int) -> None:
    kept = await make(MemoryJournal(), seed=seed)
    for month in range(202701, 202713):
        await kept.journal.make_month(month)
    for _ in range(3):
        report = await kept.verify(Moving(kept, Random(seed)))
        assert [finding.text for finding in report.faults] == []
    await reindex(kept.journal)
    assert [finding.text for finding in (await kept.verify()).faults] == []
