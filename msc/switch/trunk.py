"""A destination on the state's side: what waits for it, and the lines that can carry it.

A trunk bears the name of its primary line. Its backup, if it has one, is connected all the time, and takes over the
moment the primary is lost. When the primary has been back for a while, the backup is drained first (nothing new goes
out on it, what is out is acknowledged), and then traffic returns; so no message overtakes another on the way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msc.limits import SUBMISSION_ATTEMPTS_MAX, SUBMIT_AGAIN_S
from msc.protocol.line_state import LineState
from msc.protocol.session import TRANSIENT
from msc.switch.port import LinePort
from msc.transit.outbox import Outbox
from msc.transit.transaction import Stay

_LATER: Final = tuple(TRANSIENT)
"""How the answer of a host begins that would take the message later."""


class Trunk:
    """One destination.

    Args:
        carriers: Its primary line, and its backup if there is one.
        failback_s: How long the primary must have been back before traffic returns to it.
    """

    def __init__(self, carriers: Sequence[LinePort], failback_s: float = 0.0) -> None:
        self.primary, *backups = carriers
        self.carriers = tuple(carriers)
        self.backup = backups[0] if backups else None
        self.name = self.primary.name
        self.outbox = Outbox(self.primary.address)
        self.active: LinePort | None = None
        """The line in use; None while none is connected."""
        self.forced: str | None = None
        """The carrier an operator wants used, whatever else is there."""
        self.out: str | None = None
        """What the state said when it took itself out of service; None while it has not."""
        self.clearing: Stay | None = None
        """The update that is about to go out, as soon as the journal says so; nothing overtakes it."""
        self._failback_s = failback_s
        self._primary_back_at: float | None = None
        self._drained: LinePort | None = None
        """The carrier that is drained before traffic leaves it."""
        self._refused: list[tuple[float, Stay]] = []

    @property
    def address(self) -> str:
        """Its name in the journal."""
        return self.outbox.address

    @property
    def room(self) -> int:
        """How many messages it takes now."""
        return self.active.room if self.active is not None and self.out is None and self.clearing is None else 0

    def __len__(self) -> int:
        """Return how many messages it has not taken over."""
        return len(self.outbox) + len(self._refused)

    def waits(self, database: str | None) -> str | None:
        """Say why a message would have to wait although the line is there; None if it need not."""
        if self.out is not None:
            return self.out
        if database in self.outbox.blocked:
            return f"{database} is out of service, says the state"
        if self.active is not None and self.active.state is LineState.HELD:
            return f"{self.active.name} is held by an operator"
        return None

    # --- which line carries it ------------------------------------------------------------------------

    def opened(self, line: LinePort, now: float) -> None:
        """A carrier is connected."""
        if self.active is None:
            self.active = line
        elif line is not self.active and line is self._wanted:
            self._primary_back_at = now

    def lost(self, line: LinePort) -> list[Stay]:
        """A carrier is lost; another takes over if one is there.

        Returns:
            What it had not acknowledged: put back in front.
        """
        again = self.outbox.lose(line.name)
        was_active = line is self.active
        if was_active:
            self.active = next((each for each in self.carriers if each.connected and each is not line), None)
        if was_active or line in (self._drained, self._wanted):
            self._primary_back_at = None
            self._stop_draining()
        return again

    @property
    def _wanted(self) -> LinePort:
        """The carrier to be used if it is there."""
        return next((line for line in self.carriers if line.name == self.forced), self.primary)

    def force(self, name: str | None, now: float) -> None:
        """Have one carrier used if it is there, or the primary again.

        Args:
            name: One of the trunk's lines; None is the primary.
        """
        self.forced = name
        if self.active is not None and self._wanted is not self.active:
            self._primary_back_at = now - self._failback_s if self._wanted.connected else None

    def tick(self, now: float) -> bool:
        """Return traffic to the primary once that is due; bring back what was refused for the moment.

        Returns:
            Whether there may be something to send now.
        """
        ready = self._bring_back(now)
        if self._primary_back_at is None or now - self._primary_back_at < self._failback_s:
            return ready
        left = self.active
        assert left is not None
        if left.state is LineState.OPEN:
            self._drained = left
            left.drain()
        if self.outbox.in_flight(left.name):
            return ready
        self.active, self._primary_back_at = self._wanted, None
        self._stop_draining()
        return True

    def _stop_draining(self) -> None:
        line, self._drained = self._drained, None
        # An operator may have held it meanwhile, and that is theirs to undo; also where it has been lost since.
        if line is not None and not line.held:
            line.release()

    # --- refused for the moment -----------------------------------------------------------------------

    @staticmethod
    def is_worth_another_try(message: Stay, refused: str) -> bool:
        """Tell whether a message that its host could not take just now is to be sent again."""
        return refused.startswith(_LATER) and message.attempts + 1 < SUBMISSION_ATTEMPTS_MAX

    def try_again(self, message: Stay, now: float) -> None:
        """Keep a message that its host could not take just now, for a moment."""
        self._refused.append((now + SUBMIT_AGAIN_S, message))

    def _bring_back(self, now: float) -> bool:
        if not self._refused or self._refused[0][0] > now:
            return False
        for _, message in (due := [each for each in self._refused if each[0] <= now]):
            self.outbox.push(message)
        self._refused = self._refused[len(due) :]
        return True

    def remove(self, msn: int) -> Stay | None:
        """Take the waiting message of an MSN out; None if none waits."""
        for place, (_, message) in enumerate(self._refused):
            if message.msn == msn:
                del self._refused[place]
                return message
        return self.outbox.remove(msn)
