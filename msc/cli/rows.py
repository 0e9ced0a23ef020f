"""`msc user|agency|agreement|pool|mnemonic|device|operator …`: single rows of the directory."""

from __future__ import annotations

import getpass
import json as jsonlib
import secrets
import sys
from collections.abc import Callable
from datetime import date, timedelta
from typing import Annotated, Any

import segno
import typer
from rich.table import Table

from msc import clock
from msc.access import password as passwords
from msc.cli.common import Exit, Json, fail, out, run, site_and_rest
from msc.directory.codec import members
from msc.directory.consistency import PASS_PER_CENT
from msc.directory.credential import hash_password, new_otp_secret, new_recovery_codes, otp_uri, recovery_digest
from msc.directory.rows import TABLES, AnyRow, Status, User, key_of
from msc.directory.store import Change
from msc.protocol.catalog import load_catalog
from msc.settings import PasswordPolicySettings, Settings, load_settings
from msc.site import edit as rows
from msc.site.administer import Administration, Outcome, administer

Arguments = Annotated[list[str], typer.Argument(metavar="[SITE] KEY", help="The site's msc.toml, and the row's key.")]
Assignments = Annotated[
    list[str],
    typer.Argument(metavar="[SITE] KEY MEMBER=VALUE...", help="The site's msc.toml, the row's key, and members."),
]
Sites = Annotated[list[str] | None, typer.Argument(metavar="[SITE]", help="The site's msc.toml.")]
Operator = Annotated[
    str | None, typer.Option("--as", envvar="MSC_OPERATOR", help="Who acts; else the account of this machine.")
]
Reason = Annotated[str, typer.Option(envvar="MSC_REASON", help="Why; it stands in the journal.")]
OptionalReason = Annotated[
    str, typer.Option("--reason", envvar="MSC_REASON", help="Why; it stands in the journal.", show_default=False)
]
Day = Annotated[str | None, typer.Option(metavar="YYYY-MM-DD", help="A day; today if left out.")]

_SHOWN: dict[str, tuple[str, ...]] = {
    "agency": ("title", "ori", "kind", "access", "password_policy"),
    "agreement": ("agency", "effective", "expires", "databases"),
    "user": ("name", "agency", "operator_class", "certified", "cleared", "statement"),
    "pool": ("agency", "approval", "unsolicited_to", "late_answers"),
    "mnemonic": ("agency", "pool", "mode", "databases", "functions", "last_used"),
    "device": ("kind", "agency", "mnemonic", "pool", "staffed", "location"),
    "operator": ("name", "role", "agency", "certificate"),
}
_LIFE: dict[str, str] = {
    "agency": "Agencies: their ORIs, what they may use, their suspension.",
    "agreement": "Agreements on file, under which agencies use the system.",
    "user": "People: their class, what is on file about them, their credentials.",
    "pool": "Pools of mnemonics, and who holds which.",
    "mnemonic": "Mnemonics: what they are authorised for, and their life step by step.",
    "device": "Terminals, printers and hosts.",
    "operator": "Operators: who runs the switch and who reads its journal, by role.",
}


def _day(text: str | None, option: str) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        fail(f"{option}: {text!r} is not a date such as 2026-01-31", Exit.USAGE)


def _take(
    arguments: list[str] | None, wanted: str, count: int = 1, *, more: bool = False
) -> tuple[Settings, list[str]]:
    site, rest = site_and_rest(arguments or [], wanted, count, more=more)
    return load_settings(site), rest


def _perform(
    settings: Settings,
    operator: str | None,
    reason: str,
    plan: Callable[[Administration], list[Change]],
    done: str,
) -> None:
    """Work out changes, make them, and say what became of them."""

    async def work() -> Outcome | None:
        async with administer(settings, operator) as administration:
            changes = plan(administration)
            return await administration.change(changes, reason) if changes else None

    outcome = run(work())
    if outcome is None:
        out.print("nothing to change", markup=False)
        return
    in_force = {
        True: "in force in the running switch",
        False: "the running switch has not taken it up yet: look at its log",
        None: "no switch is running; it takes this up when it starts",
    }[outcome.in_force]
    out.print(f"{done} (revision {outcome.revision}; {in_force})", markup=False)


def _app(table: str) -> typer.Typer:
    """Make the commands every table has."""
    app = typer.Typer(help=_LIFE[table], no_args_is_help=True)

    @app.command("list")
    def list_rows(
        arguments: Sites = None,
        agency: Annotated[str | None, typer.Option(help="Only of this agency.")] = None,
        everything: Annotated[bool, typer.Option("--all", help="Removed ones, too.")] = False,
        json: Json = False,
    ) -> None:
        """List the rows."""
        settings, _ = _take(arguments, "nothing else", 0)
        found = [
            row
            for _, row in sorted(_load(settings).directory.table(table).items())
            if (agency is None or row.agency == agency) and (everything or row.status is not Status.REMOVED)
        ]
        if json:
            for row in found:
                print(jsonlib.dumps(_plain(row)))
            return
        shown = Table(table, *_SHOWN[table], "status", box=None, pad_edge=False)
        for row in found:
            texts = [members(type(row))[name].to_text(getattr(row, name)) for name in _SHOWN[table]]
            shown.add_row(key_of(row), *texts, _status(row), style=None if row.status is Status.ACTIVE else "yellow")
        out.print(shown)

    @app.command()
    def show(arguments: Arguments, json: Json = False) -> None:
        """Show all that is known of one."""
        settings, (key,) = _take(arguments, "the key")
        administration = _load(settings)
        row = rows.find(administration.directory, table, key)
        facts = _plain(row)
        if isinstance(row, User):
            facts["account"] = _account(administration, key)
        elif table == "pool":
            facts["members"] = administration.directory.members(key)
        if json:
            print(jsonlib.dumps(facts))
            return
        shown = Table(box=None, pad_edge=False, show_header=False)
        account = facts.pop("account", {})
        for name, value in (facts | account).items():
            text = " ".join(value) if isinstance(value, list) else "" if value is None else str(value)
            shown.add_row(name, text)
        out.print(shown)

    @app.command()
    def add(arguments: Assignments, operator: Operator = None, reason: OptionalReason = "") -> None:
        """Add one: MEMBER=VALUE for each member; `show` lists them."""
        settings, (key, *given) = _take(arguments, "the key and MEMBER=VALUE", more=True)

        def plan(administration: Administration) -> list[Change]:
            values = rows.read_assignments(table, given)
            return rows.add(administration.directory, table, key, values, settings.access, clock.today())

        _perform(settings, operator, reason, plan, f"{table} {key} added")

    @app.command("set")
    def set_members(arguments: Assignments, operator: Operator = None, reason: OptionalReason = "") -> None:
        """Change members: MEMBER=VALUE; an empty value clears it."""
        settings, (key, *given) = _take(arguments, "the key and MEMBER=VALUE", 2, more=True)

        def plan(administration: Administration) -> list[Change]:
            return rows.change(administration.directory, table, key, rows.read_assignments(table, given))

        _perform(settings, operator, reason, plan, f"{table} {key} changed")

    @app.command()
    def suspend(
        arguments: Arguments,
        reason: Reason,
        until: Annotated[
            str | None, typer.Option(metavar="YYYY-MM-DD", help="The day it ends; for good if left out.")
        ] = None,
        database: Annotated[
            list[str] | None, typer.Option(help="Only from this database (users, agencies); may be given again.")
        ] = None,
        cause: Annotated[rows.Cause | None, typer.Option(help="What kind of reason (people).")] = None,
        operator: Operator = None,
    ) -> None:
        """Suspend one, at once; who may not go on is signed off."""
        settings, (key,) = _take(arguments, "the key")
        why = f"{cause.value}: {reason}" if cause else reason
        end = _day(until, "--until")
        known = {key.database for key in load_catalog(settings.path(settings.catalog.folder))}
        unknown = sorted(set(database or ()) - known)
        if unknown:
            fail(f"no message key asks {', '.join(unknown)}; databases are {', '.join(sorted(known))}", Exit.USAGE)

        def plan(administration: Administration) -> list[Change]:
            directory = administration.directory
            return rows.suspend(directory, table, key, why, clock.today(), end, database or ())

        _perform(settings, operator, why, plan, f"{table} {key} suspended")

    @app.command()
    def reinstate(
        arguments: Arguments,
        reason: Reason,
        authorised_by: Annotated[
            str | None, typer.Option(help="Who authorises a person whose authorisation was withdrawn.")
        ] = None,
        operator: Operator = None,
    ) -> None:
        """Put one in force again; releases what failed sign-ons locked."""
        settings, (key,) = _take(arguments, "the key")

        def plan(administration: Administration) -> list[Change]:
            directory = administration.directory
            return rows.reinstate(directory, table, key, reason, clock.today(), authorised_by)

        _perform(settings, operator, reason, plan, f"{table} {key} reinstated")

    @app.command()
    def remove(arguments: Arguments, reason: Reason, operator: Operator = None) -> None:
        """Take one out; who may not go on is signed off, and a user id rests."""
        settings, (key,) = _take(arguments, "the key")

        def plan(administration: Administration) -> list[Change]:
            return rows.remove(administration.directory, table, key, reason, clock.today())

        _perform(settings, operator, reason, plan, f"{table} {key} removed")

    return app


def _load(settings: Settings) -> Administration:
    async def work() -> Administration:
        async with administer(settings) as administration:
            return administration

    return run(work())


def _status(row: AnyRow) -> str:
    text = row.status.value
    if row.status_until is not None:
        text += f" until {row.status_until}"
    return text


def _plain(row: AnyRow) -> dict[str, Any]:
    values = {name: member.to_plain(getattr(row, name)) for name, member in members(type(row)).items()}
    return {name: value.isoformat() if isinstance(value, date) else value for name, value in values.items()}


def _account(administration: Administration, key: str) -> dict[str, Any]:
    """What may be shown of credentials: never a secret."""
    account = administration.directory.account(key)
    previous = account.previous_sign_on
    return {
        "password": "set" if account.password_hash else "none yet",
        "password_expires": account.password_expires.isoformat() if account.password_expires else None,
        "second_factor": "enrolled" if account.otp_secret else "not enrolled",
        "recovery_codes_left": len(account.recovery_codes),
        "locked_at": clock.rfc3339(account.locked_at) if account.locked_at else None,
        "previous_sign_on": clock.rfc3339(previous) if previous else None,
        "failed_since": account.failed_since,
    }


apps = {table: _app(table) for table in TABLES}

# --- people -------------------------------------------------------------------------------------


@apps["user"].command()
def reset_password(
    arguments: Arguments,
    reason: Reason,
    stdin: Annotated[bool, typer.Option("--stdin", help="Read the password from standard input.")] = False,
    lasting: Annotated[
        bool, typer.Option("--lasting", help="It need not be changed at once: for stations that cannot do that.")
    ] = False,
    operator: Operator = None,
) -> None:
    """Give a user a new password, to be changed at the next sign-on; releases a locked account."""
    settings, (key,) = _take(arguments, "the user id")
    password = _given_password(key) if stdin else secrets.token_urlsafe(12)

    def plan(administration: Administration) -> list[Change]:
        user = rows.find_user(administration.directory, key)
        agency = administration.directory.agencies[user.agency]
        policy = settings.password_policies[agency.password_policy]
        wrong = passwords.objection(password, policy, passwords.load_banned(settings.banned_passwords), user)
        if wrong and stdin:
            raise rows.BadRequest(wrong)
        return rows.set_account(
            administration.directory, key, "password_reset",
            password_hash=hash_password(password, settings.credentials),
            password_history=rows.history_after(administration.directory.account(key), policy),
            password_expires=_expiry(policy) if lasting else clock.today(), locked_at=None, failed_since=0,
        )  # fmt: skip

    _perform(settings, operator, reason, plan, f"password of {key} reset")
    if not stdin:
        must = "" if lasting else "; it must be changed at the next sign-on"
        out.print(f"  password {password} (shown this once{must})", markup=False)


def _expiry(policy: PasswordPolicySettings) -> date | None:
    return clock.today() + timedelta(days=policy.days) if policy.days else None


def _given_password(key: str) -> str:
    if sys.stdin.isatty():
        return getpass.getpass(f"New password of {key}: ")
    return sys.stdin.readline().rstrip("\n")


@apps["user"].command()
def enrol_otp(arguments: Arguments, reason: Reason, operator: Operator = None) -> None:
    """Enrol a second factor: shows a code to scan, and recovery codes; the one before is void."""
    settings, (key,) = _take(arguments, "the user id")
    secret, codes = new_otp_secret(), new_recovery_codes()

    def plan(administration: Administration) -> list[Change]:
        return rows.set_account(
            administration.directory, key, "otp_enrolled", otp_secret=secret, otp_step=0,
            recovery_codes=tuple(map(recovery_digest, codes)),
        )  # fmt: skip

    _perform(settings, operator, reason, plan, f"second factor of {key} enrolled")
    show_otp(otp_uri(secret, key, settings.switch.name))
    out.print(f"  secret {secret}", markup=False)
    out.print("  recovery codes, each good once:", markup=False)
    for code in codes:
        out.print(f"    {code}", markup=False)


def show_otp(uri: str) -> None:
    """Draw the code an authenticator scans."""
    segno.make(uri, error="l").terminal(out=sys.stdout, compact=True)
    out.print(f"  {uri}", markup=False)


@apps["user"].command()
def certify(
    arguments: Arguments,
    score: Annotated[int, typer.Option(help="Per cent; 70 and more pass.", min=0, max=100)],
    on: Day = None,
    operator: Operator = None,
    reason: OptionalReason = "examination",
) -> None:
    """Record an examination; below 70 per cent it is failed, and changes nothing else."""
    settings, (key,) = _take(arguments, "the user id")
    day = _day(on, "--on") or clock.today()

    def plan(administration: Administration) -> list[Change]:
        return rows.certify(administration.directory, key, day, score, clock.today())

    passed = score >= PASS_PER_CENT
    _perform(settings, operator, reason, plan, f"user {key} {'certified' if passed else 'failed the examination'}")


@apps["user"].command()
def review(
    arguments: Arguments,
    outcome: Annotated[str, typer.Option(help="What the review found: still needed, class unchanged …")],
    operator: Operator = None,
) -> None:
    """Record the yearly validation of an account: by whom, when, with what outcome."""
    settings, (key,) = _take(arguments, "the user id")

    def plan(administration: Administration) -> list[Change]:
        by = administration.actor.operator
        return rows.review(administration.directory, key, by, outcome, clock.today())

    _perform(settings, operator, outcome, plan, f"user {key} reviewed")


# --- mnemonics ----------------------------------------------------------------------------------


@apps["mnemonic"].command()
def step(
    arguments: Annotated[list[str], typer.Argument(metavar="[SITE] MNEMONIC STEP", help="The step to date.")],
    on: Day = None,
    by: Annotated[str | None, typer.Option(help="Who authorised it: the state's reference.")] = None,
    operator: Operator = None,
    reason: OptionalReason = "",
) -> None:
    """Date the next step: requested, forwarded, authorised, programmed, notified."""
    settings, (key, name) = _take(arguments, "the mnemonic and the step", 2)
    day = _day(on, "--on") or clock.today()

    def plan(administration: Administration) -> list[Change]:
        return rows.take_step(administration.directory, key, name, day, by)

    _perform(settings, operator, reason, plan, f"mnemonic {key} {name}")
