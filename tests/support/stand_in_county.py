"""A demo site with stand-ins at both of its ends: as many terminals as are wanted, and the state's hosts."""

from __future__ import annotations

import json
from datetime import date, timedelta

from argon2 import PasswordHasher

from msc.site.make import free_ports
from tests.support.site import Site
from tests.support.stand_in_host import StandInHost, StateBook
from tests.support.stand_in_terminal import StandInTerminal

PASSWORD = "stand-in of a terminal"
ORI = "CA0990000"
DISPATCHER = ("DISPATCH1", "J40217", "EXA1")
"""A terminal of the demo site, its user, and its mnemonic."""


def mnemonic_of(number: int) -> str:
    """Name the n-th stand-in terminal's mnemonic."""
    return f"T{number:03}"


def add_terminals(site: Site, count: int) -> list[StandInTerminal]:
    """Enter terminals, their mnemonics and their users in the directory of a site that does not run."""
    # The cheapest hash there is: what a password takes is not a subject of these tests.
    password_hash = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    lately = (date.today() - timedelta(days=30)).isoformat()
    days = "".join(
        f"{step} = {lately}\n" for step in ("requested", "forwarded", "authorised", "programmed", "notified")
    )
    on_file = "".join(
        f"{what} = {lately}\n" for what in ("added", "certified", "cleared", "statement", "dmv_statement")
    )
    users, mnemonics, devices = [], [], []
    for n in range(count):
        users.append(
            f'[[user]]\nuser = "S{n:05}"\nname = "Stand-in {n}"\nagency = "EXSO"\noperator_class = "full_access"\n'
            f'authorised_by = "a test"\n{on_file}password_hash = "{password_hash}"\n'
        )
        mnemonics.append(
            f'[[mnemonic]]\nmnemonic = "{mnemonic_of(n)}"\nagency = "EXSO"\nauthorised_by = "a test"\n{days}'
        )
        devices.append(
            f'[[device]]\ndevice = "STAND{n:03}"\nkind = "terminal"\nagency = "EXSO"\n'
            f'mnemonic = "{mnemonic_of(n)}"\nstaffed = true\n'
        )
    rows = site.folder / "stand-ins.toml"
    rows.write_text("\n".join([*users, *mnemonics, *devices]), "utf-8")
    site.run("directory", "apply", str(rows), "--yes")
    return [
        StandInTerminal(f"STAND{n:03}", f"S{n:05}", PASSWORD, where(site, f"STAND{n:03}"), mnemonic_of(n))
        for n in range(count)
    ]


def where(site: Site, device: str) -> tuple[str, int, object]:
    """Say where the switch listens, and with what a device goes there."""
    at = site.demo["switch"]
    return at["host"], at["port"], site.device_context(device)


def dispatcher(site: Site) -> StandInTerminal:
    """Take the demo site's own dispatcher."""
    device, user, mnemonic = DISPATCHER
    return StandInTerminal(device, user, site.user(user)["password"], where(site, device), mnemonic)


def add_backup(site: Site, line: str = "clets-a", name: str = "clets-b", failback_s: float = 0.5) -> None:
    """Give a line of a site that does not run a backup. Call it before `edit_lines`."""
    certificate, key = site.certificate(f"msc://host/{name}")
    (port,) = free_ports(1)
    row = {"name": name, "host": "127.0.0.1", "port": port, "certificate": certificate, "key": key}
    demo = site.demo
    demo["lines"].append(row)
    (site.folder / "demo.json").write_text(json.dumps(demo), "utf-8")
    backup = f'backup = "{name}"\nfailback_s = {failback_s}\n'
    site.edit("msc.toml", (rf'^(name = "{line}")$', rf"\1\n{backup}"))
    with (site.folder / "msc.toml").open("a", encoding="utf-8") as file:
        file.write(
            f'\n[[line]]\nname = "{name}"\nhost = "127.0.0.1"\nport = {port}\npeer = "msc://host/{name}"\n'
            'mode = "production"\n'
        )


def host_of(site: Site, line: str = "clets-a", book: StateBook | None = None, **members: object) -> StandInHost:
    """Stand in for the host at the end of a line."""
    row = site.line(line)
    context = site.context(row["certificate"], row["key"], server=True)
    return StandInHost(line, (row["host"], row["port"], context), book, **members)


def edit_lines(site: Site, **members: object) -> None:
    """Give every line of a site that does not run some settings."""
    told = "".join(f"\n{name} = {value}" for name, value in members.items())
    site.edit("msc.toml", (r'^(mode = "production")$', rf"\1{told}"))
