"""Orders over the administrative socket: who may give them, what is not an order, and what is journaled of each."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import structlog.testing

from msc.control.client import RefusedBySwitch, ask
from msc.control.switching_desk import subject_of
from msc.errors import JournalUnavailable, MSCError
from msc.limits import ECHO_WAIT_S_MAX, NOTICE_CHARS_MAX, ORDER_MESSAGES_MAX, TEXT_CHARS_MAX
from msc.switch.orders.verb import VERBS, BadOrder, NotServed, OrderRefused, Outcome, check_order
from tests.support.county import county
from tests.support.operators import Served, operator, served

REASON = "case 26-17"
SECRET = "DOE,JOHN"

ASKED: dict[str, dict[str, Any]] = {
    "line_status": {"line": "clets-a"},
    "line_hold": {"line": "clets-a"},
    "line_release": {"line": "clets-a"},
    "line_restart": {"line": "clets-a"},
    "line_test": {"line": "clets-a"},
    "device_status": {"device": "PRINTER1"},
    "device_hold": {"device": "PRINTER1"},
    "device_release": {"device": "PRINTER1"},
    "device_restart": {"device": "PRINTER1"},
    "alternate_list": {},
    "alternate_set": {"for": "device:PRINTER1", "to": "device:PRINTER2", "always": True},
    "alternate_clear": {"for": "line:clets-a"},
    "queue_list": {"address": "device:PRINTER1"},
    "queue_show": {"msn": 17},
    "queue_move": {"from": "device:PRINTER1", "to": "operator:queue", "all": True},
    "queue_copy": {"msn": 17, "to": "user:J40217"},
    "queue_delete": {"from": "operator:intercept", "msns": [17, 18]},
    "queue_reprioritise": {"at": "line:clets-a", "msn": 17, "to": "urgent"},
    "queue_requeue": {"isn": 17, "from": "device:PRINTER1", "date": "2026-01-31", "send_again": True},
    "intercept_list": {},
    "intercept_set": {"name": "watch-1", "criteria": {"keys": ["IW.*"]}},
    "intercept_clear": {"name": "watch-1"},
    "intercept_edit": {"msn": 17, "text": f"AM.CA0980000.A124.TXT {SECRET}"},
    "intercept_release": {"msns": [17]},
    "notice_send": {"text": f"LOOK FOR {SECRET}", "agency": "EXLP"},
    "echo": {"device": "PRINTER1", "text": f"TEST {SECRET}", "wait_s": 2},
    "hitconf_list": {},
    "bulletin_post": {"text": f"WANTED {SECRET}", "until": "2026-02-01T08:00:00Z"},
    "bulletin_list": {},
    "bulletin_withdraw": {"number": 3},
}
"""A good one of every verb."""
ORDERS = sorted(name for name, verb in VERBS.items() if not verb.look)
LOOKS = sorted(name for name, verb in VERBS.items() if verb.look)

pytestmark = pytest.mark.requirement("C-ACCESS", "F-AUDIT")


@pytest.fixture
async def switch(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path, county()) as found:
        yield found


async def give(switch: Served, verb: str, name: str = "admin", **more: Any) -> Any:
    """Give the good order of a verb."""
    content = {**ASKED[verb], "reason": REASON, **more}
    return await ask(switch.settings, "POST", f"/switching/{verb}", content, operator(name))


async def refused(switch: Served, verb: str, name: str = "admin", **more: Any) -> RefusedBySwitch:
    with pytest.raises(RefusedBySwitch) as told:
        await give(switch, verb, name, **more)
    return told.value


# --- what is done ---------------------------------------------------------------------------------------------


def test_there_is_a_good_one_of_every_verb() -> None:
    assert set(ASKED) == set(VERBS)


async def test_what_an_administrator_asks_is_done_and_answered(switch: Served) -> None:
    for verb in VERBS:
        assert await give(switch, verb) == {"done": True}
        order = switch.operations.orders.pop()
        assert (order.verb, order.asked, order.by, order.reason) == (verb, ASKED[verb], "admin", REASON)
        assert order.words == f"admin: {REASON}"


async def test_an_order_is_journaled_before_it_is_done_and_what_came_of_it_after(switch: Served) -> None:
    for verb in ORDERS:
        switch.audited.clear()
        switch.operations.fault = OrderRefused("not now")
        await refused(switch, verb)
        before, after = switch.audited
        assert (before.event, before.user, before.reason) == (f"switching.{verb}", "admin", REASON)
        assert json.loads(before.detail or "") == ASKED[verb]
        assert (after.event, after.session) == ("switching.not_done", before.session)
        switch.operations.fault = None
        await give(switch, verb)
        *_, before, after = switch.audited
        assert (after.event, after.session, after.reason) == ("switching.done", before.session, REASON)
        assert json.loads(after.detail or "") == {"verb": verb, "before": {"held": False}, "after": {"held": True}}


async def test_a_look_is_journaled_once(switch: Served) -> None:
    for verb in LOOKS:
        await give(switch, verb)
    assert [(event.event, event.user) for event in switch.audited] == [(f"switching.{v}", "admin") for v in LOOKS]


async def test_what_a_message_says_stands_in_the_journal_and_never_in_the_log(switch: Served) -> None:
    switch.operations.outcome = Outcome({}, before={"text": SECRET}, after={"text": SECRET})
    with structlog.testing.capture_logs() as logged:
        for verb in VERBS:
            switch.operations.fault = None
            await give(switch, verb)
            switch.operations.fault = ValueError(SECRET)
            assert (await refused(switch, verb)).status == 500
    # With a subject the daemon keeps an event's detail out of the log.
    assert all(event.subject for event in switch.audited)
    assert SECRET not in json.dumps(logged)


async def test_while_the_journal_cannot_be_written_nothing_is_done(switch: Served) -> None:
    switch.durable = False
    # Who looks at a message is in the journal first, as well.
    for verb in [*ORDERS, "queue_show"]:
        told = await refused(switch, verb)
        assert (told.status, "journal" in str(told)) == (503, True)
    assert switch.operations.orders == []
    assert await give(switch, "line_status") == {"done": True}, "how things stand must be seen just then"


# --- who may --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["auditor", "oversight", "coordinator"])
async def test_orders_are_the_administrators_alone(switch: Served, name: str) -> None:
    for verb in ORDERS:
        told = await refused(switch, verb, name)
        assert (told.status, str(told).split(" is not for ")[0]) == (403, "switching.order")
    assert {event.event for event in switch.audited} == {"operator.refused"}
    assert switch.operations.orders == []


@pytest.mark.parametrize(("name", "may"), [("auditor", True), ("oversight", True), ("coordinator", False)])
async def test_who_audits_or_oversees_may_look_and_a_coordinator_may_not(
    switch: Served, name: str, may: bool
) -> None:
    for verb in LOOKS:
        if may:
            assert await give(switch, verb, name) == {"done": True}
        else:
            assert (await refused(switch, verb, name)).status == 403
    assert len(switch.operations.orders) == (len(LOOKS) if may else 0)


async def test_nobody_is_served_unsigned_not_even_the_switchs_own_account(switch: Served) -> None:
    for verb in VERBS:
        told = await switch.send("POST", f"/switching/{verb}", {**ASKED[verb], "reason": REASON})
        assert told.status_code == 401
    assert switch.operations.orders == []


@pytest.mark.parametrize("reason", [None, "  ", 17, "x\x1b[2J"])
async def test_an_order_without_a_reason_is_refused(switch: Served, reason: Any) -> None:
    for verb in [*ORDERS, "queue_show"]:
        told = await refused(switch, verb, reason=reason)
        assert (told.status, "reason" in str(told)) == (403, True)
    assert switch.operations.orders == []


async def test_a_look_at_what_stands_where_needs_no_reason(switch: Served) -> None:
    content = {"line": "clets-a"}
    assert await ask(switch.settings, "POST", "/switching/line_status", content, operator("auditor"))
    assert switch.operations.orders[0].reason == ""


# --- what is not an order -----------------------------------------------------------------------------------------

NO_ORDERS: dict[str, tuple[str, dict[str, Any], str]] = {
    "a member too many": ("line_hold", {"line": "a", "device": "b"}, "'device' is nothing that line_hold"),
    "a member too few": ("line_hold", {}, "line is missing"),
    "two too few": ("queue_copy", {}, "msn, to is missing"),
    "no name": ("line_hold", {"line": "a b"}, "line: must be a name"),
    "a name that is none": ("device_hold", {"device": 7}, "device: must be a name"),
    "a bare name for an address": ("queue_list", {"address": "PRINTER1"}, "address: must be line:NAME"),
    "an address of nothing": ("queue_list", {"address": "operator:desk"}, "address: must be line:NAME"),
    "a number as text": ("queue_show", {"msn": "17"}, "msn: must be a number"),
    "a truth for a number": ("queue_show", {"msn": True}, "msn: must be a number"),
    "a number too small": ("queue_show", {"msn": 0}, "msn: must be a number"),
    "a number too large": ("queue_show", {"msn": 2**63}, "msn: must be a number"),
    "to where it is": ("queue_move", {"from": "line:a", "to": "line:a", "all": True}, "from and to are the same"),
    "nothing to move": ("queue_move", {"from": "line:a", "to": "line:b"}, "exactly one of msns, all"),
    "some and all": ("queue_delete", {"from": "line:a", "all": True, "msns": [1]}, "exactly one of msns, all"),
    "a false all": ("queue_delete", {"from": "line:a", "all": False}, "all: must be true"),
    "an empty list": ("queue_delete", {"from": "line:a", "msns": []}, "msns: must be a list of 1 to"),
    "a list too long": ("queue_delete", {"from": "line:a", "msns": list(range(1, ORDER_MESSAGES_MAX + 2))}, "msns:"),
    "the same twice": ("queue_delete", {"from": "line:a", "msns": [1, 1]}, "msns: must be different"),
    "into the intercept queue": ("queue_copy", {"msn": 1, "to": "operator:intercept"}, "to: must be"),
    "a class there is not": (
        "queue_reprioritise",
        {"at": "line:a", "msn": 1, "to": "soon"},
        "to: must be one of urgent",
    ),
    "a device for a line": ("alternate_set", {"for": "device:a", "to": "line:b"}, "another device"),
    "a person for a device": ("alternate_set", {"for": "device:a", "to": "user:b"}, "to: must be device"),
    "a device for itself": ("alternate_set", {"for": "device:a", "to": "device:a"}, "are the same"),
    "a line always": (
        "alternate_set",
        {"for": "line:a", "to": "line:b", "always": True},
        "always is said of devices",
    ),
    "nothing to queue again": ("queue_requeue", {}, "exactly one of msn, isn, osn"),
    "two numbers": ("queue_requeue", {"msn": 1, "isn": 2, "from": "line:a"}, "exactly one of msn, isn, osn"),
    "an ISN of nobody": ("queue_requeue", {"isn": 2}, "say from"),
    "an OSN of nobody": ("queue_requeue", {"osn": 2}, "say to"),
    "an MSN of a day": ("queue_requeue", {"msn": 2, "date": "2026-01-31"}, "needs no date"),
    "an MSN from somewhere": ("queue_requeue", {"msn": 2, "from": "line:a"}, "from goes with isn"),
    "no day": ("queue_requeue", {"isn": 2, "from": "line:a", "date": "2026-02-31"}, "date: must be a day"),
    "a day and more": (
        "queue_requeue",
        {"isn": 2, "from": "line:a", "date": "2026-02-03T01:00"},
        "date: must be a day",
    ),
    "no criteria": ("intercept_set", {"name": "a", "criteria": {}}, "criteria: must be an object"),
    "no text": ("intercept_edit", {"msn": 1, "text": "  "}, "text: must be a text"),
    "a text too long": ("intercept_edit", {"msn": 1, "text": "A" * (TEXT_CHARS_MAX + 1)}, "text: must be a text"),
    "a notice too long": ("notice_send", {"text": "A" * (NOTICE_CHARS_MAX + 1), "all": True}, "text: must be a text"),
    "a notice to nobody": ("notice_send", {"text": "A"}, "exactly one of device, agency, all"),
    "a notice to two": ("notice_send", {"text": "A", "all": True, "device": "a"}, "exactly one of device, agency"),
    "a wait too long": ("echo", {"device": "a", "wait_s": ECHO_WAIT_S_MAX + 1}, "wait_s: must be more than 0"),
    "no wait": ("echo", {"device": "a", "wait_s": 0}, "wait_s: must be more than 0"),
    "no time": ("bulletin_post", {"text": "A", "until": "soon"}, "until: must be a time"),
}


@pytest.mark.parametrize("way", NO_ORDERS)
def test_what_is_no_order_is_told_with_the_member_that_is_wrong(way: str) -> None:
    verb, asked, why = NO_ORDERS[way]
    with pytest.raises(BadOrder) as told:
        check_order(verb, asked)
    assert why in str(told.value)


async def test_what_is_no_order_is_refused_and_not_done(switch: Served) -> None:
    told = await refused(switch, "line_hold", line="no such name")
    assert (told.status, str(told)) == (400, "line: must be a name of letters, digits, _ . -")
    assert switch.operations.orders == []
    (event,) = switch.audited
    assert (event.event, event.user) == ("operator.refused", "admin")
    assert '"verb":"line_hold","line":"no such name"' in str(event.detail)
    key = operator("admin")
    assert (await switch.send("POST", "/switching/line_hold", key=key, body=b"[")).status_code == 400
    assert (await switch.send("POST", "/switching/line_bend", {}, key=key)).status_code == 404
    assert (await switch.send("GET", "/switching/line_hold", {}, key=key)).status_code == 405


@dataclass
class Fault:
    make: Callable[[], Exception]
    status: int
    told: str = field(default="why not")


FAULTS = {
    "no order": Fault(lambda: BadOrder("why not"), 400),
    "refused": Fault(lambda: OrderRefused("why not"), 409),
    "not served": Fault(lambda: NotServed("why not"), 501),
    "the journal": Fault(JournalUnavailable, 409, "journal not available"),
    "the world": Fault(lambda: MSCError("why not"), 409),
    "ours": Fault(lambda: KeyError("why not"), 500, "an internal fault: look at the switch's log"),
}


@pytest.mark.parametrize("kind", FAULTS)
async def test_what_cannot_be_done_is_told_and_journaled(switch: Served, kind: str) -> None:
    fault = FAULTS[kind]
    switch.operations.fault = fault.make()
    told = await refused(switch, "queue_delete")
    assert (told.status, str(told)) == (fault.status, fault.told)
    assert json.loads(switch.audited[-1].detail or "") == {"verb": "queue_delete", "why": fault.told}


# --- what is acted upon ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verb", "subject"),
    [
        ("line_hold", "line clets-a"),
        ("device_hold", "device PRINTER1"),
        ("alternate_set", "device PRINTER1"),
        ("alternate_list", "alternate list"),
        ("queue_list", "device PRINTER1"),
        ("queue_show", "message 17"),
        ("queue_move", "device PRINTER1"),
        ("queue_delete", "operator intercept"),
        ("queue_requeue", "device PRINTER1"),
        ("intercept_set", "intercept watch-1"),
        ("notice_send", "notice send"),
        ("bulletin_withdraw", "bulletin 3"),
    ],
)
def test_a_record_says_what_was_acted_upon(verb: str, subject: str) -> None:
    assert subject_of(verb, ASKED[verb]) == subject
