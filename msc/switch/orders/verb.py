"""What operators ask of a running switch, as JSON in: every verb, its members, and what these must be.

    line_status       [line]                      how lines stand, and what waits for them
    line_hold         line                        nothing more goes out on it; answers are taken
    line_release      line
    line_restart      line                        its connection ends, and is made anew
    line_test         line                        a ping, and how long it took
    device_status     [device]                    who is there, and what waits
    device_hold       device                      nothing more is delivered to it
    device_release    device
    device_restart    device                      its connections end; it comes back by itself
    alternate_list
    alternate_set     for, to, [always]           device:X to device:Y; line:X to one of its carriers
    alternate_clear   for
    queue_list        [address]                   every queue; with an address what waits in it, without texts
    queue_show        msn                         one message, with its text and its life
    queue_move        from, to, msns or all
    queue_copy        msn, to
    queue_delete      from, msns or all           taken out; their originators are told
    queue_reprioritise  at, msn, to
    queue_requeue     msn, [to]                   sent once more, marked as a possible duplicate
                      isn, from, [date, to]       … by the number of its source
                      osn, to, [date]             … by the number of its destination
                      [send_again]                must be said of an update
    intercept_list
    intercept_set     name, criteria              matching messages wait for the operator
    intercept_clear   name                        no more do; what waits goes on waiting
    intercept_edit    msn, text                   the text of one that waits
    intercept_release msns or all                 they go where they would have gone
    notice_send       text, device|agency|all     for the people at terminals; no message, nothing is kept for later
    echo              device, [text, wait_s]      a test message; how long its acknowledgement took
    hitconf_list                                  hit confirmations that are open
    bulletin_post     text, [until]
    bulletin_list
    bulletin_withdraw number

Who may is not looked at here, nor what there is: a line may have the right form and not exist.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Protocol

from msc import clock
from msc.errors import MSCError
from msc.limits import ECHO_WAIT_S_MAX, NOTICE_CHARS_MAX, ORDER_MESSAGES_MAX, TEXT_CHARS_MAX


class BadOrder(MSCError):
    """What was asked is not an order; says which member is wrong."""


class OrderRefused(MSCError):
    """An order cannot be done as things stand; says why."""


class NotServed(MSCError):
    """This switch does not do that."""


@dataclass(frozen=True, slots=True)
class Order:
    """What an operator wants done.

    Attributes:
        asked: The verb's members, checked.
        by: The operator.
        reason: Why; empty where a look needs none.
    """

    verb: str
    asked: Mapping[str, Any]
    by: str
    reason: str

    @property
    def words(self) -> str:
        """How events of messages name it: `jroe: printer is broken`."""
        return f"{self.by}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an order.

    Attributes:
        answer: For who asked.
        before, after: What was changed, for the journal; may hold texts of messages.
    """

    answer: dict[str, Any]
    before: Any = None
    after: Any = None


class Operations(Protocol):
    """What does it."""

    async def perform(self, order: Order) -> Outcome:
        """Do what an operator who may asks for.

        Raises:
            BadOrder: It is not an order.
            OrderRefused: It cannot be done.
            NotServed: Nobody here does that.
        """


PRECEDENCES: Final = ("urgent", "status", "response", "administrative", "broadcast")
"""The classes of what waits, in the order they go."""

# --- what members must be -------------------------------------------------------------------------------------

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_STATION: Final = re.compile(r"(device|user):[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_LINE: Final = re.compile(r"line:[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_OWN: Final = ("operator:queue", "operator:intercept")
_MSN_MAX: Final = 2**63 - 1

Check = Callable[[Any], str | None]
"""Says of a value what it should have been; None if it is that."""


def _is_name(value: Any) -> str | None:
    fits = isinstance(value, str) and _NAME.fullmatch(value)
    return None if fits else "must be a name of letters, digits, _ . -"


def is_address(value: Any) -> bool:
    """Tell whether something has the form of an address where messages wait."""
    return isinstance(value, str) and (
        value in _OWN or _STATION.fullmatch(value) is not None or _LINE.fullmatch(value) is not None
    )


def _is_address(value: Any) -> str | None:
    wanted = "must be line:NAME, device:NAME, user:ID, operator:queue or operator:intercept"
    return None if is_address(value) else wanted


def _is_destination(value: Any) -> str | None:
    fits = is_address(value) and value != "operator:intercept"
    return None if fits else "must be line:NAME, device:NAME, user:ID or operator:queue"


def _is_replaced(value: Any) -> str | None:
    fits = is_address(value) and value.startswith(("device:", "line:"))
    return None if fits else "must be device:NAME or line:NAME"


def _is_number(value: Any) -> str | None:
    return None if type(value) is int and 1 <= value <= _MSN_MAX else "must be a number from 1 on"


def _is_msns(value: Any) -> str | None:
    if not isinstance(value, list) or not 1 <= len(value) <= ORDER_MESSAGES_MAX:
        return f"must be a list of 1 to {ORDER_MESSAGES_MAX} MSNs"
    if any(map(_is_number, value)) or len(set(value)) != len(value):
        return "must be different MSNs, numbers from 1 on"
    return None


def _is_true(value: Any) -> str | None:
    return None if value is True else "must be true, or be left out"


def _is_precedence(value: Any) -> str | None:
    return None if value in PRECEDENCES else f"must be one of {', '.join(PRECEDENCES)}"


def _is_day(value: Any) -> str | None:
    try:
        day = isinstance(value, str) and len(value) == 10 and clock.parse_rfc3339(value)
    except ValueError:
        day = False
    return None if day else "must be a day such as 2026-01-31"


def _is_moment(value: Any) -> str | None:
    try:
        at = isinstance(value, str) and clock.parse_rfc3339(value)
    except ValueError:
        at = False
    return None if at else "must be a time such as 2026-01-31T08:15:00Z"


def _is_text(chars_max: int) -> Check:
    def check(value: Any) -> str | None:
        fits = isinstance(value, str) and value.strip() and len(value) <= chars_max
        return None if fits else f"must be a text of 1 to {chars_max} characters"

    return check


def _is_criteria(value: Any) -> str | None:
    return None if isinstance(value, dict) and value else "must be an object that says what to look for"


def _is_wait(value: Any) -> str | None:
    fits = type(value) in (int, float) and 0 < value <= ECHO_WAIT_S_MAX
    return None if fits else f"must be more than 0 and at most {ECHO_WAIT_S_MAX:.0f} seconds"


_message_text = _is_text(TEXT_CHARS_MAX)
_short_text = _is_text(NOTICE_CHARS_MAX)


# --- what goes together ---------------------------------------------------------------------------------------

Together = Callable[[Mapping[str, Any]], str | None]
"""Says what is wrong with members that are right one by one."""


def _exactly_one(*names: str) -> Together:
    def check(asked: Mapping[str, Any]) -> str | None:
        given = [name for name in names if name in asked]
        return None if len(given) == 1 else f"say exactly one of {', '.join(names)}"

    return check


def _elsewhere(asked: Mapping[str, Any]) -> str | None:
    if asked["from"] == asked["to"]:
        return "from and to are the same"
    return _exactly_one("msns", "all")(asked)


def _alternate(asked: Mapping[str, Any]) -> str | None:
    device, name = asked["for"].startswith("device:"), asked["to"].startswith(("device:", "line:"))
    if not name or device != asked["to"].startswith("device:"):
        return "for a device another device takes over, for a line one of its carriers: device:Y or line:Y"
    if device and asked["for"] == asked["to"]:
        return "for and to are the same"
    if not device and "always" in asked:
        return "always is said of devices; a line's carrier is used whenever it is there"
    return None


def _requeued(asked: Mapping[str, Any]) -> str | None:
    if wrong := _exactly_one("msn", "isn", "osn")(asked):
        return wrong
    if "isn" in asked and "from" not in asked:
        return "an ISN counts what came from somewhere: say from"
    if "osn" in asked and "to" not in asked:
        return "an OSN counts what went somewhere: say to"
    if "msn" in asked and "date" in asked:
        return "an MSN needs no date"
    if "from" in asked and "isn" not in asked:
        return "from goes with isn"
    return None


_NONE: Final[Mapping[str, Check]] = MappingProxyType({})


class Verb(NamedTuple):
    """Something that can be asked.

    Attributes:
        look: Whether it changes nothing.
        shows_text: Whether it shows what a message says.
        members: What may be asked, and what that must be.
        required: Of these, what must be.
        together: What else must hold.
        waits: Whether it takes as long as somebody else does, so that other orders go before it.
    """

    look: bool = False
    shows_text: bool = False
    members: Mapping[str, Check] = _NONE
    required: frozenset[str] = frozenset()
    together: Together = lambda _asked: None
    waits: bool = False

    @property
    def needs_reason(self) -> bool:
        """Whether its asker must say why."""
        return not self.look or self.shows_text


def _order(
    required: Mapping[str, Check] = _NONE,
    optional: Mapping[str, Check] = _NONE,
    *,
    together: Together = lambda _asked: None,
    waits: bool = False,
) -> Verb:
    """Make a verb that changes something."""
    return Verb(members={**required, **optional}, required=frozenset(required), together=together, waits=waits)


_WHICH: Final[Mapping[str, Check]] = {"msns": _is_msns, "all": _is_true}

VERBS: Final[Mapping[str, Verb]] = {
    "line_status": Verb(look=True, members={"line": _is_name}),
    "line_hold": _order({"line": _is_name}),
    "line_release": _order({"line": _is_name}),
    "line_restart": _order({"line": _is_name}),
    "line_test": _order({"line": _is_name}, waits=True),
    "device_status": Verb(look=True, members={"device": _is_name}),
    "device_hold": _order({"device": _is_name}),
    "device_release": _order({"device": _is_name}),
    "device_restart": _order({"device": _is_name}),
    "alternate_list": Verb(look=True),
    "alternate_set": _order({"for": _is_replaced, "to": _is_replaced}, {"always": _is_true}, together=_alternate),
    "alternate_clear": _order({"for": _is_replaced}),
    "queue_list": Verb(look=True, members={"address": _is_address}),
    "queue_show": Verb(look=True, shows_text=True, members={"msn": _is_number}, required=frozenset({"msn"})),
    "queue_move": _order({"from": _is_address, "to": _is_destination}, _WHICH, together=_elsewhere),
    "queue_copy": _order({"msn": _is_number, "to": _is_destination}),
    "queue_delete": _order({"from": _is_address}, _WHICH, together=_exactly_one("msns", "all")),
    "queue_reprioritise": _order({"at": _is_address, "msn": _is_number, "to": _is_precedence}),
    "queue_requeue": _order(
        {},
        {
            "msn": _is_number, "isn": _is_number, "osn": _is_number, "from": _is_address, "to": _is_destination,
            "date": _is_day, "send_again": _is_true,
        },
        together=_requeued,
    ),
    "intercept_list": Verb(look=True),
    "intercept_set": _order({"name": _is_name, "criteria": _is_criteria}),
    "intercept_clear": _order({"name": _is_name}),
    "intercept_edit": _order({"msn": _is_number, "text": _message_text}),
    "intercept_release": _order({}, _WHICH, together=_exactly_one("msns", "all")),
    "notice_send": _order(
        {"text": _short_text},
        {"device": _is_name, "agency": _is_name, "all": _is_true},
        together=_exactly_one("device", "agency", "all"),
    ),
    "echo": _order({"device": _is_name}, {"text": _short_text, "wait_s": _is_wait}, waits=True),
    "hitconf_list": Verb(look=True),
    "bulletin_post": _order({"text": _message_text}, {"until": _is_moment}),
    "bulletin_list": Verb(look=True),
    "bulletin_withdraw": _order({"number": _is_number}),
}  # fmt: skip


def check_order(verb: str, asked: Mapping[str, Any]) -> None:
    """Refuse what is not an order.

    Args:
        verb: One of `VERBS`.

    Raises:
        BadOrder: A member is too many, missing, or not what it must be; says which, and what it must be.
    """
    known = VERBS[verb]
    for name, value in asked.items():
        check = known.members.get(name)
        if check is None:
            raise BadOrder(f"{name!r} is nothing that {verb} can be asked")
        if wrong := check(value):
            raise BadOrder(f"{name}: {wrong}")
    if missing := sorted(known.required - asked.keys()):
        raise BadOrder(f"{', '.join(missing)} is missing")
    if wrong := known.together(asked):
        raise BadOrder(wrong)
