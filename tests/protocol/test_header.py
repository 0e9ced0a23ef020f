"""Supplemental header, OIF and TAF against the golden vectors, and what must hold for every one."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from msc.errors import BadHeader, BadOif, BadTaf, Refusal
from msc.protocol.header import (
    TOKENS,
    MessageHead,
    base36,
    is_mnemonic,
    is_oif,
    is_taf,
    make_header,
    make_taf,
    normalise_mac,
    parse_head,
    parse_header,
    read_taf,
    write_head,
)
from tests.support.vectors import cases

Case = dict[str, Any]

ALNUM = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def alnum(low: int, high: int) -> st.SearchStrategy[str]:
    return st.text(ALNUM, min_size=low, max_size=high)


heads = st.builds(MessageHead, alnum(4, 10), alnum(6, 6), st.none() | alnum(6, 18))


@pytest.mark.requirement("C-HDR", "C-OIF", "C-TAF")
@pytest.mark.parametrize("case", cases("header.toml", "head"))
def test_a_hosts_head_is_accepted_or_refused_as_in_the_vectors(case: Case) -> None:
    if "code" in case:
        with pytest.raises(Refusal) as refused:
            parse_head(case["text"])
        assert refused.value.code == case["code"]
        assert case["text"] not in refused.value.reason or not case["text"]
    else:
        head, rest = parse_head(case["text"])
        assert (head.header, head.oif, head.taf, rest) == (
            case["header"],
            case["oif"],
            case.get("taf"),
            case["rest"],
        )
        assert write_head(head) + rest == case["text"]


@pytest.mark.requirement("C-HDR")
@pytest.mark.parametrize("case", cases("header.toml", "header"))
def test_an_answers_header_is_accepted_or_refused_as_in_the_vectors(case: Case) -> None:
    if "code" in case:
        with pytest.raises(BadHeader) as refused:
            parse_header(case["text"])
        assert refused.value.code == case["code"]
    else:
        assert parse_header(case["text"]) == (case["header"], case["rest"])


@pytest.mark.requirement("C-HDR", "C-OIF", "C-TAF")
@given(head=heads, rest=st.text())
def test_property_a_head_reads_back_as_it_was_written(head: MessageHead, rest: str) -> None:
    if head.taf is None and rest.startswith("#"):
        rest = rest.lstrip("#")  # a number sign there begins a TAF
    assert parse_head(write_head(head) + rest) == (head, rest)


@given(text=st.text(alphabet=ALNUM + ".*#a \n\u0661"))
@example("")
def test_property_any_text_is_a_head_that_writes_back_or_is_refused_by_one_of_three_codes(text: str) -> None:
    try:
        head, rest = parse_head(text)
    except (BadHeader, BadOif, BadTaf):
        return
    assert write_head(head) + rest == text
    assert is_oif(head.oif or "")
    assert head.taf is None or is_taf(head.taf)
    assert is_mnemonic(head.mnemonic)


def test_a_head_without_oif_and_taf_is_the_header_and_its_period() -> None:
    assert write_head(MessageHead("CD01A00017")) == "CD01A00017."
    assert MessageHead("CD01A00017").mnemonic == "CD01"


@pytest.mark.parametrize(
    ("check", "low", "high"), [(is_mnemonic, 4, 4), (is_oif, 6, 6), (is_taf, 6, 18)], ids=["mnemonic", "OIF", "TAF"]
)
def test_forms_hold_at_their_bounds_and_not_beside_them(check: Any, low: int, high: int) -> None:
    assert check("A" * low)
    assert check("9" * high)
    assert not check("A" * (low - 1))
    assert not check("A" * (high + 1))
    for intruder in ("a", " ", ".", "\n", "\x00", "É", "\u0661", "-"):
        assert not check("A" * (low - 1) + intruder)
        assert not check("A" * low + intruder)


# --- the switch's own headers -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "width", "text"),
    [(0, 6, "000000"), (35, 6, "00000Z"), (36, 6, "000010"), (36**6 - 1, 6, "ZZZZZZ"), (36, 2, "10"), (0, 1, "0")],
)
def test_base_36_is_capitals_filled_with_zeros(number: int, width: int, text: str) -> None:
    assert base36(number, width) == text


@pytest.mark.requirement("C-HDR")
def test_headers_of_successive_messages_differ_and_come_round_after_all_tokens() -> None:
    assert make_header("A123", 1) == "A123000001"
    assert make_header("A123", 2) == "A123000002"
    assert make_header("A123", TOKENS - 1) == "A123ZZZZZZ"
    assert make_header("A123", TOKENS) == "A123000000"


@pytest.mark.requirement("C-HDR")
@given(mnemonic=alnum(4, 4), msn=st.integers(0, 2**63))
def test_property_a_made_header_is_ten_alphanumerics_that_hold_the_mnemonic(mnemonic: str, msn: int) -> None:
    header = make_header(mnemonic, msn)
    assert parse_header(f"{header}.X") == (header, "X")
    assert len(header) == 10
    assert int(header[4:], 36) == msn % TOKENS


# --- TAF ----------------------------------------------------------------------------------------------


@pytest.mark.requirement("C-TAF")
@pytest.mark.parametrize("case", cases("taf.toml", "taf"))
def test_a_taf_is_made_as_in_the_vectors(case: Case) -> None:
    taf = make_taf(case.get("ip"), case.get("mac"), case["device"])
    assert taf == case["taf"]
    assert is_taf(taf)
    assert read_taf(taf) == case["reads"]


@pytest.mark.requirement("C-TAF")
@given(ip=st.ip_addresses(v=4), mac=st.integers(0, 2**48 - 1).map(lambda n: f"{n:012X}"))
def test_property_a_taf_of_address_and_mac_is_reversible(ip: ipaddress.IPv4Address, mac: str) -> None:
    taf = make_taf(str(ip), mac, "X")
    assert is_taf(taf)
    assert read_taf(taf) == f"{ip} mac {mac}"


@pytest.mark.requirement("C-TAF")
@given(
    ip=st.none() | st.ip_addresses().map(str),
    mac=st.none() | st.integers(0, 2**48 - 1).map(lambda n: f"{n:012X}"),
    name=st.text(min_size=1, max_size=64),
)
def test_property_every_taf_made_has_the_form_of_one(ip: str | None, mac: str | None, name: str) -> None:
    assert is_taf(make_taf(ip, mac, name))


@pytest.mark.requirement("C-TAF")
@given(
    a=st.tuples(st.ip_addresses(v=4), st.integers(0, 2**48 - 1)),
    b=st.tuples(st.ip_addresses(v=4), st.integers(0, 2**48 - 1)),
)
def test_property_different_terminals_have_different_tafs(a: Any, b: Any) -> None:
    tafs = {make_taf(str(ip), f"{mac:012X}", "X") for ip, mac in (a, b)}
    assert len(tafs) == len({a, b})


@pytest.mark.parametrize("text", ["02:00:5e:00:00:aa", "02-00-5E-00-00-AA", "0200.5e00.00aa", "02005E0000AA"])
def test_a_mac_is_read_in_every_usual_way_of_writing(text: str) -> None:
    assert normalise_mac(text) == "02005E0000AA"


@pytest.mark.parametrize(
    "text", ["", "02005E0000A", "02005E0000AAA", "02005E0000AG", "02 00 5E 00 00 AA", "0" * 11 + "\u0661"]
)
def test_what_is_no_mac_is_refused_with_e204(text: str) -> None:
    with pytest.raises(BadTaf) as refused:
        normalise_mac(text)
    assert refused.value.code == "E204"
