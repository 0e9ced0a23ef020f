"""Peers that break the protocol: each fault has its code, and the connection ends where the page says so."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.support.mtp_client import TIMEOUT_S, Frame, Wire, control, frame
from tests.support.site import Site

PLATE = b"IV.4.CA0990000.LIC/1FRAME"


@asynccontextmanager
async def raw(site: Site, device: str = "DISPATCH1", user: str | None = None) -> AsyncIterator[Wire]:
    """Connect, take the hello, and sign on if a user is given."""
    wire = await site.wire(device)
    try:
        hello = await wire.read_soon()
        assert hello is not None and hello.control()["type"] == "hello"
        if user is not None:
            password = site.user(user)["password"]
            await wire.write(control(type="sign_on", user=user, password=password, banner_accepted=True))
            told = await wire.read_soon()
            assert told is not None and told.control()["type"] == "signed_on", told
        yield wire
    finally:
        await wire.abort()


def codes(frames: list[Frame]) -> list[str]:
    """The codes in `error`, `refused` and `N` frames."""
    return [
        str(json.loads(f.payload).get("code"))
        for f in frames
        if f.kind == "N" or (f.kind == "C" and f.control()["type"] in {"error", "refused"})
    ]


ENDING = [
    ("length 0", (0).to_bytes(4, "big") + b"C", {"E601"}),
    ("length 4", (4).to_bytes(4, "big") + b"C\0\0\0", {"E601"}),
    ("one too long", (65_537).to_bytes(4, "big") + b"D\0\0\0\1", {"E601"}),
    ("four gigabytes", b"\xff\xff\xff\xff" + b"D\0\0\0\1", {"E601"}),
    ("HTTP", b"GET / HTTP/1.1\r\nHost: switch\r\n\r\n", {"E601"}),
    ("unknown kind", frame("X"), {"E602"}),
    ("lower-case kind", frame("d", 1, PLATE), {"E602"}),
    ("NUL kind", frame("\0"), {"E602"}),
]


@pytest.mark.parametrize(("data", "expected"), [row[1:] for row in ENDING], ids=[row[0] for row in ENDING])
@pytest.mark.parametrize("user", [None, "J40217"], ids=["greeted", "signed on"])
async def test_a_broken_frame_is_answered_with_an_error_and_the_end(
    county: Site, data: bytes, expected: set[str], user: str | None
) -> None:
    async with raw(county, user=user) as wire:
        await wire.write(data)
        frames = [f for f in await wire.rest() if f.kind != "D"]  # what earlier tests left undelivered
        assert [f.control()["type"] for f in frames] == ["error"], frames
        assert set(codes(frames)) == expected


async def test_a_frame_of_the_greatest_length_is_not_too_long(county: Site) -> None:
    async with raw(county, user="J40217") as wire:
        await wire.write(frame("D", 1, b"A" * (65_536 - 5)))
        frames = await until_code(wire)
        assert frames[-1].kind == "N" and codes(frames) == ["E201"], frames


@pytest.mark.parametrize(
    ("sequences", "fault"),
    [((2,), 2), ((0,), 0), ((1, 1), 1), ((1, 3), 3), ((0xFFFFFFFF,), 0xFFFFFFFF)],
    ids=["begins at 2", "begins at 0", "repeats", "leaves a gap", "greatest"],
)
async def test_a_sequence_out_of_order_is_refused(county: Site, sequences: tuple[int, ...], fault: int) -> None:
    async with raw(county, user="J40217") as wire:
        await wire.write(b"".join(frame("D", sequence, PLATE) for sequence in sequences))
        frames = await until_code(wire)
        assert codes(frames) == ["E603"], frames


async def until_code(wire: Wire) -> list[Frame]:
    """Read until a code or the end comes."""
    frames: list[Frame] = []
    async with asyncio.timeout(TIMEOUT_S):
        while not codes(frames):
            received = await wire.read()
            if received is None:
                break
            frames.append(received)
            if received.kind == "Q":
                break  # a ping sent behind it was reached: nobody objected
    return frames


@pytest.mark.parametrize("kind", ["A", "N"])
async def test_an_answer_to_nothing_is_out_of_order(county: Site, kind: str) -> None:
    payload = b'{"code":"E599","reason":"x"}' if kind == "N" else b""
    async with raw(county, user="J40217") as wire:
        await wire.write(frame(kind, 70_007, payload) + frame("P", 1))
        assert codes(await until_code(wire)) == ["E603"]


@pytest.mark.parametrize(
    "payload",
    [b"", b"{", b"[]", b"null", b'"sign_on"', b"7", b"\xff\xfe", b"{}", b'{"type":7}', b'{"type":null}', b"[" * 5000],
)
async def test_a_control_message_that_is_no_object_with_a_type_is_refused(county: Site, payload: bytes) -> None:
    async with raw(county) as wire:
        await wire.write(frame("C", 0, payload))
        found = codes(await until_code(wire))
        assert len(found) == 1 and set(found) <= {"E604", "E605"}, found


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"type": "fly"}, {"E605"}),
        ({"type": ""}, {"E605"}),
        ({"type": "hello"}, {"E605", "E604"}),
        ({"type": "signed_on"}, {"E605", "E604"}),
        ({"type": "open"}, {"E605"}),
        ({"type": "open_line", "line": "clets-a", "switch": "x", "mode": "test"}, {"E605"}),
        ({"type": "lock"}, {"E605", "E111"}),
        ({"type": "unlock", "password": "x"}, {"E605", "E111"}),
        ({"type": "change_password", "old": "x", "new": "y"}, {"E605", "E111"}),
        ({"type": "sign_on"}, {"E604", "E101"}),
        ({"type": "sign_on", "user": 7, "password": [], "banner_accepted": "maybe"}, {"E604", "E101"}),
    ],
    ids=lambda value: json.dumps(value) if isinstance(value, dict) else "",
)
async def test_a_control_message_out_of_place_is_refused(
    county: Site, members: dict[str, object], expected: set[str]
) -> None:
    async with raw(county) as wire:
        await wire.write(control(**members))
        found = codes(await until_code(wire))
        assert len(found) == 1 and set(found) <= expected, found


async def test_a_printer_may_not_sign_on(county: Site) -> None:
    async with raw(county, "PRINTER1") as wire:
        await wire.write(control(type="sign_on", user="J40217", password="x" * 12, banner_accepted=True))
        assert codes(await until_code(wire)) == ["E605"]


async def test_more_than_the_window_is_refused_or_read_later(county: Site) -> None:
    """The page allows either: E606, or that the receiver stops reading until it has answered some."""
    async with county.signed_on("DISPATCH1") as station:
        count = station.hello["window"] * 4
        burst = b"".join(frame("D", n + 1, PLATE) for n in range(count))
        loop = asyncio.get_running_loop()
        station.answers |= {n + 1: loop.create_future() for n in range(count)}
        await station.wire.write(burst)
        async with asyncio.timeout(TIMEOUT_S):
            told = await asyncio.gather(*station.answers.values(), return_exceptions=True)
        errors = [members for members in station.controls if members["type"] == "error"]
        if errors:
            assert [error["code"] for error in errors] == ["E606"]
            station.sign_off = _nothing  # type: ignore[method-assign]
        else:
            refused = [one for one in told if isinstance(one, BaseException)]
            assert all(getattr(one, "code", "") == "E606" for one in refused), refused
            assert sum(isinstance(one, int) for one in told) >= station.hello["window"]


async def _nothing() -> dict[str, object]:
    return {}


async def test_bytes_may_come_one_at_a_time(county: Site) -> None:
    async with raw(county, user="J40217") as wire:
        for byte in frame("D", 1, PLATE) + frame("P", 77):
            await wire.write(bytes((byte,)))
        seen = []
        async with asyncio.timeout(TIMEOUT_S):
            while not {"A", "Q"} <= {f.kind for f in seen}:
                received = await wire.read()
                assert received is not None
                seen.append(received)
        assert next(f for f in seen if f.kind == "Q").sequence == 77
        assert next(f for f in seen if f.kind == "A").payload.isdigit()


@pytest.mark.parametrize("sequence", [0, 1, 0xFFFFFFFF])
async def test_a_ping_is_answered_with_its_sequence(county: Site, sequence: int) -> None:
    async with raw(county) as wire:
        await wire.write(frame("P", sequence))
        assert await wire.read_soon() == Frame("Q", sequence, b"")


async def test_a_pong_nobody_asked_for_is_harmless(county: Site) -> None:
    async with raw(county) as wire:
        await wire.write(frame("Q", 5) + frame("P", 6))
        assert await wire.read_soon() == Frame("Q", 6, b"")


async def test_a_peer_that_answers_no_ping_is_given_up(tmp_path_factory: pytest.TempPathFactory) -> None:
    site = Site.make(tmp_path_factory.mktemp("heartbeat") / "site")
    try:
        site.edit("msc.toml", (r"^heartbeat_s = 30$", "heartbeat_s = 1"))
        await asyncio.to_thread(site.serve)
        async with raw(site) as silent, site.station("RECORDS1") as answering:
            frames = await silent.rest(10)
            assert [f.kind for f in frames if f.kind != "C"] == ["P", "P"]
            await answering.say(type="status")
            await answering.control("status", "refused")  # it answered its pings and is still there
    finally:
        await asyncio.to_thread(site.stop)
