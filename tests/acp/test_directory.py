"""The directory's rules, each broken once, and where unsolicited messages go."""

from __future__ import annotations

from typing import Any

import pytest

from msc.acp.directory import Agency, Device, Directory, Mnemonic, Pool
from msc.protocol.station import StationKind
from tests.support.county import county, terminal, user


def test_the_county_breaks_no_rule() -> None:
    assert county().faults() == []


BROKEN: dict[str, tuple[dict[str, list[Any]], tuple[str, str]]] = {
    "ORI of eight": (
        {"agencies": [Agency("FIRE", "Fire", "CA098000")]},
        ("agency FIRE", "ORI 'CA098000' is not nine characters"),
    ),
    "device of no agency": (
        {"devices": [terminal("x", agency="NONE", pool="cars")]},
        ("device x", "there is no agency 'NONE'"),
    ),
    "device without mnemonic and pool": (
        {"devices": [terminal("x")]},
        ("device x", "has neither a mnemonic nor a pool"),
    ),
    "device with an unknown mnemonic": (
        {"devices": [terminal("x", mnemonic="ZZZZ")]},
        ("device x", "there is no mnemonic 'ZZZZ'"),
    ),
    "device with a pool's mnemonic": (
        {"devices": [terminal("x", mnemonic="M001")]},
        ("device x", "mnemonic M001 is in pool cars"),
    ),
    "two devices with one mnemonic": (
        {"devices": [terminal("x", mnemonic="A123")]},
        ("device x", "mnemonic A123 is desk-1's (C-STATIC)"),
    ),
    "device of an unknown pool": (
        {"devices": [terminal("x", pool="boats")]},
        ("device x", "there is no pool 'boats'"),
    ),
    "delegated terminal": (
        {"devices": [terminal("x", pool="cars", delegated=True)]},
        ("device x", "only a host can be delegated"),
    ),
    "pool without approval": (
        {"pools": [Pool("boats", "EXLP", "")], "mnemonics": [Mnemonic("B001", "EXLP", pool="boats")]},
        ("pool boats", "a pool needs its approval reference (C-POOL)"),
    ),
    "pool with an unknown destination": (
        {
            "pools": [Pool("boats", "EXLP", "APB 1", unsolicited_to="nowhere")],
            "mnemonics": [Mnemonic("B001", "EXLP", pool="boats")],
        },
        ("pool boats", "there is no device 'nowhere' for unsolicited messages"),
    ),
    "pool without mnemonics": ({"pools": [Pool("boats", "EXLP", "APB 1")]}, ("pool boats", "has no mnemonics")),
    "mnemonic of three": (
        {"mnemonics": [Mnemonic("AB1", "EXLP")]},
        ("mnemonic AB1", "a mnemonic is four capital letters and digits"),
    ),
    "mnemonic of an unknown pool": (
        {"mnemonics": [Mnemonic("B001", "EXLP", pool="boats")]},
        ("mnemonic B001", "there is no pool 'boats'"),
    ),
    "mnemonic of no agency": (
        {"mnemonics": [Mnemonic("B001", "NONE")]},
        ("mnemonic B001", "there is no agency 'NONE'"),
    ),
}


@pytest.mark.requirement("C-STATIC", "C-POOL", "C-UID")
@pytest.mark.parametrize(("more", "fault"), BROKEN.values(), ids=BROKEN)
def test_a_broken_rule_is_told_with_its_place(more: dict[str, list[Any]], fault: tuple[str, str]) -> None:
    assert county(**more).faults() == [fault]


@pytest.mark.requirement("C-UID", "C-OIF")
@pytest.mark.parametrize("name", ["J4021", "J402177", "j40217", "J4021 ", "J4021É"])
def test_a_user_id_that_is_no_oif_is_told(name: str) -> None:
    assert county(user(name)).faults() == [(f"user {name}", "a user id is six capital letters and digits (C-OIF)")]


def test_a_user_of_no_agency_is_told() -> None:
    assert county(user("J40218", agency="NONE")).faults() == [("user J40218", "there is no agency 'NONE'")]


def test_all_faults_are_told_at_once() -> None:
    everything: dict[str, list[Any]] = {}
    for more, _ in BROKEN.values():
        for table, rows in more.items():
            present = everything.setdefault(table, [])
            present += [row for row in rows if row not in present]
    # Where two cases use one name, the later row stands; what is left is still told at once.
    found = county(user("bad"), **everything).faults()
    assert {("user bad", "a user id is six capital letters and digits (C-OIF)")} < set(found)
    assert len(found) >= 6


# --- where messages go --------------------------------------------------------------------------------------


@pytest.mark.requirement("C-UNSOL")
@pytest.mark.parametrize(
    ("mnemonic", "device"),
    [("A123", "desk-1"), ("P001", "printer-1"), ("CD01", "cad-1"), ("M001", "printer-1"), ("M002", "printer-1")],
)
def test_an_unsolicited_message_goes_to_the_mnemonics_device_or_the_pools_destination(
    mnemonic: str, device: str
) -> None:
    found = county().unsolicited_device(mnemonic)
    assert found is not None
    assert found.device == device


@pytest.mark.requirement("C-UNSOL")
def test_a_pool_without_a_destination_has_none_whoever_holds_the_mnemonic() -> None:
    directory = county(
        pools=[Pool("boats", "EXLP", "APB 1")],
        mnemonics=[Mnemonic("B001", "EXLP", pool="boats")],
        # Even a device that (wrongly) names the pooled mnemonic as its own gets nothing.
        devices=[terminal("boat-1", pool="boats"), terminal("boat-2", mnemonic="B001")],
    )
    assert directory.unsolicited_device("B001") is None
    assert directory.addressees("B001") == []


@pytest.mark.parametrize("mnemonic", ["ZZZZ", "", "a123"])
def test_an_unknown_mnemonic_has_no_device(mnemonic: str) -> None:
    assert county().unsolicited_device(mnemonic) is None


def test_a_mnemonic_no_device_bears_has_none() -> None:
    assert county(mnemonics=[Mnemonic("X001", "EXLP")]).unsolicited_device("X001") is None


@pytest.mark.requirement("C-ADMIN", "C-STAFFED")
@pytest.mark.parametrize(
    ("destination", "devices"),
    [
        ("A124", ["desk-2"]),
        ("M001", ["printer-1"]),
        ("CA0980000", ["desk-1", "printer-1"]),
        ("CA0989900", ["s-desk"]),
        ("CA0000000", []),
        ("ZZZZ", []),
    ],
)
def test_a_destination_names_a_mnemonics_device_or_an_agencys_staffed_ones(
    destination: str, devices: list[str]
) -> None:
    assert [row.device for row in county().addressees(destination)] == devices


def test_members_of_a_pool_come_in_order() -> None:
    rows = [Mnemonic(m, "EXLP", pool="cars") for m in ("M003", "M001", "M002")]
    directory = Directory(mnemonics=[*rows, Mnemonic("A123", "EXLP")])
    assert directory.members("cars") == ["M001", "M002", "M003"]
    assert directory.members("boats") == []


def test_an_address_names_the_device() -> None:
    assert Device("desk-1", StationKind.TERMINAL, "EXLP").address == "device:desk-1"
