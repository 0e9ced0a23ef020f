"""Failed sign-ons: five within fifteen minutes lock an account until an administrator releases it (F-LOCKOUT).

Names nobody has are counted alike, so that an answer does not tell whether a user exists.
"""

from __future__ import annotations

from collections import OrderedDict, deque

from msc.limits import FAILED_SIGN_ON_WINDOW_S, FAILED_SIGN_ONS_MAX, FAILURE_RECORDS_MAX

_WINDOW_US = int(FAILED_SIGN_ON_WINDOW_S * 1_000_000)


class FailureLog:
    """Recent failures by user id. Times are wall microseconds."""

    def __init__(self) -> None:
        self._failures: OrderedDict[str, deque[int]] = OrderedDict()

    def failed(self, user: str, now_us: int) -> bool:
        """Note a failure.

        Returns:
            Whether it is the one that locks the account.
        """
        times = self._failures.setdefault(user, deque(maxlen=FAILED_SIGN_ONS_MAX))
        self._failures.move_to_end(user)
        while len(self._failures) > FAILURE_RECORDS_MAX:
            self._failures.popitem(last=False)
        times.append(now_us)
        return self.locked(user, now_us)

    def locked(self, user: str, now_us: int) -> bool:
        """Tell whether the failures of the last fifteen minutes lock a user id."""
        times = self._failures.get(user)
        return times is not None and len(times) == FAILED_SIGN_ONS_MAX and times[0] > now_us - _WINDOW_US

    def succeeded(self, user: str) -> None:
        """Forget the failures of a user."""
        self._failures.pop(user, None)
