"""The catalog: every fault of every file at once; keys found and messages parsed by what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from msc.errors import BadField, CatalogError, PurposeNotAllowed, TooManyDestinations, UnknownMessageKey
from msc.protocol.catalog import Catalog, Function, Shape, load_catalog

SHIPPED = Path(__file__).parents[2] / "config" / "catalog"

FIELDS = """
[[field]]
code = "NAM"
name = "name"
form = "[A-Z]+,[A-Z]+"
[[field]]
code = "SEX"
name = "sex"
form = "[MF]"
[[field]]
code = "PUR"
name = "purpose"
form = "[A-Z]"
"""
KEYS = """
[[key]]
code = "IW.QW"
name = "wanted person"
function = "inquiry"
database = "WPS"
required = [["NAM", "SEX"], ["PUR"]]
[[key]]
code = "QW"
name = "wanted person, NCIC"
function = "inquiry"
database = "NCIC"
[[key]]
code = "RQ"
name = "registration"
function = "inquiry"
database = "NLETS"
shape = "addressed"
destinations_max = 2
[[key]]
code = "AM"
name = "administrative"
function = "administrative"
database = "ADMIN"
shape = "free"
[[key]]
code = "IA.EV"
name = "entry"
function = "entry"
database = "SVS"
timeout_s = 20.5
[[key]]
code = "QH"
name = "criminal history"
function = "inquiry"
database = "ACHS"
purposes = ["C", "J"]
cori = true
requester = "required"
"""


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    (tmp_path / "fields.toml").write_text(FIELDS)
    (tmp_path / "keys.toml").write_text(KEYS)
    return load_catalog(tmp_path)


def faults_of(folder: Path) -> list[str]:
    with pytest.raises(CatalogError) as refused:
        load_catalog(folder)
    return [str(fault).removeprefix(f"{folder}/") for fault in refused.value.faults]


# --- loading ------------------------------------------------------------------------------------------


def test_the_shipped_catalog_loads() -> None:
    catalog = load_catalog(SHIPPED)
    assert {"IW.QW", "RQ"} <= {key.code for key in catalog}
    assert all(0 < key.timeout_s <= 3600 for key in catalog)


def test_a_key_holds_what_its_row_says(catalog: Catalog) -> None:
    key = catalog.get("IW.QW")
    assert key is not None
    assert (key.system, key.key, key.function, key.database, key.shape) == (
        "IW",
        "QW",
        Function.INQUIRY,
        "WPS",
        Shape.DIRECT,
    )
    assert key.required == (frozenset({"NAM", "SEX"}), frozenset({"PUR"}))
    entry = catalog.get("IA.EV")
    assert entry is not None and entry.timeout_s == 20.5
    history = catalog.get("QH")
    assert history is not None and history.cori and history.requester_required
    assert len(catalog) == 6
    assert "QH" in catalog and "XX" not in catalog


@pytest.mark.parametrize(
    ("function", "update"),
    [
        ("inquiry", False),
        ("entry", True),
        ("modify", True),
        ("cancel", True),
        ("locate", True),
        ("clear", True),
        ("administrative", False),
        ("hit_confirmation", False),
    ],
)
def test_what_changes_a_record_is_an_update(tmp_path: Path, function: str, update: bool) -> None:
    (tmp_path / "a.toml").write_text(f'[[key]]\ncode="XX"\nname="x"\nfunction="{function}"\ndatabase="DB"\n')
    key = load_catalog(tmp_path).get("XX")
    assert key is not None
    assert key.is_update is update


def test_a_folder_without_files_is_refused(tmp_path: Path) -> None:
    assert faults_of(tmp_path) == [f"{tmp_path}: holds no catalog file (*.toml)"]


def test_every_fault_of_every_file_is_told_at_once_with_file_and_key(tmp_path: Path) -> None:
    (tmp_path / "1.toml").write_text("[[key]\n")
    (tmp_path / "2.toml").write_bytes(b"# \xff\n")
    (tmp_path / "3.toml").write_text(
        '[[key]]\ncode="qw"\nname="x"\nfunction="guess"\ndatabase="DB"\ncolour="red"\n'
        '[[field]]\ncode="NAM"\nname="x"\nform="("\n'
    )
    (tmp_path / "4.toml").write_text(
        '[[key]]\ncode="QW"\nname="x"\nfunction="inquiry"\ndatabase="DB"\nrequired=[["ZZZ","YYY"]]\n'
    )
    (tmp_path / "5.toml").write_text(
        '[[key]]\ncode="QW"\nname="x"\nfunction="inquiry"\ndatabase="DB"\n'
        '[[field]]\ncode="SEX"\nname="x"\nform="M"\n'
        '[[field]]\ncode="SEX"\nname="x"\nform="F"\n'
        '[[key]]\ncode="AM"\nname="x"\nfunction="administrative"\ndatabase="DB"\nshape="free"\nrequired=[["SEX"]]\n'
    )
    (tmp_path / "readme.txt").write_text("not looked at")
    faults = faults_of(tmp_path)

    def told(*parts: str) -> bool:
        return any(all(part in fault for part in parts) for fault in faults)

    assert told("1.toml: ")
    assert told("2.toml: ")
    assert told("3.toml: key.0.code")
    assert told("3.toml: key.0.function")
    assert told("3.toml: key.0.colour")
    assert told("3.toml: field.0.form", "not a regular expression")
    assert told("4.toml: QW.required", "YYY, ZZZ") or told("5.toml: QW", "4.toml")
    assert told("5.toml: QW", "key also defined in 4.toml")
    assert told("5.toml: SEX", "field also defined in 5.toml")
    assert told("5.toml: AM.required", "free text")


@pytest.mark.parametrize(
    ("row", "where"),
    [
        ('code="ABCDE"', "code"),
        ('code="IWW.QW"', "code"),
        ('code="IW."', "code"),
        ('code="IW.QW\\n"', "code"),
        ('code="QW"\ntimeout_s=0', "timeout_s"),
        ('code="QW"\ntimeout_s=3601', "timeout_s"),
        ('code="QW"\ndestinations_max=0', "destinations_max"),
        ('code="QW"\ndestinations_max=21', "destinations_max"),
        ('code="QW"\nshape="round"', "shape"),
        ('code="QW"\nrequester="never"', "requester"),
    ],
)
def test_a_row_outside_its_bounds_is_refused_by_member(tmp_path: Path, row: str, where: str) -> None:
    (tmp_path / "a.toml").write_text(f'[[key]]\nname="x"\nfunction="inquiry"\ndatabase="DB"\n{row}\n')
    assert [fault.split(": ")[1] for fault in faults_of(tmp_path)] == [f"key.0.{where}"]


# --- finding ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "code", "rest"),
    [
        ("IW.QW.CA0990000.NAM/DOE,JOHN", "IW.QW", "CA0990000.NAM/DOE,JOHN"),
        ("QW.CA0990000.NAM/DOE,JOHN", "QW", "CA0990000.NAM/DOE,JOHN"),
        ("RQ.CA0990000.NV.TXT", "RQ", "CA0990000.NV.TXT"),
        ("RQ.", "RQ", ""),
        ("IW.QW.", "IW.QW", ""),
        ("QW.QW.QW", "QW", "QW.QW"),
    ],
)
def test_the_key_a_message_begins_with_is_found(catalog: Catalog, text: str, code: str, rest: str) -> None:
    key, after = catalog.find(text)
    assert (key.code, after) == (code, rest)


@pytest.mark.parametrize(
    "text", ["", ".", "RQ", "IW.QW", "IW.", "iw.qw.X", "XX.X", " RQ.X", "RQ .X", "IW.XX.CA0990000", "RQX.X"]
)
def test_a_message_that_begins_with_no_known_key_is_refused_with_e205(catalog: Catalog, text: str) -> None:
    with pytest.raises(UnknownMessageKey) as refused:
        catalog.find(text)
    assert refused.value.code == "E205"


# --- parsing ------------------------------------------------------------------------------------------


def parse(catalog: Catalog, text: str):  # type: ignore[no-untyped-def]
    key, rest = catalog.find(text)
    return key, key.parse(rest)


@pytest.mark.parametrize("fields", ["NAM/DOE,JOHN.SEX/M", "PUR/C", "PUR/C.NAM/DOE,JOHN", "PUR/C.MIS/ANYTHING AT ALL"])
def test_one_whole_group_of_required_fields_is_enough(catalog: Catalog, fields: str) -> None:
    _, text = parse(catalog, f"IW.QW.CA0990000.{fields}")
    assert text.ori == "CA0990000"


@pytest.mark.parametrize("fields", ["", "NAM/DOE,JOHN", "SEX/M", "MIS/X"])
def test_missing_fields_are_named(catalog: Catalog, fields: str) -> None:
    with pytest.raises(BadField, match=r"IW\.QW requires NAM\+SEX or PUR"):
        parse(catalog, f"IW.QW.CA0990000.{fields}")


@pytest.mark.parametrize("value", ["DOE", "DOE,JOHN ", "doe,john", "DOE,JOHN\n", ""])
def test_a_malformed_field_is_named_and_its_value_is_not(catalog: Catalog, value: str) -> None:
    with pytest.raises(BadField) as refused:
        parse(catalog, f"IW.QW.CA0990000.NAM/{value}.SEX/M")
    reason = refused.value.reason
    assert reason in ("field NAM is malformed", "field NAM begins or ends with a blank or a line end")
    assert "JOHN" not in reason.upper()


@pytest.mark.requirement("C-ACHS")
@pytest.mark.parametrize(
    ("fields", "allowed"), [("PUR/C", True), ("PUR/J", True), ("PUR/X", False), ("SEX/M", False)]
)
def test_a_purpose_is_one_of_the_keys(catalog: Catalog, fields: str, allowed: bool) -> None:
    key, text = parse(catalog, f"QH.CA0990000.{fields}")
    if allowed:
        key.check_purpose(text)
        return
    with pytest.raises(PurposeNotAllowed, match="C, J") as refused:
        key.check_purpose(text)
    assert refused.value.code == "E303"


def test_a_key_without_purposes_does_not_look_at_them(catalog: Catalog) -> None:
    key, text = parse(catalog, "QW.CA0990000.PUR/X")
    key.check_purpose(text)


def test_more_destinations_than_the_key_may_have_are_refused(catalog: Catalog) -> None:
    key, text = parse(catalog, "RQ.CA0990000.NV,AZ.TXT.SEX/M")
    key.check_destinations(text)
    key, text = parse(catalog, "RQ.CA0990000.NV,AZ,OR.TXT.SEX/M")
    with pytest.raises(TooManyDestinations) as refused:
        key.check_destinations(text)
    assert refused.value.code == "E308"


def test_free_text_is_read_as_such(catalog: Catalog) -> None:
    _, text = parse(catalog, "AM.CA0990000.EXA2.TXT NAM/X.SEX/Y")
    assert text.free == "NAM/X.SEX/Y"
    assert text.fields == {}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("IW.QW.CA0990000.NAM/SMITH,JOHN.DOB/19810229", "field DOB is not a day of the calendar"),
        ("IV.4.CA0990000.LIC/7-ABC-123", "field LIC is malformed: it is 1 to 10 capital letters and digits"),
        ("IV.4.CA0990000.LIC/7abc123", "field LIC is malformed: it is 1 to 10 capital letters and digits"),
        ("IV.4.CA0990000.LIC/7ABC123\r\n", "field LIC begins or ends with a blank or a line end"),
    ],
)
def test_what_is_wrong_with_a_field_is_said_without_its_value(text: str, why: str) -> None:
    key, rest = load_catalog(SHIPPED).find(text)
    with pytest.raises(BadField) as refused:
        key.parse(rest)
    assert refused.value.reason.startswith(why)
    assert "123" not in refused.value.reason.replace("1 to 10", "")


def test_a_leap_day_is_a_day() -> None:
    key, rest = load_catalog(SHIPPED).find("IW.QW.CA0990000.NAM/SMITH,JOHN.DOB/19800229")
    assert key.parse(rest).fields["DOB"] == "19800229"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("\ufeffIA.QV.CA0990000.LIC/A", "the message begins with a byte-order mark"),
        (" IA.QV.CA0990000.LIC/A", "the message begins with a blank or a line end"),
        ("\r\nIA.QV.CA0990000.LIC/A", "the message begins with a blank or a line end"),
        ("ia.qv.CA0990000.LIC/A", "the message's key is not in capital letters"),
        ("ZZ.CA0990000.LIC/A", "the message begins with no known key"),
    ],
)
def test_what_stands_where_a_key_should_is_said(text: str, why: str) -> None:
    with pytest.raises(UnknownMessageKey) as refused:
        load_catalog(SHIPPED).find(text)
    assert refused.value.reason.startswith(why)
