"""Ways of a message to stations: as what it comes there, and where it goes instead if nobody would see it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from msc.switch.leg import Leg, Legs, find_legs, unsolicited_legs

from msc.directory.rows import Device, Directory
from msc.protocol.catalog import Function
from msc.protocol.station import StationKind
from msc.routing.groups import Group, Groups, Scope
from msc.transit.event import OPERATOR_QUEUE, Life
from tests.support.county import county, mnemonic, terminal

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


def legs(directory: Directory, function: Function, destinations: str, *devices: str) -> Legs:
    rows = [directory.devices[name] for name in devices]
    return find_legs(directory, GROUPS, function, destinations.split(",") if destinations else [], rows, ROUTE)


def kinds(found: Legs) -> dict[str | None, str]:
    return {leg.address: leg.kind for leg in found.legs}


@pytest.mark.requirement("C-ADMIN")
def test_what_names_stations_comes_as_unsolicited() -> None:
    found = legs(a_county(), AM, "A124,CA0980000", "desk-2", "desk-1", "printer-1")
    assert set(kinds(found).values()) == {"unsolicited"}
    assert {leg.detail for leg in found.legs} == {ROUTE}


@pytest.mark.requirement("C-ADMIN")
def test_what_comes_by_a_group_is_a_broadcast_but_not_where_it_is_named_itself() -> None:
    found = legs(a_county(), AM, "A124,COUNTY", "desk-1", "desk-2", "s-desk")
    assert kinds(found) == {
        "device:desk-1": "broadcast", "device:desk-2": "unsolicited", "device:s-desk": "broadcast",
    }  # fmt: skip
    assert [event.detail for event in found.events(17, 5)] == [f"{ROUTE}; by group", ROUTE, f"{ROUTE}; by group"]
    assert set(kinds(legs(a_county(), AM, "ALL", "desk-1", "s-desk")).values()) == {"broadcast"}


@pytest.mark.requirement("L-HITCONF")
def test_a_hit_confirmation_comes_as_one() -> None:
    assert kinds(legs(a_county(), HIT, "A124", "desk-2")) == {"device:desk-2": "hit_confirmation"}


def test_a_copy_of_what_names_nobody_comes_as_unsolicited() -> None:
    assert kinds(legs(a_county(), Function.INQUIRY, "", "desk-9")) == {"device:desk-9": "unsolicited"}


# --- C-STAFFED ----------------------------------------------------------------------------------------------------


@pytest.mark.requirement("C-STAFFED")
@pytest.mark.parametrize(("function", "kind"), [(AM, "unsolicited"), (HIT, "hit_confirmation")])
def test_what_nobody_would_see_goes_to_the_staffed_devices_of_the_agency(function: Function, kind: str) -> None:
    found = legs(a_county(), function, "A129", "desk-9")
    assert kinds(found) == dict.fromkeys(("device:desk-1", "device:desk-2", "device:printer-1"), kind)
    assert {leg.original_mnemonic for leg in found.legs} == {"A129"}
    first, second, *rest = found.events(17, 5)
    assert (first.event, first.destination) == (Life.ROUTED, "device:desk-9")
    assert (second.event, second.destination) == (Life.FORWARDED, "device:desk-9")
    assert "C-STAFFED" in (second.detail or "")
    assert {(event.event, event.detail) for event in rest} == {(Life.ROUTED, "for A129")}


@pytest.mark.requirement("C-STAFFED")
def test_who_gets_it_anyway_gets_it_once() -> None:
    found = legs(a_county(), AM, "A129,A124", "desk-9", "desk-2")
    assert [leg.address for leg in found.legs].count("device:desk-2") == 1
    assert next(leg for leg in found.legs if leg.address == "device:desk-2").original_mnemonic is None


@pytest.mark.requirement("C-STAFFED")
def test_where_nobody_is_staffed_it_goes_to_the_operator() -> None:
    directory = a_county(Device("s-desk", StationKind.TERMINAL, "SHERIFF", mnemonic="S001"))
    found = legs(directory, AM, "S009", "s-car")
    assert [leg.address for leg in found.legs] == [None]
    assert [(event.event, event.destination) for event in found.events(17, 5)] == [
        (Life.ROUTED, "device:s-car"), (Life.OPERATOR_QUEUE, "device:s-car"), (Life.ROUTED, OPERATOR_QUEUE),
    ]  # fmt: skip


@pytest.mark.requirement("C-STAFFED")
def test_a_waiver_lets_it_through() -> None:
    directory = a_county()
    directory.replace([replace(directory.agencies["EXLP"], staffing_waiver="APB 2020-3")])
    assert kinds(legs(directory, AM, "A129", "desk-9")) == {"device:desk-9": "unsolicited"}


@pytest.mark.requirement("C-STAFFED")
def test_what_comes_unasked_is_held_to_it_only_where_it_must_be_seen() -> None:
    directory = a_county()
    desk = directory.devices["desk-9"]
    assert unsolicited_legs(directory, desk, "unsolicited", None, must_be_seen=False) == Legs(
        (Leg("device:desk-9", "unsolicited", None),)
    )
    seen = unsolicited_legs(directory, desk, "unsolicited", None, must_be_seen=True)
    assert [leg.address for leg in seen.legs] == ["device:desk-1", "device:desk-2", "device:printer-1"]
    printer = directory.devices["printer-1"]
    assert len(unsolicited_legs(directory, printer, "unsolicited", None, must_be_seen=True).legs) == 1


@pytest.mark.requirement("C-STAFFED", "C-UNSOL")
def test_nothing_ends_at_a_staffed_terminal_that_has_no_mnemonic_of_its_own() -> None:
    directory = a_county(terminal("console", pool="cars", staffed=True))
    assert "console" not in [device.device for device in directory.addressees("CA0980000")]
    [leg] = unsolicited_legs(directory, directory.devices["console"], "unsolicited", None, must_be_seen=True).legs[:1]
    assert leg.address != "device:console", "nobody receives there"
