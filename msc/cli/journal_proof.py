"""`msc journal verify` and `msc journal check-proof`; and the file `msc journal prove` writes.

Verifying shows no content and needs no running switch, so it asks nobody who they are: whoever may read the site's
files may verify them. A proof holds the message itself; making one goes through the operators' door.
"""

from __future__ import annotations

import json as jsonlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from msc import clock
from msc.cli.common import Exit, Json, Site, err, fail, out, run
from msc.errors import JournalError
from msc.settings import Settings, load_settings

if TYPE_CHECKING:
    from msc.journal.proof.checkpoint import Signatories
    from msc.journal.proof.finding import Report
    from msc.journal.proof.inclusion import Checked
    from msc.journal.proof.testimony import Testimony
    from msc.journal.proof.verification import Progress

_STYLES: Final = {"fault": "red", "warning": "yellow", "remark": "dim"}
_SHOWN_MAX: Final = {"fault": 100, "warning": 5, "remark": 5}
"""Of one kind, to people."""
_FILE_MODE: Final = 0o600

PublicKey = Annotated[
    Path | None,
    typer.Option(
        "--public-key", help="The journal's public keys (PEM); by default those of the site.", dir_okay=False
    ),
]


def verify(
    site: Site,
    witness: Annotated[
        list[Path] | None,
        typer.Option(help="What a witness wrote down; may be given again.", exists=True, dir_okay=False),
    ] = None,
    public_key: PublicKey = None,
    index: Annotated[
        bool, typer.Option("--index", help="Hold the search index against the records as well, term by term.")
    ] = False,
    json: Json = False,
) -> None:
    """Hold the journal against its signed checkpoints. Exit code 1 if something was changed, removed or made up."""
    from msc.journal.proof.checkpoint import load_signatories
    from msc.journal.proof.testimony import Testimony

    settings = load_settings(site)
    signatories = load_signatories(public_key or settings.path(settings.journal.public_key))
    try:
        report = run(_verify(settings, signatories, Testimony(witness or ()), index=index, quiet=json))
    except JournalError as exc:
        fail(str(exc), Exit.USAGE)
    if json:
        print(jsonlib.dumps(report.as_json()))
    else:
        show_report(report)
    if not report.ok:
        raise typer.Exit(Exit.REFUSED)


async def _verify(
    settings: Settings, signatories: Signatories, testimony: Testimony, *, index: bool, quiet: bool
) -> Report:
    from msc.journal.database.opening import open_reading
    from msc.journal.proof.verification import verify

    if settings.journal.in_files and not settings.database(settings.journal).is_file():
        fail(f"{settings.database(settings.journal)}: there is no journal yet", Exit.USAGE)
    reading = open_reading(settings.database_url(settings.journal))
    try:
        if quiet or not sys.stderr.isatty():
            return await verify(reading, signatories, testimony=testimony, index=index)
        with err.status("verifying") as status:
            return await verify(
                reading, signatories, testimony=testimony, index=index, progress=_shown_by(status.update)
            )
    finally:
        await reading.close()


def _shown_by(update: Callable[[str], None]) -> Callable[[Progress], None]:
    """Show progress, some ten times a second."""
    shown_at = 0.0

    def show(progress: Progress) -> None:
        nonlocal shown_at
        now = clock.monotonic()
        if now - shown_at >= 0.1:
            shown_at = now
            where = f"month {progress.month}" if progress.month else "the index"
            update(f"verifying {where}: {progress.records:,} of {progress.total:,} records")

    return show


def show_report(report: Report) -> None:
    """Print what a verification found."""
    from msc.journal.proof.finding import numeral

    shown: dict[str, int] = {}
    more: dict[str, int] = {kind.value: count for kind, count in report.more.items()}
    for finding in report.findings:
        kind, severity = finding.kind.value, finding.severity.value
        shown[kind] = shown.get(kind, 0) + 1
        if shown[kind] > _SHOWN_MAX[severity]:
            more[kind] = more.get(kind, 0) + 1
        else:
            out.print(f"{severity}: {finding.text}", markup=False, style=_STYLES[severity])
    for kind, count in more.items():
        out.print(f"... and {numeral(count)} more of the kind {kind}; --json has them", markup=False)
    if report.first_bad_msn is not None:
        out.print(f"first bad message: MSN {report.first_bad_msn}", markup=False, style="bold red")
    if report.first_unproven_msn is not None and report.first_unproven_msn != report.first_bad_msn:
        out.print(f"nothing signed vouches for: MSN {report.first_unproven_msn} on, up to there", markup=False)
    for line in report.trust():
        out.print(f"proven: {line}", markup=False)
    if report.deleted:
        out.print(f"deleted, with a signed statement: {', '.join(map(str, report.deleted))}", markup=False)
    if report.last_checkpoint_at:
        age = (report.began_at - report.last_checkpoint_at) / 1e6
        out.print(
            f"last checkpoint: {report.last_checkpoint} of {clock.rfc3339(report.last_checkpoint_at)}, "
            f"{age:.0f} s before; {numeral(report.not_stated)} records after it are not signed yet",
            markup=False,
        )
    out.print(
        f"{numeral(report.records)} records, {report.months} months, {numeral(report.checkpoints)} checkpoints in "
        f"{report.seconds:.1f} s",
        markup=False,
    )
    if report.ok:
        out.print("the journal is what was signed", style="green")
    elif report.records_ok:
        out.print(
            f"the records are what was signed, but their index is not what they are: {len(report.faults)} faults; "
            "`msc journal reindex` makes it anew",
            style="bold red",
        )
    else:
        out.print(f"the journal was tampered with or damaged: {len(report.faults)} faults", style="bold red")


def write_proof(proof: dict[str, Any], file: Path) -> None:
    """Write a proof; it holds a message, so only its owner may read it.

    Raises:
        FileExistsError: Something is there already.
        OSError: It cannot be written.
    """
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _FILE_MODE)
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        jsonlib.dump(proof, stream, ensure_ascii=False, indent=1)
        stream.write("\n")


def check_proof(
    file: Annotated[Path, typer.Argument(help="What `msc journal prove` wrote.", exists=True, dir_okay=False)],
    public_key: PublicKey = None,
    json: Json = False,
) -> None:
    """Check the proof of a message, without the journal. Exit code 1 if it proves nothing."""
    from msc.journal.proof.checkpoint import load_signatories
    from msc.journal.proof.inclusion import BadProof
    from msc.journal.proof.inclusion import check_proof as check

    signatories = load_signatories(public_key) if public_key is not None else None
    try:
        checked = check(jsonlib.loads(file.read_bytes()), signatories)
    except (BadProof, ValueError) as exc:
        if json:
            print(jsonlib.dumps({"ok": False, "error": str(exc)}))
            raise typer.Exit(Exit.REFUSED) from exc
        fail(f"{file}: {exc}", Exit.REFUSED)
    if json:
        print(jsonlib.dumps(_as_json(checked)))
        return
    checkpoint = checked.checkpoint
    out.print(
        f"proven: message {checked.msn} stood in the journal as it stands in the file, with "
        f"{len(checked.records) - 1} events, at {clock.rfc3339(checkpoint.at)} "
        f"(checkpoint {checkpoint.number}, month {checkpoint.month})",
        markup=False,
        style="green",
    )
    out.print(f"signed with key {checked.key}", markup=False)
    if checked.known is None:
        out.print("compare that key with the published one: nothing here says whose it is", style="yellow")


def _as_json(checked: Checked) -> dict[str, Any]:
    return {
        "ok": True,
        "msn": checked.msn,
        "records": [stored.seq for stored in checked.records],
        "checkpoint": checked.checkpoint.number,
        "at": clock.rfc3339(checked.checkpoint.at),
        "key": checked.key,
        "known": checked.known,
    }
