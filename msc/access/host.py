"""Users behind a host (CAD): several on one connection, each named by the OIF of every message."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from msc.access import policy
from msc.access.control_point import AccessControlPoint, OperatorSession
from msc.directory.rows import Device
from msc.errors import BadHeader, BadOif, ControlOutOfPlace, NotSignedOn, Overloaded, Refusal, SessionLocked
from msc.limits import HOST_USERS_MAX
from msc.protocol.header import MNEMONIC_CHARS, MessageHead


class HostSessions:
    """The users of one host's connection: signed on through it, or vouched for by its delegation."""

    def __init__(self, point: AccessControlPoint, device: Device) -> None:
        self._point = point
        self._device = device
        self._users: dict[str, OperatorSession] = {}

    def __len__(self) -> int:
        return len(self._users)

    def __iter__(self) -> Iterator[OperatorSession]:
        return iter(list(self._users.values()))

    def check_room(self, user: str) -> None:
        """Check that another user may sign on.

        Raises:
            ControlOutOfPlace: The user is signed on here already.
            Overloaded: Too many are.
        """
        if user in self._users:
            raise ControlOutOfPlace("the user is signed on here already")
        if len(self._users) >= HOST_USERS_MAX:
            raise Overloaded(f"{HOST_USERS_MAX} users are signed on through this host")

    def add(self, session: OperatorSession) -> None:
        """Note a user signed on through this host."""
        self._users[session.user] = session

    def get(self, user: str | None) -> OperatorSession | None:
        """Return the session of a user signed on through this host."""
        return self._users.get(user) if user is not None else None

    def remove(self, user: str) -> OperatorSession | None:
        """Take a user's session out."""
        return self._users.pop(user, None)

    def clear(self) -> list[OperatorSession]:
        """Take all out, at the connection's end."""
        sessions = list(self._users.values())
        self._users.clear()
        return sessions

    def check_mnemonic(self, header: str) -> None:
        """Refuse a header whose mnemonic is neither the host's nor that of anybody signed on through it.

        Raises:
            BadHeader: It is not.
        """
        ours = {self._device.mnemonic, *(session.mnemonic for session in self._users.values())}
        if header[:MNEMONIC_CHARS] not in ours:
            raise BadHeader("the header's mnemonic is not this host's")

    def speaks_for(self, head: MessageHead, mnemonic: str | None) -> OperatorSession:
        """Find for whom a host's message speaks, and check its own header and OIF.

        Args:
            head: Header, OIF and TAF as the host wrote them.
            mnemonic: The envelope's `mnemonic`, or None.

        Raises:
            NotSignedOn, SessionLocked: The OIF's user is not signed on here, or is locked.
            BadHeader: The header's mnemonic is not the session's, or not the envelope's.
            BadOif: A delegated host's user is unknown, not active, or of another agency.
        """
        device = self._device
        session = self._users.get(head.oif or "")
        if session is not None:
            if session.locked:
                raise SessionLocked
        elif not device.delegated:
            raise NotSignedOn(f"user {head.oif} is not signed on through this host")
        ours = session.mnemonic if session is not None else device.mnemonic
        if head.mnemonic != ours or mnemonic not in (None, ours):
            raise BadHeader("the header's mnemonic is not this host's")
        if session is None:
            session = self._vouched(head)
        return replace(session, taf=head.taf)

    def _vouched(self, head: MessageHead) -> OperatorSession:
        directory, device = self._point.directory, self._device
        user = directory.users.get(head.oif or "")
        if user is None or user.agency != device.agency:
            raise BadOif("the OIF names no user of this host's agency")
        try:
            policy.require(policy.ACCESS, self._point.case(user, device, device.mnemonic))
        except Refusal as refusal:
            raise BadOif("the OIF's user may not use the system") from refusal
        self._point.vouched(user.user)
        return OperatorSession(
            session="",
            user=user.user,
            agency=user.agency,
            ori=directory.agencies[user.agency].ori,
            operator_class=user.operator_class,
            mnemonic=head.mnemonic,
            pool=None,
            taf=head.taf,
            device=device.device,
            address=device.address,
        )
