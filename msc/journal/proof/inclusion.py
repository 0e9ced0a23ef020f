"""Proofs for single messages: that these records stand in the journal, to be checked without the journal and without
us. They hold the records themselves, so they are as confidential as those.

    proof = await prove(reading, signatories, 4711)
    checked = check_proof(proof)            # anybody, with nothing but the file and the journal's public key
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from msc import clock
from msc.errors import JournalError
from msc.journal.block import unpack
from msc.journal.database.layout import CheckpointRow, JournalReading, Month
from msc.journal.proof.canonical import Stored, decode
from msc.journal.proof.chain import leaf_of, node_of, root_from_path
from msc.journal.proof.checkpoint import Checkpoint, Signatories, Statement, key_id, read_checkpoint
from msc.journal.proof.inspection import msn_of, read_row
from msc.journal.proof.statement import genuine
from msc.journal.record import AuditRecord
from msc.transit.message import MessageRecord

FORMAT: Final = "msc-journal-proof/1"
_PAGE: Final = 64


class NotProvable(JournalError):
    """A message cannot be proven; it says why."""


class BadProof(JournalError):
    """A proof is none; it says why."""


def inclusion_paths(leaves: Sequence[bytes], wanted: Sequence[int]) -> tuple[bytes, list[list[bytes]]]:
    """Return the tree's root, and for each of some leaves the hashes that lead there, lowest first.

    Args:
        leaves: All leaves of the tree; at least one.
        wanted: Places, from 0.
    """
    paths: list[list[bytes]] = [[] for _ in wanted]
    places = list(wanted)
    level = list(leaves)
    while len(level) > 1:
        for path, place in zip(paths, places, strict=True):
            if place ^ 1 < len(level):
                path.append(level[place ^ 1])
        odd = [level.pop()] if len(level) & 1 else []
        halves = iter(level)
        level = [node_of(left, right) for left, right in zip(halves, halves, strict=True)] + odd
        places = [place >> 1 for place in places]
    return level[0], paths


# --- proving ------------------------------------------------------------------------------------


async def prove(reading: JournalReading, signatories: Signatories, msn: int) -> dict[str, Any]:
    """Make the proof of one message and of what happened to it in the same month.

    All records of the month are read and hashed, so it takes seconds for a million of them.

    Args:
        reading: The journal; it may be written meanwhile.
        signatories: The journal's public keys.
        msn: The message.

    Returns:
        The proof, ready for JSON; see docs/journal-format.md.

    Raises:
        NotProvable: There is no such message, no checkpoint speaks of it yet, its month is deleted, or the month is
            not what its checkpoint says.
        JournalError: The journal cannot be read.
    """
    last = await reading.last_checkpoint()
    if last is None:
        raise NotProvable("there is no checkpoint yet; the first is signed within a minute")
    tail = await reading.tail()
    months = await reading.months()
    month = _month_of(months, msn, [(row.seq, row.body) for row in tail])
    statement = await _statement_on(reading, signatories, last, month)
    checkpoint = read_checkpoint(statement.body)
    leaves: list[bytes] = []
    found: list[tuple[int, bytes]] = []
    needle = b"%d" % msn
    async for seq, body in _records(reading, checkpoint, [(row.seq, row.body) for row in tail]):
        if seq != checkpoint.first + len(leaves):
            raise NotProvable(f"record {checkpoint.first + len(leaves)} of month {month} is not there")
        leaves.append(leaf_of(body))
        if needle in body and msn_of(read_row(body)) == msn:
            found.append((seq - checkpoint.first, body))
    if len(leaves) != checkpoint.seq - checkpoint.first + 1:
        raise NotProvable(f"not all of month {month} is there up to checkpoint {checkpoint.number}")
    if not any(body.startswith(b'["m"') for _, body in found):
        raise NotProvable(f"no checkpoint speaks of message {msn} yet; the next is signed within a minute")
    root, paths = inclusion_paths(leaves, [index for index, _ in found])
    if root != checkpoint.root:
        raise NotProvable(
            f"month {month} is not what checkpoint {checkpoint.number} signed; `msc journal verify` says more"
        )
    key = signatories.key(checkpoint.key)
    assert key is not None  # it was genuine
    return {
        "format": FORMAT,
        "msn": msn,
        "checkpoint": statement.body.decode(),
        "signature": statement.signature.hex(),
        "public_key": key.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        ).decode(),
        "records": [
            {"body": body.decode(), "index": index, "count": len(leaves), "path": [node.hex() for node in path]}
            for (index, body), path in zip(found, paths, strict=True)
        ],
    }


def _month_of(months: Sequence[Month], msn: int, tail: Sequence[tuple[int, bytes]]) -> int:
    """Find the month a message was received in."""
    for month in months:
        if month.first_msn and month.first_msn <= msn <= month.last_msn:
            if month.deleted:
                raise NotProvable(f"message {msn} was in month {month.month}, which was deleted")
            return month.month
    current = max((month.month for month in months if month.last), default=0)
    for _, body in tail:
        row = read_row(body)
        if row is None:
            continue
        current = max(current, clock.month_of(row[4] if row[0] == "a" else row[5]))
        if row[0] == "m" and row[4] == msn:
            return current
    raise NotProvable(f"there is no message {msn}")


async def _statement_on(
    reading: JournalReading, signatories: Signatories, last: CheckpointRow, month: int
) -> CheckpointRow:
    """Return the checkpoint that speaks of most of a month: the one that sealed it, or the newest."""
    newest = genuine(last, signatories)
    if isinstance(newest, str):
        raise NotProvable(f"the last checkpoint {newest}")
    if newest.month == month:
        return last
    number = last.number
    while number > 0:
        # From the newest back: whoever asks mostly asks for what happened lately.
        page = await reading.checkpoints(max(0, number - 1000), min(1000, number))
        for row in reversed(page):
            if row.statement == Statement.SEALED and isinstance(here := genuine(row, signatories), Checkpoint):
                if here.month == month:
                    return row
                if here.month < month:
                    break
        number -= 1000
    raise NotProvable(f"no checkpoint speaks of month {month} yet; the next is signed within a minute")


async def _records(
    reading: JournalReading, checkpoint: Checkpoint, tail: Sequence[tuple[int, bytes]]
) -> AsyncIterator[tuple[int, bytes]]:
    """Yield the records a checkpoint's tree is over, with their positions."""
    after, seq = 0, checkpoint.first - 1
    if any(month.month == checkpoint.month and month.last for month in await reading.months()):
        while page := await reading.blocks_after(checkpoint.month, after, _PAGE):
            for block in page:
                for seq, body in enumerate(unpack(block), block.key.first):
                    if seq > checkpoint.seq:
                        return
                    yield seq, body
            after = page[-1].key.first
    for at, body in tail:
        if seq < at <= checkpoint.seq:
            yield at, body


# --- checking -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Checked:
    """What a proof shows.

    Attributes:
        msn: The message.
        records: Its records, in order.
        checkpoint: The statement they were held against.
        key: The fingerprint of the key that signed it: the first 8 bytes of SHA-256, in hexadecimal.
        known: Whether that key is one of the journal's, as whoever checks knows them; None if none were given.
    """

    msn: int
    records: list[Stored]
    checkpoint: Checkpoint
    key: str
    known: bool | None


def check_proof(proof: Any, signatories: Signatories | None = None) -> Checked:
    """Check a proof.

    Without the journal's public keys from elsewhere it only shows that all of it is signed with one key, and the
    key's fingerprint has to be compared with the published one by whoever relies on it.

    Args:
        proof: What `prove` returned, read from JSON.
        signatories: The journal's public keys, from another source than the proof.

    Raises:
        BadProof: It is none, or does not prove what it says.
    """
    try:
        if proof["format"] != FORMAT:
            raise BadProof(f"this is not a proof of the form {FORMAT}")
        body, signature = proof["checkpoint"].encode(), bytes.fromhex(proof["signature"])
        checkpoint = read_checkpoint(body)
        key = serialization.load_pem_public_key(proof["public_key"].encode())
        msn, records = proof["msn"], list(proof["records"])
    except BadProof:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, JournalError) as exc:
        raise BadProof(f"this is not a proof ({type(exc).__name__})") from exc
    if not isinstance(key, Ed25519PublicKey) or key_id(key) != checkpoint.key:
        raise BadProof("the public key is not the one its checkpoint names")
    if not Signatories([key]).signed(body, signature, checkpoint.key):
        raise BadProof("the checkpoint's signature is not that key's")
    known = checkpoint.key in signatories if signatories is not None else None
    if known is False:
        raise BadProof(f"it is signed with a key that is not the journal's ({checkpoint.key.hex()})")
    stored = [_checked_record(record, checkpoint, msn) for record in records]
    if not any(isinstance(each.record, MessageRecord) for each in stored):
        raise BadProof(f"message {msn} itself is not among its records")
    return Checked(msn, stored, checkpoint, checkpoint.key.hex(), known)


def _checked_record(record: Any, checkpoint: Checkpoint, msn: int) -> Stored:
    try:
        body = record["body"].encode()
        index, count = int(record["index"]), int(record["count"])
        path = [bytes.fromhex(node) for node in record["path"]]
        stored = decode(body)
    except (KeyError, TypeError, ValueError, AttributeError, JournalError) as exc:
        raise BadProof(f"one of its records is none ({type(exc).__name__})") from exc
    if count != checkpoint.seq - checkpoint.first + 1 or stored.seq != checkpoint.first + index:
        raise BadProof(f"record {stored.seq} does not stand where it says")
    if root_from_path(leaf_of(body), index, count, path) != checkpoint.root:
        raise BadProof(f"record {stored.seq} is not in the tree that was signed")
    if isinstance(stored.record, AuditRecord) or stored.record.msn != msn:
        raise BadProof(f"record {stored.seq} is not about message {msn}")
    return stored
