"""`msc journal backup`, `restore` and `backup-key`: the journal in one encrypted file, and back.

They work on the database itself, as the account the switch runs under: a backup also while the switch runs, a restore
only while none does.
"""

from __future__ import annotations

import getpass
import json as jsonlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from msc import clock
from msc.cli.common import Exit, Json, fail, out, run, site_and_rest
from msc.cli.rows import Arguments, Operator, Reason
from msc.settings import Settings, load_settings

if TYPE_CHECKING:
    from msc.journal.backup.making import BackupReport
    from msc.journal.backup.restoring import RestoreReport
    from msc.journal.proof.checkpoint import Signer
    from msc.journal.proof.finding import Report

PASSPHRASE_FILE = "MSC_BACKUP_PASSPHRASE_FILE"  # noqa: S105  a file's name
"""Names the file that holds the passphrase of a backup's private key, where nobody is there to type it."""
_PUBLIC_KEY = Path("certs/backup.pub")


def backup(
    arguments: Arguments,
    to: Annotated[
        Path | None, typer.Option(help="Public keys it is locked for; else certs/backup.pub of the site.")
    ] = None,
    json: Json = False,
) -> None:
    """Back up the journal into a new file, also while the switch runs."""
    from msc.journal.backup.key import load_public_keys

    site, (name,) = site_and_rest(arguments, "the backup's file", 1)
    settings = load_settings(site)
    keys = load_public_keys(to if to is not None else settings.path(_PUBLIC_KEY))
    # Traffic comes first, wherever there is not enough processor for both.
    os.nice(10)
    report = run(_back_up(settings, Path(name), keys))
    if json:
        print(jsonlib.dumps({**_end_as_json(report.end), "months": report.months, "bytes": report.size}))
        return
    out.print(
        f"{report.end.records} records in {report.months} months, {report.checkpoints} checkpoints, "
        f"{report.size} bytes\nup to {_end(report.end)}",
        markup=False,
    )


async def _back_up(settings: Settings, file: Path, keys: list[Any]) -> BackupReport:
    from msc.journal.backup.making import back_up
    from msc.journal.database.opening import open_reading

    journal = open_reading(settings.database_url(settings.journal))
    try:
        return await back_up(journal, file, keys)
    finally:
        await journal.close()


def restore(
    arguments: Arguments,
    key: Annotated[Path, typer.Option(help="The private key that opens it.")],
    reason: Reason,
    skip_msn: Annotated[
        int | None,
        typer.Option(
            min=0, help="Pass over this many MSNs; else a million for each day since. 0 if none was given out since."
        ),
    ] = None,
    operator: Operator = None,
    json: Json = False,
) -> None:
    """Restore a backup into the site's journal, which must be empty, and verify it. Exit code 1 if it has faults."""
    from msc.journal.backup.key import load_private_key
    from msc.lock import lock_site
    from msc.site.administer import actor_named

    site, (name,) = site_and_rest(arguments, "the backup's file", 1)
    settings = load_settings(site)
    opening = load_private_key(key, _passphrase(key))
    with lock_site(settings, "a switch is running on this site: stop it first"):
        report, verified = run(
            _restore(settings, Path(name), opening, actor_named(operator).operator, reason, skip_msn)
        )
    if json:
        print(
            jsonlib.dumps(
                {
                    **_end_as_json(report.end),
                    "made_at": report.made_at,
                    "next_msn": report.next_msn,
                    "verified": verified.ok,
                    "faults": [finding.as_json() for finding in verified.faults],
                }
            )
        )
    else:
        out.print(
            f"restored: {report.end.records} records, from the backup begun {report.made_at}\n"
            f"up to {_end(report.end)}\n"
            f"what came after that is not in this journal; the next MSN is {report.next_msn}",
            markup=False,
        )
        for finding in verified.faults:
            out.print(f"fault: {finding.text}", markup=False, style="red")
    if not verified.ok:
        fail("the restored journal does not verify", Exit.REFUSED)
    if not json:
        out.print(f"verified: {verified.records} records, {verified.checkpoints} checkpoints, no fault")


async def _restore(
    settings: Settings, file: Path, key: Any, by: str, reason: str, skip_msn: int | None
) -> tuple[RestoreReport, Report]:
    from msc.journal.backup.restoring import restore as restore_backup
    from msc.journal.database.opening import open_archiving, open_writing
    from msc.journal.proof.checkpoint import load_signatories
    from msc.journal.proof.verification import verify

    signer = _signer(settings)
    signatories = load_signatories(settings.path(settings.journal.public_key))
    url = settings.database_url(settings.journal)
    writing, archiving = open_writing(url), open_archiving(url)
    try:
        report = await restore_backup(
            file, key, writing, archiving, signer, by=by, reason=reason, now_us=clock.wall_us(), skip_msn=skip_msn
        )
        return report, await verify(archiving, signatories)
    finally:
        await archiving.close()
        await writing.close()


def _signer(settings: Settings) -> Signer:
    """Return the site's signing key; a new one where it is lost, beside the public keys that are left."""
    from msc.journal.proof.checkpoint import load_signer, make_signing_key

    private = settings.path(settings.journal.signing_key)
    if private.exists():
        return load_signer(private)
    try:
        return make_signing_key(private, settings.path(settings.journal.public_key))
    except OSError as exc:
        fail(f"{private}: the signing key cannot be made: {exc.strerror}", Exit.USAGE)


def backup_key(
    arguments: Annotated[
        list[str],
        typer.Argument(metavar="[SITE] PRIVATE", help="The site's msc.toml; where the private key goes: elsewhere."),
    ],
    public: Annotated[
        Path | None, typer.Option("--public", help="Where the public key goes; else certs/backup.pub of the site.")
    ] = None,
    no_passphrase: Annotated[
        bool, typer.Option("--no-passphrase", help="Do not encrypt the private key: its place is safe enough.")
    ] = False,
) -> None:
    """Make the pair of keys for backups: the public one locks them, the private one opens them."""
    from msc.journal.backup.key import make_backup_key

    site, (name,) = site_and_rest(arguments, "where the private key goes", 1)
    private = Path(name)
    to = public if public is not None else load_settings(site).path(_PUBLIC_KEY)
    passphrase = None if no_passphrase else _passphrase(private, new=True)
    if not no_passphrase and not passphrase:
        fail("give a passphrase for the private key, or --no-passphrase", Exit.USAGE)
    key = make_backup_key(private, to, passphrase)
    out.print(f"key {key}\npublic   {to}\nprivate  {private}", markup=False)
    out.print("Keep the private key away from this machine, twice: without it no backup can be opened.")


def _passphrase(key: Path, *, new: bool = False) -> bytes | None:
    named = os.environ.get(PASSPHRASE_FILE)
    if named:
        try:
            return Path(named).read_bytes().rstrip(b"\r\n")
        except OSError as exc:
            fail(f"{named}: cannot be read: {exc.strerror}", Exit.USAGE)
    if not new and b"ENCRYPTED" not in _content(key):
        return None
    if not sys.stdin.isatty():
        return None
    given = getpass.getpass(f"Passphrase of {key}: ")
    if new and getpass.getpass("Again: ") != given:
        fail("these are two different passphrases", Exit.USAGE)
    return given.encode()


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as exc:
        fail(f"{file}: cannot be read: {exc.strerror}", Exit.USAGE)


def _end(end: Any) -> str:
    if not end.seq:
        return "its beginning: it holds no record"
    return f"record {end.seq}, MSN {end.msn}, {clock.rfc3339(end.at)}"


def _end_as_json(end: Any) -> dict[str, Any]:
    return {"seq": end.seq, "msn": end.msn, "at": clock.rfc3339(end.at) if end.at else None, "records": end.records}
