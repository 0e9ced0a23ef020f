"""Proofs of single messages."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msc.journal.database.layout import Month
from msc.journal.proof.chain import inclusion_path, leaf_of
from msc.journal.proof.inclusion import BadProof, NotProvable, check_proof, inclusion_paths, prove
from msc.journal.record import StepsRecord
from msc.transit.message import MessageRecord
from tests.journal.proof.conftest import OCTOBER, Victim
from tests.journal.proof.test_chain import naive_root
from tests.journal.proof.test_verification import changed, delete, three_months
from tests.support.journal_builder import JournalBuilder, new_signer, signatories_of
from tests.support.memory_journal import MemoryJournal

pytestmark = pytest.mark.requirement("F-AUPROT", "C-JOURNAL")


@given(st.integers(1, 90), st.data())
def test_many_paths_at_once_are_those_of_each(size: int, data: st.DataObject) -> None:
    leaves = [leaf_of(bytes([number])) for number in range(size)]
    wanted = data.draw(st.lists(st.integers(0, size - 1), max_size=5))
    root, paths = inclusion_paths(leaves, wanted)
    assert root == naive_root(leaves)
    assert paths == [inclusion_path(leaves, index) for index in wanted]


@pytest.mark.parametrize("msn", [1, 113, 400, 609, 655])
async def test_a_proof_holds_the_message_and_its_events_and_can_be_checked_alone(victim: Victim, msn: int) -> None:
    reading = victim.reading()
    proof = json.loads(json.dumps(await prove(reading, victim.made.signatories, msn)))
    await reading.close()
    checked = check_proof(proof, victim.made.signatories)
    assert checked.msn == msn
    assert checked.known
    assert isinstance(checked.records[0].record, MessageRecord)
    assert {type(stored.record) for stored in checked.records[1:]} == {StepsRecord}
    assert len(checked.records) == 4
    assert checked.checkpoint.statement == ("held" if msn > 608 else "sealed")
    assert check_proof(proof).known is None


async def a_proof() -> tuple[dict[str, Any], JournalBuilder]:
    journal = MemoryJournal()
    builder = JournalBuilder(journal)
    await builder.fill("2026-11-01", per_day=9)
    return await prove(journal, builder.signatories, 7), builder


async def test_nothing_of_a_proof_can_be_changed() -> None:
    proof, builder = await a_proof()
    stranger = new_signer()
    strangers = json.loads(json.dumps(proof))
    strangers["signature"] = stranger.sign(strangers["checkpoint"].encode()).hex()

    def falsified(**members: Any) -> dict[str, Any]:
        return {**proof, **members}

    first = proof["records"][0]
    for bad in (
        falsified(msn=8),
        falsified(records=[]),
        falsified(records=proof["records"][1:]),
        falsified(records=[{**first, "body": first["body"].replace("QV", "QW")}]),
        falsified(records=[{**first, "index": first["index"] + 1}]),
        falsified(records=[{**first, "count": first["count"] + 1}]),
        falsified(records=[{**first, "path": first["path"][:-1]}]),
        falsified(records=[{**first, "path": [*first["path"][:-1], "00" * 32]}]),
        falsified(records=[{"body": first["body"]}]),
        falsified(checkpoint=proof["checkpoint"].replace('"msn":18', '"msn":19')),
        falsified(format="another"),
        falsified(public_key="nothing"),
        strangers,
        {},
        None,
    ):
        with pytest.raises(BadProof):
            check_proof(bad)
    with pytest.raises(BadProof, match="not the journal's"):
        check_proof(proof, signatories_of(stranger))
    assert check_proof(proof, builder.signatories).msn == 7


async def test_what_cannot_be_proven_is_refused_with_the_reason(victim: Victim) -> None:
    reading = victim.reading()
    with pytest.raises(NotProvable, match="no message 99999"):
        await prove(reading, victim.made.signatories, 99_999)
    await reading.close()

    journal = MemoryJournal()
    builder = JournalBuilder(journal)
    with pytest.raises(NotProvable, match="no checkpoint yet"):
        await prove(journal, builder.signatories, 1)
    await builder.fill("2026-11-01", per_day=2)
    builder.stated_at = builder.now * 2
    await builder.transact(builder.now + 1)
    with pytest.raises(NotProvable, match="no checkpoint speaks of message 5 yet"):
        await prove(journal, builder.signatories, 5)


async def test_a_message_of_a_deleted_month_is_not_provable() -> None:
    journal, builder = await three_months()
    await delete(journal, builder, 202608)
    with pytest.raises(NotProvable, match="deleted"):
        await prove(journal, builder.signatories, 1)


async def test_no_proof_is_made_from_a_month_that_was_changed(victim: Victim) -> None:
    first, _ = victim.blocks(OCTOBER)[4]
    victim.edit(OCTOBER, first + 3, changed)
    reading = victim.reading()
    with pytest.raises(NotProvable, match="verify"):
        await prove(reading, victim.made.signatories, 400)
    await reading.close()


async def test_a_message_that_is_still_in_the_tail_of_an_archived_month_is_provable() -> None:
    journal = MemoryJournal()
    builder = JournalBuilder(journal)
    await builder.fill("2026-10-30", days=4, per_day=5)
    await journal.put_month(Month(202612))  # made ahead
    for msn in (1, 20, 39):
        assert check_proof(await prove(journal, builder.signatories, msn)).msn == msn
    await builder.archive(records=10, keep=30)
    for msn in (1, 20, 39):
        assert check_proof(await prove(journal, builder.signatories, msn)).msn == msn
