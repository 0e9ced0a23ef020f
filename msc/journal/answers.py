"""What the search process answers: each verb a stream of `{"item"}` and `{"progress"}`, last `{"end"}`.

`asked` holds, by verb; a scope stands in the criteria, and was set by the switch:

    search   criteria, oldest, cursor, limit     messages with their lives
    show     msn, scope                          every message of the transaction it belongs to, oldest first
    follow   criteria                            messages as they come, until the asker leaves
    sample   criteria, size, seed                a random sample that can be drawn again
    stats    criteria, by                        counts
    audit    criteria, oldest, cursor, limit     access-control and operator events
    prove    msn, scope                          a proof for one message
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

from msc import clock
from msc.errors import JournalError
from msc.journal.criteria import AuditCriteria, Criteria
from msc.journal.database.opening import open_reading
from msc.journal.proof.inclusion import prove
from msc.journal.reader import JournalReader
from msc.journal.sample import draw
from msc.journal.search import Searcher
from msc.journal.stats import Statistics

Line = dict[str, Any]

_FOLLOW_POLL_S: Final = 0.5


class Answers:
    """Answers questions about one journal.

    Args:
        url: Its database.
    """

    def __init__(self, url: str) -> None:
        self.searcher = Searcher(JournalReader(open_reading(url)))
        self._verbs: dict[str, Callable[[Line], AsyncIterator[Line]]] = {
            "search": self._search,
            "show": self._show,
            "follow": self._follow,
            "sample": self._sample,
            "stats": self._stats,
            "audit": self._audit,
            "prove": self._prove,
        }

    async def close(self) -> None:
        """Let go of the journal."""
        await self.searcher.reader.close()

    def answer(self, verb: str, asked: Line) -> AsyncIterator[Line]:
        """Answer a question.

        Raises:
            JournalError: While it is answered: the journal cannot be read, or this is nothing to ask.
        """
        answer = self._verbs.get(verb)
        if answer is None:
            raise JournalError(f"{verb!r} is nothing the journal can be asked")
        return answer(asked)

    async def _search(self, asked: Line) -> AsyncIterator[Line]:
        search = self.searcher.search(
            Criteria.from_json(asked["criteria"]), oldest=bool(asked.get("oldest")), cursor=asked.get("cursor")
        )
        limit = asked.get("limit")
        count = 0
        async for entry in search.entries(limit):
            if entry is None:
                yield {"progress": search.progress()}
            else:
                count += 1
                yield {"item": entry.as_json()}
        yield {"end": {"count": count, "cursor": search.cursor, **search.completeness()}}

    async def _show(self, asked: Line) -> AsyncIterator[Line]:
        entries = await self.searcher.transaction(asked["msn"], asked.get("scope"))
        for entry in entries:
            yield {"item": entry.as_json()}
        yield {"end": {"count": len(entries)}}

    async def _follow(self, asked: Line) -> AsyncIterator[Line]:
        criteria = Criteria.from_json(asked["criteria"])
        await self.searcher.refresh()
        msn = self.searcher.last_msn()
        while True:
            await self.searcher.refresh()
            last = self.searcher.last_msn()
            if last > msn:
                for entry in await self.searcher.between(criteria, msn + 1, last):
                    yield {"item": entry.as_json()}
                msn = last
            await asyncio.sleep(_FOLLOW_POLL_S)

    async def _sample(self, asked: Line) -> AsyncIterator[Line]:
        search = self.searcher.search(Criteria.from_json(asked["criteria"]))
        msns = await search.all_msns()
        drawn = draw(msns, asked["size"], str(asked["seed"]))
        entries = await self.searcher.entries(drawn)
        for msn in drawn:
            if msn in entries:
                yield {"item": entries[msn].as_json()}
        yield {"end": {"count": len(entries), "of": len(msns), **search.completeness()}}

    async def _stats(self, asked: Line) -> AsyncIterator[Line]:
        statistics = Statistics(self.searcher, Criteria.from_json(asked["criteria"]), asked["by"])
        async for progress in statistics.run():
            yield {"progress": progress}
        for label, count in statistics.rows():
            yield {"item": {"label": label, "count": count}}
        yield {"end": {"count": statistics.total, **statistics.search.completeness()}}

    async def _audit(self, asked: Line) -> AsyncIterator[Line]:
        search = self.searcher.audit(
            AuditCriteria.from_json(asked["criteria"]), oldest=bool(asked.get("oldest")), cursor=asked.get("cursor")
        )
        count = 0
        async for stored in search.records(asked.get("limit")):
            if stored is None:
                yield {"progress": search.progress()}
                continue
            count += 1
            members = stored.record._asdict()
            yield {"item": {**members, "at": clock.rfc3339(members["at"]), "seq": stored.seq}}
        yield {"end": {"count": count, "cursor": search.cursor, **search.completeness()}}

    async def _prove(self, asked: Line) -> AsyncIterator[Line]:
        entries = await self.searcher.transaction(asked["msn"], asked.get("scope"))
        if not any(entry.message.msn == asked["msn"] for entry in entries):
            yield {"end": {"count": 0}}
            return
        yield {"item": await prove(self.searcher.reader.reading, asked["msn"])}
        yield {"end": {"count": 1}}
