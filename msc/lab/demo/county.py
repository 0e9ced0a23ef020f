"""The demo county at work: switch and simulators as processes, stations as clients of this one."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msc import clock, tls
from msc.control.client import RefusedBySwitch, SwitchNotRunning, ask
from msc.control.operator_key import load_operator_key
from msc.directory.credential import present_otp
from msc.errors import MSCError, Overloaded
from msc.lab.demo.cable import Cable
from msc.lab.demo.script import Expected, Step
from msc.lab.demo.stage import PRIMARY, forward_now, set_stage
from msc.limits import RECEIPTS_REST_S
from msc.link.client import Client, Delivered, Disconnected, RefusedByPeer
from msc.protocol.control import Receipts, ReceiptsReport, SignedOn, Status, StatusReport
from msc.settings import load_settings
from msc.site.make import operator_files

_START_S = 15.0
_ANSWER_S = 8.0
_POLL_S = 0.02


class DemoFailed(MSCError):
    """The demo cannot go on."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """A message that arrived at a station."""

    station: str
    message: Delivered
    ms: float


@dataclass(frozen=True, slots=True)
class Played:
    """How a step went.

    Attributes:
        msn: Of the message sent, or None if it was refused or came from the state.
        ms: Until it was in the journal and acknowledged.
        refused: The refusal, or None.
        missing: What should have come and did not.
        receipts: What its sender was told of each destination.
    """

    step: Step
    msn: int | None
    ms: float
    refused: RefusedByPeer | None
    arrived: tuple[Arrived, ...]
    missing: tuple[Expected, ...]
    receipts: Mapping[str, str]

    @property
    def as_it_should(self) -> bool:
        """Whether it ended as the script says."""
        code = self.refused.code if self.refused else None
        return code == self.step.refused and not self.missing and self.receipts == self.step.receipts


class County:
    """Everything of the demo that runs.

    Args:
        folder: A demo site; what the demo needs besides is added to it.
        seen: Called for each message as it arrives.

    Raises:
        SiteError: That cannot be added.
    """

    def __init__(self, folder: Path, seen: Callable[[Arrived], None]) -> None:
        self.folder = folder
        self.site = folder / "msc.toml"
        self._stage = set_stage(folder)
        self.cable = Cable(self._stage.port, self._stage.end)
        self._settings = load_settings(self.site)
        certificate, key = operator_files("admin")
        self._admin = load_operator_key(folder / certificate, folder / key, no_passphrase)
        self.facts: dict[str, Any] = json.loads((folder / "demo.json").read_text("utf-8"))
        self.stations: dict[str, Client] = {}
        self._seen = seen
        self._processes: dict[str, Process] = {}
        self._arrived: asyncio.Queue[Arrived] = asyncio.Queue()
        self._listeners: list[asyncio.Task[None]] = []
        self._began = 0.0
        self._receipted: tuple[str, int] = ("", 0)

    # --- processes --------------------------------------------------------------------------------

    async def start(self, name: str, *arguments: str) -> None:
        """Start `msc ARGUMENTS` as a process; its log goes to NAME.log in the site."""
        with (self.folder / f"{name}.log").open("ab") as log:
            self._processes[name] = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "msc", *arguments, stdin=PIPE, stdout=log, stderr=log
            )

    async def start_simulator(self, name: str) -> None:
        """Start the simulated state, at the end of both its lines, or NCIC."""
        await self.start(name, "simulate", str(self._stage.simulators), "--only", name)

    async def start_switch(self) -> None:
        """Start the switch."""
        await self.start("switch", "serve", str(self.site))

    async def kill(self, name: str) -> None:
        """End a process as a power cut would."""
        process = self._processes.pop(name)
        process.kill()
        await process.wait()

    async def stop(self) -> int:
        """Sign everybody off, stop the switch with SIGTERM, then the simulators.

        Returns:
            The switch's exit code.
        """
        for task in self._listeners:
            task.cancel()
        for client in self.stations.values():
            client.close("the demo is over")
        code = 0
        for name in ("switch", *self._processes):
            process = self._processes.pop(name, None)
            if process is None:
                continue
            if process.returncode is None:
                process.terminate()
            try:
                async with asyncio.timeout(20):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
            if name == "switch":
                code = process.returncode or 0
        await self.cable.end()
        return code

    # --- stations ---------------------------------------------------------------------------------

    async def connect(self, device: str) -> Client:
        """Connect a station; waits while the switch is still starting.

        Raises:
            DemoFailed: No switch answers.
        """
        row = next(row for row in self.facts["devices"] if row["name"] == device)
        context = tls.client_context(
            self.folder / self.facts["ca"], self.folder / row["certificate"], self.folder / row["key"]
        )
        switch = self.facts["switch"]
        deadline = time.monotonic() + _START_S
        while True:
            process = self._processes.get("switch")
            try:
                client = await Client.connect(switch["host"], switch["port"], context)
                break
            except Disconnected as exc:
                if time.monotonic() > deadline or process is None or process.returncode is not None:
                    raise DemoFailed(f"the switch did not start; see {self.folder / 'switch.log'}") from exc
                await asyncio.sleep(0.05)
        self.stations[device] = client
        self._listeners.append(asyncio.get_running_loop().create_task(self._listen(device, client)))
        return client

    async def sign_on(self, device: str, user: str, password: str | None = None) -> SignedOn:
        """Sign a user on at a connected station.

        Raises:
            RefusedByPeer: The switch says no.
        """
        row = next(row for row in self.facts["users"] if row["user"] == user)
        secret = row["otp_secret"]
        return await self.stations[device].sign_on(
            user,
            password or row["password"],
            otp=present_otp(secret, clock.wall_us()) if secret else None,
            terminal={"mac": f"02005E0000{len(self.stations):02X}"},
        )

    async def wait_for_line(self, line: str, state: str) -> float:
        """Wait until a line is in a state, as a terminal sees it.

        Returns:
            How long that took, in seconds.

        Raises:
            DemoFailed: It took too long.
        """
        began = time.monotonic()
        client = next(iter(self.stations.values()))
        while time.monotonic() < began + _START_S:
            report = await client.ask(Status(), StatusReport)
            if (report.lines.get(line) == "open") is (state == "open"):
                return time.monotonic() - began
            await asyncio.sleep(0.05)
        raise DemoFailed(f"line {line} was not {state} after {_START_S:.0f} s")

    # --- operators --------------------------------------------------------------------------------

    async def order(self, verb: str, **asked: Any) -> Any:
        """Give an order as the administrator, or look: over the administrative socket, as the commands do.

        Args:
            verb: With its counter: `switching/line_hold`, `routing/reload`.

        Raises:
            DemoFailed: The switch does not do it.
        """
        try:
            content = {**asked, "reason": "the demo shows it"}
            return await ask(self._settings, "POST", f"/{verb}", content, self._admin)
        except (RefusedBySwitch, SwitchNotRunning) as exc:
            raise DemoFailed(f"{verb}: {exc}") from exc

    async def line(self, name: str) -> dict[str, Any]:
        """Say how a line stands, as `msc line status` does."""
        found: dict[str, Any] = (await self.order("switching/line_status", line=name))["lines"][0]
        return found

    async def wait_for_primary(self, **wanted: Any) -> None:
        """Wait until the status of the primary line says so.

        Raises:
            DemoFailed: It took too long.
        """
        until = time.monotonic() + _START_S
        while time.monotonic() < until:
            row = await self.line(PRIMARY)
            if all(row[member] == value for member, value in wanted.items()):
                return
            await asyncio.sleep(_POLL_S)
        raise DemoFailed(f"line {PRIMARY} was not {wanted} after {_START_S:.0f} s")

    async def forward_records(self) -> Callable[[], Awaitable[None]]:
        """Have Records' messages go to Dispatch at this hour: a new file, taken up by the running switch.

        Returns:
            What puts the old file back.
        """
        file = self.folder / "forwarding.toml"
        before = file.read_text("utf-8")

        async def put(text: str) -> None:
            file.write_text(text, "utf-8")
            if not (await self.order("routing/reload"))["reloaded"]:
                raise DemoFailed(f"{file} was not taken up")

        await put(forward_now())
        return lambda: put(before)

    async def _listen(self, device: str, client: Client) -> None:
        while True:
            try:
                message = await client.receive()
            except Disconnected:
                return
            arrived = Arrived(device, message, (time.perf_counter() - self._began) * 1e3)
            self._seen(arrived)
            self._arrived.put_nowait(arrived)

    # --- steps ------------------------------------------------------------------------------------

    async def play(
        self,
        step: Step,
        acknowledged: Callable[[int, float], None],
        *,
        instead: Awaitable[Any] | None = None,
        then: Callable[[], Awaitable[None]] | None = None,
    ) -> Played:
        """Play a step and wait for everything that must come of it.

        Args:
            acknowledged: Told the MSN, and after how many milliseconds it came.
            instead: What is done, where the step is not a message.
            then: Called once the message is acknowledged.
        """
        while not self._arrived.empty():
            self._arrived.get_nowait()
        self._began = time.perf_counter()
        msn, refused, ms = None, None, 0.0
        if instead is not None:
            await instead
        elif step.station in self.stations:
            try:
                msn = await self.stations[step.station].send(step.text, step.envelope or None)
                ms = (time.perf_counter() - self._began) * 1e3
                acknowledged(msn, ms)
            except RefusedByPeer as exc:
                refused = exc
        else:
            stdin = self._processes[step.station].stdin
            assert stdin is not None
            stdin.write(f"{step.text}\n".encode())
            await stdin.drain()
        if then is not None:
            await then()
        missing, arrived = list(step.expected), []
        try:
            async with asyncio.timeout(_ANSWER_S):
                while missing:
                    one = await self._arrived.get()
                    arrived.append(one)
                    for expected in missing:
                        if _fulfils(one, expected):
                            missing.remove(expected)
                            break
        except TimeoutError:
            pass
        if step.receipts and msn is not None:
            self._receipted = (step.station, msn)
        receipts = await self._receipts(step.receipts) if step.receipts else {}
        return Played(step, msn, ms, refused, tuple(arrived), tuple(missing), receipts)

    async def _receipts(self, wanted: Mapping[str, str]) -> dict[str, str]:
        """Ask for receipts until they are as wanted: an acknowledgement is in the journal a moment after it came."""
        station, msn = self._receipted
        until, found = time.monotonic() + _ANSWER_S, dict[str, str]()
        while found != wanted and time.monotonic() < until:
            try:
                report = await self.stations[station].ask(Receipts(msn=msn), ReceiptsReport)
            except RefusedByPeer as exc:
                if exc.code != Overloaded.code:
                    raise
            else:
                found = {row.destination: row.state for row in report.destinations}
            if found != wanted:
                await asyncio.sleep(RECEIPTS_REST_S)
        return found


def no_passphrase() -> str | None:
    """Nobody is asked for a passphrase: the demo's keys have none."""


def _fulfils(arrived: Arrived, expected: Expected) -> bool:
    return (
        arrived.station == expected.station
        and arrived.message.envelope.get("source") == expected.source
        and expected.holds in arrived.message.text
        and expected.whose in (None, arrived.message.envelope.get("original_mnemonic"))
    )
