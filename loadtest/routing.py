"""Times the route table: what a decision takes, what a reload takes, and how long it holds up the event loop.

    python -m loadtest.routing [--routes 20000] [--groups 5000]

The table is a synthetic county's: routes for one mnemonic and one key, for ORIs, for destinations, for the text of
fields, by agency and function, each sort a fifth, and at its end a route for everything. It is reloaded as a running
switch does it (`msc.control.plan_loading`), while a loop wakes up every millisecond and notes how late it is. Beside
it stands how late it is while nothing else is done: machines differ, and so do their neighbours. The figures are
those of one run.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import platform
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import uvloop

from msc.control.plan_loading import let_go, load_beside
from msc.directory.rows import Agency, Device, Directory, Mnemonic
from msc.protocol.catalog import Catalog, load_catalog
from msc.protocol.station import StationKind
from msc.routing.criteria import Subject
from msc.routing.plan import Plan, PlanFiles, load_plan
from msc.site.shipped import shipped_config
from msc.switch.addressees import DirectoryStations

LINES = ("clets-a", "ncic-a")
MNEMONICS = 4_000
AGENCIES = 100
TICK_S = 0.001


def county() -> Directory:
    """Make a directory of many mnemonics."""
    agencies = [Agency(f"AG{n:03}", f"Agency {n}", f"CA099{n:04}") for n in range(AGENCIES)]
    devices = [
        Device(f"DESK{n}", StationKind.TERMINAL, f"AG{n % AGENCIES:03}", f"{n:04}", staffed=True)
        for n in range(MNEMONICS)
    ]
    mnemonics = [Mnemonic(f"{n:04}", f"AG{n % AGENCIES:03}") for n in range(MNEMONICS)]
    return Directory(agencies, devices=devices, mnemonics=mnemonics)


def write_routes(file: Path, count: int, keys: Sequence[str], draw: random.Random) -> None:
    """Write so many routes."""
    rows = []
    for n in range(count - 1):
        sorts = (
            f'mnemonics = ["{draw.randrange(MNEMONICS):04}"]\nkeys = ["{draw.choice(keys)}"]',
            f'oris = ["CA099{draw.randrange(10_000):04}", "CA098{draw.randrange(10_000):04}"]',
            f'destinations = ["{draw.choice(("NV", "OR", "AZ", "WA"))}{draw.randrange(10_000_000):07}"]',
            f'fields = {{ LIS = ["{draw.choice(("NV", "OR", "AZ"))}"], LIC = ["{draw.randrange(1000):03}*"] }}',
            f'agencies = ["AG{draw.randrange(AGENCIES):03}"]\nfunctions = ["clear", "locate"]\n'
            f'fields = {{ VIN = ["{draw.randrange(100_000):05}*"] }}',
        )
        rows.append(f'[[route]]\nname = "route {n}"\nprecedence = {draw.randrange(100)}\n{sorts[n % 5]}\n')
        rows.append(f'to = ["{draw.choice(LINES)}"]\n\n')
    file.write_text("".join(rows) + '[[route]]\nname = "rest"\nto = ["clets-a"]\n')


def write_groups(file: Path, count: int, draw: random.Random) -> None:
    """Write so many groups of ten mnemonics, every fifth of which holds two of those before it."""
    rows = []
    for n in range(count):
        members = [f"{draw.randrange(MNEMONICS):04}" for _ in range(10)]
        members += [f"G{draw.randrange(n):05}" for _ in range(2)] if n and not n % 5 else []
        rows.append(
            f'[[group]]\ncode = "G{n:05}"\nname = "group {n}"\nmembers = {json.dumps(sorted(set(members)))}\n'
        )
    file.write_text("".join(rows))


def subjects(catalog: Catalog, count: int, draw: random.Random) -> list[Subject]:
    """Make messages of every key, from every mnemonic."""
    keys = list(catalog)
    found = []
    for _ in range(count):
        number = draw.randrange(MNEMONICS)
        fields = {"LIC": f"{draw.randrange(10_000_000):07}", "LIS": draw.choice(("CA", "NV", "OR"))}
        agency = number % AGENCIES
        found.append(
            Subject(draw.choice(keys), f"{number:04}", f"CA099{agency:04}", f"AG{agency:03}", ("NV0000001",), fields)
        )
    return found


def decisions(plan: Plan, asked: list[Subject]) -> dict[str, float]:
    """Time decisions one by one; microseconds."""
    took = []
    for subject in asked:
        begun = time.perf_counter_ns()
        plan.routes.find(subject)
        took.append((time.perf_counter_ns() - begun) / 1e3)
    took.sort()
    return {
        "mean_us": round(statistics.fmean(took), 2),
        "median_us": round(took[len(took) // 2], 2),
        "p99_us": round(took[len(took) * 99 // 100], 2),
    }


class Lateness:
    """A loop that wakes up every millisecond, and how late it was at most."""

    def __init__(self) -> None:
        self.most_s = 0.0

    async def run(self) -> None:
        """Run until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + TICK_S
            await asyncio.sleep(TICK_S)
            self.most_s = max(self.most_s, loop.time() - due)

    def since(self) -> float:
        """Return the most since this was last asked, in milliseconds."""
        most, self.most_s = self.most_s, 0.0
        return round(most * 1e3, 1)


async def measure(routes: int, groups: int) -> dict[str, object]:
    """Make the files, and measure."""
    draw = random.Random(1)
    catalog, directory = load_catalog(shipped_config() / "catalog"), county()
    stations = DirectoryStations(directory)
    with tempfile.TemporaryDirectory() as folder:
        files = PlanFiles(Path(folder, "routes.toml"), Path(folder, "groups.toml"))
        assert files.groups is not None
        write_routes(files.routes, routes, [key.code for key in catalog], draw)
        write_groups(files.groups, groups, draw)
        plan = await load_beside(lambda: load_plan(files, catalog, LINES, stations))
        lateness = Lateness()
        ticking = asyncio.create_task(lateness.run())
        await asyncio.sleep(1)
        idle = lateness.since()
        begun = time.perf_counter()
        used = time.thread_time()
        new = await load_beside(lambda: load_plan(files, catalog, LINES, stations))
        old, plan = plan, new
        reload_s, while_loading = time.perf_counter() - begun, lateness.since()
        await let_go(old)
        del old, new
        await asyncio.sleep(0.1)
        while_letting_go, loop_cpu_s = lateness.since(), time.thread_time() - used
        ticking.cancel()
    asked = subjects(catalog, 20_000, draw)
    decisions(plan, asked[:1_000])
    return {
        "python": platform.python_version(),
        "routes": len(plan.routes.routes),
        "groups": len(plan.groups),
        "decision": decisions(plan, asked),
        "reload_s": round(reload_s, 3),
        "loop_late_ms": {"idle": idle, "while_loading": while_loading, "while_letting_go": while_letting_go},
        "loop_cpu_s": round(loop_cpu_s, 3),
    }


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--routes", type=int, default=20_000)
    parser.add_argument("--groups", type=int, default=5_000)
    given = parser.parse_args()
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)
    print(json.dumps(uvloop.run(measure(given.routes, given.groups)), indent=2))


if __name__ == "__main__":
    main()
