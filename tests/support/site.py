"""A demo site as processes: made by `msc init --demo`, known only through `demo.json` and the commands."""

from __future__ import annotations

import atexit
import contextlib
import functools
import http.client
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from msc.site.make import free_ports
from tests.support.mtp_client import TIMEOUT_S, StateHost, Station, Wire

START_S = 30.0
COMMAND_S = 60.0
POLL_S = 0.02
GROUPS = """
[[group]]
code = "EXDESKS"
name = "The desks"
members = ["EXA1", "EXA2"]

[[group]]
code = "EXAPB"
name = "All points"
members = ["EXDESKS", "EXPR"]

[[group]]
code = "EXSTATE"
name = "The county, and the state"
scope = "state"
members = ["EXAPB"]
to = ["clets-a"]
"""
"""Groups of the demo county, as a site's groups.toml has them."""
ASKING = ("--as", "admin", "--reason", "a test")
"""Who asks the journal, and why."""


def environment(**more: str) -> dict[str, str]:
    """The environment of a command: plain output, and no site chosen by accident."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MSC_")}
    return kept | {"NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "200", "PYTHONUNBUFFERED": "1"} | more


def run_msc(
    *args: str | Path, stdin: str = "", within_s: float = COMMAND_S, **env: str
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end. No command may ever show a traceback."""
    done = subprocess.run(
        [sys.executable, "-m", "msc", *map(str, args)],
        input=stdin, capture_output=True, text=True, timeout=within_s, env=environment(**env), check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stdout + done.stderr, done.stdout + done.stderr
    return done


def eventually(condition: Any, timeout_s: float = TIMEOUT_S, what: str = "it") -> Any:
    """Poll until a condition holds; return its value."""
    until = time.monotonic() + timeout_s
    while True:
        if value := condition():
            return value
        assert time.monotonic() < until, f"{what} did not come true in {timeout_s} s"
        time.sleep(POLL_S)


class Process:
    """A daemon of the site, its output in files so that a full pipe never blocks it."""

    def __init__(self, command: str, site: Site, *args: str) -> None:
        self.command = command
        site.runs += 1
        self.stdout_file = site.folder.parent / f"{site.folder.name}-{command}-{site.runs}.out"
        self.stderr_file = self.stdout_file.with_suffix(".err")
        with self.stdout_file.open("wb") as out, self.stderr_file.open("wb") as err:
            self.popen = subprocess.Popen(
                [sys.executable, "-m", "msc", command, str(site.toml), *args],
                stdin=subprocess.PIPE, stdout=out, stderr=err, env=environment(),
            )  # fmt: skip

    @property
    def pid(self) -> int:
        """The process id."""
        return self.popen.pid

    @property
    def output(self) -> str:
        """All it has written, to either stream."""
        return self.stdout_file.read_text("utf-8", "replace") + self.stderr_file.read_text("utf-8", "replace")

    def type_line(self, text: str) -> None:
        """Type a line on its standard input."""
        assert self.popen.stdin is not None
        self.popen.stdin.write(text.encode() + b"\n")
        self.popen.stdin.flush()

    def rss_bytes(self) -> int:
        """Resident memory."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found, status
        return int(found[1]) * 1024

    def terminate(self) -> None:
        """Ask it to drain and stop."""
        self.popen.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kill it with -9 and wait until it is gone."""
        self.popen.kill()
        self.popen.wait(10)
        self._close()

    def wait(self, timeout_s: float = 20.0) -> int:
        """Wait for its end; return the exit code."""
        code = self.popen.wait(timeout_s)
        self._close()
        return code

    def stop(self) -> None:
        """End it, whatever it takes."""
        if self.popen.poll() is None:
            self.terminate()
            try:
                self.popen.wait(5)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait(10)
        self._close()

    def _close(self) -> None:
        if self.popen.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self.popen.stdin.close()


@functools.cache
def _pattern() -> Path:
    """Make a demo site, once: each takes two seconds, and two dozen are wanted."""
    folder = Path(tempfile.mkdtemp(prefix="msc-site-")) / "site"
    atexit.register(shutil.rmtree, folder.parent, ignore_errors=True)
    done = run_msc("init", "--demo", folder)
    assert done.returncode == 0, done.stderr
    return folder


class Site:
    """A demo site in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runs = 0
        self.processes: list[Process] = []
        self.added: dict[str, dict[str, Any]] = {}
        """People and devices that a test has added, as demo.json would name them."""

    @classmethod
    def make(cls, folder: Path) -> Site:
        """Take a copy of the one that `msc init --demo` made for this run, with ports of its own."""
        shutil.copytree(_pattern(), folder)
        demo = json.loads((folder / "demo.json").read_text("utf-8"))
        ports = [demo["switch"]["port"], demo["monitor"]["port"], *(line["port"] for line in demo["lines"])]
        instead = dict(zip(map(str, ports), map(str, free_ports(len(ports))), strict=True))
        for file in (folder / "msc.toml", folder / "demo.json"):
            text = re.sub(r"\b\d{5}\b", lambda found: instead.get(found[0], found[0]), file.read_text("utf-8"))
            file.write_text(text, "utf-8")
        return cls(folder)

    @property
    def toml(self) -> Path:
        """Its settings file."""
        return self.folder / "msc.toml"

    @property
    def demo(self) -> dict[str, Any]:
        """What demo.json says."""
        contract: dict[str, Any] = json.loads((self.folder / "demo.json").read_text("utf-8"))
        return contract

    def device(self, name: str) -> dict[str, Any]:
        """A device of demo.json; one that a test added gets its certificate here."""
        for row in self.demo["devices"]:
            if row["name"] == name:
                return dict(row)
        if name not in self.added:
            certificate, key = self.certificate(f"msc://device/{name}")
            self.added[name] = {"name": name, "certificate": certificate, "key": key}
        return self.added[name]

    def user(self, user: str) -> dict[str, Any]:
        """A user of demo.json, or one that a test added."""
        return self.added.get(user) or next(row for row in self.demo["users"] if row["user"] == user)

    def line(self, name: str) -> dict[str, Any]:
        """A line of demo.json."""
        return next(row for row in self.demo["lines"] if row["name"] == name)

    # --- changes before a start -------------------------------------------------------------------
    def edit(self, file: str, *changes: tuple[str, str]) -> None:
        """Change a file of the site: each pair is a regular expression, which must match, and what replaces it."""
        path = self.folder / file
        text = path.read_text("utf-8")
        for pattern, replacement in changes:
            text, count = re.subn(pattern, replacement, text, flags=re.MULTILINE | re.DOTALL)
            assert count, f"{file}: nothing matches {pattern!r}"
        path.write_text(text, "utf-8")

    def quick_lines(self) -> None:
        """Let lines reconnect at once, so that tests need not wait for the back-off."""
        self.edit("msc.toml", (r'^(mode = "production")$', r"\1\nreconnect_first_s = 0.05\nreconnect_last_s = 0.1"))

    def answer_time(self, key: str, seconds: int, catalog: str = "california") -> None:
        """Give a message key another time-out."""
        self.edit(f"catalog/{catalog}.toml", (rf'(code = "{re.escape(key)}".*?timeout_s = )\d+', rf"\g<1>{seconds}"))

    def directory(self, statement: str, *values: Any) -> None:
        """Change the directory of a stopped site, as an administrator would."""
        with contextlib.closing(sqlite3.connect(self.folder / "data" / "directory.db")) as database, database:
            changed = database.execute(statement, values)
            assert changed.rowcount, statement

    # --- processes ----------------------------------------------------------------------------------
    start_s = START_S
    """How long a starting switch may take; it reads the last hour's traffic."""

    def serve(self, *, wait: bool = True) -> Process:
        """Start the switch and wait until it is ready."""
        process = Process("serve", self)
        self.processes.append(process)
        if wait:
            self.wait_ready(process)
        return process

    def wait_ready(self, process: Process) -> None:
        """Wait until its listener greets; /ready also waits for a line, which a test may stand in for only later."""
        at, context = self.demo["switch"], self.device_context("PRINTER1")

        def greets() -> bool:
            assert process.popen.poll() is None, f"the switch ended with {process.popen.returncode}: {process.output}"
            try:
                with (
                    socket.create_connection((at["host"], at["port"]), 5) as plain,
                    context.wrap_socket(plain) as secured,
                ):
                    return bool(secured.recv(1))
            except OSError:
                return False

        eventually(greets, self.start_s, "a greeting")

    def simulate(self, *args: str) -> Process:
        """Start the simulated hosts and wait until every line is up."""
        process = Process("simulate", self, *args)
        self.processes.append(process)
        return process

    def monitor(self, path: str) -> tuple[int, str]:
        """Ask the monitor; status 0 if it does not answer."""
        at = self.demo["monitor"]
        connection = http.client.HTTPConnection(at["host"], at["port"], timeout=5)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        except (OSError, http.client.HTTPException):
            return 0, ""
        finally:
            connection.close()

    def wait_lines(self, names: Iterable[str] = ("clets-a", "ncic-a")) -> None:
        """Wait until lines are in service."""
        eventually(lambda: self.monitor("/ready")[0] == 200, START_S, "/ready")
        eventually(lambda: all(_is_open(self.monitor("/metrics")[1], name) for name in names), START_S, "the lines")

    def wait_lines_down(self, names: Iterable[str] = ("clets-a", "ncic-a")) -> None:
        """Wait until the switch has noticed that lines are gone."""
        eventually(
            lambda: not any(_is_open(self.monitor("/metrics")[1], name) for name in names), START_S, "the lines' end"
        )

    def stop(self) -> None:
        """End every process of the site."""
        for process in reversed(self.processes):
            process.stop()

    def run(self, *command: str, stdin: str = "") -> str:
        """Run a command on this site, `user suspend J40217 …`, which must succeed; return what it printed."""
        done = run_msc(*command[:2], self.toml, *command[2:], stdin=stdin)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    # --- the journal, through the command -----------------------------------------------------------
    def ask(self, *command: str, within_s: float = COMMAND_S, **env: str) -> subprocess.CompletedProcess[str]:
        """Ask the journal as an operator: of the running switch, and offline where none of the site runs."""
        offline = [] if self.is_served else ["--offline"]
        return run_msc(*command[:2], self.toml, *command[2:], *ASKING, *offline, within_s=within_s, **env)

    @property
    def is_served(self) -> bool:
        """Whether a switch of the site runs."""
        return any(process.command == "serve" and process.popen.poll() is None for process in self.processes)

    def journal(self, *args: str) -> list[dict[str, Any]]:
        """Search the journal: newest first."""
        return self._found("journal", *args)

    def audit(self, *args: str) -> list[dict[str, Any]]:
        """Search the audit stream: newest first."""
        return self._found("audit", *args)

    def _found(self, stream: str, *args: str) -> list[dict[str, Any]]:
        done = self.ask(stream, "search", "--json", *args)
        # Nothing found is 1, as a refusal is; but that one says why.
        assert done.returncode == 0 or (done.returncode, done.stdout, done.stderr) == (1, "", ""), done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    # --- connections --------------------------------------------------------------------------------
    def context(self, certificate: str, key: str, *, server: bool = False) -> ssl.SSLContext:
        """A TLS context with a certificate of the site, in which each end verifies the other."""
        purpose = ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT
        context = ssl.SSLContext(purpose)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(self.folder / self.demo["ca"])
        context.load_cert_chain(self.folder / certificate, self.folder / key)
        return context

    def device_context(self, name: str) -> ssl.SSLContext:
        """The TLS context of a device."""
        row = self.device(name)
        return self.context(row["certificate"], row["key"])

    async def wire(self, name: str) -> Wire:
        """Connect as a device, without a word said yet."""
        at = self.demo["switch"]
        return await Wire.connect(at["host"], at["port"], self.device_context(name))

    @contextlib.asynccontextmanager
    async def station(self, name: str, *, auto_ack: bool = True) -> AsyncIterator[Station]:
        """Connect as a device and wait for the hello."""
        station = Station(await self.wire(name), auto_ack=auto_ack)
        try:
            await station.greeted()
            yield station
        finally:
            await station.close()

    @contextlib.asynccontextmanager
    async def signed_on(
        self, name: str, user: str = "J40217", *, auto_ack: bool = True, **more: Any
    ) -> AsyncIterator[Station]:
        """Connect as a terminal, sign on, and sign off at the end."""
        async with self.station(name, auto_ack=auto_ack) as station:
            station.session = await station.sign_on(user, self.user(user)["password"], **more)  # type: ignore[attr-defined]
            yield station
            await station.sign_off()

    @contextlib.asynccontextmanager
    async def state(self, name: str = "clets-a", **members: Any) -> AsyncIterator[StateHost]:
        """Stand in for the host of a line, and wait until the switch has opened it."""
        row = self.line(name)
        context = self.context(row["certificate"], row["key"], server=True)
        async with StateHost(name, **members).running(row["host"], row["port"], context) as host:
            await host.up(START_S)
            yield host

    def certificate(self, *names: str, days: float = 30, trusted: bool = True) -> tuple[str, str]:
        """Issue a certificate that names its holder as the page says; paths relative to the site.

        Args:
            names: URI subject alternative names.
            days: Until it expires; negative for one that has expired.
            trusted: Whether the site's authority issued it.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        authority = (
            serialization.load_pem_private_key(
                (self.folder / self.demo["ca_key"]).read_bytes(), self.demo["ca_passphrase"].encode()
            )
            if trusted
            else key
        )
        assert isinstance(authority, ec.EllipticCurvePrivateKey)
        issuer = (
            x509.load_pem_x509_certificate((self.folder / self.demo["ca"]).read_bytes()).subject
            if trusted
            else x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "nobody")])
        )
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")]))
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=60))
            .not_valid_after(now + timedelta(days=days))
        )
        if names:
            alternatives = [x509.UniformResourceIdentifier(name) for name in names]
            builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        issued = builder.sign(authority, hashes.SHA256())
        stem = f"test-{issued.serial_number:x}"
        (self.folder / f"{stem}.pem").write_bytes(issued.public_bytes(serialization.Encoding.PEM))
        (self.folder / f"{stem}.key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return f"{stem}.pem", f"{stem}.key"


def _is_open(metrics: str, line: str) -> bool:
    return bool(
        re.search(rf'^msc_line_\w+\{{[^}}]*line="{re.escape(line)}"[^}}]*\}} 1(\.0)?$', metrics, re.MULTILINE)
    )
