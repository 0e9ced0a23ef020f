"""A burst of sign-ons while messages flow: what it does to the messages, and how long the sign-ons take.

    python -m loadtest.sign_on [--burst 200] [--terminals 25] [--rate 250] [--users 10000] [--devices 2000]

Terminals send inquiries at a steady rate: alone, while the burst signs on all at once, and while somebody signs on
and off several times a second, as in a county at work. Every sign-on is a whole one: argon2id, the directory's
commit, an audit event. Load goes to 127.0.0.1 alone and stops by itself.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import uvloop

from loadtest.bench import _PASSWORD, contexts, load_user, prepare, process, wait_ready
from msc.link.client import Client
from msc.settings import Settings

RESULTS = Path(__file__).parent / "results" / "sign_on.json"
_SETTLE_S = 2.0


def percentiles(seconds: list[float]) -> dict[str, float]:
    """Return count, median, 99th percentile and maximum, in milliseconds."""
    ranked = sorted(seconds) or [0.0]
    return {
        "count": len(seconds),
        "p50_ms": round(ranked[len(ranked) // 2] * 1e3, 2),
        "p99_ms": round(ranked[int(len(ranked) * 0.99)] * 1e3, 2),
        "max_ms": round(ranked[-1] * 1e3, 2),
    }


async def ask_steadily(
    client: Client, period_s: float, started: float, until: asyncio.Event, took: list[float]
) -> None:
    """Send an inquiry at each beat, whether or not earlier ones are answered; note when the answer came."""
    beat = started
    begun: dict[int, float] = {}

    async def receive() -> None:
        while True:
            message = await client.receive()
            due = begun.pop(message.envelope["transaction"], None)
            if due is not None:
                took.append(time.perf_counter() - due)

    receiver = asyncio.ensure_future(receive())
    while not until.is_set():
        await asyncio.sleep(max(0.0, beat - time.perf_counter()))
        # From when it was due, not from when it was sent: a sender that is held up must not hide the delay.
        begun[await client.send("IV.4.CA0990000.LIC/ZZ00001")] = beat
        beat += period_s
    await asyncio.sleep(1.0)
    receiver.cancel()


async def measure(settings: Settings, options: argparse.Namespace) -> dict[str, Any]:
    """Measure the steady traffic alone, then with the burst."""
    all_contexts = contexts(settings, options.terminals + options.burst)
    port = settings.listener.port
    clients = [await Client.connect("127.0.0.1", port, context) for context in all_contexts]
    steady, burst = clients[: options.terminals], clients[options.terminals :]
    for client in steady:
        await client.sign_on(load_user(0), _PASSWORD)
    period = options.terminals / options.rate

    async def phase(work: Any) -> list[float]:
        took: list[float] = []
        until = asyncio.Event()
        begin = time.perf_counter() + 0.1
        senders = [
            asyncio.ensure_future(ask_steadily(client, period, begin + n * period / len(steady), until, took))
            for n, client in enumerate(steady)
        ]
        await work
        until.set()
        await asyncio.gather(*senders)
        return took

    async def sign_on(number: int, client: Client) -> float:
        began = time.perf_counter()
        await client.sign_on(load_user((number + 1) % options.users), _PASSWORD)
        return time.perf_counter() - began

    sign_ons: list[float] = []
    steadily: list[float] = []

    async def signing_on() -> None:
        sign_ons.extend(await asyncio.gather(*(sign_on(n, client) for n, client in enumerate(burst))))

    async def coming_and_going() -> None:
        for n, client in enumerate(burst[: int(options.seconds * options.sign_on_rate)]):
            beat = time.perf_counter() + 1 / options.sign_on_rate
            await client.sign_off()
            steadily.append(await sign_on(n, client))
            await asyncio.sleep(max(0.0, beat - time.perf_counter()))

    await phase(asyncio.sleep(_SETTLE_S))
    alone = await phase(asyncio.sleep(options.seconds))
    began = time.perf_counter()
    beside = await phase(signing_on())
    seconds = time.perf_counter() - began
    at_work = await phase(coming_and_going())
    for client in clients:
        client.close("done")
    result = {
        "alone": percentiles(alone),
        "beside_burst": percentiles(beside),
        "sign_ons": percentiles(sign_ons),
        "burst_s": round(seconds, 2),
        "p99_ratio": round(percentiles(beside)["p99_ms"] / percentiles(alone)["p99_ms"], 2),
        "beside_steady_sign_ons": percentiles(at_work),
        "steady_sign_ons": percentiles(steadily),
    }
    return {"users": options.users, "devices": options.devices, "rate": options.rate, **result}


def main() -> None:
    """Measure, print, and write the results."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.sign_on", description=__doc__)
    parser.add_argument("--burst", type=int, default=200, help="sign-ons at once")
    parser.add_argument("--terminals", type=int, default=25, help="terminals that send meanwhile")
    parser.add_argument("--rate", type=float, default=250.0, help="inquiries a second, all terminals together")
    parser.add_argument("--seconds", type=float, default=6.0, help="measured time without the burst (at most 60)")
    parser.add_argument("--sign-on-rate", type=float, default=5.0, help="sign-ons a second of a county at work")
    parser.add_argument("--users", type=int, default=10_000, help="users of the directory")
    parser.add_argument("--devices", type=int, default=2_000, help="devices of the directory")
    options = parser.parse_args()
    options.seconds = min(options.seconds, 60.0)
    with tempfile.TemporaryDirectory(prefix="msc-sign-on-") as name:
        settings = asyncio.run(
            prepare(
                Path(name) / "site",
                options.terminals + options.burst,
                users=options.users,
                idle_devices=max(0, options.devices - options.terminals - options.burst),
            )
        )
        site = str(settings.file)
        with (
            process("-m", "msc", "simulate", site, "--only", "state", log=settings.folder / "state.log"),
            process("-m", "msc", "serve", site, log=settings.folder / "switch.log"),
        ):
            wait_ready(settings.monitor.port)
            result = uvloop.run(measure(settings, options))
    print(json.dumps(result, indent=2))
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
