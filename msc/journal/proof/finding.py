"""What a verification finds, and what it says in the end."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, NamedTuple

from msc import clock

FINDINGS_MAX: Final = 10_000
"""Of one kind. Who falsified a whole year shall not fill our memory too."""


class Severity(StrEnum):
    """How much a finding matters."""

    FAULT = "fault"
    """Something of the journal was changed, lost or made up; what it concerns cannot be relied on."""
    WARNING = "warning"
    """Nothing contradicts what was signed, but something is not as it should be."""
    REMARK = "remark"
    """Worth knowing to whoever reads the records."""


class Kind(StrEnum):
    """What was found. `docs/journal-format.md` explains each."""

    BLOCK_UNREADABLE = "block_unreadable"
    MONTH_UNREADABLE = "month_unreadable"
    RECORD_CHANGED = "record_changed"
    RECORDS_CHANGED = "records_changed"
    RECORDS_REMOVED = "records_removed"
    RECORDS_INSERTED = "records_inserted"
    RECORDS_SWAPPED = "records_swapped"
    TAIL_TRUNCATED = "tail_truncated"
    MONTH_REMOVED = "month_removed"
    MONTH_REPLACED = "month_replaced"
    RECORD_MISPLACED = "record_misplaced"
    ROOT_DISAGREES = "root_disagrees"
    MARKS_CHANGED = "marks_changed"
    LINKS_CHANGED = "links_changed"
    BLOCK_KEY_CHANGED = "block_key_changed"
    MONTH_ROW_CHANGED = "month_row_changed"
    CHECKPOINT_FORGED = "checkpoint_forged"
    CHECKPOINT_MISSING = "checkpoint_missing"
    CHECKPOINT_REPLACED = "checkpoint_replaced"
    CHECKPOINT_ORDER = "checkpoint_order"
    CHECKPOINT_UNTRUE = "checkpoint_untrue"
    ROLLED_BACK = "rolled_back"
    STATE_CHANGED = "state_changed"
    DELETION_UNSIGNED = "deletion_unsigned"
    DELETION_UNTRUE = "deletion_untrue"
    CHECKPOINT_LATE = "checkpoint_late"
    NOT_STATED = "not_stated"
    CHECKPOINT_TIME = "checkpoint_time"
    NUMBER_GAP = "number_gap"
    WITNESS_UNSIGNED = "witness_unsigned"
    CLOCK_STEPPED = "clock_stepped"
    INDEX_DAMAGED = "index_damaged"
    INDEX_HIDES = "index_hides"
    INDEX_MISLEADS = "index_misleads"


_WARNINGS = frozenset(
    {Kind.CHECKPOINT_LATE, Kind.NOT_STATED, Kind.CHECKPOINT_TIME, Kind.NUMBER_GAP, Kind.WITNESS_UNSIGNED}
)
_REMARKS = frozenset({Kind.CLOCK_STEPPED})
OF_INDEX: Final = frozenset({Kind.INDEX_DAMAGED, Kind.INDEX_HIDES, Kind.INDEX_MISLEADS})
"""What concerns searches alone: the index is made from the records, and can be made anew."""


@dataclass(slots=True)
class Finding:
    """Something found.

    Attributes:
        kind: What.
        text: The same for people, in a sentence. It holds no message content.
        first, last: The records it concerns; 0 where it concerns none.
        msn: The first message it concerns; None where it concerns none, or none is known.
        month: The month of the records; 0 if it is not known.
        checkpoint: The number of a checkpoint it concerns; 0 for none.
    """

    kind: Kind
    text: str
    first: int = 0
    last: int = 0
    msn: int | None = None
    month: int = 0
    checkpoint: int = 0

    @property
    def severity(self) -> Severity:
        """How much it matters."""
        if self.kind in _REMARKS:
            return Severity.REMARK
        return Severity.WARNING if self.kind in _WARNINGS else Severity.FAULT

    def as_json(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {
            "kind": self.kind.value,
            "severity": self.severity.value,
            "first": self.first,
            "last": self.last,
            "msn": self.msn,
            "month": self.month,
            "checkpoint": self.checkpoint,
            "text": self.text,
        }


class Stretch(NamedTuple):
    """Records between two places in the journal.

    Attributes:
        first, last: The records.
        first_msn, last_msn: Messages received between the two places; none if `first_msn` is the greater.
        checkpoint: The signed statement that ends it; 0 where none does.
        at: That statement's time, microseconds.
    """

    first: int
    last: int
    first_msn: int
    last_msn: int
    checkpoint: int
    at: int


def numeral(number: int) -> str:
    """Write a number for people: `8 191`."""
    return f"{number:,}".replace(",", " ")


def span(first: int, last: int, one: str = "record", many: str = "records") -> str:
    """Write a range for people: `record 7`, `records 7 to 9`."""
    return f"{one} {numeral(first)}" if first == last else f"{many} {numeral(first)} to {numeral(last)}"


@dataclass
class Report:
    """What a verification found.

    Attributes:
        findings: In the order of the records they concern.
        more: How many of a kind are not listed, because there are too many.
        proven: Records that are what signed checkpoints say.
        unproven: Records, there or not, between signed checkpoints that do not agree with what is there. One of
            them may well be what it was, but nothing signed says so.
        deleted: Months that were deleted with a signed statement.
        records, months, checkpoints: How many were read.
        last_checkpoint, last_checkpoint_at: The newest signed statement; 0 if there is none.
        not_stated: Records after it, which no checkpoint speaks of yet.
        began_at: Wall time, microseconds.
        seconds: How long it took.
    """

    findings: list[Finding] = field(default_factory=list)
    more: dict[Kind, int] = field(default_factory=dict)
    proven: list[Stretch] = field(default_factory=list)
    unproven: list[Stretch] = field(default_factory=list)
    deleted: list[int] = field(default_factory=list)
    records: int = 0
    months: int = 0
    checkpoints: int = 0
    last_checkpoint: int = 0
    last_checkpoint_at: int = 0
    not_stated: int = 0
    began_at: int = 0
    seconds: float = 0.0
    _counts: dict[Kind, int] = field(default_factory=dict)

    def note(self, finding: Finding) -> None:
        """Take up a finding, or count it where there are too many of its kind."""
        count = self._counts[finding.kind] = self._counts.get(finding.kind, 0) + 1
        if count <= FINDINGS_MAX:
            self.findings.append(finding)
        else:
            self.more[finding.kind] = self.more.get(finding.kind, 0) + 1

    @property
    def faults(self) -> list[Finding]:
        """The findings that are faults."""
        return [finding for finding in self.findings if finding.severity is Severity.FAULT]

    @property
    def ok(self) -> bool:
        """Whether nothing was found that should not be."""
        return not self.faults

    @property
    def records_ok(self) -> bool:
        """Whether the records are what was signed, whatever the index is."""
        return all(finding.kind in OF_INDEX for finding in self.faults)

    @property
    def first_bad_msn(self) -> int | None:
        """The first message found wrong or missing; None if there is none. What the index hides is not wrong."""
        bad = (finding.msn for finding in self.faults if finding.msn is not None and finding.kind not in OF_INDEX)
        return min(bad, default=None)

    @property
    def first_unproven_msn(self) -> int | None:
        """The first message nothing signed vouches for any more; it may lie before the first that is known bad."""
        return min(
            (stretch.first_msn for stretch in self.unproven if stretch.first_msn <= stretch.last_msn), default=None
        )

    def trust(self) -> list[str]:
        """Say for people what can still be relied on."""
        return [
            f"{span(stretch.first, stretch.last)}"
            + (
                f" ({span(stretch.first_msn, stretch.last_msn, 'MSN', 'MSN')})"
                if stretch.first_msn <= stretch.last_msn
                else ""
            )
            + f", up to checkpoint {stretch.checkpoint} of {clock.rfc3339(stretch.at)}"
            for stretch in self.proven
        ]

    def as_json(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {
            "ok": self.ok,
            "records_ok": self.records_ok,
            "first_bad_msn": self.first_bad_msn,
            "first_unproven_msn": self.first_unproven_msn,
            "findings": [finding.as_json() for finding in self.findings],
            "more": {kind.value: count for kind, count in self.more.items()},
            "proven": [stretch._asdict() for stretch in self.proven],
            "unproven": [stretch._asdict() for stretch in self.unproven],
            "deleted": self.deleted,
            "records": self.records,
            "months": self.months,
            "checkpoints": self.checkpoints,
            "last_checkpoint": self.last_checkpoint,
            "last_checkpoint_at": clock.rfc3339(self.last_checkpoint_at) if self.last_checkpoint_at else None,
            "not_stated": self.not_stated,
            "began_at": clock.rfc3339(self.began_at),
            "seconds": round(self.seconds, 3),
        }
