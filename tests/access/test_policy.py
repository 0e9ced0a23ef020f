"""The rules: whatever speaks against a case is told, nothing else is, and the lowest code decides."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msc.access import policy
from msc.access.policy import (
    AUTHORITY,
    CLASS_FUNCTIONS,
    RULES,
    SIGN_ON_RULES,
    Case,
    Decision,
    case_of,
    check_mnemonic,
    check_ori,
    explain,
    require,
)
from msc.directory.rows import (
    AccessLevel,
    Account,
    Agency,
    AgencyKind,
    Agreement,
    Directory,
    Mode,
    OperatorClass,
    Pool,
    Status,
)
from msc.errors import AccountSuspended, ForeignOri, KeyNotAuthorised, Refusal
from msc.protocol.catalog import Function, MessageKey, Shape
from msc.protocol.envelope import NO_ENVELOPE, Envelope
from msc.protocol.text import MessageText
from msc.settings import AccessSettings
from tests.support.county import account, mnemonic, terminal, user

TODAY = date(2026, 1, 31)
TOMORROW = TODAY + timedelta(days=1)

BULLETINS = "bulletins are posted by who may"
REQUIREMENTS = frozenset(
    [
        *("C-UID", "C-AUTH", "C-STATIC", "C-STAFFED", "C-POOL", "C-NINE", "C-NONLE", "C-CORI", "C-DBAUTH", "C-ACHS"),
        *("C-IMMIG", "C-TEST", "C-TRAIN", "C-BACKGR", "C-STMT", "C-REVIEW", "C-LEAVE", "C-SANCTION", "O-CLASS"),
        *("O-DMV", "O-DEVICE", "N-IDLE", "N-PWD", "N-QUERY", "L-LEVEL", "L-24H", "L-SUSPEND", "D-DIRECT", "D-LEAVE"),
        *("D-ACK", "D-SANCTION", "L-BULLETIN"),
    ]
)
"""The clauses a decision about access can keep."""

MAY = {
    OperatorClass.FULL_ACCESS: set(Function),
    OperatorClass.LESS_THAN_FULL_ACCESS: {Function.INQUIRY, Function.ADMINISTRATIVE},
    OperatorClass.QUERY_ONLY: {Function.INQUIRY},
    OperatorClass.PRACTITIONER: set(),
    OperatorClass.ADMINISTRATOR: set(Function),
}
RECORDS = {Function.ENTRY, Function.MODIFY, Function.CANCEL, Function.LOCATE, Function.CLEAR}


def ago(days: int) -> date:
    return TODAY - timedelta(days=days)


def moment(days: int) -> int:
    """A sign-on so many days ago, at noon, in wall microseconds."""
    return ((ago(days) - date(1970, 1, 1)).days * 86_400 + 43_200) * 1_000_000


def key(**members: Any) -> MessageKey:
    row = MessageKey(
        code="IW.QW", system="IW", key="QW", name="x", function=Function.INQUIRY, database="WPS",
        shape=Shape.DIRECT, required=(), forms={}, purposes=frozenset(), cori=False, requester_required=False,
        destinations_max=1, timeout_s=15.0,
    )  # fmt: skip
    return replace(row, **members)


def text(ori: str = "CA0980000", destinations: tuple[str, ...] = (), **fields: str) -> MessageText:
    return MessageText(ori, destinations, None, fields, None)


@dataclass
class Site:
    """All that a decision looks at, each with a value that nothing speaks against.

    The person is of one agency and sits at a device of another, so that either's state can differ.
    """

    user: Any = field(default_factory=lambda: user("J40217", added=ago(30), certified=ago(30), dmv_statement=ago(30)))
    account: Account = field(default_factory=lambda: account("J40217"))
    agency: Agency = field(default_factory=lambda: Agency("EXLP", "Police", "CA0980000"))
    host_agency: Agency = field(default_factory=lambda: Agency("SHERIFF", "Sheriff", "CA0989900"))
    device: Any = field(default_factory=lambda: terminal("desk-1", agency="SHERIFF", mnemonic="A123"))
    mnemonic: Any = field(default_factory=lambda: mnemonic("A123"))
    pooled: bool = False
    pool: Pool = field(default_factory=lambda: Pool("cars", "EXLP", "APB 2020-17"))
    staffed: bool = True
    agreements: dict[str, Agreement] = field(default_factory=dict)
    key: MessageKey = field(default_factory=key)
    fields: dict[str, str] = field(default_factory=dict)
    destinations: tuple[str, ...] = ()
    requester: str | None = None
    modes: frozenset[str] = frozenset({"production"})
    rules: AccessSettings = field(default_factory=AccessSettings)

    def set(self, part: str, **members: Any) -> None:
        """Replace members of one of the rows."""
        setattr(self, part, replace(getattr(self, part), **members))

    def agree(self, agency: str, **members: Any) -> None:
        """Put an agreement of an agency on file."""
        row = Agreement(f"MOU {agency}", agency, effective=ago(100))
        self.agreements[agency] = replace(row, **members)

    def allow(self, **members: Any) -> None:
        """Change what `msc.toml` says."""
        self.rules = self.rules.model_copy(update=members)

    def case(self, *, message: bool = True) -> Case:
        if self.pooled:
            self.set("mnemonic", pool="cars")
            self.set("device", mnemonic=None, pool="cars")
        directory = Directory(
            agencies=[self.agency, self.host_agency],
            users=[self.user],
            accounts=[self.account],
            devices=[self.device, terminal("desk-9", agency="EXLP", mnemonic="A199", staffed=self.staffed)],
            pools=[self.pool],
            mnemonics=[self.mnemonic, mnemonic("A199")],
            agreements=self.agreements.values(),
        )
        case = case_of(directory, self.rules, TODAY, self.user, self.device, "A123")
        if message:
            case.key, case.text, case.modes = (
                self.key,
                text(destinations=self.destinations, **self.fields),
                self.modes,
            )
            case.envelope = Envelope(requester=self.requester) if self.requester is not None else NO_ENVELOPE
        return case


@dataclass(frozen=True)
class Fact:
    """Something that may be so: what it changes, and which rule speaks against it (None: none does)."""

    name: str
    change: Callable[[Site], None]
    rule: str | None = None
    when: Callable[[Site], bool] = lambda site: True
    """Whether the rule has anything to look at, given all else."""


def of(part: str, **members: Any) -> Callable[[Site], None]:
    return lambda site: site.set(part, **members)


def both(*changes: Callable[[Site], None]) -> Callable[[Site], None]:
    def change(site: Site) -> None:
        for one in changes:
            one(site)

    return change


def statuses(part: str, rule: str, by_database: str | None) -> list[Fact]:
    """A row's status, its end, and, where rows have it, the databases it is about."""
    whole = {"status": Status.SUSPENDED, "status_reason": "an inquiry"}
    facts = [
        Fact(f"{part} active", of(part, status=Status.ACTIVE)),
        Fact(f"{part} suspended until today", of(part, **whole, status_until=TODAY)),
        Fact(f"{part} suspended for good", of(part, **whole), rule),
        Fact(f"{part} suspended until tomorrow", of(part, **whole, status_until=TOMORROW), rule),
        Fact(f"{part} disabled", of(part, status=Status.DISABLED), rule),
        Fact(f"{part} disabled, whatever its end", of(part, status=Status.DISABLED, status_until=TODAY), rule),
        Fact(f"{part} removed", of(part, status=Status.REMOVED), rule),
    ]  # fmt: skip
    if by_database is not None:
        some = {**whole, "suspended_databases": frozenset({"WPS", "DMV"})}
        facts += [
            Fact(f"{part} suspended from these databases", of(part, **some), by_database),
            Fact(f"{part} suspended from these until tomorrow", of(part, **some, status_until=TOMORROW), by_database),
            Fact(
                f"{part} suspended from all databases",
                of(part, **whole, suspended_databases=frozenset({"*"})),
                by_database,
            ),
            Fact(f"{part} suspended from these until today", of(part, **some, status_until=TODAY)),
            Fact(f"{part} suspended from others", of(part, **whole, suspended_databases=frozenset({"SVS"}))),
            Fact(
                f"{part} active again, with what was suspended still noted",
                of(part, suspended_databases=frozenset({"WPS", "DMV"})),
            ),
            Fact(f"{part} disabled beats a part", of(part, **{**some, "status": Status.DISABLED}), rule),
        ]
    return facts


def addressed(*destinations: str) -> Callable[[Site], None]:
    return lambda site: setattr(site, "destinations", destinations)


def _may_not_post(site: Site) -> bool:
    posting = (OperatorClass.FULL_ACCESS, OperatorClass.ADMINISTRATOR)
    return site.key.function is not Function.ADMINISTRATIVE or site.user.operator_class not in posting


def services(part: str) -> list[Fact]:
    rule, limited = "the agency's service has database and function", {"access": AccessLevel.LESS_THAN_FULL}
    narrow = {"databases": frozenset({"SVS"}), "functions": frozenset()}
    return [
        Fact(f"{part} of full access", of(part, access=AccessLevel.FULL, **narrow)),
        Fact(f"{part} less than full, with this", of(part, **limited, databases=frozenset({"WPS", "DMV"}))),
        Fact(f"{part} less than full, without the database", of(part, **limited, databases=frozenset({"SVS"})), rule),
        Fact(f"{part} less than full, without the function", of(part, **limited, functions=frozenset({"x"})), rule),
    ]


def agreements(part: str, agency: str) -> list[Fact]:
    rule = "an agreement covers what is not law enforcement"
    foreign = of(part, kind=AgencyKind.NON_LAW_ENFORCEMENT)

    def agreed(**members: Any) -> Callable[[Site], None]:
        return both(foreign, lambda site: site.agree(agency, **members))

    return [
        Fact(f"{part} of law enforcement", of(part, kind=AgencyKind.LAW_ENFORCEMENT)),
        Fact(f"{part} of criminal justice", of(part, kind=AgencyKind.CRIMINAL_JUSTICE)),
        Fact(f"{part} with an agreement", agreed(expires=TOMORROW)),
        Fact(f"{part} with an agreement of these databases", agreed(databases=frozenset({"WPS", "DMV"}))),
        Fact(f"{part} without agreement", foreign, rule),
        Fact(f"{part} with an expired agreement", agreed(expires=TODAY), rule),
        Fact(f"{part} with an agreement to come", agreed(effective=TOMORROW), rule),
        Fact(f"{part} with an agreement of others", agreed(databases=frozenset({"SVS"})), rule),
        Fact(f"{part} with a suspended agreement", agreed(status=Status.SUSPENDED), rule),
    ]


def on_file(member: str, rule: str) -> list[Fact]:
    return [
        Fact(f"{member} today", of("user", **{member: TODAY})),
        Fact(f"{member} long ago", of("user", **{member: ago(3000)})),
        Fact(f"{member} missing", of("user", **{member: None}), rule),
        Fact(f"{member} tomorrow", of("user", **{member: TOMORROW}), rule),
    ]


def purposes(allowed: str, given: str | None, forbidden: str = "", exceptions: str = "") -> Callable[[Site], None]:
    def change(site: Site) -> None:
        site.key = replace(site.key, purposes=frozenset(allowed))
        if given is not None:
            site.fields["PUR"] = given
        site.allow(forbidden_purposes=frozenset(forbidden))
        site.set("agency", purpose_exceptions=frozenset(exceptions.split()))

    return change


def class_and_function(class_: OperatorClass, function: Function) -> Callable[[Site], None]:
    def change(site: Site) -> None:
        site.set("user", operator_class=class_)
        site.key = replace(site.key, function=function)

    return change


def database(name: str) -> Callable[[Site], None]:
    def change(site: Site) -> None:
        site.key = replace(site.key, database=name)

    return change


def requester(asked: bool, given: str | None) -> Callable[[Site], None]:
    def change(site: Site) -> None:
        site.key = replace(site.key, requester_required=asked)
        site.requester = given

    return change


def used(added: date | None, signed_on: int | None = None, reinstated: date | None = None) -> Callable[[Site], None]:
    return both(of("user", added=added, status_since=reinstated), of("account", previous_sign_on=signed_on))


IDLE, TRAINING, DMV = "the account is in use", "training is not overdue", "the DMV statement is of the last year"
ACKNOWLEDGED, PASSWORD = "the rules are acknowledged", "the password is current"
PROGRAMMED, REACH = "the mnemonic is authorised and programmed", "the mnemonic has database and function"
MIX, PURPOSE, REQUESTER = "test and production do not mix", "the purpose is allowed", "the requester is named"
STAFFED, CLASS = "who enters records is there at every hour", "the user's class has the function"
SUSPENDED = "the agency's services are not suspended"


def dmv(site: Site) -> bool:
    return site.key.database == "DMV"


def acknowledged(days: int, since: date | None) -> Callable[[Site], None]:
    return both(lambda site: site.allow(acknowledgement_days=days), of("user", acknowledged=since))


SLOTS: dict[str, list[Fact]] = {
    "user's status": statuses("user", "the user's access is in force", "the user is not suspended from the database"),
    "user's authority": [
        Fact("somebody authorised the user", of("user", authorised_by="the sheriff")),
        Fact("nobody authorised the user", of("user", authorised_by=""), "somebody authorised the user"),
    ],
    "directness": [
        Fact("direct access", of("user", direct=True)),
        Fact("indirect access", of("user", direct=False), "the user has direct access"),
    ],
    "idleness": [
        Fact("entered 89 days ago, never signed on", used(ago(89))),
        Fact("signed on 89 days ago", used(ago(400), moment(89))),
        Fact("reinstated yesterday", used(ago(400), moment(300), ago(1))),
        Fact("entered 90 days ago, never signed on", used(ago(90)), IDLE),
        Fact("signed on 90 days ago", used(ago(400), moment(90)), IDLE),
        Fact("reinstated 90 days ago", used(ago(400), moment(300), ago(90)), IDLE),
        Fact("never entered", used(None), IDLE),
    ],
    "mnemonic's status": [
        *statuses("mnemonic", "the mnemonic is in force", None),
        Fact("mnemonic ends tomorrow", of("mnemonic", expires=TOMORROW)),
        Fact("mnemonic ended today", of("mnemonic", expires=TODAY), "the mnemonic is in force"),
    ],
    "device's status": statuses("device", "the device is in force", None),
    "clearance": on_file("cleared", "the background search is cleared"),
    "statement": on_file("statement", "the statement is signed"),
    "training": [
        Fact("trained 729 days ago", of("user", certified=ago(729), appointed=ago(3000))),
        Fact("appointed 182 days ago", of("user", certified=None, appointed=ago(182))),
        Fact("trained 730 days ago", of("user", certified=ago(730)), TRAINING),
        Fact("never trained", of("user", certified=None, appointed=None), TRAINING),
        Fact("never trained, appointed 183 days ago", of("user", certified=None, appointed=ago(183)), TRAINING),
        Fact("never trained, to be appointed", of("user", certified=None, appointed=TOMORROW), TRAINING),
        Fact("to be trained", of("user", certified=TOMORROW, appointed=ago(10)), TRAINING),
    ],
    "acknowledgement": [
        Fact("not asked to acknowledge", acknowledged(0, None)),
        Fact("acknowledged 364 days ago", acknowledged(365, ago(364))),
        Fact("acknowledged 365 days ago", acknowledged(365, ago(365)), ACKNOWLEDGED),
        Fact("never acknowledged", acknowledged(365, None), ACKNOWLEDGED),
    ],
    "password": [
        Fact("password without end", of("account", password_expires=None)),
        Fact("password until tomorrow", of("account", password_expires=TOMORROW)),
        Fact("password until today", of("account", password_expires=TODAY), PASSWORD),
        Fact("password long over", of("account", password_expires=ago(100)), PASSWORD),
    ],
    "class and function": [
        Fact(f"{class_} asks {function}", class_and_function(class_, function))
        for class_, function in itertools.product(OperatorClass, Function)
    ],
    "database": [Fact("WPS", database("WPS")), Fact("DMV", database("DMV"))],
    "DMV statement": [
        Fact("DMV statement 364 days ago", of("user", dmv_statement=ago(364))),
        Fact(
            "DMV statement not asked for",
            both(of("user", dmv_statement=None), lambda site: site.allow(dmv_statement_days=0)),
        ),
        Fact("DMV statement 365 days ago", of("user", dmv_statement=ago(365)), DMV, dmv),
        Fact("no DMV statement", of("user", dmv_statement=None), DMV, dmv),
    ],
    "staffing": [
        Fact("a staffed terminal", lambda site: setattr(site, "staffed", True)),
        Fact(
            "no staffed terminal",
            lambda site: setattr(site, "staffed", False),
            STAFFED,
            lambda site: site.key.function in RECORDS,
        ),
    ],
    "programming": [
        Fact("programmed today", of("mnemonic", programmed=TODAY)),
        Fact("not programmed", of("mnemonic", programmed=None), PROGRAMMED),
        Fact("to be programmed", of("mnemonic", programmed=TOMORROW), PROGRAMMED),
        Fact("programmed on nobody's authority", of("mnemonic", authorised_by=""), PROGRAMMED),
    ],
    "reach": [
        Fact("mnemonic has everything", of("mnemonic", databases=frozenset("*"), functions=frozenset("*"))),
        Fact("mnemonic has the databases", of("mnemonic", databases=frozenset({"WPS", "DMV"}))),
        Fact("mnemonic has the functions", of("mnemonic", functions=frozenset(Function))),
        Fact("mnemonic has another database", of("mnemonic", databases=frozenset({"SVS"})), REACH),
        Fact("mnemonic has it in small letters", of("mnemonic", databases=frozenset({"wps", "dmv"})), REACH),
        Fact("mnemonic has no database", of("mnemonic", databases=frozenset()), REACH),
        Fact("mnemonic has no function", of("mnemonic", functions=frozenset()), REACH),
    ],
    "line": [
        Fact("production to production", lambda site: setattr(site, "modes", frozenset({"production"}))),
        Fact(
            "test to test",
            both(of("mnemonic", mode=Mode.TEST), lambda site: setattr(site, "modes", frozenset({"test"}))),
        ),
        Fact("to no line", lambda site: setattr(site, "modes", frozenset())),
        Fact("test to production", of("mnemonic", mode=Mode.TEST), MIX),
        Fact("production to test", lambda site: setattr(site, "modes", frozenset({"test"})), MIX),
        Fact("production to both", lambda site: setattr(site, "modes", frozenset({"test", "production"})), MIX),
    ],
    "service": services("agency"),
    "host's service": services("host_agency"),
    "agreement": agreements("agency", "EXLP"),
    "host's agreement": agreements("host_agency", "SHERIFF"),
    "purpose": [
        Fact("no purpose looked at", purposes("", None)),
        Fact("any purpose where none is looked at", purposes("", "Z", forbidden="I")),
        Fact("the right purpose", purposes("C", "C", forbidden="I")),
        Fact("a purpose excepted here", purposes("C", "E", exceptions="WPS:E DMV:E")),
        Fact("the wrong purpose", purposes("C", "E"), PURPOSE),
        Fact("a purpose excepted for another database", purposes("C", "E", exceptions="SVS:E WPS:F DMV:F"), PURPOSE),
        Fact("no purpose", purposes("C", None, exceptions="WPS:E DMV:E"), PURPOSE),
        Fact("a forbidden purpose", purposes("CI", "I", forbidden="I"), PURPOSE),
        Fact("a forbidden purpose that is excepted", purposes("C", "I", "I", "WPS:I DMV:I"), PURPOSE),
        Fact("a forbidden purpose where none is looked at", purposes("", "I", forbidden="I"), PURPOSE),
    ],
    "requester": [
        Fact("no requester asked", requester(False, None)),
        Fact("a requester", requester(True, "SGT DOE")),
        Fact("no requester", requester(True, None), REQUESTER),
        Fact("an empty requester", requester(True, ""), REQUESTER),
    ],
    "bulletin": [
        Fact("to somebody", addressed("EXA2")),
        Fact("to the bulletin board", addressed("BULLETIN"), BULLETINS, _may_not_post),
        Fact(
            "to the board and somebody, from a mnemonic that is not administrative",
            both(addressed("EXA2", "BULLETIN"), of("mnemonic", administrative=False)),
            BULLETINS,
        ),
    ],
    "agency's status": statuses("agency", SUSPENDED, SUSPENDED),
    "host's agency's status": statuses("host_agency", SUSPENDED, SUSPENDED),
    "pool status": [
        replace(
            fact,
            change=both(lambda site: setattr(site, "pooled", True), fact.change),
            when=lambda site: site.pooled,
        )
        for fact in statuses("pool", "the pool is in force", None)
    ],
    "pool": [
        Fact("static mnemonic", lambda site: setattr(site, "pooled", False)),
        Fact("pooled mnemonic", lambda site: setattr(site, "pooled", True)),
    ],
}  # fmt: skip
"""What may be so. Facts of one slot exclude each other, those of different slots meet in any combination."""

BY_NAME = {rule.name: rule for rule in RULES}


def site_of(facts: list[Fact]) -> Site:
    site = Site()
    for fact in facts:
        fact.change(site)
    return site


def expected(site: Site, facts: list[Fact]) -> set[str]:
    """Which rules must speak against a case: told by the facts and the directive's table, never by the rules."""
    names = {fact.rule for fact in facts if fact.rule is not None and fact.when(site)}
    if not MAY[site.user.operator_class]:
        names.add("the user's class uses terminals")
    if site.key.function not in MAY[site.user.operator_class]:
        names.add(CLASS)
    return names


def objecting(decision: Decision) -> set[str]:
    return {rule.name for rule, objection in decision.answers if objection is not None}


@st.composite
def combinations(draw: st.DrawFn) -> list[Fact]:
    """A fact of each slot; a few slots may hold any, the others one that nothing speaks against."""
    loose = draw(st.sets(st.sampled_from(sorted(SLOTS)), max_size=6))
    facts = []
    for slot, choices in SLOTS.items():
        harmless = [fact for fact in choices if fact.rule is None]
        if slot == "class and function" and slot not in loose:
            harmless = harmless[: len(Function)]  # full access
        facts.append(draw(st.sampled_from(choices if slot in loose else harmless)))
    return facts


@pytest.mark.requirement("C-DBAUTH", "C-SANCTION", "C-NONLE", "C-TEST", "C-ACHS", "L-LEVEL", "L-SUSPEND", "C-UID")
@given(facts=combinations())
def test_property_a_case_is_allowed_only_if_nothing_speaks_against_it(facts: list[Fact]) -> None:
    site = site_of(facts)
    case = site.case()
    decision = explain(case)
    wrong = expected(site, facts)
    assert objecting(decision) == wrong
    assert decision.allowed is (not wrong)
    if not wrong:
        assert decision.refused_by is None
        require(RULES, case)
    else:
        lowest = min(BY_NAME[name].refusal.code for name in wrong)
        assert decision.refused_by is not None
        rule, reason = decision.refused_by
        assert rule.refusal.code == lowest
        assert reason
        with pytest.raises(Refusal) as refused:
            require(RULES, case)
        assert (refused.value.code, refused.value.reason) == (lowest, reason)
    _check_authority(site, decision)


def _check_authority(site: Site, decision: Decision) -> None:
    """Who authorised it is told: the user's, the mnemonic's and the pool's authority, and agreements in force."""
    told = decision.authorised_by
    assert f"user J40217: {site.user.authorised_by}" in told
    assert f"mnemonic A123: {site.mnemonic.authorised_by}" in told
    assert ("pool cars: APB 2020-17" in told) is site.pooled
    for agency in (site.agency, site.host_agency):
        row = site.agreements.get(agency.agency)
        holds = row is not None and row.status is Status.ACTIVE and row.effective <= TODAY
        if row is not None:
            holds = holds and row.expires in (None, TOMORROW) and "SVS" not in row.databases
        assert (f"agency {agency.agency}: agreement MOU {agency.agency}" in told) is holds


@pytest.mark.requirement("C-AUTH", "N-PWD", "C-SANCTION")
@given(facts=combinations())
def test_property_at_sign_on_the_rules_about_messages_are_not_asked(facts: list[Fact]) -> None:
    site = site_of(facts)
    decision = explain(site.case(message=False))
    assert [rule for rule, _ in decision.answers] == list(SIGN_ON_RULES)
    assert objecting(decision) == expected(site, facts) & {rule.name for rule in SIGN_ON_RULES}


BAD = {fact.name: fact for facts in SLOTS.values() for fact in facts if fact.rule is not None}


@pytest.mark.requirement(
    "C-SANCTION", "C-LEAVE", "C-UID", "D-DIRECT", "N-IDLE", "C-NINE", "C-TEST", "O-DEVICE", "C-BACKGR", "C-TRAIN",
    "C-STMT", "D-ACK", "N-PWD", "O-DMV", "L-24H", "C-DBAUTH", "L-LEVEL", "C-NONLE", "C-ACHS", "C-IMMIG", "C-CORI",
    "L-SUSPEND", "L-BULLETIN",
)  # fmt: skip
@pytest.mark.parametrize("name", BAD)
def test_each_fact_by_itself_refuses_and_names_its_rule(name: str) -> None:
    fact = BAD[name]
    site = site_of([fact])
    if fact.rule == DMV:
        site.key = replace(site.key, database="DMV")
    if fact.rule == STAFFED:
        site.key = replace(site.key, function=Function.ENTRY)
    assert objecting(explain(site.case())) == {fact.rule}


def test_every_rule_has_a_fact_that_breaks_it() -> None:
    table = {"the user's class uses terminals", CLASS}
    assert {fact.rule for fact in BAD.values()} | table == set(BY_NAME)
    assert len(BY_NAME) == len(RULES)


def test_every_rule_names_the_requirements_it_keeps() -> None:
    for rule in RULES:
        assert rule.requirements, rule.name
        assert set(rule.requirements) <= REQUIREMENTS, rule.name


def test_the_rules_stand_in_the_order_of_their_codes() -> None:
    for rules in (RULES, SIGN_ON_RULES, policy.ACCESS, AUTHORITY):
        codes = [rule.refusal.code for rule in rules]
        assert codes == sorted(codes)


def test_the_lowest_code_that_applies_is_given() -> None:
    """One rule of each code is broken, and mended lowest first."""
    chain = [
        ("nobody authorised the user", "E104"),
        ("device disabled", "E105"),
        ("never trained", "E109"),
        ("password until today", "E110"),
        ("user suspended from these databases", "E301"),
        ("not programmed", "E302"),
        ("the wrong purpose", "E303"),
        ("no requester", "E304"),
        ("agency disabled", "E307"),
    ]
    names = [name for name, _ in chain]
    for number, (_, code) in enumerate(chain):
        decision = explain(site_of([BAD[name] for name in names[number:]]).case())
        assert decision.refused_by is not None
        assert decision.refused_by[0].refusal.code == code


@pytest.mark.requirement("C-DBAUTH")
def test_a_message_without_a_mnemonic_is_refused_and_explained() -> None:
    case = Site().case()
    case.mnemonic = None
    decision = explain(case)
    assert objecting(decision) == {PROGRAMMED}
    assert decision.authorised_by == ["user J40217: the agency's coordinator"]


# --- classes ------------------------------------------------------------------------------------------------


@pytest.mark.requirement("O-CLASS", "N-QUERY")
@pytest.mark.parametrize(("class_", "function"), list(itertools.product(OperatorClass, Function)))
def test_a_class_may_do_what_the_directive_says_and_nothing_else(class_: OperatorClass, function: Function) -> None:
    site = Site()
    class_and_function(class_, function)(site)
    if function in MAY[class_]:
        require(AUTHORITY, site.case())
        return
    with pytest.raises(KeyNotAuthorised) as refused:
        require(AUTHORITY, site.case())
    assert refused.value.code == "E301"
    assert "IW.QW" in refused.value.reason


def test_every_class_is_in_the_table() -> None:
    assert set(CLASS_FUNCTIONS) == set(OperatorClass) == set(MAY)


# --- what is told, and what stands beside the tables --------------------------------------------------------


@pytest.mark.requirement("C-SANCTION")
def test_the_reason_of_a_persons_suspension_is_not_told_to_the_terminal() -> None:
    """Why somebody was suspended stands in the directory; at a terminal it would be read by whoever stands there."""
    for name in ("user suspended for good", "agency suspended for good", "user suspended from these databases"):
        decision = explain(site_of([BAD[name]]).case())
        assert decision.refused_by is not None
        assert "an inquiry" not in decision.refused_by[1]
        assert "suspended" in decision.refused_by[1]


@pytest.mark.requirement("C-SANCTION")
def test_the_end_of_a_suspension_is_told() -> None:
    decision = explain(site_of([BAD["user suspended until tomorrow"]]).case())
    assert decision.refused_by is not None
    assert TOMORROW.isoformat() in decision.refused_by[1]


def test_a_message_speaks_only_for_its_senders_agency() -> None:
    agency = Agency("EXLP", "Police", "CA0980000", frozenset({"CA0980001"}))
    check_ori(agency, text("CA0980000"))
    check_ori(agency, text("CA0980001"))
    with pytest.raises(ForeignOri) as refused:
        check_ori(agency, text("CA0989900"))
    assert refused.value.code == "E207"


@pytest.mark.requirement("C-NINE", "C-TEST")
@pytest.mark.parametrize("fact", SLOTS["mnemonic's status"], ids=lambda fact: fact.name)
def test_a_mnemonic_is_in_force_or_it_is_not_whoever_asks(fact: Fact) -> None:
    row = site_of([fact]).mnemonic
    assert policy.mnemonic_in_force(row, TODAY) is (fact.rule is None)
    if fact.rule is None:
        check_mnemonic(row, TODAY)
        return
    with pytest.raises(AccountSuspended) as refused:
        check_mnemonic(row, TODAY)
    assert refused.value.code == "E104"
    assert "A123" in refused.value.reason
