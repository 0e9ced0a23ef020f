"""`msc journal`: the group; its commands are imported as they are asked for."""

from __future__ import annotations

from typing import Final

import typer

from msc.cli.lazy import LazyGroup, Place

_COMMANDS: Final[dict[str, Place]] = {
    "search": Place("msc.cli.look", "search", "List messages, newest first. Exit code 1 if there is none."),
    "show": Place(
        "msc.cli.look",
        "show",
        "Show the whole life of the transaction a message belongs to: what was asked, where it went, what came back.",
    ),
    "follow": Place("msc.cli.look", "follow", "Show messages as they come, until interrupted."),
    "stats": Place("msc.cli.look", "stats", "Count messages, and draw charts."),
    "sample": Place(
        "msc.cli.look",
        "sample",
        "Draw a random sample of the messages that match, for review (PPP 1.10). Exit code 1 if there is none.",
    ),
    "verify": Place(
        "msc.cli.journal_proof",
        "verify",
        "Hold the journal against its signed checkpoints. Exit code 1 if something was changed, removed or made up.",
    ),
    "reindex": Place(
        "msc.cli.journal_index",
        "reindex",
        "Make the journal's index anew from its records, offline. Exit code 1 if some could not be read.",
    ),
    "prove": Place("msc.cli.look", "prove", "Write a proof of one message that can be checked without the journal."),
    "check-proof": Place(
        "msc.cli.journal_proof",
        "check_proof",
        "Check the proof of a message, without the journal. Exit code 1 if it proves nothing.",
    ),
    "retention": Place(
        "msc.cli.journal_keep",
        "retention",
        "Show what is kept how long, what would go and when; delete what is due.",
    ),
    "hold": Place("msc.cli.journal_keep", "hold_app", "Legal holds: months that may not be deleted."),
    "backup": Place(
        "msc.cli.journal_backup", "backup", "Back up the journal into a new file, also while the switch runs."
    ),
    "restore": Place(
        "msc.cli.journal_backup",
        "restore",
        "Restore a backup into the site's journal, which must be empty, and verify it. Exit code 1 if it has faults.",
    ),
    "backup-key": Place(
        "msc.cli.journal_backup",
        "backup_key",
        "Make the pair of keys for backups: the public one locks them, the private one opens them.",
    ),
    "fill": Place(
        "msc.cli.filling",
        "fill",
        "Fill an empty journal with a synthetic county's years of traffic: for tests, never for a county's own.",
    ),
}


class _Commands(LazyGroup):
    table = _COMMANDS


app = typer.Typer(
    cls=_Commands, help="Search, show, print and prove what passed through the switch.", no_args_is_help=True
)


@app.callback()
def _journal() -> None:
    """Be a group, though no command is registered here."""
