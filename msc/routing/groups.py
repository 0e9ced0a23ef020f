"""Group codes: one name for many destinations, as in an all-points bulletin to the county, the state or the nation.

A group's members are mnemonics, ORIs, and other groups; none of them holds itself, however far down. A group of the
state's or the nation's scope also goes to lines. `ALL` is not a row: it means every device that takes administrative
messages.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, NamedTuple, Protocol

from pydantic import BaseModel, ConfigDict, Field

from msc.errors import Fault, RouteError
from msc.limits import GROUP_MEMBERS_MAX, GROUP_STATIONS_MAX, GROUPS_MAX
from msc.protocol.text import BULLETIN
from msc.routing.toml_rows import read_rows

ALL: Final = "ALL"
"""As a destination: every device that takes administrative messages."""


class Scope(StrEnum):
    """How far a group reaches."""

    COUNTY = "county"
    STATE = "state"
    NATION = "nation"


_REACH: Final = {scope: reach for reach, scope in enumerate(Scope)}


class Group(NamedTuple):
    """A group.

    Attributes:
        members: Mnemonics, ORIs and codes of other groups.
        lines: Lines it goes to as well.
    """

    code: str
    name: str
    scope: Scope
    members: tuple[str, ...]
    lines: tuple[str, ...] = ()


class Groups:
    """The groups there are. What a group ends at is found when it is asked for, which takes no memory."""

    def __init__(self, groups: Iterable[Group] = ()) -> None:
        self._groups = {group.code: group for group in groups}

    def __len__(self) -> int:
        return len(self._groups)

    def __iter__(self) -> Iterator[Group]:
        return iter(self._groups.values())

    def __contains__(self, code: str) -> bool:
        return code in self._groups

    def get(self, code: str) -> Group | None:
        """Return a group, or None."""
        return self._groups.get(code)

    def members(self, code: str) -> frozenset[str]:
        """Return the mnemonics and ORIs a group ends at; none for what is not a group."""
        return frozenset(
            [name for group in self._reached(code) for name in group.members if name not in self._groups]
        )

    def lines(self, code: str) -> tuple[str, ...]:
        """Return the lines a group goes to, those of groups in it included."""
        return tuple(dict.fromkeys([line for group in self._reached(code) for line in group.lines]))

    def _reached(self, code: str) -> list[Group]:
        """Return a group and those in it, however far down, each once."""
        reached = {code: self._groups[code]} if code in self._groups else {}
        waiting = list(reached.values())
        while waiting:
            for name in waiting.pop().members:
                group = self._groups.get(name)
                if group is not None and name not in reached:
                    reached[name] = group
                    waiting.append(group)
        return list(reached.values())


def cycles(groups: Mapping[str, Group]) -> Iterator[list[str]]:
    """Find groups that hold themselves: yields the way from one to itself, `A, B, A`."""
    done: set[str] = set()
    for begin in groups:
        path: dict[str, Iterator[str]] = {}
        waiting = [iter((begin,))]
        while waiting:
            code = next(waiting[-1], None)
            if code is None:
                waiting.pop()
                if path:
                    done.add(path.popitem()[0])
            elif code in path:
                way = list(path)
                yield [*way[way.index(code) :], code]
            elif code not in done and code in groups:
                path[code] = members = iter(groups[code].members)
                waiting.append(members)


# --- where members are ----------------------------------------------------------------------------------------


class Station(NamedTuple):
    """What must be known of a station that is to get administrative messages.

    Attributes:
        attended: Whether they come out on paper there, or before somebody's eyes at every hour (C-STAFFED).
        waiver: The reference of its agency's waiver, where that need not be.
    """

    device: str
    attended: bool
    waiver: str = ""


class Stations(Protocol):
    """What the directory says of names. It is asked from another thread than the one that changes it."""

    def named(self, name: str) -> Sequence[Station] | None:
        """Return the stations that get administrative messages for a mnemonic or ORI; None if it is unknown here."""

    def device(self, name: str) -> Station | None:
        """Return a device by its name, or None."""


def unattended(station: Station) -> str | None:
    """Say why a station may not be where a message ends, or None (C-STAFFED)."""
    if station.attended or station.waiver:
        return None
    return (
        f"{station.device} is neither a printer nor staffed at every hour, and its agency has no waiver (C-STAFFED)"
    )


# --- loading --------------------------------------------------------------------------------------------------


class _GroupRow(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    code: Annotated[str, Field(pattern=r"^[A-Z0-9]{2,9}$")]
    name: Annotated[str, Field(min_length=1, max_length=100)]
    scope: Scope = Scope.COUNTY
    members: Annotated[
        tuple[Annotated[str, Field(pattern=r"^[A-Z0-9]{2,9}$")], ...], Field(max_length=GROUP_MEMBERS_MAX)
    ] = ()
    to: tuple[str, ...] = ()


def read_groups(file: Path, lines: Collection[str], stations: Stations | None) -> tuple[Groups, list[Fault]]:
    """Read the groups of a file.

    Args:
        lines: The names of the lines there are.
        stations: Where members are; None if that is not known, and they are not looked at.

    Returns:
        The groups, and what is wrong with them.

    Raises:
        RouteError: They cannot be read; with every fault of the file's form.
    """
    found = [
        Group(row.code, row.name, row.scope, row.members, row.to)
        for row in read_rows(file, "group", _GroupRow, RouteError)
    ]
    if len(found) > GROUPS_MAX:
        raise RouteError([Fault(file, "group", f"there are more than {GROUPS_MAX} of them")])
    groups = {group.code: group for group in found}
    named = Counter([group.code for group in found])
    looking = _Looking(groups, stations) if stations is not None else None
    faults: list[Fault] = []
    for number, group in enumerate(found):
        where = f"group.{number} ({group.code})"
        if named[group.code] > 1:
            faults.append(Fault(file, f"{where}.code", "another group has this code"))
        faults += [Fault(file, f"{where}.{member}", problem) for member, problem in _own_faults(group, lines)]
        faults += [Fault(file, f"{where}.members", problem) for problem in _scope_faults(group, groups)]
        if looking is not None:
            faults += [Fault(file, f"{where}.{member}", problem) for member, problem in looking.faults(group)]
    faults += [Fault(file, f"group ({way[0]})", f"holds itself: {' -> '.join(way)}") for way in cycles(groups)]
    resolved = Groups(found)
    for code, group in groups.items():
        # Of a group without others in it the form has said that it is small enough.
        nested = any(name in groups for name in group.members)
        if nested and (count := len(resolved.members(code))) > GROUP_STATIONS_MAX:
            faults.append(Fault(file, f"group ({code})", f"has {count} members in all: {GROUP_STATIONS_MAX} at most"))
    return resolved, faults


def _own_faults(group: Group, lines: Collection[str]) -> Iterator[tuple[str, str]]:
    if group.code == BULLETIN:
        yield "code", f"{BULLETIN} is the bulletin board, and no group"
    if group.code == ALL:
        yield "code", f"{ALL} is every device that takes administrative messages, and no group"
    if not group.members and not group.lines:
        yield "members", "it has none, and goes to no line"
    if len(set(group.members)) != len(group.members):
        yield "members", "names one twice"
    if group.lines and group.scope is Scope.COUNTY:
        yield "to", "a county's group goes to no line: give it the scope state or nation"
    for line in group.lines:
        if line not in lines:
            yield "to", f"there is no line {line!r}"
    if len(set(group.lines)) != len(group.lines):
        yield "to", "names a line twice"


def _scope_faults(group: Group, groups: Mapping[str, Group]) -> Iterator[str]:
    for name in group.members:
        inner = groups.get(name)
        if inner is not None and _REACH[inner.scope] > _REACH[group.scope]:
            yield f"{name} reaches the {inner.scope}, and this group only the {group.scope}"


class _Looking:
    """Looks for the stations of members. Many groups name the same ones, and each is looked for once."""

    def __init__(self, groups: Mapping[str, Group], stations: Stations) -> None:
        self._stations = stations
        self._problems: dict[str, tuple[str, ...]] = dict.fromkeys(groups, ())

    def faults(self, group: Group) -> Iterator[tuple[str, str]]:
        """Yield what is wrong with a group's code and its members."""
        if self._stations.named(group.code) is not None:
            yield "code", f"{group.code} is a mnemonic or an ORI"
        if self._stations.device(group.code) is not None:
            yield "code", f"{group.code} is a device"
        problems = self._problems
        for name in group.members:
            found = problems.get(name)
            if found is None:
                found = problems[name] = tuple(self._look(name))
            for problem in found:
                yield "members", problem

    def _look(self, name: str) -> Iterator[str]:
        found = self._stations.named(name)
        if found is None:
            yield f"{name} is not a mnemonic, ORI or group that is known here"
        elif not found:
            yield f"{name}: no station gets administrative messages for it (C-STAFFED)"
        for station in found or ():
            if problem := unattended(station):
                yield f"{name}: {problem}"
