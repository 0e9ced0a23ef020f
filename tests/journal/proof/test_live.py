"""Verifying real databases, also while they are written and archived."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from msc.journal.database.opening import open_reading
from msc.journal.proof.finding import Kind
from msc.journal.proof.verification import verify
from tests.journal.proof.test_verification import delete
from tests.support.both_ends import BothEnds
from tests.support.journal_builder import SECOND, JournalBuilder

pytestmark = pytest.mark.requirement("F-AUPROT", "C-JOURNAL")


async def test_verifying_while_records_come_and_go_is_no_alarm(journal_url: str) -> None:
    database = BothEnds(journal_url)
    await database.open()
    builder = JournalBuilder(database)  # type: ignore[arg-type]
    await builder.fill("2026-10-29", days=4, per_day=10)
    await builder.archive(records=16, keep=30)
    done = asyncio.Event()

    async def live() -> None:
        for turn in range(400):
            await builder.transact(builder.now + 3600 * SECOND, state=turn % 4 == 0)
            if turn % 9 == 0:
                await builder.archive(records=16, keep=turn % 40)
            if turn == 60:
                await delete(database, builder, 202610)  # type: ignore[arg-type]
            if done.is_set() and turn > 70:
                break

    reading = open_reading(journal_url)
    living = asyncio.create_task(live())
    try:
        for _ in range(12):
            report = await verify(reading, builder.signatories, now_us=builder.now)
            assert [finding.text for finding in report.faults] == []
            assert report.proven[-1].last > 100
        done.set()
        await living
        report = await verify(reading, builder.signatories, now_us=builder.now)
        assert report.ok
        assert report.deleted == [202610]
    finally:
        done.set()
        await living
        await reading.close()
        await database.close()


async def test_a_month_dropped_from_postgresql_is_named(postgres_url: str) -> None:
    database = BothEnds(postgres_url)
    await database.open()
    builder = JournalBuilder(database)  # type: ignore[arg-type]
    await builder.fill("2026-10-30", days=4, per_day=5)
    await builder.archive(records=16, keep=5)
    await database.close()
    engine = create_async_engine(postgres_url)
    async with engine.begin() as connection:
        await connection.execute(text("DROP TABLE block_202610"))
    await engine.dispose()
    reading = open_reading(postgres_url)
    report = await verify(reading, builder.signatories, now_us=builder.now)
    await reading.close()
    assert [(finding.kind, finding.month) for finding in report.faults] == [(Kind.MONTH_REMOVED, 202610)]
    assert report.proven[-1].last == report.records + report.faults[0].last
