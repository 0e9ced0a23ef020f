"""Check and authorise: what a station sent, until it is known to be in order and where it goes.

The checks stand in the order of their codes, so the first that fails is the lowest that applies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from msc.access import policy
from msc.access.control_point import AccessControlPoint, OperatorSession
from msc.access.host import HostSessions
from msc.directory.rows import Device, Directory
from msc.errors import (
    BadJson,
    BadLength,
    BadOif,
    BadTaf,
    DatabaseNotAuthorised,
    KeyNotAuthorised,
    NoRoute,
    NotSignedOn,
    Refusal,
)
from msc.limits import TEXT_CHARS_MAX
from msc.protocol.catalog import Catalog, MessageKey
from msc.protocol.envelope import NO_ENVELOPE, Envelope, parse_envelope, split_payload
from msc.protocol.header import MessageHead, parse_head, parse_header
from msc.protocol.station import StationKind
from msc.protocol.text import check_characters
from msc.routing.criteria import subject_of
from msc.routing.plan import Plan
from msc.routing.table import Route
from msc.switch.addressees import Addressed, resolve
from msc.switch.destinations import NOWHERE, Destinations, destinations_of
from msc.transit.message import MessageRecord
from msc.transit.transaction import Transaction

STILL: Final = (
    *policy.ACCESS,
    # Of what a message may ask, all that does not follow from its text: that does not change while it waits.
    *(rule for rule in policy.AUTHORITY if rule.refusal in (KeyNotAuthorised, DatabaseNotAuthorised)),
    *policy.AGENCY,
)
"""What must still hold when a message that had to wait is sent."""


@dataclass(slots=True)
class Incoming:
    """A station's message, as far as it has been understood; what a refusal leaves is journaled too."""

    received_us: int
    device: Device
    sequence: int
    envelope: Envelope = NO_ENVELOPE
    text: str = ""
    head: MessageHead | None = None
    """A host's own header, OIF and TAF."""
    message: str = ""
    """The text without a host's head."""
    fields: Mapping[str, str] = field(default_factory=dict)
    raw: bytes = b""
    """The text as it came."""
    operator: OperatorSession | None = None
    key: MessageKey | None = None
    case: policy.Case | None = None
    """What it was authorised by."""
    route: Route | None = None
    lines: tuple[str, ...] = ()
    addressees: tuple[Device, ...] = ()
    """The stations that get it, those that get a copy included."""
    bulletin: bool = False
    """Whether it goes to the bulletin board."""
    stations: Destinations = NOWHERE
    """Where it goes besides lines."""


def as_text(data: bytes) -> str:
    """Decode a message; bytes that are no UTF-8 stay visible as backslash escapes."""
    return data.decode("utf-8", "backslashreplace")


def holds(directory: Directory, case: policy.Case) -> bool:
    """Tell whether the rows a case was decided by are still those of the directory. It costs half a microsecond."""
    agencies, mnemonic = directory.agencies, case.mnemonic
    return (
        directory.users.get(case.user.user) is case.user
        and directory.devices.get(case.device.device) is case.device
        and agencies.get(case.agency.agency) is case.agency
        and agencies.get(case.host_agency.agency) is case.host_agency
        and (mnemonic is None or directory.mnemonics.get(mnemonic.mnemonic) is mnemonic)
    )


def objection(point: AccessControlPoint, transaction: Transaction) -> Refusal | None:
    """Say why a message that was accepted may not be sent any more, or None.

    It is asked of whoever sent it, signed on or not: to leave is not an offence, to be suspended is.
    """
    directory, message = point.directory, transaction.message
    user, device = directory.users.get(message.user or ""), directory.devices.get(message.device or "")
    if user is None or device is None or user.agency != message.agency:
        return NotSignedOn("user or device is no longer there, or the user has changed agencies")
    try:
        case = point.case(user, device, transaction.mnemonic)
        case.key = transaction.key
        policy.require(STILL if transaction.key is not None else (*policy.ACCESS, *policy.AGENCY), case)
    except Refusal as refusal:
        return refusal
    return None


class Intake:
    """Reads, checks and authorises messages of stations. Pure: answers from tables in memory."""

    def __init__(
        self, catalog: Catalog, plan: Plan, point: AccessControlPoint, line_modes: Mapping[str, str]
    ) -> None:
        self._catalog = catalog
        self._plan = plan
        self._point = point
        self._line_modes = line_modes

    @property
    def plan(self) -> Plan:
        """What decides where messages go."""
        return self._plan

    def use(self, plan: Plan) -> None:
        """Decide by another plan from the next message on."""
        self._plan = plan

    def read(self, incoming: Incoming, payload: bytes) -> None:
        """Split a payload into envelope and text.

        Raises:
            BadJson: The envelope cannot be read; the text then is the whole payload.
        """
        try:
            members, text = split_payload(payload)
            incoming.raw = text
            incoming.text = as_text(text)
            incoming.envelope = parse_envelope(members)
        except BadJson:
            incoming.text = incoming.text or as_text(payload)
            raise

    def examine(
        self,
        incoming: Incoming,
        payload: bytes,
        operator: OperatorSession | None,
        users: HostSessions | None,
    ) -> None:
        """Check and authorise a message, and find where it goes.

        Args:
            incoming: Filled step by step, so that a refusal leaves what was understood.
            payload: Of the data frame.
            operator: Who is signed on at a terminal.
            users: Who is signed on through a host.

        Raises:
            Refusal: With the lowest code that applies.
        """
        host = incoming.device.kind is StationKind.HOST
        incoming.operator = operator
        if not host and operator is None:
            self.read(incoming, payload)
            raise NotSignedOn
        case = None
        if operator is not None:
            try:
                case = self._point.case_of(operator)
                policy.require(policy.ACCESS, case)
            except Refusal:
                self.read(incoming, payload)  # what is refused before it is read is journaled all the same
                raise
        self.read(incoming, payload)
        text = incoming.text
        if not text.strip() or len(text) > TEXT_CHARS_MAX:
            raise BadLength(f"the text has {len(text)} characters; 1 to {TEXT_CHARS_MAX} are allowed")
        if host:
            assert users is not None
            try:
                incoming.head, text = parse_head(text)
            except (BadOif, BadTaf):
                users.check_mnemonic(parse_header(text)[0])  # whose code is the lower one
                raise
            operator = users.speaks_for(incoming.head, incoming.envelope.mnemonic)
            incoming.operator = operator
            case = self._point.case_of(operator)
            policy.require(policy.ACCESS, case)
        assert operator is not None and case is not None
        self._decide(incoming, text, operator, case)

    def examine_again(self, record: MessageRecord) -> Incoming:
        """Check and authorise a journaled message of a station anew, and find where it goes now.

        Who sent it need not be signed on any more: to leave is not an offence, to be suspended is.

        Raises:
            Refusal: With the lowest code that applies.
        """
        incoming, operator, case = self._read(record)
        policy.require(policy.ACCESS, case)
        self._decide(incoming, incoming.message, operator, case)
        return incoming

    def read_again(self, record: MessageRecord) -> Incoming:
        """Read a journaled message of a station anew, without asking whether it may be sent, or where it goes.

        Raises:
            Refusal: Who sent it is no longer there, or the catalog does not know its key any more.
        """
        incoming, _, _ = self._read(record)
        incoming.key, _ = self._catalog.find(incoming.message)
        return incoming

    def _read(self, record: MessageRecord) -> tuple[Incoming, OperatorSession, policy.Case]:
        directory = self._point.directory
        user, device = directory.users.get(record.user or ""), directory.devices.get(record.device or "")
        if user is None or device is None or user.agency != record.agency:
            raise NotSignedOn("user or device is no longer there, or the user has changed agencies")
        head, text = parse_head(record.text) if record.own_header is not None else (None, record.text)
        incoming = Incoming(
            record.received, device, record.sequence or 0, text=record.text, head=head, raw=record.text.encode(),
            envelope=Envelope(
                ref=record.ref, requester=record.requester, secondary=record.secondary, priority=record.priority,
                reason=record.reason,
            ),
        )  # fmt: skip
        incoming.operator = operator = OperatorSession(
            record.session or "", user.user, user.agency, record.ori or "", user.operator_class,
            record.mnemonic or "", None, record.taf, device.device, device.address,
        )  # fmt: skip
        incoming.message = text
        return incoming, operator, self._point.case(user, device, record.mnemonic)

    def _decide(self, incoming: Incoming, text: str, operator: OperatorSession, case: policy.Case) -> None:
        """Find a message's key, fields and route, and ask whether it is allowed."""
        incoming.message = text
        incoming.key, rest = self._catalog.find(text)
        body = incoming.key.parse(rest)
        incoming.fields = body.fields
        policy.check_ori(case.agency, body)
        # The bytes, not their readable form: what is not ASCII must not pass as its escape.
        check_characters(incoming.raw.decode("latin-1"))
        case.key, case.text, case.envelope = incoming.key, body, incoming.envelope
        plan, directory = self._plan, self._point.directory
        subject = subject_of(incoming.key, body, operator.mnemonic, operator.ori, operator.agency)
        route, addressed = plan.routes.find(subject), Addressed((), ())
        if route is not None:
            addressed = resolve(plan, directory, route, subject, incoming.device)
            case.modes = frozenset([self._line_modes[line] for line in addressed.lines])
        policy.require(policy.AUTHORITY, case)
        if route is None:
            raise NoRoute(f"no route takes {incoming.key.code}")
        addressed.check()
        incoming.route, incoming.lines, incoming.addressees = route, addressed.lines, addressed.devices
        incoming.bulletin = addressed.bulletin
        policy.require(policy.AGENCY, case)
        incoming.key.check_destinations(body)
        addressed.check_number()
        if addressed.devices:
            incoming.stations = destinations_of(
                directory, plan.groups, incoming.key.function, body.destinations, addressed.devices, route.name
            )
        incoming.case = case
