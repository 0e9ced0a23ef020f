"""What operators ask of the keeper: told as JSON, refused where it makes no sense."""

from __future__ import annotations

import json
from typing import Any

import pytest

from msc import clock
from msc.journal.criteria import BadCriteria
from msc.journal.keeper import BadHold, NotToBeDeleted
from msc.journal.keeping import VERBS, keep
from msc.settings import RetentionSettings
from tests.journal.test_keeper import Kept
from tests.support.memory_journal import MemoryJournal

NOW = clock.parse_rfc3339("2026-04-28T10:00:00Z")


@pytest.fixture
async def kept() -> Kept:
    kept = Kept(MemoryJournal())
    await kept.fill()
    return kept


async def ask(kept: Kept, verb: str, **asked: Any) -> Any:
    answer = await keep(kept.keeper(RetentionSettings()), verb, asked, "CHIEF", "audit 7", NOW)
    assert json.loads(json.dumps(answer)) == answer
    return answer


@pytest.mark.requirement("C-TRAFFIC", "C-JOURNAL")
async def test_what_would_go_and_when_is_told(kept: Kept) -> None:
    found = await ask(kept, "retention")
    assert (found["years"], found["automatic"]) == (3, False)
    months = {each["month"]: each for each in found["months"]}
    assert len(months) == 40
    assert months[202303]["verdict"] == "due"
    assert (months[202304]["verdict"], months[202304]["goes_on"]) == ("kept", "2026-04-29")
    assert (months[202604]["verdict"], months[202604]["goes_on"]) == ("open", None)
    assert all(each["records"] > 0 and each["bytes"] > 0 for each in months.values())


@pytest.mark.requirement("C-TRAFFIC")
async def test_holds_and_deletions_are_asked_for_and_told(kept: Kept) -> None:
    placed = await ask(kept, "hold_add", name="People v. Roe", months=[202301, 202301])
    by_criteria = await ask(kept, "hold_add", name="In re Doe", criteria={"user": "U001"})
    assert (await ask(kept, "hold_list"))["holds"] == placed["holds"] + by_criteria["holds"]
    assert by_criteria["holds"][0]["criteria"] == {"user": "U001"}
    assert placed["holds"][0]["placed_by"] == "CHIEF"
    kept.matching = {202303}
    verdicts = {each["month"]: each for each in (await ask(kept, "retention"))["months"]}
    assert (verdicts[202301]["holds"], verdicts[202302]["verdict"], verdicts[202303]["holds"]) == ([1], "due", [2])
    deleted = (await ask(kept, "delete", months=[]))["deleted"]
    assert [each["month"] for each in deleted] == [202302]
    with pytest.raises(NotToBeDeleted):
        await ask(kept, "delete", months=[202301])
    released = await ask(kept, "hold_release", number=1)
    assert released["holds"][0]["released_by"] == "CHIEF"
    assert (await ask(kept, "delete", months=[202301]))["deleted"][0]["month"] == 202301


@pytest.mark.parametrize(
    ("verb", "asked"),
    [
        ("retention", {"years": 1}),
        ("hold_add", {}),
        ("hold_add", {"name": 7}),
        ("hold_add", {"name": "x", "months": [202301]}),
        ("hold_add", {"name": "x", "months": ["202301", 202302]}),
        ("hold_add", {"name": "x", "criteria": []}),
        ("hold_add", {"name": "x", "criteria": {"plate": "7ABC123"}}),
        ("hold_release", {"number": True}),
        ("hold_release", {"number": -1}),
        ("delete", {}),
        ("delete", {"months": [1.5]}),
    ],
)
async def test_what_is_no_question_is_refused(kept: Kept, verb: str, asked: dict[str, Any]) -> None:
    assert verb in VERBS
    with pytest.raises((BadCriteria, BadHold)):
        await ask(kept, verb, **asked)
    assert await kept.journal.holds() == []
