"""Every code of access control, provoked over the wire: who is not signed on (E1xx), and what is not sent (E3xx)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest

from msc import clock
from msc.directory.rows import AccessLevel, Agency, AgencyKind, Agreement, Mode, OperatorClass, Pool, Status
from tests.e2e.conftest import assert_quiet
from tests.support.county import LONG_AGO, mnemonic, terminal
from tests.support.mtp_client import Refused, Station, Wire
from tests.support.office import PASSWORD, entry, person, prepare, rows
from tests.support.site import Site

Test = TypeVar("Test", bound=Callable[..., Any])
PROVOKED: dict[str, set[str]] = {}
"""Which tests of this module provoke which code."""

TODAY = clock.today()
TOMORROW, YESTERDAY = TODAY + timedelta(days=1), TODAY - timedelta(days=1)


def provokes(*codes: str) -> Callable[[Test], Test]:
    """Note that a test provokes codes."""

    def note(test: Test) -> Test:
        for code in codes:
            PROVOKED.setdefault(code, set()).add(test.__name__)
        return test

    return note


# --- who is in the directory ----------------------------------------------------------------------

PEOPLE: dict[str, dict[str, Any]] = {
    "G00001": {},
    "G00002": {"status": Status.SUSPENDED, "status_until": TODAY},
    "S00001": {"status": Status.SUSPENDED, "status_reason": "SECRET REASON"},
    "S00002": {"status": Status.SUSPENDED, "status_until": TOMORROW},
    "S00003": {"status": Status.REMOVED},
    "S00004": {"status": Status.DISABLED},
    "S00005": {"direct": False},
    "S00006": {"authorised_by": ""},
    "S00007": {"operator_class": OperatorClass.PRACTITIONER},
    "S00008": {"added": TODAY - timedelta(days=90)},
    "Q00001": {"cleared": None},
    "Q00002": {"cleared": TOMORROW},
    "Q00003": {"certified": None},
    "Q00004": {"certified": TODAY - timedelta(days=730)},
    "Q00005": {"certified": None, "appointed": TODAY - timedelta(days=183)},
    "Q00006": {"statement": None},
    "Q00007": {"acknowledged": None},
    "Q00008": {"acknowledged": TODAY - timedelta(days=365)},
    "Q00009": {"certified": None, "appointed": TODAY - timedelta(days=182)},
    "M00001": {"operator_class": OperatorClass.QUERY_ONLY},
    "M00002": {"operator_class": OperatorClass.LESS_THAN_FULL_ACCESS},
    "M00003": {"dmv_statement": None},
    "M00004": {"dmv_statement": TODAY - timedelta(days=365)},
    "M00005": {"status": Status.SUSPENDED, "suspended_databases": frozenset({"DMV"})},
    "M00006": {"agency": "EXUN"},
    "M00007": {"agency": "EXLT"},
    "M00008": {"agency": "EXNL"},
    "M00009": {"agency": "EXSU"},
    "M00010": {"agency": "EXSD"},
    "M00011": {"agency": "EXPX"},
}
"""By user id, in what somebody differs from a person in good standing."""
EXPIRED, CHANGED = "X00001", "X00002"

AGENCIES = [
    Agency(
        "EXLT", "Less than Full", "CA0990200", access=AccessLevel.LESS_THAN_FULL,
        databases=frozenset({"DMV"}), functions=frozenset({"inquiry"}),
    ),
    Agency("EXNL", "Not Law Enforcement", "CA0990300", kind=AgencyKind.NON_LAW_ENFORCEMENT),
    Agency("EXUN", "Unstaffed", "CA0990400"),
    Agency("EXSU", "Suspended", "CA0990500", status=Status.SUSPENDED),
    Agency("EXSD", "Suspended in Part", "CA0990600", status=Status.SUSPENDED, suspended_databases=frozenset({"DMV"})),
    Agency("EXPX", "With an Exception", "CA0990700", purpose_exceptions=frozenset({"ACHS:E"})),
]  # fmt: skip

MNEMONICS = [
    replace(mnemonic("EXNP", "EXSO", administrative=False), programmed=None, notified=None),
    mnemonic("EXDM", "EXSO", administrative=False, databases=frozenset({"DMV"}), functions=frozenset({"inquiry"})),
    mnemonic("EXTE", "EXSO", administrative=False, mode=Mode.TEST, expires=TOMORROW, requested=YESTERDAY),
    mnemonic("EXOV", "EXSO", administrative=False, mode=Mode.TEST, expires=TODAY, requested=YESTERDAY),
    mnemonic("EXOF", "EXSO", administrative=False, status=Status.SUSPENDED),
    mnemonic("EXK1", "EXSO", administrative=False),
    mnemonic("EXK2", "EXSO", administrative=False),
    mnemonic("EXBD", "EXSO", administrative=False),
    mnemonic("EXV1", "EXSO", pool="VACANT", status=Status.DISABLED),
    mnemonic("EXB1", "EXSO", pool="BARRED"),
]  # fmt: skip
DEVICES = [
    terminal("NOTPROG", agency="EXSO", mnemonic="EXNP"),
    terminal("DMVONLY", agency="EXSO", mnemonic="EXDM"),
    terminal("TESTING", agency="EXSO", mnemonic="EXTE"),
    terminal("OVER", agency="EXSO", mnemonic="EXOV"),
    terminal("OFF", agency="EXSO", mnemonic="EXOF"),
    terminal("KIOSK1", agency="EXSO", mnemonic="EXK1", device_class="kiosk"),
    terminal("KIOSK2", agency="EXSO", mnemonic="EXK2", device_class="kiosk"),
    terminal("BOUND1", agency="EXSO", mnemonic="EXBD", certificate="ab" * 32),
    terminal("VACANT1", agency="EXSO", pool="VACANT"),
    terminal("BARRED1", agency="EXSO", pool="BARRED"),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A running switch whose directory holds somebody for every rule; its lines have nothing at their other end."""
    made = Site.make(tmp_path_factory.mktemp("access") / "site")
    try:
        made.quick_lines()
        made.edit(
            "msc.toml",
            (r"^drain_s = \d+", "drain_s = 1"),
            (r"^acknowledgement_days = 0", "acknowledgement_days = 365"),
            (r"^forbidden_purposes = \[\]", 'forbidden_purposes = ["I"]'),
            (r"^\[catalog\]", "[device_class.kiosk]\nsessions_max = 1\n\n[catalog]"),
        )
        # Whatever no route takes: supervised release.
        known = '["DMV", "SVS", "ACHS", "MUPS", "NLETS"]'
        made.edit("routes.toml", (r'^(name = "everything else[^\n]*)$', rf"\1\ndatabases = {known}"))
        made.device("BOUND1")
        prepare(
            made,
            *rows(
                *AGENCIES,
                Agreement("AGREED-1", "EXNL", LONG_AGO, databases=frozenset({"SVS"})),
                Pool("VACANT", "EXSO", "APB 1"),
                Pool("BARRED", "EXSO", "APB 2", status=Status.SUSPENDED),
                *MNEMONICS,
                *DEVICES,
            ),
            *(entry(made, person(user, **members)) for user, members in PEOPLE.items()),
            *(entry(made, person(user), password_expires=TODAY) for user in (EXPIRED, CHANGED)),
        )
        made.serve()
        yield made
    finally:
        made.stop()
    assert_quiet(made)


async def refused(station: Station, user: str, password: str = PASSWORD, **more: Any) -> Refused:
    """Sign on, which must be refused."""
    with pytest.raises(Refused) as told:
        await station.sign_on(user, password, **more)
    return told.value


# --- E101 to E113: signing on ---------------------------------------------------------------------

NOT_SIGNED_ON = [
    ("suspended", "S00001", "E104", "suspended"),
    ("suspended until tomorrow", "S00002", "E104", f"until {TOMORROW}"),
    ("removed", "S00003", "E104", "removed"),
    ("disabled", "S00004", "E104", "disabled"),
    ("with indirect access only", "S00005", "E104", "indirect"),
    ("authorised by nobody", "S00006", "E104", "authorised"),
    ("a practitioner", "S00007", "E104", "practitioner"),
    ("not seen for ninety days", "S00008", "E104", ""),
    ("without background search", "Q00001", "E109", "background"),
    ("with a background search of tomorrow", "Q00002", "E109", "background"),
    ("never trained", "Q00003", "E109", "training"),
    ("with overdue training", "Q00004", "E109", "training"),
    ("with overdue initial training", "Q00005", "E109", "initial training"),
    ("without statement", "Q00006", "E109", "statement"),
    ("without acknowledgement", "Q00007", "E109", "acknowledgement"),
    ("with an acknowledgement of a year ago", "Q00008", "E109", "acknowledgement"),
    ("with an expired password", EXPIRED, "E110", "new_password"),
]


@pytest.mark.requirement(
    "C-SANCTION",
    "C-LEAVE",
    "C-UID",
    "D-DIRECT",
    "O-CLASS",
    "N-IDLE",
    "C-BACKGR",
    "C-TRAIN",
    "C-STMT",
    "D-ACK",
    "N-PWD",
)
@provokes("E101", *(row[2] for row in NOT_SIGNED_ON))
@pytest.mark.parametrize(
    ("user", "code", "why"), [row[1:] for row in NOT_SIGNED_ON], ids=[r[0] for r in NOT_SIGNED_ON]
)
async def test_nobody_is_signed_on_who_is(site: Site, user: str, code: str, why: str) -> None:
    async with site.station("DISPATCH1") as station:
        told = await refused(station, user)
        assert told.code == code and why in told.reason, told
        assert "SECRET" not in told.reason  # what is on file about a person is nobody's business at a terminal
        with pytest.raises(Refused, match="E111"):
            await station.send("IV.4.CA0990000.LIC/1SAM001")
    # A guesser learns nothing of it. One wrong password for each of them is less than what locks the terminal.
    async with site.station("RECORDS1") as station:
        assert (await refused(station, user, "w" * 12)).code == "E101"


@pytest.mark.parametrize("user", ["G00001", "G00002", "Q00009"])
async def test_who_is_in_order_to_the_day_is_signed_on(site: Site, user: str) -> None:
    async with site.signed_on("DISPATCH1", user) as station:
        assert await station.send("IV.4.CA0990000.LIC/1SAM001") > 0


@pytest.mark.requirement("F-LOCKOUT")
@provokes("E102", "E103")
async def test_a_locked_account_and_a_missing_second_factor_are_refused(site: Site) -> None:
    async with site.station("MOBILE3") as station:
        assert (await refused(station, "R60045", site.user("R60045")["password"])).code == "E103"
        for _ in range(5):
            assert (await refused(station, "A00001", "w" * 12)).code == "E101"
        assert (await refused(station, "A00001", site.user("A00001")["password"])).code == "E102"


@pytest.mark.requirement("F-BANNER", "C-STATIC", "C-POOL")
@provokes("E105", "E108")
@pytest.mark.parametrize(
    ("device", "more", "code"),
    [
        ("DISPATCH1", {"mnemonic": "EXA2"}, "E105"),
        ("DISPATCH1", {"mnemonic": "NONE"}, "E105"),
        ("DISPATCH1", {"pool": "PATROL"}, "E105"),
        ("MOBILE1", {"mnemonic": "EXA1"}, "E105"),
        ("MOBILE1", {"mnemonic": "EXV1"}, "E105"),
        ("MOBILE1", {"pool": "VACANT"}, "E105"),
        ("MOBILE1", {"pool": "NOWHERE"}, "E105"),
        ("DISPATCH1", {"banner_accepted": False}, "E108"),
        ("DISPATCH1", {"banner_accepted": None}, "E108"),
    ],
    ids=str,
)
async def test_the_wrong_mnemonic_or_an_unread_banner_is_refused(
    site: Site, device: str, more: dict[str, Any], code: str
) -> None:
    async with site.station(device) as station:
        assert (await refused(station, "G00001", **more)).code == code


@pytest.mark.requirement("O-DEVICE")
@provokes("E105")
async def test_a_device_bound_to_another_certificate_is_disconnected_without_a_frame(site: Site) -> None:
    row, at = site.device("BOUND1"), site.demo["switch"]
    wire = await Wire.connect(at["host"], at["port"], site.context(row["certificate"], row["key"]))
    assert await wire.rest() == []
    await wire.close()
    said = [line for line in site.processes[-1].output.splitlines() if '"audit"' in line and "BOUND1" in line]
    assert said and all("connection.refused" in line and "E105" in line and "bound to" in line for line in said)


@pytest.mark.requirement("C-NINE", "C-TEST")
@provokes("E104")
@pytest.mark.parametrize("device", ["OFF", "OVER"])
async def test_nobody_works_under_a_mnemonic_that_is_out_of_force(site: Site, device: str) -> None:
    async with site.station(device) as station:
        told = await refused(station, "G00001")
        assert told.code == "E104" and "mnemonic" in told.reason


@pytest.mark.requirement("C-POOL")
@provokes("E106", "E107")
async def test_a_pool_with_nothing_free_and_a_mnemonic_in_use_are_refused(site: Site) -> None:
    for device in ("VACANT1", "BARRED1"):
        async with site.station(device) as station:
            assert (await refused(station, "G00001")).code == "E106"
    async with site.station("VACANT1") as station:  # a disabled one is none of the pool's, even if it is asked for
        assert (await refused(station, "G00001", mnemonic="EXV1")).code == "E105"
    async with site.signed_on("MOBILE1", "G00001", mnemonic="EXM1"), site.station("MOBILE2") as station:
        assert (await refused(station, "G00002", mnemonic="EXM1")).code == "E107"
    async with site.signed_on("DISPATCH1", "G00001"), site.station("DISPATCH1") as again:  # C-STATIC
        assert (await refused(again, "G00002")).code == "E107"


@pytest.mark.requirement("N-PWD", "C-AUTH")
@provokes("E110")
async def test_an_expired_password_is_changed_by_signing_on_with_a_new_one(site: Site) -> None:
    new = "Quite-Another-7-Word"
    async with site.station("DISPATCH1") as station:
        assert (await refused(station, CHANGED)).code == "E110"
        weak = await refused(station, CHANGED, new_password="short")
        assert weak.code == "E206" and "short" not in weak.reason
        assert (await refused(station, CHANGED, new_password=PASSWORD)).code == "E206"  # the old one again
        assert (await refused(station, CHANGED, "w" * 12, new_password=new)).code == "E101"
        assert (await refused(station, CHANGED, new)).code == "E101"  # nothing was changed
        told = await station.sign_on(CHANGED, PASSWORD, new_password=new)
        assert told["user"] == CHANGED
        await station.sign_off()
        assert (await refused(station, CHANGED)).code == "E101"
        await station.sign_on(CHANGED, new)
        await station.sign_off()


@provokes("E113")
async def test_a_person_has_no_more_sessions_than_the_devices_class_allows(site: Site) -> None:
    async with site.signed_on("KIOSK1", "G00001") as first, site.station("KIOSK2") as second:
        assert (await refused(second, "G00001")).code == "E113"
        assert await first.send("IV.4.CA0990000.LIC/1SAM001") > 0
        await second.sign_on("G00002", PASSWORD)
        await second.sign_off()
        await first.sign_off()
        await second.sign_on("G00001", PASSWORD)
        await second.sign_off()
        await first.sign_on("G00001", PASSWORD)


@pytest.mark.requirement("C-AUTH", "F-LOCK")
@provokes("E111", "E112")
async def test_nothing_is_sent_before_sign_on_or_while_locked(site: Site) -> None:
    async with site.station("DISPATCH1") as station:
        with pytest.raises(Refused, match="E111"):
            await station.send("IV.4.CA0990000.LIC/1SAM001")
        await station.sign_on("G00001", PASSWORD)
        await station.say(type="lock")
        await station.control("locked")
        with pytest.raises(Refused, match="E112"):
            await station.send("IV.4.CA0990000.LIC/1SAM001")
        await station.sign_off()


# --- E301 to E308: messages -----------------------------------------------------------------------

ENTRY = "IA.EV.{ori}.LIC/1SAM001.OCA/26-1.DTE/20260101"
DRIVER, STOLEN, MISSING = "IV.4.{ori}.LIC/1SAM001", "IA.QV.{ori}.LIC/1SAM001", "IM.QM.{ori}.NAM/DOE,JOHN"
RELEASE, HISTORY = "IR.QR.{ori}.NAM/DOE,JOHN", "IH.QH.{ori}.NAM/DOE,JOHN.PUR/"
LETTER = "AM.{ori}.EXA2.TXT MEET AT THE GATE"
ASKED = {"requester": "DET ROE"}

NOT_SENT: list[tuple[str, str, str, str, dict[str, str], str, str]] = [
    ("an entry of less than full access", "DISPATCH1", "M00002", ENTRY, {}, "E301", "less_than_full"),
    ("an entry of query only", "DISPATCH1", "M00001", ENTRY, {}, "E301", "query_only"),
    ("a letter of query only", "DISPATCH1", "M00001", LETTER, {}, "E301", "query_only"),
    ("a DMV key without statement", "DISPATCH1", "M00003", DRIVER, {}, "E301", "DMV"),
    ("a DMV key after a year", "DISPATCH1", "M00004", DRIVER, {}, "E301", "overdue"),
    ("a database one is suspended from", "DISPATCH1", "M00005", DRIVER, {}, "E301", "DMV"),
    ("an entry of an unstaffed agency", "DISPATCH1", "M00006", ENTRY, {}, "E301", "staffed"),
    ("a mnemonic that is not programmed", "NOTPROG", "G00001", DRIVER, {}, "E302", "programmed"),
    ("a mnemonic's other database", "DMVONLY", "G00001", STOLEN, {}, "E302", "SVS"),
    ("a mnemonic's other function", "DMVONLY", "G00001", ENTRY, {}, "E302", "entry"),
    ("a test mnemonic on a production line", "TESTING", "G00001", DRIVER, {}, "E302", "test"),
    ("another database of a lesser agency", "DISPATCH1", "M00007", MISSING, {}, "E302", "MUPS"),
    ("another function of a lesser agency", "DISPATCH1", "M00007", LETTER, {}, "E302", "services"),
    ("what no agreement covers", "DISPATCH1", "M00008", DRIVER, {}, "E302", "agreement"),
    ("no purpose", "DISPATCH1", "G00001", HISTORY[:-5], ASKED, "E206", ""),
    ("another purpose", "DISPATCH1", "G00001", HISTORY + "E", ASKED, "E303", "PUR"),
    ("a forbidden purpose", "DISPATCH1", "G00001", HISTORY + "I", ASKED, "E303", "I is not allowed"),
    ("a purpose excepted for others", "DISPATCH1", "M00011", HISTORY + "X", ASKED, "E303", ""),
    ("no requester", "DISPATCH1", "G00001", HISTORY + "C", {}, "E304", "requester"),
    ("no route", "DISPATCH1", "G00001", RELEASE, {}, "E305", ""),
    ("a destination nobody has", "DISPATCH1", "G00001", "AM.{ori}.ZZZZ.TXT HELLO", {}, "E306", "ZZZZ"),
    ("a mnemonic that takes no letters", "DISPATCH1", "G00001", "AM.{ori}.EXK1.TXT HELLO", {}, "E306", "EXK1"),
    ("a suspended agency", "DISPATCH1", "M00009", DRIVER, {}, "E307", "EXSU"),
    ("a database the agency is suspended from", "DISPATCH1", "M00010", DRIVER, {}, "E307", "DMV"),
    ("six states", "DISPATCH1", "G00001", "RQ.{ori}.NV,OR,AZ,WA,ID,UT.TXT.LIC/1SAM003", {}, "E308", ""),
]  # fmt: skip

SENT: list[tuple[str, str, str, str, dict[str, str]]] = [
    ("an inquiry of less than full access", "DISPATCH1", "M00002", DRIVER, {}),
    ("a letter of less than full access", "DISPATCH1", "M00002", LETTER, {}),
    ("an inquiry of query only", "DISPATCH1", "M00001", DRIVER, {}),
    ("another database without DMV statement", "DISPATCH1", "M00003", STOLEN, {}),
    ("a database one is not suspended from", "DISPATCH1", "M00005", STOLEN, {}),
    ("an inquiry of an unstaffed agency", "DISPATCH1", "M00006", DRIVER, {}),
    ("what a lesser agency has", "DISPATCH1", "M00007", DRIVER, {}),
    ("what the agreement covers", "DISPATCH1", "M00008", STOLEN, {}),
    ("what the mnemonic has", "DMVONLY", "G00001", DRIVER, {}),
    ("a letter with a test mnemonic", "TESTING", "G00001", LETTER, {}),
    ("an allowed purpose", "DISPATCH1", "G00001", HISTORY + "C", ASKED),
    ("the agency's exception", "DISPATCH1", "M00011", HISTORY + "E", ASKED),
    ("a database the agency keeps", "DISPATCH1", "M00010", STOLEN, {}),
    ("an entry", "DISPATCH1", "G00001", ENTRY, {}),
]

ORIS = {"EXSO": "CA0990000"} | {agency.agency: agency.ori for agency in AGENCIES}


def told_by(user: str, text: str) -> str:
    """Write a text with the ORI of the user's agency."""
    return text.replace("{ori}", ORIS[PEOPLE[user].get("agency", "EXSO")])


@pytest.mark.requirement(
    "O-CLASS", "N-QUERY", "O-DMV", "C-SANCTION", "L-24H", "C-DBAUTH", "C-TEST", "L-LEVEL", "C-NONLE", "C-ACHS",
    "C-IMMIG", "C-CORI", "L-SUSPEND",
)  # fmt: skip
@provokes(*(row[5] for row in NOT_SENT))
@pytest.mark.parametrize(
    ("device", "user", "text", "envelope", "code", "why"), [r[1:] for r in NOT_SENT], ids=[r[0] for r in NOT_SENT]
)
async def test_not_sent_is(
    site: Site, device: str, user: str, text: str, envelope: dict[str, str], code: str, why: str
) -> None:
    async with site.signed_on(device, user) as station:
        with pytest.raises(Refused) as told:
            await station.send(told_by(user, text), envelope)
        assert told.value.code == code and why in told.value.reason, told.value


@pytest.mark.requirement("O-CLASS", "N-QUERY", "C-SANCTION", "L-LEVEL", "C-NONLE", "C-ACHS", "C-DBAUTH")
@pytest.mark.parametrize(("device", "user", "text", "envelope"), [r[1:] for r in SENT], ids=[r[0] for r in SENT])
async def test_sent_is(site: Site, device: str, user: str, text: str, envelope: dict[str, str]) -> None:
    async with site.signed_on(device, user) as station:
        assert await station.send(told_by(user, text), envelope) > 0


def test_every_code_of_access_control_is_provoked() -> None:
    page = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text("utf-8")
    codes = set(re.findall(r"^\| (E[13]\d\d) \|", page, re.MULTILINE))
    assert len(codes) > 20
    # E309 answers who asks for another's receipts: `test_administrative.py`.
    assert codes - PROVOKED.keys() == {"E309"}
    assert all(PROVOKED[code] <= globals().keys() for code in codes - {"E309"})
