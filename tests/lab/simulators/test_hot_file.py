"""Stolen vehicles entered, found, modified, located, cancelled and cleared."""

from __future__ import annotations

import re

import pytest

from msc.lab.simulators import hot_file
from msc.lab.simulators.answer import Outcome, outcome_of
from msc.lab.simulators.hot_file import HotFile
from msc.lab.simulators.ncic import NcicResponder
from msc.lab.simulators.state import StateResponder
from msc.protocol.catalog import Catalog

ENTRY = "IA.EV.CA0990000.LIC/ZZ9999X.LIS/CA.VIN/TESTVIN0009999999.VMA/FICT.OCA/T26-1.DTE/20260101"
INQUIRY = "IA.QV.CA0990000.LIC/ZZ9999X"


def outcome(responder: StateResponder | NcicResponder, text: str) -> Outcome:
    return outcome_of(responder.answer(text)[0])


def enter(state: StateResponder, text: str = ENTRY) -> str:
    """Enter a vehicle and return its NIC."""
    (body,) = state.answer(text)
    assert outcome_of(body) is Outcome.ACCEPTED
    found = re.search(r"\bNIC/(\w{10})\b", body)
    assert found
    return found[1]


@pytest.mark.parametrize("key", ["XV", "CV"])
def test_a_vehicle_is_entered_found_and_taken_off(state: StateResponder, key: str) -> None:
    assert outcome(state, INQUIRY) is Outcome.NO_RECORD
    nic = enter(state)
    for inquiry in (INQUIRY, "QV.CA0990000.LIC/ZZ9999X", f"QV.CA0990000.NIC/{nic}",
                    "IA.QV.CA0990000.VIN/TESTVIN0009999999"):  # fmt: skip
        (body,) = state.answer(inquiry)
        assert outcome_of(body) is Outcome.HIT and f"NIC/{nic}" in body and "OCA/T26-1" in body
    assert outcome(state, f"IA.{key}.CA0990000.NIC/{nic}.OCA/T26-1") is Outcome.ACCEPTED
    assert outcome(state, INQUIRY) is Outcome.NO_RECORD
    assert state.answer(f"IA.{key}.CA0990000.NIC/{nic}.OCA/T26-1")[0].startswith("ER.30")


def test_what_is_entered_at_the_state_is_not_at_ncic(state: StateResponder, ncic: NcicResponder) -> None:
    enter(state)
    assert outcome(ncic, INQUIRY) is Outcome.NO_RECORD
    assert outcome(ncic, ENTRY) is Outcome.REJECTED


def test_a_modified_vehicle_is_found_by_its_new_plate_alone(state: StateResponder) -> None:
    nic = enter(state)
    change = f"IA.MV.CA0990000.NIC/{nic}.OCA/T26-1.LIC/ZZ9998X.VCO/RED.DTE/20260102"
    assert outcome(state, change) is Outcome.ACCEPTED
    assert outcome(state, INQUIRY) is Outcome.NO_RECORD
    (body,) = state.answer("IA.QV.CA0990000.LIC/ZZ9998X")
    assert f"NIC/{nic}" in body and "VCO/RED" in body and "VMA/FICT" in body and "DTE/20260102" in body


def test_any_agency_may_locate_and_the_hit_then_says_who_did(state: StateResponder) -> None:
    nic = enter(state)
    assert outcome(state, f"IA.LV.CA0990100.NIC/{nic}.OCA/T26-1") is Outcome.ACCEPTED
    (body,) = state.answer(INQUIRY)
    assert "LOCATED BY ORI/CA0990100" in body


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("IA.MV.CA0990000.NIC/{nic}.OCA/T26-1", "14"),
        ("IA.MV.CA0990000.NIC/V000000000.OCA/T26-1.VCO/RED", "30"),
        ("IA.XV.CA0990000.NIC/{nic}.OCA/T26-2", "31"),
        ("IA.CV.CA0990100.NIC/{nic}.OCA/T26-1", "32"),
        (ENTRY, "33"),
        ("IA.XV.CA0990000.NIC/{nic}", "14"),
    ],
)
def test_an_update_that_does_not_fit_is_rejected_and_changes_nothing(
    state: StateResponder, text: str, number: str
) -> None:
    nic = enter(state)
    before = state.answer(INQUIRY)
    (body,) = state.answer(text.format(nic=nic))
    assert body.startswith(f"ER.{number} ")
    assert state.answer(INQUIRY) == before


def test_two_agencies_may_enter_the_same_vehicle_and_a_hit_shows_both(state: StateResponder) -> None:
    first, second = enter(state), enter(state, ENTRY.replace("CA0990000", "CA0990100"))
    assert first != second
    (body,) = state.answer(INQUIRY)
    assert body.count("MKE/STOLEN VEHICLE") == 2
    assert outcome(state, f"IA.XV.CA0990000.NIC/{first}.OCA/T26-1") is Outcome.ACCEPTED
    (body,) = state.answer(INQUIRY)
    assert f"NIC/{second}" in body and first not in body


def test_a_specimen_can_be_cancelled_and_is_back_in_a_new_simulator(state: StateResponder, catalog: Catalog) -> None:
    text = "IA.QV.CA0990000.LIC/ZZ0001X"
    assert outcome(state, "IA.XV.CA0990000.NIC/V999000001.OCA/T26-0101") is Outcome.ACCEPTED
    assert outcome(state, text) is Outcome.NO_RECORD
    assert outcome(StateResponder(catalog, state.data), text) is Outcome.HIT


def test_a_full_file_takes_no_more(state: StateResponder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hot_file, "RECORDS_MAX", len(state.vehicles))
    assert state.answer(ENTRY)[0].startswith("ER.34")


def test_an_empty_file_finds_nothing_for_an_inquiry_that_names_nothing() -> None:
    assert HotFile([], ncic=False).find({}) == []
