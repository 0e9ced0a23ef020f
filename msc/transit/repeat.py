"""Which messages from the lines came before: same destination, same header, same text, within the window.

A host that was cut off before it read our acknowledgement sends again what we have. Nothing that comes may be thrown
away on suspicion, so it is delivered, but marked: a person at a terminal must be able to tell one hit from two. Only
hashes are kept. Time is an argument: monotonic seconds.
"""

from __future__ import annotations

from collections import OrderedDict

from msc.limits import PENDING_WINDOW_S, REPEATS_MAX


class Repeats:
    """What came lately.

    Args:
        window_s: How long it is remembered.
        messages_max: How many; past it the oldest is forgotten.
    """

    def __init__(self, window_s: float = PENDING_WINDOW_S, messages_max: int = REPEATS_MAX) -> None:
        self._window_s = window_s
        self._messages_max = messages_max
        self._came: OrderedDict[int, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._came)

    def note(self, line: str, text: str, now: float) -> bool:
        """Remember a message.

        Args:
            line: The destination it came from, whichever line carried it: a host may send again over the backup.
            text: With its header.

        Returns:
            Whether it came before.
        """
        while self._came:
            digest, at = next(iter(self._came.items()))
            if now - at <= self._window_s and len(self._came) < self._messages_max:
                break
            del self._came[digest]
        digest = hash((line, text))
        if digest in self._came:
            return True
        self._came[digest] = now
        return False

    def forget(self, line: str, text: str) -> None:
        """Forget a message that the journal did not take: its host was told so, and sends it again."""
        self._came.pop(hash((line, text)), None)
