"""`msc init`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from msc.cli.common import out, run
from msc.cli.rows import show_otp
from msc.lab.demo.site import make_demo
from msc.site.make import make_site


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to make; it must be new or empty.")],
    demo: Annotated[
        bool, typer.Option("--demo", help="A whole fictitious county, on free ports, described in demo.json.")
    ] = False,
) -> None:
    """Make a ready site: msc.toml, catalog, routes, directory, certificates, data folder."""
    make = make_demo if demo else make_site
    made = run(make(folder, ca_passphrase=os.environ.get("MSC_CA_PASSPHRASE") or None))
    file = folder / "msc.toml"
    out.print(f"made {'demo ' if demo else ''}site {folder}", markup=False)
    if made.user:
        out.print(f"  first user {made.user}, password {made.password} (shown this once)", markup=False)
    if made.otp_uri:
        out.print("  their second factor, for an authenticator (shown this once):", markup=False)
        show_otp(made.otp_uri)
    if made.operator:
        key = folder / "certs" / "operators" / f"{made.operator}.key"
        out.print(f"  first operator {made.operator}, key {key}", markup=False)
    if made.ca_passphrase:
        text = f"  passphrase of certs/ca.key {made.ca_passphrase} (shown this once)"
        out.print(text, markup=False)
    out.print(f"  check it        msc check {file}", markup=False)
    out.print(f"  start it        msc serve {file}", markup=False)
    out.print(f"  its state       msc simulate {file}", markup=False)
    if demo:
        text = "IW.QW.CA0990000.NAM/SPECIMEN,WANTED"
        out.print(f"  ask something   msc send {file} --device DISPATCH1 --user J40217 '{text}'", markup=False)
