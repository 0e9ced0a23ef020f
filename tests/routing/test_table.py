"""The route table: the first that matches takes the message; every fault of the file at once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msc.errors import NoRoute, RouteError
from msc.limits import EXPLAINED_MAX
from msc.protocol.catalog import Catalog, Function, MessageKey, Shape, load_catalog
from msc.routing.criteria import Criteria, Subject
from msc.routing.plan import PlanFiles, load_plan
from msc.routing.table import Deliver, Route, RouteTable

SHIPPED = Path(__file__).parents[2] / "config"
LINES = ("clets-a", "ncic-a", "nlets-a")

KEYS = """
[[key]]
code = "IW.QW"
name = "x"
function = "inquiry"
database = "WPS"
[[key]]
code = "IA.EV"
name = "x"
function = "entry"
database = "SVS"
[[key]]
code = "QW"
name = "x"
function = "inquiry"
database = "NCIC"
[[key]]
code = "RQ"
name = "x"
function = "inquiry"
database = "NLETS"
shape = "addressed"
[[key]]
code = "AM"
name = "x"
function = "administrative"
database = "ADMIN"
shape = "free"
"""


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    folder = tmp_path / "catalog"
    folder.mkdir()
    (folder / "keys.toml").write_text(KEYS)
    return load_catalog(folder)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "routes.toml"


def load(file: Path, catalog: Catalog, text: str) -> RouteTable:
    file.write_text(text)
    return load_plan(PlanFiles(file), catalog, LINES, None).routes


def subject(catalog: Catalog, code: str, **more: Any) -> Subject:
    key = catalog.get(code)
    assert key is not None
    return Subject(key, **{"mnemonic": "EXA1", "ori": "CA0990000", "agency": "EXSO", **more})


def decide(table: RouteTable, catalog: Catalog, code: str) -> str:
    return table.decide(subject(catalog, code)).name


def route(name: str, to: str = '["clets-a"]', **conditions: str) -> str:
    rows = [
        f'[[route]]\nname = "{name}"\nto = {to}',
        *(f"{member} = {value}" for member, value in conditions.items()),
    ]
    return "\n".join(rows) + "\n"


# --- deciding -------------------------------------------------------------------------------------------------


def test_the_first_route_that_matches_takes_the_message(file: Path, catalog: Catalog) -> None:
    table = load(
        file,
        catalog,
        route("one key", keys='["IW.QW"]') + route("all inquiries", functions='["inquiry"]') + route("rest"),
    )
    assert [decide(table, catalog, code) for code in ("IW.QW", "QW", "IA.EV")] == ["one key", "all inquiries", "rest"]
    swapped = load(file, catalog, route("rest") + route("one key", keys='["IW.QW"]'))
    assert decide(swapped, catalog, "IW.QW") == "rest"


@pytest.mark.parametrize(
    ("conditions", "codes"),
    [
        ({}, {"IW.QW", "IA.EV", "QW", "RQ", "AM"}),
        ({"keys": '["IW.QW"]'}, {"IW.QW"}),
        ({"keys": '["I*"]'}, {"IW.QW", "IA.EV"}),
        ({"keys": '["*"]'}, {"IW.QW", "IA.EV", "QW", "RQ", "AM"}),
        ({"keys": '["QW", "RQ"]'}, {"QW", "RQ"}),
        ({"functions": '["entry", "administrative"]'}, {"IA.EV", "AM"}),
        ({"databases": '["NCIC", "NLETS"]'}, {"QW", "RQ"}),
        ({"systems": '["IW"]'}, {"IW.QW"}),
        ({"functions": '["inquiry"]', "systems": '["IA"]'}, set()),
        ({"functions": '["inquiry"]', "keys": '["I*"]'}, {"IW.QW"}),
    ],
    ids=lambda value: " ".join(sorted(map(str, value))) or "none",
)
def test_a_route_matches_when_all_its_conditions_do(
    file: Path, catalog: Catalog, conditions: dict[str, str], codes: set[str]
) -> None:
    table = load(file, catalog, route("r", **conditions))
    assert {key.code for key in catalog if key.code not in table.unrouted(catalog)} == codes


def test_a_key_no_route_takes_is_refused_with_e305_and_listed(file: Path, catalog: Catalog) -> None:
    table = load(file, catalog, route("inquiries", functions='["inquiry"]'))
    assert table.unrouted(catalog) == ["IA.EV", "AM"]
    with pytest.raises(NoRoute, match=r"IA\.EV") as refused:
        decide(table, catalog, "IA.EV")
    assert refused.value.code == "E305"


def test_a_route_names_its_lines_in_order_or_the_messages_own_addressees(file: Path, catalog: Catalog) -> None:
    text = '[[route]]\nname = "a"\nkeys = ["AM"]\ndeliver = "addressees"\n' + route("b", to='["ncic-a", "clets-a"]')
    table = load(file, catalog, text)
    addressed, lines = table.routes
    assert (addressed.deliver, addressed.lines) == (Deliver.ADDRESSEES, ())
    assert (lines.deliver, lines.lines) == (Deliver.LINES, ("ncic-a", "clets-a"))


def test_an_empty_table_takes_nothing(file: Path, catalog: Catalog) -> None:
    assert len(load(file, catalog, "").unrouted(catalog)) == len(catalog)


def test_the_shipped_routes_take_every_key_of_the_shipped_catalog() -> None:
    catalog = load_catalog(SHIPPED / "catalog")
    table = load_plan(PlanFiles(SHIPPED / "routes.toml"), catalog, LINES, None).routes
    assert table.unrouted(catalog) == []


# --- faults -----------------------------------------------------------------------------------------------------


def faults(file: Path, catalog: Catalog, text: str) -> list[str]:
    with pytest.raises(RouteError) as refused:
        load(file, catalog, text)
    assert all(fault.file == file for fault in refused.value.faults)
    return [f"{fault.where}: {fault.problem}" for fault in refused.value.faults]


def test_every_fault_of_the_file_is_told_at_once(file: Path, catalog: Catalog) -> None:
    text = (
        route("a", to='["nowhere", "clets-a"]', keys='["ZZ", "Q*", "X*"]')
        + route("b", to="[]")
        + '[[route]]\nname = "c"\ndeliver = "addressees"\nto = ["clets-a"]\n'
        + route("d", to='["ncic-a", "ncic-a"]')
    )
    assert faults(file, catalog, text) == [
        "route.0 (a).keys: no key of the catalog matches 'ZZ'",
        "route.0 (a).keys: no key of the catalog matches 'X*'",
        "route.0 (a).to: there is no line 'nowhere'",
        "route.1 (b).to: names no line",
        "route.3 (d).to: names a line twice",
    ]


def test_faults_of_form_are_told_at_once_too(file: Path, catalog: Catalog) -> None:
    found = faults(
        file, catalog, '[[route]]\ncolour = "red"\n[[route]]\nname = "b"\nfunctions = ["guess"]\ndeliver = "x"\n'
    )
    assert [fault.split(":")[0] for fault in found] == [
        "route.0.name", "route.0.colour", "route.1.functions.0", "route.1.deliver",
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["[[route]\n", "route = 7\n"])
def test_a_file_that_is_none_is_told(file: Path, catalog: Catalog, text: str) -> None:
    assert len(faults(file, catalog, text)) == 1


def test_a_missing_file_is_told(tmp_path: Path, catalog: Catalog) -> None:
    with pytest.raises(RouteError):
        load_plan(PlanFiles(tmp_path / "none.toml"), catalog, LINES, None)


def test_a_file_that_is_not_utf_8_is_told(file: Path, catalog: Catalog) -> None:
    file.write_bytes(b"# \xff\n")
    with pytest.raises(RouteError):
        load_plan(PlanFiles(file), catalog, LINES, None)


# --- the whole of a message -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("condition", "taken"),
    [
        ({"oris": '["CA0990100"]'}, False),
        ({"oris": '["CA099*"]'}, True),
        ({"agencies": '["EXSO"]'}, True),
        ({"agencies": '["EXPD", "EXX*"]'}, False),
        ({"mnemonics": '["EXA1"]'}, True),
        ({"mnemonics": '["EXM*"]'}, False),
        ({"destinations": '["NV*"]'}, True),
        ({"destinations": '["NV"]'}, False),
        ({"destinations": '["OR"]'}, True),
        ({"fields": '{ LIS = ["NV"] }'}, False),
        ({"fields": '{ LIS = ["NV", "O*"] }'}, True),
        ({"fields": '{ LIC = ["*"] }'}, True),
        ({"fields": '{ VIN = ["*"] }'}, False),
        ({"fields": '{ LIS = ["OR"], LIC = ["1A*"] }'}, True),
        ({"fields": '{ LIS = ["OR"], LIC = ["1B*"] }'}, False),
        ({"mnemonics": '["EXA1"]', "agencies": '["EXPD"]'}, False),
    ],
    ids=lambda value: " ".join(value.values()) if isinstance(value, dict) else "",
)
def test_a_route_looks_at_sender_destinations_and_fields(
    file: Path, catalog: Catalog, condition: dict[str, str], taken: bool
) -> None:
    table = load(file, catalog, route("r", **condition))
    asked = subject(catalog, "RQ", destinations=("NV0020000", "OR"), fields={"LIS": "OR", "LIC": "1ABC123"})
    assert (table.find(asked) is not None) == taken


def test_precedence_goes_before_the_order_of_the_file(file: Path, catalog: Catalog) -> None:
    table = load(
        file,
        catalog,
        route("last", precedence="101") + route("usual") + route("also usual") + route("first", precedence="7"),
    )
    assert [each.name for each in table.routes] == ["first", "usual", "also usual", "last"]
    assert decide(table, catalog, "QW") == "first"


def test_a_route_may_name_who_gets_a_copy_and_where_the_unknown_goes(file: Path, catalog: Catalog) -> None:
    text = route("a", deliver='"addressees"', stations='["DISPATCH1", "EXAPB"]')
    (found,) = load(file, catalog, text).routes
    assert (found.deliver, found.lines, found.stations) == (
        Deliver.ADDRESSEES, ("clets-a",), ("DISPATCH1", "EXAPB"),
    )  # fmt: skip


def test_an_explanation_tells_which_route_took_it_and_what_the_others_miss(file: Path, catalog: Catalog) -> None:
    far = "".join(route(f"far {n}", keys='["AM"]', mnemonics='["ZZZZ"]') for n in range(EXPLAINED_MAX))
    table = load(
        file,
        catalog,
        far + route("near", keys='["I*"]', mnemonics='["EXA2"]') + route("it", keys='["IW.QW"]') + route("rest"),
    )
    found = table.explain(subject(catalog, "IW.QW"))
    assert len(found) == EXPLAINED_MAX + 1
    assert [each.place for each in found] == sorted(each.place for each in found)
    told = {each.route.name: (each.took, each.objections) for each in found}
    assert told["it"] == (True, ())
    assert told["near"] == (False, ("mnemonics: EXA1 is none of EXA2",))
    assert told["rest"] == (False, ())
    assert told["far 0"] == (False, ("keys: IW.QW is none of AM", "mnemonics: EXA1 is none of ZZZZ"))
    assert [each for each in found if each.took] == [found[-2]]


def test_an_explanation_of_what_no_route_takes_has_none_that_took_it(file: Path, catalog: Catalog) -> None:
    table = load(file, catalog, route("a", keys='["AM"]'))
    assert [each.took for each in table.explain(subject(catalog, "IW.QW"))] == [False]


def test_keys_of_which_only_some_messages_are_taken_are_listed(file: Path, catalog: Catalog) -> None:
    text = route("a", keys='["IW.QW"]') + route("b", keys='["I*", "QW"]', mnemonics='["EXA1"]')
    table = load(file, catalog, text)
    assert table.partly_routed(catalog) == ["IA.EV", "QW"]
    assert table.unrouted(catalog) == ["RQ", "AM"]


def test_more_faults_are_told(file: Path, catalog: Catalog) -> None:
    text = route("a") + route("a", stations='["X", "X"]')
    assert faults(file, catalog, text) == [
        "route.1 (a).name: route.0 is of this name too",
        "route.1 (a).stations: names one twice",
    ]
    text = route("b", mnemonics='["EX*1"]', precedence="-1", fields="{ lis = ['NV'] }")
    assert [fault.split(":")[0].removesuffix(".[key]") for fault in faults(file, catalog, text)] == [
        "route.0.mnemonics.0", "route.0.fields.lis", "route.0.precedence",
    ]  # fmt: skip
    assert faults(file, catalog, route("b") + "[other]\nx = 1\n") == ["other: there is only [[route]] here"]
    assert "route: must be rows" in faults(file, catalog, "[route]\nname = 'x'\n")[0]


# --- the index --------------------------------------------------------------------------------------------------

WORDS = ["A", "AB", "ABC", "B", "BA", "BAC"]
PATTERNS = st.lists(st.sampled_from([*WORDS, *(f"{word}*" for word in WORDS), "*"]), max_size=3).map(tuple)
CRITERIA = st.builds(
    lambda fields, **about: Criteria.of(fields=fields, **about),
    fields=st.dictionaries(st.sampled_from(["LIS", "LIC"]), PATTERNS, max_size=2),
    keys=PATTERNS,
    functions=st.sampled_from([(), ("inquiry",), ("entry", "inquiry")]),
    databases=PATTERNS,
    mnemonics=PATTERNS,
    agencies=PATTERNS,
    destinations=PATTERNS,
)
SUBJECTS = st.builds(
    lambda key, database, function, mnemonic, agency, destinations, fields: Subject(
        MessageKey(
            key, "", key, "x", function, database, Shape.FREE, (), {}, frozenset(), False, False, 20, 1.0
        ),
        mnemonic, "CA0990000", agency, tuple(destinations), fields,
    ),
    st.sampled_from(WORDS),
    st.sampled_from(WORDS),
    st.sampled_from([Function.INQUIRY, Function.ENTRY, Function.CLEAR]),
    st.sampled_from(WORDS),
    st.sampled_from(WORDS),
    st.lists(st.sampled_from(WORDS), max_size=3),
    st.dictionaries(st.sampled_from(["LIS", "LIC"]), st.sampled_from(WORDS)),
)  # fmt: skip


@settings(max_examples=int(os.environ.get("MSC_HUNT_EXAMPLES", "60")), deadline=None)
@given(rows=st.lists(CRITERIA, max_size=60), subjects=st.lists(SUBJECTS, min_size=1, max_size=10))
def test_hunt_what_the_index_finds_is_the_first_that_matches(rows: list[Criteria], subjects: list[Subject]) -> None:
    # Five times the same rows make crowds, in which rows are looked for by several of their conditions.
    table = RouteTable(Route(f"{n}", 100, row, Deliver.LINES, ("a",)) for n, row in enumerate(rows * 5))
    for asked in subjects:
        assert table.find(asked) == next((each for each in table.routes if each.criteria.matches(asked)), None)


def test_a_crowd_that_shares_one_condition_is_parted_by_the_next(catalog: Catalog) -> None:
    names = [f"{n:04}" for n in range(40)]
    rows = [Criteria.of(mnemonics=(a,), agencies=(b,), keys=("IW.QW",)) for a in names for b in names]
    table = RouteTable(Route(f"{n}", 100, row, Deliver.LINES, ("a",)) for n, row in enumerate(rows))
    found = table.find(subject(catalog, "IW.QW", mnemonic="0039", agency="0038"))
    assert found is not None and found.name == str(39 * 40 + 38)
    assert table.find(subject(catalog, "QW", mnemonic="0039", agency="0038")) is None


# --- large files ------------------------------------------------------------------------------------------------


def test_a_file_that_is_parsed_in_parts_is_read_like_one(file: Path, catalog: Catalog) -> None:
    text = "# of a county\n" + "".join(route(f"r {n}") + '[route.fields]\nLIS = ["NV"]\n' for n in range(600))
    table = load(file, catalog, text)
    assert [each.name for each in table.routes] == [f"r {n}" for n in range(600)]
    assert all(each.criteria.as_json() == {"fields": {"LIS": ["NV"]}} for each in table.routes)
    lines = text.splitlines()
    lines[1700] = "to = = 7"
    (told,) = faults(file, catalog, "\n".join(lines))
    assert "at line 1701," in told
    # In a string of several lines the beginning of a row is only text.
    assert len(load(file, catalog, text + route("x") + "agencies = ['''A''']\n").routes) == 601
