"""The route table: the first that matches takes the message; every fault of the file at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from msc.errors import NoRoute, RouteError
from msc.protocol.catalog import Catalog, load_catalog
from msc.routing.table import Deliver, RouteTable, load_routes

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
    return load_routes(file, catalog, LINES)


def decide(table: RouteTable, catalog: Catalog, code: str) -> str:
    key = catalog.get(code)
    assert key is not None
    return table.decide(key).name


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
    assert {key.code for key in catalog if key.code not in table.unrouted()} == codes


def test_a_key_no_route_takes_is_refused_with_e305_and_listed(file: Path, catalog: Catalog) -> None:
    table = load(file, catalog, route("inquiries", functions='["inquiry"]'))
    assert table.unrouted() == ["IA.EV", "AM"]
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
    assert len(load(file, catalog, "").unrouted()) == len(catalog)


def test_the_shipped_routes_take_every_key_of_the_shipped_catalog() -> None:
    catalog = load_catalog(SHIPPED / "catalog")
    table = load_routes(SHIPPED / "routes.toml", catalog, LINES)
    assert table.unrouted() == []


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
        "route.2 (c).to: the message's own addressees get it: name no line",
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
        load_routes(tmp_path / "none.toml", catalog, LINES)


def test_a_file_that_is_not_utf_8_is_told(file: Path, catalog: Catalog) -> None:
    file.write_bytes(b"# \xff\n")
    with pytest.raises(RouteError):
        load_routes(file, catalog, LINES)
