"""Every way MSC can fail, and what the peer is told.

Three kinds never mix:

* the peer is wrong, or asks for what it may not have: a `Refusal`, which names its wire code once;
* the world is wrong (a file, a disk, a line): one of the `MSCError` leaves below it;
* we are wrong: an `assert`, never on what a peer sent.

    MSCError
    ├── Refusal                    E1xx … E6xx, one class a code
    ├── LineTestError              LineNotConnected, LineSilent, NoLineTest
    └── FaultyInput                what an operator gave us, every fault at once
        ├── SettingsError  CatalogError  RouteError  DirectoryError  OrdersError
        ├── SiteError
        └── JournalError

The code table of `docs/protocol.md` is checked against these classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar


class MSCError(Exception):
    """Base of everything MSC raises on purpose."""


# --- what the operator gave us ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of an input file: where, and what is wrong there.

    Attributes:
        where: Key, member or row; empty is the file.
        line: The line it stands in, counted from 1, where that is known.
    """

    file: Path
    where: str
    problem: str
    line: int | None = None

    def __str__(self) -> str:
        file = f"{self.file}:{self.line}" if self.line is not None else str(self.file)
        return f"{file}: {self.where}: {self.problem}" if self.where else f"{file}: {self.problem}"


class FaultyInput(MSCError):
    """An input is refused whole; `faults` lists everything found wrong with it."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = faults


class SettingsError(FaultyInput):
    """`msc.toml` cannot be used."""


class CatalogError(FaultyInput):
    """The message catalog cannot be used."""


class RouteError(FaultyInput):
    """The route table cannot be used."""


class DirectoryError(FaultyInput):
    """The directory cannot be used."""


class OrdersError(FaultyInput):
    """The standing orders cannot be read or written."""


class SiteError(FaultyInput):
    """A site folder cannot be made or lacks something."""


class JournalError(MSCError):
    """The journal's database cannot be opened or read."""


# --- lines ----------------------------------------------------------------------------------------


class LineTestError(MSCError):
    """A line cannot be tested, or did not pass."""


class LineNotConnected(LineTestError):
    """There is no session to test, or it was lost during the test."""


class LineSilent(LineTestError):
    """The host did not answer in time."""


class NoLineTest(LineTestError):
    """The line's driver has nothing to ask the host."""


# --- what goes on the wire ----------------------------------------------------------------------


class Refusal(MSCError):
    """A request is refused with a code of MTP/1.

    Attributes:
        code: The wire code, `E` and three digits.
        meaning: What the code means, as published in `docs/protocol.md`.
        reason: What this particular peer is told; never holds a secret or message text.
    """

    code: ClassVar[str] = "E599"
    meaning: ClassVar[str] = "internal"
    audited: bool = False
    """Whether access control has told the auditors of it."""

    def __init__(self, reason: str = "") -> None:
        self.reason = reason or self.meaning
        super().__init__(f"{self.code} {self.reason}")


class UnknownUserOrPassword(Refusal):
    code, meaning = "E101", "unknown user or wrong password"


class AccountLocked(Refusal):
    code, meaning = "E102", "account locked"


class SecondFactorFailed(Refusal):
    code, meaning = "E103", "second factor missing, wrong or used before"


class AccountSuspended(Refusal):
    code, meaning = "E104", "suspended or disabled"


class CertificateMismatch(Refusal):
    code, meaning = "E105", "certificate and device disagree"


class PoolExhausted(Refusal):
    code, meaning = "E106", "no mnemonic free in the pool"


class MnemonicInUse(Refusal):
    code, meaning = "E107", "mnemonic in use elsewhere"


class BannerNotAccepted(Refusal):
    code, meaning = "E108", "banner not accepted"


class NotQualified(Refusal):
    code, meaning = "E109", "training, background or statement not in order"


class PasswordExpired(Refusal):
    code, meaning = "E110", "password expired"


class NotSignedOn(Refusal):
    code, meaning = "E111", "not signed on"


class SessionLocked(Refusal):
    code, meaning = "E112", "session locked"


class TooManySessions(Refusal):
    code, meaning = "E113", "too many sessions of this user"


class BadLength(Refusal):
    code, meaning = "E201", "message empty or too long"


class BadHeader(Refusal):
    code, meaning = "E202", "bad header"


class BadOif(Refusal):
    code, meaning = "E203", "bad OIF"


class BadTaf(Refusal):
    code, meaning = "E204", "bad TAF"


class UnknownMessageKey(Refusal):
    code, meaning = "E205", "unknown message key"


class BadField(Refusal):
    code, meaning = "E206", "required field missing or malformed"


class ForeignOri(Refusal):
    code, meaning = "E207", "ORI not the session's"


class BadCharacter(Refusal):
    code, meaning = "E208", "character not allowed"


class KeyNotAuthorised(Refusal):
    code, meaning = "E301", "key not authorised for the user's class"


class DatabaseNotAuthorised(Refusal):
    code, meaning = "E302", "database not authorised for the mnemonic"


class PurposeNotAllowed(Refusal):
    code, meaning = "E303", "purpose not allowed"


class RequesterRequired(Refusal):
    code, meaning = "E304", "requester required"


class NoRoute(Refusal):
    code, meaning = "E305", "no route"


class UnknownDestination(Refusal):
    code, meaning = "E306", "destination unknown"


class AgencySuspended(Refusal):
    code, meaning = "E307", "agency suspended"


class TooManyDestinations(Refusal):
    code, meaning = "E308", "too many destinations"


class NotYourMessage(Refusal):
    code, meaning = "E309", "no such message of yours"


class LineOutOfService(Refusal):
    code, meaning = "E401", "line out of service, not sent"


class QueuedForLater(Refusal):
    code, meaning = "E402", "queued, will be sent"


class NoAnswerInTime(Refusal):
    code, meaning = "E403", "no answer in time"


class OutcomeUnknown(Refusal):
    code, meaning = "E404", "outcome unknown, check before sending again"


class RefusedByState(Refusal):
    code, meaning = "E405", "refused by the state"


class AnswerNotDelivered(Refusal):
    """An answer came that its originator cannot be given; an operator has it."""

    code, meaning = "E406", "an answer came and cannot be delivered, ask the operator"


class JournalUnavailable(Refusal):
    code, meaning = "E501", "journal not available"


class Overloaded(Refusal):
    code, meaning = "E502", "overloaded, send again later"


class ShuttingDown(Refusal):
    code, meaning = "E503", "shutting down"


class InternalFault(Refusal):
    code, meaning = "E599", "internal"


class FrameTooLong(Refusal):
    code, meaning = "E601", "frame too long"


class UnknownFrameKind(Refusal):
    code, meaning = "E602", "unknown kind"


class SequenceOutOfOrder(Refusal):
    code, meaning = "E603", "sequence out of order"


class BadJson(Refusal):
    code, meaning = "E604", "bad JSON"


class ControlOutOfPlace(Refusal):
    code, meaning = "E605", "control type unknown or out of place"


class WindowExceeded(Refusal):
    code, meaning = "E606", "window exceeded"


class NotAcknowledged(Refusal):
    code, meaning = "E607", "a message was left unanswered too long"


CODES: dict[str, type[Refusal]] = {cls.code: cls for cls in Refusal.__subclasses__()}
"""Every wire code and the class that names it."""
