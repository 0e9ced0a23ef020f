"""How long a peer has owed an acknowledgement; pure.

Looked at now and then, it is as exact as the time between two looks, and costs a message nothing.
"""

from __future__ import annotations

from collections import deque


class AckClock:
    """Tells when the oldest message without an acknowledgement has waited too long.

    Args:
        limit_s: How long it may wait.
    """

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._looks: deque[tuple[float, int]] = deque()
        """When we looked, and the last message that had been sent by then; only where that had grown."""

    def is_overdue(self, now: float, sent_last: int, unacknowledged_first: int | None) -> bool:
        """Look at the clock.

        Args:
            now: Monotonic time, seconds; never goes back.
            sent_last: The sequence of the last message sent; 0 before the first.
            unacknowledged_first: The oldest one without an acknowledgement, or None.
        """
        looks = self._looks
        if unacknowledged_first is None:
            looks.clear()
            return False
        while looks and looks[0][1] < unacknowledged_first:
            looks.popleft()
        if not looks or looks[-1][1] < sent_last:
            looks.append((now, sent_last))
        return now - looks[0][0] >= self._limit_s
