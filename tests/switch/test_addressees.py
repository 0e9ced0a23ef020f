"""Where a message ends: lines, whom it names, groups, ALL, copies; nobody twice, nobody their own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from msc.directory.rows import Agency, Device, Directory, Mnemonic, Mode
from msc.errors import TooManyDestinations, UnknownDestination
from msc.limits import GROUP_STATIONS_MAX
from msc.protocol.catalog import load_catalog
from msc.protocol.station import StationKind
from msc.routing.criteria import Criteria, Subject
from msc.routing.groups import ALL, Group, Groups, Scope, Station
from msc.routing.plan import Plan
from msc.routing.table import Deliver, Route, RouteTable
from msc.switch.addressees import Addressed, DirectoryStations, resolve
from tests.support.county import county

AM = load_catalog(Path(__file__).parents[2] / "config" / "catalog").get("AM")
GROUPS = Groups(
    [
        Group("APB", "x", Scope.COUNTY, ("DESKS", "CA0989900")),
        Group("DESKS", "x", Scope.COUNTY, ("A123", "A124", "GONE")),
        Group("STATEWIDE", "x", Scope.STATE, ("DESKS",), ("clets-a",)),
        Group("NATION", "x", Scope.NATION, (), ("ncic-a", "clets-a")),
        Group("SELF", "x", Scope.COUNTY, ("A123",)),
        Group("LEFT", "x", Scope.COUNTY, ("GONE",)),
    ]
)


def addressed(
    *destinations: str,
    lines: tuple[str, ...] = (),
    stations: tuple[str, ...] = (),
    own: str | None = "desk-1",
    deliver: Deliver = Deliver.ADDRESSEES,
    directory: Directory | None = None,
) -> Addressed:
    assert AM is not None
    directory = directory or county()
    route = Route("r", 100, Criteria(), deliver, lines, stations)
    subject = Subject(AM, "A123", "CA0980000", "EXLP", destinations)
    plan = Plan(RouteTable([route]), GROUPS)
    return resolve(plan, directory, route, subject, directory.devices[own] if own is not None else None)


def names(found: Addressed) -> list[str]:
    return [device.device for device in found.devices]


@pytest.mark.requirement("C-ADMIN")
@pytest.mark.parametrize(
    ("destinations", "devices", "lines"),
    [
        (["A124"], ["desk-2"], []),
        (["A124", "A124", "CA0980000"], ["desk-2", "printer-1"], []),
        (["DESKS"], ["desk-2"], []),
        (["APB"], ["desk-2", "s-desk"], []),
        (["APB", "S001"], ["desk-2", "s-desk"], []),
        (["STATEWIDE", "M001"], ["desk-2", "printer-1"], ["clets-a"]),
        (["NATION", "STATEWIDE"], ["desk-2"], ["ncic-a", "clets-a"]),
        ([ALL], ["desk-2", "printer-1", "s-desk"], []),
    ],
    ids=str,
)
def test_a_message_ends_wherever_its_destinations_are_and_nowhere_twice(
    destinations: list[str], devices: list[str], lines: list[str]
) -> None:
    found = addressed(*destinations)
    assert (sorted(names(found)), list(found.lines), found.unreached) == (devices, lines, ())
    found.check()


@pytest.mark.requirement("C-TEST")
@pytest.mark.parametrize("destination", ["DESKS", ALL, "CA0980000"])
def test_a_production_message_reaches_no_test_station_of_a_group(destination: str) -> None:
    directory = county()
    directory.replace([replace(directory.mnemonics["A124"], mode=Mode.TEST)])
    assert "desk-2" not in names(addressed(destination, directory=directory))
    assert names(addressed("A124", directory=directory)) == ["desk-2"], "whoever names it means it"


def test_a_sender_gets_its_own_message_only_where_it_names_itself() -> None:
    assert names(addressed("A123")) == ["desk-1"]
    assert names(addressed("A123", "APB")) == ["desk-1", "desk-2", "s-desk"]
    assert names(addressed("CA0980000")) == ["desk-2", "printer-1"]
    assert names(addressed("SELF", own=None)) == ["desk-1"]


@pytest.mark.parametrize(
    ("destination", "reason"),
    [
        ("SELF", "nobody else is in group SELF"),
        ("LEFT", "nobody else is in group LEFT"),
        ("ZZZZ", "destination ZZZZ is not known here"),
        ("NV0000001", "destination NV0000001 is not known here"),
        ("CD01", "no other station takes administrative messages for CD01"),
    ],
)
def test_a_destination_nobody_answers_to_is_refused_with_its_reason(destination: str, reason: str) -> None:
    found = addressed("A124", destination)
    assert names(found) == ["desk-2"]
    with pytest.raises(UnknownDestination) as refused:
        found.check()
    assert (refused.value.code, refused.value.reason) == ("E306", reason)


@pytest.mark.requirement("C-ADMIN")
def test_what_is_none_of_the_county_goes_to_the_routes_lines() -> None:
    found = addressed("NV0000001", "A124", "OR", lines=("clets-a",))
    assert (names(found), found.lines, found.unreached) == (["desk-2"], ("clets-a",), ())
    assert found.addresses == ["line:clets-a", "device:desk-2"]
    # What is of the county never leaves it because nobody is there.
    assert addressed("CD01", lines=("clets-a",)).unreached
    assert addressed("A124", lines=("clets-a",)).lines == ()


@pytest.mark.requirement("C-ADMIN")
def test_stations_of_a_route_get_copies_of_what_goes_to_lines_or_to_others() -> None:
    stations = ("printer-1", "DESKS", "gone", "desk-1")
    found = addressed(lines=("clets-a",), stations=stations, deliver=Deliver.LINES)
    assert (names(found), found.lines) == (["printer-1", "desk-2"], ("clets-a",))
    assert names(addressed("A124", "S001", stations=stations)) == ["desk-2", "s-desk", "printer-1"]


def test_more_stations_than_one_message_can_go_to_are_refused() -> None:
    count = GROUP_STATIONS_MAX + 1
    directory = Directory(
        [Agency("EXLP", "x", "CA0980000")],
        devices=[
            Device(f"d{n}", StationKind.TERMINAL, "EXLP", f"{n:04}", staffed=True) for n in range(count)
        ],
        mnemonics=[Mnemonic(f"{n:04}", "EXLP") for n in range(count)],
    )  # fmt: skip
    found = addressed(ALL, own=None, directory=directory)
    found.check()
    with pytest.raises(TooManyDestinations, match=f"is for {count} stations"):
        found.check_number()
    addressed(ALL, own="d0", directory=directory).check_number()


def test_destinations_beyond_those_a_key_may_have_are_not_looked_at() -> None:
    assert AM is not None
    found = addressed(*["A124"] * AM.destinations_max, "ZZZZ")
    assert (names(found), found.unreached) == (["desk-2"], ())


# --- what groups are held against -----------------------------------------------------------------------------


@pytest.mark.requirement("C-STAFFED")
def test_the_directory_says_who_is_where_and_attended() -> None:
    directory = county(
        agencies=[Agency("JAIL", "Jail", "CA0989800", staffing_waiver="W-1"), Agency("PARK", "Park", "CA0989700")],
        devices=[
            Device("j-desk", StationKind.TERMINAL, "JAIL", "J001"),
            Device("p-desk", StationKind.TERMINAL, "PARK", "K001"),
            Device("p-printer", StationKind.PRINTER, "PARK"),
        ],
        mnemonics=[Mnemonic("J001", "JAIL"), Mnemonic("K001", "PARK")],
    )
    stations = DirectoryStations(directory)
    assert stations.named("A123") == [Station("desk-1", attended=True)]
    assert stations.named("CD01") == []
    assert stations.named("ZZZZ") is None and stations.named("CA0000000") is None
    assert stations.named("J001") == stations.named("CA0989800") == [Station("j-desk", False, "W-1")]
    # Nobody there is staffed at every hour, and the printer needs nobody.
    assert stations.named("CA0989700") == [Station("p-printer", attended=True)]
    assert stations.named("K001") == [Station("p-desk", attended=False)]
    assert stations.device("car-1") == Station("car-1", attended=False)
    assert stations.device("gone") is None
