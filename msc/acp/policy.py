"""Allow or refuse: pure decisions from in-memory rows. Each raises the refusal with the lowest code that applies."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Final

from msc.acp.directory import Agency, Mnemonic, OperatorClass, User, UserStatus
from msc.errors import (
    AccountSuspended,
    AgencySuspended,
    DatabaseNotAuthorised,
    ForeignOri,
    KeyNotAuthorised,
    NotQualified,
    PasswordExpired,
    RequesterRequired,
)
from msc.protocol.catalog import Function, MessageKey
from msc.protocol.envelope import Envelope
from msc.protocol.text import MessageText

ALL_FUNCTIONS: Final = frozenset(Function)

# OCPD directive C.1-4: less than full access inquires only; a practitioner never uses a terminal.
CLASS_FUNCTIONS: Final[Mapping[OperatorClass, frozenset[Function]]] = {
    OperatorClass.FULL_ACCESS: ALL_FUNCTIONS,
    OperatorClass.LESS_THAN_FULL_ACCESS: frozenset({Function.INQUIRY, Function.ADMINISTRATIVE}),
    OperatorClass.PRACTITIONER: frozenset(),
    OperatorClass.ADMINISTRATOR: ALL_FUNCTIONS,
}


def check_standing(user: User) -> None:
    """Check that a user's account may be used at all.

    Raises:
        AccountSuspended: It is suspended or disabled, or its class uses no terminal.
    """
    if user.status is not UserStatus.ACTIVE:
        raise AccountSuspended
    if not CLASS_FUNCTIONS[user.operator_class]:
        raise AccountSuspended(f"class {user.operator_class.value} does not use a terminal")


def check_qualification(user: User, today: date) -> None:
    """Check what must be on file before a user may sign on.

    Raises:
        NotQualified: Background, training or statement is not in order (PPP 1.8.2, 1.9.2, 1.9.3).
        PasswordExpired: The password must be changed first.
    """
    for what, since in (
        ("background clearance", user.cleared),
        ("training", user.certified),
        ("statement", user.statement),
    ):
        if since is None or since > today:
            raise NotQualified(f"no {what} on file")
    if user.password_expires is not None and user.password_expires <= today:
        raise PasswordExpired


def check_ori(ori: str, text: MessageText) -> None:
    """Check that a message speaks for its sender's agency.

    Raises:
        ForeignOri: Its ORI is another's.
    """
    if text.ori != ori:
        raise ForeignOri(f"the ORI must be {ori}")


def authorise(
    key: MessageKey,
    text: MessageText,
    envelope: Envelope,
    operator_class: OperatorClass,
    mnemonic: Mnemonic,
) -> None:
    """Decide whether a signed-on operator may send a message from a mnemonic.

    Raises:
        KeyNotAuthorised, DatabaseNotAuthorised, PurposeNotAllowed, RequesterRequired: The first of them
            that applies.
    """
    if key.function not in CLASS_FUNCTIONS[operator_class]:
        raise KeyNotAuthorised(f"{key.code} is not authorised for class {operator_class.value}")
    if not mnemonic.allows(key.database, key.function):
        raise DatabaseNotAuthorised(
            f"{key.database} ({key.function.value}) is not authorised for {mnemonic.mnemonic}"
        )
    key.check_purpose(text)
    if key.requester_required and not envelope.requester:
        raise RequesterRequired(f"{key.code} needs a requester in the envelope")


def check_agency(agency: Agency) -> None:
    """Check that an agency's services are not suspended.

    Raises:
        AgencySuspended: They are.
    """
    if agency.suspended:
        raise AgencySuspended(f"agency {agency.agency} is suspended")
