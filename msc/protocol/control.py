"""Control messages: the JSON objects of `C` frames, one class a `type`.

Members unknown to this version are passed over, so that either side may be newer.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from msc.errors import BadJson, ControlOutOfPlace, Refusal
from msc.limits import FRAME_BYTES_MAX, HEARTBEAT_S, MSN_MAX, PASSWORD_CHARS_MAX, STATION_WINDOW, WINDOW_MAX
from msc.protocol.envelope import parse_json

PROTOCOL: Final = "MTP/1"


class Control(BaseModel):
    """Base of all control messages. `type` is the class variable, never a member of the instance."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    type: ClassVar[str]


# --- from the switch ----------------------------------------------------------------------------


class Hello(Control):
    """The first frame of the accepting side: who it is and its limits. What it leaves out has our own defaults."""

    type = "hello"
    protocol: str = PROTOCOL
    switch: str = ""
    node: str = ""
    time: str = ""
    banner: str = ""
    frame_bytes_max: int = FRAME_BYTES_MAX
    window: int = Field(default=STATION_WINDOW, ge=1)
    heartbeat_s: float = HEARTBEAT_S


class SignedOn(Control):
    """An operator is signed on."""

    type = "signed_on"
    session: str
    user: str
    agency: str
    ori: str
    mnemonic: str
    pooled: bool
    taf: str
    previous_sign_on: str | None = None
    failed_since: int = 0
    password_expires: str | None = None
    idle_lock_s: int
    undelivered: int = 0


class Refused(Control):
    """A control message was refused."""

    type = "refused"
    to: str
    code: str
    reason: str
    user: str | None = None


class SignedOff(Control):
    """A session has ended, asked for or not."""

    type = "signed_off"
    user: str | None = None
    reason: str | None = None


class Opened(Control):
    """A printer or host is open for messages."""

    type = "opened"
    undelivered: int = 0


class Locked(Control):
    """The session is locked until `unlock`."""

    type = "locked"
    user: str | None = None
    reason: str | None = None


class Unlocked(Control):
    """The session goes on."""

    type = "unlocked"
    user: str | None = None


class PasswordChanged(Control):
    """The new password is in force."""

    type = "password_changed"
    user: str | None = None


class Notice(Control):
    """An operator's text for the person at the terminal."""

    type = "notice"
    text: str


class StatusReport(Control):
    """The answer to `status`."""

    type = "status"
    state: str
    time: str
    user: str | None = None
    mnemonic: str | None = None
    undelivered: int = 0
    lines: dict[str, str] = {}


class Receipt(BaseModel):
    """What has become of a message at one destination; the states stand in docs/protocol.md.

    Attributes:
        destination: A mnemonic where the station has one of its own, else its name, a line's or a person's.
        at: When that became so, RFC 3339.
        original: Whose message it was, where it came here in another's place.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)
    destination: str
    state: str
    at: str | None = None
    original: str | None = None


class ReceiptsReport(Control):
    """The answer to `receipts`: a part of the destinations, and how many there are in all."""

    type = "receipts"
    msn: int
    user: str | None = None
    total: int = 0
    after: int = 0
    destinations: list[Receipt] = []


class ErrorNotice(Control):
    """The peer broke the protocol; the connection ends after this."""

    type = "error"
    code: str
    reason: str


# --- from a terminal, printer or host -----------------------------------------------------------


class Terminal(BaseModel):
    """What a terminal says of its hardware."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    mac: str | None = Field(default=None, max_length=17)


class SignOn(Control):
    """An operator asks for a session."""

    type = "sign_on"
    user: str = Field(max_length=64)
    password: SecretStr = Field(max_length=PASSWORD_CHARS_MAX)
    otp: SecretStr | None = Field(default=None, max_length=16)
    new_password: SecretStr | None = Field(default=None, max_length=PASSWORD_CHARS_MAX)
    banner_accepted: bool = False
    mnemonic: str | None = Field(default=None, max_length=16)
    pool: str | None = Field(default=None, max_length=64)
    terminal: Terminal = Terminal()


class SignOff(Control):
    """The operator ends the session; hosts name the user."""

    type = "sign_off"
    user: str | None = Field(default=None, max_length=64)


class Open(Control):
    """A printer or host is ready."""

    type = "open"


class Lock(Control):
    """The operator locks the session; hosts name the user."""

    type = "lock"
    user: str | None = Field(default=None, max_length=64)


class Unlock(Control):
    """The operator unlocks the session."""

    type = "unlock"
    password: SecretStr = Field(max_length=PASSWORD_CHARS_MAX)
    user: str | None = Field(default=None, max_length=64)


class ChangePassword(Control):
    """The operator changes the password."""

    type = "change_password"
    old: SecretStr = Field(max_length=PASSWORD_CHARS_MAX)
    new: SecretStr = Field(max_length=PASSWORD_CHARS_MAX)
    user: str | None = Field(default=None, max_length=64)


class Status(Control):
    """How do I stand?"""

    type = "status"


class Receipts(Control):
    """What has become of a message of mine? Hosts name the user who sent it."""

    type = "receipts"
    msn: int = Field(ge=1, le=MSN_MAX)
    after: int = Field(default=0, ge=0, le=MSN_MAX)
    user: str | None = Field(default=None, max_length=64)


# --- lines --------------------------------------------------------------------------------------


class OpenLine(Control):
    """The switch opens a line to a state host."""

    type = "open_line"
    line: str
    switch: str
    mode: Literal["production", "test"]


class LineOpen(Control):
    """The state host has opened the line."""

    type = "line_open"
    window: int = Field(ge=1, le=WINDOW_MAX)


FROM_STATION: Final[tuple[type[Control], ...]] = (
    SignOn, SignOff, Open, Lock, Unlock, ChangePassword, Status, Receipts,
)  # fmt: skip
FROM_SWITCH: Final[tuple[type[Control], ...]] = (
    Hello, SignedOn, Refused, SignedOff, Opened, Locked, Unlocked, PasswordChanged, Notice, StatusReport,
    ReceiptsReport, ErrorNotice,
)  # fmt: skip
FROM_LINE_HOST: Final[tuple[type[Control], ...]] = (Hello, LineOpen, Refused, Notice, ErrorNotice)
FROM_LINE_CLIENT: Final[tuple[type[Control], ...]] = (OpenLine, ErrorNotice)

Vocabulary = dict[str, type[Control]]


def vocabulary(types: tuple[type[Control], ...]) -> Vocabulary:
    """Make the table `parse_control` reads with."""
    return {cls.type: cls for cls in types}


class BadMember(BadJson):
    """A control message of a known type has a missing or malformed member."""

    def __init__(self, type_: str, reason: str) -> None:
        super().__init__(reason)
        self.type = type_


class UnknownControl(ControlOutOfPlace):
    """A control type that the peer may not send."""

    def __init__(self, type_: str) -> None:
        super().__init__("control type unknown")
        self.type = type_


def parse_control(payload: bytes, known: Vocabulary) -> Control:
    """Read a control message.

    Raises:
        BadJson: It is not a JSON object with a text member `type`.
        UnknownControl: Its type is not in the vocabulary.
        BadMember: A member is missing or malformed; the reason names it, never its value.
    """
    members = parse_json(payload)
    type_ = members.get("type")
    if not isinstance(type_, str):
        raise BadJson("no text member `type`")
    cls = known.get(type_)
    if cls is None:
        raise UnknownControl(type_[:32])
    try:
        # A member that is null is a member left out.
        return cls.model_validate({name: member for name, member in members.items() if member is not None})
    except ValidationError as exc:
        first = exc.errors(include_input=False, include_url=False)[0]
        raise BadMember(type_, f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def _reveal(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, dict):
        return {name: _reveal(member) for name, member in value.items()}
    return value


def encode_control(message: Control) -> bytes:
    """Write a control message. Secrets are revealed: this goes to the wire alone, never to a log."""
    members = {"type": message.type, **_reveal(message.model_dump())}
    return orjson.dumps(members)


def refusal_of(to: str, refusal: Refusal, user: str | None = None) -> Refused:
    """Make the `refused` message that tells a peer of a refusal."""
    return Refused(to=to, code=refusal.code, reason=refusal.reason, user=user)
