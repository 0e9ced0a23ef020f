"""Heavy searching while messages flow: what it does to the messages.

    python -m loadtest.searching [--records 300000] [--searchers 4] [--terminals 25] [--rate 250] [--seconds 8]

A switch with a filled journal of three years. Terminals send inquiries at a steady rate, first alone, then while
auditors search without a pause, each over the administrative socket as the command does: single filters, words,
beginnings, statistics over all of it, and one who reads everything. They are a process of their own, so that the
terminals' times are not those of a client that is busy reading answers. Load goes to 127.0.0.1 alone, and stops by
itself.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import uvloop

from loadtest.bench import _PASSWORD, AUDITOR, contexts, load_user, prepare, process, wait_ready
from loadtest.sign_on import ask_steadily, percentiles
from msc.control.client import ask_as
from msc.control.operator_key import load_operator_key
from msc.link.client import Client
from msc.settings import Settings, load_settings

RESULTS = Path(__file__).parent / "results" / "searching.json"
_SETTLE_S = 2.0
_QUESTIONS: list[tuple[str, dict[str, Any]]] = [
    ("search", {"criteria": {"kind": "inquiry", "key": "QW"}, "limit": 50}),
    ("search", {"criteria": {"text": ["NAM", "A*"]}, "limit": 500}),
    ("search", {"criteria": {"outcome": "expired"}, "oldest_first": True, "limit": 1000}),
    ("stats", {"criteria": {}, "by": ["day"]}),
    ("audit", {"criteria": {"event": "sign_on.refused"}, "limit": 1000}),
    ("stats", {"criteria": {"direction": "outbound"}, "by": ["key", "agency"]}),
    ("search", {"criteria": {}, "limit": 5000}),
]


async def search_on(settings: Settings, number: int) -> None:
    """Ask one question after the other; print how long each took, in seconds."""
    stem = settings.folder / "certs" / "operators" / AUDITOR
    operator = load_operator_key(Path(f"{stem}.pem"), Path(f"{stem}.key"), lambda: None)
    for verb, content in itertools.islice(itertools.cycle(_QUESTIONS), number, None):
        began = time.perf_counter()
        async for _ in ask_as(settings, operator, f"/journal/{verb}", {"reason": "load test", **content}):
            pass
        print(time.perf_counter() - began, flush=True)


async def search_all(settings: Settings, searchers: int) -> None:
    """Be the auditors, until terminated."""
    await asyncio.gather(*(search_on(settings, number) for number in range(searchers)))


async def measure(settings: Settings, options: argparse.Namespace) -> dict[str, Any]:
    """Measure the steady traffic alone, and beside the searching."""
    clients = [
        await Client.connect("127.0.0.1", settings.listener.port, context)
        for context in contexts(settings, options.terminals)
    ]
    for client in clients:
        await client.sign_on(load_user(0), _PASSWORD)
    period = options.terminals / options.rate

    async def traffic(seconds: float) -> list[float]:
        took: list[float] = []
        until = asyncio.Event()
        begin = time.perf_counter() + 0.1
        senders = [
            asyncio.ensure_future(ask_steadily(client, period, begin + n * period / len(clients), until, took))
            for n, client in enumerate(clients)
        ]
        await asyncio.sleep(seconds)
        until.set()
        await asyncio.gather(*senders)
        return took

    await traffic(_SETTLE_S)
    alone: list[float] = []
    beside: list[float] = []
    searches: list[float] = []
    # By turns, so that a noisy neighbour is in both.
    for _ in range(options.rounds):
        alone += await traffic(options.seconds / options.rounds)
        log = settings.folder / "searches.log"
        arguments = (
            "-m",
            "loadtest.searching",
            "--searchers",
            str(options.searchers),
            "--search",
            str(settings.file),
        )
        with process(*arguments, log=log):
            await asyncio.sleep(_SETTLE_S)
            beside += await traffic(options.seconds / options.rounds)
        searches = [float(line) for line in log.read_text().splitlines()]
    for client in clients:
        client.close("done")
    ratio = percentiles(beside)["p99_ms"] / percentiles(alone)["p99_ms"]
    return {
        "records": options.records, "rate": options.rate, "searchers": options.searchers,
        "alone": percentiles(alone), "beside_searching": percentiles(beside), "searches": percentiles(searches),
        "p99_ratio": round(ratio, 2),
    }  # fmt: skip


def main() -> None:
    """Measure, print, and write the results."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.searching", description=__doc__)
    parser.add_argument("--records", type=int, default=300_000, help="records of the filled journal")
    parser.add_argument("--searchers", type=int, default=4, help="auditors who search without a pause")
    parser.add_argument("--terminals", type=int, default=25, help="terminals that send meanwhile")
    parser.add_argument("--rate", type=float, default=250.0, help="inquiries a second, all terminals together")
    parser.add_argument("--seconds", type=float, default=20.0, help="measured time of each kind (at most 120)")
    parser.add_argument("--rounds", type=int, default=4, help="turns of each kind")
    parser.add_argument("--search", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.search is not None:
        os.nice(10)  # as the command does
        uvloop.run(search_all(load_settings(options.search), options.searchers))
        return
    options.seconds = min(options.seconds, 120.0)
    with tempfile.TemporaryDirectory(prefix="msc-searching-") as name:
        settings = asyncio.run(prepare(Path(name) / "site", options.terminals))
        site = str(settings.file)
        fill = ["-m", "msc", "journal", "fill", site, "--records", str(options.records)]
        subprocess.run([sys.executable, *fill], check=True, timeout=1800, stderr=subprocess.DEVNULL)
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
