"""Looks at blocks and rows by themselves: whether they are whole, and hold what stands beside them."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from hashlib import sha256
from typing import Any, Final, NamedTuple

import orjson

from msc.journal.database.layout import Block, TailRow
from msc.journal.proof.canonical import KINDS
from msc.journal.proof.chain import MARK_BYTES
from msc.journal.proof.finding import Finding, Kind, span
from msc.transit.message import MessageRecord

BLOCK_BYTES_MAX: Final = 1 << 28
"""Unpacked. 256 records of the longest message there can be are a quarter of it; more is meant to fill our memory."""


class Inspected(NamedTuple):
    """What a block or a run of rows holds.

    Attributes:
        leaves: Of its records, in order; empty where they cannot be followed.
        rows: Its records that have the form of records, decoded but for their types.
        times: For each leaf, when it was written; 0 where that is not told.
        last_at: The highest wall time.
        doubts: Records that do not fit what stands beside them.
        wrong: What is wrong, whatever a checkpoint says.
    """

    leaves: list[bytes]
    rows: list[list[Any]]
    times: list[int]
    last_at: int
    doubts: list[Finding]
    wrong: list[Finding]


def is_record(row: Any) -> bool:
    """Tell whether decoded bytes have the form of a record, as far as it is looked at here."""
    if not isinstance(row, list) or len(row) < 6 or not isinstance(row[0], str) or row[0] not in KINDS:
        return False
    if len(row) - 4 > len(KINDS[row[0]]._fields) or any(type(row[at]) is not int for at in (1, 2, 4)):
        return False
    if row[3] is not None and type(row[3]) is not int:
        return False
    if row[0] == "a":
        return True
    if type(row[5]) is not int or not all(map(_is_event, _events(row))):
        return False
    return row[0] == "s" or all(value is None or isinstance(value, (str, int)) for value in row[6:_EVENTS])


_EVENTS: Final = 4 + MessageRecord._fields.index("events")
"""Where a message's events stand."""


def _events(row: list[Any]) -> Sequence[Any]:
    found = row[6] if row[0] == "s" else row[_EVENTS] if len(row) > _EVENTS else []
    return found if isinstance(found, list) else [None]


def _is_event(event: Any) -> bool:
    return (
        isinstance(event, list)
        and len(event) > 1
        and isinstance(event[0], str)
        and (event[1] is None or isinstance(event[1], str))
    )


def msn_of(row: Any) -> int | None:
    """Return the MSN of the message a record is about, if it is about one."""
    return row[4] if is_record(row) and row[0] != "a" else None


def read_row(body: bytes) -> list[Any] | None:
    """Decode a record but for its types; None if it is none."""
    row = _rows([body])[0]
    return row if is_record(row) else None


def _rows(bodies: Sequence[bytes]) -> list[Any]:
    """Decode records; None where one cannot be."""
    try:
        rows = orjson.loads(b"[%b]" % b",".join(bodies))
        if len(rows) == len(bodies):
            return rows  # type: ignore[no-any-return]
    except ValueError:
        pass
    rows = []
    for body in bodies:
        try:
            rows.append(orjson.loads(body))
        except ValueError:
            rows.append(None)
    return rows


def _times(rows: list[list[Any]]) -> tuple[list[int], int]:
    """Return when records were written, and the highest wall time.

    Raises:
        TypeError, IndexError: One of them is not a record.
    """
    times = [0 if row[0] == "a" else row[5] for row in rows]
    last_at = max(max(times), max([row[4] for row in rows if row[0] == "a"], default=0))
    if {type(row[2]) for row in rows} | {type(row[4]) for row in rows} | {type(at) for at in times} != {int}:
        raise TypeError
    return times, last_at


def inspect_bodies(bodies: Sequence[bytes], seqs: Sequence[int], month: int) -> Inspected:
    """Look at records by themselves.

    Args:
        bodies: Their canonical bytes.
        seqs: What their positions should be.
        month: Where they stand.
    """
    leaves = [sha256(b"\x00" + body).digest() for body in bodies]
    rows = _rows(bodies)
    try:
        if [row[1] for row in rows] == list(seqs):
            times, last_at = _times(rows)
            return Inspected(leaves, rows, times, last_at, [], [])
    except (TypeError, IndexError, KeyError):
        pass
    return _inspect_each(leaves, rows, seqs, month)


def _inspect_each(leaves: list[bytes], rows: list[Any], seqs: Sequence[int], month: int) -> Inspected:
    times, good, last_at = [], [], 0
    doubts: list[Finding] = []
    moved: list[tuple[int, list[Any]]] = []
    for seq, row in zip(seqs, rows, strict=True):
        times.append(0)
        if not is_record(row):
            doubts.append(Finding(Kind.RECORD_CHANGED, f"record {seq} cannot be read", seq, seq, None, month))
        elif row[1] != seq:
            moved.append((seq, row))
        else:
            good.append(row)
            if row[0] != "a":
                times[-1] = row[5]
            last_at = max(last_at, row[4] if row[0] == "a" else row[5])
    wrong = []
    if moved and sorted(row[1] for _, row in moved) == [seq for seq, _ in moved]:
        first = min(seq for seq, _ in moved)
        msns = [msn for _, row in moved if (msn := msn_of(row)) is not None]
        wrong.append(Finding(
            Kind.RECORDS_SWAPPED,
            f"records {', '.join(str(seq) for seq, _ in moved[:20])} stand in each other's places",
            first, moved[-1][0], min(msns, default=None), month,
        ))  # fmt: skip
    elif (shifted := _shifted(moved, seqs, good, month)) is not None:
        wrong.append(shifted)
    else:
        doubts.extend(
            Finding(
                Kind.RECORD_CHANGED,
                f"where record {seq} should stand, one that calls itself {row[1]} does",
                seq,
                seq,
                msn_of(row),
                month,
            )
            for seq, row in moved
        )
    return Inspected(leaves, good, times, last_at, doubts, wrong)


def _shifted(
    moved: Sequence[tuple[int, list[Any]]], seqs: Sequence[int], good: Sequence[list[Any]], month: int
) -> Finding | None:
    """Say that records were put in or taken out, where all behind were moved to make room or to close the gap."""
    steps = {seq - row[1] for seq, row in moved}
    if len(steps) != 1 or len(moved) < 2 or [seq for seq, _ in moved] != list(seqs[len(seqs) - len(moved) :]):
        return None
    (step,) = steps
    first, row = moved[0]
    if step > 0:
        # What was put in took the places before; all behind are genuine, but for where they stand.
        text = f"{span(first - step, first - 1)} were put in before one that calls itself {row[1]}"
        return Finding(Kind.RECORDS_INSERTED, text, first - step, first - 1, msn_of(row), month)
    before = [each[4] for each in good if each[0] == "m"]
    after = [each[4] for _, each in moved if each[0] == "m"]
    text = f"{span(first, row[1] - 1)} are missing: what follows was moved to their places"
    msn = max(before) + 1 if before else min(after, default=None)
    return Finding(Kind.RECORDS_REMOVED, text, first, row[1] - 1, msn, month)


def unpack_block(block: Block, month: int) -> tuple[list[bytes], Finding | None]:
    """Return the canonical bytes of a block's records, or what is wrong with it."""
    first, last = block.key.first, block.key.last
    unreadable = Finding(
        Kind.BLOCK_UNREADABLE,
        f"the block of {span(first, last)} cannot be unpacked",
        first,
        last,
        block.key.first_msn or None,
        month,
    )
    try:
        unpacking = zlib.decompressobj()
        data = unpacking.decompress(block.body, BLOCK_BYTES_MAX)
    except zlib.error:
        return [], unreadable
    if not unpacking.eof or unpacking.unused_data or not data.endswith(b"\n"):
        return [], unreadable
    bodies = data.split(b"\n")
    bodies.pop()
    return bodies, None


def inspect_block(block: Block, month: int) -> Inspected:
    """Look at a block by itself. Where it has no leaves, its records cannot be followed."""
    bodies, unreadable = unpack_block(block, month)
    if unreadable is not None:
        return Inspected([], [], [], 0, [], [unreadable])
    first, last = block.key.first, block.key.last
    if len(bodies) != last - first + 1 and not _is_run(bodies, block):
        return _miscounted(block, bodies, month)
    found = inspect_bodies(bodies, range(first, first + len(bodies)), month)
    marks = b"".join([leaf[:MARK_BYTES] for leaf in found.leaves])
    if marks != block.marks:
        _hold_marks(found, block, month)
    if not found.doubts and not found.wrong:
        _hold_key(found, block, month)
    return found


def _is_run(bodies: Sequence[bytes], block: Block) -> bool:
    """Tell whether a block holds records without a gap, as many as it has marks: then its key is wrong, not they."""
    rows = _rows(bodies)
    return (
        len(block.marks) == MARK_BYTES * len(bodies)
        and all(map(is_record, rows))
        and [row[1] for row in rows] == list(range(block.key.first, block.key.first + len(bodies)))
    )


def _hold_marks(found: Inspected, block: Block, month: int) -> None:
    """Say which records do not fit their marks."""
    first = block.key.first
    if len(block.marks) != MARK_BYTES * len(found.leaves):
        found.wrong.append(Finding(
            Kind.MARKS_CHANGED, f"the marks beside {span(first, block.key.last)} are not as many as they", first,
            block.key.last, None, month,
        ))  # fmt: skip
        return
    told = {finding.first for finding in found.doubts}
    by_seq = {row[1]: row for row in found.rows}
    for place, leaf in enumerate(found.leaves):
        seq = first + place
        if leaf[:MARK_BYTES] != block.marks[place * MARK_BYTES : (place + 1) * MARK_BYTES] and seq not in told:
            msn = msn_of(by_seq.get(seq))
            about = f" (MSN {msn})" if msn is not None else ""
            text = f"record {seq}{about} was changed: it does not fit its mark"
            found.doubts.append(Finding(Kind.RECORD_CHANGED, text, seq, seq, msn, month))


def _miscounted(block: Block, bodies: list[bytes], month: int) -> Inspected:
    """Look at a block that does not hold as many records as it says."""
    first, last = block.key.first, block.key.last
    rows = [row for row in _rows(bodies) if is_record(row)]
    seqs = [row[1] for row in rows]
    wrong = []
    # Bounded by what is there, not by what the key claims: it may be anything.
    expected = range(first, min(last, first + 2 * len(bodies) + 1) + 1)
    missing = sorted(set(expected) - set(seqs))
    if missing:
        before = [row[4] for row in rows if row[0] == "m" and row[1] < missing[0]]
        after = [row[4] for row in rows if row[0] == "m" and row[1] > missing[0]]
        msn = max(before) + 1 if before else min(after, default=block.key.first_msn or None)
        wrong.append(Finding(
            Kind.RECORDS_REMOVED,
            f"{len(missing)} of the block of {span(first, last)} are missing, the first is {missing[0]}",
            missing[0], missing[-1], msn, month,
        ))  # fmt: skip
    seen: set[int] = set()
    extra = []
    for row in rows:
        if row[1] in seen or not first <= row[1] <= last:
            extra.append(row)
        seen.add(row[1])
    if extra or not missing:
        places = sorted({row[1] for row in extra}) or [first]
        wrong.append(Finding(
            Kind.RECORDS_INSERTED,
            f"the block of {span(first, last)} holds {max(1, len(extra))} too many, at {places[0]}",
            places[0], places[-1], next((msn_of(row) for row in extra), None), month,
        ))  # fmt: skip
    return Inspected([], [], [], 0, [], wrong)


def _hold_key(found: Inspected, block: Block, month: int) -> None:
    """Compare what a block's row says of it with what it holds. Searches rely on it."""
    key = block.key
    msns = [row[4] for row in found.rows if row[0] == "m"]
    ats = [row[4] if row[0] == "a" else row[5] for row in found.rows]
    holds = (found.rows[-1][1], msns[0] if msns else 0, msns[-1] if msns else 0, min(ats), found.last_at)
    if holds != key[1:]:
        found.wrong.append(Finding(
            Kind.BLOCK_KEY_CHANGED,
            f"what stands beside the block of {span(key.first, key.last)} on messages and times is not what it holds",
            key.first, key.last, None, month,
        ))  # fmt: skip


def inspect_tail(rows: Sequence[TailRow], month: int) -> Inspected:
    """Look at rows of the tail by themselves."""
    return inspect_bodies([row.body for row in rows], [row.seq for row in rows], month)
