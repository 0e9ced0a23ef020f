"""`msc journal reindex`: offline, as the account the switch runs under.

It shows no content and changes no record, so it asks nobody who they are: whoever may write the site's files may mend
their index.
"""

from __future__ import annotations

import json as jsonlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from msc import clock
from msc.cli.common import Exit, Json, Site, err, fail, out, run
from msc.errors import JournalError
from msc.settings import Settings, load_settings

if TYPE_CHECKING:
    from msc.journal.reindex import Reindexing


def reindex(
    site: Site,
    month: Annotated[
        list[str] | None, typer.Option(help="Only this month's, 2026-11. Again for more. All.", metavar="YYYY-MM")
    ] = None,
    json: Json = False,
) -> None:
    """Make the journal's index anew from its records, offline. Exit code 1 if some could not be read."""
    from msc.journal.reindex import NoSuchMonth
    from msc.lock import lock_site

    settings = load_settings(site)
    months = [_month(each) for each in month or ()]
    if settings.journal.in_files and not settings.database(settings.journal).is_file():
        fail(f"{settings.database(settings.journal)}: there is no journal yet", Exit.USAGE)
    with lock_site(settings, "a switch is running on this site: stop it first"):
        try:
            outcome = run(_reindex(settings, months))
        except NoSuchMonth as exc:
            fail(str(exc), Exit.USAGE)
        except JournalError as exc:
            fail(str(exc), Exit.REFUSED)
    _show(outcome, json=json)
    if outcome.failed or outcome.unread:
        fail("not all of it could be read; `msc journal verify` says more", Exit.REFUSED)


async def _reindex(settings: Settings, months: list[int]) -> Reindexing:
    from msc.journal.database.opening import open_archiving
    from msc.journal.reindex import reindex

    archiving = open_archiving(settings.database_url(settings.journal))
    try:
        with err.status("making the index anew") as status:
            return await reindex(archiving, months, _shown_by(status.update))
    finally:
        await archiving.close()


def _shown_by(update: Callable[[str], None]) -> Callable[[int, int], None]:
    """Show progress, some ten times a second."""
    shown_at, done = 0.0, 0

    def show(month: int, records: int) -> None:
        nonlocal shown_at, done
        done += records
        now = clock.monotonic()
        if now - shown_at >= 0.1:
            shown_at = now
            update(f"making the index anew, month {_shown(month)}: {done:,} records")

    return show


def _show(outcome: Reindexing, *, json: bool) -> None:
    if json:
        for done in outcome.months:
            print(jsonlib.dumps({**done._asdict(), "month": _shown(done.month)}))
        return
    for done in outcome.months:
        out.print(f"{_shown(done.month)}: {done.entries:,} places on {done.pages:,} pages", markup=False)
    for why in outcome.failed.values():
        out.print(why, markup=False, style="red")
    if outcome.unread:
        out.print(f"{outcome.unread:,} records cannot be read; no search finds them", markup=False, style="red")


def _month(text: str) -> int:
    year, dash, month = text.partition("-")
    if not (dash and len(year) == 4 and len(month) == 2 and (year + month).isdigit() and (year + month).isascii()):
        fail(f"{text!r} is not a month such as 2026-11", Exit.USAGE)
    return int(year + month)


def _shown(month: int) -> str:
    return f"{month // 100:04}-{month % 100:02}"
