"""What the filling has planned, and the records it becomes: in order of time, numbered as the switch numbers.

What is planned is a step: a tuple that begins with its time and a running number, so that steps sort. Records are
made when all steps before theirs are known, because MSNs follow the order of receipt.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

from msc.journal.record import AuditRecord, Record, StepsRecord
from msc.lab.filling.county import Device, Session, header_of
from msc.transit.event import Event, Facts, Life
from msc.transit.message import Direction, MessageRecord

_ROUTED: Final = Life.ROUTED.value
_REFUSED: Final = Life.REFUSED.value
_ANSWERED: Final = Life.ANSWERED.value
_INBOUND: Final = Direction.INBOUND.value
_OUTBOUND: Final = Direction.OUTBOUND.value
_LOCAL: Final = Direction.LOCAL.value


Steps = list[tuple[int, str, str, Facts]]
"""Time, event, destination, facts."""


class Kind(IntEnum):
    """What a step is; after its time and number come this and what it needs."""

    STEPS = 0
    """Message, `Steps`."""
    ANSWER = 1
    """Its own `Numbered`, `Asked`, line, text, address, `Steps` before it."""
    ASK = 2
    """`Asked`."""
    AUDIT = 3
    """The record."""
    CONNECT = 4
    """The record, the device: its frames are numbered anew."""
    STATUS = 5
    """Its own `Numbered`, `Asked`, line, text, address, life, `Steps` before it."""
    UNSOLICITED = 6
    """Its own `Numbered`, line, the text after the header, mnemonic, device or None."""
    RESTART = 7
    """The record of a start: the lines' frames are numbered anew."""


@dataclass(slots=True, eq=False)
class Numbered:
    """A message that gets its MSN when it is made."""

    msn: int = 0


@dataclass(slots=True, eq=False)
class Asked(Numbered):
    """A station's message.

    Attributes:
        kind: The catalog function.
        text: Without a host's head.
        destinations: Addresses; none where it is refused.
        route: Name of the route it takes.
        members: Of the envelope: `requester`, `secondary`, `reason`, `ref`.
        code, refusal: Where it is refused.
        header: Given when it is made.
    """

    session: Session | None = None
    kind: str = "unknown"
    key: str | None = None
    system: str | None = None
    database: str | None = None
    text: str = ""
    destinations: tuple[str, ...] = ()
    route: str | None = None
    own_header: str | None = None
    requester: str | None = None
    secondary: str | None = None
    reason: str | None = None
    ref: str | None = None
    priority: str = "routine"
    code: str | None = None
    refusal: str | None = None
    header: str | None = None


class Schedule:
    """Steps planned and not made yet.

    Args:
        msn: The highest MSN given out so far.
    """

    def __init__(self, msn: int = 0) -> None:
        self.msn = msn
        self.planned = 0
        """Records that all steps so far come to, those that were made included."""
        self.last_us = 0
        """Time of the newest record made."""
        self._number = 0
        self._steps: list[tuple[Any, ...]] = []
        self._sequences: dict[str, int] = {}

    def add(self, at_us: int, records: int, kind: Kind, *what: object) -> None:
        """Plan a step that comes to so many records."""
        self._number += 1
        self.planned += records
        self._steps.append((at_us, self._number, kind, *what))

    def audit(self, at_us: int, event: str, device: Device | None = None, **members: str | None) -> None:
        """Plan an audit record."""
        name, agency = (device.name, device.agency.name) if device is not None else (None, None)
        self.add(at_us, 1, Kind.AUDIT, AuditRecord(at_us, event, name, agency=agency, **members))

    def connect(self, at_us: int, device: Device) -> None:
        """Plan that a device connects."""
        record = AuditRecord(
            at_us, "connection.opened", device.name, source=device.ip, detail="TLSv1.3 TLS_AES_256_GCM_SHA384",
            agency=device.agency.name,
        )  # fmt: skip
        self.add(at_us, 1, Kind.CONNECT, record, device)

    def make(self, until_us: int) -> list[Record]:
        """Make the records of all steps before a time. Nothing earlier may be planned after it."""
        steps = self._steps
        steps.sort()
        due = bisect_left(steps, (until_us,))
        if not due:
            return []
        self._steps = steps[due:]
        del steps[due:]
        made: list[Record] = []
        append = made.append
        for step in steps:
            kind = step[2]
            if kind == Kind.STEPS:
                append(_steps(step[3].msn, step[4]))
            elif kind == Kind.ANSWER:
                self._answer(made, *step)
            elif kind == Kind.ASK:
                self._ask(made, step[0], step[3])
            elif kind == Kind.STATUS:
                self._status(made, *step)
            elif kind == Kind.UNSOLICITED:
                self._unsolicited(made, *step)
            else:
                if kind == Kind.CONNECT:
                    step[4].sequence = 0
                elif kind == Kind.RESTART:
                    self._sequences.clear()
                append(step[3])
        self.last_us = steps[-1][0]
        return made

    def _next(self) -> int:
        self.msn += 1
        return self.msn

    def _frame(self, line: str) -> int:
        number = self._sequences[line] = self._sequences.get(line, 0) + 1
        return number

    def _ask(self, made: list[Record], at: int, asked: Asked) -> None:
        asked.msn = msn = self._next()
        session = asked.session
        assert session is not None
        device, user, mnemonic = session.seat.device, session.user, session.mnemonic
        taf, text = device.taf, asked.text
        if device.host:
            taf = user.taf
            text = f"{asked.own_header}.*{user.user}.#{taf}.{text}"
        if asked.code is None:
            asked.header = header_of(mnemonic, msn)
        device.sequence += 1
        direction = _LOCAL if asked.kind == "administrative" else _OUTBOUND
        events = tuple(
            Event(msn, at, _ROUTED, address, {"route": asked.route or ""}) for address in asked.destinations
        )
        if asked.code is not None:
            events = (Event(msn, at, _REFUSED, None, {"code": asked.code, "why": asked.refusal or ""}), *events)
        made.append(
            MessageRecord(
                msn, at, direction, asked.kind, device.name, None, user.user, device.agency.name,
                device.agency.ori, mnemonic, asked.header, asked.own_header,
                user.user, taf, asked.key, asked.system, asked.database, text, msn, asked.ref, asked.requester,
                asked.secondary, asked.priority, asked.reason, asked.code, device.sequence, session.session,
                events,
            )
        )  # fmt: skip

    def _answer(
        self, made: list[Record], at: int, _number: int, _kind: Kind, own: Numbered, asked: Asked, line: str,
        text: str, address: str, before: Steps,
    ) -> None:  # fmt: skip
        own.msn = msn = self._next()
        session = asked.session
        assert session is not None
        device = session.seat.device
        made.append(
            MessageRecord(
                msn, at, _INBOUND, "response", device.name, line, session.user.user, device.agency.name,
                device.agency.ori, session.mnemonic, asked.header, asked.own_header, None, None, asked.key,
                asked.system, asked.database, f"{asked.header}.{text}", asked.msn, asked.ref, None, None,
                asked.priority, None, None, self._frame(line), None, (Event(msn, at, _ROUTED, address),),
            )
        )  # fmt: skip
        made.append(_steps(asked.msn, [*before, (at, _ANSWERED, f"line:{line}", {"answer": msn})]))

    def _status(
        self, made: list[Record], at: int, _number: int, _kind: Kind, own: Numbered, asked: Asked, line: str,
        text: str, address: str, life: str, before: Steps,
    ) -> None:  # fmt: skip
        own.msn = msn = self._next()
        session = asked.session
        assert session is not None
        device = session.seat.device
        made.append(
            MessageRecord(
                msn, at, _LOCAL, "status", device.name, line, session.user.user, device.agency.name,
                device.agency.ori, session.mnemonic, asked.header, asked.own_header, text=text,
                transaction=asked.msn, ref=asked.ref, priority=asked.priority, code=text[:4],
                events=(Event(msn, at, _ROUTED, address),),
            )
        )  # fmt: skip
        facts: Facts = {"code": text[:4], "why": text[5:]}
        made.append(_steps(asked.msn, [*before, (at, life, f"line:{line}", facts)]))

    def _unsolicited(
        self, made: list[Record], at: int, _number: int, _kind: Kind, own: Numbered, line: str, text: str,
        mnemonic: str, device: Device | None,
    ) -> None:  # fmt: skip
        own.msn = msn = self._next()
        header = f"{mnemonic}000000"
        event = Event(msn, at, Life.OPERATOR_QUEUE.value, None, {"why": f"no destination for {mnemonic}"})
        if device is not None:
            event = Event(msn, at, _ROUTED, device.address)
        made.append(
            MessageRecord(
                msn, at, _INBOUND, "unsolicited", device.name if device else None, line,
                agency=device.agency.name if device else None, mnemonic=mnemonic, header=header,
                text=f"{header}.{text}", transaction=msn, sequence=self._frame(line), events=(event,),
            )
        )  # fmt: skip


def _steps(msn: int, steps: Steps) -> StepsRecord:
    """Return what has happened to a message, as the journal holds it."""
    return StepsRecord(msn, steps[-1][0], tuple(Event(msn, *step) for step in steps))
