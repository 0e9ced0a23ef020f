"""Allow or refuse: one table of rules, each a pure question to rows in memory.

A rule names the refusal it gives, the requirements it keeps, and the function that says why it refuses, or None.
The tables stand in the order of their codes, so the first rule that refuses is the lowest code that applies.
`explain` asks every rule and keeps all answers; `require` stops at the first no.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final, NamedTuple

from msc import clock
from msc.directory.rows import (
    AccessLevel,
    Account,
    Agency,
    AgencyKind,
    Device,
    Directory,
    Mnemonic,
    OperatorClass,
    Status,
    User,
    covers,
)
from msc.errors import (
    AccountSuspended,
    AgencySuspended,
    CertificateMismatch,
    DatabaseNotAuthorised,
    ForeignOri,
    KeyNotAuthorised,
    NotQualified,
    PasswordExpired,
    PurposeNotAllowed,
    Refusal,
    RequesterRequired,
)
from msc.protocol.catalog import Function, MessageKey
from msc.protocol.envelope import NO_ENVELOPE, Envelope
from msc.protocol.text import BULLETIN, MessageText
from msc.settings import AccessSettings

ALL_FUNCTIONS: Final = frozenset(Function)

# OCPD directive C.1-4: less than full access inquires only; a practitioner never uses a terminal.
CLASS_FUNCTIONS: Final[Mapping[OperatorClass, frozenset[Function]]] = {
    OperatorClass.FULL_ACCESS: ALL_FUNCTIONS,
    OperatorClass.LESS_THAN_FULL_ACCESS: frozenset({Function.INQUIRY, Function.ADMINISTRATIVE}),
    OperatorClass.QUERY_ONLY: frozenset({Function.INQUIRY}),
    OperatorClass.PRACTITIONER: frozenset(),
    OperatorClass.ADMINISTRATOR: ALL_FUNCTIONS,
}
# What changes a record, and so needs a terminal at which somebody answers for it at every hour (LEADS 1240.60.a.1).
RECORD_FUNCTIONS: Final = ALL_FUNCTIONS - {Function.INQUIRY, Function.ADMINISTRATIVE, Function.HIT_CONFIRMATION}
POSTING: Final = frozenset({OperatorClass.FULL_ACCESS, OperatorClass.ADMINISTRATOR})
"""Who may post to the bulletin board from a terminal (LEADS 1240.130): the whole county reads it."""
DMV: Final = "DMV"
"""The database whose keys need the yearly DMV statement (O-DMV)."""


@dataclass(slots=True)
class Case:
    """Everything a decision looks at: who, where, when, and, for a message, what.

    The message's members are set as the message is understood, step by step.

    Attributes:
        today: The day (UTC).
        agency: The user's.
        host_agency: The device's, which may be another.
        mnemonic: None while none is allocated.
        key, text, envelope: Of the message; None at sign-on.
        modes: `production`, `test`: of the lines the message would go to.
    """

    today: date
    rules: AccessSettings
    directory: Directory
    user: User
    account: Account
    agency: Agency
    device: Device
    host_agency: Agency
    mnemonic: Mnemonic | None = None
    key: MessageKey | None = None
    text: MessageText | None = None
    envelope: Envelope = NO_ENVELOPE
    modes: frozenset[str] = frozenset()


def case_of(
    directory: Directory,
    rules: AccessSettings,
    today: date,
    user: User,
    device: Device,
    mnemonic: str | None = None,
) -> Case:
    """Gather the rows a decision needs."""
    agencies = directory.agencies
    return Case(
        today, rules, directory, user, directory.account(user.user), agencies[user.agency], device,
        agencies[device.agency], directory.mnemonics.get(mnemonic) if mnemonic is not None else None,
    )  # fmt: skip


class Rule(NamedTuple):
    """One rule: its name, the refusal it gives, the requirements it keeps, and why it refuses a case, or None."""

    name: str
    refusal: type[Refusal]
    requirements: tuple[str, ...]
    objection: Callable[[Case], str | None]


# --- E104, E105: may the person, the device and the mnemonic be used at all -----------------------


def _suspended(status: Status, reason: str, until: date | None) -> str:
    end = f" until {until}" if until is not None else ""
    return f"{status.value}{end}: {reason}" if reason else f"{status.value}{end}"


def _user_status(case: Case) -> str | None:
    user = case.user
    if user.status is Status.ACTIVE or user.in_force(case.today):
        return None
    if user.status is Status.SUSPENDED and user.suspended_databases:
        return None  # the rule about suspended databases looks at those
    return f"the user is {_suspended(user.status, '', user.status_until)}"


def _user_authorised(case: Case) -> str | None:
    return None if case.user.authorised_by else "nobody has authorised the user"


def _user_direct(case: Case) -> str | None:
    return None if case.user.direct else "the user has indirect access only"


def _class_uses_terminals(case: Case) -> str | None:
    operator_class = case.user.operator_class
    if CLASS_FUNCTIONS[operator_class]:
        return None
    return f"class {operator_class.value} does not use a terminal"


def last_active(user: User, account: Account) -> date | None:
    """Return the last day an account showed life: signed on, entered or reinstated."""
    days = [day for day in (user.added, user.status_since) if day is not None]
    if account.previous_sign_on is not None:
        days.append(clock.day_of(account.previous_sign_on))
    return max(days, default=None)


def _account_used(case: Case) -> str | None:
    limit, previous = case.rules.idle_account_days, case.account.previous_sign_on
    # Nearly always somebody has signed on lately, and this is asked for every message: no dates are made for it.
    if previous is not None and case.today.toordinal() - clock.ordinal_of(previous) < limit:
        return None
    last = last_active(case.user, case.account)
    if last is not None and (case.today - last).days < limit:
        return None
    return f"the account was not used for {limit} days"


def _mnemonic_status(case: Case) -> str | None:
    return None if case.mnemonic is None else _mnemonic_objection(case.mnemonic, case.today)


def _mnemonic_objection(row: Mnemonic, today: date) -> str | None:
    if not row.in_force(today):
        return f"mnemonic {row.mnemonic} is {_suspended(row.status, '', row.status_until)}"
    if row.expires is not None and row.expires <= today:
        return f"mnemonic {row.mnemonic} ended on {row.expires}"
    return None


def mnemonic_in_force(row: Mnemonic, today: date) -> bool:
    """Tell whether a mnemonic may be worked under on a day."""
    return _mnemonic_objection(row, today) is None


def check_mnemonic(row: Mnemonic, today: date) -> None:
    """Check that a mnemonic may be worked under on a day.

    Raises:
        AccountSuspended: It is disabled, suspended or ended.
    """
    objection = _mnemonic_objection(row, today)
    if objection is not None:
        raise AccountSuspended(objection)


def _pool_status(case: Case) -> str | None:
    pool = case.directory.pools.get(case.mnemonic.pool or "") if case.mnemonic is not None else None
    if pool is None or pool.in_force(case.today):
        return None
    return f"pool {pool.pool} is {_suspended(pool.status, '', pool.status_until)}"


def _device_status(case: Case) -> str | None:
    if case.device.in_force(case.today):
        return None
    return f"device {case.device.device} is {case.device.status.value}"


STANDING: Final = (
    Rule("the user's access is in force", AccountSuspended, ("C-SANCTION", "C-LEAVE", "D-LEAVE"), _user_status),
    Rule("somebody authorised the user", AccountSuspended, ("C-UID",), _user_authorised),
    Rule("the user has direct access", AccountSuspended, ("D-DIRECT",), _user_direct),
    Rule("the user's class uses terminals", AccountSuspended, ("O-CLASS",), _class_uses_terminals),
    Rule("the account is in use", AccountSuspended, ("N-IDLE",), _account_used),
)
STATION: Final = (
    Rule("the mnemonic is in force", AccountSuspended, ("C-NINE", "C-TEST"), _mnemonic_status),
    Rule("the pool is in force", AccountSuspended, ("C-POOL",), _pool_status),
    Rule("the device is in force", CertificateMismatch, ("O-DEVICE",), _device_status),
)

# --- E109, E110: what must be on file ---------------------------------------------------------------


def _on_file(what: str, since: date | None, today: date, days: int = 0) -> str | None:
    """Say what is missing or overdue; `days` of 0 means it never is overdue."""
    if since is None or since > today:
        return f"no {what} on file"
    if days and (today - since).days >= days:
        return f"the {what} of {since} is overdue"
    return None


def _background(case: Case) -> str | None:
    return _on_file("background clearance", case.user.cleared, case.today)


def _training(case: Case) -> str | None:
    user, rules = case.user, case.rules
    if user.certified is None and user.appointed is not None and user.appointed <= case.today:
        if (case.today - user.appointed).days < rules.initial_training_days:
            return None
        return f"the initial training is overdue: appointed {user.appointed}"
    return _on_file("training", user.certified, case.today, rules.training_days)


def _statement(case: Case) -> str | None:
    return _on_file("statement", case.user.statement, case.today)


def _acknowledgement(case: Case) -> str | None:
    days = case.rules.acknowledgement_days
    return _on_file("yearly acknowledgement", case.user.acknowledged, case.today, days) if days else None


def _password_current(case: Case) -> str | None:
    expires = case.account.password_expires
    return (
        "the password must be changed: sign on with `new_password`"
        if expires is not None and expires <= case.today
        else None
    )


QUALIFICATION: Final = (
    Rule("the background search is cleared", NotQualified, ("C-BACKGR",), _background),
    Rule("training is not overdue", NotQualified, ("C-TRAIN",), _training),
    Rule("the statement is signed", NotQualified, ("C-STMT",), _statement),
    Rule("the rules are acknowledged", NotQualified, ("D-ACK",), _acknowledgement),
)
PASSWORD: Final = (Rule("the password is current", PasswordExpired, ("N-PWD",), _password_current),)

# --- E301 to E304: what a message may ask -----------------------------------------------------------


def _class_has_function(case: Case) -> str | None:
    assert case.key is not None
    operator_class = case.user.operator_class
    if case.key.function in CLASS_FUNCTIONS[operator_class]:
        return None
    return f"{case.key.code} is not authorised for class {operator_class.value}"


def _user_database(case: Case) -> str | None:
    assert case.key is not None
    user = case.user
    if not user.suspended_databases or user.in_force(case.today) or user.status is not Status.SUSPENDED:
        return None
    if not covers(user.suspended_databases, case.key.database):
        return None
    return f"the user is {_suspended(user.status, '', user.status_until)} from {case.key.database}"


def _dmv_statement(case: Case) -> str | None:
    assert case.key is not None
    days = case.rules.dmv_statement_days
    if case.key.database != DMV or not days:
        return None
    return _on_file("DMV confidentiality statement", case.user.dmv_statement, case.today, days)


def _staffed_for_entry(case: Case) -> str | None:
    assert case.key is not None
    agency = case.agency.agency
    if case.key.function not in RECORD_FUNCTIONS or agency in case.directory.staffed_agencies:
        return None
    return f"agency {agency} has no terminal staffed at every hour: it may not enter records"


def _mnemonic_programmed(case: Case) -> str | None:
    row = case.mnemonic
    if row is None:
        return "no mnemonic"
    if row.programmed is not None and row.programmed <= case.today and row.authorised_by:
        return None
    return f"mnemonic {row.mnemonic} is not authorised and programmed"


def _mnemonic_database(case: Case) -> str | None:
    row, key = case.mnemonic, case.key
    assert key is not None
    if row is None:
        return None  # the rule above has refused it; `explain` asks on
    if covers(row.databases, key.database) and covers(row.functions, key.function):
        return None
    return f"{key.database} ({key.function.value}) is not authorised for {row.mnemonic}"


def _same_mode(case: Case) -> str | None:
    row = case.mnemonic
    if row is None:
        return None
    foreign = case.modes - {row.mode.value}
    return f"{row.mnemonic} is a {row.mode.value} mnemonic, its line is not" if foreign else None


def _agency_service(case: Case) -> str | None:
    key = case.key
    assert key is not None
    for agency in (case.agency, case.host_agency):
        limited = agency.access is AccessLevel.LESS_THAN_FULL
        if limited and not (covers(agency.databases, key.database) and covers(agency.functions, key.function)):
            return f"{key.database} ({key.function.value}) is not among agency {agency.agency}'s services"
    return None


def _agreement(case: Case) -> str | None:
    assert case.key is not None
    for agency in (case.agency, case.host_agency):
        if agency.kind is AgencyKind.NON_LAW_ENFORCEMENT and not case.directory.agreement(
            agency.agency, case.today, case.key.database
        ):
            return f"no agreement of agency {agency.agency} on file covers {case.key.database}"
    return None


def _purpose(case: Case) -> str | None:
    key, text = case.key, case.text
    assert key is not None and text is not None
    purpose = text.fields.get("PUR")
    if purpose is not None and purpose in case.rules.forbidden_purposes:
        return f"purpose {purpose} is not allowed"
    if not key.purposes or purpose in key.purposes:
        return None
    if purpose is not None and f"{key.database}:{purpose}" in case.agency.purpose_exceptions:
        return None
    return f"{key.code} needs PUR, one of {', '.join(sorted(key.purposes))}"


def _requester(case: Case) -> str | None:
    assert case.key is not None
    if not case.key.requester_required or case.envelope.requester:
        return None
    return f"{case.key.code} needs a requester in the envelope"


def _bulletin(case: Case) -> str | None:
    key, text, row = case.key, case.text, case.mnemonic
    if key is None or text is None or BULLETIN not in text.destinations:
        return None
    if key.function is not Function.ADMINISTRATIVE:
        return f"{key.code} does not go to the bulletin board"
    if case.user.operator_class not in POSTING:
        return f"class {case.user.operator_class.value} posts no bulletins"
    return None if row is not None and row.administrative else "the mnemonic is not an administrative one"


AUTHORITY: Final = (
    Rule("the user's class has the function", KeyNotAuthorised, ("O-CLASS", "N-QUERY"), _class_has_function),
    Rule("the user is not suspended from the database", KeyNotAuthorised, ("C-SANCTION",), _user_database),
    Rule("the DMV statement is of the last year", KeyNotAuthorised, ("O-DMV",), _dmv_statement),
    Rule("who enters records is there at every hour", KeyNotAuthorised, ("L-24H",), _staffed_for_entry),
    Rule("bulletins are posted by who may", KeyNotAuthorised, ("L-BULLETIN",), _bulletin),
    Rule("the mnemonic is authorised and programmed", DatabaseNotAuthorised, ("C-DBAUTH",), _mnemonic_programmed),
    Rule("the mnemonic has database and function", DatabaseNotAuthorised, ("C-DBAUTH",), _mnemonic_database),
    Rule("test and production do not mix", DatabaseNotAuthorised, ("C-TEST",), _same_mode),
    Rule("the agency's service has database and function", DatabaseNotAuthorised, ("L-LEVEL",), _agency_service),
    Rule("an agreement covers what is not law enforcement", DatabaseNotAuthorised, ("C-NONLE",), _agreement),
    Rule("the purpose is allowed", PurposeNotAllowed, ("C-ACHS", "C-IMMIG"), _purpose),
    Rule("the requester is named", RequesterRequired, ("C-CORI",), _requester),
)

# --- E307 -------------------------------------------------------------------------------------------


def _agency_in_force(case: Case) -> str | None:
    for agency in (case.agency, case.host_agency):
        if agency.status is Status.ACTIVE or agency.in_force(case.today):
            continue
        only = agency.suspended_databases if agency.status is Status.SUSPENDED else frozenset()
        if not only or (case.key is not None and covers(only, case.key.database)):
            of = f" from {', '.join(sorted(only))}" if only else ""
            return f"agency {agency.agency} is {_suspended(agency.status, '', agency.status_until)}{of}"
    return None


AGENCY: Final = (
    Rule("the agency's services are not suspended", AgencySuspended, ("L-SUSPEND", "C-SANCTION"), _agency_in_force),
)

RULES: Final = (*STANDING, *STATION, *QUALIFICATION, *PASSWORD, *AUTHORITY, *AGENCY)
"""Every rule, in the order of its code."""
SIGN_ON_RULES: Final = (*STANDING, *STATION, *QUALIFICATION, *PASSWORD)
ACCESS: Final = (*STANDING, *STATION, *QUALIFICATION)
"""What must still hold at every message: midnight may pass in mid-session. A password may run out while its owner is
at work; it is asked about at the next sign-on."""


def require(rules: Iterable[Rule], case: Case) -> None:
    """Refuse a case by the first rule that has something against it.

    Raises:
        Refusal: Of that rule, with its reason.
    """
    for rule in rules:
        objection = rule.objection(case)
        if objection is not None:
            raise rule.refusal(objection)


@dataclass(frozen=True, slots=True)
class Decision:
    """What every rule says of a case.

    Attributes:
        answers: Each rule and its objection, or None, in the order of the codes.
    """

    case: Case
    answers: tuple[tuple[Rule, str | None], ...]

    @property
    def refused_by(self) -> tuple[Rule, str] | None:
        """The rule that decided, and its reason; None where all agree."""
        return next(((rule, objection) for rule, objection in self.answers if objection is not None), None)

    @property
    def allowed(self) -> bool:
        """Whether no rule objects."""
        return self.refused_by is None

    @property
    def authorised_by(self) -> list[str]:
        """Who stands behind what is allowed: the user's, the mnemonic's and an agreement's authority."""
        case = self.case
        found = [f"user {case.user.user}: {case.user.authorised_by}"]
        if case.mnemonic is not None:
            found.append(f"mnemonic {case.mnemonic.mnemonic}: {case.mnemonic.authorised_by}")
            pool = case.directory.pools.get(case.mnemonic.pool or "")
            if pool is not None:
                found.append(f"pool {pool.pool}: {pool.approval}")
        for agency in {case.agency.agency: case.agency, case.host_agency.agency: case.host_agency}.values():
            if agency.kind is AgencyKind.NON_LAW_ENFORCEMENT:
                database = case.key.database if case.key is not None else None
                agreement = case.directory.agreement(agency.agency, case.today, database)
                if agreement is not None:
                    found.append(f"agency {agency.agency}: agreement {agreement.agreement}")
        return found


def explain(case: Case) -> Decision:
    """Ask every rule; without a message, those that hold at sign-on."""
    rules = RULES if case.key is not None else SIGN_ON_RULES
    return Decision(case, tuple((rule, rule.objection(case)) for rule in rules))


# --- E207 -------------------------------------------------------------------------------------------


def check_ori(agency: Agency, text: MessageText) -> None:
    """Check that a message speaks for its sender's agency.

    Raises:
        ForeignOri: Its ORI is another's.
    """
    if text.ori != agency.ori and text.ori not in agency.further_oris:
        raise ForeignOri(f"the ORI must be {agency.ori}, or another of agency {agency.agency}")
