"""Single messages found for the running switch: by MSN, and by the number a source or a destination counted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import orjson
import pytest

from msc.errors import JournalError
from msc.journal.answers import Answers
from msc.journal.lookup import Lookup
from msc.journal.process import Part
from msc.transit.event import Event, Life
from msc.transit.message import Direction, MessageRecord
from tests.support.journal import enter

_DAY_US = 86_400_000_000


def message(msn: int, at: int, **members: Any) -> MessageRecord:
    row = MessageRecord(msn, at, Direction.OUTBOUND, "inquiry", device="desk-1", text="QV", transaction=msn)
    return row._replace(**members)


@pytest.mark.requirement("F-AUDIT")
async def test_messages_are_found_by_msn_isn_and_osn(journal_url: str) -> None:
    sent = [Event(msn, msn * _DAY_US, Life.SENT, "line:a") for msn in (1, 2)]
    await enter(
        journal_url, message(1, _DAY_US), sent[0], message(2, 2 * _DAY_US), sent[1],
        message(3, 2 * _DAY_US, direction=Direction.INBOUND, device="desk-1", line="a"),
    )  # fmt: skip
    answers = Answers(journal_url, "none.pub")

    async def ask(verb: str, asked: dict[str, Any]) -> AsyncGenerator[Part, None]:
        async for line in answers.answer(verb, asked):
            yield Part(orjson.dumps(line) + b"\n", 1)

    lookup = Lookup(ask)
    try:
        found = (await lookup.entries([2, 9]))[2]
        assert (found.message, found.isn, found.events[1:]) == (
            message(2, 2 * _DAY_US),
            2,
            (sent[1]._replace(facts={"osn": 2}),),
        )
        assert (await lookup.entries([9, 1])).keys() == {1}

        async def isns(isn: int, source: str, first: int, last: int) -> list[int]:
            return [each.message.msn for each in await lookup.by_isn(isn, source, first * _DAY_US, last * _DAY_US)]

        assert await isns(2, "device:desk-1", 0, 9) == [2], "what answers it is the line's first, and not its second"
        assert await isns(1, "line:a", 0, 9) == [3]
        assert await isns(2, "device:desk-1", 0, 2) == []
        assert [each.message.msn for each in await lookup.by_osn(2, "line:a", 0, 9 * _DAY_US)] == [2]
        assert await lookup.by_osn(2, "device:desk-1", 0, 9 * _DAY_US) == []
    finally:
        await answers.close()


@pytest.mark.requirement("F-AUDIT")
async def test_a_search_that_takes_too_long_is_told_and_stopped() -> None:
    stopped = asyncio.Event()

    async def silent(_verb: str, _asked: dict[str, Any]) -> AsyncGenerator[Part, None]:
        try:
            await asyncio.Event().wait()
            yield Part()
        finally:
            stopped.set()

    with pytest.raises(JournalError, match=r"not searched within 0\.01 s"):
        await Lookup(silent, 0.01).entries([1])
    assert stopped.is_set()
