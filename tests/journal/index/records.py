"""Random records for the index: few values of each member, so that criteria meet them often."""

from __future__ import annotations

from hypothesis import strategies as st

from msc.journal.criteria import AuditCriteria, Criteria
from msc.journal.record import AuditRecord
from msc.transit.event import Event, Life
from msc.transit.message import Direction, MessageRecord

TEXTS = (
    "",
    "IW.QV.CA0990000.LIC/7ABC123.LIS/CA",
    "LIC/7ABC-123 LIS/CA\nNAM/DOE, JOHN DOB/1980-01-01",
    "IW.QW.CA0990000.NAM/O'BRIEN,ANN.DOB/19800101",
    "SER/AB 123-45 MAK/RUG",
    "NAM/DE LA CRUZ, JOHN ANN\u00c9",
    f"IMG/{'0123456789ABCDEF' * 5}",
)
QUERIES = (
    "7ABC123", "7abc-123", "LIC/7ABC123", "DOE,JOHN", "O'Brien", "obrien", "1980-01-01", "JO*", "AB12345", "AB 123*",
    "DELACRUZ", "0123456789ABCDEF0123456789ABCDEF0*", "NOTHING", "A*", "1*", "anné",
)  # fmt: skip
AGENCIES = (None, "alpha", "beta")
LONG = "A SENTENCE THAT IS LONGER THAN ANY TERM OF THE INDEX MAY BE, BY FAR, AND THEN SOME"


def one_of(*values: str | None) -> st.SearchStrategy[str | None]:
    """Draw one of these."""
    return st.sampled_from(values)


EVENTS = st.builds(
    Event,
    msn=st.just(0),
    at=st.integers(0, 100),
    event=st.sampled_from([life.value for life in Life if life != Life.RECEIVED]),
    destination=one_of(None, "device:T1", "device:T2", "line:CLETS", "line:T1", "user:J1"),
)
MESSAGES = st.builds(
    MessageRecord,
    msn=st.just(0),
    received=st.integers(0, 100),
    direction=st.sampled_from([direction.value for direction in Direction]),
    kind=st.sampled_from(["inquiry", "response"]),
    device=one_of(None, "T1", "T2"),
    line=one_of(None, "CLETS", "T1"),
    user=one_of(None, "J1", "J2"),
    agency=one_of(*AGENCIES),
    header=one_of(None, "CD01", "CD02"),
    own_header=one_of(None, "CD01", "XX99"),
    key=one_of(None, "QW", "QV"),
    system=one_of(None, "IW"),
    database=one_of(None, "WPS"),
    code=one_of(None, "E401"),
    requester=one_of(None, "J1", LONG, "TWO\nLINES"),
    text=st.sampled_from(TEXTS),
    transaction=st.none() | st.integers(1, 5),
    session=one_of(None, "s1"),
)
CRITERIA = st.builds(
    Criteria,
    since_us=st.none() | st.integers(-10, 100),
    until_us=st.none() | st.integers(-10, 110),
    user=one_of(None, None, "J1", "J3"),
    agency=one_of(None, None, "alpha"),
    kind=one_of(None, None, "inquiry"),
    direction=one_of(None, None, "outbound"),
    code=one_of(None, None, None, "E401"),
    requester=one_of(None, None, None, LONG, "TWO\nLINES"),
    session=one_of(None, None, "s1"),
    device=one_of(None, None, "T1", "T2"),
    line=one_of(None, None, "CLETS", "T1"),
    key=one_of(None, None, "QW", "IW.QW"),
    header=one_of(None, None, "CD01", "XX99"),
    msn=st.sampled_from([None, None, None, None, 1, 3, -1, 2**70]),
    transaction=st.sampled_from([None, None, None, 1, 2]),
    outcome=one_of(None, None, "answered", "expired", "received", "open"),
    text=st.lists(st.sampled_from(QUERIES), max_size=2).map(tuple),
    scope=one_of(None, None, "alpha", "beta"),
)
AUDIT_EVENTS = st.builds(
    AuditRecord,
    at=st.integers(0, 100),
    event=st.sampled_from(["sign_on.granted", "sign_on.refused", "handshake.refused", "user.changed"]),
    device=one_of(None, "T1"),
    user=one_of(None, "J1", "J2"),
    mnemonic=one_of(None, "CD01"),
    source=one_of(None, "10.0.0.1"),
    session=one_of(None, "s1"),
    code=one_of(None, "E201"),
    detail=one_of(None, "revision 7, 7ABC-123", "O'BRIEN left"),
    subject=one_of(None, "user J1", "J1", "device T1", LONG),
    reason=one_of(None, "left the agency", "case 12-345"),
)
AUDIT_CRITERIA = st.builds(
    AuditCriteria,
    since_us=st.none() | st.integers(0, 100),
    until_us=st.none() | st.integers(0, 110),
    event=one_of(None, None, "sign_on", "sign_on.refused", "s", "x"),
    subject=one_of(None, None, "user J1", "J1", "T1", LONG),
    user=one_of(None, None, "J1"),
    device=one_of(None, None, "T1"),
    code=one_of(None, None, "E201"),
    source=one_of(None, None, "10.0.0.1"),
    refused=st.booleans(),
    text=st.lists(st.sampled_from(["left", "OBRIEN", "7ABC123", "12345", "ag*", "NOTHING"]), max_size=1).map(tuple),
)
