"""Every command of `msc`: its name, where it is, its line of help. In the order `msc --help` lists them."""

from __future__ import annotations

from typing import Final

from msc.cli.lazy import Place

COMMANDS: Final[dict[str, Place]] = {
    "init": Place(
        "msc.cli.init", "init", "Make a ready site: msc.toml, catalog, routes, directory, certificates, data folder."
    ),
    "check": Place("msc.cli.check", "check", "Find every fault of a site's configuration at once."),
    "serve": Place("msc.cli.serve", "serve", "Run the switch until SIGTERM; then drain and stop."),
    "simulate": Place(
        "msc.cli.simulate",
        "simulate",
        "Run the simulated state and NCIC hosts at the other end of the site's lines, until SIGTERM.",
    ),
    "send": Place("msc.cli.send", "send", "Sign on, send a message, print its acknowledgement and its answers."),
    "demo": Place(
        "msc.cli.demo",
        "demo",
        "Make a demo county, start switch, state and NCIC, and play some twenty-five transactions.",
    ),
    "version": Place("msc.cli.version", "version", "Print the version."),
    "directory": Place(
        "msc.cli.directory", "app", "The directory as files: bring it to what they say, or write it out."
    ),
    "journal": Place("msc.cli.journal", "app", "Search, show, print and prove what passed through the switch."),
    "audit": Place(
        "msc.cli.audit", "app", "Search the audit stream: who was let in, refused, locked, and who changed what."
    ),
    "route": Place("msc.cli.route", "app", "Which message goes where: explain it, compare, replay and reload."),
    "acp": Place("msc.cli.acp", "app", "Ask access control what it would say, and why."),
    "misuse": Place("msc.cli.misuse", "app", "Review messages that look like misuse (PPP 1.10.1)."),
    "report": Place("msc.cli.report", "app", "Reports for auditors, as tables, JSON or CSV."),
    "agency": Place("msc.cli.rows", "apps.agency", "Agencies: their ORIs, what they may use, their suspension."),
    "agreement": Place("msc.cli.rows", "apps.agreement", "Agreements on file, under which agencies use the system."),
    "user": Place("msc.cli.rows", "apps.user", "People: their class, what is on file about them, their credentials."),
    "pool": Place("msc.cli.rows", "apps.pool", "Pools of mnemonics, and who holds which."),
    "mnemonic": Place(
        "msc.cli.rows", "apps.mnemonic", "Mnemonics: what they are authorised for, and their life step by step."
    ),
    "device": Place("msc.cli.device", "app", "Terminals, printers and hosts."),
    "operator": Place(
        "msc.cli.rows", "apps.operator", "Operators: who runs the switch and who reads its journal, by role."
    ),
    "line": Place(
        "msc.cli.line", "app", "Lines of the running switch: how they stand; hold, release, restart, test."
    ),
    "queue": Place(
        "msc.cli.message_queue",
        "app",
        "What waits for lines, devices, people and the operator: look, move, copy, delete, reprioritise, requeue.",
    ),
    "intercept": Place(
        "msc.cli.intercept", "app", "Intercept messages by rule: look, edit, release, reroute, delete."
    ),
    "alternate": Place(
        "msc.cli.alternate", "app", "Alternates: which device, or which carrier of a line, takes over."
    ),
    "notice": Place("msc.cli.notice", "app", "Notices to the people at terminals."),
    "echo": Place(
        "msc.cli.notice",
        "echo",
        "Send a station a test message, and say how long its acknowledgement took. Exit code 1 if none came.",
    ),
    "hitconf": Place("msc.cli.bulletin", "hitconf_app", "Hit confirmations: which are open, and whose clock runs."),
    "bulletin": Place("msc.cli.bulletin", "app", "The daily bulletin board: post, list, withdraw."),
    "session": Place("msc.cli.session", "app", "Look at and end sessions of the running switch."),
    "certs": Place("msc.cli.certs", "app", "Make, renew, revoke and show the site's certificates."),
}
