"""The payload of a data frame: envelope and text."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msc.errors import BadJson
from msc.protocol.envelope import NO_ENVELOPE, Envelope, encode_payload, parse_envelope, parse_json, split_payload
from tests.support.vectors import cases

Case = dict[str, Any]


@pytest.mark.requirement("C-CORI")
@pytest.mark.parametrize("case", cases("envelope.toml", "payload"))
def test_a_payload_is_split_or_refused_as_in_the_vectors(case: Case) -> None:
    payload = case["payload"].encode()
    if "code" in case:
        with pytest.raises(BadJson) as refused:
            parse_envelope(split_payload(payload)[0])
        assert refused.value.code == case["code"]
        return
    members, text = split_payload(payload)
    assert text.decode() == case["text"]
    assert parse_envelope(members) == Envelope(**case.get("members", {}))


def test_a_payload_without_envelope_has_none_of_its_members() -> None:
    assert split_payload(b"RQ {\n") == (None, b"RQ {\n")
    assert parse_envelope(None) is NO_ENVELOPE


def test_a_text_that_begins_with_a_brace_gets_an_empty_envelope() -> None:
    assert encode_payload(None, "{X}") == b"{}\n{X}"
    assert encode_payload(None, "X") == b"X"


@given(
    members=st.none()
    | st.dictionaries(
        st.text(), st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(), max_size=4
    ),
    text=st.text(),
)
def test_property_a_written_payload_splits_into_the_same_members_and_text(members: Any, text: str) -> None:
    again, body = split_payload(encode_payload(members, text))
    assert (again or {}) == (members or {})
    assert body == text.encode()


NOT_JSON = {
    "empty": b"",
    "array": b"[]",
    "number": b"1",
    "null": b"null",
    "text": b'"x"',
    "open": b"{",
    "trailing": b"{}x",
    "not UTF-8 outside": b"\xff{}",
    "not UTF-8 inside": b'{"a":"\xe9"}',
    "deep array": b"[" * 5000,
    "deep object": b'{"a":' * 5000,
    "huge number": b'{"a":' + b"9" * 5000 + b"}",
}


@pytest.mark.parametrize("data", NOT_JSON.values(), ids=NOT_JSON)
def test_what_is_no_json_object_in_utf_8_is_refused(data: bytes) -> None:
    with pytest.raises(BadJson):
        parse_json(data)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le"])
def test_json_in_another_unicode_encoding_than_utf_8_is_refused(encoding: str) -> None:
    # The contract says UTF-8; a second way to write the same message is a second way past a filter.
    with pytest.raises(BadJson):
        parse_json('{"type":"status"}'.encode(encoding))


def test_surrogates_in_utf_8_are_refused() -> None:
    # Bytes ED A0 80 are no UTF-8; taken, they make a text that can be neither journaled nor sent.
    with pytest.raises(BadJson):
        parse_json(b'{"ref":"\xed\xa0\x80"}')


@given(
    st.binary(max_size=60)
    | st.recursive(st.none() | st.text(), lambda c: st.lists(c)).map(lambda v: json.dumps(v).encode())
)
def test_property_any_payload_is_split_or_refused_with_e604(payload: bytes) -> None:
    for data in (payload, b"{" + payload, b'{"ref":' + payload + b"}\nX"):
        try:
            parse_envelope(split_payload(data)[0])
        except BadJson as refusal:
            assert refusal.code == "E604"
