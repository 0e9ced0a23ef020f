"""The demo county at work: switch and simulators as processes, stations as clients of this one."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msc import clock, tls
from msc.acp.credential import present_otp
from msc.admin.demo_script import Expected, Step
from msc.errors import MSCError
from msc.link.client import Client, Delivered, Disconnected, RefusedByPeer
from msc.protocol.control import SignedOn, Status, StatusReport

_START_S = 15.0
_ANSWER_S = 8.0


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
    """

    step: Step
    msn: int | None
    ms: float
    refused: RefusedByPeer | None
    arrived: tuple[Arrived, ...]
    missing: tuple[Expected, ...]

    @property
    def as_it_should(self) -> bool:
        """Whether it ended as the script says."""
        code = self.refused.code if self.refused else None
        return code == self.step.refused and not self.missing


class County:
    """Everything of the demo that runs.

    Args:
        folder: A demo site.
        seen: Called for each message as it arrives.
    """

    def __init__(self, folder: Path, seen: Callable[[Arrived], None]) -> None:
        self.folder = folder
        self.site = folder / "msc.toml"
        self.facts: dict[str, Any] = json.loads((folder / "demo.json").read_text("utf-8"))
        self.stations: dict[str, Client] = {}
        self._seen = seen
        self._processes: dict[str, Process] = {}
        self._arrived: asyncio.Queue[Arrived] = asyncio.Queue()
        self._listeners: list[asyncio.Task[None]] = []
        self._began = 0.0

    # --- processes --------------------------------------------------------------------------------

    async def start(self, name: str, *arguments: str) -> None:
        """Start `msc ARGUMENTS` as a process; its log goes to NAME.log in the site."""
        with (self.folder / f"{name}.log").open("ab") as log:
            self._processes[name] = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "msc", *arguments, stdin=PIPE, stdout=log, stderr=log
            )

    async def start_simulator(self, name: str) -> None:
        """Start the simulated state or NCIC."""
        await self.start(name, "simulate", str(self.site), "--only", name)

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

    async def play(self, step: Step, acknowledged: Callable[[int, float], None]) -> Played:
        """Play a step and wait for everything that must come of it."""
        while not self._arrived.empty():
            self._arrived.get_nowait()
        self._began = time.perf_counter()
        msn, refused, ms = None, None, 0.0
        if step.station in self.stations:
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
        return Played(step, msn, ms, refused, tuple(arrived), tuple(missing))


def _fulfils(arrived: Arrived, expected: Expected) -> bool:
    return (
        arrived.station == expected.station
        and arrived.message.envelope.get("source") == expected.source
        and expected.holds in arrived.message.text
    )
