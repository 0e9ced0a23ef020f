"""`msc report`: what auditors ask of the directory."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Protocol, TypeVar

import typer

from msc import clock
from msc.cli.common import Exit, Json, Site, fail, run
from msc.cli.table import Columns, Csv, form_of, print_rows, second, text
from msc.directory.rows import MNEMONIC_STEPS, Directory
from msc.report import directory as reports
from msc.report.directory import AccountRow, CertificationRow, IdleRow, LeaseRow, LocationRow, MnemonicRow
from msc.settings import Settings, load_settings
from msc.site.administer import administer

app = typer.Typer(help="Reports for auditors, as tables, JSON or CSV.", no_args_is_help=True)

Agency = Annotated[str | None, typer.Option(help="Of this agency.")]
DueWithin = Annotated[int | None, typer.Option(metavar="DAYS", help="Only what is due within so many days.", min=0)]
_NOTHING = "nothing to report"


class _OfAgency(Protocol):
    @property
    def agency(self) -> str: ...


AgencyRow = TypeVar("AgencyRow", bound=_OfAgency)

# --- mnemonics and devices ------------------------------------------------------------------------

_MNEMONICS: Columns[MnemonicRow] = {
    "mnemonic": lambda row: row.mnemonic,
    "agency": lambda row: row.agency,
    "device, pool": lambda row: row.place,
    "mode": lambda row: f"{row.mode} until {row.expires}" if row.expires else row.mode,
    "status": lambda row: row.status,
    "steps": lambda row: ", ".join(f"{step} {text(getattr(row, step)) or '-'}" for step in MNEMONIC_STEPS),
    "authorised by": lambda row: row.authorised_by,
    "databases": lambda row: row.databases,
    "functions": lambda row: row.functions,
    "last used": lambda row: row.last_used,
    "listed": lambda row: row.listed,
    "disabled": lambda row: row.disabled,
}


@app.command()
def mnemonics(site: Site, agency: Agency = None, json: Json = False, csv: Csv = False) -> None:
    """What each mnemonic is authorised for, by whom, and each dated step to it."""
    form = form_of(json=json, csv=csv)
    _, directory = _load(site, agency)
    rows = _of(agency, reports.mnemonics(directory, clock.today()))
    print_rows(MnemonicRow, rows, _MNEMONICS, form, _NOTHING)


_LOCATIONS: Columns[LocationRow] = {
    "device": lambda row: row.device,
    "kind": lambda row: row.kind,
    "agency": lambda row: row.agency,
    "mnemonic, pool": lambda row: f"pool {row.pool}" if row.pool else row.mnemonic,
    "location": lambda row: row.location,
    "licence": lambda row: row.licence,
    "staffed": lambda row: row.staffed,
    "status": lambda row: row.status,
}


@app.command()
def locations(site: Site, agency: Agency = None, json: Json = False, csv: Csv = False) -> None:
    """Where each terminal stands."""
    form = form_of(json=json, csv=csv)
    _, directory = _load(site, agency)
    print_rows(
        LocationRow, _of(agency, reports.locations(directory, clock.today())), _LOCATIONS, form, _NOTHING
    )  # fmt: skip


_IDLE: Columns[IdleRow] = {
    "mnemonic": lambda row: row.mnemonic,
    "agency": lambda row: row.agency,
    "device, pool": lambda row: row.place,
    "last used": lambda row: row.last_used,
    "days idle": lambda row: row.idle_days,
    "listed": lambda row: row.listed,
    "disabled on": lambda row: row.disables,
}


@app.command()
def idle_mnemonics(
    site: Site, agency: Agency = None, due_within: DueWithin = None, json: Json = False, csv: Csv = False
) -> None:
    """Mnemonics nobody works under, and the day each will be disabled."""
    form = form_of(json=json, csv=csv)
    settings, directory = _load(site, agency)
    rows = _of(agency, reports.idle_mnemonics(directory, settings.access, clock.today()))
    if due_within is not None:
        rows = [row for row in rows if row.disables <= _day_in(due_within)]
    print_rows(IdleRow, rows, _IDLE, form, _NOTHING)


# --- people ---------------------------------------------------------------------------------------

_ACCOUNTS: Columns[AccountRow] = {
    "user": lambda row: row.user,
    "name": lambda row: row.name,
    "agency": lambda row: row.agency,
    "class": lambda row: row.operator_class.replace("_", " "),
    "status": lambda row: " ".join(
        filter(None, (row.status, f"until {row.until}" if row.until else "", f"({row.reason})" if row.reason else ""))
    ),
    "last sign-on (UTC)": lambda row: second(row.last_sign_on) or "never",
    "days idle": lambda row: row.idle_days,
    "stage": lambda row: row.stage,
    "locked": lambda row: row.locked,
    "password expires": lambda row: row.password_expires,
    "second factor": lambda row: row.second_factor,
    "reviewed": lambda row: f"{row.reviewed} by {row.reviewed_by}" if row.reviewed else "never",
    "review due": lambda row: f"{text(row.review_due) or 'now'}{' overdue' if row.review_overdue else ''}",
}


@app.command()
def accounts(
    site: Site,
    agency: Agency = None,
    overdue: Annotated[bool, typer.Option("--overdue", help="Only those whose yearly review is overdue.")] = False,
    due_within: DueWithin = None,
    json: Json = False,
    csv: Csv = False,
) -> None:
    """The state of each person's account, and its yearly review."""
    form = form_of(json=json, csv=csv)
    settings, directory = _load(site, agency)
    rows = _of(agency, reports.accounts(directory, settings.access, clock.today()))
    if overdue:
        rows = [row for row in rows if row.review_overdue]
    if due_within is not None:
        rows = [row for row in rows if row.review_due is None or row.review_due <= _day_in(due_within)]
    print_rows(AccountRow, rows, _ACCOUNTS, form, _NOTHING)


_CERTIFICATIONS: Columns[CertificationRow] = {
    "user": lambda row: row.user,
    "name": lambda row: row.name,
    "agency": lambda row: row.agency,
    "trained": lambda row: row.training,
    "score": lambda row: row.score,
    "due": lambda row: row.training_due,
    "background": lambda row: row.background,
    "statement": lambda row: row.statement,
    "DMV statement": lambda row: row.dmv_statement,
    "due ": lambda row: row.dmv_statement_due,
    "acknowledged": lambda row: row.acknowledgement,
    "due  ": lambda row: row.acknowledgement_due,
    "overdue": lambda row: ", ".join(row.overdue),
}


@app.command()
def certifications(
    site: Site,
    agency: Agency = None,
    overdue: Annotated[bool, typer.Option("--overdue", help="Only those of whom something is overdue.")] = False,
    due_within: DueWithin = None,
    json: Json = False,
    csv: Csv = False,
) -> None:
    """What is on file about each person: training, background, statements; and when it is due again."""
    form = form_of(json=json, csv=csv)
    settings, directory = _load(site, agency)
    rows = _of(agency, reports.certifications(directory, settings.access, clock.today()))
    if overdue:
        rows = [row for row in rows if row.overdue]
    if due_within is not None:
        rows = [row for row in rows if row.due_by(_day_in(due_within))]
    print_rows(CertificationRow, rows, _CERTIFICATIONS, form, _NOTHING)


# --- leases ---------------------------------------------------------------------------------------

_LEASES: Columns[LeaseRow] = {
    "from (UTC)": lambda row: second(row.began),
    "until (UTC)": lambda row: second(row.ended) or "held",
    "pool": lambda row: row.pool,
    "mnemonic": lambda row: row.mnemonic,
    "user": lambda row: row.user,
    "device": lambda row: row.device,
    "ended": lambda row: row.end_reason,
}


@app.command()
def leases(
    site: Site,
    pool: Annotated[str | None, typer.Option(help="Of this pool.")] = None,
    mnemonic: Annotated[str | None, typer.Option(help="Of this mnemonic.")] = None,
    user: Annotated[str | None, typer.Option(help="By this user.")] = None,
    device: Annotated[str | None, typer.Option(help="At this device.")] = None,
    limit: Annotated[int | None, typer.Option(help="At most this many; all with --json or --csv.", min=1)] = None,
    json: Json = False,
    csv: Csv = False,
) -> None:
    """Who held which pooled mnemonic, when and where, newest first."""
    form = form_of(json=json, csv=csv)
    if limit is None and not (json or csv):
        limit = 50
    rows = run(_leases(site, limit, pool=pool, mnemonic=mnemonic, user=user, device=device))
    print_rows(LeaseRow, rows, _LEASES, form, _NOTHING)


async def _leases(site: Path, limit: int | None, **equal: str | None) -> list[LeaseRow]:
    async with administer(load_settings(site)) as administration:
        return [reports.lease_row(lease) for lease in await administration.store.leases(limit, **equal)]


# --- what they share ------------------------------------------------------------------------------


def _load(site: Path, agency: str | None) -> tuple[Settings, Directory]:
    settings = load_settings(site)
    directory = run(_directory(settings))
    if agency is not None and agency not in directory.agencies:
        fail(f"there is no agency {agency}", Exit.USAGE)
    return settings, directory


async def _directory(settings: Settings) -> Directory:
    async with administer(settings) as administration:
        return administration.directory


def _of(agency: str | None, rows: Iterable[AgencyRow]) -> list[AgencyRow]:
    return [row for row in rows if agency in (None, row.agency)]


def _day_in(days: int) -> date:
    return clock.today() + timedelta(days=days)
