"""Message texts against the golden vectors; fields that are written read back the same."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from msc.errors import BadCharacter, BadField
from msc.protocol.text import (
    MessageText,
    begins_with,
    check_characters,
    fields_on_lines,
    is_calendar_date,
    is_hit,
    is_ori,
    parse_addressed,
    parse_direct,
    parse_fields,
    write_fields,
)
from tests.support.vectors import cases

Case = dict[str, Any]

CODES = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=2, max_size=4)
# Rich in what could be taken for structure.
VALUES = st.text(st.sampled_from("AB./Z 19a-,\n")) | st.text()


def parse(shape: str, text: str) -> MessageText:
    return parse_direct(text) if shape == "direct" else parse_addressed(text, free=shape == "free")


@pytest.mark.parametrize("case", cases("text.toml", "text"))
def test_a_text_is_accepted_or_refused_as_in_the_vectors(case: Case) -> None:
    if "code" in case:
        with pytest.raises(BadField) as refused:
            parse(case["shape"], case["text"])
        assert refused.value.code == case["code"]
    else:
        assert parse(case["shape"], case["text"]) == MessageText(
            case["ori"],
            tuple(case.get("destinations", ())),
            case.get("control"),
            case.get("fields", {}),
            case.get("free"),
        )


def test_fields_keep_their_order() -> None:
    assert list(parse_fields("SEX/M.NAM/DOE,JOHN.DOB/19700101")) == ["SEX", "NAM", "DOB"]


@pytest.mark.parametrize("text", ["CA099000A", "NVWHP0000", "AA0000000"])
def test_an_ori_is_two_letters_and_seven_alphanumerics(text: str) -> None:
    assert is_ori(text)
    for wrong in (text[:-1], text + "0", text.lower(), "1" + text[1:], text[0] + "1" + text[2:], text[:-1] + "."):
        assert not is_ori(wrong)


@pytest.mark.requirement("C-CONFIRM")
@pytest.mark.parametrize(
    ("text", "hit"),
    [
        ("MKE/WANTED PERSON\nNAM/SPECIMEN, WANTED", True),
        ("***CAUTION - ARMED AND DANGEROUS***\r\nMKE/WANTED PERSON", True),
        ("DELAYED HIT\nMKE/STOLEN VEHICLE", True),
        ("NO RECORD IN WPS\nNAM/DOE,JOHN", False),
        ("ACCEPTED STOLEN VEHICLE ENTRY\nNIC/V999000001", False),
        ("NO RECORD IN WPS MKE/X", False),
        ("VEHICLE REGISTRATION\nLIC/ZZ0001X VMA/MAKE/MKE/", False),
        ("", False),
    ],
)
def test_an_answer_with_a_line_that_names_an_entry_is_a_hit(text: str, hit: bool) -> None:
    assert is_hit(text) is hit


def reads_as_one(value: str) -> bool:
    try:
        return parse_fields(f"AA/{value}") == {"AA": value}
    except BadField:
        return False


@example(fields={"AA": ".AA/"})
@given(fields=st.dictionaries(CODES, VALUES, max_size=6))
def test_property_fields_read_back_as_written_or_are_refused(fields: dict[str, str]) -> None:
    try:
        body = write_fields(fields)
    except BadField:
        # Only a value that holds a period and then a field's beginning cannot be written.
        assert not all(map(reads_as_one, fields.values()))
        return
    assert parse_fields(body) == fields
    assert list(parse_fields(body)) == list(fields)


@pytest.mark.parametrize("code", ["A", "ABCDE", "nam", "N1", "", "NA M", "NAM\n"])
def test_a_code_that_would_not_read_back_is_not_written(code: str) -> None:
    with pytest.raises(BadField):
        write_fields({code: "X"})


def test_a_value_that_would_read_back_as_two_fields_is_not_written() -> None:
    with pytest.raises(BadField, match="MIS"):
        write_fields({"MIS": "X.SEX/M"})


def test_a_fault_names_the_field_and_never_its_value() -> None:
    with pytest.raises(BadField) as refused:
        parse_fields("NAM/DOE,JOHN.NAM/SECRET,MARY")
    assert "NAM" in refused.value.reason
    assert "SECRET" not in refused.value.reason
    assert "DOE" not in refused.value.reason


@given(body=st.text(st.sampled_from("ABTX./, \n19")))
def test_property_any_text_is_read_or_refused_with_e206(body: str) -> None:
    for shape in ("direct", "addressed", "free"):
        for text in (body, f"CA0990000.{body}", f"CA0990000.NV.TXT{body}"):
            try:
                parsed = parse(shape, text)
            except BadField:
                continue
            assert parsed.ori == text[:9]
            assert (parsed.free is not None) == (shape == "free")
            assert bool(parsed.destinations) == (shape != "direct")


@pytest.mark.parametrize("case", cases("text.toml", "characters"))
def test_characters_are_allowed_or_refused_by_name_and_position(case: Case) -> None:
    if "refused" not in case:
        check_characters(case["text"])
        return
    with pytest.raises(BadCharacter) as refused:
        check_characters(case["text"])
    assert refused.value.code == "E208"
    assert case["refused"] in refused.value.reason


@pytest.mark.requirement("C-CONFIRM")
@pytest.mark.parametrize("before", ["", "\n", "\r", "\r\n", " ", "\t", "\f", "NAM/DOE,JOHN.", "NAM/DOE,JOHN\r"])
def test_a_hit_is_found_wherever_a_line_or_field_may_begin(before: str) -> None:
    assert is_hit(f"{before}MKE/STOLEN VEHICLE")
    assert not is_hit(f"{before}XMKE/STOLEN VEHICLE")


@pytest.mark.parametrize("before", ["", "\r\n", " ", "\t", "\f", "\r"])
def test_a_code_of_the_states_is_found_behind_whatever_is_put_before_it(before: str) -> None:
    assert begins_with(f"{before}$.H.DELAYED HIT", "$.H")
    assert not begins_with(f"{before}$.HX", "$.H")
    assert not begins_with(f"X{before}$.H", "$.H")


def test_fields_on_lines_of_their_own_are_fields() -> None:
    assert fields_on_lines("\r\nYQ.TXT\r\nRTY/WP\r\n RNO/1\n\nPRI/U\fOCA/T26 1\r\n") == (
        "YQ.TXT.RTY/WP.RNO/1.PRI/U.OCA/T26 1"
    )


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r", "\n "])
def test_a_line_end_before_a_field_is_named_and_swallows_nothing(line_end: str) -> None:
    with pytest.raises(BadField, match="a line end follows field MIS"):
        parse_fields(f"MIS/SEE RPT.{line_end}VMA/FORD")


@given(st.dates())
def test_every_day_is_one_of_the_calendar(day: date) -> None:
    assert is_calendar_date(day.strftime("%Y%m%d").zfill(8))


@pytest.mark.parametrize(
    "text", ["19810229", "19000229", "20260431", "20261301", "20260100", "20260001", "2026011", "A0260101"]
)
def test_what_is_not_a_day_is_told_from_one(text: str) -> None:
    assert not is_calendar_date(text)
    assert is_calendar_date("19800229") and is_calendar_date("20000229")
