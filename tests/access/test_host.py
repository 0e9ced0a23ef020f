"""Users behind a host: for whom a message speaks, and every way it may not."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest

from msc import clock
from msc.access.control_point import AccessControlPoint, OperatorSession
from msc.access.host import HostSessions
from msc.directory.rows import Agency, Directory, OperatorClass, Status
from msc.directory.store import DirectoryStore
from msc.errors import BadHeader, ControlOutOfPlace, Overloaded, Refusal
from msc.limits import HOST_USERS_MAX
from msc.protocol.header import MessageHead
from tests.support.county import account, county, user


def signed_on(name: str = "J40217", mnemonic: str = "CD01", **members: Any) -> OperatorSession:
    session = OperatorSession(
        session="s1", user=name, agency="EXLP", ori="CA0980000", operator_class=OperatorClass.FULL_ACCESS,
        mnemonic=mnemonic, pool=None, taf="02RVXUF", device="cad-1", address="device:cad-1",
    )  # fmt: skip
    return replace(session, **members)


MakeHost = Callable[..., HostSessions]


@pytest.fixture
async def host(store: DirectoryStore) -> AsyncIterator[MakeHost]:
    """Make the sessions behind a host of a directory."""
    points = []

    def make(device: str, directory: Directory | None = None) -> HostSessions:
        directory = directory or county()
        points.append(AccessControlPoint(directory, store, lambda _event: None))
        return HostSessions(points[-1], directory.devices[device])

    yield make
    for point in points:
        await point.close()


def code_of(sessions: HostSessions, head: MessageHead, mnemonic: str | None = None) -> str:
    with pytest.raises(Refusal) as refused:
        sessions.speaks_for(head, mnemonic)
    return refused.value.code


HEAD = MessageHead("CD01A00017", "J40217", "0A0000010017")
HEAD_2 = MessageHead("CD02A00017", "J40217", "0A0000010017")


@pytest.mark.requirement("C-OIF", "C-TAF", "C-HDR")
@pytest.mark.parametrize("mnemonic", [None, "CD01"])
def test_a_message_speaks_for_the_user_its_oif_names(host: MakeHost, mnemonic: str | None) -> None:
    sessions = host("cad-1")
    session = signed_on()
    sessions.add(session)
    sessions.add(signed_on("J40218"))
    spoken = sessions.speaks_for(HEAD, mnemonic)
    assert spoken == replace(session, taf="0A0000010017")
    assert session.taf == "02RVXUF", "the session itself is not changed by a message"
    assert sessions.speaks_for(HEAD._replace(taf=None), mnemonic).taf is None


@pytest.mark.requirement("C-OIF", "C-AUTH")
def test_a_user_not_signed_on_is_refused_with_e111(host: MakeHost) -> None:
    sessions = host("cad-1")
    assert code_of(sessions, HEAD) == "E111"
    sessions.add(signed_on("J40218"))
    assert code_of(sessions, HEAD) == "E111"
    assert code_of(sessions, MessageHead("CD01")) == "E111"
    sessions.remove("J40218")
    assert code_of(sessions, HEAD._replace(oif="J40218")) == "E111"


@pytest.mark.requirement("F-LOCK")
def test_a_locked_user_is_refused_with_e112(host: MakeHost) -> None:
    sessions = host("cad-1")
    sessions.add(signed_on(locked=True))
    assert code_of(sessions, HEAD) == "E112"


@pytest.mark.requirement("C-HDR", "C-STATIC")
@pytest.mark.parametrize("header", ["CD02A00017", "XD01A00017", "A123"])
def test_a_header_with_another_mnemonic_is_refused_with_e202(host: MakeHost, header: str) -> None:
    sessions = host("cad-1")
    sessions.add(signed_on())
    assert code_of(sessions, HEAD._replace(header=header)) == "E202"


def test_an_envelope_with_another_mnemonic_is_refused_with_e202(host: MakeHost) -> None:
    sessions = host("cad-1")
    sessions.add(signed_on())
    for mnemonic in ("CD02", ""):
        assert code_of(sessions, HEAD, mnemonic) == "E202"


@pytest.mark.requirement("C-OIF")
async def test_a_delegated_host_speaks_for_known_users_of_its_agency_without_sign_on(host: MakeHost) -> None:
    sessions = host("cad-2")
    spoken = sessions.speaks_for(HEAD_2, None)
    assert (spoken.user, spoken.agency, spoken.ori, spoken.mnemonic, spoken.taf, spoken.device, spoken.address) == (
        "J40217", "EXLP", "CA0980000", "CD02", "0A0000010017", "cad-2", "device:cad-2",
    )  # fmt: skip
    assert spoken.operator_class is OperatorClass.FULL_ACCESS
    assert len(sessions) == 0


@pytest.mark.requirement("C-OIF", "C-TRAIN", "C-SANCTION")
@pytest.mark.parametrize(
    "members",
    [
        {"status": Status.SUSPENDED},
        {"status": Status.DISABLED},
        {"status": Status.REMOVED},
        {"direct": False},
        {"authorised_by": ""},
        {"agency": "SHERIFF"},
        {"operator_class": OperatorClass.PRACTITIONER},
        {"certified": None},
        {"cleared": None},
        {"statement": None},
        {"added": None},
    ],
    ids=lambda m: next(iter(m)) + " " + str(next(iter(m.values()))),
)
def test_a_delegated_hosts_user_who_may_not_is_refused_with_e203(host: MakeHost, members: dict[str, Any]) -> None:
    sessions = host("cad-2", county(user("J40218", **members)))
    assert code_of(sessions, HEAD_2._replace(oif="J40218")) == "E203"


@pytest.mark.requirement("C-LEAVE")
def test_a_delegated_hosts_user_whose_agency_is_gone_is_refused_with_e203(host: MakeHost) -> None:
    directory = county(user("J40218"))
    directory.replace((), [("agency", "EXLP")])
    assert code_of(host("cad-2", directory), HEAD_2._replace(oif="J40218")) == "E203"


async def test_a_delegated_hosts_user_needs_no_password_here(host: MakeHost) -> None:
    over = account("J40218", password_hash="", password_expires=clock.today())
    sessions = host("cad-2", county(user("J40218"), accounts=[over]))
    assert sessions.speaks_for(HEAD_2._replace(oif="J40218"), None).user == "J40218"


async def test_a_delegated_hosts_user_sends_under_their_own_agencys_ori(host: MakeHost) -> None:
    directory = county()
    directory.replace([Agency("EXLP", "Police", "CA0980100")])
    assert host("cad-2", directory).speaks_for(HEAD_2, None).ori == "CA0980100"


@pytest.mark.requirement("C-HDR")
def test_a_header_is_the_hosts_or_that_of_somebody_signed_on_through_it(host: MakeHost) -> None:
    sessions = host("cad-1")
    sessions.check_mnemonic("CD01A00017")
    sessions.add(signed_on(mnemonic="M001"))
    sessions.check_mnemonic("M001A00017")
    with pytest.raises(BadHeader):
        sessions.check_mnemonic("M002A00017")


def test_a_delegated_hosts_unknown_user_is_refused_with_e203(host: MakeHost) -> None:
    assert code_of(host("cad-2"), HEAD_2._replace(oif="NOBODY")) == "E203"
    assert code_of(host("cad-2"), MessageHead("CD02")) == "E203"


def test_a_delegated_hosts_foreign_mnemonic_is_refused_with_e202(host: MakeHost) -> None:
    assert code_of(host("cad-2"), HEAD) == "E202"
    assert code_of(host("cad-2"), HEAD_2, "CD01") == "E202"


def test_a_delegated_hosts_signed_on_user_is_held_to_the_session(host: MakeHost) -> None:
    sessions = host("cad-2")
    sessions.add(signed_on(mnemonic="CD02", locked=True))
    assert code_of(sessions, HEAD_2) == "E112"


def test_the_users_of_a_host_are_bounded_and_each_is_there_once(host: MakeHost) -> None:
    sessions = host("cad-1")
    for n in range(HOST_USERS_MAX - 1):
        sessions.add(signed_on(f"U{n}"))
    sessions.check_room("J40217")
    sessions.add(signed_on())
    with pytest.raises(Overloaded):
        sessions.check_room("J40218")
    sessions.remove("U0")
    with pytest.raises(ControlOutOfPlace):
        sessions.check_room("J40217")
    assert len(sessions) == HOST_USERS_MAX - 1


def test_all_users_are_taken_out_when_the_connection_ends(host: MakeHost) -> None:
    sessions = host("cad-1")
    sessions.add(signed_on())
    sessions.add(signed_on("J40218"))
    assert sessions.get("J40218") == signed_on("J40218")
    assert sessions.get(None) is None
    assert {session.user for session in sessions.clear()} == {"J40217", "J40218"}
    assert len(sessions) == 0
    assert sessions.remove("J40217") is None
