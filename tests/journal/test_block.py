"""Blocks: records packed byte for byte, and nothing taken for records that is none."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msc.journal import block as blocks
from msc.journal.block import BadBlock, pack, unpack
from msc.journal.proof.canonical import decode, encode
from msc.journal.proof.chain import MARK_BYTES, leaf_of
from msc.journal.record import AuditRecord, Record, StepsRecord
from msc.transit.event import Event
from msc.transit.message import MessageRecord

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
TIME = st.integers(0, 2**52)
RECORDS = st.lists(
    st.one_of(
        st.tuples(st.integers(1, 2**60), TIME, TEXT).map(
            lambda drawn: MessageRecord(drawn[0], drawn[1], "local", "status", text=drawn[2])
        ),
        st.tuples(st.integers(1, 2**60), TIME, TEXT).map(
            lambda drawn: StepsRecord(
                drawn[0], drawn[1], (Event(drawn[0], drawn[1], "sent", None, {"why": drawn[2]}),)
            )
        ),
        st.tuples(TIME, TEXT).map(lambda drawn: AuditRecord(drawn[0], "sign_on.granted", detail=drawn[1])),
    ),
    min_size=1,
    max_size=12,
)


def packed(records: list[Record], first: int = 7) -> tuple[list[bytes], blocks.Block]:
    bodies = [encode(seq, 0, None, record) for seq, record in enumerate(records, first)]
    return bodies, pack(bodies, [decode(body) for body in bodies], b"\1" * 32)


@pytest.mark.requirement("C-JOURNAL", "F-AUPROT")
@given(RECORDS)
def test_what_was_packed_is_unpacked_byte_for_byte_and_the_key_says_what_it_holds(records: list[Record]) -> None:
    bodies, block = packed(records)
    assert unpack(block) == bodies
    assert block.marks == b"".join(leaf_of(body)[:MARK_BYTES] for body in bodies)
    messages = [record.msn for record in records if isinstance(record, MessageRecord)]
    times = [record.received if isinstance(record, MessageRecord) else record.at for record in records]
    assert (block.key.first, block.key.last) == (7, 6 + len(records))
    assert (block.key.first_msn, block.key.last_msn) == ((messages[0], messages[-1]) if messages else (0, 0))
    assert (block.key.first_at, block.key.last_at) == (min(times), max(times))
    # Any tool can read it: RFC 1950, and a record a line.
    assert zlib.decompress(block.body) == b"".join(body + b"\n" for body in bodies)


@given(RECORDS, st.data())
def test_a_block_that_was_damaged_is_told(records: list[Record], data: st.DataObject) -> None:
    bodies, block = packed(records)
    at = data.draw(st.integers(0, len(block.body) - 1))
    changed = bytearray(block.body)
    changed[at] ^= data.draw(st.integers(1, 255))
    try:
        assert unpack(block._replace(body=bytes(changed))) == bodies
    except BadBlock as exc:
        assert "7" in str(exc)


@pytest.mark.parametrize(
    "body",
    [b"", b"no zlib", zlib.compress(b"one\ntwo"), zlib.compress(b"one\n"), zlib.compress(b"one\ntwo\nthree\n")],
    ids=["nothing", "something else", "no last line feed", "one too few", "one too many"],
)
def test_what_does_not_hold_its_records_is_no_block(body: bytes) -> None:
    _, block = packed([AuditRecord(1, "x"), AuditRecord(2, "x")])
    with pytest.raises(BadBlock, match="records 7 to 8"):
        unpack(block._replace(body=body))
