"""The `msc` command."""

from __future__ import annotations

import os
import sys

import typer

from msc import __version__
from msc.cli import audit, certs, directory, journal, rows, session
from msc.cli.check import check
from msc.cli.common import Exit, err, out
from msc.cli.demo import demo
from msc.cli.init import init
from msc.cli.send import send
from msc.cli.serve import serve
from msc.cli.simulate import simulate
from msc.errors import FaultyInput, MSCError

app = typer.Typer(
    name="msc",
    help="A message-switching computer for law enforcement.",
    epilog="The site's msc.toml is the first argument, or comes from MSC_CONFIG.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(init)
app.command()(check)
app.command()(serve)
app.command()(simulate)
app.command()(send)
app.add_typer(directory.app, name="directory")
app.add_typer(journal.app, name="journal")
app.add_typer(audit.app, name="audit")
for table, commands in rows.apps.items():
    app.add_typer(commands, name=table)
app.add_typer(session.app, name="session")
app.add_typer(certs.app, name="certs")
app.command()(demo)


@app.command()
def version(json: bool = typer.Option(False, "--json", help="Print JSON.")) -> None:
    """Print the version."""
    if json:
        out.print_json(data={"version": __version__})
    else:
        out.print(f"msc {__version__}")


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
