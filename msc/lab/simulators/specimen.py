"""The specimens: records to know by name, the same whatever the seed. Examples, demo and docs use these.

    IW.QW.CA0990000.NAM/SPECIMEN,WANTED.DOB/19800101    hit at the state and at NCIC
    IW.QW.CA0990000.NAM/SPECIMEN,CLEAR.DOB/19850505     no record at either
    IA.QV.CA0990000.LIC/ZZ0001X.LIS/CA                  hit at both; the state adds the registration
    IA.QV.CA0990000.LIC/ZZ0002X.LIS/CA                  no record at either; IV.4 gives its registration
    IA.EV.CA0990000.LIC/ZZ9999X.OCA/T26-1.DTE/20260101  the plate kept free for entries

The surname SPECIMEN and plates that end in X belong to specimens alone. The sheriff entered every one, and
so is the only agency that may modify, cancel or clear it.
"""

from __future__ import annotations

from typing import Final

from msc.lab.simulators.subject import Arrest, Article, Entry, Gun, Kind, Person, Vehicle
from msc.lab.world import ORI, ori_of


def _person(
    number: int,
    first: str,
    dob: str,
    *,
    armed: bool = False,
    on_file: tuple[Entry, ...] = (),
    history: tuple[Arrest, ...] = (),
) -> Person:
    return Person(
        name=f"SPECIMEN,{first}",
        dob=dob,
        sex="X",
        race="U",
        height="510",
        weight="170",
        eyes="BRO",
        hair="BLK",
        oln=f"TST9000{number}",
        oln_state="CA",
        cii=f"A9990000{number}",
        fbi=f"TEST9000{number}",
        address=f"{number} SPECIMEN WAY, TESTVILLE",
        armed=armed,
        on_file=on_file,
        history=history,
    )


WANTED_PERSON: Final = _person(
    1,
    "WANTED",
    "19800101",
    armed=True,
    on_file=(Entry(Kind.WANTED, "W999000001", ORI, "T26-0001", "20260102", "TEST OFFENSE"),),
)
"""Wanted at the state (WPS) and at NCIC, with a caution."""

CLEAR_PERSON: Final = _person(2, "CLEAR", "19850505")
"""Has a driver record; nothing stands against them anywhere."""

MISSING_PERSON: Final = _person(
    3,
    "MISSING",
    "20100303",
    on_file=(Entry(Kind.MISSING, "M999000003", ORI, "T26-0003", "20260303", "LAST SEEN IN TESTVILLE"),),
)
RESTRAINED_PERSON: Final = _person(
    4,
    "RESTRAINED",
    "19790404",
    on_file=(Entry(Kind.RESTRAINED, "H999000004", ORI, "T26-0004", "20260404", "PROTECTS SPECIMEN, CLEAR"),),
)
RELEASED_PERSON: Final = _person(
    5,
    "RELEASED",
    "19780606",
    on_file=(Entry(Kind.RELEASED, "C999000005", ORI, "T26-0005", "20260505", "REPORT CONTACT TO ORI"),),
)
CRIMINAL_HISTORY_PERSON: Final = _person(
    6,
    "RECORDED",
    "19750707",
    history=(
        Arrest("20050607", ori_of(1), "TEST THEFT", "CONVICTED"),
        Arrest("20110809", ori_of(2), "TEST TRESPASS", "DISMISSED"),
    ),
)
"""Has a criminal history (IH.QH); not wanted."""

STOLEN_VEHICLE: Final = Vehicle(
    plate="ZZ0001X",
    plate_state="CA",
    plate_year="2027",
    vin="TESTVIN9990000001",
    year="2020",
    make="FICT",
    model="SPE",
    style="4D",
    colour="BLU",
    owner=CLEAR_PERSON.name,
    address=CLEAR_PERSON.address,
    on_file=(Entry(Kind.STOLEN_VEHICLE, "V999000001", ORI, "T26-0101", "20260110"),),
)
"""Stolen, in the state's file (SVS) and NCIC's; registered to CLEAR_PERSON."""

CLEAR_VEHICLE: Final = Vehicle(
    plate="ZZ0002X",
    plate_state="CA",
    plate_year="2027",
    vin="TESTVIN9990000002",
    year="2021",
    make="FICT",
    model="SPE",
    style="2D",
    colour="WHI",
    owner=CLEAR_PERSON.name,
    address=CLEAR_PERSON.address,
)

UNREGISTERED_PLATE: Final = "ZZ9999X"
"""A plate no data set holds: entries in examples are of this one."""

STOLEN_GUN: Final = Gun(
    serial="TESTGUN999001",
    make="FIC",
    calibre="9",
    model="SPECIMEN",
    type="PI",
    on_file=(Entry(Kind.STOLEN_GUN, "G999000001", ORI, "T26-0201", "20260120"),),
)
CLEAR_GUN: Final = Gun(serial="TESTGUN999002", make="FIC", calibre="45", model="SPECIMEN", type="PI")

LOST_ARTICLE: Final = Article(
    serial="TESTART999001",
    type="BBICYCL",
    brand="FICTA",
    model="SPECIMEN",
    on_file=(Entry(Kind.LOST_ARTICLE, "A999000001", ORI, "T26-0301", "20260130"),),
)
CLEAR_ARTICLE: Final = Article(serial="TESTART999002", type="BBICYCL", brand="FICTA", model="SPECIMEN")

PERSONS: Final = (
    WANTED_PERSON,
    CLEAR_PERSON,
    MISSING_PERSON,
    RESTRAINED_PERSON,
    RELEASED_PERSON,
    CRIMINAL_HISTORY_PERSON,
)
VEHICLES: Final = (STOLEN_VEHICLE, CLEAR_VEHICLE)
GUNS: Final = (STOLEN_GUN, CLEAR_GUN)
ARTICLES: Final = (LOST_ARTICLE, CLEAR_ARTICLE)
