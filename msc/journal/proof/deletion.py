"""The statement that stays of a month that was deleted, so that the chain can be followed across it.

It is the `detail` of a `DELETED` checkpoint. That checkpoint is durable before anything of the month goes.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Final

from msc.errors import JournalError
from msc.journal.proof.chain import FIRST_LINK, HASH_BYTES
from msc.journal.proof.checkpoint import Checkpoint, Statement

_HASHES: Final = ("before", "link", "root")


class BadDeletion(JournalError):
    """A checkpoint that should state a deletion does not."""


@dataclass(frozen=True, slots=True)
class Deletion:
    """What a deleted month held.

    Attributes:
        month: 202611.
        first, last: Its first and last record.
        first_msn, last_msn: Of the messages in it; both 0 if there were none.
        before: The chain's value before its first record.
        link: The chain's value after its last record.
        root: The root of its tree, as its `SEALED` checkpoint states it.
        count: How many records it held.
        reason, by: Why it was deleted, and who or what did it.
    """

    month: int
    first: int
    last: int
    first_msn: int
    last_msn: int
    before: bytes
    link: bytes
    root: bytes
    count: int
    reason: str
    by: str

    def as_json(self) -> dict[str, Any]:
        """Return it as a checkpoint's `detail`."""
        return {name: value.hex() if isinstance(value, bytes) else value for name, value in asdict(self).items()}


def deletion_detail(
    sealed: Checkpoint, before: Checkpoint | None, *, first_msn: int, last_msn: int, reason: str, by: str
) -> dict[str, Any]:
    """Return the `detail` of the checkpoint that states a month's deletion.

    Args:
        sealed: The checkpoint that sealed the month.
        before: The one that sealed the month before it in the journal; None if there is no earlier month.
        first_msn, last_msn: Of the messages in it; both 0 if there were none.
        reason, by: Why it is deleted, and who or what does it.

    Raises:
        BadDeletion: These checkpoints do not seal this month and the one before it.
    """
    if sealed.statement != Statement.SEALED:
        raise BadDeletion(f"checkpoint {sealed.number} does not seal month {sealed.month}")
    if (before.seq if before else 0) != sealed.first - 1:
        raise BadDeletion(
            f"month {sealed.month} begins with record {sealed.first}, which nothing seals the end before"
        )
    if before is not None and before.statement != Statement.SEALED:
        raise BadDeletion(f"checkpoint {before.number} does not seal month {before.month}")
    return Deletion(
        sealed.month, sealed.first, sealed.seq, first_msn, last_msn, before.link if before else FIRST_LINK,
        sealed.link, sealed.root, sealed.seq - sealed.first + 1, reason, by,
    ).as_json()  # fmt: skip


def read_deletion(checkpoint: Checkpoint) -> Deletion:
    """Read what a checkpoint states of a deletion.

    Raises:
        BadDeletion: It states none.
    """
    detail = checkpoint.detail
    if checkpoint.statement != Statement.DELETED or detail is None:
        raise BadDeletion(f"checkpoint {checkpoint.number} states no deletion")
    try:
        deletion = Deletion(**{**detail, **{name: bytes.fromhex(detail[name]) for name in _HASHES}})
    except (TypeError, ValueError, KeyError) as exc:
        raise BadDeletion(f"checkpoint {checkpoint.number} states a deletion that cannot be read") from exc
    if not all(isinstance(getattr(deletion, f.name), int) for f in fields(deletion) if f.type == "int"):
        raise BadDeletion(f"checkpoint {checkpoint.number} states a deletion that cannot be read")
    if any(len(getattr(deletion, name)) != HASH_BYTES for name in _HASHES):
        raise BadDeletion(f"checkpoint {checkpoint.number} states a deletion that cannot be read")
    if deletion.count != deletion.last - deletion.first + 1 or deletion.count < 1:
        raise BadDeletion(f"checkpoint {checkpoint.number} states a deletion whose count is not that of its records")
    return deletion
