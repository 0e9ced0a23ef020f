"""Follows the chain and the tree over records, and holds both against signed checkpoints.

Between two checkpoints nothing is signed, but links and marks that stand beside the records help to say where
something was changed. Two chains are computed at once: one from the last checkpoint, and one from the last stored
link that the first does not lead to. Whichever leads to the next checkpoint's link proves every record it passed,
because no other records could have led there.

    checkpoint -- good -- good -- CHANGED -- stored link -- good -- good -- checkpoint
                                  ^^^^^^^ proven by nothing         ^^^^ proven by the second chain
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Final

from msc import clock
from msc.journal.proof.chain import FIRST_LINK, Frontier
from msc.journal.proof.checkpoint import Checkpoint
from msc.journal.proof.finding import Finding, Kind, Stretch, span

LATE_US: Final = 75_000_000
"""Checkpoints are signed at least every minute; what waited longer, with some leave for a busy machine, is told."""

_LINK_TEXT: Final = (
    "the link that stands beside record {} was changed; the record itself is what checkpoint {} signed"
)

Note = Callable[[Finding], None]


def _proceed(link: bytes, leaves: Sequence[bytes]) -> bytes:
    for leaf in leaves:
        link = sha256(link + leaf).digest()
    return link


class Follower:
    """The verified end of the journal, moving forward.

    Args:
        note: Called with what is found.
    """

    def __init__(self, note: Note) -> None:
        self.seq = 0
        """The last record that was passed, there or not."""
        self.month = 0
        self.proven: list[Stretch] = []
        self.unproven: list[Stretch] = []
        self._note = note
        self._link: bytes | None = FIRST_LINK
        """Computed from the last checkpoint; None where something is missing since."""
        self._other: tuple[int, bytes, bytes] | None = None
        """A stored link that did not follow: after which record, what it was, and what followed from it."""
        self._tree: Frontier | None = None
        """Of this month; None where something of it is missing or wrong."""
        self._first = 0
        self._anchor: tuple[int, int, int, int] = (0, 0, 0, 0)
        """Of the last checkpoint: record, MSN, number, time."""
        self._anchor_link = FIRST_LINK
        self._told: list[tuple[int, int]] = []
        """First and last record of what is wrong since the last checkpoint and has been told already."""
        self._doubts: list[Finding] = []
        """What may be wrong since the last checkpoint: the next one decides."""
        self._waiting_since = 0
        """Wall time of the first record after the last checkpoint."""
        self._all_wrong: tuple[Finding, int] | None = None
        """The last `RECORDS_CHANGED`, and how many checkpoints it covers."""

    @property
    def stated(self) -> int:
        """The last record a checkpoint spoke of."""
        return self._anchor[0]

    @property
    def stated_msn(self) -> int:
        """The highest MSN then."""
        return self._anchor[1]

    @property
    def link(self) -> bytes | None:
        """The chain's value here, if it can be known."""
        return self._link

    def begin_month(self, month: int, first: int) -> None:
        """Say that the next record is the first of a month."""
        self.month, self._first = month, first
        # Where something is missing right before, it may be of this month.
        self._tree = Frontier() if self._link is not None else None

    def doubt(self, finding: Finding) -> None:
        """Say of a record that it does not fit what stands beside it. The next checkpoint decides which is wrong."""
        self._doubts.append(finding)

    def wrong(self, finding: Finding) -> None:
        """Say what is certainly wrong since the last checkpoint."""
        self._note(finding)
        self._told.append((finding.first, finding.last))

    # --- passing records ------------------------------------------------------------------------

    def meet_first(self, checkpoints: Sequence[Checkpoint]) -> None:
        """Take up checkpoints of the empty journal."""
        for checkpoint in checkpoints:
            self._meet(checkpoint)

    def pass_records(
        self,
        leaves: Sequence[bytes],
        times: Sequence[int],
        checkpoints: Sequence[Checkpoint],
        stored: bytes,
        msn: int | None = None,
    ) -> bool:
        """Pass records that follow on what was passed.

        Args:
            leaves: Their hashes.
            times: Their wall times, 0 where one does not tell when it was written.
            checkpoints: That speak of them, in order.
            stored: The link that stands beside the last of them.
            msn: Of the message the last of them is about, where that is worth knowing.

        Returns:
            Whether nothing looked wrong.
        """
        before, start, clean = self.seq, 0, not self._doubts
        for checkpoint in checkpoints:
            end = checkpoint.seq - before
            self._advance(leaves[start:end], times[start:end])
            start = end
            clean = self._meet(checkpoint) and clean
        self._advance(leaves[start:], times[start:])
        return self._compare(stored, len(leaves), msn) and clean

    def _advance(self, leaves: Sequence[bytes], times: Sequence[int]) -> None:
        if not leaves:
            return
        if self._link is not None:
            self._link = _proceed(self._link, leaves)
        if self._other is not None:
            after, was, link = self._other
            self._other = after, was, _proceed(link, leaves)
        if self._tree is not None:
            self._tree.extend(leaves)
        self.seq += len(leaves)
        if not self._waiting_since:
            self._waiting_since = next((at for at in times if at), 0)

    def _compare(self, stored: bytes, records: int, msn: int | None) -> bool:
        """Hold the stored link against what was computed."""
        if self._link == stored:
            return True
        if self._other is not None and self._other[2] == stored:
            return True
        if self.seq == self._anchor[0]:
            self._note(Finding(
                Kind.LINKS_CHANGED, _LINK_TEXT.format(self.seq, self._anchor[2]), self.seq, self.seq, None, self.month
            ))  # fmt: skip
            return False
        if self._link is not None or self._other is not None:
            self.doubt(Finding(Kind.LINKS_CHANGED, "", self.seq - records + 1, self.seq, msn, self.month))
        self._other = self.seq, stored, stored
        return False

    def pass_gap(self, last: int, checkpoints: Sequence[Checkpoint], stored: bytes | None = None) -> None:
        """Pass records that are not there or cannot be read; `wrong` has been told.

        Args:
            last: The last of them.
            checkpoints: That speak of them, in order.
            stored: The link that stands beside the last of them, if one does.
        """
        self._link, self._other, self._tree = None, None, None
        self._waiting_since = 0
        self._told.append((self.seq + 1, last))
        for checkpoint in checkpoints:
            self.seq = checkpoint.seq
            self._meet(checkpoint)
            self._link = None
        if self._anchor[0] == last and checkpoints:
            self._link = self._anchor_link
        elif stored is not None:
            self._other = last, stored, stored
        self.seq = last

    def pass_deleted(self, last: int, last_msn: int, link: bytes, checkpoints: Sequence[Checkpoint]) -> None:
        """Pass a month whose deletion is stated."""
        for checkpoint in checkpoints:
            self._anchor = checkpoint.seq, checkpoint.msn, checkpoint.number, checkpoint.at
            self._anchor_link = checkpoint.link
        if not checkpoints or self._anchor[0] != last:
            self._anchor = last, last_msn or self._anchor[1], self._anchor[2], self._anchor[3]
        self._anchor_link = self._link = link
        self._other, self._tree, self._doubts, self._told = None, None, [], []
        self.seq = last
        self._waiting_since = 0

    # --- meeting checkpoints --------------------------------------------------------------------

    def _meet(self, checkpoint: Checkpoint) -> bool:
        """Hold what was computed against what was signed; go on from what was signed."""
        seq, msn, _, _ = self._anchor
        if checkpoint.seq == seq:
            if checkpoint.link != self._anchor_link:
                self._untrue(checkpoint, "the chain's value at a record it shares with the one before it")
            self._stated(checkpoint)
            return checkpoint.link == self._anchor_link
        if self._link == checkpoint.link:
            good_from = seq + 1
        elif self._other is not None and self._other[2] == checkpoint.link:
            good_from = self._other[0] + 1
        else:
            good_from = checkpoint.seq + 1
        if good_from > seq + 1:
            self._unproven(good_from - 1, checkpoint)
        if good_from <= checkpoint.seq:
            self._extend_proven(Stretch(
                good_from, checkpoint.seq, msn + 1, checkpoint.msn, checkpoint.number, checkpoint.at
            ))  # fmt: skip
        self._settle(good_from, checkpoint)
        self._late(checkpoint)
        if good_from == seq + 1 and self._tree is not None:
            self._hold_tree(checkpoint)
        good = good_from == seq + 1
        if not good:
            self._tree = None
        self._anchor = checkpoint.seq, checkpoint.msn, checkpoint.number, checkpoint.at
        self._anchor_link = self._link = checkpoint.link
        self._other = None
        self._told = [told for told in self._told if told[1] > checkpoint.seq]
        self._waiting_since = 0
        return good

    def _stated(self, checkpoint: Checkpoint) -> None:
        """Take up a checkpoint that speaks of the same record as the one before it."""
        seq, msn, _, _ = self._anchor
        self._anchor = seq, msn, checkpoint.number, checkpoint.at
        if self.proven and self.proven[-1].last == seq:
            self.proven[-1] = self.proven[-1]._replace(checkpoint=checkpoint.number, at=checkpoint.at)
        if self._all_wrong is not None and self._all_wrong[0].last == seq:
            self._replaced(*self._all_wrong, checkpoint)
        if self._tree is not None and seq and seq == self.seq and self._first:
            self._hold_tree(checkpoint)

    def _extend_proven(self, stretch: Stretch) -> None:
        if self.proven and self.proven[-1].last == stretch.first - 1:
            begin = self.proven.pop()
            stretch = stretch._replace(first=begin.first, first_msn=begin.first_msn)
        self.proven.append(stretch)

    def _unproven(self, last: int, checkpoint: Checkpoint) -> None:
        """Note that records since the last checkpoint are not what was signed."""
        seq, msn, number, _ = self._anchor
        stretch = Stretch(seq + 1, last, msn + 1, checkpoint.msn, checkpoint.number, checkpoint.at)
        if self.unproven and self.unproven[-1].last == seq:
            stretch = stretch._replace(first=self.unproven[-1].first, first_msn=self.unproven.pop().first_msn)
        self.unproven.append(stretch)
        doubts = [finding for finding in self._doubts if finding.last <= last]
        if any(told[0] <= last for told in self._told) or any(f.kind is Kind.RECORD_CHANGED for f in doubts):
            return
        if self._other is not None and self._other[0] == last and all(f.first == f.last for f in doubts):
            # Rows of the tail: each has its own link, so what does not follow can be named.
            for finding in doubts:
                finding.kind = Kind.RECORD_CHANGED
                finding.text = (
                    f"record {finding.first} does not follow on the one before it: it was changed, or one before it, "
                    f"back to record {seq + 1}"
                )
            return
        self._records_changed(seq + 1, last, msn, number, checkpoint)

    def _records_changed(self, first: int, last: int, msn: int, number: int, checkpoint: Checkpoint) -> None:
        count = 1
        if self._all_wrong is not None and self._all_wrong[0].last == first - 1:
            begun, count = self._all_wrong
            if begun.month == checkpoint.month:
                first, msn, count = begun.first, (begun.msn or 1) - 1, count + 1
                number = begun.checkpoint
                begun.last = last
                begun.text = self._changed_text(first, last, number, checkpoint)
                self._all_wrong = begun, count
                self._replaced(begun, count, checkpoint)
                return
        finding = Finding(
            Kind.RECORDS_CHANGED, self._changed_text(first, last, number, checkpoint), first, last, msn + 1,
            checkpoint.month, number,
        )  # fmt: skip
        self._all_wrong = finding, 1
        self._note(finding)

    @staticmethod
    def _changed_text(first: int, last: int, number: int, checkpoint: Checkpoint) -> str:
        since = f"checkpoint {number}" if number else "the journal's beginning"
        return (
            f"among {span(first, last)} something was changed, and what stands beside was made to fit; but it is not "
            f"what was signed. The last statement it agrees with is {since}, the first it does not is checkpoint "
            f"{checkpoint.number} of {clock.rfc3339(checkpoint.at)}"
            if first < last
            else f"record {first} is not what checkpoint {checkpoint.number} of {clock.rfc3339(checkpoint.at)} signed"
        )

    def _replaced(self, finding: Finding, count: int, checkpoint: Checkpoint) -> None:
        """A month none of whose checkpoints agrees was not changed but put in the place of another."""
        if count > 1 and checkpoint.statement == "sealed" and finding.first == checkpoint.first:
            finding.kind = Kind.MONTH_REPLACED
            finding.text = (
                f"month {checkpoint.month} was replaced: none of its {count} checkpoints agrees with its "
                f"{span(finding.first, finding.last)}"
            )

    def _settle(self, good_from: int, checkpoint: Checkpoint) -> None:
        """Decide what was in doubt: of a proven record, what stands beside it is wrong; of others, the record."""
        decided = [finding for finding in self._doubts if finding.last <= checkpoint.seq]
        self._doubts = [finding for finding in self._doubts if finding.last > checkpoint.seq]
        for finding in decided:
            proven = finding.last >= good_from
            if finding.kind is Kind.RECORD_CHANGED:
                if proven:
                    finding.kind = Kind.MARKS_CHANGED
                    finding.text = (
                        f"the mark of record {finding.first} was changed; the record itself is what checkpoint "
                        f"{checkpoint.number} signed"
                    )
                    finding.msn = None
                self._note(finding)
            elif proven:
                finding.msn = None
                finding.first = finding.last
                finding.text = _LINK_TEXT.format(finding.last, checkpoint.number)
                self._note(finding)

    def _late(self, checkpoint: Checkpoint) -> None:
        since = self._waiting_since
        # Where one is missing or forged in between, that is told instead.
        if since and checkpoint.at - since > LATE_US and checkpoint.number == self._anchor[2] + 1:
            seq = self._anchor[0]
            self._note(Finding(
                Kind.CHECKPOINT_LATE,
                f"records after {seq} waited {(checkpoint.at - since) / 1e6:.0f} s for checkpoint "
                f"{checkpoint.number}; until then nothing signed spoke of them",
                seq + 1, checkpoint.seq, None, checkpoint.month, checkpoint.number,
            ))  # fmt: skip

    def _hold_tree(self, checkpoint: Checkpoint) -> None:
        assert self._tree is not None
        if (checkpoint.month, checkpoint.first) != (self.month, self._first):
            self._untrue(checkpoint, f"where month {self.month} begins")
            self._tree = None
        elif self._tree.root() != checkpoint.root:
            self._note(Finding(
                Kind.ROOT_DISAGREES,
                f"the tree over {span(self._first, checkpoint.seq)} has not the root that checkpoint "
                f"{checkpoint.number} states, though the chain agrees",
                self._first, checkpoint.seq, None, self.month, checkpoint.number,
            ))  # fmt: skip
            self._tree = None

    def finish(self) -> None:
        """Say what is in doubt after the last checkpoint: nothing will decide it."""
        for finding in self._doubts:
            if finding.kind is Kind.LINKS_CHANGED:
                finding.kind = Kind.RECORD_CHANGED if finding.first == finding.last else Kind.RECORDS_CHANGED
                finding.text = (
                    f"{span(finding.first, finding.last)}: the chain breaks there, and no checkpoint speaks of it yet"
                )
                finding.msn = finding.msn or self._anchor[1] + 1
            self._note(finding)
        self._doubts = []

    def _untrue(self, checkpoint: Checkpoint, what: str) -> None:
        self._note(Finding(
            Kind.CHECKPOINT_UNTRUE,
            f"checkpoint {checkpoint.number} is signed, but states something else than is so: {what}",
            checkpoint=checkpoint.number, month=checkpoint.month,
        ))  # fmt: skip
