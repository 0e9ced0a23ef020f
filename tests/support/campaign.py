"""A campaign: terminals and states at work while lines are cut and the switch is killed, again and again.

What happens is the same for a seed, but for the moment at which it does. `Campaign.run` plays it; the verdict is in
`campaign_verdict`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.support.campaign_verdict import Evidence, row_of
from tests.support.frame_end import Loss
from tests.support.inquirer import Inquirer
from tests.support.site import Process, Site
from tests.support.stand_in_county import ORI, add_backup, add_terminals, edit_lines, host_of
from tests.support.stand_in_host import GARBLES, GOOD, SPEECHLESS, Conduct, StandInHost, StateBook, Taken
from tests.support.stand_in_terminal import Arrival, StandInTerminal

OUTSTANDING = 12
"""Inquiries an operator has open at once: more than any has, and fewer than the window."""
REST_S = 0.2
"""Whoever hears that a line is out of service does not try again at once, or all of the plan would come to that."""
ANSWER_S = 2
LATE_S = 2.6
"""After the time-out, so that it comes late."""
AWAY_S = 0.3
"""How long a state is away when its process has gone."""
HUNG_S = 3.5
"""A line's heartbeat is a second, so a hanging state is given up within this."""
SETTLE_S = 60.0
LINES = ("clets-a", "ncic-a")
"""The destinations."""
BACKUP = "clets-b"
"""Carries what is for the first of them while its own line is lost."""
FAILBACK_S = 0.5
POISON = "NOBODY CAN PRINT THIS"


@dataclass(frozen=True)
class Plan:
    """How large a campaign is.

    Attributes:
        messages: Of all terminals together.
        kills: How often the switch is killed with SIGKILL.
        cuts: How often a line is cut, or the host at its end is away, or hangs: primary and backup alternately, and
            now and then a line without a backup.
        hangs: Whether states and terminals may hang: each takes seconds to be noticed.
        seconds: When no more is sent, whatever has been by then.
    """

    messages: int = 400
    terminals: int = 8
    kills: int = 1
    cuts: int = 3
    hangs: bool = False
    seconds: float = 60.0
    seed: int = 1


class Message(NamedTuple):
    """Something a terminal is to send."""

    text: str
    urgent: bool
    asks: bool
    """Whether somebody will answer it."""


def conduct_of(message: Taken) -> Conduct:
    """Say what a state does with a message: mostly what it should. The same text always meets the same fate."""
    chance = zlib.crc32(message.text.encode()) % 200
    garbles = sorted(GARBLES)
    fates = {
        0: SPEECHLESS, 1: SPEECHLESS, 2: SPEECHLESS,
        3: Conduct(answers=2), 4: Conduct(answers=2), 5: Conduct(answers=3),
        6: Conduct(late_s=LATE_S), 7: Conduct(late_s=LATE_S), 8: Conduct(late_s=0.2),
        9: Conduct(shuffle=4), 10: Conduct(shuffle=4), 11: Conduct(shuffle=4), 12: Conduct(shuffle=4),
        13: Conduct(header=lambda _: "ZZZZ00009Z"),
        14: Conduct(garble=GARBLES[garbles[len(message.text) % len(garbles)]]),
        15: Conduct(garble=GARBLES["not UTF-8"]),
        16: Conduct(refuse="E206"), 17: Conduct(refuse="E502"),
    }  # fmt: skip
    return fates.get(chance, GOOD)


def manner_of(arrival: Arrival) -> str | None:
    """Say what a terminal does with a delivery: it prints all but one text."""
    return "E599" if POISON in arrival.text else "A"


@dataclass
class Campaign:
    """One campaign on one site, which must not run yet.

    Attributes:
        conduct: How states behave.
        books: Of the states, by the destination's line.
        hosts: The ends of lines, by line.
        events: What was done to whom, counted.
        restarts: Seconds from each kill until the switch greeted again.
        killed_at, cut_at: When the switch was killed, and which line was lost when.
    """

    site: Site
    plan: Plan
    conduct: Callable[[Taken], Conduct] | Conduct = conduct_of
    books: dict[str, StateBook] = field(default_factory=dict)
    hosts: dict[str, StandInHost] = field(default_factory=dict)
    terminals: list[StandInTerminal] = field(default_factory=list)
    events: Counter[str] = field(default_factory=Counter)
    restarts: list[float] = field(default_factory=list)
    killed_at: list[float] = field(default_factory=list)
    cut_at: list[tuple[float, str]] = field(default_factory=list)
    seconds: float = 0.0
    stopped_short: bool = False

    def prepare(self) -> None:
        """Change the site's files: short times, its terminals."""
        site = self.site
        add_backup(site, LINES[0], BACKUP, FAILBACK_S)
        site.quick_lines()
        edit_lines(site, heartbeat_s=1, ack_s=3)
        for key in ("IV.4", "IW.QW", "IA.EV"):
            site.answer_time(key, ANSWER_S)
        site.edit(
            "msc.toml",
            (r"^inquiries_per_hour = \d+", "inquiries_per_hour = 0"),
            (r"^repeated = true", "repeated = false"),
            (r"^heartbeat_s = 30", "heartbeat_s = 1"),
        )
        self.terminals = add_terminals(site, self.plan.terminals)
        for line in LINES:
            self.books[line] = StateBook()
            self.hosts[line] = host_of(site, line, self.books[line])
        self.hosts[BACKUP] = host_of(site, BACKUP, self.books[LINES[0]])

    # --- what is sent ----------------------------------------------------------------------------------
    def messages(self, number: int) -> Iterator[Message]:
        """Plan what the n-th terminal sends."""
        chance = random.Random(self.plan.seed * 1000 + number)
        others = [terminal.mnemonic for at, terminal in enumerate(self.terminals) if at != number]
        count = self.plan.messages // self.plan.terminals + (number < self.plan.messages % self.plan.terminals)
        for n in range(count):
            mark, what = f"{number:02}{n:06}", chance.random()
            urgent = chance.random() < 0.1
            if what < 0.6:
                yield Message(f"IV.4.{ORI}.LIC/A{mark}", urgent, True)
            elif what < 0.75:
                yield Message(f"IW.QW.{ORI}.OLN/B{mark}", urgent, True)
            elif what < 0.87:
                yield Message(f"IA.EV.{ORI}.LIC/C{mark}.OCA/26-{mark}.DTE/20260101", urgent, True)
            else:
                to = ",".join(chance.sample(others, chance.choice((1, 1, 2))))
                text = POISON if chance.random() < 0.05 else "TEXT"
                yield Message(f"AM.{ORI}.{to}.TXT {text} {mark}", urgent, False)

    async def work(self, number: int, enough: asyncio.Event) -> None:
        """Send all of a terminal's plan, whatever happens to switch and connection in between."""
        terminal, asking = self.terminals[number], set[str]()

        resting_until = 0.0

        def manner(arrival: Arrival) -> str | None:
            nonlocal resting_until
            asking.discard(str(arrival.envelope.get("ref")))
            if arrival.text.startswith("E401"):
                resting_until = time.monotonic() + REST_S
                asyncio.get_running_loop().call_later(REST_S, terminal.book.change)
            return manner_of(arrival)

        def may_send() -> bool:
            if enough.is_set():
                return True
            if terminal.room == 0 or time.monotonic() < resting_until:
                return False
            if len(asking) >= OUTSTANDING:
                now = terminal.connection.number if terminal.connection else 0
                sent = terminal.book.sent
                # What was refused, or cut off before a word, is not waited for.
                asking.difference_update(
                    [
                        ref
                        for ref in asking
                        if sent[ref].refused or (not sent[ref].msn and sent[ref].connection != now)
                    ]
                )
            return len(asking) < OUTSTANDING

        terminal.manner = manner
        for message in self.messages(number):
            await terminal.book.until(may_send, self.plan.seconds + SETTLE_S)
            if enough.is_set():
                self.stopped_short = True
                return
            sent = terminal.post(message.text, priority="urgent" if message.urgent else "routine")
            if message.asks:
                asking.add(sent.ref)
        with contextlib.suppress(TimeoutError):
            await terminal.book.until(lambda: not asking or self._settled(terminal, asking), SETTLE_S)

    @staticmethod
    def _settled(terminal: StandInTerminal, asking: set[str]) -> bool:
        return all(terminal.book.sent[ref].msn is None for ref in asking)

    async def tell_unasked(self, enough: asyncio.Event) -> None:
        """Let the state send messages nobody asked for, one for twenty that terminals send."""
        chance, number = random.Random(self.plan.seed), 0
        while not enough.is_set():
            await asyncio.sleep(0.01)
            host = self.hosts[chance.choice((*LINES, BACKUP))]
            while number * 20 < self.acknowledged:
                number += 1
                mnemonic = chance.choice(self.terminals).mnemonic
                host.say(f"{mnemonic}.$.H.HIT NUMBER {number}".encode())

    @property
    def acknowledged(self) -> int:
        """How many messages were acknowledged so far."""
        return sum(terminal.acknowledged for terminal in self.terminals)

    # --- what is done to them --------------------------------------------------------------------------
    async def trouble(self, switch: Process) -> Process:
        """Cut and kill, spread evenly over what is sent; returns the switch that runs at the end."""
        plan, chance = self.plan, random.Random(self.plan.seed + 7)
        strikes = [(n + 0.6) / plan.kills for n in range(plan.kills)]
        troubles = sorted(
            [(at, "kill", n) for n, at in enumerate(strikes)]
            + [((n + 0.4) / plan.cuts, "cut", n) for n in range(plan.cuts)]
            + [((n + 0.5) / plan.cuts, "terminal", n) for n in range(plan.cuts)]
        )
        for share, what, number in troubles:
            while self.acknowledged < share * plan.messages * 0.9:
                await asyncio.sleep(0.01)
            if what == "kill":
                switch = await self.kill(switch)
            elif what == "cut":
                await self.cut(number)
            else:
                terminal = chance.choice(self.terminals)
                hangs = plan.hangs and number % 8 == 7
                self.cut_terminal(terminal, Loss.SILENT if hangs else chance.choice((Loss.RESET, Loss.CLOSED)))
        return switch

    async def kill(self, switch: Process) -> Process:
        """Kill the switch, and start it again."""
        switch.popen.kill()
        began = time.monotonic()
        self.killed_at.append(began)
        await asyncio.to_thread(switch.kill)
        again: Process = await asyncio.to_thread(self.site.serve)
        self.restarts.append(time.monotonic() - began)
        self.events["switch killed"] += 1
        return again

    async def cut(self, number: int) -> None:
        """Cut a line; or the host at its end goes away and comes back; or it hangs."""
        host = self.hosts[(LINES[0], BACKUP, LINES[0], LINES[1])[number % 4]]
        self.cut_at.append((time.monotonic(), host.name))
        if self.plan.hangs and number % 10 == 9:
            self.events[f"{host.name} hung"] += 1
            host.die(Loss.SILENT)
            await asyncio.sleep(HUNG_S)
            await host.come_back()
        elif number % 3 == 2:
            self.events[f"{host.name} gone"] += 1
            host.die(Loss.CLOSED)
            await asyncio.sleep(AWAY_S)
            await host.come_back()
        else:
            self.events[f"{host.name} cut"] += 1
            host.cut(Loss.RESET if number % 3 else Loss.CLOSED)

    def cut_terminal(self, terminal: StandInTerminal, loss: Loss) -> None:
        """Cut a terminal off; it comes back by itself. One that hangs comes back when somebody has restarted it."""
        connection = terminal.connection
        if connection is not None and not connection.gone.done():
            self.events[f"terminal {loss.value}"] += 1
            connection.lose(loss)
            if loss is Loss.SILENT:
                asyncio.get_running_loop().call_later(HUNG_S, connection.lose, Loss.RESET)

    # --- the whole -------------------------------------------------------------------------------------
    async def run(self) -> None:
        """Play it. The switch runs at the end, and everybody has left."""
        async with contextlib.AsyncExitStack() as stack:
            for host in self.hosts.values():
                host.conduct = self.conduct
                await stack.enter_async_context(host.running())
            switch = await asyncio.to_thread(self.site.serve)
            enough = self._enough = asyncio.Event()
            present = [asyncio.create_task(terminal.stay()) for terminal in self.terminals]
            began = time.monotonic()
            background = [
                asyncio.create_task(self.tell_unasked(enough)), asyncio.create_task(self._stop()),
            ]  # fmt: skip
            try:
                troubled = asyncio.create_task(self.trouble(switch))
                try:
                    async with asyncio.timeout(self.plan.seconds + 2 * SETTLE_S):
                        await asyncio.gather(*(self.work(n, enough) for n in range(len(self.terminals))))
                finally:
                    self.seconds = time.monotonic() - began
                    if not troubled.done() and self.stopped_short:
                        troubled.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await troubled
                enough.set()
                await self._settle()
            finally:
                for task in [*background, *present]:
                    task.cancel()
                await asyncio.gather(*background, *present, return_exceptions=True)
                for terminal in self.terminals:
                    await terminal.leave_nothing()

    async def _stop(self) -> None:
        await asyncio.sleep(self.plan.seconds)
        self.enough()

    def enough(self) -> None:
        """Let nobody send any more."""
        self._enough.set()
        for terminal in self.terminals:
            terminal.book.change()

    async def _settle(self) -> None:
        """Wait until states have said what they have to say, and the journal knows of nothing open."""
        for host in self.hosts.values():
            await host.opened(30)
            host.send_shuffled()
            with contextlib.suppress(TimeoutError):
                book = host.book
                await book.until(
                    lambda b=book: not b.later and all(t.msn is not None or t.refused for t in b.told), 20
                )  # type: ignore[misc]
        until, admin = time.monotonic() + SETTLE_S, Inquirer.of(self.site, "admin")
        while time.monotonic() < until:
            left = (await asyncio.to_thread(admin.search, outcome="open")).items
            if not any(row_of(json.dumps(item)).open_at() for item in left):
                return  # what the operator's queue holds may stay there
            await asyncio.sleep(0.2)

    def evidence(self) -> Evidence:
        """Take the journal and all books together."""
        # A long campaign leaves hundreds of thousands of messages.
        told = self.site.ask("journal", "search", "--json", within_s=900)
        assert told.returncode == 0, told.stderr
        books = {terminal.device: terminal.book for terminal in self.terminals}
        carriers = {LINES[0]: frozenset({LINES[0], BACKUP})}
        return Evidence.of(told.stdout.splitlines(), books, self.books, carriers)

    def failovers(self) -> list[float]:
        """Return how long it took from each loss of the line that carried traffic to the first message on the other.

        Losses that a kill, or another loss, followed before that tell nothing of it and are left out.
        """
        taken, times = self.books[LINES[0]].taken, []
        moments = sorted([*self.killed_at, *(at for at, name in self.cut_at if name != LINES[1])])
        for at, name in self.cut_at:
            before = next((message for message in reversed(taken) if message.at <= at), None)
            after = next((message for message in taken if message.at > at), None)
            if before is None or after is None or before.line != name or after.line == name:
                continue
            if not any(at < moment < after.at for moment in moments):
                times.append(after.at - at)
        return times
