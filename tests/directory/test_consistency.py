"""The directory's rules, each broken once."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from msc.directory.consistency import RowFault, faults
from msc.directory.rows import (
    AccessLevel,
    Agency,
    AgencyKind,
    Agreement,
    Device,
    Directory,
    LateAnswers,
    Mode,
    Operator,
    Pool,
    Role,
    Status,
)
from msc.protocol.station import StationKind
from msc.settings import PASSWORD_POLICIES
from tests.support.county import LONG_AGO, county, mnemonic, terminal, user

Rows = dict[str, list[Any]]

FINGERPRINT = "ab" * 32

BROKEN: dict[str, tuple[Rows, tuple[str, str, str]]] = {
    "operator no certificate can name": (
        {"operators": [Operator("Capt. Poe", "POE", Role.AUDITOR)]},
        (
            "operator",
            "Capt. Poe",
            "no certificate can bear it: 'Capt. Poe' is not a name: letters, digits, '.', '_' and '-', at most 64",
        ),
    ),
    "operator named like a user": (
        {"operators": [Operator("J40217", "ROE", Role.AUDITOR)]},
        (
            "operator",
            "J40217",
            "is a user's id: the journal could not tell the two apart, nor whose agency may see of whom",
        ),
    ),
    "operator who is nobody": (
        {"operators": [Operator("roe", " ", Role.AUDITOR)]},
        ("operator", "roe", "has no name: an operator is one person (C-ACCESS)"),
    ),
    "coordinator of nothing": (
        {"operators": [Operator("roe", "ROE", Role.COORDINATOR)]},
        ("operator", "roe", "a coordinator needs the agency that is theirs (N-SCOPE)"),
    ),
    "coordinator of no agency there is": (
        {"operators": [Operator("roe", "ROE", Role.COORDINATOR, "NONE")]},
        ("operator", "roe", "there is no agency 'NONE'"),
    ),
    "auditor with an agency": (
        {"operators": [Operator("roe", "ROE", Role.AUDITOR, "EXLP")]},
        ("operator", "roe", "has an agency, and only a coordinator is confined to one: leave it out for an auditor"),
    ),
    "operator's certificate that is not a fingerprint": (
        {"operators": [Operator("roe", "ROE", Role.AUDITOR, certificate="abc")]},
        ("operator", "roe", "certificate is not a SHA-256 fingerprint: 64 hexadecimal digits"),
    ),
    "one certificate for two operators": (
        {
            "operators": [
                Operator("roe", "ROE", Role.AUDITOR, certificate=FINGERPRINT),
                Operator("poe", "POE", Role.AUDITOR, certificate=FINGERPRINT.upper()),
            ]
        },
        ("operator", "poe", "certificate is roe's: an operator is one person"),
    ),
    "ORI of eight": (
        {"agencies": [Agency("FIRE", "Fire", "CA098000")]},
        ("agency", "FIRE", "ORI 'CA098000' is not nine capital letters and digits"),
    ),
    "ORI of another": (
        {"agencies": [Agency("FIRE", "Fire", "CA0980000")]},
        ("agency", "FIRE", "ORI CA0980000 is EXLP's"),
    ),
    "unknown password policy": (
        {"agencies": [Agency("FIRE", "Fire", "CA0981100", password_policy="none")]},
        ("agency", "FIRE", "there is no password policy 'none'"),
    ),
    "less than full access without databases": (
        {"agencies": [Agency("FIRE", "Fire", "CA0981100", access=AccessLevel.LESS_THAN_FULL, databases=frozenset())]},
        ("agency", "FIRE", "less than full access needs its databases and functions (L-LEVEL)"),
    ),
    "less than full access without functions": (
        {"agencies": [Agency("FIRE", "Fire", "CA0981100", access=AccessLevel.LESS_THAN_FULL, functions=frozenset())]},
        ("agency", "FIRE", "less than full access needs its databases and functions (L-LEVEL)"),
    ),
    "purpose exception without database": (
        {"agencies": [Agency("FIRE", "Fire", "CA0981100", purpose_exceptions=frozenset({"E"}))]},
        ("agency", "FIRE", "purpose exception 'E' is not DATABASE:PUR"),
    ),
    "agreement of no agency": (
        {"agreements": [Agreement("MOU 7", "NONE", effective=LONG_AGO)]},
        ("agreement", "MOU 7", "there is no agency 'NONE'"),
    ),
    "agreement that ends before it begins": (
        {"agreements": [Agreement("MOU 7", "EXLP", effective=LONG_AGO, expires=LONG_AGO)]},
        ("agreement", "MOU 7", "expires before it is effective"),
    ),
    "device of no agency": (
        {"devices": [terminal("x", agency="NONE", pool="cars")]},
        ("device", "x", "there is no agency 'NONE'"),
    ),
    "device without mnemonic and pool": (
        {"devices": [terminal("x")]},
        ("device", "x", "has neither a mnemonic nor a pool"),
    ),
    "device with both": (
        {"devices": [terminal("x", mnemonic="X001", pool="cars", staffed=True)], "mnemonics": [mnemonic("X001")]},
        ("device", "x", "has both a mnemonic and a pool: it is one or the other"),
    ),
    "device with an unknown mnemonic": (
        {"devices": [terminal("x", mnemonic="ZZZZ")]},
        ("device", "x", "there is no mnemonic 'ZZZZ'"),
    ),
    "device with a pool's mnemonic": (
        {"devices": [terminal("x", mnemonic="M001")]},
        ("device", "x", "mnemonic M001 is in pool cars"),
    ),
    "two devices with one mnemonic": (
        {"devices": [terminal("x", mnemonic="A123", staffed=True)]},
        ("device", "x", "mnemonic A123 is desk-1's (C-STATIC)"),
    ),
    "device of an unknown pool": (
        {"devices": [terminal("x", pool="boats")]},
        ("device", "x", "there is no pool 'boats'"),
    ),
    "delegated terminal": (
        {"devices": [terminal("x", pool="cars", delegated=True)]},
        ("device", "x", "only a host can be delegated"),
    ),
    "device of no law enforcement without agreement": (
        {
            "agencies": [Agency("DMV1", "Motor vehicles", "CA0981300", kind=AgencyKind.NON_LAW_ENFORCEMENT)],
            "devices": [terminal("x", agency="DMV1", pool="cars")],
        },
        ("device", "x", "DMV1 is not a law-enforcement agency and has no agreement on file (C-NONLE)"),
    ),
    "pool of no agency": (
        {"pools": [Pool("boats", "NONE", "APB 1")], "mnemonics": [mnemonic("B001", pool="boats")]},
        ("pool", "boats", "there is no agency 'NONE'"),
    ),
    "pool without approval": (
        {"pools": [Pool("boats", "EXLP", "")], "mnemonics": [mnemonic("B001", pool="boats")]},
        ("pool", "boats", "a pool needs its approval reference (C-POOL)"),
    ),
    "pool with an unknown destination": (
        {
            "pools": [Pool("boats", "EXLP", "APB 1", unsolicited_to="nowhere")],
            "mnemonics": [mnemonic("B001", pool="boats")],
        },
        ("pool", "boats", "there is no device 'nowhere' for unsolicited messages"),
    ),
    "pool with a destination nobody watches": (
        {
            "pools": [Pool("boats", "EXLP", "APB 1", unsolicited_to="car-1")],
            "mnemonics": [mnemonic("B001", pool="boats")],
        },
        ("pool", "boats", "unsolicited_to: car-1 is neither a printer nor staffed at every hour (C-UNSOL)"),
    ),
    "pool with a destination that receives nothing": (
        {
            "devices": [terminal("x", pool="cars", staffed=True)],
            "pools": [Pool("boats", "EXLP", "APB 1", unsolicited_to="x")],
            "mnemonics": [mnemonic("B001", pool="boats")],
        },
        ("pool", "boats", "unsolicited_to: x is neither a printer nor staffed at every hour (C-UNSOL)"),
    ),
    "pool whose late answers go nowhere": (
        {
            "pools": [Pool("boats", "EXLP", "APB 1", late_answers=LateAnswers.DESTINATION)],
            "mnemonics": [mnemonic("B001", pool="boats")],
        },
        ("pool", "boats", "late_answers = destination needs unsolicited_to"),
    ),
    "mnemonic of three": (
        {"mnemonics": [mnemonic("AB1")]},
        ("mnemonic", "AB1", "a mnemonic is four capital letters and digits"),
    ),
    "mnemonic of an unknown pool": (
        {"mnemonics": [mnemonic("B001", pool="boats")]},
        ("mnemonic", "B001", "there is no pool 'boats'"),
    ),
    "mnemonic of no agency": (
        {"mnemonics": [mnemonic("B001", "NONE")]},
        ("mnemonic", "B001", "there is no agency 'NONE'"),
    ),
    "test mnemonic without end": (
        {"mnemonics": [mnemonic("T001", mode=Mode.TEST)]},
        ("mnemonic", "T001", "a test mnemonic needs its end date (C-TEST)"),
    ),
    "test mnemonic of more than a year": (
        {"mnemonics": [mnemonic("T001", mode=Mode.TEST, expires=LONG_AGO + timedelta(days=367))]},
        ("mnemonic", "T001", "a test mnemonic ends within a year of its request, not after 367 days (C-TEST)"),
    ),
    "administrative messages where nobody is": (
        {"devices": [terminal("x", mnemonic="X001")], "mnemonics": [mnemonic("X001")]},
        (
            "mnemonic",
            "X001",
            "receives administrative messages, but x is neither a printer nor staffed at every hour, and EXLP has no "
            "waiver (C-STAFFED)",
        ),
    ),
    "programmed on nobody's authority": (
        {"mnemonics": [mnemonic("X001", authorised_by="")]},
        ("mnemonic", "X001", "programmed needs authorised and authorised_by (C-DBAUTH)"),
    ),
    "programmed and never authorised": (
        {"mnemonics": [mnemonic("X001", authorised=None)]},
        ("mnemonic", "X001", "programmed needs authorised and authorised_by (C-DBAUTH)"),
    ),
}
BROKEN_USERS: dict[str, tuple[dict[str, Any], str]] = {
    "no agency": ({"agency": "NONE"}, "there is no agency 'NONE'"),
    "no name": ({"name": " "}, "has no name: a user id is one person's (C-UID)"),
    "failed examination": ({"score": 69}, "a score of 69 is not a pass: 70 to 100 per cent are (C-TRAIN)"),
    "score above all": ({"score": 101}, "a score of 101 is not a pass: 70 to 100 per cent are (C-TRAIN)"),
    "reviewed by nobody": ({"reviewed": LONG_AGO}, "reviewed needs reviewed_by (C-REVIEW)"),
}

IN_ORDER: dict[str, Rows] = {
    "nothing more": {},
    "an agency of less than full access": {
        "agencies": [Agency("FIRE", "Fire", "CA0981100", access=AccessLevel.LESS_THAN_FULL)]
    },
    "a purpose exception": {
        "agencies": [Agency("FIRE", "Fire", "CA0981100", purpose_exceptions=frozenset({"AFS:E"}))]
    },
    "the password policy of CJLEADS": {"agencies": [Agency("FIRE", "Fire", "CA0981100", password_policy="cjleads")]},
    "no law enforcement, with an agreement": {
        "agencies": [Agency("DMV1", "Motor vehicles", "CA0981300", kind=AgencyKind.NON_LAW_ENFORCEMENT)],
        "agreements": [Agreement("MOU 7", "DMV1", effective=LONG_AGO)],
        "devices": [terminal("x", agency="DMV1", pool="cars")],
    },
    "no law enforcement, its device disabled": {
        "agencies": [Agency("DMV1", "Motor vehicles", "CA0981300", kind=AgencyKind.NON_LAW_ENFORCEMENT)],
        "devices": [terminal("x", agency="DMV1", pool="cars", status=Status.DISABLED)],
    },
    "a test mnemonic of a year": {
        "mnemonics": [mnemonic("T001", mode=Mode.TEST, expires=LONG_AGO + timedelta(days=366))]
    },
    "an unstaffed terminal with the state's waiver": {
        "agencies": [Agency("FIRE", "Fire", "CA0981100", staffing_waiver="APB waiver 12")],
        "devices": [terminal("x", agency="FIRE", mnemonic="X001")],
        "mnemonics": [mnemonic("X001", "FIRE")],
    },
    "an unstaffed terminal without administrative messages": {
        "devices": [terminal("x", mnemonic="X001")],
        "mnemonics": [mnemonic("X001", administrative=False)],
    },
    "an unstaffed printer": {
        "devices": [Device("x", StationKind.PRINTER, "EXLP", mnemonic="X001")],
        "mnemonics": [mnemonic("X001")],
    },
    "a mnemonic that is requested": {
        "mnemonics": [mnemonic("X001", authorised_by="", authorised=None, programmed=None)]
    },
    "late answers to a destination": {
        "pools": [Pool("boats", "EXLP", "APB 1", unsolicited_to="printer-1", late_answers=LateAnswers.DESTINATION)],
        "mnemonics": [mnemonic("B001", pool="boats")],
    },
}  # fmt: skip


@pytest.mark.parametrize("name", IN_ORDER)
def test_a_county_in_order_breaks_no_rule(name: str) -> None:
    assert faults(county(**IN_ORDER[name]), PASSWORD_POLICIES) == []


@pytest.mark.requirement(
    "C-STATIC", "C-POOL", "C-UNSOL", "C-STAFFED", "C-NONLE", "C-DBAUTH", "C-TEST", "L-LEVEL", "C-UID"
)
@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_rule_is_told_with_its_place(name: str) -> None:
    rows, fault = BROKEN[name]
    assert faults(county(**rows), PASSWORD_POLICIES) == [fault]


@pytest.mark.requirement("C-UID", "C-TRAIN", "C-REVIEW")
@pytest.mark.parametrize("name", BROKEN_USERS)
def test_a_broken_rule_about_a_user_is_told(name: str) -> None:
    members, problem = BROKEN_USERS[name]
    assert faults(county(user("J40218", **members))) == [("user", "J40218", problem)]
    # Of who is gone only the id stays: it is not given to another.
    assert faults(county(user("J40218", status=Status.REMOVED, **members))) == []


@pytest.mark.requirement("C-UID", "C-OIF")
@pytest.mark.parametrize("status", [Status.ACTIVE, Status.REMOVED])
@pytest.mark.parametrize("name", ["J4021", "J402177", "j40217", "J4021 ", "J4021É"])
def test_a_user_id_that_is_no_oif_is_told(name: str, status: Status) -> None:
    found = faults(county(user(name, status=status)))
    assert found == [("user", name, "a user id is six capital letters and digits (C-OIF)")]


def test_without_policies_their_names_are_not_looked_at() -> None:
    assert faults(county(**BROKEN["unknown password policy"][0])) == []


def test_all_faults_are_told_at_once() -> None:
    """Each broken rule in rows of its own, all in one county."""
    everything = county()
    wanted = set()
    for number, (rows, fault) in enumerate(BROKEN.values()):
        # Only those whose rows stand for themselves, and under keys nobody else uses.
        if rows.keys() == {"devices"} and "A123" not in fault[2]:
            [row] = rows["devices"]
            everything.replace([replace(row, device=f"x{number}")])
            wanted.add(RowFault("device", f"x{number}", fault[2]))
    everything.replace([user("bad"), Agency("FIRE", "Fire", "CA098000")])
    found = faults(everything)
    assert len(wanted) >= 5
    assert wanted | {
        ("user", "bad", "a user id is six capital letters and digits (C-OIF)"),
        ("agency", "FIRE", "ORI 'CA098000' is not nine capital letters and digits"),
    } == set(found)
    assert len(found) == len(set(found))


def test_an_empty_directory_breaks_no_rule() -> None:
    assert faults(Directory(), PASSWORD_POLICIES) == []
