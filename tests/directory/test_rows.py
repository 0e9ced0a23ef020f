"""The tables in memory: where messages go, what is in force, what a change replaces."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest

from msc.directory.rows import TABLES, Agreement, Device, Directory, Mnemonic, Pool, Status, key_of, table_of
from msc.protocol.station import StationKind
from tests.support.county import account, county, mnemonic, terminal, user

TODAY = date(2026, 1, 31)


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


@pytest.mark.requirement("C-ADMIN", "C-STAFFED")
def test_a_mnemonic_that_takes_no_administrative_messages_has_no_addressee() -> None:
    directory = county(
        devices=[terminal("quiet", mnemonic="Q001", staffed=True)], mnemonics=[mnemonic("Q001", administrative=False)]
    )
    assert directory.addressees("Q001") == directory.addressees("CD01") == []
    assert [row.device for row in [directory.unsolicited_device("Q001")] if row] == ["quiet"]


def test_a_mnemonic_no_device_bears_has_none() -> None:
    assert county(mnemonics=[Mnemonic("X001", "EXLP")]).unsolicited_device("X001") is None


@pytest.mark.requirement("C-ADMIN", "C-STAFFED")
@pytest.mark.parametrize(
    ("destination", "devices"),
    [
        ("A124", ["desk-2"]),
        ("M001", ["printer-1"]),
        ("CA0980000", ["desk-1", "desk-2", "printer-1"]),
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


# --- rows ---------------------------------------------------------------------------------------------------


@pytest.mark.requirement("C-SANCTION")
@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("days", [None, -1, 0, 1])
def test_a_row_is_in_force_if_active_or_if_its_suspension_is_over(status: Status, days: int | None) -> None:
    until = None if days is None else TODAY + timedelta(days=days)
    row = user("J40217", status=status, status_until=until)
    over = status is Status.SUSPENDED and days is not None and days <= 0
    assert row.in_force(TODAY) is (status is Status.ACTIVE or over)


@pytest.mark.requirement("C-NONLE")
def test_an_agreement_holds_from_its_first_day_until_the_day_it_expires() -> None:
    row = Agreement("MOU 7", "EXLP", effective=TODAY, expires=TODAY + timedelta(days=2), databases=frozenset({"DMV"}))
    directory = county(agreements=[row])
    held = [directory.agreement("EXLP", TODAY + timedelta(days=n), "DMV") for n in (-1, 0, 1, 2)]
    assert held == [None, row, row, None]
    assert directory.agreement("EXLP", TODAY) is row
    assert directory.agreement("EXLP", TODAY, "WPS") is None
    assert directory.agreement("SHERIFF", TODAY) is None


def test_one_of_several_agreements_is_enough() -> None:
    over = Agreement("MOU 1", "EXLP", effective=date(2020, 1, 1), expires=date(2021, 1, 1))
    held = Agreement("MOU 2", "EXLP", effective=date(2020, 1, 1))
    assert county(agreements=[over, held]).agreement("EXLP", TODAY, "DMV") is held


def test_whoever_has_no_account_has_one_without_a_password() -> None:
    directory = county()
    assert directory.account("J40217") == account("J40217")
    nobody = directory.account("NOBODY")
    assert (nobody.user, nobody.password_hash, nobody.otp_secret) == ("NOBODY", "", None)


def test_a_change_replaces_rows_in_place_and_what_follows_from_them() -> None:
    directory = county()
    devices = directory.devices
    directory.replace(
        [
            replace(devices["desk-1"], mnemonic="A125", staffed=False),
            replace(directory.agencies["SHERIFF"], ori="CA0989800"),
            mnemonic("M000", pool="cars"),
            Agreement("MOU 7", "EXLP", effective=TODAY),
        ],
        [("mnemonic", "M002"), ("device", "s-desk"), ("user", "NOBODY")],
    )
    assert directory.devices is devices, "whoever holds a table sees the change"
    assert sorted(directory.static_devices) == ["A124", "A125", "CD01", "CD02", "P001"]
    assert directory.oris.keys() == {"CA0980000", "CA0989800"}
    assert directory.members("cars") == ["M000", "M001"]
    assert directory.staffed_agencies == {"EXLP"}
    assert directory.agreement("EXLP", TODAY) is not None
    assert "M002" not in directory.mnemonics


def test_a_copy_is_changed_by_itself() -> None:
    directory = county()
    copy = directory.copy()
    copy.replace([user("J40299")], [("device", "desk-1")])
    assert "J40299" not in directory.users
    assert directory.static_devices["A123"].device == "desk-1"
    assert copy.accounts == directory.accounts


def test_a_row_knows_its_table_and_key() -> None:
    directory = county(agreements=[Agreement("MOU 7", "EXLP", effective=TODAY)])
    for name, cls in TABLES.items():
        assert directory.table(name)
        for key, row in directory.table(name).items():
            assert (type(row), table_of(row), key_of(row)) == (cls, name, key)


@pytest.mark.requirement("C-STAFFED")
@pytest.mark.parametrize(
    ("kind", "staffed", "attended"),
    [
        (StationKind.PRINTER, False, True),
        (StationKind.TERMINAL, True, True),
        (StationKind.TERMINAL, False, False),
        (StationKind.HOST, False, False),
    ],
)
def test_a_printer_and_a_staffed_device_are_attended(kind: StationKind, staffed: bool, attended: bool) -> None:
    assert Device("x", kind, "EXLP", staffed=staffed).attended is attended
