"""Thousands of malformed frames, headers and control messages against the running switch.

Each gets a code or a closed connection, in time; none a traceback, none a hang; memory stays level.
`MSC_FUZZ_EXAMPLES=10000` runs the long form.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.mtp_client import Disconnected, Frame, Wire, control, frame
from tests.support.site import Process, Site

EXAMPLES = int(os.environ.get("MSC_FUZZ_EXAMPLES", "1000"))
ANSWER_S = 15.0
"""A frame begun and never finished is cut off by the switch's own clock; everything else is far quicker."""
GROWTH_BYTES_MAX = 30 * 1024 * 1024

TAF = "0A0000010017"
PLATE = "IV.4.CA0990000.LIC/1FUZZ"
PING = 0x5EED

Example = tuple[str, bytes]

LONE_SURROGATE = "\ud800".encode("utf-8", "surrogatepass").decode("latin-1")
WRONG_VALUES: list[Any] = [
    None, True, -1, 0, 10**30, 1.5e308, "", "x" * 7_000, "\x00", LONE_SURROGATE, [], {}, [[[[]]]], {"a": {"b": {}}},
    "’OR 1=1--", "../../etc/passwd", "${jndi:x}", "%s%n", "\u202e", "é",
]  # fmt: skip
TYPES = [
    "sign_on", "sign_off", "lock", "unlock", "change_password", "status", "open", "opened", "open_line", "line_open",
    "hello", "signed_on", "signed_off", "refused", "notice", "locked", "error", "", "Sign_On", "sign_on ",
    "__class__", "x" * 500,
]  # fmt: skip
BAD_TEXTS = [
    "", ".", "IV", "IV.4", "IV.4.", "IV.4.CA0990000.", "ZZ.Z.CA0990000.LIC/1", "IV.4.XX.LIC/1",
    "IV.4.CA0990000.LIC/" + "9" * 30_000, "IV.4.CA0990000.LIC/\x01", "IV.4.CA0990000.LIC/É",
]  # fmt: skip
MEMBERS = [
    "user",
    "password",
    "otp",
    "banner_accepted",
    "mnemonic",
    "pool",
    "terminal",
    "old",
    "new",
    "to",
    "code",
    "session",
]


def bad_frame(rng: random.Random) -> Example:
    """Bytes that are no frame of the protocol. None is left unfinished: the switch would rightly wait for it."""
    match rng.randrange(4):
        case 0:
            return "length below 5", rng.randrange(5).to_bytes(4, "big") + rng.randbytes(rng.randrange(40))
        case 1:
            return "length above the limit", rng.randrange(65_537, 2**32).to_bytes(4, "big") + rng.randbytes(40)
        case 2:
            kind = rng.choice([byte for byte in range(256) if bytes((byte,)) not in b"CDANPQ"])
            payload = rng.randbytes(rng.randrange(200))
            return "unknown kind", (len(payload) + 5).to_bytes(4, "big") + bytes((kind,)) + rng.randbytes(4) + payload
        case _:
            return "noise", b"\xff" + rng.randbytes(rng.randrange(8, 4000))


def bad_control(rng: random.Random) -> Example:
    """A control frame that says nothing sensible."""
    match rng.randrange(6):
        case 0:
            return "control of noise", frame("C", 0, rng.randbytes(rng.randrange(1, 300)))
        case 1:
            whole = json.dumps({"type": rng.choice(TYPES), "user": "J40217"}).encode()
            return "control cut short", frame("C", 0, whole[: rng.randrange(1, len(whole))])
        case 2:
            depth = rng.randrange(10, 20_000)
            opening = rng.choice([b"[", b'{"type":'])
            return "control nested", frame("C", 0, opening * min(depth, 60_000 // len(opening)))
        case 3:
            value = rng.choice([b"[]", b"7", b'"sign_on"', b"null", b"true", b"NaN", b"-Infinity", b"1e999", b"{}"])
            return "control not an object with a type", frame("C", 0, value)
        case 4:
            return "control with a sequence", frame(
                "C", rng.randrange(1, 2**32), json.dumps({"type": "fly"}).encode()
            )
        case _:
            members = {"type": rng.choice([t for t in TYPES if t not in {"sign_on", "status", "open"}])}
            members |= {name: rng.choice(WRONG_VALUES) for name in rng.sample(MEMBERS, rng.randrange(5))}
            return "control of wrong members", control(**members)


def bad_sign_on(rng: random.Random) -> Example:
    """A sign-on that must not succeed. Few of them: each wrong password costs the switch a hash."""
    members: dict[str, Any] = {"type": "sign_on", "user": "J40217", "password": "x", "banner_accepted": True}
    for name in rng.sample(MEMBERS, rng.randrange(1, 4)):
        members[name] = rng.choice(WRONG_VALUES)
    members["user"] = rng.choice([*WRONG_VALUES, "NOBODY"])
    return "sign-on", control(**members)


def bad_order(rng: random.Random) -> Example:
    """Good frames where they do not belong."""
    match rng.randrange(4):
        case 0:
            return "sequence out of order", frame("D", rng.choice([0, 2, 3, 2**31, 2**32 - 1]), PLATE.encode())
        case 1:
            return "ack of nothing", frame("A", rng.randrange(1_000, 2**32), rng.randbytes(rng.randrange(3)))
        case 2:
            payload = rng.choice([b"", b"{}", b"[]", b'{"code":7}', b'{"code":"E599","reason":"x"}', b"\xff"])
            return "nak of nothing", frame("N", rng.randrange(1_000, 2**32), payload)
        case _:
            return "data before sign-on", frame("D", 1, rng.randbytes(rng.randrange(300)))


def bad_host_text(rng: random.Random) -> bytes:
    """A host's text whose header, OIF or TAF cannot be right, or whose envelope or text is not."""
    alphabet = "ABCXYZ0189abz.*#-_/ \t\x00\x7f\xe9"

    def word(low: int, high: int, letters: str = alphabet) -> str:
        return "".join(rng.choice(letters) for _ in range(rng.randrange(low, high)))

    header, oif, taf, text = "EXCEA00017", "J40217", TAF, PLATE
    match rng.randrange(9):
        case 0:
            header = rng.choice(["EXA1", "ZZZZ", "excd", "EX", "E" * 11, ""]) + word(0, 3, "-_ab. ")
            header = "*" if header == "EXCE" else header
        case 1:
            oif = rng.choice([word(0, 6, "ABC012"), word(7, 12, "ABC012"), word(5, 7, "abc_-"), "ZZ9999"])
        case 2:
            taf = rng.choice([word(0, 6, "ABC012"), word(19, 40, "ABC012"), word(6, 18, "abc_-")])
        case 3:
            return word(0, 200).encode("latin-1")
        case 4:
            return rng.randbytes(rng.randrange(0, 400))
        case 5:
            return f"{header}.#{taf}.*{oif}.{text}".encode()
        case 6:
            head = json.dumps(
                {rng.choice(["ref", "requester", "priority", "reason", "mnemonic"]): rng.choice(WRONG_VALUES[2:])}
            )
            return rng.choice([head, head[:-1], head[:-1] + "\n", "{" * 900 + "\n"]).encode() + b"bad"
        case 7:
            text = rng.choice(BAD_TEXTS)
        case _:
            cut = f"{header}.*{oif}.#{taf}."
            return cut[: rng.randrange(len(cut))].encode()
    return f"{header}.*{oif}.#{taf}.{text}".encode()


def told(frames: list[Frame]) -> list[str]:
    """The codes in frames."""
    return [
        str(json.loads(f.payload)["code"])
        for f in frames
        if f.kind == "N" or (f.kind == "C" and f.control()["type"] in {"error", "refused"})
    ]


async def judge(site: Site, device: str, example: Example, seen: Counter[str]) -> None:
    """Send one example on a connection of its own, a ping behind it; the switch must answer or end it."""
    name, data = example
    wire = await site.wire(device)
    frames: list[Frame] = []
    try:
        async with asyncio.timeout(ANSWER_S):
            try:
                # A password check and a journal entry take their time, so a ping would overtake those answers.
                await wire.write(data if name in {"sign-on", "data before sign-on"} else data + frame("P", PING))
            except Disconnected:
                seen["closed"] += 1
                return
            while (received := await wire.read()) is not None:
                frames.append(received)
                if received.kind == "Q" or told([received]):
                    break
        codes = told(frames)
        assert codes or received is None, f"{name}: neither a code nor an end: {data[:200]!r} brought {frames}"
        seen.update(codes or ["closed"])
    except TimeoutError:
        raise AssertionError(f"{name}: nothing for {ANSWER_S} s: {data[:200]!r} brought {frames}") from None
    finally:
        await wire.abort()


async def connections(site: Site, device: str, rng: random.Random, count: int, seen: Counter[str]) -> None:
    """Try examples one connection each."""
    makers: list[Callable[[random.Random], Example]] = [bad_frame, bad_control, bad_order, bad_frame, bad_control]
    for number in range(count):
        maker = bad_sign_on if number % 25 == 0 else rng.choice(makers)
        await judge(site, device, maker(rng), seen)


async def messages(site: Site, rng: random.Random, count: int, seen: Counter[str]) -> None:
    """Send malformed messages as a delegated host on one connection: each gets its code, and the connection lives."""
    async with site.station("CAD2") as host:
        await host.open()
        for _ in range(count):
            text = bad_host_text(rng)
            async with asyncio.timeout(ANSWER_S):
                outcome = (await asyncio.gather(await host.post(text), return_exceptions=True))[0]
            code = getattr(outcome, "code", None)
            assert code is not None, f"{text[:300]!r} was answered with {outcome!r}"
            seen[code] += 1


async def volley(site: Site, seed: int, count: int, seen: Counter[str]) -> None:
    """Send a share of the examples: half as messages, half as connections, several at once."""
    devices = ["DISPATCH1", "RECORDS1", "MOBILE1", "MOBILE2", "PRINTER1", "CAD1"]
    share = count // 2 // len(devices) + 1
    await asyncio.gather(
        messages(site, random.Random(f"messages {seed}"), count - share * len(devices), seen),
        *(connections(site, device, random.Random(f"{device} {seed}"), share, seen) for device in devices),
    )


async def good_inquiry(site: Site) -> None:
    async with site.signed_on("DISPATCH1", "D10002") as station:
        await station.send("IV.4.CA0990000.LIC/1GOOD", {"ref": "good"})
        assert (await station.answer_to("good")).kind == "response"


@pytest.mark.requirement("C-HDR", "C-OIF", "C-TAF", "C-ACPLOG")
async def test_malformed_input_gets_a_code_or_the_end_and_costs_no_memory(county: Site) -> None:
    process: Process = next(p for p in county.processes if p.command == "serve")
    seen: Counter[str] = Counter()
    await good_inquiry(county)
    await volley(county, 0, EXAMPLES // 10, seen)
    early = process.rss_bytes()
    for part in range(1, 10):
        await volley(county, part, EXAMPLES // 10, seen)
        assert process.popen.poll() is None, process.output
    await good_inquiry(county)
    growth = process.rss_bytes() - early
    assert seen.total() >= EXAMPLES - 10, seen
    assert "E599" not in seen, seen
    assert {"E202", "E203", "E204", "E601", "E602", "E604", "E605"} <= set(seen), seen
    assert "Traceback" not in process.output
    assert growth < GROWTH_BYTES_MAX, f"{growth / 1e6:.1f} MB more after {EXAMPLES} examples"


async def test_frames_and_handshakes_begun_and_never_finished_are_cut_off(county: Site) -> None:
    """Slow peers hold a connection for a bounded time only; the others are served meanwhile."""
    wires: list[Wire] = [await county.wire(device) for device in ("RECORDS1", "MOBILE1", "MOBILE2")]
    at = county.demo["switch"]
    plain = [await asyncio.open_connection(at["host"], at["port"]) for _ in range(20)]
    try:
        for number, wire in enumerate(wires):
            await wire.write(frame("D", 1, b"x" * 500)[: 3 + number * 4])
        for number, (_, writer) in enumerate(plain):
            writer.write(b"\x16\x03\x01\x02\x00\x01"[: number % 7])
        await good_inquiry(county)
        async with asyncio.timeout(40):
            ends = await asyncio.gather(*(wire.rest(40) for wire in wires))
            shut = await asyncio.gather(*(reader.read() for reader, _ in plain), return_exceptions=True)
        assert all(frames[-1].kind == "C" for frames in ends)
        assert all(isinstance(end, bytes | ConnectionError) for end in shut), shut
    finally:
        for wire in wires:
            await wire.abort()
        for _, writer in plain:
            writer.transport.abort()


async def test_a_peer_that_closes_at_once_or_mid_handshake_does_no_harm(county: Site) -> None:
    at = county.demo["switch"]
    for number in range(60):
        _, writer = await asyncio.open_connection(at["host"], at["port"])
        if number % 3:
            writer.write(random.Random(number).randbytes(200))
        writer.transport.abort()
    await good_inquiry(county)
