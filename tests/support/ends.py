"""The four ends of MTP/1 for tests: the switch's and the peer's, of a station and of a line."""

from __future__ import annotations

from pydantic import SecretStr

from msc.protocol.control import Control, LineOpen, Open, OpenLine, SignedOn, SignOn, encode_control
from msc.protocol.frame import CONTROL, encode_frame
from msc.protocol.line import LineHostSession, LineSession
from msc.protocol.station import StationClient, StationKind, StationSession
from tests.support.wire import FRAME_BYTES_MAX, make_hello

OPEN_LINE = OpenLine(line="clets-a", switch="msc-test", mode="production")


def signed_on(user: str = "J40217") -> SignedOn:
    """Make the answer to a sign-on."""
    return SignedOn(
        session="s1",
        user=user,
        agency="EXLP",
        ori="CA0980000",
        mnemonic="A123",
        pooled=False,
        taf="02RVXUF",
        idle_lock_s=1800,
    )


def sign_on(user: str = "J40217") -> SignOn:
    """Make a request to sign on."""
    return SignOn(user=user, password=SecretStr("correct horse"), banner_accepted=True)


def written(message: Control) -> bytes:
    """Write a control message as a frame."""
    return encode_frame(CONTROL, 0, encode_control(message))


def fresh_station(kind: StationKind = StationKind.TERMINAL, *, window: int = 4, now: float = 0.0) -> StationSession:
    """Make the switch's end of a station that has just connected; its greeting is taken."""
    session = StationSession(now, kind, make_hello(window=window))
    session.data_to_send()
    return session


def active_terminal(*, window: int = 4, now: float = 0.0) -> StationSession:
    """Make the switch's end of a terminal whose operator is signed on."""
    session = fresh_station(window=window, now=now)
    session.receive_data(written(sign_on()), now)
    session.grant(signed_on(), now)
    session.events()
    session.data_to_send()
    return session


def open_host(*, window: int = 4, now: float = 0.0) -> StationSession:
    """Make the switch's end of an open host."""
    session = fresh_station(StationKind.HOST, window=window, now=now)
    session.receive_data(written(Open()), now)
    session.opened(0)
    session.events()
    session.data_to_send()
    return session


def greeted_client(*, window: int = 4, now: float = 0.0) -> StationClient:
    """Make a station's end that has been greeted."""
    client = StationClient(now, frame_bytes_max=FRAME_BYTES_MAX, window=window)
    client.receive_data(written(make_hello(window=window)), now)
    client.events()
    return client


def fresh_line(*, window: int = 4, now: float = 0.0) -> LineSession:
    """Make the switch's end of a line that has just connected."""
    return LineSession(now, OPEN_LINE, window=window, heartbeat_s=30.0)


def open_line(*, window: int = 4, now: float = 0.0) -> LineSession:
    """Make the switch's end of an open line."""
    session = fresh_line(window=window, now=now)
    session.receive_data(written(make_hello(window=window)) + written(LineOpen(window=window)), now)
    session.events()
    session.data_to_send()
    return session


def fresh_line_host(*, window: int = 4, now: float = 0.0) -> LineHostSession:
    """Make the state host's end of a line that has just connected; its greeting is taken."""
    session = LineHostSession(now, make_hello(window=window))
    session.data_to_send()
    return session


def open_line_host(*, window: int = 4, now: float = 0.0) -> LineHostSession:
    """Make the state host's end of an open line."""
    session = fresh_line_host(window=window, now=now)
    session.receive_data(written(OPEN_LINE), now)
    session.accept()
    session.events()
    session.data_to_send()
    return session


READY = {
    "terminal": active_terminal,
    "host": open_host,
    "client": greeted_client,
    "line": open_line,
    "line_host": open_line_host,
}
"""A maker of each end, ready for messages both ways."""
