"""The demo, shown as it happens: every step, what comes of it, what the journal holds, and a summary."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.rule import Rule
from rich.table import Table

from msc import clock
from msc.control.client import ask_as
from msc.control.operator_key import load_operator_key
from msc.lab.demo.county import Arrived, County, Played, no_passphrase
from msc.lab.demo.script import (
    ALL_POINTS,
    ENTRY_LOST,
    FIRST,
    FORWARDED,
    HELD,
    HIT_CONFIRMATION,
    HIT_CONFIRMED,
    HOLD,
    LINE_LOST,
    LINE_RESTORED,
    ON_BACKUP,
    ON_PRIMARY,
    RECORDS_BACK,
    RELEASE,
    SENT_AGAIN,
    Step,
)
from msc.lab.demo.site import make_demo
from msc.lab.demo.stage import BACKUP, PRIMARY
from msc.link.client import RefusedByPeer
from msc.report.words import Entry
from msc.settings import load_settings
from msc.site.make import operator_files
from msc.transit.event import OPERATOR_QUEUE
from msc.transit.hit_confirmation import ADDRESS as HIT_CONFIRMATION_CLOCK
from msc.transit.state import has_ended

_STATIONS = (
    ("DISPATCH1", "D10002", "terminal, static mnemonic"),
    ("RECORDS1", "P50110", "terminal of another agency, static mnemonic"),
    ("MOBILE1", "J40217", "car, mnemonic from the pool"),
    ("CAD1", "K20331", "CAD host, a clerk signed on through it"),
    ("PRINTER1", None, "printer, receives only"),
)
_PLACES = {OPERATOR_QUEUE: "the operator's queue", HIT_CONFIRMATION_CLOCK: "its clock"}
"""Places of a message that are no line and no station."""


class Demo:
    """One run of the demo.

    Args:
        folder: Where its site is made; new or empty.
        out: Where it shows what happens.
    """

    def __init__(self, folder: Path, out: Console) -> None:
        self._folder, self._out = folder, out
        self._played: list[Played] = []
        self._others: list[tuple[str, bool]] = []
        self._county: County

    async def run(self) -> bool:
        """Play everything; returns whether all ended as it should.

        Raises:
            DemoFailed: It cannot go on.
        """
        began = time.monotonic()
        self._out.print(Rule("A demo county: one switch, two state systems, five stations", style="cyan"))
        self._out.print("Everybody and everything in it is fictitious. The state's protocol is an open stand-in.\n")
        await make_demo(self._folder)
        self._county = county = County(self._folder, self._seen)
        code = -1
        try:
            await self._start(county)
            for step in FIRST:
                await self._play(step)
            await self._refuse_stranger(county)
            await self._to_many(county)
            await self._hold(county)
            await self._confirm_hit(county)
            await self._lose_primary(county)
            await self._lose_ncic(county)
            entries = await self._journal()
        finally:
            code = await county.stop()
        self._others.append(("The switch drains and stops at SIGTERM", code == 0))
        self._show_lives(entries)
        return self._summary(entries, time.monotonic() - began)

    # --- acts -------------------------------------------------------------------------------------

    async def _start(self, county: County) -> None:
        await county.cable.mend()
        await county.start_simulator("state")
        await county.start_simulator("ncic")
        await county.start_switch()
        for device, user, what in _STATIONS:
            client = await county.connect(device)
            if device in ("CAD1", "PRINTER1"):
                await client.open()
            if user is None:
                self._say(f"[bold]{device:10}[/] open                       {what}")
                continue
            session = await county.sign_on(device, user)
            pooled = " (pooled)" if session.pooled else ""
            self._say(f"[bold]{device:10}[/] {user} signed on as {session.mnemonic}{pooled:10} {what}")
        for line, what in (
            (PRIMARY, "line to the state, mutual TLS"),
            (BACKUP, f"its backup: another line to the same state; traffic is on {PRIMARY}"),
            ("ncic-a", "line to NCIC, without a backup"),
        ):
            await county.wait_for_line(line, "open")
            self._say(f"[bold]{line:10}[/] open                       {what}")
        await county.wait_for_primary(carried_by=PRIMARY)

    async def _to_many(self, county: County) -> None:
        """Send to a group, one of whom is not there, and to who stands in for another."""
        await county.stations["RECORDS1"].sign_off()
        await self._play(ALL_POINTS)
        await self._play(RECORDS_BACK, county.sign_on("RECORDS1", "P50110"))
        put_back = await county.forward_records()
        await self._play(FORWARDED)
        await put_back()

    async def _hold(self, county: County) -> None:
        """Hold the line to the state, and release it."""
        await self._play(HOLD, county.order("switching/line_hold", line=PRIMARY))
        await self._play(HELD)
        await self._play(RELEASE, county.order("switching/line_release", line=PRIMARY))

    async def _confirm_hit(self, county: County) -> None:
        """Be asked for a confirmation, see its clock, and answer."""
        await self._play(HIT_CONFIRMATION)
        shown = (await county.order("switching/hitconf_list"))["open"]
        for row in shown:
            self._say(
                f"[dim]admin     > hitconf list:[/] {row['oca']}, asked by {row['from']}, {row['priority']}, "
                f"{row['state']}, due in {row['due_s']} s, at {row['terminal']}"
            )
        await self._play(HIT_CONFIRMED)
        left = (await county.order("switching/hitconf_list"))["open"]
        self._others.append(
            ("The clock of a hit confirmation runs until it is answered", (len(shown), left) == (1, []))
        )

    async def _lose_primary(self, county: County) -> None:
        """Cut the state's primary line under an entry, go on over the backup, and come back."""

        async def cut_under_it() -> None:
            await county.wait_for_primary(unacknowledged=1)
            county.cable.cut()

        await county.wait_for_primary(unacknowledged=0)
        county.cable.jam()
        entry = await self._play(ENTRY_LOST, then=cut_under_it)
        await county.wait_for_primary(state="down", carried_by=BACKUP)
        await self._show_line(county)
        await self._play(ON_BACKUP)
        again = county.order("switching/queue_requeue", msn=entry.msn, send_again=True)
        await self._play(replace(SENT_AGAIN, text=SENT_AGAIN.text.format(msn=entry.msn)), again)
        await county.cable.mend()
        await county.wait_for_primary(state="open", carried_by=PRIMARY)
        self._say("The cable is mended; the backup has finished what it had, and the traffic is back.")
        await self._show_line(county)
        await self._play(ON_PRIMARY)

    async def _show_line(self, county: County) -> None:
        row = await county.line(PRIMARY)
        self._say(f"[dim]admin     > line status:[/] {PRIMARY} {row['state']}, carried by {row['carried_by']}")

    async def _lose_ncic(self, county: County) -> None:
        """Kill the host of a line that has no backup, and start it again."""
        await county.kill("ncic")
        await county.wait_for_line("ncic-a", "down")
        self._say("The NCIC host is killed with -9.")
        await self._play(LINE_LOST)
        await county.start_simulator("ncic")
        seconds = await county.wait_for_line("ncic-a", "open")
        self._say(f"The NCIC host runs again; the switch has its line back after {seconds:.1f} s.")
        await self._play(LINE_RESTORED)

    async def _play(
        self,
        step: Step,
        instead: Awaitable[Any] | None = None,
        then: Callable[[], Awaitable[None]] | None = None,
    ) -> Played:
        number = len(self._played) + 1
        self._out.print()
        self._out.print(f"[bold cyan]{number:2}[/] [bold]{escape(step.title)}[/]")
        self._out.print(f"   {step.station:10}[green]>[/] {step.text}", highlight=False, markup=True)
        played = await self._county.play(step, self._acknowledged, instead=instead, then=then)
        if played.refused is not None:
            self._out.print(f"   {'switch':10}[red]x refused[/] {escape(str(played.refused))}")
        for missing in played.missing:
            self._out.print(f"   [red]missing at {missing.station} from {missing.source}: {escape(missing.holds)}[/]")
        if played.receipts:
            told = ", ".join(f"{place} {state}" for place, state in played.receipts.items())
            self._out.print(f"   {'receipts':10}[green]=[/] {told}")
        if not played.as_it_should:
            self._out.print("   [bold red]this is not how it should end[/]")
        self._played.append(played)
        return played

    async def _refuse_stranger(self, county: County) -> None:
        """Somebody with a stolen car's computer, and no password."""
        await county.connect("MOBILE2")
        self._out.print()
        self._out.print("[bold cyan] *[/] [bold]Somebody at another car's computer guesses a password[/]")
        code = ""
        try:
            await county.sign_on("MOBILE2", "J40217", "letmein-please")
        except RefusedByPeer as exc:
            code = exc.code
            self._out.print(f"   {'switch':10}[red]x refused[/] {escape(str(exc))}")
        self._others.append(("A wrong password signs nobody on", code == "E101"))

    def _acknowledged(self, msn: int, ms: float) -> None:
        self._out.print(f"   {'switch':10}[green]=[/] in the journal as MSN {msn}, acknowledged after {ms:.1f} ms")

    def _seen(self, arrived: Arrived) -> None:
        message = arrived.message
        source, ms = str(message.envelope.get("source")), f"{arrived.ms:.1f} ms"
        colour = "yellow" if message.kind == "status" else "green"
        lines = [line for line in message.text.splitlines() if line.strip()]
        told = next((line for line in lines if line.startswith(("MKE/", "NO RECORD"))), lines[0] if lines else "")
        # A host's own header stays before the answer; show both.
        told = told if told == lines[0] or arrived.station != "CAD1" else f"{lines[0].split('.')[0]}. {told}"
        if whose := message.envelope.get("original_mnemonic"):
            told = f"(for {whose}) {told}"
        shown = told if len(told) <= 90 else f"{told[:89]}…"
        self._out.print(f"   {source:10}[{colour}]<[/] to {arrived.station:9} {escape(shown)}  [dim]{ms}[/]")

    def _say(self, text: str) -> None:
        self._out.print(f"   {text}")

    # --- afterwards -------------------------------------------------------------------------------

    async def _journal(self) -> list[Entry]:
        """Ask the running switch for all messages, as the auditor."""
        settings = load_settings(self._folder / "msc.toml")
        certificate, key = operator_files("auditor")
        operator = load_operator_key(self._folder / certificate, self._folder / key, no_passphrase)
        asked = {"reason": "the demo shows what the journal holds", "criteria": {}, "oldest_first": True}
        lines = ask_as(settings, operator, "/journal/search", asked)
        return [line["item"] async for line in lines if "item" in line]

    def _show_lives(self, entries: list[Entry]) -> None:
        """Show each transaction's life, as the journal holds it."""
        self._out.print()
        self._out.print(Rule("What the journal holds of it", style="cyan"))
        table = Table("MSN", "received", "what", "who", "from", "life", box=None, pad_edge=False)
        for entry in entries:
            received = clock.parse_rfc3339(entry["received"])
            steps = []
            for event in entry["events"][1:]:
                place = _PLACES.get(event["destination"]) or (event["destination"] or "").partition(":")[2]
                after = (clock.parse_rfc3339(event["at"]) - received) / 1000
                steps.append(f"{event['event']}{' ' + place if place else ''} [dim]+{after:.0f} ms[/]")
            answer = entry["transaction"] != entry["msn"]
            what = " ".join(filter(None, (entry["kind"], entry["key"], entry["code"])))
            table.add_row(
                str(entry["msn"]),
                entry["received"][11:23],
                f"  {what}" if answer else f"[bold]{what}[/]",
                entry["user"] or "",
                entry["line"] if answer or entry["direction"] == "inbound" else entry["device"],
                ", ".join(steps),
            )
        self._out.print(table)

    def _summary(self, entries: list[Entry], seconds: float) -> bool:
        open_ends = [entry for entry in entries if not _ended(entry)]
        checks = [(f"{n:2}  {p.step.title}", p.as_it_should) for n, p in enumerate(self._played, 1)]
        checks += [(f" *  {title}", good) for title, good in self._others]
        checks.append((" *  Every message in the journal has ended", not open_ends))
        self._out.print()
        self._out.print(Rule("Summary", style="cyan"))
        for title, good in checks:
            mark = "[green]as it should[/]" if good else "[bold red]NOT as it should[/]"
            self._out.print(f"   {mark}  {escape(title)}")
        good = all(ended for _, ended in checks)
        acknowledged = sorted(played.ms for played in self._played if played.msn is not None)
        self._out.print()
        self._out.print(
            f"   {len(self._played)} transactions, {len(entries)} messages in the journal, "
            f"{len(open_ends)} without an end; acknowledged after {acknowledged[len(acknowledged) // 2]:.1f} ms "
            f"(median); {seconds:.0f} s in all"
        )
        self._out.print(
            "   [bold green]Everything ended as it should.[/]" if good else "   [bold red]Something went wrong.[/]"
        )
        return good


def _ended(entry: Entry) -> bool:
    """Whether a message has ended for every destination it was routed to."""
    lives: dict[str, list[str]] = {}
    for event in entry["events"]:
        lives.setdefault(event["destination"] or "", []).append(event["event"])
    return all(has_ended(destination, events) for destination, events in lives.items())
