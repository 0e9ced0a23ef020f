"""Both stand-ins: hits and misses of the specimens, rejections, and no text that makes them fail."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from msc.lab.simulators.answer import RECORDS_MAX, Outcome, outcome_of
from msc.lab.simulators.dataset import DataSet
from msc.lab.simulators.ncic import NcicResponder
from msc.lab.simulators.responder import Responder
from msc.lab.simulators.state import StateResponder
from msc.protocol.catalog import Catalog

HIT, NONE, INFORMATION, ACCEPTED, REJECTED = (
    Outcome.HIT, Outcome.NO_RECORD, Outcome.INFORMATION, Outcome.ACCEPTED, Outcome.REJECTED,
)  # fmt: skip

AT_THE_STATE = [
    ("IW.QW.CA0990000.NAM/SPECIMEN,WANTED", [HIT]),
    ("IW.QW.CA0990000.NAM/SPECIMEN, WANTED.DOB/19800101.SEX/X", [HIT]),
    ("IW.QW.CA0990000.OLN/TST90001", [HIT]),
    ("IW.QW.CA0990000.FBI/TEST90001", [HIT]),
    ("IW.QW.CA0990000.NIC/W999000001", [HIT]),
    ("IW.QW.CA0990000.NAM/SPECIMEN,WANTED.DOB/19800102", [NONE]),
    ("IW.QW.CA0990000.NAM/SPECIMEN,CLEAR.DOB/19850505", [NONE]),
    ("IW.QW.CA0990000.NAM/NOTONFILE,ANYWHERE", [NONE]),
    ("IM.QM.CA0990000.NAM/SPECIMEN,MISSING", [HIT]),
    ("IM.QM.CA0990000.NAM/SPECIMEN,WANTED", [NONE]),
    ("IB.QRR.CA0990000.NAM/SPECIMEN,RESTRAINED", [HIT]),
    ("IB.QRR.CA0990000.NAM/SPECIMEN,CLEAR", [NONE]),
    ("IR.QR.CA0990000.CII/A99900005", [HIT]),
    ("IR.QR.CA0990000.NAM/SPECIMEN,CLEAR", [NONE]),
    ("IH.QH.CA0990000.NAM/SPECIMEN,RECORDED.PUR/C", [HIT]),
    ("IH.QH.CA0990000.CII/A99900006.PUR/J", [HIT]),
    ("IH.QH.CA0990000.NAM/SPECIMEN,CLEAR.PUR/C", [NONE]),
    ("IH.QH.CA0990000.NAM/SPECIMEN,RECORDED.PUR/Z", [REJECTED]),
    ("IN.L1.CA0990000.NAM/SPECIMEN,CLEAR", [INFORMATION]),
    ("IN.L1.CA0990000.NAM/NOTONFILE,ANYWHERE", [NONE]),
    ("ID.L1.CA0990000.OLN/TST90002", [INFORMATION]),
    ("ID.L1.CA0990000.OLN/NOSUCH", [NONE]),
    ("IV.4.CA0990000.LIC/ZZ0002X", [INFORMATION]),
    ("IV.4.CA0990000.VIN/TESTVIN9990000002", [INFORMATION]),
    ("IV.4.CA0990000.LIC/ZZ9999X", [NONE]),
    ("IA.QV.CA0990000.LIC/ZZ0001X.LIS/CA", [HIT, INFORMATION]),
    ("IA.QV.CA0990000.VIN/TESTVIN9990000001", [HIT, INFORMATION]),
    ("IA.QV.CA0990000.LIC/ZZ0001X.LIS/NV", [NONE]),
    ("IA.QV.CA0990000.LIC/ZZ0002X", [NONE]),
    ("QV.CA0990000.NIC/V999000001", [HIT, INFORMATION]),
    ("IG.QG.CA0990000.SER/TESTGUN999001", [HIT]),
    ("IG.QG.CA0990000.NIC/G999000001", [HIT]),
    ("IG.QG.CA0990000.SER/TESTGUN999002", [NONE]),
    ("IP.QA.CA0990000.SER/TESTART999001.TYP/BBICYCL", [HIT]),
    ("IP.QA.CA0990000.SER/TESTART999001.TYP/CCAMERA", [NONE]),
    ("IP.QA.CA0990000.SER/TESTART999002", [NONE]),
    ("RQ.CA0990000.CA.TXT.LIC/ZZ0001X", [INFORMATION]),
    ("RQ.CA0990000.NV,CA,OR.X1.TXT.LIC/ZZ0001X.LIY/2027", [NONE, INFORMATION, NONE]),
    ("RQ.CA0990000.NV0990000.TXT.LIC/ZZ0001X", [REJECTED]),
    ("RQ.CA0990000.AZ,CO,ID,NM,NV,OR.TXT.LIC/ZZ0001X", [REJECTED]),
    ("DQ.CA0990000.CA,NV.TXT.NAM/SPECIMEN,CLEAR", [INFORMATION, NONE]),
    ("YQ.CA0990000.NV0990000,AZ0990000.TXT.RTY/WP.RNO/1.PRI/U.OCA/T26-0001.NIC/W999000001", [ACCEPTED]),
    ("YR.CA0990000.NV0990000.TXT.RTY/WP.RNO/1.CON/Y.OCA/T26-0001.NIC/W999000001", [ACCEPTED]),
    ("YQ.CA0990000.NV.TXT.RTY/WP.RNO/1.PRI/U.OCA/T26-0001.NIC/W999000001", [REJECTED]),
]  # fmt: skip

AT_NCIC = [
    ("IW.QW.CA0990000.NAM/SPECIMEN,WANTED", [HIT]),
    ("QW.CA0990000.NAM/SPECIMEN,WANTED.DOB/19800101", [HIT]),
    ("QW.CA0990000.NAM/SPECIMEN,CLEAR.DOB/19850505", [NONE]),
    ("QV.CA0990000.LIC/ZZ0001X", [HIT]),
    ("IA.QV.CA0990000.LIC/ZZ0001X", [HIT]),
    ("IA.QV.CA0990000.LIC/ZZ0002X", [NONE]),
    ("QG.CA0990000.SER/TESTGUN999001", [HIT]),
    ("IG.QG.CA0990000.SER/TESTGUN999002", [NONE]),
    ("QA.CA0990000.SER/TESTART999001.TYP/BBICYCL", [HIT]),
    ("QA.CA0990000.SER/TESTART999002.TYP/BBICYCL", [NONE]),
]

WRONG = [
    "",
    ".",
    "IW.QW",
    "IW.QW.",
    "IW.QW.CA0990000",
    "IW.QW.CA0990000.NAM/",
    "IW.QW.CA099.NAM/SPECIMEN,WANTED",
    "IW.QW.CA0990000.NAM/SPECIMEN,WANTED.NAM/TWICE,OVER",
    "XX.YY.CA0990000.NAM/SPECIMEN,WANTED",
    "AM.CA0990000.EXA1.TXT NOT THE STATE'S TO ANSWER",
    "IA.EV.CA0990000.LIC/ZZ9999X",
]


def outcomes(responder: Responder, text: str) -> list[Outcome]:
    return [outcome_of(body) for body in responder.answer(text)]


@pytest.mark.parametrize(("text", "expected"), AT_THE_STATE, ids=[text for text, _ in AT_THE_STATE])
def test_the_state_answers(state: StateResponder, text: str, expected: list[Outcome]) -> None:
    assert outcomes(state, text) == expected


@pytest.mark.parametrize(("text", "expected"), AT_NCIC, ids=[text for text, _ in AT_NCIC])
def test_ncic_answers(ncic: NcicResponder, text: str, expected: list[Outcome]) -> None:
    assert outcomes(ncic, text) == expected


def test_a_hit_looks_as_the_field_knows_it(state: StateResponder) -> None:
    (body,) = state.answer("IW.QW.CA0990000.NAM/SPECIMEN,WANTED")
    assert body.splitlines() == [
        "***CAUTION - ARMED AND DANGEROUS***",
        "MKE/WANTED PERSON",
        "NAM/SPECIMEN, WANTED SEX/X RAC/U DOB/19800101",
        "HGT/510 WGT/170 EYE/BRO HAI/BLK",
        "FBI/TEST90001 CII/A99900001 OLN/TST90001",
        "MIS/TEST OFFENSE",
        "ORI/CA0990000 OCA/T26-0001 DTE/20260102 NIC/W999000001 FCN/TEST999000001",
        "IMMED CONFIRM WITH ORI BEFORE ACTING",
    ]


def test_no_record_says_so_first_and_what_was_asked(state: StateResponder) -> None:
    (body,) = state.answer("IW.QW.CA0990000.NAM/SPECIMEN,CLEAR.DOB/19850505.SEX/X")
    assert body == "NO RECORD IN WPS\nNAM/SPECIMEN,CLEAR DOB/19850505"


def test_what_was_entered_cannot_pass_for_another_hit(state: StateResponder) -> None:
    # The catalog gives VMO no form, so it may hold a line break.
    change = "IA.MV.CA0990000.NIC/V999000001.OCA/T26-0101.VMO/A\n{}WANTED PERSON"
    assert outcomes(state, change.format("MKE/")) == [REJECTED]
    assert outcomes(state, change.format("MKE ")) == [ACCEPTED]
    hit, _ = state.answer("IA.QV.CA0990000.LIC/ZZ0001X")
    assert "VMO/A MKE WANTED PERSON" in hit
    assert [line for line in hit.splitlines() if line.startswith("MKE/")] == ["MKE/STOLEN VEHICLE"]


def test_nlets_answers_bear_the_state_the_ori_and_the_control_field(state: StateResponder) -> None:
    nevada, california = state.answer("RQ.CA0990000.NV,CA.ABC123.TXT.LIC/ZZ0002X")
    assert nevada.splitlines()[0] == "RR.NV.CA0990000.ABC123.TXT"
    assert california.splitlines()[:2] == ["RR.CA.CA0990000.ABC123.TXT", "VEHICLE REGISTRATION"]


def test_entries_made_elsewhere_are_not_found_here(state: StateResponder, ncic: NcicResponder, data: DataSet) -> None:
    for vehicle in data.vehicles:
        text = f"QV.CA0990000.VIN/{vehicle.vin}"
        assert (outcomes(state, text)[0] is HIT) == any(e.in_state for e in vehicle.on_file)
        assert (outcomes(ncic, text)[0] is HIT) == any(e.in_ncic for e in vehicle.on_file)


def test_everyone_has_a_driver_record_and_every_vehicle_a_registration(state: StateResponder, data: DataSet) -> None:
    for person in data.persons:
        assert outcomes(state, f"ID.L1.CA0990000.OLN/{person.oln}") == [INFORMATION]
    for vehicle in data.vehicles:
        assert outcomes(state, f"IV.4.CA0990000.LIC/{vehicle.plate}") == [INFORMATION]


def test_one_answer_holds_a_bounded_number_of_records(catalog: Catalog, data: DataSet) -> None:
    crowded = StateResponder(catalog, _with_namesakes(data, RECORDS_MAX + 3))
    (body,) = crowded.answer("IN.L1.CA0990000.NAM/SPECIMEN,CLEAR")
    assert body.count("DRIVER RECORD") == RECORDS_MAX
    assert body.endswith("3 MORE ON FILE, NARROW THE INQUIRY")


def _with_namesakes(data: DataSet, count: int) -> DataSet:
    clear = data.by_name["SPECIMEN,CLEAR"][0]
    people = tuple(replace(clear, oln=f"TST8{n:04}") for n in range(count))
    return replace(data, by_name={clear.name: people})


@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong_with_a_message_is_said(state: StateResponder, ncic: NcicResponder, text: str) -> None:
    assert outcomes(state, text) == [REJECTED]
    assert outcomes(ncic, text) == [REJECTED]


KEYS = ("IW.QW", "IA.QV", "IA.EV", "IA.MV", "IA.XV", "IA.LV", "IA.CV", "IG.QG", "IP.QA", "IH.QH", "IV.4", "RQ", "DQ",
        "YQ", "QW", "QA", "AM", "ZZ")  # fmt: skip
CODES = ("NAM", "DOB", "LIC", "LIS", "VIN", "SER", "TYP", "NIC", "OCA", "DTE", "PUR", "CII", "OLN", "FBI", "MIS")
VALUES = st.one_of(
    st.sampled_from(("SPECIMEN,WANTED", "ZZ0001X", "V999000001", "T26-0101", "20260101", "C", "CA", "", ".", "/")),
    st.text(max_size=30),
)
FIELDS = st.lists(st.tuples(st.sampled_from(CODES), VALUES), max_size=5)
ADDRESS = st.sampled_from(("", "NV.TXT.", "NV,CA.X1.TXT.", "NV0990000.TXT", "A,B.TXT."))
MESSAGES = st.builds(
    lambda key, ori, address, fields: f"{key}.{ori}.{address}{'.'.join(f'{c}/{v}' for c, v in fields)}",
    st.sampled_from(KEYS),
    st.sampled_from(("CA0990000", "CA0990100", "nowhere", "")),
    ADDRESS,
    FIELDS,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.one_of(st.text(max_size=200), MESSAGES))
def test_no_text_makes_a_responder_fail(state: StateResponder, ncic: NcicResponder, text: str) -> None:
    for responder in (state, ncic):
        bodies = responder.answer(text)
        assert bodies and all(bodies)
        for body in bodies:
            body.encode()


def test_every_shipped_key_but_administrative_ones_is_answered(
    catalog: Catalog, state: StateResponder, ncic: NcicResponder
) -> None:
    answered = state.handlers().keys() | ncic.handlers().keys()
    assert answered == {key.code for key in catalog} - {"AM"}
