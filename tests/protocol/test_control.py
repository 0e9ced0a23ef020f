"""Control messages: each type reads back as written; faults are refused by name and never repeat a secret."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import SecretStr

from msc.errors import AccountLocked, BadJson, ControlOutOfPlace, Refusal
from msc.protocol.control import (
    FROM_LINE_CLIENT,
    FROM_LINE_HOST,
    FROM_STATION,
    FROM_SWITCH,
    BadMember,
    ChangePassword,
    Control,
    ErrorNotice,
    Hello,
    LineOpen,
    Lock,
    Locked,
    Notice,
    Open,
    Opened,
    OpenLine,
    PasswordChanged,
    Receipt,
    Receipts,
    ReceiptsReport,
    Refused,
    SignedOff,
    SignedOn,
    SignOff,
    SignOn,
    Status,
    StatusReport,
    Terminal,
    Unlock,
    Unlocked,
    encode_control,
    parse_control,
    refusal_of,
    vocabulary,
)
from tests.support.vectors import cases
from tests.support.wire import make_hello

Case = dict[str, Any]

ONE_OF_EACH: list[Control] = [
    make_hello(),
    SignedOn(
        session="1", user="J40217", agency="EXLP", ori="CA0980000", mnemonic="A123", pooled=False, taf="02RVXUF",
        previous_sign_on="2026-01-30T08:15:00Z", failed_since=2, password_expires="2026-04-01", idle_lock_s=1800,
        undelivered=3,
    ),
    Refused(to="sign_on", code="E101", reason="unknown user or wrong password", user="J40217"),
    SignedOff(user="J40217", reason="idle"),
    Opened(undelivered=3),
    Locked(user="J40217", reason="idle"),
    Unlocked(user="J40217"),
    PasswordChanged(user="J40217"),
    Notice(text="maintenance at 2300"),
    StatusReport(state="active", time="t", user="J40217", mnemonic="A123", undelivered=1, lines={"clets-a": "open"}),
    ErrorNotice(code="E602", reason="unknown frame kind 0x64"),
    SignOn(
        user="J40217", password=SecretStr("s3cret"), otp=SecretStr("123456"), banner_accepted=True, mnemonic="A123",
        pool="cars", terminal=Terminal(mac="02005E0000AA"),
    ),
    SignOff(user="J40217"),
    Open(),
    Lock(user="J40217"),
    Unlock(password=SecretStr("s3cret"), user="J40217"),
    ChangePassword(old=SecretStr("s3cret"), new=SecretStr("s3cret-2"), user="J40217"),
    Status(),
    Receipts(msn=1042, after=64, user="J40217"),
    ReceiptsReport(
        msn=1042, user="J40217", total=65, after=64,
        destinations=[Receipt(destination="EXA2", state="sent", at="t", original="EXA1")],
    ),
    OpenLine(line="clets-a", switch="msc-1", mode="production"),
    LineOpen(window=256),
]  # fmt: skip

EVERY_TYPE = {*FROM_STATION, *FROM_SWITCH, *FROM_LINE_HOST, *FROM_LINE_CLIENT}


@pytest.mark.parametrize("case", cases("control.toml", "control"))
def test_a_control_message_is_accepted_or_refused_as_in_the_vectors(case: Case) -> None:
    known = vocabulary(FROM_STATION)
    if "type" in case:
        assert parse_control(case["json"].encode(), known).type == case["type"]
        return
    with pytest.raises(Refusal) as refused:
        parse_control(case["json"].encode(), known)
    assert refused.value.code == case["code"]
    assert "s3cret" not in str(refused.value)
    if "member" in case:
        assert isinstance(refused.value, BadMember)
        assert refused.value.reason.startswith(f"{case['member']}: ")


def test_every_type_is_tried_here() -> None:
    assert {type(message) for message in ONE_OF_EACH} == EVERY_TYPE


@pytest.mark.parametrize("message", ONE_OF_EACH, ids=lambda m: m.type)
def test_a_control_message_reads_back_as_written(message: Control) -> None:
    data = encode_control(message)
    assert json.loads(data)["type"] == message.type
    assert parse_control(data, vocabulary((type(message),))) == message


@pytest.mark.parametrize("message", ONE_OF_EACH, ids=lambda m: m.type)
def test_a_control_message_printed_shows_no_secret(message: Control) -> None:
    assert "s3cret" not in repr(message) + str(message)
    assert "123456" not in repr(message) + str(message)


def test_secrets_are_revealed_on_the_wire_alone() -> None:
    message = SignOn(user="J40217", password=SecretStr("s3cret"))
    assert json.loads(encode_control(message))["password"] == "s3cret"


def test_no_two_types_of_one_vocabulary_share_a_name() -> None:
    for types in (FROM_STATION, FROM_SWITCH, FROM_LINE_HOST, FROM_LINE_CLIENT):
        assert len(vocabulary(types)) == len(types)


@pytest.mark.parametrize("window", [0, -1, 4097, 2**40])
def test_a_line_window_outside_its_bounds_is_refused(window: int) -> None:
    with pytest.raises(BadMember, match="window"):
        parse_control(json.dumps({"type": "line_open", "window": window}).encode(), vocabulary(FROM_LINE_HOST))


@pytest.mark.parametrize("mode", ["", "live", "PRODUCTION", None])
def test_a_line_is_production_or_test_and_nothing_else(mode: str | None) -> None:
    members = {"type": "open_line", "line": "a", "switch": "b", "mode": mode}
    with pytest.raises(BadMember, match="mode"):
        parse_control(json.dumps(members).encode(), vocabulary(FROM_LINE_CLIENT))


def test_a_hello_that_says_little_has_the_protocols_defaults() -> None:
    hello = parse_control(b'{"type":"hello","protocol":"MTP/1"}', vocabulary((Hello,)))
    assert isinstance(hello, Hello)
    assert (hello.frame_bytes_max, hello.window, hello.heartbeat_s) == (65_536, 32, 30.0)


@pytest.mark.parametrize("members", ['"window":0', '"window":"many"', '"heartbeat_s":"soon"', '"frame_bytes_max":""'])
def test_a_hello_with_limits_that_cannot_be_is_refused(members: str) -> None:
    with pytest.raises(BadMember, match=members.split('"')[1]):
        parse_control(f'{{"type":"hello",{members}}}'.encode(), vocabulary((Hello,)))


@pytest.mark.parametrize("member", ["code", "reason"])
def test_half_a_surrogate_pair_is_no_text(member: str) -> None:
    # JSON can write it, UTF-8 cannot: taken over, it could be neither journaled nor sent on.
    members = {"type": "error", "code": "E599", "reason": "x", member: "\ud800"}
    with pytest.raises(BadJson):
        parse_control(json.dumps(members).encode(), vocabulary(FROM_LINE_HOST))


def test_a_refusal_names_what_was_refused_its_code_and_its_user() -> None:
    refused = refusal_of("unlock", AccountLocked(), "J40217")
    assert json.loads(encode_control(refused)) == {
        "type": "refused", "to": "unlock", "code": "E102", "reason": "account locked", "user": "J40217",
    }  # fmt: skip


def test_an_unknown_type_is_cut_short_in_the_refusal() -> None:
    with pytest.raises(ControlOutOfPlace) as refused:
        parse_control(json.dumps({"type": "x" * 5000}).encode(), vocabulary(FROM_STATION))
    assert len(refused.value.type) == 32  # type: ignore[attr-defined]
