"""Failed sign-ons: so many within fifteen minutes lock a user id or a device until somebody releases it (F-LOCKOUT).

User ids nobody has are counted alike and stay locked alike, so that an answer does not tell whether a user exists.
"""

from __future__ import annotations

from collections import OrderedDict, deque

from msc.limits import FAILED_SIGN_ON_WINDOW_S, FAILED_SIGN_ONS_MAX, FAILURE_RECORDS_MAX

_WINDOW_US = int(FAILED_SIGN_ON_WINDOW_S * 1_000_000)


class FailureLog:
    """Recent failures by name. Times are wall microseconds.

    Args:
        most: How many within the window lock a name.
        lasting: A lock holds until `succeeded`, instead of until the window has passed.
    """

    def __init__(self, most: int = FAILED_SIGN_ONS_MAX, *, lasting: bool = True) -> None:
        self._most = most
        self._lasting = lasting
        self._failures: OrderedDict[str, deque[int]] = OrderedDict()

    def failed(self, name: str, now_us: int) -> bool:
        """Note a failure.

        Returns:
            Whether the name is locked by it.
        """
        if self.locked(name, now_us):
            return True
        times = self._failures.setdefault(name, deque(maxlen=self._most))
        self._failures.move_to_end(name)
        while len(self._failures) > FAILURE_RECORDS_MAX:
            self._failures.popitem(last=False)
        times.append(now_us)
        return self.locked(name, now_us)

    def locked(self, name: str, now_us: int) -> bool:
        """Tell whether failures lock a name."""
        times = self._failures.get(name)
        if times is None or len(times) < self._most:
            return False
        # Nothing is appended to a locked name, so whether five fell into one window once stays to be seen.
        return times[0] > (times[-1] if self._lasting else now_us) - _WINDOW_US

    def succeeded(self, name: str) -> None:
        """Forget the failures of a name."""
        self._failures.pop(name, None)
