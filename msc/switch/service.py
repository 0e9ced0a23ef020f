"""What the state says of its own service, put into effect: submission waits, and terminals are told.

`msc.transit.service_state` knows the messages and what is out. A message that waits has its originator told E402, and
goes out as soon as the state says that it is back; see `msc.switch.trunk` and `traffic`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from msc import clock
from msc.audit import Audit, AuditEvent
from msc.log import get_logger
from msc.switch.trunk import Trunk
from msc.transit.service_state import Means, Outage, ServiceBoard, Services, ServiceState

log = get_logger("switch")


class ServiceStates:
    """Listens to the state, and lets destinations wait.

    Args:
        services: The messages there are.
        audit: Takes a record of each that changes something.
        tell: Shows a text to everybody who is signed on.
    """

    def __init__(
        self,
        services: Services | None = None,
        audit: Audit = lambda _event: None,
        tell: Callable[[str], object] = lambda _text: None,
    ) -> None:
        self._tell = tell
        self._services = services or Services()
        self._audit = audit
        self._board = ServiceBoard()
        self._trunks: Mapping[str, Trunk] = {}
        self._outages: list[Outage] = []

    def connect(self, trunks: Sequence[Trunk]) -> None:
        """Learn the destinations there are; once, before traffic."""
        self._trunks = {trunk.name: trunk for trunk in trunks}
        self._put_into_effect(clock.wall_us())

    def heard(self, trunk: Trunk, rest: str, at_us: int) -> bool:
        """Look at an unsolicited message that is in the journal.

        Returns:
            Whether something may be sent to its destination now that had to wait.
        """
        state = self._services.recognise(trunk.name, rest)
        if state is None or not self._board.take(state, at_us):
            return False
        self._put_into_effect(at_us)
        self._report(state)
        if state.text is not None:
            self._tell(state.text)
        return state.means is Means.BACK

    def _report(self, state: ServiceState) -> None:
        databases = sorted(state.databases) if state.databases is not None else None
        log.warning(f"service.{state.means.value}", line=state.line, databases=databases, code=state.code)
        about = ", ".join(databases) if databases is not None else "everything"
        self._audit(
            AuditEvent(
                clock.wall_us(), f"service.{state.means.value}", subject=f"line {state.line}",
                detail=f"{state.code}: {about}{', will be forwarded' if state.forwards else ''}",
            )
        )  # fmt: skip

    def clear(self, name: str) -> bool:
        """Forget what the state said of a destination, by an operator's word; tells whether there was anything.

        The caller sends what waited.
        """
        cleared = self._board.clear(name)
        self._put_into_effect(clock.wall_us())
        return cleared

    def tick(self, now_us: int) -> list[Trunk]:
        """Let go what the state has said too long ago.

        Returns:
            The destinations to which something may be sent now that had to wait.
        """
        return self._put_into_effect(now_us) if self._outages else []

    def outages(self) -> list[Outage]:
        """Return what is out of service."""
        return list(self._board.outages(clock.wall_us()))

    def recall(self, name: str, rest: str, at_us: int) -> None:
        """Take up what the state said before a restart; in the order it was said, and before `connect`."""
        state = self._services.recognise(name, rest)
        if state is not None:
            self._board.take(state, at_us)

    def _put_into_effect(self, now_us: int) -> list[Trunk]:
        outages = list(self._board.outages(now_us))
        if outages == self._outages:
            return []
        freed = []
        for trunk in self._trunks.values():
            waits = [outage for outage in outages if outage.line == trunk.name and not outage.forwards]
            whole = next((outage for outage in waits if outage.database is None), None)
            before = (trunk.out, trunk.outbox.blocked)
            trunk.out = self._board.waiting(trunk.name, None, now_us) if whole is not None else None
            trunk.outbox.blocked = frozenset(each.database for each in waits if each.database is not None)
            if (trunk.out is None and before[0] is not None) or before[1] - trunk.outbox.blocked:
                freed.append(trunk)
        self._outages = outages
        return freed
