"""The `msc` command."""

from __future__ import annotations

import os
import sys

import typer

from msc.cli.commands import COMMANDS
from msc.cli.common import Exit, err
from msc.cli.lazy import LazyGroup
from msc.errors import FaultyInput, MSCError


class _Commands(LazyGroup):
    table = COMMANDS


app = typer.Typer(
    name="msc",
    cls=_Commands,
    help="A message-switching computer for law enforcement.",
    epilog="The site's msc.toml is the first argument, or comes from MSC_CONFIG.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def _msc() -> None:
    """Be a group, though no command is registered here."""


def _open_standard_streams() -> None:
    """Put /dev/null where standard input, output or error is closed: the event loop would get their numbers."""
    while True:
        descriptor = os.open(os.devnull, os.O_RDWR)
        if descriptor > 2:
            os.close(descriptor)
            return


def main() -> None:
    """Run the command line. What goes wrong is told in a line, never as a traceback (set MSC_DEBUG for one)."""
    _open_standard_streams()
    try:
        app()
    except FaultyInput as exc:
        for fault in exc.faults:
            err.print(f"msc: {fault}", markup=False, style="red")
        sys.exit(Exit.USAGE)
    except MSCError as exc:
        err.print(f"msc: {exc}", markup=False, style="red")
        sys.exit(Exit.USAGE)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # Whoever read us has enough (`msc journal search ... | head`).
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(Exit.OK)
    except Exception as exc:
        if os.environ.get("MSC_DEBUG"):
            raise
        err.print(f"msc: internal fault: {type(exc).__name__}; MSC_DEBUG=1 shows where", markup=False, style="red")
        sys.exit(Exit.INTERNAL)
