"""The growing end of the journal: what the next record continues, and what a checkpoint states.

Pure but for the signing key. It gives each record its position, its ISN or OSN and its place in chain and tree,
notices the end of a month, and keeps what a starting switch must know: the highest MSN, the sequences' counters,
and which messages have not ended yet, where.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple

import orjson

from msc import clock
from msc.errors import JournalError
from msc.journal.database.layout import CheckpointRow, Opened, TailRow
from msc.journal.owed import Owed, follow, read_owed
from msc.journal.proof.canonical import Stored, encode, read
from msc.journal.proof.chain import FIRST_LINK, Frontier, leaf_of, link_after
from msc.journal.proof.checkpoint import NO_CHECKPOINT, Checkpoint, Signer, Statement, read_checkpoint
from msc.journal.record import AuditRecord, Record, StepsRecord, Unreadable, msn_after, time_of
from msc.transit.event import Event, Life
from msc.transit.message import Direction, MessageRecord

RESTORING: Final = b'{"restoring":'
"""How the state of a journal begins while it is being restored (`msc.journal.backup`): nobody may go on from it."""
_SWITCH: Final = "switch"
"""Source of what the switch itself says."""


class Entered(NamedTuple):
    """What came of entering records: rows for the tail, and checkpoints for the months that ended with them."""

    rows: list[TailRow]
    checkpoints: list[CheckpointRow]


def source_of(message: MessageRecord) -> str:
    """Return whose input sequence numbers a message: a line's, a station's, or the switch's own."""
    if message.direction == Direction.INBOUND:
        return f"line:{message.line}"
    if message.kind == "status" or message.device is None:
        return _SWITCH
    return f"device:{message.device}"


class Ledger:
    """The growing end of a journal. After a failed commit it is made anew from what the database holds.

    Args:
        journal: The journal's identity, 16 bytes.
        signer: Signs the checkpoints.
    """

    def __init__(self, journal: bytes, signer: Signer) -> None:
        self.journal = journal
        self.seq = 0
        self.link = FIRST_LINK
        self.msn = 0
        self.month = 0
        self.first = 0
        """First record of the month."""
        self.owed: Owed = {}
        """MSN to the destinations where it has not ended, and where it stands there."""
        self.unreadable: list[int] = []
        """Records since the last checkpoint whose bytes are in order and whose meaning is not: positions."""
        self.ended = False
        """Whether a switch has stopped here in good order, having stored all that there was to say."""
        self.number = 0
        """Of the last checkpoint."""
        self.stated = 0
        """The last record a checkpoint speaks of."""
        self._previous = NO_CHECKPOINT
        self._tree = Frontier()
        self._inputs: dict[str, int] = {}
        self._outputs: dict[str, int] = {}
        self._signer = signer

    @classmethod
    def of(cls, opened: Opened, signer: Signer, new_identity: bytes) -> Ledger:
        """Make the ledger of a journal as it was found.

        Raises:
            JournalError: State, checkpoint and tail do not belong together: somebody wrote in the database, or a
                restore was interrupted.
        """
        if opened.state is not None and opened.state.startswith(RESTORING):
            raise JournalError("the journal is restored only in part: restore it again, from the same backup")
        if opened.state is None or opened.checkpoint is None:
            ledger = cls(new_identity, signer)
        else:
            last = read_checkpoint(opened.checkpoint.body)
            ledger = cls(last.journal, signer)
            ledger.number, ledger._previous = last.number, last.digest()
            ledger._restore(last, orjson.loads(opened.state))
            if last.key == signer.id and not signer.signed(opened.checkpoint.body, opened.checkpoint.signature):
                raise JournalError(f"checkpoint {last.number} was forged; `msc journal verify` says more")
            ledger._hold([row for row in opened.tail if row.seq <= ledger.seq])
        for row in opened.tail:
            if row.seq > ledger.seq:
                ledger._replay(row)
        return ledger

    def _restore(self, last: Checkpoint, state: dict[str, Any]) -> None:
        self.seq, self.link, self.msn = last.seq, last.link, last.msn
        self.stated = last.seq
        self.month, self.first = last.month, last.first
        self._tree = Frontier(state["count"], map(bytes.fromhex, state["nodes"]))
        held = self.seq - self.first + 1 if self.seq else 0
        if state["seq"] != last.seq or state["count"] != held or (held and self._tree.root() != last.root):
            raise JournalError(
                "the journal's state is not that of its last checkpoint; `msc journal verify` says more"
            )
        self._inputs, self._outputs = state["isn"], state["osn"]
        self.ended = bool(state.get("ended"))
        self.owed = read_owed(state["owed"])

    def _hold(self, rows: Sequence[TailRow]) -> None:
        """Hold the rows that the last checkpoint speaks of against it: all are there, and what was signed."""
        for before, row in pairwise(rows):
            if row.seq != before.seq + 1:
                raise JournalError(
                    f"record {before.seq + 1} is missing in the journal; `msc journal verify` says more"
                )
            if row.link != link_after(before.link, leaf_of(row.body)):
                raise JournalError(f"record {row.seq} of the journal was changed; `msc journal verify` says more")
        if rows and (rows[-1].seq, rows[-1].link) != (self.seq, self.link):
            raise JournalError("the end of the journal was cut off or changed; `msc journal verify` says more")

    def _replay(self, row: TailRow) -> None:
        """Go on by a record that stands behind the last checkpoint.

        What it says is taken as far as it can be understood. A start must not fail on that; only on bytes that are
        not what was chained.
        """
        if row.seq != self.seq + 1:
            raise JournalError(f"record {self.seq + 1} is missing in the journal; `msc journal verify` says more")
        stored = read(row.seq, row.body)
        record = stored.record
        at = record.at if isinstance(record, Unreadable) else time_of(record)
        if at is not None:
            self._turn_to(at, [], signing=False)
        self._take(row.body)
        if self.link != row.link:
            raise JournalError(f"record {row.seq} of the journal was changed; `msc journal verify` says more")
        self.msn = msn_after(self.msn, record)
        if isinstance(record, Unreadable):
            self.unreadable.append(row.seq)
        elif not isinstance(record, AuditRecord):
            self._understand(record, stored)

    def _understand(self, record: MessageRecord | StepsRecord, stored: Stored) -> None:
        if isinstance(record, MessageRecord) and stored.number is not None:
            self._inputs[source_of(record)] = stored.number
        for event in record.events:
            follow(self.owed, event)
            if (osn := event.facts.get("osn")) is not None and event.destination is not None:
                self._outputs[event.destination] = osn

    # --- entering -------------------------------------------------------------------------------

    def enter(self, records: Iterable[tuple[int, Record]]) -> Entered:
        """Give records their places.

        Args:
            records: Monotonic mark (microseconds) and record, in the order they are to stand in.
        """
        rows: list[TailRow] = []
        sealed: list[CheckpointRow] = []
        for mono, record in records:
            # First of all: the seal of the old month must state nothing of the record that begins the next.
            self._turn_to(time_of(record), sealed)
            number = None
            if type(record) is MessageRecord:
                source = source_of(record)
                number = self._inputs[source] = self._inputs.get(source, 0) + 1
                self.msn = record.msn
                for event in record.events:
                    follow(self.owed, event)
            elif type(record) is StepsRecord:
                record = self._numbered(record)
            body = encode(self.seq + 1, mono, number, record)
            self._take(body)
            rows.append(TailRow(self.seq, body, self.link))
        return Entered(rows, sealed)

    def _numbered(self, record: StepsRecord) -> StepsRecord:
        """Follow steps, and give those that send their numbers, in the order in which the journal takes them."""
        sends = False
        for event in record.events:
            follow(self.owed, event)
            sends = sends or event.event == Life.SENT
        return record._replace(events=tuple(map(self._with_osn, record.events))) if sends else record

    def _with_osn(self, event: Event) -> Event:
        if event.event != Life.SENT or event.destination is None:
            return event
        number = self._outputs[event.destination] = self._outputs.get(event.destination, 0) + 1
        return Event(event.msn, event.at, event.event, event.destination, {**event.facts, "osn": number})

    def _take(self, body: bytes) -> None:
        leaf = leaf_of(body)
        self.link = link_after(self.link, leaf)
        self.ended = False
        self._tree.append(leaf)
        self.seq += 1

    def _turn_to(self, at: int, sealed: list[CheckpointRow], *, signing: bool = True) -> None:
        """Begin a new month, if the time says so. A clock that is set back does not reopen one."""
        month = clock.month_of(at)
        if month <= self.month:
            return
        if self.month and signing:
            sealed.append(self.checkpoint(at, Statement.SEALED))
        self.month, self.first, self._tree = month, self.seq + 1, Frontier()

    # --- stating --------------------------------------------------------------------------------

    def checkpoint(
        self, now_us: int, statement: Statement = Statement.HELD, detail: dict[str, Any] | None = None
    ) -> CheckpointRow:
        """State what the journal holds now."""
        self.number += 1
        checkpoint = Checkpoint(
            self.number, statement.value, now_us, self.journal, self.seq, self.msn, self.link, self.month, self.first,
            self._tree.root(), self._previous, self._signer.id, detail,
        )  # fmt: skip
        body = checkpoint.body()
        self._previous = checkpoint.digest()
        self.stated = self.seq
        return CheckpointRow(self.number, self.seq, statement.value, body, self._signer.sign(body))

    def state(self) -> bytes:
        """Write down what a starting switch must know, to be stored with a checkpoint."""
        return orjson.dumps(
            {
                "seq": self.seq,
                "count": self._tree.count,
                "nodes": [node.hex() for node in self._tree.nodes],
                "isn": self._inputs,
                "osn": self._outputs,
                "ended": self.ended,
                "owed": {str(msn): destinations for msn, destinations in self.owed.items()},
            }
        )
