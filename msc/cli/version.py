"""`msc version`."""

from __future__ import annotations

from msc import __version__
from msc.cli.common import Json, out


def version(json: Json = False) -> None:
    """Print the version."""
    if json:
        out.print_json(data={"version": __version__})
    else:
        out.print(f"msc {__version__}")
