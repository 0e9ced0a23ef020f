"""What records say of each other: message numbers without a gap, sequences without a gap, clocks that agree."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from msc import clock
from msc.journal.proof.finding import Finding, Kind
from msc.transit.message import Direction

STEP_US: Final = 1_000_000
"""Wall clock and monotonic clock that part by more than this within a moment: somebody set the wall clock."""

Note = Callable[[Finding], None]


class Continuity:
    """Follows the numbers and clocks of records, decoded but for their types.

    Args:
        note: Called with what is found.
    """

    def __init__(self, note: Note) -> None:
        self.msn: int | None = 0
        """The highest so far; None while it is not known, after records that cannot be relied on."""
        self._whole = True
        """Everything since the journal's first record was seen, so that an unknown source must begin at 1."""
        self._inputs: dict[str, int] = {}
        self._outputs: dict[str, int] = {}
        self._offset: int | None = None
        """Wall time less monotonic time."""
        self._mono = 0
        self._note = note

    def reset(self, msn: int | None = None) -> None:
        """Forget what came before; the next number of everything is taken as it comes.

        Args:
            msn: The highest there was, where that is known.
        """
        self.msn = msn
        self._whole = False
        self._inputs.clear()
        self._outputs.clear()
        self._offset = None

    def look(self, rows: list[list[Any]], month: int) -> None:
        """Look at the next records; they must have the form of records."""
        inputs, outputs, msn = self._inputs, self._outputs, self.msn
        for row in rows:
            number = row[3]
            if row[0] == "m":
                if row[4] != msn:
                    if msn is not None and row[4] != msn + 1:
                        self._gap(row, month, f"MSN {row[4]} follows on MSN {msn}")
                    msn = row[4]
                if row[6] == Direction.INBOUND:
                    source = f"line:{row[9]}"
                else:
                    source = "switch" if row[7] == "status" or row[8] is None else f"device:{row[8]}"
                if number is None:
                    continue
                before = inputs.get(source)
                if before is None:
                    before = 0 if self._whole else number - 1
                if number != before + 1:
                    self._gap(row, month, f"input {number} of {source} follows on {before}")
                inputs[source] = number
            elif row[0] == "s":
                for destination, number in _outputs(row):
                    before = outputs.get(destination)
                    if before is None:
                        before = 0 if self._whole else number - 1
                    if number != before + 1:
                        self._gap(row, month, f"output {number} to {destination} follows on {before}")
                    outputs[destination] = number
        self.msn = msn
        self._clocks(rows, month)

    def _gap(self, row: list[Any], month: int, what: str) -> None:
        self._note(Finding(Kind.NUMBER_GAP, f"at record {row[1]}: {what}", row[1], row[1], row[4], month))

    def _clocks(self, rows: list[list[Any]], month: int) -> None:
        # What happened is noted when it happened, but some things are copied from elsewhere later: audit records.
        # And steps of a message wait for each other.
        own = [row for row in rows if row[0] == "m"]
        if not own:
            return
        offsets = [row[5] - row[2] for row in own]
        offset, mono = self._offset, own[-1][2]
        if offset is None:
            offset = offsets[0]
        if max(offsets) - offset > STEP_US or offset - min(offsets) > STEP_US or own[0][2] < self._mono:
            self._offset = self._steps(own, offsets, offset, month)
        else:
            # They drift apart a little all the time.
            self._offset = offsets[-1]
        self._mono = mono

    def _steps(self, own: list[list[Any]], offsets: list[int], offset: int, month: int) -> int:
        """Find where the clocks part. One record alone only tells that it waited for the journal."""
        mono = self._mono
        for place, (row, here) in enumerate(zip(own, offsets, strict=True)):
            if row[2] < mono - STEP_US:
                # The monotonic clock began anew: the machine was started, and nothing can be compared.
                offset = here
            elif (
                abs(here - offset) > STEP_US
                and place + 1 < len(offsets)
                and abs(offsets[place + 1] - here) <= STEP_US
            ):
                self._note(
                    Finding(
                        Kind.CLOCK_STEPPED,
                        f"before record {row[1]}, at {clock.rfc3339(row[5])}, the wall clock stepped by "
                        f"{(here - offset) / 1e6:+.3f} s, or the machine was started",
                        row[1],
                        row[1],
                        None,
                        month,
                    )
                )
                offset = here
            mono = row[2]
        return offset


def _outputs(row: list[Any]) -> Iterator[tuple[str, int]]:
    """Yield the numbers under which steps went out, each with its destination."""
    for event in row[6] if isinstance(row[6], list) else ():
        if not isinstance(event, list):
            continue
        facts = event[2] if len(event) > 2 else None
        osn = facts.get("osn") if isinstance(facts, dict) else None
        if type(osn) is int and isinstance(event[1], str):
            yield event[1], osn
