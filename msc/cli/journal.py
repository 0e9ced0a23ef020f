"""`msc journal search` and `msc journal show`."""

from __future__ import annotations

import json as jsonlib
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from msc import clock
from msc.admin.presentation.life import TEXT_LINES, life_of
from msc.cli.common import Exit, Json, Site, cells, err, fail, moment, out, reader, run, shown_time, site_and
from msc.errors import JournalError
from msc.journal.record import Direction

if TYPE_CHECKING:
    from msc.journal.search import Criteria, Entry, JournalReader

app = typer.Typer(help="Search the journal and show transactions.", no_args_is_help=True)


@app.command()
def search(
    site: Site,
    since: Annotated[str | None, typer.Option(help="From this time on (UTC): 2026-01-31, yesterday, 2h.")] = None,
    until: Annotated[str | None, typer.Option(help="Before this time (UTC).")] = None,
    msn: Annotated[int | None, typer.Option(help="Message sequence number.")] = None,
    transaction: Annotated[int | None, typer.Option(help="MSN of the inquiry it belongs to.")] = None,
    user: Annotated[str | None, typer.Option(help="User id.")] = None,
    agency: Annotated[str | None, typer.Option(help="Agency.")] = None,
    ori: Annotated[str | None, typer.Option(help="ORI.")] = None,
    mnemonic: Annotated[str | None, typer.Option(help="Terminal mnemonic.")] = None,
    device: Annotated[str | None, typer.Option(help="Station it came from or went to.")] = None,
    line: Annotated[str | None, typer.Option(help="Line it came from or went to.")] = None,
    key: Annotated[str | None, typer.Option(help="Message key: QW or IW.QW.")] = None,
    database: Annotated[str | None, typer.Option(help="Database it asks.")] = None,
    kind: Annotated[str | None, typer.Option(help="inquiry, entry, response, status, unsolicited ...")] = None,
    direction: Annotated[Direction | None, typer.Option(help="Which way it went.")] = None,
    header: Annotated[str | None, typer.Option(help="Supplemental header.")] = None,
    code: Annotated[str | None, typer.Option(help="Code it was refused with or reports.")] = None,
    requester: Annotated[str | None, typer.Option(help="Requester (criminal history).")] = None,
    text: Annotated[list[str] | None, typer.Option(help="A text it holds; may be given again.")] = None,
    limit: Annotated[int | None, typer.Option(help="At most this many; all with --json.", min=1)] = None,
    json: Json = False,
) -> None:
    """List messages, newest first. Exit code 1 if there is none."""
    from msc.journal.search import Criteria

    equal: dict[str, Any] = {
        "msn": msn,
        "transaction": transaction,
        "user": user,
        "agency": agency,
        "ori": ori,
        "mnemonic": mnemonic,
        "database": database,
        "kind": kind,
        "direction": direction.value if direction else None,
        "code": code,
        "requester": requester,
    }
    criteria = Criteria(
        equal={name: value for name, value in equal.items() if value is not None},
        key=key,
        header=header,
        device=device,
        line=line,
        words=tuple(text or ()),
        since_us=moment(since, "--since"),
        until_us=moment(until, "--until"),
    )
    if limit is None and not json:
        limit = 50
    found = run(_search(reader(site), criteria, limit, json))
    if not found:
        if not json:
            err.print("no message matches", style="yellow")
        raise typer.Exit(Exit.REFUSED)


async def _search(journal: JournalReader, criteria: Criteria, limit: int | None, json: bool) -> int:
    found = 0
    table = Table("MSN", "received (UTC)", "kind", "key", "user", "from", "outcome", box=None, pad_edge=False)
    table.add_column("text", no_wrap=True, overflow="ellipsis")
    try:
        async for entry in journal.search(criteria, limit=limit):
            found += 1
            if json:
                print(jsonlib.dumps(entry.as_json()))
            else:
                table.add_row(*cells(*_row(entry)))
    except JournalError as exc:
        fail(str(exc), Exit.USAGE)
    finally:
        await journal.close()
    if found and not json:
        out.print(table)
        if found == limit:
            err.print(f"the newest {limit}; --limit shows more", style="dim")
    return found


def _row(entry: Entry) -> tuple[str, ...]:
    message = entry.message
    last = entry.events[-1]
    first_line = message.text.split("\n", 1)[0]
    return (
        str(message.msn),
        shown_time(message.received),
        message.kind,
        ".".join(filter(None, (message.system, message.key))),
        message.user or "",
        message.line if message.direction == Direction.INBOUND and message.line else message.device or "",
        message.code or last.event,
        first_line if len(first_line) <= 60 else f"{first_line[:59]}…",
    )


@app.command()
def show(
    arguments: Annotated[list[str], typer.Argument(metavar="[SITE] MSN", help="The site's msc.toml, an MSN.")],
    full: Annotated[bool, typer.Option("--full", help="Every text whole; else its first lines.")] = False,
    json: Json = False,
) -> None:
    """Draw the life of the transaction a message belongs to: what was asked, where it went, what came back when."""
    site, number = site_and(arguments, "an MSN")
    if not number.isdigit():
        fail(f"{number!r} is no MSN", Exit.USAGE)
    entries = run(_transaction(reader(site), int(number)))
    if not entries:
        fail(f"there is no message {number}", Exit.REFUSED)
    if json:
        for entry in entries:
            print(jsonlib.dumps(entry.as_json()))
        return
    for line in life_of(
        [entry.as_json() for entry in entries],
        now_us=clock.wall_us(),
        width=out.width,
        text_lines=None if full else TEXT_LINES,
    ):
        out.print(line, soft_wrap=True)


async def _transaction(journal: JournalReader, msn: int) -> list[Entry]:
    try:
        return await journal.transaction(msn)
    except JournalError as exc:
        fail(str(exc), Exit.USAGE)
    finally:
        await journal.close()
