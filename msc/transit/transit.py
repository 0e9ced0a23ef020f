"""All that is on its way: messages by number, and those that answers may come for by the header the switch put on.

One inquiry draws several answers, some of them late, so a message for lines stays for a window after its last line
has answered or was given up; every other is forgotten when it has ended everywhere. Indexes alone: what a message's
state is, its `Transaction` says. Time is an argument (monotonic seconds).
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from msc.errors import Overloaded
from msc.limits import PENDING_MAX, PENDING_WINDOW_S
from msc.protocol.catalog import MessageKey
from msc.transit.event import Event
from msc.transit.state import Place, State
from msc.transit.transaction import Stay, Transaction


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


_NO_TIMES: Final[Mapping[str, float]] = MappingProxyType({})


class Transit:
    """The messages.

    Args:
        window_s: How long answers are accepted.
        transactions_max: How many are remembered for answers; see `limits.PENDING_MAX`.
        timeouts: What differs from the catalog's times.
    """

    def __init__(
        self,
        window_s: float = PENDING_WINDOW_S,
        transactions_max: int = PENDING_MAX,
        timeouts: TimeOuts | None = None,
    ) -> None:
        self._timeouts = timeouts or TimeOuts()
        self._window_s = window_s
        self._transactions_max = transactions_max
        self._all: dict[int, Transaction] = {}
        self._waiting: dict[str, Transaction] = {}
        # Answered by all, kept for late and further answers: oldest first.
        self._settled: OrderedDict[str, Transaction] = OrderedDict()
        self._deadlines: list[tuple[float, int, str]] = []

    def __len__(self) -> int:
        """Return how many are remembered for answers."""
        return len(self._waiting) + len(self._settled)

    @property
    def waiting(self) -> int:
        """How many still wait for at least one line."""
        return len(self._waiting)

    def check_room(self) -> None:
        """Refuse a new message where every one still waits.

        Raises:
            Overloaded: There is no room.
        """
        if len(self._waiting) >= self._transactions_max:
            raise Overloaded("too many inquiries wait for answers")

    # --- what happens -------------------------------------------------------------------------------

    def begin(self, transaction: Transaction, now: float) -> Transaction:
        """A message is in the journal: what that says of its life holds, and it is remembered."""
        for event in transaction.message.events:
            transaction.apply(event)
        return self.remember(transaction, now)

    def remember(self, transaction: Transaction, now: float) -> Transaction:
        """Remember a message as it stands; the time-outs of its lines begin."""
        self._all[transaction.message.msn] = transaction
        on_lines = False
        for stay in transaction.stays.values():
            if stay.place is Place.LINE:
                if not on_lines:
                    on_lines, transaction.timeouts = True, self._timeouts.of(transaction.key)
                if stay.state is not State.ENDED:
                    self._await(stay, now)
        if on_lines and not transaction.lines_open:
            self._settle(transaction, now)
        elif not transaction.open:
            self._forget_if_over(transaction)
        return transaction

    def apply(self, event: Event, now: float) -> Stay | None:
        """Let something happen to a message; returns the stay it is about, if the message is remembered."""
        transaction = self._all.get(event.msn)
        if transaction is None:
            return None
        stay = transaction.stays.get(event.destination or "")
        if stay is not None:
            self.happened(stay, event, now)
            return stay
        stay = transaction.apply(event)
        if stay is not None and stay.place is Place.LINE and stay.state is not State.ENDED:
            transaction.timeouts = self._timeouts.of(transaction.key)
            self._await(stay, now)
        elif not transaction.open:
            self._forget_if_over(transaction)
        return stay

    def happened(self, stay: Stay, event: Event, now: float) -> None:
        """Let something happen to a message at one of its destinations."""
        before, transaction = stay.state, stay.transaction
        stay.apply(event)
        ended = stay.state is State.ENDED
        if (before is State.ENDED) is ended:
            return
        if stay.place is not Place.LINE:
            if not transaction.open:
                self._forget_if_over(transaction)
        elif not ended:
            self._await(stay, now)
        else:
            stay.ending = None
            if not transaction.lines_open:
                self._settle(transaction, now)

    def _await(self, stay: Stay, now: float) -> None:
        transaction = stay.transaction
        transaction.closes_at = now + self._window_s
        while self._settled and len(self) >= self._transactions_max:
            self._forget_if_over(self._settled.popitem(last=False)[1])
        self._settled.pop(transaction.header, None)
        self._waiting[transaction.header] = transaction
        self.postpone(stay, now + transaction.timeout_of(stay))

    def _settle(self, transaction: Transaction, now: float) -> None:
        self._waiting.pop(transaction.header, None)
        transaction.closes_at = transaction.closes_at or now + self._window_s
        self._settled[transaction.header] = transaction
        while len(self) > self._transactions_max and len(self._settled) > 1:
            self._forget_if_over(self._settled.popitem(last=False)[1])

    def _forget_if_over(self, transaction: Transaction) -> None:
        header = transaction.message.header
        if header is not None and (
            self._waiting.get(header) is transaction or self._settled.get(header) is transaction
        ):
            return
        if not transaction.open:
            self._all.pop(transaction.message.msn, None)

    # --- looking up ---------------------------------------------------------------------------------

    def find(self, header: str) -> Transaction | None:
        """Find the message an answer belongs to."""
        return self._waiting.get(header) or self._settled.get(header)

    def get(self, msn: int) -> Transaction | None:
        """Return a message by its number, if it is remembered."""
        return self._all.get(msn)

    def awaited(self) -> dict[str, int]:
        """Return how many messages wait for an answer of each line, by its name. It looks at every one."""
        counts: dict[str, int] = {}
        for transaction in self._waiting.values():
            for stay in transaction.awaited:
                counts[stay.name] = counts.get(stay.name, 0) + 1
        return counts

    def oldest(self) -> Transaction | None:
        """Return the message that has waited longest, if any waits."""
        return next(iter(self._waiting.values()), None)

    # --- time ---------------------------------------------------------------------------------------

    def postpone(self, stay: Stay, until: float) -> None:
        """Look for a line's answer at another time, and not before."""
        stay.due = until
        heapq.heappush(self._deadlines, (until, stay.transaction.message.msn, stay.destination))

    def expire(self, now: float) -> list[Stay]:
        """Return the lines whose time has come, and forget messages whose window has closed."""
        expired: list[Stay] = []
        while self._deadlines and self._deadlines[0][0] <= now:
            at, msn, destination = heapq.heappop(self._deadlines)
            transaction = self._all.get(msn)
            stay = transaction.stays.get(destination) if transaction is not None else None
            if stay is not None and stay.state is not State.ENDED and stay.due == at:
                expired.append(stay)
        while self._settled:
            transaction = next(iter(self._settled.values()))
            if transaction.closes_at > now:
                break
            self._settled.popitem(last=False)
            self._forget_if_over(transaction)
        return expired


def states(transactions: Iterable[Transaction]) -> dict[int, dict[str, State]]:
    """Return where messages have not ended: MSN to destination to where it stands there; as the ledger has it."""
    found = {each.msn: {stay.destination: stay.state for stay in each.open_stays()} for each in transactions}
    return {msn: places for msn, places in found.items() if places}
