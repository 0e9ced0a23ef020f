"""Inquiries that wait for answers, found by the header the switch put on.

One inquiry draws several answers, some of them late, so an entry stays for a window after its last
destination has answered or timed out. Time is an argument (monotonic seconds).
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from msc.errors import Overloaded
from msc.limits import PENDING_MAX, PENDING_WINDOW_S
from msc.protocol.catalog import MessageKey


@dataclass(slots=True)
class Pending:
    """One transaction that answers may come for.

    Attributes:
        msn: The inquiry's MSN, the transaction's number.
        header: The supplemental header on the line, by which answers find it.
        own_header: The originator's own header (differs for hosts).
        host: Whether it came from a host, whose answers carry its header in the text.
        address: Where answers are delivered; see `Outbox`.
        station: Identity of the connection it came on, so that `reply_to` is only given there.
        sequence: The data frame it came in.
        ref: The sender's own id.
        device, user, agency, ori, mnemonic: Who asked, for the journal.
        priority: `urgent` or `routine`.
        key: Its catalog entry; None if the catalog has lost it since (after a restart).
        timeout_s: Until a destination is given up.
        received_us: Wall time of receipt.
        timeouts: Until one is that has a time of its own, by line.
        due: When each awaited line is to be looked at, monotonic; a time set before counts no more.
        lines: Those it was meant for.
        awaited: Lines that have not answered yet.
        given_up: Of those, the ones whose status message is on its way into the journal.
        answering: Of those, the ones whose answer is.
        failed: Lines that were given up; an answer of one of them comes late.
        began: MSN of the message this one was edited from, whose number its originator knows.
    """

    msn: int
    header: str
    own_header: str
    host: bool
    address: str
    station: int
    sequence: int
    ref: str | None
    device: str
    user: str
    agency: str
    ori: str
    mnemonic: str
    priority: str
    key: MessageKey | None
    timeout_s: float
    received_us: int
    lines: tuple[str, ...] = ()
    awaited: set[str] = field(default_factory=set)
    given_up: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    answering: set[str] = field(default_factory=set)
    began: int | None = None
    closes_at: float = 0.0
    timeouts: Mapping[str, float] | None = None
    due: dict[str, float] = field(default_factory=dict)

    @property
    def transaction(self) -> int:
        """The transaction's number: that of its first message, which an operator may have edited."""
        return self.msn if self.began is None else self.began

    def timeout_of(self, line: str) -> float:
        """Return how many seconds a line has."""
        return self.timeouts.get(line, self.timeout_s) if self.timeouts else self.timeout_s

    @property
    def update(self) -> bool:
        """Whether it changes a record: a time-out means E404, not E403. What is not known counts as one."""
        return self.key is None or self.key.is_update


class TimeOuts:
    """Times that differ from the catalog's at one destination: the state's own file answers sooner than the nation's.

    Args:
        by_line: For each line seconds by key, exact or with a trailing `*`; the longest that fits counts.
    """

    def __init__(self, by_line: Mapping[str, Mapping[str, float]] = MappingProxyType({})) -> None:
        self._by_line = {line: dict(times) for line, times in by_line.items() if times}
        self._of_key: dict[str, Mapping[str, float]] = {}

    def of(self, key: MessageKey | None) -> Mapping[str, float]:
        """Return the seconds of a key's messages by line, where they are not the catalog's."""
        if key is None or not self._by_line:
            return _NO_TIMES
        found = self._of_key.get(key.code)
        if found is None:
            fitting = {
                line: [(len(pattern), seconds) for pattern, seconds in times.items() if fits(pattern, key.code)]
                for line, times in self._by_line.items()
            }
            found = {line: max(times)[1] for line, times in fitting.items() if times}
            self._of_key[key.code] = found
        return found


def fits(pattern: str, code: str) -> bool:
    """Tell whether a pattern, exact or with a trailing `*`, fits a key."""
    return code.startswith(pattern[:-1]) if pattern.endswith("*") else code == pattern


_NO_TIMES: Mapping[str, float] = MappingProxyType({})


class PendingTable:
    """All transactions that answers may come for.

    Args:
        window_s: How long an entry stays.
        entries_max: How many are remembered; see `limits.PENDING_MAX`.
        timeouts: What differs from the catalog's times.
    """

    def __init__(
        self,
        window_s: float = PENDING_WINDOW_S,
        entries_max: int = PENDING_MAX,
        timeouts: TimeOuts | None = None,
    ) -> None:
        self._timeouts = timeouts or TimeOuts()
        self._window_s = window_s
        self._entries_max = entries_max
        self._waiting: dict[str, Pending] = {}
        # Answered by all, kept for late and further answers: oldest first.
        self._settled: OrderedDict[str, Pending] = OrderedDict()
        self._deadlines: list[tuple[float, int, str, str]] = []

    def __len__(self) -> int:
        return len(self._waiting) + len(self._settled)

    @property
    def waiting(self) -> int:
        """How many still wait for at least one destination."""
        return len(self._waiting)

    def check_room(self) -> None:
        """Refuse a new inquiry where every entry still waits.

        Raises:
            Overloaded: There is no room.
        """
        if len(self._waiting) >= self._entries_max:
            raise Overloaded("too many inquiries wait for answers")

    def add(self, entry: Pending, now: float) -> None:
        """Remember a transaction from now on; its time-out begins."""
        entry.closes_at = now + self._window_s
        entry.timeouts = self._timeouts.of(entry.key)
        while self._settled and len(self) >= self._entries_max:
            self._settled.popitem(last=False)
        if entry.awaited:
            self._waiting[entry.header] = entry
            for line in entry.awaited:
                self.postpone(entry, line, now + entry.timeout_of(line))
        else:
            self._settled[entry.header] = entry

    def find(self, header: str) -> Pending | None:
        """Find the transaction an answer belongs to."""
        return self._waiting.get(header) or self._settled.get(header)

    def settle(self, entry: Pending, line: str) -> None:
        """Note that a destination has answered, or is given up."""
        entry.awaited.discard(line)
        if not entry.awaited and self._waiting.pop(entry.header, None) is not None:
            self._settled[entry.header] = entry

    def await_also(self, entry: Pending, line: str, now: float) -> None:
        """Wait for an answer of another destination as well, or of one once more; its time-out begins."""
        entry.awaited.add(line)
        entry.failed.discard(line)
        if line not in entry.lines:
            entry.lines = (*entry.lines, line)
        entry.closes_at = now + self._window_s
        self._settled.pop(entry.header, None)
        self._waiting[entry.header] = entry
        self.postpone(entry, line, now + entry.timeout_of(line))

    def postpone(self, entry: Pending, line: str, until: float) -> None:
        """Look at a destination of a transaction at another time, and not before."""
        entry.due[line] = until
        heapq.heappush(self._deadlines, (until, entry.msn, entry.header, line))

    def expire(self, now: float) -> list[tuple[Pending, str]]:
        """Take the destinations whose time-out has come, and forget transactions whose window has closed.

        Returns:
            Entries and lines still awaited; the caller settles them.
        """
        expired: list[tuple[Pending, str]] = []
        while self._deadlines and self._deadlines[0][0] <= now:
            at, msn, header, line = heapq.heappop(self._deadlines)
            entry = self._waiting.get(header)
            if entry is not None and entry.msn == msn and line in entry.awaited and entry.due.get(line) == at:
                expired.append((entry, line))
        while self._settled:
            entry = next(iter(self._settled.values()))
            if entry.closes_at > now:
                break
            self._settled.popitem(last=False)
        return expired

    def awaited(self) -> dict[str, int]:
        """Return how many transactions wait for an answer of each line. It looks at every one."""
        counts: dict[str, int] = {}
        for entry in self._waiting.values():
            for line in entry.awaited:
                counts[line] = counts.get(line, 0) + 1
        return counts

    def oldest(self) -> Pending | None:
        """Return the transaction that has waited longest, if any waits."""
        return next(iter(self._waiting.values()), None)
