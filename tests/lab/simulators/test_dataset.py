"""The data set: large enough, the same for a seed, and visibly invented."""

from __future__ import annotations

import re

import pytest

from msc.lab.simulators import specimen
from msc.lab.simulators.dataset import DataSet, make_dataset
from msc.lab.simulators.hot_file import fields_of
from msc.lab.simulators.subject import Article, Entry, Gun, Person, Vehicle, normalise_name
from msc.lab.world import SURNAMES, TOWNS
from msc.protocol.catalog import Catalog


def entries(data: DataSet) -> list[Entry]:
    groups: tuple[tuple[Person | Vehicle | Gun | Article, ...], ...] = (
        data.persons,
        data.vehicles,
        data.guns,
        data.articles,
    )
    return [entry for group in groups for subject in group for entry in subject.on_file]


def test_there_are_enough_of_each(data: DataSet) -> None:
    assert len(data.persons) >= 1000
    assert len(data.vehicles) >= 1000
    assert len(data.guns) >= 300
    assert len(data.articles) >= 300


def test_a_seed_gives_the_same_data_set_and_another_seed_another() -> None:
    assert make_dataset(7) == make_dataset(7)
    assert make_dataset(7).persons != make_dataset(8).persons


@pytest.mark.parametrize("seed", [1, 2, 99])
def test_every_record_is_visibly_fictitious(seed: int) -> None:
    data = make_dataset(seed)
    for person in data.persons:
        assert person.name.split(",")[0] in {*SURNAMES, "SPECIMEN"}
        assert person.oln.startswith("TST") and person.fbi.startswith("TEST") and person.cii.startswith("A99")
        assert person.address.endswith(TOWNS)
    for vehicle in data.vehicles:
        assert re.fullmatch(r"ZZ(\d{4}[A-Z]|[A-Z]\d{4})", vehicle.plate)
        assert vehicle.vin.startswith("TESTV") and len(vehicle.vin) == 17
    assert all(gun.serial.startswith("TESTGUN") for gun in data.guns)
    assert all(article.serial.startswith("TESTART") for article in data.articles)
    for entry in entries(data):
        assert entry.ori.startswith("CA099") and len(entry.ori) == 9
        assert len(entry.fcn) == 13 and entry.fcn.startswith("TEST")
    assert all(arrest.ori.startswith("CA099") for person in data.persons for arrest in person.history)


@pytest.mark.parametrize("seed", [1, 2, 99])
def test_specimens_are_in_every_data_set_and_the_free_plate_in_none(seed: int) -> None:
    data = make_dataset(seed)
    assert set(specimen.PERSONS) <= set(data.persons)
    assert set(specimen.VEHICLES) <= set(data.vehicles)
    assert set(specimen.GUNS) <= set(data.guns)
    assert set(specimen.ARTICLES) <= set(data.articles)
    assert specimen.UNREGISTERED_PLATE not in data.by_plate
    assert {v for v in data.vehicles if v.plate.endswith("X")} == set(specimen.VEHICLES)


def test_numbers_are_one_records_alone(data: DataSet) -> None:
    for index, records in (
        (data.by_oln, data.persons),
        (data.by_cii, data.persons),
        (data.by_fbi, data.persons),
        (data.by_vin, data.vehicles),
        (data.by_plate, data.vehicles),
        (data.by_gun_serial, data.guns),
        (data.by_article_serial, data.articles),
    ):
        assert len(index) == len(records)
    nics = [entry.nic for entry in entries(data)]
    assert len(set(nics)) == len(nics)


def test_there_are_entries_at_the_state_alone_at_ncic_alone_and_at_both(data: DataSet) -> None:
    places = {(entry.in_state, entry.in_ncic) for entry in entries(data)}
    assert places == {(True, True), (True, False), (False, True)}


def test_values_have_the_forms_the_catalog_asks_for(data: DataSet, catalog: Catalog) -> None:
    forms = next(iter(catalog)).forms
    for person in data.persons:
        values = {"NAM": person.name, "DOB": person.dob, "OLN": person.oln, "CII": person.cii, "FBI": person.fbi}
        assert all(forms[code].pattern.fullmatch(value) for code, value in values.items()), person
    for vehicle in data.vehicles:
        known = {code: value for code, value in fields_of(vehicle).items() if code in forms}
        assert all(forms[code].pattern.fullmatch(value) for code, value in known.items()), vehicle
    marks = [(gun.serial, gun.type) for gun in data.guns] + [(a.serial, a.type) for a in data.articles]
    assert all(
        forms["SER"].pattern.fullmatch(serial) and forms["TYP"].pattern.fullmatch(type_) for serial, type_ in marks
    )
    for entry in entries(data):
        assert forms["NIC"].pattern.fullmatch(entry.nic) and forms["OCA"].pattern.fullmatch(entry.oca), entry
        assert forms["DTE"].pattern.fullmatch(entry.date) and forms["FCN"].pattern.fullmatch(entry.fcn), entry


@pytest.mark.parametrize(
    "written", ["SPECIMEN,WANTED", "SPECIMEN, WANTED", "specimen ,wanted", " Specimen,  Wanted "]
)
def test_a_name_is_found_however_comma_blank_and_case_are_written(data: DataSet, written: str) -> None:
    assert data.find_persons({"NAM": written}) == (specimen.WANTED_PERSON,)


def test_a_name_without_comma_is_only_tidied() -> None:
    assert normalise_name(" no   comma ") == "NO COMMA"


def test_name_and_number_find_both_whom_they_name_once_each(data: DataSet) -> None:
    wanted, clear = specimen.WANTED_PERSON, specimen.CLEAR_PERSON
    assert set(data.find_persons({"NAM": wanted.name, "OLN": clear.oln})) == {wanted, clear}
    assert data.find_persons({"NAM": wanted.name, "OLN": wanted.oln, "NIC": wanted.on_file[0].nic}) == (wanted,)
    assert data.find_persons({"NAM": wanted.name, "DOB": "19010101"}) == ()
