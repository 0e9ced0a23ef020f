"""`msc journal search`, `show`, `follow`, `sample`, `stats`: looking at messages."""

from __future__ import annotations

import json as jsonlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from msc import clock
from msc.cli.common import Exit, Json, Site, err, fail, out, run, site_and
from msc.cli.question import Question, question
from msc.report.words import completeness_line, criteria_line
from msc.settings import Settings, load_settings

Csv = Annotated[bool, typer.Option("--csv", help="Print CSV, with a line of names.")]
Pdf = Annotated[
    Path | None,
    typer.Option("--print", help="Print to this PDF file, as the journal's print path wants it (N-PRINT)."),
]
_LIMIT = 50


@question()
def search(
    site: Site,
    question: Question,
    limit: Annotated[
        int | None, typer.Option(help="At most this many; all with --json, --csv, --print.", min=1)
    ] = None,
    oldest_first: Annotated[bool, typer.Option("--oldest-first", help="Begin with the oldest.")] = False,
    after: Annotated[str | None, typer.Option(help="Go on where an earlier search ended: its cursor.")] = None,
    json: Json = False,
    csv: Csv = False,
    pdf: Pdf = None,
) -> None:
    """List messages, newest first. Exit code 1 if there is none."""
    settings = load_settings(site)
    whole = json or csv or pdf is not None
    limit = limit if limit is not None or whole else _LIMIT
    content: dict[str, Any] = {"criteria": question.criteria, "oldest_first": oldest_first}
    content |= {name: value for name, value in (("limit", limit), ("after", after)) if value is not None}
    if pdf is not None:
        content["print"] = True
    found = run(_present(settings, question, "search", content, json=json, csv=csv, pdf=pdf))
    cursor = question.end.get("after")
    if cursor:
        err.print(f"the {'oldest' if oldest_first else 'newest'} {found}; go on with --after '{cursor}'", style="dim")
    _no_match(found, quiet=json or csv)


@question()
def sample(
    site: Site,
    question: Question,
    count: Annotated[int, typer.Option(help="How many.", min=1)],
    seed: Annotated[int, typer.Option(help="The same seed draws the same messages again.", min=0)],
    json: Json = False,
    csv: Csv = False,
    pdf: Pdf = None,
) -> None:
    """Draw a random sample of the messages that match, for review (PPP 1.10). Exit code 1 if there is none."""
    settings = load_settings(site)
    content = {"criteria": question.criteria, "count": count, "seed": seed}
    if pdf is not None:
        content["print"] = True
    found = run(_present(settings, question, "sample", content, json=json, csv=csv, pdf=pdf))
    if not (json or csv):
        err.print(f"{found} of {question.end.get('of', 0)} messages that match; seed {seed}", style="dim")
    _no_match(found, quiet=json or csv)


@question({})
def show(
    arguments: Annotated[list[str], typer.Argument(metavar="[SITE] MSN", help="The site's msc.toml, an MSN.")],
    question: Question,
    full: Annotated[bool, typer.Option("--full", help="Every line of the texts.")] = False,
    json: Json = False,
    pdf: Pdf = None,
) -> None:
    """Show the whole life of the transaction a message belongs to: what was asked, where it went, what came back."""
    site, number = site_and(arguments, "an MSN")
    if not number.isdecimal():
        fail(f"{number!r} is not an MSN", Exit.USAGE)
    settings = load_settings(site)
    content: dict[str, Any] = {"msn": int(number)}
    if pdf is not None:
        content["print"] = True
    entries = run(_all(question.ask(settings, "show", content)))
    if not entries:
        fail(f"there is no message {number}", Exit.REFUSED)
    if json:
        for entry in entries:
            print(jsonlib.dumps(entry))
    elif pdf is not None:
        run(_print_pdf(settings, question, f"Transaction of message {number}", _each(entries), pdf))
    else:
        from msc.report.life import TEXT_LINES, life_of

        lines = life_of(entries, now_us=clock.wall_us(), width=out.width, text_lines=None if full else TEXT_LINES)
        for line in lines:
            out.print(line, soft_wrap=True)


@question({})
def prove(
    arguments: Annotated[list[str], typer.Argument(metavar="[SITE] MSN", help="The site's msc.toml, an MSN.")],
    file: Annotated[Path, typer.Option("--out", metavar="FILE", help="Where to write it.", show_default=False)],
    question: Question,
) -> None:
    """Write a proof of one message that can be checked without the journal."""
    from msc.cli.journal_proof import write_proof

    site, number = site_and(arguments, "an MSN")
    if not number.isdecimal():
        fail(f"{number!r} is not an MSN", Exit.USAGE)
    proofs = run(_all(question.ask(load_settings(site), "prove", {"msn": int(number)})))
    try:
        write_proof(proofs[0], file)
    except OSError as exc:
        fail(f"{file}: cannot be written: {exc.strerror}", Exit.USAGE)
    out.print(f"{file}: the proof of message {number}; `msc journal check-proof` checks it", markup=False)


@question()
def follow(site: Site, question: Question, json: Json = False) -> None:
    """Show messages as they come, until interrupted."""
    settings = load_settings(site)
    run(_follow(settings, question, json))


async def _follow(settings: Settings, question: Question, json: bool) -> None:
    from msc.report.listing import table_of

    async for line in question.ask(settings, "follow", {"criteria": question.criteria}):
        if "item" not in line:
            continue
        if json:
            print(jsonlib.dumps(line["item"]), flush=True)
        else:
            table = table_of([line["item"]])
            table.show_header = False
            out.print(table)


@question()
def stats(
    site: Site,
    question: Question,
    by: Annotated[
        list[str] | None,
        typer.Option(help="day, month, hour, key, agency, user, line ...; may be repeated."),
    ] = None,
    chart: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw a chart into this .png or .svg file as well.")
    ] = None,
    json: Json = False,
) -> None:
    """Count messages, and draw charts."""
    from msc.report.bars import bars_of
    from msc.report.counts import DAYS_MOST, ready

    wanted = by or ["day"]
    if chart is not None and len(wanted) > 1:
        fail("--chart draws one chart: give one --by", Exit.USAGE)
    settings = load_settings(site)
    items = run(_counted(question, settings, wanted))
    if json:
        for item in items:
            print(jsonlib.dumps(item))
        return
    for name in wanted:
        rows = [(item["label"], item["count"]) for item in items if item["by"] == name]
        out.print(
            bars_of(ready(name, rows, days_most=DAYS_MOST), "Messages", width=out.width, caption=captions(question))
        )
        out.print()
        if chart is not None:
            from msc.report.picture import write_picture

            unreadable = question.end.get("unreadable", ())
            write_picture(chart, ready(name, rows), "Messages", caption=captions(question), unreadable=unreadable)
            err.print(f"drawn: {chart}", style="dim", markup=False)


async def _counted(question: Question, settings: Settings, by: list[str]) -> list[dict[str, Any]]:
    return [item async for item in shown(question.ask(settings, "stats", {"criteria": question.criteria, "by": by}))]


# --- presenting --------------------------------------------------------------------------------------


async def _present(
    settings: Settings,
    question: Question,
    verb: str,
    content: dict[str, Any],
    *,
    json: bool,
    csv: bool,
    pdf: Path | None,
) -> int:
    """Ask, and present what comes in one of the forms; returns how many came."""
    if json + csv + (pdf is not None) > 1:
        fail("--json, --csv or --print, one of them", Exit.USAGE)
    items = shown(question.ask(settings, verb, content))
    if pdf is not None:
        return await _print_pdf(settings, question, "Messages of the journal", items, pdf)
    found = 0
    if json:
        async for entry in items:
            found += 1
            print(jsonlib.dumps(entry))
        return found
    if csv:
        from msc.report.file import csv_lines

        entries = [entry async for entry in items]
        sys.stdout.writelines(csv_lines(entries))
        return len(entries)
    from msc.report.listing import table_of

    entries = [entry async for entry in items]
    if entries:
        out.print(table_of(entries, caption=captions(question)))
    return len(entries)


def captions(question: Question) -> list[str]:
    """Say what was looked for, and how complete the answer is."""
    end = question.end
    return [
        criteria_line(question.criteria),
        completeness_line(end.get("searched", ()), end.get("unreadable", ()), more=bool(end.get("after"))),
    ]


async def _print_pdf(
    settings: Settings, question: Question, title: str, entries: AsyncIterator[dict[str, Any]], file: Path
) -> int:
    from msc.cli.printing import print_pdf

    return await print_pdf(settings, question, title, entries, file, lambda: captions(question)[1])


async def shown(lines: AsyncIterator[dict[str, Any]]) -> AsyncIterator[dict[str, Any]]:
    """Yield the items of an answer, and show on a terminal how far it is."""
    progress = Console(stderr=True)
    if not progress.is_terminal:
        async for line in lines:
            if "item" in line:
                yield line["item"]
        return
    with progress.status("searching ...") as status:
        async for line in lines:
            if "item" in line:
                yield line["item"]
            elif (far := line["progress"]).get("of"):
                status.update(f"searched {far['months']} of {far['of']} months ...")


async def _all(lines: AsyncIterator[dict[str, Any]]) -> list[dict[str, Any]]:
    return [line["item"] async for line in lines if "item" in line]


async def _each(entries: list[dict[str, Any]]) -> AsyncIterator[dict[str, Any]]:
    for entry in entries:
        yield entry


def _no_match(found: int, *, quiet: bool) -> None:
    if found:
        return
    if not quiet:
        err.print("no message matches", style="yellow")
    raise typer.Exit(Exit.REFUSED)
