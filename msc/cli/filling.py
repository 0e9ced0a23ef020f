"""`msc journal fill`: years of synthetic traffic in an empty journal, for tests and measurements."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from msc import clock
from msc.cli.common import Exit, Site, err, fail, moment, out, run
from msc.errors import JournalError, MSCError
from msc.lab.filling.fill import Filled, fill_site
from msc.lab.filling.stream import RECORDS_MIN
from msc.settings import load_settings

_COLUMNS = (TextColumn("filling"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())


def fill(
    site: Site,
    records: Annotated[int, typer.Option(help="Messages, their events and audit records together.", min=RECORDS_MIN)],
    years: Annotated[float, typer.Option(help="Over how many years, up to --until.", min=0.001, max=50)] = 3.0,
    seed: Annotated[int, typer.Option(help="The same seed makes the same records, for the same --until.")] = 1,
    until: Annotated[str | None, typer.Option(help="When it ends (UTC): 2026-01-31, yesterday, 2h. Now.")] = None,
) -> None:
    """Fill an empty journal with a synthetic county's years of traffic: for tests, never for a county's own.

    Nothing in it is real. It takes a journal that is empty, or ends with a filling that is older; while a switch runs
    on the site it does nothing. Interrupted, it leaves a whole journal of what was done.
    """
    settings = load_settings(site)
    end_us = moment(until, "--until") or clock.wall_us()
    try:
        with Progress(*_COLUMNS, console=err) as progress:
            task = progress.add_task("", total=records, visible=False)

            def told(filled: Filled) -> None:
                progress.update(task, completed=filled.records, visible=True)

            filled = run(fill_site(settings, told, records=records, years=years, seed=seed, end_us=end_us))
    except JournalError as exc:
        fail(str(exc), Exit.REFUSED)
    except MSCError as exc:
        fail(str(exc), Exit.USAGE)
    except KeyboardInterrupt:
        fail("interrupted; what was filled in stays, and is a whole journal", Exit.REFUSED)
    out.print(f"{filled.records} records, {filled.messages} of them messages, up to {clock.rfc3339(filled.at_us)}")
