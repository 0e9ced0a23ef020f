"""`make bench`: the switch under load beside a bare TLS echo, in one run on one machine.

Switch, simulated state and generator are processes of their own; everything is durable (a commit with
fsync before each acknowledgement) and crosses mutual TLS. Prints a table and writes
loadtest/results/latest.json. Compare ratios, not absolute numbers: machines differ and are noisy.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import re
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import uvloop

from loadtest.generator import Caller, EchoCaller, Tally, TerminalCaller, run
from msc import tls
from msc.directory.credential import hash_password
from msc.directory.rows import Account, Agency, Device, Directory, Mnemonic, Operator, OperatorClass, Role, User
from msc.directory.store import DirectoryStore
from msc.lab.demo.site import make_demo
from msc.pki.authority import Authority, load_profile, pem_of
from msc.pki.folder import install
from msc.protocol.header import base36
from msc.protocol.station import StationKind
from msc.settings import Settings, load_settings
from msc.site.make import free_ports

RESULTS = Path(__file__).parent / "results" / "latest.json"
_PASSWORD = "load-generator"
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


AUDITOR = "auditor"
"""The operator of the bench's site."""


def load_user(number: int) -> str:
    """Return the user id of the n-th load user."""
    return f"L{base36(number, 5)}"


async def prepare(folder: Path, terminals: int, *, users: int = 1, idle_devices: int = 0) -> Settings:
    """Make a site with as many terminals as connections, and load users who share a password.

    Args:
        idle_devices: Further devices of the directory, which have no certificate.
    """
    await make_demo(folder)
    with (folder / "msc.toml").open("a", encoding="utf-8") as file:
        file.write("\n[device_class.workstation]\nsessions_max = 1000\n")  # one user signs on at every terminal
    settings = load_settings(folder / "msc.toml")
    today = datetime.now(UTC).date() - timedelta(days=1)
    everybody = [
        User(
            load_user(n), "Load generator", "EXSO", OperatorClass.FULL_ACCESS, authorised_by="the bench", added=today,
            cleared=today, certified=today, statement=today, dmv_statement=today,
        )
        for n in range(users)
    ]  # fmt: skip
    password_hash = hash_password(_PASSWORD)
    names = [f"L{base36(n, 3)}" for n in range(terminals)]
    every_name = [*names, *(f"I{base36(n, 3)}" for n in range(idle_devices))]
    store = DirectoryStore(settings.database_url(settings.directory))
    await store.save(
        Directory(
            agencies=[Agency("EXSO", "Example County Sheriff", "CA0990000")],
            operators=[Operator(AUDITOR, "Auditor of the bench", Role.AUDITOR)],
            users=everybody,
            accounts=[Account(user.user, password_hash) for user in everybody],
            devices=[Device(f"LOAD-{name}", StationKind.TERMINAL, "EXSO", name, staffed=True) for name in every_name],
            mnemonics=[
                Mnemonic(name, "EXSO", authorised_by="the bench", authorised=today, programmed=today)
                for name in every_name
            ],
        )
    )
    await store.close()
    # An authority of the run's own, trusted by all its processes.
    certs = folder / "certs"
    authority = Authority.create(load_profile(certs / "profile.toml"))
    (certs / "ca.pem").write_bytes(pem_of(authority.certificate))
    install(certs / "switch", authority.issue(f"msc://switch/{settings.switch.name}"))
    for line in settings.line:
        install(certs / "lines" / line.name, authority.issue(f"msc://host/{line.name}"))
    install(certs / "operators" / AUDITOR, authority.issue(f"msc://operator/{AUDITOR}"))
    for name in names:
        install(certs / "devices" / f"LOAD-{name}", authority.issue(f"msc://device/LOAD-{name}"))
    return settings


def contexts(settings: Settings, count: int) -> list[ssl.SSLContext]:
    """Load the client certificates of the first terminals."""
    certs = settings.folder / "certs"
    stems = [certs / "devices" / f"LOAD-L{base36(n, 3)}" for n in range(count)]
    return [tls.client_context(certs / "ca.pem", Path(f"{s}.pem"), Path(f"{s}.key")) for s in stems]


@contextmanager
def process(*arguments: str, log: Path) -> Any:
    """Run a Python process; its output goes to a file."""
    with log.open("ab") as out:
        child = subprocess.Popen([sys.executable, *arguments], stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    try:
        yield child
    finally:
        child.terminate()
        try:
            child.wait(20)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def scrape(port: int, path: str) -> str:
    """Read the switch's monitor."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
        text: str = answer.read().decode()
        return text


def wait_ready(port: int) -> None:
    """Wait until the switch says it is ready.

    Raises:
        SystemExit: It does not within 30 seconds.
    """
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            scrape(port, "/ready")
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit("the switch did not become ready")


def commits(port: int) -> tuple[float, float]:
    """Return how many commits the journal made, and their rows."""
    text = scrape(port, "/metrics")

    def value(name: str) -> float:
        found = re.search(rf"^{name} (\S+)$", text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    return value("msc_commit_rows_count"), value("msc_commit_rows_sum")


def cpu_s(pid: int) -> float:
    """Return the CPU time a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def measure_echo(settings: Settings, port: int, connections: int, options: argparse.Namespace) -> dict[str, Any]:
    """Run the generator against the bare echo."""
    certs, tally = settings.folder / "certs", Tally()
    arguments = (str(certs / "ca.pem"), str(certs / "switch.pem"), str(certs / "switch.key"), str(port))
    with process("-m", "loadtest.echo", *arguments, log=settings.folder / "echo.log"):
        _wait_port(port)

        async def work() -> None:
            callers: list[tuple[Caller, ssl.SSLContext]] = [
                (EchoCaller(tally, options.window), context) for context in contexts(settings, connections)
            ]
            await run(callers, port, options.seconds, options.warm_up, tally)

        uvloop.run(work())
    return {"connections": connections, **tally.summary()}


def _wait_port(port: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)


def measure_switch(settings: Settings, connections: int, options: argparse.Namespace) -> dict[str, Any]:
    """Run the generator against a new switch with its simulated state."""
    site, tally = str(settings.file), Tally()
    figures: dict[str, Any] = {"connections": connections}
    with (
        process("-m", "msc", "simulate", site, "--only", "state", log=settings.folder / "state.log"),
        process("-m", "msc", "serve", site, log=settings.folder / "switch.log") as switch,
    ):
        port = settings.monitor.port
        wait_ready(port)

        async def work() -> None:
            callers: list[tuple[Caller, ssl.SSLContext]] = [
                (TerminalCaller(tally, options.window, load_user(0), _PASSWORD), context)
                for context in contexts(settings, connections)
            ]
            loop = asyncio.get_running_loop()
            watch = asyncio.ensure_future(_watch(loop, callers, options, switch.pid, port, figures))
            await run(callers, settings.listener.port, options.seconds, options.warm_up, tally)
            await watch

        uvloop.run(work())
    transactions = max(tally.completed, 1)
    cpu, made, rows = figures.pop("cpu"), figures.pop("made"), figures.pop("rows")
    return {
        **figures,
        **tally.summary(),
        "cpu_us_per_tx": round(cpu / transactions * 1e6, 1),
        "lost": tally.lost,
        "refused": tally.refused,
        "commits": int(made),
        "records_per_commit": round(rows / max(made, 1), 1),
        "records_per_tx": round(rows / transactions, 2),
    }


async def _watch(
    loop: asyncio.AbstractEventLoop,
    callers: list[tuple[Caller, ssl.SSLContext]],
    options: argparse.Namespace,
    pid: int,
    port: int,
    figures: dict[str, Any],
) -> None:
    """Note the switch's CPU time and commits over the measured time alone."""
    await asyncio.gather(*(caller.ready for caller, _ in callers))
    await asyncio.sleep(options.warm_up)
    before, (made, rows) = cpu_s(pid), await loop.run_in_executor(None, commits, port)
    await asyncio.sleep(options.seconds)
    made_now, rows_now = await loop.run_in_executor(None, commits, port)
    figures.update(cpu=cpu_s(pid) - before, made=made_now - made, rows=rows_now - rows)


def commit_id() -> str:
    """Return the commit that is measured, with `+` if the tree differs from it."""
    root = Path(__file__).parent
    try:
        head = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], cwd=root, capture_output=True, text=True, check=True
        ).stdout.strip()
        dirty = subprocess.run(
            ["git", "status", "--porcelain"], cwd=root, capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{head}+" if dirty.strip() else head


def main() -> None:
    """Measure, print, and write the results."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.bench", description=__doc__)
    parser.add_argument("--connections", type=int, nargs="+", default=[50, 200])
    parser.add_argument("--window", type=int, default=1, help="round trips under way on each connection")
    parser.add_argument("--seconds", type=float, default=8.0, help="measured time of each run (at most 120)")
    parser.add_argument("--warm-up", type=float, default=2.0)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    options.seconds = min(options.seconds, 120.0)

    with tempfile.TemporaryDirectory(prefix="msc-bench-") as name:
        settings = asyncio.run(prepare(Path(name) / "site", max(options.connections)))
        (echo_port,) = free_ports(1)
        echoes = [measure_echo(settings, echo_port, n, options) for n in options.connections]
        runs = [measure_switch(settings, n, options) for n in options.connections]
    ratios = [round(r["tps"] / e["tps"], 4) if e["tps"] else 0.0 for e, r in zip(echoes, runs, strict=True)]
    result = {
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs, {platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "commit": commit_id(),
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "window": options.window,
        "seconds": options.seconds,
        "echo": echoes[-1],
        "echoes": echoes,
        "msc": runs,
        # Of the run with as many connections as `echo`; the ratio of every pair stands beside it.
        "ratio_to_echo": ratios[-1],
        "ratios_to_echo": ratios,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    show(result, options.out)


def show(result: dict[str, Any], out: Path) -> None:
    """Print the results as a table."""
    print(f"{result['machine']}, commit {result['commit']}, window {result['window']}")
    heads = {"round trips/s": 14, "p50 ms": 9, "p99 ms": 9, "CPU us/tx": 11, "rows/commit": 13, "lost": 6, "ratio": 8}
    print(" " * 24 + "".join(f"{head:>{width}}" for head, width in heads.items()))
    for echo in result["echoes"]:
        name = f"TLS echo, {echo['connections']} conn."
        print(f"{name:24}{echo['tps']:>14}{echo['p50_ms']:>9}{echo['p99_ms']:>9}")
    for one, ratio in zip(result["msc"], result["ratios_to_echo"], strict=True):
        name = f"switch, {one['connections']} conn."
        print(
            f"{name:24}{one['tps']:>14}{one['p50_ms']:>9}{one['p99_ms']:>9}{one['cpu_us_per_tx']:>11}"
            f"{one['records_per_commit']:>13}{one['lost']:>6}{ratio:>8}"
        )
    print(f"written to {out}")


if __name__ == "__main__":
    main()
