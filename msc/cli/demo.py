"""`msc demo`: a county in a minute, shown as it happens."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from msc.cli.common import Exit, fail, out, run
from msc.lab.demo.county import DemoFailed
from msc.lab.demo.show import Demo


def demo(
    keep: Annotated[Path | None, typer.Option(help="Make the site here and keep it.", show_default=False)] = None,
) -> None:
    """Make a demo county, start switch, state and NCIC, and play some twenty-five transactions.

    Exits with 0 only if every one ended as it should.
    """
    folder = Path(tempfile.mkdtemp(prefix="msc-demo-")) if keep is None else keep
    good = False
    try:
        good = run(Demo(folder / "site" if keep is None else folder, out).run())
    except DemoFailed as exc:
        fail(str(exc), Exit.INTERNAL)
    finally:
        if keep is None and good:
            shutil.rmtree(folder, ignore_errors=True)
    if not good:
        out.print(f"the site is left for you to look at: {folder}", markup=False)
        raise typer.Exit(Exit.REFUSED)
