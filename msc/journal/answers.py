"""What the search process answers: each verb a stream of `{"item"}` and `{"progress"}`, last `{"end"}`.

`asked` holds, by verb; who may ask for what was decided before:

    search   criteria, oldest_first, after, limit     messages with their lives
    show     msn, scope                               every message of the transaction it belongs to, oldest first
    life     msn                                      one message with its life, and nothing of its transaction
    entries  msns                                     these messages, each with its life
    numbered criteria, address, isn or osn            of those that match, the ones with that number there
    follow   criteria                                 messages as they come, until the asker leaves
    sample   criteria, count, seed                    a random sample that can be drawn again
    stats    criteria, by                             counts, for each of what `by` lists
    audit    criteria, oldest_first, after, limit     access-control and operator events
    prove    msn                                      a proof for one message
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Final

from msc import clock
from msc.errors import JournalError
from msc.journal.criteria import AuditCriteria, Criteria
from msc.journal.database.opening import open_reading
from msc.journal.ledger import source_of
from msc.journal.proof.checkpoint import load_signatories
from msc.journal.proof.inclusion import prove
from msc.journal.reader import JournalReader
from msc.journal.sample import sample_of
from msc.journal.search import Searcher
from msc.journal.stats import Statistics

Line = dict[str, Any]

_FOLLOW_POLL_S: Final = 0.5
_SAMPLE_PAGE: Final = 500


class Answers:
    """Answers questions about one journal.

    Args:
        url: Its database.
        public_key: The file of the keys whose signatures count.
    """

    def __init__(self, url: str, public_key: str) -> None:
        self._public_key = Path(public_key)
        self.searcher = Searcher(JournalReader(open_reading(url)))
        self._verbs: dict[str, Callable[[Line], AsyncIterator[Line]]] = {
            "search": self._search,
            "show": self._show,
            "life": self._life,
            "entries": self._entries,
            "numbered": self._numbered,
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
            JournalError: There is no such verb; and, while it is answered, the journal cannot be read.
        """
        answer = self._verbs.get(verb)
        if answer is None:
            raise JournalError(f"{verb!r} is nothing the journal can be asked")
        return answer(asked)

    async def _search(self, asked: Line) -> AsyncIterator[Line]:
        search = self.searcher.search(
            Criteria.from_json(asked["criteria"]), oldest=asked.get("oldest_first", False), cursor=asked.get("after")
        )
        async for entry in search.entries(asked.get("limit")):
            yield {"progress": search.progress()} if entry is None else {"item": entry.as_json()}
        yield {"end": {"after": search.cursor, **search.completeness()}}

    async def _show(self, asked: Line) -> AsyncIterator[Line]:
        entries, completeness = await self.searcher.transaction(asked["msn"], asked.get("scope"))
        for entry in entries:
            yield {"item": entry.as_json()}
        yield {"end": completeness}

    async def _life(self, asked: Line) -> AsyncIterator[Line]:
        await self.searcher.refresh()
        for entry in (await self.searcher.entries([asked["msn"]])).values():
            yield {"item": entry.as_json()}
        yield {"end": {"complete": True}}

    async def _entries(self, asked: Line) -> AsyncIterator[Line]:
        await self.searcher.refresh()
        for entry in (await self.searcher.entries(asked["msns"])).values():
            yield {"item": entry.as_json()}
        yield {"end": {"complete": True}}

    async def _numbered(self, asked: Line) -> AsyncIterator[Line]:
        isn, osn, address = asked.get("isn"), asked.get("osn"), asked["address"]
        search = self.searcher.search(Criteria.from_json(asked["criteria"]))
        async for entry in search.entries():
            if entry is None:
                continue
            if isn is not None:
                fits = entry.isn == isn and source_of(entry.message) == address
            else:
                fits = any(event.destination == address and event.facts.get("osn") == osn for event in entry.events)
            if fits:
                yield {"item": entry.as_json()}
        yield {"end": search.completeness()}

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
                yield {"progress": {"msn": last}}
                msn = last
            await asyncio.sleep(_FOLLOW_POLL_S)

    async def _sample(self, asked: Line) -> AsyncIterator[Line]:
        search = self.searcher.search(Criteria.from_json(asked["criteria"]))
        msns = await search.all_msns()
        drawn = sample_of(msns, asked["count"], str(asked["seed"]))
        for start in range(0, len(drawn), _SAMPLE_PAGE):
            part = drawn[start : start + _SAMPLE_PAGE]
            entries = await self.searcher.entries(part)
            for msn in part:
                if msn in entries:
                    yield {"item": entries[msn].as_json()}
        yield {"end": {"of": len(msns), **search.completeness()}}

    async def _stats(self, asked: Line) -> AsyncIterator[Line]:
        criteria = Criteria.from_json(asked["criteria"])
        end: Line = {}
        for by in asked.get("by") or ["day"]:
            statistics = Statistics(self.searcher, criteria, by)
            async for progress in statistics.run():
                yield {"progress": progress}
            for label, count in statistics.rows():
                yield {"item": {"by": by, "label": label, "count": count}}
            end = {"total": statistics.total, **statistics.search.completeness()}
        yield {"end": end}

    async def _audit(self, asked: Line) -> AsyncIterator[Line]:
        search = self.searcher.audit(
            AuditCriteria.from_json(asked["criteria"]),
            oldest=asked.get("oldest_first", False),
            cursor=asked.get("after"),
        )
        async for stored in search.records(asked.get("limit")):
            if stored is None:
                yield {"progress": search.progress()}
            else:
                members = stored.record._asdict()
                yield {"item": {**members, "at": clock.rfc3339(members["at"]), "seq": stored.seq}}
        yield {"end": {"after": search.cursor, **search.completeness()}}

    async def _prove(self, asked: Line) -> AsyncIterator[Line]:
        yield {"item": await prove(self.searcher.reader.reading, load_signatories(self._public_key), asked["msn"])}
        yield {"end": {"complete": True}}
