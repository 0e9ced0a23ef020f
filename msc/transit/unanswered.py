"""Which line, and which mnemonic, has waited for an answer for too long: an alarm at the start and one at the end.

What counts is the oldest inquiry that nobody has answered. An inquiry is given up after its time-out (E403), often
long before anybody would notice that a line answers nothing at all. So what was given up still counts until the line
has answered anything: a silent line keeps its one alarm, however many inquiries come and go. With a mnemonic it is
the same, but not for longer than answers are accepted; whoever asked once and went home is not an alarm for days.

Each message costs the same, however many there are. Time is an argument: monotonic seconds.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from enum import StrEnum
from typing import NamedTuple

from msc.limits import PENDING_WINDOW_S, UNANSWERED_MAX, UNANSWERED_S


class Waiting(StrEnum):
    """What an alarm is about."""

    LINE = "line"
    MNEMONIC = "mnemonic"


class Alarm(NamedTuple):
    """An alarm that begins or ends.

    Attributes:
        what, name: Which line or mnemonic.
        raised: True at the start, False when it is cleared.
        since: When the oldest unanswered inquiry was sent; at the end, the one it began with.
    """

    what: Waiting
    name: str
    raised: bool
    since: float


class _Watch:
    """One line or mnemonic: what it has not answered, oldest first."""

    __slots__ = ("answered_at", "given_up_last", "given_up_since", "open", "raised_since", "watched")

    def __init__(self) -> None:
        # An ordered one: the first of a dict takes longer to find with every first that was deleted.
        self.open: OrderedDict[tuple[int, str], float] = OrderedDict()
        self.given_up_since: float | None = None
        """When the oldest was sent that was given up, of those since the last answer,"""
        self.given_up_last = 0.0
        """and when the newest was."""
        self.answered_at: float | None = None
        self.raised_since: float | None = None
        self.watched = False
        """Whether a deadline is set."""

    def oldest(self) -> float | None:
        first = next(iter(self.open.values()), None)
        if first is None or self.given_up_since is None:
            return first if first is not None else self.given_up_since
        return min(first, self.given_up_since)


class Unanswered:
    """Watches lines and mnemonics.

    Args:
        threshold_s: How old the oldest unanswered inquiry may grow before there is an alarm.
        window_s: How long answers are accepted: what is older is nothing a mnemonic waits for any more.
        inquiries_max: How many are watched at once; past it further ones are not.
    """

    def __init__(
        self,
        threshold_s: float = UNANSWERED_S,
        window_s: float = PENDING_WINDOW_S,
        inquiries_max: int = UNANSWERED_MAX,
    ) -> None:
        self._threshold_s = threshold_s
        self._window_s = window_s
        self._inquiries_max = inquiries_max
        self._inquiries = 0
        self._watches: dict[tuple[Waiting, str], _Watch] = {}
        self._deadlines: list[tuple[float, tuple[Waiting, str]]] = []
        self._news: list[Alarm] = []

    def __len__(self) -> int:
        """Return how many inquiries are watched."""
        return self._inquiries

    def raised(self) -> list[Alarm]:
        """Return the alarms there are now."""
        return [
            Alarm(what, name, True, watch.raised_since)
            for (what, name), watch in self._watches.items()
            if watch.raised_since is not None
        ]

    def oldest(self, what: Waiting) -> dict[str, float]:
        """Return since when each line, or each mnemonic, waits that waits for anything."""
        found = {name: watch.oldest() for (kind, name), watch in self._watches.items() if kind is what}
        return {name: since for name, since in found.items() if since is not None}

    # --- messages -------------------------------------------------------------------------------

    def sent(self, line: str, mnemonic: str, msn: int, now: float) -> None:
        """An inquiry went out on a line. What goes out a second time is watched from the first."""
        if self._inquiries >= self._inquiries_max:
            return
        inquiry = (msn, line)
        watch = self._watch((Waiting.LINE, line))
        if inquiry in watch.open:
            return
        self._inquiries += 1
        for key in ((Waiting.LINE, line), (Waiting.MNEMONIC, mnemonic)):
            watch = self._watch(key)
            watch.open[inquiry] = now
            self._set_deadline(key, watch, now + self._threshold_s)

    def answered(self, line: str, mnemonic: str, msn: int, now: float) -> None:
        """A line has answered something: this inquiry, or another answer to it, or a late one."""
        self._inquiries -= self._ended((Waiting.LINE, line), (msn, line), now, answered=True)
        self._ended((Waiting.MNEMONIC, mnemonic), (msn, line), now, answered=True)

    def given_up(self, line: str, mnemonic: str, msn: int, now: float) -> None:
        """An inquiry is waited for no longer."""
        self._inquiries -= self._ended((Waiting.LINE, line), (msn, line), now, answered=False)
        self._ended((Waiting.MNEMONIC, mnemonic), (msn, line), now, answered=False)

    def heard(self, line: str, now: float) -> None:
        """A line has said something that answers no inquiry of ours: it is alive."""
        self._ended((Waiting.LINE, line), None, now, answered=True)

    def _watch(self, key: tuple[Waiting, str]) -> _Watch:
        watch = self._watches.get(key)
        if watch is None:
            watch = self._watches[key] = _Watch()
        return watch

    def _ended(
        self, key: tuple[Waiting, str], inquiry: tuple[int, str] | None, now: float, *, answered: bool
    ) -> bool:
        watch = self._watches.get(key)
        if watch is None:
            return False
        sent_at = watch.open.pop(inquiry, None) if inquiry is not None else None
        if answered:
            watch.answered_at, watch.given_up_since = now, None
        elif sent_at is not None and (watch.answered_at is None or watch.answered_at <= sent_at):
            if watch.given_up_since is None or sent_at < watch.given_up_since:
                watch.given_up_since = sent_at
            watch.given_up_last = max(watch.given_up_last, sent_at)
        self._look(key, watch, now)
        return sent_at is not None

    # --- alarms ---------------------------------------------------------------------------------

    def tick(self, now: float) -> list[Alarm]:
        """Return the alarms that began or ended since the last time, in their order."""
        while self._deadlines and self._deadlines[0][0] <= now:
            _, key = heapq.heappop(self._deadlines)
            watch = self._watches.get(key)
            if watch is not None:
                watch.watched = False
                self._look(key, watch, now)
        news, self._news = self._news, []
        return news

    def _look(self, key: tuple[Waiting, str], watch: _Watch, now: float) -> None:
        """Raise or clear the alarm of a watch, and see to it that it is looked at again in time."""
        what, name = key
        forgets = what is Waiting.MNEMONIC and watch.given_up_since is not None
        if forgets and now >= watch.given_up_last + self._window_s:
            watch.given_up_since = None
        oldest = watch.oldest()
        # The sum, as deadlines are set by it: the difference may round the other way, and tick would find no end.
        if oldest is not None and now >= oldest + self._threshold_s:
            if watch.raised_since is None:
                watch.raised_since = oldest
                self._news.append(Alarm(what, name, True, oldest))
        elif watch.raised_since is not None and oldest != watch.raised_since:
            self._news.append(Alarm(what, name, False, watch.raised_since))
            watch.raised_since = None
        if oldest is None:
            if not watch.watched:
                del self._watches[key]
        elif watch.raised_since is None:
            self._set_deadline(key, watch, oldest + self._threshold_s)
        elif forgets:
            self._set_deadline(key, watch, watch.given_up_last + self._window_s)

    def _set_deadline(self, key: tuple[Waiting, str], watch: _Watch, at: float) -> None:
        if not watch.watched:
            watch.watched = True
            heapq.heappush(self._deadlines, (at, key))
