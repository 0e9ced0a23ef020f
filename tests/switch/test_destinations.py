"""Ways of a message to stations: as what it comes there, and where it goes instead if nobody would see it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from msc.directory.rows import Device, Directory
from msc.protocol.catalog import Function
from msc.protocol.station import StationKind
from msc.routing.groups import Group, Groups, Scope
from msc.switch.destinations import Destinations, destinations_of, unsolicited_to
from msc.transit.event import OPERATOR_QUEUE, Life
from msc.transit.message import Direction, MessageRecord
from tests.support.county import county, mnemonic, terminal
from tests.support.running import on_its_way

AM, HIT = Function.ADMINISTRATIVE, Function.HIT_CONFIRMATION
ROUTE = "to the stations they name"
GROUPS = Groups([Group("COUNTY", "The county", Scope.COUNTY, ("A123", "A124", "S001"))])


def a_county(*devices: Device) -> Directory:
    """Make the county with a desk of its police that is not staffed, and an agency without any that is."""
    return county(
        devices=[
            terminal("desk-9", mnemonic="A129"),
            Device("s-car", StationKind.TERMINAL, "SHERIFF", mnemonic="S009"),
            *devices,
        ],
        mnemonics=[mnemonic("A129"), mnemonic("S009", "SHERIFF")],
    )


def goes(directory: Directory, function: Function, destinations: str, *devices: str) -> Destinations:
    rows = [directory.devices[name] for name in devices]
    return destinations_of(directory, GROUPS, function, destinations.split(",") if destinations else [], rows, ROUTE)


def kinds(found: Destinations, kind: str = "administrative") -> dict[str, str]:
    """Return as what a message of a station comes to each."""
    message = MessageRecord(17, 5, Direction.LOCAL, kind, device="desk-1", sequence=1)
    return {address: on_its_way(message, address, facts).kind for address, facts in found.stations.items()}


@pytest.mark.requirement("C-ADMIN")
def test_what_names_stations_comes_as_unsolicited() -> None:
    found = goes(a_county(), AM, "A124,CA0980000", "desk-2", "desk-1", "printer-1")
    assert set(kinds(found).values()) == {"unsolicited"}
    assert all(facts == {"route": ROUTE} for facts in found.stations.values())


@pytest.mark.requirement("C-ADMIN")
def test_what_comes_by_a_group_is_a_broadcast_but_not_where_it_is_named_itself() -> None:
    found = goes(a_county(), AM, "A124,COUNTY", "desk-1", "desk-2", "s-desk")
    assert kinds(found) == {
        "device:desk-1": "broadcast", "device:desk-2": "unsolicited", "device:s-desk": "broadcast",
    }  # fmt: skip
    assert [event.facts.get("group", False) for event in found.events(17, 5)] == [True, False, True]
    assert set(kinds(goes(a_county(), AM, "ALL", "desk-1", "s-desk")).values()) == {"broadcast"}


@pytest.mark.requirement("L-HITCONF")
def test_a_hit_confirmation_comes_as_one() -> None:
    found = goes(a_county(), HIT, "A124", "desk-2")
    assert kinds(found, "hit_confirmation") == {"device:desk-2": "hit_confirmation"}


def test_a_copy_of_what_names_nobody_comes_as_unsolicited() -> None:
    assert kinds(goes(a_county(), Function.INQUIRY, "", "desk-9")) == {"device:desk-9": "unsolicited"}


# --- C-STAFFED ----------------------------------------------------------------------------------------------------


@pytest.mark.requirement("C-STAFFED")
@pytest.mark.parametrize("function", [AM, HIT])
def test_what_nobody_would_see_goes_to_the_staffed_devices_of_the_agency(function: Function) -> None:
    found = goes(a_county(), function, "A129", "desk-9")
    assert list(found.stations) == ["device:desk-1", "device:desk-2", "device:printer-1"]
    assert all(facts == {"whose": "A129", "hops": 1} for facts in found.stations.values())
    first, second, *rest = found.events(17, 5)
    assert (first.event, first.destination) == (Life.ROUTED, "device:desk-9")
    assert (second.event, second.destination) == (Life.FORWARDED, "device:desk-9")
    assert "C-STAFFED" in second.facts["why"]
    assert [event.event for event in rest] == [Life.ROUTED] * 3


@pytest.mark.requirement("C-STAFFED")
def test_who_gets_it_anyway_gets_it_once() -> None:
    found = goes(a_county(), AM, "A129,A124", "desk-9", "desk-2")
    assert found.stations["device:desk-2"] == {"route": ROUTE}


@pytest.mark.requirement("C-STAFFED")
def test_where_nobody_is_staffed_it_goes_to_the_operator() -> None:
    directory = a_county(Device("s-desk", StationKind.TERMINAL, "SHERIFF", mnemonic="S001"))
    found = goes(directory, AM, "S009", "s-car")
    assert list(found.stations) == [OPERATOR_QUEUE]
    assert [(event.event, event.destination) for event in found.events(17, 5)] == [
        (Life.ROUTED, "device:s-car"), (Life.OPERATOR_QUEUE, "device:s-car"), (Life.ROUTED, OPERATOR_QUEUE),
    ]  # fmt: skip


@pytest.mark.requirement("C-STAFFED")
def test_a_waiver_lets_it_through() -> None:
    directory = a_county()
    directory.replace([replace(directory.agencies["EXLP"], staffing_waiver="APB 2020-3")])
    assert kinds(goes(directory, AM, "A129", "desk-9")) == {"device:desk-9": "unsolicited"}


@pytest.mark.requirement("C-STAFFED")
def test_what_comes_unasked_is_held_to_it_only_where_it_must_be_seen() -> None:
    directory = a_county()
    desk = directory.devices["desk-9"]
    assert unsolicited_to(directory, desk, {}, must_be_seen=False) == Destinations({"device:desk-9": {}})
    seen = unsolicited_to(directory, desk, {}, must_be_seen=True)
    assert list(seen.stations) == ["device:desk-1", "device:desk-2", "device:printer-1"]
    printer = directory.devices["printer-1"]
    assert len(unsolicited_to(directory, printer, {}, must_be_seen=True).stations) == 1


@pytest.mark.requirement("C-STAFFED", "C-UNSOL")
def test_nothing_ends_at_a_staffed_terminal_that_has_no_mnemonic_of_its_own() -> None:
    directory = a_county(terminal("console", pool="cars", staffed=True))
    assert "console" not in [device.device for device in directory.addressees("CA0980000")]
    found = unsolicited_to(directory, directory.devices["console"], {}, must_be_seen=True)
    assert "device:console" not in found.stations, "nobody receives there"
