"""A station's two ends: every control message in every state, and the flows of terminal, printer and host."""

from __future__ import annotations

import itertools

import pytest
from pydantic import SecretStr

from msc.errors import MnemonicInUse, NotSignedOn, SessionLocked, ShuttingDown, UnknownUserOrPassword
from msc.protocol.control import (
    FROM_STATION,
    ChangePassword,
    Control,
    Hello,
    Lock,
    Locked,
    Notice,
    Open,
    Opened,
    Receipts,
    Refused,
    SignedOff,
    SignedOn,
    SignOff,
    SignOn,
    Status,
    Unlock,
    Unlocked,
)
from msc.protocol.frame import DATA, encode_frame
from msc.protocol.session import (
    ControlReceived,
    ControlRefused,
    MessageAcknowledged,
    MessageOutOfPlace,
    MessageReceived,
)
from msc.protocol.station import TRANSITIONS, State, StationClient, StationKind, StationSession
from tests.support.ends import active_terminal, fresh_station, open_host, sign_on, signed_on, written
from tests.support.wire import FRAME_BYTES_MAX, Cut, Wire, feed, make_hello, sent_controls

MESSAGES: dict[type[Control], Control] = {
    SignOn: sign_on(),
    SignOff: SignOff(),
    Open: Open(),
    Lock: Lock(),
    Unlock: Unlock(password=SecretStr("correct horse")),
    ChangePassword: ChangePassword(old=SecretStr("correct horse"), new=SecretStr("battery staple")),
    Status: Status(),
    Receipts: Receipts(msn=1042),
}

# What MTP/1 says may be sent when, written down a second time: a change of the table must be meant.
ALLOWED = {
    (StationKind.TERMINAL, State.GREETED): "sign_on status",
    (StationKind.TERMINAL, State.ACTIVE): "lock sign_off change_password status receipts",
    (StationKind.TERMINAL, State.LOCKED): "unlock sign_off status",
    (StationKind.PRINTER, State.GREETED): "open status",
    (StationKind.PRINTER, State.OPEN): "status",
    (StationKind.HOST, State.GREETED): "open status",
    (StationKind.HOST, State.OPEN): "sign_on sign_off lock unlock change_password status receipts",
}

REACHABLE = [(kind, state) for kind, table in TRANSITIONS.items() for state in table]
PAIRS = [
    pytest.param(kind, state, type_, id=f"{kind.value}-{state.name.lower()}-{type_.type}")
    for (kind, state), type_ in itertools.product(REACHABLE, FROM_STATION)
]


def station_in(kind: StationKind, state: State) -> StationSession:
    """Bring a session into a state by what a station may send, and no other way."""
    session = fresh_station(kind)
    if kind is not StationKind.TERMINAL:
        if state is State.OPEN:
            session.receive_data(written(Open()), 0.0)
            session.opened(0)
    elif state is not State.GREETED:
        session.receive_data(written(sign_on()), 0.0)
        if state is not State.VERIFYING:
            session.grant(signed_on(), 0.0)
        if state in (State.LOCKED, State.VERIFYING_UNLOCK):
            session.receive_data(written(Lock()), 0.0)
            session.lock()
        if state is State.VERIFYING_UNLOCK:
            session.receive_data(written(MESSAGES[Unlock]), 0.0)
    session.events()
    session.data_to_send()
    assert session.state is state
    return session


@pytest.mark.parametrize(("kind", "state", "type_"), PAIRS)
def test_every_control_message_in_every_state_is_taken_or_refused_by_name(
    kind: StationKind, state: State, type_: type[Control], cut: Cut
) -> None:
    session = station_in(kind, state)
    message = MESSAGES[type_]
    events = feed(session, written(message), cut)
    assert not session.closed
    if type_.type in ALLOWED.get((kind, state), "").split():
        assert events == [ControlReceived(message)]
        assert session.state is TRANSITIONS[kind][state][type_]
        assert session.data_to_send() == b""
    else:
        [told] = events
        assert isinstance(told, ControlRefused)
        assert told.refusal.code == "E605"
        assert session.state is state
        [refused] = sent_controls(session)
        assert (refused["type"], refused["to"], refused["code"]) == ("refused", type_.type, "E605")
        assert type_.type in refused["reason"]
        assert state.name.lower().replace("_", " ") in refused["reason"]


def test_every_kind_and_every_message_is_walked() -> None:
    assert set(TRANSITIONS) == set(StationKind)
    assert set(MESSAGES) == set(FROM_STATION)
    assert len(PAIRS) == 9 * 8
    allowed = {(kind, state, type_) for (kind, state), names in ALLOWED.items() for type_ in names.split()}
    table = {(k, s, t.type) for k, states in TRANSITIONS.items() for s, row in states.items() for t in row}
    assert table == allowed


@pytest.mark.parametrize(("kind", "state"), REACHABLE, ids=lambda v: v.name.lower())
def test_a_message_is_taken_only_where_somebody_may_send_one(kind: StationKind, state: State, cut: Cut) -> None:
    session = station_in(kind, state)
    events = feed(session, encode_frame(DATA, 1, b"RQ"), cut)
    if state is State.ACTIVE or (kind, state) == (StationKind.HOST, State.OPEN):
        assert events == [MessageReceived(1, b"RQ")]
        return
    [event] = events
    assert isinstance(event, MessageOutOfPlace)
    assert (event.sequence, event.payload) == (1, b"RQ")
    expected = SessionLocked if state in (State.LOCKED, State.VERIFYING_UNLOCK) else NotSignedOn
    assert type(event.refusal) is expected
    assert ("printer" in event.refusal.reason) == (kind is StationKind.PRINTER)
    session.refuse(event.sequence, event.refusal)
    assert session.unanswered == 0
    assert not session.closed


@pytest.mark.parametrize(("kind", "state"), REACHABLE, ids=lambda v: v.name.lower())
def test_messages_are_delivered_only_where_somebody_is_there_to_take_them(kind: StationKind, state: State) -> None:
    session = station_in(kind, state)
    assert session.receptive == (state in (State.ACTIVE, State.OPEN))
    session.receive_eof()
    assert not session.receptive


# --- outcomes -------------------------------------------------------------------------------------------


def test_a_refused_sign_on_leaves_the_terminal_greeted_and_it_may_try_again() -> None:
    session = station_in(StationKind.TERMINAL, State.VERIFYING)
    session.deny(sign_on(), UnknownUserOrPassword())
    [refused] = sent_controls(session)
    assert (refused["to"], refused["code"], refused["user"]) == ("sign_on", "E101", "J40217")
    assert session.state is State.GREETED
    assert feed(session, written(sign_on())) == [ControlReceived(sign_on())]


def test_a_refused_unlock_leaves_the_session_locked() -> None:
    session = station_in(StationKind.TERMINAL, State.VERIFYING_UNLOCK)
    session.deny(MESSAGES[Unlock], UnknownUserOrPassword())
    assert session.state is State.LOCKED
    assert [c["code"] for c in sent_controls(session)] == ["E101"]


@pytest.mark.parametrize("kind", [StationKind.PRINTER, StationKind.HOST])
@pytest.mark.parametrize("refusal", [MnemonicInUse(), ShuttingDown()], ids=lambda r: r.code)
def test_a_refused_open_leaves_the_station_closed_to_messages_and_it_may_try_again(
    kind: StationKind, refusal: MnemonicInUse
) -> None:
    session = fresh_station(kind)
    feed(session, written(Open()))
    session.deny(Open(), refusal)
    assert [(c["to"], c["code"]) for c in sent_controls(session)] == [("open", refusal.code)]
    assert not session.receptive, "the station was refused, and is treated as open all the same"
    assert feed(session, written(Open())) == [ControlReceived(Open())]


def test_a_refused_change_of_password_leaves_the_session_active() -> None:
    session = active_terminal()
    feed(session, written(MESSAGES[ChangePassword]))
    session.deny(MESSAGES[ChangePassword], UnknownUserOrPassword())
    assert session.state is State.ACTIVE


@pytest.mark.requirement("F-LOCK")
def test_idleness_counts_from_the_last_message_and_not_from_heartbeats() -> None:
    session = active_terminal(now=100.0)
    assert session.active_at == 100.0
    feed(session, written(Status()), now=200.0)
    session.tick(250.0)
    assert session.active_at == 100.0
    feed(session, encode_frame(DATA, 1, b"RQ"), now=300.0)
    assert session.active_at == 300.0


@pytest.mark.requirement("F-LOCK")
def test_an_unlocked_session_is_active_from_that_moment() -> None:
    session = station_in(StationKind.TERMINAL, State.VERIFYING_UNLOCK)
    session.unlock(500.0)
    assert (session.state, session.active_at) == (State.ACTIVE, 500.0)


def test_a_hosts_users_are_named_and_do_not_close_the_host() -> None:
    session = open_host()
    session.grant(signed_on("J40217"), 0.0)
    session.lock("J40217", "asked")
    session.unlock(0.0, "J40217")
    session.sign_off("J40217", "asked")
    controls = sent_controls(session)
    assert [(c["type"], c["user"]) for c in controls] == [
        ("signed_on", "J40217"),
        ("locked", "J40217"),
        ("unlocked", "J40217"),
        ("signed_off", "J40217"),
    ]
    assert session.state is State.OPEN


# --- two ends on a wire -----------------------------------------------------------------------------------


def joined(kind: StationKind, cut: Cut) -> tuple[StationSession, StationClient, Wire]:
    session = StationSession(0.0, kind, make_hello(window=4))
    client = StationClient(0.0, frame_bytes_max=FRAME_BYTES_MAX, window=1)
    wire = Wire(session, client, cut)
    wire.run()
    [greeting] = wire.take(client)
    assert greeting == ControlReceived(make_hello(window=4))
    return session, client, wire


def controls(events: list[object]) -> list[type]:
    return [type(e.message) for e in events if isinstance(e, ControlReceived)]


@pytest.mark.requirement("C-AUTH")
def test_a_terminal_signs_on_exchanges_messages_locks_and_signs_off(cut: Cut) -> None:
    session, client, wire = joined(StationKind.TERMINAL, cut)
    client.send_control(sign_on())
    wire.run()
    [asked] = wire.take(session)
    assert asked == ControlReceived(sign_on())
    assert asked.message.password.get_secret_value() == "correct horse"
    session.grant(signed_on(), 0.0)
    wire.run()
    assert wire.take(client) == [ControlReceived(signed_on())]

    client.send_message(b"IW.QW.CA0980000.NAM/DOE,JOHN")
    wire.run()
    assert wire.take(session) == [MessageReceived(1, b"IW.QW.CA0980000.NAM/DOE,JOHN")]
    session.acknowledge(1, b"1042")
    session.send_message(b'{"msn":1043}\nNO RECORD')
    session.send_control(Notice(text="maintenance at 2300"))
    wire.run()
    assert wire.take(client) == [
        MessageAcknowledged(1, b"1042"),
        MessageReceived(1, b'{"msn":1043}\nNO RECORD'),
        ControlReceived(Notice(text="maintenance at 2300")),
    ]
    client.acknowledge(1)
    client.send_control(Lock())
    wire.run()
    assert wire.take(session) == [MessageAcknowledged(1, b""), ControlReceived(Lock())]
    session.lock()
    client.send_message(b"RQ")
    wire.run()
    assert controls(wire.take(client)) == [Locked]
    [refused] = wire.take(session)
    assert isinstance(refused, MessageOutOfPlace) and refused.refusal.code == "E112"
    session.refuse(refused.sequence, refused.refusal)
    client.send_control(MESSAGES[Unlock])
    wire.run()
    session.unlock(0.0)
    client.send_control(SignOff())
    wire.run()
    session.sign_off()
    wire.run()
    assert controls(wire.take(client)) == [Unlocked, SignedOff]
    assert session.state is State.GREETED
    assert not session.closed and not client.closed


def test_a_printer_opens_and_takes_messages(cut: Cut) -> None:
    session, client, wire = joined(StationKind.PRINTER, cut)
    client.send_control(Open())
    wire.run()
    session.opened(3)
    session.send_message(b"{}\nHIT")
    wire.run()
    assert wire.take(client) == [ControlReceived(Opened(undelivered=3)), MessageReceived(1, b"{}\nHIT")]


def test_a_host_signs_several_users_on_through_one_connection(cut: Cut) -> None:
    session, client, wire = joined(StationKind.HOST, cut)
    client.send_control(Open())
    wire.run()
    session.opened(0)
    client.send_control(sign_on("J40217"))
    client.send_control(sign_on("J40218"))
    wire.run()
    asked = [e.message for e in wire.take(session) if isinstance(e, ControlReceived)]
    assert [type(m) for m in asked] == [Open, SignOn, SignOn]
    session.grant(signed_on("J40218"), 0.0)
    session.deny(asked[1], UnknownUserOrPassword())
    wire.run()
    granted, refused = [e.message for e in wire.take(client) if isinstance(e, ControlReceived)][1:]
    assert isinstance(granted, SignedOn) and granted.user == "J40218"
    assert isinstance(refused, Refused) and (refused.user, refused.code) == ("J40217", "E101")


def test_two_idle_ends_keep_each_other_alive() -> None:
    session, client, wire = joined(StationKind.TERMINAL, lambda data: iter([data] if data else []))
    for at in range(0, 1000, 5):
        wire.now = float(at)
        session.tick(wire.now)
        client.tick(wire.now)
        wire.run()
    assert not session.closed and not client.closed
    assert wire.take(session) == wire.take(client) == []


def test_a_newer_switchs_unknown_control_type_does_not_end_the_session(cut: Cut) -> None:
    session, client, wire = joined(StationKind.TERMINAL, cut)

    class Weather(Control):
        type = "weather"

    session.send_control(Weather())
    wire.run()
    assert not session.closed and not client.closed
    assert isinstance(client.hello, Hello)


def test_a_late_refusal_of_an_earlier_request_changes_nothing_for_a_sign_on_under_way() -> None:
    session = station_in(StationKind.TERMINAL, State.ACTIVE)
    change = MESSAGES[ChangePassword]
    session.receive_data(written(change), 0.0)
    session.receive_data(written(SignOff()), 0.0)
    session.sign_off()
    session.receive_data(written(sign_on()), 0.0)
    session.deny(change, UnknownUserOrPassword())
    assert session.state is State.VERIFYING
    session.events()
    session.receive_data(written(sign_on()), 0.0)
    [told] = session.events()
    assert isinstance(told, ControlRefused), "a second sign-on beside the first"
