"""`msc audit search`."""

from __future__ import annotations

import csv as csvlib
import json as jsonlib
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Annotated, Any

import typer
from rich.table import Table

from msc import clock
from msc.admin.administration import changes_waiting
from msc.cli.common import Exit, Json, Site, cells, err, fail, moment, out, reader, run, shown_time
from msc.errors import JournalError
from msc.journal.audit import AuditCriteria
from msc.journal.record import AuditRecord
from msc.journal.search import JournalReader
from msc.settings import load_settings

app = typer.Typer(help="Search the audit stream: who was let in, refused, locked, and who changed what.")


@app.callback(no_args_is_help=True)
def _group() -> None:
    """Keep `search` a command of its own, though it is the only one."""


@app.command()
def search(
    site: Site,
    since: Annotated[str | None, typer.Option(help="From this time on (UTC): 2026-01-31, yesterday, 2h.")] = None,
    until: Annotated[str | None, typer.Option(help="Before this time (UTC).")] = None,
    event: Annotated[str | None, typer.Option(help="Event, or its beginning: sign_on.refused, sign_on.")] = None,
    user: Annotated[str | None, typer.Option(help="Who acted.")] = None,
    device: Annotated[str | None, typer.Option(help="On which device.")] = None,
    mnemonic: Annotated[str | None, typer.Option(help="With which mnemonic.")] = None,
    subject: Annotated[str | None, typer.Option(help="What was acted upon: 'user J40217', or J40217.")] = None,
    session: Annotated[str | None, typer.Option(help="In which session.")] = None,
    source: Annotated[str | None, typer.Option(help="From which address.")] = None,
    code: Annotated[str | None, typer.Option(help="Code it was refused with.")] = None,
    refused: Annotated[bool, typer.Option("--refused", help="Only what was refused.")] = False,
    text: Annotated[list[str] | None, typer.Option(help="A text in detail or reason; may be given again.")] = None,
    limit: Annotated[int | None, typer.Option(help="At most this many; all with --json or --csv.", min=1)] = None,
    oldest_first: Annotated[bool, typer.Option("--oldest-first", help="Begin with the oldest.")] = False,
    json: Json = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV, with a line of names.")] = False,
) -> None:
    """List audit events, newest first. Exit code 1 if there is none."""
    if json and csv:
        fail("--json or --csv, not both", Exit.USAGE)
    equal = {
        "user": user,
        "device": device,
        "mnemonic": mnemonic,
        "session": session,
        "source": source,
        "code": code,
    }
    criteria = AuditCriteria(
        equal={name: value for name, value in equal.items() if value is not None},
        event=event,
        subject=subject,
        words=tuple(text or ()),
        refused=refused,
        since_us=moment(since, "--since"),
        until_us=moment(until, "--until"),
    )
    show = _print_json if json else _print_csv if csv else _print_table
    if limit is None and not (json or csv):
        limit = 50
    found = run(_search(reader(site), criteria, limit, oldest_first, show))
    waiting = run(changes_waiting(load_settings(site)))
    if waiting:
        hint = f"{waiting} changes made by command are not among these: a starting switch takes them in"
        err.print(hint, style="yellow")
    if not found:
        if not (json or csv):
            err.print("no audit event matches", style="yellow")
        raise typer.Exit(Exit.REFUSED)
    if found == limit and not (json or csv):
        err.print(f"the {'oldest' if oldest_first else 'newest'} {limit}; --limit shows more", style="dim")


Records = AsyncIterator[AuditRecord]


async def _search(
    journal: JournalReader,
    criteria: AuditCriteria,
    limit: int | None,
    oldest_first: bool,
    show: Callable[[Records], Coroutine[Any, Any, int]],
) -> int:
    try:
        return await show(journal.audit(criteria, limit=limit, oldest_first=oldest_first))
    except JournalError as exc:
        fail(str(exc), Exit.USAGE)
    finally:
        await journal.close()


async def _print_json(records: Records) -> int:
    found = 0
    async for record in records:
        found += 1
        print(jsonlib.dumps(_members(record)))
    return found


async def _print_csv(records: Records) -> int:
    found = 0
    writer = csvlib.writer(sys.stdout, lineterminator="\n")
    writer.writerow(AuditRecord._fields)
    async for record in records:
        found += 1
        writer.writerow(_members(record).values())
    return found


async def _print_table(records: Records) -> int:
    table = Table(box=None, pad_edge=False)
    table.add_column("time (UTC)", no_wrap=True)
    for name in ("event", "user", "subject", "device", "mnemonic", "source", "code", "detail, reason"):
        table.add_column(name, overflow="fold")
    async for record in records:
        reason = f'"{record.reason}"' if record.reason else None
        table.add_row(
            *cells(
                shown_time(record.at), record.event, record.user, record.subject, record.device, record.mnemonic,
                record.source, record.code, " ".join(filter(None, (record.detail, reason))),
            )
        )  # fmt: skip
    if table.row_count:
        out.print(table)
    return table.row_count


def _members(record: AuditRecord) -> dict[str, Any]:
    return record._asdict() | {"at": clock.rfc3339(record.at)}
