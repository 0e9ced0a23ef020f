"""What the state says of its own service, and what it does with our messages meanwhile.

    EXA1000000.$.2.…                           the line is out of service
    EXA1000000.$.V.…                           criminal history is
    EXA1000000.SM.NL0000000.CA.TXT .02 …       Nlets is, and will forward

What a code means is data (`service.toml`), because it is not public. While a line or a database is out of service and
the state does not forward, submission waits (`ServiceBoard.waiting`). A state may forget to say that it is back, and
then nobody could ask any more; so what it said holds for an hour at most, and the next message finds out.

Which unsolicited messages must end before somebody's eyes (PPP 1.6.2.A) is told from their text here as well. Time is
an argument: wall time in microseconds, as the journal has it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from msc.errors import Fault, Refusal, RouteError
from msc.limits import SERVICE_OUT_S
from msc.protocol.text import begins_with, parse_addressed

STAFFED: Final = ("$.H", "$.L", "$.A", "AM", "YQ")
"""PPP 1.6.2.A: delayed hits, locates, administrative messages and hit-confirmation requests end at a printer or a
staffed device."""

_ADDRESSED: Final = ("SM", "ER")
"""Keys of Nlets whose number may stand after the addresses: `SM.ORI.destination.TXT .02`."""


class Means(StrEnum):
    """What a service message says."""

    OUT = "out"
    BACK = "back"
    CLOSING = "closing"
    NOTICE = "notice"


@dataclass(frozen=True, slots=True)
class Service:
    """One row of `service.toml`.

    Attributes:
        code: `$.2`, `SM.02`.
        databases: What it is about; None is everything on its line.
        forwards: Whether the state keeps what is sent while it is out, and forwards it.
        say: What terminals are told; empty is nothing.
    """

    code: str
    means: Means
    databases: frozenset[str] | None
    forwards: bool
    say: str


class ServiceState(NamedTuple):
    """What the state says of a line or of databases.

    Attributes:
        line: The line it came over.
        databases: What it is about; None is everything on the line.
        text: What all terminals are told; None if nothing.
    """

    line: str
    code: str
    means: Means
    databases: frozenset[str] | None
    forwards: bool
    text: str | None

    @property
    def out(self) -> bool:
        """Whether it takes something out of service."""
        return self.means is Means.OUT


def must_be_staffed(rest: str) -> bool:
    """Tell whether an unsolicited message must reach a printer or staffed device (C-STAFFED).

    Args:
        rest: Its text after the header.
    """
    return any(begins_with(rest, code) for code in STAFFED)


class Services:
    """All service messages there are. Of codes that begin alike the longest counts."""

    def __init__(self, services: Iterable[Service] = ()) -> None:
        self._services = sorted(services, key=lambda service: -len(service.code))

    def __len__(self) -> int:
        return len(self._services)

    def recognise(self, line: str, rest: str) -> ServiceState | None:
        """Tell what an unsolicited message says of the state's service.

        Args:
            line: The line it came over.
            rest: Its text after the header.

        Returns:
            None if it says nothing of the kind.
        """
        rest = rest.lstrip()
        text = _unaddressed(rest)
        for service in self._services:
            if begins_with(text, service.code) or begins_with(rest, service.code):
                said = service.say.replace("{line}", line.upper()) or None
                if service.means is Means.NOTICE:
                    said = None
                return ServiceState(line, service.code, service.means, service.databases, service.forwards, said)
        return None


def _unaddressed(rest: str) -> str:
    """Write `SM.ORI.destination.TXT .02 …` as `SM.02 …`; anything else stays as it is."""
    key, period, after = rest.partition(".")
    if key not in _ADDRESSED or not period:
        return rest
    try:
        free = parse_addressed(after, free=True).free or ""
    except Refusal:
        return rest
    return f"{key}.{free.lstrip(' ./')}"


# --- what is out --------------------------------------------------------------------------------


class Outage(NamedTuple):
    """Something that is out of service: `database` is None for everything on the line."""

    line: str
    database: str | None
    since_us: int
    code: str
    forwards: bool


class ServiceBoard:
    """What is out of service by the state's own word, and since when.

    Lines and databases are those of the configuration, so it holds no more than one entry for each of their pairs.

    Args:
        holds_s: How long a word holds that the state does not repeat.
    """

    def __init__(self, holds_s: float = SERVICE_OUT_S) -> None:
        self._holds_us = int(holds_s * 1_000_000)
        self._outages: dict[tuple[str, str | None], Outage] = {}
        self._heard_us: dict[tuple[str, str | None], int] = {}

    def take(self, state: ServiceState, at_us: int) -> bool:
        """Remember what the state says.

        Returns:
            Whether that is new: a state that repeats itself need not be told to terminals again.
        """
        new = False
        for database in sorted(state.databases) if state.databases is not None else (None,):
            key = (state.line, database)
            if state.means is Means.OUT:
                before = self._valid(key, at_us)
                self._heard_us[key] = at_us
                if before is None or before.forwards != state.forwards:
                    new = True
                    since_us = before.since_us if before is not None else at_us
                    self._outages[key] = Outage(state.line, database, since_us, state.code, state.forwards)
            elif state.means is Means.BACK:
                new |= self._forget(key) is not None
                if database is None:
                    # The whole line is back, and everything behind it that went out with it.
                    for other in [key for key in self._outages if key[0] == state.line]:
                        self._forget(other)
        return new or state.means is Means.CLOSING

    def _forget(self, key: tuple[str, str | None]) -> Outage | None:
        self._heard_us.pop(key, None)
        return self._outages.pop(key, None)

    def _valid(self, key: tuple[str, str | None], now_us: int) -> Outage | None:
        outage = self._outages.get(key)
        if outage is not None and now_us - self._heard_us[key] >= self._holds_us:
            self._forget(key)
            return None
        return outage

    def replay(self, messages: Iterable[tuple[ServiceState, int]]) -> None:
        """Take up what the state said before a restart: its messages and their wall times, oldest first."""
        for state, at_us in messages:
            self.take(state, at_us)

    def waiting(self, line: str, database: str | None, now_us: int) -> str | None:
        """Say why a message for a database has to wait at a line; None if it may go.

        What the state will forward does not wait.
        """
        if not self._outages:
            return None
        for key in ((line, None), (line, database)):
            outage = self._valid(key, now_us)
            if outage is not None and not outage.forwards:
                what = outage.database or line
                return f"{what} is out of service, by the state's word ({outage.code})"
        return None

    def clear(self, line: str) -> bool:
        """Forget what was said of a line: an operator knows better. Tells whether anything was."""
        keys = [key for key in self._outages if key[0] == line]
        for key in keys:
            self._forget(key)
        return bool(keys)

    def outages(self, now_us: int) -> Iterator[Outage]:
        """Yield what is out of service now."""
        for key in list(self._outages):
            outage = self._valid(key, now_us)
            if outage is not None:
                yield outage


# --- loading ------------------------------------------------------------------------------------


class _ServiceRow(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    code: str = Field(pattern=r"^(\$\.[A-Z0-9]|[A-Z]{2}(\.[A-Z0-9]{1,4})?)$")
    means: Means
    scope: Literal["line"] | None = None
    databases: list[str] = []
    forwards: bool = False
    say: str = Field(default="", max_length=200, pattern=r"^[\x20-\x7e]*$")


class _ServiceFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    service: list[_ServiceRow] = []


def load_services(file: Path, databases: Collection[str] | None) -> Services:
    """Load the service messages.

    Args:
        file: The TOML file.
        databases: Those of the catalog; None if it could not be loaded, and they are not looked at.

    Raises:
        RouteError: With every fault of the file.
    """
    try:
        content = _ServiceFile.model_validate(tomllib.loads(file.read_text("utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
        raise RouteError([Fault(file, "", str(exc))]) from exc
    except ValidationError as exc:
        raise RouteError([Fault(file, ".".join(map(str, e["loc"])), e["msg"]) for e in exc.errors()]) from exc
    faults: list[Fault] = []
    seen: set[str] = set()
    for number, row in enumerate(content.service):
        where = f"service.{number} ({row.code})"
        if row.code in seen:
            faults.append(Fault(file, f"{where}.code", "stands twice"))
        seen.add(row.code)
        if (row.scope is None) == (not row.databases):
            faults.append(Fault(file, where, 'needs scope = "line" or databases, and not both'))
        unknown = sorted(set(row.databases) - set(databases)) if databases is not None else []
        if unknown:
            faults.append(Fault(file, f"{where}.databases", f"the catalog has no database {', '.join(unknown)}"))
        if row.forwards and row.means is not Means.OUT:
            faults.append(Fault(file, f"{where}.forwards", 'goes with means = "out" alone'))
        if not row.say and row.means is not Means.NOTICE:
            faults.append(Fault(file, f"{where}.say", "is empty: terminals must be told something"))
    if faults:
        raise RouteError(faults)
    return Services(
        Service(row.code, row.means, None if row.scope else frozenset(row.databases), row.forwards, row.say)
        for row in content.service
    )
