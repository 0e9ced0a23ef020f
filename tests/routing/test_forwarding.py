"""Where messages go instead: by the clock through a whole year, for a device that is down, and never in a circle."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msc import limits
from msc.clock import parse_rfc3339
from msc.errors import RouteError
from msc.limits import FORWARD_HOPS_MAX
from msc.routing.forwarding import (
    Alternate,
    Forward,
    Forwarding,
    Hop,
    Problem,
    Resolved,
    StationFacts,
    When,
    load_forwarding,
)
from msc.routing.period import Period

SHIPPED = Path(__file__).parents[2] / "config" / "forwarding.toml"
ZONE = "America/Los_Angeles"
NOON = parse_rfc3339("2026-07-01T19:00:00Z")
NIGHT = parse_rfc3339("2026-07-02T06:00:00Z")
"""A Wednesday, 12:00 and 23:00 in Los Angeles."""

STAFFED = StationFacts(attended=True, administrative=True, test=False)
EMPTY = StationFacts(attended=False, test=False)
STATIONS = dict.fromkeys("ABCDEFGHIJKLM", STAFFED)


def nobody_down(address: str) -> bool:
    return False


def down(*names: str) -> Callable[[str], bool]:
    return lambda address: address.removeprefix("device:") in names


def forward(name: str, source: str, target: str, **members: str) -> str:
    rows = [f'[[forward]]\nname = "{name}"\nfrom = "{source}"\nto = "{target}"']
    return "\n".join([*rows, *(f"{member} = {value}" for member, value in members.items())]) + "\n"


def alternate(of: str, to: str, when: When = When.DOWN, after_s: float | None = None) -> str:
    after = "" if after_s is None else f"after_s = {after_s}\n"
    return f'[[alternate]]\nof = "{of}"\nto = "{to}"\nwhen = "{when}"\n{after}'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "forwarding.toml"


def load(file: Path, text: str, stations: dict[str, StationFacts] | None = STATIONS, zone: str = ZONE) -> Forwarding:
    file.write_text((f'zone = "{zone}"\n' if zone else "") + text)
    return load_forwarding(file, stations)


def faults(file: Path, text: str, stations: dict[str, StationFacts] | None = STATIONS, zone: str = ZONE) -> list[str]:
    with pytest.raises(RouteError) as caught:
        load(file, text, stations, zone)
    return [f"{fault.where}: {fault.problem}" for fault in caught.value.faults]


def where(forwarding: Forwarding, name: str, at_us: int, down: Callable[[str], float] = nobody_down) -> str:
    return forwarding.resolve(f"device:{name}", at_us, down).address.removeprefix("device:")


# --- a year, against a reference that knows nothing of how it is done ----------------------------------------------


@dataclass(frozen=True)
class Written:
    """A rule as somebody wrote it: from `source` to `source` with an X behind it."""

    source: str
    days: str = "mon tue wed thu fri sat sun"
    begins: str = "00:00"
    ends: str = "00:00"
    zone: str = ZONE
    first: str = "0001-01-02"
    last: str = "9999-12-30"

    @property
    def toml(self) -> str:
        members = {"days": str(self.days.split()), "zone": f'"{self.zone}"'}
        if self.begins != self.ends:
            members |= {"begins": f'"{self.begins}"', "ends": f'"{self.ends}"'}
        if self.first > "0001-01-02":
            members["first_date"] = self.first
        if self.last < "9999-12-30":
            members["last_date"] = self.last
        return forward(f"of {self.source}", self.source, f"{self.source}X", **members)

    def holds(self, shown: datetime) -> bool:
        """Tell whether it holds when the clock of its zone shows this."""
        for begun in (shown.date(), shown.date() - timedelta(days=1)):
            begin = datetime.combine(begun, time.fromisoformat(self.begins))
            end = datetime.combine(begun, time.fromisoformat(self.ends))
            if end <= begin:
                end += timedelta(days=1)
            weekday = begun.strftime("%a").lower()
            dated = date.fromisoformat(self.first) <= begun <= date.fromisoformat(self.last)
            if weekday in self.days.split() and dated and begin <= shown < end:
                return True
        return False


WRITTEN = (
    Written("NIGHTLY", begins="22:00", ends="06:00"),
    Written("WEEKDAYS", days="mon tue wed thu fri", begins="08:00", ends="17:30"),
    Written("FRIDAY", days="fri", begins="18:15", ends="02:30"),
    Written("SUNDAY", days="sun"),
    Written("CHANGES", days="sat sun", begins="01:15", ends="02:45"),
    Written("SUMMER", begins="20:00", ends="07:45", first="2026-06-20", last="2026-09-10"),
    Written("BEGUN", days="tue", first="2026-03-03"),
    Written("EASTERN", days="thu fri sat", begins="23:30", ends="00:30", zone="America/New_York"),
    Written("ARIZONA", begins="22:00", ends="06:00", zone="America/Phoenix"),
    Written("LORD_HOWE", begins="01:45", ends="02:15", zone="Australia/Lord_Howe"),
)


@pytest.mark.requirement("C-TAMF")
def test_every_quarter_hour_of_a_year_goes_where_the_calendar_says(file: Path) -> None:
    names = [name for rule in WRITTEN for name in (rule.source, f"{rule.source}X")]
    forwarding = load(file, "".join(rule.toml for rule in WRITTEN), dict.fromkeys(names, STAFFED))
    zones = {rule.zone: ZoneInfo(rule.zone) for rule in WRITTEN}
    moment, end = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
    held: dict[str, int] = dict.fromkeys(names, 0)
    while moment < end:
        at_us = int(moment.timestamp()) * 1_000_000
        shown = {zone: moment.astimezone(info).replace(tzinfo=None) for zone, info in zones.items()}
        for rule in WRITTEN:
            expected = f"{rule.source}X" if rule.holds(shown[rule.zone]) else rule.source
            found = where(forwarding, rule.source, at_us)
            assert found == expected, f"{rule.source} at {moment}, which is {shown[rule.zone]} there"
            held[found] += 1
        moment += timedelta(minutes=15)
    assert all(held.values())


@pytest.mark.requirement("C-TAMF")
def test_every_night_of_a_year_has_its_hours_and_two_have_one_more_or_less(file: Path) -> None:
    forwarding = load(file, forward("night", "A", "B", begins='"22:00"', ends='"06:00"'))
    first = datetime(2026, 1, 1, 20, tzinfo=UTC)
    nights: list[tuple[datetime, float]] = []
    begun: datetime | None = None
    for quarter in range(365 * 96):
        moment = first + timedelta(minutes=15 * quarter)
        there = where(forwarding, "A", int(moment.timestamp()) * 1_000_000) == "B"
        if there and begun is None:
            begun = moment
        elif not there and begun is not None:
            nights.append((begun.astimezone(ZoneInfo(ZONE)), (moment - begun) / timedelta(hours=1)))
            begun = None
    assert len(nights) == 365
    assert {night.time() for night, _ in nights} == {time(22)}
    odd = {night.date().isoformat(): hours for night, hours in nights if hours != 8}
    assert odd == {"2026-03-07": 7, "2026-10-31": 9}


# --- resolving ------------------------------------------------------------------------------------------------------


def test_only_devices_with_rules_are_looked_up(file: Path) -> None:
    forwarding = load(file, forward("all", "A", "B"))
    for address in ("device:B", "device:C", "user:A", "line:A", "operator:queue", "A"):
        assert forwarding.resolve(address, NOON, down("A", "B", "C")) == Resolved(address)


@pytest.mark.requirement("C-TAMF")
def test_rules_are_followed_one_after_another_and_named(file: Path) -> None:
    text = forward("a", "A", "B", begins='"22:00"', ends='"06:00"') + forward("b", "B", "C")
    forwarding = load(file, text + alternate("C", "D"))
    assert forwarding.resolve("device:A", NOON, down("C")) == Resolved("device:A")
    assert forwarding.resolve("device:A", NIGHT, nobody_down) == Resolved(
        "device:C", (Hop("a", "device:A", "device:B", False), Hop("b", "device:B", "device:C", False))
    )
    resolved = forwarding.resolve("device:A", NIGHT, down("C"))
    assert resolved.address == "device:D"
    assert resolved.hops[-1] == Hop("alternate of C", "device:C", "device:D", True)
    assert not resolved.looped


def test_of_several_forwards_the_first_that_holds_is_taken(file: Path) -> None:
    away = forward("away", "A", "C", first_date="2026-07-01", last_date="2026-07-01")
    forwarding = load(file, away + forward("usual", "A", "B"))
    assert where(forwarding, "A", NOON) == "C"
    assert where(forwarding, "A", NOON - 86_400_000_000) == where(forwarding, "A", NOON + 86_400_000_000) == "B"


def test_an_alternate_that_always_holds_goes_before_forwards_and_one_for_when_it_is_down_after_them(
    file: Path,
) -> None:
    night = forward("night", "A", "B", begins='"22:00"', ends='"06:00"')
    always = load(file, night + alternate("A", "C", When.ALWAYS))
    assert [where(always, "A", at_us, nobody_down) for at_us in (NOON, NIGHT)] == ["C", "C"]
    when_down = load(file, night + alternate("A", "C", When.DOWN))
    assert [where(when_down, "A", at_us, down("A")) for at_us in (NOON, NIGHT)] == ["C", "B"]
    assert [where(when_down, "A", at_us, nobody_down) for at_us in (NOON, NIGHT)] == ["A", "B"]


def test_an_alternate_waits_until_the_device_has_been_down_for_long_enough(file: Path) -> None:
    forwarding = load(file, alternate("A", "B", after_s=300))
    at_once = load(file, alternate("A", "B"))
    for down_s in (0.0, 0.1, 299.9, 300.0, 9e9):
        answer = {"device:A": down_s}.__getitem__
        assert where(forwarding, "A", NOON, answer) == ("B" if down_s >= 300 else "A")
        assert where(at_once, "A", NOON, answer) == ("B" if down_s else "A")


def test_only_devices_with_an_alternate_are_asked_whether_they_are_down(file: Path) -> None:
    asked: list[str] = []

    def note(address: str) -> bool:
        asked.append(address)
        return False

    forwarding = load(file, forward("a", "A", "B") + alternate("B", "C") + alternate("D", "E", When.ALWAYS))
    for name in "ABCDE":
        where(forwarding, name, NOON, note)
    assert asked == ["device:B", "device:B"]


# --- circles ----------------------------------------------------------------------------------------------------


def test_two_that_stand_in_for_each_other_both_down_keep_their_own(file: Path) -> None:
    forwarding = load(file, alternate("A", "B") + alternate("B", "A"))
    assert where(forwarding, "A", NOON, down("A")) == "B"
    for name in "AB":
        assert forwarding.resolve(f"device:{name}", NOON, down("A", "B")) == Resolved(
            f"device:{name}", (), looped=True
        )


def test_what_is_forwarded_into_a_circle_stays_where_that_begins(file: Path) -> None:
    forwarding = load(file, forward("c", "C", "A") + alternate("A", "B") + alternate("B", "A"))
    assert forwarding.resolve("device:C", NOON, down("A", "B")) == Resolved(
        "device:A", (Hop("c", "device:C", "device:A", False),), looped=True
    )


def test_an_operators_alternate_that_meets_a_forward_ends_nowhere_else(file: Path) -> None:
    forwarding = load(file, forward("a", "A", "B", begins='"22:00"', ends='"06:00"'))
    forwarding = forwarding.with_alternates([Alternate("B", "A", When.ALWAYS)])
    assert forwarding.resolve("device:A", NIGHT, nobody_down) == Resolved("device:A", (), looped=True)
    assert forwarding.resolve("device:B", NIGHT, nobody_down) == Resolved("device:B", (), looped=True)
    assert where(forwarding, "B", NOON) == "A"


def chain(length: int) -> list[Alternate]:
    return [Alternate(f"T{number}", f"T{number + 1}", When.ALWAYS) for number in range(length)]


def test_a_way_that_is_too_long_is_not_begun() -> None:
    forwarding = Forwarding(alternates=chain(FORWARD_HOPS_MAX + 1))
    assert where(forwarding, "T1", NOON) == f"T{FORWARD_HOPS_MAX + 1}"
    assert forwarding.resolve("device:T0", NOON, nobody_down) == Resolved("device:T0", (), looped=True)


@pytest.mark.requirement("C-TAMF")
def test_day_and_night_desks_may_forward_to_each_other(file: Path) -> None:
    text = forward("night", "A", "B", begins='"22:00"', ends='"06:00"')
    forwarding = load(file, text + forward("day", "B", "A", begins='"06:00"', ends='"22:00"'))
    for name in "AB":
        assert (where(forwarding, name, NOON), where(forwarding, name, NIGHT)) == ("A", "B")


@pytest.mark.requirement("C-TAMF")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            forward("night", "A", "B", begins='"22:00"', ends='"06:00"')
            + forward("day", "B", "A", begins='"05:00"', ends='"22:00"'),
            f"forward.0 (night): leads in a circle: A -> B (night) -> A (day): mon 05:00 {ZONE}",
        ),
        (
            forward("x", "C", "A") + forward("y", "A", "B") + forward("z", "B", "C"),
            "forward.1 (y): leads in a circle: A -> B (y) -> C (z) -> A (x): at any time",
        ),
        (
            forward("x", "A", "B", first_date="2026-07-03") + alternate("B", "A", When.ALWAYS),
            f"forward.0 (x): leads in a circle: A -> B (x) -> A (alternate of B): 2026-07-03 00:00 {ZONE}",
        ),
        (
            alternate("A", "B", When.ALWAYS) + alternate("B", "A", When.ALWAYS),
            "alternate.0 (A): leads in a circle: A -> B (alternate of A) -> A (alternate of B): at any time",
        ),
        (
            forward("x", "A", "B", begins='"22:00"', ends='"23:00"')
            + forward("y", "B", "A", begins='"10:00"', ends='"11:00"', zone='"Asia/Tokyo"'),
            "forward.0 (x): leads in a circle: A -> B (x) -> A (y): perhaps: their zones differ, and only their days "
            "were compared; write them in one zone",
        ),
        (forward("x", "A", "A"), "forward.0 (x): leads to the device itself"),
        (alternate("A", "A"), "alternate.0 (A): leads to the device itself"),
    ],
)
def test_rules_that_lead_in_a_circle_are_refused_with_the_way_and_a_moment(
    file: Path, text: str, expected: str
) -> None:
    assert faults(file, text) == [expected]
    assert faults(file, text, None) == [expected]


def test_each_circle_is_told_once(file: Path) -> None:
    text = forward("ab", "A", "B") + forward("ba", "B", "A") + forward("bc", "B", "C") + forward("cb", "C", "B")
    assert faults(file, text + forward("da", "D", "A")) == [
        "forward.0 (ab): leads in a circle: A -> B (ab) -> A (ba): at any time",
        "forward.2 (bc): leads in a circle: B -> C (bc) -> B (cb): at any time",
    ]


def test_a_way_over_too_many_hops_is_refused(file: Path) -> None:
    names = "ABCDEFGHIJ"
    ways = [forward(f"{a}{b}", a, b) for a, b in itertools.pairwise(names)]
    assert load(file, "".join(ways[:FORWARD_HOPS_MAX]))
    (fault,) = faults(file, "".join(ways))
    assert fault.startswith(f"forward.0 (AB): leads over more than {FORWARD_HOPS_MAX} hops: A -> B (AB) -> C (BC)")
    # By turns, it never comes to that.
    ways[4] = forward("EF", "E", "F", begins='"08:00"', ends='"20:00"')
    ways[3] = forward("DE", "D", "E", begins='"20:00"', ends='"08:00"')
    assert load(file, "".join(ways))


PERIODS = (
    Period(ZONE),
    Period(ZONE, begins=22 * 60, ends=6 * 60),
    Period(ZONE, begins=6 * 60, ends=22 * 60),
    Period(ZONE, days=frozenset({5, 6})),
    Period(ZONE, days=frozenset(range(5))),
    Period(ZONE, days=frozenset({4}), begins=18 * 60, ends=2 * 60),
    Period(ZONE, days=frozenset({5}), begins=3 * 60, ends=18 * 60),
)
WEEK = [parse_rfc3339("2026-06-15T00:30:00Z") + hour * 3_600_000_000 for hour in range(7 * 24)]
EXAMPLES = int(os.environ.get("MSC_HUNT_EXAMPLES", "60"))


def circular(edges: set[tuple[str, str]]) -> bool:
    """Tell whether edges have a circle: what nothing leads to is taken away until nothing goes any more."""
    while edges:
        reached = {target for _, target in edges}
        left = {(source, target) for source, target in edges if source in reached}
        if left == edges:
            return True
        edges = left
    return False


@settings(max_examples=EXAMPLES)
@given(
    st.lists(
        st.tuples(st.sampled_from("ABCDE"), st.sampled_from("ABCDE"), st.sampled_from(PERIODS)).filter(
            lambda rule: rule[0] != rule[1]
        ),
        max_size=7,
    )
)
def test_a_hunt_for_circles_finds_what_every_hour_of_a_week_shows(written: list[tuple[str, str, Period]]) -> None:
    rules = [Forward(f"{number}", source, target, held) for number, (source, target, held) in enumerate(written)]
    forwarding = Forwarding(rules)
    shown = any(circular({(rule.source, rule.target) for rule in rules if rule.period.holds(at)}) for at in WEEK)
    assert bool(forwarding.problems(None)) is shown
    if not shown:
        assert not any(forwarding.resolve(f"device:{name}", at, down("A")).looped for at in WEEK for name in "ABCDE")


def test_rules_too_entangled_to_be_followed_are_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("msc.routing.forwarding.FORWARD_SEARCH_STEPS_MAX", 50)
    text = "".join(forward(f"{a}{b}", a, b) for a in "ABCDEFG" for b in "ABCDEFG" if a < b)
    (fault,) = faults(file, text)
    assert "entangled" in fault


# --- alternates that operators set -------------------------------------------------------------------------------


def test_an_operators_alternate_takes_the_place_of_the_files_and_gives_it_back(file: Path) -> None:
    from_file = load(file, alternate("A", "B", When.ALWAYS) + alternate("C", "D", When.ALWAYS))
    with_one = from_file.with_alternates([Alternate("A", "E", When.ALWAYS), Alternate("F", "G")])
    assert [where(with_one, name, NOON, down("F")) for name in "ACF"] == ["E", "D", "G"]
    assert with_one.operators == (Alternate("A", "E", When.ALWAYS), Alternate("F", "G"))
    cleared = with_one.with_alternates(())
    assert [where(cleared, name, NOON, down("F")) for name in "ACF"] == ["B", "D", "F"]
    assert [where(from_file, name, NOON, down("F")) for name in "ACF"] == ["B", "D", "F"]


def test_what_an_operator_sets_is_held_against_the_same_rules(file: Path) -> None:
    forwarding = load(file, forward("a", "A", "B"))
    stations = STATIONS | {"B": STAFFED, "EMPTY": EMPTY}
    assert forwarding.with_alternates([Alternate("B", "C", When.ALWAYS)]).problems(stations) == []
    bad = [Alternate("B", "A", When.ALWAYS), Alternate("C", "EMPTY"), Alternate("D", "NOWHERE"), Alternate("E", "E")]
    found = forwarding.with_alternates(bad).problems(stations)
    assert [problem.rule for problem in found] == ["alternate of E", "a", "alternate of D", "alternate of C"]
    assert found[2] == Problem("alternate of D", "there is no device 'NOWHERE'")


# --- who may stand in for whom ------------------------------------------------------------------------------------

PRODUCTION = StationFacts(attended=True, test=False)
TEST = StationFacts(attended=True, test=True)
NEITHER = StationFacts(attended=True)


@pytest.mark.requirement("C-STAFFED", "C-TAMF")
def test_administrative_messages_end_at_somebody(file: Path) -> None:
    unmanned = StationFacts(attended=False)
    stations = {"DESK": STAFFED, "CAR": unmanned, "ROOM": unmanned}
    unstaffed = "which is neither a printer nor staffed at every hour, and its agency has no waiver (C-STAFFED)"
    assert faults(file, forward("x", "DESK", "CAR"), stations) == [
        f"forward.0 (x): administrative messages for DESK would end at CAR, {unstaffed}"
    ]
    assert faults(file, alternate("DESK", "CAR"), stations) == [
        f"alternate.0 (DESK): administrative messages for DESK would end at CAR, {unstaffed}"
    ]
    # What gets none itself may go anywhere, unless somebody else's come there.
    assert load(file, forward("x", "CAR", "ROOM") + forward("y", "ROOM", "DESK"), stations)
    stations["NIGHT"] = StationFacts(attended=True)
    assert faults(file, forward("x", "DESK", "NIGHT") + forward("y", "NIGHT", "CAR"), stations) == [
        f"forward.1 (y): administrative messages for DESK would end at CAR, {unstaffed}"
    ]


@pytest.mark.requirement("C-TEST", "C-TAMF")
def test_test_and_production_are_never_mixed(file: Path) -> None:
    stations = {"P1": PRODUCTION, "P2": PRODUCTION, "T1": TEST, "T2": TEST, "POOLED": NEITHER}
    assert load(file, forward("p", "P1", "P2") + forward("t", "T1", "T2") + alternate("P2", "POOLED"), stations)
    assert faults(file, forward("x", "P1", "T1") + alternate("T2", "P2"), stations) == [
        "forward.0 (x): production messages for P1 would end at T1, which is for test messages (C-TEST)",
        "alternate.0 (T2): test messages for T2 would end at P2, which is for production messages (C-TEST)",
    ]
    assert faults(file, forward("x", "T1", "POOLED") + forward("y", "POOLED", "P1"), stations) == [
        "forward.1 (y): test messages for T1 would end at P1, which is for production messages (C-TEST)",
    ]


# --- the file ------------------------------------------------------------------------------------------------------


def test_a_file_that_is_not_there_has_no_rules(tmp_path: Path) -> None:
    forwarding = load_forwarding(tmp_path / "none.toml", STATIONS)
    assert forwarding.rules == ()
    assert forwarding.resolve("device:A", NOON, down("A")) == Resolved("device:A")


DEMO = dict.fromkeys(("DISPATCH1", "RECORDS1", "PRINTER1"), STAFFED)


def test_the_shipped_file_has_no_rules_and_its_examples_are_some(file: Path) -> None:
    assert load_forwarding(SHIPPED, {}).rules == ()
    text = re.sub(r"^# (?=\[\[|\w+ = )", "", SHIPPED.read_text(), flags=re.MULTILINE)
    forwarding = load(file, text, DEMO, zone="")
    assert len(forwarding.forwards) == text.count("\n[[forward]]") == 3
    assert len(forwarding.alternates) == text.count("\n[[alternate]]") == 1
    assert where(forwarding, "RECORDS1", NIGHT) == "DISPATCH1"
    assert where(forwarding, "RECORDS1", NOON) == "RECORDS1"


def test_every_fault_of_a_file_is_found(file: Path) -> None:
    text = (
        forward("x", "A", "NOWHERE", begins='"22:00"')
        + forward("x", "B", "C", zone='"Mars/Olympus"', first_date="2026-07-02", last_date="2026-07-01")
        + forward("y", "B", "C", days='["fri"]', first_date="2026-07-01", last_date="2026-07-02")
        + alternate("A", "B", When.ALWAYS, 60)
        + alternate("A", "C")
        + alternate("NOBODY", "A")
    )
    assert faults(file, text, zone="California") == [
        "zone: there is no time zone 'California'",
        "forward.0 (x).begins: give both begins and ends, or neither for whole days",
        "forward.1 (x).name: another has this name",
        "forward.1 (x).zone: there is no time zone 'Mars/Olympus'",
        "forward.1 (x).last_date: is before first_date",
        "forward.2 (y).days: none of them is between first_date and last_date",
        'alternate.0 (A).after_s: means nothing where when = "always"',
        "alternate.1 (A).of: another is of this device",
        "forward.0 (x): there is no device 'NOWHERE'",
        "alternate.2 (NOBODY): there is no device 'NOBODY'",
    ]


@pytest.mark.parametrize(
    ("member", "value", "where"),
    [
        ("begins", '"25:00"', "begins"),
        ("begins", "22:00:00", "begins"),
        ("begins", '"24:00"', "begins"),
        ("ends", "6", "ends"),
        ("days", "[]", "days"),
        ("days", '["Monday"]', "days.0"),
        ("days", '"mon"', "days"),
        ("first_date", "20260701", "first_date"),
        ("first_date", '"July"', "first_date"),
        ("last_date", "2026-07-01T00:00:00Z", "last_date"),
        ("until", '"06:00"', "until"),
        ("zone", "8", "zone"),
    ],
)
def test_a_member_that_makes_no_sense_is_refused_by_its_name(file: Path, member: str, value: str, where: str) -> None:
    text = forward("x", "A", "B", **{member: value})
    assert [fault.split(":")[0] for fault in faults(file, text)] == [f"forward.0.{where}"]


@pytest.mark.parametrize(
    "text",
    [
        '[[forward]]\nname = ""\nfrom = "A"\nto = "B"',
        '[[forward]]\nname = "x"\nsource = "A"\nto = "B"',
        '[[forward]]\nname = "x"\nfrom = "A"',
        '[[alternate]]\nof = "A"\nto = "B"\nwhen = "sometimes"',
        '[[alternate]]\nof = "A"\nto = "B"\nafter_s = -1',
        '[[alternate]]\nof = "A"\nto = "B"\nafter_s = inf',
        "[forward]",
        "not toml",
        "[[rule]]",
    ],
)
def test_a_file_that_makes_no_sense_is_refused(file: Path, text: str) -> None:
    assert faults(file, text)


def test_a_forward_needs_a_zone_its_own_or_the_files(file: Path) -> None:
    assert faults(file, forward("x", "A", "B"), zone="") == [
        "forward.0 (x).zone: names no time zone, and neither does the file"
    ]
    assert load(file, forward("x", "A", "B", zone='"UTC"') + alternate("B", "C"), zone="")


def test_a_day_may_end_at_twenty_four(file: Path) -> None:
    forwarding = load(file, forward("x", "A", "B", days='["wed"]', begins='"22:00"', ends='"24:00"', zone='"UTC"'))
    times = ("2026-07-01T21:59:59Z", "2026-07-01T22:00:00Z", "2026-07-01T23:59:59Z", "2026-07-02T00:00:00Z")
    assert [where(forwarding, "A", parse_rfc3339(at)) for at in times] == ["A", "B", "B", "A"]


def test_a_file_of_too_many_rules_is_refused(file: Path) -> None:
    rows = '[[alternate]]\nof = "A"\nto = "B"\n' * (limits.FORWARD_RULES_MAX + 1)
    (fault,) = faults(file, rows)
    assert fault.startswith("alternate: ")
