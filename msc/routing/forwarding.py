"""Where what is meant for a device goes instead: by the clock (C-TAMF), or because the device is out of service.

`forwarding.toml` has two kinds of rules. A *forward* holds in its period. An *alternate* holds always, or once the
device has been down for a while; operators set others at run time. Rules are followed from device to device: whoever
stands in for somebody may be stood in for. At each device

1. its alternate is taken, if it holds always: somebody said that the device is not to be used;
2. else the first of its forwards that holds, in the order of the file: one for a few days goes before the usual one;
3. else its alternate, if it is for when the device is down, and it is;
4. else the message stays there.

Rules that could lead in a circle by the clock alone are refused when they are loaded. What is left (devices that
stand in for each other when down, and both are) ends at run time: see `Forwarding.resolve`.

Whoever keeps messages waiting asks again while they wait. A tick that resolves every queue that is not empty takes
microseconds a queue, so nothing here says when an answer will change.
"""

from __future__ import annotations

import tomllib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, Literal, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from msc.errors import Fault, RouteError
from msc.limits import FORWARD_HOPS_MAX, FORWARD_RULES_MAX, FORWARD_SEARCH_STEPS_MAX
from msc.local_time import DAY_FIRST, DAY_LAST, DAYS, day_number, is_zone, minute_of_day
from msc.routing.period import ALWAYS, Period, Span, together

Down = Callable[[str], float]
"""How many seconds an address has been out of service; 0 or False while it is in service."""

_DEVICE: Final = "device:"


class When(StrEnum):
    """When an alternate holds."""

    DOWN = "down"
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class Forward:
    """A device's messages go to another in a period. `source` and `target` name devices."""

    name: str
    source: str
    target: str
    period: Period


@dataclass(frozen=True, slots=True)
class Alternate:
    """A device's messages go to another because it is out of service. `source` and `target` name devices.

    Attributes:
        after_s: How long it must have been down, where `when` is that.
    """

    source: str
    target: str
    when: When = When.DOWN
    after_s: float = 0.0

    @property
    def name(self) -> str:
        """What it is called; a device has one alternate at most."""
        return f"alternate of {self.source}"


Rule = Forward | Alternate


@dataclass(frozen=True, slots=True)
class StationFacts:
    """What is to be known of a device, before messages go to it or are taken from it.

    Attributes:
        attended: It is a printer or staffed at every hour, or its agency has a waiver (C-STAFFED).
        administrative: Administrative or unsolicited messages are meant for it: its own mnemonic receives them, or a
            pool names it for what is unsolicited.
        test: Whether it works under a test mnemonic (C-TEST); None if under none of its own.
    """

    attended: bool
    administrative: bool = False
    test: bool | None = None


class Hop(NamedTuple):
    """A rule that was followed, from one address to another."""

    rule: str
    source: str
    target: str
    alternate: bool
    """Whether the rule is an alternate, and not a forward."""


class Resolved(NamedTuple):
    """Where a message goes, and by which rules. `hops[0].source` is whose it was."""

    address: str
    hops: tuple[Hop, ...] = ()
    looped: bool = False
    """The rules led in a circle, or over more than `FORWARD_HOPS_MAX` hops, and were not followed to their end."""


class Problem(NamedTuple):
    """Why rules are refused."""

    rule: str
    """The name of the rule, or of the first of several."""
    problem: str


@dataclass(slots=True)
class _Device:
    """The rules of one device, in the order in which they are asked."""

    always: Hop | None = None
    forwards: list[tuple[Period, Hop]] = field(default_factory=list)
    down: Hop | None = None
    after_s: float = 0.0


class Forwarding:
    """The forwards and alternates of a site. It never changes: what changes a rule makes another."""

    def __init__(
        self,
        forwards: Iterable[Forward] = (),
        alternates: Iterable[Alternate] = (),
        operators: Iterable[Alternate] = (),
    ) -> None:
        """Take up rules; `problems` says what is wrong with them.

        Args:
            forwards: In their order.
            alternates: Of the file, one a device.
            operators: Alternates that operators set; each takes the place of the file's for that device.
        """
        self.forwards = tuple(forwards)
        self.alternates = tuple(alternates)
        self.operators = tuple(operators)
        in_force = {alternate.source: alternate for alternate in (*self.alternates, *self.operators)}
        self.rules: tuple[Rule, ...] = (*self.forwards, *in_force.values())
        """All that is in force."""
        self._devices: dict[str, _Device] = {}
        for rule in self.rules:
            hop = Hop(rule.name, _DEVICE + rule.source, _DEVICE + rule.target, isinstance(rule, Alternate))
            device = self._devices.setdefault(hop.source, _Device())
            if isinstance(rule, Forward):
                device.forwards.append((rule.period, hop))
            elif rule.when is When.ALWAYS:
                device.always = hop
            else:
                device.down, device.after_s = hop, rule.after_s

    def of_the_file(self) -> tuple[Rule, ...]:
        """Return what is in force of the file: operators' alternates take the place of some."""
        others = frozenset(self.operators)
        return tuple(rule for rule in self.rules if rule not in others)

    def with_alternates(self, operators: Iterable[Alternate]) -> Forwarding:
        """Return the same rules of the file with other alternates set by operators, instead of those so far.

        To set or clear one, give all that are then set. Ask `problems` of the result before it is used.
        """
        return Forwarding(self.forwards, self.alternates, operators)

    def resolve(self, address: str, at_us: int, down: Down) -> Resolved:
        """Find where what is meant for an address goes at a moment.

        A circle ends at the first address that is met a second time, and the hops are those that led there: two
        devices that stand in for each other, both down, each keep their own. Where there are more than
        `FORWARD_HOPS_MAX` hops the message stays where it was.

        Args:
            address: Only those of devices have rules; any other comes back as it is.
            at_us: Wall time.
            down: Asked only of devices with an alternate for that case.
        """
        if address not in self._devices:
            return Resolved(address)
        hops: list[Hop] = []
        passed = [address]
        while hop := self._hop(passed[-1], at_us, down):
            if hop.target in passed:
                return Resolved(hop.target, tuple(hops[: passed.index(hop.target)]), looped=True)
            if len(hops) == FORWARD_HOPS_MAX:
                return Resolved(address, looped=True)
            hops.append(hop)
            passed.append(hop.target)
        return Resolved(passed[-1], tuple(hops))

    def _hop(self, address: str, at_us: int, down: Down) -> Hop | None:
        device = self._devices.get(address)
        if device is None:
            return None
        if device.always is not None:
            return device.always
        for period, hop in device.forwards:
            if period.holds(at_us):
                return hop
        if device.down is not None and (down_s := down(address)) and down_s >= device.after_s:
            return device.down
        return None

    def problems(self, stations: Mapping[str, StationFacts] | None) -> list[Problem]:
        """Say what is wrong with the rules: empty if they may be used.

        Args:
            stations: The devices there are, by name; None if they are not known, and only loops are looked for.
        """
        found = [
            Problem(rule.name, "leads to the device itself") for rule in self.rules if rule.source == rule.target
        ]
        found += _loops(self.rules)
        if stations is not None:
            found += _unfit(self.rules, stations)
        return found


# --- what is refused ---------------------------------------------------------------------------------------


def _by_source(rules: Iterable[Rule]) -> dict[str, list[Rule]]:
    found: dict[str, list[Rule]] = {}
    for rule in rules:
        found.setdefault(rule.source, []).append(rule)
    return found


def _unfit(rules: tuple[Rule, ...], stations: Mapping[str, StationFacts]) -> Iterator[Problem]:
    """Look for devices that are not there, or must not get what would come to them."""
    for rule in rules:
        for name in (rule.source, rule.target):
            if name not in stations:
                yield Problem(rule.name, f"there is no device {name!r}")
    # What may come to a device, and whose it is: its own, and what rules lead there, at whatever times.
    carried = {name: dict.fromkeys(_receives(facts), name) for name, facts in stations.items()}
    ahead = _by_source(rules)
    waiting = deque(name for name in ahead if name in stations)
    refused: dict[tuple[str, str], str] = {}
    while waiting:
        source = waiting.popleft()
        for rule in ahead.get(source, ()):
            if rule.target not in stations:
                continue
            there = carried[rule.target]
            for what, whose in carried[source].items():
                if problem := _objection(what, whose, rule.target, stations[rule.target]):
                    refused.setdefault((rule.name, what), problem)
                elif what not in there:
                    there[what] = whose
                    waiting.append(rule.target)
    for (name, _), problem in refused.items():
        yield Problem(name, problem)


_ADMINISTRATIVE: Final = "administrative messages"
_PRODUCTION: Final = "production messages"
_TEST: Final = "test messages"


def _receives(facts: StationFacts) -> Iterator[str]:
    if facts.administrative:
        yield _ADMINISTRATIVE
    if facts.test is not None:
        yield _TEST if facts.test else _PRODUCTION


def _objection(what: str, whose: str, target: str, facts: StationFacts) -> str | None:
    """Say why a device must not get what is meant for another, or None."""
    if what == _ADMINISTRATIVE and not facts.attended:
        return (
            f"{what} for {whose} would end at {target}, which is neither a printer nor staffed at every hour, "
            "and its agency has no waiver (C-STAFFED)"
        )
    if facts.test is not None and what in (_PRODUCTION, _TEST) and facts.test is not (what == _TEST):
        return (
            f"{what} for {whose} would end at {target}, which is for {_TEST if facts.test else _PRODUCTION} (C-TEST)"
        )
    return None


def unfit(source: str, facts: StationFacts, target: str, there: StationFacts) -> str | None:
    """Say why what is meant for one device must not come to another, as both are now; None if it may."""
    return next((why for what in _receives(facts) if (why := _objection(what, source, target, there))), None)


def _loops(rules: tuple[Rule, ...]) -> Iterator[Problem]:
    """Look for circles, and ways longer than `FORWARD_HOPS_MAX`, of rules that can hold at the same moment.

    Alternates for devices that are down have no part in it: whether two are down at once is not for the clock to say.
    That another rule of the same device would be taken first is not taken into account.
    """
    spans = {rule: _spans(rule) for rule in rules if rule.source != rule.target}
    ahead = _by_source(rule for rule, found in spans.items() if found)
    steps = 0
    too_long = False
    for start in sorted(ahead):
        ways: list[tuple[list[Rule], list[Span]]] = [([], [ALWAYS])]
        while ways:
            way, moments = ways.pop()
            for rule in ahead.get(way[-1].target if way else start, ()):
                steps += 1
                if steps > FORWARD_SEARCH_STEPS_MAX:
                    yield Problem(rule.name, "the rules are so entangled that nobody could say where a message goes")
                    return
                here = together(moments, spans[rule])
                longer = [*way, rule]
                passed = [step.source for step in longer]
                if not here or rule.target in passed[1:]:
                    # It never comes to that; or it is a circle that is found from its own first device.
                    continue
                if rule.target == start:
                    # Each circle once: from the first of its devices.
                    if start == min(passed):
                        yield Problem(longer[0].name, f"leads in a circle: {_drawn(longer)}: {here[0].example()}")
                elif len(longer) <= FORWARD_HOPS_MAX:
                    ways.append((longer, here))
                elif not too_long:
                    too_long = True
                    yield Problem(
                        longer[0].name,
                        f"leads over more than {FORWARD_HOPS_MAX} hops: {_drawn(longer)}: {here[0].example()}",
                    )


def _spans(rule: Rule) -> list[Span]:
    """Return when the clock alone makes a rule hold."""
    if isinstance(rule, Forward):
        return rule.period.spans()
    return [ALWAYS] if rule.when is When.ALWAYS else []


def _drawn(way: list[Rule]) -> str:
    return " -> ".join([way[0].source, *(f"{rule.target} ({rule.name})" for rule in way)])


# --- the file ----------------------------------------------------------------------------------------------


def _time(value: object) -> int:
    if not isinstance(value, str):
        raise ValueError('must be a time of day such as "22:00"')
    return minute_of_day(value)


def _end(value: object) -> int:
    # The end of a day is the next one's beginning.
    return 0 if value == "24:00" else _time(value)


Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^\S(.*\S)?$")]


class _ForwardRow(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    name: Name
    source: str = Field(alias="from")
    target: str = Field(alias="to")
    days: list[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]] = Field(default=[*DAYS], min_length=1)
    begins: Annotated[int, BeforeValidator(_time)] = 0
    ends: Annotated[int, BeforeValidator(_end)] = 0
    zone: str | None = None
    first_date: Annotated[int, BeforeValidator(day_number)] = DAY_FIRST
    last_date: Annotated[int, BeforeValidator(day_number)] = DAY_LAST

    def rule(self, zone: str | None) -> Forward:
        period = Period(
            zone=self.zone or zone or "UTC",
            days=frozenset(DAYS.index(day) for day in self.days),
            begins=self.begins,
            ends=self.ends,
            first_day=self.first_date,
            last_day=self.last_date,
        )
        return Forward(self.name, self.source, self.target, period)

    def faults(self, zone: str | None) -> Iterator[tuple[str, str]]:
        """Yield what is wrong with the row by itself: the member, and why."""
        if ("begins" in self.model_fields_set) != ("ends" in self.model_fields_set):
            yield "begins", "give both begins and ends, or neither for whole days"
        if self.zone is None and zone is None:
            yield "zone", "names no time zone, and neither does the file"
        elif self.zone is not None and not is_zone(self.zone):
            yield "zone", f"there is no time zone {self.zone!r}"
        if self.last_date < self.first_date:
            yield "last_date", "is before first_date"
        elif not self.rule(zone).period.spans():
            yield "days", "none of them is between first_date and last_date"


class _AlternateRow(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    source: str = Field(alias="of")
    target: str = Field(alias="to")
    when: When = When.DOWN
    after_s: float = Field(default=0.0, ge=0, allow_inf_nan=False)

    def rule(self) -> Alternate:
        return Alternate(self.source, self.target, self.when, self.after_s)

    def faults(self) -> Iterator[tuple[str, str]]:
        """Yield what is wrong with the row by itself: the member, and why."""
        if self.when is When.ALWAYS and "after_s" in self.model_fields_set:
            yield "after_s", 'means nothing where when = "always"'


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    zone: str | None = None
    forward: list[_ForwardRow] = Field(default=[], max_length=FORWARD_RULES_MAX)
    alternate: list[_AlternateRow] = Field(default=[], max_length=FORWARD_RULES_MAX)


def load_forwarding(file: Path, stations: Mapping[str, StationFacts] | None) -> Forwarding:
    """Load the forwards and alternates. A file that is not there has none.

    Args:
        file: The TOML file.
        stations: The devices there are, by name; None if they could not be loaded, and devices are not looked at.

    Raises:
        RouteError: With every fault of the file.
    """
    try:
        content = _File.model_validate(tomllib.loads(file.read_text("utf-8")))
    except FileNotFoundError:
        return Forwarding()
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
        raise RouteError([Fault(file, "", str(exc))]) from exc
    except ValidationError as exc:
        raise RouteError([Fault(file, ".".join(map(str, e["loc"])), e["msg"]) for e in exc.errors()]) from exc
    faults: list[Fault] = []
    if content.zone is not None and not is_zone(content.zone):
        faults.append(Fault(file, "zone", f"there is no time zone {content.zone!r}"))
    places: dict[str, str] = {}
    for number, row in enumerate(content.forward):
        where = f"forward.{number} ({row.name})"
        if places.setdefault(row.name, where) != where:
            faults.append(Fault(file, f"{where}.name", "another has this name"))
        faults += [Fault(file, f"{where}.{member}", problem) for member, problem in row.faults(content.zone)]
    for number, alternate in enumerate(content.alternate):
        where = f"alternate.{number} ({alternate.source})"
        if places.setdefault(alternate.rule().name, where) != where:
            faults.append(Fault(file, f"{where}.of", "another is of this device"))
        faults += [Fault(file, f"{where}.{member}", problem) for member, problem in alternate.faults()]
    forwarding = Forwarding(
        (row.rule(content.zone) for row in content.forward), (row.rule() for row in content.alternate)
    )
    faults += [Fault(file, places[rule], problem) for rule, problem in forwarding.problems(stations)]
    if faults:
        raise RouteError(faults)
    return forwarding
