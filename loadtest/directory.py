"""`make bench-directory`: a large directory applied to a running switch, while messages go through it.

Makes the same 10 000 users, 2 000 devices and 2 000 mnemonics each time, none of whom exists, and applies them with
`msc directory apply`. Beside it a terminal inquires without a pause: the longest wait for a whole transaction is
what taking up the directory costs the traffic.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import TypeVar

import uvloop

from loadtest.bench import process, wait_ready
from loadtest.generator import Tally, TerminalCaller
from msc import tls
from msc.directory.document import to_toml
from msc.directory.rows import Agency, Device, Directory, Mnemonic, OperatorClass, User
from msc.lab.demo.site import make_demo
from msc.protocol.header import base36
from msc.protocol.station import StationKind
from msc.settings import Settings, load_settings

Result = TypeVar("Result")

_AGENCIES = 40
_DAY = date(2026, 1, 1)
_USER = "J40217"
_QUIET_S = 3.0
"""How long the traffic is measured alone."""
_LATER_S = 2.0
"""How long a step is watched after its end: what it leaves behind, such as audit rows, is its own."""


def synthetic(users: int, devices: int) -> Directory:
    """Make a directory whose people and places show that they do not exist; every time the same."""
    agencies = [Agency(f"SYNTH{n:02}", f"Synthetic agency {n:02}", f"CA0991{n:02}0"[:9]) for n in range(_AGENCIES)]
    names = [f"Y{base36(n, 3)}" for n in range(devices)]
    return Directory(
        agencies=agencies,
        users=[
            User(
                f"Y{n:05}", f"SYNTHETIC,PERSON {n:05}", agencies[n % _AGENCIES].agency, OperatorClass.FULL_ACCESS,
                authorised_by="the generator", added=_DAY, appointed=_DAY, certified=_DAY - timedelta(days=n % 300),
                score=70 + n % 31, cleared=_DAY, statement=_DAY, dmv_statement=_DAY,
            )
            for n in range(users)
        ],
        devices=[
            Device(
                f"SYNTH-{name}", StationKind.TERMINAL, agencies[n % _AGENCIES].agency, name, staffed=True,
                location=f"Synthetic desk {n}",
            )
            for n, name in enumerate(names)
        ],
        mnemonics=[
            Mnemonic(
                name, agencies[n % _AGENCIES].agency, authorised_by="the generator", requested=_DAY, authorised=_DAY,
                programmed=_DAY,
            )
            for n, name in enumerate(names)
        ],
    )  # fmt: skip


async def msc(*arguments: str | Path) -> float:
    """Run a command to its end.

    Returns:
        How long it took, in seconds.
    """
    began = time.perf_counter()
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "msc", *map(str, arguments), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    if await child.wait() != 0:
        raise SystemExit(f"msc {arguments[0]} {arguments[1]} failed")
    return time.perf_counter() - began


class Traffic:
    """A terminal of the demo that inquires without a pause, while open."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._tally = Tally()

    async def __aenter__(self) -> Traffic:
        folder = self._settings.folder
        demo = json.loads((folder / "demo.json").read_text("utf-8"))
        (password,) = (row["password"] for row in demo["users"] if row["user"] == _USER)
        certs = folder / "certs"
        stem = certs / "devices" / "DISPATCH1"
        context = tls.client_context(certs / "ca.pem", stem.with_suffix(".pem"), stem.with_suffix(".key"))
        self._caller = TerminalCaller(self._tally, 1, _USER, password)
        await asyncio.get_running_loop().create_connection(
            lambda: self._caller, "127.0.0.1", self._settings.listener.port, ssl=context, server_hostname=""
        )
        await self._caller.ready
        self._caller.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._caller.running = False
        self._caller.transport.close()

    async def beside(self, work: Awaitable[Result]) -> tuple[Result, dict[str, float]]:
        """Do something while messages pass.

        Returns:
            What came of it, and how long messages waited, in milliseconds.
        """
        self._tally.latencies = []
        result = await work
        waits = sorted(self._tally.latencies) or [0.0]
        return result, {
            "p50_ms": round(waits[len(waits) // 2] * 1e3, 2),
            "p99_ms": round(waits[int(len(waits) * 0.99)] * 1e3, 2),
            "longest_ms": round(waits[-1] * 1e3, 1),
        }


async def measure(settings: Settings, options: argparse.Namespace) -> list[tuple[str, float, dict[str, float]]]:
    """Apply, export and apply again, with messages beside it.

    Returns:
        What was done, how long it took in seconds, and the waits of messages meanwhile.
    """
    site, folder = settings.file, settings.folder
    first, again = folder / "first.toml", folder / "again.toml"
    declared, changed = folder / "synthetic.toml", folder / "changed.toml"
    directory = synthetic(options.users, options.devices)
    declared.write_text(to_toml(directory), "utf-8")
    directory.replace([replace(row, certified=_DAY) for row in directory.users.values()])
    changed.write_text(to_toml(directory), "utf-8")
    steps: list[tuple[str, tuple[str | Path, ...]]] = [
        ("nothing, for comparison", ()),
        ("apply, and taken up", ("directory", "apply", site, declared, "--yes")),
        ("apply again: nothing to change", ("directory", "apply", site, declared, "--yes")),
        ("apply, most users changed", ("directory", "apply", site, changed, "--yes")),
        ("export", ("directory", "export", site, first)),
        ("apply the export", ("directory", "apply", site, first, "--yes")),
        ("export again", ("directory", "export", site, again)),
        ("export as CSV", ("directory", "export", "--csv", site, folder / "csv")),
    ]
    found = []
    async with Traffic(settings) as traffic:
        for name, arguments in steps:
            seconds, waits = await traffic.beside(_and_a_while(msc(*arguments) if arguments else _idle()))
            found.append((name, seconds, waits))
    if first.read_bytes() != again.read_bytes():
        raise SystemExit("the second export differs from the first")
    return found


async def _idle() -> float:
    await asyncio.sleep(_QUIET_S)
    return _QUIET_S


async def _and_a_while(work: Awaitable[float]) -> float:
    seconds = await work
    await asyncio.sleep(_LATER_S)
    return seconds


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.directory", description=__doc__)
    parser.add_argument("--users", type=int, default=10_000)
    parser.add_argument("--devices", type=int, default=2_000, help="each with a mnemonic of its own")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="msc-bench-") as name:
        folder = Path(name) / "site"
        asyncio.run(make_demo(folder))
        settings = load_settings(folder / "msc.toml")
        with (
            process("-m", "msc", "simulate", str(settings.file), "--only", "state", log=folder / "state.log"),
            process("-m", "msc", "serve", str(settings.file), log=folder / "switch.log"),
        ):
            wait_ready(settings.monitor.port)
            found = uvloop.run(measure(settings, options))
    print(f"{options.users} users, {options.devices} devices and as many mnemonics; a terminal inquires meanwhile")
    print(f"{'':34}{'seconds':>9}{'p50 ms':>9}{'p99 ms':>9}{'longest ms':>12}")
    for step, seconds, waits in found:
        print(f"{step:34}{seconds:>9.2f}{waits['p50_ms']:>9}{waits['p99_ms']:>9}{waits['longest_ms']:>12}")
    print("the second export is the first, byte for byte")


if __name__ == "__main__":
    main()
